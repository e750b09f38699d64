"""Which trials of a run count, and what was wrong with the others.

A block is one cell in one round, with every contender once and the baseline twice. A
block that was interrupted or disturbed is measured again whole as another attempt, and
one of its attempts counts. Which one is decided by the machine, never by what came out: a
complete attempt before one that was broken off, one with numbers before one in which every
trial failed (the worker died), then the one with the fewest DISTURBED trials, then the last.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from slotbench.contenders import python_of
from slotbench.errors import RecordError
from slotbench.records import CalibrationRecord, RunRecord, TrialRecord

ProblemKind = Literal["INVALID", "failed", "DISTURBED", "warning"]

Block = tuple[int, str]
"""(round, cell)."""

Arms = Mapping[tuple[str, str, int], Mapping[int, TrialRecord]]
"""(cell, contender, arm) → round → the trial that counts."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong, or worth knowing, about one trial.

    Attributes:
        kind: "INVALID" and "failed" trials are never used; the others are.
        rule: short name of the rule that spoke; "failed" where the trial has no numbers.
        detail: what was seen.
        remedy: what to do about it; may be "".
        is_counted: whether the trial belongs to the attempt that counts.
    """

    kind: ProblemKind
    rule: str
    detail: str
    remedy: str
    trial_id: str
    cell: str
    contender: str
    round: int
    attempt: int
    arm: int
    is_counted: bool


def is_usable(trial: TrialRecord) -> bool:
    """Whether the trial has numbers, and they are what they claim to be."""
    return trial.status == "ok" and trial.measurement is not None and not trial.is_invalid


def num_overloaded(trials: Iterable[TrialRecord]) -> int:
    """Trials of an open loop in which the backlog grew: their latencies are lower limits."""
    return sum(any(one.rule == "overload" for one in trial.findings) for trial in trials)


def counted_trials(
    run: RunRecord, trials: Iterable[TrialRecord]
) -> tuple[TrialRecord, ...]:
    """The trials of the attempt of every block that counts, in their order."""
    trials = tuple(trials)
    counted = counted_attempts(run, trials)
    return tuple(t for t in trials if t.attempt == counted[t.round, t.cell])


def counted_attempts(run: RunRecord, trials: Iterable[TrialRecord]) -> dict[Block, int]:
    """The attempt of every block that counts; see this module's docstring."""
    attempts = _by_attempt(trials)
    size = block_size(run)

    def worth(attempt: tuple[int, list[TrialRecord]]) -> tuple[bool, bool, int, int]:
        number, made = attempt
        is_complete = len(made) >= size
        # Every contender failing at once is the worker's end, not theirs.
        has_numbers = any(trial.status == "ok" for trial in made)
        num_disturbed = sum(trial.is_disturbed for trial in made)
        return is_complete, has_numbers, -num_disturbed if is_complete else 0, number

    return {block: max(made.items(), key=worth)[0] for block, made in attempts.items()}


def counted_calibrations(
    run: RunRecord,
    trials: Sequence[TrialRecord],
    calibrations: Iterable[CalibrationRecord],
) -> dict[tuple[str, str], dict[int, CalibrationRecord]]:
    """(Cell, interpreter) → round → its calibration, of the attempt that counts, whatever came of it.

    The interpreter is named as by option ``python`` of its contenders.

    Args:
        run: its plan.
        trials: its trials, all attempts: they say which attempt counts.
        calibrations: the run's, all attempts.
    """
    counted = counted_attempts(run, trials)
    found: dict[tuple[str, str], dict[int, CalibrationRecord]] = {}
    for one in calibrations:
        # Of a block that was broken off before its first trial there may be two: the last counts.
        if counted.get((one.round, one.cell)) == one.attempt:
            found.setdefault((one.cell, one.python), {})[one.round] = one
    return found


@dataclass(frozen=True, slots=True)
class Owed:
    """A block that is to be measured, or measured again.

    Attributes:
        attempt: the number of the next attempt.
        num_complete: attempts at it that were carried through.
        is_repeat: it has a complete attempt, which the machine disturbed.
    """

    attempt: int
    num_complete: int
    is_repeat: bool


def owed_blocks(run: RunRecord, trials: Sequence[TrialRecord]) -> dict[Block, Owed]:
    """What is left to measure, of the blocks that were planned, in their order.

    Owed is a block without a complete attempt, one whose last attempt was broken off, and
    one whose counted attempt is DISTURBED while ``run.max_attempts`` leaves room.
    """
    attempts, counted = _by_attempt(trials), counted_attempts(run, trials)
    size = block_size(run)
    owed = {}
    for index, of_round in enumerate(run.design.blocks):
        for cell, _ in of_round:
            made = attempts.get((index, cell), {})
            num_complete = sum(len(done) >= size for done in made.values())
            number = max(made, default=-1) + 1
            chosen = made.get(counted.get((index, cell), 0), [])
            is_disturbed = any(trial.is_disturbed for trial in chosen)
            is_broken_off = bool(made) and len(made[number - 1]) < size
            may_repeat = is_disturbed and num_complete < run.max_attempts
            if not num_complete or is_broken_off or may_repeat:
                owed[index, cell] = Owed(number, num_complete, num_complete > 0)
    return owed


