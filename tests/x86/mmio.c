// SPDX-License-Identifier: Apache-2.0
//
// An access from its fault to its commit: what is asked, what is told, when registers change; the guest's page tables.
#include "decode.h"
#include "tests/tap.h"

#include <stdio.h>

enum { PAGES = 16, PAGE = 4096, DEVICE = 0x100000, RIP0 = 0x1000 };
static uint8_t memory[PAGES * PAGE] __attribute__((aligned(4096)));
static bool read_only; // the memory

static void *ptr(void *arg, uint64_t gpa, uint32_t size, bool write)
{
    (void)arg;
    return gpa + size > sizeof memory || (write && read_only) ? NULL : memory + gpa;
}

static struct axvcpu_x86_space flat(uint32_t bits)
{
    return (struct axvcpu_x86_space){.bits = bits, .physical_mask = (UINT64_C(1) << 40) - 1, .ptr = ptr};
}

// ---- one access after the other

struct step {
    uint32_t kind, width; // what is asked; 0: it is over
    uint64_t addr, data;  // ... or the answer to a read
};
struct row {
    const char *name;
    uint8_t size, bytes[8];
    uint64_t gpa;
    bool write, refuse;
    struct step step[3];
    uint64_t rax, rcx, rsi, rdi, rflags; // at the end
    uint8_t length;                      // RIP moved so far
};
#define RD(width, addr, data) {AXVCPU_EXIT_MMIO_READ, width, addr, data}
#define WR(width, addr, data) {AXVCPU_EXIT_MMIO_WRITE, width, addr, data}
#define D DEVICE
#define A 0x1122334455667788
enum { F0 = 0x202, CF = 1, PF = 4, AF = 0x10, ZF = 0x40, SF = 0x80, OF = 0x800 };
// RAX is A, RBX DEVICE, RCX 2, RSI 0x2000 (memory), RDI DEVICE + 8
static const struct row rows[] = {
    {"mov eax, [rbx]: the upper half is cleared", 2, {0x8b, 0x03}, D, false, false, {RD(4, D, 0xfedcba98)}, 0xfedcba98, 2, 0x2000, D + 8, F0, 2},
    {"mov ax, [rbx]: the rest stays", 3, {0x66, 0x8b, 0x03}, D, false, false, {RD(2, D, 0xba98)}, 0x112233445566ba98, 2, 0x2000, D + 8, F0, 3},
    {"mov al, [rbx]", 2, {0x8a, 0x03}, D, false, false, {RD(1, D, 0x98)}, 0x1122334455667798, 2, 0x2000, D + 8, F0, 2},
    {"mov ah, [rbx]", 2, {0x8a, 0x23}, D, false, false, {RD(1, D, 0x98)}, 0x1122334455669888, 2, 0x2000, D + 8, F0, 2},
    {"mov rax, [rbx]", 3, {0x48, 0x8b, 0x03}, D, false, false, {RD(8, D, 0x8000000000000001)}, 0x8000000000000001, 2, 0x2000, D + 8, F0, 3},
    {"an answer's upper bits do not count", 2, {0x8a, 0x03}, D, false, false, {RD(1, D, 0xffffff98)}, 0x1122334455667798, 2, 0x2000, D + 8, F0, 2},
    {"movzx eax, byte [rbx]", 3, {0x0f, 0xb6, 0x03}, D, false, false, {RD(1, D, 0x98)}, 0x98, 2, 0x2000, D + 8, F0, 3},
    {"movsx eax, byte [rbx]", 3, {0x0f, 0xbe, 0x03}, D, false, false, {RD(1, D, 0x98)}, 0xffffff98, 2, 0x2000, D + 8, F0, 3},
    {"movsx rax, word [rbx]", 4, {0x48, 0x0f, 0xbf, 0x03}, D, false, false, {RD(2, D, 0x8000)}, 0xffffffffffff8000, 2, 0x2000, D + 8, F0, 4},
    {"movsxd rax, [rbx]", 3, {0x48, 0x63, 0x03}, D, false, false, {RD(4, D, 0x80000000)}, 0xffffffff80000000, 2, 0x2000, D + 8, F0, 3},
    {"movsx ax, byte [rbx]", 4, {0x66, 0x0f, 0xbe, 0x03}, D, false, false, {RD(1, D, 0x80)}, 0x112233445566ff80, 2, 0x2000, D + 8, F0, 4},
    {"a refused read is all ones", 2, {0x8b, 0x03}, D, false, true, {RD(4, D, 0)}, 0xffffffff, 2, 0x2000, D + 8, F0, 2},
    {"a refused movzx too, of its width", 3, {0x0f, 0xb6, 0x03}, D, false, true, {RD(1, D, 0)}, 0xff, 2, 0x2000, D + 8, F0, 3},
    {"mov [rbx], eax", 2, {0x89, 0x03}, D, true, false, {WR(4, D, 0x55667788)}, A, 2, 0x2000, D + 8, F0, 2},
    {"mov [rbx], ah", 2, {0x88, 0x23}, D, true, false, {WR(1, D, 0x77)}, A, 2, 0x2000, D + 8, F0, 2},
    {"mov [rbx+16], -1: sign-extended", 8, {0x48, 0xc7, 0x43, 0x10, 0xff, 0xff, 0xff, 0xff}, D + 16, true, false, {WR(8, D + 16, UINT64_MAX)}, A, 2, 0x2000, D + 8, F0, 8},
    {"a refused write is dropped", 2, {0x89, 0x03}, D, true, true, {WR(4, D, 0x55667788)}, A, 2, 0x2000, D + 8, F0, 2},
    // trap 11: a read and a write of the same instruction
    {"trap 11: add dword [rbx], 1", 3, {0x83, 0x03, 0x01}, D, true, false, {RD(4, D, 0xffffffff), WR(4, D, 0)}, A, 2, 0x2000, D + 8, F0 | CF | ZF | AF | PF, 3},
    {"trap 11: the read may be what faulted", 3, {0x83, 0x03, 0x01}, D, false, false, {RD(4, D, 0x7fffffff), WR(4, D, 0x80000000)}, A, 2, 0x2000, D + 8, F0 | OF | SF | AF | PF, 3},
    {"lock or [rbx], al", 3, {0xf0, 0x08, 0x03}, D, true, false, {RD(1, D, 0x77), WR(1, D, 0xff)}, A, 2, 0x2000, D + 8, F0 | SF | PF, 3},
    {"xchg [rbx], eax", 2, {0x87, 0x03}, D, true, false, {RD(4, D, 0x12345678), WR(4, D, 0x55667788)}, 0x12345678, 2, 0x2000, D + 8, F0, 2},
    {"xchg [rbx], ah", 2, {0x86, 0x23}, D, true, false, {RD(1, D, 0x12), WR(1, D, 0x77)}, 0x1122334455661288, 2, 0x2000, D + 8, F0, 2},
    {"cmp [rbx], eax reads only", 2, {0x39, 0x03}, D, false, false, {RD(4, D, 0x55667788)}, A, 2, 0x2000, D + 8, F0 | ZF | PF, 2},
    {"sub eax, [rbx]", 2, {0x2b, 0x03}, D, false, false, {RD(4, D, 0x55667789)}, 0xffffffff, 2, 0x2000, D + 8, F0 | CF | SF | AF | PF, 2},
    {"cmp al, [rbx] keeps the register", 2, {0x3a, 0x03}, D, false, false, {RD(1, D, 0x88)}, A, 2, 0x2000, D + 8, F0 | ZF | PF, 2},
    {"bts dword [rbx], ecx", 3, {0x0f, 0xab, 0x0b}, D, true, false, {RD(4, D, 4), WR(4, D, 4)}, A, 2, 0x2000, D + 8, F0 | CF, 3},
    {"btc dword [rbx], 31", 4, {0x0f, 0xba, 0x3b, 0x1f}, D, true, false, {RD(4, D, 0), WR(4, D, 0x80000000)}, A, 2, 0x2000, D + 8, F0, 4},
    {"not byte [rbx]", 2, {0xf6, 0x13}, D, true, false, {RD(1, D, 0x0f), WR(1, D, 0xf0)}, A, 2, 0x2000, D + 8, F0, 2},
    // strings, element by element
    {"stosd", 1, {0xab}, D + 8, true, false, {WR(4, D + 8, 0x55667788)}, A, 2, 0x2000, D + 12, F0, 1},
    {"rep stosd: the first of two", 2, {0xf3, 0xab}, D + 8, true, false, {WR(4, D + 8, 0x55667788)}, A, 1, 0x2000, D + 12, F0, 0},
    {"movsd from memory", 1, {0xa5}, D + 8, true, false, {WR(4, D + 8, 0x04030201)}, A, 2, 0x2004, D + 12, F0, 1},
    {"rep movsb from memory", 2, {0xf3, 0xa4}, D + 8, true, false, {WR(1, D + 8, 0x01)}, A, 1, 0x2001, D + 9, F0, 0},
};

