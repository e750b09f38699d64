"""Scenarios: TOML files and command-line changes, turned into `records.Scenario`.

`find` and `available` look for files; `load` reads one, checks every field and expands
its grid. Loads no torch; pydantic is imported by the first `load`.
"""

from slotbench.scenario._find import ScenarioInfo, available, find
from slotbench.scenario._load import load, loads

__all__ = ["ScenarioInfo", "available", "find", "load", "loads"]
