// SPDX-License-Identifier: Apache-2.0
//
// Traps as the CPU reports them, and what the decoder makes of them: the encodings of DDI 0487, ESR_EL2,
// class by class. The numbers are written out as the manual has them, not by the header's names.
#include "decode.h"
#include "tests/tap.h"

#define VA 0xffff00001234567au
#define GPA 0x0a01267au
#define HPFAR(gpa) ((uint64_t)(gpa) >> 12 << 4)
#define ESR(ec, iss) ((uint64_t)(ec) << 26 | 1u << 25 | (iss))
enum { EL0 = 0x0, EL1 = 0x5, AARCH32 = 0x10, INSN = 1, HAS_IPA = 2, YIELD = 0x100 };

// ISS of a data abort: ISV, SAS, SSE, SRT, SF and the rest.
#define ISV(sas, sse, srt, sf, rest) (1u << 24 | (sas) << 22 | (sse) << 21 | (srt) << 16 | (sf) << 15 | (rest))
enum { FNV = 1 << 10, EA = 1 << 9, CM = 1 << 8, S1PTW = 1 << 7, WNR = 1 << 6 };
// ISS of MSR and MRS: Op0 21-20, Op2 19-17, Op1 16-14, CRn 13-10, Rt 9-5, CRm 4-1, direction 0.
#define SYS(op0, op1, crn, crm, op2) ((op0) << 20 | (op2) << 17 | (op1) << 14 | (crn) << 10 | (crm) << 1)
#define MRS(rt, reg) ((reg) | (rt) << 5 | 1)
#define MSR(rt, reg) ((reg) | (rt) << 5)
#define SCTLR_EL1 SYS(3u, 0u, 1u, 0u, 0u)
#define CNTP_CTL_EL0 SYS(3u, 3u, 14u, 2u, 1u)
#define DC_CISW SYS(1u, 0u, 7u, 14u, 2u)
#define SGI1R SYS(3u, 0u, 12u, 11u, 5u)
#define ASGI1R SYS(3u, 0u, 12u, 11u, 6u)
#define SGI0R SYS(3u, 0u, 12u, 11u, 7u)

static uint64_t gpr[31];

struct given {
    uint64_t esr, pstate;
    uint32_t vector, flags;
    uint64_t hpfar;
};
struct expected {
    enum axvcpu_arm64_action action;
    uint32_t kind, step, flags;
    uint64_t a, b, c; // see check_exit
};
struct row {
    const char *name;
    struct given given;
    struct expected expected;
};

#define SYNC(ec, iss) {ESR(ec, iss), EL1, 0, 0, HPFAR(GPA)}
#define SYNC_(ec, iss, pstate, flags) {ESR(ec, iss), pstate, 0, flags, HPFAR(GPA)}
#define VECTOR(n, esr) {esr, EL1, n, 0, HPFAR(GPA)}
#define EXIT(kind, step, ...) {AXVCPU_ARM64_EXIT, AXVCPU_EXIT_##kind, step, 0, __VA_ARGS__}
#define HALT_WITH(flags) {AXVCPU_ARM64_EXIT, AXVCPU_EXIT_HALT, 4, flags, 0, 0, 0}
#define OTHER(ec, iss, addr) EXIT(EXCEPTION, 0, ec, iss, addr)
#define RAW EXIT(RAW, 0, 0, 0, 0)
#define DEBUG EXIT(DEBUG, 0, 0x1000, 0, 0)
#define SHAPE(reg, reg_width, width, sign) ((reg) << 16 | (reg_width) << 8 | (width) << 1 | (sign))
#define READ(reg, reg_width, width, sign) EXIT(MMIO_READ, 4, GPA, SHAPE(reg, reg_width, width, sign), 0)
#define WRITE(reg, reg_width, width, data) EXIT(MMIO_WRITE, 4, GPA, SHAPE(reg, reg_width, width, 0), data)
#define FAULT(addr, access) EXIT(NESTED_PAGE_FAULT, 0, addr, access, 0)
#define UNDECODED(addr, length) EXIT(UNDECODED, 0, addr, length, 0)
#define TRANSLATE {AXVCPU_ARM64_TRANSLATE, 0, 0, 0, 0, 0, 0}
#define RESUME(step) {AXVCPU_ARM64_RESUME, 0, step, 0, 0, 0, 0}
#define UNDEF {AXVCPU_ARM64_TRAP, 0, 0, 0, 1u << 25, 0, 0}

