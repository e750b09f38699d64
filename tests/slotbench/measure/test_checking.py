"""Checks of contenders in processes of their own: what breaks one check breaks no other."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from slotbench import contenders
from slotbench.errors import ContenderError, SlotbenchError
from slotbench.measure import checking
from slotbench.measure.executor import Worker
from slotbench.measure.runner import Progress
from slotbench.records import CheckFinding, CheckPlan

SUPPORT = str(Path(__file__).parent.parent / "support")
NAME = "requests-served-once"


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    """A worker that serves all tests of a module: starting one takes seconds."""
    patch = pytest.MonkeyPatch()
    patch.setenv("PYTHONPATH", SUPPORT, prepend=os.pathsep)
    loaded = [contenders.parse("wrong_transports:honest")]
    with checking.worker([*loaded, contenders.parse("deadly_transports:hangs")]) as made:
        yield made
    patch.undo()


@pytest.fixture(scope="module")
def checks(worker: Worker) -> list[CheckPlan]:
    """One check that needs several clients which are callable and nothing more."""
    return checking.plan(worker, [NAME])[1]


def find(worker: Worker, checks: list[CheckPlan], *labels: str) -> list[CheckFinding]:
    """Check contenders by one check."""
    chosen = [contenders.parse(label) for label in labels]
    found = list(checking.check(worker, chosen, checks))
    assert [label for label, _ in found] == [x for x in labels for _ in checks]
    return [finding for _, finding in found]


def test_all_checks_are_planned_group_by_group(worker: Worker) -> None:
    """Names are unique, guarantees in order, each with its sentence, and none is left over."""
    guarantees, plans = checking.plan(worker)

    assert len({plan.name for plan in plans}) == len(plans) > 1
    assert [plan.guarantee for plan in plans] == sorted(plan.guarantee for plan in plans)
    assert list(guarantees) == sorted({plan.guarantee for plan in plans})
    assert all(guarantees.values())
    assert all(plan.promise for plan in plans)


def test_named_checks_are_planned_alone(worker: Worker) -> None:
    """With the sentence of their guarantee and no other."""
    guarantees, plans = checking.plan(worker, [NAME])

    assert [plan.name for plan in plans] == [NAME]
    assert list(guarantees) == [1]


def test_an_unknown_check_is_an_error_that_helps(worker: Worker) -> None:
    """The nearest name is offered; where none is near, the list of all."""
    with pytest.raises(
        SlotbenchError, match=f"unknown check '{NAME}s'; did you mean {NAME}?"
    ):
        checking.plan(worker, [f"{NAME}s"])
    with pytest.raises(SlotbenchError, match="'slotbench check --list' shows all"):
        checking.plan(worker, ["x"])


def test_right_ones_pass_and_a_wrong_one_fails(
    worker: Worker, checks: list[CheckPlan]
) -> None:
    """A pass has no reason, a fail has one in a line; both say how long they took."""
    ours, theirs, wrong = find(
        worker, checks, "slot", "wrong_transports:honest", "wrong_transports:swapped"
    )

    assert [(f.outcome, f.reason) for f in (ours, theirs)] == [("pass", "")] * 2
    assert wrong.outcome == "fail"
    assert wrong.reason.startswith("expected ")
    assert "\n" not in wrong.reason
    for finding in (ours, theirs, wrong):
        assert (finding.check, finding.guarantee, finding.stacks) == (NAME, 1, "")
        assert finding.duration_s > 0


@pytest.mark.parametrize("label", ["torchrl.slot", "slot@torchrl"])
def test_torchrls_server_is_checked_too(
    label: str, worker: Worker, checks: list[CheckPlan]
) -> None:
    """Its transports and ours pass what they keep."""
    pytest.importorskip("torchrl")
    (finding,) = find(worker, checks, label)

    assert (finding.outcome, finding.reason) == ("pass", "")


@pytest.mark.parametrize(
    ("label", "outcomes"),
    [
        ("slot", {"refuses-bad-num-clients": "pass", "refuses-min-above-max": "pass"}),
        (
            "torchrl.slot",
            {"refuses-bad-num-clients": "fail", "refuses-min-above-max": "fail"},
        ),
        (
            "torchrl.threading",
            {"refuses-bad-num-clients": "n/a", "refuses-min-above-max": "fail"},
        ),
    ],
)
def test_senseless_arguments_reach_the_contender(
    label: str, outcomes: dict[str, str], worker: Worker
) -> None:
    """Who refuses them passes; a queue that has no size cannot be asked."""
    if label.startswith("torchrl"):
        pytest.importorskip("torchrl")
    plans = checking.plan(worker, list(outcomes))[1]

    assert {f.check: f.outcome for f in find(worker, plans, label)} == outcomes


def test_a_check_that_hangs_is_killed(
    worker: Worker, checks: list[CheckPlan], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fails with the stacks, which name files but no folder of this machine; others go on."""
    monkeypatch.setattr(checking, "DEADLINE_S", 5.0)
    monkeypatch.syspath_prepend(SUPPORT)
    hung, after = find(worker, checks, "deadly_transports:hangs", "wrong_transports:honest")

    assert (hung.outcome, hung.reason) == ("fail", "hung: not done after 5 s, killed")
    assert 'File "deadly_transports.py"' in hung.stacks
    assert 'File "transports/conformance/_api.py"' in hung.stacks
    assert 'File "/' not in hung.stacks
    assert (after.outcome, after.reason) == ("pass", "")


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        (
            "deadly_transports:exits_at_once",
            "the process ended with exit code 7 and no result",
        ),
        ("deadly_transports:crashes", "the process was killed by SIGSEGV"),
        ("deadly_transports:exits", "SystemExit: 3"),
    ],
)
def test_a_check_whose_process_dies_is_a_fail(
    label: str, reason: str, worker: Worker, checks: list[CheckPlan]
) -> None:
    """It says how it died, and the next check is made."""
    died, after = find(worker, checks, label, "wrong_transports:honest")

    assert died.outcome == "fail"
    assert reason in died.reason
    assert after.outcome == "pass"


