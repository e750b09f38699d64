"""Randomised complete blocks: all of them, complete, random, reproducible."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from slotbench.measure import design
from slotbench.records import Cell, Scenario, TrialSpec

Scenarios = Callable[..., Scenario]


def cells(scenario: Scenario, count: int) -> Scenario:
    (cell,) = scenario.cells
    return replace(
        scenario, cells=tuple(Cell(f"c{i}", {"i": i}, cell.workload) for i in range(count))
    )


def rounds(planned: Scenario) -> list[list[list[TrialSpec]]]:
    """The trials of every block of every round, in their order."""
    drawn = design.draw(planned)
    return [
        [design.block(planned, drawn, index, cell) for cell, _ in blocks]
        for index, blocks in enumerate(drawn.blocks)
    ]


def test_every_block_is_complete(scenario: Scenarios) -> None:
    """Each cell once a round; in it each contender once and the baseline twice."""
    planned = cells(scenario("threading", "slot", "floor", rounds=5), 3)

    for blocks in rounds(planned):
        assert sorted(block[0].cell for block in blocks) == ["c0", "c1", "c2"]
        for block in blocks:
            assert sorted((spec.contender.label, spec.arm) for spec in block) == [
                ("floor", 0), ("slot", 0), ("threading", 0), ("threading", 1),
            ]  # fmt: skip
            assert [spec.position for spec in block] == [0, 1, 2, 3]


def test_the_order_is_random(scenario: Scenarios) -> None:
    """Over many blocks every contender comes first about equally often."""
    planned = scenario("threading", "slot", "floor", rounds=400)
    first = Counter(
        f"{block[0].contender.label}{block[0].arm}"
        for blocks in rounds(planned)
        for block in blocks
    )

    # Binomial(400, 1/4): six standard deviations are 52.
    assert all(48 < count < 152 for count in first.values()), first
    assert len(first) == 4


def test_the_seed_decides_the_design(scenario: Scenarios) -> None:
    """The same seed gives the same trials; another gives another order."""
    planned = cells(scenario("threading", "slot", "floor", rounds=4), 4)
    other = replace(planned, seed=2)

    assert rounds(planned) == rounds(planned)
    assert design.draw(planned).blocks != design.draw(other).blocks


def test_trials_of_a_block_share_their_seed(scenario: Scenarios) -> None:
    """All contenders of a block see the same think times; other blocks see others."""
    planned = cells(scenario("threading", "slot", rounds=3), 3)
    seeds = [
        {spec.seed for spec in block} for blocks in rounds(planned) for block in blocks
    ]

    assert all(len(of_block) == 1 for of_block in seeds)
    assert len(set.union(*seeds)) == 9


def test_trial_ids_are_unique_and_counted(scenario: Scenarios) -> None:
    """The record's plan has as many trials as are run."""
    planned = cells(scenario("threading", "slot", rounds=3), 2)
    ids = [s.trial_id for blocks in rounds(planned) for block in blocks for s in block]

    assert len(set(ids)) == len(ids) == design.draw(planned).num_trials == 3 * 2 * 3


def test_the_recorded_design_is_what_is_run(scenario: Scenarios) -> None:
    """A later version that would draw another order still measures the recorded one."""
    planned = cells(scenario("threading", "slot", "floor", rounds=2), 2)
    drawn = design.draw(planned)
    reversed_ = replace(
        drawn,
        blocks=tuple(
            tuple((cell, order[::-1]) for cell, order in blocks) for blocks in drawn.blocks
        ),
    )

    for index, blocks in enumerate(drawn.blocks):
        for cell, order in blocks:
            made = design.block(planned, reversed_, index, cell)
            assert [f"{s.contender.label}#{s.arm}" for s in made] == list(order[::-1])


def test_another_attempt_is_a_whole_block_in_an_order_of_its_own(
    scenario: Scenarios,
) -> None:
    """The same trials with the same think times; drawn anew, and the same when drawn again."""
    planned = scenario("threading", "slot", "floor", "slot[preallocate]", rounds=20)
    drawn = design.draw(planned)

    def order(index: int, attempt: int) -> list[tuple[str, int]]:
        made = design.block(planned, drawn, index, planned.cells[0].name, attempt)
        assert {(s.round, s.attempt) for s in made} == {(index, attempt)}
        return [(s.contender.label, s.arm) for s in made]

    for index in range(20):
        first, second = (order(index, attempt) for attempt in (0, 1))
        assert sorted(first) == sorted(second)
        assert order(index, 1) == second
    assert any(order(index, 0) != order(index, 1) for index in range(20))
    seeds = {
        attempt: [
            s.seed for s in design.block(planned, drawn, 3, planned.cells[0].name, attempt)
        ]
        for attempt in (0, 1)
    }
    assert seeds[0] == seeds[1]
    ids = [
        s.trial_id
        for attempt in range(3)
        for s in design.block(planned, drawn, 3, planned.cells[0].name, attempt)
    ]
    assert len(set(ids)) == 15
