"""What a request and a reply look like, asked of the workload itself."""

import torch
from tensordict import TensorDict

from slotbench.measure import layouts
from slotbench.records import Leaf, Model, Observation
from tests.slotbench.support import trials


def test_a_reply_is_what_the_model_adds() -> None:
    """Its outputs and the echo of the id; the request keeps what was asked, the id included."""
    pixels = Observation((Leaf("camera.pixels", (3, 4, 4), "uint8"),))
    model = Model(
        latency_ms=60_000.0,  # never waited for
        outputs=(Leaf("action", (), "int64"), Leaf("state.hidden", (5,), "float16")),
    )
    found = layouts.of_workload(trials.workload(observation=pixels, model=model), 0)

    def form(td: TensorDict) -> dict[object, tuple[tuple[int, ...], torch.dtype]]:
        items = td.items(include_nested=True, leaves_only=True)
        return {key: (tuple(leaf.shape), leaf.dtype) for key, leaf in items}

    assert form(found.request) == {  # type: ignore[arg-type]
        ("camera", "pixels"): ((3, 4, 4), torch.uint8),
        "request_id": ((), torch.int64),
    }
    assert form(found.reply) == {  # type: ignore[arg-type]
        "action": ((), torch.int64),
        ("state", "hidden"): ((5,), torch.float16),
        "reply_id": ((), torch.int64),
    }
    assert found.request.batch_size == found.reply.batch_size == ()


def test_a_leaf_that_the_model_replaces_is_an_output() -> None:
    """A recurrent state that goes in and out under one name."""
    request = TensorDict({"state": torch.zeros(2), "seen": torch.zeros(3)})
    found = layouts.of_model(request, lambda batch: batch.set("state", batch["state"] + 1))

    assert list(found.reply.keys()) == ["state"]
    assert found.request["state"].tolist() == [0, 0]
