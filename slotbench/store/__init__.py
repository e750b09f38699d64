"""Where runs live on disk: written while they go on, read back, found by name.

Importing this loads neither pydantic nor pyperf; `read` and `environment.collect`
import what they need.
"""

from slotbench.store.finder import all_runs, find
from slotbench.store.folder import RunFolder, check_writable, new_run_id
from slotbench.store.reader import StoredRun, read

__all__ = [
    "RunFolder",
    "StoredRun",
    "all_runs",
    "check_writable",
    "find",
    "new_run_id",
    "read",
]
