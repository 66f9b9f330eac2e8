// SPDX-License-Identifier: Apache-2.0
//
// Many at once: pause, resume and shutdown against vCPUs whose handlers take a lock of their own (trap 15),
// handlers that pause or stop their own VM, devices that move, go and remove each other while others access
// them (trap 44), defaults that change. No deadlock, nothing lost, nothing left behind, no mixed-up handler.
//
// Without PARK and WAKE: a vCPU that its handler blocks comes back to the caller. sleep.c has the other way.
#define VM_CHAOS 64
#include "vm.h"

static struct machine mc;

// ---- a crowd: four vCPUs with a thread each

enum { VCPUS = 4 };
static pthread_mutex_t own_lock = PTHREAD_MUTEX_INITIALIZER; // the handlers', and sometimes the callers'
static uint64_t work, kicked, paused, strange;

static enum axvm_answer locked_work(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    (void)vm, (void)v, (void)arg;
    pthread_mutex_lock(&own_lock);
    ADD(&work, 1u);
    if (x->kind == AXVCPU_EXIT_MMIO_READ)
        x->mmio.data = work;
    pthread_mutex_unlock(&own_lock);
    (void)sched_yield();
    return AXVM_DONE;
}

// Runs its vCPU until the VM is down.
static void *vcpu_main(void *arg)
{
    uint32_t id = (uint32_t)(uintptr_t)arg;
    struct axvcpu_exit x;

    for (;;) {
        int err = axvm_run_vcpu(&mc.vm, id, &x);

        if (err != AXVCPU_OK)
            ADD(&strange, 1u);
        else if (x.kind == AXVCPU_EXIT_SYSTEM_DOWN)
            return NULL;
        else if (x.kind == AXVCPU_EXIT_CANCELED)
            ADD((x.flags & AXVCPU_EXIT_PAUSED) != 0 ? &paused : &kicked, 1u);
        else
            ADD(&strange, 1u);
        (void)sched_yield();
    }
}

static const struct axvcpu_fake_step busy[] = { MMIO_READ(0x1000, 4), MMIO_WRITE(0x1008, 8, 1), CALL(1) };
static const struct axvcpu_fake_step spins[] = { MMIO_WRITE(0x1000, 4, 1), SPIN, MMIO_READ(0x1000, 4), SPIN };

static void crowd(pthread_t *t, uint32_t vcpus)
{
    uint32_t i;

    work = kicked = paused = strange = 0;
    vm_loaded(&mc, vcpus);
    vm_all_up(&mc);
    must(axvm_add_mmio(&mc.vm, 0x1000, 0x1000, locked_work, NULL) == AXVCPU_OK);
    must(axvm_set_default(&mc.vm, AXVCPU_EXIT_HYPERCALL, locked_work, NULL) == AXVCPU_OK);
    for (i = 0; i < vcpus; i++) {
        if (i % 2 == 0)
            PLAY_LOOP(&mc, i, busy);
        else
            PLAY_LOOP(&mc, i, spins);
        t[i] = thread(vcpu_main, (void *)(uintptr_t)i);
    }
}

static bool crowd_is_gone(pthread_t *t, uint32_t vcpus)
{
    uint32_t i;
    bool good = true;

    for (i = 0; i < vcpus; i++)
        join(t[i]);
    for (i = 0; i < vcpus; i++)
        good = good && vm_leftover(&mc, i)[0] == '\0' && axvcpu_get_state(&mc.vcpu[i]) == AXVCPU_STATE_FREE;
    return good && axvm_get_status(&mc.vm) == AXVM_STATUS_STOPPED;
}

