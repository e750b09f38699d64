"""What ``slotbench selftest`` found: tables of rates, what must hold, and what does not.

Every rate is a count of the record over the number of its comparisons. `render` writes a
terminal's text or JSON, `markdown` the tables for documentation.
"""

import dataclasses
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Final, get_args

from rich.text import Text

from slotbench.draw import units
from slotbench.draw.as_md import escape, pipes
from slotbench.draw.columns import GAP
from slotbench.draw.screen import PAPER, Screen, drawn
from slotbench.draw.table import MIN_WIDTH, Table, fitted, wrapped
from slotbench.records import (
    Criterion,
    MachinePart,
    Method,
    MethodCount,
    SelfTest,
    SelfTestSetting,
    SequentialMethod,
    VerdictCount,
)

SCHEMA: Final = "slotbench.selftest"

RIVAL_EFFECT: Final = 0.03
"""The effect at which methods are set beside each other."""

_ENOUGH: Final = 1_000
"""Comparisons of a setting, below which the opening says how little they show."""

_THROUGHPUT: Final = "throughput"
_P99: Final = "latency_p99"
_NO_SHARE: Final = units.MISSING


def tables(record: SelfTest) -> dict[str, Table]:
    """Every table by its name, "alarms" first and "criteria" last.

    "machine" is there only where real runs were made, "until decided" not in old records.
    """
    found = {
        "alarms": _by_method(
            record,
            "false alarms: differences claimed where there is none",
            0.0,
            lambda count: count.num_lower + count.num_higher,
            (
                "nominal: 5 %",
                "pyperf: compare_to, with ten slices or one value a trial; Mann-Whitney: on all "
                "slices, pooled; bootstrap: percentile, over trials",
                *(f"{name}: {title}" for name, title in _titles(record).items()),
            ),
        ),
        "found": _by_method(
            record,
            f"found: a slowdown of {units.percent(RIVAL_EFFECT)}, claimed in its direction",
            RIVAL_EFFECT,
            lambda count: (
                count.num_lower if count.metric == _THROUGHPUT else count.num_higher
            ),
            ("a method finds more, too, by raising more false alarms",),
        ),
        "coverage": _coverage(record),
        "power": _power(record),
        "verdicts": _verdicts(record),
    }
    if record.sequential:
        found["until decided"] = _until(record)
    if record.machine is not None:
        found["machine"] = _machine(record.machine)
    return found | {"criteria": _criteria(record.criteria)}


def markdown(record: SelfTest, *names: str) -> str:
    """Tables as GitHub Markdown, one below the other.

    Args:
        record: what to show.
        names: of `tables`; none is all, with their titles above them.
    """
    shown = tables(record)
    parts = []
    for name in names or shown:
        table = shown[name]
        if not names:
            parts.append(f"### {escape(table.title)}")
        rows = [[escape(cell) for cell in row] for row in table.rows]
        parts.append(pipes([escape(cell) for cell in table.header], rows, {0}))
        parts += [escape(note) for note in table.notes]
    return "\n\n".join(parts)


def render(record: SelfTest, screen: Screen = PAPER) -> str:
    """Everything as text, the failed criteria last."""
    width = max(screen.width, MIN_WIDTH)
    lines: list[Text] = [Text(opening(record), style="bold")]
    for table in tables(record).values():
        lines += [Text(""), Text(table.title, style="bold underline")]
        lines += map(Text, fitted(table, width))
        for note in table.notes:
            lines += (Text(line, style="dim") for line in wrapped(note, width, GAP))
    failed = [Text(line, style="red") for line in failures(record)]
    return drawn(
        [*lines, *([Text(""), *failed] if failed else [])], screen, min_width=MIN_WIDTH
    )


def as_json(record: SelfTest) -> str:
    """The record with its schema's name, and whether each criterion holds."""
    document = {"schema": SCHEMA, **dataclasses.asdict(record)}
    for data, criterion in zip(document["criteria"], record.criteria, strict=True):
        data["holds"] = criterion.holds
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def opening(record: SelfTest) -> str:
    """Say in a sentence what came of it."""
    num_held = sum(one.holds for one in record.criteria)
    num_comparisons = units.whole(record.num_comparisons)
    few = (
        ""
        if record.num_comparisons >= _ENOUGH
        else "; so few comparisons show gross faults only"
    )
    return (
        f"{num_held} of {units.whole(len(record.criteria))} criteria hold: "
        f"{units.count(len(record.settings), 'setting')} of {num_comparisons} comparisons each, "
        f"{units.count(_num_trials(record), 'simulated trial')}{few}"
    )


