// SPDX-License-Identifier: Apache-2.0
//
// What other CPUs may do at any time, while the owner does all that it may do: a test for the thread
// sanitizer. Nothing here waits for the right moment, so that nothing orders what the library does not order.
// In the end all of them do anything, also what they may not: by a seed that is printed, or that SEED has.
struct axvcpu;
static __thread void (*at_point)(struct axvcpu *, int point); // of this thread
#define AXVCPU_TRACE(v, event, a, b) (at_point != NULL ? at_point((v), (int)(event)) : (void)0)
#include <time.h>
#include "core.h"

enum { ROUNDS = 50 }; // of the owner, and of the other, at least

static struct axvcpu vcpu;

// ---- the owner's side: functions that end with a bound vCPU, awake or not

#define MMIO_READ_STEP { 0, { .kind = AXVCPU_EXIT_MMIO_READ, .mmio = { 0x1000, 0, 4, 5, 8, false } } }
static const struct axvcpu_fake_step reading[] = { MMIO_READ_STEP };
static const struct axvcpu_fake_step masking[] = {
    { 0, { .kind = AXVCPU_FAKE_EFFECT, .sysreg = { AXVCPU_REG_FLAGS, AXVCPU_FAKE_MASKED, 0 } } },
    { 0, { .kind = AXVCPU_FAKE_EFFECT, .sysreg = { AXVCPU_REG_FLAGS, 0, 0 } } },
    { 0, { .kind = AXVCPU_EXIT_HALT } },
};

// A kick ends a run before it has done what it is for.
static uint32_t run_through(void)
{
    struct axvcpu_exit x;

    do
        must(axvcpu_run(&vcpu, &x) == AXVCPU_OK);
    while (x.kind == AXVCPU_EXIT_CANCELED);
    return x.kind;
}

static void wait_awake(void)
{
    while (axvcpu_get_state(&vcpu) == AXVCPU_STATE_BLOCKED)
        sched_yield();
}

static void nap(void)
{
    if (axvcpu_block(&vcpu) == AXVCPU_OK)
        wait_awake();
}

static void sleeps(void)
{
    nap();
}

static void sleeps_and_runs(void)
{
    nap();
    (void)run_through();
}

// Asleep with a read that it then answers, before anybody has woken it.
static void answers_asleep(int (*answer)(void))
{
    struct axvcpu_exit x;

    must(axvcpu_fake_script(&vcpu, reading, 1, false) == AXVCPU_OK && run_through() == AXVCPU_EXIT_MMIO_READ);
    (void)axvcpu_block(&vcpu);
    must(answer() == AXVCPU_OK);
    must(axvcpu_settle(&vcpu, &x) == AXVCPU_OK);
    wait_awake();
}

static int complete(void)
{
    return axvcpu_complete(&vcpu, 0x42);
}

static int refuse(void)
{
    return axvcpu_refuse(&vcpu);
}

static int retry(void)
{
    return axvcpu_retry(&vcpu);
}

static void completes_asleep(void)
{
    answers_asleep(complete);
}

static void refuses_asleep(void)
{
    answers_asleep(refuse);
}

static void retries_asleep(void)
{
    answers_asleep(retry);
}

static void moves_asleep(void)
{
    (void)axvcpu_block(&vcpu);
    must(axvcpu_put(&vcpu) == AXVCPU_OK && axvcpu_load(&vcpu) == AXVCPU_OK);
    wait_awake();
}

static void looks_asleep(void)
{
    uint64_t value;

    (void)axvcpu_block(&vcpu);
    must(axvcpu_get_gpr(&vcpu, 1, &value) == AXVCPU_OK && axvcpu_set_gpr(&vcpu, 1, value + 1) == AXVCPU_OK);
    wait_awake();
}

static void masks_asleep(void)
{
    (void)axvcpu_block(&vcpu);
    must(axvcpu_set_reg(&vcpu, AXVCPU_REG_FLAGS, AXVCPU_FAKE_MASKED) == AXVCPU_OK);
    must(axvcpu_set_reg(&vcpu, AXVCPU_REG_FLAGS, 0) == AXVCPU_OK);
    (void)axvcpu_unblock(&vcpu); // what came while it was masked did not wake it
    wait_awake();
}

