// SPDX-License-Identifier: Apache-2.0
//
// Instructions that a guest really executes, one at a time: what the CPU reports of each at EL2 (ESR_EL2, FAR_EL2,
// HPFAR_EL2, ELR_EL2), and the exit and effect that come of it, against a model that knows the instruction word and
// the registers only, by DDI 0487: C4.1 for the words, ESR_EL2 ("ISS encoding for ...") for the syndromes. Where
// the emulator differs from the manual is a table; the decoder is then given what the manual says, too.
//
// The report is taken where the library takes it: the linker puts observe() before axvcpu_i_arm64_left (--wrap).
#include "axvcpu.h"
#include "tests/fuzz/widths.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define RAM UINT64_C(0x80000000)
#define CODE (RAM + PAGE)
#define READ(name) __extension__({ uint64_t value; __asm__ volatile("mrs %0, " #name : "=r"(value)); value; })
enum { PAGE = 4096, RAM_PAGES = 48, DATA = 2, TABLES = 3 };

// What each word is followed by, and what is in each vector of EL1: hypercalls with a number that says where.
enum { PASSED = 0x5afe, VECTOR = 0x5b00 };
#define HVC(imm) (0xd4000002u | (uint32_t)(imm) << 5)

// ESR_EL2, by the manual's numbers
enum { EC_UNKNOWN = 0, EC_WFX = 1, EC_FP = 7, EC_HVC = 0x16, EC_SMC = 0x17, EC_SYS = 0x18, EC_SVE = 0x19, EC_SME = 0x1d,
       EC_FETCH = 0x20, EC_DATA = 0x24 };
enum { ISV = 1 << 24, SSE = 1 << 21, SF = 1 << 15, AR = 1 << 14, CM = 1 << 8, S1PTW = 1 << 7, WNR = 1 << 6 };
enum { TRANSLATION = 0x04, PERMISSION = 0x0c };
#define ESR(ec, iss) ((uint64_t)(ec) << 26 | 1u << 25 | (uint64_t)(iss))
#define SYSREG(op0, op1, crn, crm, op2) \
    ((op0) << 20 | (uint32_t)(op2) << 17 | (uint32_t)(op1) << 14 | (uint32_t)(crn) << 10 | (uint32_t)(crm) << 1)
enum { LEVEL_EL1 = 0x3c5, LEVEL_EL0 = 0x3c0, LEVEL_A32 = 0x1d0, ILLEGAL = 1 << 20 };

static struct axvm vm;
static struct axvcpu vcpus[1];
static struct axvcpu *const v = vcpus;
static struct axvcpu_exit x;
static uint8_t *ram, *read_only;
static bool full; // a CPU with all the instructions

// ---- where there is what: two pages each, at one level or other of the second stage missing, or not for all

enum region { HOLE3, HOLE2, HOLE1, HOLE0, READ_ONLY, NO_EXEC, DEVICE, EDGE, REGIONS };
static const struct {
    uint64_t ipa;
    uint32_t level; // of the second stage's entry
} regions[REGIONS] = {
    [HOLE3] = {RAM + 0xc0000, 3},     [HOLE2] = {RAM + 0x600000, 2},    [HOLE1] = {UINT64_C(0xc0000000), 1},
    [HOLE0] = {UINT64_C(1) << 40, 0}, [READ_ONLY] = {RAM + 0x40000, 3}, [NO_EXEC] = {RAM + 0x44000, 3},
    [DEVICE] = {RAM + 0x48000, 3},    [EDGE] = {RAM + 0x2f000, 3}, // the last page of RAM and what is behind it
};

// Stage 1 has each twice: writable, and readable and executable (what EL0 may write EL1 does not execute).
static uint64_t va_of(enum region r, bool mmu, bool code)
{
    return mmu ? UINT64_C(0x5a0000000000) + ((uint64_t)r << 21) + (code ? 0x8000 : 0) : regions[r].ipa;
}

enum { S1_TABLE = 3, S1_RW = 0x743, S1_RX = 0x7c3 }; // page, AF, inner shareable, AP: EL0, and the index 0 of MAIR
static uint32_t tables_used;

static uint64_t new_table(void)
{
    return RAM + (uint64_t)(TABLES + tables_used++) * PAGE;
}

static uint64_t *s1_entry(uint64_t va, uint32_t level)
{
    uint64_t *table = (uint64_t *)(void *)(ram + TABLES * PAGE), *entry = NULL;
    for (uint32_t at = 0; at <= level; at++) {
        entry = &table[va >> (39 - 9 * at) & 0x1ff];
        if (at < level && *entry == 0)
            *entry = new_table() | S1_TABLE;
        table = (uint64_t *)(void *)(ram + ((*entry & ~UINT64_C(0xfff)) - RAM));
    }
    return entry;
}

static void s1_map(uint64_t va, uint64_t ipa, uint64_t attributes)
{
    for (uint64_t offset = 0; offset < 2 * PAGE; offset += PAGE)
        *s1_entry(va + offset, 3) = (ipa + offset) | attributes;
}

// A page walk whose table of this level is in that region.
static uint64_t walk_va(uint32_t level, enum region r)
{
    uint64_t index = 1 + (uint64_t)r;
    return level == 1   ? (100 + index) << 39
           : level == 2 ? UINT64_C(50) << 39 | index << 30
                        : UINT64_C(50) << 39 | UINT64_C(100) << 30 | index << 21;
}

static void fill_tables(void)
{
    (void)new_table();
    s1_map(RAM, RAM, S1_RX); // vectors and code
    for (uint32_t r = 0; r < REGIONS; r++) {
        s1_map(va_of(r, true, false), regions[r].ipa, S1_RW);
        s1_map(va_of(r, true, true), regions[r].ipa, S1_RX);
        for (uint32_t level = 1; level <= 3; level++)
            *s1_entry(walk_va(level, r), level - 1) = regions[r].ipa | S1_TABLE;
    }
}

static void set_sys(uint32_t reg, uint64_t value)
{
    if (axvcpu_set_reg(v, AXVCPU_REG_SYS(reg), value) != AXVCPU_OK)
        host_panic("set_reg");
}

static uint64_t get_sys(uint32_t reg)
{
    uint64_t value = 0;
    return axvcpu_get_reg(v, AXVCPU_REG_SYS(reg), &value) == AXVCPU_OK ? value : UINT64_MAX;
}

static bool mmu_on;

static void set_mmu(bool on)
{
    uint64_t sctlr = 0x30d00800;
    mmu_on = on;
    set_sys(SYSREG(3, 0, 1, 0, 0), on ? sctlr | 0x1005 : sctlr); // M, C, I
}

static bool map_pages(uint64_t ipa, uint8_t **at, uint32_t pages, uint32_t flags)
{
    uint64_t size = (uint64_t)pages * PAGE;
    *at = host_alloc(pages);
    return *at != NULL && axvm_map(&vm, axvcpu_gpa(ipa), axvcpu_from_ptr(*at), size, flags) == AXVCPU_OK;
}

