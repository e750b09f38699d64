"""An extra trial that a tool watches. Imports torch; tools import it when they run."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from slotbench.measure.actors import Actor
from slotbench.measure.instrument import Instrument
from slotbench.measure.policies import Policy
from slotbench.measure.served import ServedModel
from slotbench.measure.systems import System
from slotbench.measure.trial import run_trial
from slotbench.profiling.tools._watcher import Watcher
from slotbench.records import TrialRecord, TrialSpec


class _Watched(Instrument):
    """Gives a watcher its turns."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def model(
        self, policy: Policy, serve: Callable[[int], None], max_batches: int
    ) -> ServedModel:
        return ServedModel(self._watcher.wrap(policy), serve, max_batches)

    def attach(self, system: System, actors: Sequence[Actor]) -> None:  # noqa: ARG002  # the instrument's
        self._watcher.num_replies = lambda: sum(actor.num_replied for actor in actors)

    def before_window(self) -> None:
        self._watcher.begin()

    def after_window(self, begin_ns: int, end_ns: int) -> None:  # noqa: ARG002  # the instrument's
        self._watcher.end()


def run_watched(spec: TrialSpec, watcher: Watcher) -> TrialRecord:
    """Run the trial in this process, now; never raises for what the contender does."""
    sent_ns = time.perf_counter_ns()
    record = run_trial(
        spec,
        sent_ns=sent_ns,
        started_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        instrument=_Watched(watcher),
    )
    return replace(record, duration_s=(time.perf_counter_ns() - sent_ns) / 1e9)
