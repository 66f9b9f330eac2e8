// SPDX-License-Identifier: Apache-2.0
//
// What the programs of this directory share: the implementation with its log caught, a VM in every status,
// scripts, seeds, and a way to make threads start together.
//
// Define AXVCPU_TRACE, AXVCPU_PARK and AXVCPU_WAKE before including it, if they are wanted.
#ifndef VM_H
#define VM_H

#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>
#include "../tap.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

// ---- how much: everything in the plain build, a part of it under a sanitizer or with VM_PART

#if defined(VM_PART)
enum { PART = VM_PART };
#elif defined(__SANITIZE_THREAD__)
enum { PART = 20 };
#elif defined(__SANITIZE_ADDRESS__)
enum { PART = 5 };
#else
enum { PART = 1 };
#endif

// `all` rounds in the plain build.
TAP_MAYBE uint64_t rounds(const char *what, uint64_t all)
{
    note("%s: %" PRIu64 " rounds (%" PRIu64 " / %d)", what, all / PART, all, (int)PART);
    return all / PART;
}

// ---- chance: AXVCPU_SEED=n repeats a run

struct chance {
    uint64_t state;
};

TAP_MAYBE uint64_t chance_next(struct chance *c)
{
    uint64_t z = c->state += UINT64_C(0x9e3779b97f4a7c15); // splitmix64

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

TAP_MAYBE uint32_t chance_below(struct chance *c, uint32_t limit)
{
    return (uint32_t)((chance_next(c) >> 32) * limit >> 32);
}

TAP_MAYBE uint64_t chance_seed(void)
{
    const char *given = getenv("AXVCPU_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)time(NULL) * 1000003 + (uint64_t)getpid();

    note("AXVCPU_SEED=%" PRIu64, seed);
    return seed;
}

// ---- the log: one per thread, so that nobody waits for anybody

struct caught {
    unsigned lines;
    char last[256];
};
TAP_MAYBE __thread struct caught caught;

TAP_MAYBE void catch_line(const char *text)
{
    caught.lines++;
    snprintf(caught.last, sizeof(caught.last), "%s", text);
}

TAP_MAYBE void forget_lines(void)
{
    memset(&caught, 0, sizeof(caught));
}

#define AXVCPU_LOG(level, text) ((void)(level), catch_line(text))

// ---- chaos: with VM_CHAOS (one in how many) a thread may lose its CPU at any atomic operation of the library,
// so that the narrow windows between two of them are met on two CPUs too. Or AT_ATOMIC() is the test's own.

#if defined(VM_CHAOS) && !defined(AT_ATOMIC)
TAP_MAYBE __thread uint32_t chaos_state;

TAP_MAYBE void chaos(void)
{
    chaos_state = chaos_state * 1664525u + 1013904223u + (uint32_t)(uintptr_t)&chaos_state;
    if ((chaos_state >> 8) % VM_CHAOS == 0)
        (void)sched_yield();
}
#define AT_ATOMIC() chaos()
#endif

#ifdef AT_ATOMIC
#define AXVCPU_ATOMIC_LOAD(p) (AT_ATOMIC(), __atomic_load_n(p, __ATOMIC_SEQ_CST))
#define AXVCPU_ATOMIC_LOAD_ACQUIRE(p) (AT_ATOMIC(), __atomic_load_n(p, __ATOMIC_ACQUIRE))
#define AXVCPU_ATOMIC_LOAD_RELAXED(p) (AT_ATOMIC(), __atomic_load_n(p, __ATOMIC_RELAXED))
#define AXVCPU_ATOMIC_STORE_RELEASE(p, x) (AT_ATOMIC(), __atomic_store_n(p, x, __ATOMIC_RELEASE))
#define AXVCPU_ATOMIC_STORE_RELAXED(p, x) (AT_ATOMIC(), __atomic_store_n(p, x, __ATOMIC_RELAXED))
#define AXVCPU_ATOMIC_XCHG(p, x) (AT_ATOMIC(), __atomic_exchange_n(p, x, __ATOMIC_SEQ_CST))
#define AXVCPU_ATOMIC_FETCH_OR(p, x) (AT_ATOMIC(), __atomic_fetch_or(p, x, __ATOMIC_SEQ_CST))
#define AXVCPU_ATOMIC_FETCH_AND(p, x) (AT_ATOMIC(), __atomic_fetch_and(p, x, __ATOMIC_SEQ_CST))
#define AXVCPU_ATOMIC_FETCH_ADD(p, x) (AT_ATOMIC(), __atomic_fetch_add(p, x, __ATOMIC_SEQ_CST))
#define AXVCPU_ATOMIC_CAS(p, e, x) \
    (AT_ATOMIC(), __atomic_compare_exchange_n(p, e, x, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
#endif

#define AXVCPU_IMPLEMENTATION
#include "axvcpu.h"

// What the test itself takes for granted: without it nothing that follows means anything.
#define must(cond) must_hold((cond), #cond, __FILE__, __LINE__)
TAP_MAYBE void must_hold(bool good, const char *text, const char *file, int line)
{
    if (good)
        return;
    printf("\nBail out! %s:%d: %s (log: %s)\n", file, line, text, caught.last);
    fflush(stdout);
    _exit(4);
}

#define VM_ERROR_NAME(name, value, text) \
    case value:                          \
        return #name;
TAP_MAYBE const char *error_name(int err)
{
    switch (err) {
        AXVCPU_ERRORS(VM_ERROR_NAME)
    default:
        return "?";
    }
}

TAP_MAYBE bool ok_err(int got, int want, const char *name)
{
    return ok(got == want, "%s: %s (is %s)", name, error_name(want), error_name(got));
}

// ---- atomics of the tests' own

#define GET(place) __atomic_load_n(place, __ATOMIC_SEQ_CST)
#define PUT(place, value) __atomic_store_n(place, value, __ATOMIC_SEQ_CST)
#define ADD(place, value) __atomic_add_fetch(place, value, __ATOMIC_SEQ_CST)
#define UNTIL(cond)          \
    do {                     \
        while (!(cond))      \
            (void)sched_yield(); \
    } while (0)

// A barrier that spins: threads leave it much closer together than they leave a pthread one.
struct gate {
    uint32_t threads, waiting, turn;
};

TAP_MAYBE void gate_pass(struct gate *g)
{
    uint32_t turn = GET(&g->turn), spins = 0;

    if (ADD(&g->waiting, 1u) == g->threads) {
        PUT(&g->waiting, 0u);
        PUT(&g->turn, turn + 1);
        return;
    }
    while (GET(&g->turn) == turn) {
        if (++spins % 64 == 0)
            (void)sched_yield();
    }
}

TAP_MAYBE pthread_t thread(void *(*fn)(void *), void *arg)
{
    pthread_t t;

    must(pthread_create(&t, NULL, fn, arg) == 0);
    return t;
}

TAP_MAYBE void join(pthread_t t)
{
    must(pthread_join(t, NULL) == 0);
}

// Whether fn(arg) comes to its end in time. If not, its thread is left to itself, and so is what it uses.
struct finish {
    void (*fn)(void *);
    void *arg;
    uint32_t done;
};

TAP_MAYBE void *finish_main(void *arg)
{
    struct finish *f = arg;

    f->fn(f->arg);
    PUT(&f->done, 1u);
    return NULL;
}

TAP_MAYBE bool finishes(void (*fn)(void *), void *arg)
{
    struct finish *f = calloc(1, sizeof(*f)); // it may outlive us
    struct timespec tick = { 0, 2000000 };
    unsigned ticks = 0;
    pthread_t t;
    bool done;

    must(f != NULL);
    f->fn = fn;
    f->arg = arg;
    t = thread(finish_main, f);
    while (GET(&f->done) == 0 && ++ticks < 1500)
        (void)nanosleep(&tick, NULL);
    done = GET(&f->done) != 0;
    if (!done) {
        (void)pthread_detach(t);
        return false;
    }
    join(t);
    free(f);
    return true;
}

// ---- scripts

#define STEP(KIND, ...) { 0, { .kind = AXVCPU_EXIT_##KIND, __VA_ARGS__ } }
#define MMIO_READ(at, size) STEP(MMIO_READ, .mmio = { .addr = (at), .width = (size), .reg = 1, .reg_width = 8 })
#define MMIO_WRITE(at, size, value) STEP(MMIO_WRITE, .mmio = { .addr = (at), .width = (size), .data = (value) })
#define IO_READ(at, size, n, to) STEP(IO_READ, .io = { .port = (at), .width = (size), .count = (n), .buf = (to) })
#define IO_WRITE(at, size, n, from) STEP(IO_WRITE, .io = { .port = (at), .width = (size), .count = (n), .buf = (from) })
#define SYSREG_READ(at) STEP(SYSREG_READ, .sysreg = { .addr = (at), .reg = 1 })
#define SYSREG_WRITE(at, data) STEP(SYSREG_WRITE, .sysreg = { .addr = (at), .value = (data) })
#define PAGE_FAULT(at) STEP(NESTED_PAGE_FAULT, .fault = { .addr = (at), .access = AXVCPU_ACCESS_READ })
#define CPUID(n) STEP(CPUID, .cpuid = { .leaf = (n) })
#define CPU_UP(who, at, what) STEP(CPU_UP, .cpu_up = { .target = (who), .entry = (at), .arg = (what) })
#define CPU_DOWN STEP(CPU_DOWN, .cpu_down = { .state = 0 })
#define HALT STEP(HALT, .raw = 0)
#define CALL(n) STEP(HYPERCALL, .hypercall = { .nr = (n) })
#define EFFECT(id, to) { 0, { .kind = AXVCPU_FAKE_EFFECT, .sysreg = { .addr = (id), .value = (to) } } }
#define SPIN { 0, { .kind = AXVCPU_FAKE_SPIN } }
#define FAILS(error) { (error), { .kind = AXVCPU_EXIT_NOTHING } }
// The guest's last word: no handler is ever set for it.
#define END STEP(RAW, .raw = 0xe0d)

// ---- machines

enum { VM_VCPUS = 4, VM_RANGES = 16, BSP_ENTRY = 0x1000, AP_ENTRY = 0x2000 };

struct machine {
    struct axvm vm;
    struct axvcpu vcpu[VM_VCPUS];
    struct axvm_range range[VM_RANGES];
};

TAP_MAYBE struct axvm_desc vm_desc(struct machine *m, uint32_t vcpus)
{
    struct axvm_desc d = {
        .id = 7, .vcpus = m->vcpu, .vcpu_count = vcpus, .bsp_entry = AXVCPU_GPA_INIT(BSP_ENTRY),
        .ap_entry = AXVCPU_GPA_INIT(AP_ENTRY), .ranges = m->range, .max_ranges = VM_RANGES,
    };

    return d;
}

TAP_MAYBE void vm_loading(struct machine *m, uint32_t vcpus)
{
    struct axvm_desc d = vm_desc(m, vcpus);

    memset(m, 0, sizeof(*m));
    must(axvm_init(&m->vm, &d) == AXVCPU_OK);
    forget_lines();
}

TAP_MAYBE void vm_loaded(struct machine *m, uint32_t vcpus)
{
    vm_loading(m, vcpus);
    must(axvm_boot(&m->vm) == AXVCPU_OK);
}

TAP_MAYBE void vm_play(struct machine *m, uint32_t id, const struct axvcpu_fake_step *steps, size_t n, bool loop)
{
    must(axvcpu_fake_script(&m->vcpu[id], steps, n, loop) == AXVCPU_OK);
}
#define PLAY(m, id, steps) vm_play(m, id, steps, COUNT(steps), false)
#define PLAY_LOOP(m, id, steps) vm_play(m, id, steps, COUNT(steps), true)

// All vCPUs but the first are up, as if the guest had asked for it.
TAP_MAYBE void vm_all_up(struct machine *m)
{
    struct axvcpu_exit x = { .kind = AXVCPU_EXIT_CPU_UP };
    uint32_t i;

    for (i = 1; i < m->vm.vcpu_count; i++) {
        x.cpu_up.target = i;
        x.cpu_up.entry = AP_ENTRY;
        must(axvm_cpu_up(&m->vm, &x) == AXVCPU_OK);
    }
}

TAP_MAYBE uint64_t vm_reg(struct machine *m, uint32_t id, uint64_t reg)
{
    uint64_t value = UINT64_C(0xbadbadbadbad);

    must(axvcpu_get_reg(&m->vcpu[id], reg, &value) == AXVCPU_OK);
    return value;
}

// Nobody has the vCPU and nothing of a visit is left; "" or what is wrong.
TAP_MAYBE const char *vm_leftover(struct machine *m, uint32_t id)
{
    struct axvcpu *v = &m->vcpu[id];

    return AXVCPU_ATOMIC_LOAD(&v->owner) != NULL                    ? "it is still bound" :
           axvcpu_current() != NULL                                 ? "the current vCPU is set" :
           AXVCPU_ATOMIC_LOAD(&v->vm.device) != 0                   ? "its handler counts as running" :
           AXVCPU_ATOMIC_LOAD(&m->vm.lock) != 0                     ? "the lock is taken" :
           axvcpu_get_state(v) == AXVCPU_STATE_READY                ? "it is Ready without an owner" :
           axvcpu_get_state(v) == AXVCPU_STATE_RUNNING              ? "it is Running without an owner" :
           axvcpu_get_state(v) == AXVCPU_STATE_BLOCKED              ? "it is Blocked without an owner" :
                                                                      "";
}

TAP_MAYBE void vm_gone(struct machine *m)
{
    must(axvm_deinit(&m->vm) == AXVCPU_OK);
}

TAP_MAYBE bool all_zero(const void *p, size_t n)
{
    const unsigned char *at = p;
    size_t i;

    for (i = 0; i < n; i++) {
        if (at[i] != 0)
            return false;
    }
    return true;
}

// ---- a device that a test can ask what happened

struct device {
    uint64_t value;          // what a read finds
    enum axvm_answer answer; // what it says
    unsigned calls;
    uint64_t base; // axvm_range_base at the last call
    struct axvcpu_exit last;
};

TAP_MAYBE enum axvm_answer device(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    struct device *d = arg;

    (void)vm;
    d->calls++;
    d->base = axvm_range_base(v);
    d->last = *x;
    if (x->kind == AXVCPU_EXIT_MMIO_READ)
        x->mmio.data = d->value;
    else if (x->kind == AXVCPU_EXIT_IO_READ)
        x->io.data = d->value;
    else if (x->kind == AXVCPU_EXIT_SYSREG_READ)
        x->sysreg.value = d->value;
    return d->answer;
}

#endif
