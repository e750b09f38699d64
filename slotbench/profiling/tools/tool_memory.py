"""What actors and server allocate: memray, which sees every allocation of the process.

Two recordings in one trial. The first, in the window, counts, and knows no lines of code: for
those memray has each Python call traced, and CPython makes an object of the frame of every call
that is traced (144 bytes and more). In the second, after the window, it may: its flame graph
shows where memory is allocated, these objects with it, at the lines that call. With slot they are
half of all it shows (94 blocks a reply without tracing, 185 with it), with torchrl.threading more
(262, 598; 16 actors).

Blocks are those that Python's allocators and malloc and its kin give out, by any thread but the
main one; a realloc is a block of its new size. Memory that is not given out but reused (CPython's
lists of free objects) is no block, pages from mmap are none either: blocks are cut from them. The
harness's own part, an actor's observation, the checks of its reply and the model, is the same for
all.
"""

import importlib.util
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from slotbench.profiling.tools._outcome import ToolOutcome, outcome
from slotbench.profiling.tools._watcher import Watcher
from slotbench.records import TrialSpec

if TYPE_CHECKING:
    from memray import AllocationRecord, FileReader, Tracker

SUMMARY: Final = "memory allocated, per reply and by line of code (needs memray)"

# A recording of 0.3 s had 0.4 to 0.7 million records in a file of 1.1 to 1.5 MB (2 bytes a
# record), which is gone when the tool has ended. A slow cell's window is prolonged as ever, until
# it has replies enough; the number of records grows with replies, not with time. The page has
# 4.6 MB, of which memray's scripts take 4.5: it is to be read without a network.
_MEASURE_S: Final = 0.3
_LOOK_S: Final = 0.02
_ALL_THREADS: Final = -1
"""memray's thread id for "all threads as one"."""


def missing() -> str:
    """Say that memray is not installed; "" if it is."""
    if importlib.util.find_spec("memray"):
        return ""
    return "memray is not installed: no allocations; pip install 'slotbench[profile]'"


def run(spec: TrialSpec, folder: str, stem: str) -> ToolOutcome:
    """Count blocks and bytes in the window, and write "<stem>.memory.html" of what follows it."""
    from slotbench.profiling.tools._trial import run_watched

    window = spec.workload.window
    window = replace(window, measure_s=min(_MEASURE_S, window.measure_s))
    spec = replace(spec, workload=replace(spec.workload, window=window))
    page = Path(folder) / f"{stem}.memory.html"
    page.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="slotbench-") as place:
        watcher = _TwoRecordings(Path(place), spec)
        trial = run_watched(spec, watcher)
        if trial.status == "failed":
            return outcome(trial, (), ())
        if not watcher.num_counted:
            return outcome(trial, (), ["there were no replies to count allocations by"])
        blocks, size = _total(watcher.counted)
        who = f"slotbench profile: {spec.contender.label} in {spec.cell}"
        _write_page(
            watcher.traced, page, f"{who}, all that {watcher.num_traced} replies took"
        )
    counts = {
        "python_blocks": blocks / watcher.num_counted,
        "allocated_bytes": size / watcher.num_counted,
    }
    return outcome(trial, (page,), (), counts)


class _TwoRecordings(Watcher):
    """Records the window without lines of code, and then as long with them.

    Attributes:
        counted, traced: the files.
        num_counted, num_traced: replies that came while each was made.
    """

    def __init__(self, folder: Path, spec: TrialSpec) -> None:
        self.counted = folder / "counted.bin"
        self.traced = folder / "traced.bin"
        self.num_counted = 0
        self.num_traced = 0
        self._longest_s = spec.workload.window.max_measure_s

    def begin(self) -> None:
        # Starting takes memray 40 ms, in which nobody else has the GIL; stopping as long.
        self._tracker = _start(self.counted)
        _stop_tracing_calls()
        self._num_before = self.num_replies()
        self._began_s = time.monotonic()

    def end(self) -> None:
        self.num_counted = self.num_replies() - self._num_before
        self._tracker.__exit__(None, None, None)
        began_s = time.monotonic()
        window_s = began_s - self._began_s
        self._tracker = _start(self.traced)
        before = self.num_replies()
        # As many replies as in the window would take several times as long.
        while not self.num_traced or time.monotonic() - began_s < window_s:
            time.sleep(_LOOK_S)
            self.num_traced = self.num_replies() - before
            if time.monotonic() - began_s > self._longest_s:
                break
        self._tracker.__exit__(None, None, None)


