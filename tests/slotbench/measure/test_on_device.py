"""A policy on a device: what is copied when, what is waited for, and what the marks say.

On a device whose work is done late (`tests.slotbench.support.late_device`), so that what is read too
early is garbage, and what is written too early is computed with.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from tensordict import TensorDict, TensorDictBase, lazy_stack

from slotbench.errors import ScenarioError
from slotbench.measure import (
    calibration,
    devices,
    on_device,
    policies,
    summary,
    systems,
    trial,
)
from slotbench.measure.identity import REPLY_ID, REQUEST_ID
from slotbench.measure.on_device import DeviceLog, DevicePolicy
from slotbench.measure.served import ServedModel
from slotbench.records import (
    Batching,
    DeviceTimes,
    Leaf,
    Model,
    Observation,
    TrialSpec,
    Workload,
)
from tests.slotbench.support.late_device import (
    KERNEL_S,
    TO_DEVICE_S,
    TO_HOST_S,
    LateDevice,
)

Workloads = Callable[..., Workload]


class Doubling:
    """A policy whose kernel is enqueued, as a GPU's are: the action is twice the observation."""

    def __init__(self, device: LateDevice) -> None:
        self.device = device
        self.seen: list[TensorDictBase] = []

    def __call__(self, batch: TensorDictBase) -> TensorDictBase:
        self.seen.append(batch)
        observation = batch.get("observation")
        action = torch.full_like(observation, -1.0)
        self.device.enqueue(lambda: torch.mul(observation, 2.0, out=action))
        return batch.set("action", action)


def on(device: LateDevice, policy: Any, **options: Any) -> DevicePolicy:
    return DevicePolicy(
        device, ["observation"], lambda _: policy, **{"max_rows": 4, **options}
    )


def requests(values: list[float]) -> list[TensorDictBase]:
    return [
        TensorDict(
            {"observation": torch.full((8,), value), REQUEST_ID: torch.tensor(i)}, []
        )
        for i, value in enumerate(values)
    ]


COLLATES: list[Any] = [torch.stack, lazy_stack]


@pytest.mark.parametrize("collate", COLLATES)
def test_replies_are_whole_when_the_call_returns(collate: Callable[..., Any]) -> None:
    """The outputs are on the host, beside the observation; the device was waited for once."""
    device = LateDevice()
    policy = on(device, Doubling(device))
    policy.start()
    for values in ([1.0, 2.0], [3.0, 4.0, 5.0]):
        waits = device.num_waits
        reply = policy(collate(requests(values)))

        assert reply.get("action")[:, 0].tolist() == [2 * value for value in values]
        assert reply.get("observation")[:, 0].tolist() == values
        assert device.num_waits == waits + 1


def test_a_reply_is_memory_of_its_own() -> None:
    """The next batch changes nothing of it, though it is staged in the same buffer."""
    device = LateDevice()
    policy = on(device, Doubling(device))
    first = policy(torch.stack(requests([1.0, 2.0])))
    policy(torch.stack(requests([7.0, 8.0])))

    assert first.get("action")[:, 0].tolist() == [2.0, 4.0]
    assert len(device._pinned) == 1


def test_memory_that_the_transport_pinned_is_copied_from_as_it_is() -> None:
    """No second copy on the host; and by whom it was pinned is told."""
    device = LateDevice()
    policy = on(device, Doubling(device))
    buffer = device.pinned((4, 2), torch.float32)
    for value in (1.0, 5.0):
        buffer[:3] = value
        batch = TensorDict({"observation": buffer[:3]}, [3])
        assert policy(batch).get("action").unique().tolist() == [2 * value]

    assert len(device._pinned) == 1
    log = policy.log()
    assert log is not None
    assert log.pinned_by == "transport"


def test_a_batch_beyond_the_buffer_makes_it_larger() -> None:
    """A server that serves more rows than it was told of is served all the same."""
    device = LateDevice()
    policy = on(device, Doubling(device), max_rows=2)
    values = [1.0, 2.0, 3.0, 4.0, 5.0]
    for count in (2, 5, 1):
        reply = policy(torch.stack(requests(values[:count])))
        assert reply.get("action")[:, 0].tolist() == [2 * one for one in values[:count]]


