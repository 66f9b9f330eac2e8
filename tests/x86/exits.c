// SPDX-License-Identifier: Apache-2.0
//
// What the VMCB and the VMCS say of an exit, as the manuals have it (APM 2, appendix C and 15; SDM 3, appendix C and
// 28.2), and what is made of it. The numbers are the manuals'. An event on its way goes on, or starts again.
#include "decode.h"
#include "tests/tap.h"

#include <stdio.h>

enum { NO = 0, NRIP = 1, ASSISTS = 2, BOTH = 3, RIP = 0x1000, C16 = 16, C32 = 32, C64 = 64 };

static const char *const causes[] = {
#define NAME(name) #name,
    AXVCPU_X86_CAUSES(NAME)
#undef NAME
};

#define C(name) AXVCPU_X86_CAUSE_##name
#define R AXVCPU_ACCESS_READ
#define W AXVCPU_ACCESS_WRITE
#define X AXVCPU_ACCESS_EXEC
#define WALK AXVCPU_ACCESS_WALK

// What a row expects besides cause and length, packed: all the record's parts that belong to the cause.
static uint64_t parts(const struct axvcpu_x86_left *l)
{
    switch (l->cause) {
    case C(IO):
        return (uint64_t)l->io.port | (uint64_t)l->io.width << 16 | (uint64_t)l->io.flags << 24 |
               (uint64_t)l->io.address_width << 32 | (uint64_t)l->io.segment << 40;
    case C(CR):
    case C(DR):
        return (uint64_t)l->cr.nr | (uint64_t)l->cr.reg << 8 | (uint64_t)l->cr.op << 16 | (uint64_t)l->cr.memory << 24 |
               (uint64_t)l->cr.source << 32 | (uint64_t)l->cr.sourced << 48;
    case C(MEMORY):
    case C(MISCONFIG): return l->gpa | (uint64_t)l->access << 48 | (uint64_t)l->has_linear << 56;
    case C(EXCEPTION): return l->event.info | (uint64_t)l->event.error << 32;
    case C(INVALID): return l->fail;
    case C(INVLPG): return l->linear;
    case C(INTERRUPT):
    case C(STARTUP):
    case C(EOI): return l->vector;
    default: return 0;
    }
}
#define IO(port, width, flags, address, segment) \
    ((uint64_t)(port) | (uint64_t)(width) << 16 | (uint64_t)(flags) << 24 | (uint64_t)(address) << 32 | (uint64_t)(segment) << 40)
#define CR(nr, reg, op, memory, source) \
    ((uint64_t)(nr) | (uint64_t)(reg) << 8 | (uint64_t)(op) << 16 | (uint64_t)(memory) << 24 | (uint64_t)(source) << 32)
#define SOURCED (UINT64_C(1) << 48)
#define MEM(gpa, access, linear) ((uint64_t)(gpa) | (uint64_t)(access) << 48 | (uint64_t)(linear) << 56)
#define EXC(info, error) ((uint64_t)(info) | (uint64_t)(error) << 32)
enum { IN = 1, STR = 2, REP = 4, TO = 0, FROM, CLTS, LMSW, SMSW, ES = 0, SS = 2, DS = 3, GS = 5 };

// ---- SVM