static bool begin(void)
{
    struct axvm_desc d = {.vcpus = vcpus, .vcpu_count = 1, .bsp_entry = axvcpu_gpa(CODE)};
    uint8_t *other;
    bool good = axvm_init(&vm, &d) == AXVCPU_OK && map_pages(RAM, &ram, RAM_PAGES, AXVM_MAP_RWX) &&
                map_pages(regions[READ_ONLY].ipa, &read_only, 2, AXVM_MAP_READ) &&
                map_pages(regions[NO_EXEC].ipa, &other, 2, AXVM_MAP_READ | AXVM_MAP_WRITE) &&
                map_pages(regions[DEVICE].ipa, &other, 2, AXVM_MAP_READ | AXVM_MAP_WRITE | AXVM_MAP_DEVICE) &&
                axvm_boot(&vm) == AXVCPU_OK && axvcpu_bind(v) == AXVCPU_OK;
    if (!good)
        return false;
    for (uint32_t i = 0; i < 16; i++)
        *(uint32_t *)(void *)(ram + i * 0x80) = HVC(VECTOR + i);
    for (uint32_t i = 0; i < 2 * PAGE / 8; i++)
        ((uint64_t *)(void *)read_only)[i] = host_random();
    fill_tables();
    set_sys(SYSREG(3, 0, 12, 0, 0), RAM);                     // VBAR_EL1
    set_sys(SYSREG(3, 0, 2, 0, 0), RAM + TABLES * PAGE);      // TTBR0_EL1
    set_sys(SYSREG(3, 0, 10, 2, 0), 0xff);                    // MAIR_EL1: write-back
    set_sys(SYSREG(3, 0, 2, 0, 2), (READ(id_aa64mmfr0_el1) & 7) << 32 | 1u << 23 | 0x3510); // TCR_EL1: EPD1, 48 bits
    set_sys(SYSREG(3, 0, 1, 0, 2), 3u << 20);                 // CPACR_EL1: FPEN
    full = (READ(id_aa64isar0_el1) >> 20 & 0xf) != 0;         // atomics
    return true;
}

// ---- one instruction

static struct {
    uint32_t traps; // that were not ours
    uint64_t esr, far, hpfar, elr; // of the first
} seen;

int __real_axvcpu_i_arm64_left(struct axvcpu *, struct axvcpu_exit *, uint64_t raw, bool *again);
int __wrap_axvcpu_i_arm64_left(struct axvcpu *, struct axvcpu_exit *, uint64_t raw, bool *again);

static bool is_ours(uint64_t raw)
{
    return raw >> 26 == EC_HVC && ((raw & 0xffff) == PASSED || (raw & 0xfff0) == VECTOR);
}

static void observe(uint64_t raw)
{
    if (raw >> 56 != 0 || is_ours(raw) || seen.traps++ != 0)
        return;
    seen.esr = raw;
    seen.far = READ(far_el2);
    seen.hpfar = READ(hpfar_el2);
    seen.elr = axvcpu_arch(v)->pc;
}

int __wrap_axvcpu_i_arm64_left(struct axvcpu *vcpu, struct axvcpu_exit *exit, uint64_t raw, bool *again)
{
    observe(raw);
    return __real_axvcpu_i_arm64_left(vcpu, exit, raw, again);
}

static uint64_t gpr[31], stack, level = LEVEL_EL1;

static uint64_t reg(uint32_t n)
{
    return n < 31 ? gpr[n] : 0;
}

static struct {
    uint32_t words, before, wrong;
} tally; // of a class; before: when the alarm came last

static bool unanswered, late;

// A guest that goes round in circles: the rest of its class is not tried.
static void look(void *arg)
{
    late = tally.words == tally.before;
    tally.before = tally.words;
    if (late)
        (void)axvcpu_kick(arg);
    else
        host_alarm(UINT64_C(3000000000), look, arg);
}

static bool run(void)
{
    int err;
    do {
        err = axvcpu_run(v, &x);
        if (err == AXVCPU_OK && x.kind == AXVCPU_EXIT_EXTERNAL_INTERRUPT)
            machine_irq(x.irq.vector);
    } while (err == AXVCPU_OK && x.kind == AXVCPU_EXIT_EXTERNAL_INTERRUPT);
    if (err == AXVCPU_OK && x.kind == AXVCPU_EXIT_HYPERCALL && seen.traps == 0)
        observe(x.raw); // a plain one comes without axvcpu_i_arm64_left
    unanswered = err == AXVCPU_OK && ((AXVCPU_READ_KINDS | AXVCPU_WRITE_KINDS) >> x.kind & 1) != 0;
    return err == AXVCPU_OK;
}

static bool completes(uint64_t value)
{
    unanswered = false;
    return axvcpu_complete(v, value) == AXVCPU_OK;
}

static void put_word(uint32_t word)
{
    ((uint32_t *)(void *)(ram + PAGE))[0] = word;
    ((uint32_t *)(void *)(ram + PAGE))[1] = HVC(PASSED);
    __asm__ volatile("dsb ish\nic iallu\ndsb ish\nisb" : : : "memory");
}

static bool start(uint64_t pc)
{
    struct axvcpu_arch *a = axvcpu_arch(v);
    if (late || (unanswered && axvcpu_retry(v) != AXVCPU_OK))
        return false;
    seen.traps = 0;
    AXVCPU_MEMCPY(a->x, gpr, sizeof gpr);
    a->pc = pc;
    a->pstate = level;
    return axvcpu_set_reg(v, AXVCPU_REG_SP, stack) == AXVCPU_OK && run();
}

static bool came(uint32_t imm)
{
    return x.kind == AXVCPU_EXIT_HYPERCALL && x.raw == ESR(EC_HVC, imm);
}

static void number_registers(void)
{
    for (uint32_t i = 0; i < 31; i++)
        gpr[i] = host_random();
    stack = host_random();
}

// Behind the word: at EL0 a hypercall is undefined, which EL1 finds.
static bool passed(void)
{
    return level == LEVEL_EL0 ? came(VECTOR + 8) && get_sys(SYSREG(3, 0, 4, 0, 1)) == CODE + 4 :
                                came(PASSED) && axvcpu_arch(v)->pc == CODE + 8;
}

// ---- differences

// The first of a class is told in full.
static bool differs(uint32_t word, const char *what, uint64_t got, uint64_t want)
{
    if (got == want)
        return false;
    if (tally.wrong++ == 0) {
        host_print("# ");
        host_print_number(word, 16);
        host_print(mmu_on ? ", MMU on, " : ", MMU off, ");
        host_print((level & 0x1c) == 4 ? "EL1: " : "EL0: ");
        host_print(what);
        host_print(" is ");
        host_print_number(got, 16);
        host_print(", by the manual ");
        host_print_number(want, 16);
        host_print("\n");
    }
    return true;
}

static bool starts(uint32_t word, uint64_t pc)
{
    return !differs(word, "whether it runs", start(pc), true);
}

static bool runs(uint32_t word, uint64_t pc, uint32_t traps)
{
    return starts(word, pc) && !differs(word, "the number of traps", seen.traps, traps);
}

// Where QEMU 7.2 differs from the manual, or where that leaves it open: which bits of the ISS, of what.
enum difference {
    NO_DIFFERENCE, WNR_OF_ATOMICS, AR_OF_LIMITED, LEVEL_OF_WALKS, NO_MAINTENANCE, PERSISTENCE, NO_TIDCP, DIFFERENCES
};
static struct {
    const char *name;
    uint32_t bits, times;
} differences[DIFFERENCES] = {
    [WNR_OF_ATOMICS] = {"WnR of an atomic whose read would fault, too: it asks for both at once, as a write", WNR, 0},
    [AR_OF_LIMITED] = {"AR of LDLAR and STLLR: whether theirs are acquire and release semantics is not said", AR, 0},
    [LEVEL_OF_WALKS] = {"the level of a fault in a page walk is the first stage's, not the second's", 3, 0},
    [NO_MAINTENANCE] = {"cache maintenance by address does nothing, and so does not fault", 0, 0},
    [PERSISTENCE] = {"DC CVAP and CVADP fault as a load of unknown shape: no CM, no WnR", CM | WNR, 0},
    [NO_TIDCP] = {"implementation defined registers are undefined at EL1, HCR_EL2.TIDCP is not looked at", 0, 0},
};

