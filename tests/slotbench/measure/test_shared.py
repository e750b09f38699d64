"""Memory that a trial's processes share, and the log of an actor in it."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slotbench.measure import shared
from slotbench.measure.shared import SharedFlag, SharedText
from slotbench.measure.shared_log import SharedLog


@given(st.integers(0, 70), st.integers(0, 70))
def test_what_is_filled_is_counted(num_filled: int, more: int) -> None:
    """Any number of items, in a column of any length."""
    column = shared.reserve(num_filled + more)
    for i in range(num_filled):
        column[i] = i + 1
    assert shared.num_filled(column[: num_filled + more]) == num_filled


def test_another_process_fills_a_log_and_this_one_reads_it() -> None:
    """Stamps, and in the end what it met."""
    log = SharedLog(3, 10)
    pid = os.fork()
    if pid == 0:
        log.submitted_ns[0], log.submitted_ns[1] = 5, 9
        log.replied_ns[0] = 7
        log.tell_problem("a wrong reply")
        log.end("ValueError: naïve")
        log.end("too late")
        os._exit(0)
    os.waitpid(pid, 0)

    assert log.is_over.wait(10)
    assert (log.num_submitted, log.num_replied) == (2, 1)
    assert [column.tolist() for column in log.stamps_ns()] == [[5], [7]]
    assert (log.error, log.problem) == ("ValueError: naïve", "a wrong reply")


def test_an_error_may_be_told_of_an_actor_that_is_over() -> None:
    """Of the collector around it, say: it is over, and had none of its own."""
    log = SharedLog(0, 1)
    log.end()
    assert (log.is_over.is_set(), log.error) == (True, "")
    log.end("RuntimeError: of the collector")
    assert log.error == "RuntimeError: of the collector"


def test_a_long_text_keeps_its_end() -> None:
    """Which of a traceback is what was raised."""
    text = SharedText()
    assert text.read() == ""
    text.say("x" * 100_000 + "the end")
    assert text.read().endswith("xthe end")


def test_waiting_for_a_flag_ends_with_the_flag_or_in_time() -> None:
    """At once where it is set."""
    flag = SharedFlag()
    assert flag.wait(0.0) is False
    flag.set()
    assert flag.wait(1e9) is True


@pytest.mark.parametrize("length", [0, 1, 513])
def test_room_is_empty_at_first(length: int) -> None:
    """Also none at all."""
    assert shared.num_filled(shared.reserve(length)) == 0
