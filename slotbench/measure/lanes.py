"""A thread for each node of a cluster, which takes block after block until none is left."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from slotbench.errors import ClusterError, NodeLostError, SlotbenchError, WorkerError
from slotbench.measure.backlog import Backlog, Block
from slotbench.measure.cluster import Cluster, Member
from slotbench.records import BrokenOff

MAX_BROKEN_OFF: Final = 5
"""How often a block may end with its node before the run does: it may be what ends them."""
MAX_DEATHS: Final = 2
"""How often a block whose worker dies is measured again before the trial that it dies in has failed."""
MAX_FAILED_STARTS: Final = 2
"""Running, of a node's worker, before the node is given up."""
_WAIT_S: Final = 1.0


@dataclass(slots=True)
class Attempt:
    """How far an attempt at a block has come.

    Attributes:
        doing: the trial, by its contender's label, or the calibration.
        num_recorded: trials.
        is_disturbed: whether the machine interfered with one of them.
    """

    block: Block
    doing: str = "its beginning"
    num_recorded: int = 0
    is_disturbed: bool = False


def serve(
    cluster: Cluster, backlog: Backlog, measure: Callable[[Attempt, Member], None]
) -> None:
    """Have the nodes measure all blocks.

    Args:
        cluster: its workers are up.
        backlog: what is left.
        measure: carries an attempt through on a node; called by each node's own thread. What it raises, but
            for WorkerError and NodeLostError, ends the run.

    Raises:
        ClusterError: no node is left, or a block ends every node that it is given to.
    """
    _Lanes(cluster, backlog, measure).serve()


class _Lanes:
    def __init__(
        self, cluster: Cluster, backlog: Backlog, measure: Callable[[Attempt, Member], None]
    ) -> None:
        self._cluster = cluster
        self._backlog = backlog
        self._measure = measure
        self._threads: dict[str, threading.Thread] = {}
        self._failure: BaseException | None = None
        self._num_ended = 0

    def serve(self) -> None:
        alone_since: float | None = None
        try:
            while not self._is_over():
                self._cluster.look()
                self._open()
                num_ended = self._num_ended
                if any(thread.is_alive() for thread in self._threads.values()):
                    alone_since = None
                elif self._is_over():
                    break  # they ended since the loop began, and well, or by what is raised below
                else:
                    alone_since = alone_since or time.monotonic()
                    self._cluster.settle()
                    if not self._cluster.is_hopeful(time.monotonic() - alone_since):
                        raise ClusterError(self._cluster.all_lost())
                    self._cluster.pause()
                    continue
                self._backlog.wait(lambda n=num_ended: self._num_ended != n, _WAIT_S)  # type: ignore[misc]  # a default of the loop's
        finally:
            is_done = self._backlog.is_done
            self._backlog.stop()
            if not is_done:
                self._cluster.dismiss()  # frees the nodes, and the lanes that wait for them
            for thread in self._threads.values():
                thread.join()
            self._cluster.settle()
        if self._failure is not None:
            raise self._failure

    def _is_over(self) -> bool:
        return self._backlog.is_done or self._failure is not None

    def _open(self) -> None:
        """Give each node that takes part and has no thread yet one."""
        for member in self._cluster.members():
            if member.label not in self._threads:
                # Not waited for at exit: a second Ctrl-C ends the run at once.
                thread = threading.Thread(
                    target=self._lane, args=(member,), name=member.label, daemon=True
                )
                self._threads[member.label] = thread
                self._backlog.enter(member.label)
                thread.start()

    def _lane(self, member: Member) -> None:
        try:
            self._take_all(member)
        except BaseException as error:  # noqa: BLE001  # raised where the lanes are waited for
            self._failure = self._failure or error
        finally:
            with self._backlog.lock:
                self._num_ended += 1
            self._backlog.leave(member.label)

    def _take_all(self, member: Member) -> None:
        num_failed_starts = 0
        while (block := self._backlog.take(member.label)) is not None:
            attempt = Attempt(block)
            is_started = False
            try:
                if member.is_stale or member.round not in {None, block.round}:
                    attempt.doing = "the start of a worker"
                    member.start_worker()
                is_started = True
                num_failed_starts = 0
                member.round = block.round
                member.keeps_deaths = len(block.broken_on) >= MAX_DEATHS
                self._measure(attempt, member)
            except NodeLostError as error:
                if self._backlog.is_stopped:
                    return  # by us: the node is not to blame
                self._break_off(attempt, member, error)
                self._cluster.lose(member, str(error), for_good=False)
                return
            except WorkerError as error:
                member.is_stale = True
                num_failed_starts += not is_started
                self._break_off(attempt, member, error)
                if num_failed_starts >= MAX_FAILED_STARTS:
                    self._cluster.lose(member, str(error), for_good=True)
                    return
            else:
                self._backlog.carried_through(block, is_disturbed=attempt.is_disturbed)

    def _break_off(self, attempt: Attempt, member: Member, error: SlotbenchError) -> None:
        block = attempt.block
        found = BrokenOff(block.round, block.cell, block.attempt, attempt.doing, str(error))
        self._cluster.broken_off(member, found)
        if len(block.broken_on) + 1 >= MAX_BROKEN_OFF:
            raise ClusterError(
                f"round {block.round + 1} of cell {block.cell!r} was broken off {MAX_BROKEN_OFF} times, "
                f"at last on {member.label} at {attempt.doing}: {error}"
            )
        self._backlog.broken_off(block, member.label, attempt.num_recorded)
