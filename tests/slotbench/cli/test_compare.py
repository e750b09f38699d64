"""``slotbench compare`` on stored runs: formats, thresholds, two runs, gates, exit codes."""

import csv
import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slotbench import draw
from slotbench.cli import _options
from slotbench.records import Skipped
from slotbench.store import RunFolder
from tests.slotbench.support import grids, scaling, twins
from tests.slotbench.support.calibrations import calibrated


@pytest.mark.parametrize("name", draw.available())
def test_every_format_is_written_to_stdout(name: str, record: Any, slotbench: Any) -> None:
    """Stdout is the rendered comparison and nothing else; stderr is silent."""
    record()
    outcome = slotbench("compare", "--format", name)
    assert (outcome.code, outcome.stderr) == (0, "")
    assert "slot" in outcome.stdout
    assert "faster" in outcome.stdout
    assert outcome.stdout.endswith("\n")


def test_json_and_csv_can_be_read_by_machines(record: Any, slotbench: Any) -> None:
    """Both say that slot has 1.2 times the throughput of threading."""
    path = record()
    rows = json.loads(slotbench("compare", path, "--format", "json").stdout)["rows"]
    table = list(
        csv.DictReader(io.StringIO(slotbench("compare", "--format", "csv").stdout))
    )
    for found in (rows, table):
        row = next(
            r for r in found if (r["contender"], r["metric"]) == ("slot", "throughput")
        )
        assert float(row["ratio"]) == pytest.approx(1.2, abs=0.01)
        assert row["verdict"] == "faster"


def test_options_reach_the_comparison(record: Any, slotbench: Any) -> None:
    """Baseline, threshold and metrics are those of the command line."""
    record()
    told = ["--baseline", "slot", "--threshold", "50%", "--metric", "latency_p50"]
    outcome = slotbench(
        "compare", "newest", *told, "--metric", "throughput", "--format", "json"
    )
    found = json.loads(outcome.stdout)
    assert (found["baseline"], found["threshold_ratio"]) == ("slot", 0.5)
    assert {row["metric"] for row in found["rows"]} == {"latency_p50", "throughput"}
    assert {row["verdict"] for row in found["rows"] if not row["is_baseline"]} == {
        "equivalent"
    }


@pytest.mark.parametrize(
    ("text", "ratio"), [("3%", 0.03), ("0.03", 0.03), (" 12.5 % ", 0.125)]
)
def test_a_threshold_is_percent_or_ratio(text: str, ratio: float) -> None:
    """Both ways of writing it mean the same."""
    assert _options.parse_threshold(text) == ratio


@pytest.mark.parametrize(
    "text", ["", "%", "3", "0", "0%", "-1%", "100%", "nan", "inf%", "3 %%"]
)
def test_a_threshold_that_is_none_is_refused(text: str, slotbench: Any) -> None:
    """A bare 3 would mean 300 %, and is asked back."""
    outcome = slotbench("compare", f"--threshold={text}")
    assert outcome.code == 2
    assert "write 3% or 0.03" in outcome.stderr


@pytest.fixture
def explained(tmp_path: Path) -> Path:
    """A small grid with calibrations, stored under ``tmp_path/results``."""
    stored = calibrated(grids.small_grid())
    with RunFolder.create(tmp_path / "results", stored.run) as folder:
        for trial in stored.trials:
            folder.append(trial)
        for one in stored.calibrations:
            folder.append_calibration(one)
    return folder.path


@pytest.mark.parametrize("name", ["text", "md", "github", "html"])
def test_explain_says_where_the_loss_goes(
    name: str, explained: Path, slotbench: Any
) -> None:
    """Only when asked, with the calibrations of the folder."""
    plain = slotbench("compare", explained, "--format", name)
    outcome = slotbench("compare", explained, "--format", name, "--explain")

    assert (outcome.code, outcome.stderr) == (0, "")
    assert "free transport" not in plain.stdout
    assert "free transport" in outcome.stdout
    assert "5 calibrations" in " ".join(outcome.stdout.split())