def test_the_policy_gets_the_observation_alone_and_ids_stay_on_the_host() -> None:
    """A transport that swaps rows is caught: the echo is the host's own tensor."""
    device = LateDevice()
    inner = Doubling(device)
    served = ServedModel(on(device, inner), lambda _: None, max_batches=1)
    batch = torch.stack(requests([1.0, 2.0]))
    ids = batch.get(REQUEST_ID)

    assert served(batch).get(REPLY_ID) is ids
    assert set(inner.seen[0].keys()) == {"observation", "action"}


def test_outputs_are_told_from_what_was_passed_on() -> None:
    """A policy that returns its outputs alone does; one that writes to its input changed it."""
    device = LateDevice(at_once=True)
    alone = on(
        device,
        lambda batch: TensorDict(
            {"action": batch.get("observation") + 1}, batch.batch_size
        ),
    )
    reply = alone(torch.stack(requests([1.0])))
    assert set(reply.keys()) == {"action"}

    def writes(batch: TensorDictBase) -> TensorDictBase:
        batch.get("observation").add_(1.0)
        return batch

    reply = on(device, writes)(torch.stack(requests([1.0])))
    assert reply.get("observation").unique().tolist() == [2.0]


def test_an_observation_under_another_key_is_an_output() -> None:
    """A policy that acts as it sees gives an action; in a batch of its own, or in the one it got."""
    device = LateDevice(at_once=True)

    def repeats(batch: TensorDictBase) -> TensorDictBase:
        return batch.set("action", batch.get("observation"))

    def repeats_alone(batch: TensorDictBase) -> TensorDictBase:
        return TensorDict({"action": batch.get("observation")}, batch.batch_size)

    for policy, keys in (
        (repeats, {"observation", REQUEST_ID, "action"}),
        (repeats_alone, {"action"}),
    ):
        reply = on(device, policy)(torch.stack(requests([3.0, 4.0])))
        assert set(reply.keys()) == keys
        assert reply.get("action")[:, 0].tolist() == [3.0, 4.0]


def test_times_are_those_between_marks() -> None:
    """Two leaves in, one out, one kernel; nothing is read before it is asked for."""
    device = LateDevice()
    inner = Doubling(device)
    policy = DevicePolicy(
        device, ["observation", "other"], lambda _: inner, max_rows=4, before=None
    )
    batch = torch.stack(requests([1.0])).set("other", torch.zeros(1, 3))
    for _ in range(2):
        policy(batch.copy())
    log = policy.log()

    assert log is not None
    assert log.staging_s is not None
    assert log.returning_s is not None
    assert log.staging_s.tolist() == pytest.approx([2 * TO_DEVICE_S] * 2)
    assert log.forward_s.tolist() == pytest.approx([KERNEL_S] * 2)
    assert log.returning_s.tolist() == pytest.approx([TO_HOST_S] * 2)
    assert (log.first, log.pinned_by) == (0, "harness")
    assert policy.forward_s() == pytest.approx(KERNEL_S)


