"""Putting a profile together: means, claims, problems, and what explains a difference."""

import dataclasses

import pytest

from slotbench.compute import ledger, profile
from slotbench.compute.phases import PHASES
from slotbench.errors import SlotbenchError
from slotbench.records import Finding, ProfileTrial, ToolFinding
from slotbench.store import StoredProfile
from tests.slotbench.support import grids, profiles
from tests.slotbench.support.profiles import COUNTS, TIMES_US, US

CELL = grids.cell(16)


def stored(**changes: object) -> StoredProfile:
    return profiles.stored([CELL], **changes)  # type: ignore[arg-type]


def of(label: str, found: StoredProfile) -> profile.ContenderProfile:
    (cell,) = profile.cells(found.profile, found.trials)
    return cell.of(label)


def between(first: str, second: str, found: StoredProfile) -> profile.Difference:
    return profile.difference(found.profile, found.trials, CELL.name, first, second)


def test_means_are_over_rounds_and_phases_sum_to_the_round_trip() -> None:
    found = of("slot", stored())
    assert found.round_trip is not None
    assert [one.name for one in found.phases] == list(PHASES)
    total_s = sum(one.time_s.mean for one in found.phases)
    assert total_s == pytest.approx(found.round_trip.time_s.mean)
    write = found.phases[0]
    assert write.time_s.mean == pytest.approx(7.0 * US)
    assert write.time_s.num_trials == 3
    assert write.time_s.low is not None
    assert write.time_s.low < write.time_s.mean
    assert found.ledger["switches_voluntary"].mean == pytest.approx(1.6)


def test_one_round_has_no_intervals() -> None:
    found = of("slot", stored(rounds=1))
    assert found.phases[0].time_s.low is None
    assert found.probe_ratio is not None
    assert found.probe_ratio.low is None


def test_the_probes_cost_is_the_time_between_an_actors_replies() -> None:
    """16 actors at X replies a second reply every 16/X; with probes X is 5 % less."""
    found = of("slot", stored())
    assert found.probe_ratio is not None
    assert found.probe_ratio.point == pytest.approx(0.95)
    assert found.probe_cost_s is not None
    plain_s = sum(TIMES_US["slot"]) * US
    assert found.probe_cost_s.mean == pytest.approx(plain_s / 0.95 - plain_s, rel=0.01)


def test_a_derived_row_is_the_sum_of_rows_of_several_passes() -> None:
    found = of("threading", stored())
    parts = ("torch_calls_actors", "torch_calls_server", "lock_waits")
    expected = sum(found.ledger[name].mean for name in parts)
    assert found.ledger["gil_drops"].mean == pytest.approx(expected)
    assert "gil_drops" not in of("floor", stored()).ledger


def test_claims_are_made_for_slots_alone_and_hold_or_not() -> None:
    found = stored()
    assert not of("threading", found).claims
    assert [one.holds for one in of("slot", found).claims] == [True, True, True]
    theirs = of("torchrl.slot[collate=lazy_stack]", found).claims
    assert [one.holds for one in theirs] == [False, True, True]
    assert theirs[0].counted == pytest.approx(1.0)


def test_a_claim_of_which_nothing_was_counted_is_open() -> None:
    found = stored()
    trials = [one for one in found.trials if one.pass_name != "locks"]
    found = dataclasses.replace(found, trials=tuple(trials))
    first = of("slot", found).claims[0]
    assert (first.counted, first.holds) == (None, None)


def test_the_phases_of_a_difference_sum_to_the_gap() -> None:
    found = between("threading", "slot", stored())
    assert found.gap_s is not None
    total_s = sum(one.gap_s.mean for one in found.phases)
    assert total_s == pytest.approx(found.gap_s.mean)
    assert sum(one.share or 0.0 for one in found.phases) == pytest.approx(1.0)
    sizes = [abs(one.gap_s.mean) for one in found.phases]
    assert sizes == sorted(sizes, reverse=True)
    assert found.phases[0].name == "server busy"
    assert found.ratio is not None
    assert found.ratio.point > 2.5


