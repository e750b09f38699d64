/* Who wakes whom in transports/slot.py, for spin: submit, sleep and ring, claim, answer, chain,
 * time-outs, a slot's next owner, shutdown. Whose a slot is when servers die: ownership.pml.
 *
 * One statement here is one operation that CPython performs as a whole, and names are those of
 * the code. Searched exhaustively for N actors of K requests each: nobody sleeps for ever (an
 * invalid end state), a reply belongs to its request, shutdown ends. Without the timeouts of the
 * server and the looks of actors: each would hide a lost wake-up. Only PATIENCE waits of the first
 * actor end by themselves, as looks and timeouts of `result` do, or are left out; so a reply
 * may be read before its gate is released, which leaves the gate open for the next request.
 *
 * -DWITHOUT_... leaves out what stands beside its name; each must be found wanting.
 *
 *     RING                 _ring_once: `self._ring()`
 *     LOOK_BEFORE_SLEEP    _sleep: `not self._is_due()` after the token was put down
 *     LOOK_FOR_WAKE        _sleep: `not self._was_woken`, there and in wait_for_batch's loop
 *     ORDER                _publish: `self._states[slot] = _READY` before `self._tokens` is read
 *     PASS_ON              _receive: `self._pass_on()` of an actor that was not released
 *     STATE                _receive: `if states[slot] == _FREE` (the gate is believed instead)
 *     LOOK_AFTER_CHAIN     _pass_on: `if to_wake.copy()`
 *     RING_AFTER_CHAIN     _pass_on: `if self._tokens and self._is_due()`
 *     NEXT_AT_OPEN_GATE    _pass_on: `continue` after the RuntimeError of an open gate
 *     NEXT_IF_NOT_PARKED   _pass_on: `if is_parked[slot]` (the chain stops at whom it released)
 *     LAST_RELEASE         _answer: `self._gates[callback].release()`
 */

#ifndef N
#define N 2
#endif
#ifndef K
#define K 2
#endif
#ifndef K_OF_OTHERS
#define K_OF_OTHERS K
#endif
#ifndef MAX_ITEMS
#define MAX_ITEMS 2
#endif
#ifndef PATIENCE
#define PATIENCE 1
#endif

#define FREE 0
#define READY 1
#define CLAIMED 2

#define REJECTED 255

byte states[N];
byte requests[N];
byte replies[N];
bool is_open[N];   /* a gate, a raw lock that is not held */
bool is_parked[N];
chan to_wake = [2 * N] of { byte };
bool is_waking;
byte tokens;
bool is_rung;      /* the doorbell */
bool takes_turns = true;
byte min_items_in_chain = N;
byte patience = PATIENCE;
bool is_stopping;
bool was_woken;
bool is_over;      /* the server's thread has ended */

/* The three reads are three steps: waking and turns may change before the states are counted. */
inline is_due(due) {
    wanted = 1;
    if
    :: is_waking ->
        if
        :: atomic { takes_turns -> wanted = min_items_in_chain }
        :: !takes_turns
        fi
    :: !is_waking
    fi;
    d_step {
        due = 0;
        for (k : 0 .. N - 1) {
            if
            :: states[k] == READY -> due++
            :: else
            fi
        }
        k = 0;
        due = (due >= wanted -> 1 : 0);
        wanted = 0
    }
}

inline ring_once() {
    if
    :: atomic { tokens > 0 -> tokens-- };
#ifndef WITHOUT_RING
       is_rung = true
#else
       skip
#endif
    :: else
    fi
}

/* `if self._tokens and self._is_due(): self._ring_once()` */
inline ring_if_due() {
    if
    :: tokens > 0 ->
        is_due(due);
        if
        :: atomic { due -> due = 0 }; ring_once()
        :: !due
        fi
    :: tokens == 0
    fi
}

inline pass_on() {
    do
    :: to_wake ? woken ->
        if
        :: atomic { !is_open[woken] -> is_open[woken] = true };
#ifndef WITHOUT_NEXT_IF_NOT_PARKED
            if
            :: is_parked[woken] -> break
            :: else
            fi
#else
            break
#endif
        :: is_open[woken]
#ifdef WITHOUT_NEXT_AT_OPEN_GATE
            -> break
#endif
        fi
    :: empty(to_wake) ->
        is_waking = false;
#ifndef WITHOUT_LOOK_AFTER_CHAIN
        if
        :: nempty(to_wake) -> is_waking = true
        :: empty(to_wake) ->
#endif
#ifndef WITHOUT_RING_AFTER_CHAIN
            ring_if_due();
#endif
            break
#ifndef WITHOUT_LOOK_AFTER_CHAIN
        fi
#endif
    od;
    woken = 0
}

