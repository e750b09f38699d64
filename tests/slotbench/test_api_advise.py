"""``slotbench.advise`` and the command: what is asked, timed, raced, written."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import slotbench
from slotbench.api import _advise, _advising
from slotbench.api._advising import Timed
from slotbench.compute import advice, transport_costs
from slotbench.draw import recommendation as drawn
from slotbench.errors import RecordError, SlotbenchError
from slotbench.records import Batching, ServicePoint
from tests.slotbench.support.calibrations import calibration

REFERENCE = Path(__file__).parents[2] / "results/reference"
OPTIONS = (
    *("--step-ms", "--step-cv", "--step-distribution", "--step-mode", "--environment"),
    *("--policy-ms", "--policy-per-item-ms", "--policy", "--max-latency-ms"),
)
OURS = {"slot", "threading", "slot[inline]"}


def test_a_forecast_alone_runs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even a worker; and the same question has the same answer."""
    monkeypatch.setattr(_advising, "_time", None)
    monkeypatch.setattr(_advising, "_race", None)
    found = slotbench.advise(8, step_ms=5, policy_ms=2, measure=False)
    again = slotbench.advise(8, step_ms=5, policy_ms=2, measure=False)

    record = found.record
    assert replace(record, created_at="") == replace(again.record, created_at="")
    assert not record.is_pace_known
    assert record.pace == transport_costs.load().assumed_pace
    assert found.run is None
    assert found.choice.low < found.choice.per_s < found.choice.high
    assert {one.contender for one in record.choices} >= OURS
    assert record.command == (
        *("slotbench", "advise", "--num-envs", "8", "--step-ms", "5"),
        *("--policy-ms", "2", "--no-measure"),
    )


def test_it_shows_itself(tmp_path: Path) -> None:
    """As text, as HTML, in a line; and reads back what it wrote."""
    found = slotbench.advise(4, policy_ms=2, measure=False)
    assert str(found) == drawn.show(found.record)
    assert found._repr_html_() == drawn.fragment(found.record)
    assert repr(found) == f"<Advised: {drawn.sentences(found.record)[0]}>"
    path = found.to_json(tmp_path / "advice.json")
    assert slotbench.load_advice(path).record == found.record
    assert {"advise", "Advised", "load_advice"} <= set(dir(slotbench))
    path.write_text(path.read_text().replace('"schema_version": 2', '"schema_version": 99'))
    with pytest.raises(RecordError, match="99"):
        slotbench.load_advice(path)


def test_advice_of_the_first_version_is_read(tmp_path: Path) -> None:
    """It has nothing of the race's trials."""
    found = slotbench.advise(4, policy_ms=2, measure=False)
    path = found.to_json(tmp_path / "advice.json")
    fields = json.loads(path.read_text()) | {"schema_version": 1}
    del fields["race"]
    path.write_text(json.dumps(fields))
    again = slotbench.load_advice(path)
    assert again.record == replace(found.record, schema_version=1)
    assert str(again) == str(found)


