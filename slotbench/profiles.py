"""From a scenario to a recorded profile: probing and recording, put together. Prints nothing."""

import contextlib
import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from slotbench.contenders import actors_of
from slotbench.errors import ContenderError, RecordError, SlotbenchError
from slotbench.measure import budget, runner
from slotbench.measure.executor import LocalExecutor
from slotbench.measure.outcomes import failed
from slotbench.measure.runner import Progress
from slotbench.measure.zygote import Outcome, Task
from slotbench.profiling import plan, timeline, tools
from slotbench.records import (
    PASSES,
    PROFILE_SCHEMA_VERSION,
    PassName,
    ProfileRecord,
    ProfileTrial,
    Scenario,
    Skipped,
    ToolFinding,
    TrialSpec,
)
from slotbench.store import (
    PROFILE_ENDING,
    ProfileFolder,
    check_writable,
    environment,
    new_run_id,
)
from slotbench.store.output import write_file

ROUNDS: Final = 3
"""Of every pass, where nobody asks for another number: the least that gives an interval that is
of use."""

TOOL_S: Final = 5.0
TOOL_PER_SLOT_S: Final = 0.05
"""What a tool takes of one contender in one cell, roughly: its window, and writing its files. py-spy
looks at every thread in turn."""

_TOOL_DEADLINE_S: Final = 120.0
"""Beyond its trial's: memray's and py-spy's pages take long to write where there was much."""

_STARTING: Final = "starting a worker: importing torch, tensordict, …"


def estimate_s(
    scenario: Scenario, rounds: int = ROUNDS, tool_names: Sequence[str] = ()
) -> float:
    """Estimate how long a profile takes."""
    a_tool_s = sum(
        TOOL_S + TOOL_PER_SLOT_S * cell.workload.num_slots for cell in scenario.cells
    )
    tools_s = len(tool_names) * len(scenario.contenders) * a_tool_s
    return plan.estimate_s(scenario, rounds) + tools_s


def num_trials(scenario: Scenario, rounds: int) -> int:
    """How many trials a profile has."""
    return rounds * len(PASSES) * len(scenario.cells) * len(scenario.contenders)


def profile_scenario(
    scenario: Scenario,
    executor: LocalExecutor,
    results_dir: Path,
    *,
    rounds: int = ROUNDS,
    tool_names: Sequence[str] = (),
    between: tuple[str, str] | None = None,
    skipped: Sequence[Skipped] = (),
    command: Sequence[str] = (),
    on_progress: Callable[[Progress], None] = lambda _: None,
    on_start: Callable[[Path], None] = lambda _: None,
) -> Path:
    """Profile and record a scenario.

    Every trial is on disk before the next begins; Ctrl-C leaves what was recorded.

    Args:
        scenario: what to profile.
        executor: closed by the caller.
        results_dir: the profile's folder is made in it.
        rounds: of every pass of every contender in every cell.
        tool_names: of `slotbench.profiling.tools`; one that is missing is noted, and left out.
        between: see `ProfileRecord`.
        skipped: optional contenders that were left out before.
        command: the command line, for the record.
        on_progress: told what the profile is at.
        on_start: told the profile's folder before the first trial.

    Returns:
        The profile's folder.

    Raises:
        SlotbenchError: there is no such tool, or no round.
        ContenderError, ScenarioError: a contender or environment cannot be made; nothing
            was recorded.
        RecordError: the results folder cannot be written.
        WorkerError: no worker process comes up.
    """
    for name in tool_names:
        tools.get(name)
    if rounds < 1:
        raise SlotbenchError(f"a profile has at least one round, and not {rounds}")
    for contender in scenario.contenders:
        if actors_of(contender) != "threads":
            raise ContenderError(
                f"contender {contender.label!r}: its actors are no threads of ours, and a profile "
                "reaches no others; name others with --contender"
            )
    check_writable(results_dir)
    on_progress(Progress(0, 0, _STARTING))
    began = time.perf_counter()
    executor.start_worker()
    scenario, more_skipped = runner.admit(scenario, executor)
    now = datetime.now(UTC)
    record = ProfileRecord(
        schema_version=PROFILE_SCHEMA_VERSION,
        profile_id=new_run_id(f"{scenario.name}{PROFILE_ENDING}", now),
        created_at=now.isoformat(timespec="seconds"),
        status="running",
        scenario=scenario,
        scenario_sha256=hashlib.sha256(scenario.text.encode()).hexdigest(),
        skipped=(*skipped, *more_skipped),
        rounds=rounds,
        seed=scenario.seed,
        num_trials=num_trials(scenario, rounds),
        environment=environment.collect(scenario.contenders),
        command=tuple(command),
        between=between,
        asked_tools=tuple(tool_names),
    )
    with ProfileFolder.create(results_dir, record) as folder:
        on_start(folder.path)
        sitting = _Sitting(record, executor, folder, on_progress)
        try:
            sitting.measure()
            sitting.use(tool_names)
        except BaseException:
            # A full disk is said once, by what met it.
            with contextlib.suppress(RecordError):
                folder.replace_profile(replace(sitting.record, status="interrupted"))
            raise
        total_s = time.perf_counter() - began
        folder.replace_profile(replace(sitting.record, status="complete", total_s=total_s))
    return folder.path


