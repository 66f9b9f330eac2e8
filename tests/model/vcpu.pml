/* SPDX-License-Identifier: Apache-2.0
 *
 * vcpu.pml: what the CPUs of a host do to one vCPU at the same time, as axvcpu.h does it, for spin.
 * Processes, variables and steps have the names of the code. Written down is only what another CPU can
 * see: one statement is one access to shared memory.
 *
 * Memory. Every thread has a buffer for one store. A plain, relaxed or release store waits there until
 * the hardware drains it, any time later; the thread's own loads look there first. A further relaxed
 * store may overtake the one that waits, a release store may not. A read-modify-write drains the buffer
 * and is done at once. So a store can pass a later load (all machines) and a later store (arm64,
 * riscv). Loads stay in order: in the code they are acquire or seq_cst.
 *
 * Scenarios, one per verification: -DSCENARIO_KICK, _BLOCK, _INJECT, _OWNER, _CPU_UP, _PAUSE, _REMOVE.
 *
 * Barriers. The name B of a barrier stands in axvcpu.h where the barrier is, as "barrier B". With
 * -DNO_BARRIER_B it is not there, and spin must find out what it was good for. model.c has the list.
 */

/* ---- the machine ---- */

#define THREADS 4
#define OWNER   0
#define WORD    1
#define ATTN    2
#define LATCH   3
#define PENDING 4
#define UP      5
#define REGS    6 /* the guest's registers */
#define STATUS  7 /* and whether somebody is inside */
#define TID     8 /* the thread to signal (KVM) */
#define DEVICE  9 /* whose handler runs */
#define VERSION 10 /* of the table of devices */
#define ENTRY   11 /* what axvm_cpu_up leaves to the owner */
#define WORDS   12
#define NONE    WORDS

typedef buffer { byte at = NONE; byte keep; byte bits } /* the word becomes (word & keep) | bits */
byte   mem[WORDS];            /* what everybody sees */
buffer stored[THREADS + 1];

bool signal[THREADS + 1];     /* sent by axvcpu_leaf_kick, not yet arrived */
bool current[THREADS + 1];    /* axvcpu_current() != NULL */
bool leave[THREADS + 1];      /* a signal arrived then: the guest leaves, or as soon as it is entered
                                 (immediate_exit on KVM, a pending interrupt on bare metal) */

#define AFTER(t)  ((mem[stored[t].at] & stored[t].keep) | stored[t].bits)
#define SEES(x)   (stored[me].at == x -> ((mem[x] & stored[me].keep) | stored[me].bits) : mem[x])
#define NOT(bits) (255 - (bits))

inline drain(t)
{
    if
    :: stored[t].at != NONE -> mem[stored[t].at] = AFTER(t); stored[t].at = NONE; stored[t].keep = 0; stored[t].bits = 0
    :: else
    fi
}

inline wait_in_buffer(x, k, b)
{
    stored[me].at = x; stored[me].keep = k; stored[me].bits = b
}

inline RELAXED(x, k, b)
{
    atomic {
        if
        :: stored[me].at == NONE -> wait_in_buffer(x, k, b)
        :: stored[me].at == x -> drain(me); wait_in_buffer(x, k, b)
        :: stored[me].at != NONE && stored[me].at != x -> drain(me); wait_in_buffer(x, k, b)
        :: stored[me].at != NONE && stored[me].at != x -> mem[x] = (mem[x] & k) | b
        fi
    }
}

inline LOAD(x, to)         { to = SEES(x) } /* or SEES(x) in a guard */
inline STORE_RELAXED(x, b) { RELAXED(x, 0, b) }
inline STORE_RELEASE(x, b) { d_step { drain(me); wait_in_buffer(x, 0, b) } }
inline XCHG(x, b)          { d_step { drain(me); mem[x] = b } }
inline FETCH_OR(x, b)      { d_step { drain(me); mem[x] = mem[x] | (b) } }
inline FETCH_AND(x, b)     { d_step { drain(me); mem[x] = mem[x] & (b) } }
inline CAS(x, from, to, won)
{
    d_step {
        drain(me); won = (mem[x] == from);
        if
        :: won -> mem[x] = to
        :: else
        fi
    }
}

#define HARDWARE(t)                                                  \
    :: d_step { stored[t].at != NONE -> drain(t) }                   \
    :: d_step { signal[t] -> signal[t] = false;                      \
                if :: current[t] -> leave[t] = true :: else fi }     /* else: nobody to stop, it is gone */
