// SPDX-License-Identifier: Apache-2.0
//
// The decoder against this CPU: random instructions of the list, run on a piece of memory, and by the decoder on
// a copy of it. Registers, flags and memory must come out the same, in 64-, 32- and 16-bit code. The narrow ones run in
// segments of a local descriptor table, whose bases differ. These instructions touch no stack, so that any RSP will do.
#define _GNU_SOURCE
#include "decode.h"
#include "insn.h"
#include "tests/tap.h"

#include <asm/ldt.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>

enum { ROUNDS = COUNTED ? 6000 : 60000, PAGE = 4096, BUFFER = 0x20000000, SIZE = 0x4000, CODE = 0x10000000, STATE = CODE + 0x10000 };

// What the code at CODE loads before the instruction and stores after it. At STATE, so that it needs no register.
struct state {
    uint64_t in[16], out[16], flags_in, flags_out, host_rsp, fs;
    struct {
        uint32_t offset;
        uint16_t selector;
    } far; // a narrow mode's code
    uint16_t segment[6];
};
#define AT(field) (STATE + (uint32_t)offsetof(struct state, field))
static struct state *const state = (struct state *)STATE;
static uint8_t *const buffer = (uint8_t *)BUFFER;
static uint8_t before[SIZE], model[SIZE], native[SIZE];

enum { STATUS = 0x8d5, DF = 0x400 };

static uint64_t seed = 1;
static uint64_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    return seed ^= seed << 17;
}
static unsigned upto(unsigned n)
{
    return (unsigned)(rnd() >> 20) % n;
}

// ---- code around the instruction

static uint8_t *out;
static void byte(unsigned b) { *out++ = (uint8_t)b; }
static void bytes(uint64_t v, int n) { out = emit(out, v, n); }

// mov [at], reg or mov reg, [at], by a SIB without base.
static void move64(unsigned opcode, unsigned reg, uint32_t at)
{
    byte(0x48 | (reg & 8) >> 1), byte(opcode), byte(0x04 | (reg & 7) << 3), byte(0x25), bytes(at, 4);
}
static void flags_from(uint32_t at)
{
    byte(0xff), byte(0x34), byte(0x25), bytes(at, 4), byte(0x9d); // push [at]; popf
}
static void flags_to(uint32_t at)
{
    byte(0x9c), byte(0x8f), byte(0x04), byte(0x25), bytes(at, 4); // pushf; pop [at]
}

static void save_host(void)
{
    static const uint8_t push[] = {0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57};
    for (unsigned i = 0; i < sizeof push; i++)
        byte(push[i]);
    move64(0x89, 4, AT(host_rsp));
}
static void restore_host(void)
{
    static const uint8_t pop[] = {0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5d, 0x5b, 0xfc, 0xc3};
    for (unsigned i = 0; i < sizeof pop; i++)
        byte(pop[i]);
}

static uint32_t build64(const uint8_t *insn, int n)
{
    uint32_t at;
    out = (uint8_t *)CODE;
    save_host();
    flags_from(AT(flags_in));
    for (unsigned i = 0; i < 16; i++)
        move64(0x8b, i, AT(in) + 8 * i);
    at = (uint32_t)(uintptr_t)out;
    memcpy(out, insn, (size_t)n);
    out += n;
    for (unsigned i = 0; i < 16; i++)
        move64(0x89, i, AT(out) + 8 * i);
    move64(0x8b, 4, AT(host_rsp));
    flags_to(AT(flags_out));
    restore_host();
    return at;
}

// mov segment, [at]
static void load_segment(unsigned segment, uint32_t at)
{
    byte(0x8e), byte(0x04 | segment << 3), byte(0x25), bytes(at, 4);
}

