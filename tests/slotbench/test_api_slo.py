"""A search in a notebook."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import slotbench
from slotbench.errors import RecordError, SlotbenchError
from slotbench.measure import executor
from tests.slotbench.support.slos import P99_2MS, SimulatedExecutor, knee_per_s, search


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> slotbench.Slo:
    folder = tmp_path_factory.mktemp("results")
    search(folder, executor=SimulatedExecutor(disturbed=(4,)))
    return slotbench.load_slo(results_dir=folder)


def test_what_was_found(found: slotbench.Slo) -> None:
    assert [one.contender for one in found.searches] == ["threading", "slot"]
    assert found.leads[0].leader == "slot"
    assert "slot keeps p99" in found.answers["Answer"]
    assert "slot keeps p99" in str(found)
    assert "shown to hold" in found._repr_html_()
    assert "complete, 1 cells, 2 contenders" in repr(found)
    assert found.notes == ()


def test_the_frame_has_a_row_a_trial_of_the_open_loop(found: slotbench.Slo) -> None:
    frame = found.frame
    assert len(frame) == len(found.trials) - 2
    slot = frame[frame["contender"] == "slot"]
    assert slot["held_per_s"].nunique() == 1
    assert slot["held_per_s"].iloc[0] < knee_per_s("slot") < slot["failed_per_s"].iloc[0]
    assert set(frame["is_disturbed"]) == {True, False}
    assert frame.attrs["units"]["load_per_s"] == "requests/s"
    assert (frame["per_actor_per_s"] * 8 - frame["load_per_s"]).abs().max() < 1e-6
    below = slot[slot["load_per_s"] <= slot["held_per_s"]]
    assert "fails" not in set(below["decision"])


def test_the_plot_draws_trials_limit_and_intervals(found: slotbench.Slo) -> None:
    from matplotlib.figure import Figure

    from slotbench import plots

    ax = plots.slo(found.frame, Figure().add_subplot())
    usable = found.frame["is_usable"].sum()
    drawn = sum(
        len(line.get_xdata()) for line in ax.lines if line.get_linestyle() == "None"
    )
    assert drawn == usable
    (limit,) = {
        float(line.get_ydata()[0]) for line in ax.lines if line.get_linestyle() == "-"
    }
    assert limit == 2e-3
    assert len(ax.patches) == 2
    said = plots.get("slo").describe(found.frame)
    assert "slot: " in said
    assert "shown to hold" in said
    assert dir(found.plot) == ["slo"]
    assert found.plot.slo() is not None
    with pytest.raises(
        AttributeError, match="is drawn of a run, and this is an SLO search"
    ):
        _ = found.plot.latency


def test_a_facet_is_a_cell_and_a_limit(tmp_path: Path) -> None:
    from slotbench import plots
    from slotbench.records import Limit

    plan = replace(P99_2MS, limits=(Limit(50.0, 1e-3), Limit(99.0, 2e-3)))
    search(tmp_path, "slot", plan=plan, num_cells=2)
    frame = slotbench.load_slo(results_dir=tmp_path).frame
    assert [facet.title for facet in plots.get("slo").split(frame)] == [
        f"num_slots={slots}, p{percent}" for slots in (8, 9) for percent in (50, 99)
    ]


def test_a_report_is_written(found: slotbench.Slo, tmp_path: Path) -> None:
    assert "shown to hold" in found.report(tmp_path / "page.html").read_text()
    text = found.report(tmp_path / "page.md", format="md").read_text()
    assert "of all intervals at once" in text


def test_a_search_from_python_records_the_command_that_does_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "LocalExecutor", lambda _: SimulatedExecutor())
    made = slotbench.slo(
        "quickstart",
        p99="2ms",
        p999=0.5,
        contenders="slot",
        overrides={"num_slots": 4},
        from_per_s=500.0,
        budget_s=1e6,
        results_dir=tmp_path,
    )
    assert made.record.command == (
        *("slotbench", "slo", "quickstart", "--set", "num_slots=4", "--contender", "slot"),
        *(
            "--p99",
            "2ms",
            "--p999",
            "500ms",
            "--arrivals",
            "poisson",
            "--precision",
            "0.05",
        ),
        *("--from", "500", "--budget", "1000000s"),
    )
    with pytest.raises(SlotbenchError, match="write 800us"):
        slotbench.slo("quickstart", p99="fast")
    with pytest.raises(SlotbenchError, match="needs a limit"):
        slotbench.slo("quickstart")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"arrivals": "bursty"}, "arrivals are poisson or constant, not 'bursty'"),
        ({"p99": timedelta(milliseconds=2)}, r"the limit of p99 is a number or a text"),
        ({"p99": float("nan")}, "a limit is between"),
        ({"budget_s": float("nan")}, "--budget is more than 0"),
        ({"from_per_s": "x"}, "from_per_s is a number, not 'x'"),
        ({"precision": "5%"}, "precision is a number"),
    ],
)
def test_a_mistake_is_said_and_nothing_made(
    tmp_path: Path, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(SlotbenchError, match=said):
        slotbench.slo("quickstart", **{"p99": "2ms", **given}, results_dir=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_run_is_no_search(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="there is no SLO search in"):
        slotbench.load_slo(results_dir=tmp_path)
