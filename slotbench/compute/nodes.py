"""The nodes of a run on a cluster: what they have in common, what differs, what each measured."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from slotbench.compute import blocks, environment_diff
from slotbench.records import Node, RunRecord, Scalar, TrialRecord

SOFTWARE: Final = frozenset(
    {"code_sha256", "gil_enabled", "python_free_threaded_build", "python_implementation"}
    | {"python_version", "slotbench_version", "switch_interval_s"}
    | {
        f"{name}_version"
        for name in ("gymnasium", "numpy", "tensordict", "torch", "torchrl")
    }
)
"""Facts of the environment that must be the same on every node of a run."""

CPU: Final = ("cpu_model_name", "cpu_count", "cpu_affinity_count", "cgroup_cpu_quota")
"""Facts that move numbers, and may differ: pairs stay on one node."""

GPU: Final = ("gpu_name", "gpu_driver_version")
"""Likewise, where every node has one: a scenario with a device runs on no other."""


def software_differences(
    one: Mapping[str, Scalar], other: Mapping[str, Scalar]
) -> tuple[str, ...]:
    """Say in what the software of another node differs.

    Contenders' own code (``<place>.code_sha256``) is of it, and what is the same of other interpreters that they
    run in (``<python>.torch_version``).
    """
    return tuple(
        f"{found.name} is {found.head}, elsewhere {found.base}"
        for found in environment_diff.differences(one, other)
        if environment_diff.fact_of(found.name) in SOFTWARE
    )


def common_environment(environments: Sequence[Mapping[str, Scalar]]) -> dict[str, Scalar]:
    """The facts that all of these share, as one machine's would be recorded.

    Several machines together have a ``machine_id`` of their own, which is the same in whatever
    order the machines come; what is of the moment is left out where it is not the same.
    """
    if not environments:
        return {}
    first, *others = environments
    shared = {
        name: value
        for name, value in first.items()
        if all(name in one and one[name] == value for one in others)
    }
    ids = sorted({str(one["machine_id"]) for one in environments if "machine_id" in one})
    if len(ids) > 1:
        shared["machine_id"] = hashlib.sha256(" ".join(ids).encode()).hexdigest()[:12]
    return dict(sorted(shared.items()))


@dataclass(frozen=True, slots=True)
class Share:
    """What one node did of a run.

    Attributes:
        node: as recorded.
        num_blocks: whose attempt that counts was measured there.
        hardware: what differs between the nodes of its CPUs and GPUs, in words; "" if nothing does.
    """

    node: Node
    num_blocks: int
    hardware: str


def shares(run: RunRecord, trials: Sequence[TrialRecord]) -> tuple[Share, ...]:
    """What each node of the run did, in the order in which the run met them."""
    counted = {(t.round, t.cell): t.node for t in blocks.counted_trials(run, trials)}
    num_blocks = {
        node.label: sum(label == node.label for label in counted.values())
        for node in run.nodes
    }
    facts = differing(run.nodes)
    return tuple(
        Share(
            node,
            num_blocks[node.label],
            ", ".join(
                f"{name} {node.environment[name]}"
                for name in facts
                if name in node.environment
            ),
        )
        for node in run.nodes
    )


def differing(nodes: Sequence[Node]) -> tuple[str, ...]:
    """The facts of `CPU` and `GPU` in which nodes that took part differ."""
    took_part = [node.environment for node in nodes if node.is_admitted]
    gpu = [name for name in GPU if all(name in found for found in took_part)]
    return tuple(
        name
        for name in (*CPU, *gpu)
        if len({repr(found.get(name)) for found in took_part}) > 1
    )


def notes(nodes: Sequence[Node]) -> tuple[str, ...]:
    """What is to be known of numbers that several machines gave; nothing of one's."""
    took_part = [node for node in nodes if node.is_admitted]
    machines = {node.environment.get("machine_id") for node in took_part}
    said = []
    if len(machines) > 1:
        facts = differing(nodes)
        other = (
            f"they differ in {', '.join(facts)}: the intervals of values, and of ratios that depend on the "
            "machine, hold that too"
            if facts
            else "of equal CPUs"
        )
        said.append(
            f"measured on {len(machines)} machines ({other}); every block whole on one of them"
        )
    lost = [node for node in took_part if node.lost]
    if lost:
        told = f"{len(lost)} of {len(took_part)} nodes {'was' if len(lost) == 1 else 'were'} lost"
        broken = sum(len(node.broken_off) for node in lost)
        if broken == 1:
            told += (
                "; the block that was broken off there counts only as measured again, whole"
            )
        elif broken:
            told += f"; the {broken} blocks that were broken off there count only as measured again, whole"
        said.append(told)
    nice = [node.label for node in took_part if node.environment.get("niceness")]
    if nice:
        said.append(
            f"trials on {', '.join(nice)} gave way to all other processes there (niceness): start their Ray "
            "with RAY_worker_niceness=0"
        )
    at_once: dict[tuple[int, Scalar], list[str]] = {}
    for node in took_part:
        if "machine_id" in node.environment:
            key = node.sitting, node.environment["machine_id"]
            at_once.setdefault(key, []).append(node.label)
    said += [
        f"nodes {', '.join(labels)} are one machine: they may have measured at the same time, and "
        "disturbed each other"
        for labels in at_once.values()
        if len(labels) > 1
    ]
    return tuple(said)


def lines(run: RunRecord, trials: Sequence[TrialRecord]) -> tuple[str, ...]:
    """Each node in a line: its blocks, what differs of it, and why it was lost."""
    said = []
    for share in shares(run, trials):
        node = share.node
        parts = [f"{share.num_blocks} blocks" if share.num_blocks != 1 else "1 block"]
        parts += [f"{node.num_cpus:g} CPUs" if node.num_cpus != 1 else "1 CPU"]
        parts += [share.hardware] if share.hardware else []
        if node.lost:
            parts.append(f"{'lost' if node.is_admitted else 'left out'}: {node.lost}")
        said.append(f"node {node.label}: {', '.join(parts)}")
        said += [
            f"node {node.label}: round {one.round + 1}, {one.cell}, attempt {one.attempt + 1} was "
            f"broken off at {one.doing}: {one.reason}"
            for one in node.broken_off
        ]
    return tuple(said)