@pytest.mark.parametrize(
    ("label", "problem"),
    [
        (
            "wrong_transports:fails_to_build",
            "contender 'wrong_transports:fails_to_build' cannot be made: ValueError: no wire "
            r"\(wrong_transports\.py, line \d+\)",
        ),
        ("wrong_transports:without_drain", "is no transport: it has no wait_for_work"),
        (
            "deadly_transports:never_made",
            "cannot be made: hung: not done after 5 s, killed",
        ),
    ],
)
def test_a_contender_that_cannot_be_made_is_no_finding(
    label: str,
    problem: str,
    worker: Worker,
    checks: list[CheckPlan],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is the user's error, told before any check of any contender is made."""
    monkeypatch.setattr(checking, "DEADLINE_S", 5.0)
    told: list[Progress] = []
    pair = [contenders.parse("wrong_transports:honest"), contenders.parse(label)]

    with pytest.raises(ContenderError, match=problem):
        next(checking.check(worker, pair, checks, told.append))

    assert told == []


@pytest.mark.parametrize(
    ("label", "frame"),
    [
        ("wrong_transports:fails_to_build", "in fails_to_build"),
        ("deadly_transports:never_made", "in never_made"),
    ],
)
def test_where_a_contender_could_not_be_made_is_a_note(
    label: str,
    frame: str,
    worker: Worker,
    checks: list[CheckPlan],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The traceback of what it raised, or the stacks of one that hung: for who debugs it."""
    monkeypatch.setattr(checking, "DEADLINE_S", 5.0)
    with pytest.raises(ContenderError) as caught:
        next(checking.check(worker, [contenders.parse(label)], checks))

    (note,) = caught.value.__notes__
    assert frame in note
    assert frame not in str(caught.value)


def test_progress_counts_every_check(worker: Worker, checks: list[CheckPlan]) -> None:
    """Told before each check, and at the end; a finding is there before the next check is made."""
    told: list[Progress] = []
    pair = [contenders.parse("slot"), contenders.parse("threading")]
    found = checking.check(worker, pair, checks, told.append)

    next(found)
    assert len(told) == 1
    assert len(list(found)) == 1
    assert [(p.num_done, p.num_trials, p.doing) for p in told] == [
        (0, 2, f"slot: {NAME}"),
        (1, 2, f"threading: {NAME}"),
        (2, 2, "done"),
    ]
