// SPDX-License-Identifier: Apache-2.0
//
// What the library costs when the VM layer runs the loop: each round is one exit inside axvm_run_vcpu that a
// handler serves, and the handler does the operation of the row. bind_unbind is a whole axvm_run_vcpu whose
// exit goes to the caller; init_unbind the whole life of a VM with one vCPU. The implementation is in impl.c.
#define _GNU_SOURCE
#define AXVCPU_ARCH_HEADER "bench/minimal.h"
#include "axvcpu.h"

#include "bench/row.h"

enum { DEVICES = 1024 };
#define DEVICE_SIZE UINT64_C(0x1000)

static struct axvcpu vcpu;
static struct axvcpu_exit record;
static struct axvm machine;
static struct axvm_range ranges[DEVICES];

// How many rounds there are yet, what the handlers have summed up, and where the next access goes.
static uint64_t left, sum, step, mask;

static enum axvm_answer round_over(void)
{
    return --left == 0 ? AXVM_RETURN : AXVM_DONE;
}

// ---- handlers

static enum axvm_answer nothing(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    (void)vm, (void)v, (void)x, (void)arg;
    return round_over();
}

// Each kind of exit has a handler of its own, does with the operand what the other forms of the row do, and
// makes the next exit of the next kind.
#define KIND(i, name, expression, next)                                                                \
    static enum axvm_answer name(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg) \
    {                                                                                                  \
        (void)vm, (void)x, (void)arg;                                                                  \
        sum expression;                                                                                \
        axvcpu_arch(v)->kind = AXVCPU_EXIT_##next;                                                     \
        axvcpu_arch(v)->operand = OPERAND(((i) + 1) % 8);                                              \
        return round_over();                                                                           \
    }
KIND(0, on_halt, += 1, HYPERCALL)
KIND(1, on_hypercall, += x->hypercall.nr, MMIO_READ)
KIND(2, on_mmio_read, ^= x->mmio.addr, MMIO_WRITE)
KIND(3, on_mmio_write, -= x->mmio.addr, IO_READ)
KIND(4, on_io_read, += (uintptr_t)x->io.buf, IO_WRITE)
KIND(5, on_io_write, -= (uintptr_t)x->io.buf, SYSREG_READ)
KIND(6, on_sysreg_read, |= x->sysreg.addr, SYSREG_WRITE)
KIND(7, on_sysreg_write, &= ~x->sysreg.addr, HALT)

// minimal.h brings no port number: both come from port 0.
static enum axvm_answer on_io(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    return x->kind == AXVCPU_EXIT_IO_READ ? on_io_read(vm, v, x, arg) : on_io_write(vm, v, x, arg);
}

static enum axvm_answer transitions(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    (void)vm, (void)x, (void)arg;
    if (axvcpu_transition(v, AXVCPU_STATE_READY, AXVCPU_STATE_FREE) != AXVCPU_OK ||
        axvcpu_transition(v, AXVCPU_STATE_FREE, AXVCPU_STATE_READY) != AXVCPU_OK)
        return AXVM_ERROR;
    return round_over();
}

static int look(struct axvcpu *v, void *arg)
{
    (void)v, (void)arg;
    __asm__ volatile("" : : : "memory");
    return AXVCPU_OK;
}

static int nobody_looks(struct axvcpu *v, void *arg)
{
    (void)v, (void)arg;
    return AXVCPU_OK;
}

static enum axvm_answer with_current(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    (void)vm, (void)x, (void)arg;
    return axvcpu_with_current(v, nobody_looks, NULL) == AXVCPU_OK ? round_over() : AXVM_ERROR;
}

static enum axvm_answer with_current_seen(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    (void)vm, (void)x, (void)arg;
    return axvcpu_with_current(v, look, NULL) == AXVCPU_OK ? round_over() : AXVM_ERROR;
}

static enum axvm_answer get_state(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    (void)vm, (void)x, (void)arg;
    USE(axvcpu_get_state(v));
    return round_over();
}

static enum axvm_answer current(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    (void)vm, (void)v, (void)x, (void)arg;
    USE(axvcpu_current());
    return round_over();
}

static enum axvm_answer another_device(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    (void)vm, (void)arg;
    axvcpu_arch(v)->operand = (x->mmio.addr + step) & mask;
    return round_over();
}

// ---- what a row starts from

