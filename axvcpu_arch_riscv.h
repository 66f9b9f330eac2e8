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
enum axvcpu_riscv_sbi_error { AXVCPU_RISCV_SBI_ERRORS(AXVCPU_I_ENUM_RISCV_SBI_ERROR) };

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
#define AXVCPU_RISCV_SBI_EXT_FIRMWARE 0x0a000000u /* of these, firmware's are the fastest */
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

#if !defined(__riscv) || __riscv_xlen != 64
#error "axvcpu_arch_riscv.h: AXVCPU_ARCH_RISCV needs a compiler for RV64"
#else

/* ---------------------------------------------------------------------------------------------------- */
/* >>leaves                                                                                             */
/* ---------------------------------------------------------------------------------------------------- */

/* What bare metal and KVM have in common, so that one source serves both. What the kernel decides by itself
   there (tables, VMID, delegation) is not looked at. */

#define AXVCPU_LEAF_GPRS 32
#define AXVCPU_LEAF_RETURN_GPR AXVCPU_RISCV_A0
#define AXVCPU_LEAF_VECTORS 64
#define AXVCPU_LEAF_VECTOR_OK(n) ((n) == AXVCPU_RISCV_IRQ_SOFT || (n) == AXVCPU_RISCV_IRQ_TIMER || (n) == AXVCPU_RISCV_IRQ_EXT)
#define AXVM_LEAF_UP_OK 0
#define AXVM_LEAF_UP_ALREADY ((uint64_t)AXVCPU_RISCV_SBI_ALREADY_AVAILABLE)
#define AXVM_LEAF_UP_INVALID ((uint64_t)AXVCPU_RISCV_SBI_INVALID_PARAM)
#define AXVM_LEAF_UP_ANSWERS true
#define AXVM_LEAF_PAGE 4096u

struct axvcpu_arch_create {
#ifdef AXVCPU_KVM
    int vm_fd; /* without axvm: a KVM VM of yours; 0: one of its own */
#else
    uint32_t none;
#endif
};

/* Who keeps the registers of floating point and vectors. They are not the host's: one that uses them saves its
   own around a vCPU that is bound. */
enum axvcpu_riscv_fp {
    AXVCPU_RISCV_FP_LAZY,  /* loaded when the guest uses them first, saved when it leaves the hart */
    AXVCPU_RISCV_FP_EAGER, /* loaded and saved with the rest */
    AXVCPU_RISCV_FP_OWNED  /* the host does both */
};

/* All zero: full virtualization. */
struct axvcpu_arch_setup {
    uint64_t hedeleg_clear;      /* exceptions that shall not go to the guest by themselves; 3 becomes DEBUG */
    uint64_t hideleg_clear;      /* interrupts (hvip's bits) that shall not: pending and enabled, they are RAW exits */
    uint64_t hcounteren_clear;   /* counters that the guest may not read: SYSREG_READ */
    uint64_t henvcfg_clear;      /* extensions that it shall not have, though they are there */
    uint32_t fp;                 /* enum axvcpu_riscv_fp, also for vectors */
    uint32_t mode, vmid;         /* of the host's own tables: hgatp's mode, 0: Sv39x4; a vCPU of a VM has its VM's */
    struct axvcpu_riscv_sbi sbi; /* what the guest's SBI says of the machine */
};

struct axvm_arch_desc {
    uint32_t mode; /* hgatp's: 0 is Sv39x4 */
#ifdef AXVCPU_KVM
    int vm_fd;     /* a KVM VM of yours; it stays open. 0: a new one */
#endif
};

/* sstatus and vsstatus (priv 4.1.1), hstatus (priv 8.2.1), hgatp (priv 8.2.10), henvcfg (priv 8.2.5) */
#define AXVCPU_RISCV_SSTATUS_SIE (UINT64_C(1) << 1)
#define AXVCPU_RISCV_SSTATUS_SPIE (UINT64_C(1) << 5)
#define AXVCPU_RISCV_SSTATUS_SPP (UINT64_C(1) << 8)
#define AXVCPU_RISCV_SSTATUS_VS (UINT64_C(3) << 9)
#define AXVCPU_RISCV_SSTATUS_VS_CLEAN (UINT64_C(2) << 9)
#define AXVCPU_RISCV_SSTATUS_FS (UINT64_C(3) << 13)
#define AXVCPU_RISCV_SSTATUS_FS_CLEAN (UINT64_C(2) << 13)
#define AXVCPU_RISCV_SSTATUS_FS_DIRTY (UINT64_C(3) << 13)
#define AXVCPU_RISCV_SSTATUS_UXL64 (UINT64_C(2) << 32)
#define AXVCPU_RISCV_HSTATUS_SPV (UINT64_C(1) << 7)   /* sret goes to a guest */
#define AXVCPU_RISCV_HSTATUS_SPVP (UINT64_C(1) << 8)  /* HLV sees what VS mode sees, else VU */
#define AXVCPU_RISCV_HSTATUS_VTW (UINT64_C(1) << 21)  /* WFI traps */
#define AXVCPU_RISCV_HSTATUS_VSXL64 (UINT64_C(2) << 32)
#define AXVCPU_RISCV_HGATP_SV39X4 8u
#define AXVCPU_RISCV_HGATP_SV48X4 9u
#define AXVCPU_RISCV_HGATP_MODE_AT 60
#define AXVCPU_RISCV_HGATP_VMID_AT 44
#define AXVCPU_RISCV_HGATP_VMID_MASK UINT64_C(0x3fff)
#define AXVCPU_RISCV_HENVCFG_STCE (UINT64_C(1) << 63) /* vstimecmp (Sstc) */
#define AXVCPU_RISCV_HENVCFG_PBMTE (UINT64_C(1) << 62)
#define AXVCPU_RISCV_HENVCFG_CBZE (UINT64_C(1) << 7)
#define AXVCPU_RISCV_HENVCFG_CBCFE (UINT64_C(1) << 6)
#define AXVCPU_RISCV_HENVCFG_CBIE_FLUSH (UINT64_C(1) << 4)

#ifndef AXVCPU_KVM
#define AXVCPU_LEAF_NAME "riscv"
#define AXVCPU_LEAF_LOOK(p) AXVCPU_ATOMIC_LOAD_RELAXED(p)
#define AXVCPU_I_RISCV_SERVES

/* What belongs to the guest beside its registers: the CSR that has it while the vCPU is loaded, and the one
   that the guest takes it for (axvcpu_get_reg by AXVCPU_REG_SYS). hie and hvip have their bits one higher. */
#define AXVCPU_RISCV_STATE(X)                                                                              \
    X(vsstatus, 0x200, 0x100) X(vstvec, 0x205, 0x105) X(vsscratch, 0x240, 0x140) X(vsepc, 0x241, 0x141)    \
    X(vscause, 0x242, 0x142) X(vstval, 0x243, 0x143) X(vsatp, 0x280, 0x180) X(scounteren, 0x106, 0x106)    \
    X(senvcfg, 0x10a, 0x10a) X(hie, 0x604, 0x104) X(hvip, 0x645, 0x144)
#define AXVCPU_RISCV_CSRS(X)                                                                               \
    X(sstatus, 0x100, 0) X(stvec, 0x105, 0) X(sscratch, 0x140, 0) X(stval, 0x143, 0) X(hstatus, 0x600, 0) X(hedeleg, 0x602, 0)   \
    X(hideleg, 0x603, 0) X(hcounteren, 0x606, 0) X(hgeie, 0x607, 0) X(henvcfg, 0x60a, 0)                   \
    X(htimedelta, 0x605, 0) X(htval, 0x643, 0) X(htinst, 0x64a, 0) X(hgatp, 0x680, 0) X(vstimecmp, 0x24d, 0x14d) \
    X(time, 0xc01, 0) X(fcsr, 0x003, 0) X(vstart, 0x008, 0) X(vcsr, 0x00f, 0)

/* Register n is at offset 8n; the offsets of the rest are the world switch's own business, but for `resume`,
   which AXVCPU_RISCV_VECTOR knows. */
struct axvcpu_arch {
    uint64_t gpr[32]; /* [0] stays 0 */
    uint64_t resume;  /* with AXVCPU_OWN_VECTORS: where an exit goes on */
    uint64_t pc, sstatus, hstatus;
    uint64_t host_sp, host_gp, host_tp, host_s0, host_stvec, host_sscratch, host_sstatus, host_hstatus;
    /* per vCPU switch */
#define AXVCPU_I_RISCV_FIELD(name, csr, guest) uint64_t name;
    AXVCPU_RISCV_STATE(AXVCPU_I_RISCV_FIELD)
    uint64_t vstimecmp;
    uint64_t hgatp, hedeleg, hideleg, hcounteren, henvcfg, henvcfg_clear, host_scounteren, host_senvcfg;
    uint32_t mode, vmid, fp;
    uint32_t sstc;     /* it has vstimecmp */
    uint32_t cpu;      /* CPU_ID + 1 of the CPU whose registers hold the above; 0: memory does */
    uint32_t home;     /* ... of the one that held it last and may still; 0: memory is newer */
    uint64_t root;
    /* an access between its exit and its commit */
    uint64_t fault_va, csr_value;
    uint32_t step, csr_insn, csr_rd; /* csr_rd: 32 + the register that gets csr_value when the write commits */
    /* interrupts, as hvip bits: what lines drive, and edges that the guest may or may not have taken */
    uint64_t lined, edges;
    struct axvcpu_riscv_sbi sbi;
    /* on demand */
    uint64_t f[32], fcsr, vstart, vl, vtype, vcsr;
    axvcpu_hpa_t vectors; /* v0-v31; no address: there are none */
};

struct axvcpu_arch_percpu {
    uint64_t hedeleg, hideleg, hcounteren, henvcfg; /* the host's */
    uint32_t levels, vmid_bits, sstc;
    uint32_t vlenb; /* bytes of a vector register; 0: there are none */
};
struct axvm_arch {
    axvcpu_hpa_t root;
    uint32_t mode, vmid;
    uint32_t lock;    /* of the tables */
    uint32_t logs;    /* mappings with LOG_DIRTY */
};

/* Besides the hooks of axvcpu.h:
     AXVCPU_KICK_VECTOR   with AXVCPU_IRQ_FETCH: the vector of SEND_KICK's interrupt, which then never comes out
                          of run as an EXTERNAL_INTERRUPT
     AXVCPU_REMOTE_FENCE(op, start, size, id)
                          a fence on all harts, done when it returns 0 (int64_t); op is the function of the SBI's
                          RFENCE extension, as is what the others mean. Default: the firmware's
     AXVCPU_OWN_VECTORS   (the same in every file) stvec stays the host's: its handler begins with
                          AXVCPU_RISCV_VECTOR, a string for an asm statement in a file of the host's. While a
                          vCPU is bound the host keeps 0 in sscratch whenever a trap may find it there.
                          A handler that tells a guest from its own user mode in another way - hstatus.SPV,
                          for one - has AXVCPU_RISCV_VECTOR_GUEST where that is known: a0 has what sscratch
                          had, sscratch the guest's a0. */
#define AXVCPU_RISCV_VECTOR_GUEST "sd t0, 40(a0)\n\tld t0, 256(a0)\n\tjr t0\n\t"
#define AXVCPU_RISCV_VECTOR                                                                                \
    "csrrw a0, sscratch, a0\n\tbeqz a0, 1f\n\t" AXVCPU_RISCV_VECTOR_GUEST "1: csrrw a0, sscratch, a0\n\t"

AXVCPU_LEAF_DECLARE(AXVCPU_API, AXVCPU_I_INLINE)

/* The pages of a mapping with AXVM_MAP_LOG_DIRTY that have been written since the last time: bit n of `bitmap`
   is page n from gpa on. The mapping must have all of gpa..gpa+size. */
AXVCPU_API int axvm_riscv_dirty(struct axvm *, axvcpu_gpa_t, uint64_t size, uint64_t *bitmap);

/* Where the inline halves go when it is not the usual case. */
AXVCPU_API int axvcpu_i_riscv_left(struct axvcpu *, struct axvcpu_exit *, uint64_t cause, uint64_t pc);
AXVCPU_API int axvcpu_i_riscv_load(struct axvcpu *);
AXVCPU_API void axvcpu_i_riscv_save(struct axvcpu *);
AXVCPU_API int axvcpu_i_riscv_commit(struct axvcpu *, struct axvcpu_exit *);
AXVCPU_API enum axvm_answer axvcpu_i_riscv_answer_exit(struct axvm *, struct axvcpu *, struct axvcpu_exit *);

/* ---------------------------------------------------------------------------------------------------- */
/* >>switch                                                                                             */
/* ---------------------------------------------------------------------------------------------------- */

/* What the switch leaves in registers of what the guest had there. */
struct axvcpu_i_riscv_left {
    uint64_t cause, pc, a[8];
};

/* Into the guest and back. No symbol: the way out is a label within, and stvec has its address only while
   the guest runs. The host's registers that a compiler saves around a call are clobbers, so that it saves
   those that it uses. sscratch has the vCPU meanwhile; the host's tp and gp are put back and never used.
   sstatus as loaded has SIE clear, so nothing traps between the first csrrw and sret.

   The saved-register table:
     at every exit    x1-x31, sepc, sstatus (SPP, FS); of the host: sstatus, s0, sp, tp - and stvec, sscratch
                      and gp are put back as they were when the vCPU was loaded; hstatus is 0 until it leaves
                      (stvec is not touched with AXVCPU_OWN_VECTORS)
     at bind, unbind  AXVCPU_RISCV_STATE (vsstatus, vstvec, vsscratch, vsepc, vscause, vstval, vsatp, scounteren,
                      senvcfg, hie, hvip) and vstimecmp, unless this hart still has them; written only: hgatp,
                      hedeleg, hideleg, hcounteren, henvcfg; of the host: scounteren, senvcfg, hstatus
     on demand        f0-f31, fcsr; v0-v31, vstart, vl, vtype, vcsr */
#define AXVCPU_I_RISCV_AT(field) [field] "i"(offsetof(struct axvcpu_arch, field))
#ifdef AXVCPU_OWN_VECTORS
#define AXVCPU_I_RISCV_AIM "sd t0, %[resume](a0)\n\t"
#define AXVCPU_I_RISCV_CAME ""
#define AXVCPU_I_RISCV_BACK ""
#else
#define AXVCPU_I_RISCV_AIM "csrw stvec, t0\n\t"
#define AXVCPU_I_RISCV_CAME "csrrw a0, sscratch, a0\n\tsd x5, 40(a0)\n\t"
#define AXVCPU_I_RISCV_BACK "ld t3, %[host_stvec](a0)\n\tcsrw stvec, t3\n\t"
#endif
AXVCPU_I_INLINE struct axvcpu_arch *axvcpu_i_riscv_switch(struct axvcpu_arch *arch, struct axvcpu_i_riscv_left *left)
{
    register struct axvcpu_arch *a0 __asm__("a0") = arch;
    register uint64_t a1 __asm__("a1"), a2 __asm__("a2"), a3 __asm__("a3"), a4 __asm__("a4"), a5 __asm__("a5");
    register uint64_t a6 __asm__("a6"), a7 __asm__("a7"), cause __asm__("t0"), pc __asm__("t1"), first __asm__("t2");

    __asm__ volatile(
        "sd sp, %[host_sp](a0)\n\t"
        "sd tp, %[host_tp](a0)\n\t"
        "sd s0, %[host_s0](a0)\n\t"
        "lla t0, 1f\n\t"
        "ld t1, %[sstatus](a0)\n\t"
        "ld t2, %[hstatus](a0)\n\t"
        "ld t3, %[pc](a0)\n\t"
        "csrrw t1, sstatus, t1\n\t"
        AXVCPU_I_RISCV_AIM
        "csrw sscratch, a0\n\t"
        "csrw 0x600, t2\n\t" /* hstatus */
        "csrw sepc, t3\n\t"
        "sd t1, %[host_sstatus](a0)\n\t"
        "ld x1, 8(a0)\n\t"    "ld x2, 16(a0)\n\t"   "ld x3, 24(a0)\n\t"   "ld x4, 32(a0)\n\t"
        "ld x5, 40(a0)\n\t"   "ld x6, 48(a0)\n\t"   "ld x7, 56(a0)\n\t"   "ld x8, 64(a0)\n\t"
        "ld x9, 72(a0)\n\t"   "ld x11, 88(a0)\n\t"  "ld x12, 96(a0)\n\t"  "ld x13, 104(a0)\n\t"
        "ld x14, 112(a0)\n\t" "ld x15, 120(a0)\n\t" "ld x16, 128(a0)\n\t" "ld x17, 136(a0)\n\t"
        "ld x18, 144(a0)\n\t" "ld x19, 152(a0)\n\t" "ld x20, 160(a0)\n\t" "ld x21, 168(a0)\n\t"
        "ld x22, 176(a0)\n\t" "ld x23, 184(a0)\n\t" "ld x24, 192(a0)\n\t" "ld x25, 200(a0)\n\t"
        "ld x26, 208(a0)\n\t" "ld x27, 216(a0)\n\t" "ld x28, 224(a0)\n\t" "ld x29, 232(a0)\n\t"
        "ld x30, 240(a0)\n\t" "ld x31, 248(a0)\n\t" "ld x10, 80(a0)\n\t"
        "sret\n\t"
        ".word 0\n\t"     /* nothing is done ahead of the sret: no instruction is behind it */
        ".balign 4\n\t" /* stvec's lowest two bits are its mode: 0, everything comes here (priv 4.1.2) */
        "1:\n\t"
        AXVCPU_I_RISCV_CAME
        "sd x1, 8(a0)\n\t"    "sd x2, 16(a0)\n\t"   "sd x3, 24(a0)\n\t"   "sd x4, 32(a0)\n\t"
        "sd x6, 48(a0)\n\t"   "sd x7, 56(a0)\n\t"   "sd x8, 64(a0)\n\t"
        "sd x9, 72(a0)\n\t"   "sd x11, 88(a0)\n\t"  "sd x12, 96(a0)\n\t"  "sd x13, 104(a0)\n\t"
        "sd x14, 112(a0)\n\t" "sd x15, 120(a0)\n\t" "sd x16, 128(a0)\n\t" "sd x17, 136(a0)\n\t"
        "sd x18, 144(a0)\n\t" "sd x19, 152(a0)\n\t" "sd x20, 160(a0)\n\t" "sd x21, 168(a0)\n\t"
        "sd x22, 176(a0)\n\t" "sd x23, 184(a0)\n\t" "sd x24, 192(a0)\n\t" "sd x25, 200(a0)\n\t"
        "sd x26, 208(a0)\n\t" "sd x27, 216(a0)\n\t" "sd x28, 224(a0)\n\t" "sd x29, 232(a0)\n\t"
        "sd x30, 240(a0)\n\t" "sd x31, 248(a0)\n\t"
        "ld t2, %[host_sscratch](a0)\n\t"
        "ld t4, %[host_sstatus](a0)\n\t"
        "csrrw t2, sscratch, t2\n\t"
        AXVCPU_I_RISCV_BACK
        "csrrw t4, sstatus, t4\n\t"
        "csrw 0x600, zero\n\t" /* hstatus: an sret of the host's must not go to the guest */
        "csrr t1, sepc\n\t"
        "csrr t0, scause\n\t"
        "sd t2, 80(a0)\n\t"
        "sd t4, %[sstatus](a0)\n\t"
        "ld sp, %[host_sp](a0)\n\t"
        "ld gp, %[host_gp](a0)\n\t"
        "ld tp, %[host_tp](a0)\n\t"
        "ld s0, %[host_s0](a0)\n\t"
        : "+r"(a0), "=r"(a1), "=r"(a2), "=r"(a3), "=r"(a4), "=r"(a5), "=r"(a6), "=r"(a7), "=r"(cause), "=r"(pc),
          "=r"(first)
        : AXVCPU_I_RISCV_AT(resume), AXVCPU_I_RISCV_AT(pc), AXVCPU_I_RISCV_AT(sstatus), AXVCPU_I_RISCV_AT(hstatus),
          AXVCPU_I_RISCV_AT(host_sp), AXVCPU_I_RISCV_AT(host_gp), AXVCPU_I_RISCV_AT(host_tp), AXVCPU_I_RISCV_AT(host_s0),
          AXVCPU_I_RISCV_AT(host_stvec), AXVCPU_I_RISCV_AT(host_sscratch), AXVCPU_I_RISCV_AT(host_sstatus)
        : "ra", "t3", "t4", "t5", "t6", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "memory");
    left->cause = cause;
    left->pc = pc;
    left->a[0] = first, left->a[1] = a1, left->a[2] = a2, left->a[3] = a3;
    left->a[4] = a4, left->a[5] = a5, left->a[6] = a6, left->a[7] = a7;
    return a0; /* where it was all the time: the caller's own copy is on its stack */
}

