// SPDX-License-Identifier: Apache-2.0
//
// A handler blocks its vCPU and the VM's loop sleeps in PARK, with condition variables and with semaphores
// (examples/park.h): inject, kick, unblock, pause and shutdown wake it, none is lost, and nobody sleeps who should not.
struct axvcpu;
static void park_sleep(struct axvcpu *v);
static void park_wake(struct axvcpu *v);
#define AXVCPU_PARK(v) park_sleep(v)
#define AXVCPU_WAKE(v) park_wake(v)
#define VM_CHAOS 256
#include "vm.h"
#include "examples/park.h"

static struct machine mc;
static struct park parks[VM_VCPUS];
static uint64_t sleeps, wakes;

enum form { BY_COND, BY_SEM, FORMS };
static const char *const forms[] = { "a condition variable", "a semaphore" };
static enum form form;

static void park_sleep(struct axvcpu *v)
{
    ADD(&sleeps, 1u);
    if (form == BY_COND)
        park_sleep_cond(v);
    else
        park_sleep_sem(v);
}

static void park_wake(struct axvcpu *v)
{
    ADD(&wakes, 1u);
    if (form == BY_COND)
        park_wake_cond(v);
    else
        park_wake_sem(v);
}

// ---- the guest: calls once, halts, for ever

static uint64_t halts[VM_VCPUS]; // how often it came to its halt
static int block_err[VM_VCPUS];
static enum axvm_answer block_it(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    uint32_t id = axvcpu_id(v);

    (void)vm, (void)x, (void)arg;
    ADD(&halts[id], 1u);
    block_err[id] = axvcpu_block(v);
    must(block_err[id] == AXVCPU_OK || block_err[id] == AXVCPU_EAGAIN);
    return AXVM_DONE;
}

static const struct axvcpu_fake_step idles[] = { CALL(1), HALT };
static const struct axvcpu_fake_step dozes[] = { // with interrupts masked half of the time (trap 43)
    EFFECT(AXVCPU_REG_FLAGS, 0), HALT, EFFECT(AXVCPU_REG_FLAGS, AXVCPU_FAKE_MASKED), CALL(1), CALL(2),
};

static void begin(uint32_t vcpus)
{
    struct axvcpu_desc descs[VM_VCPUS] = { { 0 } };
    struct axvm_desc d = vm_desc(&mc, vcpus);
    uint32_t i;

    sleeps = wakes = 0;
    memset(halts, 0, sizeof(halts));
    for (i = 0; i < vcpus; i++) {
        park_init(&parks[i]);
        descs[i].user = &parks[i];
    }
    d.vcpu_descs = descs;
    memset(&mc, 0, sizeof(mc));
    must(axvm_init(&mc.vm, &d) == AXVCPU_OK && axvm_boot(&mc.vm) == AXVCPU_OK);
    vm_all_up(&mc);
    must(axvm_set_default(&mc.vm, AXVCPU_EXIT_HALT, block_it, NULL) == AXVCPU_OK);
    must(axvm_set_default(&mc.vm, AXVCPU_EXIT_HYPERCALL, device, &(struct device){ .answer = AXVM_DONE }) == AXVCPU_OK);
}

static enum axvm_answer done(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    (void)vm, (void)v, (void)x, (void)arg;
    return AXVM_DONE;
}

static void end(uint32_t vcpus)
{
    uint32_t i;

    vm_gone(&mc);
    for (i = 0; i < vcpus; i++)
        park_end(&parks[i]);
}

struct result {
    uint32_t id;
    int err;
    struct axvcpu_exit x;
    uint64_t canceled, paused;
};
static struct result results[VM_VCPUS];