def test_explain_keeps_to_the_contenders_chosen(explained: Path, slotbench: Any) -> None:
    """The baseline and the one named; the yardsticks are of the whole run all the same."""
    outcome = slotbench(
        "compare", explained, "--explain", "--contender", "slot", "--format", "json"
    )
    losses = json.loads(outcome.stdout)["losses"]

    assert {row["contender"] for row in losses} == {"threading", "slot"}
    assert all(row["floor_per_s"] for row in losses)


def test_twins_are_said_when_asked(tmp_path: Path, slotbench: Any) -> None:
    """With the constants from the folder's calibrations."""
    stored = calibrated(twins.pair())
    with RunFolder.create(tmp_path / "results", stored.run) as folder:
        for trial in stored.trials:
            folder.append(trial)
        for one in stored.calibrations:
            folder.append_calibration(one)
    plain = slotbench("compare", folder.path)
    outcome = slotbench("compare", folder.path, "--twins")

    assert (outcome.code, outcome.stderr) == (0, "")
    assert "their twins" not in plain.stdout
    assert "Real environments and their twins" in outcome.stdout
    assert "as the environment was calibrated" in outcome.stdout


def test_scaling_is_said_when_asked(tmp_path: Path, slotbench: Any) -> None:
    """A table a row of cells in text, Markdown and JSON; the command line says it again."""
    stored = scaling.ladder()
    with RunFolder.create(tmp_path / "results", stored.run) as folder:
        for trial in stored.trials:
            folder.append(trial)
    title = "How throughput scales with the actors"

    assert title not in slotbench("compare", folder.path).stdout
    for name in ("text", "md", "html", "github"):
        outcome = slotbench("compare", folder.path, "--scalability", "--format", name)
        assert (outcome.code, outcome.stderr) == (0, "")
        assert title in outcome.stdout
        assert "the law fits 3 of 3 contenders" in outcome.stdout
        assert "slot: σ lower by 0.2" in outcome.stdout
    read = json.loads(
        slotbench("compare", folder.path, "--scalability", "--format", "json").stdout
    )
    assert [law["contender"] for law in read["scalability"]["laws"]] == list(scaling.LABELS)
    plain = json.loads(slotbench("compare", folder.path, "--format", "json").stdout)
    assert plain["scalability"] is None
    text = slotbench("compare", folder.path, "--scalability", "--format", "csv").stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    by_metric = {row["metric"]: row for row in rows if row["contender"] == "slot"}
    law = read["scalability"]["laws"][1]
    assert float(by_metric["throughput"]["scalability.contention"]) == law["contention"]
    assert by_metric["latency_p50"]["scalability.contention"] == ""
    plain_text = slotbench("compare", folder.path, "--format", "csv").stdout
    assert "scalability" not in plain_text
    two = slotbench("compare", folder.path, folder.path, "--scalability")
    assert two.code == 2
    assert (
        "--scalability says how one run's throughput scales: it is of one run" in two.stderr
    )
    chosen = slotbench("compare", folder.path, "--scalability", "--contender", "slot")
    assert "the law fits 2 of 2 contenders" in chosen.stdout


def test_a_run_with_too_few_slot_counts_is_one_line(
    explained: Path, slotbench: Any
) -> None:
    """It says what there is and what to measure."""
    outcome = slotbench("compare", explained, "--scalability")

    assert (outcome.code, outcome.stdout) == (2, "")
    assert "tells nothing of scaling" in outcome.stderr
    assert "--set num_slots=1,4,16,64" in outcome.stderr
    assert outcome.stderr.count("\n") == 1


def test_a_run_without_twins_is_one_line(explained: Path, slotbench: Any) -> None:
    """It says what a twin is, and what to leave out."""
    outcome = slotbench("compare", explained, "--twins")

    assert (outcome.code, outcome.stdout) == (2, "")
    assert "has no twins: no cell with an environment has one without" in outcome.stderr
    assert outcome.stderr.count("\n") == 1


@pytest.mark.parametrize("option", ["--explain", "--twins"])
def test_sections_are_refused_where_they_have_no_place(
    option: str, explained: Path, slotbench: Any
) -> None:
    """A CSV is one table; two runs have no losses, and no twins, between them."""
    outcome = slotbench("compare", explained, option, "--format", "csv")
    assert (outcome.code, outcome.stdout) == (2, "")
    assert f"{option} says" in outcome.stderr
    assert "csv has no place for it" in outcome.stderr
    outcome = slotbench("compare", explained, explained, option)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert "it is of one run" in outcome.stderr


