"""A simulated run says what was put into it, and depends on its clock and seed alone."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from slotbench.compute import comparison
from slotbench.measure import design, runner
from slotbench.records import SCHEMA_VERSION, RunRecord, TrialRecord
from slotbench.selftest import noise, simulated
from slotbench.selftest.noise import NOISES, SILENCE, Noise

SLOWDOWNS = (0.0, 0.05, 0.5)


def run(of: Noise, *, rounds: int = 2, num_cells: int = 1, seed: int = 1):
    """A whole simulated run, its record and its trials."""
    planned = simulated.scenario(
        of, SLOWDOWNS, rounds=rounds, num_cells=num_cells, seed=seed
    )
    record = RunRecord(
        SCHEMA_VERSION, "r", "", "complete", planned, "", (), design.draw(planned), {}, ()
    )
    trials: list[TrialRecord] = []
    executor = simulated.SimulatedExecutor(planned, of, np.random.default_rng(seed))
    executor.start_worker()
    runner.run(record, executor, trials.append, lambda _: None)
    return record, trials, executor


def throughput(trial: TrialRecord) -> float:
    assert trial.measurement is not None
    return trial.measurement.num_replies / trial.measurement.window_s


def test_without_noise_the_true_ratio_comes_out() -> None:
    """To two replies of the 533 to 800 in a window; latencies to a nanosecond."""
    record, trials, _ = run(SILENCE)

    compared = comparison.compare(record, trials, metrics=("throughput", "latency_p99"))
    for row in compared.rows:
        if row.ratio is None:
            continue
        slowdown = {simulated.contender(one).label: one for one in SLOWDOWNS}[row.contender]
        truth = 1 + slowdown if row.metric == "latency_p99" else 1 / (1 + slowdown)
        tolerance = 1e-6 if row.metric == "latency_p99" else 2 / 533
        assert row.ratio.point == pytest.approx(truth, rel=tolerance)


def test_a_record_says_what_the_stamps_say() -> None:
    """Without noise every latency is the mean one, and replies come at its rate all the while."""
    _, trials, _ = run(SILENCE)

    for trial in trials:
        measured = trial.measurement
        assert measured is not None
        slowdown = {simulated.contender(one).label: one for one in SLOWDOWNS}.get(
            trial.contender, 0.0
        )
        latency_s = noise.LATENCY_S * (1 + slowdown)
        for seen_s in (measured.latency_mean_s, measured.latency_p99_s):
            assert seen_s == pytest.approx(latency_s, abs=2e-9)
        expected = simulated.NUM_ACTORS * simulated.WINDOW_S / latency_s
        assert measured.num_replies == pytest.approx(expected, abs=2)
        assert sum(measured.replies_per_slice) == measured.num_replies
        assert max(measured.replies_per_slice) - min(measured.replies_per_slice) <= 2
        assert measured.num_submitted == measured.num_replied == measured.num_served
        assert measured.num_batches == measured.num_rows


@pytest.mark.parametrize("of", NOISES.values(), ids=str)
def test_no_noise_makes_a_trial_invalid(of: Noise) -> None:
    """The real rules find no trial INVALID or DISTURBED, so that every one is used."""
    _, trials, _ = run(of, rounds=3)

    severities = {found.severity for trial in trials for found in trial.findings}
    assert severities <= {"warning"}
    assert len(trials) == 3 * (len(SLOWDOWNS) + 2)


def test_the_seed_decides_every_record() -> None:
    """The same seed gives equal records, times of day included; another gives others."""
    of = NOISES["random walk"]

    assert run(of)[1] == run(of)[1]
    assert run(of)[1] != run(of, seed=2)[1]


def test_drift_follows_the_clock_and_not_the_contender() -> None:
    """Without other noise throughput falls from trial to trial, by 3 % from begin to end."""
    drift = replace(NOISES["drift"], process_sd=0.0, latency_sigma=0.0)
    _, trials, executor = run(drift, rounds=20)

    base = [throughput(trial) for trial in trials if trial.contender == "synthetic"]
    assert base[0] / base[-1] == pytest.approx(1.03, abs=0.005)
    assert all(a >= b - 2 for a, b in itertools.pairwise(base))
    # 20 workers, and 5 trials a round.
    assert executor.now_s == pytest.approx(20 * 5.0 + 100 * simulated.TRIAL_S)
    assert executor.worker_start_s == 100.0


def test_warming_begins_anew_in_every_round() -> None:
    """The machine's factor is 1 when a worker is up, and 1.03 a round later."""
    machine = noise.Machine(
        NOISES["warming"], np.random.default_rng(0), run_s=100.0, round_s=10.0
    )

    assert machine.log_at(5.0, 5.0) == 0.0
    assert machine.log_at(15.0, 5.0) == pytest.approx(math.log(1.03))
    assert machine.log_at(20.0, 20.0) == 0.0


def test_a_walk_spreads_with_the_root_of_time() -> None:
    """After 100 s its standard deviation is ten times that of a second."""
    random = np.random.default_rng(3)
    walk = NOISES["random walk"]
    ends = []
    for _ in range(2000):
        machine = noise.Machine(walk, random, run_s=100.0, round_s=10.0)
        machine.log_at(37.0, 0.0)
        ends.append(machine.log_at(100.0, 0.0))

    # The standard deviation of 2 000 normal draws is known to 1.6 %; six of these.
    assert np.std(ends) == pytest.approx(10 * walk.walk_sd, rel=0.1)


def test_latencies_have_the_mean_that_is_said() -> None:
    """And speed that wanders has the spread and the correlation that is said."""
    random = np.random.default_rng(4)
    heavy = noise.latencies_s(NOISES["heavy latencies"], random, 400, 1000)
    assert heavy.mean() == pytest.approx(noise.LATENCY_S, rel=0.02)

    still = replace(NOISES["within"], latency_sigma=0.0)
    drawn = np.log([noise.latencies_s(still, random, 1, 300)[0] for _ in range(2000)])
    steps = drawn[:, :: noise.REQUESTS_PER_STEP]
    assert steps.std() == pytest.approx(still.within_sd, rel=0.1)
    lagged = np.corrcoef(steps[:, :-1].ravel(), steps[:, 1:].ravel())[0, 1]
    assert lagged == pytest.approx(0.9, abs=0.02)


def test_one_process_in_twenty_is_slow() -> None:
    """And takes 1.2 times as long; of Student's t half lie within 0.765 scales (3 degrees)."""
    random = np.random.default_rng(5)
    slow = [noise.process_log(NOISES["slow processes"], random) for _ in range(4000)]
    # Binomial(4 000, 1/20): six standard deviations are 83.
    assert abs(sum(one > 0.1 for one in slow) - 200) < 83

    tails = [noise.process_log(NOISES["heavy tails"], random) for _ in range(4000)]
    # Student's t tables: the upper quartile at 3 degrees is 0.765. Six deviations are 190.
    assert abs(sum(abs(one) < 0.00765 for one in tails) - 2000) < 190


def test_the_spread_of_trials_is_what_theory_says() -> None:
    """Standard deviation of the logarithm of throughput, of 450 trials; known to 3.3 %."""
    of = replace(NOISES["between 0.5 %"], cells_per_run=1)
    _, trials, _ = run(of, rounds=150)

    logs = [math.log(throughput(one)) for one in trials if one.contender == "synthetic"]
    expected = noise.trial_log_sd(of, simulated.NUM_REPLIES, simulated.NUM_ACTORS)
    assert np.std(logs) == pytest.approx(expected, rel=0.15)
    assert noise.trial_log_sd(NOISES["drift"], 800, 4) is None
