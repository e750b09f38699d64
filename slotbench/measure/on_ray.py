"""The nodes of a Ray cluster: an actor on each, which reserves its CPUs and measures there.

Importing this imports no Ray. Reasons that are recorded name no host, address or path: what Ray says of a
loss is told in our own words.

Threads: the driver's own one calls `RayFleet`; each `_RayHost` is asked by its lane's.
"""

import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from slotbench.errors import NodeLostError, WorkerError
from slotbench.measure.cluster import Cluster
from slotbench.measure.connecting import connect, told_place
from slotbench.measure.on_node import Actor
from slotbench.records import (
    CalibrationRecord,
    Contender,
    Node,
    Scalar,
    Scenario,
    TrialRecord,
    TrialSpec,
    Workload,
)

_POLL_S: Final = 0.5
_CLOSE_S: Final = 2.0
_DEAD: Final = "the node died"
_UNREACHABLE: Final = "the node cannot be reached"
_MAX_RETURNS: Final = 3
"""Of a node whose process died though the node did not, before it is left alone."""


class RayFleet:
    """The nodes of a Ray cluster that exists already.

    Where this process is connected to a cluster, that one is used, and the connection kept.

    Args:
        scenario: says what the workers on the nodes import, and whether they need a GPU.
        address: of the cluster, as ``ray.init`` takes it; "" is RAY_ADDRESS, or one that runs here.

    Raises:
        ClusterError: as `slotbench.measure.connecting.connect`.
    """

    def __init__(self, scenario: Scenario, address: str = "") -> None:
        self._scenario = scenario
        self._is_own = connect(address)
        self._place = told_place(address) if self._is_own else "of this process"
        self._needs_gpu = any(cell.workload.device != "cpu" for cell in scenario.cells)
        self._found: dict[str, _Found] = {}
        self._num_returns: dict[str, int] = {}
        self._lock = threading.Lock()

    def num_nodes(self) -> int:
        """Nodes that offer what a trial of the scenario needs, whether or not it is in use."""
        return len(self._offers())

    def lacking(self) -> str:
        """What is to be said where no node offers what a trial of the scenario needs."""
        what = "CPUs"
        if self._needs_gpu:
            what = "CPUs and a GPU, which the scenario's field device asks for"
        return (
            f"the Ray cluster {self._place} has no node (yet) that offers {what}: add one with "
            "'ray start --address=HOST:PORT' and try again; 'ray status' lists what is offered"
        )

    def arrivals(self) -> list["_RayHost"]:
        """Nodes whose CPUs have become ours."""
        offers = self._offers()
        with self._lock:
            for node_id in self._found.keys() - offers.keys():
                if not self._found[node_id].is_given_out:
                    del self._found[node_id]  # gone before it was ours
            for node_id, (num_cpus, num_gpus) in offers.items():
                if node_id not in self._found:
                    self._found[node_id] = self._reserve(node_id, num_cpus, num_gpus)
            waiting = {
                found.is_up: found
                for found in self._found.values()
                if not found.is_given_out
            }
        up = []
        if waiting:
            import ray

            ready, _ = ray.wait(list(waiting), num_returns=len(waiting), timeout=0)
            for reference in ready:
                found = waiting[reference]
                if _is_gone(reference):
                    with (
                        self._lock
                    ):  # no node of the run yet: looked for anew, if it is still there
                        self._found.pop(found.node_id, None)
                    continue
                found.is_given_out = True
                up.append(_RayHost(self, found))
        return up

    def num_awaited(self) -> int:
        """Nodes that are there, and whose CPUs are not ours yet."""
        offers = self._offers()
        with self._lock:
            return sum(
                node_id not in self._found or not self._found[node_id].is_given_out
                for node_id in offers
            )

    def close(self) -> None:
        """Let every node go, and the cluster, unless this process was connected before."""
        import ray

        with self._lock:
            found = list(self._found.values())
        for one in found:
            _kill(one.actor)
        if self._is_own:
            ray.shutdown()

    def forget(self, node_id: str) -> None:
        """Let a node be found anew; one whose process ends time and again is not. Threads: any."""
        with self._lock:
            number = self._num_returns.get(node_id, 0) + 1
            self._num_returns[node_id] = number
            if number <= _MAX_RETURNS:
                self._found.pop(node_id, None)

    def _offers(self) -> dict[str, tuple[float, float]]:
        """Node's id → its CPUs and GPUs, of those that are alive."""
        import ray

        offers = {
            str(node["NodeID"]): (
                float(node["Resources"].get("CPU", 0.0)),
                float(node["Resources"].get("GPU", 0.0)),
            )
            for node in ray.nodes()
            if node["Alive"]
        }
        return {
            node_id: (cpus, gpus if self._needs_gpu else 0.0)
            for node_id, (cpus, gpus) in offers.items()
            if cpus > 0 and (gpus > 0 or not self._needs_gpu)
        }

    def _reserve(self, node_id: str, num_cpus: float, num_gpus: float) -> "_Found":
        """Ask for all CPUs of a node; Ray grants them once nobody else uses any."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        actor = (
            ray.remote(Actor)
            .options(
                num_cpus=num_cpus,
                num_gpus=num_gpus,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False),
                max_restarts=0,
                max_task_retries=0,
            )
            .remote(self._scenario, _folder())
        )
        return _Found(node_id, num_cpus, actor, actor.is_up.remote())


def open_cluster(
    scenario: Scenario,
    address: str = "",
    *,
    earlier: Sequence[Node] = (),
    on_event: Callable[[str], None] = lambda _: None,
) -> Cluster:
    """Connect to a Ray cluster, for one run of the scenario; close it afterwards.

    Args:
        scenario: see `RayFleet`.
        address: see `RayFleet`.
        earlier: see `slotbench.measure.cluster.Cluster`.
        on_event: likewise.

    Raises:
        ClusterError: as `slotbench.measure.connecting.connect`.
    """
    fleet = RayFleet(scenario, address)
    return Cluster(fleet, scenario.contenders, earlier=earlier, on_event=on_event)


@dataclass(slots=True)
class _Found:
    """A node that was found: its actor, and whether that has come up."""

    node_id: str
    num_cpus: float
    actor: Any
    is_up: Any
    is_given_out: bool = False
    is_let_go: threading.Event = field(default_factory=threading.Event)


class _RayHost:
    """A node, as a `slotbench.measure.cluster.Host`."""

    def __init__(self, fleet: RayFleet, found: _Found) -> None:
        self.num_cpus = found.num_cpus
        self._fleet = fleet
        self._found = found
        self._is_asked = False

    def start_worker(self) -> float:
        """Replace its worker by a fresh one; how long that took."""
        self._await(self._found.is_up)  # raises what kept the actor from coming up
        return float(self._ask("start_worker"))

    def environment(self, contenders: Sequence[Contender]) -> dict[str, Scalar]:
        """Describe the node."""
        found: dict[str, Scalar] = self._ask("environment", tuple(contenders))
        return found

    def check(self, contender: Contender | None, workload: Workload) -> str:
        """Make the contender there."""
        return str(self._ask("check", contender, workload))

    def run(self, spec: TrialSpec) -> TrialRecord:
        """Run a trial there."""
        record: TrialRecord = self._ask("run", spec)
        return record

    def calibrate(self, spec: TrialSpec) -> CalibrationRecord:
        """Calibrate there."""
        record: CalibrationRecord = self._ask("calibrate", spec)
        return record

    def let_go(self, *, for_good: bool) -> None:
        """Kill the actor; its worker ends itself, and the trial that runs. An idle one tidies up before."""
        if not self._is_asked and not self._found.is_let_go.is_set():
            _close(self._found.actor)
        self._found.is_let_go.set()
        _kill(self._found.actor)
        if not for_good:
            self._fleet.forget(self._found.node_id)

    def _ask(self, what: str, *arguments: object) -> Any:
        self._is_asked = True  # and stays so if there is no answer
        answer = self._await(self._submitted(what, arguments))
        self._is_asked = False
        if answer.worker_error:
            raise WorkerError(answer.worker_error)
        return answer.value

    def _submitted(self, what: str, arguments: tuple[object, ...]) -> Any:
        from ray.exceptions import RayError

        try:
            return getattr(self._found.actor, what).remote(*arguments)
        except RayError as error:
            raise NodeLostError(_reason(error)) from error

    def _await(self, reference: Any) -> Any:
        """Wait for an answer, in short waits: the node may be let go meanwhile."""
        import ray
        from ray.exceptions import RayError

        while not self._found.is_let_go.is_set():
            try:
                ready, _ = ray.wait([reference], timeout=_POLL_S)
                if ready:
                    return ray.get(reference)
            except RayError as error:
                raise NodeLostError(_reason(error)) from error
        raise NodeLostError("it was let go")


def _folder() -> str:
    """The driver's working directory; "" where Ray itself hands its files to the nodes."""
    import ray

    given = ray.get_runtime_context().runtime_env
    return "" if given and given.get("working_dir") else str(Path.cwd())