// Everything is loaded in 64-bit code, and stored there; between are two far jumps, which leave flags alone.
static uint32_t build_narrow(unsigned bits, const uint8_t *insn, int n)
{
    static const uint8_t segments[] = {AXVCPU_X86_ES, AXVCPU_X86_SS, AXVCPU_X86_FS, AXVCPU_X86_GS, AXVCPU_X86_DS};
    uint8_t *jump, *back;
    uint32_t at;
    out = (uint8_t *)CODE;
    save_host();
    flags_from(AT(flags_in));
    for (unsigned i = 0; i < 8; i++)
        move64(0x8b, i, AT(in) + 8 * i);
    for (unsigned i = 0; i < sizeof segments; i++)
        load_segment(segments[i], AT(segment) + 2u * segments[i]);
    byte(0xff), byte(0x2c), byte(0x25), bytes(AT(far), 4); // jmp far [far]
    at = (uint32_t)(uintptr_t)out - (bits == 16 ? CODE : 0);
    state->far.offset = at;
    state->far.selector = bits == 16 ? 0x0f : 0x07;
    memcpy(out, insn, (size_t)n);
    out += n;
    if (bits == 16)
        byte(0x66);
    byte(0xea), jump = out, bytes(0, 4), bytes(0x33, 2); // jmp 33h:back
    back = out;
    emit(jump, (uint32_t)(uintptr_t)back, 4);
    for (unsigned i = 0; i < 8; i++)
        move64(0x89, i, AT(out) + 8 * i);
    move64(0x8b, 4, AT(host_rsp));
    flags_to(AT(flags_out));
    byte(0x31), byte(0xc0); // xor eax, eax
    byte(0x8e), byte(0xd8), byte(0x8e), byte(0xc0), byte(0x8e), byte(0xe0), byte(0x8e), byte(0xe8); // ds, es, fs, gs
    byte(0xb8), bytes(0x2b, 4), byte(0x8e), byte(0xd0); // ss
    move64(0x8b, 0, AT(fs));
    byte(0xf3), byte(0x48), byte(0x0f), byte(0xae), byte(0xd0); // wrfsbase rax
    restore_host();
    return at;
}

static uint32_t build(unsigned bits, const uint8_t *insn, int n)
{
    return bits == 64 ? build64(insn, n) : build_narrow(bits, insn, n);
}

// ---- the model

struct run {
    struct axvcpu_x86_regs r;
    struct axvcpu_x86_space s;
    unsigned ram; // movs: 1 its source is memory, 2 its destination is
    unsigned accesses;
};

static void *model_ptr(void *arg, uint64_t gpa, uint32_t size, bool write)
{
    const struct run *m = arg;
    if (gpa < BUFFER || gpa + size > BUFFER + SIZE || !(write ? m->ram & 2 : m->ram & 1))
        return NULL;
    return model + (gpa - BUFFER);
}

static bool serve(struct run *m, struct axvcpu_exit *x, struct axvcpu_answer *a)
{
    memset(a, 0, sizeof *a);
    if (x->mmio.addr < BUFFER || x->mmio.addr + x->mmio.width > BUFFER + SIZE || m->accesses++ > 100000)
        return false;
    if (x->kind == AXVCPU_EXIT_MMIO_READ)
        memcpy(&a->value, model + (x->mmio.addr - BUFFER), x->mmio.width);
    else
        memcpy(model + (x->mmio.addr - BUFFER), &x->mmio.data, x->mmio.width);
    a->kind = x->kind;
    a->value |= x->kind == AXVCPU_EXIT_MMIO_READ && x->mmio.width < 8 ? UINT64_MAX << 8 * x->mmio.width : 0; // not ours
    a->width = (uint8_t)x->mmio.width;
    a->reg_width = (uint8_t)x->mmio.reg_width;
    a->sign_extend = x->mmio.sign_extend;
    a->reg = x->mmio.reg;
    return true;
}

// One fault and all that follows from it.
static bool model_once(struct run *m, const uint8_t *insn, int n)
{
    struct axvcpu_x86_mmio mmio;
    struct axvcpu_x86_insn i;
    struct axvcpu_exit x;
    struct axvcpu_answer a;
    enum axvcpu_x86_mmio_step step;
    uint64_t gpa;
    bool write;
    if (!axvcpu_x86_decode(insn, (uint32_t)n, m->s.bits, &i))
        return false;
    write = (i.access & AXVCPU_ACCESS_WRITE) != 0;
    gpa = axvcpu_x86_address(&i, &m->r, &m->s);
    if (i.op == AXVCPU_X86_OP_MOVS) {
        write = m->ram & 1;
        if (write) {
            uint64_t di = m->r.gpr[7] & (i.address_width == 8 ? UINT64_MAX : i.address_width == 4 ? UINT32_MAX : 0xffff);
            gpa = m->s.bits == 64 ? di : (di + m->s.base[AXVCPU_X86_ES]) & UINT32_MAX;
        }
    }
    step = axvcpu_x86_mmio_begin(&mmio, &m->r, &m->s, insn, (uint32_t)n, gpa, write, &x);
    while (step == AXVCPU_X86_MMIO_ACCESS) {
        if (!serve(m, &x, &a))
            return false;
        step = axvcpu_x86_mmio_commit(&mmio, &m->r, &m->s, &a, &x);
    }
    return step == AXVCPU_X86_MMIO_DONE;
}

