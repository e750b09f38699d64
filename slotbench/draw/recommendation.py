"""A recommendation for a terminal, for Markdown and for a notebook: what to use, why, how sure that is.

As JSON it is its record: `slotbench.store.document`.
"""

import difflib
import html
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from rich.text import Text

from slotbench.compute.advice import DELTA, NEEDS, verdict
from slotbench.compute.statistics import MAX_MORE_BLOCKS, MIN_PAIRS_TO_EXTRAPOLATE
from slotbench.compute.transport_costs import load
from slotbench.compute.workloads import observation_bytes
from slotbench.draw import units
from slotbench.draw.as_md import bullets, escape, pipes
from slotbench.draw.columns import GAP
from slotbench.draw.screen import PAPER, Screen, drawn
from slotbench.draw.table import MIN_WIDTH, Table, fitted, wrapped
from slotbench.errors import SlotbenchError
from slotbench.records import Batching, Choice, ForecastError, Raced, Recommendation
from slotbench.records.recommendation import ForecastLimit, Origin, Regime

FORMATS: Final = ("text", "md", "json")

REGIMES: Final[dict[Regime, str]] = {
    "transport": "nothing to wait for, or the transport takes most of the time",
    "policy": "the policy takes most of the time",
    "think": "the environments take most of the time",
}
_LIMITS: Final[dict[ForecastLimit, str]] = {
    "think time": "the environments: an actor spends most of its time stepping",
    "policy": "the policy: it runs most of the time",
    "GIL": "the GIL: the environments' Python holds it most of the time",
    "processors": "the processors: environments and policy compute most of what these can",
    "transport": "the transport: its Python holds the GIL most of the time",
}
_MODES: Final = {
    "idle": "they wait, or run elsewhere: no processor and no GIL is theirs",
    "busy": "they compute and hold the GIL",
    "busy_nogil": "they compute without the GIL",
}


_LEAST_SHARE: Final = 0.001
_COLUMNS_RACED: Final = (
    "Forecast and raced: requests/s. Over: raced, over the recommended one (◀), paired by round, with its "
    "95 % interval. p99: 99 % of replies came within, as raced. Where a row was not raced: by forecast."
)
_COLUMNS_FORECAST: Final = (
    "Requests/s, forecast between the two ends of which 95 % of recorded measurements lay. Over: by "
    "forecast, over the recommended one (◀). p99: 99 % of replies came within, by forecast."
)


def render(record: Recommendation, name: str, screen: Screen = PAPER) -> str:
    """The recommendation in a format, ending in one line feed.

    Raises:
        SlotbenchError: no such format.
    """
    if name == "text":
        return show(record, screen)
    if name == "md":
        return markdown(record)
    if name == "json":
        from slotbench.store import document

        return document(record).decode("utf-8")
    raise _unknown(name)


def check_format(name: str) -> None:
    """Refuse an unknown format before anything is measured.

    Raises:
        SlotbenchError: it is none.
    """
    if name not in FORMATS:
        raise _unknown(name)


def _unknown(name: str) -> SlotbenchError:
    near = difflib.get_close_matches(name, FORMATS, n=1, cutoff=0.4) or FORMATS
    return SlotbenchError(f"unknown format {name!r}: did you mean {', '.join(near)}?")


def show(record: Recommendation, screen: Screen = PAPER) -> str:
    """As text: sentences, the table, assumptions. Nothing is ever cut."""
    width = max(screen.width, MIN_WIDTH)
    first, *others = sentences(record)
    parts = [Text(line, style="bold") for line in wrapped(first, width, 0)]
    for sentence in others:
        parts += map(Text, wrapped(sentence, width, 0))
    table = choices(record)
    parts += [Text(""), Text(table.title, style="bold")]
    parts += map(Text, fitted(table, width))
    for note in table.notes:
        parts += (Text(line, style="dim") for line in wrapped(note, width, GAP))
    for title, lines in (("assumed", assumptions(record)), ("check it", checks(record))):
        parts += [Text(""), Text(title, style="bold")]
        for line in lines:
            parts += map(Text, wrapped(f"- {line}", width, GAP))
    return drawn(parts, screen, min_width=MIN_WIDTH)


