"""The log of a model that another process calls."""

import os

import pytest
import torch
from tensordict import TensorDict

from slotbench.measure.identity import REQUEST_ID
from slotbench.measure.served import SharedServedModel


def served(max_batches: int = 10) -> SharedServedModel:
    return SharedServedModel(lambda batch: batch, lambda _: None, max_batches)


def serve(model: SharedServedModel, *sizes: int) -> None:
    for size in sizes:
        model(TensorDict({REQUEST_ID: torch.arange(size)}, [size]))


def test_what_another_process_serves_is_read_here() -> None:
    """Batches, their stamps in order, and rows."""
    model = served()
    pid = os.fork()
    if pid == 0:
        serve(model, 3, 1, 2)
        os._exit(0)
    os.waitpid(pid, 0)
    begin_ns, end_ns, size = model.log()

    assert size.tolist() == [3, 1, 2]
    assert (begin_ns[1:] >= end_ns[:-1]).all()
    assert model.num_served == 6


def test_what_is_served_after_the_freeze_does_not_count() -> None:
    """A collector that ends goes on asking for a while."""
    model = served()
    serve(model, 2, 2)
    model.freeze()
    serve(model, 2)
    assert (model.num_served, model.log()[2].tolist()) == (4, [2, 2])


@pytest.mark.parametrize(("num_before", "left"), [(1, [2, 2, 2, 1]), (3, [2, 1]), (4, [1])])
def test_rehearsals_are_what_comes_before_the_first_replys_batch(
    num_before: int, left: list[int]
) -> None:
    """All batches that began before the first reply, but the last of them."""
    model = served()
    serve(model, 2, 2, 2, 1)
    begin_ns = model.log()[0]
    first_reply_ns = int(begin_ns[num_before - 1]) + 1
    model.forget_rehearsals(first_reply_ns)

    assert model.log()[2].tolist() == left


def test_a_full_log_serves_on() -> None:
    """What does not fit is served, and not counted."""
    model = served(1)
    serve(model, 2, 5)
    assert model.num_served == 2
