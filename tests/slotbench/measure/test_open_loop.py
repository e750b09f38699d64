"""An actor keeps to its schedule: on a clock of its own that moves only by what the test says."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slotbench.errors import ScenarioError
from slotbench.measure import budget, open_loop, trial, waiting
from slotbench.measure.crew import ThreadCrew
from slotbench.measure.intended import Scheduled, of_window
from slotbench.measure.open_loop import OpenActor
from slotbench.measure.trial import _room_per_actor, _Trial
from slotbench.measure.waiting import WakingStop
from slotbench.records import Load, Model, TrialSpec, Window
from slotbench.scenario import loads
from tests.slotbench.support import trials

MS = 1_000_000
ORIGIN = 5_000 * MS


class Nothing:
    """An environment of no observations."""

    def request(self) -> Any:
        return None

    def step(self, reply: Any) -> None:
        pass


class World:
    """A clock, and a stop whose sleeps move it: ``overslept_ns`` further than they were asked to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_ns = ORIGIN
        self.overslept_ns = 0
        self.is_over = False
        monkeypatch.setattr(open_loop, "clock", lambda: self.now_ns)
        monkeypatch.setattr(open_loop, "exact_timers", lambda: None)

    def sleeper(self) -> Callable[[float], None]:
        def sleep(duration_s: float) -> None:
            self.now_ns += round(duration_s * 1e9) + self.overslept_ns

        return sleep

    def is_set(self) -> bool:
        return self.is_over

    def set(self) -> None:
        self.is_over = True

    def act(self, due_ms: list[float], serves_ms: list[float]) -> Scheduled:
        """Let an actor with this schedule meet a transport that takes so long, call by call."""
        starts_ns = np.array([round(one * MS) for one in due_ms], np.int64)
        actor = OpenActor(0, Nothing(), None, starts_ns, self)  # type: ignore[arg-type]
        actor.begin(ORIGIN)
        serves = iter(serves_ms)

        def client(request: Any) -> None:
            self.now_ns += round(next(serves) * MS)

        actor.loop(client, self)
        assert not actor.error
        return Scheduled(actor.intended_ns(), *actor.stamps_ns())


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def since_origin_ms(at_ns: np.ndarray) -> list[float]:
    return [(one - ORIGIN) / MS for one in at_ns.tolist()]


def test_requests_go_out_when_they_are_due(world: World) -> None:
    """Not when the last reply is there."""
    stamps = world.act([3, 10, 11.5, 40], [1, 1, 1, 1])

    assert since_origin_ms(stamps.intended) == [3, 10, 11.5, 40]
    assert since_origin_ms(stamps.submitted) == [3, 10, 11.5, 40]
    assert since_origin_ms(stamps.replied) == [4, 11, 12.5, 41]


def test_after_a_stall_the_actor_catches_up_with_the_schedule_it_had(world: World) -> None:
    """One call takes 50 ms; what was due meanwhile goes out back to back, what follows on time."""
    stamps = world.act([10, 20, 30, 40, 50, 60, 70], [1, 50, 1, 1, 1, 1, 1])

    assert since_origin_ms(stamps.intended) == [10, 20, 30, 40, 50, 60, 70]
    assert since_origin_ms(stamps.submitted) == [10, 20, 70, 71, 72, 73, 74]
    assert since_origin_ms(stamps.replied) == [11, 70, 71, 72, 73, 74, 75]


def test_a_transport_that_stalls_once_cannot_hide_it(world: World) -> None:
    """Of 1 000 requests, 1 ms apart, one takes 100 ms: every tenth waited, and p99 says so."""
    stamps = world.act(list(range(1000)), [0.1] * 500 + [100] + [0.1] * 499)
    latencies_ns, of = of_window(
        [stamps],
        begin_ns=ORIGIN - 1,
        end_ns=ORIGIN + 2000 * MS,
        given_up_ns=ORIGIN + 2000 * MS,
    )

    assert of.call_p99_s == pytest.approx(0.1e-3)  # from the actual start: nothing to see
    assert latencies_ns[989] / MS == pytest.approx(90.1, abs=1.5)
    assert (latencies_ns > 1 * MS).mean() == pytest.approx(0.11, abs=0.005)
    assert of.late_mean_s == 0


def test_oversleeping_is_late_and_waiting_is_not(world: World) -> None:
    """0.2 ms after each sleep; the second request waits for its slot, and oversleeps nothing."""
    world.overslept_ns = round(0.2 * MS)
    stamps = world.act([10, 12, 40], [5, 1, 1])
    _, of = of_window(
        [stamps], begin_ns=ORIGIN, end_ns=ORIGIN + 50 * MS, given_up_ns=ORIGIN + 50 * MS
    )

    assert since_origin_ms(stamps.submitted) == [10.2, 15.2, 40.2]
    assert of.late_mean_s == pytest.approx((0.2 + 0 + 0.2) / 3 * 1e-3)