static void masks_in_the_guest(void)
{
    must(axvcpu_fake_script(&vcpu, masking, COUNT(masking), false) == AXVCPU_OK);
    (void)run_through();
}

static void block_here(struct axvcpu *v, int point)
{
    if (point == AXVCPU_TRACE_RUN_LEFT)
        must(axvcpu_transition(v, AXVCPU_STATE_RUNNING, AXVCPU_STATE_BLOCKED) == AXVCPU_OK);
}

// The backend blocks the vCPU; the host sleeps unless something is pending.
static void blocks_in_run(void)
{
    struct axvcpu_exit x;

    at_point = block_here;
    must(axvcpu_run(&vcpu, &x) == AXVCPU_OK);
    at_point = NULL;
    while (axvcpu_get_state(&vcpu) == AXVCPU_STATE_BLOCKED)
        if (axvcpu_pending(&vcpu))
            (void)axvcpu_unblock(&vcpu);
        else
            sched_yield();
}

static void comes_and_goes(void)
{
    must(axvcpu_unbind(&vcpu) == AXVCPU_OK);
    while (axvcpu_bind(&vcpu) == AXVCPU_EBUSY)
        sched_yield();
    (void)run_through();
}

static void restarts(void)
{
    must(axvcpu_restart(&vcpu, axvcpu_gpa(ENTRY), 1) == AXVCPU_OK);
    (void)run_through();
}

static void resets(void)
{
    must(axvcpu_reset(&vcpu) == AXVCPU_OK);
    must(axvcpu_setup(&vcpu, axvcpu_gpa(ENTRY), axvcpu_hpa(ROOT), NULL) == AXVCPU_OK &&
         axvcpu_bind(&vcpu) == AXVCPU_OK);
}

// ---- the others' side: what is allowed from anywhere at any time

static __thread volatile uint64_t sink;

static void others_unblock(uint32_t round)
{
    (void)round;
    (void)axvcpu_unblock(&vcpu);
}

static void others_kick(uint32_t round)
{
    (void)round;
    (void)axvcpu_kick(&vcpu);
}

static void others_inject(uint32_t round)
{
    (void)axvcpu_inject_interrupt(&vcpu, round % 256);
}

static void others_drive(uint32_t round)
{
    (void)axvcpu_set_irq(&vcpu, 7, (round & 1) != 0);
    (void)axvcpu_inject_nmi(&vcpu);
}

static void others_look(uint32_t round)
{
    (void)round;
    sink += axvcpu_pending(&vcpu) + (uint32_t)axvcpu_get_state(&vcpu) + axvcpu_id(&vcpu) + axvcpu_vm_id(&vcpu) +
            axvcpu_is_bsp(&vcpu) + (axvcpu_user(&vcpu) != NULL) + axvcpu_favor_phys_cpu(&vcpu) +
            axvcpu_phys_cpu_set(&vcpu).bits[0] + axvcpu_fake_delivered(&vcpu, 7);
}

static void others_inject_and_look(uint32_t round)
{
    (void)axvcpu_inject_interrupt(&vcpu, round % 256);
    sink += axvcpu_pending(&vcpu);
}

static void others_refer(uint32_t round)
{
    (void)round;
    (void)axvcpu_ref(&vcpu);
    (void)axvcpu_unref(&vcpu);
}

static void others_try(uint32_t round)
{
    uint64_t value;

    (void)round;
    (void)axvcpu_get_gpr(&vcpu, 1, &value); // EBUSY, or a claim for a moment
}

static const struct side {
    const char *name;
    void (*fn)(uint32_t);
} others[] = {
    { "unblock", others_unblock },
    { "kick", others_kick },
    { "inject_interrupt", others_inject },
    { "set_irq, inject_nmi", others_drive },
    { "pending and the getters", others_look },
    { "inject_interrupt, pending", others_inject_and_look },
    { "ref, unref", others_refer },
    { "get_gpr", others_try },
};

