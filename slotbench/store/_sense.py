"""What a record's numbers and names may be beyond their types, so that all who read it may rely on it.

A file that was damaged, or edited by hand, can hold what no run records: a count below 0,
1e999, a time of 1e-300 s by which something is divided. Said here once, as damage with its
place; it would else be a wrong number, or a failure, somewhere in a comparison or an export.
"""

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from slotbench.records import (
    BASELINE_REPEAT,
    MAX_SEQUENTIAL_ROUNDS,
    MIN_PRECISION,
    PERCENTILES,
    CalibrationRecord,
    Histogram,
    ProfileRecord,
    RunRecord,
    Scenario,
    SloPlan,
    SloRecord,
    TrialRecord,
)

MAX_BUCKET: Final = 3_648
"""The bucket of `slotbench.compute.histogram.MAX_NS`; that module costs an import of numpy."""

_LEAST: Final = 1e-12
_MOST: Final = 1e12
"""Of floats but 0: no clock tells a picosecond, and no run lasts 30 000 years."""

_FREE: Final = frozenset({"environment", "coordinates", "options"})
"""Tables of a user's or the machine's own numbers, of any sign and size."""

_DIFFERENCES: Final = frozenset({"startup_s", "warmup_s", "teardown_s", "think_excess_s"})
"""Between stamps of different threads, or of a sleep and what was asked; below 0 where one ended early."""

ODD: Final = re.compile(
    rb"[\[:,]\s*(?:-|\d{13})|0\.0{9}|NaN|Infinity|[eE](?:\+|\d|-\d\d\d|-[1-9]\d)"
)
"""A number that may not be in a trial, or a text that looks like one. Going through all the
numbers of every trial would take longer than all the rest of reading it."""


def trial_problem(data: Any, trial: TrialRecord) -> str:
    """Say what cannot be in a trial, with the field's name; "" where all can.

    Args:
        data: the line as JSON, parsed; None where it holds nothing `ODD`.
        trial: the same as a record.
    """
    for problem in _numbers(data, "", is_free=False):
        return problem
    if trial.arm not in {0, BASELINE_REPEAT}:
        return f"arm: there is no arm {trial.arm}"
    if _is_no_time(trial.started_at):
        return f"started_at: {trial.started_at!r} is no time of a run"
    if trial.measurement is None:
        return ""
    of = trial.measurement.open_loop
    late = Histogram() if of is None else of.late
    return _bucket_problem(
        trial.measurement.latency, "measurement.latency"
    ) or _bucket_problem(late, "measurement.open_loop.late")


def calibration_problem(data: Any, calibration: CalibrationRecord) -> str:
    """Say what cannot be in a calibration, with the field's name; "" where all can.

    Args:
        data: the line as JSON, parsed; None where it holds nothing `ODD`.
        calibration: the same as a record.
    """
    for problem in _numbers(data, "", is_free=False):
        return problem
    sizes = [point.batch_size for point in calibration.service]
    if sizes != sorted({size for size in sizes if size > 0}):
        return f"service: batch sizes {sizes} do not rise from 1"
    for point in calibration.service:
        if point.median_s <= 0.0 or point.num_calls < 1:
            return (
                f"service: a batch of {point.batch_size} took no time, or was never served"
            )
    is_whole = bool(sizes) and None not in {
        calibration.think_mean_s,
        calibration.think_cpu_s,
    }
    if calibration.status == "ok" and not is_whole:
        return "status: ok, but times are missing"
    if calibration.num_cpus < 1:
        return "num_cpus: there is none"
    return _bucket_problem(calibration.think, "think")


def _bucket_problem(histogram: Histogram, field: str) -> str:
    last = max(histogram.buckets, default=(0, 0))[0]
    return f"{field}.buckets: there is no bucket {last}" if last > MAX_BUCKET else ""


def run_problem(data: Any, run: RunRecord) -> str:
    """Say what cannot be in run.json, with the field's name; "" where all can.

    Args:
        data: the file as JSON, parsed.
        run: the same as a record.
    """
    problems = itertools.chain(
        _numbers(data, "", is_free=False),
        _head_problems(run),
        _scenario_problems(run.scenario),
        _design_problems(run),
        _sequential_problems(run),
        _node_problems(run),
    )
    return next(problems, "")


def profile_problem(data: Any, profile: ProfileRecord) -> str:
    """Say what cannot be in profile.json, with the field's name; "" where all can.

    Args:
        data: the file as JSON, parsed.
        profile: the same as a record.
    """
    problems = itertools.chain(
        _numbers(data, "", is_free=False),
        _name_problems("profile_id", profile.profile_id, profile.created_at),
        _scenario_problems(profile.scenario),
    )
    return next(problems, "")


def slo_problem(data: Any, record: SloRecord) -> str:
    """Say what cannot be in slo.json, with the field's name; "" where all can.

    Args:
        data: the file as JSON, parsed.
        record: the same as a record.
    """
    problems = itertools.chain(
        _numbers(data, "", is_free=False),
        _name_problems("slo_id", record.slo_id, record.created_at),
        _scenario_problems(record.scenario),
        _plan_problems(record.plan),
        _window_problems(record.scenario),
    )
    return next(problems, "")


