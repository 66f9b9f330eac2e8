// SPDX-License-Identifier: Apache-2.0
//
// The decoder against the assembler's own tools: every 16-bit word, every register with every load and
// store at many offsets, CSR instructions, and a sample of all else is disassembled by objdump. What that
// calls a supported load or store must be decoded, exactly so; nothing else may be.
#include "decode.h"
#include "tests/tap.h"

#include <stdlib.h>

#define OBJDUMP "riscv64-linux-gnu-objdump -D -b binary -m riscv:rv64 -M no-aliases,numeric "
#define FILE_NAME "build/tests/riscv/listing.bin"

// ---- the generator

static uint32_t words;

static void emit(FILE *f, uint32_t insn)
{
    uint32_t length = (insn & 3) == 3 ? 4 : 2;
    if (length == 4 && (insn & 0x1c) == 0x1c)
        return; // longer than 32 bits
    fwrite(&insn, 1, length, f);
    words++;
}

static void emit_compressed(FILE *f)
{
    for (uint32_t w = 0; w < 0x10000; w++)
        if ((w & 3) != 3)
            emit(f, w);
}

static void emit_accesses(FILE *f)
{
    static const uint32_t offsets[] = {0, 1, 0x7ff, 0x800, 0xfff, 0x5a5};
    for (uint32_t funct3 = 0; funct3 < 8; funct3++)
        for (uint32_t regs = 0; regs < 1024; regs++)
            for (uint32_t i = 0; i < COUNT(offsets); i++) {
                uint32_t o = offsets[i], base = regs >> 5, reg = regs & 31;
                emit(f, o << 20 | base << 15 | funct3 << 12 | reg << 7 | 0x03);
                emit(f, o >> 5 << 25 | reg << 20 | base << 15 | funct3 << 12 | (o & 31) << 7 | 0x23);
            }
}

static void emit_offsets(FILE *f)
{
    for (uint32_t o = 0; o < 4096; o++) {
        emit(f, o << 20 | 9 << 15 | 2 << 12 | 8 << 7 | 0x03);
        emit(f, o >> 5 << 25 | 8 << 20 | 9 << 15 | 2 << 12 | (o & 31) << 7 | 0x23);
    }
}

static void emit_csrs(FILE *f)
{
    static const uint32_t numbers[] = {0x5c1, 0x9c7, 0xcc1}; // custom ones: shown as numbers
    for (uint32_t i = 0; i < COUNT(numbers); i++)
        for (uint32_t op = 0; op < 8; op++)
            for (uint32_t regs = 0; regs < 1024; regs++)
                emit(f, numbers[i] << 20 | (regs >> 5) << 15 | op << 12 | (regs & 31) << 7 | 0x73);
}

static void emit_others(FILE *f)
{
    uint64_t seed = 88172645463325252u;
    for (uint32_t i = 0; i < 60000; i++) {
        seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
        emit(f, (uint32_t)seed | 3);
    }
    for (uint32_t atomics = 0; atomics < 32; atomics++)
        for (uint32_t funct3 = 0; funct3 < 8; funct3++)
            emit(f, atomics << 27 | 5 << 20 | 6 << 15 | funct3 << 12 | 7 << 7 | 0x2f);
}

// ---- what a line of the listing says

struct line {
    char name[32], args[96];
    uint32_t insn, length;
};

static bool read_line(FILE *f, struct line *l)
{
    char text[256], code[16];
    while (fgets(text, sizeof text, f)) {
        l->args[0] = 0;
        if (sscanf(text, " %*x: %15[0-9a-f] %31s %95[^\n]", code, l->name, l->args) < 2)
            continue;
        l->insn = (uint32_t)strtoul(code, NULL, 16);
        l->length = (uint32_t)strlen(code) / 2;
        return true;
    }
    return false;
}

static const struct {
    const char *name;
    uint8_t width;
    bool write, sign;
} supported[] = {
    {"lb", 1, false, true},     {"lh", 2, false, true},     {"lw", 4, false, true},     {"ld", 8, false, true},
    {"lbu", 1, false, false},   {"lhu", 2, false, false},   {"lwu", 4, false, false},   {"sb", 1, true, false},
    {"sh", 2, true, false},     {"sw", 4, true, false},     {"sd", 8, true, false},     {"c.lw", 4, false, true},
    {"c.ld", 8, false, true},   {"c.sw", 4, true, false},   {"c.sd", 8, true, false},   {"c.lwsp", 4, false, true},
    {"c.ldsp", 8, false, true}, {"c.swsp", 4, true, false}, {"c.sdsp", 8, true, false},
};
static uint32_t seen[COUNT(supported)];

static struct {
    uint32_t supported, undecoded, others, wrong, csrs;
} tally;

static void wrong(const struct line *l, const char *what)
{
    if (tally.wrong++ < 10)
        note("%08x %s %s: %s", l->insn, l->name, l->args, what);
}

