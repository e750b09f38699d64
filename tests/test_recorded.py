"""What is recorded is whole, and what pages say of it in words is what it says.

Tables that are made from records are of tests/test_docs.py.
"""

import html
import math
import re
from collections import Counter
from typing import Any

import pytest

import slotbench
from slotbench import store
from slotbench.api import CheckedPredictions
from slotbench.compute import loads, transport_costs
from slotbench.draw import (
    units,
)
from slotbench.exports import primitives
from tests.test_docs import (
    BETWEEN_PROCESSES,
    COLLECTED,
    DOCTOR,
    GIL,
    HISTORY,
    LOSERS,
    OF_THE_LIBRARY,
    ON_RAY,
    PREDICTION,
    PRIMITIVES,
    RAY,
    REAL_ANTS,
    REFERENCE,
    ROOT,
    SELFTEST_UNTIL,
    SERVERS,
    TWINS,
    UNDER_LOAD,
    WAKEUPS,
    WAKEUPS_ONE_CORE,
    run_and_trials,
    throughput_rows,
)


def test_one_of_the_runs_on_one_core_and_two_had_one() -> None:
    """The two runs of ``wakeups`` are what docs/transport-log.md says of them."""
    two_cores, one_core = slotbench.load(WAKEUPS), slotbench.load(WAKEUPS_ONE_CORE)

    assert one_core.record.environment["cpu_affinity_count"] == 1
    assert two_cores.record.environment["cpu_affinity_count"] > 1


def test_reference_runs_are_complete_and_small() -> None:
    """Every committed run is whole, free of this machine's paths, and at most 8 MB.

    An INVALID trial is shown and never used; more than 1 in 100 would spoil a run.
    """
    folders = [path.parent for path in (ROOT / "results/reference").glob("*/run.json")]
    assert folders
    for folder in folders:
        run = slotbench.load(folder)
        assert run.record.status == "complete"
        assert run.notes == ()
        # At a light load a late generator is a good part of a short latency, whatever is measured.
        is_open = any(c.workload.load.is_open for c in run.record.scenario.cells)
        assert run.trials["is_invalid"].mean() <= (0.02 if is_open else 0.01)
        assert (run.trials["status"] == "ok").all()
        assert sum(file.stat().st_size for file in folder.iterdir()) <= 8_000_000
        assert str(ROOT.parent) not in (folder / "run.json").read_text()


def test_the_recorded_history_is_of_many_commits_and_small() -> None:
    """Ten runs at least, whole, of a commit each and nothing else, at most 150 kB, free of this machine's paths."""
    folders = [path.parent for path in HISTORY.glob("*/run.json")]
    if not folders:
        pytest.skip("no history is recorded here yet")
    found = slotbench.history(results_dir=HISTORY)
    assert found.notes == ()
    assert found.record.num_runs == len(folders) >= 10
    assert len({series.machine for series in found.record.series}) == 1
    points = [point for series in found.record.series for point in series.points]
    assert len({point.commit for point in points}) == len(folders)
    assert not any(point.is_dirty for point in points)
    for folder in folders:
        assert sum(file.stat().st_size for file in folder.iterdir()) <= 150_000
        text = (folder / "run.json").read_text(encoding="utf-8")
        assert "/tmp" not in text
        assert str(ROOT.parent) not in text


def test_the_self_test_of_runs_until_decided_passes() -> None:
    """Every criterion; free of this machine's paths."""
    record = store.read_selftest(SELFTEST_UNTIL)
    assert record.sequential
    assert all(c.num_min <= c.num_seen <= c.num_max for c in record.criteria)
    assert not re.search(r'"/\w', SELFTEST_UNTIL.read_text(encoding="utf-8"))


def test_the_recorded_history_has_the_change_that_the_page_names() -> None:
    """One, of slot, with that commit, by over twice as much."""
    found = slotbench.history(results_dir=HISTORY)
    ((series, change),) = [(s, c) for s in found.record.series for c in s.changes]
    assert (series.contender, change.verdict) == ("slot", "faster")
    assert series.points[change.at].commit.startswith("2a0c814")
    assert change.cut.size.low is not None
    assert change.cut.size.low > 2.0


def test_reference_searches_are_complete_and_small() -> None:
    """Every committed search has ended, is free of this machine's paths, and at most 5 MB."""
    for folder in (path.parent for path in (ROOT / "results/reference").glob("*/slo.json")):
        found = slotbench.load_slo(folder)
        assert found.record.status == "complete"
        assert found.notes == ()
        assert all(one.search.ending != "not found" for one in found.searches)
        assert sum(file.stat().st_size for file in folder.iterdir()) <= 5_000_000
        assert str(ROOT.parent) not in (folder / "slo.json").read_text()


