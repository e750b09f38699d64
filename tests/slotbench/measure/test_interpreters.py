"""Trials in other interpreters: whose process they are, and what is said of one that cannot run any."""

import os
import shlex
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slotbench import contenders
from slotbench.errors import ContenderError, WorkerError
from slotbench.measure import interpreter
from slotbench.measure.executor import WORKER_DIED, LocalExecutor, Worker
from slotbench.measure.zygote import Task
from slotbench.records import (
    Batching,
    Cell,
    Model,
    Observation,
    Scenario,
    ThinkTime,
    TrialSpec,
    Window,
    Workload,
)
from tests.slotbench.support import elsewhere, trials

FREE_THREADED = os.environ.get("SLOTBENCH_FREE_THREADED", "")
"""Path of a free-threaded interpreter that has torch and tensordict."""

Specs = Callable[..., TrialSpec]


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalExecutor]:
    """Workers of this interpreter and of "other", which is the same one and says that it is not."""
    folder = tmp_path_factory.mktemp("bin")
    other = folder / "other"
    started = f'exec {shlex.quote(sys.executable)} "$@"'
    other.write_text(f"#!/bin/sh\nexport {elsewhere.NAME}=other\n{started}\n")
    other.chmod(other.stat().st_mode | stat.S_IXUSR)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", trials.SUPPORT, prepend=os.pathsep)
        patch.setenv("PATH", str(folder), prepend=os.pathsep)
        with LocalExecutor(raced("slot", "slot[python=other]")) as made:
            made.start_worker()
            yield made


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Ask again and again, for a minute."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"waited 60 s for {what}"
        time.sleep(0.01)


def raced(*labels: str) -> Scenario:
    """A scenario of these; what they are asked to do stands in each trial."""
    who = tuple(map(contenders.parse, labels))
    small = Workload(1, Observation(()), ThinkTime(), Model(), Batching(), Window())
    return Scenario("s", "t", "q", "", "", (), (Cell("all", {}, small),), who, 1, 1, 0.03)


def where(executor: LocalExecutor, label: str) -> object:
    """Ask the worker of the contender in which interpreter its children are."""
    task = Task("elsewhere:place", {}, 30.0)
    return executor.worker_of(contenders.parse(label)).do(task).value


def test_each_trial_is_run_in_its_contenders_interpreter(
    executor: LocalExecutor, spec: Specs
) -> None:
    """One scenario, two zygotes; the numbers come back from both."""
    assert where(executor, "slot") == "this one"
    assert where(executor, "threading[python=other]") == "other"
    for label in ("slot[python=other]", "slot", "floor[python=other]"):
        record = executor.run(spec(label))
        assert (record.status, record.contender, record.error) == ("ok", label, "")
        assert record.measurement is not None
        assert record.is_gil_enabled is interpreter.is_gil_enabled()


def test_a_contender_is_made_where_it_will_run(executor: LocalExecutor) -> None:
    """What it raises there is what is said."""
    asked = trials.workload()
    said = [
        executor.check(contenders.parse(f"elsewhere:transport{options}"), asked)
        for options in ("", "[python=other]")
    ]

    for text, options, place in zip(
        said, ("", "[python=other]"), ("this one", "other"), strict=True
    ):
        assert text == (
            f"contender 'elsewhere:transport{options}' cannot be made: OSError: asked for 1 in "
            f"{place} (elsewhere.py, line 18)"
        )


def test_policy_and_environment_are_made_in_every_interpreter(
    executor: LocalExecutor,
) -> None:
    """One that is fine here may be missing a package there."""
    asked = trials.workload(model=Model("custom", policy="elsewhere:policy"))
    problem = executor.check(None, asked)

    assert problem.startswith("in other: ")
    assert "OSError: no policy there" in problem
    assert executor.check(None, trials.workload()) == ""


def test_times_are_those_of_the_interpreter(executor: LocalExecutor, spec: Specs) -> None:
    """A calibration names it, also one that failed."""
    for label, python in (("slot", ""), ("threading[python=other]", "other")):
        found = executor.calibrate(spec(label))
        assert (found.status, found.python) == ("ok", python)
    wrong = spec("slot[python=other]", model=Model("custom", policy="elsewhere:policy"))
    failed = executor.calibrate(wrong)
    assert (failed.status, failed.python) == ("failed", "other")
    assert "no policy there" in failed.error


