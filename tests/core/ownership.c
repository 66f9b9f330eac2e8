// SPDX-License-Identifier: Apache-2.0
//
// A vCPU belongs to at most one CPU: with real threads, and under the thread sanitizer.
#define _GNU_SOURCE // pthread_barrier_t
#include "core.h"

enum { THREADS = 3, ROUNDS = 2000 };

static struct axvcpu vcpu;
static struct cpu other;

#define SPIN { 0, { .kind = AXVCPU_FAKE_SPIN } }
static const struct axvcpu_fake_step spin_step = SPIN;

// ---- a team: threads that start each round together

static struct {
    pthread_barrier_t barrier;
    int (*fn)(unsigned who, unsigned round);
    void (*before)(unsigned round); // by the first thread alone
    bool (*after)(unsigned round);
    int result[THREADS];
    unsigned bad_rounds;
} team;

static void play_round(unsigned who, unsigned round)
{
    if (who == 0 && team.before != NULL)
        team.before(round);
    pthread_barrier_wait(&team.barrier);
    team.result[who] = team.fn(who, round);
    pthread_barrier_wait(&team.barrier);
    if (who == 0 && !team.after(round))
        team.bad_rounds++;
    pthread_barrier_wait(&team.barrier);
}

static void *member(void *arg)
{
    unsigned round;

    for (round = 0; round < ROUNDS; round++)
        play_round((unsigned)(uintptr_t)arg, round);
    return NULL;
}

// The number of rounds that went wrong.
static unsigned compete(int (*fn)(unsigned, unsigned), void (*before)(unsigned), bool (*after)(unsigned))
{
    pthread_t threads[THREADS];
    uintptr_t i;

    team.fn = fn;
    team.before = before;
    team.after = after;
    team.bad_rounds = 0;
    pthread_barrier_init(&team.barrier, NULL, THREADS);
    for (i = 0; i < THREADS; i++)
        must(pthread_create(&threads[i], NULL, member, (void *)i) == 0);
    for (i = 0; i < THREADS; i++)
        must(pthread_join(threads[i], NULL) == 0);
    pthread_barrier_destroy(&team.barrier);
    return team.bad_rounds;
}

static unsigned count_results(int result)
{
    unsigned i, n = 0;

    for (i = 0; i < THREADS; i++)
        n += team.result[i] == result;
    return n;
}

// ---- racing bind: exactly one winner

static pthread_barrier_t bound_barrier;
static enum axvcpu_state state_while_bound;

static int race_to_bind(unsigned who, unsigned round)
{
    struct axvcpu_exit x;
    int err = axvcpu_bind(&vcpu);

    (void)who, (void)round;
    pthread_barrier_wait(&bound_barrier); // nobody leaves before all have tried
    if (err != AXVCPU_OK)
        return err;
    state_while_bound = axvcpu_get_state(&vcpu);
    return axvcpu_run(&vcpu, &x) != 0 || axvcpu_unbind(&vcpu) != 0 ? -1 : AXVCPU_OK;
}

static bool one_winner(unsigned round)
{
    (void)round;
    return count_results(AXVCPU_OK) == 1 && count_results(AXVCPU_EBUSY) == THREADS - 1 &&
           state_while_bound == AXVCPU_STATE_READY && axvcpu_get_state(&vcpu) == AXVCPU_STATE_FREE &&
           vcpu.owner == NULL;
}

static void test_racing_bind(void)
{
    set_up(&vcpu);
    pthread_barrier_init(&bound_barrier, NULL, THREADS);
    ok_u64(compete(race_to_bind, NULL, one_winner), 0, "bind by %d threads, %d rounds: one OK, the others EBUSY",
           THREADS, ROUNDS);
    pthread_barrier_destroy(&bound_barrier);
    ok_u64(axvcpu_fake_calls(&vcpu, AXVCPU_FAKE_BIND), ROUNDS, "the backend saw the winners only");
}

// ---- trap 41: a call in a wrong state, while another CPU binds

static int bind_or_spoil(unsigned who, unsigned round)
{
    struct axvcpu_exit x;
    int err;

    (void)round;
    if (who != 0)
        return who == 1 ? axvcpu_run(&vcpu, &x) : axvcpu_setup(&vcpu, axvcpu_gpa(0), axvcpu_hpa(0), NULL);
    err = axvcpu_bind(&vcpu);
    if (err != AXVCPU_OK)
        return err;
    // from here on it is mine, whatever the others try
    return axvcpu_run(&vcpu, &x) != 0 || axvcpu_run(&vcpu, &x) != 0 || axvcpu_unbind(&vcpu) != 0 ? -1 : AXVCPU_OK;
}

