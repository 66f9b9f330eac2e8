// SPDX-License-Identifier: Apache-2.0
//
// What the library costs on the host, operation by operation, on the backend of minimal.h. Built in two
// forms: with the implementation in this file (BENCH_SAME), and in impl.c.
#define _GNU_SOURCE
#define AXVCPU_ARCH_HEADER "bench/minimal.h"
#ifdef BENCH_SAME
#define AXVCPU_IMPLEMENTATION
#define IMPL "same"
#else
#define IMPL "other"
#endif
#include "axvcpu.h"

#include "bench/row.h"

enum { KINDS = 8, DEVICES = 1024 };
#define DEVICE_SIZE UINT64_C(0x1000)

static struct axvcpu vcpus[KINDS];
static struct axvcpu_exit record;
static struct axvm machine;
static struct axvm_range ranges[DEVICES];

// ---- what a row starts from

static const uint32_t kinds[KINDS] = {
    AXVCPU_EXIT_HALT,    AXVCPU_EXIT_HYPERCALL, AXVCPU_EXIT_MMIO_READ,   AXVCPU_EXIT_MMIO_WRITE,
    AXVCPU_EXIT_IO_READ, AXVCPU_EXIT_IO_WRITE,  AXVCPU_EXIT_SYSREG_READ, AXVCPU_EXIT_SYSREG_WRITE,
};

static int nothing(struct axvcpu *v, void *arg)
{
    (void)v, (void)arg;
    return AXVCPU_OK;
}

// A function that looks: the stores to the current pointer must have happened.
static int look(struct axvcpu *v, void *arg)
{
    (void)v, (void)arg;
    __asm__ volatile("" : : : "memory");
    return AXVCPU_OK;
}

// Each vCPU has its own kind of exit, and the next one as its user pointer.
static int make_free(unsigned none)
{
    struct axvcpu_desc desc = {0};
    int err = AXVCPU_OK;
    (void)none;
    for (uint32_t i = 0; i < KINDS && err == 0; i++) {
        desc.vcpu_id = i;
        desc.user = &vcpus[(i + 1) % KINDS];
        desc.arch.kind = kinds[i];
        err = axvcpu_init(&vcpus[i], &desc);
        axvcpu_arch(&vcpus[i])->operand = OPERAND(i);
        if (err == 0)
            err = axvcpu_setup(&vcpus[i], axvcpu_gpa(0x1000), axvcpu_hpa(0x2000), NULL);
    }
    return err;
}

static int make_ready(unsigned none)
{
    int err = make_free(none);
    for (uint32_t i = 0; i < KINDS && err == 0; i++)
        err = axvcpu_bind(&vcpus[i]);
    return err;
}

static enum axvm_answer device(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    (void)vm, (void)v, (void)x, (void)arg;
    return AXVM_DONE;
}

static int make_devices(unsigned count)
{
    struct axvm_desc desc = {0};
    int err;
    desc.vcpus = vcpus;
    desc.vcpu_count = 1;
    desc.ranges = ranges;
    desc.max_ranges = DEVICES;
    err = axvm_init(&machine, &desc);
    for (unsigned i = 0; i < count && err == 0; i++)
        err = axvm_add_mmio(&machine, i * DEVICE_SIZE, DEVICE_SIZE, device, NULL);
    return err;
}

// ---- the rows

static uint64_t run_halt(uint64_t n)
{
    struct axvcpu *v = vcpus;
    struct axvcpu_exit *x = &record;
    ROUNDS(n, FORGET2(v, x), {
        if (axvcpu_run(v, x) != AXVCPU_OK || x->kind != AXVCPU_EXIT_HALT)
            return n;
    });
    return 0;
}

static uint64_t run_dispatch(uint64_t n)
{
    struct axvcpu *v = vcpus;
    struct axvcpu_exit *x = &record;
    uint64_t sum = 0;
    ROUNDS(n, FORGET2(v, x), {
        if (axvcpu_run(v, x) != AXVCPU_OK)
            return n;
        switch (x->kind) {
        case AXVCPU_EXIT_HALT: sum += 1; break;
        case AXVCPU_EXIT_HYPERCALL: sum += x->hypercall.nr; break;
        case AXVCPU_EXIT_MMIO_READ: sum ^= x->mmio.addr; break;
        case AXVCPU_EXIT_MMIO_WRITE: sum -= x->mmio.addr; break;
        case AXVCPU_EXIT_IO_READ: sum += (uintptr_t)x->io.buf; break;
        case AXVCPU_EXIT_IO_WRITE: sum -= (uintptr_t)x->io.buf; break;
        case AXVCPU_EXIT_SYSREG_READ: sum |= x->sysreg.addr; break;
        case AXVCPU_EXIT_SYSREG_WRITE: sum &= ~x->sysreg.addr; break;
        default: return n;
        }
        v = axvcpu_user(v);
    });
    return sum;
}

