"""An executor whose trials are what a script says, without a process or a clock."""

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import replace

from slotbench.records import (
    CalibrationRecord,
    Contender,
    Finding,
    TrialRecord,
    TrialSpec,
    Workload,
)
from tests.slotbench.conftest import build_trial
from tests.slotbench.support.calibrations import calibration

Speed = Callable[[TrialSpec], float | None]
"""A trial's throughput; None is a failed one."""

TRIAL_S = 10.0
STOLEN = Finding("steal", "DISTURBED", "half of it", "wait")


class ScriptedExecutor:
    """Measures what a script says; each trial takes ten simulated seconds."""

    worker_start_s = 0.0

    def __init__(self, speed: Speed, stop_after: int = 10**9) -> None:
        self.speed = speed
        self.stop_after = stop_after
        self.specs: list[TrialSpec] = []
        self.workers: list[int] = []
        self.disturbs: Callable[[TrialSpec], bool] = lambda _: False

    def start_worker(self) -> None:
        self.workers.append(len(self.specs))

    def check(self, contender: Contender | None, workload: Workload) -> str:
        return ""

    def calibrate(self, spec: TrialSpec) -> CalibrationRecord:
        return calibration(spec.cell, spec.round, attempt=spec.attempt)

    def run(self, spec: TrialSpec) -> TrialRecord:
        if len(self.specs) >= self.stop_after:
            raise KeyboardInterrupt
        self.specs.append(spec)
        made = build_trial(
            spec.contender.label,
            self.speed(spec),
            cell=spec.cell,
            round=spec.round,
            attempt=spec.attempt,
            arm=spec.arm,
            findings=[STOLEN] if self.disturbs(spec) else [],
        )
        return replace(made, trial_id=spec.trial_id)

    def close(self) -> None:
        pass

    @property
    def elapsed_s(self) -> float:
        return len(self.specs) * TRIAL_S


def noisy(ratios: Mapping[str, Mapping[str, float]], sd: float = 0.03) -> Speed:
    """Cell → contender → its true ratio to the baseline, 1 where it is not named; noise by the place, alike in every attempt."""

    def speed(spec: TrialSpec) -> float:
        label = spec.contender.label
        truth = ratios.get(spec.cell, {}).get(label, 1.0)
        draw = random.Random(f"{spec.cell}/{spec.round}/{label}/{spec.arm}")
        return 1000.0 * truth * math.exp(draw.gauss(0.0, sd))

    return speed
