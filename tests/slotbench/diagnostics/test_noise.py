"""The noise floor is comparison's own, and what rounds can tell apart follows from it."""

import dataclasses
import math

import numpy as np
import pytest
import scipy.stats

from slotbench.compute import comparison, power
from slotbench.diagnostics import noise
from slotbench.errors import ContenderError, WorkerError
from slotbench.measure import design
from slotbench.measure.runner import Progress
from slotbench.records import Finding, TrialRecord, TrialSpec
from tests.slotbench.conftest import build_run, build_trial
from tests.slotbench.support import diagnoses

STOLEN = Finding("steal", "DISTURBED", "the hypervisor took 20 %", "another hour")


def test_the_noise_floor_is_that_of_a_comparison() -> None:
    """By every metric: value, noise floor, and the A/A interval by scipy's t."""
    run, trials = build_run(("slot",)), diagnoses.trials()
    found = noise.judge(run, trials, num_workers=5)
    rows = {row.metric: row for row in comparison.compare(run, trials).rows}

    assert [cell.metric for cell in found.cells] == list(rows)
    for cell in found.cells:
        assert cell.value == rows[cell.metric].value
        assert cell.noise_floor == rows[cell.metric].noise_floor
        assert cell.num_pairs == 5
    (throughput,) = [cell for cell in found.cells if cell.metric == "throughput"]
    logs = np.log(np.array(diagnoses.SECOND) / np.array(diagnoses.FIRST))
    low, high = scipy.stats.t.interval(0.95, 4, logs.mean(), scipy.stats.sem(logs))
    assert throughput.log_sd == pytest.approx(logs.std(ddof=1))
    assert (throughput.low, throughput.high) == pytest.approx(
        (math.exp(low), math.exp(high))
    )
    assert throughput.rounds_needed == power.rounds_needed(0.03, logs.std(ddof=1))


def test_what_rounds_can_tell_apart_is_given_for_both_ends_of_the_spread() -> None:
    """By 5, 10 and 20 rounds: each number is `power`'s for the spread and for its interval's ends."""
    floor = diagnoses.floor()
    found = [one for one in noise.resolvable(floor) if one.metric == "throughput"]
    (cell,) = [one for one in floor.cells if one.metric == "throughput"]
    assert cell.log_sd is not None

    assert [one.rounds for one in found] == [5, 10, 20]
    for one in found:
        ends = power.sd_interval(cell.log_sd, 5)
        assert ends is not None
        for sd, half, effect in zip(
            (cell.log_sd, *ends),
            (one.half_width, one.half_width_low, one.half_width_high),
            (one.effect, one.effect_low, one.effect_high),
            strict=True,
        ):
            assert half == pytest.approx(power.half_width(sd, one.rounds))
            assert effect == pytest.approx(power.smallest_effect(sd, one.rounds))
    # A run of 5 rounds is what was measured: its half-width is the noise floor itself.
    assert found[0].half_width == pytest.approx(cell.noise_floor)


def test_one_pair_tells_nothing_of_the_spread() -> None:
    """Nothing is resolvable, and nothing fails."""
    trials = [trial for trial in diagnoses.trials() if trial.round == 0]
    floor = noise.judge(build_run(("slot",)), trials, 1)

    assert all(cell.log_sd is None and cell.num_pairs == 1 for cell in floor.cells)
    assert noise.resolvable(floor) == ()


def test_disturbed_and_failed_trials_are_counted() -> None:
    """With what was said of them, each once; a failed trial leaves its pair out."""
    trials = diagnoses.trials()
    trials[0] = dataclasses.replace(trials[0], findings=(STOLEN,))
    trials[1] = dataclasses.replace(trials[1], findings=(STOLEN,))
    trials[2] = build_trial("slot", None, round=2)
    floor = noise.judge(build_run(("slot",)), trials, 5)

    counts = (floor.num_trials, floor.num_disturbed, floor.num_invalid, floor.num_failed)
    assert counts == (10, 2, 0, 1)
    assert floor.remarks == (
        "DISTURBED: the hypervisor took 20 %",
        "failed: hung after 30 s",
    )
    assert {cell.num_pairs for cell in floor.cells} == {4}


def test_what_others_took_is_a_share_of_all_windows() -> None:
    """Two CPUs, windows of a second: 0.1 s stolen in one of ten trials is half a percent."""
    trials = diagnoses.trials(cells=("num_slots=8",))
    known = [
        dataclasses.replace(
            trial,
            measurement=dataclasses.replace(
                trial.measurement, num_cpus=2, steal_s=0.1 * (number == 0)
            ),
        )
        for number, trial in enumerate(trials)
        if trial.measurement is not None
    ]
    floor = noise.judge(build_run(("slot",)), known, 5)

    windows_s = sum(t.measurement.window_s for t in known if t.measurement)
    assert floor.steal_ratio == pytest.approx(0.1 / (2 * windows_s))
    assert floor.foreign_ratio is None


class Scripted:
    """An executor whose trials give what the test says."""

    def __init__(self, value: float | None = 1000.0) -> None:
        self.worker_start_s = 0.0
        self.num_workers = 1
        self.specs: list[TrialSpec] = []
        self._value = value

    def start_worker(self) -> None:
        self.num_workers += 1

    def check(self, contender: object, workload: object) -> str:
        return ""

    def run(self, spec: TrialSpec) -> TrialRecord:
        self.specs.append(spec)
        value = None if self._value is None else self._value + spec.round + spec.arm
        return build_trial(
            spec.contender.label, value, cell=spec.cell, round=spec.round, arm=spec.arm
        )

    def close(self) -> None:
        pass


@pytest.mark.parametrize(("fresh", "num_workers"), [(True, 3), (False, 1)])
def test_an_a_a_run_has_the_contender_twice_in_every_block(
    fresh: bool, num_workers: int
) -> None:
    """Two cells in every round, in the order of the design, each round from a worker of its own, or not."""
    executor = Scripted()
    planned = noise.scenario("slot[preallocate]", 3)
    told: list[Progress] = []
    found = noise.measure(planned, executor, told.append, fresh_workers=fresh)

    made = [(spec.round, spec.cell, spec.arm) for spec in executor.specs]
    order = [
        (index, cell, int(label.rpartition("#")[2]))
        for index, blocks in enumerate(design.draw(planned).blocks)
        for cell, labels in blocks
        for label in labels
    ]
    assert made == order
    assert len(made) == len(set(made)) == 3 * 2 * 2
    assert (executor.num_workers, found.num_workers) == (num_workers, num_workers)
    assert found.contender == "slot[preallocate]"
    assert (told[-1].num_done, told[-1].num_trials) == (12, 12)


def test_a_contender_that_gives_no_number_is_said() -> None:
    """By its first trial's error."""
    with pytest.raises(
        WorkerError, match=r"no trial of slot gave a number: hung after 30 s"
    ):
        noise.measure(noise.scenario("slot", 3), Scripted(None), lambda _: None)


@pytest.mark.parametrize(
    ("contender", "said"),
    [
        ("floor", "floor: nobody is compared"),
        ("slott", "slott"),
        ("no.such:thing", "no.such"),
    ],
)
def test_what_cannot_be_raced_against_itself_is_refused(contender: str, said: str) -> None:
    """The floor, a misspelt contender, and one that is not installed, before anything starts."""
    with pytest.raises(ContenderError, match=said):
        noise.scenario(contender, 3)