def test_nothing_is_submitted_once_the_trial_is_over(world: World) -> None:
    """Also not what was due; the schedule is known all the same."""
    stop = world.set
    starts_ns = np.array([10, 20, 30], np.int64) * MS
    actor = OpenActor(0, Nothing(), None, starts_ns, world)  # type: ignore[arg-type]
    actor.begin(ORIGIN)

    def client(request: Any) -> None:
        world.now_ns += 15 * MS
        stop()

    actor.loop(client, world)

    assert (actor.num_submitted, actor.num_replied) == (1, 1)
    assert since_origin_ms(actor.intended_ns()) == [10, 20, 30]
    assert [actor.num_due(ORIGIN + at * MS) for at in (9, 10, 25, 99)] == [0, 1, 2, 3]


def test_a_stop_wakes_actors_that_sleep_for_an_hour() -> None:
    """Also when it is another actor that ends the trial."""
    stop = WakingStop()
    hour_ns = np.array([3_600_000 * MS], np.int64)
    actors = [OpenActor(i, Nothing(), None, hour_ns, stop) for i in range(3)]
    soon_ns = np.array([0], np.int64)
    actors.append(OpenActor(3, Nothing(), None, soon_ns, stop))  # its only request ends it
    crew = ThreadCrew(actors, lambda index: lambda request: None, stop)
    crew.start(lambda: None)

    assert crew.wait(30)
    for thread in crew._threads:
        thread.join(30)
        assert not thread.is_alive()
    assert [actor.num_submitted for actor in actors] == [0, 0, 0, 1]
    assert crew.settle(1) == []


def test_all_schedules_count_from_one_start() -> None:
    """The moment at which the last one was ready."""
    stop = WakingStop()
    starts_ns = np.array([0], np.int64)
    actors = [OpenActor(i, Nothing(), None, starts_ns, stop) for i in range(5)]
    crew = ThreadCrew(actors, lambda index: lambda request: None, stop)
    crew.start(lambda: None)
    crew.settle(5)
    (origin_ns,) = {int(actor.intended_ns()[0]) for actor in actors}

    assert origin_ns > 0
    for actor in actors:
        submitted_ns, _ = actor.stamps_ns()
        assert (submitted_ns >= origin_ns).all()


def test_a_stop_may_be_set_twice_and_before_anybody_sleeps() -> None:
    """The sleep that comes after it returns at once, again and again."""
    stop = WakingStop()
    sleep = stop.sleeper()
    stop.set()
    stop.set()
    sleep(3600)
    sleep(3600)

    assert stop.is_set()
    assert stop.wait(0)


@pytest.mark.skipif(not Path("/proc/self/timerslack_ns").exists(), reason="Linux only")
def test_timers_are_exact_in_the_actors_thread_alone() -> None:
    """Linux says so of each thread."""

    def slack_ns() -> int:
        return int(Path(f"/proc/{threading.get_native_id()}/timerslack_ns").read_text())

    found: list[int] = []

    def run() -> None:
        waiting.exact_timers()
        found.append(slack_ns())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()

    assert found == [1]
    assert slack_ns() > 1


@pytest.mark.parametrize("kind", ["constant", "poisson"])
@pytest.mark.parametrize("who", ["slot", "threading", "floor"])
def test_a_trial_answers_everything_that_was_due(
    spec: Callable[..., TrialSpec], kind: str, who: str
) -> None:
    """Of transports and the floor, far below saturation."""
    load = Load(kind, 100.0)  # type: ignore[arg-type]
    window = Window(warmup_s=0.05, measure_s=0.2, min_requests=60, max_measure_s=5.0)
    record = trials.run(spec(who, load=load, window=window))
    measured = record.measurement

    assert measured is not None, record.error
    assert measured.open_loop is not None
    assert measured.open_loop.num_unanswered == 0
    assert measured.open_loop.num_intended >= 60
    assert sum(n for _, n in measured.latency.buckets) == measured.open_loop.num_intended
    assert measured.num_submitted == measured.num_replied == measured.num_served
    assert measured.latency_p50_s is not None
    assert measured.open_loop.call_p50_s is not None
    assert measured.latency_p50_s >= measured.open_loop.call_p50_s
    assert "overload" not in {finding.rule for finding in record.findings}


def test_beyond_saturation_the_backlog_is_in_the_latencies(
    spec: Callable[..., TrialSpec],
) -> None:
    """4 actors at 1 000 a second each, a model that serves 4 in 20 ms: a fifth of a second's wait."""
    workload = {
        "load": Load("constant", 1000.0),
        "model": Model("sleep", latency_ms=20.0),
        "window": Window(warmup_s=0.0, measure_s=0.2, min_requests=10, max_measure_s=1.0),
    }
    record = trials.run(spec("slot", **workload))
    measured = record.measurement

    assert measured is not None, record.error
    assert measured.open_loop is not None
    assert measured.open_loop.num_unanswered > measured.open_loop.num_intended / 2
    assert measured.num_replies < measured.open_loop.num_intended / 5
    assert measured.latency_p50_s is not None
    assert measured.open_loop.call_p50_s is not None
    assert measured.latency_p50_s > 2 * measured.open_loop.call_p50_s
    assert {finding.rule for finding in record.findings} & {"overload"}
    assert not {finding.rule for finding in record.findings} & {"generator", "counts"}


