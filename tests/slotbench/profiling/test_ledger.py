"""The ledger of real trials, against a transport whose locks and objects are known."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slotbench.profiling import pass_gil
from slotbench.profiling._probes import Found, Probes
from slotbench.profiling._tallies import Tallies
from slotbench.profiling.pass_gil import GilPass
from slotbench.profiling.pass_locks import LocksPass
from slotbench.profiling.pass_operations import OperationsPass
from slotbench.profiling.pass_plain import PlainPass
from slotbench.records import PLACES, Model, ThinkTime, Window
from tests.slotbench.support import trials

WINDOW = Window(warmup_s=0.02, measure_s=0.1, min_requests=300)
COUNTED = {"abs": 0.02, "rel": 0.05}
"""Requests that are half in the window and half out of it are a few in a hundred."""


@pytest.fixture(autouse=True)
def support_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(trials.SUPPORT)


def ledger(kind: type[Probes], name: str, **changes: Any) -> Found:
    spec = trials.spec(name, **({"window": WINDOW} | changes))
    probes = kind(spec.workload)
    record = trials.run(spec, probes)
    assert record.status == "ok", record.error
    return probes.result(record)


def test_locks_are_counted_where_they_are_taken() -> None:
    costs = "shared_locks=3,own_locks=2,drain_locks=1,locks_made=4"
    found = ledger(LocksPass, f"known_costs:create[{costs}]", num_slots=4)
    counts = found.counts
    assert counts["shared_locks_submit"] == pytest.approx(3.0, **COUNTED)
    assert counts["locks_made"] == pytest.approx(4.0, **COUNTED)
    # 3 shared and 2 own in submit, and one for each batch.
    in_drain = counts["shared_locks_drain"]
    assert 0.0 < in_drain <= 1.05
    assert counts["lock_acquisitions"] == pytest.approx(5.0 + in_drain, **COUNTED)
    shared = next(use for use in found.locks if use.is_shared)
    assert shared.kind == "mutex"
    assert "known_costs.py" in shared.where
    assert "KnownTransport.__init__" in shared.where
    assert shared.num_locks == 1
    assert shared.acquisitions["submit"] == pytest.approx(3.0, **COUNTED)
    own = next(use for use in found.locks if "KnownClient" in use.where)
    assert own.num_locks == 4
    assert not own.is_shared
    assert own.acquisitions == {"submit": pytest.approx(2.0, **COUNTED)}
    assert {place for use in found.locks for place in use.acquisitions} <= {*PLACES}


@pytest.mark.parametrize(
    ("name", "makers"),
    [
        ("slot", {"slot.py _shut_lock"}),
        ("threading", {"shared_queue.py ThreadingTransport.__init__", "shared_queue.py ReplyFuture.__init__"}),
        ("torchrl.threading", {"_threading.py ThreadingTransport.__init__", "_threading.py ThreadingTransport.submit"}),
    ],
)  # fmt: skip
def test_a_lock_is_its_makers_and_not_that_of_the_library_in_between(
    name: str, makers: set[str]
) -> None:
    found = ledger(LocksPass, name)
    known = set()
    for use in found.locks:
        place, _, function = use.where.partition(" ")
        known.add(f"{place.partition(':')[0]} {function}")
    assert makers <= known


@pytest.mark.alone
def test_waiting_for_a_shared_lock_is_timed() -> None:
    """Four actors hold one lock for 1 ms each: of four, on average, three are before one."""
    found = ledger(
        LocksPass,
        "known_costs:create[shared_locks=1,held_ms=1]",
        num_slots=4,
        window=Window(warmup_s=0.02, measure_s=0.5, min_requests=50),
    )
    use = next(use for use in found.locks if use.is_shared)
    assert use.waits > 0.5
    assert found.counts["shared_lock_wait_s"] == pytest.approx(use.waited_s)
    assert found.counts["shared_lock_wait_s"] >= use.waits * 0.5e-3


@pytest.mark.alone
def test_waiting_to_be_woken_is_no_waiting_for_a_shared_lock() -> None:
    for name in ("slot", "floor", "torchrl.slot"):
        found = ledger(LocksPass, name, model=Model("sleep", latency_ms=1.0))
        assert found.counts["lock_waits"] > 0.9, name
        assert found.counts["shared_lock_wait_s"] < 0.2e-3, name


def test_the_two_claims_are_counted() -> None:
    """SlotTransport's documentation: no shared lock on submit and drain, no Future a request."""
    torchrl = ledger(LocksPass, "torchrl.slot").counts
    assert torchrl["shared_locks_submit"] == pytest.approx(1.0, **COUNTED)
    assert torchrl["shared_locks_drain"] == 0.0
    ours = ledger(LocksPass, "slot").counts
    assert ours["shared_locks_submit"] == 0.0
    assert ours["shared_locks_drain"] == 0.0
    queue = ledger(LocksPass, "threading").counts
    assert queue["shared_locks_submit"] == pytest.approx(1.0, **COUNTED)
    assert queue["shared_locks_drain"] > 0.0
    for name, futures in (("torchrl.slot", 0.0), ("slot", 0.0), ("threading", 1.0)):
        counts = ledger(OperationsPass, name).counts
        assert counts["futures_made"] == pytest.approx(futures, **COUNTED), name
    assert ledger(OperationsPass, "torchrl.slot").counts["handles_made"] == pytest.approx(
        1.0, **COUNTED
    )
    assert ledger(OperationsPass, "slot").counts["handles_made"] == 0.0


