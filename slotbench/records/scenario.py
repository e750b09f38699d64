"""A scenario after validation: its cells, its contenders, its design."""

from dataclasses import dataclass

from slotbench.records.contender import Contender
from slotbench.records.workload import Cell


@dataclass(frozen=True, slots=True)
class Scenario:
    """One workload file, its grids expanded and the command line's changes applied.

    Attributes:
        name: stem of the file.
        question: what the scenario answers, in a sentence or a paragraph.
        source: where the file was read; "" for text that came from no file.
        text: the file, verbatim.
        overrides: what ``--set`` changed, as written.
        rounds: passes over all cells; blocks per cell, so also the sample size.
        seed: of the design and of everything random in a trial.
        threshold: δ, the ratio below which a difference does not matter (0.03 is 3 %).
        citation: where the workload's constants are from; "" for one of no such claim.
    """

    name: str
    title: str
    question: str
    source: str
    text: str
    overrides: tuple[str, ...]
    cells: tuple[Cell, ...]
    contenders: tuple[Contender, ...]
    rounds: int
    seed: int
    threshold: float
    citation: str = ""
