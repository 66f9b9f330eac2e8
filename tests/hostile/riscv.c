// SPDX-License-Identifier: Apache-2.0
//
// Hostile guests of a RISC-V hart in HS mode (priv: the privileged specification; unpriv: the other one).
#include "hostile.h"

const uint64_t hostile_table_mask = UINT64_MAX;
const uint32_t hostile_gprs = 32;

uint32_t hostile_vectors(void)
{
    static const uint32_t all[] = {AXVCPU_RISCV_IRQ_SOFT, AXVCPU_RISCV_IRQ_TIMER, AXVCPU_RISCV_IRQ_EXT};
    return all[hostile_below(COUNT(all))];
}

void hostile_exception(uint32_t *vector, uint64_t *error)
{
    *vector = hostile_below(16);
    *error = 0;
}

void hostile_mode(struct axvm_arch_desc *vm, struct axvcpu_arch_setup *setup)
{
    if (hostile_below(4) == 0)
        vm->mode = AXVCPU_RISCV_HGATP_SV48X4;
    if (!AXVCPU_I_HOSTED && hostile_below(4) == 0) // a kernel delegates by itself
        setup->hedeleg_clear = hostile_random();
    if (hostile_below(8) == 0)
        setup->hcounteren_clear = hostile_random();
    if (hostile_below(8) == 0)
        setup->henvcfg_clear = hostile_random();
}

#if AXVCPU_I_HOSTED
#include <linux/kvm.h>
#include <sys/ioctl.h>

// A remote fence that ends at the last page of the address space keeps Linux (6.12) in a loop for ever: its position
// wraps before the end. So there are none; which they are says enum KVM_RISCV_SBI_EXT_ID.
void hostile_exclude(struct axvcpu *v)
{
    enum { SBI_EXTENSION = 0x08 << 24, LEGACY = 0, RFENCE = 3 };
    static const uint64_t all[] = {LEGACY, RFENCE};
    for (size_t i = 0; i < COUNT(all); i++) {
        uint64_t off = 0;
        struct kvm_one_reg reg = {KVM_REG_RISCV | KVM_REG_SIZE_U64 | SBI_EXTENSION | all[i], (uint64_t)(uintptr_t)&off};
        (void)ioctl(axvcpu_kvm_fd(v), KVM_SET_ONE_REG, &reg);
    }
}
#endif

// A handler that goes on two bytes further, in the program.
extern const uint8_t hostile_next[], hostile_next_end[];
__asm__(".section .rodata\n\t.balign 4\n"
        "hostile_next:\n"
        "\tcsrr t0, sepc\n\taddi t0, t0, 2\n\tli t1, 0x3ffe\n\tand t0, t0, t1\n"
        "\tli t1, 0x80001000\n\tadd t0, t0, t1\n"
        "\tcsrw sepc, t0\n\tsret\n"
        "hostile_next_end:\n"
        "\t.previous\n");

void hostile_free(struct axvcpu *v, uint8_t *ram)
{
    bool goes_on = hostile_goes_on();
    AXVCPU_MEMCPY(ram + HANDLER, hostile_next, (size_t)(hostile_next_end - hostile_next));
    (void)axvcpu_set_reg(v, AXVCPU_REG_SYS(0x105), goes_on ? RAM_BASE + HANDLER : hostile_value() & ~UINT64_C(3)); // stvec
}

// ---- instructions

static uint32_t bits(uint32_t n)
{
    return (uint32_t)hostile_random() & ((1u << n) - 1);
}

static uint32_t reg(uint32_t at)
{
    return bits(5) << at;
}

// Loads and stores of all widths, also of floating point and atomic ones (unpriv 24).
static uint32_t memory(void)
{
    static const uint32_t opcodes[] = {0x03, 0x03, 0x23, 0x23, 0x07, 0x27, 0x2f};
    uint32_t imm = bits(2) != 0 ? bits(4) << 23 : bits(7) << 25;
    return imm | reg(20) | reg(15) | bits(3) << 12 | reg(7) | opcodes[hostile_below(COUNT(opcodes))];
}