static void answer(struct axvcpu_answer *a, const struct axvcpu_exit *x, const struct step *s, bool refuse)
{
    *a = (struct axvcpu_answer){.kind = x->kind, .value = s->data, .width = (uint8_t)x->mmio.width, .reg = x->mmio.reg,
                                .reg_width = (uint8_t)x->mmio.reg_width, .sign_extend = x->mmio.sign_extend, .refused = refuse};
}

static struct axvcpu_x86_regs start(void)
{
    struct axvcpu_x86_regs r = {.gpr = {A, 2, 0, D, 0, 0, 0x2000, D + 8}, .rip = RIP0, .rflags = F0};
    return r;
}

static void accesses(void)
{
    for (const struct row *t = rows; t < rows + COUNT(rows); t++) {
        struct axvcpu_x86_space s = flat(64);
        struct axvcpu_x86_regs r = start(), was = r;
        struct axvcpu_x86_mmio m;
        struct axvcpu_exit x = {0};
        struct axvcpu_answer a;
        enum axvcpu_x86_mmio_step step = axvcpu_x86_mmio_begin(&m, &r, &s, t->bytes, t->size, t->gpa, t->write, &x);
        bool good = true;
        unsigned i = 0;
        for (; good && i < 3 && t->step[i].kind != 0; i++) {
            good = step == AXVCPU_X86_MMIO_ACCESS && x.kind == t->step[i].kind && x.mmio.addr == t->step[i].addr &&
                   x.mmio.width == t->step[i].width && memcmp(&r, &was, sizeof r) == 0 &&
                   (x.kind == AXVCPU_EXIT_MMIO_READ || x.mmio.data == t->step[i].data);
            answer(&a, &x, &t->step[i], t->refuse);
            step = good ? axvcpu_x86_mmio_commit(&m, &r, &s, &a, &x) : step;
        }
        if (!ok(good && step == AXVCPU_X86_MMIO_DONE && r.gpr[0] == t->rax && r.gpr[1] == t->rcx && r.gpr[6] == t->rsi &&
                    r.gpr[7] == t->rdi && r.rflags == t->rflags && r.rip == (uint64_t)RIP0 + t->length, "%s", t->name))
            note("  after %u: kind %u addr %" PRIx64 " data %" PRIx64 "; rax %" PRIx64 " flags %" PRIx64 " rip %" PRIx64, i, x.kind,
                 x.mmio.addr, x.mmio.data, r.gpr[0], r.rflags, r.rip);
    }
}

