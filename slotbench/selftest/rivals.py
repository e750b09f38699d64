"""The same trials, judged as others would: ``pyperf compare_to``, Mann-Whitney, a bootstrap.

None of them knows of blocks. Each takes seconds per request of both arms as arrays
``[comparisons, trials, values]`` and says for each comparison whether the candidate's value is
lower (-1), higher (1), or not shown to differ (0), at a nominal 5 %.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from slotbench.compute.statistics import CONFIDENCE
from slotbench.errors import SlotbenchError

Values = NDArray[np.float64]
"""Seconds per request, ``[comparisons, trials, values]``."""

Directions = NDArray[np.int8]
"""``[comparisons]``: -1, 0 or 1."""

NUM_RESAMPLES: Final = 2000

_HIDDEN: Final = re.compile(
    r"^Benchmark hidden because not significant \((\d+)\): (.*)$", re.MULTILINE
)
_CLAIM: Final = re.compile(
    r"^(?P<name>\S+): .*: (?:\d+\.\d\dx (?P<how>slower|faster)|no change)$", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Bootstrapped:
    """What a percentile bootstrap says of the ratio of means.

    Attributes:
        directions: of the candidate's value.
        low, high: ends of the intervals of candidate over baseline, ``[comparisons]``.
    """

    directions: Directions
    low: Values
    high: Values


def mann_whitney(base: Values, head: Values) -> Directions:
    """Rank all values of all trials together, as if every slice were a trial.

    Source: Mann and Whitney, Annals of Mathematical Statistics 18 (1947), by
    `scipy.stats.mannwhitneyu`, two-sided, normal approximation with tie correction.
    """
    from scipy import stats

    above, below = (side.reshape(len(side), -1) for side in (head, base))
    found = stats.mannwhitneyu(above, below, axis=1, method="asymptotic")
    middle = above.shape[1] * below.shape[1] / 2
    directions = np.sign(found.statistic - middle).astype(np.int8)
    return np.where(found.pvalue < 1 - CONFIDENCE, directions, 0).astype(np.int8)


def bootstrap(
    base: Values, head: Values, random: Generator, num_resamples: int = NUM_RESAMPLES
) -> Bootstrapped:
    """Percentile bootstrap of the ratio of means; trials resampled, each arm for itself.

    All comparisons of a call share the draws of which trials are taken; a comparison is not
    changed by that.

    Source: Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics
    7 (1979); the interval is the simple percentile one, as in criterion.rs.
    """
    num_trials = base.shape[1]
    even = np.full(num_trials, 1 / num_trials)
    above, below = (
        side.mean(axis=2)
        @ random.multinomial(num_trials, even, size=num_resamples).T
        / num_trials
        for side in (head, base)
    )
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(above / below, (tail, 1 - tail), axis=1)
    directions = (low > 1).astype(np.int8) - (high < 1).astype(np.int8)
    return Bootstrapped(directions, low, high)


def pyperf_compare(pairs: Mapping[str, tuple[Values, Values]]) -> dict[str, Directions]:
    """Ask ``python -m pyperf compare_to`` itself, once for all pairs.

    One benchmark a comparison, one of pyperf's runs a trial. pyperf pools all values of all
    runs in a t test.

    Args:
        pairs: name without blanks → baseline and candidate.

    Raises:
        SlotbenchError: pyperf fails, or says something else than is understood.
    """
    with tempfile.TemporaryDirectory(prefix="slotbench-") as folder:
        files = [Path(folder, name) for name in ("base.json", "head.json")]
        for side, file in enumerate(files):
            _write(file, {name: both[side] for name, both in pairs.items()})
        done = subprocess.run(
            [sys.executable, "-m", "pyperf", "compare_to", *map(str, files)],
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["nothing on stderr"])[-1]
        raise SlotbenchError(
            f"pyperf compare_to ended with {done.returncode}: {last}; check the installed pyperf"
        )
    said = parse_compare_to(done.stdout)
    found = {}
    for name, (base, _) in pairs.items():
        names = [f"{name}/{number}" for number in range(len(base))]
        if missing := [one for one in names if one not in said]:
            raise SlotbenchError(
                f"pyperf compare_to said nothing of {len(missing)} benchmarks, {missing[0]} "
                "first: its output is not what pyperf 2.10 prints"
            )
        found[name] = np.array([said[one] for one in names], np.int8)
    return found


def parse_compare_to(text: str) -> dict[str, int]:
    """Read what ``pyperf compare_to`` prints of two files of at least two benchmarks.

    Returns:
        Benchmark → -1 faster, 1 slower, 0 hidden because not significant.

    Raises:
        SlotbenchError: it announces another number of hidden ones than it names.
    """
    signs = {"faster": -1, "slower": 1, None: 0}
    said = {match["name"]: signs[match["how"]] for match in _CLAIM.finditer(text)}
    for number, names in _HIDDEN.findall(text):
        hidden = names.split(", ")
        if len(hidden) != int(number):
            raise SlotbenchError(
                f"pyperf compare_to hides {number} benchmarks and names {len(hidden)}: its "
                "output is not what pyperf 2.10 prints"
            )
        said.update(dict.fromkeys(hidden, 0))
    return said


def _write(file: Path, sides: Mapping[str, Values]) -> None:
    """Write a suite that holds every comparison's one arm."""
    import pyperf

    benchmarks = []
    for name, values in sides.items():
        for number, trials in enumerate(values.tolist()):
            metadata = {"name": f"{name}/{number}", "unit": "second"}
            runs = [
                pyperf.Run(of_trial, metadata=metadata, collect_metadata=False)
                for of_trial in trials
            ]
            benchmarks.append(pyperf.Benchmark(runs))
    pyperf.BenchmarkSuite(benchmarks).dump(str(file))
