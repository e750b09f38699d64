"""Tidy pandas frames of a stored run, or profile: the one bridge to pandas.

Units are in the names, and for metrics also in ``frame.attrs["units"]``: column → unit. What
is drawn comes from here and is computed here, or below; a plot only draws.

`trials_frame`, `cells_frame` and `nodes_frame` are what was recorded of a run. The others are what one kind of
plot shows, a row a mark; `phases_frame`, `ledger_frame` and `locks_frame` are of a profile, `slo_frame` of a
search, `history_frame` and `changes_frame` of many runs. The others begin with the same columns, those of `PLACE` and one for each axis
of the scenario, and have ``frame.attrs``: ``axes``; ``coordinates``, cell → those that its
own grid names; ``contenders``, labels in the comparison's order; ``floors``; ``baseline`` and
``threshold``.
"""

from slotbench.frames._batch_sizes import batch_sizes_frame
from slotbench.frames._fairness import fairness_frame
from slotbench.frames._history import changes_frame, history_frame
from slotbench.frames._interpreters import interpreters_frame
from slotbench.frames._latencies import latencies_frame
from slotbench.frames._loads import loads_frame
from slotbench.frames._losses import losses_frame
from slotbench.frames._nodes import nodes_frame, ratios_by_node_frame
from slotbench.frames._place import PLACE
from slotbench.frames._predictions import (
    checked_frame,
    predictions_frame,
    what_if_frame,
)
from slotbench.frames._profile import (
    ledger_frame,
    locks_frame,
    phases_frame,
)
from slotbench.frames._ratios import ratios_frame
from slotbench.frames._scalability import scalability_frame
from slotbench.frames._slo import slo_frame
from slotbench.frames._stored import NOUNS, Kind, id_of, kind_of, scenario_of
from slotbench.frames._switched import switched_frame
from slotbench.frames._trials import MEASUREMENTS, cells_frame, trials_frame
from slotbench.frames._twins import twins_frame

__all__ = [
    "MEASUREMENTS",
    "NOUNS",
    "PLACE",
    "Kind",
    "batch_sizes_frame",
    "cells_frame",
    "changes_frame",
    "checked_frame",
    "fairness_frame",
    "history_frame",
    "id_of",
    "interpreters_frame",
    "kind_of",
    "latencies_frame",
    "ledger_frame",
    "loads_frame",
    "locks_frame",
    "losses_frame",
    "nodes_frame",
    "phases_frame",
    "predictions_frame",
    "ratios_by_node_frame",
    "ratios_frame",
    "scalability_frame",
    "scenario_of",
    "slo_frame",
    "switched_frame",
    "trials_frame",
    "twins_frame",
    "what_if_frame",
]
