// SPDX-License-Identifier: Apache-2.0
//
// Every data abort that the syndrome describes, generated: all sizes, signs, registers, register widths and
// directions at all levels and privileges, answered as a bus would. None may be UNDECODED, and what a read
// leaves in the register is worked out here a second time, from what the load instructions are said to do.
#include "decode.h"
#include "tests/tap.h"

struct combination {
    uint32_t sas, sse, srt, sf, wnr, level, el0;
};
enum { COMBINATIONS = 4 * 2 * 32 * 2 * 2 * 4 * 2 };

static uint64_t gpr[31];
static unsigned wrong, undecoded, shown;

static struct combination combination(uint32_t n)
{
    struct combination c;
    c.sas = n & 3, n >>= 2;
    c.sse = n & 1, n >>= 1;
    c.srt = n & 31, n >>= 5;
    c.sf = n & 1, n >>= 1;
    c.wnr = n & 1, n >>= 1;
    c.level = n & 3, n >>= 2;
    c.el0 = n & 1;
    return c;
}

// What the register holds after the load of `bus`: shifted to the top and back, with or without its sign.
static uint64_t loaded(const struct combination *c, uint64_t bus)
{
    uint32_t unused = 64 - (8u << c->sas);
    uint64_t value = c->sse ? (uint64_t)((int64_t)(bus << unused) >> unused) : bus << unused >> unused;
    return c->sf ? value : (uint32_t)value;
}

static uint64_t completed(const struct axvcpu_exit *x, uint64_t bus, bool refused)
{
    const struct axvcpu_answer a = {.value = bus, .kind = x->kind, .reg = x->mmio.reg, .count = 1,
                                    .width = (uint8_t)x->mmio.width, .reg_width = (uint8_t)x->mmio.reg_width,
                                    .sign_extend = x->mmio.sign_extend, .refused = refused};
    return axvcpu_access_result(&a, 0x5555555555555555);
}

static bool is_right(const struct combination *c, const struct axvcpu_exit *x)
{
    static const uint64_t buses[] = {0x1122334455667788, 0xfedcba9876543210, 0x80, 0x8000, 0x80000000, 0x7f, 0};
    uint64_t data = c->srt == 31 ? 0 : gpr[c->srt];
    bool right = x->kind == (c->wnr ? AXVCPU_EXIT_MMIO_WRITE : AXVCPU_EXIT_MMIO_READ) && x->mmio.addr == 0x9000abc &&
                 x->mmio.width == 1u << c->sas && x->mmio.reg == c->srt;
    if (c->wnr)
        return right && x->mmio.data == data << (64 - (8u << c->sas)) >> (64 - (8u << c->sas));
    for (size_t i = 0; i < COUNT(buses); i++)
        right = right && completed(x, buses[i], false) == loaded(c, buses[i]);
    return right && completed(x, 0, true) == loaded(c, UINT64_MAX);
}

static void check(uint32_t n)
{
    const struct combination c = combination(n);
    const struct axvcpu_arm64_trap t = {
        .esr = 0x24ull << 26 | 1u << 25 | 1u << 24 | c.sas << 22 | c.sse << 21 | c.srt << 16 | c.sf << 15 | c.wnr << 6 |
               4 | c.level,
        .far = 0xffff800000123abc, .hpfar = 0x9000000 >> 8, .pstate = c.el0 ? 0 : 5};
    struct axvcpu_arm64_effect e;
    struct axvcpu_exit x = {0};
    bool good = axvcpu_arm64_decode(&t, gpr, &x, &e) == AXVCPU_ARM64_EXIT && is_right(&c, &x) && e.step == 4 && e.sets == 0;
    undecoded += x.kind == AXVCPU_EXIT_UNDECODED;
    wrong += !good;
    if (!good && shown++ < 10)
        note("wrong: ESR 0x%llx", (unsigned long long)t.esr);
}

// The same for system registers: every register that an ISS can name, by every Rt, both ways.
static unsigned check_sysreg(uint32_t name, uint32_t rt, uint32_t read)
{
    const struct axvcpu_arm64_trap t = {.esr = 0x18ull << 26 | 1u << 25 | name | rt << 5 | read, .pstate = 5};
    struct axvcpu_arm64_effect e;
    struct axvcpu_exit x = {0};
    return axvcpu_arm64_decode(&t, gpr, &x, &e) != AXVCPU_ARM64_EXIT || e.step != 4 || x.sysreg.addr != name ||
           x.sysreg.reg != rt || x.kind != (read ? AXVCPU_EXIT_SYSREG_READ : AXVCPU_EXIT_SYSREG_WRITE) ||
           x.sysreg.value != (read || rt == 31 ? 0 : gpr[rt]);
}

static unsigned check_sysregs(void)
{
    unsigned bad = 0;
    for (uint32_t n = 0; n < 1u << 16; n++) {
        uint32_t name = (n >> 4) << 10 | (n & 15) << 1;
        bool sgi = (name & ~(3u << 17)) == ((3u << 20) | (1u << 19) | (12u << 10) | (11u << 1)) && (name >> 17 & 3) != 0;
        if (!sgi)
            bad += check_sysreg(name, n % 32, n >> 7 & 1) + check_sysreg(name, 31, 0) + check_sysreg(name, 0, 1);
    }
    return bad;
}

int main(void)
{
    tap_begin(30);
    number_registers(gpr);
    for (uint32_t n = 0; n < COMBINATIONS; n++)
        check(n);
    ok_u64(wrong, 0, "trap_24: %u combinations of size, sign, register, width and direction", COMBINATIONS);
    ok_u64(undecoded, 0, "none of them is UNDECODED");
    ok_u64(check_sysregs(), 0, "every system register that a syndrome can name, read and written");
    return tap_done();
}