struct svm {
    const char *name;
    uint64_t code, info1, info2, next;
    int has, bits;
    uint8_t size, bytes[6];
    uint32_t cause, length;
    uint64_t parts;
};
#define ONE(code, cause) {#code " " #cause, code, 0, 0, 0, NO, C64, 0, {0}, C(cause), 0, 0}
#define NEXT(code, n, cause) {#code " " #cause " with next RIP", code, 0, 0, RIP + (n), NRIP, C64, 0, {0}, C(cause), n, 0}
static const struct svm svm_rows[] = {
    ONE(0x62, SMI), ONE(0x63, INIT), ONE(0x64, WINDOW), ONE(0x61, HOST_NMI), ONE(0x74, NMI_WINDOW), ONE(0x7d, TASK),
    ONE(0x7f, SHUTDOWN), ONE(0x73, UNDEFINED), ONE(0x7a, UNDEFINED), ONE(0x80, UNDEFINED), ONE(0x82, UNDEFINED),
    ONE(0x83, UNDEFINED), ONE(0x84, UNDEFINED), ONE(0x85, UNDEFINED), ONE(0x86, UNDEFINED), ONE(0x8e, UNDEFINED),
    ONE(0xa2, UNDEFINED), ONE(0x70, RAW), ONE(0x7e, RAW), ONE(0x88, RAW), ONE(0x401, RAW), ONE(0x403, RAW), ONE(0x12345, RAW),
    {"INTR: still pending", 0x60, 0, 0, 0, NO, C64, 0, {0}, C(INTERRUPT), 0, AXVCPU_NO_VECTOR},
    {"INVALID", UINT64_MAX, 0, 0, 0, NO, C64, 0, {0}, C(INVALID), 0, AXVCPU_X86_FAIL_STATE},
    {"BUSY", UINT64_MAX - 1, 0, 0, 0, NO, C64, 0, {0}, C(INVALID), 0, AXVCPU_X86_FAIL_BUSY},
    NEXT(0x72, 2, CPUID), NEXT(0x78, 1, HLT), NEXT(0x81, 3, HYPERCALL), NEXT(0x76, 2, CACHE), NEXT(0x89, 2, CACHE),
    NEXT(0x77, 2, PAUSE), NEXT(0x6e, 2, RDTSC), NEXT(0x87, 3, RDTSCP), NEXT(0x6f, 2, RDPMC), NEXT(0x8a, 3, MONITOR),
    NEXT(0x8b, 3, MWAIT), NEXT(0x8c, 3, MWAIT), NEXT(0x8d, 3, XSETBV), NEXT(0x66, 4, TABLES), NEXT(0x6d, 3, TABLES),
    // without next RIPs the bytes say
    {"CPUID", 0x72, 0, 0, 0, NO, C64, 2, {0x0f, 0xa2}, C(CPUID), 2, 0},
    {"CPUID behind prefixes", 0x72, 0, 0, 0, NO, C64, 5, {0x66, 0x2e, 0x48, 0x0f, 0xa2}, C(CPUID), 5, 0},
    {"HLT", 0x78, 0, 0, 0, NO, C16, 1, {0xf4}, C(HLT), 1, 0},
    {"VMMCALL", 0x81, 0, 0, 0, NO, C32, 3, {0x0f, 0x01, 0xd9}, C(HYPERCALL), 3, 0},
    {"RDMSR", 0x7c, 0, 0, 0, NO, C64, 2, {0x0f, 0x32}, C(RDMSR), 2, 0},
    {"WRMSR", 0x7c, 1, 0, 0, NO, C64, 2, {0x0f, 0x30}, C(WRMSR), 2, 0},
    {"XSETBV", 0x8d, 0, 0, 0, NO, C64, 3, {0x0f, 0x01, 0xd1}, C(XSETBV), 3, 0},
    {"PAUSE", 0x77, 0, 0, 0, NO, C64, 2, {0xf3, 0x90}, C(PAUSE), 2, 0},
    {"WBINVD", 0x89, 0, 0, 0, NO, C64, 2, {0x0f, 0x09}, C(CACHE), 2, 0},
    {"INVLPG [rax+disp8]", 0x79, 0, 0, 0, NO, C64, 4, {0x0f, 0x01, 0x78, 0x10}, C(INVLPG), 4, 0},
    {"INVLPG with assists", 0x79, 0xabc000, 0, RIP + 3, BOTH, C64, 0, {0}, C(INVLPG), 3, 0xabc000},
    {"a next RIP that is this one", 0x72, 0, 0, RIP, NRIP, C64, 2, {0x0f, 0xa2}, C(CPUID), 2, 0},
    {"a next RIP that cannot be", 0x72, 0, 0, 0, NRIP, C64, 2, {0x0f, 0xa2}, C(CPUID), 2, 0},
    // ports: the next RIP is in EXITINFO2
    {"IN AL, 60h", 0x7b, 0x00600211, RIP + 2, 0, NO, C64, 0, {0}, C(IO), 2, IO(0x60, 1, IN, 8, ES)},
    {"OUT DX, AX", 0x7b, 0x03f80120, RIP + 2, 0, NO, C32, 0, {0}, C(IO), 2, IO(0x3f8, 2, 0, 4, DS)},
    {"IN EAX, DX", 0x7b, 0x0cf80241, RIP + 1, 0, NO, C64, 0, {0}, C(IO), 1, IO(0xcf8, 4, IN, 8, ES)},
    {"REP INSB", 0x7b, 0x0060021d, RIP + 2, 0, NO, C64, 0, {0}, C(IO), 2, IO(0x60, 1, IN | STR | REP, 8, ES)},
    {"OUTSW of 16 bits, by GS", 0x7b, 0x006014a4, RIP + 3, 0, ASSISTS, C16, 0, {0}, C(IO), 3, IO(0x60, 2, STR, 2, GS)},
    {"OUTSD of 32 bits", 0x7b, 0x00600d44, RIP + 1, 0, NO, C32, 1, {0x6f}, C(IO), 1, IO(0x60, 4, STR, 4, DS)},
    {"OUTSB by FS, without assists", 0x7b, 0x00600214, RIP + 2, 0, NO, C64, 2, {0x64, 0x6e}, C(IO), 2, IO(0x60, 1, STR, 8, 4)},
    {"OUTSB by ES in 64 bits is by DS", 0x7b, 0x00600214, RIP + 2, 0, NO, C64, 2, {0x26, 0x6e}, C(IO), 2, IO(0x60, 1, STR, 8, DS)},
    {"OUTSB by SS, as QEMU has it", 0x7b, 0x00600014, RIP + 3, 0, NO, C32, 3, {0x36, 0x67, 0x6e}, C(IO), 3, IO(0x60, 1, STR, 2, SS)},
    {"REP INSB, as QEMU has it", 0x7b, 0x0060001d, RIP + 3, 0, NO, C64, 3, {0x67, 0xf3, 0x6c}, C(IO), 3, IO(0x60, 1, IN | STR | REP, 4, ES)},
    {"an address size that is missing, with assists", 0x7b, 0x00600814, RIP + 2, 0, ASSISTS, C16, 2, {0x36, 0x6e}, C(IO), 2, IO(0x60, 1, STR, 2, SS)},
    {"OUT DX, AL whose next RIP has wrapped", 0x7b, 0x03f80110, 1, 0, NO, C16, 1, {0xee}, C(IO), 1, IO(0x3f8, 1, 0, 4, DS)},
    // control registers
    {"MOV CR0, RBX with assists", 0x10, UINT64_C(1) << 63 | 3, 0, RIP + 3, BOTH, C64, 0, {0}, C(CR), 3, CR(0, 3, TO, 0, 0)},
    {"MOV R9, CR4 with assists", 0x04, UINT64_C(1) << 63 | 9, 0, RIP + 4, BOTH, C64, 0, {0}, C(CR), 4, CR(4, 9, FROM, 0, 0)},
    {"MOV CR3, RCX by its bytes", 0x13, 0, 0, 0, NO, C64, 3, {0x0f, 0x22, 0xd9}, C(CR), 3, CR(3, 1, TO, 0, 0)},
    {"MOV CR8, R10 by its bytes", 0x18, 0, 0, 0, NO, C64, 4, {0x45, 0x0f, 0x22, 0xc2}, C(CR), 4, CR(8, 10, TO, 0, 0)},
    {"MOV EAX, CR0 by its bytes", 0x00, 0, 0, 0, NO, C32, 3, {0x0f, 0x20, 0xc0}, C(CR), 3, CR(0, 0, FROM, 0, 0)},
    {"CLTS, though there are assists", 0x10, 0, 0, RIP + 2, BOTH, C64, 2, {0x0f, 0x06}, C(CR), 2, CR(0, 0, CLTS, 0, 0)},
    {"LMSW BX", 0x10, 0, 0, 0, NO, C16, 3, {0x0f, 0x01, 0xf3}, C(CR), 3, CR(0, 3, LMSW, 0, 0)},
    {"LMSW [RAX]", 0x65, 0, 0, 0, NO, C64, 3, {0x0f, 0x01, 0x30}, C(CR), 3, CR(0, 0, LMSW, 1, 0)},
    {"SMSW ECX", 0x00, 0, 0, 0, NO, C32, 3, {0x0f, 0x01, 0xe1}, C(CR), 3, CR(0, 1, SMSW, 0, 0)},
    {"a selective write of CR0", 0x65, 0, 0, 0, NO, C64, 3, {0x0f, 0x22, 0xc2}, C(CR), 3, CR(0, 2, TO, 0, 0)},
    {"a write of CR0 by something else", 0x10, 0, 0, 0, NO, C64, 2, {0x0f, 0xa2}, C(RAW), 2, 0},
    {"... by one byte", 0x10, 0, 0, 0, NO, C64, 1, {0xf4}, C(RAW), 1, 0},
    {"MOV DR7, RDI with assists", 0x37, 7, 0, RIP + 3, BOTH, C64, 0, {0}, C(DR), 3, CR(7, 7, TO, 0, 0)},
    {"MOV RDX, DR6 by its bytes", 0x26, 0, 0, 0, NO, C64, 3, {0x0f, 0x21, 0xf2}, C(DR), 3, CR(6, 2, FROM, 0, 0)},
    // memory
    {"NPF: a read", 0x400, UINT64_C(1) << 32 | 4, 0xfee00010, 0, NO, C64, 0, {0}, C(MEMORY), 0, MEM(0xfee00010, R, 0)},
    {"NPF: a write", 0x400, UINT64_C(1) << 32 | 6, 0x1000, 0, NO, C64, 0, {0}, C(MEMORY), 0, MEM(0x1000, W, 0)},
    {"NPF: a fetch", 0x400, UINT64_C(1) << 32 | 0x14, 0x2000, 0, NO, C64, 0, {0}, C(MEMORY), 0, MEM(0x2000, X, 0)},
    {"NPF: of a table", 0x400, UINT64_C(1) << 33 | 6, 0x3000, 0, NO, C64, 0, {0}, C(MEMORY), 0, MEM(0x3000, W | WALK, 0)},
    {"NPF: reserved bits", 0x400, UINT64_C(1) << 32 | 0xd, 0x4000, 0, NO, C64, 0, {0}, C(MISCONFIG), 0, MEM(0x4000, R, 0)},
    // exceptions
    {"#UD", 0x46, 0, 0, 0, NO, C64, 0, {0}, C(EXCEPTION), 0, EXC(0x80000306, 0)},
    {"#GP", 0x4d, 0x18, 0, 0, NO, C64, 0, {0}, C(EXCEPTION), 0, EXC(0x80000b0d, 0x18)},
    {"#PF", 0x4e, 7, 0xdead000, 0, NO, C64, 0, {0}, C(EXCEPTION), 0, EXC(0x80000b0e, 7)},
    {"#DF has an error code of 0", 0x48, 0, 0, 0, NO, C64, 0, {0}, C(EXCEPTION), 0, EXC(0x80000b08, 0)},
    {"vector 16 is an exception only by this code", 0x50, 0, 0, 0, NO, C64, 0, {0}, C(EXCEPTION), 0, EXC(0x80000310, 0)},
};