def test_reference_profiles_are_complete_and_small() -> None:
    """Every committed profile is whole, with its timelines, and at most 5 MB."""
    folders = [path.parent for path in (ROOT / "results/reference").glob("*/profile.json")]
    assert folders
    for folder in folders:
        profile = slotbench.load_profile(folder)
        assert profile.record.status == "complete"
        assert profile.notes == ()
        assert all(one.problems == () for cell in profile.cells for one in cell.contenders)
        for name in profile.record.timelines:
            assert (folder / name).is_file()
        assert sum(file.stat().st_size for file in folder.iterdir()) <= 5_000_000
        assert str(ROOT.parent) not in (folder / "profile.json").read_text()


def test_the_reference_diagnosis_is_whole_and_its_suite_is_its_own() -> None:
    """``slotbench doctor --json --pyperf …``: not a quick one, no trial failed; one file is of the other."""
    doctor = slotbench.load_diagnosis(DOCTOR)

    assert not doctor.record.is_quick
    assert doctor.record.noise.num_failed == doctor.record.noise.num_invalid == 0
    assert all(len(primitive.runs) >= 5 for primitive in doctor.record.primitives)
    assert PRIMITIVES.read_bytes() == primitives.render(doctor.record)
    assert str(ROOT.parent) not in DOCTOR.read_text(encoding="utf-8")


def test_the_recorded_check_is_what_is_predicted_now() -> None:
    """Every run that has a prediction is in it, none picked; two of them are predicted anew, row by row."""
    record = store.read_prediction_check(PREDICTION)
    fitted = set(transport_costs.load().costs)
    folders = {path.parent for path in REFERENCE.glob("*/run.json")}
    wanted = {
        run.record.run_id
        for run in map(slotbench.load, folders)
        if fitted & {x.label for x in run.record.scenario.contenders}
        and any(not cell.workload.load.is_open for cell in run.record.scenario.cells)
    }
    assert {one.run_id for one in record.runs} == wanted
    again = slotbench.check_predictions(["losses", "rl_pixels_8"], results_dir=REFERENCE)
    for one in again.record.rows:
        (same,) = (
            x
            for x in record.rows
            if (x.run, x.cell, x.contender) == (one.run, one.cell, one.contender)
        )
        assert one.predicted_per_s == pytest.approx(same.predicted_per_s, rel=1e-6)
        assert one.measured_per_s == pytest.approx(same.measured_per_s, rel=1e-9)
    assert str(ROOT.parent) not in PREDICTION.read_text(encoding="utf-8")


def test_the_page_on_predictions_says_what_was_recorded() -> None:
    """Where they hold, where they do not, and which way they are off."""
    rows = CheckedPredictions(store.read_prediction_check(PREDICTION)).frame
    right = rows["ratio"].between(1 / 1.2, 1.2)
    assert right[rows["regime"] == "policy"].mean() > 0.95
    assert right.mean() > 0.8
    many = rows[rows["num_slots"] > 256]
    assert many["ratio"].min() > 1.2
    runs = {one.run_id: one.name for one in store.read_prediction_check(PREDICTION).runs}
    assert not right[rows["run"].map(runs) == "mujoco_ant_cpu"].any()
    assert rows["latency_p99_ratio"].median() < 0.7
    assert 0.99 < rows["batch_size_ratio"].median() < 1.01
    # The examples.
    found = {
        (x.queues, x.num_servers, x.min_batch_size > 1): x
        for x in slotbench.predict(**SERVERS).record.rows
    }
    fast = [x for x in found.values() if x.is_fast_enough]
    fewest = min(fast, key=lambda x: (x.num_servers, x.min_batch_size))
    assert (fewest.queues, fewest.num_servers, fewest.min_batch_size) == ("own", 32, 1)
    for queues in ("shared", "own"):
        assert found[queues, 64, True].per_s > found[queues, 128, False].per_s
    for servers in (16, 32, 64, 128):
        assert found["shared", servers, True].per_s > found["own", servers, True].per_s


def test_the_reference_report_says_what_its_run_says() -> None:
    """``slotbench report grid --results results/reference -o results/reference/grid.html``."""
    run = slotbench.load(ROOT / "results/reference/grid")
    page = (ROOT / "results/reference/grid.html").read_text(encoding="utf-8")
    text = html.unescape(re.sub(r"<[^>]*>", "", page))

    assert run.record.run_id in text
    for answer in run.answers.values():
        assert answer in text


def _ratios(heading: str, columns: tuple[tuple[str, str, str], ...]) -> dict[str, Any]:
    """Contender → its row against its run's baseline, in the column of that heading."""
    ((name, cell),) = [(name, cell) for title, name, cell in columns if title == heading]
    rows = throughput_rows(slotbench.load(REFERENCE / name), None)
    return {row.contender: row for row in rows if row.cell == cell}


