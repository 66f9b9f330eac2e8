/* SPDX-License-Identifier: Apache-2.0
 *
 * axvcpu_arch_riscv.h: RV64 backends of axvcpu.h: the H extension on bare metal (HS mode), KVM on Linux
 *
 * The rooms, in the same order as in the other arch headers:
 *   >>names      register and bit names, with the manual's sections
 *   >>decode     pure C, on any host: raw syndrome and registers in, exit and effects out
 *   and, only in the backend that axvcpu.h selected:
 *   >>leaves     struct axvcpu_arch and the configurations
 *   >>registers  accessors
 *   >>switch     the world switch
 *   >>percpu     probe, enable, disable
 *   >>tables     second-stage tables
 *   >>kvm        the hosted backend
 *
 * "priv" is the RISC-V privileged specification 1.12 with its chapter on the hypervisor extension, "sbi" the
 * RISC-V SBI specification 2.0.
 */
#ifndef AXVCPU_H
#include "axvcpu.h"
#endif

#ifndef AXVCPU_ARCH_RISCV_H
#define AXVCPU_ARCH_RISCV_H

AXVCPU_I_C_BEGIN

/* ---------------------------------------------------------------------------------------------------- */
/* >>names                                                                                              */
/* ---------------------------------------------------------------------------------------------------- */

/* scause (priv 4.1.8 and, for 10 and 20-23, 8.6) */
#define AXVCPU_RISCV_CAUSES(X)                                                                             \
    X(INSN_MISALIGNED, 0) X(INSN_ACCESS, 1) X(ILLEGAL, 2) X(BREAKPOINT, 3) X(LOAD_MISALIGNED, 4)           \
    X(LOAD_ACCESS, 5) X(STORE_MISALIGNED, 6) X(STORE_ACCESS, 7) X(ECALL_U, 8) X(ECALL_S, 9)                \
    X(ECALL_VS, 10) X(ECALL_M, 11) X(INSN_PAGE, 12) X(LOAD_PAGE, 13) X(STORE_PAGE, 15)                     \
    X(INSN_GUEST_PAGE, 20) X(LOAD_GUEST_PAGE, 21) X(VIRTUAL_INSN, 22) X(STORE_GUEST_PAGE, 23)
#define AXVCPU_I_ENUM_RISCV_CAUSE(name, value) AXVCPU_RISCV_CAUSE_##name = value,
enum axvcpu_riscv_cause { AXVCPU_RISCV_CAUSES(AXVCPU_I_ENUM_RISCV_CAUSE) AXVCPU_RISCV_CAUSE_COUNT };
#define AXVCPU_RISCV_CAUSE_IRQ (UINT64_C(1) << 63)

/* interrupt numbers, as bits of sip, sie, hvip (priv 4.1.3); what the guest sees and what inject takes */
#define AXVCPU_RISCV_IRQ_SOFT 1u
#define AXVCPU_RISCV_IRQ_TIMER 5u
#define AXVCPU_RISCV_IRQ_EXT 9u

/* htinst (priv 8.6.3): what a page walk of the guest's own table wrote, RV32 and RV64 tables */
#define AXVCPU_RISCV_HTINST_WALK_READ32 0x2000u
#define AXVCPU_RISCV_HTINST_WALK_WRITE32 0x2020u
#define AXVCPU_RISCV_HTINST_WALK_READ 0x3000u
#define AXVCPU_RISCV_HTINST_WALK_WRITE 0x3020u

/* SBI errors (sbi 3) */
#define AXVCPU_RISCV_SBI_ERRORS(X)                                                                         \
    X(SUCCESS, 0) X(FAILED, -1) X(NOT_SUPPORTED, -2) X(INVALID_PARAM, -3) X(DENIED, -4)                    \
    X(INVALID_ADDRESS, -5) X(ALREADY_AVAILABLE, -6) X(ALREADY_STARTED, -7) X(ALREADY_STOPPED, -8)
#define AXVCPU_I_ENUM_RISCV_SBI_ERROR(name, value) AXVCPU_RISCV_SBI_##name = value,
enum axvcpu_riscv_sbi_error { AXVCPU_RISCV_SBI_ERRORS(AXVCPU_I_ENUM_RISCV_SBI_ERROR) AXVCPU_RISCV_SBI_ERROR_END };

/* SBI extensions in a7 (sbi 4-12); the legacy ones are 0-8 (sbi 5) */
#define AXVCPU_RISCV_SBI_EXT_BASE 0x10u
#define AXVCPU_RISCV_SBI_EXT_TIME 0x54494d45u
#define AXVCPU_RISCV_SBI_EXT_IPI 0x735049u
#define AXVCPU_RISCV_SBI_EXT_RFENCE 0x52464e43u
#define AXVCPU_RISCV_SBI_EXT_HSM 0x48534du
#define AXVCPU_RISCV_SBI_EXT_SRST 0x53525354u
#define AXVCPU_RISCV_SBI_EXT_DBCN 0x4442434eu
/* Experimental, vendor and firmware extensions (sbi 13-15): all of them are the caller's, as HYPERCALL. */
#define AXVCPU_RISCV_SBI_EXT_OWN 0x08000000u
#define AXVCPU_RISCV_SBI_EXT_OWN_END 0x0b000000u
#define AXVCPU_RISCV_SBI_SPEC_VERSION 0x02000000u
#define AXVCPU_RISCV_SBI_IMPL_ID 0x61787663u /* "axvc"; not a registered one */

/* hypercall.nr: the extension, and the function (a6) in the upper half */
#define AXVCPU_RISCV_SBI_NR(ext, function) ((uint64_t)(function) << 32 | (uint32_t)(ext))
/* A console call never has more bytes than this in args[0], whatever the guest asked for. */
#define AXVCPU_RISCV_DBCN_MAX 256u
/* fence.op, which are also RFENCE's function numbers (sbi 8) */
#define AXVCPU_RISCV_FENCE_I 0u
#define AXVCPU_RISCV_FENCE_VMA 1u
#define AXVCPU_RISCV_FENCE_VMA_ASID 2u
/* HSM's states (sbi 9) */
#define AXVCPU_RISCV_HART_STARTED 0u
#define AXVCPU_RISCV_HART_STOPPED 1u
#define AXVCPU_RISCV_HART_START_PENDING 2u
#define AXVCPU_RISCV_HART_SUSPENDED 4u
#define AXVCPU_RISCV_SUSPEND_NON_RETENTIVE 0x80000000u