def test_rows_that_are_times_or_have_a_price_come_first() -> None:
    found = between("threading", "slot", stored())
    explained = [one.explains_s is not None for one in found.rows]
    assert explained == sorted(explained, reverse=True)
    futures = next(one for one in found.rows if one.row.name == "futures_made")
    assert futures.explains_s == pytest.approx(-profiles.PRICES_S["futures_made"])
    assert (futures.first, futures.second) == (pytest.approx(1.0), 0.0)
    times = [abs(one.explains_s) for one in found.rows if one.explains_s is not None]
    assert times == sorted(times, reverse=True)
    # Both have none of it.
    assert "events_made" not in {one.row.name for one in found.rows}


def test_a_gap_that_may_be_noise_is_no_row() -> None:
    found = stored()

    values = {"threading": (0.5, 0.7, 0.4), "slot": (0.6, 0.5, 0.5)}

    def noisy(one: ProfileTrial) -> ProfileTrial:
        if one.pass_name != "gil" or one.trial.contender not in values:
            return one
        value = values[one.trial.contender][one.trial.round]
        return dataclasses.replace(one, counts={"gil_wanted": value})

    trials = tuple(map(noisy, found.trials))
    rows = between("threading", "slot", dataclasses.replace(found, trials=trials)).rows
    assert "gil_wanted" not in {one.row.name for one in rows}


def test_the_pair_to_explain_is_the_baseline_and_the_fastest_that_is_no_floor() -> None:
    (cell,) = profile.cells(stored().profile, stored().trials)
    assert profile.pair_to_explain(cell, "threading") == ("threading", "slot")
    assert profile.pair_to_explain(cell, "slot") == (
        "slot",
        "torchrl.slot[collate=lazy_stack]",
    )
    assert profile.pair_to_explain(cell, "nobody") == ("threading", "slot")
    alone = stored(labels=["slot", "floor"])
    (cell,) = profile.cells(alone.profile, alone.trials)
    assert profile.pair_to_explain(cell, "slot") is None


def without_numbers(one: ProfileTrial) -> ProfileTrial:
    failed = dataclasses.replace(
        one.trial, status="failed", measurement=None, error="it hung"
    )
    return ProfileTrial(one.pass_name, failed)


def test_failed_and_invalid_trials_are_named_and_not_used() -> None:
    found = stored()
    invalid = Finding("wrong_reply", "INVALID", "a reply of another", "look")

    def spoil(one: ProfileTrial) -> ProfileTrial:
        trial = one.trial
        if (trial.contender, one.pass_name) == ("slot", "locks"):
            return without_numbers(one)
        if (trial.contender, one.pass_name, trial.round) == ("slot", "phases", 1):
            bad = dataclasses.replace(trial, findings=(invalid,))
            return dataclasses.replace(one, trial=bad)
        return one

    slot = of("slot", dataclasses.replace(found, trials=tuple(map(spoil, found.trials))))
    assert "lock_acquisitions" not in slot.ledger
    assert slot.locks == ()
    assert slot.round_trip is not None
    assert slot.round_trip.time_s.num_trials == 2
    assert "phases, round 2: INVALID: a reply of another" in slot.problems
    assert slot.problems.count("locks, round 1: failed: it hung") == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"num_unseen": 200}, "200 of 5200 requests were not seen"),
        ({"num_out_of_order": 60}, "60 of 5060 requests were not seen"),
        ({"max_error_s": 1e-6}, "phases and round trip differ by up to 1e-06 s"),
    ],
)
def test_phases_that_do_not_hold_are_not_believed(
    change: dict[str, float], said: str
) -> None:
    found = stored()

    def doubted(one: ProfileTrial) -> ProfileTrial:
        if one.phases is None or one.trial.contender != "slot":
            return one
        return dataclasses.replace(one, phases=dataclasses.replace(one.phases, **change))  # type: ignore[arg-type]

    slot = of("slot", dataclasses.replace(found, trials=tuple(map(doubted, found.trials))))
    assert slot.round_trip is None
    assert slot.phases == ()
    assert any(said in problem for problem in slot.problems)


