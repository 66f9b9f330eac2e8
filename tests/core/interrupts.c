// SPDX-License-Identifier: Apache-2.0
//
// Interrupts, kicks and sleep: what is kept, what coalesces, what wakes, and that nothing is lost when
// threads do it at once.
#define _GNU_SOURCE // pthread_kill
#include "core.h"

static struct axvcpu vcpu;
static struct axvcpu_exit x;

static uint64_t delivered(uint32_t vector)
{
    return axvcpu_fake_delivered(&vcpu, vector);
}

static uint64_t injections(void)
{
    return axvcpu_fake_calls(&vcpu, AXVCPU_FAKE_INJECT);
}

static uint32_t run(void)
{
    must(axvcpu_run(&vcpu, &x) == AXVCPU_OK);
    return x.kind;
}

static void mask(bool masked)
{
    must(axvcpu_set_reg(&vcpu, AXVCPU_REG_FLAGS, masked ? AXVCPU_FAKE_MASKED : 0) == AXVCPU_OK);
}

static void bound_and_masked(void)
{
    bound(&vcpu);
    mask(true);
}

static int inject(uint32_t vector)
{
    return axvcpu_inject_interrupt(&vcpu, vector);
}

// ---- edges

static void test_every_vector(void)
{
    uint32_t i;
    bool once = true;

    bound(&vcpu);
    for (i = 0; i < AXVCPU_LEAF_VECTORS; i++)
        must(inject(i) == AXVCPU_OK && inject(i) == AXVCPU_OK);
    must(run() == AXVCPU_EXIT_HALT);
    for (i = 0; i < AXVCPU_LEAF_VECTORS; i++)
        once = once && delivered(i) == 1;
    ok(once, "trap 7: each of 256 vectors, injected twice, is delivered once");
    ok(delivered(0) == 1 && delivered(255) == 1, "trap 7: vectors 0 and 255 too");
    must(run() == AXVCPU_EXIT_HALT);
    ok(delivered(0) == 1 && delivered(255) == 1, "an edge is delivered once");
    must(inject(0) == AXVCPU_OK && run() == AXVCPU_EXIT_HALT);
    ok_u64(delivered(0), 2, "a new edge is delivered again");
    ok(inject(256) == AXVCPU_EINVAL && inject(0x100 + 33) == AXVCPU_EINVAL && run() == AXVCPU_EXIT_HALT &&
           delivered(0) == 2 && delivered(33) == 1,
       "trap 7: a vector is not cut to 8 bits");
}

static void test_highest_first(void)
{
    static const uint32_t vectors[] = { 5, 0, 64, 255, 63, 200 }, sorted[] = { 255, 200, 64, 63, 5, 0 };
    size_t i;

    bound(&vcpu);
    ok_int(axvcpu_irq_next(&vcpu), -1, "nothing is next");
    for (i = 0; i < COUNT(vectors); i++)
        must(inject(vectors[i]) == AXVCPU_OK);
    for (i = 0; i < COUNT(sorted); i++) {
        ok_int(axvcpu_irq_next(&vcpu), sorted[i], "next is %u", sorted[i]);
        axvcpu_irq_take(&vcpu, sorted[i]);
    }
    ok_int(axvcpu_irq_next(&vcpu), -1, "nothing is left");
}

static void test_calm_again(void)
{
    uint64_t n;

    bound(&vcpu);
    must(inject(33) == AXVCPU_OK && axvcpu_inject_nmi(&vcpu) == AXVCPU_OK && run() == AXVCPU_EXIT_HALT);
    n = injections();
    must(run() == AXVCPU_EXIT_HALT && run() == AXVCPU_EXIT_HALT);
    ok_u64(injections(), n, "all delivered, run asks no more");
    ok(!axvcpu_attention(&vcpu) && !axvcpu_pending(&vcpu), "and nothing wants attention");
}

// ---- lines

static int drive(uint32_t line, bool level)
{
    return axvcpu_set_irq(&vcpu, line, level);
}

