"""Two runs: what changed from one to the other, cell by cell and contender by contender.

Runs share no block, so the machine's drift between them cancels only as far as each run's own
baseline felt it too: what is compared is the ratio to that baseline, by Welch's interval over
blocks. The baseline's own row says how much it moved itself, and is not judged. An absolute
comparison holds the values against each other and leaves all drift in.

Runs of another machine, Python, torch or workload are not compared unless told to.
"""

import dataclasses
import itertools
import json
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Final

from slotbench.compute import comparison, environment_diff, statistics
from slotbench.compute.comparison import Comparison, ComparisonRow, Pairing
from slotbench.compute.environment_diff import Difference
from slotbench.compute.metrics import Metric
from slotbench.compute.metrics import get as get_metric
from slotbench.compute.statistics import RatioEstimate, Verdict
from slotbench.errors import SlotbenchError
from slotbench.records import Cell, Contender, RunRecord, Scalar, TrialRecord

MAX_NAMED: Final = 5
"""Differences that a refusal names before it counts the rest."""


@dataclass(frozen=True, slots=True)
class TwoRuns:
    """What both runs have, head over base.

    Attributes:
        base: the run compared with, inside itself.
        head: the run judged, inside itself.
        is_absolute: whether ``rows`` compare values and not ratios to the baseline.
        baseline: label that both runs divide by; None where ``is_absolute``.
        threshold: δ of the verdicts, where ``thresholds`` says no other.
        thresholds: metric → its δ, of every metric compared.
        confidence: of every interval of ``rows``: where a run looked more than once, as its own
            intervals have; of two such runs, the surer.
        metrics: names; the first is the one that the opening sentence speaks of.
        cells: of both runs, in head's order.
        contenders: of both runs, in the order of ``head.contenders``.
        rows: by cell, contender and metric, in these orders.
        differences: of environment and workload, the forbidding ones first.
        notes: what is in one of the runs only, and what else a reader must know.
        chosen: labels that it was narrowed to; empty where it was not.
    """

    base: Comparison
    head: Comparison
    is_absolute: bool
    baseline: str | None
    threshold: float
    thresholds: Mapping[str, float]
    confidence: float
    metrics: tuple[str, ...]
    cells: tuple[Cell, ...]
    contenders: tuple[Contender, ...]
    rows: tuple[ComparisonRow, ...]
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]
    chosen: tuple[str, ...] = ()

    @property
    def looks(self) -> tuple[int, ...]:
        """Those of the run whose intervals are surer; empty where no run looked more than once."""
        return max(self.base, self.head, key=lambda run: run.confidence).looks


Compared = Comparison | TwoRuns
"""What can be drawn and gated."""