active proctype hardware()
{
    do
    HARDWARE(1) HARDWARE(2) HARDWARE(3) HARDWARE(4)
    od
}

/* ---- the vCPU ---- */

#define NOBODY   0 /* owner; else the CPU's number */

#define FREE     0 /* word */
#define READY    1
#define RUNNING  2
#define BLOCKED  3
#define INVALID  4

#define CALM     0 /* attn */
#define KICK_BIT 1
#define IRQ_BIT  2
#define STOP_BIT 4
#define OUT_BITS (KICK_BIT | STOP_BIT)

mtype = { HALT, CANCELED, PAUSED } /* kinds of exit */
mtype = { OK, EBUSY, EBADSTATE, EAGAIN }

bool masked;        /* the guest takes no interrupt */
bool unmasks;       /* it may begin to */
bool window;        /* then it shall leave */
byte exits;         /* so often it leaves by itself; then it spins */
bool accesses;      /* it leaves for accesses */
bool due;           /* one waits to be committed */
bool asleep;        /* its CPU is in AXVCPU_PARK */

/* What is checked, and known only to us. */
byte owners;        /* threads between claim and release */
byte taken[3];      /* interrupts that the guest took, by vector */
byte canceled;      /* runs that returned CANCELED */
bool in_guest;
bool idle;          /* axvm_wait_idle has returned, the VM is still suspended */

#define LOCALS \
    byte what, queued, owner, left, rounds; /* zero when not in use: fewer states */ \
    bool won, wakes, woke, done, promised; mtype err, kind

inline owned()  { d_step { owners++; assert(owners == 1 && !idle) } }
inline disown() { owners--; STORE_RELEASE(OWNER, NOBODY) }

/* ---- ownership ---- */

/* For somebody who does not own it. */
inline axvcpu_i_open(from)
{
#ifdef NO_BARRIER_CLAIM_FIRST
    won = (SEES(OWNER) == NOBODY);
#else
    CAS(OWNER, NOBODY, me, won);
#endif
    if
    :: !won -> err = EBUSY
    :: else ->
       won = false;
       owned();
       if
       :: SEES(WORD) == from -> err = OK
       :: else -> err = EBADSTATE; STORE_RELAXED(WORD, INVALID); disown() /* axvcpu_i_poison */
       fi
    fi
}

inline axvcpu_leaf_bind()
{
    if
#ifdef NO_BARRIER_BIND_TID
    :: SEES(TID) != me -> STORE_RELAXED(TID, me)
#else
    :: SEES(TID) != me -> XCHG(TID, me)
#endif
    :: else
    fi
}

inline axvcpu_bind()
{
#ifdef NO_BARRIER_BIND_CAS
    won = (SEES(OWNER) == NOBODY);
    if
    :: won -> STORE_RELAXED(OWNER, me)
    :: else
    fi;
#elif defined(NO_BARRIER_OWNER_BEFORE_ATTN) /* still one winner, but what he wrote waits */
    atomic {
        won = (SEES(OWNER) == NOBODY && stored[3 - me].at != OWNER);
        if
        :: won -> STORE_RELAXED(OWNER, me)
        :: else
        fi
    };
#else
    CAS(OWNER, NOBODY, me, won);
#endif
    if
    :: !won -> err = EBUSY
    :: else ->
       won = false;
       owned();
       if
       :: SEES(WORD) == FREE -> err = OK
       :: else -> assert(SEES(WORD) == INVALID); disown(); axvcpu_i_open(FREE) /* axvcpu_i_bind */
       fi;
       if
       :: err == OK -> axvcpu_leaf_bind(); STORE_RELAXED(WORD, READY)
       :: else
       fi
    fi
}

inline axvcpu_unbind()
{
    assert(SEES(WORD) == READY);
    STORE_RELAXED(WORD, FREE);
#ifdef NO_BARRIER_UNBIND_RELEASE
    owners--; STORE_RELAXED(OWNER, NOBODY)
#else
    disown()
#endif
}

/* ---- interrupts and kicks ---- */

inline axvcpu_pending()
{
    wakes = ((SEES(ATTN) & OUT_BITS) != 0);
    if
    :: !wakes -> wakes = (SEES(LATCH) != 0)
    :: else
    fi;
    if
#ifdef NO_BARRIER_PENDING_MASKED
    :: !wakes -> wakes = (SEES(PENDING) != 0)
#else
    :: !wakes -> wakes = (SEES(PENDING) != 0 && !masked) /* axvcpu_leaf_wakes */
#endif
    :: else
    fi
}

