// SPDX-License-Identifier: Apache-2.0
//
// Kicks: each is answered by one CANCELED, in this run or the next; those that nobody waited for coalesce;
// none is left over. From other threads and from signal handlers, with and without the VM's loop.
#define VM_CHAOS 256
#include "vm.h"

static struct machine mc;

static const struct axvcpu_fake_step spins[] = { SPIN };
static const struct axvcpu_fake_step leaves[] = { CALL(1), CALL(2) };
static const struct axvcpu_fake_step halts[] = { CALL(1), HALT };
static const struct axvcpu_fake_step reads[] = { MMIO_READ(0x1000, 4), CALL(1), MMIO_WRITE(0x1000, 4, 1), SPIN };

struct guest {
    const char *name;
    const struct axvcpu_fake_step *script;
    size_t steps;
    uint64_t rounds;
};
#define GUEST(name, script, rounds) { name, script, COUNT(script), rounds }
static const struct guest guests[] = {
    GUEST("a guest that spins until it is kicked", spins, 100000),
    GUEST("a guest that leaves all the time", leaves, 100000),
    GUEST("a guest that halts and is blocked", halts, 100000),
    GUEST("a guest that waits for answers and spins", reads, 100000),
};

// How the vCPU is run: by the VM's loop, or by one of our own.
enum loop { VM_LOOP, STEP_LOOP, OWN_LOOP };
static const char *const loops[] = { "axvm_run_vcpu", "axvm_step", "axvcpu_run" };

static enum axvm_answer block_it(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    int err = axvcpu_block(v);

    (void)vm, (void)x, (void)arg;
    must(err == AXVCPU_OK || err == AXVCPU_EAGAIN);
    return AXVM_DONE;
}

// Lets the others have the CPU: a guest that never leaves axvm_run_vcpu would keep it for its time slice.
static enum axvm_answer yielding(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    (void)vm, (void)v, (void)arg;
    if (x->kind == AXVCPU_EXIT_MMIO_READ)
        x->mmio.data = 1;
    (void)sched_yield();
    return AXVM_DONE;
}

static uint32_t stop;
static uint64_t canceled[2], strange;

static void own_run(struct axvcpu *v, struct axvcpu_exit *x)
{
    must(axvcpu_run(v, x) == AXVCPU_OK);
    if (x->kind == AXVCPU_EXIT_MMIO_READ)
        must(axvcpu_complete(v, 1) == AXVCPU_OK);
    if (x->kind == AXVCPU_EXIT_HALT && axvcpu_block(v) == AXVCPU_OK)
        UNTIL(axvcpu_get_state(v) != AXVCPU_STATE_BLOCKED || GET(&stop) != 0);
}

static void step_run(uint32_t id, struct axvcpu_exit *x)
{
    must(axvm_step(&mc.vm, id, x) == AXVCPU_OK);
    UNTIL(axvcpu_get_state(&mc.vcpu[id]) != AXVCPU_STATE_BLOCKED || GET(&stop) != 0);
}

struct run {
    uint32_t id;
    enum loop loop;
};
static void *runner(void *arg)
{
    const struct run *r = arg;
    struct axvcpu *v = &mc.vcpu[r->id];
    struct axvcpu_exit x;

    if (r->loop != VM_LOOP)
        must(axvcpu_bind(v) == AXVCPU_OK);
    while (GET(&stop) == 0) {
        if (r->loop == OWN_LOOP)
            own_run(v, &x);
        else if (r->loop == STEP_LOOP)
            step_run(r->id, &x);
        else
            must(axvm_run_vcpu(&mc.vm, r->id, &x) == AXVCPU_OK);
        if (x.kind == AXVCPU_EXIT_CANCELED && x.flags == 0)
            ADD(&canceled[r->id], 1u);
        else if (x.kind == AXVCPU_EXIT_CANCELED)
            ADD(&strange, 1u);
        else
            (void)sched_yield();
    }
    if (r->loop != VM_LOOP) {
        (void)axvcpu_unblock(v);
        must(axvcpu_unbind(v) == AXVCPU_OK);
    }
    return NULL;
}