def _plan_problems(plan: SloPlan) -> Iterator[str]:
    if not plan.limits:
        yield "plan.limits: there is none"
    for limit in plan.limits:
        if limit.percent not in PERCENTILES or limit.limit_s <= 0.0:
            yield f"plan.limits: p{limit.percent:g} of {limit.limit_s} s is no limit"
    if len({limit.percent for limit in plan.limits}) < len(plan.limits):
        yield "plan.limits: a percentile has two"
    if not MIN_PRECISION <= plan.precision <= 1.0:
        yield f"plan.precision: {plan.precision} is not between {MIN_PRECISION} and 1"
    if not 0.0 < plan.confidence < 1.0:
        yield f"plan.confidence: {plan.confidence} is not between 0 and 1"
    looks = list(plan.looks)
    if not looks or looks != sorted(set(looks)) or looks[0] < 2:
        yield f"plan.looks: {looks} do not rise from 2 or more"


def _window_problems(scenario: Scenario) -> Iterator[str]:
    """Where no window could hold a request: what is divided by its length."""
    for index, cell in enumerate(scenario.cells):
        if cell.workload.window.max_measure_s <= 0.0:
            yield f"scenario.cells.{index}.workload.window.max_measure_s: it is 0"


def _name_problems(field: str, name: str, created_at: str) -> Iterator[str]:
    if not name or not name.isprintable():
        yield f"{field}: {name!r} is no name"
    if _is_no_time(created_at):
        yield f"created_at: {created_at!r} is no time of a run"


def _head_problems(run: RunRecord) -> Iterator[str]:
    yield from _name_problems("run_id", run.run_id, run.created_at)


def _scenario_problems(scenario: Scenario) -> Iterator[str]:
    names = [cell.name for cell in scenario.cells]
    labels = [contender.label for contender in scenario.contenders]
    for field, given in (("cells", names), ("contenders", labels)):
        if not given:
            yield f"scenario.{field}: there is none"
        for name, number in Counter(given).items():
            if number > 1:
                yield f"scenario.{field}: {name!r} is there {number} times"
    if sum(contender.baseline for contender in scenario.contenders) > 1:
        yield "scenario.contenders: more than one is the baseline"
    if not 0.0 < scenario.threshold < 1.0:
        yield f"scenario.threshold: {scenario.threshold} is not between 0 and 1"
    for index, cell in enumerate(scenario.cells):
        workload = cell.workload
        if not (workload.num_slots and workload.batching.max_batch_size):
            yield f"scenario.cells.{index}.workload: no slots, or batches of nothing"


def _design_problems(run: RunRecord) -> Iterator[str]:
    """Where the plan is not of this run's cells and contenders."""
    cells = {cell.name for cell in run.scenario.cells}
    labels = [contender.label for contender in run.scenario.contenders]
    trials = {f"{label}#{arm}" for label in labels for arm in (0, BASELINE_REPEAT)}
    for number, planned in enumerate(run.design.blocks):
        for cell, order in planned:
            if cell not in cells:
                yield f"design.blocks.{number}: there is no cell {cell!r}"
            for name in order:
                if name not in trials:
                    yield f"design.blocks.{number}: there is no trial {name!r}"


def _node_problems(run: RunRecord) -> Iterator[str]:
    labels = [node.label for node in run.nodes]
    for label in labels:
        if not re.fullmatch(r"n[1-9]\d{0,8}", label):
            yield f"nodes: {label!r} is no label of a node"
    if len(set(labels)) < len(labels):
        yield "nodes: two have the same label"


def _sequential_problems(run: RunRecord) -> Iterator[str]:
    """Where the looks of a run until decided cannot be."""
    planned = run.sequential
    if planned is None:
        return
    rises = all(before < now for before, now in itertools.pairwise(planned.looks))
    if not planned.looks or planned.looks[0] < 2 or not rises:
        yield f"sequential.looks: {list(planned.looks)} do not rise from 2 on"
    elif planned.looks[-1] > MAX_SEQUENTIAL_ROUNDS:
        yield f"sequential.looks: {planned.looks[-1]} is more than {MAX_SEQUENTIAL_ROUNDS} rounds"
    if not 0.0 < planned.confidence < 1.0:
        yield f"sequential.confidence: {planned.confidence} is not between 0 and 1"
    if not planned.metrics or set(planned.metrics) != set(planned.thresholds):
        yield "sequential.thresholds: not one for each metric"
    if not run.design.blocks:
        yield "sequential: no round is planned"
    cells = {cell.name for cell in run.scenario.cells}
    for number, one in enumerate(planned.stopped):
        if one.cell not in cells:
            yield f"sequential.stopped.{number}: there is no cell {one.cell!r}"


def _is_no_time(text: str) -> bool:
    """Whether it is a date so far away that arithmetic with it fails; no date is for people."""
    try:
        return not 1970 <= datetime.fromisoformat(text).year <= 9000
    except ValueError:
        return False


def _numbers(value: Any, place: str, *, is_free: bool) -> Iterator[str]:
    """What is wrong with the numbers under a value, each with its place."""
    if isinstance(value, dict):
        for key, inner in value.items():
            inside = f"{place}.{key}" if place else str(key)
            yield from _numbers(inner, inside, is_free=is_free or key in _FREE)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _numbers(inner, f"{place}.{index}", is_free=is_free)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        problem = _number_problem(value, place.rpartition(".")[2], is_free=is_free)
        if problem:
            yield f"{place}: {problem}"


def _number_problem(value: float, name: str, *, is_free: bool) -> str:
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return "a whole number of more than 64 bits"
    if not math.isfinite(value):
        return "a number without end"
    if is_free:
        return ""
    if value < 0 and name not in _DIFFERENCES:
        return f"{value} is below 0"
    if isinstance(value, float) and value and not _LEAST <= abs(value) <= _MOST:
        return f"{value} is beyond what can be measured"
    return ""
