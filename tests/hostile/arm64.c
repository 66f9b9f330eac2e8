// SPDX-License-Identifier: Apache-2.0
//
// Hostile guests of a CPU at EL2 (sections are those of DDI 0487).
#include "hostile.h"

const uint64_t hostile_table_mask = UINT64_MAX;
const uint32_t hostile_gprs = 31;

uint32_t hostile_vectors(void)
{
    return hostile_below(4) != 0 ? hostile_below(32) : hostile_below(1020);
}

void hostile_exception(uint32_t *vector, uint64_t *error)
{
    *vector = hostile_below(AXVCPU_ARM64_EC_COUNT);
    *error = hostile_random() & 0x1ffffff;
}

// Any trap that a host may ask for or do without.
void hostile_mode(struct axvm_arch_desc *vm, struct axvcpu_arch_setup *setup)
{
    (void)vm;
    if (hostile_below(4) == 0)
        setup->hcr_set = hostile_random() & AXVCPU_ARM64_HCR_ALLOWED;
    if (hostile_below(4) == 0)
        setup->hcr_clear = hostile_random() & AXVCPU_ARM64_HCR_ALLOWED & ~setup->hcr_set;
    setup->cntvoff = hostile_random();
}

// A handler that goes on behind the instruction, in the program and at EL1.
extern const uint8_t hostile_next[], hostile_next_end[];
__asm__(".section .rodata\n\t.balign 4\n"
        "hostile_next:\n"
        "\tmrs x17, elr_el1\n\tadd x17, x17, #4\n\tand x17, x17, #0x3ffc\n"
        "\tmov x16, #0x1000\n\tmovk x16, #0x8000, lsl #16\n\tadd x17, x17, x16\n"
        "\tmov x16, #0x3c5\n\tmsr spsr_el1, x16\n\tmsr elr_el1, x17\n\teret\n"
        "hostile_next_end:\n"
        "\t.previous\n");

void hostile_free(struct axvcpu *v, uint8_t *ram)
{
    bool goes_on = hostile_goes_on();
    uint64_t vbar = goes_on ? RAM_BASE + HANDLER : hostile_value() & ~UINT64_C(0x7ff);
    for (uint32_t at = 0; at < 0x800; at += 0x80) // D1.3.1.5
        AXVCPU_MEMCPY(ram + HANDLER + at, hostile_next, (size_t)(hostile_next_end - hostile_next));
    (void)axvcpu_set_reg(v, AXVCPU_REG_SYS(AXVCPU_ARM64_SYSREG(3, 0, 12, 0, 0)), vbar); // VBAR_EL1
}

#if AXVCPU_I_HOSTED
#include <linux/kvm.h>
#include <sys/ioctl.h>

// QEMU 7.2 adds a timer's CVAL and the counter's offset in 64 bits. If they wrap, the timer is due again and again, and
// QEMU does not come back from it (gt_recalc_timer). So the guest's counter is ahead of the host's.
void hostile_exclude(struct axvcpu *v)
{
    uint64_t count;
    struct kvm_one_reg reg = {KVM_REG_ARM_TIMER_CNT, (uintptr_t)&count};
    __asm__ volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(count));
    count += UINT64_C(1) << 40;
    (void)ioctl(axvcpu_kvm_fd(v), KVM_SET_ONE_REG, &reg);
}
#endif

// ---- instructions

static uint32_t bits(uint32_t n)
{
    return (uint32_t)(hostile_random() & ((UINT64_C(1) << n) - 1));
}

static uint32_t regs(void)
{
    return bits(5) << 5 | bits(5);
}