inline AXVCPU_WAKE() { asleep = false }

inline axvcpu_i_wake()
{
    do
    :: SEES(WORD) != BLOCKED -> woke = false; break
    :: SEES(WORD) == BLOCKED ->
#ifdef NO_BARRIER_WAKE_AFTER_STATE
       AXVCPU_WAKE();
#endif
#ifdef NO_BARRIER_WAKE_CAS
       XCHG(WORD, READY); woke = true;
#else
       CAS(WORD, BLOCKED, READY, woke);
#endif
       if
       :: woke ->
#ifndef NO_BARRIER_WAKE_AFTER_STATE
          AXVCPU_WAKE();
#endif
          break
       :: else
       fi
    od
}

inline axvcpu_i_alert(flag)
{
#ifdef NO_BARRIER_OWNER_LOAD_AFTER_FLAG
    LOAD(OWNER, owner);
#endif
#ifdef NO_BARRIER_KICK_FLAG
    RELAXED(ATTN, 255, flag);
#else
    FETCH_OR(ATTN, flag);
#endif
    if
    :: SEES(WORD) == BLOCKED ->
       axvcpu_pending();
       if
       :: wakes -> wakes = false; axvcpu_i_wake(); woke = false
       :: else
       fi
    :: else
    fi;
#ifndef NO_BARRIER_OWNER_LOAD_AFTER_FLAG
    LOAD(OWNER, owner);
#endif
#ifdef NO_BARRIER_KICK_UNFILTERED
    if
    :: SEES(WORD) != RUNNING -> owner = NOBODY
    :: else
    fi;
#endif
    if
    :: owner != NOBODY -> LOAD(TID, owner); signal[owner] = true /* axvcpu_leaf_kick */
    :: else
    fi;
    owner = NOBODY
}

inline axvcpu_kick() { axvcpu_i_alert(KICK_BIT) }

inline axvcpu_inject_interrupt(v)
{
#ifdef NO_BARRIER_PENDING_BEFORE_FLAG
    axvcpu_i_alert(IRQ_BIT);
    FETCH_OR(PENDING, v)
#else
    FETCH_OR(PENDING, v);
    axvcpu_i_alert(IRQ_BIT)
#endif
}

#define FIRST(set) ((set) & 1 -> 1 : (set))

/* As a backend with one slot does it: the first vector that is pending, and a window for the next. */
inline axvcpu_leaf_inject()
{
    left = 0;
    if
    :: masked -> left = IRQ_BIT
    :: else ->
       LOAD(PENDING, queued);
       if
       :: queued ->
#ifdef NO_BARRIER_IRQ_TAKE
          STORE_RELAXED(PENDING, queued & NOT(FIRST(queued)));
#else
          FETCH_AND(PENDING, NOT(FIRST(queued))); /* axvcpu_irq_take */
#endif
          taken[FIRST(queued)]++;
          left = (queued != FIRST(queued) -> IRQ_BIT : 0);
          queued = 0
       :: else
       fi
    fi;
    window = (left != 0)
}

#define OUT(set) ((set) & KICK_BIT -> KICK_BIT : STOP_BIT)

/* `what` is a look at the attention word. */
inline axvcpu_i_attend()
{
    done = ((what & OUT_BITS) != 0);
    if
    :: done ->
       kind = (what & KICK_BIT -> CANCELED : PAUSED);
#ifdef NO_BARRIER_ATTEND_CLEAR
       STORE_RELAXED(ATTN, what & NOT(OUT(what)))
#else
       FETCH_AND(ATTN, NOT(OUT(what)))
#endif
    :: !done && what ->
#ifdef NO_BARRIER_ATTEND_CLEAR_FIRST
       axvcpu_leaf_inject();
       FETCH_AND(ATTN, NOT(what));
#else
       FETCH_AND(ATTN, NOT(what));
       axvcpu_leaf_inject();
#endif
       if
       :: left -> FETCH_OR(ATTN, left); left = 0
       :: else
       fi
    :: else
    fi;
    what = 0
}

inline axvcpu_i_forget_interrupts()
{
#ifdef NO_BARRIER_FORGET_FLAG_FIRST
    XCHG(PENDING, 0);
    FETCH_AND(ATTN, OUT_BITS);
#else
    FETCH_AND(ATTN, OUT_BITS);
    XCHG(PENDING, 0);
#endif
    XCHG(LATCH, 0)
}

/* ---- run ---- */