/* A call of a firmware extension, which for the guest we are, is the common exit. It goes from its registers
   to the record. */
AXVCPU_I_INLINE int axvcpu_leaf_run(struct axvcpu *v, struct axvcpu_exit *x)
{
    struct axvcpu_arch *a = axvcpu_arch(v);
    struct axvcpu_i_riscv_left left;
    uint64_t other;

    a = axvcpu_i_riscv_switch(a, &left);
    /* The cause and the extensions' upper byte are both 10; the subtraction is hidden from the compiler, so
       that it has the cause in its register and not as one more constant. */
    __asm__("addi %0, %1, %2" : "=r"(other) : "r"(left.cause), "i"(-AXVCPU_RISCV_CAUSE_ECALL_VS));
    if (AXVCPU_I_UNLIKELY(other != 0) || AXVCPU_I_UNLIKELY(left.a[7] >> 24 != left.cause))
        return axvcpu_i_riscv_left(v, x, left.cause, left.pc);
    a->pc = left.pc + 4;
    x->kind = AXVCPU_EXIT_HYPERCALL;
    x->flags = 0;
    x->raw = left.cause;
    x->hypercall.nr = left.a[6] << 32 | left.a[7]; /* that is AXVCPU_RISCV_SBI_NR; a7's upper half is 0 */
    x->hypercall.args[0] = left.a[0], x->hypercall.args[1] = left.a[1], x->hypercall.args[2] = left.a[2];
    x->hypercall.args[3] = left.a[3], x->hypercall.args[4] = left.a[4], x->hypercall.args[5] = left.a[5];
    axvcpu_undisturbed(v);
    return AXVCPU_OK;
}

AXVCPU_I_INLINE int axvcpu_leaf_bind(struct axvcpu *v)
{
    return axvcpu_i_riscv_load(v);
}

AXVCPU_I_INLINE int axvcpu_leaf_unbind(struct axvcpu *v)
{
    axvcpu_i_riscv_save(v);
    return AXVCPU_OK;
}

AXVCPU_I_INLINE int axvcpu_leaf_commit(struct axvcpu *v, struct axvcpu_exit *x, bool entering)
{
    (void)entering;
    return axvcpu_i_riscv_commit(v, x);
}

AXVCPU_I_INLINE enum axvm_answer axvm_leaf_answer(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x)
{
    return axvcpu_i_riscv_answer_exit(vm, v, x);
}

#else /* KVM */

/* >>kvm: the hosted backend. What the kernel keeps for itself stands in axvcpu.h's table of exits: above all the
   SBI, so that harts are started, interrupted and fenced by each other without an exit. A register costs an
   ioctl, in either direction.

   Interrupts: 9 by KVM_INTERRUPT, 1 and 5 by the sip register; that loses what the kernel's own SBI gives to
   the same vCPU at the same moment, so leave them to it when harts send each other some. An edge of 9 or 5 is
   given to a guest that can take it by its registers, some twenty ioctls: nothing in the kernel would end it.
   A line (axvcpu_set_irq) of 9 is one. */

#define AXVCPU_LEAF_NAME "RISC-V KVM"
#define AXVM_LEAF_STARTS_CPUS(vm) ((void)(vm), true) /* the kernel's SBI does */
#define AXVCPU_LEAF_RUN_COMMITS 0 /* the kernel does, but needs help */
#define AXVCPU_I_KVM_OWN_IRQ_LINE
#define AXVCPU_I_KVM_NO_DEVICE "no KVM: load the module kvm; the harts need the H extension"
#define AXVCPU_I_KVM_OWN_FAILURE

struct axvm_arch { struct axvcpu_kvm_vm kvm; };

struct axvcpu_arch {
    struct axvcpu_kvm kvm;
    uint64_t pc, sstatus;      /* while an exception is taken: where, and from which mode (SPP) */
    uint64_t vsstatus, hie, hvip, vstvec, vsepc, vscause, vstval; /* ... as in the bare backend */
    uint64_t lined, edges;     /* as hvip's bits: what lines drive, and edges that may not have been taken yet */
    struct axvcpu_i_riscv_origin *origin; /* all registers as the kernel creates them, for reset */
    bool call_open;            /* an SBI call's answer is in the run page, not in a0 and a1 */
    struct axvm_arch own;      /* without axvm */
};

struct axvcpu_arch_percpu { bool enabled; };

/* ioctl(fd, KVM_RUN, 0), which the kernel knows as system call 29. */
#ifndef AXVCPU_KVM_ENTER
AXVCPU_I_INLINE long axvcpu_i_riscv_enter_kvm(int fd)
{
    register long a0 __asm__("a0") = fd;
    register long a1 __asm__("a1") = 0xae80;
    register long a2 __asm__("a2") = 0;
    register long a7 __asm__("a7") = 29;

    __asm__ volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a2), "r"(a7) : "memory");
    return a0;
}
#define AXVCPU_KVM_ENTER(fd) axvcpu_i_riscv_enter_kvm(fd)
#endif

AXVCPU_LEAF_DECLARE(AXVCPU_API, AXVCPU_API)

#endif /* KVM */
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
    a->offset = 0;
    a->base = a->reg = a->width = 0;
    a->write = a->sign_extend = false;
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

static void axvcpu_i_riscv_no_effect(struct axvcpu_riscv_effect *e)
{
    e->step = e->sets = e->insn = 0;
    e->a0 = e->a1 = e->pc = e->timer = e->cause = e->tval = 0;
}

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
    /* a table's entry is aligned; the virtual address that was looked up is not about it */
    c->x->fault.addr = (access & AXVCPU_ACCESS_WALK) != 0 ? c->t->htval << 2 : axvcpu_i_riscv_gpa(c->t);
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

#define AXVCPU_I_RISCV_IRQS UINT64_C(0x444) /* VSSIP, VSTIP, VSEIP in hvip, hie, hideleg */

/* An interrupt of the guest's own, which hideleg does not give to it. */
static bool axvcpu_i_riscv_is_guests(uint64_t cause)
{
    uint64_t n = cause & ~AXVCPU_RISCV_CAUSE_IRQ;

    return n < 64 && (AXVCPU_I_RISCV_IRQS >> n & 1u) != 0;
}

AXVCPU_API enum axvcpu_riscv_action axvcpu_riscv_decode(const struct axvcpu_riscv_trap *t, const uint64_t gpr[32],
                                                        const struct axvcpu_riscv_sbi *sbi, struct axvcpu_exit *x,
                                                        struct axvcpu_riscv_effect *e)
{
    const struct axvcpu_i_riscv_case c = { t, gpr, sbi, x, e };

