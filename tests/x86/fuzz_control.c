// SPDX-License-Identifier: Apache-2.0
//
// The fuzzer's control registers: any sequence of moves to and from CR0, CR3, CR4, CR8, EFER, XCR0 and the debug
// registers, LMSW, SMSW and CLTS, beside a model that is written from the manuals once more: SDM
// 3, 2.5, 2.6, 4.1, 4.4.1 and 18.2; SDM 2, MOV to CR, LMSW, SMSW, CLTS, XSETBV; SDM 1, 13.3. The fault and all of the
// state must be the model's.
#include "fuzz.h"

enum { PE = 0, MP, EM, TS, ET, NE, WP = 16, AM = 18, NW = 29, CD = 30, PG = 31 };        // CR0
enum { DE = 3, PSE, PAE, PGE = 7, LA57 = 12, PCIDE = 17, OSXSAVE, SMEP = 20, CET = 23 }; // CR4
enum { LME = 8, LMA = 10 };                                                              // EFER
#define BIT(n) (UINT64_C(1) << (n))

struct model {
    uint64_t cr0, cr3, cr4, cr8, efer, xcr0;
};

static bool has(uint64_t value, uint32_t bit)
{
    return value >> bit & 1;
}

static int to_cr0(const struct axvcpu_x86_control *c, struct model *m, uint64_t v)
{
    bool on = has(v, PG) && !has(m->cr0, PG), off = !has(v, PG) && has(m->cr0, PG), l = (c->cs_access & 0x2000) != 0;
    bool bad = v > UINT32_MAX || (has(v, PG) && !has(v, PE)) || (has(v, NW) && !has(v, CD)) ||
               (!has(v, WP) && has(m->cr4, CET));
    bad = bad || (on && has(m->efer, LME) && (!has(m->cr4, PAE) || l));
    bad = bad || (off && (has(m->cr4, PCIDE) || (has(m->efer, LMA) && l)));
    if (bad)
        return GP;
    m->cr0 = (v & (BIT(PE) | BIT(MP) | BIT(EM) | BIT(TS) | BIT(NE) | BIT(WP) | BIT(AM) | BIT(NW) | BIT(CD) | BIT(PG))) |
             BIT(ET);
    m->efer = (m->efer & ~BIT(LMA)) | (has(v, PG) && has(m->efer, LME) ? BIT(LMA) : 0);
    return OK;
}

static int to_cr3(const struct axvcpu_x86_control *c, struct model *m, uint64_t v)
{
    v &= has(m->cr4, PCIDE) ? ~BIT(63) : UINT64_MAX;
    if (has(m->efer, LMA) && (v & ~c->physical_mask) != 0)
        return GP;
    m->cr3 = v;
    return OK;
}

static int to_cr4(const struct axvcpu_x86_control *c, struct model *m, uint64_t v)
{
    uint64_t sets = v & ~m->cr4, changes = v ^ m->cr4;
    bool lma = has(m->efer, LMA), bad = (v & ~c->cr4_valid) != 0;
    bad = bad || (lma && (!has(v, PAE) || has(changes, LA57)));
    bad = bad || (has(sets, PCIDE) && (!lma || (m->cr3 & 0xfff) != 0));
    if (bad || (has(v, CET) && !has(m->cr0, WP)))
        return GP;
    m->cr4 = v;
    return OK;
}

static int to_cr(const struct axvcpu_x86_control *c, struct model *m, uint32_t nr, uint64_t v)
{
    switch (nr) {
    case 0: return to_cr0(c, m, v);
    case 3: return to_cr3(c, m, v);
    case 4: return to_cr4(c, m, v);
    case 8: return v > 15 ? GP : (m->cr8 = v, OK);
    default: return UD;
    }
}

static int to_efer(const struct axvcpu_x86_control *c, struct model *m, uint64_t v)
{
    if ((v & ~c->efer_valid) != 0 || (has(m->cr0, PG) && has(v ^ m->efer, LME)))
        return GP;
    m->efer = (v & ~BIT(LMA)) | (m->efer & BIT(LMA));
    return OK;
}

static int to_xcr(const struct axvcpu_x86_control *c, struct model *m, uint32_t nr, uint64_t v)
{
    bool avx = has(v, 2), mpx = has(v, 3), avx512 = has(v, 5), amx = has(v, 17), bad;
    if (!has(m->cr4, OSXSAVE))
        return UD;
    bad = nr != 0 || c->cpl > 0 || !has(v, 0) || (v & ~c->xcr0_valid) != 0 || (avx && !has(v, 1)) || mpx != has(v, 4);
    bad = bad || avx512 != has(v, 6) || avx512 != has(v, 7) || (avx512 && !avx) || amx != has(v, 18);
    if (bad)
        return GP;
    m->xcr0 = v;
    return OK;
}

