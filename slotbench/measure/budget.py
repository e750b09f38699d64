"""How long things may take, and how long they are expected to: arithmetic on a workload."""

import math
from collections.abc import Sequence
from typing import Final

from slotbench.compute import arrivals, think_times, validity
from slotbench.contenders import FRAMES_PER_BATCH, actors_of, env_backend_of, pythons
from slotbench.records import Contender, Scenario, Workload

WORKER_START_S: Final = 5.0
"""Imports of torch, tensordict and torchrl in a fresh process on 2 cores (the reference
quickstart run: 4.7 s)."""

TRIAL_OVERHEAD_S: Final = 0.08
"""Fork, build, last replies, shutdown, calibration (the same run: 0.08 s at 16 actors)."""

OVERHEAD_PER_SLOT_S: Final = 0.001
"""An actor's thread, started and joined."""

_STARTUP_ALLOWANCE_S: Final = 30.0
_STARTUP_PER_SLOT_S: Final = 0.05
_SETTLE_S: Final = 3.0
_SETTLE_PER_SLOT_S: Final = 0.005
"""For transports that serve a few hundred actors a second where thousands contend."""
_LATE_END_S: Final = 1.0
"""By which a main thread that wants for the GIL may end a window late."""

_MAX_WAITED_THINK_S: Final = 10.0
REPLIES_PER_ACTOR: Final = validity.WANTED_REPLIES_PER_ACTOR
"""What a window holds on average before it may end, and a third of it before warm-up may:
shorter, and latencies are those of the start, censored at the window's end."""

BUFFERS_IN_WINDOW: Final = 10
"""A collector's window holds so many times the frames that it may have buffered: the buffer, fuller at
one end of the window than at the other, is then no part of the rate that matters."""

_CHUNK_FRAMES: Final = 64
"""Frames of one env that a worker of TorchRL's process slots sends together
(``_AUTO_TRANSITION_CHUNK`` of torchrl 0.14.1)."""

_PROCESS_START_S: Final = 0.05
"""An actor in a process of its own, forked and ended."""

_COLLECTOR_START_S: Final = 1.5
"""TorchRL's collector, made and shut down."""

_DEVICE_START_S: Final = 1.5
"""A device's context in a fresh process, its first kernels loaded; tens of milliseconds more or less a
layer."""

CALIBRATION_THINK_S: Final = 0.12
"""How long one actor thinks in a calibration, once it has thought often enough,"""
MIN_CALIBRATION_THINKS: Final = 50
CALIBRATION_MAX_THINK_S: Final = 1.0
"""and how long at most, but for one think that takes longer."""

CALIBRATION_WORK_S: Final = 0.03
"""How long it makes requests and checks replies without thinking."""

CALIBRATION_SERVICE_S: Final = 0.12
"""How long a policy is called in a calibration, all batch sizes together,"""
MIN_CALIBRATION_CALLS: Final = 3
"""and how often at least for each size."""

_CALIBRATED_SIZES: Final = 5
_CALIBRATION_OVERHEAD_S: Final = 0.05


def calibrated_sizes(workload: Workload) -> tuple[int, ...]:
    """Return the batch sizes that a policy is timed at: 1, the largest, and some between."""
    largest = min(workload.num_slots, workload.batching.max_batch_size)
    steps = range(_CALIBRATED_SIZES)
    sizes = {round(largest ** (step / (_CALIBRATED_SIZES - 1))) for step in steps}
    return tuple(sorted(sizes))


def estimate_calibration_s(workload: Workload) -> float:
    """Estimate a calibration's length; of a real network or environment nothing is known."""
    sizes = calibrated_sizes(workload)
    # Two calls of each size to warm up.
    calls = MIN_CALIBRATION_CALLS + 2
    service_s = calls * sum(service_time_s(workload, size) for size in sizes)
    # Of the first actor alone.
    think_s = MIN_CALIBRATION_THINKS * think_times.mean_s(workload.think_time, 1)
    think_s = min(max(CALIBRATION_THINK_S, think_s), CALIBRATION_MAX_THINK_S)
    think_s += CALIBRATION_WORK_S
    overhead_s = _CALIBRATION_OVERHEAD_S + device_start_s(workload)
    return overhead_s + think_s + max(CALIBRATION_SERVICE_S, service_s)


