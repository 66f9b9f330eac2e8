// SPDX-License-Identifier: Apache-2.0
//
// For bench/guest.c: x86's guests, and the time-stamp counter, which counts instructions in QEMU and in Bochs.
enum { COUNT_ENTRY = 0x1000, COUNT_TABLES = 0x8000, COUNT_PAGES = 0x10, COUNT_LINE = 0x61 };
enum { COUNT_NONCE_IN = AXVCPU_X86_RDI, COUNT_NONCE_OUT = AXVCPU_X86_RSP, COUNT_OUT = AXVCPU_X86_RSI };
#define COUNT_RAM UINT64_C(0) // the guests lie below the host's own code (0x7c00), which bench/split.c needs
#define COUNT_CASES(x)                                                      \
    case AXVCPU_EXIT_IO_READ: axvcpu_complete(v, (x)->io.port); break; \
    case AXVCPU_EXIT_IO_WRITE:                                          \
        if ((x)->io.port == 0x99)                                       \
            return true;                                                \
        sink = (x)->io.data;                                            \
        break;

extern const uint8_t guest_vmcall[], guest_vmmcall[], guest_cpuid[], guest_out[], guest_in[], guest_mmio[],
    guest_turn_vmcall[], guest_turn_vmmcall[], guest_other_vmcall[], guest_other_vmmcall[], guest_turn_float_vmcall[],
    guest_turn_float_vmmcall[], guest_other_float_vmcall[], guest_other_float_vmmcall[];

static bool is_amd(void)
{
    uint32_t a, b, c, d;
    __asm__("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(0), "c"(0));
    return b == 0x68747541;
}

static bool is_intel(void)
{
    return !is_amd();
}

// The limits are what was reached; that of the hypercall is the design's. Without next RIPs a cpuid is fetched
// and decoded.
static const struct subject subjects[] = {
    {"hypercall", guest_vmmcall, NULL, 110, is_amd, false},
    {"hypercall", guest_vmcall, NULL, 110, is_intel, false},
    {"cpuid", guest_cpuid, NULL, 3750, NULL, false},
    {"pio_out", guest_out, NULL, 1060, NULL, false},
    {"pio_in", guest_in, NULL, 1110, NULL, false},
    {"mmio_read", guest_mmio, NULL, 4400, NULL, false},
    {"hypercall_vcpu_switch", guest_turn_vmmcall, guest_other_vmmcall, 4100, is_amd, false},
    {"hypercall_vcpu_switch", guest_turn_vmcall, guest_other_vmcall, 4100, is_intel, false},
    {"hypercall_fp_switch", guest_turn_float_vmmcall, guest_other_float_vmmcall, 4800, is_amd, false},
    {"hypercall_fp_switch", guest_turn_float_vmcall, guest_other_float_vmcall, 4800, is_intel, false},
};

static const char *count_arch(void)
{
    return is_amd() ? "x86-svm" : "x86-vmx";
}

static void count_set_up(struct axvcpu_arch_setup *s)
{
    s->mode = AXVCPU_X86_LONG;
    s->tables = axvcpu_gpa(COUNT_TABLES);
}

static void count_start(void)
{
}

static uint64_t count_instructions(void)
{
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}