static struct axvcpu_x86_svm_raw svm_raw(const struct svm *r)
{
    return (struct axvcpu_x86_svm_raw){.code = r->code, .info1 = r->info1, .info2 = r->info2, .rip = RIP, .next_rip = r->next,
                                       .bytes = r->bytes, .size = r->size, .bits = (uint32_t)r->bits, .nrip = r->has & NRIP,
                                       .assists = (r->has & ASSISTS) != 0};
}

static void check(const char *vendor, const char *name, const struct axvcpu_x86_left *l, uint32_t cause, uint32_t length, uint64_t want)
{
    if (!ok(l->cause == cause && l->length == length && parts(l) == want, "%s: %s", vendor, name))
        note("  got %s, %u bytes, %" PRIx64 "; expected %s, %u bytes, %" PRIx64, causes[l->cause], l->length, parts(l),
             causes[cause], length, want);
}

static void svm(void)
{
    struct axvcpu_x86_left l;
    for (const struct svm *r = svm_rows; r < svm_rows + COUNT(svm_rows); r++) {
        struct axvcpu_x86_svm_raw raw = svm_raw(r);
        bool told = axvcpu_x86_svm_left(&raw, &l);
        check("SVM", r->name, &l, r->cause, r->length, r->parts);
        if (!told)
            ok(false, "SVM: %s: was told", r->name);
        if (r->size == 0)
            continue;
        raw.size = 0;
        told = axvcpu_x86_svm_left(&raw, &l); // next RIPs may save it the bytes
        ok(told == (r->has == BOTH && r->cause != C(CR)), "SVM: %s: %s bytes", r->name, told ? "needs no" : "asks for");
    }
}

