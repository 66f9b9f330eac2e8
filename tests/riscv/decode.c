// SPDX-License-Identifier: Apache-2.0
//
// Traps as the hart reports them, and what the decoder makes of them: the tables of the privileged
// specification, chapter 8.6, row by row.
#include "decode.h"
#include "tests/tap.h"

#define VA 0xffffffc000001ffcu
#define GPA 0x10001ffcu
#define IRQ(n) (AXVCPU_RISCV_CAUSE_IRQ | (n))
enum { INSN = AXVCPU_RISCV_HAS_INSN, USER = AXVCPU_RISCV_USER };

// x1 is VA, x2 is VA - 8 (for sp forms), x8 is VA - 4; the others tell their number.
static uint64_t gpr[32];

static void set_registers(void)
{
    for (unsigned i = 0; i < 32; i++)
        gpr[i] = i ? 0x0101010101010180u * i : 0;
    gpr[1] = VA;
    gpr[2] = VA - 8;
    gpr[8] = VA - 4;
}

struct given {
    uint64_t cause, tval, htval, htinst;
    uint32_t insn, flags, scounteren;
};
struct expected {
    enum axvcpu_riscv_action action;
    uint32_t kind, step;
    uint64_t a, b, c; // see check_exit
};
struct row {
    const char *name;
    struct given given;
    struct expected expected;
};

#define FAULT(cause, htinst, insn, flags) {cause, VA, GPA >> 2, htinst, insn, flags, 0}
#define EXIT(kind, step, ...) {AXVCPU_RISCV_EXIT, AXVCPU_EXIT_##kind, step, __VA_ARGS__}
#define TRAP(cause, tval) {AXVCPU_RISCV_TRAP, 0, 0, cause, tval, 0}
#define FETCH {AXVCPU_RISCV_FETCH, 0, 0, 0, 0, 0}
#define SHAPE(reg, width, sign) ((reg) << 8 | (width) << 1 | (sign))
#define READ_INTO(reg, width, sign, step) EXIT(MMIO_READ, step, GPA, SHAPE(reg, width, sign), 0)
#define WRITE_OF(value, width, step) EXIT(MMIO_WRITE, step, GPA, width, value)
#define UNDECODED(length, bytes) EXIT(UNDECODED, 0, GPA, length, bytes)

