// SPDX-License-Identifier: Apache-2.0
//
// For bench/guest.c: AArch64's guests, and the PMU (event 8, instructions, with NSH: EL2's too). trace.c looks
// at the same program instruction by instruction.
enum { COUNT_ENTRY = 0, COUNT_PAGES = 2, COUNT_LINE = 40 };
enum { COUNT_NONCE_IN = 0, COUNT_NONCE_OUT = 28, COUNT_OUT = 26 };
#define COUNT_RAM UINT64_C(0x80000000)
#define COUNT_CASES(x)                                                                        \
    case AXVCPU_EXIT_SEND_IPI: axvm_inject(&vm, (x)->ipi.aux, (x)->ipi.vector); break; \
    case AXVCPU_EXIT_CPU_DOWN: sink = 1; break;

extern const uint8_t guest_hypercall[], guest_mmio_read[], guest_ipi[], guest_turn[], guest_other[], guest_turn_float[],
    guest_other_float[];

static bool has_gic3(void)
{
    return machine_gic == 3;
}

static const struct subject subjects[] = {
    {"hypercall", guest_hypercall, NULL, 110, NULL, false},
    {"mmio_read", guest_mmio_read, NULL, 540, NULL, false},
    {"ipi", guest_ipi, NULL, 1000, has_gic3, true},
    {"hypercall_vcpu_switch", guest_turn, guest_other, 1110, NULL, false},
    {"hypercall_fp_switch", guest_turn_float, guest_other_float, 1290, NULL, false},
};

static const char *count_arch(void)
{
    return "arm64-el2";
}

static void count_set_up(struct axvcpu_arch_setup *s)
{
    (void)s;
}

// The PMU is the host's: for once the guest that is loaded may look at it (MDCR_EL2.TPM, TPMCR).
static void count_start(void)
{
    uint64_t one = 1, mdcr;
    __asm__ volatile("mrs %0, mdcr_el2" : "=r"(mdcr));
    __asm__ volatile("msr mdcr_el2, %0" : : "r"(mdcr & ~UINT64_C(0x60)));
    __asm__ volatile("msr pmcr_el0, %0\nmsr pmevtyper0_el0, %1\nmsr pmcntenset_el0, %0\nisb"
                     : : "r"(one), "r"((UINT64_C(1) << 27) | 8) : "memory");
}

static uint64_t count_instructions(void)
{
    uint64_t n;
    __asm__ volatile("isb\nmrs %0, pmevcntr0_el0" : "=r"(n) : : "memory");
    return n;
}