// SDM 3, 4.4.1: where PAE paging without long mode reads its four entries again.
static bool reads_pdptes(const struct model *was, uint32_t nr, uint64_t v)
{
    uint64_t cr0 = nr == 0 ? v : was->cr0, cr4 = nr == 4 ? v : was->cr4;
    uint64_t changed0 = cr0 ^ was->cr0, changed4 = cr4 ^ was->cr4;
    bool changes = has(changed0, CD) || has(changed0, NW) || has(changed0, PG) || has(changed4, PAE) ||
                   has(changed4, PGE) || has(changed4, PSE) || has(changed4, SMEP);
    return has(cr0, PG) && has(cr4, PAE) && !has(was->efer, LME) && (nr == 3 || changes);
}

static int instruction(const struct axvcpu_x86_control *c, struct model *m, uint64_t gpr[16],
                       const struct axvcpu_x86_cr *op, uint32_t bits)
{
    uint64_t from[16] = {[0] = m->cr0, [3] = m->cr3, [4] = m->cr4, [8] = m->cr8},
             word = op->memory || op->sourced ? op->source : gpr[op->reg];
    if (op->nr != 0 && op->nr != 3 && op->nr != 4 && op->nr != 8)
        return UD;
    switch (op->op) {
    case AXVCPU_X86_CR_TO: return to_cr(c, m, op->nr, bits == 64 ? gpr[op->reg] : (uint32_t)gpr[op->reg]);
    case AXVCPU_X86_CR_FROM: gpr[op->reg] = bits == 64 ? from[op->nr] : (uint32_t)from[op->nr]; return OK;
    case AXVCPU_X86_CR_CLTS: m->cr0 &= ~BIT(TS); return OK;
    case AXVCPU_X86_CR_LMSW: return to_cr0(c, m, (m->cr0 & ~BIT(MP) & ~BIT(EM) & ~BIT(TS)) | (word & 15));
    default:
        if (op->memory)
            return 0x100; // whoever knows the memory
        gpr[op->reg] = bits == 16 ? (gpr[op->reg] & ~UINT64_C(0xffff)) | (m->cr0 & 0xffff) : m->cr0;
        return OK;
    }
}

// SDM 3, 18.2.2 to 18.2.5: names, guard and fixed bits.
static int debug(const struct axvcpu_x86_control *c, uint32_t *nr, uint64_t dr7, bool write, uint64_t *v)
{
    if (*nr > 7 || (*nr / 2 == 2 && has(c->cr4, DE)))
        return UD;
    if (has(dr7, 13))
        return DB;
    *nr |= *nr / 2 == 2 ? 2 : 0;
    if (write && *nr >= 6 && *v > UINT32_MAX)
        return GP;
    if (write && *nr == 6)
        *v = (*v & 0xffffefff) | 0xffff0ff0;
    if (write && *nr == 7)
        *v = (*v & 0xffff2fff) | 0x400;
    return OK;
}

static void check_debug(const struct axvcpu_x86_control *c, uint64_t value)
{
    uint32_t nr = input_next(10), want_nr = nr, write = input_next(2);
    uint64_t want = value, dr7 = input_next(3) == 0 ? BIT(13) : 0x400;
    int fault = debug(c, &want_nr, dr7, write, &want);
    must(axvcpu_x86_do_dr(c, &nr, dr7, write, &value) == fault);
    must(fault != OK || (nr == want_nr && value == want));
}

static void check_pdptes(const struct axvcpu_x86_control *c)
{
    uint64_t four[4];
    bool good = true;
    for (uint32_t i = 0; i < 4; i++) {
        four[i] = input_next(4) ? (input_value() & c->physical_mask & ~UINT64_C(0x1e6)) ^
                                      (input_next(2) ? BIT(input_next(64)) : 0) :
                                  0;
        good = good && (!has(four[i], 0) || ((four[i] & 0x1e6) == 0 && (four[i] & ~c->physical_mask) == 0));
    }
    must(axvcpu_x86_pdptes_valid(four, c->physical_mask) == good);
}

// A value that is nearly the one that is there.
static uint64_t some(uint64_t now, uint64_t valid)
{
    static const uint64_t ruled[] = {BIT(PG), BIT(PE),   BIT(PG) | BIT(PE), BIT(WP), BIT(NW), BIT(CD), BIT(PCIDE),
                                     BIT(CET), BIT(LA57), BIT(PAE),         BIT(LME), 0xfff,  0xe0,    0x06};
    switch (input_next(6)) {
    case 0: return now ^ BIT(input_next(64));
    case 1: return now ^ BIT(input_next(32)) ^ BIT(input_next(32));
    case 4: return now ^ ruled[input_next(COUNT(ruled))];
    case 2: return input_value() & valid;
    case 3: return (now ^ input_value()) & valid;
    default: return input_value();
    }
}

