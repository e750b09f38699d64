"""Which trials leave slotbench: those that a comparison would use, and no others."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from slotbench.errors import RecordError

if TYPE_CHECKING:
    from slotbench.records import TrialMeasurement, TrialRecord
    from slotbench.store import StoredRun


@dataclass(frozen=True, slots=True)
class UsableTrial:
    """A trial with numbers that are what they claim to be.

    Attributes:
        record: all of it.
        measurement: the record's own, which is there.
    """

    record: "TrialRecord"
    measurement: "TrialMeasurement"


def usable_trials(stored: "StoredRun") -> tuple[UsableTrial, ...]:
    """First-arm trials that count and are usable, by cell, contender and round.

    Cells and contenders are in the scenario's order.

    Raises:
        RecordError: the trials are not this run's.
    """
    from slotbench.compute import blocks

    scenario = stored.run.scenario
    arms = blocks.arrange(stored.run, stored.trials)
    return tuple(
        UsableTrial(trial, trial.measurement)
        for cell in scenario.cells
        for contender in scenario.contenders
        for _, trial in sorted(arms.get((cell.name, contender.label, 0), {}).items())
        if blocks.is_usable(trial) and trial.measurement is not None
    )


def account(
    stored: "StoredRun", num_written: int, left_out: Mapping[str, int] | None = None
) -> str:
    """Say how many trials were written, and why the others were not.

    Args:
        stored: the run.
        num_written: trials in the files.
        left_out: why usable trials are not in them → how many.
    """
    from slotbench.compute import blocks

    counted = {trial.trial_id for trial in blocks.counted_trials(stored.run, stored.trials)}
    reasons = Counter(_reason(trial, counted) for trial in stored.trials)
    del reasons[""]
    reasons.update(left_out or {})
    said = f"{num_written} of {len(stored.trials)} trials written"
    parts = [f"{number} {reason}" for reason, number in reasons.items() if number]
    return f"{said}; left out: {', '.join(parts)}" if parts else said


def started_at(text: str, what: str) -> datetime:
    """Read a record's ISO 8601 time; one without a zone is UTC.

    Raises:
        RecordError: it is none; ``what`` names whose time it is.
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise RecordError(f"{what} has no time of start: {text!r} is no date") from error
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time


def _reason(trial: "TrialRecord", counted: set[str]) -> str:
    """Say why a trial is left out; "" where it is not. The first reason counts."""
    if trial.trial_id not in counted:
        return "of an attempt that does not count"
    if trial.arm != 0:
        return "of the baseline's second arm (A/A)"
    if trial.status == "failed" or trial.measurement is None:
        return "failed"
    return "INVALID" if trial.is_invalid else ""
