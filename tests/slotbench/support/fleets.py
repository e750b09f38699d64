"""Nodes that run nothing, and are lost when a script says so."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from slotbench.errors import NodeLostError, WorkerError
from slotbench.measure.cluster import Cluster
from slotbench.measure.executor import WORKER_DIED
from slotbench.measure.outcomes import failed
from slotbench.records import (
    CalibrationRecord,
    Contender,
    Finding,
    Scalar,
    TrialRecord,
    TrialSpec,
    Workload,
)
from tests.slotbench.support.calibrations import calibration

STOLEN = Finding("steal", "DISTURBED", "half of it", "wait")


class ScriptedHost:
    """Fails at calls that a script names; everything else goes well at once.

    Args:
        script: number of the call (from 0, of calls to start a worker, calibrate and run alone) → "lost",
            "died" (the worker, in the middle) or "no start" (the worker, where it is one that starts).
        facts: of its environment, beside its machine's id.
        before: called before each trial.
        problem: that a check finds; "lost": the node dies in it.
        disturbed: trials that the machine interferes with.
        measure: makes a trial's record; None is one without numbers.
    """

    num_cpus = 2.0

    def __init__(
        self,
        script: dict[int, str] | None = None,
        *,
        facts: dict[str, Scalar] | None = None,
        before: Callable[[TrialSpec], None] = lambda _: None,
        problem: str = "",
        disturbed: Callable[[TrialSpec], bool] = lambda _: False,
        measure: Callable[[TrialSpec], TrialRecord] | None = None,
    ) -> None:
        self.script = script or {}
        self.facts = facts or {}
        self.before = before
        self.problem = problem
        self.disturbed = disturbed
        self.measure = measure
        self.diary: list[str] = []
        self.is_let_go = threading.Event()
        self.is_gone_for_good: bool | None = None
        self._num_calls = 0

    def start_worker(self) -> float:
        self._do("worker")
        return 5.0

    def environment(self, contenders: Sequence[Contender]) -> dict[str, Scalar]:
        return {"machine_id": f"m{id(self)}", "python_version": "3.11", **self.facts}

    def check(self, contender: Contender | None, workload: Workload) -> str:
        if contender is not None and self.problem == "lost":
            raise NodeLostError("the node died")
        return self.problem if contender is not None else ""

    def run(self, spec: TrialSpec) -> TrialRecord:
        self.before(spec)
        record = replace(failed(spec, "now", ""), status="ok")
        if self.measure is not None:
            record = self.measure(spec)
        if self._do(spec.trial_id):
            return failed(spec, "now", WORKER_DIED)
        return replace(record, findings=(STOLEN,)) if self.disturbed(spec) else record

    def calibrate(self, spec: TrialSpec) -> CalibrationRecord:
        found = calibration(spec.cell, spec.round, attempt=spec.attempt, duration_s=2.0)
        died = self._do(f"calibrated {spec.trial_id}")
        return replace(found, status="failed", error=WORKER_DIED) if died else found

    def let_go(self, *, for_good: bool) -> None:
        self.is_let_go.set()
        if self.is_gone_for_good is None:
            self.is_gone_for_good = for_good

    def _do(self, what: str) -> bool:
        """Write the call down; whether the worker died in it."""
        fate = self.script.get(self._num_calls, "")
        self._num_calls += 1
        if self.is_let_go.is_set() or fate == "lost":
            raise NodeLostError("the node died")
        if what == "worker" and fate:
            raise WorkerError("the worker process did not start")
        self.diary.append(what)
        return fate == "died"


class ScriptedFleet:
    """Nodes that are there at once; ``later`` joins when a test puts it there."""

    def __init__(self, *hosts: ScriptedHost) -> None:
        self.later: list[ScriptedHost] = list(hosts)
        self.is_closed = False

    def arrivals(self) -> list[ScriptedHost]:
        found, self.later = self.later, []
        return found

    def num_nodes(self) -> int:
        return len(self.later)

    def num_awaited(self) -> int:
        return len(self.later)

    def lacking(self) -> str:
        return "the cluster has no node that offers CPUs"

    def close(self) -> None:
        self.is_closed = True


def cluster(*hosts: ScriptedHost, **options: Any) -> Cluster:
    """Of these nodes; it waits for nobody."""
    options = {"gather_s": 0.0, "alone_s": 60.0, "look_every_s": 0.0} | options
    return Cluster(options.pop("fleet", ScriptedFleet(*hosts)), (), **options)
