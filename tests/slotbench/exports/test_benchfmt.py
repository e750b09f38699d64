"""A strict reader of the Go benchmark format reads every line; benchstat, too, if it is here."""

import csv
import io
import re
import shutil
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

import slotbench
from slotbench import exports
from slotbench.compute import metrics
from slotbench.compute.comparison import compare
from slotbench.records import Cell
from slotbench.store import StoredRun

P50, P99, RATE = "latency_p50-sec", "latency_p99-sec", "throughput-requests/s"
LONG = "torchrl.slot[collate=lazy_stack]"
ROOT = Path(__file__).parents[3]

needs_benchstat = pytest.mark.skipif(
    shutil.which("benchstat") is None,
    reason="benchstat is not installed (go install golang.org/x/perf/cmd/benchstat@latest)",
)


@dataclass
class Parsed:
    configuration: dict[str, str] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    results: list[tuple[str, int, dict[str, float]]] = field(default_factory=list)

    def of(self, name: str) -> list[dict[str, float]]:
        return [values for found, _, values in self.results if found == name]


def parse(text: str) -> Parsed:
    """Read by the published grammar; a line of no kind must be a comment of ours."""
    parsed = Parsed()
    assert text.endswith("\n")
    for line in text.split("\n"):
        fields = line.split()
        if line.startswith("Benchmark"):
            assert re.match(r"Benchmark[^a-z\s]", line)
            assert line == " ".join(fields), (
                "a blank in a name would shift all that follows"
            )
            name, count, pairs = fields[0], int(fields[1]), fields[2:]
            assert count > 0
            assert pairs
            assert len(pairs) % 2 == 0
            units = pairs[1::2]
            assert len(units) == len(set(units))
            assert not re.search(r"-\d+$", name), "read as GOMAXPROCS"
            values = dict(zip(units, map(float, pairs[::2]), strict=True))
            parsed.results.append((name, count, values))
        elif fields[:1] == ["Unit"]:
            unit, setting = fields[1:]
            key, _, value = setting.partition("=")
            assert key == "better"
            assert value in {"higher", "lower"}
            assert unit not in parsed.units
            parsed.units[unit] = value
        elif match := re.fullmatch(r"([a-z][^\sA-Z:]*):[ \t]+(\S.*)", line):
            assert not parsed.results, (
                "configuration after results holds for the later ones"
            )
            parsed.configuration[match[1]] = match[2]
        else:
            assert line == "" or line.startswith("# ")
    return parsed


def benchstat(*arguments: str | Path) -> str:
    return subprocess.run(
        ["benchstat", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout


def written(stored: StoredRun, target: Path) -> Parsed:
    (path,) = exports.export(stored, "benchfmt", target).paths
    return parse(path.read_text(encoding="utf-8"))


def test_a_line_is_a_trial_with_all_its_metrics(stored: StoredRun, tmp_path: Path) -> None:
    """Values are exact; the count is the trial's replies."""
    parsed = written(stored, tmp_path / "out")
    assert len(parsed.results) == 22
    name = "BenchmarkStep/observation.shape=[3,4]/contender=slot"
    trials = [
        trial.measurement
        for trial in stored.trials
        if (trial.cell, trial.contender) == ("observation.shape=[3,4]", "slot")
    ]
    assert parsed.of(name) == [
        {
            P50: trial.latency_p50_s,
            P99: trial.latency_p99_s,
            "mean_batch_size-rows": 4.0,
            RATE: trial.num_replies / trial.window_s,
        }
        for trial in trials
        if trial
    ]
    counts = [count for found, count, _ in parsed.results if found == name]
    assert counts == [trial.num_replies for trial in trials if trial]
    first = "BenchmarkStep/num_slots=8/model.latency_ms=1/contender="
    assert len(parsed.of(f"{first}slot")) == 3
    assert len(parsed.of(f"{first}{LONG}")) == 3


def test_units_tell_the_direction_of_their_metric(
    stored: StoredRun, tmp_path: Path
) -> None:
    """From BETTER; a metric without one has no line."""
    units = written(stored, tmp_path / "out").units
    assert units == {P50: "lower", P99: "lower", RATE: "higher"}
    assert len(units) == sum(
        metrics.get(name).better != "neither" for name in metrics.available()
    )


def test_configuration_is_what_makes_numbers_comparable(
    stored: StoredRun, tmp_path: Path
) -> None:
    """Scenario and CPU; what differs between runs of one machine is a comment."""
    environment = {
        "cpu_model_name": "A B",
        "cpu_count": 2,
        "load_avg_1min": 0.5,
        "note": "a\nb",
    }
    run = replace(stored.run, environment=environment)
    parsed = written(replace(stored, run=run), tmp_path / "out")
    assert parsed.configuration == {
        "scenario": "synthetic",
        "cpu_model_name": "A B",
        "cpu_count": "2",
    }
    text = (tmp_path / "out").read_text(encoding="utf-8")
    assert "# load_avg_1min: 0.5\n" in text
    assert "# note: a b\n" in text


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        ("my.module:f[path=/a b]", "my.module:f[path=%2Fa%20b]"),
        ("my.module:f-4", "my.module:f%2D4"),
        ("slot[x=50%]", "slot[x=50%25]"),
    ],
)
def test_names_have_no_blank_no_slash_and_no_number_of_threads(
    label: str, shown: str, make_stored: Any, make_trials: Any, tmp_path: Path
) -> None:
    """They are percent-encoded."""
    stored = make_stored(make_trials({label: [1e3, 1e3]}), labels=(label,))
    (name,) = {name for name, _, _ in written(stored, tmp_path / "out").results}
    assert name == f"BenchmarkStep/num_slots=8/contender={shown}"


