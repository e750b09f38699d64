"""Batches in page-locked memory: where they are built, and that none is written to while it is copied from.

Without a GPU in memory of the usual kind; `late` stands for copies that a GPU has not made yet.
"""

from __future__ import annotations

import pytest
import torch
from tensordict import TensorDict

import transports._buffers as buffers
from transports import SlotTransport
from transports.conformance import run_check, system_factory

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")


@pytest.fixture
def made(monkeypatch):
    """Let there be a GPU; return the tensors that were made in its page-locked memory."""
    tensors = []

    def new_pinned(num_rows, row):
        tensors.append(torch.empty((num_rows, *row.shape), dtype=row.dtype))
        return tensors[-1]

    monkeypatch.setattr(buffers, "new_pinned", new_pinned)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    return tensors


def request(value):
    return TensorDict(
        {"obs": torch.full((3,), value), "inner": {"x": torch.tensor(int(value))}}, []
    )


def test_every_leaf_of_a_batch_lies_there(made):
    """Each row in its place, of its own dtype, nested or not."""
    transport = SlotTransport(2, pin_memory=True)
    for client, value in zip(
        [transport.client() for _ in range(2)], [1.0, 2.0], strict=True
    ):
        client.submit(request(value))
    batch = transport.gather(transport.claim(2))

    assert batch["obs"].tolist() == [[1.0] * 3, [2.0] * 3]
    assert batch["inner", "x"].tolist() == [1, 2]
    places = {tensor.data_ptr() for tensor in made}
    assert {batch["obs"].data_ptr(), batch["inner", "x"].data_ptr()} == places


@pytest.mark.parametrize("option", ["pin_memory", "preallocate"])
def test_a_copy_that_outlives_the_models_call_is_of_its_own_batch(made, option):
    """A model that enqueues copies, and waits for none; a buffer that is used again shows what it is not."""
    del made
    transport = SlotTransport(1, **{option: True})
    client = transport.client()
    late = []
    for value in (1.0, 2.0):
        reply = client.submit(request(value))
        slots = transport.claim(1)
        batch = transport.gather(slots)
        source = batch["obs"]
        late.append(lambda source=source: source.clone())
        transport.resolve_batch(slots, batch, TensorDict({"action": torch.zeros(1)}, [1]))
        reply.result(0)
    copied = [copy()[0, 0].item() for copy in late]

    assert copied == ([1.0, 2.0] if option == "pin_memory" else [2.0, 2.0])


@pytest.mark.parametrize(
    "name",
    [
        "requests-served-once",
        "nested-leaves-arrive",
        "nothing-is-cast",
        "outputs-keep-their-dtype",
        "result-survives-views-of-the-input",
    ],
)
def test_it_keeps_what_the_batch_has_a_part_in(made, name):
    """Where batches lie changes none of the promises about what is in them."""
    del made
    finding = run_check(name, system_factory(lambda n: SlotTransport(n, pin_memory=True)))
    assert (finding.outcome, finding.reason) == ("pass", "")


def test_it_does_not_go_with_a_buffer_that_is_used_again(made):
    """Which would be written to under a copy."""
    del made
    with pytest.raises(ValueError, match="preallocate does not go with pin_memory"):
        SlotTransport(1, pin_memory=True, preallocate=True)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_it_is_refused():
    """When it is made, not in the first batch."""
    with pytest.raises(ValueError, match="pin_memory needs a GPU"):
        SlotTransport(1, pin_memory=True)


@needs_gpu
def test_a_gpu_finds_it_pinned():
    """And copies from it, batch after batch, what was asked, though nobody waits in between."""
    transport = SlotTransport(1, pin_memory=True)
    client = transport.client()
    copies = []
    for value in range(200):
        reply = client.submit(request(float(value)))
        slots = transport.claim(1)
        batch = transport.gather(slots)
        assert batch["obs"].is_pinned()
        copies.append(batch["obs"].to("cuda", non_blocking=True))
        transport.resolve_batch(slots, batch, TensorDict({"action": torch.zeros(1)}, [1]))
        reply.result(0)

    assert [copy[0, 0].item() for copy in copies] == [float(value) for value in range(200)]