// What an exit says of the register: a plain load's, else none.
static void registers(void)
{
    static const struct {
        const char *name;
        uint8_t bytes[4];
        uint32_t reg, width;
        bool sign;
    } given[] = {
        {"mov edx, [rbx]", {0x8b, 0x13}, 2, 4, false},      {"mov dl, [rbx]", {0x8a, 0x13}, 2, 1, false},
        {"movsx rdx, word [rbx]", {0x48, 0x0f, 0xbf, 0x13}, 2, 8, true}, {"mov r9d, [rbx]", {0x44, 0x8b, 0x0b}, 9, 4, false},
        {"mov dh, [rbx]", {0x8a, 0x33}, AXVCPU_REG_NONE, 1, false},       {"add edx, [rbx]", {0x03, 0x13}, AXVCPU_REG_NONE, 4, false},
        {"test [rbx], edx", {0x85, 0x13}, AXVCPU_REG_NONE, 4, false},
    };
    for (unsigned i = 0; i < COUNT(given); i++) {
        struct axvcpu_x86_space s = flat(64);
        struct axvcpu_x86_regs r = start();
        struct axvcpu_x86_mmio m;
        struct axvcpu_exit x = {0};
        (void)axvcpu_x86_mmio_begin(&m, &r, &s, given[i].bytes, 4, D, false, &x);
        ok(x.mmio.reg == given[i].reg && x.mmio.reg_width == given[i].width && x.mmio.sign_extend == given[i].sign, "%s: register, its width, sign",
           given[i].name);
    }
}

// ---- accesses that cross a page: each page's part is memory, or an exit

#define E sizeof memory // behind it is nothing
static const struct across {
    const char *name;
    uint8_t size, bytes[4];
    uint64_t rbx, gpa;
    bool write, refuse;
    struct step step[5];
    uint64_t rax, last; // RAX, and the last 8 bytes of the memory, at the end
} across[] = {
    {"a load from two devices", 2, {0x8b, 0x03}, D + 0xffe, D + 0xffe, false, false,
     {RD(2, D + 0xffe, 0x2211), RD(2, D + 0x1000, 0x4433)}, 0x44332211, 0},
    {"... whose second page has faulted", 2, {0x8b, 0x03}, D + 0xffe, D + 0x1000, false, false,
     {RD(2, D + 0xffe, 0xffff2211), RD(2, D + 0x1000, 0x4433)}, 0x44332211, 0},
    {"... both refused", 2, {0x8b, 0x03}, D + 0xfff, D + 0xfff, false, true, {RD(1, D + 0xfff, 0), RD(3, D + 0x1000, 0)}, 0xffffffff, 0},
    {"a load from memory and a device", 2, {0x8b, 0x03}, E - 1, E, false, false, {RD(3, E, 0x443322)}, 0x443322a8, 0},
    {"a load of 8 bytes from memory and a device", 3, {0x48, 0x8b, 0x03}, E - 7, E, false, false, {RD(1, E, 0x80)}, 0x80a8a7a6a5a4a3a2, 0},
    {"movsx from two devices", 4, {0x48, 0x0f, 0xbf, 0x03}, D + 0xfff, D + 0xfff, false, false,
     {RD(1, D + 0xfff, 1), RD(1, D + 0x1000, 0x80)}, 0xffffffffffff8001, 0},
    {"a store to two devices", 2, {0x89, 0x03}, D + 0xffd, D + 0xffd, true, false, {WR(3, D + 0xffd, 0x667788), WR(1, D + 0x1000, 0x55)}, A, 0},
    {"a store to memory and a device", 2, {0x89, 0x03}, E - 3, E, true, false, {WR(1, E, 0x55)}, A, 0x667788a5a4a3a2a1},
    {"a sum on two devices", 2, {0x01, 0x03}, D + 0xffe, D + 0xffe, false, false,
     {RD(2, D + 0xffe, 1), RD(2, D + 0x1000, 0), WR(2, D + 0xffe, 0x7789), WR(2, D + 0x1000, 0x5566)}, A, 0},
    {"an exchange with memory and a device", 2, {0x87, 0x03}, E - 2, E, false, false, {RD(2, E, 0x4433), WR(2, E, 0x5566)}, 0x4433a8a7,
     0x7788a6a5a4a3a2a1},
};