def markdown(record: Recommendation) -> str:
    """As GitHub Markdown."""
    first, *others = sentences(record)
    table = choices(record)
    rows = [(f"`{row[0]}`", *row[1:]) for row in table.rows]
    parts = [
        f"**{escape(first)}**",
        bullets(others),
        f"### {escape(table.title)}",
        pipes(table.header, rows, frozenset(range(table.num_left))),
        bullets(table.notes),
        "### assumed",
        bullets(assumptions(record)),
        "### check it",
        bullets(checks(record)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def fragment(record: Recommendation) -> str:
    """As an HTML fragment, which stands in a page that has its own style."""
    first, *others = map(html.escape, sentences(record))
    table = choices(record)

    def row(tag: str, cells: Sequence[str]) -> str:
        sides = ("left" if i < table.num_left else "right" for i in range(len(cells)))
        return "".join(
            f'<{tag} style="text-align:{side}">{html.escape(cell)}</{tag}>'
            for side, cell in zip(sides, cells, strict=True)
        )

    body = "".join(f"<tr>{row('td', cells)}</tr>" for cells in table.rows)
    small = (*table.notes, *assumptions(record), *checks(record))
    return (
        f'<div class="slotbench"><p><strong>{first}</strong></p>'
        + "".join(f"<p>{line}</p>" for line in others)
        + f"<table><thead><tr>{row('th', table.header)}</tr></thead><tbody>{body}</tbody>"
        + f"</table><ul>{''.join(f'<li>{html.escape(x)}</li>' for x in small)}</ul></div>"
    )


def sentences(record: Recommendation) -> list[str]:
    """What to use, what to expect, what limits it, and what else would do."""
    return [
        _use(record),
        _expect(record),
        *_race(record),
        *_outside(record),
        _limit(record),
        *_processes(record),
        *_latency(record),
        *_beside(record),
        *_others(record),
        *_trials(record),
        *record.notes,
    ]


def _use(record: Recommendation) -> str:
    one, num_envs = record.choices[record.chosen], record.workload.num_slots
    return (
        f"For {units.count(num_envs, 'environment')} use {one.contender} with "
        f"{_rule(one.batching, num_envs)}."
    )


def _expect(record: Recommendation) -> str:
    one = record.choices[record.chosen]
    told = f"{_per_s(one.low)} to {_per_s(one.high)}"
    if one.raced is None:
        return (
            f"Expect about {_per_s(one.per_s)} requests/s ({told}) in batches of about "
            f"{units.significant(one.mean_batch_size)}; this is a forecast, nothing was raced"
            f"{_untimed(record)}."
        )
    return (
        f"Expect about {_per_s(one.raced.per_s)} requests/s, as raced here"
        f"{_bracket(one.raced.low, one.raced.high)}; forecast were "
        f"{_per_s(one.per_s)} ({told})."
    )


def _untimed(record: Recommendation) -> str:
    """What the interval is worth where nobody knows how fast this machine is."""
    if record.is_pace_known:
        return ""
    paces = load().paces.values()
    return (
        ", and this machine was not timed: that does not hold where it is faster or slower than the "
        f"recorded ones (paces {units.ratio(min(paces))} to {units.ratio(max(paces))})"
    )


def _race(record: Recommendation) -> list[str]:
    """Where forecast and race disagree."""
    if not record.run:
        return []
    told, one = record.choices[record.forecast], record.choices[record.chosen]
    if told.raced is None:
        return [
            f"The forecast's choice, {told.contender}, has no usable number in the race: "
            "what is said of it is forecast alone."
        ]
    if record.chosen != record.forecast and one.raced is not None:
        raced = one.raced
        return [
            f"The forecast had recommended {told.contender} with "
            f"{_rule(told.batching, record.workload.num_slots)}; the race shows this one at "
            f"{units.ratio(raced.ratio)} {units.interval(raced.ratio_low, raced.ratio_high)} of "
            "it, and is followed."
        ]
    return []


def _outside(record: Recommendation) -> list[str]:
    """Which choices raced outside of their forecast's interval, recommended or not."""
    num_envs = record.workload.num_slots
    raced = [one for one in record.choices if one.raced is not None]
    outside = [
        f"{one.contender} ({_sizes(one.batching, num_envs)}) {_per_s(one.raced.per_s)}, not "
        f"{_per_s(one.low)} to {_per_s(one.high)}"
        for one in raced
        if one.raced is not None and not one.low <= one.raced.per_s <= one.high
    ]
    if not outside:
        return []
    return [
        f"Outside of what the forecast allowed: {len(outside)} of {len(raced)} that were raced: "
        f"{'; '.join(outside)}. Something here is not as the forecast assumes: trust the race."
    ]


def _limit(record: Recommendation) -> str:
    one = record.choices[record.chosen]
    text = f"What limits it is {_LIMITS[one.limit]}."
    if record.bound_per_s is None:
        return f"{text} Nothing else takes any time."
    reached = (one.per_s if one.raced is None else one.raced.per_s) / record.bound_per_s
    return (
        f"{text} No transport and no batching rule can exceed {_per_s(record.bound_per_s)} "
        f"requests/s; this is {units.whole_percent(min(reached, 1.0))} of it."
    )


def _processes(record: Recommendation) -> list[str]:
    one, times = record.choices[record.chosen], record.times
    if one.limit != "GIL":
        return []
    with_all = record.num_cpus / times.think_cpu_s
    return [
        f"Environments in processes would be better: their Python holds the GIL for "
        f"{units.seconds(times.think_gil_s)} a step, so that threads make at most "
        f"{_per_s(1 / times.think_gil_s)} requests/s whatever carries them, and "
        f"{units.count(record.num_cpus, 'processor')} could step up to {_per_s(with_all)}."
    ]


def _latency(record: Recommendation) -> list[str]:
    if record.max_latency_s is None:
        return []
    one, limit = record.choices[record.chosen], units.seconds(record.max_latency_s)
    raced = None if one.raced is None else one.raced.latency_p99_s
    told = one.latency_p99_s if raced is None else raced
    how = "forecast" if raced is None else "as raced"
    if one.is_fast_enough:
        return [
            f"99 % of replies take at most {units.seconds(told)} ({how}); {limit} were asked."
        ]
    return [
        f"Nothing tried keeps 99 % of replies within {limit}: this comes nearest, with "
        f"{units.seconds(told)} ({how}). A faster policy or fewer environments would."
    ]


def _beside(record: Recommendation) -> list[str]:
    said = []
    for place in record.beside:
        one = record.choices[place]
        times = units.ratio(_over(one, record.choices[record.chosen]))
        said.append(
            f"Where {one.needs}: {one.contender} with "
            f"{_rule(one.batching, record.workload.num_slots)} makes {times} of that."
        )
    return said


def _others(record: Recommendation) -> Iterator[str]:
    """What the transports that were not chosen cost, each under its best rule."""
    mine = record.choices[record.chosen]
    best: dict[str, Choice] = {}
    for one in record.choices:
        if one.contender != mine.contender and not one.needs:
            rival = best.setdefault(one.contender, one)
            if _over(one, mine) > _over(rival, mine):
                best[one.contender] = one
    if not best:
        return
    if mine.raced is None:
        yield _forecast_others(best, mine)
    else:
        yield from _raced_others(record, best)


def _forecast_others(best: Mapping[str, Choice], mine: Choice) -> str:
    far = {
        label: _over(one, mine)
        for label, one in best.items()
        if not 1 / (1 + DELTA) <= _over(one, mine) <= 1 + DELTA
    }
    if not far:
        return (
            "By forecast the transport does not matter here: no other one differs by more than "
            f"{units.percent(DELTA)}."
        )
    near = ", ".join(label for label in best if label not in far)
    shown = ", ".join(f"{label} {units.ratio(ratio)}" for label, ratio in far.items())
    return f"Others, each under the best rule tried: {shown}" + (
        f"; as good: {near}." if near else "."
    )


def _raced_others(record: Recommendation, best: Mapping[str, Choice]) -> Iterator[str]:
    """Who is shown to differ, who to be equivalent; and who neither, with what would decide."""
    raced = {label: one.raced for label, one in best.items() if one.raced is not None}
    missing = ", ".join(label for label in best if label not in raced)
    found = {label: verdict(one) for label, one in raced.items()}
    within = f"within ±{units.percent(DELTA)}"
    equal = [label for label in raced if found[label] == "equivalent"]
    open_ = [label for label in raced if found[label] == "inconclusive"]
    apart = [label for label in raced if label not in {*equal, *open_}]
    if equal and len(equal) == len(best):
        yield (
            "The transport does not matter here: every other one, under the best rule tried, is "
            f"equivalent in this race, its interval {within}."
        )
        return
    if apart:
        shown = ", ".join(f"{label} {_paired(raced[label])}" for label in apart)
        yield f"Others, each under the best rule tried: {shown}."
    if equal:
        yield f"Equivalent {within}: {', '.join(equal)}."
    if open_:
        shown = ", ".join(f"{label} {_paired(raced[label])}" for label in open_)
        yield f"This race did not tell apart: {shown}; {_decides(record, open_, raced)}."
    if missing:
        yield f"Without a usable number in the race: {missing}."


def _paired(one: Raced) -> str:
    """A ratio over the recommended choice with its interval, where it has one."""
    if one.over is None:
        return units.MISSING
    if one.over_low is None or one.over_high is None:
        return units.ratio(one.over)
    return f"{units.ratio(one.over)} {units.interval(one.over_low, one.over_high)}"


def _decides(
    record: Recommendation, labels: Sequence[str], raced: Mapping[str, Raced]
) -> str:
    """What would tell them apart, or show them equivalent."""
    race = record.race
    if race is None or race.num_rounds == 1:
        return "one round gives no interval: give more --rounds and --seconds"
    if race.num_rounds < MIN_PAIRS_TO_EXTRAPOLATE:
        return (
            f"{race.num_rounds} rounds are too few to say how many it takes: give more --rounds "
            "and --seconds"
        )
    needed = [n for label in labels if (n := raced[label].more_rounds) is not None]
    if not needed:
        return f"over {units.whole(MAX_MORE_BLOCKS)} more rounds would not decide either"
    first, last = min(needed), max(needed)
    about = f"{first} more" if first == last else f"{first} to {last} more"
    rest = "" if len(needed) == len(labels) else ", and not all of them"
    return (
        f"about {about} rounds would decide (now {race.num_rounds}: give more --rounds and "
        f"--seconds){rest}"
    )


def _trials(record: Recommendation) -> list[str]:
    """What the race consisted of, and what the machine did to it."""
    race = record.race
    if race is None:
        return []
    said = (
        f"The race took {units.duration(race.duration_s)}: "
        f"{units.count(race.num_rounds, 'round')}, {units.count(race.num_trials, 'trial')}"
    )
    if race.num_repeats:
        said += f", {units.count(race.num_repeats, 'block')} measured again"
    if race.num_disturbed:
        said += f"; {race.num_disturbed} used although the machine disturbed them"
    return [f"{said}."]


def choices(record: Recommendation) -> Table:
    """Contenders and rules, the best first."""
    is_raced = any(one.raced is not None for one in record.choices)
    num_envs = record.workload.num_slots
    mine = record.choices[record.chosen]
    rows = []
    for place, one in enumerate(record.choices):
        if not _is_shown(record, place):
            continue
        raced = one.raced
        tail = one.latency_p99_s if raced is None else raced.latency_p99_s
        rows.append(
            (
                one.contender + (" ◀" if place == record.chosen else ""),
                _sizes(one.batching, num_envs),
                # With a race there is no room for both intervals; what lies outside is said above.
                _per_s(one.per_s)
                if is_raced
                else f"{_per_s(one.per_s)} [{_per_s(one.low)}, {_per_s(one.high)}]",
                *([units.MISSING if raced is None else _per_s(raced.per_s)] * is_raced),
                _ratio(one, mine),
                units.value(tail, "s"),
            )
        )
    timeouts = {one.batching.timeout_ms for one in record.choices}
    notes = [
        f"Batch: least … largest. {_COLUMNS_RACED if is_raced else _COLUMNS_FORECAST}",
        "The timeout is "
        + " or ".join(f"{timeout:g} ms" for timeout in sorted(timeouts))
        + ", which matters where a minimum is above 1.",
    ]
    if any(row[-1] == units.MISSING for row in rows):
        notes.append(
            "p99 n/a: its windows held too few requests for a 99th percentile; more --seconds have more."
        )
    labels = {row[0].removesuffix(" ◀") for row in rows}
    notes += [f"{x} may be used where {NEEDS[x]}." for x in NEEDS if x in labels]
    return Table(
        "choices",
        (
            *("transport", "batch", "forecast"),
            *(["raced"] * is_raced),
            *("over", "p99"),
        ),
        tuple(rows),
        tuple(notes),
    )


def _is_shown(record: Recommendation, place: int) -> bool:
    """Every contender at its best; the recommended one, and TorchRL as it comes, under every rule."""
    one = record.choices[place]
    if one.contender == record.choices[record.chosen].contender:
        return True
    first = next(i for i, x in enumerate(record.choices) if x.contender == one.contender)
    return place == first


def assumptions(record: Recommendation) -> list[str]:
    """Where each number comes from, and what it does not say."""
    times, workload = record.times, record.workload
    leaves = workload.observation.leaves
    said = [
        f"environments: {_think(record)}",
        f"policy: {_policy(record)}",
        f"observation: {units.size(observation_bytes(leaves))} in "
        f"{units.count(len(leaves), 'leaf') if len(leaves) == 1 else f'{len(leaves)} leaves'}",
        f"this machine's Python takes {units.ratio(record.pace)} the time of the reference machine's"
        + (
            ", as timed"
            if record.is_pace_known
            else ": assumed, the mean of the recorded runs, since it was not timed; the intervals are as "
            "wide as these differ, and leaving out --no-measure times it"
        ),
    ]
    if times.misfit_ratio > 0.1:
        said.append(
            f"the policy's time is no line in the batch size: off by up to "
            f"{units.percent(times.misfit_ratio)}"
        )
    if record.run and workload.think_time.mode != "idle" and times.think_origin == "given":
        said.append(
            "environments that compute are simulated in the race until a time of day, whoever had the "
            "processor: real ones are slower where they wait for it, as the forecast has them"
        )
    said.append(
        "each transport is in its own server (ours: transports.InferenceServer), with actor threads that "
        "do nothing else: in TorchRL's AsyncBatchedCollector numbers differ (docs/end-to-end.md)"
    )
    said += list(_uncovered(record))
    return said


def _think(record: Recommendation) -> str:
    times, think = record.times, record.workload.think_time
    if times.think_origin == "assumed":
        return "their steps take no time (assumed: give --step-ms or --environment)"
    if times.think_origin == "measured":
        return (
            f"a step takes {units.seconds(times.think_s)}, timed here; that its computing, "
            f"{units.seconds(times.think_cpu_s)}, holds the GIL is assumed"
        )
    spread = {
        "constant": "always the same",
        "exponential": "exponential",
        "lognormal": "lognormal",
    }[think.distribution if think.distribution != "none" else "constant"]
    if think.distribution == "lognormal":
        spread += f", sigma {units.significant(think.sigma)}"
    return (
        f"a step takes {units.seconds(times.think_s)} on average ({spread}); "
        f"{_MODES[think.mode]}"
    )


def _policy(record: Recommendation) -> str:
    times = record.times
    if times.policy_origin == "assumed":
        return "takes no time (assumed: give --policy-ms or --policy)"
    how: dict[Origin, str] = {"given": "as given", "measured": "timed here", "assumed": ""}
    # What all rows together do not change the third digit of is rounding, or a fit's noise.
    rows_s = times.row_s * record.workload.num_slots
    rows = f" and {units.seconds(times.row_s)} a row"
    if rows_s < _LEAST_SHARE * times.batch_s:
        rows = ", whatever it holds"
    return (
        f"{units.seconds(times.batch_s)} a batch{rows}, "
        f"{how[times.policy_origin]}; it lets the GIL go"
    )


def _uncovered(record: Recommendation) -> Iterator[str]:
    """What no recorded run tried."""
    leaves = record.workload.observation.leaves
    paces = load().paces.values()
    if record.is_pace_known and not min(paces) <= record.pace <= max(paces):
        yield (
            f"forecasts were checked at paces of {units.ratio(min(paces))} to "
            f"{units.ratio(max(paces))} alone"
        )
    names = {
        "num_slots": (record.workload.num_slots, "environments", units.significant),
        "observation_bytes": (observation_bytes(leaves), "an observation", units.size),
        "num_leaves": (len(leaves), "leaves", units.significant),
        "think_ms": (record.times.think_s * 1e3, "ms a step", units.significant),
        "policy_ms": (record.times.batch_s * 1e3, "ms of policy", units.significant),
    }
    for name, (low, high) in load().covered.items():
        number, what, shown = names[name]
        if number > high * 1.001:
            yield (
                f"forecasts were never checked beyond {shown(high)} {what}: their intervals may "
                "be too narrow here"
            )
        elif number < low * 0.999:
            yield f"forecasts were never checked below {shown(low)} {what}"


def checks(record: Recommendation) -> list[str]:
    """How to reproduce it, and to look closer."""
    said = [shlex.join(record.command)] if record.command else []
    if record.run:
        said += [
            f"the race is recorded: slotbench compare {shlex.quote(record.run)} --explain",
            "its scenario: add --scenario FILE, then slotbench run FILE",
        ]
    else:
        said.append(
            "race it: leave out --no-measure; or add --scenario FILE, then slotbench run FILE"
        )
    said.append(
        "in TorchRL's collector: slotbench run FILE --contender slot@collector --contender "
        "torchrl.slot@collector"
    )
    return said


def error_rows(errors: Sequence[ForecastError]) -> list[tuple[str, ...]]:
    """A row a regime, metric and knowledge of the pace, for the documentation."""
    return [
        (
            "throughput" if one.metric == "throughput" else "p99 latency",
            REGIMES[one.regime],
            "timed" if one.is_pace_known else "assumed",
            f"{units.ratio(one.low)} … {units.ratio(one.high)}",
            units.ratio(one.median),
            f"{one.num_values} in {units.count(one.num_runs, 'run')}",
        )
        for one in errors
    ]


def _sizes(rule: Batching, num_envs: int) -> str:
    return (
        f"{units.whole(rule.min_batch_size)} … "
        f"{units.whole(min(rule.max_batch_size, num_envs))}"
    )


def _rule(rule: Batching, num_envs: int) -> str:
    size = f"max_batch_size={min(rule.max_batch_size, num_envs)}"
    if rule.min_batch_size == 1:
        return f"min_batch_size=1 and {size}"
    return f"min_batch_size={rule.min_batch_size}, {size} and a timeout of {rule.timeout_ms:g} ms"


def _over(one: Choice, mine: Choice) -> float:
    """Throughput over the recommended choice's: as raced where both were."""
    if one.raced is not None and mine.raced is not None:
        over = one.raced.over
        return one.raced.per_s / mine.raced.per_s if over is None else over
    return one.per_s / mine.per_s


def _ratio(one: Choice, mine: Choice) -> str:
    """The table's ratio, with the interval that the race gives it."""
    if one.raced is not None and one.raced.over is not None:
        return _paired(one.raced)
    return units.ratio(_over(one, mine))


def _per_s(number: float) -> str:
    return units.significant(number)


def _bracket(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" ({_per_s(low)} to {_per_s(high)})"