def num_repeats(run: RunRecord, trials: Iterable[TrialRecord]) -> int:
    """Complete attempts beyond the first of their block."""
    size = block_size(run)
    return sum(
        max(0, sum(len(done) >= size for done in made.values()) - 1)
        for made in _by_attempt(trials).values()
    )


def block_size(run: RunRecord) -> int:
    """Trials of a whole attempt: every contender's, and the baseline's second one."""
    contenders = run.scenario.contenders
    return len(contenders) + sum(contender.baseline for contender in contenders)


def arrange(run: RunRecord, trials: Sequence[TrialRecord]) -> Arms:
    """The trials that count, by cell, contender and arm, and then by round.

    Raises:
        RecordError: a trial is of a cell or contender that the run does not have, or two
            trials claim the same place in a block.
    """
    cells = {cell.name for cell in run.scenario.cells}
    labels = {contender.label for contender in run.scenario.contenders}
    arms: dict[tuple[str, str, int], dict[int, TrialRecord]] = {}
    for trial in counted_trials(run, trials):
        if trial.cell not in cells or trial.contender not in labels:
            raise RecordError(
                f"trial {trial.trial_id} is of {trial.contender!r} in cell "
                f"{trial.cell!r}, which run {run.run_id} does not have"
            )
        rounds = arms.setdefault((trial.cell, trial.contender, trial.arm), {})
        if trial.round in rounds:
            raise RecordError(
                f"run {run.run_id} holds {trial.contender!r} twice in round "
                f"{trial.round} of cell {trial.cell!r}: trials "
                f"{rounds[trial.round].trial_id} and {trial.trial_id}"
            )
        rounds[trial.round] = trial
    return arms


def pythons_without_gil(run: RunRecord, trials: Iterable[TrialRecord]) -> frozenset[str]:
    """The interpreters, as option ``python`` names them, that started trials without a GIL.

    Those of which a trial ended without one: nothing turns it off again. Where another ended with it, a
    module of its contender's turned it on (rule ``gil_back``). One of which no trial says so is taken to
    have one.
    """
    python = {who.label: python_of(who) for who in run.scenario.contenders}
    return frozenset(
        python[trial.contender]
        for trial in trials
        if trial.contender in python and trial.is_gil_enabled is False
    )


def find_problems(run: RunRecord, trials: Sequence[TrialRecord]) -> tuple[Problem, ...]:
    """Every failure and finding of every trial, also of attempts that do not count."""
    counted = counted_attempts(run, trials)
    problems = []
    for trial in trials:
        is_counted = trial.attempt == counted[trial.round, trial.cell]
        if trial.status == "failed" or trial.measurement is None:
            problems.append(
                _problem(
                    trial,
                    is_counted=is_counted,
                    kind="failed",
                    rule="failed",
                    detail=trial.error or "the record holds no measurement",
                    remedy="",
                )
            )
        problems += [
            _problem(
                trial,
                is_counted=is_counted,
                kind=found.severity,
                rule=found.rule,
                detail=found.detail,
                remedy=found.remedy,
            )
            for found in trial.findings
        ]
    return tuple(problems)


def zero_value(trial: TrialRecord, metric: str) -> Problem:
    """The warning for a trial whose value is 0, of which no ratio can be formed."""
    return _problem(
        trial,
        is_counted=True,
        kind="warning",
        rule="zero_value",
        detail=f"{metric} is 0: no ratio can be formed, and the verdict is withheld",
        remedy="look at this trial's counts, or lengthen the window",
    )


def _problem(
    trial: TrialRecord,
    *,
    is_counted: bool,
    kind: ProblemKind,
    rule: str,
    detail: str,
    remedy: str,
) -> Problem:
    return Problem(
        kind=kind,
        rule=rule,
        detail=detail,
        remedy=remedy,
        trial_id=trial.trial_id,
        cell=trial.cell,
        contender=trial.contender,
        round=trial.round,
        attempt=trial.attempt,
        arm=trial.arm,
        is_counted=is_counted,
    )


def _by_attempt(
    trials: Iterable[TrialRecord],
) -> dict[Block, dict[int, list[TrialRecord]]]:
    found: dict[Block, dict[int, list[TrialRecord]]] = {}
    for trial in trials:
        of_block = found.setdefault((trial.round, trial.cell), {})
        of_block.setdefault(trial.attempt, []).append(trial)
    return found