static void reset_and_set_up(unsigned round)
{
    (void)round;
    must(axvcpu_reset(&vcpu) == AXVCPU_OK);
    must(axvcpu_setup(&vcpu, axvcpu_gpa(ENTRY), axvcpu_hpa(ROOT), NULL) == AXVCPU_OK);
}

static bool never_while_bound(unsigned round)
{
    (void)round;
    return team.result[0] != -1 && vcpu.owner == NULL &&
           (axvcpu_get_state(&vcpu) == AXVCPU_STATE_FREE || axvcpu_get_state(&vcpu) == AXVCPU_STATE_INVALID);
}

static void test_claim_first(void)
{
    set_up(&vcpu);
    ok_u64(compete(bind_or_spoil, reset_and_set_up, never_while_bound), 0,
           "trap 41: run and setup in a wrong state never reach a vCPU that another CPU has bound (%d rounds)", ROUNDS);
}

// ---- claims for the duration: registers of an unowned vCPU

static int add_one(unsigned who, unsigned round)
{
    uint64_t value;
    int err;

    (void)who, (void)round;
    do
        err = axvcpu_bind(&vcpu);
    while (err == AXVCPU_EBUSY);
    if (err != AXVCPU_OK || axvcpu_get_gpr(&vcpu, 1, &value) != 0 || axvcpu_set_gpr(&vcpu, 1, value + 1) != 0)
        return -1;
    return axvcpu_unbind(&vcpu);
}

static bool all_added(unsigned round)
{
    return count_results(AXVCPU_OK) == THREADS && gpr_of(&vcpu, 1) == (uint64_t)(round + 1) * THREADS;
}

static void test_handing_over(void)
{
    set_up(&vcpu);
    ok_u64(compete(add_one, NULL, all_added), 0,
           "a vCPU that is handed from thread to thread keeps its registers (%d rounds)", ROUNDS);
}

static int poke(unsigned who, unsigned round)
{
    uint64_t value;
    int err = who == 0 ? axvcpu_get_gpr(&vcpu, 1, &value) :
              who == 1 ? axvcpu_set_gpr(&vcpu, 1, round) :
                         axvcpu_block(&vcpu);

    return who == 2 && err == AXVCPU_EBADSTATE ? AXVCPU_OK : err;
}

static bool poked(unsigned round)
{
    (void)round;
    return count_results(AXVCPU_OK) >= 1 && count_results(AXVCPU_OK) + count_results(AXVCPU_EBUSY) == THREADS &&
           vcpu.owner == NULL && axvcpu_get_state(&vcpu) == AXVCPU_STATE_FREE;
}

static void test_short_claims(void)
{
    set_up(&vcpu);
    ok_u64(compete(poke, NULL, poked), 0,
           "claims for one call: somebody gets it, the others EBUSY, nobody keeps it (%d rounds)", ROUNDS);
}

// ---- references

static unsigned released;

static void on_release(struct axvcpu *v)
{
    (void)v;
    (void)__atomic_fetch_add(&released, 1, __ATOMIC_RELAXED);
}

static void share(unsigned round)
{
    unsigned i;

    (void)round;
    set_up(&vcpu);
    vcpu.release = on_release;
    released = 0;
    for (i = 1; i < THREADS; i++)
        must(axvcpu_ref(&vcpu) == &vcpu);
}

static int drop(unsigned who, unsigned round)
{
    (void)who, (void)round;
    return axvcpu_unref(&vcpu);
}

static int take_and_drop(unsigned who, unsigned round)
{
    (void)who, (void)round;
    if (axvcpu_ref(&vcpu) != &vcpu || axvcpu_ref(&vcpu) != &vcpu)
        return -1;
    return axvcpu_unref(&vcpu) != 0 || axvcpu_unref(&vcpu) != 0 || axvcpu_unref(&vcpu) != 0 ? -1 : AXVCPU_OK;
}

static bool released_once(unsigned round)
{
    (void)round;
    return count_results(AXVCPU_OK) == THREADS && released == 1 && vcpu.word == 0 && vcpu.owner == NULL;
}