/* registers by number */
#define AXVCPU_RISCV_A0 10u
#define AXVCPU_RISCV_A1 11u
#define AXVCPU_RISCV_A6 16u
#define AXVCPU_RISCV_A7 17u

/* ---------------------------------------------------------------------------------------------------- */
/* >>decode                                                                                             */
/* ---------------------------------------------------------------------------------------------------- */

/* A load or store of RV64I or RV64C. */
struct axvcpu_riscv_access {
    int64_t offset; /* to register `base` */
    uint8_t base, reg, width, len;
    bool write, sign_extend;
};

/* What the hart left behind when it left the guest. */
struct axvcpu_riscv_trap {
    uint64_t cause, pc, tval, htval, htinst;
    uint64_t mask;       /* the word at a legacy call's a0, with AXVCPU_RISCV_HAS_MASK */
    uint64_t hvip;       /* for the legacy clear_ipi, which says whether there was one */
    uint32_t insn;       /* the instruction at the PC, with AXVCPU_RISCV_HAS_INSN */
    uint32_t flags;      /* AXVCPU_RISCV_HAS_*, _USER */
    uint32_t scounteren; /* the guest's own */
};
#define AXVCPU_RISCV_HAS_INSN 0x1u
#define AXVCPU_RISCV_HAS_MASK 0x2u
#define AXVCPU_RISCV_USER 0x4u /* it was in VU mode */

/* What the SBI says of the machine. */
struct axvcpu_riscv_sbi {
    uint64_t mvendorid, marchid, mimpid;
};

/* What is to be done. FETCH and LOAD_MASK: provide that, as the guest would read it, and decode again;
   if the guest may not fetch there, enter it again, and it finds out; if it may not load, TRAP. */
enum axvcpu_riscv_action {
    AXVCPU_RISCV_EXIT,      /* the exit in *x */
    AXVCPU_RISCV_RESUME,    /* the guest goes on */
    AXVCPU_RISCV_TRAP,      /* exception `cause` with `tval` in the guest, at the same PC */
    AXVCPU_RISCV_FETCH,     /* the instruction at the PC is wanted in trap.insn */
    AXVCPU_RISCV_LOAD_MASK  /* the word at a0 is wanted in trap.mask */
};

/* ... and what it does to the guest before that: */
struct axvcpu_riscv_effect {
    uint32_t step;  /* the PC moves so far; for an exit that is answered, when it commits */
    uint32_t sets;  /* AXVCPU_RISCV_SETS_* */
    uint64_t a0, a1, pc, timer;
    uint64_t cause, tval;
    uint32_t insn;  /* of a CSR access: axvcpu_riscv_csr_write goes on from here */
};
#define AXVCPU_RISCV_SETS_A0 0x1u
#define AXVCPU_RISCV_SETS_A1 0x2u
#define AXVCPU_RISCV_SETS_TIMER 0x4u     /* the next timer interrupt is at `timer`; the last one is gone */
#define AXVCPU_RISCV_SETS_NO_SOFT 0x8u   /* a pending software interrupt is gone */
#define AXVCPU_RISCV_SETS_START 0x10u    /* the guest goes on at `pc`, with a hart's start-up state (sbi 9.1) */

/* true: a load or store that can be an MMIO access. The instruction's upper half is ignored when its lower
   one is compressed. */
AXVCPU_API bool axvcpu_riscv_decode_access(uint32_t insn, struct axvcpu_riscv_access *);
/* 2 or 4 (unpriv 1.5: longer ones are reserved) */
AXVCPU_API uint32_t axvcpu_riscv_insn_length(uint32_t insn);
/* A trap to HS mode while the guest ran. */
AXVCPU_API enum axvcpu_riscv_action axvcpu_riscv_decode(const struct axvcpu_riscv_trap *, const uint64_t gpr[32],
                                                        const struct axvcpu_riscv_sbi *, struct axvcpu_exit *,
                                                        struct axvcpu_riscv_effect *);
/* An SBI call: the part of the above that needs no trap but the call's registers. */
AXVCPU_API enum axvcpu_riscv_action axvcpu_riscv_sbi_call(const struct axvcpu_riscv_trap *, const uint64_t gpr[32],
                                                          const struct axvcpu_riscv_sbi *, struct axvcpu_exit *,
                                                          struct axvcpu_riscv_effect *);
/* The second half of a CSR access that was a SYSREG_READ and got `old`: does it write too, and what? */
AXVCPU_API bool axvcpu_riscv_csr_write(uint32_t insn, const uint64_t gpr[32], uint64_t old, struct axvcpu_exit *);

#if AXVCPU_I_ARCH == AXVCPU_I_ARCH_RISCV

#if defined(AXVCPU_KVM)
#error "axvcpu_arch_riscv.h: the KVM backend is not there yet; define AXVCPU_ARCH_FAKE, or bring a backend by AXVCPU_ARCH_HEADER"
#else
#error "axvcpu_arch_riscv.h: the bare-metal backend is not there yet; define AXVCPU_ARCH_FAKE, or bring a backend by AXVCPU_ARCH_HEADER"
#endif

#endif /* the selected backend */

AXVCPU_I_C_END

#endif /* AXVCPU_ARCH_RISCV_H */

#if defined(AXVCPU_IMPLEMENTATION) && defined(AXVCPU_LEAF_CODE) && !defined(AXVCPU_I_RISCV_IMPLEMENTED)
#define AXVCPU_I_RISCV_IMPLEMENTED

AXVCPU_I_C_BEGIN

/* >>decode: instructions (unpriv ch. 2, 16, priv 3.3.1) */

#define AXVCPU_I_RISCV_BITS(x, at, n) ((uint32_t)(x) >> (at) & ((1u << (n)) - 1u))
#define AXVCPU_I_RISCV_WFI 0x10500073u
#define AXVCPU_I_RISCV_WRS_NTO 0x00d00073u
#define AXVCPU_I_RISCV_WRS_STO 0x01d00073u

/* The compressed loads and stores: what `insn & 0xe003` is, and where the offset's bits are in the
   instruction, each piece as (from, count, to). SP: relative to x2, the register in bits 11-7 or 6-2; else
   x8-x15 in three bits each. */
