"""Every lock that the contender's code makes: who takes it, where, and how long that takes.

The contender's modules are given locks that count. They are some 0.5 µs dearer to take than real
ones: this pass tells numbers of acquisitions, and times that waiting took, not speed.
"""

import itertools
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import get_ident
from typing import Any, Final

from slotbench.measure.actors import Actor
from slotbench.measure.policies import Policy
from slotbench.measure.served import ServedModel
from slotbench.measure.systems import System
from slotbench.profiling import _patches, _prices
from slotbench.profiling._patches import Patches, real_lock, real_rlock
from slotbench.profiling._places import PlacedModel, place_methods, placed_client
from slotbench.profiling._probes import Found, Probes
from slotbench.profiling._tallies import Tallies
from slotbench.records import Contender, LockUse, TrialRecord, Workload

_clock = time.perf_counter_ns

_MAX_LISTED: Final = 12


class _Book:
    """What is known of all locks.

    Attributes:
        made_by: serial number → who made the lock.
        released_by_others: serial numbers of locks that another thread released than took them.
        tallies: (serial number, place) → acquisitions, those that waited, ns waited; and "made".
    """

    def __init__(self) -> None:
        self.tallies = Tallies()
        self.made_by: dict[int, str] = {}
        self.released_by_others: set[int] = set()
        self._next = itertools.count()

    def register(self) -> int:
        """Give a new lock its number; called by its ``__init__``."""
        number = next(self._next)
        self.made_by[number] = _patches.maker()
        self.tallies.mine().add("made")
        return number


class _CountedLock:
    """A lock that counts. As `threading.Lock`; `threading.Condition` takes it for one."""

    def __init__(self, book: _Book, make: Callable[[], Any] = real_lock) -> None:
        self._book = book
        self._number = book.register()
        self._lock = make()
        self._holder = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:  # as Lock's
        """Take the lock; noted if it was got."""
        waited_ns = 0
        if not self._lock.acquire(False):
            if not blocking:
                return False
            began_ns = _clock()
            if not self._lock.acquire(True, timeout):
                return False
            waited_ns = _clock() - began_ns
        self._holder = get_ident()
        tally = self._book.tallies.mine()
        tally.add((self._number, tally.place), int(waited_ns > 0), waited_ns)
        return True

    def release(self) -> None:
        """Let go of the lock; noted if it is another thread's."""
        if self._holder != get_ident():
            self._book.released_by_others.add(self._number)
        self._lock.release()

    def locked(self) -> bool:
        """Whether it is taken."""
        return bool(self._lock.locked())

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *exc_info: object) -> None:
        self.release()

    def _at_fork_reinit(self) -> None:
        self._lock._at_fork_reinit()


class _CountedRLock(_CountedLock):
    """A reentrant one; with what `threading.Condition` asks of those."""

    def __init__(self, book: _Book) -> None:
        super().__init__(book, real_rlock)

    def release(self) -> None:
        """Let go of it: its own thread does."""
        self._lock.release()

    def _is_owned(self) -> bool:
        return bool(self._lock._is_owned())

    def _release_save(self) -> Any:
        return self._lock._release_save()

    def _acquire_restore(self, state: tuple[int, int]) -> None:
        times, _ = state  # as C's RLock gives it: how often it was held, and by whom
        self.acquire()
        for _ in range(times - 1):
            self._lock.acquire()


@dataclass(slots=True)
class _Use:
    """What one lock was used for, in the window.

    Attributes:
        places: place → acquisitions.
        waits: acquisitions that did not get it at once.
        waited_ns: all that they took.
        threads: those that acquired it.
    """

    places: Counter[str] = field(default_factory=Counter)
    waits: int = 0
    waited_ns: int = 0
    threads: set[int] = field(default_factory=set)


class LocksPass(Probes):
    """Counts in one trial."""

    def __init__(self, workload: Workload) -> None:
        del workload
        self._book = _Book()
        self._patches = Patches()
        self._taken: dict[int, Any] = {}
        self._has_submit = True

    def before_build(self, contender: Contender) -> None:
        """Have the contender make counted locks."""
        self._patches.lock_makers(
            contender,
            lambda: _CountedLock(self._book),
            lambda: _CountedRLock(self._book),
        )

    def model(
        self, policy: Policy, serve: Callable[[int], None], max_batches: int
    ) -> ServedModel:
        """Tell the model's locks from the transport's."""
        return PlacedModel(policy, serve, max_batches, self._book.tallies)

    def attach(self, system: System, actors: Sequence[Actor]) -> None:
        """Know where the server is."""
        super().attach(system, actors)
        place_methods(system, self._book.tallies)

    def client(self, system: System, index: int) -> Callable[[Any], Any]:
        """Know where the actor is."""
        del index
        client, self._has_submit = placed_client(system, self._book.tallies)
        return client

    def before_window(self) -> None:
        """Begin to count."""
        self._book.tallies.clear()
        self.count_from_here()

    def after_window(self, begin_ns: int, end_ns: int) -> None:
        """Count no more."""
        del begin_ns, end_ns
        self.count_to_here()
        self._taken = self._book.tallies.take()

    def after_trial(self) -> None:
        """Have real locks made again."""
        self._patches.undo()

    def result(self, trial: TrialRecord) -> Found:
        """Divide by the replies."""
        del trial
        n = self.num_replies
        if not n:
            return Found()
        made = 0
        uses: dict[int, _Use] = defaultdict(_Use)  # by the lock's number
        for ident, (_, counts) in self._taken.items():
            for key, (times, waits, waited_ns) in counts.items():
                if key == "made":
                    made += times
                    continue
                number, place = key
                use = uses[number]
                use.places[place] += times
                use.waits += waits
                use.waited_ns += waited_ns
                use.threads.add(ident)
        mutexes = uses.keys() - self._book.released_by_others
        shared = {number for number in mutexes if len(uses[number].threads) > 1}
        in_submit = {
            "shared_locks_submit": sum(uses[s].places["submit"] for s in shared) / n
        }
        return Found(
            counts=(in_submit if self._has_submit else {})
            | {
                "shared_locks_drain": sum(uses[s].places["drain"] for s in shared) / n,
                "lock_acquisitions": sum(use.places.total() for use in uses.values()) / n,
                "lock_waits": sum(use.waits for use in uses.values()) / n,
                "shared_lock_wait_s": sum(uses[s].waited_ns for s in mutexes) / n / 1e9,
                "locks_made": made / n,
            },
            prices_s=_prices.of_locks(),
            locks=self._listed(uses, shared, mutexes, n),
        )

    def _listed(
        self, uses: dict[int, "_Use"], shared: set[int], mutexes: set[int], n: int
    ) -> tuple[LockUse, ...]:
        """What the locks of each place were used for, the most acquired first."""
        sites: dict[tuple[str, bool], list[int]] = defaultdict(list)
        for number in uses:
            sites[self._book.made_by[number], number in mutexes].append(number)
        found = []
        for (where, is_mutex), numbers in sites.items():
            places: Counter[str] = Counter()
            for number in numbers:
                places.update(uses[number].places)
            found.append(
                LockUse(
                    where=where,
                    kind="mutex" if is_mutex else "signal",
                    num_locks=len(numbers),
                    is_shared=not shared.isdisjoint(numbers),
                    acquisitions={place: places[place] / n for place in sorted(places)},
                    waits=sum(uses[number].waits for number in numbers) / n,
                    waited_s=sum(uses[number].waited_ns for number in numbers) / n / 1e9,
                )
            )
        found.sort(key=lambda use: -sum(use.acquisitions.values()))
        return tuple(found[:_MAX_LISTED])