// ---- what comes of an access

struct meaning {
    enum { RESUMES, ACCESS, OPAQUE, FAULT } kind;
    uint64_t esr, far, ipa;  // the trap, with FAR_EL2
    bool hpfar;              // is HPFAR_EL2 valid
    enum difference allowed; // of ESR_EL2
    bool write, sign;
    uint32_t width, reg, reg_width, access;
    uint64_t data;
};

static bool wrong_exit(uint32_t word, const struct meaning *m, const struct axvcpu_exit *e, uint64_t esr)
{
    static const uint32_t kinds[] = {0, AXVCPU_EXIT_MMIO_READ, AXVCPU_EXIT_UNDECODED, AXVCPU_EXIT_NESTED_PAGE_FAULT};
    uint32_t kind = m->kind == ACCESS && m->write ? AXVCPU_EXIT_MMIO_WRITE : kinds[m->kind];
    if (differs(word, "the exit", e->kind, kind))
        return true;
    if (m->kind == FAULT)
        return differs(word, "the fault's address", e->fault.addr, m->ipa) ||
               differs(word, "its access", e->fault.access, m->access);
    if (m->kind == OPAQUE)
        return differs(word, "the undecoded address", e->undecoded.addr, m->ipa) ||
               differs(word, "its syndrome", e->undecoded.syndrome, esr);
    return differs(word, "the address", e->mmio.addr, m->ipa) || differs(word, "the width", e->mmio.width, m->width) ||
           differs(word, "the register", e->mmio.reg, m->reg) ||
           differs(word, "the register's width", e->mmio.reg_width, m->reg_width) ||
           differs(word, "the extension by sign", e->mmio.sign_extend, m->sign) ||
           (m->write && differs(word, "the data", e->mmio.data, m->data));
}

// What the manual says is decoded likewise, whatever the CPU has said.
static bool wrong_decoding(uint32_t word, const struct meaning *m, uint64_t pc)
{
    struct axvcpu_arm64_trap t = {m->esr, m->far, m->ipa >> 12 << 4, pc, level, AXVCPU_ARM64_SYNC, 0, 0};
    struct axvcpu_arm64_effect e;
    struct axvcpu_exit decoded = {0};
    bool resumes = m->kind == RESUMES;
    enum axvcpu_arm64_action action = axvcpu_arm64_decode(&t, gpr, &decoded, &e);
    if (differs(word, "whether it asks for the address", action == AXVCPU_ARM64_TRANSLATE, !m->hpfar))
        return true;
    t.flags = AXVCPU_ARM64_HAS_IPA;
    if (action == AXVCPU_ARM64_TRANSLATE)
        action = axvcpu_arm64_decode(&t, gpr, &decoded, &e);
    return differs(word, "what the decoder does", action, resumes ? AXVCPU_ARM64_RESUME : AXVCPU_ARM64_EXIT) ||
           differs(word, "its step", e.step, resumes || m->kind == ACCESS ? 4 : 0) ||
           (!resumes && wrong_exit(word, m, &decoded, m->esr));
}

static bool wrong_report(uint32_t word, const struct meaning *m, uint64_t pc)
{
    uint64_t open = differences[m->allowed].bits;
    if (differs(word, "the number of traps", seen.traps, 1))
        return true;
    if (seen.esr != m->esr && (seen.esr | open) == (m->esr | open))
        differences[m->allowed].times++;
    return differs(word, "ESR_EL2", seen.esr | open, m->esr | open) || differs(word, "FAR_EL2", seen.far, m->far) ||
           (m->hpfar && differs(word, "HPFAR_EL2", seen.hpfar, m->ipa >> 12 << 4)) ||
           differs(word, "ELR_EL2", seen.elr, pc);
}

// The access is answered, the guest goes on behind it, and nothing but the register has changed.
static bool wrong_effect(uint32_t word, const struct meaning *m)
{
    const struct axvcpu_arch *a = axvcpu_arch(v);
    uint64_t value = host_random();
    if (m->kind == ACCESS && !m->write && differs(word, "complete", completes(value), true))
        return true;
    if (m->kind == ACCESS && !m->write && m->reg < 31)
        gpr[m->reg] = loaded(0, value, m->width, m->reg_width, m->sign);
    if (m->kind == ACCESS && (!run() || differs(word, "whether it goes on behind it", passed(), true)))
        return true;
    if (m->kind != ACCESS && differs(word, "the PC", a->pc, seen.elr))
        return true;
    for (uint32_t i = 0; i < 31; i++)
        if (differs(word, m->reg == i ? "the register after it" : "another register", a->x[i], gpr[i]))
            return true;
    return false;
}

static bool wrong(uint32_t word, const struct meaning *m, uint64_t pc)
{
    return wrong_report(word, m, pc) || wrong_exit(word, m, &x, seen.esr) || wrong_decoding(word, m, pc) ||
           wrong_effect(word, m);
}

// ---- the model of loads and stores (C4.1.94)

struct access {
    int64_t offset;              // of the address from the base register
    uint32_t rn, rt, size, count; // size: log2 of an element's
    bool write, sign, sf, acquires, isv, rmw, limited, aligned, prefetch;
};

static uint32_t field(uint32_t w, uint32_t high, uint32_t lowest)
{
    return w >> lowest & ((2u << (high - lowest)) - 1);
}

static int64_t signed_field(uint32_t w, uint32_t high, uint32_t lowest)
{
    return (int64_t)((uint64_t)w << (63 - high)) >> (63 - high + lowest);
}

// size and opc of the single-register forms; V: SIMD
static bool single(uint32_t w, struct access *a)
{
    uint32_t opc = field(w, 23, 22);
    a->size = field(w, 31, 30);
    a->isv = field(w, 26, 26) == 0;
    if (!a->isv) {
        a->size |= opc >> 1 << 2;
        a->write = (opc & 1) == 0;
        return a->size <= 4;
    }
    a->write = opc == 0;
    a->sign = opc >= 2;
    a->sf = opc == 2 || (opc < 2 && a->size == 3);
    a->prefetch = opc == 2 && a->size == 3;
    return opc < 3 || a->size < 2;
}

static bool unsigned_offset(uint32_t w, struct access *a)
{
    bool good = single(w, a);
    a->offset = (int64_t)(uint64_t)field(w, 21, 10) << a->size;
    return good;
}

// 00 unscaled, 01 post-index, 10 unprivileged, 11 pre-index
static bool immediate(uint32_t w, struct access *a)
{
    uint32_t mode = field(w, 11, 10);
    bool good = single(w, a), writeback = (mode & 1) != 0;
    a->offset = mode == 1 ? 0 : signed_field(w, 20, 12);
    if (writeback && a->isv && a->rn == a->rt)
        return false; // constrained unpredictable
    a->isv = a->isv && !writeback;
    return good && !(mode != 0 && a->prefetch);
}

