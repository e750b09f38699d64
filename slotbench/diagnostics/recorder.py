"""What slotbench itself adds to a request, part by part.

The same timed passes as every trial's ``recorder_cost_s``: of these parts it is the sum, with the
trial's own collate.
"""

from typing import Final

from slotbench import contenders
from slotbench.errors import ContenderError
from slotbench.measure import recording, systems
from slotbench.measure.layouts import Layouts
from slotbench.measure.served import ServedModel
from slotbench.records import Batching, RecorderCosts, ServerCost

_COLLATES: Final = (
    *("slot", "slot[collate=lazy_stack]", "slot[collate=maybe_dense_stack]"),
    "torchrl.slot",
)
"""Contenders whose servers collate in different ways: ours, tensordict's two, TorchRL's own."""

_NUM_SLOTS: Final = recording.MAX_ROWS
_REPEATS: Final = 5


def costs() -> RecorderCosts:
    """Time the recorder in this process: the least of several repeats of each part.

    The collate of a contender that is not installed, or cannot be made, is left out.
    """
    loop_s = min(recording.actor_s_per_request(has_check=False) for _ in range(_REPEATS))
    checked_s = min(recording.actor_s_per_request(has_check=True) for _ in range(_REPEATS))
    return RecorderCosts(
        stamps_s=loop_s,
        check_s=max(0.0, checked_s - loop_s),
        num_rows=_NUM_SLOTS,
        servers=tuple(cost for label in _COLLATES for cost in _server(label)),
    )


def _server(label: str) -> list[ServerCost]:
    """The cost, or none."""
    contender = contenders.parse(label)
    if contenders.missing_requirement(contender) is not None:
        return []
    model = ServedModel(lambda batch: batch, lambda _: None, max_batches=1)
    try:
        collate = systems.build(
            contender, _NUM_SLOTS, Batching(), model, _no_layouts
        ).collate
    except ContenderError:  # a TorchRL that is there and does not import
        return []
    with_id_s, without_s = (
        min(
            recording.server_s_per_request(_NUM_SLOTS, collate, None, has_id=has_id)
            for _ in range(_REPEATS)
        )
        for has_id in (True, False)
    )
    adds_s = max(0.0, with_id_s - without_s)
    return [ServerCost(label, adds_s=adds_s, batch_s=without_s)]


def _no_layouts() -> Layouts:
    raise AssertionError("none of these contenders has memory made of layouts")
