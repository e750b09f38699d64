"""One ``slotbench advise``: which transport and settings, what to expect of them, and why.

History of the format (``schema_version``):

1. First version.
2. What was raced has its ratio over the recommended choice, and what would decide; and the race its
   trials. Version 1 has neither: None.
"""

from dataclasses import dataclass
from typing import Final, Literal

from slotbench.records.workload import Batching, Workload

RECOMMENDATION_SCHEMA_VERSION: Final = 2

Regime = Literal["transport", "policy", "think"]
"""What most of the time goes to: forecasts are not equally good everywhere."""

ForecastLimit = Literal["think time", "policy", "GIL", "processors", "transport"]
"""What is in use for the greatest part of the time."""

Origin = Literal["given", "measured", "assumed"]
"""Where a number comes from: the user, this machine, or nobody."""

ForecastMetric = Literal["throughput", "latency_p99"]


@dataclass(frozen=True, slots=True)
class ForecastError:
    """How far forecasts were off on recorded runs that they were not fitted to: measured over forecast.

    Attributes:
        regime: of the cells.
        is_pace_known: whether the machine's pace had been measured.
        num_runs, num_values: recorded runs, and cells × contenders in them.
        low, median, high: 2.5, 50 and 97.5 percent of these are below.
    """

    metric: ForecastMetric
    regime: Regime
    is_pace_known: bool
    num_runs: int
    num_values: int
    low: float
    median: float
    high: float


@dataclass(frozen=True, slots=True)
class Raced:
    """What the race says of one choice.

    Attributes:
        cell: name of the race's cell.
        per_s: requests per second, geometric mean over rounds.
        low, high: its 95 % t interval; None of one round.
        latency_p99_s: median over rounds; None where no window held enough.
        mean_batch_size: rows per batch; None where it is not known.
        ratio, ratio_low, ratio_high: over the choice that the forecast recommends, paired by round;
            None for that one, and where there is no pair.
        over, over_low, over_high: likewise, over the choice that is recommended at last.
        more_rounds: about how many more would decide between these two; 0 where it is decided, None
            where that is not known, and beyond 1 000.
    """

    cell: str
    per_s: float
    low: float | None
    high: float | None
    latency_p99_s: float | None
    mean_batch_size: float | None
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None
    over: float | None = None
    over_low: float | None = None
    over_high: float | None = None
    more_rounds: int | None = None


@dataclass(frozen=True, slots=True)
class Race:
    """What a race consisted of.

    Attributes:
        num_rounds: passes over all cells.
        num_trials: that count.
        num_disturbed: of these, those that the machine disturbed and that are used all the same.
        num_repeats: blocks that were measured again because of that.
        duration_s: all of it, with its workers started.
    """

    num_rounds: int
    num_trials: int
    num_disturbed: int
    num_repeats: int
    duration_s: float


@dataclass(frozen=True, slots=True)
class Choice:
    """A contender with a batching rule, and what to expect of it.

    Attributes:
        contender: its label.
        per_s: requests per second, by simulation.
        low, high: between which 95 % of such forecasts' measurements were.
        mean_batch_size: rows per batch.
        latency_p99_s: from request to reply.
        limit: what is in use most.
        is_fast_enough: whether ``latency_p99_s`` is within the limit asked for, and what was raced
            too; True where none was asked.
        needs: what must hold before it may be used; "" where nothing must.
        raced: None where it was not.
    """

    contender: str
    batching: Batching
    per_s: float
    low: float
    high: float
    mean_batch_size: float
    latency_p99_s: float
    limit: ForecastLimit
    is_fast_enough: bool
    needs: str = ""
    raced: Raced | None = None


@dataclass(frozen=True, slots=True)
class Times:
    """Think time and S(n) = a + b·n that a recommendation rests on.

    Attributes:
        think_s: mean.
        think_cpu_s: computing in it,
        think_gil_s: and what of it holds the GIL.
        batch_s, row_s: a and b.
        misfit_ratio: of the measured policy to that line; 0 where it was not measured.
    """

    think_s: float
    think_cpu_s: float
    think_gil_s: float
    batch_s: float
    row_s: float
    misfit_ratio: float
    think_origin: Origin
    policy_origin: Origin


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One ``slotbench advise``.

    Attributes:
        workload: what was asked, under the recommended batching rule.
        max_latency_s: limit on the 99th percentile of reply times; None where none was asked.
        num_cpus: of this machine.
        pace: how much slower than the reference machine this one's Python was taken to be.
        is_pace_known: whether that was measured.
        times: what the forecast rests on.
        balance: n*, the mean batch at which requests are made as fast as served; None where
            nothing takes any time.
        bound_per_s: what no transport can exceed; None likewise.
        chosen: place of the recommended choice in ``choices``.
        forecast: place of the one that the forecast alone recommends.
        choices: the best first, by what was raced where it was.
        beside: places of choices that are better still, where what they need holds.
        errors: of forecasts, that the intervals are made of.
        run: folder of the race; "" where there was none.
        scenario: its TOML.
        notes: what else a reader must know, a sentence each.
        command: the command line.
        race: what it consisted of; None where there was none.
    """

    schema_version: int
    created_at: str
    workload: Workload
    max_latency_s: float | None
    num_cpus: int
    pace: float
    is_pace_known: bool
    times: Times
    balance: float | None
    bound_per_s: float | None
    chosen: int
    forecast: int
    choices: tuple[Choice, ...]
    beside: tuple[int, ...]
    errors: tuple[ForecastError, ...]
    run: str
    scenario: str
    notes: tuple[str, ...]
    command: tuple[str, ...]
    race: Race | None = None