static bool register_offset(uint32_t w, struct access *a)
{
    uint32_t rm = field(w, 20, 16), option = field(w, 15, 13);
    uint64_t m = reg(rm);
    bool good = single(w, a);
    uint64_t extended = option == 2 ? (uint32_t)m : option == 6 ? (uint64_t)(int64_t)(int32_t)(uint32_t)m : m;
    a->offset = (int64_t)(field(w, 12, 12) != 0 ? extended << a->size : extended);
    return good && (option & 2) != 0 && rm != a->rn;
}

static bool literal(uint32_t w, struct access *a)
{
    uint32_t opc = field(w, 31, 30);
    a->isv = field(w, 26, 26) == 0;
    a->size = a->isv ? (opc == 1 ? 3 : 2) : 2 + opc;
    a->sign = a->isv && opc == 2;
    a->sf = opc != 0;
    a->prefetch = a->isv && opc == 3;
    a->offset = signed_field(w, 23, 5) * 4;
    return opc < 3 || a->isv;
}

static bool pair(uint32_t w, struct access *a)
{
    uint32_t opc = field(w, 31, 30), mode = field(w, 24, 23), rt2 = field(w, 14, 10);
    bool simd = field(w, 26, 26) != 0;
    a->write = field(w, 22, 22) == 0;
    a->size = simd ? 2 + opc : opc == 2 ? 3 : 2;
    a->count = 2;
    a->offset = mode == 1 ? 0 : signed_field(w, 21, 15) * (INT64_C(1) << a->size);
    if (opc == 3 || (!simd && opc == 1 && (a->write || mode == 0)) || (!a->write && a->rt == rt2))
        return false;
    return simd || (mode & 1) == 0 || (a->rn != a->rt && a->rn != rt2);
}

// Exclusive ones and ordered ones: o2, L, o1, o0
static bool ordered(uint32_t w, struct access *a)
{
    bool two = field(w, 23, 21) == 3;
    a->isv = field(w, 23, 23) != 0;
    a->acquires = a->isv;
    a->limited = a->isv && field(w, 15, 15) == 0;
    a->size = two ? 2 + field(w, 30, 30) : field(w, 31, 30);
    a->count = two ? 2 : 1;
    a->write = field(w, 22, 22) == 0;
    a->sf = a->size == 3;
    a->aligned = true;
    return (a->isv || !a->write) && !(two && a->rt == field(w, 14, 10));
}

static bool compare_and_swap(uint32_t w, struct access *a)
{
    bool two = field(w, 23, 23) == 0;
    a->size = two ? 2 + field(w, 30, 30) : field(w, 31, 30);
    a->count = two ? 2 : 1;
    a->rmw = a->aligned = true;
    return !two || ((a->rt | field(w, 20, 16)) & 1) == 0;
}

static bool atomic(uint32_t w, struct access *a)
{
    uint32_t o3 = field(w, 15, 15), opc = field(w, 14, 12);
    a->size = field(w, 31, 30);
    a->rmw = a->aligned = true;
    return o3 == 0 || opc == 0;
}

static bool acquire_pc(uint32_t w, struct access *a)
{
    a->size = field(w, 31, 30);
    a->sf = a->size == 3;
    a->isv = a->acquires = a->aligned = true;
    return true;
}

static bool ordered_unscaled(uint32_t w, struct access *a)
{
    bool good = single(w, a);
    a->offset = signed_field(w, 20, 12);
    a->acquires = a->aligned = true;
    return good && !a->prefetch;
}

static bool structure(uint32_t w, struct access *a)
{
    a->write = field(w, 22, 22) == 0;
    a->size = 4;
    return true;
}

static const struct form {
    const char *name;
    uint32_t word, random; // the bits that are the same, and those that are not
    bool (*model)(uint32_t, struct access *);
    bool full;
} forms[] = {
    {"unsigned offset", 0x39000000, 0xc0ffffff, unsigned_offset, false},
    {"unscaled", 0x38000000, 0xc0dff3ff, immediate, false},
    {"unprivileged", 0x38000800, 0xc0dff3ff, immediate, false},
    {"register offset", 0x38200800, 0xc0dff3ff, register_offset, false},
    {"acquire, release", 0x089ffc00, 0xc04003ff, ordered, false},
    {"limited ordering", 0x089f7c00, 0xc04003ff, ordered, true},
    {"acquire, release, unscaled", 0x19000000, 0xc0dff3ff, ordered_unscaled, true},
    {"acquire, processor consistent", 0x38bfc000, 0xc00003ff, acquire_pc, true},
    {"post-index", 0x38000400, 0xc0dff3ff, immediate, false},
    {"pre-index", 0x38000c00, 0xc0dff3ff, immediate, false},
    {"pairs", 0x28000000, 0xc1ffffff, pair, false},
    {"load exclusive", 0x085f7c00, 0xc00083ff, ordered, false},
    {"load exclusive pair", 0x887f0000, 0x4000ffff, ordered, false},
    {"compare and swap", 0x08a07c00, 0xc05f83ff, compare_and_swap, true},
    {"compare and swap pair", 0x08207c00, 0x405f83ff, compare_and_swap, true},
    {"atomics", 0x38200000, 0xc0dff3ff, atomic, true},
    {"SIMD, unsigned offset", 0x3d000000, 0xc0ffffff, unsigned_offset, false},
    {"SIMD, unscaled", 0x3c000000, 0xc0dff3ff, immediate, false},
    {"SIMD, post-index", 0x3c000400, 0xc0dff3ff, immediate, false},
    {"SIMD, pre-index", 0x3c000c00, 0xc0dff3ff, immediate, false},
    {"SIMD, register offset", 0x3c200800, 0xc0dff3ff, register_offset, false},
    {"SIMD pairs", 0x2c000000, 0xc1ffffff, pair, false},
    {"SIMD structures", 0x4c007000, 0x004003ff, structure, false},
};

static bool model(const struct form *f, uint32_t w, struct access *a)
{
    *a = (struct access){.rn = field(w, 9, 5), .rt = field(w, 4, 0), .count = 1};
    return f->model(w, a);
}

// The ISS of a data abort of the second stage, but for the status; ISV is for single general registers without
// writeback, exclusives excepted.
static uint32_t iss_of(const struct access *a)
{
    uint32_t flags = ISV | (a->sign ? SSE : 0) | (a->sf ? SF : 0) | (a->acquires ? AR : 0);
    return (a->isv ? flags | a->size << 22 | a->rt << 16 : 0) | (a->write ? WNR : 0);
}

static struct meaning meaning_of(const struct access *a, uint64_t va, uint64_t ipa, uint32_t status)
{
    bool permission = (status & 0x3c) == PERMISSION;
    struct meaning m = {.kind = a->isv ? ACCESS : OPAQUE, .far = va, .ipa = ipa, .hpfar = !permission,
                        .width = 1u << a->size, .write = a->write, .sign = a->sign, .reg = a->isv ? a->rt : 32,
                        .reg_width = a->sf ? 8 : 4};
    m.esr = ESR(EC_DATA, iss_of(a) | status | (a->rmw && permission ? WNR : 0));
    m.data = low(reg(a->rt), m.width);
    m.allowed = a->rmw && !permission ? WNR_OF_ATOMICS : a->limited ? AR_OF_LIMITED : NO_DIFFERENCE;
    return m;
}

// Often the last bytes of a page, and such that cross into the next.
static uint64_t some_offset(const struct access *a)
{
    uint64_t size = (uint64_t)a->count << a->size, random = host_random(), offset = random % (2 * PAGE - size + 1);
    if ((random >> 32 & 3) == 0)
        offset = PAGE - size + (random >> 40) % (size + 1);
    if ((random >> 32 & 3) == 1)
        offset = 2 * PAGE - size;
    return mmu_on && !a->aligned ? offset : offset & ~((a->aligned ? size : UINT64_C(1) << a->size) - 1);
}

