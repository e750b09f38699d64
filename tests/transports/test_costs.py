"""The counts that docstrings state."""

from __future__ import annotations

import concurrent.futures
import gc
import sys
import threading
import time
from collections import Counter

import pytest
import torch
from tensordict import TensorDict
from torch.utils._python_dispatch import TorchDispatchMode

import transports._requests
import transports._serving
import transports.slot
from transports import InferenceServer, SlotTransport, ThreadingTransport

is_gil_enabled = getattr(sys, "_is_gil_enabled", lambda: True)
"""Python before 3.13 always has one."""

WARM_UP = 12  # requests until the schema exists and everything was called once
COUNTED = 100

OPTIONS = [{}, {"preallocate": True}, {"inline": True}]
each_kind = pytest.mark.parametrize(
    "options", OPTIONS, ids=["plain", "preallocate", "inline"]
)


class Counts:
    """What happened to locks, by thread and lock, and what was made, by type."""

    def __init__(self):
        self.acquired: list[tuple[int, int]] = []
        self.released: list[int] = []
        self.made: list[str] = []

    def clear(self):
        self.acquired.clear()
        self.released.clear()
        self.made.clear()


@pytest.fixture
def counts(monkeypatch):
    """Count the locks of slot.py and of the schema, and every Future, Event and Condition."""
    counts = Counts()
    allocate = threading.Lock

    class CountingLock:
        """A raw lock that notes by whom it is acquired, and that it was released."""

        def __init__(self):
            counts.made.append("Lock")
            self.lock = allocate()
            self.locked = self.lock.locked

        def acquire(self, blocking=True, timeout=-1):
            counts.acquired.append((threading.get_ident(), id(self)))
            return self.lock.acquire(blocking, timeout)

        def release(self):
            counts.released.append(id(self))
            self.lock.release()

        def __enter__(self):
            return self.acquire()

        def __exit__(self, *exc_info):
            self.release()

    def noting(cls):
        init = cls.__init__

        def made(self, *args, **kwargs):
            counts.made.append(cls.__name__)
            init(self, *args, **kwargs)

        monkeypatch.setattr(cls, "__init__", made)

    for cls in (concurrent.futures.Future, threading.Event, threading.Condition):
        noting(cls)
    for module in (transports.slot, transports._requests, transports._serving):
        monkeypatch.setattr(module, "Lock", CountingLock)
    monkeypatch.setattr(transports.slot, "RLock", CountingLock)
    for name in ("Lock", "RLock", "_allocate_lock"):
        original = getattr(threading, name)
        monkeypatch.setattr(
            threading,
            name,
            lambda name=name, original=original: (counts.made.append(name), original())[1],
        )
    return counts


class Operations(TorchDispatchMode):
    """Counts the torch operations of the thread it is entered in, and of no other."""

    def __init__(self):
        super().__init__()
        self.count: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count[str(func)] += 1
        return func(*args, **(kwargs or {}))


class GilDrops:
    """Tells whether a call dropped the GIL: another thread, which wants it, then ran.

    Nobody is ever asked to give the GIL back (the switch interval is an hour). A drop that
    ends before the other thread has woken is missed, the shortest ones (a clone of 8 floats, a
    tensor freed) more often than not: a count is a lower bound, and `Operations` is needed too.
    """

    def __init__(self):
        self.num_runs = 0
        self.go, self.has_gone = allocated(), allocated()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while self.go.acquire() and self.num_runs >= 0:
            self.num_runs += 1
            self.has_gone.release()

    def are_in(self, call):
        before = self.num_runs
        self.go.release()
        until = time.perf_counter() + 0.001
        while time.perf_counter() < until:
            pass  # the other thread wakes on its core and waits for the GIL
        assert self.num_runs == before
        result = call()
        dropped = self.num_runs != before
        self.has_gone.acquire()
        return dropped, result

    def stop(self):
        self.num_runs = -1
        if self.go.locked():
            self.go.release()


def allocated():
    lock = threading.Lock()
    lock.acquire()
    return lock