def failures(record: SelfTest) -> list[str]:
    """A line for each criterion that does not hold."""
    return [
        f"FAILED {one.name}: {units.whole(one.num_seen)} of {units.whole(one.num_of)}, allowed "
        f"{_allowed(one)} ({one.where})"
        for one in record.criteria
        if not one.holds
    ]


def _by_method(
    record: SelfTest,
    title: str,
    effect: float,
    number: Callable[[MethodCount], int],
    notes: tuple[str, ...],
) -> Table:
    """A row a setting, a column a method."""
    methods: Sequence[Method] = get_args(Method)
    columns = [(method, _THROUGHPUT) for method in methods] + [(methods[0], _P99)]

    def cell(setting: SelfTestSetting, method: str, metric: str) -> str:
        count = _count(setting, method, metric, effect)
        return _share(None if count is None else number(count), count)

    return Table(
        title,
        ("noise", "rounds", *methods, f"{methods[0]}, p99 latency"),
        tuple(
            (*_name(setting), *(cell(setting, *column) for column in columns))
            for setting in record.settings
        ),
        notes,
    )


def _coverage(record: SelfTest) -> Table:
    columns = (("slotbench", _THROUGHPUT), ("slotbench", _P99), ("bootstrap", _THROUGHPUT))

    def least(setting: SelfTestSetting, method: str, metric: str) -> str:
        found = [
            one
            for one in setting.counts
            if (one.method, one.metric) == (method, metric) and one.num_covered is not None
        ]
        if not found:
            return _NO_SHARE
        worst = min(found, key=lambda one: (one.num_covered or 0) / one.num_comparisons)
        return _share(worst.num_covered, worst)

    return Table(
        "coverage: intervals that hold the true ratio, the worst of all effects",
        ("noise", "rounds", "slotbench", "slotbench, p99 latency", "bootstrap"),
        tuple(
            (*_name(setting), *(least(setting, *column) for column in columns))
            for setting in record.settings
        ),
        (
            "nominal: 95 %, and the least of five is a little below; of p99 its bias is in it, too",
        ),
    )


def _power(record: SelfTest) -> Table:
    effects = [one for one in _effects(record) if one > 0]

    def cell(setting: SelfTestSetting, effect: float) -> str:
        count = _count(setting, "slotbench", _THROUGHPUT, effect)
        seen = _share(None if count is None else count.num_lower, count)
        theory = {one.effect: one.power_ratio for one in setting.predicted}
        return f"{seen} ({units.rate(theory[effect])})" if effect in theory else seen

    return Table(
        "power: slowdowns found in throughput",
        ("noise", "rounds", *map(units.percent, effects)),
        tuple(
            (*_name(setting), *(cell(setting, effect) for effect in effects))
            for setting in record.settings
        ),
        ("in brackets: what the noncentral t distribution predicts",),
    )


def _verdicts(record: SelfTest) -> Table:
    """What a user reads: verdicts with δ, by effect, and gates."""
    whats: dict[str, Callable[[VerdictCount], int]] = {
        "equivalent": lambda one: one.num_equivalent,
        "slower": lambda one: one.num_slower,
        "gate fails": lambda one: one.num_beyond,
    }
    wanted = [
        (0.0, "equivalent"), (0.0, "gate fails"), (0.01, "equivalent"), (0.01, "gate fails"),
        (0.03, "slower"), (0.05, "slower"), (0.05, "gate fails"), (0.1, "gate fails"),
    ]  # fmt: skip

    def cells(setting: SelfTestSetting) -> Iterable[str]:
        found = {one.effect: one for one in setting.verdicts if one.metric == _THROUGHPUT}
        for effect, what in wanted:
            one = found.get(effect)
            yield _NO_SHARE if one is None else _rate(whats[what](one), one.num_comparisons)
        wrong = [one for effect, one in found.items() if effect > 0]
        yield units.whole(sum(one.num_faster for one in wrong))

    names = [f"{units.percent(effect)}: {what}" for effect, what in wanted]
    return Table(
        f"verdicts on throughput, δ = {units.percent(record.threshold)}",
        ("noise", "rounds", *names, "slowdowns called faster"),
        tuple((*_name(setting), *cells(setting)) for setting in record.settings),
        ("the last column is a number of comparisons, of all effects above 0",),
    )


