// SPDX-License-Identifier: Apache-2.0
//
// CPU_UP and CPU_DOWN: of two callers one wins, the guests are told, registers are reset, entry and argument
// arrive at full width, and a vCPU that went down comes up again, whoever runs it at the moment (trap 27).
#define VM_CHAOS 128
#include "vm.h"

static struct machine mc;

static enum axvm_answer serve_up(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    (void)v;
    if (arg != NULL)
        *(int *)arg = axvm_cpu_up(vm, x);
    else
        (void)axvm_cpu_up(vm, x);
    return AXVM_DONE;
}

// ---- one call: who is told what

struct up {
    const char *name;
    uint64_t target, entry, arg;
    int err;
    uint64_t told;
};
#define TOLD_OK AXVM_LEAF_UP_OK
#define TOLD_ALREADY AXVM_LEAF_UP_ALREADY
#define TOLD_INVALID AXVM_LEAF_UP_INVALID
// vCPU 0 asks; 1 is down, 2 is up; there are three.
static const struct up ups[] = {
    { "one that is down", 1, 0x4000, 5, AXVCPU_OK, TOLD_OK },
    { "... with nothing", 1, 0, 0, AXVCPU_OK, TOLD_OK },
    { "... with a 64-bit argument", 1, 0x4000, UINT64_C(0xfedcba9876543210), AXVCPU_OK, TOLD_OK },
    { "... with a 64-bit entry", 1, UINT64_C(0xfedcba9876543210), 1, AXVCPU_OK, TOLD_OK },
    { "... with all ones", 1, UINT64_MAX, UINT64_MAX, AXVCPU_OK, TOLD_OK },
    { "... with bit 32", 1, UINT64_C(1) << 32, UINT64_C(1) << 32, AXVCPU_OK, TOLD_OK },
    { "one that is up", 2, 0x4000, 5, AXVCPU_EBUSY, TOLD_ALREADY },
    { "itself", 0, 0x4000, 5, AXVCPU_EBUSY, TOLD_ALREADY },
    { "one too many", 3, 0x4000, 5, AXVCPU_EINVAL, TOLD_INVALID },
    { "2^32 + 1", (UINT64_C(1) << 32) + 1, 0x4000, 5, AXVCPU_EINVAL, TOLD_INVALID },
    { "2^63 + 1", (UINT64_C(1) << 63) + 1, 0x4000, 5, AXVCPU_EINVAL, TOLD_INVALID },
    { "2^64 - 1", UINT64_MAX, 0x4000, 5, AXVCPU_EINVAL, TOLD_INVALID },
};

static void up_two(struct machine *m)
{
    struct axvcpu_exit x = { .kind = AXVCPU_EXIT_CPU_UP, .cpu_up = { 2, AP_ENTRY, 9 } };

    vm_loaded(m, 3);
    must(axvm_cpu_up(&m->vm, &x) == AXVCPU_OK);
}

// By a handler, by the caller of axvm_run_vcpu, or by the caller of axvm_step.
enum way { BY_HANDLER, BY_CALLER, BY_STEPPER };
static const char *const ways[] = { "in a handler", "by the caller of run_vcpu", "by the caller of step" };