struct axvcpu_i_riscv_rvc {
    uint16_t match;
    uint8_t width;
    bool write, sp;
    uint8_t pieces[3][3];
};

static const struct axvcpu_i_riscv_rvc axvcpu_i_riscv_rvcs[] = {
    { 0x4000, 4, false, false, { { 10, 3, 3 }, { 6, 1, 2 }, { 5, 1, 6 } } },  /* c.lw */
    { 0x6000, 8, false, false, { { 10, 3, 3 }, { 5, 2, 6 }, { 0, 0, 0 } } },  /* c.ld */
    { 0xc000, 4, true, false, { { 10, 3, 3 }, { 6, 1, 2 }, { 5, 1, 6 } } },   /* c.sw */
    { 0xe000, 8, true, false, { { 10, 3, 3 }, { 5, 2, 6 }, { 0, 0, 0 } } },   /* c.sd */
    { 0x4002, 4, false, true, { { 12, 1, 5 }, { 4, 3, 2 }, { 2, 2, 6 } } },   /* c.lwsp */
    { 0x6002, 8, false, true, { { 12, 1, 5 }, { 5, 2, 3 }, { 2, 3, 6 } } },   /* c.ldsp */
    { 0xc002, 4, true, true, { { 9, 4, 2 }, { 7, 2, 6 }, { 0, 0, 0 } } },     /* c.swsp */
    { 0xe002, 8, true, true, { { 10, 3, 3 }, { 7, 3, 6 }, { 0, 0, 0 } } },    /* c.sdsp */
};

AXVCPU_API uint32_t axvcpu_riscv_insn_length(uint32_t insn)
{
    return (insn & 3u) == 3u ? 4 : 2;
}

static bool axvcpu_i_riscv_access16(uint32_t insn, struct axvcpu_riscv_access *a)
{
    const struct axvcpu_i_riscv_rvc *c = axvcpu_i_riscv_rvcs;
    uint32_t i, full;

    while ((insn & 0xe003u) != c->match) {
        if (++c == axvcpu_i_riscv_rvcs + sizeof(axvcpu_i_riscv_rvcs) / sizeof(*c))
            return false;
    }
    full = c->write ? AXVCPU_I_RISCV_BITS(insn, 2, 5) : AXVCPU_I_RISCV_BITS(insn, 7, 5);
    a->write = c->write;
    a->width = c->width;
    a->sign_extend = !c->write;
    a->base = c->sp ? 2 : (uint8_t)(8 + AXVCPU_I_RISCV_BITS(insn, 7, 3));
    a->reg = (uint8_t)(c->sp ? full : 8 + AXVCPU_I_RISCV_BITS(insn, 2, 3));
    for (i = 0; i < 3; i++)
        a->offset |= AXVCPU_I_RISCV_BITS(insn, c->pieces[i][0], c->pieces[i][1]) << c->pieces[i][2];
    return !(c->sp && !c->write && full == 0); /* a load to x0 relative to sp is reserved */
}

static int64_t axvcpu_i_riscv_sign12(uint32_t imm)
{
    return (int64_t)(imm ^ 0x800u) - 0x800;
}

static bool axvcpu_i_riscv_access32(uint32_t insn, struct axvcpu_riscv_access *a)
{
    uint32_t opcode = insn & 0x7fu, funct3 = AXVCPU_I_RISCV_BITS(insn, 12, 3);

    if ((opcode != 0x03 || funct3 == 7) && (opcode != 0x23 || funct3 > 3))
        return false;
    a->write = opcode == 0x23;
    a->width = (uint8_t)(1u << (funct3 & 3u));
    a->sign_extend = !a->write && (funct3 & 4u) == 0;
    a->base = (uint8_t)AXVCPU_I_RISCV_BITS(insn, 15, 5);
    a->reg = (uint8_t)(a->write ? AXVCPU_I_RISCV_BITS(insn, 20, 5) : AXVCPU_I_RISCV_BITS(insn, 7, 5));
    a->offset = axvcpu_i_riscv_sign12(a->write ? insn >> 25 << 5 | AXVCPU_I_RISCV_BITS(insn, 7, 5) : insn >> 20);
    return true;
}

AXVCPU_API bool axvcpu_riscv_decode_access(uint32_t insn, struct axvcpu_riscv_access *a)
{
    AXVCPU_MEMSET(a, 0, sizeof(*a));
    a->len = (uint8_t)axvcpu_riscv_insn_length(insn);
    return a->len == 2 ? axvcpu_i_riscv_access16(insn & 0xffffu, a) : axvcpu_i_riscv_access32(insn, a);
}

/* >>decode: CSR accesses (unpriv ch. 9, priv 2.1) */

#define AXVCPU_I_RISCV_CSR_OP(insn) AXVCPU_I_RISCV_BITS(insn, 12, 2) /* 1 write, 2 set, 3 clear */
#define AXVCPU_I_RISCV_CSR_SRC(insn) AXVCPU_I_RISCV_BITS(insn, 15, 5)
#define AXVCPU_I_RISCV_CSR_RD(insn) AXVCPU_I_RISCV_BITS(insn, 7, 5)
#define AXVCPU_I_RISCV_CSR_NUMBER(insn) ((uint32_t)(insn) >> 20)

/* csrrs and csrrc of x0 (or 0) only read; csrrw to x0 only writes. */
static bool axvcpu_i_riscv_csr_writes(uint32_t insn)
{
    return AXVCPU_I_RISCV_CSR_OP(insn) == 1 || AXVCPU_I_RISCV_CSR_SRC(insn) != 0;
}

AXVCPU_API bool axvcpu_riscv_csr_write(uint32_t insn, const uint64_t gpr[32], uint64_t old, struct axvcpu_exit *x)
{
    uint32_t src = AXVCPU_I_RISCV_CSR_SRC(insn), op = AXVCPU_I_RISCV_CSR_OP(insn);
    uint64_t value = AXVCPU_I_RISCV_BITS(insn, 14, 1) != 0 ? src : src != 0 ? gpr[src] : 0;

    if (!axvcpu_i_riscv_csr_writes(insn))
        return false;
    x->kind = AXVCPU_EXIT_SYSREG_WRITE;
    x->flags = 0;
    x->raw = AXVCPU_RISCV_CAUSE_VIRTUAL_INSN;
    x->sysreg.addr = AXVCPU_I_RISCV_CSR_NUMBER(insn);
    x->sysreg.reg = src;
    x->sysreg.value = op == 1 ? value : op == 2 ? old | value : old & ~value;
    return true;
}

