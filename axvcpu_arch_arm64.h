/* SPDX-License-Identifier: Apache-2.0
 *
 * axvcpu_arch_arm64.h: AArch64 backends of axvcpu.h: EL2 on bare metal, KVM on Linux
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
 * "DDI 0487" is the Arm Architecture Reference Manual. Every issue numbers its sections anew, so it is cited
 * by the name of a register or pseudocode function. "DEN 0028" is the SMC Calling Convention 1.1, "DEN 0022D"
 * the Power State Coordination Interface 1.1, "IHI 0069" the GICv3 and GICv4 specification.
 */
#ifndef AXVCPU_H
#include "axvcpu.h"
#endif

#ifndef AXVCPU_ARCH_ARM64_H
#define AXVCPU_ARCH_ARM64_H

AXVCPU_I_C_BEGIN

/* ---------------------------------------------------------------------------------------------------- */
/* >>names                                                                                              */
/* ---------------------------------------------------------------------------------------------------- */

/* Exception classes, ESR_EL2.EC. What becomes of each: CALL, ACCESS and so on are served by functions of
   their own; OTHER is an EXCEPTION exit with the class as its vector; DEBUG a DEBUG exit; RAW cannot be a
   guest's, as those not listed. */
#define AXVCPU_ARM64_ECS(X)                                                                                \
    X(UNKNOWN, 0x00, OTHER) X(WFX, 0x01, WFX) X(CP15_32, 0x03, OTHER) X(CP15_64, 0x04, OTHER)              \
    X(CP14_32, 0x05, OTHER) X(CP14_LS, 0x06, OTHER) X(FP, 0x07, OTHER) X(FPID, 0x08, OTHER)                \
    X(PAUTH, 0x09, OTHER) X(LS64, 0x0a, OTHER) X(CP14_64, 0x0c, OTHER) X(BTI, 0x0d, OTHER)                 \
    X(ILLEGAL, 0x0e, OTHER) X(SVC32, 0x11, OTHER) X(HVC32, 0x12, OTHER) X(SMC32, 0x13, OTHER)              \
    X(SVC64, 0x15, OTHER) X(HVC64, 0x16, CALL) X(SMC64, 0x17, CALL) X(SYSREG, 0x18, SYSREG)                \
    X(SVE, 0x19, OTHER) X(ERET, 0x1a, OTHER) X(TSTART, 0x1b, OTHER) X(FPAC, 0x1c, OTHER)                   \
    X(SME, 0x1d, OTHER) X(FETCH, 0x20, FETCH) X(FETCH_SAME, 0x21, RAW) X(PC_ALIGN, 0x22, OTHER)            \
    X(DATA, 0x24, DATA) X(DATA_SAME, 0x25, RAW) X(SP_ALIGN, 0x26, OTHER) X(MOPS, 0x27, OTHER)              \
    X(FP32, 0x28, OTHER) X(FP64, 0x2c, OTHER) X(GCS, 0x2d, OTHER) X(SERROR, 0x2f, OTHER)                   \
    X(BREAK, 0x30, DEBUG) X(BREAK_SAME, 0x31, RAW) X(STEP, 0x32, DEBUG) X(STEP_SAME, 0x33, RAW)            \
    X(WATCH, 0x34, DEBUG) X(WATCH_SAME, 0x35, RAW) X(BKPT32, 0x38, DEBUG) X(VECTOR32, 0x3a, DEBUG)         \
    X(BRK, 0x3c, DEBUG)
#define AXVCPU_I_ENUM_ARM64_EC(name, value, what) AXVCPU_ARM64_EC_##name = value,
enum axvcpu_arm64_ec { AXVCPU_ARM64_ECS(AXVCPU_I_ENUM_ARM64_EC) AXVCPU_ARM64_EC_COUNT = 0x40 };

/* ESR_EL2 */
#define AXVCPU_ARM64_ESR_EC(esr) ((uint32_t)((esr) >> 26) & 0x3fu)
#define AXVCPU_ARM64_ESR_ISS(esr) ((uint32_t)(esr) & 0x1ffffffu)
#define AXVCPU_ARM64_ESR(ec, iss) ((uint64_t)(ec) << 26 | (iss))
#define AXVCPU_ARM64_ESR_IL (UINT64_C(1) << 25) /* a 32-bit instruction */
/* ... its ISS for data and instruction aborts */
#define AXVCPU_ARM64_ISS_ISV (1u << 24)   /* what follows up to AR is valid */
#define AXVCPU_ARM64_ISS_SAS_SHIFT 22     /* log2 of the width */
#define AXVCPU_ARM64_ISS_SSE (1u << 21)   /* sign-extended */
#define AXVCPU_ARM64_ISS_SRT_SHIFT 16     /* the register, 31 is xzr */
#define AXVCPU_ARM64_ISS_SF (1u << 15)    /* a 64-bit register */
#define AXVCPU_ARM64_ISS_FNV (1u << 10)   /* FAR_EL2 is not valid */
#define AXVCPU_ARM64_ISS_CM (1u << 8)     /* cache maintenance or address translation */
#define AXVCPU_ARM64_ISS_S1PTW (1u << 7)  /* by the walk of the guest's own table */
#define AXVCPU_ARM64_ISS_WNR (1u << 6)
#define AXVCPU_ARM64_ISS_FSC 0x3fu
/* ... for MSR, MRS and SYS: Rt and the direction; the rest names the register */
#define AXVCPU_ARM64_ISS_READ 1u
#define AXVCPU_ARM64_ISS_RT_SHIFT 5
#define AXVCPU_ARM64_ISS_SYSREG 0x3ffc1eu

