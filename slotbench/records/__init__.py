"""The plain records that every layer passes to the next: frozen dataclasses, no behaviour.

Nothing here imports anything but the standard library, so a record can be read, kept
and sent to another process by code that has no torch, pandas or pydantic.
"""

from slotbench.records.calibration import CalibrationRecord, ServicePoint
from slotbench.records.conformance import (
    CONFORMANCE_SCHEMA_VERSION,
    CheckedContender,
    CheckFinding,
    CheckPlan,
    Conformance,
)
from slotbench.records.contender import BASELINE_REPEAT, Contender
from slotbench.records.profile import (
    PASSES,
    PLACES,
    PROFILE_SCHEMA_VERSION,
    LockUse,
    PassName,
    Phase,
    Phases,
    ProfileRecord,
    ProfileTrial,
    ToolFinding,
)
from slotbench.records.run import (
    SCHEMA_VERSION,
    Accounting,
    Design,
    Resumption,
    RunRecord,
    Skipped,
)
from slotbench.records.scenario import Scenario
from slotbench.records.trial import (
    Finding,
    Histogram,
    TrialMeasurement,
    TrialRecord,
    TrialSpec,
)
from slotbench.records.workload import (
    Batching,
    Cell,
    GymEnvironment,
    Leaf,
    Model,
    Observation,
    Scalar,
    ThinkTime,
    Window,
    Workload,
)

__all__ = [
    "BASELINE_REPEAT",
    "CONFORMANCE_SCHEMA_VERSION",
    "PASSES",
    "PLACES",
    "PROFILE_SCHEMA_VERSION",
    "SCHEMA_VERSION",
    "Accounting",
    "Batching",
    "CalibrationRecord",
    "Cell",
    "CheckFinding",
    "CheckPlan",
    "CheckedContender",
    "Conformance",
    "Contender",
    "Design",
    "Finding",
    "GymEnvironment",
    "Histogram",
    "Leaf",
    "LockUse",
    "Model",
    "Observation",
    "PassName",
    "Phase",
    "Phases",
    "ProfileRecord",
    "ProfileTrial",
    "Resumption",
    "RunRecord",
    "Scalar",
    "Scenario",
    "ServicePoint",
    "Skipped",
    "ThinkTime",
    "ToolFinding",
    "TrialMeasurement",
    "TrialRecord",
    "TrialSpec",
    "Window",
    "Workload",
]
