"""What ``slotbench show`` prints: a run's facts, its trials and what the rules said of each."""

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from slotbench.compute import blocks, comparison, metrics, nodes, validity
from slotbench.contenders import python_of
from slotbench.draw import cell_table, interpreter_table, looks, units
from slotbench.draw.screen import PAPER, Screen, drawn
from slotbench.errors import RecordError
from slotbench.records import Scalar, TrialRecord
from slotbench.store import StoredRun

SCHEMA: Final = "slotbench.run"
SCHEMA_VERSION: Final = 1

_METRICS: Final = ("throughput", "latency_p50", "latency_p99")
_STYLES: Final = (
    (r"\bINVALID\b|\bfailed\b", "red"),
    (r"\bDISTURBED\b|\bwarning\b", "yellow"),
    (r"\bvalid\b", "green"),
)
_MACHINE: Final = {
    "cpu_model_name": "{}",
    "cpu_count": "{} CPUs",
    "gpu_name": "{}",
    "python_version": "Python {}",
    "torch_version": "torch {}",
}
"""Fact of the environment → how it is said."""
_GIL: Final = {True: "GIL on", False: "GIL off", None: "GIL not recorded"}
_OF_THE_MACHINE: Final = ("steal", "foreign_load", "throttling")
_MIN_WIDTH: Final = 40
_NARROW: Final = 90


def show_run(stored: StoredRun, screen: Screen = PAPER, *, problems: bool = False) -> str:
    """The run's facts, how its trials stand, and a line a trial.

    Args:
        stored: the run.
        screen: width and colour.
        problems: leave out the trials of which no rule spoke.
    """
    counted = blocks.counted_attempts(stored.run, stored.trials)
    trials = [t for t in stored.trials if not problems or t.findings or t.status != "ok"]
    parts: list[Text | Table] = [
        Text(stored.run.scenario.title, style="bold"),
        *map(_styled, _facts(stored)),
        Text(""),
        _styled(_standing(stored.trials)),
    ]
    silent = sum(t.measurement is not None and _is_unjudged(t) for t in stored.trials)
    if silent:
        parts.append(
            Text(
                f"{units.count(silent, 'trial')} not judged by {', '.join(_OF_THE_MACHINE)}: "
                "recorded by an earlier version, or on a system that does not say"
            )
        )
    spoken = _spoken(stored.trials)
    if spoken and screen.width >= _NARROW:
        parts.append(_rules_table(spoken))
    elif spoken:
        parts += [
            _styled(f"{name}: {units.count(n, 'trial')}") for name, n in spoken.items()
        ]
    if trials and screen.width >= _NARROW:
        parts += [Text(""), _unbroken(_trials_table(trials, counted), screen.width)]
    elif trials:
        parts += [Text(""), *_trials_in_words(trials, counted)]
    return drawn(parts, screen, min_width=_MIN_WIDTH)


def show_trial(stored: StoredRun, trial_id: str, screen: Screen = PAPER) -> str:
    """All that is recorded of one trial.

    Raises:
        RecordError: the run has no such trial.
    """
    trial = _find(stored, trial_id)
    counted = blocks.counted_attempts(stored.run, stored.trials)
    fields = [(name, _field(value)) for name, value in _fields(trial).items()]
    width = max(len(name) for name, _ in fields)
    lines = [f"{trial.trial_id}: {_state(trial, counted)}"]
    lines += [
        f"{finding.severity} {finding.rule}: {finding.detail} → {finding.remedy}"
        for finding in trial.findings
    ]
    lines += ["", *(f"{name:{width}}  {value}" for name, value in fields)]
    if trial.stacks:
        lines += ["", "stacks:", *trial.stacks.rstrip().splitlines()]
    return drawn(map(_styled, lines), screen, min_width=_MIN_WIDTH)


def show_rules(screen: Screen = PAPER) -> str:
    """Every rule: what it takes, what it would do to the number, what to do about it."""
    lines = []
    for rule in validity.RULES:
        lines += [
            _styled(f"{rule.name}: {rule.severity}"),
            Text(f"  when    {rule.threshold}"),
            Text(f"  why     {rule.why}"),
            Text(f"  remedy  {rule.remedy}"),
        ]
    return drawn(lines, screen, min_width=_MIN_WIDTH)


