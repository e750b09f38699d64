"""What a notebook uses: runs and profiles as tidy frames, comparisons, plots and reports.

`load` reads a recorded run, `load_profile` a recorded profile, `load_slo` a recorded search, `history` all
runs of a folder; `run`, `profile`, `slo`, `advise` and `doctor` measure, `predict` does not. Loads no torch; pandas and matplotlib only when a frame or a plot is asked for. Objects show themselves as
HTML in a notebook.
"""

from slotbench.api._advise import Advised, advise, load_advice
from slotbench.api._doctor import Doctor, doctor, load_diagnosis
from slotbench.api._history import ShownHistory, history
from slotbench.api._measure import profile, run
from slotbench.api._predict import (
    CheckedPredictions,
    Predicted,
    check_predictions,
    load_prediction,
    predict,
)
from slotbench.api._profile import Profile, ShownDifference, load_profile
from slotbench.api._run import Run, ShownComparison, ShownTwoRuns, load
from slotbench.api._shown import Plots
from slotbench.api._slo import Slo, load_slo, slo

__all__ = [
    "Advised",
    "CheckedPredictions",
    "Doctor",
    "Plots",
    "Predicted",
    "Profile",
    "Run",
    "ShownComparison",
    "ShownDifference",
    "ShownHistory",
    "ShownTwoRuns",
    "Slo",
    "advise",
    "check_predictions",
    "doctor",
    "history",
    "load",
    "load_advice",
    "load_diagnosis",
    "load_prediction",
    "load_profile",
    "load_slo",
    "predict",
    "profile",
    "run",
    "slo",
]