@dataclass(slots=True)
class _Sitting:
    """A profile while it is made."""

    record: ProfileRecord
    executor: LocalExecutor
    folder: ProfileFolder
    on_progress: Callable[[Progress], None]
    num_done: int = 0
    samples: dict[tuple[str, str], Any] = field(default_factory=dict)

    def measure(self) -> None:
        """Make every pass, and write the timelines of the first round."""
        for index in range(self.record.rounds):
            if index > 0:
                self._tell(f"round {index + 1}: starting a fresh worker")
                self.executor.start_worker()
            for name, spec in plan.round_of(self.record.scenario, self.record.seed, index):
                self._tell(
                    f"round {index + 1}, {spec.cell}: {spec.contender.label}, {name}"
                )
                self.folder.append(self._pass(name, spec))
                self.num_done += 1
            if index == 0:
                self._write_timelines()

    def use(self, tool_names: Sequence[str]) -> None:
        """Run the optional profilers, each on every contender in every cell."""
        for name in tool_names:
            problem = tools.get(name).missing()
            if problem:
                self._note(ToolFinding(name, "", "", (), problem))
                self.num_done += self._num_places
                continue
            for cell_index, cell in enumerate(self.record.scenario.cells):
                for who_index, who in enumerate(self.record.scenario.contenders):
                    self._tell(f"{name}, {cell.name}: {who.label}")
                    stem = f"c{cell_index + 1}-{who_index + 1}-{_file_name(who.label)}"
                    spec = TrialSpec(
                        trial_id=f"{name}-c{cell_index}-{who_index}",
                        round=0,
                        cell=cell.name,
                        attempt=0,
                        position=0,
                        arm=0,
                        contender=who,
                        workload=cell.workload,
                        seed=self.record.seed,
                        deadline_s=plan.DEADLINE_FACTOR * budget.deadline_s(cell.workload),
                    )
                    self._note(self._use(name, spec, stem))
                    self.num_done += 1
        self._tell("done")

    def _use(self, name: str, spec: TrialSpec, stem: str) -> ToolFinding:
        arguments = {
            "name": name,
            "spec": spec,
            "folder": str(self.folder.path),
            "stem": stem,
        }
        deadline_s = spec.deadline_s + _TOOL_DEADLINE_S
        outcome = self.executor.worker_of(spec.contender).do(
            Task("slotbench.profiling.tools:run", arguments, deadline_s)
        )
        found = outcome.value
        if found is None:
            note = " ".join(outcome.error.split())
            return ToolFinding(name, spec.cell, spec.contender.label, (), note)
        return ToolFinding(
            name,
            spec.cell,
            spec.contender.label,
            tuple(found.files),
            found.note,
            found.counts or None,
        )

    def _pass(self, name: PassName, spec: TrialSpec) -> ProfileTrial:
        sent_ns = time.perf_counter_ns()
        started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        arguments = {
            "pass_name": name,
            "spec": spec,
            "sent_ns": sent_ns,
            "started_at": started_at,
        }
        outcome: Outcome = self.executor.worker_of(spec.contender).do(
            Task("slotbench.profiling.child:run_pass", arguments, spec.deadline_s)
        )
        if outcome.value is None:
            trial = failed(spec, started_at, outcome.error, outcome.stacks)
            one = ProfileTrial(name, trial)
        else:
            one = outcome.value.trial
            if outcome.value.sample is not None and spec.round == 0:
                self.samples[spec.cell, spec.contender.label] = outcome.value.sample
        duration_s = (time.perf_counter_ns() - sent_ns) / 1e9
        return replace(one, trial=replace(one.trial, duration_s=duration_s))

    def _write_timelines(self) -> None:
        scenario = self.record.scenario
        written = []
        for index, cell in enumerate(scenario.cells, start=1):
            of_cell = {
                who.label: self.samples[cell.name, who.label]
                for who in scenario.contenders
                if (cell.name, who.label) in self.samples
            }
            if of_cell:
                name = f"timeline-{index}.json"
                text = timeline.render(cell.name, of_cell)
                try:
                    write_file(self.folder.path / name, text, force=False)
                except RecordError as error:
                    raise RecordError(
                        f"{str(error).partition(';')[0]}; the trials recorded before it are "
                        f"safe: 'slotbench show {self.folder.path}' shows them"
                    ) from error
                written.append(name)
        self.samples.clear()
        self.record = replace(self.record, timelines=tuple(written))
        self.folder.replace_profile(self.record)

    def _note(self, finding: ToolFinding) -> None:
        self.record = replace(self.record, tools=(*self.record.tools, finding))
        self.folder.replace_profile(self.record)

    def _tell(self, doing: str) -> None:
        num_tools = len(self.record.asked_tools) * self._num_places
        total = self.record.num_trials + num_tools
        self.on_progress(Progress(self.num_done, total, doing))

    @property
    def _num_places(self) -> int:
        return len(self.record.scenario.cells) * len(self.record.scenario.contenders)


def _file_name(label: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in label).strip("-")[:60]