// Until the VM is down.
static void *vcpu_main(void *arg)
{
    struct result *r = arg;

    do {
        r->err = axvm_run_vcpu(&mc.vm, r->id, &r->x);
        if (r->err == AXVCPU_OK && r->x.kind == AXVCPU_EXIT_CANCELED)
            ADD((r->x.flags & AXVCPU_EXIT_PAUSED) != 0 ? &r->paused : &r->canceled, 1u);
        if (r->err == AXVCPU_OK && (r->x.flags & AXVCPU_EXIT_PAUSED) != 0)
            (void)sched_yield();
    } while (r->err == AXVCPU_OK && r->x.kind == AXVCPU_EXIT_CANCELED);
    return NULL;
}

static void start(uint32_t vcpus, const struct axvcpu_fake_step *script, size_t n, pthread_t *t)
{
    uint32_t i;

    begin(vcpus);
    must(axvm_set_default(&mc.vm, AXVCPU_EXIT_HYPERCALL, done, NULL) == AXVCPU_OK);
    for (i = 0; i < vcpus; i++) {
        vm_play(&mc, i, script, n, true);
        memset(&results[i], 0, sizeof(results[i]));
        results[i].id = i;
        t[i] = thread(vcpu_main, &results[i]);
    }
}

static bool stop(uint32_t vcpus, pthread_t *t)
{
    bool good = axvm_shutdown(&mc.vm) == AXVCPU_OK;
    uint32_t i;

    for (i = 0; i < vcpus; i++) {
        join(t[i]);
        if (results[i].err != AXVCPU_OK || results[i].x.kind != AXVCPU_EXIT_SYSTEM_DOWN)
            note("vCPU %u came back with %s, exit %s", i, error_name(results[i].err), axvcpu_exit_name(results[i].x.kind));
        good = good && results[i].err == AXVCPU_OK && results[i].x.kind == AXVCPU_EXIT_SYSTEM_DOWN;
    }
    for (i = 0; i < vcpus; i++) { // not before all are out: `inside` counts them all
        if (vm_leftover(&mc, i)[0] != '\0')
            note("vCPU %u: %s", i, vm_leftover(&mc, i));
        good = good && vm_leftover(&mc, i)[0] == '\0';
    }
    return good && axvm_get_status(&mc.vm) == AXVM_STATUS_STOPPED;
}

static void until_asleep(uint32_t id)
{
    UNTIL(axvcpu_get_state(&mc.vcpu[id]) == AXVCPU_STATE_BLOCKED);
}

// ---- one at a time: what wakes it, and what the run gives

struct waker {
    const char *name;
    int (*wake)(struct axvcpu *);
    uint64_t taken, canceled, paused;
    bool wakes, down;
};
static int by_inject(struct axvcpu *v) { return axvcpu_inject_interrupt(v, 9); }
static int by_line(struct axvcpu *v)
{
    int err = axvcpu_set_irq(v, 9, true);

    UNTIL(axvcpu_fake_delivered(v, 9) != 0);
    return err != 0 ? err : axvcpu_set_irq(v, 9, false);
}
static int by_nmi(struct axvcpu *v) { return axvcpu_inject_nmi(v); }
static int by_kick(struct axvcpu *v) { return axvcpu_kick(v); }
static int by_unblock(struct axvcpu *v) { return axvcpu_unblock(v); }
static int by_pause(struct axvcpu *v)
{
    int err = axvm_pause(&mc.vm);

    UNTIL(GET(&results[axvcpu_id(v)].paused) != 0);
    return err != 0 ? err : axvm_resume(&mc.vm);
}
static int by_masked_inject(struct axvcpu *v) { return axvcpu_inject_interrupt(v, 9); }

static const struct waker wakers[] = {
    { "inject", by_inject, 1, 0, 0, true, false },   { "a line", by_line, 0, 0, 0, true, false },
    { "an NMI", by_nmi, 0, 0, 0, true, false },      { "a kick", by_kick, 0, 1, 0, true, false },
    { "unblock", by_unblock, 0, 0, 0, true, false }, { "pause and resume", by_pause, 0, 0, 1, true, false },
    { "inject, masked", by_masked_inject, 0, 0, 0, false, false },
};

