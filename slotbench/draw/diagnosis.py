"""A diagnosis for a terminal and for a notebook: what the machine can tell apart, advice, tables.

As JSON it is its record: `slotbench.store.document`.
"""

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from rich.text import Text

from slotbench.compute import power, primitives
from slotbench.compute.metrics import get as get_metric
from slotbench.draw import units
from slotbench.draw.columns import GAP
from slotbench.draw.screen import PAPER, Screen, drawn
from slotbench.draw.table import MIN_WIDTH, Table, fitted, wrapped
from slotbench.records import CellNoise, Diagnosis, Resolvable, Scalar
from slotbench.records.diagnosis import DELTA, PrimitiveGroup, WaitKind

_WAITS: Final[dict[WaitKind, str]] = {
    "sleep": "time.sleep",
    "lock": "lock.acquire, timeout",
    "condition": "Condition.wait, timeout",
}
_GROUPS: Final[dict[PrimitiveGroup, str]] = {
    "hand-over": "hand-overs between two threads, there and back",
    "small rows": "work on a batch of 64 rows of 8 floats",
    "large rows": "work on a batch of 64 rows of 28 kB",
}


def show(diagnosis: Diagnosis, screen: Screen = PAPER) -> str:
    """The diagnosis as text: the opening, advice, tables. Nothing is ever cut."""
    width = max(screen.width, MIN_WIDTH)
    parts = [Text(line, style="bold") for line in opening(diagnosis)]
    parts += [Text(line, style="dim") for line in _facts(diagnosis)]
    parts += [Text(""), Text("advice", style="bold")]
    parts += _advice(diagnosis, width)
    for table in tables(diagnosis):
        parts += [Text(""), Text(table.title, style="bold")]
        parts += map(Text, fitted(table, width))
        for note in table.notes:
            parts += (Text(line, style="dim") for line in wrapped(note, width, GAP))
    return drawn(parts, screen, min_width=MIN_WIDTH)


def fragment(diagnosis: Diagnosis) -> str:
    """The same as an HTML fragment, which stands in a page that has its own style."""
    first, *others = map(html.escape, opening(diagnosis))
    advice = "".join(
        f"<li><strong>{html.escape(one.seen)}</strong>: {html.escape(one.why)}. "
        f"<em>{html.escape(one.remedy)}</em></li>"
        for one in diagnosis.advice
    )
    return "".join(
        (
            f'<div class="slotbench"><p><strong>{first}</strong></p>',
            *(f"<p>{line}</p>" for line in others),
            f"<ul>{advice or f'<li>{_NO_ADVICE}</li>'}</ul>",
            *map(_html_table, tables(diagnosis)),
            f"<p><small>{'<br>'.join(map(html.escape, _facts(diagnosis)))}</small></p></div>",
        )
    )


def opening(diagnosis: Diagnosis) -> list[str]:
    """What this machine can tell apart: a sentence a cell, by throughput."""
    noise = diagnosis.noise
    said = []
    for cell in noise.cells:
        if cell.metric != "throughput":
            continue
        where = f"{cell.cell}, {noise.num_actors} actors"
        found = _of(diagnosis, cell)
        if not found:
            said.append(
                f"{where}: too few trials gave a number to say what can be told apart."
            )
            continue
        first, last = found[0], found[-1]
        said.append(
            f"{where}: {first.rounds} rounds show differences of about {_about(first)} in "
            f"throughput, {last.rounds} rounds of about {_about(last)}; "
            f"{_needed(cell)} for {units.percent(DELTA)}."
        )
    return said


def tables(diagnosis: Diagnosis) -> Iterator[Table]:
    """All tables, in the order shown."""
    yield _rounds(diagnosis)
    yield _noise(diagnosis)
    yield _timers(diagnosis)
    yield _recorder(diagnosis)
    for group in _GROUPS:
        yield _primitives(diagnosis, group)


