"""Which guarantees a contender keeps: each check of `transports.conformance` in a child.

`catalogue`, `admit` and `run_check` are tasks: they run in a child of the worker. All else
runs in the caller's process, which loads no torch.
"""

import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from slotbench.contenders import PYTHON, did_you_mean, python_of
from slotbench.errors import ContenderError, SlotbenchError, WorkerError
from slotbench.measure.executor import Worker, contender_modules
from slotbench.measure.runner import Progress
from slotbench.measure.zygote import Outcome, Task
from slotbench.records import (
    Batching,
    CheckFinding,
    CheckPlan,
    Contender,
)

if TYPE_CHECKING:
    from slotbench.measure.layouts import Layouts
    from transports.conformance import SystemFactory

DEADLINE_S: Final = 30.0
"""After which a check is killed. Its own waits are bounded by a few seconds each."""

_FIXED_LEAVES: Final = frozenset({"torchrl.process_slot", "torchrl.shared_memory"})
"""Contenders made for certain leaves, whose replies hold the model's outputs alone."""

_OF_OTHER_LEAVES: Final = frozenset(
    {
        "nested-leaves-arrive",
        "nothing-is-cast",
        "outputs-keep-their-dtype",
        "result-survives-views-of-the-input",
    }
)
"""Checks whose requests or replies have other leaves, or shapes, than the checks' usual ones."""

_FILE: Final = re.compile(r'(?<=File ")[^"]+')


def worker(
    contenders: Sequence[Contender], on_import: Callable[[str], None] = lambda _: None
) -> Worker:
    """Give a worker that imports what checks of these contenders need; to be closed.

    Args:
        contenders: what will be checked.
        on_import: see `Worker`.
    """
    modules = ["slotbench.measure.preload", "transports.conformance"]
    return Worker(modules + contender_modules(contenders), on_import=on_import)


def plan(by: Worker, names: Sequence[str] = ()) -> tuple[dict[int, str], list[CheckPlan]]:
    """Choose the checks to make, grouped by guarantee.

    Args:
        by: the worker that knows them.
        names: of the checks; none means all.

    Returns:
        The sentence of each guarantee that has a chosen check, and the chosen checks.

    Raises:
        SlotbenchError: there is no check of that name; the nearest are offered.
        WorkerError: the checks cannot be loaded.
    """
    outcome = by.do(Task(f"{__name__}:catalogue", {}, DEADLINE_S))
    if outcome.error:
        raise WorkerError(f"the checks cannot be loaded: {outcome.error}")
    sentences, checks = outcome.value
    known = [check.name for check in checks]
    for name in names:
        if name not in known:
            near = did_you_mean(name, known) or "'slotbench check --list' shows all"
            raise SlotbenchError(f"unknown check {name!r}; {near}")
    chosen = [check for check in checks if not names or check.name in names]
    chosen.sort(key=lambda check: check.guarantee)
    return {check.guarantee: sentences[check.guarantee] for check in chosen}, chosen