static const struct row rows[] = {
    // the four vectors
    {"IRQ", VECTOR(1, ESR(0x16, 0)), EXIT(EXTERNAL_INTERRUPT, 0, AXVCPU_NO_VECTOR, 0, 0)},
    {"FIQ", VECTOR(2, ESR(0x16, 0)), EXIT(EXTERNAL_INTERRUPT, 0, AXVCPU_NO_VECTOR, 0, 0)},
    {"SError", VECTOR(3, ESR(0x2f, 0x1000011)), OTHER(0x2f, 0x1000011, 0)},
    {"SError, and the ESR of something before", VECTOR(3, ESR(0x24, 7)), OTHER(0x2f, 7, 0)},

    // every class
    {"0x00 unknown", SYNC(0x00, 0), OTHER(0, 0, 0)},
    {"0x01 WFI", SYNC(0x01, 0x1e00000), HALT_WITH(0)},
    {"0x01 WFE", SYNC(0x01, 0x1e00001), HALT_WITH(YIELD)},
    {"0x01 WFIT", SYNC(0x01, 0x1e00002), HALT_WITH(YIELD)},
    {"0x01 WFET", SYNC(0x01, 0x1e00003), HALT_WITH(YIELD)},
    {"0x01 WFI at EL0", SYNC_(0x01, 0x1e00000, EL0, 0), HALT_WITH(0)},
    {"0x01 WFI of AArch32", SYNC_(0x01, 0x1e00000, AARCH32, 0), OTHER(0x01, 0x1e00000, 0)},
    {"0x02 is reserved", SYNC(0x02, 0), RAW},
    {"0x03 MCR, MRC to CP15", SYNC_(0x03, 0x123, AARCH32, 0), OTHER(0x03, 0x123, 0)},
    {"0x04 MCRR, MRRC to CP15", SYNC_(0x04, 0x123, AARCH32, 0), OTHER(0x04, 0x123, 0)},
    {"0x05 MCR, MRC to CP14", SYNC_(0x05, 0x123, AARCH32, 0), OTHER(0x05, 0x123, 0)},
    {"0x06 LDC, STC to CP14", SYNC_(0x06, 0x123, AARCH32, 0), OTHER(0x06, 0x123, 0)},
    {"0x07 FP or SIMD", SYNC(0x07, 0x1e00000), OTHER(0x07, 0x1e00000, 0)},
    {"0x08 VMRS", SYNC_(0x08, 0x123, AARCH32, 0), OTHER(0x08, 0x123, 0)},
    {"0x09 pointer authentication", SYNC(0x09, 0), OTHER(0x09, 0, 0)},
    {"0x0a ld64b", SYNC(0x0a, 1), OTHER(0x0a, 1, 0)},
    {"0x0c MRRC to CP14", SYNC_(0x0c, 0x123, AARCH32, 0), OTHER(0x0c, 0x123, 0)},
    {"0x0d branch target", SYNC(0x0d, 2), OTHER(0x0d, 2, 0)},
    {"0x0e illegal state", SYNC(0x0e, 0), OTHER(0x0e, 0, 0)},
    {"0x11 SVC of AArch32", SYNC_(0x11, 5, AARCH32, 0), OTHER(0x11, 5, 0)},
    {"0x12 HVC of AArch32", SYNC_(0x12, 5, AARCH32, 0), OTHER(0x12, 5, 0)},
    {"0x13 SMC of AArch32", SYNC_(0x13, 5, AARCH32, 0), OTHER(0x13, 5, 0)},
    {"0x15 SVC", SYNC_(0x15, 5, EL0, 0), OTHER(0x15, 5, 0)},
    {"0x19 SVE", SYNC(0x19, 0), OTHER(0x19, 0, 0)},
    {"0x1a ERET", SYNC(0x1a, 2), OTHER(0x1a, 2, 0)},
    {"0x1b TSTART", SYNC(0x1b, 0), OTHER(0x1b, 0, 0)},
    {"0x1c a pointer that is not authentic", SYNC(0x1c, 1), OTHER(0x1c, 1, 0)},
    {"0x1d SME", SYNC(0x1d, 0), OTHER(0x1d, 0, 0)},
    {"0x21 is no guest's", SYNC(0x21, 7), RAW},
    {"0x22 PC alignment", SYNC(0x22, 0), OTHER(0x22, 0, VA)},
    {"0x25 is no guest's", SYNC(0x25, 7), RAW},
    {"0x26 SP alignment", SYNC(0x26, 0), OTHER(0x26, 0, 0)},
    {"0x27 memory copy", SYNC(0x27, 0), OTHER(0x27, 0, 0)},
    {"0x28 FP exception of AArch32", SYNC_(0x28, 1, AARCH32, 0), OTHER(0x28, 1, 0)},
    {"0x2c FP exception", SYNC(0x2c, 0x800001), OTHER(0x2c, 0x800001, 0)},
    {"0x2d guarded control stack", SYNC(0x2d, 0), OTHER(0x2d, 0, 0)},
    {"0x2f SError by its class", SYNC(0x2f, 0x11), OTHER(0x2f, 0x11, 0)},
    {"0x30 breakpoint", SYNC(0x30, 0x22), DEBUG},
    {"0x31 is no guest's", SYNC(0x31, 0x22), RAW},
    {"0x32 single step", SYNC(0x32, 0x22), DEBUG},
    {"0x33 is no guest's", SYNC(0x33, 0x22), RAW},
    {"0x34 watchpoint", SYNC(0x34, 0x22), DEBUG},
    {"0x35 is no guest's", SYNC(0x35, 0x22), RAW},
    {"0x38 BKPT of AArch32", SYNC_(0x38, 1, AARCH32, 0), DEBUG},
    {"0x3a vector catch of AArch32", SYNC_(0x3a, 0x22, AARCH32, 0), DEBUG},
    {"0x3c BRK", SYNC(0x3c, 0x800), DEBUG},
    {"0x3f is reserved", SYNC(0x3f, 0), RAW},

    // 0x18: system registers
    {"mrs x5, sctlr_el1", SYNC(0x18, MRS(5, SCTLR_EL1)), EXIT(SYSREG_READ, 4, 0x300400, 5, 0)},
    {"msr sctlr_el1, x5", SYNC(0x18, MSR(5, SCTLR_EL1)), EXIT(SYSREG_WRITE, 4, 0x300400, 5, 0x8585858585858585)},
    {"mrs xzr, cntp_ctl_el0", SYNC(0x18, MRS(31, CNTP_CTL_EL0)), EXIT(SYSREG_READ, 4, 0x32f804, 31, 0)},
    {"msr cntp_ctl_el0, xzr", SYNC(0x18, MSR(31, CNTP_CTL_EL0)), EXIT(SYSREG_WRITE, 4, 0x32f804, 31, 0)},
    {"dc cisw, x30", SYNC(0x18, MSR(30, DC_CISW)), EXIT(SYSREG_WRITE, 4, 0x141c1c, 30, 0x9e9e9e9e9e9e9e9e)},
    {"mrs x0, icc_sgi1r_el1 does not exist", SYNC(0x18, MRS(0, SGI1R)), UNDEF},
    {"mrs x0, icc_sgi0r_el1 does not exist", SYNC(0x18, MRS(0, SGI0R)), UNDEF},

    // 0x20: instruction aborts
    {"fetch without a mapping, level 0", SYNC(0x20, 0x04), FAULT(GPA, 4)},
    {"fetch without a mapping, level 3", SYNC(0x20, 0x07), FAULT(GPA, 4)},
    {"fetch without a mapping, level -1", SYNC(0x20, 0x2b), FAULT(GPA, 4)},
    {"fetch behind the range", SYNC(0x20, 0x00), FAULT(GPA, 4)},
    {"fetch, access flag", SYNC(0x20, 0x0b), FAULT(GPA, 4)},
    {"fetch without the right", SYNC(0x20, 0x0f), TRANSLATE},
    {"fetch without the right, translated", SYNC_(0x20, 0x0f, EL1, HAS_IPA), FAULT(GPA, 4)},
    {"fetch, walk", SYNC(0x20, S1PTW | 0x07), FAULT(GPA & ~0xfffu, 1 | 8)},
    {"fetch, walk without the right", SYNC(0x20, S1PTW | 0x0f), FAULT(GPA & ~0xfffu, 1 | 8)},
    {"fetch, external abort", SYNC(0x20, EA | 0x10), OTHER(0x20, EA | 0x10, VA)},
    {"fetch, external abort, no FAR", SYNC(0x20, FNV | 0x10), OTHER(0x20, FNV | 0x10, 0)},

    // 0x24: data aborts
    {"ldr w5", SYNC(0x24, ISV(2u, 0u, 5u, 0u, 0x07)), READ(5, 4, 4, 0)},
    {"ldr x5", SYNC(0x24, ISV(3u, 0u, 5u, 1u, 0x07)), READ(5, 8, 8, 0)},
    {"ldrb w5", SYNC(0x24, ISV(0u, 0u, 5u, 0u, 0x06)), READ(5, 4, 1, 0)},
    {"ldrsb w5", SYNC(0x24, ISV(0u, 1u, 5u, 0u, 0x05)), READ(5, 4, 1, 1)},
    {"ldrsb x5", SYNC(0x24, ISV(0u, 1u, 5u, 1u, 0x04)), READ(5, 8, 1, 1)},
    {"ldrsh x30", SYNC(0x24, ISV(1u, 1u, 30u, 1u, 0x07)), READ(30, 8, 2, 1)},
    {"ldrsw x0", SYNC(0x24, ISV(2u, 1u, 0u, 1u, 0x07)), READ(0, 8, 4, 1)},
    {"ldr xzr", SYNC(0x24, ISV(3u, 0u, 31u, 1u, 0x07)), READ(31, 8, 8, 0)},
    {"strb w5", SYNC(0x24, ISV(0u, 0u, 5u, 0u, WNR | 0x07)), WRITE(5, 4, 1, 0x85)},
    {"strh w5", SYNC(0x24, ISV(1u, 0u, 5u, 0u, WNR | 0x07)), WRITE(5, 4, 2, 0x8585)},
    {"str w5", SYNC(0x24, ISV(2u, 0u, 5u, 0u, WNR | 0x07)), WRITE(5, 4, 4, 0x85858585)},
    {"str x5", SYNC(0x24, ISV(3u, 0u, 5u, 1u, WNR | 0x07)), WRITE(5, 8, 8, 0x8585858585858585)},
    {"str xzr", SYNC(0x24, ISV(3u, 0u, 31u, 1u, WNR | 0x07)), WRITE(31, 8, 8, 0)},
    {"stlr x5, AR", SYNC(0x24, ISV(3u, 0u, 5u, 1u, 1u << 14 | WNR | 0x07)), WRITE(5, 8, 8, 0x8585858585858585)},
    {"ldr w5 at EL0", SYNC_(0x24, ISV(2u, 0u, 5u, 0u, 0x07), EL0, 0), READ(5, 4, 4, 0)},
    {"ldr w5 behind the range", SYNC(0x24, ISV(2u, 0u, 5u, 0u, 0x00)), READ(5, 4, 4, 0)},
    {"ldr w5, level -1", SYNC(0x24, ISV(2u, 0u, 5u, 0u, 0x2b)), READ(5, 4, 4, 0)},
    {"ldr w5 of AArch32", SYNC_(0x24, ISV(2u, 0u, 5u, 0u, 0x07), AARCH32, 0), UNDECODED(GPA, 0)},
    {"ldr w5, access flag", SYNC(0x24, ISV(2u, 0u, 5u, 0u, 0x0b)), FAULT(GPA, 1)},
    {"str w5, access flag", SYNC(0x24, ISV(2u, 0u, 5u, 0u, WNR | 0x0b)), FAULT(GPA, 2)},
    {"str w5 to what is read-only", SYNC(0x24, ISV(2u, 0u, 5u, 0u, WNR | 0x0f)), TRANSLATE},
    {"str w5 to what is read-only, translated", SYNC_(0x24, ISV(2u, 0u, 5u, 0u, WNR | 0x0f), EL1, HAS_IPA),
     WRITE(5, 4, 4, 0x85858585)},
    {"stp to what is read-only, translated", SYNC_(0x24, WNR | 0x0f, EL1, HAS_IPA), UNDECODED(GPA, 0)},
    {"ldr w5 without the right, translated", SYNC_(0x24, ISV(2u, 0u, 5u, 0u, 0x0f), EL1, HAS_IPA), FAULT(GPA, 1)},
    {"walk for a load", SYNC(0x24, S1PTW | 0x06), FAULT(GPA & ~0xfffu, 1 | 8)},
    {"walk updates a descriptor", SYNC(0x24, S1PTW | WNR | 0x0f), FAULT(GPA & ~0xfffu, 2 | 8)},
    {"dc civac without a mapping", SYNC(0x24, CM | WNR | 0x07), RESUME(4)},
    {"dc civac without the right", SYNC_(0x24, CM | WNR | 0x0f, EL1, HAS_IPA), FAULT(GPA, 2)},
    {"external abort", SYNC(0x24, EA | 0x10), OTHER(0x24, EA | 0x10, VA)},
    {"external abort, no FAR", SYNC(0x24, FNV | 0x10), OTHER(0x24, FNV | 0x10, 0)},
    {"external abort with ISV", SYNC(0x24, ISV(2u, 0u, 5u, 0u, 0x10)), OTHER(0x24, ISV(2u, 0u, 5u, 0u, 0x10), VA)},
    {"external abort in a walk", SYNC(0x24, S1PTW | 0x15), OTHER(0x24, S1PTW | 0x15, VA)},
    {"parity", SYNC(0x24, 0x18), OTHER(0x24, 0x18, VA)},
    {"alignment", SYNC(0x24, 0x21), OTHER(0x24, 0x21, VA)},
    {"TLB conflict", SYNC(0x24, 0x30), OTHER(0x24, 0x30, VA)},
    {"exclusive where there is none", SYNC(0x24, 0x35), OTHER(0x24, 0x35, VA)},
    {"ldp, ldr with writeback, ldr q0: no ISV", SYNC(0x24, 0x07), UNDECODED(GPA, 0)},
    {"... with the instruction", SYNC_(0x24, 0x07, EL1, INSN), UNDECODED(GPA, 4)},
    {"no FAR, but a translation fault", SYNC(0x24, ISV(2u, 0u, 5u, 0u, FNV | 0x07)), UNDECODED(GPA & ~0xfffu, 0)},
    {"48 bits of address", {ESR(0x24, ISV(2u, 0u, 5u, 0u, 0x07)), EL1, 0, 0, HPFAR(0xfedcba987000)},
     {AXVCPU_ARM64_EXIT, AXVCPU_EXIT_MMIO_READ, 4, 0, 0xfedcba98767a, SHAPE(5, 4, 4, 0), 0}},
    {"HPFAR's other bits", {ESR(0x24, ISV(2u, 0u, 5u, 0u, 0x07)), EL1, 0, 0, HPFAR(GPA) | 1ull << 63 | 0xf},
     READ(5, 4, 4, 0)},
};