static void test_lines(void)
{
    bound(&vcpu);
    must(drive(40, true) == AXVCPU_OK && drive(40, true) == AXVCPU_OK);
    must(run() == AXVCPU_EXIT_HALT);
    ok_u64(delivered(40), 1, "a line that is up is delivered");
    must(run() == AXVCPU_EXIT_HALT && run() == AXVCPU_EXIT_HALT);
    ok_u64(delivered(40), 3, "again and again");
    must(inject(40) == AXVCPU_OK && run() == AXVCPU_EXIT_HALT);
    ok_u64(delivered(40), 4, "an edge on the same vector coalesces with it");
    must(drive(40, false) == AXVCPU_OK && run() == AXVCPU_EXIT_HALT);
    ok_u64(delivered(40), 4, "until it is lowered");
    ok(drive(41, false) == AXVCPU_OK && run() == AXVCPU_EXIT_HALT && delivered(41) == 0,
       "lowering one that is down is nothing");
    must(drive(0, true) == AXVCPU_OK && drive(255, true) == AXVCPU_OK && run() == AXVCPU_EXIT_HALT);
    ok(delivered(0) == 1 && delivered(255) == 1, "lines 0 and 255 work");
    axvcpu_irq_take(&vcpu, 255);
    ok_int(axvcpu_irq_next(&vcpu), 255, "taking does not lower a line");
}

// ---- a masked guest

static void test_masked(void)
{
    bound_and_masked();
    must(inject(33) == AXVCPU_OK && drive(34, true) == AXVCPU_OK);
    must(run() == AXVCPU_EXIT_HALT && run() == AXVCPU_EXIT_HALT);
    ok(delivered(33) == 0 && delivered(34) == 0, "a masked guest takes nothing");
    ok(!axvcpu_pending(&vcpu), "trap 43: what it cannot take would not wake it");
    mask(false);
    ok(axvcpu_pending(&vcpu), "what it can take would");
    must(run() == AXVCPU_EXIT_HALT);
    ok(delivered(33) == 1 && delivered(34) == 1, "unmasked, it gets all of it");
}

static void test_masked_sleeps(void)
{
    bound_and_masked();
    must(inject(33) == AXVCPU_OK);
    ok_int(axvcpu_block(&vcpu), AXVCPU_OK, "trap 43: a masked guest sleeps with an interrupt queued");
    must(inject(34) == AXVCPU_OK && drive(35, true) == AXVCPU_OK);
    ok_int(axvcpu_get_state(&vcpu), AXVCPU_STATE_BLOCKED, "trap 43: and no further one wakes it");
    must(axvcpu_inject_nmi(&vcpu) == AXVCPU_OK);
    ok_int(axvcpu_get_state(&vcpu), AXVCPU_STATE_READY, "an NMI does");
    must(run() == AXVCPU_EXIT_HALT);
    ok(vcpu.arch.nmis == 1 && delivered(33) == 0, "and is taken, the others stay queued");
    ok_int(axvcpu_block(&vcpu), AXVCPU_OK, "so it can sleep again");
}

static void test_nmi(void)
{
    bound(&vcpu);
    must(axvcpu_inject_nmi(&vcpu) == AXVCPU_OK && axvcpu_inject_nmi(&vcpu) == AXVCPU_OK);
    must(run() == AXVCPU_EXIT_HALT && run() == AXVCPU_EXIT_HALT);
    ok_u64(vcpu.arch.nmis, 1, "NMIs coalesce");
}

static void test_exception(void)
{
    bound(&vcpu);
    ok_int(axvcpu_inject_exception(&vcpu, 14, 2, 0x3000), AXVCPU_OK, "an exception is injected");
    ok(vcpu.arch.exceptions == 1 && vcpu.arch.exception.vector == 14 && vcpu.arch.exception.error == 2 &&
           vcpu.arch.exception.addr == 0x3000,
       "with its vector, error and address");
}

// ---- block, and its reasons not to

static int by_kick(void)
{
    return axvcpu_kick(&vcpu);
}

static int by_unblock(void)
{
    return axvcpu_unblock(&vcpu);
}

static int by_inject(void)
{
    return inject(33);
}

static int by_line(void)
{
    return drive(33, true);
}

static int by_nmi(void)
{
    return axvcpu_inject_nmi(&vcpu);
}

static const struct reason {
    const char *name;
    int (*fn)(void);
    bool consumed;   // by the block that it keeps awake
    uint32_t to_run; // what run then returns
    bool after_run;  // still a reason after that
    bool wakes_masked;
} reasons[] = {
    { "a kick", by_kick, false, AXVCPU_EXIT_CANCELED, false, true },
    { "an unblock", by_unblock, true, AXVCPU_EXIT_HALT, false, true },
    { "an interrupt", by_inject, false, AXVCPU_EXIT_HALT, false, false },
    { "a line", by_line, false, AXVCPU_EXIT_HALT, true, false },
    { "an NMI", by_nmi, false, AXVCPU_EXIT_HALT, false, true },
};

