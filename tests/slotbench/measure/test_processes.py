"""Actors in processes of their own: measured like threads, and what goes wrong is recorded."""

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from slotbench.measure import environments
from slotbench.measure.executor import LocalExecutor
from slotbench.measure.processes import ProcessCrew
from slotbench.records import (
    GymEnvironment,
    Observation,
    ThinkTime,
    TrialSpec,
    Window,
)
from tests.slotbench.support import trials
from tests.slotbench.support.trials import invalid, run_honest

Specs = Callable[..., TrialSpec]


@pytest.mark.parametrize(
    "name",
    [
        "torchrl.process_slot",
        "torchrl.process_slot[copy_result=false]",
        "torchrl.shared_memory",
        "torchrl.mp",
        "process_transports:honest[actors=processes]",
    ],
)
def test_a_transport_between_processes_gives_valid_numbers(
    name: str, torchrl_executor: LocalExecutor, spec: Specs
) -> None:
    """The same numbers as of threads, all counts conserved, every reply checked."""
    window = Window(0.05, 0.1, min_requests=50)
    record = run_honest(torchrl_executor, spec(name, window=window))

    assert (record.status, record.error, invalid(record)) == ("ok", "", set())
    measured = record.measurement
    assert measured is not None
    assert measured.num_submitted == measured.num_replied == measured.num_served
    assert 50 <= measured.num_replies == sum(measured.replies_per_actor)
    assert min(measured.replies_per_actor) > 0
    assert measured.num_frames is None
    # Actors' own time is in it: they do most of the work.
    assert measured.cpu_s > 0
    assert measured.context_switches_voluntary > measured.num_replies / 2


@pytest.mark.parametrize(
    ("name", "rule"), [("swapped", "wrong_reply"), ("dropped", "lost_reply")]
)
def test_a_wrong_transport_between_processes_is_invalid(
    name: str, rule: str, torchrl_executor: LocalExecutor, spec: Specs
) -> None:
    """As one between threads is."""
    record = torchrl_executor.run(spec(f"process_transports:{name}[actors=processes]"))

    assert rule in invalid(record)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("raising", "1 of 4 actors raised OSError: lost the pipe"),
        ("dying", "1 of 4 actors raised RuntimeError: its process died, exit code 7"),
    ],
)
def test_an_actor_that_breaks_fails_its_trial(
    name: str, error: str, torchrl_executor: LocalExecutor, spec: Specs
) -> None:
    """With what its process met, or that it is gone; the next trial runs."""
    record = torchrl_executor.run(spec(f"process_transports:{name}[actors=processes]"))

    assert (record.status, record.error) == ("failed", error)
    assert torchrl_executor.run(spec("slot")).status == "ok"


def test_a_wrong_reply_is_told_before_its_actor_ends(
    torchrl_executor: LocalExecutor, spec: Specs
) -> None:
    """Also of actors that think for longer than a trial waits for one that does nothing else."""
    record = torchrl_executor.run(
        spec(
            "process_transports:stale[actors=processes]",
            think_time=ThinkTime("constant", 20.0),
            num_slots=2,
            window=Window(0.05, 0.2, min_requests=90),
        )
    )
    assert "wrong_reply" in invalid(record)


def test_a_trial_that_is_killed_is_known_to_be_at_once(
    torchrl_executor: LocalExecutor, spec: Specs
) -> None:
    """Its actors are forked, and keep nothing open that its end would close."""
    record = torchrl_executor.run(spec("process_transports:killed[actors=processes]"))

    assert record.error == "the process was killed by SIGKILL"


def test_an_environment_that_cannot_be_built_fails_its_trial(
    torchrl_executor: LocalExecutor, spec: Specs
) -> None:
    """It is built in the actor's process: what that raises is told here."""
    lost = spec(
        "process_transports:honest[actors=processes]",
        observation=Observation(()),
        environment=GymEnvironment("NoSuch-v1"),
    )
    record = torchrl_executor.run(lost)

    assert record.status == "failed"
    assert "NoSuch" in record.error


def test_actors_that_never_begin_are_not_waited_for_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Which one hangs is said, before the trial's own deadline kills it."""
    monkeypatch.setattr(environments, "build", lambda *_, **__: threading.Event().wait())
    crew = ProcessCrew(
        trials.workload(num_slots=2), 1, 10, lambda _: lambda td: td, start_timeout_s=0.0
    )
    with pytest.raises(RuntimeError, match=r"^actor 0 hangs before its first step$"):
        crew.start(lambda: None)
    for process in crew._processes:
        process.kill()
        process.join()


def test_rays_queues_are_processes_that_are_the_trials_own(
    torchrl_executor: LocalExecutor, spec: Specs
) -> None:
    """They are there before the first request, their time is no foreign load, and they end."""
    pytest.importorskip("ray")
    record = run_honest(
        torchrl_executor,
        spec("torchrl.ray", num_slots=1, window=Window(0.05, 0.1, min_requests=10)),
    )
    assert (record.status, record.error, invalid(record)) == ("ok", "", set())
    assert record.measurement is not None
    assert record.measurement.num_replies >= 10
    deadline = time.monotonic() + 30
    while is_running(
        "raylet"
    ):  # Ray's own reaper ends it when it sees that its driver is gone
        assert time.monotonic() < deadline
        time.sleep(0.1)


def is_running(name: str) -> bool:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has just ended
            if name in path.read_text(errors="replace"):
                return True
    return False