// What a row's a, b and c are of each kind.
static void check_exit(const struct row *r, const struct axvcpu_exit *x)
{
    const struct expected *e = &r->expected;
    if (!ok_str(axvcpu_exit_name(x->kind), axvcpu_exit_name(e->kind), "%s: kind", r->name))
        return;
    ok_u64(x->raw, (uint64_t)r->given.vector << 56 | r->given.esr, "%s: raw", r->name);
    ok_u64(x->flags, e->flags, "%s: flags", r->name);
    switch (x->kind) {
    case AXVCPU_EXIT_MMIO_READ:
    case AXVCPU_EXIT_MMIO_WRITE:
        ok_u64(x->mmio.addr, e->a, "%s: address", r->name);
        ok_u64(SHAPE(x->mmio.reg, x->mmio.reg_width, x->mmio.width, x->mmio.sign_extend), e->b,
               "%s: register, its width, the access's, sign", r->name);
        if (x->kind == AXVCPU_EXIT_MMIO_WRITE)
            ok_u64(x->mmio.data, e->c, "%s: data", r->name);
        break;
    case AXVCPU_EXIT_NESTED_PAGE_FAULT:
        ok_u64(x->fault.addr, e->a, "%s: address", r->name);
        ok_u64(x->fault.access, e->b, "%s: access", r->name);
        break;
    case AXVCPU_EXIT_UNDECODED:
        ok_u64(x->undecoded.addr, e->a, "%s: address", r->name);
        ok_u64(x->undecoded.insn_len, e->b, "%s: length", r->name);
        ok_u64(x->undecoded.syndrome, r->given.esr, "%s: syndrome", r->name);
        ok_u64(x->undecoded.insn[3], e->b ? 0xa9 : 0, "%s: bytes", r->name);
        break;
    case AXVCPU_EXIT_SYSREG_READ:
    case AXVCPU_EXIT_SYSREG_WRITE:
        ok_u64(x->sysreg.addr, e->a, "%s: number", r->name);
        ok_u64(x->sysreg.reg, e->b, "%s: register", r->name);
        ok_u64(x->sysreg.value, e->c, "%s: value", r->name);
        break;
    case AXVCPU_EXIT_EXCEPTION:
        ok_u64(x->exception.vector, e->a, "%s: class", r->name);
        ok_u64(x->exception.error, e->b, "%s: syndrome", r->name);
        ok_u64(x->exception.addr, e->c, "%s: address", r->name);
        break;
    case AXVCPU_EXIT_EXTERNAL_INTERRUPT: ok_u64(x->irq.vector, e->a, "%s: vector", r->name); break;
    case AXVCPU_EXIT_DEBUG:
        ok_u64(x->debug.pc, e->a, "%s: pc", r->name);
        ok_u64(x->debug.status, r->given.esr, "%s: status", r->name);
        break;
    default: break;
    }
}

