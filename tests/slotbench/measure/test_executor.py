"""Trials in processes of their own: what goes wrong in one stays in it and is recorded."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import transports
from slotbench import contenders
from slotbench.errors import WorkerError
from slotbench.measure import executor as executor_module
from slotbench.measure.executor import LocalExecutor, Worker
from slotbench.records import (
    Batching,
    Model,
    Scenario,
    ThinkTime,
    TrialSpec,
    Window,
    Workload,
)
from tests.slotbench.support.trials import invalid, run_honest

Specs = Callable[..., TrialSpec]
FAILS_TO_BUILD_LINE = (
    Path(__file__).parent.parent / "support" / "wrong_transports.py"
).read_text().partition('raise ValueError("no wire")')[0].count("\n") + 1


@pytest.mark.parametrize(
    "name", ["slot", "slot[preallocate]", "threading", "floor", "wrong_transports:honest"]
)
def test_a_right_transport_gives_valid_numbers(
    name: str, executor: LocalExecutor, spec: Specs
) -> None:
    """Numbers of the window are there, whole and consistent, and no rule speaks."""
    record = run_honest(executor, spec(name))

    assert (record.status, record.error, invalid(record)) == ("ok", "", set())
    measured = record.measurement
    assert measured is not None
    assert sum(measured.replies_per_slice) == measured.num_replies
    assert measured.num_cpus
    assert measured.num_submitted == measured.num_replied == measured.num_served
    assert 200 <= measured.num_replies <= measured.num_replied
    assert sum(measured.replies_per_actor) == measured.num_replies
    assert sum(count for _, count in measured.latency.buckets) == measured.num_replies
    assert sum(n * count for n, count in measured.batch_sizes) == measured.num_rows
    assert record.duration_s > measured.window_s + measured.warmup_s


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("wrong_transports:swapped", "wrong_reply"),
        ("wrong_transports:dropped", "lost_reply"),
        ("wrong_transports:doubled", "wrong_reply"),
        ("wrong_transports:served_twice", "counts"),
    ],
)
def test_a_wrong_transport_is_invalid(
    name: str, rule: str, executor: LocalExecutor, spec: Specs
) -> None:
    """One reply swapped, dropped or doubled ends INVALID: not in a number, not in a hang."""
    record = executor.run(spec(name))

    assert rule in invalid(record)
    assert record.is_invalid


def test_a_lost_reply_is_recorded_with_the_stacks(
    executor: LocalExecutor, spec: Specs
) -> None:
    """Where every thread waited is part of the record."""
    record = executor.run(spec("wrong_transports:dropped"))

    assert "actor-" in record.stacks
    assert "replies.get()" in record.stacks


@pytest.mark.parametrize(
    ("name", "error"),
    [
        (
            "wrong_transports:raising",
            "1 of 4 actors raised OSError: lost the wire",
        ),
        (
            "wrong_transports:breaks_server",
            "a thread of the server raised ValueError: drain broke",
        ),
        ("wrong_transports:dies", "killed by SIGSEGV"),
    ],
)
def test_a_trial_that_breaks_is_recorded_as_failed(
    name: str, error: str, executor: LocalExecutor, spec: Specs
) -> None:
    """There are no numbers, but a reason and the stacks; the next trial runs."""
    record = executor.run(spec(name))

    assert (record.status, record.measurement) == ("failed", None)
    assert error in record.error
    assert "wrong_transports.py" in record.stacks
    assert executor.run(spec("slot")).status == "ok"


def test_what_a_contender_starts_ends_with_its_trial(
    executor: LocalExecutor, spec: Specs
) -> None:
    """A process that a transport left behind does not disturb the next trial."""
    assert executor.run(spec("wrong_transports:leaves_children")).status == "ok"

    _wait_until(lambda: not _commands("sleep\x001000"), "the child to end")


def test_thinking_actors_have_lost_nothing(executor: LocalExecutor, spec: Specs) -> None:
    """A step far longer than the settling time is not a lost reply."""
    window = Window(warmup_s=0.01, measure_s=0.05, min_requests=1, max_measure_s=0.1)
    think = ThinkTime("constant", mean_ms=20_000.0)
    record = executor.run(spec("slot", think_time=think, window=window))

    assert invalid(record) == {"window"}


@pytest.mark.alone
def test_the_window_covers_several_round_trips(
    executor: LocalExecutor, spec: Specs
) -> None:
    """With many actors and a slow model it is prolonged until N = X·R holds (Little)."""
    window = Window(warmup_s=0.01, measure_s=0.02, min_requests=1, max_measure_s=20.0)
    model = Model(latency_ms=5.0)
    record = executor.run(
        spec("slot", num_slots=64, model=model, window=window, batching=Batching(1, 8))
    )

    measured = record.measurement
    assert invalid(record) == set()
    assert measured is not None
    assert measured.latency_mean_s is not None
    assert measured.think_mean_s is not None
    cycle_s = measured.latency_mean_s + measured.think_mean_s
    in_flight = cycle_s * measured.num_replies / measured.window_s
    assert in_flight == pytest.approx(64, rel=0.15)


@pytest.mark.parametrize(
    "name", ["torchrl.slot[collate=lazy_stack]", "slot@torchrl", "torchrl.threading"]
)
def test_torchrls_contenders_are_valid(
    name: str, executor: LocalExecutor, spec: Specs
) -> None:
    """They run in TorchRL's server, in the same driver, under the same checks."""
    pytest.importorskip("torchrl")
    record = run_honest(executor, spec(name))

    assert (record.status, record.error, invalid(record)) == ("ok", "", set())


