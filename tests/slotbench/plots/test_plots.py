"""Every plot draws the numbers of its frame, says them in words, and labels its axes."""

import dataclasses
import math
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from slotbench import plots
from slotbench.errors import SlotbenchError
from slotbench.plots import _facets, _style
from slotbench.store import StoredRun
from tests.slotbench.support import grids

ALL = plots.available("run")
OF_OPEN_LOOPS = {"latency_vs_load"}
"""Which have nothing to draw of a closed one."""


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """No figure stays open."""
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def stored() -> StoredRun:
    """Two by two cells of five contenders."""
    return grids.small_grid()


def frame_of(name: str, stored: StoredRun) -> Any:
    return plots.get(name).frame(stored)


def ax_of(name: str, stored: StoredRun, facet: int = 0) -> Any:
    plot = plots.get(name)
    return plot.draw(plot.split(plot.frame(stored))[facet].frame, Figure().add_subplot())


def lines_of(ax: Any) -> dict[str, Any]:
    return {line.get_label(): line for line in ax.get_lines()}


def legend_of(figure: Any) -> list[str]:
    """Names of the one legend, which stands in the figure's last part."""
    (box,) = figure.subfigs[-1].legends
    return [text.get_text() for text in box.get_texts()]


def texts_of(ax: Any) -> list[str]:
    return [text.get_text() for text in ax.texts]


@pytest.mark.parametrize("name", ALL)
def test_every_plot_draws_all_its_facets(name: str, stored: StoredRun) -> None:
    """On the Axes given, which come back; with a label on an axis, and in words."""
    plot = plots.get(name)
    if name in OF_OPEN_LOOPS:
        stored = grids.open_grid(x=[1, 2])
    facets = plot.split(plot.frame(stored))
    assert facets
    covered: set[str] = set()
    for facet in facets:
        covered |= set(facet.frame["cell"])
        figure = Figure(figsize=plot.size(facet.frame))
        ax = figure.add_subplot()
        assert plot.draw(facet.frame, ax) is ax
        assert ax.get_xlabel() or ax.get_ylabel()
        figure.canvas.draw()
        words = plot.describe(facet.frame)
        assert words.endswith(".")
        assert "nan" not in words
        for label in dict.fromkeys(facet.frame["contender"]):
            assert label in words
    wanted = {cell.name for cell in stored.run.scenario.cells}
    assert covered == wanted


@pytest.mark.parametrize("name", ALL)
def test_every_plot_makes_a_figure_where_none_is_given(
    name: str, stored: StoredRun
) -> None:
    """``slotbench.plots.<name>(frame)``; the frame is as it was."""
    plot = plots.get(name)
    stored = grids.open_grid() if name in OF_OPEN_LOOPS else stored
    frame = plot.split(plot.frame(stored))[0].frame
    before = frame.copy()
    assert getattr(plots, name)(frame).figure.number in plt.get_fignums()
    assert frame.equals(before)


@pytest.mark.parametrize("name", ALL)
def test_every_plot_survives_a_poor_run(name: str) -> None:
    """One cell, one round, contenders without numbers, no floor, nothing at all."""
    place = grids.cell()
    rates = {(place.name, "threading"): 1000.0, (place.name, "slot"): 2000.0}
    for stored in (
        grids.stored(rates, [place], rounds=1),
        grids.stored(rates, [place], labels=("threading", "slot", "slot[preallocate]")),
        grids.stored({}, [place]),
        grids.stored({}, [place, grids.cell(64, 1.0)]),
    ):
        plot = plots.get(name)
        for facet in plot.split(plot.frame(stored)):
            figure = Figure()
            plot.draw(facet.frame, figure.add_subplot())
            figure.canvas.draw()
            assert plot.describe(facet.frame)


def test_throughput_draws_values_bands_and_the_bound(stored: StoredRun) -> None:
    """A line a contender along actors, and the bound where the policy's time is known."""
    free, busy = (lines_of(ax_of("throughput", stored, facet)) for facet in (0, 1))

    assert list(free["slot"].get_xdata()) == [4, 64]
    assert free["slot"].get_ydata() == pytest.approx([4000, 16_000], rel=0.01)
    assert "bound" not in free
    assert busy["bound"].get_ydata() == pytest.approx([4000, 64_000])
    ax = ax_of("throughput", stored)
    assert len(ax.collections) == 5
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("actors", "requests/s")