static void check_reason(const struct reason *r)
{
    bound(&vcpu);
    must(r->fn() == AXVCPU_OK);
    ok(axvcpu_pending(&vcpu), "trap 15: %s is pending", r->name);
    ok(axvcpu_block(&vcpu) == AXVCPU_EAGAIN && axvcpu_get_state(&vcpu) == AXVCPU_STATE_READY &&
           vcpu.owner == AXVCPU_CPU_TOKEN(),
       "trap 15: block with %s: EAGAIN, still Ready", r->name);
    ok_int(axvcpu_block(&vcpu), r->consumed ? AXVCPU_OK : AXVCPU_EAGAIN, "block again, with %s: %s", r->name,
           r->consumed ? "it was consumed" : "it is still there");
    if (r->consumed)
        must(axvcpu_unblock(&vcpu) == AXVCPU_OK);
    ok_str(axvcpu_exit_name(run()), axvcpu_exit_name(r->to_run), "then run, with %s: %s", r->name,
           axvcpu_exit_name(r->to_run));
    ok_int(axvcpu_block(&vcpu), r->after_run ? AXVCPU_EAGAIN : AXVCPU_OK, "after that, with %s: %s", r->name,
           r->after_run ? "still EAGAIN" : "it sleeps");
}

static void check_wakes(const struct reason *r, bool masked)
{
    bool wakes = !masked || r->wakes_masked;

    bound(&vcpu);
    mask(masked);
    must(axvcpu_block(&vcpu) == AXVCPU_OK && r->fn() == AXVCPU_OK);
    ok_int(axvcpu_get_state(&vcpu), wakes ? AXVCPU_STATE_READY : AXVCPU_STATE_BLOCKED, "%s %s a %s guest that sleeps",
           r->name, wakes ? "wakes" : "does not wake", masked ? "masked" : "unmasked");
    if (wakes)
        ok_str(axvcpu_exit_name(run()), axvcpu_exit_name(r->to_run), "%s: then run: %s", r->name,
               axvcpu_exit_name(r->to_run));
}

static void test_block(void)
{
    size_t i;

    bound(&vcpu);
    ok(!axvcpu_pending(&vcpu), "nothing is pending");
    ok(axvcpu_block(&vcpu) == AXVCPU_OK && axvcpu_get_state(&vcpu) == AXVCPU_STATE_BLOCKED,
       "block with no reason not to: Blocked");
    for (i = 0; i < COUNT(reasons); i++) {
        check_reason(&reasons[i]);
        check_wakes(&reasons[i], false);
        check_wakes(&reasons[i], true);
    }
    bound(&vcpu);
    must(axvcpu_block(&vcpu) == AXVCPU_OK && drive(33, false) == AXVCPU_OK);
    ok_int(axvcpu_get_state(&vcpu), AXVCPU_STATE_BLOCKED, "lowering a line does not wake");
}

// ---- the latch

static void check_latch(enum axvcpu_state state)
{
    reach(&vcpu, state, false, NULL);
    ok(axvcpu_unblock(&vcpu) == AXVCPU_OK && axvcpu_unblock(&vcpu) == AXVCPU_OK && axvcpu_get_state(&vcpu) == state &&
           vcpu.owner == NULL,
       "unblock in %s: OK, and it stays so", axvcpu_state_name(state));
    if (state == AXVCPU_STATE_FREE)
        must(axvcpu_bind(&vcpu) == AXVCPU_OK);
    else if (state == AXVCPU_STATE_CREATED)
        must(axvcpu_setup(&vcpu, axvcpu_gpa(ENTRY), axvcpu_hpa(ROOT), NULL) == AXVCPU_OK &&
             axvcpu_bind(&vcpu) == AXVCPU_OK);
    else
        return;
    ok_int(axvcpu_block(&vcpu), AXVCPU_EAGAIN, "two unblocks in %s: the next block does not sleep",
           axvcpu_state_name(state));
    ok_int(axvcpu_block(&vcpu), AXVCPU_OK, "the one after that does");
    must(axvcpu_unblock(&vcpu) == AXVCPU_OK);
    ok_int(axvcpu_block(&vcpu), AXVCPU_OK, "an unblock that has woken is not remembered");
}

