"""Randomised complete blocks: which trial is run when.

Every round measures every cell; a block is one cell in one round: every contender once
and the baseline twice (A/A), in an order drawn for that block. Cells are shuffled within
their round. With drift of 3 % over a session, all of A and then all of B raise 85 % false
alarms at a nominal 5 %, random order within pairs 5 % (docs of the design).
"""

import random
import zlib
from collections.abc import Sequence

from slotbench.measure import budget
from slotbench.records import BASELINE_REPEAT, Contender, Design, Scenario, TrialSpec


def draw(scenario: Scenario) -> Design:
    """Draw the order of cells in every round, and of trials in every block.

    The same scenario and seed give the same design.
    """
    empty = Design(scenario.seed, rounds=0, num_trials=0, blocks=())
    names = [cell.name for cell in scenario.cells]
    found = empty
    for _ in range(scenario.rounds):
        found = extended(scenario, found, names)
    return found


def extended(scenario: Scenario, design: Design, cells: Sequence[str]) -> Design:
    """Add one more round.

    Args:
        scenario: that of the design.
        design: so far.
        cells: names of the round's cells, in the scenario's order; not all must be there.
    """
    labels = [_name(contender, arm) for contender, arm in arms(scenario.contenders)]
    shuffled = random.Random(f"{scenario.seed}/{design.rounds}")
    in_order = list(cells)
    shuffled.shuffle(in_order)
    added = tuple((cell, tuple(shuffled.sample(labels, len(labels)))) for cell in in_order)
    return Design(
        seed=design.seed,
        rounds=design.rounds + 1,
        num_trials=design.num_trials + len(cells) * len(labels),
        blocks=(*design.blocks, added),
    )


def block(
    scenario: Scenario, design: Design, round_index: int, cell_name: str, attempt: int = 0
) -> list[TrialSpec]:
    """Return the trials of one attempt at a block, in their order.

    Args:
        scenario: that of the design.
        design: says the order of the first attempt; another attempt draws its own.
        round_index: of the block.
        cell_name: of the block.
        attempt: from 0.
    """
    cell_index, cell = next(
        (index, cell) for index, cell in enumerate(scenario.cells) if cell.name == cell_name
    )
    planned = next(order for name, order in design.blocks[round_index] if name == cell_name)
    place = f"{design.seed}/{round_index}/{cell_index}"
    if attempt > 0:
        planned = tuple(random.Random(f"{place}/{attempt}").sample(planned, len(planned)))
    by_name = {_name(who, arm): (who, arm) for who, arm in arms(scenario.contenders)}
    return [
        TrialSpec(
            trial_id=f"r{round_index}-c{cell_index}-a{attempt}-p{position}",
            round=round_index,
            cell=cell.name,
            attempt=attempt,
            position=position,
            arm=arm,
            contender=contender,
            workload=cell.workload,
            seed=zlib.crc32(place.encode()),
            deadline_s=budget.deadline_s(cell.workload),
        )
        for position, (contender, arm) in enumerate(by_name[name] for name in planned)
    ]


def arms(contenders: Sequence[Contender]) -> list[tuple[Contender, int]]:
    """Return a block's trials before shuffling: each contender, the baseline twice."""
    once = [(contender, 0) for contender in contenders]
    return once + [(c, BASELINE_REPEAT) for c in contenders if c.baseline]


def _name(contender: Contender, arm: int) -> str:
    return f"{contender.label}#{arm}"
