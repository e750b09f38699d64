"""What the documentation shows is what the code and the recorded runs say.

``python tests/test_docs.py`` writes every block anew.
"""

import dataclasses
import functools
import math
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import scipy.stats

import slotbench
from slotbench import scenario, store
from slotbench.api import Run
from slotbench.compute import loads, nodes, transport_costs, validity
from slotbench.contenders import python_of
from slotbench.draw import (
    as_md,
    looks,
    prediction_check,
    recommendation,
    render,
    scaling_table,
    selftest,
    slo,
    told,
    twin_table,
    units,
)
from slotbench.draw import profile as drawn
from slotbench.draw.as_md import escape
from slotbench.frames import ratios_by_node_frame
from slotbench.records import RunRecord, TrialRecord

ROOT = Path(__file__).parent.parent
LIMITS: Final = ROOT / "results/reference/limits"
LIMITS_FIRST: Final = ROOT / "results/reference/limits_first"
WAKEUPS: Final = ROOT / "results/reference/wakeups"
WAKEUPS_ONE_CORE: Final = ROOT / "results/reference/wakeups_one_core"
_THEIRS_DEFAULT: Final = "torchrl.slot"
_OURS: Final = ("slot", "slot[preallocate]", "slot[inline]")
_FRESH, _REUSED = ", observation.reuse_request=false", ", observation.reuse_request=true"
TARGETS: Final = [
    # what, cell, contenders, against, at least
    *(("N = 1", f"num_slots=1{x}", ("slot", "slot[inline]"), "best", 2.5) for x in (_FRESH, _REUSED)),
    ("N = 1", f"num_slots=1{_FRESH}", ("slot[inline]",), "default", 4.0),
    *(
        (f"N = {n}", f"num_slots={n}{x}", _OURS, "best", 2.0)
        for n in (16, 64, 256)
        for x in (_FRESH, _REUSED)
    ),
    *((f"N = {n}", f"num_slots={n}{_FRESH}", ("slot",), "default", 4.0) for n in (16, 64, 256)),
    *((f"N = {n}", f"num_slots={n}{_FRESH}", ("slot",), "floor", 0.5) for n in (16, 64, 256)),
    ("8 floats", f"num_slots=64{_FRESH}", ("slot[preallocate]",), "slot", 0.97),
    ("28 kB", "observation.shape=[84,84,4], observation.dtype=uint8", ("slot[preallocate]",), "slot", 1.0),
    ("113 kB", "observation.shape=[84,84,4], observation.dtype=float32", ("slot[preallocate]",), "slot", 1.2),
    ("602 kB", "observation.shape=[3,224,224], observation.dtype=float32", ("slot[preallocate]",), "slot", 2.0),
    *((f"{n} leaves", f"num_slots=16, observation.num_leaves={n}", ("slot",), "best", 2.0) for n in (16, 288)),
]  # fmt: skip


