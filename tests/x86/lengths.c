// SPDX-License-Identifier: Apache-2.0
//
// The decoder against binutils' disassembler: instructions of the list with random operands, and random bytes of which
// the decoder took some for instructions. Length and name must be the same.
#define _POSIX_C_SOURCE 200809L
#include "decode.h"
#include "insn.h"
#include "tests/tap.h"

#include <ctype.h>
#include <stdlib.h>

enum { SLOT = 32, SLOTS = 12000, ANY = 0xff };

static const char *const names[AXVCPU_X86_OPS] = {
    "add", "or", "adc", "sbb", "and", "sub", "xor", "cmp", "test", "not", "neg", "inc", "dec", "xchg", "bt", "bts",
    "btr", "btc", "mov", "movzx", "movsx", "stos", "lods", "movs",
};
static uint8_t image[SLOTS * SLOT];
static struct {
    int length; // the decoder's; 0: undecoded
    uint8_t op;
} expected[SLOTS];
static unsigned long wrong, compared;

static uint64_t seed = 7;
static unsigned upto(unsigned n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)(seed >> 20) % n;
}

static int listed(uint8_t bits, uint8_t *bytes)
{
    static const uint8_t segments[] = {0, 0, 0, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65};
    const struct kind *k = &kinds[upto(KINDS)];
    struct form f = {.bits = bits, .operand = upto(3) == 0, .address = upto(3) == 0};
    f.lock = k->flags & LOCKABLE && upto(4) == 0;
    f.rep = k->flags & STRING && upto(2) ? 0xf3 : 0;
    f.segment = segments[upto(9)];
    f.rex = bits == 64 && upto(2) ? (uint8_t)(0x40 + upto(16)) : 0;
    f.modrm = (uint8_t)upto(0xc0);
    if (k->ext >= 0)
        f.modrm = (uint8_t)((f.modrm & ~0x38) | k->ext << 3);
    f.sib = (uint8_t)upto(256);
    f.disp = upto(1 << 30);
    f.imm = seed;
    return exists(k, &f) ? encode(k, &f, bytes) : 0;
}

static int anything(uint8_t bits, uint8_t *bytes)
{
    static const uint8_t prefixes[] = {0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65};
    int n = 0;
    for (unsigned i = upto(4); i > 0; i--)
        bytes[n++] = prefixes[upto(sizeof prefixes)];
    if (bits == 64 && upto(2)) // objdump takes one before other prefixes for good; the CPU does not: native.c
        bytes[n++] = (uint8_t)(0x40 + upto(16));
    if (upto(2))
        bytes[n++] = 0x0f;
    else
        bytes[n++] = (uint8_t)(bits == 64 ? 0x50 + upto(0xf0) : upto(256));
    while (n < 15)
        bytes[n++] = (uint8_t)upto(256);
    return n;
}

// Those that exit for their own sake; axvcpu_x86_length knows them.
static int of_system(uint8_t bits, uint8_t *bytes)
{
    static const uint8_t opcodes[][4] = {
        {1, 0xf4}, {1, 0x6c}, {1, 0x6f}, {2, 0xe4, 0x60}, {2, 0xe7, 0x61}, {1, 0xec}, {1, 0xef}, {1, 0x90}, {1, 0xcc}, {2, 0xcd, 0x80},
        {1, 0xf1}, {3, 0x0f, 0x01, 0xc1}, {3, 0x0f, 0x01, 0xd9}, {3, 0x0f, 0x01, 0xd1}, {3, 0x0f, 0x01, 0xf9}, {3, 0x0f, 0x01, 0xc8},
        {3, 0x0f, 0x01, 0xc9}, {2, 0x0f, 0x06}, {2, 0x0f, 0x08}, {2, 0x0f, 0x09}, {3, 0x0f, 0x20, 0xc0}, {3, 0x0f, 0x22, 0xd9},
        {3, 0x0f, 0x21, 0xf2}, {3, 0x0f, 0x23, 0xf8}, {2, 0x0f, 0x30}, {2, 0x0f, 0x31}, {2, 0x0f, 0x32}, {2, 0x0f, 0x33},
        {2, 0x0f, 0xa2}, {2, 0x0f, 0xaa}, {2, 0x0f, 0x01}, {2, 0x0f, 0x00},
    };
    const uint8_t *o = opcodes[upto(COUNT(opcodes))];
    int n = 0;
    if (upto(3) == 0)
        bytes[n++] = (uint8_t)(upto(2) ? 0x2e : 0x64);
    if (o[0] == 2 && o[1] == 0x0f && o[2] < 2 && upto(2))
        bytes[n++] = 0x67;
    if (bits == 64 && upto(3) == 0)
        bytes[n++] = 0x48;
    memcpy(bytes + n, o + 1, o[0]);
    n += o[0];
    if (o[0] == 2 && o[1] == 0x0f && o[2] < 2) { // LGDT and the like, INVLPG, LMSW: with an address
        uint8_t reg = (uint8_t)(o[2] ? (upto(2) ? upto(5) : 6 + upto(2)) : upto(6));
        bytes[n++] = (uint8_t)((upto(0xc0) & ~0x38u) | reg << 3);
        for (int i = 0; i < 5; i++)
            bytes[n++] = (uint8_t)upto(256);
    }
    return n;
}