/* What one decode works on. */
struct axvcpu_i_riscv_case {
    const struct axvcpu_riscv_trap *t;
    const uint64_t *gpr;
    const struct axvcpu_riscv_sbi *sbi;
    struct axvcpu_exit *x;
    struct axvcpu_riscv_effect *e;
};

static enum axvcpu_riscv_action axvcpu_i_riscv_exit(const struct axvcpu_i_riscv_case *c, uint32_t kind)
{
    c->x->kind = kind;
    c->x->flags = 0;
    c->x->raw = c->t->cause;
    return AXVCPU_RISCV_EXIT;
}

static enum axvcpu_riscv_action axvcpu_i_riscv_trap(const struct axvcpu_i_riscv_case *c, uint64_t cause, uint64_t tval)
{
    c->e->cause = cause;
    c->e->tval = tval;
    c->e->step = 0;
    return AXVCPU_RISCV_TRAP;
}

/* In VU mode only the counters that the guest's kernel has opened may trap for our sake (priv 8.6.1); all
   else is the guest's own mistake. */
static bool axvcpu_i_riscv_csr_is_ours(const struct axvcpu_i_riscv_case *c, uint32_t csr)
{
    if ((c->t->flags & AXVCPU_RISCV_USER) == 0)
        return true;
    return (csr & ~0x1fu) == 0xc00u && (c->t->scounteren >> (csr & 0x1fu) & 1u) != 0;
}

static enum axvcpu_riscv_action axvcpu_i_riscv_csr(const struct axvcpu_i_riscv_case *c, uint32_t insn)
{
    uint32_t csr = AXVCPU_I_RISCV_CSR_NUMBER(insn);

    if (!axvcpu_i_riscv_csr_is_ours(c, csr) || (csr >> 10 == 3 && axvcpu_i_riscv_csr_writes(insn)))
        return axvcpu_i_riscv_trap(c, AXVCPU_RISCV_CAUSE_ILLEGAL, insn);
    c->e->insn = insn;
    c->e->step = 4;
    if (AXVCPU_I_RISCV_CSR_OP(insn) == 1 && AXVCPU_I_RISCV_CSR_RD(insn) == 0) {
        (void)axvcpu_riscv_csr_write(insn, c->gpr, 0, c->x);
        return AXVCPU_RISCV_EXIT;
    }
    c->x->sysreg.addr = csr;
    c->x->sysreg.reg = AXVCPU_I_RISCV_CSR_RD(insn);
    return axvcpu_i_riscv_exit(c, AXVCPU_EXIT_SYSREG_READ);
}

/* >>decode: exceptions */

/* priv 8.6.1: hypervisor instructions and registers, WFI by VTW, and counters that we keep. What we do not
   answer does not exist for the guest: an illegal instruction. */
static enum axvcpu_riscv_action axvcpu_i_riscv_virtual_insn(const struct axvcpu_i_riscv_case *c)
{
    bool fetched = (c->t->flags & AXVCPU_RISCV_HAS_INSN) != 0;
    uint32_t insn = fetched ? c->t->insn : (uint32_t)c->t->tval;

    if (!fetched && c->t->tval == 0) /* stval may have the instruction, or not (priv 4.1.9) */
        return AXVCPU_RISCV_FETCH;
    if ((insn & 0x7fu) == 0x73u && AXVCPU_I_RISCV_CSR_OP(insn) != 0)
        return axvcpu_i_riscv_csr(c, insn);
    if ((c->t->flags & AXVCPU_RISCV_USER) == 0) {
        c->e->step = 4;
        if (insn == AXVCPU_I_RISCV_WFI)
            return axvcpu_i_riscv_exit(c, AXVCPU_EXIT_HALT);
        if (insn == AXVCPU_I_RISCV_WRS_NTO || insn == AXVCPU_I_RISCV_WRS_STO)
            return AXVCPU_RISCV_RESUME; /* it may always end early (Zawrs) */
    }
    return axvcpu_i_riscv_trap(c, AXVCPU_RISCV_CAUSE_ILLEGAL, insn);
}

/* htval is the address >> 2, the lowest bits are those of the virtual address (priv 8.2.8) */
static uint64_t axvcpu_i_riscv_gpa(const struct axvcpu_riscv_trap *t)
{
    return t->htval << 2 | (t->tval & 3u);
}

static enum axvcpu_riscv_action axvcpu_i_riscv_fault(const struct axvcpu_i_riscv_case *c, uint32_t access)
{
    c->x->fault.addr = axvcpu_i_riscv_gpa(c->t);
    c->x->fault.access = access;
    return axvcpu_i_riscv_exit(c, AXVCPU_EXIT_NESTED_PAGE_FAULT);
}

static enum axvcpu_riscv_action axvcpu_i_riscv_undecoded(const struct axvcpu_i_riscv_case *c)
{
    uint32_t insn = c->t->insn;
    uint32_t i;

    c->x->undecoded.addr = axvcpu_i_riscv_gpa(c->t);
    c->x->undecoded.syndrome = c->t->htinst;
    c->x->undecoded.insn_len = axvcpu_riscv_insn_length(insn);
    AXVCPU_MEMSET(c->x->undecoded.insn, 0, sizeof(c->x->undecoded.insn));
    for (i = 0; i < c->x->undecoded.insn_len; i++)
        c->x->undecoded.insn[i] = (uint8_t)(insn >> i * 8);
    return axvcpu_i_riscv_exit(c, AXVCPU_EXIT_UNDECODED);
}

static enum axvcpu_riscv_action axvcpu_i_riscv_mmio(const struct axvcpu_i_riscv_case *c,
                                                    const struct axvcpu_riscv_access *a)
{
    uint64_t value = a->reg != 0 ? c->gpr[a->reg] : 0;

    c->e->step = a->len;
    c->x->mmio.addr = axvcpu_i_riscv_gpa(c->t);
    c->x->mmio.data = a->width == 8 ? value : value & ((UINT64_C(1) << a->width * 8) - 1);
    c->x->mmio.width = a->width;
    c->x->mmio.reg = a->reg;
    c->x->mmio.reg_width = 8;
    c->x->mmio.sign_extend = a->sign_extend;
    return axvcpu_i_riscv_exit(c, a->write ? AXVCPU_EXIT_MMIO_WRITE : AXVCPU_EXIT_MMIO_READ);
}

