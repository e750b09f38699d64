"""What there is to say of a profile, in words and tables: what all its forms share."""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from slotbench.compute import profile
from slotbench.compute.profile import CellProfile, Difference
from slotbench.draw import units
from slotbench.draw.answer import Sentence
from slotbench.draw.profile import _opening, _tables
from slotbench.draw.profile._tables import Table
from slotbench.draw.validity import machine
from slotbench.errors import SlotbenchError
from slotbench.records import ProfileRecord, ToolFinding
from slotbench.store import StoredProfile


@dataclass(frozen=True, slots=True)
class Files:
    """Files of one kind in the profile's folder.

    Attributes:
        title: what they are, of whom.
        names: relative to the folder.
        note: what is missing, or what went wrong; "".
    """

    title: str
    names: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class CellPage:
    """One cell.

    Attributes:
        sentences: what explains the difference, and how far to trust it.
        tables: in the order of a reader's questions.
        problems: trials without numbers to be used, a line each.
    """

    name: str
    sentences: tuple[Sentence, ...]
    tables: tuple[Table, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProfilePage:
    """A profile in words.

    Attributes:
        facts: what was profiled, on what, a line each.
        cells: those chosen.
        remarks: what was left out, a line each.
        timelines: a file a cell, as a rule.
        tools: what optional profilers gave.
        commands: shell lines that profile and show again.
    """

    title: str
    facts: tuple[str, ...]
    cells: tuple[CellPage, ...]
    remarks: tuple[str, ...]
    timelines: tuple[Files, ...]
    tools: tuple[Files, ...]
    commands: tuple[str, ...]


def page(
    stored: StoredProfile,
    *,
    cells: Sequence[str] = (),
    between: tuple[str, str] | None = None,
    baseline: str | None = None,
    full: bool = False,
) -> ProfilePage:
    """Everything that is said of a profile.

    Args:
        stored: the profile.
        cells: names of the cells to tell of; () is all.
        between: labels of the two contenders whose difference is explained; None is what the
            profile was made for, else the baseline and the fastest of the others, in each cell.
        baseline: label of the contender to hold the fastest against; None is the scenario's.
        full: every lock and row, and percentiles.

    Raises:
        SlotbenchError: no such cell or contender.
    """
    record = stored.profile
    chosen = [
        (cell, found)
        for cell, found in explained(stored, between=between, baseline=baseline)
        if not cells or cell.cell.name in cells
    ]
    check_cells(cells, record)
    return ProfilePage(
        title=record.scenario.title,
        facts=tuple(_facts(stored)),
        cells=tuple(_cell(cell, found, full=full) for cell, found in chosen),
        remarks=tuple(_remarks(stored)),
        timelines=_timelines(record),
        tools=tuple(map(_tool, record.tools)),
        commands=_commands(record),
    )


def explained(
    stored: StoredProfile,
    *,
    between: tuple[str, str] | None = None,
    baseline: str | None = None,
) -> tuple[tuple[CellProfile, Difference | None], ...]:
    """Every cell, with what lies between the two contenders that it is about.

    Args:
        stored: the profile.
        between: labels of the two; None is as said at `page`.
        baseline: as said at `page`.

    Raises:
        SlotbenchError: no such contender.
    """
    record = stored.profile
    labels = [one.label for one in record.scenario.contenders]
    check_between(between, labels)
    # One of the two may have been skipped, where it could not be made.
    if between is None and baseline is None and {*(record.between or ())} <= {*labels}:
        between = record.between
    if baseline is not None and baseline not in labels:
        raise SlotbenchError(
            f"no contender {baseline!r} in this profile: it has {', '.join(labels)}"
        )
    if baseline is None:
        baseline = next((c.label for c in record.scenario.contenders if c.baseline), None)
    found = []
    for cell in profile.cells(record, stored.trials):
        pair = between or profile.pair_to_explain(cell, baseline)
        lies = None
        if pair is not None:
            lies = profile.difference(record, stored.trials, cell.cell.name, *pair)
        found.append((cell, lies))
    return tuple(found)


def check_between(between: tuple[str, str] | None, labels: Sequence[str]) -> None:
    """Refuse two contenders between which nothing can be said.

    Args:
        between: their labels; None is any.
        labels: of all contenders.

    Raises:
        SlotbenchError: one is not among them, or both are the same.
    """
    if between is None:
        return
    for label in between:
        if label not in labels:
            raise SlotbenchError(
                f"no contender {label!r} in this profile: it has {', '.join(labels)}"
            )
    if between[0] == between[1]:
        raise SlotbenchError(
            f"nothing lies between {between[0]!r} and itself: name two contenders"
        )


def check_cells(cells: Sequence[str], record: ProfileRecord) -> None:
    """Refuse cells that the profile does not have."""
    known = [cell.name for cell in record.scenario.cells]
    for name in cells:
        if name not in known:
            raise SlotbenchError(
                f"no cell {name!r} in this profile: it has "
                f"{', '.join(repr(one) for one in known)}"
            )


def _cell(cell: CellProfile, found: Difference | None, *, full: bool) -> CellPage:
    tables = [_tables.contenders(cell), _tables.phases(cell)]
    if full:
        tables.append(_tables.percentiles(cell))
    tables.append(_tables.counts(cell))
    optional = [_tables.claims(cell)]
    shown = cell.contenders
    if found is not None:
        optional += [
            _tables.gap(cell, found),
            _tables.row_gaps(cell, found, full=full),
        ]
        shown = tuple(cell.of(label) for label in (found.first, found.second))
    optional += _tables.all_locks(shown, full=full)
    return CellPage(
        name=cell.cell.name,
        sentences=_opening.sentences(cell, found),
        tables=(*tables, *(table for table in optional if table is not None)),
        problems=tuple(
            f"{one.contender.label}: {text}"
            for one in cell.contenders
            for text in (*one.problems, *one.remarks)
        ),
    )


def _facts(stored: StoredProfile) -> Iterable[str]:
    record = stored.profile
    took = "" if record.total_s is None else f" · took {units.duration(record.total_s)}"
    yield (
        f"profile {record.profile_id} · {stored.state} · "
        f"{units.count(record.rounds, 'round')} · {len(stored.trials)} trials of "
        f"{record.num_trials} planned · {record.created_at}{took}"
    )
    if record.scenario.overrides:
        yield f"changed: {', '.join(record.scenario.overrides)}"
    yield machine(record.environment)


def _remarks(stored: StoredProfile) -> Iterable[str]:
    """What was left out, and what disturbed it."""
    record = stored.profile
    yield from (f"skipped: {who.label} ({who.reason})" for who in record.skipped)
    ran = {found.tool for found in record.tools}
    left = [name for name in record.asked_tools if name not in ran]
    if left:
        yield f"not run: {', '.join(left)}"
    told: dict[tuple[str, str], list[str]] = {}
    for one in stored.trials:
        for finding in one.trial.findings:
            if finding.severity != "INVALID":
                said = told.setdefault((finding.severity, finding.rule), [])
                said.append(finding.detail)
    for (severity, rule), details in sorted(told.items()):
        yield (
            f"{severity}: {rule} spoke of {len(details)} of "
            f"{units.count(len(stored.trials), 'trial')}, such as: {details[0]}"
        )


def _timelines(record: ProfileRecord) -> tuple[Files, ...]:
    names = [cell.name for cell in record.scenario.cells]
    if len(names) != len(record.timelines):  # of some cells nothing was seen
        return (Files("timelines", record.timelines),) if record.timelines else ()
    both = zip(names, record.timelines, strict=True)
    return tuple(Files(name, (file,)) for name, file in both)


def _tool(found: ToolFinding) -> Files:
    where = f" of {found.contender} in {found.cell}" if found.contender else ""
    return Files(f"{found.tool}{where}", found.files, found.note)


def _commands(record: ProfileRecord) -> tuple[str, ...]:
    commit = record.environment.get("git_commit")
    known = f"slotbench at commit {commit}" if commit else "commit not known"
    return (
        f"{shlex.join(record.command)}  # {known}",
        shlex.join(("slotbench", "show", record.profile_id)),
        shlex.join(("slotbench", "report", record.profile_id)),
    )