def _noise(diagnosis: Diagnosis) -> Table:
    noise = diagnosis.noise
    notes = [
        f"{noise.contender} against itself, {units.count(noise.num_rounds, 'round')}. The noise floor is "
        "the half-width of the A/A interval: what such a run cannot tell from nothing."
    ]
    if noise.num_disturbed or noise.num_invalid or noise.num_failed:
        notes.append(
            f"Of {units.count(noise.num_trials, 'trial')} {noise.num_disturbed} were DISTURBED, "
            f"{noise.num_invalid} INVALID, {noise.num_failed} failed:"
        )
        notes += noise.remarks
    if noise.num_workers == 1:
        notes.append(
            "All trials came from one worker process: what differs between fresh ones is not in it."
        )
    return Table(
        "noise floor (A/A)",
        ("cell", "metric", "value", "second over first", "95 % interval", "noise floor"),
        tuple(
            (
                cell.cell,
                get_metric(cell.metric).label,
                units.value(cell.value, get_metric(cell.metric).unit),
                units.ratio(cell.ratio),
                units.interval(cell.low, cell.high),
                units.percent(_rounded(cell.noise_floor)),
            )
            for cell in noise.cells
        ),
        tuple(notes),
        num_left=2,
    )


def _rounds(diagnosis: Diagnosis) -> Table:
    noise = diagnosis.noise
    numbers = list(dict.fromkeys(found.rounds for found in diagnosis.resolvable))
    rows = []
    for cell in noise.cells:
        by_rounds = {found.rounds: found for found in _of(diagnosis, cell)}
        rows.append(
            (
                cell.cell,
                get_metric(cell.metric).label,
                *(_bracketed(by_rounds.get(number)) for number in numbers),
                _whole(cell.rounds_needed),
            )
        )
    return Table(
        "what rounds can tell apart",
        (
            *("cell", "metric"),
            *(units.count(number, "round") for number in numbers),
            f"rounds for {units.percent(DELTA)}",
        ),
        tuple(rows),
        (
            f"A true difference of so much is found in {units.percent(power.POWER)} of runs; in brackets, "
            "what it is for the least and the largest spread that so few A/A pairs leave plausible (95 %). "
            "A smaller one may be found, by luck; what a run of yours resolves, its own A/A says.",
        ),
        num_left=2,
    )


def _whole(number: int | None) -> str:
    return units.MISSING if number is None else units.whole(number)


def _timers(diagnosis: Diagnosis) -> Table:
    timers = diagnosis.timers
    return Table(
        "timers: how much longer a wait takes than asked",
        ("wait", "asked", "median longer", "90 % are below"),
        tuple(
            (
                _WAITS[wait.kind],
                units.seconds(wait.asked_s),
                units.value(wait.over_p50_s, "s"),
                units.value(wait.over_p90_s, "s"),
            )
            for wait in timers.waits
        ),
        (
            f"The clock is {timers.clock}: {units.seconds(timers.read_s)} a read, smallest step seen "
            f"{units.seconds(timers.step_s)}, resolution as claimed {units.seconds(timers.claimed_s)}.",
        ),
    )


def _recorder(diagnosis: Diagnosis) -> Table:
    costs = diagnosis.recorder
    servers = [
        (
            f"id leaf, echo and batch stamps, in the server ({one.collate})",
            units.seconds(one.adds_s),
            units.seconds(one.batch_s),
        )
        for one in costs.servers
    ]
    return Table(
        "what slotbench adds to a request",
        ("part", "adds", "without it"),
        (
            ("stamps and loop, in the actor", units.seconds(costs.stamps_s), ""),
            ("id check, in the actor", units.seconds(costs.check_s), ""),
            *servers,
        ),
        (
            f"Per request, one thread, nothing else running; batches of {costs.num_rows}. Without it: "
            "collating and unbinding the same batch without the id. What one more leaf costs inside a "
            "transport, and waiting for the GIL, are not in it.",
        ),
    )


def _primitives(diagnosis: Diagnosis, group: PrimitiveGroup) -> Table:
    rows = []
    number = 0
    for one in diagnosis.primitives:
        if one.group != group:
            continue
        found = primitives.cost(one)
        number = len(one.runs)
        rows.append(
            (
                one.name.removeprefix("hand-over: ").partition(", 64 rows")[0],
                units.seconds(found.time_s),
                units.value_interval(found.fastest_s, found.slowest_s, "s"),
                units.seconds(found.cpu_s),
                units.significant(found.voluntary),
                units.significant(found.involuntary),
            )
        )
    return Table(
        _GROUPS[group],
        (
            "primitive",
            "time",
            "from … to",
            "CPU time",
            "switches, voluntary",
            "switches, involuntary",
        ),
        tuple(rows),
        (
            "Per operation. Time: geometric mean over "
            f"{units.whole(number)} processes of each one's median; from … to: the fastest "
            "and the slowest of them; the rest: means.",
        ),
    )


