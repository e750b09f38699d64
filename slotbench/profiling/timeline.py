"""A sample of requests as a timeline in Chrome's trace format, which Perfetto opens.

A process is a contender, its threads are the server and the actors. Arrows go from a submit to
its batch, and from there to the reply. All contenders begin at 0, side by side. The slowest
requests of the window are marked, with what they spent where.

Source: "Trace Event Format", Google, 2016: complete events "X", metadata "M", flows "s", "t" and
"f" (bound to the slice around them), times in µs.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from slotbench.compute import phases
from slotbench.profiling.sample import Sample

MAX_BYTES: Final = 20_000_000
_SLOW_COLOR: Final = "terrible"
_SERVER: Final = 0
_SHARE: Final = 0.9
"""Of the limit, what events may take: the rest is for what is written around them."""


def render(
    cell: str, samples: Mapping[str, Sample], max_bytes: int = MAX_BYTES
) -> bytes:
    """Write the timeline of one cell.

    Args:
        cell: its name.
        samples: contender's label → its sample, in the order to be shown.
        max_bytes: of the file. Where it would be more, each contender's sample is cut after
            as many requests as there is room for; the slowest stay.
    """
    room = int(_SHARE * max_bytes / max(1, len(samples)))
    events: list[str] = []
    facts: dict[str, str] = {}
    for process, (label, sample) in enumerate(samples.items(), start=1):
        texts = [_dumps(event) for event in _names(process, label, sample)]
        used = sum(map(len, texts))
        num_shown = 0
        for group in _events(process, sample):
            group_texts = [_dumps(event) for event in group]
            size = sum(len(text) + 2 for text in group_texts)
            is_slow = any("slow" in event.get("args", {}) for event in group)
            if used + size > room and not is_slow:
                continue
            used += size
            num_shown += 1
            texts += group_texts
        events += texts
        facts[label] = f"{num_shown} of {sample.num_requests} requests of the window"
    head = _dumps({"cell": cell, "requests": facts})
    body = ",\n".join(events)
    return f'{{"displayTimeUnit":"ms","otherData":{head},"traceEvents":[\n{body}\n]}}\n'.encode()


def _names(process: int, label: str, sample: Sample) -> Iterator[dict[str, Any]]:
    threads = {_SERVER: "server"} | {
        1 + int(actor): f"actor {actor}" for actor in np.unique(sample.requests.actor)
    }
    yield _meta(process, 0, "process_name", name=label)
    yield _meta(process, 0, "process_sort_index", sort_index=process)
    for thread, name in threads.items():
        yield _meta(process, thread, "thread_name", name=name)
        yield _meta(process, thread, "thread_sort_index", sort_index=thread)


def _events(process: int, sample: Sample) -> Iterator[list[dict[str, Any]]]:
    """Give what belongs together: first a batch, then each of its requests."""
    requests, batches = sample.requests, sample.batches
    edges = phases.boundaries(requests, sample.drains, batches)
    durations = phases.phases_ns(edges)
    rank = {row: place for place, row in enumerate(sample.slowest, start=1)}
    begun: set[int] = set()
    for row in range(len(requests)):
        batch, drain = int(requests.batch[row]), int(requests.taken[row])
        thread = 1 + int(requests.actor[row])
        runner = 1 + int(sample.runner[batch])  # -1 is the server, thread 0
        group: list[dict[str, Any]] = []
        if batch not in begun:
            begun.add(batch)
            group += _batch(process, runner, batch, drain, sample)
        spent = {
            name: round(int(of[row]) / 1e3, 3) for name, of in durations.items() if of[row]
        }
        args: dict[str, Any] = {"batch": batch, "spent_us": spent}
        name = "request"
        if row in rank:
            name = f"slow request {rank[row]}"
            args["slow"] = rank[row]
        begin, end = int(requests.submitted[row]), int(requests.replied[row])
        whole = _slice(process, thread, name, begin, end, sample, args=args)
        if row in rank:
            whole["cname"] = _SLOW_COLOR
        seen, resolved = int(edges[row, 1]), int(edges[row, 10])
        group += [
            whole,
            _slice(process, thread, "write", begin, seen, sample),
            _slice(process, thread, "wait", seen, resolved, sample),
            _slice(process, thread, "wake", resolved, end, sample),
        ]
        flow = f"{process}.{row}"
        read = int(batches.read[batch])
        collate_begin = int(batches.drained[batch])
        at = (
            ("s", thread, begin),
            ("t", runner, collate_begin + (read - collate_begin) // 2),
            ("f", thread, max(resolved, end - 1)),
        )
        for kind, where, when in at:
            group.append(_flow(process, where, kind, when, flow, sample))
        yield group


def _batch(
    process: int, runner: int, batch: int, drain: int, sample: Sample
) -> Iterator[dict[str, Any]]:
    batches, drains = sample.batches, sample.drains
    size = int(batches.size[batch])
    drained, read = int(batches.drained[batch]), int(batches.read[batch])
    forward_end = int(batches.forward_end[batch])
    resolve_end = max(forward_end, int(batches.resolve_end[batch]))
    wait = int(drains.wait_begin[drain]), int(drains.wait_end[drain])
    parts = [
        ("drain", int(drains.begin[drain]), drained),
        ("collate", drained, read),
        ("forward", read, forward_end),
        ("resolve", forward_end, resolve_end),
    ]
    if runner == _SERVER:
        parts.insert(0, ("wait", wait[0], min(wait[1], parts[0][1])))
    yield _slice(
        process,
        runner,
        f"batch of {size}",
        parts[-4][1],
        resolve_end,
        sample,
        args={"batch": batch, "rows": size},
    )
    for name, begin, end in parts:
        yield _slice(process, runner, name, begin, end, sample)


def _slice(
    process: int,
    thread: int,
    name: str,
    begin_ns: int,
    end_ns: int,
    sample: Sample,
    args: dict[str, Any] | None = None,
) -> dict[str, Any]:
    event = {
        "ph": "X",
        "name": name,
        "pid": process,
        "tid": thread,
        "ts": _us(begin_ns - sample.begin_ns),
        "dur": _us(max(0, end_ns - begin_ns)),
    }
    return event if args is None else event | {"args": args}


def _flow(
    process: int, thread: int, kind: str, at_ns: int, flow: str, sample: Sample
) -> dict[str, Any]:
    event = {
        "ph": kind,
        "name": "request",
        "cat": "request",
        "id": flow,
        "pid": process,
        "tid": thread,
        "ts": _us(at_ns - sample.begin_ns),
    }
    # Without it an arrow ends at the next slice, not in the one around it.
    return event | {"bp": "e"} if kind != "s" else event


def _meta(process: int, thread: int, kind: str, **args: Any) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": process, "tid": thread, "args": args}


def _us(duration_ns: int) -> float:
    return duration_ns / 1e3


def _dumps(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
