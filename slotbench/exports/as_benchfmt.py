"""The Go benchmark format: one line a trial, for ``benchstat``.

``benchstat -col /contender FILE`` then compares contenders by tests of its own, on the same
trials. What two files must share to be comparable are configuration lines (scenario and
CPU), since benchstat makes a table of its own for every other combination; the rest of the
environment stands in lines that readers skip.

Source: golang.org/design/14313-benchmark-format; golang.org/x/perf/benchfmt for the unit
lines and for what a name may hold.
"""

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from slotbench.exports._rendered import Rendered
from slotbench.exports._text import percent_encode, value_text
from slotbench.exports._trials import UsableTrial, account, usable_trials

if TYPE_CHECKING:
    from slotbench.compute.metrics import Metric
    from slotbench.records import RunRecord
    from slotbench.store import StoredRun

SUMMARY: Final = "Go benchmark format, for benchstat -col /contender"
DEFAULT_NAME: Final = "{run_id}.bench.txt"

_CONFIGURATION: Final = ("cpu_model_name", "cpu_count")
"""Of the environment: numbers from machines that differ in these are not compared."""


def render(stored: "StoredRun") -> Rendered:
    """One file in UTF-8; trials without any metric are left out."""
    from slotbench.compute import metrics

    known = [metrics.get(name) for name in metrics.available()]
    axes = {cell.name: cell.coordinates for cell in stored.run.scenario.cells}
    trials = usable_trials(stored)
    results = []
    for trial in trials:
        pairs = list(_pairs(trial, known))
        if pairs:
            # A trial of 0 replies is one iteration of nothing: the count must be positive.
            count = max(1, trial.measurement.num_replies)
            name = _name(axes[trial.record.cell], trial.record.contender)
            results.append(f"{name} {count} {' '.join(pairs)}")
    lines = [*_head(stored.run), "", *_unit_lines(known), "", *results, ""]
    left_out = {"without any metric": len(trials) - len(results)}
    text = "\n".join(lines)
    return Rendered(
        {"": text.encode("utf-8", "replace")},
        (account(stored, len(results), left_out),),
    )


def unit(metric: "Metric") -> str:
    """A metric's unit as it stands in the file: "latency_p50-sec", "throughput-requests/s".

    It begins with the metric's name, since a unit may stand in a line once.
    """
    name = "sec" if metric.unit == "s" else metric.unit
    return percent_encode(f"{metric.name}-{name}", "")


def _head(run: "RunRecord") -> Iterator[str]:
    environment = run.environment
    yield f"# {_line(run.scenario.title)}"
    yield f"# run_id: {_line(run.run_id)}"
    for key, value in environment.items():
        if key not in _CONFIGURATION:
            yield f"# {_line(key)}: {_line(value)}"
    yield f"scenario: {_line(run.scenario.name)}"
    for key in _CONFIGURATION:
        if text := _line(environment.get(key, "")):
            yield f"{key}: {text}"


def _unit_lines(known: "Iterable[Metric]") -> Iterator[str]:
    """Directions, of the metrics that have one."""
    for metric in known:
        if metric.better != "neither":
            yield f"Unit {unit(metric)} better={metric.better}"


def _pairs(trial: UsableTrial, known: "Iterable[Metric]") -> Iterator[str]:
    for metric in known:
        value = metric.value(trial.measurement)
        if value is not None:
            yield f"{value!r} {unit(metric)}"


def _name(coordinates: dict[str, object], contender: str) -> str:
    parts = [*coordinates.items(), ("contender", contender)]
    name = "/".join(
        f"{percent_encode(axis, '/=')}={percent_encode(value_text(value), '/')}"
        for axis, value in parts
    )
    # "-4" at a name's end would be read as the number of Go's threads.
    return "BenchmarkStep/" + re.sub(r"-(?=\d+$)", "%2D", name)


def _line(value: object) -> str:
    return " ".join(str(value).split())