def test_throughput_draws_other_metrics_with_their_units(stored: StoredRun) -> None:
    """A latency is no rate."""
    plot = plots.get("throughput")
    frame = plot.frame(stored, metric="latency_p50")
    ax = plot.draw(plot.split(frame)[0].frame, Figure().add_subplot())
    assert ax.get_ylabel() == "p50 latency"
    assert "p50 latency" in plot.describe(plot.split(frame)[0].frame)


def test_a_map_shows_each_ratio_and_what_is_undecided(stored: StoredRun) -> None:
    """Text in every field; brackets and hatches exactly where the verdict is inconclusive."""
    plot = plots.get("ratio_map")
    facets = plot.split(plot.frame(stored))
    assert [facet.title for facet in facets] == [
        "slot",
        "slot[preallocate]",
        "torchrl.slot",
    ]
    ax = ax_of("ratio_map", stored)
    found = texts_of(ax)
    assert len(found) == 4
    assert [round(float(text.strip("×="))) for text in found] == [2, 2, 1, 1]

    noisy = grids.small_grid(noise=30)
    frame = plot.frame(noisy)
    undecided = frame[frame["verdict"] == "inconclusive"]
    assert len(undecided)
    for facet in plot.split(frame):
        ax = plot.draw(facet.frame, Figure().add_subplot())
        bracketed = sum(text.startswith("(") for text in texts_of(ax))
        hatched = sum(bool(patch.get_hatch()) for patch in ax.patches)
        expected = int((facet.frame["verdict"] == "inconclusive").sum())
        assert bracketed == hatched == expected


def test_a_map_of_no_grid_has_cells_as_rows() -> None:
    """Where actors and latency do not tell cells apart."""
    cells = [grids.cell(shape=(n,), **{"observation.shape": n}) for n in (8, 16)]
    rates = {(c.name, x): 1000.0 for c in cells for x in ("threading", "slot")}
    stored = grids.stored(rates, cells, labels=("threading", "slot"))
    ax = ax_of("ratio_map", stored)

    assert [tick.get_text() for tick in ax.get_yticklabels()] == [c.name for c in cells]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["slot"]


def test_blue_is_better_also_where_less_is_better(stored: StoredRun) -> None:
    """A ratio of latencies above 1 is orange; the further from 1 the fuller, evenly."""
    from slotbench.plots.plot_ratio_map import _color

    (red, _, blue), _ = _color(2.0, "higher")
    assert blue > red
    (red, _, blue), _ = _color(2.0, "lower")
    assert red > blue
    assert _color(0.5, "lower")[0] == pytest.approx(_color(2.0, "higher")[0])
    assert _color(1.0, "higher") == ((1.0, 1.0, 1.0), "black")
    assert _color(100.0, "higher") == _color(4.0, "higher")


def test_preallocation_stands_along_the_size_of_observations() -> None:
    """Where sizes differ they are the axis; the line at 1 and ±δ are drawn."""
    cells = [
        grids.cell(shape=(n,), **{"observation.shape": f"[{n}]"})
        for n in (8, 1000, 100_000)
    ]
    rates = {}
    for place, gain in zip(cells, (0.9, 1.5, 3.0), strict=True):
        rates[place.name, "slot"] = 1000.0
        rates[place.name, "slot[preallocate]"] = 1000.0 * gain
    stored = grids.stored(rates, cells, labels=("slot", "slot[preallocate]"))
    plot = plots.get("preallocate")
    (facet,) = plot.split(plot.frame(stored))
    ax = plot.draw(facet.frame, Figure().add_subplot())
    line = lines_of(ax)["slot[preallocate]"]

    assert list(line.get_xdata()) == [32, 4000, 400_000]
    assert line.get_ydata() == pytest.approx([0.9, 1.5, 3.0], rel=0.05)
    assert ax.get_xlabel() == "observation"
    ticks = [tick.get_text() for tick in ax.get_xticklabels()]
    assert ticks == ["32 B", "4.00 kB", "400 kB"]


