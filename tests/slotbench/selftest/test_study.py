"""Comparisons are counted as they came out, and a broken judge is found out."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from slotbench.compute import comparison
from slotbench.compute.comparison import Comparison
from slotbench.measure import design
from slotbench.records import Design, Scenario, SelfTestSetting
from slotbench.selftest import criteria, simulated, study
from slotbench.selftest.noise import NOISES, SILENCE
from slotbench.selftest.study import Chunk, Setting


def chunk(name: str, *, rounds: int = 5, num_cells: int = 60, seed: int = 1) -> Chunk:
    return Chunk(Setting(NOISES[name], rounds), num_cells, seed, (0, 0))


def counted(task: Chunk, **judges: Any) -> SelfTestSetting:
    return study.record(task.setting, study.simulate(task, **judges))


def failed(setting: SelfTestSetting) -> set[tuple[str, str]]:
    """Name and metric of every criterion that does not hold."""
    return {
        (one.name, one.where.split(", ")[2])
        for one in criteria.judge([setting])
        if not one.holds
    }


def halved(*args: Any, **options: Any) -> Comparison:
    """A judge whose intervals are half as wide as they must be."""
    compared = comparison.compare(*args, **options)
    rows = tuple(
        row
        if row.ratio is None
        else replace(
            row,
            ratio=replace(
                row.ratio,
                low=(row.ratio.low * row.ratio.point) ** 0.5,
                high=(row.ratio.high * row.ratio.point) ** 0.5,
            ),
        )
        for row in compared.rows
    )
    return replace(compared, rows=rows)


def unshuffled(planned: Scenario) -> Design:
    """A design that runs the contenders of every block in one order, the baseline first."""
    drawn = design.draw(planned)
    order = [f"{who.label}#{arm}" for who, arm in design.arms(planned.contenders)]
    # The contender of no effect last: nothing but the order slows it.
    order.sort(key=lambda label: ("slowdown" in label, "slowdown=0.0]" in label))
    blocks = tuple(
        tuple((cell, tuple(order)) for cell, _ in of_round) for of_round in drawn.blocks
    )
    return replace(drawn, blocks=blocks)


def test_the_real_judge_passes() -> None:
    """On Gaussian noise and on a machine that warms up."""
    assert failed(counted(chunk("between 1 %"))) == set()
    assert failed(counted(chunk("warming"))) == set()


def test_intervals_half_as_wide_are_found_out() -> None:
    """Too many false alarms, and too few intervals that hold the truth, by both metrics."""
    found = failed(counted(chunk("between 1 %", num_cells=120), compare=halved))

    assert ("false alarms", "throughput") in found
    assert ("intervals that hold the true ratio", "throughput") in found
    assert ("intervals that hold the true ratio", "latency_p99") in found


def test_a_fixed_order_is_found_out_on_a_machine_that_warms_up() -> None:
    """What runs last in every round is slower, and the fixed order takes it for the contender."""
    found = failed(counted(chunk("warming"), draw=unshuffled))

    assert ("false alarms", "throughput") in found


def test_without_noise_every_count_is_known() -> None:
    """Every effect is found, none is invented, and verdicts go by δ = 3 %."""
    task = Chunk(Setting(replace(SILENCE, process_sd=1e-3), 5), 8, 1, (0, 0))
    setting = counted(task)

    ours = {
        one.effect: one
        for one in setting.counts
        if (one.method, one.metric) == ("slotbench", "throughput")
    }
    assert {one.num_comparisons for one in ours.values()} == {8}
    assert all(one.num_higher == 0 for effect, one in ours.items() if effect > 0)
    assert all(one.num_lower == 8 for effect, one in ours.items() if effect > 0)
    verdicts = {one.effect: one for one in setting.verdicts if one.metric == "throughput"}
    assert verdicts[0.0].num_equivalent == verdicts[0.01].num_equivalent == 8
    assert verdicts[0.05].num_slower == verdicts[0.1].num_slower == 8
    assert verdicts[0.01].num_beyond == 0
    assert verdicts[0.05].num_beyond == verdicts[0.1].num_beyond == 8
    assert setting.num_trials == 8 * 5 * 7
    # More seconds a request are less throughput, whoever says it.
    assert all(one.num_lower == 8 for one in setting.counts if one.effect == 0.03 and one.metric == "throughput")  # fmt: skip


def test_every_method_judges_the_same_comparisons() -> None:
    """All five at effect 0 and one more, each of all cells."""
    setting = counted(chunk("heavy tails", num_cells=12))

    judged = {
        (one.method, one.effect): one.num_comparisons
        for one in setting.counts
        if one.metric == "throughput"
    }
    methods = {method for method, _ in judged}
    assert len(methods) == 5
    for method in methods:
        assert judged[method, 0.0] == judged[method, 0.03] == 12


def test_the_seed_and_the_place_decide_a_chunk() -> None:
    """Equal ones count the same; another seed or place draws anew."""
    task = chunk("between 2 %", num_cells=12)

    first = study.simulate(task)
    assert first == study.simulate(task)
    assert first != study.simulate(replace(task, seed=2))
    assert first != study.simulate(replace(task, place=(0, 1)))


def test_chunks_cover_a_study_whatever_the_number_of_processes() -> None:
    """Every setting has its comparisons; two processes count what one does."""
    planned = [Setting(NOISES[name], 2) for name in ("between 1 %", "drift")]
    tasks = study.chunks(planned, 1201, 3)
    assert Counter({one.setting.noise.name: 0 for one in tasks}) == Counter(
        {"between 1 %": 0, "drift": 0}
    )
    for setting in planned:
        sizes = [one.num_cells for one in tasks if one.setting == setting]
        assert sum(sizes) == 1201
        assert max(sizes) <= study.CHUNK
    assert len({one.place for one in tasks}) == len(tasks)

    small = study.chunks(planned, 6, 3)
    assert study.run_all(small, 2) == study.run_all(small, 1)


def test_predicted_power_is_what_normal_draws_show() -> None:
    """Of 20 000 simulated t intervals, by numpy alone; known to 0.35 %."""
    setting = Setting(NOISES["between 2 %"], 5)
    predicted = {one.effect: one.power_ratio for one in study.predicted(setting)}
    spread = (2 * (0.02**2 + (np.expm1(0.01) * 800 + 4 / 6) / 800**2)) ** 0.5
    logs = np.log(1.05) + spread * np.random.default_rng(0).standard_normal((20_000, 5))
    # 2.776445 is the t table's 0.975 quantile at 4 degrees.
    seen = logs.mean(axis=1) > 2.776445 * logs.std(axis=1, ddof=1) / 5**0.5

    assert predicted[0.05] == pytest.approx(seen.mean(), abs=0.02)
    assert study.predicted(Setting(NOISES["drift"], 5)) == ()


def test_an_estimate_grows_with_the_work_and_shrinks_with_processes() -> None:
    """Twice the comparisons take longer, twice the processes do not."""
    planned = study.settings((5,))
    few, many = (study.chunks(planned, number, 1) for number in (100, 200))

    assert study.estimate_s(many, 1) > study.estimate_s(few, 1)
    assert study.estimate_s(many, 2) < study.estimate_s(many, 1)


def test_the_simulated_contenders_are_never_a_real_transport() -> None:
    """Their names are not those of anything that could be raced."""
    labels = [simulated.contender(one).label for one in (None, 0.0, 0.03)]
    assert labels == ["synthetic", "synthetic[slowdown=0.0]", "synthetic[slowdown=0.03]"]