def _until(record: SelfTest) -> Table:
    """Runs until decided beside the same runs that judge every look at 95 %."""
    counts = {
        (x.noise, x.looks, x.method, x.metric, x.effect): x for x in record.sequential
    }
    effects = sorted({one.effect for one in record.sequential})
    rows = []
    for noise, looks in dict.fromkeys((x.noise, x.looks) for x in record.sequential):
        of = {
            (method, effect): counts[noise, looks, method, _THROUGHPUT, effect]
            for method in get_args(SequentialMethod)
            for effect in effects
        }
        ours, theirs = of["slotbench", effects[0]], of["peeking", effects[0]]
        p99 = counts[noise, looks, "slotbench", _P99, effects[0]]
        least = min(
            (one for (method, _), one in of.items() if method == "slotbench"),
            key=lambda one: one.num_covered / one.num_comparisons,
        )
        last = of["slotbench", effects[-1]]
        rows.append(
            (
                noise,
                ", ".join(map(units.whole, looks)),
                *(_rate(x.num_lower + x.num_higher, x.num_comparisons) for x in (ours, theirs, p99)),
                _rate(least.num_covered, least.num_comparisons),
                _rate(last.num_lower, last.num_comparisons),
                f"{ours.num_rounds / ours.num_comparisons:.1f}",
            )
        )  # fmt: skip
    return Table(
        "until decided: runs that stop when they are, by throughput",
        (
            *("noise", "looks after rounds", "false alarms", "judged at 95 % each"),
            *(
                "false alarms, p99 latency",
                "coverage",
                f"{units.percent(effects[-1])} found",
            ),
            "mean rounds",
        ),
        tuple(rows),
        (
            "nominal: 5 % false alarms at most, 95 % coverage at least; judged at 95 % each: the same "
            "runs without the correction; mean rounds: of what does not differ",
        ),
    )


def _machine(machine: MachinePart) -> Table:
    num_out = sum(not one.low <= 1.0 <= one.high for one in machine.repeated)
    num_repeated = len(machine.repeated)
    rows = tuple(
        (
            one.cell,
            units.percent(one.slowdown),
            units.close_ratio(1.0 / (1.0 + one.slowdown)),
            units.close_ratio(one.point),
            units.close_interval(one.low, one.high),
            one.verdict,
        )
        for one in machine.planted
    )
    return Table(
        "this machine: slowdowns planted in a real transport",
        ("cell", "planted", "true ratio", "seen", "95 % interval", "verdict"),
        rows,
        (
            f"A/A: {num_out} of {units.count(num_repeated, 'interval')} exclude 1",
            f"runs: {', '.join(machine.run_ids)}",
        ),
    )


def _criteria(criteria: Sequence[Criterion]) -> Table:
    """A row a kind of criterion with the same limits."""
    groups: dict[tuple[str, str], list[Criterion]] = {}
    for one in criteria:
        groups.setdefault((one.name, _allowed(one)), []).append(one)
    rows = []
    for (name, allowed), group in groups.items():
        seen = [one.num_seen for one in group]
        span = units.whole(min(seen))
        if max(seen) > min(seen):
            span += f" to {units.whole(max(seen))}"
        rows.append(
            (
                name,
                allowed,
                units.whole(group[0].num_of),
                span,
                f"{sum(one.holds for one in group)} of {len(group)}",
            )
        )
    return Table("criteria", ("what", "allowed", "of", "seen", "hold"), tuple(rows))


def _allowed(one: Criterion) -> str:
    low, high = units.whole(one.num_min), units.whole(one.num_max)
    if one.num_min == one.num_max:
        return low
    if one.num_max == one.num_of:
        return f"{low} or more"
    return f"{high} or fewer" if one.num_min == 0 else f"{low} to {high}"


def _count(
    setting: SelfTestSetting, method: str, metric: str, effect: float
) -> MethodCount | None:
    for one in setting.counts:
        if (one.method, one.metric, one.effect) == (method, metric, effect):
            return one
    return None


def _share(number: int | None, count: MethodCount | None) -> str:
    if number is None or count is None:
        return _NO_SHARE
    return _rate(number, count.num_comparisons)


def _rate(number: int, of: int) -> str:
    return units.rate(number / of if of else None)


def _name(setting: SelfTestSetting) -> tuple[str, str]:
    return setting.noise, units.whole(setting.rounds)


def _titles(record: SelfTest) -> dict[str, str]:
    """Noise → what it is, each once."""
    return {setting.noise: setting.noise_title for setting in record.settings}


def _effects(record: SelfTest) -> list[float]:
    return sorted({one.effect for setting in record.settings for one in setting.counts})


def _num_trials(record: SelfTest) -> int:
    return sum(setting.num_trials for setting in record.settings)
