"""What there is to say of a comparison, in words: what the formats for people share."""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from slotbench.compute.between import Compared, TwoRuns
from slotbench.compute.comparison import Comparison
from slotbench.compute.gates import Gate
from slotbench.draw import (
    between_table,
    cell_table,
    interpreter_table,
    load_table,
    loss_table,
    scaling_table,
    twin_table,
)
from slotbench.draw.cell_table import CellTable
from slotbench.draw.gate_line import gate_line
from slotbench.draw.opening import opening


@dataclass(frozen=True, slots=True)
class Section:
    """Tables beside those of the cells, which are shown where they were asked for.

    Attributes:
        name: a word, for addresses inside a page.
        option: of ``slotbench compare``, that asks for it; "" for what is always there.
        tables: at least one.
        legend: what they mean.
    """

    name: str
    title: str
    option: str
    tables: tuple[CellTable, ...]
    legend: str


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
        sections: what else was asked of one run.
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
    sections: tuple[Section, ...] = ()


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
        sections=tuple(_sections(compared)),
    )


def _sections(compared: Comparison) -> Iterable[Section]:
    if compared.loads:
        yield Section(
            name="loads",
            title="Latency under load",
            option="",
            tables=load_table.tables(compared.loads),
            legend=load_table.LEGEND,
        )
    if compared.interpreters:
        yield Section(
            name="interpreters",
            title="Other interpreters",
            option="",
            tables=interpreter_table.tables(compared),
            legend=interpreter_table.legend(compared),
        )
    if compared.losses:
        yield Section(
            name="losses",
            title="Where the loss goes",
            option="--explain",
            tables=loss_table.tables(compared.losses),
            legend=loss_table.legend(compared),
        )
    if compared.twins:
        yield Section(
            name="twins",
            title="Real environments and their twins",
            option="--twins",
            tables=twin_table.tables(compared),
            legend=twin_table.legend(compared),
        )
    if compared.scalability is not None and compared.scalability.laws:
        yield Section(
            name="scalability",
            title="How throughput scales with the actors",
            option="--scalability",
            tables=scaling_table.tables(compared.scalability),
            legend=scaling_table.LEGEND,
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
    if isinstance(compared, Comparison):
        words += [section.option for section in _sections(compared) if section.option]
    for name in () if gate is None else gate.fail_on:
        words += ["--fail-on", name]
    return shlex.join(("slotbench", "compare", *words))
