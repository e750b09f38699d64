"""What a gate decided and why, in one line."""

from collections.abc import Mapping, Sequence
from typing import Final

from slotbench.compute import metrics
from slotbench.compute.gates import ALPHA, Gate, GatedRow
from slotbench.draw import cell_table, units

MAX_NAMED: Final = 3
"""Rows, contenders or missing things that the line names before it counts the rest."""


def gate_line(gate: Gate) -> str:
    """The line: "gate: passed: …" or "gate: failed: …"."""
    if gate.result == "passed":
        return f"gate: passed: {_passed(gate)}"
    return f"gate: failed: {_failed(gate)}"


def _failed(gate: Gate) -> str:
    if gate.result == "regression":
        regressed = [row for row in gate.rows if row.outcome == "regressed"]
        regressed.sort(key=lambda gated: (gated.p_holm or 0.0, gated.p_worse or 0.0))
        return _named(regressed)
    if gate.result == "failed trial":
        return f"{_trials(gate.failed)} failed ({_names(gate.failed)})"
    if gate.result == "missing data":
        return f"missing data: {_first(gate.missing, '; ')}"
    if gate.result == "INVALID":
        are = "is" if sum(gate.invalid.values()) == 1 else "are"
        return f"{_trials(gate.invalid)} {are} INVALID ({_names(gate.invalid)})"
    open_rows = [row for row in gate.rows if row.outcome == "inconclusive"]
    return (
        f"{len(open_rows)} of {units.count(len(gate.rows), 'row')} not decided: "
        f"{_named(open_rows)}"
    )


def _trials(of_contenders: Mapping[str, int]) -> str:
    return f"{units.count(sum(of_contenders.values()), 'trial')} behind gated rows"


def _names(of_contenders: Mapping[str, int]) -> str:
    return _first(list(of_contenders), ", ")


def _named(rows: Sequence[GatedRow]) -> str:
    return _first([_row(gated) for gated in rows], "; ")


def _first(words: Sequence[str], between: str) -> str:
    more = [f"and {len(words) - MAX_NAMED} more"] if len(words) > MAX_NAMED else []
    return between.join((*words[:MAX_NAMED], *more))


def _row(gated: GatedRow) -> str:
    row = gated.row
    label = metrics.get(row.metric).label
    text = f"{row.contender} in {row.cell} {label} {cell_table.ratio(row)}"
    if gated.outcome != "regressed" or gated.p_holm is None:
        return text
    return f"{text}, Holm p {units.p_value(gated.p_holm)}"


def _passed(gate: Gate) -> str:
    rows = units.count(len(gate.rows), "row")
    undecided = sum(gated.outcome == "inconclusive" for gated in gate.rows)
    open_rows = [f"{undecided} inconclusive"] if undecided else []
    return ", ".join((rows, _beyond(gate), *open_rows))


def _beyond(gate: Gate) -> str:
    deltas = {gated.row.threshold for gated in gate.rows}
    limit = units.percent(deltas.pop()) if len(deltas) == 1 else "its threshold"
    alone = sum(gated.is_beyond for gated in gate.rows)
    if not alone:
        return f"none beyond {limit}"
    are = "is" if alone == 1 else "are"
    return (
        f"none beyond {limit} with all rows taken together (alone {alone} {are}, at a Holm p "
        f"of {units.p_value(ALPHA)} or more)"
    )