/* A transformed instruction (priv 8.6.3): bit 1 clear says that it was a compressed one, bits 19-15 how far
   the fault is from where the access began. That is not 0 only when it crosses into a second page. */
static bool axvcpu_i_riscv_transformed(const struct axvcpu_riscv_trap *t, struct axvcpu_riscv_access *a)
{
    if ((t->htinst & 1u) == 0 || t->htinst >> 32 != 0 || AXVCPU_I_RISCV_BITS(t->htinst, 15, 5) != 0 ||
        !axvcpu_riscv_decode_access((uint32_t)t->htinst | 2u, a))
        return false;
    a->len = (t->htinst & 2u) != 0 ? 4 : 2;
    return true;
}

/* The instruction as it is in memory now. It may not be the one that trapped any more: it must be of the
   same direction and access the address that faulted, which also excludes a crossing of pages. */
static bool axvcpu_i_riscv_fetched(const struct axvcpu_i_riscv_case *c, struct axvcpu_riscv_access *a)
{
    return axvcpu_riscv_decode_access(c->t->insn, a) &&
           (a->base != 0 ? c->gpr[a->base] : 0) + (uint64_t)a->offset == c->t->tval;
}

/* What the guest's own page walk did, by the pseudoinstruction (priv 8.6.3), or 0 for an access of its own. */
static uint32_t axvcpu_i_riscv_walk(uint64_t htinst)
{
    switch (htinst) {
    case AXVCPU_RISCV_HTINST_WALK_READ:
    case AXVCPU_RISCV_HTINST_WALK_READ32: return AXVCPU_ACCESS_READ | AXVCPU_ACCESS_WALK;
    case AXVCPU_RISCV_HTINST_WALK_WRITE:
    case AXVCPU_RISCV_HTINST_WALK_WRITE32: return AXVCPU_ACCESS_WRITE | AXVCPU_ACCESS_WALK;
    default: return 0;
    }
}

static enum axvcpu_riscv_action axvcpu_i_riscv_data_fault(const struct axvcpu_i_riscv_case *c, bool write)
{
    const struct axvcpu_riscv_trap *t = c->t;
    struct axvcpu_riscv_access a;
    /* Translation keeps the offset in the page: another one says that htval is not about this access. */
    bool plain = ((axvcpu_i_riscv_gpa(t) ^ t->tval) & 0xfffu) == 0, known;

    if (axvcpu_i_riscv_walk(t->htinst) != 0)
        return axvcpu_i_riscv_fault(c, axvcpu_i_riscv_walk(t->htinst));
    known = plain && axvcpu_i_riscv_transformed(t, &a) && a.write == write;
    if (!known && (t->flags & AXVCPU_RISCV_HAS_INSN) == 0)
        return AXVCPU_RISCV_FETCH;
    known = known || (plain && axvcpu_i_riscv_fetched(c, &a) && a.write == write);
    return known ? axvcpu_i_riscv_mmio(c, &a) : axvcpu_i_riscv_undecoded(c);
}

/* Of what the guest did to itself it is told, as it would be without us. */
#define AXVCPU_I_RISCV_FORWARD                                                                             \
    (1u << AXVCPU_RISCV_CAUSE_INSN_MISALIGNED | 1u << AXVCPU_RISCV_CAUSE_INSN_ACCESS |                     \
     1u << AXVCPU_RISCV_CAUSE_ILLEGAL | 1u << AXVCPU_RISCV_CAUSE_LOAD_MISALIGNED |                         \
     1u << AXVCPU_RISCV_CAUSE_LOAD_ACCESS | 1u << AXVCPU_RISCV_CAUSE_STORE_MISALIGNED |                    \
     1u << AXVCPU_RISCV_CAUSE_STORE_ACCESS | 1u << AXVCPU_RISCV_CAUSE_ECALL_U |                            \
     1u << AXVCPU_RISCV_CAUSE_INSN_PAGE | 1u << AXVCPU_RISCV_CAUSE_LOAD_PAGE | 1u << AXVCPU_RISCV_CAUSE_STORE_PAGE)

AXVCPU_API enum axvcpu_riscv_action axvcpu_riscv_decode(const struct axvcpu_riscv_trap *t, const uint64_t gpr[32],
                                                        const struct axvcpu_riscv_sbi *sbi, struct axvcpu_exit *x,
                                                        struct axvcpu_riscv_effect *e)
{
    const struct axvcpu_i_riscv_case c = { t, gpr, sbi, x, e };

    AXVCPU_MEMSET(e, 0, sizeof(*e));
    if ((t->cause & AXVCPU_RISCV_CAUSE_IRQ) != 0) {
        x->irq.vector = AXVCPU_NO_VECTOR;
        return axvcpu_i_riscv_exit(&c, AXVCPU_EXIT_EXTERNAL_INTERRUPT);
    }
    switch (t->cause) {
    case AXVCPU_RISCV_CAUSE_ECALL_VS: return axvcpu_riscv_sbi_call(t, gpr, sbi, x, e);
    case AXVCPU_RISCV_CAUSE_INSN_GUEST_PAGE:
        return axvcpu_i_riscv_fault(&c, axvcpu_i_riscv_walk(t->htinst) != 0 ? axvcpu_i_riscv_walk(t->htinst) :
                                                                             AXVCPU_ACCESS_EXEC);
    case AXVCPU_RISCV_CAUSE_LOAD_GUEST_PAGE: return axvcpu_i_riscv_data_fault(&c, false);
    case AXVCPU_RISCV_CAUSE_STORE_GUEST_PAGE: return axvcpu_i_riscv_data_fault(&c, true);
    case AXVCPU_RISCV_CAUSE_VIRTUAL_INSN: return axvcpu_i_riscv_virtual_insn(&c);
    case AXVCPU_RISCV_CAUSE_BREAKPOINT: /* comes to us only when the host asked for it in hedeleg */
        x->debug.pc = t->pc;
        x->debug.status = t->cause;
        return axvcpu_i_riscv_exit(&c, AXVCPU_EXIT_DEBUG);
    default: break;
    }
    if (t->cause < 32 && (AXVCPU_I_RISCV_FORWARD >> t->cause & 1u) != 0)
        return axvcpu_i_riscv_trap(&c, t->cause, t->tval);
    return axvcpu_i_riscv_exit(&c, AXVCPU_EXIT_RAW);
}