static void aim(const struct access *a, uint64_t va)
{
    uint64_t base = va - (uint64_t)a->offset;
    *(a->rn == 31 ? &stack : &gpr[a->rn]) = base;
}

// A word of the form whose address is in the region; false: that word is none.
static bool make_word(const struct form *f, enum region r, uint32_t *word, struct access *a, uint64_t *offset)
{
    *word = f->word | ((uint32_t)host_random() & f->random);
    number_registers();
    level = (host_random() & 1) != 0 ? LEVEL_EL0 : LEVEL_EL1;
    if (!model(f, *word, a))
        return false;
    *offset = some_offset(a);
    aim(a, va_of(r, mmu_on, false) + *offset);
    return true;
}

static bool goes_on(uint32_t word)
{
    return !differs(word, "the number of traps", seen.traps, 0) && !differs(word, "whether it goes on", passed(), true);
}

static void try_hole(const struct form *f, enum region r)
{
    struct access a;
    struct meaning m;
    uint64_t offset;
    uint32_t word;
    if (!make_word(f, r, &word, &a, &offset))
        return;
    m = meaning_of(&a, va_of(r, mmu_on, false) + offset, regions[r].ipa + offset, TRANSLATION | regions[r].level);
    tally.words++;
    put_word(word);
    if (!starts(word, CODE))
        return;
    (void)(a.prefetch ? goes_on(word) : !wrong(word, &m, CODE));
}

// What is only read is seen in the register; the rest is as above.
static void try_read_only(const struct form *f)
{
    struct access a;
    struct meaning m;
    uint64_t offset, value = 0;
    uint32_t word;
    if (!make_word(f, READ_ONLY, &word, &a, &offset))
        return;
    m = meaning_of(&a, va_of(READ_ONLY, mmu_on, false) + offset, regions[READ_ONLY].ipa + offset, PERMISSION | 3);
    tally.words++;
    put_word(word);
    if (!starts(word, CODE))
        return;
    if (a.write || a.rmw) {
        (void)wrong(word, &m, CODE);
    } else if (goes_on(word) && a.isv && !a.prefetch && a.rt < 31) {
        AXVCPU_MEMCPY(&value, read_only + offset, m.width);
        (void)differs(word, "what was read", axvcpu_arch(v)->x[a.rt], loaded(0, value, m.width, m.reg_width, m.sign));
    }
}

enum { WORDS = 24 }; // of each form, in each region

// The end of RAM inside of an access: FAR_EL2 is where it has failed, and nothing tells where it began. With ISV the
// exit has the whole width from there on, which is all that the syndrome says.
static void try_edge(const struct form *f)
{
    struct access a;
    struct meaning m;
    uint32_t word;
    uint64_t offset, size;
    if (!make_word(f, EDGE, &word, &a, &offset) || a.prefetch || a.aligned || a.size == 0)
        return;
    size = UINT64_C(1) << a.size;
    aim(&a, va_of(EDGE, true, false) + PAGE - 1 - host_random() % (size - 1));
    m = meaning_of(&a, va_of(EDGE, true, false) + PAGE, regions[EDGE].ipa + PAGE, TRANSLATION | 3);
    tally.words++;
    put_word(word);
    if (!starts(word, CODE))
        return;
    (void)wrong(word, &m, CODE);
}

static void each_form(bool isv, void (*one)(const struct form *, enum region), enum region r)
{
    for (uint32_t i = 0; i < COUNT(forms); i++) {
        bool single_register = i < 8;
        for (uint32_t n = 0; single_register == isv && (full || !forms[i].full) && n < WORDS; n++)
            one(&forms[i], r);
    }
}

static void one_read_only(const struct form *f, enum region r)
{
    (void)r;
    try_read_only(f);
}

static void one_edge(const struct form *f, enum region r)
{
    (void)r;
    try_edge(f);
}

static void holes(bool isv)
{
    for (uint32_t on = 0; on < 2; on++) {
        set_mmu(on != 0);
        for (enum region r = HOLE3; r <= HOLE0; r++)
            each_form(isv, try_hole, r);
    }
}

static void decoded_holes(void) { holes(true); }
static void opaque_holes(void) { holes(false); }

static void written_read_only(void)
{
    for (uint32_t on = 0; on < 2; on++) {
        set_mmu(on != 0);
        each_form(true, one_read_only, READ_ONLY);
        each_form(false, one_read_only, READ_ONLY);
    }
}

static void edges(void)
{
    set_mmu(true);
    each_form(true, one_edge, EDGE);
    each_form(false, one_edge, EDGE);
}

static void literals(void)
{
    static const struct form form = {"literal", 0x18000000, 0xc400001f, literal, false};
    set_mmu(false);
    for (uint32_t i = 0; i < 8 * WORDS; i++) {
        uint64_t ipa = regions[HOLE3].ipa + (host_random() & 0x1ff0);
        uint32_t word = form.word | ((uint32_t)host_random() & form.random) | (uint32_t)((ipa - CODE) / 4) << 5;
        struct access a;
        struct meaning m;
        number_registers();
        if (!model(&form, word, &a))
            continue;
        m = meaning_of(&a, ipa, ipa, TRANSLATION | 3);
        tally.words++;
        put_word(word);
        if (starts(word, CODE))
            (void)(a.prefetch ? goes_on(word) : !wrong(word, &m, CODE));
    }
}

// ---- fetches and page walks

static void fetches(void)
{
    static const enum region from[] = {HOLE3, HOLE2, HOLE1, HOLE0, NO_EXEC};
    number_registers();
    for (uint32_t i = 0; i < COUNT(from) * 16; i++) {
        enum region r = from[i / 16];
        uint64_t offset = (host_random() & 0x1ffc);
        uint32_t status = (r == NO_EXEC ? PERMISSION : TRANSLATION) | regions[r].level;
        struct meaning m = {.kind = FAULT, .access = AXVCPU_ACCESS_EXEC, .ipa = regions[r].ipa + offset, .reg = 32,
                            .esr = ESR(EC_FETCH, status), .hpfar = r != NO_EXEC};
        if (i % 8 == 0)
            set_mmu(i % 16 == 0);
        level = (i & 1) != 0 ? LEVEL_EL0 : LEVEL_EL1;
        m.far = va_of(r, mmu_on, true) + offset;
        tally.words++;
        if (starts(0, m.far))
            (void)wrong(0, &m, m.far);
    }
}

static uint32_t walk_status(enum region r)
{
    return S1PTW | (r == DEVICE ? PERMISSION : TRANSLATION) | regions[r].level; // HCR_EL2.PTW
}

// x1 and [x2]; at s1e1r, x2; a fetch
#define LDR 0xf9400041
#define STR 0xf9000041
#define LDRH_POST 0x7840c441
#define AT 0xd5087802
#define NO_WORD 0

