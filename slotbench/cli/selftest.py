"""``slotbench selftest``: whether the harness finds what is known to be there, and nothing else."""

import signal
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from slotbench.cli._options import RESULTS_DIR, AsJson, Force, ResultsDir
from slotbench.errors import EXIT_CHECK_FAILED, EXIT_OK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slotbench.records import MachinePart, SelfTestSetting, SequentialCount

_SMALL: Final = 100
_SMALL_ROUNDS: Final = (5, 10)
_FULL: Final = 4_000
_FULL_ROUNDS: Final = (5, 10, 20)


def selftest(
    *,
    full: Annotated[
        bool,
        typer.Option(
            "--full",
            help="4 000 comparisons a setting instead of 100, and 20 rounds, too: an hour of "
            "processor time.",
        ),
    ] = False,
    machine: Annotated[
        bool,
        typer.Option(
            "--machine", help="Also measure two real runs whose truth is known: 10 minutes."
        ),
    ] = False,
    comparisons: Annotated[
        int | None,
        typer.Option(
            min=10,
            max=1_000_000,
            metavar="N",
            help="So many comparisons a setting.",
            show_default="100, with --full 4000",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything simulated.")] = 1,
    processes: Annotated[
        int | None,
        typer.Option(
            min=1, max=1024, help="Processes that simulate.", show_default="all CPUs"
        ),
    ] = None,
    as_json: AsJson = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write the record as JSON, too."
        ),
    ] = None,
    force: Force = False,
    results: ResultsDir = RESULTS_DIR,
) -> int:
    """Test the harness itself, where the truth is known.

    Simulated contenders that are 0, 1, 3, 5 and 10 % slower than the baseline go through the
    real runner, rules and 'slotbench compare', on simulated machines of all kinds of noise. Shown is how
    often a difference is claimed that is not there, how often one is found that is, and what
    pyperf, Mann-Whitney and a bootstrap say of the same data. Exit code 1: more false alarms, or
    fewer intervals that hold the truth, than chance allows.

    Examples:
      slotbench selftest
      slotbench selftest --comparisons 1000 --seed 7
      slotbench selftest --full --machine -o selftest.json
    """
    from slotbench.measure.machine import num_cpus
    from slotbench.store.output import check_free, write_file

    if output is not None:
        check_free(output, force=force)
    began = time.monotonic()
    # What a cluster's scheduler sends ends it as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    number = comparisons or (_FULL if full else _SMALL)
    rounds = _FULL_ROUNDS if full else _SMALL_ROUNDS
    processes = processes or num_cpus()
    try:
        found, sequential = _simulate(number, rounds, seed, processes)
        measured = _measure(results) if machine else None
    except KeyboardInterrupt:
        kept = "; runs that were begun are kept" if machine else ""
        print(f"slotbench: interrupted; nothing was counted{kept}", file=sys.stderr)
        raise

    from slotbench.cli._screen import stdout_screen
    from slotbench.draw import selftest as drawn
    from slotbench.records import SELFTEST_SCHEMA_VERSION, SelfTest
    from slotbench.selftest import criteria
    from slotbench.store import document, environment

    record = SelfTest(
        schema_version=SELFTEST_SCHEMA_VERSION,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        environment=environment.collect(),
        command=("slotbench", *sys.argv[1:]),
        seed=seed,
        num_comparisons=number,
        threshold=_threshold(),
        duration_s=time.monotonic() - began,
        settings=tuple(found),
        machine=measured,
        criteria=criteria.judge(found, measured, sequential),
        sequential=tuple(sequential),
    )
    text = drawn.as_json(record) if as_json else drawn.render(record, stdout_screen())
    print(text, end="")
    # Last, so that a disk that refuses costs the file alone.
    if output is not None:
        write_file(output, document(record), force=force)
    failed = drawn.failures(record)
    if as_json:
        for line in failed:
            print(f"slotbench: {line}", file=sys.stderr)
    return EXIT_CHECK_FAILED if failed else EXIT_OK


def _simulate(
    number: int, rounds: "Sequence[int]", seed: int, processes: int
) -> "tuple[list[SelfTestSetting], list[SequentialCount]]":
    """Simulate under a progress bar: runs of a given length, and runs until decided."""
    from slotbench.cli._progress import ProgressBar
    from slotbench.measure.runner import Progress
    from slotbench.selftest import study, until

    planned = study.settings(rounds)
    chunks = study.chunks(planned, number, seed)
    of_until = until.settings()
    more = until.tasks(of_until, number, seed)
    tasks: list[study.Chunk | until.Task] = [*chunks, *more]
    expected_s = study.estimate_s(chunks, processes) + until.estimate_s(more, processes)
    state = Progress(
        0,
        len(tasks),
        f"{number} comparisons of each of {len(planned) + len(of_until)} settings",
    )
    with ProgressBar(expected_s, "parts") as bar:
        bar.update(state)
        sums = study.run_all(
            tasks, processes, lambda done: bar.update(replace(state, num_done=done))
        )
    found = [study.record(setting, sums[setting]) for setting in planned]
    return found, [one for x in of_until for one in until.record(x, sums[x])]


def _measure(results: Path) -> "MachinePart":
    """Measure the real runs under a progress bar."""
    from slotbench.cli._progress import ProgressBar
    from slotbench.selftest import real

    scenarios = real.load()
    with ProgressBar(real.estimate_s(scenarios)) as bar:
        return real.measure(
            scenarios,
            results,
            command=("slotbench", *sys.argv[1:]),
            on_progress=bar.update,
        )


def _threshold() -> float:
    from slotbench.selftest import simulated

    return simulated.THRESHOLD
