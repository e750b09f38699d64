/* Whose a request and a slot are, when servers die and come, and clients close and follow each
 * other: withdrawal, restart, shutdown, close, the next owner. Who wakes whom: slot.pml.
 *
 * Names are those of transports/slot.py, _serving.py and _slot_client.py; one statement is one
 * operation that CPython performs as a whole. Nothing is assumed of gates, chain and doorbell: a
 * wait may end at any time, SPURIOUS times in all for nothing, with or without the gate. It is
 * sure to end only where a look finds something to do: an interrupted chain is worth no more.
 * A server ends between any two of its steps, or is shut down, and then the next may come.
 *
 * Searched exhaustively for ACTORS threads, each CLIENTS clients in a row of K requests, on SLOTS
 * slots, and LIVES servers one after the other, of which none need come. Found nowhere:
 *   - a reply to another request, also an earlier owner's of the slot;
 *   - a request answered twice, or both answered and withdrawn;
 *   - a slot with two owners, or that two find given back;
 *   - an actor that waits for ever, or a lock that is kept (an invalid end state);
 *   - a slot that nobody owns and nobody gets.
 *
 * -DWITHOUT_... leaves out what stands beside its name; each must be found wanting.
 *
 *     REQUEST_FIRST     _publish: `self._requests[slot] = request` before the state
 *     REPLY_FIRST       _hand_out: `self._replies[slot] = reply` before the state
 *     CLAIMANT_FIRST    claim: `claimed_by[slot] = server` before the state
 *     STATE             _receive: `if states[slot] == _FREE` (the gate is believed instead)
 *     LOOK              _receive: `self._withdraw(...)`, all looks at whether the server lives
 *     WITHDRAW_LOCK     _receive: `with self._service.lock` around _withdraw
 *     CLIENT_LOCK       _take_slot: `with self._service.lock`
 *     NOTE              claim, wait_for_batch: `self._service.note()`
 *     NOTE_LOCK         Service.note: `with self.lock`
 *     CLAIMANT          _withdraw: `self._claimed_by[slot]` (the noted server is asked instead)
 *     CLAIMANT_LIVES    why_unserved: `if thread.is_alive()`, of a claimed request
 *     SERVER_LIVES      why_unserved: `if thread.is_alive()`, of a ready request
 *     LOOK_AFTER_DEATH  _withdraw: the second look at the state, once the server is known dead
 *     IS_FREE           _take_slot: `if self._states[slot] == _FREE` of an abandoned slot
 *     IS_FREE_TO_GIVE   _give_back: `if self._states[slot] == _FREE`
 *     ABANDONED         _take_slot: `self._withdraw(slot, ...)` of what a dead server left
 */

#ifndef ACTORS
#define ACTORS 2
#endif
#ifndef SLOTS
#define SLOTS 1
#endif
#ifndef CLIENTS
#define CLIENTS 1
#endif
#ifndef K
#define K 2
#endif
#ifndef LIVES
#define LIVES 2
#endif
#ifndef SPURIOUS
#define SPURIOUS 1
#endif

#define FREE 0
#define READY 1
#define CLAIMED 2

#define NOBODY 255
#define NO_SLOT 255

/* What a request came to. */
#define OPEN 0
#define ANSWERED 1
#define WITHDRAWN 2

byte states[SLOTS];
byte requests[SLOTS];      /* 0 for none, else the request's number, of all from 1 */
byte replies[SLOTS];       /* the number of the request it answers; errors are replies */
byte claimed_by[SLOTS];    /* 0 for none, else the life of the server */

byte thread;               /* the noted server: 0 for none, else its life */
bool is_alive[LIVES + 1];
bool lock;                 /* Service.lock */

byte next_slot;
bool is_given_back[SLOTS];
bool is_abandoned[SLOTS];

byte spurious = SPURIOUS;

/* Only to be asserted upon. */
byte in_flight[SLOTS];     /* the last request published in the slot */
byte fates[ACTORS * CLIENTS * K + 1];
byte owners[SLOTS];        /* 0 for none, else an actor's number from 1 */
byte num_gone;
bool is_over;              /* no server is left, and none will come */

inline acquire_lock() {
    atomic { !lock -> lock = true }
}

/* ---- the actor's side */

/* Who took the request: 0 for none. */
#ifndef WITHOUT_CLAIMANT
#define claimant(slot, state) (state == CLAIMED -> claimed_by[slot] : 0)
#else
#define claimant(slot, state) 0
#endif

/* Whether a look would find that nobody will answer. */
#define is_unserved(slot, may_wait) \
    (claimant(slot, states[slot]) != 0 -> !is_alive[claimant(slot, states[slot])] : \
        (thread == 0 -> !may_wait : !is_alive[thread]))