static void check_row(const struct row *r)
{
    const struct given *g = &r->given;
    const struct axvcpu_arm64_trap t = {.esr = g->esr, .far = VA, .hpfar = g->hpfar, .pc = 0x1000,
                                        .pstate = g->pstate, .vector = g->vector, .insn = 0xa9400000, .flags = g->flags};
    struct axvcpu_arm64_effect e;
    struct axvcpu_exit x = {0};
    enum axvcpu_arm64_action action = axvcpu_arm64_decode(&t, gpr, &x, &e);
    if (!ok_str(action_names[action], action_names[r->expected.action], "%s: action", r->name))
        return;
    ok_u64(e.sets, 0, "%s: no register is written", r->name);
    ok_u64(e.step, r->expected.step, "%s: step", r->name);
    if (action == AXVCPU_ARM64_TRAP)
        ok_u64(e.esr, r->expected.a, "%s: the guest's ESR", r->name);
    if (action == AXVCPU_ARM64_EXIT)
        check_exit(r, &x);
}

// ---- trap 29: SGI registers

struct sgi_row {
    const char *name;
    uint64_t value, target, list;
    uint32_t vector;
    bool all;
};
static const struct sgi_row sgis[] = {
    {"SGI 5 to CPU 0", 0x05000001, 0, 1, 5, false},
    {"SGI 15 to CPUs 0 to 15", 0x0f00ffff, 0, 0xffff, 15, false},
    {"SGI 1 to Aff1 3", 0x01030004, 0x300, 4, 1, false},
    {"SGI 1 to Aff2 7", 0x0000000701000004, 0x70000, 4, 1, false},
    {"SGI 1 to Aff3 9", 0x0009000001000004, 0x900000000, 4, 1, false},
    {"SGI 2 to Aff0 16 and up, range selector 1", 0x0000100002008001, 0x10, 0x8001, 2, false},
    {"SGI 2 to Aff0 240 and up, range selector 15", 0x0000f00002000001, 0xf0, 1, 2, false},
    {"SGI 3 to all others", 0x0000010003000000, 0, 0, 3, true},
    {"SGI 3, everything", UINT64_MAX, 0xff00fffff0, 0xffff, 15, true},
    {"SGI 0 to nobody", 0, 0, 0, 0, false},
};

