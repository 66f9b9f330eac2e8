// SPDX-License-Identifier: Apache-2.0
//
// Hostile guests of a PC, under SVM, VMX or KVM (SDM 2 for the instructions).
#define _GNU_SOURCE
#include "hostile.h"

const uint64_t hostile_table_mask = ~UINT64_C(0x360); // accessed and dirty, of AMD's and of Intel's
const uint32_t hostile_gprs = 16;

uint32_t hostile_vectors(void)
{
    return hostile_below(256);
}

void hostile_exception(uint32_t *vector, uint64_t *error)
{
    *vector = hostile_below(32);
    *error = hostile_random() & 0xffff;
}

void hostile_mode(struct axvm_arch_desc *vm, struct axvcpu_arch_setup *setup)
{
    static const uint32_t modes[] = {MODE_REAL, MODE_PROTECTED, MODE_LONG, MODE_LONG};
    (void)vm;
    setup->mode = modes[hostile_below(COUNT(modes))];
}

// Some things of a guest end QEMU 7.2 itself, or its SVM's host:
// - a breakpoint of DR7 where the delivery of an exception reads ("assertion failed: !qemu_mutex_iothread_locked"), or
//   on code of a segment that has a base (a segmentation fault in gdb_set_stop_cpu);
// - a write of CR8 while a virtual interrupt waits ("assertion failed: qemu_mutex_iothread_locked");
// - EFER.LME while CR0.PG and CR4.PAE are clear: an exit then leaves CR0 the guest's;
// - BT, BTS, BTR or BTC of a register with LOCK ("tcg fatal error").
static bool is_tcg(void)
{
    uint32_t eax = 0x40000000, ebx, ecx = 0, edx;
    __asm__("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
    return ebx == 0x54474354; // "TCGT"
}

static bool is_bt_of_register(const uint8_t *code)
{
    static const uint8_t ops[] = {0xa3, 0xab, 0xb3, 0xba, 0xbb};
    bool bt = false;
    for (size_t i = 0; i < COUNT(ops); i++)
        bt = bt || code[1] == ops[i];
    return code[0] == 0x0f && bt && code[2] >= 0xc0;
}

// MOV to DR7, or DR5, which it is without CR4.DE.
static bool is_to_dr7(const uint8_t *code)
{
    return code[0] == 0x0f && code[1] == 0x23 && (code[2] & 0x28) == 0x28;
}

// MOV to CR0, which is CR8 with REX.R or LOCK.
static bool is_to_cr0(const uint8_t *code)
{
    return code[0] == 0x0f && code[1] == 0x22 && (code[2] & 0x38) == 0;
}

// EFER's number, which is somebody's operand.
static bool is_efer(const uint8_t *code)
{
    return code[0] == 0x80 && code[1] == 0 && code[2] == 0 && code[3] == 0xc0;
}

// Makes one of those harmless, if one is here; `before`: how many bytes of the guest's lie in front of it.
static void mend(uint8_t *insn, size_t before)
{
    bool cr0 = is_to_cr0(insn);
    if (cr0 && before > 0 && (insn[-1] & 0xf4) == 0x44)
        insn[-1] = 0x90;
    if (cr0 || is_bt_of_register(insn))
        for (uint8_t *p = insn - (before < 12 ? before : 12); p < insn; p++)
            *p = *p == 0xf0 ? 0x90 : *p;
    if (!AXVCPU_I_HOSTED && is_to_dr7(insn)) // a kernel can have it for itself (below)
        insn[2] &= 0xd7;
    if (before > 0 && is_efer(insn - 1)) // one byte longer than the others
        insn[-1]++;
}

// Prefixes become NOPs, DR7 and EFER other registers.
void hostile_mend(uint8_t *code, size_t size)
{
    static int wanted = -1;
    if (wanted < 0)
        wanted = is_tcg();
    for (size_t i = 0; wanted && i + 3 <= size; i++)
        mend(code + i, i);
}

#if AXVCPU_I_HOSTED
#include <linux/kvm.h>
#include <sys/ioctl.h>

// api.rst, KVM_SET_GUEST_DEBUG: the breakpoints are the host's.
void hostile_exclude(struct axvcpu *v)
{
    struct kvm_guest_debug debug = {.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP, .arch.debugreg[7] = 0x400};
    if (is_tcg())
        (void)ioctl(axvcpu_kvm_fd(v), KVM_SET_GUEST_DEBUG, &debug);
}
#else
// Bochs 2.7 keeps interrupts from a guest that has IF clear. SVM has nothing instead.
void hostile_bound(struct axvcpu_arch_setup *setup)
{
    uint32_t eax = 1, ebx, ecx = 0, edx;
    __asm__("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
    setup->slice = (ecx >> 5 & 1) != 0 ? 20000 : 0;
}

// Be it "no rule broken": Bochs has two of its own, about CS in real mode and about error codes.
bool hostile_explains(struct axvcpu *v)
{
    char text[1000];
    return axvcpu_explain_entry_failure(v, text, sizeof text) > 0;
}

bool hostile_owns(const struct axvcpu *v, uint64_t frame)
{
    return frame - v->arch.hw_pa < 2 * 4096; // VMCB or VMCS, and FPU
}
#endif

// A handler for real mode that goes on one byte further, in the program.
extern const uint8_t hostile_next[], hostile_next_end[];
__asm__(".section .rodata\n\t.code16\n"
        "hostile_next:\n"
        "\tpush %bp\n\tmov %sp, %bp\n"
        "\tincw 2(%bp)\n\tandw $0x3fff, 2(%bp)\n\taddw $0x1000, 2(%bp)\n\tmovw $0, 4(%bp)\n"
        "\tpop %bp\n\tiret\n"
        "hostile_next_end:\n"
        "\t.code64\n\t.previous\n");

void hostile_free(struct axvcpu *v, uint8_t *ram)
{
    bool goes_on = hostile_goes_on();
    AXVCPU_MEMCPY(ram + HANDLER, hostile_next, (size_t)(hostile_next_end - hostile_next));
    for (uint32_t i = 0; i < 256; i++) { // real mode's vectors: there, or somewhere in the program
        uint32_t to = goes_on ? HANDLER / 16 << 16 : LOAD + hostile_below(0x4000);
        AXVCPU_MEMCPY(ram + 4 * i, &to, 4);
    }
    (void)axvcpu_set_reg(v, AXVCPU_REG_FLAGS, (hostile_random() & 0xcd5) | 2);
}

// ---- instructions

static uint32_t bytes(uint8_t *to, const uint8_t *from, uint32_t n)
{
    AXVCPU_MEMCPY(to, from, n);
    return n;
}

static uint32_t any(uint8_t *to, uint32_t n)
{
    uint64_t value = hostile_random();
    AXVCPU_MEMCPY(to, &value, n);
    return n;
}

static uint32_t word(uint8_t *to, uint64_t value)
{
    uint32_t low = (uint32_t)value;
    AXVCPU_MEMCPY(to, &low, 4);
    return 4;
}

static uint32_t prefix(uint8_t *to)
{
    static const uint8_t all[] = {0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x2e, 0x36, 0x3e, 0x26, 0x64, 0x65, 0x48, 0x41, 0x44, 0x4c, 0x40};
    to[0] = all[hostile_below(COUNT(all))];
    return hostile_below(2);
}

static uint32_t port(uint8_t *to)
{
    static const uint8_t all[] = {0xe4, 0xe5, 0xe6, 0xe7, 0xec, 0xed, 0xee, 0xef, 0x6c, 0x6d, 0x6e, 0x6f};
    uint32_t n = prefix(to);
    to[n++] = all[hostile_below(COUNT(all))];
    return n + any(to + n, 1);
}

// Through a register, or an absolute address: a device's, or memory's.
static uint32_t memory(uint8_t *to)
{
    static const uint8_t all[] = {0x88, 0x89, 0x8a, 0x8b, 0xc6, 0xc7, 0x00, 0x01, 0x09, 0x21, 0x31, 0x86, 0x87, 0x84, 0xf6, 0xf7,
                                  0xfe, 0xff, 0xa4, 0xa5, 0xaa, 0xab, 0xa6, 0xae, 0x80, 0x81, 0x83, 0x8c, 0x8e, 0x63, 0xd8, 0xdd};
    static const uint8_t long_ones[] = {0xb6, 0xb7, 0xbe, 0xbf, 0xb0, 0xb1, 0xc0, 0xc1, 0xab, 0xb3, 0xbb, 0xba, 0xa3, 0xc7, 0x10, 0x6f, 0xae};
    uint32_t n = prefix(to);
    if (hostile_below(3) == 0) {
        to[n++] = 0x0f;
        to[n++] = long_ones[hostile_below(COUNT(long_ones))];
    } else {
        to[n++] = all[hostile_below(COUNT(all))];
    }
    if (hostile_below(2) == 0)
        return n + any(to + n, 2);
    to[n++] = (uint8_t)(0x04 | (hostile_random() & 0x38));
    to[n++] = 0x25; // no base, no index: disp32
    n += word(to + n, hostile_below(2) != 0 ? MMIO + hostile_below(0x1000) : hostile_value());
    return n + any(to + n, 4);
}

// RDMSR, WRMSR, CPUID, XSETBV, VMCALL and the like, of a number that may exist.
static uint32_t numbered(uint8_t *to)
{
    static const uint32_t all[] = {0x10, 0x1b, 0x8b, 0x174, 0x175, 0x176, 0x1a0, 0x1d9, 0x277, 0x2ff, 0x3a, 0x480, 0x48b, 0x6e0, 0x830,
                                   0xc0000080, 0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084, 0xc0000100, 0xc0000101, 0xc0000102,
                                   0xc0000103, 0xc0010114, 0xc0010117, 0xc0010015, 0xda0, 0x0, 0x1, 0x7, 0xd, 0x40000000, 0x80000001};
    static const uint8_t ops[][3] = {{0x0f, 0x30, 0x90}, {0x0f, 0x32, 0x90}, {0x0f, 0xa2, 0x90}, {0x0f, 0x33, 0x90}, {0x0f, 0x01, 0xd1},
                                     {0x0f, 0x01, 0xd0}, {0x0f, 0x01, 0xc1}, {0x0f, 0x01, 0xd9}};
    uint32_t n = 1;
    to[0] = (hostile_random() & 1) != 0 ? 0xb9 : 0xb8; // mov ecx; mov eax
    n += word(to + n, hostile_below(8) == 0 ? hostile_random() : all[hostile_below(COUNT(all))]);
    return n + bytes(to + n, ops[hostile_below(COUNT(ops))], 3);
}

static uint32_t privileged(uint8_t *to)
{
    static const uint8_t all[][3] = {
        {0xf4, 0x90, 0x90}, {0xfa, 0x90, 0x90}, {0xfb, 0xf4, 0x90}, {0xfb, 0x90, 0x90}, {0x0f, 0x08, 0x90}, {0x0f, 0x09, 0x90}, {0x0f, 0x06, 0x90},
        {0x0f, 0x31, 0x90}, {0x0f, 0x0b, 0x90}, {0x0f, 0xaa, 0x90}, {0x0f, 0x05, 0x90}, {0x0f, 0x07, 0x90}, {0x0f, 0x34, 0x90}, {0x0f, 0x35, 0x90},
        {0x0f, 0x01, 0xd8}, {0x0f, 0x01, 0xda}, {0x0f, 0x01, 0xdb}, {0x0f, 0x01, 0xdc}, {0x0f, 0x01, 0xdd}, {0x0f, 0x01, 0xde}, {0x0f, 0x01, 0xdf},
        {0x0f, 0x01, 0xc2}, {0x0f, 0x01, 0xc3}, {0x0f, 0x01, 0xc4}, {0x0f, 0x01, 0xc8}, {0x0f, 0x01, 0xc9}, {0x0f, 0x01, 0xf8}, {0x0f, 0x01, 0xf9},
        {0xcc, 0x90, 0x90}, {0xce, 0x90, 0x90}, {0xcf, 0x90, 0x90}, {0xf1, 0x90, 0x90}, {0xcb, 0x90, 0x90}, {0x9d, 0x90, 0x90}, {0xf3, 0x90, 0x90}};
    uint32_t n = 0;
    switch (hostile_below(4)) {
    case 0: // control and debug registers
        to[n++] = 0x0f;
        to[n++] = (uint8_t)(0x20 + hostile_below(4));
        to[n++] = (uint8_t)(0xc0 | hostile_random());
        return n;
    case 1: // tables, MSW, INVLPG; TR and LDT; VMX's own
        to[n++] = 0x0f;
        to[n++] = (uint8_t)hostile_below(3);
        return n + any(to + n, 2);
    case 2:
        to[n++] = 0xcd; // int
        return n + any(to + n, 1);
    default: return bytes(to, all[hostile_below(COUNT(all))], 3);
    }
}

static uint32_t jump(uint8_t *to)
{
    static const uint8_t all[] = {0xeb, 0x74, 0x75, 0xe2, 0xe3, 0x72};
    to[0] = all[hostile_below(COUNT(all))];
    to[1] = (uint8_t)hostile_below(32);
    return 2;
}

uint32_t hostile_insn(uint8_t to[MAX_INSN])
{
    uint32_t kind = hostile_below(100);
    if (kind < 15)
        return any(to, 1 + hostile_below(8));
    if (kind < 35)
        return port(to);
    if (kind < 60)
        return memory(to);
    if (kind < 75)
        return numbered(to);
    return kind < 92 ? privileged(to) : jump(to);
}

// ---- the host's registers

#define REG(op) __extension__({ uint64_t value_; __asm__ volatile(op : "=r"(value_)); value_; })
#define SELECTOR(name) __extension__({ uint16_t value_; __asm__ volatile("mov %%" name ", %0" : "=r"(value_)); value_; })
#define STORED(type, op) __extension__({ type value_; __asm__ volatile(op " %0" : "=m"(value_)); value_; })
#define FLAGS (__builtin_ia32_readeflags_u64() & ~UINT64_C(0x8d5))
#if AXVCPU_I_HOSTED
#include <asm/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static uint64_t base(int which)
{
    uint64_t value = 0;
    (void)syscall(SYS_arch_prctl, which, &value);
    return value;
}

#define ALWAYS(X)                                                                                               \
    X(MXCSR, STORED(uint32_t, "stmxcsr")) X(FPU_CONTROL, STORED(uint16_t, "fnstcw")) X(FPU_STATUS, STORED(uint16_t, "fnstsw")) \
    X(CS, SELECTOR("cs")) X(SS, SELECTOR("ss")) X(DS, SELECTOR("ds")) X(ES, SELECTOR("es")) X(FS, SELECTOR("fs"))   \
    X(GS, SELECTOR("gs")) X(FLAGS, FLAGS) X(FS_BASE, base(ARCH_GET_FS)) X(GS_BASE, base(ARCH_GET_GS))
#define UNBOUND HOSTILE_NONE
#define KEPT "0x400"
#else
#define KEPT "0x600"
struct table {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));
#define TABLE(op) STORED(struct table, op)

static uint64_t msr(uint32_t number)
{
    uint32_t low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(number));
    return (uint64_t)high << 32 | low;
}