def as_json(stored: StoredRun, trial_id: str | None = None) -> str:
    """The same as JSON: the run's facts, the rules, and each trial with its findings.

    Args:
        stored: the run.
        trial_id: of the one trial to give; None gives all.

    Raises:
        RecordError: the run has no such trial.
    """
    trials = stored.trials if trial_id is None else (_find(stored, trial_id),)
    run = stored.run
    counted = blocks.counted_attempts(run, stored.trials)
    document = {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "run_id": run.run_id,
        "status": stored.state,
        "created_at": run.created_at,
        "scenario": run.scenario.name,
        "notes": list(stored.notes),
        "sequential": None
        if run.sequential is None
        else dataclasses.asdict(run.sequential),
        "environment": run.environment,
        "nodes": [dataclasses.asdict(node) for node in run.nodes],
        "resumptions": [dataclasses.asdict(resumed) for resumed in run.resumptions],
        "rules": _rules(),
        "trials": [
            {
                "trial_id": trial.trial_id,
                "cell": trial.cell,
                "contender": trial.contender,
                "round": trial.round,
                "attempt": trial.attempt,
                "arm": trial.arm,
                "node": trial.node or None,
                "status": trial.status,
                "is_counted": _is_counted(trial, counted),
                "is_gil_enabled": trial.is_gil_enabled,
                **dict(zip(_METRICS, _values(trial), strict=True)),
                "findings": [dataclasses.asdict(finding) for finding in trial.findings],
                "error": trial.error,
            }
            for trial in trials
        ],
    }
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def rules_as_json() -> str:
    """The rules alone."""
    return json.dumps(_rules(), indent=2, ensure_ascii=False) + "\n"


def _rules() -> list[dict[str, str]]:
    names = ("name", "severity", "threshold", "why", "remedy")
    return [{name: getattr(rule, name) for name in names} for rule in validity.RULES]


def _find(stored: StoredRun, trial_id: str) -> TrialRecord:
    found = next((t for t in stored.trials if t.trial_id == trial_id), None)
    if found is None:
        some = ", ".join(t.trial_id for t in stored.trials[:3])
        raise RecordError(
            f"no trial {trial_id!r} in {stored.run.run_id}: its {len(stored.trials)} trials "
            f"are named like {some or 'r0-c0-a0-p0'}"
        )
    return found


def _facts(stored: StoredRun) -> Iterable[str]:
    run = stored.run
    yield (
        f"run {run.run_id} · {stored.state} · {units.count(run.design.rounds, 'round')} · "
        f"{len(stored.trials)} trials of {run.design.num_trials} planned · {run.created_at}"
    )
    yield machine(run.environment)
    yield from nodes.notes(run.nodes)
    yield from nodes.lines(run, stored.trials)
    yield from _interpreters(stored)
    yield from looks.lines(run, stored.trials)
    yield from map(cell_table.resumed, comparison.resumptions(run))
    for skipped in run.skipped:
        yield f"skipped {skipped.label}: {skipped.reason}"


def _interpreters(stored: StoredRun) -> Iterable[str]:
    """Each interpreter that trials ran in, and whether they had a GIL; nothing where there was but one, with it."""
    run = stored.run
    python = {who.label: python_of(who) for who in run.scenario.contenders}
    gils: dict[str, Counter[str]] = {name: Counter() for name in python.values()}
    for trial in stored.trials:
        if trial.contender in python:
            gils[python[trial.contender]][_GIL[trial.is_gil_enabled]] += 1
    if list(gils) == [""] and not gils[""][_GIL[False]]:
        return
    for name, found in gils.items():
        prefix = f"{name}." if name else ""
        version = run.environment.get(f"{prefix}python_version", "of unknown version")
        torch = run.environment.get(f"{prefix}torch_version")
        said = [f"Python {str(version).split(' (')[0]}"]
        said += [f"torch {torch}"] if torch else []
        said += [f"{state} in {units.count(n, 'trial')}" for state, n in found.items()]
        yield f"{interpreter_table.name(name)}: {' · '.join(said)}"


def machine(environment: Mapping[str, Scalar]) -> str:
    """What is recorded of the machine, and of the code on it, in one line."""
    said = [
        text.format(str(environment[name]).split(" (")[0])
        for name, text in _MACHINE.items()
        if name in environment
    ]
    if "git_commit" in environment:
        changed = " with changes" if environment.get("git_dirty") else ""
        said.append(f"commit {str(environment['git_commit'])[:10]}{changed}")
    return " · ".join(said) or "nothing is recorded of the machine"


def _standing(trials: Sequence[TrialRecord]) -> str:
    """How many trials are valid, and how many are not, by the gravest that was said of each."""
    if not trials:
        return "no trials yet"
    kinds = Counter(_kind(trial) for trial in trials)
    named = ("valid", "warning", "DISTURBED", "INVALID", "failed")
    return f"{units.count(len(trials), 'trial')}: " + ", ".join(
        f"{kinds[kind]} {_KIND_WORDS.get(kind, kind)}" for kind in named if kinds[kind]
    )


_KIND_WORDS: Final = {"warning": "valid with a warning"}


def _kind(trial: TrialRecord) -> str:
    if trial.status == "failed":
        return "failed"
    said = {finding.severity for finding in trial.findings}
    return next((s for s in ("INVALID", "DISTURBED", "warning") if s in said), "valid")


def _is_unjudged(trial: TrialRecord) -> bool:
    measured = trial.measurement
    return measured is not None and (
        measured.steal_s is None or measured.foreign_cpu_s is None
    )


def _spoken(trials: Iterable[TrialRecord]) -> Counter[str]:
    return Counter(finding.rule for trial in trials for finding in trial.findings)


