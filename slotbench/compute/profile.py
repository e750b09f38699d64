"""What a profile says: phases and ledger of each contender, and what explains a difference.

Each round's trial gives one number; a mean over rounds comes with its 95 % t interval.
"""

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from slotbench.compute import ledger, statistics
from slotbench.compute.ledger import Row
from slotbench.compute.phases import PHASES
from slotbench.compute.statistics import Mean, RatioEstimate
from slotbench.errors import SlotbenchError
from slotbench.records import (
    Cell,
    Contender,
    LockUse,
    PassName,
    Phase,
    Phases,
    ProfileRecord,
    ProfileTrial,
)

MAX_UNSEEN: Final = 0.01
"""Share of a window's requests whose way may be unknown before the phases are not believed."""

_SLOTS: Final = frozenset({"slot", "torchrl.slot"})


@dataclass(frozen=True, slots=True)
class PhaseMean:
    """One phase of one contender.

    Attributes:
        time_s: mean over requests, then over rounds, with its interval.
        p50_s, p99_s: medians over rounds; None with too few requests.
    """

    name: str
    time_s: Mean
    p50_s: float | None
    p99_s: float | None


@dataclass(frozen=True, slots=True)
class Claim:
    """What a documentation says of a contender, and what was counted.

    Attributes:
        text: the claim.
        row: of the ledger, that counts it; it claims 0.
        counted: per request; None where the pass failed.
        holds: less than one in a hundred requests; None likewise.
    """

    text: str
    row: Row
    counted: float | None
    holds: bool | None


@dataclass(frozen=True, slots=True)
class ContenderProfile:
    """One contender in one cell.

    Attributes:
        throughput_per_s: without probes.
        batch_size: mean rows of a batch, without probes.
        probe_ratio: throughput with the stamps of the phases over that without.
        probe_cost_s: what the stamps add to the time between an actor's replies, per request.
        round_trip: None where no pass saw it.
        phases: in the order of a request's life; their means sum to the round trip's.
        ledger: row's name → per request; rows that nothing counted are missing.
        prices_s: row's name → CPU seconds that one costs by itself.
        locks: the most acquired first.
        claims: empty for contenders of which nothing is claimed.
        problems: trials that failed or are INVALID, a line each.
        remarks: what a reader must know of its numbers besides, a line each.
    """

    contender: Contender
    throughput_per_s: Mean | None
    batch_size: float | None
    probe_ratio: RatioEstimate | None
    probe_cost_s: Mean | None
    round_trip: PhaseMean | None
    phases: tuple[PhaseMean, ...]
    ledger: dict[str, Mean]
    prices_s: dict[str, float]
    locks: tuple[LockUse, ...]
    claims: tuple[Claim, ...]
    problems: tuple[str, ...]
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CellProfile:
    """All contenders in one cell, in the scenario's order."""

    cell: Cell
    contenders: tuple[ContenderProfile, ...]

    def of(self, label: str) -> ContenderProfile:
        """The contender of that label.

        Raises:
            SlotbenchError: there is none.
        """
        for one in self.contenders:
            if one.contender.label == label:
                return one
        known = ", ".join(one.contender.label for one in self.contenders)
        raise SlotbenchError(f"no contender {label!r} in this profile: it has {known}")


@dataclass(frozen=True, slots=True)
class PhaseDifference:
    """One phase of two contenders.

    Attributes:
        first_s, second_s: means.
        gap_s: second less first, paired by round, with its interval.
        share: of the gap between the round trips; more than 1, or below 0, where other phases
            go the other way. None where there is no gap.
    """

    name: str
    first_s: float
    second_s: float
    gap_s: Mean
    share: float | None


@dataclass(frozen=True, slots=True)
class RowDifference:
    """One row of the ledger of two contenders.

    Attributes:
        first, second: means.
        gap: second less first, paired by round, with its interval.
        explains_s: seconds per request that the gap comes to: itself, if it is a time, else
            the gap × what one costs by itself; None where that is not known.
    """

    row: Row
    first: float
    second: float
    gap: Mean
    explains_s: float | None