static void crossing(void)
{
    for (const struct across *t = across; t < across + COUNT(across); t++) {
        struct axvcpu_x86_space s = flat(64);
        struct axvcpu_x86_regs r = start(), was;
        struct axvcpu_x86_mmio m;
        struct axvcpu_exit x = {0};
        struct axvcpu_answer a;
        const uint64_t pattern = 0xa8a7a6a5a4a3a2a1;
        uint64_t last;
        r.gpr[3] = t->rbx;
        was = r;
        memcpy(memory + E - 8, &pattern, 8);
        enum axvcpu_x86_mmio_step step = axvcpu_x86_mmio_begin(&m, &r, &s, t->bytes, t->size, t->gpa, t->write, &x);
        for (const struct step *n = t->step; n->width != 0; n++) {
            bool read = n->kind == AXVCPU_EXIT_MMIO_READ;
            ok(step == AXVCPU_X86_MMIO_ACCESS && x.kind == n->kind && x.mmio.width == n->width && x.mmio.addr == n->addr &&
                   (read || x.mmio.data == n->data) && x.mmio.reg == AXVCPU_REG_NONE && !x.mmio.sign_extend &&
                   memcmp(&r, &was, sizeof r) == 0, "%s: access %d", t->name, (int)(n - t->step));
            answer(&a, &x, n, t->refuse);
            step = axvcpu_x86_mmio_commit(&m, &r, &s, &a, &x);
        }
        memcpy(&last, memory + E - 8, 8);
        ok(step == AXVCPU_X86_MMIO_DONE && r.rip == (uint64_t)RIP0 + t->size, "%s: it is over", t->name);
        ok(r.gpr[0] == t->rax && last == (t->last == 0 ? pattern : t->last), "%s: RAX and memory", t->name);
    }
}

// ---- segments: what the CPU has not checked when it exits

static void segments(void)
{
    enum { RO = 0x91, RW = 0x93, DOWN = 0x97, XO = 0x99, XR = 0x9b, BIG = 0x4000, NONE = 0x10000 };
    static const struct {
        const char *name;
        uint32_t limit, access, width;
        uint64_t offset;
        bool write, good;
    } given[] = {
        {"the last byte", 0xffff, RW, 1, 0xffff, true, true},
        {"one byte too many", 0xffff, RW, 2, 0xffff, true, false},
        {"to the end of 4 GiB", UINT32_MAX, RW, 4, 0xfffffffc, false, true},
        {"beyond 4 GiB", UINT32_MAX, RW, 4, 0xfffffffd, false, false},
        {"a write to what is for reading", 0xffff, RO, 4, 0, true, false},
        {"a read of it", 0xffff, RO, 4, 0, false, true},
        {"a read of code", 0xffff, XO, 4, 0, false, false},
        {"a read of readable code", 0xffff, XR, 4, 0, false, true},
        {"a write to it", 0xffff, XR, 4, 0, true, false},
        {"none at all", UINT32_MAX, RW | NONE, 1, 0, false, false},
        {"growing down: below", 0xfff, DOWN, 4, 0xffc, false, false},
        {"growing down: within", 0xfff, DOWN, 4, 0x1000, true, true},
        {"growing down: 64 KiB end it", 0xfff, DOWN, 4, 0xfffd, false, false},
        {"growing down: or 4 GiB do", 0xfff, DOWN | BIG, 4, 0xfffd, false, true},
    };
    for (unsigned i = 0; i < COUNT(given); i++)
        ok(axvcpu_x86_in_segment(given[i].limit, given[i].access, given[i].offset, given[i].width, given[i].write) == given[i].good,
           "segment: %s", given[i].name);
}

static uint32_t es_limit;
static void segment(void *arg, uint32_t n, uint32_t *limit, uint32_t *access)
{
    (void)arg;
    *limit = n == AXVCPU_X86_ES ? es_limit : UINT32_MAX;
    *access = 0x4093;
}

static void movs_limit(void)
{
    static const uint8_t bytes[] = {0xa5};
    struct axvcpu_x86_space s = flat(32);
    struct axvcpu_x86_regs r = start();
    struct axvcpu_x86_mmio m;
    struct axvcpu_exit x = {0};
    s.segment = segment;
    r.gpr[6] = D, r.gpr[7] = 0x3000;
    es_limit = 0x3003;
    ok(axvcpu_x86_mmio_begin(&m, &r, &s, bytes, 1, D, false, &x) == AXVCPU_X86_MMIO_ACCESS, "movs to the last bytes of a segment");
    es_limit = 0x3002;
    ok(axvcpu_x86_mmio_begin(&m, &r, &s, bytes, 1, D, false, &x) == AXVCPU_X86_MMIO_FAULT && m.vector == 13 && m.error == 0,
       "movs beyond them is #GP before the device is read");
}

// ---- movs with a device on each side

