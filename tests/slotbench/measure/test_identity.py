"""The id check sees every reply that is not the answer to its request."""

import pytest
import torch
from tensordict import TensorDict

from slotbench.measure.identity import REPLY_ID, RING, IdentityCheck


def replies(ids: list[torch.Tensor]) -> list[TensorDict]:
    return [TensorDict({REPLY_ID: i}, batch_size=[]) for i in ids]


def feed(check: IdentityCheck, ids: list[torch.Tensor]) -> str:
    for reply in replies(ids):
        check.add(reply)
    check.finish()
    return check.problem


@pytest.mark.parametrize("count", [0, 1, RING - 1, RING, RING + 1, 3 * RING + 5])
def test_right_replies_pass(count: int) -> None:
    """Any number of replies in order leaves no problem."""
    check = IdentityCheck(3)

    assert feed(check, [check.ids[i % RING] for i in range(count)]) == ""


@pytest.mark.parametrize("at", [0, 1, RING - 1, RING, RING + 7])
def test_another_actors_reply_is_named(at: int) -> None:
    """The problem says who asked and whose reply came, wherever it happens."""
    check, other = IdentityCheck(3), IdentityCheck(5)
    ids = [check.ids[i % RING] for i in range(2 * RING)]
    ids[at] = other.ids[at % RING]

    assert feed(check, ids) == (
        f"actor 3 asked as actor 3, sequence {at % RING} (mod {RING}) "
        f"and got the reply to actor 5, sequence {at % RING} (mod {RING})"
    )


@pytest.mark.parametrize("change", ["late", "early", "twice"])
def test_own_reply_at_the_wrong_time_is_seen(change: str) -> None:
    """A reply of the same actor, but to another of its requests, does not pass."""
    check = IdentityCheck(0)
    ids = [check.ids[i] for i in range(10)]
    ids[5] = {"late": check.ids[4], "early": check.ids[6], "twice": ids[4]}[change]

    assert "sequence 5" in feed(check, ids)


def test_replies_that_share_memory_which_the_next_one_overwrites_are_seen() -> None:
    """Right when they came: kept, as the check keeps them, they all say the last one's id."""
    check, buffer = IdentityCheck(0), torch.zeros(1, dtype=torch.int64)
    for i in range(3):
        buffer.fill_(check.ids[i].item())
        check.add(TensorDict({REPLY_ID: buffer[0]}, batch_size=[]))
    check.finish()

    assert "sequence 0" in check.problem
    assert "sequence 2" in check.problem


def test_a_reply_without_the_models_output_is_seen() -> None:
    """A reply that only echoes the request has no reply id."""
    check = IdentityCheck(0)
    check.add(TensorDict({"request_id": check.ids[0]}, batch_size=[]))
    check.finish()

    assert check.problem == "actor 0 got a reply without 'reply_id': no output of the model"


def test_ids_of_all_actors_differ() -> None:
    """No two requests that are under way can carry the same id."""
    ids = [int(i) for actor in range(20) for i in IdentityCheck(actor).ids]

    assert len(set(ids)) == 20 * RING


def test_the_first_problem_is_told_at_once() -> None:
    """When it is found, not at the end: whoever is asked by then may be gone."""
    told: list[str] = []
    check = IdentityCheck(0, on_problem=told.append)
    for i in range(RING):
        check.add(TensorDict({REPLY_ID: check.ids[0 if i == 7 else i]}, batch_size=[]))
    assert told == [check.problem]
    assert "sequence 7" in check.problem
    check.add(TensorDict({}, batch_size=[]))
    check.finish()
    assert told == [check.problem]


def test_what_is_not_yet_compared_can_be_asked_for() -> None:
    """Of an actor that thinks while the trial ends; nothing is taken from it."""
    check = IdentityCheck(0)
    for i in range(RING + 3):
        check.add(TensorDict({REPLY_ID: check.ids[i % RING]}, batch_size=[]))
    assert check.rest_problem() == ""
    check.add(TensorDict({REPLY_ID: check.ids[5]}, batch_size=[]))

    assert check.problem == ""
    for _ in range(2):
        assert "sequence 3" in check.rest_problem()
    check.finish()
    assert "sequence 3" in check.problem