_NO_ADVICE: Final = "nothing to do: no rule found fault with this machine"


def _advice(diagnosis: Diagnosis, width: int) -> list[Text]:
    if not diagnosis.advice:
        return [Text(f"{' ' * GAP}{_NO_ADVICE}", style="green")]
    parts = []
    for one in diagnosis.advice:
        parts += [Text(x, style="yellow") for x in wrapped(f"- {one.seen}", width, GAP)]
        parts += [Text(x) for x in wrapped(f"Why: {one.why}.", width, 2 * GAP)]
        parts += [Text(x) for x in wrapped(f"Do: {one.remedy}.", width, 2 * GAP)]
    return parts


def _facts(diagnosis: Diagnosis) -> list[str]:
    here = diagnosis.environment
    machine = [
        str(here.get("cpu_model_name", "CPU not known")),
        units.count(int(here.get("cpu_affinity_count", here.get("cpu_count", 1))), "CPU"),
        f"Python {str(here.get('python_version', '?')).partition(' ')[0]}{_gil(here)}",
        f"torch {here.get('torch_version', '?')}",
    ]
    noise = diagnosis.noise
    how = (
        f"{units.count(noise.num_rounds, 'round')} of {noise.contender} against itself, "
        f"{units.duration(diagnosis.total_s)}, {diagnosis.created_at}"
    )
    lines = [", ".join(machine), how]
    if diagnosis.is_quick:
        lines.append(
            "quick: few rounds and processes, so all of it is rough; leave out --quick"
        )
    return lines


def _gil(here: Mapping[str, Scalar]) -> str:
    """What a free-threaded build says of its GIL; others have it, which goes without saying."""
    if not here.get("python_free_threaded_build"):
        return ""
    return f" free-threaded, GIL {'on' if here.get('gil_enabled') else 'off'}"


def _of(diagnosis: Diagnosis, cell: CellNoise) -> list[Resolvable]:
    return [
        found
        for found in diagnosis.resolvable
        if (found.cell, found.metric) == (cell.cell, cell.metric)
    ]


def _about(found: Resolvable) -> str:
    """An effect with its range, in a sentence: "13 % (7.6 to 42 %)"."""
    effect, low, high = _shares(found)
    return f"{effect} ({low.removesuffix(' %')} to {high})"


def _bracketed(found: Resolvable | None) -> str:
    """The same in a table: "13 % [7.6, 42]"."""
    if found is None:
        return units.MISSING
    effect, low, high = _shares(found)
    return f"{effect} [{low.removesuffix(' %')}, {high.removesuffix(' %')}]"


def _shares(found: Resolvable) -> tuple[str, str, str]:
    effect, low, high = (
        units.percent(_rounded(share))
        for share in (found.effect, found.effect_low, found.effect_high)
    )
    return effect, low, high


def _needed(cell: CellNoise) -> str:
    """Rounds with their range: two digits, since a spread of a few pairs is known no better."""
    if cell.rounds_needed is None:
        return f"over {units.whole(power.MAX_ROUNDS)} rounds would be needed"
    ends = [
        None if sd is None else power.rounds_needed(DELTA, sd)
        for sd in (cell.log_sd_low, cell.log_sd_high)
    ]
    low, high = (
        f"over {units.whole(power.MAX_ROUNDS)}" if end is None else _two_digits(end)
        for end in ends
    )
    about = _two_digits(cell.rounds_needed)
    return f"about {about} rounds ({low} to {high}) would be needed"


def _two_digits(number: int) -> str:
    return units.whole(round(float(f"{number:.2g}")))


def _rounded(share: float | None) -> float | None:
    """Two digits: no spread of a few pairs is known better."""
    return None if share is None else float(f"{share:.2g}")


def _html_table(table: Table) -> str:
    def row(tag: str, cells: Sequence[str]) -> str:
        sides = ("left" if i < table.num_left else "right" for i in range(len(cells)))
        return "".join(
            f'<{tag} style="text-align:{side}">{html.escape(cell)}</{tag}>'
            for side, cell in zip(sides, cells, strict=True)
        )

    body = "".join(f"<tr>{row('td', cells)}</tr>" for cells in table.rows)
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in table.notes)
    return (
        f"<p><strong>{html.escape(table.title)}</strong></p><table><thead><tr>"
        f"{row('th', table.header)}</tr></thead><tbody>{body}</tbody></table>"
        f"<ul>{notes}</ul>"
    )