def test_what_waits_when_the_window_ends_is_answered_all_the_same(
    spec: Callable[..., TrialSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One actor asks every 25 ms for what takes 30: some wait at the end, none is given up."""
    monkeypatch.setattr(trial, "_DRAIN_S", 30.0)
    changes = {
        "num_slots": 1,
        "load": Load("constant", 40.0),
        "model": Model("sleep", latency_ms=30.0),
        "window": Window(warmup_s=0.0, measure_s=0.25, min_requests=1, max_measure_s=0.5),
    }
    measured = trials.run(spec("slot", **changes)).measurement

    assert measured is not None
    assert measured.open_loop is not None
    assert measured.open_loop.num_unanswered == 0
    assert measured.open_loop.num_intended > measured.num_replies


def test_schedules_differ_between_actors_and_not_between_contenders(
    spec: Callable[..., TrialSpec],
) -> None:
    """Of one block; the floor's are the same, too."""

    def schedules(who: str) -> list[list[int]]:
        made = _Trial(spec(who, load=Load("poisson", 50.0)))
        return [actor.intended_ns().tolist() for actor in made._open_actors()]

    first = schedules("slot")
    assert len({tuple(one) for one in first}) == 4
    assert schedules("threading") == schedules("floor") == first


def test_how_long_a_window_lasts_is_known_before_it() -> None:
    """For 5 an actor and min_requests due, and one an actor more; to max_measure_s at most."""
    window = Window(warmup_s=0.1, measure_s=0.3, min_requests=500, max_measure_s=4.0)
    asked = trials.workload(num_slots=10, window=window, load=Load("constant", 25.0))

    assert budget.window_s(asked) == (0.1, pytest.approx(510 / 250))
    for rate, expected in ((1e4, (0.1, 0.3)), (1.0, (2.0, 4.0))):
        other = trials.workload(num_slots=10, window=window, load=Load("constant", rate))
        assert budget.window_s(other) == expected
    assert budget.estimate_trial_s(asked) == pytest.approx(0.1 + 2.04 + 0.09)


def test_room_is_what_the_schedule_comes_to() -> None:
    """Also where that is more than window.max_requests: less would end the schedule in the window."""
    contender = trials.spec("slot").contender
    window = Window(warmup_s=1.0, measure_s=2.0, max_requests=1_000)
    workload = trials.workload(num_slots=10, window=window, load=Load("constant", 100.0))

    assert _room_per_actor(workload, contender) == 416


OPEN = """
title = "t"
question = "q"
num_slots = 4
load = { arrivals = "poisson", per_actor_per_s = 10 }
[[contenders]]
name = "slot"
"""


@pytest.mark.parametrize(
    "who", ["torchrl.process_slot", "torchrl.mp", "slot@collector", "torchrl.parallel"]
)
def test_actors_that_are_no_threads_are_refused(who: str) -> None:
    """Where the scenario is read, with the contender's name and the cell's."""
    text = f'{OPEN}[[contenders]]\nname = "{who}"\noptional = true\n'

    with pytest.raises(ScenarioError) as caught:
        loads(text, name="x", source="x.toml")

    assert str(caught.value) == (
        f'x.toml: load.arrivals "poisson" (in cell "all") needs actors that are threads, and those of '
        f"{who} are not; remove it"
    )
    assert loads(
        text, name="x", overrides=["load.arrivals=closed", "load.per_actor_per_s=0"]
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ('arrivals = "closed"', "load: per_actor_per_s is of an open loop"),
        (
            "per_actor_per_s = 0",
            'load: arrivals "poisson" needs per_actor_per_s, .* of 0.001 or more',
        ),
        (
            "per_actor_per_s = 1e-9",
            'load: arrivals "poisson" needs per_actor_per_s, .* of 0.001 or more',
        ),
    ],
)
def test_a_load_agrees_with_itself(fields: str, message: str) -> None:
    """Nothing is offered in the closed loop, and something in every other."""
    key = fields.partition(" ")[0]
    kept = {"arrivals": 'arrivals = "poisson"', "per_actor_per_s": "per_actor_per_s = 10"}
    table = ", ".join({**kept, key: fields}.values())
    text = OPEN.replace('arrivals = "poisson", per_actor_per_s = 10', table)

    with pytest.raises(ScenarioError, match=message):
        loads(text, name="x")


def test_think_time_and_environment_have_no_place_beside_a_schedule() -> None:
    """Each would decide when an actor asks."""
    for line, what in (
        ("think_time = { distribution = 'constant', mean_ms = 1 }", "think_time"),
        ("environment.id = 'CartPole-v1'", "environment"),
    ):
        text = OPEN.replace("num_slots = 4", f"num_slots = 4\n{line}")
        with pytest.raises(ScenarioError, match=f"by a schedule; remove {what}"):
            loads(text, name="x")