// ---- VMX

struct vmx {
    const char *name;
    uint64_t reason, qualification;
    uint32_t info, int_info, int_error;
    uint32_t cause, length;
    uint64_t parts;
};
enum { L = 3, GPA = 0x5000 };
#define INSN(reason, cause) {#reason " " #cause, reason, 0, 0, 0, 0, C(cause), L, 0}
#define EVENT(reason, cause) {#reason " " #cause, reason, 0, 0, 0, 0, C(cause), 0, 0}
static const struct vmx vmx_rows[] = {
    EVENT(2, SHUTDOWN), EVENT(3, INIT), EVENT(5, SMI), EVENT(6, SMI), EVENT(7, WINDOW), EVENT(8, NMI_WINDOW), INSN(9, TASK),
    INSN(10, CPUID), EVENT(11, UNDEFINED), INSN(12, HLT), INSN(13, CACHE), INSN(15, RDPMC), INSN(16, RDTSC),
    EVENT(17, UNDEFINED), INSN(18, HYPERCALL), EVENT(19, UNDEFINED), EVENT(20, UNDEFINED), EVENT(21, UNDEFINED),
    EVENT(22, UNDEFINED), EVENT(23, UNDEFINED), EVENT(24, UNDEFINED), EVENT(25, UNDEFINED), EVENT(26, UNDEFINED),
    EVENT(27, UNDEFINED), INSN(31, RDMSR), INSN(32, WRMSR), INSN(36, MWAIT), EVENT(37, STEP), INSN(39, MONITOR),
    INSN(40, PAUSE), INSN(46, TABLES), INSN(47, TABLES), EVENT(50, UNDEFINED), INSN(51, RDTSCP), EVENT(52, TIMER),
    EVENT(53, UNDEFINED), INSN(54, CACHE), INSN(55, XSETBV), EVENT(58, UNDEFINED), EVENT(35, RAW), EVENT(38, RAW),
    EVENT(43, RAW), EVENT(44, RAW), EVENT(75, RAW), EVENT(76, RAW), EVENT(0xffff, RAW),
    {"external interrupt, acknowledged", 1, 0, 0, 0x80000040, 0, C(INTERRUPT), 0, 0x40},
    {"external interrupt, still pending", 1, 0, 0, 0, 0, C(INTERRUPT), 0, AXVCPU_NO_VECTOR},
    {"SIPI", 4, 0x9a, 0, 0, 0, C(STARTUP), 0, 0x9a},
    {"EOI", 45, 0x31, 0, 0, 0, C(EOI), 0, 0x31},
    {"INVLPG", 14, 0xabc000, 0, 0, 0, C(INVLPG), L, 0xabc000},
    {"entry: guest state", 0x80000021, 0, 0, 0, 0, C(INVALID), 0, AXVCPU_X86_FAIL_STATE},
    {"entry: MSRs", 0x80000022, 1, 0, 0, 0, C(INVALID), 0, AXVCPU_X86_FAIL_MSRS},
    {"entry: machine check", 0x80000029, 0, 0, 0, 0, C(INVALID), 0, AXVCPU_X86_FAIL_MACHINE_CHECK},
    {"NMI", 0, 0, 0, 0x80000202, 0, C(HOST_NMI), 0, 0},
    {"#PF", 0, 0xdead000, 0, 0x80000b0e, 6, C(EXCEPTION), 0, EXC(0x80000b0e, 6)},
    {"#BP", 0, 0, 0, 0x80000603, 0, C(EXCEPTION), 0, EXC(0x80000603, 0)},
    {"#UD after IRET unblocked NMIs", 0, 0, 0, 0x80001306, 0, C(EXCEPTION), 0, EXC(0x80000306, 0)},
    {"MOV CR0, RBX", 28, 0x300, 0, 0, 0, C(CR), L, CR(0, 3, TO, 0, 3 >> 8)},
    {"MOV R9, CR8", 28, 0x918, 0, 0, 0, C(CR), L, CR(8, 9, FROM, 0, 0)},
    {"CLTS", 28, 0x20, 0, 0, 0, C(CR), L, CR(0, 0, CLTS, 0, 0)},
    {"LMSW 1234h", 28, 0x12340030, 0, 0, 0, C(CR), L, SOURCED | CR(0, 0, LMSW, 0, 0x1234)},
    {"LMSW of memory", 28, 0x00010070, 0, 0, 0, C(CR), L, SOURCED | CR(0, 0, LMSW, 1, 1)},
    {"MOV DR7, RDX", 29, 0x207, 0, 0, 0, C(DR), L, CR(7, 2, TO, 0, 0)},
    {"MOV RDX, DR6", 29, 0x216, 0, 0, 0, C(DR), L, CR(6, 2, FROM, 0, 0)},
    {"OUT 80h, AL", 30, 0x00800040, 0, 0, 0, C(IO), L, IO(0x80, 1, 0, 2, ES)},
    {"IN EAX, DX", 30, 0x0cf8000b, 0, 0, 0, C(IO), L, IO(0xcf8, 4, IN, 2, ES)},
    {"REP INSW, 64 bits", 30, 0x01f00039, 2 << 7 | 3 << 15, 0, 0, C(IO), L, IO(0x1f0, 2, IN | STR | REP, 8, ES)},
    {"OUTSB, 32 bits, by SS", 30, 0x00600010, 1 << 7 | 2 << 15, 0, 0, C(IO), L, IO(0x60, 1, STR, 4, SS)},
    {"EPT: a read", 48, 0x181, 0, 0, 0, C(MEMORY), 0, MEM(GPA, R, 1)},
    {"EPT: a write", 48, 0x182, 0, 0, 0, C(MEMORY), 0, MEM(GPA, W, 1)},
    {"EPT: a read-modify-write", 48, 0x183, 0, 0, 0, C(MEMORY), 0, MEM(GPA, W, 1)},
    {"EPT: a fetch", 48, 0x184, 0, 0, 0, C(MEMORY), 0, MEM(GPA, X, 1)},
    {"EPT: of a table", 48, 0x081, 0, 0, 0, C(MEMORY), 0, MEM(GPA, R | WALK, 1)},
    {"EPT: of a table, for its dirty bit", 48, 0x083, 0, 0, 0, C(MEMORY), 0, MEM(GPA, W | WALK, 1)},
    {"EPT: no linear address (MOV CR3's PDPTEs)", 48, 0x001, 0, 0, 0, C(MEMORY), 0, MEM(GPA, R, 0)},
    {"EPT: malformed", 49, 0, 0, 0, 0, C(MISCONFIG), 0, MEM(GPA, 0, 0)},
};