static bool model_run(struct run *m, const uint8_t *insn, int n)
{
    uint64_t start = m->r.rip;
    do {
        if (!model_once(m, insn, n))
            return false;
    } while (m->r.rip == start);
    return m->r.rip == start + (unsigned)n;
}

// ---- random instructions whose address is in the buffer

static uint8_t pick(const uint8_t *from, unsigned n) { return from[upto(n)]; }

static void random_form(const struct kind *k, struct form *f, uint8_t bits)
{
    static const uint8_t segments[] = {0, 0, 0, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65};
    memset(f, 0, sizeof *f);
    f->bits = bits;
    f->operand = upto(3) == 0;
    f->address = upto(4) == 0;
    f->lock = k->flags & LOCKABLE && upto(3) == 0;
    f->rep = k->flags & STRING && upto(2) ? (upto(2) ? 0xf3 : 0xf2) : 0;
    f->segment = pick(segments, sizeof segments);
    f->rex = bits == 64 && upto(2) ? (uint8_t)(0x40 + upto(16)) : 0;
    f->stale = bits == 64 && upto(8) == 0 ? (uint8_t)(0x40 + upto(16)) : 0;
    f->modrm = (uint8_t)(upto(0xc0) & ~(k->ext >= 0 ? 0x38u : 0)) | (uint8_t)(k->ext >= 0 ? k->ext << 3 : 0);
    f->sib = (uint8_t)rnd();
    f->disp = (uint32_t)rnd();
    f->imm = rnd();
}

static uint64_t mask_of(int n) { return n == 8 ? UINT64_MAX : (UINT64_C(1) << 8 * n) - 1; }
static uint64_t signed_of(uint64_t v, int n) { return n == 8 ? v : ((v & mask_of(n)) ^ (UINT64_C(1) << (8 * n - 1))) - (UINT64_C(1) << (8 * n - 1)); }

// The address is base + (index << scale) + displacement: give the registers, or the displacement, what is missing.
struct address {
    int base, index, scale;
    bool rip;
};

static void parts(const struct form *f, struct address *a)
{
    static const int base16[] = {3, 3, 5, 5, 6, 7, 5, 3}, index16[] = {6, 7, 6, 7, -1, -1, -1, -1};
    int mod = f->modrm >> 6, rm = f->modrm & 7;
    *a = (struct address){-1, -1, 0, false};
    if (address_bytes(f) == 2) {
        if (mod || rm != 6)
            a->base = base16[rm], a->index = index16[rm];
    } else if (rm == 4) {
        a->index = (f->sib >> 3 & 7) | (f->rex & 2) << 2;
        a->index = a->index == 4 ? -1 : a->index;
        a->scale = f->sib >> 6;
        a->base = mod == 0 && (f->sib & 7) == 5 ? -1 : (f->sib & 7) | (f->rex & 1) << 3;
    } else if (mod == 0 && rm == 5) {
        a->rip = f->bits == 64;
    } else {
        a->base = rm | (f->rex & 1) << 3;
    }
}