    axvcpu_i_riscv_no_effect(e);
    if ((t->cause & AXVCPU_RISCV_CAUSE_IRQ) != 0) {
        x->irq.vector = AXVCPU_NO_VECTOR;
        return axvcpu_i_riscv_exit(&c, axvcpu_i_riscv_is_guests(t->cause) ? AXVCPU_EXIT_RAW :
                                                                          AXVCPU_EXIT_EXTERNAL_INTERRUPT);
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

static enum axvcpu_riscv_action axvcpu_i_riscv_answer(const struct axvcpu_i_riscv_case *c, int64_t error,
                                                      uint64_t value)
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

    axvcpu_i_riscv_no_effect(e);
    e->step = 4; /* ecall has no compressed form */
    if (ext - AXVCPU_RISCV_SBI_EXT_OWN < AXVCPU_RISCV_SBI_EXT_OWN_END - AXVCPU_RISCV_SBI_EXT_OWN)
        return axvcpu_i_riscv_hypercall(&c);
    for (; row < end; row++) {
        if (row->ext == ext && (row->last == UINT32_MAX || (function >= row->first && function <= row->last)))
            return row->call(&c);
    }
    return axvcpu_i_riscv_unsupported(&c);
}

/* AXVCPU_REMOTE_FENCE's op */
#define AXVCPU_I_RISCV_FENCE_I 0u
#define AXVCPU_I_RISCV_HFENCE_GVMA_VMID 3u
#define AXVCPU_I_RISCV_HFENCE_GVMA 4u
#define AXVCPU_I_RISCV_HFENCE_VVMA_ASID 5u
#define AXVCPU_I_RISCV_HFENCE_VVMA 6u

#if AXVCPU_I_ARCH == AXVCPU_I_ARCH_RISCV
#ifndef AXVCPU_KVM

_Static_assert(offsetof(struct axvcpu_arch, gpr) == 0 && offsetof(struct axvcpu_arch, resume) == 256,
               "AXVCPU_RISCV_VECTOR");
_Static_assert(AXVCPU_RISCV_SBI_EXT_FIRMWARE >> 24 == AXVCPU_RISCV_CAUSE_ECALL_VS, "axvcpu_leaf_run");

/* >>registers */

#define AXVCPU_I_RISCV_CSR(name, number, guest)                                                            \
    AXVCPU_I_UNUSED static inline uint64_t axvcpu_i_riscv_read_##name(void)                                \
    {                                                                                                      \
        uint64_t value;                                                                                    \
        __asm__ volatile("csrr %0, " #number : "=r"(value) : : "memory");                                  \
        return value;                                                                                      \
    }                                                                                                      \
    AXVCPU_I_UNUSED static inline void axvcpu_i_riscv_write_##name(uint64_t value)                         \
    {                                                                                                      \
        __asm__ volatile("csrw " #number ", %0" : : "r"(value) : "memory");                                \
    }
AXVCPU_RISCV_STATE(AXVCPU_I_RISCV_CSR)
AXVCPU_RISCV_CSRS(AXVCPU_I_RISCV_CSR)
AXVCPU_I_RISCV_CSR(hip, 0x644, 0)

/* A load that may trap: true if it did, and then scause says why. Host interrupts are masked, so what comes
   is its own trap; the interrupted sstatus is put back. */
#define AXVCPU_I_RISCV_GUARDED(name, instruction)                                                          \
    static bool axvcpu_i_riscv_##name(uint64_t va, uint64_t *out)                                          \
    {                                                                                                      \
        uint64_t value, trapped, vector, status;                                                           \
                                                                                                           \
        __asm__ volatile("csrr %[status], sstatus\n\t"                                                     \
                         "lla %[vector], 1f\n\t"                                                           \
                         "csrrw %[vector], stvec, %[vector]\n\t"                                           \
                         "li %[trapped], 1\n\t" instruction "\n\t"                                         \
                         "li %[trapped], 0\n\t"                                                            \
                         ".balign 4\n\t"                                                                   \
                         "1: csrw stvec, %[vector]\n\t"                                                    \
                         "csrw sstatus, %[status]"                                                         \
                         : [value] "=&r"(value), [trapped] "=&r"(trapped), [vector] "=&r"(vector),         \
                           [status] "=&r"(status)                                                          \
                         : [va] "r"(va)                                                                    \
                         : "memory");                                                                      \
        *out = value;                                                                                      \
        return trapped != 0;                                                                               \
    }
AXVCPU_I_RISCV_GUARDED(hlvx_hu, ".insn r 0x73, 4, 0x32, %[value], %[va], x3") /* where it may execute (priv 8.2.4) */
AXVCPU_I_RISCV_GUARDED(hlv_d, ".insn r 0x73, 4, 0x36, %[value], %[va], x0")
AXVCPU_I_RISCV_GUARDED(try_hstatus, "csrr %[value], 0x600") /* traps without the H extension */
AXVCPU_I_RISCV_GUARDED(try_vstimecmp, "csrr %[value], 0x24d") /* traps without Sstc, or if the firmware keeps it */
AXVCPU_I_RISCV_GUARDED(try_vlenb, "csrr %[value], 0xc22")   /* traps without vectors */

/* One line per CPU, by CPU_ID. */
struct axvcpu_i_riscv_cpu {
    struct axvcpu *loaded;      /* whose state is in the CSRs and nowhere else */
    struct axvcpu_arch *held;   /* whose it was last; may be gone */
    struct axvcpu_arch *ran[8]; /* per VMID (its lowest bits): who has filled this hart's TLB */
    uint64_t henvcfg;           /* what there is */
    uint32_t enabled, epoch;
};
static struct axvcpu_i_riscv_cpu axvcpu_i_riscv_cpus[AXVCPU_MAX_PHYS_CPUS];

/* What all CPUs that were enabled so far have; 0: there was none. */
static uint32_t axvcpu_i_riscv_min_levels;
static uint32_t axvcpu_i_riscv_min_vmid_bits; /* plus 1 */
static uint32_t axvcpu_i_riscv_vlenb;

static void axvcpu_i_riscv_at_most(uint32_t *least, uint32_t n)
{
    if (*least == 0 || *least > n)
        *least = n;
}

static int axvcpu_i_riscv_check_mode(uint32_t mode)
{
    if (mode != AXVCPU_RISCV_HGATP_SV39X4 && mode != AXVCPU_RISCV_HGATP_SV48X4)
        return AXVCPU_EINVAL;
    return mode == AXVCPU_RISCV_HGATP_SV48X4 && axvcpu_i_riscv_min_levels == 3 ? AXVCPU_ENOSUPPORT : AXVCPU_OK;
}

static struct axvcpu_i_riscv_cpu *axvcpu_i_riscv_here(void)
{
    return &axvcpu_i_riscv_cpus[AXVCPU_CPU_ID()];
}

/* The guest's state is in this CPU's registers. */
static bool axvcpu_i_riscv_loaded(const struct axvcpu_arch *a)
{
    return a->cpu == AXVCPU_CPU_ID() + 1;
}

static void axvcpu_i_riscv_read_state(struct axvcpu_arch *a)
{
#define AXVCPU_I_RISCV_READ(name, csr, guest) a->name = axvcpu_i_riscv_read_##name();
    AXVCPU_RISCV_STATE(AXVCPU_I_RISCV_READ)
    if (a->sstc != 0)
        a->vstimecmp = axvcpu_i_riscv_read_vstimecmp();
}

static void axvcpu_i_riscv_write_state(const struct axvcpu_arch *a)
{
#define AXVCPU_I_RISCV_WRITE(name, csr, guest) axvcpu_i_riscv_write_##name(a->name);
    if (a->sstc != 0)
        axvcpu_i_riscv_write_vstimecmp(a->vstimecmp); /* before hvip: QEMU 7.2 clears VSTIP there */
    AXVCPU_RISCV_STATE(AXVCPU_I_RISCV_WRITE)
}

/* Around a change of the state: it is made in memory, wherever the state is. */
static bool axvcpu_i_riscv_begin(struct axvcpu_arch *a)
{
    if (!axvcpu_i_riscv_loaded(a))
        return false;
    axvcpu_i_riscv_read_state(a);
    return true;
}

static void axvcpu_i_riscv_end(struct axvcpu_arch *a, bool loaded)
{
    if (loaded)
        axvcpu_i_riscv_write_state(a);
    else
        a->home = 0; /* what that CPU still has is older than this */
}

static uint64_t *axvcpu_i_riscv_reg(struct axvcpu_arch *a, uint64_t id)
{
#define AXVCPU_I_RISCV_CASE(name, csr, guest) case AXVCPU_REG_SYS(guest): return &a->name;
    switch (id) {
        AXVCPU_RISCV_STATE(AXVCPU_I_RISCV_CASE)
        AXVCPU_I_RISCV_CASE(vstimecmp, 0x24d, 0x14d)
    case AXVCPU_REG_PC: return &a->pc;
    case AXVCPU_REG_SP: return &a->gpr[2];
    case AXVCPU_REG_FLAGS: return &a->vsstatus;
    default: return AXVCPU_REG_CLASS(id) == 0 ? &a->gpr[id] : NULL;
    }
}

/* sie and sip have the bits of hie and hvip one lower (priv 8.2.4). */
static bool axvcpu_i_riscv_is_shifted(uint64_t id)
{
    return id == AXVCPU_REG_SYS(0x104) || id == AXVCPU_REG_SYS(0x144);
}

AXVCPU_API int axvcpu_leaf_get_reg(struct axvcpu *v, uint64_t id, uint64_t *value)
{
    uint64_t *reg = axvcpu_i_riscv_reg(&v->arch, id);

    if (reg == NULL)
        return AXVCPU_ENOSUPPORT;
    if (AXVCPU_REG_CLASS(id) != 0)
        (void)axvcpu_i_riscv_begin(&v->arch);
    *value = axvcpu_i_riscv_is_shifted(id) ? *reg >> 1 : *reg;
    return AXVCPU_OK;
}

AXVCPU_API int axvcpu_leaf_set_reg(struct axvcpu *v, uint64_t id, uint64_t value)
{
    struct axvcpu_arch *a = &v->arch;
    uint64_t *reg = axvcpu_i_riscv_reg(a, id);
    bool loaded;

    if (reg == NULL)
        return AXVCPU_ENOSUPPORT;
    if (AXVCPU_REG_CLASS(id) == 0) {
        a->gpr[id] = value;
        a->gpr[0] = 0;
        return AXVCPU_OK;
    }
    loaded = axvcpu_i_riscv_begin(a);
    *reg = axvcpu_i_riscv_is_shifted(id) ? value << 1 & AXVCPU_I_RISCV_IRQS : value;
    axvcpu_i_riscv_end(a, loaded);
    return AXVCPU_OK;
}

/* >>registers on demand: floating point and vectors. Off until the guest uses them, while illegal instructions
   come to us; then they are the guest's until its state leaves the hart. */

#define AXVCPU_I_RISCV_F_STORE(n) ".insn s 0x27, 3, x" #n ", (" #n " * 8)(%0)\n\t" /* fsd */
#define AXVCPU_I_RISCV_F_LOAD(n) ".insn i 0x07, 3, x" #n ", %0, " #n " * 8\n\t"    /* fld */
#define AXVCPU_I_RISCV_ALL_F(X)                                                                            \
    X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) X(16) X(17) X(18) \
    X(19) X(20) X(21) X(22) X(23) X(24) X(25) X(26) X(27) X(28) X(29) X(30) X(31)

static void axvcpu_i_riscv_fp_on(struct axvcpu_arch *a)
{
    uint64_t status = axvcpu_i_riscv_read_sstatus();

    axvcpu_i_riscv_write_sstatus(status | AXVCPU_RISCV_SSTATUS_FS);
    __asm__ volatile(AXVCPU_I_RISCV_ALL_F(AXVCPU_I_RISCV_F_LOAD) : : "r"(a->f) : "memory");
    axvcpu_i_riscv_write_fcsr(a->fcsr);
    axvcpu_i_riscv_write_sstatus(status);
    a->sstatus |= AXVCPU_RISCV_SSTATUS_FS_CLEAN;
}

static void axvcpu_i_riscv_fp_off(struct axvcpu_arch *a)
{
    uint64_t status = axvcpu_i_riscv_read_sstatus();

    if ((a->sstatus & AXVCPU_RISCV_SSTATUS_FS) == AXVCPU_RISCV_SSTATUS_FS_DIRTY) {
        axvcpu_i_riscv_write_sstatus(status | AXVCPU_RISCV_SSTATUS_FS);
        __asm__ volatile(AXVCPU_I_RISCV_ALL_F(AXVCPU_I_RISCV_F_STORE) : : "r"(a->f) : "memory");
        a->fcsr = axvcpu_i_riscv_read_fcsr();
        axvcpu_i_riscv_write_sstatus(status);
    }
    a->sstatus &= ~AXVCPU_RISCV_SSTATUS_FS;
}

/* The registers in four groups of eight: vl8re8.v and vs8r.v (vector 1.0, 7.9), which heed vstart. */
#define AXVCPU_I_RISCV_V(opcode, n) ".insn i " opcode ", 0, x" #n ", %0, -0x1d8\n\tadd %0, %0, %1\n\t"
#define AXVCPU_I_RISCV_ALL_V(opcode)                                                                       \
    AXVCPU_I_RISCV_V(opcode, 0) AXVCPU_I_RISCV_V(opcode, 8) AXVCPU_I_RISCV_V(opcode, 16) AXVCPU_I_RISCV_V(opcode, 24)

static void axvcpu_i_riscv_vector_on(struct axvcpu_arch *a)
{
    uint64_t status = axvcpu_i_riscv_read_sstatus();
    void *at = AXVCPU_PHYS_TO_VIRT(a->vectors);

    axvcpu_i_riscv_write_sstatus(status | AXVCPU_RISCV_SSTATUS_VS);
    axvcpu_i_riscv_write_vstart(0);
    __asm__ volatile(AXVCPU_I_RISCV_ALL_V("0x07") : "+r"(at) : "r"((uint64_t)axvcpu_i_riscv_vlenb * 8) : "memory");
    __asm__ volatile(".insn r 0x57, 7, 0x40, x0, %0, %1" : : "r"(a->vl), "r"(a->vtype)); /* vsetvl */
    axvcpu_i_riscv_write_vcsr(a->vcsr);
    axvcpu_i_riscv_write_vstart(a->vstart);
    axvcpu_i_riscv_write_sstatus(status);
    a->sstatus |= AXVCPU_RISCV_SSTATUS_VS_CLEAN;
}

static void axvcpu_i_riscv_vector_off(struct axvcpu_arch *a)
{
    uint64_t status = axvcpu_i_riscv_read_sstatus();
    void *at = AXVCPU_PHYS_TO_VIRT(a->vectors);

    if ((a->sstatus & AXVCPU_RISCV_SSTATUS_VS) == AXVCPU_RISCV_SSTATUS_VS) { /* dirty */
        axvcpu_i_riscv_write_sstatus(status | AXVCPU_RISCV_SSTATUS_VS);
        a->vstart = axvcpu_i_riscv_read_vstart();
        a->vcsr = axvcpu_i_riscv_read_vcsr();
        __asm__ volatile("csrr %0, 0xc20\n\tcsrr %1, 0xc21" : "=&r"(a->vl), "=r"(a->vtype));
        axvcpu_i_riscv_write_vstart(0);
        __asm__ volatile(AXVCPU_I_RISCV_ALL_V("0x27") : "+r"(at) : "r"((uint64_t)axvcpu_i_riscv_vlenb * 8) : "memory");
        axvcpu_i_riscv_write_sstatus(status);
    }
    a->sstatus &= ~AXVCPU_RISCV_SSTATUS_VS;
}

/* Illegal instructions are the guest's own when none of them can be for the want of what we keep from it. */
static void axvcpu_i_riscv_delegate(const struct axvcpu_arch *a)
{
    bool all = (a->sstatus & AXVCPU_RISCV_SSTATUS_FS) != 0 &&
               (a->vectors.addr == 0 || (a->sstatus & AXVCPU_RISCV_SSTATUS_VS) != 0);

    axvcpu_i_riscv_write_hedeleg(all ? a->hedeleg : a->hedeleg & ~(UINT64_C(1) << AXVCPU_RISCV_CAUSE_ILLEGAL));
}

/* What is off by our switch while the guest's own is on: an illegal instruction is taken for its first use
   (priv 8.2.9). If it was another one it traps again, and then it is the guest's. */
static bool axvcpu_i_riscv_on_demand(struct axvcpu_arch *a, uint64_t cause)
{
    uint64_t off = cause == AXVCPU_RISCV_CAUSE_ILLEGAL ? axvcpu_i_riscv_read_vsstatus() : 0;

    if ((off & AXVCPU_RISCV_SSTATUS_FS) != 0 && (a->sstatus & AXVCPU_RISCV_SSTATUS_FS) == 0)
        axvcpu_i_riscv_fp_on(a);
    else if ((off & AXVCPU_RISCV_SSTATUS_VS) != 0 && (a->sstatus & AXVCPU_RISCV_SSTATUS_VS) == 0 &&
             a->vectors.addr != 0)
        axvcpu_i_riscv_vector_on(a);
    else
        return false;
    axvcpu_i_riscv_delegate(a);
    return true;
}

static void axvcpu_i_riscv_load_on_demand(struct axvcpu_arch *a)
{
    if (a->fp == AXVCPU_RISCV_FP_EAGER) {
        axvcpu_i_riscv_fp_on(a);
        if (a->vectors.addr != 0)
            axvcpu_i_riscv_vector_on(a);
    }
    if (a->fp == AXVCPU_RISCV_FP_OWNED)
        a->sstatus |= AXVCPU_RISCV_SSTATUS_FS | (axvcpu_i_riscv_vlenb != 0 ? AXVCPU_RISCV_SSTATUS_VS : 0);
    axvcpu_i_riscv_delegate(a);
}

static void axvcpu_i_riscv_save_on_demand(struct axvcpu_arch *a)
{
    if (a->fp == AXVCPU_RISCV_FP_OWNED)
        return;
    axvcpu_i_riscv_fp_off(a);
    if (a->vectors.addr != 0)
        axvcpu_i_riscv_vector_off(a);
}

static size_t axvcpu_i_riscv_vector_pages(void)
{
    return (axvcpu_i_riscv_vlenb * 32 + AXVM_LEAF_PAGE - 1) / AXVM_LEAF_PAGE;
}

/* How much there is of them only the hart knows. */
static int axvcpu_i_riscv_alloc_vectors(struct axvcpu_arch *a)
{
    if (axvcpu_i_riscv_vlenb == 0 || a->fp == AXVCPU_RISCV_FP_OWNED)
        return AXVCPU_OK;
    a->vectors = AXVCPU_ALLOC_FRAME(axvcpu_i_riscv_vector_pages(), AXVM_LEAF_PAGE);
    a->vtype = UINT64_C(1) << 63; /* vill: none is set (vector 1.0, 3.4) */
    return a->vectors.addr != 0 ? AXVCPU_OK : AXVCPU_ENOMEM;
}

static void axvcpu_i_riscv_free_vectors(struct axvcpu_arch *a)
{
    if (a->vectors.addr != 0)
        AXVCPU_FREE_FRAME(a->vectors, axvcpu_i_riscv_vector_pages());
    a->vectors.addr = 0;
}

/* >>switch: per vCPU */

static void axvcpu_i_riscv_fence_all(void)
{
    __asm__ volatile(".insn r 0x73, 0, 0x31, x0, x0, x0\n\t" /* hfence.gvma, all VMIDs */
                     ".insn r 0x73, 0, 0x11, x0, x0, x0"     /* hfence.vvma, this VMID */
                     : : : "memory");
}

static void axvcpu_i_riscv_fence_guest(void)
{
    __asm__ volatile(".insn r 0x73, 0, 0x11, x0, x0, x0" : : : "memory"); /* hfence.vvma */
}

static uint32_t axvcpu_i_riscv_epoch; /* counts fences that could not be made on all harts: each makes up for them */

/* Harts of one VM have one VMID and ASIDs of their own: what another of them left in this hart's TLB, or
   this one before it ran elsewhere, is not for it. */
static void axvcpu_i_riscv_fence_stale(struct axvcpu_arch *a, struct axvcpu_i_riscv_cpu *cpu)
{
    uint32_t epoch = AXVCPU_ATOMIC_LOAD(&axvcpu_i_riscv_epoch);
    struct axvcpu_arch **ran = &cpu->ran[a->vmid % 8];

    if (cpu->epoch != epoch || (a->vmid == 0 && (*ran != a || a->home != a->cpu)))
        axvcpu_i_riscv_fence_all();
    else if (*ran != a || a->home != a->cpu)
        axvcpu_i_riscv_fence_guest();
    cpu->epoch = epoch;
    *ran = a;
}

/* What of the host's is ours while the vCPU is loaded (scounteren and senvcfg are its user mode's as well),
   and what each exit puts back. */
static void axvcpu_i_riscv_read_host(struct axvcpu_arch *a)
{
    a->host_scounteren = axvcpu_i_riscv_read_scounteren();
    a->host_senvcfg = axvcpu_i_riscv_read_senvcfg();
    a->host_hstatus = axvcpu_i_riscv_read_hstatus();
    a->host_stvec = axvcpu_i_riscv_read_stvec();
    a->host_sscratch = axvcpu_i_riscv_read_sscratch();
    __asm__("mv %0, gp" : "=r"(a->host_gp));
}

static void axvcpu_i_riscv_write_host(const struct axvcpu_arch *a)
{
    axvcpu_i_riscv_write_scounteren(a->host_scounteren);
    axvcpu_i_riscv_write_senvcfg(a->host_senvcfg);
    axvcpu_i_riscv_write_hstatus(a->host_hstatus);
}

/* Another vCPU of this CPU's, bound and not put, makes room. It learns of it when it runs next: attention
   brings it to leaf_inject, which loads it. */
static void axvcpu_i_riscv_evict(struct axvcpu_i_riscv_cpu *cpu)
{
    struct axvcpu *other = cpu->loaded;

    if (other == NULL)
        return;
    axvcpu_i_riscv_save(other);
    (void)AXVCPU_ATOMIC_FETCH_OR(&other->attn, AXVCPU_ATTN_IRQ);
}

AXVCPU_API int axvcpu_i_riscv_load(struct axvcpu *v)
{
    struct axvcpu_i_riscv_cpu *cpu = axvcpu_i_riscv_here();
    struct axvcpu_arch *a = &v->arch;

    if (cpu->enabled == 0)
        return AXVCPU_ENOSUPPORT;
    axvcpu_i_riscv_evict(cpu);
    a->cpu = AXVCPU_CPU_ID() + 1;
    axvcpu_i_riscv_read_host(a);
    axvcpu_i_riscv_load_on_demand(a);
    a->henvcfg = cpu->henvcfg & ~a->henvcfg_clear;
    a->sstc = (a->henvcfg & AXVCPU_RISCV_HENVCFG_STCE) != 0;
    axvcpu_i_riscv_write_henvcfg(a->henvcfg);
    axvcpu_i_riscv_write_hideleg(a->hideleg);
    axvcpu_i_riscv_write_hcounteren(a->hcounteren);
    axvcpu_i_riscv_write_scounteren(a->scounteren);
    axvcpu_i_riscv_write_senvcfg(a->senvcfg);
    if (cpu->held != a || a->home != a->cpu) {
        axvcpu_i_riscv_write_state(a);
        axvcpu_i_riscv_write_hgatp(a->hgatp);
        axvcpu_i_riscv_fence_stale(a, cpu);
    }
    cpu->loaded = v;
    cpu->held = a;
    a->home = a->cpu;
    if (a->sstc == 0 && (a->hvip & UINT64_C(1) << (AXVCPU_RISCV_IRQ_TIMER + 1)) == 0)
        AXVCPU_TIMER_ARM(v, a->vstimecmp); /* here now, and no other vCPU's */
    __asm__ volatile("fence rw, rw" : : : "memory"); /* for AXVCPU_LEAF_LOOK: the owner word is out before it */
    return AXVCPU_OK;
}

/* Also called when there is nothing to save, or when it is on a CPU that is not this one and will not come
   back for it (abandon). */
AXVCPU_API void axvcpu_i_riscv_save(struct axvcpu *v)
{
    struct axvcpu_arch *a = &v->arch;

    if (a->cpu == 0)
        return;
    axvcpu_i_riscv_cpus[a->cpu - 1].loaded = NULL;
    if (axvcpu_i_riscv_loaded(a)) {
        axvcpu_i_riscv_read_state(a);
        axvcpu_i_riscv_save_on_demand(a);
        axvcpu_i_riscv_write_host(a);
    } else {
        a->home = 0;
    }
    a->cpu = 0;
}

AXVCPU_API int axvcpu_leaf_put(struct axvcpu *v)
{
    axvcpu_i_riscv_save(v);
    return AXVCPU_OK;
}

AXVCPU_API int axvcpu_leaf_load(struct axvcpu *v)
{
    return axvcpu_i_riscv_load(v);
}

/* >>switch: life */

/* What goes to the guest without us: all that is its own (priv 8.2.2). */
#define AXVCPU_I_RISCV_HEDELEG (AXVCPU_I_RISCV_FORWARD | 1u << AXVCPU_RISCV_CAUSE_BREAKPOINT)

/* A hart as it starts (sbi 9.1): VS mode, no translation, interrupts off, a0 its id. */
static void axvcpu_i_riscv_start(struct axvcpu *v, uint64_t pc, uint64_t arg)
{
    struct axvcpu_arch *a = &v->arch;

    AXVCPU_MEMSET(a->gpr, 0, sizeof(a->gpr));
    a->gpr[AXVCPU_RISCV_A0] = v->vcpu_id;
    a->gpr[AXVCPU_RISCV_A1] = arg;
    a->pc = pc;
    a->sstatus = AXVCPU_RISCV_SSTATUS_UXL64 | AXVCPU_RISCV_SSTATUS_SPP |
                 (a->sstatus & (AXVCPU_RISCV_SSTATUS_FS | AXVCPU_RISCV_SSTATUS_VS));
    a->vsstatus = AXVCPU_RISCV_SSTATUS_UXL64;
    a->vsatp = a->hie = 0;
}

static void axvcpu_i_riscv_restart(struct axvcpu *v, uint64_t pc, uint64_t arg)
{
    struct axvcpu_arch *a = &v->arch;
    bool loaded = axvcpu_i_riscv_begin(a);

    axvcpu_i_riscv_start(v, pc, arg);
    a->vstvec = a->vsscratch = a->vsepc = a->vscause = a->vstval = a->hvip = a->edges = a->lined = 0;
    a->vstimecmp = UINT64_MAX;
    axvcpu_i_riscv_end(a, loaded);
}

AXVCPU_API int axvcpu_leaf_create(struct axvcpu *v, const struct axvcpu_arch_create *create)
{
    (void)create;
    v->arch.hstatus = AXVCPU_RISCV_HSTATUS_VSXL64 | AXVCPU_RISCV_HSTATUS_VTW | AXVCPU_RISCV_HSTATUS_SPV |
                      AXVCPU_RISCV_HSTATUS_SPVP;
    axvcpu_i_riscv_restart(v, 0, 0);
    return AXVCPU_OK;
}

AXVCPU_API void axvcpu_leaf_destroy(struct axvcpu *v)
{
    axvcpu_i_riscv_save(v);
    axvcpu_i_riscv_free_vectors(&v->arch);
}

AXVCPU_API int axvcpu_leaf_reset(struct axvcpu *v)
{
    axvcpu_leaf_destroy(v);
    AXVCPU_MEMSET(&v->arch, 0, sizeof(v->arch));
    return axvcpu_leaf_create(v, NULL);
}

AXVCPU_API int axvcpu_leaf_set_entry(struct axvcpu *v, axvcpu_gpa_t entry)
{
    if ((entry.addr & 1u) != 0)
        return AXVCPU_EINVAL;
    v->arch.pc = entry.addr;
    return AXVCPU_OK;
}

static void axvcpu_i_riscv_set_hgatp(struct axvcpu_arch *a)
{
    a->hgatp = (uint64_t)a->mode << AXVCPU_RISCV_HGATP_MODE_AT | (uint64_t)a->vmid << AXVCPU_RISCV_HGATP_VMID_AT |
               a->root >> 12;
}

/* A root has 16 KiB and that alignment (priv 8.5.1). */
AXVCPU_API int axvcpu_leaf_set_root(struct axvcpu *v, axvcpu_hpa_t root)
{
    if (root.addr == 0 || (root.addr & 0x3fffu) != 0 || axvcpu_i_riscv_loaded(&v->arch))
        return AXVCPU_EINVAL;
    v->arch.root = root.addr;
    v->arch.home = 0;
    axvcpu_i_riscv_set_hgatp(&v->arch);
    return AXVCPU_OK;
}

AXVCPU_API int axvcpu_leaf_setup(struct axvcpu *v, const struct axvcpu_arch_setup *setup)
{
    struct axvcpu_arch *a = &v->arch;
    const struct axvm_arch *vm = v->vm.vm != NULL ? &v->vm.vm->arch : NULL;
    int err;

    a->mode = vm != NULL ? vm->mode : setup->mode != 0 ? setup->mode : AXVCPU_RISCV_HGATP_SV39X4;
    a->vmid = vm != NULL ? vm->vmid : setup->vmid;
    if (a->vmid > AXVCPU_RISCV_HGATP_VMID_MASK || setup->fp > AXVCPU_RISCV_FP_OWNED)
        return AXVCPU_EINVAL;
    a->fp = setup->fp;
    a->hedeleg = AXVCPU_I_RISCV_HEDELEG & ~setup->hedeleg_clear;
    a->hideleg = AXVCPU_I_RISCV_IRQS & ~setup->hideleg_clear;
    /* cycle, time, instret; what the host itself may not read still traps */
    a->hcounteren = 7 & ~setup->hcounteren_clear;
    a->henvcfg_clear = setup->henvcfg_clear;
    a->sbi = setup->sbi;
    axvcpu_i_riscv_set_hgatp(a);
    err = axvcpu_i_riscv_check_mode(a->mode);
    return err != 0 ? err : axvcpu_i_riscv_alloc_vectors(a);
}

AXVCPU_API int axvcpu_leaf_restart(struct axvcpu *v, axvcpu_gpa_t entry, uint64_t arg)
{
    axvcpu_i_riscv_restart(v, entry.addr, arg);
    return AXVCPU_OK;
}

/* >>switch: exits */

#endif /* bare metal */

/* Exception or interrupt `cause` in the guest, as the hart would take it (priv 4.1.1, 8.2.6). The state is in
   memory. */
static void axvcpu_i_riscv_take(struct axvcpu_arch *a, uint64_t cause, uint64_t tval)
{
    uint64_t s = a->vsstatus & ~(AXVCPU_RISCV_SSTATUS_SPP | AXVCPU_RISCV_SSTATUS_SPIE | AXVCPU_RISCV_SSTATUS_SIE);

    s |= a->sstatus & AXVCPU_RISCV_SSTATUS_SPP;
    s |= (a->vsstatus & AXVCPU_RISCV_SSTATUS_SIE) != 0 ? AXVCPU_RISCV_SSTATUS_SPIE : 0;
    a->vsstatus = s;
    a->vsepc = a->pc;
    a->vscause = cause;
    a->vstval = tval;
    a->sstatus |= AXVCPU_RISCV_SSTATUS_SPP;
    a->pc = a->vstvec & ~UINT64_C(3);
    if ((cause & AXVCPU_RISCV_CAUSE_IRQ) != 0 && (a->vstvec & 1u) != 0)
        a->pc += 4 * (cause & 0x3fu);
}

#ifndef AXVCPU_KVM

static void axvcpu_i_riscv_deliver(struct axvcpu_arch *a, uint64_t cause, uint64_t tval)
{
    bool loaded = axvcpu_i_riscv_begin(a);

    axvcpu_i_riscv_take(a, cause, tval);
    axvcpu_i_riscv_end(a, loaded);
}

AXVCPU_API int axvcpu_leaf_inject_exception(struct axvcpu *v, uint32_t vector, uint64_t error, uint64_t addr)
{
    (void)error;
    if (vector > AXVCPU_RISCV_CAUSE_STORE_PAGE || (AXVCPU_I_RISCV_HEDELEG >> vector & 1u) == 0)
        return AXVCPU_EINVAL;
    axvcpu_i_riscv_deliver(&v->arch, vector, addr);
    return AXVCPU_OK;
}

/* One load as the guest would make it, in its mode; true if it trapped. */
static bool axvcpu_i_riscv_guest_load(const struct axvcpu_arch *a, bool (*load)(uint64_t, uint64_t *), uint64_t va,
                                      uint64_t *value)
{
    bool user = (a->sstatus & AXVCPU_RISCV_SSTATUS_SPP) == 0, trapped;

    axvcpu_i_riscv_write_hstatus(user ? a->hstatus & ~AXVCPU_RISCV_HSTATUS_SPVP : a->hstatus);
    trapped = load(va, value);
    axvcpu_i_riscv_write_hstatus(0);
    return trapped;
}

/* The instruction at the PC, in halves: the second one may be on another page. If the guest executed it from
   a translation that its tables have no more, it shall not do so for ever. */
static bool axvcpu_i_riscv_fetch(const struct axvcpu_arch *a, struct axvcpu_riscv_trap *t)
{
    uint64_t low, high = 0;

    if (axvcpu_i_riscv_guest_load(a, axvcpu_i_riscv_hlvx_hu, a->pc, &low) ||
        ((low & 3u) == 3u && axvcpu_i_riscv_guest_load(a, axvcpu_i_riscv_hlvx_hu, a->pc + 2, &high))) {
        axvcpu_i_riscv_fence_guest();
        return false;
    }
    t->insn = (uint32_t)(low | high << 16);
    t->flags |= AXVCPU_RISCV_HAS_INSN;
    return true;
}

/* A guest that gives a bad pointer gets the fault of a load from there. */
static bool axvcpu_i_riscv_load_mask(struct axvcpu_arch *a, struct axvcpu_riscv_trap *t)
{
    uint64_t va = a->gpr[AXVCPU_RISCV_A0], cause;

    t->flags |= AXVCPU_RISCV_HAS_MASK;
    if (!axvcpu_i_riscv_guest_load(a, axvcpu_i_riscv_hlv_d, va, &t->mask))
        return true;
    __asm__ volatile("csrr %0, scause" : "=r"(cause));
    axvcpu_i_riscv_deliver(
        a, (AXVCPU_I_RISCV_HEDELEG >> (cause & 0x1fu) & 1u) != 0 ? cause : AXVCPU_RISCV_CAUSE_LOAD_ACCESS, va);
    return false;
}

/* With Sstc the hart compares while the guest runs; the host is asked when it sleeps (below). */
static void axvcpu_i_riscv_set_deadline(struct axvcpu *v, uint64_t deadline)
{
    struct axvcpu_arch *a = &v->arch;
    const uint64_t bit = UINT64_C(1) << (AXVCPU_RISCV_IRQ_TIMER + 1);

    a->vstimecmp = deadline;
    a->edges &= ~bit;
    axvcpu_i_riscv_write_hvip(axvcpu_i_riscv_read_hvip() & ~(bit & ~a->lined));
    if (a->sstc != 0)
        axvcpu_i_riscv_write_vstimecmp(deadline);
    else
        AXVCPU_TIMER_ARM(v, deadline);
}

static void axvcpu_i_riscv_apply(struct axvcpu *v, const struct axvcpu_riscv_effect *e)
{
    struct axvcpu_arch *a = &v->arch;

    a->pc += e->step;
    if ((e->sets & AXVCPU_RISCV_SETS_START) != 0) {
        (void)axvcpu_i_riscv_begin(a);
        axvcpu_i_riscv_start(v, e->pc, e->a1);
        axvcpu_i_riscv_end(a, true);
        return;
    }
    if ((e->sets & AXVCPU_RISCV_SETS_A0) != 0)
        a->gpr[AXVCPU_RISCV_A0] = e->a0;
    if ((e->sets & AXVCPU_RISCV_SETS_A1) != 0)
        a->gpr[AXVCPU_RISCV_A1] = e->a1;
    if ((e->sets & AXVCPU_RISCV_SETS_TIMER) != 0)
        axvcpu_i_riscv_set_deadline(v, e->timer);
    if ((e->sets & AXVCPU_RISCV_SETS_NO_SOFT) != 0)
        axvcpu_i_riscv_write_hvip(axvcpu_i_riscv_read_hvip() & ~(UINT64_C(1) << (AXVCPU_RISCV_IRQ_SOFT + 1)));
}

/* An exit: an access waits with its step, all else is done here. */
static void axvcpu_i_riscv_finish(struct axvcpu *v, struct axvcpu_exit *x, const struct axvcpu_riscv_trap *t,
                                  const struct axvcpu_riscv_effect *e)
{
    struct axvcpu_arch *a = &v->arch;

    if (((AXVCPU_READ_KINDS | AXVCPU_WRITE_KINDS) >> x->kind & 1u) != 0) {
        a->step = e->step;
        a->fault_va = t->tval;
        a->csr_insn = e->insn;
        a->csr_rd = 0;
        axvcpu_await(v, x);
        return;
    }
    axvcpu_i_riscv_apply(v, e);
    if (x->kind == AXVCPU_EXIT_HALT) { /* others may ask what wakes it */
        axvcpu_i_riscv_read_state(a);
        if (a->sstc != 0)
            AXVCPU_TIMER_ARM(v, a->vstimecmp);
    }
}

/* What of the trap's CSRs the cause makes use of. */
static void axvcpu_i_riscv_read_trap(const struct axvcpu_arch *a, uint64_t cause, struct axvcpu_riscv_trap *t)
{
    t->mask = 0;
    t->insn = 0;
    t->cause = cause;
    t->pc = a->pc;
    t->flags = (a->sstatus & AXVCPU_RISCV_SSTATUS_SPP) == 0 ? AXVCPU_RISCV_USER : 0;
    t->tval = axvcpu_i_riscv_read_stval();
    t->htval = axvcpu_i_riscv_read_htval();
    t->htinst = axvcpu_i_riscv_read_htinst();
    t->hvip = axvcpu_i_riscv_read_hvip() >> 1;
    t->scounteren = (uint32_t)axvcpu_i_riscv_read_scounteren();
}

static bool axvcpu_i_riscv_is_guest_fault(uint64_t cause)
{
    return cause == AXVCPU_RISCV_CAUSE_LOAD_GUEST_PAGE || cause == AXVCPU_RISCV_CAUSE_STORE_GUEST_PAGE ||
           cause == AXVCPU_RISCV_CAUSE_INSN_GUEST_PAGE;
}

static bool axvcpu_i_riscv_our_fault(struct axvcpu *, const struct axvcpu_riscv_trap *);

/* true: the guest may be entered again. */
static bool axvcpu_i_riscv_trapped(struct axvcpu *v, struct axvcpu_exit *x, uint64_t cause)
{
    struct axvcpu_arch *a = &v->arch;
    struct axvcpu_riscv_trap t;
    struct axvcpu_riscv_effect e;

    axvcpu_i_riscv_read_trap(a, cause, &t);
    if (axvcpu_i_riscv_is_guest_fault(cause)) {
        if (axvcpu_i_riscv_our_fault(v, &t))
            return true;
        /* that will be asked for: a decode less */
        if (t.htinst == 0 && cause != AXVCPU_RISCV_CAUSE_INSN_GUEST_PAGE && !axvcpu_i_riscv_fetch(a, &t))
            return true;
    }
    for (;;) {
        switch (axvcpu_riscv_decode(&t, a->gpr, &a->sbi, x, &e)) {
        case AXVCPU_RISCV_EXIT: axvcpu_i_riscv_finish(v, x, &t, &e); return false;
        case AXVCPU_RISCV_RESUME: axvcpu_i_riscv_apply(v, &e); return true;
        case AXVCPU_RISCV_TRAP: axvcpu_i_riscv_deliver(a, e.cause, e.tval); return true;
        case AXVCPU_RISCV_FETCH:
            if (!axvcpu_i_riscv_fetch(a, &t))
                return true; /* the guest finds out itself */
            break;
        case AXVCPU_RISCV_LOAD_MASK:
            if (!axvcpu_i_riscv_load_mask(a, &t))
                return true;
            break;
        default: AXVCPU_ASSERT(false); return false;
        }
    }
}

/* A host interrupt. It stays pending for the host, unless the host gave us a way to take it. A kick's own is
   then nobody's business: *again, unless the kick is still there to be answered. */
static int axvcpu_i_riscv_interrupted(struct axvcpu *v, struct axvcpu_exit *x, uint64_t cause, bool *again)
{
    bool done = false;
    int err = AXVCPU_OK;

    x->kind = AXVCPU_EXIT_EXTERNAL_INTERRUPT;
    x->flags = 0;
    x->raw = cause;
    x->irq.vector = AXVCPU_NO_VECTOR;
    *again = false;
#ifdef AXVCPU_IRQ_FETCH
    x->irq.vector = AXVCPU_IRQ_FETCH();
#ifdef AXVCPU_KICK_VECTOR
    if (x->irq.vector == AXVCPU_KICK_VECTOR) {
        err = axvcpu_attend(v, x, &done);
        *again = err == 0 && !done;
    }
#endif
#else
    if (axvcpu_attention(v))
        err = axvcpu_attend(v, x, &done);
#endif
    (void)done;
    return err;
}

AXVCPU_API int axvcpu_i_riscv_left(struct axvcpu *v, struct axvcpu_exit *x, uint64_t cause, uint64_t pc)
{
    struct axvcpu_arch *a = &v->arch;
    struct axvcpu_i_riscv_left left;
    bool again = true;
    int err = AXVCPU_OK;

    for (;;) {
        a->pc = pc;
        if ((cause & AXVCPU_RISCV_CAUSE_IRQ) != 0 && !axvcpu_i_riscv_is_guests(cause))
            err = axvcpu_i_riscv_interrupted(v, x, cause, &again);
        else
            again = axvcpu_i_riscv_on_demand(a, cause) || axvcpu_i_riscv_trapped(v, x, cause);
        if (err != 0 || !again)
            return err;
        (void)axvcpu_i_riscv_switch(a, &left);
        cause = left.cause;
        pc = left.pc;
    }
}

/* >>switch: answers */

static void axvcpu_i_riscv_set(struct axvcpu_arch *a, uint32_t reg, uint64_t value)
{
    if (reg != 0)
        a->gpr[reg] = value;
}

/* Refused: an access fault (priv 4.1.8), or an instruction that does not exist. */
static void axvcpu_i_riscv_refused(struct axvcpu_arch *a, uint32_t kind)
{
    if (kind == AXVCPU_EXIT_MMIO_READ || kind == AXVCPU_EXIT_MMIO_WRITE)
        axvcpu_i_riscv_deliver(a, kind == AXVCPU_EXIT_MMIO_READ ? AXVCPU_RISCV_CAUSE_LOAD_ACCESS :
                                                                  AXVCPU_RISCV_CAUSE_STORE_ACCESS, a->fault_va);
    else
        axvcpu_i_riscv_deliver(a, AXVCPU_RISCV_CAUSE_ILLEGAL, a->csr_insn);
}

/* A CSR that was read may be written by the same instruction; its register gets the old value with that. */
static bool axvcpu_i_riscv_then_write(struct axvcpu *v, struct axvcpu_exit *x)
{
    struct axvcpu_arch *a = &v->arch;
    uint32_t rd = v->access.reg;

    if (!axvcpu_riscv_csr_write(a->csr_insn, a->gpr, v->access.value, x))
        return false;
    a->csr_value = v->access.value;
    a->csr_rd = 32 + rd;
    axvcpu_await(v, x);
    return true;
}

AXVCPU_API int axvcpu_i_riscv_commit(struct axvcpu *v, struct axvcpu_exit *x)
{
    const struct axvcpu_answer *acc = &v->access;
    struct axvcpu_arch *a = &v->arch;

    if (acc->refused) {
        axvcpu_i_riscv_refused(a, acc->kind);
        return AXVCPU_OK;
    }
    if (acc->kind == AXVCPU_EXIT_SYSREG_READ && axvcpu_i_riscv_then_write(v, x))
        return AXVCPU_OK;
    if (acc->kind == AXVCPU_EXIT_SYSREG_WRITE && a->csr_rd != 0)
        axvcpu_i_riscv_set(a, a->csr_rd - 32, a->csr_value);
    if (((AXVCPU_READ_KINDS >> acc->kind) & 1u) != 0)
        axvcpu_i_riscv_set(a, acc->reg, axvcpu_access_result(acc, 0));
    a->pc += a->step;
    return AXVCPU_OK;
}

/* The PC is still on the instruction. */
AXVCPU_API int axvcpu_leaf_retry(struct axvcpu *v)
{
    (void)v;
    return AXVCPU_OK;
}

AXVCPU_API int axvcpu_leaf_refuse(struct axvcpu *v)
{
    (void)v;
    return AXVCPU_OK;
}

static uint64_t axvcpu_i_riscv_sticky(const struct axvcpu_arch *a)
{
    return UINT64_C(1) << (AXVCPU_RISCV_IRQ_EXT + 1) |
           (a->sstc != 0 ? UINT64_C(1) << (AXVCPU_RISCV_IRQ_TIMER + 1) : 0);
}

#endif /* bare metal */

/* >>switch: interrupts. Software interrupts the guest clears itself, and a timer one its next set_timer, so
   they may stand in hvip. Nothing clears an edge of the others: if the guest can take it now it takes it here
   and now; else it stands in hvip until vscause shows that it was taken. If vscause says so already, from the
   last one, vstval gets a mark, which the hart clears when it takes an interrupt (priv 4.1.9). What this
   cannot see is an edge whose handler has trapped in its turn before the next exit: that one comes again. */
#define AXVCPU_I_RISCV_NOT_TAKEN UINT64_C(0x6178766370752121)

static bool axvcpu_i_riscv_open(const struct axvcpu_arch *a, uint64_t bit)
{
    return (a->hie & bit) != 0 && ((a->vsstatus & AXVCPU_RISCV_SSTATUS_SIE) != 0 ||
                                   (a->sstatus & AXVCPU_RISCV_SSTATUS_SPP) == 0);
}

static void axvcpu_i_riscv_edge(struct axvcpu_arch *a, uint32_t irq, uint64_t fresh)
{
    uint64_t bit = UINT64_C(1) << (irq + 1), cause = AXVCPU_RISCV_CAUSE_IRQ | irq;

    if ((a->edges & bit) == 0)
        return;
    if ((fresh & bit) == 0 && (a->hvip & bit) != 0 && a->vscause == cause && a->vstval != AXVCPU_I_RISCV_NOT_TAKEN) {
        a->edges &= ~bit;
        a->hvip &= ~bit;
    } else if (axvcpu_i_riscv_open(a, bit)) {
        a->edges &= ~bit;
        a->hvip &= ~bit;
        axvcpu_i_riscv_take(a, cause, 0);
    } else {
        a->hvip |= bit;
        a->vstval = a->vscause == cause ? AXVCPU_I_RISCV_NOT_TAKEN : a->vstval;
    }
}

#ifndef AXVCPU_KVM

AXVCPU_API int axvcpu_leaf_inject(struct axvcpu *v, uint32_t *what)
{
    struct axvcpu_arch *a = &v->arch;
    uint64_t fresh, lines, sticky;
    bool loaded;
    int err = axvcpu_i_riscv_loaded(a) ? AXVCPU_OK : axvcpu_i_riscv_load(v); /* evicted */

    if (err != 0)
        return err;
    sticky = axvcpu_i_riscv_sticky(a);
    loaded = axvcpu_i_riscv_begin(a);
    lines = AXVCPU_ATOMIC_LOAD(&v->lines[0]) << 1;
    fresh = AXVCPU_ATOMIC_XCHG(&v->pending[0], UINT64_C(0)) << 1;
    if (axvcpu_i_riscv_read_time() < a->vstimecmp && a->vstimecmp != UINT64_MAX)
        fresh &= ~(UINT64_C(1) << (AXVCPU_RISCV_IRQ_TIMER + 1)); /* of a deadline that the guest has moved since */
    a->hvip = (a->hvip & ~(a->lined & ~lines & ~a->edges)) | lines | (fresh & ~sticky);
    a->lined = lines;
    a->edges = (a->edges | (fresh & sticky)) & ~lines;
    axvcpu_i_riscv_edge(a, AXVCPU_RISCV_IRQ_EXT, fresh);
    axvcpu_i_riscv_edge(a, AXVCPU_RISCV_IRQ_TIMER, fresh);
    axvcpu_i_riscv_end(a, loaded);
    *what = a->edges != 0 || (lines & UINT64_C(1) << (AXVCPU_RISCV_IRQ_SOFT + 1)) != 0 ? AXVCPU_ATTN_IRQ : 0u;
    return AXVCPU_OK;
}

AXVCPU_API int axvcpu_leaf_inject_hw(struct axvcpu *v, uint32_t vintid, uint32_t pintid)
{
    (void)v, (void)vintid, (void)pintid;
    return AXVCPU_ENOSUPPORT;
}

/* WFI ends for what is enabled in sie, whatever sstatus.SIE says (priv 3.3.3). */
AXVCPU_API bool axvcpu_leaf_wakes(const struct axvcpu *v, bool queued)
{
    const struct axvcpu_arch *a = &v->arch;
    bool loaded = axvcpu_i_riscv_loaded(a);
    uint64_t pending = loaded ? axvcpu_i_riscv_read_hip() : a->hvip;
    uint64_t enabled = loaded ? axvcpu_i_riscv_read_hie() : a->hie;

    pending |= a->edges;
    if (queued)
        pending |= (AXVCPU_ATOMIC_LOAD(&v->pending[0]) | AXVCPU_ATOMIC_LOAD(&v->lines[0])) << 1;
    if (a->sstc != 0 && axvcpu_i_riscv_read_time() >= a->vstimecmp)
        pending |= UINT64_C(1) << (AXVCPU_RISCV_IRQ_TIMER + 1);
    return (pending & enabled & AXVCPU_I_RISCV_IRQS) != 0;
}

AXVCPU_API void axvcpu_leaf_kick(struct axvcpu *v, void *owner)
{
    (void)v;
    if (owner == AXVCPU_CPU_TOKEN()) /* this CPU is not in a guest */
        return;
    /* The flag before the interrupt: one that is sent by a write to a device (CLINT, IMSIC) is ordered behind
       memory by nothing else (unprivileged spec, 2.7: the I/O domain is ordered by `o`). */
    __asm__ volatile("fence w, o" ::: "memory");
    AXVCPU_SEND_KICK(owner);
}

/* >>percpu */

AXVCPU_API bool axvcpu_leaf_supported(void)
{
    uint64_t value;

    return !axvcpu_i_riscv_try_hstatus(0, &value);
}

static bool axvcpu_i_riscv_has_mode(uint64_t mode)
{
    axvcpu_i_riscv_write_hgatp(mode << AXVCPU_RISCV_HGATP_MODE_AT); /* unknown modes are not written (priv 8.2.10) */
    return axvcpu_i_riscv_read_hgatp() >> AXVCPU_RISCV_HGATP_MODE_AT == mode;
}

static uint32_t axvcpu_i_riscv_count_vmid_bits(void)
{
    uint32_t bits = 0;

    axvcpu_i_riscv_write_hgatp(AXVCPU_RISCV_HGATP_VMID_MASK << AXVCPU_RISCV_HGATP_VMID_AT |
                               (uint64_t)AXVCPU_RISCV_HGATP_SV39X4 << AXVCPU_RISCV_HGATP_MODE_AT);
    while (bits < 14 && (axvcpu_i_riscv_read_hgatp() >> (AXVCPU_RISCV_HGATP_VMID_AT + bits) & 1u) != 0)
        bits++;
    return bits;
}

/* What of the guest's environment there is: a bit that stays clear is an extension that is not there, or
   that the firmware keeps (priv 8.2.5). QEMU 7.2 lets STCE stand in either case, so its register is asked. */
static uint64_t axvcpu_i_riscv_probe_henvcfg(void)
{
    uint64_t value;

    axvcpu_i_riscv_write_henvcfg(AXVCPU_RISCV_HENVCFG_STCE | AXVCPU_RISCV_HENVCFG_PBMTE | AXVCPU_RISCV_HENVCFG_CBZE |
                                 AXVCPU_RISCV_HENVCFG_CBCFE | AXVCPU_RISCV_HENVCFG_CBIE_FLUSH);
    return axvcpu_i_riscv_read_henvcfg() & ~(axvcpu_i_riscv_try_vstimecmp(0, &value) ? AXVCPU_RISCV_HENVCFG_STCE : 0);
}

static uint32_t axvcpu_i_riscv_probe_vlenb(void)
{
    uint64_t status = axvcpu_i_riscv_read_sstatus(), vlenb;
    bool trapped;

    axvcpu_i_riscv_write_sstatus(status | AXVCPU_RISCV_SSTATUS_VS);
    trapped = axvcpu_i_riscv_try_vlenb(0, &vlenb);
    axvcpu_i_riscv_write_sstatus(status);
    return trapped ? 0 : (uint32_t)vlenb;
}


static int axvcpu_i_riscv_unfit(const char *why)
{
    AXVCPU_LOG(AXVCPU_LOG_ERROR, why);
    return AXVCPU_ENOSUPPORT;
}

AXVCPU_API int axvcpu_leaf_percpu_init(struct axvcpu_percpu *p, uint32_t cpu_id)
{
    uint64_t hgatp;

    if (cpu_id != AXVCPU_CPU_ID())
        return AXVCPU_EINVAL;
    if (!axvcpu_leaf_supported())
        return axvcpu_i_riscv_unfit("percpu_init: this hart has no H extension, or the firmware keeps it");
    hgatp = axvcpu_i_riscv_read_hgatp();
    p->arch.levels = axvcpu_i_riscv_has_mode(AXVCPU_RISCV_HGATP_SV48X4) ? 4 :
                     axvcpu_i_riscv_has_mode(AXVCPU_RISCV_HGATP_SV39X4) ? 3 : 0;
    p->arch.vmid_bits = axvcpu_i_riscv_count_vmid_bits();
    axvcpu_i_riscv_write_hgatp(hgatp);
    p->arch.vlenb = axvcpu_i_riscv_probe_vlenb();
    if (p->arch.levels == 0)
        return axvcpu_i_riscv_unfit("percpu_init: this hart has neither Sv39x4 nor Sv48x4");
    return AXVCPU_OK;
}

AXVCPU_API void axvcpu_leaf_percpu_deinit(struct axvcpu_percpu *p)
{
    (void)p;
}

AXVCPU_API int axvcpu_leaf_percpu_enable(struct axvcpu_percpu *p)
{
    struct axvcpu_i_riscv_cpu *cpu = axvcpu_i_riscv_here();

    if (p->cpu_id != AXVCPU_CPU_ID())
        return AXVCPU_EINVAL;
    if (axvcpu_i_riscv_vlenb != 0 && axvcpu_i_riscv_vlenb != p->arch.vlenb)
        return axvcpu_i_riscv_unfit("percpu_enable: this hart's vector registers are not as long as the others'");
    axvcpu_i_riscv_vlenb = p->arch.vlenb;
    p->arch.hedeleg = axvcpu_i_riscv_read_hedeleg();
    p->arch.hideleg = axvcpu_i_riscv_read_hideleg();
    p->arch.hcounteren = axvcpu_i_riscv_read_hcounteren();
    p->arch.henvcfg = axvcpu_i_riscv_read_henvcfg();
    axvcpu_i_riscv_write_hgeie(0);
    axvcpu_i_riscv_write_htimedelta(0);
    axvcpu_i_riscv_at_most(&axvcpu_i_riscv_min_vmid_bits, p->arch.vmid_bits + 1);
    axvcpu_i_riscv_at_most(&axvcpu_i_riscv_min_levels, p->arch.levels);
    cpu->henvcfg = axvcpu_i_riscv_probe_henvcfg();
    p->arch.sstc = (cpu->henvcfg & AXVCPU_RISCV_HENVCFG_STCE) != 0;
    cpu->held = NULL;
    cpu->epoch = AXVCPU_ATOMIC_LOAD(&axvcpu_i_riscv_epoch) - 1; /* who knows what the TLB has */
    cpu->enabled = 1;
    return AXVCPU_OK;
}

AXVCPU_API int axvcpu_leaf_percpu_disable(struct axvcpu_percpu *p)
{
    struct axvcpu_i_riscv_cpu *cpu = axvcpu_i_riscv_here();

    if (p->cpu_id != AXVCPU_CPU_ID())
        return AXVCPU_EINVAL;
    if (cpu->loaded != NULL)
        return AXVCPU_EBUSY;
    cpu->enabled = 0;
    cpu->held = NULL;
    axvcpu_i_riscv_write_hvip(0);
    axvcpu_i_riscv_write_hie(0);
    axvcpu_i_riscv_write_hgatp(0);
    axvcpu_i_riscv_write_hedeleg(p->arch.hedeleg);
    axvcpu_i_riscv_write_hideleg(p->arch.hideleg);
    axvcpu_i_riscv_write_hcounteren(p->arch.hcounteren);
    axvcpu_i_riscv_write_henvcfg(p->arch.henvcfg);
    return AXVCPU_OK;
}

AXVCPU_API uint32_t axvcpu_leaf_max_guest_page_table_levels(const struct axvcpu_percpu *p)
{
    return p->arch.levels;
}

/* >>tables: fences on all harts */

/* A call of the host's own firmware (sbi 3). */
AXVCPU_I_UNUSED static int64_t axvcpu_i_riscv_firmware(uint64_t ext, uint64_t function, uint64_t start, uint64_t size,
                                                       uint64_t id)
{
    register uint64_t a0 __asm__("a0") = 0, a1 __asm__("a1") = UINT64_MAX; /* all harts */
    register uint64_t a2 __asm__("a2") = start, a3 __asm__("a3") = size, a4 __asm__("a4") = id;
    register uint64_t a6 __asm__("a6") = function, a7 __asm__("a7") = ext;

    __asm__ volatile("ecall" : "+r"(a0), "+r"(a1) : "r"(a2), "r"(a3), "r"(a4), "r"(a6), "r"(a7) : "memory");
    return (int64_t)a0;
}

#ifndef AXVCPU_REMOTE_FENCE
#define AXVCPU_REMOTE_FENCE(op, start, size, id)                                                           \
    axvcpu_i_riscv_firmware(AXVCPU_RISCV_SBI_EXT_RFENCE, op, start, size, id)
#endif

/* Every hart forgets what it knows of the range: the entries were written before (priv 8.3.2, sbi 8). */
static int axvcpu_i_riscv_fence_vm(const struct axvm *vm, uint64_t gpa, uint64_t size)
{
    uint32_t op = vm->arch.vmid != 0 ? AXVCPU_I_RISCV_HFENCE_GVMA_VMID : AXVCPU_I_RISCV_HFENCE_GVMA;

    if (axvm_get_status(vm) == AXVM_STATUS_LOADING) /* no hart has been there */
        return AXVCPU_OK;
    return AXVCPU_REMOTE_FENCE(op, gpa, size, vm->arch.vmid) == 0 ? AXVCPU_OK : AXVCPU_EIO;
}

/* >>tables: Sv39x4 and Sv48x4 (priv 8.5.1): the root has four times as many entries */

#define AXVCPU_I_RISCV_PTE_V UINT64_C(0x01)
#define AXVCPU_I_RISCV_PTE_R UINT64_C(0x02)
#define AXVCPU_I_RISCV_PTE_W UINT64_C(0x04)
#define AXVCPU_I_RISCV_PTE_X UINT64_C(0x08)
#define AXVCPU_I_RISCV_PTE_UAD UINT64_C(0xd0)  /* U: every guest access counts as one of user mode; A and D: no fault for those */
#define AXVCPU_I_RISCV_PTE_LOG UINT64_C(0x100) /* ours (9-8 are software's): writable in truth; W: dirty */
#define AXVCPU_I_RISCV_ROOT_PAGES 4u

static void axvcpu_i_riscv_lock(uint32_t *lock)
{
    while (AXVCPU_ATOMIC_XCHG(lock, 1u) != 0)
        ;
}

static void axvcpu_i_riscv_unlock(uint32_t *lock)
{
    AXVCPU_ATOMIC_STORE_RELEASE(lock, 0u);
}

static uint64_t *axvcpu_i_riscv_table(uint64_t pte)
{
    return (uint64_t *)AXVCPU_PHYS_TO_VIRT(axvcpu_hpa(pte >> 10 << 12));
}

/* Level 0 is that of pages. */
static uint32_t axvcpu_i_riscv_shift(uint32_t level)
{
    return 12 + 9 * level;
}

static uint32_t axvcpu_i_riscv_top(const struct axvm_arch *m)
{
    return m->mode == AXVCPU_RISCV_HGATP_SV48X4 ? 3 : 2;
}

static bool axvcpu_i_riscv_is_table(uint64_t pte)
{
    return (pte & AXVCPU_I_RISCV_PTE_V) != 0 &&
           (pte & (AXVCPU_I_RISCV_PTE_R | AXVCPU_I_RISCV_PTE_W | AXVCPU_I_RISCV_PTE_X)) == 0;
}

/* The entry for gpa at *level; with `make` the tables on the way are made (NULL: without frames), else it is
   the last one that there is, and *level says where. */
static uint64_t *axvcpu_i_riscv_entry(const struct axvm_arch *m, uint64_t gpa, uint32_t *level, bool make)
{
    uint32_t at = axvcpu_i_riscv_top(m);
    uint64_t *entry = (uint64_t *)AXVCPU_PHYS_TO_VIRT(m->root) + (gpa >> axvcpu_i_riscv_shift(at) & 0x7ffu);

    for (; at > *level; at--) {
        if (make && *entry == 0) {
            uint64_t frame = AXVCPU_ALLOC_FRAME(1, AXVM_LEAF_PAGE).addr;

            if (frame == 0)
                return NULL;
            AXVCPU_ATOMIC_STORE_RELEASE(entry, frame >> 12 << 10 | AXVCPU_I_RISCV_PTE_V);
        }
        if (!axvcpu_i_riscv_is_table(*entry))
            break;
        entry = axvcpu_i_riscv_table(*entry) + (gpa >> axvcpu_i_riscv_shift(at - 1) & 0x1ffu);
    }
    *level = at;
    return entry;
}

/* The largest leaf for what is left of a mapping: aligned on both sides and not longer than that. */
static uint32_t axvcpu_i_riscv_leaf_level(const struct axvm_arch *m, uint64_t gpa, uint64_t hpa, uint64_t left)
{
    uint32_t level;

    for (level = axvcpu_i_riscv_top(m); level > 0; level--) {
        uint64_t size = UINT64_C(1) << axvcpu_i_riscv_shift(level);

        if (((gpa | hpa) & (size - 1)) == 0 && left >= size)
            break;
    }
    return level;
}

static void axvcpu_i_riscv_free(uint64_t *table, uint32_t level, uint32_t count)
{
    uint32_t i;

    for (i = 0; i < count && level > 0; i++) {
        if (axvcpu_i_riscv_is_table(table[i])) {
            axvcpu_i_riscv_free(axvcpu_i_riscv_table(table[i]), level - 1, 512);
            AXVCPU_FREE_FRAME(axvcpu_hpa(table[i] >> 10 << 12), 1);
        }
    }
}

/* A table in which nothing is mapped any more makes room for a leaf. */
static int axvcpu_i_riscv_drop_table(struct axvm *vm, uint64_t *entry, uint32_t level, uint64_t gpa)
{
    uint64_t old = *entry;
    int err;

    AXVCPU_ATOMIC_STORE_RELEASE(entry, UINT64_C(0));
    err = axvcpu_i_riscv_fence_vm(vm, gpa, UINT64_C(1) << axvcpu_i_riscv_shift(level));
    if (err != 0) { /* a hart may still walk it */
        AXVCPU_ATOMIC_STORE_RELEASE(entry, old);
        return err;
    }
    axvcpu_i_riscv_free(axvcpu_i_riscv_table(old), level - 1, 512);
    AXVCPU_FREE_FRAME(axvcpu_hpa(old >> 10 << 12), 1);
    return AXVCPU_OK;
}

/* A leaf becomes a table of 512 of the next size, which say the same; false: there is no frame. */
static bool axvcpu_i_riscv_split(uint64_t *entry, uint32_t level)
{
    uint64_t frame = AXVCPU_ALLOC_FRAME(1, AXVM_LEAF_PAGE).addr, i;
    uint64_t *table;

    if (frame == 0)
        return false;
    table = (uint64_t *)AXVCPU_PHYS_TO_VIRT(axvcpu_hpa(frame));
    for (i = 0; i < 512; i++)
        table[i] = *entry + (i << (axvcpu_i_riscv_shift(level - 1) - 2));
    AXVCPU_ATOMIC_STORE_RELEASE(entry, frame >> 12 << 10 | AXVCPU_I_RISCV_PTE_V);
    return true;
}

/* Empty entries from gpa on, up to `size` bytes; a leaf that is larger than what is left goes on. */
static void axvcpu_i_riscv_clear(const struct axvm_arch *m, uint64_t gpa, uint64_t size)
{
    uint64_t end = gpa + size, step;

    for (; gpa < end; gpa += step) {
        uint32_t level = 0;
        uint64_t *entry = axvcpu_i_riscv_entry(m, gpa, &level, false);

        step = UINT64_C(1) << axvcpu_i_riscv_shift(level);
        step -= gpa & (step - 1);
        AXVCPU_ATOMIC_STORE_RELEASE(entry, UINT64_C(0));
    }
}

static int axvcpu_i_riscv_fill(struct axvm *vm, uint64_t gpa, uint64_t hpa, uint64_t size, uint64_t bits)
{
    uint64_t done = 0;
    int err = AXVCPU_OK;

    while (done < size && err == 0) {
        uint32_t level = axvcpu_i_riscv_leaf_level(&vm->arch, gpa + done, hpa + done, size - done);
        uint64_t *entry = axvcpu_i_riscv_entry(&vm->arch, gpa + done, &level, true);

        if (entry == NULL)
            return AXVCPU_ENOMEM;
        if (axvcpu_i_riscv_is_table(*entry))
            err = axvcpu_i_riscv_drop_table(vm, entry, level, gpa + done);
        if (err == 0)
            AXVCPU_ATOMIC_STORE_RELEASE(entry, (hpa + done) >> 12 << 10 | bits);
        done += UINT64_C(1) << axvcpu_i_riscv_shift(level);
    }
    return err;
}

/* A page that is logged is not writable until it has been written. */
static uint64_t axvcpu_i_riscv_bits(uint32_t flags)
{
    uint64_t write = (flags & AXVM_MAP_WRITE) == 0        ? 0 :
                     (flags & AXVM_MAP_LOG_DIRTY) != 0 ? AXVCPU_I_RISCV_PTE_LOG :
                                                         AXVCPU_I_RISCV_PTE_W;

    return AXVCPU_I_RISCV_PTE_V | AXVCPU_I_RISCV_PTE_UAD | AXVCPU_I_RISCV_PTE_R | write |
           ((flags & AXVM_MAP_EXEC) != 0 ? AXVCPU_I_RISCV_PTE_X : 0);
}

static uint32_t axvcpu_i_riscv_gpa_bits(const struct axvm_arch *m)
{
    return axvcpu_i_riscv_shift(axvcpu_i_riscv_top(m)) + 11;
}

AXVCPU_API int axvm_leaf_map(struct axvm *vm, uint32_t slot, const struct axvm_mapping *m)
{
    uint64_t hpa = m->backing.ptr != NULL ? AXVCPU_VIRT_TO_PHYS(m->backing.ptr).addr : m->backing.hpa.addr;
    int err, fenced;

    (void)slot;
    if ((m->gpa.addr + (m->size - 1)) >> axvcpu_i_riscv_gpa_bits(&vm->arch) != 0)
        return AXVCPU_EINVAL;
    axvcpu_i_riscv_lock(&vm->arch.lock);
    err = axvcpu_i_riscv_fill(vm, m->gpa.addr, hpa, m->size, axvcpu_i_riscv_bits(m->flags));
    if (err != 0)
        axvcpu_i_riscv_clear(&vm->arch, m->gpa.addr, m->size);
    fenced = axvcpu_i_riscv_fence_vm(vm, m->gpa.addr, m->size); /* that there was nothing may be remembered, too */
    err = err != 0 ? err : fenced;
    vm->arch.logs += err == 0 && (m->flags & AXVM_MAP_LOG_DIRTY) != 0;
    axvcpu_i_riscv_unlock(&vm->arch.lock);
    return err;
}

AXVCPU_API int axvm_leaf_unmap(struct axvm *vm, uint32_t slot, const struct axvm_mapping *m)
{
    int err;

    (void)slot;
    axvcpu_i_riscv_lock(&vm->arch.lock);
    axvcpu_i_riscv_clear(&vm->arch, m->gpa.addr, m->size);
    err = axvcpu_i_riscv_fence_vm(vm, m->gpa.addr, m->size);
    vm->arch.logs -= err == 0 && (m->flags & AXVM_MAP_LOG_DIRTY) != 0;
    axvcpu_i_riscv_unlock(&vm->arch.lock);
    return err;
}

/* >>tables: LOG_DIRTY. A leaf is split where it is first written; without a frame for that all of it counts as
   written. */

/* A fault that only we know about: a first write to a page that is logged, or one that another hart has seen to
   since, while this one remembers the old entry. true: the guest may try again. */
static bool axvcpu_i_riscv_our_fault(struct axvcpu *v, const struct axvcpu_riscv_trap *t)
{
    struct axvm_arch *m = v->vm.vm != NULL ? &v->vm.vm->arch : NULL;
    uint64_t gpa = t->htval << 2;
    bool fetch = t->cause == AXVCPU_RISCV_CAUSE_INSN_GUEST_PAGE && axvcpu_i_riscv_walk(t->htinst) == 0, ours;
    uint32_t level = 0;
    uint64_t *entry;

    if (m == NULL || m->logs == 0 || fetch || gpa >> axvcpu_i_riscv_gpa_bits(m) != 0)
        return false;
    axvcpu_i_riscv_lock(&m->lock);
    entry = axvcpu_i_riscv_entry(m, gpa, &level, false);
    ours = (*entry & AXVCPU_I_RISCV_PTE_LOG) != 0;
    while (ours && (*entry & AXVCPU_I_RISCV_PTE_W) == 0 && level > 0 && axvcpu_i_riscv_split(entry, level)) {
        level = 0;
        entry = axvcpu_i_riscv_entry(m, gpa, &level, false);
    }
    if (ours)
        AXVCPU_ATOMIC_STORE_RELEASE(entry, *entry | AXVCPU_I_RISCV_PTE_W);
    axvcpu_i_riscv_unlock(&m->lock);
    if (ours)
        __asm__ volatile(".insn r 0x73, 0, 0x31, x0, %0, x0" : : "r"(gpa >> 2) : "memory"); /* hfence.gvma, here */
    return ours;
}

/* Pages first to end: false when one of them is not logged. `bitmap` NULL: only look. */
static bool axvcpu_i_riscv_collect(const struct axvm_arch *m, uint64_t first, uint64_t end, uint64_t *bitmap)
{
    uint64_t gpa;

    for (gpa = first; gpa < end; gpa += AXVM_LEAF_PAGE) {
        uint32_t level = 0;
        uint64_t *entry = axvcpu_i_riscv_entry(m, gpa, &level, false);

        if ((*entry & AXVCPU_I_RISCV_PTE_LOG) == 0)
            return false;
        if (bitmap != NULL && axvm_i_log_page(bitmap, first, gpa, UINT64_C(1) << axvcpu_i_riscv_shift(level),
                                              (*entry & AXVCPU_I_RISCV_PTE_W) != 0))
            AXVCPU_ATOMIC_STORE_RELEASE(entry, *entry & ~AXVCPU_I_RISCV_PTE_W);
    }
    return true;
}

AXVCPU_API int axvm_riscv_dirty(struct axvm *vm, axvcpu_gpa_t gpa, uint64_t size, uint64_t *bitmap)
{
    int err = AXVCPU_EINVAL;

    if (vm == NULL || !axvm_i_log_asks(vm, gpa.addr, size, bitmap, axvcpu_i_riscv_gpa_bits(&vm->arch)))
        return AXVCPU_EINVAL;
    axvcpu_i_riscv_lock(&vm->arch.lock);
    if (axvcpu_i_riscv_collect(&vm->arch, gpa.addr, gpa.addr + size, NULL)) {
        (void)axvcpu_i_riscv_collect(&vm->arch, gpa.addr, gpa.addr + size, bitmap);
        err = axvcpu_i_riscv_fence_vm(vm, gpa.addr, size);
    }
    axvcpu_i_riscv_unlock(&vm->arch.lock);
    return err;
}

/* >>tables: VMIDs, as many as all harts have. They are given out in turn, so that one comes again as late as
   possible, and by then no hart knows it. Without one a VM has 0, and its translations are dropped whenever
   another vCPU comes. */
static uint64_t axvcpu_i_riscv_vmids[(AXVCPU_RISCV_HGATP_VMID_MASK + 1) / 64]; /* those in use */
static uint32_t axvcpu_i_riscv_next_vmid;

static uint32_t axvcpu_i_riscv_take_vmid(void)
{
    uint32_t end = axvcpu_i_riscv_min_vmid_bits != 0 ? 1u << (axvcpu_i_riscv_min_vmid_bits - 1) : 1, i;

    for (i = 0; i < end; i++) {
        uint32_t vmid = AXVCPU_ATOMIC_FETCH_ADD(&axvcpu_i_riscv_next_vmid, 1u) & (end - 1);
        uint64_t bit = UINT64_C(1) << vmid % 64;

        if (vmid != 0 && (AXVCPU_ATOMIC_FETCH_OR(&axvcpu_i_riscv_vmids[vmid / 64], bit) & bit) == 0)
            return vmid;
    }
    return 0;
}

static void axvcpu_i_riscv_give_vmid(uint32_t vmid)
{
    if (vmid == 0)
        return;
    if (AXVCPU_REMOTE_FENCE(AXVCPU_I_RISCV_HFENCE_GVMA_VMID, 0, UINT64_MAX, vmid) != 0)
        (void)AXVCPU_ATOMIC_FETCH_ADD(&axvcpu_i_riscv_epoch, 1u);
    (void)AXVCPU_ATOMIC_FETCH_AND(&axvcpu_i_riscv_vmids[vmid / 64], ~(UINT64_C(1) << vmid % 64));
}

AXVCPU_API int axvm_leaf_init(struct axvm *vm, const struct axvm_arch_desc *desc)
{
    int err;

    vm->arch.mode = desc->mode != 0 ? desc->mode : AXVCPU_RISCV_HGATP_SV39X4;
    err = axvcpu_i_riscv_check_mode(vm->arch.mode);
    if (err != 0)
        return err;
    vm->arch.root = AXVCPU_ALLOC_FRAME(AXVCPU_I_RISCV_ROOT_PAGES, (size_t)AXVCPU_I_RISCV_ROOT_PAGES * AXVM_LEAF_PAGE);
    if (vm->arch.root.addr == 0)
        return AXVCPU_ENOMEM;
    vm->arch.vmid = axvcpu_i_riscv_take_vmid();
    return AXVCPU_OK;
}

AXVCPU_API void axvm_leaf_deinit(struct axvm *vm)
{
    axvcpu_i_riscv_give_vmid(vm->arch.vmid);
    axvcpu_i_riscv_free((uint64_t *)AXVCPU_PHYS_TO_VIRT(vm->arch.root), axvcpu_i_riscv_top(&vm->arch), 2048);
    AXVCPU_FREE_FRAME(vm->arch.root, AXVCPU_I_RISCV_ROOT_PAGES);
}

AXVCPU_API axvcpu_hpa_t axvm_leaf_root(const struct axvm *vm)
{
    return vm->arch.root;
}

AXVCPU_API uint32_t axvm_leaf_vmid(const struct axvm *vm)
{
    return vm->arch.vmid;
}

/* There is no controller of ours: a line is the external interrupt of the first hart. */
AXVCPU_API int axvm_leaf_irq_line(struct axvm *vm, uint32_t line, bool level)
{
    (void)line;
    return axvcpu_set_irq(axvm_vcpu(vm, 0), AXVCPU_RISCV_IRQ_EXT, level);
}

AXVCPU_API bool axvm_leaf_is_target(const struct axvcpu *v, uint64_t target)
{
    return v->vcpu_id == target;
}

#endif /* bare metal */
#endif /* the selected backend */

/* >>tables: what the VM answers. No register of the hardware's is in it: it serves any backend that has the guest's
   in arch.gpr, a fence on all harts, and sets this. */
#ifdef AXVCPU_I_RISCV_SERVES

/* hart_mask and hart_mask_base (sbi 3.1) as a set of our vCPUs; false: they name one that is not there. */
static bool axvcpu_i_riscv_targets(const struct axvm *vm, uint64_t mask, uint64_t base, uint64_t *set)
{
    uint64_t all = vm->vcpu_count >= 64 ? UINT64_MAX : (UINT64_C(1) << vm->vcpu_count) - 1;

    *set = base == UINT64_MAX ? all : base < 64 ? mask << base : 0;
    if (base == UINT64_MAX)
        return true;
    return base < 64 ? *set >> base == mask && (*set & ~all) == 0 : mask == 0;
}

static enum axvm_answer axvcpu_i_riscv_say(struct axvcpu *v, int64_t error, uint64_t value)
{
    (void)axvcpu_set_gpr(v, AXVCPU_RISCV_A0, (uint64_t)error);
    if (v->arch.gpr[AXVCPU_RISCV_A7] >= AXVCPU_RISCV_SBI_EXT_BASE) /* legacy calls keep a1 */
        (void)axvcpu_set_gpr(v, AXVCPU_RISCV_A1, value);
    return AXVM_DONE;
}

static enum axvm_answer axvcpu_i_riscv_serve_ipi(struct axvm *vm, struct axvcpu *v, const struct axvcpu_exit *x)
{
    uint64_t set;

    if (!axvcpu_i_riscv_targets(vm, x->ipi.target, x->ipi.aux, &set))
        return axvcpu_i_riscv_say(v, AXVCPU_RISCV_SBI_INVALID_PARAM, 0);
    return axvm_inject(vm, set, x->ipi.vector) == AXVCPU_OK ? AXVM_DONE : AXVM_ERROR;
}

/* The firmware's fence reaches every host hart, and so wherever the guest's harts are or were; it is done
   when it returns. The VMID is that of hgatp, which is this guest's. */
static enum axvm_answer axvcpu_i_riscv_serve_fence(struct axvm *vm, struct axvcpu *v, const struct axvcpu_exit *x)
{
    static const uint8_t function[] = { AXVCPU_I_RISCV_FENCE_I, AXVCPU_I_RISCV_HFENCE_VVMA,
                                        AXVCPU_I_RISCV_HFENCE_VVMA_ASID };
    uint64_t set;

    if (!axvcpu_i_riscv_targets(vm, x->fence.mask, x->fence.base, &set) || x->fence.op >= sizeof(function))
        return axvcpu_i_riscv_say(v, AXVCPU_RISCV_SBI_INVALID_PARAM, 0);
    return AXVCPU_REMOTE_FENCE(function[x->fence.op], x->fence.start, x->fence.size, x->fence.asid) == 0 ?
               AXVM_DONE :
               axvcpu_i_riscv_say(v, AXVCPU_RISCV_SBI_FAILED, 0);
}

static enum axvm_answer axvcpu_i_riscv_serve_status(struct axvm *vm, struct axvcpu *v, const struct axvcpu_exit *x)
{
    struct axvcpu *target =
        x->hypercall.args[0] < vm->vcpu_count ? axvm_i_at(vm, (uint32_t)x->hypercall.args[0]) : NULL;
    uint32_t up;

    if (target == NULL)
        return axvcpu_i_riscv_say(v, AXVCPU_RISCV_SBI_INVALID_PARAM, 0);
    up = AXVCPU_ATOMIC_LOAD_ACQUIRE(&target->vm.up);
    return axvcpu_i_riscv_say(v, 0, up == AXVM_I_UP   ? AXVCPU_RISCV_HART_STARTED :
                                    up == AXVM_I_DOWN ? AXVCPU_RISCV_HART_STOPPED :
                                                        AXVCPU_RISCV_HART_START_PENDING);
}

/* Consoles have their answer in place (NOT_SUPPORTED); what is the host's own goes to its caller. */
static enum axvm_answer axvcpu_i_riscv_serve_call(struct axvm *vm, struct axvcpu *v, const struct axvcpu_exit *x)
{
    if (x->hypercall.nr == AXVCPU_RISCV_SBI_NR(AXVCPU_RISCV_SBI_EXT_HSM, 2))
        return axvcpu_i_riscv_serve_status(vm, v, x);
    return x->hypercall.nr <= 2 || (uint32_t)x->hypercall.nr == AXVCPU_RISCV_SBI_EXT_DBCN ? AXVM_DONE : AXVM_RETURN;
}

AXVCPU_API enum axvm_answer axvcpu_i_riscv_answer_exit(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x)
{
    switch (x->kind) {
    case AXVCPU_EXIT_HYPERCALL: return axvcpu_i_riscv_serve_call(vm, v, x);
    case AXVCPU_EXIT_SEND_IPI: return axvcpu_i_riscv_serve_ipi(vm, v, x);
    case AXVCPU_EXIT_REMOTE_FENCE: return axvcpu_i_riscv_serve_fence(vm, v, x);
    case AXVCPU_EXIT_SYSREG_READ:
    case AXVCPU_EXIT_SYSREG_WRITE: /* a CSR that nobody has */
        return axvcpu_refuse(v) == AXVCPU_OK ? AXVM_DONE : AXVM_ERROR;
    default: return AXVM_RETURN;
    }
}

#endif /* AXVCPU_I_RISCV_SERVES */

#if AXVCPU_I_ARCH == AXVCPU_I_ARCH_RISCV
#ifdef AXVCPU_KVM

/* ---------------------------------------------------------------------------------------------------- */
/* >>kvm                                                                                                */
/* ---------------------------------------------------------------------------------------------------- */

/* >>kvm names (api.rst: KVM_SET_ONE_REG, "RISC-V registers"). Core register n is xn, 0 the PC. Headers may be
   older than the kernel. */

#define AXVCPU_I_RISCV_ONE(type, n) (KVM_REG_RISCV | KVM_REG_SIZE_U64 | UINT64_C(type) << 24 | (uint64_t)(n))
#define AXVCPU_I_RISCV_ONE_CONFIG(n) AXVCPU_I_RISCV_ONE(1, n) /* 2 to 4: mvendorid, marchid, mimpid */
#define AXVCPU_I_RISCV_ONE_CORE(n) AXVCPU_I_RISCV_ONE(2, n)
#define AXVCPU_I_RISCV_ONE_MODE AXVCPU_I_RISCV_ONE_CORE(32)
#define AXVCPU_I_RISCV_ONE_CSR(n) AXVCPU_I_RISCV_ONE(3, n)
#define AXVCPU_I_RISCV_ONE_SIP AXVCPU_I_RISCV_ONE_CSR(7)
#define AXVCPU_I_RISCV_ONE_TIMER(n) AXVCPU_I_RISCV_ONE(4, n) /* frequency, time, compare, state */
#define AXVCPU_I_RISCV_ONE_SBI(n) AXVCPU_I_RISCV_ONE(8, n)
#define AXVCPU_I_RISCV_ONE_DBCN AXVCPU_I_RISCV_ONE_SBI(9)
#define AXVCPU_I_RISCV_ONE_FCSR (KVM_REG_RISCV | KVM_REG_SIZE_U32 | UINT64_C(6) << 24 | 32)

static const struct { uint32_t csr; uint64_t one; } axvcpu_i_riscv_ones[] = {
    { 0x100, AXVCPU_I_RISCV_ONE_CSR(0) }, { 0x104, AXVCPU_I_RISCV_ONE_CSR(1) }, { 0x105, AXVCPU_I_RISCV_ONE_CSR(2) },
    { 0x140, AXVCPU_I_RISCV_ONE_CSR(3) }, { 0x141, AXVCPU_I_RISCV_ONE_CSR(4) }, { 0x142, AXVCPU_I_RISCV_ONE_CSR(5) },
    { 0x143, AXVCPU_I_RISCV_ONE_CSR(6) }, { 0x144, AXVCPU_I_RISCV_ONE_SIP },    { 0x180, AXVCPU_I_RISCV_ONE_CSR(8) },
    { 0x106, AXVCPU_I_RISCV_ONE_CSR(9) }, { 0x10a, AXVCPU_I_RISCV_ONE_CSR(10) }, { 0x14d, AXVCPU_I_RISCV_ONE_TIMER(2) },
    { 0xc01, AXVCPU_I_RISCV_ONE_TIMER(1) }, { 0x003, AXVCPU_I_RISCV_ONE_FCSR },
};

/* >>kvm VM */

static unsigned long axvcpu_i_kvm_machine(const struct axvm_arch_desc *desc, int *adopt)
{
    *adopt = desc->vm_fd;
    return 0;
}

static struct axvm_arch *axvcpu_i_kvm_alone(struct axvcpu *v, const struct axvcpu_arch_create *create,
                                            struct axvm_arch_desc *desc)
{
    desc->vm_fd = create->vm_fd;
    return &v->arch.own;
}

/* hgatp's mode is the kernel's choice. */
static int axvcpu_i_kvm_init_vm(struct axvm_arch *vm, const struct axvm_arch_desc *desc)
{
    (void)vm;
    if (desc->mode != 0 && desc->mode != AXVCPU_RISCV_HGATP_SV39X4 && desc->mode != AXVCPU_RISCV_HGATP_SV48X4)
        return axvcpu_i_say(AXVCPU_EINVAL, "axvm_init: no such mode of hgatp");
    return AXVCPU_OK;
}

static void axvcpu_i_kvm_fini_vm(struct axvm_arch *vm)
{
    (void)vm;
}

/* The external interrupt's line to a hart (api.rst: KVM_INTERRUPT, "RISC-V"). */
static int axvcpu_i_riscv_external(struct axvcpu *v, bool level)
{
    struct kvm_interrupt irq;

    irq.irq = level ? KVM_INTERRUPT_SET : KVM_INTERRUPT_UNSET;
    return AXVCPU_I_KVM(v->arch.kvm.fd, KVM_INTERRUPT, &irq, NULL);
}

/* >>kvm creation state: what reset goes back to. Only the kernel knows which registers there are. */

struct axvcpu_i_riscv_origin {
    size_t size; /* of all this */
    uint64_t *ids;
    char *values; /* one after the other */
    char *now;    /* room for one */
    uint32_t count, mp_state;
};

static size_t axvcpu_i_riscv_one_size(uint64_t one)
{
    return (size_t)1 << ((one & KVM_REG_SIZE_MASK) >> KVM_REG_SIZE_SHIFT);
}

/* They are read into `to`, or compared with it and put back where they differ; the time goes on. */
static int axvcpu_i_riscv_move_state(struct axvcpu *v, bool restore)
{
    const struct axvcpu_i_riscv_origin *o = v->arch.origin;
    char *at = o->values;
    struct kvm_one_reg reg;
    uint32_t i;

    for (i = 0; i < o->count; at += axvcpu_i_riscv_one_size(o->ids[i]), i++) {
        reg.id = o->ids[i];
        reg.addr = (uint64_t)(uintptr_t)(restore ? o->now : at);
        if (restore && reg.id == AXVCPU_I_RISCV_ONE_TIMER(1))
            continue;
        if (axvcpu_i_kvm_ioctl(v->arch.kvm.fd, KVM_GET_ONE_REG, &reg) < 0)
            return axvcpu_i_kvm_refused("KVM_GET_ONE_REG", NULL);
        if (!restore || memcmp(o->now, at, axvcpu_i_riscv_one_size(reg.id)) == 0)
            continue;
        reg.addr = (uint64_t)(uintptr_t)at;
        if (axvcpu_i_kvm_ioctl(v->arch.kvm.fd, KVM_SET_ONE_REG, &reg) < 0)
            return axvcpu_i_kvm_refused("KVM_SET_ONE_REG", NULL);
    }
    return AXVCPU_OK;
}

/* Room for the list of registers (a count, then as many) and their values. */
static int axvcpu_i_riscv_make_origin(struct axvcpu *v, uint64_t count)
{
    size_t size = sizeof(struct axvcpu_i_riscv_origin) + (size_t)(count + 1) * (sizeof(uint64_t) + sizeof(uint64_t)) +
                  2 * sizeof(uint64_t);
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct axvcpu_i_riscv_origin *o = (struct axvcpu_i_riscv_origin *)memory;

    if (memory == MAP_FAILED)
        return axvcpu_i_kvm_refused("mmap", NULL);
    v->arch.origin = o;
    o->size = size;
    o->count = (uint32_t)count;
    o->ids = (uint64_t *)(void *)(o + 1) + 1;
    o->values = (char *)(o->ids + count);
    o->ids[-1] = count;
    return AXVCPU_I_KVM(v->arch.kvm.fd, KVM_GET_REG_LIST, &o->ids[-1], NULL);
}

/* Not what a vCPU is (1: configuration, 7: extensions, 8: of the SBI), which a set-up may have changed, and not
   vector registers, which may be long and start with anything (unpriv, V 3.10). */
static bool axvcpu_i_riscv_is_state(uint64_t one)
{
    uint32_t type = (uint32_t)(one >> 24) & 0xffu;

    return type != 1 && type != 7 && type != 8 && axvcpu_i_riscv_one_size(one) <= sizeof(uint64_t);
}

static void axvcpu_i_riscv_keep_state(struct axvcpu_i_riscv_origin *o)
{
    size_t used = 0;
    uint32_t i, kept = 0;

    for (i = 0; i < o->count; i++) {
        if (!axvcpu_i_riscv_is_state(o->ids[i]))
            continue;
        o->ids[kept++] = o->ids[i];
        used += axvcpu_i_riscv_one_size(o->ids[i]);
    }
    o->count = kept;
    o->now = o->values + (used + 7) / 8 * 8;
}

static int axvcpu_i_riscv_capture(struct axvcpu *v)
{
    struct kvm_mp_state state;
    uint64_t count = 0;
    int err;

    if (axvcpu_i_kvm_ioctl(v->arch.kvm.fd, KVM_GET_REG_LIST, &count) >= 0 || errno != E2BIG)
        return AXVCPU_OK; /* before Linux 6.6: reset says so */
    err = axvcpu_i_riscv_make_origin(v, count);
    if (err != 0)
        return err;
    axvcpu_i_riscv_keep_state(v->arch.origin);
    err = AXVCPU_I_KVM(v->arch.kvm.fd, KVM_GET_MP_STATE, &state, NULL);
    v->arch.origin->mp_state = state.mp_state;
    return err != 0 ? err : axvcpu_i_riscv_move_state(v, false);
}

static int axvcpu_i_riscv_restore(struct axvcpu *v, bool waits)
{
    struct kvm_mp_state state = { KVM_MP_STATE_RUNNABLE };
    int err;

    if (v->arch.origin == NULL)
        return axvcpu_i_say(AXVCPU_ENOSUPPORT,
                            "KVM_GET_REG_LIST is missing, so a vCPU cannot be reset; use Linux 6.6 or newer");
    err = axvcpu_i_riscv_move_state(v, true);
    if (err == 0 && (v->arch.lined >> (AXVCPU_RISCV_IRQ_EXT + 1) & 1u) != 0)
        err = axvcpu_i_riscv_external(v, false);
    v->arch.lined = v->arch.edges = 0;
    v->arch.call_open = false;
    if (waits)
        state.mp_state = v->arch.origin->mp_state;
    return err != 0 ? err : AXVCPU_I_KVM(v->arch.kvm.fd, KVM_SET_MP_STATE, &state, NULL);
}

/* A hart starts with its number in a0 (sbi 9.1). The console extension is off until it is asked for; an older
   kernel does not know it. */
static int axvcpu_i_kvm_init_vcpu(struct axvcpu *v, const struct axvcpu_arch_create *create)
{
    uint64_t on = 1;
    struct kvm_one_reg dbcn;
    int err = axvcpu_i_kvm_set_one(v, AXVCPU_I_RISCV_ONE_CORE(AXVCPU_RISCV_A0), v->vcpu_id);

    (void)create;
    dbcn.id = AXVCPU_I_RISCV_ONE_DBCN;
    dbcn.addr = (uint64_t)(uintptr_t)&on;
    (void)axvcpu_i_kvm_ioctl(v->arch.kvm.fd, KVM_SET_ONE_REG, &dbcn);
    return err != 0 ? err : axvcpu_i_riscv_capture(v);
}

static void axvcpu_i_kvm_fini_vcpu(struct axvcpu *v)
{
    if (v->arch.origin != NULL)
        (void)munmap(v->arch.origin, v->arch.origin->size);
}

/* >>kvm life */

AXVCPU_API int axvcpu_leaf_set_entry(struct axvcpu *v, axvcpu_gpa_t entry)
{
    if ((entry.addr & 1u) != 0)
        return axvcpu_i_say(AXVCPU_EINVAL, "set_entry: instructions are at even addresses");
    return axvcpu_i_kvm_set_one(v, AXVCPU_I_RISCV_ONE_CORE(0), entry.addr);
}

AXVCPU_API int axvcpu_leaf_setup(struct axvcpu *v, const struct axvcpu_arch_setup *setup)
{
    const uint64_t ids[] = { setup->sbi.mvendorid, setup->sbi.marchid, setup->sbi.mimpid };
    uint32_t i;
    int err = AXVCPU_OK;

    if (setup->hedeleg_clear != 0)
        return axvcpu_i_say(AXVCPU_ENOSUPPORT,
                            "setup: the kernel delegates exceptions by itself; use KVM_SET_GUEST_DEBUG");
    for (i = 0; i < 3 && err == 0; i++) {
        if (ids[i] != 0)
            err = axvcpu_i_kvm_set_one(v, AXVCPU_I_RISCV_ONE_CONFIG(2 + i), ids[i]);
    }
    return err;
}

AXVCPU_API int axvcpu_leaf_reset(struct axvcpu *v)
{
    int err = axvcpu_i_kvm_drain(v);

    return err != 0 ? err : axvcpu_i_riscv_restore(v, true);
}

AXVCPU_API int axvcpu_leaf_restart(struct axvcpu *v, axvcpu_gpa_t entry, uint64_t arg)
{
    int err = axvcpu_i_kvm_drain(v);

    if (err == 0)
        err = axvcpu_i_riscv_restore(v, false);
    if (err == 0)
        err = axvcpu_leaf_set_entry(v, entry);
    return err != 0 ? err : axvcpu_i_kvm_set_one(v, AXVCPU_I_RISCV_ONE_CORE(AXVCPU_RISCV_A1), arg);
}

/* >>kvm registers */

/* The last exit was an SBI call, and its answer is not in the registers yet. */
static bool axvcpu_i_riscv_open_call(const struct axvcpu *v)
{
    return v->arch.call_open && v->arch.kvm.run->exit_reason == KVM_EXIT_RISCV_SBI;
}

static int axvcpu_i_riscv_close_call(struct axvcpu *v)
{
    struct axvcpu_exit none;

    if (!axvcpu_i_riscv_open_call(v))
        return AXVCPU_OK;
    v->arch.call_open = false;
    none.kind = AXVCPU_EXIT_NOTHING;
    return axvcpu_i_kvm_finish(v, &none);
}

static int axvcpu_i_riscv_one_of(uint64_t id, uint64_t *one)
{
    size_t i;

    if (AXVCPU_REG_CLASS(id) == 0 || id == AXVCPU_REG_PC || id == AXVCPU_REG_SP) {
        *one = AXVCPU_I_RISCV_ONE_CORE(id == AXVCPU_REG_PC ? 0 : id == AXVCPU_REG_SP ? 2 : id);
        return AXVCPU_OK;
    }
    if (id == AXVCPU_REG_FLAGS)
        id = AXVCPU_REG_SYS(0x100);
    for (i = 0; i < sizeof(axvcpu_i_riscv_ones) / sizeof(axvcpu_i_riscv_ones[0]); i++) {
        if (id != AXVCPU_REG_SYS(axvcpu_i_riscv_ones[i].csr))
            continue;
        *one = axvcpu_i_riscv_ones[i].one;
        return AXVCPU_OK;
    }
    return axvcpu_i_say(AXVCPU_ENOSUPPORT,
                        "KVM_GET_ONE_REG: the kernel shows no such register; AXVCPU_REG_SYS takes the "
                        "numbers of sstatus, sie, stvec, sscratch, sepc, scause, stval, sip, satp, "
                        "scounteren, senvcfg, stimecmp, time and fcsr");
}

/* a0 and a1 of an open call; NULL: not that. */
static unsigned long *axvcpu_i_riscv_answer_place(struct axvcpu *v, uint64_t id)
{
    if (!axvcpu_i_riscv_open_call(v) || (id != AXVCPU_RISCV_A0 && id != AXVCPU_RISCV_A1))
        return NULL;
    return &v->arch.kvm.run->riscv_sbi.ret[id - AXVCPU_RISCV_A0];
}

AXVCPU_API int axvcpu_leaf_get_reg(struct axvcpu *v, uint64_t id, uint64_t *value)
{
    const unsigned long *answer = axvcpu_i_riscv_answer_place(v, id);
    uint64_t one = 0;
    int err = axvcpu_i_riscv_one_of(id, &one);

    *value = answer != NULL ? *answer : 0;
    if (err != 0 || answer != NULL || id == 0)
        return err;
    if (id == AXVCPU_REG_PC)
        err = axvcpu_i_riscv_close_call(v);
    return err != 0 ? err : axvcpu_i_kvm_get_one(v, one, value);
}

AXVCPU_API int axvcpu_leaf_set_reg(struct axvcpu *v, uint64_t id, uint64_t value)
{
    unsigned long *answer = axvcpu_i_riscv_answer_place(v, id);
    uint64_t one = 0;
    int err = axvcpu_i_riscv_one_of(id, &one);

    if (answer != NULL)
        *answer = value;
    if (err != 0 || answer != NULL || id == 0)
        return err;
    if (id == AXVCPU_REG_PC)
        err = axvcpu_i_riscv_close_call(v);
    if (err == 0)
        err = axvcpu_i_kvm_set_one(v, one, value);
    if (err == 0 && one == AXVCPU_I_RISCV_ONE_TIMER(2)) /* it is looked at when it is turned on */
        err = axvcpu_i_kvm_set_one(v, AXVCPU_I_RISCV_ONE_TIMER(3), KVM_RISCV_TIMER_STATE_ON);
    return err;
}

/* >>kvm exceptions: the registers that taking one reads and writes, there and back */

static const struct { uint64_t one; uint32_t offset; bool written; } axvcpu_i_riscv_taking[] = {
    { AXVCPU_I_RISCV_ONE_CORE(0), offsetof(struct axvcpu_arch, pc), true },
    { AXVCPU_I_RISCV_ONE_MODE, offsetof(struct axvcpu_arch, sstatus), true },
    { AXVCPU_I_RISCV_ONE_CSR(0), offsetof(struct axvcpu_arch, vsstatus), true },
    { AXVCPU_I_RISCV_ONE_CSR(1), offsetof(struct axvcpu_arch, hie), false },
    { AXVCPU_I_RISCV_ONE_CSR(2), offsetof(struct axvcpu_arch, vstvec), false },
    { AXVCPU_I_RISCV_ONE_CSR(4), offsetof(struct axvcpu_arch, vsepc), true },
    { AXVCPU_I_RISCV_ONE_CSR(5), offsetof(struct axvcpu_arch, vscause), true },
    { AXVCPU_I_RISCV_ONE_CSR(6), offsetof(struct axvcpu_arch, vstval), true },
    { AXVCPU_I_RISCV_ONE_SIP, offsetof(struct axvcpu_arch, hvip), false }, /* by inject */
};
#define AXVCPU_I_RISCV_TAKING (sizeof(axvcpu_i_riscv_taking) / sizeof(axvcpu_i_riscv_taking[0]))

static uint64_t *axvcpu_i_riscv_taken(struct axvcpu *v, size_t i)
{
    return (uint64_t *)(void *)((char *)&v->arch + axvcpu_i_riscv_taking[i].offset);
}

/* hie and hvip have their bits one higher than sie and sip (priv 8.2.4); the mode is SPP's bit. */
static int axvcpu_i_riscv_begin_taking(struct axvcpu *v)
{
    size_t i;
    int err = axvcpu_i_riscv_close_call(v);

    for (i = 0; i < AXVCPU_I_RISCV_TAKING && err == 0; i++)
        err = axvcpu_i_kvm_get_one(v, axvcpu_i_riscv_taking[i].one, axvcpu_i_riscv_taken(v, i));
    v->arch.hie <<= 1;
    v->arch.hvip <<= 1;
    v->arch.sstatus = v->arch.sstatus != 0 ? AXVCPU_RISCV_SSTATUS_SPP : 0;
    return err;
}

static int axvcpu_i_riscv_end_taking(struct axvcpu *v)
{
    size_t i;
    int err = AXVCPU_OK;

    v->arch.sstatus = (v->arch.sstatus & AXVCPU_RISCV_SSTATUS_SPP) != 0;
    for (i = 0; i < AXVCPU_I_RISCV_TAKING && err == 0; i++) {
        if (axvcpu_i_riscv_taking[i].written)
            err = axvcpu_i_kvm_set_one(v, axvcpu_i_riscv_taking[i].one, *axvcpu_i_riscv_taken(v, i));
    }
    return err;
}

static int axvcpu_i_riscv_raise(struct axvcpu *v, uint64_t cause, uint64_t tval)
{
    int err = axvcpu_i_riscv_begin_taking(v);

    if (err != 0)
        return err;
    axvcpu_i_riscv_take(&v->arch, cause, tval);
    return axvcpu_i_riscv_end_taking(v);
}

AXVCPU_API int axvcpu_leaf_inject_exception(struct axvcpu *v, uint32_t vector, uint64_t error, uint64_t addr)
{
    (void)error;
    if (vector > AXVCPU_RISCV_CAUSE_STORE_PAGE ||
        ((AXVCPU_I_RISCV_FORWARD | 1u << AXVCPU_RISCV_CAUSE_BREAKPOINT) >> vector & 1u) == 0)
        return axvcpu_i_say(AXVCPU_EINVAL, "inject_exception: no such exception of a guest's");
    if ((axvcpu_i_word(v) & AXVCPU_I_DUE) != 0)
        return axvcpu_i_say(AXVCPU_EPENDING,
                            "inject_exception: the guest's access is not committed; settle first, or refuse it");
    return axvcpu_i_riscv_raise(v, vector, addr);
}

/* >>kvm guest memory, as the guest sees it */

/* Sv39, Sv48, Sv57 (priv 4.4.1): where a virtual address is; false: nowhere. */
static bool axvcpu_i_riscv_translate(struct axvcpu *v, uint64_t satp, uint64_t va, uint64_t *gpa)
{
    uint64_t mode = satp >> 60, table = (satp & ((UINT64_C(1) << 44) - 1)) << 12, pte = 0;
    int level = mode >= 8 && mode <= 10 ? (int)mode - 6 : -1;

    *gpa = va;
    if (mode == 0)
        return true;
    for (; level >= 0; level--) {
        uint32_t shift = 12 + 9 * (uint32_t)level;

        if (axvm_read(v->vm.vm, axvcpu_gpa(table + (va >> shift & 0x1ffu) * 8), &pte, 8) != AXVCPU_OK ||
            (pte & 1u) == 0)
            return false;
        table = (pte >> 10 & ((UINT64_C(1) << 44) - 1)) << 12;
        *gpa = (table & ~((UINT64_C(1) << shift) - 1)) | (va & ((UINT64_C(1) << shift) - 1));
        if ((pte & 0xeu) != 0) /* readable, writable or executable: a leaf */
            return true;
    }
    return false;
}

static bool axvcpu_i_riscv_read_half(struct axvcpu *v, uint64_t satp, uint64_t va, uint16_t *half)
{
    uint64_t gpa;

    return v->vm.vm != NULL && axvcpu_i_riscv_translate(v, satp, va, &gpa) &&
           axvm_ptr(v->vm.vm, axvcpu_gpa(gpa), 2) != NULL && axvm_read(v->vm.vm, axvcpu_gpa(gpa), half, 2) == AXVCPU_OK;
}

/* The instruction at the PC; 0: it cannot be read. */
static uint32_t axvcpu_i_riscv_read_insn(struct axvcpu *v, uint64_t satp, uint64_t pc)
{
    uint16_t low = 0, high = 0;

    if (!axvcpu_i_riscv_read_half(v, satp, pc, &low) ||
        ((low & 3u) == 3 && !axvcpu_i_riscv_read_half(v, satp, pc + 2, &high)))
        return 0;
    return low | (uint32_t)high << 16;
}

/* The virtual address of a load or store, of any kind: floating-point ones differ in a bit from those that
   axvcpu_riscv_decode_access knows, an atomic one has no offset (unpriv ch. 24, table 24.1; 16.8). */
static int axvcpu_i_riscv_address(struct axvcpu *v, uint32_t insn, uint64_t *va)
{
    struct axvcpu_riscv_access a;
    uint32_t opcode = insn & 0x7fu, plain = insn;
    int err;

    if ((insn & 3u) != 3)
        plain |= 0x4000u;
    else if (opcode == 0x07 || opcode == 0x27)
        plain &= ~4u;
    AXVCPU_MEMSET(&a, 0, sizeof(a));
    if (opcode == 0x2f)
        a.base = (uint8_t)(insn >> 15 & 31u);
    else if (!axvcpu_riscv_decode_access(insn, &a) && !axvcpu_riscv_decode_access(plain, &a))
        return AXVCPU_EFAULT;
    *va = 0;
    err = a.base != 0 ? axvcpu_i_kvm_get_one(v, AXVCPU_I_RISCV_ONE_CORE(a.base), va) : AXVCPU_OK;
    *va += (uint64_t)a.offset;
    return err;
}

/* PC, satp and instruction, for those exits of which the kernel does not tell them. */
static int axvcpu_i_riscv_here_now(struct axvcpu *v, uint64_t *pc, uint64_t *satp, uint32_t *insn)
{
    int err = axvcpu_i_kvm_get_one(v, AXVCPU_I_RISCV_ONE_CORE(0), pc);

    if (err == 0)
        err = axvcpu_i_kvm_get_one(v, AXVCPU_I_RISCV_ONE_CSR(8), satp);
    *insn = err == 0 ? axvcpu_i_riscv_read_insn(v, *satp, *pc) : 0;
    return err;
}

/* >>kvm exits */

/* What the kernel cannot emulate makes KVM_RUN fail: an access by another instruction than RV64I's and C's, or
   misaligned (EOPNOTSUPP, EIO: arch/riscv/kvm/vcpu_insn.c), or a fetch from where no memory is. Whatever it was,
   the guest did it: it is an exit, and no error. */
static bool axvcpu_i_kvm_failure(struct axvcpu *v, long code, struct axvcpu_exit *x)
{
    uint64_t pc, satp, va, gpa;
    uint32_t insn, i;

    v->arch.call_open = false; /* KVM_RUN has taken the answer */
    if ((code != -EOPNOTSUPP && code != -EIO) || axvcpu_i_riscv_here_now(v, &pc, &satp, &insn) != AXVCPU_OK)
        return false;
    x->flags = 0;
    x->raw = (uint64_t)-code;
    if (insn == 0 && v->vm.vm != NULL && axvcpu_i_riscv_translate(v, satp, pc, &gpa)) {
        x->kind = AXVCPU_EXIT_NESTED_PAGE_FAULT;
        x->fault.addr = gpa;
        x->fault.access = AXVCPU_ACCESS_EXEC;
        return true;
    }
    if (insn == 0 || axvcpu_i_riscv_address(v, insn, &va) != AXVCPU_OK || !axvcpu_i_riscv_translate(v, satp, va, &gpa))
        gpa = 0; /* of an instruction that is not known or no longer there, or by tables that are not */
    x->kind = AXVCPU_EXIT_UNDECODED;
    x->undecoded.addr = gpa;
    x->undecoded.syndrome = 0;
    x->undecoded.insn_len = insn != 0 ? axvcpu_riscv_insn_length(insn) : 0;
    AXVCPU_MEMSET(x->undecoded.insn, 0, sizeof(x->undecoded.insn));
    for (i = 0; i < x->undecoded.insn_len; i++)
        x->undecoded.insn[i] = (uint8_t)(insn >> i * 8);
    return true;
}

/* The call as the bare backend decodes it. Its answer is in place in the run page, and the kernel puts it into
   a0 and a1 and moves the PC with the next entry. */
static int axvcpu_i_riscv_call_exit(struct axvcpu *v, struct kvm_run *run, struct axvcpu_exit *x)
{
    static const struct axvcpu_riscv_sbi none = { 0, 0, 0 };
    struct axvcpu_riscv_trap t;
    struct axvcpu_riscv_effect e;
    uint64_t gpr[32];
    uint32_t i;

    AXVCPU_MEMSET(&t, 0, sizeof(t));
    AXVCPU_MEMSET(gpr, 0, sizeof(gpr));
    t.cause = AXVCPU_RISCV_CAUSE_ECALL_VS;
    for (i = 0; i < 6; i++)
        gpr[AXVCPU_RISCV_A0 + i] = run->riscv_sbi.args[i];
    gpr[AXVCPU_RISCV_A6] = run->riscv_sbi.function_id;
    gpr[AXVCPU_RISCV_A7] = run->riscv_sbi.extension_id;
    run->riscv_sbi.ret[0] = run->riscv_sbi.args[0];
    run->riscv_sbi.ret[1] = run->riscv_sbi.args[1];
    v->arch.call_open = true;
    if (axvcpu_riscv_sbi_call(&t, gpr, &none, x, &e) != AXVCPU_RISCV_EXIT)
        x->kind = AXVCPU_EXIT_NOTHING;
    if ((e.sets & AXVCPU_RISCV_SETS_A0) != 0)
        run->riscv_sbi.ret[0] = e.a0;
    if ((e.sets & AXVCPU_RISCV_SETS_A1) != 0)
        run->riscv_sbi.ret[1] = e.a1;
    return AXVCPU_OK;
}

/* A CSR that the kernel gives away: seed (Zkr). Its register is written by the kernel; what the instruction
   writes to the CSR is in sysreg.value. */
static void axvcpu_i_riscv_csr_exit(struct axvcpu *v, struct kvm_run *run, struct axvcpu_exit *x)
{
    x->sysreg.addr = (uint32_t)run->riscv_csr.csr_num;
    x->sysreg.value = run->riscv_csr.new_value & run->riscv_csr.write_mask;
    x->sysreg.reg = AXVCPU_REG_NONE;
    axvcpu_i_kvm_await(v, x, AXVCPU_EXIT_SYSREG_READ, run->exit_reason, &run->riscv_csr.ret_value, false);
}

static int axvcpu_i_riscv_debug_exit(struct axvcpu *v, struct axvcpu_exit *x)
{
    x->kind = AXVCPU_EXIT_DEBUG;
    x->debug.status = 0;
    return axvcpu_i_kvm_get_one(v, AXVCPU_I_RISCV_ONE_CORE(0), &x->debug.pc);
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
    case KVM_EXIT_RISCV_SBI: return axvcpu_i_riscv_call_exit(v, run, x);
    case KVM_EXIT_RISCV_CSR: axvcpu_i_riscv_csr_exit(v, run, x); return AXVCPU_OK;
    case KVM_EXIT_DEBUG: return axvcpu_i_riscv_debug_exit(v, x);
    default: axvcpu_i_kvm_other(run, x); return AXVCPU_OK;
    }
}

/* >>kvm answers */

/* Linux up to 6.12 at least loses the sign of LB, LH and LW (arch/riscv/kvm/vcpu_insn.c shifts an unsigned
   number). It matters when the highest bit is set, so only then the instruction is looked at. */
static bool axvcpu_i_riscv_negative(struct axvcpu *v)
{
    const struct kvm_run *run = v->arch.kvm.run;

    return axvcpu_access(v)->kind == AXVCPU_EXIT_MMIO_READ && !axvcpu_access(v)->refused && run->mmio.len - 1 < 7 &&
           (run->mmio.data[run->mmio.len - 1] & 0x80u) != 0;
}

static int axvcpu_i_riscv_mend_sign(struct axvcpu *v, struct axvcpu_exit *x)
{
    const struct kvm_run *run = v->arch.kvm.run;
    struct axvcpu_riscv_access a;
    uint64_t pc, satp, value = UINT64_MAX << (8 * run->mmio.len);
    uint32_t insn, i;
    int err = axvcpu_i_riscv_here_now(v, &pc, &satp, &insn);

    for (i = 0; i < run->mmio.len; i++)
        value |= (uint64_t)run->mmio.data[i] << (8 * i);
    if (err == 0)
        err = axvcpu_i_kvm_finish(v, x);
    if (err != 0 || insn == 0 || !axvcpu_riscv_decode_access(insn, &a) || !a.sign_extend || a.reg == 0)
        return err;
    return axvcpu_i_kvm_set_one(v, AXVCPU_I_RISCV_ONE_CORE(a.reg), value);
}

AXVCPU_API int axvcpu_leaf_commit(struct axvcpu *v, struct axvcpu_exit *x, bool entering)
{
    if (AXVCPU_I_UNLIKELY(axvcpu_i_riscv_negative(v)))
        return axvcpu_i_riscv_mend_sign(v, x);
    return entering ? AXVCPU_OK : axvcpu_i_kvm_finish(v, x);
}

AXVCPU_API int axvcpu_leaf_retry(struct axvcpu *v)
{
    return axvcpu_i_kvm_rewind(v, AXVCPU_I_RISCV_ONE_CORE(0), 1, 32); /* PC, x1 to x31 */
}

/* An access fault (priv 4.1.8) at the virtual address, if the instruction says which, or an illegal
   instruction. */
AXVCPU_API int axvcpu_leaf_refuse(struct axvcpu *v)
{
    uint32_t kind = axvcpu_access(v)->kind, insn = 0;
    uint64_t pc, satp, tval = v->arch.kvm.run->mmio.phys_addr;
    int err = axvcpu_leaf_retry(v);

    if (err == 0)
        err = axvcpu_i_riscv_here_now(v, &pc, &satp, &insn);
    if (err != 0)
        return err;
    if (kind != AXVCPU_EXIT_MMIO_READ && kind != AXVCPU_EXIT_MMIO_WRITE)
        return axvcpu_i_riscv_raise(v, AXVCPU_RISCV_CAUSE_ILLEGAL, insn);
    err = insn != 0 ? axvcpu_i_riscv_address(v, insn, &tval) : AXVCPU_OK;
    if (err != 0 && err != AXVCPU_EFAULT) /* not one that we know: the physical address will have to do */
        return err;
    return axvcpu_i_riscv_raise(
        v, kind == AXVCPU_EXIT_MMIO_READ ? AXVCPU_RISCV_CAUSE_LOAD_ACCESS : AXVCPU_RISCV_CAUSE_STORE_ACCESS, tval);
}

/* >>kvm interrupts */

#define AXVCPU_I_RISCV_HVIP(irq) (UINT64_C(1) << (AXVCPU_RISCV_IRQ_##irq + 1))

/* Everything: edges wait until they are taken, as on bare metal; software's the guest ends by itself. */
static int axvcpu_i_riscv_inject_all(struct axvcpu *v, uint64_t lines, uint64_t fresh)
{
    struct axvcpu_arch *a = &v->arch;
    const uint64_t sticky = AXVCPU_I_RISCV_HVIP(EXT) | AXVCPU_I_RISCV_HVIP(TIMER);
    uint64_t before, changed;
    int err = axvcpu_i_riscv_begin_taking(v);

    if (err != 0)
        return err;
    before = a->hvip;
    a->hvip = (a->hvip & ~(a->lined & ~lines & ~a->edges)) | lines | (fresh & ~sticky);
    a->lined = lines;
    a->edges = (a->edges | (fresh & sticky)) & ~lines;
    axvcpu_i_riscv_edge(a, AXVCPU_RISCV_IRQ_EXT, fresh);
    axvcpu_i_riscv_edge(a, AXVCPU_RISCV_IRQ_TIMER, fresh);
    changed = before ^ a->hvip;
    err = axvcpu_i_riscv_end_taking(v);
    if (err == 0 && (changed & ~AXVCPU_I_RISCV_HVIP(EXT)) != 0)
        err = axvcpu_i_kvm_set_one(v, AXVCPU_I_RISCV_ONE_SIP, a->hvip >> 1);
    if (err == 0 && (changed & AXVCPU_I_RISCV_HVIP(EXT)) != 0)
        err = axvcpu_i_riscv_external(v, (a->hvip & AXVCPU_I_RISCV_HVIP(EXT)) != 0);
    return err;
}

/* The usual: a software interrupt, or the external line goes up or down. */
static int axvcpu_i_riscv_inject_simple(struct axvcpu *v, uint64_t lines, uint64_t fresh)
{
    uint64_t changed = lines ^ v->arch.lined, sip = 0;
    int err = AXVCPU_OK;

    v->arch.lined = lines;
    if (changed != 0)
        err = axvcpu_i_riscv_external(v, lines != 0);
    if (err == 0 && fresh != 0)
        err = axvcpu_i_kvm_get_one(v, AXVCPU_I_RISCV_ONE_SIP, &sip);
    return err != 0 || fresh == 0 ? err : axvcpu_i_kvm_set_one(v, AXVCPU_I_RISCV_ONE_SIP, sip | fresh >> 1);
}

AXVCPU_API int axvcpu_leaf_inject(struct axvcpu *v, uint32_t *what)
{
    uint64_t lines = AXVCPU_ATOMIC_LOAD(&v->lines[0]) << 1;
    uint64_t fresh = AXVCPU_ATOMIC_XCHG(&v->pending[0], UINT64_C(0)) << 1;
    bool simple = v->arch.edges == 0 && ((lines | v->arch.lined) & ~AXVCPU_I_RISCV_HVIP(EXT)) == 0 &&
                  (fresh & ~AXVCPU_I_RISCV_HVIP(SOFT)) == 0;
    int err = simple ? axvcpu_i_riscv_inject_simple(v, lines, fresh) : axvcpu_i_riscv_inject_all(v, lines, fresh);

    *what = v->arch.edges != 0 || (lines & AXVCPU_I_RISCV_HVIP(SOFT)) != 0 ? AXVCPU_ATTN_IRQ : 0u;
    return err;
}

/* A halt is the kernel's; here it is about what has not been taken yet. */
AXVCPU_API bool axvcpu_leaf_wakes(const struct axvcpu *v, bool queued)
{
    return queued || v->arch.edges != 0;
}

/* There is no controller of ours: a line is the external interrupt of the first hart. */
AXVCPU_API int axvm_leaf_irq_line(struct axvm *vm, uint32_t line, bool level)
{
    (void)line;
    return axvcpu_set_irq(axvm_vcpu(vm, 0), AXVCPU_RISCV_IRQ_EXT, level);
}

/* >>kvm the rest */

AXVCPU_API uint32_t axvcpu_leaf_max_guest_page_table_levels(const struct axvcpu_percpu *p)
{
    int sys, bits = 0;

    (void)p;
    if (axvcpu_i_kvm_open(&sys) != 0)
        return 0;
    bits = axvcpu_i_kvm_has(sys, KVM_CAP_VM_GPA_BITS);
    (void)close(sys);
    return bits >= 41 ? ((uint32_t)bits - 14) / 9 : 3; /* Sv39x4 has 41 bits, each level more 9 */
}

AXVCPU_API bool axvm_leaf_is_target(const struct axvcpu *v, uint64_t target)
{
    return v->vcpu_id == target;
}

/* Consoles have their answer in place (NOT_SUPPORTED); a CSR that nobody has is no instruction. */
AXVCPU_API enum axvm_answer axvm_leaf_answer(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x)
{
    (void)vm;
    if (x->kind == AXVCPU_EXIT_SYSREG_READ)
        return axvcpu_refuse(v) == AXVCPU_OK ? AXVM_DONE : AXVM_ERROR;
    if (x->kind == AXVCPU_EXIT_HYPERCALL &&
        (x->hypercall.nr <= 2 || (uint32_t)x->hypercall.nr == AXVCPU_RISCV_SBI_EXT_DBCN))
        return AXVM_DONE;
    return AXVM_RETURN;
}

#endif /* AXVCPU_KVM */
#endif /* the selected backend */

AXVCPU_I_C_END

#endif /* AXVCPU_IMPLEMENTATION */