static void vmx(void)
{
    struct axvcpu_x86_left l;
    for (const struct vmx *r = vmx_rows; r < vmx_rows + COUNT(vmx_rows); r++) {
        struct axvcpu_x86_vmx_raw raw = {.reason = r->reason, .qualification = r->qualification, .gpa = GPA, .linear = 0x7000,
                                         .length = L, .info = r->info, .int_info = r->int_info, .int_error = r->int_error};
        axvcpu_x86_vmx_left(&raw, &l);
        check("VMX", r->name, &l, r->cause, r->length, r->parts);
        ok_u64(l.raw, r->reason, "VMX: %s: raw", r->name);
    }
}

// A field that is not asked for does not count: the record is the same whatever is in it.
static void vmx_needs(void)
{
    for (uint64_t reason = 0; reason < 80; reason++) {
        uint32_t needs = axvcpu_x86_vmx_needs(reason);
        struct axvcpu_x86_vmx_raw a = {.reason = reason}, b = a;
        struct axvcpu_x86_left la, lb;
        b.qualification = needs & AXVCPU_X86_NEEDS_QUALIFICATION ? 0 : UINT64_MAX;
        b.length = needs & (AXVCPU_X86_NEEDS_LENGTH | AXVCPU_X86_NEEDS_IDT) ? 0 : UINT32_MAX;
        b.info = needs & AXVCPU_X86_NEEDS_INFO || reason == 30 ? 0 : UINT32_MAX; // ports: if it is a string
        b.gpa = needs & AXVCPU_X86_NEEDS_GPA ? 0 : UINT64_MAX;
        b.linear = reason == 48 ? 0 : UINT64_MAX; // if the qualification says so
        b.int_info = needs & AXVCPU_X86_NEEDS_INTERRUPTION ? 0 : UINT32_MAX;
        b.int_error = b.int_info;
        b.idt_info = needs & AXVCPU_X86_NEEDS_IDT ? 0 : UINT32_MAX;
        b.idt_error = b.idt_info;
        axvcpu_x86_vmx_left(&a, &la);
        axvcpu_x86_vmx_left(&b, &lb);
        ok(memcmp(&la, &lb, sizeof la) == 0, "VMX: reason %u reads what it needs", (unsigned)reason);
    }
    ok_u64(axvcpu_x86_vmx_needs(10), AXVCPU_X86_NEEDS_LENGTH, "VMX: CPUID needs its length alone");
    ok_u64(axvcpu_x86_vmx_needs(18), AXVCPU_X86_NEEDS_LENGTH, "VMX: VMCALL needs its length alone");
}

