"""Every reply is checked: it must carry the id of the request it answers.

A request has one more leaf than the workload asks for, `REQUEST_ID`: an int64 scalar of
(actor, sequence). The model's wrapper copies it to a leaf of another name, `REPLY_ID`:
under the same name the request's own leaf would satisfy the check whatever the transport
did. Reading a tensor's value drops the GIL, which in an actor thread costs more than
most of the request, so replies are kept and read `RING` at a time.
"""

from collections.abc import Callable
from typing import Final

import torch
from tensordict import TensorDictBase

REQUEST_ID: Final = "request_id"
REPLY_ID: Final = "reply_id"

RING: Final = 32
"""Ids per actor, used round and round. A stale reply would have to be late by a multiple
of 32 requests to pass; every one that is late by one, which is what a doubled or dropped
reply makes of all that follow, is caught."""

_ACTOR_SHIFT: Final = 32
_NO_ID: Final = torch.tensor(-1)


class IdentityCheck:
    """One actor's ids and the replies not yet compared with them.

    Args:
        actor: its index.
        on_problem: told the first problem, at once.
        copies: a reply is lent: its memory may be written to once the actor asks again, so the id
            is copied, which elsewhere would hide that a result changed after it was returned.

    Threads: made by the main thread, then used by its actor alone.

    Attributes:
        ids: `RING` int64 scalars; the request of sequence s carries ``ids[s % RING]``.
        problem: what was wrong with the first wrong reply; "" while all were right.
    """

    def __init__(
        self,
        actor: int,
        *,
        on_problem: Callable[[str], None] = lambda _: None,
        copies: bool = False,
    ) -> None:
        self._expected = [(actor << _ACTOR_SHIFT) | i for i in range(RING)]
        self.ids: tuple[torch.Tensor, ...] = torch.tensor(self._expected).unbind(0)
        self._actor = actor
        self._copies = copies
        self._on_problem = on_problem
        self._num_compared = 0
        self._replies: list[torch.Tensor] = []
        self.problem = ""

    def add(self, reply: TensorDictBase) -> None:
        """Keep the reply's id; compare when `RING` of them are there."""
        reply_id = reply.get(REPLY_ID, None)
        if reply_id is None:
            self._found(
                f"actor {self._actor} got a reply without {REPLY_ID!r}: no output of the model"
            )
            reply_id = _NO_ID
        self._replies.append(reply_id.clone() if self._copies else reply_id)
        if len(self._replies) == RING:
            self.finish()

    def finish(self) -> None:
        """Compare what is left. Each reply must be the answer to its own request."""
        problem = self.rest_problem()
        self._num_compared += len(self._replies)
        self._replies.clear()
        if problem:
            self._found(problem)

    def rest_problem(self) -> str:
        """Say what is wrong with the replies not yet compared; "" if nothing is.

        Also for the main thread, while the actor thinks and so adds none.
        """
        replies = list(self._replies)
        if not replies:
            return ""
        got = torch.stack(replies).tolist()
        start = self._num_compared
        expected = [self._expected[(start + i) % RING] for i in range(len(got))]
        wrong = [pair for pair in zip(expected, got, strict=True) if pair[0] != pair[1]]
        if not wrong:
            return ""
        asked, answered = wrong[0]
        return f"actor {self._actor} asked as {_name(asked)} and got the reply to {_name(answered)}"

    def _found(self, problem: str) -> None:
        if not self.problem:
            self.problem = problem
            self._on_problem(problem)


def _name(request_id: int) -> str:
    return f"actor {request_id >> _ACTOR_SHIFT}, sequence {request_id & 0xFFFFFFFF} (mod {RING})"