static uint64_t bind_unbind(uint64_t n)
{
    struct axvcpu *v = vcpus;
    ROUNDS(n, FORGET(v), {
        if (axvcpu_bind(v) != AXVCPU_OK || axvcpu_unbind(v) != AXVCPU_OK)
            return n;
    });
    return 0;
}

static uint64_t transitions(uint64_t n)
{
    struct axvcpu *v = vcpus;
    ROUNDS(n, FORGET(v), {
        if (axvcpu_transition(v, AXVCPU_STATE_FREE, AXVCPU_STATE_READY) != AXVCPU_OK ||
            axvcpu_transition(v, AXVCPU_STATE_READY, AXVCPU_STATE_FREE) != AXVCPU_OK)
            return n;
    });
    return 0;
}

static uint64_t with_current(uint64_t n)
{
    struct axvcpu *v = vcpus;
    ROUNDS(n, FORGET(v), {
        if (axvcpu_with_current(v, nothing, NULL) != AXVCPU_OK)
            return n;
    });
    return 0;
}

static uint64_t with_current_seen(uint64_t n)
{
    struct axvcpu *v = vcpus;
    ROUNDS(n, FORGET(v), {
        if (axvcpu_with_current(v, look, NULL) != AXVCPU_OK)
            return n;
    });
    return 0;
}

static uint64_t get_state(uint64_t n)
{
    const struct axvcpu *v = vcpus;
    ROUNDS(n, FORGET(v), { USE(axvcpu_get_state(v)); });
    return 0;
}

static uint64_t current(uint64_t n)
{
    struct axvcpu *v = vcpus;
    ROUNDS(n, FORGET(v), { USE(axvcpu_current()); });
    return 0;
}

static uint64_t init_unbind(uint64_t n)
{
    static const struct axvcpu_desc desc;
    struct axvcpu *v = vcpus;
    const struct axvcpu_desc *d = &desc;
    ROUNDS(n, FORGET2(v, d), {
        if (axvcpu_init(v, d) != AXVCPU_OK ||
            axvcpu_setup(v, axvcpu_gpa(0x1000), axvcpu_hpa(0x2000), NULL) != AXVCPU_OK ||
            axvcpu_bind(v) != AXVCPU_OK || axvcpu_unbind(v) != AXVCPU_OK)
            return n;
    });
    return 0;
}

static uint64_t lookup_last(uint64_t n)
{
    struct axvcpu *v = vcpus;
    struct axvm *vm = &machine;
    uint64_t at = 0;
    ROUNDS(n, FORGET3(vm, v, at), {
        if (axvm_lookup(vm, v, 0, at, at + 3) == NULL)
            return n;
    });
    return 0;
}

// Another device each time.
static inline uint64_t lookup_among(uint64_t n, uint64_t step, uint64_t mask)
{
    struct axvcpu *v = vcpus;
    struct axvm *vm = &machine;
    uint64_t at = 0;
    ROUNDS(n, FORGET3(vm, v, at), {
        if (axvm_lookup(vm, v, 0, at, at + 3) == NULL)
            return n;
        at = (at + step) & mask;
    });
    return 0;
}

static uint64_t lookup_16(uint64_t n)
{
    return lookup_among(n, 7 * DEVICE_SIZE, 16 * DEVICE_SIZE - 1);
}

static uint64_t lookup_1024(uint64_t n)
{
    return lookup_among(n, 389 * DEVICE_SIZE, 1024 * DEVICE_SIZE - 1);
}

static const struct row rows[] = {
    {"run_halt", IMPL, 0, make_ready, run_halt, 0},
    {"run_dispatch", IMPL, 0, make_ready, run_dispatch, 0},
    {"bind_unbind", IMPL, 0, make_free, bind_unbind, 0},
    {"transitions", IMPL, 0, make_free, transitions, 0},
    {"with_current", IMPL, 0, make_free, with_current, 0},
    {"with_current_seen", IMPL, 0, make_free, with_current_seen, 0},
    {"get_state", IMPL, 0, make_free, get_state, 0},
    {"current", IMPL, 0, make_free, current, 0},
    {"init_unbind", IMPL, 0, make_free, init_unbind, 0},
    {"lookup_last", IMPL, 16, make_devices, lookup_last, 0},
    {"lookup", IMPL, 16, make_devices, lookup_16, 0},
    {"lookup", IMPL, 1024, make_devices, lookup_1024, 0},
    {0},
};

int main(int argc, char **argv)
{
    return rows_main(rows, argc, argv);
}