static void test_latch(void)
{
    check_latch(AXVCPU_STATE_INVALID);
    check_latch(AXVCPU_STATE_CREATED);
    check_latch(AXVCPU_STATE_FREE);
    check_latch(AXVCPU_STATE_READY);
    check_latch(AXVCPU_STATE_RUNNING);
}

// ---- kicks

static void test_kicks(void)
{
    bound(&vcpu);
    must(axvcpu_kick(&vcpu) == AXVCPU_OK && axvcpu_kick(&vcpu) == AXVCPU_OK && axvcpu_kick(&vcpu) == AXVCPU_OK);
    ok(run() == AXVCPU_EXIT_CANCELED && x.flags == 0, "three kicks: CANCELED");
    ok_u64(axvcpu_fake_calls(&vcpu, AXVCPU_FAKE_RUN), 0, "without entering the guest");
    ok(run() == AXVCPU_EXIT_HALT, "unanswered kicks coalesce");
    must(axvcpu_kick(&vcpu) == AXVCPU_OK);
    ok(run() == AXVCPU_EXIT_CANCELED && run() == AXVCPU_EXIT_HALT, "one after a CANCELED gets a new one");
    must(axvcpu_kick(&vcpu) == AXVCPU_OK && axvcpu_unbind(&vcpu) == AXVCPU_OK && axvcpu_bind(&vcpu) == AXVCPU_OK);
    ok(run() == AXVCPU_EXIT_CANCELED && run() == AXVCPU_EXIT_HALT, "a kick survives unbind and bind");
    must(axvcpu_put(&vcpu) == AXVCPU_OK && axvcpu_kick(&vcpu) == AXVCPU_OK && axvcpu_load(&vcpu) == AXVCPU_OK);
    ok(run() == AXVCPU_EXIT_CANCELED && run() == AXVCPU_EXIT_HALT, "a kick survives put and load");
}

static void check_kick_in(enum axvcpu_state state)
{
    reach(&vcpu, state, false, NULL);
    must(axvcpu_kick(&vcpu) == AXVCPU_OK);
    must(axvcpu_get_state(&vcpu) == AXVCPU_STATE_CREATED || axvcpu_reset(&vcpu) == AXVCPU_OK);
    must(axvcpu_setup(&vcpu, axvcpu_gpa(ENTRY), axvcpu_hpa(ROOT), NULL) == AXVCPU_OK &&
         axvcpu_bind(&vcpu) == AXVCPU_OK);
    ok(run() == AXVCPU_EXIT_CANCELED && run() == AXVCPU_EXIT_HALT, "a kick in %s ends the first run, when that comes",
       axvcpu_state_name(state));
}

static void test_kick_in_states(void)
{
    check_kick_in(AXVCPU_STATE_INVALID);
    check_kick_in(AXVCPU_STATE_CREATED);
    check_kick_in(AXVCPU_STATE_FREE);
    check_kick_in(AXVCPU_STATE_READY);
    check_kick_in(AXVCPU_STATE_BLOCKED);
}

// ---- reset and restart

static void everything(void)
{
    bound_and_masked();
    must(inject(33) == AXVCPU_OK && inject(200) == AXVCPU_OK && axvcpu_inject_nmi(&vcpu) == AXVCPU_OK);
    must(axvcpu_unblock(&vcpu) == AXVCPU_OK && axvcpu_kick(&vcpu) == AXVCPU_OK);
}

static void check_forgotten(const char *name)
{
    ok(run() == AXVCPU_EXIT_CANCELED, "%s keeps a kick", name);
    must(run() == AXVCPU_EXIT_HALT);
    ok(delivered(33) == 0 && delivered(200) == 0, "%s forgets interrupts", name);
    ok_u64(vcpu.arch.nmis, 0, "%s forgets an NMI", name);
    ok_int(axvcpu_block(&vcpu), AXVCPU_OK, "%s forgets an unblock", name);
}

static void test_forgotten(void)
{
    everything();
    must(axvcpu_restart(&vcpu, axvcpu_gpa(ENTRY), 0) == AXVCPU_OK);
    check_forgotten("restart");
    everything();
    must(axvcpu_reset(&vcpu) == AXVCPU_OK &&
         axvcpu_setup(&vcpu, axvcpu_gpa(ENTRY), axvcpu_hpa(ROOT), NULL) == AXVCPU_OK);
    must(axvcpu_bind(&vcpu) == AXVCPU_OK);
    check_forgotten("reset");
}

// ---- threads: nothing is lost. A round that is lost never ends; the watchdog says so.

enum { ROUNDS = 1000 };