def compare(
    base: tuple[RunRecord, Sequence[TrialRecord]],
    head: tuple[RunRecord, Sequence[TrialRecord]],
    *,
    metrics: Sequence[str] | None = None,
    threshold: float | None = None,
    thresholds: Mapping[str, float] | None = None,
    baseline: str | None = None,
    is_absolute: bool = False,
    allow_different: bool = False,
) -> TwoRuns:
    """Compares every cell and contender that two runs share.

    Args:
        base: plan and trials of the run to compare with.
        head: of the run to judge.
        metrics: names; see `slotbench.compute.metrics.available`. None is the usual ones of head.
        threshold: δ; head's own where None, as of `slotbench.compute.comparison.compare`.
        thresholds: metric → another δ for it.
        baseline: label that both runs divide by; the scenarios' own where None.
        is_absolute: compare the values themselves.
        allow_different: compare also where a difference forbids it.

    Raises:
        SlotbenchError: the runs have no cell or contender in common, divide by different
            baselines, or differ in what forbids a comparison; or as
            `slotbench.compute.comparison.compare`.
        RecordError: the trials are not the run's.
    """
    runs = base[0], head[0]
    cells = _shared(head[0].scenario.cells, base[0].scenario.cells)
    labels = {contender.label for contender in base[0].scenario.contenders}
    _check_common(runs, cells, labels)
    below = _baselines(runs, baseline, is_absolute)
    found = _differences(runs, cells)
    if not allow_different:
        _refuse(found)
    delta = head[0].scenario.threshold if threshold is None else threshold
    names = (
        comparison.default_metrics(head[0].scenario.cells) if metrics is None else metrics
    )
    own = {} if threshold is not None else comparison.own_thresholds(head[0], names)
    inside = [
        comparison.compare(
            run,
            trials,
            metrics=names,
            threshold=delta,
            thresholds={**own, **(thresholds or {})},
            baseline=label,
        )
        for (run, trials), label in zip((base, head), below, strict=True)
    ]
    pairings = [
        comparison.pair(run, trials, label)
        for (run, trials), label in zip((base, head), below, strict=True)
    ]
    contenders = tuple(c for c in inside[1].contenders if c.label in labels)
    confidence = max(one.confidence for one in inside)
    between = _Between((pairings[0], pairings[1]), is_absolute, confidence)
    sides = [
        {(row.cell, row.contender, row.metric): row for row in one.rows} for one in inside
    ]
    places = itertools.product(
        [cell.name for cell in cells],
        [contender.label for contender in contenders],
        inside[1].metrics,
    )
    return TwoRuns(
        base=inside[0],
        head=inside[1],
        is_absolute=is_absolute,
        baseline=None if is_absolute else below[1],
        threshold=delta,
        thresholds=inside[1].thresholds,
        confidence=confidence,
        metrics=inside[1].metrics,
        cells=cells,
        contenders=contenders,
        rows=tuple(between.row(sides[0][place], sides[1][place]) for place in places),
        differences=found,
        notes=tuple(
            _notes(
                runs, () if threshold is not None else set(names) - set(thresholds or {})
            )
        ),
    )


def narrow(compared: Compared, labels: Sequence[str]) -> Compared:
    """Leaves out all contenders but these and the baseline: from rows, problems and gates.

    Args:
        compared: one run, or two.
        labels: of contenders that it has.

    Raises:
        SlotbenchError: it has no such contender; all that it has are named.
    """
    known = [contender.label for contender in compared.contenders]
    for label in labels:
        if label not in known:
            raise SlotbenchError(
                f"no contender {label!r} to compare: there is {', '.join(known)}"
            )
    kept = {*labels} | ({compared.baseline} if compared.baseline is not None else set())
    contenders = tuple(who for who in compared.contenders if who.label in kept)
    rows = tuple(row for row in compared.rows if row.contender in kept)
    if isinstance(compared, TwoRuns):
        base, head = (_narrowed(one, kept) for one in (compared.base, compared.head))
        return dataclasses.replace(
            compared,
            base=base,
            head=head,
            contenders=contenders,
            rows=rows,
            chosen=tuple(labels),
        )
    return dataclasses.replace(_narrowed(compared, kept), chosen=tuple(labels))


def _narrowed(one: Comparison, kept: Set[str]) -> Comparison:
    scaling = one.scalability
    return dataclasses.replace(
        one,
        contenders=tuple(who for who in one.contenders if who.label in kept),
        rows=tuple(row for row in one.rows if row.contender in kept),
        problems=tuple(problem for problem in one.problems if problem.contender in kept),
        losses=tuple(loss for loss in one.losses if loss.contender in kept),
        twins=tuple(said for said in one.twins if said.contender in kept),
        loads=tuple(point for point in one.loads if point.contender in kept),
        interpreters=tuple(
            found for found in one.interpreters if found.row.contender in kept
        ),
        scalability=None if scaling is None else scaling.of(kept),
    )