@dataclass(frozen=True, slots=True)
class Difference:
    """Two contenders in one cell.

    Attributes:
        ratio: throughput of the second over the first, without probes.
        gap_s: second's round trip less the first's.
        phases: what explains most of the gap first; they sum to it.
        rows: those whose gap is not noise: the ones with a time first, the longest first.
    """

    cell: Cell
    first: str
    second: str
    ratio: RatioEstimate | None
    gap_s: Mean | None
    phases: tuple[PhaseDifference, ...]
    rows: tuple[RowDifference, ...]


def cells(record: ProfileRecord, trials: Sequence[ProfileTrial]) -> tuple[CellProfile, ...]:
    """Put a profile's trials together: a table a cell."""
    return tuple(
        CellProfile(
            cell,
            tuple(
                _contender(
                    record,
                    cell,
                    contender,
                    _Passes(
                        [
                            t
                            for t in trials
                            if (t.trial.cell, t.trial.contender)
                            == (cell.name, contender.label)
                        ]
                    ),
                )
                for contender in record.scenario.contenders
            ),
        )
        for cell in record.scenario.cells
    )


def difference(
    record: ProfileRecord,
    trials: Sequence[ProfileTrial],
    cell: str,
    first: str,
    second: str,
) -> Difference:
    """Say what lies between two contenders in a cell.

    Raises:
        SlotbenchError: there is no such cell or contender.
    """
    places = {one.name: one for one in record.scenario.cells}
    if cell not in places:
        raise SlotbenchError(
            f"no cell {cell!r} in this profile: it has {', '.join(places)}"
        )
    known = [one.label for one in record.scenario.contenders]
    for label in (first, second):
        if label not in known:
            raise SlotbenchError(
                f"no contender {label!r} in this profile: it has {', '.join(known)}"
            )
    one, other = (
        _Passes([t for t in trials if (t.trial.cell, t.trial.contender) == (cell, label)])
        for label in (first, second)
    )
    return Difference(
        cell=places[cell],
        first=first,
        second=second,
        ratio=_paired_ratio(other.rates("plain"), one.rates("plain")),
        gap_s=_gap(one.round_trips(), other.round_trips()),
        phases=_phase_differences(one, other),
        rows=_row_differences(one, other),
    )


def pair_to_explain(cell: CellProfile, baseline: str | None) -> tuple[str, str] | None:
    """Choose what a reader asks about first: the baseline, and the fastest of the others.

    Returns:
        Labels; None where fewer than two contenders have numbers. The floor is no answer.
    """
    rated = {
        one.contender.label: one.throughput_per_s.mean
        for one in cell.contenders
        if one.throughput_per_s is not None and one.contender.name != "floor"
    }
    if baseline not in rated:
        baseline = next(iter(rated), None)
    others = {label: rate for label, rate in rated.items() if label != baseline}
    if baseline is None or not others:
        return None
    return baseline, max(others, key=others.__getitem__)


class _Passes:
    """The trials of one contender in one cell, by pass and round."""

    def __init__(self, trials: Iterable[ProfileTrial]) -> None:
        self._all = list(trials)
        self._good: dict[PassName, dict[int, ProfileTrial]] = {}
        for one in self._all:
            if one.trial.measurement is not None and not one.trial.is_invalid:
                self._good.setdefault(one.pass_name, {})[one.trial.round] = one

    def good(self, name: PassName) -> dict[int, ProfileTrial]:
        """Round → the trial of that pass that has numbers."""
        return self._good.get(name, {})

    def rates(self, name: PassName) -> dict[int, float]:
        """Round → replies per second in that pass."""
        return {
            index: one.trial.measurement.num_replies / one.trial.measurement.window_s
            for index, one in self.good(name).items()
            if one.trial.measurement is not None and one.trial.measurement.num_replies
        }

    def phases(self, of: Callable[[Phases], float]) -> dict[int, float]:
        """Round → a number of that round's phases, where they are believed."""
        return {
            index: of(one.phases)
            for index, one in self.good("phases").items()
            if one.phases is not None and not _doubt(one)
        }

    def round_trips(self) -> dict[int, float]:
        """Round → mean round trip in seconds, where the phases are believed."""
        return self.phases(lambda found: found.round_trip.mean_s)

    def row(self, name: str) -> dict[int, float]:
        """Round → one row of the ledger."""
        if name in ledger.DERIVED:
            parts = [self.row(part) for part in ledger.DERIVED[name]]
            rounds = set.intersection(*map(set, parts))
            return {index: sum(part[index] for part in parts) for index in sorted(rounds)}
        return {
            index: one.counts[name]
            for trials in self._good.values()
            for index, one in trials.items()
            if one.counts is not None and name in one.counts
        }

    @property
    def problems(self) -> tuple[str, ...]:
        """Trials that have no numbers to be used, in words."""
        return tuple(text for one in self._all if (text := _problem(one)))

    @property
    def remarks(self) -> tuple[str, ...]:
        """What must be known of the numbers."""
        found = [one.phases for one in self.good("phases").values()]
        if any(one is not None and not one.is_write_seen for one in found):
            return (
                "its client has no submit, so where its write ends is not seen: it is in the "
                "phase after it, and locks taken in submit are not told from others",
            )
        return ()

    @property
    def prices_s(self) -> dict[str, list[float]]:
        """Row → what one was seen to cost."""
        found: dict[str, list[float]] = {}
        for trials in self._good.values():
            for one in trials.values():
                for name, price_s in (one.prices_s or {}).items():
                    found.setdefault(name, []).append(price_s)
        return found


