// SPDX-License-Identifier: Apache-2.0
//
// What exits cost: the guest reads the PMU (event 8, instructions, with NSH: EL2's too) around its
// instruction; under QEMU's -icount shift=0 that counts every instruction of guest and host, exactly. A second
// vCPU exists, an interrupt is pending but masked by the guest, and the guest checks all of its registers, one
// of FP included, in every round. trace.c looks at the same program instruction by instruction.
#include "axvcpu.h"

enum { RAM_PAGES = 2, LINE = 40, ROUNDS = 64 };
#define RAM UINT64_C(0x80000000)

extern const uint8_t guest_count[], guest_hypercall[], guest_mmio_read[], guest_ipi[], guest_beside[],
    guest_beside_float[], guest_count_end[];

static struct axvm vm;
static struct axvcpu vcpus[2];

// What is measured: the first vCPU runs `program`; `beside`, if any, the second one, in turns. More than
// `most` is a failure.
struct subject {
    const char *name;
    const uint8_t *program, *beside;
    uint64_t most;
    bool line; // an interrupt is pending all the time
    bool ipi;  // needs the system registers of a GICv3
};
static const struct subject subjects[] = {
    {"hypercall", guest_hypercall, NULL, 110, true, false},
    {"mmio_read", guest_mmio_read, NULL, 540, true, false},
    {"ipi", guest_ipi, NULL, 1000, false, true},
    {"hypercall_vcpu_switch", guest_beside, guest_beside, 1000, false, false},
    {"hypercall_fp_switch", guest_beside_float, guest_beside_float, 1200, false, false},
};

static axvcpu_gpa_t entry_of(const uint8_t *program)
{
    return axvcpu_gpa(RAM + (uint64_t)(program - guest_count));
}

static bool prepare(const struct subject *s, void *ram)
{
    struct axvm_desc d = {.vcpus = vcpus, .vcpu_count = 2, .bsp_entry = entry_of(s->program),
                          .ap_entry = entry_of(s->beside ? s->beside : s->program)};
    AXVCPU_MEMCPY(ram, guest_count, (size_t)(guest_count_end - guest_count));
    return axvm_init(&vm, &d) == AXVCPU_OK &&
           axvm_map(&vm, axvcpu_gpa(RAM), axvcpu_from_ptr(ram), RAM_PAGES * 4096, AXVM_MAP_RWX) == AXVCPU_OK &&
           axvm_boot(&vm) == AXVCPU_OK && (!s->line || axvcpu_set_irq(&vcpus[0], LINE, true) == AXVCPU_OK) &&
           axvcpu_bind(&vcpus[1]) == AXVCPU_OK && axvcpu_bind(&vcpus[0]) == AXVCPU_OK;
}

// The PMU is the host's: for once the guest that is bound may look at it (MDCR_EL2.TPM, TPMCR).
static void start_counting(void)
{
    uint64_t one = 1, mdcr;
    __asm__ volatile("mrs %0, mdcr_el2" : "=r"(mdcr));
    __asm__ volatile("msr mdcr_el2, %0" : : "r"(mdcr & ~UINT64_C(0x60)));
    __asm__ volatile("msr pmcr_el0, %0\nmsr pmevtyper0_el0, %1\nmsr pmcntenset_el0, %0\nisb"
                     : : "r"(one), "r"((UINT64_C(1) << 27) | 8) : "memory");
}

static uint64_t instructions(void)
{
    uint64_t n;
    __asm__ volatile("isb\nmrs %0, pmevcntr0_el0" : "=r"(n) : : "memory");
    return n;
}

// The loop that is measured: run and a switch over eight kinds. Knows nothing about its objects. Ends with a
// hypercall that is not the usual one, or after so many rounds of two vCPUs.
__attribute__((noinline, noclone)) static bool play(struct axvcpu *v, struct axvcpu *beside, struct axvcpu_exit *x,
                                                    uint32_t rounds)
{
    uint64_t sink = 0;
    for (;;) {
        if (axvcpu_run(v, x) != AXVCPU_OK)
            return false;
        switch (x->kind) {
        case AXVCPU_EXIT_HYPERCALL:
            if (x->hypercall.nr != 0xc6000001)
                return true;
            break;
        case AXVCPU_EXIT_MMIO_READ: axvcpu_complete(v, x->mmio.addr); break;
        case AXVCPU_EXIT_MMIO_WRITE: sink += x->mmio.data; break;
        case AXVCPU_EXIT_SYSREG_READ: axvcpu_complete(v, x->sysreg.addr); break;
        case AXVCPU_EXIT_SYSREG_WRITE: sink += x->sysreg.value; break;
        case AXVCPU_EXIT_SEND_IPI: axvm_inject(&vm, x->ipi.aux, x->ipi.vector); break;
        case AXVCPU_EXIT_HALT: sink++; break;
        case AXVCPU_EXIT_CPU_DOWN: sink += 2; break;
        default: return false;
        }
        if (beside && (axvcpu_run(beside, x) != AXVCPU_OK || rounds-- == 0))
            return sink + 1 > sink;
    }
}

// Half of a round of the two, without the jump of the guest.
static uint64_t count_switch(struct axvcpu_exit *x)
{
    uint64_t start = instructions(), once;
    bool good = play(&vcpus[0], &vcpus[1], x, ROUNDS);
    once = instructions() - start;
    start = instructions();
    good = good && play(&vcpus[0], &vcpus[1], x, 2 * ROUNDS);
    return good ? (instructions() - start - once) / ROUNDS / 2 - 1 : 0;
}

static void print_cost(const struct subject *s, uint64_t n)
{
    host_print("# cost {\"bench\":\"");
    host_print(s->name);
    host_print("\",\"impl\":\"axvcpu\",\"arch\":\"arm64-el2\",\"n\":1,\"ir\":");
    host_print_number(n, 10);
    host_print("}\n");
}

static void count(const struct subject *s)
{
    struct axvcpu_exit x;
    uint64_t nonce = host_random() | 1, n = 0;
    void *ram = host_alloc(RAM_PAGES);
    if (prepare(s, ram) && axvcpu_set_gpr(&vcpus[0], 0, nonce) == AXVCPU_OK) {
        start_counting();
        if (s->beside)
            n = count_switch(&x);
        else if (play(&vcpus[0], NULL, &x, 0) && x.hypercall.args[0] == nonce)
            n = x.hypercall.args[1];
    }
    if (n != 0)
        print_cost(s, n);
    host_case(n != 0 && n <= s->most, s->name);
    axvcpu_unbind(&vcpus[0]);
    axvcpu_unbind(&vcpus[1]);
    axvm_deinit(&vm);
    host_free(ram, RAM_PAGES);
}

int host_main(void)
{
    for (uint32_t i = 0; i < sizeof subjects / sizeof subjects[0]; i++)
        if (!subjects[i].ipi || machine_gic == 3)
            count(&subjects[i]);
    return 0;
}