def test_percentiles_stand_by_nines(stored: StoredRun) -> None:
    """50, 90, 99: each nine is as wide as the one before."""
    ax = ax_of("latency", stored)
    assert ax.get_xticks() == pytest.approx([math.log10(2), 1, 2])
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["50", "90", "99"]
    assert ax.get_yscale() == "log"


@pytest.mark.parametrize("name", ["latency", "batch_sizes", "loss"])
def test_a_plot_of_one_cell_refuses_several(name: str, stored: StoredRun) -> None:
    """It says how many there are and how to get one."""
    with pytest.raises(
        SlotbenchError, match=rf"{name} draws one cell.* 4, such as .*split"
    ):
        getattr(plots, name)(frame_of(name, stored))


def test_batches_are_drawn_where_they_are_and_as_dark_as_they_are_many(
    stored: StoredRun,
) -> None:
    """A quarter of size 1 and three quarters of size 4; the stroke stands at the mean."""
    ax = ax_of("batch_sizes", stored)
    first, second = ax.patches[:2]

    assert (first.get_x(), second.get_x()) == (0.5, 3.5)
    assert first.get_facecolor()[3] == pytest.approx(0.5)
    assert second.get_facecolor()[3] == pytest.approx(0.75**0.5)
    assert ax.get_lines()[0].get_xdata() == pytest.approx([3.25, 3.25])


def test_many_batch_sizes_are_put_together() -> None:
    """256 actors need no 256 strokes; the shares still add up."""
    from slotbench.plots import plot_batch_sizes

    stored = grids.stored(
        {(grids.cell(256).name, "slot"): 1e3}, [grids.cell(256)], labels=("slot",)
    )
    frame = plots.get("batch_sizes").frame(stored)
    ax = plot_batch_sizes.batch_sizes(frame, Figure().add_subplot())
    assert {patch.get_width() for patch in ax.patches} == {4}
    assert sum(patch.get_facecolor()[3] ** 2 for patch in ax.patches) == pytest.approx(1.0)


def test_an_actor_that_starves_is_seen(stored: StoredRun) -> None:
    """The share stands in every field."""
    assert set(texts_of(ax_of("fairness", stored))) == {"90 %"}


def test_losses_are_stacked_from_measured_to_the_bound(stored: StoredRun) -> None:
    """Up to floor, free transport, bound: each bar begins where the last ended."""
    busy = next(
        place
        for place, facet in enumerate(plots.get("loss").split(frame_of("loss", stored)))
        if facet.title == grids.cell(64, 1.0).name
    )
    ax = ax_of("loss", stored, busy)
    bars = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in ax.patches[:4]]

    assert bars[0] == pytest.approx((0, 8000), rel=0.01)
    # 1 ms, and N = 64 in two parties: a free transport serves 32 000, a little above the floor.
    assert bars[1] == pytest.approx((8000, 31_936), rel=0.01)
    assert bars[2][0] == bars[1][1]
    assert bars[-1][1] == pytest.approx(64_000, rel=0.01)
    assert {"floor", "free transport", "bound"} <= set(lines_of(ax))


def test_a_contender_looks_alike_everywhere() -> None:
    """By its label among all of the run's; a family has one colour, its members marks."""
    labels = [*grids.LABELS, "torchrl.slot[collate=lazy_stack]", "mine:f", "yours:g"]
    looks = _style.series(labels)

    assert looks["slot"].color == looks["slot[preallocate]"].color
    assert looks["slot"].marker != looks["slot[preallocate]"].marker
    assert looks["mine:f"].color != looks["yours:g"].color
    assert len({(x.color, x.marker, str(x.dashes)) for x in looks.values()}) == len(labels)
    # Two families differ in brightness or hue to those who see no red or no green, too.
    assert (
        len({looks[x].color for x in ("slot", "threading", "torchrl.slot", "floor")}) == 4
    )


