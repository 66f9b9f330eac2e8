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

void hostile_free(struct axvcpu *v, uint8_t *ram)
{
    (void)ram;
    (void)axvcpu_set_reg(v, AXVCPU_REG_SYS(AXVCPU_ARM64_SYSREG(3, 0, 12, 0, 0)), hostile_value() & ~UINT64_C(0x7ff)); // VBAR_EL1
}

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
    static const uint32_t all[] = {0xd4000002, 0xd4000003, 0xd4000001, 0xd4200000, 0xd4400000, 0xd69f03e0, 0xd503207f, 0xd503205f,
                                   0xd5033fdf, 0xd508871f, 0xd50c871f, 0xd50c83df, 0xd5087800, 0xd50b7421, 0xd508751f, 0xd5034fdf,
                                   0xd50342ff, 0xd5184000, 0xd51bd040, 0x00000000, 0xd69f0fff, 0xd65f0bff, 0xdac103e0, 0x04000000};
    return all[hostile_below(COUNT(all))] | (bits(2) == 0 ? bits(5) : 0);
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

uint32_t hostile_insn(uint8_t to[MAX_INSN])
{
    uint32_t kind = hostile_below(100);
    if (kind < 25)
        return put(to, (uint32_t)hostile_random());
    if (kind < 50)
        return put(to, memory());
    if (kind < 72)
        return put(to, system());
    if (kind < 84)
        return put(to, special());
    return kind < 92 ? call(to) : put(to, jump());
}

// ---- the host's registers

#define ALWAYS(X) X(vbar_el2) X(tpidr_el2) X(sctlr_el2) X(tcr_el2) X(mair_el2) X(ttbr0_el2) X(daif) X(spsel) X(actlr_el2)
#define UNBOUND(X) X(hcr_el2) X(cptr_el2) X(mdcr_el2) X(cnthctl_el2) X(hstr_el2) X(cntvoff_el2)
#define READ(name) __asm__ volatile("mrs %0, " #name : "=r"(to[n++]));
#define NAME(name) #name,
#define ONE(name) +1
const char *const hostile_word_names[] = {ALWAYS(NAME) UNBOUND(NAME)};
const uint32_t hostile_always = 0 ALWAYS(ONE);

uint32_t hostile_words(uint64_t *to)
{
    uint32_t n = 0;
    ALWAYS(READ)
    UNBOUND(READ)
    return n;
}

uint32_t hostile_ranges(struct hostile_range *to)
{
    (void)to; // it runs without translation, its vectors are in the program
    return 0;
}

const char *const hostile_register_names[] = {"x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "x29", "sp"};

// Each register holds its own number, and a pattern; x18 is the host's.
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
        "\tldp x9, x3, [sp, #96]\n\tcmp x9, x18\n\tcset x10, ne\n\torr x11, x11, x10\n"
        "\tldr x9, [sp, #112]\n\tmov x12, sp\n\tcmp x9, x12\n\tcset x10, ne\n\torr x11, x11, x10, lsl #12\n"
        "\tstr x11, [x3]\n"
        "\tldp x19, x20, [sp, #16]\n\tldp x21, x22, [sp, #32]\n\tldp x23, x24, [sp, #48]\n"
        "\tldp x25, x26, [sp, #64]\n\tldp x27, x28, [sp, #80]\n"
        "\tldp x29, x30, [sp], #144\n"
        "\tret\n");