/* _withdraw; why_unserved is its middle. Leaves its result in `is_withdrawn`. */
inline withdraw(slot, may_wait) {
    is_withdrawn = false;
    state = states[slot];
    if
    :: state == FREE
    :: state != FREE ->
        who = claimant(slot, state);
        if
        :: who == 0 -> who = thread
        :: who != 0
        fi;
        if
        :: who == 0 -> is_withdrawn = !may_wait
#ifdef WITHOUT_CLAIMANT_LIVES
        :: who != 0 && state == CLAIMED -> is_withdrawn = true
#endif
#ifdef WITHOUT_SERVER_LIVES
        :: who != 0 && state == READY -> is_withdrawn = true
#endif
        :: who != 0 -> is_withdrawn = !is_alive[who]
        fi;
#ifndef WITHOUT_LOOK_AFTER_DEATH
        if
        :: is_withdrawn && states[slot] == FREE -> is_withdrawn = false
        :: else
        fi;
#endif
        if
        :: is_withdrawn ->
            requests[slot] = 0;
            replies[slot] = in_flight[slot];         /* the error */
            atomic {
                assert(fates[in_flight[slot]] == OPEN);
                fates[in_flight[slot]] = WITHDRAWN;
                states[slot] = FREE
            }
        :: !is_withdrawn
        fi
    fi;
    state = 0;
    who = 0
}

/* _take_slot, into `slot`. */
inline take_slot() {
    slot = NO_SLOT;
    if
    :: atomic { is_given_back[0] -> is_given_back[0] = false; slot = 0 }
#if SLOTS > 1
    :: atomic { is_given_back[1] -> is_given_back[1] = false; slot = 1 }
#endif
    :: atomic { !is_given_back[0] && !is_given_back[SLOTS - 1] };
        if
        :: atomic { next_slot < SLOTS -> slot = next_slot; next_slot++ }
        :: next_slot == SLOTS ->
#ifndef WITHOUT_CLIENT_LOCK
            acquire_lock();
#endif
            do
            :: k == SLOTS -> break
            :: k < SLOTS && !is_abandoned[k] -> k++
            :: k < SLOTS && is_abandoned[k] ->
#ifndef WITHOUT_ABANDONED
                withdraw(k, false);
#endif
                if
#ifndef WITHOUT_IS_FREE
                :: states[k] != FREE -> k++
                :: states[k] == FREE ->
#else
                :: true ->
#endif
                    is_abandoned[k] = false;
                    replies[k] = 0;
                    slot = k;
                    break
                fi
            od;
            k = 0;
#ifndef WITHOUT_CLIENT_LOCK
            lock = false
#endif
        fi
    fi;
    is_withdrawn = false
}

/* _give_back: the client is closed, or dropped. */
inline give_back() {
    if
#ifndef WITHOUT_IS_FREE_TO_GIVE
    :: states[slot] != FREE -> atomic { owners[slot] = 0; is_abandoned[slot] = true }
    :: states[slot] == FREE ->
#else
    :: true ->
#endif
        replies[slot] = 0;
        atomic {
            assert(!is_given_back[slot] && !is_abandoned[slot]);
            owners[slot] = 0;
            is_given_back[slot] = true
        }
    fi
}

inline publish() {
    atomic {
        assert(states[slot] == FREE);
        mine = (me * CLIENTS + client - 1) * K + sequence;
        in_flight[slot] = mine
    }
#ifndef WITHOUT_REQUEST_FIRST
    requests[slot] = mine;
    states[slot] = READY
#else
    states[slot] = READY;
    requests[slot] = mine
#endif
}

proctype actor(byte me) {
    byte client, sequence, mine, slot, state, who, k;
    bool is_withdrawn, is_open, may_wait;
    do
    :: client == CLIENTS -> break
    :: client < CLIENTS ->
        client++;
        take_slot();
        if
        :: slot == NO_SLOT -> goto next_client       /* NoSlotLeftError */
        :: atomic { slot != NO_SLOT -> assert(owners[slot] == 0); owners[slot] = me + 1 }
        fi;
        do
        :: sequence == K -> break
        :: sequence < K ->
            sequence++;
            publish();
            /* A call waits as long as a server lives; result(timeout) until its time is over. */
            if
            :: may_wait = false
            :: may_wait = true
            :: break                                 /* closes, or drops the client, at once */
            fi;
            do
            :: true ->
                /* `gate.acquire(timeout=wait_s)` */
                if
                :: states[slot] == FREE -> is_open = true
#ifndef WITHOUT_LOOK
                :: states[slot] == FREE || is_unserved(slot, may_wait) -> is_open = false
#endif
                :: atomic { spurious > 0 -> spurious--; is_open = true }
#ifndef WITHOUT_LOOK
                :: atomic { spurious > 0 -> spurious--; is_open = false }
#endif
                :: may_wait -> goto close            /* TimeoutError, and has enough of it */
                fi;
#ifdef WITHOUT_STATE
                if
                :: is_open -> break
                :: !is_open && states[slot] == FREE -> break
                :: !is_open && states[slot] != FREE
                fi;
#else
                if
                :: states[slot] == FREE -> break
                :: states[slot] != FREE
                fi;
#endif
                if
                :: is_open
                :: !is_open ->
#ifndef WITHOUT_WITHDRAW_LOCK
                    acquire_lock();
                    withdraw(slot, may_wait);
                    lock = false;
#else
                    withdraw(slot, may_wait);
#endif
                    if
                    :: is_withdrawn -> break         /* ServerStoppedError */
                    :: !is_withdrawn
                    fi
                fi
            od;
            atomic {
                assert(owners[slot] == me + 1);
                assert(replies[slot] == mine);
                assert(fates[mine] == (is_withdrawn -> WITHDRAWN : ANSWERED));
                replies[slot] = 0
            }
            atomic { is_withdrawn = false; is_open = false; may_wait = false }
        od;
close:
        atomic { is_withdrawn = false; is_open = false; may_wait = false; sequence = 0; mine = 0 }
        give_back();
next_client:
        slot = 0
    od;
    num_gone++
}