def check(
    by: Worker,
    contenders: Sequence[Contender],
    checks: Sequence[CheckPlan],
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Iterator[tuple[str, CheckFinding]]:
    """Make every check on every contender, each in a process of its own.

    A check that hangs is killed after `DEADLINE_S`; that, or a process that dies, is a fail.

    Yields:
        The contender's label and the finding, as soon as it is made: contender by contender.

    Raises:
        ContenderError: a contender cannot be made; no check was made. Its traceback, or its
            stacks if it hung, are a note of the error (``add_note``).
        WorkerError: no worker process comes up.
    """
    for contender in contenders:
        check_checkable(contender)
        _admit(by, contender)
    num_done, num_all = 0, len(contenders) * len(checks)
    for contender in contenders:
        for one in checks:
            on_progress(Progress(num_done, num_all, f"{contender.label}: {one.name}"))
            yield contender.label, _find(by, contender, one)
            num_done += 1
    on_progress(Progress(num_done, num_all, "done"))


def check_checkable(contender: Contender) -> None:
    """Refuse what no check is made for, whatever it does; starts nothing.

    Raises:
        ContenderError: it runs in another interpreter, or has no clients.
    """
    if python_of(contender):
        raise ContenderError(
            f"contender {contender.label!r}: checks run in slotbench's own interpreter; leave out "
            f"{PYTHON}, and start slotbench with that one"
        )
    if contender.server == "collector":
        raise ContenderError(
            f"contender {contender.label!r}: TorchRL's collector has no clients that could be "
            "checked; check its transport alone, such as slot@torchrl"
        )


def _admit(by: Worker, contender: Contender) -> None:
    """Raise what keeps the contender from being made, if anything does."""
    outcome = by.do(Task(f"{__name__}:admit", {"contender": contender}, DEADLINE_S))
    if isinstance(outcome.value, Outcome):
        outcome = outcome.value
    problem = outcome.error
    if not problem:
        return
    if contender.label not in problem:
        problem = f"contender {contender.label!r} cannot be made: {problem}"
    error = ContenderError(problem)
    if outcome.stacks:
        error.add_note(f"In the process that made it:\n{outcome.stacks}")
    raise error


def _find(by: Worker, contender: Contender, one: CheckPlan) -> CheckFinding:
    arguments = {"contender": contender, "name": one.name}
    began = time.perf_counter()
    outcome = by.do(Task(f"{__name__}:run_check", arguments, DEADLINE_S))
    return replace(_finding(one, outcome), duration_s=round(time.perf_counter() - began, 3))


def _finding(one: CheckPlan, outcome: Outcome) -> CheckFinding:
    if isinstance(outcome.value, CheckFinding):
        return outcome.value
    return CheckFinding(
        check=one.name,
        guarantee=one.guarantee,
        outcome="fail",
        reason=" ".join(outcome.error.split()),
        duration_s=0.0,
        stacks=_FILE.sub(_without_folder, outcome.stacks),
    )


def _without_folder(match: re.Match[str]) -> str:
    """Name a file as it is imported: where it is installed is nobody's business."""
    file = Path(match[0])
    places = [place for place in sys.path if place and file.is_relative_to(place)]
    return str(file.relative_to(max(places, key=len))) if places else file.name


def catalogue() -> tuple[dict[int, str], list[CheckPlan]]:
    """Describe all guarantees and checks."""
    from transports import conformance

    plans = [CheckPlan(c.name, c.guarantee, c.promise) for c in conformance.CHECKS]
    return dict(conformance.GUARANTEES), plans


def admit(contender: Contender) -> Outcome:
    """Make the contender once; return what went wrong and its traceback, or neither."""
    from slotbench.measure import systems
    from slotbench.measure.served import ServedModel

    model = ServedModel(lambda batch: batch, lambda _: None, max_batches=1)
    try:
        systems.build(contender, 1, Batching(), model, _layouts)
    except ContenderError as error:
        cause = "".join(traceback.format_exception(error.__cause__ or error))
        return Outcome(error=str(error), stacks=cause)
    return Outcome()


def run_check(contender: Contender, name: str) -> CheckFinding:
    """Make one check on the contender, in this process."""
    from transports import conformance

    if contender.name in _FIXED_LEAVES and name in _OF_OTHER_LEAVES:
        (check,) = (one for one in conformance.CHECKS if one.name == name)
        reason = "it carries the leaves that it was made for, and the check has others"
        return CheckFinding(check.name, check.guarantee, "n/a", reason, 0.0)
    if contender.name == "torchrl.ray":
        from slotbench.measure import factories

        # Here, and not in a check's thread, with which it would end.
        factories.start_ray()
    found = conformance.run_check(name, _factory(contender))
    return CheckFinding(found.check, found.guarantee, found.outcome, found.reason, 0.0)


def _factory(contender: Contender) -> "SystemFactory":
    """Make systems of the contender; it sees every argument as the check gave it."""
    from slotbench.measure import systems
    from slotbench.measure.whole_replies import WholeReplies, with_all_outputs

    def create(
        model: Callable[[Any], Any],
        *,
        num_clients: int,
        max_batch_size: int = 64,
        min_batch_size: int = 1,
        timeout_s: float = 0.01,
    ) -> systems.TransportSystem:
        batching = Batching(min_batch_size, max_batch_size, timeout_s * 1e3)
        if contender.name not in _FIXED_LEAVES:
            return systems.build_as_given(contender, num_clients, batching, model, _layouts)
        sample = _layouts()
        made = systems.build_as_given(
            contender,
            num_clients,
            batching,
            with_all_outputs(model, sample.reply),
            lambda: sample,
        )
        return WholeReplies(made.transport, made.server, made.collate)

    return create


def _layouts() -> "Layouts":
    """What requests and replies of the checks look like, but for those that are wrong on purpose."""
    from slotbench.measure import layouts
    from transports.conformance import act, request

    return layouts.of_model(request(), act)