inline axvcpu_attend() { LOAD(ATTN, what); axvcpu_i_attend() }

/* Told that it enters, axvcpu_leaf_commit may leave its work to axvcpu_leaf_run: then run must enter. */
inline axvcpu_i_prepare()
{
    LOAD(ATTN, what);
    promised = (due && !(what & OUT_BITS));
    due = false;
#ifdef NO_BARRIER_ONE_LOOK
    LOAD(ATTN, what);
#endif
    axvcpu_i_attend();
    assert(!(promised && done));
    promised = false
}

/* The guest leaves for a signal, for an interrupt that it can take now, or by itself. */
inline axvcpu_leaf_run()
{
    in_guest = true;
    do
    :: !done && (leave[me] || (window && !masked)) ->
#ifdef NO_BARRIER_LEAVE_CLEAR_FIRST
       axvcpu_attend();
       leave[me] = false
#else
       leave[me] = false;
       axvcpu_attend()
#endif
    :: !done && exits > 0 -> exits--; kind = HALT; due = accesses; break
    :: !done && masked && unmasks -> masked = false
    :: done -> break
    od;
    in_guest = false
}

inline axvcpu_run()
{
#ifdef NO_BARRIER_RUN_CURRENT
    wakes = (SEES(ATTN) == CALM);
    current[me] = true;
#else
    current[me] = true;
    wakes = (SEES(ATTN) == CALM);
#endif
    if
    :: wakes && !due -> wakes = false; STORE_RELAXED(WORD, RUNNING)
    :: else -> /* axvcpu_i_run */
       wakes = false;
       current[me] = false;
       current[me] = true;
       STORE_RELAXED(WORD, RUNNING);
       axvcpu_i_prepare()
    fi;
    if
    :: !done -> axvcpu_leaf_run()
    :: else
    fi;
    done = false;
    assert(SEES(WORD) == RUNNING);
    STORE_RELAXED(WORD, READY);
    current[me] = false
}

/* ---- block ---- */

inline axvcpu_block()
{
#ifdef NO_BARRIER_BLOCK_STATE_FIRST
    axvcpu_pending();
#endif
#ifdef NO_BARRIER_BLOCK_STATE
    STORE_RELAXED(WORD, BLOCKED);
#else
    CAS(WORD, READY, BLOCKED, won); won = false;
#endif
#ifndef NO_BARRIER_BLOCK_STATE_FIRST
    axvcpu_pending();
#endif
    if
    :: !wakes -> err = OK
    :: else -> wakes = false; axvcpu_i_wake(); woke = false; XCHG(LATCH, 0); err = EAGAIN
    fi
}

inline axvcpu_unblock()
{
    axvcpu_i_wake();
    if
    :: !woke ->
#ifdef NO_BARRIER_UNBLOCK_LATCH
       STORE_RELAXED(LATCH, 1);
#else
       XCHG(LATCH, 1);
#endif
#ifndef NO_BARRIER_UNBLOCK_AGAIN
       axvcpu_i_wake()
#endif
    :: else
    fi
}

/* A mutex and a condition variable: looking at the state and falling asleep are one step for WAKE. */
inline AXVCPU_PARK()
{
    do
    :: atomic {
           if
           :: SEES(WORD) == BLOCKED -> asleep = true
           :: else -> break
           fi
       }
       !asleep
    od
}

/* ---- scenarios: `quiet` looks when nothing moves any more ---- */

#ifdef SCENARIO_KICK
/* A kicker waits for his CANCELED each time. Two CPUs take turns at the vCPU. */
proctype cpu(byte me)
{
    LOCALS;

    do
    :: mem[OWNER] == NOBODY ->
       axvcpu_bind();
       do
       :: err == OK ->
          axvcpu_run();
          d_step {
              if
              :: kind == CANCELED -> canceled++
              :: else
              fi
          }
       :: err == OK -> axvcpu_unbind(); break
       :: err != OK -> break
       od
    od
}

byte kicks;

proctype kicker(byte me)
{
    LOCALS;

    do
    :: rounds < 2 -> kicks++; axvcpu_kick(); canceled == kicks; rounds++
    :: else -> break
    od
}

proctype quiet()
{
    timeout;
    assert(in_guest && !(mem[ATTN] & KICK_BIT)); /* else a guest that nobody will stop */
    assert(canceled == 2)                        /* one for each kick */
}

init { atomic { exits = 2; accesses = true; run cpu(1); run cpu(2); run kicker(3); run quiet() } }
#endif