// False: there is nothing to set, or not so.
static bool aim(struct form *f, struct run *m, uint64_t target, uint64_t rip)
{
    struct address a;
    int wide = address_bytes(f), d = disp_bytes(f);
    uint64_t disp = d ? signed_of(f->disp, d) : 0, mask = mask_of(wide), left;
    parts(f, &a);
    if (a.base < 0 && a.index < 0) {
        f->disp = (uint32_t)(target - (a.rip ? rip : 0));
        return a.rip || (signed_of(f->disp, d) & mask) == (target & mask);
    }
    if (a.base == a.index) {
        m->r.gpr[a.base] = (target & mask) / ((UINT64_C(1) << a.scale) + 1); // then the displacement is small
        if (d == 0)
            return true;
        f->disp = (uint32_t)((target & mask) % ((UINT64_C(1) << a.scale) + 1));
        return true;
    }
    if (a.base >= 0) {
        left = target - disp - (a.index >= 0 ? m->r.gpr[a.index] << a.scale : 0);
        m->r.gpr[a.base] = (left & mask) | (rnd() & ~mask);
        return true;
    }
    m->r.gpr[a.index] = ((target - disp) & mask) >> a.scale;
    return true;
}

// ---- comparison

static struct {
    unsigned long run, skipped, different, lock, rep;
} tally[3];
static unsigned long shown;

static void complain(const struct kind *k, const uint8_t *insn, int n, const char *what, uint64_t got, uint64_t want)
{
    char s[64] = "";
    if (shown++ > 20)
        return;
    for (int i = 0; i < n; i++)
        sprintf(s + 3 * i, "%02x ", insn[i]);
    note("%s: %s: %s is %" PRIx64 ", the CPU has %" PRIx64, k->name, s, what, got, want);
}

static bool compare(const struct kind *k, const struct run *m, const uint8_t *insn, int n, unsigned regs)
{
    static const char *const names[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                        "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"};
    uint64_t flags = STATUS & ~(uint64_t)(k->flags & AF_UNDEFINED ? 0x10 : 0);
    uint64_t mask = regs == 8 ? UINT32_MAX : UINT64_MAX;
    bool good = true;
    for (unsigned i = 0; i < regs; i++)
        if ((m->r.gpr[i] & mask) != (state->out[i] & mask))
            complain(k, insn, n, names[i], m->r.gpr[i] & mask, state->out[i] & mask), good = false;
    if ((m->r.rflags & flags) != (state->flags_out & flags))
        complain(k, insn, n, "rflags", m->r.rflags & flags, state->flags_out & flags), good = false;
    for (unsigned i = 0; i < SIZE && good; i++)
        if (model[i] != native[i])
            complain(k, insn, n, "memory", model[i], native[i]), good = false;
    return good;
}

static void fill(void)
{
    for (unsigned i = 0; i < SIZE; i += 8) {
        uint64_t v = rnd() & (upto(3) ? UINT64_MAX : UINT64_C(0x80000000ff007fff));
        memcpy(before + i, &v, 8);
    }
}

// ---- a round

static uint64_t gs_base;

// The segment of its address: an override counts but for STOS, and in 64-bit code only FS and GS do.
static unsigned segment_of(const struct kind *k, const struct form *f)
{
    struct address a = {-1, -1, 0, false};
    if ((k->opcode & 0xfe) == 0xaa && k->flags & STRING)
        return AXVCPU_X86_ES;
    switch (f->segment) {
    case 0x64: return AXVCPU_X86_FS;
    case 0x65: return AXVCPU_X86_GS;
    case 0x26: return AXVCPU_X86_ES;
    case 0x2e: return AXVCPU_X86_CS;
    case 0x36: return AXVCPU_X86_SS;
    case 0x3e: return AXVCPU_X86_DS;
    default: break;
    }
    if (has_modrm(k))
        parts(f, &a);
    return a.base == 4 || a.base == 5 ? AXVCPU_X86_SS : AXVCPU_X86_DS;
}

// Not in 64-bit code: a code segment cannot be written, and 16-bit code is elsewhere.
static bool forbidden(const struct kind *k, const struct form *f)
{
    return f->bits != 64 && f->segment == 0x2e && (f->bits == 16 || (k->access & STORES && (k->opcode & 0xfe) != 0xa4));
}