static const struct row rows[] = {
    // every cause
    {"interrupt 1", {IRQ(1), 0, 0, 0, 0, 0, 0}, EXIT(EXTERNAL_INTERRUPT, 0, AXVCPU_NO_VECTOR, 0, 0)},
    {"interrupt 5", {IRQ(5), 0, 0, 0, 0, 0, 0}, EXIT(EXTERNAL_INTERRUPT, 0, AXVCPU_NO_VECTOR, 0, 0)},
    {"interrupt 9", {IRQ(9), 0, 0, 0, 0, 0, 0}, EXIT(EXTERNAL_INTERRUPT, 0, AXVCPU_NO_VECTOR, 0, 0)},
    {"interrupt 12, SGEI", {IRQ(12), 0, 0, 0, 0, 0, 0}, EXIT(EXTERNAL_INTERRUPT, 0, AXVCPU_NO_VECTOR, 0, 0)},
    {"interrupt 63", {IRQ(63), 0, 0, 0, 0, 0, 0}, EXIT(EXTERNAL_INTERRUPT, 0, AXVCPU_NO_VECTOR, 0, 0)},
    {"0 goes to the guest", {0, 0x123, 0, 0, 0, 0, 0}, TRAP(0, 0x123)},
    {"1 goes to the guest", {1, 0x123, 0, 0, 0, 0, 0}, TRAP(1, 0x123)},
    {"2 goes to the guest", {2, 0xbad, 0, 0, 0, 0, 0}, TRAP(2, 0xbad)},
    {"3 is a breakpoint of the host's", {3, 0, 0, 0, 0, 0, 0}, EXIT(DEBUG, 0, 0x1000, 3, 0)},
    {"4 goes to the guest", {4, 0x123, 0, 0, 0, 0, 0}, TRAP(4, 0x123)},
    {"5 goes to the guest", {5, 0x123, 0, 0, 0, 0, 0}, TRAP(5, 0x123)},
    {"6 goes to the guest", {6, 0x123, 0, 0, 0, 0, 0}, TRAP(6, 0x123)},
    {"7 goes to the guest", {7, 0x123, 0, 0, 0, 0, 0}, TRAP(7, 0x123)},
    {"8 goes to the guest", {8, 0, 0, 0, 0, USER, 0}, TRAP(8, 0)},
    {"9 is no guest's", {9, 0, 0, 0, 0, 0, 0}, EXIT(RAW, 0, 9, 0, 0)},
    {"11 is no guest's", {11, 0, 0, 0, 0, 0, 0}, EXIT(RAW, 0, 11, 0, 0)},
    {"12 goes to the guest", {12, 0x123, 0, 0, 0, 0, 0}, TRAP(12, 0x123)},
    {"13 goes to the guest", {13, 0x123, 0, 0, 0, 0, 0}, TRAP(13, 0x123)},
    {"14 is reserved", {14, 0, 0, 0, 0, 0, 0}, EXIT(RAW, 0, 14, 0, 0)},
    {"15 goes to the guest", {15, 0x123, 0, 0, 0, 0, 0}, TRAP(15, 0x123)},
    {"16 is reserved", {16, 0, 0, 0, 0, 0, 0}, EXIT(RAW, 0, 16, 0, 0)},
    {"24 is the platform's", {24, 0, 0, 0, 0, 0, 0}, EXIT(RAW, 0, 24, 0, 0)},
    {"63 is the platform's", {63, 0, 0, 0, 0, 0, 0}, EXIT(RAW, 0, 63, 0, 0)},
    {"2^32 + 2 is not 2", {0x100000002u, 0, 0, 0, 0, 0, 0}, EXIT(RAW, 0, 0x100000002u, 0, 0)},
    {"fetch without a mapping", FAULT(20, 0, 0, 0), EXIT(NESTED_PAGE_FAULT, 0, GPA, AXVCPU_ACCESS_EXEC, 0)},

    // page walks: pseudoinstructions
    {"walk for a load", FAULT(21, 0x3000, 0, 0), EXIT(NESTED_PAGE_FAULT, 0, GPA, 1 | AXVCPU_ACCESS_WALK, 0)},
    {"walk for a load, Sv32", FAULT(21, 0x2000, 0, 0), EXIT(NESTED_PAGE_FAULT, 0, GPA, 1 | AXVCPU_ACCESS_WALK, 0)},
    {"walk for a store", FAULT(23, 0x3000, 0, 0), EXIT(NESTED_PAGE_FAULT, 0, GPA, 1 | AXVCPU_ACCESS_WALK, 0)},
    {"walk writes A or D", FAULT(23, 0x3020, 0, 0), EXIT(NESTED_PAGE_FAULT, 0, GPA, 2 | AXVCPU_ACCESS_WALK, 0)},
    {"walk writes, Sv32", FAULT(21, 0x2020, 0, 0), EXIT(NESTED_PAGE_FAULT, 0, GPA, 2 | AXVCPU_ACCESS_WALK, 0)},
    {"walk at an odd address", {21, VA + 3, GPA >> 2, 0x3000, 0, 0, 0},
     EXIT(NESTED_PAGE_FAULT, 0, GPA, 1 | AXVCPU_ACCESS_WALK, 0)},
    {"walk for a fetch", FAULT(20, 0x3000, 0, 0), EXIT(NESTED_PAGE_FAULT, 0, GPA, 1 | AXVCPU_ACCESS_WALK, 0)},

    // transformed instructions: no rs1, no offset; bit 1 clear for a compressed one
    {"transformed lw x5", FAULT(21, 0x00002283, 0, 0), READ_INTO(5, 4, 1, 4)},
    {"transformed lwu x5", FAULT(21, 0x00006283, 0, 0), READ_INTO(5, 4, 0, 4)},
    {"transformed ld x31", FAULT(21, 0x00003f83, 0, 0), READ_INTO(31, 8, 1, 4)},
    {"transformed lb x0", FAULT(21, 0x00000003, 0, 0), READ_INTO(0, 1, 1, 4)},
    {"transformed c.lw x8", FAULT(21, 0x00002401, 0, 0), READ_INTO(8, 4, 1, 2)},
    {"transformed sw x9", FAULT(23, 0x00902023, 0, 0), WRITE_OF(0x09090d80u, 4, 4)},
    {"transformed sb x0", FAULT(23, 0x00000023, 0, 0), WRITE_OF(0, 1, 4)},
    {"transformed c.sd x9", FAULT(23, 0x00903021, 0, 0), WRITE_OF(0x0909090909090d80u, 8, 2)},
    {"transformed, over a page's end", FAULT(21, 0x00022283, 0, 0), FETCH},
    {"transformed load with a store's cause", FAULT(23, 0x00002283, 0, 0), FETCH},
    {"transformed lr.w", FAULT(21, 0x1000252f, 0, 0), FETCH},
    {"transformed lr.w, fetched", FAULT(21, 0x1000252f, 0x1000a52f, INSN), UNDECODED(4, 0x1000a52f)},
    {"transformed flw", FAULT(21, 0x00002507, 0, 0), FETCH},
    {"custom htinst", FAULT(21, 0x2040, 0, 0), FETCH},
    {"htinst beyond 32 bits", FAULT(21, 0x100002283u, 0, 0), FETCH},

    // htinst zero: the instruction from memory
    {"htinst 0", FAULT(21, 0, 0, 0), FETCH},
    {"htinst 0, store", FAULT(23, 0, 0, 0), FETCH},
    {"lw x5,0(x1)", FAULT(21, 0, 0x0000a283, INSN), READ_INTO(5, 4, 1, 4)},
    {"lhu x5,4(x8)", FAULT(21, 0, 0x00445283, INSN), READ_INTO(5, 2, 0, 4)},
    {"sd x5,4(x8)", FAULT(23, 0, 0x00543223, INSN), WRITE_OF(0x0505050505050780u, 8, 4)},
    {"sh x5,4(x8)", FAULT(23, 0, 0x00541223, INSN), WRITE_OF(0x0780, 2, 4)},
    {"trap_32: c.lw x9,4(x8), the upper half is another's", FAULT(21, 0, 0xdead4044, INSN), READ_INTO(9, 4, 1, 2)},
    {"trap_32: c.lwsp x5,8", FAULT(21, 0, 0x000042a2, INSN), READ_INTO(5, 4, 1, 2)},
    {"trap_32: c.ldsp x5,8", FAULT(21, 0, 0x000062a2, INSN), READ_INTO(5, 8, 1, 2)},
    {"c.swsp x5,8", FAULT(23, 0, 0x0000c416, INSN), WRITE_OF(0x05050780u, 4, 2)},
    {"another address: over a page's end, or changed", FAULT(21, 0, 0x0040a283, INSN), UNDECODED(4, 0x0040a283)},
    {"a store now, a load then", FAULT(21, 0, 0x00543223, INSN), UNDECODED(4, 0x00543223)},
    {"amoadd.w", FAULT(23, 0, 0x0050a2af, INSN), UNDECODED(4, 0x0050a2af)},
    {"fld", FAULT(21, 0, 0x0000b287, INSN), UNDECODED(4, 0x0000b287)},
    {"c.fld", FAULT(21, 0, 0xffff2044, INSN), UNDECODED(2, 0x2044)},
    {"htval of another page", {21, VA, 0x10001ff8u >> 2, 0, 0x0000a283, INSN, 0},
     {AXVCPU_RISCV_EXIT, AXVCPU_EXIT_UNDECODED, 0, 0x10001ff8, 4, 0x0000a283}},
    {"lowest bits from stval", {21, VA + 3, GPA >> 2, 0x00000283, 0, 0, 0},
     {AXVCPU_RISCV_EXIT, AXVCPU_EXIT_MMIO_READ, 4, GPA + 3, SHAPE(5, 1, 1), 0}},

    // virtual instructions
    {"wfi", {22, 0x10500073, 0, 0, 0, 0, 0}, EXIT(HALT, 4, 0, 0, 0)},
    {"wfi, stval 0", {22, 0, 0, 0, 0, 0, 0}, FETCH},
    {"wfi, fetched", {22, 0, 0, 0, 0x10500073, INSN, 0}, EXIT(HALT, 4, 0, 0, 0)},
    {"wfi in user mode", {22, 0x10500073, 0, 0, 0, USER, 0}, TRAP(2, 0x10500073)},
    {"wrs.nto", {22, 0x00d00073, 0, 0, 0, 0, 0}, {AXVCPU_RISCV_RESUME, 0, 4, 0, 0, 0}},
    {"wrs.sto", {22, 0x01d00073, 0, 0, 0, 0, 0}, {AXVCPU_RISCV_RESUME, 0, 4, 0, 0, 0}},
    {"trap_32: hlv.d", {22, 0x6c00c2f3, 0, 0, 0, 0, 0}, TRAP(2, 0x6c00c2f3)},
    {"hsv.w", {22, 0x6a50c073, 0, 0, 0, 0, 0}, TRAP(2, 0x6a50c073)},
    {"hfence.gvma", {22, 0x62000073, 0, 0, 0, 0, 0}, TRAP(2, 0x62000073)},
    {"sret", {22, 0x10200073, 0, 0, 0, USER, 0}, TRAP(2, 0x10200073)},
    {"sfence.vma in user mode", {22, 0x12000073, 0, 0, 0, USER, 0}, TRAP(2, 0x12000073)},
    {"csrr x5,hstatus", {22, 0x600022f3, 0, 0, 0, 0, 0}, EXIT(SYSREG_READ, 4, 0x600, 5, 0)},
    {"csrw hvip,x6", {22, 0x64531073, 0, 0, 0, 0, 0}, EXIT(SYSREG_WRITE, 4, 0x645, 0x0606060606060900u, 0)},
    {"csrr x5,sstatus in user mode", {22, 0x100022f3, 0, 0, 0, USER, 0}, TRAP(2, 0x100022f3)},
    {"csrr x5,cycle in user mode, open", {22, 0xc00022f3, 0, 0, 0, USER, 1}, EXIT(SYSREG_READ, 4, 0xc00, 5, 0)},
    {"csrr x5,cycle in user mode, closed", {22, 0xc00022f3, 0, 0, 0, USER, 2}, TRAP(2, 0xc00022f3)},
    {"csrw cycle,x6", {22, 0xc0031073, 0, 0, 0, 0, 0}, TRAP(2, 0xc0031073)},
};