def test_a_worker_that_dies_takes_no_other_interpreters_with_it(
    executor: LocalExecutor,
) -> None:
    """Each is its own process; only the dead one is started anew."""
    ask = Task("elsewhere:zygote", {}, 30.0)
    mine, other = contenders.parse("slot"), contenders.parse("slot[python=other]")
    before = [executor.worker_of(who).do(ask).value for who in (mine, other)]
    kill = Task("elsewhere:kill_zygote", {}, 30.0)
    assert executor.worker_of(mine).do(kill).error == WORKER_DIED
    after = [executor.worker_of(who).do(ask).value for who in (mine, other)]

    assert after[0] != before[0]
    assert after[1] == before[1]


def test_a_killed_process_leaves_no_file_of_other_interpreters(tmp_path: Path) -> None:
    """Its worker there removes the links to our code, and ends with the task; in its life it does not."""
    kept, other = tmp_path / "kept", tmp_path / "other"
    kept.mkdir()
    other.symlink_to(sys.executable)
    script = (
        "import sys; from slotbench.measure.executor import Worker\n"
        "from slotbench.measure.zygote import Task\n"
        "worker = Worker([], python=sys.argv[1])\n"
        "worker.start_worker(); worker.start_worker()\n"
        "print(worker._process.pid, flush=True)\n"
        "worker.do(Task('subprocess:call', {'args': ['sleep', '300']}, 300.0))"
    )
    asking = subprocess.Popen(
        [sys.executable, "-c", script, other],
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(kept)},
    )
    assert asking.stdout is not None
    worker = int(asking.stdout.readline())
    children = Path(f"/proc/{worker}/task/{worker}/children")
    wait_until(children.read_text, "the task to start")
    assert len(list(kept.glob("slotbench-*/slotbench"))) == 1

    asking.kill()
    asking.wait()
    asking.stdout.close()
    wait_until(lambda: not list(kept.iterdir()), "the links to go")


def test_an_interpreter_that_nobody_races_in_is_not_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not even this one."""
    started: list[str] = []
    monkeypatch.setattr(Worker, "_launch", lambda self: started.append(self._python))
    monkeypatch.setattr(Worker, "_come_up", lambda _: None)
    link = shlex.quote(sys.executable)
    with LocalExecutor(raced(f'slot[python="{link}"]')) as made:
        made.start_worker()
    with LocalExecutor(raced("slot", f'slot[python="{link}"]')) as made:
        made.start_worker()

    assert started == [sys.executable, "", sys.executable]


def test_an_interpreter_that_cannot_run_trials_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of that name; one without torch that was not asked before."""
    with pytest.raises(ContenderError, match='there is no command "nowhere"'):
        LocalExecutor(raced("slot[python=nowhere]"))
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True
    )
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    (tmp_path / "empty").symlink_to(tmp_path / "bare" / "bin" / "python")
    with LocalExecutor(raced("slot", "slot[python=empty]")) as made:
        with pytest.raises(WorkerError) as caught:
            made.start_worker()
        assert [worker._process for worker in made._workers()] == [None, None]

    assert str(caught.value) == (
        "the worker process of empty did not start: it ended with exit code 1 while it imported "
        "slotbench.measure.preload, and printed ModuleNotFoundError: No module named 'torch'"
    )


@pytest.mark.skipif(
    not FREE_THREADED, reason="SLOTBENCH_FREE_THREADED names no free-threaded interpreter"
)
def test_a_free_threaded_interpreter_runs_without_a_gil(spec: Specs) -> None:
    """And with one where it is asked for, of which nothing is said; both beside this interpreter."""
    free, asked = FREE_THREADED, f"{FREE_THREADED} -X gil=1"
    labels = [
        contenders.make(name, {"python": python}).label
        for name in ("slot", "threading", "floor")
        for python in ("", free, asked)
    ]
    assert contenders.python_facts(free)["python_free_threaded_build"] is True
    with LocalExecutor(raced(*labels)) as made:
        made.start_worker()
        for label in labels:
            record = made.run(spec(label))
            assert (record.status, record.error) == ("ok", "")
            python = contenders.python_of(contenders.parse(label))
            is_on = interpreter.is_gil_enabled() if not python else python == asked
            assert record.is_gil_enabled is is_on
            assert not {"gil_back", "preempted"} & {one.rule for one in record.findings}
            assert not record.is_invalid
        times = {
            python: made.calibrate(spec(one))
            for one, python in zip(labels[:3], ("", free, asked), strict=True)
        }
    assert {python: one.is_gil_enabled for python, one in times.items()} == {
        "": interpreter.is_gil_enabled(),
        free: False,
        asked: True,
    }
