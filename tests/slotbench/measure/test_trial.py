"""What a trial sets up in its process, and how it drives an actor."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from tensordict import TensorDict

from slotbench.measure import budget, environments, recording
from slotbench.measure.actors import Actor
from slotbench.measure.identity import REPLY_ID, IdentityCheck
from slotbench.measure.trial import _clocks, _room_per_actor, _Trial
from slotbench.records import Batching, ThinkTime, TrialSpec
from tests.slotbench.support import trials


@pytest.fixture(autouse=True)
def process_settings() -> Iterator[None]:
    threads, interval = torch.get_num_threads(), sys.getswitchinterval()
    yield
    torch.set_num_threads(threads)
    sys.setswitchinterval(interval)


def test_threads_and_switch_interval_are_the_cells(spec: Callable[..., TrialSpec]) -> None:
    """Both are set for the process; an interval that is not asked for is left alone."""
    sys.setswitchinterval(0.004)
    _Trial(spec("slot", torch_threads=2))
    assert (torch.get_num_threads(), sys.getswitchinterval()) == (2, pytest.approx(0.004))

    _Trial(spec("slot", torch_threads=1, switch_interval_s=0.001))
    assert (torch.get_num_threads(), sys.getswitchinterval()) == (1, pytest.approx(0.001))


def test_every_actor_has_its_own_seed(
    spec: Callable[..., TrialSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Actors of a trial differ; the same actor of another contender's trial does not."""
    seeds: list[int] = []
    original = environments.build

    def build(*args: Any, seed: int, **options: Any) -> Any:
        seeds.append(seed)
        return original(*args, seed=seed, **options)

    monkeypatch.setattr(environments, "build", build)
    _Trial(spec("slot"))
    _Trial(spec("threading"))

    assert len(set(seeds[:4])) == 4
    assert seeds[:4] == seeds[4:]


class Diary:
    """An environment that writes down what is asked of it."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines

    def request(self) -> str:
        self.lines.append("request")
        return "observation"

    def step(self, reply: Any) -> None:
        self.lines.append("step")


def test_an_actor_steps_its_environment_once_for_every_reply() -> None:
    """Request, call, step, in this order, until its room is full; then all are stopped."""
    lines: list[str] = []
    identity = IdentityCheck(0)
    actor = Actor(0, Diary(lines), identity, max_requests=3)
    stop = threading.Event()

    def client(request: Any) -> TensorDict:
        lines.append(f"call with {request}")
        return TensorDict({REPLY_ID: identity.ids[actor.num_submitted - 1]}, [])

    actor.loop(client, stop)

    assert lines == ["request", "call with observation", "step"] * 3
    assert (actor.num_submitted, actor.num_replied, actor.error) == (3, 3, "")
    assert stop.is_set()
    assert identity.problem == ""


def test_what_an_actor_meets_is_kept_and_ends_the_trial() -> None:
    """The error is recorded with its trace; the other actors are stopped."""
    actor = Actor(0, Diary([]), None, max_requests=3)
    stop = threading.Event()

    def client(request: Any) -> None:
        raise OSError("lost the wire")

    actor.loop(client, stop)

    assert "OSError: lost the wire" in actor.error
    assert (actor.num_submitted, actor.num_replied) == (1, 0)
    assert stop.is_set()


def test_the_recorders_cost_is_that_of_the_contenders_collate() -> None:
    """A collate that is dear for one more leaf makes the id check dear; the least pass counts."""
    spent: list[int] = []

    def collate(rows: list[Any]) -> Any:
        spent.append(len(rows[0].keys()))
        return torch.stack(rows)

    cost_s = recording.recording_cost_s(40, collate, None)

    assert cost_s > 0
    assert sorted(set(spent)) == [1, 2], "timed with the id leaf and without"
    assert min(spent.count(1), spent.count(2)) >= 5


@pytest.mark.parametrize("has_check", [True, False])
def test_the_actors_part_is_timed_with_the_check_or_without(
    monkeypatch: pytest.MonkeyPatch, has_check: bool
) -> None:
    """Every reply of every pass is given to the id check, which finds it right; or none is."""
    checked: list[Any] = []
    problems: list[str] = []
    add, finish = recording.IdentityCheck.add, recording.IdentityCheck.finish

    def spy_add(self: recording.IdentityCheck, reply: Any) -> None:
        checked.append(reply)
        add(self, reply)

    def spy_finish(self: recording.IdentityCheck) -> None:
        finish(self)
        problems.append(self.problem)

    monkeypatch.setattr(recording.IdentityCheck, "add", spy_add)
    monkeypatch.setattr(recording.IdentityCheck, "finish", spy_finish)

    assert recording.actor_s_per_request(has_check=has_check) > 0
    assert (len(checked) >= 5 * 64) is has_check
    assert bool(checked) is has_check
    assert set(problems) <= {""}


@pytest.mark.parametrize("num_slots", [1, 4096])
def test_there_is_room_for_more_than_an_actors_share(
    spec: Callable[..., TrialSpec], num_slots: int
) -> None:
    """Even among thousands, of whom some get hundreds of replies while others get one."""
    one = spec("slot", num_slots=num_slots)
    assert _room_per_actor(one.workload, one.contender) >= 1024


def test_thousands_of_actors_are_given_time_for_their_last_replies(
    spec: Callable[..., TrialSpec],
) -> None:
    """Transports were seen to serve some hundred actors a second there."""
    small, large = (
        budget.settle_s(spec("slot", num_slots=n, batching=Batching(1, n)).workload)
        for n in (1, 4096)
    )
    assert large - small >= 4096 / 300


def test_both_clocks_are_read_at_one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread that ran between the two reads is no disagreement of the clocks."""
    now_ns = 0
    pauses = iter([0, 0, 50_000_000, 0, 0, 0, 0, 0, 70_000_000] + [0] * 6)

    def read() -> int:
        nonlocal now_ns
        now_ns += next(pauses) + 100
        return now_ns

    monkeypatch.setattr("time.perf_counter_ns", read)
    monkeypatch.setattr("time.time_ns", lambda: read() + 1_000_000_000)
    wall_ns, at_ns = _clocks()
    assert abs(wall_ns - 1_000_000_000 - at_ns) <= 100


def test_only_the_first_actors_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has think times of its own: which actor it is of, its seed says."""
    resetting: set[str] = set()
    sleep = time.sleep

    def note(duration_s: float) -> None:
        if 0.004 <= duration_s < 0.005:
            resetting.add(threading.current_thread().name)
        sleep(duration_s)

    monkeypatch.setattr("slotbench.measure.waiting.time.sleep", note)
    think = ThinkTime(reset_every=3, reset_ms=4.5, reset_actors=2)
    record = trials.run(trials.spec("slot", think_time=think))

    assert record.status == "ok", record.error
    assert resetting == {"actor-0", "actor-1"}