def test_facets_cut_several_grids_apart() -> None:
    """Along actors, then along size; a cell that fits neither stands by itself, none is lost."""
    cells = [
        *(grids.cell(n) for n in (4, 8, 64)),
        *(
            grids.cell(64, shape=(n,), **{"observation.shape": f"[{n}]"})
            for n in (100, 1000)
        ),
        grids.cell(16, 5.0),
    ]
    rates = {(c.name, x): 1e3 for c in cells for x in ("threading", "slot")}
    plot = plots.get("throughput")
    facets = plot.split(
        plot.frame(grids.stored(rates, cells, labels=("threading", "slot")))
    )
    found = [set(facet.frame["cell"]) for facet in facets]

    assert found == [
        {c.name for c in cells[:3]},
        {c.name for c in cells[2:5]},
        {cells[5].name},
    ]
    assert facets[2].title == cells[5].name


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ({"num_slots": "4"}, 8),
        ({"num_slots": "4.0", "model.latency_ms": "1"}, 4),
        ({"contender": "slot"}, 4),
        ({"num_slots": ["4", "64"], "model.latency_ms": [1]}, 8),
        ({"cell": grids.cell(4, 0.0).name}, 4),
    ],
)
def test_cells_are_chosen_by_value(
    where: dict[str, Any], rows: int, stored: StoredRun
) -> None:
    """Numbers compare as numbers."""
    assert len(plots.select(frame_of("loss", stored), where)) == rows


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"slots": "4"}, "no axis 'slots' in this run: it has num_slots, "),
        ({"num_slots": "5"}, "no cell has num_slots=5: there is 4, 64"),
        ({"num_slots": ["4", "5"]}, "no cell has num_slots=5: there is 4, 64"),
    ],
)
def test_a_choice_that_is_not_there_is_refused(
    where: dict[str, Any], message: str, stored: StoredRun
) -> None:
    """What there is is named."""
    with pytest.raises(SlotbenchError, match=message):
        plots.select(frame_of("loss", stored), where)


def test_a_figure_holds_all_facets_under_one_legend(stored: StoredRun) -> None:
    """``run.plot.<name>()`` and ``slotbench plot`` draw this."""
    figure = plots.figure(plots.get("throughput"), stored)
    assert len(figure.axes) == 2
    names = legend_of(figure)
    assert names == [
        *("threading", "slot", "slot[preallocate]", "torchrl.slot"),
        "floor",
        "bound",
    ]
    one = plots.figure(
        plots.get("throughput"), stored, {"model.latency_ms": 1}, contenders=["slot"]
    )
    assert len(one.axes) == 1
    assert set(lines_of(one.axes[0])) >= {"slot", "bound"}
    assert not plt.get_fignums()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"contenders": ["nope"]}, "no contender 'nope' in plot latency: it has threading"),
        (
            {"metric": "throughput"},
            "plot latency has no metric: it has baseline, threshold",
        ),
        ({"baseline": "nope"}, "no contender 'nope'"),
    ],
)
def test_what_a_plot_has_not_is_refused(
    options: dict[str, Any], message: str, stored: StoredRun
) -> None:
    """In one line that names what it has."""
    name = "latency" if "baseline" not in options else "throughput"
    with pytest.raises(SlotbenchError, match=message):
        plots.figure(plots.get(name), stored, **options)


def test_too_many_parts_are_refused() -> None:
    """A picture of forty parts shows none."""
    cells = [grids.cell(n) for n in range(1, 42)]
    rates = {(c.name, "slot"): 1e3 for c in cells}
    with pytest.raises(
        SlotbenchError, match="would have 41 parts: choose cells by an axis"
    ):
        plots.figure(plots.get("latency"), grids.stored(rates, cells, labels=("slot",)))


def test_nothing_to_draw_is_said() -> None:
    """No contender with and without the option."""
    place = grids.cell()
    stored = grids.stored({(place.name, "slot"): 1e3}, [place], labels=("slot",))
    with pytest.raises(
        SlotbenchError, match="nothing for plot preallocate: it needs a contender with and"
    ):
        plots.figure(plots.get("preallocate"), stored)


