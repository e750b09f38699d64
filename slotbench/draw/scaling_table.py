"""How throughput scales with the actors, as words in columns: a table a row of cells."""

import math
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final

from slotbench.compute.scalability import (
    MAX_MISFIT_RATIO,
    Estimate,
    Law,
    Scalability,
)
from slotbench.draw import units
from slotbench.draw.cell_table import CellTable

_LEFT: Final = frozenset({0, 6, 7})

LEGEND: Final = (
    "X(N) = λN / (1 + σ(N-1) + κN(N-1)), fitted to throughput over the slot counts, with 95 % intervals by a "
    "jackknife over rounds: λ, what one actor gets alone; σ, contention; κ, coherency; peak: where throughput "
    "is highest. σ and κ against the baseline are paired by rounds. A law that is off by more than "
    f"{units.percent(MAX_MISFIT_RATIO)} somewhere does not fit, and nothing is concluded from it. Under a GIL one "
    "thread runs Python at a time: σ is mostly what holds the GIL, the server's serial work among it, and only to "
    "a part locks; nothing is said beyond the slots measured."
)


def tables(found: Scalability) -> tuple[CellTable, ...]:
    """A table for each row of cells, in the order of the laws; what has too few slot counts below the last."""
    made = [
        _table(found.baseline, list(laws))
        for _, laws in groupby(found.laws, key=lambda law: law.row)
    ]
    if not found.missing or not made:
        return tuple(made)
    last = made[-1]
    lines = tuple(f"not fitted: {line}" for line in found.missing)
    return (*made[:-1], CellTable(last.name, last.header, last.rows, last.notes + lines, last.left))  # fmt: skip


def _table(baseline: str, laws: Sequence[Law]) -> CellTable:
    slots = ", ".join(map(str, max(laws, key=lambda law: len(law.slots)).slots))
    return CellTable(
        name=f"num_slots {slots}" + (f", {laws[0].row}" if laws[0].row else ""),
        header=(
            *("contender", "λ", "σ", "κ", "peak", "off by"),
            *(f"σ vs {baseline}", f"κ vs {baseline}"),
        ),
        rows=tuple(map(_row, laws)),
        notes=tuple(_notes(laws)),
        left=_LEFT,
    )


def _row(law: Law) -> tuple[str, ...]:
    return (
        law.contender,
        _rate(law.rate),
        _constant(law.contention),
        _constant(law.coherency),
        _peak(law),
        units.percent(law.misfit_ratio),
        law.contention_difference or "",
        law.coherency_difference or "",
    )


def _notes(laws: Sequence[Law]) -> Iterable[str]:
    fitting = [law for law in laws if law.fits]
    yield f"the law fits {len(fitting)} of {units.count(len(laws), 'contender')}"
    for law in fitting:
        if (
            law.contention_difference in {"higher", "lower"}
            and law.contention_over is not None
        ):
            over = law.contention_over
            yield f"{law.contender}: σ {law.contention_difference} by {_constant(_absolute(over))}"
    lifted = [law.contender for law in fitting if law.is_superlinear]
    if lifted:
        yield (f"more than linear, as batching makes it (σ below 0): {', '.join(lifted)}")
    single = [law.contender for law in laws if law.num_rounds < 2]
    if single:
        yield f"one round gives no interval: {', '.join(single)}"


def _absolute(over: Estimate) -> Estimate:
    """A difference without its sign, which the words beside it tell."""
    if over.point >= 0.0 or over.low is None or over.high is None:
        return over
    return Estimate(-over.point, -over.high, -over.low)


def _rate(rate: Estimate) -> str:
    shown = units.value(rate.point, "requests/s")
    if rate.low is None or rate.high is None:
        return shown
    return f"{shown} [{units.significant(rate.low)}, {units.significant(rate.high)}]"


def _constant(constant: Estimate) -> str:
    if constant.low is None or constant.high is None:
        return _small(constant.point)
    return f"{_small(constant.point)} [{_small(constant.low)}, {_small(constant.high)}]"


def _small(number: float) -> str:
    """Three digits; powers of ten where there would be many zeros: "0.0246", "2.15e-5"."""
    if number == 0.0 or abs(number) >= 1e-3:
        return units.significant(number)
    digits, power = f"{number:.2e}".split("e")
    return f"{digits}e{int(power)}"


def _peak(law: Law) -> str:
    """The number of actors, as far as it was measured; beyond that only that it is there."""
    most = law.slots[-1]
    if law.peak_slots.point > most:
        return f"> {most}"
    shown = _actors(law.peak_slots.point)
    low, high = law.peak_slots.low, law.peak_slots.high
    if low is None or high is None:
        return shown
    return f"{shown} [{_actors(low)}, {f'> {most}' if high > most else _actors(high)}]"


def _actors(number: float) -> str:
    return units.significant(number) if math.isfinite(number) else units.MISSING