/* Fault status codes without their level, which is in the two lowest bits (data abort, DFSC). */
#define AXVCPU_ARM64_FSC_ADDRESS_SIZE 0x00u
#define AXVCPU_ARM64_FSC_TRANSLATION 0x04u
#define AXVCPU_ARM64_FSC_ACCESS_FLAG 0x08u
#define AXVCPU_ARM64_FSC_PERMISSION 0x0cu
#define AXVCPU_ARM64_FSC_EXTERNAL 0x10u
#define AXVCPU_ARM64_FSC_ADDRESS_SIZE_M1 0x29u /* level -1 */
#define AXVCPU_ARM64_FSC_TRANSLATION_M1 0x2bu

/* A system register as sysreg.addr and AXVCPU_REG_SYS have it: the ISS without Rt and direction. */
#define AXVCPU_ARM64_SYSREG(op0, op1, crn, crm, op2)                                                       \
    ((uint32_t)(op0) << 20 | (uint32_t)(op2) << 17 | (uint32_t)(op1) << 14 | (uint32_t)(crn) << 10 | (uint32_t)(crm) << 1)
#define AXVCPU_ARM64_ICC_SGI1R AXVCPU_ARM64_SYSREG(3, 0, 12, 11, 5)
#define AXVCPU_ARM64_ICC_ASGI1R AXVCPU_ARM64_SYSREG(3, 0, 12, 11, 6)
#define AXVCPU_ARM64_ICC_SGI0R AXVCPU_ARM64_SYSREG(3, 0, 12, 11, 7)

/* SPSR_EL2 and PSTATE */
#define AXVCPU_ARM64_PSTATE_EL1H 0x5u
#define AXVCPU_ARM64_PSTATE_SP 0x1u
#define AXVCPU_ARM64_PSTATE_EL 0xcu
#define AXVCPU_ARM64_PSTATE_AARCH32 0x10u
#define AXVCPU_ARM64_PSTATE_DAIF 0x3c0u
#define AXVCPU_ARM64_PSTATE_I 0x80u
#define AXVCPU_ARM64_PSTATE_SSBS (1u << 12)
#define AXVCPU_ARM64_PSTATE_PAN (1u << 22)
#define AXVCPU_ARM64_PSTATE_DIT (1u << 24)
#define AXVCPU_ARM64_PSTATE_TCO (1u << 25)
#define AXVCPU_ARM64_PSTATE_NZCV 0xf0000000u
/* SCTLR_EL1, as far as it shapes the entry into an exception */
#define AXVCPU_ARM64_SCTLR_SPAN (UINT64_C(1) << 23)
#define AXVCPU_ARM64_SCTLR_DSSBS (UINT64_C(1) << 44)

/* MPIDR_EL1: Aff3 and Aff2 to Aff0 */
#define AXVCPU_ARM64_MPIDR_AFFINITY UINT64_C(0xff00ffffff)

/* exit.raw: ESR_EL2 and, above it, by which of the four vectors the guest was left. */
enum axvcpu_arm64_vector { AXVCPU_ARM64_SYNC, AXVCPU_ARM64_IRQ, AXVCPU_ARM64_FIQ, AXVCPU_ARM64_ERROR };
#define AXVCPU_ARM64_RAW(vector, esr) ((uint64_t)(vector) << 56 | (esr))
/* exit.flags of a HALT that was WFE, WFET or WFIT: let others run, but do not wait for an interrupt alone;
   an event of another vCPU or the time would not end that. */
#define AXVCPU_ARM64_EXIT_YIELD 0x100u

/* SMCCC (DEN 0028, 2.5): what is in a function identifier */
#define AXVCPU_ARM64_SMCCC_FAST 0x80000000u
#define AXVCPU_ARM64_SMCCC_64 0x40000000u
#define AXVCPU_ARM64_SMCCC_SVE_HINT 0x00010000u
#define AXVCPU_ARM64_SMCCC_OWNER(id) ((uint32_t)(id) >> 24 & 0x3fu)
#define AXVCPU_ARM64_SMCCC_NOT_SUPPORTED (-1)
#define AXVCPU_ARM64_SMCCC_VERSION 0x10001

/* PSCI 1.1 (DEN 0022D). Its errors (5.2.2): */
#define AXVCPU_ARM64_PSCI_ERRORS(X)                                                                        \
    X(SUCCESS, 0) X(NOT_SUPPORTED, -1) X(INVALID_PARAMETERS, -2) X(DENIED, -3) X(ALREADY_ON, -4)           \
    X(ON_PENDING, -5) X(INTERNAL_FAILURE, -6) X(NOT_PRESENT, -7) X(DISABLED, -8) X(INVALID_ADDRESS, -9)
#define AXVCPU_I_ENUM_ARM64_PSCI(name, value) AXVCPU_ARM64_PSCI_##name = value,
enum axvcpu_arm64_psci_error { AXVCPU_ARM64_PSCI_ERRORS(AXVCPU_I_ENUM_ARM64_PSCI) AXVCPU_ARM64_PSCI_ERROR_END };
#define AXVCPU_ARM64_PSCI_VERSION 0x10001
#define AXVCPU_ARM64_PSCI_NO_MIGRATION 2 /* MIGRATE_INFO_TYPE: no trusted OS that would have to move */
#define AXVCPU_ARM64_PSCI_AFFINITY_INFO 0x84000004u
/* CPU_SUSPEND's power_state (5.4.2.1), the original format */
#define AXVCPU_ARM64_PSCI_POWER_DOWN (1u << 16)
#define AXVCPU_ARM64_PSCI_POWER_RESERVED 0xfcfe0000u

/* ---------------------------------------------------------------------------------------------------- */
/* >>decode                                                                                             */
/* ---------------------------------------------------------------------------------------------------- */

