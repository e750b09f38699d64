"""What is written comes back equal, type by type."""

import dataclasses
import operator
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slotbench import records
from slotbench.compute import slo
from slotbench.errors import RecordError
from slotbench.records import (
    PERCENTILES,
    PROFILE_SCHEMA_VERSION,
    SCHEMA_VERSION,
    SLO_SCHEMA_VERSION,
    Batching,
    CalibrationRecord,
    Cell,
    Contender,
    Histogram,
    Limit,
    Node,
    OpenLoop,
    ProfileRecord,
    ProfileTrial,
    RunRecord,
    Scalar,
    Scenario,
    ServicePoint,
    SloPlan,
    SloRecord,
    SloTrial,
    TrialMeasurement,
    TrialRecord,
    Workload,
)
from slotbench.store import (
    ProfileFolder,
    RunFolder,
    SloFolder,
    read,
    read_profile,
    read_slo,
)
from slotbench.store._sense import MAX_BUCKET

whole = st.integers(-(2**63), 2**63 - 1)
finite = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.one_of(st.booleans(), whole, finite, st.text(max_size=8))
PLAIN = {
    bool: st.booleans(),
    int: st.integers(0, 2**63 - 1),
    float: st.just(0.0) | st.floats(1e-12, 1e12),  # what can be measured
    str: st.text(max_size=8),
    type(None): st.none(),
    Any: st.one_of(scalars, st.lists(scalars, max_size=3), st.lists(st.lists(scalars))),
    Scalar: scalars,  # the machine's and the user's own numbers
}


def anything_of(
    kind: Any, **given_fields: st.SearchStrategy[Any]
) -> st.SearchStrategy[Any]:
    """Build values of a record's annotation: every field, every branch of every union."""
    if dataclasses.is_dataclass(kind):
        fields = {f.name: anything_of(f.type) for f in dataclasses.fields(kind)}
        return st.builds(kind, **(fields | given_fields))
    if kind in PLAIN:
        return PLAIN[kind]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is dict:
        return st.dictionaries(*map(anything_of, arguments), max_size=3)
    if origin is tuple:
        first, *rest = map(anything_of, (a for a in arguments if a is not Ellipsis))
        is_long = arguments[-1] is Ellipsis
        return (
            st.lists(first, max_size=2).map(tuple) if is_long else st.tuples(first, *rest)
        )
    return st.one_of(*map(anything_of, arguments))


def some(values: st.SearchStrategy[Any], key: str) -> st.SearchStrategy[Any]:
    """Build one or two values that differ in their key."""
    unique = st.lists(values, min_size=1, max_size=2, unique_by=operator.attrgetter(key))
    return unique.map(tuple)


scenarios = anything_of(
    Scenario,
    cells=some(
        anything_of(
            Cell,
            workload=anything_of(
                Workload,
                num_slots=st.integers(1, 2**63 - 1),
                batching=anything_of(Batching, max_batch_size=st.integers(1, 99)),
            ),
        ),
        "name",
    ),
    contenders=some(anything_of(Contender, baseline=st.just(False)), "label"),
    threshold=st.floats(1e-12, 0.5),
)
NAME = "20261123T064501Z-x-000000"
runs = anything_of(
    RunRecord,
    schema_version=st.just(SCHEMA_VERSION),
    run_id=st.just(NAME),
    scenario=scenarios,
    # Its looks, cells and thresholds belong together: tests/slotbench/measure/test_until_decided.py.
    sequential=st.none(),
    nodes=st.just(())
    | some(anything_of(Node, label=st.sampled_from(["n1", "n20"])), "label"),
)
profiles = anything_of(
    ProfileRecord,
    schema_version=st.just(PROFILE_SCHEMA_VERSION),
    profile_id=st.just(NAME),
    created_at=st.just("2026-11-23T06:45:01+00:00"),
    scenario=scenarios,
)


searches = anything_of(
    SloRecord,
    schema_version=st.just(SLO_SCHEMA_VERSION),
    slo_id=st.just(NAME),
    created_at=st.just("2026-11-23T06:45:01+00:00"),
    scenario=scenarios,
    plan=anything_of(
        SloPlan,
        limits=st.lists(
            st.builds(Limit, st.sampled_from(PERCENTILES), st.floats(1e-12, 1e12)),
            min_size=1,
            max_size=2,
            unique_by=lambda one: one.percent,
        ).map(tuple),
        precision=st.floats(0.01, 1.0),
        confidence=st.floats(0.01, 0.99),
        looks=st.sampled_from([(4, 6, 8, 12), (2,)]),
    ),
)


