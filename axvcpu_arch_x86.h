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
#define AXVCPU_X86_FLAG_FIXED 0x002u /* always one */
#define AXVCPU_X86_FLAG_IF 0x200u

/* CR0, CR4, EFER (SDM 3, 2.5 and 2.2.1) */
#define AXVCPU_X86_CR0_PE 0x00000001u
#define AXVCPU_X86_CR0_MP 0x00000002u
#define AXVCPU_X86_CR0_ET 0x00000010u
#define AXVCPU_X86_CR0_NE 0x00000020u
#define AXVCPU_X86_CR0_PG 0x80000000u
#define AXVCPU_X86_CR4_PAE 0x020u
#define AXVCPU_X86_CR4_OSFXSR 0x200u
#define AXVCPU_X86_CR4_OSXMMEXCPT 0x400u
#define AXVCPU_X86_EFER_LME 0x100u
#define AXVCPU_X86_EFER_LMA 0x400u

/* Page-table entries (SDM 3, 4.5) */
#define AXVCPU_X86_PTE_P 0x01u
#define AXVCPU_X86_PTE_RW 0x02u
#define AXVCPU_X86_PTE_US 0x04u
#define AXVCPU_X86_PTE_PS 0x80u /* a large page */

/* MSRs (SDM 4, chapter 2) */
#define AXVCPU_X86_MSR_EFER 0xc0000080u
#define AXVCPU_X86_MSR_TSC_AUX 0xc0000103u
#define AXVCPU_X86_MSR_X2APIC_ICR 0x830u

/* The local APIC's interrupt command register (SDM 3, 11.6.1) */
#define AXVCPU_X86_APIC_PAGE 0xfee00000u
#define AXVCPU_X86_APIC_ICR 0x300u
#define AXVCPU_X86_APIC_ICR_HIGH 0x310u
#define AXVCPU_X86_ICR_MODE(icr) ((uint32_t)(icr) >> 8 & 7u)
#define AXVCPU_X86_ICR_LOGICAL 0x800u
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

#if AXVCPU_I_ARCH == AXVCPU_I_ARCH_X86

#if !defined(AXVCPU_KVM)
#error "axvcpu_arch_x86.h: the bare-metal backend is not there yet; define AXVCPU_ARCH_FAKE, or bring a backend by AXVCPU_ARCH_HEADER"
#endif

/* ---------------------------------------------------------------------------------------------------- */
/* >>leaves                                                                                             */
/* ---------------------------------------------------------------------------------------------------- */

#define AXVCPU_LEAF_NAME "x86-64 KVM"
#define AXVCPU_LEAF_GPRS AXVCPU_X86_GPRS
#define AXVCPU_LEAF_RETURN_GPR AXVCPU_X86_RAX
#define AXVCPU_LEAF_VECTORS 256
#define AXVCPU_LEAF_VECTOR_OK(n) true
#define AXVM_LEAF_UP_OK 0
#define AXVM_LEAF_UP_ALREADY 0
#define AXVM_LEAF_UP_INVALID 0
#define AXVM_LEAF_UP_ANSWERS false /* a start-up IPI has no answer */
#define AXVM_LEAF_PAGE 4096u
#define AXVM_LEAF_STARTS_CPUS(vm) ((vm)->arch.kvm.irqchip) /* its local APICs do */

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
};

/* A range of MSRs. */
struct axvcpu_x86_msrs { uint32_t first, count; };

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
    uint32_t irqchip; /* enum axvm_x86_irqchip */
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
        e->reg[1] = axvcpu_i_x86_field(e->reg[1], 16, 8, 1u << bits);
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

#ifdef AXVCPU_KVM

/* >>kvm */

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

static int axvcpu_i_x86_irqchip(int vm, const struct axvm_arch_desc *desc)
{
    static const char before[] = "it comes before the first vCPU, and once; leave irqchip 0 for a VM that has one";
    struct kvm_pit_config pit;
    int err = AXVCPU_OK;

    if (desc->irqchip == AXVM_X86_IRQCHIP_SPLIT)
        return AXVCPU_I_KVM_ENABLE(vm, KVM_CAP_SPLIT_IRQCHIP, 24, before);
    if (desc->irqchip == AXVM_X86_IRQCHIP_FULL)
        err = AXVCPU_I_KVM(vm, KVM_CREATE_IRQCHIP, NULL, before);
    if (err != 0 || !desc->pit)
        return err;
    AXVCPU_MEMSET(&pit, 0, sizeof(pit));
    return AXVCPU_I_KVM(vm, KVM_CREATE_PIT2, &pit, "it needs AXVM_X86_IRQCHIP_FULL");
}