def test_thresholds_of_metrics_and_of_all_are_mixed(record: Any, slotbench: Any) -> None:
    """One for a metric holds there, the last of the plain ones everywhere else."""
    record()
    told = ["--threshold", "1%", "--threshold", "latency_p99=40%", "--threshold", "2%"]
    found = json.loads(slotbench("compare", *told, "--format", "json").stdout)
    assert found["threshold_ratio"] == 0.02
    assert found["thresholds_ratio"] == {
        "throughput": 0.02, "latency_p50": 0.02, "latency_p99": 0.4,
    }  # fmt: skip
    verdicts = {r["metric"]: r["verdict"] for r in found["rows"] if not r["is_baseline"]}
    assert verdicts == {
        "throughput": "faster", "latency_p50": "faster", "latency_p99": "equivalent",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("latency_p98=3%", "unknown metric 'latency_p98': did you mean latency_p99"),
        ("mean_batch_size=3%", "given for mean_batch_size, which is not compared"),
        ("=3%", "names no metric"),
        ("latency_p99=3", "write 3% or 0.03"),
        ("latency_p99=", "write 3% or 0.03"),
    ],
)
def test_a_threshold_of_no_metric_is_one_line(
    text: str, words: str, record: Any, slotbench: Any
) -> None:
    """A misspelt metric would be gated by another threshold than was meant."""
    record()
    outcome = slotbench("compare", f"--threshold={text}")
    assert outcome.code == 2
    assert words in outcome.stderr
    assert outcome.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--baseline", "slto", "no contender 'slto' in this run: it has threading, slot"),
        ("--metric", "thruput", "unknown metric 'thruput': did you mean throughput"),
        ("--format", "jsno", "unknown format 'jsno': did you mean json"),
    ],
)
def test_a_name_that_is_none_is_one_line(
    option: str, value: str, words: str, record: Any, slotbench: Any
) -> None:
    """Unknown contenders, metrics and formats name what there is."""
    record()
    outcome = slotbench("compare", option, value)
    assert outcome.code == 2
    assert outcome.stderr.startswith(f"slotbench: error: {words}")
    assert outcome.stderr.count("\n") == 1


def test_a_run_of_invalid_trials_alone_is_code_3(
    record: Any, make_trial: Any, slotbench: Any
) -> None:
    """Where no number is what it claims, a script must not go on."""
    record([make_trial(who, invalid="lost") for who in ("threading", "slot")])
    outcome = slotbench("compare")
    assert outcome.code == 3
    assert "INVALID" in outcome.stdout


def test_one_valid_trial_is_code_0(record: Any, make_trial: Any, slotbench: Any) -> None:
    """INVALID trials are shown and left out; the rest still is a result."""
    record([make_trial("threading"), make_trial("slot", invalid="lost")])
    assert slotbench("compare").code == 0


@pytest.mark.parametrize("rest", [{"throughput": None}, {"invalid": "lost"}])
def test_a_run_without_a_usable_number_is_code_4_if_one_failed(
    rest: dict[str, Any], record: Any, make_trial: Any, slotbench: Any
) -> None:
    """All failed, or the rest INVALID: a script must not go on."""
    record([make_trial("threading", None), make_trial("slot", **rest)])
    outcome = slotbench("compare")
    assert outcome.code == 4
    assert "No trial gave a number to use" in outcome.stdout


def test_a_failed_trial_beside_a_usable_one_is_code_0(
    record: Any, make_trial: Any, slotbench: Any
) -> None:
    """It is shown and left out, as an INVALID one is."""
    record([make_trial("threading"), make_trial("slot", None)])
    assert slotbench("compare").code == 0


def test_only_attempts_that_count_decide_the_exit_code(
    record: Any, make_trial: Any, slotbench: Any
) -> None:
    """A number of an attempt that was broken off is used nowhere, and saves no run."""
    whole = [("threading", 0), ("slot", 0), ("threading", 1)]
    trials = [make_trial("slot", attempt=0)]
    trials += [make_trial(who, arm=arm, attempt=1, invalid="lost") for who, arm in whole]
    record(trials)
    assert slotbench("compare").code == 3