static void check_sgi(const struct sgi_row *r, uint32_t reg, const char *reg_name)
{
    uint64_t regs[31] = {[7] = r->value};
    const struct axvcpu_arm64_trap t = {.esr = ESR(0x18, MSR(7u, reg)), .pstate = EL1};
    struct axvcpu_arm64_effect e;
    struct axvcpu_exit x = {0};
    ok(axvcpu_arm64_decode(&t, regs, &x, &e) == AXVCPU_ARM64_EXIT && x.kind == AXVCPU_EXIT_SEND_IPI && e.step == 4,
       "%s, %s: SEND_IPI", r->name, reg_name);
    ok_u64(x.ipi.target, r->target, "%s: the first CPU", r->name);
    ok_u64(x.ipi.aux, r->list, "%s: the list", r->name);
    ok_u64(x.ipi.vector, r->vector, "%s: vector", r->name);
    ok(x.ipi.to_all == r->all && !x.ipi.to_self, "%s: to all", r->name);
}

// ---- exceptions at EL1: DDI 0487, AArch64.TakeException

static void check_take(const char *name, uint64_t pstate, uint64_t sctlr, uint64_t offset, uint64_t after)
{
    struct axvcpu_arm64_el1 s = {.pc = 0x4444, .pstate = pstate, .vbar = 0xffff000000080800, .sctlr = sctlr};
    axvcpu_arm64_take(&s, 0x96000010, VA);
    ok_u64(s.pc, 0xffff000000080800 + offset, "%s: vector", name);
    ok_u64(s.pstate, after, "%s: PSTATE", name);
    ok(s.elr == 0x4444 && s.spsr == pstate && s.esr == 0x96000010 && s.far == VA, "%s: ELR, SPSR, ESR, FAR", name);
}

