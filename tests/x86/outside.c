// SPDX-License-Identifier: Apache-2.0
//
// What comes from outside while a guest runs: the host's own interrupts, which are the caller's (EXTERNAL_INTERRUPT)
// with their vector, or still pending where the host has no AXVCPU_IRQ_FETCH. And how many VMREADs a hypercall
// takes, counted by vmreads.h.
#include "axvcpu.h"

enum { RAM_SIZE = 0x10000, LOAD = 0x1000, AMD = 0x600, COUNTER = 0x604, TIMES = 20, CALLS = 100 };
enum { VECTOR = 0x55, LINE = 0x61 };

__asm__(".pushsection .rodata\n.code16\n"
        "calls:\n" // at LOAD, in segment 0
        "    cmpb $0, 0x600\n    jne 2f\n"
        "1:  vmcall\n    jmp 1b\n"
        "2:  vmmcall\n    jmp 2b\n"
        "spins:\n    sti\n"
        "spins_closed:\n    incl 0x604\n    jmp spins_closed\n"
        "guest_end:\n.code64\n.popsection");
extern const uint8_t calls[], spins[], spins_closed[], guest_end[];

uint64_t vmreads;
static struct axvm vm;
static struct axvcpu vcpus[2];
static struct axvcpu_exit x;
static uint8_t *ram;