static void start(const struct guest *g, enum loop loop, uint32_t vcpus, struct run *runs, pthread_t *t)
{
    uint32_t i;

    canceled[0] = canceled[1] = strange = 0;
    stop = 0;
    vm_loaded(&mc, vcpus);
    vm_all_up(&mc);
    must(axvm_add_mmio(&mc.vm, 0x1000, 8, yielding, NULL) == AXVCPU_OK);
    must(axvm_set_default(&mc.vm, AXVCPU_EXIT_HYPERCALL, yielding, NULL) == AXVCPU_OK);
    must(axvm_set_default(&mc.vm, AXVCPU_EXIT_HALT, block_it, NULL) == AXVCPU_OK);
    for (i = 0; i < vcpus; i++) {
        vm_play(&mc, i, g->script, g->steps, true);
        runs[i] = (struct run){ i, loop };
        t[i] = thread(runner, &runs[i]);
    }
}

// Ends the runners; how many kicks it took.
static void finish(uint32_t vcpus, pthread_t *t)
{
    uint32_t i;

    PUT(&stop, 1u);
    for (i = 0; i < vcpus; i++) {
        must(axvcpu_kick(&mc.vcpu[i]) == AXVCPU_OK);
        join(t[i]);
    }
    vm_gone(&mc);
}

// ---- each waits for its CANCELED

struct kicker {
    pthread_mutex_t *lock; // shared by the kickers of one vCPU: one kick at a time
    uint32_t id;
    uint64_t rounds;
};
static void *kick_and_wait(void *arg)
{
    struct kicker *k = arg;
    uint64_t i;

    for (i = 0; i < k->rounds; i++) {
        uint64_t before;

        pthread_mutex_lock(k->lock);
        before = GET(&canceled[k->id]);
        must(axvcpu_kick(&mc.vcpu[k->id]) == AXVCPU_OK);
        UNTIL(GET(&canceled[k->id]) != before);
        pthread_mutex_unlock(k->lock);
    }
    return NULL;
}

static void test_exactly(const struct guest *g, enum loop loop)
{
    static pthread_mutex_t locks[2] = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER };
    struct kicker kickers[3] = { { .lock = &locks[0] }, { .lock = &locks[0] }, { .lock = &locks[1], .id = 1 } };
    uint64_t n = rounds(loops[loop], loop == VM_LOOP && g->script == spins ? g->rounds : g->rounds / 5);
    pthread_t t[2], each[3];
    struct run runs[2];
    size_t i;

    start(g, loop, 2, runs, t);
    for (i = 0; i < COUNT(kickers); i++) {
        kickers[i].rounds = i == 2 ? n / 2 : n / 4;
        each[i] = thread(kick_and_wait, &kickers[i]);
    }
    for (i = 0; i < COUNT(kickers); i++)
        join(each[i]);
    ok(GET(&canceled[0]) + GET(&canceled[1]) == n / 4 * 2 + n / 2 && GET(&strange) == 0,
       "%s, in %s: %" PRIu64 " kicks of three kickers and two vCPUs, %" PRIu64 " CANCELED", g->name, loops[loop], n / 4 * 2 + n / 2,
       GET(&canceled[0]) + GET(&canceled[1]));
    finish(2, t);
}

// ---- nobody waits: they coalesce, and the last is not lost

static void *kick_in_bursts(void *arg)
{
    struct kicker *k = arg;
    uint64_t i;

    for (i = 0; i < k->rounds; i++) {
        uint64_t before = GET(&canceled[k->id]);

        must(axvcpu_kick(&mc.vcpu[k->id]) == AXVCPU_OK);
        if (i % 16 == 15)
            UNTIL(GET(&canceled[k->id]) != before);
    }
    return NULL;
}

