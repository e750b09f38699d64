"""The plot of a request's phases: every mean where it belongs, readable without colour."""

import dataclasses
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from slotbench import plots
from slotbench.compute.phases import PHASES
from slotbench.errors import SlotbenchError
from slotbench.plots import _style
from slotbench.store import StoredProfile
from tests.slotbench.support import altered, grids, profiles

PLOT = plots.get("phases")
US = 1e-6


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """No figure stays open."""
    yield
    plt.close("all")


def drawn(stored: StoredProfile, facet: int = 0) -> Any:
    frame = PLOT.split(PLOT.frame(stored))[facet].frame
    return PLOT.draw(frame, Figure(figsize=PLOT.size(frame)).add_subplot())


def bars(ax: Any, row: int) -> list[tuple[float, float]]:
    """Where the bars of a row begin and end."""
    centre = [
        (patch.get_x(), patch.get_x() + patch.get_width())
        for patch in ax.patches
        if abs(patch.get_y() + patch.get_height() / 2 - row) < 0.01
    ]
    return sorted(centre)


def test_phases_are_stacked_in_the_order_of_a_requests_life() -> None:
    """Each begins where the one before ended; the round trip stands at the end."""
    ax = drawn(profiles.stored())
    for row, label in enumerate(profiles.LABELS):
        found = bars(ax, row)
        times = [value * US for value in profiles.TIMES_US[label]]
        assert len(found) == 9
        assert sum(end - begin for begin, end in found) == pytest.approx(sum(times))
        place = 0.0
        for (begin, end), time_s in zip(found, times, strict=True):
            assert begin == pytest.approx(place, abs=1e-12)
            assert end - begin == pytest.approx(time_s, abs=1e-12)
            place = end
    texts = [text.get_text() for text in ax.texts]
    for whole in ("2.16 ms", "780 µs", "1.79 ms", "333 µs"):
        assert whole in texts
    assert ax.get_xlabel() == "mean time per request, with stamps"
    names = [tick.get_text() for tick in ax.get_yticklabels()]
    assert names[:2] == ["threading", "slot"]


def test_no_two_phases_look_alike_and_numbers_say_which_is_which() -> None:
    """Colours that the colour-blind tell apart, with hatches; a number above each thick part."""
    assert tuple(_style.PHASES) == PHASES
    looks = list(_style.PHASES.values())
    assert len({(look.color, look.hatch) for look in looks}) == len(looks)
    ax = drawn(profiles.stored())
    first = {to_hex(p.get_facecolor()): p for p in ax.patches[:9]}
    assert _style.ORANGE in first
    assert first[_style.ORANGE].get_hatch() == "////"
    names = ax.get_legend_handles_labels()[1]
    assert names == [f"{place} {name}" for place, name in enumerate(PHASES, start=1)]
    numbers = [text.get_text() for text in ax.texts if text.get_text() in set("123456789")]
    # threading's and slot's; what is too thin, or too near to a longer one, has none.
    assert "".join(numbers[:13]) == "1246789346789"[:13]


def test_waiting_is_hatched_and_work_is_not() -> None:
    """So that grey prints tell them apart, too."""
    hatched = {name for name, look in _style.PHASES.items() if look.hatch}
    assert hatched == {
        *("server busy", "wait for batch", "signal → server awake", "wake → actor running"),
    }


def test_a_facet_is_a_cell() -> None:
    """Several cells on one Axes are refused."""
    facets = PLOT.split(PLOT.frame(profiles.stored()))
    assert [facet.title for facet in facets] == [
        grids.cell(16).name,
        grids.cell(16, 1.0).name,
    ]
    with pytest.raises(SlotbenchError, match=r"phases draws one cell.* 2, such as"):
        plots.phases(PLOT.frame(profiles.stored()))
    frame = facets[0].frame
    before = frame.copy()
    assert plots.phases(frame).figure.number in plt.get_fignums()
    assert frame.equals(before)


def test_words_say_every_number_and_what_the_stamps_cost() -> None:
    """For those who do not see it."""
    words = PLOT.describe(PLOT.split(PLOT.frame(profiles.stored()))[0].frame)
    assert "slot: 780 µs, of it write 7.00 µs, server busy 4.00 µs, wait for batch" in words
    assert "the stamps add 41.1 µs, throughput with them is 0.95× of that without" in words
    assert words.endswith(".")
    unknown = altered.failed(profiles.stored([grids.cell(16)]), "slot", passes=("plain",))
    words = PLOT.describe(PLOT.frame(unknown))
    assert "what the stamps cost is not known" in words
    assert "nan" not in words


def test_a_poor_profile_is_drawn() -> None:
    """One round, one contender, one without phases, odd labels; nothing at all has no facet."""
    odd = altered.renamed(profiles.stored(), {"slot": "_m:f[a=$x^2$]", "floor": "$\\frac{"})
    for stored in (
        profiles.stored(rounds=1),
        profiles.stored(labels=("slot",)),
        altered.failed(profiles.stored(), "threading"),
        odd,
    ):
        figure = plots.figure(PLOT, stored)
        figure.canvas.draw()
        assert len(figure.axes) == 2
    assert not PLOT.split(PLOT.frame(profiles.stored(rounds=0)))
    with pytest.raises(
        SlotbenchError, match="has nothing for plot phases: it needs a cont"
    ):
        plots.figure(PLOT, profiles.stored(rounds=0))


def test_a_figure_of_a_profile_holds_chosen_cells_and_contenders() -> None:
    """Under one legend, as of a run."""
    figure = plots.figure(
        PLOT, profiles.stored(), {"model.latency_ms": 1}, contenders=["slot"]
    )
    (ax,) = figure.axes
    assert len(ax.patches) == 9
    (box,) = figure.subfigs[-1].legends
    assert box.get_texts()[0].get_text() == "1 write"


def test_plots_are_of_runs_or_of_profiles() -> None:
    """And are not drawn of the other kind."""
    assert plots.available("profile") == ("phases",)
    assert plots.available("slo") == ("slo",)
    assert {*plots.available("run"), "phases", "slo"} == set(plots.available())
    assert (plots.drawn_of("phases"), plots.drawn_of("loss")) == ("profile", "run")
    with pytest.raises(SlotbenchError, match="plot phases is drawn of a profile, and 2025"):
        plots.figure(PLOT, grids.small_grid())
    with pytest.raises(SlotbenchError, match="plot loss is drawn of a run, and 2026"):
        plots.figure(plots.get("loss"), profiles.stored())
    assert dataclasses.asdict(PLOT)["of"] == "profile"
    assert not PLOT.summary.endswith(".")


def test_what_a_plot_is_of_costs_no_matplotlib() -> None:
    """``slotbench list`` says it."""
    code = (
        "import sys, slotbench.plots as p; p.available('profile');"
        "print({'pandas', 'matplotlib', 'torch'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout == "set()\n"
