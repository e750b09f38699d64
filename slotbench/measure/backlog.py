"""The blocks that a run has left, and who measures which: one queue for all lanes.

A lane is one executor with one trial at a time: this machine, or one node of a cluster.

Threads: those of all lanes, and the one that waits for them. One lock guards the queue and the counts, and
is held while what a lane found is handed on, so that whoever records it is called by one thread at a time.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from slotbench.compute import blocks


@dataclass(frozen=True, slots=True, order=True)
class Block:
    """An attempt at a block that is to be measured; the least is the next.

    Attributes:
        number: of its round, among those that are left.
        place: in its round; a repeat has one behind all others.
        round, cell, attempt: what `slotbench.measure.design.block` is asked for.
        num_complete: attempts that were carried through.
        broken_on: lanes of which it was broken off, in this sitting, in their order.
    """

    number: int
    place: int
    round: int = field(compare=False)
    cell: str = field(compare=False)
    attempt: int = field(compare=False)
    num_complete: int = field(compare=False)
    broken_on: tuple[str, ...] = field(compare=False, default=())


class Backlog:
    """What is left of a run.

    Args:
        left: rounds, each with its cells in their order.
        owed: says which attempt each of these blocks is at.
        size: trials of a block.
        max_attempts: of a block that the machine disturbs.
        num_repeats: that the run may still add.

    Attributes:
        lock: hold it to hand on what a lane found.
        num_done, num_trials: trials, of all lanes.
        observed_s: calibration, warm-up and measurement, of all lanes.
    """

    def __init__(
        self,
        left: Sequence[tuple[int, Sequence[str]]],
        owed: Mapping[blocks.Block, blocks.Owed],
        *,
        size: int,
        max_attempts: int,
        num_repeats: int,
    ) -> None:
        self.lock = threading.Condition(threading.RLock())
        self.num_done = 0
        self.num_trials = size * sum(len(cells) for _, cells in left)
        self.observed_s = 0.0
        self._size = size
        self._max_attempts = max_attempts
        self._num_repeats = num_repeats
        self._waiting = [
            Block(
                number,
                place,
                index,
                cell,
                owed[index, cell].attempt,
                owed[index, cell].num_complete,
            )
            for number, (index, cells) in enumerate(left)
            for place, cell in enumerate(cells)
        ]
        self._next_place = max((len(cells) for _, cells in left), default=0)
        self._lanes: set[str] = set()
        self._num_taken = 0
        self._is_stopped = False

    def enter(self, lane: str) -> None:
        """A lane begins to take blocks."""
        with self.lock:
            self._lanes.add(lane)

    def leave(self, lane: str) -> None:
        """A lane takes no more blocks."""
        with self.lock:
            self._lanes.discard(lane)
            self.lock.notify_all()

    def take(self, lane: str) -> Block | None:
        """Give out the next block; while others may come back, wait for them.

        A block that was broken off goes to a lane of which it was not, as long as there is one.

        Returns:
            None where nothing is left, or the run is stopped.
        """
        with self.lock:
            while not self._is_stopped and (self._waiting or self._num_taken):
                fit = [block for block in self._waiting if self._is_for(block, lane)]
                if fit:
                    block = min(fit)
                    self._waiting.remove(block)
                    self._num_taken += 1
                    return block
                self.lock.wait()
            return None

    def carried_through(self, block: Block, *, is_disturbed: bool) -> None:
        """A block was measured whole; one that was disturbed may come again, last in its round."""
        num_complete = block.num_complete + 1
        with self.lock:
            if is_disturbed and num_complete < self._max_attempts and self._num_repeats > 0:
                self._waiting.append(
                    replace(
                        block,
                        place=self._next_place,
                        attempt=block.attempt + 1,
                        num_complete=num_complete,
                        broken_on=(),
                    )
                )
                self._next_place += 1
                self._num_repeats -= 1
                self.num_trials += self._size
            self._ended()

    def broken_off(self, block: Block, lane: str, num_recorded: int) -> None:
        """A block is to be measured anew, at its place: before all that were not begun yet.

        Args:
            block: that was taken.
            lane: that had taken it.
            num_recorded: trials of it that are in the record: with any, it is another attempt.
        """
        with self.lock:
            self.num_trials += num_recorded
            self._waiting.append(
                replace(
                    block,
                    attempt=block.attempt + bool(num_recorded),
                    broken_on=(*block.broken_on, lane),
                )
            )
            self._ended()

    def stop(self) -> None:
        """Give out no more blocks."""
        with self.lock:
            self._is_stopped = True
            self.lock.notify_all()

    @property
    def is_stopped(self) -> bool:
        """Whether no more blocks are given out."""
        return self._is_stopped

    @property
    def is_done(self) -> bool:
        """Whether every block was measured whole."""
        with self.lock:
            return not self._waiting and not self._num_taken

    def wait(self, is_over: Callable[[], bool], timeout_s: float) -> None:
        """Wait until every block was measured, ``is_over`` says so, or the time is out."""
        with self.lock:
            self.lock.wait_for(lambda: self.is_done or is_over(), timeout_s)

    def _is_for(self, block: Block, lane: str) -> bool:
        return lane not in block.broken_on or self._lanes <= set(block.broken_on)

    def _ended(self) -> None:
        self._num_taken -= 1
        self.lock.notify_all()
