// SPDX-License-Identifier: Apache-2.0
//
// The fuzzer's exits. One exit is told twice, as VMX has it (SDM 3, 28.2) and as SVM has it (APM 2, 15.9 and
// appendix C), and must be the same thing.
#include "fuzz.h"

#define C(name) AXVCPU_X86_CAUSE_##name

// Vectors with an error code: SDM 3, table 6-1; APM 2, 8.2.
static bool has_error(uint32_t vector)
{
    static const uint8_t with[] = {8, 10, 11, 12, 13, 14, 17, 21, 29, 30};
    return vector < 32 && memchr(with, (int)vector, sizeof with) != NULL;
}

// What may be injected: SDM 3, 25.8.3 and 27.2.1.3; APM 2, 15.20.
void well_formed(const struct axvcpu_x86_event *e, bool svm)
{
    uint32_t vector = e->info & 0xff, type = e->info >> 8 & 7;
    if (e->info == 0) {
        must(e->error == 0 && e->length == 0);
        return;
    }
    must((e->info & VALID) != 0 && (e->info & 0x7ffff000) == 0);
    must(type != 1 && type != 7 && (!svm || type <= SOFTWARE));
    must(type != NMI || vector == 2);
    must(type != EXCEPTION || (vector < 32 && vector != 2));
    must(type != PRIVILEGED || vector == 1);
    must(type != TRAP || vector == 3 || vector == 4);
    must(((e->info & ERROR) != 0) == (type == EXCEPTION && has_error(vector)));
    must((e->info & ERROR) != 0 || e->error == 0);
    must(type >= SOFTWARE && !svm ? e->length >= 1 && e->length <= 15 : e->length == 0);
}

// ---- one exit, twice

// A cause, how both say it, and the instruction without prefixes.
struct kind {
    uint16_t cause, vmx, svm;
    uint8_t size, insn[3];
};
#define FAILED 0xffffu /* VMEXIT_INVALID */
#define ALONE 0xfffeu  /* VMX's alone */
static const struct kind kinds[] = {
    {C(CPUID), 10, 0x72, 2, {0x0f, 0xa2}},
    {C(HLT), 12, 0x78, 1, {0xf4}},
    {C(CACHE), 13, 0x76, 2, {0x0f, 0x08}},
    {C(CACHE), 54, 0x89, 2, {0x0f, 0x09}},
    {C(INVLPG), 14, 0x79, 3, {0x0f, 0x01, 0x38}},
    {C(RDPMC), 15, 0x6f, 2, {0x0f, 0x33}},
    {C(RDTSC), 16, 0x6e, 2, {0x0f, 0x31}},
    {C(HYPERCALL), 18, 0x81, 3, {0x0f, 0x01, 0xd9}},
    {C(RDMSR), 31, 0x7c, 2, {0x0f, 0x32}},
    {C(WRMSR), 32, 0x7c, 2, {0x0f, 0x30}},
    {C(MWAIT), 36, 0x8b, 3, {0x0f, 0x01, 0xc9}},
    {C(MONITOR), 39, 0x8a, 3, {0x0f, 0x01, 0xc8}},
    {C(PAUSE), 40, 0x77, 2, {0xf3, 0x90}},
    {C(TABLES), 46, 0x67, 3, {0x0f, 0x01, 0x08}},
    {C(TABLES), 47, 0x6c, 3, {0x0f, 0x00, 0xd0}},
    {C(RDTSCP), 51, 0x87, 3, {0x0f, 0x01, 0xf9}},
    {C(XSETBV), 55, 0x8d, 3, {0x0f, 0x01, 0xd1}},
    {C(CR), 28, 0, 0, {0}},
    {C(DR), 29, 0x20, 0, {0}},
    {C(IO), 30, 0x7b, 0, {0}},
    {C(CR), 28, 0, 0, {0}},
    {C(IO), 30, 0x7b, 0, {0}},
    // not for an instruction, or for one that does not end
    {C(UNDEFINED), 17, 0x73, 0, {0}},
    {C(UNDEFINED), 19, 0x80, 0, {0}},
    {C(UNDEFINED), 24, 0x84, 0, {0}},
    {C(UNDEFINED), 58, 0xa2, 0, {0}},
    {C(EXCEPTION), 0, 0x40, 0, {0}},
    {C(HOST_NMI), 0, 0x61, 0, {0}},
    {C(INTERRUPT), 1, 0x60, 0, {0}},
    {C(SHUTDOWN), 2, 0x7f, 0, {0}},
    {C(INIT), 3, 0x63, 0, {0}},
    {C(SMI), 6, 0x62, 0, {0}},
    {C(WINDOW), 7, 0x64, 0, {0}},
    {C(NMI_WINDOW), 8, 0x74, 0, {0}},
    {C(TASK), 9, 0x7d, 0, {0}},
    {C(INVALID), 33, FAILED, 0, {0}},
    {C(MEMORY), 48, 0x400, 0, {0}},
    {C(MISCONFIG), 49, 0x400, 0, {0}},
    {C(MEMORY), 48, 0x400, 0, {0}},
    {C(EXCEPTION), 0, 0x40, 0, {0}},
    {C(RAW), 35, 0x70, 0, {0}},
    {C(RAW), 76, 0x401, 0, {0}},
    {C(STARTUP), 4, ALONE, 0, {0}},
    {C(STEP), 37, ALONE, 0, {0}},
    {C(EOI), 45, ALONE, 0, {0}},
    {C(TIMER), 52, ALONE, 0, {0}},
};