static const struct owner {
    const char *name;
    void (*fn)(void);
    bool sleeps; // and has to be woken, whatever the other does
    bool claims; // others may get hold of the vCPU for a moment
} owners[] = {
    { "sleeps", sleeps, true, false },
    { "sleeps and runs", sleeps_and_runs, true, false },
    { "completes while asleep", completes_asleep, true, false },
    { "refuses while asleep", refuses_asleep, true, false },
    { "retries while asleep", retries_asleep, true, false },
    { "puts and loads while asleep", moves_asleep, true, false },
    { "uses registers while asleep", looks_asleep, true, false },
    { "masks and unmasks while asleep", masks_asleep, true, false },
    { "has a guest that masks and unmasks", masks_in_the_guest, false, false },
    { "has a backend that blocks", blocks_in_run, true, false },
    { "unbinds and binds", comes_and_goes, false, true },
    { "restarts", restarts, false, false },
    { "resets", resets, false, true },
};

// ---- one owner against one other

static uint32_t stop, others_rounds; // relaxed: they must not order anything

static void *interfere(void *arg)
{
    const struct side *side = arg;
    uint32_t round;

    for (round = 0; __atomic_load_n(&stop, __ATOMIC_RELAXED) == 0; round++) {
        side->fn(round);
        __atomic_store_n(&others_rounds, round + 1, __ATOMIC_RELAXED);
        sched_yield();
    }
    return NULL;
}

static void *wake_up(void *arg)
{
    (void)arg;
    while (__atomic_load_n(&stop, __ATOMIC_RELAXED) == 0) {
        (void)axvcpu_unblock(&vcpu);
        sched_yield();
    }
    return NULL;
}