/* What the CPU left behind when it left the guest. */
struct axvcpu_arm64_trap {
    uint64_t esr, far, hpfar, pc, pstate;
    uint32_t vector; /* enum axvcpu_arm64_vector */
    uint32_t insn;   /* the instruction at the PC, with AXVCPU_ARM64_HAS_INSN; only UNDECODED shows it */
    uint32_t flags;  /* AXVCPU_ARM64_HAS_* */
};
#define AXVCPU_ARM64_HAS_INSN 0x1u
#define AXVCPU_ARM64_HAS_IPA 0x2u /* hpfar is that of `far`, for TRANSLATE */

/* What is to be done. TRANSLATE: put what the guest's stage 1 makes of `far` (AT S1E1R) into hpfar, as the
   hardware would have it, and decode again; if it makes nothing of it, enter the guest, it finds out. */
enum axvcpu_arm64_action {
    AXVCPU_ARM64_EXIT,     /* the exit in *x */
    AXVCPU_ARM64_RESUME,   /* the guest goes on */
    AXVCPU_ARM64_TRAP,     /* an exception at EL1 with `esr` and `far`, at the same PC */
    AXVCPU_ARM64_TRANSLATE
};

/* ... and what it does to the guest before that: */
struct axvcpu_arm64_effect {
    uint32_t step; /* the PC moves so far; for an exit that is answered, when it commits */
    uint32_t sets; /* AXVCPU_ARM64_SETS_* */
    uint64_t x0, pc;
    uint64_t esr, far;
};
#define AXVCPU_ARM64_SETS_X0 0x1u
#define AXVCPU_ARM64_SETS_START 0x2u /* the guest goes on at `pc`, with a CPU's start-up state (PSCI 6.4) */

/* The registers that taking an exception to EL1 reads and writes. */
struct axvcpu_arm64_el1 {
    uint64_t pc, pstate, vbar, sctlr, elr, spsr, esr, far;
};

/* A trap to EL2 while the guest ran. gpr[31] is not looked at. */
AXVCPU_API enum axvcpu_arm64_action axvcpu_arm64_decode(const struct axvcpu_arm64_trap *, const uint64_t gpr[31],
                                                        struct axvcpu_exit *, struct axvcpu_arm64_effect *);
/* A call by HVC or SMC: the part of the above that needs no trap but the call's registers. */
AXVCPU_API enum axvcpu_arm64_action axvcpu_arm64_smccc_call(const struct axvcpu_arm64_trap *, const uint64_t gpr[31],
                                                            struct axvcpu_exit *, struct axvcpu_arm64_effect *);
/* The ESR_EL1 of an access that is refused: an undefined instruction for a system register, a synchronous
   external abort for memory, as `write` says. */
AXVCPU_API uint64_t axvcpu_arm64_fault(uint64_t pstate, bool memory, bool write);
/* The guest takes a synchronous exception at EL1. */
AXVCPU_API void axvcpu_arm64_take(struct axvcpu_arm64_el1 *, uint64_t esr, uint64_t far);

#if AXVCPU_I_ARCH == AXVCPU_I_ARCH_ARM64

#if defined(AXVCPU_KVM)
#error "axvcpu_arch_arm64.h: the KVM backend is not there yet; define AXVCPU_ARCH_FAKE, or bring a backend by AXVCPU_ARCH_HEADER"
#else
#error "axvcpu_arch_arm64.h: the bare-metal backend is not there yet; define AXVCPU_ARCH_FAKE, or bring a backend by AXVCPU_ARCH_HEADER"
#endif

#endif /* the selected backend */

AXVCPU_I_C_END

#endif /* AXVCPU_ARCH_ARM64_H */

#if defined(AXVCPU_IMPLEMENTATION) && defined(AXVCPU_LEAF_CODE) && !defined(AXVCPU_I_ARM64_IMPLEMENTED)
#define AXVCPU_I_ARM64_IMPLEMENTED

AXVCPU_I_C_BEGIN

/* >>decode: what one decode works on */

struct axvcpu_i_arm64_case {
    const struct axvcpu_arm64_trap *t;
    const uint64_t *gpr;
    struct axvcpu_exit *x;
    struct axvcpu_arm64_effect *e;
};

static enum axvcpu_arm64_action axvcpu_i_arm64_exit(const struct axvcpu_i_arm64_case *c, uint32_t kind)
{
    c->x->kind = kind;
    c->x->flags = 0;
    c->x->raw = AXVCPU_ARM64_RAW(c->t->vector, c->t->esr);
    return AXVCPU_ARM64_EXIT;
}

static uint64_t axvcpu_i_arm64_gpr(const struct axvcpu_i_arm64_case *c, uint32_t n)
{
    return n < 31 ? c->gpr[n] : 0;
}

/* An exception that is neither an access nor a call. */
static enum axvcpu_arm64_action axvcpu_i_arm64_other(const struct axvcpu_i_arm64_case *c)
{
    uint32_t ec = AXVCPU_ARM64_ESR_EC(c->t->esr), iss = AXVCPU_ARM64_ESR_ISS(c->t->esr);
    bool abort = ec == AXVCPU_ARM64_EC_FETCH || ec == AXVCPU_ARM64_EC_DATA, error = c->t->vector == AXVCPU_ARM64_ERROR;
    bool has_far = !error && (ec == AXVCPU_ARM64_EC_PC_ALIGN || (abort && (iss & AXVCPU_ARM64_ISS_FNV) == 0));

    c->x->exception.vector = error ? (uint32_t)AXVCPU_ARM64_EC_SERROR : ec;
    c->x->exception.error = iss;
    c->x->exception.addr = has_far ? c->t->far : 0;
    return axvcpu_i_arm64_exit(c, AXVCPU_EXIT_EXCEPTION);
}