static void prepare_string(const struct kind *k, const struct form *f, struct run *m, uint64_t target)
{
    uint64_t mask = mask_of(address_bytes(f)), count = 1 + upto(20);
    target &= upto(8) ? ~UINT64_C(7) : UINT64_MAX;
    m->r.gpr[6] = (target & mask) | (rnd() & ~mask);
    m->r.gpr[7] = ((BUFFER + 0x1000 + upto(0x400) * 8 - m->s.base[AXVCPU_X86_ES]) & mask) | (rnd() & ~mask);
    if (k->opcode >= 0xac)
        m->r.gpr[7] = rnd();
    m->r.gpr[1] = f->rep ? (count & mask) | (rnd() & ~mask) : m->r.gpr[1];
}

static bool prepare(const struct kind *k, struct form *f, struct run *m, uint8_t *insn, int *n)
{
    uint64_t target = BUFFER + 0x1000 + upto(0x2000) - m->s.base[segment_of(k, f)], at;
    *n = encode(k, f, insn);
    at = build(f->bits, insn, *n);
    if (k->flags & STRING) {
        prepare_string(k, f, m, target);
    } else if (k->flags & MOFFS) {
        f->imm = target & mask_of(address_bytes(f));
    } else {
        if (k->flags & BIT_REG) {
            unsigned reg = (f->modrm >> 3 & 7) | (f->rex & 4) << 1;
            m->r.gpr[reg] = signed_of(rnd() & 0x3fff, 2) - 0x2000;
        }
        if (!aim(f, m, target, at + (unsigned)*n))
            return false;
    }
    *n = encode(k, f, insn);
    m->r.rip = build(f->bits, insn, *n);
    return *n <= 15;
}

// Where it accesses memory, by the manual's words: what would hit something else is not run.
static uint64_t address_of(const struct kind *k, const struct form *f, const struct run *m, int n)
{
    struct address a = {-1, -1, 0, false};
    int w = width_of(k, f), wide = address_bytes(f);
    uint64_t at = 0;
    if (k->flags & STRING)
        return (k->opcode == 0xaa || k->opcode == 0xab ? m->r.gpr[7] : m->r.gpr[6]) & mask_of(wide);
    if (k->flags & MOFFS)
        return f->imm & mask_of(wide);
    parts(f, &a);
    at += disp_bytes(f) ? signed_of(f->disp, disp_bytes(f)) : 0;
    at += a.rip ? m->r.rip + (unsigned)n : 0;
    at += a.base >= 0 ? m->r.gpr[a.base] : 0;
    at += a.index >= 0 ? m->r.gpr[a.index] << a.scale : 0;
    if (k->flags & BIT_REG) {
        int64_t bit = (int64_t)signed_of(m->r.gpr[(f->modrm >> 3 & 7) | (f->rex & 4) << 1], w);
        at += (uint64_t)((bit - (bit & (8 * w - 1))) / 8);
    }
    return at & mask_of(wide);
}

static bool inside(const struct kind *k, const struct form *f, const struct run *m, int n)
{
    uint64_t at = address_of(k, f, m, n) + m->s.base[segment_of(k, f)];
    at &= f->bits == 64 ? UINT64_MAX : UINT32_MAX;
    return at >= BUFFER + 0x100 && at < BUFFER + SIZE - 0x100 && (at & 0xfff) + (unsigned)width_of(k, f) <= 0x1000;
}

// Strings must not cross a page: the decoder leaves such an element alone.
static bool crosses(const struct kind *k, const struct run *m, const struct form *f)
{
    unsigned w = (unsigned)width_of(k, f);
    return k->flags & STRING && ((m->r.gpr[6] | m->r.gpr[7]) & (w - 1)) != 0;
}

typedef void (*code)(void);

static void bases(struct run *m)
{
    if (m->s.bits == 64) {
        m->s.base[AXVCPU_X86_FS] = state->fs;
        m->s.base[AXVCPU_X86_GS] = gs_base;
        return;
    }
    for (unsigned i = 0; i < 6; i++)
        m->s.base[i] = BUFFER - 0x100u * (i + 1);
    m->s.base[AXVCPU_X86_CS] = m->s.bits == 16 ? CODE : 0;
    m->s.base[AXVCPU_X86_GS] = BUFFER + SIZE; // by addresses that wrap
}