static void movs(void)
{
    struct axvcpu_x86_space s = flat(64);
    struct axvcpu_x86_regs r = start();
    struct axvcpu_x86_mmio m;
    struct axvcpu_exit x = {0};
    struct axvcpu_answer a;
    static const uint8_t bytes[] = {0x48, 0xa5};
    struct step read = RD(8, D, 0x0807060504030201);

    r.gpr[6] = D, r.gpr[7] = 0x3000;
    ok(axvcpu_x86_mmio_begin(&m, &r, &s, bytes, 2, D, false, &x) == AXVCPU_X86_MMIO_ACCESS && x.kind == AXVCPU_EXIT_MMIO_READ, "movsq from a device is a read");
    answer(&a, &x, &read, false);
    ok(axvcpu_x86_mmio_commit(&m, &r, &s, &a, &x) == AXVCPU_X86_MMIO_DONE && memory[0x3000] == 1 && memory[0x3007] == 8, "and the value is in memory");
    ok(r.gpr[6] == D + 8 && r.gpr[7] == 0x3008 && r.rip == RIP0 + 2, "and the registers moved");
    r = start();
    r.gpr[6] = D;
    ok(axvcpu_x86_mmio_begin(&m, &r, &s, bytes, 2, D, false, &x) == AXVCPU_X86_MMIO_ACCESS, "movsq from device to device is a read");
    answer(&a, &x, &read, false);
    ok(axvcpu_x86_mmio_commit(&m, &r, &s, &a, &x) == AXVCPU_X86_MMIO_ACCESS && x.kind == AXVCPU_EXIT_MMIO_WRITE && x.mmio.addr == D + 8 &&
           x.mmio.data == read.data, "then a write of the same instruction");
    ok(r.gpr[6] == D && axvcpu_x86_mmio_commit(&m, &r, &s, &a, &x) == AXVCPU_X86_MMIO_DONE && r.gpr[6] == D + 8 && r.gpr[7] == D + 16, "then it is over");
    r = start();
    r.gpr[6] = D, r.gpr[7] = UINT64_C(1) << 47;
    ok(axvcpu_x86_mmio_begin(&m, &r, &s, bytes, 2, D, false, &x) == AXVCPU_X86_MMIO_FAULT && m.vector == 13 && m.error == 0,
       "a destination that is not canonical is #GP before the device is read");
    r = start();
    r.rflags |= AXVCPU_X86_FLAG_DF;
    ok(axvcpu_x86_mmio_begin(&m, &r, &s, bytes, 2, D + 8, true, &x) == AXVCPU_X86_MMIO_ACCESS &&
           axvcpu_x86_mmio_commit(&m, &r, &s, &a, &x) == AXVCPU_X86_MMIO_DONE && r.gpr[6] == 0x1ff8 && r.gpr[7] == D, "downwards with DF");
}

// trap 12: of a count, each element is an access of its own, and RIP stays until the last.
static void trap12_rep(uint32_t bits, uint8_t prefix)
{
    struct axvcpu_x86_space s = flat(bits);
    struct axvcpu_x86_regs r = start();
    uint8_t bytes[] = {prefix, 0xf3, 0xaa};
    struct axvcpu_x86_mmio m;
    struct axvcpu_exit x = {0};
    struct axvcpu_answer a = {.kind = AXVCPU_EXIT_MMIO_WRITE};
    unsigned n = 0;
    r.gpr[1] = 5 | (bits == 64 && prefix == 0x67 ? UINT64_C(0x500000000) : 0);
    if (bits == 16)
        r.gpr[1] |= 0x70000, r.gpr[7] = 0x5550008, s.base[AXVCPU_X86_ES] = D;
    while (r.rip == RIP0 && n < 20) {
        uint64_t gpa = bits == 16 ? D + (r.gpr[7] & 0xffff) : r.gpr[7];
        if (axvcpu_x86_mmio_begin(&m, &r, &s, bytes, 3, gpa, true, &x) != AXVCPU_X86_MMIO_ACCESS || x.mmio.addr != D + 8 + n ||
            axvcpu_x86_mmio_commit(&m, &r, &s, &a, &x) != AXVCPU_X86_MMIO_DONE)
            break;
        n++;
    }
    ok(n == 5 && r.rip == RIP0 + 3 && r.gpr[1] == (bits == 16 ? 0x70000u : 0), "trap 12: rep stosb of 5, %u bits, prefix %x: %u accesses", bits, prefix, n);
    if (bits == 16)
        ok_u64(r.gpr[7], 0x555000d, "trap 12: DI alone moves");
}

// ---- what is not ours

static void undecoded(void)
{
    static const struct {
        const char *name;
        uint8_t size, bytes[4];
        uint64_t gpa;
        bool write;
        uint64_t rdi; // if it is not 0
    } given[] = {
        {"an unknown instruction", 3, {0x0f, 0x10, 0x03}, D, false, 0},
        {"too few bytes", 1, {0x8b}, D, false, 0},
        {"no bytes", 0, {0}, D, false, 0},
        {"a load, and the fault was a write", 2, {0x8b, 0x03}, D, true, 0},
        {"a store, and the fault was a read", 2, {0x89, 0x03}, D, false, 0},
        {"another address than the fault's", 2, {0x8b, 0x03}, D + 4, false, 0},
        {"an access across a page, and the fault is on neither", 3, {0x8b, 0x43, 0xfe}, D + 0x5000, false, 0},
        {"movs across a page", 1, {0xa5}, D + 0xffe, false, 0},
        {"movs to two pages", 1, {0xa5}, D, false, 0x2ffe},
        {"movs from what is not memory to a device", 1, {0xa4}, D + 8, true, 0},
    };
    for (unsigned i = 0; i < COUNT(given); i++) {
        struct axvcpu_x86_space s = flat(64);
        struct axvcpu_x86_regs r = start(), was;
        struct axvcpu_x86_mmio m;
        struct axvcpu_exit x = {0};
        if (given[i].bytes[0] == 0xa4)
            r.gpr[6] = D + 0x5000;
        if (given[i].bytes[0] == 0xa5)
            r.gpr[6] = given[i].gpa;
        if (given[i].rdi != 0)
            r.gpr[7] = given[i].rdi;
        was = r;
        ok(axvcpu_x86_mmio_begin(&m, &r, &s, given[i].bytes, given[i].size, given[i].gpa, given[i].write, &x) == AXVCPU_X86_MMIO_UNDECODED &&
               x.kind == AXVCPU_EXIT_UNDECODED && x.undecoded.addr == given[i].gpa && x.undecoded.insn_len == given[i].size &&
               memcmp(x.undecoded.insn, given[i].bytes, given[i].size) == 0 && memcmp(&r, &was, sizeof r) == 0, "undecoded: %s", given[i].name);
    }
}