// What both are made of, and what is expected of both.
struct told {
    const struct kind *kind;
    uint32_t bits, size;             // of the instruction
    uint8_t bytes[15], rex, segment; // its prefixes
    bool operand, address, wraps; // wraps: the instruction is the last of its 64 KiB
    struct axvcpu_x86_vmx_raw vmx;
    struct axvcpu_x86_svm_raw svm;
    struct axvcpu_x86_left want;
    bool strict; // the segment and width of an address count
};

static void put(struct told *t, uint8_t byte)
{
    t->bytes[t->size++] = byte;
}

// Each prefix at most once, REX last (SDM 2, 2.1.1 and 2.2.1).
static void prefixes(struct told *t)
{
    static const uint8_t segments[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65};
    uint32_t which = input_next(256), segment = which >> 2 & 7;
    t->segment = AXVCPU_X86_DS;
    if ((t->operand = which & 1))
        put(t, 0x66);
    if ((t->address = which & 2))
        put(t, 0x67);
    if (segment < 6) {
        put(t, segments[segment]);
        t->segment = t->bits < 64 || segment >= 4 ? (uint8_t)segment : t->segment;
    }
    t->rex = t->bits == 64 && (which & 0x20) ? 0x40 | (which >> 4 & 0xa) : 0;
}

static void mov_cr(struct told *t, bool dr)
{
    uint32_t from = input_next(2), nr = input_next(dr || t->bits < 64 ? 8 : 16),
             reg = input_next(t->bits < 64 ? 8 : 16);
    t->rex = (uint8_t)(t->bits < 64 ? 0 : t->rex | (nr >> 3 ? 0x44 : 0) | (reg >> 3 ? 0x41 : 0));
    if (t->rex)
        put(t, t->rex);
    put(t, 0x0f);
    put(t, (uint8_t)(0x20 | dr | !from << 1));
    put(t, (uint8_t)(0xc0 | (nr & 7) << 3 | (reg & 7)));
    t->want.cr = (struct axvcpu_x86_cr){
        .nr = (uint8_t)nr, .reg = (uint8_t)reg, .op = from ? AXVCPU_X86_CR_FROM : AXVCPU_X86_CR_TO};
    t->vmx.qualification = nr | from << 4 | reg << 8;
    t->svm.code += nr | (from ? 0 : 0x10);
    t->svm.info1 = !t->svm.assists ? 0 : dr ? reg : UINT64_C(1) << 63 | reg; // APM 2, 15.8.1
}

// CLTS and LMSW: SDM 3, table 28-3. The source is VMX's; SVM says in which register it is.
static void clts_lmsw(struct told *t, bool lmsw)
{
    uint32_t reg = input_next(8), memory = lmsw ? input_next(2) : 0, source = lmsw ? input_next(256) : 0;
    put(t, 0x0f);
    put(t, lmsw ? 0x01 : 0x06);
    if (lmsw)
        put(t, (uint8_t)(memory ? 0x30 : 0xf0 | reg)); // of [rAX], or [BX + SI]
    t->want.cr = (struct axvcpu_x86_cr){.op = lmsw ? AXVCPU_X86_CR_LMSW : AXVCPU_X86_CR_CLTS,
                                        .memory = memory,
                                        .reg = lmsw && !memory ? (uint8_t)reg : 0};
    t->vmx.qualification = (lmsw ? 0x30 : 0x20) | memory << 6 | source << 16;
    t->svm.code = input_next(2) ? 0x10 : 0x65;
}