def test_an_unknown_plot_offers_the_nearest() -> None:
    """As an attribute it is an AttributeError, as Python wants it."""
    with pytest.raises(
        SlotbenchError, match="unknown plot 'troughput': did you mean throughput"
    ):
        plots.get("troughput")
    with pytest.raises(AttributeError):
        _ = plots.nope
    assert set(ALL) <= set(dir(plots))


def test_names_of_plots_cost_no_import() -> None:
    """``slotbench plot --help`` lists them without matplotlib, pandas or numpy."""
    code = (
        "import sys, slotbench.plots as p; p.available();"
        "print({'numpy', 'pandas', 'matplotlib', 'torch'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout == "set()\n"


def test_ticks_of_ratios_are_round(stored: StoredRun) -> None:
    """And hold 1, whatever the range."""
    for low, high in ((0.97, 1.02), (0.8, 1.3), (0.2, 5.0), (0.01, 300.0)):
        ax = Figure().add_subplot()
        ax.set_xscale("log")
        _style.ratios_axis(ax.xaxis, low, high)
        ticks = [text.get_text() for text in ax.get_xticklabels()]
        assert "1×" in ticks
        assert 1 <= len(ticks) <= 16
        assert all(re.fullmatch(r"[\d.]+×", tick) for tick in ticks)


def test_long_labels_are_broken() -> None:
    """Options below the name; nothing is left out, and no line is longer than a plot can hold."""
    assert _style.wrapped("slot[preallocate]") == "slot[preallocate]"
    assert _style.wrapped("torchrl.slot[collate=x]") == "torchrl.slot\n[collate=x]"
    label = f"mine:f[a={'0123456789' * 20}]"
    lines = _style.wrapped(label).split("\n")
    assert "".join(lines) == label
    assert max(map(len, lines)) <= 60
    assert _style.wrapped("") == ""


def test_rates_are_short() -> None:
    """500, 2k, 1.5M; of seconds 20 µs, and 0 without a unit."""
    assert [_style.duration(x) for x in (2e-5, 1e-3, 0.0)] == ["20 µs", "1 ms", "0"]
    assert [_style.rate(x) for x in (500, 2000, 1.5e6)] == ["500", "2k", "1.5M"]


def test_a_hole_is_one_value() -> None:
    """NaN is not distinct from NaN."""
    import pandas as pd

    frame = pd.DataFrame({"a": [np.nan, np.nan, 1.0]})
    assert _facets.distinct(frame, "a") == [None, 1.0]


def test_a_plot_module_says_all_that_is_asked_of_it() -> None:
    """Title and summary are one line; the summary ends without a point."""
    for name in ALL:
        plot = plots.get(name)
        assert plot.title
        assert "\n" not in plot.summary
        assert not plot.summary.endswith(".")
        assert dataclasses.asdict(plot)["name"] == name


@pytest.mark.parametrize("name", ALL)
def test_labels_are_texts_and_no_formulas(name: str) -> None:
    """Dollars, underscores in front, long options: drawn as they are written."""
    labels = ("_m:f[a=$x^2$]", "slot", "slot[preallocate]", "m:f[b=\\frac{]", "floor")
    cells = [grids.cell(n, ms, x="$y_1$ & <z>") for n in (4, 64) for ms in (0.0, 1.0)]
    rates = {(c.name, label): 1000.0 for c in cells for label in labels}
    stored = grids.stored(rates, cells, labels=labels)
    if name in OF_OPEN_LOOPS:
        stored = grids.open_grid(labels, x=["$y_1$ & <z>", "$z_1$"])
    figure = plots.figure(plots.get(name), stored)
    figure.canvas.draw()
    if name in {"throughput", "latency"}:
        assert any("$x^2$" in text for text in legend_of(figure))


def test_what_no_plot_can_draw_is_refused(stored: StoredRun) -> None:
    """No rows, and two metrics on one axis."""
    frame = frame_of("throughput", stored)
    with pytest.raises(SlotbenchError, match="the frame has no rows"):
        plots.throughput(frame.iloc[:0])
    both = plots.get("throughput").frame(stored, metric=["throughput", "latency_p99"])
    with pytest.raises(
        SlotbenchError, match="one metric at a time, and not throughput, latency"
    ):
        plots.ratio_map(both)


def test_another_metric_stands_in_the_title(stored: StoredRun) -> None:
    """As does the baseline's name."""
    for name, expected in (
        ("throughput", ("Throughput", "p99 latency")),
        ("ratio_map", ("Ratio to slot", "Ratio to slot, p99 latency")),
    ):
        plot = plots.get(name)
        frames = [
            plot.frame(stored, baseline="slot", metric=metric)
            for metric in ("throughput", "latency_p99")
        ]
        assert tuple(map(plot.titled, frames)) == expected


@pytest.mark.parametrize("name", ["latency", "batch_sizes", "fairness", "loss"])
def test_facets_stand_in_the_scenarios_order(name: str, stored: StoredRun) -> None:
    """Whatever the order in which trials were measured."""
    shuffled = dataclasses.replace(stored, trials=stored.trials[::-1])
    frame = frame_of(name, shuffled)
    assert list(dict.fromkeys(frame["cell"])) == [c.name for c in stored.run.scenario.cells]
    assert frame.equals(frame_of(name, stored)) or name == "latency"


@pytest.mark.parametrize("name", ALL)
def test_a_wrong_baseline_or_threshold_is_refused_by_every_plot(
    name: str, stored: StoredRun
) -> None:
    """Also by those that it plays no part in."""
    for options in ({"baseline": "nope"}, {"threshold": -1.0}):
        with pytest.raises(SlotbenchError):
            plots.figure(plots.get(name), stored, **options)


def test_a_facet_without_a_number_is_no_facet() -> None:
    """A run that was broken off before its second latency, and one of INVALID trials."""
    cells = [grids.cell(n, ms) for n in (4, 64) for ms in (0.0, 1.0)]
    rates = {(c.name, "slot"): 1e3 for c in cells if c.workload.model.latency_ms}
    plot = plots.get("throughput")
    (facet,) = plot.split(plot.frame(grids.stored(rates, cells, labels=("slot", "floor"))))
    assert facet.title == "model.latency_ms=1"
    ax = plot.draw(facet.frame, Figure().add_subplot())
    assert list(lines_of(ax)["slot"].get_ydata()) == pytest.approx([1e3, 1e3], rel=0.02)


def test_latency_under_load_is_hollow_where_the_backlog_grew() -> None:
    """p99 solid, p50 dashed, at the offered load; threading is saturated at 100 000 a second."""
    stored = grids.open_grid(("threading", "slot"))
    ax = ax_of("latency_vs_load", stored)
    lines = [line for line in ax.get_lines() if line.get_linestyle() in {"-", "--"}]
    marks = [line for line in ax.get_lines() if line not in lines]

    assert [list(line.get_xdata()) for line in lines] == [[1e3, 1e4, 1e5]] * 4
    assert [line.get_linestyle() for line in lines] == ["-", "--"] * 2
    assert lines[0].get_ydata() == pytest.approx([4e-3, 4e-3, 4e-2], rel=0.01)
    assert lines[1].get_ydata() == pytest.approx([1.5e-3, 1.5e-3, 1.5e-2], rel=0.01)
    hollow = [m for m in marks if m.get_markerfacecolor() == "none"]
    assert [list(mark.get_xdata()) for mark in hollow] == [[1e5]] * 4
    assert ax.get_xscale() == ax.get_yscale() == "log"
    words = plots.get("latency_vs_load").describe(frame_of("latency_vs_load", stored))
    assert "slot: 4.00 ms, 4.00 ms, 40.0 ms (saturated from 100 000/s)" in words


def test_a_closed_loop_has_no_latency_under_load(stored: StoredRun) -> None:
    """And says what it would take."""
    plot = plots.get("latency_vs_load")

    assert plot.split(plot.frame(stored)) == []
    with pytest.raises(SlotbenchError, match="open loop"):
        plots.figure(plot, stored)