static enum axvcpu_arm64_action axvcpu_i_arm64_undefined(const struct axvcpu_i_arm64_case *c)
{
    c->e->step = 0;
    c->e->esr = AXVCPU_ARM64_ESR(AXVCPU_ARM64_EC_UNKNOWN, AXVCPU_ARM64_ESR_IL);
    return AXVCPU_ARM64_TRAP;
}

/* >>decode: WFI, WFE, WFIT, WFET (ESR_EL2, "WF* instruction": TI). Of AArch32 ones the condition would have
   to be looked at. */

static enum axvcpu_arm64_action axvcpu_i_arm64_wfx(const struct axvcpu_i_arm64_case *c)
{
    if ((c->t->pstate & AXVCPU_ARM64_PSTATE_AARCH32) != 0)
        return axvcpu_i_arm64_other(c);
    c->e->step = 4;
    (void)axvcpu_i_arm64_exit(c, AXVCPU_EXIT_HALT);
    c->x->flags = (c->t->esr & 3u) != 0 ? AXVCPU_ARM64_EXIT_YIELD : 0;
    return AXVCPU_ARM64_EXIT;
}

/* >>decode: system registers */

/* ICC_SGI1R_EL1 (IHI 0069, 12.2): Aff3, Aff2, Aff1, and 16 of Aff0's values from RS * 16 on. target is the
   MPIDR of the first of these, bit n of aux says that the CPU n further is meant. */
static enum axvcpu_arm64_action axvcpu_i_arm64_sgi(const struct axvcpu_i_arm64_case *c, uint64_t value)
{
    c->x->ipi.target = (value >> 48 & 0xffu) << 32 | (value >> 32 & 0xffu) << 16 | (value >> 16 & 0xffu) << 8 |
                       (value >> 44 & 0xfu) << 4;
    c->x->ipi.aux = value & 0xffffu;
    c->x->ipi.vector = (uint32_t)(value >> 24) & 0xfu;
    c->x->ipi.to_all = (value >> 40 & 1u) != 0; /* all but the sender: IRM */
    c->x->ipi.to_self = false;
    return axvcpu_i_arm64_exit(c, AXVCPU_EXIT_SEND_IPI);
}

static enum axvcpu_arm64_action axvcpu_i_arm64_sysreg(const struct axvcpu_i_arm64_case *c)
{
    uint32_t iss = AXVCPU_ARM64_ESR_ISS(c->t->esr), addr = iss & AXVCPU_ARM64_ISS_SYSREG;
    uint32_t rt = iss >> AXVCPU_ARM64_ISS_RT_SHIFT & 31u;
    bool read = (iss & AXVCPU_ARM64_ISS_READ) != 0;
    bool sgi = addr == AXVCPU_ARM64_ICC_SGI1R || addr == AXVCPU_ARM64_ICC_ASGI1R || addr == AXVCPU_ARM64_ICC_SGI0R;

    if (sgi && read) /* they can only be written */
        return axvcpu_i_arm64_undefined(c);
    c->e->step = 4;
    if (sgi)
        return axvcpu_i_arm64_sgi(c, axvcpu_i_arm64_gpr(c, rt));
    c->x->sysreg.addr = addr;
    c->x->sysreg.reg = rt;
    c->x->sysreg.value = read ? 0 : axvcpu_i_arm64_gpr(c, rt);
    return axvcpu_i_arm64_exit(c, read ? AXVCPU_EXIT_SYSREG_READ : AXVCPU_EXIT_SYSREG_WRITE);
}

/* >>decode: aborts */

enum axvcpu_i_arm64_fault { AXVCPU_I_ARM64_UNMAPPED, AXVCPU_I_ARM64_FLAG, AXVCPU_I_ARM64_PERMISSION, AXVCPU_I_ARM64_FOREIGN };

/* An address behind the second stage's range is one without a mapping. What is not about mappings at all
   (external, parity, alignment, TLB conflict, exclusives) is foreign to us. */
static enum axvcpu_i_arm64_fault axvcpu_i_arm64_fault_kind(uint32_t iss)
{
    uint32_t fsc = iss & AXVCPU_ARM64_ISS_FSC;

    if (fsc == AXVCPU_ARM64_FSC_ADDRESS_SIZE_M1 || fsc == AXVCPU_ARM64_FSC_TRANSLATION_M1)
        return AXVCPU_I_ARM64_UNMAPPED;
    switch (fsc & ~3u) {
    case AXVCPU_ARM64_FSC_ADDRESS_SIZE:
    case AXVCPU_ARM64_FSC_TRANSLATION: return AXVCPU_I_ARM64_UNMAPPED;
    case AXVCPU_ARM64_FSC_ACCESS_FLAG: return AXVCPU_I_ARM64_FLAG;
    case AXVCPU_ARM64_FSC_PERMISSION: return AXVCPU_I_ARM64_PERMISSION;
    default: return AXVCPU_I_ARM64_FOREIGN;
    }
}

/* HPFAR_EL2 has bits 51-12 of the address from bit 4 on. FAR_EL2 has the rest, unless FnV, and unless the
   guest's own page walk was at another address than the access that it was for. */
static uint64_t axvcpu_i_arm64_gpa(const struct axvcpu_arm64_trap *t)
{
    uint64_t page = (t->hpfar & UINT64_C(0xffffffffff0)) << 8;

    return (t->esr & (AXVCPU_ARM64_ISS_FNV | AXVCPU_ARM64_ISS_S1PTW)) != 0 ? page : page | (t->far & 0xfffu);
}

/* HPFAR_EL2 is not written by a permission fault, except in a page walk. */
static bool axvcpu_i_arm64_gpa_unknown(const struct axvcpu_arm64_trap *t)
{
    return axvcpu_i_arm64_fault_kind(AXVCPU_ARM64_ESR_ISS(t->esr)) == AXVCPU_I_ARM64_PERMISSION &&
           (t->esr & AXVCPU_ARM64_ISS_S1PTW) == 0 && (t->flags & AXVCPU_ARM64_HAS_IPA) == 0;
}