def _contender(
    record: ProfileRecord, cell: Cell, contender: Contender, passes: _Passes
) -> ContenderProfile:
    plain, probed = passes.rates("plain"), passes.rates("phases")
    both = sorted(set(plain) & set(probed))
    slots = cell.workload.num_slots
    sizes = [
        one.trial.measurement.num_rows / one.trial.measurement.num_batches
        for one in passes.good("plain").values()
        if one.trial.measurement is not None and one.trial.measurement.num_batches
    ]
    rows = {row.name: passes.row(row.name) for row in ledger.ROWS}
    counted = {name: statistics.mean(list(of.values())) for name, of in rows.items() if of}
    for tool in record.tools:
        if (tool.cell, tool.contender) == (cell.name, contender.label):
            counted |= {
                name: statistics.mean([value])
                for name, value in (tool.counts or {}).items()
                if name in ledger.BY_NAME
            }
    return ContenderProfile(
        contender=contender,
        throughput_per_s=statistics.mean(list(plain.values())) if plain else None,
        batch_size=sum(sizes) / len(sizes) if sizes else None,
        probe_ratio=_paired_ratio(probed, plain),
        # In a closed loop an actor's replies are num_slots / throughput apart.
        probe_cost_s=statistics.mean([slots / probed[r] - slots / plain[r] for r in both])
        if both
        else None,
        round_trip=_phase_mean(passes, "round trip"),
        phases=tuple(
            found for name in PHASES if (found := _phase_mean(passes, name)) is not None
        ),
        ledger={row.name: counted[row.name] for row in ledger.ROWS if row.name in counted},
        prices_s=_prices([passes]),
        locks=next((one.locks for one in passes.good("locks").values()), ()),
        claims=_claims(contender, counted),
        problems=passes.problems,
        remarks=passes.remarks,
    )


def _claims(contender: Contender, counted: dict[str, Mean]) -> tuple[Claim, ...]:
    if contender.name not in _SLOTS:
        return ()
    claims = []
    for name, text in ledger.SLOT_CLAIMS.items():
        value = counted[name].mean if name in counted else None
        holds = None if value is None else value < 0.01
        claims.append(Claim(text, ledger.BY_NAME[name], value, holds))
    return tuple(claims)


def _phase_mean(passes: _Passes, name: str) -> PhaseMean | None:
    means = passes.phases(functools.partial(_mean_s, name))
    if not means:
        return None
    all_of = [
        _named(one.phases, name)
        for index, one in passes.good("phases").items()
        if index in means and one.phases is not None
    ]
    return PhaseMean(
        name=name,
        time_s=statistics.mean(list(means.values())),
        p50_s=_median([one.p50_s for one in all_of]),
        p99_s=_median([one.p99_s for one in all_of]),
    )


def _named(found: Phases, name: str) -> Phase:
    if name == found.round_trip.name:
        return found.round_trip
    return next(one for one in found.phases if one.name == name)


def _mean_s(name: str, found: Phases) -> float:
    return _named(found, name).mean_s


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _paired_ratio(
    second: dict[int, float], first: dict[int, float]
) -> RatioEstimate | None:
    both = sorted(set(first) & set(second))
    if not both:
        return None
    return statistics.paired_log_ratio([second[r] for r in both], [first[r] for r in both])