def test_a_run_without_trials_has_nothing_to_compare(record: Any, slotbench: Any) -> None:
    """An interrupted run that recorded nothing is said to be so."""
    path = record([], status="interrupted")
    outcome = slotbench("compare")
    assert outcome.code == 2
    assert outcome.stderr.splitlines()[-1] == (
        f"slotbench: error: {Path('results') / path.name} holds no trials yet: "
        "there is nothing to compare"
    )


def test_notes_go_to_stderr(record: Any, slotbench: Any) -> None:
    """A truncated line is talked about, and the data on stdout stays clean."""
    path = record()
    file = path / "trials.jsonl"
    file.write_bytes(file.read_bytes()[:-9])
    outcome = slotbench("compare", "--format", "json")
    assert json.loads(outcome.stdout)["num_trials_recorded"] == 8
    assert outcome.stderr.startswith("slotbench: note: ")
    assert "line 9 was cut short" in outcome.stderr


def test_compare_loads_no_torch_and_no_pandas(record: Any) -> None:
    """Comparing a run needs neither torch nor pandas nor matplotlib."""
    code = (
        "import sys\n"
        "from slotbench.cli import main\n"
        "try:\n"
        "    main(['compare', sys.argv[1]])\n"
        "finally:\n"
        "    print({'torch', 'pandas', 'matplotlib'} & set(sys.modules), file=sys.stderr)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(record())],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert result.stderr == "set()\n"


RATES = {"threading": [1000.0, 1010.0, 990.0], "slot": [1200.0, 1214.0, 1187.0]}
SLOWER = RATES | {"slot": [1080.0, 1092.0, 1068.0]}
NOISY = RATES | {"slot": [1080.0, 1450.0, 1150.0]}


@pytest.fixture
def runs(tmp_path: Path, make_run: Any, make_trials: Any) -> Any:
    """Store runs named base and head from contender → throughputs, or from trials."""

    def store(**made: Any) -> list[Path]:
        paths = []
        for name, given in made.items():
            run = make_run(rounds=3)
            environment = {"git_commit": name}
            if isinstance(given, tuple):
                environment, given = given  # noqa: PLW2901  # one name for what is given
            trials = given if isinstance(given, list) else make_trials(given)
            run = replace(run, run_id=f"run-{name}", environment=environment)
            folder = RunFolder.create(tmp_path / "results", run)
            for trial in trials:
                folder.append(trial)
            folder.close()
            paths.append(folder.path)
        return paths

    return store


@pytest.mark.parametrize("name", draw.available())
def test_two_runs_in_every_format(name: str, runs: Any, slotbench: Any) -> None:
    """BASE and HEAD in this order; stderr is silent."""
    runs(base=RATES, head=SLOWER)
    outcome = slotbench("compare", "run-base", "run-head", "--format", name)
    assert (outcome.code, outcome.stderr) == (0, "")
    assert "slower" in outcome.stdout
    assert "drift" in outcome.stdout


def test_a_run_against_itself_passes_every_gate_on_regressions(
    runs: Any, slotbench: Any
) -> None:
    """All ratios are 1, and nothing has regressed."""
    runs(base=RATES)
    told = ["run-base", "run-base", "--format", "json", "--fail-on", "regression"]
    outcome = slotbench("compare", *told)
    assert outcome.code == 0
    found = json.loads(outcome.stdout)
    assert {row["ratio"] for row in found["rows"]} == {1.0}
    assert all(row["low_ratio"] <= 1.0 <= row["high_ratio"] for row in found["rows"])


def test_two_runs_take_the_same_options(runs: Any, slotbench: Any) -> None:
    """Baseline, threshold, metric, and --absolute."""
    runs(base=RATES, head=SLOWER)
    told = ["run-base", "run-head", "--format", "json", "--metric", "throughput"]
    found = json.loads(
        slotbench("compare", *told, "--baseline", "slot", "--threshold", "20%").stdout
    )
    rows = {row["contender"]: row for row in found["rows"]}
    assert (rows["slot"]["verdict"], rows["threading"]["verdict"]) == (
        "drift",
        "equivalent",
    )
    found = json.loads(slotbench("compare", *told, "--absolute").stdout)
    rows = {row["contender"]: row for row in found["rows"]}
    assert (found["baseline"], rows["threading"]["ratio"]) == (None, 1.0)
    assert rows["slot"]["ratio"] == pytest.approx(0.9, abs=0.001)


def test_runs_of_two_machines_are_refused_and_can_be_forced(
    runs: Any, slotbench: Any
) -> None:
    """Exit code 2 with one line; with --allow-different the comparison names them on top."""
    runs(base=({"machine_id": "aa"}, RATES), head=({"machine_id": "bb"}, RATES))
    outcome = slotbench("compare", "run-base", "run-head")
    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.stderr.count("\n") == 1
    assert "machine_id is aa and bb" in outcome.stderr
    assert "--allow-different" in outcome.stderr
    outcome = slotbench("compare", "run-base", "run-head", "--allow-different")
    assert outcome.code == 0
    above, _, _ = outcome.stdout.partition("num_slots=8\n")
    assert "FORBIDS: machine_id: aa → bb (another machine)" in above


@pytest.mark.parametrize("option", ["--absolute", "--allow-different"])
def test_what_needs_two_runs_says_so(option: str, record: Any, slotbench: Any) -> None:
    """Of one run it has no meaning, and is not passed over."""
    record()
    outcome = slotbench("compare", "newest", option)
    assert outcome.code == 2
    assert f"{option} compares two runs" in outcome.stderr


def test_notes_name_the_run_they_are_of(runs: Any, slotbench: Any) -> None:
    """A truncated line of head is not taken for one of base."""
    _, head = runs(base=RATES, head=RATES)
    file = head / "trials.jsonl"
    file.write_bytes(file.read_bytes()[:-9])
    outcome = slotbench("compare", "run-base", "run-head")
    notes = [line for line in outcome.stderr.splitlines() if "cut short" in line]
    assert len(notes) == 1
    assert notes[0].startswith("slotbench: note: head: ")


@pytest.mark.parametrize(
    ("head", "asked", "code"),
    [
        (SLOWER, "regression", 1),
        (SLOWER, "inconclusive", 1),
        (RATES, "regression", 0),
        (RATES, "inconclusive", 0),
        (NOISY, "regression", 0),
        (NOISY, "inconclusive", 1),
        (RATES | {"slot": [None, 1214.0, 1187.0]}, "regression", 4),
        (RATES | {"threading": [None, 1010.0, 990.0]}, "regression", 4),
        (SLOWER | {"threading": [None, 1010.0, 990.0]}, "regression", 1),
    ],
)
@pytest.mark.parametrize("is_one_run", [False, True])
def test_gates_decide_the_exit_code(
    head: Any, asked: str, code: int, is_one_run: bool, runs: Any, slotbench: Any
) -> None:
    """Of head against base, and of slot against threading in one run, with a line of why."""
    told = ["--fail-on", asked, "--threshold", "4%", "--metric", "throughput"]
    if is_one_run:
        # Against a threading that is 1.2 times as fast, slot loses as much as between runs.
        level = {"threading": [1.2 * (v or 0) or None for v in head["threading"]]}
        (path,) = runs(base=head | level)
        outcome = slotbench("compare", path, *told)
    else:
        outcome = slotbench("compare", *runs(base=RATES, head=head), *told)
    assert outcome.code == code
    last = "".join(outcome.stdout.split("\n\n")[-1:])
    assert last.startswith("gate: passed: " if code == 0 else "gate: failed: ")


def test_an_invalid_trial_behind_a_gated_row_is_code_3(
    runs: Any, make_trials: Any, make_trial: Any, slotbench: Any
) -> None:
    """Without a gate the rest is a result; with one it is not enough. A regression is more."""
    bad = make_trial("slot", 1.0, round=3, invalid="lost_reply")
    runs(
        base=RATES, head=[*make_trials(RATES), bad], worse=[*make_trials(SLOWER), bad]
    )  # fmt: skip
    told = ["--threshold", "4%", "--metric", "throughput"]
    gate = ["--fail-on", "inconclusive"]
    assert slotbench("compare", "run-base", "run-head", *told).code == 0
    assert slotbench("compare", "run-base", "run-head", *told, *gate).code == 3
    assert slotbench("compare", "run-base", "run-worse", *told, *gate).code == 1


def test_a_run_of_invalid_trials_among_two_is_code_3(
    runs: Any, make_trial: Any, slotbench: Any
) -> None:
    """Also where no gate is asked."""
    bad = [make_trial(who, invalid="lost") for who in ("threading", "slot")]
    failed = [make_trial(who, None) for who in ("threading", "slot")]
    runs(base=RATES, head=bad, worse=failed)
    assert slotbench("compare", "run-base", "run-head").code == 3
    assert slotbench("compare", "run-worse", "run-base").code == 4
    assert slotbench("compare", "run-head", "run-worse").code == 4


@pytest.mark.parametrize("name", draw.available())
def test_a_contender_that_head_went_without_fails_the_gate(
    name: str, tmp_path: Path, make_run: Any, make_trials: Any, slotbench: Any
) -> None:
    """Code 3 with its name; without a gate, or gating another alone, it is code 0."""
    base = RATES | {"broken": RATES["slot"]}
    skipped = [Skipped("broken", "does not import")]
    for run_id, rates, gone in (("was", base, []), ("now", RATES, skipped)):
        run = replace(make_run([*rates], rounds=3, skipped=gone), run_id=f"run-{run_id}")
        with RunFolder.create(tmp_path / "results", run) as folder:
            for trial in make_trials(rates):
                folder.append(trial)
    told = ["--fail-on", "regression", "--format", name]
    outcome = slotbench("compare", "run-was", "run-now", *told)
    assert outcome.code == 3
    said = "gate: failed: missing data: head has no contender broken"
    assert said in outcome.stdout or name == "csv"
    assert (
        slotbench("compare", "run-was", "run-now", *told, "--contender", "slot").code == 0
    )
    assert slotbench("compare", "run-was", "run-now").code == 0
    assert slotbench("compare", "run-now", *told).code == 0


def test_a_gate_that_is_none_is_one_line(record: Any, slotbench: Any) -> None:
    """And nothing is printed that could be taken for a result."""
    record()
    outcome = slotbench("compare", "--fail-on", "regresion")
    assert (outcome.code, outcome.stdout) == (2, "")
    assert "did you mean regression?" in outcome.stderr


@pytest.mark.parametrize("is_two", [False, True])
def test_one_contender_can_be_gated_alone(
    is_two: bool, make_run: Any, make_trials: Any, slotbench: Any, tmp_path: Path
) -> None:
    """Another that is slower, as everybody knows, is neither shown nor gated."""
    base = {"threading": [1e3, 1.01e3, 9.9e2], "slot": [1e3, 1.01e3, 9.9e2]}
    rates = {**base, "other": [500.0, 505.0, 495.0]}
    was = {**base, "other": [900.0, 909.0, 891.0]}
    for name, made in (("was", was), ("now", rates)):
        run = replace(make_run([*made], rounds=3), run_id=f"run-{name}")
        with RunFolder.create(tmp_path / "results", run) as folder:
            for trial in make_trials(made):
                folder.append(trial)
    told = [*(["run-was"] if is_two else []), "run-now", "--metric", "throughput"]
    gate = ["--fail-on", "regression"]
    assert slotbench("compare", *told, *gate).code == 1
    alone = slotbench("compare", *told, *gate, "--contender", "slot")
    assert (alone.code, "other" in alone.stdout) == (0, False)
    assert "threading" in alone.stdout
    both = slotbench("compare", *told, *gate, "--contender", "slot", "--contender", "other")
    assert both.code == 1
    shown = slotbench("compare", *told, *gate, "--contender", "slot", "--format", "github")
    assert "--contender slot --fail-on regression" in shown.stdout  # how to reproduce it
    unknown = slotbench("compare", *told, "--contender", "slto")
    assert unknown.code == 2
    assert (
        "no contender 'slto' to compare: there is threading, slot, other" in unknown.stderr
    )