static enum axvcpu_arm64_action axvcpu_i_arm64_page_fault(const struct axvcpu_i_arm64_case *c, uint32_t access)
{
    bool walk = (c->t->esr & AXVCPU_ARM64_ISS_S1PTW) != 0;

    c->x->fault.addr = axvcpu_i_arm64_gpa(c->t);
    c->x->fault.access = walk ? AXVCPU_ACCESS_WALK | (access & ~AXVCPU_ACCESS_EXEC) : access;
    if (c->x->fault.access == AXVCPU_ACCESS_WALK)
        c->x->fault.access |= AXVCPU_ACCESS_READ;
    return axvcpu_i_arm64_exit(c, AXVCPU_EXIT_NESTED_PAGE_FAULT);
}

static enum axvcpu_arm64_action axvcpu_i_arm64_undecoded(const struct axvcpu_i_arm64_case *c)
{
    uint32_t i;

    c->x->undecoded.addr = axvcpu_i_arm64_gpa(c->t);
    c->x->undecoded.syndrome = c->t->esr;
    c->x->undecoded.insn_len = (c->t->flags & AXVCPU_ARM64_HAS_INSN) != 0 ? 4 : 0;
    AXVCPU_MEMSET(c->x->undecoded.insn, 0, sizeof(c->x->undecoded.insn));
    for (i = 0; i < c->x->undecoded.insn_len; i++)
        c->x->undecoded.insn[i] = (uint8_t)(c->t->insn >> i * 8);
    return axvcpu_i_arm64_exit(c, AXVCPU_EXIT_UNDECODED);
}

static enum axvcpu_arm64_action axvcpu_i_arm64_mmio(const struct axvcpu_i_arm64_case *c)
{
    uint32_t iss = AXVCPU_ARM64_ESR_ISS(c->t->esr), width = 1u << (iss >> AXVCPU_ARM64_ISS_SAS_SHIFT & 3u);
    uint32_t srt = iss >> AXVCPU_ARM64_ISS_SRT_SHIFT & 31u;
    uint64_t value = axvcpu_i_arm64_gpr(c, srt);

    c->e->step = 4;
    c->x->mmio.addr = axvcpu_i_arm64_gpa(c->t);
    c->x->mmio.data = width == 8 ? value : value & ((UINT64_C(1) << width * 8) - 1);
    c->x->mmio.width = width;
    c->x->mmio.reg = srt;
    c->x->mmio.reg_width = (iss & AXVCPU_ARM64_ISS_SF) != 0 ? 8 : 4;
    c->x->mmio.sign_extend = (iss & AXVCPU_ARM64_ISS_SSE) != 0;
    return axvcpu_i_arm64_exit(c, (iss & AXVCPU_ARM64_ISS_WNR) != 0 ? AXVCPU_EXIT_MMIO_WRITE : AXVCPU_EXIT_MMIO_READ);
}

/* Without ISV the syndrome does not say what the access was (pairs, writeback, SIMD, exclusives); of an
   AArch32 one we would have to advance more than the PC. */
static bool axvcpu_i_arm64_decodable(const struct axvcpu_arm64_trap *t)
{
    return (t->esr & AXVCPU_ARM64_ISS_ISV) != 0 && (t->esr & AXVCPU_ARM64_ISS_FNV) == 0 &&
           (t->pstate & AXVCPU_ARM64_PSTATE_AARCH32) == 0;
}

static enum axvcpu_arm64_action axvcpu_i_arm64_data(const struct axvcpu_i_arm64_case *c)
{
    uint32_t iss = AXVCPU_ARM64_ESR_ISS(c->t->esr);
    enum axvcpu_i_arm64_fault kind = axvcpu_i_arm64_fault_kind(iss);
    bool write = (iss & AXVCPU_ARM64_ISS_WNR) != 0, cache = (iss & AXVCPU_ARM64_ISS_CM) != 0;

    if (kind == AXVCPU_I_ARM64_FOREIGN)
        return axvcpu_i_arm64_other(c);
    if (axvcpu_i_arm64_gpa_unknown(c->t))
        return AXVCPU_ARM64_TRANSLATE;
    if ((iss & AXVCPU_ARM64_ISS_S1PTW) != 0 || kind == AXVCPU_I_ARM64_FLAG ||
        (kind == AXVCPU_I_ARM64_PERMISSION && (!write || cache)))
        return axvcpu_i_arm64_page_fault(c, write ? AXVCPU_ACCESS_WRITE : AXVCPU_ACCESS_READ);
    if (cache && (c->t->pstate & AXVCPU_ARM64_PSTATE_AARCH32) == 0) { /* a device has no cache */
        c->e->step = 4;
        return AXVCPU_ARM64_RESUME;
    }
    return axvcpu_i_arm64_decodable(c->t) ? axvcpu_i_arm64_mmio(c) : axvcpu_i_arm64_undecoded(c);
}

static enum axvcpu_arm64_action axvcpu_i_arm64_fetch(const struct axvcpu_i_arm64_case *c)
{
    if (axvcpu_i_arm64_fault_kind(AXVCPU_ARM64_ESR_ISS(c->t->esr)) == AXVCPU_I_ARM64_FOREIGN)
        return axvcpu_i_arm64_other(c);
    return axvcpu_i_arm64_gpa_unknown(c->t) ? AXVCPU_ARM64_TRANSLATE : axvcpu_i_arm64_page_fault(c, AXVCPU_ACCESS_EXEC);
}

static enum axvcpu_arm64_action axvcpu_i_arm64_debug(const struct axvcpu_i_arm64_case *c)
{
    c->x->debug.pc = c->t->pc;
    c->x->debug.status = c->t->esr;
    return axvcpu_i_arm64_exit(c, AXVCPU_EXIT_DEBUG);
}