proctype actor(byte me) {
    byte sequence, k, wanted, due, woken;
    bool is_released;
    do
    :: sequence == (me == 0 -> K : K_OF_OTHERS) -> break
    :: else ->
        atomic {
            sequence++;
            assert(states[me] == FREE);
            requests[me] = sequence
        }
#ifdef WITHOUT_ORDER
        bool is_asleep = tokens > 0;
        states[me] = READY;
        if
        :: is_asleep -> is_due(due);
            if
            :: due -> ring_once()
            :: else
            fi
        :: else
        fi;
#else
        states[me] = READY;
        ring_if_due();
#endif
        if
        :: skip
        :: atomic { me == 0 && patience > 0 -> patience-- }; goto left  /* drops its reply */
        :: me == 0 && PATIENCE > 0 && sequence == K -> goto gone
        fi;
        do
        :: is_parked[me] = true;
            if
            :: atomic { is_open[me] -> is_open[me] = false; is_released = true }
            :: atomic { me == 0 && patience > 0 -> patience-- }
            /* The one look that is always there: nobody serves, and nobody will (withdrawn). */
            :: is_over && states[me] == READY -> is_parked[me] = false; goto gone
            fi;
            is_parked[me] = false;
#ifdef WITHOUT_PASS_ON
            if
            :: is_waking && is_released -> pass_on()
            :: else
            fi;
#else
            if
            :: is_waking -> pass_on()
            :: else
            fi;
#endif
#ifdef WITHOUT_STATE
            if
            :: is_released -> is_released = false; break
            :: else
            fi;
#endif
            if
            :: atomic { states[me] == FREE -> is_released = false }; break
            :: atomic { states[me] != FREE && is_released -> is_released = false }
            :: atomic { states[me] != FREE && !is_released };
                is_due(due);
                if
                :: atomic { due -> due = 0 }; is_rung = true
                :: !due
                fi;
                if
                :: skip           /* waits again */
                :: goto left
                fi
            fi
        od;
        assert(replies[me] == sequence || replies[me] == REJECTED);
        goto next;
left:   /* for good, or the slot goes to its next owner, once it is found free */
        if
        :: goto gone
        :: states[me] == FREE
        fi;
next:
        skip
    od;
gone:
    skip
}

/* wait_for_batch, without an end by time */
inline sleep() {
    tokens++;
#ifndef WITHOUT_LOOK_BEFORE_SLEEP
    is_due(due);
#else
    due = 0;
#endif
#ifndef WITHOUT_LOOK_FOR_WAKE
    due = due || was_woken;
#endif
    if
    :: !due ->
end_asleep:
        atomic { is_rung -> is_rung = false };
        tokens = 0
    :: else ->
        if
        :: tokens > 0 -> tokens = 0
        :: tokens == 0 ->
            if
            :: atomic { is_rung -> is_rung = false }
            :: !is_rung
            fi
        fi
    fi
}

proctype server() {
    byte k, wanted, due, woken, num_claimed;
    bool is_mine[N];
    do
    :: true ->
        is_due(due);
        do
        :: atomic { due -> due = 0 }; break
#ifndef WITHOUT_LOOK_FOR_WAKE
        :: !due && was_woken -> break
        :: !due && !was_woken -> sleep(); is_due(due)
#else
        :: !due -> sleep(); is_due(due)
#endif
        od;
        was_woken = false;
        if
        :: is_stopping -> break
        :: !is_stopping
        fi;
        /* claim: what it decides about turns and full batches is anybody's guess */
        if
        :: takes_turns = true
        :: takes_turns = false
        fi;
#if MAX_ITEMS < N
        if
        :: min_items_in_chain = N
        :: min_items_in_chain = MAX_ITEMS
        fi;
#endif
        d_step {
            for (k : 0 .. N - 1) {
                if
                :: states[k] == READY && num_claimed < MAX_ITEMS ->
                    states[k] = CLAIMED;
                    is_mine[k] = true;
                    num_claimed++
                :: else
                fi
            }
            num_claimed = 0;
            k = 0
        }
        /* _answer_all: an actor may look, and read its reply, while others' are handed out */
        do
        :: k == N -> break
        :: else ->
            atomic {
                if
                :: is_mine[k] -> replies[k] = requests[k]; states[k] = FREE
                :: else
                fi;
                k++
            }
        od;
        atomic {
            for (k : 0 .. N - 1) {
                if
                :: is_mine[k] -> to_wake ! k; is_mine[k] = false
                :: else
                fi
            }
            k = 0
        }
        if
        :: !is_waking -> is_waking = true; pass_on()
        :: is_waking
        fi
    od;
    /* _reject_pending: one last claim, rejected one by one */
    skip;
    d_step {
        for (k : 0 .. N - 1) {
            if
            :: states[k] == READY -> states[k] = CLAIMED; is_mine[k] = true
            :: else
            fi
        }
        k = 0
    }
    do
    :: k == N -> break
    :: else ->
        if
        :: is_mine[k] ->
            atomic { replies[k] = REJECTED; states[k] = FREE };
#ifndef WITHOUT_LAST_RELEASE
            is_open[k] = true  /* of an open gate it is no error, either */
#endif
        :: !is_mine[k]
        fi;
        k++
    od;
    is_over = true
}

/* shutdown, by a thread that then joins the server's */
proctype stop() {
    is_stopping = true;
    was_woken = true;
    is_rung = true;
    is_over
}

init {
    atomic {
        byte i;
        for (i : 0 .. N - 1) {
            run actor(i)
        }
        run server();
#ifdef SHUTDOWN
        run stop()
#endif
    }
}