def test_a_trial_that_hangs_is_killed_at_its_deadline(
    executor: LocalExecutor, spec: Specs
) -> None:
    """The record says so and shows where it hung."""
    record = executor.run(spec("wrong_transports:hangs", deadline_s=10.0))

    assert record.status == "failed"
    assert record.error.startswith("hung: not done after 10 s")
    assert "in hangs" in record.stacks


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("slot", ""),
        ("wrong_transports:honest", ""),
        (
            "wrong_transports:fails_to_build",
            "contender 'wrong_transports:fails_to_build' cannot be made: ValueError: no wire "
            f"(wrong_transports.py, line {FAILS_TO_BUILD_LINE})",
        ),
        (
            "wrong_transports:nosuch",
            "contender 'wrong_transports:nosuch' cannot be made: AttributeError: "
            "module 'wrong_transports' has no attribute 'nosuch'",
        ),
        (
            "wrong_transports:without_drain",
            "contender 'wrong_transports:without_drain' is no transport: it has no "
            "wait_for_work, drain, resolve, resolve_exception; see transports.Transport",
        ),
        (
            "wrong_transports:honest[depth=2]",
            "contender 'wrong_transports:honest[depth=2]' cannot be made: TypeError: "
            "honest() got an unexpected keyword argument 'depth'",
        ),
    ],
)
def test_a_contender_is_checked_before_the_run(
    name: str, problem: str, executor: LocalExecutor, workload: Callable[..., Workload]
) -> None:
    """What is wrong with a contender is one line."""
    assert executor.check(contenders.parse(name), workload()) == problem


@pytest.mark.usefixtures("cold_workers")
def test_a_dead_worker_costs_one_trial(
    scenario: Callable[..., Scenario], spec: Specs
) -> None:
    """The trial during which the worker died is failed; the next starts a fresh worker."""
    with LocalExecutor(scenario("slot")) as executor:
        executor.start_worker()
        assert executor._process is not None
        os.kill(executor._process.pid, signal.SIGKILL)

        lost, next_one = executor.run(spec("slot")), executor.run(spec("slot"))

    assert (lost.status, lost.error) == ("failed", "the worker process died or hung")
    assert next_one.status == "ok"