static void test_up(const struct up *u, enum way way)
{
    struct axvcpu_fake_step script[] = { CPU_UP(u->target, u->entry, u->arg), HALT };
    struct axvcpu_exit x;
    struct axvcpu *v = &mc.vcpu[1];
    uint32_t i;
    int err = -1;
    bool good;

    up_two(&mc);
    PLAY(&mc, 0, script);
    must(axvcpu_set_gpr(&mc.vcpu[0], 0, 0x77) == AXVCPU_OK && axvcpu_set_gpr(&mc.vcpu[0], 1, 0x88) == AXVCPU_OK);
    for (i = 0; i < AXVCPU_LEAF_GPRS; i++)
        must(axvcpu_set_gpr(v, i, 0x1000 + i) == AXVCPU_OK);
    if (way == BY_HANDLER)
        must(axvm_set_default(&mc.vm, AXVCPU_EXIT_CPU_UP, serve_up, &err) == AXVCPU_OK);
    if (way == BY_STEPPER)
        must(axvcpu_bind(&mc.vcpu[0]) == AXVCPU_OK && axvm_step(&mc.vm, 0, &x) == AXVCPU_OK);
    else
        must(axvm_run_vcpu(&mc.vm, 0, &x) == AXVCPU_OK);
    must(x.kind == (way == BY_HANDLER ? AXVCPU_EXIT_HALT : AXVCPU_EXIT_CPU_UP));
    if (way != BY_HANDLER)
        err = axvm_cpu_up(&mc.vm, &x);
    good = err == u->err && vm_reg(&mc, 0, 0) == u->told && vm_reg(&mc, 0, 1) == 0x88;
    if (way != BY_HANDLER && err == 0) // the question has been answered: a second try is nobody's
        good = good && axvm_cpu_up(&mc.vm, &x) == AXVCPU_EBUSY && vm_reg(&mc, 0, 0) == TOLD_OK;
    if (way == BY_STEPPER)
        must(axvcpu_unbind(&mc.vcpu[0]) == AXVCPU_OK);
    for (i = 0; i < AXVCPU_LEAF_GPRS; i++)
        good = good && v->arch.gpr[i] == (u->err != 0 ? 0x1000 + i : i == 0 ? u->arg : 0);
    if (u->err == 0)
        good = good && v->arch.pc == u->entry && v->arch.entry == u->entry && axvm_run_vcpu(&mc.vm, 1, &x) == AXVCPU_OK;
    else
        good = good && v->arch.pc == AP_ENTRY && axvm_run_vcpu(&mc.vm, 1, &x) == AXVCPU_EAGAIN;
    good = good && vm_reg(&mc, 2, 0) == 9 && vm_leftover(&mc, 0)[0] == '\0';
    ok(good, "CPU_UP of %s, served %s: %s, the guest is told", u->name, ways[way], error_name(u->err));
    vm_gone(&mc);
}

static void test_bad_calls(void)
{
    struct axvcpu_exit x = { .kind = AXVCPU_EXIT_HALT };

    up_two(&mc);
    ok_err(axvm_cpu_up(&mc.vm, NULL), AXVCPU_EINVAL, "cpu_up of NULL");
    ok_err(axvm_cpu_up(&mc.vm, &x), AXVCPU_EINVAL, "cpu_up of another exit");
    x.kind = AXVCPU_EXIT_CPU_DOWN;
    ok_err(axvm_cpu_up(&mc.vm, &x), AXVCPU_EINVAL, "cpu_up of CPU_DOWN");
    x.kind = AXVCPU_EXIT_CPU_UP;
    x.cpu_up.target = 1;
    ok_err(axvm_cpu_up(&mc.vm, &x), AXVCPU_OK, "cpu_up of a record of the caller's own");
    ok(vm_reg(&mc, 0, 0) == 0 && vm_reg(&mc, 2, 0) == 9, "which nobody has asked for, so nobody is told");
    vm_gone(&mc);
}

