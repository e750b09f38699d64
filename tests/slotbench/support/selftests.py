"""A self-test's record from numbers, nothing simulated."""

from typing import Any

from slotbench.records import (
    SELFTEST_SCHEMA_VERSION,
    Criterion,
    MachinePart,
    MethodCount,
    PlantedInterval,
    PredictedPower,
    RepeatedInterval,
    SelfTest,
    SelfTestSetting,
    VerdictCount,
)


def setting(noise: str = "between 1 %", rounds: int = 5) -> SelfTestSetting:
    """2 000 comparisons an effect: 5 % false alarms, 8.25 % of pyperf's, 79.9 % found."""
    counts = (
        MethodCount("slotbench", "throughput", 0.0, 2000, 60, 40, 1900),
        MethodCount("slotbench", "throughput", 0.03, 2000, 1598, 0, 1880),
        MethodCount("slotbench", "latency_p99", 0.0, 2000, 50, 48, 1902),
        MethodCount("slotbench", "latency_p99", 0.03, 2000, 0, 1000, 1903),
        MethodCount("pyperf, slices", "throughput", 0.0, 2000, 100, 65, None),
        MethodCount("bootstrap", "throughput", 0.0, 2000, 90, 90, 1820),
    )
    verdicts = (
        VerdictCount("throughput", 0.0, 2000, 1, 3, 1500, 496, 1),
        VerdictCount("throughput", 0.03, 2000, 2, 1400, 100, 498, 40),
    )
    predicted = (PredictedPower(0.03, 0.8),)
    return SelfTestSetting(
        noise, "a noise", True, rounds, 280_000, counts, verdicts, predicted
    )


def record(**changes: Any) -> SelfTest:
    """One setting, both parts, one criterion that holds and one that does not."""
    fields: dict[str, Any] = {
        "schema_version": SELFTEST_SCHEMA_VERSION,
        "created_at": "2026-11-29T01:00:00+00:00",
        "environment": {"python_version": "3.11.7", "cpu_count": 2},
        "command": ("slotbench", "selftest"),
        "seed": 1,
        "num_comparisons": 2000,
        "threshold": 0.03,
        "duration_s": 12.5,
        "settings": (setting(),),
        "machine": MachinePart(
            ("run-a", "run-b"),
            (RepeatedInterval("c0", 1.0, 0.98, 1.02, 5), RepeatedInterval("c1", 1.02, 1.01, 1.03, 5)),
            (PlantedInterval("c0", 0.05, 0.95, 0.94, 0.96, 20, 4.0, 4, "slower"),),
            0,
        ),
        "criteria": (
            Criterion("false alarms", "here", 100, 2000, 70, 130),
            Criterion("false alarms", "there", 200, 2000, 0, 140),
        ),
    }  # fmt: skip
    return SelfTest(**(fields | changes))