static struct {
    uint32_t sent, served, stop, wrong;
    uint32_t answers;           // CANCELED exits
    uint64_t (*answered)(void); // how many were, as the owner sees it; NULL: any wake-up is one
} duel;

#define GET(field) __atomic_load_n(&duel.field, __ATOMIC_SEQ_CST)
#define PUT(field, to) __atomic_store_n(&duel.field, to, __ATOMIC_SEQ_CST)

static uint64_t kicks_answered(void)
{
    return GET(answers);
}

static uint64_t interrupts_taken(void)
{
    return delivered(33);
}

static uint64_t nmis_taken(void)
{
    return vcpu.arch.nmis;
}

static void sleep_once(void)
{
    if (axvcpu_block(&vcpu) != AXVCPU_OK)
        return;
    while (axvcpu_get_state(&vcpu) == AXVCPU_STATE_BLOCKED)
        sched_yield();
}

static void run_once(void)
{
    struct axvcpu_exit exit;

    if (axvcpu_run(&vcpu, &exit) != AXVCPU_OK)
        PUT(wrong, 1);
    else if (exit.kind == AXVCPU_EXIT_CANCELED)
        PUT(answers, GET(answers) + 1);
}

// A wake-up may be spurious, so that only what it was for counts.
static void *sleeper(void *arg)
{
    (void)arg;
    must(axvcpu_bind(&vcpu) == AXVCPU_OK);
    while (GET(stop) == 0) {
        uint32_t sent;

        sleep_once();
        run_once();
        sent = GET(sent);
        if (duel.answered == NULL || duel.answered() >= sent)
            PUT(served, sent);
    }
    must(axvcpu_unbind(&vcpu) == AXVCPU_OK);
    return NULL;
}

static void send(int (*fn)(void), uint32_t round)
{
    volatile uint32_t delay;

    for (delay = 0; delay < round % 97; delay++) // another moment every time
        ;
    PUT(sent, round);
    must(fn() == AXVCPU_OK);
    while (GET(served) != round)
        sched_yield();
}

static void check_sleeper(const char *name, int (*fn)(void), uint64_t (*answered)(void))
{
    pthread_t thread;
    uint32_t round;

    set_up(&vcpu);
    memset(&duel, 0, sizeof(duel));
    duel.answered = answered;
    must(pthread_create(&thread, NULL, sleeper, NULL) == 0);
    for (round = 1; round <= ROUNDS; round++)
        send(fn, round);
    PUT(stop, 1);
    must(axvcpu_unblock(&vcpu) == AXVCPU_OK && pthread_join(thread, NULL) == 0);
    ok(duel.wrong == 0, "trap 14: %u times %s and block: no wake-up is lost", (unsigned)ROUNDS, name);
    if (answered != NULL)
        ok_u64(answered(), ROUNDS, "trap 14: each of %u times %s is answered once", (unsigned)ROUNDS, name);
}

static void test_sleepers(void)
{
    check_sleeper("an unblock", by_unblock, NULL);
    check_sleeper("a kick", by_kick, kicks_answered);
    check_sleeper("an interrupt", by_inject, interrupts_taken);
    check_sleeper("an NMI", by_nmi, nmis_taken);
}

static const struct axvcpu_fake_step spinning[] = { { 0, { .kind = AXVCPU_FAKE_SPIN } } };
static uint32_t canceled;

static void *runner(void *arg)
{
    bool rebinds = arg != NULL;
    struct axvcpu_exit exit;

    must(axvcpu_bind(&vcpu) == AXVCPU_OK);
    while (GET(stop) == 0) {
        if (axvcpu_run(&vcpu, &exit) != AXVCPU_OK || exit.kind != AXVCPU_EXIT_CANCELED)
            PUT(wrong, GET(wrong) + 1);
        (void)__atomic_fetch_add(&canceled, 1, __ATOMIC_SEQ_CST);
        if (rebinds)
            must(axvcpu_unbind(&vcpu) == AXVCPU_OK && axvcpu_bind(&vcpu) == AXVCPU_OK);
    }
    must(axvcpu_unbind(&vcpu) == AXVCPU_OK);
    return NULL;
}