def test_marks_are_used_again_and_the_latest_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of more batches than there are marks the last ones are told."""
    monkeypatch.setattr(on_device, "RING", 3)
    device = LateDevice(at_once=True)

    def slower(batch: TensorDictBase) -> TensorDictBase:
        device.busy(float(batch.get("observation")[0, 0]))
        return batch.set("action", torch.zeros(1))

    policy = on(device, slower)
    for value in range(1, 6):
        policy(torch.stack(requests([float(value)])))
    log = policy.log()

    assert log is not None
    assert log.first == 2
    assert log.forward_s.tolist() == pytest.approx([3.0, 4.0, 5.0])


@pytest.mark.parametrize(
    ("forgotten", "first", "forward_s"),
    [(0, 2, [3.0, 4.0, 5.0]), (1, 1, [3.0, 4.0, 5.0]), (3, 0, [4.0, 5.0]), (9, 0, [])],
)
def test_rehearsals_are_forgotten(
    forgotten: int, first: int, forward_s: list[float]
) -> None:
    """Marks and stamps of one batch keep the same number: the third of all, of which marks are kept."""
    times_s = np.array([3.0, 4.0, 5.0])
    log = DeviceLog(2, times_s - 2, times_s, None, "harness").without_first(forgotten)

    assert (log.first, log.forward_s.tolist()) == (first, forward_s)
    assert log.staging_s is not None
    assert log.staging_s.tolist() == [time_s - 2 for time_s in forward_s]


def test_only_batches_of_the_window_count() -> None:
    """Of six stamped batches two began in it; of the first three there are no marks."""
    log = DeviceLog(3, None, np.array([1.0, 2.0, 4.0, 8.0]), None, "server")
    began = np.array([True, False, False, False, True, True])
    found = summary.device_times(log, began)

    assert found == DeviceTimes(2, 3.0, None, None, "server")
    assert summary.device_times(log, np.zeros(6, bool)) is None


def test_a_batch_that_the_server_moved_is_left_where_it_is() -> None:
    """Its result stays there too, and nothing is waited for: the server does both."""
    device = LateDevice()
    policy = on(device, Doubling(device))
    policy.start()
    moved = device.to_device(torch.ones(2, 2))
    waits = device.num_waits
    result = policy(TensorDict({"observation": moved}, [2]))

    assert device.num_waits == waits
    device.synchronize()
    assert result.get("action").unique().tolist() == [2.0]
    log = policy.log()
    assert log is not None
    assert (log.staging_s, log.returning_s, log.pinned_by) == (None, None, "server")
    assert log.forward_s.tolist() == pytest.approx([KERNEL_S])


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> LateDevice:
    """What `devices.find` finds, for policies that compute as they are called."""
    found = LateDevice(at_once=True)
    monkeypatch.setattr(devices, "find", lambda _: found)
    return found


MODELS = [
    Model("sleep", latency_ms=4.0, latency_per_item_ms=0.5, num_outputs=3),
    Model("spin", latency_ms=0.1, num_outputs=3),
    Model("sleep", outputs=(Leaf("action", (2,), "float32"), Leaf("value", (), "float32"))),
    Model("mlp", hidden=(4,), num_outputs=3),
    Model(
        "custom",
        policy="tests.slotbench.support.own_policies:Linear",
    ),
]


@pytest.mark.parametrize(
    "model", MODELS, ids=lambda model: f"{model.kind}-{len(model.outputs)}"
)
def test_every_policy_says_the_same_on_a_device(
    model: Model, device: LateDevice, workload: Workloads
) -> None:
    """Its outputs, to the bit; a network's weights come from the seed, and are moved."""
    leaf = Leaf("observation", (8,), "float32")
    cell = workload(model=model, observation=Observation((leaf,)))
    here = policies.build(cell, seed=3)
    there = policies.build(
        workload(model=model, observation=Observation((leaf,)), device="cuda"), 3
    )
    assert device.num_starts == 0
    with torch.no_grad():
        expected = here(torch.stack(requests([1.0, 2.0])))
        got = there(torch.stack(requests([1.0, 2.0])))

    for key in set(expected.keys()) - {"observation", REQUEST_ID}:
        assert torch.equal(got.get(key), expected.get(key)), key
    assert device.num_moves == (model.kind in {"mlp", "custom"})


def test_sleeping_keeps_the_device_busy_and_spinning_does_not(
    device: LateDevice, workload: Workloads
) -> None:
    """S(n) = a + b·n of a batch of 2 is the forward's time; a host's cost is not the device's."""
    leaf = Leaf("observation", (8,), "float32")
    forwards_s = []
    for model in MODELS[:2]:
        cell = workload(model=model, observation=Observation((leaf,)), device="cuda")
        policy = policies.build(cell, seed=0)
        assert isinstance(policy, DevicePolicy)
        policy(torch.stack(requests([1.0, 2.0])))
        forwards_s.append(policy.forward_s())

    assert forwards_s == pytest.approx([0.005, 0.0])