#ifdef SCENARIO_BLOCK
/* The guest halts and its CPU sleeps until it is kicked, unblocked (twice), or an interrupt comes that it
   would take: two of the three at a time, and each waits for its effect. */
bool reason; /* something has begun that may wake it */
bool wanted; /* an unblock has begun that was not yet answered */
byte finished;

proctype cpu(byte me)
{
    LOCALS;

    mem[OWNER] = me; mem[TID] = me; mem[WORD] = READY;
    do
    :: axvcpu_block();
       if
       :: err == OK -> AXVCPU_PARK()
       :: else
       fi;
       atomic { assert(reason); wanted = false };
       exits = 1;
       axvcpu_run();
       d_step {
           if
           :: kind == CANCELED -> canceled++
           :: else
           fi
       }
    od
}

proctype unblocker(byte me)
{
    LOCALS;

    do
    :: rounds < 2 -> atomic { reason = true; wanted = true }; axvcpu_unblock(); !wanted; rounds++
    :: else -> finished++; break
    od
}

proctype kicker(byte me)
{
    LOCALS;

    do
    :: rounds < 1 -> reason = true; axvcpu_kick(); rounds++; canceled == rounds
    :: else -> finished++; break
    od
}

proctype injector(byte me)
{
    LOCALS;

    do
    :: rounds < 1 -> reason = reason || !masked; axvcpu_inject_interrupt(1); rounds++; masked || taken[1] == rounds
    :: else -> finished++; break
    od
}

proctype quiet()
{
    timeout;
    assert(mem[WORD] == BLOCKED && asleep);
    assert(!(mem[ATTN] & KICK_BIT) && !mem[LATCH]);
    assert(masked || !mem[PENDING]);
    assert(!mem[PENDING] || (mem[ATTN] & IRQ_BIT));
    assert(finished == 2)
}

init {
    atomic {
        if
        :: masked = true
        :: masked = false
        fi;
        if
        :: run unblocker(2); run kicker(3)
        :: run unblocker(2); run injector(4)
        :: run kicker(3); run injector(4)
        fi;
        run cpu(1); run quiet()
    }
}
#endif

#ifdef SCENARIO_INJECT
/* An injector comes twice and waits each time until the guest took the vector; with him another one, or a
   kicker. The vCPU's owner may reset the guest in between (axvcpu_restart). */
byte finished;
bool restarted;

proctype cpu(byte me)
{
    LOCALS;

    mem[OWNER] = me; mem[TID] = me; mem[WORD] = READY;
    do
    :: axvcpu_run();
       atomic {
           if
           :: kind == CANCELED -> canceled++
           :: else
           fi
       }
    :: !restarted -> restarted = true; axvcpu_i_forget_interrupts()
    od
}

proctype injector(byte me, most)
{
    LOCALS;

    do
    :: rounds < most -> axvcpu_inject_interrupt(me); rounds++; taken[me] == rounds
    :: else -> finished++; break
    od
}

proctype kicker(byte me)
{
    LOCALS;

    axvcpu_kick(); canceled == 1; finished++
}

proctype quiet()
{
    timeout;
    assert(in_guest && !(mem[ATTN] & KICK_BIT));
    assert(!mem[PENDING] || (masked && (mem[ATTN] & IRQ_BIT)));
    assert(finished == 2 || masked || restarted)
}

init {
    atomic {
        if
        :: masked = true; unmasks = true
        :: masked = true
        :: exits = 1
        fi;
        if
        :: run injector(2, 1)
        :: run kicker(3)
        fi;
        run injector(1, 2); run cpu(4); run quiet()
    }
}
#endif

#ifdef SCENARIO_OWNER
/* Two CPUs bind, run, unbind; a third runs the vCPU without having bound it, which makes it Invalid. */
proctype cpu(byte me)
{
    LOCALS;

    do
    :: rounds < 2 ->
       rounds++;
       axvcpu_bind();
       if
       :: err == OK -> exits = 1; axvcpu_run(); axvcpu_unbind()
       :: else
       fi
    :: else -> break
    od
}

proctype stranger(byte me)
{
    LOCALS;

    axvcpu_i_open(READY); /* axvcpu_i_run */
    assert(err != OK)
}

proctype quiet()
{
    timeout;
    assert(mem[OWNER] == NOBODY && owners == 0);
    assert(mem[WORD] == FREE || mem[WORD] == INVALID)
}

init { atomic { run cpu(1); run cpu(2); run stranger(3); run quiet() } }
#endif

