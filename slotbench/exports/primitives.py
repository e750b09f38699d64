"""A diagnosis's primitives as a pyperf suite: ``python -m pyperf compare_to THERE.json HERE.json``.

A benchmark is a primitive, a run of it one process; values are seconds per operation. ``loops`` is how
many operations a value is of, ``inner_loops`` 1; context switches and CPU time per operation are metadata of
each run. pyperf's t test pools the values of all processes, which are alike within one: look at how far
processes differ ("python -m pyperf dump") before you believe a small difference to be one.
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from slotbench.exports._pyperf import accepted, suite

if TYPE_CHECKING:
    from slotbench.records import Diagnosis, Primitive, PrimitiveRun, Scalar


def render(diagnosis: "Diagnosis") -> bytes:
    """The suite's file, JSON in UTF-8."""
    created = datetime.fromisoformat(diagnosis.created_at).astimezone(UTC)
    shared = {
        **accepted(diagnosis.environment),
        # pyperf's own dates have no zone, and it cannot order them beside one that has.
        "date": created.replace(tzinfo=None).isoformat(sep=" "),
    }
    return suite([_runs(primitive, shared) for primitive in diagnosis.primitives])


def _runs(primitive: "Primitive", shared: "dict[str, Scalar]") -> list[Any]:
    import pyperf

    return [
        pyperf.Run(
            list(run.values_s),
            warmups=[(run.loops, run.warmup_s)],
            metadata={**shared, **_metadata(primitive, run)},
            collect_metadata=False,
        )
        for run in primitive.runs
    ]


def _metadata(primitive: "Primitive", run: "PrimitiveRun") -> dict[str, Any]:
    return {
        "name": primitive.name,
        "unit": "second",
        "loops": run.loops,
        "inner_loops": 1,
        "tags": [primitive.group],
        "description": primitive.operation,
        "cpu_s_per_operation": run.cpu_s,
        "context_switches_voluntary": run.voluntary,
        "context_switches_involuntary": run.involuntary,
    }
