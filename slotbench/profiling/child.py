"""One pass, start to end, in the process it is called in: a child that ends with it."""

import importlib
from dataclasses import dataclass
from typing import Final

from slotbench.measure.trial import run_trial
from slotbench.profiling._probes import Found, Probes
from slotbench.profiling.sample import Sample
from slotbench.records import PassName, ProfileTrial, TrialSpec

_CLASSES: Final[dict[PassName, str]] = {
    "plain": "PlainPass",
    "phases": "PhasesPass",
    "locks": "LocksPass",
    "operations": "OperationsPass",
    "gil": "GilPass",
}
"""Pass → the class in ``pass_<name>.py``."""


@dataclass(frozen=True, slots=True)
class PassOutcome:
    """What comes back from the child."""

    trial: ProfileTrial
    sample: Sample | None


def run_pass(
    pass_name: PassName, spec: TrialSpec, sent_ns: int, started_at: str
) -> PassOutcome:
    """Make one pass; never raises for what the contender does.

    Args:
        pass_name: which.
        spec: what to run.
        sent_ns: as for `run_trial`.
        started_at: as for `run_trial`.
    """
    module = importlib.import_module(f"slotbench.profiling.pass_{pass_name}")
    probes: Probes = getattr(module, _CLASSES[pass_name])(spec.workload)
    trial = run_trial(spec, sent_ns=sent_ns, started_at=started_at, instrument=probes)
    found = Found() if trial.measurement is None else probes.result(trial)
    return PassOutcome(
        ProfileTrial(
            pass_name,
            trial,
            phases=found.phases,
            counts=found.counts or None,
            prices_s=found.prices_s or None,
            locks=found.locks,
        ),
        found.sample,
    )
