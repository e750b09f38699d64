"""The nodes of a cluster as one place to measure: who takes part, who is lost, what all share.

It knows nothing of Ray: a `Fleet` finds the nodes and a `Host` stands for each of them.

Threads: the run's own calls everything but what says otherwise. Each node is asked by one thread at a time,
its lane's; nodes that join are made ready by threads of this module.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import replace
from typing import Final, Protocol

from slotbench.compute import nodes as of_nodes
from slotbench.errors import ClusterError, NodeLostError, SlotbenchError, WorkerError
from slotbench.measure.executor import WORKER_DIED
from slotbench.records import (
    BrokenOff,
    CalibrationRecord,
    Contender,
    Node,
    Scalar,
    TrialRecord,
    TrialSpec,
    Workload,
)

GATHER_S: Final = 60.0
"""How long a run waits for nodes whose CPUs are in use, once it has one."""
ALONE_S: Final = 300.0
"""How long it waits for the first, and for another when the last one is lost."""
TELL_S: Final = 5.0
"""How long it waits for nodes before it says so: their processes take a moment."""
LOOK_EVERY_S: Final = 2.0
"""How often it looks for nodes that have joined."""


class Host(Protocol):
    """A node: its CPUs are ours, and a process there runs what it is asked to.

    Whatever is asked of it raises NodeLostError where the node or that process is gone.

    Threads: one at a time; `let_go` from any.
    """

    num_cpus: float

    def start_worker(self) -> float:
        """Replace its worker by a fresh one.

        Returns:
            Seconds that it took.

        Raises:
            WorkerError: it did not come up.
        """

    def environment(self, contenders: Sequence[Contender]) -> dict[str, Scalar]:
        """Describe the node, as `slotbench.store.environment.collect` does."""

    def check(self, contender: Contender | None, workload: Workload) -> str:
        """As `slotbench.measure.executor.Executor.check`."""

    def run(self, spec: TrialSpec) -> TrialRecord:
        """As `slotbench.measure.executor.Executor.run`.

        Raises:
            WorkerError: a worker does not come up.
        """

    def calibrate(self, spec: TrialSpec) -> CalibrationRecord:
        """As `slotbench.measure.executor.Executor.calibrate`.

        Raises:
            WorkerError: a worker does not come up.
        """

    def let_go(self, *, for_good: bool) -> None:
        """End what runs there and free the CPUs; who waits for an answer gets NodeLostError.

        Args:
            for_good: the node is not to come back.
        """


class Fleet(Protocol):
    """The nodes that there are."""

    def arrivals(self) -> Sequence[Host]:
        """Nodes that can be had and were not given out yet, or have come back."""

    def num_nodes(self) -> int:
        """Nodes that offer what a trial needs, whether or not it is in use."""

    def num_awaited(self) -> int:
        """Nodes that are there, and whose CPUs are not ours yet."""

    def lacking(self) -> str:
        """What is to be said where no node offers what a trial needs: one line, with what to do."""

    def close(self) -> None:
        """Let every node go."""


class Member:
    """A node that takes part: an executor that labels what it records.

    Threads: its lane's.

    Attributes:
        label: of the node.
        host: stands for it.
        round: that its worker serves; None is any: it is fresh.
        is_stale: it is to start a fresh worker before the next block, whatever its round.
        keeps_deaths: a trial during which the worker died is recorded as failed, as on one machine; otherwise
            it breaks off its block.
    """

    def __init__(self, label: str, host: Host) -> None:
        self.label = label
        self.host = host
        self.round: int | None = None
        self.is_stale = True
        self.keeps_deaths = False
        self.worker_start_s = 0.0

    def start_worker(self) -> None:
        """Replace the node's worker by a fresh one.

        Raises:
            WorkerError: it did not come up.
            NodeLostError: the node is gone.
        """
        self.worker_start_s += self.host.start_worker()
        self.round, self.is_stale = None, False

    def check(self, contender: Contender | None, workload: Workload) -> str:
        """As `slotbench.measure.executor.Executor.check`; NodeLostError where it is gone."""
        return self.host.check(contender, workload)

    def run(self, spec: TrialSpec) -> TrialRecord:
        """Run a trial.

        Raises:
            WorkerError: the worker died during it, and that is not kept; or none comes up.
            NodeLostError: the node is gone.
        """
        record = self.host.run(spec)
        if record.error == WORKER_DIED and not self.keeps_deaths:
            raise WorkerError(WORKER_DIED)
        return replace(record, node=self.label)

    def calibrate(self, spec: TrialSpec) -> CalibrationRecord:
        """As `run`."""
        record = self.host.calibrate(spec)
        if record.error == WORKER_DIED and not self.keeps_deaths:
            raise WorkerError(WORKER_DIED)
        return replace(record, node=self.label)

    def close(self) -> None:
        """Let the node go."""
        self.host.let_go(for_good=True)


class Cluster:
    """Nodes that a run's blocks are spread over; what `slotbench.measure.runner.run` takes, too.

    Args:
        fleet: closed with it.
        contenders: of the scenario: their code is part of the software that nodes must share.
        earlier: nodes of earlier sittings of the run.
        on_event: told, in a line, which node joins, is left out, or is lost, and that nodes are waited for.
        gather_s, alone_s, tell_s, look_every_s: see `GATHER_S`, `ALONE_S`, `TELL_S` and `LOOK_EVERY_S`.

    Attributes:
        on_event: as given; may be exchanged.
        on_loss: told instead of ``on_event`` what is no good news: all but that a node takes part; None is
            ``on_event``.
        on_change: called when `nodes` has changed, by `settle`.
    """

    def __init__(
        self,
        fleet: Fleet,
        contenders: Sequence[Contender],
        *,
        earlier: Sequence[Node] = (),
        on_event: Callable[[str], None] = lambda _: None,
        gather_s: float = GATHER_S,
        alone_s: float = ALONE_S,
        tell_s: float = TELL_S,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self.on_change: Callable[[], None] = lambda: None
        self.on_loss: Callable[[str], None] | None = None
        self._fleet = fleet
        self._contenders = tuple(contenders)
        self._earlier = tuple(earlier)
        self.on_event = on_event
        self._gather_s = gather_s
        self._alone_s = alone_s
        self._tell_s = tell_s
        self._look_every_s = look_every_s
        self._lock = threading.RLock()
        self._num_labels = max((int(node.label[1:]) for node in earlier), default=0)
        self._sitting = max((node.sitting + 1 for node in earlier), default=0)
        self._nodes: dict[str, Node] = {}
        self._members: dict[str, Member] = {}
        self._joining: dict[str, tuple[Host, Future[None]]] = {}
        self._began: dict[str, float] = {}
        self._node_s = 0.0
        self._worker_start_s = 0.0
        self._checks: list[tuple[Contender | None, Workload]] = []
        self._news: list[tuple[str, bool]] = []
        self._is_changed = False
        self._last_look = float("-inf")
        # Its threads are Python's to join at exit: each ends once its node is let go.
        self._pool = ThreadPoolExecutor(max_workers=64, thread_name_prefix="joining")

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def worker_start_s(self) -> float:
        """Seconds spent starting workers so far, over all nodes."""
        with self._lock:
            present = sum(member.worker_start_s for member in self._members.values())
            return self._worker_start_s + present

    @property
    def node_s(self) -> float:
        """Seconds that nodes took part so far, all together."""
        with self._lock:
            now = time.monotonic()
            return self._node_s + sum(now - began for began in self._began.values())

    @property
    def num_nodes(self) -> int:
        """Nodes that there are, whether or not they take part yet."""
        return self._fleet.num_nodes()

    def start_worker(self) -> None:
        """Find the nodes and start a worker on each; later: a fresh one before each one's next block.

        Raises:
            ClusterError: no node can be had, or none can measure.
        """
        if self._nodes:
            with self._lock:
                for member in self._members.values():
                    member.is_stale = True
            return
        began = time.monotonic()
        is_told = False
        while True:
            waited_s = time.monotonic() - began
            self._look()
            self.settle()
            with self._lock:
                num_members, num_joining = len(self._members), len(self._joining)
            num_awaited = self._fleet.num_awaited()
            if num_awaited and not is_told and waited_s >= self._tell_s:
                is_told = True
                self._tell(_waiting(num_awaited), is_loss=True)
            if not num_joining:
                if num_members and (not num_awaited or waited_s >= self._gather_s):
                    return
                if not num_members and (not num_awaited or waited_s >= self._alone_s):
                    raise ClusterError(self._nobody(num_awaited))
            self.pause()

    def check(self, contender: Contender | None, workload: Workload) -> str:
        """Make the contender for the workload on every node; None is no transport.

        A node on which it cannot be made, though it can on another, is left out.

        Returns:
            What went wrong, where it does on all of them; "" otherwise.

        Raises:
            ClusterError: no node is left.
        """
        members = self.members()
        found = [self._pool.submit(_checked, m, contender, workload) for m in members]
        while wait_for(found, timeout=0.5).not_done:
            pass  # in short waits, so that Ctrl-C is heard
        answers = dict(zip(members, (one.result() for one in found), strict=True))
        for member, (problem, is_lost) in answers.items():
            if is_lost:
                self._leave_out(member, problem)
        problems = {m: text for m, (text, is_lost) in answers.items() if not is_lost}
        if not problems:
            raise ClusterError(self.all_lost())
        if all(problems.values()):
            return next(iter(problems.values()))
        for member, problem in problems.items():
            if problem:
                self._leave_out(member, problem)
        with self._lock:
            self._checks.append((contender, workload))
        return ""

    def environment(self) -> dict[str, Scalar]:
        """What the nodes that took part have in common."""
        with self._lock:
            return of_nodes.common_environment(
                [node.environment for node in self._nodes.values() if node.is_admitted]
            )

    def nodes(self) -> tuple[Node, ...]:
        """Every node of the run, of all sittings; not those that are still being made ready."""
        with self._lock:
            known = [node for node in self._nodes.values() if node.is_admitted or node.lost]
            return (*self._earlier, *known)

    def members(self) -> list[Member]:
        """The nodes that take part now."""
        with self._lock:
            return list(self._members.values())

    def look(self) -> None:
        """Look for nodes that have joined, unless it was just done; tell what has changed."""
        self.settle()
        if time.monotonic() - self._last_look >= self._look_every_s:
            self._look()
        self.settle()

    def settle(self) -> None:
        """Tell what has happened to nodes since the last time."""
        with self._lock:
            for label, (_, future) in list(self._joining.items()):
                if future.done():
                    del self._joining[label]
                    future.result()
            news, self._news = self._news, []
            is_changed, self._is_changed = self._is_changed, False
        for line, is_loss in news:
            self._tell(line, is_loss=is_loss)
        if is_changed:
            self.on_change()

    def pause(self) -> None:
        """Wait a moment, or until a node that joins is ready."""
        with self._lock:
            joining = [future for _, future in self._joining.values()]
        if joining:
            wait_for(joining, timeout=0.5)
        else:
            time.sleep(0.2)

    def is_hopeful(self, alone_s: float) -> bool:
        """Whether another node may still take part, after so long without any."""
        with self._lock:
            if self._joining or self._members:
                return True
        return alone_s < self._alone_s and self._fleet.num_awaited() > 0

    def broken_off(self, member: Member, one: BrokenOff) -> None:
        """Keep that a block was broken off there. Threads: any."""
        with self._lock:
            node = self._nodes[member.label]
            self._nodes[member.label] = replace(node, broken_off=(*node.broken_off, one))
            told = (
                f"{member.label}: round {one.round + 1}, {one.cell} was broken off at {one.doing}: "
                f"{one.reason}; it is measured again"
            )
            self._news.append((told, True))
            self._is_changed = True

    def lose(self, member: Member, reason: str, *, for_good: bool) -> None:
        """Give a node no more blocks. Threads: any.

        Args:
            member: the node.
            reason: why.
            for_good: it is not to come back, though it may still be there.
        """
        with self._lock:
            if self._members.pop(member.label, None) is None:
                return
            self._worker_start_s += member.worker_start_s
            self._node_s += time.monotonic() - self._began.pop(member.label)
            self._nodes[member.label] = replace(self._nodes[member.label], lost=reason)
            self._news.append((f"{member.label} is lost: {reason}", True))
            self._is_changed = True
        member.host.let_go(for_good=for_good)

    def all_lost(self) -> str:
        """Say, where no node is left, how those of this sitting were lost."""
        with self._lock:
            lost = [
                f"{node.label}: {node.lost}" for node in self._nodes.values() if node.lost
            ]
        return f"no node of the cluster is left; lost are {'; '.join(lost)}"

    def dismiss(self) -> None:
        """Let every node go; who waits for an answer of one is told that it is gone."""
        with self._lock:
            hosts = [host for host, _ in self._joining.values()]
            hosts += [member.host for member in self._members.values()]
        for host in hosts:
            host.let_go(for_good=True)

    def close(self) -> None:
        """Let every node go."""
        self.dismiss()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._fleet.close()

    def _leave_out(self, member: Member, problem: str) -> None:
        """Lose a node before it has measured anything."""
        self.lose(member, problem, for_good=True)
        with self._lock:
            node = replace(self._nodes[member.label], is_admitted=False)
            self._nodes[member.label] = node

    def _tell(self, line: str, *, is_loss: bool) -> None:
        tell = self.on_loss if is_loss and self.on_loss is not None else self.on_event
        tell(line)

    def _look(self) -> None:
        self._last_look = time.monotonic()
        for host in self._fleet.arrivals():
            with self._lock:
                label = f"n{self._num_labels + 1}"
                self._num_labels += 1
                self._nodes[label] = Node(
                    label, host.num_cpus, {}, is_admitted=False, sitting=self._sitting
                )
                self._joining[label] = host, self._pool.submit(self._join, label, host)

    def _join(self, label: str, host: Host) -> None:
        """Make a node ready, or leave it out. Threads: one of the pool's for each node."""
        member = Member(label, host)
        environment: Mapping[str, Scalar] = {}
        try:
            member.start_worker()
            environment = host.environment(self._contenders)
            with self._lock:
                checks = tuple(self._checks)
            found = (_checked(member, *one)[0] for one in checks)
            problem = next(filter(None, found), "")
        except SlotbenchError as error:
            problem = str(error)
        with self._lock:
            self._worker_start_s += member.worker_start_s
            member.worker_start_s = 0.0
            problem = problem or self._otherness(environment)
            node = replace(self._nodes[label], environment=dict(environment))
            self._is_changed = True
            cpus = f"{host.num_cpus:g} {'CPU' if host.num_cpus == 1 else 'CPUs'}"
            if not problem:
                self._nodes[label] = replace(node, is_admitted=True)
                self._members[label] = member
                self._began[label] = time.monotonic()
                self._news.append((f"{label} takes part: {cpus}", False))
                return
            self._nodes[label] = replace(node, lost=problem)
            self._news.append((f"{label} is left out: {problem}", True))
        host.let_go(for_good=True)

    def _otherness(self, environment: Mapping[str, Scalar]) -> str:
        """Say in what a node's software is not that of the others; "" if in nothing."""
        first = next((n.environment for n in self._nodes.values() if n.is_admitted), None)
        if first is None:
            return ""
        return "; ".join(of_nodes.software_differences(first, environment))

    def _nobody(self, num_awaited: int) -> str:
        reasons = [f"{node.label}: {node.lost}" for node in self._nodes.values()]
        if reasons:
            return f"no node of the cluster can measure: {'; '.join(reasons)}"
        if num_awaited:
            return (
                f"the CPUs of the cluster's nodes ({num_awaited}) are in use, and a node is measured on only "
                "where all of them are free: let what runs there end, or choose another cluster"
            )
        return self._fleet.lacking()


def _waiting(num_nodes: int) -> str:
    whose = f"{num_nodes} nodes" if num_nodes > 1 else "a node"
    return (
        f"waiting for the CPUs of {whose}, of which other processes of the cluster use some"
    )


def _checked(
    member: Member, contender: Contender | None, workload: Workload
) -> tuple[str, bool]:
    """What is wrong with it there, and whether that is the node's own end."""
    try:
        return member.check(contender, workload), False
    except NodeLostError as error:
        return str(error), True
    except SlotbenchError as error:
        return str(error), False
