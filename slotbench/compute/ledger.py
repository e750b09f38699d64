"""The rows of the contention ledger: what a request costs besides time, and what was claimed."""

from dataclasses import dataclass
from typing import Final

SLOT_CLAIMS: Final = {
    "shared_locks_submit": "submitting takes no shared lock",
    "shared_locks_drain": "draining takes no shared lock",
    "futures_made": "no concurrent.futures.Future per request",
}
"""What the documentation of TorchRL's SlotTransport says that it eliminates, by the row that
counts it: "the shared threading.Lock that ThreadingTransport uses for every submit() and
drain()" and "concurrent.futures.Future allocations (one per inference request)". Ours claims it,
too."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row.

    Attributes:
        name: key of `records.ProfileTrial.counts`.
        title: for people.
        unit: "" counts, "s", "B" (bytes), all per request; "share" of time, 0 to 1; "threads".
        group: what it belongs to.
        summary: what exactly is counted.
    """

    name: str
    title: str
    unit: str
    group: str
    summary: str


ROWS: Final = (
    Row(
        "shared_locks_submit", "shared locks taken in submit", "", "locks",
        "acquisitions, inside submit, of a lock that another thread acquires, too",
    ),
    Row(
        "shared_locks_drain", "shared locks taken in drain", "", "locks",
        "acquisitions, while the server takes requests, of a lock that another thread acquires, too",
    ),
    Row(
        "lock_acquisitions", "lock acquisitions", "", "locks",
        "of every lock made by Python code, by actors and server, gates and doorbells included; "
        "not of locks inside C code, such as queue.SimpleQueue's",
    ),
    Row(
        "lock_waits", "… that had to wait", "", "locks",
        "acquisitions that did not get the lock at once: waiting for a reply or for work counts",
    ),
    Row(
        "shared_lock_wait_s", "time waited for shared locks", "s", "locks",
        "waiting for locks that several threads acquire and release, all threads together; "
        "waiting to be woken is none of it",
    ),
    Row(
        "locks_made", "locks made", "", "objects",
        "threading.Lock and RLock objects, those inside Events, Conditions and Futures included",
    ),
    Row("events_made", "Events made", "", "objects", "threading.Event objects"),
    Row("conditions_made", "Conditions made", "", "objects", "threading.Condition objects"),
    Row(
        "futures_made", "Futures made", "", "objects",
        "concurrent.futures.Future objects, those of subclasses included",
    ),
    Row(
        "handles_made", "reply objects of its own made", "", "objects",
        "objects of the class that the client's submit returns, where that is no Future",
    ),
    Row(
        "blocks_in_flight", "Python blocks held in flight", "", "memory",
        "blocks of Python's allocator that one submitted, unserved request holds",
    ),
    Row(
        "bytes_in_flight", "Python bytes held in flight", "B", "memory",
        "bytes of them, as tracemalloc counts",
    ),
    Row(
        "python_blocks", "memory blocks allocated", "", "memory",
        "allocations of actors and server, by Python and by native code, temporary ones included; "
        "needs --tool memory",
    ),
    Row(
        "allocated_bytes", "memory allocated", "B", "memory",
        "bytes of them; needs --tool memory",
    ),
    Row(
        "tensors_made", "tensor memories allocated", "", "memory",
        "outputs of torch operations that share no memory with an input, the model's own left out",
    ),
    Row("tensor_bytes", "tensor bytes allocated", "B", "memory", "bytes of them"),
    Row(
        "copies", "tensor copies", "", "memory",
        "torch operations that copy (clone, copy_, stack, cat, index, to): a batch's one stack of a "
        "leaf is 1/n of a request",
    ),
    Row("copied_bytes", "bytes copied by them", "B", "memory", "bytes of what they made"),
    Row(
        "gil_drops", "operations that drop the GIL", "", "GIL",
        "torch operations, the model's own left out, and lock acquisitions that had to wait",
    ),
    Row(
        "torch_calls_actors", "… torch operations of actors", "", "GIL",
        "operations that reach torch's dispatcher in an actor's thread, inside the client's call",
    ),
    Row(
        "torch_calls_server", "… torch operations of the server", "", "GIL",
        "the same in the server's thread, the model's own left out",
    ),
    Row(
        "gil_wanted", "time that the GIL is wanted", "share", "GIL",
        "share of samples in which a thread was asleep waiting for the GIL; with more than 512 "
        "threads not known",
    ),
    Row(
        "gil_waiters", "threads that wait for the GIL", "threads", "GIL",
        "their mean number",
    ),
    Row(
        "switches_voluntary", "voluntary context switches", "", "threads",
        "of actors and server: a thread went to sleep",
    ),
    Row(
        "switches_involuntary", "involuntary context switches", "", "threads",
        "of actors and server: another thread was given the CPU",
    ),
    Row("cpu_actors_s", "CPU time of actors", "s", "threads", "of all actors together"),
    Row("cpu_server_s", "CPU time of the server", "s", "threads", "of the server's thread"),
    Row(
        "cpu_others_s", "CPU time of other threads", "s", "threads",
        "of threads that are neither, such as torch's own",
    ),
    Row(
        "run_queue_s", "time ready to run without a CPU", "s", "threads",
        "of actors and server",
    ),
)  # fmt: skip

BY_NAME: Final = {row.name: row for row in ROWS}

DERIVED: Final = {
    "gil_drops": ("torch_calls_actors", "torch_calls_server", "lock_waits"),
}
"""Rows that are sums of others, which different passes count."""