/* >>decode: SBI. A call is answered here, or it becomes an exit with an answer in place: SUCCESS, so that
   whoever serves it has nothing to add unless it fails, or NOT_SUPPORTED where the answer is more than that
   and somebody has to give it. Legacy calls return in a0 alone (sbi 5). */

static enum axvcpu_riscv_action axvcpu_i_riscv_answer(const struct axvcpu_i_riscv_case *c, int64_t error, uint64_t value)
{
    c->e->sets |= AXVCPU_RISCV_SETS_A0 | AXVCPU_RISCV_SETS_A1;
    c->e->a0 = (uint64_t)error;
    c->e->a1 = value;
    return AXVCPU_RISCV_RESUME;
}

static enum axvcpu_riscv_action axvcpu_i_riscv_success(const struct axvcpu_i_riscv_case *c, uint32_t kind)
{
    (void)axvcpu_i_riscv_answer(c, AXVCPU_RISCV_SBI_SUCCESS, 0);
    return axvcpu_i_riscv_exit(c, kind);
}

static enum axvcpu_riscv_action axvcpu_i_riscv_legacy(const struct axvcpu_i_riscv_case *c, uint64_t value)
{
    c->e->sets |= AXVCPU_RISCV_SETS_A0;
    c->e->a0 = value;
    return AXVCPU_RISCV_RESUME;
}

static enum axvcpu_riscv_action axvcpu_i_riscv_unsupported(const struct axvcpu_i_riscv_case *c)
{
    return axvcpu_i_riscv_answer(c, AXVCPU_RISCV_SBI_NOT_SUPPORTED, 0);
}

static enum axvcpu_riscv_action axvcpu_i_riscv_hypercall(const struct axvcpu_i_riscv_case *c)
{
    c->x->hypercall.nr = AXVCPU_RISCV_SBI_NR(c->gpr[AXVCPU_RISCV_A7], c->gpr[AXVCPU_RISCV_A6]);
    AXVCPU_MEMCPY(c->x->hypercall.args, &c->gpr[AXVCPU_RISCV_A0], sizeof(c->x->hypercall.args));
    return axvcpu_i_riscv_exit(c, AXVCPU_EXIT_HYPERCALL);
}

/* The extensions that probe_extension admits to. */
static bool axvcpu_i_riscv_has_extension(uint64_t ext)
{
    static const uint32_t there[] = { AXVCPU_RISCV_SBI_EXT_BASE, AXVCPU_RISCV_SBI_EXT_TIME, AXVCPU_RISCV_SBI_EXT_IPI,
                                      AXVCPU_RISCV_SBI_EXT_RFENCE, AXVCPU_RISCV_SBI_EXT_HSM,
                                      AXVCPU_RISCV_SBI_EXT_SRST, AXVCPU_RISCV_SBI_EXT_DBCN };
    size_t i;

    for (i = 0; i < sizeof(there) / sizeof(there[0]); i++) {
        if (there[i] == ext)
            return true;
    }
    return ext <= 8;
}

static enum axvcpu_riscv_action axvcpu_i_riscv_base(const struct axvcpu_i_riscv_case *c)
{
    const uint64_t values[] = {
        AXVCPU_RISCV_SBI_SPEC_VERSION,
        AXVCPU_RISCV_SBI_IMPL_ID,
        AXVCPU_VERSION_MAJOR << 16 | AXVCPU_VERSION_MINOR << 8 | AXVCPU_VERSION_PATCH,
        axvcpu_i_riscv_has_extension(c->gpr[AXVCPU_RISCV_A0]),
        c->sbi->mvendorid,
        c->sbi->marchid,
        c->sbi->mimpid,
    };
    uint64_t function = c->gpr[AXVCPU_RISCV_A6];

    return function < sizeof(values) / sizeof(values[0]) ? axvcpu_i_riscv_answer(c, 0, values[function]) :
                                                           axvcpu_i_riscv_unsupported(c);
}

static enum axvcpu_riscv_action axvcpu_i_riscv_set_timer(const struct axvcpu_i_riscv_case *c)
{
    c->e->sets |= AXVCPU_RISCV_SETS_TIMER;
    c->e->timer = c->gpr[AXVCPU_RISCV_A0];
    return axvcpu_i_riscv_answer(c, AXVCPU_RISCV_SBI_SUCCESS, 0);
}

static void axvcpu_i_riscv_ipi(const struct axvcpu_i_riscv_case *c, uint64_t mask, uint64_t base)
{
    c->x->ipi.target = mask;
    c->x->ipi.aux = base;
    c->x->ipi.vector = AXVCPU_RISCV_IRQ_SOFT;
    c->x->ipi.to_all = base == UINT64_MAX;
    c->x->ipi.to_self = false;
}

static enum axvcpu_riscv_action axvcpu_i_riscv_send_ipi(const struct axvcpu_i_riscv_case *c)
{
    axvcpu_i_riscv_ipi(c, c->gpr[AXVCPU_RISCV_A0], c->gpr[AXVCPU_RISCV_A1]);
    return axvcpu_i_riscv_success(c, AXVCPU_EXIT_SEND_IPI);
}

static void axvcpu_i_riscv_fence(const struct axvcpu_i_riscv_case *c, uint32_t op, uint64_t mask, uint64_t base,
                                 const uint64_t *start)
{
    c->x->fence.op = op;
    c->x->fence.mask = mask;
    c->x->fence.base = base;
    c->x->fence.start = op == AXVCPU_RISCV_FENCE_I ? 0 : start[0];
    c->x->fence.size = op == AXVCPU_RISCV_FENCE_I ? 0 : start[1];
    c->x->fence.asid = op == AXVCPU_RISCV_FENCE_VMA_ASID ? start[2] : 0;
}

/* Everything is both (0, 0) and a size of -1; else the range must not wrap. */
static bool axvcpu_i_riscv_wraps(uint64_t start, uint64_t size)
{
    return size != UINT64_MAX && start + size < start;
}