// ---- the guest's page tables

enum { P = 1, RW = 2, US = 4, ACC = 0x20, DIRTY = 0x40, PS = 0x80, PE = 1, WP = 0x10000, PSE = 0x10, PAE = 0x20, LA57 = 0x1000,
       SMEP = 0x100000, SMAP = 0x200000, LME = 0x100, LMA = 0x400, NXE = 0x800, R = 1, W = 2, X = 4 };
#define PG 0x80000000u
#define XD (UINT64_C(1) << 63)

static void put(uint64_t table, uint64_t index, uint64_t entry, unsigned size)
{
    memcpy(memory + table + index * size, &entry, size);
}
static uint64_t get(uint64_t table, uint64_t index, unsigned size)
{
    uint64_t v = 0;
    memcpy(&v, memory + table + index * size, size);
    return v;
}

struct mode {
    const char *name;
    uint64_t cr4, efer;
    unsigned levels, index, size;
};
static const struct mode modes[] = {
    {"32 bits", PSE, 0, 2, 10, 4},       {"PAE", PAE, NXE, 3, 9, 8},
    {"4 levels", PAE, LME | LMA | NXE, 4, 9, 8}, {"5 levels", PAE | LA57, LME | LMA | NXE, 5, 9, 8},
};

// Tables at 0x4000 and up, one a level; the leaf is at `leaf`.
static struct axvcpu_x86_space paged(const struct mode *m, uint64_t linear, unsigned leaf, uint64_t entry)
{
    struct axvcpu_x86_space s = flat(m->levels >= 4 ? 64 : 32);
    s.cr0 = PG | PE | WP, s.cr3 = 0x4000, s.cr4 = m->cr4, s.efer = m->efer;
    memset(memory + 0x4000, 0, 0x6000);
    for (unsigned level = m->levels; level >= leaf; level--) {
        uint64_t at = 0x4000 + 0x1000 * (m->levels - level), index = linear >> (12 + m->index * (level - 1)) & ((1u << m->index) - 1);
        uint64_t rights = m->levels == 3 && level == 3 ? P : P | RW | US;
        put(at, index, level == leaf ? entry : (at + 0x1000) | rights, m->size);
    }
    return s;
}

static void mappings(void)
{
    for (const struct mode *m = modes; m < modes + COUNT(modes); m++)
        for (unsigned leaf = 1; leaf <= (m->levels >= 4 ? 3u : 2u); leaf++) {
            uint64_t linear = m->levels >= 4 ? 0x00007f3456789abc : 0xf6789abc, low = (UINT64_C(1) << (12 + m->index * (leaf - 1))) - 1;
            uint64_t page = (m->size == 8 ? 0xa5c0000000 : 0xc0000000) & ~low, gpa, at, index;
            uint32_t error;
            struct axvcpu_x86_space s = paged(m, linear, leaf, page | P | RW | US | (leaf > 1 ? PS : 0));
            ok(axvcpu_x86_walk(&s, 2, linear, R, &gpa, &error) == AXVCPU_X86_WALK_OK && gpa == (page | (linear & low)), "%s, leaf at level %u", m->name, leaf);
            at = 0x4000 + 0x1000 * (m->levels - leaf), index = linear >> (12 + m->index * (leaf - 1)) & ((1u << m->index) - 1);
            ok_u64(get(at, index, m->size) & (ACC | DIRTY), ACC, "%s, level %u: accessed", m->name, leaf);
            (void)axvcpu_x86_walk(&s, 2, linear, W, &gpa, &error);
            ok_u64(get(at, index, m->size) & (ACC | DIRTY), ACC | DIRTY, "%s, level %u: dirty", m->name, leaf);
            index = linear >> (12 + m->index * (m->levels - 1)) & ((1u << m->index) - 1);
            if (leaf < m->levels)
                ok_u64(get(0x4000, index, m->size) & ACC, m->levels == 3 ? 0 : ACC, "%s: the top level is%s accessed", m->name, m->levels == 3 ? " not" : "");
            put(at, linear >> (12 + m->index * (leaf - 1)) & ((1u << m->index) - 1), page, m->size);
            ok(axvcpu_x86_walk(&s, 2, linear, R, &gpa, &error) == AXVCPU_X86_WALK_FAULT && (error & 1) == 0, "%s, level %u: not present", m->name, leaf);
        }
}

