"""Where runs live on disk: written while they go on, read back, found by name.

Importing this loads neither pydantic nor pyperf; `read` and `environment.collect`
import what they need.
"""

from slotbench.store.documents import (
    document,
    read_diagnosis,
    read_prediction_check,
    read_recommendation,
    read_selftest,
    read_what_if,
)
from slotbench.store.finder import PROFILE_ENDING, SLO_ENDING, all_runs, find, kind_of
from slotbench.store.folder import (
    ProfileFolder,
    RunFolder,
    SloFolder,
    check_writable,
    new_run_id,
)
from slotbench.store.profile_reader import StoredProfile, read_profile
from slotbench.store.reader import StoredRun, read
from slotbench.store.same_environment import check_same_environment
from slotbench.store.slo_reader import StoredSlo, read_slo

__all__ = [
    "PROFILE_ENDING",
    "SLO_ENDING",
    "ProfileFolder",
    "RunFolder",
    "SloFolder",
    "StoredProfile",
    "StoredRun",
    "StoredSlo",
    "all_runs",
    "check_same_environment",
    "check_writable",
    "document",
    "find",
    "kind_of",
    "new_run_id",
    "read",
    "read_diagnosis",
    "read_prediction_check",
    "read_profile",
    "read_recommendation",
    "read_selftest",
    "read_slo",
    "read_what_if",
]