def test_the_page_on_whole_collections_says_what_was_recorded() -> None:
    """Its answers, claim by claim."""
    columns = {title: _ratios(title, COLLECTED) for title, *_ in COLLECTED}
    at_once, for_all = (
        columns["policy of 20 ms, at once"],
        columns["policy of 20 ms, for all 8"],
    )
    busy = [columns[title] for title, *_ in COLLECTED[:3]]
    in_threads = [
        f"{name}@collector" for name in ("torchrl.threading", "slot", "threading")
    ]
    with_processes = [
        f"{name}[env_backend=multiprocessing]@collector"
        for name in ("slot", "torchrl.slot")
    ]
    baseline, processes = "torchrl.slot@collector", "torchrl.process_slot@collector"

    # A slow policy: the rule, not the transport.
    assert at_once["torchrl.threading@collector"].verdict == "equivalent"
    for name in (*in_threads, processes):
        assert 0.97 <= at_once[name].ratio.point <= 1.03
    for name in (baseline, *in_threads, processes):
        assert for_all[name].value > 1.33 * at_once[name].value
    # Fast envs and policies: the collector.
    for column in busy:
        assert all(column[name].value < 2_000 for name in (baseline, *in_threads))
        assert all(0.8 <= column[name].ratio.point <= 1.05 for name in in_threads)
        assert all(column[name].ratio.high < 0.91 for name in with_processes)
        assert all(0.65 <= column[name].ratio.point <= 0.80 for name in with_processes)
        assert 1.45 <= column[processes].ratio.point <= 2.05
        assert column[processes].ratio.low > 1.0
        assert max(column, key=lambda name: column[name].value) == "torchrl.parallel"
    for column in (at_once, for_all):
        assert column["torchrl.parallel"].ratio.low > 0.97
        best = max(row.value for row in column.values())
        assert column["torchrl.parallel"].value > 0.98 * best
    # Alone, and where envs hold the GIL.
    alone, python = (
        _ratios(title, BETWEEN_PROCESSES)
        for title in ("8 actors", "8, 2 ms of Python a step, policy of 1 ms")
    )
    threads = ("torchrl.slot[collate=lazy_stack]", "slot")
    slots = ("torchrl.process_slot", "torchrl.process_slot[copy_result=false]")
    assert all(10_000 < alone[name].value < 30_000 for name in threads)
    assert all(0.4 < alone[name].ratio.point < 0.7 for name in slots)
    assert python["slot"].verdict == "equivalent"
    for name in (*slots, "torchrl.shared_memory"):
        assert 1.45 < python[name].ratio.point < 1.6
    assert alone["torchrl.process_slot"].value > 10 * alone["torchrl.mp"].value
    assert all(_ratios(title, RAY)["torchrl.ray"].ratio.high < 0.03 for title, *_ in RAY)


def test_the_page_on_others_workloads_says_what_was_recorded() -> None:
    """Where a transport matters there, and where ours falls behind."""
    pixels, waiting, computing = (
        _ratios(title, OF_THE_LIBRARY) for title, *_ in OF_THE_LIBRARY[:3]
    )
    atari = _ratios("`atari_torchbeast`", OF_THE_LIBRARY)
    others = [name for name in pixels if name not in {"threading", "torchrl.slot"}]
    assert all(0.95 <= pixels[name].ratio.point <= 1.05 for name in others)
    assert 1.15 <= waiting["slot"].ratio.point <= 1.25
    assert atari["slot"].ratio.low >= 1.33
    assert computing["slot"].verdict == "slower"
    real = _ratios("Ant", (("Ant", "twin_ant", REAL_ANTS),))
    assert real["slot"].verdict == "faster"


def test_the_page_on_real_environments_says_what_was_recorded() -> None:
    """Twins of this machine's constants with one actor, with more, and the published ones."""
    ratios: dict[tuple[str, bool], list[Any]] = {}
    for name in TWINS:
        compared = slotbench.load(REFERENCE / name).compare(twins=True)
        workloads = {cell.name: cell.workload for cell in compared.cells}
        means = sorted({workloads[one.twin].think_time.mean_ms for one in compared.twins})
        for one in compared.twins:
            is_own = workloads[one.twin].think_time.mean_ms == means[0]
            how_many = "one" if workloads[one.cell].num_slots == 1 else "more"
            ratios.setdefault((how_many, is_own), []).append(one)
    own = [one.verdict for one in ratios["one", True]]
    assert "does not predict" not in own
    assert own.count("predicts") >= len(own) / 2
    assert max(one.ratio.point for one in ratios["more", True]) < 2.5
    assert [one.verdict for one in ratios["more", True]].count("predicts") < 5
    assert "predicts" not in [one.verdict for one in ratios["one", False]]
    ranks = [one.ranking for group in ratios.values() for one in group]
    assert (ranks.count("agrees"), ranks.count("differs")) == (1, 1)