// All of C4.1.94 that has a valid syndrome, and what has none: pairs, exclusives, write-back, vectors.
static uint32_t memory(void)
{
    switch (hostile_below(6)) {
    case 0:
    case 1: return bits(2) << 30 | 0x39000000 | bits(2) << 22 | bits(6) << 10 | regs();              // unsigned offset
    case 2: return bits(2) << 30 | 0x38000000 | bits(1) << 26 | bits(2) << 22 | bits(12) << 10 | regs(); // the others
    case 3: return bits(2) << 30 | 0x28000000 | bits(1) << 26 | bits(3) << 22 | bits(12) << 10 | regs(); // pairs
    case 4: return bits(2) << 30 | 0x08000000 | bits(3) << 21 | bits(11) << 10 | regs();             // exclusive, ordered
    default: return bits(2) << 30 | 0x0c000000 | bits(12) << 12 | regs();                            // vectors
    }
}

// MRS, MSR, SYS and what else is in that space (C5.1.2), mostly where registers are.
static uint32_t system(void)
{
    uint32_t op0 = bits(3) == 0 ? bits(2) : 3, op1 = bits(1) != 0 ? 0 : bits(3), crn = bits(4), crm = bits(2) != 0 ? bits(2) : bits(4);
    return 0xd5000000 | bits(1) << 21 | op0 << 19 | op1 << 16 | crn << 12 | crm << 8 | bits(3) << 5 | bits(5);
}

static uint32_t special(void)
{
    static const uint32_t all[] = {0xd503207f, 0xd4000002, 0xd4000003, 0xd4000001, 0xd4200000, 0xd4400000, 0xd69f03e0, 0xd503205f,
                                   0xd5033fdf, 0xd508871f, 0xd50c871f, 0xd50c83df, 0xd5087800, 0xd50b7421, 0xd508751f, 0xd5034fdf,
                                   0xd50342ff, 0xd5184000, 0xd51bd040, 0x00000000, 0xd69f0fff, 0xd65f0bff, 0xdac103e0, 0x04000000};
    uint32_t first = AXVCPU_I_HOSTED && bits(3) != 0; // WFI, which sleeps in a kernel, is the first one
    return all[first + hostile_below((uint32_t)COUNT(all) - first)] | (bits(2) == 0 ? bits(5) : 0);
}

static uint32_t jump(void)
{
    static const uint32_t all[] = {0x14000000, 0x94000000, 0x54000000, 0x34000000, 0xb5000000, 0x36000000, 0xd61f0000, 0xd65f0000};
    uint32_t base = all[hostile_below(COUNT(all))];
    return base >= 0xd6000000 ? base | bits(5) << 5 : base | bits(4) << (base == 0x14000000 || base == 0x94000000 ? 0 : 5);
}

static uint32_t put(uint8_t *to, uint32_t insn)
{
    AXVCPU_MEMCPY(to, &insn, 4);
    return 4;
}

// PSCI and other calls, with a number of their ranges (DEN 0022, DEN 0028).
static uint32_t call(uint8_t *to)
{
    static const uint16_t high[] = {0x8400, 0xc400, 0x8000, 0x8600, 0xc600, 0x8500};
    uint32_t n = put(to, 0x52800000 | bits(5) << 5); // mov w0
    n += put(to + n, 0x72a00000 | (uint32_t)high[hostile_below(COUNT(high))] << 5);
    return n + put(to + n, bits(1) != 0 ? 0xd4000002 : 0xd4000003);
}

// A branch to where it was is mostly one for ever (C4.1.86): bit 23 is their sign, or bit 25.
static uint32_t forward(uint32_t insn)
{
    return (insn >> 26 & 7) == 5 && (insn >> 29 & 3) != 2 ? insn & ~0x02800000u : insn;
}

// An access, half the time to where no memory is.
static uint32_t device(uint8_t *to)
{
    uint32_t insn = memory(), rn = insn >> 5 & 31;
    uint32_t n = bits(1) != 0 ? put(to, 0xd2a00000 | (MMIO >> 16) << 5 | rn) : 0; // movz
    return n + put(to + n, insn);
}