@dataclass(frozen=True, slots=True)
class _Between:
    """Base's trials that count, and head's."""

    pairings: tuple[Pairing, Pairing]
    is_absolute: bool
    confidence: float

    def row(self, base: ComparisonRow, head: ComparisonRow) -> ComparisonRow:
        metric = get_metric(head.metric)
        is_baseline = head.is_baseline and not self.is_absolute
        ratio = self._ratio(head, metric)
        repeat = self._repeat(head.cell, metric)
        return dataclasses.replace(
            head,
            is_baseline=is_baseline,
            ratio=ratio,
            verdict=self._verdict(head, metric, ratio),
            more_blocks=None,
            noise_floor=None if repeat is None else statistics.noise_floor(repeat),
            can_resolve=comparison.can_resolve(repeat, head.threshold),
            num_invalid=base.num_invalid + head.num_invalid,
            num_failed=base.num_failed + head.num_failed,
            sides=(base, head),
        )

    def _ratio(self, row: ComparisonRow, metric: Metric) -> RatioEstimate | None:
        is_plain = self.is_absolute or row.is_baseline
        base, head = (
            (pairing.log_values if is_plain else pairing.log_ratios)(
                row.cell, row.contender, metric
            )
            for pairing in self.pairings
        )
        return self._welch(head, base)

    def _welch(self, head: list[float], base: list[float]) -> RatioEstimate | None:
        if not (head and base):
            return None
        return statistics.welch_log_ratio(head, base, self.confidence)

    def _repeat(self, cell: str, metric: Metric) -> RatioEstimate | None:
        """What is the same baseline in both runs, head over base, as the rows are made.

        Of ratios each run's A/A pairs, whichever contender its own baseline is; of values
        the baseline's, which must then be one and the same.
        """
        one, other = self.pairings
        if not self.is_absolute:
            base, head = one.log_repeats(cell, metric), other.log_repeats(cell, metric)
        elif one.baseline == other.baseline:
            base = one.log_values(cell, one.baseline, metric)
            head = other.log_values(cell, one.baseline, metric)
        else:
            return None
        return self._welch(head, base)

    def _verdict(
        self, row: ComparisonRow, metric: Metric, ratio: RatioEstimate | None
    ) -> Verdict | None:
        if row.is_floor:
            return "limit"
        if row.is_baseline and not self.is_absolute:
            return "drift"
        is_withheld = any(
            self._is_withheld(pairing, row, metric) for pairing in self.pairings
        )
        return comparison.verdict(ratio, metric, row.threshold, is_withheld)

    def _is_withheld(self, pairing: Pairing, row: ComparisonRow, metric: Metric) -> bool:
        """Whether a run has a value of 0 there, or a latency beyond saturation, which is a lower limit."""
        label = row.contender
        behind = (label,) if self.is_absolute else (label, pairing.baseline)
        is_latency = metric.name.startswith("latency_")
        return pairing.has_zero(row.cell, behind, metric) or (
            is_latency and any(pairing.is_saturated(row.cell, one) for one in behind)
        )


def _shared(cells: Iterable[Cell], others: Iterable[Cell]) -> tuple[Cell, ...]:
    names = {cell.name for cell in others}
    return tuple(cell for cell in cells if cell.name in names)


def _check_common(
    runs: tuple[RunRecord, RunRecord], cells: Sequence[Cell], labels: set[str]
) -> None:
    names = " and ".join(run.run_id for run in runs)
    if not cells:
        raise SlotbenchError(
            f"{names} have no cell in common: compare runs of the same scenario"
        )
    if not any(contender.label in labels for contender in runs[1].scenario.contenders):
        raise SlotbenchError(
            f"{names} have no contender in common: run both with the same --contender"
        )


def _baselines(
    runs: tuple[RunRecord, RunRecord], wanted: str | None, is_absolute: bool
) -> tuple[str, str]:
    """The label that each run divides by; the same one unless values are compared."""
    if is_absolute and wanted is not None:
        raise SlotbenchError(
            "an absolute comparison has no baseline: leave out --baseline or --absolute"
        )
    for run in runs:
        labels = [contender.label for contender in run.scenario.contenders]
        if wanted is not None and wanted not in labels:
            raise SlotbenchError(
                f"no contender {wanted!r} in {run.run_id}: it has {', '.join(labels)}"
            )
    base, head = (
        comparison.baseline_label(run.scenario.contenders, wanted) for run in runs
    )
    if base != head and not is_absolute:
        raise SlotbenchError(
            f"the runs have different baselines, {base} in {runs[0].run_id} and {head} in "
            f"{runs[1].run_id}: name one of both runs with --baseline, or compare values "
            "with --absolute"
        )
    return base, head