// What a row's a, b and c are of each kind.
static void check_exit(const struct row *r, const struct axvcpu_exit *x)
{
    const struct expected *e = &r->expected;
    uint64_t insn = 0;
    if (!ok_str(axvcpu_exit_name(x->kind), axvcpu_exit_name(e->kind), "%s: kind", r->name))
        return;
    ok_u64(x->raw, r->given.cause, "%s: raw is the cause", r->name);
    switch (x->kind) {
    case AXVCPU_EXIT_MMIO_READ:
        ok_u64(x->mmio.addr, e->a, "%s: address", r->name);
        ok_u64(SHAPE(x->mmio.reg, x->mmio.width, x->mmio.sign_extend), e->b, "%s: register, width, sign", r->name);
        ok_u64(x->mmio.reg_width, 8, "%s: register width", r->name);
        break;
    case AXVCPU_EXIT_MMIO_WRITE:
        ok_u64(x->mmio.addr, e->a, "%s: address", r->name);
        ok_u64(x->mmio.width, e->b, "%s: width", r->name);
        ok_u64(x->mmio.data, e->c, "%s: data", r->name);
        break;
    case AXVCPU_EXIT_NESTED_PAGE_FAULT:
        ok_u64(x->fault.addr, e->a, "%s: address", r->name);
        ok_u64(x->fault.access, e->b, "%s: access", r->name);
        break;
    case AXVCPU_EXIT_UNDECODED:
        for (uint32_t i = x->undecoded.insn_len; i-- > 0;)
            insn = insn << 8 | x->undecoded.insn[i];
        ok_u64(x->undecoded.addr, e->a, "%s: address", r->name);
        ok_u64(x->undecoded.insn_len, e->b, "%s: length", r->name);
        ok_u64(insn, e->c, "%s: bytes", r->name);
        break;
    case AXVCPU_EXIT_SYSREG_READ:
        ok_u64(x->sysreg.addr, e->a, "%s: number", r->name);
        ok_u64(x->sysreg.reg, e->b, "%s: register", r->name);
        break;
    case AXVCPU_EXIT_SYSREG_WRITE:
        ok_u64(x->sysreg.addr, e->a, "%s: number", r->name);
        ok_u64(x->sysreg.value, e->b, "%s: value", r->name);
        break;
    case AXVCPU_EXIT_EXTERNAL_INTERRUPT: ok_u64(x->irq.vector, e->a, "%s: vector", r->name); break;
    case AXVCPU_EXIT_DEBUG: ok_u64(x->debug.pc, e->a, "%s: pc", r->name); break;
    default: break;
    }
}

