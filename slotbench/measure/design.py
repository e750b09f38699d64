"""Randomised complete blocks: which trial is run when.

Every round measures every cell; a block is one cell in one round: every contender once
and the baseline twice (A/A), in an order drawn for that block. Cells are shuffled within
their round. With drift of 3 % over a session, all of A and then all of B raise 85 % false
alarms at a nominal 5 %, random order within pairs 5 % (docs of the design).
"""

import random
import zlib
from collections.abc import Iterator, Sequence

from slotbench.measure import budget
from slotbench.records import BASELINE_REPEAT, Cell, Contender, Design, Scenario, TrialSpec


def rounds(scenario: Scenario) -> Iterator[list[list[TrialSpec]]]:
    """Yield, for every round in order, its blocks in order, each a list of trials in order.

    The same scenario and seed give the same design.
    """
    for round_index in range(scenario.rounds):
        shuffled = random.Random(f"{scenario.seed}/{round_index}")
        cells = list(enumerate(scenario.cells))
        shuffled.shuffle(cells)
        yield [
            _block(scenario, round_index, cell_index, cell, shuffled)
            for cell_index, cell in cells
        ]


def describe(scenario: Scenario) -> Design:
    """Return the design for the run's record."""
    blocks = tuple(
        tuple(
            (block[0].cell, tuple(f"{spec.contender.label}#{spec.arm}" for spec in block))
            for block in blocks
        )
        for blocks in rounds(scenario)
    )
    num_trials = sum(len(labels) for blocks_ in blocks for _, labels in blocks_)
    return Design(scenario.seed, scenario.rounds, num_trials, blocks)


def arms(contenders: Sequence[Contender]) -> list[tuple[Contender, int]]:
    """Return a block's trials before shuffling: each contender, the baseline twice."""
    once = [(contender, 0) for contender in contenders]
    return once + [(c, BASELINE_REPEAT) for c in contenders if c.baseline]


def _block(
    scenario: Scenario, round_index: int, cell_index: int, cell: Cell, order: random.Random
) -> list[TrialSpec]:
    trials = arms(scenario.contenders)
    order.shuffle(trials)
    seed = zlib.crc32(f"{scenario.seed}/{round_index}/{cell_index}".encode())
    return [
        TrialSpec(
            trial_id=f"r{round_index}-c{cell_index}-a0-p{position}",
            round=round_index,
            cell=cell.name,
            attempt=0,
            position=position,
            arm=arm,
            contender=contender,
            workload=cell.workload,
            seed=seed,
            deadline_s=budget.deadline_s(cell.workload),
        )
        for position, (contender, arm) in enumerate(trials)
    ]