@pytest.fixture
def gil_drops():
    """Count them in the test's own thread, with no garbage collected that holds tensors."""
    interval = sys.getswitchinterval()
    gc.collect()
    gc.disable()
    sys.setswitchinterval(3600.0)
    drops = GilDrops()
    try:
        yield drops
    finally:
        sys.setswitchinterval(interval)
        gc.enable()
        drops.stop()


def act(td):
    """Answer twice the observation."""
    return td.set("action", td["obs"] * 2)


def request(*, nested=False):
    """Make a request of two leaves, or of three, one of them nested."""
    td = TensorDict({"obs": torch.ones(2), "id": torch.tensor([3])})
    return td.set("inner", TensorDict({"x": torch.ones(())})) if nested else td


@each_kind
def test_a_request_acquires_its_own_gate_only(options, counts):
    """In the actor's thread, once the schema exists: one acquire a request; inline the turn's."""
    transport = SlotTransport(2, **options)
    client, td = transport.client(), request()
    gate, turn = id(transport._gates[0]), id(transport._turn)
    me = threading.get_ident()
    with InferenceServer(act, transport, timeout=600.0):
        for _ in range(WARM_UP):
            client(td)
        for _ in range(COUNTED):
            counts.clear()
            client(td)
            mine = [lock for thread, lock in counts.acquired if thread == me]
            assert mine == [gate] or ("inline" in options and mine == [turn, gate])


@each_kind
def test_a_gate_is_released_once_a_request(options, counts, together):
    """Over all threads, whoever does it: as often as the slot's actor got a reply."""
    transport = SlotTransport(4, **options)
    clients = [transport.client() for _ in range(4)]

    def actor(index):
        for _ in range(COUNTED):
            clients[index](request())

    with InferenceServer(act, transport, timeout=600.0):
        together(4, actor)
        released = Counter(counts.released)
    assert [released[id(gate)] for gate in transport._gates] == [COUNTED] * 4


@pytest.mark.parametrize("options", OPTIONS[:2], ids=["plain", "preallocate"])
def test_the_doorbell_rings_at_most_once_a_batch(options, counts, together, monkeypatch):
    """However many actors publish, and however often the server sleeps."""
    batches = []

    def model(td):
        batches.append(len(td))
        return act(td)

    transport = SlotTransport(4, **options)
    clients = [transport.client() for _ in range(4)]

    def actor(index):
        for _ in range(COUNTED):
            clients[index](request())

    fell_asleep = []
    sleep = transport._sleep
    monkeypatch.setattr(transport, "_sleep", lambda s: (fell_asleep.append(s), sleep(s)))
    with InferenceServer(model, transport, timeout=600.0):
        together(4, actor)
        rings = counts.released.count(id(transport._doorbell))
    assert sum(batches) == 4 * COUNTED
    # Where actors run beside the server, one may take the token of a server that has just seen
    # its request by itself: one ring for each sleep, still.
    assert 0 < rings <= (len(batches) if is_gil_enabled() else len(fell_asleep))


def test_actors_ring_once_for_a_batch_all_of_them_are_in(counts):
    """Three publish while the server is about to sleep: the first rings, the others do not."""
    transport = SlotTransport(3, spec=request())
    clients = [transport.client() for _ in range(3)]
    counts.clear()
    transport._tokens.append(None)
    for client in clients:
        client.submit(request())
    assert counts.released == [id(transport._doorbell)]


@each_kind
def test_a_request_allocates_no_synchronisation_object(options, counts):
    """No Future, Event, Condition or lock, by whatever thread."""
    transport = SlotTransport(2, **options)
    client, td = transport.client(), request()
    with InferenceServer(act, transport, timeout=600.0):
        for _ in range(WARM_UP):
            client(td)
        counts.clear()
        for _ in range(COUNTED):
            client(td)
            client.submit(td).result()
        assert counts.made == []


def test_the_counters_count_what_the_baseline_allocates(counts):
    """A Future and its Condition a request: what the test above would see."""
    transport = ThreadingTransport()
    counts.clear()
    transport.submit(request())
    assert sorted(set(counts.made)) == ["Condition", "Future", "RLock"]


