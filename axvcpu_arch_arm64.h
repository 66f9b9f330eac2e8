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
    ((uint32_t)(op0) << 20 | (uint32_t)(op2) << 17 | (uint32_t)(op1) << 14 | (uint32_t)(crn) << 10 |       \
     (uint32_t)(crm) << 1)
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

/* Whose calls are ours to answer, whatever they are: fast ones of the architecture (0), the CPU (1), the
   standard services (4, PSCI) and the standard hypervisor services (5) (DEN 0028, table 6-1). In the owner's
   six bits these four are those with nothing in bits 5-3 and 1. */
AXVCPU_I_INLINE bool axvcpu_i_arm64_is_ours(uint32_t id)
{
    return (id & 0xba000000u) == AXVCPU_ARM64_SMCCC_FAST;
}

/* Not a memcpy, which a freestanding host may have as a loop over bytes. */
AXVCPU_I_INLINE void axvcpu_i_arm64_arguments(struct axvcpu_exit *x, const uint64_t *gpr)
{
    uint64_t nr = gpr[0], a = gpr[1], b = gpr[2], c = gpr[3], d = gpr[4], e = gpr[5], f = gpr[6];

    x->hypercall.nr = nr;
    x->hypercall.args[0] = a;
    x->hypercall.args[1] = b;
    x->hypercall.args[2] = c;
    x->hypercall.args[3] = d;
    x->hypercall.args[4] = e;
    x->hypercall.args[5] = f;
}

#if AXVCPU_I_ARCH == AXVCPU_I_ARCH_ARM64

/* ---------------------------------------------------------------------------------------------------- */
/* >>leaves                                                                                             */
/* ---------------------------------------------------------------------------------------------------- */

/* What bare metal and KVM have in common, so that one source serves both. What the kernel decides by itself
   there (tables, VMID, FP) is not looked at. */

#define AXVCPU_I_ARM64_SERVES
#define AXVCPU_LEAF_GPRS 32
#define AXVCPU_LEAF_RETURN_GPR 0
#define AXVCPU_LEAF_VECTORS 1020
#define AXVCPU_LEAF_VECTOR_OK(n) true
#define AXVM_LEAF_UP_OK ((uint64_t)AXVCPU_ARM64_PSCI_SUCCESS)
#define AXVM_LEAF_UP_ALREADY ((uint64_t)AXVCPU_ARM64_PSCI_ALREADY_ON)
#define AXVM_LEAF_UP_INVALID ((uint64_t)AXVCPU_ARM64_PSCI_INVALID_PARAMETERS)
#define AXVM_LEAF_UP_ANSWERS true
#define AXVM_LEAF_PAGE 4096u

/* The choices of a set-up. FP and SIMD: loaded when the guest first uses them; at bind; or never, because one
   vCPU has them always. */
enum axvcpu_arm64_fp { AXVCPU_ARM64_FP_LAZY, AXVCPU_ARM64_FP_EAGER, AXVCPU_ARM64_FP_OWNED };
/* Interrupts: by list registers; by a controller that you emulate: any line or vector that is set is the
   CPU's interrupt input (HCR_EL2.VI), a vector until axvcpu_set_irq(v, vector, false); or the physical ones go to
   the guest, which has the controller: nothing can be injected and a kick waits for the next exit. */
enum axvcpu_arm64_gic { AXVCPU_ARM64_GIC_LIST, AXVCPU_ARM64_GIC_EXTERNAL, AXVCPU_ARM64_GIC_PASSTHROUGH };
/* The virtual timer is the guest's, and its interrupt injected, accesses to the physical one are exits; or the
   guest has both, and their interrupts are EXTERNAL_INTERRUPTs or, with GIC_PASSTHROUGH, its own. */
enum axvcpu_arm64_timer { AXVCPU_ARM64_TIMER_VIRTUAL, AXVCPU_ARM64_TIMER_PASSTHROUGH };
/* What hcr_set and hcr_clear may change of HCR_EL2: PTW, FB, BSU, DC, TWI, TWE, TID0-TID3, TIDCP, TACR, TSW,
   TPC, TPU, TTLB, TVM, TDZ, TRVM, TLOR, TERR, API and APK. Not what would let the guest out. */
#define AXVCPU_ARM64_HCR_ALLOWED                                                                           \
    (UINT64_C(1) << 2 | UINT64_C(0xf) << 9 | UINT64_C(0x3f) << 13 | UINT64_C(0x7f) << 20 | UINT64_C(1) << 28 | \
     UINT64_C(1) << 30 | UINT64_C(3) << 35 | UINT64_C(3) << 40)
#ifdef AXVCPU_KVM
/* A GIC in the kernel. AUTO: none without gicc; else version 2, or 3 on a machine that has nothing else. NONE
   is the same as AXVCPU_ARM64_GIC_EXTERNAL of a set-up. */
enum axvm_arm64_gic { AXVM_ARM64_GIC_AUTO, AXVM_ARM64_GIC_NONE, AXVM_ARM64_GIC_V2, AXVM_ARM64_GIC_V3 };

/* Who answers SMCCC calls, PSCI among them. AUTO: as on bare metal, where the kernel lets us (Linux 6.4), else
   the kernel, which then starts CPUs by itself and keeps every call of a guest for itself. */
enum axvm_arm64_calls { AXVM_ARM64_CALLS_AUTO, AXVM_ARM64_CALLS_KERNEL, AXVM_ARM64_CALLS_EXIT };
#endif

struct axvcpu_arch_create {
    uint64_t mpidr; /* 0: made of vcpu_id, 16 CPUs to an Aff1 */
#ifdef AXVCPU_KVM
    uint64_t features; /* 1 << KVM_ARM_VCPU_*, besides PSCI and pointer authentication */
    int vm_fd;         /* without axvm: a KVM VM of yours; 0: one of its own */
#endif
};

struct axvcpu_arch_setup {
    uint64_t vtcr; /* of the host's own tables in `root`; 0: ours */
    uint64_t hcr_set, hcr_clear;
    uint64_t cntvoff; /* the virtual counter is so much behind the physical one */
    uint32_t vmid;    /* given by the host, which has seen to it that no other VM has it; 0: the VM's own */
    uint32_t fp;      /* AXVCPU_ARM64_FP_* */
    uint32_t gic;     /* AXVCPU_ARM64_GIC_* */
    uint32_t timer;   /* AXVCPU_ARM64_TIMER_* */
};

struct axvm_arch_desc {
    axvcpu_gpa_t gicc; /* GICv2: where the guests find their CPU interface; 0: nowhere. Of a GICv3 they have it
                          in system registers, and this is not looked at */
#ifdef AXVCPU_KVM
    axvcpu_gpa_t gicd; /* the distributor. 0: yours; the kernel's is out of sight, lets every interrupt through,
                          and axvcpu_inject_interrupt(v, n) is for v, as on bare metal */
    axvcpu_gpa_t gicr; /* GICv3: the redistributors, 128 KiB for each vCPU; 0: out of sight */
    uint32_t gic;      /* enum axvm_arm64_gic */
    uint32_t irqs;     /* interrupts are below this: a multiple of 32, up to 992, which is also 0 */
    uint32_t calls;    /* enum axvm_arm64_calls */
    uint32_t ipa_bits; /* of guest-physical addresses; 0: 40 */
    int vm_fd;         /* a KVM VM of yours; it stays open. 0: a new one */
#endif
};

#ifndef AXVCPU_KVM
/* The bare-metal backend: the host is at EL2 without E2H, with an identity or other mapping of its own.

   What is saved, and when (DDI 0487, D1 "Exceptions", for the first row):
     each exit      x0-x30, PC, PSTATE and, from the hardware, ESR_EL2; of an abort FAR_EL2 and HPFAR_EL2, which
                    no one else writes while the host does not fault
     unbind, put,   AXVCPU_ARM64_EL1_REGS and AXVCPU_ARM64_KEYS (with pointer authentication); the virtual
     another vCPU   CPU interface: VMCR, APR, the list registers in use; the virtual timer, which is stopped
     ... if used    v0-v31, FPCR, FPSR: lazily, eagerly, or never (set-up choice `fp`)
     bind, load     the same; but of AXVCPU_ARM64_EL1_REGS, _KEYS nothing when they are still there from the
                    last time
     once per CPU   VBAR_EL2 at enable, unless AXVCPU_OWN_VECTORS; back at disable
     bind, unbind   the host's HCR_EL2, CPTR_EL2, MDCR_EL2, CNTHCTL_EL2; the guest's VTTBR_EL2, VTCR_EL2,
                    CNTVOFF_EL2 and VSESR_EL2 just replace what was there
     nobody's       the PMU, debug, SVE, SME, MTE and RAS registers: they trap
   While a vCPU is bound, the FP and SIMD registers are the guest's, and trap until it first uses them: the
   host's code is built with -mgeneral-regs-only. The host leaves EL1's and EL0's registers alone. Several
   vCPUs may be bound on a CPU: the one that runs has the hardware, and the others are as if put.

   Besides the hooks of axvcpu.h:
     AXVCPU_GICH(), AXVCPU_GICV()  where the GICv2's virtual interface control and virtual CPU interface are
                                   (GICH a pointer, GICV host-physical). On a CPU with the system-register
                                   interface of a GICv3, enabled in ICC_SRE_EL2, that is used; with neither
                                   the guest gets no interrupts
     AXVCPU_KICK_VECTOR            with AXVCPU_IRQ_FETCH: the vector of SEND_KICK's interrupt, which then
                                   never comes out of run as an EXTERNAL_INTERRUPT
     AXVCPU_VTIMER_VECTOR, AXVCPU_MAINTENANCE_VECTOR  the interrupts of the virtual timer and of the virtual
                                   CPU interface: 27 and 25. The host enables them at its controller, and
                                   gives those that it takes itself to axvcpu_arm64_irq()
     AXVCPU_VTIMER_ENABLE(bool)    whether the former shall reach this CPU: the guest's timer stays due until
                                   the guest has served it. Default: axvcpu_host_vtimer_enable()
     AXVCPU_HOST_EXCEPTION(frame)  an exception or interrupt at EL2, outside the guest; default: a function
                                   axvcpu_host_exception() of yours. It may change the frame.
     AXVCPU_OWN_VECTORS            VBAR_EL2 is the host's, and its upper eight vectors are
                                   AXVCPU_ARM64_GUEST_VECTORS (a text of 0x400 bytes of assembly) or, vector by
                                   vector, branches to axvcpu_arm64_guest_vectors + 0x80 * (0 to 7)

   TIMER_ARM(v, deadline): v's virtual timer is running and v leaves the CPU; at `deadline`, as CNTPCT_EL0
   counts, it wants axvcpu_unblock(v). */

#define AXVCPU_LEAF_NAME "arm64 EL2"

/* What EL1 and EL0 own besides the general registers: how it is read and written at EL2, its name for
   AXVCPU_REG_SYS, and its value after reset. SCTLR_EL1: its RES1 bits, MMU and caches off. */
#define AXVCPU_ARM64_EL1_REGS(X)                                                                           \
    X(sctlr_el1, 3, 0, 1, 0, 0, 0x30d00800) X(actlr_el1, 3, 0, 1, 0, 1, 0) X(cpacr_el1, 3, 0, 1, 0, 2, 0)  \
    X(ttbr0_el1, 3, 0, 2, 0, 0, 0) X(ttbr1_el1, 3, 0, 2, 0, 1, 0) X(tcr_el1, 3, 0, 2, 0, 2, 0)             \
    X(spsr_el1, 3, 0, 4, 0, 0, 0) X(elr_el1, 3, 0, 4, 0, 1, 0) X(sp_el0, 3, 0, 4, 1, 0, 0)                 \
    X(sp_el1, 3, 4, 4, 1, 0, 0) X(afsr0_el1, 3, 0, 5, 1, 0, 0) X(afsr1_el1, 3, 0, 5, 1, 1, 0)              \
    X(esr_el1, 3, 0, 5, 2, 0, 0) X(far_el1, 3, 0, 6, 0, 0, 0) X(par_el1, 3, 0, 7, 4, 0, 0)                 \
    X(mair_el1, 3, 0, 10, 2, 0, 0) X(amair_el1, 3, 0, 10, 3, 0, 0) X(vbar_el1, 3, 0, 12, 0, 0, 0)          \
    X(contextidr_el1, 3, 0, 13, 0, 1, 0) X(tpidr_el1, 3, 0, 13, 0, 4, 0) X(cntkctl_el1, 3, 0, 14, 1, 0, 0) \
    X(csselr_el1, 3, 2, 0, 0, 0, 0) X(mdscr_el1, 2, 0, 0, 2, 2, 0) X(tpidr_el0, 3, 3, 13, 0, 2, 0)         \
    X(tpidrro_el0, 3, 3, 13, 0, 3, 0) X(cntv_ctl_el0, 3, 3, 14, 3, 1, 0) X(cntv_cval_el0, 3, 3, 14, 3, 2, 0) \
    X(vmpidr_el2, 3, 0, 0, 0, 5, 0) X(vpidr_el2, 3, 0, 0, 0, 0, 0)
#define AXVCPU_I_ENUM_ARM64_REG(name, op0, op1, crn, crm, op2, reset) AXVCPU_ARM64_##name,
enum axvcpu_arm64_reg { AXVCPU_ARM64_EL1_REGS(AXVCPU_I_ENUM_ARM64_REG) AXVCPU_ARM64_REG_COUNT };

/* The keys of pointer authentication, on a CPU that has it; by number, as assemblers may not know them. */
#define AXVCPU_ARM64_KEYS(X)                                                                               \
    X(apiakeylo_el1, s3_0_c2_c1_0, 3, 0, 2, 1, 0) X(apiakeyhi_el1, s3_0_c2_c1_1, 3, 0, 2, 1, 1)              \
    X(apibkeylo_el1, s3_0_c2_c1_2, 3, 0, 2, 1, 2) X(apibkeyhi_el1, s3_0_c2_c1_3, 3, 0, 2, 1, 3)              \
    X(apdakeylo_el1, s3_0_c2_c2_0, 3, 0, 2, 2, 0) X(apdakeyhi_el1, s3_0_c2_c2_1, 3, 0, 2, 2, 1)              \
    X(apdbkeylo_el1, s3_0_c2_c2_2, 3, 0, 2, 2, 2) X(apdbkeyhi_el1, s3_0_c2_c2_3, 3, 0, 2, 2, 3)              \
    X(apgakeylo_el1, s3_0_c2_c3_0, 3, 0, 2, 3, 0) X(apgakeyhi_el1, s3_0_c2_c3_1, 3, 0, 2, 3, 1)
#define AXVCPU_I_ENUM_ARM64_KEY(name, number, op0, op1, crn, crm, op2) AXVCPU_ARM64_##name,
enum axvcpu_arm64_key { AXVCPU_ARM64_KEYS(AXVCPU_I_ENUM_ARM64_KEY) AXVCPU_ARM64_KEY_COUNT };

#define AXVCPU_ARM64_LRS 16 /* list registers that we use, of those that there are */

struct axvcpu_arch {
    uint64_t x[31], pc, pstate; /* known to the assembly */
    uint64_t el1[AXVCPU_ARM64_REG_COUNT];
    uint64_t key[AXVCPU_ARM64_KEY_COUNT];
    uint64_t q[64], fpcr, fpsr;
    uint64_t hcr, vtcr, root, mpidr, cntvoff;
    uint64_t vsesr;      /* the syndrome of a virtual SError */
    uint64_t far;        /* of the access that waits for an answer */
    uint64_t stamp;      /* of the last load; a CPU that has the same still has these registers */
    uint32_t step;       /* ... and how far its commit moves the PC */
    uint32_t vmid;       /* given; 0: the VM's */
    uint8_t fp, gic, timer;
    bool loaded, fp_loaded;
    bool timer_due;      /* the timer's interrupt is on its way to the guest, and its source off */
    uint32_t vmcr, apr[2][4]; /* of group 0, which a GICv2 has alone, and 1 */
    uint32_t lr_used;    /* a set */
    uint32_t lr_line;    /* ... those whose interrupt is a level */
    uint32_t lr_pending; /* read by any CPU */
    uint64_t lr[AXVCPU_ARM64_LRS]; /* as a GICv3 has them */
    uint32_t hw[2];      /* inject_hw's, until it is in a list register: vintid + 1, pintid */
};

struct axvcpu_arch_percpu {
    struct axvcpu *now; /* whose registers are loaded; bound ones may take turns */
    uint64_t vbar, hcr, cptr, mdcr, cnthctl, cntvoff; /* the host's */
    uint64_t stamp;
    char *gich;
    uint32_t cpu_id, lrs, gic, aprs;
    uint32_t vmid;      /* of `now`; 0: it is not ours */
};

struct axvm_arch {
    uint64_t root, vtcr;
    uint64_t vmid;      /* the generation and, below it, 8 bits of VMID */
    uint32_t lock;      /* of the tables */
    uint32_t levels;
    uint32_t logs;      /* mappings with LOG_DIRTY */
};

/* What was interrupted at EL2; `slot` is the vector's offset / 0x80. */
struct axvcpu_arm64_frame {
    uint64_t x[31], elr, spsr, esr, far, slot;
};

AXVCPU_LEAF_DECLARE(AXVCPU_API, AXVCPU_I_INLINE)

/* An interrupt that the host took by itself, outside run: true if it was about the guest whose registers are
   on this CPU (its timer, its CPU interface) and is served. */
AXVCPU_API bool axvcpu_arm64_irq(uint32_t vector);
/* The pages of a mapping with AXVM_MAP_LOG_DIRTY that have been written since the last time: bit n of `bitmap`
   is page n from gpa on. The mapping must have all of gpa..gpa+size. */
AXVCPU_API int axvm_arm64_dirty(struct axvm *, axvcpu_gpa_t, uint64_t size, uint64_t *bitmap);

AXVCPU_API int axvcpu_i_arm64_move(struct axvcpu *, bool in);
AXVCPU_API int axvcpu_i_arm64_left(struct axvcpu *, struct axvcpu_exit *, uint64_t raw, bool *again);
AXVCPU_API int axvcpu_i_arm64_commit(struct axvcpu *);
AXVCPU_API enum axvm_answer axvcpu_i_arm64_reply(struct axvm *, struct axvcpu *, struct axvcpu_exit *);

AXVCPU_I_INLINE int axvcpu_leaf_bind(struct axvcpu *v) { return axvcpu_i_arm64_move(v, true); }
AXVCPU_I_INLINE int axvcpu_leaf_unbind(struct axvcpu *v) { return axvcpu_i_arm64_move(v, false); }

AXVCPU_I_INLINE int axvcpu_leaf_commit(struct axvcpu *v, struct axvcpu_exit *x, bool entering)
{
    (void)x, (void)entering;
    return axvcpu_i_arm64_commit(v);
}

AXVCPU_I_INLINE enum axvm_answer axvm_leaf_answer(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x)
{
    return axvcpu_i_arm64_reply(vm, v, x);
}

/* The vectors by which a guest is left, from AArch64 and from AArch32, as the upper half of a table at VBAR_EL2.
   The frame of axvcpu_i_arm64_enter is on the stack; its third word is the struct axvcpu_arch. Each has it all
   in its slot, 30 of 32 instructions: the guest's registers, and back to the caller of enter with ESR_EL2 and
   the vector as AXVCPU_ARM64_RAW, x1-x6 still the guest's, x8 its x0. */
#define AXVCPU_ARM64_GUEST_VECTORS                                                                         \
    ".irp axvcpu_vector, 0, 1, 2, 3, 0, 1, 2, 3\n"                                                         \
    ".balign 0x80\nstr x0, [sp, #-16]!\nldr x0, [sp, #32]\n"                                               \
    "stp x1, x2, [x0, #8]\nstp x3, x4, [x0, #24]\nstp x5, x6, [x0, #40]\nstp x7, x8, [x0, #56]\n"         \
    "stp x9, x10, [x0, #72]\nstp x11, x12, [x0, #88]\nstp x13, x14, [x0, #104]\nstp x15, x16, [x0, #120]\n" \
    "stp x17, x18, [x0, #136]\nstp x19, x20, [x0, #152]\nstp x21, x22, [x0, #168]\nstp x23, x24, [x0, #184]\n" \
    "stp x25, x26, [x0, #200]\nstp x27, x28, [x0, #216]\nstp x29, x30, [x0, #232]\n"                      \
    "ldr x8, [sp], #16\nmrs x9, elr_el2\nmrs x10, spsr_el2\nstr x8, [x0]\nstp x9, x10, [x0, #248]\n"      \
    "mrs x0, esr_el2\n"                                                                                    \
    ".if \\axvcpu_vector\nmovz x9, #\\axvcpu_vector << 8, lsl #48\norr x0, x0, x9\n.endif\n"                \
    "ldr x18, [sp, #24]\nldp x19, x20, [sp, #32]\nldp x21, x22, [sp, #48]\nldp x29, x30, [sp], #64\nret\n" \
    ".endr\n.balign 0x80\n"

/* Into the guest and back, through assembly that keeps only the stack, x18-x22 and the frame pointer: what the
   compiler does not need afterwards it does not save. By which vector the guest was left, and ESR_EL2, as
   AXVCPU_ARM64_RAW; and the guest's x0-x6, while they are still in registers. */
AXVCPU_I_INLINE uint64_t axvcpu_i_arm64_enter_guest(struct axvcpu_arch *a, struct axvcpu_exit_hypercall *call)
{
#if defined(__aarch64__)
    register uint64_t x0 __asm__("x0") = (uint64_t)(uintptr_t)a;
    register uint64_t x1 __asm__("x1"), x2 __asm__("x2"), x3 __asm__("x3"), x4 __asm__("x4"), x5 __asm__("x5"),
        x6 __asm__("x6"), x8 __asm__("x8");

    __asm__ volatile("bl axvcpu_i_arm64_enter"
                     : "+r"(x0), "=r"(x1), "=r"(x2), "=r"(x3), "=r"(x4), "=r"(x5), "=r"(x6), "=r"(x8)
                     :
                     : "x7", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17", "x23", "x24", "x25",
                       "x26", "x27", "x28", "x30", "memory", "cc");
    call->nr = x8;
    call->args[0] = x1;
    call->args[1] = x2;
    call->args[2] = x3;
    call->args[3] = x4;
    call->args[4] = x5;
    call->args[5] = x6;
    return x0;
#else
    (void)a, (void)call; /* declarations may be looked at anywhere */
    return 0;
#endif
}

/* Each of the two alone says that a call is not ours: the caller's own numbers have bit 31 clear, the vendor's
   bit 25 set. In one instruction and a branch on a bit. */
AXVCPU_I_INLINE bool axvcpu_i_arm64_is_plain(uint64_t id)
{
    return (int32_t)((uint32_t)id & ~((uint32_t)id << 6)) >= 0;
}

/* The vCPU's registers are loaded: who takes them away leaves an AXVCPU_ATTN_IRQ, which brings us to
   leaf_inject. */
