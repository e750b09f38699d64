/* The protocol of transports/slot.py, for spin: submit, sleep and ring, claim, answer, chain.
 *
 * One statement here is one operation that CPython performs as a whole, and names are those of
 * the code. Searched exhaustively for N actors of K requests each: nobody sleeps for ever (an
 * invalid end state), no gate is released twice, a reply belongs to its request. Without
 * timeouts of the server: each would hide a lost wake-up. An actor may run out of patience once,
 * or for good.
 *
 * -DWITHOUT_x leaves out one line of the code; each must be found wanting.
 */

#ifndef N
#define N 3
#endif
#ifndef K
#define K 2
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

inline release(slot) {
    atomic {
        assert(!is_open[slot]);
        is_open[slot] = true
    }
}

inline pass_on() {
    do
    :: to_wake ? woken ->
        release(woken);
        if
        :: is_parked[woken] -> break
        :: else
        fi
    :: len(to_wake) == 0 ->
        is_waking = false;
#ifndef WITHOUT_LOOK_AFTER_CHAIN
        if
        :: len(to_wake) > 0 -> is_waking = true
        :: else -> ring_if_due(); break
        fi
#else
        ring_if_due();
        break
#endif
    od;
    woken = 0
}

proctype actor(byte me) {
    byte sequence, k, wanted, due, woken, patience;
    bool has_reply;
    do
    :: sequence == K -> break
    :: else ->
        atomic {
            sequence++;
            assert(states[me] == FREE && !is_open[me]);
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
        patience = PATIENCE;
        has_reply = false;
        do
        :: has_reply -> break
        :: else ->
            is_parked[me] = true;
            if
            :: atomic { is_open[me] -> is_open[me] = false }; has_reply = true
            :: patience > 0 -> patience--
            fi;
            is_parked[me] = false;
#ifndef WITHOUT_PASS_ON
            if
            :: is_waking -> pass_on()
            :: else
            fi;
#else
            if
            :: is_waking && has_reply -> pass_on()
            :: else
            fi;
#endif
            if
            :: has_reply
            :: else ->
                if
                :: atomic { is_open[me] -> is_open[me] = false }; has_reply = true
                :: !is_open[me]
                :: goto gave_up
                fi
            fi
        od;
        assert(replies[me] == sequence)
    od;
gave_up:
    skip
}

inline sleep() {
    tokens++;
#ifndef WITHOUT_LOOK_BEFORE_SLEEP
    is_due(due);
#else
    due = 0;
#endif
    if
    :: !due ->
end_asleep:
        atomic { is_rung -> is_rung = false };
        tokens = 0
    :: else ->
        if
        :: tokens > 0 -> tokens = 0
        :: else ->
            if
            :: atomic { is_rung -> is_rung = false }
            :: !is_rung
            fi
        fi
    fi
}

proctype server() {
    byte k, wanted, due, woken, claimed, slot;
    bool is_mine[N];
end:
    do
    :: true ->
        /* wait_for_batch */
        is_due(due);
        do
        :: atomic { due -> due = 0 }; break
        :: !due -> sleep(); is_due(due)
        od;
        /* claim: what it decides about turns and full batches is anybody's guess */
        if
        :: takes_turns = true
        :: takes_turns = false
        fi;
        if
        :: min_items_in_chain = N
        :: min_items_in_chain = MAX_ITEMS
        fi;
        d_step {
            slot = 0;
            do
            :: slot == N || claimed == MAX_ITEMS -> break
            :: else ->
                if
                :: states[slot] == READY -> states[slot] = CLAIMED; claimed++
                :: else
                fi;
                slot++
            od;
            claimed = 0;
            slot = 0
        }
        /* the model, and resolve_batch: nobody else looks at a claimed slot */
        d_step {
            for (k : 0 .. N - 1) {
                if
                :: states[k] == CLAIMED -> replies[k] = requests[k]; is_mine[k] = true; states[k] = FREE
                :: else
                fi
            }
            k = 0
        }
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
        :: else
        fi
    od
}

init {
    atomic {
        byte i;
        for (i : 0 .. N - 1) {
            run actor(i)
        }
        run server()
    }
}