static void test_references(void)
{
    ok_u64(compete(drop, share, released_once), 0,
           "unref by all holders at once: the last one releases, once (%d rounds)", ROUNDS);
    ok_u64(compete(take_and_drop, share, released_once), 0, "ref and unref by all at once: the same (%d rounds)",
           ROUNDS);
}

static void test_unref_of_an_owned_one(void)
{
    bound(&vcpu);
    vcpu.release = on_release;
    released = 0;
    must(axvcpu_ref(&vcpu) == &vcpu);
    ok_int(axvcpu_deinit(&vcpu), AXVCPU_EBUSY, "deinit of an owned vCPU: EBUSY");
    ok_int(axvcpu_unref(&vcpu), AXVCPU_OK, "unref of an owned vCPU, not the last: OK");
    ok_int(axvcpu_unref(&vcpu), AXVCPU_EBUSY, "the last one: EBUSY");
    ok(released == 0 && axvcpu_get_state(&vcpu) == AXVCPU_STATE_READY, "and it is still there");
    must(axvcpu_unbind(&vcpu) == AXVCPU_OK && axvcpu_ref(&vcpu) == &vcpu);
    ok_int(axvcpu_deinit(&vcpu), AXVCPU_EBUSY, "deinit with two references: EBUSY");
    ok(axvcpu_unref(&vcpu) == AXVCPU_OK && axvcpu_unref(&vcpu) == AXVCPU_OK && released == 1, "unbound, unref ends it");
}

// ---- a vCPU in its guest, seen from another CPU

static int run_spinning(void *arg)
{
    struct axvcpu_exit *x = arg;

    must(axvcpu_bind(&vcpu) == AXVCPU_OK && axvcpu_fake_script(&vcpu, &spin_step, 1, false) == AXVCPU_OK);
    return axvcpu_run(&vcpu, x);
}

static int unbind_it(void *arg)
{
    (void)arg;
    return axvcpu_unbind(&vcpu);
}

#define CALL(name, expression)    \
    static int name(void)         \
    {                             \
        struct axvcpu_exit x;     \
        uint64_t value;           \
        (void)x, (void)value;     \
        return expression;        \
    }
static int no_function(struct axvcpu *v, void *arg)
{
    (void)v, (void)arg;
    return -1;
}
CALL(do_deinit, axvcpu_deinit(&vcpu))
CALL(do_setup, axvcpu_setup(&vcpu, axvcpu_gpa(0), axvcpu_hpa(0), NULL))
CALL(do_bind, axvcpu_bind(&vcpu))
CALL(do_run, axvcpu_run(&vcpu, &x))
CALL(do_unbind, axvcpu_unbind(&vcpu))
CALL(do_block, axvcpu_block(&vcpu))
CALL(do_settle, axvcpu_settle(&vcpu, &x))
CALL(do_reset, axvcpu_reset(&vcpu))
CALL(do_restart, axvcpu_restart(&vcpu, axvcpu_gpa(0), 0))
CALL(do_put, axvcpu_put(&vcpu))
CALL(do_load, axvcpu_load(&vcpu))
CALL(do_complete, axvcpu_complete(&vcpu, 0))
CALL(do_refuse, axvcpu_refuse(&vcpu))
CALL(do_retry, axvcpu_retry(&vcpu))
CALL(do_get_gpr, axvcpu_get_gpr(&vcpu, 0, &value))
CALL(do_set_gpr, axvcpu_set_gpr(&vcpu, 0, 0))
CALL(do_set_entry, axvcpu_set_entry(&vcpu, axvcpu_gpa(0)))
CALL(do_inject_exception, axvcpu_inject_exception(&vcpu, 0, 0, 0))
CALL(do_transition, axvcpu_transition(&vcpu, AXVCPU_STATE_RUNNING, AXVCPU_STATE_READY))
CALL(do_with_state, axvcpu_with_state(&vcpu, AXVCPU_STATE_RUNNING, AXVCPU_STATE_READY, no_function, NULL))
CALL(do_with_current, axvcpu_with_current(&vcpu, no_function, NULL))
CALL(do_manipulate, axvcpu_manipulate(&vcpu, AXVCPU_STATE_RUNNING, AXVCPU_STATE_READY, no_function, NULL))
CALL(do_unref, axvcpu_unref(&vcpu))
CALL(do_script, axvcpu_fake_script(&vcpu, NULL, 0, false))