def _is_gone(reference: Any) -> bool:
    """Whether an actor has not come up since its node is dead, though Ray may not say so everywhere yet."""
    import ray
    from ray import exceptions

    try:
        ray.get(reference)
    except exceptions.RayError as error:
        is_unschedulable = isinstance(error, exceptions.ActorUnschedulableError)
        return is_unschedulable or _reason(error) in {_DEAD, _UNREACHABLE}
    return False


def _close(actor: Any) -> None:
    """Have an idle actor tidy up; one that does not answer soon will be killed all the same."""
    import ray

    with contextlib.suppress(Exception):  # it is gone, or the cluster is
        ray.wait([actor.close.remote()], timeout=_CLOSE_S)


def _kill(actor: Any) -> None:
    import ray

    with contextlib.suppress(Exception):  # it is gone, or the cluster is
        ray.kill(actor, no_restart=True)


def _reason(error: Exception) -> str:
    """Say what Ray says of a loss, without the hosts, addresses and paths that it names."""
    from ray import exceptions

    if "node has died" in str(error):
        return _DEAD
    if "failed to import" in str(error):
        return "slotbench cannot be imported there"
    cause = getattr(error, "cause", None)
    told = {
        exceptions.ActorUnavailableError: _UNREACHABLE,
        exceptions.NodeDiedError: _DEAD,
        exceptions.OutOfMemoryError: "the node's memory ran out, and Ray ended the process there",
        exceptions.RuntimeEnvSetupError: "Ray could not set up its runtime environment there",
        exceptions.ActorDiedError: "the process there died",
    }
    known = next((text for kind, text in told.items() if isinstance(error, kind)), "")
    what = type(cause if isinstance(cause, Exception) else error).__name__
    return known or f"the process there failed: {what}"