def test_objects_and_torch_operations_are_counted() -> None:
    costs = "futures=2,events=3,copies=2"
    found = ledger(OperationsPass, f"known_costs:create[{costs}]", num_slots=1)
    counts = found.counts
    assert counts["futures_made"] == pytest.approx(2.0, **COUNTED)
    assert counts["events_made"] == pytest.approx(3.0, **COUNTED)
    # A Condition in each Event and each Future.
    assert counts["conditions_made"] == pytest.approx(5.0, **COUNTED)
    assert counts["handles_made"] == pytest.approx(1.0, **COUNTED)
    assert counts["torch_calls_actors"] == 0.0
    without = ledger(OperationsPass, "known_costs:create", num_slots=1).counts
    assert counts["copies"] - without["copies"] == pytest.approx(2.0, **COUNTED)
    assert counts["copied_bytes"] - without["copied_bytes"] == pytest.approx(
        2 * 4 * 4, **COUNTED
    )
    # zeros and clone: two operations, two memories.
    more = counts["torch_calls_server"] - without["torch_calls_server"]
    assert more == pytest.approx(4.0, **COUNTED)
    assert counts["tensors_made"] - without["tensors_made"] == pytest.approx(4.0, **COUNTED)


def test_the_models_own_operations_are_left_out() -> None:
    """A network of several layers, against a model that only sleeps."""
    asleep, network = (
        ledger(OperationsPass, "slot", num_slots=1, model=model).counts
        for model in (Model("sleep"), Model("mlp", hidden=(8, 8, 8)))
    )
    for name in ("torch_calls_server", "tensors_made", "copies"):
        assert network[name] == pytest.approx(asleep[name], abs=0.1), name
    # Some operations make views: they are counted, and allocate nothing.
    assert 0.0 < asleep["tensors_made"] < asleep["torch_calls_server"]


def test_a_place_is_left_when_its_call_ends() -> None:
    tallies = Tallies()
    seen = []

    def inner() -> None:
        seen.append(tallies.mine().place)
        raise KeyError

    def outer() -> None:
        with pytest.raises(KeyError):
            tallies.placed("drain", inner)()
        seen.append(tallies.mine().place)

    tallies.placed("wait", outer)()
    seen.append(tallies.mine().place)
    assert seen == ["drain", "wait", "other"]


def test_what_a_request_holds_is_counted() -> None:
    held = ledger(OperationsPass, "threading").counts
    slots = ledger(OperationsPass, "slot").counts
    assert held["blocks_in_flight"] > slots["blocks_in_flight"] > 1.0
    assert held["bytes_in_flight"] > slots["bytes_in_flight"] > 100.0


def test_patches_are_undone() -> None:
    real = threading.Lock, threading.RLock, threading.Event.__init__
    for kind in (LocksPass, OperationsPass):
        ledger(kind, "torchrl.threading")
        assert (threading.Lock, threading.RLock, threading.Event.__init__) == real


def gil_while(work: Callable[[], None], num_threads: int) -> dict[str, float]:
    """What the pass says while so many threads do so, and the main thread waits."""
    spec = trials.spec("slot")
    probes = GilPass(spec.workload)
    probes.before_build(spec.contender)
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            work()

    threads = [threading.Thread(target=run) for _ in range(num_threads)]
    for thread in threads:
        thread.start()
    probes.before_window()
    stop.wait(0.3)
    probes.after_window(0, 1)
    stop.set()
    for thread in threads:
        thread.join()
    probes.after_trial()
    counts = probes.result(trials.run(spec)).counts
    if not counts:
        pytest.skip("this kernel does not show what a thread waits for")
    return counts


@pytest.mark.alone
def test_of_threads_that_compute_all_but_one_wait_for_the_gil() -> None:
    """At most: one that was given it, and has no CPU yet, waits no more."""
    few, many = (gil_while(lambda: sum(range(100)), number) for number in (2, 6))
    for number, counts in ((2, few), (6, many)):
        assert counts["gil_wanted"] > 0.5
        assert 0.4 * (number - 1) < counts["gil_waiters"] <= number - 1 + 0.1
    assert many["gil_waiters"] > few["gil_waiters"] + 1.0


@pytest.mark.alone
def test_threads_that_sleep_do_not_wait_for_the_gil() -> None:
    counts = gil_while(lambda: time.sleep(0.005), 4)
    assert counts["gil_wanted"] < 0.2
    assert counts["gil_waiters"] < 0.2