// What a guest has, what only its host has (that traps), and what nobody has (priv 2.2).
static uint32_t csr(void)
{
    static const uint16_t all[] = {0x100, 0x104, 0x105, 0x106, 0x10a, 0x140, 0x141, 0x142, 0x143, 0x144, 0x14d, 0x180,
                                   0x200, 0x204, 0x205, 0x240, 0x241, 0x242, 0x243, 0x244, 0x24d, 0x280, 0x600, 0x602, 0x603,
                                   0x604, 0x605, 0x606, 0x607, 0x60a, 0x643, 0x644, 0x645, 0x64a, 0x680, 0xe12, 0x300, 0x305,
                                   0x341, 0x3a0, 0xc00, 0xc01, 0xc02, 0xc03, 0x001, 0x002, 0x003, 0x008, 0x009, 0xc20, 0xc22, 0x015};
    uint32_t number = bits(3) != 0 ? all[hostile_below(COUNT(all))] : bits(12);
    return number << 20 | reg(15) | bits(3) << 12 | reg(7) | 0x73;
}

// Also those that only a hypervisor has: HLV, HSV, HFENCE (priv 8.3).
static uint32_t privileged(void)
{
    static const uint32_t all[] = {0x10500073, 0x10200073, 0x30200073, 0x00100073, 0x00000073, 0x12000073, 0x16000073, 0x18000073,
                                   0x22000073, 0x62000073, 0x0000100f, 0x0ff0000f, 0x00000000, 0xffffffff, 0x00200073};
    uint32_t first = AXVCPU_I_HOSTED && bits(3) != 0; // WFI, which sleeps in a kernel, is the first one
    if (bits(2) != 0)
        return all[first + hostile_below((uint32_t)COUNT(all) - first)] | (bits(3) == 0 ? reg(15) : 0);
    return 0x60004073 | bits(4) << 25 | bits(1) << 20 | reg(15) | reg(7);
}

static uint32_t jump(void)
{
    switch (hostile_below(3)) {
    case 0: return bits(6) << 21 | reg(7) | 0x6f;
    case 1: return reg(15) | reg(7) | 0x67;
    default: return reg(20) | reg(15) | bits(3) << 12 | bits(4) << 8 | 0x63;
    }
}

static uint32_t put32(uint8_t *to, uint32_t insn)
{
    AXVCPU_MEMCPY(to, &insn, 4);
    return 4;
}

// LUI and ADDI, so that the register is value, sign-extended.
static uint32_t load_value(uint8_t *to, uint32_t rd, uint32_t value)
{
    uint32_t low = value & 0xfff;
    put32(to, ((value + (low >> 11 << 12)) & 0xfffff000) | rd << 7 | 0x37);
    return 4 + put32(to + 4, low << 20 | rd << 15 | rd << 7 | 0x1b);
}

// An SBI call: legacy ones, those of the specification, the host's own; its arguments are what registers have.
static uint32_t call(uint8_t *to)
{
    static const uint32_t all[] = {0x10, 0x54494d45, 0x735049, 0x52464e43, 0x48534d, 0x53525354, 0x504d55, 0x4442434e, 0x08000000, OWN, FIRMWARE};
    uint32_t n = load_value(to, 17, bits(1) != 0 ? bits(4) : all[hostile_below(COUNT(all))]);
    n += put32(to + n, bits(3) << 20 | 16u << 7 | 0x13);
    return n + put32(to + n, 0x73);
}

// A branch to where it was is mostly one for ever (unpriv 2.5): bit 31 is their sign.
static uint32_t forward(uint32_t insn)
{
    return (insn & 0x73) == 0x63 ? insn & 0x7fffffff : insn;
}

// An access, half the time to where no memory is.
static uint32_t device(uint8_t *to)
{
    uint32_t insn = memory(), rs1 = insn >> 15 & 31;
    uint32_t n = bits(1) != 0 ? put32(to, MMIO | rs1 << 7 | 0x37) : 0; // lui
    return n + put32(to + n, insn);
}