static void test_waker(const struct waker *w)
{
    static const struct axvcpu_fake_step masked[] = { EFFECT(AXVCPU_REG_FLAGS, AXVCPU_FAKE_MASKED), HALT };
    struct axvcpu *v = &mc.vcpu[0];
    struct timespec tick = { 0, 3000000 };
    pthread_t t[1];
    uint64_t before;
    bool good;

    if (w->wakes)
        start(1, idles, COUNT(idles), t);
    else
        start(1, masked, COUNT(masked), t);
    until_asleep(0);
    before = GET(&halts[0]);
    (void)nanosleep(&tick, NULL);
    good = GET(&halts[0]) == before && axvcpu_get_state(v) == AXVCPU_STATE_BLOCKED; // it really sleeps
    good = good && w->wake(v) == AXVCPU_OK;
    if (w->wakes) {
        UNTIL(GET(&halts[0]) > before);
        until_asleep(0);
    } else {
        (void)nanosleep(&tick, NULL);
        good = good && GET(&halts[0]) == before && axvcpu_get_state(v) == AXVCPU_STATE_BLOCKED;
    }
    if (w->wake != by_line)
        good = good && axvcpu_fake_delivered(v, 9) == w->taken;
    good = good && GET(&results[0].canceled) == w->canceled && (GET(&results[0].paused) != 0) == (w->paused != 0);
    good = stop(1, t) && good;
    ok(good, "asleep on %s: %s %s it; shutdown does, too", forms[form], w->name, w->wakes ? "wakes" : "does not wake");
    end(1);
}

// ---- crowds

struct injector {
    uint32_t id, vector;
    uint64_t rounds;
};
static void *inject_and_wait(void *arg)
{
    const struct injector *in = arg;
    uint64_t i;

    for (i = 0; i < in->rounds; i++) {
        must(axvcpu_inject_interrupt(&mc.vcpu[in->id], in->vector) == AXVCPU_OK);
        UNTIL(axvcpu_fake_delivered(&mc.vcpu[in->id], in->vector) > i);
    }
    return NULL;
}

static void test_injectors(const char *name, const struct axvcpu_fake_step *script, size_t steps)
{
    uint64_t n = rounds("interrupts for sleepers", 40000) / 4;
    struct injector in[4];
    pthread_t t[2], each[4];
    uint64_t bad = 0, slept;
    uint32_t i;

    start(2, script, steps, t);
    for (i = 0; i < 4; i++) {
        in[i] = (struct injector){ i / 2, 60 + i, n };
        each[i] = thread(inject_and_wait, &in[i]);
    }
    for (i = 0; i < 4; i++) {
        join(each[i]);
        bad += axvcpu_fake_delivered(&mc.vcpu[i / 2], 60 + i) != n;
    }
    slept = GET(&sleeps);
    ok(stop(2, t) && bad == 0, "%s, asleep on %s: %" PRIu64 " interrupts, each once (slept %" PRIu64 " times)", name, forms[form], 4 * n, slept);
    end(2);
}

// Each unblock is at least one pass; a latch that comes beside a wake-up may make a second.
static void test_unblocks(void)
{
    uint64_t n = rounds("unblocks", 40000), i, before, extra;
    pthread_t t[1];

    start(1, idles, COUNT(idles), t);
    until_asleep(0);
    for (i = 0; i < n; i++) {
        before = GET(&halts[0]);
        must(axvcpu_unblock(&mc.vcpu[0]) == AXVCPU_OK);
        UNTIL(GET(&halts[0]) > before);
    }
    until_asleep(0);
    extra = GET(&halts[0]) - 1 - n;
    ok(stop(1, t) && extra <= n / 10, "asleep on %s: %" PRIu64 " unblocks, as many passes and %" PRIu64 " more", forms[form], n, extra);
    end(1);
}

