/* SPDX-License-Identifier: Apache-2.0
 *
 * axvcpu_arch_x86.h: x86-64 backends of axvcpu.h: VMX and SVM on bare metal, KVM on Linux
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
 * SDM: Intel 64 and IA-32 Architectures Software Developer's Manual. APM: AMD64 Architecture Programmer's
 * Manual. api.rst: the kernel's Documentation/virt/kvm/api.rst.
 */
#ifndef AXVCPU_H
#include "axvcpu.h"
#endif

#ifndef AXVCPU_ARCH_X86_H
#define AXVCPU_ARCH_X86_H

AXVCPU_I_C_BEGIN

/* ---------------------------------------------------------------------------------------------------- */
/* >>names                                                                                              */
/* ---------------------------------------------------------------------------------------------------- */

/* General registers in ModRM order (SDM 2, 2.1.5). */
enum axvcpu_x86_gpr {
    AXVCPU_X86_RAX, AXVCPU_X86_RCX, AXVCPU_X86_RDX, AXVCPU_X86_RBX, AXVCPU_X86_RSP, AXVCPU_X86_RBP,
    AXVCPU_X86_RSI, AXVCPU_X86_RDI, AXVCPU_X86_R8, AXVCPU_X86_R9, AXVCPU_X86_R10, AXVCPU_X86_R11,
    AXVCPU_X86_R12, AXVCPU_X86_R13, AXVCPU_X86_R14, AXVCPU_X86_R15, AXVCPU_X86_GPRS
};

/* Segments, the first six in Sreg order (SDM 2, 2.1.5), and the table registers. */
enum axvcpu_x86_segment {
    AXVCPU_X86_ES, AXVCPU_X86_CS, AXVCPU_X86_SS, AXVCPU_X86_DS, AXVCPU_X86_FS, AXVCPU_X86_GS,
    AXVCPU_X86_LDTR, AXVCPU_X86_TR, AXVCPU_X86_GDTR, AXVCPU_X86_IDTR, AXVCPU_X86_SEGMENTS
};

/* Their parts; GDTR and IDTR have base and limit only. Access rights as in SDM 3, table 25-2. */
enum axvcpu_x86_part { AXVCPU_X86_SELECTOR, AXVCPU_X86_BASE, AXVCPU_X86_LIMIT, AXVCPU_X86_ACCESS };

/* For axvcpu_get_reg and axvcpu_set_reg, beside AXVCPU_REG_GPR, _PC, _SP, _FLAGS and _SYS(msr). */
#define AXVCPU_X86_CR(n) AXVCPU_REG_ARCH(n)           /* 0, 2, 3, 4, 8 */
#define AXVCPU_X86_DR(n) AXVCPU_REG_ARCH(0x10u + (n)) /* 0 to 3, 6, 7 */
#define AXVCPU_X86_XCR0 AXVCPU_REG_ARCH(0x20u)
#define AXVCPU_X86_SEG(segment, part) AXVCPU_REG_ARCH(0x40u + 4u * (uint32_t)(segment) + (uint32_t)(part))

/* Access rights. */
#define AXVCPU_X86_AR_TYPE 0x000fu
#define AXVCPU_X86_AR_S 0x0010u    /* code or data */
#define AXVCPU_X86_AR_DPL 0x0060u
#define AXVCPU_X86_AR_P 0x0080u    /* present */
#define AXVCPU_X86_AR_AVL 0x1000u
#define AXVCPU_X86_AR_L 0x2000u    /* 64-bit code */
#define AXVCPU_X86_AR_DB 0x4000u   /* 32-bit */
#define AXVCPU_X86_AR_G 0x8000u    /* limit in pages */
#define AXVCPU_X86_AR_UNUSABLE 0x10000u

/* RFLAGS (SDM 1, 3.4.3) */
#define AXVCPU_X86_FLAG_CF 0x001u
#define AXVCPU_X86_FLAG_FIXED 0x002u /* always one */
#define AXVCPU_X86_FLAG_PF 0x004u
#define AXVCPU_X86_FLAG_AF 0x010u
#define AXVCPU_X86_FLAG_ZF 0x040u
#define AXVCPU_X86_FLAG_SF 0x080u
#define AXVCPU_X86_FLAG_TF 0x100u
#define AXVCPU_X86_FLAG_IF 0x200u
#define AXVCPU_X86_FLAG_DF 0x400u
#define AXVCPU_X86_FLAG_OF 0x800u
#define AXVCPU_X86_FLAG_RF 0x10000u
#define AXVCPU_X86_DR6_BS 0x4000u /* a single step */
#define AXVCPU_X86_DR7_GD 0x2000u /* debug registers are guarded */
#define AXVCPU_X86_FLAG_VM 0x20000u /* virtual 8086 */
#define AXVCPU_X86_FLAG_AC 0x40000u

/* CR0, CR4, EFER (SDM 3, 2.5 and 2.2.1) */
#define AXVCPU_X86_CR0_PE 0x00000001u
#define AXVCPU_X86_CR0_MP 0x00000002u
#define AXVCPU_X86_CR0_ET 0x00000010u
#define AXVCPU_X86_CR0_NE 0x00000020u
#define AXVCPU_X86_CR0_EM 0x00000004u
#define AXVCPU_X86_CR0_TS 0x00000008u
#define AXVCPU_X86_CR0_WP 0x00010000u
#define AXVCPU_X86_CR0_AM 0x00040000u
#define AXVCPU_X86_CR0_NW 0x20000000u
#define AXVCPU_X86_CR0_CD 0x40000000u
#define AXVCPU_X86_CR0_PG 0x80000000u
#define AXVCPU_X86_CR4_PSE 0x010u
#define AXVCPU_X86_CR4_PAE 0x020u
#define AXVCPU_X86_CR4_OSFXSR 0x200u
#define AXVCPU_X86_CR4_OSXMMEXCPT 0x400u
#define AXVCPU_X86_CR4_LA57 0x1000u
#define AXVCPU_X86_CR4_VMXE 0x2000u
#define AXVCPU_X86_CR4_FSGSBASE 0x10000u
#define AXVCPU_X86_CR4_PCIDE 0x20000u
#define AXVCPU_X86_CR4_OSXSAVE 0x40000u
#define AXVCPU_X86_CR4_SMEP 0x100000u
#define AXVCPU_X86_CR4_SMAP 0x200000u
#define AXVCPU_X86_CR4_PKE 0x400000u
#define AXVCPU_X86_CR4_CET 0x800000u
#define AXVCPU_X86_EFER_SCE 0x001u
#define AXVCPU_X86_EFER_LME 0x100u
#define AXVCPU_X86_EFER_LMA 0x400u
#define AXVCPU_X86_EFER_NXE 0x800u
#define AXVCPU_X86_EFER_SVME 0x1000u

/* Page-table entries (SDM 3, 4.5) */
#define AXVCPU_X86_PTE_P 0x01u
#define AXVCPU_X86_PTE_RW 0x02u
#define AXVCPU_X86_PTE_US 0x04u
#define AXVCPU_X86_PTE_A 0x20u
#define AXVCPU_X86_PTE_D 0x40u
#define AXVCPU_X86_PTE_PS 0x80u /* a large page */
#define AXVCPU_X86_PTE_XD (UINT64_C(1) << 63)

/* MSRs (SDM 4, chapter 2) */
#define AXVCPU_X86_MSR_EFER 0xc0000080u
#define AXVCPU_X86_MSR_TSC 0x10u
#define AXVCPU_X86_MSR_TSC_AUX 0xc0000103u
#define AXVCPU_X86_MSR_X2APIC_ICR 0x830u

/* The local APIC's interrupt command register (SDM 3, 11.6.1) */
#define AXVCPU_X86_APIC_PAGE 0xfee00000u
#define AXVCPU_X86_APIC_ON 0x800u /* in IA32_APIC_BASE */
#define AXVCPU_X86_APIC_ICR 0x300u
#define AXVCPU_X86_APIC_ICR_HIGH 0x310u
#define AXVCPU_X86_ICR_MODE(icr) ((uint32_t)(icr) >> 8 & 7u)
#define AXVCPU_X86_ICR_LOGICAL 0x800u
#define AXVCPU_X86_ICR_ASSERT 0x4000u
#define AXVCPU_X86_ICR_SHORTHAND(icr) ((uint32_t)(icr) >> 18 & 3u)
enum axvcpu_x86_icr_mode {
    AXVCPU_X86_ICR_FIXED, AXVCPU_X86_ICR_LOWEST, AXVCPU_X86_ICR_SMI, AXVCPU_X86_ICR_RESERVED,
    AXVCPU_X86_ICR_NMI, AXVCPU_X86_ICR_INIT, AXVCPU_X86_ICR_STARTUP
};

/* ---------------------------------------------------------------------------------------------------- */
/* >>decode                                                                                             */
/* ---------------------------------------------------------------------------------------------------- */

/* What a CPUID leaf answers. */
struct axvcpu_x86_cpuid {
    uint32_t leaf, subleaf;
    bool indexed; /* the subleaf counts */
    uint32_t reg[4]; /* eax, ebx, ecx, edx */
};

/* Make the host's answers those of CPU `id` among `cpus`, one thread a core, all in one package; nested
   virtualization is hidden, and without `apic` what only works with a local APIC. */
AXVCPU_API void axvcpu_x86_cpuid_sane(struct axvcpu_x86_cpuid *table, uint32_t count, uint32_t id, uint32_t cpus,
                                      bool apic);

/* A write of the interrupt command register: CPU_UP for a start-up IPI to one CPU, else SEND_IPI, with the
   low half of the register in ipi.aux. xAPIC has the target in the uppermost byte. */
AXVCPU_API void axvcpu_x86_icr(uint64_t icr, bool x2apic, struct axvcpu_exit *);
/* A write into the xAPIC's registers, which are at IA32_APIC_BASE `base` (SDM 3, 11.4.3): true if it was one of
   the command register, in a way that sends (32 bits at a time). Its upper half is kept in *high, and *x is NOTHING;
   the lower half makes of both what axvcpu_x86_icr says. */
AXVCPU_API bool axvcpu_x86_xapic(uint64_t base, uint64_t gpa, uint32_t width, uint64_t value, uint32_t *high,
                                 struct axvcpu_exit *x);

/* >>decode instructions: those that access memory, for MMIO. Bytes in, a description out; then the state
   machine that asks for the accesses one by one and writes registers, flags and RIP when all are done. */

#define AXVCPU_X86_INSN_MAX 15u /* bytes; a longer one is #GP (SDM 2, 2.3.11) */

/* The arithmetic is first, in the order of the opcode map (SDM 2, appendix A). */
enum axvcpu_x86_op {
    AXVCPU_X86_OP_ADD, AXVCPU_X86_OP_OR, AXVCPU_X86_OP_ADC, AXVCPU_X86_OP_SBB, AXVCPU_X86_OP_AND, AXVCPU_X86_OP_SUB,
    AXVCPU_X86_OP_XOR, AXVCPU_X86_OP_CMP, AXVCPU_X86_OP_TEST, AXVCPU_X86_OP_NOT, AXVCPU_X86_OP_NEG,
    AXVCPU_X86_OP_INC, AXVCPU_X86_OP_DEC, AXVCPU_X86_OP_XCHG, AXVCPU_X86_OP_BT, AXVCPU_X86_OP_BTS,
    AXVCPU_X86_OP_BTR, AXVCPU_X86_OP_BTC, AXVCPU_X86_OP_MOV, AXVCPU_X86_OP_MOVZX, AXVCPU_X86_OP_MOVSX,
    AXVCPU_X86_OP_STOS, AXVCPU_X86_OP_LODS, AXVCPU_X86_OP_MOVS, AXVCPU_X86_OPS
};

/* Parts of an address and operands that are not there, and the base that is the next instruction. */
#define AXVCPU_X86_NO_REG 0xffu
#define AXVCPU_X86_RIP 0x10u

/* insn.flags */
#define AXVCPU_X86_INSN_TO_REG 0x01u /* the register is the destination, else memory is */
#define AXVCPU_X86_INSN_IMM 0x02u    /* the other operand is the immediate */
#define AXVCPU_X86_INSN_HIGH 0x04u   /* AH, CH, DH, BH; reg is their whole register */
#define AXVCPU_X86_INSN_LOCK 0x08u
#define AXVCPU_X86_INSN_REP 0x10u    /* a string instruction with a count */

struct axvcpu_x86_insn {
    uint64_t imm;  /* sign-extended */
    uint64_t disp; /* sign-extended */
    uint8_t op;    /* enum axvcpu_x86_op */
    uint8_t flags;
    uint8_t access;        /* AXVCPU_ACCESS_READ, _WRITE; both: a read, then a write */
    uint8_t length;
    uint8_t width;         /* of the access, bytes */
    uint8_t reg_width;     /* ... and of the register */
    uint8_t reg;           /* AXVCPU_X86_NO_REG: none */
    uint8_t segment;       /* enum axvcpu_x86_segment; of a string's source */
    uint8_t address_width; /* 2, 4, 8 */
    uint8_t base, index;   /* registers, AXVCPU_X86_RIP, AXVCPU_X86_NO_REG */
    uint8_t scale;         /* 0 to 3 */
};

/* `bits` is the code segment's size: 16, 32 or 64. False: not an instruction of the list above with an
   operand in memory, or more than `size` bytes. */
AXVCPU_API bool axvcpu_x86_decode(const uint8_t *bytes, uint32_t size, uint32_t bits, struct axvcpu_x86_insn *);
/* The length of an instruction that exits for its own sake (CPUID, HLT, VMCALL, MSRs, CRs, ports, ...), for
   hardware that does not tell; 0: not one of these. */
AXVCPU_API uint32_t axvcpu_x86_length(const uint8_t *bytes, uint32_t size, uint32_t bits);

/* The guest's registers that instructions work on. */
struct axvcpu_x86_regs {
    uint64_t gpr[AXVCPU_X86_GPRS], rip, rflags;
};

/* Past an instruction. */
AXVCPU_API void axvcpu_x86_advance(struct axvcpu_x86_regs *, uint32_t length, uint32_t bits);

/* Its address space: what memory accesses on its behalf need. */
struct axvcpu_x86_space {
    uint64_t cr0, cr3, cr4, efer;
    uint64_t base[6];       /* of ES to GS */
    uint64_t physical_mask; /* valid bits of guest-physical addresses */
    uint32_t bits;          /* code size: 16, 32, 64 */
    uint32_t cpl;
    /* `size` bytes of guest memory, within a page; NULL: there is none (MMIO), or not for writing. */
    void *(*ptr)(void *arg, uint64_t gpa, uint32_t size, bool write);
    /* A segment's limit and access rights, for what the CPU has not checked yet; NULL: they are not checked. */
    void (*segment)(void *arg, uint32_t segment, uint32_t *limit, uint32_t *access);
    void *arg;
};

/* Outside 64-bit mode: `width` bytes at `offset` may be accessed by a segment (SDM 3, 5.3 to 5.5; else it is #SS or
   #GP). */
AXVCPU_API bool axvcpu_x86_in_segment(uint32_t limit, uint32_t access, uint64_t offset, uint32_t width, bool write);

AXVCPU_API uint32_t axvcpu_x86_bits(uint64_t cr0, uint64_t efer, uint64_t rflags, uint32_t cs_access);

/* The guest's own page walk (SDM 3, 4.3 to 4.6), which sets accessed and dirty bits. */
enum axvcpu_x86_walk {
    AXVCPU_X86_WALK_OK,
    AXVCPU_X86_WALK_FAULT, /* #PF with *error */
    AXVCPU_X86_WALK_LOST   /* a table is not in memory */
};
/* #PF's error code (SDM 3, 4.7) */
#define AXVCPU_X86_PF_P 0x01u
#define AXVCPU_X86_PF_WRITE 0x02u
#define AXVCPU_X86_PF_USER 0x04u
#define AXVCPU_X86_PF_RESERVED 0x08u
#define AXVCPU_X86_PF_FETCH 0x10u
AXVCPU_API enum axvcpu_x86_walk axvcpu_x86_walk(const struct axvcpu_x86_space *, uint64_t rflags, uint64_t linear,
                                                uint32_t access, uint64_t *gpa, uint32_t *error);
/* The bytes at RIP, as many as can be had, at most 15. */
AXVCPU_API uint32_t axvcpu_x86_fetch(const struct axvcpu_x86_space *, const struct axvcpu_x86_regs *,
                                     uint8_t bytes[AXVCPU_X86_INSN_MAX]);

/* The linear address that an instruction accesses; of movs the source's. */
AXVCPU_API uint64_t axvcpu_x86_address(const struct axvcpu_x86_insn *, const struct axvcpu_x86_regs *,
                                       const struct axvcpu_x86_space *);

/* An instruction under way: kept by the backend from an exit to its commit. */
struct axvcpu_x86_mmio {
    struct axvcpu_x86_insn insn;
    uint64_t value;  /* read so far */
    uint64_t out;    /* to be written */
    uint64_t gpa;    /* of the access */
    uint64_t next;   /* ... and of its second page, if it has one */
    uint64_t linear; /* of movs' destination */
    uint8_t phase;
    uint8_t first;   /* its bytes on the first page, */
    uint8_t done;    /* and how many there have been */
    /* with AXVCPU_X86_MMIO_FAULT: */
    uint8_t vector;
    uint32_t error;
    uint64_t cr2;
};

enum axvcpu_x86_mmio_step {
    AXVCPU_X86_MMIO_ACCESS,    /* *x is MMIO_READ or MMIO_WRITE: await it, then axvcpu_x86_mmio_commit */
    AXVCPU_X86_MMIO_DONE,      /* registers, flags and RIP are written; of rep, for one element */
    AXVCPU_X86_MMIO_FAULT,     /* the guest gets an exception instead: vector, error, cr2; nothing is written */
    AXVCPU_X86_MMIO_UNDECODED  /* *x is UNDECODED; nothing is written */
};

/* A data access at `gpa` has no second-stage mapping (`write`: or not for writing). One that crosses a page is made
   page by page, in order: what of it is memory is read or written here, what is not is an exit of so many bytes; with
   LOCK, too. movs across a page is UNDECODED. After DONE a pending
   interrupt shadow ends, and with RFLAGS.TF the guest gets #DB, as after any instruction. Until commit,
   registers stay as they were: to retry, forget it. */
AXVCPU_API enum axvcpu_x86_mmio_step axvcpu_x86_mmio_begin(struct axvcpu_x86_mmio *, struct axvcpu_x86_regs *,
                                                           const struct axvcpu_x86_space *, const uint8_t *bytes,
                                                           uint32_t size, uint64_t gpa, bool write,
                                                           struct axvcpu_exit *x);
/* The access is answered (axvcpu_access(v)): ACCESS is a further exit of the same instruction. */
AXVCPU_API enum axvcpu_x86_mmio_step axvcpu_x86_mmio_commit(struct axvcpu_x86_mmio *, struct axvcpu_x86_regs *,
                                                            const struct axvcpu_x86_space *,
                                                            const struct axvcpu_answer *, struct axvcpu_exit *x);

/* >>decode exits: why the guest left, whoever made the CPU. The vendors' codes and fields become one record
   here, and all that follows knows only that. */
#define AXVCPU_X86_CAUSES(X)                                                                               \
    X(RAW)         /* none of these */                                                                     \
    X(INTERRUPT)   /* a host interrupt: vector, or AXVCPU_NO_VECTOR if it is still pending */              \
    X(HOST_NMI)                                                                                            \
    X(EXCEPTION)   /* event: of the guest, and intercepted; linear is #PF's address or DR6's bits */       \
    X(WINDOW)      /* the guest can take an interrupt */                                                   \
    X(NMI_WINDOW)  /* ... an NMI; also after IRET on SVM */                                                \
    X(INIT)                                                                                                \
    X(STARTUP)     /* vector */                                                                            \
    X(SHUTDOWN)    /* triple fault */                                                                      \
    X(INVALID)     /* the entry failed: fail */                                                            \
    X(TIMER)       /* the time slice is over */                                                            \
    X(STEP)        /* one instruction was executed: monitor trap flag */                                   \
    X(PAUSE)                                                                                               \
    X(CPUID)                                                                                               \
    X(HLT)                                                                                                 \
    X(HYPERCALL)                                                                                           \
    X(IO)          /* io */                                                                                \
    X(RDMSR)                                                                                               \
    X(WRMSR)                                                                                               \
    X(CR)          /* cr */                                                                                \
    X(DR)          /* cr */                                                                                \
    X(XSETBV)                                                                                              \
    X(MEMORY)      /* no second-stage mapping: gpa, access, linear */                                      \
    X(MISCONFIG)   /* a second-stage entry is malformed: gpa */                                            \
    X(UNDEFINED)   /* an instruction that this guest does not have: #UD */                                 \
    X(CACHE)       /* INVD, WBINVD */                                                                      \
    X(INVLPG)      /* linear */                                                                            \
    X(RDTSC)                                                                                               \
    X(RDTSCP)                                                                                              \
    X(RDPMC)                                                                                               \
    X(MONITOR)                                                                                             \
    X(MWAIT)                                                                                               \
    X(TABLES)      /* LGDT and the like */                                                                 \
    X(TASK)        /* a task switch */                                                                     \
    X(EOI)         /* vector */                                                                            \
    X(SMI)
#define AXVCPU_I_ENUM_CAUSE(name) AXVCPU_X86_CAUSE_##name,
enum axvcpu_x86_cause { AXVCPU_X86_CAUSES(AXVCPU_I_ENUM_CAUSE) AXVCPU_X86_CAUSE_COUNT };

/* An event on its way through the guest's IDT: what interrupted the exit, or what is to be injected. `info`
   is as the hardware has it, the same in VMX (SDM 3, 25.8.3) and SVM (APM 2, 15.20). */
struct axvcpu_x86_event {
    uint32_t info, error;
    uint32_t length; /* of the instruction that causes it; VMX wants it for software events */
};
#define AXVCPU_X86_EVENT_VECTOR 0xffu
#define AXVCPU_X86_EVENT_TYPE(info) ((uint32_t)(info) >> 8 & 7u)
#define AXVCPU_X86_EVENT_ERROR 0x800u
#define AXVCPU_X86_EVENT_VALID 0x80000000u
enum axvcpu_x86_event_type {
    AXVCPU_X86_EVENT_INTERRUPT, AXVCPU_X86_EVENT_RESERVED, AXVCPU_X86_EVENT_NMI, AXVCPU_X86_EVENT_EXCEPTION,
    AXVCPU_X86_EVENT_SOFTWARE,   /* INT n */
    AXVCPU_X86_EVENT_PRIVILEGED, /* INT1; VMX only, as the next */
    AXVCPU_X86_EVENT_TRAP        /* INT3, INTO */
};
#define AXVCPU_X86_EVENT(type, vector) \
    (AXVCPU_X86_EVENT_VALID | (uint32_t)AXVCPU_X86_EVENT_##type << 8 | (uint32_t)(vector))

/* left.cr.op */
enum axvcpu_x86_cr_op {
    AXVCPU_X86_CR_TO, AXVCPU_X86_CR_FROM, /* MOV; also of debug registers */
    AXVCPU_X86_CR_CLTS, AXVCPU_X86_CR_LMSW, AXVCPU_X86_CR_SMSW
};
struct axvcpu_x86_cr {
    uint8_t nr, reg, op;
    bool memory;     /* the operand of LMSW or SMSW is there */
    uint16_t source; /* LMSW's operand, if it was in memory or is `sourced`: else it is in `reg` */
    bool sourced;
};

#define AXVCPU_X86_IO_IN 0x1u
#define AXVCPU_X86_IO_STRING 0x2u
#define AXVCPU_X86_IO_REP 0x4u
struct axvcpu_x86_io { uint16_t port; uint8_t width, flags, address_width, segment; };

/* fail.reason of FAIL_ENTRY */
enum axvcpu_x86_fail {
    AXVCPU_X86_FAIL_CONTROL = 1, /* VMX: by VMfail; the VM-instruction error is in bits 8 up */
    AXVCPU_X86_FAIL_STATE,       /* guest state; SVM: any */
    AXVCPU_X86_FAIL_MSRS,        /* the MSR-load area */
    AXVCPU_X86_FAIL_MACHINE_CHECK,
    AXVCPU_X86_FAIL_BUSY         /* SVM: VMEXIT_BUSY */
};

struct axvcpu_x86_left {
    uint64_t raw;
    uint64_t gpa, linear;
    uint32_t cause;      /* enum axvcpu_x86_cause */
    uint32_t length;     /* of the instruction; 0: the exit is not for one, or after it */
    uint32_t access;     /* AXVCPU_ACCESS_* */
    uint32_t vector;
    uint32_t fail;       /* enum axvcpu_x86_fail */
    bool has_linear;
    bool unblock;        /* VMX: IRET had ended the blocking of NMIs: set it again (SDM 3, 28.2.3) */
    struct axvcpu_x86_cr cr;
    struct axvcpu_x86_io io;
    struct axvcpu_x86_event event;   /* of EXCEPTION */
    struct axvcpu_x86_event under_way; /* whose delivery this exit interrupted; info 0: none */
};

/* The VMCB's fields. `bytes`: the instruction's, from the VMCB or fetched; size 0: not yet. */
struct axvcpu_x86_svm_raw {
    uint64_t code, info1, info2, int_info, rip, next_rip;
    const uint8_t *bytes;
    uint32_t size, bits;
    bool nrip, assists; /* CPUID 8000_000A EDX bits 3 and 7 */
};
/* False: it needs the instruction's bytes; fetch them (axvcpu_x86_fetch), call again. */
AXVCPU_API bool axvcpu_x86_svm_left(const struct axvcpu_x86_svm_raw *, struct axvcpu_x86_left *);

/* The VMCS's fields, those that axvcpu_x86_vmx_needs names for the reason; the others are not looked at. */
struct axvcpu_x86_vmx_raw {
    uint64_t reason, qualification, gpa, linear;
    uint32_t length, info;         /* of the instruction */
    uint32_t int_info, int_error;  /* VM-exit interruption */
    uint32_t idt_info, idt_error;  /* IDT vectoring */
};
#define AXVCPU_X86_NEEDS_QUALIFICATION 0x01u
#define AXVCPU_X86_NEEDS_LENGTH 0x02u
#define AXVCPU_X86_NEEDS_INFO 0x04u
#define AXVCPU_X86_NEEDS_GPA 0x08u
#define AXVCPU_X86_NEEDS_LINEAR 0x10u
#define AXVCPU_X86_NEEDS_INTERRUPTION 0x20u
#define AXVCPU_X86_NEEDS_IDT 0x40u /* ... and the length too, if that has a software event */
AXVCPU_API uint32_t axvcpu_x86_vmx_needs(uint64_t reason);
AXVCPU_API void axvcpu_x86_vmx_left(const struct axvcpu_x86_vmx_raw *, struct axvcpu_x86_left *);

/* >>decode rules: what a guest may write into its system registers, once for all vendors. Functions that take
   a guest's value return 0, or the vector of the fault that it gets (error code 0), or one of these: */
#define AXVCPU_X86_ASK 0x100      /* not ours: a SYSREG exit; who refuses it gives #GP */
#define AXVCPU_X86_HARDWARE 0x101 /* a good value, for a register that the hardware or the world switch has */

/* MSRs that are numbers in memory. */
#define AXVCPU_X86_MSR_SHADOWS(X)                                                                          \
    X(APIC_BASE) X(MISC_ENABLE) X(TSC_AUX) X(MCG_STATUS) X(MTRR_DEFAULT) X(HWCR)                           \
    X(VARIABLE) /* 8 pairs */
#define AXVCPU_I_ENUM_MSR_SHADOW(name) AXVCPU_X86_SHADOW_##name,
enum axvcpu_x86_msr_shadow {
    AXVCPU_X86_MSR_SHADOWS(AXVCPU_I_ENUM_MSR_SHADOW)
    AXVCPU_X86_SHADOW_FIXED = AXVCPU_X86_SHADOW_VARIABLE + 16, /* 11 of them */
    AXVCPU_X86_SHADOWS = AXVCPU_X86_SHADOW_FIXED + 11
};

/* A guest's system registers as the guest sees them, and what its CPUID lets it use. */
struct axvcpu_x86_control {
    uint64_t cr0, cr3, cr4, cr8, efer, xcr0;
    uint64_t cr4_valid, efer_valid, xcr0_valid, physical_mask;
    uint64_t shadow[AXVCPU_X86_SHADOWS];
    uint32_t xsave_end[10]; /* where the parts of an XSAVE area end */
    uint32_t cs_access, cpl;
};

/* After reset (SDM 3, table 9-1); the rest stays. */
AXVCPU_API void axvcpu_x86_control_reset(struct axvcpu_x86_control *, bool bsp);
/* The _valid ones and xsave_end: `cpuid` answers as the guest's CPUID does. */
AXVCPU_API void axvcpu_x86_control_valid(struct axvcpu_x86_control *,
                                         void (*cpuid)(void *arg, uint32_t leaf, uint32_t subleaf, uint32_t reg[4]),
                                         void *arg);
/* What the bare-metal guest's CPUID shows of the host's answer `reg`: known features that need no more than
   we switch, and what follows from CR4 and XCR0. axvcpu_x86_cpuid_sane makes the topology. */
AXVCPU_API void axvcpu_x86_cpuid_mask(const struct axvcpu_x86_control *, uint32_t leaf, uint32_t subleaf,
                                      uint32_t reg[4]);
/* What of `valid` XSAVE can keep in an area of `limit` bytes, and is known; the rest a guest is not shown. AMX is
   not known. */
AXVCPU_API uint64_t axvcpu_x86_xcr0_within(const struct axvcpu_x86_control *, uint32_t limit);

/* CR0, CR3, CR4, CR8. CR0 and CR4 change EFER.LMA and paging: where axvcpu_x86_needs_pdptes says so,
   the four PDPTEs at CR3 are to be checked (and, on VMX, loaded) first. */
AXVCPU_API int axvcpu_x86_write_cr(struct axvcpu_x86_control *, uint32_t nr, uint64_t value);
AXVCPU_API bool axvcpu_x86_needs_pdptes(const struct axvcpu_x86_control *, uint32_t nr, uint64_t value);
AXVCPU_API bool axvcpu_x86_pdptes_valid(const uint64_t pdptes[4], uint64_t physical_mask);
AXVCPU_API int axvcpu_x86_write_efer(struct axvcpu_x86_control *, uint64_t value);
AXVCPU_API int axvcpu_x86_write_xcr(struct axvcpu_x86_control *, uint32_t nr, uint64_t value);
/* Any instruction on CR0, CR3, CR4 and CR8. */
AXVCPU_API int axvcpu_x86_do_cr(struct axvcpu_x86_control *, struct axvcpu_x86_regs *, const struct axvcpu_x86_cr *,
                             uint32_t bits);
/* A debug register's number (4 and 5 are 6 and 7 without CR4.DE) and value: for DR0-3, 6, 7. */
AXVCPU_API int axvcpu_x86_do_dr(const struct axvcpu_x86_control *, uint32_t *nr, uint64_t dr7, bool write,
                                uint64_t *value);

/* How an MSR is served. */
enum axvcpu_x86_msr_how {
    AXVCPU_X86_MSR_SHADOW,  /* a number in control.shadow */
    AXVCPU_X86_MSR_CONST,   /* reads as `value`; writes are dropped */
    AXVCPU_X86_MSR_READ,    /* reads as `value`; writes are #GP */
    AXVCPU_X86_MSR_DENY,    /* #GP, though it exists */
    AXVCPU_X86_MSR_OWN,     /* EFER */
    AXVCPU_X86_MSR_PASS,    /* switched with the guest, who has it without exits */
    AXVCPU_X86_MSR_BACKEND  /* HARDWARE, but by an exit: time-stamp counter */
};
/* What a good value is, besides having no bits outside `value`. */
enum axvcpu_x86_msr_rule {
    AXVCPU_X86_MSR_BITS,
    AXVCPU_X86_MSR_CANONICAL,
    AXVCPU_X86_MSR_TYPES,   /* every byte is a memory type (SDM 3, 12.12.2) */
    AXVCPU_X86_MSR_MTRRS,   /* the same without UC- */
    AXVCPU_X86_MSR_MTRR,    /* the lowest byte is a memory type; physical address above */
    AXVCPU_X86_MSR_PHYSICAL
};
struct axvcpu_x86_msr {
    uint32_t first, last;
    uint8_t how, rule, shadow;
    uint64_t value; /* valid bits, or what it reads as */
};
AXVCPU_API const struct axvcpu_x86_msr *axvcpu_x86_msr_find(uint32_t msr); /* NULL: ASK */
AXVCPU_API int axvcpu_x86_read_msr(const struct axvcpu_x86_control *, uint32_t msr, uint64_t *value);
AXVCPU_API int axvcpu_x86_write_msr(struct axvcpu_x86_control *, uint32_t msr, uint64_t value);

/* Bitmaps, whose ones are exits. Everything exits at first but the table's PASS. */
#define AXVCPU_X86_MSR_MAP_VMX 0x1000u
#define AXVCPU_X86_MSR_MAP_SVM 0x2000u
#define AXVCPU_X86_IO_MAP 0x3000u /* SVM's; VMX has its first page as A and its second as B */
AXVCPU_API void axvcpu_x86_msr_map(uint8_t *map, bool svm);
/* False: the map has no bit for it, it always exits. */
AXVCPU_API bool axvcpu_x86_msr_map_set(uint8_t *map, bool svm, uint32_t msr, bool read_exits, bool write_exits);
AXVCPU_API bool axvcpu_x86_msr_map_exits(const uint8_t *map, bool svm, uint32_t msr, bool write);
AXVCPU_API void axvcpu_x86_io_map(uint8_t *map);
AXVCPU_API void axvcpu_x86_io_map_set(uint8_t *map, uint32_t port, uint32_t count, bool exits);
AXVCPU_API bool axvcpu_x86_io_map_exits(const uint8_t *map, uint32_t port, uint32_t width);

/* >>decode events: which one the next entry injects, and which windows it asks for. */
struct axvcpu_x86_events {
    struct axvcpu_x86_event again;     /* its delivery was interrupted by an exit; info 0: none */
    struct axvcpu_x86_event exception; /* the guest is to have it */
    bool nmi;                          /* one is pending */
    int32_t vector;                    /* the highest pending interrupt, or -1 */
    bool more;                         /* interrupts behind that one */
    uint64_t rflags;
    uint32_t tpr;                      /* CR8; 0 holds nothing back */
    bool shadow;                       /* of STI, MOV SS or POP SS */
    bool nmi_blocked;                  /* until IRET */
};
enum axvcpu_x86_taken {
    AXVCPU_X86_TOOK_NOTHING, AXVCPU_X86_TOOK_AGAIN, AXVCPU_X86_TOOK_EXCEPTION, AXVCPU_X86_TOOK_NMI,
    AXVCPU_X86_TOOK_INTERRUPT,
    AXVCPU_X86_TOOK_SHUTDOWN /* the exception was the third fault */
};
struct axvcpu_x86_decision {
    struct axvcpu_x86_event inject; /* info 0: nothing */
    uint32_t taken;                 /* enum axvcpu_x86_taken */
    struct axvcpu_x86_event put_back; /* an interrupt or NMI under way that an exception goes before */
    bool window, nmi_window;
};
AXVCPU_API void axvcpu_x86_decide(const struct axvcpu_x86_events *, struct axvcpu_x86_decision *);
/* The lowest vector that CR8 lets through (SDM 3, 11.8.3.1); 256: none. CR8 0 holds nothing back. */
AXVCPU_API uint32_t axvcpu_x86_lowest(uint64_t cr8);
/* What is left of an event whose delivery an exit interrupted. On SVM the PC is still on the instruction of a
   software event, which will execute again (APM 2, 15.20); VMX gives it again. */
AXVCPU_API struct axvcpu_x86_event axvcpu_x86_again(const struct axvcpu_x86_left *, bool svm);
/* An exception during the delivery of another (SDM 3, table 6-5): the second, a double fault, or info 0 for
   shutdown. */
AXVCPU_API struct axvcpu_x86_event axvcpu_x86_combine(struct axvcpu_x86_event first, struct axvcpu_x86_event second);
AXVCPU_API struct axvcpu_x86_event axvcpu_x86_exception(uint32_t vector, uint32_t error);

/* What VMX's preemption timer counts in `ticks` of the time-stamp counter: one whenever bit `rate` of that changes
   (SDM 3, 26.5.1). Rounded up, and one more, because the first may come at once; 0: it cannot count so far. */
AXVCPU_API uint32_t axvcpu_x86_timer_counts(uint64_t ticks, uint32_t rate);

/* >>decode entry failures: which rule of the manual a guest's state breaks. The state is gathered by tables:
   a VMREAD for each field (axvcpu_x86_vmcs_field), or the VMCB as it is. */

/* VMCS fields that the rules look at: SDM 3, appendix B. */
#define AXVCPU_X86_VMCS(X)                                                                                 \
    X(VPID, 0x0000) X(POSTED_VECTOR, 0x0002)                                                               \
    X(GUEST_ES, 0x0800) X(GUEST_CS, 0x0802) X(GUEST_SS, 0x0804) X(GUEST_DS, 0x0806) X(GUEST_FS, 0x0808)     \
    X(GUEST_GS, 0x080a) X(GUEST_LDTR, 0x080c) X(GUEST_TR, 0x080e)                                          \
    X(HOST_ES, 0x0c00) X(HOST_CS, 0x0c02) X(HOST_SS, 0x0c04) X(HOST_DS, 0x0c06) X(HOST_FS, 0x0c08)          \
    X(HOST_GS, 0x0c0a) X(HOST_TR, 0x0c0c)                                                                  \
    X(IO_BITMAP_A, 0x2000) X(IO_BITMAP_B, 0x2002) X(MSR_BITMAP, 0x2004) X(EXIT_MSR_STORE, 0x2006)           \
    X(EXIT_MSR_LOAD, 0x2008) X(ENTRY_MSR_LOAD, 0x200a) X(PML_ADDRESS, 0x200e) X(VIRTUAL_APIC, 0x2012)       \
    X(APIC_ACCESS, 0x2014) X(POSTED_DESCRIPTOR, 0x2016) X(EPTP, 0x201a)                                    \
    X(LINK_POINTER, 0x2800) X(GUEST_DEBUGCTL, 0x2802) X(GUEST_PAT, 0x2804) X(GUEST_EFER, 0x2806)            \
    X(GUEST_PDPTE0, 0x280a) X(GUEST_PDPTE1, 0x280c) X(GUEST_PDPTE2, 0x280e) X(GUEST_PDPTE3, 0x2810)         \
    X(HOST_PAT, 0x2c00) X(HOST_EFER, 0x2c02)                                                               \
    X(PIN_CONTROLS, 0x4000) X(PRIMARY_CONTROLS, 0x4002) X(CR3_TARGETS, 0x400a) X(EXIT_CONTROLS, 0x400c)     \
    X(EXIT_MSR_STORES, 0x400e) X(EXIT_MSR_LOADS, 0x4010) X(ENTRY_CONTROLS, 0x4012)                          \
    X(ENTRY_MSR_LOADS, 0x4014) X(ENTRY_EVENT, 0x4016) X(ENTRY_ERROR, 0x4018) X(ENTRY_LENGTH, 0x401a)        \
    X(TPR_THRESHOLD, 0x401c) X(SECONDARY_CONTROLS, 0x401e)                                                 \
    X(GUEST_ES_LIMIT, 0x4800) X(GUEST_CS_LIMIT, 0x4802) X(GUEST_SS_LIMIT, 0x4804) X(GUEST_DS_LIMIT, 0x4806) \
    X(GUEST_FS_LIMIT, 0x4808) X(GUEST_GS_LIMIT, 0x480a) X(GUEST_LDTR_LIMIT, 0x480c)                         \
    X(GUEST_TR_LIMIT, 0x480e) X(GUEST_GDTR_LIMIT, 0x4810) X(GUEST_IDTR_LIMIT, 0x4812)                       \
    X(GUEST_ES_ACCESS, 0x4814) X(GUEST_CS_ACCESS, 0x4816) X(GUEST_SS_ACCESS, 0x4818)                        \
    X(GUEST_DS_ACCESS, 0x481a) X(GUEST_FS_ACCESS, 0x481c) X(GUEST_GS_ACCESS, 0x481e)                        \
    X(GUEST_LDTR_ACCESS, 0x4820) X(GUEST_TR_ACCESS, 0x4822) X(GUEST_INTERRUPTIBILITY, 0x4824)               \
    X(GUEST_ACTIVITY, 0x4826)                                                                              \
    X(GUEST_CR0, 0x6800) X(GUEST_CR3, 0x6802) X(GUEST_CR4, 0x6804)                                         \
    X(GUEST_ES_BASE, 0x6806) X(GUEST_CS_BASE, 0x6808) X(GUEST_SS_BASE, 0x680a) X(GUEST_DS_BASE, 0x680c)     \
    X(GUEST_FS_BASE, 0x680e) X(GUEST_GS_BASE, 0x6810) X(GUEST_LDTR_BASE, 0x6812) X(GUEST_TR_BASE, 0x6814)   \
    X(GUEST_GDTR_BASE, 0x6816) X(GUEST_IDTR_BASE, 0x6818) X(GUEST_DR7, 0x681a) X(GUEST_RIP, 0x681e)         \
    X(GUEST_RFLAGS, 0x6820) X(GUEST_PENDING_DEBUG, 0x6822) X(GUEST_SYSENTER_ESP, 0x6824)                    \
    X(GUEST_SYSENTER_EIP, 0x6826)                                                                          \
    X(HOST_CR0, 0x6c00) X(HOST_CR3, 0x6c02) X(HOST_CR4, 0x6c04) X(HOST_FS_BASE, 0x6c06)                     \
    X(HOST_GS_BASE, 0x6c08) X(HOST_TR_BASE, 0x6c0a) X(HOST_GDTR_BASE, 0x6c0c) X(HOST_IDTR_BASE, 0x6c0e)     \
    X(HOST_SYSENTER_ESP, 0x6c10) X(HOST_SYSENTER_EIP, 0x6c12) X(HOST_RIP, 0x6c16)
#define AXVCPU_I_ENUM_VMCS(name, encoding) AXVCPU_X86_VMCS_##name,
enum axvcpu_x86_vmcs { AXVCPU_X86_VMCS(AXVCPU_I_ENUM_VMCS) AXVCPU_X86_VMCS_COUNT };
AXVCPU_API uint32_t axvcpu_x86_vmcs_field(uint32_t index); /* its encoding */

struct axvcpu_x86_vmx_state {
    uint64_t field[AXVCPU_X86_VMCS_COUNT]; /* one that this CPU does not have is 0 */
    /* What the CPU allows: IA32_VMX_{TRUE_,}{PINBASED,PROCBASED,EXIT,ENTRY}_CTLS and _PROCBASED_CTLS2 (SDM 3,
       appendix A.3 to A.5), IA32_VMX_CR0_FIXED0 to CR4_FIXED1, IA32_VMX_MISC, IA32_VMX_EPT_VPID_CAP. */
    uint64_t pin, primary, secondary, exit, entry;
    uint64_t cr0_fixed0, cr0_fixed1, cr4_fixed0, cr4_fixed1, misc, ept;
    uint64_t physical_mask;
    uint64_t efer_valid; /* EFER's known bits */
};

/* VMCB fields that the rules look at: offset and size (APM 2, appendix B). */
#define AXVCPU_X86_VMCB(X)                                                                                 \
    X(INTERCEPTS, 0x00c, 4) X(INTERCEPTS2, 0x010, 4) X(IOPM_BASE, 0x040, 8) X(MSRPM_BASE, 0x048, 8)         \
    X(ASID, 0x058, 4) X(NESTED, 0x090, 8) X(EVENTINJ, 0x0a8, 8) X(N_CR3, 0x0b0, 8)                          \
    X(CS_ATTRIB, 0x412, 2) X(CPL, 0x4cb, 1) X(EFER, 0x4d0, 8) X(CR4, 0x548, 8) X(CR3, 0x550, 8)             \
    X(CR0, 0x558, 8) X(DR7, 0x560, 8) X(DR6, 0x568, 8) X(RFLAGS, 0x570, 8) X(RIP, 0x578, 8)                 \
    X(S_CET, 0x5e0, 8) X(G_PAT, 0x668, 8)
#define AXVCPU_I_ENUM_VMCB(name, offset, size) AXVCPU_X86_VMCB_##name,
enum axvcpu_x86_vmcb { AXVCPU_X86_VMCB(AXVCPU_I_ENUM_VMCB) AXVCPU_X86_VMCB_COUNT };

struct axvcpu_x86_svm_state {
    uint64_t field[AXVCPU_X86_VMCB_COUNT];
    uint64_t physical_mask, cr4_valid, efer_valid; /* what the CPU has: SVME among the latter */
    uint32_t asids;                                /* CPUID 8000_000A EBX */
};
AXVCPU_API void axvcpu_x86_vmcb_read(const void *vmcb, struct axvcpu_x86_svm_state *); /* `field` */

struct axvcpu_x86_broken { const char *field, *rule; }; /* the manual's section, and what must be */
/* How many rules are broken; the first `max` of them are in `out`. */
AXVCPU_API uint32_t axvcpu_x86_vmx_explain(const struct axvcpu_x86_vmx_state *, struct axvcpu_x86_broken *out,
                                           uint32_t max);
AXVCPU_API uint32_t axvcpu_x86_svm_explain(const struct axvcpu_x86_svm_state *, struct axvcpu_x86_broken *out,
                                           uint32_t max);
/* One line for each, or "no rule broken"; the length, as snprintf. */
AXVCPU_API size_t axvcpu_x86_explain_print(char *text, size_t size, const struct axvcpu_x86_broken *, uint32_t count);

#if AXVCPU_I_ARCH == AXVCPU_I_ARCH_X86

/* ---------------------------------------------------------------------------------------------------- */
/* >>leaves                                                                                             */
/* ---------------------------------------------------------------------------------------------------- */

#ifdef AXVCPU_KVM
#define AXVCPU_LEAF_NAME "x86-64 KVM"
#define AXVCPU_LEAF_RUN_COMMITS 1
#else
#define AXVCPU_LEAF_NAME "x86-64"
#endif
#define AXVCPU_LEAF_GPRS AXVCPU_X86_GPRS
#define AXVCPU_LEAF_RETURN_GPR AXVCPU_X86_RAX
#define AXVCPU_LEAF_VECTORS 256
#define AXVCPU_LEAF_VECTOR_OK(n) true
#define AXVM_LEAF_UP_OK 0
#define AXVM_LEAF_UP_ALREADY 0
#define AXVM_LEAF_UP_INVALID 0
#define AXVM_LEAF_UP_ANSWERS false /* a start-up IPI has no answer */
#define AXVM_LEAF_PAGE 4096u
#ifdef AXVCPU_KVM
#define AXVM_LEAF_STARTS_CPUS(vm) ((vm)->arch.kvm.irqchip) /* its local APICs do */
#endif

/* How a vCPU starts. */
enum axvcpu_x86_mode {
    AXVCPU_X86_REAL,      /* 16-bit: below 64 KiB in segment 0 */
    AXVCPU_X86_PROTECTED, /* 32-bit flat, no paging */
    AXVCPU_X86_LONG       /* 64-bit flat, paging on */
};

/* Long mode's tables, if you bring none: identity-mapped first 4 GiB in 2 MiB pages, everything allowed, and
   a GDT with selectors 8 (64-bit code), 16 (data) and 24 (32-bit code). */
#define AXVCPU_X86_TABLES_SIZE 0x7000u

struct axvcpu_arch_setup {
    uint32_t mode;       /* enum axvcpu_x86_mode */
    uint64_t stack;      /* RSP */
    uint64_t cr3;        /* long mode: your page tables; 0: the library writes some at `tables` */
    axvcpu_gpa_t tables; /* guest memory, AXVCPU_X86_TABLES_SIZE bytes at a page (needs an axvm) */
    /* Bare metal: when TIMER comes; 0: never. A CPU has one of the two: of what you ask for it does what it can,
       and if that is nothing, setup is ENOSUPPORT.
       slice   ticks of the time-stamp counter in the guest since bind, load or the last TIMER; exits do not end
               a slice, and the host's time is not counted. VMX.
       pauses  PAUSEs since the last entry, at most 65535, and pause_gap cycles between two of them at most (0: any
               number of cycles). It ends busy waiting, and nothing else: a guest that computes goes on, and one
               that exits for something else in between begins anew. SVM. For more than that there is the host's
               own timer, whose interrupt ends a run on every CPU (EXTERNAL_INTERRUPT). */
    uint64_t slice;
    uint32_t pauses, pause_gap;
};

/* A range of MSRs. */
struct axvcpu_x86_msrs { uint32_t first, count; };

#ifndef AXVCPU_KVM

/* What a vCPU keeps beside its general registers: where it is in a VMCB (APM 2, appendix B) and in a VMCS
   (SDM 3, appendix B). Under VMX some are the processor's own registers, the guest's as long as it is
   loaded. Segments come before them: 4 * enum axvcpu_x86_segment + enum axvcpu_x86_part. */
#define AXVCPU_I_X86_IN_CPU 0u
#define AXVCPU_X86_FIELDS(X)                                                                               \
    X(RIP, 0x578, 0x681e) X(RSP, 0x5d8, 0x681c) X(RFLAGS, 0x570, 0x6820) X(CR0, 0x558, 0x6800)             \
    X(CR2, 0x640, AXVCPU_I_X86_IN_CPU) X(CR3, 0x550, 0x6802) X(CR4, 0x548, 0x6804) X(EFER, 0x4d0, 0x2806)  \
    X(DR6, 0x568, AXVCPU_I_X86_IN_CPU) X(DR7, 0x560, 0x681a) X(PAT, 0x668, 0x2804)                         \
    X(SYSENTER_CS, 0x628, 0x482a) X(SYSENTER_ESP, 0x630, 0x6824) X(SYSENTER_EIP, 0x638, 0x6826)            \
    X(STAR, 0x600, AXVCPU_I_X86_IN_CPU) X(LSTAR, 0x608, AXVCPU_I_X86_IN_CPU)                               \
    X(CSTAR, 0x610, AXVCPU_I_X86_IN_CPU) X(SFMASK, 0x618, AXVCPU_I_X86_IN_CPU)                             \
    X(KERNEL_GS_BASE, 0x620, AXVCPU_I_X86_IN_CPU) X(SHADOW, 0x068, 0x4824)
#define AXVCPU_I_X86_ENUM_FIELD(name, vmcb, vmcs) AXVCPU_I_X86_F_##name,
enum axvcpu_i_x86_field {
    AXVCPU_I_X86_F_SEGMENTS_END = 4 * AXVCPU_X86_SEGMENTS - 1,
    AXVCPU_X86_FIELDS(AXVCPU_I_X86_ENUM_FIELD)
    AXVCPU_I_X86_FIELDS
};

struct axvcpu_arch_create {
    const struct axvcpu_x86_cpuid *cpuid; /* the whole answer, instead of the VM's or the host's */
    uint32_t cpuid_count;
};

struct axvm_arch_desc {
    bool own_apic; /* your devices do the local APIC: its ICR makes no SEND_IPI and CPU_UP exits */
    const struct axvcpu_x86_cpuid *cpuid; /* of all vCPUs; NULL: the host's, made sane */
    uint32_t cpuid_count;
};

struct axvm_arch {
    axvcpu_hpa_t root; /* of the EPT or NPT */
    uint32_t logs;     /* mappings with LOG_DIRTY */
    const struct axvcpu_x86_cpuid *cpuid;
    uint32_t cpuid_count;
    bool own_apic;
};

/* Offsets that the world switch knows are asserted beside it. */
struct axvcpu_arch {
    struct axvcpu_x86_regs regs; /* RSP, RIP and RFLAGS as far as `valid` says */
    uint64_t hw_pa;              /* the VMCB or VMCS */
    char *hw;
    uint64_t host_pa;            /* SVM: where VMSAVE leaves the host's */
    uint64_t host_rsp, host_rip; /* VMX: what the VMCS has */
    uint64_t host_rbp;
    uint32_t launched;
    uint32_t vendor;             /* enum axvcpu_i_x86_vendors */
    uint32_t nrip_at, nrip_add;  /* SVM: where the next RIP is found behind a VMMCALL, and what is added to that */
    uint32_t inside;             /* entering, in the guest, or at its memory: who changes tables waits for it */
    uint64_t remote;             /* ... and wants this done first: AXVCPU_I_X86_DO_TLB */
    uint64_t valid, dirty;       /* fields by number: same as the hardware's; to be written. AXVCPU_I_X86_DO_* */
    uint64_t field[AXVCPU_I_X86_FIELDS];
    struct axvcpu_x86_event event; /* to be injected with the next entry; info 0: none */
    struct axvcpu_x86_control control; /* what rules need; CRs and EFER only while one is applied */
    uint64_t root, tsc_offset;
    uint64_t dr[4];              /* debug registers; the host's while the guest has them */
    uint64_t host_msrs[5];       /* VMX: the host's of the fields that are in the CPU */
    uint64_t cr0_shadow;         /* VMX: what the guest reads of bits that are not its own */
    char *fpu;                   /* XSAVE's area */
    uint32_t cpu;                /* CPU_ID + 1 of the CPU that has it loaded; 0: none */
    uint32_t asid, asid_cpu, asid_round;
    uint32_t icr_high;
    bool fpu_loaded, nmi_masked, nmi_step, ready, prepared;
    bool dr_loaded;
    bool ts;                     /* CR0.TS as the guest has it, while the FPU is not its own */
    uint32_t opens;              /* the lowest vector that ends the last HALT; 256: none does */
    bool timed;                  /* VMX: the preemption timer is on */
    uint8_t window;              /* AXVCPU_I_X86_WINDOW_* that are asked for */
    /* an access between its exit and its commit */
    struct axvcpu_x86_mmio mmio;
    struct axvcpu_x86_io io;
    uint64_t string[2];          /* guest addresses of a string's elements: the first, and where the next page goes on */
    uint32_t step;               /* the instruction's length */
    uint8_t buf[64];
    axvcpu_gpa_t entry;
    struct axvcpu_arch_setup setup;
    const struct axvcpu_x86_cpuid *cpuid;
    uint32_t cpuid_count;
};

struct axvcpu_arch_percpu {
    uint64_t cr0, cr4, efer; /* the host's, before */
    axvcpu_hpa_t area;       /* SVM: host save area and VMSAVE's; VMX: VMXON region */
    uint32_t levels, asids;
};

enum axvcpu_i_x86_vendors { AXVCPU_I_X86_VENDOR_SVM, AXVCPU_I_X86_VENDOR_VMX };

AXVCPU_LEAF_DECLARE(AXVCPU_API, AXVCPU_I_INLINE)

/* The pages of a mapping with AXVM_MAP_LOG_DIRTY that have been written since the last time: bit n of `bitmap`
   is page n from gpa on. The mapping must have all of gpa..gpa+size. To SVM a walk of the guest's own tables is
   a write to each (APM 2, 15.25.6). */
AXVCPU_API int axvm_x86_dirty(struct axvm *, axvcpu_gpa_t, uint64_t size, uint64_t *bitmap);

/* Where the inline halves go when it is not the usual case. */
AXVCPU_API void axvcpu_i_x86_flush(struct axvcpu_arch *);
AXVCPU_API int axvcpu_i_x86_slowly(struct axvcpu *, struct axvcpu_exit *, uint64_t raw);
AXVCPU_API int axvcpu_i_x86_load(struct axvcpu *);
AXVCPU_API void axvcpu_i_x86_save(struct axvcpu *);
AXVCPU_API int axvcpu_i_x86_commit(struct axvcpu *, struct axvcpu_exit *);
AXVCPU_API enum axvm_answer axvcpu_i_x86_answer_exit(struct axvm *, struct axvcpu *, struct axvcpu_exit *);

/* ---------------------------------------------------------------------------------------------------- */
/* >>switch                                                                                             */
/* ---------------------------------------------------------------------------------------------------- */

/* What the switch leaves in registers of what the guest had there. */
struct axvcpu_i_x86_left {
    uint64_t rbx, rcx, rdx, rsi, rdi;
    uint64_t reason; /* VMX */
    char *hw;        /* SVM */
};

/* Into the guest and back. No symbol: the way out is behind VMRUN, or a label within. The host's registers
   that a compiler saves around a call are clobbers, so that it saves those that it uses; RBP, which may be its
   frame, is kept with the vCPU. The pointer to that is on the stack meanwhile, below what may be a red zone.

   The saved-register table:
     at every exit    general registers; SVM: all that VMRUN and VMLOAD switch; VMX: all that is in the VMCS, and
                      CR2. What of that the host rarely changes it gets back as it was when the vCPU was loaded:
                      FS, GS and their bases, TR, LDTR, SYSENTER's; VMX: CR3, CR4, GDTR, IDTR, PAT, EFER, too;
                      SVM: STAR, LSTAR, CSTAR, SFMASK, KERNEL_GS_BASE
     at bind, unbind  CR2, DR6, DR7; XCR0, PKRU; VMX: STAR, LSTAR, CSTAR, SFMASK, KERNEL_GS_BASE; DEBUGCTL, limits of
                      the table registers, LDTR, RPLs of the data segments
     on demand        FPU, SSE, AVX ...; debug registers 0-3: when the guest, or its DR7, has a use for them
   So the host gets all back at unbind and put; between exits it does without breakpoints of its own, and keys. */
#define AXVCPU_I_X86_AT(field) [field] "i"(offsetof(struct axvcpu_arch, field))
/* All but RAX and RSP; the last one is the pointer itself. */
#define AXVCPU_I_X86_LOAD                                                                                  \
    "mov 8(%%rdi), %%rcx\n\tmov 16(%%rdi), %%rdx\n\tmov 24(%%rdi), %%rbx\n\tmov 40(%%rdi), %%rbp\n\t"      \
    "mov 48(%%rdi), %%rsi\n\tmov 64(%%rdi), %%r8\n\tmov 72(%%rdi), %%r9\n\tmov 80(%%rdi), %%r10\n\t"       \
    "mov 88(%%rdi), %%r11\n\tmov 96(%%rdi), %%r12\n\tmov 104(%%rdi), %%r13\n\tmov 112(%%rdi), %%r14\n\t"   \
    "mov 120(%%rdi), %%r15\n\tmov 56(%%rdi), %%rdi\n\t"
#define AXVCPU_I_X86_STORE                                                                                 \
    "mov %%rcx, 8(%%rax)\n\tmov %%rdx, 16(%%rax)\n\tmov %%rbx, 24(%%rax)\n\tmov %%rbp, 40(%%rax)\n\t"      \
    "mov %%rsi, 48(%%rax)\n\tmov %%rdi, 56(%%rax)\n\tmov %%r8, 64(%%rax)\n\tmov %%r9, 72(%%rax)\n\t"       \
    "mov %%r10, 80(%%rax)\n\tmov %%r11, 88(%%rax)\n\tmov %%r12, 96(%%rax)\n\tmov %%r13, 104(%%rax)\n\t"    \
    "mov %%r14, 112(%%rax)\n\tmov %%r15, 120(%%rax)\n\t"                                                   \
    "mov %c[host_rbp](%%rax), %%rbp\n\t"
#define AXVCPU_I_X86_OUT(left)                                                                             \
    "=b"((left)->rbx), "=c"((left)->rcx), "=d"((left)->rdx), "=S"((left)->rsi), "+D"((left)->rdi)
#define AXVCPU_I_X86_CLOBBERS "rax", "r10", "r11", "r12", "r13", "r14", "r15", "cc", "memory"

/* Interrupts are off by GIF from the host's last instruction to its first; IF must be on at VMRUN, for it is IF
   that decides whether a host interrupt ends the run (APM 2, 15.21.1). STI is early, for its shadow must be over:
   in Bochs it reaches into the guest. RAX is in the VMCB. */
AXVCPU_I_INLINE struct axvcpu_arch *axvcpu_i_x86_switch_svm(struct axvcpu_arch *arch, struct axvcpu_i_x86_left *left)
{
    register struct axvcpu_arch *a __asm__("r8");
    register char *hw __asm__("r9");

    left->rdi = (uint64_t)(uintptr_t)arch;
    __asm__ volatile("clgi\n\t"
                     "sti\n\t"
                     "mov %%rbp, %c[host_rbp](%%rdi)\n\t"
                     "lea -136(%%rsp), %%rsp\n\t"
                     "mov %%rdi, (%%rsp)\n\t"
                     "mov %c[hw](%%rdi), %%rdx\n\tmov (%%rdi), %%rcx\n\tmov %%rcx, 0x5f8(%%rdx)\n\t"
                     "mov %c[hw_pa](%%rdi), %%rax\n\tvmload %%rax\n\t"
                     AXVCPU_I_X86_LOAD
                     "vmrun %%rax\n\t"
                     "vmsave %%rax\n\t"
                     "cli\n\t"
                     "mov (%%rsp), %%rax\n\t"
                     "lea 136(%%rsp), %%rsp\n\t"
                     AXVCPU_I_X86_STORE
                     "mov %c[hw](%%rax), %%r9\n\tmov 0x5f8(%%r9), %%r8\n\tmov %%r8, (%%rax)\n\t"
                     "mov %%rax, %%r8\n\tmov %c[host_pa](%%rax), %%rax\n\tvmload %%rax\n\t"
                     "stgi\n\t"
                     : AXVCPU_I_X86_OUT(left), "=r"(a), "=r"(hw)
                     : AXVCPU_I_X86_AT(host_rbp), AXVCPU_I_X86_AT(hw), AXVCPU_I_X86_AT(hw_pa), AXVCPU_I_X86_AT(host_pa)
                     : AXVCPU_I_X86_CLOBBERS);
    left->hw = hw;
    return a;
}

/* What stands before each VMREAD, in assembly: nothing, or what a test counts them with. */
#ifndef AXVCPU_I_X86_BEFORE_VMREAD
#define AXVCPU_I_X86_BEFORE_VMREAD
#endif

/* HOST_RSP and HOST_RIP are written where they are not yet ours, the launch state is what the VMCS's was. A VM
   exit leaves RFLAGS clear, so IF is. Reason AXVCPU_I_X86_VMFAIL: the guest was not entered (SDM 3, 31.2). */
#define AXVCPU_I_X86_VMFAIL (UINT64_C(1) << 63)
AXVCPU_I_INLINE struct axvcpu_arch *axvcpu_i_x86_switch_vmx(struct axvcpu_arch *arch, struct axvcpu_i_x86_left *left)
{
    register uint64_t reason __asm__("r8");
    register struct axvcpu_arch *a __asm__("r9");

    left->rdi = (uint64_t)(uintptr_t)arch;
    __asm__ volatile("mov %%rbp, %c[host_rbp](%%rdi)\n\t"
                     "lea -136(%%rsp), %%rsp\n\t"
                     "mov %%rdi, (%%rsp)\n\t"
                     "lea 3f(%%rip), %%rax\n\t"
                     "cmp %%rsp, %c[host_rsp](%%rdi)\n\tjne 1f\n\t"
                     "cmp %%rax, %c[host_rip](%%rdi)\n\tjne 1f\n\t"
                     "2: cmpl $0, %c[launched](%%rdi)\n\tje 4f\n\t"
                     "mov (%%rdi), %%rax\n\t"
                     AXVCPU_I_X86_LOAD
                     "vmresume\n\t"
                     "jmp 5f\n\t"
                     "1: mov %%rsp, %c[host_rsp](%%rdi)\n\tmov %%rax, %c[host_rip](%%rdi)\n\t"
                     "mov $0x6c14, %%ecx\n\tvmwrite %%rsp, %%rcx\n\tmov $0x6c16, %%ecx\n\tvmwrite %%rax, %%rcx\n\t"
                     "jmp 2b\n\t"
                     "4: movl $1, %c[launched](%%rdi)\n\tmov (%%rdi), %%rax\n\t"
                     AXVCPU_I_X86_LOAD
                     "vmlaunch\n\t"
                     "5: mov (%%rsp), %%rax\n\t"
                     "lea 136(%%rsp), %%rsp\n\t"
                     "mov %c[host_rbp](%%rax), %%rbp\n\t"
                     "mov %[vmfail], %%r8\n\t"
                     "jmp 6f\n\t"
                     "3: push %%rax\n\tmov 8(%%rsp), %%rax\n\tpop (%%rax)\n\t"
                     AXVCPU_I_X86_STORE
                     "lea 136(%%rsp), %%rsp\n\t"
                     "mov $0x4402, %%r8d\n\t" AXVCPU_I_X86_BEFORE_VMREAD "vmread %%r8, %%r8\n\t"
                     "6: mov %%rax, %%r9\n\t"
                     : AXVCPU_I_X86_OUT(left), "=r"(reason), "=r"(a)
                     : AXVCPU_I_X86_AT(host_rbp), AXVCPU_I_X86_AT(host_rsp), AXVCPU_I_X86_AT(host_rip),
                       AXVCPU_I_X86_AT(launched), [vmfail] "i"(AXVCPU_I_X86_VMFAIL)
                     : AXVCPU_I_X86_CLOBBERS);
    left->reason = reason;
    return a;
}

AXVCPU_I_INLINE uint64_t axvcpu_i_x86_vmread(uint64_t field)
{
    uint64_t value;

    __asm__ volatile(AXVCPU_I_X86_BEFORE_VMREAD "vmread %1, %0" : "=r"(value) : "r"(field) : "cc");
    return value;
}

AXVCPU_I_INLINE void axvcpu_i_x86_vmwrite(uint64_t field, uint64_t value)
{
    __asm__ volatile("vmwrite %1, %0" : : "r"(field), "r"(value) : "cc");
}

#define AXVCPU_I_X86_CR(n)                                                                                 \
    AXVCPU_I_INLINE uint64_t axvcpu_i_x86_host_cr##n(void)                                                 \
    {                                                                                                      \
        uint64_t value;                                                                                    \
        __asm__ volatile("mov %%cr" #n ", %0" : "=r"(value) : : "memory");                                 \
        return value;                                                                                      \
    }                                                                                                      \
    AXVCPU_I_INLINE void axvcpu_i_x86_set_host_cr##n(uint64_t value)                                       \
    {                                                                                                      \
        __asm__ volatile("mov %0, %%cr" #n : : "r"(value) : "memory");                                     \
    }
AXVCPU_I_X86_CR(0)
AXVCPU_I_X86_CR(2)
AXVCPU_I_X86_CR(3)
AXVCPU_I_X86_CR(4)

#define AXVCPU_I_X86_VMCB(type, hw, offset) (*(type *)(void *)((hw) + (offset)))
#define AXVCPU_I_X86_VMCB_ALL_CLEAN 0xfffu
#define AXVCPU_I_X86_CLEAN_TPR 0x008u
#define AXVCPU_I_X86_VMCB_VMMCALL 0x81u
#define AXVCPU_I_X86_VMX_VMCALL 18u

/* `inside` is out before `remote` is looked at: the exchange is a full barrier. */
AXVCPU_I_INLINE void axvcpu_i_x86_before(struct axvcpu_arch *a)
{
    (void)AXVCPU_ATOMIC_XCHG(&a->inside, 1u);
    if (AXVCPU_I_UNLIKELY((a->dirty | AXVCPU_ATOMIC_LOAD_RELAXED(&a->remote)) != 0))
        axvcpu_i_x86_flush(a);
}

AXVCPU_I_INLINE void axvcpu_i_x86_after(struct axvcpu_arch *a)
{
    a->valid = 0;
    AXVCPU_ATOMIC_STORE_RELEASE(&a->inside, 0u);
}

/* A hypercall, from registers to the record: as Linux has them for KVM, and a sixth. */
AXVCPU_I_INLINE int axvcpu_i_x86_called(const struct axvcpu_arch *a, struct axvcpu_exit *x,
                                        const struct axvcpu_i_x86_left *left, uint64_t raw)
{
    x->kind = AXVCPU_EXIT_HYPERCALL;
    x->flags = 0;
    x->raw = raw;
    x->hypercall.nr = a->regs.gpr[AXVCPU_X86_RAX];
    x->hypercall.args[0] = left->rbx, x->hypercall.args[1] = left->rcx, x->hypercall.args[2] = left->rdx;
    x->hypercall.args[3] = left->rsi, x->hypercall.args[4] = left->rdi;
    x->hypercall.args[5] = a->regs.gpr[AXVCPU_X86_RBP];
    return AXVCPU_OK;
}

/* RIP is past the hypercall by addition, unless that leaves the lower 4 GiB, or its half. */
AXVCPU_I_INLINE bool axvcpu_i_x86_wraps(uint64_t rip)
{
    return (uint32_t)rip < AXVCPU_X86_INSN_MAX;
}

/* A hypercall is the common exit. */
AXVCPU_I_INLINE int axvcpu_i_x86_run_svm(struct axvcpu *v, struct axvcpu_exit *x)
{
    struct axvcpu_arch *a = axvcpu_arch(v);
    struct axvcpu_i_x86_left left;
    uint64_t rip;
    char *hw;

    axvcpu_i_x86_before(a);
    a = axvcpu_i_x86_switch_svm(a, &left);
    axvcpu_i_x86_after(a);
    hw = left.hw;
    AXVCPU_I_X86_VMCB(uint32_t, hw, 0xc0) = AXVCPU_I_X86_VMCB_ALL_CLEAN;
    rip = AXVCPU_I_X86_VMCB(uint64_t, hw, a->nrip_at) + a->nrip_add;
    if (AXVCPU_I_UNLIKELY(AXVCPU_I_X86_VMCB(uint64_t, hw, 0x70) != AXVCPU_I_X86_VMCB_VMMCALL ||
                          axvcpu_i_x86_wraps(rip)))
        return axvcpu_i_x86_slowly(v, x, AXVCPU_I_X86_VMCB(uint64_t, hw, 0x70));
    AXVCPU_I_X86_VMCB(uint64_t, hw, 0x578) = rip;
    AXVCPU_I_X86_VMCB(uint64_t, hw, 0x68) = 0; /* a shadow ends */
    return axvcpu_i_x86_called(a, x, &left, AXVCPU_I_X86_VMCB_VMMCALL);
}

/* CR2 is in no VMCS, and the host's page faults are not to change the guest's. */
AXVCPU_I_INLINE struct axvcpu_arch *axvcpu_i_x86_enter_vmx(struct axvcpu_arch *a, struct axvcpu_i_x86_left *left)
{
    axvcpu_i_x86_before(a);
    if (AXVCPU_I_UNLIKELY(axvcpu_i_x86_host_cr2() != a->field[AXVCPU_I_X86_F_CR2]))
        axvcpu_i_x86_set_host_cr2(a->field[AXVCPU_I_X86_F_CR2]);
    a = axvcpu_i_x86_switch_vmx(a, left);
    a->field[AXVCPU_I_X86_F_CR2] = axvcpu_i_x86_host_cr2();
    axvcpu_i_x86_after(a);
    return a;
}

/* Three fields are read and one written. Whether the call was in a shadow, or a single step, would be another: if so
   that lasts one instruction longer, and the trap comes behind the next. */
AXVCPU_I_INLINE int axvcpu_i_x86_run_vmx(struct axvcpu *v, struct axvcpu_exit *x)
{
    struct axvcpu_i_x86_left left;
    const struct axvcpu_arch *a = axvcpu_i_x86_enter_vmx(axvcpu_arch(v), &left);
    uint64_t rip;

    if (AXVCPU_I_UNLIKELY(left.reason != AXVCPU_I_X86_VMX_VMCALL))
        return axvcpu_i_x86_slowly(v, x, left.reason);
    rip = axvcpu_i_x86_vmread(0x681e) + axvcpu_i_x86_vmread(0x440c);
    if (AXVCPU_I_UNLIKELY(axvcpu_i_x86_wraps(rip)))
        return axvcpu_i_x86_slowly(v, x, left.reason);
    axvcpu_i_x86_vmwrite(0x681e, rip);
    return axvcpu_i_x86_called(a, x, &left, AXVCPU_I_X86_VMX_VMCALL);
}

AXVCPU_I_INLINE int axvcpu_leaf_run(struct axvcpu *v, struct axvcpu_exit *x)
{
    if (axvcpu_arch(v)->vendor == AXVCPU_I_X86_VENDOR_SVM)
        return axvcpu_i_x86_run_svm(v, x);
    return axvcpu_i_x86_run_vmx(v, x);
}

AXVCPU_I_INLINE int axvcpu_leaf_bind(struct axvcpu *v)
{
    return axvcpu_i_x86_load(v);
}

AXVCPU_I_INLINE int axvcpu_leaf_unbind(struct axvcpu *v)
{
    axvcpu_i_x86_save(v);
    return AXVCPU_OK;
}

AXVCPU_I_INLINE int axvcpu_leaf_commit(struct axvcpu *v, struct axvcpu_exit *x, bool entering)
{
    (void)entering;
    return axvcpu_i_x86_commit(v, x);
}

AXVCPU_I_INLINE enum axvm_answer axvm_leaf_answer(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x)
{
    return axvcpu_i_x86_answer_exit(vm, v, x);
}

/* After FAIL_ENTRY: which rules of the manual the state breaks, one line for each with the field's name and the
   section, or "no rule broken". For the CPU that the vCPU is bound to. The text's length, as snprintf; 0: it is
   not loaded here. */
AXVCPU_API size_t axvcpu_explain_entry_failure(struct axvcpu *, char *text, size_t size);

#else /* AXVCPU_KVM */

/* Where the interrupt controllers are. */
enum axvm_x86_irqchip {
    AXVM_X86_IRQCHIP_NONE,  /* yours; HLT exits, axvcpu_inject_interrupt is what the guest gets */
    AXVM_X86_IRQCHIP_SPLIT, /* local APICs in the kernel */
    AXVM_X86_IRQCHIP_FULL   /* IOAPIC and PIC too */
};

struct axvcpu_arch_create {
    const struct axvcpu_x86_cpuid *cpuid; /* the whole answer, instead of the VM's or the host's */
    uint32_t cpuid_count;
    int vm_fd; /* without axvm: a KVM VM of yours; 0: one of its own */
};

struct axvm_arch_desc {
    int vm_fd;        /* a KVM VM of yours, without vCPUs yet; it stays open. 0: a new one */
    uint32_t irqchip; /* enum axvm_x86_irqchip; one that your VM has already is fine */
    bool pit;         /* with the full controller: a timer */
    bool own_apic;    /* your devices do the local APIC: its ICR makes no SEND_IPI and CPU_UP exits */
    const struct axvcpu_x86_cpuid *cpuid; /* of all vCPUs; NULL: the host's, made sane */
    uint32_t cpuid_count;
    const struct axvcpu_x86_msrs *msrs; /* SYSREG exits also for these, at most 16 ranges of 4096 */
    uint32_t msrs_count;
};

struct axvm_arch {
    struct axvcpu_kvm_vm kvm;
    const struct axvcpu_x86_cpuid *cpuid;
    uint32_t cpuid_count;
    bool own_apic;
};

struct axvcpu_arch {
    struct axvcpu_kvm kvm;
    bool sync;         /* the run page has the registers (KVM_CAP_SYNC_REGS) */
    bool ready;        /* set up */
    uint32_t icr_high; /* xAPIC: the target of the next IPI */
    axvcpu_gpa_t entry;
    struct axvcpu_arch_setup setup;
    uint64_t raised[4]; /* lines that the in-kernel local APIC was told of */
    void *origin;       /* all registers as the kernel creates them, for reset */
    struct axvm_arch own; /* without axvm */
};

struct axvcpu_arch_percpu { bool enabled; };

/* ioctl(fd, KVM_RUN, 0), which the kernel knows as system call 16. */
#ifndef AXVCPU_KVM_ENTER
AXVCPU_I_INLINE long axvcpu_i_x86_enter(int fd)
{
    long result;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"(16L), "D"((long)fd), "S"(0xae80L), "d"(0L)
                     : "rcx", "r11", "memory");
    return result;
}
#define AXVCPU_KVM_ENTER(fd) axvcpu_i_x86_enter(fd)
#endif

AXVCPU_LEAF_DECLARE(AXVCPU_API, AXVCPU_API)

#endif /* AXVCPU_KVM */

#endif /* the selected backend */

AXVCPU_I_C_END

#endif /* AXVCPU_ARCH_X86_H */

#if defined(AXVCPU_IMPLEMENTATION) && defined(AXVCPU_LEAF_CODE) && !defined(AXVCPU_I_X86_IMPLEMENTED)
#define AXVCPU_I_X86_IMPLEMENTED

AXVCPU_I_C_BEGIN

/* >>decode */

/* What a virtual CPU must not show: register `reg` of a leaf loses `hide`, with a local APIC or without. */
struct axvcpu_i_x86_hidden {
    uint32_t leaf, reg, hide;
    bool always;
};
static const struct axvcpu_i_x86_hidden axvcpu_i_x86_hidden[] = {
    { 0x00000001, 2, 1u << 5, true },  /* VMX */
    { 0x80000001, 2, 1u << 2, true },  /* SVM */
    { 0x00000001, 2, 1u << 21 | 1u << 24, false }, /* x2APIC, TSC deadline */
    /* KVM's asynchronous page faults, paravirtual EOI, unhalt, IPIs, yield, extended MSI */
    { 0x40000001, 0, 1u << 4 | 1u << 6 | 1u << 7 | 1u << 11 | 1u << 13 | 1u << 14 | 1u << 15, false },
};

static void axvcpu_i_x86_hide(struct axvcpu_x86_cpuid *e, bool apic)
{
    size_t i;

    for (i = 0; i < sizeof(axvcpu_i_x86_hidden) / sizeof(axvcpu_i_x86_hidden[0]); i++) {
        const struct axvcpu_i_x86_hidden *h = &axvcpu_i_x86_hidden[i];

        if (h->leaf == e->leaf && (h->always || !apic))
            e->reg[h->reg] &= ~h->hide;
    }
}

/* Bits `low` to `low + width - 1` of `word` become `value`. */
static uint32_t axvcpu_i_x86_field(uint32_t word, uint32_t low, uint32_t width, uint32_t value)
{
    uint32_t mask = (UINT32_MAX >> (32 - width)) << low;

    return (word & ~mask) | (value << low & mask);
}

/* SDM 2, CPUID leaf 0BH and 1FH: level 0 is threads, one a core; level 1 is cores; then the end. */
static void axvcpu_i_x86_topology_level(struct axvcpu_x86_cpuid *e, uint32_t id, uint32_t cpus, uint32_t bits)
{
    e->reg[0] = e->subleaf == 1 ? bits : 0;
    e->reg[1] = e->subleaf == 0 ? 1 : e->subleaf == 1 ? cpus : 0;
    e->reg[2] = e->subleaf | (e->subleaf < 2 ? (e->subleaf + 1) << 8 : 0);
    e->reg[3] = id;
}

static void axvcpu_i_x86_topology(struct axvcpu_x86_cpuid *e, uint32_t id, uint32_t cpus, uint32_t bits)
{
    switch (e->leaf) {
    case 0x00000001: /* EBX: initial APIC id, logical CPUs; ECX: under a hypervisor; EDX: HTT */
        e->reg[2] |= 1u << 31;
        e->reg[1] = axvcpu_i_x86_field(e->reg[1], 24, 8, id);
        e->reg[1] = axvcpu_i_x86_field(e->reg[1], 16, 8, bits < 8 ? 1u << bits : 255);
        e->reg[3] = axvcpu_i_x86_field(e->reg[3], 28, 1, cpus > 1);
        break;
    case 0x00000004: /* EAX: cores in the package, CPUs that share the cache: the outer ones are everybody's */
        if ((e->reg[0] & 0x1fu) == 0)
            break;
        e->reg[0] = axvcpu_i_x86_field(e->reg[0], 26, 6, (1u << bits) - 1);
        e->reg[0] = axvcpu_i_x86_field(e->reg[0], 14, 12, (e->reg[0] >> 5 & 7u) >= 3 ? (1u << bits) - 1 : 0);
        break;
    case 0x0000000b:
    case 0x0000001f:
        axvcpu_i_x86_topology_level(e, id, cpus, bits);
        break;
    case 0x80000008: /* APM 3, E.4.7: ECX: threads, size of the APIC id's part */
        e->reg[2] = axvcpu_i_x86_field(e->reg[2], 0, 8, cpus - 1);
        e->reg[2] = axvcpu_i_x86_field(e->reg[2], 12, 4, bits);
        break;
    case 0x8000001d: /* AMD's leaf 4 */
        e->reg[0] = axvcpu_i_x86_field(e->reg[0], 14, 12, (e->reg[0] >> 5 & 7u) >= 3 ? (1u << bits) - 1 : 0);
        break;
    case 0x8000001e: /* EAX: APIC id; EBX: core id, threads a core; ECX: node */
        e->reg[0] = id;
        e->reg[1] = id & 0xffu;
        e->reg[2] = 0;
        break;
    default:
        break;
    }
}

AXVCPU_API void axvcpu_x86_cpuid_sane(struct axvcpu_x86_cpuid *table, uint32_t count, uint32_t id, uint32_t cpus,
                                      bool apic)
{
    uint32_t i, bits = 0; /* of the APIC id that number the cores */

    cpus = cpus == 0 ? 1 : cpus;
    while (bits < 8 && (1u << bits) < cpus)
        bits++;
    for (i = 0; i < count; i++) {
        axvcpu_i_x86_hide(&table[i], apic);
        axvcpu_i_x86_topology(&table[i], id, cpus, bits);
    }
}

AXVCPU_API void axvcpu_x86_icr(uint64_t icr, bool x2apic, struct axvcpu_exit *x)
{
    uint64_t target = x2apic ? icr >> 32 : icr >> 56;
    uint32_t shorthand = AXVCPU_X86_ICR_SHORTHAND(icr); /* one, self, all, all but self */

    if (AXVCPU_X86_ICR_MODE(icr) == AXVCPU_X86_ICR_STARTUP && shorthand == 0 && (icr & AXVCPU_X86_ICR_LOGICAL) == 0) {
        x->kind = AXVCPU_EXIT_CPU_UP;
        x->cpu_up.target = target;
        x->cpu_up.entry = (icr & 0xffu) << 12; /* SDM 3, 9.4.3: the vector is a page number */
        x->cpu_up.arg = 0;
        return;
    }
    x->kind = AXVCPU_EXIT_SEND_IPI;
    x->ipi.target = target;
    x->ipi.aux = (uint32_t)icr;
    x->ipi.vector = (uint32_t)icr & 0xffu;
    x->ipi.to_all = shorthand >= 2;
    x->ipi.to_self = shorthand == 1 || shorthand == 2;
}

AXVCPU_API bool axvcpu_x86_xapic(uint64_t base, uint64_t gpa, uint32_t width, uint64_t value, uint32_t *high,
                                 struct axvcpu_exit *x)
{
    uint64_t offset = gpa - (base & ~UINT64_C(0xfff));

    if ((base & AXVCPU_X86_APIC_ON) == 0 || width != 4 ||
        (offset != AXVCPU_X86_APIC_ICR && offset != AXVCPU_X86_APIC_ICR_HIGH))
        return false;
    x->kind = AXVCPU_EXIT_NOTHING;
    if (offset == AXVCPU_X86_APIC_ICR_HIGH)
        *high = (uint32_t)value;
    else
        axvcpu_x86_icr((uint64_t)*high << 32 | (uint32_t)value, false, x);
    return true;
}

/* >>decode instructions */

/* How an instruction names its operands: memory E, register G, as SDM 2, appendix A.2 has it. */
enum axvcpu_i_x86_form {
    AXVCPU_I_X86_EG,  /* register to memory */
    AXVCPU_I_X86_GE,  /* memory to register */
    AXVCPU_I_X86_EI,  /* immediate of the operand's size, at most 4 bytes, to memory */
    AXVCPU_I_X86_EB,  /* immediate byte to memory */
    AXVCPU_I_X86_E,   /* memory alone */
    AXVCPU_I_X86_AO,  /* memory at an immediate address to rAX */
    AXVCPU_I_X86_OA,  /* ... and back */
    AXVCPU_I_X86_STR  /* rAX, rSI, rDI */
};

/* What sets the access's width, besides bit 0 of the opcode: 0 a byte, 1 the operand size. */
#define AXVCPU_I_X86_WORD 0x01u   /* always the operand size */
#define AXVCPU_I_X86_EXTEND 0x02u /* a byte or a word, to a register of the operand size */
#define AXVCPU_I_X86_DWORD 0x04u  /* MOVSXD: 4 bytes, or 2 */
#define AXVCPU_I_X86_ONLY64 0x08u
#define AXVCPU_I_X86_NOT64 0x10u
#define AXVCPU_I_X86_BIG 0x20u    /* MOVNTI: 4 or 8 bytes, and a prefix makes it something else */

struct axvcpu_i_x86_opcode {
    uint8_t map, opcode, mask; /* of map 0 or 0x0f: those where opcode is the same under the mask */
    uint8_t form, width;
    uint8_t op[8];             /* by ModRM.reg if there is more than one; AXVCPU_X86_OPS: none */
};
#define AXVCPU_I_X86_ONE(op) { op, op, op, op, op, op, op, op }
#define AXVCPU_I_X86_OP(name) AXVCPU_I_X86_ONE(AXVCPU_X86_OP_##name)
#define AXVCPU_I_X86_NONE AXVCPU_X86_OPS
#define AXVCPU_I_X86_FIRST(name) \
    { AXVCPU_X86_OP_##name, AXVCPU_I_X86_NONE, AXVCPU_I_X86_NONE, AXVCPU_I_X86_NONE, \
      AXVCPU_I_X86_NONE, AXVCPU_I_X86_NONE, AXVCPU_I_X86_NONE, AXVCPU_I_X86_NONE }
#define AXVCPU_I_X86_ALU \
    { AXVCPU_X86_OP_ADD, AXVCPU_X86_OP_OR, AXVCPU_X86_OP_ADC, AXVCPU_X86_OP_SBB, \
      AXVCPU_X86_OP_AND, AXVCPU_X86_OP_SUB, AXVCPU_X86_OP_XOR, AXVCPU_X86_OP_CMP }

static const struct axvcpu_i_x86_opcode axvcpu_i_x86_opcodes[] = {
    { 0x00, 0x88, 0xfe, AXVCPU_I_X86_EG, 0, AXVCPU_I_X86_OP(MOV) },
    { 0x00, 0x8a, 0xfe, AXVCPU_I_X86_GE, 0, AXVCPU_I_X86_OP(MOV) },
    { 0x00, 0xc6, 0xfe, AXVCPU_I_X86_EI, 0, AXVCPU_I_X86_FIRST(MOV) },
    { 0x0f, 0xb6, 0xfe, AXVCPU_I_X86_GE, AXVCPU_I_X86_EXTEND, AXVCPU_I_X86_OP(MOVZX) },
    { 0x0f, 0xbe, 0xfe, AXVCPU_I_X86_GE, AXVCPU_I_X86_EXTEND, AXVCPU_I_X86_OP(MOVSX) },
    { 0x00, 0x63, 0xff, AXVCPU_I_X86_GE, AXVCPU_I_X86_DWORD | AXVCPU_I_X86_ONLY64, AXVCPU_I_X86_OP(MOVSX) },
    { 0x00, 0xa0, 0xfe, AXVCPU_I_X86_AO, 0, AXVCPU_I_X86_OP(MOV) },
    { 0x00, 0xa2, 0xfe, AXVCPU_I_X86_OA, 0, AXVCPU_I_X86_OP(MOV) },
    { 0x0f, 0xc3, 0xff, AXVCPU_I_X86_EG, AXVCPU_I_X86_WORD | AXVCPU_I_X86_BIG, AXVCPU_I_X86_OP(MOV) },
    { 0x00, 0xa4, 0xfe, AXVCPU_I_X86_STR, 0, AXVCPU_I_X86_OP(MOVS) },
    { 0x00, 0xaa, 0xfe, AXVCPU_I_X86_STR, 0, AXVCPU_I_X86_OP(STOS) },
    { 0x00, 0xac, 0xfe, AXVCPU_I_X86_STR, 0, AXVCPU_I_X86_OP(LODS) },
    { 0x00, 0x00, 0xc6, AXVCPU_I_X86_EG, 0, AXVCPU_I_X86_ALU }, /* their number is in the opcode, bits 5-3 */
    { 0x00, 0x02, 0xc6, AXVCPU_I_X86_GE, 0, AXVCPU_I_X86_ALU },
    { 0x00, 0x80, 0xfe, AXVCPU_I_X86_EI, 0, AXVCPU_I_X86_ALU },
    { 0x00, 0x82, 0xff, AXVCPU_I_X86_EB, AXVCPU_I_X86_NOT64, AXVCPU_I_X86_ALU },
    { 0x00, 0x83, 0xff, AXVCPU_I_X86_EB, 0, AXVCPU_I_X86_ALU },
    { 0x00, 0x84, 0xfe, AXVCPU_I_X86_EG, 0, AXVCPU_I_X86_OP(TEST) },
    { 0x00, 0x86, 0xfe, AXVCPU_I_X86_EG, 0, AXVCPU_I_X86_OP(XCHG) },
    { 0x00, 0xf6, 0xfe, AXVCPU_I_X86_E, 0,
      { AXVCPU_X86_OP_TEST, AXVCPU_X86_OP_TEST, AXVCPU_X86_OP_NOT, AXVCPU_X86_OP_NEG, AXVCPU_I_X86_NONE,
        AXVCPU_I_X86_NONE, AXVCPU_I_X86_NONE, AXVCPU_I_X86_NONE } },
    { 0x00, 0xfe, 0xfe, AXVCPU_I_X86_E, 0,
      { AXVCPU_X86_OP_INC, AXVCPU_X86_OP_DEC, AXVCPU_I_X86_NONE, AXVCPU_I_X86_NONE, AXVCPU_I_X86_NONE,
        AXVCPU_I_X86_NONE, AXVCPU_I_X86_NONE, AXVCPU_I_X86_NONE } },
    { 0x0f, 0xa3, 0xff, AXVCPU_I_X86_EG, AXVCPU_I_X86_WORD, AXVCPU_I_X86_OP(BT) },
    { 0x0f, 0xab, 0xff, AXVCPU_I_X86_EG, AXVCPU_I_X86_WORD, AXVCPU_I_X86_OP(BTS) },
    { 0x0f, 0xb3, 0xff, AXVCPU_I_X86_EG, AXVCPU_I_X86_WORD, AXVCPU_I_X86_OP(BTR) },
    { 0x0f, 0xbb, 0xff, AXVCPU_I_X86_EG, AXVCPU_I_X86_WORD, AXVCPU_I_X86_OP(BTC) },
    { 0x0f, 0xba, 0xff, AXVCPU_I_X86_EB, AXVCPU_I_X86_WORD,
      { AXVCPU_I_X86_NONE, AXVCPU_I_X86_NONE, AXVCPU_I_X86_NONE, AXVCPU_I_X86_NONE, AXVCPU_X86_OP_BT,
        AXVCPU_X86_OP_BTS, AXVCPU_X86_OP_BTR, AXVCPU_X86_OP_BTC } },
};

/* The bytes of an instruction while they are read. */
struct axvcpu_i_x86_reader {
    const uint8_t *bytes;
    uint32_t size, at;
    uint32_t bits;
    uint8_t rex;
    bool operand, address; /* prefixes 66, 67 */
    bool lock;
    uint8_t repeat;        /* f2, f3, or 0 */
    uint8_t segment;       /* an override, or AXVCPU_X86_NO_REG */
    bool over;             /* there were too few */
};

static struct axvcpu_i_x86_reader axvcpu_i_x86_reader(const uint8_t *bytes, uint32_t size, uint32_t bits)
{
    struct axvcpu_i_x86_reader r = { bytes, size < AXVCPU_X86_INSN_MAX ? size : AXVCPU_X86_INSN_MAX, 0, bits, 0, false,
                                     false, false, 0, AXVCPU_X86_NO_REG, false };

    return r;
}

static uint64_t axvcpu_i_x86_take(struct axvcpu_i_x86_reader *r, uint32_t n)
{
    uint64_t value = 0;
    uint32_t i;

    if (r->size - r->at < n) {
        r->over = true;
        return 0;
    }
    for (i = 0; i < n; i++)
        value |= (uint64_t)r->bytes[r->at++] << (8 * i);
    return value;
}

/* As a number of `bits` bits with a sign. */
static uint64_t axvcpu_i_x86_sign(uint64_t value, uint32_t bits)
{
    uint64_t sign = UINT64_C(1) << (bits - 1);

    return ((value & (sign | (sign - 1))) ^ sign) - sign;
}

static uint64_t axvcpu_i_x86_take_signed(struct axvcpu_i_x86_reader *r, uint32_t n)
{
    return n == 0 ? 0 : axvcpu_i_x86_sign(axvcpu_i_x86_take(r, n), 8 * n);
}

/* In 64-bit mode the overrides of ES, CS, SS and DS are ignored (SDM 2, 2.1.1). */
static void axvcpu_i_x86_override(struct axvcpu_i_x86_reader *r, uint8_t segment)
{
    if (r->bits != 64 || segment >= AXVCPU_X86_FS)
        r->segment = segment;
}

static bool axvcpu_i_x86_prefix(struct axvcpu_i_x86_reader *r, uint8_t byte)
{
    switch (byte) {
    case 0x26: axvcpu_i_x86_override(r, AXVCPU_X86_ES); return true;
    case 0x2e: axvcpu_i_x86_override(r, AXVCPU_X86_CS); return true;
    case 0x36: axvcpu_i_x86_override(r, AXVCPU_X86_SS); return true;
    case 0x3e: axvcpu_i_x86_override(r, AXVCPU_X86_DS); return true;
    case 0x64: axvcpu_i_x86_override(r, AXVCPU_X86_FS); return true;
    case 0x65: axvcpu_i_x86_override(r, AXVCPU_X86_GS); return true;
    case 0x66: r->operand = true; return true;
    case 0x67: r->address = true; return true;
    case 0xf0: r->lock = true; return true;
    case 0xf2:
    case 0xf3: r->repeat = byte; return true;
    default: return r->bits == 64 && (byte & 0xf0) == 0x40;
    }
}

/* The first byte that is no prefix. A REX counts only right before it (SDM 2, 2.2.1). */
static uint8_t axvcpu_i_x86_prefixes(struct axvcpu_i_x86_reader *r)
{
    uint8_t byte = (uint8_t)axvcpu_i_x86_take(r, 1);

    while (!r->over && axvcpu_i_x86_prefix(r, byte)) {
        r->rex = r->bits == 64 && (byte & 0xf0) == 0x40 ? byte : 0;
        byte = (uint8_t)axvcpu_i_x86_take(r, 1);
    }
    return byte;
}

static uint8_t axvcpu_i_x86_address_width(const struct axvcpu_i_x86_reader *r)
{
    static const uint8_t width[3][2] = { { 2, 4 }, { 4, 2 }, { 8, 4 } }; /* SDM 1, 3.6 */

    return width[r->bits / 32][r->address];
}

static uint8_t axvcpu_i_x86_operand_width(const struct axvcpu_i_x86_reader *r)
{
    if ((r->rex & 8) != 0)
        return 8;
    return (r->bits == 16) != r->operand ? 2 : 4;
}

/* SDM 2, table 2-1 */
static void axvcpu_i_x86_address16(struct axvcpu_i_x86_reader *r, struct axvcpu_x86_insn *i, uint8_t modrm)
{
    static const uint8_t base[8] = { AXVCPU_X86_RBX, AXVCPU_X86_RBX, AXVCPU_X86_RBP, AXVCPU_X86_RBP,
                                     AXVCPU_X86_RSI, AXVCPU_X86_RDI, AXVCPU_X86_RBP, AXVCPU_X86_RBX };
    static const uint8_t index[4] = { AXVCPU_X86_RSI, AXVCPU_X86_RDI, AXVCPU_X86_RSI, AXVCPU_X86_RDI };
    uint32_t mod = modrm >> 6, rm = modrm & 7u;

    if (mod == 0 && rm == 6) {
        i->disp = axvcpu_i_x86_take_signed(r, 2);
        return;
    }
    i->base = base[rm];
    i->index = rm < 4 ? index[rm] : AXVCPU_X86_NO_REG;
    i->disp = axvcpu_i_x86_take_signed(r, mod);
}

/* SDM 2, tables 2-2 and 2-3 */
static void axvcpu_i_x86_sib(struct axvcpu_i_x86_reader *r, struct axvcpu_x86_insn *i, uint32_t mod)
{
    uint32_t sib = (uint32_t)axvcpu_i_x86_take(r, 1);
    uint32_t index = (sib >> 3 & 7u) | (r->rex & 2u) << 2, base = (sib & 7u) | (r->rex & 1u) << 3;

    i->scale = (uint8_t)(sib >> 6);
    if (index != AXVCPU_X86_RSP)
        i->index = (uint8_t)index;
    if (mod != 0 || (sib & 7u) != AXVCPU_X86_RBP)
        i->base = (uint8_t)base;
    else
        i->disp = axvcpu_i_x86_take_signed(r, 4);
}

static void axvcpu_i_x86_address32(struct axvcpu_i_x86_reader *r, struct axvcpu_x86_insn *i, uint8_t modrm)
{
    uint32_t mod = modrm >> 6, rm = modrm & 7u;

    if (rm == AXVCPU_X86_RSP) {
        axvcpu_i_x86_sib(r, i, mod);
    } else if (mod == 0 && rm == AXVCPU_X86_RBP) {
        i->base = r->bits == 64 ? AXVCPU_X86_RIP : AXVCPU_X86_NO_REG;
        i->disp = axvcpu_i_x86_take_signed(r, 4);
    } else {
        i->base = (uint8_t)(rm | (r->rex & 1u) << 3);
    }
    if (mod != 0)
        i->disp = axvcpu_i_x86_take_signed(r, mod == 1 ? 1 : 4);
}

/* Stack addresses are in SS (SDM 1, table 3-5). */
static void axvcpu_i_x86_address(struct axvcpu_i_x86_reader *r, struct axvcpu_x86_insn *i, uint8_t modrm)
{
    if (i->address_width == 2)
        axvcpu_i_x86_address16(r, i, modrm);
    else
        axvcpu_i_x86_address32(r, i, modrm);
    if (r->segment == AXVCPU_X86_NO_REG && (i->base == AXVCPU_X86_RSP || i->base == AXVCPU_X86_RBP))
        i->segment = AXVCPU_X86_SS;
}

static const struct axvcpu_i_x86_opcode *axvcpu_i_x86_find(uint32_t map, uint8_t opcode)
{
    size_t i;

    for (i = 0; i < sizeof(axvcpu_i_x86_opcodes) / sizeof(axvcpu_i_x86_opcodes[0]); i++)
        if (axvcpu_i_x86_opcodes[i].map == map &&
            (opcode & axvcpu_i_x86_opcodes[i].mask) == axvcpu_i_x86_opcodes[i].opcode)
            return &axvcpu_i_x86_opcodes[i];
    return NULL;
}

static void axvcpu_i_x86_widths(const struct axvcpu_i_x86_reader *r, struct axvcpu_x86_insn *i,
                                const struct axvcpu_i_x86_opcode *o, uint8_t opcode)
{
    uint8_t operand = axvcpu_i_x86_operand_width(r);

    if ((o->width & AXVCPU_I_X86_BIG) != 0 && operand == 2)
        operand = 4;
    i->reg_width = operand;
    if ((o->width & AXVCPU_I_X86_EXTEND) != 0)
        i->width = (opcode & 1) == 0 ? 1 : 2;
    else if ((o->width & AXVCPU_I_X86_DWORD) != 0)
        i->width = operand == 2 ? 2 : 4;
    else
        i->reg_width = i->width = (o->width & AXVCPU_I_X86_WORD) != 0 || (opcode & 1) != 0 ? operand : 1;
}

/* Without REX, byte registers 4 to 7 are the second bytes of 0 to 3 (SDM 2, table 3-1). */
static void axvcpu_i_x86_register(const struct axvcpu_i_x86_reader *r, struct axvcpu_x86_insn *i, uint8_t modrm)
{
    i->reg = (uint8_t)((modrm >> 3 & 7u) | (r->rex & 4u) << 1);
    if (i->reg_width == 1 && r->rex == 0 && i->reg >= 4) {
        i->reg = (uint8_t)(i->reg - 4);
        i->flags |= AXVCPU_X86_INSN_HIGH;
    }
}

static void axvcpu_i_x86_immediate(struct axvcpu_i_x86_reader *r, struct axvcpu_x86_insn *i, uint32_t size)
{
    i->flags |= AXVCPU_X86_INSN_IMM;
    i->imm = axvcpu_i_x86_take_signed(r, size < 4 ? size : 4);
}

static void axvcpu_i_x86_string_operands(const struct axvcpu_i_x86_reader *r, struct axvcpu_x86_insn *i)
{
    i->base = i->op == AXVCPU_X86_OP_STOS ? AXVCPU_X86_RDI : AXVCPU_X86_RSI;
    if (i->op == AXVCPU_X86_OP_STOS)
        i->segment = AXVCPU_X86_ES; /* no override (SDM 1, 7.3.9.1) */
    i->reg = i->op == AXVCPU_X86_OP_MOVS ? AXVCPU_X86_NO_REG : AXVCPU_X86_RAX;
    if (i->op == AXVCPU_X86_OP_LODS)
        i->flags |= AXVCPU_X86_INSN_TO_REG;
    if (r->repeat != 0)
        i->flags |= AXVCPU_X86_INSN_REP;
}

static void axvcpu_i_x86_moffs(struct axvcpu_i_x86_reader *r, struct axvcpu_x86_insn *i)
{
    i->disp = axvcpu_i_x86_take(r, i->address_width);
    i->reg = AXVCPU_X86_RAX;
}

static void axvcpu_i_x86_operands(struct axvcpu_i_x86_reader *r, struct axvcpu_x86_insn *i, uint8_t form, uint8_t modrm)
{
    switch (form) {
    case AXVCPU_I_X86_GE: i->flags |= AXVCPU_X86_INSN_TO_REG; /* fall through */
    case AXVCPU_I_X86_EG: axvcpu_i_x86_register(r, i, modrm); break;
    case AXVCPU_I_X86_EI: axvcpu_i_x86_immediate(r, i, i->width); break;
    case AXVCPU_I_X86_EB: axvcpu_i_x86_immediate(r, i, 1); break;
    case AXVCPU_I_X86_AO: i->flags |= AXVCPU_X86_INSN_TO_REG; /* fall through */
    case AXVCPU_I_X86_OA: axvcpu_i_x86_moffs(r, i); break;
    case AXVCPU_I_X86_STR: axvcpu_i_x86_string_operands(r, i); break;
    default:
        if (i->op == AXVCPU_X86_OP_TEST)
            axvcpu_i_x86_immediate(r, i, i->width);
        break;
    }
}

/* What each does to memory when that is the destination. */
#define AXVCPU_I_X86_RW (AXVCPU_ACCESS_READ | AXVCPU_ACCESS_WRITE)
static const uint8_t axvcpu_i_x86_accesses[AXVCPU_X86_OPS] = {
    AXVCPU_I_X86_RW, AXVCPU_I_X86_RW, AXVCPU_I_X86_RW, AXVCPU_I_X86_RW, AXVCPU_I_X86_RW, AXVCPU_I_X86_RW,
    AXVCPU_I_X86_RW, AXVCPU_ACCESS_READ, AXVCPU_ACCESS_READ, AXVCPU_I_X86_RW, AXVCPU_I_X86_RW, AXVCPU_I_X86_RW,
    AXVCPU_I_X86_RW, AXVCPU_I_X86_RW, AXVCPU_ACCESS_READ, AXVCPU_I_X86_RW, AXVCPU_I_X86_RW, AXVCPU_I_X86_RW,
    AXVCPU_ACCESS_WRITE, AXVCPU_ACCESS_READ, AXVCPU_ACCESS_READ, AXVCPU_ACCESS_WRITE, AXVCPU_ACCESS_READ,
    AXVCPU_I_X86_RW
};

/* LOCK is for what reads and then writes one operand; else it is #UD (SDM 2, LOCK). */
static bool axvcpu_i_x86_lockable(const struct axvcpu_x86_insn *i)
{
    return i->access == AXVCPU_I_X86_RW && i->op != AXVCPU_X86_OP_MOVS;
}

static bool axvcpu_i_x86_body(struct axvcpu_i_x86_reader *r, struct axvcpu_x86_insn *i,
                              const struct axvcpu_i_x86_opcode *o, uint8_t opcode)
{
    bool has_modrm = o->form < AXVCPU_I_X86_AO;
    uint8_t modrm = has_modrm ? (uint8_t)axvcpu_i_x86_take(r, 1) : 0;

    if (has_modrm && modrm >> 6 == 3)
        return false;
    i->op = o->op[(o->mask & 0x38) == 0 ? opcode >> 3 & 7 : modrm >> 3 & 7];
    if (i->op >= AXVCPU_X86_OPS)
        return false;
    i->address_width = axvcpu_i_x86_address_width(r);
    i->segment = r->segment == AXVCPU_X86_NO_REG ? (uint8_t)AXVCPU_X86_DS : r->segment;
    axvcpu_i_x86_widths(r, i, o, opcode);
    if (has_modrm)
        axvcpu_i_x86_address(r, i, modrm);
    axvcpu_i_x86_operands(r, i, o->form, modrm);
    i->access = (i->flags & AXVCPU_X86_INSN_TO_REG) != 0 ? (uint8_t)AXVCPU_ACCESS_READ : axvcpu_i_x86_accesses[i->op];
    if (r->lock)
        i->flags |= AXVCPU_X86_INSN_LOCK;
    return !r->lock || axvcpu_i_x86_lockable(i);
}

AXVCPU_API bool axvcpu_x86_decode(const uint8_t *bytes, uint32_t size, uint32_t bits, struct axvcpu_x86_insn *insn)
{
    struct axvcpu_i_x86_reader r = axvcpu_i_x86_reader(bytes, size, bits);
    const struct axvcpu_i_x86_opcode *o;
    uint8_t opcode = axvcpu_i_x86_prefixes(&r);
    uint32_t map = opcode == 0x0f ? opcode : 0;

    AXVCPU_MEMSET(insn, 0, sizeof(*insn));
    insn->base = insn->index = insn->reg = AXVCPU_X86_NO_REG;
    if (map != 0)
        opcode = (uint8_t)axvcpu_i_x86_take(&r, 1);
    o = axvcpu_i_x86_find(map, opcode);
    if (o == NULL || r.over || ((o->width & AXVCPU_I_X86_BIG) != 0 && (r.operand || r.repeat != 0)) ||
        (o->width & (bits == 64 ? AXVCPU_I_X86_NOT64 : AXVCPU_I_X86_ONLY64)) != 0 ||
        !axvcpu_i_x86_body(&r, insn, o, opcode) || r.over)
        return false;
    insn->length = (uint8_t)r.at;
    return true;
}

/* Instructions that exit for their own sake: opcode, and how many bytes follow it. */
struct axvcpu_i_x86_system { uint8_t map, opcode, mask, rest; };
#define AXVCPU_I_X86_MODRM 0xffu
static const struct axvcpu_i_x86_system axvcpu_i_x86_systems[] = {
    { 0x00, 0xf4, 0xff, 0 }, /* HLT */
    { 0x00, 0x6c, 0xfc, 0 }, /* INS, OUTS */
    { 0x00, 0xe4, 0xfc, 1 }, /* IN, OUT imm8 */
    { 0x00, 0xec, 0xfc, 0 }, /* IN, OUT DX */
    { 0x00, 0x90, 0xff, 0 }, /* PAUSE */
    { 0x00, 0xcc, 0xff, 0 }, /* INT3 */
    { 0x00, 0xce, 0xff, 0 }, /* INTO */
    { 0x00, 0xcd, 0xff, 1 }, /* INT n */
    { 0x00, 0xf1, 0xff, 0 }, /* INT1 */
    { 0x0f, 0x00, 0xfe, AXVCPU_I_X86_MODRM }, /* SLDT..., VMCALL, XSETBV, SVM's, INVLPG, SMSW, LMSW, RDTSCP */
    { 0x0f, 0x06, 0xff, 0 }, /* CLTS */
    { 0x0f, 0x08, 0xfe, 0 }, /* INVD, WBINVD */
    { 0x0f, 0x20, 0xfc, 1 }, /* MOV to and from CR and DR: always registers */
    { 0x0f, 0x30, 0xfc, 0 }, /* WRMSR, RDTSC, RDMSR, RDPMC */
    { 0x0f, 0xa2, 0xff, 0 }, /* CPUID */
    { 0x0f, 0xaa, 0xff, 0 }, /* RSM */
    { 0x0f, 0xc7, 0xff, AXVCPU_I_X86_MODRM }, /* RDRAND, RDSEED, VMPTRLD, XSAVES */
    { 0x0f, 0x78, 0xfe, AXVCPU_I_X86_MODRM }, /* VMREAD, VMWRITE */
};

static void axvcpu_i_x86_skip_modrm(struct axvcpu_i_x86_reader *r)
{
    struct axvcpu_x86_insn scratch;
    uint8_t modrm = (uint8_t)axvcpu_i_x86_take(r, 1);

    scratch.address_width = axvcpu_i_x86_address_width(r);
    scratch.base = AXVCPU_X86_NO_REG;
    if (modrm >> 6 != 3)
        axvcpu_i_x86_address(r, &scratch, modrm);
}

AXVCPU_API uint32_t axvcpu_x86_length(const uint8_t *bytes, uint32_t size, uint32_t bits)
{
    struct axvcpu_i_x86_reader r = axvcpu_i_x86_reader(bytes, size, bits);
    uint8_t opcode = axvcpu_i_x86_prefixes(&r);
    uint32_t map = opcode == 0x0f ? opcode : 0;
    size_t i;

    if (map != 0)
        opcode = (uint8_t)axvcpu_i_x86_take(&r, 1);
    for (i = 0; i < sizeof(axvcpu_i_x86_systems) / sizeof(axvcpu_i_x86_systems[0]); i++) {
        const struct axvcpu_i_x86_system *s = &axvcpu_i_x86_systems[i];

        if (s->map != map || (opcode & s->mask) != s->opcode)
            continue;
        if (s->rest == AXVCPU_I_X86_MODRM)
            axvcpu_i_x86_skip_modrm(&r);
        else
            (void)axvcpu_i_x86_take(&r, s->rest);
        return r.over ? 0 : r.at;
    }
    return 0;
}

/* >>decode guest memory */

AXVCPU_API uint32_t axvcpu_x86_bits(uint64_t cr0, uint64_t efer, uint64_t rflags, uint32_t cs_access)
{
    if ((cr0 & AXVCPU_X86_CR0_PE) == 0 || (rflags & AXVCPU_X86_FLAG_VM) != 0)
        return 16;
    if ((efer & AXVCPU_X86_EFER_LMA) != 0 && (cs_access & AXVCPU_X86_AR_L) != 0)
        return 64;
    return (cs_access & AXVCPU_X86_AR_DB) != 0 ? 32 : 16;
}

/* How the tables of a paging mode look: SDM 3, table 4-1. */
struct axvcpu_i_x86_paging {
    uint32_t levels, index_bits, entry_size;
};

static struct axvcpu_i_x86_paging axvcpu_i_x86_paging(const struct axvcpu_x86_space *s)
{
    struct axvcpu_i_x86_paging p = { 2, 10, 4 };

    if ((s->cr4 & AXVCPU_X86_CR4_PAE) != 0) {
        p.levels = (s->efer & AXVCPU_X86_EFER_LMA) == 0 ? 3 : (s->cr4 & AXVCPU_X86_CR4_LA57) != 0 ? 5 : 4;
        p.index_bits = 9;
        p.entry_size = 8;
    }
    return p;
}

static uint64_t axvcpu_i_x86_entry(void *at, uint32_t size)
{
    return size == 4 ? AXVCPU_ATOMIC_LOAD((uint32_t *)at) : AXVCPU_ATOMIC_LOAD((uint64_t *)at);
}


/* What a walk gathers on its way down. */
struct axvcpu_i_x86_walk {
    uint64_t table;       /* the next one */
    uint64_t rights;      /* RW and US that all levels have; XD that one has */
    uint64_t entry, at;   /* the last one, and where it is */
    uint32_t level;
};

/* Accessed and dirty bits, set as the hardware does: other CPUs may be at it. */
static void axvcpu_i_x86_mark(const struct axvcpu_x86_space *s, const struct axvcpu_i_x86_paging *p,
                              const struct axvcpu_i_x86_walk *w, uint32_t bits)
{
    void *at = (w->entry & bits) == bits ? NULL : s->ptr(s->arg, w->at, p->entry_size, true);

    if (at != NULL && p->entry_size == 4)
        (void)AXVCPU_ATOMIC_FETCH_OR((uint32_t *)at, bits);
    else if (at != NULL)
        (void)AXVCPU_ATOMIC_FETCH_OR((uint64_t *)at, (uint64_t)bits);
}

static bool axvcpu_i_x86_is_leaf(const struct axvcpu_x86_space *s, const struct axvcpu_i_x86_paging *p,
                                 const struct axvcpu_i_x86_walk *w)
{
    if (w->level == 1)
        return true;
    if ((w->entry & AXVCPU_X86_PTE_PS) == 0)
        return false;
    return p->entry_size == 4 ? (s->cr4 & AXVCPU_X86_CR4_PSE) != 0 : w->level == 2 || (w->level == 3 && p->levels >= 4);
}

/* Bits that must be zero: beyond the physical addresses, XD without NXE, and PS where no page is that large
   (SDM 3, 4.4.2 and 4.5.4). */
static bool axvcpu_i_x86_reserved(const struct axvcpu_x86_space *s, const struct axvcpu_i_x86_paging *p,
                                  const struct axvcpu_i_x86_walk *w, bool leaf)
{
    uint64_t low = leaf && w->level > 1 ? (UINT64_C(1) << (12 + 9 * (w->level - 1))) - 1 - 0x1fff : 0;

    if (p->entry_size == 4)
        return false;
    if ((w->entry & 0x000ffffffffff000u & (~s->physical_mask | low)) != 0)
        return true;
    if (p->levels == 3 && w->level == 3)
        return (w->entry & 0xfff00000000001e6u) != 0;
    if (p->levels == 3 && (w->entry & 0x7ff0000000000000u) != 0)
        return true;
    if ((w->entry & AXVCPU_X86_PTE_XD) != 0 && (s->efer & AXVCPU_X86_EFER_NXE) == 0)
        return true;
    return !leaf && w->level >= 4 && (w->entry & AXVCPU_X86_PTE_PS) != 0;
}

/* SDM 3, 4.6.1 */
static bool axvcpu_i_x86_allowed(const struct axvcpu_x86_space *s, uint64_t rights, uint64_t rflags, uint32_t access)
{
    bool user = s->cpl == 3, user_page = (rights & AXVCPU_X86_PTE_US) != 0;
    bool fetch = (access & AXVCPU_ACCESS_EXEC) != 0;

    if (user && !user_page)
        return false;
    if (fetch && ((rights & AXVCPU_X86_PTE_XD) != 0 || (!user && user_page && (s->cr4 & AXVCPU_X86_CR4_SMEP) != 0)))
        return false;
    if (!fetch && !user && user_page && (s->cr4 & AXVCPU_X86_CR4_SMAP) != 0 && (rflags & AXVCPU_X86_FLAG_AC) == 0)
        return false;
    return (access & AXVCPU_ACCESS_WRITE) == 0 || (rights & AXVCPU_X86_PTE_RW) != 0 ||
           (!user && (s->cr0 & AXVCPU_X86_CR0_WP) == 0);
}

/* PDPTEs of PAE paging have no rights of their own. */
static void axvcpu_i_x86_gather(const struct axvcpu_i_x86_paging *p, struct axvcpu_i_x86_walk *w)
{
    uint64_t both = AXVCPU_X86_PTE_RW | AXVCPU_X86_PTE_US;

    if (p->levels != 3 || w->level != 3)
        w->rights = (w->rights & (w->entry | ~both)) | (p->entry_size == 8 ? w->entry & AXVCPU_X86_PTE_XD : 0);
}

/* Down to the leaf. `*error` gets what #PF's error code says of the entry. */
static enum axvcpu_x86_walk axvcpu_i_x86_descend(const struct axvcpu_x86_space *s, const struct axvcpu_i_x86_paging *p,
                                                 uint64_t linear, struct axvcpu_i_x86_walk *w, uint32_t *error)
{
    uint64_t mask = (UINT64_C(1) << p->index_bits) - 1;

    for (w->level = p->levels;; w->level--) {
        uint64_t index = linear >> (12 + p->index_bits * (w->level - 1)) & mask;
        void *ptr;
        bool leaf;

        w->at = (w->table + index * p->entry_size) & s->physical_mask;
        ptr = s->ptr == NULL ? NULL : s->ptr(s->arg, w->at, p->entry_size, false);
        if (ptr == NULL)
            return AXVCPU_X86_WALK_LOST;
        w->entry = axvcpu_i_x86_entry(ptr, p->entry_size);
        leaf = axvcpu_i_x86_is_leaf(s, p, w);
        *error = (w->entry & AXVCPU_X86_PTE_P) == 0 ? 0 :
                 axvcpu_i_x86_reserved(s, p, w, leaf) ? AXVCPU_X86_PF_P | AXVCPU_X86_PF_RESERVED : AXVCPU_X86_PF_P;
        if (*error != AXVCPU_X86_PF_P)
            return AXVCPU_X86_WALK_FAULT;
        axvcpu_i_x86_gather(p, w);
        if (leaf)
            return AXVCPU_X86_WALK_OK;
        if (p->levels != 3 || w->level != 3)
            axvcpu_i_x86_mark(s, p, w, AXVCPU_X86_PTE_A);
        w->table = w->entry & 0x000ffffffffff000u & s->physical_mask;
    }
}

/* The page's address, and the linear address's bits within it. PSE-36 has address bits 39-32 in 20-13 of a
   large page (SDM 3, table 4-4). */
static uint64_t axvcpu_i_x86_within(const struct axvcpu_x86_space *s, const struct axvcpu_i_x86_paging *p,
                                    const struct axvcpu_i_x86_walk *w, uint64_t linear)
{
    uint64_t low = (UINT64_C(1) << (12 + p->index_bits * (w->level - 1))) - 1;
    uint64_t page = w->entry & 0x000ffffffffff000u & ~low;

    if (p->entry_size == 4 && w->level == 2)
        page |= (w->entry >> 13 & 0xffu) << 32;
    return (page & s->physical_mask) | (linear & low);
}

static uint32_t axvcpu_i_x86_error(const struct axvcpu_x86_space *s, uint32_t access, uint32_t entry)
{
    bool fetches = (access & AXVCPU_ACCESS_EXEC) != 0 && /* SDM 3, 4.7: I/D */
                   ((s->cr4 & AXVCPU_X86_CR4_SMEP) != 0 ||
                    ((s->cr4 & AXVCPU_X86_CR4_PAE) != 0 && (s->efer & AXVCPU_X86_EFER_NXE) != 0));

    return entry | ((access & AXVCPU_ACCESS_WRITE) != 0 ? AXVCPU_X86_PF_WRITE : 0) |
           (s->cpl == 3 ? AXVCPU_X86_PF_USER : 0) | (fetches ? AXVCPU_X86_PF_FETCH : 0);
}

AXVCPU_API enum axvcpu_x86_walk axvcpu_x86_walk(const struct axvcpu_x86_space *s, uint64_t rflags, uint64_t linear,
                                                uint32_t access, uint64_t *gpa, uint32_t *error)
{
    struct axvcpu_i_x86_paging p = axvcpu_i_x86_paging(s);
    struct axvcpu_i_x86_walk w = { s->cr3 & (p.levels == 3 ? 0xffffffe0u : p.levels == 2 ? 0xfffff000u :
                                                                              0x000ffffffffff000u) & s->physical_mask,
                                   AXVCPU_X86_PTE_RW | AXVCPU_X86_PTE_US, 0, 0, 0 };
    uint32_t mark = AXVCPU_X86_PTE_A | ((access & AXVCPU_ACCESS_WRITE) != 0 ? AXVCPU_X86_PTE_D : 0);
    enum axvcpu_x86_walk result;

    *error = 0;
    *gpa = linear;
    if ((s->cr0 & AXVCPU_X86_CR0_PG) == 0)
        return AXVCPU_X86_WALK_OK;
    result = axvcpu_i_x86_descend(s, &p, linear, &w, error);
    if (result == AXVCPU_X86_WALK_OK && !axvcpu_i_x86_allowed(s, w.rights, rflags, access))
        result = AXVCPU_X86_WALK_FAULT;
    *error = axvcpu_i_x86_error(s, access, *error);
    if (result != AXVCPU_X86_WALK_OK)
        return result;
    axvcpu_i_x86_mark(s, &p, &w, mark);
    *gpa = axvcpu_i_x86_within(s, &p, &w, linear);
    return AXVCPU_X86_WALK_OK;
}

/* Addresses outside 64-bit mode have 32 bits (SDM 1, 3.3.7). */
static uint64_t axvcpu_i_x86_linear(const struct axvcpu_x86_space *s, uint32_t segment, uint64_t offset)
{
    if (s->bits != 64)
        return (s->base[segment] + offset) & UINT32_MAX;
    return segment >= AXVCPU_X86_FS ? s->base[segment] + offset : offset;
}

/* Type: bit 3 is code's; data may be writable and grow down, code readable (SDM 3, table 3-1). */
AXVCPU_API bool axvcpu_x86_in_segment(uint32_t limit, uint32_t access, uint64_t offset, uint32_t width, bool write)
{
    bool code = (access & 8u) != 0, more = (access & 2u) != 0, down = !code && (access & 4u) != 0;
    uint64_t last = offset + width - 1;

    if ((access & AXVCPU_X86_AR_UNUSABLE) != 0 || (write && (code || !more)) || (code && !more))
        return false;
    if (down)
        return offset > limit && last <= ((access & AXVCPU_X86_AR_DB) != 0 ? UINT32_MAX : 0xffffu);
    return last <= limit;
}

static bool axvcpu_i_x86_segment_ok(const struct axvcpu_x86_space *s, uint32_t segment, uint64_t offset, uint32_t width,
                                    bool write)
{
    uint32_t limit, access;

    if (s->bits == 64 || s->segment == NULL)
        return true;
    s->segment(s->arg, segment, &limit, &access);
    return axvcpu_x86_in_segment(limit, access, offset, width, write);
}

/* SDM 1, 3.3.7.1 */
static bool axvcpu_i_x86_canonical(uint64_t linear, uint64_t cr4)
{
    return axvcpu_i_x86_sign(linear, (cr4 & AXVCPU_X86_CR4_LA57) != 0 ? 57 : 48) == linear;
}

/* Bytes from `linear` to the end of its page, at most n. */
static uint32_t axvcpu_i_x86_in_page(uint64_t linear, uint32_t n)
{
    uint32_t left = 0x1000u - ((uint32_t)linear & 0xfffu);

    return left < n ? left : n;
}

AXVCPU_API uint32_t axvcpu_x86_fetch(const struct axvcpu_x86_space *s, const struct axvcpu_x86_regs *r,
                                     uint8_t bytes[AXVCPU_X86_INSN_MAX])
{
    uint64_t linear = axvcpu_i_x86_linear(s, AXVCPU_X86_CS, r->rip), gpa;
    uint32_t got = 0, n, error;
    const void *from;

    while (got < AXVCPU_X86_INSN_MAX) {
        n = axvcpu_i_x86_in_page(linear + got, AXVCPU_X86_INSN_MAX - got);
        if (axvcpu_x86_walk(s, r->rflags, linear + got, AXVCPU_ACCESS_EXEC, &gpa, &error) != AXVCPU_X86_WALK_OK)
            break;
        from = s->ptr(s->arg, gpa, n, false);
        if (from == NULL)
            break;
        AXVCPU_MEMCPY(bytes + got, from, n);
        got += n;
    }
    return got;
}

/* >>decode execution: values, flags, registers */

static uint64_t axvcpu_i_x86_bytes(uint32_t n)
{
    return n >= 8 ? UINT64_MAX : (UINT64_C(1) << (8 * n)) - 1;
}

static uint64_t axvcpu_i_x86_get(const struct axvcpu_x86_regs *r, const struct axvcpu_x86_insn *i)
{
    uint64_t value = r->gpr[i->reg] >> ((i->flags & AXVCPU_X86_INSN_HIGH) != 0 ? 8 : 0);

    return value & axvcpu_i_x86_bytes(i->reg_width);
}

/* As the CPU writes a register: 4 bytes clear the rest, fewer keep it (SDM 1, 3.4.1.1). */
static uint64_t axvcpu_i_x86_merge(uint64_t old, uint64_t value, uint32_t width)
{
    uint64_t mask = axvcpu_i_x86_bytes(width);

    return (value & mask) | (width < 4 ? old & ~mask : 0);
}

static void axvcpu_i_x86_set(struct axvcpu_x86_regs *r, const struct axvcpu_x86_insn *i, uint64_t value)
{
    uint64_t *reg = &r->gpr[i->reg];

    if ((i->flags & AXVCPU_X86_INSN_HIGH) != 0)
        *reg = (*reg & ~UINT64_C(0xff00)) | (value & 0xff) << 8;
    else
        *reg = axvcpu_i_x86_merge(*reg, value, i->reg_width);
}

/* SDM 1, 3.4.3.1 */
static uint64_t axvcpu_i_x86_parity(uint64_t value)
{
    uint32_t fold = (uint32_t)((value ^ value >> 4) & 0xfu);

    return (0x9669u >> fold & 1u) != 0 ? AXVCPU_X86_FLAG_PF : 0;
}

static uint64_t axvcpu_i_x86_result_flags(uint64_t value, uint32_t width)
{
    uint64_t flags = axvcpu_i_x86_parity(value);

    flags |= (value & axvcpu_i_x86_bytes(width)) == 0 ? AXVCPU_X86_FLAG_ZF : 0;
    return flags | ((value >> (8 * width - 1) & 1u) != 0 ? AXVCPU_X86_FLAG_SF : 0);
}

/* Carries out of each bit of r = a + b + carry, or borrows of a - b - carry, give CF, AF and OF. */
static uint64_t axvcpu_i_x86_carry_flags(uint64_t a, uint64_t b, uint64_t r, uint32_t width, bool minus)
{
    uint64_t out = minus ? (~a & b) | (~(a ^ b) & r) : (a & b) | ((a | b) & ~r);
    uint64_t over = minus ? (a ^ b) & (a ^ r) : (a ^ r) & (b ^ r);
    uint32_t top = 8 * width - 1;

    return ((out >> top & 1u) != 0 ? AXVCPU_X86_FLAG_CF : 0) | ((out >> 3 & 1u) != 0 ? AXVCPU_X86_FLAG_AF : 0) |
           ((over >> top & 1u) != 0 ? AXVCPU_X86_FLAG_OF : 0);
}

#define AXVCPU_I_X86_ARITHMETIC                                                                            \
    (AXVCPU_X86_FLAG_CF | AXVCPU_X86_FLAG_PF | AXVCPU_X86_FLAG_AF | AXVCPU_X86_FLAG_ZF |                   \
     AXVCPU_X86_FLAG_SF | AXVCPU_X86_FLAG_OF)

static uint64_t axvcpu_i_x86_logic(uint64_t result, uint32_t width, uint64_t *flags)
{
    *flags = (*flags & ~(uint64_t)AXVCPU_I_X86_ARITHMETIC) | axvcpu_i_x86_result_flags(result, width);
    return result;
}

/* `keep`: flags that stay. */
static uint64_t axvcpu_i_x86_sum(uint64_t a, uint64_t b, uint64_t carry, bool minus, uint32_t width, uint64_t keep,
                                 uint64_t *flags)
{
    uint64_t r = minus ? a - b - carry : a + b + carry;
    uint64_t set = axvcpu_i_x86_carry_flags(a, b, r, width, minus) | axvcpu_i_x86_result_flags(r, width);

    keep |= ~(uint64_t)AXVCPU_I_X86_ARITHMETIC;
    *flags = (*flags & keep) | (set & ~keep);
    return r;
}

/* The bit's old value is CF; the other flags are undefined, and CPUs leave them (SDM 2, BT). */
static uint64_t axvcpu_i_x86_bit(uint32_t op, uint64_t a, uint64_t b, uint32_t width, uint64_t *flags)
{
    uint64_t bit = UINT64_C(1) << (b & (8 * width - 1));

    *flags = (*flags & ~(uint64_t)AXVCPU_X86_FLAG_CF) | ((a & bit) != 0 ? AXVCPU_X86_FLAG_CF : 0);
    return op == AXVCPU_X86_OP_BTS ? a | bit : op == AXVCPU_X86_OP_BTR ? a & ~bit : op == AXVCPU_X86_OP_BTC ? a ^ bit : a;
}

/* What `op` makes of its destination `a` and source `b`. */
static uint64_t axvcpu_i_x86_compute(uint32_t op, uint64_t a, uint64_t b, uint32_t width, uint64_t *flags)
{
    uint64_t carry = *flags & AXVCPU_X86_FLAG_CF;

    switch (op) {
    case AXVCPU_X86_OP_ADD: return axvcpu_i_x86_sum(a, b, 0, false, width, 0, flags);
    case AXVCPU_X86_OP_ADC: return axvcpu_i_x86_sum(a, b, carry, false, width, 0, flags);
    case AXVCPU_X86_OP_SBB: return axvcpu_i_x86_sum(a, b, carry, true, width, 0, flags);
    case AXVCPU_X86_OP_CMP:
    case AXVCPU_X86_OP_SUB: return axvcpu_i_x86_sum(a, b, 0, true, width, 0, flags);
    case AXVCPU_X86_OP_NEG: return axvcpu_i_x86_sum(0, a, 0, true, width, 0, flags);
    case AXVCPU_X86_OP_INC: return axvcpu_i_x86_sum(a, 1, 0, false, width, AXVCPU_X86_FLAG_CF, flags);
    case AXVCPU_X86_OP_DEC: return axvcpu_i_x86_sum(a, 1, 0, true, width, AXVCPU_X86_FLAG_CF, flags);
    case AXVCPU_X86_OP_OR: return axvcpu_i_x86_logic(a | b, width, flags);
    case AXVCPU_X86_OP_XOR: return axvcpu_i_x86_logic(a ^ b, width, flags);
    case AXVCPU_X86_OP_TEST:
    case AXVCPU_X86_OP_AND: return axvcpu_i_x86_logic(a & b, width, flags);
    case AXVCPU_X86_OP_NOT: return ~a;
    case AXVCPU_X86_OP_BT:
    case AXVCPU_X86_OP_BTS:
    case AXVCPU_X86_OP_BTR:
    case AXVCPU_X86_OP_BTC: return axvcpu_i_x86_bit(op, a, b, width, flags);
    default: return b; /* the moves, XCHG */
    }
}

/* >>decode MMIO */

enum axvcpu_i_x86_phase { AXVCPU_I_X86_READING, AXVCPU_I_X86_WRITING };

/* What the two halves of an access work on. */
struct axvcpu_i_x86_mmio {
    struct axvcpu_x86_mmio *m;
    struct axvcpu_x86_regs *r;
    const struct axvcpu_x86_space *s;
    struct axvcpu_exit *x;
};

/* Bit offsets in a register reach beyond the operand (SDM 2, BT). */
static uint64_t axvcpu_i_x86_bit_offset(const struct axvcpu_x86_insn *i, const struct axvcpu_x86_regs *r)
{
    uint64_t bit;

    if (i->op < AXVCPU_X86_OP_BT || i->op > AXVCPU_X86_OP_BTC || (i->flags & AXVCPU_X86_INSN_IMM) != 0)
        return 0;
    bit = axvcpu_i_x86_sign(r->gpr[i->reg], 8u * i->width) & ~(uint64_t)(8u * i->width - 1);
    return axvcpu_i_x86_sign(bit >> 3, 61);
}

AXVCPU_API uint64_t axvcpu_x86_address(const struct axvcpu_x86_insn *i, const struct axvcpu_x86_regs *r,
                                       const struct axvcpu_x86_space *s)
{
    uint64_t offset = i->disp + axvcpu_i_x86_bit_offset(i, r);

    if (i->base == AXVCPU_X86_RIP)
        offset += r->rip + i->length;
    else if (i->base != AXVCPU_X86_NO_REG)
        offset += r->gpr[i->base];
    if (i->index != AXVCPU_X86_NO_REG)
        offset += r->gpr[i->index] << i->scale;
    return axvcpu_i_x86_linear(s, i->segment, offset & axvcpu_i_x86_bytes(i->address_width));
}

static enum axvcpu_x86_mmio_step axvcpu_i_x86_undecodable(const uint8_t *bytes, uint32_t size, uint64_t gpa, bool write,
                                                          struct axvcpu_exit *x)
{
    x->kind = AXVCPU_EXIT_UNDECODED;
    x->undecoded.addr = gpa;
    x->undecoded.syndrome = write ? AXVCPU_ACCESS_WRITE : AXVCPU_ACCESS_READ;
    x->undecoded.insn_len = size < AXVCPU_X86_INSN_MAX ? size : AXVCPU_X86_INSN_MAX;
    AXVCPU_MEMSET(x->undecoded.insn, 0, sizeof(x->undecoded.insn));
    AXVCPU_MEMCPY(x->undecoded.insn, bytes, x->undecoded.insn_len);
    return AXVCPU_X86_MMIO_UNDECODED;
}

/* A register takes the value as it is only of a plain load, and AH to BH are no register of their own. */
static bool axvcpu_i_x86_plain(const struct axvcpu_x86_insn *i)
{
    return i->op >= AXVCPU_X86_OP_MOV && i->op <= AXVCPU_X86_OP_MOVSX && (i->flags & AXVCPU_X86_INSN_HIGH) == 0;
}

/* The next part of the access: so many bytes at *gpa, in memory if there is a pointer. None: all of it is done. */
static uint32_t axvcpu_i_x86_part(const struct axvcpu_i_x86_mmio *c, bool write, uint64_t *gpa, void **ptr)
{
    const struct axvcpu_x86_mmio *m = c->m;
    bool crosses = m->first != m->insn.width;
    uint32_t bytes = m->done == 0 ? m->first : m->done == m->first ? (uint32_t)m->insn.width - m->first : 0;

    *gpa = m->done == 0 ? m->gpa : m->next;
    *ptr = crosses && bytes != 0 && c->s->ptr != NULL ? c->s->ptr(c->s->arg, *gpa, bytes, write) : NULL;
    return bytes;
}

/* A part's exit. Of a whole access that is plain the register is told. */
static enum axvcpu_x86_mmio_step axvcpu_i_x86_device(const struct axvcpu_i_x86_mmio *c, uint32_t kind, uint64_t gpa,
                                                     uint32_t bytes)
{
    const struct axvcpu_x86_insn *i = &c->m->insn;
    bool whole = bytes == i->width, plain = whole && axvcpu_i_x86_plain(i) && i->reg != AXVCPU_X86_NO_REG;

    c->x->kind = kind;
    c->x->mmio.addr = gpa;
    c->x->mmio.data = kind == AXVCPU_EXIT_MMIO_READ ? 0 : c->m->out >> (8u * c->m->done) & axvcpu_i_x86_bytes(bytes);
    c->x->mmio.width = (uint8_t)bytes;
    c->x->mmio.reg = plain ? i->reg : AXVCPU_REG_NONE;
    c->x->mmio.reg_width = (uint8_t)(plain && kind == AXVCPU_EXIT_MMIO_READ ? i->reg_width : bytes);
    c->x->mmio.sign_extend = whole && kind == AXVCPU_EXIT_MMIO_READ && i->op == AXVCPU_X86_OP_MOVSX;
    return AXVCPU_X86_MMIO_ACCESS;
}

static void axvcpu_i_x86_had(struct axvcpu_x86_mmio *m, uint64_t value, uint32_t bytes)
{
    m->value |= (value & axvcpu_i_x86_bytes(bytes)) << (8u * m->done);
    m->done = (uint8_t)(m->done + bytes);
}

/* Reads on: DONE when `value` is whole. */
static enum axvcpu_x86_mmio_step axvcpu_i_x86_ask(const struct axvcpu_i_x86_mmio *c)
{
    uint64_t gpa, value = 0;
    uint32_t bytes;
    void *ptr;

    c->m->phase = AXVCPU_I_X86_READING;
    while ((bytes = axvcpu_i_x86_part(c, false, &gpa, &ptr)) != 0) {
        if (ptr == NULL)
            return axvcpu_i_x86_device(c, AXVCPU_EXIT_MMIO_READ, gpa, bytes);
        AXVCPU_MEMCPY(&value, ptr, bytes);
        axvcpu_i_x86_had(c->m, value, bytes);
    }
    return AXVCPU_X86_MMIO_DONE;
}

static enum axvcpu_x86_mmio_step axvcpu_i_x86_finish(const struct axvcpu_i_x86_mmio *c);

/* Writes on, and then the instruction is over. */
static enum axvcpu_x86_mmio_step axvcpu_i_x86_tell_on(const struct axvcpu_i_x86_mmio *c)
{
    uint32_t bytes;
    uint64_t gpa;
    void *ptr;

    while ((bytes = axvcpu_i_x86_part(c, true, &gpa, &ptr)) != 0) {
        uint64_t value = c->m->out >> (8u * c->m->done);

        if (ptr == NULL)
            return axvcpu_i_x86_device(c, AXVCPU_EXIT_MMIO_WRITE, gpa, bytes);
        AXVCPU_MEMCPY(ptr, &value, bytes);
        c->m->done = (uint8_t)(c->m->done + bytes);
    }
    return axvcpu_i_x86_finish(c);
}

static enum axvcpu_x86_mmio_step axvcpu_i_x86_tell(const struct axvcpu_i_x86_mmio *c, uint64_t value)
{
    c->m->phase = AXVCPU_I_X86_WRITING;
    c->m->out = value;
    c->m->done = 0;
    return axvcpu_i_x86_tell_on(c);
}

static uint64_t axvcpu_i_x86_source(const struct axvcpu_x86_insn *i, const struct axvcpu_x86_regs *r)
{
    if ((i->flags & AXVCPU_X86_INSN_IMM) != 0)
        return i->imm & axvcpu_i_x86_bytes(i->width);
    return i->reg == AXVCPU_X86_NO_REG ? 0 : axvcpu_i_x86_get(r, i);
}

/* A string's registers move on; the instruction is over when its count is (SDM 2, REP). */
static void axvcpu_i_x86_advance_string(const struct axvcpu_x86_insn *i, struct axvcpu_x86_regs *r, bool *over)
{
    uint64_t step = (r->rflags & AXVCPU_X86_FLAG_DF) != 0 ? 0 - (uint64_t)i->width : i->width;
    uint64_t *rsi = &r->gpr[AXVCPU_X86_RSI], *rdi = &r->gpr[AXVCPU_X86_RDI], *rcx = &r->gpr[AXVCPU_X86_RCX];

    if (i->op != AXVCPU_X86_OP_STOS)
        *rsi = axvcpu_i_x86_merge(*rsi, *rsi + step, i->address_width);
    if (i->op != AXVCPU_X86_OP_LODS)
        *rdi = axvcpu_i_x86_merge(*rdi, *rdi + step, i->address_width);
    if ((i->flags & AXVCPU_X86_INSN_REP) == 0)
        return;
    *rcx = axvcpu_i_x86_merge(*rcx, *rcx - 1, i->address_width);
    *over = (*rcx & axvcpu_i_x86_bytes(i->address_width)) == 0;
}

AXVCPU_API void axvcpu_x86_advance(struct axvcpu_x86_regs *r, uint32_t length, uint32_t bits)
{
    r->rip = (r->rip + length) & (bits == 64 ? UINT64_MAX : UINT32_MAX);
    r->rflags &= ~(uint64_t)AXVCPU_X86_FLAG_RF;
}

/* All accesses are done: registers, flags, RIP. */
static enum axvcpu_x86_mmio_step axvcpu_i_x86_finish(const struct axvcpu_i_x86_mmio *c)
{
    const struct axvcpu_x86_insn *i = &c->m->insn;
    uint64_t source = axvcpu_i_x86_source(i, c->r);
    bool over = true;

    if ((i->flags & AXVCPU_X86_INSN_TO_REG) != 0) {
        uint64_t result = axvcpu_i_x86_compute(i->op, source, c->m->value, i->width, &c->r->rflags);

        if (i->op != AXVCPU_X86_OP_CMP)
            axvcpu_i_x86_set(c->r, i, result);
    } else {
        (void)axvcpu_i_x86_compute(i->op, c->m->value, source, i->width, &c->r->rflags);
    }
    if (i->op == AXVCPU_X86_OP_XCHG)
        axvcpu_i_x86_set(c->r, i, c->m->value);
    if (i->op >= AXVCPU_X86_OP_STOS)
        axvcpu_i_x86_advance_string(i, c->r, &over);
    if (over)
        axvcpu_x86_advance(c->r, i->length, c->s->bits);
    return AXVCPU_X86_MMIO_DONE;
}

static enum axvcpu_x86_mmio_step axvcpu_i_x86_throw(struct axvcpu_x86_mmio *m, uint8_t vector, uint32_t error,
                                                    uint64_t cr2)
{
    m->vector = vector;
    m->error = error;
    m->cr2 = cr2;
    return AXVCPU_X86_MMIO_FAULT;
}

/* Where movs' other operand is, or a part of an access: MMIO if *ptr is NULL then. Within one page, or it is not
   for us. */
static enum axvcpu_x86_mmio_step axvcpu_i_x86_reach(const struct axvcpu_i_x86_mmio *c, uint64_t linear, uint32_t width,
                                                    bool write, uint64_t *gpa, void **ptr)
{
    uint32_t error;

    if (c->s->bits == 64 && !axvcpu_i_x86_canonical(linear, c->s->cr4))
        return axvcpu_i_x86_throw(c->m, 13, 0, 0);
    if (axvcpu_i_x86_in_page(linear, width) != width)
        return AXVCPU_X86_MMIO_UNDECODED;
    switch (axvcpu_x86_walk(c->s, c->r->rflags, linear, write ? AXVCPU_ACCESS_WRITE : AXVCPU_ACCESS_READ, gpa,
                            &error)) {
    case AXVCPU_X86_WALK_OK: break;
    case AXVCPU_X86_WALK_FAULT: return axvcpu_i_x86_throw(c->m, 14, error, linear);
    default: return AXVCPU_X86_MMIO_UNDECODED;
    }
    *ptr = c->s->ptr == NULL ? NULL : c->s->ptr(c->s->arg, *gpa, width, write);
    return AXVCPU_X86_MMIO_DONE;
}

static uint64_t axvcpu_i_x86_destination(const struct axvcpu_i_x86_mmio *c)
{
    uint64_t offset = c->r->gpr[AXVCPU_X86_RDI] & axvcpu_i_x86_bytes(c->m->insn.address_width);

    return axvcpu_i_x86_linear(c->s, AXVCPU_X86_ES, offset);
}

/* The value that movs has read goes to memory, or to a device by a further exit. */
static enum axvcpu_x86_mmio_step axvcpu_i_x86_movs_out(const struct axvcpu_i_x86_mmio *c)
{
    void *to = NULL;
    enum axvcpu_x86_mmio_step step = axvcpu_i_x86_reach(c, c->m->linear, c->m->insn.width, true, &c->m->gpa, &to);

    if (step != AXVCPU_X86_MMIO_DONE)
        return step;
    if (to == NULL)
        return axvcpu_i_x86_tell(c, c->m->value);
    AXVCPU_MEMCPY(to, &c->m->value, c->m->insn.width);
    return axvcpu_i_x86_finish(c);
}

/* movs faulted on its source, or on its destination after it had read memory. A destination that faults
   must do so before a device is read. */
static enum axvcpu_x86_mmio_step axvcpu_i_x86_movs(const struct axvcpu_i_x86_mmio *c, bool write)
{
    uint64_t gpa, linear = write ? axvcpu_x86_address(&c->m->insn, c->r, c->s) : c->m->linear;
    uint64_t rdi = c->r->gpr[AXVCPU_X86_RDI] & axvcpu_i_x86_bytes(c->m->insn.address_width);
    enum axvcpu_x86_mmio_step step;
    void *ptr = NULL;

    if (!write && !axvcpu_i_x86_segment_ok(c->s, AXVCPU_X86_ES, rdi, c->m->insn.width, true))
        return axvcpu_i_x86_throw(c->m, 13, 0, 0);
    step = axvcpu_i_x86_reach(c, linear, c->m->insn.width, !write, &gpa, &ptr);
    if (step != AXVCPU_X86_MMIO_DONE)
        return step;
    if (!write)
        return axvcpu_i_x86_ask(c);
    if (ptr == NULL)
        return AXVCPU_X86_MMIO_UNDECODED;
    AXVCPU_MEMCPY(&c->m->value, ptr, c->m->insn.width);
    return axvcpu_i_x86_tell(c, c->m->value);
}

/* Both pages of an access that crosses one, before anything is done on either. Which of the two has faulted the
   CPU says. */
static enum axvcpu_x86_mmio_step axvcpu_i_x86_cross(const struct axvcpu_i_x86_mmio *c, uint64_t linear)
{
    struct axvcpu_x86_mmio *m = c->m;
    bool write = (m->insn.access & AXVCPU_ACCESS_WRITE) != 0;
    uint64_t faulted = m->gpa >> 12, second = linear + m->first;
    enum axvcpu_x86_mmio_step step;
    void *ptr;

    if (m->insn.op == AXVCPU_X86_OP_MOVS)
        return AXVCPU_X86_MMIO_UNDECODED;
    step = axvcpu_i_x86_reach(c, linear, m->first, write, &m->gpa, &ptr);
    if (step == AXVCPU_X86_MMIO_DONE)
        step = axvcpu_i_x86_reach(c, c->s->bits == 64 ? second : second & UINT32_MAX, m->insn.width - m->first, write,
                                  &m->next, &ptr);
    if (step == AXVCPU_X86_MMIO_DONE && m->gpa >> 12 != faulted && m->next >> 12 != faulted)
        return AXVCPU_X86_MMIO_UNDECODED;
    return step;
}

/* The bytes may have changed since the CPU read them: what does not fit is not ours. */
static enum axvcpu_x86_mmio_step axvcpu_i_x86_fits(const struct axvcpu_i_x86_mmio *c, bool write)
{
    const struct axvcpu_x86_insn *i = &c->m->insn;
    uint64_t linear = write && i->op == AXVCPU_X86_OP_MOVS ? c->m->linear : axvcpu_x86_address(i, c->r, c->s);

    if ((i->access & (write ? AXVCPU_ACCESS_WRITE : AXVCPU_ACCESS_READ)) == 0)
        return AXVCPU_X86_MMIO_UNDECODED;
    c->m->first = (uint8_t)axvcpu_i_x86_in_page(linear, i->width);
    if (c->m->first != i->width)
        return axvcpu_i_x86_cross(c, linear);
    return ((linear ^ c->m->gpa) & 0xfff) != 0 ? AXVCPU_X86_MMIO_UNDECODED : AXVCPU_X86_MMIO_DONE;
}

/* All is read: the value as a load has it, extended for movsx. */
static enum axvcpu_x86_mmio_step axvcpu_i_x86_have(const struct axvcpu_i_x86_mmio *c)
{
    const struct axvcpu_x86_insn *i = &c->m->insn;
    uint64_t flags = c->r->rflags;

    if (i->op == AXVCPU_X86_OP_MOVSX)
        c->m->value = axvcpu_i_x86_sign(c->m->value, 8u * i->width);
    if (i->op == AXVCPU_X86_OP_MOVS)
        return axvcpu_i_x86_movs_out(c);
    if ((i->access & AXVCPU_ACCESS_WRITE) == 0)
        return axvcpu_i_x86_finish(c);
    return axvcpu_i_x86_tell(c,
                             axvcpu_i_x86_compute(i->op, c->m->value, axvcpu_i_x86_source(i, c->r), i->width, &flags));
}

static enum axvcpu_x86_mmio_step axvcpu_i_x86_first_step(const struct axvcpu_i_x86_mmio *c, bool write)
{
    enum axvcpu_x86_mmio_step step = axvcpu_i_x86_fits(c, write);

    if (step != AXVCPU_X86_MMIO_DONE)
        return step;
    if (c->m->insn.op == AXVCPU_X86_OP_MOVS)
        return axvcpu_i_x86_movs(c, write);
    if ((c->m->insn.access & AXVCPU_ACCESS_READ) == 0)
        return axvcpu_i_x86_tell(c, axvcpu_i_x86_source(&c->m->insn, c->r));
    step = axvcpu_i_x86_ask(c);
    return step == AXVCPU_X86_MMIO_DONE ? axvcpu_i_x86_have(c) : step;
}

AXVCPU_API enum axvcpu_x86_mmio_step axvcpu_x86_mmio_begin(struct axvcpu_x86_mmio *m, struct axvcpu_x86_regs *r,
                                                           const struct axvcpu_x86_space *s, const uint8_t *bytes,
                                                           uint32_t size, uint64_t gpa, bool write,
                                                           struct axvcpu_exit *x)
{
    struct axvcpu_i_x86_mmio c = { m, r, s, x };
    enum axvcpu_x86_mmio_step step;

    m->gpa = gpa;
    m->value = 0;
    m->done = 0;
    if (!axvcpu_x86_decode(bytes, size, s->bits, &m->insn))
        return axvcpu_i_x86_undecodable(bytes, size, gpa, write, x);
    m->linear = axvcpu_i_x86_destination(&c);
    step = axvcpu_i_x86_first_step(&c, write);
    return step == AXVCPU_X86_MMIO_UNDECODED ? axvcpu_i_x86_undecodable(bytes, size, gpa, write, x) : step;
}

AXVCPU_API enum axvcpu_x86_mmio_step axvcpu_x86_mmio_commit(struct axvcpu_x86_mmio *m, struct axvcpu_x86_regs *r,
                                                            const struct axvcpu_x86_space *s,
                                                            const struct axvcpu_answer *a, struct axvcpu_exit *x)
{
    struct axvcpu_i_x86_mmio c = { m, r, s, x };
    uint32_t bytes = m->done == 0 ? m->first : (uint32_t)m->insn.width - m->first; /* that were asked for, or told */
    enum axvcpu_x86_mmio_step step;

    if (m->phase == AXVCPU_I_X86_WRITING) {
        m->done = (uint8_t)(m->done + bytes);
        return axvcpu_i_x86_tell_on(&c);
    }
    axvcpu_i_x86_had(m, a->refused ? UINT64_MAX : a->value, bytes); /* a bus answers with all ones */
    step = axvcpu_i_x86_ask(&c);
    return step == AXVCPU_X86_MMIO_DONE ? axvcpu_i_x86_have(&c) : step;
}

/* >>decode exits */

static void axvcpu_i_x86_event(struct axvcpu_x86_event *e, uint64_t info, uint64_t error, uint32_t length)
{
    e->info = (info & AXVCPU_X86_EVENT_VALID) != 0 ? (uint32_t)info & 0x80000fffu : 0;
    e->error = (e->info & AXVCPU_X86_EVENT_ERROR) != 0 ? (uint32_t)error : 0;
    e->length = AXVCPU_X86_EVENT_TYPE(e->info) >= AXVCPU_X86_EVENT_SOFTWARE ? length : 0;
}

/* >>decode exits: SVM (APM 2, appendix C) */

/* What an exit code means, first to last, and whether it is an instruction that the PC must pass. */
struct axvcpu_i_x86_svm_code {
    uint16_t first, last;
    uint8_t cause;
    bool insn;
};
static const struct axvcpu_i_x86_svm_code axvcpu_i_x86_svm_codes[] = {
    { 0x000, 0x01f, AXVCPU_X86_CAUSE_CR, true },
    { 0x020, 0x03f, AXVCPU_X86_CAUSE_DR, true },
    { 0x040, 0x05f, AXVCPU_X86_CAUSE_EXCEPTION, false },
    { 0x060, 0x060, AXVCPU_X86_CAUSE_INTERRUPT, false },
    { 0x061, 0x061, AXVCPU_X86_CAUSE_HOST_NMI, false },
    { 0x062, 0x062, AXVCPU_X86_CAUSE_SMI, false },
    { 0x063, 0x063, AXVCPU_X86_CAUSE_INIT, false },
    { 0x064, 0x064, AXVCPU_X86_CAUSE_WINDOW, false },
    { 0x065, 0x065, AXVCPU_X86_CAUSE_CR, true }, /* a selective write of CR0 */
    { 0x066, 0x06d, AXVCPU_X86_CAUSE_TABLES, true },
    { 0x06e, 0x06e, AXVCPU_X86_CAUSE_RDTSC, true },
    { 0x06f, 0x06f, AXVCPU_X86_CAUSE_RDPMC, true },
    { 0x072, 0x072, AXVCPU_X86_CAUSE_CPUID, true },
    { 0x073, 0x073, AXVCPU_X86_CAUSE_UNDEFINED, false }, /* RSM, outside SMM */
    { 0x074, 0x074, AXVCPU_X86_CAUSE_NMI_WINDOW, false }, /* IRET, before it executes */
    { 0x076, 0x076, AXVCPU_X86_CAUSE_CACHE, true },
    { 0x077, 0x077, AXVCPU_X86_CAUSE_PAUSE, true },
    { 0x078, 0x078, AXVCPU_X86_CAUSE_HLT, true },
    { 0x079, 0x079, AXVCPU_X86_CAUSE_INVLPG, true },
    { 0x07a, 0x07a, AXVCPU_X86_CAUSE_UNDEFINED, false }, /* INVLPGA */
    { 0x07b, 0x07b, AXVCPU_X86_CAUSE_IO, true },
    { 0x07c, 0x07c, AXVCPU_X86_CAUSE_RDMSR, true },
    { 0x07d, 0x07d, AXVCPU_X86_CAUSE_TASK, false },
    { 0x07f, 0x07f, AXVCPU_X86_CAUSE_SHUTDOWN, false },
    { 0x080, 0x080, AXVCPU_X86_CAUSE_UNDEFINED, false }, /* VMRUN */
    { 0x081, 0x081, AXVCPU_X86_CAUSE_HYPERCALL, true },
    { 0x082, 0x086, AXVCPU_X86_CAUSE_UNDEFINED, false }, /* VMLOAD, VMSAVE, STGI, CLGI, SKINIT */
    { 0x087, 0x087, AXVCPU_X86_CAUSE_RDTSCP, true },
    { 0x089, 0x089, AXVCPU_X86_CAUSE_CACHE, true },
    { 0x08a, 0x08a, AXVCPU_X86_CAUSE_MONITOR, true },
    { 0x08b, 0x08c, AXVCPU_X86_CAUSE_MWAIT, true },
    { 0x08d, 0x08d, AXVCPU_X86_CAUSE_XSETBV, true },
    { 0x08e, 0x08e, AXVCPU_X86_CAUSE_UNDEFINED, false }, /* RDPRU */
    { 0x0a0, 0x0a4, AXVCPU_X86_CAUSE_UNDEFINED, false }, /* INVLPGB, INVPCID, MCOMMIT, TLBSYNC */
    { 0x400, 0x400, AXVCPU_X86_CAUSE_MEMORY, false },
};

/* Behind the prefixes of MOV CR, CLTS, LMSW or SMSW (SDM 2): operand registers are in ModRM. */
static bool axvcpu_i_x86_svm_cr_bytes(const struct axvcpu_x86_svm_raw *v, struct axvcpu_x86_cr *cr)
{
    struct axvcpu_i_x86_reader r = axvcpu_i_x86_reader(v->bytes, v->size, v->bits);
    uint8_t opcode, modrm;

    if (axvcpu_i_x86_prefixes(&r) != 0x0f)
        return false;
    opcode = (uint8_t)axvcpu_i_x86_take(&r, 1);
    modrm = opcode == 0x06 ? 0 : (uint8_t)axvcpu_i_x86_take(&r, 1);
    cr->reg = (uint8_t)((modrm & 7u) | (r.rex & 1u) << 3);
    cr->memory = opcode == 0x01 && modrm >> 6 != 3;
    switch (opcode) {
    case 0x20: case 0x21: cr->op = AXVCPU_X86_CR_FROM; break;
    case 0x22: case 0x23: cr->op = AXVCPU_X86_CR_TO; break;
    case 0x06: cr->op = AXVCPU_X86_CR_CLTS; break;
    case 0x01: cr->op = (modrm >> 3 & 7u) == 6 ? AXVCPU_X86_CR_LMSW : AXVCPU_X86_CR_SMSW; break;
    default: return false;
    }
    return !r.over;
}

/* Decode assists say which register (APM 2, 15.8.1), but not what else than MOV it was. */
static bool axvcpu_i_x86_svm_cr(const struct axvcpu_x86_svm_raw *v, struct axvcpu_x86_left *l)
{
    bool mov = v->assists && (l->cause == AXVCPU_X86_CAUSE_DR || (v->info1 >> 63) != 0);

    l->cr.nr = v->code == 0x065 ? 0 : (uint8_t)(v->code & 0xf);
    l->cr.reg = (uint8_t)(v->info1 & 0xf);
    l->cr.op = (v->code & 0x10) != 0 ? AXVCPU_X86_CR_TO : AXVCPU_X86_CR_FROM;
    if (mov && v->code != 0x065)
        return true;
    if (v->size == 0)
        return false;
    if (!axvcpu_i_x86_svm_cr_bytes(v, &l->cr))
        l->cause = AXVCPU_X86_CAUSE_RAW;
    return true;
}

/* Without decode assists a string's segment is in its prefixes (APM 2, 15.10.2), and QEMU gives no address
   size either. */
static bool axvcpu_i_x86_svm_string(const struct axvcpu_x86_svm_raw *v, struct axvcpu_x86_left *l)
{
    struct axvcpu_i_x86_reader r = axvcpu_i_x86_reader(v->bytes, v->size, v->bits);

    if (v->size == 0)
        return false;
    (void)axvcpu_i_x86_prefixes(&r);
    if (l->io.address_width == 0)
        l->io.address_width = axvcpu_i_x86_address_width(&r);
    if ((v->info1 & 1u) == 0 && !v->assists)
        l->io.segment = r.segment == AXVCPU_X86_NO_REG ? (uint8_t)AXVCPU_X86_DS : r.segment;
    return true;
}

/* To the next RIP, as the CPU tells it. 0: it does not, or that has wrapped: the bytes know. */
static uint32_t axvcpu_i_x86_svm_step(const struct axvcpu_x86_svm_raw *v, uint64_t next)
{
    return next - v->rip <= AXVCPU_X86_INSN_MAX ? (uint32_t)(next - v->rip) : 0;
}

/* APM 2, 15.10.2 */
static bool axvcpu_i_x86_svm_io(const struct axvcpu_x86_svm_raw *v, struct axvcpu_x86_left *l)
{
    uint32_t i = (uint32_t)v->info1;
    bool in = (i & 1u) != 0, told = (v->assists || in) && (i >> 7 & 7u) != 0;

    l->io.port = (uint16_t)(i >> 16);
    l->io.width = (uint8_t)(i >> 4 & 7u);
    l->io.flags =
        (uint8_t)((i & 1u) | ((i & 4u) != 0 ? AXVCPU_X86_IO_STRING : 0) | ((i & 8u) != 0 ? AXVCPU_X86_IO_REP : 0));
    l->io.address_width = (uint8_t)((i >> 7 & 7u) * 2);
    l->io.segment = in ? (uint8_t)AXVCPU_X86_ES : (uint8_t)(v->assists ? i >> 10 & 7u : (uint32_t)AXVCPU_X86_DS);
    l->length = axvcpu_i_x86_svm_step(v, v->info2);
    return told || (i & 4u) == 0 || axvcpu_i_x86_svm_string(v, l);
}

/* APM 2, 15.25.6: the error code is a page fault's, of a user access; bit 32: the final address, 33: a table. */
static void axvcpu_i_x86_svm_memory(const struct axvcpu_x86_svm_raw *v, struct axvcpu_x86_left *l)
{
    l->gpa = v->info2;
    l->access = (v->info1 & AXVCPU_X86_PF_FETCH) != 0 ? AXVCPU_ACCESS_EXEC :
                (v->info1 & AXVCPU_X86_PF_WRITE) != 0 ? AXVCPU_ACCESS_WRITE :
                                                        AXVCPU_ACCESS_READ;
    if ((v->info1 >> 33 & 1u) != 0)
        l->access |= AXVCPU_ACCESS_WALK;
    if ((v->info1 & AXVCPU_X86_PF_RESERVED) != 0)
        l->cause = AXVCPU_X86_CAUSE_MISCONFIG;
}

/* Those with an error code: SDM 3, table 6-1; APM 2, 8.2. */
#define AXVCPU_I_X86_WITH_ERROR (1u << 8 | 0x1fu << 10 | 1u << 17 | 1u << 21 | 1u << 29 | 1u << 30)

static void axvcpu_i_x86_svm_exception(const struct axvcpu_x86_svm_raw *v, struct axvcpu_x86_left *l)
{
    uint32_t vector = (uint32_t)v->code - 0x40;

    l->event.info = AXVCPU_X86_EVENT(EXCEPTION, vector);
    if ((AXVCPU_I_X86_WITH_ERROR >> vector & 1u) != 0)
        l->event.info |= AXVCPU_X86_EVENT_ERROR;
    l->event.error = (l->event.info & AXVCPU_X86_EVENT_ERROR) != 0 ? (uint32_t)v->info1 : 0;
    l->has_linear = vector == 14;
    l->linear = vector == 14 ? v->info2 : 0;
}

static uint32_t axvcpu_i_x86_svm_length(const struct axvcpu_x86_svm_raw *v)
{
    uint32_t length = v->nrip ? axvcpu_i_x86_svm_step(v, v->next_rip) : 0;

    return length != 0 ? length : axvcpu_x86_length(v->bytes, v->size, v->bits);
}

static bool axvcpu_i_x86_svm_details(const struct axvcpu_x86_svm_raw *v, struct axvcpu_x86_left *l)
{
    switch (l->cause) {
    case AXVCPU_X86_CAUSE_CR:
    case AXVCPU_X86_CAUSE_DR: return axvcpu_i_x86_svm_cr(v, l);
    case AXVCPU_X86_CAUSE_IO: return axvcpu_i_x86_svm_io(v, l);
    case AXVCPU_X86_CAUSE_RDMSR:
        l->cause = (v->info1 & 1u) != 0 ? AXVCPU_X86_CAUSE_WRMSR : AXVCPU_X86_CAUSE_RDMSR;
        break;
    case AXVCPU_X86_CAUSE_MEMORY: axvcpu_i_x86_svm_memory(v, l); break;
    case AXVCPU_X86_CAUSE_EXCEPTION: axvcpu_i_x86_svm_exception(v, l); break;
    case AXVCPU_X86_CAUSE_INVLPG: l->has_linear = v->assists; l->linear = v->info1; break;
    case AXVCPU_X86_CAUSE_INTERRUPT: l->vector = AXVCPU_NO_VECTOR; break;
    default: break;
    }
    return true;
}

static const struct axvcpu_i_x86_svm_code *axvcpu_i_x86_svm_find(uint64_t code)
{
    size_t i;

    for (i = 0; i < sizeof(axvcpu_i_x86_svm_codes) / sizeof(axvcpu_i_x86_svm_codes[0]); i++)
        if (code >= axvcpu_i_x86_svm_codes[i].first && code <= axvcpu_i_x86_svm_codes[i].last)
            return &axvcpu_i_x86_svm_codes[i];
    return NULL;
}

AXVCPU_API bool axvcpu_x86_svm_left(const struct axvcpu_x86_svm_raw *v, struct axvcpu_x86_left *l)
{
    const struct axvcpu_i_x86_svm_code *c = axvcpu_i_x86_svm_find(v->code);

    AXVCPU_MEMSET(l, 0, sizeof(*l));
    l->raw = v->code;
    axvcpu_i_x86_event(&l->under_way, v->int_info, v->int_info >> 32, 0);
    if (v->code >= UINT64_MAX - 1) {
        l->cause = AXVCPU_X86_CAUSE_INVALID;
        l->fail = v->code == UINT64_MAX ? AXVCPU_X86_FAIL_STATE : AXVCPU_X86_FAIL_BUSY;
        return true;
    }
    l->cause = c == NULL ? (uint32_t)AXVCPU_X86_CAUSE_RAW : c->cause;
    if (!axvcpu_i_x86_svm_details(v, l))
        return false;
    if (c == NULL || !c->insn || l->length != 0)
        return true;
    l->length = axvcpu_i_x86_svm_length(v);
    return l->length != 0 || v->size != 0;
}

/* >>decode exits: VMX (SDM 3, appendix C) */

#define AXVCPU_I_X86_VMX_REASONS 76
struct axvcpu_i_x86_vmx_reason { uint8_t cause, needs; };
#define AXVCPU_I_X86_INSN(cause, needs) { AXVCPU_X86_CAUSE_##cause, AXVCPU_X86_NEEDS_LENGTH | (needs) }
#define AXVCPU_I_X86_EVENT_(cause, needs) { AXVCPU_X86_CAUSE_##cause, needs }
#define AXVCPU_I_X86_UD { AXVCPU_X86_CAUSE_UNDEFINED, 0 }
static const struct axvcpu_i_x86_vmx_reason axvcpu_i_x86_vmx_reasons[AXVCPU_I_X86_VMX_REASONS] = {
    [0] = AXVCPU_I_X86_EVENT_(EXCEPTION, AXVCPU_X86_NEEDS_INTERRUPTION | AXVCPU_X86_NEEDS_QUALIFICATION | AXVCPU_X86_NEEDS_IDT),
    [1] = AXVCPU_I_X86_EVENT_(INTERRUPT, AXVCPU_X86_NEEDS_INTERRUPTION),
    [2] = AXVCPU_I_X86_EVENT_(SHUTDOWN, 0),
    [3] = AXVCPU_I_X86_EVENT_(INIT, 0),
    [4] = AXVCPU_I_X86_EVENT_(STARTUP, AXVCPU_X86_NEEDS_QUALIFICATION),
    [5] = AXVCPU_I_X86_EVENT_(SMI, 0),
    [6] = AXVCPU_I_X86_EVENT_(SMI, 0),
    [7] = AXVCPU_I_X86_EVENT_(WINDOW, 0),
    [8] = AXVCPU_I_X86_EVENT_(NMI_WINDOW, 0),
    [9] = AXVCPU_I_X86_EVENT_(TASK, AXVCPU_X86_NEEDS_QUALIFICATION | AXVCPU_X86_NEEDS_IDT | AXVCPU_X86_NEEDS_LENGTH),
    [10] = AXVCPU_I_X86_INSN(CPUID, 0),
    [11] = AXVCPU_I_X86_UD, /* GETSEC */
    [12] = AXVCPU_I_X86_INSN(HLT, 0),
    [13] = AXVCPU_I_X86_INSN(CACHE, 0), /* INVD */
    [14] = AXVCPU_I_X86_INSN(INVLPG, AXVCPU_X86_NEEDS_QUALIFICATION),
    [15] = AXVCPU_I_X86_INSN(RDPMC, 0),
    [16] = AXVCPU_I_X86_INSN(RDTSC, 0),
    [17] = AXVCPU_I_X86_UD, /* RSM */
    [18] = AXVCPU_I_X86_INSN(HYPERCALL, 0),
    [19] = AXVCPU_I_X86_UD, [20] = AXVCPU_I_X86_UD, [21] = AXVCPU_I_X86_UD, /* VMCLEAR, VMLAUNCH, VMPTRLD, */
    [22] = AXVCPU_I_X86_UD, [23] = AXVCPU_I_X86_UD, [24] = AXVCPU_I_X86_UD, /* VMPTRST, VMREAD, VMRESUME, */
    [25] = AXVCPU_I_X86_UD, [26] = AXVCPU_I_X86_UD, [27] = AXVCPU_I_X86_UD, /* VMWRITE, VMXOFF, VMXON */
    [28] = AXVCPU_I_X86_INSN(CR, AXVCPU_X86_NEEDS_QUALIFICATION),
    [29] = AXVCPU_I_X86_INSN(DR, AXVCPU_X86_NEEDS_QUALIFICATION),
    [30] = AXVCPU_I_X86_INSN(IO, AXVCPU_X86_NEEDS_QUALIFICATION), /* of strings the information, too */
    [31] = AXVCPU_I_X86_INSN(RDMSR, 0),
    [32] = AXVCPU_I_X86_INSN(WRMSR, 0),
    [33] = AXVCPU_I_X86_EVENT_(INVALID, AXVCPU_X86_NEEDS_QUALIFICATION),
    [34] = AXVCPU_I_X86_EVENT_(INVALID, AXVCPU_X86_NEEDS_QUALIFICATION),
    [36] = AXVCPU_I_X86_INSN(MWAIT, 0),
    [37] = AXVCPU_I_X86_EVENT_(STEP, 0),
    [39] = AXVCPU_I_X86_INSN(MONITOR, 0),
    [40] = AXVCPU_I_X86_INSN(PAUSE, 0),
    [41] = AXVCPU_I_X86_EVENT_(INVALID, 0),
    [45] = AXVCPU_I_X86_EVENT_(EOI, AXVCPU_X86_NEEDS_QUALIFICATION),
    [46] = AXVCPU_I_X86_INSN(TABLES, 0),
    [47] = AXVCPU_I_X86_INSN(TABLES, 0),
    [48] = AXVCPU_I_X86_EVENT_(MEMORY, AXVCPU_X86_NEEDS_QUALIFICATION | AXVCPU_X86_NEEDS_GPA | AXVCPU_X86_NEEDS_IDT),
    [49] = AXVCPU_I_X86_EVENT_(MISCONFIG, AXVCPU_X86_NEEDS_GPA | AXVCPU_X86_NEEDS_IDT),
    [50] = AXVCPU_I_X86_UD, /* INVEPT */
    [51] = AXVCPU_I_X86_INSN(RDTSCP, 0),
    [52] = AXVCPU_I_X86_EVENT_(TIMER, 0),
    [53] = AXVCPU_I_X86_UD, /* INVVPID */
    [54] = AXVCPU_I_X86_INSN(CACHE, 0),
    [55] = AXVCPU_I_X86_INSN(XSETBV, 0),
    [57] = AXVCPU_I_X86_UD, [58] = AXVCPU_I_X86_UD, [59] = AXVCPU_I_X86_UD, /* RDRAND, INVPCID, VMFUNC, */
    [60] = AXVCPU_I_X86_UD, [61] = AXVCPU_I_X86_UD, /* ENCLS, RDSEED: only where they are not enabled */
    [63] = AXVCPU_I_X86_UD, [64] = AXVCPU_I_X86_UD, /* XSAVES, XRSTORS */
    [67] = AXVCPU_I_X86_UD, [68] = AXVCPU_I_X86_UD, /* UMWAIT, TPAUSE */
};

static const struct axvcpu_i_x86_vmx_reason *axvcpu_i_x86_vmx_find(uint64_t reason)
{
    static const struct axvcpu_i_x86_vmx_reason none = { AXVCPU_X86_CAUSE_RAW, 0 };

    reason &= 0xffff;
    return reason < AXVCPU_I_X86_VMX_REASONS ? &axvcpu_i_x86_vmx_reasons[reason] : &none;
}

AXVCPU_API uint32_t axvcpu_x86_vmx_needs(uint64_t reason)
{
    return axvcpu_i_x86_vmx_find(reason)->needs;
}

/* SDM 3, table 28-3 */
static void axvcpu_i_x86_vmx_cr(const struct axvcpu_x86_vmx_raw *v, struct axvcpu_x86_left *l)
{
    static const uint8_t op[4] = { AXVCPU_X86_CR_TO, AXVCPU_X86_CR_FROM, AXVCPU_X86_CR_CLTS, AXVCPU_X86_CR_LMSW };

    l->cr.nr = (uint8_t)(v->qualification & 0xf);
    l->cr.op = op[v->qualification >> 4 & 3u];
    l->cr.memory = (v->qualification >> 6 & 1u) != 0;
    l->cr.reg = (uint8_t)(v->qualification >> 8 & 0xf);
    l->cr.source = (uint16_t)(v->qualification >> 16);
    l->cr.sourced = l->cr.op == AXVCPU_X86_CR_LMSW; /* whose register is not told */
}

/* SDM 3, table 28-4 */
static void axvcpu_i_x86_vmx_dr(const struct axvcpu_x86_vmx_raw *v, struct axvcpu_x86_left *l)
{
    l->cr.nr = (uint8_t)(v->qualification & 7);
    l->cr.op = (v->qualification >> 4 & 1u) != 0 ? AXVCPU_X86_CR_FROM : AXVCPU_X86_CR_TO;
    l->cr.reg = (uint8_t)(v->qualification >> 8 & 0xf);
}

/* SDM 3, tables 28-5 and 28-9 */
static void axvcpu_i_x86_vmx_io(const struct axvcpu_x86_vmx_raw *v, struct axvcpu_x86_left *l)
{
    uint32_t q = (uint32_t)v->qualification;

    l->io.port = (uint16_t)(q >> 16);
    l->io.width = (uint8_t)((q & 7u) + 1);
    l->io.flags = (uint8_t)(((q & 8u) != 0 ? AXVCPU_X86_IO_IN : 0) | ((q & 0x10u) != 0 ? AXVCPU_X86_IO_STRING : 0) |
                            ((q & 0x20u) != 0 ? AXVCPU_X86_IO_REP : 0));
    l->io.address_width = (uint8_t)(2u << (v->info >> 7 & 3u));
    l->io.segment = (q & 8u) != 0 ? (uint8_t)AXVCPU_X86_ES : (uint8_t)(v->info >> 15 & 7u);
}

/* SDM 3, table 28-7. A table is read, or written for its accessed and dirty bits. */
static void axvcpu_i_x86_vmx_memory(const struct axvcpu_x86_vmx_raw *v, struct axvcpu_x86_left *l)
{
    uint32_t q = (uint32_t)v->qualification;

    l->gpa = v->gpa;
    l->linear = v->linear;
    l->has_linear = (q & 0x80u) != 0;
    l->access = (q & 4u) != 0 ? AXVCPU_ACCESS_EXEC : (q & 2u) != 0 ? AXVCPU_ACCESS_WRITE : AXVCPU_ACCESS_READ;
    if ((q & 0x80u) != 0 && (q & 0x100u) == 0)
        l->access |= AXVCPU_ACCESS_WALK;
    l->unblock = (q & 0x1000u) != 0 && (v->idt_info & AXVCPU_X86_EVENT_VALID) == 0;
}

static void axvcpu_i_x86_vmx_exception(const struct axvcpu_x86_vmx_raw *v, struct axvcpu_x86_left *l)
{
    uint32_t vector = v->int_info & AXVCPU_X86_EVENT_VECTOR;

    axvcpu_i_x86_event(&l->event, v->int_info, v->int_error, v->length);
    if (AXVCPU_X86_EVENT_TYPE(v->int_info) == AXVCPU_X86_EVENT_NMI)
        l->cause = AXVCPU_X86_CAUSE_HOST_NMI;
    l->has_linear = vector == 14 || vector == 1;
    l->linear = v->qualification;
    /* SDM 3, 28.2.3: not for a double fault, nor while delivering something */
    l->unblock = (v->int_info & 0x1000u) != 0 && vector != 8 && (v->idt_info & AXVCPU_X86_EVENT_VALID) == 0;
}

static uint32_t axvcpu_i_x86_vmx_fail(uint64_t reason)
{
    reason &= 0xffff;
    return reason == 33 ? AXVCPU_X86_FAIL_STATE : reason == 34 ? AXVCPU_X86_FAIL_MSRS : AXVCPU_X86_FAIL_MACHINE_CHECK;
}

static void axvcpu_i_x86_vmx_details(const struct axvcpu_x86_vmx_raw *v, struct axvcpu_x86_left *l)
{
    switch (l->cause) {
    case AXVCPU_X86_CAUSE_CR: axvcpu_i_x86_vmx_cr(v, l); break;
    case AXVCPU_X86_CAUSE_DR: axvcpu_i_x86_vmx_dr(v, l); break;
    case AXVCPU_X86_CAUSE_IO: axvcpu_i_x86_vmx_io(v, l); break;
    case AXVCPU_X86_CAUSE_MEMORY: axvcpu_i_x86_vmx_memory(v, l); break;
    case AXVCPU_X86_CAUSE_MISCONFIG: l->gpa = v->gpa; break;
    case AXVCPU_X86_CAUSE_EXCEPTION: axvcpu_i_x86_vmx_exception(v, l); break;
    case AXVCPU_X86_CAUSE_INTERRUPT:
        l->vector =
            (v->int_info & AXVCPU_X86_EVENT_VALID) != 0 ? v->int_info & AXVCPU_X86_EVENT_VECTOR : AXVCPU_NO_VECTOR;
        break;
    case AXVCPU_X86_CAUSE_STARTUP:
    case AXVCPU_X86_CAUSE_EOI: l->vector = (uint32_t)v->qualification & 0xffu; break;
    case AXVCPU_X86_CAUSE_INVLPG: l->linear = v->qualification; l->has_linear = true; break;
    case AXVCPU_X86_CAUSE_INVALID: l->fail = axvcpu_i_x86_vmx_fail(v->reason); break;
    default: break;
    }
}

AXVCPU_API void axvcpu_x86_vmx_left(const struct axvcpu_x86_vmx_raw *v, struct axvcpu_x86_left *l)
{
    const struct axvcpu_i_x86_vmx_reason *e = axvcpu_i_x86_vmx_find(v->reason);

    AXVCPU_MEMSET(l, 0, sizeof(*l));
    l->raw = v->reason;
    l->cause = e->cause;
    if ((e->needs & AXVCPU_X86_NEEDS_LENGTH) != 0)
        l->length = v->length;
    if ((e->needs & AXVCPU_X86_NEEDS_IDT) != 0)
        axvcpu_i_x86_event(&l->under_way, v->idt_info, v->idt_error, v->length);
    axvcpu_i_x86_vmx_details(v, l);
}

/* >>decode rules */

#define AXVCPU_I_X86_GP 13
#define AXVCPU_I_X86_UD_VECTOR 6
#define AXVCPU_I_X86_DB 1

AXVCPU_API void axvcpu_x86_control_reset(struct axvcpu_x86_control *c, bool bsp)
{
    c->cr0 = AXVCPU_X86_CR0_ET | AXVCPU_X86_CR0_CD | AXVCPU_X86_CR0_NW;
    c->cr3 = c->cr4 = c->cr8 = c->efer = 0;
    c->xcr0 = 1;
    c->cpl = 0;
    c->cs_access = 0x9b;
    AXVCPU_MEMSET(c->shadow, 0, sizeof(c->shadow));
    c->shadow[AXVCPU_X86_SHADOW_APIC_BASE] = AXVCPU_X86_APIC_PAGE | AXVCPU_X86_APIC_ON | (bsp ? 1u << 8 : 0);
    c->shadow[AXVCPU_X86_SHADOW_MISC_ENABLE] = 1; /* fast strings */
}

/* A bit of CPUID allows a bit of CR4 or EFER (SDM 3, 2.5; APM 2, 3.1.7). */
struct axvcpu_i_x86_allows { uint32_t leaf; uint8_t reg, bit; bool efer; uint32_t bits; };
static const struct axvcpu_i_x86_allows axvcpu_i_x86_allow[] = {
    { 1, 3, 1, false, 0x003 },        /* VME: VME, PVI */
    { 1, 3, 4, false, 0x004 },        /* TSC: TSD */
    { 1, 3, 2, false, 0x008 },        /* DE */
    { 1, 3, 3, false, AXVCPU_X86_CR4_PSE },
    { 1, 3, 6, false, AXVCPU_X86_CR4_PAE },
    { 1, 3, 7, false, 0x040 },        /* MCE */
    { 1, 3, 13, false, 0x080 },       /* PGE */
    { 0xa, 0, 0, false, 0x100 },      /* performance counters: PCE */
    { 1, 3, 24, false, AXVCPU_X86_CR4_OSFXSR },
    { 1, 3, 25, false, AXVCPU_X86_CR4_OSXMMEXCPT },
    { 7, 2, 2, false, 0x800 },        /* UMIP */
    { 7, 2, 16, false, AXVCPU_X86_CR4_LA57 },
    { 1, 2, 5, false, AXVCPU_X86_CR4_VMXE },
    { 1, 2, 6, false, 0x4000 },       /* SMX: SMXE */
    { 7, 1, 0, false, AXVCPU_X86_CR4_FSGSBASE },
    { 1, 2, 17, false, AXVCPU_X86_CR4_PCIDE },
    { 1, 2, 26, false, AXVCPU_X86_CR4_OSXSAVE },
    { 7, 1, 7, false, AXVCPU_X86_CR4_SMEP },
    { 7, 1, 20, false, AXVCPU_X86_CR4_SMAP },
    { 7, 2, 3, false, AXVCPU_X86_CR4_PKE },
    { 7, 2, 7, false, AXVCPU_X86_CR4_CET }, /* shadow stacks */
    { 7, 3, 20, false, AXVCPU_X86_CR4_CET }, /* indirect branch tracking */
    { 7, 2, 31, false, 0x1000000 },   /* PKS */
    { 0x80000001, 3, 11, true, AXVCPU_X86_EFER_SCE },
    { 0x80000001, 3, 29, true, AXVCPU_X86_EFER_LME | AXVCPU_X86_EFER_LMA },
    { 0x80000001, 3, 20, true, AXVCPU_X86_EFER_NXE },
    { 0x80000001, 2, 2, true, AXVCPU_X86_EFER_SVME },
    { 0x80000001, 3, 25, true, 0x4000 }, /* FFXSR */
};

AXVCPU_API void axvcpu_x86_control_valid(struct axvcpu_x86_control *c,
                                         void (*cpuid)(void *arg, uint32_t leaf, uint32_t subleaf, uint32_t reg[4]),
                                         void *arg)
{
    uint32_t reg[4];
    size_t i;

    c->cr4_valid = c->efer_valid = 0;
    c->xcr0_valid = UINT64_MAX; /* nothing is cut off yet: axvcpu_x86_cpuid_mask shows no more than is valid */
    for (i = 0; i < sizeof(axvcpu_i_x86_allow) / sizeof(axvcpu_i_x86_allow[0]); i++) {
        const struct axvcpu_i_x86_allows *a = &axvcpu_i_x86_allow[i];

        cpuid(arg, a->leaf, 0, reg);
        if ((reg[a->reg] >> a->bit & 1u) != 0)
            *(a->efer ? &c->efer_valid : &c->cr4_valid) |= a->bits;
    }
    for (i = 0; i < 10; i++) {
        cpuid(arg, 0xd, (uint32_t)i, reg);
        c->xsave_end[i] = i < 2 ? 0 : reg[0] + reg[1];
    }
    cpuid(arg, 0xd, 0, reg);
    c->xcr0_valid = (c->cr4_valid & AXVCPU_X86_CR4_OSXSAVE) != 0 ? reg[0] | (uint64_t)reg[3] << 32 : 1;
    cpuid(arg, 0x80000008, 0, reg);
    reg[0] = (reg[0] & 0xffu) == 0 ? 36 : reg[0] & 0xffu;
    c->physical_mask = (UINT64_C(1) << (reg[0] < 52 ? reg[0] : 52)) - 1;
}

/* What is shown of each leaf. Not: what the caller or the world switch would have to do something for (VMX,
   SMX, SVM, MONITOR, x2APIC, TSC deadline, counters, machine check, thermal, debug store, speculation control,
   CET, PKS, AMX, XSAVES, SGX, PT), nor what needs VMX's secondary controls (RDTSCP, RDPID, INVPCID, UMWAIT). */
#define AXVCPU_I_X86_ALL UINT32_MAX
struct axvcpu_i_x86_shown { uint32_t first, last, show[4]; };
static const struct axvcpu_i_x86_shown axvcpu_i_x86_shown[] = {
    { 0x00000000, 0x00000000, { AXVCPU_I_X86_ALL, AXVCPU_I_X86_ALL, AXVCPU_I_X86_ALL, AXVCPU_I_X86_ALL } },
    { 0x00000001, 0x00000001, { AXVCPU_I_X86_ALL, AXVCPU_I_X86_ALL, 0xf6da3203, 0x1f8bbb7f } },
    { 0x00000002, 0x00000002, { AXVCPU_I_X86_ALL, AXVCPU_I_X86_ALL, AXVCPU_I_X86_ALL, AXVCPU_I_X86_ALL } },
    { 0x00000004, 0x00000004, { AXVCPU_I_X86_ALL, AXVCPU_I_X86_ALL, AXVCPU_I_X86_ALL, AXVCPU_I_X86_ALL } },
    { 0x00000007, 0x00000007, { 0, 0xfdbf23e9, 0x18015f4e, 0x0000451c } },
    { 0x0000000b, 0x0000000b, { AXVCPU_I_X86_ALL, AXVCPU_I_X86_ALL, AXVCPU_I_X86_ALL, AXVCPU_I_X86_ALL } },
    { 0x0000000d, 0x0000000d, { AXVCPU_I_X86_ALL, AXVCPU_I_X86_ALL, AXVCPU_I_X86_ALL, AXVCPU_I_X86_ALL } },
    { 0x00000015, 0x00000016, { AXVCPU_I_X86_ALL, AXVCPU_I_X86_ALL, AXVCPU_I_X86_ALL, AXVCPU_I_X86_ALL } },
    { 0x0000001f, 0x0000001f, { AXVCPU_I_X86_ALL, AXVCPU_I_X86_ALL, AXVCPU_I_X86_ALL, AXVCPU_I_X86_ALL } },
    { 0x80000000, 0x80000000, { AXVCPU_I_X86_ALL, AXVCPU_I_X86_ALL, AXVCPU_I_X86_ALL, AXVCPU_I_X86_ALL } },
    { 0x80000001, 0x80000001, { AXVCPU_I_X86_ALL, AXVCPU_I_X86_ALL, 0x006109f1, 0xe7d3bb7f } },
    { 0x80000002, 0x80000006, { AXVCPU_I_X86_ALL, AXVCPU_I_X86_ALL, AXVCPU_I_X86_ALL, AXVCPU_I_X86_ALL } },
    { 0x80000007, 0x80000007, { 0, 0, 0, 1u << 8 } }, /* the TSC is invariant */
    { 0x80000008, 0x80000008, { 0x0000ffff, 0x00000005, AXVCPU_I_X86_ALL, 0 } },
    { 0x8000001d, 0x8000001e, { AXVCPU_I_X86_ALL, AXVCPU_I_X86_ALL, AXVCPU_I_X86_ALL, AXVCPU_I_X86_ALL } },
};

static void axvcpu_i_x86_show(uint32_t leaf, uint32_t reg[4])
{
    const struct axvcpu_i_x86_shown *s = NULL;
    uint32_t i;

    for (i = 0; i < sizeof(axvcpu_i_x86_shown) / sizeof(axvcpu_i_x86_shown[0]); i++)
        if (leaf >= axvcpu_i_x86_shown[i].first && leaf <= axvcpu_i_x86_shown[i].last)
            s = &axvcpu_i_x86_shown[i];
    for (i = 0; i < 4; i++)
        reg[i] &= s == NULL ? 0 : s->show[i];
}

/* x87, SSE, AVX, AVX-512, PKRU: the state that XSAVE without XSAVES has and we let a guest have. */
#define AXVCPU_I_X86_XCR0 UINT64_C(0x2e7)

/* SDM 1, 13.2: EBX is for the XCR0 of now, ECX for all that can be set. */
static uint32_t axvcpu_i_x86_xsave_size(const struct axvcpu_x86_control *c, uint64_t xcr0)
{
    uint32_t i, size = 576; /* the legacy area and the header */

    for (i = 2; i < 10; i++)
        if ((xcr0 >> i & 1u) != 0 && c->xsave_end[i] > size)
            size = c->xsave_end[i];
    return size;
}

/* AVX-512 needs AVX (SDM 1, 13.3). */
AXVCPU_API uint64_t axvcpu_x86_xcr0_within(const struct axvcpu_x86_control *c, uint32_t limit)
{
    static const uint64_t parts[] = { 0x200, 0xe0, 0x4 }; /* PKRU, AVX-512, AVX */
    uint64_t xcr0 = c->xcr0_valid & AXVCPU_I_X86_XCR0;
    size_t i;

    for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        xcr0 &= axvcpu_i_x86_xsave_size(c, xcr0) > limit ? ~parts[i] : UINT64_MAX;
    return xcr0;
}

static void axvcpu_i_x86_cpuid_xsave(const struct axvcpu_x86_control *c, uint32_t subleaf, uint32_t reg[4])
{
    if (subleaf == 0) {
        reg[0] &= (uint32_t)(AXVCPU_I_X86_XCR0 & c->xcr0_valid);
        reg[1] = axvcpu_i_x86_xsave_size(c, c->xcr0);
        reg[2] = axvcpu_i_x86_xsave_size(c, c->xcr0_valid);
        reg[3] = 0;
    } else if (subleaf == 1) { /* XSAVEOPT and XGETBV(1) */
        reg[0] &= 0x5u;
        reg[1] = reg[2] = reg[3] = 0;
    } else if (subleaf >= 10 || ((AXVCPU_I_X86_XCR0 & c->xcr0_valid) >> subleaf & 1u) == 0) {
        AXVCPU_MEMSET(reg, 0, 16);
    }
}

static uint32_t axvcpu_i_x86_mirror(uint32_t word, uint32_t bit, bool on)
{
    return (word & ~(1u << bit)) | (uint32_t)on << bit;
}

AXVCPU_API void axvcpu_x86_cpuid_mask(const struct axvcpu_x86_control *c, uint32_t leaf, uint32_t subleaf,
                                      uint32_t reg[4])
{
    axvcpu_i_x86_show(leaf, reg);
    if (leaf == 0x1)
        reg[2] = axvcpu_i_x86_mirror(reg[2], 27, (c->cr4 & AXVCPU_X86_CR4_OSXSAVE) != 0);
    else if (leaf == 0x7 && subleaf == 0)
        reg[2] = axvcpu_i_x86_mirror(reg[2], 4, (c->cr4 & AXVCPU_X86_CR4_PKE) != 0);
    else if (leaf == 0x7)
        AXVCPU_MEMSET(reg, 0, 16);
    else if (leaf == 0xd)
        axvcpu_i_x86_cpuid_xsave(c, subleaf, reg);
}

/* >>decode rules: CR0 */

static bool axvcpu_i_x86_code64(const struct axvcpu_x86_control *c)
{
    return (c->efer & AXVCPU_X86_EFER_LMA) != 0 && (c->cs_access & AXVCPU_X86_AR_L) != 0;
}

/* SDM 3, 2.5 and 4.1.2; SDM 2, MOV to CR */
static bool axvcpu_i_x86_cr0_ok(const struct axvcpu_x86_control *c, uint64_t value)
{
    bool pg = (value & AXVCPU_X86_CR0_PG) != 0, was = (c->cr0 & AXVCPU_X86_CR0_PG) != 0;

    if (value >> 32 != 0 || (pg && (value & AXVCPU_X86_CR0_PE) == 0))
        return false;
    if ((value & AXVCPU_X86_CR0_NW) != 0 && (value & AXVCPU_X86_CR0_CD) == 0)
        return false;
    if ((value & AXVCPU_X86_CR0_WP) == 0 && (c->cr4 & AXVCPU_X86_CR4_CET) != 0)
        return false;
    if (pg && !was && (c->efer & AXVCPU_X86_EFER_LME) != 0)
        return (c->cr4 & AXVCPU_X86_CR4_PAE) != 0 && (c->cs_access & AXVCPU_X86_AR_L) == 0;
    return pg || !was || (!axvcpu_i_x86_code64(c) && (c->cr4 & AXVCPU_X86_CR4_PCIDE) == 0);
}

#define AXVCPU_I_X86_CR0_KNOWN                                                                             \
    (AXVCPU_X86_CR0_PE | AXVCPU_X86_CR0_MP | AXVCPU_X86_CR0_EM | AXVCPU_X86_CR0_TS | AXVCPU_X86_CR0_NE |    \
     AXVCPU_X86_CR0_WP | AXVCPU_X86_CR0_AM | AXVCPU_X86_CR0_NW | AXVCPU_X86_CR0_CD | AXVCPU_X86_CR0_PG)

static int axvcpu_i_x86_write_cr0(struct axvcpu_x86_control *c, uint64_t value)
{
    if (!axvcpu_i_x86_cr0_ok(c, value))
        return AXVCPU_I_X86_GP;
    c->cr0 = (value & AXVCPU_I_X86_CR0_KNOWN) | AXVCPU_X86_CR0_ET;
    c->efer &= ~(uint64_t)AXVCPU_X86_EFER_LMA;
    if ((c->cr0 & AXVCPU_X86_CR0_PG) != 0 && (c->efer & AXVCPU_X86_EFER_LME) != 0)
        c->efer |= AXVCPU_X86_EFER_LMA;
    return 0;
}

/* SDM 3, 4.5: bit 63 with PCIDE asks for no flush, and is not kept. */
static int axvcpu_i_x86_write_cr3(struct axvcpu_x86_control *c, uint64_t value)
{
    if ((c->cr4 & AXVCPU_X86_CR4_PCIDE) != 0)
        value &= ~AXVCPU_X86_PTE_XD;
    if ((c->efer & AXVCPU_X86_EFER_LMA) != 0 && (value & ~c->physical_mask) != 0)
        return AXVCPU_I_X86_GP;
    c->cr3 = value;
    return 0;
}

/* SDM 3, 2.5, 4.1.2, 4.10.1; SDM 2, MOV to CR */
static bool axvcpu_i_x86_cr4_ok(const struct axvcpu_x86_control *c, uint64_t value)
{
    bool lma = (c->efer & AXVCPU_X86_EFER_LMA) != 0;

    if ((value & ~c->cr4_valid) != 0)
        return false;
    if (lma && ((value & AXVCPU_X86_CR4_PAE) == 0 || ((value ^ c->cr4) & AXVCPU_X86_CR4_LA57) != 0))
        return false;
    if ((value & ~c->cr4 & AXVCPU_X86_CR4_PCIDE) != 0 && (!lma || (c->cr3 & 0xfff) != 0))
        return false;
    return (value & AXVCPU_X86_CR4_CET) == 0 || (c->cr0 & AXVCPU_X86_CR0_WP) != 0;
}

AXVCPU_API int axvcpu_x86_write_cr(struct axvcpu_x86_control *c, uint32_t nr, uint64_t value)
{
    switch (nr) {
    case 0: return axvcpu_i_x86_write_cr0(c, value);
    case 3: return axvcpu_i_x86_write_cr3(c, value);
    case 4:
        if (!axvcpu_i_x86_cr4_ok(c, value))
            return AXVCPU_I_X86_GP;
        c->cr4 = value;
        return 0;
    case 8:
        if (value > 15)
            return AXVCPU_I_X86_GP;
        c->cr8 = value;
        return 0;
    default: return AXVCPU_I_X86_UD_VECTOR;
    }
}

/* SDM 3, 4.4.1: PAE paging outside long mode loads them when CR3 is written, and when paging bits change. */
AXVCPU_API bool axvcpu_x86_needs_pdptes(const struct axvcpu_x86_control *c, uint32_t nr, uint64_t value)
{
    uint64_t cr0 = nr == 0 ? value : c->cr0, cr4 = nr == 4 ? value : c->cr4;
    uint64_t cr4_bits = AXVCPU_X86_CR4_PAE | AXVCPU_X86_CR4_PSE | 0x80u | AXVCPU_X86_CR4_SMEP; /* PGE */
    uint64_t cr0_bits = AXVCPU_X86_CR0_CD | AXVCPU_X86_CR0_NW | AXVCPU_X86_CR0_PG;

    if ((cr0 & AXVCPU_X86_CR0_PG) == 0 || (cr4 & AXVCPU_X86_CR4_PAE) == 0 || (c->efer & AXVCPU_X86_EFER_LME) != 0)
        return false;
    return nr == 3 || ((cr0 ^ c->cr0) & cr0_bits) != 0 || ((cr4 ^ c->cr4) & cr4_bits) != 0;
}

AXVCPU_API bool axvcpu_x86_pdptes_valid(const uint64_t pdptes[4], uint64_t physical_mask)
{
    uint64_t reserved = ~physical_mask | 0x1e6u;
    uint32_t i;

    for (i = 0; i < 4; i++)
        if ((pdptes[i] & AXVCPU_X86_PTE_P) != 0 && (pdptes[i] & reserved) != 0)
            return false;
    return true;
}

/* LMA is the CPU's: what is written there does not count. LME is fixed while paging is on (SDM 3, 4.1.2). */
AXVCPU_API int axvcpu_x86_write_efer(struct axvcpu_x86_control *c, uint64_t value)
{
    const uint64_t lma = AXVCPU_X86_EFER_LMA;

    if ((value & ~c->efer_valid) != 0)
        return AXVCPU_I_X86_GP;
    if ((c->cr0 & AXVCPU_X86_CR0_PG) != 0 && ((value ^ c->efer) & AXVCPU_X86_EFER_LME) != 0)
        return AXVCPU_I_X86_GP;
    c->efer = (value & ~lma) | (c->efer & lma);
    return 0;
}

/* SDM 1, 13.3: parts that go together, and what they need. */
struct axvcpu_i_x86_xcr0 { uint64_t together, needs; };
static const struct axvcpu_i_x86_xcr0 axvcpu_i_x86_xcr0_rules[] = {
    { 0x04, 0x02 },    /* AVX needs SSE */
    { 0x18, 0 },       /* MPX: BNDREGS and BNDCSR */
    { 0xe0, 0x06 },    /* AVX-512: all three, and AVX */
    { 0x60000, 0 },    /* AMX: configuration and data */
};

AXVCPU_API int axvcpu_x86_write_xcr(struct axvcpu_x86_control *c, uint32_t nr, uint64_t value)
{
    size_t i;

    if ((c->cr4 & AXVCPU_X86_CR4_OSXSAVE) == 0)
        return AXVCPU_I_X86_UD_VECTOR;
    if (c->cpl != 0 || nr != 0 || (value & 1) == 0 || (value & ~c->xcr0_valid) != 0)
        return AXVCPU_I_X86_GP;
    for (i = 0; i < sizeof(axvcpu_i_x86_xcr0_rules) / sizeof(axvcpu_i_x86_xcr0_rules[0]); i++) {
        const struct axvcpu_i_x86_xcr0 *x = &axvcpu_i_x86_xcr0_rules[i];
        uint64_t set = value & x->together;

        if (set != 0 && (set != x->together || (value & x->needs) != x->needs))
            return AXVCPU_I_X86_GP;
    }
    c->xcr0 = value;
    return 0;
}

static uint64_t *axvcpu_i_x86_cr_of(struct axvcpu_x86_control *c, uint32_t nr)
{
    return nr == 0 ? &c->cr0 : nr == 3 ? &c->cr3 : nr == 4 ? &c->cr4 : nr == 8 ? &c->cr8 : NULL;
}

/* MOV has 8 bytes in 64-bit mode and 4 else, whatever the prefixes (SDM 2, MOV to CR). LMSW sets PE and
   cannot clear it (SDM 2, LMSW). */
AXVCPU_API int axvcpu_x86_do_cr(struct axvcpu_x86_control *c, struct axvcpu_x86_regs *r, const struct axvcpu_x86_cr *op,
                             uint32_t bits)
{
    uint64_t *cr = axvcpu_i_x86_cr_of(c, op->nr), mask = bits == 64 ? UINT64_MAX : UINT32_MAX;
    uint64_t *reg = &r->gpr[op->reg & 15u];

    if (cr == NULL)
        return AXVCPU_I_X86_UD_VECTOR;
    switch (op->op) {
    case AXVCPU_X86_CR_TO: return axvcpu_x86_write_cr(c, op->nr, *reg & mask);
    case AXVCPU_X86_CR_FROM: *reg = *cr & mask; return 0;
    case AXVCPU_X86_CR_CLTS: c->cr0 &= ~(uint64_t)AXVCPU_X86_CR0_TS; return 0;
    case AXVCPU_X86_CR_LMSW: {
        uint64_t word = op->memory || op->sourced ? op->source : *reg;

        return axvcpu_i_x86_write_cr0(c, (c->cr0 & ~UINT64_C(0xe)) | (word & 0xf));
    }
    default:
        if (op->memory) /* SMSW */
            return AXVCPU_X86_ASK;
        *reg = axvcpu_i_x86_merge(*reg, c->cr0, bits == 64 ? 8 : bits == 32 ? 4 : 2);
        return 0;
    }
}

/* SDM 3, 18.2: DR4 and DR5 are DR6 and DR7, or #UD with CR4.DE; DR7.GD makes any access #DB; the upper halves
   of DR6 and DR7 are zero. */
AXVCPU_API int axvcpu_x86_do_dr(const struct axvcpu_x86_control *c, uint32_t *nr, uint64_t dr7, bool write,
                                uint64_t *value)
{
    if (*nr > 7 || ((*nr == 4 || *nr == 5) && (c->cr4 & 0x8u) != 0))
        return AXVCPU_I_X86_UD_VECTOR;
    if ((dr7 >> 13 & 1u) != 0)
        return AXVCPU_I_X86_DB;
    *nr = *nr == 4 || *nr == 5 ? *nr + 2 : *nr;
    if (!write || *nr < 4)
        return 0;
    if (*value >> 32 != 0)
        return AXVCPU_I_X86_GP;
    *value = *nr == 6 ? (*value & ~UINT64_C(0x1000)) | 0xffff0ff0u : (*value & ~UINT64_C(0xd000)) | 0x400u;
    return 0;
}

/* >>decode rules: MSRs (SDM 4, chapter 2; APM 2, appendix A). Sorted. */

#define AXVCPU_I_X86_MSR(first, last, how, rule, shadow, value) \
    { first, last, AXVCPU_X86_MSR_##how, AXVCPU_X86_MSR_##rule, shadow, value }
static const struct axvcpu_x86_msr axvcpu_i_x86_msr_rows[] = {
    AXVCPU_I_X86_MSR(0x00000000, 0x00000001, CONST, BITS, 0, 0), /* P5's machine check */
    AXVCPU_I_X86_MSR(0x00000010, 0x00000010, BACKEND, BITS, 0, UINT64_MAX), /* time-stamp counter */
    AXVCPU_I_X86_MSR(0x00000017, 0x00000017, READ, BITS, 0, 0), /* PLATFORM_ID */
    AXVCPU_I_X86_MSR(0x0000001b, 0x0000001b, SHADOW, PHYSICAL, AXVCPU_X86_SHADOW_APIC_BASE, 0x900), /* APIC_BASE */
    AXVCPU_I_X86_MSR(0x00000034, 0x00000034, READ, BITS, 0, 0), /* SMI_COUNT */
    AXVCPU_I_X86_MSR(0x0000003a, 0x0000003a, READ, BITS, 0, 1), /* FEATURE_CONTROL: locked, no VMX */
    AXVCPU_I_X86_MSR(0x0000003b, 0x0000003b, BACKEND, BITS, 0, UINT64_MAX), /* TSC_ADJUST */
    AXVCPU_I_X86_MSR(0x00000079, 0x00000079, CONST, BITS, 0, 0), /* BIOS_UPDT_TRIG */
    AXVCPU_I_X86_MSR(0x0000008b, 0x0000008b, CONST, BITS, 0, 0), /* BIOS_SIGN_ID */
    AXVCPU_I_X86_MSR(0x000000ce, 0x000000ce, READ, BITS, 0, 0), /* PLATFORM_INFO */
    AXVCPU_I_X86_MSR(0x000000fe, 0x000000fe, READ, BITS, 0, 0x508), /* MTRRCAP: 8 variable, fixed, WC */
    AXVCPU_I_X86_MSR(0x00000140, 0x00000140, CONST, BITS, 0, 0), /* MISC_FEATURES_ENABLES */
    AXVCPU_I_X86_MSR(0x00000174, 0x00000174, PASS, BITS, 0, UINT32_MAX), /* SYSENTER_CS */
    AXVCPU_I_X86_MSR(0x00000175, 0x00000176, PASS, CANONICAL, 0, UINT64_MAX), /* SYSENTER_ESP, _EIP */
    AXVCPU_I_X86_MSR(0x00000179, 0x00000179, READ, BITS, 0, 0), /* MCG_CAP: no banks */
    AXVCPU_I_X86_MSR(0x0000017a, 0x0000017a, SHADOW, BITS, AXVCPU_X86_SHADOW_MCG_STATUS, 0x7), /* MCG_STATUS */
    AXVCPU_I_X86_MSR(0x000001a0, 0x000001a0, SHADOW, BITS, AXVCPU_X86_SHADOW_MISC_ENABLE, 0x400001), /* MISC_ENABLE */
    AXVCPU_I_X86_MSR(0x000001d9, 0x000001d9, SHADOW, BITS, AXVCPU_X86_SHADOWS, 0), /* DEBUGCTL: nothing in it */
    AXVCPU_I_X86_MSR(0x00000200, 0x0000020f, SHADOW, MTRR, AXVCPU_X86_SHADOW_VARIABLE, 0xcff), /* PHYSBASE, PHYSMASK */
    AXVCPU_I_X86_MSR(0x00000250, 0x00000250, SHADOW, MTRRS, AXVCPU_X86_SHADOW_FIXED, UINT64_MAX), /* FIX64K */
    AXVCPU_I_X86_MSR(0x00000258, 0x00000259, SHADOW, MTRRS, AXVCPU_X86_SHADOW_FIXED + 1, UINT64_MAX), /* FIX16K */
    AXVCPU_I_X86_MSR(0x00000268, 0x0000026f, SHADOW, MTRRS, AXVCPU_X86_SHADOW_FIXED + 3, UINT64_MAX), /* FIX4K */
    AXVCPU_I_X86_MSR(0x00000277, 0x00000277, PASS, TYPES, 0, UINT64_MAX), /* PAT */
    AXVCPU_I_X86_MSR(0x000002ff, 0x000002ff, SHADOW, MTRR, AXVCPU_X86_SHADOW_MTRR_DEFAULT, 0xcff), /* MTRR default */
    AXVCPU_I_X86_MSR(0x00000480, 0x00000491, DENY, BITS, 0, 0), /* VMX's capabilities */
    AXVCPU_I_X86_MSR(0xc0000080, 0xc0000080, OWN, BITS, 0, 0), /* EFER */
    AXVCPU_I_X86_MSR(0xc0000081, 0xc0000081, PASS, BITS, 0, UINT64_MAX), /* STAR */
    AXVCPU_I_X86_MSR(0xc0000082, 0xc0000083, PASS, CANONICAL, 0, UINT64_MAX), /* LSTAR, CSTAR */
    AXVCPU_I_X86_MSR(0xc0000084, 0xc0000084, PASS, BITS, 0, UINT32_MAX), /* SFMASK */
    AXVCPU_I_X86_MSR(0xc0000100, 0xc0000102, PASS, CANONICAL, 0, UINT64_MAX), /* FS, GS, kernel GS base */
    AXVCPU_I_X86_MSR(0xc0000103, 0xc0000103, SHADOW, BITS, AXVCPU_X86_SHADOW_TSC_AUX, UINT32_MAX), /* TSC_AUX */
    AXVCPU_I_X86_MSR(0xc0010010, 0xc0010010, CONST, BITS, 0, 0), /* SYSCFG */
    AXVCPU_I_X86_MSR(0xc0010015, 0xc0010015, SHADOW, BITS, AXVCPU_X86_SHADOW_HWCR, 0x1000000), /* HWCR: the TSC counts in P0 */
    AXVCPU_I_X86_MSR(0xc001001f, 0xc001001f, CONST, BITS, 0, 0), /* NB_CFG */
    AXVCPU_I_X86_MSR(0xc0010114, 0xc0010114, READ, BITS, 0, 0x18), /* VM_CR: no SVM, locked */
    AXVCPU_I_X86_MSR(0xc0010117, 0xc0010117, DENY, BITS, 0, 0), /* VM_HSAVE_PA */
    AXVCPU_I_X86_MSR(0xc0011029, 0xc0011029, CONST, BITS, 0, 2), /* DE_CFG: LFENCE serializes */
};
#define AXVCPU_I_X86_MSRS (sizeof(axvcpu_i_x86_msr_rows) / sizeof(axvcpu_i_x86_msr_rows[0]))

AXVCPU_API const struct axvcpu_x86_msr *axvcpu_x86_msr_find(uint32_t msr)
{
    size_t low = 0, high = AXVCPU_I_X86_MSRS;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (msr > axvcpu_i_x86_msr_rows[middle].last)
            low = middle + 1;
        else
            high = middle;
    }
    return low < AXVCPU_I_X86_MSRS && msr >= axvcpu_i_x86_msr_rows[low].first ? &axvcpu_i_x86_msr_rows[low] : NULL;
}

AXVCPU_API int axvcpu_x86_read_msr(const struct axvcpu_x86_control *c, uint32_t msr, uint64_t *value)
{
    const struct axvcpu_x86_msr *m = axvcpu_x86_msr_find(msr);

    *value = 0;
    if (m == NULL)
        return AXVCPU_X86_ASK;
    switch (m->how) {
    case AXVCPU_X86_MSR_SHADOW:
        *value = m->shadow < AXVCPU_X86_SHADOWS ? c->shadow[m->shadow + (msr - m->first)] : 0;
        return 0;
    case AXVCPU_X86_MSR_CONST:
    case AXVCPU_X86_MSR_READ: *value = m->value; return 0;
    case AXVCPU_X86_MSR_OWN: *value = c->efer; return 0;
    case AXVCPU_X86_MSR_DENY: return AXVCPU_I_X86_GP;
    default: return AXVCPU_X86_HARDWARE;
    }
}

/* UC, WC, WT, WP, WB; UC- only in PAT (SDM 3, table 12-8 and 12.12.2). */
static bool axvcpu_i_x86_types(uint64_t value, uint32_t known)
{
    uint32_t i;

    for (i = 0; i < 8; i++, value >>= 8)
        if ((value & 0xff) > 7 || (known >> (value & 0xff) & 1u) == 0)
            return false;
    return true;
}
#define AXVCPU_I_X86_MTRR_TYPES 0x73u /* 0, 1, 4, 5, 6 */

static bool axvcpu_i_x86_msr_ok(const struct axvcpu_x86_control *c, const struct axvcpu_x86_msr *m, uint32_t msr,
                                uint64_t value)
{
    uint64_t address = c->physical_mask & ~UINT64_C(0xfff);

    switch (m->rule) {
    case AXVCPU_X86_MSR_CANONICAL: return axvcpu_i_x86_canonical(value, c->cr4);
    case AXVCPU_X86_MSR_TYPES: return axvcpu_i_x86_types(value, 0xf3);
    case AXVCPU_X86_MSR_MTRRS: return axvcpu_i_x86_types(value, AXVCPU_I_X86_MTRR_TYPES);
    case AXVCPU_X86_MSR_MTRR: /* a mask has a valid bit and no type; the default has two bits and no address */
        if (msr == 0x2ff)
            return (value & ~UINT64_C(0xcff)) == 0 && axvcpu_i_x86_types(value & 0xff, AXVCPU_I_X86_MTRR_TYPES);
        if ((msr & 1u) != 0)
            return (value & ~(address | 0x800u)) == 0;
        return (value & ~(address | 0xffu)) == 0 && axvcpu_i_x86_types(value & 0xff, AXVCPU_I_X86_MTRR_TYPES);
    case AXVCPU_X86_MSR_PHYSICAL: return (value & ~(address | m->value)) == 0;
    default: return (value & ~m->value) == 0;
    }
}

AXVCPU_API int axvcpu_x86_write_msr(struct axvcpu_x86_control *c, uint32_t msr, uint64_t value)
{
    const struct axvcpu_x86_msr *m = axvcpu_x86_msr_find(msr);

    if (m == NULL)
        return AXVCPU_X86_ASK;
    switch (m->how) {
    case AXVCPU_X86_MSR_CONST: return 0;
    case AXVCPU_X86_MSR_OWN: return axvcpu_x86_write_efer(c, value);
    case AXVCPU_X86_MSR_READ:
    case AXVCPU_X86_MSR_DENY: return AXVCPU_I_X86_GP;
    default: break;
    }
    if (!axvcpu_i_x86_msr_ok(c, m, msr, value))
        return AXVCPU_I_X86_GP;
    if (m->how != AXVCPU_X86_MSR_SHADOW)
        return AXVCPU_X86_HARDWARE;
    if (m->shadow < AXVCPU_X86_SHADOWS)
        c->shadow[m->shadow + (msr - m->first)] = value;
    return 0;
}

/* >>decode rules: bitmaps */

static void axvcpu_i_x86_bit_set(uint8_t *map, uint32_t bit, bool on)
{
    uint8_t mask = (uint8_t)(1u << (bit & 7u));

    map[bit >> 3] = (uint8_t)(on ? map[bit >> 3] | mask : map[bit >> 3] & ~mask);
}

/* VMX (SDM 3, 25.6.9): reads of the low and the high MSRs, then writes. SVM (APM 2, 15.11): three ranges, two
   bits each. The first bit of `msr`, and how far the write's is from the read's. */
static bool axvcpu_i_x86_msr_bit(bool svm, uint32_t msr, uint32_t *bit, uint32_t *write)
{
    static const uint32_t base[] = { 0, 0xc0000000, 0xc0010000 };
    uint32_t i;

    for (i = 0; i < (svm ? 3u : 2u); i++) {
        if (msr - base[i] >= 0x2000)
            continue;
        *bit = i * (svm ? 0x800u : 0x400u) * 8 + (msr - base[i]) * (svm ? 2u : 1u);
        *write = svm ? 1 : 0x800u * 8;
        return true;
    }
    return false;
}

AXVCPU_API bool axvcpu_x86_msr_map_set(uint8_t *map, bool svm, uint32_t msr, bool read_exits, bool write_exits)
{
    uint32_t bit, write;

    if (!axvcpu_i_x86_msr_bit(svm, msr, &bit, &write))
        return false;
    axvcpu_i_x86_bit_set(map, bit, read_exits);
    axvcpu_i_x86_bit_set(map, bit + write, write_exits);
    return true;
}

AXVCPU_API bool axvcpu_x86_msr_map_exits(const uint8_t *map, bool svm, uint32_t msr, bool write)
{
    uint32_t bit, far;

    if (!axvcpu_i_x86_msr_bit(svm, msr, &bit, &far))
        return true;
    bit += write ? far : 0;
    return ((uint32_t)map[bit >> 3] >> (bit & 7u) & 1u) != 0;
}

AXVCPU_API void axvcpu_x86_msr_map(uint8_t *map, bool svm)
{
    uint32_t msr;
    size_t i;

    AXVCPU_MEMSET(map, 0xff, svm ? AXVCPU_X86_MSR_MAP_SVM : AXVCPU_X86_MSR_MAP_VMX);
    for (i = 0; i < AXVCPU_I_X86_MSRS; i++)
        for (msr = axvcpu_i_x86_msr_rows[i].first; msr <= axvcpu_i_x86_msr_rows[i].last; msr++)
            if (axvcpu_i_x86_msr_rows[i].how == AXVCPU_X86_MSR_PASS)
                (void)axvcpu_x86_msr_map_set(map, svm, msr, false, false);
}

AXVCPU_API void axvcpu_x86_io_map(uint8_t *map)
{
    AXVCPU_MEMSET(map, 0xff, AXVCPU_X86_IO_MAP);
}

/* SVM looks at bits beyond 0xffff for an access that begins below it (APM 2, 15.10.1): they stay. */
AXVCPU_API void axvcpu_x86_io_map_set(uint8_t *map, uint32_t port, uint32_t count, bool exits)
{
    for (; count != 0 && port < 0x10000; port++, count--)
        axvcpu_i_x86_bit_set(map, port, exits);
}

AXVCPU_API bool axvcpu_x86_io_map_exits(const uint8_t *map, uint32_t port, uint32_t width)
{
    bool exits = false;
    uint32_t i;

    for (i = port; i < port + width; i++)
        exits = exits || i >= 0x10000 || ((uint32_t)map[i >> 3] >> (i & 7u) & 1u) != 0;
    return exits;
}

/* >>decode events */

AXVCPU_API struct axvcpu_x86_event axvcpu_x86_exception(uint32_t vector, uint32_t error)
{
    struct axvcpu_x86_event e = { AXVCPU_X86_EVENT(EXCEPTION, vector & 31u), 0, 0 };

    if ((AXVCPU_I_X86_WITH_ERROR >> (vector & 31u) & 1u) != 0) {
        e.info |= AXVCPU_X86_EVENT_ERROR;
        e.error = error;
    }
    return e;
}

AXVCPU_API struct axvcpu_x86_event axvcpu_x86_again(const struct axvcpu_x86_left *l, bool svm)
{
    struct axvcpu_x86_event e = l->under_way;
    uint32_t type = AXVCPU_X86_EVENT_TYPE(e.info), vector = e.info & AXVCPU_X86_EVENT_VECTOR;

    /* SVM calls INT3 and INTO exceptions */
    if (svm &&
        (type == AXVCPU_X86_EVENT_SOFTWARE || (type == AXVCPU_X86_EVENT_EXCEPTION && (vector == 3 || vector == 4))))
        e.info = 0;
    return e;
}

/* Benign, contributory, page faults, double fault: SDM 3, table 6-4. */
static uint32_t axvcpu_i_x86_class(const struct axvcpu_x86_event *e)
{
    uint32_t vector = e->info & AXVCPU_X86_EVENT_VECTOR;
    const uint32_t contributory = 1u << 0 | 1u << 10 | 1u << 11 | 1u << 12 | 1u << 13 | 1u << 21;
    const uint32_t faults = 1u << 14 | 1u << 20;

    if (AXVCPU_X86_EVENT_TYPE(e->info) != AXVCPU_X86_EVENT_EXCEPTION || vector > 31)
        return 0;
    return vector == 8 ? 3 : (faults >> vector & 1u) != 0 ? 2 : contributory >> vector & 1u;
}

AXVCPU_API struct axvcpu_x86_event axvcpu_x86_combine(struct axvcpu_x86_event first, struct axvcpu_x86_event second)
{
    /* SDM 3, table 6-5: 0 the second, 1 a double fault, 2 shutdown */
    static const uint8_t table[4][4] = { { 0, 0, 0, 0 }, { 0, 1, 0, 0 }, { 0, 1, 1, 0 }, { 0, 2, 2, 0 } };
    struct axvcpu_x86_event none = { 0, 0, 0 };

    if (first.info == 0)
        return second;
    switch (table[axvcpu_i_x86_class(&first)][axvcpu_i_x86_class(&second)]) {
    case 0: return second;
    case 1: return axvcpu_x86_exception(8, 0);
    default: return none;
    }
}

static bool axvcpu_i_x86_takes_interrupt(const struct axvcpu_x86_events *e)
{
    return (e->rflags & AXVCPU_X86_FLAG_IF) != 0 && !e->shadow;
}

AXVCPU_API uint32_t axvcpu_x86_lowest(uint64_t cr8)
{
    return (cr8 & 15u) == 0 ? 0 : ((uint32_t)cr8 & 15u) * 16 + 16;
}

static bool axvcpu_i_x86_held_back(const struct axvcpu_x86_events *e)
{
    return e->vector < 0 || (uint32_t)e->vector < axvcpu_x86_lowest(e->tpr);
}

/* An exception goes before all. What it interrupts is lost if that was the guest's doing (or becomes a double
   fault); an interrupt or NMI has to come again. */
static uint32_t axvcpu_i_x86_choose_exception(const struct axvcpu_x86_events *e, struct axvcpu_x86_decision *d)
{
    uint32_t type = AXVCPU_X86_EVENT_TYPE(e->again.info);

    d->inject = axvcpu_x86_combine(e->again, e->exception);
    if (e->again.info != 0 && (type == AXVCPU_X86_EVENT_INTERRUPT || type == AXVCPU_X86_EVENT_NMI))
        d->put_back = e->again;
    return d->inject.info == 0 ? AXVCPU_X86_TOOK_SHUTDOWN : AXVCPU_X86_TOOK_EXCEPTION;
}

/* Then what was under way, NMI, interrupts (SDM 3, table 6-2). */
static uint32_t axvcpu_i_x86_choose(const struct axvcpu_x86_events *e, struct axvcpu_x86_decision *d)
{
    if (e->exception.info != 0)
        return axvcpu_i_x86_choose_exception(e, d);
    d->inject = e->again;
    if (e->again.info != 0)
        return AXVCPU_X86_TOOK_AGAIN;
    if (e->nmi && !e->nmi_blocked && !e->shadow) {
        d->inject.info = AXVCPU_X86_EVENT(NMI, 2);
        return AXVCPU_X86_TOOK_NMI;
    }
    if (axvcpu_i_x86_held_back(e) || !axvcpu_i_x86_takes_interrupt(e))
        return AXVCPU_X86_TOOK_NOTHING;
    d->inject.info = AXVCPU_X86_EVENT(INTERRUPT, e->vector & 0xff);
    return AXVCPU_X86_TOOK_INTERRUPT;
}

/* A vector that the task priority holds back waits for CR8, not for a window. */
AXVCPU_API void axvcpu_x86_decide(const struct axvcpu_x86_events *e, struct axvcpu_x86_decision *d)
{
    AXVCPU_MEMSET(d, 0, sizeof(*d));
    d->taken = axvcpu_i_x86_choose(e, d);
    d->window = d->taken == AXVCPU_X86_TOOK_INTERRUPT ? e->more : !axvcpu_i_x86_held_back(e);
    d->nmi_window = e->nmi && d->taken != AXVCPU_X86_TOOK_NMI;
}

AXVCPU_API uint32_t axvcpu_x86_timer_counts(uint64_t ticks, uint32_t rate)
{
    uint64_t counts = (ticks >> rate) + ((ticks & ((UINT64_C(1) << rate) - 1)) != 0) + 1;

    return counts <= UINT32_MAX ? (uint32_t)counts : 0;
}

/* >>decode entry failures */

struct axvcpu_i_x86_rule { const char *field, *text; };

#define AXVCPU_I_X86_VMCS_ENCODING(name, encoding) encoding,
static const uint16_t axvcpu_i_x86_vmcs_encodings[] = { AXVCPU_X86_VMCS(AXVCPU_I_X86_VMCS_ENCODING) };

AXVCPU_API uint32_t axvcpu_x86_vmcs_field(uint32_t index)
{
    return index < AXVCPU_X86_VMCS_COUNT ? axvcpu_i_x86_vmcs_encodings[index] : UINT32_MAX;
}

/* Words of the rules. `s` is the state. */
#define AXVCPU_I_X86_V(name) (s->field[AXVCPU_X86_VMCS_##name])
#define AXVCPU_I_X86_PIN(bit) ((AXVCPU_I_X86_V(PIN_CONTROLS) >> (bit) & 1u) != 0)
#define AXVCPU_I_X86_PRI(bit) ((AXVCPU_I_X86_V(PRIMARY_CONTROLS) >> (bit) & 1u) != 0)
#define AXVCPU_I_X86_SEC(bit) (AXVCPU_I_X86_PRI(31) && (AXVCPU_I_X86_V(SECONDARY_CONTROLS) >> (bit) & 1u) != 0)
#define AXVCPU_I_X86_EXI(bit) ((AXVCPU_I_X86_V(EXIT_CONTROLS) >> (bit) & 1u) != 0)
#define AXVCPU_I_X86_ENT(bit) ((AXVCPU_I_X86_V(ENTRY_CONTROLS) >> (bit) & 1u) != 0)
#define AXVCPU_I_X86_UNRESTRICTED AXVCPU_I_X86_SEC(7)
#define AXVCPU_I_X86_IA32E AXVCPU_I_X86_ENT(9)
#define AXVCPU_I_X86_VM86 ((AXVCPU_I_X86_V(GUEST_RFLAGS) & AXVCPU_X86_FLAG_VM) != 0)
#define AXVCPU_I_X86_CS64 (AXVCPU_I_X86_IA32E && (AXVCPU_I_X86_V(GUEST_CS_ACCESS) & AXVCPU_X86_AR_L) != 0)
#define AXVCPU_I_X86_PAE_PAGING                                                                            \
    ((AXVCPU_I_X86_V(GUEST_CR0) & AXVCPU_X86_CR0_PG) != 0 && (AXVCPU_I_X86_V(GUEST_CR4) & AXVCPU_X86_CR4_PAE) != 0 && \
     !AXVCPU_I_X86_IA32E)
#define AXVCPU_I_X86_USABLE(seg) ((AXVCPU_I_X86_V(GUEST_##seg##_ACCESS) & AXVCPU_X86_AR_UNUSABLE) == 0)
#define AXVCPU_I_X86_TYPE(seg) ((uint32_t)AXVCPU_I_X86_V(GUEST_##seg##_ACCESS) & 0xfu)
#define AXVCPU_I_X86_DPL(seg) ((uint32_t)AXVCPU_I_X86_V(GUEST_##seg##_ACCESS) >> 5 & 3u)
#define AXVCPU_I_X86_RPL(seg) ((uint32_t)AXVCPU_I_X86_V(GUEST_##seg) & 3u)
#define AXVCPU_I_X86_EVENT_IS(type)                                                                        \
    ((AXVCPU_I_X86_V(ENTRY_EVENT) & AXVCPU_X86_EVENT_VALID) != 0 &&                                        \
     AXVCPU_X86_EVENT_TYPE(AXVCPU_I_X86_V(ENTRY_EVENT)) == AXVCPU_X86_EVENT_##type)
#define AXVCPU_I_X86_BLOCKS(bits) ((AXVCPU_I_X86_V(GUEST_INTERRUPTIBILITY) & (bits)) != 0)

/* A implies B */
#define AXVCPU_I_X86_IF(a, b) (!(a) || (b))

/* SDM 3, appendix A.3.1: the low half must be set, what is not in the high half must be clear. */
static bool axvcpu_i_x86_allowed_controls(uint64_t value, uint64_t capability)
{
    return (~value & (uint32_t)capability) == 0 && (value & ~(capability >> 32)) == 0;
}

static bool axvcpu_i_x86_fixed(uint64_t value, uint64_t fixed0, uint64_t fixed1, uint64_t except)
{
    return (~value & fixed0 & ~except) == 0 && (value & ~fixed1 & ~except) == 0;
}

static bool axvcpu_i_x86_physical(uint64_t address, uint64_t mask, uint64_t align)
{
    return (address & ~mask) == 0 && (address & (align - 1)) == 0;
}

/* SDM 3, 26.3.1.2: limit and granularity fit each other. */
static bool axvcpu_i_x86_granular(uint64_t limit, uint64_t access)
{
    bool pages = (access & AXVCPU_X86_AR_G) != 0;

    return pages ? (limit & 0xfff) == 0xfff : limit >> 20 == 0;
}

static bool axvcpu_i_x86_pdpte(const struct axvcpu_x86_vmx_state *s, uint64_t entry)
{
    return (entry & AXVCPU_X86_PTE_P) == 0 || (entry & (~s->physical_mask | 0x1e6u)) == 0;
}

/* SDM 3, 26.2.1.3: which exceptions have an error code. */
static bool axvcpu_i_x86_event_error(const struct axvcpu_x86_vmx_state *s)
{
    uint32_t info = (uint32_t)AXVCPU_I_X86_V(ENTRY_EVENT), vector = info & AXVCPU_X86_EVENT_VECTOR;
    bool real = AXVCPU_I_X86_UNRESTRICTED && (AXVCPU_I_X86_V(GUEST_CR0) & AXVCPU_X86_CR0_PE) == 0;
    bool wants =
        AXVCPU_I_X86_EVENT_IS(EXCEPTION) && !real && vector < 32 && (AXVCPU_I_X86_WITH_ERROR >> vector & 1u) != 0;

    return ((info & AXVCPU_X86_EVENT_ERROR) != 0) == wants;
}

/* SDM 3, 26.2.1.1: memory type, walk length, accessed and dirty bits. */
static bool axvcpu_i_x86_eptp(const struct axvcpu_x86_vmx_state *s)
{
    uint64_t p = AXVCPU_I_X86_V(EPTP);
    uint32_t type = (uint32_t)p & 7u, walk = (uint32_t)p >> 3 & 7u;

    if (type == 0 ? (s->ept >> 8 & 1u) == 0 : type != 6 || (s->ept >> 14 & 1u) == 0)
        return false;
    if (walk == 3 ? (s->ept >> 6 & 1u) == 0 : walk != 4 || (s->ept >> 7 & 1u) == 0)
        return false;
    return (p >> 6 & 1u) == 0 || (s->ept >> 21 & 1u) != 0;
}

static bool axvcpu_i_x86_efer_guest(const struct axvcpu_x86_vmx_state *s)
{
    uint64_t efer = AXVCPU_I_X86_V(GUEST_EFER);
    bool lma = (efer & AXVCPU_X86_EFER_LMA) != 0, lme = (efer & AXVCPU_X86_EFER_LME) != 0;

    if (lma != AXVCPU_I_X86_IA32E)
        return false;
    return (AXVCPU_I_X86_V(GUEST_CR0) & AXVCPU_X86_CR0_PG) == 0 || lma == lme;
}

static bool axvcpu_i_x86_efer_host(const struct axvcpu_x86_vmx_state *s)
{
    uint64_t both = AXVCPU_X86_EFER_LMA | AXVCPU_X86_EFER_LME;

    return (AXVCPU_I_X86_V(HOST_EFER) & both) == (AXVCPU_I_X86_EXI(9) ? both : 0);
}

/* SDM 3, 26.3.1.2: CS's DPL by its type. */
static bool axvcpu_i_x86_cs_dpl(const struct axvcpu_x86_vmx_state *s)
{
    uint32_t dpl = AXVCPU_I_X86_DPL(CS), ss = AXVCPU_I_X86_DPL(SS);

    switch (AXVCPU_I_X86_TYPE(CS)) {
    case 3: return dpl == 0;
    case 9:
    case 11: return dpl == ss;
    case 13:
    case 15: return dpl <= ss;
    default: return true; /* the type is wrong */
    }
}

static bool axvcpu_i_x86_cs_type(const struct axvcpu_x86_vmx_state *s)
{
    uint32_t type = AXVCPU_I_X86_TYPE(CS);

    return (type & 9u) == 9u || (type == 3 && AXVCPU_I_X86_UNRESTRICTED);
}

/* SDM 3, 26.3.1.2: without unrestricted guests its RPL; 0 in real mode and for type 3 of CS. */
static bool axvcpu_i_x86_ss_dpl(const struct axvcpu_x86_vmx_state *s)
{
    uint32_t dpl = AXVCPU_I_X86_DPL(SS);

    if (!AXVCPU_I_X86_UNRESTRICTED && dpl != AXVCPU_I_X86_RPL(SS))
        return false;
    return dpl == 0 || (AXVCPU_I_X86_TYPE(CS) != 3 && (AXVCPU_I_X86_V(GUEST_CR0) & AXVCPU_X86_CR0_PE) != 0);
}

/* SDM 3, 26.3.1.4: not quite canonical: of N bits that linear addresses have, bit N-1 need not be as those above. */
static bool axvcpu_i_x86_rip(const struct axvcpu_x86_vmx_state *s)
{
    uint64_t rip = AXVCPU_I_X86_V(GUEST_RIP);
    uint32_t bits = (s->cr4_fixed1 & AXVCPU_X86_CR4_LA57) != 0 ? 57 : 48;

    return AXVCPU_I_X86_CS64 ? rip >> bits == 0 || rip >> bits == UINT64_MAX >> bits : rip >> 32 == 0;
}

/* SDM 3, 26.3.1.5: BS is TF without BTF, while something holds a single step back. */
static bool axvcpu_i_x86_pending_step(const struct axvcpu_x86_vmx_state *s)
{
    bool tf = (AXVCPU_I_X86_V(GUEST_RFLAGS) & AXVCPU_X86_FLAG_TF) != 0 && (AXVCPU_I_X86_V(GUEST_DEBUGCTL) & 2u) == 0;

    if (!AXVCPU_I_X86_BLOCKS(3u) && AXVCPU_I_X86_V(GUEST_ACTIVITY) != 1)
        return true;
    return ((AXVCPU_I_X86_V(GUEST_PENDING_DEBUG) >> 14 & 1u) != 0) == tf;
}

/* SDM 3, 26.3.1.5: what may be injected into a guest that is not active. */
static bool axvcpu_i_x86_activity_event(const struct axvcpu_x86_vmx_state *s)
{
    uint32_t vector = (uint32_t)AXVCPU_I_X86_V(ENTRY_EVENT) & AXVCPU_X86_EVENT_VECTOR;

    if ((AXVCPU_I_X86_V(ENTRY_EVENT) & AXVCPU_X86_EVENT_VALID) == 0)
        return true;
    switch (AXVCPU_I_X86_V(GUEST_ACTIVITY)) {
    case 1:
        return AXVCPU_I_X86_EVENT_IS(INTERRUPT) || AXVCPU_I_X86_EVENT_IS(NMI) ||
               (AXVCPU_I_X86_EVENT_IS(EXCEPTION) && (vector == 1 || vector == 18));
    case 2: return AXVCPU_I_X86_EVENT_IS(NMI) || (AXVCPU_I_X86_EVENT_IS(EXCEPTION) && vector == 18);
    case 3: return false;
    default: return true;
    }
}

static bool axvcpu_i_x86_event_length(const struct axvcpu_x86_vmx_state *s)
{
    uint64_t length = AXVCPU_I_X86_V(ENTRY_LENGTH);

    if (!AXVCPU_I_X86_EVENT_IS(SOFTWARE) && !AXVCPU_I_X86_EVENT_IS(PRIVILEGED) && !AXVCPU_I_X86_EVENT_IS(TRAP))
        return true;
    return length <= AXVCPU_X86_INSN_MAX && (length != 0 || (s->misc >> 30 & 1u) != 0);
}

static bool axvcpu_i_x86_event_vector(const struct axvcpu_x86_vmx_state *s)
{
    uint32_t vector = (uint32_t)AXVCPU_I_X86_V(ENTRY_EVENT) & AXVCPU_X86_EVENT_VECTOR;

    return AXVCPU_I_X86_IF(AXVCPU_I_X86_EVENT_IS(NMI), vector == 2) &&
           AXVCPU_I_X86_IF(AXVCPU_I_X86_EVENT_IS(EXCEPTION), vector <= 31);
}

static bool axvcpu_i_x86_event_type(const struct axvcpu_x86_vmx_state *s)
{
    uint32_t info = (uint32_t)AXVCPU_I_X86_V(ENTRY_EVENT), type = AXVCPU_X86_EVENT_TYPE(info);

    return (info & AXVCPU_X86_EVENT_VALID) == 0 || (type != 1 && (type != 7 || (s->primary >> 59 & 1u) != 0));
}

/* Rules: a name, the field, the section and the rule, what must hold. Of an unusable segment little does. In
   virtual-8086 mode all segments look alike. */
#define AXVCPU_I_X86_VMX_DATA(R, seg)                                                                      \
    R(seg##_TYPE, GUEST_##seg##_ACCESS, "26.3.1.2: accessed, and readable if code",                        \
      AXVCPU_I_X86_VM86 || !AXVCPU_I_X86_USABLE(seg) ||                                                    \
          ((AXVCPU_I_X86_TYPE(seg) & 1u) != 0 && (AXVCPU_I_X86_TYPE(seg) & 0xau) != 8))                    \
    R(seg##_DPL, GUEST_##seg##_ACCESS, "26.3.1.2: DPL is not below RPL",                                   \
      AXVCPU_I_X86_VM86 || AXVCPU_I_X86_UNRESTRICTED || !AXVCPU_I_X86_USABLE(seg) ||                       \
          AXVCPU_I_X86_TYPE(seg) > 11 || AXVCPU_I_X86_DPL(seg) >= AXVCPU_I_X86_RPL(seg))
#define AXVCPU_I_X86_VMX_SEGMENT(R, seg, used)                                                             \
    R(seg##_VM86_BASE, GUEST_##seg##_BASE, "26.3.1.2: 16 times the selector in virtual-8086 mode",         \
      AXVCPU_I_X86_IF(AXVCPU_I_X86_VM86, AXVCPU_I_X86_V(GUEST_##seg##_BASE) == AXVCPU_I_X86_V(GUEST_##seg) << 4)) \
    R(seg##_VM86_LIMIT, GUEST_##seg##_LIMIT, "26.3.1.2: ffff in virtual-8086 mode",                        \
      AXVCPU_I_X86_IF(AXVCPU_I_X86_VM86, AXVCPU_I_X86_V(GUEST_##seg##_LIMIT) == 0xffff))                   \
    R(seg##_VM86_ACCESS, GUEST_##seg##_ACCESS, "26.3.1.2: f3 in virtual-8086 mode",                        \
      AXVCPU_I_X86_IF(AXVCPU_I_X86_VM86, AXVCPU_I_X86_V(GUEST_##seg##_ACCESS) == 0xf3))                    \
    R(seg##_S, GUEST_##seg##_ACCESS, "26.3.1.2: S is 1", AXVCPU_I_X86_VM86 || !(used) ||                   \
      (AXVCPU_I_X86_V(GUEST_##seg##_ACCESS) & AXVCPU_X86_AR_S) != 0)                                       \
    R(seg##_P, GUEST_##seg##_ACCESS, "26.3.1.2: present", AXVCPU_I_X86_VM86 || !(used) ||                  \
      (AXVCPU_I_X86_V(GUEST_##seg##_ACCESS) & AXVCPU_X86_AR_P) != 0)                                       \
    R(seg##_RESERVED, GUEST_##seg##_ACCESS, "26.3.1.2: bits 11-8 and 31-17 are 0", AXVCPU_I_X86_VM86 || !(used) || \
      (AXVCPU_I_X86_V(GUEST_##seg##_ACCESS) & 0xfffe0f00u) == 0)                                           \
    R(seg##_G, GUEST_##seg##_ACCESS, "26.3.1.2: G fits the limit", AXVCPU_I_X86_VM86 || !(used) ||         \
      axvcpu_i_x86_granular(AXVCPU_I_X86_V(GUEST_##seg##_LIMIT), AXVCPU_I_X86_V(GUEST_##seg##_ACCESS)))
/* LDTR and TR */
#define AXVCPU_I_X86_VMX_SYSTEM(R, seg, used, types)                                                       \
    R(seg##_TI, GUEST_##seg, "26.3.1.2: TI is 0", !(used) || (AXVCPU_I_X86_V(GUEST_##seg) & 4u) == 0)      \
    R(seg##_BASE, GUEST_##seg##_BASE, "26.3.1.2: canonical",                                               \
      !(used) || axvcpu_i_x86_canonical(AXVCPU_I_X86_V(GUEST_##seg##_BASE), AXVCPU_I_X86_V(GUEST_CR4)))    \
    R(seg##_TYPE, GUEST_##seg##_ACCESS, "26.3.1.2: type is a busy TSS's or LDT's", !(used) || (types))     \
    R(seg##_S, GUEST_##seg##_ACCESS, "26.3.1.2: S is 0", !(used) ||                                        \
      (AXVCPU_I_X86_V(GUEST_##seg##_ACCESS) & AXVCPU_X86_AR_S) == 0)                                       \
    R(seg##_P, GUEST_##seg##_ACCESS, "26.3.1.2: present", !(used) ||                                       \
      (AXVCPU_I_X86_V(GUEST_##seg##_ACCESS) & AXVCPU_X86_AR_P) != 0)                                       \
    R(seg##_RESERVED, GUEST_##seg##_ACCESS, "26.3.1.2: bits 11-8 and 31-17 are 0", !(used) ||              \
      (AXVCPU_I_X86_V(GUEST_##seg##_ACCESS) & 0xfffe0f00u) == 0)                                           \
    R(seg##_G, GUEST_##seg##_ACCESS, "26.3.1.2: G fits the limit", !(used) ||                              \
      axvcpu_i_x86_granular(AXVCPU_I_X86_V(GUEST_##seg##_LIMIT), AXVCPU_I_X86_V(GUEST_##seg##_ACCESS)))
#define AXVCPU_I_X86_VMX_CANONICAL(R, name, section, cr4)                                                  \
    R(name##_CANONICAL, name, section ": canonical", axvcpu_i_x86_canonical(AXVCPU_I_X86_V(name), AXVCPU_I_X86_V(cr4)))
#define AXVCPU_I_X86_VMX_SELECTOR(R, name) \
    R(name##_RPL, name, "26.2.3: RPL and TI are 0", (AXVCPU_I_X86_V(name) & 7u) == 0)
#define AXVCPU_I_X86_VMX_PAGE(R, name, when, align) \
    R(name##_PAGE, name, "26.2.1: aligned, and a physical address", \
      AXVCPU_I_X86_IF(when, axvcpu_i_x86_physical(AXVCPU_I_X86_V(name), s->physical_mask, align)))

#define AXVCPU_I_X86_VMX_RULES(R)                                                                          \
    R(PIN_FIXED, PIN_CONTROLS, "26.2.1.1: as IA32_VMX_PINBASED_CTLS allows",                               \
      axvcpu_i_x86_allowed_controls(AXVCPU_I_X86_V(PIN_CONTROLS), s->pin))                                 \
    R(PRIMARY_FIXED, PRIMARY_CONTROLS, "26.2.1.1: as IA32_VMX_PROCBASED_CTLS allows",                      \
      axvcpu_i_x86_allowed_controls(AXVCPU_I_X86_V(PRIMARY_CONTROLS), s->primary))                         \
    R(SECONDARY_FIXED, SECONDARY_CONTROLS, "26.2.1.1: as IA32_VMX_PROCBASED_CTLS2 allows",                 \
      AXVCPU_I_X86_IF(AXVCPU_I_X86_PRI(31),                                                                \
                      axvcpu_i_x86_allowed_controls(AXVCPU_I_X86_V(SECONDARY_CONTROLS), s->secondary)))    \
    R(CR3_TARGETS_MAX, CR3_TARGETS, "26.2.1.1: at most as IA32_VMX_MISC says",                             \
      AXVCPU_I_X86_V(CR3_TARGETS) <= (s->misc >> 16 & 0x1ffu))                                             \
    AXVCPU_I_X86_VMX_PAGE(R, IO_BITMAP_A, AXVCPU_I_X86_PRI(25), 0x1000)                                    \
    AXVCPU_I_X86_VMX_PAGE(R, IO_BITMAP_B, AXVCPU_I_X86_PRI(25), 0x1000)                                    \
    AXVCPU_I_X86_VMX_PAGE(R, MSR_BITMAP, AXVCPU_I_X86_PRI(28), 0x1000)                                     \
    AXVCPU_I_X86_VMX_PAGE(R, VIRTUAL_APIC, AXVCPU_I_X86_PRI(21), 0x1000)                                   \
    R(TPR_THRESHOLD_BITS, TPR_THRESHOLD, "26.2.1.1: bits 31-4 are 0",                                      \
      !AXVCPU_I_X86_PRI(21) || AXVCPU_I_X86_SEC(9) || AXVCPU_I_X86_V(TPR_THRESHOLD) < 16)                  \
    R(NMI_VIRTUAL, PIN_CONTROLS, "26.2.1.1: virtual NMIs need NMI exiting",                                \
      AXVCPU_I_X86_IF(AXVCPU_I_X86_PIN(5), AXVCPU_I_X86_PIN(3)))                                           \
    R(NMI_WINDOW, PRIMARY_CONTROLS, "26.2.1.1: NMI-window exiting needs virtual NMIs",                     \
      AXVCPU_I_X86_IF(AXVCPU_I_X86_PRI(22), AXVCPU_I_X86_PIN(5)))                                          \
    AXVCPU_I_X86_VMX_PAGE(R, APIC_ACCESS, AXVCPU_I_X86_SEC(0), 0x1000)                                     \
    R(APIC_SHADOW, SECONDARY_CONTROLS, "26.2.1.1: x2APIC, register and delivery virtualization need the TPR shadow", \
      AXVCPU_I_X86_PRI(21) || !(AXVCPU_I_X86_SEC(4) || AXVCPU_I_X86_SEC(8) || AXVCPU_I_X86_SEC(9)))        \
    R(APIC_MODES, SECONDARY_CONTROLS, "26.2.1.1: not both x2APIC mode and APIC accesses",                  \
      !(AXVCPU_I_X86_SEC(0) && AXVCPU_I_X86_SEC(4)))                                                       \
    R(APIC_DELIVERY, PIN_CONTROLS, "26.2.1.1: virtual-interrupt delivery needs external-interrupt exiting", \
      AXVCPU_I_X86_IF(AXVCPU_I_X86_SEC(9), AXVCPU_I_X86_PIN(0)))                                           \
    R(POSTED_NEEDS, PIN_CONTROLS, "26.2.1.1: posted interrupts need virtual delivery and acknowledge on exit", \
      AXVCPU_I_X86_IF(AXVCPU_I_X86_PIN(7), AXVCPU_I_X86_SEC(9) && AXVCPU_I_X86_EXI(15)))                   \
    R(POSTED_VECTOR_BITS, POSTED_VECTOR, "26.2.1.1: at most 255",                                          \
      AXVCPU_I_X86_IF(AXVCPU_I_X86_PIN(7), AXVCPU_I_X86_V(POSTED_VECTOR) < 256))                           \
    AXVCPU_I_X86_VMX_PAGE(R, POSTED_DESCRIPTOR, AXVCPU_I_X86_PIN(7), 0x40)                                 \
    R(VPID_ZERO, VPID, "26.2.1.1: not 0", AXVCPU_I_X86_IF(AXVCPU_I_X86_SEC(5), AXVCPU_I_X86_V(VPID) != 0)) \
    R(EPTP_FORM, EPTP, "26.2.1.1: memory type, walk length, accessed and dirty bits as IA32_VMX_EPT_VPID_CAP allows", \
      AXVCPU_I_X86_IF(AXVCPU_I_X86_SEC(1), axvcpu_i_x86_eptp(s)))                                          \
    R(EPTP_RESERVED, EPTP, "26.2.1.1: bits 11-7 and those above physical addresses are 0",                 \
      AXVCPU_I_X86_IF(AXVCPU_I_X86_SEC(1), (AXVCPU_I_X86_V(EPTP) & (~s->physical_mask | 0xf80u)) == 0))    \
    R(UNRESTRICTED_EPT, SECONDARY_CONTROLS, "26.2.1.1: unrestricted guest needs EPT",                      \
      AXVCPU_I_X86_IF(AXVCPU_I_X86_UNRESTRICTED, AXVCPU_I_X86_SEC(1)))                                     \
    R(PML_EPT, SECONDARY_CONTROLS, "26.2.1.1: page-modification logging needs EPT",                        \
      AXVCPU_I_X86_IF(AXVCPU_I_X86_SEC(17), AXVCPU_I_X86_SEC(1)))                                          \
    AXVCPU_I_X86_VMX_PAGE(R, PML_ADDRESS, AXVCPU_I_X86_SEC(17), 0x1000)                                    \
    R(EXIT_FIXED, EXIT_CONTROLS, "26.2.1.2: as IA32_VMX_EXIT_CTLS allows",                                 \
      axvcpu_i_x86_allowed_controls(AXVCPU_I_X86_V(EXIT_CONTROLS), s->exit))                               \
    R(EXIT_TIMER, EXIT_CONTROLS, "26.2.1.2: saving the preemption timer needs it active",                  \
      AXVCPU_I_X86_IF(AXVCPU_I_X86_EXI(22), AXVCPU_I_X86_PIN(6)))                                          \
    AXVCPU_I_X86_VMX_PAGE(R, EXIT_MSR_STORE, AXVCPU_I_X86_V(EXIT_MSR_STORES) != 0, 16)                     \
    AXVCPU_I_X86_VMX_PAGE(R, EXIT_MSR_LOAD, AXVCPU_I_X86_V(EXIT_MSR_LOADS) != 0, 16)                       \
    R(ENTRY_FIXED, ENTRY_CONTROLS, "26.2.1.3: as IA32_VMX_ENTRY_CTLS allows",                              \
      axvcpu_i_x86_allowed_controls(AXVCPU_I_X86_V(ENTRY_CONTROLS), s->entry))                             \
    R(ENTRY_SMM, ENTRY_CONTROLS, "26.2.1.3: entry to SMM and its deactivation only in SMM",                \
      !AXVCPU_I_X86_ENT(10) && !AXVCPU_I_X86_ENT(11))                                                      \
    R(EVENT_TYPE, ENTRY_EVENT, "26.2.1.3: type is not reserved", axvcpu_i_x86_event_type(s))               \
    R(EVENT_VECTOR, ENTRY_EVENT, "26.2.1.3: an NMI is 2, an exception at most 31", axvcpu_i_x86_event_vector(s)) \
    R(EVENT_ERROR, ENTRY_EVENT, "26.2.1.3: an error code where the exception has one, and only there",     \
      (AXVCPU_I_X86_V(ENTRY_EVENT) & AXVCPU_X86_EVENT_VALID) == 0 || axvcpu_i_x86_event_error(s))          \
    R(EVENT_RESERVED, ENTRY_EVENT, "26.2.1.3: bits 30-12 are 0",                                           \
      (AXVCPU_I_X86_V(ENTRY_EVENT) & AXVCPU_X86_EVENT_VALID) == 0 || (AXVCPU_I_X86_V(ENTRY_EVENT) & 0x7ffff000u) == 0) \
    R(ENTRY_ERROR_BITS, ENTRY_ERROR, "26.2.1.3: bits 31-16 are 0",                                         \
      (AXVCPU_I_X86_V(ENTRY_EVENT) & AXVCPU_X86_EVENT_VALID) == 0 ||                                       \
          (AXVCPU_I_X86_V(ENTRY_EVENT) & AXVCPU_X86_EVENT_ERROR) == 0 || AXVCPU_I_X86_V(ENTRY_ERROR) >> 16 == 0) \
    R(ENTRY_LENGTH_RANGE, ENTRY_LENGTH, "26.2.1.3: 1 to 15 for a software event", axvcpu_i_x86_event_length(s)) \
    AXVCPU_I_X86_VMX_PAGE(R, ENTRY_MSR_LOAD, AXVCPU_I_X86_V(ENTRY_MSR_LOADS) != 0, 16)                     \
    /* the host */                                                                                         \
    R(HOST_CR0_FIXED, HOST_CR0, "26.2.2: as IA32_VMX_CR0_FIXED0 and 1 say",                                \
      axvcpu_i_x86_fixed(AXVCPU_I_X86_V(HOST_CR0), s->cr0_fixed0, s->cr0_fixed1, 0))                       \
    R(HOST_CR4_FIXED, HOST_CR4, "26.2.2: as IA32_VMX_CR4_FIXED0 and 1 say",                                \
      axvcpu_i_x86_fixed(AXVCPU_I_X86_V(HOST_CR4), s->cr4_fixed0, s->cr4_fixed1, 0))                       \
    R(HOST_CR3_BITS, HOST_CR3, "26.2.2: a physical address", (AXVCPU_I_X86_V(HOST_CR3) & ~s->physical_mask) == 0) \
    AXVCPU_I_X86_VMX_CANONICAL(R, HOST_SYSENTER_ESP, "26.2.2", HOST_CR4)                                   \
    AXVCPU_I_X86_VMX_CANONICAL(R, HOST_SYSENTER_EIP, "26.2.2", HOST_CR4)                                   \
    R(HOST_PAT_TYPES, HOST_PAT, "26.2.2: memory types",                                                    \
      AXVCPU_I_X86_IF(AXVCPU_I_X86_EXI(19), axvcpu_i_x86_types(AXVCPU_I_X86_V(HOST_PAT), 0xf3)))           \
    R(HOST_EFER_RESERVED, HOST_EFER, "26.2.2: reserved bits are 0",                                        \
      AXVCPU_I_X86_IF(AXVCPU_I_X86_EXI(21), (AXVCPU_I_X86_V(HOST_EFER) & ~s->efer_valid) == 0))            \
    R(HOST_EFER_LMA, HOST_EFER, "26.2.2: LMA and LME are the host address-space size",                     \
      AXVCPU_I_X86_IF(AXVCPU_I_X86_EXI(21), axvcpu_i_x86_efer_host(s)))                                    \
    AXVCPU_I_X86_VMX_SELECTOR(R, HOST_ES) AXVCPU_I_X86_VMX_SELECTOR(R, HOST_CS)                            \
    AXVCPU_I_X86_VMX_SELECTOR(R, HOST_SS) AXVCPU_I_X86_VMX_SELECTOR(R, HOST_DS)                            \
    AXVCPU_I_X86_VMX_SELECTOR(R, HOST_FS) AXVCPU_I_X86_VMX_SELECTOR(R, HOST_GS)                            \
    AXVCPU_I_X86_VMX_SELECTOR(R, HOST_TR)                                                                  \
    R(HOST_CS_NULL, HOST_CS, "26.2.3: not 0", AXVCPU_I_X86_V(HOST_CS) != 0)                                \
    R(HOST_TR_NULL, HOST_TR, "26.2.3: not 0", AXVCPU_I_X86_V(HOST_TR) != 0)                                \
    AXVCPU_I_X86_VMX_CANONICAL(R, HOST_FS_BASE, "26.2.3", HOST_CR4)                                        \
    AXVCPU_I_X86_VMX_CANONICAL(R, HOST_GS_BASE, "26.2.3", HOST_CR4)                                        \
    AXVCPU_I_X86_VMX_CANONICAL(R, HOST_TR_BASE, "26.2.3", HOST_CR4)                                        \
    AXVCPU_I_X86_VMX_CANONICAL(R, HOST_GDTR_BASE, "26.2.3", HOST_CR4)                                      \
    AXVCPU_I_X86_VMX_CANONICAL(R, HOST_IDTR_BASE, "26.2.3", HOST_CR4)                                      \
    R(HOST_SIZE, EXIT_CONTROLS, "26.2.4: a 64-bit host's address-space size is 1", AXVCPU_I_X86_EXI(9))    \
    R(HOST_PAE, HOST_CR4, "26.2.4: PAE for a 64-bit host",                                                 \
      AXVCPU_I_X86_IF(AXVCPU_I_X86_EXI(9), (AXVCPU_I_X86_V(HOST_CR4) & AXVCPU_X86_CR4_PAE) != 0))          \
    AXVCPU_I_X86_VMX_CANONICAL(R, HOST_RIP, "26.2.4", HOST_CR4)                                            \
    /* the guest's registers */                                                                            \
    R(CR0_FIXED, GUEST_CR0, "26.3.1.1: as IA32_VMX_CR0_FIXED0 and 1 say",                                  \
      axvcpu_i_x86_fixed(AXVCPU_I_X86_V(GUEST_CR0), s->cr0_fixed0, s->cr0_fixed1,                          \
                         AXVCPU_X86_CR0_CD | AXVCPU_X86_CR0_NW |                                           \
                             (AXVCPU_I_X86_UNRESTRICTED ? AXVCPU_X86_CR0_PE | AXVCPU_X86_CR0_PG : 0)))     \
    R(CR0_PG, GUEST_CR0, "26.3.1.1: PG needs PE", (AXVCPU_I_X86_V(GUEST_CR0) & AXVCPU_X86_CR0_PG) == 0 ||   \
      (AXVCPU_I_X86_V(GUEST_CR0) & AXVCPU_X86_CR0_PE) != 0)                                                \
    R(CR4_FIXED, GUEST_CR4, "26.3.1.1: as IA32_VMX_CR4_FIXED0 and 1 say",                                  \
      axvcpu_i_x86_fixed(AXVCPU_I_X86_V(GUEST_CR4), s->cr4_fixed0, s->cr4_fixed1, 0))                      \
    R(CR4_CET, GUEST_CR4, "26.3.1.1: CET needs CR0.WP", (AXVCPU_I_X86_V(GUEST_CR4) & AXVCPU_X86_CR4_CET) == 0 || \
      (AXVCPU_I_X86_V(GUEST_CR0) & AXVCPU_X86_CR0_WP) != 0)                                                \
    R(DEBUGCTL_BITS, GUEST_DEBUGCTL, "26.3.1.1: reserved bits are 0",                                      \
      AXVCPU_I_X86_IF(AXVCPU_I_X86_ENT(2), (AXVCPU_I_X86_V(GUEST_DEBUGCTL) & ~UINT64_C(0xffc3)) == 0))     \
    R(IA32E_PG, GUEST_CR0, "26.3.1.1: PG in IA-32e mode",                                                  \
      AXVCPU_I_X86_IF(AXVCPU_I_X86_IA32E, (AXVCPU_I_X86_V(GUEST_CR0) & AXVCPU_X86_CR0_PG) != 0))           \
    R(IA32E_PAE, GUEST_CR4, "26.3.1.1: PAE in IA-32e mode",                                                \
      AXVCPU_I_X86_IF(AXVCPU_I_X86_IA32E, (AXVCPU_I_X86_V(GUEST_CR4) & AXVCPU_X86_CR4_PAE) != 0))          \
    R(PCIDE, GUEST_CR4, "26.3.1.1: no PCIDE outside IA-32e mode",                                          \
      AXVCPU_I_X86_IA32E || (AXVCPU_I_X86_V(GUEST_CR4) & AXVCPU_X86_CR4_PCIDE) == 0)                       \
    R(CR3_BITS, GUEST_CR3, "26.3.1.1: a physical address", (AXVCPU_I_X86_V(GUEST_CR3) & ~s->physical_mask) == 0) \
    R(DR7_BITS, GUEST_DR7, "26.3.1.1: bits 63-32 are 0", !AXVCPU_I_X86_ENT(2) || AXVCPU_I_X86_V(GUEST_DR7) >> 32 == 0) \
    AXVCPU_I_X86_VMX_CANONICAL(R, GUEST_SYSENTER_ESP, "26.3.1.1", GUEST_CR4)                               \
    AXVCPU_I_X86_VMX_CANONICAL(R, GUEST_SYSENTER_EIP, "26.3.1.1", GUEST_CR4)                               \
    R(PAT_TYPES, GUEST_PAT, "26.3.1.1: memory types",                                                      \
      AXVCPU_I_X86_IF(AXVCPU_I_X86_ENT(14), axvcpu_i_x86_types(AXVCPU_I_X86_V(GUEST_PAT), 0xf3)))          \
    R(EFER_RESERVED, GUEST_EFER, "26.3.1.1: reserved bits are 0",                                          \
      AXVCPU_I_X86_IF(AXVCPU_I_X86_ENT(15), (AXVCPU_I_X86_V(GUEST_EFER) & ~s->efer_valid) == 0))           \
    R(EFER_LMA, GUEST_EFER, "26.3.1.1: LMA is IA-32e mode, and LME with paging",                           \
      AXVCPU_I_X86_IF(AXVCPU_I_X86_ENT(15), axvcpu_i_x86_efer_guest(s)))                                   \
    /* the guest's segments */                                                                             \
    R(SS_RPL, GUEST_SS, "26.3.1.2: RPL is CS's",                                                           \
      AXVCPU_I_X86_VM86 || AXVCPU_I_X86_UNRESTRICTED || AXVCPU_I_X86_RPL(SS) == AXVCPU_I_X86_RPL(CS))      \
    R(CS_BASE, GUEST_CS_BASE, "26.3.1.2: bits 63-32 are 0", AXVCPU_I_X86_V(GUEST_CS_BASE) >> 32 == 0)      \
    R(SS_BASE, GUEST_SS_BASE, "26.3.1.2: bits 63-32 are 0",                                                \
      !AXVCPU_I_X86_USABLE(SS) || AXVCPU_I_X86_V(GUEST_SS_BASE) >> 32 == 0)                                \
    R(DS_BASE, GUEST_DS_BASE, "26.3.1.2: bits 63-32 are 0",                                                \
      !AXVCPU_I_X86_USABLE(DS) || AXVCPU_I_X86_V(GUEST_DS_BASE) >> 32 == 0)                                \
    R(ES_BASE, GUEST_ES_BASE, "26.3.1.2: bits 63-32 are 0",                                                \
      !AXVCPU_I_X86_USABLE(ES) || AXVCPU_I_X86_V(GUEST_ES_BASE) >> 32 == 0)                                \
    AXVCPU_I_X86_VMX_CANONICAL(R, GUEST_FS_BASE, "26.3.1.2", GUEST_CR4)                                    \
    AXVCPU_I_X86_VMX_CANONICAL(R, GUEST_GS_BASE, "26.3.1.2", GUEST_CR4)                                    \
    R(CS_TYPE, GUEST_CS_ACCESS, "26.3.1.2: accessed code, or type 3 for an unrestricted guest",            \
      AXVCPU_I_X86_VM86 || axvcpu_i_x86_cs_type(s))                                                        \
    R(CS_DPL, GUEST_CS_ACCESS, "26.3.1.2: DPL is SS's, or not above it if conforming, or 0 for type 3",    \
      AXVCPU_I_X86_VM86 || axvcpu_i_x86_cs_dpl(s))                                                         \
    R(CS_D, GUEST_CS_ACCESS, "26.3.1.2: not both L and D in IA-32e mode",                                  \
      AXVCPU_I_X86_VM86 || !AXVCPU_I_X86_CS64 || (AXVCPU_I_X86_V(GUEST_CS_ACCESS) & AXVCPU_X86_AR_DB) == 0) \
    R(SS_TYPE, GUEST_SS_ACCESS, "26.3.1.2: type 3 or 7",                                                   \
      AXVCPU_I_X86_VM86 || !AXVCPU_I_X86_USABLE(SS) || (AXVCPU_I_X86_TYPE(SS) & 0xbu) == 3)                \
    R(SS_DPL, GUEST_SS_ACCESS, "26.3.1.2: DPL is RPL; 0 in real mode", AXVCPU_I_X86_VM86 || axvcpu_i_x86_ss_dpl(s)) \
    AXVCPU_I_X86_VMX_DATA(R, DS) AXVCPU_I_X86_VMX_DATA(R, ES)                                              \
    AXVCPU_I_X86_VMX_DATA(R, FS) AXVCPU_I_X86_VMX_DATA(R, GS)                                              \
    AXVCPU_I_X86_VMX_SEGMENT(R, CS, true) AXVCPU_I_X86_VMX_SEGMENT(R, SS, AXVCPU_I_X86_USABLE(SS))         \
    AXVCPU_I_X86_VMX_SEGMENT(R, DS, AXVCPU_I_X86_USABLE(DS)) AXVCPU_I_X86_VMX_SEGMENT(R, ES, AXVCPU_I_X86_USABLE(ES)) \
    AXVCPU_I_X86_VMX_SEGMENT(R, FS, AXVCPU_I_X86_USABLE(FS)) AXVCPU_I_X86_VMX_SEGMENT(R, GS, AXVCPU_I_X86_USABLE(GS)) \
    AXVCPU_I_X86_VMX_SYSTEM(R, TR, true,                                                                   \
                            AXVCPU_I_X86_TYPE(TR) == 11 || (AXVCPU_I_X86_TYPE(TR) == 3 && !AXVCPU_I_X86_IA32E)) \
    R(TR_USABLE, GUEST_TR_ACCESS, "26.3.1.2: not unusable", AXVCPU_I_X86_USABLE(TR))                       \
    AXVCPU_I_X86_VMX_SYSTEM(R, LDTR, AXVCPU_I_X86_USABLE(LDTR), AXVCPU_I_X86_TYPE(LDTR) == 2)              \
    AXVCPU_I_X86_VMX_CANONICAL(R, GUEST_GDTR_BASE, "26.3.1.3", GUEST_CR4)                                  \
    AXVCPU_I_X86_VMX_CANONICAL(R, GUEST_IDTR_BASE, "26.3.1.3", GUEST_CR4)                                  \
    R(GDTR_LIMIT, GUEST_GDTR_LIMIT, "26.3.1.3: bits 31-16 are 0", AXVCPU_I_X86_V(GUEST_GDTR_LIMIT) >> 16 == 0) \
    R(IDTR_LIMIT, GUEST_IDTR_LIMIT, "26.3.1.3: bits 31-16 are 0", AXVCPU_I_X86_V(GUEST_IDTR_LIMIT) >> 16 == 0) \
    /* the rest of the guest's state */                                                                    \
    R(RIP_RANGE, GUEST_RIP, "26.3.1.4: bits beyond linear addresses are the same in 64-bit code; else 32 bits", axvcpu_i_x86_rip(s))       \
    R(RFLAGS_RESERVED, GUEST_RFLAGS, "26.3.1.4: reserved bits are 0, and bit 1 is 1",                      \
      (AXVCPU_I_X86_V(GUEST_RFLAGS) & ~UINT64_C(0x3f7fd5)) == 2)                                           \
    R(RFLAGS_VM, GUEST_RFLAGS, "26.3.1.4: no virtual-8086 mode in IA-32e or real mode",                    \
      !AXVCPU_I_X86_VM86 || (!AXVCPU_I_X86_IA32E && (AXVCPU_I_X86_V(GUEST_CR0) & AXVCPU_X86_CR0_PE) != 0)) \
    R(RFLAGS_IF, GUEST_RFLAGS, "26.3.1.4: IF, for an external interrupt to be injected",                   \
      AXVCPU_I_X86_IF(AXVCPU_I_X86_EVENT_IS(INTERRUPT), (AXVCPU_I_X86_V(GUEST_RFLAGS) & AXVCPU_X86_FLAG_IF) != 0)) \
    R(ACTIVITY_KNOWN, GUEST_ACTIVITY, "26.3.1.5: a state that IA32_VMX_MISC has",                          \
      AXVCPU_I_X86_V(GUEST_ACTIVITY) == 0 ||                                                               \
          (AXVCPU_I_X86_V(GUEST_ACTIVITY) <= 3 && (s->misc >> (5 + AXVCPU_I_X86_V(GUEST_ACTIVITY)) & 1u) != 0)) \
    R(ACTIVITY_HLT, GUEST_ACTIVITY, "26.3.1.5: no HLT unless SS.DPL is 0",                                 \
      AXVCPU_I_X86_V(GUEST_ACTIVITY) != 1 || AXVCPU_I_X86_DPL(SS) == 0)                                    \
    R(ACTIVITY_BLOCKED, GUEST_ACTIVITY, "26.3.1.5: active while STI or MOV SS blocks",                     \
      AXVCPU_I_X86_V(GUEST_ACTIVITY) == 0 || !AXVCPU_I_X86_BLOCKS(3u))                                     \
    R(ACTIVITY_EVENT, GUEST_ACTIVITY, "26.3.1.5: what is injected fits the activity state", axvcpu_i_x86_activity_event(s)) \
    R(BLOCKING_RESERVED, GUEST_INTERRUPTIBILITY, "26.3.1.5: bits 31-5 are 0", !AXVCPU_I_X86_BLOCKS(0xffffffe0u)) \
    R(BLOCKING_BOTH, GUEST_INTERRUPTIBILITY, "26.3.1.5: not both STI and MOV SS",                          \
      (AXVCPU_I_X86_V(GUEST_INTERRUPTIBILITY) & 3u) != 3)                                                  \
    R(BLOCKING_STI, GUEST_INTERRUPTIBILITY, "26.3.1.5: STI blocks only with IF",                           \
      !AXVCPU_I_X86_BLOCKS(1u) || (AXVCPU_I_X86_V(GUEST_RFLAGS) & AXVCPU_X86_FLAG_IF) != 0)                \
    R(BLOCKING_INTERRUPT, GUEST_INTERRUPTIBILITY, "26.3.1.5: nothing blocks an external interrupt to be injected", \
      !AXVCPU_I_X86_EVENT_IS(INTERRUPT) || !AXVCPU_I_X86_BLOCKS(3u))                                       \
    R(BLOCKING_NMI, GUEST_INTERRUPTIBILITY, "26.3.1.5: nothing blocks an NMI to be injected",              \
      !AXVCPU_I_X86_EVENT_IS(NMI) || !AXVCPU_I_X86_BLOCKS(AXVCPU_I_X86_PIN(5) ? 10u : 2u))                 \
    R(BLOCKING_SMI, GUEST_INTERRUPTIBILITY, "26.3.1.5: no blocking by SMI outside SMM", !AXVCPU_I_X86_BLOCKS(4u)) \
    R(PENDING_RESERVED, GUEST_PENDING_DEBUG, "26.3.1.5: reserved bits are 0",                              \
      (AXVCPU_I_X86_V(GUEST_PENDING_DEBUG) & ~UINT64_C(0x1500f)) == 0)                                     \
    R(PENDING_BS, GUEST_PENDING_DEBUG, "26.3.1.5: BS as TF says, while blocked or halted", axvcpu_i_x86_pending_step(s)) \
    R(LINK_VALID, LINK_POINTER, "26.3.1.5: all ones, or a page", AXVCPU_I_X86_V(LINK_POINTER) == UINT64_MAX || \
      axvcpu_i_x86_physical(AXVCPU_I_X86_V(LINK_POINTER), s->physical_mask, 0x1000))                       \
    R(PDPTE0, GUEST_PDPTE0, "26.3.1.6: reserved bits are 0",                                               \
      !AXVCPU_I_X86_PAE_PAGING || !AXVCPU_I_X86_SEC(1) || axvcpu_i_x86_pdpte(s, AXVCPU_I_X86_V(GUEST_PDPTE0))) \
    R(PDPTE1, GUEST_PDPTE1, "26.3.1.6: reserved bits are 0",                                               \
      !AXVCPU_I_X86_PAE_PAGING || !AXVCPU_I_X86_SEC(1) || axvcpu_i_x86_pdpte(s, AXVCPU_I_X86_V(GUEST_PDPTE1))) \
    R(PDPTE2, GUEST_PDPTE2, "26.3.1.6: reserved bits are 0",                                               \
      !AXVCPU_I_X86_PAE_PAGING || !AXVCPU_I_X86_SEC(1) || axvcpu_i_x86_pdpte(s, AXVCPU_I_X86_V(GUEST_PDPTE2))) \
    R(PDPTE3, GUEST_PDPTE3, "26.3.1.6: reserved bits are 0",                                               \
      !AXVCPU_I_X86_PAE_PAGING || !AXVCPU_I_X86_SEC(1) || axvcpu_i_x86_pdpte(s, AXVCPU_I_X86_V(GUEST_PDPTE3)))

#define AXVCPU_I_X86_ENUM_RULE(name, field, text, holds) AXVCPU_I_X86_RULE_##name,
#define AXVCPU_I_X86_SAY_RULE(name, field, text, holds) { #field, "SDM 3, " text },
#define AXVCPU_I_X86_ASK_RULE(name, field, text, holds) (holds),
enum axvcpu_i_x86_vmx_rule { AXVCPU_I_X86_VMX_RULES(AXVCPU_I_X86_ENUM_RULE) AXVCPU_I_X86_VMX_RULE_COUNT };
static const struct axvcpu_i_x86_rule axvcpu_i_x86_vmx_rules[] = { AXVCPU_I_X86_VMX_RULES(AXVCPU_I_X86_SAY_RULE) };

static void axvcpu_i_x86_blame(const struct axvcpu_i_x86_rule *rule, struct axvcpu_x86_broken *out, uint32_t max,
                               uint32_t *n)
{
    if (*n < max) {
        out[*n].field = rule->field;
        out[*n].rule = rule->text;
    }
    (*n)++;
}

AXVCPU_API uint32_t axvcpu_x86_vmx_explain(const struct axvcpu_x86_vmx_state *s, struct axvcpu_x86_broken *out,
                                           uint32_t max)
{
    const bool holds[] = { AXVCPU_I_X86_VMX_RULES(AXVCPU_I_X86_ASK_RULE) };
    uint32_t i, n = 0;

    for (i = 0; i < AXVCPU_I_X86_VMX_RULE_COUNT; i++)
        if (!holds[i])
            axvcpu_i_x86_blame(&axvcpu_i_x86_vmx_rules[i], out, max, &n);
    return n;
}

/* >>decode entry failures: SVM (APM 2, 15.5.1) */

#define AXVCPU_I_X86_VMCB_PLACE(name, offset, size) { offset, size },
struct axvcpu_i_x86_place { uint16_t offset; uint8_t size; };
static const struct axvcpu_i_x86_place axvcpu_i_x86_vmcb_places[] = { AXVCPU_X86_VMCB(AXVCPU_I_X86_VMCB_PLACE) };

AXVCPU_API void axvcpu_x86_vmcb_read(const void *vmcb, struct axvcpu_x86_svm_state *s)
{
    uint32_t i;

    AXVCPU_MEMSET(s->field, 0, sizeof(s->field));
    for (i = 0; i < AXVCPU_X86_VMCB_COUNT; i++)
        AXVCPU_MEMCPY(&s->field[i], (const uint8_t *)vmcb + axvcpu_i_x86_vmcb_places[i].offset,
                      axvcpu_i_x86_vmcb_places[i].size);
}

#define AXVCPU_I_X86_B(name) (s->field[AXVCPU_X86_VMCB_##name])
#define AXVCPU_I_X86_B_LONG /* EFER.LME and paging */                                                      \
    ((AXVCPU_I_X86_B(EFER) & AXVCPU_X86_EFER_LME) != 0 && (AXVCPU_I_X86_B(CR0) & AXVCPU_X86_CR0_PG) != 0)

/* APM 2, 15.20: a reserved type, or an exception that cannot be. */
static bool axvcpu_i_x86_eventinj(uint64_t event)
{
    uint32_t type = AXVCPU_X86_EVENT_TYPE(event), vector = (uint32_t)event & AXVCPU_X86_EVENT_VECTOR;

    if ((event & AXVCPU_X86_EVENT_VALID) == 0)
        return true;
    return type == AXVCPU_X86_EVENT_INTERRUPT || type == AXVCPU_X86_EVENT_NMI || type == AXVCPU_X86_EVENT_SOFTWARE ||
           (type == AXVCPU_X86_EVENT_EXCEPTION && vector < 32 && vector != 2);
}

#define AXVCPU_I_X86_SVM_RULES(R)                                                                          \
    R(SVM_SVME, EFER, "SVME is 1", (AXVCPU_I_X86_B(EFER) & AXVCPU_X86_EFER_SVME) != 0)                     \
    R(SVM_EFER_RESERVED, EFER, "reserved bits are 0", (AXVCPU_I_X86_B(EFER) & ~s->efer_valid) == 0)        \
    R(SVM_NW, CR0, "NW needs CD", (AXVCPU_I_X86_B(CR0) & AXVCPU_X86_CR0_NW) == 0 ||                        \
      (AXVCPU_I_X86_B(CR0) & AXVCPU_X86_CR0_CD) != 0)                                                      \
    R(SVM_CR0_HIGH, CR0, "bits 63-32 are 0", AXVCPU_I_X86_B(CR0) >> 32 == 0)                               \
    R(SVM_CR3, CR3, "a physical address in long mode", !AXVCPU_I_X86_B_LONG || (AXVCPU_I_X86_B(CR3) & ~s->physical_mask) == 0) \
    R(SVM_CR4, CR4, "reserved bits are 0", (AXVCPU_I_X86_B(CR4) & ~s->cr4_valid) == 0)                     \
    R(SVM_DR6, DR6, "bits 63-32 are 0", AXVCPU_I_X86_B(DR6) >> 32 == 0)                                    \
    R(SVM_DR7, DR7, "bits 63-32 are 0", AXVCPU_I_X86_B(DR7) >> 32 == 0)                                    \
    R(SVM_PAE, CR4, "PAE in long mode", !AXVCPU_I_X86_B_LONG || (AXVCPU_I_X86_B(CR4) & AXVCPU_X86_CR4_PAE) != 0) \
    R(SVM_PE, CR0, "PE in long mode", !AXVCPU_I_X86_B_LONG || (AXVCPU_I_X86_B(CR0) & AXVCPU_X86_CR0_PE) != 0) \
    R(SVM_CS, CS_ATTRIB, "not both L and D in long mode", !AXVCPU_I_X86_B_LONG ||                          \
      (AXVCPU_I_X86_B(CR4) & AXVCPU_X86_CR4_PAE) == 0 || (AXVCPU_I_X86_B(CS_ATTRIB) & 0x600u) != 0x600u)   \
    R(SVM_CET, CR4, "CET needs CR0.WP", (AXVCPU_I_X86_B(CR4) & AXVCPU_X86_CR4_CET) == 0 ||                 \
      (AXVCPU_I_X86_B(CR0) & AXVCPU_X86_CR0_WP) != 0)                                                      \
    R(SVM_S_CET, S_CET, "reserved bits are 0", (AXVCPU_I_X86_B(CR4) & AXVCPU_X86_CR4_CET) == 0 ||          \
      (AXVCPU_I_X86_B(S_CET) & 0x3c0u) == 0)                                                               \
    R(SVM_VMRUN, INTERCEPTS2, "VMRUN is intercepted", (AXVCPU_I_X86_B(INTERCEPTS2) & 1u) != 0)             \
    R(SVM_ASID_ZERO, ASID, "not 0", AXVCPU_I_X86_B(ASID) != 0)                                             \
    R(SVM_ASID_MAX, ASID, "below CPUID 8000_000A EBX", AXVCPU_I_X86_B(ASID) < s->asids)                    \
    R(SVM_IOPM, IOPM_BASE, "all of the map is below the end of physical memory",                           \
      (AXVCPU_I_X86_B(INTERCEPTS) >> 27 & 1u) == 0 ||                                                      \
          ((AXVCPU_I_X86_B(IOPM_BASE) & ~UINT64_C(0xfff)) <= s->physical_mask - 0x2fff))                   \
    R(SVM_MSRPM, MSRPM_BASE, "all of the map is below the end of physical memory",                         \
      (AXVCPU_I_X86_B(INTERCEPTS) >> 28 & 1u) == 0 ||                                                      \
          ((AXVCPU_I_X86_B(MSRPM_BASE) & ~UINT64_C(0xfff)) <= s->physical_mask - 0x1fff))                  \
    R(SVM_EVENTINJ, EVENTINJ, "type and vector can be (15.20)", axvcpu_i_x86_eventinj(AXVCPU_I_X86_B(EVENTINJ))) \
    R(SVM_N_CR3, N_CR3, "a physical address, with nested paging (15.25.4)",                                \
      (AXVCPU_I_X86_B(NESTED) & 1u) == 0 || (AXVCPU_I_X86_B(N_CR3) & ~s->physical_mask) == 0)              \
    R(SVM_G_PAT, G_PAT, "memory types, with nested paging (15.25.4)",                                      \
      (AXVCPU_I_X86_B(NESTED) & 1u) == 0 || axvcpu_i_x86_types(AXVCPU_I_X86_B(G_PAT), 0xf3))

#define AXVCPU_I_X86_SAY_SVM(name, field, text, holds) { #field, "APM 2, 15.5.1: " text },
enum axvcpu_i_x86_svm_rule { AXVCPU_I_X86_SVM_RULES(AXVCPU_I_X86_ENUM_RULE) AXVCPU_I_X86_SVM_RULE_COUNT };
static const struct axvcpu_i_x86_rule axvcpu_i_x86_svm_rules[] = { AXVCPU_I_X86_SVM_RULES(AXVCPU_I_X86_SAY_SVM) };

AXVCPU_API uint32_t axvcpu_x86_svm_explain(const struct axvcpu_x86_svm_state *s, struct axvcpu_x86_broken *out,
                                           uint32_t max)
{
    const bool holds[] = { AXVCPU_I_X86_SVM_RULES(AXVCPU_I_X86_ASK_RULE) };
    uint32_t i, n = 0;

    for (i = 0; i < AXVCPU_I_X86_SVM_RULE_COUNT; i++)
        if (!holds[i])
            axvcpu_i_x86_blame(&axvcpu_i_x86_svm_rules[i], out, max, &n);
    return n;
}

AXVCPU_API size_t axvcpu_x86_explain_print(char *text, size_t size, const struct axvcpu_x86_broken *broken,
                                           uint32_t count)
{
    struct axvcpu_i_text t = { text, text != NULL ? size : 0, 0 };
    uint32_t i;

    axvcpu_i_put(&t, count == 0 ? "no rule broken" : "");
    for (i = 0; i < count; i++) {
        axvcpu_i_put(&t, i == 0 ? "" : "\n");
        axvcpu_i_put(&t, broken[i].field);
        axvcpu_i_put(&t, ": ");
        axvcpu_i_put(&t, broken[i].rule);
    }
    return t.len;
}

#if AXVCPU_I_ARCH == AXVCPU_I_ARCH_X86

/* >>registers */

/* How each mode begins. Code and data segments' access rights are in this order: present, code or data, type
   accessed; long mode's code has L, 32-bit has D, flat ones count their limit in pages. */
struct axvcpu_i_x86_start {
    uint32_t cr0, cr4, efer, code, data, limit;
};
#define AXVCPU_I_X86_CR0_FLAT (AXVCPU_X86_CR0_ET | AXVCPU_X86_CR0_PE | AXVCPU_X86_CR0_NE | AXVCPU_X86_CR0_MP)
static const struct axvcpu_i_x86_start axvcpu_i_x86_starts[] = {
    [AXVCPU_X86_REAL] = { AXVCPU_X86_CR0_ET, 0, 0, 0x9b, 0x93, 0xffff },
    [AXVCPU_X86_PROTECTED] = { AXVCPU_I_X86_CR0_FLAT, 0, 0, 0x9b | AXVCPU_X86_AR_DB | AXVCPU_X86_AR_G,
                               0x93 | AXVCPU_X86_AR_DB | AXVCPU_X86_AR_G, UINT32_MAX },
    [AXVCPU_X86_LONG] = { AXVCPU_I_X86_CR0_FLAT | AXVCPU_X86_CR0_PG,
                          AXVCPU_X86_CR4_PAE | AXVCPU_X86_CR4_OSFXSR | AXVCPU_X86_CR4_OSXMMEXCPT,
                          AXVCPU_X86_EFER_LME | AXVCPU_X86_EFER_LMA, 0x9b | AXVCPU_X86_AR_L | AXVCPU_X86_AR_G,
                          0x93 | AXVCPU_X86_AR_DB | AXVCPU_X86_AR_G, UINT32_MAX },
};

/* Selectors of the flat modes, and the GDT that goes with them: SDM 3, 3.4.5. */
#define AXVCPU_I_X86_CODE 0x08u
#define AXVCPU_I_X86_DATA 0x10u
static const uint64_t axvcpu_i_x86_gdt[4] = {
    0, UINT64_C(0x00af9b000000ffff), UINT64_C(0x00cf93000000ffff), UINT64_C(0x00cf9b000000ffff)
};

/* Real mode: below 64 KiB the segment is 0. Above, and after a start-up IPI (SDM 3, 9.4.3), the segment
   begins at the entry, as far as it can be told by a selector; beyond 1 MiB as the reset vector does it. */
static void axvcpu_i_x86_real_entry(uint64_t entry, bool started, uint64_t *base, uint64_t *ip)
{
    *base = entry < 0x10000 && !started ? 0 : entry < 0x100000 ? entry & ~UINT64_C(15) : entry & ~UINT64_C(0xffff);
    *ip = entry - *base;
}

/* PML4, PDPT, four page directories of 2 MiB pages, GDT (SDM 3, 4.5). */
static int axvcpu_i_x86_write_tables(struct axvm *vm, uint64_t at)
{
    const uint64_t bits = AXVCPU_X86_PTE_P | AXVCPU_X86_PTE_RW | AXVCPU_X86_PTE_US;
    uint64_t page[512];
    uint64_t i, n;
    int err = AXVCPU_OK;

    for (n = 0; err == 0 && n < AXVCPU_X86_TABLES_SIZE / 4096; n++) {
        AXVCPU_MEMSET(page, 0, sizeof(page));
        if (n == 6)
            AXVCPU_MEMCPY(page, axvcpu_i_x86_gdt, sizeof(axvcpu_i_x86_gdt));
        else if (n == 0)
            page[0] = (at + 0x1000) | bits;
        for (i = 0; n == 1 && i < 4; i++)
            page[i] = (at + 0x2000 + i * 4096) | bits;
        for (i = 0; n >= 2 && n < 6 && i < 512; i++)
            page[i] = (((n - 2) << 9 | i) << 21) | bits | AXVCPU_X86_PTE_PS;
        err = axvm_write(vm, axvcpu_gpa(at + n * 4096), page, sizeof(page));
    }
    return err;
}

static int axvcpu_i_x86_tables(struct axvcpu *v, const struct axvcpu_arch_setup *setup)
{
    uint64_t at = setup->tables.addr;
    int err;

    if (v->vm.vm == NULL)
        return axvcpu_i_say(AXVCPU_EINVAL, "setup: a vCPU without axvm brings its own page tables in setup.cr3");
    if ((at & 0xfff) != 0 || v->arch.entry.addr - at < AXVCPU_X86_TABLES_SIZE)
        return axvcpu_i_say(AXVCPU_EINVAL, "setup: setup.tables is no page address, or the entry is inside them");
    err = axvcpu_i_x86_write_tables(v->vm.vm, at);
    if (err == AXVCPU_EFAULT)
        return axvcpu_i_say(err, "setup: there is no guest memory at setup.tables; axvm_map it before");
    return err;
}

#ifndef AXVCPU_KVM

/* ---------------------------------------------------------------------------------------------------- */
/* >>switch                                                                                             */
/* ---------------------------------------------------------------------------------------------------- */

_Static_assert(offsetof(struct axvcpu_arch, regs) == 0 && offsetof(struct axvcpu_x86_regs, gpr) == 0 &&
                   AXVCPU_X86_RBP == 5 && AXVCPU_X86_RDI == 7,
               "axvcpu_i_x86_switch_svm, axvcpu_i_x86_switch_vmx");

static uint64_t axvcpu_i_x86_rdmsr(uint32_t msr)
{
    uint32_t low, high;

    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr) : "memory");
    return (uint64_t)high << 32 | low;
}

static void axvcpu_i_x86_wrmsr(uint32_t msr, uint64_t value)
{
    __asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

static void axvcpu_i_x86_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t reg[4])
{
    __asm__ volatile("cpuid" : "=a"(reg[0]), "=b"(reg[1]), "=c"(reg[2]), "=d"(reg[3]) : "a"(leaf), "c"(subleaf));
}

static uint64_t axvcpu_i_x86_read_dr6(void)
{
    uint64_t value;

    __asm__ volatile("mov %%db6, %0" : "=r"(value) : : "memory");
    return value;
}

static void axvcpu_i_x86_write_dr6(uint64_t value)
{
    __asm__ volatile("mov %0, %%db6" : : "r"(value) : "memory");
}

static uint64_t axvcpu_i_x86_read_dr7(void)
{
    uint64_t value;

    __asm__ volatile("mov %%db7, %0" : "=r"(value) : : "memory");
    return value;
}

static void axvcpu_i_x86_write_dr7(uint64_t value)
{
    __asm__ volatile("mov %0, %%db7" : : "r"(value) : "memory");
}

/* ---- what of it is the vendor's */

#define AXVCPU_I_X86_BIT(f) (UINT64_C(1) << (f))
#define AXVCPU_I_X86_DO_TLB (UINT64_C(1) << 63)
#define AXVCPU_I_X86_DO_EVENT (UINT64_C(1) << 62)   /* the event field is not what it should be */
#define AXVCPU_I_X86_DO_CONTROLS (UINT64_C(1) << 61)
#define AXVCPU_I_X86_DO_TLB_OFF (UINT64_C(1) << 60)
_Static_assert(AXVCPU_I_X86_FIELDS <= 60, "valid and dirty");

#define AXVCPU_I_X86_WINDOW_IRQ 1u
#define AXVCPU_I_X86_WINDOW_NMI 2u
#define AXVCPU_I_X86_WINDOW_CR8 4u /* an interrupt waits until it is lowered */

/* What LGDT and LIDT take (SDM 2). */
struct axvcpu_i_x86_table_register {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

/* One line per CPU, by CPU_ID. */
struct axvcpu_i_x86_cpu {
    struct axvcpu *loaded;
    uint64_t host_pa;
    uint32_t enabled, asids, next_asid, round;
    uint64_t xcr0;           /* the host's */
    char *fpu;               /* where the host's is while the guest has it */
    uint64_t cr2, dr6, dr7, pat; /* the host's */
    uint64_t debugctl;
    struct axvcpu_i_x86_table_register gdt, idt; /* VMX: the host's */
    uint16_t ldt, data[4]; /* ES, DS, FS, GS */
};
static struct axvcpu_i_x86_cpu axvcpu_i_x86_cpus[AXVCPU_MAX_PHYS_CPUS];

static struct axvcpu_i_x86_cpu *axvcpu_i_x86_here(void)
{
    return &axvcpu_i_x86_cpus[AXVCPU_CPU_ID()];
}

static bool axvcpu_i_x86_loaded(const struct axvcpu_arch *a)
{
    return a->cpu == AXVCPU_CPU_ID() + 1;
}


/* The handful of things in which VMX and SVM differ. */
struct axvcpu_i_x86_vendor {
    uint64_t (*read)(const struct axvcpu_arch *, uint32_t field);
    void (*write)(struct axvcpu_arch *, uint32_t field, uint64_t value);
    void (*prepare)(struct axvcpu *);        /* what never changes, once; loaded */
    void (*controls)(struct axvcpu_arch *);  /* intercepts: FPU, windows */
    void (*event)(struct axvcpu_arch *);     /* a->event, or none */
    void (*tlb)(struct axvcpu_arch *, bool); /* forget this ASID's, with this entry or before it; false: no more */
    void (*load)(struct axvcpu_arch *);
    void (*save)(struct axvcpu_arch *);
    void (*left)(struct axvcpu *, uint64_t raw, struct axvcpu_x86_left *);
    bool (*on)(struct axvcpu_percpu *);
    void (*off)(struct axvcpu_percpu *);
    uint32_t (*cpl)(struct axvcpu_arch *);
    bool (*nmi_masked)(struct axvcpu_arch *);
    void (*pdptes)(struct axvcpu_arch *, const uint64_t pdptes[4]);
};
static const struct axvcpu_i_x86_vendor *axvcpu_i_x86_vendor; /* NULL: not yet known */

/* Where a field is kept here. */
static uint64_t *axvcpu_i_x86_slot(struct axvcpu_arch *a, uint32_t f)
{
    switch (f) {
    case AXVCPU_I_X86_F_RIP: return &a->regs.rip;
    case AXVCPU_I_X86_F_RSP: return &a->regs.gpr[AXVCPU_X86_RSP];
    case AXVCPU_I_X86_F_RFLAGS: return &a->regs.rflags;
    default: return &a->field[f];
    }
}

/* Read at most once per exit, written only if it was changed. */
static uint64_t axvcpu_i_x86_get_field(struct axvcpu_arch *a, uint32_t f)
{
    uint64_t *slot = axvcpu_i_x86_slot(a, f);

    if ((a->valid & AXVCPU_I_X86_BIT(f)) == 0) {
        *slot = axvcpu_i_x86_vendor->read(a, f);
        a->valid |= AXVCPU_I_X86_BIT(f);
    }
    return *slot;
}

static void axvcpu_i_x86_put_field(struct axvcpu_arch *a, uint32_t f, uint64_t value)
{
    *axvcpu_i_x86_slot(a, f) = value;
    a->valid |= AXVCPU_I_X86_BIT(f);
    a->dirty |= AXVCPU_I_X86_BIT(f);
}
#define AXVCPU_I_X86_GET(a, name) axvcpu_i_x86_get_field(a, AXVCPU_I_X86_F_##name)
#define AXVCPU_I_X86_PUT(a, name, value) axvcpu_i_x86_put_field(a, AXVCPU_I_X86_F_##name, value)
#define AXVCPU_I_X86_SEGMENT(segment, part) (4u * (uint32_t)AXVCPU_X86_##segment + (uint32_t)AXVCPU_X86_##part)

static void axvcpu_i_x86_dr_in(struct axvcpu_arch *);
#define AXVCPU_I_X86_DR7_NONE UINT64_C(0x400) /* no breakpoint is on */
#define AXVCPU_I_X86_DR7_ON 0xffu             /* one of these */

/* Exceptions that are exits. A guest can have #AC and, by breakpoints, #DB come while one of them is being delivered,
   for ever: the CPU would take no interrupt between (CVE-2015-5307, CVE-2015-8104). */
static uint32_t axvcpu_i_x86_exceptions(const struct axvcpu_arch *a)
{
    return (a->fpu_loaded ? 0 : 1u << 7) | (a->dr_loaded || a->nmi_step ? 1u << 1 : 0) | 1u << 17 | 1u << 18;
}

/* A guest whose breakpoints are on has its own addresses for them. */
static void axvcpu_i_x86_arm(struct axvcpu_arch *a)
{
    if (!a->dr_loaded && (AXVCPU_I_X86_GET(a, DR7) & AXVCPU_I_X86_DR7_ON) != 0)
        axvcpu_i_x86_dr_in(a);
}

/* What is to be done before the entry. What has been injected is none the next time. */
AXVCPU_API void axvcpu_i_x86_flush(struct axvcpu_arch *a)
{
    uint64_t todo = a->dirty | AXVCPU_ATOMIC_XCHG(&a->remote, UINT64_C(0));
    uint64_t fields = todo & (AXVCPU_I_X86_BIT(AXVCPU_I_X86_FIELDS) - 1);

    a->dirty = 0;
    for (; fields != 0; fields &= fields - 1) {
        uint32_t f = (uint32_t)__builtin_ctzll(fields);

        axvcpu_i_x86_vendor->write(a, f, *axvcpu_i_x86_slot(a, f));
    }
    if ((todo & (AXVCPU_I_X86_DO_CONTROLS | AXVCPU_I_X86_BIT(AXVCPU_I_X86_F_DR7))) != 0) {
        axvcpu_i_x86_arm(a);
        todo |= a->dirty;
        a->dirty = 0;
    }
    if ((todo & AXVCPU_I_X86_DO_CONTROLS) != 0)
        axvcpu_i_x86_vendor->controls(a);
    if ((todo & (AXVCPU_I_X86_DO_TLB | AXVCPU_I_X86_DO_TLB_OFF)) != 0) {
        axvcpu_i_x86_vendor->tlb(a, (todo & AXVCPU_I_X86_DO_TLB) != 0);
        a->dirty |= (todo & AXVCPU_I_X86_DO_TLB) != 0 ? AXVCPU_I_X86_DO_TLB_OFF : 0;
    }
    if ((todo & AXVCPU_I_X86_DO_EVENT) != 0) {
        axvcpu_i_x86_vendor->event(a);
        a->dirty |= a->event.info != 0 ? AXVCPU_I_X86_DO_EVENT : 0;
        a->event.info = 0;
    }
}

/* SVM's extensions (CPUID 8000_000A EDX; APM 3, E.4.9) and VMX's (IA32_VMX_EPT_VPID_CAP; SDM 3, A.10), of all
   CPUs alike. */
#define AXVCPU_I_X86_SVM_NRIP 0x08u
#define AXVCPU_I_X86_SVM_FLUSH_ASID 0x40u
#define AXVCPU_I_X86_SVM_ASSISTS 0x80u
#define AXVCPU_I_X86_SVM_PAUSES 0x400u
#define AXVCPU_I_X86_SVM_PAUSE_GAP 0x1000u
static uint32_t axvcpu_i_x86_features;

static bool axvcpu_i_x86_svm_has(uint32_t feature)
{
    return (axvcpu_i_x86_features & feature) != 0;
}

/* Bitmaps of all vCPUs: ports, then MSRs. */
static axvcpu_hpa_t axvcpu_i_x86_maps;
#define AXVCPU_I_X86_MAPS_PAGES 5u


static uint64_t axvcpu_i_x86_xcr0_all;      /* what of XCR0 is switched; 0: no XSAVE */
static bool axvcpu_i_x86_has_1g;            /* leaves of that size */

static void axvcpu_i_x86_space(struct axvcpu *v, struct axvcpu_x86_space *);
static void axvcpu_i_x86_look(struct axvcpu_arch *);
static void axvcpu_i_x86_looked(struct axvcpu_arch *);

/* CR8 is the guest's own on SVM (V_TPR), on VMX every access is an exit. */
static uint64_t axvcpu_i_x86_cr8(const struct axvcpu_arch *a)
{
    return a->vendor == AXVCPU_I_X86_VENDOR_SVM ? AXVCPU_I_X86_VMCB(uint8_t, a->hw, 0x60) & 15u : a->control.cr8;
}

static void axvcpu_i_x86_set_cr8(struct axvcpu_arch *a, uint64_t value)
{
    a->control.cr8 = value;
    if (a->vendor != AXVCPU_I_X86_VENDOR_SVM)
        return;
    AXVCPU_I_X86_VMCB(uint8_t, a->hw, 0x60) = (uint8_t)value;
    AXVCPU_I_X86_VMCB(uint32_t, a->hw, 0xc0) &= ~AXVCPU_I_X86_CLEAN_TPR;
}

/* >>switch SVM (APM 2, 15 and appendix B). The VMCB is memory, so its fields may be touched at any time. */

#define AXVCPU_I_X86_VMCB64(a, offset) AXVCPU_I_X86_VMCB(uint64_t, (a)->hw, offset)
#define AXVCPU_I_X86_VMCB32(a, offset) AXVCPU_I_X86_VMCB(uint32_t, (a)->hw, offset)
#define AXVCPU_I_X86_VMCB8(a, offset) AXVCPU_I_X86_VMCB(uint8_t, (a)->hw, offset)
#define AXVCPU_I_X86_VMCB16(a, offset) AXVCPU_I_X86_VMCB(uint16_t, (a)->hw, offset)

/* Clean bits (APM 2, 15.15.3): what of the VMCB has not changed since the last VMRUN of this CPU. */
#define AXVCPU_I_X86_CLEAN_I 0x001u
#define AXVCPU_I_X86_CLEAN_ASID 0x004u
#define AXVCPU_I_X86_CLEAN_NP 0x010u
#define AXVCPU_I_X86_CLEAN_CR 0x020u
#define AXVCPU_I_X86_CLEAN_DR 0x040u
#define AXVCPU_I_X86_CLEAN_DT 0x080u
#define AXVCPU_I_X86_CLEAN_SEG 0x100u
#define AXVCPU_I_X86_CLEAN_CR2 0x200u

/* Intercepts (APM 2, appendix B, offsets 0x0c and 0x10): all that would show the host or stop it. */
#define AXVCPU_I_X86_SVM_INTR (1u << 0)
#define AXVCPU_I_X86_SVM_VINTR (1u << 4)
#define AXVCPU_I_X86_SVM_IRET (1u << 20)
#define AXVCPU_I_X86_SVM_PAUSE (1u << 23)
#define AXVCPU_I_X86_SVM_MISC1 /* NMI INIT RDPMC CPUID INVD HLT INVLPGA IOIO MSR SHUTDOWN */               \
    (AXVCPU_I_X86_SVM_INTR | 1u << 1 | 1u << 3 | 1u << 15 | 1u << 18 | 1u << 22 | 1u << 24 | 1u << 26 |    \
     1u << 27 | 1u << 28 | 1u << 31)
#define AXVCPU_I_X86_SVM_MISC2 /* VMRUN VMMCALL VMLOAD VMSAVE STGI CLGI SKINIT WBINVD MONITOR MWAIT XSETBV */ \
    (0x7fu | 1u << 9 | 1u << 10 | 1u << 11 | 1u << 12 | 1u << 13)

static const uint16_t axvcpu_i_x86_vmcb_offsets[AXVCPU_I_X86_FIELDS] = {
#define AXVCPU_I_X86_VMCB_OFFSET(name, vmcb, vmcs) [AXVCPU_I_X86_F_##name] = (vmcb),
    AXVCPU_X86_FIELDS(AXVCPU_I_X86_VMCB_OFFSET)
};

/* In the order of enum axvcpu_x86_segment: selector, attributes, limit, base are at 0, 2, 4, 8. */
static const uint16_t axvcpu_i_x86_vmcb_segments[AXVCPU_X86_SEGMENTS] = {
    0x400, 0x410, 0x420, 0x430, 0x440, 0x450, 0x470, 0x490, 0x460, 0x480
};

static uint32_t axvcpu_i_x86_svm_clean_bit(uint32_t f)
{
    switch (f) {
    case AXVCPU_I_X86_F_CR0: case AXVCPU_I_X86_F_CR3: case AXVCPU_I_X86_F_CR4: case AXVCPU_I_X86_F_EFER:
        return AXVCPU_I_X86_CLEAN_CR;
    case AXVCPU_I_X86_F_CR2: return AXVCPU_I_X86_CLEAN_CR2;
    case AXVCPU_I_X86_F_DR6: case AXVCPU_I_X86_F_DR7: return AXVCPU_I_X86_CLEAN_DR;
    case AXVCPU_I_X86_F_PAT: return AXVCPU_I_X86_CLEAN_NP;
    default: break;
    }
    if (f > AXVCPU_I_X86_F_SEGMENTS_END)
        return 0;
    return f / 4 >= AXVCPU_X86_GDTR ? AXVCPU_I_X86_CLEAN_DT : AXVCPU_I_X86_CLEAN_SEG;
}

/* Attributes are access rights without the gap (APM 2, 15.5.1: 4.8 with bits 12-15 at 8-11). */
static uint64_t axvcpu_i_x86_svm_read_segment(const struct axvcpu_arch *a, uint32_t f)
{
    uint32_t at = axvcpu_i_x86_vmcb_segments[f / 4], attributes;

    switch (f % 4) {
    case AXVCPU_X86_SELECTOR: return AXVCPU_I_X86_VMCB16(a, at);
    case AXVCPU_X86_BASE: return AXVCPU_I_X86_VMCB64(a, at + 8);
    case AXVCPU_X86_LIMIT: return AXVCPU_I_X86_VMCB32(a, at + 4);
    default: break;
    }
    attributes = AXVCPU_I_X86_VMCB16(a, at + 2);
    return (attributes & 0xffu) | (attributes & 0xf00u) << 4 |
           ((attributes & AXVCPU_X86_AR_P) == 0 ? AXVCPU_X86_AR_UNUSABLE : 0);
}

static void axvcpu_i_x86_svm_write_segment(struct axvcpu_arch *a, uint32_t f, uint64_t value)
{
    uint32_t at = axvcpu_i_x86_vmcb_segments[f / 4], access = (uint32_t)value;

    switch (f % 4) {
    case AXVCPU_X86_SELECTOR: AXVCPU_I_X86_VMCB16(a, at) = (uint16_t)value; return;
    case AXVCPU_X86_BASE: AXVCPU_I_X86_VMCB64(a, at + 8) = value; return;
    case AXVCPU_X86_LIMIT: AXVCPU_I_X86_VMCB32(a, at + 4) = (uint32_t)value; return;
    default: break;
    }
    access = (access & AXVCPU_X86_AR_UNUSABLE) != 0 ? 0 : access;
    AXVCPU_I_X86_VMCB16(a, at + 2) = (uint16_t)((access & 0xffu) | (access >> 4 & 0xf00u));
    if (f / 4 == AXVCPU_X86_SS)
        AXVCPU_I_X86_VMCB8(a, 0x4cb) = (uint8_t)(access >> 5 & 3u); /* CPL */
}

/* While the FPU is not the guest's its CR0.TS is set behind its back; it cannot look (CR0 is intercepted). */
static uint64_t axvcpu_i_x86_svm_read(const struct axvcpu_arch *a, uint32_t f)
{
    uint64_t value;

    if (f <= AXVCPU_I_X86_F_SEGMENTS_END)
        return axvcpu_i_x86_svm_read_segment(a, f);
    value = AXVCPU_I_X86_VMCB64(a, axvcpu_i_x86_vmcb_offsets[f]);
    if (f == AXVCPU_I_X86_F_CR0 && !a->fpu_loaded)
        return (value & ~(uint64_t)AXVCPU_X86_CR0_TS) | (a->ts ? AXVCPU_X86_CR0_TS : 0);
    return f == AXVCPU_I_X86_F_EFER   ? value & ~(uint64_t)AXVCPU_X86_EFER_SVME :
           f == AXVCPU_I_X86_F_SHADOW ? value & 1u :
                                        value;
}

static void axvcpu_i_x86_svm_write(struct axvcpu_arch *a, uint32_t f, uint64_t value)
{
    AXVCPU_I_X86_VMCB32(a, 0xc0) &= ~axvcpu_i_x86_svm_clean_bit(f);
    if (f <= AXVCPU_I_X86_F_SEGMENTS_END) {
        axvcpu_i_x86_svm_write_segment(a, f, value);
        return;
    }
    if (f == AXVCPU_I_X86_F_CR0) {
        a->ts = (value & AXVCPU_X86_CR0_TS) != 0;
        value |= a->fpu_loaded ? 0 : AXVCPU_X86_CR0_TS;
    }
    value |= f == AXVCPU_I_X86_F_EFER ? AXVCPU_X86_EFER_SVME : 0; /* VMRUN demands it (APM 2, 15.5.1) */
    AXVCPU_I_X86_VMCB64(a, axvcpu_i_x86_vmcb_offsets[f]) = value;
}

/* The guest waits for an interrupt by a virtual one that is never delivered: its intercept is first
   (APM 2, 15.21.4). IRET ends an NMI, but it must have been executed (below). */
static void axvcpu_i_x86_svm_controls(struct axvcpu_arch *a)
{
    bool irq = (a->window & AXVCPU_I_X86_WINDOW_IRQ) != 0;

    AXVCPU_I_X86_VMCB32(a, 0x00) = (a->fpu_loaded ? 0 : 1u | 1u << 16) | /* CR0; writes of CR8 */
                                   ((a->window & AXVCPU_I_X86_WINDOW_CR8) != 0 ? 1u << 24 : 0);
    AXVCPU_I_X86_VMCB32(a, 0x04) = a->dr_loaded ? 0 : 0xffffffffu;
    AXVCPU_I_X86_VMCB32(a, 0x08) = axvcpu_i_x86_exceptions(a);
    AXVCPU_I_X86_VMCB16(a, 0x3c) = (uint16_t)a->setup.pause_gap; /* APM 2, 15.14.4 */
    AXVCPU_I_X86_VMCB16(a, 0x3e) = (uint16_t)a->setup.pauses;
    AXVCPU_I_X86_VMCB32(a, 0x0c) = AXVCPU_I_X86_SVM_MISC1 | (irq ? AXVCPU_I_X86_SVM_VINTR : 0) |
                                   (a->setup.pauses != 0 ? AXVCPU_I_X86_SVM_PAUSE : 0) |
                                   (a->nmi_masked && !a->nmi_step ? AXVCPU_I_X86_SVM_IRET : 0);
    /* V_INTR_MASKING, so that CR8 is V_TPR, the lowest byte; V_IRQ of the highest priority, whatever V_TPR says
       (APM 2, 15.21.1): no window is asked for what CR8 holds back */
    AXVCPU_I_X86_VMCB64(a, 0x60) =
        (AXVCPU_I_X86_VMCB64(a, 0x60) & 0xffu) | 1u << 24 | (irq ? 1u << 8 | 0xfu << 16 | 1u << 20 : 0);
    AXVCPU_I_X86_VMCB64(a, 0x50) = a->tsc_offset;
    AXVCPU_I_X86_VMCB32(a, 0xc0) &= ~(AXVCPU_I_X86_CLEAN_I | AXVCPU_I_X86_CLEAN_TPR);
}

static void axvcpu_i_x86_svm_event(struct axvcpu_arch *a)
{
    AXVCPU_I_X86_VMCB64(a, 0xa8) = (uint64_t)a->event.error << 32 | a->event.info;
}

/* APM 2, 15.16.2: only this ASID's, where the CPU can. It happens at every VMRUN that finds it here. */
static void axvcpu_i_x86_svm_tlb(struct axvcpu_arch *a, bool flush)
{
    AXVCPU_I_X86_VMCB8(a, 0x5c) = !flush ? 0 : axvcpu_i_x86_svm_has(AXVCPU_I_X86_SVM_FLUSH_ASID) ? 3 : 1;
    AXVCPU_I_X86_VMCB32(a, 0xc0) &= ~(AXVCPU_I_X86_CLEAN_ASID | AXVCPU_I_X86_CLEAN_NP);
    AXVCPU_I_X86_VMCB32(a, 0x58) = a->asid;
    AXVCPU_I_X86_VMCB64(a, 0xb0) = a->root;
}

static void axvcpu_i_x86_svm_prepare(struct axvcpu *v)
{
    struct axvcpu_arch *a = &v->arch;

    AXVCPU_I_X86_VMCB32(a, 0x10) = AXVCPU_I_X86_SVM_MISC2;
    AXVCPU_I_X86_VMCB64(a, 0x40) = axvcpu_i_x86_maps.addr;
    AXVCPU_I_X86_VMCB64(a, 0x48) = axvcpu_i_x86_maps.addr + AXVCPU_X86_IO_MAP;
    AXVCPU_I_X86_VMCB64(a, 0x90) = 1; /* nested paging */
}

static void axvcpu_i_x86_svm_load(struct axvcpu_arch *a)
{
    a->host_pa = axvcpu_i_x86_here()->host_pa;
    __asm__ volatile("vmsave %%rax" : : "a"(a->host_pa) : "memory");
    AXVCPU_I_X86_VMCB32(a, 0xc0) = 0;
}

static void axvcpu_i_x86_svm_save(struct axvcpu_arch *a)
{
    (void)a;
}

static void axvcpu_i_x86_svm_left(struct axvcpu *v, uint64_t code, struct axvcpu_x86_left *l)
{
    struct axvcpu_arch *a = &v->arch;
    uint8_t bytes[AXVCPU_X86_INSN_MAX];
    struct axvcpu_x86_space s;
    /* The code is -1, too, where only its lower half is written (QEMU). */
    struct axvcpu_x86_svm_raw raw = { (uint64_t)(int64_t)(int32_t)code,
                                      AXVCPU_I_X86_VMCB64(a, 0x78),
                                      AXVCPU_I_X86_VMCB64(a, 0x80),
                                      AXVCPU_I_X86_VMCB64(a, 0x88),
                                      AXVCPU_I_X86_VMCB64(a, 0x578),
                                      AXVCPU_I_X86_VMCB64(a, 0xc8),
                                      bytes,
                                      0,
                                      0,
                                      axvcpu_i_x86_svm_has(AXVCPU_I_X86_SVM_NRIP),
                                      axvcpu_i_x86_svm_has(AXVCPU_I_X86_SVM_ASSISTS) };

    if (axvcpu_x86_svm_left(&raw, l))
        return;
    axvcpu_i_x86_space(v, &s);
    axvcpu_i_x86_look(a);
    raw.size = axvcpu_x86_fetch(&s, &a->regs, bytes);
    axvcpu_i_x86_looked(a);
    raw.bits = s.bits;
    if (raw.size == 0 || !axvcpu_x86_svm_left(&raw, l))
        l->cause = AXVCPU_X86_CAUSE_RAW;
}

/* SYSRET does not touch SS's DPL (APM 3, SYSRET), so it is a field of its own (APM 2, 15.5.1). */
static uint32_t axvcpu_i_x86_svm_cpl(struct axvcpu_arch *a)
{
    if ((a->dirty & AXVCPU_I_X86_BIT(AXVCPU_I_X86_SEGMENT(SS, ACCESS))) != 0)
        return a->field[AXVCPU_I_X86_SEGMENT(SS, ACCESS)] >> 5 & 3u;
    return AXVCPU_I_X86_VMCB8(a, 0x4cb);
}

static bool axvcpu_i_x86_svm_nmi_masked(struct axvcpu_arch *a)
{
    return a->nmi_masked;
}

#define AXVCPU_I_X86_MSR_VM_CR 0xc0010114u
#define AXVCPU_I_X86_MSR_VM_HSAVE_PA 0xc0010117u

/* EFER.SVME, and a page for VMRUN's own host state (APM 2, 15.4, 15.30.4). The second page is for VMSAVE. */
static bool axvcpu_i_x86_svm_on(struct axvcpu_percpu *p)
{
    uint32_t r[4];
    struct axvcpu_i_x86_cpu *cpu = axvcpu_i_x86_here();

    p->arch.efer = axvcpu_i_x86_rdmsr(AXVCPU_X86_MSR_EFER);
    axvcpu_i_x86_wrmsr(AXVCPU_X86_MSR_EFER, p->arch.efer | AXVCPU_X86_EFER_SVME);
    axvcpu_i_x86_wrmsr(AXVCPU_I_X86_MSR_VM_HSAVE_PA, p->arch.area.addr);
    cpu->host_pa = p->arch.area.addr + 0x1000;
    axvcpu_i_x86_cpuid(0x8000000au, 0, r);
    cpu->asids = r[1];
    cpu->next_asid = cpu->asids;
    return true;
}

static void axvcpu_i_x86_svm_off(struct axvcpu_percpu *p)
{
    axvcpu_i_x86_wrmsr(AXVCPU_I_X86_MSR_VM_HSAVE_PA, 0);
    axvcpu_i_x86_wrmsr(AXVCPU_X86_MSR_EFER, p->arch.efer);
}

static void axvcpu_i_x86_svm_probe(void)
{
    uint32_t r[4];

    axvcpu_i_x86_cpuid(0x8000000au, 0, r);
    axvcpu_i_x86_features = r[3];
    axvcpu_i_x86_cpuid(0x80000001u, 0, r);
    axvcpu_i_x86_has_1g = (r[3] & 1u << 26) != 0;
}

static const struct axvcpu_i_x86_vendor axvcpu_i_x86_svm = {
    axvcpu_i_x86_svm_read, axvcpu_i_x86_svm_write, axvcpu_i_x86_svm_prepare, axvcpu_i_x86_svm_controls,
    axvcpu_i_x86_svm_event, axvcpu_i_x86_svm_tlb, axvcpu_i_x86_svm_load, axvcpu_i_x86_svm_save,
    axvcpu_i_x86_svm_left, axvcpu_i_x86_svm_on, axvcpu_i_x86_svm_off,
    axvcpu_i_x86_svm_cpl, axvcpu_i_x86_svm_nmi_masked, NULL /* CRs are not intercepted */
};
/* >>switch VMX (SDM 3, 24 to 28 and appendices A and B). While a vCPU is loaded its fields are in the CPU, by
   VMREAD and VMWRITE; then all that is wanted of them is here, and the VMCS itself in memory (VMCLEAR). */

#define AXVCPU_I_X86_MSR_FEATURE_CONTROL 0x3au
#define AXVCPU_I_X86_MSR_DEBUGCTL 0x1d9u
#define AXVCPU_I_X86_MSR_VMX_BASIC 0x480u
#define AXVCPU_I_X86_MSR_VMX_PIN 0x481u
#define AXVCPU_I_X86_MSR_VMX_PROC 0x482u
#define AXVCPU_I_X86_MSR_VMX_EXIT 0x483u
#define AXVCPU_I_X86_MSR_VMX_ENTRY 0x484u
#define AXVCPU_I_X86_MSR_VMX_MISC 0x485u
#define AXVCPU_I_X86_MSR_VMX_CR0_FIXED0 0x486u
#define AXVCPU_I_X86_MSR_VMX_CR4_FIXED0 0x488u
#define AXVCPU_I_X86_MSR_VMX_PROC2 0x48bu
#define AXVCPU_I_X86_MSR_VMX_EPT_VPID 0x48cu
#define AXVCPU_I_X86_MSR_VMX_TRUE 12u /* from the first four to those without default ones */

/* Control fields (SDM 3, 25.6 to 25.8) */
#define AXVCPU_I_X86_CTL_PIN (1u << 0 | 1u << 3 | 1u << 5) /* external interrupts, NMIs, virtual NMIs */
#define AXVCPU_I_X86_CTL_PIN_TIMER (1u << 6)
#define AXVCPU_I_X86_CTL_PROC_IRQ_WINDOW (1u << 2)
#define AXVCPU_I_X86_CTL_PROC_NMI_WINDOW (1u << 22)
#define AXVCPU_I_X86_CTL_PROC_DR (1u << 23)
#define AXVCPU_I_X86_CTL_PROC /* TSC offset; HLT, MWAIT, RDPMC, CR8, I/O exit; MSR bitmap; MONITOR; secondary */ \
    (1u << 3 | 1u << 7 | 1u << 10 | 1u << 11 | 1u << 19 | 1u << 20 | 1u << 24 | 1u << 28 | 1u << 29 | 1u << 31)
#define AXVCPU_I_X86_CTL_PROC2_EPT (1u << 1)
#define AXVCPU_I_X86_CTL_PROC2_VPID (1u << 5)
#define AXVCPU_I_X86_CTL_PROC2_UNRESTRICTED (1u << 7)
#define AXVCPU_I_X86_CTL_PROC2 /* and WBINVD exits */ \
    (AXVCPU_I_X86_CTL_PROC2_EPT | AXVCPU_I_X86_CTL_PROC2_VPID | 1u << 6 | AXVCPU_I_X86_CTL_PROC2_UNRESTRICTED)
#define AXVCPU_I_X86_CTL_EXIT /* save debug controls, 64-bit host, save and load PAT and EFER */ \
    (1u << 2 | 1u << 9 | 1u << 18 | 1u << 19 | 1u << 20 | 1u << 21)
#define AXVCPU_I_X86_CTL_EXIT_TIMER (1u << 22) /* save the preemption timer */
#define AXVCPU_I_X86_CTL_ENTRY (1u << 2 | 1u << 14 | 1u << 15) /* load debug controls, PAT, EFER */
#define AXVCPU_I_X86_CTL_ENTRY_LONG (1u << 9)

/* CR0 and CR4 bits that the guest's writes do not reach: those that VMX fixes, cache control, and TS while the
   FPU is not the guest's. What it reads is the shadow. */
#define AXVCPU_I_X86_CR0_KEPT (AXVCPU_X86_CR0_NE | AXVCPU_X86_CR0_CD | AXVCPU_X86_CR0_NW)
#define AXVCPU_I_X86_CR4_KEPT AXVCPU_X86_CR4_VMXE

static const uint16_t axvcpu_i_x86_vmcs_fields[AXVCPU_I_X86_FIELDS] = {
#define AXVCPU_I_X86_VMCS_FIELD(name, vmcb, vmcs) [AXVCPU_I_X86_F_##name] = (vmcs),
    AXVCPU_X86_FIELDS(AXVCPU_I_X86_VMCS_FIELD)
};

/* Segments come in the order of enum axvcpu_x86_segment (SDM 3, appendix B). */
static uint32_t axvcpu_i_x86_vmcs_field(uint32_t f)
{
    static const uint16_t parts[4] = { 0x800, 0x6806, 0x4800, 0x4814 };

    return f > AXVCPU_I_X86_F_SEGMENTS_END ? axvcpu_i_x86_vmcs_fields[f] : parts[f % 4] + 2 * (f / 4);
}

static uint32_t axvcpu_i_x86_msr_of(uint32_t f)
{
    switch (f) {
    case AXVCPU_I_X86_F_STAR: return 0xc0000081u;
    case AXVCPU_I_X86_F_LSTAR: return 0xc0000082u;
    case AXVCPU_I_X86_F_CSTAR: return 0xc0000083u;
    case AXVCPU_I_X86_F_SFMASK: return 0xc0000084u;
    default: return 0xc0000102u;
    }
}

static uint64_t axvcpu_i_x86_vmx_read(const struct axvcpu_arch *a, uint32_t f)
{
    uint64_t value, mask = AXVCPU_I_X86_CR0_KEPT | (a->fpu_loaded ? 0 : AXVCPU_X86_CR0_TS);

    if (f == AXVCPU_I_X86_F_CR2 || !axvcpu_i_x86_loaded(a))
        return a->field[f];
    if (f == AXVCPU_I_X86_F_DR6)
        return axvcpu_i_x86_read_dr6();
    if (axvcpu_i_x86_vmcs_field(f) == AXVCPU_I_X86_IN_CPU)
        return axvcpu_i_x86_rdmsr(axvcpu_i_x86_msr_of(f));
    value = axvcpu_i_x86_vmread(axvcpu_i_x86_vmcs_field(f));
    if (f == AXVCPU_I_X86_F_CR0)
        return (value & ~mask) | (a->cr0_shadow & mask);
    return f == AXVCPU_I_X86_F_CR4 ? value & ~(uint64_t)AXVCPU_I_X86_CR4_KEPT : value;
}

static void axvcpu_i_x86_vmx_write_cr0(struct axvcpu_arch *a, uint64_t value)
{
    a->cr0_shadow = value;
    axvcpu_i_x86_vmwrite(0x6004, value);
    value &= ~(uint64_t)(AXVCPU_X86_CR0_CD | AXVCPU_X86_CR0_NW); /* caches are the host's business (SDM 3, 28.3.3) */
    axvcpu_i_x86_vmwrite(0x6800, value | AXVCPU_X86_CR0_NE | (a->fpu_loaded ? 0 : AXVCPU_X86_CR0_TS));
}

static void axvcpu_i_x86_vmx_write(struct axvcpu_arch *a, uint32_t f, uint64_t value)
{
    switch (f) {
    case AXVCPU_I_X86_F_CR0: axvcpu_i_x86_vmx_write_cr0(a, value); return;
    case AXVCPU_I_X86_F_CR2: return; /* with the entry */
    case AXVCPU_I_X86_F_DR6: axvcpu_i_x86_write_dr6(value); return;
    case AXVCPU_I_X86_F_CR4:
        axvcpu_i_x86_vmwrite(0x6006, value);
        value |= AXVCPU_X86_CR4_VMXE;
        break;
    case AXVCPU_I_X86_F_EFER: /* LMA and this control go together (SDM 3, 27.3.1.1) */
        axvcpu_i_x86_vmwrite(0x4012, (axvcpu_i_x86_vmread(0x4012) & ~(uint64_t)AXVCPU_I_X86_CTL_ENTRY_LONG) |
                                         ((value & AXVCPU_X86_EFER_LMA) != 0 ? AXVCPU_I_X86_CTL_ENTRY_LONG : 0));
        break;
    default: break;
    }
    if (axvcpu_i_x86_vmcs_field(f) == AXVCPU_I_X86_IN_CPU)
        axvcpu_i_x86_wrmsr(axvcpu_i_x86_msr_of(f), value);
    else
        axvcpu_i_x86_vmwrite(axvcpu_i_x86_vmcs_field(f), value);
}

/* What is wanted, as far as there is a choice: ones that must be are in the lower half (SDM 3, A.3). */
static uint64_t axvcpu_i_x86_vmx_choose(uint32_t msr, uint64_t wanted)
{
    bool has_true =
        (axvcpu_i_x86_rdmsr(AXVCPU_I_X86_MSR_VMX_BASIC) >> 55 & 1u) != 0 && msr < AXVCPU_I_X86_MSR_VMX_PROC2;
    uint64_t caps = axvcpu_i_x86_rdmsr(msr + (has_true ? AXVCPU_I_X86_MSR_VMX_TRUE : 0));

    return (wanted | (uint32_t)caps) & caps >> 32;
}

static uint32_t axvcpu_i_x86_timer_counts(uint64_t ticks)
{
    return axvcpu_x86_timer_counts(ticks, axvcpu_i_x86_rdmsr(AXVCPU_I_X86_MSR_VMX_MISC) & 31u);
}

/* A new slice. The CPU saves what is left of it at every exit, so that no entry needs to. */
static void axvcpu_i_x86_vmx_slice(const struct axvcpu_arch *a)
{
    axvcpu_i_x86_vmwrite(0x482e, axvcpu_i_x86_timer_counts(a->setup.slice));
}

/* SDM 3, 27.2.1.2: counting and saving are on together, or neither is. */
static void axvcpu_i_x86_vmx_timer(struct axvcpu_arch *a, bool on)
{
    const uint64_t pin = AXVCPU_I_X86_CTL_PIN | (on ? AXVCPU_I_X86_CTL_PIN_TIMER : 0);
    const uint64_t exit = AXVCPU_I_X86_CTL_EXIT | (on ? AXVCPU_I_X86_CTL_EXIT_TIMER : 0);

    axvcpu_i_x86_vmwrite(0x4000, axvcpu_i_x86_vmx_choose(AXVCPU_I_X86_MSR_VMX_PIN, pin));
    axvcpu_i_x86_vmwrite(0x400c, axvcpu_i_x86_vmx_choose(AXVCPU_I_X86_MSR_VMX_EXIT, exit));
    a->timed = on;
}

static bool axvcpu_i_x86_vmx_has_timer(void)
{
    const uint64_t pin = axvcpu_i_x86_vmx_choose(AXVCPU_I_X86_MSR_VMX_PIN, AXVCPU_I_X86_CTL_PIN_TIMER);
    const uint64_t exit = axvcpu_i_x86_vmx_choose(AXVCPU_I_X86_MSR_VMX_EXIT, AXVCPU_I_X86_CTL_EXIT_TIMER);

    return (pin & AXVCPU_I_X86_CTL_PIN_TIMER) != 0 && (exit & AXVCPU_I_X86_CTL_EXIT_TIMER) != 0;
}

static void axvcpu_i_x86_vmx_controls(struct axvcpu_arch *a)
{
    uint64_t proc = AXVCPU_I_X86_CTL_PROC | (a->dr_loaded ? 0 : AXVCPU_I_X86_CTL_PROC_DR) |
                    ((a->window & AXVCPU_I_X86_WINDOW_IRQ) != 0 ? AXVCPU_I_X86_CTL_PROC_IRQ_WINDOW : 0) |
                    ((a->window & AXVCPU_I_X86_WINDOW_NMI) != 0 ? AXVCPU_I_X86_CTL_PROC_NMI_WINDOW : 0);

    axvcpu_i_x86_vmwrite(0x4002, axvcpu_i_x86_vmx_choose(AXVCPU_I_X86_MSR_VMX_PROC, proc));
    axvcpu_i_x86_vmwrite(0x4004, axvcpu_i_x86_exceptions(a));
    axvcpu_i_x86_vmwrite(0x6000, AXVCPU_I_X86_CR0_KEPT | (a->fpu_loaded ? 0 : AXVCPU_X86_CR0_TS));
    axvcpu_i_x86_vmwrite(0x2010, a->tsc_offset);
    if (a->timed != (a->setup.slice != 0))
        axvcpu_i_x86_vmx_timer(a, a->setup.slice != 0);
}

/* The valid bit goes by itself (SDM 3, 28.1). */
static void axvcpu_i_x86_vmx_event(struct axvcpu_arch *a)
{
    axvcpu_i_x86_vmwrite(0x4016, a->event.info);
    axvcpu_i_x86_vmwrite(0x4018, a->event.error);
    axvcpu_i_x86_vmwrite(0x401a, a->event.length);
}

/* SDM 3, 29.4.3: what is mapped by this EPT, and what is tagged with this VPID. */
static void axvcpu_i_x86_vmx_tlb(struct axvcpu_arch *a, bool flush)
{
    struct { uint64_t a, b; } ept = { a->root | 0x1e, 0 }, vpid = { a->asid, 0 }; /* write-back, four levels */

    if (!flush)
        return;
    axvcpu_i_x86_vmwrite(0x201a, ept.a);
    axvcpu_i_x86_vmwrite(0x0000, vpid.a);
    __asm__ volatile("invept %0, %1" : : "m"(ept), "r"(UINT64_C(1)) : "cc", "memory");
    __asm__ volatile("invvpid %0, %1" : : "m"(vpid), "r"(UINT64_C(1)) : "cc", "memory");
}

static void axvcpu_i_x86_vmx_prepare(struct axvcpu *v)
{
    static const uint16_t zero[] = { 0x4006, 0x4008, 0x400a, 0x400e, 0x4010, 0x4014, 0x2802, 0x4826, 0x6822 };
    uint64_t maps = axvcpu_i_x86_maps.addr;
    size_t i;

    for (i = 0; i < sizeof(zero) / sizeof(zero[0]); i++)
        axvcpu_i_x86_vmwrite(zero[i], 0);
    axvcpu_i_x86_vmx_timer(&v->arch, false);
    axvcpu_i_x86_vmwrite(0x401e, axvcpu_i_x86_vmx_choose(AXVCPU_I_X86_MSR_VMX_PROC2, AXVCPU_I_X86_CTL_PROC2));
    axvcpu_i_x86_vmwrite(0x4012, axvcpu_i_x86_vmx_choose(AXVCPU_I_X86_MSR_VMX_ENTRY, AXVCPU_I_X86_CTL_ENTRY));
    axvcpu_i_x86_vmwrite(0x2004, maps + AXVCPU_X86_IO_MAP);
    axvcpu_i_x86_vmwrite(0x2800, UINT64_MAX);
    axvcpu_i_x86_vmwrite(0x6002, AXVCPU_I_X86_CR4_KEPT);
}

/* SDM 3, 3.5 and 8.2.3 */
static uint64_t axvcpu_i_x86_tss_base(const struct axvcpu_i_x86_table_register *gdt, uint16_t tr)
{
    const uint64_t *d = (const uint64_t *)(uintptr_t)(gdt->base + (tr & 0xfff8u));

    return (d[0] >> 16 & 0xffffffu) | (d[0] >> 32 & 0xff000000u) | d[1] << 32;
}

/* TI and RPL must be 0 (SDM 3, 27.2.3). */
#define AXVCPU_I_X86_HOST_SELECTOR(name, field)                                                            \
    __asm__ volatile("mov %%" #name ", %0" : "=r"(selector));                                              \
    axvcpu_i_x86_vmwrite(field, (selector & 4u) != 0 ? 0 : selector & 0xfff8u);
#define AXVCPU_I_X86_HOST_DATA(name, field, n)                                                             \
    AXVCPU_I_X86_HOST_SELECTOR(name, field)                                                                \
    cpu->data[n] = (uint16_t)selector;
/* What was not 0 there. */
#define AXVCPU_I_X86_RELOAD_DATA(name, n)                                                                  \
    if ((cpu->data[n] & 7u) != 0)                                                                          \
        __asm__ volatile("mov %0, %%" #name : : "r"((uint32_t)cpu->data[n]) : "memory");

static void axvcpu_i_x86_vmx_host_segments(struct axvcpu_i_x86_cpu *cpu)
{
    uint16_t tr;
    uint64_t selector;

    AXVCPU_I_X86_HOST_DATA(es, 0xc00, 0)
    AXVCPU_I_X86_HOST_SELECTOR(cs, 0xc02)
    AXVCPU_I_X86_HOST_SELECTOR(ss, 0xc04)
    AXVCPU_I_X86_HOST_DATA(ds, 0xc06, 1)
    AXVCPU_I_X86_HOST_DATA(fs, 0xc08, 2)
    AXVCPU_I_X86_HOST_DATA(gs, 0xc0a, 3)
    __asm__ volatile("str %0\n\tsgdt %1\n\tsidt %2\n\tsldt %3"
                     : "=r"(tr), "=m"(cpu->gdt), "=m"(cpu->idt), "=m"(cpu->ldt));
    axvcpu_i_x86_vmwrite(0xc0c, tr & 0xfff8u);
    axvcpu_i_x86_vmwrite(0x6c06, axvcpu_i_x86_rdmsr(0xc0000100u));
    axvcpu_i_x86_vmwrite(0x6c08, axvcpu_i_x86_rdmsr(0xc0000101u));
    axvcpu_i_x86_vmwrite(0x6c0a, axvcpu_i_x86_tss_base(&cpu->gdt, tr));
    axvcpu_i_x86_vmwrite(0x6c0c, cpu->gdt.base);
    axvcpu_i_x86_vmwrite(0x6c0e, cpu->idt.base);
}

/* What an exit gives back to the host: as it is now. */
static void axvcpu_i_x86_vmx_host(struct axvcpu_i_x86_cpu *cpu)
{
    axvcpu_i_x86_vmx_host_segments(cpu);
    axvcpu_i_x86_vmwrite(0x6c00, axvcpu_i_x86_host_cr0());
    axvcpu_i_x86_vmwrite(0x6c02, axvcpu_i_x86_host_cr3());
    axvcpu_i_x86_vmwrite(0x6c04, axvcpu_i_x86_host_cr4());
    axvcpu_i_x86_vmwrite(0x4c00, axvcpu_i_x86_rdmsr(0x174));
    axvcpu_i_x86_vmwrite(0x6c10, axvcpu_i_x86_rdmsr(0x175));
    axvcpu_i_x86_vmwrite(0x6c12, axvcpu_i_x86_rdmsr(0x176));
    axvcpu_i_x86_vmwrite(0x2c00, axvcpu_i_x86_rdmsr(0x277));
    axvcpu_i_x86_vmwrite(0x2c02, axvcpu_i_x86_rdmsr(AXVCPU_X86_MSR_EFER));
    cpu->debugctl = axvcpu_i_x86_rdmsr(AXVCPU_I_X86_MSR_DEBUGCTL);
}

/* An exit leaves the table registers with limits of 64 KiB, no LDT, no selectors with an RPL, and DEBUGCTL clear
   (SDM 3, 28.5). A selector brings its descriptor's base along; whoever has it is interrupted by an NMI before that
   is mended must not trust it. */
static void axvcpu_i_x86_vmx_restore(const struct axvcpu_i_x86_cpu *cpu)
{
    uint64_t fs = axvcpu_i_x86_rdmsr(0xc0000100u), gs = axvcpu_i_x86_rdmsr(0xc0000101u);

    __asm__ volatile("lgdt %0\n\tlidt %1\n\tlldt %2" : : "m"(cpu->gdt), "m"(cpu->idt), "m"(cpu->ldt));
    AXVCPU_I_X86_RELOAD_DATA(es, 0)
    AXVCPU_I_X86_RELOAD_DATA(ds, 1)
    AXVCPU_I_X86_RELOAD_DATA(fs, 2)
    AXVCPU_I_X86_RELOAD_DATA(gs, 3)
    if (((cpu->data[2] | cpu->data[3]) & 7u) != 0) {
        axvcpu_i_x86_wrmsr(0xc0000100u, fs);
        axvcpu_i_x86_wrmsr(0xc0000101u, gs);
    }
    if (cpu->debugctl != 0)
        axvcpu_i_x86_wrmsr(AXVCPU_I_X86_MSR_DEBUGCTL, cpu->debugctl);
}

/* MSRs and DR6 are not in the VMCS: they change places with the host's. For the last, its caller has it. */
static void axvcpu_i_x86_vmx_swap(struct axvcpu_arch *a, bool in)
{
    uint32_t i;

    for (i = 0; i < 5; i++) {
        uint32_t f = AXVCPU_I_X86_F_STAR + i, msr = axvcpu_i_x86_msr_of(f);

        if (in)
            a->host_msrs[i] = axvcpu_i_x86_rdmsr(msr);
        axvcpu_i_x86_wrmsr(msr, in ? a->field[f] : a->host_msrs[i]);
    }
    if (in)
        axvcpu_i_x86_write_dr6(a->field[AXVCPU_I_X86_F_DR6]);
}
_Static_assert(AXVCPU_I_X86_F_KERNEL_GS_BASE == AXVCPU_I_X86_F_STAR + 4, "axvcpu_i_x86_vmx_swap");

static void axvcpu_i_x86_vmclear(const struct axvcpu_arch *a)
{
    __asm__ volatile("vmclear %0" : : "m"(a->hw_pa) : "cc", "memory");
}

static void axvcpu_i_x86_vmx_load(struct axvcpu_arch *a)
{
    if (!a->prepared) {
        *(uint32_t *)(void *)a->hw = (uint32_t)axvcpu_i_x86_rdmsr(AXVCPU_I_X86_MSR_VMX_BASIC) & 0x7fffffffu;
        axvcpu_i_x86_vmclear(a);
    }
    __asm__ volatile("vmptrld %0" : : "m"(a->hw_pa) : "cc", "memory");
    axvcpu_i_x86_vmx_host(axvcpu_i_x86_here());
    axvcpu_i_x86_vmx_swap(a, true);
    if (a->setup.slice != 0)
        axvcpu_i_x86_vmx_slice(a);
    a->host_rsp = 0;
    a->launched = 0;
}

static void axvcpu_i_x86_vmx_save(struct axvcpu_arch *a)
{
    uint32_t f;

    for (f = 0; f < AXVCPU_I_X86_FIELDS; f++)
        (void)axvcpu_i_x86_get_field(a, f);
    axvcpu_i_x86_vmx_swap(a, false);
    axvcpu_i_x86_vmclear(a);
    axvcpu_i_x86_vmx_restore(axvcpu_i_x86_here());
}

/* An entry that failed has left the launch state as it was (SDM 3, 27.8): clear it, so that it is known. */
static void axvcpu_i_x86_vmx_failed(struct axvcpu_arch *a)
{
    axvcpu_i_x86_vmclear(a);
    __asm__ volatile("vmptrld %0" : : "m"(a->hw_pa) : "cc", "memory");
    a->launched = 0;
}

static void axvcpu_i_x86_vmx_left(struct axvcpu *v, uint64_t reason, struct axvcpu_x86_left *l)
{
    struct axvcpu_x86_vmx_raw raw = { reason, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
    uint32_t needs = axvcpu_x86_vmx_needs(reason);

    if ((reason & AXVCPU_I_X86_VMFAIL) != 0) {
        AXVCPU_MEMSET(l, 0, sizeof(*l));
        l->raw = axvcpu_i_x86_vmread(0x4400);
        l->cause = AXVCPU_X86_CAUSE_INVALID;
        l->fail = AXVCPU_X86_FAIL_CONTROL | (uint32_t)l->raw << 8;
    }
    if ((reason >> 31 & 1u) != 0 || (reason & AXVCPU_I_X86_VMFAIL) != 0)
        axvcpu_i_x86_vmx_failed(&v->arch);
    if ((reason & AXVCPU_I_X86_VMFAIL) != 0)
        return;
    if ((needs & AXVCPU_X86_NEEDS_QUALIFICATION) != 0)
        raw.qualification = axvcpu_i_x86_vmread(0x6400);
    if ((needs & AXVCPU_X86_NEEDS_LENGTH) != 0)
        raw.length = (uint32_t)axvcpu_i_x86_vmread(0x440c);
    if ((needs & AXVCPU_X86_NEEDS_INFO) != 0 || ((reason & 0xffffu) == 30 && (raw.qualification & 0x10u) != 0))
        raw.info = (uint32_t)axvcpu_i_x86_vmread(0x440e);
    if ((needs & AXVCPU_X86_NEEDS_GPA) != 0)
        raw.gpa = axvcpu_i_x86_vmread(0x2400);
    if ((needs & AXVCPU_X86_NEEDS_LINEAR) != 0)
        raw.linear = axvcpu_i_x86_vmread(0x640a);
    if ((needs & AXVCPU_X86_NEEDS_INTERRUPTION) != 0) {
        raw.int_info = (uint32_t)axvcpu_i_x86_vmread(0x4404);
        if ((raw.int_info & AXVCPU_X86_EVENT_ERROR) != 0)
            raw.int_error = (uint32_t)axvcpu_i_x86_vmread(0x4406);
        if (AXVCPU_X86_EVENT_TYPE(raw.int_info) >= AXVCPU_X86_EVENT_SOFTWARE) /* INT1 */
            raw.length = (uint32_t)axvcpu_i_x86_vmread(0x440c);
    }
    if ((needs & AXVCPU_X86_NEEDS_IDT) != 0) {
        raw.idt_info = (uint32_t)axvcpu_i_x86_vmread(0x4408);
        if ((raw.idt_info & AXVCPU_X86_EVENT_VALID) != 0) {
            raw.idt_error = (uint32_t)axvcpu_i_x86_vmread(0x440a);
            raw.length = (needs & AXVCPU_X86_NEEDS_LENGTH) != 0 ? raw.length : (uint32_t)axvcpu_i_x86_vmread(0x440c);
        }
    }
    axvcpu_x86_vmx_left(&raw, l);
}

static uint32_t axvcpu_i_x86_vmx_cpl(struct axvcpu_arch *a)
{
    return axvcpu_i_x86_get_field(a, AXVCPU_I_X86_SEGMENT(SS, ACCESS)) >> 5 & 3u;
}

static bool axvcpu_i_x86_vmx_nmi_masked(struct axvcpu_arch *a)
{
    return (AXVCPU_I_X86_GET(a, SHADOW) & 8u) != 0;
}

static void axvcpu_i_x86_vmx_pdptes(struct axvcpu_arch *a, const uint64_t pdptes[4])
{
    uint32_t i;

    (void)a;
    for (i = 0; i < 4; i++)
        axvcpu_i_x86_vmwrite(0x280a + 2 * i, pdptes[i]);
}

/* VMXON wants CR0's and CR4's fixed bits and a page with the revision (SDM 3, 24.7, 24.8, 25.11.5). */
static bool axvcpu_i_x86_vmx_on(struct axvcpu_percpu *p)
{
    struct axvcpu_i_x86_cpu *cpu = axvcpu_i_x86_here();
    uint64_t feature = axvcpu_i_x86_rdmsr(AXVCPU_I_X86_MSR_FEATURE_CONTROL);
    bool failed;

    if ((feature & 1u) == 0)
        axvcpu_i_x86_wrmsr(AXVCPU_I_X86_MSR_FEATURE_CONTROL, feature | 5u);
    axvcpu_i_x86_set_host_cr0(axvcpu_i_x86_host_cr0() | axvcpu_i_x86_rdmsr(AXVCPU_I_X86_MSR_VMX_CR0_FIXED0));
    axvcpu_i_x86_set_host_cr4(axvcpu_i_x86_host_cr4() | axvcpu_i_x86_rdmsr(AXVCPU_I_X86_MSR_VMX_CR4_FIXED0));
    *(uint32_t *)AXVCPU_PHYS_TO_VIRT(p->arch.area) = (uint32_t)axvcpu_i_x86_rdmsr(AXVCPU_I_X86_MSR_VMX_BASIC) & 0x7fffffffu;
    __asm__ volatile("vmxon %1" : "=@ccbe"(failed) : "m"(p->arch.area.addr) : "memory");
    cpu->asids = 0x10000;
    cpu->next_asid = cpu->asids;
    return !failed;
}

static void axvcpu_i_x86_vmx_off(struct axvcpu_percpu *p)
{
    (void)p;
    __asm__ volatile("vmxoff" : : : "cc", "memory");
}

/* CPUID, the firmware's lock, and what a guest in real mode with tables of ours needs. */
static bool axvcpu_i_x86_has_vmx(void)
{
    const uint64_t ept = 1u << 6 | 1u << 14 | 1u << 20 | 1u << 25; /* four levels, write-back, INVEPT of one */
    uint64_t feature, proc2, caps;
    uint32_t r[4];

    axvcpu_i_x86_cpuid(1, 0, r);
    if ((r[2] & 1u << 5) == 0)
        return false;
    feature = axvcpu_i_x86_rdmsr(AXVCPU_I_X86_MSR_FEATURE_CONTROL);
    if ((feature & 5u) == 1u || (axvcpu_i_x86_rdmsr(AXVCPU_I_X86_MSR_VMX_PROC) >> 63 & 1u) == 0)
        return false;
    proc2 = axvcpu_i_x86_rdmsr(AXVCPU_I_X86_MSR_VMX_PROC2) >> 32;
    if ((proc2 & AXVCPU_I_X86_CTL_PROC2) != AXVCPU_I_X86_CTL_PROC2)
        return false;
    caps = axvcpu_i_x86_rdmsr(AXVCPU_I_X86_MSR_VMX_EPT_VPID);
    axvcpu_i_x86_has_1g = (caps & 1u << 17) != 0;
    return (caps & ept) == ept && (caps >> 41 & 1u) != 0; /* INVVPID of one */
}

static const struct axvcpu_i_x86_vendor axvcpu_i_x86_vmx = {
    axvcpu_i_x86_vmx_read, axvcpu_i_x86_vmx_write, axvcpu_i_x86_vmx_prepare, axvcpu_i_x86_vmx_controls,
    axvcpu_i_x86_vmx_event, axvcpu_i_x86_vmx_tlb, axvcpu_i_x86_vmx_load, axvcpu_i_x86_vmx_save,
    axvcpu_i_x86_vmx_left, axvcpu_i_x86_vmx_on, axvcpu_i_x86_vmx_off,
    axvcpu_i_x86_vmx_cpl, axvcpu_i_x86_vmx_nmi_masked, axvcpu_i_x86_vmx_pdptes
};

/* >>switch explained: the rules of >>decode on what the hardware has */

#define AXVCPU_I_X86_MOST_BROKEN 8u

static void axvcpu_i_x86_host_cpuid(void *arg, uint32_t leaf, uint32_t subleaf, uint32_t reg[4])
{
    (void)arg;
    axvcpu_i_x86_cpuid(leaf & 0x80000000u, 0, reg);
    if (reg[0] >= leaf)
        axvcpu_i_x86_cpuid(leaf, subleaf, reg);
    else
        AXVCPU_MEMSET(reg, 0, 16);
}

static uint32_t axvcpu_i_x86_explain_svm(struct axvcpu_arch *a, const struct axvcpu_x86_control *host,
                                         struct axvcpu_x86_broken *out)
{
    struct axvcpu_x86_svm_state s;
    uint32_t r[4];

    axvcpu_x86_vmcb_read(a->hw, &s);
    axvcpu_i_x86_host_cpuid(NULL, 0x8000000au, 0, r);
    s.asids = r[1];
    s.physical_mask = host->physical_mask;
    s.cr4_valid = host->cr4_valid;
    s.efer_valid = host->efer_valid;
    return axvcpu_x86_svm_explain(&s, out, AXVCPU_I_X86_MOST_BROKEN);
}

/* A field that this CPU does not have sets CF or ZF (SDM 3, VMREAD). */
static uint64_t axvcpu_i_x86_vmread_if(uint64_t field)
{
    uint64_t value = 0;
    uint8_t good;

    __asm__ volatile(AXVCPU_I_X86_BEFORE_VMREAD "vmread %2, %0\n\tseta %1"
                     : "+r"(value), "=q"(good)
                     : "r"(field)
                     : "cc");
    return good != 0 ? value : 0;
}

static uint64_t axvcpu_i_x86_vmx_capability(uint32_t msr)
{
    bool has_true = (axvcpu_i_x86_rdmsr(AXVCPU_I_X86_MSR_VMX_BASIC) >> 55 & 1u) != 0;

    return axvcpu_i_x86_rdmsr(msr + (has_true ? AXVCPU_I_X86_MSR_VMX_TRUE : 0));
}

static uint32_t axvcpu_i_x86_explain_vmx(const struct axvcpu_x86_control *host, struct axvcpu_x86_broken *out)
{
    struct axvcpu_x86_vmx_state s;
    uint32_t i;

    for (i = 0; i < AXVCPU_X86_VMCS_COUNT; i++)
        s.field[i] = axvcpu_i_x86_vmread_if(axvcpu_x86_vmcs_field(i));
    s.pin = axvcpu_i_x86_vmx_capability(AXVCPU_I_X86_MSR_VMX_PIN);
    s.primary = axvcpu_i_x86_vmx_capability(AXVCPU_I_X86_MSR_VMX_PROC);
    s.exit = axvcpu_i_x86_vmx_capability(AXVCPU_I_X86_MSR_VMX_EXIT);
    s.entry = axvcpu_i_x86_vmx_capability(AXVCPU_I_X86_MSR_VMX_ENTRY);
    s.secondary = axvcpu_i_x86_rdmsr(AXVCPU_I_X86_MSR_VMX_PROC2);
    s.cr0_fixed0 = axvcpu_i_x86_rdmsr(AXVCPU_I_X86_MSR_VMX_CR0_FIXED0);
    s.cr0_fixed1 = axvcpu_i_x86_rdmsr(AXVCPU_I_X86_MSR_VMX_CR0_FIXED0 + 1);
    s.cr4_fixed0 = axvcpu_i_x86_rdmsr(AXVCPU_I_X86_MSR_VMX_CR4_FIXED0);
    s.cr4_fixed1 = axvcpu_i_x86_rdmsr(AXVCPU_I_X86_MSR_VMX_CR4_FIXED0 + 1);
    s.misc = axvcpu_i_x86_rdmsr(AXVCPU_I_X86_MSR_VMX_MISC);
    s.ept = axvcpu_i_x86_rdmsr(AXVCPU_I_X86_MSR_VMX_EPT_VPID);
    s.physical_mask = host->physical_mask;
    s.efer_valid = host->efer_valid;
    return axvcpu_x86_vmx_explain(&s, out, AXVCPU_I_X86_MOST_BROKEN);
}

AXVCPU_API size_t axvcpu_explain_entry_failure(struct axvcpu *v, char *text, size_t size)
{
    struct axvcpu_x86_broken broken[AXVCPU_I_X86_MOST_BROKEN];
    struct axvcpu_x86_control host;
    uint32_t n;

    if (v == NULL || axvcpu_i_x86_vendor == NULL || !axvcpu_i_x86_loaded(&v->arch))
        return 0;
    axvcpu_x86_control_valid(&host, axvcpu_i_x86_host_cpuid, NULL);
    n = axvcpu_i_x86_vendor == &axvcpu_i_x86_vmx ? axvcpu_i_x86_explain_vmx(&host, broken) :
                                                   axvcpu_i_x86_explain_svm(&v->arch, &host, broken);
    return axvcpu_x86_explain_print(text, size, broken, n < AXVCPU_I_X86_MOST_BROKEN ? n : AXVCPU_I_X86_MOST_BROKEN);
}

/* >>tables: NPT (APM 2, 15.25) and EPT (SDM 3, 29.3). They differ in their leaves alone. */

#define AXVCPU_I_X86_PTE_R UINT64_C(0x1) /* NPT: present */
#define AXVCPU_I_X86_PTE_W UINT64_C(0x2)
#define AXVCPU_I_X86_PTE_X UINT64_C(0x4) /* NPT: a user's, as all guest accesses are */
#define AXVCPU_I_X86_PTE_TABLE (AXVCPU_I_X86_PTE_R | AXVCPU_I_X86_PTE_W | AXVCPU_I_X86_PTE_X)
#define AXVCPU_I_X86_PTE_LARGE UINT64_C(0x80)
#define AXVCPU_I_X86_PTE_LOG UINT64_C(0x800) /* ours (bit 11 is software's in both): writable in truth; W: dirty */
#define AXVCPU_I_X86_PTE_ADDR UINT64_C(0x000ffffffffff000)
#define AXVCPU_I_X86_PTE_UNCACHED UINT64_C(0x18) /* NPT: PWT, PCD */
#define AXVCPU_I_X86_PTE_WB UINT64_C(0x30)       /* EPT: memory type 6 */
#define AXVCPU_I_X86_LEVELS 4u

static uint32_t axvcpu_i_x86_shift(uint32_t level)
{
    return 12 + 9 * level;
}

static bool axvcpu_i_x86_is_table(uint64_t pte, uint32_t level)
{
    return level > 0 && (pte & AXVCPU_I_X86_PTE_R) != 0 && (pte & AXVCPU_I_X86_PTE_LARGE) == 0;
}

static uint64_t *axvcpu_i_x86_table(uint64_t pte)
{
    return (uint64_t *)AXVCPU_PHYS_TO_VIRT(axvcpu_hpa(pte & AXVCPU_I_X86_PTE_ADDR));
}

static bool axvcpu_i_x86_make_table(uint64_t *entry)
{
    uint64_t frame = AXVCPU_ALLOC_FRAME(1, AXVM_LEAF_PAGE).addr;

    AXVCPU_ATOMIC_STORE_RELEASE(entry, frame != 0 ? frame | AXVCPU_I_X86_PTE_TABLE : 0);
    return frame != 0;
}

/* The last entry that there is on the way to gpa: a leaf, or empty. Tables stay until the VM ends, and entries are
   changed at one stroke, so that anybody may look at any time. */
static uint64_t *axvcpu_i_x86_last(uint64_t root, uint64_t gpa, uint32_t *level, uint64_t *pte)
{
    uint64_t *table = axvcpu_i_x86_table(root), *entry;

    for (*level = AXVCPU_I_X86_LEVELS - 1;; (*level)--) {
        entry = &table[gpa >> axvcpu_i_x86_shift(*level) & 0x1ff];
        *pte = AXVCPU_ATOMIC_LOAD(entry);
        if (!axvcpu_i_x86_is_table(*pte, *level))
            return entry;
        table = axvcpu_i_x86_table(*pte);
    }
}

/* A leaf becomes a table of 512 of the next size, which say the same, unless it is another by now; false: there
   is no frame. */
static bool axvcpu_i_x86_split(uint64_t *entry, uint64_t pte, uint32_t level)
{
    uint64_t frame = AXVCPU_ALLOC_FRAME(1, AXVM_LEAF_PAGE).addr, i;
    uint64_t *table;

    if (frame == 0)
        return false;
    table = axvcpu_i_x86_table(frame);
    for (i = 0; i < 512; i++)
        table[i] = (pte & ~(level == 1 ? AXVCPU_I_X86_PTE_LARGE : 0)) + (i << axvcpu_i_x86_shift(level - 1));
    if (!AXVCPU_ATOMIC_CAS(entry, &pte, frame | AXVCPU_I_X86_PTE_TABLE))
        AXVCPU_FREE_FRAME(axvcpu_hpa(frame), 1);
    return true;
}

/* The entry for gpa at `level`; on the way down missing tables are made if `make`, else it is NULL. A leaf
   above is none of ours to break: mappings do not overlap. */
static uint64_t *axvcpu_i_x86_second(uint64_t root, uint64_t gpa, uint32_t level, bool make)
{
    uint64_t *table = axvcpu_i_x86_table(root), *entry;
    uint32_t l;

    for (l = AXVCPU_I_X86_LEVELS - 1;; l--) {
        entry = &table[gpa >> axvcpu_i_x86_shift(l) & 0x1ff];
        if (l == level)
            return entry;
        if ((*entry == 0 && (!make || !axvcpu_i_x86_make_table(entry))) || !axvcpu_i_x86_is_table(*entry, l))
            return NULL;
        table = axvcpu_i_x86_table(*entry);
    }
}

/* The largest leaf that fits there: aligned on both sides, not longer than what is left, not where a table is
   already, and one that the CPU has (1 GiB is an option: SDM 3, A.10; APM 3, E.4.2). */
static uint32_t axvcpu_i_x86_leaf_level(uint64_t root, uint64_t gpa, uint64_t hpa, uint64_t left)
{
    uint32_t level;

    for (level = axvcpu_i_x86_has_1g ? 2 : 1; level > 0; level--) {
        uint64_t size = UINT64_C(1) << axvcpu_i_x86_shift(level);
        const uint64_t *entry = axvcpu_i_x86_second(root, gpa, level, false);

        if (((gpa | hpa) & (size - 1)) == 0 && left >= size && (entry == NULL || *entry == 0))
            break;
    }
    return level;
}

/* Empty entries from gpa on, up to `size` bytes. */
static void axvcpu_i_x86_clear(uint64_t root, uint64_t gpa, uint64_t size)
{
    uint64_t end = gpa + size, step;

    for (; gpa < end; gpa += step) {
        uint32_t level;
        uint64_t pte, *entry;

        do /* a leaf may be split meanwhile */
            entry = axvcpu_i_x86_last(root, gpa, &level, &pte);
        while (!AXVCPU_ATOMIC_CAS(entry, &pte, UINT64_C(0)));
        step = UINT64_C(1) << axvcpu_i_x86_shift(level);
        step -= gpa & (step - 1);
    }
}

static int axvcpu_i_x86_fill(uint64_t root, uint64_t gpa, uint64_t hpa, uint64_t size, uint64_t bits)
{
    uint64_t done = 0;

    while (done < size) {
        uint32_t level = axvcpu_i_x86_leaf_level(root, gpa + done, hpa + done, size - done);
        uint64_t *entry = axvcpu_i_x86_second(root, gpa + done, level, true);

        if (entry == NULL) {
            axvcpu_i_x86_clear(root, gpa, done);
            return AXVCPU_ENOMEM;
        }
        AXVCPU_ATOMIC_STORE_RELEASE(entry, (hpa + done) | bits | (level > 0 ? AXVCPU_I_X86_PTE_LARGE : 0));
        done += UINT64_C(1) << axvcpu_i_x86_shift(level);
    }
    return AXVCPU_OK;
}

static void axvcpu_i_x86_free(uint64_t *table, uint32_t level)
{
    uint32_t i;

    for (i = 0; i < 512; i++) {
        if (axvcpu_i_x86_is_table(table[i], level)) {
            axvcpu_i_x86_free(axvcpu_i_x86_table(table[i]), level - 1);
            AXVCPU_FREE_FRAME(axvcpu_hpa(table[i] & AXVCPU_I_X86_PTE_ADDR), 1);
        }
    }
}

/* Guest memory, and tables, are looked at between these two, so that axvm_unmap and axvm_x86_dirty wait for it as for
   a guest: what is found in between may be used until the end, and no longer. Nothing of the caller's is called
   there, but for AXVCPU_ALLOC_FRAME. */
static void axvcpu_i_x86_look(struct axvcpu_arch *a)
{
    (void)AXVCPU_ATOMIC_XCHG(&a->inside, 1u); /* out before a table is read */
}

static void axvcpu_i_x86_looked(struct axvcpu_arch *a)
{
    AXVCPU_ATOMIC_STORE_RELEASE(&a->inside, 0u);
}

/* A write to a page that is logged makes it writable; a large leaf is split for that, and without a frame all of
   it counts as written. False: it is not logged. *was: it was writable already. */
static bool axvcpu_i_x86_log(uint64_t root, uint64_t gpa, bool *was)
{
    uint32_t level;
    uint64_t pte, *entry;

    do {
        entry = axvcpu_i_x86_last(root, gpa, &level, &pte);
        *was = (pte & AXVCPU_I_X86_PTE_W) != 0;
        if ((pte & AXVCPU_I_X86_PTE_LOG) == 0 || *was)
            return *was && (pte & AXVCPU_I_X86_PTE_LOG) != 0;
    } while ((level > 0 && axvcpu_i_x86_split(entry, pte, level)) ||
             !AXVCPU_ATOMIC_CAS(entry, &pte, pte | AXVCPU_I_X86_PTE_W));
    return true;
}

/* The VM whose tables log what this vCPU writes; not those of the host's own. */
static struct axvm *axvcpu_i_x86_logger(const struct axvcpu_arch *a)
{
    struct axvm *vm = ((const struct axvcpu *)(const void *)((const char *)a - offsetof(struct axvcpu, arch)))->vm.vm;

    return vm != NULL && vm->arch.logs != 0 && vm->arch.root.addr == a->root ? vm : NULL;
}

/* A fault that only we know about: a first write to a page that is logged, or one that another CPU has seen to
   since, while this one remembers the old entry. True: the guest may try again. */
static bool axvcpu_i_x86_our_fault(struct axvcpu_arch *a, uint64_t gpa, uint32_t access)
{
    bool was = false;

    if ((access & AXVCPU_ACCESS_WRITE) == 0 || axvcpu_i_x86_logger(a) == NULL ||
        gpa >> axvcpu_i_x86_shift(AXVCPU_I_X86_LEVELS) != 0 || !axvcpu_i_x86_log(a->root, gpa, &was))
        return false;
    a->dirty |= was ? AXVCPU_I_X86_DO_TLB : 0;
    return true;
}

/* Guest memory for the decoder: as far as the second-stage tables allow, the host's own or ours. */
static void *axvcpu_i_x86_ptr(void *arg, uint64_t gpa, uint32_t size, bool write)
{
    struct axvcpu_arch *a = (struct axvcpu_arch *)arg;
    uint32_t level;
    uint64_t pte, low;

    if (a->root == 0 || gpa >> axvcpu_i_x86_shift(AXVCPU_I_X86_LEVELS) != 0 || (gpa & 0xfff) + size > AXVM_LEAF_PAGE)
        return NULL;
    (void)axvcpu_i_x86_our_fault(a, gpa, write ? AXVCPU_ACCESS_WRITE : 0);
    (void)axvcpu_i_x86_last(a->root, gpa, &level, &pte);
    if ((pte & AXVCPU_I_X86_PTE_R) == 0 || (write && (pte & AXVCPU_I_X86_PTE_W) == 0))
        return NULL;
    low = (UINT64_C(1) << axvcpu_i_x86_shift(level)) - 1;
    return AXVCPU_PHYS_TO_VIRT(axvcpu_hpa((pte & AXVCPU_I_X86_PTE_ADDR & ~low) | (gpa & low)));
}

/* >>tables of a VM */

/* A page that is logged is not writable until it has been written. */
static uint64_t axvcpu_i_x86_leaf_bits(uint32_t flags)
{
    uint64_t bits = AXVCPU_I_X86_PTE_R | ((flags & AXVM_MAP_WRITE) == 0     ? 0 :
                                          (flags & AXVM_MAP_LOG_DIRTY) != 0 ? AXVCPU_I_X86_PTE_LOG :
                                                                              AXVCPU_I_X86_PTE_W);

    if (axvcpu_i_x86_vendor == &axvcpu_i_x86_svm)
        return bits | AXVCPU_I_X86_PTE_X | ((flags & AXVM_MAP_EXEC) == 0 ? AXVCPU_X86_PTE_XD : 0) |
               ((flags & AXVM_MAP_DEVICE) != 0 ? AXVCPU_I_X86_PTE_UNCACHED : 0);
    return bits | ((flags & AXVM_MAP_EXEC) != 0 ? AXVCPU_I_X86_PTE_X : 0) |
           ((flags & AXVM_MAP_DEVICE) != 0 ? 0 : AXVCPU_I_X86_PTE_WB);
}

/* All vCPUs drop what they know of the tables before they are in the guest again; those that are inside are
   called out, and waited for: `inside` is set, and that is out, before `remote` is looked at. */
static void axvcpu_i_x86_shoot_down(struct axvm *vm)
{
    uint32_t i;

    for (i = 0; i < vm->vcpu_count; i++) {
        struct axvcpu *v = axvm_i_at(vm, i);
        void *owner;

        (void)AXVCPU_ATOMIC_FETCH_OR(&v->arch.remote, AXVCPU_I_X86_DO_TLB);
        owner = AXVCPU_ATOMIC_LOAD(&v->owner);
        if (owner != NULL && owner != AXVCPU_CPU_TOKEN())
            AXVCPU_SEND_KICK(owner);
    }
    for (i = 0; i < vm->vcpu_count; i++) {
        const struct axvcpu_arch *a = &axvm_i_at(vm, i)->arch;

        while (AXVCPU_ATOMIC_LOAD(&a->inside) != 0 && AXVCPU_ATOMIC_LOAD(&a->remote) != 0)
            ;
    }
}

AXVCPU_API int axvm_leaf_map(struct axvm *vm, uint32_t slot, const struct axvm_mapping *m)
{
    uint64_t hpa = m->backing.ptr != NULL ? AXVCPU_VIRT_TO_PHYS(m->backing.ptr).addr : m->backing.hpa.addr;
    uint32_t log = (m->flags & AXVM_MAP_LOG_DIRTY) != 0;
    int err;

    (void)slot;
    if ((m->gpa.addr + (m->size - 1)) >> axvcpu_i_x86_shift(AXVCPU_I_X86_LEVELS) != 0)
        return AXVCPU_EINVAL;
    (void)AXVCPU_ATOMIC_FETCH_ADD(&vm->arch.logs, log); /* before the guest can fault there */
    err = axvcpu_i_x86_fill(vm->arch.root.addr, m->gpa.addr, hpa, m->size, axvcpu_i_x86_leaf_bits(m->flags));
    (void)AXVCPU_ATOMIC_FETCH_ADD(&vm->arch.logs, err != 0 ? 0 - log : 0);
    return err;
}

/* That there is nothing is never remembered, so only this needs to be told (SDM 3, 29.4.3.3; APM 2, 7.3.1). */
AXVCPU_API int axvm_leaf_unmap(struct axvm *vm, uint32_t slot, const struct axvm_mapping *m)
{
    (void)slot;
    axvcpu_i_x86_clear(vm->arch.root.addr, m->gpa.addr, m->size);
    axvcpu_i_x86_shoot_down(vm);
    (void)AXVCPU_ATOMIC_FETCH_ADD(&vm->arch.logs, (m->flags & AXVM_MAP_LOG_DIRTY) != 0 ? UINT32_MAX : 0);
    return AXVCPU_OK;
}

/* Pages first to end: false when one of them is not logged. `bitmap` NULL: only look. */
static bool axvcpu_i_x86_collect(uint64_t root, uint64_t first, uint64_t end, uint64_t *bitmap)
{
    uint64_t gpa;

    for (gpa = first; gpa < end; gpa += AXVM_LEAF_PAGE) {
        uint32_t level;
        uint64_t pte, *entry = axvcpu_i_x86_last(root, gpa, &level, &pte);

        if ((pte & AXVCPU_I_X86_PTE_LOG) == 0)
            return false;
        if (bitmap != NULL && axvm_i_log_page(bitmap, first, gpa, UINT64_C(1) << axvcpu_i_x86_shift(level),
                                              (pte & AXVCPU_I_X86_PTE_W) != 0))
            (void)AXVCPU_ATOMIC_FETCH_AND(entry, ~AXVCPU_I_X86_PTE_W);
    }
    return true;
}

/* What is not yet in the bitmap is there the next time: a CPU that still remembers an entry as writable is called
   out before this returns. Nobody but map and unmap, which have the same lock, takes leaves away. */
AXVCPU_API int axvm_x86_dirty(struct axvm *vm, axvcpu_gpa_t gpa, uint64_t size, uint64_t *bitmap)
{
    bool logged;

    if (!axvm_i_log_asks(vm, gpa.addr, size, bitmap, axvcpu_i_x86_shift(AXVCPU_I_X86_LEVELS)))
        return AXVCPU_EINVAL;
    axvm_i_lock(vm);
    logged = axvcpu_i_x86_collect(vm->arch.root.addr, gpa.addr, gpa.addr + size, NULL);
    if (logged) {
        (void)axvcpu_i_x86_collect(vm->arch.root.addr, gpa.addr, gpa.addr + size, bitmap);
        axvcpu_i_x86_shoot_down(vm);
    }
    axvm_i_unlock(vm);
    return logged ? AXVCPU_OK : AXVCPU_EINVAL;
}

AXVCPU_API int axvm_leaf_init(struct axvm *vm, const struct axvm_arch_desc *desc)
{
    if (!axvcpu_leaf_supported())
        return AXVCPU_ENOSUPPORT;
    vm->arch.root = AXVCPU_ALLOC_FRAME(1, AXVM_LEAF_PAGE);
    if (vm->arch.root.addr == 0)
        return AXVCPU_ENOMEM;
    vm->arch.own_apic = desc->own_apic;
    vm->arch.cpuid = desc->cpuid;
    vm->arch.cpuid_count = desc->cpuid_count;
    return AXVCPU_OK;
}

AXVCPU_API void axvm_leaf_deinit(struct axvm *vm)
{
    axvcpu_i_x86_free(axvcpu_i_x86_table(vm->arch.root.addr), AXVCPU_I_X86_LEVELS - 1);
    AXVCPU_FREE_FRAME(vm->arch.root, 1);
}

AXVCPU_API axvcpu_hpa_t axvm_leaf_root(const struct axvm *vm)
{
    return vm->arch.root;
}

/* ASIDs and VPIDs are a vCPU's, and change with its CPU. */
AXVCPU_API uint32_t axvm_leaf_vmid(const struct axvm *vm)
{
    (void)vm;
    return 0;
}

/* There is no controller of ours: a line is a vector of the first vCPU. */
AXVCPU_API int axvm_leaf_irq_line(struct axvm *vm, uint32_t line, bool level)
{
    return axvcpu_set_irq(axvm_vcpu(vm, 0), line, level);
}

/* >>switch: per vCPU */

/* An ASID is a vCPU's on one CPU, and never another's until all have been used and everything is forgotten. */
static void axvcpu_i_x86_take_asid(struct axvcpu_arch *a)
{
    struct axvcpu_i_x86_cpu *cpu = axvcpu_i_x86_here();

    if (a->asid_cpu == AXVCPU_CPU_ID() + 1 && a->asid_round == cpu->round)
        return;
    if (cpu->next_asid >= cpu->asids) {
        cpu->next_asid = 1;
        cpu->round++;
    }
    a->asid = cpu->next_asid++;
    a->asid_cpu = AXVCPU_CPU_ID() + 1;
    a->asid_round = cpu->round;
    a->dirty |= AXVCPU_I_X86_DO_TLB;
}

/* The FPU. Between exits it stays the guest's: the host's code uses none, or puts the vCPU first. XCR0 is
   the guest's as long as the vCPU is loaded, for XGETBV shows it without a trap. */

static void axvcpu_i_x86_xsetbv(uint64_t value)
{
    __asm__ volatile("xsetbv" : : "c"(0), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

static uint64_t axvcpu_i_x86_xgetbv(void)
{
    uint32_t low, high;

    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0) : "memory");
    return (uint64_t)high << 32 | low;
}

static void axvcpu_i_x86_clts(void)
{
    __asm__ volatile("clts" : : : "memory");
}

/* `what` of XCR0; 0: there is no XSAVE. */
static void axvcpu_i_x86_store_fpu(char *area, uint64_t what)
{
    if (what != 0)
        __asm__ volatile("xsave64 (%0)" : : "r"(area), "a"((uint32_t)what), "d"((uint32_t)(what >> 32)) : "memory");
    else
        __asm__ volatile("fxsave64 (%0)" : : "r"(area) : "memory");
}

static void axvcpu_i_x86_load_fpu(const char *area, uint64_t what)
{
    if (what != 0)
        __asm__ volatile("xrstor64 (%0)" : : "r"(area), "a"((uint32_t)what), "d"((uint32_t)(what >> 32)) : "memory");
    else
        __asm__ volatile("fxrstor64 (%0)" : : "r"(area) : "memory");
}

/* `from` goes out and `to` comes in; XCR0 has all that there is meanwhile, then `xcr0`. */
static void axvcpu_i_x86_swap_fpu(char *from, const char *to, uint64_t what, uint64_t xcr0)
{
    uint64_t cr0 = axvcpu_i_x86_host_cr0();

    axvcpu_i_x86_clts();
    if (what != 0)
        axvcpu_i_x86_xsetbv(axvcpu_i_x86_xcr0_all);
    axvcpu_i_x86_store_fpu(from, what);
    axvcpu_i_x86_load_fpu(to, what);
    if (what != 0)
        axvcpu_i_x86_xsetbv(xcr0);
    axvcpu_i_x86_set_host_cr0(cr0);
}

/* PKRU is behind no CR0.TS: a guest that has it has it as long as it is loaded. */
#define AXVCPU_I_X86_XCR0_PKRU UINT64_C(0x200)
#define AXVCPU_I_X86_LAZY (axvcpu_i_x86_xcr0_all & ~AXVCPU_I_X86_XCR0_PKRU)
static bool axvcpu_i_x86_has_keys(const struct axvcpu_arch *a)
{
    return (axvcpu_i_x86_xcr0_all & AXVCPU_I_X86_XCR0_PKRU) != 0 && (a->control.cr4_valid & AXVCPU_X86_CR4_PKE) != 0;
}

static void axvcpu_i_x86_fpu_in(struct axvcpu_arch *a)
{
    uint64_t cr0 = AXVCPU_I_X86_GET(a, CR0);

    axvcpu_i_x86_swap_fpu(axvcpu_i_x86_here()->fpu, a->fpu, AXVCPU_I_X86_LAZY, a->control.xcr0);
    a->fpu_loaded = true;
    AXVCPU_I_X86_PUT(a, CR0, cr0);
    a->dirty |= AXVCPU_I_X86_DO_CONTROLS;
}

static void axvcpu_i_x86_fpu_out(struct axvcpu_arch *a)
{
    uint64_t cr0;

    if (!a->fpu_loaded)
        return;
    cr0 = AXVCPU_I_X86_GET(a, CR0);
    axvcpu_i_x86_swap_fpu(a->fpu, axvcpu_i_x86_here()->fpu, AXVCPU_I_X86_LAZY, a->control.xcr0);
    a->fpu_loaded = false;
    AXVCPU_I_X86_PUT(a, CR0, cr0);
    a->dirty |= AXVCPU_I_X86_DO_CONTROLS;
}

/* Debug registers 0 to 3 are the host's until the guest touches one, or turns one on; load and an exit turn the
   host's breakpoints off (DR7). */
#define AXVCPU_I_X86_SWAP_DR(n)                                                                            \
    __asm__ volatile("mov %%db" #n ", %0\n\tmov %1, %%db" #n : "=&r"(old) : "r"(dr[n]) : "memory");        \
    dr[n] = old;
static void axvcpu_i_x86_swap_dr(uint64_t dr[4])
{
    uint64_t old;

    AXVCPU_I_X86_SWAP_DR(0)
    AXVCPU_I_X86_SWAP_DR(1)
    AXVCPU_I_X86_SWAP_DR(2)
    AXVCPU_I_X86_SWAP_DR(3)
}

static void axvcpu_i_x86_dr_in(struct axvcpu_arch *a)
{
    axvcpu_i_x86_swap_dr(a->dr);
    a->dr_loaded = true;
    a->dirty |= AXVCPU_I_X86_DO_CONTROLS;
}

static void axvcpu_i_x86_dr_out(struct axvcpu_arch *a)
{
    if (!a->dr_loaded)
        return;
    axvcpu_i_x86_swap_dr(a->dr);
    a->dr_loaded = false;
    a->dirty |= AXVCPU_I_X86_DO_CONTROLS;
}

/* What no vendor switches, or not all of it. PAT is the guest's behind an exit of QEMU 7.2's SVM. */
static void axvcpu_i_x86_host_out(struct axvcpu_i_x86_cpu *cpu, const struct axvcpu_arch *a)
{
    cpu->cr2 = axvcpu_i_x86_host_cr2();
    cpu->dr6 = axvcpu_i_x86_read_dr6();
    cpu->dr7 = axvcpu_i_x86_read_dr7();
    cpu->pat = axvcpu_i_x86_rdmsr(0x277);
    if ((cpu->dr7 & AXVCPU_I_X86_DR7_ON) != 0)
        axvcpu_i_x86_write_dr7(AXVCPU_I_X86_DR7_NONE);
    if (axvcpu_i_x86_xcr0_all == 0)
        return;
    cpu->xcr0 = axvcpu_i_x86_xgetbv();
    if (axvcpu_i_x86_has_keys(a))
        axvcpu_i_x86_swap_fpu(cpu->fpu, a->fpu, AXVCPU_I_X86_XCR0_PKRU, a->control.xcr0);
    else if (a->control.xcr0 != cpu->xcr0)
        axvcpu_i_x86_xsetbv(a->control.xcr0);
}

static void axvcpu_i_x86_host_in(const struct axvcpu_i_x86_cpu *cpu, const struct axvcpu_arch *a)
{
    if (axvcpu_i_x86_has_keys(a))
        axvcpu_i_x86_swap_fpu(a->fpu, cpu->fpu, AXVCPU_I_X86_XCR0_PKRU, cpu->xcr0);
    else if (axvcpu_i_x86_xcr0_all != 0 && a->control.xcr0 != cpu->xcr0)
        axvcpu_i_x86_xsetbv(cpu->xcr0);
    if (axvcpu_i_x86_rdmsr(0x277) != cpu->pat)
        axvcpu_i_x86_wrmsr(0x277, cpu->pat);
    axvcpu_i_x86_set_host_cr2(cpu->cr2);
    axvcpu_i_x86_write_dr6(cpu->dr6);
    axvcpu_i_x86_write_dr7(cpu->dr7);
}

/* Also called when there is nothing to save, or when it is on a CPU that is not this one and will not come
   back for it (abandon). */
AXVCPU_API void axvcpu_i_x86_save(struct axvcpu *v)
{
    struct axvcpu_arch *a = &v->arch;

    if (a->cpu == 0)
        return;
    axvcpu_i_x86_cpus[a->cpu - 1].loaded = NULL;
    if (axvcpu_i_x86_loaded(a)) {
        axvcpu_i_x86_fpu_out(a);
        axvcpu_i_x86_dr_out(a);
        axvcpu_i_x86_vendor->save(a);
        axvcpu_i_x86_host_in(axvcpu_i_x86_here(), a);
    }
    a->cpu = 0;
}

/* Another vCPU of this CPU's, bound and not put, makes room. It learns of it when it runs next: attention
   brings it to leaf_inject, which loads it. */
static void axvcpu_i_x86_evict(struct axvcpu_i_x86_cpu *cpu)
{
    struct axvcpu *other = cpu->loaded;

    if (other == NULL)
        return;
    axvcpu_i_x86_save(other);
    (void)AXVCPU_ATOMIC_FETCH_OR(&other->attn, AXVCPU_ATTN_IRQ);
}

AXVCPU_API int axvcpu_i_x86_load(struct axvcpu *v)
{
    struct axvcpu_i_x86_cpu *cpu = axvcpu_i_x86_here();
    struct axvcpu_arch *a = &v->arch;

    if (cpu->enabled == 0)
        return AXVCPU_ENOSUPPORT;
    axvcpu_i_x86_evict(cpu);
    a->cpu = AXVCPU_CPU_ID() + 1;
    cpu->loaded = v;
    axvcpu_i_x86_take_asid(a);
    axvcpu_i_x86_host_out(cpu, a);
    axvcpu_i_x86_vendor->load(a);
    if (!a->prepared)
        axvcpu_i_x86_vendor->prepare(v);
    a->prepared = true;
    return AXVCPU_OK;
}

AXVCPU_API int axvcpu_leaf_put(struct axvcpu *v)
{
    axvcpu_i_x86_save(v);
    return AXVCPU_OK;
}

AXVCPU_API int axvcpu_leaf_load(struct axvcpu *v)
{
    return axvcpu_i_x86_load(v);
}

/* >>leaves: life */

static const struct axvcpu_x86_cpuid *axvcpu_i_x86_find_cpuid(const struct axvcpu_arch *a, uint32_t leaf,
                                                              uint32_t subleaf)
{
    uint32_t i;

    for (i = 0; i < a->cpuid_count; i++) {
        if (a->cpuid[i].leaf == leaf && (!a->cpuid[i].indexed || a->cpuid[i].subleaf == subleaf))
            return &a->cpuid[i];
    }
    return NULL;
}

/* From the caller's table, or the host's own made into a guest's. */
static void axvcpu_i_x86_guest_cpuid(void *arg, uint32_t leaf, uint32_t subleaf, uint32_t reg[4])
{
    const struct axvcpu *v = (const struct axvcpu *)arg;
    struct axvcpu_x86_cpuid e = { leaf, subleaf, true, { 0, 0, 0, 0 } };
    const struct axvcpu_x86_cpuid *own = axvcpu_i_x86_find_cpuid(&v->arch, leaf, subleaf);

    if (own != NULL)
        e = *own;
    if (v->arch.cpuid == NULL) {
        axvcpu_i_x86_cpuid(leaf, subleaf, e.reg);
        axvcpu_x86_cpuid_mask(&v->arch.control, leaf, subleaf, e.reg);
        axvcpu_x86_cpuid_sane(&e, 1, v->vcpu_id, v->vm.vm != NULL ? v->vm.vm->vcpu_count : 1, false);
    }
    AXVCPU_MEMCPY(reg, e.reg, sizeof(e.reg));
}

static void axvcpu_i_x86_start_segment(struct axvcpu_arch *a, uint32_t segment, uint64_t selector, uint64_t base,
                                       uint64_t limit, uint64_t access)
{
    axvcpu_i_x86_put_field(a, 4 * segment + AXVCPU_X86_SELECTOR, selector);
    axvcpu_i_x86_put_field(a, 4 * segment + AXVCPU_X86_BASE, base);
    axvcpu_i_x86_put_field(a, 4 * segment + AXVCPU_X86_LIMIT, limit);
    axvcpu_i_x86_put_field(a, 4 * segment + AXVCPU_X86_ACCESS, access);
}

/* The state after INIT (SDM 3, table 9-1), but for what the mode decides. */
static void axvcpu_i_x86_init_state(struct axvcpu_arch *a, bool bsp)
{
    uint32_t i;

    for (i = 0; i < AXVCPU_X86_GPRS; i++)
        a->regs.gpr[i] = 0;
    for (i = 4 * AXVCPU_X86_LDTR; i < AXVCPU_I_X86_FIELDS; i++)
        axvcpu_i_x86_put_field(a, i, 0);
    axvcpu_i_x86_start_segment(a, AXVCPU_X86_LDTR, 0, 0, 0xffff, 0x82);
    axvcpu_i_x86_start_segment(a, AXVCPU_X86_TR, 0, 0, 0xffff, 0x8b);
    axvcpu_i_x86_put_field(a, AXVCPU_I_X86_SEGMENT(IDTR, LIMIT), 0xffff);
    AXVCPU_I_X86_PUT(a, DR6, 0xffff0ff0);
    AXVCPU_I_X86_PUT(a, DR7, 0x400);
    AXVCPU_I_X86_PUT(a, PAT, UINT64_C(0x0007040600070406));
    AXVCPU_I_X86_PUT(a, RFLAGS, AXVCPU_X86_FLAG_FIXED);
    a->event.info = 0;
    a->nmi_masked = a->nmi_step = false;
    a->window = 0;
    axvcpu_x86_control_reset(&a->control, bsp);
    axvcpu_i_x86_set_cr8(a, 0);
    a->opens = 256;
    a->tsc_offset = 0;
    a->icr_high = 0;
    a->dirty |= AXVCPU_I_X86_DO_EVENT | AXVCPU_I_X86_DO_CONTROLS;
}

/* FCW and MXCSR of a new FPU, where FXSAVE has them (SDM 1, table 10-2); the rest is zero. */
static void axvcpu_i_x86_init_fpu(char *area)
{
    AXVCPU_MEMSET(area, 0, AXVM_LEAF_PAGE);
    *(uint16_t *)(void *)area = 0x37f;
    *(uint32_t *)(void *)(area + 24) = 0x1f80;
}

static void axvcpu_i_x86_start_segments(struct axvcpu_arch *a, uint64_t base)
{
    const struct axvcpu_i_x86_start *start = &axvcpu_i_x86_starts[a->setup.mode];
    bool flat = a->setup.mode != AXVCPU_X86_REAL, tables = a->setup.mode == AXVCPU_X86_LONG && a->setup.cr3 == 0;
    uint32_t i;

    for (i = AXVCPU_X86_ES; i <= AXVCPU_X86_GS; i++)
        axvcpu_i_x86_start_segment(a, i, flat ? AXVCPU_I_X86_DATA : 0, 0, start->limit, start->data);
    axvcpu_i_x86_start_segment(a, AXVCPU_X86_CS, flat ? AXVCPU_I_X86_CODE : base >> 4 & 0xffffu, base, start->limit,
                               start->code);
    axvcpu_i_x86_put_field(a, AXVCPU_I_X86_SEGMENT(GDTR, BASE), tables ? a->setup.tables.addr + 0x6000 : 0);
    axvcpu_i_x86_put_field(a, AXVCPU_I_X86_SEGMENT(GDTR, LIMIT),
                           tables ? sizeof(axvcpu_i_x86_gdt) - 1 : flat ? 0 : 0xffff);
}

/* To the first instruction, in the mode that was set up. */
static int axvcpu_i_x86_go(struct axvcpu *v, bool started, uint64_t arg)
{
    struct axvcpu_arch *a = &v->arch;
    const struct axvcpu_i_x86_start *start = &axvcpu_i_x86_starts[a->setup.mode];
    uint64_t base = 0, ip = a->entry.addr;

    if (a->setup.mode != AXVCPU_X86_LONG && ip > UINT32_MAX)
        return axvcpu_i_say(AXVCPU_EINVAL, "setup: an entry beyond 4 GiB needs long mode");
    if (a->setup.mode == AXVCPU_X86_REAL)
        axvcpu_i_x86_real_entry(ip, started, &base, &ip);
    axvcpu_i_x86_init_state(a, axvcpu_is_bsp(v));
    axvcpu_i_x86_start_segments(a, base);
    AXVCPU_I_X86_PUT(a, CR0, start->cr0);
    AXVCPU_I_X86_PUT(a, CR3, a->setup.cr3 != 0 ? a->setup.cr3 : a->setup.tables.addr);
    AXVCPU_I_X86_PUT(a, CR4, start->cr4);
    AXVCPU_I_X86_PUT(a, EFER, start->efer);
    AXVCPU_I_X86_PUT(a, RIP, ip);
    AXVCPU_I_X86_PUT(a, RSP, a->setup.stack);
    a->regs.gpr[AXVCPU_X86_RDI] = arg;
    (void)AXVCPU_ATOMIC_FETCH_OR(&v->attn, AXVCPU_ATTN_IRQ); /* lines that stayed up */
    return AXVCPU_OK;
}

AXVCPU_API void axvcpu_leaf_destroy(struct axvcpu *v)
{
    struct axvcpu_arch *a = &v->arch;

    axvcpu_i_x86_save(v);
    if (a->hw != NULL)
        AXVCPU_FREE_FRAME(axvcpu_hpa(a->hw_pa), 2);
}

/* One frame for the VMCB or VMCS, the next one for the FPU. */
AXVCPU_API int axvcpu_leaf_create(struct axvcpu *v, const struct axvcpu_arch_create *create)
{
    struct axvcpu_arch *a = &v->arch;
    axvcpu_hpa_t frames;

    if (!axvcpu_leaf_supported())
        return AXVCPU_ENOSUPPORT;
    frames = AXVCPU_ALLOC_FRAME(2, AXVM_LEAF_PAGE);
    if (frames.addr == 0)
        return AXVCPU_ENOMEM;
    a->hw_pa = frames.addr;
    a->hw = (char *)AXVCPU_PHYS_TO_VIRT(frames);
    a->fpu = a->hw + AXVM_LEAF_PAGE;
    a->vendor = axvcpu_i_x86_vendor == &axvcpu_i_x86_svm ? AXVCPU_I_X86_VENDOR_SVM : AXVCPU_I_X86_VENDOR_VMX;
    a->nrip_at = axvcpu_i_x86_svm_has(AXVCPU_I_X86_SVM_NRIP) ? 0xc8 : 0x578;
    a->nrip_add = axvcpu_i_x86_svm_has(AXVCPU_I_X86_SVM_NRIP) ? 0 : 3; /* VMMCALL; nobody gives it prefixes */
    a->cpuid = create->cpuid != NULL || v->vm.vm == NULL ? create->cpuid : v->vm.vm->arch.cpuid;
    a->cpuid_count = create->cpuid != NULL || v->vm.vm == NULL ? create->cpuid_count : v->vm.vm->arch.cpuid_count;
    axvcpu_x86_control_valid(&a->control, axvcpu_i_x86_guest_cpuid, v);
    a->control.xcr0_valid &= axvcpu_i_x86_xcr0_all | 1u; /* what is saved */
    axvcpu_i_x86_init_fpu(a->fpu);
    axvcpu_i_x86_init_state(a, axvcpu_is_bsp(v));
    return AXVCPU_OK;
}

AXVCPU_API int axvcpu_leaf_reset(struct axvcpu *v)
{
    struct axvcpu_arch *a = &v->arch;

    axvcpu_i_x86_save(v);
    a->ready = false;
    a->entry.addr = a->root = 0;
        AXVCPU_MEMSET(&a->setup, 0, sizeof(a->setup));
    axvcpu_i_x86_init_fpu(a->fpu);
    axvcpu_i_x86_init_state(a, axvcpu_is_bsp(v));
    return AXVCPU_OK;
}

AXVCPU_API int axvcpu_leaf_set_entry(struct axvcpu *v, axvcpu_gpa_t entry)
{
    v->arch.entry = entry;
    return v->arch.ready ? axvcpu_i_x86_go(v, false, 0) : AXVCPU_OK;
}

AXVCPU_API int axvcpu_leaf_set_root(struct axvcpu *v, axvcpu_hpa_t root)
{
    if (root.addr == 0 || (root.addr & 0xfffu) != 0 || axvcpu_i_x86_loaded(&v->arch))
        return AXVCPU_EINVAL;
    v->arch.root = root.addr;
    v->arch.dirty |= AXVCPU_I_X86_DO_TLB;
    return AXVCPU_OK;
}

AXVCPU_API int axvcpu_leaf_restart(struct axvcpu *v, axvcpu_gpa_t entry, uint64_t arg)
{
    axvcpu_i_x86_fpu_out(&v->arch);
    axvcpu_i_x86_init_fpu(v->arch.fpu);
    v->arch.entry = entry;
    return axvcpu_i_x86_go(v, true, arg);
}

/* Whether this CPU can do what set-up asks of it. */
static int axvcpu_i_x86_slices(const struct axvcpu_arch_setup *setup)
{
    const bool svm = axvcpu_i_x86_vendor == &axvcpu_i_x86_svm;
    const uint32_t filter = AXVCPU_I_X86_SVM_PAUSES | (setup->pause_gap != 0 ? AXVCPU_I_X86_SVM_PAUSE_GAP : 0);
    const bool pauses = svm && (axvcpu_i_x86_features & filter) == filter, timer = !svm && axvcpu_i_x86_vmx_has_timer();

    if (setup->pauses > UINT16_MAX || setup->pause_gap > UINT16_MAX || (setup->pause_gap != 0 && setup->pauses == 0))
        return axvcpu_i_say(AXVCPU_EINVAL, "setup: pauses and pause_gap are below 65536, and no gap is without pauses");
    if ((setup->slice | setup->pauses) == 0 || (setup->pauses != 0 && pauses))
        return AXVCPU_OK;
    if (setup->slice == 0 || !timer)
        return axvcpu_i_say(AXVCPU_ENOSUPPORT,
                            "setup: no preemption timer for slice (VMX), or no filter for pauses (SVM)");
    if (axvcpu_i_x86_timer_counts(setup->slice) == 0)
        return axvcpu_i_say(AXVCPU_EINVAL, "setup: slice is longer than the preemption timer can count");
    return AXVCPU_OK;
}

/* >>registers */

/* The field that a register is, or AXVCPU_I_X86_FIELDS. */
static uint32_t axvcpu_i_x86_field_of(uint64_t id)
{
    static const struct { uint64_t id; uint8_t field; } names[] = {
        { AXVCPU_REG_PC, AXVCPU_I_X86_F_RIP }, { AXVCPU_REG_SP, AXVCPU_I_X86_F_RSP },
        { AXVCPU_REG_FLAGS, AXVCPU_I_X86_F_RFLAGS }, { AXVCPU_REG_GPR(AXVCPU_X86_RSP), AXVCPU_I_X86_F_RSP },
        { AXVCPU_X86_CR(0), AXVCPU_I_X86_F_CR0 }, { AXVCPU_X86_CR(2), AXVCPU_I_X86_F_CR2 },
        { AXVCPU_X86_CR(3), AXVCPU_I_X86_F_CR3 }, { AXVCPU_X86_CR(4), AXVCPU_I_X86_F_CR4 },
        { AXVCPU_X86_DR(6), AXVCPU_I_X86_F_DR6 }, { AXVCPU_X86_DR(7), AXVCPU_I_X86_F_DR7 },
        { AXVCPU_REG_SYS(AXVCPU_X86_MSR_EFER), AXVCPU_I_X86_F_EFER }, { AXVCPU_REG_SYS(0x277), AXVCPU_I_X86_F_PAT },
        { AXVCPU_REG_SYS(0x174), AXVCPU_I_X86_F_SYSENTER_CS }, { AXVCPU_REG_SYS(0x175), AXVCPU_I_X86_F_SYSENTER_ESP },
        { AXVCPU_REG_SYS(0x176), AXVCPU_I_X86_F_SYSENTER_EIP }, { AXVCPU_REG_SYS(0xc0000081), AXVCPU_I_X86_F_STAR },
        { AXVCPU_REG_SYS(0xc0000082), AXVCPU_I_X86_F_LSTAR }, { AXVCPU_REG_SYS(0xc0000083), AXVCPU_I_X86_F_CSTAR },
        { AXVCPU_REG_SYS(0xc0000084), AXVCPU_I_X86_F_SFMASK },
        { AXVCPU_REG_SYS(0xc0000102), AXVCPU_I_X86_F_KERNEL_GS_BASE },
        { AXVCPU_REG_SYS(0xc0000100), AXVCPU_I_X86_SEGMENT(FS, BASE) },
        { AXVCPU_REG_SYS(0xc0000101), AXVCPU_I_X86_SEGMENT(GS, BASE) },
    };
    size_t i;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (names[i].id == id)
            return names[i].field;
    }
    i = (size_t)(id - AXVCPU_X86_SEG(0, 0));
    if (AXVCPU_REG_CLASS(id) == 3 && i <= AXVCPU_I_X86_F_SEGMENTS_END)
        return i / 4 >= AXVCPU_X86_GDTR && i % 4 != AXVCPU_X86_BASE && i % 4 != AXVCPU_X86_LIMIT ? AXVCPU_I_X86_FIELDS :
                                                                                                    (uint32_t)i;
    return AXVCPU_I_X86_FIELDS;
}

/* What is kept here and nowhere else. */
static uint64_t *axvcpu_i_x86_own(struct axvcpu_arch *a, uint64_t id)
{
    if (id < AXVCPU_X86_GPRS)
        return &a->regs.gpr[id];
    if (id - AXVCPU_X86_DR(0) < 4) {
        if (axvcpu_i_x86_loaded(a))
            axvcpu_i_x86_dr_out(a);
        return a->dr_loaded ? NULL : &a->dr[id - AXVCPU_X86_DR(0)];
    }
    return id == AXVCPU_X86_XCR0 ? &a->control.xcr0 :
           id == AXVCPU_REG_SYS(AXVCPU_X86_MSR_TSC_AUX) ? &a->control.shadow[AXVCPU_X86_SHADOW_TSC_AUX] : NULL;
}

AXVCPU_API int axvcpu_leaf_get_reg(struct axvcpu *v, uint64_t id, uint64_t *value)
{
    struct axvcpu_arch *a = &v->arch;
    uint32_t f = axvcpu_i_x86_field_of(id);
    const uint64_t *own = axvcpu_i_x86_own(a, id);

    if (id == AXVCPU_X86_CR(8)) {
        *value = axvcpu_i_x86_cr8(a);
        return AXVCPU_OK;
    }
    if (f == AXVCPU_I_X86_FIELDS && own == NULL)
        return AXVCPU_ENOSUPPORT;
    *value = f != AXVCPU_I_X86_FIELDS ? axvcpu_i_x86_get_field(a, f) : *own;
    return AXVCPU_OK;
}

/* The host may set what the guest could, once CR4 allows it. */
static int axvcpu_i_x86_set_xcr0(struct axvcpu *v, uint64_t value)
{
    struct axvcpu_arch *a = &v->arch;
    struct axvcpu_x86_control c = a->control;

    c.cr4 = AXVCPU_X86_CR4_OSXSAVE;
    c.cpl = 0;
    if (axvcpu_x86_write_xcr(&c, 0, value) != 0)
        return AXVCPU_EINVAL;
    a->control.xcr0 = value;
    if (axvcpu_i_x86_loaded(a) && axvcpu_i_x86_xcr0_all != 0)
        axvcpu_i_x86_xsetbv(value);
    return AXVCPU_OK;
}

/* What it held back, or holds back now, is looked at by the next run. */
static int axvcpu_i_x86_host_sets_cr8(struct axvcpu *v, uint64_t value)
{
    if (value > 15)
        return axvcpu_i_say(AXVCPU_EINVAL, "set_reg: CR8 has four bits");
    axvcpu_i_x86_set_cr8(&v->arch, value);
    (void)AXVCPU_ATOMIC_FETCH_OR(&v->attn, AXVCPU_ATTN_IRQ);
    return AXVCPU_OK;
}

AXVCPU_API int axvcpu_leaf_set_reg(struct axvcpu *v, uint64_t id, uint64_t value)
{
    struct axvcpu_arch *a = &v->arch;
    uint32_t f = axvcpu_i_x86_field_of(id);
    uint64_t *own = axvcpu_i_x86_own(a, id);

    if (id == AXVCPU_X86_CR(8))
        return axvcpu_i_x86_host_sets_cr8(v, value);
    if (f == AXVCPU_I_X86_FIELDS && own == NULL)
        return AXVCPU_ENOSUPPORT;
    if (f != AXVCPU_I_X86_FIELDS)
        axvcpu_i_x86_put_field(a, f, f == AXVCPU_I_X86_F_RFLAGS ? value | AXVCPU_X86_FLAG_FIXED : value);
    else if (id == AXVCPU_X86_XCR0)
        return axvcpu_i_x86_set_xcr0(v, value);
    else
        *own = value;
    return AXVCPU_OK;
}

/* >>switch: exits */

static void axvcpu_i_x86_segment(void *arg, uint32_t segment, uint32_t *limit, uint32_t *access)
{
    struct axvcpu_arch *a = (struct axvcpu_arch *)arg;

    *limit = (uint32_t)axvcpu_i_x86_get_field(a, 4 * segment + AXVCPU_X86_LIMIT);
    *access = (uint32_t)axvcpu_i_x86_get_field(a, 4 * segment + AXVCPU_X86_ACCESS);
}

static void axvcpu_i_x86_space(struct axvcpu *v, struct axvcpu_x86_space *s)
{
    struct axvcpu_arch *a = &v->arch;
    uint32_t i;

    s->cr0 = AXVCPU_I_X86_GET(a, CR0);
    s->cr3 = AXVCPU_I_X86_GET(a, CR3);
    s->cr4 = AXVCPU_I_X86_GET(a, CR4);
    s->efer = AXVCPU_I_X86_GET(a, EFER);
    for (i = AXVCPU_X86_ES; i <= AXVCPU_X86_GS; i++)
        s->base[i] = axvcpu_i_x86_get_field(a, 4 * i + AXVCPU_X86_BASE);
    s->physical_mask = a->control.physical_mask;
    s->bits = axvcpu_x86_bits(s->cr0, s->efer, AXVCPU_I_X86_GET(a, RFLAGS),
                              (uint32_t)axvcpu_i_x86_get_field(a, AXVCPU_I_X86_SEGMENT(CS, ACCESS)));
    s->cpl = (s->cr0 & AXVCPU_X86_CR0_PE) == 0 ? 0 : axvcpu_i_x86_vendor->cpl(a);
    s->ptr = axvcpu_i_x86_ptr;
    s->segment = axvcpu_i_x86_segment;
    s->arg = a;
    (void)AXVCPU_I_X86_GET(a, RIP);
    (void)AXVCPU_I_X86_GET(a, RSP);
}

/* The decoder has worked on the registers in memory: all that it may have changed. */
static void axvcpu_i_x86_changed(struct axvcpu_arch *a)
{
    a->dirty |= AXVCPU_I_X86_BIT(AXVCPU_I_X86_F_RIP) | AXVCPU_I_X86_BIT(AXVCPU_I_X86_F_RSP) |
                AXVCPU_I_X86_BIT(AXVCPU_I_X86_F_RFLAGS);
}

/* An exception, instead of the instruction or after it. An interrupt or NMI that was to be injected comes again;
   two exceptions make a double fault, where they do. */
static void axvcpu_i_x86_raise(struct axvcpu_arch *a, uint32_t vector, uint32_t error)
{
    struct axvcpu *v = (struct axvcpu *)(void *)((char *)a - offsetof(struct axvcpu, arch));
    struct axvcpu_x86_event first = a->event;
    bool exception = AXVCPU_X86_EVENT_TYPE(first.info) == AXVCPU_X86_EVENT_EXCEPTION;

    if (first.info != 0 && AXVCPU_X86_EVENT_TYPE(first.info) == AXVCPU_X86_EVENT_INTERRUPT)
        (void)axvcpu_inject_interrupt(v, first.info & AXVCPU_X86_EVENT_VECTOR);
    if (first.info != 0 && AXVCPU_X86_EVENT_TYPE(first.info) == AXVCPU_X86_EVENT_NMI) {
        a->nmi_masked = false;
        (void)axvcpu_inject_nmi(v);
    }
    a->event = axvcpu_x86_exception(vector, error);
    if (first.info != 0 && exception)
        a->event = axvcpu_x86_combine(first, a->event);
    if (a->event.info == 0) /* a third fault: the CPU finds out with the second */
        a->event = first;
    a->dirty |= AXVCPU_I_X86_DO_EVENT | AXVCPU_I_X86_DO_CONTROLS;
    if ((a->event.info & AXVCPU_X86_EVENT_ERROR) != 0 && (AXVCPU_I_X86_GET(a, CR0) & AXVCPU_X86_CR0_PE) == 0)
        a->event.info &= ~AXVCPU_X86_EVENT_ERROR; /* real mode has none (SDM 3, 26.2.1.3) */
}

static void axvcpu_i_x86_irq(struct axvcpu *v);

/* #DB: who injects it does DR6 and DR7. What the CPU itself kept of it, in a shadow, is the same trap. */
static void axvcpu_i_x86_debug(struct axvcpu_arch *a, uint64_t dr6)
{
    AXVCPU_I_X86_PUT(a, DR6, dr6);
    AXVCPU_I_X86_PUT(a, DR7, AXVCPU_I_X86_GET(a, DR7) & ~(uint64_t)AXVCPU_X86_DR7_GD);
    if (a->vendor == AXVCPU_I_X86_VENDOR_VMX && axvcpu_i_x86_loaded(a))
        axvcpu_i_x86_vmwrite(0x6822, 0);
    axvcpu_i_x86_raise(a, 1, 0);
}

/* Single-stepping: after an instruction that is done, or after one element of a string (SDM 3, 18.3.1.4; APM 2,
   13.1.4). */
static void axvcpu_i_x86_trap(struct axvcpu_arch *a)
{
    axvcpu_i_x86_debug(a, AXVCPU_I_X86_GET(a, DR6) | AXVCPU_X86_DR6_BS);
}

/* As a field that is read after every instruction: in few words where it is in the CPU, which is where a vCPU is
   loaded that has it not. */
static uint64_t axvcpu_i_x86_flags(struct axvcpu_arch *a)
{
    const uint64_t bit = AXVCPU_I_X86_BIT(AXVCPU_I_X86_F_RFLAGS);

    if ((a->valid & bit) == 0 && a->vendor == AXVCPU_I_X86_VENDOR_VMX) {
        a->regs.rflags = axvcpu_i_x86_vmread(0x6820);
        a->valid |= bit;
    }
    return (a->valid & bit) != 0 ? a->regs.rflags : AXVCPU_I_X86_GET(a, RFLAGS);
}

static void axvcpu_i_x86_step_over(struct axvcpu_arch *a)
{
    uint64_t flags = axvcpu_i_x86_flags(a);

    if (AXVCPU_I_LIKELY((flags & (AXVCPU_X86_FLAG_RF | AXVCPU_X86_FLAG_TF)) == 0))
        return;
    AXVCPU_I_X86_PUT(a, RFLAGS, flags & ~(uint64_t)AXVCPU_X86_FLAG_RF);
    if ((flags & AXVCPU_X86_FLAG_TF) != 0 && !a->nmi_step)
        axvcpu_i_x86_trap(a);
}

/* Past an instruction that is done: its interrupt shadow and RF are over, too, and single-stepping sees it. */
static void axvcpu_i_x86_pass(struct axvcpu *v, uint32_t length)
{
    struct axvcpu_arch *a = &v->arch;
    uint64_t old = AXVCPU_I_X86_GET(a, RIP), rip = old + length;

    if ((rip ^ old) >> 32 != 0) {
        struct axvcpu_x86_space s;

        axvcpu_i_x86_space(v, &s);
        rip = s.bits == 64 ? rip : rip & UINT32_MAX;
    }
    AXVCPU_I_X86_PUT(a, RIP, rip);
    axvcpu_i_x86_step_over(a);
    if ((AXVCPU_I_X86_GET(a, SHADOW) & 3u) == 0)
        return;
    AXVCPU_I_X86_PUT(a, SHADOW, AXVCPU_I_X86_GET(a, SHADOW) & ~UINT64_C(3));
    if ((a->window & AXVCPU_I_X86_WINDOW_IRQ) != 0) /* it may have come; Bochs 2.7 overlooks that at VMRUN */
        axvcpu_i_x86_irq(v);
}

/* What was on its way when the exit came is injected again. To VMX its NMI has already begun, and an interrupt
   must not be in a shadow (SDM 3, 27.3.1.5). `unblock`: an IRET that faults has not ended an NMI. */
static void axvcpu_i_x86_resume_event(struct axvcpu_arch *a, const struct axvcpu_x86_left *l)
{
    bool svm = axvcpu_i_x86_vendor == &axvcpu_i_x86_svm;
    struct axvcpu_x86_event e = axvcpu_x86_again(l, svm);

    if (l->unblock)
        AXVCPU_I_X86_PUT(a, SHADOW, AXVCPU_I_X86_GET(a, SHADOW) | 8u);
    if (e.info == 0)
        return;
    a->event = e;
    a->dirty |= AXVCPU_I_X86_DO_EVENT;
    if (!svm && (AXVCPU_I_X86_GET(a, SHADOW) & 0xbu) != 0)
        AXVCPU_I_X86_PUT(a, SHADOW, AXVCPU_I_X86_GET(a, SHADOW) & ~UINT64_C(0xb));
}

AXVCPU_I_INLINE void axvcpu_i_x86_kind(struct axvcpu_exit *x, uint32_t kind, uint64_t raw)
{
    x->kind = kind;
    x->flags = 0;
    x->raw = raw;
}

/* The vector of a host interrupt, and whether it is a kick's, which is nobody else's business. Without a way
   to take it, it is still pending, and may be one if a kick waits. */
static uint32_t axvcpu_i_x86_fetch_irq(const struct axvcpu *v, bool *kick)
{
#ifdef AXVCPU_IRQ_FETCH
    uint32_t vector = AXVCPU_IRQ_FETCH();

    (void)v;
#ifdef AXVCPU_KICK_VECTOR
    *kick = vector == AXVCPU_KICK_VECTOR;
#else
    *kick = false;
#endif
    return vector;
#else
    *kick = axvcpu_attention(v);
    return AXVCPU_NO_VECTOR;
#endif
}

/* A host interrupt. *again: it was a kick's that nobody waits for any more. */
static int axvcpu_i_x86_interrupted(struct axvcpu *v, struct axvcpu_exit *x, const struct axvcpu_x86_left *l,
                                    bool *again)
{
    bool kick, done = false;
    uint32_t vector = axvcpu_i_x86_fetch_irq(v, &kick);
    int err = kick ? axvcpu_attend(v, x, &done) : AXVCPU_OK;

    if (err != 0 || done)
        return err;
    *again = kick && vector != AXVCPU_NO_VECTOR;
    axvcpu_i_x86_kind(x, AXVCPU_EXIT_EXTERNAL_INTERRUPT, l->raw);
    x->irq.vector = vector;
    return AXVCPU_OK;
}

/* The guest can take what it could not before. An interrupt that waited for this is in no attention word. */
static int axvcpu_i_x86_opened(struct axvcpu *v, struct axvcpu_exit *x, uint32_t window, bool *again)
{
    bool done = false;
    int err = AXVCPU_OK;

    v->arch.window &= (uint8_t)~window;
    v->arch.dirty |= AXVCPU_I_X86_DO_CONTROLS;
    if (axvcpu_attention(v))
        err = axvcpu_attend(v, x, &done);
    axvcpu_i_x86_irq(v);
    *again = err == 0 && !done;
    return err;
}

/* SVM says that IRET is about to end an NMI; it has done so one step later (APM 2, 15.20). VMX knows by
   itself. */
static int axvcpu_i_x86_nmi_ends(struct axvcpu *v, struct axvcpu_exit *x, bool *again)
{
    struct axvcpu_arch *a = &v->arch;

    if (axvcpu_i_x86_vendor != &axvcpu_i_x86_svm || !a->nmi_masked)
        return axvcpu_i_x86_opened(v, x, AXVCPU_I_X86_WINDOW_NMI, again);
    a->nmi_step = true;
    AXVCPU_I_X86_PUT(a, RFLAGS, AXVCPU_I_X86_GET(a, RFLAGS) | AXVCPU_X86_FLAG_TF);
    a->dirty |= AXVCPU_I_X86_DO_CONTROLS;
    *again = true;
    return AXVCPU_OK;
}

static void axvcpu_i_x86_host_nmi(void)
{
    if (axvcpu_i_x86_vendor != &axvcpu_i_x86_svm)
        __asm__ volatile("int $2" : : : "memory"); /* SVM leaves it to STGI */
}

/* It is the guest's alone. VMX leaves DR6 as it was and says what would be there (SDM 3, 28.2.1); INT1 has a type and a
   length of its own. */
static void axvcpu_i_x86_reflect(struct axvcpu_arch *a, const struct axvcpu_x86_left *l)
{
    uint32_t vector = l->event.info & AXVCPU_X86_EVENT_VECTOR;
    uint64_t dr6;

    if (vector == 1) {
        dr6 = AXVCPU_I_X86_GET(a, DR6);
        if (l->has_linear)
            dr6 = (dr6 & ~UINT64_C(15)) | (l->linear & (AXVCPU_X86_DR6_BS | 0x200fu));
        AXVCPU_I_X86_PUT(a, SHADOW, AXVCPU_I_X86_GET(a, SHADOW) & ~UINT64_C(3));
        axvcpu_i_x86_debug(a, dr6);
        if (AXVCPU_X86_EVENT_TYPE(l->event.info) != AXVCPU_X86_EVENT_EXCEPTION)
            a->event = l->event;
        return;
    }
    axvcpu_i_x86_raise(a, vector, l->event.error);
}

/* An exception that is not only the guest's: its first use of the FPU, the step behind an IRET, or the
   machine's. */
static int axvcpu_i_x86_exception(struct axvcpu *v, struct axvcpu_exit *x, const struct axvcpu_x86_left *l, bool *again)
{
    struct axvcpu_arch *a = &v->arch;
    uint32_t vector = l->event.info & AXVCPU_X86_EVENT_VECTOR;

    *again = true;
    axvcpu_i_x86_resume_event(a, l);
    if (vector == 7 && !a->fpu_loaded) {
        axvcpu_i_x86_fpu_in(a);
    } else if (vector == 1 && a->nmi_step) {
        a->nmi_step = a->nmi_masked = false;
        return axvcpu_i_x86_opened(v, x, AXVCPU_I_X86_WINDOW_NMI, again);
    } else if (vector == 18) {
        __asm__ volatile("int $18" : : : "memory");
    } else {
        axvcpu_i_x86_reflect(a, l);
    }
    return AXVCPU_OK;
}

/* >>switch: MMIO */

/* IPIs are the library's, unless the caller's devices do the APIC. */
static bool axvcpu_i_x86_has_icr(const struct axvcpu *v)
{
    return v->vm.vm == NULL || !v->vm.vm->arch.own_apic;
}

/* Whether the access in *x has sent an IPI, or says where the next one goes: then it is done, and *x is that exit,
   or NOTHING. */
static bool axvcpu_i_x86_sends(struct axvcpu *v, struct axvcpu_exit *x)
{
    struct axvcpu_arch *a = &v->arch;
    struct axvcpu_x86_space s;

    if (x->kind != AXVCPU_EXIT_MMIO_WRITE || !axvcpu_i_x86_has_icr(v) ||
        !axvcpu_x86_xapic(a->control.shadow[AXVCPU_X86_SHADOW_APIC_BASE], x->mmio.addr, x->mmio.width, x->mmio.data,
                          &a->icr_high, x))
        return false;
    axvcpu_i_x86_space(v, &s);
    (void)axvcpu_x86_mmio_commit(&a->mmio, &a->regs, &s, &v->access, x); /* the writing half: it cannot fail */
    axvcpu_i_x86_changed(a);
    axvcpu_i_x86_pass(v, 0);
    return true;
}

/* What the decoder has done, as an exit, an exception, or the next instruction. */
static void axvcpu_i_x86_stepped(struct axvcpu *v, struct axvcpu_exit *x, enum axvcpu_x86_mmio_step step, bool *again)
{
    struct axvcpu_arch *a = &v->arch;

    switch (step) {
    case AXVCPU_X86_MMIO_ACCESS:
        *again = axvcpu_i_x86_sends(v, x);
        if (*again)
            *again = x->kind == AXVCPU_EXIT_NOTHING;
        else
            axvcpu_await(v, x);
        break;
    case AXVCPU_X86_MMIO_FAULT:
        if (a->mmio.vector == 14)
            AXVCPU_I_X86_PUT(a, CR2, a->mmio.cr2);
        axvcpu_i_x86_raise(a, a->mmio.vector, a->mmio.error);
        break;
    case AXVCPU_X86_MMIO_DONE:
        axvcpu_i_x86_changed(a);
        axvcpu_i_x86_pass(v, 0);
        break;
    default: *again = false; break;
    }
}

static void axvcpu_i_x86_page_fault(struct axvcpu_exit *x, const struct axvcpu_x86_left *l)
{
    axvcpu_i_x86_kind(x, AXVCPU_EXIT_NESTED_PAGE_FAULT, l->raw);
    x->fault.addr = l->gpa;
    x->fault.access = l->access;
}

/* A data access of an instruction that can be had is MMIO; the rest is the host's to mend. */
static void axvcpu_i_x86_memory(struct axvcpu *v, struct axvcpu_exit *x, const struct axvcpu_x86_left *l, bool *again)
{
    bool data = (l->access & (AXVCPU_ACCESS_EXEC | AXVCPU_ACCESS_WALK)) == 0 && l->under_way.info == 0;
    bool write = (l->access & AXVCPU_ACCESS_WRITE) != 0;
    enum axvcpu_x86_mmio_step step = AXVCPU_X86_MMIO_UNDECODED;
    struct axvcpu_arch *a = &v->arch;
    uint8_t bytes[AXVCPU_X86_INSN_MAX];
    struct axvcpu_x86_space s;
    uint32_t size = 0;
    bool ours;

    axvcpu_i_x86_resume_event(a, l);
    axvcpu_i_x86_space(v, &s);
    axvcpu_i_x86_page_fault(x, l);
    axvcpu_i_x86_look(a);
    ours = axvcpu_i_x86_our_fault(a, l->gpa, l->access);
    if (!ours && data)
        size = axvcpu_x86_fetch(&s, &a->regs, bytes);
    if (size != 0)
        step = axvcpu_x86_mmio_begin(&a->mmio, &a->regs, &s, bytes, size, l->gpa, write, x);
    axvcpu_i_x86_looked(a);
    *again = ours || size != 0;
    if (size == 0)
        return;
    x->kind =
        step == AXVCPU_X86_MMIO_ACCESS || step == AXVCPU_X86_MMIO_UNDECODED ? x->kind : (uint32_t)AXVCPU_EXIT_NOTHING;
    axvcpu_i_x86_stepped(v, x, step, again);
}

/* >>switch: ports */

static uint64_t axvcpu_i_x86_mask(uint32_t bytes)
{
    return bytes >= 8 ? UINT64_MAX : (UINT64_C(1) << (8 * bytes)) - 1;
}

static uint64_t axvcpu_i_x86_merge_low(uint64_t old, uint64_t value, uint32_t bytes)
{
    return bytes == 4 ? value & UINT32_MAX : (old & ~axvcpu_i_x86_mask(bytes)) | (value & axvcpu_i_x86_mask(bytes));
}

/* A string's bytes from or to guest memory, of one or two pages; false: not all of it is there. */
static bool axvcpu_i_x86_copy(struct axvcpu_arch *a, const uint64_t gpa[2], void *buf, uint32_t bytes, bool in)
{
    uint32_t first = axvcpu_i_x86_in_page(gpa[0], bytes), i;
    uint32_t length[2] = { first, bytes - first };
    bool good = true;

    axvcpu_i_x86_look(a);
    for (i = 0; i < 2 && length[i] != 0 && good; i++) {
        char *at = (char *)axvcpu_i_x86_ptr(a, gpa[i], length[i], in), *here = (char *)buf + (size_t)i * first;

        good = at != NULL;
        if (good)
            AXVCPU_MEMCPY(in ? at : here, in ? here : at, length[i]);
    }
    axvcpu_i_x86_looked(a);
    return good;
}

/* A page of an element, for this access. */
static enum axvcpu_x86_walk axvcpu_i_x86_element_at(struct axvcpu *v, const struct axvcpu_x86_space *s, uint64_t linear,
                                                    uint32_t access, uint64_t *gpa)
{
    struct axvcpu_arch *a = &v->arch;
    enum axvcpu_x86_walk walk;
    uint32_t error;

    axvcpu_i_x86_look(a);
    walk = axvcpu_x86_walk(s, a->regs.rflags, linear, access, gpa, &error);
    if (walk == AXVCPU_X86_WALK_OK && axvcpu_i_x86_ptr(a, *gpa, 1, access == AXVCPU_ACCESS_WRITE) == NULL)
        walk = AXVCPU_X86_WALK_LOST;
    axvcpu_i_x86_looked(a);
    if (walk == AXVCPU_X86_WALK_FAULT) {
        AXVCPU_I_X86_PUT(a, CR2, linear);
        axvcpu_i_x86_raise(a, 14, error);
    }
    return walk;
}

/* Where the next element of a string is, and how many bytes of it are on that page; 0: an exception, or *x says what.
   One that crosses a page is on both before a device hears of it. */
static uint32_t axvcpu_i_x86_element(struct axvcpu *v, struct axvcpu_exit *x, const struct axvcpu_x86_space *s)
{
    struct axvcpu_arch *a = &v->arch;
    bool in = (a->io.flags & AXVCPU_X86_IO_IN) != 0;
    uint64_t offset = a->regs.gpr[in ? AXVCPU_X86_RDI : AXVCPU_X86_RSI] & axvcpu_i_x86_mask(a->io.address_width);
    uint64_t linear = axvcpu_i_x86_linear(s, a->io.segment, offset), mask = s->bits == 64 ? UINT64_MAX : UINT32_MAX;
    uint32_t room = axvcpu_i_x86_in_page(linear, 0x1000), i;
    enum axvcpu_x86_walk walk = AXVCPU_X86_WALK_OK;

    if ((s->bits == 64 && !axvcpu_i_x86_canonical(linear, s->cr4)) ||
        !axvcpu_i_x86_segment_ok(s, a->io.segment, offset, a->io.width, in)) {
        axvcpu_i_x86_raise(a, a->io.segment == AXVCPU_X86_SS ? 12 : 13, 0);
        return 0;
    }
    for (i = 0; i < (room < a->io.width ? 2u : 1u) && walk == AXVCPU_X86_WALK_OK; i++, linear = (linear + room) & mask)
        walk = axvcpu_i_x86_element_at(v, s, linear, in ? AXVCPU_ACCESS_WRITE : AXVCPU_ACCESS_READ, &a->string[i]);
    if (walk == AXVCPU_X86_WALK_LOST) {
        axvcpu_i_x86_kind(x, AXVCPU_EXIT_UNDECODED, x->raw);
        x->undecoded.addr = (linear - room) & mask;
        x->undecoded.insn_len = 0;
    }
    return walk == AXVCPU_X86_WALK_OK ? room : 0;
}

/* As many elements as are left, and are on this page and in the buffer; downwards, or in single steps, one by one. */
static uint32_t axvcpu_i_x86_elements(const struct axvcpu_arch *a, uint32_t room)
{
    uint64_t left = (a->io.flags & AXVCPU_X86_IO_REP) == 0 ? 1 :
                    a->regs.gpr[AXVCPU_X86_RCX] & axvcpu_i_x86_mask(a->io.address_width);
    uint32_t most =
        (a->regs.rflags & (AXVCPU_X86_FLAG_DF | AXVCPU_X86_FLAG_TF)) != 0 ? 1 : (uint32_t)sizeof(a->buf) / a->io.width;

    most = room < most ? room : most;
    return left < most ? (uint32_t)left : most;
}

static bool axvcpu_i_x86_string(struct axvcpu *v, struct axvcpu_exit *x)
{
    struct axvcpu_arch *a = &v->arch;
    struct axvcpu_x86_space s;
    uint32_t room;

    axvcpu_i_x86_space(v, &s);
    if (a->io.address_width == 0) /* QEMU's SVM does not tell */
        a->io.address_width = (uint8_t)(s.bits / 8);
    if ((a->io.flags & AXVCPU_X86_IO_REP) != 0 &&
        (a->regs.gpr[AXVCPU_X86_RCX] & axvcpu_i_x86_mask(a->io.address_width)) == 0) {
        axvcpu_i_x86_pass(v, a->step);
        return true;
    }
    room = axvcpu_i_x86_element(v, x, &s);
    if (room == 0)
        return x->kind == AXVCPU_EXIT_NOTHING;
    x->io.count = axvcpu_i_x86_elements(a, room < a->io.width ? 1 : room / a->io.width);
    if ((a->io.flags & AXVCPU_X86_IO_IN) == 0) /* gone since a moment ago: again */
        return !axvcpu_i_x86_copy(a, a->string, a->buf, x->io.count * a->io.width, false);
    return false;
}

/* True: nothing for the caller in it. */
static bool axvcpu_i_x86_io(struct axvcpu *v, struct axvcpu_exit *x, const struct axvcpu_x86_left *l)
{
    struct axvcpu_arch *a = &v->arch;
    bool in = (l->io.flags & AXVCPU_X86_IO_IN) != 0, string = (l->io.flags & AXVCPU_X86_IO_STRING) != 0;
    uint64_t first = 0;

    a->io = l->io;
    a->step = l->length;
    axvcpu_i_x86_kind(x, AXVCPU_EXIT_NOTHING, l->raw);
    x->io.count = 1;
    if (!string)
        AXVCPU_MEMCPY(a->buf, &a->regs.gpr[AXVCPU_X86_RAX], 4);
    else if (axvcpu_i_x86_string(v, x))
        return true;
    else if (x->kind != AXVCPU_EXIT_NOTHING)
        return false;
    AXVCPU_MEMCPY(&first, a->buf, a->io.width);
    x->kind = in ? AXVCPU_EXIT_IO_READ : AXVCPU_EXIT_IO_WRITE;
    x->io.buf = a->buf;
    x->io.data = in ? 0 : first;
    x->io.port = l->io.port;
    x->io.width = l->io.width;
    axvcpu_await(v, x);
    v->access.count = x->io.count;
    return false;
}

/* A string's registers move on; past the instruction when the count is done. */
static void axvcpu_i_x86_io_string(struct axvcpu *v)
{
    struct axvcpu_arch *a = &v->arch;
    bool in = (a->io.flags & AXVCPU_X86_IO_IN) != 0;
    uint32_t index = in ? AXVCPU_X86_RDI : AXVCPU_X86_RSI, bytes = v->access.count * a->io.width;
    uint64_t *rcx = &a->regs.gpr[AXVCPU_X86_RCX], *at = &a->regs.gpr[index];
    bool down = (AXVCPU_I_X86_GET(a, RFLAGS) & AXVCPU_X86_FLAG_DF) != 0, done = true;

    if (in && v->access.refused)
        AXVCPU_MEMSET(a->buf, 0xff, bytes);
    else if (in && v->access.count == 1)
        AXVCPU_MEMCPY(a->buf, &v->access.value, a->io.width);
    if (in) /* memory that was unmapped meanwhile has no use for it */
        (void)axvcpu_i_x86_copy(a, a->string, a->buf, bytes, true);
    *at = axvcpu_i_x86_merge_low(*at, down ? *at - bytes : *at + bytes, a->io.address_width);
    if ((a->io.flags & AXVCPU_X86_IO_REP) != 0) {
        *rcx = axvcpu_i_x86_merge_low(*rcx, *rcx - v->access.count, a->io.address_width);
        done = (*rcx & axvcpu_i_x86_mask(a->io.address_width)) == 0;
    }
    axvcpu_i_x86_pass(v, done ? a->step : 0);
}

/* >>switch: the processor's own registers */

static void axvcpu_i_x86_set_pair(struct axvcpu_arch *a, uint64_t value)
{
    a->regs.gpr[AXVCPU_X86_RAX] = (uint32_t)value;
    a->regs.gpr[AXVCPU_X86_RDX] = value >> 32;
}

static uint64_t axvcpu_i_x86_pair(const struct axvcpu_arch *a)
{
    return (uint64_t)(uint32_t)a->regs.gpr[AXVCPU_X86_RDX] << 32 | (uint32_t)a->regs.gpr[AXVCPU_X86_RAX];
}

/* What rules are about, as the guest sees it; and back, what they have changed. */
static void axvcpu_i_x86_control_in(struct axvcpu_arch *a)
{
    struct axvcpu_x86_control *c = &a->control;

    c->cr0 = AXVCPU_I_X86_GET(a, CR0);
    c->cr3 = AXVCPU_I_X86_GET(a, CR3);
    c->cr4 = AXVCPU_I_X86_GET(a, CR4);
    c->cr8 = axvcpu_i_x86_cr8(a);
    c->efer = AXVCPU_I_X86_GET(a, EFER);
    c->cs_access = (uint32_t)axvcpu_i_x86_get_field(a, AXVCPU_I_X86_SEGMENT(CS, ACCESS));
    c->cpl = (c->cr0 & AXVCPU_X86_CR0_PE) == 0 ? 0 : axvcpu_i_x86_vendor->cpl(a);
}

static void axvcpu_i_x86_control_out(struct axvcpu_arch *a)
{
    const struct axvcpu_x86_control *c = &a->control;
    const struct { uint64_t value; uint32_t field; } all[] = {
        { c->cr0, AXVCPU_I_X86_F_CR0 }, { c->cr3, AXVCPU_I_X86_F_CR3 }, { c->cr4, AXVCPU_I_X86_F_CR4 },
        { c->efer, AXVCPU_I_X86_F_EFER },
    };
    size_t i;

    for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (axvcpu_i_x86_get_field(a, all[i].field) != all[i].value)
            axvcpu_i_x86_put_field(a, all[i].field, all[i].value);
    }
}

static void axvcpu_i_x86_answer_cpuid(struct axvcpu *v, uint32_t length)
{
    struct axvcpu_arch *a = &v->arch;
    uint32_t reg[4];

    a->control.cr4 = AXVCPU_I_X86_GET(a, CR4);
    axvcpu_i_x86_guest_cpuid(v, (uint32_t)a->regs.gpr[AXVCPU_X86_RAX], (uint32_t)a->regs.gpr[AXVCPU_X86_RCX], reg);
    a->regs.gpr[AXVCPU_X86_RAX] = reg[0];
    a->regs.gpr[AXVCPU_X86_RBX] = reg[1];
    a->regs.gpr[AXVCPU_X86_RCX] = reg[2];
    a->regs.gpr[AXVCPU_X86_RDX] = reg[3];
    axvcpu_i_x86_pass(v, length);
}

/* A rule's verdict: the next instruction, or a fault. */
static void axvcpu_i_x86_verdict(struct axvcpu *v, int fault, uint32_t length)
{
    if (fault != 0) {
        axvcpu_i_x86_raise(&v->arch, (uint32_t)fault, 0);
        return;
    }
    axvcpu_i_x86_control_out(&v->arch);
    axvcpu_i_x86_pass(v, length);
}

/* PAE's four entries are in registers of the CPU, which it loads when CR0, CR3 or CR4 are written: now we do. */
static bool axvcpu_i_x86_load_pdptes(struct axvcpu_arch *a, uint64_t cr3)
{
    uint64_t gpa[2] = { cr3 & 0xffffffe0u, 0 }, pdptes[4];

    if (!axvcpu_i_x86_copy(a, gpa, pdptes, sizeof(pdptes), false) ||
        !axvcpu_x86_pdptes_valid(pdptes, a->control.physical_mask))
        return false;
    axvcpu_i_x86_vendor->pdptes(a, pdptes);
    return true;
}

/* SVM exits for CR0 as long as the FPU is not the guest's: the first look makes it so, and after that the
   hardware has the rules. And for writes of CR8, while an interrupt waits for one. */
static void axvcpu_i_x86_cr(struct axvcpu *v, const struct axvcpu_x86_left *l)
{
    struct axvcpu_arch *a = &v->arch;
    struct axvcpu_x86_space s;
    uint64_t old[4] = { AXVCPU_I_X86_GET(a, CR0), AXVCPU_I_X86_GET(a, CR3), AXVCPU_I_X86_GET(a, CR4), 0 };
    int fault;

    if (axvcpu_i_x86_vendor == &axvcpu_i_x86_svm && l->cr.nr != 8) {
        axvcpu_i_x86_fpu_in(a);
        return;
    }
    axvcpu_i_x86_space(v, &s);
    axvcpu_i_x86_control_in(a);
    fault = axvcpu_x86_do_cr(&a->control, &a->regs, &l->cr, s.bits);
    if (fault == 0 && l->cr.nr != 8 && l->cr.op != AXVCPU_X86_CR_FROM) {
        struct axvcpu_x86_control before = a->control;
        uint64_t now = l->cr.nr == 0 ? a->control.cr0 : l->cr.nr == 3 ? a->control.cr3 : a->control.cr4;

        before.cr0 = old[0], before.cr3 = old[1], before.cr4 = old[2];
        if (axvcpu_x86_needs_pdptes(&before, l->cr.nr, now) && !axvcpu_i_x86_load_pdptes(a, a->control.cr3))
            fault = AXVCPU_I_X86_GP;
    }
    if (fault != 0)
        a->control.cr0 = old[0], a->control.cr3 = old[1], a->control.cr4 = old[2];
    if (l->cr.op == AXVCPU_X86_CR_FROM) /* it may have been into RSP */
        a->dirty |= AXVCPU_I_X86_BIT(AXVCPU_I_X86_F_RSP);
    axvcpu_i_x86_verdict(v, fault, l->length);
    if (fault == 0 && l->cr.nr == 8 && l->cr.op == AXVCPU_X86_CR_TO) {
        axvcpu_i_x86_set_cr8(a, a->control.cr8);
        axvcpu_i_x86_irq(v);
    }
}

static void axvcpu_i_x86_guest_xsetbv(struct axvcpu *v, uint32_t length)
{
    struct axvcpu_arch *a = &v->arch;
    int fault;

    axvcpu_i_x86_control_in(a);
    fault = axvcpu_x86_write_xcr(&a->control, (uint32_t)a->regs.gpr[AXVCPU_X86_RCX], axvcpu_i_x86_pair(a));
    if (fault == 0)
        axvcpu_i_x86_xsetbv(a->control.xcr0);
    axvcpu_i_x86_verdict(v, fault, length);
}

static void axvcpu_i_x86_hypercall(struct axvcpu *v, struct axvcpu_exit *x, const struct axvcpu_x86_left *l)
{
    const uint64_t *gpr = v->arch.regs.gpr;
    struct axvcpu_i_x86_left left = { gpr[AXVCPU_X86_RBX], gpr[AXVCPU_X86_RCX], gpr[AXVCPU_X86_RDX],
                                      gpr[AXVCPU_X86_RSI], gpr[AXVCPU_X86_RDI], 0, NULL };

    axvcpu_i_x86_pass(v, l->length);
    (void)axvcpu_i_x86_called(&v->arch, x, &left, l->raw);
}

static uint64_t axvcpu_i_x86_rdtsc(void)
{
    uint32_t low, high;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

/* The time-stamp counter, and what was added to it; those that are fields, where they exit all the same. */
static void axvcpu_i_x86_hardware_msr(struct axvcpu_arch *a, uint32_t msr, bool write, uint64_t *value)
{
    uint32_t f = axvcpu_i_x86_field_of(AXVCPU_REG_SYS(msr));
    uint64_t base = msr == 0x10 ? axvcpu_i_x86_rdtsc() : 0;

    if (f != AXVCPU_I_X86_FIELDS) {
        if (write)
            axvcpu_i_x86_put_field(a, f, *value);
        else
            *value = axvcpu_i_x86_get_field(a, f);
    } else if (write) {
        a->tsc_offset = *value - base;
        a->dirty |= AXVCPU_I_X86_DO_CONTROLS;
    } else {
        *value = base + a->tsc_offset;
    }
}

/* By the rules; AXVCPU_X86_ASK: whoever has devices is asked. */
static int axvcpu_i_x86_rule_msr(struct axvcpu_arch *a, uint32_t msr, bool write, uint64_t *value)
{
    int how;

    axvcpu_i_x86_control_in(a);
    how = write ? axvcpu_x86_write_msr(&a->control, msr, *value) : axvcpu_x86_read_msr(&a->control, msr, value);
    if (how != AXVCPU_X86_HARDWARE)
        return how;
    axvcpu_i_x86_hardware_msr(a, msr, write, value);
    return 0;
}

/* True: served here. */
static bool axvcpu_i_x86_msr(struct axvcpu *v, struct axvcpu_exit *x, const struct axvcpu_x86_left *l)
{
    struct axvcpu_arch *a = &v->arch;
    uint32_t msr = (uint32_t)a->regs.gpr[AXVCPU_X86_RCX];
    bool write = l->cause == AXVCPU_X86_CAUSE_WRMSR;
    uint64_t value = axvcpu_i_x86_pair(a);
    int how = axvcpu_i_x86_rule_msr(a, msr, write, &value);

    if (how != AXVCPU_X86_ASK) {
        if (how == 0 && !write)
            axvcpu_i_x86_set_pair(a, value);
        axvcpu_i_x86_verdict(v, how, l->length);
        return true;
    }
    axvcpu_i_x86_kind(x, write ? AXVCPU_EXIT_SYSREG_WRITE : AXVCPU_EXIT_SYSREG_READ, l->raw);
    if (write && msr == AXVCPU_X86_MSR_X2APIC_ICR && axvcpu_i_x86_has_icr(v)) { /* SDM 3, 11.12.9 */
        axvcpu_x86_icr(value, true, x);
        axvcpu_i_x86_pass(v, l->length);
        return false;
    }
    a->step = l->length;
    x->sysreg.addr = msr;
    x->sysreg.value = value;
    x->sysreg.reg = AXVCPU_REG_NONE; /* EDX:EAX */
    axvcpu_await(v, x);
    return false;
}

/* >>switch: run */

/* The slice is over, or one PAUSE too many was met: length 0, or that of the PAUSE. */
static void axvcpu_i_x86_timer(struct axvcpu *v, struct axvcpu_exit *x, const struct axvcpu_x86_left *l)
{
    if (l->length != 0)
        axvcpu_i_x86_pass(v, l->length);
    if (v->arch.timed)
        axvcpu_i_x86_vmx_slice(&v->arch);
    axvcpu_i_x86_kind(x, AXVCPU_EXIT_TIMER, l->raw);
}

static int axvcpu_i_x86_served(struct axvcpu *v, struct axvcpu_exit *x, const struct axvcpu_x86_left *l, bool *again)
{
    struct axvcpu_arch *a = &v->arch;

    *again = true;
    switch (l->cause) {
    case AXVCPU_X86_CAUSE_HOST_NMI: axvcpu_i_x86_host_nmi(); return AXVCPU_OK;
    case AXVCPU_X86_CAUSE_EXCEPTION: return axvcpu_i_x86_exception(v, x, l, again);
    case AXVCPU_X86_CAUSE_WINDOW: return axvcpu_i_x86_opened(v, x, AXVCPU_I_X86_WINDOW_IRQ, again);
    case AXVCPU_X86_CAUSE_NMI_WINDOW: return axvcpu_i_x86_nmi_ends(v, x, again);
    case AXVCPU_X86_CAUSE_CPUID: axvcpu_i_x86_answer_cpuid(v, l->length); return AXVCPU_OK;
    case AXVCPU_X86_CAUSE_CR: axvcpu_i_x86_cr(v, l); return AXVCPU_OK;
    case AXVCPU_X86_CAUSE_DR: axvcpu_i_x86_dr_in(a); return AXVCPU_OK;
    case AXVCPU_X86_CAUSE_XSETBV: axvcpu_i_x86_guest_xsetbv(v, l->length); return AXVCPU_OK;
    case AXVCPU_X86_CAUSE_CACHE: axvcpu_i_x86_pass(v, l->length); return AXVCPU_OK;
    case AXVCPU_X86_CAUSE_RDPMC: axvcpu_i_x86_raise(a, 13, 0); return AXVCPU_OK;
    case AXVCPU_X86_CAUSE_MONITOR:
    case AXVCPU_X86_CAUSE_MWAIT:
    case AXVCPU_X86_CAUSE_UNDEFINED: axvcpu_i_x86_raise(a, 6, 0); return AXVCPU_OK;
    case AXVCPU_X86_CAUSE_IO: *again = axvcpu_i_x86_io(v, x, l); return AXVCPU_OK;
    case AXVCPU_X86_CAUSE_RDMSR:
    case AXVCPU_X86_CAUSE_WRMSR: *again = axvcpu_i_x86_msr(v, x, l); return AXVCPU_OK;
    default: *again = false; break;
    }
    switch (l->cause) {
    case AXVCPU_X86_CAUSE_INTERRUPT: axvcpu_i_x86_resume_event(a, l); return axvcpu_i_x86_interrupted(v, x, l, again);
    case AXVCPU_X86_CAUSE_MEMORY: axvcpu_i_x86_memory(v, x, l, again); return AXVCPU_OK;
    case AXVCPU_X86_CAUSE_MISCONFIG: axvcpu_i_x86_page_fault(x, l); return AXVCPU_OK;
    case AXVCPU_X86_CAUSE_PAUSE:
    case AXVCPU_X86_CAUSE_TIMER: axvcpu_i_x86_timer(v, x, l); return AXVCPU_OK;
    case AXVCPU_X86_CAUSE_SHUTDOWN: axvcpu_i_x86_kind(x, AXVCPU_EXIT_SHUTDOWN, l->raw); return AXVCPU_OK;
    case AXVCPU_X86_CAUSE_HYPERCALL: axvcpu_i_x86_hypercall(v, x, l); return AXVCPU_OK;
    case AXVCPU_X86_CAUSE_HLT:
        axvcpu_i_x86_pass(v, l->length);
        a->opens =
            (AXVCPU_I_X86_GET(a, RFLAGS) & AXVCPU_X86_FLAG_IF) == 0 ? 256 : axvcpu_x86_lowest(axvcpu_i_x86_cr8(a));
        axvcpu_i_x86_kind(x, AXVCPU_EXIT_HALT, l->raw);
        return AXVCPU_OK;
    case AXVCPU_X86_CAUSE_INVALID:
        axvcpu_i_x86_kind(x, AXVCPU_EXIT_FAIL_ENTRY, l->raw);
        x->fail.reason = l->fail;
        return AXVCPU_OK;
    default: axvcpu_i_x86_kind(x, AXVCPU_EXIT_RAW, l->raw); return AXVCPU_OK;
    }
}

static uint64_t axvcpu_i_x86_reenter(struct axvcpu_arch *a)
{
    struct axvcpu_i_x86_left left;

    if (a->vendor == AXVCPU_I_X86_VENDOR_VMX) {
        (void)axvcpu_i_x86_enter_vmx(a, &left);
        return left.reason;
    }
    axvcpu_i_x86_before(a);
    (void)axvcpu_i_x86_switch_svm(a, &left);
    axvcpu_i_x86_after(a);
    AXVCPU_I_X86_VMCB32(a, 0xc0) = AXVCPU_I_X86_VMCB_ALL_CLEAN;
    return AXVCPU_I_X86_VMCB64(a, 0x70);
}

/* So many exceptions, and no other exit: it may be for ever, and #DB goes before an interrupt of the host's. It gets
   the CPU to look for one. */
#define AXVCPU_I_X86_STORM 64u

AXVCPU_API int axvcpu_i_x86_slowly(struct axvcpu *v, struct axvcpu_exit *x, uint64_t raw)
{
    struct axvcpu_x86_left l;
    uint32_t exceptions = 0;
    bool again;
    int err;

    for (;;) {
        axvcpu_i_x86_vendor->left(v, raw, &l);
        err = axvcpu_i_x86_served(v, x, &l, &again);
        if (err == 0 && again && l.cause == AXVCPU_X86_CAUSE_EXCEPTION && ++exceptions == AXVCPU_I_X86_STORM) {
            axvcpu_i_x86_kind(x, AXVCPU_EXIT_EXTERNAL_INTERRUPT, raw);
            x->irq.vector = AXVCPU_NO_VECTOR;
            again = false;
        }
        /* The window may be open; Bochs 2.7 overlooks a virtual interrupt that VMRUN finds with IF on. */
        if (v->arch.vendor == AXVCPU_I_X86_VENDOR_SVM && (v->arch.window & AXVCPU_I_X86_WINDOW_IRQ) != 0)
            axvcpu_i_x86_irq(v);
        if (err != 0 || !again)
            return err;
        raw = axvcpu_i_x86_reenter(&v->arch);
    }
}

/* >>switch: answers */

static void axvcpu_i_x86_commit_read(struct axvcpu *v)
{
    struct axvcpu_arch *a = &v->arch;

    a->regs.gpr[AXVCPU_X86_RAX] = axvcpu_access_result(&v->access, a->regs.gpr[AXVCPU_X86_RAX]);
    axvcpu_i_x86_pass(v, a->step);
}

static void axvcpu_i_x86_commit_msr(struct axvcpu *v)
{
    struct axvcpu_arch *a = &v->arch;

    if (v->access.refused) {
        axvcpu_i_x86_raise(a, 13, 0);
        return;
    }
    if (v->access.kind == AXVCPU_EXIT_SYSREG_READ)
        axvcpu_i_x86_set_pair(a, v->access.value);
    axvcpu_i_x86_pass(v, a->step);
}

static void axvcpu_i_x86_commit_cpuid(struct axvcpu *v)
{
    struct axvcpu_arch *a = &v->arch;

    a->regs.gpr[AXVCPU_X86_RAX] = v->access.cpuid[0];
    a->regs.gpr[AXVCPU_X86_RBX] = v->access.cpuid[1];
    a->regs.gpr[AXVCPU_X86_RCX] = v->access.cpuid[2];
    a->regs.gpr[AXVCPU_X86_RDX] = v->access.cpuid[3];
    axvcpu_i_x86_pass(v, a->step);
}

static void axvcpu_i_x86_commit_mmio(struct axvcpu *v, struct axvcpu_exit *x)
{
    struct axvcpu_arch *a = &v->arch;
    enum axvcpu_x86_mmio_step step;
    struct axvcpu_x86_space s;
    bool again = true;

    axvcpu_i_x86_space(v, &s);
    axvcpu_i_x86_kind(x, AXVCPU_EXIT_NOTHING, x->raw);
    axvcpu_i_x86_look(a);
    step = axvcpu_x86_mmio_commit(&a->mmio, &a->regs, &s, &v->access, x);
    axvcpu_i_x86_looked(a);
    axvcpu_i_x86_stepped(v, x, step, &again);
}

AXVCPU_API int axvcpu_i_x86_commit(struct axvcpu *v, struct axvcpu_exit *x)
{
    switch (v->access.kind) {
    case AXVCPU_EXIT_MMIO_READ:
    case AXVCPU_EXIT_MMIO_WRITE: axvcpu_i_x86_commit_mmio(v, x); break;
    case AXVCPU_EXIT_IO_READ:
        if ((v->arch.io.flags & AXVCPU_X86_IO_STRING) != 0)
            axvcpu_i_x86_io_string(v);
        else
            axvcpu_i_x86_commit_read(v);
        break;
    case AXVCPU_EXIT_IO_WRITE:
        if ((v->arch.io.flags & AXVCPU_X86_IO_STRING) != 0)
            axvcpu_i_x86_io_string(v);
        else
            axvcpu_i_x86_pass(v, v->arch.step);
        break;
    case AXVCPU_EXIT_CPUID: axvcpu_i_x86_commit_cpuid(v); break;
    default: axvcpu_i_x86_commit_msr(v); break;
    }
    return AXVCPU_OK;
}

/* The PC is still on the instruction, and nothing has been written. */
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

/* >>switch: interrupts */

static bool axvcpu_i_x86_can_take(struct axvcpu_arch *a)
{
    return a->event.info == 0 && (AXVCPU_I_X86_GET(a, RFLAGS) & AXVCPU_X86_FLAG_IF) != 0 &&
           (AXVCPU_I_X86_GET(a, SHADOW) & 3u) == 0;
}

static void axvcpu_i_x86_inject(struct axvcpu_arch *a, uint32_t info)
{
    a->event.info = info;
    a->event.error = a->event.length = 0;
    a->dirty |= AXVCPU_I_X86_DO_EVENT;
}

static void axvcpu_i_x86_want(struct axvcpu_arch *a, uint32_t window, bool wanted)
{
    uint8_t now = (uint8_t)((a->window & ~window) | (wanted ? window : 0));

    if (now == a->window)
        return;
    a->window = now;
    a->dirty |= AXVCPU_I_X86_DO_CONTROLS;
}

/* True: it waits. */
static bool axvcpu_i_x86_nmi(struct axvcpu_arch *a)
{
    bool ready = a->event.info == 0 && !axvcpu_i_x86_vendor->nmi_masked(a) && (AXVCPU_I_X86_GET(a, SHADOW) & 3u) == 0;

    if (ready) {
        axvcpu_i_x86_inject(a, AXVCPU_X86_EVENT(NMI, 2));
        a->nmi_masked = true;
        a->dirty |= AXVCPU_I_X86_DO_CONTROLS;
    }
    axvcpu_i_x86_want(a, AXVCPU_I_X86_WINDOW_NMI, !ready);
    return !ready;
}

/* One at a time; as long as there are more the guest is left when it can take the next: at a window, or when it
   lowers CR8. That is all: until then no run needs to look. */
static void axvcpu_i_x86_irq(struct axvcpu *v)
{
    int vector = axvcpu_irq_next(v), lowest = (int)axvcpu_x86_lowest(axvcpu_i_x86_cr8(&v->arch));

    if (vector >= lowest && axvcpu_i_x86_can_take(&v->arch)) {
        axvcpu_i_x86_inject(&v->arch, AXVCPU_X86_EVENT(INTERRUPT, (uint32_t)vector));
        axvcpu_irq_take(v, (uint32_t)vector);
        vector = axvcpu_irq_next(v);
    }
    axvcpu_i_x86_want(&v->arch, AXVCPU_I_X86_WINDOW_IRQ, vector >= lowest);
    axvcpu_i_x86_want(&v->arch, AXVCPU_I_X86_WINDOW_CR8, vector >= 0 && vector < lowest);
}

AXVCPU_API int axvcpu_leaf_inject(struct axvcpu *v, uint32_t *what)
{
    int err = axvcpu_i_x86_loaded(&v->arch) ? AXVCPU_OK : axvcpu_i_x86_load(v); /* evicted */
    uint32_t left = 0;

    if (err != 0)
        return err;
    if ((*what & AXVCPU_ATTN_NMI) != 0)
        left |= axvcpu_i_x86_nmi(&v->arch) ? AXVCPU_ATTN_NMI : 0;
    if ((*what & AXVCPU_ATTN_IRQ) != 0)
        axvcpu_i_x86_irq(v);
    *what = left;
    return AXVCPU_OK;
}

AXVCPU_API int axvcpu_leaf_inject_exception(struct axvcpu *v, uint32_t vector, uint64_t error, uint64_t addr)
{
    struct axvcpu_arch *a = &v->arch;

    if (vector > 31 || vector == 2)
        return axvcpu_i_say(AXVCPU_EINVAL, "inject_exception: no such exception");
    if (vector == 14)
        AXVCPU_I_X86_PUT(a, CR2, addr);
    axvcpu_i_x86_raise(a, vector, (uint32_t)error);
    return AXVCPU_OK;
}

AXVCPU_API int axvcpu_leaf_inject_hw(struct axvcpu *v, uint32_t vintid, uint32_t pintid)
{
    (void)v, (void)vintid, (void)pintid;
    return AXVCPU_ENOSUPPORT;
}

/* Others may ask while it sleeps: then it is what it was at its HALT. */
AXVCPU_API bool axvcpu_leaf_wakes(const struct axvcpu *v, bool queued)
{
    const volatile uint32_t *opens = &v->arch.opens;

    return v->arch.event.info != 0 || (queued && axvcpu_irq_next(v) >= (int)*opens);
}

AXVCPU_API void axvcpu_leaf_kick(struct axvcpu *v, void *owner)
{
    (void)v;
    if (owner != AXVCPU_CPU_TOKEN()) /* this CPU is not in a guest */
        AXVCPU_SEND_KICK(owner);
}

/* >>percpu */

/* Which vendor's, if any: CPUID, and whether the firmware has locked it (APM 2, 15.4; SDM 3, 24.7). */
static bool axvcpu_i_x86_has_svm(void)
{
    uint32_t r[4];

    axvcpu_i_x86_cpuid(0x80000000u, 0, r);
    if (r[0] < 0x8000000au)
        return false;
    axvcpu_i_x86_cpuid(0x80000001u, 0, r);
    if ((r[2] & 1u << 2) == 0 || (axvcpu_i_x86_rdmsr(AXVCPU_I_X86_MSR_VM_CR) & 0x10u) != 0)
        return false;
    axvcpu_i_x86_cpuid(0x8000000au, 0, r);
    return (r[3] & 1u) != 0; /* nested paging */
}

/* Vector state is switched as far as a page has room for it. What else the host has - AMX - no guest can touch. */
static void axvcpu_i_x86_look_around(void)
{
    struct axvcpu_x86_control c;
    uint32_t r[4];

    axvcpu_i_x86_cpuid(0, 0, r);
    if (r[0] < 0xd)
        return;
    axvcpu_i_x86_cpuid(1, 0, r);
    if ((r[2] & 1u << 26) == 0)
        return;
    axvcpu_x86_control_valid(&c, axvcpu_i_x86_host_cpuid, NULL);
    axvcpu_i_x86_xcr0_all = axvcpu_x86_xcr0_within(&c, AXVM_LEAF_PAGE);
}

AXVCPU_API bool axvcpu_leaf_supported(void)
{
    if (axvcpu_i_x86_vendor != NULL)
        return true;
    axvcpu_i_x86_look_around();
    if (axvcpu_i_x86_has_svm()) {
        axvcpu_i_x86_svm_probe();
        axvcpu_i_x86_vendor = &axvcpu_i_x86_svm;
    } else if (axvcpu_i_x86_has_vmx()) {
        axvcpu_i_x86_vendor = &axvcpu_i_x86_vmx;
    }
    return axvcpu_i_x86_vendor != NULL;
}

AXVCPU_API int axvcpu_leaf_percpu_init(struct axvcpu_percpu *p, uint32_t cpu_id)
{
    if (cpu_id != AXVCPU_CPU_ID())
        return AXVCPU_EINVAL;
    p->arch.levels = AXVCPU_I_X86_LEVELS;
    return axvcpu_leaf_supported() ? AXVCPU_OK : AXVCPU_ENOSUPPORT;
}

AXVCPU_API void axvcpu_leaf_percpu_deinit(struct axvcpu_percpu *p)
{
    (void)p;
}

static uint32_t axvcpu_i_x86_enabled; /* CPUs */
static uint32_t axvcpu_i_x86_maps_lock;

/* Of the first CPU that is enabled, until the last one is disabled. */
static bool axvcpu_i_x86_take_maps(void)
{
    uint8_t *at;
    bool good;

    while (AXVCPU_ATOMIC_XCHG(&axvcpu_i_x86_maps_lock, 1u) != 0)
        ;
    if (axvcpu_i_x86_enabled == 0)
        axvcpu_i_x86_maps = AXVCPU_ALLOC_FRAME(AXVCPU_I_X86_MAPS_PAGES, AXVM_LEAF_PAGE);
    good = axvcpu_i_x86_maps.addr != 0;
    if (good && axvcpu_i_x86_enabled == 0) {
        at = (uint8_t *)AXVCPU_PHYS_TO_VIRT(axvcpu_i_x86_maps);
        axvcpu_x86_io_map(at);
        axvcpu_x86_msr_map(at + AXVCPU_X86_IO_MAP, axvcpu_i_x86_vendor == &axvcpu_i_x86_svm);
    }
    axvcpu_i_x86_enabled += good;
    AXVCPU_ATOMIC_STORE_RELEASE(&axvcpu_i_x86_maps_lock, 0u);
    return good;
}

static void axvcpu_i_x86_give_maps(void)
{
    while (AXVCPU_ATOMIC_XCHG(&axvcpu_i_x86_maps_lock, 1u) != 0)
        ;
    if (--axvcpu_i_x86_enabled == 0)
        AXVCPU_FREE_FRAME(axvcpu_i_x86_maps, AXVCPU_I_X86_MAPS_PAGES);
    AXVCPU_ATOMIC_STORE_RELEASE(&axvcpu_i_x86_maps_lock, 0u);
}

#define AXVCPU_I_X86_AREA_PAGES 3u /* the vendor's two, the host's FPU */

static int axvcpu_i_x86_turn_on(struct axvcpu_percpu *p)
{
    struct axvcpu_i_x86_cpu *cpu = axvcpu_i_x86_here();

    p->arch.cr0 = axvcpu_i_x86_host_cr0();
    p->arch.cr4 = axvcpu_i_x86_host_cr4();
    cpu->fpu = (char *)AXVCPU_PHYS_TO_VIRT(p->arch.area) + UINT64_C(2) * AXVM_LEAF_PAGE;
    axvcpu_i_x86_set_host_cr4(p->arch.cr4 | AXVCPU_X86_CR4_OSFXSR |
                              (axvcpu_i_x86_xcr0_all != 0 ? AXVCPU_X86_CR4_OSXSAVE : 0));
    cpu->loaded = NULL;
    if (!axvcpu_i_x86_vendor->on(p)) {
        axvcpu_i_x86_set_host_cr4(p->arch.cr4);
        return AXVCPU_ENOSUPPORT;
    }
    cpu->enabled = 1;
    return AXVCPU_OK;
}

AXVCPU_API int axvcpu_leaf_percpu_enable(struct axvcpu_percpu *p)
{
    int err;

    if (p->cpu_id != AXVCPU_CPU_ID())
        return AXVCPU_EINVAL;
    p->arch.area = AXVCPU_ALLOC_FRAME(AXVCPU_I_X86_AREA_PAGES, AXVM_LEAF_PAGE);
    if (p->arch.area.addr == 0)
        return AXVCPU_ENOMEM;
    err = axvcpu_i_x86_take_maps() ? AXVCPU_OK : AXVCPU_ENOMEM;
    if (err == 0) {
        err = axvcpu_i_x86_turn_on(p);
        if (err != 0)
            axvcpu_i_x86_give_maps();
    }
    if (err != 0)
        AXVCPU_FREE_FRAME(p->arch.area, AXVCPU_I_X86_AREA_PAGES);
    return err;
}

AXVCPU_API int axvcpu_leaf_percpu_disable(struct axvcpu_percpu *p)
{
    struct axvcpu_i_x86_cpu *cpu = axvcpu_i_x86_here();

    if (p->cpu_id != AXVCPU_CPU_ID())
        return AXVCPU_EINVAL;
    if (cpu->loaded != NULL)
        return AXVCPU_EBUSY;
    cpu->enabled = 0;
    axvcpu_i_x86_vendor->off(p);
    axvcpu_i_x86_set_host_cr4(p->arch.cr4);
    axvcpu_i_x86_set_host_cr0(p->arch.cr0);
    axvcpu_i_x86_give_maps();
    AXVCPU_FREE_FRAME(p->arch.area, AXVCPU_I_X86_AREA_PAGES);
    return AXVCPU_OK;
}

AXVCPU_API uint32_t axvcpu_leaf_max_guest_page_table_levels(const struct axvcpu_percpu *p)
{
    return p->arch.levels;
}

#else /* AXVCPU_KVM */

/* ---------------------------------------------------------------------------------------------------- */
/* >>kvm                                                                                                */
/* ---------------------------------------------------------------------------------------------------- */

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

/* Three pages that VMX without unrestricted guests needs for real mode, and one for its identity map
   (api.rst: KVM_SET_TSS_ADDR). Below the last 256 KiB under 4 GiB, where firmware goes. */
static int axvcpu_i_x86_reserve(int vm)
{
    uint64_t identity = 0xfffbc000u;

    if (axvcpu_i_kvm_has(vm, KVM_CAP_SET_IDENTITY_MAP_ADDR) <= 0 || axvcpu_i_kvm_has(vm, KVM_CAP_SET_TSS_ADDR) <= 0)
        return AXVCPU_OK;
    if (axvcpu_i_kvm_ioctl(vm, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0)
        return axvcpu_i_kvm_refused("KVM_SET_IDENTITY_MAP_ADDR", "it comes before the first vCPU");
    return AXVCPU_I_KVM(vm, KVM_SET_TSS_ADDR, (void *)(uintptr_t)(identity + 0x1000), "it comes before the first vCPU");
}

static int axvcpu_i_x86_split(int vm)
{
    struct kvm_enable_cap cap;

    AXVCPU_MEMSET(&cap, 0, sizeof(cap));
    cap.cap = KVM_CAP_SPLIT_IRQCHIP;
    cap.args[0] = 24; /* pins of the IOAPIC that is not there */
    return axvcpu_i_kvm_ioctl(vm, KVM_ENABLE_CAP, &cap);
}

static int axvcpu_i_x86_full(int vm)
{
    return axvcpu_i_kvm_ioctl(vm, KVM_CREATE_IRQCHIP, NULL);
}

static int axvcpu_i_x86_pit(int vm)
{
    struct kvm_pit_config pit;

    AXVCPU_MEMSET(&pit, 0, sizeof(pit));
    return axvcpu_i_kvm_ioctl(vm, KVM_CREATE_PIT2, &pit);
}

/* What is to be created, in this order. A VM of the caller's may have it already. */
static const struct axvcpu_i_x86_chip {
    bool split, full, pit; /* with which it is created */
    uint32_t capability;
    int (*create)(int vm);
    const char *call, *missing;
} axvcpu_i_x86_chips[] = {
    { true, false, false, KVM_CAP_SPLIT_IRQCHIP, axvcpu_i_x86_split, "KVM_ENABLE_CAP of KVM_CAP_SPLIT_IRQCHIP",
      "KVM_CAP_SPLIT_IRQCHIP is missing; use Linux 4.4 or newer, or AXVM_X86_IRQCHIP_FULL" },
    { false, true, false, KVM_CAP_IRQCHIP, axvcpu_i_x86_full, "KVM_CREATE_IRQCHIP",
      "KVM_CAP_IRQCHIP is missing; use AXVM_X86_IRQCHIP_NONE" },
    { false, false, true, KVM_CAP_PIT2, axvcpu_i_x86_pit, "KVM_CREATE_PIT2",
      "KVM_CAP_PIT2 is missing; do without pit" },
};

/* EEXIST is also what the split controller says to a VM with vCPUs and no controller. The line is none that
   could be there. */
static bool axvcpu_i_x86_has_irqchip(int vm)
{
    struct kvm_irq_level irq;

    AXVCPU_MEMSET(&irq, 0, sizeof(irq));
    irq.irq = UINT32_MAX;
    return errno == EEXIST && axvcpu_i_kvm_ioctl(vm, KVM_IRQ_LINE, &irq) >= 0;
}

static int axvcpu_i_x86_irqchip(const struct axvcpu_kvm_vm *vm, const struct axvm_arch_desc *desc)
{
    size_t i;
    int code;

    for (i = 0; i < sizeof(axvcpu_i_x86_chips) / sizeof(axvcpu_i_x86_chips[0]); i++) {
        const struct axvcpu_i_x86_chip *chip = &axvcpu_i_x86_chips[i];

        if (!(chip->split && desc->irqchip == AXVM_X86_IRQCHIP_SPLIT) &&
            !(chip->full && desc->irqchip == AXVM_X86_IRQCHIP_FULL) && !(chip->pit && desc->pit))
            continue;
        if (axvcpu_i_kvm_has(vm->fd, chip->capability) <= 0)
            return axvcpu_i_say(AXVCPU_ENOSUPPORT, chip->missing);
        if (chip->create(vm->fd) >= 0)
            continue;
        code = errno;
        if (vm->adopted && axvcpu_i_x86_has_irqchip(vm->fd))
            continue;
        errno = code;
        return axvcpu_i_kvm_refused(chip->call, "it comes before the first vCPU, and once");
    }
    return AXVCPU_OK;
}

/* MSRs that the kernel does not know, refuses, or was told to hand over exit (api.rst: 7.21 and 4.97). */
static int axvcpu_i_x86_msr_exits(int vm, const struct axvm_arch_desc *desc)
{
    static const uint8_t denied[4096 / 8]; /* a zero bit denies */
    static const uint32_t reasons =
        KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_FILTER;
    struct kvm_msr_filter filter;
    uint32_t i;
    int err;

    if (axvcpu_i_kvm_has(vm, KVM_CAP_X86_USER_SPACE_MSR) <= 0)
        return desc->msrs_count == 0 ? AXVCPU_OK :
               axvcpu_i_say(AXVCPU_ENOSUPPORT, "KVM_CAP_X86_USER_SPACE_MSR is missing; use Linux 5.10 or newer");
    err = AXVCPU_I_KVM_ENABLE(vm, KVM_CAP_X86_USER_SPACE_MSR, reasons, NULL);
    if (err != 0 || desc->msrs_count == 0)
        return err;
    if (desc->msrs_count > KVM_MSR_FILTER_MAX_RANGES)
        return axvcpu_i_say(AXVCPU_EINVAL, "axvm_init: at most 16 MSR ranges");
    AXVCPU_MEMSET(&filter, 0, sizeof(filter));
    for (i = 0; i < desc->msrs_count; i++) {
        if (desc->msrs[i].count == 0 || desc->msrs[i].count > 4096)
            return axvcpu_i_say(AXVCPU_EINVAL, "axvm_init: an MSR range has 1 to 4096 of them");
        filter.ranges[i].flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE;
        filter.ranges[i].base = desc->msrs[i].first;
        filter.ranges[i].nmsrs = desc->msrs[i].count;
        filter.ranges[i].bitmap = (uint8_t *)(uintptr_t)denied; /* the kernel only reads it */
    }
    return AXVCPU_I_KVM(vm, KVM_X86_SET_MSR_FILTER, &filter, NULL);
}

static int axvcpu_i_kvm_init_vm(struct axvm_arch *vm, const struct axvm_arch_desc *desc)
{
    int fd = vm->kvm.fd, calls = axvcpu_i_kvm_has(fd, KVM_CAP_EXIT_HYPERCALL), err = AXVCPU_OK;

    if (desc->irqchip > AXVM_X86_IRQCHIP_FULL || (desc->cpuid == NULL) != (desc->cpuid_count == 0) ||
        (desc->msrs == NULL) != (desc->msrs_count == 0))
        return axvcpu_i_say(AXVCPU_EINVAL, "axvm_init: no such irqchip, or a table without its count");
    if (desc->pit && desc->irqchip != AXVM_X86_IRQCHIP_FULL)
        return axvcpu_i_say(AXVCPU_EINVAL, "axvm_init: pit needs AXVM_X86_IRQCHIP_FULL");
    vm->cpuid = desc->cpuid;
    vm->cpuid_count = desc->cpuid_count;
    vm->own_apic = desc->own_apic;
    vm->kvm.irqchip = desc->irqchip != AXVM_X86_IRQCHIP_NONE;
    if (!vm->kvm.adopted)
        err = axvcpu_i_x86_reserve(fd);
    if (err == 0)
        err = axvcpu_i_x86_irqchip(&vm->kvm, desc);
    if (err == 0)
        err = axvcpu_i_x86_msr_exits(fd, desc);
    if (err == 0 && calls > 0)
        err = AXVCPU_I_KVM_ENABLE(fd, KVM_CAP_EXIT_HYPERCALL, (uint64_t)calls, NULL);
    if (err == 0 && axvcpu_i_kvm_has(fd, KVM_CAP_EXIT_ON_EMULATION_FAILURE) > 0)
        err = AXVCPU_I_KVM_ENABLE(fd, KVM_CAP_EXIT_ON_EMULATION_FAILURE, 1, NULL);
    return err;
}

static void axvcpu_i_kvm_fini_vm(struct axvm_arch *vm)
{
    (void)vm;
}

/* >>kvm CPUID */

#define AXVCPU_I_X86_CPUIDS 256

/* struct kvm_cpuid2 with its entries. */
struct axvcpu_i_x86_cpuids {
    uint32_t count, padding;
    struct kvm_cpuid_entry2 entry[AXVCPU_I_X86_CPUIDS];
};

static void axvcpu_i_x86_cpuid_in(struct axvcpu_x86_cpuid *to, const struct kvm_cpuid_entry2 *from)
{
    to->leaf = from->function;
    to->subleaf = from->index;
    to->indexed = (from->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) != 0;
    to->reg[0] = from->eax;
    to->reg[1] = from->ebx;
    to->reg[2] = from->ecx;
    to->reg[3] = from->edx;
}

static void axvcpu_i_x86_cpuid_out(struct kvm_cpuid_entry2 *to, const struct axvcpu_x86_cpuid *from)
{
    AXVCPU_MEMSET(to, 0, sizeof(*to));
    to->function = from->leaf;
    to->index = from->subleaf;
    to->flags = from->indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0;
    to->eax = from->reg[0];
    to->ebx = from->reg[1];
    to->ecx = from->reg[2];
    to->edx = from->reg[3];
}

/* A kernel leaves the levels of the topology to us, and makes no room for them (api.rst,
   KVM_GET_SUPPORTED_CPUID): three to each leaf, as far as the leaf is there. */
static void axvcpu_i_x86_cpuid_levels(struct axvcpu_x86_cpuid *table, uint32_t *count, uint32_t leaf)
{
    uint32_t i, seen = 0;

    for (i = 0; i < *count; i++) {
        if (table[i].leaf == leaf && table[i].subleaf < 3)
            seen |= 1u << table[i].subleaf;
    }
    for (i = 1; i < 3 && (seen & 1u) != 0 && *count < AXVCPU_I_X86_CPUIDS; i++) {
        if ((seen >> i & 1u) != 0)
            continue;
        AXVCPU_MEMSET(&table[*count], 0, sizeof(table[0]));
        table[*count].leaf = leaf;
        table[*count].subleaf = i;
        table[*count].indexed = true;
        (*count)++;
    }
}

static int axvcpu_i_x86_cpuid_host(struct axvcpu *v, struct axvcpu_x86_cpuid *table, uint32_t *count)
{
    const struct axvm_arch *vm = v->arch.kvm.vm;
    struct axvcpu_i_x86_cpuids host;
    uint32_t i, cpus = v->vm.vm != NULL ? v->vm.vm->vcpu_count : 1;

    host.count = AXVCPU_I_X86_CPUIDS;
    host.padding = 0;
    if (axvcpu_i_kvm_ioctl(vm->kvm.sys, KVM_GET_SUPPORTED_CPUID, &host) < 0)
        return axvcpu_i_kvm_refused("KVM_GET_SUPPORTED_CPUID", "bring a CPUID table of your own");
    for (i = 0; i < host.count; i++)
        axvcpu_i_x86_cpuid_in(&table[i], &host.entry[i]);
    *count = host.count;
    axvcpu_i_x86_cpuid_levels(table, count, 0x0b);
    axvcpu_i_x86_cpuid_levels(table, count, 0x1f);
    axvcpu_x86_cpuid_sane(table, *count, v->vcpu_id, cpus, vm->kvm.irqchip);
    return AXVCPU_OK;
}

/* The vCPU's own table, else the VM's, else the host's made sane. */
static int axvcpu_i_x86_set_cpuid(struct axvcpu *v, const struct axvcpu_arch_create *create)
{
    struct axvcpu_x86_cpuid table[AXVCPU_I_X86_CPUIDS];
    struct axvcpu_i_x86_cpuids out;
    bool own = create->cpuid != NULL;
    const struct axvcpu_x86_cpuid *from = own ? create->cpuid : v->arch.kvm.vm->cpuid;
    uint32_t i, count = own ? create->cpuid_count : v->arch.kvm.vm->cpuid_count;
    int err = AXVCPU_OK;

    if (from == NULL) {
        from = table;
        err = axvcpu_i_x86_cpuid_host(v, table, &count);
    }
    if (err != 0)
        return err;
    if (count > AXVCPU_I_X86_CPUIDS)
        return axvcpu_i_say(AXVCPU_EINVAL, "init: a CPUID table has at most 256 entries");
    out.count = count;
    out.padding = 0;
    for (i = 0; i < count; i++)
        axvcpu_i_x86_cpuid_out(&out.entry[i], &from[i]);
    return AXVCPU_I_KVM(v->arch.kvm.fd, KVM_SET_CPUID2, &out, NULL);
}

/* >>kvm creation state: what reset goes back to. Captured, because only the kernel knows all of it. */

/* All MSRs that the kernel saves, the paravirtual ones because the host writes to guest memory for as long as
   they are on. Not the TSC: it goes on (SDM 3, table 10-1). */
#define AXVCPU_I_KVM_MSRS 1024
#define AXVCPU_I_KVM_MSRS_AT_ONCE 64

/* struct kvm_msr_list, struct kvm_msrs and what is captured, with their entries. */
struct axvcpu_i_x86_msr_index {
    uint32_t count, index[AXVCPU_I_KVM_MSRS];
};
struct axvcpu_i_x86_some_msrs {
    uint32_t count, padding;
    struct kvm_msr_entry entry[AXVCPU_I_KVM_MSRS_AT_ONCE];
};
struct axvcpu_i_x86_msr_list {
    uint32_t count;
    struct kvm_msr_entry entry[AXVCPU_I_KVM_MSRS];
};

struct axvcpu_i_x86_origin {
    uint32_t xsave[1024]; /* struct kvm_xsave */
    struct kvm_sregs sregs;
    struct kvm_lapic_state lapic;
    struct kvm_xcrs xcrs;
    struct kvm_debugregs debugregs;
    struct kvm_vcpu_events events;
    struct kvm_regs regs;
    struct kvm_mp_state mp_state;
    struct axvcpu_i_x86_msr_list msrs;
};

/* In the order of restoring: the local APIC before the MSRs, or its deadline timer dies; XCR0 before the
   state that it governs. Absent where the kernel has no such thing. */
struct axvcpu_i_x86_part {
    const char *name[2]; /* of get and set */
    unsigned long request[2];
    uint32_t offset;
    int capability; /* 0: always there; -1: with an in-kernel local APIC */
};
#define AXVCPU_I_X86_PART(NAME, member, capability)                                                        \
    { { "KVM_GET_" #NAME, "KVM_SET_" #NAME }, { KVM_GET_##NAME, KVM_SET_##NAME },                         \
      (uint32_t)offsetof(struct axvcpu_i_x86_origin, member), capability }
static const struct axvcpu_i_x86_part axvcpu_i_x86_parts[] = {
    AXVCPU_I_X86_PART(SREGS, sregs, 0),
    AXVCPU_I_X86_PART(LAPIC, lapic, -1),
    AXVCPU_I_X86_PART(XCRS, xcrs, KVM_CAP_XCRS),
    AXVCPU_I_X86_PART(XSAVE, xsave, KVM_CAP_XSAVE),
    AXVCPU_I_X86_PART(DEBUGREGS, debugregs, KVM_CAP_DEBUGREGS),
    AXVCPU_I_X86_PART(VCPU_EVENTS, events, KVM_CAP_VCPU_EVENTS),
    AXVCPU_I_X86_PART(REGS, regs, 0),
    AXVCPU_I_X86_PART(MP_STATE, mp_state, KVM_CAP_MP_STATE),
};

/* KVM_GET_MSRS stops at the first that it does not have; such a one is left out. */
static int axvcpu_i_x86_capture_msrs(struct axvcpu *v, struct axvcpu_i_x86_msr_list *list)
{
    struct axvcpu_i_x86_msr_index all;
    struct axvcpu_i_x86_some_msrs some;
    uint32_t next = 0, i;
    int n;

    all.count = AXVCPU_I_KVM_MSRS;
    if (axvcpu_i_kvm_ioctl(v->arch.kvm.vm->kvm.sys, KVM_GET_MSR_INDEX_LIST, &all) < 0)
        return axvcpu_i_kvm_refused("KVM_GET_MSR_INDEX_LIST", NULL);
    while (next < all.count) {
        AXVCPU_MEMSET(&some, 0, sizeof(some));
        for (i = next; i < all.count && some.count < AXVCPU_I_KVM_MSRS_AT_ONCE; i++)
            some.entry[some.count++].index = all.index[i];
        n = axvcpu_i_kvm_ioctl(v->arch.kvm.fd, KVM_GET_MSRS, &some);
        if (n < 0)
            return axvcpu_i_kvm_refused("KVM_GET_MSRS", NULL);
        AXVCPU_MEMCPY(&list->entry[list->count], some.entry, (size_t)n * sizeof(some.entry[0]));
        list->count += (uint32_t)n;
        next += (uint32_t)n + ((uint32_t)n < some.count);
    }
    return AXVCPU_OK;
}

/* As many as go at once from `first` on, to what they were, if they are not that. KVM_SET_MSRS stops at the
   first that it does not take: some may be read, but not written. */
static int axvcpu_i_x86_restore_some(int fd, const struct kvm_msr_entry *first, uint32_t count)
{
    struct axvcpu_i_x86_some_msrs some;
    uint32_t i, changed = 0, done = 0;
    int n;

    some.count = count;
    some.padding = 0;
    AXVCPU_MEMCPY(some.entry, first, count * sizeof(some.entry[0]));
    if (axvcpu_i_kvm_ioctl(fd, KVM_GET_MSRS, &some) < 0)
        return axvcpu_i_kvm_refused("KVM_GET_MSRS", NULL);
    for (i = 0; i < count; i++) {
        if (some.entry[i].data != first[i].data && first[i].index != AXVCPU_X86_MSR_TSC)
            some.entry[changed++] = first[i];
    }
    while (done < changed) {
        some.count = changed - done;
        n = axvcpu_i_kvm_ioctl(fd, KVM_SET_MSRS, &some);
        if (n < 0)
            return axvcpu_i_kvm_refused("KVM_SET_MSRS", NULL);
        done += (uint32_t)n + 1;
        for (i = 0; done + i < changed; i++)
            some.entry[i] = some.entry[(uint32_t)n + 1 + i];
    }
    return AXVCPU_OK;
}

static int axvcpu_i_x86_restore_msrs(int fd, const struct axvcpu_i_x86_msr_list *origin)
{
    uint32_t next, count;
    int err = AXVCPU_OK;

    for (next = 0; err == 0 && next < origin->count; next += count) {
        count = origin->count - next;
        count = count < AXVCPU_I_KVM_MSRS_AT_ONCE ? count : AXVCPU_I_KVM_MSRS_AT_ONCE;
        err = axvcpu_i_x86_restore_some(fd, &origin->entry[next], count);
    }
    return err;
}

static bool axvcpu_i_x86_has_part(const struct axvcpu *v, const struct axvcpu_i_x86_part *part)
{
    const struct axvcpu_kvm_vm *vm = &v->arch.kvm.vm->kvm;

    if (part->capability <= 0)
        return part->capability == 0 || vm->irqchip;
    return axvcpu_i_kvm_has(vm->sys, (unsigned long)part->capability) > 0;
}

static int axvcpu_i_x86_move_state(struct axvcpu *v, bool restore)
{
    size_t i;

    for (i = 0; i < sizeof(axvcpu_i_x86_parts) / sizeof(axvcpu_i_x86_parts[0]); i++) {
        const struct axvcpu_i_x86_part *part = &axvcpu_i_x86_parts[i];
        char *at = (char *)v->arch.origin + part->offset;

        if (axvcpu_i_x86_has_part(v, part) &&
            axvcpu_i_kvm_ioctl(v->arch.kvm.fd, part->request[restore], at) < 0)
            return axvcpu_i_kvm_refused(part->name[restore], NULL);
    }
    return AXVCPU_OK;
}

static int axvcpu_i_x86_capture(struct axvcpu *v)
{
    void *memory = mmap(NULL, sizeof(struct axvcpu_i_x86_origin), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int err;

    if (memory == MAP_FAILED)
        return axvcpu_i_kvm_refused("mmap", NULL);
    v->arch.origin = memory;
    err = axvcpu_i_x86_move_state(v, false);
    return err != 0 ? err : axvcpu_i_x86_capture_msrs(v, &((struct axvcpu_i_x86_origin *)memory)->msrs);
}

static struct kvm_regs *axvcpu_i_x86_regs(struct axvcpu *v)
{
    return &v->arch.kvm.run->s.regs.regs;
}

/* The registers in the run page are now what the guest shall have. */
static int axvcpu_i_x86_changed(struct axvcpu *v)
{
    if (!v->arch.sync)
        return AXVCPU_I_KVM(v->arch.kvm.fd, KVM_SET_REGS, axvcpu_i_x86_regs(v), NULL);
    v->arch.kvm.run->kvm_dirty_regs |= KVM_SYNC_X86_REGS;
    return AXVCPU_OK;
}

/* What the run page says of interrupts was true at the last exit; now RFLAGS is set from here. */
static void axvcpu_i_x86_changed_flags(struct axvcpu *v, uint64_t flags)
{
    v->arch.kvm.run->if_flag = (flags & AXVCPU_X86_FLAG_IF) != 0;
    v->arch.kvm.run->ready_for_interrupt_injection = 0; /* the kernel says when, by a window */
}

static int axvcpu_i_x86_restore(struct axvcpu *v)
{
    const struct axvcpu_i_x86_origin *o = (const struct axvcpu_i_x86_origin *)v->arch.origin;
    int err = axvcpu_i_x86_move_state(v, true);

    if (err == 0)
        err = axvcpu_i_x86_restore_msrs(v->arch.kvm.fd, &o->msrs);
    *axvcpu_i_x86_regs(v) = o->regs;
    v->arch.kvm.run->kvm_dirty_regs = 0;
    v->arch.kvm.run->request_interrupt_window = 0;
    v->arch.kvm.run->cr8 = 0;
    v->arch.icr_high = 0;
    AXVCPU_MEMSET(v->arch.raised, 0, sizeof(v->arch.raised));
    axvcpu_i_x86_changed_flags(v, o->regs.rflags);
    return err;
}

#define AXVCPU_I_X86_PIO 4096u /* KVM_PIO_PAGE_OFFSET: where every kernel has the data of ports */

static int axvcpu_i_kvm_init_vcpu(struct axvcpu *v, const struct axvcpu_arch_create *create)
{
    int sync = axvcpu_i_kvm_has(v->arch.kvm.vm->kvm.sys, KVM_CAP_SYNC_REGS), err;

    if ((create->cpuid == NULL) != (create->cpuid_count == 0))
        return axvcpu_i_say(AXVCPU_EINVAL, "init: a CPUID table without its count");
    if (v->arch.kvm.run_size < AXVCPU_I_X86_PIO + 8)
        return axvcpu_i_say(AXVCPU_EIO, "KVM_GET_VCPU_MMAP_SIZE: no room for what a port gets");
    err = axvcpu_i_x86_set_cpuid(v, create);
    if (err == 0)
        err = axvcpu_i_x86_capture(v);
    if (err != 0)
        return err;
    v->arch.sync = sync > 0 && ((uint32_t)sync & KVM_SYNC_X86_REGS) != 0;
    v->arch.kvm.run->kvm_valid_regs = v->arch.sync ? KVM_SYNC_X86_REGS : 0;
    *axvcpu_i_x86_regs(v) = ((struct axvcpu_i_x86_origin *)v->arch.origin)->regs;
    return AXVCPU_OK;
}

static void axvcpu_i_kvm_fini_vcpu(struct axvcpu *v)
{
    if (v->arch.origin != NULL)
        (void)munmap(v->arch.origin, sizeof(struct axvcpu_i_x86_origin));
}

/* >>kvm start */

/* One segment, with access rights unpacked. */
static void axvcpu_i_x86_segment(struct kvm_segment *s, uint32_t selector, uint64_t base, uint32_t limit,
                                 uint32_t access)
{
    AXVCPU_MEMSET(s, 0, sizeof(*s));
    s->selector = (uint16_t)selector;
    s->base = base;
    s->limit = limit;
    s->type = access & AXVCPU_X86_AR_TYPE;
    s->s = (access & AXVCPU_X86_AR_S) != 0;
    s->dpl = access >> 5 & 3u;
    s->present = (access & AXVCPU_X86_AR_P) != 0;
    s->avl = (access & AXVCPU_X86_AR_AVL) != 0;
    s->l = (access & AXVCPU_X86_AR_L) != 0;
    s->db = (access & AXVCPU_X86_AR_DB) != 0;
    s->g = (access & AXVCPU_X86_AR_G) != 0;
    s->unusable = (access & AXVCPU_X86_AR_UNUSABLE) != 0;
}

static uint32_t axvcpu_i_x86_access(const struct kvm_segment *s)
{
    return s->type | (s->s ? AXVCPU_X86_AR_S : 0u) | (uint32_t)s->dpl << 5 | (s->present ? AXVCPU_X86_AR_P : 0u) |
           (s->avl ? AXVCPU_X86_AR_AVL : 0u) | (s->l ? AXVCPU_X86_AR_L : 0u) | (s->db ? AXVCPU_X86_AR_DB : 0u) |
           (s->g ? AXVCPU_X86_AR_G : 0u) | (s->unusable ? AXVCPU_X86_AR_UNUSABLE : 0u);
}

static void axvcpu_i_x86_start_sregs(struct axvcpu *v, struct kvm_sregs *s, uint64_t base)
{
    const struct axvcpu_arch_setup *setup = &v->arch.setup;
    const struct axvcpu_i_x86_start *start = &axvcpu_i_x86_starts[setup->mode];
    bool flat = setup->mode != AXVCPU_X86_REAL, tables = setup->mode == AXVCPU_X86_LONG && setup->cr3 == 0;
    struct kvm_segment *const data[] = { &s->ds, &s->es, &s->fs, &s->gs, &s->ss };
    size_t i;

    axvcpu_i_x86_segment(&s->cs, flat ? AXVCPU_I_X86_CODE : (uint32_t)(base >> 4 & 0xffffu), base, start->limit,
                         start->code);
    for (i = 0; i < sizeof(data) / sizeof(data[0]); i++)
        axvcpu_i_x86_segment(data[i], flat ? AXVCPU_I_X86_DATA : 0, 0, start->limit, start->data);
    s->cr0 = start->cr0;
    s->cr4 = start->cr4;
    s->efer = start->efer;
    s->cr3 = tables ? setup->tables.addr : setup->cr3;
    s->gdt.base = tables ? setup->tables.addr + 0x6000 : 0;
    s->gdt.limit = tables ? sizeof(axvcpu_i_x86_gdt) - 1 : flat ? 0 : 0xffff;
}

/* From the creation state to the first instruction, in the mode that was set up. */
static int axvcpu_i_x86_go(struct axvcpu *v, bool started, uint64_t arg)
{
    struct kvm_sregs sregs = ((const struct axvcpu_i_x86_origin *)v->arch.origin)->sregs;
    struct kvm_regs *r = axvcpu_i_x86_regs(v);
    uint64_t base = 0, ip = v->arch.entry.addr;
    int err;

    if (v->arch.setup.mode != AXVCPU_X86_LONG && ip > UINT32_MAX)
        return axvcpu_i_say(AXVCPU_EINVAL, "setup: an entry beyond 4 GiB needs long mode");
    if (v->arch.setup.mode == AXVCPU_X86_REAL)
        axvcpu_i_x86_real_entry(ip, started, &base, &ip);
    axvcpu_i_x86_start_sregs(v, &sregs, base);
    AXVCPU_MEMSET(r, 0, sizeof(*r));
    r->rip = ip;
    r->rsp = v->arch.setup.stack;
    r->rdi = arg;
    r->rflags = AXVCPU_X86_FLAG_FIXED;
    axvcpu_i_x86_changed_flags(v, r->rflags);
    err = axvcpu_i_x86_changed(v);
    if (err != 0)
        return err;
    return AXVCPU_I_KVM(v->arch.kvm.fd, KVM_SET_SREGS, &sregs, "is cr3 a page address below the guest's MAXPHYADDR?");
}

AXVCPU_API int axvcpu_leaf_set_entry(struct axvcpu *v, axvcpu_gpa_t entry)
{
    v->arch.entry = entry;
    return v->arch.ready ? axvcpu_i_x86_go(v, false, 0) : AXVCPU_OK;
}

AXVCPU_API int axvcpu_leaf_reset(struct axvcpu *v)
{
    int err = axvcpu_i_kvm_drain(v);

    v->arch.ready = false;
    v->arch.entry.addr = 0;
    AXVCPU_MEMSET(&v->arch.setup, 0, sizeof(v->arch.setup));
    return err != 0 ? err : axvcpu_i_x86_restore(v);
}

AXVCPU_API int axvcpu_leaf_restart(struct axvcpu *v, axvcpu_gpa_t entry, uint64_t arg)
{
    int err = axvcpu_i_kvm_drain(v);

    if (err == 0)
        err = axvcpu_i_x86_restore(v);
    v->arch.entry = entry;
    return err != 0 ? err : axvcpu_i_x86_go(v, true, arg);
}

/* >>kvm registers */

/* Without KVM_CAP_SYNC_REGS they are fetched into the place where they would be with it. */
static int axvcpu_i_x86_fetch(struct axvcpu *v)
{
    if (AXVCPU_I_LIKELY(v->arch.sync))
        return AXVCPU_OK;
    return AXVCPU_I_KVM(v->arch.kvm.fd, KVM_GET_REGS, axvcpu_i_x86_regs(v), NULL);
}

/* A register of struct kvm_regs, or NULL. */
static uint64_t *axvcpu_i_x86_reg(struct axvcpu *v, uint64_t id)
{
    static const uint8_t place[] = { /* ModRM order to the kernel's, then PC, SP, FLAGS */
        offsetof(struct kvm_regs, rax), offsetof(struct kvm_regs, rcx), offsetof(struct kvm_regs, rdx),
        offsetof(struct kvm_regs, rbx), offsetof(struct kvm_regs, rsp), offsetof(struct kvm_regs, rbp),
        offsetof(struct kvm_regs, rsi), offsetof(struct kvm_regs, rdi), offsetof(struct kvm_regs, r8),
        offsetof(struct kvm_regs, r9), offsetof(struct kvm_regs, r10), offsetof(struct kvm_regs, r11),
        offsetof(struct kvm_regs, r12), offsetof(struct kvm_regs, r13), offsetof(struct kvm_regs, r14),
        offsetof(struct kvm_regs, r15), offsetof(struct kvm_regs, rip), offsetof(struct kvm_regs, rsp),
        offsetof(struct kvm_regs, rflags),
    };
    uint64_t n = AXVCPU_REG_CLASS(id) == 1 ? id - AXVCPU_REG_PC + AXVCPU_X86_GPRS : id;

    return n < sizeof(place) ? (uint64_t *)(void *)((char *)axvcpu_i_x86_regs(v) + place[n]) : NULL;
}

static int axvcpu_i_x86_msr(struct axvcpu *v, uint32_t index, uint64_t *value, bool set)
{
    struct { uint32_t count, padding; struct kvm_msr_entry entry; } one;
    int n;

    AXVCPU_MEMSET(&one, 0, sizeof(one));
    one.count = 1;
    one.entry.index = index;
    one.entry.data = *value;
    n = axvcpu_i_kvm_ioctl(v->arch.kvm.fd, set ? KVM_SET_MSRS : KVM_GET_MSRS, &one);
    if (n < 0)
        return axvcpu_i_kvm_refused(set ? "KVM_SET_MSRS" : "KVM_GET_MSRS", NULL);
    *value = one.entry.data;
    return n == 1 ? AXVCPU_OK : AXVCPU_ENOSUPPORT;
}

static struct kvm_segment *axvcpu_i_x86_find_segment(struct kvm_sregs *s, uint32_t n)
{
    struct kvm_segment *const all[] = { &s->es, &s->cs, &s->ss, &s->ds, &s->fs, &s->gs, &s->ldt, &s->tr };

    return n < sizeof(all) / sizeof(all[0]) ? all[n] : NULL;
}

/* Read a part of a segment, or write it. */
static int axvcpu_i_x86_segment_part(struct kvm_segment *s, uint32_t part, uint64_t *value, bool set)
{
    uint64_t old[4];

    old[AXVCPU_X86_SELECTOR] = s->selector;
    old[AXVCPU_X86_BASE] = s->base;
    old[AXVCPU_X86_LIMIT] = s->limit;
    old[AXVCPU_X86_ACCESS] = axvcpu_i_x86_access(s);
    if (!set) {
        *value = old[part];
        return AXVCPU_OK;
    }
    old[part] = *value;
    axvcpu_i_x86_segment(s, (uint32_t)old[0], old[1], (uint32_t)old[2], (uint32_t)old[3]);
    return AXVCPU_OK;
}

static int axvcpu_i_x86_table_part(struct kvm_dtable *t, uint32_t part, uint64_t *value, bool set)
{
    if (part != AXVCPU_X86_BASE && part != AXVCPU_X86_LIMIT)
        return AXVCPU_ENOSUPPORT;
    if (!set)
        *value = part == AXVCPU_X86_BASE ? t->base : t->limit;
    else if (part == AXVCPU_X86_BASE)
        t->base = *value;
    else
        t->limit = (uint16_t)*value;
    return AXVCPU_OK;
}

static int axvcpu_i_x86_sreg(struct kvm_sregs *s, uint32_t n, uint64_t *value, bool set)
{
    __u64 *const cr[] = { &s->cr0, NULL, &s->cr2, &s->cr3, &s->cr4, NULL, NULL, NULL, &s->cr8 };
    uint32_t segment = (n - 0x40u) / 4;

    if (n < sizeof(cr) / sizeof(cr[0]) && cr[n] != NULL) {
        if (set)
            *cr[n] = *value;
        else
            *value = *cr[n];
        return AXVCPU_OK;
    }
    if (n < 0x40u || segment >= AXVCPU_X86_SEGMENTS)
        return AXVCPU_ENOSUPPORT;
    if (segment >= AXVCPU_X86_GDTR)
        return axvcpu_i_x86_table_part(segment == AXVCPU_X86_GDTR ? &s->gdt : &s->idt, n % 4, value, set);
    return axvcpu_i_x86_segment_part(axvcpu_i_x86_find_segment(s, segment), n % 4, value, set);
}

static int axvcpu_i_x86_special(struct axvcpu *v, uint32_t n, uint64_t *value, bool set)
{
    struct kvm_sregs sregs;
    int err = AXVCPU_I_KVM(v->arch.kvm.fd, KVM_GET_SREGS, &sregs, NULL);

    if (err == 0)
        err = axvcpu_i_x86_sreg(&sregs, n, value, set);
    if (err != 0 || !set)
        return err;
    if (n == 8)
        v->arch.kvm.run->cr8 = *value;
    return AXVCPU_I_KVM(v->arch.kvm.fd, KVM_SET_SREGS, &sregs, "the value is not allowed in this register");
}

static int axvcpu_i_x86_debug(struct axvcpu *v, uint32_t n, uint64_t *value, bool set)
{
    struct kvm_debugregs d;
    __u64 *const dr[] = { &d.db[0], &d.db[1], &d.db[2], &d.db[3], NULL, NULL, &d.dr6, &d.dr7 };
    int err = AXVCPU_I_KVM(v->arch.kvm.fd, KVM_GET_DEBUGREGS, &d, NULL);

    if (err != 0 || dr[n] == NULL)
        return err != 0 ? err : AXVCPU_ENOSUPPORT;
    if (!set) {
        *value = *dr[n];
        return AXVCPU_OK;
    }
    *dr[n] = *value;
    return AXVCPU_I_KVM(v->arch.kvm.fd, KVM_SET_DEBUGREGS, &d, NULL);
}

static int axvcpu_i_x86_xcr0(struct axvcpu *v, uint64_t *value, bool set)
{
    struct kvm_xcrs x;
    int err = AXVCPU_I_KVM(v->arch.kvm.fd, KVM_GET_XCRS, &x, NULL);

    if (err != 0 || x.nr_xcrs == 0)
        return err != 0 ? err : AXVCPU_ENOSUPPORT;
    if (!set) {
        *value = x.xcrs[0].value;
        return AXVCPU_OK;
    }
    x.xcrs[0].value = *value;
    return AXVCPU_I_KVM(v->arch.kvm.fd, KVM_SET_XCRS, &x, NULL);
}

/* Everything that is not in struct kvm_regs. */
static int axvcpu_i_x86_rare(struct axvcpu *v, uint64_t id, uint64_t *value, bool set)
{
    uint32_t n = (uint32_t)id;

    if (AXVCPU_REG_CLASS(id) == 2)
        return axvcpu_i_x86_msr(v, n, value, set);
    if (AXVCPU_REG_CLASS(id) != 3)
        return AXVCPU_ENOSUPPORT;
    if (n >= 0x10 && n < 0x18)
        return axvcpu_i_x86_debug(v, n - 0x10, value, set);
    return n == 0x20 ? axvcpu_i_x86_xcr0(v, value, set) : axvcpu_i_x86_special(v, n, value, set);
}

AXVCPU_API int axvcpu_leaf_get_reg(struct axvcpu *v, uint64_t id, uint64_t *value)
{
    const uint64_t *reg = AXVCPU_REG_CLASS(id) <= 1 ? axvcpu_i_x86_reg(v, id) : NULL;
    int err = reg != NULL ? axvcpu_i_x86_fetch(v) : axvcpu_i_x86_rare(v, id, value, false);

    if (err == 0 && reg != NULL)
        *value = *reg;
    return err;
}

/* A kernel that is given registers while its emulator waits for a read forgets where the value goes. So the
   read comes first: answer it, settle, then write. */
static bool axvcpu_i_x86_open_read(struct axvcpu *v)
{
    return (axvcpu_i_word(v) & AXVCPU_I_DUE) != 0 && (AXVCPU_READ_KINDS >> axvcpu_access(v)->kind & 1u) != 0 &&
           axvcpu_get_state(v) != AXVCPU_STATE_RUNNING;
}

AXVCPU_API int axvcpu_leaf_set_reg(struct axvcpu *v, uint64_t id, uint64_t value)
{
    uint64_t *reg = AXVCPU_REG_CLASS(id) <= 1 ? axvcpu_i_x86_reg(v, id) : NULL;
    int err = reg == NULL                ? axvcpu_i_x86_rare(v, id, &value, true) :
              axvcpu_i_x86_open_read(v) ? AXVCPU_EPENDING :
                                          axvcpu_i_x86_fetch(v);

    if (err != 0 || reg == NULL)
        return err;
    *reg = value;
    if (id == AXVCPU_REG_FLAGS)
        axvcpu_i_x86_changed_flags(v, value);
    return axvcpu_i_x86_changed(v);
}

/* >>kvm run */

AXVCPU_I_INLINE uint32_t axvcpu_i_x86_element(const void *buf, uint32_t width)
{
    static const uint32_t mask[] = { 0, 0xff, 0xffff, 0, UINT32_MAX };
    uint32_t wide;

    AXVCPU_MEMCPY(&wide, buf, 4);
    return wide & mask[width];
}

AXVCPU_I_INLINE bool axvcpu_i_x86_is_width(uint32_t width)
{
    return width == 1 || width == 2 || width == 4;
}

/* The data are behind the run page. Of a plain IN eight bytes are written, at once. */
static bool axvcpu_i_x86_io_fits(const struct axvcpu *v, const struct kvm_run *run)
{
    uint64_t size = v->arch.kvm.run_size, bytes = (uint64_t)run->io.count * run->io.size + 8, at = run->io.data_offset;

    return at % 8 == 0 && at >= sizeof(*run) && at <= size && bytes <= size - at;
}

/* A string's elements are answered in the buffer, a plain IN by value. */
AXVCPU_I_INLINE void axvcpu_i_x86_io(struct axvcpu *v, struct kvm_run *run, struct axvcpu_exit *x, uint64_t offset,
                                     uint32_t count, bool running)
{
    void *buf = (char *)run + offset;

    x->io.buf = buf;
    x->io.port = run->io.port;
    x->io.width = run->io.size;
    x->io.count = count;
    if (run->io.direction == KVM_EXIT_IO_OUT) {
        x->io.data = axvcpu_i_x86_element(buf, run->io.size);
        axvcpu_i_kvm_await(v, x, AXVCPU_EXIT_IO_WRITE, KVM_EXIT_IO, NULL, running);
    } else {
        axvcpu_i_kvm_await(v, x, AXVCPU_EXIT_IO_READ, KVM_EXIT_IO, count == 1 ? buf : &v->arch.kvm.ignored, running);
    }
}

static int axvcpu_i_x86_io_exit(struct axvcpu *v, struct kvm_run *run, struct axvcpu_exit *x)
{
    if (axvcpu_i_x86_is_width(run->io.size) && run->io.count != 0 && axvcpu_i_x86_io_fits(v, run))
        axvcpu_i_x86_io(v, run, x, run->io.data_offset, run->io.count, false);
    else
        x->kind = AXVCPU_EXIT_RAW;
    return AXVCPU_OK;
}

/* An exit that nothing can be answered to: the kernel ends the instruction here and now. */
static int axvcpu_i_x86_done(struct axvcpu *v)
{
    struct axvcpu_exit none;

    none.kind = AXVCPU_EXIT_NOTHING;
    return axvcpu_i_kvm_finish(v, &none);
}

/* A write to the ICR of a local APIC that is neither in the kernel nor the caller's. */
static int axvcpu_i_x86_ipi_mmio(struct axvcpu *v, struct kvm_run *run, struct axvcpu_exit *x)
{
    uint32_t value = 0;

    AXVCPU_MEMCPY(&value, run->mmio.data, 4);
    if (v->arch.kvm.vm->own_apic || !axvcpu_x86_xapic(AXVCPU_X86_APIC_PAGE | AXVCPU_X86_APIC_ON, run->mmio.phys_addr,
                                                      run->mmio.len, value, &v->arch.icr_high, x)) {
        if (!axvcpu_i_kvm_mmio(v, run, x, false))
            x->kind = AXVCPU_EXIT_RAW;
        return AXVCPU_OK;
    }
    return x->kind == AXVCPU_EXIT_NOTHING ? AXVCPU_OK : axvcpu_i_x86_done(v);
}

static int axvcpu_i_x86_sysreg(struct axvcpu *v, struct kvm_run *run, struct axvcpu_exit *x)
{
    bool write = run->exit_reason == KVM_EXIT_X86_WRMSR;

    x->sysreg.addr = run->msr.index;
    x->sysreg.value = run->msr.data;
    x->sysreg.reg = AXVCPU_REG_NONE; /* EDX:EAX, by the kernel */
    run->msr.error = 0;
    if (write && run->msr.index == AXVCPU_X86_MSR_X2APIC_ICR && !v->arch.kvm.vm->own_apic) {
        axvcpu_x86_icr(run->msr.data, true, x);
        return axvcpu_i_x86_done(v);
    }
    axvcpu_i_kvm_await(v, x, write ? AXVCPU_EXIT_SYSREG_WRITE : AXVCPU_EXIT_SYSREG_READ, run->exit_reason,
                       &run->msr.data, false);
    return AXVCPU_OK;
}

/* KVM keeps most hypercalls for itself (api.rst: KVM_CAP_EXIT_HYPERCALL). RAX stays, for set_return_value. */
static int axvcpu_i_x86_hypercall(struct axvcpu *v, struct kvm_run *run, struct axvcpu_exit *x)
{
    x->kind = AXVCPU_EXIT_HYPERCALL;
    x->hypercall.nr = run->hypercall.nr;
    AXVCPU_MEMCPY(x->hypercall.args, run->hypercall.args, sizeof(x->hypercall.args));
    run->hypercall.ret = x->hypercall.nr;
    return axvcpu_i_x86_done(v);
}

static void axvcpu_i_x86_undecoded(const struct kvm_run *run, struct axvcpu_exit *x)
{
    uint32_t n = run->emulation_failure.insn_size;

    if (run->internal.suberror != KVM_INTERNAL_ERROR_EMULATION || run->internal.ndata < 3 ||
        (run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES) == 0)
        return;
    x->undecoded.insn_len = n <= 15 ? n : 15;
    AXVCPU_MEMCPY(x->undecoded.insn, run->emulation_failure.insn_bytes, 15);
}

/* A window is the core's business: attention is still up, so it injects, and the guest is entered again. */
static int axvcpu_i_x86_window(struct axvcpu *v, struct kvm_run *run, struct axvcpu_exit *x)
{
    bool done;

    run->request_interrupt_window = 0;
    return axvcpu_attend(v, x, &done);
}

static int axvcpu_i_x86_exit(struct axvcpu *v, struct kvm_run *run, struct axvcpu_exit *x)
{
    switch (run->exit_reason) {
    case KVM_EXIT_IO: return axvcpu_i_x86_io_exit(v, run, x);
    case KVM_EXIT_HLT: x->kind = AXVCPU_EXIT_HALT; return AXVCPU_OK;
    case KVM_EXIT_IRQ_WINDOW_OPEN:
    case KVM_EXIT_SET_TPR: return axvcpu_i_x86_window(v, run, x); /* run->cr8 has it already */
    case KVM_EXIT_X86_RDMSR:
    case KVM_EXIT_X86_WRMSR: return axvcpu_i_x86_sysreg(v, run, x);
    case KVM_EXIT_HYPERCALL: return axvcpu_i_x86_hypercall(v, run, x);
    case KVM_EXIT_IOAPIC_EOI:
        x->kind = AXVCPU_EXIT_EOI;
        x->eoi.vector = run->eoi.vector;
        return AXVCPU_OK;
    case KVM_EXIT_DEBUG:
        x->kind = AXVCPU_EXIT_DEBUG;
        x->debug.pc = run->debug.arch.pc;
        x->debug.status = run->debug.arch.dr6;
        return AXVCPU_OK;
    default: break;
    }
    axvcpu_i_kvm_other(run, x);
    if (x->kind == AXVCPU_EXIT_UNDECODED)
        axvcpu_i_x86_undecoded(run, x);
    return AXVCPU_OK;
}

/* Memory and ports. A write to the local APIC's page may be an IPI, and strings are rare. */
AXVCPU_I_INLINE bool axvcpu_i_kvm_usual(struct axvcpu *v, struct kvm_run *run, struct axvcpu_exit *x, bool running)
{
    if (AXVCPU_I_LIKELY(run->exit_reason == KVM_EXIT_MMIO)) {
        if (AXVCPU_I_UNLIKELY(run->mmio.is_write) && (uint32_t)run->mmio.phys_addr >> 12 == AXVCPU_X86_APIC_PAGE >> 12)
            return false;
        return axvcpu_i_kvm_mmio(v, run, x, running);
    }
    if (AXVCPU_I_UNLIKELY(run->exit_reason != KVM_EXIT_IO) || AXVCPU_I_UNLIKELY(run->io.count != 1) ||
        AXVCPU_I_UNLIKELY(run->io.data_offset != AXVCPU_I_X86_PIO) ||
        AXVCPU_I_UNLIKELY(!axvcpu_i_x86_is_width(run->io.size)))
        return false;
    axvcpu_i_x86_io(v, run, x, AXVCPU_I_X86_PIO, 1, running);
    return true;
}

static int axvcpu_i_kvm_exit(struct axvcpu *v, struct kvm_run *run, struct axvcpu_exit *x)
{
    if (axvcpu_i_kvm_usual(v, run, x, false))
        return AXVCPU_OK;
    x->kind = AXVCPU_EXIT_NOTHING;
    x->flags = 0;
    x->raw = run->exit_reason;
    return run->exit_reason == KVM_EXIT_MMIO ? axvcpu_i_x86_ipi_mmio(v, run, x) : axvcpu_i_x86_exit(v, run, x);
}

/* >>kvm answers */

/* All bytes of the last IN. After a KVM_RUN that failed halfway the page may have something else by now. */
static void axvcpu_i_x86_fill(struct axvcpu *v, int byte)
{
    struct kvm_run *run = v->arch.kvm.run;

    if (run->exit_reason == KVM_EXIT_IO && axvcpu_i_x86_io_fits(v, run))
        AXVCPU_MEMSET((char *)run + run->io.data_offset, byte, (size_t)run->io.count * run->io.size);
}

static bool axvcpu_i_x86_has_mmio(const struct kvm_run *run)
{
    return run->exit_reason == KVM_EXIT_MMIO && run->mmio.len - 1 < 8;
}

/* A bus answers with all ones and drops writes; an MSR gives #GP. */
AXVCPU_API int axvcpu_leaf_refuse(struct axvcpu *v)
{
    struct kvm_run *run = v->arch.kvm.run;

    *v->arch.kvm.answer = UINT64_MAX;
    if (axvcpu_access(v)->kind == AXVCPU_EXIT_IO_READ)
        axvcpu_i_x86_fill(v, 0xff);
    if (axvcpu_access(v)->kind == AXVCPU_EXIT_SYSREG_READ || axvcpu_access(v)->kind == AXVCPU_EXIT_SYSREG_WRITE)
        run->msr.error = 1;
    return AXVCPU_OK;
}

/* The kernel has taken the write as done: it goes into what is mapped there by now. */
static int axvcpu_i_x86_replay(struct axvcpu *v)
{
    const struct kvm_run *run = v->arch.kvm.run;

    if (v->vm.vm == NULL || !axvcpu_i_x86_has_mmio(run))
        return AXVCPU_EFAULT;
    return axvm_write(v->vm.vm, axvcpu_gpa(run->mmio.phys_addr), run->mmio.data, run->mmio.len);
}

/* A read of what is memory by now gets that: finishing with zeros would write back 0 + 1 for `add $1`. */
static bool axvcpu_i_x86_reread(struct axvcpu *v)
{
    const struct kvm_run *run = v->arch.kvm.run;
    const void *memory = NULL;

    if (axvcpu_access(v)->kind == AXVCPU_EXIT_MMIO_READ && v->vm.vm != NULL && axvcpu_i_x86_has_mmio(run))
        memory = axvm_ptr(v->vm.vm, axvcpu_gpa(run->mmio.phys_addr), run->mmio.len);
    if (memory != NULL)
        AXVCPU_MEMCPY(v->arch.kvm.answer, memory, run->mmio.len);
    return memory != NULL;
}

/* Finish the instruction with zeros, then put the registers back to where it began. An OUT is beyond that. */
AXVCPU_API int axvcpu_leaf_retry(struct axvcpu *v)
{
    struct kvm_regs regs;
    int err;

    if (axvcpu_access(v)->kind == AXVCPU_EXIT_IO_WRITE)
        return AXVCPU_ENOSUPPORT;
    if (axvcpu_access(v)->kind == AXVCPU_EXIT_MMIO_WRITE)
        return axvcpu_i_x86_replay(v);
    if (axvcpu_i_x86_reread(v))
        return AXVCPU_OK;
    if (axvcpu_access(v)->kind == AXVCPU_EXIT_IO_READ)
        axvcpu_i_x86_fill(v, 0);
    err = axvcpu_i_x86_fetch(v);
    if (err != 0)
        return err;
    regs = *axvcpu_i_x86_regs(v);
    err = axvcpu_i_kvm_drain(v);
    if (err != 0)
        return err;
    *axvcpu_i_x86_regs(v) = regs;
    return axvcpu_i_x86_changed(v);
}

/* >>kvm interrupts */

/* Without an in-kernel controller, one at a time: at once if the kernel can take it, else at the window that
   it is asked for (api.rst: KVM_INTERRUPT). CR8 is not the kernel's business then. While an MMIO read is unfinished,
   it might yet change IF. */
static int axvcpu_i_x86_interrupt(struct axvcpu *v, uint32_t *what)
{
    struct kvm_run *run = v->arch.kvm.run;
    struct kvm_interrupt irq;
    int err, vector = axvcpu_irq_next(v), lowest = (int)axvcpu_x86_lowest(run->cr8);

    if (vector >= lowest && run->ready_for_interrupt_injection &&
        (run->exit_reason != KVM_EXIT_MMIO || run->mmio.is_write)) {
        irq.irq = (uint32_t)vector;
        err = AXVCPU_I_KVM(v->arch.kvm.fd, KVM_INTERRUPT, &irq, NULL);
        if (err != 0)
            return err;
        run->ready_for_interrupt_injection = 0;
        axvcpu_irq_take(v, (uint32_t)vector);
        vector = axvcpu_irq_next(v);
    }
    run->request_interrupt_window = vector >= lowest; /* else SET_TPR comes when CR8 is lowered */
    *what &= vector >= 0 ? UINT32_MAX : ~AXVCPU_ATTN_IRQ;
    return AXVCPU_OK;
}

/* A message to this vCPU's local APIC (SDM 3, 11.11.1). */
static int axvcpu_i_x86_message(struct axvcpu *v, uint32_t vector)
{
    struct kvm_msi msi;

    AXVCPU_MEMSET(&msi, 0, sizeof(msi));
    msi.address_lo = AXVCPU_X86_APIC_PAGE | (v->vcpu_id & 0xffu) << 12;
    msi.address_hi = v->vcpu_id & ~0xffu;
    msi.data = vector;
    return AXVCPU_I_KVM(v->arch.kvm.vm->kvm.fd, KVM_SIGNAL_MSI, &msi, NULL);
}

/* With one: all of them, each edge once; a line that stays up was an edge when it rose. */
static int axvcpu_i_x86_messages(struct axvcpu *v, uint32_t *what)
{
    uint32_t i;
    int err = AXVCPU_OK;

    for (i = 0; i < 4; i++) {
        uint64_t lines = AXVCPU_ATOMIC_LOAD(&v->lines[i]);
        uint64_t due = AXVCPU_ATOMIC_XCHG(&v->pending[i], 0u) | (lines & ~v->arch.raised[i]);

        v->arch.raised[i] = lines;
        for (; due != 0 && err == 0; due &= due - 1)
            err = axvcpu_i_x86_message(v, i * 64 + (uint32_t)__builtin_ctzll(due));
    }
    *what &= ~AXVCPU_ATTN_IRQ;
    return err;
}

AXVCPU_API int axvcpu_leaf_inject(struct axvcpu *v, uint32_t *what)
{
    int err = AXVCPU_OK;

    if ((*what & AXVCPU_ATTN_NMI) != 0)
        err = AXVCPU_I_KVM(v->arch.kvm.fd, KVM_NMI, NULL, NULL);
    *what &= ~AXVCPU_ATTN_NMI;
    if (err != 0 || (*what & AXVCPU_ATTN_IRQ) == 0)
        return err;
    return v->arch.kvm.vm->kvm.irqchip ? axvcpu_i_x86_messages(v, what) : axvcpu_i_x86_interrupt(v, what);
}

/* An interrupt that the kernel has, but has not delivered, goes back to the queue: the exception is first,
   and entering with one forgets the other. */
static void axvcpu_i_x86_take_back(struct axvcpu *v, struct kvm_vcpu_events *e)
{
    if (!e->interrupt.injected || v->arch.kvm.vm->kvm.irqchip)
        return;
    e->interrupt.injected = 0;
    (void)axvcpu_inject_interrupt(v, e->interrupt.nr);
}

AXVCPU_API int axvcpu_leaf_inject_exception(struct axvcpu *v, uint32_t vector, uint64_t error, uint64_t addr)
{
    const uint32_t with_error = 1u << 8 | 0x1fu << 10 | 1u << 17 | 1u << 21; /* SDM 3, table 6-1 */
    struct kvm_vcpu_events e;
    int err;

    if (vector > 31 || vector == 2)
        return axvcpu_i_say(AXVCPU_EINVAL, "inject_exception: no such exception");
    err = AXVCPU_I_KVM(v->arch.kvm.fd, KVM_GET_VCPU_EVENTS, &e, NULL);
    if (err == 0 && vector == 14)
        err = axvcpu_i_x86_special(v, 2, &addr, true); /* CR2 */
    if (err != 0)
        return err;
    axvcpu_i_x86_take_back(v, &e);
    e.exception.injected = 1;
    e.exception.nr = (uint8_t)vector;
    e.exception.has_error_code = with_error >> vector & 1u;
    e.exception.error_code = (uint32_t)error;
    v->arch.kvm.run->ready_for_interrupt_injection = 0;
    return AXVCPU_I_KVM(v->arch.kvm.fd, KVM_SET_VCPU_EVENTS, &e, NULL);
}

AXVCPU_API bool axvcpu_leaf_wakes(const struct axvcpu *v, bool queued)
{
    const volatile uint8_t *enabled = &v->arch.kvm.run->if_flag; /* another CPU may ask */

    return queued && (v->arch.kvm.vm->kvm.irqchip ||
                      (*enabled != 0 && axvcpu_irq_next(v) >= (int)axvcpu_x86_lowest(v->arch.kvm.run->cr8)));
}

/* >>kvm the rest */

static int axvcpu_i_x86_slices(const struct axvcpu_arch_setup *setup)
{
    if ((setup->slice | setup->pauses | setup->pause_gap) == 0)
        return AXVCPU_OK;
    return axvcpu_i_say(AXVCPU_ENOSUPPORT, "setup: slice and pauses are for bare metal; here the kernel has the time");
}

AXVCPU_API uint32_t axvcpu_leaf_max_guest_page_table_levels(const struct axvcpu_percpu *p)
{
    (void)p;
    return 4;
}

#endif /* AXVCPU_KVM */

/* >>leaves: how a vCPU starts, whatever runs it */

AXVCPU_API int axvcpu_leaf_setup(struct axvcpu *v, const struct axvcpu_arch_setup *setup)
{
    int err = AXVCPU_OK;

    if (setup->mode > AXVCPU_X86_LONG || (setup->cr3 != 0 && setup->mode != AXVCPU_X86_LONG))
        return axvcpu_i_say(AXVCPU_EINVAL, "setup: no such mode, or cr3 without long mode");
    err = axvcpu_i_x86_slices(setup);
    if (err != 0)
        return err;
    v->arch.setup = *setup;
    if (setup->mode == AXVCPU_X86_LONG && setup->cr3 == 0)
        err = axvcpu_i_x86_tables(v, setup);
    if (err == 0)
        err = axvcpu_i_x86_go(v, false, 0);
    v->arch.ready = err == 0;
    return err;
}

/* >>leaves: what the VM answers */

AXVCPU_API bool axvm_leaf_is_target(const struct axvcpu *v, uint64_t target)
{
    return v->vcpu_id == target;
}

/* INIT: an application processor waits for the next start-up IPI (SDM 3, 9.4.3). The first one is left alone,
   and the level that ends an INIT is nothing (SDM 3, 11.6.1). */
static void axvcpu_i_x86_down(struct axvcpu *to, const struct axvcpu_exit_ipi *ipi)
{
    uint32_t up = AXVM_I_UP;

    if (!axvcpu_is_bsp(to) && (ipi->aux & AXVCPU_X86_ICR_ASSERT) != 0 &&
        AXVCPU_ATOMIC_CAS(&to->vm.up, &up, AXVM_I_DOWN))
        axvcpu_i_alert(to, AXVCPU_ATTN_STOP, AXVCPU_TRACE_STOP_FLAGGED);
}

static void axvcpu_i_x86_deliver(struct axvcpu *to, const struct axvcpu_exit_ipi *ipi)
{
    switch (AXVCPU_X86_ICR_MODE(ipi->aux)) {
    case AXVCPU_X86_ICR_FIXED:
    case AXVCPU_X86_ICR_LOWEST: (void)axvcpu_inject_interrupt(to, ipi->vector); break;
    case AXVCPU_X86_ICR_NMI: (void)axvcpu_inject_nmi(to); break;
    case AXVCPU_X86_ICR_INIT: axvcpu_i_x86_down(to, ipi); break;
    default: break;
    }
}

/* An IPI to vCPUs by number goes there; logical destinations are for a local APIC that knows them. */
#ifdef AXVCPU_KVM
#define AXVCPU_I_X86_ANSWER axvm_leaf_answer
#else
#define AXVCPU_I_X86_ANSWER axvcpu_i_x86_answer_exit
#endif
AXVCPU_API enum axvm_answer AXVCPU_I_X86_ANSWER(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x)
{
    uint32_t i;

    if (x->kind != AXVCPU_EXIT_SEND_IPI || (x->ipi.aux & AXVCPU_X86_ICR_LOGICAL) != 0)
        return AXVM_RETURN;
    for (i = 0; i < vm->vcpu_count; i++) {
        struct axvcpu *to = axvm_vcpu(vm, i);

        if (to != NULL && (to == v ? x->ipi.to_self || (!x->ipi.to_all && x->ipi.target == i) :
                                     x->ipi.to_all || (!x->ipi.to_self && x->ipi.target == i)))
            axvcpu_i_x86_deliver(to, &x->ipi);
    }
    return AXVM_DONE;
}

#endif /* the selected backend */

AXVCPU_I_C_END

#endif /* AXVCPU_IMPLEMENTATION */