def _start(path: Path) -> "Tracker":
    from memray import Tracker

    # Without Python's allocators only the pages would be seen that they cut blocks from.
    tracker = Tracker(path, trace_python_allocators=True)
    tracker.__enter__()
    return tracker


def _stop_tracing_calls() -> None:
    """Undo, in all threads, what memray asked Python for; allocations it sees by itself."""
    threading.setprofile(None)  # of threads to come
    if sys.version_info >= (3, 12):
        threading.setprofile_all_threads(None)
        return
    import ctypes

    python = ctypes.pythonapi
    pointer = ctypes.c_void_p
    python.PyInterpreterState_Get.restype = pointer
    python.PyInterpreterState_ThreadHead.restype = pointer
    python.PyThreadState_Next.restype = pointer
    thread = python.PyInterpreterState_ThreadHead(pointer(python.PyInterpreterState_Get()))
    while thread:
        python._PyEval_SetProfile(pointer(thread), None, None)
        thread = python.PyThreadState_Next(pointer(thread))


def _allocations(reader: "FileReader") -> "Iterator[AllocationRecord]":
    """All records of blocks given out to other threads than the main one, which only watches."""
    from memray import AllocatorType

    given_back_or_pages = {
        AllocatorType.PYMALLOC_FREE,
        AllocatorType.FREE,
        AllocatorType.MUNMAP,
        AllocatorType.MMAP,
    }
    main_thread = reader.metadata.main_thread_id
    for record in reader.get_allocation_records():
        if record.tid != main_thread and record.allocator not in given_back_or_pages:
            yield record


def _total(path: Path) -> tuple[int, int]:
    """Return the number of blocks, and their bytes."""
    from memray import FileReader

    blocks = size = 0
    with FileReader(path) as reader:
        for record in _allocations(reader):
            blocks += 1
            size += record.size
    return blocks, size


@dataclass(slots=True)
class _Place:
    """All blocks of one stack of calls, in the shape of memray's own record."""

    stack: list[tuple[str, str, int]]
    size: int = 0
    n_allocations: int = 0
    tid: int = _ALL_THREADS
    thread_name: str = ""

    def stack_trace(self) -> list[tuple[str, str, int]]:
        return self.stack


def _write_page(path: Path, page: Path, title: str) -> None:
    """Write memray's flame graph of every block, whether given back or not.

    memray's own command shows what is held when most is held: in a loop of requests, nothing.
    """
    from memray import FileReader
    from memray.reporters.flamegraph import FlameGraphReporter

    places: dict[int, _Place] = {}
    with FileReader(path) as reader:
        for record in _allocations(reader):
            place = places.get(record.stack_id)
            if place is None:
                place = places[record.stack_id] = _Place(_stack(record))
            place.size += record.size
            place.n_allocations += 1
        snapshots = list(reader.get_memory_snapshots())
        metadata = replace(reader.metadata, command_line=title)
    reporter = FlameGraphReporter.from_snapshot(
        cast("Any", places.values()), memory_records=snapshots, native_traces=False
    )
    with page.open("w", encoding="utf-8") as file:
        # A page that needs nothing from the network.
        reporter.render(
            file, metadata, show_memory_leaks=False, merge_threads=True, inverted=False,
            no_web=True,
        )  # fmt: skip


def _stack(record: "AllocationRecord") -> list[tuple[str, str, int]]:
    from slotbench.profiling.tools._paths import as_imported

    return [(name, as_imported(file), line) for name, file, line in record.stack_trace()]
