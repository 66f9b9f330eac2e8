// SPDX-License-Identifier: Apache-2.0
//
// The instructions that the decoder must know, as the opcode maps of SDM 2, appendix A have them, and how one
// is put together. Written for itself: nothing here is from the header.
#ifndef X86_INSN_H
#define X86_INSN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

// What follows the opcode and its address: nothing, a byte, the operand's size up to 4.
enum { NO_IMM, IMM8, IMMZ };
// What it does to memory.
enum { LOADS = 1, STORES = 2, UPDATES = 3 };
enum { STRING = 1, MOFFS = 2, BIT_REG = 4, LOCKABLE = 8, ONLY64 = 16, NOT64 = 32, AF_UNDEFINED = 64, NO16 = 128 };

struct kind {
    const char *name;
    uint8_t map, opcode;
    int8_t ext;     // of ModRM.reg; -1: that is a register
    uint8_t imm, access;
    uint8_t width;  // of memory: 1, 2, 4; 0: the operand's
    uint8_t flags;
};

#define ALU(name, n, access, flags) \
    {name " Eb,Gb", 0, (n) * 8 + 0, -1, NO_IMM, access, 1, flags}, {name " Ev,Gv", 0, (n) * 8 + 1, -1, NO_IMM, access, 0, flags}, \
    {name " Gb,Eb", 0, (n) * 8 + 2, -1, NO_IMM, LOADS, 1, (flags) & ~LOCKABLE}, \
    {name " Gv,Ev", 0, (n) * 8 + 3, -1, NO_IMM, LOADS, 0, (flags) & ~LOCKABLE}, \
    {name " Eb,Ib", 0, 0x80, n, IMM8, access, 1, flags}, {name " Ev,Iz", 0, 0x81, n, IMMZ, access, 0, flags}, \
    {name " Eb,Ib (82)", 0, 0x82, n, IMM8, access, 1, (flags) | NOT64}, {name " Ev,Ib", 0, 0x83, n, IMM8, access, 0, flags}

// Built to count lines (tests/fuzz/reached): all of them are reached with a part of the cases.
#ifndef COUNTED
#define COUNTED 0
#endif

