"""How checks are run: outcomes, reasons, bounds, and that nothing is left behind."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import transports
from transports.conformance import (
    CHECKS,
    GUARANTEES,
    Check,
    CheckFailedError,
    NotApplicableError,
    _actors,
    run_check,
)
from transports.conformance._actors import Task, WatchedModel, request, serve
from transports.conformance.plain import PlainClient, PlainSystem


def finding_of(run):
    """Run a check made of a function."""
    return run_check(Check("made-up", 3, "A promise.", run), PlainSystem)


def raising(error):
    """Return a check that ends in the error."""

    def run(factory):
        raise error

    return run


@pytest.fixture
def impatient(monkeypatch):
    """Wait for 0.2 s where a check would wait for 3."""
    monkeypatch.setattr(_actors, "PATIENCE_S", 0.2)


def test_checks_are_named_and_promise_something():
    """Names are unique and kebab case, promises are sentences, each guarantee has checks."""
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    for check in CHECKS:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", check.name), check.name
        assert re.fullmatch(r"[A-Z0-9].*\.", check.promise), check.promise
    assert {check.guarantee for check in CHECKS} == set(GUARANTEES) == set(range(1, 8))
    assert [check.guarantee for check in CHECKS] == sorted(c.guarantee for c in CHECKS)


def test_importing_the_checks_loads_no_test_framework():
    """Nor the harness, nor TorchRL."""
    code = "import transports.conformance, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        cwd=Path(transports.__file__).parents[1],
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "torch" in loaded
    assert loaded.isdisjoint({"pytest", "_pytest", "slotbench", "torchrl", "typer"})


def test_the_outcome_is_what_the_check_raised():
    """Nothing is a pass, the two errors of checks are told, another is the system's failure."""
    assert finding_of(lambda factory: None).outcome == "pass"
    assert finding_of(lambda factory: None).reason == ""
    failed = finding_of(raising(CheckFailedError("expected 1,\n got 2")))
    assert (failed.outcome, failed.reason) == ("fail", "expected 1, got 2")
    skipped = finding_of(raising(NotApplicableError("no close()")))
    assert (skipped.outcome, skipped.reason) == ("n/a", "no close()")
    broken = finding_of(raising(KeyError("obs\nleaf")))
    assert (broken.check, broken.guarantee, broken.outcome) == ("made-up", 3, "fail")
    assert broken.reason == r"KeyError: 'obs\nleaf'"


def test_a_check_is_found_by_its_name():
    """A wrong name is an error that suggests the nearest."""
    assert run_check("refuses-bad-timeout", PlainSystem).outcome == "pass"
    with pytest.raises(ValueError, match="did you mean 'refuses-bad-timeout'"):
        run_check("refuses-bad-timeouts", PlainSystem)
    with pytest.raises(ValueError, match=r"see transports\.conformance\.CHECKS"):
        run_check("xyz", PlainSystem)


def test_how_a_thread_of_the_system_died_is_told():
    """In the reason, and not to the hook that was there before, which is put back."""
    before = threading.excepthook

    def run(factory):
        thread = threading.Thread(target=lambda: 1 / 0, name="its-server")
        thread.start()
        thread.join()
        raise CheckFailedError("no answer")

    told = finding_of(run).reason
    assert (
        told == "no answer; thread 'its-server' died of ZeroDivisionError: division by zero"
    )
    assert threading.excepthook is before


def test_of_many_deaths_two_are_told():
    """And each only once: a reason stays one readable line."""

    def run(factory):
        for fault in (KeyError("a"), KeyError("a"), KeyError("b"), KeyError("c")):
            thread = threading.Thread(
                target=raising(fault), args=(None,), name="its-server"
            )
            thread.start()
            thread.join()
        raise CheckFailedError("no answer")

    told = finding_of(run).reason
    died = "thread 'its-server' died of KeyError:"
    assert told == f"no answer; {died} 'a'; {died} 'b'"


@pytest.mark.parametrize("check", ["refuses-bad-timeout", "dropped-reply"])
def test_a_constructor_that_hangs_or_exits_is_a_failure(check, monkeypatch):
    """The check neither hangs nor ends with it."""
    monkeypatch.setattr(_actors, "START_PATIENCE_S", 0.2)
    may_end = threading.Event()

    def hang(model, **options):
        may_end.wait()

    def leave(model, **options):
        raise SystemExit("no systems today")

    finding = run_check(check, hang)
    may_end.set()
    assert re.match(
        r"construction .*: no answer and no error within 0\.2 s", finding.reason
    )
    finding = run_check(check, leave)
    assert finding.outcome == "fail"
    assert finding.reason.endswith("SystemExit: no systems today")


