"""Who is raced: a transport, its options, and the server that runs it."""

from dataclasses import dataclass
from typing import Final, Literal

from slotbench.records.workload import Scalar

BASELINE_REPEAT: Final = 1
"""`arm` of the baseline's second trial in a block (A/A); every other trial has arm 0."""

Server = Literal["reference", "torchrl", "collector", "none"]


@dataclass(frozen=True, slots=True)
class Contender:
    """One contender, as written ``name[option=value,…]@server``.

    Attributes:
        label: the canonical text; unique in its scenario, and the name in every table.
        name: "slot", "torchrl.slot", "floor", or "package.module:factory".
        options: keyword arguments of the transport, ``collate`` of the server, and what the
            harness and TorchRL's collector are told.
        server: "reference" is `transports.InferenceServer`; "collector" is TorchRL's
            ``AsyncBatchedCollector``, which has actors of its own; "none" is the floor, which
            brings its own.
        optional: skipped with a visible line where it is not installed.
        baseline: every other contender of the block is compared with this one.
    """

    label: str
    name: str
    options: dict[str, Scalar]
    server: Server
    optional: bool = False
    baseline: bool = False