static void test_kicks(void)
{
    uint64_t n = rounds("kicks", 40000), i;
    pthread_t t[1];

    start(1, idles, COUNT(idles), t);
    for (i = 0; i < n; i++) {
        must(axvcpu_kick(&mc.vcpu[0]) == AXVCPU_OK);
        UNTIL(GET(&results[0].canceled) > i);
    }
    until_asleep(0);
    ok(stop(1, t) && results[0].canceled == n, "asleep on %s: %" PRIu64 " kicks, %" PRIu64 " CANCELED", forms[form], n, results[0].canceled);
    end(1);
}

static void test_pauses(void)
{
    uint64_t n = rounds("pauses", 4000), i, bad = 0;
    pthread_t t[VM_VCPUS];
    uint32_t k;

    start(VM_VCPUS, idles, COUNT(idles), t);
    for (i = 0; i < n; i++) {
        must(axvm_pause(&mc.vm) == AXVCPU_OK && axvm_wait_idle(&mc.vm) == AXVCPU_OK);
        for (k = 0; k < VM_VCPUS; k++)
            bad += axvcpu_get_state(&mc.vcpu[k]) == AXVCPU_STATE_BLOCKED; // nobody sleeps inside a VM that is idle
        must(axvm_resume(&mc.vm) == AXVCPU_OK);
        must(axvcpu_inject_interrupt(&mc.vcpu[i % VM_VCPUS], 5) == AXVCPU_OK);
    }
    for (k = 0; k < VM_VCPUS; k++)
        until_asleep(k);
    ok(stop(VM_VCPUS, t) && bad == 0, "asleep on %s: paused %" PRIu64 " times, nobody is inside when wait_idle is back, all sleep again in the end",
       forms[form], n);
    end(VM_VCPUS);
}

// All at once.
struct mixer {
    struct chance c;
    uint64_t rounds;
};
static void *mix(void *arg)
{
    struct mixer *m = arg;
    uint64_t i;

    for (i = 0; i < m->rounds; i++) {
        struct axvcpu *v = &mc.vcpu[chance_below(&m->c, VM_VCPUS)];

        switch (chance_below(&m->c, 6)) {
        case 0: must(axvcpu_kick(v) == AXVCPU_OK); break;
        case 1: must(axvcpu_unblock(v) == AXVCPU_OK); break;
        case 2: (void)axvm_pause(&mc.vm); break;
        case 3: (void)axvm_resume(&mc.vm); break;
        default: must(axvcpu_inject_interrupt(v, chance_below(&m->c, 256)) == AXVCPU_OK); break;
        }
        (void)sched_yield();
    }
    return NULL;
}

static void test_mix(uint64_t seed)
{
    struct mixer m[3];
    pthread_t t[VM_VCPUS], each[3];
    uint64_t n = rounds("all at once", 30000);
    uint32_t i;
    bool good = true;

    start(VM_VCPUS, dozes, COUNT(dozes), t);
    for (i = 0; i < COUNT(m); i++) {
        m[i] = (struct mixer){ { seed + i }, n / COUNT(m) };
        each[i] = thread(mix, &m[i]);
    }
    for (i = 0; i < COUNT(m); i++)
        join(each[i]);
    if (axvm_get_status(&mc.vm) == AXVM_STATUS_SUSPENDED)
        must(axvm_resume(&mc.vm) == AXVCPU_OK);
    for (i = 0; i < VM_VCPUS; i++) { // each still wakes
        uint64_t before = axvcpu_fake_delivered(&mc.vcpu[i], 1);

        until_asleep(i);
        must(axvcpu_inject_interrupt(&mc.vcpu[i], 1) == AXVCPU_OK);
        UNTIL(axvcpu_fake_delivered(&mc.vcpu[i], 1) > before);
    }
    good = stop(VM_VCPUS, t);
    ok(good, "asleep on %s: %" PRIu64 " kicks, unblocks, interrupts, pauses and resumes at once; each still wakes, all go", forms[form], n);
    end(VM_VCPUS);
}

// ---- a device read that waits for its data

