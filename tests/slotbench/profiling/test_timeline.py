"""The timeline: JSON that a viewer can nest, arrows that begin and end, a size that is kept."""

import json
from collections import defaultdict
from typing import Any

import pytest

from slotbench.profiling import timeline
from slotbench.profiling.pass_phases import PhasesPass
from slotbench.profiling.sample import Sample
from tests.slotbench.support import trials

CONTENDERS = (
    *("slot", "slot[inline]", "threading", "torchrl.slot[collate=lazy_stack]"),
    *("floor", "slot@torchrl"),
)


@pytest.fixture(scope="module")
def samples() -> dict[str, Sample]:
    found = {}
    for name in CONTENDERS:
        spec = trials.spec(name)
        probes = PhasesPass(spec.workload)
        sample = probes.result(trials.run(spec, probes)).sample
        assert sample is not None
        found[name] = sample
    return found


def events(text: bytes) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(text)["traceEvents"]
    return found


def test_slices_of_a_thread_nest(samples: dict[str, Sample]) -> None:
    """A viewer draws slices of a thread inside each other: none may end after one around it."""
    threads = defaultdict(list)
    for event in events(timeline.render("all", samples)):
        if event["ph"] == "X":
            assert event["dur"] >= 0
            threads[event["pid"], event["tid"]].append(event)
    assert len(threads) == len(CONTENDERS) * 5 - 0
    for slices in threads.values():
        slices.sort(key=lambda event: (event["ts"], -event["dur"]))
        around: list[float] = []
        for event in slices:
            end = event["ts"] + event["dur"]
            while around and around[-1] <= event["ts"] + 1e-3:
                around.pop()
            assert not around or end <= around[-1] + 2e-3, event
            around.append(end)


def test_arrows_lead_from_a_request_to_its_batch_and_back(
    samples: dict[str, Sample],
) -> None:
    flows = defaultdict(list)
    for event in events(timeline.render("all", samples)):
        if event["ph"] in "stf":
            flows[event["id"]].append(event)
    assert len(flows) == sum(len(sample.requests) for sample in samples.values())
    assert all(isinstance(one, int) and one < 2**53 for one in flows)
    for arrow in flows.values():
        assert [event["ph"] for event in arrow] == ["s", "t", "f"]
        begin, batch, end = arrow
        assert begin["ts"] <= batch["ts"] <= end["ts"]
        assert begin["tid"] == end["tid"] != 0
        assert begin["pid"] == batch["pid"] == end["pid"]


def test_processes_are_contenders_and_threads_are_named(samples: dict[str, Sample]) -> None:
    named = [e for e in events(timeline.render("all", samples)) if e["ph"] == "M"]
    processes = {e["pid"]: e["args"]["name"] for e in named if e["name"] == "process_name"}
    assert tuple(processes.values()) == CONTENDERS
    threads = {e["args"]["name"] for e in named if e["name"] == "thread_name"}
    assert threads == {"server", *(f"actor {i}" for i in range(4))}


def test_the_slowest_are_marked_and_say_what_they_spent(samples: dict[str, Sample]) -> None:
    sample = samples["slot"]
    slow = [
        event
        for event in events(timeline.render("all", {"slot": sample}))
        if event["name"].startswith("slow request")
    ]
    assert sorted(event["args"]["slow"] for event in slow) == list(range(1, 11))
    first = next(event for event in slow if event["args"]["slow"] == 1)
    assert first["dur"] == max(event["dur"] for event in slow)
    assert sum(first["args"]["spent_us"].values()) == pytest.approx(first["dur"], abs=0.01)


@pytest.mark.parametrize("max_bytes", [200_000, 1_000_000])
def test_a_file_stays_below_its_limit_and_keeps_the_slowest(
    samples: dict[str, Sample], max_bytes: int
) -> None:
    text = timeline.render("all", samples, max_bytes)
    assert len(text) <= max_bytes
    marked = [e for e in events(text) if e.get("args", {}).get("slow")]
    assert len(marked) == 10 * len(samples)
    told = json.loads(text)["otherData"]["requests"]
    assert set(told) == set(CONTENDERS)


def test_labels_are_escaped(samples: dict[str, Sample]) -> None:
    label = 'a"b\\c</script>é'
    named = events(timeline.render("x", {label: samples["slot"]}))
    assert named[0]["args"]["name"] == label