// TRAP 21 (first part): an event whose delivery exited. VMX gives software events again, with their length; on SVM the
// PC is still on the instruction. Vectors 16 to 31 as interrupts stay interrupts.
static const struct {
    const char *name;
    uint32_t info, svm, vmx; // what comes again
} deliveries[] = {
    {"nothing", 0, 0, 0},
    {"an invalid one", 0x0000030e, 0, 0},
    {"interrupt 30h", 0x80000030, 0x80000030, 0x80000030},
    {"interrupt 10h", 0x80000010, 0x80000010, 0x80000010},
    {"interrupt 1fh", 0x8000001f, 0x8000001f, 0x8000001f},
    {"NMI", 0x80000202, 0x80000202, 0x80000202},
    {"#PF", 0x80000b0e, 0x80000b0e, 0x80000b0e},
    {"INT 80h", 0x80000480, 0, 0x80000480},
    {"INT1", 0x80000501, 0x80000501, 0x80000501},
    {"#BP as SVM has it", 0x80000303, 0, 0x80000303},
    {"#OF as SVM has it", 0x80000304, 0, 0x80000304},
    {"#BP as VMX has it", 0x80000603, 0x80000603, 0x80000603},
};

static void trap21_delivery(void)
{
    for (unsigned i = 0; i < COUNT(deliveries); i++) {
        struct axvcpu_x86_svm_raw s = {.code = 0x400, .int_info = deliveries[i].info | UINT64_C(0x77) << 32};
        struct axvcpu_x86_vmx_raw v = {.reason = 48, .idt_info = deliveries[i].info, .idt_error = 0x77, .length = 2};
        struct axvcpu_x86_left l;
        struct axvcpu_x86_event e;
        bool soft = (deliveries[i].info >> 8 & 7) >= 4, error = (deliveries[i].info & 0x80000800) == 0x80000800;
        (void)axvcpu_x86_svm_left(&s, &l);
        e = axvcpu_x86_again(&l, true);
        ok(e.info == deliveries[i].svm && e.error == (error ? 0x77u : 0), "trap 21: SVM: delivery of %s", deliveries[i].name);
        axvcpu_x86_vmx_left(&v, &l);
        e = axvcpu_x86_again(&l, false);
        ok(e.info == deliveries[i].vmx && e.error == (error ? 0x77u : 0) && e.length == (soft && e.info ? 2u : 0),
           "trap 21: VMX: delivery of %s", deliveries[i].name);
    }
}