histograms = st.lists(
    st.tuples(st.integers(0, MAX_BUCKET), st.integers(0, 2**63 - 1)), max_size=2
).map(lambda buckets: Histogram(tuple(buckets)))
measurements = anything_of(
    TrialMeasurement,
    latency=histograms,
    open_loop=st.none() | anything_of(OpenLoop, late=histograms),
)


def trials_of(scenario: Scenario) -> st.SearchStrategy[TrialRecord]:
    """Build trials of a scenario's cells and contenders."""
    return anything_of(
        TrialRecord,
        arm=st.sampled_from([0, 1]),
        cell=st.sampled_from([cell.name for cell in scenario.cells]),
        measurement=st.none() | measurements,
        contender=st.sampled_from([who.label for who in scenario.contenders]),
    )


def calibrations_of(scenario: Scenario) -> st.SearchStrategy[CalibrationRecord]:
    """Build calibrations of a scenario's cells."""
    points = st.lists(
        anything_of(
            ServicePoint,
            batch_size=st.integers(1, 99),
            median_s=st.floats(1e-12, 1e12),
            num_calls=st.integers(1, 99),
        ),
        min_size=1,
        max_size=3,
        unique_by=lambda p: p.batch_size,
    ).map(lambda found: tuple(sorted(found, key=lambda p: p.batch_size)))
    return anything_of(
        CalibrationRecord,
        cell=st.sampled_from([cell.name for cell in scenario.cells]),
        think=histograms,
        think_mean_s=PLAIN[float],
        think_cpu_s=PLAIN[float],
        num_cpus=st.integers(1, 99),
        service=points,
    )


@st.composite
def runs_with_lines(
    draw: st.DrawFn,
) -> tuple[RunRecord, list[TrialRecord], list[CalibrationRecord]]:
    """Build a run and up to three trials and calibrations of its cells and contenders."""
    run = draw(runs)
    planned = st.tuples(
        st.sampled_from([cell.name for cell in run.scenario.cells]),
        st.lists(
            st.sampled_from([f"{who.label}#0" for who in run.scenario.contenders]),
            max_size=2,
        ).map(tuple),
    )
    blocks = st.lists(st.lists(planned, max_size=2).map(tuple), max_size=2).map(tuple)
    run = dataclasses.replace(
        run, design=dataclasses.replace(run.design, blocks=draw(blocks))
    )
    trials = st.lists(trials_of(run.scenario), max_size=3, unique_by=lambda t: t.trial_id)
    calibrations = st.lists(calibrations_of(run.scenario), max_size=3)
    return run, draw(trials), draw(calibrations)


@st.composite
def profiles_with_trials(draw: st.DrawFn) -> tuple[ProfileRecord, list[ProfileTrial]]:
    """Build a profile and up to three of its trials."""
    profile = draw(profiles)
    one = anything_of(ProfileTrial, trial=trials_of(profile.scenario))
    trials = st.lists(one, max_size=3, unique_by=lambda t: t.trial.trial_id)
    return profile, draw(trials)


def _with_a_window(one: TrialRecord) -> TrialRecord:
    if one.measurement is None:
        return one
    window_s = one.measurement.window_s or 1.0
    return replace(one, measurement=replace(one.measurement, window_s=window_s))


@st.composite
def searches_with_trials(draw: st.DrawFn) -> tuple[SloRecord, list[SloTrial]]:
    """Build a search and up to three of its trials, with a load or in the closed loop."""
    record = draw(searches)
    cells = []
    for cell in record.scenario.cells:
        window = replace(cell.workload.window, max_measure_s=draw(st.floats(1e-12, 1e12)))
        cells.append(replace(cell, workload=replace(cell.workload, window=window)))
    record = replace(record, scenario=replace(record.scenario, cells=tuple(cells)))
    trial = trials_of(record.scenario).map(_with_a_window)
    closed = st.builds(SloTrial, st.none(), st.none(), trial)
    precision = record.plan.precision
    tried = st.builds(
        lambda index, one: SloTrial(index, slo.load_per_s(index, precision), one),
        st.integers(0, 30),
        trial,
    )
    trials = st.lists(closed | tried, max_size=3, unique_by=lambda t: t.trial.trial_id)
    return record, draw(trials)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(runs_with_lines())
