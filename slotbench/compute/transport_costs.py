"""What each transport costs by itself, and how far predictions made of it were off.

The numbers are in transport_costs.json beside this module: fitted to recorded runs of one machine by
``python -m tests.slotbench.support.transport_fit``, which writes the file; a test refits them.
A machine, or an hour of it, has a **pace**: how much longer its Python takes than that of the run
called the reference there. All costs are multiplied by it.
"""

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

from slotbench.compute.demands import ServiceTime
from slotbench.records import ForecastError

_FILE: Final = "transport_costs.json"
_KIB: Final = 1024.0


@dataclass(frozen=True, slots=True)
class TransportCost:
    """Seconds that a transport takes, at a pace of 1; all of them hold the GIL.

    Attributes:
        actor_s: in the actor, for each request: making it, handing it over, being woken.
        batch_s: in the server, for each batch.
        row_s: in the server, for each row.
        kib_s: of a row, for each 1024 bytes of observation.
        leaf_s: of a row, for each leaf but the first.
    """

    actor_s: float
    batch_s: float
    row_s: float
    kib_s: float
    leaf_s: float

    def service(self, observation_bytes: int, num_leaves: int, pace: float) -> ServiceTime:
        """What the server adds to a policy's S(n)."""
        row_s = self.row_s + self.kib_s * observation_bytes / _KIB
        row_s += self.leaf_s * (num_leaves - 1)
        return ServiceTime(pace * self.batch_s, pace * row_s)


@dataclass(frozen=True, slots=True)
class Fitted:
    """The file.

    Attributes:
        costs: label of a contender → its costs.
        work_s: what a calibration finds an actor to do beside its think time, 8 floats, at a
            pace of 1: the yardstick of another machine's pace.
        paces: name of a run → its pace.
        assumed_pace: of a machine whose pace is not known: the geometric mean of ``paces``.
        covered: from where to where the recorded cells go, by quantity.
        errors: of forecasts, by metric, regime and whether the pace was known.
        held_out: id of a run that costs were fitted to → label → costs fitted without that run.
        run_ids: name of a run in ``paces`` → its id.
        think_late_s: how much later than asked a sleeping environment's step ends, at any pace;
        policy_late_s: and a policy that sleeps.
    """

    costs: dict[str, TransportCost]
    work_s: float
    paces: dict[str, float]
    assumed_pace: float
    covered: dict[str, tuple[float, float]]
    errors: tuple[ForecastError, ...]
    held_out: dict[str, dict[str, TransportCost]]
    run_ids: dict[str, str]
    think_late_s: float
    policy_late_s: float


@cache
def load() -> Fitted:
    """Read the file that slotbench ships."""
    text = resources.files("slotbench.compute").joinpath(_FILE).read_text("utf-8")
    found = json.loads(text)
    return Fitted(
        costs={label: TransportCost(**cost) for label, cost in found["costs"].items()},
        work_s=found["work_s"],
        paces=dict(found["paces"]),
        assumed_pace=found["assumed_pace"],
        covered={name: (low, high) for name, (low, high) in found["covered"].items()},
        errors=tuple(ForecastError(**one) for one in found["errors"]),
        held_out={
            found["run_ids"][name]: {
                label: TransportCost(**cost) for label, cost in costs.items()
            }
            for name, costs in found["held_out"].items()
        },
        run_ids=dict(found["run_ids"]),
        think_late_s=found["think_late_s"],
        policy_late_s=found["policy_late_s"],
    )