// TRAP 18: string and REP IO are IO, and HLT is HLT. TRAP 22: five exits are five things, and failures tell.
static void trap18_and_22(void)
{
    static const uint64_t reasons[] = {12, 2, 48, 3, 4};
    uint32_t seen = 0;
    struct axvcpu_x86_left l;
    for (unsigned i = 0; i < COUNT(reasons); i++) {
        struct axvcpu_x86_vmx_raw v = {.reason = reasons[i]};
        axvcpu_x86_vmx_left(&v, &l);
        ok((seen >> l.cause & 1) == 0, "trap 22: reason %u is a thing of its own: %s", (unsigned)reasons[i], causes[l.cause]);
        seen |= 1u << l.cause;
    }
    for (unsigned q = 0; q < 64; q++) {
        struct axvcpu_x86_vmx_raw v = {.reason = 30, .qualification = q};
        static const uint8_t byte = 0x6e;
        struct axvcpu_x86_svm_raw s = {.code = 0x7b, .info1 = q << 2 | 0x10, .bytes = &byte, .size = 1, .bits = 32};
        axvcpu_x86_vmx_left(&v, &l);
        if (l.cause != C(IO) || l.io.width == 0)
            ok(false, "trap 18: VMX: qualification %x", q);
        (void)axvcpu_x86_svm_left(&s, &l);
        if (l.cause != C(IO))
            ok(false, "trap 18: SVM: EXITINFO1 %x", q);
    }
    ok(true, "trap 18: string and REP IO are IO in all their forms");
    for (uint64_t reason = 33; reason <= 41; reason += reason == 33 ? 1 : 7) {
        struct axvcpu_x86_vmx_raw v = {.reason = reason | 0x80000000};
        axvcpu_x86_vmx_left(&v, &l);
        ok(l.fail != 0, "trap 22: failed entry %u has a reason", (unsigned)reason);
    }
}

