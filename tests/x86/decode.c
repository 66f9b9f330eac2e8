// SPDX-License-Identifier: Apache-2.0
//
// Every instruction of the list, with every register, width, way of addressing and prefix: none is undecoded, and
// each is taken for what it is. The lengths are then compared with objdump's in lengths.c, effects with the CPU's
// in native.c.
#include "decode.h"
#include "insn.h"
#include "tests/tap.h"

static const uint8_t segments[] = {0, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65};
static unsigned long total, undecoded, wrong;
static struct {
    unsigned long decoded, undecoded;
} of_kind[KINDS];

static const char *text(const uint8_t *bytes, int n)
{
    static char s[64];
    for (int i = 0; i < n; i++)
        sprintf(s + 3 * i, "%02x ", bytes[i]);
    return s;
}

static uint8_t access_of(const struct kind *k)
{
    return (uint8_t)((k->access & LOADS ? AXVCPU_ACCESS_READ : 0) | (k->access & STORES ? AXVCPU_ACCESS_WRITE : 0));
}

static bool same(const struct kind *k, const struct form *f, const struct axvcpu_x86_insn *i, int length)
{
    return i->length == length && i->width == width_of(k, f) && i->access == access_of(k) &&
           i->address_width == address_bytes(f) && !(i->flags & AXVCPU_X86_INSN_LOCK) == !f->lock &&
           !(i->flags & AXVCPU_X86_INSN_IMM) == (k->imm == NO_IMM);
}

static void one(const struct kind *k, const struct form *f)
{
    struct axvcpu_x86_insn i;
    uint8_t bytes[32];
    int n;
    if (!exists(k, f))
        return;
    n = encode(k, f, bytes);
    if (n > 15)
        return;
    total++;
    if (!axvcpu_x86_decode(bytes, (uint32_t)n, f->bits, &i)) {
        of_kind[k - kinds].undecoded++;
        if (undecoded++ < 10)
            note("undecoded in %d bits: %s: %s", f->bits, k->name, text(bytes, n));
        return;
    }
    of_kind[k - kinds].decoded++;
    if (!same(k, f, &i, n) && wrong++ < 10)
        note("wrong in %d bits: %s: %s", f->bits, k->name, text(bytes, n));
}

static void all_sibs(const struct kind *k, struct form *f)
{
    if (!has_sib(f)) {
        one(k, f);
        return;
    }
    for (unsigned sib = 0; sib < 256; sib += f->segment || COUNTED ? 37 : 1) {
        f->sib = (uint8_t)sib;
        one(k, f);
    }
}

static void all_addresses(const struct kind *k, struct form *f)
{
    if (!has_modrm(k)) {
        one(k, f);
        return;
    }
    for (unsigned modrm = 0; modrm < 0xc0; modrm++) {
        f->modrm = (uint8_t)modrm;
        if (k->ext < 0 || (modrm >> 3 & 7) == (unsigned)k->ext)
            all_sibs(k, f);
    }
}

static void all_rexes(const struct kind *k, struct form *f)
{
    for (unsigned rex = 0; rex <= (f->bits == 64 ? 16 : 0); rex++) {
        f->rex = (uint8_t)(rex ? 0x3f + rex : 0);
        all_addresses(k, f);
    }
}

static void all_prefixes(const struct kind *k, struct form *f, unsigned n)
{
    f->operand = n & 1;
    f->address = n >> 1 & 1;
    f->lock = n >> 2 & 1;
    f->rep = k->flags & STRING && n >> 3 & 1 ? 0xf3 : 0;
    if (n >> 3 & 1 && !(k->flags & STRING))
        return;
    for (unsigned s = 0; s < COUNT(segments); s++) {
        f->segment = segments[s];
        all_rexes(k, f);
    }
}

static void every(const struct kind *k, uint8_t bits)
{
    struct form f = {.bits = bits, .disp = 0x89abcdef, .imm = 0xfedcba9876543210};
    for (unsigned n = 0; n < 16; n++)
        all_prefixes(k, &f, n);
}

