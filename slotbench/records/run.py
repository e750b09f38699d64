"""One ``slotbench run``: its plan, its machine, its end.

History of the format (``schema_version`` in run.json, which holds for its other files too):

1. First version.
2. ``resumptions`` and ``max_attempts`` of a run; ``num_cpus``, ``steal_s``, ``foreign_cpu_s``, ``throttled_s`` and
   ``replies_per_slice`` of a measurement. All may be absent: version 1 reads as it is.
3. calibrations.jsonl beside trials.jsonl. It may be absent: versions 1 and 2 read as they are.
4. Of a workload ``reset_*`` (think time), ``outputs``, ``output_activation``, ``channels``, ``kernel_sizes``, ``strides`` and
   ``policy`` (model), ``library`` and ``preprocessing`` (environment); ``citation`` of a scenario; ``num_frames`` of a
   measurement; contenders of the server "collector". All may be absent: versions 1 to 3 read as they are.
5. Of a workload `load`; of a measurement `open_loop`; of a run `sequential`. All may be absent: versions 1 to 4 read as
   they are.
6. Of a workload `device`, and `mode` "work" of a think time; contenders' option `python`; of a measurement `device`; of a
   trial `node` and `is_gil_enabled`; of a calibration `node`, `python` and its points' `device_s`; of a run `nodes`, and its
   accounting's `node_s`. All may be absent: versions 1 to 5 read as they are.
"""

from dataclasses import dataclass
from typing import Final, Literal

from slotbench.records.scenario import Scenario
from slotbench.records.workload import Scalar

SCHEMA_VERSION: Final = 6

MAX_SEQUENTIAL_ROUNDS: Final = 1_000
"""Of a run until decided: days of the shortest scenario."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """An optional contender that this run went without."""

    label: str
    reason: str


@dataclass(frozen=True, slots=True)
class Design:
    """Randomised complete blocks: the order in which trials were planned.

    Attributes:
        rounds: that are planned; of a run until decided so far, and not for every cell.
        blocks: for every round, for every block in the order measured, the cell's name
            and "label#arm" of each trial in order.
    """

    seed: int
    rounds: int
    num_trials: int
    blocks: tuple[tuple[tuple[str, tuple[str, ...]], ...], ...]


@dataclass(frozen=True, slots=True)
class Resumption:
    """One ``slotbench run --resume``: who went on, where, and after how much.

    Attributes:
        num_trials: in the record when it began.
        environment: as `RunRecord.environment`.
    """

    created_at: str
    num_trials: int
    environment: dict[str, Scalar]
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Accounting:
    """Where the time of the run went, or of its last resumption.

    Attributes:
        total_s: from the first worker's start to the last trial's record, checks of
            contenders included.
        observed_s: calibration, warm-up and measurement, over all trials.
        worker_start_s: starting worker processes and their imports; over all nodes of a cluster.
        node_s: how long the nodes of a cluster took part, all together; None without one.
    """

    total_s: float
    observed_s: float
    worker_start_s: float
    node_s: float | None = None

    @property
    def overhead_ratio(self) -> float:
        """Share of the run, on all its nodes, spent outside of what is observed, 0 to 1."""
        spent_s = self.total_s if self.node_s is None else self.node_s
        return 1.0 - self.observed_s / spent_s if spent_s > 0 else 0.0


StopReason = Literal["decided", "no numbers", "no prospect", "max rounds", "budget"]
"""Why a cell got no more rounds: each judged row has a verdict; what has none lacks numbers to judge,
or would hardly have got one; the rounds, or the time, were spent. The worse, the later."""


@dataclass(frozen=True, slots=True)
class StoppedCell:
    """A cell of a run until decided that got no more rounds.

    Attributes:
        cell: its name.
        rounds: that it had.
        reason: why it had no more.
    """

    cell: str
    rounds: int
    reason: StopReason


@dataclass(frozen=True, slots=True)
class Sequential:
    """How a run was to go on until its cells are decided, and how that ended.

    Attributes:
        looks: rounds after which it looks at its results, planned before the first; the last
            is the most that a cell gets.
        confidence: nominal, of every interval of the run, such that all looks together have 95 %.
        metrics: whose verdicts decide whether a cell goes on.
        thresholds: metric → δ of these verdicts.
        budget_s: of wall clock for the whole run, all sittings together; None is without end.
        ended: the worst reason of any cell; "" while the run goes on.
        stopped: in the order in which they got no more rounds.
    """

    looks: tuple[int, ...]
    confidence: float
    metrics: tuple[str, ...]
    thresholds: dict[str, float]
    budget_s: float | None = None
    ended: Literal["", StopReason] = ""
    stopped: tuple[StoppedCell, ...] = ()

    @property
    def max_rounds(self) -> int:
        """The most rounds that a cell gets."""
        return self.looks[-1]


@dataclass(frozen=True, slots=True)
class BrokenOff:
    """One attempt at a block that ended with its node, or with the worker there.

    What was recorded of it stays and does not count: the block is measured whole as another
    attempt, on whichever node is next.

    Attributes:
        round, cell, attempt: name it.
        doing: the trial, by its contender's label, or the calibration, that was going on.
        reason: what went wrong, in a line.
    """

    round: int
    cell: str
    attempt: int
    doing: str
    reason: str


@dataclass(frozen=True, slots=True)
class Node:
    """One machine of a cluster that a run's blocks were spread over.

    Attributes:
        label: "n1", "n2", … in the order in which the run met them; what trials and calibrations
            call it. A node that is lost and comes back is another.
        num_cpus: reserved there, for one trial at a time.
        environment: as `RunRecord.environment`, of that machine.
        is_admitted: whether blocks were measured there at all; one with other software is left out.
        lost: why it took no blocks, or no more of them before the run's end, in a line; "" if it did
            not end early.
        broken_off: attempts at blocks that were broken off there, in their order.
        sitting: counts the run's sittings on a cluster, from 0: a node of a later one may be the same machine.
    """

    label: str
    num_cpus: float
    environment: dict[str, Scalar]
    is_admitted: bool = True
    lost: str = ""
    broken_off: tuple[BrokenOff, ...] = ()
    sitting: int = 0


@dataclass(frozen=True, slots=True)
class RunRecord:
    """run.json.

    Attributes:
        run_id: name of the folder: UTC time, scenario, six random hexadecimal digits.
        status: "running" until the run ends; a run that was killed stays so until it is
            resumed.
        scenario: with ``contenders`` as raced: without the skipped ones.
        scenario_sha256: of the scenario's text.
        environment: machine, Python, packages, commit: flat, scalars only.
        command: the command line, for the report's "how to reproduce".
        accounting: None while the run goes on.
        resumptions: in their order.
        max_attempts: how often, at most, a block that the machine disturbs is measured.
        sequential: of a run that goes on until it is decided, whose design grows; else None.
        nodes: of a cluster, of all sittings; () where the run had one machine, the caller's own.
            ``environment`` then holds what they have in common.
    """

    schema_version: int
    run_id: str
    created_at: str
    status: Literal["running", "complete", "interrupted"]
    scenario: Scenario
    scenario_sha256: str
    skipped: tuple[Skipped, ...]
    design: Design
    environment: dict[str, Scalar]
    command: tuple[str, ...]
    accounting: Accounting | None = None
    resumptions: tuple[Resumption, ...] = ()
    max_attempts: int = 1
    sequential: Sequential | None = None
    nodes: tuple[Node, ...] = ()
