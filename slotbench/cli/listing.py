"""``slotbench list``: what can be run, what it can be run with, what was run.

Not named "list": a submodule of that name would hide the builtin in its package.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from slotbench.cli._options import RESULTS_DIR, AsJson, ResultsDir
from slotbench.cli._recorded import EITHER, read_kind
from slotbench.errors import RecordError


def list_all(
    *,
    runs: Annotated[
        bool,
        typer.Option(
            "--runs",
            help="List the recorded runs, profiles and SLO searches instead, newest first.",
        ),
    ] = False,
    results: ResultsDir = RESULTS_DIR,
    as_json: AsJson = False,
) -> None:
    """List scenarios, contenders, metrics and plots, or what was recorded.

    Examples:
      slotbench list
      slotbench list --json
      slotbench list --runs --results results/reference
    """
    if runs:
        found = recorded_runs(results)
        print(_json(found) if as_json else _runs_text(found, results))
        return
    catalogue = {
        "scenarios": scenarios(),
        "contenders": contenders(),
        "metrics": measures(),
        "plots": pictures(),
    }
    if as_json:
        print(_json(catalogue))
        return
    print(_scenarios_text(catalogue["scenarios"]))
    print("\ncontenders:")
    print(_table(catalogue["contenders"]))
    print("  package.module:factory  (yours)")
    print(
        "\nOptions and server follow the name: 'slot[preallocate]', 'slot@torchrl', 'slot@collector'."
    )
    print("\nmetrics:")
    print(_table(catalogue["metrics"]))
    print("\nplots:")
    print(_table([_pictured(row) for row in catalogue["plots"]]))


def scenarios() -> list[dict[str, Any]]:
    """Describe every scenario that can be run by name."""
    from slotbench import scenario

    return [
        {
            "name": found.name,
            "title": found.title,
            "question": found.question,
            "citation": found.citation,
            "path": str(found.path),
        }
        for found in scenario.available()
    ]


def _scenarios_text(found: list[dict[str, Any]]) -> str:
    """A line a scenario: those that ask of transports, then the workloads of others."""
    lines = [{key: row[key] for key in ("name", "title")} for row in found]
    width = max(len(row["name"]) for row in lines)
    aligned = [{**row, "name": row["name"].ljust(width)} for row in lines]
    own, cited = (
        [
            line
            for line, row in zip(aligned, found, strict=True)
            if bool(row["citation"]) is is_cited
        ]
        for is_cited in (False, True)
    )
    return (
        f"scenarios:\n{_table(own)}\n\n"
        f"scenarios after others' workloads, with their sources (docs/scenarios.md):\n{_table(cited)}"
    )


def contenders() -> list[dict[str, Any]]:
    """Describe every contender that has a name of its own.

    ``missing`` is "" where the contender can run here, else what to install.
    """
    from slotbench.contenders import available, missing_requirement, parse

    return [
        {"name": name, "missing": missing_requirement(parse(name)) or ""}
        for name in available()
    ]


def measures() -> list[dict[str, Any]]:
    """Describe every metric that runs can be compared by."""
    from slotbench.compute import metrics

    return [
        {"name": one.name, "unit": one.unit, "better": one.better}
        for one in map(metrics.get, metrics.available())
    ]


def pictures() -> list[dict[str, Any]]:
    """Describe every plot; ``of`` is what it is drawn of: "run", "profile" or "slo"."""
    from slotbench import plots

    return [
        {"name": name, "summary": plots.summary(name), "of": plots.drawn_of(name)}
        for name in plots.available()
    ]


def _pictured(plot: dict[str, Any]) -> dict[str, Any]:
    from slotbench.frames import NOUNS

    said = "" if plot["of"] == "run" else f"of {NOUNS[plot['of']]}: "
    return {"name": plot["name"], "summary": f"{said}{plot['summary']}"}


def recorded_runs(results: Path) -> list[dict[str, Any]]:
    """Describe all that was recorded in a folder, newest first; what is damaged says how.

    ``run`` is the name of its folder, ``kind`` "run", "profile" or "slo".
    """
    from slotbench import store

    return [_describe(path) for path in reversed(store.all_runs(results, EITHER))]


def _describe(path: Path) -> dict[str, Any]:
    from slotbench import frames, store

    kind = store.kind_of(path)
    described = {
        "run": path.name,
        "kind": kind,
        "scenario": "",
        "status": "damaged",
        "trials": None,
    }
    try:
        stored = read_kind(kind, path)
    except RecordError as error:
        return {**described, "problem": str(error)}
    return {
        **described,
        "scenario": frames.scenario_of(stored).name,
        "status": stored.state,
        "trials": len(stored.trials),
        "problem": "",
    }


def _runs_text(runs: list[dict[str, Any]], results: Path) -> str:
    if not runs:
        return f"no runs in {results}"
    rows = [
        {**run, "trials": "" if run["trials"] is None else f"{run['trials']} trials"}
        for run in runs
    ]
    return _table(rows)


def _json(data: Any) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False)


def _table(rows: list[dict[str, Any]]) -> str:
    """Align the columns; the last may be as long as it likes."""
    if not rows:
        return "  (none)"
    texts = [[str(value) for value in row.values()] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
        for row in texts
    ]
    return "\n".join(f"  {line}".rstrip() for line in lines)