static const struct kind kinds[] = {
    ALU("add", 0, UPDATES, LOCKABLE), ALU("or", 1, UPDATES, LOCKABLE | AF_UNDEFINED), ALU("adc", 2, UPDATES, LOCKABLE),
    ALU("sbb", 3, UPDATES, LOCKABLE), ALU("and", 4, UPDATES, LOCKABLE | AF_UNDEFINED), ALU("sub", 5, UPDATES, LOCKABLE),
    ALU("xor", 6, UPDATES, LOCKABLE | AF_UNDEFINED), ALU("cmp", 7, LOADS, 0),
    {"test Eb,Gb", 0, 0x84, -1, NO_IMM, LOADS, 1, AF_UNDEFINED}, {"test Ev,Gv", 0, 0x85, -1, NO_IMM, LOADS, 0, AF_UNDEFINED},
    {"test Eb,Ib", 0, 0xf6, 0, IMM8, LOADS, 1, AF_UNDEFINED}, {"test Ev,Iz", 0, 0xf7, 0, IMMZ, LOADS, 0, AF_UNDEFINED},
    {"test Eb,Ib /1", 0, 0xf6, 1, IMM8, LOADS, 1, AF_UNDEFINED}, {"test Ev,Iz /1", 0, 0xf7, 1, IMMZ, LOADS, 0, AF_UNDEFINED},
    {"not Eb", 0, 0xf6, 2, NO_IMM, UPDATES, 1, LOCKABLE}, {"not Ev", 0, 0xf7, 2, NO_IMM, UPDATES, 0, LOCKABLE},
    {"neg Eb", 0, 0xf6, 3, NO_IMM, UPDATES, 1, LOCKABLE}, {"neg Ev", 0, 0xf7, 3, NO_IMM, UPDATES, 0, LOCKABLE},
    {"inc Eb", 0, 0xfe, 0, NO_IMM, UPDATES, 1, LOCKABLE}, {"inc Ev", 0, 0xff, 0, NO_IMM, UPDATES, 0, LOCKABLE},
    {"dec Eb", 0, 0xfe, 1, NO_IMM, UPDATES, 1, LOCKABLE}, {"dec Ev", 0, 0xff, 1, NO_IMM, UPDATES, 0, LOCKABLE},
    {"xchg Eb,Gb", 0, 0x86, -1, NO_IMM, UPDATES, 1, LOCKABLE}, {"xchg Ev,Gv", 0, 0x87, -1, NO_IMM, UPDATES, 0, LOCKABLE},
    {"mov Eb,Gb", 0, 0x88, -1, NO_IMM, STORES, 1, 0}, {"mov Ev,Gv", 0, 0x89, -1, NO_IMM, STORES, 0, 0},
    {"mov Gb,Eb", 0, 0x8a, -1, NO_IMM, LOADS, 1, 0}, {"mov Gv,Ev", 0, 0x8b, -1, NO_IMM, LOADS, 0, 0},
    {"mov Eb,Ib", 0, 0xc6, 0, IMM8, STORES, 1, 0}, {"mov Ev,Iz", 0, 0xc7, 0, IMMZ, STORES, 0, 0},
    {"mov AL,Ob", 0, 0xa0, -1, NO_IMM, LOADS, 1, MOFFS}, {"mov rAX,Ov", 0, 0xa1, -1, NO_IMM, LOADS, 0, MOFFS},
    {"mov Ob,AL", 0, 0xa2, -1, NO_IMM, STORES, 1, MOFFS}, {"mov Ov,rAX", 0, 0xa3, -1, NO_IMM, STORES, 0, MOFFS},
    {"movnti", 0x0f, 0xc3, -1, NO_IMM, STORES, 0, NO16},
    {"movzx Gv,Eb", 0x0f, 0xb6, -1, NO_IMM, LOADS, 1, 0}, {"movzx Gv,Ew", 0x0f, 0xb7, -1, NO_IMM, LOADS, 2, 0},
    {"movsx Gv,Eb", 0x0f, 0xbe, -1, NO_IMM, LOADS, 1, 0}, {"movsx Gv,Ew", 0x0f, 0xbf, -1, NO_IMM, LOADS, 2, 0},
    {"movsxd Gv,Ed", 0, 0x63, -1, NO_IMM, LOADS, 4, ONLY64},
    {"bt Ev,Gv", 0x0f, 0xa3, -1, NO_IMM, LOADS, 0, BIT_REG}, {"bts Ev,Gv", 0x0f, 0xab, -1, NO_IMM, UPDATES, 0, BIT_REG | LOCKABLE},
    {"btr Ev,Gv", 0x0f, 0xb3, -1, NO_IMM, UPDATES, 0, BIT_REG | LOCKABLE},
    {"btc Ev,Gv", 0x0f, 0xbb, -1, NO_IMM, UPDATES, 0, BIT_REG | LOCKABLE},
    {"bt Ev,Ib", 0x0f, 0xba, 4, IMM8, LOADS, 0, 0}, {"bts Ev,Ib", 0x0f, 0xba, 5, IMM8, UPDATES, 0, LOCKABLE},
    {"btr Ev,Ib", 0x0f, 0xba, 6, IMM8, UPDATES, 0, LOCKABLE}, {"btc Ev,Ib", 0x0f, 0xba, 7, IMM8, UPDATES, 0, LOCKABLE},
    {"movsb", 0, 0xa4, -1, NO_IMM, UPDATES, 1, STRING}, {"movsv", 0, 0xa5, -1, NO_IMM, UPDATES, 0, STRING},
    {"stosb", 0, 0xaa, -1, NO_IMM, STORES, 1, STRING}, {"stosv", 0, 0xab, -1, NO_IMM, STORES, 0, STRING},
    {"lodsb", 0, 0xac, -1, NO_IMM, LOADS, 1, STRING}, {"lodsv", 0, 0xad, -1, NO_IMM, LOADS, 0, STRING},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

// ONLY=TEXT: just those with TEXT in their names.
static inline bool wanted(const struct kind *k)
{
    const char *only = getenv("ONLY");
    return !only || strstr(k->name, only);
}

// How one is encoded.
struct form {
    uint8_t bits;                // 16, 32, 64
    bool operand, address, lock; // prefixes
    uint8_t rep, segment, rex;   // prefix bytes, or 0
    uint8_t stale;               // a REX that is not the last prefix
    uint8_t modrm, sib;
    uint32_t disp;
    uint64_t imm;
};

static inline int address_bytes(const struct form *f)
{
    return f->bits == 64 ? (f->address ? 4 : 8) : (f->bits == 32) != f->address ? 4 : 2;
}

static inline int operand_bytes(const struct kind *k, const struct form *f)
{
    int n = f->rex & 8 ? 8 : (f->bits == 16) != f->operand ? 2 : 4;
    return k->flags & NO16 && n == 2 ? 4 : n; // in 16-bit code
}

// Bytes of memory that it accesses.
static inline int width_of(const struct kind *k, const struct form *f)
{
    int n = operand_bytes(k, f);
    if (k->width == 4 && n == 2) // movsxd
        return 2;
    return k->width ? k->width : n;
}

static inline bool has_modrm(const struct kind *k)
{
    return !(k->flags & (STRING | MOFFS));
}

static inline bool has_sib(const struct form *f)
{
    return address_bytes(f) != 2 && (f->modrm & 7) == 4;
}

static inline int disp_bytes(const struct form *f)
{
    int mod = f->modrm >> 6, rm = f->modrm & 7;
    if (address_bytes(f) == 2)
        return mod == 1 ? 1 : mod == 2 || rm == 6 ? 2 : 0;
    if (mod == 0)
        return rm == 5 || (rm == 4 && (f->sib & 7) == 5) ? 4 : 0;
    return mod == 1 ? 1 : 4;
}

static inline uint8_t *emit(uint8_t *at, uint64_t value, int n)
{
    for (; n > 0; n--, value >>= 8)
        *at++ = (uint8_t)value;
    return at;
}

// The bytes of one; how many.
static inline int encode(const struct kind *k, const struct form *f, uint8_t *bytes)
{
    uint8_t *at = bytes;
    int z = operand_bytes(k, f) == 2 ? 2 : 4;
    uint8_t prefixes[] = {f->segment || f->operand ? f->stale : 0, f->lock ? 0xf0 : 0, f->rep, f->segment, f->operand ? 0x66 : 0, f->address ? 0x67 : 0, f->rex};
    for (unsigned i = 0; i < sizeof prefixes; i++)
        if (prefixes[i])
            *at++ = prefixes[i];
    if (k->map)
        *at++ = k->map;
    *at++ = k->opcode;
    if (k->flags & MOFFS)
        at = emit(at, f->imm, address_bytes(f));
    if (!has_modrm(k))
        return (int)(at - bytes);
    *at++ = f->modrm;
    if (has_sib(f))
        *at++ = f->sib;
    at = emit(at, f->disp, disp_bytes(f));
    at = emit(at, f->imm, k->imm == IMM8 ? 1 : k->imm == IMMZ ? z : 0);
    return (int)(at - bytes);
}

static inline bool exists(const struct kind *k, const struct form *f)
{
    return !(k->flags & (f->bits == 64 ? NOT64 : ONLY64)) && !(k->flags & NO16 && f->operand) && (!f->lock || k->flags & LOCKABLE);
}

#endif