static void test_coalescing(const struct guest *g)
{
    struct kicker kickers[3] = { { .id = 0 }, { .id = 0 }, { .id = 0 } };
    uint64_t n = rounds("kicks in bursts", 60000);
    pthread_t t[2], each[3];
    struct run runs[2];
    size_t i;

    start(g, VM_LOOP, 1, runs, t);
    for (i = 0; i < COUNT(kickers); i++) {
        kickers[i].rounds = n / 3;
        each[i] = thread(kick_in_bursts, &kickers[i]);
    }
    for (i = 0; i < COUNT(kickers); i++)
        join(each[i]);
    ok(GET(&canceled[0]) >= n / 3 / 16 && GET(&canceled[0]) <= n && GET(&strange) == 0,
       "%s: %" PRIu64 " kicks that nobody waits for, %" PRIu64 " CANCELED, none after the last is missing", g->name, n, GET(&canceled[0]));
    finish(1, t);
}

// ---- from a signal handler on the thread that runs the vCPU

static void on_signal(int sig)
{
    (void)sig;
    (void)axvcpu_kick(&mc.vcpu[0]);
}

static void test_signals(const struct guest *g, enum loop loop)
{
    struct sigaction action = { .sa_handler = on_signal };
    uint64_t n = rounds("signals", 2000), i;
    pthread_t t[2];
    struct run runs[2];

    must(sigaction(SIGUSR1, &action, NULL) == 0);
    start(g, loop, 1, runs, t);
    for (i = 0; i < n; i++) {
        must(pthread_kill(t[0], SIGUSR1) == 0);
        UNTIL(GET(&canceled[0]) > i);
    }
    ok(GET(&canceled[0]) == n && GET(&strange) == 0, "%s, in %s, kicked by a signal handler on its own thread: %" PRIu64 " of %" PRIu64, g->name,
       loops[loop], GET(&canceled[0]), n);
    finish(1, t);
}

// ---- a kick keeps

struct keep {
    const char *name;
    void (*before)(struct axvcpu *); // the kick comes after this
    int (*between)(struct axvcpu *); // must not use it up
    int err;
};
static struct axvcpu_exit seen;
static void is_free(struct axvcpu *v) { (void)v; }
static void is_ready(struct axvcpu *v) { must(axvcpu_bind(v) == AXVCPU_OK); }
static void is_blocked(struct axvcpu *v) { must(axvcpu_bind(v) == AXVCPU_OK && axvcpu_block(v) == AXVCPU_OK); }
static void has_read(struct axvcpu *v)
{
    static const struct axvcpu_fake_step script[] = { MMIO_READ(0x1000, 4), CALL(1), CALL(1), CALL(1) };

    PLAY(&mc, 0, script);
    must(axvcpu_bind(v) == AXVCPU_OK && axvcpu_run(v, &seen) == AXVCPU_OK && seen.kind == AXVCPU_EXIT_MMIO_READ);
}
static void has_answered(struct axvcpu *v)
{
    has_read(v);
    must(axvcpu_complete(v, 1) == AXVCPU_OK);
}
static int is_nothing(struct axvcpu *v) { (void)v; return AXVCPU_OK; }
static int do_run(struct axvcpu *v) { return axvcpu_run(v, &seen); }
static int do_settle(struct axvcpu *v) { return axvcpu_settle(v, &seen); }
static int do_unbind_bind(struct axvcpu *v)
{
    int err = axvcpu_unbind(v);

    return err != 0 ? err : axvcpu_bind(v);
}
static int do_block(struct axvcpu *v) { return axvcpu_block(v); }
static int do_two_blocks(struct axvcpu *v)
{
    must(axvcpu_block(v) == AXVCPU_EAGAIN);
    return axvcpu_block(v);
}
static int do_put_load(struct axvcpu *v)
{
    int err = axvcpu_put(v);

    return err != 0 ? err : axvcpu_load(v);
}
static int do_restart(struct axvcpu *v) { return axvcpu_restart(v, axvcpu_gpa(0), 0); }
static int do_kick(struct axvcpu *v) { return axvcpu_kick(v); }
static int do_unblock(struct axvcpu *v) { return axvcpu_unblock(v); }
static int do_get(struct axvcpu *v)
{
    uint64_t value;

    return axvcpu_get_gpr(v, 0, &value);
}