static uint64_t xcr0(void)
{
    uint32_t low = 0, high = 0;
    if ((REG("mov %%cr4, %0") >> 18 & 1) != 0)
        __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static uint64_t task(void)
{
    uint16_t value;
    __asm__ volatile("str %0" : "=r"(value));
    return value;
}

static uint64_t local(void)
{
    uint16_t value;
    __asm__ volatile("sldt %0" : "=r"(value));
    return value;
}

#define ALWAYS(X)                                                                                                  \
    X(CR0, REG("mov %%cr0, %0")) X(CR3, REG("mov %%cr3, %0")) X(CR4, REG("mov %%cr4, %0")) X(CR8, REG("mov %%cr8, %0")) \
    X(EFER, msr(0xc0000080)) X(GS_BASE, msr(0xc0000101)) X(APIC_BASE, msr(0x1b)) X(GDT, TABLE("sgdt").base)           \
     X(IDT, TABLE("sidt").base) X(CS, SELECTOR("cs")) \
    X(SS, SELECTOR("ss")) X(TR, task()) X(FLAGS, FLAGS)
#define UNBOUND(X)                                                                                                  \
    X(GDT_LIMIT, TABLE("sgdt").limit) X(IDT_LIMIT, TABLE("sidt").limit) /* an exit of VMX makes them 0xffff */ \
    X(DS, SELECTOR("ds")) X(ES, SELECTOR("es")) X(FS, SELECTOR("fs")) X(GS, SELECTOR("gs")) X(LDTR, local()) \
    X(FS_BASE, msr(0xc0000100)) X(KERNEL_GS_BASE, msr(0xc0000102)) X(STAR, msr(0xc0000081)) X(LSTAR, msr(0xc0000082)) \
    X(CSTAR, msr(0xc0000083)) X(SFMASK, msr(0xc0000084)) X(SYSENTER_CS, msr(0x174)) X(SYSENTER_ESP, msr(0x175))     \
    X(SYSENTER_EIP, msr(0x176)) X(PAT, msr(0x277)) X(CR2, REG("mov %%cr2, %0")) X(DR0, REG("mov %%dr0, %0"))        \
    X(DR1, REG("mov %%dr1, %0")) X(DR2, REG("mov %%dr2, %0")) X(DR3, REG("mov %%dr3, %0")) X(DR6, REG("mov %%dr6, %0")) \
    X(DR7, REG("mov %%dr7, %0")) X(XCR0, xcr0())

extern const uint8_t machine_tables[];

uint32_t hostile_ranges(struct hostile_range *to)
{
    struct table gdt = TABLE("sgdt"), idt = TABLE("sidt");
    to[0] = (struct hostile_range){"the GDT", (const void *)(uintptr_t)gdt.base, (size_t)gdt.limit + 1, UINT64_MAX};
    to[1] = (struct hostile_range){"the IDT", (const void *)(uintptr_t)idt.base, (size_t)idt.limit + 1, UINT64_MAX};
    to[2] = (struct hostile_range){"the page tables", machine_tables, 0x6000, ~UINT64_C(0x60)}; // accessed, dirty
    return 3;
}
#endif
HOSTILE_WORDS(ALWAYS, UNBOUND)

const char *const hostile_register_names[] = {"rbx", "rbp", "r12", "r13", "r14", "r15", "rsp", "rflags.DF or a bare host's IF"};

// Each register holds its own number, and a pattern.
__asm__(".text\n"
        "\t.globl hostile_call\n"
        "hostile_call:\n"
        "\tpush %rbx\n\tpush %rbp\n\tpush %r12\n\tpush %r13\n\tpush %r14\n\tpush %r15\n\tpush %rcx\n"
        "\tmov %rdi, %rax\n\tmov %rsi, %rdi\n\tmov %rdx, %rsi\n"
        "\tmov %rsp, hostile_stack(%rip)\n"
        "\tmov $0x5a5a1111, %ebx\n\tmov $0x5a5a2222, %ebp\n\tmov $0x5a5a3333, %r12d\n\tmov $0x5a5a4444, %r13d\n"
        "\tmov $0x5a5a5555, %r14d\n\tmov $0x5a5a6666, %r15d\n"
        "\tcall *%rax\n"
        "\txor %edx, %edx\n\txor %ecx, %ecx\n"
        ".macro hostile_test i\n\tsetne %cl\n\tshl $\\i, %ecx\n\tor %ecx, %edx\n\txor %ecx, %ecx\n.endm\n"
        "\tcmp $0x5a5a1111, %rbx\n\thostile_test 0\n"
        "\tcmp $0x5a5a2222, %rbp\n\thostile_test 1\n"
        "\tcmp $0x5a5a3333, %r12\n\thostile_test 2\n"
        "\tcmp $0x5a5a4444, %r13\n\thostile_test 3\n"
        "\tcmp $0x5a5a5555, %r14\n\thostile_test 4\n"
        "\tcmp $0x5a5a6666, %r15\n\thostile_test 5\n"
        "\tcmp hostile_stack(%rip), %rsp\n\thostile_test 6\n"
        "\tpushf\n\tpop %rdi\n\ttest $" KEPT ", %edi\n\thostile_test 7\n"
        "\tpop %rcx\n\tmov %rdx, (%rcx)\n"
        "\tpop %r15\n\tpop %r14\n\tpop %r13\n\tpop %r12\n\tpop %rbp\n\tpop %rbx\n"
        "\tret\n"
        "\t.local hostile_stack\n\t.comm hostile_stack, 8, 8\n");