// SDM 3, table 28-5; APM 2, 15.10.2. Without decode assists the CPU may leave out the width and the segment.
static void io(struct told *t)
{
    static const uint8_t wide[3][2] = {{2, 4}, {4, 2}, {8, 4}};
    uint32_t how = input_next(256), out = how & 1, rep = how >> 1 & 1, string = how >> 2 & 1, byte = how >> 3 & 1,
             imm = how >> 4 & 1;
    uint32_t port = imm && !string ? input_next(256) : input_next(256) | input_next(256) << 8;
    uint32_t width = byte ? 1 : (t->bits == 16) != t->operand ? 2 : 4, address = wide[t->bits / 32][t->address];
    uint32_t segment = string && out ? t->segment : AXVCPU_X86_ES, tell = t->svm.assists || !(how & 0x20);
    rep = rep && string;
    if (rep)
        put(t, 0xf3);
    put(t, (uint8_t)((string ? 0x6c : imm ? 0xe4 : 0xec) | out << 1 | !byte));
    if (imm && !string)
        put(t, (uint8_t)port);
    t->strict = string;
    t->want.io = (struct axvcpu_x86_io){(uint16_t)port, (uint8_t)width, (uint8_t)(!out | string << 1 | rep << 2),
                                        (uint8_t)address, (uint8_t)segment};
    t->vmx.qualification = (width - 1) | (out ? 0 : 8) | string << 4 | rep << 5 | imm << 6 | port << 16;
    t->vmx.info = address / 4 << 7 | segment << 15;
    t->svm.info1 = !out | string << 2 | rep << 3 | width << 4 | (tell ? address / 2 << 7 : 0) |
                   (t->svm.assists ? segment << 10 : 0) | port << 16;
    t->svm.info2 = t->svm.rip + t->size - (t->wraps ? 0x10000 : 0);
}

static void instruction(struct told *t)
{
    prefixes(t);
    if (t->kind->cause == C(CR) && input_next(4) == 0)
        clts_lmsw(t, input_next(2));
    else if (t->kind->cause == C(CR) || t->kind->cause == C(DR))
        mov_cr(t, t->kind->cause == C(DR));
    else if (t->kind->cause == C(IO))
        io(t);
    if (t->rex && t->kind->size != 0 && t->kind->insn[0] != 0xf3) // PAUSE's F3 would be behind it
        put(t, t->rex);
    for (uint32_t i = 0; i < t->kind->size; i++)
        put(t, t->kind->insn[i]);
    t->want.length = t->vmx.length = t->size;
    t->svm.next_rip = t->svm.nrip ? t->svm.rip + t->size - (t->wraps ? 0x10000 : 0) : 0;
    if (t->kind->cause == C(WRMSR))
        t->svm.info1 = 1;
}

// An event on its way. VMX has names for INT1, INT3 and INTO.
static void on_the_way(struct told *t)
{
    static const uint8_t types[] = {INTERRUPT, NMI, EXCEPTION, SOFTWARE, PRIVILEGED, TRAP, EXCEPTION, 0xff};
    uint32_t type = types[input_next(8)], vector = input_next(256), error = input_next(256);
    if (type == 0xff)
        return;
    if (type == EXCEPTION)
        vector = (vector &= 31) <= 4 ? 0 : vector;
    vector = type == NMI ? 2 : type == PRIVILEGED ? 1 : type == TRAP ? 3 + (vector & 1) : vector;
    t->vmx.idt_info = VALID | type << 8 | vector | (type == EXCEPTION && has_error(vector) ? ERROR : 0);
    t->vmx.idt_error = error;
    t->vmx.length = 1 + input_next(15);
    t->want.under_way.info = t->vmx.idt_info;
    t->want.under_way.error = t->vmx.idt_info & ERROR ? error : 0;
    t->want.under_way.length = type >= SOFTWARE ? t->vmx.length : 0;
    t->svm.int_info =
        (t->vmx.idt_info & ~0x700u) | (type >= PRIVILEGED ? EXCEPTION : type) << 8 | (uint64_t)error << 32;
}

static void exception(struct told *t)
{
    uint32_t vector = input_next(32), error = input_next(256);
    vector = vector == 2 ? 14 : vector;
    t->vmx.int_info =
        VALID | (vector == 3 || vector == 4 ? TRAP : EXCEPTION) * 0x100u | vector | (has_error(vector) ? ERROR : 0);
    t->vmx.int_error = error;
    t->vmx.length = 1;
    t->svm.code += vector;
    t->svm.info1 = error;
    t->vmx.qualification = t->svm.info2 = input_value();
    t->want.linear = t->svm.info2;
    t->want.event.info = t->vmx.int_info;
    t->want.event.error = has_error(vector) ? error : 0;
}