static enum axvcpu_arm64_action axvcpu_i_arm64_raw(const struct axvcpu_i_arm64_case *c)
{
    return axvcpu_i_arm64_exit(c, AXVCPU_EXIT_RAW);
}

typedef enum axvcpu_arm64_action (*axvcpu_i_arm64_fn)(const struct axvcpu_i_arm64_case *);

static enum axvcpu_arm64_action axvcpu_i_arm64_call(const struct axvcpu_i_arm64_case *c)
{
    return axvcpu_arm64_smccc_call(c->t, c->gpr, c->x, c->e);
}

AXVCPU_API enum axvcpu_arm64_action axvcpu_arm64_decode(const struct axvcpu_arm64_trap *t, const uint64_t gpr[31],
                                                        struct axvcpu_exit *x, struct axvcpu_arm64_effect *e)
{
#define AXVCPU_I_ARM64_WFX axvcpu_i_arm64_wfx
#define AXVCPU_I_ARM64_CALL axvcpu_i_arm64_call
#define AXVCPU_I_ARM64_SYSREG axvcpu_i_arm64_sysreg
#define AXVCPU_I_ARM64_FETCH axvcpu_i_arm64_fetch
#define AXVCPU_I_ARM64_DATA axvcpu_i_arm64_data
#define AXVCPU_I_ARM64_DEBUG axvcpu_i_arm64_debug
#define AXVCPU_I_ARM64_OTHER axvcpu_i_arm64_other
#define AXVCPU_I_ARM64_RAW axvcpu_i_arm64_raw
#define AXVCPU_I_ARM64_EC(name, value, what) [value] = AXVCPU_I_ARM64_##what,
    static const axvcpu_i_arm64_fn by_class[AXVCPU_ARM64_EC_COUNT] = { AXVCPU_ARM64_ECS(AXVCPU_I_ARM64_EC) };
    const struct axvcpu_i_arm64_case c = { t, gpr, x, e };
    axvcpu_i_arm64_fn fn = by_class[AXVCPU_ARM64_ESR_EC(t->esr)];

    AXVCPU_MEMSET(e, 0, sizeof(*e));
    if (t->vector == AXVCPU_ARM64_ERROR)
        return axvcpu_i_arm64_other(&c);
    if (t->vector != AXVCPU_ARM64_SYNC) {
        x->irq.vector = AXVCPU_NO_VECTOR;
        return axvcpu_i_arm64_exit(&c, AXVCPU_EXIT_EXTERNAL_INTERRUPT);
    }
    return fn != NULL ? fn(&c) : axvcpu_i_arm64_raw(&c);
}

/* >>decode: SMCCC and PSCI. A call is answered here, or it becomes an exit with an answer in place that is
   right unless somebody gives a better one. */

static enum axvcpu_arm64_action axvcpu_i_arm64_answer(const struct axvcpu_i_arm64_case *c, int64_t x0)
{
    c->e->sets |= AXVCPU_ARM64_SETS_X0;
    c->e->x0 = (uint64_t)x0;
    return AXVCPU_ARM64_RESUME;
}

static enum axvcpu_arm64_action axvcpu_i_arm64_answered(const struct axvcpu_i_arm64_case *c, uint32_t kind, int64_t x0)
{
    (void)axvcpu_i_arm64_answer(c, x0);
    return axvcpu_i_arm64_exit(c, kind);
}

static enum axvcpu_arm64_action axvcpu_i_arm64_hypercall(const struct axvcpu_i_arm64_case *c)
{
    c->x->hypercall.nr = c->gpr[0];
    AXVCPU_MEMCPY(c->x->hypercall.args, &c->gpr[1], sizeof(c->x->hypercall.args));
    return axvcpu_i_arm64_exit(c, AXVCPU_EXIT_HYPERCALL);
}

/* Argument n: of a 32-bit call the lower half (DEN 0028, 2.6). */
static uint64_t axvcpu_i_arm64_arg(const struct axvcpu_i_arm64_case *c, uint32_t n)
{
    return (c->gpr[0] & AXVCPU_ARM64_SMCCC_64) != 0 ? c->gpr[n] : (uint32_t)c->gpr[n];
}

static enum axvcpu_arm64_action axvcpu_i_arm64_cpu_on(const struct axvcpu_i_arm64_case *c)
{
    if ((axvcpu_i_arm64_arg(c, 2) & 3u) != 0)
        return axvcpu_i_arm64_answer(c, AXVCPU_ARM64_PSCI_INVALID_ADDRESS);
    c->x->cpu_up.target = axvcpu_i_arm64_arg(c, 1) & AXVCPU_ARM64_MPIDR_AFFINITY;
    c->x->cpu_up.entry = axvcpu_i_arm64_arg(c, 2);
    c->x->cpu_up.arg = axvcpu_i_arm64_arg(c, 3);
    return axvcpu_i_arm64_answered(c, AXVCPU_EXIT_CPU_UP, AXVCPU_ARM64_PSCI_SUCCESS);
}

/* It returns only when it is denied. */
static enum axvcpu_arm64_action axvcpu_i_arm64_cpu_off(const struct axvcpu_i_arm64_case *c)
{
    c->x->cpu_down.state = 0;
    return axvcpu_i_arm64_answered(c, AXVCPU_EXIT_CPU_DOWN, AXVCPU_ARM64_PSCI_DENIED);
}

/* Standby is a WFI. A power-down state goes on as a CPU that starts, at the given address. */
static enum axvcpu_arm64_action axvcpu_i_arm64_cpu_suspend(const struct axvcpu_i_arm64_case *c)
{
    uint32_t state = (uint32_t)c->gpr[1];
    bool down = (state & AXVCPU_ARM64_PSCI_POWER_DOWN) != 0;