static void check_supported(const struct line *l, size_t at)
{
    struct axvcpu_riscv_access a;
    unsigned reg, base;
    int offset;
    bool known = axvcpu_riscv_decode_access(l->insn, &a);
    seen[at]++;
    tally.supported++;
    tally.undecoded += !known;
    if (sscanf(l->args, "x%u,%d(x%u)", &reg, &offset, &base) != 3)
        wrong(l, "the listing cannot be read");
    else if (known && (a.reg != reg || a.base != base || a.offset != offset || a.width != supported[at].width ||
                       a.write != supported[at].write || a.sign_extend != supported[at].sign || a.len != l->length))
        wrong(l, "decoded as something else");
}

// csrrX rd,csr,rs1: what must come first, and whether a write comes second.
static void check_csr(const struct line *l)
{
    const struct axvcpu_riscv_trap t = {.cause = 22, .tval = l->insn};
    struct axvcpu_riscv_effect e;
    struct axvcpu_exit x = {0}, second = {0};
    uint64_t gpr[32], value;
    unsigned rd, csr, src;
    bool immediate = l->name[5] == 'i', set = l->name[4] == 's', swap = l->name[4] == 'w', writes, reads;
    for (unsigned i = 0; i < 32; i++)
        gpr[i] = i ? 0x1111111111111111u * i : 0;
    if (sscanf(l->args, immediate ? "x%u,%i,%u" : "x%u,%i,x%u", &rd, (int *)&csr, &src) != 3) {
        wrong(l, "the listing cannot be read");
        return;
    }
    tally.csrs++;
    writes = swap || src != 0;
    reads = !swap || rd != 0;
    value = immediate ? src : gpr[src];
    value = swap ? value : set ? 0xf0f0 | value : 0xf0f0 & ~value;
    enum axvcpu_riscv_action action = axvcpu_riscv_decode(&t, gpr, &sbi_identity, &x, &e);
    if (csr >> 10 == 3 && writes) {
        if (action != AXVCPU_RISCV_TRAP || e.cause != 2 || e.tval != l->insn || e.step != 0)
            wrong(l, "a write to a read-only register is an illegal instruction");
        return;
    }
    if (action != AXVCPU_RISCV_EXIT || e.step != 4 || x.sysreg.addr != csr ||
        x.kind != (reads ? AXVCPU_EXIT_SYSREG_READ : AXVCPU_EXIT_SYSREG_WRITE) || (reads && x.sysreg.reg != rd) ||
        (!reads && x.sysreg.value != value))
        wrong(l, "first exit");
    if (reads && (axvcpu_riscv_csr_write(e.insn, gpr, 0xf0f0, &second) != writes ||
                  (writes && (second.kind != AXVCPU_EXIT_SYSREG_WRITE || second.sysreg.addr != csr ||
                              second.sysreg.value != value))))
        wrong(l, "second exit");
}

static void check_other(const struct line *l)
{
    struct axvcpu_riscv_access a;
    tally.others++;
    if (axvcpu_riscv_decode_access(l->insn, &a))
        wrong(l, "decoded, but it is no load or store");
    if (axvcpu_riscv_insn_length(l->insn) != l->length)
        wrong(l, "length");
    if (strncmp(l->name, "csrr", 4) == 0 && strstr(l->args, "0x"))
        check_csr(l);
}

static void check(const struct line *l)
{
    for (size_t i = 0; i < COUNT(supported); i++)
        if (strcmp(l->name, supported[i].name) == 0) {
            check_supported(l, i);
            return;
        }
    check_other(l);
}

int main(void)
{
    struct line l;
    uint32_t lines = 0;
    tap_begin(60);
    FILE *f = fopen(FILE_NAME, "wb");
    if (!ok(f != NULL, "the generator can write " FILE_NAME))
        return tap_done();
    emit_compressed(f);
    emit_accesses(f);
    emit_offsets(f);
    emit_csrs(f);
    emit_others(f);
    fclose(f);
    f = popen(OBJDUMP FILE_NAME, "r");
    while (f && read_line(f, &l)) {
        lines++;
        check(&l);
    }
    ok(f && pclose(f) == 0, "objdump ran");
    ok_u64(lines, words, "the listing has every instruction that was emitted");
    for (size_t i = 0; i < COUNT(supported); i++)
        ok(seen[i] >= 32, "%s: %u encodings", supported[i].name, seen[i]);
    note("supported: %u, UNDECODED among them: %u", tally.supported, tally.undecoded);
    note("others: %u (CSR accesses: %u), wrong decodes: %u", tally.others, tally.csrs, tally.wrong);
    ok_u64(tally.undecoded, 0, "UNDECODED among %u supported loads and stores", tally.supported);
    ok_u64(tally.wrong, 0, "wrong decodes among all %u", lines);
    ok(tally.csrs > 15000, "%u CSR accesses", tally.csrs);
    return tap_done();
}