static const struct keep keeps[] = {
    { "when Free", is_free, is_nothing, AXVCPU_OK },
    { "when Ready", is_ready, is_nothing, AXVCPU_OK },
    { "when Blocked", is_blocked, is_nothing, AXVCPU_OK },
    { "and again", is_ready, do_kick, AXVCPU_OK },
    { "then a run that is EPENDING", has_read, do_run, AXVCPU_EPENDING },
    { "then a settle that is EPENDING", has_read, do_settle, AXVCPU_EPENDING },
    { "then a settle", has_answered, do_settle, AXVCPU_OK },
    { "then unbind and bind", is_ready, do_unbind_bind, AXVCPU_OK },
    { "then unbind and bind with an access", has_answered, do_unbind_bind, AXVCPU_OK },
    { "then a block", is_ready, do_block, AXVCPU_EAGAIN },
    { "then two blocks", is_ready, do_two_blocks, AXVCPU_EAGAIN },
    { "then put and load", is_ready, do_put_load, AXVCPU_OK },
    { "then a restart", is_ready, do_restart, AXVCPU_OK },
    { "then an unblock", is_ready, do_unblock, AXVCPU_OK },
    { "then a register access", is_ready, do_get, AXVCPU_OK },
};

static void test_keep(const struct keep *k)
{
    static const struct axvcpu_fake_step script[] = { CALL(1), CALL(1), CALL(1) };
    struct axvcpu *v = &mc.vcpu[0];
    struct axvcpu_exit x;
    bool good;

    vm_loaded(&mc, 1);
    PLAY(&mc, 0, script);
    k->before(v);
    must(axvcpu_kick(v) == AXVCPU_OK);
    good = k->between(v) == k->err;
    if (k->before == has_read)
        must(axvcpu_complete(v, 1) == AXVCPU_OK);
    if (axvcpu_get_state(v) == AXVCPU_STATE_FREE)
        must(axvcpu_bind(v) == AXVCPU_OK);
    good = good && axvcpu_run(v, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_CANCELED && x.flags == 0;
    good = good && axvcpu_run(v, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_HYPERCALL;
    good = good && axvcpu_run(v, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_HYPERCALL;
    ok(good, "kicked %s: %s, then one CANCELED, then the guest", k->name, error_name(k->err));
    must(axvcpu_unbind(v) == AXVCPU_OK);
    vm_gone(&mc);
}

// ---- kicks and interrupts at once: neither costs the other anything

static void *inject_and_wait(void *arg)
{
    uint64_t *n = arg, i;

    for (i = 0; i < *n; i++) {
        must(axvcpu_inject_interrupt(&mc.vcpu[0], 5) == AXVCPU_OK);
        UNTIL(axvcpu_fake_delivered(&mc.vcpu[0], 5) > i);
    }
    return NULL;
}

static void test_both(const struct guest *g)
{
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    struct kicker kicker = { .lock = &lock, .rounds = rounds("kicks and interrupts", 30000) };
    uint64_t injections = kicker.rounds;
    pthread_t t[2], a, b;
    struct run runs[2];

    start(g, VM_LOOP, 1, runs, t);
    a = thread(kick_and_wait, &kicker);
    b = thread(inject_and_wait, &injections);
    join(a);
    join(b);
    ok(GET(&canceled[0]) == kicker.rounds && axvcpu_fake_delivered(&mc.vcpu[0], 5) == injections,
       "%s: %" PRIu64 " kicks and as many interrupts at once: %" PRIu64 " CANCELED, %" PRIu64 " taken", g->name, kicker.rounds,
       GET(&canceled[0]), axvcpu_fake_delivered(&mc.vcpu[0], 5));
    finish(1, t);
}

int main(void)
{
    size_t i, k;

    tap_begin(290);
    for (i = 0; i < COUNT(keeps); i++)
        test_keep(&keeps[i]);
    for (i = 0; i < COUNT(guests); i++) {
        for (k = 0; k < COUNT(loops); k++)
            test_exactly(&guests[i], (enum loop)k);
        test_coalescing(&guests[i]);
        test_signals(&guests[i], VM_LOOP);
        test_signals(&guests[i], OWN_LOOP);
        test_both(&guests[i]);
    }
    return tap_done();
}
