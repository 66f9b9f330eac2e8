// SPDX-License-Identifier: Apache-2.0
//
// What grows with what, on the backend of minimal.h: devices in a VM, vCPUs on a CPU, interrupts that are
// pending, memory mappings. A round is one operation; there are always n of the things.
#define _GNU_SOURCE
#define AXVCPU_ARCH_HEADER "bench/minimal.h"
#define AXVM_MAX_MAPS 1024
#define AXVCPU_LEAF_VECTORS 256
#define AXVCPU_IMPLEMENTATION
#include "axvcpu.h"

#include "bench/row.h"

enum { DEVICES = 100000, VCPUS = 1000, PAGE = 4096 };
#define DEVICE_SIZE UINT64_C(0x1000)

static struct axvcpu vcpus[VCPUS];
static struct axvcpu_exit record;
static struct axvm machine;
static struct axvm_range ranges[DEVICES];
static unsigned count; // of whatever it is

// ---- devices

static enum axvm_answer device(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    (void)vm, (void)v, (void)x, (void)arg;
    return AXVM_DONE;
}

// Each axvm_add_mmio builds the table anew, so 100,000 of them are 10^10 steps. All but the last are put down
// here as axvm_i_rebuild leaves them (tests/vm/devices.c shows that the two are the same); the last is added.
static int make_devices(unsigned n)
{
    struct axvm_desc desc = {0};
    uint32_t side;
    int err;
    count = n;
    desc.vcpus = vcpus;
    desc.vcpu_count = 1;
    desc.ranges = ranges;
    desc.max_ranges = DEVICES;
    err = axvm_init(&machine, &desc);
    side = machine.side ^ 1u;
    for (unsigned i = 0; i + 1 < n; i++, machine.next_id += 2)
        ranges[i].slot[side] = (struct axvm_i_slot){machine.next_id, i * DEVICE_SIZE, (i + 1) * DEVICE_SIZE - 1, device, NULL};
    machine.starts[side][0] = 0;
    for (uint32_t k = 1; k <= AXVM_I_CLASSES; k++)
        machine.starts[side][k] = n - 1;
    axvm_i_publish(&machine, side);
    return err == 0 ? axvm_add_mmio(&machine, (n - 1) * DEVICE_SIZE, DEVICE_SIZE, device, NULL) : err;
}

static uint64_t lookup_last(uint64_t n)
{
    struct axvcpu *v = vcpus;
    struct axvm *vm = &machine;
    uint64_t at = (count - 1) * DEVICE_SIZE;
    ROUNDS(n, FORGET3(vm, v, at), {
        if (axvm_lookup(vm, v, 0, at, at + 3) == NULL)
            return n;
    });
    return 0;
}

// Each of them as often as the others, never one after its neighbour: the step has no factor in common with a
// power of ten.
static uint64_t lookup(uint64_t n)
{
    struct axvcpu *v = vcpus;
    struct axvm *vm = &machine;
    uint64_t at = 0, step = 38923 % count * DEVICE_SIZE, end = count * DEVICE_SIZE;
    ROUNDS(n, FORGET3(vm, v, at), {
        if (axvm_lookup(vm, v, 0, at, at + 3) == NULL)
            return n;
        at += step;
        at -= at >= end ? end : 0;
    });
    return 0;
}

// ---- vCPUs

static int make_none(unsigned n)
{
    count = n;
    return 0;
}

static int life(struct axvcpu *v)
{
    static const struct axvcpu_desc desc;
    int err = axvcpu_init(v, &desc);
    if (err == 0)
        err = axvcpu_setup(v, axvcpu_gpa(0x1000), axvcpu_hpa(0x2000), NULL);
    return err == 0 ? axvcpu_bind(v) : err;
}

static int make_bound(unsigned n)
{
    int err = make_none(n);
    for (unsigned i = 0; i < n && err == 0; i++) {
        memset(&vcpus[i], 0, sizeof vcpus[i]);
        err = life(&vcpus[i]);
        axvcpu_arch(&vcpus[i])->kind = AXVCPU_EXIT_HALT;
    }
    return err;
}

static uint64_t create(uint64_t n)
{
    for (uint64_t i = 0; i < n; i += count) {
        for (unsigned k = 0; k < count; k++)
            if (life(&vcpus[k]) != 0)
                return n;
        for (unsigned k = 0; k < count; k++)
            if (axvcpu_unbind(&vcpus[k]) != 0 || axvcpu_deinit(&vcpus[k]) != 0)
                return n;
    }
    return 0;
}

static uint64_t run_in_turn(uint64_t n)
{
    struct axvcpu_exit *x = &record;
    for (uint64_t i = 0; i < n; i += count)
        for (struct axvcpu *v = vcpus; v != vcpus + count; v++)
            if (axvcpu_run(v, x) != AXVCPU_OK || x->kind != AXVCPU_EXIT_HALT)
                return n;
    return 0;
}

static int make_vm(unsigned n)
{
    static struct axvm vm;
    struct axvm_desc desc = {0};
    static struct axvcpu_desc descs[VCPUS];
    make_none(n);
    for (unsigned i = 0; i < n; i++)
        descs[i].arch.kind = AXVCPU_EXIT_HALT, descs[i].vcpu_id = i;
    desc.vcpus = vcpus;
    desc.vcpu_count = n;
    desc.vcpu_descs = descs;
    machine = vm;
    return axvm_init(&machine, &desc) != 0 || axvm_boot(&machine) != 0;
}