static void check(const struct owner *o, const struct side *side)
{
    pthread_t threads[2];
    int i;

    if (o->claims && side->fn == others_try)
        return; // ownership.c has that
    bound(&vcpu);
    __atomic_store_n(&stop, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&others_rounds, 0, __ATOMIC_RELAXED);
    must(pthread_create(&threads[0], NULL, interfere, (void *)(uintptr_t)side) == 0);
    must(!o->sleeps || pthread_create(&threads[1], NULL, wake_up, NULL) == 0);
    for (i = 0; i < ROUNDS || __atomic_load_n(&others_rounds, __ATOMIC_RELAXED) < ROUNDS; i++) {
        o->fn();
        sched_yield();
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    must(pthread_join(threads[0], NULL) == 0 && (!o->sleeps || pthread_join(threads[1], NULL) == 0));
    ok(axvcpu_current() == NULL && vcpu.owner == AXVCPU_CPU_TOKEN() && vcpu.refs == 1,
       "an owner that %s, and %s from elsewhere", o->name, side->name);
}

// ---- all against all: no two are ever inside, so that nothing races and the backend has counted each call

enum { CROWD = 3, CALLS = 20000 };

static int any_bind(uint32_t arg)
{
    (void)arg;
    return axvcpu_bind(&vcpu);
}

static int any_get(uint32_t arg)
{
    uint64_t value;

    return axvcpu_get_gpr(&vcpu, arg % 32, &value);
}

static int any_run(uint32_t arg)
{
    struct axvcpu_exit x;

    (void)arg;
    return axvcpu_run(&vcpu, &x);
}

static int any_settle(uint32_t arg)
{
    struct axvcpu_exit x;

    (void)arg;
    return axvcpu_settle(&vcpu, &x);
}

static int any_answer(uint32_t arg)
{
    return arg % 2 != 0 ? axvcpu_complete(&vcpu, arg) : arg % 4 != 0 ? axvcpu_refuse(&vcpu) : axvcpu_retry(&vcpu);
}

static int any_setup(uint32_t arg)
{
    return axvcpu_setup(&vcpu, axvcpu_gpa(arg), axvcpu_hpa(ROOT), NULL);
}

static int any_restart(uint32_t arg)
{
    return axvcpu_restart(&vcpu, axvcpu_gpa(arg), arg);
}

static int any_owner(uint32_t arg)
{
    static int (*const fns[])(struct axvcpu *) = { axvcpu_unbind, axvcpu_block, axvcpu_put, axvcpu_load };

    return fns[arg % COUNT(fns)](&vcpu);
}

static int any_reset(uint32_t arg)
{
    (void)arg;
    return axvcpu_reset(&vcpu);
}

static int any_other(uint32_t arg)
{
    others[arg % COUNT(others)].fn(arg / 8);
    return AXVCPU_OK;
}

#define IN(state) (1u << AXVCPU_STATE_##state)
enum { ALWAYS = 0xff };
static const struct {
    int (*fn)(uint32_t);
    uint32_t from; // most calls are made where they make sense, or did a moment ago
} anything[] = {
    { any_bind, IN(FREE) },      { any_setup, IN(CREATED) },  { any_run, IN(READY) },   { any_run, IN(READY) },
    { any_answer, IN(READY) },   { any_owner, IN(READY) },    { any_settle, IN(FREE) }, { any_get, ALWAYS },
    { any_reset, IN(INVALID) },  { any_restart, IN(READY) },  { any_other, ALWAYS },    { any_other, IN(BLOCKED) },
};

struct member {
    uint32_t seed, binds;
};

static void *be_in_the_crowd(void *arg)
{
    struct member *m = arg;
    uint32_t i, which;
    int err;

    for (i = 0; i < CALLS; i++) {
        m->seed = m->seed * 1664525 + 1013904223;
        which = (m->seed >> 16) % COUNT(anything);
        if ((anything[which].from >> axvcpu_get_state(&vcpu) & 1u) == 0 && m->seed >> 26 != 0)
            continue;
        err = anything[which].fn(m->seed >> 20);
        must(err >= AXVCPU_OK && err < AXVCPU_ERR_COUNT && axvcpu_current() == NULL);
        m->binds += anything[which].fn == any_bind && err == AXVCPU_OK;
        if (i % 16 == 0)
            sched_yield();
    }
    return NULL;
}

static void check_crowd(uint32_t seed)
{
    struct member members[CROWD] = { { 0 } };
    pthread_t threads[CROWD];
    struct axvcpu_exit x;
    uint64_t binds = 0;
    int i;

    set_up(&vcpu);
    must(axvcpu_fake_script(&vcpu, reading, 1, true) == AXVCPU_OK);
    for (i = 0; i < CROWD; i++)
        members[i].seed = seed + (uint32_t)i;
    for (i = 0; i < CROWD; i++)
        must(pthread_create(&threads[i], NULL, be_in_the_crowd, &members[i]) == 0);
    for (i = 0; i < CROWD; i++)
        must(pthread_join(threads[i], NULL) == 0);
    for (i = 0; i < CROWD; i++)
        binds += members[i].binds;
    ok(axvcpu_fake_calls(&vcpu, AXVCPU_FAKE_BIND) == binds && vcpu.refs == 1,
       "any calls of %d CPUs: no two binds at once", CROWD);
    note("seed %u, %llu binds", seed, (unsigned long long)binds);
    (void)axvcpu_abandon(&vcpu);
    must(axvcpu_reset(&vcpu) == AXVCPU_OK && any_setup(ENTRY) == AXVCPU_OK && axvcpu_bind(&vcpu) == AXVCPU_OK);
    must(axvcpu_run(&vcpu, &x) == AXVCPU_OK && axvcpu_kick(&vcpu) == AXVCPU_OK);
    (void)axvcpu_retry(&vcpu);
    ok(axvcpu_run(&vcpu, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_CANCELED, "afterwards a kick ends a run");
}

int main(void)
{
    const char *given = getenv("SEED");
    uint32_t seed = given != NULL ? (uint32_t)strtoul(given, NULL, 0) : (uint32_t)time(NULL);
    size_t i, k;

    tap_begin(60);
    for (i = 0; i < COUNT(owners); i++)
        for (k = 0; k < COUNT(others); k++)
            check(&owners[i], &others[k]);
    check_crowd(seed);
    return tap_done();
}
