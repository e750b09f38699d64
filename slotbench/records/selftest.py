"""What `slotbench selftest` found: counts of comparisons whose truth was known.

Counts and not rates, so that a reader can judge how much they say.

History of the format (``schema_version``):

1. First version.
2. ``sequential``. It may be absent: version 1 reads as it is.
"""

from dataclasses import dataclass
from typing import Final, Literal

from slotbench.records.workload import Scalar

SELFTEST_SCHEMA_VERSION: Final = 2

Method = Literal[
    "slotbench", "pyperf, slices", "pyperf, trials", "Mann-Whitney", "bootstrap"
]
"""Who judged. "slotbench" is `slotbench compare`; "pyperf, slices" is ``pyperf compare_to`` on
ten values a trial; "pyperf, trials" the same on one, as `slotbench export` writes; "Mann-Whitney"
pools all slices; "bootstrap" takes percentiles of resampled trials."""


@dataclass(frozen=True, slots=True)
class MethodCount:
    """What a method said of comparisons that differ in nothing but chance.

    Attributes:
        effect: by how much the candidate's requests take longer, a ratio less 1.
        num_comparisons: judged, each on a cell's trials of its own.
        num_lower: claims that the candidate's value is lower than the baseline's, at a
            nominal 5 % for both directions together.
        num_higher: claims that it is higher.
        num_covered: intervals that hold the true ratio; None where there are none.
    """

    method: Method
    metric: str
    effect: float
    num_comparisons: int
    num_lower: int
    num_higher: int
    num_covered: int | None


@dataclass(frozen=True, slots=True)
class VerdictCount:
    """Verdicts of `slotbench compare` with its δ, and what a gate would have done.

    Attributes:
        num_beyond: intervals wholly beyond δ on the bad side: ``--fail-on regression`` of one
            row.
    """

    metric: str
    effect: float
    num_comparisons: int
    num_faster: int
    num_slower: int
    num_equivalent: int
    num_inconclusive: int
    num_beyond: int


@dataclass(frozen=True, slots=True)
class PredictedPower:
    """How often theory says that the t interval finds an effect, 0 to 1."""

    effect: float
    power_ratio: float


@dataclass(frozen=True, slots=True)
class SelfTestSetting:
    """One noise, at one number of rounds.

    Attributes:
        noise: name of the noise.
        noise_title: the same in a line.
        is_gaussian: see `slotbench.selftest.noise.Noise`.
        predicted: only where the noise is Gaussian, of throughput.
    """

    noise: str
    noise_title: str
    is_gaussian: bool
    rounds: int
    num_trials: int
    counts: tuple[MethodCount, ...]
    verdicts: tuple[VerdictCount, ...]
    predicted: tuple[PredictedPower, ...]


SequentialMethod = Literal["slotbench", "peeking"]
"""How a run until decided judges a look: as ``slotbench run --until-decided``, or each at 95 %."""


@dataclass(frozen=True, slots=True)
class SequentialCount:
    """What runs until decided said of comparisons with a known effect, once they had stopped.

    Attributes:
        noise, noise_title, is_gaussian: as of `SelfTestSetting`.
        looks: rounds after which they looked.
        metric: throughput is what decided; others were judged when it had.
        effect: by how much the candidate's requests take longer, a ratio less 1.
        num_comparisons: judged.
        num_lower: last intervals wholly below 1.
        num_higher: wholly above.
        num_covered: that hold the true ratio.
        num_decided: with a verdict.
        num_rounds: over all comparisons.
    """

    noise: str
    noise_title: str
    is_gaussian: bool
    looks: tuple[int, ...]
    method: SequentialMethod
    metric: str
    effect: float
    num_comparisons: int
    num_lower: int
    num_higher: int
    num_covered: int
    num_decided: int
    num_rounds: int


@dataclass(frozen=True, slots=True)
class RepeatedInterval:
    """The baseline against itself in one cell of a real run (A/A).

    Attributes:
        low, point, high: throughput of the second arm over the first, and its interval.
    """

    cell: str
    point: float
    low: float
    high: float
    num_pairs: int


@dataclass(frozen=True, slots=True)
class PlantedInterval:
    """A real transport with a planted slowdown, against itself without.

    Attributes:
        slowdown: planted, a ratio less 1; the true ratio of throughputs is 1/(1 + slowdown).
        low, point, high: ratio of throughputs, and its interval.
        mean_batch_size: rows, of the planted one.
        num_slots: that a batch must hold for the true ratio to be as said.
        verdict: of `slotbench compare`.
    """

    cell: str
    slowdown: float
    point: float
    low: float
    high: float
    num_pairs: int
    mean_batch_size: float
    num_slots: int
    verdict: str


@dataclass(frozen=True, slots=True)
class MachinePart:
    """What this machine said of real runs whose truth is known.

    Attributes:
        run_ids: of the runs, in the order measured.
        num_missing: cells, and planted contenders of a cell, without an interval.
    """

    run_ids: tuple[str, ...]
    repeated: tuple[RepeatedInterval, ...]
    planted: tuple[PlantedInterval, ...]
    num_missing: int


@dataclass(frozen=True, slots=True)
class Criterion:
    """One thing that must hold.

    Attributes:
        name: what is held against a limit.
        where: setting, metric and effect.
        num_seen: what was counted.
        num_of: out of so many.
        num_min, num_max: what is allowed, both included.
    """

    name: str
    where: str
    num_seen: int
    num_of: int
    num_min: int
    num_max: int

    @property
    def holds(self) -> bool:
        """Whether what was counted is allowed."""
        return self.num_min <= self.num_seen <= self.num_max


@dataclass(frozen=True, slots=True)
class SelfTest:
    """One ``slotbench selftest``.

    Attributes:
        environment: machine, Python, packages, commit: flat, scalars only.
        num_comparisons: per setting and effect, as asked for.
        threshold: δ of the verdicts.
        duration_s: of all of it.
        machine: None where the real runs were not asked for.
        sequential: runs until decided; empty in records of version 1.
    """

    schema_version: int
    created_at: str
    environment: dict[str, Scalar]
    command: tuple[str, ...]
    seed: int
    num_comparisons: int
    threshold: float
    duration_s: float
    settings: tuple[SelfTestSetting, ...]
    machine: MachinePart | None
    criteria: tuple[Criterion, ...]
    sequential: tuple[SequentialCount, ...] = ()
