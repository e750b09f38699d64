"""Stored profiles in which something went wrong, or is called otherwise."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from slotbench.records import PassName, ProfileTrial
from slotbench.store import StoredProfile


def failed(
    stored: StoredProfile,
    label: str,
    *,
    passes: tuple[PassName, ...] = ("phases",),
    cell: str | None = None,
    error: str = "hung after 30 s",
) -> StoredProfile:
    """The profile, with these passes of a contender failed.

    Args:
        stored: the profile.
        label: of the contender.
        passes: that fail.
        cell: name of the cell that it fails in; None is every cell.
        error: what went wrong.
    """

    def alter(one: ProfileTrial) -> ProfileTrial:
        trial = one.trial
        is_meant = trial.contender == label and cell in {None, trial.cell}
        if not is_meant or one.pass_name not in passes:
            return one
        wrong = dataclasses.replace(trial, status="failed", measurement=None, error=error)
        return ProfileTrial(one.pass_name, wrong)

    return dataclasses.replace(stored, trials=tuple(map(alter, stored.trials)))


def renamed(stored: StoredProfile, names: Mapping[str, str]) -> StoredProfile:
    """The profile, with other labels of contenders.

    Args:
        stored: the profile.
        names: label → the new one.
    """
    scenario = stored.profile.scenario
    contenders = tuple(
        dataclasses.replace(one, label=names.get(one.label, one.label))
        for one in scenario.contenders
    )
    trials = tuple(
        dataclasses.replace(
            one,
            trial=dataclasses.replace(
                one.trial, contender=names.get(one.trial.contender, one.trial.contender)
            ),
        )
        for one in stored.trials
    )
    profile = dataclasses.replace(
        stored.profile, scenario=dataclasses.replace(scenario, contenders=contenders)
    )
    return dataclasses.replace(stored, profile=profile, trials=trials)


def with_phases(stored: StoredProfile, label: str, times_us: Mapping[str, float]) -> Any:
    """The profile, with other phases of a contender, alike in all rounds.

    Args:
        stored: the profile.
        label: of the contender.
        times_us: phase → microseconds; those not named stay.
    """

    def alter(one: ProfileTrial) -> ProfileTrial:
        if one.phases is None or one.trial.contender != label:
            return one
        phases = tuple(
            dataclasses.replace(
                found, mean_s=times_us.get(found.name, found.mean_s * 1e6) / 1e6
            )
            for found in one.phases.phases
        )
        whole = dataclasses.replace(
            one.phases.round_trip, mean_s=sum(found.mean_s for found in phases)
        )
        assert one.trial.measurement is not None
        measured = dataclasses.replace(one.trial.measurement, latency_mean_s=whole.mean_s)
        return dataclasses.replace(
            one,
            trial=dataclasses.replace(one.trial, measurement=measured),
            phases=dataclasses.replace(one.phases, phases=phases, round_trip=whole),
        )

    return dataclasses.replace(stored, trials=tuple(map(alter, stored.trials)))


def without_latency(one: ProfileTrial) -> ProfileTrial:
    """The trial, with nothing of its own that its phases could be held against."""
    assert one.trial.measurement is not None
    measured = dataclasses.replace(one.trial.measurement, latency_mean_s=None)
    return dataclasses.replace(
        one, trial=dataclasses.replace(one.trial, measurement=measured)
    )