static bool is_amd(void)
{
    uint32_t a, b, c, d;
    __asm__("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(0), "c"(0));
    return b == 0x68747541;
}

static bool start(uint64_t slice)
{
    static struct axvcpu_arch_setup setups[2];
    struct axvm_desc d = {.vcpus = vcpus, .vcpu_count = 2, .setups = setups, .bsp_entry = axvcpu_gpa(LOAD), .ap_entry = axvcpu_gpa(LOAD)};
    setups[0].slice = slice;
    ram = host_alloc(RAM_SIZE / 4096);
    AXVCPU_MEMCPY(ram + LOAD, calls, (size_t)(guest_end - calls));
    ram[AMD] = is_amd();
    return axvm_init(&vm, &d) == AXVCPU_OK && axvm_map(&vm, axvcpu_gpa(0), axvcpu_from_ptr(ram), RAM_SIZE, AXVM_MAP_RWX) == AXVCPU_OK &&
           axvm_boot(&vm) == AXVCPU_OK && axvcpu_set_irq(&vcpus[0], LINE, true) == AXVCPU_OK && axvcpu_bind(&vcpus[0]) == AXVCPU_OK;
}

static void stop(void)
{
    axvcpu_unbind(&vcpus[0]);
    axvm_deinit(&vm);
    host_free(ram, RAM_SIZE / 4096);
}

// ---- VMREADs

static bool calls_of(uint32_t n)
{
    bool good = true;
    for (uint32_t i = 0; i < n && good; i++)
        good = axvcpu_run(&vcpus[0], &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_HYPERCALL;
    return good;
}

// A second vCPU exists, an interrupt waits. Reason, RIP and length.
static bool hypercalls(uint64_t slice)
{
    bool good = start(slice) && calls_of(3);
    vmreads = 0;
    good = good && calls_of(CALLS);
    uint64_t n = vmreads;
    stop();
    host_print("# VMREADs of 100 hypercalls: ");
    host_print_number(n, 10);
    host_print("\n");
    return good && n == (is_amd() ? 0 : 3 * CALLS);
}

// ---- the host's interrupts

static volatile uint32_t *apic(uint32_t offset)
{
    return (volatile uint32_t *)(uintptr_t)(HOST_APIC + offset);
}

static bool is_pending(uint32_t vector)
{
    return (*apic(0x200 + vector / 32 * 0x10) >> vector % 32 & 1) != 0; // IRR (SDM 3, 11.8.4)
}

// The next exit, with this host interrupt; what it says, and whether it was taken.
static bool ends_with(uint32_t vector)
{
#ifdef HOST_NO_FETCH
    bool good = axvcpu_run(&vcpus[0], &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_EXTERNAL_INTERRUPT &&
                x.irq.vector == AXVCPU_NO_VECTOR && is_pending(vector);
    AXVCPU_IRQ_HANDLER(AXVCPU_NO_VECTOR);
    return good && !is_pending(vector);
#else
    return axvcpu_run(&vcpus[0], &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_EXTERNAL_INTERRUPT && x.irq.vector == vector &&
           !is_pending(vector);
#endif
}

static uint32_t counted(void)
{
    return *(volatile uint32_t *)(volatile void *)(ram + COUNTER);
}

// A timer's, while the guest runs, which gets on between; on a slow machine the timer has to wait for that.
static bool while_it_runs(const uint8_t *from)
{
    bool good = start(0) && axvcpu_set_reg(&vcpus[0], AXVCPU_REG_PC, LOAD + (uint64_t)(from - calls)) == AXVCPU_OK;
    uint32_t was = *apic(0x320), counts = 1000;
    good = good && axvcpu_set_irq(&vcpus[0], LINE, false) == AXVCPU_OK;
    *apic(0x320) = VECTOR;
    for (uint32_t i = 0; i < TIMES && good;) {
        uint32_t before = counted();
        *apic(0x380) = counts;
        good = ends_with(VECTOR) && counts < 1u << 30;
        if (counted() > before)
            i++;
        else
            counts *= 2;
    }
    *apic(0x320) = was;
    return good;
}

static void send_here(uint32_t vector)
{
    *apic(0x310) = HOST_CPU()->id << 24;
    *apic(0x300) = 0x4000 | vector;
    while (!is_pending(vector))
        ;
}

// One that was there before: the guest is left at once.
static bool before_it_runs(void)
{
    bool good = true;
    for (uint32_t vector = 0x30; vector < MACHINE_KICK && good; vector += 7) {
        send_here(vector);
        good = ends_with(vector);
    }
    return good;
}

// axvm_run_vcpu gives it to the host's handler and goes on, until the kick. One that is still pending it cannot give.
static void kick(void *unused)
{
    (void)unused;
    axvcpu_kick(&vcpus[0]);
}

static bool in_the_run_loop(void)
{
    axvcpu_unbind(&vcpus[0]);
    send_here(VECTOR);
    host_alarm(1000000, kick, NULL);
    bool good = axvm_run_vcpu(&vm, 0, &x) == AXVCPU_OK;
#ifdef HOST_NO_FETCH
    good = good && x.kind == AXVCPU_EXIT_EXTERNAL_INTERRUPT && is_pending(VECTOR);
    while (good && x.kind == AXVCPU_EXIT_EXTERNAL_INTERRUPT && x.irq.vector == AXVCPU_NO_VECTOR) {
        AXVCPU_IRQ_HANDLER(x.irq.vector);
        good = axvm_run_vcpu(&vm, 0, &x) == AXVCPU_OK;
    }
#endif
    good = good && x.kind == AXVCPU_EXIT_CANCELED && !is_pending(VECTOR);
    axvcpu_bind(&vcpus[0]);
    return good;
}

int host_main(void)
{
    host_case(hypercalls(0), is_amd() ? "a hypercall takes no VMREAD" : "a hypercall takes three VMREADs");
    if (!is_amd())
        host_case(hypercalls(UINT64_C(1) << 30), "... and with a time slice no more");
    // Bochs 2.7 keeps the host's interrupts from a guest that has IF clear, on VMX and on SVM.
    if (host_argument("substrate")[4] == 'q') {
        host_case(while_it_runs(spins_closed), "the host's interrupt ends a run of a guest that takes none");
        stop();
    }
    host_case(while_it_runs(spins), "the host's interrupt ends a run, and says its vector");
    host_case(before_it_runs(), "... also one that was pending");
    host_case(in_the_run_loop(), "... and goes to the host's handler in axvm_run_vcpu");
    stop();
    return 0;
}