/* ---- the VM layer ---- */

#ifdef SCENARIO_CPU_UP
/* Two guests start a third vCPU, which goes down again, and send it an interrupt. Two host threads want to
   run it; one of them may keep it bound. */
#define AXVM_I_DOWN    0 /* up */
#define AXVM_I_CLAIMED 1
#define AXVM_I_UP      2
#define AXVM_I_HANDED  3 /* started, its owner has to reset the registers */

#define STALE 0 /* registers, and entry */
#define FRESH 1

byte started, winners;
bool sent; /* an interrupt, after the last start */

inline axvcpu_restart()
{
    axvcpu_i_open(FREE);
    if
    :: err == OK -> axvcpu_i_forget_interrupts(); STORE_RELAXED(REGS, FRESH); disown()
    :: else
    fi
}

inline axvm_i_start()
{
#ifdef NO_BARRIER_CPU_UP_CAS
    won = (SEES(UP) == AXVM_I_DOWN);
    if
    :: won -> STORE_RELAXED(UP, AXVM_I_CLAIMED)
    :: else
    fi;
#elif defined(NO_BARRIER_CPU_UP_CLAIMED)
    CAS(UP, AXVM_I_DOWN, AXVM_I_UP, won);
#else
    CAS(UP, AXVM_I_DOWN, AXVM_I_CLAIMED, won);
#endif
    if
    :: won ->
       atomic { started++; assert(started == 1); winners++; sent = false; taken[1] = 0 };
       axvcpu_restart();
       if
#ifdef NO_BARRIER_UP_HANDED
       :: err == EBUSY ->
          do
          :: err == EBUSY -> mem[OWNER] == NOBODY; axvcpu_restart()
          :: else -> break
          od;
          STORE_RELEASE(UP, AXVM_I_UP)
#else
       :: err == EBUSY ->
#ifndef NO_BARRIER_UP_FORGETS
          axvcpu_i_forget_interrupts();
#endif
          STORE_RELAXED(ENTRY, FRESH);
#ifdef NO_BARRIER_UP_HANDED_RELEASE
          STORE_RELAXED(UP, AXVM_I_HANDED)
#else
          STORE_RELEASE(UP, AXVM_I_HANDED)
#endif
#endif
       :: else -> STORE_RELEASE(UP, AXVM_I_UP)
       fi;
       won = true
    :: else
    fi
}

inline axvm_i_enter()
{
    LOAD(UP, what);
    if
    :: what == AXVM_I_HANDED ->
#ifdef NO_BARRIER_UP_FORGETS
       axvcpu_i_forget_interrupts();
#endif
       LOAD(ENTRY, what);
       STORE_RELAXED(REGS, what);
       STORE_RELAXED(ENTRY, STALE); /* only so that an old one would be found out */
       STORE_RELEASE(UP, AXVM_I_UP)
    :: what == AXVM_I_UP
    :: else -> err = EAGAIN
    fi;
    what = 0
}

inline axvm_i_once()
{
#ifndef NO_BARRIER_UP_RECHECK
    axvm_i_enter();
#endif
    if
    :: err == OK -> assert(SEES(REGS) == FRESH); axvcpu_run(); started--; STORE_RELAXED(REGS, STALE)
    :: else
    fi
}

inline axvm_i_after()
{
    if
    :: err == OK -> STORE_RELEASE(UP, AXVM_I_DOWN)
    :: else
    fi
}

#define MAY_ENTER (mem[UP] == AXVM_I_UP || mem[UP] == AXVM_I_HANDED)

inline axvm_i_visit()
{
    axvcpu_bind();
    if
    :: err == OK ->
       axvm_i_once();
#ifdef NO_BARRIER_DOWN_OWNED
       axvcpu_unbind();
       axvm_i_after()
#else
       axvm_i_after();
       axvcpu_unbind()
#endif
    :: else
    fi
}

proctype cpu(byte me)
{
    LOCALS;

    do
    :: MAY_ENTER && mem[OWNER] == NOBODY -> axvm_i_visit()
    od
}

/* axvm_step: it binds first and unbinds last. */
proctype stepper(byte me)
{
    LOCALS;

    mem[OWNER] == NOBODY;
    axvcpu_bind();
    do
    :: err != EBUSY -> MAY_ENTER; err = OK; axvm_i_once(); axvm_i_after()
    :: err == EBUSY -> break
    od
}

proctype starter(byte me)
{
    LOCALS;

    do
    :: rounds < 2 -> mem[UP] == AXVM_I_DOWN; axvm_i_start(); won = false; rounds++
    :: else -> break
    od
}