static const struct call {
    const char *name;
    int (*fn)(void);
} calls[] = {
#define NAMED(name) { #name, do_##name }
    NAMED(deinit),  NAMED(setup),   NAMED(bind),    NAMED(run),       NAMED(unbind),           NAMED(block),
    NAMED(settle),  NAMED(reset),   NAMED(restart), NAMED(put),       NAMED(load),             NAMED(complete),
    NAMED(refuse),  NAMED(retry),   NAMED(get_gpr), NAMED(set_gpr),   NAMED(set_entry),        NAMED(inject_exception),
    NAMED(transition), NAMED(with_state), NAMED(with_current), NAMED(manipulate), NAMED(unref), NAMED(script),
};

static void test_running_elsewhere(void)
{
    struct axvcpu_exit x;
    size_t i;

    set_up(&vcpu);
    cpu_begin(&other, run_spinning, &x);
    while (axvcpu_get_state(&vcpu) != AXVCPU_STATE_RUNNING)
        sched_yield();
    ok(true, "get_state says Running while another thread is in the guest");
    ok_ptr(axvcpu_current(), NULL, "trap 6: what is current there is not current here");
    for (i = 0; i < COUNT(calls); i++)
        ok(calls[i].fn() == AXVCPU_EBUSY && axvcpu_get_state(&vcpu) == AXVCPU_STATE_RUNNING && axvcpu_current() == NULL,
           "%s of a vCPU that runs elsewhere: EBUSY, and it runs on", calls[i].name);
    must(axvcpu_kick(&vcpu) == AXVCPU_OK);
    ok(cpu_wait(&other) == AXVCPU_OK && x.kind == AXVCPU_EXIT_CANCELED, "its own run ends undisturbed");
    ok_int(axvcpu_get_state(&vcpu), AXVCPU_STATE_READY, "then it is Ready");
    ok_int(axvcpu_unbind(&vcpu), AXVCPU_EBUSY, "and still the other's");
    must(cpu_call(&other, unbind_it, NULL) == AXVCPU_OK);
    ok_int(axvcpu_bind(&vcpu), AXVCPU_OK, "until that unbinds");
}

static int run_second(void *arg)
{
    return axvcpu_run(arg, &(struct axvcpu_exit){ 0 });
}

static int bind_second(void *arg)
{
    return axvcpu_bind(arg);
}

// Two vCPUs on two CPUs have nothing to do with each other.
static void test_two_at_once(void)
{
    static struct axvcpu second;
    struct axvcpu_exit x;

    bound(&vcpu);
    set_up(&second);
    must(axvcpu_fake_script(&second, &spin_step, 1, false) == AXVCPU_OK);
    must(cpu_call(&other, bind_second, &second) == AXVCPU_OK);
    cpu_begin(&other, run_second, &second);
    while (axvcpu_get_state(&second) != AXVCPU_STATE_RUNNING)
        sched_yield();
    ok(axvcpu_run(&vcpu, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_HALT && axvcpu_unbind(&vcpu) == AXVCPU_OK,
       "a vCPU runs here while another runs there");
    must(axvcpu_kick(&second) == AXVCPU_OK);
    ok_int(cpu_wait(&other), AXVCPU_OK, "and that one is none the worse");
}

// ---- a failed vCPU has no owner

static int bind_and_fail(void *arg)
{
    struct axvcpu_exit x;

    (void)arg;
    must(axvcpu_bind(&vcpu) == AXVCPU_OK && axvcpu_fake_fail(&vcpu, AXVCPU_FAKE_RUN, 1, AXVCPU_EIO) == AXVCPU_OK);
    return axvcpu_run(&vcpu, &x);
}

static int bind_and_misuse(void *arg)
{
    (void)arg;
    must(axvcpu_bind(&vcpu) == AXVCPU_OK);
    return axvcpu_bind(&vcpu);
}

static int bind_and_transit(void *arg)
{
    (void)arg;
    must(axvcpu_bind(&vcpu) == AXVCPU_OK);
    return axvcpu_transition(&vcpu, AXVCPU_STATE_FREE, AXVCPU_STATE_READY);
}

static int bind_and_fail_unbind(void *arg)
{
    (void)arg;
    must(axvcpu_bind(&vcpu) == AXVCPU_OK && axvcpu_fake_fail(&vcpu, AXVCPU_FAKE_UNBIND, 1, AXVCPU_EIO) == AXVCPU_OK);
    return axvcpu_unbind(&vcpu);
}

static void test_failed_is_nobodys(void)
{
    static const struct {
        const char *name;
        int (*fn)(void *);
        int want;
    } rows[] = {
        { "a failed run", bind_and_fail, AXVCPU_EIO },
        { "a second bind", bind_and_misuse, AXVCPU_EBADSTATE },
        { "a transition from a wrong state", bind_and_transit, AXVCPU_EBADSTATE },
        { "a failed unbind", bind_and_fail_unbind, AXVCPU_EIO },
    };
    struct axvcpu_exit x;
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        set_up(&vcpu);
        ok_int(cpu_call(&other, rows[i].fn, NULL), rows[i].want, "trap 42: %s on another CPU", rows[i].name);
        ok(axvcpu_get_state(&vcpu) == AXVCPU_STATE_INVALID && vcpu.owner == NULL &&
               axvcpu_fake_calls(&vcpu, AXVCPU_FAKE_UNBIND) == 1,
           "trap 42: after %s it is Invalid, unbound once, nobody's", rows[i].name);
        reset_and_set_up(0);
        ok(axvcpu_bind(&vcpu) == AXVCPU_OK && axvcpu_run(&vcpu, &x) == AXVCPU_OK && axvcpu_unbind(&vcpu) == AXVCPU_OK,
           "trap 42: after %s this CPU can have it", rows[i].name);
    }
}