def _differences(
    runs: tuple[RunRecord, RunRecord], cells: Sequence[Cell]
) -> tuple[Difference, ...]:
    """Of workloads, which all forbid, and of every environment that a run was measured in."""
    base, head = (
        (run.environment, *(again.environment for again in run.resumptions)) for run in runs
    )
    of_environment = dict.fromkeys(
        difference
        for one, other in itertools.product(base, head)
        for difference in environment_diff.differences(one, other)
    )
    workloads = {cell.name: cell.workload for cell in runs[0].scenario.cells}
    where: dict[tuple[str, Scalar | None, Scalar | None], list[str]] = {}
    for cell in cells:
        one, other = (
            dict(_fields("", dataclasses.asdict(workload)))
            for workload in (workloads[cell.name], cell.workload)
        )
        for name in dict.fromkeys((*one, *other)):
            if one.get(name) != other.get(name):
                place = (name, one.get(name), other.get(name))
                where.setdefault(place, []).append(cell.name)
    of_workload = [
        Difference(*place, forbids=True, why=f"another workload in {_such(names)}")
        for place, names in where.items()
    ]
    return tuple(sorted((*of_workload, *of_environment), key=lambda d: not d.forbids))


def _fields(name: str, value: Any) -> Iterable[tuple[str, Scalar | None]]:
    """A workload's fields under their dotted names; lists as JSON."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _fields(f"{name}.{key}" if name else key, part)
    elif value is None or isinstance(value, bool | int | float | str):
        yield name, value
    else:
        yield name, json.dumps(value, ensure_ascii=False)


def _such(names: Sequence[str]) -> str:
    first = f"cell {names[0]!r}"
    return first if len(names) == 1 else f"{len(names)} cells, such as {first}"


def _refuse(found: Iterable[Difference]) -> None:
    forbidding = [difference for difference in found if difference.forbids]
    if not forbidding:
        return
    named = [f"{d.name} is {d.base} and {d.head}" for d in forbidding[:MAX_NAMED]]
    if len(forbidding) > MAX_NAMED:
        named.append(f"{len(forbidding) - MAX_NAMED} more")
    raise SlotbenchError(
        f"the runs are not comparable: {', '.join(named)}; measure both in one place, or "
        "compare all the same with --allow-different"
    )


def _notes(runs: tuple[RunRecord, RunRecord], metrics: Collection[str]) -> Iterable[str]:
    """What only one run has, and what is odd about the two; δ of these metrics is the runs' own."""
    if runs[0].run_id == runs[1].run_id:
        yield "base and head are the same run: nothing can have changed"
    scenarios = [run.scenario for run in runs]
    for kind, names in (
        ("cell", [[cell.name for cell in s.cells] for s in scenarios]),
        ("contender", [[c.label for c in s.contenders] for s in scenarios]),
    ):
        for side, mine, others in (("base", *names), ("head", *names[::-1])):
            yield from (f"{kind} {x} is only in {side}" for x in mine if x not in others)
    base, head = (comparison.own_thresholds(run, sorted(metrics)) for run in runs)
    where: dict[tuple[float, float], list[str]] = {}
    for name in base:
        if base[name] != head[name]:
            where.setdefault((head[name], base[name]), []).append(get_metric(name).label)
    for (of_head, of_base), labels in where.items():
        of_which = "" if len(labels) == len(base) else f" of {', '.join(labels)}"
        yield f"δ{of_which} is {of_head:g}, as head says; base says {of_base:g}"
