"""The operators of the model: torch.profiler, over a bounded number of model calls.

It records after the trial's window, which it leaves alone, and all threads: with slot[inline] it
is the actors that run the model. The trace shows what else they do in torch, such as collating;
the table has what lies inside model calls.
"""

import json
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from slotbench.profiling.tools._outcome import ToolOutcome, outcome
from slotbench.profiling.tools._watcher import Watcher
from slotbench.records import TrialRecord, TrialSpec

SUMMARY: Final = "torch's operators in the model: a trace and a table"
_LONGEST_S: Final = 10.0
"""Of the recording; evaluating 30 000 operators takes 2 s more."""

_MAX_CALLS: Final = 200
_MAX_ROWS: Final = 4_000
"""Of an observation with one leaf: transports do a few operators for every leaf of a row. A trace
had 1.6 to 3.2 kB a row, 4 to 8 MB in all."""
_CALL: Final = "model call"


def missing() -> str:
    """Return "": torch is always there."""
    return ""


def run(spec: TrialSpec, folder: str, stem: str) -> ToolOutcome:
    """Write "<stem>.torch.json", a Chrome trace, and "<stem>.torch.txt", a table."""
    from slotbench.profiling.tools._trial import run_watched

    trace = Path(folder) / f"{stem}.torch.json"
    table = Path(folder) / f"{stem}.torch.txt"
    for path in (trace, table):
        path.unlink(missing_ok=True)
    if spec.contender.name == "floor":
        trial = run_watched(spec, Watcher())
        return outcome(trial, (), ["the floor calls no model that torch could be seen in"])
    watcher = _Profiler(_MAX_ROWS // max(1, len(spec.workload.observation.leaves)))
    trial = run_watched(spec, watcher)
    if trial.status == "failed":
        return outcome(trial, (), ())
    if not watcher.num_calls:
        return outcome(trial, (), [f"the model was not called in {_LONGEST_S:.0f} s"])
    watcher.profile.export_chrome_trace(str(trace))
    _edit(trace, watcher.thread_names)
    rows = _operators(watcher.profile.events())  # type: ignore[no-untyped-call]
    head = _head(spec, trial, watcher, rows)
    table.write_text("\n".join([*head, "", *_lines(rows, watcher.num_calls), ""]), "utf-8")
    return outcome(trial, (trace, table), ())


class _Profiler(Watcher):
    """Records `_MAX_CALLS` model calls, or as many as have so many rows.

    Args:
        max_rows: in all calls together.

    Attributes:
        profile: torch's.
        num_calls, num_rows: of the calls that were recorded from begin to end.
        thread_names: native id → name, of the threads of the trial.
    """

    def __init__(self, max_rows: int) -> None:
        self._max_rows = max_rows
        self.num_calls = 0
        self.num_rows = 0
        self.thread_names: dict[int, str] = {}
        self._is_on = False
        self._is_over = threading.Event()

    def wrap(self, policy: Callable[[Any], Any]) -> Callable[[Any], Any]:
        from torch.profiler import record_function

        def profiled(batch: Any) -> Any:
            if not self._is_on:
                return policy(batch)
            with record_function(_CALL):
                result = policy(batch)
            # One thread at a time runs the model, so nobody counts beside this one.
            self.num_calls += 1
            self.num_rows += batch.shape[0]
            if self.num_calls >= _MAX_CALLS or self.num_rows >= self._max_rows:
                self._is_on = False
                self._is_over.set()
            return result

        return profiled

    def end(self) -> None:
        from torch._C._profiler import _ExperimentalConfig
        from torch.profiler import ProfilerActivity, profile

        self.profile = profile(
            activities=[ProfilerActivity.CPU],
            # Else it sees the thread alone that starts it, which is this one.
            experimental_config=_ExperimentalConfig(profile_all_threads=True),
        )
        self.profile.start()
        self._is_on = True
        self._is_over.wait(_LONGEST_S)
        self._is_on = False
        self.profile.stop()
        self.thread_names = {
            thread.native_id: thread.name
            for thread in threading.enumerate()
            if thread.native_id is not None
        }


@dataclass(slots=True)
class _Operator:
    """One operator in all model calls; times in µs."""

    calls: int = 0
    self_us: float = 0.0
    total_us: float = 0.0


def _operators(events: Iterable[Any]) -> dict[str, _Operator]:
    """Sum up the events that lie inside a model call, by name; the call itself among them."""
    found: dict[str, _Operator] = defaultdict(_Operator)
    for event in events:
        if _is_in_call(event):
            operator = found[event.name]
            operator.calls += 1
            operator.self_us += event.self_cpu_time_total
            operator.total_us += event.cpu_time_total
    return dict(sorted(found.items(), key=lambda item: -item[1].self_us))


def _is_in_call(event: Any) -> bool:
    while event is not None:
        if event.name == _CALL:
            return True
        event = event.cpu_parent
    return False


def _head(
    spec: TrialSpec, trial: TrialRecord, watcher: _Profiler, rows: dict[str, _Operator]
) -> list[str]:
    call = rows[_CALL]
    forward_s = trial.measurement.forward_mean_s if trial.measurement else None
    without = "" if forward_s is None else f", {forward_s * 1e6:.1f} µs before, without it"
    return [
        f"Operators of the model: {spec.contender.label} in {spec.cell}",
        f"{watcher.num_calls} model calls of {watcher.num_rows} rows together, "
        f"{call.total_us / call.calls:.1f} µs each under the profiler{without}.",
        "All columns are per model call. Self: without the operators that it calls; that of "
        f"the {_CALL} is Python code, and waiting for the GIL.",
    ]


def _lines(rows: dict[str, _Operator], num_calls: int) -> list[str]:
    width = max(map(len, rows))
    all_us = sum(operator.self_us for operator in rows.values())
    lines = [
        f"{'operator':<{width}}  {'self µs':>10}  {'self %':>6}  {'total µs':>10}  calls"
    ]
    for name, one in rows.items():
        share = one.self_us / all_us if all_us else 0.0
        lines.append(
            f"{name:<{width}}  {one.self_us / num_calls:>10.2f}  {share:>6.1%}  "
            f"{one.total_us / num_calls:>10.2f}  {one.calls / num_calls:g}"
        )
    return lines


def _edit(path: Path, names: dict[int, str]) -> None:
    """Give the trace's threads their Python names, and take the machine's and the file's away."""
    trace: dict[str, Any] = json.loads(path.read_text("utf-8"))
    for name in ("host_name", "traceName"):
        trace.pop(name, None)
    for event in trace["traceEvents"]:
        if event["name"] == "thread_name" and event["tid"] in names:
            event["args"]["name"] = names[event["tid"]]
    path.write_text(json.dumps(trace, separators=(",", ":")), "utf-8")
