"""What a run, a profile and a search have in common."""

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from slotbench.records import Scenario
    from slotbench.store import StoredProfile, StoredRun, StoredSlo

    Stored: TypeAlias = StoredRun | StoredProfile | StoredSlo

Kind = Literal["run", "profile", "slo"]

NOUNS: Final[dict[Kind, str]] = {
    "run": "a run",
    "profile": "a profile",
    "slo": "an SLO search",
}
"""Kind → what a sentence calls it."""


def kind_of(stored: "Stored") -> Kind:
    """Which of the three it is."""
    from slotbench.store import StoredProfile, StoredSlo

    if isinstance(stored, StoredSlo):
        return "slo"
    return "profile" if isinstance(stored, StoredProfile) else "run"


def id_of(stored: "Stored") -> str:
    """The id of the run, profile or search."""
    from slotbench.store import StoredProfile, StoredSlo

    if isinstance(stored, StoredSlo):
        return stored.record.slo_id
    if isinstance(stored, StoredProfile):
        return stored.profile.profile_id
    return stored.run.run_id


def scenario_of(stored: "Stored") -> "Scenario":
    """What was run, profiled or searched."""
    from slotbench.store import StoredProfile, StoredSlo

    if isinstance(stored, StoredSlo):
        return stored.record.scenario
    if isinstance(stored, StoredProfile):
        return stored.profile.scenario
    return stored.run.scenario
