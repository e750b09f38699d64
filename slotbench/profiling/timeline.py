"""A sample of requests as a timeline in Chrome's trace format, which Perfetto opens.

A process is a contender, its threads are the server and the actors. Arrows go from a submit to
its batch, and from there to the reply. All contenders begin at 0, side by side. The slowest
requests of the window are marked, with what they spent where.

Source: "Trace Event Format", Google, 2016: complete events "X", metadata "M", flows "s", "t" and
"f" (bound to the slice around them), times in µs.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

import numpy as np

from slotbench.compute import phases
from slotbench.profiling.sample import Sample

Event: TypeAlias = dict[str, Any]

MAX_BYTES: Final = 20_000_000
_SLOW_COLOR: Final = "terrible"
_SERVER: Final = 0
_SHARE: Final = 0.9
"""Of the limit, what events may take: the rest is for what is written around them."""


def render(cell: str, samples: Mapping[str, Sample], max_bytes: int = MAX_BYTES) -> bytes:
    """Write the timeline of one cell.

    Args:
        cell: its name.
        samples: contender's label → its sample, in the order to be shown.
        max_bytes: of the file. Where it would be more, each contender's sample is cut after
            as many requests as there is room for; the slowest stay.
    """
    room = int(_SHARE * max_bytes / max(1, len(samples)))
    texts: list[str] = []
    shown: dict[str, str] = {}
    for process, (label, sample) in enumerate(samples.items(), start=1):
        track = _Track(process, label, sample)
        of_track = [_dumps(event) for event in track.names()]
        size = sum(map(_size, of_track))
        num_shown = 0
        batches: set[int] = set()
        for row, is_slow in track.rows():
            batch = track.batch_of(row)
            events = list(track.request(row))
            if batch not in batches:
                events += track.batch(row)
            group = [_dumps(event) for event in events]
            if size + sum(map(_size, group)) <= room or is_slow:
                batches.add(batch)
                of_track += group
                size += sum(map(_size, group))
                num_shown += 1
        texts += of_track
        shown[label] = f"{num_shown} of {sample.num_requests} requests of the window"
    head = _dumps({"cell": cell, "requests": shown})
    events_text = ",\n".join(texts)
    text = (
        f'{{"displayTimeUnit":"ms","otherData":{head},"traceEvents":[\n{events_text}\n]}}\n'
    )
    return text.encode()


def _size(text: str) -> int:
    return len(text.encode()) + 2


class _Track:
    """One contender's events.

    Args:
        process: its number in the file.
        label: of the contender.
        sample: what is shown of it.
    """

    def __init__(self, process: int, label: str, sample: Sample) -> None:
        self._process = process
        self._label = label
        self._sample = sample
        self._edges = phases.boundaries(sample.requests, sample.drains, sample.batches)
        self._spent = phases.phases_ns(self._edges)
        self._rank = {row: place for place, row in enumerate(sample.slowest, start=1)}

    def names(self) -> Iterator[Event]:
        """Name process and threads."""
        actors = np.unique(self._sample.requests.actor).tolist()
        threads = {_SERVER: "server"} | {1 + actor: f"actor {actor}" for actor in actors}
        yield self._meta(0, "process_name", name=self._label)
        yield self._meta(0, "process_sort_index", sort_index=self._process)
        for thread, name in threads.items():
            yield self._meta(thread, "thread_name", name=name)
            yield self._meta(thread, "thread_sort_index", sort_index=thread)

    def rows(self) -> Iterator[tuple[int, bool]]:
        """Rows of the sample, and whether they are slow: those first, the others by time."""
        yield from ((row, True) for row in self._rank)
        for row in range(len(self._sample.requests)):
            if row not in self._rank:
                yield row, False

    def batch_of(self, row: int) -> int:
        """The batch of a request."""
        return int(self._sample.requests.batch[row])

    def request(self, row: int) -> Iterator[Event]:
        """A request's slices, and the arrow from it to its batch and back."""
        requests, batches = self._sample.requests, self._sample.batches
        batch = self.batch_of(row)
        thread = 1 + int(requests.actor[row])
        begin, end = int(requests.submitted[row]), int(requests.replied[row])
        seen, resolved = int(self._edges[row, 1]), int(self._edges[row, 10])
        spent_us = {name: _us(int(ns[row])) for name, ns in self._spent.items() if ns[row]}
        args: Event = {"batch": batch, "spent_us": spent_us}
        if row in self._rank:
            args["slow"] = self._rank[row]
            whole = self._slice(thread, f"slow request {self._rank[row]}", begin, end, args)
            yield whole | {"cname": _SLOW_COLOR}
        else:
            yield self._slice(thread, "request", begin, end, args)
        yield self._slice(thread, "write", begin, seen)
        yield self._slice(thread, "wait", seen, resolved)
        yield self._slice(thread, "wake", resolved, end)
        # A whole number: Perfetto reads a text as a hexadecimal one, or not at all.
        flow = self._process << 32 | row
        collated = (int(batches.drained[batch]) + int(batches.read[batch])) // 2
        yield self._flow("s", thread, begin, flow)
        yield self._flow("t", self._runner(batch), collated, flow)
        yield self._flow("f", thread, max(resolved, end - 1), flow)

    def batch(self, row: int) -> Iterator[Event]:
        """The slices of a request's batch, in the thread that ran it."""
        batches, drains = self._sample.batches, self._sample.drains
        batch = self.batch_of(row)
        drain = int(self._sample.requests.taken[row])
        runner = self._runner(batch)
        begin, drained = int(drains.begin[drain]), int(batches.drained[batch])
        read, forward_end = int(batches.read[batch]), int(batches.forward_end[batch])
        resolve_end = max(forward_end, int(batches.resolve_end[batch]))
        size = int(batches.size[batch])
        if runner == _SERVER:
            wait_end = min(int(drains.wait_end[drain]), begin)
            yield self._slice(runner, "wait", int(drains.wait_begin[drain]), wait_end)
        args: Event = {"batch": batch, "rows": size}
        yield self._slice(runner, f"batch of {size}", begin, resolve_end, args)
        yield self._slice(runner, "drain", begin, drained)
        yield self._slice(runner, "collate", drained, read)
        yield self._slice(runner, "forward", read, forward_end)
        yield self._slice(runner, "resolve", forward_end, resolve_end)

    def _runner(self, batch: int) -> int:
        return 1 + int(self._sample.runner[batch])  # -1 is the server, thread 0

    def _slice(
        self, thread: int, name: str, begin: int, end: int, args: Event | None = None
    ) -> Event:
        event = self._at("X", thread, begin) | {
            "name": name,
            "dur": _us(max(0, end - begin)),
        }
        return event if args is None else event | {"args": args}

    def _flow(self, kind: str, thread: int, at: int, flow: int) -> Event:
        event = self._at(kind, thread, at) | {
            "name": "request",
            "cat": "request",
            "id": flow,
        }
        # Without it an arrow ends at the next slice, not in the one around it.
        return event if kind == "s" else event | {"bp": "e"}

    def _at(self, kind: str, thread: int, at: int) -> Event:
        ts = _us(at - self._sample.begin_ns)
        return {"ph": kind, "pid": self._process, "tid": thread, "ts": ts}

    def _meta(self, thread: int, kind: str, **args: object) -> Event:
        event: Event = {"ph": "M", "pid": self._process, "tid": thread}
        return event | {"name": kind, "args": args}


def _us(duration_ns: int) -> float:
    return duration_ns / 1e3


def _dumps(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
