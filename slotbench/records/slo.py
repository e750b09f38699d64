"""One ``slotbench slo``: the highest load at which latencies keep to their limits.

A search is made of trials in an open loop. It lies in a folder of its own kind (slo.json and
searched.jsonl), since its trials are no blocks and no comparison may take them for a run's.

History of the format (``schema_version`` in slo.json, which holds for searched.jsonl too):

1. First version.
"""

from dataclasses import dataclass
from typing import Final, Literal

from slotbench.records.run import Resumption, Skipped
from slotbench.records.scenario import Scenario
from slotbench.records.trial import TrialRecord
from slotbench.records.workload import Scalar

SLO_SCHEMA_VERSION: Final = 1

PERCENTILES: Final = (50.0, 90.0, 99.0, 99.9)
"""Those that a trial records, and that may have a limit."""

PRECISION: Final = 0.05
"""Of two neighbouring loads, where nobody asks for another."""

MIN_PRECISION: Final = 0.01
"""Of two neighbouring loads: finer than trials can tell in any bearable time."""


@dataclass(frozen=True, slots=True)
class Limit:
    """What a latency must not exceed: at least ``percent`` % of requests take no longer.

    Attributes:
        percent: one of `PERCENTILES`.
        limit_s: from a request's intended start to its reply.
    """

    percent: float
    limit_s: float


@dataclass(frozen=True, slots=True)
class SloPlan:
    """What is searched for, and how sure the answer is to be.

    Attributes:
        limits: all must hold; at least one.
        precision: two neighbouring loads of the search differ by this ratio less 1 (0.05 is 5 %).
        confidence: that every interval of the whole answer is right.
        looks: numbers of trials at one load after which it may be decided, rising; the last
            is the most that a load is tried.
        from_per_s: the first load tried; None is half of what a closed loop reaches.
        budget_s: after which no further trial begins; None is no budget.
    """

    limits: tuple[Limit, ...]
    precision: float = PRECISION
    confidence: float = 0.95
    looks: tuple[int, ...] = (4, 6, 8, 12)
    from_per_s: float | None = None
    budget_s: float | None = None


@dataclass(frozen=True, slots=True)
class SloTrial:
    """One trial of a search; one line of searched.jsonl.

    Attributes:
        load_index: place of its load on the ladder of loads (`slotbench.compute.slo`); None is
            the closed loop that says where to begin.
        load_per_s: offered by all actors together, requests per second; None likewise.
        trial: as of a run; its ``round`` is the step of the search, in which every contender
            that is still searched has one trial.
    """

    load_index: int | None
    load_per_s: float | None
    trial: TrialRecord


@dataclass(frozen=True, slots=True)
class SloRecord:
    """slo.json.

    Attributes:
        slo_id: name of the folder: UTC time, scenario, "slo", six random digits.
        status: "running" until it ends; one that was killed stays so until it is resumed.
            "complete": every search has ended; "out of time": the budget was spent before.
        scenario: with ``contenders`` as searched, without the skipped ones; its cells are an
            open loop, whose load the search sets.
        command: the command line.
        total_s: how long all sittings took together; None while it goes on.
        resumptions: in their order.
    """

    schema_version: int
    slo_id: str
    created_at: str
    status: Literal["running", "complete", "out of time", "interrupted"]
    scenario: Scenario
    scenario_sha256: str
    skipped: tuple[Skipped, ...]
    plan: SloPlan
    seed: int
    environment: dict[str, Scalar]
    command: tuple[str, ...]
    total_s: float | None = None
    resumptions: tuple[Resumption, ...] = ()
