"""What a stretch of work uses up, counted against threads that do a known thing."""

import os
import resource
import threading

import pytest

from slotbench.measure import timing


def test_every_hand_over_happens() -> None:
    """Both sides are called in turn: once before counting begins, then as often as asked."""
    log: list[str] = []
    there, back = threading.Semaphore(0), threading.Semaphore(0)

    def give_there() -> None:
        log.append("give there")
        there.release()

    def take_there() -> None:
        there.acquire()
        log.append("take there")

    def give_back() -> None:
        log.append("give back")
        back.release()

    def take_back() -> None:
        back.acquire()
        log.append("take back")

    timing.there_and_back(give_there, take_there, give_back, take_back, 50)

    assert log == ["give there", "take there", "give back", "take back"] * 51


def test_a_hand_over_on_one_cpu_switches_twice_a_round_trip() -> None:
    """Each of the two threads must sleep for the other to run: at least one switch a side.

    A thread that is made to leave its CPU just there need not go to sleep; it is counted, too.
    """
    with timing.on_one_cpu():
        used = timing.lock_there_and_back(300)

    assert used.voluntary + used.involuntary >= 2 * 300


def test_what_is_used_up_is_what_the_kernel_counts() -> None:
    """Switches and CPU time lie between two readings of the kernel's own, one inside the other."""
    inside: list[tuple[int, float]] = []

    def read() -> tuple[int, float]:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_nvcsw, usage.ru_utime + usage.ru_stime

    def work() -> None:
        inside.append(read())
        timing.lock_there_and_back(200)
        inside.append(read())

    before = read()
    used = timing.used(work)
    after = read()

    (first, last) = inside
    assert last[0] - first[0] <= used.voluntary <= after[0] - before[0]
    # getrusage's two halves are rounded; a millisecond is far more than that.
    assert last[1] - first[1] - 1e-3 <= used.cpu_s <= after[1] - before[1] + 1e-3
    assert used.wall_s > 0


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux only")
def test_one_cpu_is_given_back() -> None:
    """Inside there is one; afterwards as many as before, also after an error."""
    before = os.sched_getaffinity(0)
    with timing.on_one_cpu():
        assert len(os.sched_getaffinity(0)) == 1
    assert os.sched_getaffinity(0) == before

    def fail() -> None:
        with timing.on_one_cpu():
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert os.sched_getaffinity(0) == before


def test_the_least_pass_counts() -> None:
    """However short the time, the wanted number of passes is made, and the least is given."""
    passes = iter([5.0, 3.0, 4.0, *[9.0] * 100_000])

    assert timing.least_s(lambda: next(passes), for_s=0.0, min_passes=3) == 3.0