// The IPA is the table's, the FAR that of the access; the level is that of the second stage.
static void one_walk(enum region r, uint32_t word, uint64_t va)
{
    uint32_t how = word == STR ? WNR : word == AT ? CM | WNR : 0, ec = word == NO_WORD ? EC_FETCH : EC_DATA;
    struct meaning m = {.kind = FAULT, .far = va, .hpfar = true, .reg = 32, .ipa = regions[r].ipa,
                        .esr = ESR(ec, walk_status(r) | how), .allowed = LEVEL_OF_WALKS};
    m.access = AXVCPU_ACCESS_WALK | (how != 0 ? AXVCPU_ACCESS_WRITE : AXVCPU_ACCESS_READ);
    gpr[2] = va;
    tally.words++;
    put_word(word);
    if (starts(word, word == NO_WORD ? va : CODE))
        (void)wrong(word, &m, word == NO_WORD ? va : CODE);
}

static void walks(void)
{
    static const uint32_t words[] = {LDR, STR, LDRH_POST, AT, NO_WORD};
    static const enum region in[] = {HOLE3, HOLE2, HOLE1, HOLE0, DEVICE};
    number_registers();
    set_mmu(true);
    for (uint32_t i = 0; i < 2 * 3 * COUNT(in) * COUNT(words); i++) {
        uint32_t at = 1 + i / 2 / COUNT(words) % 3;
        enum region r = in[i / 2 / COUNT(words) / 3];
        uint32_t word = words[i / 2 % COUNT(words)];
        level = (i & 1) != 0 && word != AT ? LEVEL_EL0 : LEVEL_EL1;
        one_walk(r, word, walk_va(at, r) + (host_random() & 0xff8));
    }
    for (uint32_t i = 0; i < COUNT(in); i++) { // the root itself: already the fetch does it
        set_sys(SYSREG(3, 0, 2, 0, 0), regions[in[i]].ipa);
        __asm__ volatile("dsb ish\ntlbi vmalle1\ndsb ish\nisb" : : : "memory");
        one_walk(in[i], NO_WORD, CODE);
    }
    set_sys(SYSREG(3, 0, 2, 0, 0), RAM + TABLES * PAGE);
    __asm__ volatile("dsb ish\ntlbi vmalle1\ndsb ish\nisb" : : : "memory");
}

// ---- cache maintenance and address translation

// DC ZVA writes and is no maintenance: WnR, not CM.
static void zeroing(void)
{
    for (uint32_t i = 0; i < 64; i++) {
        enum region r = (enum region)(i % 5);
        uint64_t offset = host_random() & 0x1fff;
        uint32_t rt = (uint32_t)host_random() % 31, status = r == READ_ONLY ? PERMISSION : TRANSLATION;
        struct meaning m = {.kind = OPAQUE, .ipa = regions[r].ipa + offset, .hpfar = r != READ_ONLY, .reg = 32,
                            .esr = ESR(EC_DATA, status | regions[r].level | WNR)};
        level = LEVEL_EL1;
        set_mmu(true);
        number_registers();
        m.far = gpr[rt] = va_of(r, true, false) + offset;
        tally.words++;
        put_word(0xd50b7420 | rt);
        if (starts(0xd50b7420 | rt, CODE))
            (void)wrong(0xd50b7420 | rt, &m, CODE);
    }
}

// A device has no cache: the guest goes on, whether the CPU faults or not. QEMU says of those to the point of
// persistence just that something was read; that is an exit with an unknown shape.
static void one_maintenance(uint32_t word, enum region r)
{
    bool persistence = field(word, 11, 8) == 12 || field(word, 11, 8) == 13;
    struct meaning m = {.kind = RESUMES, .ipa = regions[r].ipa, .far = va_of(r, true, false), .hpfar = true, .reg = 32,
                        .esr = ESR(EC_DATA, TRANSLATION | regions[r].level | CM | WNR),
                        .allowed = persistence ? PERSISTENCE : NO_DIFFERENCE};
    number_registers();
    gpr[field(word, 4, 0)] = m.far;
    tally.words++;
    put_word(word);
    if (!starts(word, CODE) || wrong_decoding(word, &m, CODE) || (seen.traps != 0 && wrong_report(word, &m, CODE)))
        return;
    differences[NO_MAINTENANCE].times += seen.traps == 0;
    if (seen.traps != 0 && (seen.esr & CM) == 0)
        (void)differs(word, "the exit", x.kind, AXVCPU_EXIT_UNDECODED);
    else
        (void)differs(word, "whether it goes on", passed(), true);
}

static void maintenance(void)
{
    // DC CVAC, CVAU, CIVAC, IVAC; IC IVAU; DC CVAP
    static const uint32_t words[] = {0xd50b7a20, 0xd50b7b20, 0xd50b7e20, 0xd5087620, 0xd50b7520, 0xd50b7c20};
    set_mmu(true);
    level = LEVEL_EL1;
    for (uint32_t i = 0; i < COUNT(words) * 16; i++)
        if (full || i % COUNT(words) < 5)
            one_maintenance(words[i % COUNT(words)] | (uint32_t)host_random() % 31,
                            (enum region)(i / COUNT(words) % 4));
}

// ---- calls, waits, exceptions of the guest's own

static void calls(void)
{
    for (uint32_t i = 0; i < 400; i++) {
        bool smc = (i & 1) != 0;
        uint32_t imm = i < 16 ? 1u << i : (uint32_t)host_random() & 0xffff, word = (HVC(imm) & ~3u) | (smc ? 3 : 2);
        uint64_t x0;
        number_registers();
        gpr[0] &= 0x7fffffff; // nobody's standard
        x0 = gpr[0];
        level = LEVEL_EL1;
        if (imm == PASSED || (imm & 0xfff0) == VECTOR)
            continue;
        tally.words++;
        put_word(word);
        if (!runs(word, CODE, 1) || differs(word, "ESR_EL2", seen.esr, ESR(smc ? EC_SMC : EC_HVC, imm)) ||
            differs(word, "ELR_EL2", seen.elr, smc ? CODE : CODE + 4) ||
            differs(word, "the exit", x.kind, AXVCPU_EXIT_HYPERCALL) || differs(word, "the call", x.hypercall.nr, x0) ||
            differs(word, "its last argument", x.hypercall.args[5], gpr[6]))
            continue;
        (void)(differs(word, "the PC", axvcpu_arch(v)->pc, CODE + 4) ||
               differs(word, "X0", axvcpu_arch(v)->x[0], smc ? UINT64_MAX : x0) ||
               differs(word, "whether it goes on", run() && came(PASSED), true));
    }
}

struct plain {
    uint32_t word, ec, iss;
    bool el2; // it comes here, else to EL1
};

// At EL1; those of EL1's own come by its vector for its current stack, with ESR_EL1.
static const struct plain plains[] = {
    {0xd503207f, EC_WFX, 0x1e00000, true},            // wfi: CV, COND 14, TI 0
    {0x00000000, EC_UNKNOWN, 0, false},               // udf #0
    {0x0000ffff, EC_UNKNOWN, 0, false},               // udf #65535
    {0xd4400000, EC_UNKNOWN, 0, false},               // hlt #0: halting debug is off
    {0xd4a00001, EC_UNKNOWN, 0, false},               // dcps1
    {0xd4000001 | 0x1234 << 5, 0x15, 0x1234, false},  // svc
    {0xd4200000 | 0xabcd << 5, 0x3c, 0xabcd, false},  // brk
};