def _rules_table(spoken: Counter[str]) -> Table:
    table = _table("rule", "severity", "trials", "when", "remedy")
    rules = {rule.name: rule for rule in validity.RULES}
    for name in [*rules, *sorted(set(spoken) - set(rules))]:
        if spoken[name] and name in rules:
            rule = rules[name]
            known = (name, rule.severity, str(spoken[name]), rule.threshold, rule.remedy)
            table.add_row(*map(_styled, known))
        elif spoken[name]:
            other = (name, "", str(spoken[name]), "a rule of another version", "")
            table.add_row(*map(_styled, other))
    return table


def _trials_table(trials: Iterable[TrialRecord], counted: dict[blocks.Block, int]) -> Table:
    labels = [metrics.get(name).label for name in _METRICS]
    shown_trials = list(trials)
    node = ["node"] if any(trial.node for trial in shown_trials) else []
    table = _table("trial", *node, "cell", "contender", *labels, "validity")
    for column in table.columns[-1 - len(labels) : -1]:
        column.justify = "right"
    for trial in shown_trials:
        again = " (again)" if trial.arm else ""
        shown = [
            units.value(value, metrics.get(name).unit)
            for name, value in zip(_METRICS, _values(trial), strict=True)
        ]
        where = [trial.node] if node else []
        row = (trial.trial_id, *where, trial.cell, f"{trial.contender}{again}", *shown)
        # Text, since a plain string is markup to rich: "slot[inline]" would lose its option.
        table.add_row(*map(Text, row), _styled(_state(trial, counted)))
    return table


def _trials_in_words(
    trials: Iterable[TrialRecord], counted: dict[blocks.Block, int]
) -> Iterable[Text]:
    """Where no table fits: who and where, then what came of it."""
    for trial in trials:
        again = " (again)" if trial.arm else ""
        shown = [
            f"{metrics.get(name).label} {units.value(value, metrics.get(name).unit)}"
            for name, value in zip(_METRICS, _values(trial), strict=True)
        ]
        where = f" on {trial.node}" if trial.node else ""
        yield Text(f"{trial.trial_id} {trial.contender}{again} in {trial.cell}{where}")
        yield _styled(f"  {', '.join(shown)}: {_state(trial, counted)}")


def _state(trial: TrialRecord, counted: dict[blocks.Block, int]) -> str:
    """What the rules said, the gravest first; and whether another attempt counts instead."""
    said = [f"{found.severity} {found.rule}" for found in trial.findings]
    said.sort(key=lambda text: ("INVALID", "DISTURBED", "warning").index(text.split()[0]))
    if trial.status == "failed":
        said.insert(0, f"failed: {trial.error}")
    if not _is_counted(trial, counted):
        said.append("measured again")
    return "; ".join(said) or "valid"


def _is_counted(trial: TrialRecord, counted: dict[blocks.Block, int]) -> bool:
    return counted[trial.round, trial.cell] == trial.attempt


def _values(trial: TrialRecord) -> list[float | None]:
    measured = trial.measurement
    if measured is None:
        return [None] * len(_METRICS)
    values = [metrics.get(name).value(measured) for name in _METRICS]
    return [v if v is not None and math.isfinite(v) else None for v in values]


def _fields(trial: TrialRecord) -> dict[str, Any]:
    """Every plain field of the record and its measurement, by name."""
    own = {
        field.name: getattr(trial, field.name)
        for field in dataclasses.fields(trial)
        if field.name not in {"measurement", "findings", "stacks", "trial_id"}
    }
    if trial.measurement is None:
        return own
    measured = {
        field.name: getattr(trial.measurement, field.name)
        for field in dataclasses.fields(trial.measurement)
        if field.name not in {"latency", "open_loop"}
    }
    of = trial.measurement.open_loop
    if of is None:
        return own | measured
    opened = {
        field.name: getattr(of, field.name)
        for field in dataclasses.fields(of)
        if field.name != "late"
    }
    return own | measured | opened


def _field(value: Any) -> str:
    if value is None:
        return units.MISSING
    if isinstance(value, tuple):
        return ", ".join(
            f"{item[0]}: {item[1]}" if isinstance(item, tuple) else str(item)
            for item in value
        )
    return str(value)


def _table(*heads: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", show_edge=False)
    for head in heads:
        table.add_column(head, overflow="fold")
    return table


def _unbroken(table: Table, width: int) -> Table:
    """The table with contenders' names whole, which have no blanks and would break anywhere.

    Unless one takes more than a third of the screen. Other columns can make room: cells' names have blanks.
    """
    for column in table.columns:
        if column.header == "contender":
            words = [word for text in column.cells for word in str(text).split()]
            column.width = min(max(map(cell_len, ["contender", *words])), width // 3)
    return table


def _styled(line: str) -> Text:
    text = Text(line, overflow="fold")
    for pattern, style in _STYLES:
        text.highlight_regex(pattern, style)
    return text