def test_a_trial_records_the_devices_times(
    device: LateDevice, spec: Callable[..., TrialSpec]
) -> None:
    """Means over the window's batches, through a real transport; each reply passed its check."""
    record = trial.run_trial(
        spec("slot", device="cuda", model=Model(latency_ms=1.5)), sent_ns=0, started_at=""
    )

    assert record.error == ""
    assert not record.is_invalid
    assert record.measurement is not None
    of = record.measurement.device
    assert of is not None
    assert 0 < of.num_batches <= record.measurement.num_batches
    assert of.forward_s == pytest.approx(0.0015)
    assert of.staging_s == pytest.approx(TO_DEVICE_S)
    assert of.returning_s == pytest.approx(TO_HOST_S)
    assert of.pinned_by == "harness"
    assert device.num_starts == 1


def test_the_floor_leaves_the_device_alone(
    device: LateDevice, spec: Callable[..., TrialSpec]
) -> None:
    """It has no policy: it sleeps S(n) on the host, and records no device."""
    record = trial.run_trial(spec("floor", device="cuda"), sent_ns=0, started_at="")

    assert record.measurement is not None
    assert record.measurement.device is None
    assert device.num_starts == 0


@pytest.mark.parametrize(
    ("name", "crew"),
    [("slot", "ThreadCrew"), ("torchrl.shared_memory", "ProcessCrew")],
)
def test_what_is_still_to_be_forked_has_not_met_the_device(
    name: str,
    crew: str,
    device: LateDevice,
    spec: Callable[..., TrialSpec],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Samples for actors in processes are made on the host; when all are forked, it is started."""
    if name.startswith("torchrl"):
        pytest.importorskip("torchrl")
    found: list[int] = []

    def start(_: Any, serve: Callable[[], None]) -> None:
        found.append(device.num_starts)
        serve()
        found.append(device.num_starts)
        raise RuntimeError("enough")

    monkeypatch.setattr(getattr(trial, crew), "start", start)
    monkeypatch.setattr(systems.TransportSystem, "start", lambda _: None)
    record = trial.run_trial(spec(name, device="cuda"), sent_ns=0, started_at="")

    assert record.error == "RuntimeError: enough"
    assert found == [0, 1]


def test_a_calibration_times_the_forward_there(
    device: LateDevice, workload: Workloads
) -> None:
    """Beside the host's whole call, for every size: a + b·n as asked for."""
    model = Model(latency_ms=2.0, latency_per_item_ms=0.25)
    cell = workload(
        model=model, device="cuda", num_slots=8, batching=Batching(max_batch_size=8)
    )
    record = calibration.run_calibration(
        cell, block=(0, "all", 0), seed=1, started_at="2026-11-28T00:00:00+00:00"
    )

    assert record.status == "ok"
    assert device.num_starts > 0
    for point in record.service:
        assert point.device_s == pytest.approx((2.0 + 0.25 * point.batch_size) / 1e3)
        assert point.median_s > 0


def test_starting_the_device_is_no_part_of_what_is_calibrated(
    device: LateDevice, workload: Workloads
) -> None:
    """It takes longer than an actor is given to think in."""
    calibration._policy_without_wait(workload(device="cuda"), seed=1)
    assert device.num_starts == 1


def test_a_check_sends_a_batch_there_and_back(
    device: LateDevice, workload: Workloads
) -> None:
    """Before anything is recorded; and a device that cannot be used is said in a line."""
    assert trial.check(None, workload(device="cuda")) == ""
    assert (device.num_starts, device.num_waits) == (1, 1)


def test_a_gpu_that_refuses_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA's own first line; the rest of it is advice for those who write kernels."""

    def refuse(index: int) -> None:
        raise RuntimeError(
            f"CUDA error: device {index} is busy\nCompile with TORCH_USE_CUDA_DSA"
        )

    monkeypatch.setattr(torch.cuda, "set_device", refuse)
    with pytest.raises(
        ScenarioError,
        match=r"^device cuda:3 cannot be used: CUDA error: device 3 is busy; see",
    ):
        devices.CudaDevice(3).start()


class FakeEvent:
    """Of a GPU whose kernels take a nanosecond a cycle at its fastest, and more before."""

    paces_ns: ClassVar[list[float]] = []
    cycles: ClassVar[list[int]] = []

    def __init__(self, *, enable_timing: bool) -> None:
        assert enable_timing
        self.is_made = False

    def record(self) -> None:
        self.is_made = True

    def synchronize(self) -> None: ...

    def elapsed_time(self, end_event: Any) -> float:
        del end_event
        return self.cycles[-1] * self.paces_ns.pop(0) / 1e6


def test_a_gpu_is_kept_busy_for_as_many_cycles_as_take_that_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Timed once, when its clock has risen: 1 ms at 1 GHz is a million cycles; none for no time."""
    rising = [6.0, 5.5, 5.0, 4.0, 3.0, 2.0, 1.5]
    steady = [1.0, 1.1, 0.999, 1.2, 1.0, 1.0]
    monkeypatch.setattr(FakeEvent, "paces_ns", [*rising, *steady, 0.1])
    monkeypatch.setattr(FakeEvent, "cycles", [])
    monkeypatch.setattr(devices, "_new_event", FakeEvent)
    monkeypatch.setattr(devices, "_sleep", FakeEvent.cycles.append)
    monkeypatch.setattr(torch.cuda, "set_device", lambda _: None)
    monkeypatch.setattr(torch, "zeros", lambda *_, **__: None)
    gpu = devices.CudaDevice(0)
    for _ in range(2):
        gpu.start()
    probes = len(FakeEvent.cycles)
    gpu.busy(1e-3)
    gpu.busy(0.0)

    assert probes == len(rising) + len(steady)
    assert FakeEvent.cycles[probes:] == [round(1_000_000 / 0.999)]


def test_a_gpus_marks_are_made_before_they_are_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """CUDA makes an event when it is first recorded: that is not to be in a batch's time."""
    monkeypatch.setattr(devices, "_new_event", FakeEvent)

    event = devices.CudaDevice(0).event()
    assert isinstance(event, FakeEvent)
    assert event.is_made


def test_on_the_host_nothing_is_wrapped(workload: Workloads) -> None:
    """The policy that is served there is the very one that it was before there were devices."""
    assert type(policies.build(workload(), 0)) is policies.SyntheticPolicy
    network = policies.build(workload(model=Model("mlp")), 0)
    assert type(network) is policies.NetworkPolicy


@pytest.mark.skipif(torch.backends.cuda.is_built(), reason="this torch has CUDA")
def test_without_cuda_the_reason_is_a_line(workload: Workloads) -> None:
    """Of the policy alone, and of a whole trial's check."""
    cell = workload(device="cuda")
    with pytest.raises(
        ScenarioError, match=r"^device cuda: this torch .* has no CUDA; .+$"
    ):
        policies.build(cell, 0)
    assert trial.check(None, cell).startswith("device cuda: this torch")


def test_a_device_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside those that are; and where there is none, that."""
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert devices.find("cuda").name == "cuda:0"
    with pytest.raises(ScenarioError, match=r"cuda:7: there is none .* there is cuda:0$"):
        devices.find("cuda:7")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ScenarioError, match="sees no GPU"):
        devices.find("cuda")


needs_cuda = pytest.mark.skipif(
    torch.cuda.device_count() == 0, reason="there is no GPU here"
)


@needs_cuda
@pytest.mark.parametrize(
    "model", MODELS, ids=lambda model: f"{model.kind}-{len(model.outputs)}"
)
def test_a_gpu_says_the_same(model: Model, workload: Workloads) -> None:
    """As the host does, to rounding, in many batches one after the other."""
    leaf = Leaf("observation", (8,), "float32")
    cell = {"model": model, "observation": Observation((leaf,))}
    here = policies.build(workload(**cell), seed=3)
    there = policies.build(workload(**cell, device="cuda"), seed=3)
    assert isinstance(there, DevicePolicy)
    with torch.no_grad():
        for value in range(50):
            expected = here(torch.stack(requests([float(value), -float(value)])))
            got = there(torch.stack(requests([float(value), -float(value)])))
            for key in set(expected.keys()) - {"observation", REQUEST_ID}:
                torch.testing.assert_close(got.get(key), expected.get(key))
    log = there.log()
    assert log is not None
    assert (log.forward_s >= 0).all()
    assert np.isfinite(log.forward_s).all()
