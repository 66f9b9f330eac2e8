/* SPDX-License-Identifier: Apache-2.0
 *
 * smp.c: two vCPUs, a CPU (or thread) of the host's for each. The first one boots and starts the second in the
 * architecture's own way. Where that is a CPU_UP exit, axvm_cpu_up brings the second one up; where the kernel
 * does it (KVM on RISC-V, and on AArch64 before Linux 6.4), there is no exit. Both talk to the same device.
 *
 *   cc -I.. -pthread smp.c -o smp && ./smp
 *
 * Nothing in this file knows an architecture or a backend: host.h brings the guest, the printing and the
 * second CPU.
 *
 * backends: all
 * flags: -pthread
 * test: expect vCPU 0x0 says B
 * test: expect vCPU 0x1 says A
 * test: expect vCPU 0x0 says D
 */
#include "host.h"

static struct axvcpu vcpus[2];
static struct axvm_range serial;
static struct axvm vm;

static enum axvm_answer say(struct axvm *m, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    char text[] = " says .\n";

    (void)m, (void)arg;
    if (x->kind != AXVCPU_EXIT_MMIO_WRITE)
        return AXVM_ERROR;
    text[6] = (char)x->mmio.data;
    host_say_number("vCPU ", axvcpu_id(v));
    host_say(text);
    return AXVM_DONE;
}

/* The second vCPU's CPU waits until it is up. */
static void run_second(void *arg)
{
    struct axvcpu_exit x;

    (void)arg;
    while (axvm_run_vcpu(&vm, 1, &x) == AXVCPU_EAGAIN)
        host_yield();
}

/* The first one's. */
static uint32_t run_first(void)
{
    struct axvcpu_exit x;
    bool up = false;

    HOST_MUST(axvm_run_vcpu(&vm, 0, &x));
    while (x.kind == AXVCPU_EXIT_CPU_UP) {
        up = axvm_cpu_up(&vm, &x) == AXVCPU_OK || up;
        HOST_MUST(axvm_run_vcpu(&vm, 0, &x));
    }
    if (!up)
        HOST_MUST(axvm_shutdown(&vm)); /* the second one is the kernel's, and has no exit of its own */
    return x.kind;
}

int main(void)
{
    struct axvm_desc desc = { .vcpus = vcpus, .vcpu_count = 2, .ranges = &serial, .max_ranges = 1,
                              .bsp_entry = AXVCPU_GPA_INIT(HOST_ENTRY) };
    uint32_t last;

    if (!axvcpu_has_hardware_support()) {
        host_say("there is no hardware support: the line above says what to do\n");
        return 77;
    }
    HOST_MUST(axvm_init(&vm, &desc));
    HOST_MUST(axvm_add_mmio(&vm, HOST_SERIAL, 0x1000, say, NULL));
    host_load_smp_guest(&vm);
    HOST_MUST(axvm_boot(&vm));
    if (!host_spawn(run_second, NULL))
        return 1;
    last = run_first();
    host_join();
    HOST_MUST(axvm_deinit(&vm));
    return last == AXVCPU_EXIT_HALT || last == AXVCPU_EXIT_SYSTEM_DOWN ? 0 : 1;
}