static void one_plain(const struct plain *p)
{
    struct axvcpu_arch *a = axvcpu_arch(v);
    number_registers();
    level = LEVEL_EL1;
    tally.words++;
    put_word(p->word);
    if (!runs(p->word, CODE, p->el2))
        return;
    if (p->el2) {
        (void)(differs(p->word, "ESR_EL2", seen.esr, ESR(p->ec, p->iss)) ||
               differs(p->word, "ELR_EL2", seen.elr, CODE) ||
               differs(p->word, "the exit", x.kind, AXVCPU_EXIT_HALT) || differs(p->word, "its flags", x.flags, 0) ||
               differs(p->word, "the PC", a->pc, CODE + 4));
        return;
    }
    (void)(differs(p->word, "EL1's vector", came(VECTOR + 4), true) ||
           differs(p->word, "ESR_EL1", get_sys(SYSREG(3, 0, 5, 2, 0)), ESR(p->ec, p->iss)) ||
           differs(p->word, "ELR_EL1", get_sys(SYSREG(3, 0, 4, 0, 1)), p->ec == 0x15 ? CODE + 4 : CODE));
}

#define WFE 0xd503205f

static void own(void)
{
    for (uint32_t i = 0; i < COUNT(plains); i++)
        one_plain(&plains[i]);
    put_word(WFE);
    tally.words++;
    (void)(starts(WFE, CODE) && goes_on(WFE)); // TWE is not set
}

// PSTATE.IL: whatever the word is, it is an exception of its own (D1, "Illegal execution state").
static void illegal(void)
{
    static const struct plain p = {0xd503201f, 0x0e, 0, false};
    struct axvcpu_arch *a = axvcpu_arch(v);
    number_registers();
    level = LEVEL_EL1 | ILLEGAL;
    tally.words++;
    put_word(p.word);
    (void)(!runs(p.word, CODE, 0) || differs(p.word, "EL1's vector", came(VECTOR + 4), true) ||
           differs(p.word, "ESR_EL1", get_sys(SYSREG(3, 0, 5, 2, 0)), ESR(p.ec, p.iss)) ||
           differs(p.word, "PSTATE.IL in the vector", a->pstate & ILLEGAL, 0));
}

// FP and SIMD trap once after each load of the vCPU: CV, COND 14.
static void lazy_fp(void)
{
    // fmov d0, d1; fmov d0, x1; and v0.16b, v1.16b, v2.16b; ldr q1, [x1]; mrs x1, fpcr
    static const uint32_t words[] = {0x1e604020, 0x9e670020, 0x4e221c20, 0x3dc00021, 0xd53b4401};
    set_mmu(false);
    for (uint32_t i = 0; i < 4 * COUNT(words); i++) {
        uint32_t word = words[i % COUNT(words)];
        number_registers();
        gpr[1] = RAM + DATA * PAGE;
        level = i < 2 * COUNT(words) ? LEVEL_EL1 : LEVEL_EL0;
        tally.words++;
        put_word(word);
        if (differs(word, "put and load", axvcpu_put(v) == AXVCPU_OK && axvcpu_load(v) == AXVCPU_OK, true) ||
            !runs(word, CODE, 1))
            continue;
        (void)(differs(word, "ESR_EL2", seen.esr, ESR(EC_FP, 0x1e00000)) || differs(word, "ELR_EL2", seen.elr, CODE) ||
               differs(word, "whether it goes on", passed(), true) ||
               differs(word, "whether it traps again", start(CODE) && seen.traps != 0, false));
    }
}

// ---- AArch32 at EL0

// LDR, LDRB, STR, STRB with an offset: A32 (F2.5), and the 16-bit form of T32, whose IL is 0 with ISV. ISV or not, of
// these the decoder makes no access: more than the PC would have to move.
static void one_aarch32(uint32_t word, bool thumb, enum region r)
{
    uint32_t rn = thumb ? field(word, 5, 3) : field(word, 19, 16), rt = thumb ? field(word, 2, 0) : field(word, 15, 12);
    uint32_t offset = thumb ? field(word, 10, 6) * 4 : field(word, 11, 0), byte = thumb ? 0 : field(word, 22, 22);
    bool write = thumb ? field(word, 11, 11) == 0 : field(word, 20, 20) == 0, up = thumb || field(word, 23, 23) != 0;
    uint64_t at = regions[r].ipa + (host_random() & 0x1ffc);
    struct meaning m = {.kind = OPAQUE, .far = at, .ipa = at, .hpfar = true, .reg = 32};
    if (rn == 15 || rt == 15)
        return;
    m.esr = ESR(EC_DATA, ISV | (byte ? 0u : 2u) << 22 | rt << 16 | (write ? WNR : 0u) | TRANSLATION | regions[r].level);
    m.esr &= ~((uint64_t)thumb << 25);
    number_registers();
    for (uint32_t i = 0; i < 31; i++)
        gpr[i] = (uint32_t)gpr[i];
    gpr[rn] = (uint32_t)(up ? at - offset : at + offset);
    tally.words++;
    put_word(word);
    if (starts(word, CODE))
        (void)wrong(word, &m, CODE);
}

static void aarch32(void)
{
    set_mmu(false);
    for (uint32_t i = 0; i < 16 * WORDS; i++) {
        bool thumb = (i & 1) != 0;
        uint32_t random = (uint32_t)host_random();
        uint32_t word = thumb ? 0x6000 | (random & 0xfff) : 0xe5000000 | (random & 0xdfffff);
        level = thumb ? LEVEL_A32 | 0x20 : LEVEL_A32;
        one_aarch32(word, thumb, (enum region)(i / 2 % 3));
    }
}

// ---- system registers and instructions

// What the set-up makes trap (HCR_EL2: TACR, TSW, TLOR, IMO; MDCR_EL2: TDA, TDRA, TDOSA, TPM; CNTHCTL_EL2): an ISS
// in `like`, without Rt, but for the bits of `any`.
static const struct {
    const char *name;
    uint32_t like, any;
    enum { ALWAYS, READS, WRITES } when;
    bool full, gicv3;
} must_trap[] = {
    {"ACTLR_EL1", SYSREG(3, 0, 1, 0, 1), 0, ALWAYS, false, false},
    {"DC ISW", SYSREG(1, 0, 7, 6, 2), 0, WRITES, false, false},
    {"DC CSW", SYSREG(1, 0, 7, 10, 2), 0, WRITES, false, false},
    {"DC CISW", SYSREG(1, 0, 7, 14, 2), 0, WRITES, false, false},
    {"CNTP_TVAL_EL0, CNTP_CTL_EL0", SYSREG(3, 3, 14, 2, 0), 1u << 17, ALWAYS, false, false},
    {"CNTP_CVAL_EL0", SYSREG(3, 3, 14, 2, 2), 0, ALWAYS, false, false},
    {"MDSCR_EL1", SYSREG(2, 0, 0, 2, 2), 0, ALWAYS, false, false},
    {"DBGBVR0_EL1 to DBGBVR1_EL1", SYSREG(2, 0, 0, 0, 4), 1u << 1, ALWAYS, false, false},
    {"MDRAR_EL1", SYSREG(2, 0, 1, 0, 0), 0, READS, false, false},
    {"OSLAR_EL1", SYSREG(2, 0, 1, 0, 4), 0, WRITES, false, false},
    {"OSLSR_EL1", SYSREG(2, 0, 1, 1, 4), 0, READS, false, false},
    {"PMCR_EL0, PMCNTENSET_EL0", SYSREG(3, 3, 9, 12, 0), 1u << 17, ALWAYS, false, false},
    {"PMCCNTR_EL0", SYSREG(3, 3, 9, 13, 0), 0, ALWAYS, false, false},
    {"ICC_SGI1R_EL1", SYSREG(3, 0, 12, 11, 5), 0, WRITES, false, true},
    {"LORSA_EL1 to LORC_EL1", SYSREG(3, 0, 10, 4, 0), 3u << 17, ALWAYS, true, false},
};