// Rights: SDM 3, 4.6.1. Error codes: 4.7.
static const struct {
    const char *name;
    uint64_t leaf, cr4, cr0_clear, efer_clear, rflags;
    uint32_t cpl, access, fault; // 0: allowed; else the error code
} rights[] = {
    {"a supervisor reads its page", P | RW, 0, 0, 0, 2, 0, R, 0},
    {"a supervisor writes its page", P | RW, 0, 0, 0, 2, 0, W, 0},
    {"a supervisor writes a read-only page", P, 0, 0, 0, 2, 0, W, 3},
    {"... without CR0.WP", P, 0, WP, 0, 2, 0, W, 0},
    {"a user reads a supervisor's page", P | RW, 0, 0, 0, 2, 3, R, 5},
    {"a user reads its page", P | US, 0, 0, 0, 2, 3, R, 0},
    {"a user writes a read-only page, without CR0.WP", P | US, 0, WP, 0, 2, 3, W, 7},
    {"a user writes its page", P | US | RW, 0, 0, 0, 2, 3, W, 0},
    {"a fetch from a page with XD", P | US | RW | XD, 0, 0, 0, 2, 3, X, 0x15},
    {"a read of it", P | US | RW | XD, 0, 0, 0, 2, 3, R, 0},
    {"XD without NXE is reserved", P | US | RW | XD, 0, 0, NXE, 2, 3, R, 0xd},
    {"SMEP: a supervisor fetches a user's", P | US | RW, SMEP, 0, 0, 2, 0, X, 0x11},
    {"SMEP: a user does", P | US | RW, SMEP, 0, 0, 2, 3, X, 0},
    {"SMAP: a supervisor reads a user's", P | US | RW, SMAP, 0, 0, 2, 0, R, 1},
    {"SMAP: ... with AC", P | US | RW, SMAP, 0, 0, 0x40002, 0, R, 0},
    {"SMAP: a supervisor fetches a user's", P | US | RW, SMAP, 0, 0, 2, 0, X, 0},
    {"a fetch's error code has no I/D without NXE and SMEP", P | RW, 0, 0, NXE, 2, 3, X, 5},
    {"an address beyond physical ones is reserved", P | US | RW | UINT64_C(1) << 40, 0, 0, 0, 2, 3, R, 0xd},
};

static void permissions(void)
{
    for (unsigned i = 0; i < COUNT(rights); i++) {
        uint64_t gpa;
        uint32_t error = 0;
        struct axvcpu_x86_space s = paged(&modes[2], 0x1234000, 1, 0x3000 | rights[i].leaf);
        enum axvcpu_x86_walk got;
        s.cr4 |= rights[i].cr4, s.cr0 &= ~rights[i].cr0_clear, s.efer &= ~rights[i].efer_clear, s.cpl = rights[i].cpl;
        got = axvcpu_x86_walk(&s, rights[i].rflags, 0x1234000, rights[i].access, &gpa, &error);
        ok(rights[i].fault == 0 ? got == AXVCPU_X86_WALK_OK && gpa == 0x3000 : got == AXVCPU_X86_WALK_FAULT && error == rights[i].fault,
           "%s: %s (%x)", rights[i].name, rights[i].fault ? "#PF" : "allowed", error);
    }
}

static void walks(void)
{
    uint64_t gpa;
    uint32_t error;
    struct axvcpu_x86_space s = flat(32);
    ok(axvcpu_x86_walk(&s, 2, 0x12345678, W, &gpa, &error) == AXVCPU_X86_WALK_OK && gpa == 0x12345678, "without paging it is the address");
    s = paged(&modes[2], 0x1234000, 1, 0x3000 | P);
    put(0x4000, 0, UINT64_C(0x80000000) | P, 8);
    ok(axvcpu_x86_walk(&s, 2, 0x1234000, R, &gpa, &error) == AXVCPU_X86_WALK_LOST, "a table that is not in memory");
    s.ptr = NULL;
    ok(axvcpu_x86_walk(&s, 2, 0x1234000, R, &gpa, &error) == AXVCPU_X86_WALK_LOST, "no memory at all");
    s = paged(&modes[2], 0x1234000, 4, 0x3000 | P | PS);
    ok(axvcpu_x86_walk(&s, 2, 0x1234000, R, &gpa, &error) == AXVCPU_X86_WALK_FAULT && error == 9, "a PML4E has no PS");
    s = paged(&modes[2], 0x1234000, 2, 0x3000 | P | PS);
    ok(axvcpu_x86_walk(&s, 2, 0x1234000, R, &gpa, &error) == AXVCPU_X86_WALK_FAULT && error == 9, "a large page is aligned");
    s = paged(&modes[1], 0x1234000, 3, 0x3000 | P | RW);
    ok(axvcpu_x86_walk(&s, 2, 0x1234000, R, &gpa, &error) == AXVCPU_X86_WALK_FAULT && error == 9, "a PDPTE of PAE has no RW");
    for (unsigned bit = 52; bit < 63; bit++) {
        s = paged(&modes[1], 0x1234000, 1, 0x3000 | P | RW | UINT64_C(1) << bit);
        ok(axvcpu_x86_walk(&s, 2, 0x1234000, R, &gpa, &error) == AXVCPU_X86_WALK_FAULT && error == 9, "a PTE of PAE has no bit %u", bit);
    }
    s = paged(&modes[0], 0xc1234567, 2, 0x00c00000 | UINT64_C(0x1e000) | P | PS);
    ok(axvcpu_x86_walk(&s, 2, 0xc1234567, R, &gpa, &error) == AXVCPU_X86_WALK_OK && gpa == 0x0f00e34567, "PSE-36: %" PRIx64, gpa);
    read_only = true;
    s = paged(&modes[2], 0x1234000, 1, 0x3000 | P | RW);
    ok(axvcpu_x86_walk(&s, 2, 0x1234000, W, &gpa, &error) == AXVCPU_X86_WALK_OK && get(0x7000, 0x34, 8) == (0x3000 | P | RW), "tables in memory that is read-only stay");
    read_only = false;
}

