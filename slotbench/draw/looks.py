"""What a run until decided says of its looks: how sure its intervals are, and which cells it decided.

Empty for any other run: that looked once, at its end.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from slotbench.compute import deciding, metrics
from slotbench.compute.between import Compared
from slotbench.compute.comparison import Comparison
from slotbench.compute.deciding import RowStanding
from slotbench.compute.statistics import CONFIDENCE
from slotbench.draw import units
from slotbench.records import RunRecord, Sequential, StoppedCell, StopReason, TrialRecord

_STOPPED: Final[dict[StopReason, str]] = {
    "decided": "decided",
    "no numbers": "what is undecided lacks numbers",
    "no prospect": "stopped: what is undecided had less than a {chance} chance of a verdict by the last look",
    "max rounds": "undecided at the most rounds",
    "budget": "undecided when the budget was spent",
}


def interval(compared: Compared) -> str:
    """How sure an interval is: "95 % interval", or "98.5 % interval (95 % over all 5 looks)"."""
    said = f"{units.percent(compared.confidence)} interval"
    number = len(compared.looks)
    if number < 2:
        return said
    whose = "all" if isinstance(compared, Comparison) else "a run's"
    return f"{said} ({units.percent(CONFIDENCE)} over {whose} {number} looks)"


def rounds(compared: Comparison) -> str:
    """How many rounds: "5 rounds", or "5 to 14 rounds, until decided"."""
    most = units.count(compared.num_rounds, "round")
    if compared.sequential is None:
        return most
    first = compared.sequential.looks[0]
    span = most if compared.num_rounds <= first else f"{first} to {most}"
    return f"{span}, until decided"


def plan(planned: Sequential) -> str:
    """What was planned, in one line."""
    by = ", ".join(
        f"{metrics.get(name).label} (δ {units.percent(planned.thresholds[name])})"
        for name in planned.metrics
    )
    limit = (
        ""
        if planned.budget_s is None
        else f", for at most {units.duration(planned.budget_s)}"
    )
    after = ", ".join(map(str, planned.looks[:-1]))
    return (
        f"until decided by {by}: looks after {after} and {planned.max_rounds} rounds{limit}; "
        f"{units.percent(planned.confidence)} intervals, which make "
        f"{units.percent(CONFIDENCE)} over all {len(planned.looks)} looks"
    )


@dataclass(frozen=True, slots=True)
class CellEnd:
    """How one cell of the run ended.

    Attributes:
        stopped: when and why.
        undecided: what has no verdict, in words.
    """

    stopped: StoppedCell
    undecided: tuple[str, ...]


def ends(run: RunRecord, trials: Sequence[TrialRecord]) -> tuple[CellEnd, ...]:
    """Every cell that got no more rounds, in the scenario's order; empty of any other run."""
    if run.sequential is None:
        return ()
    stopped = {one.cell: one for one in run.sequential.stopped}
    found = deciding.standings(run, trials)
    return tuple(
        CellEnd(
            stopped[cell.name],
            tuple(_undecided(one) for one in _open(found, cell.name)),
        )
        for cell in run.scenario.cells
        if cell.name in stopped
    )


def lines(run: RunRecord, trials: Sequence[TrialRecord]) -> tuple[str, ...]:
    """The plan, then what came of every cell: those that are decided together, others a line each."""
    planned = run.sequential
    if planned is None:
        return ()
    said = [plan(planned)]
    found = ends(run, trials)
    decided: dict[int, list[str]] = {}
    for one in found:
        if one.stopped.reason == "decided":
            decided.setdefault(one.stopped.rounds, []).append(one.stopped.cell)
    for number, cells in sorted(decided.items()):
        said.append(f"decided after {units.count(number, 'round')}: {', '.join(cells)}")
    said += [_line(one) for one in found if one.stopped.reason != "decided"]
    going = len(run.scenario.cells) - len(found)
    if going:
        said.append(f"{units.count(going, 'cell')} not decided yet")
    return tuple(said)


def _line(end: CellEnd) -> str:
    number = units.count(end.stopped.rounds, "round")
    why = _STOPPED[end.stopped.reason].format(chance=units.percent(deciding.MIN_PROSPECT))
    what = f": {'; '.join(end.undecided)}" if end.undecided else ""
    return f"{end.stopped.cell}: {number}, {why}{what}"


def _open(found: Iterable[RowStanding], cell: str) -> list[RowStanding]:
    return [one for one in found if one.row.cell == cell and one.standing != "decided"]


def _undecided(one: RowStanding) -> str:
    row = one.row
    who = f"{row.contender} {metrics.get(row.metric).label}"
    if one.standing == "no numbers" or row.ratio is None:
        lost = [
            f"{number} {kind}"
            for kind, number in (("failed", row.num_failed), ("INVALID", row.num_invalid))
            if number
        ]
        why = (
            f": {', '.join(lost)}"
            if lost
            else ": a value of 0, or beyond saturation"
            if row.ratio
            else ""
        )
        return f"{who} was not waited for{why}"
    if row.ratio.low is None or row.ratio.high is None:
        return f"{who} {units.ratio(row.ratio.point)}"
    interval = units.interval(row.ratio.low, row.ratio.high)
    return f"{who} {units.ratio(row.ratio.point)} {interval}"
