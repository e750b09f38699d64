"""Every reply is checked: it must carry the id of the request it answers.

A request has one more leaf than the workload asks for, `REQUEST_ID`: an int64 scalar of
(actor, sequence). The model's wrapper copies it to a leaf of another name, `REPLY_ID`:
under the same name the request's own leaf would satisfy the check whatever the transport
did. Reading a tensor's value drops the GIL, which in an actor thread costs more than
most of the request, so replies are kept and read `RING` at a time.
"""

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
        copies: a reply is lent: its memory may be written to once the actor asks again, so the id
            is copied, which elsewhere would hide that a result changed after it was returned.

    Threads: made by the main thread, then used by its actor alone.

    Attributes:
        ids: `RING` int64 scalars; the request of sequence s carries ``ids[s % RING]``.
        problem: what was wrong with the first wrong reply; "" while all were right.
    """

    def __init__(self, actor: int, *, copies: bool = False) -> None:
        self._expected = [(actor << _ACTOR_SHIFT) | i for i in range(RING)]
        self.ids: tuple[torch.Tensor, ...] = torch.tensor(self._expected).unbind(0)
        self._actor = actor
        self._copies = copies
        self._replies: list[torch.Tensor] = []
        self.problem = ""

    def add(self, reply: TensorDictBase) -> None:
        """Keep the reply's id; compare when `RING` of them are there."""
        reply_id = reply.get(REPLY_ID, None)
        if reply_id is None:
            self.problem = (
                self.problem
                or f"actor {self._actor} got a reply without {REPLY_ID!r}: no output of the model"
            )
            reply_id = _NO_ID
        self._replies.append(reply_id.clone() if self._copies else reply_id)
        if len(self._replies) == RING:
            self.finish()

    def finish(self) -> None:
        """Compare what is left. Each reply must be the answer to its own request."""
        if not self._replies:
            return
        got = torch.stack(self._replies).tolist()
        expected = self._expected[: len(got)]
        if got != expected and not self.problem:
            i = next(
                i
                for i, pair in enumerate(zip(got, expected, strict=True))
                if pair[0] != pair[1]
            )
            self.problem = f"actor {self._actor} asked as {_name(expected[i])} and got the reply to {_name(got[i])}"
        self._replies.clear()


def _name(request_id: int) -> str:
    return f"actor {request_id >> _ACTOR_SHIFT}, sequence {request_id & 0xFFFFFFFF} (mod {RING})"
