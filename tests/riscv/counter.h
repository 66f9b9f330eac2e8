// SPDX-License-Identifier: Apache-2.0
//
// For bench/guest.c: RISC-V's guests, and instret.
enum { COUNT_ENTRY = 0, COUNT_PAGES = 2, COUNT_LINE = AXVCPU_RISCV_IRQ_EXT };
enum { COUNT_NONCE_IN = 10, COUNT_NONCE_OUT = 2, COUNT_OUT = 3 };
#define COUNT_RAM UINT64_C(0x80000000)
#define COUNT_CASES(x)                                                                        \
    case AXVCPU_EXIT_SEND_IPI: axvm_inject(&vm, (x)->ipi.target, (x)->ipi.vector); break; \
    case AXVCPU_EXIT_CPU_DOWN: sink = 1; break;

extern const uint8_t guest_hypercall[], guest_mmio[], guest_ipi[], guest_turn[], guest_other[], guest_turn_float[],
    guest_other_float[];

#ifdef AXVCPU_OWN_VECTORS
enum { HYPERCALL_MOST = 141 }; // the host's vector has a jump to ours
#else
enum { HYPERCALL_MOST = 140 }; // the design's
#endif

static const struct subject subjects[] = {
    {"hypercall", guest_hypercall, NULL, HYPERCALL_MOST, NULL, false},
    {"mmio_read", guest_mmio, NULL, 860, NULL, false},
    {"ipi", guest_ipi, NULL, 900, NULL, false},
    {"hypercall_vcpu_switch", guest_turn, guest_other, 880, NULL, false},
    {"hypercall_fp_switch", guest_turn_float, guest_other_float, 1700, NULL, false},
};

static const char *count_arch(void)
{
    return "riscv-hs";
}

static void count_set_up(struct axvcpu_arch_setup *s)
{
    (void)s;
}

static void count_start(void)
{
}

static uint64_t count_instructions(void)
{
    uint64_t n;
    __asm__ volatile("csrr %0, instret" : "=r"(n) : : "memory");
    return n;
}
