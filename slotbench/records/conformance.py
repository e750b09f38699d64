"""What `slotbench check` found: which guarantees each contender keeps.

History of the format (``schema_version``):

1. First version.
"""

from dataclasses import dataclass
from typing import Final, Literal

from slotbench.records.workload import Scalar

CONFORMANCE_SCHEMA_VERSION: Final = 1

CheckResult = Literal["pass", "fail", "n/a"]


@dataclass(frozen=True, slots=True)
class CheckPlan:
    """A check of `transports.conformance`, without what it does.

    Attributes:
        guarantee: the number of the guarantee it belongs to.
        promise: the sentence that holds where it passes.
    """

    name: str
    guarantee: int
    promise: str


@dataclass(frozen=True, slots=True)
class CheckFinding:
    """What one check said of one contender.

    Attributes:
        reason: one line; "" for a pass.
        duration_s: of the check's process, from its fork to its end.
        stacks: of all threads, where the check's process was killed or died; else "".
    """

    check: str
    guarantee: int
    outcome: CheckResult
    reason: str
    duration_s: float
    stacks: str = ""


@dataclass(frozen=True, slots=True)
class CheckedContender:
    """A contender and what each check said of it, in the order of the checks.

    A run that was interrupted (Ctrl-C) lacks the last ones.
    """

    label: str
    findings: tuple[CheckFinding, ...]


@dataclass(frozen=True, slots=True)
class Conformance:
    """One ``slotbench check``.

    Attributes:
        environment: machine, Python, packages, commit: flat, scalars only.
        guarantees: number → sentence; those of ``checks`` alone.
        checks: those that were made, grouped by guarantee.
        contenders: empty where the checks were only listed.
    """

    schema_version: int
    created_at: str
    environment: dict[str, Scalar]
    guarantees: dict[int, str]
    checks: tuple[CheckPlan, ...]
    contenders: tuple[CheckedContender, ...]