def test_phases_must_sum_to_what_replies_took() -> None:
    """The trial's own latency is computed from all replies, elsewhere."""
    found = stored()

    def slower(one: ProfileTrial) -> ProfileTrial:
        if one.phases is None or one.trial.measurement is None:
            return one
        latency_s = 1.02 * one.phases.round_trip.mean_s
        measured = dataclasses.replace(one.trial.measurement, latency_mean_s=latency_s)
        return dataclasses.replace(
            one, trial=dataclasses.replace(one.trial, measurement=measured)
        )

    slot = of("slot", dataclasses.replace(found, trials=tuple(map(slower, found.trials))))
    assert slot.round_trip is None
    assert "the phases sum to" in slot.problems[0]


def test_a_few_requests_may_be_unseen() -> None:
    found = stored()
    trials = tuple(
        one
        if one.phases is None
        else dataclasses.replace(one, phases=dataclasses.replace(one.phases, num_unseen=10))
        for one in found.trials
    )
    assert of("slot", dataclasses.replace(found, trials=trials)).round_trip is not None


def test_what_a_tool_counts_is_in_the_ledger() -> None:
    counted = ToolFinding("memory", CELL.name, "slot", (), "", {"python_blocks": 55.0})
    found = stored(tools=[counted])
    assert of("slot", found).ledger["python_blocks"].mean == 55.0
    assert "python_blocks" not in of("threading", found).ledger


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    found = stored()
    with pytest.raises(
        SlotbenchError, match=r"no contender 'slott' .*: it has threading, slot"
    ):
        between("threading", "slott", found)
    with pytest.raises(SlotbenchError, match="no cell 'x'"):
        profile.difference(found.profile, found.trials, "x", "threading", "slot")
    (cell,) = profile.cells(found.profile, found.trials)
    with pytest.raises(SlotbenchError, match="no contender 'x'"):
        cell.of("x")


def test_every_row_is_described_once_and_known_to_the_passes() -> None:
    names = [row.name for row in ledger.ROWS]
    assert len(set(names)) == len(names)
    counted = {
        name for of_pass in COUNTS.values() for rows in of_pass.values() for name in rows
    }
    by_tools = {"python_blocks", "allocated_bytes"}
    assert set(names) == counted | set(ledger.DERIVED) | by_tools
    assert all(row.title and row.summary for row in ledger.ROWS)


def test_a_price_is_the_median_of_what_was_seen() -> None:
    """Of a bimodal one, the least would be what hardly ever happens."""
    found = stored(rounds=5)
    seen_us = {0: 3.0, 1: 17.0, 2: 16.0, 3: 18.0, 4: 17.0}

    def priced(one: ProfileTrial) -> ProfileTrial:
        if one.pass_name != "locks":
            return one
        price_s = seen_us[one.trial.round] * US
        return dataclasses.replace(one, prices_s={"switches_voluntary": price_s})

    found = dataclasses.replace(found, trials=tuple(map(priced, found.trials)))
    assert of("slot", found).prices_s["switches_voluntary"] == pytest.approx(17.0 * US)
    rows = {one.row.name: one for one in between("threading", "slot", found).rows}
    gap = rows["switches_voluntary"].gap.mean
    assert rows["switches_voluntary"].explains_s == pytest.approx(gap * 17.0 * US)


def test_a_client_without_submit_is_remarked() -> None:
    found = stored()

    def unseen(one: ProfileTrial) -> ProfileTrial:
        if one.phases is None or one.trial.contender != "slot":
            return one
        return dataclasses.replace(
            one, phases=dataclasses.replace(one.phases, is_write_seen=False)
        )

    found = dataclasses.replace(found, trials=tuple(map(unseen, found.trials)))
    assert "its client has no submit" in of("slot", found).remarks[0]
    assert of("threading", found).remarks == ()
