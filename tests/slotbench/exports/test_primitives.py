"""pyperf reads the primitives back, and its commands show them."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pyperf
import pytest

from slotbench.exports import primitives
from tests.slotbench.support import diagnoses


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "primitives.json"
    path.write_bytes(primitives.render(diagnoses.diagnosis()))
    return path


def test_pyperf_loads_a_run_a_process(file: Path) -> None:
    """Values, loops, warm-up and metadata are the record's; the total is what was really timed."""
    suite = pyperf.BenchmarkSuite.load(str(file))
    made = diagnoses.diagnosis().primitives

    assert suite.get_benchmark_names() == [primitive.name for primitive in made]
    for primitive in made:
        benchmark = suite.get_benchmark(primitive.name)
        assert benchmark.get_unit() == "second"
        assert [run.values for run in benchmark.get_runs()] == [
            run.values_s for run in primitive.runs
        ]
        for read, run in zip(benchmark.get_runs(), primitive.runs, strict=True):
            metadata = read.get_metadata()
            assert (read.get_loops(), read.get_inner_loops()) == (run.loops, 1)
            assert read.warmups == ((run.loops, run.warmup_s),)
            assert metadata["context_switches_voluntary"] == run.voluntary
            assert metadata["context_switches_involuntary"] == run.involuntary
            assert metadata["cpu_s_per_operation"] == run.cpu_s
            assert metadata["description"] == primitive.operation
            assert metadata["cpu_model_name"] == "A <CPU>"


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["stats"], "Number of value per run: 3"),
        (["show"], "Mean +- std dev: 107 us"),
        (["check"], "stack, 64 rows of 28 kB"),
    ],
)
def test_pyperfs_commands_read_it(file: Path, arguments: list[str], shown: str) -> None:
    """As a user calls them."""
    result = subprocess.run(
        [sys.executable, "-m", "pyperf", *arguments, str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert shown in result.stdout
    assert result.stderr == ""


def test_pyperf_compares_two_machines(file: Path, tmp_path: Path) -> None:
    """One on which everything takes twice as long is 2.00x slower, in every group."""
    made = diagnoses.diagnosis()
    slower = [
        dataclasses.replace(
            primitive,
            runs=tuple(
                dataclasses.replace(run, values_s=tuple(2 * x for x in run.values_s))
                for run in primitive.runs
            ),
        )
        for primitive in made.primitives
    ]
    other = tmp_path / "other.json"
    other.write_bytes(
        primitives.render(dataclasses.replace(made, primitives=tuple(slower)))
    )
    result = subprocess.run(
        [sys.executable, "-m", "pyperf", "compare_to", "-v", str(file), str(other)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert result.stdout.count("2.00x slower") >= 3