def service_time_s(workload: Workload, batch_size: int) -> float:
    """Return S(n) = a + b·n in seconds; 0 for a real network, whose time is not known."""
    model = workload.model
    return (model.latency_ms + model.latency_per_item_ms * batch_size) / 1e3


def device_start_s(workload: Workload) -> float:
    """Estimate what it takes a process to start the policy's device; 0 for the host."""
    return 0.0 if workload.device == "cpu" else _DEVICE_START_S


def settle_s(workload: Workload) -> float:
    """Return how long the last replies may take after the window: everybody served once more."""
    batching = workload.batching
    num_batches = 1 + -(-workload.num_slots // batching.max_batch_size)
    batch_s = batching.timeout_ms / 1e3 + service_time_s(workload, batching.max_batch_size)
    settle_s = _SETTLE_S + _SETTLE_PER_SLOT_S * workload.num_slots
    return settle_s + num_batches * batch_s


def longest_think_s(workload: Workload) -> float:
    """Return what a think may take but for its distribution's tail, at most `_MAX_WAITED_THINK_S`."""
    think = workload.think_time
    reset_ms = max(think.reset_ms, think.reset_max_ms or 0.0)
    return min(_MAX_WAITED_THINK_S, (3 * think.mean_ms + reset_ms) / 1e3)


def deadline_s(workload: Workload) -> float:
    """Return when a trial that has not ended by itself no longer runs Python, and is killed."""
    window = workload.window
    starting_s = _STARTUP_ALLOWANCE_S + _STARTUP_PER_SLOT_S * workload.num_slots
    settling_s = settle_s(workload) + longest_think_s(workload)
    return starting_s + 2 * window.max_measure_s + window.warmup_s + 2 * settling_s


def min_replies(workload: Workload, contender: Contender) -> int:
    """Return how many replies a window is prolonged for, up to its greatest length."""
    wanted = max(workload.window.min_requests, REPLIES_PER_ACTOR * workload.num_slots)
    return max(wanted, BUFFERS_IN_WINDOW * buffered_frames(workload, contender))


def buffered_frames(workload: Workload, contender: Contender) -> int:
    """Return how many steps a collector may have taken and not yet handed on; 0 without one."""
    if actors_of(contender) != "collector":
        return 0
    batch = int(contender.options.get("frames_per_batch", FRAMES_PER_BATCH))
    if contender.name == "torchrl.parallel":
        return batch  # all envs are at the same step
    of_envs = 1
    is_anybodys = ":" in contender.name and env_backend_of(contender) == "multiprocessing"
    if contender.name == "torchrl.process_slot" or is_anybodys:
        of_envs = min(max(batch // workload.num_slots, _CHUNK_FRAMES), batch)
    return batch + of_envs * workload.num_slots


def window_s(workload: Workload) -> tuple[float, float]:
    """Lengths of warm-up and window in an open loop, known beforehand: how many are due is no secret.

    They are the same for all contenders of a block. A window that lasted until so many replies
    were there would last longer for an overloaded contender, whose latencies grow as it lasts.

    Returns:
        Both in seconds, prolonged as those of a closed loop are: for
        `REPLIES_PER_ACTOR` and ``min_requests`` due, to ``max_measure_s`` at most.
    """
    window, rate = (
        workload.window,
        arrivals.offered_per_s(workload.load, workload.num_slots),
    )
    longest_s = window.max_measure_s
    wanted = max(window.min_requests, REPLIES_PER_ACTOR * workload.num_slots)
    warmup_s = min(longest_s, 2 * workload.num_slots / rate)
    # Half of such windows would hold fewer; of constant schedules, by one an actor at most.
    is_poisson = workload.load.arrivals == "poisson"
    spread = 3 * math.sqrt(wanted) if is_poisson else workload.num_slots
    measure_s = min(longest_s, (wanted + spread) / rate)
    return max(window.warmup_s, warmup_s), max(window.measure_s, measure_s)


def num_due(workload: Workload) -> int:
    """About how many requests are due in an open loop's window, of all actors together."""
    offered_per_s = arrivals.offered_per_s(workload.load, workload.num_slots)
    return round(offered_per_s * window_s(workload)[1])


def num_scheduled(workload: Workload) -> int:
    """How many requests of one actor an open loop's trial may come to."""
    return arrivals.enough(workload.load, sum(window_s(workload)) + _LATE_END_S)


def estimate_trial_s(workload: Workload, contender: Contender | None = None) -> float:
    """Estimate a trial's length, its window prolonged where think and service time ask for it.

    Args:
        workload: of its cell.
        contender: None is one whose actors are threads.
    """
    if workload.load.is_open:
        fixed_s = TRIAL_OVERHEAD_S + OVERHEAD_PER_SLOT_S * workload.num_slots
        fixed_s += device_start_s(workload)
        return sum(window_s(workload)) + fixed_s
    window = workload.window
    cycle_s = service_time_s(
        workload, min(workload.num_slots, workload.batching.max_batch_size)
    )
    cycle_s += think_times.mean_s(workload.think_time, workload.num_slots)
    num_wanted = max(window.min_requests, REPLIES_PER_ACTOR * workload.num_slots)
    overhead_s = TRIAL_OVERHEAD_S + OVERHEAD_PER_SLOT_S * workload.num_slots
    if contender is None or contender.name != "floor":  # it has no policy
        overhead_s += device_start_s(workload)
    if contender is not None and actors_of(contender) != "threads":
        num_wanted = min_replies(workload, contender)
        overhead_s += _start_s(workload, contender)
    needed_s = num_wanted * cycle_s / workload.num_slots
    measure_s = max(window.measure_s, min(needed_s, window.max_measure_s))
    return window.warmup_s + measure_s + overhead_s


def _start_s(workload: Workload, contender: Contender) -> float:
    """Estimate what starting and ending processes and a collector takes."""
    is_collector = actors_of(contender) == "collector"
    has_processes = not is_collector or env_backend_of(contender) == "multiprocessing"
    start_s = _COLLECTOR_START_S if is_collector else 0.0
    return start_s + has_processes * _PROCESS_START_S * workload.num_slots


def estimate_block_s(workload: Workload, contenders: Sequence[Contender]) -> float:
    """Estimate a block's length: its calibrations, one an interpreter, and its trials.

    Args:
        workload: of its cell.
        contenders: of its trials; the baseline is there twice.
    """
    trials_s = sum(estimate_trial_s(workload, contender) for contender in contenders)
    return len(pythons(contenders)) * estimate_calibration_s(workload) + trials_s


def estimate_run_s(scenario: Scenario, contenders: Sequence[Contender]) -> float:
    """Estimate a run's length.

    Args:
        scenario: what would be run.
        contenders: of a block's trials; the baseline is there twice.
    """
    blocks_s = sum(estimate_block_s(cell.workload, contenders) for cell in scenario.cells)
    return scenario.rounds * (WORKER_START_S + blocks_s)


def shared_s(alone_s: float, num_nodes: int) -> float:
    """How long what takes so long on one machine may take on so many nodes; 0 nodes are this machine."""
    return alone_s / max(1, num_nodes)


def left_s(expected_s: float, elapsed_s: float, done: float) -> float:
    """Estimate how long a run still takes: the estimate, corrected by its pace.

    Args:
        expected_s: estimate of the whole run.
        elapsed_s: since it began.
        done: share of its trials that have ended, 0 to 1.
    """
    at_pace_s = elapsed_s / done * (1 - done) if done > 0 else 0.0
    return done * at_pace_s + (1 - done) * (expected_s * (1 - done))