@each_kind
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("num_rows", [1, 3])
def test_a_batch_is_one_stack_a_leaf_and_one_clone_and_unbind_an_output(
    num_rows, nested, options
):
    """Those and no other torch operation, however many requests it is of."""
    transport = SlotTransport(3, **options)
    clients = [transport.client() for _ in range(num_rows)]
    num_leaves, num_outputs = (3, 3) if nested else (2, 2)
    for _ in range(3):
        replies = [client.submit(request(nested=nested)) for client in clients]
        slots = transport.claim(3)
        with Operations() as of_gather:
            batch = transport.gather(slots)
        result = batch.set("action", batch["obs"] * 2).set("value", batch["obs"].sum(-1))
        if nested:
            result.set(("inner", "y"), batch["obs"] + 1)
        with Operations() as of_resolve:
            transport.resolve_batch(slots, batch, result)
        with Operations() as of_actors:
            assert all(reply.result(0)["action"].tolist() == [2.0] * 2 for reply in replies)
    stacks = {"aten.stack.default": num_leaves}
    if "preallocate" in options:
        stacks = {"aten.stack.out": num_leaves, "aten.detach.default": num_leaves}
    assert of_gather.count == stacks
    assert of_resolve.count == {
        "aten.clone.default": num_outputs,
        "aten.unbind.int": num_outputs,
    }
    assert set(of_actors.count) <= {"aten._local_scalar_dense.default"}  # tolist()


@pytest.mark.parametrize("options", OPTIONS[:2], ids=["plain", "preallocate"])
@pytest.mark.parametrize("nested", [False, True])
def test_an_actor_runs_no_torch_operation(nested, options):
    """From the call to the reply in hand: so its thread drops the GIL only to wait."""
    transport = SlotTransport(1, **options)
    client = transport.client()

    def model(td):
        td = act(td)
        return td.set(("inner", "y"), td["obs"] + 1) if nested else td

    with InferenceServer(model, transport, timeout=600.0):
        td = request(nested=nested)
        for _ in range(WARM_UP):
            client(td)
        with Operations() as operations:
            replies = [client(td) for _ in range(COUNTED)]
            assert operations.count == {}
            _ = td["obs"] + 1
        assert operations.count == {"aten.add.Tensor": 1}, "the counter does not count"
    assert all(reply["action"].tolist() == [2.0, 2.0] for reply in replies)


@pytest.mark.skipif(not is_gil_enabled(), reason="there is no GIL to drop")
def test_an_actor_drops_the_gil_only_to_wait(gil_drops):
    """Neither in submit nor in result, once the reply is there; a sleep of no time does."""
    transport = SlotTransport(1, spec=request())
    client = transport.client()
    in_submit = in_result = in_sleep = 0
    for _ in range(60):
        td = request()
        dropped, pending = gil_drops.are_in(lambda td=td: client.submit(td))
        in_submit += dropped
        slots = transport.claim(1)
        batch = transport.gather(slots)
        transport.resolve_batch(slots, batch, act(batch))
        in_result += gil_drops.are_in(lambda pending=pending: pending.result(0))[0]
        in_sleep += gil_drops.are_in(lambda: time.sleep(0))[0]
    assert in_sleep > 0, "the counter does not count"
    assert in_submit == in_result == 0


@pytest.mark.parametrize("inline", [False, True])
def test_preallocated_batches_need_no_fresh_memory(inline):
    """Every batch, whoever is in it, begins at the first row of the one buffer per leaf."""
    transport = SlotTransport(4, preallocate=True, inline=inline)
    clients = [transport.client() for _ in range(4)]
    begins = set()
    for members in ([0, 1, 2, 3], [2], [3, 1], [0], [1, 2, 3]):
        td = request()
        replies = [
            clients[member].submit(td.clone().fill_("obs", member)) for member in members
        ]
        slots = transport.claim(4)
        batch = transport.gather(slots)
        assert batch["obs"].tolist() == [[float(slot)] * 2 for slot in slots]
        assert batch["obs"].is_contiguous()
        begins.add((batch["obs"].data_ptr(), batch["id"].data_ptr()))
        transport.resolve_batch(slots, batch, batch)
        for reply in replies:
            reply.result(0)
    assert len(begins) == 1
    num_bytes = batch["obs"].untyped_storage().nbytes()
    assert num_bytes == 4 * 2 * 4, "the buffer is one row a slot"
    assert batch["obs"].storage_offset() == 0