// One controller: while the VM is Suspended and idle nothing happens, and afterwards it goes on.
static void test_pause_stops(void)
{
    pthread_t t[VCPUS];
    uint64_t n = rounds("pause, wait_idle, look, resume", 3000), i, before, moved = 0, stuck = 0;

    crowd(t, VCPUS);
    for (i = 0; i < n; i++) {
        int k;

        must(axvm_pause(&mc.vm) == AXVCPU_OK && axvm_wait_idle(&mc.vm) == AXVCPU_OK);
        before = GET(&work);
        for (k = 0; k < 3; k++)
            (void)sched_yield();
        moved += GET(&work) != before;
        must(axvm_resume(&mc.vm) == AXVCPU_OK);
        UNTIL(GET(&work) != before || ++stuck > 10000000);
    }
    ok(moved == 0 && stuck < 10000000, "trap 15: %" PRIu64 " times paused: no handler runs when wait_idle is back, and it goes on after resume", n);
    must(axvm_shutdown(&mc.vm) == AXVCPU_OK && axvm_wait_idle(&mc.vm) == AXVCPU_OK);
    ok(axvm_get_status(&mc.vm) == AXVM_STATUS_STOPPED, "shutdown and wait_idle: Stopped");
    ok(crowd_is_gone(t, VCPUS) && strange == 0, "all are out, nothing left (%" PRIu64 " times PAUSED)", paused);
    vm_gone(&mc);
}

// Several controllers that know nothing of each other, holding the handlers' lock or not.
static uint32_t controllers_done;
struct controller {
    struct chance c;
    uint64_t rounds, pauses, resumes, refused, kicks;
};
static void *controller_main(void *arg)
{
    struct controller *k = arg;
    uint64_t i;
    int err;

    for (i = 0; i < k->rounds; i++) {
        uint32_t what = chance_below(&k->c, 8), id = chance_below(&k->c, VCPUS);
        bool hold = what < 6 && (chance_next(&k->c) & 1) != 0;

        if (hold)
            pthread_mutex_lock(&own_lock);
        if (what < 2) {
            err = axvm_pause(&mc.vm);
            k->pauses += err == AXVCPU_OK;
            k->refused += err == AXVCPU_EBADSTATE;
        } else if (what < 4) {
            err = axvm_resume(&mc.vm);
            k->resumes += err == AXVCPU_OK;
            k->refused += err == AXVCPU_EBADSTATE;
        } else if (what == 4) {
            err = axvcpu_kick(&mc.vcpu[id]);
            k->kicks++;
        } else if (what == 5) {
            err = axvm_inject(&mc.vm, 15, id);
        } else if (what == 6) {
            err = axvm_get_status(&mc.vm) == AXVM_STATUS_SUSPENDED ? axvm_wait_idle(&mc.vm) : AXVCPU_OK;
        } else {
            err = axvm_move(&mc.vm, AXVM_MMIO, 0x8000, 0x8000); // the table changes under all of them
        }
        must(err == AXVCPU_OK || err == AXVCPU_EBADSTATE);
        if (hold)
            pthread_mutex_unlock(&own_lock);
        (void)sched_yield();
    }
    ADD(&controllers_done, 1u);
    return NULL;
}

static void test_storm(uint64_t seed)
{
    struct controller k[3];
    pthread_t t[VCPUS], c[3];
    uint64_t n = rounds("storm of three controllers", 20000), balance = 0, kicks = 0;
    uint32_t i;
    size_t j;
    bool good = true;

    controllers_done = 0;
    crowd(t, VCPUS);
    must(axvm_add_mmio(&mc.vm, 0x8000, 0x100, locked_work, NULL) == AXVCPU_OK);
    for (j = 0; j < COUNT(k); j++) {
        memset(&k[j], 0, sizeof(k[j]));
        k[j].c.state = seed + j;
        k[j].rounds = n / COUNT(k);
        c[j] = thread(controller_main, &k[j]);
    }
    while (GET(&controllers_done) < COUNT(k)) { // one may wait for idle when all who could pause have gone
        if (GET(&controllers_done) != 0)
            balance += axvm_pause(&mc.vm) == AXVCPU_OK;
        (void)sched_yield();
    }
    for (j = 0; j < COUNT(k); j++) {
        join(c[j]);
        balance += k[j].pauses - k[j].resumes;
        kicks += k[j].kicks;
    }
    ok(balance == (axvm_get_status(&mc.vm) == AXVM_STATUS_SUSPENDED), "pauses that were accepted are resumes that were, but for the last");
    if (axvm_get_status(&mc.vm) == AXVM_STATUS_SUSPENDED)
        must(axvm_resume(&mc.vm) == AXVCPU_OK);
    for (i = 0; i < VCPUS; i++) { // each still runs
        uint64_t before = axvcpu_fake_delivered(&mc.vcpu[i], 99);

        must(axvcpu_inject_interrupt(&mc.vcpu[i], 99) == AXVCPU_OK);
        UNTIL(axvcpu_fake_delivered(&mc.vcpu[i], 99) != before);
    }
    ok(strange == 0, "trap 15: only CANCELED came back: %" PRIu64 " paused, %" PRIu64 " of at most %" PRIu64 " kicked", paused, kicked, kicks);
    must(axvm_shutdown(&mc.vm) == AXVCPU_OK);
    good = crowd_is_gone(t, VCPUS);
    ok(good && kicked <= kicks, "all are out, nothing left");
    vm_gone(&mc);
}