uint32_t hostile_insn(uint8_t to[MAX_INSN])
{
    uint32_t kind = hostile_below(100);
    if (kind < 25)
        return put(to, forward((uint32_t)hostile_random()));
    if (kind < 50)
        return device(to);
    if (kind < 72)
        return put(to, system());
    if (kind < 84)
        return put(to, special());
    return kind < 92 ? call(to) : put(to, jump());
}

// ---- the host's registers

#define SYSREG(X, name) X(name, __extension__({ uint64_t v_; __asm__ volatile("mrs %0, " #name : "=r"(v_)); v_; }))
#if AXVCPU_I_HOSTED
#define FLOAT(X, name) X(name, __extension__({ uint64_t v_; __asm__ volatile("fmov %0, " #name : "=r"(v_)); v_; }))
#define ALWAYS(X) \
    SYSREG(X, tpidr_el0) SYSREG(X, fpcr) SYSREG(X, fpsr) FLOAT(X, d8) FLOAT(X, d9) FLOAT(X, d10) FLOAT(X, d11) \
    FLOAT(X, d12) FLOAT(X, d13) FLOAT(X, d14) FLOAT(X, d15)
#define UNBOUND HOSTILE_NONE
#define X18 "x9" // a program's x18 is anybody's
#else
#define ALWAYS(X) \
    SYSREG(X, vbar_el2) SYSREG(X, tpidr_el2) SYSREG(X, sctlr_el2) SYSREG(X, tcr_el2) SYSREG(X, mair_el2) \
    SYSREG(X, ttbr0_el2) SYSREG(X, daif) SYSREG(X, spsel) SYSREG(X, actlr_el2)
#define UNBOUND(X) \
    SYSREG(X, hcr_el2) SYSREG(X, cptr_el2) SYSREG(X, mdcr_el2) SYSREG(X, cnthctl_el2) SYSREG(X, hstr_el2) \
    SYSREG(X, cntvoff_el2)
#define X18 "x18"
#endif
HOSTILE_WORDS(ALWAYS, UNBOUND)

const char *const hostile_register_names[] = {"x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "x29", "sp"};

// Each register holds its own number, and a pattern; x18 is a bare host's.
__asm__(".text\n"
        "\t.globl hostile_call\n"
        "hostile_call:\n"
        "\tstp x29, x30, [sp, #-144]!\n"
        "\tstp x19, x20, [sp, #16]\n\tstp x21, x22, [sp, #32]\n\tstp x23, x24, [sp, #48]\n"
        "\tstp x25, x26, [sp, #64]\n\tstp x27, x28, [sp, #80]\n\tstp x18, x3, [sp, #96]\n"
        "\tmov x9, sp\n\tstr x9, [sp, #112]\n"
        ".irp r, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29\n"
        "\tmov x\\r, #0x5a5a\n\tmovk x\\r, #\\r, lsl #48\n"
        ".endr\n"
        "\tmov x9, x0\n\tmov x0, x1\n\tmov x1, x2\n"
        "\tblr x9\n"
        "\tmov x11, #0\n"
        ".irp r, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29\n"
        "\tmov x9, #0x5a5a\n\tmovk x9, #\\r, lsl #48\n"
        "\tcmp x9, x\\r\n\tcset x10, ne\n\torr x11, x11, x10, lsl #(\\r - 18)\n"
        ".endr\n"
        "\tldp x9, x3, [sp, #96]\n\tcmp x9, " X18 "\n\tcset x10, ne\n\torr x11, x11, x10\n"
        "\tldr x9, [sp, #112]\n\tmov x12, sp\n\tcmp x9, x12\n\tcset x10, ne\n\torr x11, x11, x10, lsl #12\n"
        "\tstr x11, [x3]\n"
        "\tldp x19, x20, [sp, #16]\n\tldp x21, x22, [sp, #32]\n\tldp x23, x24, [sp, #48]\n"
        "\tldp x25, x26, [sp, #64]\n\tldp x27, x28, [sp, #80]\n"
        "\tldp x29, x30, [sp], #144\n"
        "\tret\n");