@pytest.mark.usefixtures("cold_workers")
@pytest.mark.parametrize(
    ("source", "ending"),
    [
        ("os._exit(3)", "it ended with exit code 3"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "it was killed by SIGKILL"),
    ],
)
def test_a_worker_that_ends_at_an_import_says_how(
    source: str, ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And in which module, and the last line it printed."""
    monkeypatch.chdir(tmp_path)
    code = f"import os, signal\nprint('one\\ntwo', flush=True)\n{source}\n"
    (tmp_path / "ends_at_import.py").write_text(code)

    with Worker(["?ends_at_import"]) as worker, pytest.raises(WorkerError) as caught:
        worker.start_worker()

    assert str(caught.value) == (
        f"the worker process did not start: {ending} while it imported ends_at_import, "
        "and printed two"
    )


@pytest.mark.usefixtures("cold_workers")
def test_a_worker_that_hangs_at_an_import_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When its time is up; the module is named all the while, and in the error."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hangs_at_import.py").write_text(
        "import time\nwhile True:\n    time.sleep(0.01)\n"
    )
    monkeypatch.setattr(executor_module, "_TELL_EVERY_S", 0.01)
    told: list[str] = []

    def hear(module: str) -> None:
        told.append(module)
        if told.count("hangs_at_import") == 3:
            monkeypatch.setattr(executor_module, "_START_TIMEOUT_S", 0.0)

    with (
        Worker(["string", "?hangs_at_import"], on_import=hear) as worker,
        pytest.raises(WorkerError) as caught,
    ):
        worker.start_worker()

    assert told[0] == "string"
    assert told[-3:] == ["hangs_at_import"] * 3
    assert str(caught.value) == (
        "the worker process did not start: it hung and was killed while it imported "
        "hangs_at_import, and printed nothing"
    )


def test_without_fork_every_trial_has_a_fresh_process(
    scenario: Callable[..., Scenario], spec: Specs
) -> None:
    """Where fork is not to be trusted, the same spec gives the same kind of record."""
    with LocalExecutor(scenario("slot"), use_fork=False) as executor:
        first, second = executor.run(spec("slot")), executor.run(spec("threading"))

    assert (first.status, invalid(first)) == ("ok", set())
    assert (second.status, invalid(second)) == ("ok", set())


def test_no_trial_outlives_the_run_that_asked_for_it(tmp_path: Path, spec: Specs) -> None:
    """When the asking process is killed in mid-trial, worker and trial end by themselves."""
    code = textwrap.dedent(
        """
        import os, pickle, sys, threading
        from slotbench.measure.executor import LocalExecutor
        scenario, spec = pickle.load(open(sys.argv[1], "rb"))
        executor = LocalExecutor(scenario)
        executor.start_worker()
        print(executor._process.pid, flush=True)
        executor.run(spec)
        """
    )
    import pickle

    from slotbench.records import Cell

    hanging = spec("wrong_transports:hangs")
    scenario = Scenario(
        "s", "t", "q", "", "", (), (Cell("all", {}, hanging.workload),), (hanging.contender,),
        1, 1, 0.03,
    )  # fmt: skip
    file = tmp_path / "task.pickle"
    file.write_bytes(pickle.dumps((scenario, replace(hanging, deadline_s=300.0))))
    asking = subprocess.Popen([sys.executable, "-c", code, file], stdout=subprocess.PIPE)
    assert asking.stdout is not None
    worker = int(asking.stdout.readline())
    _wait_until(lambda: _children(worker), "the trial to start")
    (trial,) = _children(worker)

    asking.kill()
    asking.wait()
    asking.stdout.close()

    _wait_until(lambda: not _is_running(worker) and not _is_running(trial), "them to end")


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def _commands(text: str) -> list[str]:
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(file.read_text())
        except OSError:
            continue
    return [command for command in found if text in command]


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def _wait_until(condition: Callable[[], object], what: str) -> None:
    import time

    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"waited 60 s for {what}"
        time.sleep(0.01)


VERSION = """
import wrong_transports
from two_states_helper import NAME
def factory(num_slots):
    if NAME == "refuses":
        raise ValueError("I come from " + __file__.rsplit("/", 2)[1])
    return wrong_transports.honest(num_slots)
"""


def test_two_checkouts_race_in_one_run(
    tmp_path: Path, scenario: Callable[..., Scenario], spec: Specs
) -> None:
    """Each trial imports its own state of the package, and of the modules beside it."""
    for name in ("works", "refuses"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "two_states.py").write_text(VERSION)
        (tmp_path / name / "two_states_helper.py").write_text(f"NAME = {name!r}")
    works = f"two_states:factory[from={tmp_path}/works]"
    refuses = f"two_states:factory[from={tmp_path}/refuses]"
    with LocalExecutor(scenario(works, refuses)) as executor:
        for _ in range(2):
            first, second = executor.run(spec(works)), executor.run(spec(refuses))
            assert (first.status, invalid(first)) == ("ok", set())
            assert second.status == "failed"
            assert "I come from refuses" in second.error


def test_our_own_transports_race_in_two_states(
    tmp_path: Path, scenario: Callable[..., Scenario], spec: Specs
) -> None:
    """Transport and reference server both come from the checkout; the others' stay as they are."""
    checkout = tmp_path / "base"
    shutil.copytree(
        Path(transports.__file__).parent,
        checkout / "transports",
        ignore=shutil.ignore_patterns("__pycache__", "conformance"),
    )
    server = checkout / "transports" / "_server.py"
    text = server.read_text()
    assert "    def start(self)" in text
    server.write_text(
        text.replace("    def start(self)", "    def start(self, changed=1 / 0)")
    )
    based = f"slot[from={checkout}]"
    with LocalExecutor(scenario("slot", based)) as executor:
        assert executor.run(spec("slot")).status == "ok"
        changed = executor.run(spec(based))
        assert (changed.status, "ZeroDivisionError" in changed.error) == ("failed", True)
        assert executor.run(spec("slot")).status == "ok"


def test_a_folder_without_the_package_says_so(
    tmp_path: Path, scenario: Callable[..., Scenario], spec: Specs
) -> None:
    """Never the installed one in its place."""
    (tmp_path / "wrong_transports_are_elsewhere").mkdir()
    name = f"wrong_transports:honest[from={tmp_path}]"
    with LocalExecutor(scenario(name)) as executor:
        record = executor.run(spec(name))
    assert record.status == "failed"
    assert f"{tmp_path} holds no package 'wrong_transports'" in record.error