static uint64_t data_ready;
static enum axvm_answer waits_for_data(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    uint64_t wanted = ++*(uint64_t *)arg;

    (void)vm;
    if (GET(&data_ready) < wanted) {
        --*(uint64_t *)arg;
        must(axvcpu_block(v) == AXVCPU_OK || axvcpu_get_state(v) == AXVCPU_STATE_READY);
        return AXVM_RETRY; // it asks again when it is awake
    }
    x->mmio.data = wanted;
    return AXVM_DONE;
}

// DONE at once, but asleep until somebody says so: the answer is given to a vCPU that is Blocked.
static enum axvm_answer answers_and_sleeps(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    (void)vm;
    x->mmio.data = ++*(uint64_t *)arg;
    (void)axvcpu_block(v);
    return AXVM_DONE;
}

static void *unblocker(void *arg)
{
    uint64_t n = *(uint64_t *)arg, i;

    for (i = 0; i < n; i++) {
        ADD(&data_ready, 1u);
        must(axvcpu_unblock(&mc.vcpu[0]) == AXVCPU_OK);
        (void)sched_yield();
    }
    return NULL;
}

static void *unblock_until_done(void *arg)
{
    while (GET((uint64_t *)arg) == 0) {
        must(axvcpu_unblock(&mc.vcpu[0]) == AXVCPU_OK);
        (void)sched_yield();
    }
    return NULL;
}

static void test_device_that_waits(void)
{
    static const struct axvcpu_fake_step script[] = { MMIO_READ(0x1000, 8), END }, again[] = { MMIO_READ(0x1000, 8), MMIO_READ(0x1000, 8), END };
    uint64_t n = rounds("reads that wait", 5000), i, count = 0, bad = 0, finished = 0;
    struct axvcpu_exit x;
    pthread_t t;

    data_ready = 0;
    begin(1);
    must(axvm_add_mmio(&mc.vm, 0x1000, 8, waits_for_data, &count) == AXVCPU_OK);
    t = thread(unblocker, &n);
    for (i = 1; i <= n; i++) {
        // RETRY: the fake backend goes on in its script, so the same read is played until it is answered.
        do {
            PLAY(&mc, 0, script);
            bad += axvm_run_vcpu(&mc.vm, 0, &x) != AXVCPU_OK || x.kind != AXVCPU_EXIT_RAW;
        } while (count < i && bad == 0);
        bad += mc.vcpu[0].arch.gpr[1] != i;
    }
    join(t);
    ok(bad == 0, "a read whose handler blocks on %s until there is data: %" PRIu64 " times, each value once", forms[form], n);
    end(1);

    begin(1);
    count = 0;
    must(axvm_add_mmio(&mc.vm, 0x1000, 8, answers_and_sleeps, &count) == AXVCPU_OK);
    t = thread(unblock_until_done, &finished);
    for (i = 1; i <= n; i++) {
        PLAY(&mc, 0, again);
        bad += axvm_run_vcpu(&mc.vm, 0, &x) != AXVCPU_OK || x.kind != AXVCPU_EXIT_RAW || mc.vcpu[0].arch.gpr[1] != 2 * i;
    }
    PUT(&finished, 1u);
    join(t);
    ok(bad == 0, "a read that is answered and then blocked on %s: %" PRIu64 " times, each value once", forms[form], 2 * n);
    end(1);
}

// A handler that blocks and says something else than DONE: it sleeps all the same, then the caller has it.
static enum axvm_answer block_and_say(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    (void)vm, (void)x;
    must(axvcpu_block(v) == AXVCPU_OK);
    return *(const enum axvm_answer *)arg;
}

static void *one_visit(void *arg)
{
    struct result *r = arg;

    r->err = axvm_run_vcpu(&mc.vm, r->id, &r->x);
    return NULL;
}