static void fill(uint8_t bits, int (*make)(uint8_t, uint8_t *))
{
    memset(image, 0x90, sizeof image);
    for (unsigned i = 0; i < SLOTS; i++) {
        struct axvcpu_x86_insn insn;
        uint8_t bytes[32] = {0};
        int n = make(bits, bytes);
        bool system = make == of_system, good = n <= 15 && !system && axvcpu_x86_decode(bytes, (uint32_t)n, bits, &insn);
        expected[i].length = good ? insn.length : system ? (int)axvcpu_x86_length(bytes, (uint32_t)n, bits) : 0;
        expected[i].op = good ? insn.op : ANY;
        good = expected[i].length != 0;
        if (good)
            memcpy(image + i * SLOT, bytes, 15);
    }
}

static bool is_prefix(const char *word)
{
    static const char *const prefixes[] = {"data16", "data32", "addr16", "addr32", "lock", "rep", "repz", "repnz", "cs", "ss",
                                           "ds", "es", "fs", "gs", "xacquire", "xrelease", "bnd", "notrack"};
    for (unsigned i = 0; i < COUNT(prefixes); i++)
        if (strcmp(word, prefixes[i]) == 0)
            return true;
    return strncmp(word, "rex", 3) == 0;
}

// The first word that is no prefix; empty if there is none.
static const char *mnemonic(char *text)
{
    for (char *word = strtok(text, " \t\n"); word != NULL; word = strtok(NULL, " \t\n"))
        if (!is_prefix(word))
            return word;
    return "";
}

static bool called(uint8_t op, const char *word)
{
    if (op == ANY)
        return word[0] != '(';
    if (op == AXVCPU_X86_OP_MOV && (strcmp(word, "movabs") == 0 || strcmp(word, "movnti") == 0))
        return true;
    if (op == AXVCPU_X86_OP_MOVSX && strcmp(word, "movsxd") == 0)
        return true;
    return strcmp(word, names[op]) == 0;
}

// "  1f20:\t66 89 00 \tmov ..."; prefixes may stand in lines of their own.
static void line(char *text)
{
    static unsigned long start;  // of the instruction
    static bool prefixes;        // ... of which there were only prefixes so far
    char *tab = strchr(text, '\t'), *second = tab ? strchr(tab + 1, '\t') : NULL;
    unsigned long at = strtoul(text, NULL, 16), end = at;
    const char *word;
    int digits = 0;
    if (second == NULL)
        return;
    for (char *s = tab; s < second; s++)
        digits += isxdigit((unsigned char)*s) != 0;
    end += (unsigned)digits / 2;
    start = prefixes ? start : at;
    word = mnemonic(second + 1);
    prefixes = *word == 0;
    if (prefixes || start % SLOT != 0 || start / SLOT >= SLOTS)
        return;
    if ((long)(end - start) == expected[start / SLOT].length && called(expected[start / SLOT].op, word))
        expected[start / SLOT].length *= -1;
}

static void disassemble(uint8_t bits)
{
    char command[200], text[512];
    FILE *f = fopen("build/tests/x86/lengths.bin", "wb"), *p;
    if (f == NULL || fwrite(image, 1, sizeof image, f) != sizeof image || fclose(f) != 0)
        return;
    snprintf(command, sizeof command, "objdump -D -z -b binary -m %s -M intel --insn-width=16 build/tests/x86/lengths.bin",
             bits == 64 ? "i386:x86-64" : bits == 32 ? "i386" : "i8086");
    p = popen(command, "r");
    while (p != NULL && fgets(text, sizeof text, p) != NULL)
        line(text);
    if (p != NULL)
        pclose(p);
}

static void check(uint8_t bits, const char *what, int (*make)(uint8_t, uint8_t *), unsigned least)
{
    unsigned decoded = 0, bad = 0;
    fill(bits, make);
    disassemble(bits);
    for (unsigned i = 0; i < SLOTS; i++) {
        decoded += expected[i].length != 0;
        if (expected[i].length <= 0)
            continue;
        if (bad++ < 5) {
            char s[64] = "";
            for (int b = 0; b < 15; b++)
                sprintf(s + 3 * b, "%02x ", image[i * SLOT + (unsigned)b]);
            note("%s: %s, %d bytes?", s, expected[i].op == ANY ? "system" : names[expected[i].op], expected[i].length);
        }
    }
    wrong += bad;
    compared += decoded;
    ok(bad == 0 && decoded >= least, "%u bits, %s: %u of %d decoded, all as objdump has them", bits, what, decoded, SLOTS);
}

int main(void)
{
    tap_begin(100);
    if (system("objdump --version >/dev/null 2>&1") != 0) {
        skip("there is no objdump", "lengths");
        return tap_done();
    }
    for (unsigned bits = 16; bits <= 64; bits *= 2) {
        check((uint8_t)bits, "of the list", listed, SLOTS / 2);
        check((uint8_t)bits, "random bytes", anything, SLOTS / 50);
        check((uint8_t)bits, "that exit for their own sake", of_system, SLOTS);
    }
    note("%lu compared, wrong decodes = %lu", compared, wrong);
    return tap_done();
}
