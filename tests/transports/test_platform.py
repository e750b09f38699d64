"""What `transports/slot.py` takes for granted of the platform: its docstring's memory model, tried.

Tests that race show what this interpreter does, not what every one must; CPython's "Thread Safety
Guarantees" says what it promises. Each names where slot.py relies on it.
"""

from __future__ import annotations

import itertools
import threading

import pytest

THREADS = 4
ROUNDS = 5_000
WAIT_S = 60.0

pytestmark = pytest.mark.usefixtures("tiny_switch_interval")


def test_append_and_pop_lose_and_double_nothing(together):
    """`list.append`, `list.pop`: `_given_back`, `_tokens`, `_to_wake`."""
    shared = []

    def work(thread):
        got = []
        for n in range(ROUNDS):
            shared.append((thread, n))
            got.append(shared.pop())
        return got

    got = list(itertools.chain.from_iterable(together(THREADS, work)))
    assert shared == []
    assert sorted(got) == [(t, n) for t in range(THREADS) for n in range(ROUNDS)]


def test_one_of_all_that_pop_gets_the_last_item(together):
    """`list.pop` of an empty list is an IndexError: `_ring_once`, `_take_slot`, `_pass_on`."""
    lists = [[None] for _ in range(ROUNDS)]

    def work(thread):
        won = 0
        for items in lists:
            try:
                items.pop()
            except IndexError:
                continue
            won += 1
        return won

    assert sum(together(THREADS, work)) == ROUNDS


def test_one_of_all_that_set_a_default_gets_its_own(together):
    """`dict.setdefault`: `SlotClient._enter`; the others are given the one that was first."""
    users = [{} for _ in range(ROUNDS)]

    def work(thread):
        return [user.setdefault("user", thread) for user in users]

    for found in zip(*together(THREADS, work), strict=True):
        assert len(set(found)) == 1
    assert all(len(user) == 1 for user in users)


def test_a_counter_gives_each_number_once(together):
    """`next` of `itertools.count`: the slots nobody has had, in `_take_slot`."""
    counter = itertools.count()
    got = together(THREADS, lambda thread: [next(counter) for _ in range(ROUNDS)])
    assert sorted(itertools.chain.from_iterable(got)) == [*range(THREADS * ROUNDS)]


def test_items_put_in_front_and_popped_at_the_end_are_lost_nowhere(together):
    """`to_wake[:0] = slots` while others pop: `_wake_all`, `_pass_on`; the oldest goes first."""
    shared, done = [], threading.Event()

    def work(thread):
        if thread == 0:
            for n in range(0, 3 * ROUNDS, 3):
                shared[:0] = [n, n + 1, n + 2][::-1]
            done.set()
            return []
        got = []
        while True:
            was_done = done.is_set()
            try:
                got.append(shared.pop())
            except IndexError:
                if was_done:
                    return got

    got = together(THREADS, work)
    assert all(mine == sorted(mine) for mine in got)
    assert sorted(itertools.chain.from_iterable(got)) == [*range(3 * ROUNDS)]


def test_a_copy_shows_what_was_put_in_before(together):
    """`list.copy`: the look after the chain's end, in `_pass_on`; a slice appears as a whole."""
    shared = []

    def work(thread):
        if thread == 0:
            for _ in range(ROUNDS):
                shared[:0] = [1, 2, 3]
                assert shared.copy()[:3] == [1, 2, 3]
                shared.clear()
            return set()
        return {len(shared.copy()) for _ in range(ROUNDS)}

    assert set().union(*together(THREADS, work)) <= {0, 3}


def test_an_item_of_a_list_is_read_as_it_was_written(together):
    """`lst[i] = x`, `lst[i]`: `_requests`, `_replies`, `_claimed_by`, neighbours' included."""
    shared = [(thread, -1) for thread in range(THREADS)]

    def work(thread):
        seen = [-1] * THREADS
        for n in range(ROUNDS):
            shared[thread] = (thread, n)
            for other in range(THREADS):
                owner, number = shared[other]
                assert owner == other
                assert number >= seen[other]  # none is seen again after a later one
                seen[other] = number
            assert shared[thread] == (thread, n)

    together(THREADS, work)


def test_neighbouring_bytes_are_each_their_writers(together):
    """`states[slot] = x`: each actor writes its own byte of `_states` and `_is_parked`."""
    shared = bytearray(THREADS)

    def work(thread):
        for n in range(ROUNDS):
            shared[thread] = n % 256
            sum(range(20))  # time for the others to write theirs
            assert shared[thread] == n % 256

    together(THREADS, work)


def test_a_bytearray_is_looked_through_without_missing_or_inventing_a_byte(together):
    """`in`, `count`, `translate`: `_is_due`, `claim`, `_due_in`, while others write theirs."""
    shared = bytearray(
        [1, *([0] * (THREADS - 1))]
    )  # the first is always 1, the others 0 or 2
    is_one = bytes(value == 1 for value in range(256))

    def work(thread):
        for n in range(ROUNDS):
            if thread == 0:
                assert 1 in shared
                assert 3 not in shared
                assert shared.count(1) == 1
                assert list(shared.translate(is_one)) == [1, *([0] * (THREADS - 1))]
            else:
                shared[thread] = 2 * (n % 2)

    together(THREADS, work)