// NMI blocking that IRET had ended (SDM 3, 28.2.3).
static void unblocking(void)
{
    static const struct {
        const char *name;
        struct axvcpu_x86_vmx_raw raw;
        bool unblock;
    } given[] = {
        {"#GP in IRET", {.reason = 0, .int_info = 0x80001b0d}, true},
        {"#DF in IRET", {.reason = 0, .int_info = 0x80001b08}, false},
        {"#GP in IRET, while delivering", {.reason = 0, .int_info = 0x80001b0d, .idt_info = 0x80000030}, false},
        {"#GP", {.reason = 0, .int_info = 0x80000b0d}, false},
        {"EPT in IRET", {.reason = 48, .qualification = 0x1181}, true},
        {"EPT in IRET, while delivering", {.reason = 48, .qualification = 0x1181, .idt_info = 0x80000030}, false},
        {"EPT", {.reason = 48, .qualification = 0x181}, false},
    };
    for (unsigned i = 0; i < COUNT(given); i++) {
        struct axvcpu_x86_left l;
        axvcpu_x86_vmx_left(&given[i].raw, &l);
        ok(l.unblock == given[i].unblock, "VMX: NMIs are blocked again after %s: %s", given[i].name, given[i].unblock ? "yes" : "no");
    }
}

int main(void)
{
    tap_begin(30);
    svm();
    vmx();
    vmx_needs();
    trap21_delivery();
    trap18_and_22();
    unblocking();
    return tap_done();
}