    if ((state & AXVCPU_ARM64_PSCI_POWER_RESERVED) != 0)
        return axvcpu_i_arm64_answer(c, AXVCPU_ARM64_PSCI_INVALID_PARAMETERS);
    if (down && (axvcpu_i_arm64_arg(c, 2) & 3u) != 0)
        return axvcpu_i_arm64_answer(c, AXVCPU_ARM64_PSCI_INVALID_ADDRESS);
    (void)axvcpu_i_arm64_answered(c, AXVCPU_EXIT_HALT, AXVCPU_ARM64_PSCI_SUCCESS);
    if (down) {
        c->e->step = 0;
        c->e->sets |= AXVCPU_ARM64_SETS_START;
        c->e->pc = axvcpu_i_arm64_arg(c, 2);
        c->e->x0 = axvcpu_i_arm64_arg(c, 3);
    }
    return AXVCPU_ARM64_EXIT;
}

/* Only the VM knows the other CPUs. Levels above 0 are optional (5.7.2), and we have no clusters. */
static enum axvcpu_arm64_action axvcpu_i_arm64_affinity_info(const struct axvcpu_i_arm64_case *c)
{
    if (axvcpu_i_arm64_arg(c, 2) != 0)
        return axvcpu_i_arm64_answer(c, AXVCPU_ARM64_PSCI_INVALID_PARAMETERS);
    (void)axvcpu_i_arm64_answer(c, AXVCPU_ARM64_PSCI_INVALID_PARAMETERS);
    (void)axvcpu_i_arm64_hypercall(c);
    c->x->hypercall.nr = AXVCPU_ARM64_PSCI_AFFINITY_INFO;
    c->x->hypercall.args[0] = axvcpu_i_arm64_arg(c, 1) & AXVCPU_ARM64_MPIDR_AFFINITY;
    return AXVCPU_ARM64_EXIT;
}

static enum axvcpu_arm64_action axvcpu_i_arm64_down(const struct axvcpu_i_arm64_case *c, uint32_t reason)
{
    c->x->system.reason = reason;
    return axvcpu_i_arm64_answered(c, AXVCPU_EXIT_SYSTEM_DOWN, AXVCPU_ARM64_PSCI_INTERNAL_FAILURE);
}

static enum axvcpu_arm64_action axvcpu_i_arm64_system_off(const struct axvcpu_i_arm64_case *c)
{
    return axvcpu_i_arm64_down(c, AXVCPU_SYSTEM_OFF);
}

static enum axvcpu_arm64_action axvcpu_i_arm64_system_reset(const struct axvcpu_i_arm64_case *c)
{
    return axvcpu_i_arm64_down(c, AXVCPU_SYSTEM_RESET);
}

/* Type 0 is a warm reset, the others are reserved or a vendor's (5.12). */
static enum axvcpu_arm64_action axvcpu_i_arm64_system_reset2(const struct axvcpu_i_arm64_case *c)
{
    return (uint32_t)c->gpr[1] == 0 ? axvcpu_i_arm64_down(c, AXVCPU_SYSTEM_RESET) :
                                      axvcpu_i_arm64_answer(c, AXVCPU_ARM64_PSCI_INVALID_PARAMETERS);
}

static enum axvcpu_arm64_action axvcpu_i_arm64_features(const struct axvcpu_i_arm64_case *c);

/* The calls that there are: by identifier, without its width. A call without function has a constant
   answer. BOTH: it also exists as a 64-bit call. */
#define AXVCPU_I_ARM64_BOTH AXVCPU_ARM64_SMCCC_64
struct axvcpu_i_arm64_row {
    uint32_t id, wide;
    int32_t answer;
    axvcpu_i_arm64_fn call;
};

static const struct axvcpu_i_arm64_row axvcpu_i_arm64_rows[] = {
    { 0x80000000u, 0, AXVCPU_ARM64_SMCCC_VERSION, NULL },             /* SMCCC_VERSION */
    { 0x80000001u, 0, 0, axvcpu_i_arm64_features },                   /* SMCCC_ARCH_FEATURES */
    { 0x84000000u, 0, AXVCPU_ARM64_PSCI_VERSION, NULL },              /* PSCI_VERSION */
    { 0x84000001u, AXVCPU_I_ARM64_BOTH, 0, axvcpu_i_arm64_cpu_suspend },
    { 0x84000002u, 0, 0, axvcpu_i_arm64_cpu_off },
    { 0x84000003u, AXVCPU_I_ARM64_BOTH, 0, axvcpu_i_arm64_cpu_on },
    { AXVCPU_ARM64_PSCI_AFFINITY_INFO, AXVCPU_I_ARM64_BOTH, 0, axvcpu_i_arm64_affinity_info },
    { 0x84000006u, 0, AXVCPU_ARM64_PSCI_NO_MIGRATION, NULL },         /* MIGRATE_INFO_TYPE */
    { 0x84000008u, 0, 0, axvcpu_i_arm64_system_off },
    { 0x84000009u, 0, 0, axvcpu_i_arm64_system_reset },
    { 0x8400000au, 0, 0, axvcpu_i_arm64_features },                   /* PSCI_FEATURES */
    { 0x84000012u, AXVCPU_I_ARM64_BOTH, 0, axvcpu_i_arm64_system_reset2 },
};

static const struct axvcpu_i_arm64_row *axvcpu_i_arm64_find(uint32_t id)
{
    const struct axvcpu_i_arm64_row *row = axvcpu_i_arm64_rows;
    const struct axvcpu_i_arm64_row *end = row + sizeof(axvcpu_i_arm64_rows) / sizeof(*row);

    for (; row < end; row++) {
        if (id == row->id || id == (row->id | row->wide))
            return row;
    }
    return NULL;
}

