// SPDX-License-Identifier: Apache-2.0
// flags: -UAXVCPU_ARCH_FAKE -DAXVCPU_ARCH_HEADER="tests/core/mock.h"
//
// Two CPUs in one thread: while CPU 0 is in an operation, CPU 1 does something, just before the first
// atomic access of that operation, then before the second, and so on. What may not happen at any of these
// points is lost or half done.
struct axvcpu;
static struct {
    struct axvcpu *current;
} cpus[3]; // 2 is a dead one
static int on_cpu;
#define AXVCPU_CPU_TOKEN() ((void *)&cpus[on_cpu])
#define AXVCPU_CURRENT_GET() (cpus[on_cpu].current)
#define AXVCPU_CURRENT_SET(v) ((void)(cpus[on_cpu].current = (v)))

static void step(void);
#define AXVCPU_ATOMIC_LOAD(p) (step(), __atomic_load_n(p, __ATOMIC_SEQ_CST))
#define AXVCPU_ATOMIC_LOAD_ACQUIRE(p) (step(), __atomic_load_n(p, __ATOMIC_ACQUIRE))
#define AXVCPU_ATOMIC_LOAD_RELAXED(p) (step(), __atomic_load_n(p, __ATOMIC_RELAXED))
#define AXVCPU_ATOMIC_STORE_RELEASE(p, x) (step(), __atomic_store_n(p, x, __ATOMIC_RELEASE))
#define AXVCPU_ATOMIC_STORE_RELAXED(p, x) (step(), __atomic_store_n(p, x, __ATOMIC_RELAXED))
#define AXVCPU_ATOMIC_XCHG(p, x) (step(), __atomic_exchange_n(p, x, __ATOMIC_SEQ_CST))
#define AXVCPU_ATOMIC_FETCH_OR(p, x) (step(), __atomic_fetch_or(p, x, __ATOMIC_SEQ_CST))
#define AXVCPU_ATOMIC_FETCH_AND(p, x) (step(), __atomic_fetch_and(p, x, __ATOMIC_SEQ_CST))
#define AXVCPU_ATOMIC_FETCH_ADD(p, x) (step(), __atomic_fetch_add(p, x, __ATOMIC_SEQ_CST))
#define AXVCPU_ATOMIC_CAS(p, e, x) \
    (step(), __atomic_compare_exchange_n(p, e, x, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
#include "core.h"

static struct axvcpu vcpu;
static struct axvcpu_exit x;

// ---- the other CPU

static struct {
    bool on, inside, done;
    unsigned count, at;
    int (*action)(void);
    int result;
} play;

static void interfere(void)
{
    play.inside = true;
    on_cpu = 1;
    play.result = play.action();
    on_cpu = 0;
    play.inside = false;
    play.done = true;
}

static void step(void)
{
    if (play.on && !play.inside && ++play.count == play.at)
        interfere();
}

// ---- operations

#define DO(name, expression)     \
    static int do_##name(void)   \
    {                            \
        return expression;       \
    }
static uint64_t value;
DO(setup, axvcpu_setup(&vcpu, axvcpu_gpa(ENTRY), axvcpu_hpa(ROOT), NULL))
DO(bind, axvcpu_bind(&vcpu))
DO(run, axvcpu_run(&vcpu, &x))
DO(unbind, axvcpu_unbind(&vcpu))
DO(block, axvcpu_block(&vcpu))
DO(unblock, axvcpu_unblock(&vcpu))
DO(kick, axvcpu_kick(&vcpu))
DO(inject, axvcpu_inject_interrupt(&vcpu, 40))
DO(inject_again, axvcpu_inject_interrupt(&vcpu, 41))
DO(nmi, axvcpu_inject_nmi(&vcpu))
DO(raise, axvcpu_set_irq(&vcpu, 40, true))
DO(settle, axvcpu_settle(&vcpu, &x))
DO(complete, axvcpu_complete(&vcpu, 0x42))
DO(refuse, axvcpu_refuse(&vcpu))
DO(retry, axvcpu_retry(&vcpu))
DO(get_gpr, axvcpu_get_gpr(&vcpu, 1, &value))
DO(set_gpr, axvcpu_set_gpr(&vcpu, 1, 1))
DO(set_entry, axvcpu_set_entry(&vcpu, axvcpu_gpa(ENTRY)))
DO(inject_exception, axvcpu_inject_exception(&vcpu, 13, 0, 0))
DO(put, axvcpu_put(&vcpu))
DO(load, axvcpu_load(&vcpu))
DO(reset, axvcpu_reset(&vcpu))
DO(restart, axvcpu_restart(&vcpu, axvcpu_gpa(ENTRY), 0))
DO(abandon, axvcpu_abandon(&vcpu))
DO(deinit, axvcpu_deinit(&vcpu))
DO(unref, axvcpu_unref(&vcpu))

static int do_cycle(void)
{
    int err = do_bind();

    if (err == 0)
        err = do_run();
    return err != 0 ? err : do_unbind();
}

static int do_ref_and_unref(void)
{
    return axvcpu_ref(&vcpu) == &vcpu ? axvcpu_unref(&vcpu) : AXVCPU_EINVAL;
}

// ---- where the story begins

#define MMIO(what) { .kind = AXVCPU_EXIT_MMIO_##what, .mmio = { 0x1000, 9, 4, 5, 8, false } }
static const struct axvcpu_exit read_exit = MMIO(READ), write_exit = MMIO(WRITE);

static void as_free(void)
{
    set_up(&vcpu);
}

static void as_ready(void)
{
    bound(&vcpu);
}

static void as_ready_on_1(void)
{
    on_cpu = 1;
    bound(&vcpu);
    on_cpu = 0;
}

static void as_blocked(void)
{
    bound(&vcpu);
    must(do_block() == AXVCPU_OK);
}

static void perform(const struct axvcpu_exit *access)
{
    mock.exits = access;
    mock.exit_count = 1;
    bound(&vcpu);
    must(do_run() == AXVCPU_OK && x.kind == access->kind);
}

static void as_ready_with_write(void)
{
    perform(&write_exit);
}

static void as_blocked_with_read(void)
{
    perform(&read_exit);
    must(do_block() == AXVCPU_OK);
}

static void as_blocked_with_further_read(void)
{
    perform(&write_exit);
    mock.further = &read_exit;
    mock.further_count = 1;
    must(do_block() == AXVCPU_OK);
}

static void as_blocked_and_put(void)
{
    as_blocked();
    must(do_put() == AXVCPU_OK);
}

static void as_kicked(void)
{
    bound(&vcpu);
    must(do_kick() == AXVCPU_OK);
}

static void as_interrupted(void)
{
    bound(&vcpu);
    must(do_inject() == AXVCPU_OK);
}

static void as_dead(void)
{
    on_cpu = 2;
    bound(&vcpu);
    on_cpu = 0;
}

static void as_dead_and_blocked(void)
{
    on_cpu = 2;
    as_blocked();
    on_cpu = 0;
}

static unsigned released;

static void on_release(struct axvcpu *v)
{
    (void)v;
    released++;
}

static void as_shared(void)
{
    set_up(&vcpu);
    vcpu.release = on_release;
    must(axvcpu_ref(&vcpu) == &vcpu);
}

// ---- how it may end

static int outer;          // what CPU 0's operation returned
static bool before, after; // CPU 1 came before its first step, after its last

static enum axvcpu_state state(void)
{
    return axvcpu_get_state(&vcpu);
}

static bool owned_by(int who)
{
    return vcpu.owner == (who < 0 ? NULL : (void *)&cpus[who]);
}

static bool is(enum axvcpu_state s, int who)
{
    return state() == s && owned_by(who);
}

static bool both(int first, int second)
{
    return outer == first && play.result == second;
}

// The owner can use it: run, unbind.
static bool usable_by(int who)
{
    bool good;

    on_cpu = who;
    good = do_run() == AXVCPU_OK && do_unbind() == AXVCPU_OK && is(AXVCPU_STATE_FREE, -1);
    on_cpu = 0;
    return good;
}

static bool one_winner(void)
{
    if (both(AXVCPU_OK, AXVCPU_EBUSY))
        return is(AXVCPU_STATE_READY, 0) && usable_by(0);
    return both(AXVCPU_EBUSY, AXVCPU_OK) && is(AXVCPU_STATE_READY, 1) && usable_by(1);
}

static bool in_turns(void)
{
    if (outer == AXVCPU_OK)
        return (play.result == AXVCPU_OK || play.result == AXVCPU_EBUSY) && is(AXVCPU_STATE_READY, 0) && usable_by(0);
    return both(AXVCPU_EBUSY, AXVCPU_OK) && is(AXVCPU_STATE_FREE, -1);
}

static bool handed_over(void)
{
    if (play.result == AXVCPU_OK)
        return outer == AXVCPU_OK && is(AXVCPU_STATE_READY, 1) && usable_by(1);
    return both(AXVCPU_OK, AXVCPU_EBUSY) && is(AXVCPU_STATE_FREE, -1);
}

// A call in a wrong state makes a vCPU Invalid that nobody has, and never one that another CPU has bound.
static bool poisoned_or_untouched(void)
{
    if (play.result == AXVCPU_OK)
        return outer == AXVCPU_EBUSY && is(AXVCPU_STATE_READY, 1) && usable_by(1);
    return outer == AXVCPU_EBADSTATE && is(AXVCPU_STATE_INVALID, -1) &&
           (play.result == AXVCPU_EBUSY || play.result == AXVCPU_EBADSTATE);
}

static bool claimed_or_busy(void)
{
    if (play.result == AXVCPU_OK)
        return is(AXVCPU_STATE_READY, 1) && usable_by(1);
    return play.result == AXVCPU_EBUSY && outer != AXVCPU_EBUSY && is(AXVCPU_STATE_FREE, -1);
}

static bool reset_or_bound(void)
{
    if (play.result == AXVCPU_OK)
        return outer == AXVCPU_EBUSY && is(AXVCPU_STATE_READY, 1) && usable_by(1);
    return outer == AXVCPU_OK &&
           (play.result == AXVCPU_EBUSY ? is(AXVCPU_STATE_CREATED, -1) : is(AXVCPU_STATE_INVALID, -1));
}

static bool gone_or_bound(void)
{
    if (play.result == AXVCPU_OK)
        return outer == AXVCPU_EBUSY && is(AXVCPU_STATE_READY, 1) && usable_by(1);
    return outer == AXVCPU_OK && vcpu.word == 0 && vcpu.owner == NULL;
}

static bool awake(void)
{
    return state() == AXVCPU_STATE_READY;
}

static bool awake_and_kicked(void)
{
    on_cpu = vcpu.owner == &cpus[1];
    must(do_run() == AXVCPU_OK);
    on_cpu = 0;
    return awake() && x.kind == AXVCPU_EXIT_CANCELED;
}

static bool awake_and_interrupted(void)
{
    on_cpu = vcpu.owner == &cpus[1];
    must(do_run() == AXVCPU_OK);
    on_cpu = 0;
    return awake() && mock.taken[40] == 1;
}

// Blocked by the backend itself: whoever parks must be able to see that there is a reason not to - unless the
// guest has had it before it blocked.
static bool awake_or_pending(void)
{
    return awake() || axvcpu_pending(&vcpu) || mock.taken[40] == 1;
}

static unsigned cancellations(void)
{
    unsigned n = x.kind == AXVCPU_EXIT_CANCELED, i;

    for (i = 0; i < 3; i++) {
        must(do_run() == AXVCPU_OK);
        n += x.kind == AXVCPU_EXIT_CANCELED;
    }
    return n;
}

static bool canceled_once(void)
{
    return outer == AXVCPU_OK && cancellations() == 1 && awake();
}

// The same, CPU 1 being the owner.
static bool canceled_once_on_1(void)
{
    unsigned n;

    on_cpu = 1;
    n = cancellations();
    on_cpu = 0;
    return both(AXVCPU_OK, AXVCPU_OK) && n == 1;
}

static bool taken_once_on_1(void)
{
    on_cpu = 1;
    must(do_run() == AXVCPU_OK);
    on_cpu = 0;
    return both(AXVCPU_OK, AXVCPU_OK) && mock.taken[40] == 1;
}

static bool canceled_once_or_twice(void)
{
    unsigned n = cancellations();

    return outer == AXVCPU_OK && (n == 2 || (n == 1 && !after)) && awake();
}

static bool committed_and_canceled_once(void)
{
    return canceled_once() && mock.committed == 1;
}

static bool taken_once(void)
{
    return outer == AXVCPU_OK && do_run() == AXVCPU_OK && do_run() == AXVCPU_OK && mock.taken[40] == 1;
}

static bool both_taken_once(void)
{
    return taken_once() && mock.taken[41] == 1;
}

static bool kick_travels(void)
{
    x.kind = AXVCPU_EXIT_NOTHING;
    if (state() == AXVCPU_STATE_CREATED)
        must(do_setup() == AXVCPU_OK);
    if (state() == AXVCPU_STATE_FREE)
        must(do_bind() == AXVCPU_OK);
    return outer == AXVCPU_OK && cancellations() == 1;
}

static bool released_once(void)
{
    return both(AXVCPU_OK, AXVCPU_OK) && released == 1 && vcpu.word == 0;
}

static bool still_shared(void)
{
    return both(AXVCPU_OK, AXVCPU_OK) && released == 0 && vcpu.refs == 1 && is(AXVCPU_STATE_FREE, -1);
}

static bool awake_and_pending_read(void)
{
    return outer == AXVCPU_OK && awake() && do_run() == AXVCPU_EPENDING && do_complete() == AXVCPU_OK &&
           do_run() == AXVCPU_OK && mock.committed == 2;
}

static bool awake_and_answered(void)
{
    return outer == AXVCPU_OK && awake() && do_run() == AXVCPU_OK && mock.committed == 1;
}

static bool awake_and_retried(void)
{
    return outer == AXVCPU_OK && awake() && do_run() == AXVCPU_OK && mock.committed == 0;
}

static bool awake_and_put(void)
{
    return outer == AXVCPU_OK && awake() && do_run() == AXVCPU_EBADSTATE && do_load() == AXVCPU_OK &&
           do_run() == AXVCPU_OK;
}

static bool awake_and_loaded(void)
{
    return outer == AXVCPU_OK && awake() && do_run() == AXVCPU_OK;
}

static bool created_and_nobodys(void)
{
    return outer == AXVCPU_OK && is(AXVCPU_STATE_CREATED, -1);
}

static bool invalid_and_nobodys(void)
{
    return is(AXVCPU_STATE_INVALID, -1) && !vcpu.arch.bound &&
           (outer == AXVCPU_OK || (play.done && play.result == AXVCPU_OK));
}

static bool awake_and_restarted_or_not(void)
{
    return is(AXVCPU_STATE_READY, 0) && do_run() == AXVCPU_OK;
}

// ---- the stories

static const struct story {
    const char *name;
    void (*given)(void);
    int (*outer)(void);
    int (*other)(void);
    bool (*then)(void);
} stories[] = {
    { "bind and bind: one winner", as_free, do_bind, do_bind, one_winner },
    { "bind and another's bind, run, unbind", as_free, do_bind, do_cycle, in_turns },
    { "unbind and bind: handed over", as_ready, do_unbind, do_bind, handed_over },
    { "trap 41: run in Free and bind", as_free, do_run, do_bind, poisoned_or_untouched },
    { "trap 41: unbind in Free and bind", as_free, do_unbind, do_bind, poisoned_or_untouched },
    { "trap 41: setup in Free and bind", as_free, do_setup, do_bind, poisoned_or_untouched },
    { "trap 41: block in Free and bind", as_free, do_block, do_bind, claimed_or_busy },
    { "settle and bind", as_free, do_settle, do_bind, claimed_or_busy },
    { "complete and bind", as_free, do_complete, do_bind, claimed_or_busy },
    { "refuse and bind", as_free, do_refuse, do_bind, claimed_or_busy },
    { "get_gpr and bind", as_free, do_get_gpr, do_bind, claimed_or_busy },
    { "set_gpr and bind", as_free, do_set_gpr, do_bind, claimed_or_busy },
    { "set_entry and bind", as_free, do_set_entry, do_bind, claimed_or_busy },
    { "inject_exception and bind", as_free, do_inject_exception, do_bind, claimed_or_busy },
    { "put and bind", as_free, do_put, do_bind, claimed_or_busy },
    { "restart and bind", as_free, do_restart, do_bind, claimed_or_busy },
    { "abandon of nobody's and bind", as_free, do_abandon, do_bind, NULL },
    { "reset and bind", as_free, do_reset, do_bind, reset_or_bound },
    { "deinit and bind", as_free, do_deinit, do_bind, gone_or_bound },
    { "the last unref and bind", as_free, do_unref, do_bind, gone_or_bound },
    { "unref and unref", as_shared, do_unref, do_unref, released_once },
    { "unref and ref, unref", as_shared, do_unref, do_ref_and_unref, still_shared },
    // no wake-up is lost
    { "trap 14: block and unblock", as_ready, do_block, do_unblock, awake },
    { "trap 14: block and kick", as_ready, do_block, do_kick, awake_and_kicked },
    { "trap 14: block and inject", as_ready, do_block, do_inject, awake_and_interrupted },
    { "trap 14: block and inject_nmi", as_ready, do_block, do_nmi, awake },
    { "trap 14: block and set_irq", as_ready, do_block, do_raise, awake },
    { "trap 14: unblock and block", as_ready_on_1, do_unblock, do_block, awake },
    { "trap 14: kick and block", as_ready_on_1, do_kick, do_block, awake_and_kicked },
    { "trap 14: inject and block", as_ready_on_1, do_inject, do_block, awake_and_interrupted },
    { "trap 14: inject_nmi and block", as_ready_on_1, do_nmi, do_block, awake },
    { "trap 14: set_irq and block", as_ready_on_1, do_raise, do_block, awake },
    { "unblock and unblock of a Blocked one", as_blocked, do_unblock, do_unblock, awake },
    { "kick and unblock of a Blocked one", as_blocked, do_kick, do_unblock, awake_and_kicked },
    // no kick and no interrupt is lost, none is seen twice
    { "trap 14: run and kick", as_ready, do_run, do_kick, canceled_once },
    { "trap 14: run and kick, another unanswered", as_kicked, do_run, do_kick, canceled_once_or_twice },
    { "trap 14: run, with a commit, and kick", as_ready_with_write, do_run, do_kick, committed_and_canceled_once },
    { "trap 7: run and inject", as_ready, do_run, do_inject, taken_once },
    { "run with an interrupt and inject of another", as_interrupted, do_run, do_inject_again, both_taken_once },
    { "trap 14: run, kicked before, and inject", as_kicked, do_run, do_inject, taken_once },
    { "kick and run", as_ready_on_1, do_kick, do_run, canceled_once_on_1 },
    { "inject and run", as_ready_on_1, do_inject, do_run, taken_once_on_1 },
    { "kick and unbind", as_ready_on_1, do_kick, do_unbind, kick_travels },
    { "kick and reset", as_ready_on_1, do_kick, do_reset, kick_travels },
    { "unbind and kick", as_ready, do_unbind, do_kick, kick_travels },
    { "bind and kick", as_free, do_bind, do_kick, kick_travels },
    { "restart and kick", as_ready, do_restart, do_kick, kick_travels },
    { "reset and kick", as_ready, do_reset, do_kick, kick_travels },
    // a wake-up in the middle of what the owner does with its Blocked vCPU
    { "settle in Blocked, a further read, and unblock", as_blocked_with_further_read, do_settle, do_unblock,
      awake_and_pending_read },
    { "complete in Blocked and unblock", as_blocked_with_read, do_complete, do_unblock, awake_and_answered },
    { "refuse in Blocked and unblock", as_blocked_with_read, do_refuse, do_unblock, awake_and_answered },
    { "retry in Blocked and unblock", as_blocked_with_read, do_retry, do_unblock, awake_and_retried },
    { "put in Blocked and unblock", as_blocked, do_put, do_unblock, awake_and_put },
    { "load in Blocked and unblock", as_blocked_and_put, do_load, do_unblock, awake_and_loaded },
    { "get_gpr in Blocked and unblock", as_blocked, do_get_gpr, do_unblock, awake_and_loaded },
    { "restart in Blocked and unblock", as_blocked, do_restart, do_unblock, awake_and_restarted_or_not },
    { "reset in Blocked and unblock", as_blocked, do_reset, do_unblock, created_and_nobodys },
    { "reset in Blocked and kick", as_blocked, do_reset, do_kick, created_and_nobodys },
    { "reset in Blocked and inject", as_blocked, do_reset, do_inject, created_and_nobodys },
    // a dead CPU's vCPU
    { "abandon and unblock", as_dead_and_blocked, do_abandon, do_unblock, invalid_and_nobodys },
    { "abandon and kick", as_dead_and_blocked, do_abandon, do_kick, invalid_and_nobodys },
    { "abandon and abandon", as_dead, do_abandon, do_abandon, invalid_and_nobodys },
    { "abandon and bind", as_dead, do_abandon, do_bind, NULL },
};

// Whatever happened: nothing is current, and an unowned vCPU is in a state that has no owner and so on.
static bool in_order(void)
{
    bool owner = vcpu.owner != NULL, bound_state = state() == AXVCPU_STATE_READY || state() == AXVCPU_STATE_BLOCKED;

    return cpus[0].current == NULL && cpus[1].current == NULL && owner == bound_state;
}

// CPU 1 acts at point `at` of CPU 0's operation; 0: before it. False: it had fewer points.
static bool tell(const struct story *s, unsigned at, bool *good)
{
    memset(&play, 0, sizeof(play));
    memset(&mock, 0, sizeof(mock));
    released = 0;
    s->given();
    x.kind = AXVCPU_EXIT_NOTHING;
    play.action = s->other;
    play.at = at;
    before = at == 0;
    if (before)
        interfere();
    play.on = true;
    outer = s->outer();
    play.on = false;
    after = !play.done;
    if (after)
        interfere();
    *good = in_order() && (s->then == NULL || s->then());
    if (!*good)
        note("  at point %u: CPU 0 %s, CPU 1 %s, now %s, %s (%s)", at, error_name(outer), error_name(play.result),
             axvcpu_state_name(state()), vcpu.owner == NULL ? "unowned" : "owned", caught.last);
    return !after;
}

static void check(const struct story *s)
{
    unsigned at = 0;
    bool all = true, good, more;

    do {
        more = tell(s, at, &good);
        all = all && good;
        at++;
    } while (more && at < 1000);
    ok(all && !more, "%s, at each of %u points", s->name, at);
}

// ---- a backend that blocks its vCPU by transition(RUNNING, BLOCKED)

static void block_in_leaf(struct axvcpu *v, enum mock_leaf leaf)
{
    if (leaf == MOCK_run)
        must(axvcpu_transition(v, AXVCPU_STATE_RUNNING, AXVCPU_STATE_BLOCKED) == AXVCPU_OK);
}

static void as_about_to_block(void)
{
    bound(&vcpu);
    mock.inside = block_in_leaf;
}

static const struct story blocking[] = {
    { "a backend that blocks and unblock", as_about_to_block, do_run, do_unblock, awake_or_pending },
    { "a backend that blocks and kick", as_about_to_block, do_run, do_kick, awake_or_pending },
    { "a backend that blocks and inject", as_about_to_block, do_run, do_inject, awake_or_pending },
};

// ---- what is nested does not get in another CPU's way, not even for a moment

static struct axvcpu outside; // what CPU 0 is inside of

static int nested(struct axvcpu *v, void *arg)
{
    int (*fn)(void);

    (void)v;
    memcpy(&fn, arg, sizeof(fn));
    return fn();
}

static int (*nested_fn)(void);

static int do_nested(void)
{
    return axvcpu_with_current(&outside, nested, &nested_fn);
}

static bool nested_and_bound(void)
{
    return both(AXVCPU_ENESTED, AXVCPU_OK) && is(AXVCPU_STATE_READY, 1) && usable_by(1);
}

static void as_free_and_outside(void)
{
    set_up(&outside);
    set_up(&vcpu);
}

static const struct nesting {
    struct story story;
    int (*fn)(void);
} nestings[] = {
#define NESTED(fn) \
    { { "a nested " #fn " and bind", as_free_and_outside, do_nested, do_bind, nested_and_bound }, do_##fn }
    NESTED(bind),  NESTED(setup),   NESTED(run),     NESTED(unbind),
    NESTED(reset), NESTED(restart), NESTED(get_gpr), NESTED(settle),
};

int main(void)
{
    size_t i;

    tap_begin(30);
    for (i = 0; i < COUNT(nestings); i++) {
        nested_fn = nestings[i].fn;
        check(&nestings[i].story);
    }
    for (i = 0; i < COUNT(stories); i++)
        check(&stories[i]);
    for (i = 0; i < COUNT(blocking); i++)
        check(&blocking[i]);
    return tap_done();
}
