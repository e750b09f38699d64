"""Trial records that have no numbers, and the fields every record repeats of its spec."""

from typing import Any, Final

from slotbench.records import TrialRecord, TrialSpec

_MAX_ERROR_CHARACTERS: Final = 500


def failed(spec: TrialSpec, started_at: str, error: str, stacks: str = "") -> TrialRecord:
    """Return the record of a trial without numbers; ``error`` is folded to one line."""
    return TrialRecord(
        **identity(spec),
        status="failed",
        started_at=started_at,
        duration_s=0.0,
        error=folded(error),
        stacks=stacks,
    )


def folded(error: str) -> str:
    """Return an error as one line of bearable length."""
    return " ".join(error.split())[:_MAX_ERROR_CHARACTERS]


def raised(trace: str) -> str:
    """Return what a traceback says was raised, in one line: type and whole message."""
    lines = trace.strip().splitlines()
    indented = [i for i, line in enumerate(lines) if line.startswith("  ")]
    return folded(" ".join(lines[indented[-1] + 1 :] if indented else lines) or trace)


def identity(spec: TrialSpec) -> dict[str, Any]:
    """Return the fields that a record repeats of its spec."""
    return {
        "trial_id": spec.trial_id,
        "round": spec.round,
        "cell": spec.cell,
        "attempt": spec.attempt,
        "position": spec.position,
        "arm": spec.arm,
        "contender": spec.contender.label,
        "seed": spec.seed,
    }