// SDM 3, table 28-7; APM 2, 15.25.6.
static void memory(struct told *t, bool malformed)
{
    uint32_t access = input_next(3), walk = input_next(2);
    t->vmx.gpa = t->svm.info2 = t->want.gpa = input_value();
    t->vmx.linear = input_value();
    t->vmx.qualification = (access == 0 ? 1u : access == 1 ? 2u + input_next(2) : 4u) | 0x80 | (walk ? 0 : 0x100);
    t->svm.info1 = input_next(2) | (access == 1 ? 2 : 0) | 4 | (malformed ? 8 : 0) | (access == 2 ? 0x10 : 0) |
                   UINT64_C(1) << (walk ? 33 : 32);
    t->want.access = (access == 0 ? AXVCPU_ACCESS_READ :
                      access == 1 ? AXVCPU_ACCESS_WRITE :
                                    AXVCPU_ACCESS_EXEC) |
                     (walk ? AXVCPU_ACCESS_WALK : 0);
}

static void tell(struct told *t)
{
    t->kind = &kinds[input_next(COUNT(kinds))];
    t->bits = 16u << input_next(3);
    t->svm.nrip = input_next(2), t->svm.assists = input_next(2), t->wraps = input_next(8) == 0;
    t->svm.rip = input_value(), t->svm.bits = t->bits, t->svm.bytes = t->bytes;
    t->vmx.reason = t->kind->vmx | (t->kind->cause == C(INVALID) ? VALID : 0);
    t->svm.code = t->kind->svm == FAILED ? UINT64_MAX : t->kind->svm;
    t->want.cause = t->kind->cause;
    switch (t->kind->cause) {
    case C(EXCEPTION):
        exception(t);
        on_the_way(t);
        break;
    case C(HOST_NMI): t->vmx.int_info = VALID | NMI << 8 | 2; break;
    case C(TASK): on_the_way(t); break;
    case C(MEMORY):
        memory(t, false);
        on_the_way(t);
        break;
    case C(MISCONFIG):
        memory(t, true);
        on_the_way(t);
        break;
    case C(INVLPG): t->vmx.qualification = t->svm.info1 = t->want.linear = input_value(); break;
    case C(STARTUP):
    case C(EOI): t->vmx.qualification = t->want.vector = input_next(256); break;
    case C(INTERRUPT): t->want.vector = AXVCPU_NO_VECTOR; break;
    case C(INVALID): t->want.fail = AXVCPU_X86_FAIL_STATE; break;
    default: break;
    }
    if (t->kind->size != 0 || t->kind->cause == C(CR) || t->kind->cause == C(DR) || t->kind->cause == C(IO))
        instruction(t);
}

static void check_event(const struct axvcpu_x86_event *e, const struct axvcpu_x86_event *want, bool svm)
{
    uint32_t type = want->info >> 8 & 7;
    well_formed(e, svm);
    must(e->error == want->error);
    must(e->info == (svm && type >= PRIVILEGED ? (want->info & ~0x700u) | EXCEPTION << 8 : want->info));
}

// What is done again: on SVM not what the instruction does again (APM 2, 15.20).
static void check_again(const struct axvcpu_x86_left *l, const struct told *t, bool svm)
{
    struct axvcpu_x86_event e = axvcpu_x86_again(l, svm), none = {0};
    uint32_t type = t->want.under_way.info >> 8 & 7;
    check_event(&l->under_way, &t->want.under_way, svm);
    well_formed(&e, svm);
    must(svm || e.length == t->want.under_way.length);
    if (svm && (type == SOFTWARE || type == TRAP))
        must(memcmp(&e, &none, sizeof e.info) == 0);
    else
        check_event(&e, &t->want.under_way, svm);
}