def test_what_was_written_before_a_byte_is_seen_by_who_reads_it(together):
    """Order (a): a request, or a reply, before the state: `_publish`, `claim`, `_hand_out`."""
    state, message = bytearray(1), [-1]

    def work(thread):
        for n in range(ROUNDS // 5):
            while state[0] != thread:
                pass
            assert message[0] == 2 * n + thread - 1
            message[0] = 2 * n + thread
            state[0] = 1 - thread

    together(2, work)


def meet(together, write, look):
    """Let two threads write and then look, in lockstep; return the rounds both saw nothing in."""
    barrier = threading.Barrier(2)

    def work(thread):
        saw = []
        for n in range(ROUNDS // 5):
            barrier.wait(WAIT_S)
            write(n, thread)
            saw.append(look(n, thread))
        return saw

    pairs = zip(*together(2, work), strict=True)
    return [n for n, (first, second) in enumerate(pairs) if not first and not second]


def test_of_two_that_write_a_byte_and_look_one_sees_the_other(together):
    """Order (b) within `_states`: two actors that publish, each counting what is due."""
    rounds = [bytearray(2) for _ in range(ROUNDS // 5)]

    def write(n, thread):
        rounds[n][thread] = 1

    assert meet(together, write, lambda n, thread: rounds[n][1 - thread]) == []


def test_of_a_publisher_and_a_sleeper_one_sees_the_other(together):
    """Order (b): `_publish` writes the state and looks for the token, `_sleep` the reverse."""
    states = [bytearray(1) for _ in range(ROUNDS // 5)]
    tokens = [[] for _ in range(ROUNDS // 5)]

    def write(n, thread):
        if thread:
            states[n][0] = 1
        else:
            tokens[n].append(None)

    def look(n, thread):
        return bool(tokens[n]) if thread else 1 in states[n]

    assert meet(together, write, look) == []


def test_of_who_adds_to_the_chain_and_who_ends_it_one_sees_the_other(together):
    """Order (b): `_wake_all` adds, then reads the flag; `_pass_on` clears it, then copies."""
    to_wake = [[] for _ in range(ROUNDS // 5)]
    is_waking = [True] * (ROUNDS // 5)

    def write(n, thread):
        if thread:
            to_wake[n][:0] = [1]
        else:
            is_waking[n] = False

    def look(n, thread):
        return not is_waking[n] if thread else to_wake[n].copy()

    assert meet(together, write, look) == []


def test_an_open_lock_is_not_released_twice():
    """`release` of an open lock is a RuntimeError, and does it no harm: `_pass_on`, `_ring`."""
    gate = threading.Lock()
    gate.acquire()
    gate.release()
    for _ in range(2):
        with pytest.raises(RuntimeError):
            gate.release()
    assert gate.acquire(timeout=0.0)
    assert not gate.acquire(timeout=0.0)


def test_a_lock_is_one_threads_to_acquire_and_any_ones_to_release(together):
    """A release is one acquire's, waiting or to come, with a timeout: the gates, the doorbell."""
    gates = [threading.Lock(), threading.Lock()]
    for gate in gates:
        gate.acquire()

    def work(thread):
        for _ in range(ROUNDS // 5):
            if thread == 0:
                gates[1].release()
            assert gates[thread].acquire(timeout=WAIT_S)
            if thread == 1:
                gates[0].release()

    together(2, work)
    assert all(gate.locked() for gate in gates)


def test_of_all_that_release_a_lock_at_once_one_does(together):
    """The others are told: two runners of a chain at one gate, two rings of the doorbell."""
    gate, barrier = threading.Lock(), threading.Barrier(THREADS)
    gate.acquire()

    def work(thread):
        released = []
        for _ in range(ROUNDS // 25):
            barrier.wait(WAIT_S)
            try:
                gate.release()
            except RuntimeError:
                released.append(False)
            else:
                released.append(True)
            barrier.wait(WAIT_S)
            if thread == 0:
                assert gate.acquire(timeout=0.0)
        return released

    for at_once in zip(*together(THREADS, work), strict=True):
        assert sum(at_once) == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_has_ended_is_known_by_its_object():
    """`current_thread`, `is_alive`: `Service.note`, `why_unserved`; also after an exception."""
    seen = []

    def body():
        seen.extend(threading.current_thread() for _ in range(2))
        seen.append(seen[0].is_alive())
        raise SystemExit

    thread = threading.Thread(target=body)
    assert not thread.is_alive()
    thread.start()
    thread.join(WAIT_S)
    assert seen == [thread, thread, True]
    assert not thread.is_alive()


def test_a_thread_is_alive_until_all_it_did_is_done(together):
    """Who finds a server dead finds what it wrote: the state it left, in `_withdraw`."""
    states = bytearray(1)
    for n in range(ROUNDS // 25):

        def body(value=1 + n % 255):
            states[0] = value

        thread = threading.Thread(target=body)
        thread.start()
        while thread.is_alive():
            pass
        assert states[0] == 1 + n % 255
        thread.join(WAIT_S)
