"""What a run and a profile have in common."""

from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from slotbench.records import Scenario
    from slotbench.store import StoredProfile, StoredRun

    Stored: TypeAlias = StoredRun | StoredProfile

Kind = Literal["run", "profile"]


def kind_of(stored: "Stored") -> Kind:
    """Which of the two it is."""
    from slotbench.store import StoredProfile

    return "profile" if isinstance(stored, StoredProfile) else "run"


def id_of(stored: "Stored") -> str:
    """The id of the run or profile."""
    from slotbench.store import StoredProfile

    if isinstance(stored, StoredProfile):
        return stored.profile.profile_id
    return stored.run.run_id


def scenario_of(stored: "Stored") -> "Scenario":
    """What was run or profiled."""
    from slotbench.store import StoredProfile

    if isinstance(stored, StoredProfile):
        return stored.profile.scenario
    return stored.run.scenario