@pytest.mark.alone
def test_one_thread_that_waits_for_a_lock_does_not_wait_for_the_gil() -> None:
    lock = threading.Lock()
    lock.acquire()
    counts = gil_while(lambda: lock.acquire(timeout=0.01) and None, 3)
    assert counts["gil_wanted"] < 0.2


@pytest.mark.alone
def test_of_more_threads_than_are_looked_at_the_waiters_are_estimated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Some of eight that compute, drawn by chance: that one waits is then not to be known."""
    monkeypatch.setattr(pass_gil, "_MAX_THREADS", 6)
    # Of these none waits; how many are drawn is chance, and those drawn stand for all.
    num_others = len(list(Path("/proc/self/task").iterdir()))
    counts = gil_while(lambda: sum(range(100)), 8)
    assert "gil_wanted" not in counts
    assert 2.0 < counts["gil_waiters"] <= 8.0 + num_others


def test_a_gil_that_was_not_seen_is_not_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pass_gil, "_waits_at", lambda file: None)
    monkeypatch.setattr(pass_gil, "_FIND_S", 0.05)
    spec = trials.spec("slot")
    probes = GilPass(spec.workload)
    record = trials.run(spec, probes)
    assert record.status == "ok"
    assert probes.result(record).counts == {}


@pytest.mark.alone
def test_a_trial_says_who_wants_the_gil() -> None:
    found = ledger(GilPass, "threading", think_time=ThinkTime("constant", 2.0, mode="busy"))
    if not found.counts:
        pytest.skip("this kernel does not show what a thread waits for")
    assert found.counts["gil_waiters"] > 0.5


@pytest.mark.alone
def test_cpu_time_and_context_switches_are_those_of_the_kernel() -> None:
    """The process's own counters, which the trial reads, are the sum of the threads'."""
    spec = trials.spec("slot", window=Window(0.02, 0.3, 300), num_slots=4)
    probes = PlainPass(spec.workload)
    record = trials.run(spec, probes)
    assert record.measurement is not None
    counts = probes.result(record).counts
    n = record.measurement.num_replies
    cpu_s = sum(counts[f"cpu_{who}_s"] for who in ("actors", "server", "others"))
    assert cpu_s == pytest.approx(record.measurement.cpu_s / n, rel=0.25)
    assert counts["switches_voluntary"] == pytest.approx(
        record.measurement.context_switches_voluntary / n, rel=0.25
    )


@pytest.mark.alone
def test_a_transports_own_threads_are_neither_actors_nor_server() -> None:
    """Whatever they are called."""
    without, with_thread = (
        ledger(PlainPass, f"known_costs:{name}", num_slots=2).counts
        for name in ("create", "with_thread")
    )
    assert with_thread["cpu_others_s"] > 5 * without["cpu_others_s"] + 1e-5


def test_replies_that_have_no_constructor_are_not_counted() -> None:
    counts = ledger(OperationsPass, "known_costs:ringing", num_slots=2).counts
    assert "handles_made" not in counts
    assert counts["torch_calls_server"] > 0.0


@pytest.mark.alone
@pytest.mark.parametrize("kind", ["", "[is_reentrant]"])
def test_waiting_to_have_a_conditions_lock_again_is_timed(kind: str) -> None:
    """Of either kind of lock: who was notified finds it held for 1 ms more."""
    found = ledger(
        LocksPass,
        f"known_costs:notifying{kind}",
        num_slots=3,
        window=Window(warmup_s=0.02, measure_s=0.4, min_requests=20),
    )
    use = max(found.locks, key=lambda use: use.waited_s if use.kind == "mutex" else 0.0)
    assert use.is_shared
    # Once to enter, and once after the wait.
    assert use.acquisitions["submit"] == pytest.approx(2.0, abs=0.2)
    assert use.waits > 1.0
    assert found.counts["shared_lock_wait_s"] > 1e-3


def test_without_a_submit_its_locks_are_not_told_apart() -> None:
    counts = ledger(LocksPass, "known_costs:callable_only[shared_locks=2]").counts
    assert "shared_locks_submit" not in counts
    assert counts["lock_acquisitions"] == pytest.approx(2.0, **COUNTED)


def test_one_actor_and_the_server_share_a_lock() -> None:
    """As many actors do."""
    one = ledger(LocksPass, "torchrl.slot", num_slots=1).counts
    assert one["shared_locks_submit"] == pytest.approx(1.0, **COUNTED)
    assert ledger(LocksPass, "slot", num_slots=1).counts["shared_locks_submit"] == 0.0


@pytest.mark.alone
def test_a_price_is_what_one_costs() -> None:
    found = ledger(LocksPass, "slot")
    prices_s = found.prices_s
    # An Event holds a Condition, which holds a lock; one made alone holds a dearer, reentrant one.
    assert prices_s["locks_made"] < prices_s["conditions_made"]
    assert prices_s["locks_made"] < prices_s["events_made"]
    assert 0.0 < prices_s["lock_acquisitions"] < prices_s["switches_voluntary"]
