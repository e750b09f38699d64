"""What ``slotbench predict`` says: throughput under what is supposed, and how good it was where it was measured.

History of the format (``schema_version`` of `WhatIf` and of `PredictionCheck`):

1. First version.
"""

from dataclasses import dataclass
from typing import Final, Literal

from slotbench.records.recommendation import Regime
from slotbench.records.workload import Leaf

PREDICTION_SCHEMA_VERSION: Final = 1

Spread = Literal["constant", "exponential", "lognormal"]

Queues = Literal["shared", "own"]
"""Whether several servers take batches off one queue of one process, or are a process, a transport and an
equal share of the actors each."""

PredictedLimit = Literal[
    "think time", "policy", "GIL", "processors", "transport", "batching rule"
]
"""What is in use for the greatest part of the time; the batching rule where nothing is for half of it."""


@dataclass(frozen=True, slots=True)
class PredictedRow:
    """One combination of what is supposed, and what comes of it.

    Attributes:
        num_envs: environments, an actor each, over all queues.
        step_ms: mean time of a step, resets left out.
        step_sigma: of lognormal steps; 0 of others.
        step_mode: as `ThinkTime.mode`.
        reset_every: steps of an episode; 0 is no resets.
        reset_ms: what each takes.
        policy_ms, policy_per_item_ms: mean of S(n).
        policy_distribution: of S(n) over its mean, drawn for each batch.
        policy_sigma: of a lognormal one; 0 of others.
        is_balanced: whether ``min_batch_size`` was asked for as n*, and found for this row.
        max_batch_size: at most the actors of a queue; ``min_batch_size``, too.
        timeout_ms: means nothing with a minimum of 1: nothing is waited for.
        num_servers: over all queues.
        transport: label of a contender whose cost is added; "none" costs nothing.
        per_s: requests per second.
        low, high: between which 95 % of measurements of such forecasts were; None where none was ever
            checked: without a transport, with several servers, beyond the recorded number of actors.
        mean_batch_size: rows per batch.
        latency_p50_s, latency_p99_s: from request to reply; with a transport the p99 is as much longer
            as recorded ones were.
        busy_ratio: share of the time in which a server serves, mean over servers.
        timeout_ratio: share of batches whose gathering the timeout ended.
        bound_per_s: what no transport and no batching rule can exceed with so many servers.
        limit: what most of the time goes to.
        is_fast_enough: whether ``latency_p99_s`` is within the limit asked for; True where none was.
        num_requests: simulated, of one queue.
    """

    num_envs: int
    step_ms: float
    step_distribution: Spread
    step_sigma: float
    step_mode: Literal["idle", "busy", "busy_nogil"]
    reset_every: int
    reset_ms: float
    policy_ms: float
    policy_per_item_ms: float
    policy_distribution: Spread
    policy_sigma: float
    min_batch_size: int
    is_balanced: bool
    max_batch_size: int
    timeout_ms: float
    num_servers: int
    queues: Queues
    transport: str
    per_s: float
    low: float | None
    high: float | None
    mean_batch_size: float
    latency_p50_s: float
    latency_p99_s: float
    busy_ratio: float
    timeout_ratio: float
    bound_per_s: float
    limit: PredictedLimit
    is_fast_enough: bool
    num_requests: int


@dataclass(frozen=True, slots=True)
class WhatIf:
    """One ``slotbench predict``.

    Attributes:
        command: the command line.
        run: id of the run that times were taken from; "" where all was given.
        cell: of that run.
        leaves: of an observation, which a transport carries.
        num_cpus: processors; None is as many as wanted.
        pace: how much slower than the reference machine Python is taken to be; of transports alone.
        is_pace_known: whether that was measured.
        max_latency_s: limit on the 99th percentile of reply times; None where none was asked.
        axes: fields of a row that were given several values, in the order of the columns.
        rows: in the order of their values.
        best: places of the best rows: one for each combination of what cannot be chosen (environments,
            steps, the policy).
        notes: what else a reader must know, a sentence each.
    """

    schema_version: int
    created_at: str
    command: tuple[str, ...]
    run: str
    cell: str
    leaves: tuple[Leaf, ...]
    num_cpus: int | None
    pace: float
    is_pace_known: bool
    max_latency_s: float | None
    axes: tuple[str, ...]
    rows: tuple[PredictedRow, ...]
    best: tuple[int, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckedPrediction:
    """One contender in one measured cell, predicted.

    What is predicted rests on calibrations, or on what was asked for, and on costs fitted to other runs.

    Attributes:
        run, cell, contender: what was measured.
        num_slots: actors.
        regime: what most of the predicted time goes to.
        is_calibrated: whether think time and S(n) are calibrated; else as the scenario asks.
        predicted_per_s, measured_per_s: requests per second; measured: geometric mean over rounds.
        ratio: predicted over measured,
        ratio_low, ratio_high: and its interval, that of what was measured: of 95 %, or surer where the run
            looked more than once; None of one round.
        predicted_batch_size, measured_batch_size: rows per batch.
        predicted_latency_p50_s …: from request to reply; measured: median over rounds, None where no
            window held enough. The predicted p99 is the simulation's own.
    """

    run: str
    cell: str
    contender: str
    num_slots: int
    regime: Regime
    is_calibrated: bool
    predicted_per_s: float
    measured_per_s: float
    ratio: float
    ratio_low: float | None
    ratio_high: float | None
    predicted_batch_size: float
    measured_batch_size: float | None
    predicted_latency_p50_s: float
    measured_latency_p50_s: float | None
    predicted_latency_p99_s: float
    measured_latency_p99_s: float | None


@dataclass(frozen=True, slots=True)
class CheckedRun:
    """A run whose cells were predicted.

    Attributes:
        name: of its folder where that is not its id, else of its scenario.
        run_id: its id.
        is_held_out: whether the costs are those fitted without it; else it was never among those
            that costs are fitted to.
        pace: of its machine,
        is_pace_known: and whether that was measured.
        num_left_out: contenders × cells without a prediction: their transport's cost was never fitted.
    """

    name: str
    run_id: str
    is_held_out: bool
    pace: float
    is_pace_known: bool
    num_left_out: int


@dataclass(frozen=True, slots=True)
class PredictionCheck:
    """One ``slotbench predict RUN … --check``.

    Attributes:
        command: the command line.
        margin: predictions within a factor of 1 + this are called right.
        rows: by run, cell and contender.
    """

    schema_version: int
    created_at: str
    command: tuple[str, ...]
    margin: float
    runs: tuple[CheckedRun, ...]
    rows: tuple[CheckedPrediction, ...]
