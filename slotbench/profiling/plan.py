"""Which passes are made, and in which order."""

import random
import zlib
from dataclasses import replace
from typing import Final

from slotbench.measure import budget
from slotbench.records import PASSES, PassName, Scenario, TrialSpec, Workload

PASS_OVERHEAD_S: Final = 0.25
"""Of a pass beside its trial: finding the GIL, prices, evaluating stamps."""

DEADLINE_FACTOR: Final = 2.0
"""Of a trial's deadline: a probe that looks at each torch operation slows all down."""


MAX_MEASURE_S: Final = 2.0
"""Of a window: stamps and counts are kept for each request, batch and lock."""


def of_profile(workload: Workload) -> Workload:
    """The workload with a window that is not too long to be kept in memory."""
    window = workload.window
    measure_s = min(window.measure_s, MAX_MEASURE_S)
    longest_s = max(measure_s, min(window.max_measure_s, 5 * MAX_MEASURE_S))
    window = replace(window, measure_s=measure_s, max_measure_s=longest_s)
    return replace(workload, window=window)


def round_of(scenario: Scenario, seed: int, index: int) -> list[tuple[PassName, TrialSpec]]:
    """Return one round: every pass of every contender in every cell.

    Cells are shuffled, and within each all passes of all contenders, so that drift of the machine
    comes to all alike.

    Args:
        scenario: its contenders have been admitted.
        seed: of the order.
        index: of the round, from 0.
    """
    shuffled = random.Random(f"{seed}/profile/{index}")
    planned: list[tuple[PassName, TrialSpec]] = []
    cells = list(enumerate(scenario.cells))
    shuffled.shuffle(cells)
    for cell_index, cell in cells:
        pairs = [(name, who) for name in PASSES for who in scenario.contenders]
        shuffled.shuffle(pairs)
        planned += [
            (
                name,
                TrialSpec(
                    trial_id=f"r{index}-c{cell_index}-{name}-p{position}",
                    round=index,
                    cell=cell.name,
                    attempt=0,
                    position=position,
                    arm=0,
                    contender=contender,
                    workload=of_profile(cell.workload),
                    seed=zlib.crc32(f"{seed}/{index}/{cell_index}".encode()),
                    deadline_s=DEADLINE_FACTOR * budget.deadline_s(cell.workload),
                ),
            )
            for position, (name, contender) in enumerate(pairs)
        ]
    return planned


def estimate_s(scenario: Scenario, rounds: int) -> float:
    """Estimate how long the passes take, without optional tools."""
    passes_s = sum(
        budget.estimate_trial_s(of_profile(cell.workload)) + PASS_OVERHEAD_S
        for cell in scenario.cells
    )
    a_round_s = len(PASSES) * len(scenario.contenders) * passes_s
    return rounds * (budget.WORKER_START_S + a_round_s)