def test_the_scenario_of_a_forecast_can_be_run() -> None:
    """It holds the recommended rule and contender."""
    from slotbench.scenario import loads

    found = slotbench.advise(16, step_ms=5, policy_ms=20, measure=False)
    raced = loads(found.scenario, name="advice")
    assert found.choice.batching in [cell.workload.batching for cell in raced.cells]
    assert found.choice.contender in [who.label for who in raced.contenders]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_envs": 0}, "--num-envs 0: give a number from 1 to 16384"),
        ({"num_envs": 16_385}, "--num-envs 16385"),
        (
            {"policy": "a:b", "policy_ms": 1.0},
            "--policy and --policy-ms exclude each other",
        ),
        (
            {"environment": "CartPole-v1", "step_ms": 1.0, "observation": "float32[4]"},
            "--environment and --observation, --step-ms exclude each other",
        ),
        ({"environment": "CartPole-v1", "step_mode": "busy"}, "--step-mode exclude"),
        ({"policy_ms": -1.0}, "--policy-ms -1: give a number from 0 to 60000"),
        ({"policy_ms": float("nan")}, "--policy-ms nan"),
        ({"max_latency_ms": 0}, "no reply takes no time"),
        ({"rounds": 0}, "--rounds 0"),
        ({"seconds": 0}, "--seconds 0"),
        ({"observation": "float32[60000,60000]"}, "^--observation: those of 8 .* GiB$"),
        ({"observation": ["action=float32[8]"]}, "^--observation: leaf 'action' [^()]*$"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(options: dict[str, Any], message: str) -> None:
    """Before anything is measured."""
    with pytest.raises(SlotbenchError, match=message) as caught:
        slotbench.advise(options.pop("num_envs", 8), measure=False, **options)
    assert "\n" not in str(caught.value)


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> dict[str, Timed]:
    """What the machine is said to have timed, in the place of timing it."""
    found = {"timed": Timed(2.0)}
    monkeypatch.setattr(_advising, "_time", lambda *_: found["timed"])
    return found


def test_a_policy_that_was_timed_is_forecast_with_its_times(
    timed: dict[str, Timed],
) -> None:
    """3 ms and 0.1 ms a row; and the pace is that of this machine."""
    service = tuple(ServicePoint(n, 3e-3 + 1e-4 * n, 1e-3, 20) for n in (1, 4, 8))
    timed["timed"] = Timed(2.0, calibration("all", service=service))
    record = slotbench.advise(8, policy="my.module:policy", measure=False).record

    assert record.pace == 2.0
    assert record.is_pace_known
    assert record.times.policy_origin == "measured"
    assert record.times.batch_s == pytest.approx(3e-3)
    assert record.times.row_s == pytest.approx(1e-4)
    assert record.bound_per_s == pytest.approx(8 / 3.8e-3, rel=0.01)


def test_an_environment_that_was_timed_is_forecast_by_its_twin(
    timed: dict[str, Timed],
) -> None:
    """Its steps without the harness's own part, its observation; its computing holds the GIL."""
    pytest.importorskip("gymnasium")
    pace, work_s = 1.0, transport_costs.load().work_s
    own = calibration(
        "all", think_mean_s=100e-6 + work_s, think_cpu_s=80e-6 + work_s, think_excess_s=None
    )
    timed["timed"] = Timed(pace, own)
    record = slotbench.advise(
        4, environment="CartPole-v1", policy_ms=1, measure=False
    ).record

    assert record.times.think_origin == "measured"
    assert record.times.think_s == pytest.approx(100e-6)
    assert record.times.think_gil_s == record.times.think_cpu_s == pytest.approx(80e-6)
    assert [leaf.shape for leaf in record.workload.observation.leaves] == [(4,)]


def test_a_policy_that_raises_is_said_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its own words; a real worker finds it in the working directory."""
    (tmp_path / "no_policy_here.py").write_text(
        "def policy(batch):\n    raise RuntimeError('no accelerator')\n"
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SlotbenchError, match="RuntimeError: no accelerator") as caught:
        slotbench.advise(2, policy="no_policy_here:policy", measure=False)
    text = str(caught.value)
    assert text.startswith("--policy 'no_policy_here:policy' raised on a batch of 1: ")
    assert "(no_policy_here.py, line 2); --observation was not given" in text
    assert "observation=float32[8]" in text


def test_without_torchrl_ours_alone_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """And that TorchRL's were left out is said, with the reason."""
    monkeypatch.setattr(
        _advising.contenders, "missing_requirement", lambda _: "torchrl is not installed"
    )
    record = slotbench.advise(8, policy_ms=2, measure=False).record
    assert {one.contender for one in record.choices} == OURS
    assert record.notes == (
        "TorchRL's transports were left out: torchrl is not installed.",
    )
    assert "optional" not in record.scenario


def test_what_went_wrong_in_a_race_is_said() -> None:
    """How many trials, and the first one's reason; a clean race has nothing to say."""
    limits = slotbench.load("limits", results_dir=REFERENCE).stored
    [note] = _advising._race_notes(limits)
    assert note.startswith("In the race 1 of 1800 trials were INVALID, the first of ")
    losses = slotbench.load("losses", results_dir=REFERENCE).stored
    assert _advising._race_notes(losses) == []


def test_a_window_is_as_long_as_the_time_allows() -> None:
    """Longer with more seconds, never shorter or longer than is of use."""

    def window_s(seconds: float) -> float:
        text = slotbench.advise(8, policy_ms=1, measure=False, seconds=seconds).scenario
        [line] = [x for x in text.splitlines() if x.startswith("measure_s")]
        return float(line.partition("=")[2])

    found = [window_s(seconds) for seconds in (1, 30, 60, 90, 100_00)]
    assert found == sorted(found)
    assert (found[0], found[-1]) == (0.15, 1.0)
    assert found[1] < found[3]


def test_a_race_is_cut_to_its_time() -> None:
    """Fewer rounds first, then one rule; never a number of rounds that was asked for."""

    def cells_and_rounds(seconds: float, rounds: int | None = None) -> tuple[int, int]:
        text = slotbench.advise(
            4, step_ms=2, policy_ms=2, measure=False, seconds=seconds, rounds=rounds
        ).scenario
        [line] = [x for x in text.splitlines() if x.startswith("rounds")]
        return text.count("[[grid]]"), int(line.partition("=")[2])

    most, rounds = cells_and_rounds(300)
    assert most > 1
    assert rounds == 5
    fewer = cells_and_rounds(50)
    assert fewer[0] == most
    assert 2 <= fewer[1] < 5
    assert cells_and_rounds(1) == (1, 2)
    assert cells_and_rounds(1, rounds=7) == (1, 7)


def test_what_was_cut_is_said() -> None:
    """With what all of it would take, and the least of any; a race that fits says nothing."""
    plan = _advise._plan(
        8,
        dict.fromkeys(OPTIONS) | {"--policy-ms": 2.0},
        (),
        is_raced=True,
        rounds=None,
        seconds=1,
        results_dir=Path("results"),
        command=(),
    )
    rules = (Batching(1, 8, 10.0), Batching(4, 8, 10.0))
    size = _advising.sized(plan, rules, rules[1], ("slot", "threading"))
    assert size.rules == rules[1:]
    assert size.is_cut
    assert size.said.startswith(
        "In --seconds 1 were raced 2 rounds of 1 batching rule, with no block measured again: "
        "5 rounds of 2 take at least about "
    )
    assert "and no race takes less than about" in size.said
    long = _advising.sized(
        replace(plan, seconds=900), rules, rules[1], ("slot", "threading")
    )
    assert (long.rules, long.rounds, long.said) == (rules, 5, "")


def test_advice_with_a_race(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From end to end, smallest: timed, forecast, raced, recorded as a run like any other."""
    monkeypatch.chdir(tmp_path)
    # TorchRL's take as long to import as all the rest.
    monkeypatch.setattr(
        advice, "contenders", lambda *_, **__: ("slot", "threading", "slot[inline]")
    )
    told: list[str] = []
    found = slotbench.advise(
        *(2,),
        policy_ms=1,
        rounds=1,
        seconds=1,
        results_dir="races",
        on_progress=lambda state: told.append(state.doing),
    )
    record = found.record
    run = found.run

    assert run is not None
    assert run.record.status == "complete"
    assert Path(record.run).parent == Path("races")
    assert run.record.scenario.text == record.scenario
    assert run.record.command == record.command
    assert run.record.scenario.rounds == 1
    assert record.is_pace_known
    assert 0.05 < record.pace < 50
    assert any("pace" in doing for doing in told)
    assert {one.contender for one in record.choices} >= OURS
    rows = run.compare(metrics=["throughput"]).rows
    values = {(row.cell, row.contender): row.value for row in rows}
    raced = [one for one in record.choices if one.raced is not None]
    assert {(one.raced.cell, one.contender) for one in raced if one.raced} == {
        place for place, value in values.items() if value
    }
    for one in raced:
        assert one.raced is not None
        assert one.raced.per_s == pytest.approx(values[one.raced.cell, one.contender])
    assert record.choices[record.forecast].raced is not None
    text = json.loads(drawn.render(record, "json"))
    assert text["run"] == record.run