// After a resume nothing of the pauses is left: neither in the word that makes run look, nor as an exit.
static void test_resume_is_clean(uint64_t seed)
{
    struct controller k = { .c.state = seed };
    uint64_t n = rounds("resume leaves nothing", 2000), i, bad = 0;
    struct axvcpu_exit x;
    uint32_t id;

    vm_loaded(&mc, VCPUS);
    vm_all_up(&mc);
    must(axvm_set_default(&mc.vm, AXVCPU_EXIT_HYPERCALL, locked_work, NULL) == AXVCPU_OK);
    for (i = 0; i < n; i++) {
        static const struct axvcpu_fake_step script[] = { CALL(1), END };
        uint32_t times = 1 + chance_below(&k.c, 3);

        for (; times != 0; times--) {
            must(axvm_pause(&mc.vm) == AXVCPU_OK);
            id = chance_below(&k.c, VCPUS);
            if ((chance_next(&k.c) & 1) != 0)
                must(axvm_run_vcpu(&mc.vm, id, &x) == AXVCPU_OK && x.flags == AXVCPU_EXIT_PAUSED);
            must(axvm_resume(&mc.vm) == AXVCPU_OK);
        }
        for (id = 0; id < VCPUS; id++) {
            bad += mc.vcpu[id].attn != AXVCPU_I_CALM;
            PLAY(&mc, id, script);
            bad += axvm_run_vcpu(&mc.vm, id, &x) != AXVCPU_OK || x.kind != AXVCPU_EXIT_RAW;
        }
    }
    ok_u64(bad, 0, "after %" PRIu64 " resumes: no CANCELED, no attention", n);
    vm_gone(&mc);
}

// ---- lives: started, run by four threads, shut down at some moment by somebody

enum killer { K_THREAD, K_HANDLER, K_TWO, K_PAUSED, K_RESUMED, KILLERS };
static const char *const killers[] = { "another thread", "a handler", "two threads", "another thread, when it is Suspended",
                                       "another thread, while a third one resumes it" };
static uint32_t countdown, shutdowns;

static enum axvm_answer kill_it(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    (void)v, (void)x, (void)arg;
    if (ADD(&countdown, UINT32_MAX) == 0)
        ADD(&shutdowns, axvm_shutdown(vm) == AXVCPU_OK);
    return AXVM_DONE;
}

static void *kill_main(void *arg)
{
    (void)arg;
    ADD(&shutdowns, axvm_shutdown(&mc.vm) == AXVCPU_OK);
    return NULL;
}

static void *resume_main(void *arg)
{
    int err = axvm_resume(&mc.vm);

    (void)arg;
    must(err == AXVCPU_OK || err == AXVCPU_EBADSTATE);
    return NULL;
}

static void test_lives(enum killer who, uint64_t seed)
{
    struct chance c = { seed };
    uint64_t n = rounds("lives", 1000), i, bad = 0;

    for (i = 0; i < n; i++) {
        pthread_t t[VCPUS], a = pthread_self(), b = a;
        uint32_t vcpus = 1 + chance_below(&c, VCPUS), delay = chance_below(&c, 20);

        shutdowns = 0;
        countdown = 1 + chance_below(&c, 50);
        crowd(t, vcpus);
        if (who == K_HANDLER)
            must(axvm_set_default(&mc.vm, AXVCPU_EXIT_HYPERCALL, kill_it, NULL) == AXVCPU_OK);
        while (delay-- != 0)
            (void)sched_yield();
        if ((who == K_PAUSED || who == K_RESUMED) && axvm_pause(&mc.vm) != AXVCPU_OK)
            bad++;
        if (who == K_RESUMED)
            b = thread(resume_main, NULL);
        if (who != K_HANDLER)
            a = thread(kill_main, NULL);
        if (who == K_TWO)
            b = thread(kill_main, NULL);
        if (!crowd_is_gone(t, vcpus) || strange != 0)
            bad++;
        if (who != K_HANDLER)
            join(a);
        if (who == K_TWO || who == K_RESUMED)
            join(b);
        bad += shutdowns != 1 || axvm_get_status(&mc.vm) != AXVM_STATUS_STOPPED;
        vm_gone(&mc);
    }
    ok_u64(bad, 0, "%" PRIu64 " VMs shut down by %s: one shutdown, all out, Stopped, nothing left", n, killers[who]);
}

