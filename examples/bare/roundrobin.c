/* SPDX-License-Identifier: Apache-2.0
 *
 * roundrobin.c: how a type-1 hypervisor uses axvcpu.h. Two VMs share one CPU; the host's timer says whose turn
 * it is. The guests do nothing but count, so they never give the CPU back by themselves.
 *
 *   cc -ffreestanding -include examples/bare/host.h -Iexamples/bare/ARCH examples/bare/roundrobin.c
 *      examples/bare/host.c examples/bare/ARCH/machine.c examples/bare/ARCH/start.S
 *
 * test: expect both guests have counted, each in its own slices
 */
#include "axvcpu.h"

enum { GUESTS = 2, SLICES = 10, SLICE_NS = 2000000, RAM_PAGES = 4, PAGE = 4096, ENTRY = 0x1000, COUNTER = 0x3000 };

/* The only thing here that knows an architecture: the guest. It counts at COUNTER, for ever. */
__asm__(".pushsection .rodata\n.balign 16\n"
        "counter_guest:\n"
#if defined(__riscv)
        "   li t0, 0x3000\n"
        "1: lw t1, 0(t0)\n addi t1, t1, 1\n sw t1, 0(t0)\n j 1b\n"
#elif defined(__aarch64__)
        "   mov x0, #0x3000\n"
        "1: ldr w1, [x0]\n add w1, w1, #1\n str w1, [x0]\n b 1b\n"
#else /* x86, in real mode */
        ".code16\n"
        "1: incl 0x3000\n jmp 1b\n"
        ".code64\n"
#endif
        "counter_guest_end:\n.popsection\n");
extern const uint8_t counter_guest[], counter_guest_end[];

static struct axvm vms[GUESTS];
static struct axvcpu vcpus[GUESTS];
static uint8_t *rams[GUESTS];
static uint32_t turn;

/* Memory from the host's frames, second-stage tables by axvm_map, one vCPU. */
static bool create(uint32_t i)
{
    struct axvm_desc desc = {.id = i, .vcpus = &vcpus[i], .vcpu_count = 1, .bsp_entry = AXVCPU_GPA_INIT(ENTRY)};

    rams[i] = host_alloc(RAM_PAGES);
    if (rams[i] == NULL || axvm_init(&vms[i], &desc) != AXVCPU_OK)
        return false;
    AXVCPU_MEMCPY(rams[i] + ENTRY, counter_guest, (size_t)(counter_guest_end - counter_guest));
    return axvm_map(&vms[i], axvcpu_gpa(0), axvcpu_from_ptr(rams[i]), RAM_PAGES * PAGE, AXVM_MAP_RWX) == AXVCPU_OK &&
           axvm_boot(&vms[i]) == AXVCPU_OK;
}

/* In the timer's interrupt. It has ended the guest's run; without the kick axvm_run_vcpu would go on with it. */
static void slice_is_over(void *unused)
{
    (void)unused;
    (void)axvcpu_kick(axvm_vcpu(&vms[turn], 0));
}

/* axvm_run_vcpu binds the vCPU to this CPU, serves what it can, and leaves it unbound: free to run anywhere. */
static bool run_slice(uint32_t i)
{
    struct axvcpu_exit x;

    turn = i;
    host_alarm(SLICE_NS, slice_is_over, NULL);
    return axvm_run_vcpu(&vms[i], 0, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_CANCELED;
}

static uint32_t count_of(uint32_t i)
{
    return *(volatile uint32_t *)(void *)(rams[i] + COUNTER);
}

/* In each slice one guest counts - if it came to it: an emulated CPU may lose its time slice, too - and the other
   one does not. Until both have had so many. */
static bool share(void)
{
    uint32_t had[GUESTS] = {0}, before[GUESTS], i = 0;

    while (had[0] < SLICES || had[1] < SLICES) {
        before[0] = count_of(0);
        before[1] = count_of(1);
        if (!run_slice(i))
            return false;
        had[i] += count_of(i) != before[i];
        i = 1 - i; /* round and round */
        if (count_of(i) != before[i])
            return false;
    }
    return true;
}

int host_main(void)
{
    bool good = create(0) && create(1) && share();
    uint32_t i;

    host_print(good ? "both guests have counted, each in its own slices\n" : "something went wrong\n");
    for (i = 0; i < GUESTS; i++) {
        (void)axvm_deinit(&vms[i]);
        host_free(rams[i], RAM_PAGES);
    }
    return good ? 0 : 1;
}
