"""What the checks make of transports that answer with outputs alone."""

import pytest
import torch
from tensordict import TensorDict

from slotbench import contenders
from slotbench.measure import checking
from slotbench.measure.whole_replies import WholeReplies, with_all_outputs


class Outputs:
    """A transport whose clients answer with twice the observation, and nothing else."""

    def client(self) -> "Outputs":
        return self

    def __call__(self, td: TensorDict) -> TensorDict:
        return TensorDict({"action": td["obs"] * 2})

    def submit(self, td: TensorDict) -> "Outputs":
        self.td = td
        return self

    def result(self, timeout: float | None = None) -> TensorDict:
        assert timeout == 3.0
        return self(self.td)

    def done(self) -> bool:
        return True


def test_outputs_are_laid_over_what_was_asked() -> None:
    """Of a call and of a submitted request; what was asked does not change."""
    client = WholeReplies(Outputs(), None, torch.stack).client()
    asked = TensorDict({"obs": torch.tensor(2.0), "action": torch.tensor(0.0)})
    called, reply = client(asked), client.submit(asked)  # type: ignore[attr-defined]

    assert reply.done()
    for got in (called, reply.result(timeout=3.0)):
        assert {key: value.item() for key, value in got.items()} == {"obs": 2, "action": 4}
    assert asked["action"] == 0


def test_outputs_that_a_model_does_not_make_are_zeros() -> None:
    """So that memory made for them can be filled; those that it makes are its own."""
    reply = TensorDict({"action": torch.ones(2), "echo": torch.ones(2, dtype=torch.int64)})
    model = with_all_outputs(lambda batch: batch.set("action", batch["obs"]), reply)
    got = model(TensorDict({"obs": torch.ones(3, 2)}, [3]))

    assert got["action"].tolist() == [[1, 1]] * 3
    assert got["echo"].tolist() == [[0, 0]] * 3
    assert got["echo"].dtype == torch.int64


def test_a_check_of_other_leaves_does_not_apply_to_fixed_ones() -> None:
    """It says so instead of failing for what nobody promised."""
    found = checking.run_check(contenders.parse("torchrl.process_slot"), "nothing-is-cast")
    assert (found.outcome, found.guarantee) == ("n/a", 4)


@pytest.mark.parametrize("name", ["torchrl.process_slot", "torchrl.shared_memory"])
def test_a_transport_between_processes_keeps_a_promise(name: str) -> None:
    """Its results do not change after they were returned: clients get copies."""
    pytest.importorskip("torchrl")
    found = checking.run_check(contenders.parse(name), "result-survives-a-weight-update")
    assert (found.outcome, found.reason) == ("pass", "")