// All but the first are application processors: they come up as a guest would bring them up.
static int make_up(unsigned n)
{
    struct axvcpu_exit up = {0};
    int err = make_vm(n);
    up.kind = AXVCPU_EXIT_CPU_UP;
    for (up.cpu_up.target = 1; up.cpu_up.target < n && err == 0; up.cpu_up.target++)
        err = axvm_cpu_up(&machine, &up);
    return err;
}

static uint64_t run_vm_in_turn(uint64_t n)
{
    struct axvcpu_exit *x = &record;
    for (uint64_t i = 0; i < n; i += count)
        for (unsigned k = 0; k < count; k++)
            if (axvm_run_vcpu(&machine, k, x) != AXVCPU_OK || x->kind != AXVCPU_EXIT_HALT)
                return n;
    return 0;
}

// ---- interrupts

// The vCPU is bound; n of its vectors are pending, spread over all of them.
static int make_pending(unsigned n)
{
    int err = make_bound(1);
    for (unsigned i = 0; i < n && err == 0; i++)
        err = axvcpu_inject_interrupt(vcpus, i * AXVCPU_LEAF_VECTORS / n);
    return err;
}

// One more, above them all; the guest takes it.
static uint64_t inject_and_take(uint64_t n)
{
    struct axvcpu *v = vcpus;
    ROUNDS(n, FORGET(v), {
        if (axvcpu_inject_interrupt(v, AXVCPU_LEAF_VECTORS - 1) != AXVCPU_OK ||
            axvcpu_irq_next(v) != AXVCPU_LEAF_VECTORS - 1)
            return n;
        axvcpu_irq_take(v, AXVCPU_LEAF_VECTORS - 1);
    });
    return 0;
}

// One that is pending already: it coalesces.
static uint64_t inject_again(uint64_t n)
{
    struct axvcpu *v = vcpus;
    ROUNDS(n, FORGET(v), {
        if (axvcpu_inject_interrupt(v, 0) != AXVCPU_OK)
            return n;
    });
    return 0;
}

// ---- memory

static _Alignas(PAGE) uint8_t memory[2 * PAGE * (AXVM_MAX_MAPS + 1)];

static int make_maps(unsigned n)
{
    int err = make_vm(1);
    make_none(n);
    for (unsigned i = 0; i < n && err == 0; i++)
        err = axvm_map(&machine, axvcpu_gpa(2 * PAGE * (uint64_t)i), axvcpu_from_ptr(memory + 2 * PAGE * i), PAGE,
                       AXVM_MAP_RWX);
    return err;
}

static uint64_t pointer(uint64_t n)
{
    struct axvm *vm = &machine;
    uint64_t at = 0, step = 2 * PAGE * (uint64_t)(38923 % count), end = 2 * PAGE * (uint64_t)count;
    ROUNDS(n, FORGET2(vm, at), {
        if (axvm_ptr(vm, axvcpu_gpa(at), 8) == NULL)
            return n;
        at += step;
        at -= at >= end ? end : 0;
    });
    return 0;
}

static uint64_t map_and_unmap(uint64_t n)
{
    struct axvm *vm = &machine;
    uint64_t at = 2 * PAGE * (uint64_t)count;
    ROUNDS(n, FORGET2(vm, at), {
        if (axvm_map(vm, axvcpu_gpa(at), axvcpu_from_ptr(memory), PAGE, AXVM_MAP_RWX) != AXVCPU_OK ||
            axvm_unmap(vm, axvcpu_gpa(at), PAGE) != AXVCPU_OK)
            return n;
    });
    return 0;
}

#define SIZES(name, make, play)                                                                    \
    {name, "scale", 1, make, play, 0}, {name, "scale", 10, make, play, 0}, {name, "scale", 100, make, play, 0}, \
    {name, "scale", 1000, make, play, 0}
#define MORE_SIZES(name, make, play) {name, "scale", 10000, make, play, 0}, {name, "scale", 100000, make, play, 0}
#define VECTORS(name, play)                                                                                  \
    {name, "scale", 1, make_pending, play, 0}, {name, "scale", 4, make_pending, play, 0},                      \
    {name, "scale", 16, make_pending, play, 0}, {name, "scale", 64, make_pending, play, 0},                    \
    {name, "scale", 255, make_pending, play, 0}

static const struct row rows[] = {
    SIZES("device_last", make_devices, lookup_last),
    MORE_SIZES("device_last", make_devices, lookup_last),
    SIZES("device", make_devices, lookup),
    MORE_SIZES("device", make_devices, lookup),
    SIZES("vcpu_create", make_none, create),
    SIZES("vcpu_run", make_bound, run_in_turn),
    SIZES("vcpu_run_vm", make_up, run_vm_in_turn),
    VECTORS("inject_take", inject_and_take),
    VECTORS("inject_again", inject_again),
    SIZES("map_pointer", make_maps, pointer),
    SIZES("map_unmap", make_maps, map_and_unmap),
    {0},
};

int main(int argc, char **argv)
{
    return rows_main(rows, argc, argv);
}