/* MSRs that the kernel does not know, refuses, or was told to hand over exit (api.rst: 7.21 and 4.97). */
static int axvcpu_i_x86_msr_exits(int vm, const struct axvm_arch_desc *desc)
{
    static const uint8_t denied[4096 / 8]; /* a zero bit denies */
    static const uint32_t reasons = KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_FILTER;
    struct kvm_msr_filter filter;
    uint32_t i;
    int err;

    if (axvcpu_i_kvm_has(vm, KVM_CAP_X86_USER_SPACE_MSR) <= 0)
        return desc->msrs_count == 0 ? AXVCPU_OK :
               axvcpu_i_kvm_say(AXVCPU_ENOSUPPORT, "KVM_CAP_X86_USER_SPACE_MSR is missing; use Linux 5.10 or newer");
    err = AXVCPU_I_KVM_ENABLE(vm, KVM_CAP_X86_USER_SPACE_MSR, reasons, NULL);
    if (err != 0 || desc->msrs_count == 0)
        return err;
    if (desc->msrs_count > KVM_MSR_FILTER_MAX_RANGES)
        return axvcpu_i_kvm_say(AXVCPU_EINVAL, "axvm_init: at most 16 MSR ranges");
    AXVCPU_MEMSET(&filter, 0, sizeof(filter));
    for (i = 0; i < desc->msrs_count; i++) {
        if (desc->msrs[i].count == 0 || desc->msrs[i].count > 4096)
            return axvcpu_i_kvm_say(AXVCPU_EINVAL, "axvm_init: an MSR range has 1 to 4096 of them");
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
        return axvcpu_i_kvm_say(AXVCPU_EINVAL, "axvm_init: no such irqchip, or a table without its count");
    vm->cpuid = desc->cpuid;
    vm->cpuid_count = desc->cpuid_count;
    vm->own_apic = desc->own_apic;
    vm->kvm.irqchip = desc->irqchip != AXVM_X86_IRQCHIP_NONE;
    if (!vm->kvm.adopted)
        err = axvcpu_i_x86_reserve(fd);
    if (err == 0)
        err = axvcpu_i_x86_irqchip(fd, desc);
    if (err == 0)
        err = axvcpu_i_x86_msr_exits(fd, desc);
    if (err == 0 && calls > 0)
        err = AXVCPU_I_KVM_ENABLE(fd, KVM_CAP_EXIT_HYPERCALL, (uint64_t)calls, NULL);
    if (err == 0 && axvcpu_i_kvm_has(fd, KVM_CAP_EXIT_ON_EMULATION_FAILURE) > 0)
        err = AXVCPU_I_KVM_ENABLE(fd, KVM_CAP_EXIT_ON_EMULATION_FAILURE, 1, NULL);
    return err;
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
    axvcpu_x86_cpuid_sane(table, host.count, v->vcpu_id, cpus, vm->kvm.irqchip);
    *count = host.count;
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
        return axvcpu_i_kvm_say(AXVCPU_EINVAL, "init: a CPUID table has at most 256 entries");
    out.count = count;
    out.padding = 0;
    for (i = 0; i < count; i++)
        axvcpu_i_x86_cpuid_out(&out.entry[i], &from[i]);
    return AXVCPU_I_KVM(v->arch.kvm.fd, KVM_SET_CPUID2, &out, NULL);
}

/* >>kvm creation state: what reset goes back to. Captured, because only the kernel knows all of it. */

/* MSRs with a state that outlives a guest, the paravirtual ones because the host writes to guest memory for
   as long as they are on. Not the TSC: it goes on (SDM 3, table 10-1). */
static const uint32_t axvcpu_i_x86_msrs[] = {
    0x174, 0x175, 0x176,                                                /* SYSENTER_CS, _ESP, _EIP */
    0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084, 0xc0000102,         /* STAR, LSTAR, CSTAR, FMASK, KERNEL_GS_BASE */
    AXVCPU_X86_MSR_TSC_AUX,
    0x277, 0x2ff, 0x250, 0x258, 0x259,                                  /* PAT, MTRR default and fixed */
    0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f,
    0x200, 0x201, 0x202, 0x203, 0x204, 0x205, 0x206, 0x207,             /* MTRR variable */
    0x208, 0x209, 0x20a, 0x20b, 0x20c, 0x20d, 0x20e, 0x20f,
    0x048, 0x1a0, 0x1d9, 0xda0, 0x6e0, /* SPEC_CTRL, MISC_ENABLE, DEBUGCTL, XSS, TSC_DEADLINE */
    0x11, 0x12, 0x4b564d00, 0x4b564d01, 0x4b564d02, 0x4b564d03, 0x4b564d04, /* KVM's clock, faults, steal time, EOI */
};
#define AXVCPU_I_X86_MSRS (sizeof(axvcpu_i_x86_msrs) / sizeof(axvcpu_i_x86_msrs[0]))

/* struct kvm_msrs with its entries. */
struct axvcpu_i_x86_msr_list {
    uint32_t count, padding;
    struct kvm_msr_entry entry[AXVCPU_I_X86_MSRS];
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
    const char *name;
    unsigned long get, set;
    uint32_t offset;
    int capability; /* 0: always there; -1: with an in-kernel local APIC */
};
#define AXVCPU_I_X86_PART(NAME, member, capability)                                                        \
    { "KVM_GET/SET_" #NAME, KVM_GET_##NAME, KVM_SET_##NAME,                                               \
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
static int axvcpu_i_x86_read_msrs(int fd, struct axvcpu_i_x86_msr_list *list)
{
    struct axvcpu_i_x86_msr_list some;
    size_t next = 0;
    int n;

    list->count = list->padding = 0;
    while (next < AXVCPU_I_X86_MSRS) {
        AXVCPU_MEMSET(&some, 0, sizeof(some));
        for (some.count = 0; next + some.count < AXVCPU_I_X86_MSRS; some.count++)
            some.entry[some.count].index = axvcpu_i_x86_msrs[next + some.count];
        n = axvcpu_i_kvm_ioctl(fd, KVM_GET_MSRS, &some);
        if (n < 0)
            return axvcpu_i_kvm_refused("KVM_GET_MSRS", NULL);
        AXVCPU_MEMCPY(&list->entry[list->count], some.entry, (size_t)n * sizeof(some.entry[0]));
        list->count += (uint32_t)n;
        next += (size_t)n + 1;
    }
    return AXVCPU_OK;
}

/* Only what has changed: some may be read, but not written. */
static int axvcpu_i_x86_restore_msrs(int fd, const struct axvcpu_i_x86_msr_list *origin)
{
    struct axvcpu_i_x86_msr_list now, changed;
    uint32_t i;
    int err = axvcpu_i_x86_read_msrs(fd, &now);

    changed.count = changed.padding = 0;
    for (i = 0; err == 0 && i < origin->count; i++) {
        if (now.entry[i].data != origin->entry[i].data)
            changed.entry[changed.count++] = origin->entry[i];
    }
    if (err != 0 || changed.count == 0)
        return err;
    return AXVCPU_I_KVM(fd, KVM_SET_MSRS, &changed, NULL);
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
            axvcpu_i_kvm_ioctl(v->arch.kvm.fd, restore ? part->set : part->get, at) < 0)
            return axvcpu_i_kvm_refused(part->name, NULL);
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
    return err != 0 ? err : axvcpu_i_x86_read_msrs(v->arch.kvm.fd, &((struct axvcpu_i_x86_origin *)memory)->msrs);
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

static int axvcpu_i_kvm_init_vcpu(struct axvcpu *v, const struct axvcpu_arch_create *create)
{
    int sync = axvcpu_i_kvm_has(v->arch.kvm.vm->kvm.sys, KVM_CAP_SYNC_REGS), err;

    if ((create->cpuid == NULL) != (create->cpuid_count == 0))
        return axvcpu_i_kvm_say(AXVCPU_EINVAL, "init: a CPUID table without its count");
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

/* Real mode: below 64 KiB the segment is 0. Above, and after a start-up IPI (SDM 3, 9.4.3), the segment
   begins at the entry, as far as it can be told by a selector; beyond 1 MiB as the reset vector does it. */
static void axvcpu_i_x86_real_entry(uint64_t entry, bool started, uint64_t *base, uint64_t *ip)
{
    *base = entry < 0x10000 && !started ? 0 : entry < 0x100000 ? entry & ~UINT64_C(15) : entry & ~UINT64_C(0xffff);
    *ip = entry - *base;
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
        return axvcpu_i_kvm_say(AXVCPU_EINVAL, "setup: an entry beyond 4 GiB needs long mode");
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
        return axvcpu_i_kvm_say(AXVCPU_EINVAL, "setup: a vCPU without axvm brings its own page tables in setup.cr3");
    if ((at & 0xfff) != 0 || v->arch.entry.addr - at < AXVCPU_X86_TABLES_SIZE)
        return axvcpu_i_kvm_say(AXVCPU_EINVAL, "setup: setup.tables is no page address, or the entry is inside them");
    err = axvcpu_i_x86_write_tables(v->vm.vm, at);
    if (err == AXVCPU_EFAULT)
        return axvcpu_i_kvm_say(err, "setup: there is no guest memory at setup.tables; axvm_map it before");
    return err;
}

AXVCPU_API int axvcpu_leaf_set_entry(struct axvcpu *v, axvcpu_gpa_t entry)
{
    v->arch.entry = entry;
    return v->arch.ready ? axvcpu_i_x86_go(v, false, 0) : AXVCPU_OK;
}

AXVCPU_API int axvcpu_leaf_setup(struct axvcpu *v, const struct axvcpu_arch_setup *setup)
{
    int err = AXVCPU_OK;

    if (setup->mode > AXVCPU_X86_LONG || (setup->cr3 != 0 && setup->mode != AXVCPU_X86_LONG))
        return axvcpu_i_kvm_say(AXVCPU_EINVAL, "setup: no such mode, or cr3 without long mode");
    v->arch.setup = *setup;
    if (setup->mode == AXVCPU_X86_LONG && setup->cr3 == 0)
        err = axvcpu_i_x86_tables(v, setup);
    if (err == 0)
        err = axvcpu_i_x86_go(v, false, 0);
    v->arch.ready = err == 0;
    return err;
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

/* A string's elements are answered in the buffer, a plain IN by value. */
AXVCPU_I_INLINE void axvcpu_i_x86_io(struct axvcpu *v, struct kvm_run *run, struct axvcpu_exit *x, uint32_t count,
                                     bool running)
{
    void *buf = (char *)run + run->io.data_offset;

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
    uint32_t offset = (uint32_t)run->mmio.phys_addr - AXVCPU_X86_APIC_PAGE, value = 0;

    if ((offset != AXVCPU_X86_APIC_ICR && offset != AXVCPU_X86_APIC_ICR_HIGH) || run->mmio.len != 4 ||
        run->mmio.phys_addr >> 32 != 0 || v->arch.kvm.vm->own_apic) {
        axvcpu_i_kvm_mmio(v, run, x, false);
        return AXVCPU_OK;
    }
    AXVCPU_MEMCPY(&value, run->mmio.data, 4);
    if (offset == AXVCPU_X86_APIC_ICR_HIGH) {
        v->arch.icr_high = value;
        return AXVCPU_OK;
    }
    axvcpu_x86_icr((uint64_t)v->arch.icr_high << 32 | value, false, x);
    return axvcpu_i_x86_done(v);
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
    case KVM_EXIT_IO: axvcpu_i_x86_io(v, run, x, run->io.count, false); return AXVCPU_OK;
    case KVM_EXIT_HLT: x->kind = AXVCPU_EXIT_HALT; return AXVCPU_OK;
    case KVM_EXIT_IRQ_WINDOW_OPEN: return axvcpu_i_x86_window(v, run, x);
    case KVM_EXIT_SET_TPR: return AXVCPU_OK; /* run->cr8 has it already */
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
        axvcpu_i_kvm_mmio(v, run, x, running);
    } else if (AXVCPU_I_LIKELY(run->exit_reason == KVM_EXIT_IO) && AXVCPU_I_LIKELY(run->io.count == 1)) {
        axvcpu_i_x86_io(v, run, x, 1, running);
    } else {
        return false;
    }
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

/* Bytes of the last port access. */
static size_t axvcpu_i_x86_string(const struct axvcpu *v)
{
    return (size_t)v->arch.kvm.run->io.count * v->arch.kvm.run->io.size;
}

/* A bus answers with all ones and drops writes; an MSR gives #GP. */
AXVCPU_API int axvcpu_leaf_refuse(struct axvcpu *v)
{
    struct kvm_run *run = v->arch.kvm.run;

    *v->arch.kvm.answer = UINT64_MAX;
    if (axvcpu_access(v)->kind == AXVCPU_EXIT_IO_READ)
        AXVCPU_MEMSET((char *)run + run->io.data_offset, 0xff, axvcpu_i_x86_string(v));
    if (axvcpu_access(v)->kind == AXVCPU_EXIT_SYSREG_READ || axvcpu_access(v)->kind == AXVCPU_EXIT_SYSREG_WRITE)
        run->msr.error = 1;
    return AXVCPU_OK;
}

/* The kernel has taken the write as done: it goes into what is mapped there by now. */
static int axvcpu_i_x86_replay(struct axvcpu *v)
{
    const struct kvm_run *run = v->arch.kvm.run;

    if (v->vm.vm == NULL)
        return AXVCPU_EFAULT;
    return axvm_write(v->vm.vm, axvcpu_gpa(run->mmio.phys_addr), run->mmio.data, run->mmio.len);
}

/* A read of what is memory by now gets that: finishing with zeros would write back 0 + 1 for `add $1`. */
static bool axvcpu_i_x86_reread(struct axvcpu *v)
{
    const struct kvm_run *run = v->arch.kvm.run;
    const void *memory = NULL;

    if (axvcpu_access(v)->kind == AXVCPU_EXIT_MMIO_READ && v->vm.vm != NULL)
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
        AXVCPU_MEMSET((char *)v->arch.kvm.run + v->arch.kvm.run->io.data_offset, 0, axvcpu_i_x86_string(v));
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
   it is asked for (api.rst: KVM_INTERRUPT). While an MMIO read is unfinished, it might yet change IF. */
static int axvcpu_i_x86_interrupt(struct axvcpu *v, uint32_t *what)
{
    struct kvm_run *run = v->arch.kvm.run;
    struct kvm_interrupt irq;
    int err, vector = axvcpu_irq_next(v);

    if (vector >= 0 && run->ready_for_interrupt_injection &&
        (run->exit_reason != KVM_EXIT_MMIO || run->mmio.is_write)) {
        irq.irq = (uint32_t)vector;
        err = AXVCPU_I_KVM(v->arch.kvm.fd, KVM_INTERRUPT, &irq, NULL);
        if (err != 0)
            return err;
        run->ready_for_interrupt_injection = 0;
        axvcpu_irq_take(v, (uint32_t)vector);
        vector = axvcpu_irq_next(v);
    }
    run->request_interrupt_window = vector >= 0;
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
        return axvcpu_i_kvm_say(AXVCPU_EINVAL, "inject_exception: no such exception");
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

    return queued && (v->arch.kvm.vm->kvm.irqchip || *enabled != 0);
}

/* >>kvm the rest */

AXVCPU_API uint32_t axvcpu_leaf_max_guest_page_table_levels(const struct axvcpu_percpu *p)
{
    (void)p;
    return 4;
}

AXVCPU_API bool axvm_leaf_is_target(const struct axvcpu *v, uint64_t target)
{
    return v->vcpu_id == target;
}

static void axvcpu_i_x86_deliver(struct axvcpu *to, const struct axvcpu_exit_ipi *ipi)
{
    switch (AXVCPU_X86_ICR_MODE(ipi->aux)) {
    case AXVCPU_X86_ICR_FIXED:
    case AXVCPU_X86_ICR_LOWEST: (void)axvcpu_inject_interrupt(to, ipi->vector); break;
    case AXVCPU_X86_ICR_NMI: (void)axvcpu_inject_nmi(to); break;
    default: break; /* INIT: a start-up IPI follows */
    }
}

/* An IPI to vCPUs by number goes there; logical destinations are for a local APIC that knows them. */
AXVCPU_API enum axvm_answer axvm_leaf_answer(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x)
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

#endif /* AXVCPU_KVM */
#endif /* the selected backend */

AXVCPU_I_C_END

#endif /* AXVCPU_IMPLEMENTATION */
