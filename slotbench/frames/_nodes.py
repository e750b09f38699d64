"""The nodes of a cluster, and what each of them says alone."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from slotbench.compute import blocks, nodes
from slotbench.frames._ratios import ratios_frame

if TYPE_CHECKING:
    import pandas as pd

    from slotbench.store import StoredRun

_COLUMNS: Final = (
    *("node", "num_cpus", "num_blocks", "num_broken_off", "is_admitted", "lost"),
    *("machine_id", *nodes.CPU, *nodes.GPU),
)


def nodes_frame(stored: "StoredRun") -> "pd.DataFrame":
    """One row per node of the cluster that the run was measured on; none of a run on one machine.

    Columns: node; num_cpus, reserved there; num_blocks, whose attempt that counts was measured there;
    num_broken_off, attempts at blocks; is_admitted: whether blocks were measured there at all; lost: why no
    more of them were, "" if it took part to the end; machine_id and the facts of `slotbench.compute.nodes.CPU` and
    ``GPU``.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = [
        {
            "node": share.node.label,
            "num_cpus": share.node.num_cpus,
            "num_blocks": share.num_blocks,
            "num_broken_off": len(share.node.broken_off),
            "is_admitted": share.node.is_admitted,
            "lost": share.node.lost,
            "machine_id": share.node.environment.get("machine_id"),
            **{name: share.node.environment.get(name) for name in (*nodes.CPU, *nodes.GPU)},
        }
        for share in nodes.shares(stored.run, stored.trials)
    ]
    return pd.DataFrame(rows, columns=pd.Index(_COLUMNS))


def ratios_by_node_frame(
    stored: "StoredRun",
    *,
    baseline: str | None = None,
    threshold: float | None = None,
    metric: str | Sequence[str] = "throughput",
) -> "pd.DataFrame":
    """What each node says alone: `ratios_frame` of the blocks that count and were measured there.

    Columns: node, then those of `ratios_frame`. With fewer blocks, intervals are wider than the run's;
    where those of two nodes do not meet, the ratio depends on the machine.

    Raises:
        SlotbenchError: as `ratios_frame`.
    """
    import pandas as pd

    counted = blocks.counted_trials(stored.run, stored.trials)
    frames = []
    for node in dict.fromkeys(trial.node for trial in counted if trial.node):
        alone = replace(stored, trials=tuple(t for t in counted if t.node == node))
        frame = ratios_frame(alone, baseline=baseline, threshold=threshold, metric=metric)
        frame.insert(0, "node", node)
        frames.append(frame)
    if not frames:
        empty = ratios_frame(stored, baseline=baseline, threshold=threshold, metric=metric)
        empty = empty.iloc[:0].copy()
        empty.insert(0, "node", "")
        return empty
    return pd.concat(frames, ignore_index=True)