def test_the_page_on_scaling_says_what_was_recorded() -> None:
    """Where the law fits ours, and why it fits nobody whose actors settle into two halves."""
    compared = slotbench.load(REFERENCE / "grid").compare(scalability=True)
    assert compared.scalability is not None
    laws = {(law.row, law.contender): law for law in compared.scalability.laws}
    for latency_ms in (1, 5, 20):
        of_row = {
            who: law for (row, who), law in laws.items() if row.endswith(f"={latency_ms}")
        }
        assert {who for who, law in of_row.items() if law.fits} == {
            "slot",
            "slot[preallocate]",
        }
        for who in set(LOSERS) - {"slot"}:
            one, four = (x.point for x in of_row[who].measured[:2])
            assert 1.8 < four / one < 2.5
        one, four = (x.point for x in of_row["slot"].measured[:2])
        assert four / one > 3.4


def test_a_trial_of_the_reference_run_starts_in_50_ms() -> None:
    """Once its worker is up, at 16 actors: median over all contenders."""
    run = slotbench.load(ROOT / "results/reference/quickstart")

    assert run.trials["startup_s"].median() < 0.050


def test_what_the_page_says_of_the_recorded_open_loop() -> None:
    """Alike at a light load; a longer tail before saturation; over 1.5 times as much beyond it."""
    found = {
        (round(p.offered_per_s), p.contender): p
        for p in loads.points(*run_and_trials(UNDER_LOAD))
    }
    others = ("threading", "torchrl.slot[collate=lazy_stack]")
    for other in others:
        for offered in (320, 800):
            light, slot = found[offered, other], found[offered, "slot"]
            assert light.latency_p99_s == pytest.approx(slot.latency_p99_s, rel=0.12)
        busy, slot = found[4800, other], found[4800, "slot"]
        assert (busy.latency_p99_s or 0.0) > 3 * (slot.latency_p99_s or math.inf)
        for offered in (6400, 8000, 9600):
            assert found[offered, other].is_saturated
        most, slot = found[9600, other], found[9600, "slot"]
        assert (slot.served_per_s or 0.0) > 1.5 * (most.served_per_s or math.inf)
    floor = found[9600, "floor"]
    assert (found[9600, "slot"].served_per_s or 0.0) > (floor.served_per_s or math.inf)
    means = slotbench.load(UNDER_LOAD).trials.query("arm == 0 and not is_invalid")
    batches = means.groupby(["cell", "contender"])["mean_batch_size"].mean()
    full = "load.per_actor_per_s=600"
    assert batches[full, "slot"] > 13
    assert all(7 < batches[full, other] < 9 for other in others)
    counted = Counter(t.cell for t in store.read(UNDER_LOAD).trials if t.is_invalid)
    assert dict(counted) == {"load.per_actor_per_s=20": 2, "load.per_actor_per_s=50": 1}


def test_the_page_on_scaling_out_says_what_was_recorded() -> None:
    """What the race of three Pythons shows, and that a killed node cost no block."""
    run = slotbench.load(GIL)
    gil = run.trials.groupby("contender")["is_gil_enabled"].agg(["min", "max", "size"])
    for label, (least, most, number) in gil.T.items():
        is_off = str(label).endswith("python3.14t]")
        assert (least, most) == (not is_off, not is_off)
        assert number in {
            24,
            25,
            48,
            50,
        }  # 2 cells in 12 rounds, the baseline twice; one block again
    for name in ("slot", "threading", "floor"):
        here = f"{name}[python=python3.14]"
        over = {
            (row.cell.rpartition("=")[2], row.contender.removeprefix(name)): row.ratio
            for row in throughput_rows(run, here)
            if row.ratio is not None
        }
        free, kept = "[python=python3.14t]", '[python="python3.14t -X gil=1"]'
        assert 1.5 < over["work", free].low < over["work", free].high < 1.8
        assert 0.87 < over["work", kept].point < 0.93
        if name != "floor":
            assert 1.09 < over["idle", free].point < 1.13
            assert 0.8 < over["idle", kept].point < 0.87
    (ahead,) = (
        row.ratio
        for row in throughput_rows(run, "slot[python=python3.14t]")
        if row.contender == "threading[python=python3.14t]" and row.cell.endswith("work")
    )
    assert units.interval(ahead.low, ahead.high) == "[1.06, 1.10]"
    cluster = slotbench.load(ON_RAY)
    lost = cluster.nodes[cluster.nodes["lost"] != ""]
    assert lost["num_broken_off"].tolist() == [1]
    assert cluster.nodes["num_blocks"].sum() == 20
    assert cluster.trials["status"].eq("ok").all()
    assert not cluster.trials["is_invalid"].any()
