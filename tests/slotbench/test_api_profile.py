"""``slotbench.load_profile`` gives frames, differences and plots of what was recorded."""

import subprocess
import sys
from pathlib import Path

import pytest

import slotbench
from slotbench.api import Profile, Run, ShownDifference
from slotbench.compute import profile as compute
from slotbench.errors import RecordError, SlotbenchError
from slotbench.store import ProfileFolder
from tests.slotbench.support import altered, grids, profiles

FIRST, SECOND = grids.cell(16).name, grids.cell(16, 1.0).name


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """A profile below ``tmp_path/results``."""
    stored = profiles.stored()
    with ProfileFolder.create(tmp_path / "results", stored.profile) as folder:
        for one in stored.trials:
            folder.append(one)
    return folder.path


@pytest.fixture
def loaded(recorded: Path) -> Profile:
    return slotbench.load_profile(recorded)


def test_a_profile_is_found_as_a_run_is(recorded: Path, tmp_path: Path) -> None:
    """By folder, by the end of its id, or as the newest; a run is none."""
    for reference in (recorded, "abc123", None, "newest"):
        found = slotbench.load_profile(reference, results_dir=tmp_path / "results")
        assert found.path == recorded
    with pytest.raises(RecordError, match="no profile 'nope'"):
        slotbench.load_profile("nope", results_dir=tmp_path / "results")
    with pytest.raises(RecordError, match="no run"):
        slotbench.load(results_dir=tmp_path / "results")
    assert slotbench.Profile is Profile
    assert {"load_profile", "Profile"} <= set(dir(slotbench))


def test_records_and_frames_are_given(loaded: Profile) -> None:
    """As recorded, and tidy."""
    assert loaded.record.rounds == 3
    assert loaded.notes == ()
    assert len(loaded.trials) == 120
    assert [one.cell.name for one in loaded.cells] == [FIRST, SECOND]
    assert loaded.cells is loaded.cells
    assert len(loaded.phases) == 2 * 4 * 9
    assert {"row", "value", "price_s"} <= set(loaded.ledger.columns)
    assert {"where", "waited_s"} <= set(loaded.locks.columns)


def test_a_frame_is_the_callers_to_change(loaded: Profile) -> None:
    """Writing into a frame changes no other reader's frame."""
    for name in ("phases", "ledger", "locks"):
        frame = getattr(loaded, name)
        frame.loc[0, "contender"] = "mine"
        assert getattr(loaded, name)["contender"].iloc[0] == "threading"


def test_a_difference_is_that_of_the_record(loaded: Profile) -> None:
    """Baseline against the fastest in the first cell, or what was named."""
    found = loaded.difference()
    assert isinstance(found, ShownDifference)
    assert (found.first, found.second, found.cell.name) == ("threading", "slot", FIRST)
    expected = compute.difference(loaded.record, loaded.trials, FIRST, "threading", "slot")
    assert (found.phases, found.rows, found.gap_s) == (
        expected.phases,
        expected.rows,
        expected.gap_s,
    )
    other = loaded.difference("slot", "floor", SECOND)
    assert (other.first, other.second, other.cell.name) == ("slot", "floor", SECOND)
    assert loaded.difference("slot").second == "torchrl.slot[collate=lazy_stack]"
    assert loaded.difference(second="floor").first == "threading"
    assert loaded.difference(second="threading").first == "slot"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"first": "x"}, "no contender 'x' in this profile: it has threading, slot"),
        ({"second": "x"}, "no contender 'x' in this profile"),
        ({"cell": "x"}, "no cell 'x' in this profile: it has num_slots=16"),
        ({"first": "slot", "second": "slot"}, "nothing lies between 'slot' and itself"),
        ({"first": "floor"}, "there are no two contenders with numbers: name both"),
    ],
)
def test_a_difference_of_nothing_is_refused(
    arguments: dict[str, str], message: str, loaded: Profile
) -> None:
    """In one line, with what there is."""
    with pytest.raises(SlotbenchError, match=message):
        loaded.difference(**arguments)