// Each kick waits for its own CANCELED, so there must be as many of these.
static void check_runner(bool rebinds)
{
    pthread_t thread;
    uint32_t round;
    bool exact = true;

    set_up(&vcpu);
    memset(&duel, 0, sizeof(duel));
    canceled = 0;
    must(axvcpu_fake_script(&vcpu, spinning, 1, true) == AXVCPU_OK);
    must(pthread_create(&thread, NULL, runner, rebinds ? &vcpu : NULL) == 0);
    for (round = 1; round <= ROUNDS; round++) {
        must(axvcpu_kick(&vcpu) == AXVCPU_OK);
        while (__atomic_load_n(&canceled, __ATOMIC_SEQ_CST) < round)
            sched_yield();
        exact = exact && __atomic_load_n(&canceled, __ATOMIC_SEQ_CST) == round;
    }
    PUT(stop, 1);
    must(axvcpu_kick(&vcpu) == AXVCPU_OK && pthread_join(thread, NULL) == 0);
    ok(exact && duel.wrong == 0, "trap 14: %u kicks of a guest that %s: one CANCELED each", (unsigned)ROUNDS,
       rebinds ? "comes and goes" : "runs");
}

static void *injector(void *arg)
{
    uint32_t vector = (uint32_t)(uintptr_t)arg, round;

    for (round = 1; round <= ROUNDS; round++) {
        must(inject(vector) == AXVCPU_OK);
        while (delivered(vector) < round)
            sched_yield();
    }
    return NULL;
}

static void test_injectors(void)
{
    pthread_t owner, threads[2];

    set_up(&vcpu);
    memset(&duel, 0, sizeof(duel));
    must(axvcpu_fake_script(&vcpu, spinning, 1, true) == AXVCPU_OK);
    must(pthread_create(&owner, NULL, runner, NULL) == 0);
    must(pthread_create(&threads[0], NULL, injector, (void *)(uintptr_t)0) == 0);
    must(pthread_create(&threads[1], NULL, injector, (void *)(uintptr_t)255) == 0);
    must(pthread_join(threads[0], NULL) == 0 && pthread_join(threads[1], NULL) == 0);
    PUT(stop, 1);
    must(axvcpu_kick(&vcpu) == AXVCPU_OK && pthread_join(owner, NULL) == 0);
    ok(delivered(0) == ROUNDS && delivered(255) == ROUNDS,
       "trap 7: two threads, %u interrupts each, of a running guest: all delivered", (unsigned)ROUNDS);
}

// ---- from a signal handler, on the owner's own thread. (The thread sanitizer delays signals for as long as
// it likes, so not there.)

#ifndef __SANITIZE_THREAD__
static void on_signal(int sig)
{
    (void)sig;
    (void)axvcpu_kick(&vcpu);
    (void)inject(33);
}

static void test_signals(void)
{
    pthread_t thread;
    uint32_t round;

    set_up(&vcpu);
    memset(&duel, 0, sizeof(duel));
    canceled = 0;
    signal(SIGUSR1, on_signal);
    must(axvcpu_fake_script(&vcpu, spinning, 1, true) == AXVCPU_OK);
    must(pthread_create(&thread, NULL, runner, &vcpu) == 0);
    for (round = 1; round <= ROUNDS; round++) {
        must(pthread_kill(thread, SIGUSR1) == 0);
        while (__atomic_load_n(&canceled, __ATOMIC_SEQ_CST) < round)
            sched_yield();
    }
    PUT(stop, 1);
    must(axvcpu_kick(&vcpu) == AXVCPU_OK && pthread_join(thread, NULL) == 0);
    must(axvcpu_bind(&vcpu) == AXVCPU_OK && axvcpu_kick(&vcpu) == AXVCPU_OK && run() == AXVCPU_EXIT_CANCELED);
    ok(canceled >= ROUNDS && duel.wrong == 0, "%u kicks from a signal handler of the owner's thread: none is lost",
       (unsigned)ROUNDS);
    must(axvcpu_fake_script(&vcpu, NULL, 0, false) == AXVCPU_OK && run() == AXVCPU_EXIT_HALT);
    ok(delivered(33) > 0 && axvcpu_irq_next(&vcpu) == -1, "nor are the interrupts");
}
#endif

int main(void)
{
    tap_begin(60);
    test_every_vector();
    test_highest_first();
    test_calm_again();
    test_lines();
    test_masked();
    test_masked_sleeps();
    test_nmi();
    test_exception();
    test_block();
    test_latch();
    test_kicks();
    test_kick_in_states();
    test_forgotten();
    test_sleepers();
    check_runner(false);
    check_runner(true);
    test_injectors();
#ifndef __SANITIZE_THREAD__
    test_signals();
#endif
    return tap_done();
}