def test_a_cell_without_axes_has_a_name(
    make_stored: Any, make_trials: Any, make_run: Any, tmp_path: Path
) -> None:
    """The contender alone."""
    cell = Cell("all", {}, make_run().scenario.cells[0].workload)
    stored = make_stored(
        make_trials({"slot": [1e3]}, cells=["all"]), labels=("slot",), cells=[cell]
    )
    assert written(stored, tmp_path / "out").results[0][0] == "BenchmarkStep/contender=slot"


def test_a_metric_that_a_trial_lacks_is_not_in_its_line(
    make_stored: Any, make_trial: Any, tmp_path: Path
) -> None:
    """No p99 of too few samples; and a window without replies counts one iteration."""
    lacking = make_trial("slot", 1e3, latency_p99_s=None)
    nothing = make_trial("slot", 0.0, round=1)
    parsed = written(make_stored([lacking, nothing]), tmp_path / "out")
    assert set(parsed.results[0][2]) == {P50, RATE, "mean_batch_size-rows"}
    assert parsed.results[1][1:] == (1, {RATE: 0.0, "mean_batch_size-rows": 4.0})


@needs_benchstat
def test_benchstat_sees_the_medians_and_the_direction(
    stored: StoredRun, tmp_path: Path
) -> None:
    """One table a metric; of throughput +20 %, of p50 latency -17 %."""
    (path,) = exports.export(stored, "benchfmt", tmp_path / "out").paths
    said = benchstat("-format", "csv", "-col", "/contender", path)
    found: dict[tuple[str, str], list[str]] = {}
    unit = ""
    for row in csv.reader(io.StringIO(said)):
        if len(row) > 1 and row[0] == "" and row[1] in {P50, P99, RATE}:
            unit = row[1]
        elif row and row[0].startswith("Step/"):
            found[row[0], unit] = row
    rows = compare(stored.run, stored.trials).rows
    for cell, metric, name in (
        ("Step/observation.shape=[3,4]", "throughput", RATE),
        ("Step/observation.shape=[3,4]", "latency_p50", P50),
        ("Step/num_slots=8/model.latency_ms=1", "throughput", RATE),
    ):
        columns = found[cell, name]
        row = next(
            row
            for row in rows
            if (row.contender, row.metric) == ("slot", metric)
            and row.cell.split("=")[0] in cell
        )
        assert row.ratio is not None
        assert float(columns[3]) / float(columns[1]) == pytest.approx(
            row.ratio.point, rel=0.02
        )


@needs_benchstat
def test_the_documentation_shows_what_benchstat_prints(tmp_path: Path) -> None:
    """On the committed run, to the letter."""
    page = (ROOT / "docs/exports.md").read_text(encoding="utf-8")
    shown = page.partition("<!-- benchstat:begin -->")[2].partition(
        "<!-- benchstat:end -->"
    )
    stored = slotbench.load(ROOT / "results/reference/quickstart").stored
    (path,) = exports.export(stored, "benchfmt", tmp_path / "out").paths
    chosen = f".unit:{RATE} /contender:(threading OR slot OR torchrl.slot)"
    said = benchstat("-col", "/contender", "-filter", chosen, path)
    lines = [line for line in said.splitlines() if line.startswith("Step/")]
    assert shown[0].strip().splitlines()[1:-1] == lines