static int make(uint32_t kind, uint64_t operand)
{
    struct axvcpu_desc vcpu_desc = {0};
    struct axvm_desc desc = {0};
    int err;
    vcpu_desc.arch.kind = kind;
    desc.vcpus = &vcpu;
    desc.vcpu_count = 1;
    desc.vcpu_descs = &vcpu_desc;
    desc.ranges = ranges;
    desc.max_ranges = DEVICES;
    err = axvm_init(&machine, &desc);
    axvcpu_arch(&vcpu)->operand = operand;
    sum = 0;
    return err == 0 ? axvm_boot(&machine) : err;
}

#define HALTS(name, handler)                                                                    \
    static int name(unsigned none)                                                              \
    {                                                                                           \
        (void)none;                                                                             \
        return make(AXVCPU_EXIT_HALT, 0) != 0 ||                                                \
               axvm_set_default(&machine, AXVCPU_EXIT_HALT, handler, NULL) != 0;                \
    }
HALTS(make_nothing, nothing)
HALTS(make_transitions, transitions)
HALTS(make_with_current, with_current)
HALTS(make_with_current_seen, with_current_seen)
HALTS(make_get_state, get_state)
HALTS(make_current, current)

static int make_dispatch(unsigned none)
{
    (void)none;
    return make(AXVCPU_EXIT_HALT, OPERAND(0)) != 0 ||
           axvm_set_default(&machine, AXVCPU_EXIT_HALT, on_halt, NULL) != 0 ||
           axvm_set_default(&machine, AXVCPU_EXIT_HYPERCALL, on_hypercall, NULL) != 0 ||
           axvm_add_mmio(&machine, OPERAND(2), 8, on_mmio_read, NULL) != 0 ||
           axvm_add_mmio(&machine, OPERAND(3), 8, on_mmio_write, NULL) != 0 ||
           axvm_add_port(&machine, 0, 8, on_io, NULL) != 0 ||
           axvm_add_sysreg(&machine, OPERAND(6), 8, on_sysreg_read, NULL) != 0 ||
           axvm_add_sysreg(&machine, OPERAND(7), 8, on_sysreg_write, NULL) != 0;
}

static int make_returned(unsigned none)
{
    (void)none;
    return make(AXVCPU_EXIT_HALT, 0);
}

static int make_devices(unsigned count, axvm_handler handler)
{
    int err = make(AXVCPU_EXIT_MMIO_WRITE, 0);
    for (unsigned i = 0; i < count && err == 0; i++)
        err = axvm_add_mmio(&machine, i * DEVICE_SIZE, DEVICE_SIZE, handler, NULL);
    return err;
}

static int make_last(unsigned count)
{
    return make_devices(count, nothing);
}

static int make_among(unsigned count)
{
    step = (count == 16 ? 7 : 389) * DEVICE_SIZE;
    mask = count * DEVICE_SIZE - 1;
    return make_devices(count, another_device);
}

// ---- the rows

static uint64_t loop(uint64_t n)
{
    left = n;
    return axvm_run_vcpu(&machine, 0, &record) == AXVCPU_OK && left == 0 ? sum : n;
}

static uint64_t returned(uint64_t n)
{
    struct axvm *vm = &machine;
    struct axvcpu_exit *x = &record;
    ROUNDS(n, FORGET2(vm, x), {
        if (axvm_run_vcpu(vm, 0, x) != AXVCPU_OK || x->kind != AXVCPU_EXIT_HALT)
            return n;
    });
    return 0;
}

static uint64_t life(uint64_t n)
{
    ROUNDS(n, , {
        if (make(AXVCPU_EXIT_HALT, 0) != 0 || axvm_run_vcpu(&machine, 0, &record) != AXVCPU_OK ||
            axvm_deinit(&machine) != AXVCPU_OK)
            return n;
    });
    return 0;
}

static const struct row rows[] = {
    {"run_halt", "vm", 0, make_nothing, loop, 0},
    {"run_dispatch", "vm", 0, make_dispatch, loop, 0},
    {"bind_unbind", "vm", 0, make_returned, returned, 0},
    {"transitions", "vm", 0, make_transitions, loop, 0},
    {"with_current", "vm", 0, make_with_current, loop, 0},
    {"with_current_seen", "vm", 0, make_with_current_seen, loop, 0},
    {"get_state", "vm", 0, make_get_state, loop, 0},
    {"current", "vm", 0, make_current, loop, 0},
    {"init_unbind", "vm", 0, NULL, life, 0},
    {"lookup_last", "vm", 16, make_last, loop, 0},
    {"lookup", "vm", 16, make_among, loop, 0},
    {"lookup", "vm", 1024, make_among, loop, 0},
    {0},
};

int main(int argc, char **argv)
{
    return rows_main(rows, argc, argv);
}
