/* SPDX-License-Identifier: Apache-2.0
 *
 * devices.c: a serial port, a timer and a block of registers as devices of a VM
 *
 *   cc -I.. -pthread devices.c -o devices && ./devices
 *
 * Nothing in this file knows an architecture or a backend: host.h brings the guest and the printing.
 *
 * backends: all
 * flags: -pthread
 * test: expect regs[2] = 0x1235
 */
#include "host.h"

struct timer { uint64_t ticks; };
struct block { uint32_t regs[4]; };

/* Whatever the guest writes is printed; there is always room, so a read says 0. */
static enum axvm_answer serial(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    char text[2] = { (char)x->mmio.data, '\0' };

    (void)vm, (void)v, (void)arg;
    if (x->kind == AXVCPU_EXIT_MMIO_WRITE)
        host_say(text);
    else
        x->mmio.data = 0;
    return AXVM_DONE;
}

/* Counts its own reads. A write is a guest's mistake: it gets what the architecture has for that. */
static enum axvm_answer timer(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    struct timer *t = (struct timer *)arg;

    (void)vm;
    if (x->kind != AXVCPU_EXIT_MMIO_READ)
        return axvcpu_refuse(v) == AXVCPU_OK ? AXVM_DONE : AXVM_ERROR;
    x->mmio.data = ++t->ticks;
    return AXVM_DONE;
}

/* Four registers, wherever the range lies at the moment. */
static enum axvm_answer block(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    struct block *b = (struct block *)arg;
    uint64_t at = (x->mmio.addr - axvm_range_base(v)) / 4;

    (void)vm;
    if (at >= 4)
        return AXVM_ERROR;
    if (x->kind == AXVCPU_EXIT_MMIO_WRITE)
        b->regs[at] = (uint32_t)x->mmio.data;
    else
        x->mmio.data = b->regs[at];
    return AXVM_DONE;
}

int main(void)
{
    static struct axvcpu vcpu;
    static struct axvm vm;
    struct axvm_range ranges[3];
    struct axvm_desc desc = { .vcpus = &vcpu, .vcpu_count = 1, .bsp_entry = AXVCPU_GPA_INIT(HOST_ENTRY),
                              .ranges = ranges, .max_ranges = 3 };
    struct timer t = { 0 };
    struct block b = { { 0 } };
    struct axvcpu_exit x;

    HOST_MUST(axvm_init(&vm, &desc));
    HOST_MUST(axvm_add_mmio(&vm, HOST_SERIAL, 0x1000, serial, NULL));
    HOST_MUST(axvm_add_mmio(&vm, HOST_TIMER, 0x1000, timer, &t));
    HOST_MUST(axvm_add_mmio(&vm, HOST_BLOCK, 0x1000, block, &b));
    host_load_devices_guest(&vm);
    HOST_MUST(axvm_boot(&vm));
    HOST_MUST(axvm_run_vcpu(&vm, 0, &x)); /* everything is served inside, until the guest ends */

    host_say("exit ");
    host_say(axvcpu_exit_name(x.kind));
    host_say_number("; ticks = ", t.ticks);
    host_say_number(", regs[2] = ", b.regs[2]);
    host_say("\n");
    HOST_MUST(axvm_deinit(&vm));
    return (x.kind == AXVCPU_EXIT_HALT || x.kind == AXVCPU_EXIT_SYSTEM_DOWN) && b.regs[2] == 0x1235 ? 0 : 1;
}