COMMANDS: Final = (
    *(
        "run",
        "advise",
        "predict",
        "compare",
        "history",
        "profile",
        "slo",
        "report",
        "plot",
        "show",
        "export",
        "check",
    ),
    *("doctor", "selftest", "list"),
)
DOCTOR: Final = ROOT / "results/reference/doctor.json"
PRIMITIVES: Final = ROOT / "results/reference/primitives.json"
SELFTEST: Final = ROOT / "results/reference/selftest.json"
SELFTEST_UNTIL: Final = ROOT / "results/reference/selftest_until.json"
"""Of a later version, which simulates runs until decided, too; 500 comparisons a setting."""
PREDICTION: Final = ROOT / "results/reference/prediction.json"
SERVERS: Final[dict[str, Any]] = {
    "num_envs": 10_000,
    "step_ms": 5,
    "policy_ms": 20,
    "policy_per_item_ms": 0.1,
    "max_batch": 512,
    "min_batch": (1, "n*"),
    "servers": (16, 32, 64, 128),
    "queues": ("shared", "own"),
    "max_latency_ms": 80,
}
LOSSES: Final = ROOT / "results/reference/losses"
LOSERS: Final = ("threading", "slot", "torchrl.slot[collate=lazy_stack]")
REFERENCE: Final = ROOT / "results/reference"
TWINS: Final = ("twin_cartpole", "twin_ant", "twin_pong", "twin_envpool_pong")
COLLECTED: Final = (
    ("nothing else to do", "collector", "num_slots=8"),
    ("CartPole and an MLP", "collector_cartpole", "num_slots=8"),
    ("TorchRL's pixels and CNN", "collector_pixels", "num_slots=8"),
    ("policy of 20 ms, at once", "collector_slow_policy", "batching.min_batch_size=1"),
    (
        "policy of 20 ms, for all 8",
        "collector_slow_policy",
        "batching.min_batch_size=num_slots",
    ),
)
BETWEEN_PROCESSES: Final = (
    ("1 actor", "process_transports", "num_slots=1"),
    ("8 actors", "process_transports", "num_slots=8, model.latency_ms=0"),
    ("8, policy of 5 ms", "process_transports", "num_slots=8, model.latency_ms=5"),
    (
        "8, 28 kB of pixels",
        "process_transports",
        "observation.shape=[4,84,84], observation.dtype=uint8",
    ),
    (
        "8, 2 ms of Python a step, policy of 1 ms",
        "process_transports",
        "think_time.distribution=constant, think_time.mode=busy, think_time.mean_ms=2, "
        "model.latency_ms=1",
    ),
)
RAY: Final = (
    ("1 actor", "ray_transport", "num_slots=1"),
    ("8 actors", "ray_transport", "num_slots=8"),
)
OF_THE_LIBRARY: Final = (
    ("`rl_pixels_8`", "rl_pixels_8", "all"),
    ("`mujoco_ant_cpu`, envs wait", "mujoco_ant_cpu", "think_time.mode=idle"),
    ("`mujoco_ant_cpu`, envs compute", "mujoco_ant_cpu", "think_time.mode=busy_nogil"),
    ("`atari_torchbeast`", "atari_torchbeast", "all"),
)
REAL_ANTS: Final = 'num_slots=16, environment={"id":"Ant-v5","options":{"include_cfrc_ext_in_observation":false}}'
HISTORY: Final = REFERENCE / "history"
UNDER_LOAD: Final = REFERENCE / "latency_vs_load"
CLOSE_CALL: Final = REFERENCE / "close_call"
GIL: Final = REFERENCE / "gil"
ON_RAY: Final = REFERENCE / "quickstart_on_ray"
PROFILE: Final = ROOT / "results/reference/quickstart-profile"
SLO: Final = ROOT / "results/reference/quickstart-slo"