proctype sender(byte me)
{
    LOCALS;

    axvm_i_start();
    if
    :: won -> won = false; sent = true; axvcpu_inject_interrupt(1)
    :: else
    fi
}

proctype quiet()
{
    timeout;
    assert(winners >= 1);
    assert(mem[UP] == (in_guest -> AXVM_I_UP : AXVM_I_DOWN));
    assert(!in_guest || !sent || taken[1])
}

init {
    atomic {
        if
        :: run cpu(2); exits = 1; run starter(3); run starter(4)
        :: run stepper(2); exits = 1; run starter(3); run starter(4)
        :: run stepper(2); run sender(3)
        fi;
        run cpu(1); run quiet()
    }
}
#endif

#ifdef SCENARIO_PAUSE
/* One vCPU whose guest never leaves by itself; its VM is paused, resumed and perhaps shut down, and then,
   when nobody is inside, taken apart. */
#define AXVM_STATUS_RUNNING   0
#define AXVM_STATUS_SUSPENDED 1
#define AXVM_STATUS_STOPPING  2
#define AXVM_STATUS_STOPPED   3
#define AXVM_I_STATUS         3
#define AXVM_I_INSIDE         4 /* one is inside; the code counts */

#define status(word)     ((word) & AXVM_I_STATUS)
#define settled(word)    ((word) == AXVM_STATUS_STOPPING -> AXVM_STATUS_STOPPED : (word))
#define axvm_get_status() status(SEES(STATUS))

bool calling; /* axvm_run_vcpu has been called; that nobody does when it is gone is up to the host */
bool gone;    /* the VM has been taken apart */

/* A compare-and-swap that is tried until it succeeds is one step. */
inline axvm_i_move(from, to)
{
    d_step {
        drain(me);
        won = (status(mem[STATUS]) == from);
        if
        :: won -> mem[STATUS] = settled((mem[STATUS] & NOT(AXVM_I_STATUS)) | to)
        :: else
        fi
    }
}

inline axvm_i_leave()
{
#ifdef NO_BARRIER_LEAVE_LAST
    FETCH_AND(STATUS, NOT(AXVM_I_INSIDE));
    assert(!gone);
    d_step { mem[STATUS] = settled(mem[STATUS]) }
#else
    d_step { drain(me); assert(!gone); mem[STATUS] = settled(mem[STATUS] & NOT(AXVM_I_INSIDE)) }
#endif
}

inline axvm_i_stop_all() { axvcpu_i_alert(STOP_BIT) }

inline axvm_pause()
{
#ifdef NO_BARRIER_STATUS_BEFORE_STOP
    axvm_i_stop_all();
    axvm_i_move(AXVM_STATUS_RUNNING, AXVM_STATUS_SUSPENDED);
#else
    axvm_i_move(AXVM_STATUS_RUNNING, AXVM_STATUS_SUSPENDED);
    if
    :: won -> axvm_i_stop_all()
    :: else
    fi
#endif
}

inline axvm_resume()
{
#ifndef NO_BARRIER_RESUME_CLEAR_FIRST
    if
    :: axvm_get_status() == AXVM_STATUS_SUSPENDED -> FETCH_AND(ATTN, NOT(STOP_BIT))
    :: else
    fi;
#endif
    atomic {
        axvm_i_move(AXVM_STATUS_SUSPENDED, AXVM_STATUS_RUNNING);
        idle = idle && !won
    }
#ifdef NO_BARRIER_RESUME_CLEAR_FIRST
    if
    :: won -> FETCH_AND(ATTN, NOT(STOP_BIT))
    :: else
    fi;
#endif
#ifndef NO_BARRIER_RESUME_STOPS_AGAIN
    if
    :: axvm_get_status() == AXVM_STATUS_STOPPING -> axvm_i_stop_all()
    :: else
    fi
#endif
}

inline axvm_shutdown()
{
    atomic {
        mem[STATUS] = settled((mem[STATUS] & NOT(AXVM_I_STATUS)) | AXVM_STATUS_STOPPING); /* from any of the others */
        idle = false
    }
    axvm_i_stop_all()
}

/* Once it may not run it is run all the same, but stopped, if an answer is to be committed. */
inline axvm_i_run()
{
    do
    :: axvm_get_status() == AXVM_STATUS_RUNNING -> axvcpu_run()
    :: else ->
       if
       :: due -> FETCH_OR(ATTN, STOP_BIT); axvcpu_run()
       :: !due -> break
       fi
    od
}

