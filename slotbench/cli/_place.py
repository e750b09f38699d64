"""Where ``slotbench run`` measures: here, or on the nodes of a Ray cluster."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from slotbench.errors import ClusterError

if TYPE_CHECKING:
    from slotbench.measure.cluster import Cluster
    from slotbench.measure.executor import LocalExecutor
    from slotbench.records import Node, Scenario


class Where(StrEnum):
    """What runs trials."""

    LOCAL = "local"
    RAY = "ray"


@dataclass(frozen=True, slots=True)
class Place:
    """Where trials run.

    Attributes:
        executor: what runs them.
        address: of the Ray cluster; "" is RAY_ADDRESS, or the one that runs here.
    """

    executor: Where
    address: str

    def num_nodes(self, scenario: "Scenario") -> int:
        """Nodes of the cluster on which the scenario can run; 0 here.

        Raises:
            ClusterError: Ray is not installed, there is no cluster, or it has no such node.
        """
        if self.executor is Where.LOCAL:
            return 0
        from slotbench.measure.on_ray import RayFleet

        fleet = RayFleet(scenario, self.address)
        try:
            number = fleet.num_nodes()
            if number == 0:
                raise ClusterError(fleet.lacking())
            return number
        finally:
            fleet.close()

    @contextlib.contextmanager
    def opened(
        self, scenario: "Scenario", earlier: "Sequence[Node]"
    ) -> "Iterator[LocalExecutor | Cluster]":
        """What runs the scenario's trials, closed afterwards.

        Args:
            scenario: decides what workers import.
            earlier: nodes of earlier sittings of the run.

        Raises:
            ClusterError: as `num_nodes`.
        """
        if self.executor is Where.RAY:
            from slotbench.measure.on_ray import open_cluster

            with open_cluster(scenario, self.address, earlier=earlier) as cluster:
                yield cluster
        else:
            from slotbench.measure.executor import LocalExecutor

            with LocalExecutor(scenario) as executor:
                yield executor