static void check_takes(void)
{
    const uint64_t span = 1u << 23, dssbs = 1ull << 44, tco = 1u << 25, pan = 1u << 22, masked = 0x3c5 | tco;
    check_take("from EL1 with its own stack", 0x05, span, 0x200, masked);
    check_take("from EL1 with EL0's stack", 0x04, span, 0x000, masked);
    check_take("from EL0", 0x00, span, 0x400, masked);
    check_take("from AArch32", 0x10, span, 0x600, masked);
    check_take("flags and DIT stay", 0xf1000005, span, 0x200, 0xf1000000 | masked);
    check_take("PAN stays", 0x05 | pan, span, 0x200, masked | pan);
    check_take("PAN is set", 0x05, 0, 0x200, masked | pan);
    check_take("SSBS is set", 0x05, span | dssbs, 0x200, masked | 1u << 12);
    check_take("SSBS is cleared, so are UAO, SS, IL, BTYPE", 0x05 | 1u << 12 | 1u << 23 | 3u << 20 | 3u << 10, span, 0x200,
               masked);
    ok_u64(axvcpu_arm64_fault(0x05, false, true), 0x02000000, "a register that is refused is undefined");
    ok_u64(axvcpu_arm64_fault(0x05, true, false), 0x96000010, "a load that is refused at EL1");
    ok_u64(axvcpu_arm64_fault(0x00, true, true), 0x92000050, "a store that is refused at EL0");
}

