"""``slotbench compare``: verdicts inside one run, or from one run to another; gates."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from slotbench.cli._options import (
    RESULTS_DIR,
    Baseline,
    MetricThreshold,
    ResultsDir,
    RunReference,
    Thresholds,
)
from slotbench.errors import (
    EXIT_GATE_FAILED,
    EXIT_INVALID,
    EXIT_OK,
    EXIT_TRIAL_FAILED,
    RecordError,
    SlotbenchError,
)

if TYPE_CHECKING:
    from slotbench.api import Run
    from slotbench.compute.between import Compared

_EXIT_CODES: Final = {
    "passed": EXIT_OK,
    "regression": EXIT_GATE_FAILED,
    "inconclusive": EXIT_GATE_FAILED,
    "failed trial": EXIT_TRIAL_FAILED,
    "missing data": EXIT_INVALID,
    "INVALID": EXIT_INVALID,
}
"""Of what a gate decided."""


def compare(
    run: RunReference = None,
    head: Annotated[
        str | None,
        typer.Argument(
            metavar="HEAD",
            help="A second run: say what changed from RUN, the base, to this one.",
            show_default="compare inside RUN",
        ),
    ] = None,
    *,
    results: ResultsDir = RESULTS_DIR,
    format_name: Annotated[
        str,
        typer.Option(
            "--format", metavar="text|md|github|html|json|csv", help="How to write it."
        ),
    ] = "text",
    baseline: Baseline = None,
    contender: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LABEL",
            help="Show, and gate, this contender and no other but the baseline; may be repeated.",
            show_default="all",
        ),
    ] = None,
    threshold: Thresholds = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Compare by this metric of 'slotbench list'; may be repeated.",
            show_default="throughput, p50 and p99 latency; of open loops alone p99 first",
        ),
    ] = None,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(
            metavar="regression|inconclusive",
            help="Exit with 1 if a contender is worse beyond the threshold; or if that is not decided, too.",
        ),
    ] = None,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            help="Of one run say, too, where throughput goes: bound, batching, waking, transport.",
        ),
    ] = False,
    twins: Annotated[
        bool,
        typer.Option(
            "--twins",
            help="Of one run say, too, whether its synthetic cells predict those of a real environment.",
        ),
    ] = False,
    absolute: Annotated[
        bool,
        typer.Option(
            "--absolute",
            help="Of two runs compare the values, not their ratios to each run's baseline.",
        ),
    ] = False,
    allow_different: Annotated[
        bool,
        typer.Option(
            "--allow-different",
            help="Compare two runs of different machines, Pythons, torches or workloads, too.",
        ),
    ] = False,
) -> int:
    """Say who is faster in a run, or what changed between two, and how sure that is.

    Inside a run every contender is compared with the run's baseline in each cell, block by
    block. Between two runs the ratios to that baseline are compared; what the machine did to
    only one of the runs is not controlled. A difference counts when its 95 % interval lies
    beyond no difference, and matters when it exceeds the threshold.

    Exit codes without --fail-on: 3 every trial of a run is INVALID; 4 none is usable, and one
    failed. With it: 1 a gated row regressed or, where asked, is undecided; 3 a trial behind
    one is INVALID, or data is missing, such as a contender that HEAD went without; 4 a
    trial behind one failed.

    Examples:
      slotbench compare 3fa9c1 --format md > comparison.md
      slotbench compare quickstart --results results/reference --threshold 5%
      slotbench compare grid --results results/reference --explain
      slotbench compare 3fa9c1 newest --fail-on regression --threshold latency_p99=10%
    """
    if head is None and (absolute or allow_different):
        option = "--absolute" if absolute else "--allow-different"
        raise SlotbenchError(f"{option} compares two runs: name the second one after RUN")
    for is_asked, option in (
        (explain, "--explain says where one run's throughput goes"),
        (twins, "--twins says how real one run's synthetic cells are"),
    ):
        if is_asked and (head is not None or format_name == "csv"):
            what = "csv has no place for it" if head is None else "it is of one run"
            raise SlotbenchError(f"{option}: {what}")
    base = _load(run, results, "" if head is None else "base: ")
    options: dict[str, Any] = {
        "baseline": baseline,
        "metrics": metric or None,
        **_thresholds(threshold or ()),
    }
    chosen = contender or ()
    if head is None:
        compared = base.compare(explain=explain, twins=twins, **options)
        if twins and not compared.twins:
            raise SlotbenchError(
                f"{base.record.run_id} has no twins: no cell with an environment has one without, "
                "of the same num_slots, batching and policy; leave out --twins"
            )
        return _show(compared, chosen, (base,), format_name, fail_on or ())
    other = _load(head, results, "head: ")
    changed = other.compare_to(
        base, absolute=absolute, allow_different=allow_different, **options
    )
    return _show(changed, chosen, (base, other), format_name, fail_on or ())


def _load(reference: str | None, results: Path, side: str) -> "Run":
    """Read a run that holds trials; notes go to stderr, after the run's side."""
    from slotbench.api import load

    run = load(reference, results_dir=results)
    for note in run.notes:
        print(f"slotbench: note: {side}{note}", file=sys.stderr)
    if not run.stored.trials:
        raise RecordError(f"{run.path} holds no trials yet: there is nothing to compare")
    return run


def _thresholds(given: Sequence[MetricThreshold]) -> dict[str, Any]:
    """Of several for the same metric the last one holds."""
    plain = [one.ratio for one in given if one.metric is None]
    return {
        "threshold": plain[-1] if plain else None,
        "thresholds": {one.metric: one.ratio for one in given if one.metric is not None},
    }


def _show(
    compared: "Compared",
    contenders: Sequence[str],
    runs: "Sequence[Run]",
    format_name: str,
    fail_on: Sequence[str],
) -> int:
    """Write the comparison to stdout; return the exit code."""
    from slotbench import draw
    from slotbench.cli._screen import stdout_screen
    from slotbench.compute import gates
    from slotbench.compute.between import narrow

    if contenders:
        compared = narrow(compared, contenders)
    gate = gates.judge(compared, fail_on) if fail_on else None
    print(draw.render(compared, format_name, stdout_screen(), gate), end="")
    if gate is not None:
        return _EXIT_CODES[gate.result]
    codes = {_code(run) for run in runs}
    return next((x for x in (EXIT_TRIAL_FAILED, EXIT_INVALID) if x in codes), EXIT_OK)


def _code(run: "Run") -> int:
    """What a run comes to where no gate was asked: whether any of its numbers can be used."""
    from slotbench.compute import blocks

    counted = blocks.counted_trials(run.record, run.stored.trials)
    if any(blocks.is_usable(trial) for trial in counted):
        return EXIT_OK
    has_failed = any(
        trial.status == "failed" or trial.measurement is None for trial in counted
    )
    return EXIT_TRIAL_FAILED if has_failed else EXIT_INVALID