def test_a_call_that_hangs_is_a_failure_that_names_it(impatient):
    """The wait is bounded, whatever is waited for: the call, its reply or its error."""
    may_end = threading.Event()
    task = Task("call of actor 3", may_end.wait)
    for wait in (task.value, task.reply, task.error):
        with pytest.raises(
            CheckFailedError, match=r"actor 3: no answer and no error within 0\.2 s"
        ):
            wait()
    may_end.set()
    assert task.value() is True


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_what_ends_a_thread_does_not_end_the_check(error):
    """An error that is no Exception fails the check instead of passing through it."""

    class Deadly(PlainSystem):
        def client(self):
            raise error

    finding = run_check("call-after-shutdown", Deadly)
    assert finding.outcome == "fail"
    assert type(error).__name__ in finding.reason


def test_a_shutdown_that_hangs_is_a_failure(impatient):
    """Also where the check itself has passed."""
    may_end = threading.Event()

    class Undying(PlainSystem):
        def shutdown(self, timeout_s):
            super().shutdown(timeout_s)
            may_end.wait()

    def run(factory):
        with serve(Undying, num_clients=1):
            pass

    assert finding_of(run).reason.startswith("shutdown(): no answer and no error within")
    may_end.set()


def test_an_actor_that_is_left_waiting_is_a_failure(impatient):
    """A check that passed leaves nobody behind, or it did not pass."""
    may_end = threading.Event()

    class Deaf(PlainClient):
        def __call__(self, td):
            may_end.wait()

    class DeafSystem(PlainSystem):
        client_class = Deaf

    def run(factory):
        with serve(DeafSystem, num_clients=1) as served:
            served.call(served.client(), request(), "call of nobody")

    assert finding_of(run).reason.startswith(
        "call of nobody: after shutdown still no answer"
    )
    may_end.set()


def test_a_system_stops_when_its_check_fails():
    """Its thread ends, though the model was held when the check failed."""
    systems = []

    def factory(model, **options):
        systems.append(PlainSystem(model, **options))
        return systems[-1]

    def run(_):
        model = WatchedModel()
        with serve(factory, model, num_clients=1) as served:
            model.hold()
            served.call(served.client(), request())
            model.wait_for_batches(1)
            raise CheckFailedError("enough")

    assert finding_of(run).reason == "enough"
    assert not systems[0].thread.is_alive()


def test_the_switch_interval_is_put_back():
    """Whatever the outcome of a check that changes it."""
    before = sys.getswitchinterval()

    class Refusing(PlainSystem):
        def client(self):
            raise RuntimeError("no clients today")

    finding = run_check("replies-match-requests", Refusing)
    assert finding.reason == "RuntimeError: no clients today"
    assert sys.getswitchinterval() == before


class CallableOnly:
    """A client without submit or close."""

    def __init__(self, client):
        self._client = client

    def __call__(self, td):
        return self._client(td)


class CallableSystem(PlainSystem):
    def client(self):
        return CallableOnly(super().client())


NEEDS_MORE = {
    "call-after-close",
    "call-after-shutdown-with-timeout",
    "call-before-start-with-timeout",
    "cancelled-reply",
    "cancelled-reply-in-the-model",
    "close-twice",
    "close-with-a-waiting-request",
    "dead-actor",
    "dropped-reply",
    "fairness",
    "fairness-with-a-pausing-actor",
    "late-reply-after-close",
    "late-reply-after-drop",
    "server-thread-dies-while-an-actor-waits",
    "slot-reused-after-close",
    "slot-reused-after-with",
    "timed-out-wait",
}


@pytest.mark.parametrize(
    "check",
    [c for c in CHECKS if c.guarantee not in {1, 2, 7}],
    ids=lambda check: check.name,
)
def test_a_client_may_be_no_more_than_callable(check):
    """Checks that need more do not apply, the others pass."""
    finding = run_check(check, CallableSystem)
    assert finding.outcome == ("n/a" if check.name in NEEDS_MORE else "pass"), (
        finding.reason
    )