AXVCPU_I_INLINE int axvcpu_leaf_run(struct axvcpu *v, struct axvcpu_exit *x)
{
    struct axvcpu_exit_hypercall call;
    bool again;
    int err;

    do {
        struct axvcpu *here = v;
        uint64_t raw;

        __asm__("" : "+r"(here)); /* an addition costs less than to keep its result */
        raw = axvcpu_i_arm64_enter_guest(axvcpu_arch(here), &call);
        /* by the synchronous vector, which is 0 */
        if (AXVCPU_I_LIKELY(raw >> 26 == AXVCPU_ARM64_EC_HVC64 && axvcpu_i_arm64_is_plain(call.nr))) {
            x->kind = AXVCPU_EXIT_HYPERCALL;
            x->flags = 0;
            x->raw = raw;
            x->hypercall = call;
            return AXVCPU_OK;
        }
        err = axvcpu_i_arm64_left(v, x, raw, &again);
    } while (again && err == 0);
    return err;
}

#else /* KVM */

/* >>kvm: the hosted backend. What the kernel keeps for itself stands in axvcpu.h's table of exits. A register
   costs an ioctl, in either direction; so an exit that shows some (HYPERCALL: six arguments) costs as many.

   The GIC (api.rst: KVM_CREATE_DEVICE; devices/arm-vgic*.rst) is made by axvm_init, before the vCPUs, and
   initialised by the first set-up, after all of them. Without one a guest has the interrupt input of its CPU,
   high as long as any line of the vCPU is, and a vector is a line until axvcpu_set_irq(v, vector, false); the
   distributor and CPU interface are devices of yours.

   Injection with a distributor in sight follows it: an edge is a pulse of that line, to whom the guest has
   routed it. Interrupts 0-15 are the guest's own to send. */

#define AXVCPU_LEAF_NAME "AArch64 KVM"
#define AXVCPU_LEAF_RUN_COMMITS 1
#define AXVM_LEAF_STARTS_CPUS(vm) (!(vm)->arch.calls_exit) /* the kernel's PSCI does */
#define AXVCPU_I_KVM_GSI(line) ((line) - 32) /* interrupt routing counts shared interrupts */
#define AXVCPU_I_KVM_OWN_IRQ_LINE
#define AXVCPU_I_KVM_NO_DEVICE \
    "no KVM: the kernel must have CONFIG_KVM and start at EL2; turn virtualization on in the firmware or this VM's host"

struct axvm_arch {
    struct axvcpu_kvm_vm kvm;
    uint32_t gic, irqs;        /* AXVM_ARM64_GIC_V2 or _V3, else there is none */
    int gic_fd;
    uint32_t gic_ready, gate;  /* gate: somebody changes the distributor, nobody may be in the guest */
    bool open;                 /* the distributor is out of sight */
    bool calls_exit;
    uint64_t levels[16];       /* open: which shared interrupts it takes for levels */
};

struct axvcpu_arch {
    struct axvcpu_kvm kvm;
    uint64_t mpidr;
    uint32_t target, features; /* KVM_ARM_VCPU_INIT's */
    uint64_t raised[16];       /* lines that the kernel was told of */
    uint64_t routed[16];       /* open: shared interrupts that come here */
    axvcpu_gpa_t entry;
    struct axvm_arch own;      /* without axvm */
};

struct axvcpu_arch_percpu { bool enabled; };

/* ioctl(fd, KVM_RUN, 0), which the kernel knows as system call 29. */
#if !defined(AXVCPU_KVM_ENTER) && defined(__aarch64__)
AXVCPU_I_INLINE long axvcpu_i_arm64_enter_kvm(int fd)
{
    register long x0 __asm__("x0") = fd;
    register long x1 __asm__("x1") = 0xae80;
    register long x2 __asm__("x2") = 0;
    register long x8 __asm__("x8") = 29;

    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x1), "r"(x2), "r"(x8) : "memory", "cc");
    return x0;
}
#define AXVCPU_KVM_ENTER(fd) axvcpu_i_arm64_enter_kvm(fd)
#endif

AXVCPU_LEAF_DECLARE(AXVCPU_API, AXVCPU_API)

#endif /* KVM */
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

enum axvcpu_i_arm64_fault {
    AXVCPU_I_ARM64_UNMAPPED,
    AXVCPU_I_ARM64_FLAG,
    AXVCPU_I_ARM64_PERMISSION,
    AXVCPU_I_ARM64_FOREIGN,
};

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