/* PSCI_FEATURES and SMCCC_ARCH_FEATURES: each knows the functions of its own owner, and PSCI's also
   SMCCC_VERSION (5.15). No function here has a feature flag: CPU_SUSPEND has the original format. */
static enum axvcpu_arm64_action axvcpu_i_arm64_features(const struct axvcpu_i_arm64_case *c)
{
    uint32_t id = (uint32_t)c->gpr[1];
    bool ours = id == 0x80000000u || AXVCPU_ARM64_SMCCC_OWNER(id) == AXVCPU_ARM64_SMCCC_OWNER(c->gpr[0]);

    return axvcpu_i_arm64_answer(c, ours && axvcpu_i_arm64_find(id) != NULL ? 0 : AXVCPU_ARM64_SMCCC_NOT_SUPPORTED);
}

/* Whose calls are ours to answer, whatever they are: those of the architecture, the CPU, the standard
   services (PSCI) and the standard hypervisor services (DEN 0028, table 6-1). */
#define AXVCPU_I_ARM64_OURS (1u << 0 | 1u << 1 | 1u << 4 | 1u << 5)
static bool axvcpu_i_arm64_is_ours(uint32_t id)
{
    uint32_t owner = AXVCPU_ARM64_SMCCC_OWNER(id);

    return (id & AXVCPU_ARM64_SMCCC_FAST) != 0 && owner < 32 && (AXVCPU_I_ARM64_OURS >> owner & 1u) != 0;
}

/* ELR_EL2 is behind an HVC, but on a trapped SMC. What is nobody's standard goes to the caller; if that
   was an SMC, to firmware that is not there, the guest finds NOT_SUPPORTED unless it is answered. */
AXVCPU_API enum axvcpu_arm64_action axvcpu_arm64_smccc_call(const struct axvcpu_arm64_trap *t, const uint64_t gpr[31],
                                                            struct axvcpu_exit *x, struct axvcpu_arm64_effect *e)
{
    const struct axvcpu_i_arm64_case c = { t, gpr, x, e };
    bool smc = AXVCPU_ARM64_ESR_EC(t->esr) == AXVCPU_ARM64_EC_SMC64;
    uint32_t id = (uint32_t)gpr[0] & ~AXVCPU_ARM64_SMCCC_SVE_HINT;
    const struct axvcpu_i_arm64_row *row;

    AXVCPU_MEMSET(e, 0, sizeof(*e));
    e->step = smc ? 4 : 0;
    if (smc)
        (void)axvcpu_i_arm64_answer(&c, AXVCPU_ARM64_SMCCC_NOT_SUPPORTED);
    if ((t->esr & 0xffffu) != 0 || !axvcpu_i_arm64_is_ours(id))
        return axvcpu_i_arm64_hypercall(&c);
    row = axvcpu_i_arm64_find(id);
    if (row == NULL)
        return axvcpu_i_arm64_answer(&c, AXVCPU_ARM64_SMCCC_NOT_SUPPORTED);
    return row->call != NULL ? row->call(&c) : axvcpu_i_arm64_answer(&c, row->answer);
}

/* >>decode: exceptions of the guest's own */

AXVCPU_API uint64_t axvcpu_arm64_fault(uint64_t pstate, bool memory, bool write)
{
    bool same = (pstate & AXVCPU_ARM64_PSTATE_EL) != 0;
    uint32_t ec = same ? AXVCPU_ARM64_EC_DATA_SAME : AXVCPU_ARM64_EC_DATA;

    if (!memory)
        return AXVCPU_ARM64_ESR(AXVCPU_ARM64_EC_UNKNOWN, AXVCPU_ARM64_ESR_IL);
    return AXVCPU_ARM64_ESR(ec, AXVCPU_ARM64_ESR_IL | AXVCPU_ARM64_FSC_EXTERNAL | (write ? AXVCPU_ARM64_ISS_WNR : 0));
}

/* DDI 0487, AArch64.TakeException: where from decides the vector; NZCV and DIT stay; PAN by SPAN; SSBS by
   DSSBS; tag checks are off. Bits of features that the CPU lacks are RES0 in its SPSR, and ignored. */
AXVCPU_API void axvcpu_arm64_take(struct axvcpu_arm64_el1 *s, uint64_t esr, uint64_t far)
{
    uint64_t old = s->pstate;
    uint64_t offset = (old & AXVCPU_ARM64_PSTATE_AARCH32) != 0                     ? 0x600 :
                      (old & AXVCPU_ARM64_PSTATE_EL) == 0                          ? 0x400 :
                      (old & AXVCPU_ARM64_PSTATE_SP) != 0                          ? 0x200 :
                                                                                     0;

    s->elr = s->pc;
    s->spsr = old;
    s->esr = esr;
    s->far = far;
    s->pc = (s->vbar & ~UINT64_C(0x7ff)) + offset;
    s->pstate = (old & (AXVCPU_ARM64_PSTATE_NZCV | AXVCPU_ARM64_PSTATE_DIT | AXVCPU_ARM64_PSTATE_PAN)) |
                AXVCPU_ARM64_PSTATE_TCO | AXVCPU_ARM64_PSTATE_DAIF | AXVCPU_ARM64_PSTATE_EL1H;
    if ((s->sctlr & AXVCPU_ARM64_SCTLR_SPAN) == 0)
        s->pstate |= AXVCPU_ARM64_PSTATE_PAN;
    if ((s->sctlr & AXVCPU_ARM64_SCTLR_DSSBS) != 0)
        s->pstate |= AXVCPU_ARM64_PSTATE_SSBS;
}

AXVCPU_I_C_END

#endif /* AXVCPU_IMPLEMENTATION */