static uint32_t iss_of_word(uint32_t word)
{
    uint32_t op0 = field(word, 20, 19), op1 = field(word, 18, 16), op2 = field(word, 7, 5);
    uint32_t name = SYSREG(op0, op1, field(word, 15, 12), field(word, 11, 8), op2);
    return name | field(word, 4, 0) << 5 | field(word, 21, 21);
}

static bool shall_trap(uint32_t word)
{
    uint32_t iss = iss_of_word(word);
    bool read = (iss & 1) != 0, gicv3 = machine_gic == 3;
    for (uint32_t i = 0; i < COUNT(must_trap); i++)
        if ((iss & 0x3ffc1e & ~must_trap[i].any) == must_trap[i].like && (full || !must_trap[i].full) &&
            (gicv3 || !must_trap[i].gicv3) && (must_trap[i].when == ALWAYS || (must_trap[i].when == READS) == read))
            return true;
    return false;
}

// ICC_SGI1R_EL1 and its two neighbours are an exit of their own, and cannot be read.
static bool is_sgi(uint32_t iss)
{
    uint32_t last = iss >> 17 & 7;
    return (iss & 0x31fc1e) == SYSREG(3, 0, 12, 11, 0) && last >= 5;
}

static void trapped_sys(uint32_t word)
{
    uint32_t iss = iss_of_word(word), rt = iss >> 5 & 31;
    bool read = (iss & 1) != 0;
    uint64_t value = host_random();
    if (differs(word, "ESR_EL2", seen.esr, ESR(EC_SYS, iss)) || differs(word, "ELR_EL2", seen.elr, CODE))
        return;
    if (is_sgi(iss)) {
        (void)(differs(word, "the exit", x.kind, AXVCPU_EXIT_SEND_IPI) ||
               differs(word, "its vector", x.ipi.vector, reg(rt) >> 24 & 15));
        return;
    }
    if (differs(word, "the exit", x.kind, read ? AXVCPU_EXIT_SYSREG_READ : AXVCPU_EXIT_SYSREG_WRITE) ||
        differs(word, "the register's name", x.sysreg.addr, iss & 0x3ffc1e) ||
        differs(word, "the register", x.sysreg.reg, rt) ||
        (!read && differs(word, "the value", x.sysreg.value, reg(rt))) ||
        (read && differs(word, "complete", completes(value), true)))
        return;
    if (read && rt < 31)
        gpr[rt] = value;
    if (differs(word, "whether it goes on", run() && passed(), true))
        return;
    for (uint32_t i = 0; i < 31; i++)
        if (differs(word, "a register", axvcpu_arch(v)->x[i], gpr[i]))
            return;
}

// FEAT_IDST: reads in the space of the feature registers that are undefined say what they were.
static bool id_space(uint32_t iss)
{
    uint32_t op1 = iss >> 14 & 7;
    return full && (iss & 0x303c11) == (0x300000 | 1) && (op1 == 0 || op1 == 1 || op1 == 3);
}

// Trapped, undefined (or EL1's own trap), or executed.
static void one_sys(uint32_t word)
{
    uint32_t iss = iss_of_word(word);
    tally.words++;
    put_word(word);
    if (!starts(word, CODE))
        return;
    if (seen.traps != 0 && seen.esr >> 26 == EC_SYS) {
        trapped_sys(word);
    } else if (shall_trap(word)) {
        (void)differs(word, "whether it traps", 0, 1);
    } else if (came(VECTOR + 4)) {
        uint64_t esr = get_sys(SYSREG(3, 0, 5, 2, 0)), ec = esr >> 26;
        bool implementation = (iss & 0x300000) == 0x300000 && ((iss >> 10 & 15) == 11 || (iss >> 10 & 15) == 15);
        differences[NO_TIDCP].times += implementation;
        (void)(ec == EC_SVE || ec == EC_SME || // CPACR_EL1's traps
               differs(word, "ESR_EL1", esr, id_space(iss) ? ESR(EC_SYS, iss) : ESR(EC_UNKNOWN, 0)));
    } else {
        (void)differs(word, "whether it goes on", passed(), true);
    }
}

// Read, then written with the same, so that the guest stays what it is. SYS gets an address that it may have.
static void sweep(uint32_t op0, uint32_t op1, uint32_t n)
{
    uint32_t rt = (uint32_t)host_random() % (op0 == 1 ? 31 : 32);
    uint32_t word = 0xd5000000 | op0 << 19 | op1 << 16 | n << 5 | rt;
    uint64_t value = op0 == 1 ? RAM + DATA * PAGE : 0;
    for (uint32_t i = 0; i < 31; i++)
        gpr[i] = UINT64_C(0x0101010101010101) * (i + 1);
    if (op0 != 1) {
        one_sys(word | 1u << 21);
        if (came(PASSED) && rt == 31)
            return; // what it was went to XZR
        value = came(PASSED) ? axvcpu_arch(v)->x[rt] : 0;
    }
    if (rt < 31)
        gpr[rt] = value;
    one_sys(word);
}

static void systems(void)
{
    set_mmu(false);
    level = LEVEL_EL1;
    for (uint32_t op0 = 1; op0 <= 3; op0++)
        for (uint32_t op1 = 0; op1 < 8; op1++)
            for (uint32_t n = 0; n < 2048; n++)
                if (op1 == 0 || op1 == 3 || (host_random() & 7) == 0)
                    sweep(op0, op1, n);
}

// ---- the classes

static const struct {
    const char *name;
    void (*words)(void);
} classes[] = {
    {"FP and SIMD, lazily", lazy_fp}, // from here on they are loaded
    {"single registers, nothing there", decoded_holes},
    {"writeback, pairs, exclusives, SIMD, atomics, nothing there", opaque_holes},
    {"literals, nothing there", literals},
    {"what is only to be read", written_read_only},
    {"accesses across the end of RAM", edges},
    {"fetches", fetches},
    {"page walks", walks},
    {"zeroing a block", zeroing},
    {"cache maintenance", maintenance},
    {"hypercalls and calls to firmware", calls},
    {"WFI, and exceptions that are EL1's", own},
    {"illegal execution state", illegal},
    {"AArch32 at EL0", aarch32},
    {"system registers and instructions", systems},
};

int host_main(void)
{
    host_print("# seed ");
    host_print_number(host_argument_number("seed"), 16);
    host_print("\n");
    if (!begin())
        host_panic("no guest");
    for (uint32_t i = 0; i < COUNT(classes); i++) {
        AXVCPU_MEMSET(&tally, 0, sizeof tally);
        late = false;
        host_alarm(UINT64_C(3000000000), look, v);
        classes[i].words();
        host_print("# ");
        host_print_number(tally.words, 10);
        host_print(" words, ");
        host_print_number(tally.wrong, 10);
        host_print(" wrong\n");
        host_case(tally.words != 0 && tally.wrong == 0, classes[i].name);
    }
    for (uint32_t i = 1; i < DIFFERENCES; i++) {
        host_print("# QEMU, ");
        host_print_number(differences[i].times, 10);
        host_print(" times: ");
        host_print(differences[i].name);
        host_print("\n");
    }
    return axvcpu_unbind(v) == AXVCPU_OK && axvm_deinit(&vm) == AXVCPU_OK ? 0 : 1;
}