def _gap(first: dict[int, float], second: dict[int, float]) -> Mean | None:
    both = sorted(set(first) & set(second))
    return statistics.mean([second[r] - first[r] for r in both]) if both else None


def _phase_differences(first: _Passes, second: _Passes) -> tuple[PhaseDifference, ...]:
    whole = _gap(first.round_trips(), second.round_trips())
    if whole is None:
        return ()
    both = sorted(set(first.round_trips()) & set(second.round_trips()))
    found = []
    for name in PHASES:
        one, other = (
            side.phases(functools.partial(_mean_s, name)) for side in (first, second)
        )
        gap = _gap(one, other)
        assert gap is not None, "the phases are there where their round trip is"
        found.append(
            PhaseDifference(
                name=name,
                first_s=sum(one[r] for r in both) / len(both),
                second_s=sum(other[r] for r in both) / len(both),
                gap_s=gap,
                share=gap.mean / whole.mean if whole.mean else None,
            )
        )
    return tuple(sorted(found, key=lambda one: -abs(one.gap_s.mean)))


def _row_differences(first: _Passes, second: _Passes) -> tuple[RowDifference, ...]:
    prices_s = _prices((first, second))
    found = []
    for row in ledger.ROWS:
        one, other = first.row(row.name), second.row(row.name)
        gap = _gap(one, other)
        if gap is None or _is_noise(gap):
            continue
        both = sorted(set(one) & set(other))
        means = [sum(of[r] for r in both) / len(both) for of in (one, other)]
        explains_s = gap.mean if row.unit == "s" else None
        if row.name in prices_s:
            explains_s = gap.mean * prices_s[row.name]
        found.append(RowDifference(row, means[0], means[1], gap, explains_s))
    return tuple(sorted(found, key=_rank))


def _rank(one: RowDifference) -> tuple[int, float]:
    if one.explains_s is not None:
        return 0, -abs(one.explains_s)
    return 1, -abs(math.log((abs(one.second) + 1e-9) / (abs(one.first) + 1e-9)))


def _is_noise(gap: Mean) -> bool:
    if gap.low is None or gap.high is None:
        return gap.mean == 0.0
    return gap.low <= 0.0 <= gap.high


def _prices(sides: Sequence[_Passes]) -> dict[str, float]:
    """Row → the median of what one was seen to cost: a thing has one price on a machine."""
    seen: dict[str, list[float]] = {}
    for side in sides:
        for name, prices_s in side.prices_s.items():
            seen.setdefault(name, []).extend(prices_s)
    return {name: median(prices_s) for name, prices_s in seen.items()}


def _doubt(one: ProfileTrial) -> str:
    """Say why the phases are not to be believed; "" if they are."""
    found, measurement = one.phases, one.trial.measurement
    assert found is not None, "asked of those that have phases"
    num_all = found.num_requests + found.num_unseen + found.num_out_of_order
    lost = found.num_unseen + found.num_out_of_order
    if lost > MAX_UNSEEN * num_all:
        return (
            f"{lost} of {num_all} requests were not seen in one batch with stamps in order"
        )
    if found.max_error_s > 0.0:
        return f"phases and round trip differ by up to {found.max_error_s:.3g} s"
    # The trial's own latency is computed elsewhere, from all replies.
    latency_s = None if measurement is None else measurement.latency_mean_s
    total_s = sum(phase.mean_s for phase in found.phases)
    if latency_s and abs(total_s / latency_s - 1.0) > MAX_UNSEEN:
        return f"the phases sum to {total_s:.4g} s, and replies took {latency_s:.4g} s on average"
    return ""


def _problem(one: ProfileTrial) -> str:
    trial = one.trial
    where = f"{one.pass_name}, round {trial.round + 1}"
    if trial.status == "failed":
        return f"{where}: failed: {trial.error}"
    for finding in trial.findings:
        if finding.severity == "INVALID":
            return f"{where}: INVALID: {finding.detail}"
    if one.phases is not None and (doubt := _doubt(one)):
        return f"{where}: not believed: {doubt}"
    if one.pass_name == "phases" and one.phases is None:
        return f"{where}: no request was seen from submit to reply"
    return ""