def limits_table(run: Run) -> str:
    """Requests per second of TorchRL's default, its best of the cell, ours and the floor.

    Ours are followed by their ratio to TorchRL's best of that cell, the contender of TorchRL's
    with the highest throughput there, with its 95 % interval over blocks.
    """
    labels = [contender.label for contender in run.record.scenario.contenders]
    theirs = [label for label in labels if label.startswith("torchrl.")]
    values = {(row.cell, row.contender): row for row in throughput_rows(run, None)}
    against = {
        label: {(row.cell, row.contender): row for row in throughput_rows(run, label)}
        for label in theirs
    }
    head = ("cell", "TorchRL, default", "TorchRL, best", *(f"`{name}`" for name in _OURS))
    lines = [
        f"| {' | '.join((*head, '`floor`'))} |",
        "| --- | " + " | ".join("---:" for _ in (*head, "floor")[1:]) + " |",
    ]
    for cell in run.record.scenario.cells:
        best = max(theirs, key=lambda label: values[cell.name, label].value or 0.0)
        cells = [
            cell.name.replace("_", r"\_"),
            _per_s(values[cell.name, _THEIRS_DEFAULT].value),
            f"{_per_s(values[cell.name, best].value)} ({_short(best)})",
            *(_compared(against[best][cell.name, name]) for name in _OURS),
            _per_s(values[cell.name, "floor"].value),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def help_block(command: str) -> str:
    """``slotbench COMMAND --help`` in a fence."""
    text = subprocess.run(
        [sys.executable, "-m", "slotbench", command, "--help"],
        env={**os.environ, "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return f"```text\n{text.strip()}\n```"


def rules_table() -> str:
    """A row a rule: when it speaks, why it matters, what to do."""
    lines = ["| rule | | when | why | what to do |", "|" + " --- |" * 5]
    for rule in validity.RULES:
        severity = "warning" if rule.severity == "warning" else f"**{rule.severity}**"
        cells = (f"`{rule.name}`", severity, rule.threshold, rule.why, rule.remedy)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def again_table(first: Run, now: Run) -> str:
    """Ratios of ours to TorchRL's best of each cell in two runs, and their mean change."""
    ratios = [_over_best(run) for run in (first, now)]
    lines = [
        "| cell | " + " | ".join(f"`{name}`, first | now" for name in _OURS) + " |",
        "| --- |" + " ---: |" * 2 * len(_OURS),
    ]
    for cell in now.record.scenario.cells:
        shown = [
            f"{ratio.point:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]"
            for name in _OURS
            for ratio in (of_run[cell.name, name] for of_run in ratios)
        ]
        name = cell.name.replace("_", r"\_")
        lines.append(f"| {name} | {' | '.join(shown)} |")
    means = []
    for ours in _OURS:
        changes = np.log(
            [
                ratios[1][cell.name, ours].point / ratios[0][cell.name, ours].point
                for cell in now.record.scenario.cells
            ]
        )
        low, high = scipy.stats.t.interval(
            0.95, len(changes) - 1, changes.mean(), scipy.stats.sem(changes)
        )
        mean = np.exp(changes.mean())
        means.append(f" | {mean:.2f} [{np.exp(low):.2f}, {np.exp(high):.2f}]")
    lines.append(f"| **now over first**, mean over cells | {' | '.join(means)} |")
    return "\n".join(lines)


def _over_best(run: Run) -> dict[tuple[str, str], Any]:
    """Ours over TorchRL's best, by cell and contender."""
    labels = [contender.label for contender in run.record.scenario.contenders]
    theirs = [label for label in labels if label.startswith("torchrl.")]
    values = {
        (row.cell, row.contender): row.value or 0.0 for row in throughput_rows(run, None)
    }
    against = {
        label: {(row.cell, row.contender): row.ratio for row in throughput_rows(run, label)}
        for label in theirs
    }
    return {
        (cell.name, name): against[max(theirs, key=lambda x: values[cell.name, x])][
            cell.name, name
        ]
        for cell in run.record.scenario.cells
        for name in _OURS
    }


def wakeups_table(*runs: Run) -> str:
    """Requests per second in each run, and ours with the ratio to the baseline, TorchRL's best."""
    rows = [
        {(row.cell, row.contender): row for row in throughput_rows(run, None)}
        for run in runs
    ]
    lines = [
        "| actors | TorchRL's slot, lazy\\_stack; on one core | `slot`; on one core | "
        "`slot[inline]`; on one core | `floor`; on one core |",
        "| ---: | ---: | ---: | ---: | ---: |",
    ]
    for cell in runs[0].record.scenario.cells:
        shown = [
            "; ".join(show(of_run[cell.name, name]) for of_run in rows)
            for name, show in (
                ("torchrl.slot[collate=lazy_stack]", lambda row: _per_s(row.value)),
                ("slot", _compared),
                ("slot[inline]", _compared),
                ("floor", lambda row: _per_s(row.value)),
            )
        ]
        lines.append(f"| {cell.workload.num_slots} | {' | '.join(shown)} |")
    return "\n".join(lines)


def targets_table(run: Run) -> str:
    """Each target with what is recorded; decided where its interval lies on one side of it."""
    labels = [contender.label for contender in run.record.scenario.contenders]
    against = {
        label: {(row.cell, row.contender): row for row in throughput_rows(run, label)}
        for label in (*(x for x in labels if x.startswith("torchrl.")), "floor", "slot")
    }
    lines = ["| | requests | contender | over | target | recorded | |", "|" + " --- |" * 7]
    for what, cell, contenders, over, target in TARGETS:
        theirs = [label for label in labels if label.startswith("torchrl.")]
        base = {
            "best": max(
                theirs, key=lambda x: against["slot"][cell, x].value
            ),  # called at once
            "default": _THEIRS_DEFAULT,
        }.get(over, over)
        for contender in contenders:
            ratio = against[base][cell, contender].ratio
            verdict = (
                "**reached**"
                if ratio.low >= target
                else "**missed**"
                if ratio.high < target
                else "undecided"
            )
            cells = (
                what,
                "reused" if cell.endswith(_REUSED) else "fresh",
                f"`{contender}`",
                {"best": "TorchRL's best", "default": "its default"}.get(over, f"`{over}`"),
                f"{target:g}×",
                f"{ratio.point:.2f}× [{ratio.low:.2f}, {ratio.high:.2f}]",
                verdict,
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def throughput_rows(run: Run, baseline: str | None) -> Any:
    return run.compare(baseline=baseline, metrics=["throughput"]).rows


def _compared(row: Any) -> str:
    ratio = row.ratio
    return f"{_per_s(row.value)}, {ratio.point:.2f}× [{ratio.low:.2f}, {ratio.high:.2f}]"


def _per_s(value: float | None) -> str:
    return "–" if value is None else f"{float(f'{value:.3g}'):,.0f}".replace(",", " ")


def _short(label: str) -> str:
    name, _, collate = label.removeprefix("torchrl.").partition("[collate=")
    return f"{name}, {collate.rstrip(']') or 'default'}".replace("_", r"\_")


def quickstart_table() -> str:
    """What ``slotbench compare results/reference/quickstart --format md`` prints."""
    run = slotbench.load(ROOT / "results/reference/quickstart")
    return render(run.compare(), "md").replace("## ", "### ", 1).strip()


def grid_answers() -> str:
    """A line an answer, as a report says them."""
    run = slotbench.load(ROOT / "results/reference/grid")
    return "\n".join(
        f"- **{escape(about)}.** {escape(text)}" for about, text in run.answers.items()
    )


def profile_answers() -> str:
    """What explains the difference, in a sentence a cell of the reference profile."""
    shown = drawn.page(slotbench.load_profile(PROFILE).stored)
    return "\n".join(
        f"- **{escape(cell.name)}.** {escape(cell.sentences[0].text)}"
        for cell in shown.cells
    )


def profile_tables(*titles: str, of: Sequence[str] = ()) -> str:
    """Tables of the reference profile, first cell, as ``slotbench report`` writes them.

    Args:
        titles: of the tables, one below the other.
        of: contenders whose rows are shown; () is all.
    """
    stored = slotbench.load_profile(PROFILE).stored
    cell = stored.profile.scenario.cells[0].name
    shown = drawn.page(stored, cells=[cell], between=("threading", "slot"))
    tables = {table.title: table for table in shown.cells[0].tables}
    parts = []
    for title in titles:
        table = tables[title]
        rows = [
            [
                f"`{x}`" if column in table.codes else escape(x)
                for column, x in enumerate(row)
            ]
            for row in table.rows
            if not of or row[1] in of
        ]
        parts.append(as_md.pipes([escape(x) for x in table.header], rows, table.left))
    return "\n\n".join(parts)


def doctor_text() -> str:
    """What ``slotbench doctor`` printed where the reference diagnosis was made."""
    return f"```text\n{slotbench.load_diagnosis(DOCTOR)}".rstrip() + "\n```"


def selftest_tables(*names: str) -> str:
    """Tables of the recorded self-test."""
    return selftest.markdown(store.read_selftest(SELFTEST), *names)


def selftest_until() -> str:
    """Runs until decided, of the self-test that has them."""
    if not SELFTEST_UNTIL.is_file():
        return "No self-test with such runs is recorded here yet."
    record = store.read_selftest(SELFTEST_UNTIL)
    return selftest.markdown(record, "until decided")


def losses_table(run: Run) -> str:
    """A row a cell: the steps from the bound to the floor, and two contenders below it."""
    rows = []
    for cell, of_cell in run.losses.groupby("cell", sort=False):
        first = of_cell.iloc[0]
        whole = of_cell.set_index("contender")["overhead"]
        rows.append(
            (
                str(cell).replace("_", r"\_"),
                _per_s(first["bound_per_s"]),
                f"{first['batching']:.2f}×",
                _per_s(first["free_per_s"]),
                f"{first['waking']:.2f}× [{first['waking_low']:.2f}, {first['waking_high']:.2f}]",
                _per_s(first["floor_per_s"]),
                *(f"{whole[name]:.2f}×" for name in LOSERS),
            )
        )
    header = (
        *("cell", "bound", "÷ batching", "free transport", "÷ waking", "floor"),
        *(f"free transport over `{name}`" for name in LOSERS),
    )
    return as_md.pipes(header, rows, {0})


def history_page() -> str:
    """What ``slotbench history --results results/reference/history --format md`` prints."""
    if not HISTORY.is_dir():
        return "No run of it is recorded here yet."
    return slotbench.history(results_dir=HISTORY).render("md").replace("## ", "### ", 1).strip()  # fmt: skip


def under_load() -> str:
    """Offered load by contender: p99 latency, and what is served where that is less."""
    if not UNDER_LOAD.is_dir():
        return "No run of it is recorded here yet."
    found = loads.points(*run_and_trials(UNDER_LOAD))
    labels = list(dict.fromkeys(point.contender for point in found))
    at = {(point.cell, point.contender): point for point in found}
    rows = []
    for cell in dict.fromkeys(point.cell for point in found):
        offered_per_s = next(p.offered_per_s for p in found if p.cell == cell)
        said = [_under_load(at.get((cell, label))) for label in labels]
        rows.append([f"{units.whole(round(offered_per_s))}/s", *said])
    header = ("offered", *(f"`{label}`" for label in labels))
    return as_md.pipes(header, rows, frozenset({0}))


def _under_load(point: loads.LoadPoint | None) -> str:
    if point is None or point.latency_p99_s is None or point.served_per_s is None:
        return "n/a"
    shown = units.value(point.latency_p99_s, "s")
    if point.p99_interval is not None:
        low_s, high_s = point.p99_interval
        shown += f" [{units.value(low_s, 's')}, {units.value(high_s, 's')}]"
    if not point.is_saturated:
        return shown
    return f"over {units.value(point.latency_p99_s, 's')}: serves {units.significant(point.served_per_s)}/s"


def close_call() -> str:
    """How each cell of the recorded run until decided ended, and its verdicts."""
    if not CLOSE_CALL.is_dir():
        return "No run of it is recorded here yet."
    run, trials = run_and_trials(CLOSE_CALL)
    compared = slotbench.load(CLOSE_CALL).compare(metrics=["throughput"])
    rows = [
        [
            row.cell,
            f"`{row.contender}`",
            str(row.num_trials),
            f"{units.ratio(row.ratio.point)} {units.interval(row.ratio.low, row.ratio.high)}",
            str(row.verdict),
        ]
        for row in compared.rows
        if row.ratio is not None
        and row.ratio.low is not None
        and row.ratio.high is not None
    ]
    header = ("cell", "contender", "rounds", looks.interval(compared), "verdict")
    told_lines = "\n".join(f"- {escape(line)}" for line in looks.lines(run, trials))
    return f"{told_lines}\n\n{as_md.pipes(header, rows, frozenset({0, 1, 4}))}"


def run_and_trials(folder: Path) -> tuple[RunRecord, tuple[TrialRecord, ...]]:
    stored = store.read(folder)
    return stored.run, stored.trials


def scalability_table() -> str:
    """A row a policy latency and contender of the recorded grid, as ``--scalability`` says it."""
    compared = slotbench.load(REFERENCE / "grid").compare(scalability=True)
    assert compared.scalability is not None
    shown = {*LOSERS, "floor"}
    tables = scaling_table.tables(compared.scalability)
    rows = [
        [table.name.rpartition("latency_ms=")[2] + " ms", f"`{row[0]}`", *row[1:6]]
        for table in tables
        for row in table.rows
        if row[0] in shown
    ]
    header = ("policy", *tables[0].header[:6])
    return as_md.pipes(header, [[escape(x) if place != 1 else x for place, x in enumerate(row)] for row in rows], {0, 1})  # fmt: skip


def library_table() -> str:
    """A row a scenario of the library: what it answers, and where its constants are from."""
    rows = [
        [
            f"[`{one.name}`](../scenarios/{one.name}.toml)",
            escape(one.question),
            escape(one.citation),
        ]
        for one in scenario.available()
        if one.citation and one.path.parent.name == "scenarios"
    ]
    return as_md.pipes(["scenario", "what it answers", "where it is from"], rows, range(3))


def races_table(*columns: tuple[str, str, str]) -> str:
    """A row a contender, a column a cell: requests per second, and the ratio to its run's baseline.

    Args:
        columns: heading, name of a run, and of one of its cells; a run that is not recorded is left out.
    """
    found: dict[str, dict[str, Any]] = {}
    shown = [one for one in columns if (REFERENCE / one[1] / "run.json").is_file()]
    for heading, name, cell in shown:
        for row in throughput_rows(slotbench.load(REFERENCE / name), None):
            if row.cell == cell:
                found.setdefault(row.contender, {})[heading] = row
    if not found:
        return "No run of them is recorded here yet."
    headings = [heading for heading, *_ in shown]
    rows = [
        [
            f"`{label}`",
            *(_raced(of[heading]) if heading in of else "–" for heading in headings),
        ]
        for label, of in found.items()
    ]
    return as_md.pipes(["contender", *headings], rows, {0})


def _raced(row: Any) -> str:
    if row.value is None:
        return "n/a"
    if row.is_baseline:
        return f"**{_per_s(row.value)}**"
    if row.ratio is None:
        return _per_s(row.value)
    interval = units.interval(row.ratio.low, row.ratio.high)
    return f"{_per_s(row.value)}, {units.ratio(row.ratio.point)} {interval}"


def gil_table() -> str:
    """A row a contender and a way to think, a column a Python; ratios to the same contender in the first."""
    if not (GIL / "run.json").is_file():
        return "No run of it is recorded here yet."
    run = slotbench.load(GIL)
    raced = run.record.scenario.contenders
    pythons = list(dict.fromkeys(python_of(one) for one in raced))
    table = []
    for cell in (one.name for one in run.record.scenario.cells):
        for name in dict.fromkeys(one.name for one in raced):
            labels = {python_of(one): one.label for one in raced if one.name == name}
            rows = {
                row.contender: row
                for row in throughput_rows(run, labels[pythons[0]])
                if row.cell == cell
            }
            found = [_raced(rows[labels[python]]) for python in pythons]
            table.append([f"{cell.rpartition('=')[2]}, `{name}`", *found])
    return as_md.pipes(["actors, contender", *(f"`{one}`" for one in pythons)], table, {0})


def cluster_lines() -> str:
    """What ``slotbench show`` says of the nodes of the run on a cluster."""
    if not (ON_RAY / "run.json").is_file():
        return "No run of it is recorded here yet."
    run = slotbench.load(ON_RAY)
    said = [*nodes.notes(run.record.nodes), *nodes.lines(run.record, run.stored.trials)]
    return "\n".join(["```text", *said, "```"])


def cluster_ratios() -> str:
    """A row a contender and cell: its ratio on all nodes, and on each alone."""
    if not (ON_RAY / "run.json").is_file():
        return "No run of it is recorded here yet."
    run = slotbench.load(ON_RAY)
    alone = ratios_by_node_frame(run.stored)
    labels = [one.label for one in run.record.nodes if one.label in set(alone["node"])]
    table = []
    for row in throughput_rows(run, None):
        if row.is_baseline or row.ratio is None:
            continue
        of_row = alone[(alone["cell"] == row.cell) & (alone["contender"] == row.contender)]
        by_node = {one.node: one for one in of_row.itertuples()}
        cells = [
            f"{by_node[n].ratio:.2f}× [{by_node[n].ratio_low:.2f}, {by_node[n].ratio_high:.2f}]"
            if n in by_node and math.isfinite(by_node[n].ratio_low)
            else "–"
            for n in labels
        ]
        table.append(
            [f"{row.cell}, `{row.contender}`".replace("_", r"\_"), _raced(row), *cells]
        )
    header = ["cell, contender", "all nodes", *(f"{label} alone" for label in labels)]
    return as_md.pipes(header, table, {0})


def twins_table() -> str:
    """A row for every contender of every pair in the recorded runs of TWINS, and their count."""
    recorded = [name for name in TWINS if (REFERENCE / name / "run.json").is_file()]
    if not recorded:
        return "No run of them is recorded here yet."
    rows = []
    for name in recorded:
        compared = slotbench.load(REFERENCE / name).compare(twins=True)
        cells = {cell.name: cell.workload for cell in compared.cells}
        for one in compared.twins:
            real, twin = cells[one.cell], cells[one.twin]
            ratio = one.ratio
            assert ratio is not None
            rows.append(
                (
                    twin_table.environment(real),
                    str(real.num_slots),
                    escape(twin_table.thinks(twin.think_time)),
                    f"`{one.contender}`",
                    _per_s(one.real_per_s),
                    _per_s(one.twin_per_s),
                    f"{ratio.point:.2f}× [{ratio.low:.2f}, {ratio.high:.2f}]",
                    one.verdict or "",
                    one.ranking or "",
                )
            )
    counts = ", ".join(
        f"{sum(row[place] == best for row in rows)} of {sum(bool(row[place]) for row in rows)} {what}"
        for place, best, what in (
            (7, "predicts", "throughputs are predicted within 20 %"),
            (8, "agrees", "ranks are the same"),
        )
    )
    header = (
        *("environment", "actors", "the twin", "contender", "real", "twin"),
        *("twin over real", "throughput", "ranks"),
    )
    return f"Over all of it {counts}.\n\n{as_md.pipes(header, rows, {0, 2, 3, 7, 8})}"


def slo_answer() -> str:
    """What the recorded search found, as ``slotbench show`` and its table have it."""
    if not (SLO / "slo.json").is_file():
        return "No search is recorded here yet."
    shown = slo.page(store.read_slo(SLO))
    tables = "\n\n".join(map(as_md.cell, shown.tables)).replace("### ", "**", 1)
    title, _, rest = tables.partition("\n")
    asked = " ".join(slotbench.load_slo(SLO).record.command)
    return f"`{asked}`:\n\n{shown.opening}\n\n{title}**\n{rest}".rstrip()


def advice_example() -> str:
    """What the first example of ``slotbench advise`` prints, without its race."""
    told = slotbench.advise(
        64, step_ms=5, policy_ms=20, policy_per_item_ms=0.1, measure=False
    )
    return f"```text\n{told}".rstrip() + "\n```"


def advice_errors() -> str:
    """How far forecasts were off, by metric, regime and whether the pace was timed."""
    header = ("", "where", "pace", "95 % between", "median", "measured")
    rows = recommendation.error_rows(transport_costs.load().errors)
    return as_md.pipes(header, rows, range(3))


def advice_costs() -> str:
    """A row a contender: its fitted costs."""
    header = (
        *("transport", "a request, in its actor", "a batch", "a row"),
        *("a row's 1 024 B", "a further leaf"),
    )
    rows = [
        (f"`{label}`", *(units.seconds(cost) for cost in dataclasses.astuple(costs)))
        for label, costs in transport_costs.load().costs.items()
    ]
    return as_md.pipes(header, rows, {0})


def predicted_example(**options: Any) -> str:
    """What `slotbench.predict` says, as a table, under its sentences."""
    text = str(slotbench.predict(**options)).partition("\n\nsupposed")[0]
    return f"```text\n{text}\n```"


def how_many_servers() -> str:
    """A policy of vla_20ms with 10 000 environments: how many servers keep 99 % of replies within 80 ms?"""
    return predicted_example(**SERVERS)


def how_long_tails() -> str:
    """The same policy with 64 environments: what tails of steps cost, under three rules."""
    return predicted_example(
        num_envs=64,
        step_ms=5,
        step_sigma=(0.3, 1, 1.5),
        policy_ms=20,
        policy_per_item_ms=0.1,
        min_batch=(1, "n*", 64),
        timeout_ms=(10, 100),
    )


def checked_block(make: Callable[[Any], Any]) -> str:
    """A table of the recorded check, or its sentences."""
    made = make(store.read_prediction_check(PREDICTION))
    if isinstance(made, list):
        return "\n".join(f"- {as_md.escape(line)}" for line in made)
    return told.pipe_table(made)


BLOCKS: Final[dict[tuple[str, str], Callable[[], str]]] = {
    ("README.md", "grid"): grid_answers,
    ("README.md", "profile"): profile_answers,
    ("README.md", "quickstart"): quickstart_table,
    ("README.md", "limits"): lambda: limits_table(slotbench.load(LIMITS)),
    ("docs/transport-log.md", "wakeups"): lambda: wakeups_table(
        slotbench.load(WAKEUPS), slotbench.load(WAKEUPS_ONE_CORE)
    ),
    ("docs/transport-log.md", "targets"): lambda: targets_table(
        slotbench.load(LIMITS_FIRST)
    ),
    ("docs/transport-log.md", "again"): lambda: again_table(
        slotbench.load(LIMITS_FIRST), slotbench.load(LIMITS)
    ),
    ("docs/validity.md", "rules"): rules_table,
    ("docs/method.md", "selftest-opening"): lambda: (
        selftest.opening(store.read_selftest(SELFTEST)) + "."
    ),
    **{
        ("docs/method.md", f"selftest-{name}"): functools.partial(selftest_tables, name)
        for name in (
            *("alarms", "found", "power", "coverage", "verdicts", "criteria", "machine"),
        )
    },
    ("docs/until-decided.md", "selftest-until"): selftest_until,
    ("docs/method.md", "losses"): lambda: losses_table(slotbench.load(LOSSES)),
    ("docs/profiling.md", "profile-phases"): lambda: profile_tables(
        "phases of a request, mean time"
    ),
    ("docs/profiling.md", "profile-claims"): lambda: profile_tables(
        "claims", of=("slot", "torchrl.slot")
    ),
    ("docs/profiling.md", "profile-difference"): lambda: profile_tables(
        "from threading to slot: phases, what explains most first",
        "from threading to slot: ledger, per request",
    ),
    ("docs/slo.md", "slo"): slo_answer,
    ("docs/doctor.md", "doctor"): doctor_text,
    ("docs/advise.md", "advice-example"): advice_example,
    ("docs/advise.md", "advice-errors"): advice_errors,
    ("docs/advise.md", "advice-costs"): advice_costs,
    ("docs/history.md", "history"): history_page,
    ("docs/open-loop.md", "under-load"): under_load,
    ("docs/until-decided.md", "close-call"): close_call,
    ("docs/scalability.md", "scalability"): scalability_table,
    **{
        ("docs/predict.md", f"predict-{name}"): functools.partial(checked_block, make)
        for name, make in {
            "check": prediction_check.sentences,
            "runs": prediction_check.by_run,
            "regimes": prediction_check.by_regime,
            "actors": prediction_check.by_actors,
        }.items()
    },
    ("docs/predict.md", "predict-servers"): how_many_servers,
    ("docs/predict.md", "predict-tails"): how_long_tails,
    ("docs/scaling.md", "gil"): gil_table,
    ("docs/scaling.md", "nodes"): cluster_lines,
    ("docs/scaling.md", "ratios-by-node"): cluster_ratios,
    ("docs/scenarios.md", "library"): library_table,
    ("docs/real-environments.md", "twins"): twins_table,
    ("docs/end-to-end.md", "collector"): functools.partial(races_table, *COLLECTED),
    ("docs/end-to-end.md", "processes"): functools.partial(races_table, *BETWEEN_PROCESSES),
    ("docs/end-to-end.md", "ray"): functools.partial(races_table, *RAY),
    ("docs/end-to-end.md", "library"): functools.partial(races_table, *OF_THE_LIBRARY),
    **{
        ("docs/cli.md", f"help-{name}"): functools.partial(help_block, name)
        for name in COMMANDS
    },
}
"""Page and name of every block → what stands between its two marks."""


@pytest.mark.parametrize(("page", "name"), BLOCKS)
def test_a_block_is_what_it_is_made_from(page: str, name: str) -> None:
    """Tables from the recorded runs and the code, help as a terminal of 100 columns shows it."""
    assert _block(page, name)[1].strip() == BLOCKS[page, name]()


def _block(page: str, name: str) -> tuple[str, str, str]:
    """The page before the block, the block, and what follows it; marks stay outside."""
    text = (ROOT / page).read_text(encoding="utf-8")
    begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->"
    before, found, rest = text.partition(begin)
    block, ended, after = rest.partition(end)
    assert found, f"{page} has no block {name}"
    assert ended, f"{page}: block {name} has no end"
    return before + begin, block, end + after


if __name__ == "__main__":
    for where, make in BLOCKS.items():
        head, _, tail = _block(*where)
        (ROOT / where[0]).write_text(f"{head}{make()}\n{tail}", encoding="utf-8")