// movs through page tables: its destination faults before the device is read; instructions are fetched.
static void through_tables(void)
{
    static const uint8_t bytes[] = {0xa5};
    struct axvcpu_x86_space s = paged(&modes[2], 0x1234000, 1, 0x3000 | P);
    struct axvcpu_x86_regs r = start(), was;
    struct axvcpu_x86_mmio m;
    struct axvcpu_exit x = {0};
    struct axvcpu_answer a = {.kind = AXVCPU_EXIT_MMIO_READ, .width = 4, .reg_width = 4};
    uint8_t fetched[15];
    r.gpr[6] = 0x9999000 | (D & 0xfff), r.gpr[7] = 0x1234100;
    was = r;
    ok(axvcpu_x86_mmio_begin(&m, &r, &s, bytes, 1, D, false, &x) == AXVCPU_X86_MMIO_FAULT && m.vector == 14 && m.error == 3 && m.cr2 == 0x1234100 &&
           memcmp(&r, &was, sizeof r) == 0, "movs: a destination that may not be written is #PF, and no device is read");
    r.gpr[7] = 0x1334100;
    ok(axvcpu_x86_mmio_begin(&m, &r, &s, bytes, 1, D, false, &x) == AXVCPU_X86_MMIO_FAULT && m.error == 2 && m.cr2 == 0x1334100, "movs: ... or that is not there");
    s = paged(&modes[2], 0x1234000, 1, 0x3000 | P | RW);
    r.gpr[7] = 0x1234100;
    ok(axvcpu_x86_mmio_begin(&m, &r, &s, bytes, 1, D, false, &x) == AXVCPU_X86_MMIO_ACCESS, "movs: a destination that is there");
    put(0x7000, 0x34, 0, 8);
    was = r;
    ok(axvcpu_x86_mmio_commit(&m, &r, &s, &a, &x) == AXVCPU_X86_MMIO_FAULT && m.vector == 14 && m.error == 2 && m.cr2 == 0x1234100 &&
           memcmp(&r, &was, sizeof r) == 0, "movs: ... and has gone when the device has answered");
    put(0x4000, 0, UINT64_C(0x80000000) | P | RW, 8);
    ok(axvcpu_x86_mmio_begin(&m, &r, &s, bytes, 1, D, false, &x) == AXVCPU_X86_MMIO_UNDECODED, "movs: ... or whose tables are no memory");
    s = paged(&modes[2], 0x1234000, 1, 0x3000 | P);
    memset(memory + 0x3ff0, 0x90, 16);
    r.gpr[3] = 0x1234ffe, was = r;
    static const uint8_t store[] = {0x89, 0x03};
    s.cr0 &= ~(uint64_t)AXVCPU_X86_CR0_WP;
    ok(axvcpu_x86_mmio_begin(&m, &r, &s, store, 2, 0x3ffe, true, &x) == AXVCPU_X86_MMIO_FAULT && m.vector == 14 && m.error == 2 &&
           m.cr2 == 0x1235000 && memory[0x3ffe] == 0x90 && memcmp(&r, &was, sizeof r) == 0, "the second page of a store is not there: nothing is written");
    r.rip = 0x1234ffa;
    ok_u64(axvcpu_x86_fetch(&s, &r, fetched), 6, "a fetch ends where the next page is missing");
    r.rip = 0x1234f00;
    ok_u64(axvcpu_x86_fetch(&s, &r, fetched), 15, "else it is 15 bytes");
    r.rip = 0x5000000;
    ok_u64(axvcpu_x86_fetch(&s, &r, fetched), 0, "nothing where nothing is");
    s = flat(64);
    r.rip = sizeof memory - 5;
    ok_u64(axvcpu_x86_fetch(&s, &r, fetched), 5, "and no more than memory has");
}

static void sizes(void)
{
    ok_u64(axvcpu_x86_bits(0, 0, 2, 0x4093), 16, "real mode is 16 bits, whatever D is");
    ok_u64(axvcpu_x86_bits(PE, 0, 2, 0x409b), 32, "protected mode, D");
    ok_u64(axvcpu_x86_bits(PE, 0, 2, 0x9b), 16, "protected mode, no D");
    ok_u64(axvcpu_x86_bits(PE, 0, 0x20002, 0x409b), 16, "virtual-8086 mode");
    ok_u64(axvcpu_x86_bits(PE | PG, LME | LMA, 2, 0x209b), 64, "64-bit mode");
    ok_u64(axvcpu_x86_bits(PE | PG, LME | LMA, 2, 0x409b), 32, "compatibility mode");
    ok_u64(axvcpu_x86_bits(PE, LME, 2, 0x209b), 16, "L before long mode is nothing");
}

int main(void)
{
    tap_begin(30);
    for (unsigned i = 0; i < 16; i++)
        memory[0x2000 + i] = (uint8_t)(i + 1);
    accesses();
    registers();
    crossing();
    segments();
    movs_limit();
    movs();
    trap12_rep(64, 0x66);
    trap12_rep(64, 0x67);
    trap12_rep(32, 0x66);
    trap12_rep(16, 0x66);
    undecoded();
    mappings();
    permissions();
    walks();
    through_tables();
    sizes();
    return tap_done();
}