static void check(const struct axvcpu_x86_left *l, const struct told *t, bool svm)
{
    const struct axvcpu_x86_left *w = &t->want;
    must(l->cause == w->cause && l->fail == w->fail);
    must(l->length == w->length || w->cause == C(TASK));
    must(l->gpa == w->gpa && (l->access == w->access || (w->cause == C(MISCONFIG) && !svm)));
    must(l->io.port == w->io.port && l->io.width == w->io.width && l->io.flags == w->io.flags);
    must(!t->strict || (l->io.address_width == w->io.address_width && l->io.segment == w->io.segment));
    must(l->cr.nr == w->cr.nr && l->cr.op == w->cr.op && l->cr.memory == w->cr.memory);
    if (w->cr.op == AXVCPU_X86_CR_LMSW && (!svm || w->cr.memory)) // the operand itself
        must(svm || (l->cr.sourced && l->cr.source == (t->vmx.qualification >> 16 & 0xffff)));
    else
        must(l->cr.reg == w->cr.reg && !l->cr.sourced);
    must(l->vector == w->vector);
    if (w->cause == C(EXCEPTION)) {
        check_event(&l->event, &w->event, svm);
        must((w->event.info & 0xff) != 14 || (l->has_linear && l->linear == w->linear));
    }
    must(w->cause != C(INVLPG) ||
         ((l->has_linear || (svm && !t->svm.assists)) && (!l->has_linear || l->linear == w->linear)));
    check_again(l, t, svm);
}

// Both. SVM may ask for the instruction; it must not where the CPU has said all, and is told enough by it.
static void twice(void)
{
    struct told t = {0};
    struct axvcpu_x86_left l;
    tell(&t);
    axvcpu_x86_vmx_left(&t.vmx, &l);
    check(&l, &t, false);
    if (t.kind->svm == ALONE)
        return;
    if (axvcpu_x86_svm_left(&t.svm, &l))
        check(&l, &t, true);
    else
        must(t.size != 0 && (!t.svm.nrip || t.wraps || t.kind->cause == C(CR) || !t.svm.assists));
    t.svm.size = t.size;
    must(axvcpu_x86_svm_left(&t.svm, &l));
    check(&l, &t, true);
}

// ---- any numbers: bounded they are all the same

static void check_bounds(const struct axvcpu_x86_left *l)
{
    must(l->cause < AXVCPU_X86_CAUSE_COUNT && l->fail <= AXVCPU_X86_FAIL_BUSY &&
         (l->vector < 256 || l->vector == AXVCPU_NO_VECTOR));
    must(l->cr.reg < 16 && l->cr.nr < 16 && l->cr.op <= AXVCPU_X86_CR_SMSW && l->length <= 15);
    must(l->io.width <= 8 && l->io.flags < 8 && l->io.segment < 8 && l->io.address_width <= 16);
    must((l->event.info & 0x7ffff000) == 0 && (l->under_way.info & 0x7ffff000) == 0);
    must((l->event.info & ERROR) != 0 || l->event.error == 0);
    must((l->under_way.info & ERROR) != 0 || l->under_way.error == 0);
    must((l->access & ~(AXVCPU_ACCESS_READ | AXVCPU_ACCESS_WRITE | AXVCPU_ACCESS_EXEC | AXVCPU_ACCESS_WALK)) == 0);
}

static void any(void)
{
    struct axvcpu_x86_vmx_raw vmx = {0};
    struct axvcpu_x86_svm_raw svm = {0};
    struct axvcpu_x86_left l;
    uint8_t bytes[16] = {0};
    uint32_t how = input_next(256), code = input_next(256);
    input_take(bytes, sizeof bytes);
    input_take(&vmx, sizeof vmx);
    input_take(&svm, offsetof(struct axvcpu_x86_svm_raw, bytes));
    vmx.reason = how & 1 ? (vmx.reason & ~UINT64_C(0xffff)) | (code & 0x7f) : vmx.reason;
    vmx.length &= 15; // the CPU's word (SDM 3, 28.2.5)
    svm.code = how & 1 ? how & 2 ? kinds[code % COUNT(kinds)].svm : code : how & 2 ? 0 - (uint64_t)code : svm.code;
    svm.next_rip = how & 4 ? svm.rip + (code & 31) : svm.next_rip;
    svm.info2 = how & 8 ? svm.rip + (code & 31) : svm.info2;
    svm.bytes = bytes, svm.bits = 16u << (how >> 6) % 3, svm.nrip = how & 0x10, svm.assists = how & 0x20;
    axvcpu_x86_vmx_left(&vmx, &l);
    check_bounds(&l);
    if (!axvcpu_x86_svm_left(&svm, &l)) {
        svm.size = 1 + (code & 15);
        must(axvcpu_x86_svm_left(&svm, &l));
    }
    check_bounds(&l);
}

void fuzz_exit(const uint8_t *data, size_t size)
{
    input_at = data, input_left = size;
    if (input_next(4) == 0)
        any();
    else
        twice();
}