// ---- a dead thread's claim

static void *bind_and_die(void *arg)
{
    must(axvcpu_bind(&vcpu) == AXVCPU_OK);
    if (*(const bool *)arg)
        must(axvcpu_block(&vcpu) == AXVCPU_OK);
    return NULL;
}

static void check_abandon(bool blocked)
{
    const char *how = blocked ? "Blocked" : "Ready";
    struct axvcpu_exit x;
    pthread_t thread;

    set_up(&vcpu);
    must(pthread_create(&thread, NULL, bind_and_die, &blocked) == 0 && pthread_join(thread, NULL) == 0);
    ok(axvcpu_bind(&vcpu) == AXVCPU_EBUSY && axvcpu_reset(&vcpu) == AXVCPU_EBUSY, "a dead thread's vCPU (%s) is EBUSY",
       how);
    ok_int(axvcpu_abandon(&vcpu), AXVCPU_OK, "abandon takes its claim (%s)", how);
    ok(axvcpu_get_state(&vcpu) == AXVCPU_STATE_INVALID && vcpu.owner == NULL && axvcpu_current() == NULL &&
           axvcpu_fake_calls(&vcpu, AXVCPU_FAKE_UNBIND) == 1,
       "abandoned (%s): Invalid, unbound once, nobody's", how);
    ok_int(axvcpu_abandon(&vcpu), AXVCPU_EBADSTATE, "abandoned again (%s): nobody owns it", how);
    reset_and_set_up(0);
    ok(axvcpu_bind(&vcpu) == AXVCPU_OK && axvcpu_run(&vcpu, &x) == AXVCPU_OK, "reset, it lives on (%s)", how);
}

static int block_it(void *arg)
{
    (void)arg;
    must(axvcpu_bind(&vcpu) == AXVCPU_OK);
    return axvcpu_block(&vcpu);
}

// Blocked, but its owner lives: unblock is for anybody, the rest is not.
static void test_blocked_elsewhere(void)
{
    set_up(&vcpu);
    must(cpu_call(&other, block_it, NULL) == AXVCPU_OK);
    ok(axvcpu_run(&vcpu, &(struct axvcpu_exit){ 0 }) == AXVCPU_EBUSY && axvcpu_block(&vcpu) == AXVCPU_EBUSY &&
           axvcpu_get_state(&vcpu) == AXVCPU_STATE_BLOCKED,
       "a vCPU that sleeps elsewhere cannot be run here");
    ok(axvcpu_unblock(&vcpu) == AXVCPU_OK && axvcpu_get_state(&vcpu) == AXVCPU_STATE_READY, "but unblocked");
    ok_int(axvcpu_unbind(&vcpu), AXVCPU_EBUSY, "it stays the other's");
    must(cpu_call(&other, unbind_it, NULL) == AXVCPU_OK);
}

int main(void)
{
    tap_begin(60);
    cpu_start(&other);
    test_racing_bind();
    test_claim_first();
    test_handing_over();
    test_short_claims();
    test_references();
    test_unref_of_an_owned_one();
    test_running_elsewhere();
    test_two_at_once();
    test_failed_is_nobodys();
    check_abandon(false);
    check_abandon(true);
    test_blocked_elsewhere();
    cpu_stop(&other);
    return tap_done();
}
