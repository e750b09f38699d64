"""One ``slotbench profile``: why a contender is as fast as it is.

A profile is made of extra trials that carry probes. It lies in a folder of its own kind
(profile.json and passes.jsonl), so that nothing of it can get into a comparison.

History of the format (``schema_version`` in profile.json, which holds for passes.jsonl too):

1. First version.
2. Fields of its scenario, as version 4 of a run's. All may be absent: version 1 reads as it is.
"""

from dataclasses import dataclass
from typing import Final, Literal, get_args

from slotbench.records.run import Skipped
from slotbench.records.scenario import Scenario
from slotbench.records.trial import TrialRecord
from slotbench.records.workload import Scalar

PROFILE_SCHEMA_VERSION: Final = 2

PassName = Literal["plain", "phases", "locks", "operations", "gil"]
"""What a profile's trial looks at. Each has its own probes, which disturb; so each looks at one
thing, in a trial of its own, and "plain", which has none, says what they disturb."""

PASSES: Final[tuple[PassName, ...]] = get_args(PassName)


PLACES: Final = (
    *("submit", "receive", "wait", "drain", "collate", "model", "resolve", "other"),
)
"""Where a thread is: in which of the contract's methods, or in none."""


@dataclass(frozen=True, slots=True)
class Phase:
    """How long one phase of a request took, over the requests of a window.

    Attributes:
        name: one of `slotbench.compute.phases.PHASES`.
        p99_s: None with fewer than 459 requests.
    """

    name: str
    mean_s: float
    p50_s: float | None
    p99_s: float | None


@dataclass(frozen=True, slots=True)
class Phases:
    """The life of a request, from its submit to its reply, cut into phases without gaps.

    Attributes:
        num_requests: replies in the window whose way was seen whole; the phases are theirs.
        num_unseen: replies in the window that no batch could be found for.
        num_out_of_order: replies whose stamps contradict each other; left out.
        max_error_s: the largest difference, over the requests, between the sum of the phases
            and the round trip.
        round_trip: as a phase: from the submit to the reply.
        phases: in the order of a request's life. Their means sum to the round trip's.
        is_write_seen: the client has a ``submit``, so that the end of the write is seen. Else
            it is 0, and in the phase after it.
    """

    num_requests: int
    num_unseen: int
    num_out_of_order: int
    max_error_s: float
    round_trip: Phase
    phases: tuple[Phase, ...]
    is_write_seen: bool


@dataclass(frozen=True, slots=True)
class LockUse:
    """What the locks made in one place of a contender's code were used for.

    Attributes:
        where: file, line and function that made them, such as "_slot.py:128 SlotTransport.__init__".
        kind: "mutex": released by whom it was acquired; "signal": released by another thread,
            to wake the one that waits.
        num_locks: how many were made there and used in the window.
        is_shared: a mutex, and one of them was acquired by more than one thread.
        acquisitions: place, of `PLACES` → acquisitions per request.
        waits: acquisitions per request that did not get the lock at once.
        waited_s: seconds per request spent waiting for them.
    """

    where: str
    kind: Literal["mutex", "signal"]
    num_locks: int
    is_shared: bool
    acquisitions: dict[str, float]
    waits: float
    waited_s: float


@dataclass(frozen=True, slots=True)
class ProfileTrial:
    """One pass over one contender in one cell; one line of passes.jsonl.

    Attributes:
        trial: as of a run. Its numbers are those of a trial with probes, but for "plain".
        phases: of the pass "phases".
        counts: row of the ledger (`slotbench.compute.ledger`) → count, bytes or seconds per
            request, or a share; those rows that this pass counts.
        prices_s: row → seconds of CPU time that one of it costs by itself, on this machine.
        locks: of the pass "locks", the most acquired first.
    """

    pass_name: PassName
    trial: TrialRecord
    phases: Phases | None = None
    counts: dict[str, float] | None = None
    prices_s: dict[str, float] | None = None
    locks: tuple[LockUse, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolFinding:
    """What an optional profiler gave.

    Attributes:
        tool: its name, such as "flame".
        cell, contender: that it looked at; "" where it was not run at all.
        files: that it wrote, relative to the profile's folder.
        note: one line: what is missing, or what went wrong; "" where all is there.
        counts: row of the ledger → per request, where it counts.
    """

    tool: str
    cell: str
    contender: str
    files: tuple[str, ...]
    note: str
    counts: dict[str, float] | None = None


@dataclass(frozen=True, slots=True)
class ProfileRecord:
    """profile.json.

    Attributes:
        profile_id: name of the folder: UTC time, scenario, "profile", six random digits.
        status: "running" until it ends; one that was killed stays so.
        scenario: with ``contenders`` as profiled: without the skipped ones.
        rounds: how often each pass was made of each contender in each cell.
        num_trials: planned.
        command: the command line.
        between: labels of the two contenders whose difference was asked for; None is the
            baseline and the fastest.
        asked_tools: names of the optional profilers that were asked for.
        timelines: files in the folder, in Chrome's trace format: one a cell.
        tools: what the optional profilers gave.
        total_s: how long all of it took; None while it goes on.
    """

    schema_version: int
    profile_id: str
    created_at: str
    status: Literal["running", "complete", "interrupted"]
    scenario: Scenario
    scenario_sha256: str
    skipped: tuple[Skipped, ...]
    rounds: int
    seed: int
    num_trials: int
    environment: dict[str, Scalar]
    command: tuple[str, ...]
    between: tuple[str, str] | None = None
    asked_tools: tuple[str, ...] = ()
    timelines: tuple[str, ...] = ()
    tools: tuple[ToolFinding, ...] = ()
    total_s: float | None = None