/* ---- the server's side */

inline note() {
#ifndef WITHOUT_NOTE
    if
    :: thread == me
    :: thread != me ->
#ifndef WITHOUT_NOTE_LOCK
        acquire_lock();
        thread = me;
        lock = false
#else
        thread = me
#endif
    fi
#else
    skip
#endif
}

/* claim, of as many as are ready; `ready` is the snapshot that translate makes. */
inline claim() {
    note();
    d_step {
        for (k : 0 .. SLOTS - 1) {
            is_mine[k] = states[k] == READY
        }
        k = 0
    }
    do
    :: k == SLOTS -> break
    :: k < SLOTS && !is_mine[k] -> k++
    :: k < SLOTS && is_mine[k] ->
#ifndef WITHOUT_CLAIMANT_FIRST
        claimed_by[k] = me;
        if
        :: skip
        :: goto died
        fi;
        states[k] = CLAIMED;
#else
        states[k] = CLAIMED;
        claimed_by[k] = me;
#endif
        k++
    od;
    k = 0
}

/* _answer, or _answer_all: each claimed slot's request is composed with the outcome, then handed
 * out; it may have been answered before, so that its state is asked first. */
inline answer() {
    do
    :: k == SLOTS -> break
    :: k < SLOTS && !(is_mine[k] && states[k] == CLAIMED) -> is_mine[k] = false; k++
    :: k < SLOTS && is_mine[k] && states[k] == CLAIMED ->
        reply = requests[k];
        if
        :: skip
        :: goto died
        fi;
        requests[k] = 0;
#ifndef WITHOUT_REPLY_FIRST
        replies[k] = reply;
        if
        :: skip
        :: goto died
        fi;
        hand_over(k);
#else
        hand_over(k);
        replies[k] = reply;
#endif
        reply = 0;
        /* _drop_late: that nobody reads; the slot may be another client's by now */
        if
        :: is_abandoned[k] -> replies[k] = 0
        :: !is_abandoned[k]
        fi;
        is_mine[k] = false;
        k++
    od;
    k = 0
}

inline hand_over(k) {
    atomic {
        assert(reply == in_flight[k] && fates[reply] == OPEN);
        fates[reply] = ANSWERED;
        states[k] = FREE
    }
}

proctype server() {
    byte me, k, reply;
    bool is_mine[SLOTS];
end_none:
    do
    :: me < LIVES ->
        atomic { me++; is_alive[me] = true }
        note();
        do
        :: true ->
            /* Chosen before it sleeps: an end that may come must not excuse who waits for it. */
            if
            :: skip
            :: goto died
            :: break                                 /* is told to stop */
            fi;
end_idle:
            states[0] == READY || states[SLOTS - 1] == READY;
            claim();
            if
            :: skip
            :: goto died                             /* in the model */
            fi;
            answer()
        od;
        claim();                                     /* _reject_pending */
        answer();
died:
        atomic {
            is_alive[me] = false;
            k = 0;
            reply = 0;
            is_mine[0] = false;
            is_mine[SLOTS - 1] = false
        }
        if
        :: skip
        :: break                                     /* and none comes any more */
        fi
    :: me < LIVES -> break
    :: me == LIVES -> break
    od;
    is_over = true
}

/* Whoever comes when all have gone gets a slot. */
proctype latecomer() {
    byte num_taken, slot, state, who, k;
    bool is_withdrawn;
end:
    atomic { num_gone == ACTORS && is_over };
    do
    :: num_taken == SLOTS -> break
    :: num_taken < SLOTS ->
        take_slot();
        assert(slot != NO_SLOT && owners[slot] == 0);
        num_taken++
    od
}

init {
    atomic {
        byte i;
        for (i : 0 .. ACTORS - 1) {
            run actor(i)
        }
        run server();
        run latecomer()
    }
}
