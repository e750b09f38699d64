"""TorchRL's collector as system and crew: frames per second that are what they claim."""

from collections.abc import Callable

import pytest

from slotbench.measure.executor import LocalExecutor
from slotbench.records import (
    Leaf,
    Observation,
    TrialSpec,
    Window,
)
from tests.slotbench.support.trials import invalid, run_honest

Specs = Callable[..., TrialSpec]
SHORT = Window(0.05, 0.1, min_requests=50, max_measure_s=5.0)


@pytest.mark.parametrize(
    "name",
    [
        "slot[frames_per_batch=8]@collector",
        "torchrl.slot[frames_per_batch=8]@collector",
        "wrong_transports:honest[frames_per_batch=8]@collector",
        "slot[env_backend=multiprocessing,frames_per_batch=8]@collector",
        "torchrl.process_slot[frames_per_batch=8]@collector",
        "torchrl.parallel[frames_per_batch=8]",
    ],
)
def test_a_collector_gives_valid_numbers(
    name: str, torchrl_executor: LocalExecutor, spec: Specs
) -> None:
    """A reply is a step of an env; counts are conserved, and frames are about as many."""
    pixels = Observation(
        (Leaf("pixels", (3, 4, 4), "uint8"), Leaf("state.joint", (2,), "float32"))
    )
    asked = spec(name, observation=pixels, window=SHORT, num_slots=2)
    record = run_honest(torchrl_executor, asked)

    assert (record.status, record.error, invalid(record)) == ("ok", "", set())
    measured = record.measurement
    assert measured is not None
    assert measured.num_submitted == measured.num_replied == measured.num_served
    assert measured.num_replies == sum(measured.replies_per_actor) >= 50
    assert min(measured.replies_per_actor) > 0
    assert measured.num_frames is not None
    assert measured.num_frames % 8 == 0
    assert measured.num_frames == pytest.approx(measured.num_replies, rel=0.1)
    assert measured.think_mean_s is not None


@pytest.mark.parametrize(
    ("name", "rule"), [("swapped", "wrong_reply"), ("dropped", "lost_reply")]
)
def test_a_wrong_transport_in_a_collector_is_invalid(
    name: str, rule: str, torchrl_executor: LocalExecutor, spec: Specs
) -> None:
    """The id goes the whole way, into the env."""
    record = torchrl_executor.run(
        spec(f"wrong_transports:{name}[frames_per_batch=8]@collector", window=SHORT)
    )
    assert rule in invalid(record)


def test_what_breaks_in_a_collector_fails_the_trial(
    torchrl_executor: LocalExecutor, spec: Specs
) -> None:
    """With its error, and the next trial runs."""
    record = torchrl_executor.run(
        spec("wrong_transports:raising[frames_per_batch=8]@collector", window=SHORT)
    )
    assert record.status == "failed"
    assert "lost the wire" in record.error
    assert torchrl_executor.run(spec("slot")).status == "ok"
