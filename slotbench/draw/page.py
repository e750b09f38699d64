"""What there is to say of a comparison, in words: what the formats for people share."""

import shlex
from dataclasses import dataclass
from typing import Final

from slotbench.compute.between import Compared, TwoRuns
from slotbench.compute.comparison import Comparison
from slotbench.compute.gates import Gate
from slotbench.draw import between_table, cell_table, loss_table
from slotbench.draw.cell_table import CellTable
from slotbench.draw.gate_line import gate_line
from slotbench.draw.opening import opening

LOSSES_TITLE: Final = "Where the loss goes"


@dataclass(frozen=True, slots=True)
class Page:
    """A comparison in words; one of two runs looks like one of one.

    Attributes:
        opening: one to three sentences.
        facts: the runs and how they were compared, a line each.
        differences: between the two runs; empty for one.
        remarks: what was left out and what was odd, a line each.
        gate: what the gate decided; "" where none was asked.
        commands: shell lines that measure and compare again.
        losses: where throughput went, a table a cell; empty where it was not asked.
        losses_legend: what its steps mean; "" likewise.
    """

    title: str
    question: str
    opening: str
    facts: tuple[str, ...]
    differences: tuple[str, ...]
    tables: tuple[CellTable, ...]
    legend: str
    remarks: tuple[str, ...]
    gate: str
    commands: tuple[str, ...]
    losses: tuple[CellTable, ...] = ()
    losses_legend: str = ""


def page(compared: Compared, gate: Gate | None = None) -> Page:
    """Everything that is said of one run or of two."""
    said = "" if gate is None else gate_line(gate)
    commands = (*_measuring(compared), _comparing(compared, gate))
    if isinstance(compared, TwoRuns):
        return Page(
            title=compared.head.title,
            question=compared.head.question,
            opening=opening(compared),
            facts=between_table.facts(compared),
            differences=between_table.differences(compared),
            tables=between_table.tables(compared),
            legend=between_table.legend(compared),
            remarks=between_table.remarks(compared),
            gate=said,
            commands=commands,
        )
    return Page(
        title=compared.title,
        question=compared.question,
        opening=opening(compared),
        facts=(cell_table.facts(compared),),
        differences=(),
        tables=cell_table.tables(compared),
        legend=cell_table.legend(compared),
        remarks=cell_table.remarks(compared),
        gate=said,
        commands=commands,
        losses=loss_table.tables(compared.losses),
        losses_legend=loss_table.LEGEND if compared.losses else "",
    )


def _measuring(compared: Compared) -> tuple[str, ...]:
    if isinstance(compared, TwoRuns):
        runs = {"base": compared.base, "head": compared.head}
        return tuple(_command(run, f"{name}, ") for name, run in runs.items())
    return (_command(compared),)


def _command(run: Comparison, name: str = "") -> str:
    commit = f"slotbench at commit {run.commit}" if run.commit else "commit not known"
    return f"{shlex.join(run.command)}  # {name}{commit}"


def _comparing(compared: Compared, gate: Gate | None) -> str:
    """The command line with nothing left to defaults, so that it says the same again."""
    if isinstance(compared, TwoRuns):
        words = [compared.base.run_id, compared.head.run_id]
    else:
        words = [compared.run_id]
    if isinstance(compared, TwoRuns) and compared.is_absolute:
        words.append("--absolute")
    else:
        words += ["--baseline", str(compared.baseline)]
    for name, delta in compared.thresholds.items():
        words += ["--metric", name, "--threshold", f"{name}={delta!r}"]
    if isinstance(compared, TwoRuns) and any(d.forbids for d in compared.differences):
        words.append("--allow-different")
    for label in compared.chosen:
        words += ["--contender", label]
    if isinstance(compared, Comparison) and compared.losses:
        words.append("--explain")
    for name in () if gate is None else gate.fail_on:
        words += ["--fail-on", name]
    return shlex.join(("slotbench", "compare", *words))
