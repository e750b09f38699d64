"""One ``slotbench doctor``: what this machine can tell apart, and what its parts cost.

History of the format (``schema_version``):

1. First version.
"""

from dataclasses import dataclass
from typing import Final, Literal

from slotbench.records.workload import Scalar

DIAGNOSIS_SCHEMA_VERSION: Final = 1

DELTA: Final = 0.03
"""The usual δ: a smaller difference does not matter."""

WaitKind = Literal["sleep", "lock", "condition"]

PrimitiveGroup = Literal["hand-over", "small rows", "large rows"]


@dataclass(frozen=True, slots=True)
class Wait:
    """How much longer a wait took than was asked.

    Attributes:
        kind: "sleep" is ``time.sleep``; "lock" a raw lock's acquisition that times out,
            "condition" a Condition's wait that does.
        asked_s: the wait as asked.
        num_waits: how many were timed.
        over_p50_s, over_p90_s: the wait as it was less the one asked, exact order statistics;
            None of too few waits (p90 needs 44).
    """

    kind: WaitKind
    asked_s: float
    num_waits: int
    over_p50_s: float | None
    over_p90_s: float | None


@dataclass(frozen=True, slots=True)
class Timers:
    """The clock that everything is timed with, and the waits that models and servers use.

    Attributes:
        clock: what ``time.perf_counter`` is made of, such as "clock_gettime(CLOCK_MONOTONIC)".
        claimed_s: its resolution as Python says.
        step_s: the smallest step between two reads that was seen.
        read_s: what one read costs.
    """

    clock: str
    claimed_s: float
    step_s: float
    read_s: float
    waits: tuple[Wait, ...]


@dataclass(frozen=True, slots=True)
class ServerCost:
    """What the recorder adds to a request in the server, through one collate.

    Attributes:
        collate: for people: the contender whose collate it is.
        adds_s: the id leaf, its echo and the batch's stamps.
        batch_s: collating and unbinding the same batch without them.
    """

    collate: str
    adds_s: float
    batch_s: float


@dataclass(frozen=True, slots=True)
class RecorderCosts:
    """What slotbench itself adds to a request, seconds of one thread with nothing else running.

    Attributes:
        stamps_s: two stamps and the loop, in the actor.
        check_s: comparing the reply's id, in the actor.
        num_rows: of the batches behind ``servers``.
        servers: by collate.
    """

    stamps_s: float
    check_s: float
    num_rows: int
    servers: tuple[ServerCost, ...]


@dataclass(frozen=True, slots=True)
class PrimitiveRun:
    """One primitive in one process of its own.

    Attributes:
        loops: operations behind each value.
        warmup_s: the pass before the first value, seconds per operation; it does not count.
        values_s: seconds per operation.
        cpu_s: CPU seconds per operation, over all values and threads.
        voluntary: context switches per operation of threads that went to sleep, likewise.
        involuntary: of threads that were made to leave their CPU, likewise.
    """

    loops: int
    warmup_s: float
    values_s: tuple[float, ...]
    cpu_s: float
    voluntary: float
    involuntary: float


@dataclass(frozen=True, slots=True)
class Primitive:
    """One thing that transports are made of, by itself.

    Attributes:
        name: such as "hand-over: raw lock".
        operation: what one operation is.
        runs: one a process, in their order.
    """

    name: str
    group: PrimitiveGroup
    operation: str
    runs: tuple[PrimitiveRun, ...]


@dataclass(frozen=True, slots=True)
class CellNoise:
    """How far a contender differs from itself, by one metric in one cell (A/A).

    Attributes:
        value: geometric mean, in the metric's unit; None without a usable trial.
        num_pairs: blocks in which both of its trials have a value.
        ratio, low, high: second trial over first, with its 95 % interval over blocks; None where
            there is none.
        noise_floor: the interval's half-width, as a ratio less 1.
        log_sd: standard deviation of the blocks' log ratios; None with fewer than two.
        log_sd_low, log_sd_high: its 95 % interval, by chi-square.
        rounds_needed: with which 80 % of runs find a true difference of ``DELTA``; None beyond
            10 000, or where the spread is not known.
    """

    cell: str
    metric: str
    value: float | None
    num_pairs: int
    ratio: float | None
    low: float | None
    high: float | None
    noise_floor: float | None
    log_sd: float | None
    log_sd_low: float | None
    log_sd_high: float | None
    rounds_needed: int | None


@dataclass(frozen=True, slots=True)
class NoiseFloor:
    """An A/A run: one contender against itself, in randomised blocks.

    Attributes:
        contender: its label.
        num_actors: in every cell.
        num_rounds: as planned.
        num_workers: fresh worker processes that the trials were forked from.
        num_trials: all attempts.
        num_disturbed, num_invalid, num_failed: of these.
        remarks: what was wrong with them, each once.
        steal_ratio: share of CPU time, over all windows, that the hypervisor gave to others; None
            where the system does not say.
        foreign_ratio: share that other processes took, likewise.
        cells: by cell and metric.
    """

    contender: str
    num_actors: int
    num_rounds: int
    num_workers: int
    num_trials: int
    num_disturbed: int
    num_invalid: int
    num_failed: int
    remarks: tuple[str, ...]
    steal_ratio: float | None
    foreign_ratio: float | None
    cells: tuple[CellNoise, ...]


@dataclass(frozen=True, slots=True)
class Resolvable:
    """What so many rounds of a cell can tell apart, by one metric: ratios less 1 (0.02 is 2 %).

    The ends are those that the interval of the standard deviation leads to.

    Attributes:
        rounds: blocks of the cell.
        half_width: of the interval that these rounds give.
        half_width_low, half_width_high: for the least and the largest plausible spread.
        effect: the true difference that 80 % of such runs find.
        effect_low, effect_high: likewise.
    """

    cell: str
    metric: str
    rounds: int
    half_width: float
    half_width_low: float
    half_width_high: float
    effect: float
    effect_low: float
    effect_high: float


@dataclass(frozen=True, slots=True)
class Advice:
    """Something about this machine that a user can act on, or must know.

    Attributes:
        rule: short name of what spoke.
        seen: what was seen, with numbers.
        why: why it matters.
        remedy: what to do.
    """

    rule: str
    seen: str
    why: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One ``slotbench doctor``.

    Attributes:
        is_quick: fewer rounds and processes than usual.
        environment: machine, Python, packages, commit: flat, scalars only.
        total_s: how long all of it took.
    """

    schema_version: int
    created_at: str
    is_quick: bool
    environment: dict[str, Scalar]
    timers: Timers
    noise: NoiseFloor
    resolvable: tuple[Resolvable, ...]
    recorder: RecorderCosts
    primitives: tuple[Primitive, ...]
    advice: tuple[Advice, ...]
    command: tuple[str, ...]
    total_s: float