// Too short, too long, not in memory, LOCK where it is not allowed, unknown.
static const struct {
    const char *name;
    uint8_t bits, size;
    uint8_t bytes[16];
} refused[] = {
    {"nothing", 64, 0, {0x88}},
    {"a prefix alone", 64, 1, {0x66}},
    {"15 prefixes", 64, 16, {0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x88, 0x00}},
    {"no ModRM", 64, 1, {0x88}},
    {"half a displacement", 64, 4, {0x88, 0x80, 1, 2}},
    {"half an immediate", 64, 4, {0xc7, 0x00, 1, 2}},
    {"a register as operand", 64, 2, {0x88, 0xc0}},
    {"lock mov", 64, 3, {0xf0, 0x88, 0x00}},
    {"lock cmp", 64, 3, {0xf0, 0x38, 0x00}},
    {"lock add to a register", 64, 3, {0xf0, 0x02, 0x00}},
    {"lock movs", 64, 2, {0xf0, 0xa4}},
    {"lock bt", 64, 4, {0xf0, 0x0f, 0xa3, 0x00}},
    {"mov /1 (c6)", 64, 3, {0xc6, 0x08, 0}},
    {"xabort", 64, 3, {0xc6, 0xf8, 0}},
    {"82 in 64 bits", 64, 3, {0x82, 0x00, 0}},
    {"arpl", 32, 2, {0x63, 0x00}},
    {"mul", 64, 2, {0xf7, 0x20}},
    {"call", 64, 2, {0xff, 0x10}},
    {"push", 64, 2, {0xff, 0x30}},
    {"movs to SSE", 64, 3, {0x0f, 0x10, 0x00}},
    {"VEX", 64, 4, {0xc5, 0xf8, 0x10, 0x00}},
    {"cmpxchg", 64, 3, {0x0f, 0xb1, 0x00}},
    {"0f alone", 64, 1, {0x0f}},
    {"bt /3 (0f ba)", 64, 4, {0x0f, 0xba, 0x18, 0}},
};

// A REX counts only right before the opcode.
static void stray_rexes(void)
{
    static const uint8_t at[] = {0x48, 0x89, 0x00}, before[] = {0x48, 0x66, 0x89, 0x00}, byte[] = {0x40, 0x3e, 0x88, 0x20};
    struct axvcpu_x86_insn i;
    ok(axvcpu_x86_decode(at, sizeof at, 64, &i) && i.width == 8, "REX.W before the opcode: eight bytes");
    ok(axvcpu_x86_decode(before, sizeof before, 64, &i) && i.width == 2, "REX.W before a prefix: none");
    ok(axvcpu_x86_decode(byte, sizeof byte, 64, &i) && (i.flags & AXVCPU_X86_INSN_HIGH) != 0, "REX before a prefix: AH is AH");
}

int main(void)
{
    struct axvcpu_x86_insn insn;
    tap_begin(100);
    stray_rexes();
    for (const struct kind *k = kinds; k < kinds + KINDS; k++) {
        if (!wanted(k))
            continue;
        for (unsigned bits = 16; bits <= 64; bits *= 2)
            every(k, (uint8_t)bits);
        ok(of_kind[k - kinds].undecoded == 0 && of_kind[k - kinds].decoded != 0, "%s: %lu ways", k->name,
           of_kind[k - kinds].decoded);
    }
    note("%lu instructions, UNDECODED = %lu, wrong = %lu", total, undecoded, wrong);
    ok_u64(undecoded, 0, "none is undecoded");
    ok_u64(wrong, 0, "none is taken for something else");
    for (unsigned i = 0; i < COUNT(refused); i++)
        ok(!axvcpu_x86_decode(refused[i].bytes, refused[i].size, refused[i].bits, &insn), "undecoded: %s", refused[i].name);
    return tap_done();
}
