"""Errors that a user can cause or meet, and the exit codes they end in.

Library code raises these and never prints or exits; `slotbench.cli` is the one
place that turns them into a line on stderr and an exit code. Imports nothing.
"""

from typing import Final

EXIT_OK: Final = 0
EXIT_CHECK_FAILED: Final = 1
EXIT_GATE_FAILED: Final = 1
"""As `EXIT_CHECK_FAILED`: what was asked was answered, and the answer is no."""
EXIT_USAGE: Final = 2
EXIT_INVALID: Final = 3
EXIT_TRIAL_FAILED: Final = 4
EXIT_INTERRUPTED: Final = 130


class SlotbenchError(Exception):
    """Something the user can act on: one line with what happened, where, what to do.

    Args:
        message: one line, without a traceback's help.
    """

    exit_code: int = EXIT_USAGE

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class ScenarioError(SlotbenchError):
    """A scenario, or a change made to it on the command line, cannot be run."""


class ContenderError(SlotbenchError):
    """A contender is misspelt, not installed, or fails to import or construct."""


class RecordError(SlotbenchError):
    """A results folder cannot be read or written."""


class WorkerError(SlotbenchError):
    """The process that runs trials died or never came up."""

    exit_code = EXIT_TRIAL_FAILED


class ClusterError(SlotbenchError):
    """There is no cluster to measure on, or none of its nodes can."""


class NodeLostError(SlotbenchError):
    """A node of a cluster, or the process that stood for it there, is gone."""

    exit_code = EXIT_TRIAL_FAILED