// One record for two vCPUs, as a loop over all vCPUs has it. The first one's question is answered by the
// caller himself; the second one's is not the first one's.
static void test_one_record(void)
{
    static const struct axvcpu_fake_step script[] = { CPU_UP(1, 0x4000, 5), HALT };
    struct axvcpu_exit x;

    up_two(&mc);
    PLAY(&mc, 0, script);
    PLAY(&mc, 2, script);
    must(axvm_run_vcpu(&mc.vm, 0, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_CPU_UP);
    must(axvcpu_set_return_value(&mc.vcpu[0], 0x66) == AXVCPU_OK);
    must(axvm_run_vcpu(&mc.vm, 2, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_CPU_UP);
    must(axvm_cpu_up(&mc.vm, &x) == AXVCPU_OK);
    ok_u64(vm_reg(&mc, 0, 0), 0x66, "a record used for two vCPUs: who was answered by hand is left alone");
    ok_u64(vm_reg(&mc, 2, 0), TOLD_OK, "and who asked last is told");
    vm_gone(&mc);
}

// ---- the backend fails to reset it

static void test_failing_restart(void)
{
    struct axvcpu_exit x = { .kind = AXVCPU_EXIT_CPU_UP, .cpu_up = { 1, 0x4000, 5 } }, y;
    int i;

    up_two(&mc);
    must(axvcpu_fake_fail(&mc.vcpu[1], AXVCPU_FAKE_SET_ENTRY, 1, AXVCPU_EIO) == AXVCPU_OK);
    ok_err(axvm_cpu_up(&mc.vm, &x), AXVCPU_EIO, "the backend fails to restart it");
    ok(axvcpu_get_state(&mc.vcpu[1]) == AXVCPU_STATE_INVALID && mc.vcpu[1].owner == NULL, "it is Invalid and nobody's");
    for (i = 0; i < 2; i++)
        ok_err(axvm_cpu_up(&mc.vm, &x), AXVCPU_EBADSTATE, "and stays so");
    must(axvcpu_reset(&mc.vcpu[1]) == AXVCPU_OK && axvcpu_setup(&mc.vcpu[1], axvcpu_gpa(0), axvm_root(&mc.vm), NULL) == AXVCPU_OK);
    ok_err(axvm_run_vcpu(&mc.vm, 1, &y), AXVCPU_EAGAIN, "set up again by the host it is still down");
    ok_err(axvm_cpu_up(&mc.vm, &x), AXVCPU_OK, "and can come up");
    ok(axvm_run_vcpu(&mc.vm, 1, &y) == AXVCPU_OK && y.kind == AXVCPU_EXIT_HALT, "and run");
    vm_gone(&mc);
}

// ---- down and up again

static void test_down_and_up(uint32_t who)
{
    static const struct axvcpu_fake_step script[] = { EFFECT(AXVCPU_REG_GPR(5), 55), CALL(1), CPU_DOWN, CALL(2), CALL(3) };
    struct axvcpu_exit x, up = { .kind = AXVCPU_EXIT_CPU_UP, .cpu_up = { who, 0x4000, 1 } };
    struct axvcpu *v = &mc.vcpu[who];
    uint32_t i;
    bool good;

    up_two(&mc);
    PLAY(&mc, who, script);
    for (i = 0; i < 3; i++) {
        if (who != 0 || i != 0)
            ok_err(axvm_cpu_up(&mc.vm, &up), who == 2 && i == 0 ? AXVCPU_EBUSY : AXVCPU_OK, "up");
        ok_err(axvm_cpu_up(&mc.vm, &up), AXVCPU_EBUSY, "up, when it is up");
        good = axvm_run_vcpu(&mc.vm, who, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_HYPERCALL && x.hypercall.nr == 1;
        good = good && axvm_run_vcpu(&mc.vm, who, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_CPU_DOWN;
        good = good && axvm_run_vcpu(&mc.vm, who, &x) == AXVCPU_EAGAIN && x.kind == AXVCPU_EXIT_NOTHING;
        good = good && axvcpu_get_state(v) == AXVCPU_STATE_FREE && v->owner == NULL;
        ok(good, "trap 27: vCPU %u, time %u: runs from the entry, goes down, does not run on", who, i + 1);
        must(axvcpu_inject_interrupt(v, 50) == AXVCPU_OK && axvcpu_set_irq(v, 60, true) == AXVCPU_OK);
        must(axvcpu_unblock(v) == AXVCPU_OK);
    }
    up.cpu_up.arg = UINT64_C(0x123456789abcdef0);
    must(axvm_cpu_up(&mc.vm, &up) == AXVCPU_OK);
    ok(v->arch.gpr[5] == 0 && v->arch.gpr[0] == up.cpu_up.arg && v->arch.pc == 0x4000, "vCPU %u: its registers are reset", who);
    must(axvm_run_vcpu(&mc.vm, who, &x) == AXVCPU_OK);
    ok_u64(axvcpu_fake_delivered(v, 50), 0, "vCPU %u: an edge from before the reset is gone", who);
    ok(axvcpu_fake_delivered(v, 60) != 0, "vCPU %u: a line that is still driven is not (it is driven until lowered)", who);
    must(axvcpu_set_irq(v, 60, false) == AXVCPU_OK && axvm_run_vcpu(&mc.vm, who, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_CPU_DOWN);
    must(axvcpu_kick(v) == AXVCPU_OK && axvm_cpu_up(&mc.vm, &up) == AXVCPU_OK && axvm_run_vcpu(&mc.vm, who, &x) == AXVCPU_OK);
    ok(x.kind == AXVCPU_EXIT_CANCELED, "vCPU %u: a kick from before the reset is answered", who);
    ok(axvm_run_vcpu(&mc.vm, who, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_HYPERCALL, "vCPU %u: then it runs", who);
    vm_gone(&mc);
}

// A handler may say that the guest stays up.
static void test_down_refused(void)
{
    static const struct axvcpu_fake_step script[] = { CPU_DOWN, END };
    struct device refuses = { .answer = AXVM_DONE };
    struct axvcpu_exit x;

    vm_loaded(&mc, 1);
    PLAY(&mc, 0, script);
    must(axvm_set_default(&mc.vm, AXVCPU_EXIT_CPU_DOWN, device, &refuses) == AXVCPU_OK);
    ok(axvm_run_vcpu(&mc.vm, 0, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_RAW && axvm_run_vcpu(&mc.vm, 0, &x) == AXVCPU_OK,
       "CPU_DOWN that a handler serves is no CPU_DOWN");
    vm_gone(&mc);
}

// ---- a CPU that keeps its vCPU bound and steps it

static uint32_t stepper_ready, stepper_stop, stepper_hold, stepper_held;
static struct machine sm; // its threads may hang
static void *stepper(void *arg)
{
    struct axvcpu_exit x = { 0 };
    int err = AXVCPU_EAGAIN;

    (void)arg;
    must(axvcpu_bind(&sm.vcpu[1]) == AXVCPU_OK);
    PUT(&stepper_ready, 1u);
    while (err == AXVCPU_EAGAIN && GET(&stepper_stop) == 0) {
        PUT(&stepper_held, GET(&stepper_hold));
        UNTIL(GET(&stepper_hold) == 0);
        err = axvm_step(&sm.vm, 1, &x);
        (void)sched_yield();
    }
    must(err == AXVCPU_EAGAIN || x.kind == AXVCPU_EXIT_HYPERCALL);
    must(axvcpu_unbind(&sm.vcpu[1]) == AXVCPU_OK);
    return NULL;
}

static void up_of_stepped(void *arg)
{
    struct axvcpu_exit x = { .kind = AXVCPU_EXIT_CPU_UP, .cpu_up = { 1, 0x4000, 5 } };

    *(int *)arg = axvm_cpu_up(&sm.vm, &x);
}

static void test_stepped(void)
{
    static const struct axvcpu_fake_step script[] = { CALL(1), CALL(2) };
    struct timespec tick = { 0, 10000000 };
    int err = -1;
    pthread_t t;
    bool done;

    vm_loaded(&sm, 2);
    PLAY(&sm, 1, script);
    t = thread(stepper, NULL);
    UNTIL(GET(&stepper_ready) != 0);
    (void)nanosleep(&tick, NULL);
    ok_u64(axvcpu_fake_calls(&sm.vcpu[1], AXVCPU_FAKE_RUN), 0, "an AP that its CPU has bound and steps does not run before it is up");
    PUT(&stepper_hold, 1u);
    UNTIL(GET(&stepper_held) != 0);
    must(axvcpu_inject_interrupt(&sm.vcpu[1], 50) == AXVCPU_OK);
    done = finishes(up_of_stepped, &err);
    ok(done && err == AXVCPU_OK, "CPU_UP of it does not wait for that CPU");
    must(axvcpu_inject_interrupt(&sm.vcpu[1], 51) == AXVCPU_OK);
    if (!done)
        PUT(&stepper_stop, 1u);
    PUT(&stepper_hold, 0u);
    join(t);
    ok(axvcpu_fake_delivered(&sm.vcpu[1], 50) == 0 && axvcpu_fake_delivered(&sm.vcpu[1], 51) == 1,
       "an interrupt from before the CPU_UP is forgotten, one that comes before it runs is not");
    ok(sm.vcpu[1].arch.entry == 0x4000 && sm.vcpu[1].arch.gpr[0] == 5 && axvcpu_fake_calls(&sm.vcpu[1], AXVCPU_FAKE_RUN) == 1,
       "and it runs from there");
}

// ---- two callers

static struct gate gate, close_gate;
static uint64_t race_rounds;
struct asker {
    uint32_t id;
    struct axvcpu_fake_step script[2];
    struct chance c;
    uint64_t won, lost, bad;
    int err;
};

static enum axvm_answer race_up(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    struct asker *a = &((struct asker *)arg)[axvcpu_id(v)];

    gate_pass(&close_gate);
    a->err = axvm_cpu_up(vm, x);
    return AXVM_DONE;
}

// The winner runs the target from its own entry with its own argument, and then down.
static bool race_run(const struct asker *a)
{
    const struct axvcpu_exit_cpu_up *up = &a->script[0].exit.cpu_up;
    struct axvcpu_exit x;

    return mc.vcpu[2].arch.pc == up->entry && mc.vcpu[2].arch.gpr[0] == up->arg && axvm_run_vcpu(&mc.vm, 2, &x) == AXVCPU_OK &&
           x.kind == AXVCPU_EXIT_CPU_DOWN;
}

static void *race_main(void *arg)
{
    struct asker *a = arg;
    struct axvcpu_exit x;
    uint64_t i;

    for (i = 0; i < race_rounds; i++) {
        a->script[0].exit.cpu_up.entry = chance_next(&a->c);
        a->script[0].exit.cpu_up.arg = chance_next(&a->c);
        gate_pass(&gate);
        if (axvm_run_vcpu(&mc.vm, a->id, &x) != AXVCPU_OK || x.kind != AXVCPU_EXIT_HALT)
            a->bad++;
        gate_pass(&gate);
        if (a->err == AXVCPU_OK && vm_reg(&mc, a->id, 0) == TOLD_OK)
            a->won++, a->bad += !race_run(a);
        else if (a->err == AXVCPU_EBUSY && vm_reg(&mc, a->id, 0) == TOLD_ALREADY)
            a->lost++;
        else
            a->bad++;
    }
    return NULL;
}

static void test_race(uint64_t seed)
{
    static const struct axvcpu_fake_step down[] = { CPU_DOWN };
    static struct asker askers[2];
    pthread_t t[2];
    uint32_t k;

    race_rounds = rounds("races of two CPU_UP", 100000);
    gate = close_gate = (struct gate){ .threads = 2 };
    vm_loaded(&mc, 3);
    must(axvm_set_default(&mc.vm, AXVCPU_EXIT_CPU_UP, race_up, askers) == AXVCPU_OK);
    PLAY_LOOP(&mc, 2, down);
    for (k = 0; k < 2; k++) {
        struct axvcpu_fake_step script[2] = { CPU_UP(2, 0, 0), HALT };
        struct axvcpu_exit x = { .kind = AXVCPU_EXIT_CPU_UP, .cpu_up = { 1, 0, 0 } };

        memcpy(askers[k].script, script, sizeof(script));
        askers[k].id = k;
        askers[k].c.state = seed + k;
        if (k == 1)
            must(axvm_cpu_up(&mc.vm, &x) == AXVCPU_OK);
        PLAY_LOOP(&mc, k, askers[k].script);
    }
    for (k = 0; k < 2; k++)
        t[k] = thread(race_main, &askers[k]);
    for (k = 0; k < 2; k++)
        join(t[k]);
    note("vCPU 0 won %" PRIu64 ", vCPU 1 won %" PRIu64, askers[0].won, askers[1].won);
    ok_u64(askers[0].bad + askers[1].bad, 0, "results and registers are those of a winner or a loser; the target is the winner's");
    ok_u64(askers[0].won + askers[1].won, race_rounds, "trap 27: one winner in each round");
    ok_u64(askers[0].lost + askers[1].lost, race_rounds, "and one who is told ALREADY_ON");
    vm_gone(&mc);
}

// ---- free running: two ask, two run the target, which goes down by itself

static uint32_t free_stop;
static uint64_t starts, visits, wrong;
static enum axvm_answer count_start(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    uint64_t value = 0;

    (void)vm, (void)x, (void)arg;
    must(axvcpu_get_gpr(v, 0, &value) == AXVCPU_OK);
    if (value == 0) // the argument of a CPU_UP is never 0; this run follows none
        ADD(&wrong, 1u);
    must(axvcpu_set_gpr(v, 0, 0) == AXVCPU_OK);
    ADD(&starts, 1u);
    return AXVM_DONE;
}

static void *free_runner(void *arg)
{
    struct axvcpu_exit x;

    (void)arg;
    while (GET(&free_stop) == 0) {
        int err = axvm_run_vcpu(&mc.vm, 2, &x);

        if (err == AXVCPU_OK && x.kind == AXVCPU_EXIT_CPU_DOWN)
            ADD(&visits, 1u);
        else if (err != AXVCPU_EAGAIN)
            ADD(&wrong, 1u);
        else
            (void)sched_yield();
    }
    return NULL;
}

struct free_asker {
    uint32_t id;
    uint64_t rounds, won, lost;
};
static void *free_asker(void *arg)
{
    struct free_asker *a = arg;
    struct axvcpu_exit x;
    uint64_t i;

    for (i = 0; i < a->rounds; i++) {
        must(axvm_run_vcpu(&mc.vm, a->id, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_HALT);
        if (vm_reg(&mc, a->id, 0) == TOLD_OK)
            a->won++;
        else if (vm_reg(&mc, a->id, 0) == TOLD_ALREADY)
            a->lost++;
        else
            ADD(&wrong, 1u);
        if ((i & 7) == 0)
            (void)sched_yield();
    }
    return NULL;
}

static void test_free_running(void)
{
    static const struct axvcpu_fake_step target[] = { CALL(1), CPU_DOWN }, asks[] = { CPU_UP(2, 0x4000, 5), HALT };
    struct axvcpu_exit x = { .kind = AXVCPU_EXIT_CPU_UP, .cpu_up = { 1, 0, 0 } };
    struct free_asker askers[2] = { { .id = 0 }, { .id = 1 } };
    uint64_t n = rounds("CPU_UP by two threads, run by two others", 100000);
    pthread_t t[4];
    uint32_t k;

    vm_loaded(&mc, 3);
    must(axvm_cpu_up(&mc.vm, &x) == AXVCPU_OK);
    must(axvm_set_default(&mc.vm, AXVCPU_EXIT_CPU_UP, serve_up, NULL) == AXVCPU_OK);
    must(axvm_set_default(&mc.vm, AXVCPU_EXIT_HYPERCALL, count_start, NULL) == AXVCPU_OK);
    PLAY_LOOP(&mc, 2, target);
    for (k = 0; k < 2; k++) {
        PLAY_LOOP(&mc, k, asks);
        askers[k].rounds = n;
        t[k] = thread(free_asker, &askers[k]);
        t[2 + k] = thread(free_runner, NULL);
    }
    join(t[0]);
    join(t[1]);
    UNTIL(GET(&visits) >= askers[0].won + askers[1].won); // the watchdog ends it if one is lost
    PUT(&free_stop, 1u);
    join(t[2]);
    join(t[3]);
    note("%" PRIu64 " starts, %" PRIu64 " too late", askers[0].won + askers[1].won, askers[0].lost + askers[1].lost);
    ok_u64(wrong, 0, "no run without a CPU_UP, no other answer");
    ok_u64(starts, askers[0].won + askers[1].won, "each SUCCESS is one start");
    ok_u64(visits, starts, "each start ends once, down");
    vm_gone(&mc);
}

int main(void)
{
    uint64_t seed;
    uint32_t who;
    size_t i, w;

    tap_begin(290);
    seed = chance_seed();
    for (i = 0; i < COUNT(ups); i++) {
        for (w = 0; w < COUNT(ways); w++)
            test_up(&ups[i], (enum way)w);
    }
    test_bad_calls();
    test_one_record();
    test_failing_restart();
    for (who = 0; who < 3; who++)
        test_down_and_up(who);
    test_down_refused();
    test_race(seed);
    test_free_running();
    test_stepped();
    return tap_done();
}