// A handler that pauses its own VM: its access is done once, the caller has PAUSED, resume goes on.
static uint64_t self_pauses;
static enum axvm_answer pause_it(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    (void)v, (void)arg;
    x->mmio.data = ++self_pauses;
    must(axvm_pause(vm) == AXVCPU_OK);
    return AXVM_DONE;
}

static void test_pauses_itself(void)
{
    static const struct axvcpu_fake_step script[] = { MMIO_READ(0x1000, 4) };
    uint64_t i, bad = 0;
    struct axvcpu_exit x;

    self_pauses = 0;
    vm_loaded(&mc, 1);
    PLAY_LOOP(&mc, 0, script);
    must(axvm_add_mmio(&mc.vm, 0x1000, 8, pause_it, NULL) == AXVCPU_OK);
    for (i = 1; i <= 1000; i++) {
        bad += axvm_run_vcpu(&mc.vm, 0, &x) != AXVCPU_OK || x.kind != AXVCPU_EXIT_CANCELED || x.flags != AXVCPU_EXIT_PAUSED;
        bad += axvm_run_vcpu(&mc.vm, 0, &x) != AXVCPU_OK || x.flags != AXVCPU_EXIT_PAUSED || self_pauses != i;
        bad += axvm_resume(&mc.vm) != AXVCPU_OK;
    }
    ok_u64(bad, 0, "a handler pauses its own VM a thousand times: PAUSED each time, its access served once");
    vm_gone(&mc);
}

// ---- a device that moves itself, as a BAR does

enum { BAR_A = 0x10000, BAR_B = 0x20000, BAR_C = 0x10800, BAR_SIZE = 0x1000 };
static uint64_t bar_at, moves, bar_hits, bar_misses, mixed_up, wrong_hit;

static enum axvm_answer bar(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    uint64_t base = axvm_range_base(v);

    (void)vm;
    if (x->mmio.addr - base >= BAR_SIZE || (base != BAR_A && base != BAR_B && base != BAR_C) || arg != &bar_at)
        ADD(&mixed_up, 1u);
    ADD(&bar_hits, 1u);
    x->mmio.data = x->mmio.addr - base;
    return AXVM_DONE;
}

// A write of a config register: the new place, and the old one becomes the next value.
static enum axvm_answer config(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    (void)v, (void)arg;
    must(axvm_move(vm, AXVM_MMIO, bar_at, x->mmio.data) == AXVCPU_OK);
    bar_at = x->mmio.data;
    if (ADD(&moves, 1u) % 4 == 0)
        (void)sched_yield();
    return AXVM_DONE;
}

static enum axvm_answer nobody(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    (void)vm, (void)arg;
    ADD(&bar_misses, 1u);
    // The vCPU that moves it knows where it is, for nobody else does.
    if (axvcpu_id(v) == 0 && x->mmio.addr - bar_at < BAR_SIZE)
        ADD(&wrong_hit, 1u);
    x->mmio.data = UINT64_MAX;
    return AXVM_DONE;
}

static uint32_t over;
static void *access_main(void *arg)
{
    uint32_t id = (uint32_t)(uintptr_t)arg;
    struct axvcpu_exit x;

    while (GET(&over) == 0) {
        int err = axvm_run_vcpu(&mc.vm, id, &x);

        if (err != AXVCPU_OK || x.kind != AXVCPU_EXIT_HALT) {
            ADD(&strange, 1u);
            break;
        }
        (void)sched_yield();
    }
    return NULL;
}

static void test_bar(void)
{
    static const struct axvcpu_fake_step mover[] = {
        MMIO_WRITE(0x5000, 8, BAR_B), MMIO_READ(BAR_B + 0x10, 4), MMIO_READ(BAR_A + 0x10, 4),
        MMIO_WRITE(0x5000, 8, BAR_C), MMIO_READ(BAR_C + 0x10, 4), MMIO_READ(BAR_A + 0x7fc, 4),
        MMIO_WRITE(0x5000, 8, BAR_A), MMIO_READ(BAR_A, 4), MMIO_READ(BAR_A + 0xffc, 4), MMIO_READ(BAR_A + 0x1000, 4), HALT,
    };
    static const struct axvcpu_fake_step accesses[] = {
        MMIO_READ(BAR_A, 4), MMIO_READ(BAR_B + 4, 4), MMIO_WRITE(BAR_A + 0xff8, 8, 1), MMIO_READ(BAR_B + 0xff8, 8),
        MMIO_READ(BAR_C + 0x400, 4), MMIO_READ(BAR_A + 0x800, 4), HALT,
    };
    uint64_t n = rounds("a BAR moves", 10000), own_hits = 0, before;
    struct axvcpu_exit x;
    pthread_t t[2];
    uint32_t i;

    over = 0;
    moves = bar_hits = bar_misses = mixed_up = wrong_hit = strange = 0;
    bar_at = BAR_A;
    vm_loaded(&mc, 3);
    vm_all_up(&mc);
    must(axvm_add_mmio(&mc.vm, BAR_A, BAR_SIZE, bar, &bar_at) == AXVCPU_OK);
    must(axvm_add_mmio(&mc.vm, 0x5000, 8, config, NULL) == AXVCPU_OK);
    must(axvm_set_default(&mc.vm, AXVCPU_EXIT_MMIO_READ, nobody, NULL) == AXVCPU_OK);
    must(axvm_set_default(&mc.vm, AXVCPU_EXIT_MMIO_WRITE, nobody, NULL) == AXVCPU_OK);
    PLAY_LOOP(&mc, 0, mover);
    for (i = 0; i < 2; i++) {
        PLAY_LOOP(&mc, i + 1, accesses);
        t[i] = thread(access_main, (void *)(uintptr_t)(i + 1));
    }
    while (GET(&moves) < n) {
        must(axvm_run_vcpu(&mc.vm, 0, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_HALT);
        own_hits += 4;
    }
    PUT(&over, 1u);
    for (i = 0; i < 2; i++)
        join(t[i]);
    ok(mixed_up == 0 && strange == 0, "trap 44: a BAR moves %" PRIu64 " times under two vCPUs: its handler always sees its own base", moves);
    ok(wrong_hit == 0 && bar_hits >= own_hits, "and who moved it finds it where it is now, and nowhere else");
    before = bar_hits + bar_misses;
    must(axvm_run_vcpu(&mc.vm, 1, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_HALT);
    ok(bar_hits + bar_misses == before + 6, "each access had one handler");
    note("%" PRIu64 " hits, %" PRIu64 " misses", bar_hits, bar_misses);
    vm_gone(&mc);
}

// ---- removal while the handler runs elsewhere

static uint64_t in_handler, handler_calls;
static enum axvm_answer slow(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    int i;

    (void)vm, (void)v, (void)x;
    ADD(&in_handler, 1u);
    if (GET((uint64_t *)arg) == 0) // its device is gone
        ADD(&mixed_up, 1u);
    ADD(&handler_calls, 1u);
    for (i = 0; i < 4; i++)
        (void)sched_yield();
    ADD(&in_handler, UINT64_MAX);
    return AXVM_DONE;
}

static void test_removal(void)
{
    static const struct axvcpu_fake_step accesses[] = { MMIO_WRITE(0x1000, 4, 1), MMIO_WRITE(0x1010, 4, 1), HALT };
    uint64_t n = rounds("removal while the handler runs", 3000), i, still = 0, late = 0, alive = 0;
    pthread_t t[2];
    uint32_t k;

    over = 0;
    strange = mixed_up = handler_calls = 0;
    vm_loaded(&mc, 3);
    vm_all_up(&mc);
    must(axvm_set_default(&mc.vm, AXVCPU_EXIT_MMIO_WRITE, nobody, NULL) == AXVCPU_OK);
    for (k = 0; k < 2; k++) {
        PLAY_LOOP(&mc, k + 1, accesses);
        t[k] = thread(access_main, (void *)(uintptr_t)(k + 1));
    }
    for (i = 0; i < n; i++) {
        uint64_t before = GET(&handler_calls);

        PUT(&alive, 1u);
        must(axvm_add_mmio(&mc.vm, 0x1000, 0x100, slow, &alive) == AXVCPU_OK);
        if (i % 4 != 0) // also before anybody has come
            UNTIL(GET(&handler_calls) > before);
        must(axvm_remove(&mc.vm, AXVM_MMIO, 0x1000) == AXVCPU_OK);
        PUT(&alive, 0u); // as if it were freed
        still += GET(&in_handler) != 0;
        before = GET(&handler_calls);
        (void)sched_yield();
        late += GET(&handler_calls) != before;
    }
    PUT(&over, 1u);
    for (k = 0; k < 2; k++)
        join(t[k]);
    ok(still == 0 && late == 0 && mixed_up == 0 && strange == 0,
       "%" PRIu64 " removals under two vCPUs (%" PRIu64 " calls): when remove is back the handler runs nowhere and never again", n,
       handler_calls);
    vm_gone(&mc);
}

// ---- handlers that remove each other's device, in a ring

static struct gate ring_gate;
static uint32_t ring;
static int ring_err[VCPUS];
static enum axvm_answer removes_next(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    uint32_t id = axvcpu_id(v);

    (void)x, (void)arg;
    gate_pass(&ring_gate); // all of them are inside now
    ring_err[id] = axvm_remove(vm, AXVM_MMIO, 0x1000 + (uint64_t)((id + 1) % ring) * 0x100);
    return AXVM_RETURN;
}

static uint64_t ring_rounds;
static void *ring_main(void *arg)
{
    uint32_t id = (uint32_t)(uintptr_t)arg;
    struct axvcpu_exit x;
    uint64_t i;

    for (i = 0; i < ring_rounds; i++) {
        must(axvm_add_mmio(&mc.vm, 0x1000 + (uint64_t)id * 0x100, 4, removes_next, NULL) == AXVCPU_OK);
        gate_pass(&ring_gate);
        if (axvm_run_vcpu(&mc.vm, id, &x) != AXVCPU_OK || x.kind != AXVCPU_EXIT_MMIO_WRITE || ring_err[id] != AXVCPU_OK)
            ADD(&strange, 1u);
        gate_pass(&ring_gate);
    }
    return NULL;
}

static void test_ring(uint32_t n)
{
    static const struct axvcpu_fake_step access[VCPUS][1] = {
        { MMIO_WRITE(0x1000, 4, 1) }, { MMIO_WRITE(0x1100, 4, 1) }, { MMIO_WRITE(0x1200, 4, 1) }, { MMIO_WRITE(0x1300, 4, 1) }
    };
    pthread_t t[VCPUS];
    uint32_t i;

    ring = n;
    ring_rounds = rounds("a ring of removals", 2000);
    ring_gate = (struct gate){ .threads = n };
    strange = 0;
    vm_loaded(&mc, n);
    vm_all_up(&mc);
    for (i = 0; i < n; i++) {
        PLAY_LOOP(&mc, i, access[i]);
        t[i] = thread(ring_main, (void *)(uintptr_t)i);
    }
    for (i = 0; i < n; i++)
        join(t[i]);
    ok(strange == 0, "trap 44: %u handlers remove each other's device in a ring, %" PRIu64 " times: none waits for ever", n, ring_rounds);
    vm_gone(&mc);
}

// ---- tables that change all the time

struct churn_device {
    uint64_t base, size;
};
static enum axvm_answer churn_device(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    const struct churn_device *d = arg;
    uint64_t at = x->kind == AXVCPU_EXIT_IO_WRITE ? x->io.port : x->mmio.addr;

    (void)vm;
    if (at < d->base || at - d->base >= d->size || axvm_range_base(v) != d->base)
        ADD(&mixed_up, 1u);
    if (ADD(&handler_calls, 1u) % 16 == 0)
        (void)sched_yield(); // so that the table changes in the middle of a string
    return AXVM_DONE;
}

struct churner {
    struct chance c;
    uint64_t rounds;
    uint32_t place; // its own stretch of addresses
};
static void *churn_main(void *arg)
{
    struct churner *k = arg;
    static struct churn_device devices[2][64];
    bool there[64] = { false };
    uint64_t i;
    uint32_t d;

    for (d = 0; d < 64; d++)
        devices[k->place][d] = (struct churn_device){ 0x1000 * (k->place + 1u) + d * 16, 1 + d % 16 };
    for (i = 0; i < k->rounds; i++) {
        const struct churn_device *dev = &devices[k->place][d = chance_below(&k->c, 64)];
        int err = there[d] ? axvm_remove(&mc.vm, AXVM_MMIO, dev->base) :
                             axvm_add_mmio(&mc.vm, dev->base, dev->size, churn_device, (void *)(uintptr_t)dev);

        must(err == AXVCPU_OK || (err == AXVCPU_ENOMEM && !there[d]));
        there[d] = err == AXVCPU_OK ? !there[d] : there[d];
        if (i % 4 == 0)
            (void)sched_yield();
    }
    for (d = 0; d < 64; d++) {
        if (there[d])
            must(axvm_remove(&mc.vm, AXVM_MMIO, devices[k->place][d].base) == AXVCPU_OK);
    }
    return NULL;
}

static void test_churn(uint64_t seed)
{
    static struct axvcpu_fake_step script[129], strings[2];
    static uint8_t buf[16];
    static struct churn_device port = { 0x40, 4 };
    static const struct axvcpu_fake_step halt = HALT, string = IO_WRITE(0x40, 2, 8, buf);
    static struct axvm_range ranges[80];
    struct churner k[2];
    struct axvm_desc d = vm_desc(&mc, 3);
    uint64_t n = rounds("adds and removes", 60000);
    pthread_t t[2], c[2];
    uint32_t i;

    for (i = 0; i < 128; i++)
        script[i] = (struct axvcpu_fake_step)MMIO_WRITE(0x1000 * (i / 64 + 1) + i % 64 * 16, 1, 1);
    script[128] = strings[1] = halt;
    strings[0] = string;
    over = 0;
    strange = mixed_up = handler_calls = bar_misses = 0;
    memset(&mc, 0, sizeof(mc));
    d.ranges = ranges;
    d.max_ranges = COUNT(ranges);
    must(axvm_init(&mc.vm, &d) == AXVCPU_OK && axvm_boot(&mc.vm) == AXVCPU_OK);
    vm_all_up(&mc);
    must(axvm_add_port(&mc.vm, 0x40, 4, churn_device, &port) == AXVCPU_OK);
    must(axvm_set_default(&mc.vm, AXVCPU_EXIT_MMIO_WRITE, nobody, NULL) == AXVCPU_OK);
    PLAY_LOOP(&mc, 1, script);
    PLAY_LOOP(&mc, 2, strings);
    for (i = 0; i < 2; i++) {
        k[i] = (struct churner){ { seed + i }, n / 2, i };
        t[i] = thread(access_main, (void *)(uintptr_t)(i + 1));
        c[i] = thread(churn_main, &k[i]);
    }
    for (i = 0; i < 2; i++)
        join(c[i]);
    PUT(&over, 1u);
    for (i = 0; i < 2; i++)
        join(t[i]);
    ok(mixed_up == 0, "%" PRIu64 " adds and removes by two threads under two vCPUs: a handler always gets its own range and argument", n);
    ok(strange == 0, "and a string access to a device that stays comes through whole (%" PRIu64 " calls, %" PRIu64 " misses)", handler_calls,
       bar_misses);
    vm_gone(&mc);
}

// ---- defaults that change: a handler never gets another's argument

static int tokens[2];
static enum axvm_answer default_0(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    (void)vm, (void)v, (void)x;
    ADD(arg == &tokens[0] ? &handler_calls : &mixed_up, 1u);
    return AXVM_DONE;
}
static enum axvm_answer default_1(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    (void)vm, (void)v, (void)x;
    ADD(arg == &tokens[1] ? &handler_calls : &mixed_up, 1u);
    return AXVM_DONE;
}

static void *default_main(void *arg)
{
    uint64_t n = *(const uint64_t *)arg, i;

    for (i = 0; i < n || GET(&handler_calls) < n; i++) {
        must(axvm_set_default(&mc.vm, AXVCPU_EXIT_HYPERCALL, i % 2 == 0 ? default_1 : default_0, &tokens[(i + 1) % 2]) == AXVCPU_OK);
        if (i % 1024 == 0)
            (void)sched_yield();
    }
    return NULL;
}

static void *caller_main(void *arg) // never leaves by itself: the more calls meet a change
{
    uint32_t id = (uint32_t)(uintptr_t)arg;
    struct axvcpu_exit x;

    if (axvm_run_vcpu(&mc.vm, id, &x) != AXVCPU_OK || x.kind != AXVCPU_EXIT_CANCELED)
        ADD(&strange, 1u);
    return NULL;
}

static void test_defaults(void)
{
    static const struct axvcpu_fake_step calls[] = { CALL(1), CALL(2), CALL(3), CALL(4), CALL(5), CALL(6), CALL(7), CALL(8) };
    uint64_t n = rounds("a default changes", 300000) / 2;
    pthread_t t[2], c[2];
    uint32_t i;

    strange = mixed_up = handler_calls = 0;
    vm_loaded(&mc, 3);
    vm_all_up(&mc);
    must(axvm_set_default(&mc.vm, AXVCPU_EXIT_HYPERCALL, default_0, &tokens[0]) == AXVCPU_OK);
    for (i = 0; i < 2; i++) {
        PLAY_LOOP(&mc, i + 1, calls);
        t[i] = thread(caller_main, (void *)(uintptr_t)(i + 1));
        c[i] = thread(default_main, &n);
    }
    for (i = 0; i < 2; i++)
        join(c[i]);
    for (i = 0; i < 2; i++) {
        must(axvcpu_kick(&mc.vcpu[i + 1]) == AXVCPU_OK);
        join(t[i]);
    }
    ok_u64(mixed_up, 0, "a default is replaced by two threads while two vCPUs call it: each handler gets its own argument");
    ok(strange == 0, "and there is always one (%" PRIu64 " calls)", handler_calls);
    vm_gone(&mc);
}

// ---- blocked by its handler, without the hooks to sleep

static enum axvm_answer block_it(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    (void)vm, (void)x;
    must(axvcpu_block(v) == AXVCPU_OK);
    return *(const enum axvm_answer *)arg;
}

static void test_block_without_park(void)
{
    static const struct axvcpu_fake_step script[] = { HALT, CALL(1), CALL(2), CALL(3) };
    static const struct { const char *name; enum axvm_answer answer; int err; uint32_t flags; } rows[] = {
        { "DONE", AXVM_DONE, AXVCPU_OK, AXVCPU_EXIT_HANDLED },
        { "RETRY", AXVM_RETRY, AXVCPU_OK, AXVCPU_EXIT_HANDLED },
        { "RETURN", AXVM_RETURN, AXVCPU_OK, 0 },
        { "ERROR", AXVM_ERROR, AXVCPU_EIO, 0 },
    };
    struct axvcpu_exit x;
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        enum axvm_answer answer = rows[i].answer;
        bool good;

        vm_loaded(&mc, 1);
        PLAY(&mc, 0, script);
        must(axvm_set_default(&mc.vm, AXVCPU_EXIT_HALT, block_it, &answer) == AXVCPU_OK);
        good = axvm_run_vcpu(&mc.vm, 0, &x) == rows[i].err && x.kind == AXVCPU_EXIT_HALT && x.flags == rows[i].flags;
        good = good && vm_leftover(&mc, 0)[0] == '\0' && axvcpu_get_state(&mc.vcpu[0]) == AXVCPU_STATE_FREE;
        good = good && axvm_run_vcpu(&mc.vm, 0, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_HYPERCALL;
        ok(good && mc.vcpu[0].latch == 0, "a handler blocks its vCPU and says %s, nobody can sleep: back with the HALT, unbound, no latch",
           rows[i].name);
        vm_gone(&mc);
    }
}

int main(void)
{
    uint64_t seed;
    uint32_t i;

    tap_begin(290);
    seed = chance_seed();
    test_pauses_itself();
    test_block_without_park();
    test_resume_is_clean(seed);
    test_pause_stops();
    test_storm(seed);
    for (i = 0; i < KILLERS; i++)
        test_lives((enum killer)i, seed);
    test_bar();
    test_removal();
    for (i = 2; i <= VCPUS; i++)
        test_ring(i);
    test_churn(seed);
    test_defaults();
    return tap_done();
}