def test_one_contender_has_no_difference() -> None:
    """Its frames are there all the same."""
    alone = Profile(profiles.stored(labels=("slot",)))
    with pytest.raises(SlotbenchError, match="there are no two contenders with numbers"):
        alone.difference()
    assert len(alone.phases) == 2 * 9
    assert "Only slot was profiled" in alone.answers[FIRST]


def test_a_notebook_shows_tables_and_words(loaded: Profile) -> None:
    """Of a difference, and of a profile; text is text."""
    shown = loaded.difference()._repr_html_()
    assert shown.count("<table>") == 2
    assert "explains 40 %" in shown
    page = loaded._repr_html_()
    assert "explains 40 %" in page
    assert "Profile 20261128T000000Z" in page
    odd = altered.renamed(profiles.stored(), {"slot": "<b>"})
    for text in (Profile(odd)._repr_html_(), Profile(odd).difference()._repr_html_()):
        assert "&lt;b&gt;" in text
        assert "<b>" not in text
    assert "Only" not in Profile(profiles.stored(rounds=0))._repr_html_()


def test_a_profile_introduces_itself(loaded: Profile) -> None:
    """In a line."""
    assert repr(loaded) == (
        "<Profile 20261128T000000Z-quickstart-profile-abc123: complete, 2 cells, 4 contenders, "
        "120 trials>"
    )


def test_plots_are_those_of_a_profile(loaded: Profile) -> None:
    """By name; a run's are not offered, and a profile's are not of a run."""
    assert dir(loaded.plot) == ["phases"]
    assert "Mean time of each phase" in (loaded.plot.phases.__doc__ or "")
    assert len(loaded.plot.phases(where={"model.latency_ms": 1}).axes) == 1
    with pytest.raises(
        AttributeError, match="plot loss is drawn of a run, and this is a prof"
    ):
        _ = loaded.plot.loss
    with pytest.raises(AttributeError, match="did you mean phases"):
        _ = loaded.plot.phase
    of_run = Run(grids.small_grid()).plot
    assert "phases" not in dir(of_run)
    assert not hasattr(of_run, "phases")


def test_a_report_is_written(
    loaded: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named after the profile, with links that lead to its files."""
    monkeypatch.chdir(tmp_path)
    path = loaded.report()
    assert path == Path("20261128T000000Z-quickstart-profile-abc123.html")
    name = loaded.record.profile_id
    assert f'href="results/{name}/timeline-1.json"' in path.read_text(encoding="utf-8")
    said = loaded.report("deep/er.md", format="md").read_text(encoding="utf-8")
    assert f"](../results/{name}/timeline-1.json)" in said


def test_load_profile_loads_no_torch(recorded: Path) -> None:
    """Pandas is loaded by the first frame, torch and matplotlib never."""
    code = (
        "import sys, slotbench\n"
        "found = slotbench.load_profile(sys.argv[1])\n"
        "found.cells, found.difference()._repr_html_(), found._repr_html_()\n"
        "print({'torch', 'pandas', 'matplotlib'} & set(sys.modules))\n"
        "found.phases, found.ledger, found.locks\n"
        "print({'torch', 'pandas', 'matplotlib'} & set(sys.modules))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(recorded)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert result.stdout == "set()\n{'pandas'}\n"


def test_what_cannot_be_explained_is_refused_before_anything_is_measured(
    tmp_path: Path,
) -> None:
    """As the command refuses it."""
    with pytest.raises(SlotbenchError, match="no contender 'slott' in this profile"):
        slotbench.profile("quickstart", between=("slot", "slott"), results_dir=tmp_path)
    with pytest.raises(SlotbenchError, match="did you mean flame"):
        slotbench.profile("quickstart", tools="flam", results_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []
