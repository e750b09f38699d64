"""What is known of an actor that may be another process: stamps and findings in shared memory."""

from slotbench.measure.columns import Column, first
from slotbench.measure.shared import SharedFlag, SharedText, num_filled, reserve


class SharedLog:
    """The log of one actor; see `slotbench.measure.crew.ActorLog`.

    Args:
        index: from 0.
        max_requests: room for stamps.

    Threads: made by the trial's main thread before it forks; written by the actor, wherever it
    is, read by the main thread.

    Attributes:
        submitted_ns: filled in order: when each request was submitted,
        replied_ns: and when its reply was back.
        is_ready: the actor could begin.
        is_over: it asks no more, and has told what it met.
    """

    def __init__(self, index: int, max_requests: int) -> None:
        self.index = index
        self.submitted_ns = reserve(max_requests)
        self.replied_ns = reserve(max_requests)
        self.is_ready = SharedFlag()
        self.is_over = SharedFlag()
        self._error = SharedText()
        self._problem = SharedText()

    def tell_problem(self, problem: str) -> None:
        """Tell what was wrong with the first wrong reply, as soon as it is known."""
        self._problem.say(problem)

    def end(self, error: str = "") -> None:
        """Tell that the actor asks no more; the first error that was told stays.

        Args:
            error: traceback of what was raised; "" if nothing was.
        """
        if error and not self.error:
            self._error.say(error)
        self.is_over.set()

    @property
    def error(self) -> str:
        """Traceback of what the client or the environment raised; "" otherwise."""
        return self._error.read()

    @property
    def problem(self) -> str:
        """What was wrong with its first wrong reply; "" while all were right."""
        return self._problem.read()

    @property
    def num_submitted(self) -> int:
        """Requests handed to the client so far."""
        return num_filled(self.submitted_ns)

    @property
    def num_replied(self) -> int:
        """Replies that came back so far."""
        return num_filled(self.replied_ns)

    def stamps_ns(self) -> tuple[Column, Column]:
        """Return when each replied request was submitted, and when its reply was back."""
        n = self.num_replied
        return first(n, self.submitted_ns), first(n, self.replied_ns)