static enum axvcpu_riscv_action axvcpu_i_riscv_rfence(const struct axvcpu_i_riscv_case *c)
{
    const uint64_t *a = &c->gpr[AXVCPU_RISCV_A0];
    uint32_t op = (uint32_t)c->gpr[AXVCPU_RISCV_A6];

    if (op != AXVCPU_RISCV_FENCE_I && axvcpu_i_riscv_wraps(a[2], a[3]))
        return axvcpu_i_riscv_answer(c, AXVCPU_RISCV_SBI_INVALID_ADDRESS, 0);
    axvcpu_i_riscv_fence(c, op, a[0], a[1], a + 2);
    return axvcpu_i_riscv_success(c, AXVCPU_EXIT_REMOTE_FENCE);
}

static enum axvcpu_riscv_action axvcpu_i_riscv_hart_start(const struct axvcpu_i_riscv_case *c)
{
    const uint64_t *a = &c->gpr[AXVCPU_RISCV_A0];

    if ((a[1] & 1u) != 0)
        return axvcpu_i_riscv_answer(c, AXVCPU_RISCV_SBI_INVALID_ADDRESS, 0);
    c->x->cpu_up.target = a[0];
    c->x->cpu_up.entry = a[1];
    c->x->cpu_up.arg = a[2];
    return axvcpu_i_riscv_success(c, AXVCPU_EXIT_CPU_UP);
}

static enum axvcpu_riscv_action axvcpu_i_riscv_hart_stop(const struct axvcpu_i_riscv_case *c)
{
    c->x->cpu_down.state = 0;
    return axvcpu_i_riscv_success(c, AXVCPU_EXIT_CPU_DOWN);
}

/* Only the VM knows the other harts. */
static enum axvcpu_riscv_action axvcpu_i_riscv_hart_status(const struct axvcpu_i_riscv_case *c)
{
    (void)axvcpu_i_riscv_unsupported(c);
    return axvcpu_i_riscv_hypercall(c);
}

/* Retentive suspend is a WFI. A non-retentive one goes on as a hart that starts, at the given address. */
static enum axvcpu_riscv_action axvcpu_i_riscv_hart_suspend(const struct axvcpu_i_riscv_case *c)
{
    const uint64_t *a = &c->gpr[AXVCPU_RISCV_A0];

    if (a[0] != 0 && a[0] != AXVCPU_RISCV_SUSPEND_NON_RETENTIVE)
        return axvcpu_i_riscv_answer(c, AXVCPU_RISCV_SBI_INVALID_PARAM, 0);
    if (a[0] != 0 && (a[1] & 1u) != 0)
        return axvcpu_i_riscv_answer(c, AXVCPU_RISCV_SBI_INVALID_ADDRESS, 0);
    (void)axvcpu_i_riscv_success(c, AXVCPU_EXIT_HALT);
    if (a[0] != 0) {
        c->e->step = 0;
        c->e->sets = AXVCPU_RISCV_SETS_START | AXVCPU_RISCV_SETS_A1;
        c->e->pc = a[1];
        c->e->a1 = a[2];
    }
    return AXVCPU_RISCV_EXIT;
}

/* sbi 10: types 0-2, reasons 0 and 1; the rest is reserved, or a platform's that we are not. */
static enum axvcpu_riscv_action axvcpu_i_riscv_reset(const struct axvcpu_i_riscv_case *c)
{
    const uint64_t *a = &c->gpr[AXVCPU_RISCV_A0];

    if (a[0] > 2 || a[1] > 1)
        return axvcpu_i_riscv_answer(c, AXVCPU_RISCV_SBI_INVALID_PARAM, 0);
    c->x->system.reason = a[0] != 0 ? AXVCPU_SYSTEM_RESET : a[1] != 0 ? AXVCPU_SYSTEM_CRASH : AXVCPU_SYSTEM_OFF;
    return axvcpu_i_riscv_success(c, AXVCPU_EXIT_SYSTEM_DOWN);
}

/* The guest may ask for any number of bytes and gets an answer about the first ones (sbi 12). */
static enum axvcpu_riscv_action axvcpu_i_riscv_console(const struct axvcpu_i_riscv_case *c)
{
    const uint64_t *a = &c->gpr[AXVCPU_RISCV_A0];

    if (a[2] != 0 || a[1] + a[0] < a[1])
        return axvcpu_i_riscv_answer(c, AXVCPU_RISCV_SBI_INVALID_PARAM, 0);
    (void)axvcpu_i_riscv_unsupported(c);
    (void)axvcpu_i_riscv_hypercall(c);
    if (a[0] > AXVCPU_RISCV_DBCN_MAX)
        c->x->hypercall.args[0] = AXVCPU_RISCV_DBCN_MAX;
    return AXVCPU_RISCV_EXIT;
}

static enum axvcpu_riscv_action axvcpu_i_riscv_console_byte(const struct axvcpu_i_riscv_case *c)
{
    (void)axvcpu_i_riscv_unsupported(c);
    (void)axvcpu_i_riscv_hypercall(c);
    c->x->hypercall.args[0] &= 0xffu;
    return AXVCPU_RISCV_EXIT;
}

static enum axvcpu_riscv_action axvcpu_i_riscv_legacy_timer(const struct axvcpu_i_riscv_case *c)
{
    c->e->sets |= AXVCPU_RISCV_SETS_TIMER;
    c->e->timer = c->gpr[AXVCPU_RISCV_A0];
    return axvcpu_i_riscv_legacy(c, 0);
}

static enum axvcpu_riscv_action axvcpu_i_riscv_legacy_console(const struct axvcpu_i_riscv_case *c)
{
    bool put = c->gpr[AXVCPU_RISCV_A7] == 1;

    (void)axvcpu_i_riscv_legacy(c, put ? (uint64_t)AXVCPU_RISCV_SBI_NOT_SUPPORTED : UINT64_MAX); /* nothing to read */
    (void)axvcpu_i_riscv_hypercall(c);
    c->x->hypercall.nr = put ? 1 : 2; /* a6 means nothing here */
    c->x->hypercall.args[0] &= 0xffu;
    return AXVCPU_RISCV_EXIT;
}