// Trap 26: no class, from no vector, is without a named answer.
static void check_every_class(void)
{
    unsigned bad = 0;
    for (uint32_t n = 0; n < 64 * 4; n++) {
        const struct axvcpu_arm64_trap t = {.esr = ESR(n & 63, 7), .far = VA, .hpfar = HPFAR(GPA), .vector = n >> 6};
        struct axvcpu_arm64_effect e;
        struct axvcpu_exit x = {0};
        enum axvcpu_arm64_action action = axvcpu_arm64_decode(&t, gpr, &x, &e);
        bad += action == AXVCPU_ARM64_EXIT && (x.kind == AXVCPU_EXIT_NOTHING || x.kind >= AXVCPU_EXIT_COUNT);
        bad += action == AXVCPU_ARM64_RESUME && e.step == 0 && e.sets == 0; // it would come again for ever
    }
    ok_u64(bad, 0, "trap_26: every class from every vector has a name");
}

int main(void)
{
    tap_begin(30);
    number_registers(gpr);
    for (size_t i = 0; i < COUNT(rows); i++)
        check_row(&rows[i]);
    for (size_t i = 0; i < COUNT(sgis); i++) {
        check_sgi(&sgis[i], SGI1R, "trap_29: ICC_SGI1R");
        check_sgi(&sgis[i], ASGI1R, "trap_29: ICC_ASGI1R");
        check_sgi(&sgis[i], SGI0R, "trap_29: ICC_SGI0R");
    }
    check_takes();
    check_every_class();
    return tap_done();
}