static void check_row(const struct row *r)
{
    const struct given *g = &r->given;
    const struct axvcpu_riscv_trap t = {.cause = g->cause, .pc = 0x1000, .tval = g->tval, .htval = g->htval,
                                        .htinst = g->htinst, .insn = g->insn, .flags = g->flags,
                                        .scounteren = g->scounteren};
    struct axvcpu_riscv_effect e;
    struct axvcpu_exit x = {0};
    enum axvcpu_riscv_action action = axvcpu_riscv_decode(&t, gpr, &sbi_identity, &x, &e);
    if (!ok_str(action_names[action], action_names[r->expected.action], "%s: action", r->name))
        return;
    ok_u64(e.sets, 0, "%s: no register is written", r->name);
    if (action != AXVCPU_RISCV_FETCH)
        ok_u64(e.step, r->expected.step, "%s: step", r->name);
    if (action == AXVCPU_RISCV_TRAP) {
        ok_u64(e.cause, r->expected.a, "%s: the guest's cause", r->name);
        ok_u64(e.tval, r->expected.b, "%s: the guest's tval", r->name);
    }
    if (action == AXVCPU_RISCV_EXIT)
        check_exit(r, &x);
}

// The second exit of an access to a CSR, when the first one was answered with OLD: what it writes, if it does.
#define OLD 0xff0fu
static const struct {
    const char *name;
    uint32_t insn;
    bool writes;
    uint64_t value;
} seconds[] = {
    {"csrr x5,hvip", 0x645022f3, false, 0},
    {"csrrw x5,hvip,x6", 0x645312f3, true, 0x0606060606060900u},
    {"csrrs x5,hvip,x6", 0x645322f3, true, 0x060606060606ff0fu},
    {"csrrc x5,hvip,x6", 0x645332f3, true, OLD & ~0x0900u},
    {"csrrw x5,hvip,x0", 0x645012f3, true, 0},
    {"csrrwi x5,hvip,9", 0x6454d2f3, true, 9},
    {"csrrsi x5,hvip,16", 0x645862f3, true, OLD | 16},
    {"csrrci x5,hvip,3", 0x6451f2f3, true, OLD & ~3u},
    {"csrrsi x5,hvip,0", 0x645062f3, false, 0},
    {"csrrci x5,hvip,0", 0x645072f3, false, 0},
};

static void check_second(size_t i)
{
    struct axvcpu_exit x = {0};
    const char *name = seconds[i].name;
    if (!ok(axvcpu_riscv_csr_write(seconds[i].insn, gpr, OLD, &x) == seconds[i].writes, "%s: writes", name) ||
        !seconds[i].writes)
        return;
    ok(x.kind == AXVCPU_EXIT_SYSREG_WRITE && x.flags == 0 && x.sysreg.addr == 0x645, "%s: an exit", name);
    ok_u64(x.sysreg.value, seconds[i].value, "%s: value", name);
}

int main(void)
{
    tap_begin(30);
    set_registers();
    for (size_t i = 0; i < COUNT(rows); i++)
        check_row(&rows[i]);
    for (size_t i = 0; i < COUNT(seconds); i++)
        check_second(i);
    return tap_done();
}
