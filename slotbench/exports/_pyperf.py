"""What both of our pyperf files need: an environment as far as pyperf takes it, and a suite's bytes."""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slotbench.records import Scalar


def accepted(environment: "Mapping[str, Scalar]") -> "dict[str, Scalar]":
    """The fields that pyperf takes as metadata: its own checks decide."""
    import pyperf

    taken: dict[str, Scalar] = {}
    for name, value in environment.items():
        try:
            pyperf.Run([1.0], metadata={name: value}, collect_metadata=False)
        except ValueError:
            continue
        taken[name] = value
    return taken


def suite(benchmarks: "Sequence[Sequence[Any]]") -> bytes:
    """A file of benchmarks, each a row of ``pyperf.Run``."""
    import pyperf

    text = io.StringIO()
    pyperf.BenchmarkSuite([pyperf.Benchmark(runs) for runs in benchmarks]).dump(text)
    return text.getvalue().encode("utf-8", "replace")