/* Not a memset, which a freestanding host may have as a loop over bytes. */
AXVCPU_I_INLINE void axvcpu_i_arm64_clear(struct axvcpu_arm64_effect *e)
{
    e->step = e->sets = 0;
    e->x0 = e->pc = e->esr = e->far = 0;
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

    axvcpu_i_arm64_clear(e);
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
    axvcpu_i_arm64_arguments(c->x, c->gpr);
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

/* ELR_EL2 is behind an HVC, but on a trapped SMC. What is nobody's standard goes to the caller; if that
   was an SMC, to firmware that is not there, the guest finds NOT_SUPPORTED unless it is answered. */
AXVCPU_API enum axvcpu_arm64_action axvcpu_arm64_smccc_call(const struct axvcpu_arm64_trap *t, const uint64_t gpr[31],
                                                            struct axvcpu_exit *x, struct axvcpu_arm64_effect *e)
{
    const struct axvcpu_i_arm64_case c = { t, gpr, x, e };
    bool smc = AXVCPU_ARM64_ESR_EC(t->esr) == AXVCPU_ARM64_EC_SMC64;
    uint32_t id = (uint32_t)gpr[0] & ~AXVCPU_ARM64_SMCCC_SVE_HINT;
    const struct axvcpu_i_arm64_row *row;

    axvcpu_i_arm64_clear(e);
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

#if AXVCPU_I_ARCH == AXVCPU_I_ARCH_ARM64

/* 16 CPUs to an Aff1, as many as an SGI's target list has. KVM numbers them the same way. */
static uint64_t axvcpu_i_arm64_mpidr(uint64_t id)
{
    return (id & 15u) | (id >> 4 & 0xffu) << 8 | (id >> 12 & 0xffu) << 16 | (id >> 20) << 32;
}

#ifndef AXVCPU_KVM

/* ---------------------------------------------------------------------------------------------------- */
/* >>registers                                                                                          */
/* ---------------------------------------------------------------------------------------------------- */

#define AXVCPU_I_ARM64_READ(name)                                                                          \
    __extension__({                                                                                        \
        uint64_t axvcpu_i_value;                                                                           \
        __asm__ volatile("mrs %0, " #name : "=r"(axvcpu_i_value));                                         \
        axvcpu_i_value;                                                                                    \
    })
#define AXVCPU_I_ARM64_WRITE(name, value) __asm__ volatile("msr " #name ", %0" : : "r"((uint64_t)(value)) : "memory")
#define AXVCPU_I_ARM64_ISB() __asm__ volatile("isb" : : : "memory")

/* HCR_EL2: second stage; set/way as clean and invalidate; no walk through device memory; SError, FIQ and IRQ
   are ours; maintenance reaches the inner shareable domain; WFI, SMC, implementation defined registers,
   ACTLR, set/way, the limited ordering regions and the error records trap; EL1 is AArch64. */
#define AXVCPU_I_ARM64_HCR                                                                                 \
    (UINT64_C(1) << 0 | UINT64_C(1) << 1 | UINT64_C(1) << 2 | UINT64_C(1) << 3 | UINT64_C(1) << 4 | UINT64_C(1) << 5 | \
     UINT64_C(1) << 9 | UINT64_C(1) << 10 | UINT64_C(1) << 13 | UINT64_C(1) << 19 | UINT64_C(1) << 20 |    \
     UINT64_C(1) << 21 | UINT64_C(1) << 22 | UINT64_C(1) << 31 | UINT64_C(1) << 35 | UINT64_C(1) << 36)
#define AXVCPU_I_ARM64_HCR_PHYSICAL (UINT64_C(3) << 3) /* FMO, IMO: IRQ and FIQ come to EL2 */
#define AXVCPU_I_ARM64_HCR_VI (UINT64_C(1) << 7)
#define AXVCPU_I_ARM64_HCR_VSE (UINT64_C(1) << 8)
#define AXVCPU_I_ARM64_HCR_PAUTH (UINT64_C(3) << 40) /* the guest may use pointer authentication */
#define AXVCPU_I_ARM64_HCR_E2H (UINT64_C(1) << 34)
#define AXVCPU_I_ARM64_CPTR 0x33ffu     /* RES1, which includes the traps of SVE and SME */
#define AXVCPU_I_ARM64_CPTR_TFP 0x400u
#define AXVCPU_I_ARM64_MDCR 0xe60u      /* the debug registers, the OS lock and the PMU trap */
#define AXVCPU_I_ARM64_CNTHCTL 0x1u     /* the physical counter is free, the physical timer traps */
#define AXVCPU_I_ARM64_CNTHCTL_ALL 0x3u /* ... does not */
#define AXVCPU_I_ARM64_CNT_ENABLE 1u    /* CNTV_CTL_EL0 */
#define AXVCPU_I_ARM64_CNT_IMASK 2u
#define AXVCPU_I_ARM64_CNT_ISTATUS 4u

static const uint32_t axvcpu_i_arm64_reg_names[] = {
#define AXVCPU_I_ARM64_REG_NAME(name, op0, op1, crn, crm, op2, reset) AXVCPU_ARM64_SYSREG(op0, op1, crn, crm, op2),
    AXVCPU_ARM64_EL1_REGS(AXVCPU_I_ARM64_REG_NAME)
};

static void axvcpu_i_arm64_save_el1(uint64_t *el1)
{
#define AXVCPU_I_ARM64_SAVE(name, op0, op1, crn, crm, op2, reset) el1[AXVCPU_ARM64_##name] = AXVCPU_I_ARM64_READ(name);
    AXVCPU_ARM64_EL1_REGS(AXVCPU_I_ARM64_SAVE)
}

static void axvcpu_i_arm64_restore_el1(const uint64_t *el1)
{
#define AXVCPU_I_ARM64_RESTORE(name, op0, op1, crn, crm, op2, reset) AXVCPU_I_ARM64_WRITE(name, el1[AXVCPU_ARM64_##name]);
    AXVCPU_ARM64_EL1_REGS(AXVCPU_I_ARM64_RESTORE)
}

static bool axvcpu_i_arm64_has_pauth(void)
{
    return (AXVCPU_I_ARM64_READ(id_aa64isar1_el1) & UINT64_C(0xff000ff0)) != 0; /* GPI, GPA, API, APA */
}

static void axvcpu_i_arm64_save_keys(uint64_t *key)
{
#define AXVCPU_I_ARM64_SAVE_KEY(name, number, op0, op1, crn, crm, op2) key[AXVCPU_ARM64_##name] = AXVCPU_I_ARM64_READ(number);
    if (axvcpu_i_arm64_has_pauth()) {
        AXVCPU_ARM64_KEYS(AXVCPU_I_ARM64_SAVE_KEY)
    }
}

static void axvcpu_i_arm64_restore_keys(const uint64_t *key)
{
#define AXVCPU_I_ARM64_RESTORE_KEY(name, number, op0, op1, crn, crm, op2) AXVCPU_I_ARM64_WRITE(number, key[AXVCPU_ARM64_##name]);
    if (axvcpu_i_arm64_has_pauth()) {
        AXVCPU_ARM64_KEYS(AXVCPU_I_ARM64_RESTORE_KEY)
    }
}

static uint64_t axvcpu_i_arm64_get_el1(const struct axvcpu_arch *a, uint32_t n)
{
#define AXVCPU_I_ARM64_GET(name, op0, op1, crn, crm, op2, reset) \
    case AXVCPU_ARM64_##name: return AXVCPU_I_ARM64_READ(name);
    if (!a->loaded)
        return a->el1[n];
    switch (n) {
        AXVCPU_ARM64_EL1_REGS(AXVCPU_I_ARM64_GET)
    default: return 0;
    }
}

static void axvcpu_i_arm64_set_el1(struct axvcpu_arch *a, uint32_t n, uint64_t value)
{
#define AXVCPU_I_ARM64_SET(name, op0, op1, crn, crm, op2, reset) \
    case AXVCPU_ARM64_##name: AXVCPU_I_ARM64_WRITE(name, value); break;
    a->el1[n] = value;
    if (!a->loaded) {
        a->stamp = 0; /* no CPU has them any more */
        return;
    }
    switch (n) {
        AXVCPU_ARM64_EL1_REGS(AXVCPU_I_ARM64_SET)
    default: break;
    }
}

/* Where the guest's stack pointer is: SP_EL1 only at EL1 with SPSel. */
static uint32_t axvcpu_i_arm64_sp(const struct axvcpu_arch *a)
{
    return (a->pstate & (AXVCPU_ARM64_PSTATE_EL | AXVCPU_ARM64_PSTATE_SP)) == AXVCPU_ARM64_PSTATE_EL1H ?
               AXVCPU_ARM64_sp_el1 :
               AXVCPU_ARM64_sp_el0;
}

/* A PSTATE that ERET may give to a guest: AArch64 at EL0 or EL1. */
static bool axvcpu_i_arm64_pstate_ok(uint64_t pstate)
{
    uint64_t mode = pstate & 0x1fu;

    return pstate >> 32 == 0 && (mode == 0 || mode == 4 || mode == 5);
}

static uint32_t axvcpu_i_arm64_find_reg(const struct axvcpu_arch *a, uint64_t id)
{
    uint32_t i;

    if (id == AXVCPU_REG_SP)
        return axvcpu_i_arm64_sp(a);
    for (i = 0; i < AXVCPU_ARM64_REG_COUNT; i++) {
        if (id == AXVCPU_REG_SYS(axvcpu_i_arm64_reg_names[i]))
            return i;
    }
    return AXVCPU_ARM64_REG_COUNT;
}

AXVCPU_API int axvcpu_leaf_get_reg(struct axvcpu *v, uint64_t id, uint64_t *value)
{
    struct axvcpu_arch *a = &v->arch;
    uint32_t n;

    if (AXVCPU_REG_CLASS(id) == 0) {
        *value = id < 31 ? a->x[id] : 0;
        return AXVCPU_OK;
    }
    if (id == AXVCPU_REG_PC || id == AXVCPU_REG_FLAGS) {
        *value = id == AXVCPU_REG_PC ? a->pc : a->pstate;
        return AXVCPU_OK;
    }
    n = axvcpu_i_arm64_find_reg(a, id);
    if (n == AXVCPU_ARM64_REG_COUNT)
        return AXVCPU_ENOSUPPORT;
    *value = axvcpu_i_arm64_get_el1(a, n);
    return AXVCPU_OK;
}

AXVCPU_API int axvcpu_leaf_set_reg(struct axvcpu *v, uint64_t id, uint64_t value)
{
    struct axvcpu_arch *a = &v->arch;
    uint32_t n;

    if (AXVCPU_REG_CLASS(id) == 0) {
        if (id < 31)
            a->x[id] = value;
        return AXVCPU_OK;
    }
    if (id == AXVCPU_REG_FLAGS && !axvcpu_i_arm64_pstate_ok(value))
        return AXVCPU_EINVAL;
    if (id == AXVCPU_REG_PC || id == AXVCPU_REG_FLAGS) {
        *(id == AXVCPU_REG_PC ? &a->pc : &a->pstate) = value;
        return AXVCPU_OK;
    }
    n = axvcpu_i_arm64_find_reg(a, id);
    if (n == AXVCPU_ARM64_REG_COUNT)
        return AXVCPU_ENOSUPPORT;
    axvcpu_i_arm64_set_el1(a, n, value);
    return AXVCPU_OK;
}

/* ---------------------------------------------------------------------------------------------------- */
/* >>switch                                                                                             */
/* ---------------------------------------------------------------------------------------------------- */

_Static_assert(offsetof(struct axvcpu_arch, x) == 0, "axvcpu_i_arm64_enter");
_Static_assert(offsetof(struct axvcpu_arch, pc) == 248, "axvcpu_i_arm64_enter");
_Static_assert(offsetof(struct axvcpu_arch, pstate) == 256, "axvcpu_i_arm64_enter");
_Static_assert(sizeof(struct axvcpu_arm64_frame) == 288 && offsetof(struct axvcpu_arm64_frame, elr) == 248,
               "axvcpu_i_arm64_vectors");

#define AXVCPU_I_ARM64_FUNCTION(name, align)                                                               \
    ".ifndef " name "\n"                                                                                   \
    ".pushsection .text." name ",\"axG\",%progbits," name ",comdat\n"                                      \
    ".balign " align "\n.weak " name "\n.hidden " name "\n.type " name ",%function\n" name ":\n.cfi_startproc\n"
#define AXVCPU_I_ARM64_END(name) ".cfi_endproc\n.size " name ",.-" name "\n.popsection\n.endif\n"

/* Into the guest: x0 is the vCPU's struct axvcpu_arch; see axvcpu_i_arm64_enter_guest. The pointer is on the
   host's stack meanwhile: SP_EL2 is where we left it when the guest is left. Behind ERET nothing shall be
   speculated (DDI 0487, ERET, straight-line speculation). */
__asm__(AXVCPU_I_ARM64_FUNCTION("axvcpu_i_arm64_enter", "16")
    "hint #34\n" /* bti c */
    "stp x29, x30, [sp, #-64]!\n"
    ".cfi_def_cfa_offset 64\n.cfi_offset x29, -64\n.cfi_offset x30, -56\n"
    "stp x0, x18, [sp, #16]\nstp x19, x20, [sp, #32]\nstp x21, x22, [sp, #48]\n"
    "ldp x1, x2, [x0, #248]\n"
    "msr elr_el2, x1\nmsr spsr_el2, x2\n"
    "ldp x2, x3, [x0, #16]\nldp x4, x5, [x0, #32]\nldp x6, x7, [x0, #48]\nldp x8, x9, [x0, #64]\n"
    "ldp x10, x11, [x0, #80]\nldp x12, x13, [x0, #96]\nldp x14, x15, [x0, #112]\nldp x16, x17, [x0, #128]\n"
    "ldp x18, x19, [x0, #144]\nldp x20, x21, [x0, #160]\nldp x22, x23, [x0, #176]\nldp x24, x25, [x0, #192]\n"
    "ldp x26, x27, [x0, #208]\nldp x28, x29, [x0, #224]\nldr x30, [x0, #240]\nldp x0, x1, [x0]\n"
    "eret\ndsb nsh\nisb\n"
    AXVCPU_I_ARM64_END("axvcpu_i_arm64_enter"));

/* VBAR_EL2 (DDI 0487, "Exception vectors"): 16 slots of 0x80 bytes. 0-7 are exceptions at EL2 itself, 8-15
   those of the guest. */
#ifdef AXVCPU_OWN_VECTORS
__asm__(AXVCPU_I_ARM64_FUNCTION("axvcpu_arm64_guest_vectors", "0x80")
    AXVCPU_ARM64_GUEST_VECTORS
    AXVCPU_I_ARM64_END("axvcpu_arm64_guest_vectors"));
#else
extern const char axvcpu_i_arm64_vectors[] __attribute__((visibility("hidden")));

__asm__(AXVCPU_I_ARM64_FUNCTION("axvcpu_i_arm64_vectors", "0x800")
    ".irp axvcpu_slot, 0, 1, 2, 3, 4, 5, 6, 7\n"
    ".balign 0x80\nsub sp, sp, #288\nstp x0, x1, [sp]\nmov x0, #\\axvcpu_slot\nb axvcpu_i_arm64_vectors + 0x800\n"
    ".endr\n.balign 0x80\n"
    AXVCPU_ARM64_GUEST_VECTORS
    /* 0x800: the host's frame; slot in x0 */
    "stp x2, x3, [sp, #16]\nmrs x1, elr_el2\nmrs x2, spsr_el2\nmrs x3, esr_el2\nstp x4, x5, [sp, #32]\n"
    "mrs x4, far_el2\nstp x30, x1, [sp, #240]\nstp x2, x3, [sp, #256]\nstp x4, x0, [sp, #272]\n"
    "stp x6, x7, [sp, #48]\nstp x8, x9, [sp, #64]\nstp x10, x11, [sp, #80]\nstp x12, x13, [sp, #96]\n"
    "stp x14, x15, [sp, #112]\nstp x16, x17, [sp, #128]\nstp x18, x19, [sp, #144]\nstp x20, x21, [sp, #160]\n"
    "stp x22, x23, [sp, #176]\nstp x24, x25, [sp, #192]\nstp x26, x27, [sp, #208]\nstp x28, x29, [sp, #224]\n"
    "mov x0, sp\nbl axvcpu_i_arm64_host_trap\n"
    "ldp x30, x1, [sp, #240]\nldr x2, [sp, #256]\nmsr elr_el2, x1\nmsr spsr_el2, x2\n"
    "ldp x2, x3, [sp, #16]\nldp x4, x5, [sp, #32]\nldp x6, x7, [sp, #48]\nldp x8, x9, [sp, #64]\n"
    "ldp x10, x11, [sp, #80]\nldp x12, x13, [sp, #96]\nldp x14, x15, [sp, #112]\nldp x16, x17, [sp, #128]\n"
    "ldp x18, x19, [sp, #144]\nldp x20, x21, [sp, #160]\nldp x22, x23, [sp, #176]\nldp x24, x25, [sp, #192]\n"
    "ldp x26, x27, [sp, #208]\nldp x28, x29, [sp, #224]\nldp x0, x1, [sp], #288\n"
    "eret\ndsb nsh\nisb\n"
    AXVCPU_I_ARM64_END("axvcpu_i_arm64_vectors"));

#ifndef AXVCPU_HOST_EXCEPTION
void axvcpu_host_exception(struct axvcpu_arm64_frame *);
#define AXVCPU_HOST_EXCEPTION(frame) axvcpu_host_exception(frame)
#endif
extern void axvcpu_i_arm64_host_trap(struct axvcpu_arm64_frame *);
__attribute__((weak, visibility("hidden"), used)) void axvcpu_i_arm64_host_trap(struct axvcpu_arm64_frame *frame)
{
    AXVCPU_HOST_EXCEPTION(frame);
}
#endif

/* FP and SIMD, whatever this file may use of them itself. */
static void axvcpu_i_arm64_save_fp(struct axvcpu_arch *a)
{
    __asm__ volatile(".arch_extension fp\n.arch_extension simd\n"
                     "stp q0, q1, [%0]\nstp q2, q3, [%0, #32]\nstp q4, q5, [%0, #64]\nstp q6, q7, [%0, #96]\n"
                     "stp q8, q9, [%0, #128]\nstp q10, q11, [%0, #160]\nstp q12, q13, [%0, #192]\nstp q14, q15, [%0, #224]\n"
                     "stp q16, q17, [%0, #256]\nstp q18, q19, [%0, #288]\nstp q20, q21, [%0, #320]\nstp q22, q23, [%0, #352]\n"
                     "stp q24, q25, [%0, #384]\nstp q26, q27, [%0, #416]\nstp q28, q29, [%0, #448]\nstp q30, q31, [%0, #480]\n"
                     : : "r"(a->q) : "memory");
    a->fpcr = AXVCPU_I_ARM64_READ(fpcr);
    a->fpsr = AXVCPU_I_ARM64_READ(fpsr);
}

static void axvcpu_i_arm64_load_fp(const struct axvcpu_arch *a)
{
    __asm__ volatile(".arch_extension fp\n.arch_extension simd\n"
                     "ldp q0, q1, [%0]\nldp q2, q3, [%0, #32]\nldp q4, q5, [%0, #64]\nldp q6, q7, [%0, #96]\n"
                     "ldp q8, q9, [%0, #128]\nldp q10, q11, [%0, #160]\nldp q12, q13, [%0, #192]\nldp q14, q15, [%0, #224]\n"
                     "ldp q16, q17, [%0, #256]\nldp q18, q19, [%0, #288]\nldp q20, q21, [%0, #320]\nldp q22, q23, [%0, #352]\n"
                     "ldp q24, q25, [%0, #384]\nldp q26, q27, [%0, #416]\nldp q28, q29, [%0, #448]\nldp q30, q31, [%0, #480]\n"
                     : : "r"(a->q) : "memory");
    AXVCPU_I_ARM64_WRITE(fpcr, a->fpcr);
    AXVCPU_I_ARM64_WRITE(fpsr, a->fpsr);
}

static void axvcpu_i_arm64_fp_in(struct axvcpu_arch *a)
{
    AXVCPU_I_ARM64_WRITE(cptr_el2, AXVCPU_I_ARM64_CPTR);
    AXVCPU_I_ARM64_ISB();
    if (a->fp != AXVCPU_ARM64_FP_OWNED)
        axvcpu_i_arm64_load_fp(a);
    a->fp_loaded = true;
}

static void axvcpu_i_arm64_fp_out(struct axvcpu_arch *a)
{
    if (a->fp_loaded && a->fp != AXVCPU_ARM64_FP_OWNED)
        axvcpu_i_arm64_save_fp(a);
    a->fp_loaded = false;
}

/* ---------------------------------------------------------------------------------------------------- */
/* >>percpu                                                                                             */
/* ---------------------------------------------------------------------------------------------------- */

static struct axvcpu_percpu *axvcpu_i_arm64_cpus[AXVCPU_MAX_PHYS_CPUS];
static uint64_t axvcpu_i_arm64_stamps;

static struct axvcpu_arch_percpu *axvcpu_i_arm64_here(void)
{
    uint32_t cpu = AXVCPU_CPU_ID();
    struct axvcpu_percpu *p = cpu < AXVCPU_MAX_PHYS_CPUS ? axvcpu_i_arm64_cpus[cpu] : NULL;

    return p != NULL ? &p->arch : NULL;
}

/* Held for a few instructions, with interrupts masked. */
static void axvcpu_i_arm64_lock(uint32_t *lock)
{
    while (AXVCPU_ATOMIC_XCHG(lock, 1u) != 0)
        ;
}

static void axvcpu_i_arm64_unlock(uint32_t *lock)
{
    AXVCPU_ATOMIC_STORE_RELEASE(lock, 0u);
}

/* >>percpu: the virtual CPU interface. GICv2 (IHI 0048, 5.3) in memory, GICv3 (IHI 0069, 12.4) in system
   registers; list registers are kept as the latter has them. One holds an interrupt from injection until the
   guest has ended it. */
#if defined(AXVCPU_GICH) != defined(AXVCPU_GICV)
#error "axvcpu_arch_arm64.h: define both AXVCPU_GICH() and AXVCPU_GICV(), or neither"
#endif
#ifndef AXVCPU_GICH
#define AXVCPU_GICH() NULL
#define AXVCPU_GICV() 0
#endif
#define AXVCPU_I_ARM64_GICH(offset) (*(volatile uint32_t *)(c->gich + (offset)))
#ifndef AXVCPU_VTIMER_VECTOR
#define AXVCPU_VTIMER_VECTOR 27
#endif
#ifndef AXVCPU_MAINTENANCE_VECTOR
#define AXVCPU_MAINTENANCE_VECTOR 25
#endif
#ifndef AXVCPU_VTIMER_ENABLE
void axvcpu_host_vtimer_enable(bool on);
#define AXVCPU_VTIMER_ENABLE(on) axvcpu_host_vtimer_enable(on)
#endif
enum { AXVCPU_I_ARM64_NO_GIC, AXVCPU_I_ARM64_GICV2, AXVCPU_I_ARM64_GICV3 };
#define AXVCPU_I_ARM64_LR_STATE (UINT64_C(3) << 62)
#define AXVCPU_I_ARM64_LR_PENDING (UINT64_C(1) << 62)
#define AXVCPU_I_ARM64_LR_HW (UINT64_C(1) << 61)
#define AXVCPU_I_ARM64_LR_GROUP1 (UINT64_C(1) << 60)
#define AXVCPU_I_ARM64_LR_PRIORITY (UINT64_C(0xa0) << 48) /* what an operating system gives to most */
#define AXVCPU_I_ARM64_LR_EOI (UINT64_C(1) << 41)         /* without HW: tell us when the guest has ended it */
#define AXVCPU_I_ARM64_LR_PHYSICAL(lr) ((uint32_t)((lr) >> 32) & 0x1fffu)
#define AXVCPU_I_ARM64_LR_VECTOR(lr) ((uint32_t)(lr))
#define AXVCPU_I_ARM64_GIC_ON 1u        /* GICH_HCR, ICH_HCR_EL2 */
#define AXVCPU_I_ARM64_GIC_UNDERFLOW 2u /* ... tell us when at most one list register is in use */

/* GICH_LR: HW 31, group 30, state 29-28, five bits of priority, the physical interrupt or EOI from bit 10. */
static uint32_t axvcpu_i_arm64_lr_v2(uint64_t lr)
{
    uint32_t low = (uint32_t)(lr >> 61 & 1u) << 31 | (uint32_t)(lr >> 62) << 28 | ((uint32_t)(lr >> 51) & 0x1fu) << 23 |
                   (AXVCPU_I_ARM64_LR_VECTOR(lr) & 0x3ffu);

    return low | ((lr & AXVCPU_I_ARM64_LR_HW) != 0 ? (AXVCPU_I_ARM64_LR_PHYSICAL(lr) & 0x3ffu) << 10 :
                                                     (uint32_t)(lr >> 41 & 1u) << 19);
}

#define AXVCPU_I_ARM64_LR_NUMBERS(X)                                                                       \
    X(0, s3_4_c12_c12_0) X(1, s3_4_c12_c12_1) X(2, s3_4_c12_c12_2) X(3, s3_4_c12_c12_3) X(4, s3_4_c12_c12_4) \
    X(5, s3_4_c12_c12_5) X(6, s3_4_c12_c12_6) X(7, s3_4_c12_c12_7) X(8, s3_4_c12_c13_0) X(9, s3_4_c12_c13_1) \
    X(10, s3_4_c12_c13_2) X(11, s3_4_c12_c13_3) X(12, s3_4_c12_c13_4) X(13, s3_4_c12_c13_5)                  \
    X(14, s3_4_c12_c13_6) X(15, s3_4_c12_c13_7)
/* ICH_AP0Rn_EL2 and ICH_AP1Rn_EL2, as many as there are bits of preemption for. */
#define AXVCPU_I_ARM64_APR_NUMBERS(X)                                                                      \
    X(0, 0, s3_4_c12_c8_0) X(1, 0, s3_4_c12_c9_0) X(0, 1, s3_4_c12_c8_1) X(1, 1, s3_4_c12_c9_1)               \
    X(0, 2, s3_4_c12_c8_2) X(1, 2, s3_4_c12_c9_2) X(0, 3, s3_4_c12_c8_3) X(1, 3, s3_4_c12_c9_3)
#define AXVCPU_I_ARM64_ICH_HCR s3_4_c12_c11_0
#define AXVCPU_I_ARM64_ICH_VTR s3_4_c12_c11_1
#define AXVCPU_I_ARM64_ICH_MISR s3_4_c12_c11_2
#define AXVCPU_I_ARM64_ICH_VMCR s3_4_c12_c11_7
#define AXVCPU_I_ARM64_ICC_SRE s3_4_c12_c9_5
#define AXVCPU_I_ARM64_READ_(name) AXVCPU_I_ARM64_READ(name)
#define AXVCPU_I_ARM64_WRITE_(name, value) AXVCPU_I_ARM64_WRITE(name, value)

static void axvcpu_i_arm64_lr_put(const struct axvcpu_arch_percpu *c, uint32_t n, uint64_t lr)
{
#define AXVCPU_I_ARM64_LR_PUT(number, name) case number: AXVCPU_I_ARM64_WRITE(name, lr); break;
    if (c->gic == AXVCPU_I_ARM64_GICV2) {
        AXVCPU_I_ARM64_GICH(0x100 + 4 * n) = axvcpu_i_arm64_lr_v2(lr);
        return;
    }
    switch (n) {
        AXVCPU_I_ARM64_LR_NUMBERS(AXVCPU_I_ARM64_LR_PUT)
    default: break;
    }
}

/* Only its state changes. */
static uint64_t axvcpu_i_arm64_lr_state(const struct axvcpu_arch_percpu *c, uint32_t n)
{
#define AXVCPU_I_ARM64_LR_GET(number, name) case number: return AXVCPU_I_ARM64_READ(name) & AXVCPU_I_ARM64_LR_STATE;
    if (c->gic == AXVCPU_I_ARM64_GICV2)
        return (uint64_t)(AXVCPU_I_ARM64_GICH(0x100 + 4 * n) >> 28 & 3u) << 62;
    switch (n) {
        AXVCPU_I_ARM64_LR_NUMBERS(AXVCPU_I_ARM64_LR_GET)
    default: return 0;
    }
}

static void axvcpu_i_arm64_gic_control(const struct axvcpu_arch_percpu *c, uint32_t hcr)
{
    if (c->gic == AXVCPU_I_ARM64_GICV2)
        AXVCPU_I_ARM64_GICH(0x0) = hcr;
    else
        AXVCPU_I_ARM64_WRITE_(AXVCPU_I_ARM64_ICH_HCR, hcr);
}

static bool axvcpu_i_arm64_gic_wants(const struct axvcpu_arch_percpu *c)
{
    if (c->gic == AXVCPU_I_ARM64_GICV2)
        return AXVCPU_I_ARM64_GICH(0x10) != 0;
    return c->gic == AXVCPU_I_ARM64_GICV3 && AXVCPU_I_ARM64_READ_(AXVCPU_I_ARM64_ICH_MISR) != 0;
}

static void axvcpu_i_arm64_timer_served(struct axvcpu *v);

/* Whose interrupts go through list registers here. */
static bool axvcpu_i_arm64_lists(const struct axvcpu_arch_percpu *c, const struct axvcpu_arch *a)
{
    return c->gic != AXVCPU_I_ARM64_NO_GIC && a->gic == AXVCPU_ARM64_GIC_LIST;
}

/* A level that the guest has ended comes again if it is still there: attention makes leaf_inject look. */
static void axvcpu_i_arm64_ended(struct axvcpu *v, uint32_t n)
{
    struct axvcpu_arch *a = &v->arch;

    if ((a->lr_line >> n & 1u) != 0) {
        if (AXVCPU_I_ARM64_LR_VECTOR(a->lr[n]) == AXVCPU_VTIMER_VECTOR)
            axvcpu_i_arm64_timer_served(v);
        (void)AXVCPU_ATOMIC_FETCH_OR(&v->attn, AXVCPU_ATTN_IRQ);
    }
    a->lr_used &= ~(1u << n);
    a->lr_line &= ~(1u << n);
}

/* Which list registers are free again, and whether one waits to be taken. An empty one that has EOI asks for
   maintenance until it is zero. */
static void axvcpu_i_arm64_sync_lrs(struct axvcpu *v, const struct axvcpu_arch_percpu *c)
{
    struct axvcpu_arch *a = &v->arch;
    uint64_t pending = 0;
    uint32_t n;

    for (n = 0; n < c->lrs && n < AXVCPU_ARM64_LRS && a->lr_used >> n != 0; n++) {
        if ((a->lr_used >> n & 1u) == 0)
            continue;
        a->lr[n] = (a->lr[n] & ~AXVCPU_I_ARM64_LR_STATE) | axvcpu_i_arm64_lr_state(c, n);
        pending |= a->lr[n] & AXVCPU_I_ARM64_LR_PENDING;
        if ((a->lr[n] & AXVCPU_I_ARM64_LR_STATE) == 0) {
            axvcpu_i_arm64_lr_put(c, n, 0);
            axvcpu_i_arm64_ended(v, n);
        }
    }
    AXVCPU_ATOMIC_STORE_RELAXED(&a->lr_pending, pending != 0 ? 1u : 0u);
}

static void axvcpu_i_arm64_save_gic(struct axvcpu_arch *a, const struct axvcpu_arch_percpu *c)
{
#define AXVCPU_I_ARM64_APR_SAVE(group, n, name) \
    if (n < c->aprs)                            \
        a->apr[group][n] = (uint32_t)AXVCPU_I_ARM64_READ(name);
    if (c->gic == AXVCPU_I_ARM64_GICV2) {
        a->vmcr = AXVCPU_I_ARM64_GICH(0x8);
        a->apr[0][0] = AXVCPU_I_ARM64_GICH(0xf0);
        return;
    }
    a->vmcr = (uint32_t)AXVCPU_I_ARM64_READ_(AXVCPU_I_ARM64_ICH_VMCR);
    AXVCPU_I_ARM64_APR_NUMBERS(AXVCPU_I_ARM64_APR_SAVE)
}

static void axvcpu_i_arm64_restore_gic(const struct axvcpu_arch *a, const struct axvcpu_arch_percpu *c)
{
#define AXVCPU_I_ARM64_APR_RESTORE(group, n, name) \
    if (n < c->aprs)                               \
        AXVCPU_I_ARM64_WRITE(name, a->apr[group][n]);
    if (c->gic == AXVCPU_I_ARM64_GICV2) {
        AXVCPU_I_ARM64_GICH(0x8) = a->vmcr;
        AXVCPU_I_ARM64_GICH(0xf0) = a->apr[0][0];
        return;
    }
    AXVCPU_I_ARM64_WRITE_(AXVCPU_I_ARM64_ICH_VMCR, a->vmcr);
    AXVCPU_I_ARM64_APR_NUMBERS(AXVCPU_I_ARM64_APR_RESTORE)
}

static void axvcpu_i_arm64_gic_out(struct axvcpu *v, const struct axvcpu_arch_percpu *c)
{
    if (!axvcpu_i_arm64_lists(c, &v->arch))
        return;
    axvcpu_i_arm64_sync_lrs(v, c);
    axvcpu_i_arm64_save_gic(&v->arch, c);
    axvcpu_i_arm64_gic_control(c, 0);
}

/* All of them: the last one's interrupts are no business of this guest. */
static void axvcpu_i_arm64_gic_in(const struct axvcpu_arch *a, const struct axvcpu_arch_percpu *c)
{
    uint32_t n;

    if (!axvcpu_i_arm64_lists(c, a))
        return;
    for (n = 0; n < c->lrs && n < AXVCPU_ARM64_LRS; n++)
        axvcpu_i_arm64_lr_put(c, n, (a->lr_used >> n & 1u) != 0 ? a->lr[n] : 0);
    axvcpu_i_arm64_restore_gic(a, c);
    axvcpu_i_arm64_gic_control(c, AXVCPU_I_ARM64_GIC_ON);
}

/* >>percpu: the virtual timer. It runs in the hardware while its vCPU is loaded. When it is due, its interrupt
   becomes a level of the guest's and its source is switched off until the guest has ended that. */

/* The registers of a vCPU that is loaded are in the hardware. */
static bool axvcpu_i_arm64_timer_fires(const struct axvcpu_arch *a)
{
    uint64_t ctl = axvcpu_i_arm64_get_el1(a, AXVCPU_ARM64_cntv_ctl_el0);

    if ((ctl & (AXVCPU_I_ARM64_CNT_ENABLE | AXVCPU_I_ARM64_CNT_IMASK)) != AXVCPU_I_ARM64_CNT_ENABLE ||
        a->timer != AXVCPU_ARM64_TIMER_VIRTUAL)
        return false;
    return a->loaded ? (ctl & AXVCPU_I_ARM64_CNT_ISTATUS) != 0 :
                       AXVCPU_I_ARM64_READ(cntpct_el0) - a->cntvoff >= a->el1[AXVCPU_ARM64_cntv_cval_el0];
}

static void axvcpu_i_arm64_timer_served(struct axvcpu *v)
{
    if (!v->arch.timer_due || axvcpu_i_arm64_timer_fires(&v->arch))
        return;
    v->arch.timer_due = false;
    (void)AXVCPU_ATOMIC_FETCH_AND(&v->lines[AXVCPU_VTIMER_VECTOR / 64], ~(UINT64_C(1) << AXVCPU_VTIMER_VECTOR % 64));
    AXVCPU_VTIMER_ENABLE(true);
}

static bool axvcpu_i_arm64_timer_fired(struct axvcpu *v)
{
    if (v->arch.timer != AXVCPU_ARM64_TIMER_VIRTUAL)
        return false;
    AXVCPU_VTIMER_ENABLE(false);
    v->arch.timer_due = true;
    (void)axvcpu_set_irq(v, AXVCPU_VTIMER_VECTOR, true);
    return true;
}

/* Its registers are saved and still there. Stopped, it does not fire into others. */
static void axvcpu_i_arm64_timer_out(struct axvcpu *v)
{
    struct axvcpu_arch *a = &v->arch;
    uint64_t ctl = a->el1[AXVCPU_ARM64_cntv_ctl_el0];
    bool runs = (ctl & (AXVCPU_I_ARM64_CNT_ENABLE | AXVCPU_I_ARM64_CNT_IMASK)) == AXVCPU_I_ARM64_CNT_ENABLE;

    AXVCPU_I_ARM64_WRITE(cntv_ctl_el0, 0);
    if (a->timer_due)
        AXVCPU_VTIMER_ENABLE(true);
    else if (runs && a->timer == AXVCPU_ARM64_TIMER_VIRTUAL)
        AXVCPU_TIMER_ARM(v, a->el1[AXVCPU_ARM64_cntv_cval_el0] + a->cntvoff);
}

static void axvcpu_i_arm64_timer_in(const struct axvcpu_arch *a)
{
    AXVCPU_I_ARM64_WRITE(cntvoff_el2, a->cntvoff);
    if (a->timer_due)
        AXVCPU_VTIMER_ENABLE(false);
    AXVCPU_I_ARM64_WRITE(cntv_ctl_el0, a->el1[AXVCPU_ARM64_cntv_ctl_el0]); /* unload has stopped it */
}

AXVCPU_API bool axvcpu_arm64_irq(uint32_t vector)
{
    struct axvcpu_arch_percpu *c = axvcpu_i_arm64_here();

    if (c == NULL || c->now == NULL)
        return false;
    if (vector == AXVCPU_VTIMER_VECTOR)
        return axvcpu_i_arm64_timer_fired(c->now);
    if (vector != AXVCPU_MAINTENANCE_VECTOR || !axvcpu_i_arm64_lists(c, &c->now->arch))
        return false;
    axvcpu_i_arm64_sync_lrs(c->now, c);
    axvcpu_i_arm64_gic_control(c, AXVCPU_I_ARM64_GIC_ON);
    return true;
}

/* EL2, and not with E2H fixed to 1 (FEAT_E2H0 absent). */
static const char *axvcpu_i_arm64_unfit(void)
{
    uint64_t el = AXVCPU_I_ARM64_READ(CurrentEL), hcr, tried;

    if ((el >> 2 & 3u) != 2)
        return "not at EL2";
    hcr = AXVCPU_I_ARM64_READ(hcr_el2);
    AXVCPU_I_ARM64_WRITE(hcr_el2, hcr & ~AXVCPU_I_ARM64_HCR_E2H);
    AXVCPU_I_ARM64_ISB();
    tried = AXVCPU_I_ARM64_READ(hcr_el2);
    AXVCPU_I_ARM64_WRITE(hcr_el2, hcr);
    AXVCPU_I_ARM64_ISB();
    if ((tried & AXVCPU_I_ARM64_HCR_E2H) != 0)
        return "HCR_EL2.E2H is fixed to 1";
    return (hcr & AXVCPU_I_ARM64_HCR_E2H) != 0 ? "the host runs with HCR_EL2.E2H" : NULL;
}

AXVCPU_API bool axvcpu_leaf_supported(void)
{
    return axvcpu_i_arm64_unfit() == NULL;
}

AXVCPU_API int axvcpu_leaf_percpu_init(struct axvcpu_percpu *p, uint32_t cpu_id)
{
    p->arch.cpu_id = cpu_id;
    return cpu_id < AXVCPU_MAX_PHYS_CPUS ? AXVCPU_OK : AXVCPU_EINVAL;
}

AXVCPU_API void axvcpu_leaf_percpu_deinit(struct axvcpu_percpu *p)
{
    (void)p;
}

/* ID_AA64PFR0_EL1.GIC, ICC_SRE_EL2.SRE */
static bool axvcpu_i_arm64_has_gicv3(void)
{
    return (AXVCPU_I_ARM64_READ(id_aa64pfr0_el1) >> 24 & 0xfu) != 0 &&
           (AXVCPU_I_ARM64_READ_(AXVCPU_I_ARM64_ICC_SRE) & 1u) != 0;
}

/* ICH_VTR_EL2: ListRegs, and PREbits for the active priorities. */
static void axvcpu_i_arm64_find_gic(struct axvcpu_arch_percpu *c)
{
    bool v3 = axvcpu_i_arm64_has_gicv3();
    uint32_t vtr = v3 ? (uint32_t)AXVCPU_I_ARM64_READ_(AXVCPU_I_ARM64_ICH_VTR) : 0;

    c->gich = (char *)AXVCPU_GICH();
    c->gic = v3 ? AXVCPU_I_ARM64_GICV3 : c->gich != NULL ? AXVCPU_I_ARM64_GICV2 : AXVCPU_I_ARM64_NO_GIC;
    if (c->gic == AXVCPU_I_ARM64_GICV2)
        vtr = AXVCPU_I_ARM64_GICH(0x4);
    c->aprs = v3 ? 1u << ((vtr >> 26 & 7u) + 1 > 5 ? (vtr >> 26 & 7u) - 4 : 0) : 0;
    c->lrs = c->gic != AXVCPU_I_ARM64_NO_GIC ? (vtr & 0x1fu) + 1 : 0;
    if (c->lrs > AXVCPU_ARM64_LRS)
        c->lrs = AXVCPU_ARM64_LRS;
}

AXVCPU_API int axvcpu_leaf_percpu_enable(struct axvcpu_percpu *p)
{
    struct axvcpu_arch_percpu *c = &p->arch;
    const char *unfit = axvcpu_i_arm64_unfit();

    if (unfit != NULL) {
        AXVCPU_LOG(AXVCPU_LOG_ERROR, unfit);
        return AXVCPU_ENOSUPPORT;
    }
#ifndef AXVCPU_OWN_VECTORS
    c->vbar = AXVCPU_I_ARM64_READ(vbar_el2);
    AXVCPU_I_ARM64_WRITE(vbar_el2, (uintptr_t)axvcpu_i_arm64_vectors);
    AXVCPU_I_ARM64_ISB();
#endif
    axvcpu_i_arm64_find_gic(c);
    c->stamp = 0;
    c->vmid = 0;
    axvcpu_i_arm64_cpus[c->cpu_id] = p;
    return AXVCPU_OK;
}

AXVCPU_API int axvcpu_leaf_percpu_disable(struct axvcpu_percpu *p)
{
    if (p->arch.now != NULL) /* a vCPU is still bound here */
        return AXVCPU_EBUSY;
    axvcpu_i_arm64_cpus[p->arch.cpu_id] = NULL;
#ifndef AXVCPU_OWN_VECTORS
    AXVCPU_I_ARM64_WRITE(vbar_el2, p->arch.vbar);
    AXVCPU_I_ARM64_ISB();
#endif
    return AXVCPU_OK;
}

/* >>percpu: VMIDs. They have 8 bits everywhere, and 0 is nobody's. When all are taken a new generation begins:
   what is loaded somewhere keeps its own, nothing of the others is left in a TLB, and they get new ones when
   they are loaded next. Those that the host gives are never ours. */
#define AXVCPU_I_ARM64_VMIDS 256u
static uint32_t axvcpu_i_arm64_vmid_lock;
static uint64_t axvcpu_i_arm64_generation = AXVCPU_I_ARM64_VMIDS;
static uint64_t axvcpu_i_arm64_taken[AXVCPU_I_ARM64_VMIDS / 64] = { 1 };
static uint64_t axvcpu_i_arm64_given[AXVCPU_I_ARM64_VMIDS / 64] = { 1 };

static bool axvcpu_i_arm64_has_vmid(const struct axvm_arch *m)
{
    return (m->vmid & ~(uint64_t)(AXVCPU_I_ARM64_VMIDS - 1)) == axvcpu_i_arm64_generation;
}

static void axvcpu_i_arm64_new_generation(void)
{
    uint32_t i;

    axvcpu_i_arm64_generation += AXVCPU_I_ARM64_VMIDS;
    AXVCPU_MEMCPY(axvcpu_i_arm64_taken, axvcpu_i_arm64_given, sizeof(axvcpu_i_arm64_taken));
    for (i = 0; i < AXVCPU_MAX_PHYS_CPUS; i++) {
        const struct axvcpu_arch_percpu *c = axvcpu_i_arm64_cpus[i] != NULL ? &axvcpu_i_arm64_cpus[i]->arch : NULL;

        if (c != NULL && c->vmid != 0) {
            c->now->vm.vm->arch.vmid = axvcpu_i_arm64_generation | c->vmid;
            axvcpu_i_arm64_taken[c->vmid / 64] |= UINT64_C(1) << (c->vmid & 63u);
        }
    }
    __asm__ volatile("dsb ishst\ntlbi alle1is\ndsb ish\nisb" : : : "memory");
}

static uint32_t axvcpu_i_arm64_free_vmid(void)
{
    uint32_t i;

    for (i = 1; i < AXVCPU_I_ARM64_VMIDS; i++) {
        if ((axvcpu_i_arm64_taken[i / 64] >> (i & 63u) & 1u) == 0)
            return i;
    }
    return 0;
}

/* Under the lock. More CPUs than VMIDs there are not. */
static uint32_t axvcpu_i_arm64_take_vmid(struct axvm_arch *m)
{
    uint32_t id;

    if (axvcpu_i_arm64_has_vmid(m))
        return (uint32_t)m->vmid & (AXVCPU_I_ARM64_VMIDS - 1);
    id = axvcpu_i_arm64_free_vmid();
    if (id == 0) {
        axvcpu_i_arm64_new_generation();
        id = axvcpu_i_arm64_free_vmid();
        AXVCPU_ASSERT(id != 0);
    }
    axvcpu_i_arm64_taken[id / 64] |= UINT64_C(1) << (id & 63u);
    m->vmid = axvcpu_i_arm64_generation | id;
    return id;
}

/* EBUSY: a VM that is loaded at the moment has it. */
static int axvcpu_i_arm64_give_vmid(uint32_t id)
{
    uint64_t bit = UINT64_C(1) << (id & 63u);
    int err = AXVCPU_OK;

    axvcpu_i_arm64_lock(&axvcpu_i_arm64_vmid_lock);
    if ((axvcpu_i_arm64_taken[id / 64] & ~axvcpu_i_arm64_given[id / 64] & bit) != 0) {
        axvcpu_i_arm64_new_generation();
        err = (axvcpu_i_arm64_taken[id / 64] & bit) != 0 ? AXVCPU_EBUSY : AXVCPU_OK;
    }
    if (err == 0) {
        axvcpu_i_arm64_taken[id / 64] |= bit;
        axvcpu_i_arm64_given[id / 64] |= bit;
    }
    axvcpu_i_arm64_unlock(&axvcpu_i_arm64_vmid_lock);
    return err;
}

static void axvcpu_i_arm64_vmid_in(const struct axvcpu *v, struct axvcpu_arch_percpu *c)
{
    uint64_t id = v->arch.vmid;

    axvcpu_i_arm64_lock(&axvcpu_i_arm64_vmid_lock);
    c->now = (struct axvcpu *)(uintptr_t)v;
    c->vmid = 0;
    if (id == 0)
        id = c->vmid = axvcpu_i_arm64_take_vmid(&v->vm.vm->arch);
    axvcpu_i_arm64_unlock(&axvcpu_i_arm64_vmid_lock);
    AXVCPU_I_ARM64_WRITE(vttbr_el2, v->arch.root | id << 48);
}

static void axvcpu_i_arm64_vmid_out(struct axvcpu_arch_percpu *c)
{
    axvcpu_i_arm64_lock(&axvcpu_i_arm64_vmid_lock);
    c->now = NULL;
    c->vmid = 0;
    axvcpu_i_arm64_unlock(&axvcpu_i_arm64_vmid_lock);
}

/* >>percpu: whose registers are loaded */

/* HCR_EL2.VSE falls when the guest has taken the SError. */
static void axvcpu_i_arm64_unload(struct axvcpu *v, struct axvcpu_arch_percpu *c)
{
    struct axvcpu_arch *a = &v->arch;

    axvcpu_i_arm64_fp_out(a);
    axvcpu_i_arm64_gic_out(v, c);
    axvcpu_i_arm64_save_el1(a->el1);
    axvcpu_i_arm64_save_keys(a->key);
    a->loaded = false;
    axvcpu_i_arm64_timer_out(v);
    a->hcr = AXVCPU_I_ARM64_READ(hcr_el2);
    AXVCPU_I_ARM64_WRITE(cptr_el2, c->cptr);
    AXVCPU_I_ARM64_WRITE(cnthctl_el2, c->cnthctl);
    AXVCPU_I_ARM64_WRITE(cntvoff_el2, c->cntvoff); /* the host's own virtual counter must not jump */
    AXVCPU_I_ARM64_WRITE(mdcr_el2, c->mdcr);
    AXVCPU_I_ARM64_WRITE(hcr_el2, c->hcr);
    AXVCPU_I_ARM64_ISB();
    axvcpu_i_arm64_vmid_out(c);
}

static bool axvcpu_i_arm64_has_ras(void)
{
    return (AXVCPU_I_ARM64_READ(id_aa64pfr0_el1) >> 28 & 0xfu) != 0;
}

static void axvcpu_i_arm64_control_in(const struct axvcpu_arch *a, struct axvcpu_arch_percpu *c)
{
    c->hcr = AXVCPU_I_ARM64_READ(hcr_el2);
    c->cptr = AXVCPU_I_ARM64_READ(cptr_el2);
    c->mdcr = AXVCPU_I_ARM64_READ(mdcr_el2);
    c->cnthctl = AXVCPU_I_ARM64_READ(cnthctl_el2);
    c->cntvoff = AXVCPU_I_ARM64_READ(cntvoff_el2);
    AXVCPU_I_ARM64_WRITE(hcr_el2, a->hcr);
    AXVCPU_I_ARM64_WRITE(mdcr_el2, (c->mdcr & 0x1fu) | AXVCPU_I_ARM64_MDCR); /* HPMN stays */
    AXVCPU_I_ARM64_WRITE(cnthctl_el2, a->timer == AXVCPU_ARM64_TIMER_VIRTUAL ? AXVCPU_I_ARM64_CNTHCTL :
                                                                              AXVCPU_I_ARM64_CNTHCTL_ALL);
    AXVCPU_I_ARM64_WRITE(vtcr_el2, a->vtcr);
    AXVCPU_I_ARM64_WRITE(cptr_el2, AXVCPU_I_ARM64_CPTR | AXVCPU_I_ARM64_CPTR_TFP);
    if (axvcpu_i_arm64_has_ras())
        AXVCPU_I_ARM64_WRITE(s3_4_c5_c2_3, a->vsesr); /* VSESR_EL2 */
}

/* The host's configuration out, the guest's in. EL1's registers may still be there. */
static void axvcpu_i_arm64_load(struct axvcpu *v, struct axvcpu_arch_percpu *c)
{
    struct axvcpu_arch *a = &v->arch;

    if (c->now != NULL) {
        (void)AXVCPU_ATOMIC_FETCH_OR(&c->now->attn, AXVCPU_ATTN_IRQ); /* it has to be loaded before it runs */
        axvcpu_i_arm64_unload(c->now, c);
    }
    axvcpu_i_arm64_vmid_in(v, c);
    axvcpu_i_arm64_control_in(a, c);
    if (a->stamp == 0 || a->stamp != c->stamp) {
        axvcpu_i_arm64_restore_el1(a->el1);
        axvcpu_i_arm64_restore_keys(a->key);
        a->stamp = c->stamp = AXVCPU_ATOMIC_FETCH_ADD(&axvcpu_i_arm64_stamps, 1u) + 1;
    }
    axvcpu_i_arm64_timer_in(a);
    axvcpu_i_arm64_gic_in(a, c);
    a->loaded = true;
    if (a->fp != AXVCPU_ARM64_FP_LAZY)
        axvcpu_i_arm64_fp_in(a);
    if (!a->timer_due && axvcpu_i_arm64_timer_fires(a)) /* while it was away: before the guest goes on */
        (void)axvcpu_i_arm64_timer_fired(v);
}

/* What an abandoned vCPU had in its dead CPU's registers is lost. */
static void axvcpu_i_arm64_orphan(struct axvcpu *v)
{
    uint32_t i;

    axvcpu_i_arm64_lock(&axvcpu_i_arm64_vmid_lock);
    for (i = 0; i < AXVCPU_MAX_PHYS_CPUS; i++) {
        if (axvcpu_i_arm64_cpus[i] != NULL && axvcpu_i_arm64_cpus[i]->arch.now == v) {
            axvcpu_i_arm64_cpus[i]->arch.now = NULL;
            axvcpu_i_arm64_cpus[i]->arch.vmid = 0;
        }
    }
    axvcpu_i_arm64_unlock(&axvcpu_i_arm64_vmid_lock);
    v->arch.loaded = v->arch.fp_loaded = false;
    v->arch.stamp = 0;
}

AXVCPU_API int axvcpu_i_arm64_move(struct axvcpu *v, bool in)
{
    struct axvcpu_arch_percpu *c = axvcpu_i_arm64_here();

    if (c == NULL)
        return AXVCPU_ENOSUPPORT;
    if (in && !v->arch.loaded)
        axvcpu_i_arm64_load(v, c);
    else if (!in && v->arch.loaded && c->now != v)
        axvcpu_i_arm64_orphan(v);
    else if (!in && v->arch.loaded)
        axvcpu_i_arm64_unload(v, c);
    return AXVCPU_OK;
}

AXVCPU_API int axvcpu_leaf_put(struct axvcpu *v)
{
    return axvcpu_i_arm64_move(v, false);
}

AXVCPU_API int axvcpu_leaf_load(struct axvcpu *v)
{
    return axvcpu_i_arm64_move(v, true);
}

/* ---------------------------------------------------------------------------------------------------- */
/* >>leaves: life                                                                                       */
/* ---------------------------------------------------------------------------------------------------- */

/* A CPU after reset: at EL1 with everything masked (DDI 0487, AArch64.TakeReset; PSCI 6.4). */
static void axvcpu_i_arm64_reset(struct axvcpu_arch *a)
{
    static const uint64_t reset[] = {
#define AXVCPU_I_ARM64_RESET(name, op0, op1, crn, crm, op2, reset) reset,
        AXVCPU_ARM64_EL1_REGS(AXVCPU_I_ARM64_RESET)
    };
    uint32_t i;

    AXVCPU_MEMSET(a->x, 0, sizeof(a->x));
    AXVCPU_MEMSET(a->q, 0, sizeof(a->q));
    a->fpcr = a->fpsr = 0;
    if (a->fp_loaded)
        axvcpu_i_arm64_load_fp(a);
    a->pstate = AXVCPU_ARM64_PSTATE_DAIF | AXVCPU_ARM64_PSTATE_EL1H;
    a->step = 0;
    a->hcr &= ~(AXVCPU_I_ARM64_HCR_VI | AXVCPU_I_ARM64_HCR_VSE);
    if (a->loaded)
        AXVCPU_I_ARM64_WRITE(hcr_el2, a->hcr);
    for (i = 0; i < AXVCPU_ARM64_REG_COUNT; i++)
        axvcpu_i_arm64_set_el1(a, i, reset[i]);
    axvcpu_i_arm64_set_el1(a, AXVCPU_ARM64_vmpidr_el2, a->mpidr | UINT64_C(1) << 31);
    axvcpu_i_arm64_set_el1(a, AXVCPU_ARM64_vpidr_el2, AXVCPU_I_ARM64_READ(midr_el1));
    AXVCPU_MEMSET(a->key, 0, sizeof(a->key));
    if (a->loaded)
        axvcpu_i_arm64_restore_keys(a->key);
    a->stamp = 0;
}

AXVCPU_API int axvcpu_leaf_create(struct axvcpu *v, const struct axvcpu_arch_create *create)
{
    if ((create->mpidr & ~AXVCPU_ARM64_MPIDR_AFFINITY) != 0)
        return AXVCPU_EINVAL;
    v->arch.mpidr = create->mpidr != 0 ? create->mpidr : axvcpu_i_arm64_mpidr(v->vcpu_id);
    axvcpu_i_arm64_reset(&v->arch);
    return AXVCPU_OK;
}

AXVCPU_API void axvcpu_leaf_destroy(struct axvcpu *v)
{
    (void)v;
}

AXVCPU_API int axvcpu_leaf_reset(struct axvcpu *v)
{
    struct axvcpu_arch *a = &v->arch;
    uint64_t mpidr = a->mpidr;

    AXVCPU_MEMSET(a, 0, sizeof(*a));
    a->mpidr = mpidr;
    axvcpu_i_arm64_reset(a);
    return AXVCPU_OK;
}

AXVCPU_API int axvcpu_leaf_set_entry(struct axvcpu *v, axvcpu_gpa_t entry)
{
    v->arch.pc = entry.addr;
    return AXVCPU_OK;
}

AXVCPU_API int axvcpu_leaf_set_root(struct axvcpu *v, axvcpu_hpa_t root)
{
    v->arch.root = root.addr;
    return AXVCPU_OK;
}

/* The CPU interface forgets, and the timer's interrupt is nobody's any more. */
static void axvcpu_i_arm64_reset_gic(struct axvcpu_arch *a)
{
    a->lr_used = a->lr_line = 0;
    a->vmcr = 0;
    a->hw[0] = 0;
    AXVCPU_MEMSET(a->apr, 0, sizeof(a->apr));
    AXVCPU_ATOMIC_STORE_RELAXED(&a->lr_pending, 0u);
    if (a->timer_due && a->loaded)
        AXVCPU_VTIMER_ENABLE(true);
    a->timer_due = false;
    if (a->loaded)
        axvcpu_i_arm64_gic_in(a, axvcpu_i_arm64_here());
}

/* Attention was forgotten with the interrupts; a vCPU that made room for another needs it. */
AXVCPU_API int axvcpu_leaf_restart(struct axvcpu *v, axvcpu_gpa_t entry, uint64_t arg)
{
    axvcpu_i_arm64_reset(&v->arch);
    axvcpu_i_arm64_reset_gic(&v->arch);
    if (!v->arch.loaded)
        (void)AXVCPU_ATOMIC_FETCH_OR(&v->attn, AXVCPU_ATTN_IRQ);
    v->arch.pc = entry.addr;
    v->arch.x[0] = arg;
    return AXVCPU_OK;
}

/* ---------------------------------------------------------------------------------------------------- */
/* >>tables                                                                                             */
/* ---------------------------------------------------------------------------------------------------- */

/* Stage 2, 4 KiB granule (DDI 0487, "The VMSAv8-64 translation table format", VTCR_EL2). Input and output
   have as many bits as the CPU's physical addresses, up to 48: from 44 on the walk starts at level 0, below
   that at level 1 with up to 16 tables side by side. */
#define AXVCPU_I_ARM64_DESC_VALID UINT64_C(1)
#define AXVCPU_I_ARM64_DESC_TABLE UINT64_C(2) /* at level 3: a page */
#define AXVCPU_I_ARM64_DESC_ADDR UINT64_C(0xfffffffff000)
#define AXVCPU_I_ARM64_DESC_NORMAL (UINT64_C(0xf) << 2 | UINT64_C(3) << 8) /* write-back, inner shareable */
#define AXVCPU_I_ARM64_DESC_DEVICE (UINT64_C(1) << 2)                      /* nGnRE */
#define AXVCPU_I_ARM64_DESC_READ (UINT64_C(1) << 6)
#define AXVCPU_I_ARM64_DESC_WRITE (UINT64_C(1) << 7)
#define AXVCPU_I_ARM64_DESC_AF (UINT64_C(1) << 10)
#define AXVCPU_I_ARM64_DESC_XN (UINT64_C(1) << 54)
#define AXVCPU_I_ARM64_DESC_LOG (UINT64_C(1) << 55) /* ours (58-55 are software's): writable in truth; WRITE: dirty */
#define AXVCPU_I_ARM64_SHIFT(level) (39u - 9u * (level)) /* address bits below an entry's own */

static uint32_t axvcpu_i_arm64_pa_bits(void)
{
    static const uint8_t bits[] = { 32, 36, 40, 42, 44, 48 };
    uint64_t range = AXVCPU_I_ARM64_READ(id_aa64mmfr0_el1) & 0xfu;

    return bits[range < sizeof(bits) ? range : sizeof(bits) - 1];
}

static uint32_t axvcpu_i_arm64_start_level(uint32_t pa_bits)
{
    return pa_bits >= 44 ? 0 : 1;
}

static uint32_t axvcpu_i_arm64_root_pages(uint32_t pa_bits)
{
    return pa_bits > 39 && pa_bits < 44 ? 1u << (pa_bits - 39) : 1;
}

static uint64_t axvcpu_i_arm64_vtcr(uint32_t pa_bits)
{
    uint64_t range = AXVCPU_I_ARM64_READ(id_aa64mmfr0_el1) & 0xfu;
    uint64_t start = axvcpu_i_arm64_start_level(pa_bits) == 0 ? 2 : 1;

    /* RES1, PS, inner shareable and write-back walks, SL0, T0SZ */
    return UINT64_C(1) << 31 | (range < 5 ? range : 5) << 16 | 3u << 12 | 1u << 10 | 1u << 8 | start << 6 |
           (64u - pa_bits);
}

AXVCPU_API uint32_t axvcpu_leaf_max_guest_page_table_levels(const struct axvcpu_percpu *p)
{
    (void)p;
    return 4 - axvcpu_i_arm64_start_level(axvcpu_i_arm64_pa_bits());
}

static uint64_t *axvcpu_i_arm64_table(uint64_t hpa)
{
    return (uint64_t *)AXVCPU_PHYS_TO_VIRT(axvcpu_hpa(hpa & AXVCPU_I_ARM64_DESC_ADDR));
}

static bool axvcpu_i_arm64_is_table(uint64_t desc, uint32_t level)
{
    return level < 3 && (desc & 3u) == 3u;
}

static void axvcpu_i_arm64_put_desc(uint64_t *entry, uint64_t desc)
{
    *(volatile uint64_t *)entry = desc;
}

/* The entry for gpa at `level`, with `make` what is missing on the way is made (NULL: without frames); else
   the one that there is, *level says where. */
static uint64_t *axvcpu_i_arm64_entry(const struct axvm_arch *m, uint64_t gpa, uint32_t *level, bool make)
{
    uint64_t *table = axvcpu_i_arm64_table(m->root);
    uint32_t at = 4 - m->levels;
    uint64_t *entry = &table[gpa >> AXVCPU_I_ARM64_SHIFT(at)]; /* the first level may be more than 512 wide */

    for (; at < *level; at++) {
        if (make && (*entry & AXVCPU_I_ARM64_DESC_VALID) == 0) {
            axvcpu_hpa_t frame = AXVCPU_ALLOC_FRAME(1, AXVM_LEAF_PAGE);
            if (frame.addr == 0)
                return NULL;
            __asm__ volatile("dsb ishst" : : : "memory"); /* its zeroes are there before it is */
            axvcpu_i_arm64_put_desc(entry, frame.addr | AXVCPU_I_ARM64_DESC_TABLE | AXVCPU_I_ARM64_DESC_VALID);
        }
        if (!axvcpu_i_arm64_is_table(*entry, at))
            break;
        entry = &axvcpu_i_arm64_table(*entry)[gpa >> AXVCPU_I_ARM64_SHIFT(at + 1) & 0x1ffu];
    }
    *level = at;
    return entry;
}

/* The largest leaf for what is left of a mapping: 1 GiB, 2 MiB or 4 KiB. */
static uint32_t axvcpu_i_arm64_leaf_level(uint64_t gpa, uint64_t hpa, uint64_t size)
{
    uint32_t level;

    for (level = 1; level < 3; level++) {
        uint64_t block = UINT64_C(1) << AXVCPU_I_ARM64_SHIFT(level);
        if (((gpa | hpa) & (block - 1)) == 0 && size >= block)
            break;
    }
    return level;
}

/* A page that is logged is not writable until it has been written. */
static uint64_t axvcpu_i_arm64_attributes(uint32_t flags)
{
    bool write = (flags & AXVM_MAP_WRITE) != 0, log = write && (flags & AXVM_MAP_LOG_DIRTY) != 0;

    return ((flags & AXVM_MAP_DEVICE) != 0 ? AXVCPU_I_ARM64_DESC_DEVICE : AXVCPU_I_ARM64_DESC_NORMAL) |
           (log ? AXVCPU_I_ARM64_DESC_LOG : write ? AXVCPU_I_ARM64_DESC_WRITE : 0) |
           ((flags & AXVM_MAP_EXEC) != 0 ? 0 : AXVCPU_I_ARM64_DESC_XN) | AXVCPU_I_ARM64_DESC_READ |
           AXVCPU_I_ARM64_DESC_AF | AXVCPU_I_ARM64_DESC_VALID;
}

/* Up to so many pages one by one, more with all that the VMID has. */
#define AXVCPU_I_ARM64_FLUSH_PAGES 32u
#define AXVCPU_I_ARM64_FLUSH_ALL UINT64_MAX

/* First the second stage's entries by address, then those that combine it with the first, which are known by
   the VMID alone (DDI 0487, TLBI IPAS2E1IS). On all CPUs. */
static void axvcpu_i_arm64_invalidate(uint64_t gpa, uint64_t size)
{
    uint64_t page;

    if (size > (uint64_t)AXVCPU_I_ARM64_FLUSH_PAGES * AXVM_LEAF_PAGE) {
        __asm__ volatile("tlbi vmalls12e1is\ndsb ish" : : : "memory");
        return;
    }
    for (page = gpa >> 12; page < (gpa + size) >> 12; page++)
        __asm__ volatile("tlbi ipas2e1is, %0" : : "r"(page) : "memory");
    __asm__ volatile("dsb ish\ntlbi vmalle1is\ndsb ish" : : : "memory");
}

/* Of this VMID. One of an older generation has nothing in any TLB. */
static void axvcpu_i_arm64_flush(const struct axvm_arch *m, uint64_t gpa, uint64_t size)
{
    uint64_t loaded = AXVCPU_I_ARM64_READ(vttbr_el2);

    __asm__ volatile("dsb ishst" : : : "memory");
    axvcpu_i_arm64_lock(&axvcpu_i_arm64_vmid_lock);
    if (axvcpu_i_arm64_has_vmid(m)) {
        AXVCPU_I_ARM64_WRITE(vttbr_el2, m->root | (m->vmid & (AXVCPU_I_ARM64_VMIDS - 1)) << 48);
        AXVCPU_I_ARM64_ISB();
        axvcpu_i_arm64_invalidate(gpa, size);
        AXVCPU_I_ARM64_WRITE(vttbr_el2, loaded);
    }
    axvcpu_i_arm64_unlock(&axvcpu_i_arm64_vmid_lock);
    AXVCPU_I_ARM64_ISB();
}

static void axvcpu_i_arm64_free_tables(uint64_t table, uint32_t level, uint32_t entries)
{
    uint64_t *entry = axvcpu_i_arm64_table(table);
    uint32_t i;

    for (i = 0; i < entries && level < 3; i++) {
        if (axvcpu_i_arm64_is_table(entry[i], level)) {
            axvcpu_i_arm64_free_tables(entry[i] & AXVCPU_I_ARM64_DESC_ADDR, level + 1, 512);
            AXVCPU_FREE_FRAME(axvcpu_hpa(entry[i] & AXVCPU_I_ARM64_DESC_ADDR), 1);
        }
    }
}

/* An entry changes its kind by way of an invalid one that no TLB remembers (DDI 0487, "Break-before-make"). */
static void axvcpu_i_arm64_replace(const struct axvm_arch *m, uint64_t *entry, uint64_t gpa, uint64_t desc)
{
    axvcpu_i_arm64_put_desc(entry, 0);
    axvcpu_i_arm64_flush(m, gpa, AXVCPU_I_ARM64_FLUSH_ALL);
    axvcpu_i_arm64_put_desc(entry, desc);
    __asm__ volatile("dsb ishst\nisb" : : : "memory");
}

/* A leaf in the place of a table. */
static void axvcpu_i_arm64_drop_table(const struct axvm_arch *m, uint64_t *entry, uint32_t level, uint64_t gpa)
{
    uint64_t old = *entry & AXVCPU_I_ARM64_DESC_ADDR;

    axvcpu_i_arm64_replace(m, entry, gpa, 0);
    axvcpu_i_arm64_free_tables(old, level + 1, 512);
    AXVCPU_FREE_FRAME(axvcpu_hpa(old), 1);
}

/* A block becomes a table of 512 of the next size; false: there is no frame. */
static bool axvcpu_i_arm64_split(const struct axvm_arch *m, uint64_t *entry, uint32_t level, uint64_t gpa)
{
    axvcpu_hpa_t frame = AXVCPU_ALLOC_FRAME(1, AXVM_LEAF_PAGE);
    uint64_t *table, desc = *entry | (level + 1 == 3 ? AXVCPU_I_ARM64_DESC_TABLE : 0);
    uint32_t i;

    if (frame.addr == 0)
        return false;
    table = axvcpu_i_arm64_table(frame.addr);
    for (i = 0; i < 512; i++)
        table[i] = desc + ((uint64_t)i << AXVCPU_I_ARM64_SHIFT(level + 1));
    axvcpu_i_arm64_replace(m, entry, gpa, frame.addr | AXVCPU_I_ARM64_DESC_TABLE | AXVCPU_I_ARM64_DESC_VALID);
    return true;
}

/* attributes 0: unmap. What was invalid before is in no TLB. */
static int axvcpu_i_arm64_fill(struct axvm_arch *m, uint64_t gpa, uint64_t hpa, uint64_t size, uint64_t attributes)
{
    while (size != 0) {
        uint32_t level = axvcpu_i_arm64_leaf_level(gpa, hpa, size), wanted = level;
        uint64_t step = UINT64_C(1) << AXVCPU_I_ARM64_SHIFT(level);
        uint64_t *entry = axvcpu_i_arm64_entry(m, gpa, &level, attributes != 0);

        if (entry == NULL)
            return AXVCPU_ENOMEM;
        if (level == wanted && axvcpu_i_arm64_is_table(*entry, level))
            axvcpu_i_arm64_drop_table(m, entry, level, gpa);
        if (level == wanted)
            axvcpu_i_arm64_put_desc(
                entry, attributes == 0 ? 0 : hpa | attributes | (level == 3 ? AXVCPU_I_ARM64_DESC_TABLE : 0));
        gpa += step;
        hpa += step;
        size -= step;
    }
    return AXVCPU_OK;
}

static void axvcpu_i_arm64_free_vm(struct axvm_arch *m)
{
    uint32_t pages = axvcpu_i_arm64_root_pages(axvcpu_i_arm64_pa_bits());
    uint32_t id = (uint32_t)m->vmid & (AXVCPU_I_ARM64_VMIDS - 1);

    axvcpu_i_arm64_flush(m, 0, AXVCPU_I_ARM64_FLUSH_ALL);
    axvcpu_i_arm64_free_tables(m->root, 4 - m->levels, 512 * pages);
    AXVCPU_FREE_FRAME(axvcpu_hpa(m->root), pages);
    axvcpu_i_arm64_lock(&axvcpu_i_arm64_vmid_lock);
    if (axvcpu_i_arm64_has_vmid(m))
        axvcpu_i_arm64_taken[id / 64] &= ~(UINT64_C(1) << (id & 63u));
    m->vmid = 0;
    axvcpu_i_arm64_unlock(&axvcpu_i_arm64_vmid_lock);
}

AXVCPU_API int axvm_leaf_init(struct axvm *vm, const struct axvm_arch_desc *desc)
{
    struct axvm_arch *m = &vm->arch;
    uint32_t bits = axvcpu_i_arm64_pa_bits(), pages = axvcpu_i_arm64_root_pages(bits);
    int err = AXVCPU_OK;

    if (desc->gicc.addr % AXVM_LEAF_PAGE != 0)
        return AXVCPU_EINVAL;
    if (desc->gicc.addr != 0 && AXVCPU_GICH() == NULL && !axvcpu_i_arm64_has_gicv3())
        return AXVCPU_ENOSUPPORT;
    m->levels = 4 - axvcpu_i_arm64_start_level(bits);
    m->vtcr = axvcpu_i_arm64_vtcr(bits);
    m->root = AXVCPU_ALLOC_FRAME(pages, (size_t)pages * AXVM_LEAF_PAGE).addr; /* side by side they are aligned as one */
    if (m->root == 0)
        return AXVCPU_ENOMEM;
    if (desc->gicc.addr != 0 && AXVCPU_GICH() != NULL)
        err = axvcpu_i_arm64_fill(m, desc->gicc.addr, AXVCPU_GICV(), UINT64_C(2) * AXVM_LEAF_PAGE,
                                  axvcpu_i_arm64_attributes(AXVM_MAP_READ | AXVM_MAP_WRITE | AXVM_MAP_DEVICE));
    if (err != 0)
        axvcpu_i_arm64_free_vm(m);
    return err;
}

AXVCPU_API void axvm_leaf_deinit(struct axvm *vm)
{
    axvcpu_i_arm64_free_vm(&vm->arch);
}

static bool axvcpu_i_arm64_in_range(const struct axvm_mapping *map)
{
    uint32_t bits = axvcpu_i_arm64_pa_bits();

    return (map->gpa.addr + (map->size - 1)) >> bits == 0 && (map->backing.hpa.addr + (map->size - 1)) >> bits == 0;
}

static uint64_t axvcpu_i_arm64_backing(const struct axvm_mapping *map)
{
    return map->backing.ptr != NULL ? AXVCPU_VIRT_TO_PHYS(map->backing.ptr).addr : map->backing.hpa.addr;
}

AXVCPU_API int axvm_leaf_map(struct axvm *vm, uint32_t slot, const struct axvm_mapping *map)
{
    struct axvm_arch *m = &vm->arch;
    uint64_t hpa = axvcpu_i_arm64_backing(map);
    int err;

    (void)slot;
    if (!axvcpu_i_arm64_in_range(map))
        return AXVCPU_EINVAL;
    axvcpu_i_arm64_lock(&m->lock);
    err = axvcpu_i_arm64_fill(m, map->gpa.addr, hpa, map->size, axvcpu_i_arm64_attributes(map->flags));
    m->logs += err == 0 && (map->flags & AXVM_MAP_LOG_DIRTY) != 0;
    if (err != 0)
        (void)axvcpu_i_arm64_fill(m, map->gpa.addr, hpa, map->size, 0);
    __asm__ volatile("dsb ishst\nisb" : : : "memory");
    axvcpu_i_arm64_unlock(&m->lock);
    if (err != 0)
        axvcpu_i_arm64_flush(m, map->gpa.addr, map->size);
    return err;
}

AXVCPU_API int axvm_leaf_unmap(struct axvm *vm, uint32_t slot, const struct axvm_mapping *map)
{
    struct axvm_arch *m = &vm->arch;

    (void)slot;
    axvcpu_i_arm64_lock(&m->lock);
    (void)axvcpu_i_arm64_fill(m, map->gpa.addr, axvcpu_i_arm64_backing(map), map->size, 0);
    m->logs -= (map->flags & AXVM_MAP_LOG_DIRTY) != 0;
    axvcpu_i_arm64_flush(m, map->gpa.addr, map->size);
    axvcpu_i_arm64_unlock(&m->lock);
    return AXVCPU_OK;
}

/* >>tables: LOG_DIRTY. Blocks are split where they are first written; without a frame for that all of the
   block counts as written. */

static void axvcpu_i_arm64_write_logged(const struct axvm_arch *m, uint64_t *entry, uint32_t level, uint64_t gpa)
{
    while (level < 3 && axvcpu_i_arm64_split(m, entry, level, gpa)) {
        level = 3;
        entry = axvcpu_i_arm64_entry(m, gpa, &level, false);
    }
    axvcpu_i_arm64_put_desc(entry, *entry | AXVCPU_I_ARM64_DESC_WRITE);
    axvcpu_i_arm64_flush(m, gpa & ~(uint64_t)(AXVM_LEAF_PAGE - 1), AXVM_LEAF_PAGE);
}

/* What only we know about a fault: a first write to a page that is logged; or a block that is being split
   at this moment. true: the guest may try again. */
static bool axvcpu_i_arm64_our_fault(struct axvm_arch *m, uint64_t gpa, bool write)
{
    uint32_t level = 3;
    uint64_t *entry, desc;

    axvcpu_i_arm64_lock(&m->lock);
    entry = axvcpu_i_arm64_entry(m, gpa, &level, false);
    desc = *entry;
    if (write && (desc & AXVCPU_I_ARM64_DESC_VALID) != 0 &&
        (desc & (AXVCPU_I_ARM64_DESC_LOG | AXVCPU_I_ARM64_DESC_WRITE)) == AXVCPU_I_ARM64_DESC_LOG) {
        axvcpu_i_arm64_write_logged(m, entry, level, gpa);
        desc |= AXVCPU_I_ARM64_DESC_WRITE;
    }
    axvcpu_i_arm64_unlock(&m->lock);
    return (desc & AXVCPU_I_ARM64_DESC_VALID) != 0 && (!write || (desc & AXVCPU_I_ARM64_DESC_WRITE) != 0);
}

/* Pages first to end: false when one of them is not logged. `bitmap` NULL: only look. */
static bool axvcpu_i_arm64_collect(struct axvm_arch *m, uint64_t first, uint64_t end, uint64_t *bitmap)
{
    uint64_t gpa;

    for (gpa = first; gpa < end; gpa += AXVM_LEAF_PAGE) {
        uint32_t level = 3;
        uint64_t *entry = axvcpu_i_arm64_entry(m, gpa, &level, false);

        if ((*entry & AXVCPU_I_ARM64_DESC_VALID) == 0 || (*entry & AXVCPU_I_ARM64_DESC_LOG) == 0)
            return false;
        if (bitmap != NULL && axvm_i_log_page(bitmap, first, gpa, UINT64_C(1) << AXVCPU_I_ARM64_SHIFT(level),
                                              (*entry & AXVCPU_I_ARM64_DESC_WRITE) != 0))
            axvcpu_i_arm64_put_desc(entry, *entry & ~AXVCPU_I_ARM64_DESC_WRITE);
    }
    return true;
}

AXVCPU_API int axvm_arm64_dirty(struct axvm *vm, axvcpu_gpa_t gpa, uint64_t size, uint64_t *bitmap)
{
    bool good;

    if (!axvm_i_log_asks(vm, gpa.addr, size, bitmap, axvcpu_i_arm64_pa_bits()))
        return AXVCPU_EINVAL;
    axvcpu_i_arm64_lock(&vm->arch.lock);
    good = axvcpu_i_arm64_collect(&vm->arch, gpa.addr, gpa.addr + size, NULL);
    if (good) {
        (void)axvcpu_i_arm64_collect(&vm->arch, gpa.addr, gpa.addr + size, bitmap);
        axvcpu_i_arm64_flush(&vm->arch, gpa.addr, size);
    }
    axvcpu_i_arm64_unlock(&vm->arch.lock);
    return good ? AXVCPU_OK : AXVCPU_EINVAL;
}

AXVCPU_API axvcpu_hpa_t axvm_leaf_root(const struct axvm *vm)
{
    return axvcpu_hpa(vm->arch.root);
}

/* It holds as long as the VM is loaded somewhere, and until there have been 255 others. */
AXVCPU_API uint32_t axvm_leaf_vmid(const struct axvm *vm)
{
    uint32_t id;

    axvcpu_i_arm64_lock(&axvcpu_i_arm64_vmid_lock);
    id = axvcpu_i_arm64_take_vmid((struct axvm_arch *)(uintptr_t)&vm->arch);
    axvcpu_i_arm64_unlock(&axvcpu_i_arm64_vmid_lock);
    return id;
}

static bool axvcpu_i_arm64_setup_ok(const struct axvcpu *v, const struct axvcpu_arch_setup *setup)
{
    return setup->fp <= AXVCPU_ARM64_FP_OWNED && setup->gic <= AXVCPU_ARM64_GIC_PASSTHROUGH &&
           setup->timer <= AXVCPU_ARM64_TIMER_PASSTHROUGH &&
           ((setup->hcr_set | setup->hcr_clear) & ~AXVCPU_ARM64_HCR_ALLOWED) == 0 &&
           (setup->vmid != 0 || v->vm.vm != NULL) && /* without a VM it is the host's to give */
           setup->vmid < AXVCPU_I_ARM64_VMIDS &&
           (v->arch.root & ~AXVCPU_I_ARM64_DESC_ADDR) == 0;
}

AXVCPU_API int axvcpu_leaf_setup(struct axvcpu *v, const struct axvcpu_arch_setup *setup)
{
    struct axvcpu_arch *a = &v->arch;

    if (!axvcpu_i_arm64_setup_ok(v, setup))
        return AXVCPU_EINVAL;
    a->fp = (uint8_t)setup->fp;
    a->gic = (uint8_t)setup->gic;
    a->timer = (uint8_t)setup->timer;
    a->vmid = setup->vmid;
    a->cntvoff = setup->cntvoff;
    a->vtcr = setup->vtcr != 0 ? setup->vtcr : axvcpu_i_arm64_vtcr(axvcpu_i_arm64_pa_bits());
    a->hcr = AXVCPU_I_ARM64_HCR | (axvcpu_i_arm64_has_pauth() ? AXVCPU_I_ARM64_HCR_PAUTH : 0);
    if (setup->gic == AXVCPU_ARM64_GIC_PASSTHROUGH)
        a->hcr &= ~AXVCPU_I_ARM64_HCR_PHYSICAL;
    a->hcr = (a->hcr & ~setup->hcr_clear) | setup->hcr_set;
    return setup->vmid != 0 ? axvcpu_i_arm64_give_vmid(setup->vmid) : AXVCPU_OK;
}

/* ---------------------------------------------------------------------------------------------------- */
/* >>leaves: run                                                                                        */
/* ---------------------------------------------------------------------------------------------------- */

static void axvcpu_i_arm64_raise(struct axvcpu_arch *a, uint64_t esr, uint64_t far)
{
    struct axvcpu_arm64_el1 s = { a->pc, a->pstate, 0, 0, 0, 0, 0, 0 };

    s.vbar = axvcpu_i_arm64_get_el1(a, AXVCPU_ARM64_vbar_el1);
    s.sctlr = axvcpu_i_arm64_get_el1(a, AXVCPU_ARM64_sctlr_el1);
    axvcpu_arm64_take(&s, esr, far);
    a->pc = s.pc;
    a->pstate = s.pstate;
    axvcpu_i_arm64_set_el1(a, AXVCPU_ARM64_elr_el1, s.elr);
    axvcpu_i_arm64_set_el1(a, AXVCPU_ARM64_spsr_el1, s.spsr);
    axvcpu_i_arm64_set_el1(a, AXVCPU_ARM64_esr_el1, s.esr);
    axvcpu_i_arm64_set_el1(a, AXVCPU_ARM64_far_el1, s.far);
}

/* Past an instruction: its BTYPE and single-step state are over, too (DDI 0487, PSTATE). */
static void axvcpu_i_arm64_advance(struct axvcpu_arch *a, uint32_t step)
{
    a->pc += step;
    if (step != 0)
        a->pstate &= ~(UINT64_C(3) << 10 | UINT64_C(1) << 21);
}

static void axvcpu_i_arm64_effects(struct axvcpu_arch *a, const struct axvcpu_arm64_effect *e)
{
    if ((e->sets & AXVCPU_ARM64_SETS_START) != 0) {
        axvcpu_i_arm64_reset(a);
        a->pc = e->pc;
    }
    if ((e->sets & AXVCPU_ARM64_SETS_X0) != 0)
        a->x[0] = e->x0;
}

/* The guest's stage 1 of FAR_EL2, as HPFAR_EL2 would have it. PAR_EL1 is the guest's. */
static bool axvcpu_i_arm64_translate(struct axvcpu_arm64_trap *t)
{
    uint64_t par = AXVCPU_I_ARM64_READ(par_el1), result;

    __asm__ volatile("at s1e1r, %0\nisb" : : "r"(t->far) : "memory");
    result = AXVCPU_I_ARM64_READ(par_el1);
    AXVCPU_I_ARM64_WRITE(par_el1, par);
    t->hpfar = (result & AXVCPU_I_ARM64_DESC_ADDR) >> 8;
    t->flags |= AXVCPU_ARM64_HAS_IPA;
    return (result & 1u) == 0;
}

/* A host interrupt. *again: it was about this guest and is served, or a kick's that nobody waits for any more,
   or none after all (1023: the CPU interface asked, and asks no more). */
static int axvcpu_i_arm64_interrupted(struct axvcpu *v, struct axvcpu_exit *x, bool *again)
{
    const struct axvcpu_arch_percpu *c = axvcpu_i_arm64_here();
    bool done = false, ours = c != NULL && axvcpu_i_arm64_gic_wants(c) && axvcpu_arm64_irq(AXVCPU_MAINTENANCE_VECTOR);
    int err;

#ifdef AXVCPU_IRQ_FETCH
    x->irq.vector = AXVCPU_IRQ_FETCH();
    ours = x->irq.vector >= AXVCPU_LEAF_VECTORS || axvcpu_arm64_irq(x->irq.vector);
#ifdef AXVCPU_KICK_VECTOR
    ours = ours || x->irq.vector == AXVCPU_KICK_VECTOR;
#endif
#endif
    if (!ours)
        return AXVCPU_OK;
    err = axvcpu_attend(v, x, &done);
    *again = err == 0 && !done;
    return err;
}

static int axvcpu_i_arm64_exited(struct axvcpu *v, struct axvcpu_exit *x, const struct axvcpu_arm64_trap *t,
                                 const struct axvcpu_arm64_effect *e, bool *again)
{
    struct axvcpu_arch *a = &v->arch;

    if (x->kind == AXVCPU_EXIT_EXTERNAL_INTERRUPT)
        return axvcpu_i_arm64_interrupted(v, x, again);
    axvcpu_i_arm64_effects(a, e);
    if (((AXVCPU_READ_KINDS | AXVCPU_WRITE_KINDS) >> x->kind & 1u) != 0) {
        a->step = e->step;
        a->far = t->far;
        axvcpu_await(v, x);
    } else {
        axvcpu_i_arm64_advance(a, e->step);
    }
    return AXVCPU_OK;
}

#define AXVCPU_I_ARM64_ESR_BITS ((UINT64_C(1) << 56) - 1)

/* A fault in a VM with LOG_DIRTY that is no business of the caller. */
static bool axvcpu_i_arm64_served(struct axvcpu *v, const struct axvcpu_arm64_trap *t)
{
    uint32_t ec = AXVCPU_ARM64_ESR_EC(t->esr), iss = AXVCPU_ARM64_ESR_ISS(t->esr);
    bool write = (iss & (AXVCPU_ARM64_ISS_WNR | AXVCPU_ARM64_ISS_S1PTW)) != 0 && ec == AXVCPU_ARM64_EC_DATA;

    if (v->vm.vm == NULL || AXVCPU_ATOMIC_LOAD_RELAXED(&v->vm.vm->arch.logs) == 0 || t->vector != AXVCPU_ARM64_SYNC ||
        (ec != AXVCPU_ARM64_EC_DATA && ec != AXVCPU_ARM64_EC_FETCH) ||
        axvcpu_i_arm64_fault_kind(iss) == AXVCPU_I_ARM64_FOREIGN ||
        axvcpu_i_arm64_gpa(t) >> axvcpu_i_arm64_pa_bits() != 0)
        return false;
    return axvcpu_i_arm64_our_fault(&v->vm.vm->arch, axvcpu_i_arm64_gpa(t),
                                    write && axvcpu_i_arm64_fault_kind(iss) == AXVCPU_I_ARM64_PERMISSION);
}

/* All but the plain hypercall. *again: nothing that the caller should see. */
AXVCPU_I_COLD AXVCPU_API int axvcpu_i_arm64_left(struct axvcpu *v, struct axvcpu_exit *x, uint64_t raw, bool *again)
{
    struct axvcpu_arch *a = &v->arch;
    uint32_t ec = AXVCPU_ARM64_ESR_EC(raw), vector = (uint32_t)(raw >> 56);
    struct axvcpu_arm64_trap t = { raw & AXVCPU_I_ARM64_ESR_BITS, 0, 0, a->pc, a->pstate, vector, 0, 0 };
    struct axvcpu_arm64_effect e;
    enum axvcpu_arm64_action action;

    *again = true;
    if (vector == AXVCPU_ARM64_SYNC && ec == AXVCPU_ARM64_EC_FP && !a->fp_loaded) {
        axvcpu_i_arm64_fp_in(a);
        return AXVCPU_OK;
    }
    if (vector == AXVCPU_ARM64_SYNC && ec >= AXVCPU_ARM64_EC_FETCH) { /* an abort, or something rare */
        t.far = AXVCPU_I_ARM64_READ(far_el2);
        t.hpfar = AXVCPU_I_ARM64_READ(hpfar_el2);
    }
    action = axvcpu_arm64_decode(&t, a->x, x, &e);
    if (action == AXVCPU_ARM64_TRANSLATE) {
        if (!axvcpu_i_arm64_translate(&t))
            return AXVCPU_OK;
        action = axvcpu_arm64_decode(&t, a->x, x, &e);
    }
    if (axvcpu_i_arm64_served(v, &t))
        return AXVCPU_OK;
    switch (action) {
    case AXVCPU_ARM64_EXIT:
        *again = false;
        return axvcpu_i_arm64_exited(v, x, &t, &e, again);
    case AXVCPU_ARM64_RESUME:
        axvcpu_i_arm64_effects(a, &e);
        axvcpu_i_arm64_advance(a, e.step);
        break;
    default: axvcpu_i_arm64_raise(a, e.esr, e.far); break;
    }
    return AXVCPU_OK;
}

AXVCPU_API int axvcpu_i_arm64_commit(struct axvcpu *v)
{
    const struct axvcpu_answer *acc = &v->access;
    struct axvcpu_arch *a = &v->arch;
    bool memory = acc->kind == AXVCPU_EXIT_MMIO_READ || acc->kind == AXVCPU_EXIT_MMIO_WRITE;

    if (acc->refused) {
        axvcpu_i_arm64_raise(a, axvcpu_arm64_fault(a->pstate, memory, acc->kind == AXVCPU_EXIT_MMIO_WRITE),
                             memory ? a->far : 0);
        return AXVCPU_OK;
    }
    if ((AXVCPU_READ_KINDS >> acc->kind & 1u) != 0 && acc->reg < 31)
        a->x[acc->reg] = axvcpu_access_result(acc, a->x[acc->reg]);
    axvcpu_i_arm64_advance(a, a->step);
    return AXVCPU_OK;
}

AXVCPU_API int axvcpu_leaf_retry(struct axvcpu *v)
{
    (void)v; /* the PC is still on the instruction */
    return AXVCPU_OK;
}

AXVCPU_API int axvcpu_leaf_refuse(struct axvcpu *v)
{
    (void)v;
    return AXVCPU_OK;
}

/* ---------------------------------------------------------------------------------------------------- */
/* >>leaves: interrupts                                                                                 */
/* ---------------------------------------------------------------------------------------------------- */

/* The list register that has the vector, else a free one, else -1. */
static int axvcpu_i_arm64_find_lr(const struct axvcpu_arch *a, uint32_t vector, uint32_t lrs)
{
    int free_lr = -1;
    uint32_t n;

    for (n = 0; n < lrs && n < AXVCPU_ARM64_LRS; n++) {
        if ((a->lr_used >> n & 1u) == 0)
            free_lr = free_lr < 0 ? (int)n : free_lr; /* the first one wins among equals */
        else if (AXVCPU_I_ARM64_LR_VECTOR(a->lr[n]) == vector)
            return (int)n;
    }
    return free_lr;
}

static void axvcpu_i_arm64_use_lr(struct axvcpu_arch *a, const struct axvcpu_arch_percpu *c, uint32_t n, uint64_t lr)
{
    a->lr[n] = lr | AXVCPU_I_ARM64_LR_PRIORITY | (c->gic == AXVCPU_I_ARM64_GICV3 ? AXVCPU_I_ARM64_LR_GROUP1 : 0);
    a->lr_used |= 1u << n;
    axvcpu_i_arm64_lr_put(c, n, a->lr[n]);
    if ((lr & AXVCPU_I_ARM64_LR_PENDING) != 0)
        AXVCPU_ATOMIC_STORE_RELAXED(&a->lr_pending, 1u);
}

/* false: there is no room. An edge whose interrupt is active already becomes pending again, so that it comes
   once more when the guest has ended that; a level is looked at then. One that is linked to hardware can only
   be one of the two (IHI 0069, ICH_LR_EL2): it waits. */
static bool axvcpu_i_arm64_deliver(struct axvcpu_arch *a, const struct axvcpu_arch_percpu *c, uint32_t vector,
                                   bool line)
{
    int at = axvcpu_i_arm64_find_lr(a, vector, c->lrs);
    uint32_t n = (uint32_t)at;
    bool used = at >= 0 && (a->lr_used >> n & 1u) != 0;
    uint64_t old = used ? a->lr[n] & (AXVCPU_I_ARM64_LR_STATE | AXVCPU_I_ARM64_LR_EOI) : 0;

    if (at < 0 || (used && (a->lr[n] & AXVCPU_I_ARM64_LR_HW) != 0))
        return false;
    if (line)
        a->lr_line |= 1u << n;
    axvcpu_i_arm64_use_lr(a, c, n, vector | old | (line ? AXVCPU_I_ARM64_LR_EOI : 0) |
                                       (line && used ? 0 : AXVCPU_I_ARM64_LR_PENDING));
    return true;
}

/* Lines that are down are no longer pending. */
static void axvcpu_i_arm64_lower(struct axvcpu *v, const struct axvcpu_arch_percpu *c)
{
    struct axvcpu_arch *a = &v->arch;
    uint32_t n;

    for (n = 0; n < c->lrs && n < AXVCPU_ARM64_LRS && a->lr_line >> n != 0; n++) {
        uint32_t vector = AXVCPU_I_ARM64_LR_VECTOR(a->lr[n]);

        if ((a->lr_line & a->lr_used & 1u << n) == 0 ||
            (AXVCPU_ATOMIC_LOAD(&v->lines[vector / 64]) >> (vector % 64) & 1u) != 0)
            continue;
        a->lr[n] &= ~AXVCPU_I_ARM64_LR_PENDING;
        axvcpu_i_arm64_lr_put(c, n, a->lr[n]);
    }
}

/* Those in use go together: of equal ones the first goes first, so that what waited longer is not overtaken. */
static void axvcpu_i_arm64_compact(struct axvcpu_arch *a, const struct axvcpu_arch_percpu *c)
{
    uint32_t n, to = 0;

    for (n = 0; n < c->lrs && n < AXVCPU_ARM64_LRS && a->lr_used >> n != 0; n++) {
        if ((a->lr_used >> n & 1u) == 0)
            continue;
        if (n != to) {
            a->lr[to] = a->lr[n];
            a->lr_used = (a->lr_used & ~(1u << n)) | 1u << to;
            a->lr_line = (a->lr_line & ~(1u << n | 1u << to)) | (a->lr_line >> n & 1u) << to;
            axvcpu_i_arm64_lr_put(c, to, a->lr[to]);
            axvcpu_i_arm64_lr_put(c, n, 0);
        }
        to++;
    }
}

/* inject_hw's request; it stays until there is room. */
static bool axvcpu_i_arm64_deliver_hw(struct axvcpu_arch *a, const struct axvcpu_arch_percpu *c)
{
    uint32_t vector = AXVCPU_ATOMIC_LOAD_ACQUIRE(&a->hw[0]) - 1;
    int at;

    if (vector >= AXVCPU_LEAF_VECTORS) /* none, or it is being written */
        return true;
    at = axvcpu_i_arm64_find_lr(a, vector, c->lrs);
    if (at < 0 || (a->lr_used >> at & 1u) != 0)
        return false;
    axvcpu_i_arm64_use_lr(a, c, (uint32_t)at,
                          vector | (uint64_t)a->hw[1] << 32 | AXVCPU_I_ARM64_LR_HW | AXVCPU_I_ARM64_LR_PENDING);
    AXVCPU_ATOMIC_STORE_RELEASE(&a->hw[0], 0u);
    return true;
}

/* One word of the pending set and the lines; false: some have no room and stay. */
static bool axvcpu_i_arm64_deliver_word(struct axvcpu *v, const struct axvcpu_arch_percpu *c, uint32_t i)
{
    uint64_t lines = AXVCPU_ATOMIC_LOAD(&v->lines[i]), edges = AXVCPU_ATOMIC_LOAD(&v->pending[i]), bits = lines | edges;
    bool all = true;

    for (; bits != 0; bits &= bits - 1) {
        uint32_t bit = axvcpu_i_highest(bits & -bits), vector = i * 64 + bit;
        bool edge = (edges >> bit & 1u) != 0;

        if (edge)
            axvcpu_irq_take(v, vector); /* before it is delivered: one that comes now is kept */
        if (axvcpu_i_arm64_deliver(&v->arch, c, vector, !edge))
            continue;
        all = false;
        if (edge)
            (void)AXVCPU_ATOMIC_FETCH_OR(&v->pending[i], UINT64_C(1) << bit);
    }
    return all;
}

/* GIC_EXTERNAL: the CPU's interrupt input is up while anything is. */
static void axvcpu_i_arm64_drive_input(struct axvcpu *v)
{
    uint64_t any = 0;
    uint32_t i;

    for (i = 0; i < sizeof(v->pending) / sizeof(v->pending[0]); i++) {
        uint64_t edges = AXVCPU_ATOMIC_XCHG(&v->pending[i], 0u);

        any |= edges | AXVCPU_ATOMIC_FETCH_OR(&v->lines[i], edges);
    }
    v->arch.hcr = (v->arch.hcr & ~AXVCPU_I_ARM64_HCR_VI) | (any != 0 ? AXVCPU_I_ARM64_HCR_VI : 0);
    AXVCPU_I_ARM64_WRITE(hcr_el2, v->arch.hcr);
    AXVCPU_ATOMIC_STORE_RELAXED(&v->arch.lr_pending, any != 0 ? 1u : 0u);
}

/* What does not fit into the list registers stays with the core, and the CPU interface tells when they are
   nearly empty. */
AXVCPU_API int axvcpu_leaf_inject(struct axvcpu *v, uint32_t *what)
{
    const struct axvcpu_arch_percpu *c = axvcpu_i_arm64_here();
    bool all;
    uint32_t i;

    *what = 0;
    if (c == NULL || axvcpu_i_arm64_move(v, true) != 0)
        return AXVCPU_ENOSUPPORT;
    if (v->arch.gic == AXVCPU_ARM64_GIC_EXTERNAL)
        axvcpu_i_arm64_drive_input(v);
    if (!axvcpu_i_arm64_lists(c, &v->arch))
        return AXVCPU_OK;
    axvcpu_i_arm64_sync_lrs(v, c);
    axvcpu_i_arm64_lower(v, c);
    axvcpu_i_arm64_compact(&v->arch, c);
    all = axvcpu_i_arm64_deliver_hw(&v->arch, c);
    for (i = 0; i < sizeof(v->pending) / sizeof(v->pending[0]); i++)
        all = axvcpu_i_arm64_deliver_word(v, c, i) && all;
    axvcpu_i_arm64_gic_control(c, AXVCPU_I_ARM64_GIC_ON | (all ? 0 : AXVCPU_I_ARM64_GIC_UNDERFLOW));
    *what = all ? 0 : AXVCPU_ATTN_IRQ;
    return AXVCPU_OK;
}

/* HCR_EL2.VSE: pending until the guest unmasks it, which takes it with VSESR_EL2 (with FEAT_RAS) as syndrome. */
static void axvcpu_i_arm64_raise_serror(struct axvcpu_arch *a, uint64_t syndrome)
{
    a->vsesr = syndrome;
    a->hcr |= AXVCPU_I_ARM64_HCR_VSE;
    if (!a->loaded)
        return;
    AXVCPU_I_ARM64_WRITE(hcr_el2, a->hcr);
    if (axvcpu_i_arm64_has_ras())
        AXVCPU_I_ARM64_WRITE(s3_4_c5_c2_3, syndrome);
}

/* vector is the exception class, error the syndrome. An abort's class says where it came from. */
AXVCPU_API int axvcpu_leaf_inject_exception(struct axvcpu *v, uint32_t vector, uint64_t error, uint64_t addr)
{
    bool abort = (vector & ~1u) == AXVCPU_ARM64_EC_FETCH || (vector & ~1u) == AXVCPU_ARM64_EC_DATA;

    if (vector >= AXVCPU_ARM64_EC_COUNT || error >> 25 != 0)
        return AXVCPU_EINVAL;
    if (vector == AXVCPU_ARM64_EC_SERROR) {
        axvcpu_i_arm64_raise_serror(&v->arch, error);
        return AXVCPU_OK;
    }
    if (abort)
        vector = (vector & ~1u) | ((v->arch.pstate & AXVCPU_ARM64_PSTATE_EL) != 0);
    axvcpu_i_arm64_raise(&v->arch, AXVCPU_ARM64_ESR(vector, AXVCPU_ARM64_ESR_IL | error), addr);
    return AXVCPU_OK;
}

/* One at a time: EAGAIN while the last one has no list register yet. The guest's end of it ends pintid, which
   the host has acknowledged and left active. */
AXVCPU_API int axvcpu_leaf_inject_hw(struct axvcpu *v, uint32_t vintid, uint32_t pintid)
{
    uint32_t nothing = 0;

    if (v->arch.gic != AXVCPU_ARM64_GIC_LIST)
        return AXVCPU_ENOSUPPORT;
    if (pintid < 16 || pintid >= AXVCPU_LEAF_VECTORS)
        return AXVCPU_EINVAL;
    if (!AXVCPU_ATOMIC_CAS(&v->arch.hw[0], &nothing, UINT32_MAX))
        return AXVCPU_EAGAIN;
    v->arch.hw[1] = pintid;
    AXVCPU_ATOMIC_STORE_RELEASE(&v->arch.hw[0], vintid + 1);
    axvcpu_i_alert(v, AXVCPU_ATTN_IRQ, AXVCPU_TRACE_INJECT_FLAGGED);
    return AXVCPU_OK;
}

/* WFI ends by a pending interrupt, masked or not. What the guest has taken since it was injected its owner
   finds in the list registers; others see what the owner saw last. */
AXVCPU_API bool axvcpu_leaf_wakes(const struct axvcpu *v, bool queued)
{
    struct axvcpu *mine = (struct axvcpu *)(uintptr_t)v;
    struct axvcpu_arch *a = &mine->arch;
    const struct axvcpu_arch_percpu *c = axvcpu_i_arm64_here();

    if (a->loaded && c != NULL && c->now == v) {
        if (axvcpu_i_arm64_lists(c, a))
            axvcpu_i_arm64_sync_lrs(mine, c);
        queued = queued || axvcpu_i_arm64_timer_fires(a);
    } else if (!a->loaded) {
        queued = queued || axvcpu_i_arm64_timer_fires(a);
    }
    return queued || AXVCPU_ATOMIC_LOAD_RELAXED(&a->lr_pending) != 0 || AXVCPU_ATOMIC_LOAD_RELAXED(&a->hw[0]) != 0 ||
           (a->hcr & AXVCPU_I_ARM64_HCR_VSE) != 0;
}

/* This CPU is not in the guest, or it would not be here. */
AXVCPU_API void axvcpu_leaf_kick(struct axvcpu *v, void *owner)
{
    (void)v;
    if (owner == AXVCPU_CPU_TOKEN())
        return;
    /* The flag must have arrived where the interrupt goes before that does. An SGI is a write of a system register
       or of a device, which no acquire or release orders behind memory (DDI 0487, B2: Data Synchronization Barrier). */
    __asm__ volatile("dsb ishst" ::: "memory");
    AXVCPU_SEND_KICK(owner);
}

/* ---------------------------------------------------------------------------------------------------- */
/* >>leaves: the VM                                                                                     */
/* ---------------------------------------------------------------------------------------------------- */

AXVCPU_API int axvm_leaf_irq_line(struct axvm *vm, uint32_t line, bool level)
{
    return axvcpu_set_irq(axvm_vcpu(vm, 0), line, level);
}

#endif /* bare metal */
#endif /* the selected backend */

/* >>leaves: what the VM answers. No register of the hardware's is in it: it serves any backend that has arch.mpidr
   and sets this. */
#ifdef AXVCPU_I_ARM64_SERVES

AXVCPU_API bool axvm_leaf_is_target(const struct axvcpu *v, uint64_t target)
{
    return v->arch.mpidr == target;
}

/* AFFINITY_INFO (DEN 0022D, 5.7): ON, OFF, ON_PENDING. */
static enum axvm_answer axvcpu_i_arm64_affinity(struct axvm *vm, struct axvcpu *v, const struct axvcpu_exit *x)
{
    uint32_t i;

    for (i = 0; i < vm->vcpu_count; i++) {
        struct axvcpu *other = axvm_vcpu(vm, i);
        uint32_t up = other != NULL ? AXVCPU_ATOMIC_LOAD_ACQUIRE(&other->vm.up) : 0;

        if (other != NULL && axvm_leaf_is_target(other, x->hypercall.args[0]))
            (void)axvcpu_set_return_value(v, up == AXVM_I_UP ? 0 : up == AXVM_I_DOWN ? 1 : 2);
    }
    return AXVM_DONE;
}

/* ICC_SGI1R: to all others, or to those of the list from `target` on. */
static enum axvm_answer axvcpu_i_arm64_send(struct axvm *vm, const struct axvcpu *v, const struct axvcpu_exit *x)
{
    uint32_t i;

    for (i = 0; i < vm->vcpu_count; i++) {
        struct axvcpu *other = axvm_vcpu(vm, i);
        uint64_t further = other != NULL ? other->arch.mpidr - x->ipi.target : 0;

        if (other == NULL)
            continue;
        if (x->ipi.to_all ? other != v : further < 16 && (x->ipi.aux >> further & 1u) != 0)
            (void)axvcpu_inject_interrupt(other, x->ipi.vector);
    }
    return AXVM_DONE;
}

AXVCPU_API enum axvm_answer axvcpu_i_arm64_reply(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x)
{
    if (x->kind == AXVCPU_EXIT_HYPERCALL && x->hypercall.nr == AXVCPU_ARM64_PSCI_AFFINITY_INFO &&
        (x->raw & 0xffffu) == 0)
        return axvcpu_i_arm64_affinity(vm, v, x);
    if (x->kind == AXVCPU_EXIT_SEND_IPI)
        return axvcpu_i_arm64_send(vm, v, x);
    if (x->kind == AXVCPU_EXIT_HALT && (x->flags & AXVCPU_ARM64_EXIT_YIELD) != 0)
        return AXVM_DONE;
    return AXVM_RETURN;
}

#endif /* AXVCPU_I_ARM64_SERVES */

#if AXVCPU_I_ARCH == AXVCPU_I_ARCH_ARM64
#ifdef AXVCPU_KVM

/* ---------------------------------------------------------------------------------------------------- */
/* >>kvm                                                                                                */
/* ---------------------------------------------------------------------------------------------------- */

/* >>kvm names: core registers by their place in struct kvm_regs, system registers by their encoding (api.rst:
   KVM_SET_ONE_REG, "arm64 registers") */

#define AXVCPU_I_ARM64_CORE_WIDE (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE)
#define AXVCPU_I_ARM64_CORE(member) (AXVCPU_I_ARM64_CORE_WIDE | offsetof(struct kvm_regs, member) / 4)
#define AXVCPU_I_ARM64_X(n) (AXVCPU_I_ARM64_CORE_WIDE | (uint64_t)(n) * 2)
#define AXVCPU_I_ARM64_PC AXVCPU_I_ARM64_CORE(regs.pc)
#define AXVCPU_I_ARM64_PSTATE AXVCPU_I_ARM64_CORE(regs.pstate)
#define AXVCPU_I_ARM64_ESR_EL1 ARM64_SYS_REG(3, 0, 5, 2, 0)
#define AXVCPU_I_ARM64_FAR_EL1 ARM64_SYS_REG(3, 0, 6, 0, 0)
#define AXVCPU_I_ARM64_VBAR_EL1 ARM64_SYS_REG(3, 0, 12, 0, 0)
#define AXVCPU_I_ARM64_SCTLR_EL1 ARM64_SYS_REG(3, 0, 1, 0, 0)
#define AXVCPU_I_ARM64_MPIDR_EL1 ARM64_SYS_REG(3, 0, 0, 0, 5)
_Static_assert(offsetof(struct kvm_regs, regs.pc) == (size_t)32 * 8,
               "x0 to x30, SP_EL0 and PC are one row, for rewind");

/* System registers that the kernel has elsewhere. CVAL and CNT have each other's encoding (api.rst). */
static const struct { uint32_t sysreg; uint64_t id; } axvcpu_i_arm64_elsewhere[] = {
    { AXVCPU_ARM64_SYSREG(3, 0, 4, 0, 0), AXVCPU_I_ARM64_CORE(spsr[0]) },
    { AXVCPU_ARM64_SYSREG(3, 0, 4, 0, 1), AXVCPU_I_ARM64_CORE(elr_el1) },
    { AXVCPU_ARM64_SYSREG(3, 0, 4, 1, 0), AXVCPU_I_ARM64_CORE(regs.sp) },
    { AXVCPU_ARM64_SYSREG(3, 4, 4, 1, 0), AXVCPU_I_ARM64_CORE(sp_el1) },
    { AXVCPU_ARM64_SYSREG(3, 3, 4, 4, 0), KVM_REG_ARM64 | KVM_REG_SIZE_U32 | KVM_REG_ARM_CORE_REG(fp_regs.fpcr) | KVM_REG_ARM_CORE },
    { AXVCPU_ARM64_SYSREG(3, 3, 4, 4, 1), KVM_REG_ARM64 | KVM_REG_SIZE_U32 | KVM_REG_ARM_CORE_REG(fp_regs.fpsr) | KVM_REG_ARM_CORE },
    { AXVCPU_ARM64_SYSREG(3, 3, 14, 3, 2), KVM_REG_ARM_TIMER_CVAL },
    { AXVCPU_ARM64_SYSREG(3, 3, 14, 0, 2), KVM_REG_ARM_TIMER_CNT },
};

static uint64_t axvcpu_i_arm64_sysreg_id(uint32_t n)
{
    size_t i;

    for (i = 0; i < sizeof(axvcpu_i_arm64_elsewhere) / sizeof(axvcpu_i_arm64_elsewhere[0]); i++) {
        if (axvcpu_i_arm64_elsewhere[i].sysreg == n)
            return axvcpu_i_arm64_elsewhere[i].id;
    }
    return ARM64_SYS_REG(n >> 20 & 3u, n >> 14 & 7u, n >> 10 & 15u, n >> 1 & 15u, n >> 17 & 7u);
}

/* >>kvm devices */

/* What is set through a descriptor of its own or the VM's. remedies: by errno, the last one for any. */
struct axvcpu_i_arm64_remedy { int code; const char *text; };

static const char *axvcpu_i_arm64_remedy(const struct axvcpu_i_arm64_remedy *r)
{
    int code = errno;

    while (r->code != 0 && r->code != code)
        r++;
    return r->text;
}

static int axvcpu_i_arm64_attr(int fd, unsigned long request, uint32_t group, uint64_t attr, void *value)
{
    struct kvm_device_attr a;

    AXVCPU_MEMSET(&a, 0, sizeof(a));
    a.group = group;
    a.attr = attr;
    a.addr = (uint64_t)(uintptr_t)value;
    return axvcpu_i_kvm_ioctl(fd, request, &a);
}

/* >>kvm VM */

/* Linux 6.4 (devices/vm.rst, section 5: KVM_ARM_VM_SMCCC_FILTER); headers may be older than the kernel. */
struct axvcpu_i_arm64_filter { uint32_t base, count; uint8_t action, pad[15]; };
#define AXVCPU_I_ARM64_FILTER_FORWARD 2
#define AXVCPU_I_ARM64_EXIT_SMC 1u /* KVM_HYPERCALL_EXIT_SMC */

/* Everything but the architecture's own calls, which the kernel does not give away (mitigations). */
static int axvcpu_i_arm64_forward_calls(int fd)
{
    static const struct { uint32_t first, last; } ranges[] = {
        { 0x00000000u, 0x7fffffffu }, { 0x80010000u, 0xbfffffffu }, { 0xc0010000u, 0xffffffffu },
    };
    struct axvcpu_i_arm64_filter filter;
    size_t i;

    for (i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        AXVCPU_MEMSET(&filter, 0, sizeof(filter));
        filter.base = ranges[i].first;
        filter.count = ranges[i].last - ranges[i].first + 1;
        filter.action = AXVCPU_I_ARM64_FILTER_FORWARD;
        if (axvcpu_i_arm64_attr(fd, KVM_SET_DEVICE_ATTR, 0, 0, &filter) < 0)
            return axvcpu_i_kvm_refused("KVM_SET_DEVICE_ATTR of KVM_ARM_VM_SMCCC_FILTER",
                                        errno == EBUSY  ? "it comes before any vCPU has run" :
                                        errno == EEXIST ? "this VM has a filter already; use AXVM_ARM64_CALLS_KERNEL" :
                                                          NULL);
    }
    return AXVCPU_OK;
}

static int axvcpu_i_arm64_calls(struct axvm_arch *vm, const struct axvm_arch_desc *desc)
{
    bool can = axvcpu_i_arm64_attr(vm->kvm.fd, KVM_HAS_DEVICE_ATTR, 0, 0, NULL) == 0;

    if (desc->calls == AXVM_ARM64_CALLS_EXIT && !can)
        return axvcpu_i_say(AXVCPU_ENOSUPPORT, "KVM_HAS_DEVICE_ATTR of KVM_ARM_VM_SMCCC_FILTER: the kernel keeps "
                                                   "all calls; use Linux 6.4 or newer, or AXVM_ARM64_CALLS_AUTO");
    vm->calls_exit = can && desc->calls != AXVM_ARM64_CALLS_KERNEL;
    return vm->calls_exit ? axvcpu_i_arm64_forward_calls(vm->kvm.fd) : AXVCPU_OK;
}

static int axvcpu_i_arm64_gic_attr(const struct axvm_arch *vm, uint32_t group, uint64_t attr, uint64_t value,
                                   const char *call)
{
    static const struct axvcpu_i_arm64_remedy remedies[] = {
        { EBUSY, "a vCPU has run, or the GIC is initialised: this comes before" },
        { EEXIST, "it is set already" },
        { ENXIO, "this GIC has no such thing, or its addresses have not been set" },
        { ENODEV, "its addresses and the number of its interrupts come first" },
        { E2BIG, "it does not fit below axvm_arch_desc.ipa_bits" },
        { 0, "gicd and gicc at 4 KiB, GICv3's at 64 KiB, none above another; irqs a multiple of 32 from 64 to 992" },
    };

    if (axvcpu_i_arm64_attr(vm->gic_fd, KVM_SET_DEVICE_ATTR, group, attr, &value) >= 0)
        return AXVCPU_OK;
    return axvcpu_i_kvm_refused(call, axvcpu_i_arm64_remedy(remedies));
}

/* Out of sight is at the end of the guest-physical addresses, the redistributors of up to 512 vCPUs below. */
static int axvcpu_i_arm64_place_gic(struct axvm_arch *vm, const struct axvm_arch_desc *desc)
{
    uint64_t end = UINT64_C(1) << (desc->ipa_bits != 0 ? desc->ipa_bits : 40);
    uint64_t gicd = desc->gicd.addr != 0 ? desc->gicd.addr : end - 0x10000;
    uint64_t gicr = desc->gicr.addr != 0 ? desc->gicr.addr : end - 0x8000000;
    bool v3 = vm->gic == AXVM_ARM64_GIC_V3;
    int err;

    err = axvcpu_i_arm64_gic_attr(vm, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, vm->irqs,
                                  "KVM_SET_DEVICE_ATTR of KVM_DEV_ARM_VGIC_GRP_NR_IRQS");
    if (err == 0)
        err = axvcpu_i_arm64_gic_attr(vm, KVM_DEV_ARM_VGIC_GRP_ADDR,
                                      v3 ? KVM_VGIC_V3_ADDR_TYPE_DIST : KVM_VGIC_V2_ADDR_TYPE_DIST, gicd,
                                      "KVM_SET_DEVICE_ATTR of the distributor's address (gicd)");
    if (err != 0)
        return err;
    if (v3)
        return axvcpu_i_arm64_gic_attr(vm, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_REDIST, gicr,
                                       "KVM_SET_DEVICE_ATTR of the redistributors' address (gicr)");
    return axvcpu_i_arm64_gic_attr(vm, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V2_ADDR_TYPE_CPU, desc->gicc.addr,
                                   "KVM_SET_DEVICE_ATTR of the CPU interface's address (gicc)");
}

static bool axvcpu_i_arm64_has_gic(const struct axvm_arch *vm)
{
    return vm->gic >= AXVM_ARM64_GIC_V2;
}

static bool axvcpu_i_arm64_can_have(const struct axvm_arch *vm, uint32_t type)
{
    struct kvm_create_device device;

    AXVCPU_MEMSET(&device, 0, sizeof(device));
    device.type = type;
    device.flags = KVM_CREATE_DEVICE_TEST;
    return axvcpu_i_kvm_ioctl(vm->kvm.fd, KVM_CREATE_DEVICE, &device) >= 0;
}

static int axvcpu_i_arm64_create_gic(struct axvm_arch *vm, const struct axvm_arch_desc *desc)
{
    static const struct axvcpu_i_arm64_remedy remedies[] = {
        { ENODEV, "this machine's GIC has no such version for guests; try the other axvm_arch_desc.gic" },
        { EEXIST, "this VM has a GIC already; use AXVM_ARM64_GIC_NONE" },
        { EBUSY, "a vCPU has run: the GIC comes first" },
        { 0, NULL },
    };
    bool v3 = desc->gic == AXVM_ARM64_GIC_V3 ||
              (desc->gic == AXVM_ARM64_GIC_AUTO && !axvcpu_i_arm64_can_have(vm, KVM_DEV_TYPE_ARM_VGIC_V2) &&
               axvcpu_i_arm64_can_have(vm, KVM_DEV_TYPE_ARM_VGIC_V3));
    struct kvm_create_device device;

    if (v3 && (desc->gicd.addr == 0) != (desc->gicr.addr == 0))
        return axvcpu_i_say(AXVCPU_EINVAL, "axvm_init: a GICv3 needs both gicd and gicr, or neither");
    AXVCPU_MEMSET(&device, 0, sizeof(device));
    device.type = v3 ? KVM_DEV_TYPE_ARM_VGIC_V3 : KVM_DEV_TYPE_ARM_VGIC_V2;
    if (axvcpu_i_kvm_ioctl(vm->kvm.fd, KVM_CREATE_DEVICE, &device) < 0)
        return axvcpu_i_kvm_refused(v3 ? "KVM_CREATE_DEVICE of a GICv3" : "KVM_CREATE_DEVICE of a GICv2",
                                    axvcpu_i_arm64_remedy(remedies));
    vm->gic_fd = (int)device.fd;
    vm->gic = v3 ? AXVM_ARM64_GIC_V3 : AXVM_ARM64_GIC_V2;
    vm->irqs = desc->irqs != 0 ? desc->irqs : 992;
    vm->open = desc->gicd.addr == 0;
    vm->kvm.irqchip = true;
    return axvcpu_i_arm64_place_gic(vm, desc);
}

static unsigned long axvcpu_i_kvm_machine(const struct axvm_arch_desc *desc, int *adopt)
{
    *adopt = desc->vm_fd;
    return KVM_VM_TYPE_ARM_IPA_SIZE(desc->ipa_bits);
}

static struct axvm_arch *axvcpu_i_kvm_alone(struct axvcpu *v, const struct axvcpu_arch_create *create,
                                            struct axvm_arch_desc *desc)
{
    desc->vm_fd = create->vm_fd;
    desc->calls = create->vm_fd != 0 ? AXVM_ARM64_CALLS_KERNEL : AXVM_ARM64_CALLS_AUTO; /* a VM may have several */
    return &v->arch.own;
}

static int axvcpu_i_arm64_check_desc(const struct axvm_arch_desc *desc)
{
    if (desc->gic > AXVM_ARM64_GIC_V3 || desc->calls > AXVM_ARM64_CALLS_EXIT ||
        (desc->ipa_bits != 0 && (desc->ipa_bits < 32 || desc->ipa_bits > 52)))
        return axvcpu_i_say(AXVCPU_EINVAL, "axvm_init: no such gic or calls, or ipa_bits not 0 or from 32 to 52");
    if (desc->gic == AXVM_ARM64_GIC_V2 && desc->gicc.addr == 0)
        return axvcpu_i_say(AXVCPU_EINVAL, "axvm_init: a GICv2 needs axvm_arch_desc.gicc");
    if (desc->gicc.addr != 0 && desc->gicd.addr != 0 && desc->gicd.addr < desc->gicc.addr + 0x2000 &&
        desc->gicc.addr < desc->gicd.addr + 0x1000) /* the kernel would only say so when the first vCPU runs */
        return axvcpu_i_say(AXVCPU_EINVAL, "axvm_init: gicd and gicc overlap; they have 4 and 8 KiB");
    return AXVCPU_OK;
}

/* Accesses that the syndrome does not describe become exits (api.rst: KVM_CAP_ARM_NISV_TO_USER, Linux 5.5);
   without it KVM_RUN fails with ENOSYS. */
static int axvcpu_i_kvm_init_vm(struct axvm_arch *vm, const struct axvm_arch_desc *desc)
{
    bool gic = desc->gic >= AXVM_ARM64_GIC_V2 || (desc->gic == AXVM_ARM64_GIC_AUTO && desc->gicc.addr != 0);
    int err = axvcpu_i_arm64_check_desc(desc);

    if (err == 0 && axvcpu_i_kvm_has(vm->kvm.fd, KVM_CAP_ARM_NISV_TO_USER) > 0)
        err = AXVCPU_I_KVM_ENABLE(vm->kvm.fd, KVM_CAP_ARM_NISV_TO_USER, 0, NULL);
    if (err == 0)
        err = axvcpu_i_arm64_calls(vm, desc);
    if (err == 0 && gic)
        err = axvcpu_i_arm64_create_gic(vm, desc);
    return err;
}

static void axvcpu_i_kvm_fini_vm(struct axvm_arch *vm)
{
    if (axvcpu_i_arm64_has_gic(vm))
        (void)close(vm->gic_fd);
}

/* >>kvm GIC */

/* A register of the distributor or, of private interrupts, of a vCPU's own part: where GICv2 has that in the
   distributor too, GICv3 has the SGI frame of its redistributor (IHI 0069, 12.8, 12.10). */
static uint64_t axvcpu_i_arm64_gic_place(const struct axvcpu *v, const struct axvm_arch *vm, uint32_t offset,
                                         bool private_, uint32_t *group)
{
    uint64_t mpidr = v->arch.mpidr, packed = (mpidr >> 32 << 24 | (mpidr & 0xffffffu)) << 32;

    *group = vm->gic == AXVM_ARM64_GIC_V3 && private_ ? KVM_DEV_ARM_VGIC_GRP_REDIST_REGS :
                                                        KVM_DEV_ARM_VGIC_GRP_DIST_REGS;
    if (vm->gic == AXVM_ARM64_GIC_V3)
        return private_ ? packed | (0x10000u + offset) : offset;
    return (private_ ? (uint64_t)v->vcpu_id << 32 : 0) | offset;
}

/* The kernel wants nobody in the guest for that (EBUSY otherwise). Others are told to come out by an interrupt
   that is none, and wait at the gate, in inject. */
static void axvcpu_i_arm64_call_out(struct axvcpu *v)
{
    struct axvm *vm = v->vm.vm;
    uint32_t i;

    for (i = 0; vm != NULL && i < vm->vcpu_count; i++) {
        struct axvcpu *other = axvm_vcpu(vm, i);
        void *owner = other != NULL && other != v ? AXVCPU_ATOMIC_LOAD(&other->owner) : NULL;

        if (owner == NULL)
            continue;
        (void)AXVCPU_ATOMIC_FETCH_OR(&other->attn, AXVCPU_ATTN_IRQ);
        axvcpu_leaf_kick(other, owner);
    }
}

static void axvcpu_i_arm64_wait_at_gate(struct axvm_arch *vm)
{
    while (AXVCPU_ATOMIC_LOAD(&vm->gate) != 0)
        (void)syscall(SYS_sched_yield);
}

#define AXVCPU_I_ARM64_GIC_TRIES 100000

static int axvcpu_i_arm64_gic_write(struct axvcpu *v, uint32_t offset, bool private_, uint32_t value)
{
    struct axvm_arch *vm = v->arch.kvm.vm;
    uint32_t group, tries, shut = 0;
    uint64_t place = axvcpu_i_arm64_gic_place(v, vm, offset, private_, &group);
    int r;

    while (!AXVCPU_ATOMIC_CAS(&vm->gate, &shut, 1u)) {
        axvcpu_i_arm64_wait_at_gate(vm);
        shut = 0;
    }
    for (tries = 0; tries < AXVCPU_I_ARM64_GIC_TRIES; tries++) {
        r = axvcpu_i_arm64_attr(vm->gic_fd, KVM_SET_DEVICE_ATTR, group, place, &value);
        if (r >= 0 || errno != EBUSY)
            break;
        if (tries % 64 == 0)
            axvcpu_i_arm64_call_out(v);
        (void)syscall(SYS_sched_yield);
    }
    AXVCPU_ATOMIC_STORE_RELEASE(&vm->gate, 0u);
    return r >= 0 ? AXVCPU_OK : axvcpu_i_kvm_refused("KVM_SET_DEVICE_ATTR of a GIC register",
                                                     errno == EBUSY ? "vCPUs that are not this VM's run in it" : NULL);
}

/* Distributor registers (IHI 0069, 12.9) */
#define AXVCPU_I_ARM64_GICD_CTLR 0x000u
#define AXVCPU_I_ARM64_GICD_ISENABLER 0x100u
#define AXVCPU_I_ARM64_GICD_ISPENDR 0x200u
#define AXVCPU_I_ARM64_GICD_ITARGETSR 0x800u
#define AXVCPU_I_ARM64_GICD_ICFGR 0xc00u
#define AXVCPU_I_ARM64_GICD_SPENDSGIR 0xf20u
#define AXVCPU_I_ARM64_GICD_IROUTER 0x6000u

static bool axvcpu_i_arm64_bit(const uint64_t *set, uint32_t n)
{
    return (set[n / 64] >> (n % 64) & 1u) != 0;
}

/* Nothing stands between an interrupt and the CPU interface: all are enabled, the shared ones are edges and go
   to the first vCPU until told otherwise. */
static int axvcpu_i_arm64_open_gic(struct axvcpu *v)
{
    struct axvm_arch *vm = v->arch.kvm.vm;
    uint32_t n, count = v->vm.vm != NULL ? v->vm.vm->vcpu_count : 0;
    int err = axvcpu_i_arm64_gic_write(v, AXVCPU_I_ARM64_GICD_CTLR, false, vm->gic == AXVM_ARM64_GIC_V3 ? 2 : 1);

    for (n = 1; n < vm->irqs / 32 && err == 0; n++) {
        err = axvcpu_i_arm64_gic_write(v, AXVCPU_I_ARM64_GICD_ICFGR + 8 * n, false, 0xaaaaaaaau);
        if (err == 0)
            err = axvcpu_i_arm64_gic_write(v, AXVCPU_I_ARM64_GICD_ICFGR + 8 * n + 4, false, 0xaaaaaaaau);
        if (err == 0)
            err = axvcpu_i_arm64_gic_write(v, AXVCPU_I_ARM64_GICD_ISENABLER + 4 * n, false, UINT32_MAX);
    }
    for (n = 0; n < count && err == 0; n++)
        err = axvcpu_i_arm64_gic_write(axvm_vcpu(v->vm.vm, n), AXVCPU_I_ARM64_GICD_ISENABLER, true, UINT32_MAX);
    return err;
}

/* Every vCPU is there by the first set-up. The kernel does not mind a second time. */
static int axvcpu_i_arm64_begin_gic(struct axvcpu *v)
{
    struct axvm_arch *vm = v->arch.kvm.vm;
    int err;

    if (!axvcpu_i_arm64_has_gic(vm) || AXVCPU_ATOMIC_LOAD_ACQUIRE(&vm->gic_ready) != 0)
        return AXVCPU_OK;
    err = axvcpu_i_arm64_gic_attr(vm, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, 0,
                                  "KVM_SET_DEVICE_ATTR of KVM_DEV_ARM_VGIC_CTRL_INIT");
    if (err == 0 && vm->open)
        err = axvcpu_i_arm64_open_gic(v);
    AXVCPU_ATOMIC_STORE_RELEASE(&vm->gic_ready, err == 0);
    return err;
}

/* Shared interrupt n is for this vCPU (IHI 0069, 12.9.22; GICv2: one byte each, four in a register). */
static int axvcpu_i_arm64_route(struct axvcpu *v, uint32_t n)
{
    struct axvm *vm = v->vm.vm;
    uint64_t bit = UINT64_C(1) << (n % 64), mpidr = v->arch.mpidr;
    uint32_t i, value = 0;
    int err;

    if (vm == NULL || vm->vcpu_count == 1 || (AXVCPU_ATOMIC_LOAD(&v->arch.routed[n / 64]) & bit) != 0)
        return AXVCPU_OK;
    for (i = 0; i < vm->vcpu_count; i++)
        (void)AXVCPU_ATOMIC_FETCH_AND(&axvm_vcpu(vm, i)->arch.routed[n / 64], ~bit);
    (void)AXVCPU_ATOMIC_FETCH_OR(&v->arch.routed[n / 64], bit);
    if (vm->arch.gic == AXVM_ARM64_GIC_V3) {
        err = axvcpu_i_arm64_gic_write(v, AXVCPU_I_ARM64_GICD_IROUTER + 8 * n, false, (uint32_t)mpidr & 0xffffffu);
        return err != 0 ? err : axvcpu_i_arm64_gic_write(v, AXVCPU_I_ARM64_GICD_IROUTER + 8 * n + 4, false,
                                                         (uint32_t)(mpidr >> 32));
    }
    for (i = n & ~3u; i < (n & ~3u) + 4; i++) { /* its neighbours stay where they are */
        uint32_t to = 0;

        while (to + 1 < vm->vcpu_count && !axvcpu_i_arm64_bit(axvm_vcpu(vm, to)->arch.routed, i))
            to++;
        value |= (axvcpu_i_arm64_bit(axvm_vcpu(vm, to)->arch.routed, i) ? 1u << to : 1u) << (i % 4 * 8);
    }
    return axvcpu_i_arm64_gic_write(v, AXVCPU_I_ARM64_GICD_ITARGETSR + (n & ~3u), false, value);
}

/* From now on n is a level: so are those of its 16 that were before. */
static int axvcpu_i_arm64_make_level(struct axvcpu *v, uint32_t n)
{
    struct axvm_arch *vm = v->arch.kvm.vm;
    uint32_t i, value = 0;

    if (axvcpu_i_arm64_bit(vm->levels, n))
        return AXVCPU_OK;
    (void)AXVCPU_ATOMIC_FETCH_OR(&vm->levels[n / 64], UINT64_C(1) << (n % 64));
    for (i = 0; i < 16; i++)
        value |= axvcpu_i_arm64_bit(vm->levels, (n & ~15u) + i) ? 0 : 2u << (2 * i);
    return axvcpu_i_arm64_gic_write(v, AXVCPU_I_ARM64_GICD_ICFGR + n / 16 * 4, false, value);
}

/* >>kvm interrupts */

/* KVM_IRQ_LINE's number: a type, the vCPU, the interrupt. */
static int axvcpu_i_arm64_set_line(struct axvcpu *v, uint32_t type, uint32_t n, bool level)
{
    struct kvm_irq_level irq;
    uint32_t who = type == KVM_ARM_IRQ_TYPE_SPI ? 0 : v->vcpu_id;

    AXVCPU_MEMSET(&irq, 0, sizeof(irq));
    irq.irq = type << KVM_ARM_IRQ_TYPE_SHIFT | (who & 0xffu) << KVM_ARM_IRQ_VCPU_SHIFT |
              who >> 8 << KVM_ARM_IRQ_VCPU2_SHIFT | n;
    irq.level = level;
    return AXVCPU_I_KVM(v->arch.kvm.vm->kvm.fd, KVM_IRQ_LINE, &irq, "the controller has no such interrupt");
}

/* n becomes pending once, whatever its trigger. */
static int axvcpu_i_arm64_pend(struct axvcpu *v, uint32_t n)
{
    if (n < 16 && v->arch.kvm.vm->gic == AXVM_ARM64_GIC_V2) /* one byte each: from which CPU */
        return axvcpu_i_arm64_gic_write(v, AXVCPU_I_ARM64_GICD_SPENDSGIR + (n & ~3u), true, 1u << (n % 4 * 8));
    return axvcpu_i_arm64_gic_write(v, AXVCPU_I_ARM64_GICD_ISPENDR + n / 32 * 4, n < 32, 1u << (n % 32));
}

static int axvcpu_i_arm64_edge(struct axvcpu *v, uint32_t n)
{
    const struct axvm_arch *vm = v->arch.kvm.vm;
    int err;

    if (n < 32)
        return axvcpu_i_arm64_pend(v, n);
    err = vm->open ? axvcpu_i_arm64_route(v, n) : AXVCPU_OK;
    if (err == 0 && vm->open && axvcpu_i_arm64_bit(vm->levels, n))
        return axvcpu_i_arm64_pend(v, n);
    if (err == 0)
        err = axvcpu_i_arm64_set_line(v, KVM_ARM_IRQ_TYPE_SPI, n, true);
    if (err == 0 && !vm->open) /* an edge to the kernel is its rise; but the guest may have made it a level */
        err = axvcpu_i_arm64_set_line(v, KVM_ARM_IRQ_TYPE_SPI, n, false);
    return err;
}

static int axvcpu_i_arm64_level(struct axvcpu *v, uint32_t n, bool level)
{
    const struct axvm_arch *vm = v->arch.kvm.vm;
    int err = AXVCPU_OK;

    if (n < 32)
        return n < 16 ? AXVCPU_OK : axvcpu_i_arm64_set_line(v, KVM_ARM_IRQ_TYPE_PPI, n, level);
    if (vm->open && level) {
        err = axvcpu_i_arm64_route(v, n);
        if (err == 0)
            err = axvcpu_i_arm64_make_level(v, n);
    }
    return err != 0 ? err : axvcpu_i_arm64_set_line(v, KVM_ARM_IRQ_TYPE_SPI, n, level);
}

/* Without a controller: the CPU's own input. */
static int axvcpu_i_arm64_input(struct axvcpu *v)
{
    bool level = false, was = v->arch.raised[0] != 0;
    size_t i;

    for (i = 0; i < sizeof(v->lines) / sizeof(v->lines[0]); i++) {
        (void)AXVCPU_ATOMIC_FETCH_OR(&v->lines[i], AXVCPU_ATOMIC_XCHG(&v->pending[i], 0u));
        level |= AXVCPU_ATOMIC_LOAD(&v->lines[i]) != 0;
    }
    v->arch.raised[0] = level;
    return level == was ? AXVCPU_OK : axvcpu_i_arm64_set_line(v, KVM_ARM_IRQ_TYPE_CPU, KVM_ARM_IRQ_CPU_IRQ, level);
}

static int axvcpu_i_arm64_deliver_word(struct axvcpu *v, uint32_t i)
{
    uint32_t irqs = v->arch.kvm.vm->irqs;
    uint64_t lines = AXVCPU_ATOMIC_LOAD(&v->lines[i]), changed = lines ^ v->arch.raised[i], edges;
    int err = AXVCPU_OK;

    v->arch.raised[i] = lines;
    for (; changed != 0 && err == 0; changed &= changed - 1) {
        uint32_t n = axvcpu_i_highest(changed & -changed);

        if (i * 64 + n < irqs)
            err = axvcpu_i_arm64_level(v, i * 64 + n, (lines >> n & 1u) != 0);
    }
    for (edges = AXVCPU_ATOMIC_XCHG(&v->pending[i], 0u); edges != 0 && err == 0; edges &= edges - 1) {
        uint32_t n = i * 64 + axvcpu_i_highest(edges & -edges);

        if (n < irqs)
            err = axvcpu_i_arm64_edge(v, n);
        else
            AXVCPU_LOG(AXVCPU_LOG_WARNING,
                       "inject_interrupt: the GIC has no such interrupt (axvm_arch_desc.irqs); it is dropped");
    }
    return err;
}

AXVCPU_API int axvcpu_leaf_inject(struct axvcpu *v, uint32_t *what)
{
    struct axvm_arch *vm = v->arch.kvm.vm;
    uint32_t i;
    int err = AXVCPU_OK;

    *what = 0;
    if (!axvcpu_i_arm64_has_gic(vm))
        return axvcpu_i_arm64_input(v);
    axvcpu_i_arm64_wait_at_gate(vm);
    for (i = 0; i < sizeof(v->pending) / sizeof(v->pending[0]) && err == 0; i++)
        err = axvcpu_i_arm64_deliver_word(v, i);
    return err;
}

/* A halt is the kernel's; here it is about what has not been given to it yet. */
AXVCPU_API bool axvcpu_leaf_wakes(const struct axvcpu *v, bool queued)
{
    (void)v;
    return queued;
}

/* With the distributor in sight a line is the VM's, at once; else it is of the vCPU that it goes to. */
AXVCPU_API int axvm_leaf_irq_line(struct axvm *vm, uint32_t line, bool level)
{
    if (!axvcpu_i_arm64_has_gic(&vm->arch))
        return axvcpu_i_say(AXVCPU_ENOSUPPORT, "axvm_irq_line: this VM's interrupt controller is not in the kernel");
    if (line < 32 || line >= vm->arch.irqs)
        return axvcpu_i_say(AXVCPU_EINVAL, "axvm_irq_line: shared interrupts are from 32 to axvm_arch_desc.irqs");
    return vm->arch.open ? axvcpu_set_irq(axvm_vcpu(vm, 0), line, level) :
                           axvcpu_i_arm64_set_line(axvm_vcpu(vm, 0), KVM_ARM_IRQ_TYPE_SPI, line, level);
}

/* >>kvm life */

#define AXVCPU_I_ARM64_FEATURE(name) (1u << KVM_ARM_VCPU_##name)
#define AXVCPU_I_ARM64_PAUTH (AXVCPU_I_ARM64_FEATURE(PTRAUTH_ADDRESS) | AXVCPU_I_ARM64_FEATURE(PTRAUTH_GENERIC))

/* KVM_ARM_VCPU_INIT is the architectural reset, the first time and again, always with the same features
   (api.rst, 4.82). waits: until the kernel's PSCI starts it; one that was created so is let go here if not. */
static int axvcpu_i_arm64_init(struct axvcpu *v, bool waits)
{
    struct kvm_mp_state runs = { KVM_MP_STATE_RUNNABLE };
    struct kvm_vcpu_init init;
    int err;

    AXVCPU_MEMSET(&init, 0, sizeof(init));
    init.target = v->arch.target;
    init.features[0] = v->arch.features;
    err = AXVCPU_I_KVM(v->arch.kvm.fd, KVM_ARM_VCPU_INIT, &init,
                       "the machine may lack one of axvcpu_arch_create.features");
    if (err == 0 && v->arch.mpidr != axvcpu_i_arm64_mpidr(v->vcpu_id))
        err = axvcpu_i_kvm_set_one(v, AXVCPU_I_ARM64_MPIDR_EL1, v->arch.mpidr | UINT64_C(1) << 31);
    if (err == 0 && !waits && (v->arch.features & AXVCPU_I_ARM64_FEATURE(POWER_OFF)) != 0)
        err = AXVCPU_I_KVM(v->arch.kvm.fd, KVM_SET_MP_STATE, &runs, NULL);
    return err;
}

static bool axvcpu_i_arm64_waits(const struct axvcpu *v)
{
    return v->vm.vm != NULL && !axvcpu_is_bsp(v) && !v->arch.kvm.vm->calls_exit;
}

/* The guest may use pointer authentication where the machine has it: as on bare metal. */
static uint32_t axvcpu_i_arm64_vcpu_features(const struct axvcpu *v, const struct axvcpu_arch_create *create)
{
    int fd = v->arch.kvm.vm->kvm.fd;
    bool pauth =
        axvcpu_i_kvm_has(fd, KVM_CAP_ARM_PTRAUTH_ADDRESS) > 0 && axvcpu_i_kvm_has(fd, KVM_CAP_ARM_PTRAUTH_GENERIC) > 0;

    return AXVCPU_I_ARM64_FEATURE(PSCI_0_2) | (axvcpu_i_arm64_waits(v) ? AXVCPU_I_ARM64_FEATURE(POWER_OFF) : 0) |
           (pauth ? AXVCPU_I_ARM64_PAUTH : 0) | (uint32_t)create->features;
}

static int axvcpu_i_kvm_init_vcpu(struct axvcpu *v, const struct axvcpu_arch_create *create)
{
    struct kvm_vcpu_init preferred;
    int sve = KVM_ARM_VCPU_SVE, err;

    if ((create->mpidr & ~AXVCPU_ARM64_MPIDR_AFFINITY) != 0 || create->features >> 32 != 0)
        return axvcpu_i_say(AXVCPU_EINVAL, "init: mpidr has bits that are no affinity, or there are no such features");
    AXVCPU_MEMSET(&preferred, 0, sizeof(preferred));
    err = AXVCPU_I_KVM(v->arch.kvm.vm->kvm.fd, KVM_ARM_PREFERRED_TARGET, &preferred, "this CPU cannot run guests");
    v->arch.target = preferred.target;
    v->arch.features = axvcpu_i_arm64_vcpu_features(v, create);
    v->arch.mpidr = create->mpidr != 0 ? create->mpidr : axvcpu_i_arm64_mpidr(v->vcpu_id);
    if (axvcpu_is_bsp(v))
        AXVCPU_MEMSET(v->arch.routed, 0xff, sizeof(v->arch.routed));
    if (err == 0)
        err = axvcpu_i_arm64_init(v, axvcpu_i_arm64_waits(v));
    if (err == 0 && (v->arch.features & AXVCPU_I_ARM64_FEATURE(SVE)) != 0)
        err = AXVCPU_I_KVM(v->arch.kvm.fd, KVM_ARM_VCPU_FINALIZE, &sve, NULL);
    return err;
}

static void axvcpu_i_kvm_fini_vcpu(struct axvcpu *v)
{
    (void)v;
}

/* A CPU that starts: at `entry`, with an argument (PSCI 6.4). */
static int axvcpu_i_arm64_start(struct axvcpu *v, uint64_t entry, uint64_t arg)
{
    int err = axvcpu_i_arm64_init(v, false);

    if (err == 0)
        err = axvcpu_i_kvm_set_one(v, AXVCPU_I_ARM64_PC, entry);
    return err != 0 ? err : axvcpu_i_kvm_set_one(v, AXVCPU_I_ARM64_X(0), arg);
}

/* What the kernel was told of lines is forgotten with them. */
static int axvcpu_i_arm64_lower_all(struct axvcpu *v)
{
    uint32_t i;
    int err = AXVCPU_OK;

    for (i = 0; i < sizeof(v->arch.raised) / sizeof(v->arch.raised[0]); i++) {
        for (; v->arch.raised[i] != 0 && err == 0; v->arch.raised[i] &= v->arch.raised[i] - 1) {
            uint32_t n = i * 64 + axvcpu_i_highest(v->arch.raised[i] & -v->arch.raised[i]);

            if (!axvcpu_i_arm64_has_gic(v->arch.kvm.vm))
                err = axvcpu_i_arm64_set_line(v, KVM_ARM_IRQ_TYPE_CPU, KVM_ARM_IRQ_CPU_IRQ, false);
            else if (n < v->arch.kvm.vm->irqs)
                err = axvcpu_i_arm64_level(v, n, false);
        }
    }
    return err;
}

AXVCPU_API int axvcpu_leaf_reset(struct axvcpu *v)
{
    int err = axvcpu_i_kvm_drain(v);

    if (err == 0)
        err = axvcpu_i_arm64_lower_all(v);
    v->arch.entry.addr = 0;
    return err != 0 ? err : axvcpu_i_arm64_init(v, axvcpu_i_arm64_waits(v));
}

AXVCPU_API int axvcpu_leaf_restart(struct axvcpu *v, axvcpu_gpa_t entry, uint64_t arg)
{
    int err = axvcpu_i_kvm_drain(v);

    if (err == 0)
        err = axvcpu_i_arm64_lower_all(v);
    return err != 0 ? err : axvcpu_i_arm64_start(v, entry.addr, arg);
}

AXVCPU_API int axvcpu_leaf_set_entry(struct axvcpu *v, axvcpu_gpa_t entry)
{
    v->arch.entry = entry;
    return axvcpu_i_kvm_set_one(v, AXVCPU_I_ARM64_PC, entry.addr);
}

AXVCPU_API int axvcpu_leaf_setup(struct axvcpu *v, const struct axvcpu_arch_setup *setup)
{
    (void)setup;
    return axvcpu_i_arm64_begin_gic(v);
}

/* >>kvm registers */

/* The kernel's number of a register; 0: it has none. SP is that of the guest's mode. */
static int axvcpu_i_arm64_reg_id(struct axvcpu *v, uint64_t id, uint64_t *one)
{
    uint64_t pstate;
    int err = AXVCPU_OK;

    if (AXVCPU_REG_CLASS(id) == 0) {
        *one = id < 31 ? AXVCPU_I_ARM64_X(id) : 0;
    } else if (AXVCPU_REG_CLASS(id) == 2) {
        *one = axvcpu_i_arm64_sysreg_id((uint32_t)id);
    } else if (id == AXVCPU_REG_SP) {
        err = axvcpu_i_kvm_get_one(v, AXVCPU_I_ARM64_PSTATE, &pstate);
        *one = (pstate & (AXVCPU_ARM64_PSTATE_EL | AXVCPU_ARM64_PSTATE_SP)) == AXVCPU_ARM64_PSTATE_EL1H ?
                   AXVCPU_I_ARM64_CORE(sp_el1) :
                   AXVCPU_I_ARM64_CORE(regs.sp);
    } else if (id == AXVCPU_REG_PC || id == AXVCPU_REG_FLAGS) {
        *one = id == AXVCPU_REG_PC ? AXVCPU_I_ARM64_PC : AXVCPU_I_ARM64_PSTATE;
    } else {
        err = axvcpu_i_say(AXVCPU_ENOSUPPORT,
                           "KVM_GET_ONE_REG: no such register; use AXVCPU_REG_GPR, _PC, _SP, _FLAGS or _SYS");
    }
    return err;
}

AXVCPU_API int axvcpu_leaf_get_reg(struct axvcpu *v, uint64_t id, uint64_t *value)
{
    uint64_t one = 0;
    int err = axvcpu_i_arm64_reg_id(v, id, &one);

    *value = 0; /* xzr */
    return err != 0 || one == 0 ? err : axvcpu_i_kvm_get_one(v, one, value);
}

AXVCPU_API int axvcpu_leaf_set_reg(struct axvcpu *v, uint64_t id, uint64_t value)
{
    uint64_t one = 0;
    int err = axvcpu_i_arm64_reg_id(v, id, &one);

    return err != 0 || one == 0 ? err : axvcpu_i_kvm_set_one(v, one, value);
}

/* >>kvm exits */

static int axvcpu_i_arm64_apply(struct axvcpu *v, const struct axvcpu_arm64_effect *e)
{
    if ((e->sets & AXVCPU_ARM64_SETS_START) != 0)
        return axvcpu_i_arm64_start(v, e->pc, e->x0);
    return (e->sets & AXVCPU_ARM64_SETS_X0) != 0 ? axvcpu_i_kvm_set_one(v, AXVCPU_I_ARM64_X(0), e->x0) : AXVCPU_OK;
}

/* The PC is past the instruction, also of SMC (api.rst: KVM_EXIT_HYPERCALL). PSCI's calls have three arguments
   at most. */
static int axvcpu_i_arm64_hypercall_exit(struct axvcpu *v, const struct kvm_run *run, struct axvcpu_exit *x)
{
    bool smc = (run->hypercall.longmode & AXVCPU_I_ARM64_EXIT_SMC) != 0; /* `flags` since Linux 6.4 */
    uint32_t n, count = axvcpu_i_arm64_is_ours((uint32_t)run->hypercall.nr) ? 4 : 7;
    struct axvcpu_arm64_trap t;
    struct axvcpu_arm64_effect e;
    uint64_t gpr[31];
    int err = AXVCPU_OK;

    AXVCPU_MEMSET(&t, 0, sizeof(t));
    AXVCPU_MEMSET(gpr, 0, sizeof(gpr));
    t.esr = AXVCPU_ARM64_ESR(smc ? AXVCPU_ARM64_EC_SMC64 : AXVCPU_ARM64_EC_HVC64, AXVCPU_ARM64_ESR_IL);
    gpr[0] = run->hypercall.nr;
    for (n = 1; n < count && err == 0; n++)
        err = axvcpu_i_kvm_get_one(v, AXVCPU_I_ARM64_X(n), &gpr[n]);
    if (err == 0 && axvcpu_arm64_smccc_call(&t, gpr, x, &e) == AXVCPU_ARM64_RESUME)
        x->kind = AXVCPU_EXIT_NOTHING;
    return err != 0 ? err : axvcpu_i_arm64_apply(v, &e);
}

static void axvcpu_i_arm64_nisv_exit(const struct kvm_run *run, struct axvcpu_exit *x)
{
    x->kind = AXVCPU_EXIT_UNDECODED;
    x->undecoded.addr = run->arm_nisv.fault_ipa;
    x->undecoded.syndrome = AXVCPU_ARM64_ESR(AXVCPU_ARM64_EC_DATA, AXVCPU_ARM64_ESR_IL | run->arm_nisv.esr_iss);
    x->undecoded.insn_len = 0; /* the kernel has not read it */
}

static int axvcpu_i_arm64_debug_exit(struct axvcpu *v, const struct kvm_run *run, struct axvcpu_exit *x)
{
    x->kind = AXVCPU_EXIT_DEBUG;
    x->debug.status = run->debug.arch.hsr;
    return axvcpu_i_kvm_get_one(v, AXVCPU_I_ARM64_PC, &x->debug.pc);
}

AXVCPU_I_INLINE bool axvcpu_i_kvm_usual(struct axvcpu *v, struct kvm_run *run, struct axvcpu_exit *x, bool running)
{
    return AXVCPU_I_LIKELY(run->exit_reason == KVM_EXIT_MMIO) && axvcpu_i_kvm_mmio(v, run, x, running);
}

static int axvcpu_i_kvm_exit(struct axvcpu *v, struct kvm_run *run, struct axvcpu_exit *x)
{
    if (axvcpu_i_kvm_usual(v, run, x, false))
        return AXVCPU_OK;
    x->kind = AXVCPU_EXIT_NOTHING;
    x->flags = 0;
    x->raw = run->exit_reason;
    switch (run->exit_reason) {
    case KVM_EXIT_HYPERCALL: return axvcpu_i_arm64_hypercall_exit(v, run, x);
    case KVM_EXIT_ARM_NISV: axvcpu_i_arm64_nisv_exit(run, x); return AXVCPU_OK;
    case KVM_EXIT_DEBUG: return axvcpu_i_arm64_debug_exit(v, run, x);
    default: axvcpu_i_kvm_other(run, x); return AXVCPU_OK;
    }
}

/* >>kvm answers */

AXVCPU_API int axvcpu_leaf_retry(struct axvcpu *v)
{
    return axvcpu_i_kvm_rewind(v, AXVCPU_I_ARM64_X(0), 2, 33); /* x0 to x30, SP_EL0, PC */
}

/* A synchronous external abort (KVM_CAP_ARM_INJECT_EXT_DABT, Linux 5.5), for which only the kernel knows the
   virtual address. It is taken at once, so that its syndrome can be mended: the kernel does not say that it
   was a write, and Linux 6.1 has ones in the upper half. */
static int axvcpu_i_arm64_abort(struct axvcpu *v, bool write)
{
    struct kvm_vcpu_events events;
    struct axvcpu_exit none;
    uint64_t esr;
    int err;

    if (axvcpu_i_kvm_has(v->arch.kvm.vm->kvm.fd, KVM_CAP_ARM_INJECT_EXT_DABT) <= 0)
        return axvcpu_i_say(AXVCPU_ENOSUPPORT,
                            "refuse: KVM_CAP_ARM_INJECT_EXT_DABT is missing; use Linux 5.5 or newer, "
                            "or answer with all ones");
    AXVCPU_MEMSET(&events, 0, sizeof(events));
    events.exception.ext_dabt_pending = 1;
    none.kind = AXVCPU_EXIT_NOTHING;
    err = AXVCPU_I_KVM(v->arch.kvm.fd, KVM_SET_VCPU_EVENTS, &events, NULL);
    if (err == 0)
        err = axvcpu_i_kvm_finish(v, &none);
    if (err == 0)
        err = axvcpu_i_kvm_get_one(v, AXVCPU_I_ARM64_ESR_EL1, &esr);
    return err != 0 ? err : axvcpu_i_kvm_set_one(v, AXVCPU_I_ARM64_ESR_EL1,
                                                 (uint32_t)esr | (write ? AXVCPU_ARM64_ISS_WNR : 0));
}

AXVCPU_API int axvcpu_leaf_refuse(struct axvcpu *v)
{
    int err = axvcpu_leaf_retry(v);

    return err != 0 ? err : axvcpu_i_arm64_abort(v, axvcpu_access(v)->kind == AXVCPU_EXIT_MMIO_WRITE);
}

/* >>kvm exceptions */

/* What taking one reads, then what it also writes; as in struct axvcpu_arm64_el1. */
static const struct { uint64_t id; uint32_t offset; bool reads; } axvcpu_i_arm64_taking[] = {
    { AXVCPU_I_ARM64_VBAR_EL1, offsetof(struct axvcpu_arm64_el1, vbar), true },
    { AXVCPU_I_ARM64_SCTLR_EL1, offsetof(struct axvcpu_arm64_el1, sctlr), true },
    { AXVCPU_I_ARM64_PC, offsetof(struct axvcpu_arm64_el1, pc), true },
    { AXVCPU_I_ARM64_PSTATE, offsetof(struct axvcpu_arm64_el1, pstate), true },
    { AXVCPU_I_ARM64_CORE(elr_el1), offsetof(struct axvcpu_arm64_el1, elr), false },
    { AXVCPU_I_ARM64_CORE(spsr[0]), offsetof(struct axvcpu_arm64_el1, spsr), false },
    { AXVCPU_I_ARM64_ESR_EL1, offsetof(struct axvcpu_arm64_el1, esr), false },
    { AXVCPU_I_ARM64_FAR_EL1, offsetof(struct axvcpu_arm64_el1, far), false },
};

static int axvcpu_i_arm64_raise(struct axvcpu *v, uint32_t vector, uint64_t error, uint64_t addr)
{
    const size_t count = sizeof(axvcpu_i_arm64_taking) / sizeof(axvcpu_i_arm64_taking[0]);
    bool abort = (vector & ~1u) == AXVCPU_ARM64_EC_FETCH || (vector & ~1u) == AXVCPU_ARM64_EC_DATA;
    struct axvcpu_arm64_el1 s;
    size_t i;
    int err = AXVCPU_OK;

    for (i = 0; i < count && err == 0; i++) {
        if (axvcpu_i_arm64_taking[i].reads)
            err = axvcpu_i_kvm_get_one(v, axvcpu_i_arm64_taking[i].id,
                                       (uint64_t *)(void *)((char *)&s + axvcpu_i_arm64_taking[i].offset));
    }
    if (err != 0)
        return err;
    if (abort) /* its class says where it came from */
        vector = (vector & ~1u) | ((s.pstate & AXVCPU_ARM64_PSTATE_EL) != 0);
    axvcpu_arm64_take(&s, AXVCPU_ARM64_ESR(vector, AXVCPU_ARM64_ESR_IL | error), addr);
    for (i = 2; i < count && err == 0; i++)
        err = axvcpu_i_kvm_set_one(v, axvcpu_i_arm64_taking[i].id,
                                   *(uint64_t *)(void *)((char *)&s + axvcpu_i_arm64_taking[i].offset));
    return err;
}

/* vector is the exception class, error the syndrome; an SError's only where the CPU has RAS. */
AXVCPU_API int axvcpu_leaf_inject_exception(struct axvcpu *v, uint32_t vector, uint64_t error, uint64_t addr)
{
    struct kvm_vcpu_events events;

    if (vector >= AXVCPU_ARM64_EC_COUNT || error >> 25 != 0)
        return axvcpu_i_say(AXVCPU_EINVAL,
                            "inject_exception: no such exception class, or a syndrome of more than 25 bits");
    if ((axvcpu_i_word(v) & AXVCPU_I_DUE) != 0)
        return axvcpu_i_say(AXVCPU_EPENDING,
                            "inject_exception: the guest's access is not committed; settle first, or refuse it");
    if (vector != AXVCPU_ARM64_EC_SERROR)
        return axvcpu_i_arm64_raise(v, vector, error, addr);
    AXVCPU_MEMSET(&events, 0, sizeof(events));
    events.exception.serror_pending = 1;
    events.exception.serror_has_esr = error != 0;
    events.exception.serror_esr = error;
    return AXVCPU_I_KVM(v->arch.kvm.fd, KVM_SET_VCPU_EVENTS, &events, "without RAS a system error has no syndrome: 0");
}

/* >>kvm the rest */

AXVCPU_API uint32_t axvcpu_leaf_max_guest_page_table_levels(const struct axvcpu_percpu *p)
{
    (void)p;
    return 4;
}

AXVCPU_API enum axvm_answer axvm_leaf_answer(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x)
{
    return axvcpu_i_arm64_reply(vm, v, x);
}

#endif /* AXVCPU_KVM */
#endif /* the selected backend */

AXVCPU_I_C_END

#endif /* AXVCPU_IMPLEMENTATION */