static void one(const struct kind *k, uint8_t bits)
{
    struct run m = {.s = {.bits = bits, .physical_mask = UINT64_MAX, .ptr = model_ptr}};
    struct form f;
    uint8_t insn[32];
    int n;
    m.s.arg = &m;
    m.ram = upto(3);
    bases(&m);
    random_form(k, &f, bits);
    for (unsigned i = 0; i < 16; i++)
        m.r.gpr[i] = upto(4) ? rnd() : (uint64_t)(int64_t)(int)(upto(9) - 4);
    m.r.rflags = 0x202 | (rnd() & STATUS) | (upto(2) ? DF : 0);
    if (!exists(k, &f) || forbidden(k, &f) || !prepare(k, &f, &m, insn, &n) || crosses(k, &m, &f) || !inside(k, &f, &m, n)) {
        tally[bits / 32].skipped++;
        return;
    }
    memcpy(state->in, m.r.gpr, sizeof state->in);
    state->flags_in = m.r.rflags;
    memcpy(buffer, before, SIZE);
    memcpy(model, before, SIZE);
    ((code)(uintptr_t)CODE)();
    memcpy(native, buffer, SIZE);
    tally[bits / 32].run++;
    tally[bits / 32].lock += f.lock;
    tally[bits / 32].rep += f.rep != 0;
    if (!model_run(&m, insn, n))
        complain(k, insn, n, "it", 0, 1), tally[bits / 32].different++;
    else
        tally[bits / 32].different += !compare(k, &m, insn, n, bits == 64 ? 16 : 8);
}

static void all(uint8_t bits)
{
    unsigned long *run = &tally[bits / 32].run, *different = &tally[bits / 32].different;
    for (const struct kind *k = kinds; k < kinds + KINDS; k++) {
        unsigned long had = *run, were = *different;
        if (k->flags & (bits == 64 ? NOT64 : ONLY64) || !wanted(k))
            continue;
        for (unsigned i = 0; i < ROUNDS / KINDS; i++)
            one(k, bits);
        ok(*different == were && *run > had, "%u bits: %s: %lu runs", bits, k->name, *run - had);
    }
    note("%u bits: %lu run, %lu with lock, %lu with rep, %lu skipped; wrong decodes = %lu", bits, *run, tally[bits / 32].lock,
         tally[bits / 32].rep, tally[bits / 32].skipped, *different);
}

static void map(uint32_t at, size_t size, int prot)
{
    void *p = mmap((void *)(uintptr_t)at, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (p != (void *)(uintptr_t)at) {
        printf("Bail out! cannot map %x\n", at);
        exit(1);
    }
}

static bool describe(unsigned entry, uint32_t base, uint32_t limit, unsigned contents, bool wide)
{
    struct user_desc d = {.entry_number = entry, .base_addr = base, .limit = limit, .seg_32bit = wide, .contents = contents & 3u,
                          .limit_in_pages = limit > 0xffff, .useable = 1};
    return syscall(SYS_modify_ldt, 1, &d, sizeof d) == 0;
}

// Code of 32 and of 16 bits, and data; false: this kernel has no such table.
static bool narrow_segments(void)
{
    struct run m = {.s = {.bits = 32}};
    bool good = describe(0, 0, 0xfffff, 2, true) && describe(1, CODE, 0xffff, 2, false);
    bases(&m);
    for (unsigned i = 0; i < 6; i++) {
        good = good && describe(2 + i, (uint32_t)m.s.base[i], 0xfffff, 0, true);
        state->segment[i] = (uint16_t)((2 + i) << 3 | 7);
    }
    return good;
}

int main(void)
{
    tap_begin(110);
    map(CODE, 0x20000, PROT_READ | PROT_WRITE | PROT_EXEC);
    map(BUFFER, SIZE, PROT_READ | PROT_WRITE);
    syscall(SYS_arch_prctl, 0x1003, &state->fs); // ARCH_GET_FS
    gs_base = 0x12340;
    syscall(SYS_arch_prctl, 0x1001, gs_base); // ARCH_SET_GS
    fill();
    all(64);
    if (getauxval(AT_HWCAP2) & 2 && narrow_segments()) { // FSGSBASE, to put FS back
        all(32);
        all(16);
    } else {
        skip("this kernel has no modify_ldt or no FSGSBASE", "32 bits and 16 bits");
    }
    return tap_done();
}