static void check_state(const struct axvcpu_x86_control *c, const struct model *m)
{
    must(c->cr0 == m->cr0 && c->cr3 == m->cr3 && c->cr4 == m->cr4 && c->cr8 == m->cr8 && c->efer == m->efer &&
         c->xcr0 == m->xcr0);
    must(has(c->cr0, PE) || !has(c->cr0, PG)); // and no rule is broken by it: SDM 3, 27.3.1.1
    must(has(c->efer, LMA) == (has(c->cr0, PG) && has(c->efer, LME)) && (!has(c->efer, LMA) || has(c->cr4, PAE)));
    must(!has(c->cr4, PCIDE) || has(c->efer, LMA));
    must(!has(c->cr4, CET) || has(c->cr0, WP));
}

static void step(struct axvcpu_x86_control *c, struct model *m)
{
    uint32_t bits = 16u << input_next(3), which = input_next(8), nr;
    struct axvcpu_x86_regs r = {0};
    struct axvcpu_x86_cr op = {0};
    uint64_t gpr[16] = {0}, value;
    struct model was = *m;
    int fault;
    c->cpl = input_next(4);
    c->cs_access = input_next(2) ? 0x209b : 0x409b;
    switch (which) {
    case 0:
        value = some(m->efer, c->efer_valid);
        fault = to_efer(c, m, value);
        must(axvcpu_x86_write_efer(c, value) == fault);
        break;
    case 1:
        nr = input_next(8) == 0, value = some(m->xcr0, c->xcr0_valid);
        fault = to_xcr(c, m, nr, value);
        must(axvcpu_x86_write_xcr(c, nr, value) == fault);
        break;
    case 2: check_debug(c, input_value()); break;
    case 3: check_pdptes(c); break;
    default:
        op.nr = (uint8_t)(which == 4 ? 0 : which == 5 ? 4 : which == 6 ? 3 : input_next(16));
        op.reg = (uint8_t)input_next(16),
        op.op = (uint8_t)(which < 7 ? input_next(2) ? 0 : input_next(5) : input_next(5));
        op.memory = op.op >= AXVCPU_X86_CR_LMSW && input_next(2),
        op.sourced = op.op == AXVCPU_X86_CR_LMSW && input_next(2);
        value = op.nr == 0 ? some(m->cr0, UINT32_MAX) :
                op.nr == 4 ? some(m->cr4, c->cr4_valid) :
                op.nr == 3 ? some(m->cr3, c->physical_mask) :
                             input_value();
        op.source = (uint16_t)(value >> 16);
        r.gpr[op.reg] = gpr[op.reg] = value;
        must(axvcpu_x86_needs_pdptes(c, op.nr, value) == reads_pdptes(m, op.nr, value));
        fault = instruction(c, m, gpr, &op, bits);
        must(axvcpu_x86_do_cr(c, &r, &op, bits) == fault && memcmp(gpr, r.gpr, sizeof gpr) == 0);
        must(fault == OK || memcmp(&was, m, sizeof was) == 0);
    }
    check_state(c, m);
}

void fuzz_control(const uint8_t *data, size_t size)
{
    struct axvcpu_x86_control c = {.xcr0_valid = 0x602ff};
    struct model m = {.cr0 = 0x60000010, .xcr0 = 1}; // SDM 3, table 9-1
    input_at = data, input_left = size;
    c.cr4_valid = 0x1fffff & ~BIT(input_next(25)) & ~BIT(13);
    c.cr4_valid |= input_next(2) ? BIT(CET) : 0;
    c.efer_valid = input_next(4) ? 0xd01 : 0x801;
    c.xcr0_valid &= ~(BIT(input_next(20)) & ~UINT64_C(1));
    c.physical_mask = BIT(36 + input_next(17)) - 1;
    axvcpu_x86_control_reset(&c, input_next(2));
    if (input_next(4) != 0) // where most guests are: protected mode, or long mode, with all of it or without
        m.cr0 = BIT(PE) | BIT(ET) | (input_next(2) ? BIT(WP) : 0);
    if (m.cr0 & 1 && input_next(4) != 0) {
        m.cr0 |= BIT(PG);
        m.cr4 = BIT(PAE) & c.cr4_valid;
        m.efer = has(m.cr4, PAE) && has(c.efer_valid, LME) ? BIT(LME) | BIT(LMA) : 0;
        m.cr4 |= input_next(2) && m.efer ? BIT(PCIDE) & c.cr4_valid : 0;
        m.cr4 |= input_next(2) && has(m.cr0, WP) ? BIT(CET) & c.cr4_valid : 0;
    }
    c.cr0 = m.cr0, c.cr4 = m.cr4, c.efer = m.efer;
    check_state(&c, &m);
    for (uint32_t n = 0; n < 24 && input_left > 0; n++)
        step(&c, &m);
}