uint32_t hostile_insn(uint8_t to[MAX_INSN])
{
    uint32_t kind = hostile_below(100), half = bits(16);
    if (kind < 20)
        return put32(to, forward((uint32_t)hostile_random() | 3));
    if (kind < 30) {
        AXVCPU_MEMCPY(to, &half, 2);
        return 2;
    }
    if (kind < 50)
        return device(to);
    if (kind < 70)
        return put32(to, csr());
    if (kind < 80)
        return put32(to, privileged());
    return kind < 88 ? call(to) : put32(to, jump());
}

// ---- the host's registers

#define CSR(X, name, csr) X(name, __extension__({ uint64_t v_; __asm__ volatile("csrr %0, " csr : "=r"(v_)); v_; }))
#if AXVCPU_I_HOSTED
#define FLOAT(X, name) X(name, __extension__({ uint64_t v_; __asm__ volatile("fmv.x.d %0, " #name : "=r"(v_)); v_; }))
#define ALWAYS(X) \
    CSR(X, fcsr, "fcsr") FLOAT(X, fs0) FLOAT(X, fs1) FLOAT(X, fs2) FLOAT(X, fs3) FLOAT(X, fs4) FLOAT(X, fs5) \
    FLOAT(X, fs6) FLOAT(X, fs7) FLOAT(X, fs8) FLOAT(X, fs9) FLOAT(X, fs10) FLOAT(X, fs11)
#define UNBOUND HOSTILE_NONE
#else
#define ALWAYS(X) \
    CSR(X, stvec, "stvec") CSR(X, sscratch, "sscratch") CSR(X, sie, "sie") CSR(X, satp, "satp") CSR(X, sstatus, "sstatus")
#define UNBOUND(X) /* those for guests alone stay the last one's */ \
    CSR(X, hstatus, "0x600") CSR(X, scounteren, "scounteren") CSR(X, senvcfg, "0x10a")
#endif
HOSTILE_WORDS(ALWAYS, UNBOUND)

const char *const hostile_register_names[] = {"s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "tp", "gp", "sp"};

// a3: where the answer goes; each register holds its own number, and a pattern.
__asm__(".text\n"
        ".macro each op\n"
        "\t\\op s0, 0\n\t\\op s1, 1\n\t\\op s2, 2\n\t\\op s3, 3\n\t\\op s4, 4\n\t\\op s5, 5\n"
        "\t\\op s6, 6\n\t\\op s7, 7\n\t\\op s8, 8\n\t\\op s9, 9\n\t\\op s10, 10\n\t\\op s11, 11\n"
        ".endm\n"
        ".macro hostile_save r, i\n\tsd \\r, 8 * \\i(sp)\n.endm\n"
        ".macro hostile_load r, i\n\tld \\r, 8 * \\i(sp)\n.endm\n"
        ".macro hostile_set r, i\n\tli \\r, 0x5a5a1234 + \\i * 0x01010000\n.endm\n"
        ".macro hostile_bit i\n\tsnez t0, t0\n\tslli t0, t0, \\i\n\tor t1, t1, t0\n.endm\n"
        ".macro hostile_test r, i\n\tli t0, 0x5a5a1234 + \\i * 0x01010000\n\txor t0, t0, \\r\n\thostile_bit \\i\n.endm\n"
        "\t.globl hostile_call\n"
        "hostile_call:\n"
        "\taddi sp, sp, -144\n"
        "\teach hostile_save\n"
        "\tsd ra, 96(sp)\n\tsd a3, 104(sp)\n\tsd tp, 112(sp)\n\tsd gp, 120(sp)\n\tsd sp, 128(sp)\n"
        "\teach hostile_set\n"
        "\tmv t2, a0\n\tmv a0, a1\n\tmv a1, a2\n"
        "\tjalr t2\n"
        "\tli t1, 0\n"
        "\teach hostile_test\n"
        "\tld t0, 112(sp)\n\txor t0, t0, tp\n\thostile_bit 12\n"
        "\tld t0, 120(sp)\n\txor t0, t0, gp\n\thostile_bit 13\n"
        "\tld t0, 128(sp)\n\txor t0, t0, sp\n\thostile_bit 14\n"
        "\tld a3, 104(sp)\n\tsd t1, (a3)\n"
        "\teach hostile_load\n"
        "\tld ra, 96(sp)\n"
        "\taddi sp, sp, 144\n"
        "\tret\n");