def test_every_record_comes_back_with_every_type(
    example: tuple[RunRecord, list[TrialRecord], list[CalibrationRecord]],
) -> None:
    """1, 1.0, True and "1" are told apart; tuples, lists, None and any text survive."""
    run, trials, calibrations = example
    with tempfile.TemporaryDirectory() as place:
        with RunFolder.create(Path(place), run) as folder:
            for trial in trials:
                folder.append(trial)
            for one in calibrations:
                folder.append_calibration(one)
        stored = read(folder.path)
    # repr and not ==, because 1 == 1.0 == True.
    assert repr(stored.run) == repr(run)
    assert repr(stored.trials) == repr(tuple(trials))
    assert repr(stored.calibrations) == repr(tuple(calibrations))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(profiles_with_trials())
def test_every_profile_comes_back_with_every_type(
    example: tuple[ProfileRecord, list[ProfileTrial]],
) -> None:
    profile, trials = example
    with tempfile.TemporaryDirectory() as place:
        with ProfileFolder.create(Path(place), profile) as folder:
            for trial in trials:
                folder.append(trial)
        stored = read_profile(folder.path)
    assert repr(stored.profile) == repr(profile)
    assert repr(stored.trials) == repr(tuple(trials))


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(searches_with_trials())
def test_every_search_comes_back_with_every_type(
    example: tuple[SloRecord, list[SloTrial]],
) -> None:
    record, trials = example
    with tempfile.TemporaryDirectory() as place:
        with SloFolder.create(Path(place), record) as folder:
            for trial in trials:
                folder.append(trial)
        stored = read_slo(folder.path)
    assert repr(stored.record) == repr(record)
    assert repr(stored.trials) == repr(tuple(trials))


def test_the_strategies_reach_every_record() -> None:
    """Every public record is part of a run, a profile, a search or a check, or is never stored."""
    reached: set[str] = set()

    def walk(kind: Any) -> None:
        if dataclasses.is_dataclass(kind):
            reached.add(getattr(kind, "__name__", ""))
            for field in dataclasses.fields(kind):
                walk(field.type)
        for argument in getattr(kind, "__args__", ()):
            walk(argument)

    walk(RunRecord)
    walk(TrialRecord)
    walk(CalibrationRecord)
    walk(records.ProfileRecord)
    walk(records.ProfileTrial)
    walk(records.SloRecord)
    walk(records.SloTrial)
    walk(records.Conformance)  # written by `slotbench check`, not by the store
    walk(records.Diagnosis)
    walk(records.SelfTest)
    walk(records.Recommendation)  # written by `slotbench advise`; it has tests of its own
    walk(records.WhatIf)  # written by `slotbench predict`, as the next one
    walk(records.PredictionCheck)
    public = {n for n in records.__all__ if dataclasses.is_dataclass(getattr(records, n))}
    assert public - reached == {"TrialSpec"}


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_none_is_refused_by_its_name(
    number: float, run: RunRecord, make_trial: Any, make_folder: Any
) -> None:
    """NaN and infinity never reach the disk; the error names the field."""
    folder = make_folder(1)
    trial = make_trial(1)
    wrong = dataclasses.replace(trial.measurement, think_mean_s=number)
    with pytest.raises(
        RecordError,
        match=f"^a TrialRecord cannot be written: measurement.think_mean_s is {number}$",
    ):
        folder.append(dataclasses.replace(trial, measurement=wrong))
    with pytest.raises(RecordError, match=r"^a RunRecord .*: environment\.load is "):
        folder.replace_run(dataclasses.replace(run, environment={"load": number}))
    assert read(folder.path).trials == (make_trial(0),)


def test_a_value_that_is_no_scalar_is_refused_by_its_name(
    make_trial: Any, make_folder: Any
) -> None:
    """A type that JSON would lose is an error, not a guess."""
    trial = dataclasses.replace(make_trial(0), seed=Path("x"))
    with pytest.raises(RecordError, match=r"^a TrialRecord .*: seed is a \w*Path$"):
        make_folder().append(trial)


def test_text_that_is_no_utf8_is_written_all_the_same(
    make_trial: Any, make_folder: Any
) -> None:
    """A lone surrogate (a strange path in an error) becomes "?", and the trial is kept."""
    folder = make_folder()
    folder.append(dataclasses.replace(make_trial(0), error="open \udc80"))
    assert read(folder.path).trials[0].error == "open ?"