inline axvm_run_vcpu()
{
    atomic {
#ifdef NO_BARRIER_INSIDE
        RELAXED(STATUS, 255, AXVM_I_INSIDE);
#else
        FETCH_OR(STATUS, AXVM_I_INSIDE);
#endif
        calling = false
    }
    if
    :: axvm_get_status() == AXVM_STATUS_RUNNING -> /* axvm_i_visit */
       axvcpu_bind();
       axvm_i_run();
       axvcpu_unbind()
    :: else
    fi;
    axvm_i_leave()
}

proctype cpu(byte me)
{
    LOCALS;

    do
    :: atomic { !gone && status(mem[STATUS]) == AXVM_STATUS_RUNNING -> calling = true } axvm_run_vcpu()
    :: gone || status(mem[STATUS]) >= AXVM_STATUS_STOPPING -> break
    od
}

proctype pauser(byte me, most)
{
    LOCALS;

    do
    :: rounds < most ->
       rounds++;
       axvm_pause();
       if
       :: atomic { !(mem[STATUS] & AXVM_I_INSIDE) -> idle = (status(mem[STATUS]) == AXVM_STATUS_SUSPENDED) } /* axvm_wait_idle */
       :: true
       fi
    :: else -> break
    od
}

proctype resumer(byte me, most)
{
    LOCALS;

    do
    :: rounds < most -> rounds++; axvm_resume()
    :: else -> break
    od
}

proctype stopper(byte me)
{
    LOCALS;

    axvm_shutdown();
    atomic { !calling && mem[STATUS] < AXVM_I_INSIDE -> gone = true; assert(mem[STATUS] == AXVM_STATUS_STOPPED) } /* axvm_wait_idle, axvm_deinit */
}

proctype quiet()
{
    timeout;
    assert(status(mem[STATUS]) != AXVM_STATUS_STOPPING);
    assert(in_guest == (status(mem[STATUS]) == AXVM_STATUS_RUNNING));
    assert(in_guest == ((mem[STATUS] & AXVM_I_INSIDE) != 0));
    assert(gone == (mem[STATUS] == AXVM_STATUS_STOPPED));
    assert(!in_guest || !(mem[ATTN] & STOP_BIT))
}

init {
    atomic {
        if
        :: run pauser(2, 1); run resumer(3, 1); run stopper(4)
        :: run pauser(2, 2); run resumer(3, 2)
        :: exits = 2; accesses = true; run pauser(2, 1); run resumer(3, 1)
        :: exits = 2; accesses = true; run pauser(2, 1); run stopper(4)
        fi;
        run cpu(1); run quiet()
    }
}
#endif

#ifdef SCENARIO_REMOVE
/* A vCPU accesses a device again and again; it is removed, and then its memory is freed. */
#define ID 1 /* the device's; it is in the table of version 0, and no more in that of version 1 */

bool freed;
byte handled; /* calls that have ended */

inline handler()
{
    assert(!freed);
    STORE_RELAXED(REGS, handled + 1); /* what the device does */
    assert(!freed);
    handled++
}

/* `what` is the version in which axvm_lookup has found the device. */
inline axvm_i_call()
{
#ifdef NO_BARRIER_DEVICE_FIRST
    STORE_RELAXED(DEVICE, ID);
#else
    XCHG(DEVICE, ID);
#endif
    if
    :: SEES(VERSION) == what -> handler()
    :: else
    fi;
#ifdef NO_BARRIER_DEVICE_RELEASE
    STORE_RELAXED(DEVICE, 0)
#else
    STORE_RELEASE(DEVICE, 0)
#endif
}

inline axvm_remove()
{
#ifdef NO_BARRIER_VERSION_FIRST
    STORE_RELAXED(VERSION, 1);
#else
    XCHG(VERSION, 1); /* axvm_i_publish */
#endif
    SEES(DEVICE) != ID; /* axvm_i_quiesce */
    atomic { freed = true; assert(mem[REGS] == handled) } /* it sees all that the device has done */
}

proctype cpu(byte me)
{
    LOCALS;

    do
    :: rounds < 2 ->
       LOAD(VERSION, what);
       if
       :: what == 0 -> axvm_i_call()
       :: else
       fi;
       rounds++
    :: else -> break
    od
}

proctype remover(byte me)
{
    LOCALS;

    axvm_remove()
}

init { atomic { run cpu(1); run remover(2) } }
#endif