static enum axvcpu_riscv_action axvcpu_i_riscv_legacy_clear_ipi(const struct axvcpu_i_riscv_case *c)
{
    c->e->sets |= AXVCPU_RISCV_SETS_NO_SOFT;
    return axvcpu_i_riscv_legacy(c, c->t->hvip >> AXVCPU_RISCV_IRQ_SOFT & 1u);
}

/* IPI and fences: a0 points to the mask, in the guest's virtual memory; no pointer: all harts. */
static enum axvcpu_riscv_action axvcpu_i_riscv_legacy_others(const struct axvcpu_i_riscv_case *c)
{
    const uint64_t *a = &c->gpr[AXVCPU_RISCV_A0];
    uint64_t base = a[0] == 0 ? UINT64_MAX : 0;
    uint32_t op = (uint32_t)c->gpr[AXVCPU_RISCV_A7] - 5; /* 5-7 are the fences in RFENCE's order */

    if (a[0] != 0 && (c->t->flags & AXVCPU_RISCV_HAS_MASK) == 0)
        return AXVCPU_RISCV_LOAD_MASK;
    (void)axvcpu_i_riscv_legacy(c, 0);
    if (c->gpr[AXVCPU_RISCV_A7] == 4) {
        axvcpu_i_riscv_ipi(c, c->t->mask, base);
        return axvcpu_i_riscv_exit(c, AXVCPU_EXIT_SEND_IPI);
    }
    if (op != AXVCPU_RISCV_FENCE_I && axvcpu_i_riscv_wraps(a[1], a[2]))
        return axvcpu_i_riscv_legacy(c, (uint64_t)AXVCPU_RISCV_SBI_INVALID_ADDRESS);
    axvcpu_i_riscv_fence(c, op, c->t->mask, base, a + 1);
    return axvcpu_i_riscv_exit(c, AXVCPU_EXIT_REMOTE_FENCE);
}

static enum axvcpu_riscv_action axvcpu_i_riscv_legacy_shutdown(const struct axvcpu_i_riscv_case *c)
{
    (void)axvcpu_i_riscv_legacy(c, 0);
    c->x->system.reason = AXVCPU_SYSTEM_OFF;
    return axvcpu_i_riscv_exit(c, AXVCPU_EXIT_SYSTEM_DOWN);
}

/* Functions first to last of an extension; a legacy one has no function. */
struct axvcpu_i_riscv_sbi_row {
    uint32_t ext, first, last;
    enum axvcpu_riscv_action (*call)(const struct axvcpu_i_riscv_case *);
};

static const struct axvcpu_i_riscv_sbi_row axvcpu_i_riscv_sbi_rows[] = {
    { AXVCPU_RISCV_SBI_EXT_BASE, 0, UINT32_MAX, axvcpu_i_riscv_base },
    { AXVCPU_RISCV_SBI_EXT_TIME, 0, 0, axvcpu_i_riscv_set_timer },
    { AXVCPU_RISCV_SBI_EXT_IPI, 0, 0, axvcpu_i_riscv_send_ipi },
    { AXVCPU_RISCV_SBI_EXT_RFENCE, AXVCPU_RISCV_FENCE_I, AXVCPU_RISCV_FENCE_VMA_ASID, axvcpu_i_riscv_rfence },
    { AXVCPU_RISCV_SBI_EXT_HSM, 0, 0, axvcpu_i_riscv_hart_start },
    { AXVCPU_RISCV_SBI_EXT_HSM, 1, 1, axvcpu_i_riscv_hart_stop },
    { AXVCPU_RISCV_SBI_EXT_HSM, 2, 2, axvcpu_i_riscv_hart_status },
    { AXVCPU_RISCV_SBI_EXT_HSM, 3, 3, axvcpu_i_riscv_hart_suspend },
    { AXVCPU_RISCV_SBI_EXT_SRST, 0, 0, axvcpu_i_riscv_reset },
    { AXVCPU_RISCV_SBI_EXT_DBCN, 0, 1, axvcpu_i_riscv_console },
    { AXVCPU_RISCV_SBI_EXT_DBCN, 2, 2, axvcpu_i_riscv_console_byte },
    { 0, 0, UINT32_MAX, axvcpu_i_riscv_legacy_timer },
    { 1, 0, UINT32_MAX, axvcpu_i_riscv_legacy_console },
    { 2, 0, UINT32_MAX, axvcpu_i_riscv_legacy_console },
    { 3, 0, UINT32_MAX, axvcpu_i_riscv_legacy_clear_ipi },
    { 4, 0, UINT32_MAX, axvcpu_i_riscv_legacy_others },
    { 5, 0, UINT32_MAX, axvcpu_i_riscv_legacy_others },
    { 6, 0, UINT32_MAX, axvcpu_i_riscv_legacy_others },
    { 7, 0, UINT32_MAX, axvcpu_i_riscv_legacy_others },
    { 8, 0, UINT32_MAX, axvcpu_i_riscv_legacy_shutdown },
};

AXVCPU_API enum axvcpu_riscv_action axvcpu_riscv_sbi_call(const struct axvcpu_riscv_trap *t, const uint64_t gpr[32],
                                                          const struct axvcpu_riscv_sbi *sbi, struct axvcpu_exit *x,
                                                          struct axvcpu_riscv_effect *e)
{
    const struct axvcpu_i_riscv_case c = { t, gpr, sbi, x, e };
    const struct axvcpu_i_riscv_sbi_row *row = axvcpu_i_riscv_sbi_rows;
    const struct axvcpu_i_riscv_sbi_row *end = row + sizeof(axvcpu_i_riscv_sbi_rows) / sizeof(*row);
    uint64_t ext = gpr[AXVCPU_RISCV_A7], function = gpr[AXVCPU_RISCV_A6];

    AXVCPU_MEMSET(e, 0, sizeof(*e));
    e->step = 4; /* ecall has no compressed form */
    if (ext - AXVCPU_RISCV_SBI_EXT_OWN < AXVCPU_RISCV_SBI_EXT_OWN_END - AXVCPU_RISCV_SBI_EXT_OWN)
        return axvcpu_i_riscv_hypercall(&c);
    for (; row < end; row++) {
        if (row->ext == ext && (row->last == UINT32_MAX || (function >= row->first && function <= row->last)))
            return row->call(&c);
    }
    return axvcpu_i_riscv_unsupported(&c);
}

AXVCPU_I_C_END

#endif /* AXVCPU_IMPLEMENTATION */
