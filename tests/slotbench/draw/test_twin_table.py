"""A real environment and its twin in words: who is predicted, and who is ranked alike."""

import dataclasses
import json
from typing import Any

import pytest

from slotbench import draw
from slotbench.compute import twins
from slotbench.compute.between import narrow
from slotbench.compute.comparison import Comparison, compare
from slotbench.draw import Screen, twin_table
from slotbench.records import GymEnvironment, ThinkTime
from slotbench.store import StoredRun
from tests.slotbench.support import twins as made
from tests.slotbench.support.calibrations import calibrated

TITLE = "Real environments and their twins"


def asked(stored: StoredRun) -> Comparison:
    """The run's comparison, with what its twins say."""
    found = compare(stored.run, stored.trials)
    said = twins.predictions(stored.run, stored.trials, stored.calibrations)
    return dataclasses.replace(found, twins=said)


@pytest.mark.parametrize("name", ["text", "md", "html", "github"])
def test_twins_are_shown_where_they_were_asked(name: str) -> None:
    """Both throughputs, the ratio with its verdict, the ranks and the names of both cells."""
    found = asked(made.pair())
    flat = " ".join(draw.render(found, name).replace("\\", "").split())

    assert TITLE in flat
    assert "CartPole-v1, 8 actors: a twin that thinks 500 µs (lognormal, σ 0.3), computing under" in flat  # fmt: skip
    for said in ("does not predict", "agrees", "differs", "twin 8 of 0.5", "real 8"):
        assert said in flat
    assert "throughput predicted: 1 of 3 contenders" in flat
    assert "ranked alike: 1 of 2 contenders" in flat
    assert "[0.83, 1.20] the twin predicts" in flat
    assert TITLE not in draw.render(dataclasses.replace(found, twins=()), name)


def test_a_row_says_what_was_computed() -> None:
    """Column by column; a baseline has no rank."""
    (table,) = twin_table.tables(asked(made.pair(noise=0.0)))

    assert table.rows == (
        ("threading", "1 000/s", "1 050/s", "1.05×", "predicts", "", "", ""),
        ("slot", "2 000/s", "3 000/s", "1.50×", "does not predict", "2.00×", "2.86×", "agrees"),
        ("torchrl.slot", "500/s", "1 300/s", "2.60×", "does not predict", "0.50×", "1.24×", "differs"),
    )  # fmt: skip
    assert len(table.header) == len(table.rows[0])
    assert table.header[5:7] == ("real vs threading", "twin vs threading")


@pytest.mark.parametrize("width", [24, 60, 100, 200])
def test_long_names_of_cells_do_not_widen_a_screen(width: int) -> None:
    """A twin's cell is named by half a dozen fields: the name stands in a note, and is folded."""
    long = dataclasses.replace(made.twin(), name="think_time=" + "x, " * 60)
    real = made.real()
    stored = made.stored([real, long], {real.name: (1e3,) * 3, long.name: (1e3,) * 3})
    text = draw.render(asked(stored), "text", Screen(width))

    assert max(map(len, text.splitlines())) <= width


def test_every_pair_has_a_table_of_its_own() -> None:
    """Two twins of one cell are told apart by what they think."""
    cells = [made.real(), made.twin(), made.twin(mean_ms=2.0)]
    stored = made.stored(cells, {cell.name: (1e3, 2e3, 3e3) for cell in cells})
    names = [table.name for table in twin_table.tables(asked(stored))]

    assert [name.rpartition("thinks ")[2][:7] for name in names] == ["500 µs ", "2.00 ms"]


@pytest.mark.parametrize(
    ("think", "said"),
    [
        (ThinkTime(), "does not think"),
        (ThinkTime("constant", 2.0), "thinks 2.00 ms (constant), asleep"),
        (
            ThinkTime("lognormal", 0.41, 0.198, "busy_nogil"),
            "thinks 410 µs (lognormal, σ 0.198), computing without the GIL",
        ),
    ],
)
def test_a_think_time_in_words(think: ThinkTime, said: str) -> None:
    """Mean, shape, and what it keeps busy."""
    assert twin_table.thinks(think) == said


def test_the_library_is_named() -> None:
    """Both libraries have a Pong-v5, or nearly."""
    pool = made.real(environment=GymEnvironment("Pong-v5", library="envpool"))
    assert twin_table.environment(pool.workload) == "Pong-v5 of EnvPool"
    assert twin_table.environment(made.real().workload) == "CartPole-v1"


def test_what_a_twin_should_think_is_said_where_it_is_known() -> None:
    """Constants for the scenario file, from the calibrations."""
    (table,) = twin_table.tables(asked(calibrated(made.pair())))
    assert any(note.startswith("as the environment was calibrated: mean_ms = 0") for note in table.notes)  # fmt: skip
    (table,) = twin_table.tables(asked(made.pair()))
    assert not any("calibrated" in note for note in table.notes)


def test_json_holds_twins_where_they_were_asked() -> None:
    """A row per pair and contender, to the last digit; null otherwise."""
    found = asked(made.pair())
    read: dict[str, Any] = json.loads(draw.render(found, "json"))
    plain = dataclasses.replace(found, twins=())

    assert read["twins"] == [twins.flat(one) for one in found.twins]
    assert json.loads(draw.render(plain, "json"))["twins"] is None


def test_contenders_that_were_not_chosen_are_left_out() -> None:
    """The baseline and the one named."""
    found = narrow(asked(made.pair()), ["slot"])

    assert isinstance(found, Comparison)
    assert {one.contender for one in found.twins} == {"threading", "slot"}


def test_a_comment_says_how_to_see_what_it_has_no_room_for() -> None:
    """Forty pairs are beyond a section's share."""
    cells = [cell for n in range(1, 41) for cell in (made.real(n), made.twin(n))]
    stored = made.stored(cells, {cell.name: (1e3, 2e3, 3e3) for cell in cells})
    text = draw.render(asked(stored), "github")

    assert "`slotbench compare --twins --format md` shows all" in text
    assert len(text) <= 65_000