static void test_answers(void)
{
    static const struct { const char *name; enum axvm_answer answer; int err; uint32_t kind; } rows[] = {
        { "DONE", AXVM_DONE, AXVCPU_OK, AXVCPU_EXIT_RAW },
        { "RETRY", AXVM_RETRY, AXVCPU_OK, AXVCPU_EXIT_RAW },
        { "RETURN", AXVM_RETURN, AXVCPU_OK, AXVCPU_EXIT_HALT },
        { "ERROR", AXVM_ERROR, AXVCPU_EIO, AXVCPU_EXIT_HALT },
    };
    static const struct axvcpu_fake_step script[] = { HALT, END };
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        enum axvm_answer answer = rows[i].answer;
        pthread_t t;

        begin(1);
        PLAY(&mc, 0, script);
        must(axvm_set_default(&mc.vm, AXVCPU_EXIT_HALT, block_and_say, &answer) == AXVCPU_OK);
        results[0] = (struct result){ .id = 0 };
        t = thread(one_visit, &results[0]);
        until_asleep(0);
        must(axvcpu_unblock(&mc.vcpu[0]) == AXVCPU_OK);
        join(t);
        ok(results[0].err == rows[i].err && results[0].x.kind == rows[i].kind && vm_leftover(&mc, 0)[0] == '\0' && wakes >= 1,
           "a handler blocks on %s and says %s: %s, unbound", forms[form], rows[i].name, error_name(rows[i].err));
        end(1);
    }
}

// A vCPU that sleeps is in no handler: a device may go, and another thread gets EAGAIN.
static void test_asleep(void)
{
    struct axvcpu_exit x;
    pthread_t t[1];

    start(1, idles, COUNT(idles), t);
    must(axvm_add_mmio(&mc.vm, 0x1000, 8, done, NULL) == AXVCPU_OK);
    until_asleep(0);
    ok_err(axvm_remove(&mc.vm, AXVM_MMIO, 0x1000), AXVCPU_OK, "a device goes while a vCPU sleeps");
    ok_err(axvm_run_vcpu(&mc.vm, 0, &x), AXVCPU_EAGAIN, "run of a vCPU that sleeps");
    ok_err(axvm_deinit(&mc.vm), AXVCPU_EBUSY, "deinit while a vCPU sleeps");
    ok_err(axvcpu_unbind(&mc.vcpu[0]), AXVCPU_EBUSY, "unbind of a vCPU that sleeps elsewhere");
    ok(stop(1, t), "shutdown wakes it");
    end(1);
}

// ---- signal handlers: only the semaphore may be posted there

static void on_signal(int sig)
{
    (void)sig;
    (void)axvcpu_inject_interrupt(&mc.vcpu[0], 77);
}

static void test_signals(void)
{
    struct sigaction sa = { .sa_handler = on_signal };
    uint64_t n = rounds("signals", 2000), i;
    pthread_t t[1];

    must(sigaction(SIGUSR1, &sa, NULL) == 0);
    start(1, idles, COUNT(idles), t);
    for (i = 0; i < n; i++) {
        must(pthread_kill(t[0], SIGUSR1) == 0);
        UNTIL(axvcpu_fake_delivered(&mc.vcpu[0], 77) > i);
    }
    ok(stop(1, t) && axvcpu_fake_delivered(&mc.vcpu[0], 77) == n,
       "asleep on %s: a signal handler on the sleeping thread itself injects %" PRIu64 " interrupts, each once", forms[form], n);
    end(1);
}

int main(void)
{
    uint64_t seed;
    uint32_t f;
    size_t i;

    tap_begin(290);
    seed = chance_seed();
    for (f = 0; f < FORMS; f++) {
        form = (enum form)f;
        for (i = 0; i < COUNT(wakers); i++)
            test_waker(&wakers[i]);
        test_answers();
        test_asleep();
        test_injectors("a guest that idles", idles, COUNT(idles));
        test_injectors("a guest that masks interrupts now and then", dozes, COUNT(dozes));
        test_unblocks();
        test_kicks();
        test_pauses();
        test_mix(seed);
        test_device_that_waits();
    }
    test_signals();
    return tap_done();
}
