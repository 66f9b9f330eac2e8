// SPDX-License-Identifier: Apache-2.0
//
// The fuzzer's policy: what a guest sees by CPUID of any host, and what RDMSR and WRMSR do with any number. Both
// against what the manuals say, written down a second time: SDM 2, CPUID; SDM 4, chapter 2; APM 2, appendix A; APM 3,
// appendix E.
#include "fuzz.h"

enum { EAX, EBX, ECX, EDX, ASK = 0x100, HARDWARE = 0x101 };

// ---- CPUID

// The host is the input: which leaves and registers are all ones, and a size for each part of XSAVE's area.
static struct host {
    struct axvcpu_x86_control *control;
    uint64_t seed;
    uint32_t id, cpus;
} host;

static uint32_t mixed(uint64_t a)
{
    a = (a ^ host.seed) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(a ^ a >> 29) ^ (uint32_t)(a >> 41);
}

static void native(uint32_t leaf, uint32_t subleaf, uint32_t reg[4])
{
    for (uint32_t i = 0; i < 4; i++)
        reg[i] = host.seed % 4 == 0 ?
                     UINT32_MAX :
                     mixed((uint64_t)leaf << 16 ^ subleaf << 4 ^ i) | (host.seed % 4 == 1 ? mixed(leaf ^ i) : 0);
    if (leaf == 0xd && subleaf > 1) { // a part's size and place
        reg[EAX] %= 1200;
        reg[EBX] = 576 + reg[EBX] % 3600;
    } else if (leaf == 0xd && subleaf == 0) {
        reg[EAX] |= 1; // the x87's part is always there (SDM 1, 13.2)
    }
}

static void guest(void *arg, uint32_t leaf, uint32_t subleaf, uint32_t reg[4])
{
    struct axvcpu_x86_cpuid e = {.leaf = leaf, .subleaf = subleaf, .indexed = true};
    (void)arg;
    native(leaf, subleaf, e.reg);
    axvcpu_x86_cpuid_mask(host.control, leaf, subleaf, e.reg);
    axvcpu_x86_cpuid_sane(&e, 1, host.id, host.cpus, false);
    memcpy(reg, e.reg, sizeof e.reg);
}

#define B(n) (UINT32_C(1) << (n))
// What no guest is shown, because nobody does it for it.
static const struct {
    uint32_t leaf, reg, bits;
} forbidden[] = {
    // DTES64, MONITOR, DS-CPL, VMX, SMX, SpeedStep, thermal monitor 2, context id, debug interface, xTPR, PDCM, direct
    // cache access, x2APIC, TSC deadline
    {1, ECX, B(2) | B(3) | B(4) | B(5) | B(6) | B(7) | B(8) | B(10) | B(11) | B(14) | B(15) | B(18) | B(21) | B(24)},
    {1, EDX,
     B(7) | B(14) | B(18) | B(21) | B(22) | B(29) | B(31)}, // MCE, MCA, serial number, debug store, ACPI, thermal, PBE
    {7, EAX, UINT32_MAX},                                   // no further subleaves
    {7, EBX,
     B(1) | B(2) | B(4) | B(10) | B(11) | B(12) | B(14) | B(15) |
         B(25)}, // TSC_ADJUST, SGX, HLE, INVPCID, RTM, monitoring, MPX, PT
    {7, ECX,
     B(5) | B(7) | B(13) | B(22) | B(23) | B(30) | B(31)}, // WAITPKG, shadow stacks, TME, RDPID, key locker, SGX, PKS
    {7, EDX,
     B(5) | B(11) | B(13) | B(15) | B(16) | B(18) | B(19) | B(20) | B(22) | B(24) | B(25) |
         0xfc000000}, // UINTR to SSBD: CET, AMX, LBR
    {0x80000001, ECX,
     B(2) | B(3) | B(9) | B(10) | B(12) | B(13) | B(15) | B(17) | B(23) | B(24) | B(26) | B(27) | B(28) |
         B(29)},                             // SVM to MWAITX
    {0x80000001, EDX, B(7) | B(14) | B(27)}, // MCE, MCA, RDTSCP
    {0x80000007, EAX, UINT32_MAX},
    {0x80000007, EBX, UINT32_MAX},
    {0x80000007, ECX, UINT32_MAX},
    {0x80000007, EDX, ~B(8)},
    {0x80000008, EAX, 0xffff0000},
    {0x80000008, EBX, ~(B(0) | B(2))},
    {0x80000008, EDX, UINT32_MAX}, // IBPB, STIBP, RDPRU
};

// All other leaves are empty: counters, thermal, MWAIT, PT, SGX, AMX, SVM, the host's own hypervisor.
static bool is_known(uint32_t leaf)
{
    static const uint32_t known[] = {0,          1,          2,          4,          7,          0xb,
                                     0xd,        0x15,       0x16,       0x1f,       0x80000000, 0x80000001,
                                     0x80000002, 0x80000003, 0x80000004, 0x80000005, 0x80000006, 0x80000007,
                                     0x80000008, 0x8000001d, 0x8000001e};
    for (size_t i = 0; i < COUNT(known); i++)
        if (known[i] == leaf)
            return true;
    return false;
}

// SDM 1, 13.2: an area ends where its last part does.
static uint32_t area(uint64_t xcr0)
{
    uint32_t end = 576, reg[4];
    for (uint32_t i = 2; i < 10; i++) {
        native(0xd, i, reg);
        end = xcr0 >> i & 1 && reg[EAX] + reg[EBX] > end ? reg[EAX] + reg[EBX] : end;
    }
    return end;
}

static void check_xsave(struct axvcpu_x86_control *c, uint32_t subleaf, const uint32_t reg[4])
{
    struct axvcpu_x86_control try = *c;
    bool has = (c->cr4_valid & 0x40000) != 0;
    if (subleaf > 1) {
        must((c->xcr0_valid & ~UINT64_C(3)) >> (subleaf & 31) & (subleaf < 32) ||
             (reg[EAX] | reg[EBX] | reg[ECX] | reg[EDX]) == 0);
        return;
    }
    if (subleaf == 1) {
        must((reg[EAX] & ~(B(0) | B(2))) == 0 && (reg[EBX] | reg[ECX] | reg[EDX]) == 0);
        return;
    }
    must(reg[EDX] == 0 && reg[EBX] <= reg[ECX] && reg[EBX] == area(c->xcr0) && reg[ECX] == area(c->xcr0_valid));
    must(!has || reg[EAX] == (uint32_t)c->xcr0_valid); // what is shown XSETBV takes
    try.cr4 |= 0x40000, try.cpl = 0;
    must(axvcpu_x86_write_xcr(&try, 0, ~(uint64_t)reg[EAX]) == GP);
}

static void check_leaf(struct axvcpu_x86_control *c, uint32_t leaf, uint32_t subleaf)
{
    uint32_t reg[4], all[4], masked[4];
    guest(NULL, leaf, subleaf, reg);
    native(leaf, subleaf, all);
    memcpy(masked, all, sizeof masked);
    axvcpu_x86_cpuid_mask(c, leaf, subleaf, masked);
    for (uint32_t i = 0; i < 4; i++) // nothing that the host has not, but what is the guest's own
        must((masked[i] & ~all[i]) == 0 || (leaf == 1 && i == ECX) || (leaf == 7 && i == ECX) || leaf == 0xd);
    for (size_t i = 0; i < COUNT(forbidden); i++)
        must(forbidden[i].leaf != leaf || (masked[forbidden[i].reg] & forbidden[i].bits) == 0);
    must(is_known(leaf) || (reg[EAX] | reg[EBX] | reg[ECX] | reg[EDX]) == 0);
    if (leaf == 1) {
        must((reg[ECX] >> 27 & 1) == (c->cr4 >> 18 & 1) && (reg[ECX] & B(31)) != 0); // OSXSAVE; a hypervisor
        must(reg[EBX] >> 24 == (host.id & 0xff));
        must((masked[ECX] & ~all[ECX] & ~B(27)) == 0);
    } else if (leaf == 7) {
        must((reg[ECX] >> 4 & 1) == (subleaf == 0 ? c->cr4 >> 22 & 1 : 0)); // OSPKE
        must((masked[ECX] & ~all[ECX] & ~B(4)) == 0);
    } else if (leaf == 0xd) {
        check_xsave(c, subleaf, reg);
    } else if (leaf == 0xb || leaf == 0x1f) {
        must(reg[EDX] == host.id && (reg[ECX] & 0xff) == (subleaf & 0xff));
        must(subleaf != 1 || host.id >= host.cpus || host.id >> reg[EAX] == 0);
    }
}

// CR4 and EFER have the bits whose feature is shown, and no others (SDM 3, 2.5; APM 2, 3.1.7).
static void check_valid(const struct axvcpu_x86_control *c)
{
    static const struct {
        uint32_t leaf, reg, bit;
        uint64_t cr4, efer;
    } given[] = {
        {1, EDX, 1, 3, 0},
        {1, EDX, 4, 4, 0},
        {1, EDX, 2, 8, 0},
        {1, EDX, 3, 0x10, 0},
        {1, EDX, 6, 0x20, 0},
        {1, EDX, 13, 0x80, 0},
        {1, EDX, 24, 0x200, 0},
        {1, EDX, 25, 0x400, 0},
        {7, ECX, 2, 0x800, 0},
        {7, ECX, 16, 0x1000, 0},
        {7, EBX, 0, 0x10000, 0},
        {1, ECX, 17, 0x20000, 0},
        {1, ECX, 26, 0x40000, 0},
        {7, EBX, 7, 0x100000, 0},
        {7, EBX, 20, 0x200000, 0},
        {7, ECX, 3, 0x400000, 0},
        {0x80000001, EDX, 11, 0, 1},
        {0x80000001, EDX, 29, 0, 0x500},
        {0x80000001, EDX, 20, 0, 0x800},
        {0x80000001, EDX, 25, 0, 0x4000},
    };
    uint64_t cr4 = 0, efer = 0;
    for (size_t i = 0; i < COUNT(given); i++) {
        uint32_t reg[4];
        guest(NULL, given[i].leaf, 0, reg);
        cr4 |= reg[given[i].reg] >> given[i].bit & 1 ? given[i].cr4 : 0;
        efer |= reg[given[i].reg] >> given[i].bit & 1 ? given[i].efer : 0;
    }
    must(c->cr4_valid == cr4 && c->efer_valid == efer);
    must((c->xcr0_valid & ~UINT64_C(0x2e7)) == 0 && c->physical_mask >> 52 == 0 &&
         (c->physical_mask & (c->physical_mask + 1)) == 0);
}

void fuzz_cpuid(const uint8_t *data, size_t size)
{
    static const uint32_t bases[] = {0, 0x10, 0x40000000, 0x80000000, 0x80000010, 0x20};
    static const uint32_t always[] = {1, 7, 0xd, 0x80000001};
    struct axvcpu_x86_control c = {0};
    uint64_t xcr0 = 0;
    input_at = data, input_left = size;
    host.control = &c;
    host.id = input_next(256), host.cpus = input_next(256);
    host.seed = input_value();
    axvcpu_x86_control_reset(&c, true);
    axvcpu_x86_control_valid(&c, guest, NULL);
    check_valid(&c);
    c.xcr0_valid &= axvcpu_x86_xcr0_within(&c, 4096) | 1;
    must(area(c.xcr0_valid) <= 4096);
    input_take(&c.cr4, sizeof c.cr4);
    input_take(&xcr0, 2);
    c.cr4 &= c.cr4_valid;
    (void)axvcpu_x86_write_xcr(&c, 0, (xcr0 & c.xcr0_valid) | 1);
    for (uint32_t n = 0; n < 5; n++) {
        uint32_t base = bases[input_next(COUNT(bases))], leaf = base + input_next(32), any = (uint32_t)input_value();
        check_leaf(&c, any > 0xffff ? any : leaf, input_next(16));
    }
    for (size_t i = 0; i < COUNT(always); i++)
        check_leaf(&c, always[i], 0);
}

// ---- MSRs

// What each number in memory is after reset, and where it is; the variable and fixed MTRRs are ranges.
static const struct {
    uint32_t first, last;
    uint64_t reset;
} shadows[] = {
    {0x1b, 0x1b, 0xfee00900},    {0x17a, 0x17a, 0},           {0x1a0, 0x1a0, 1}, {0x200, 0x20f, 0},
    {0x250, 0x250, 0},           {0x258, 0x259, 0},           {0x268, 0x26f, 0}, {0x2ff, 0x2ff, 0},
    {0xc0000103, 0xc0000103, 0}, {0xc0010015, 0xc0010015, 0},
};
static uint64_t kept[33];

static uint64_t *keep(uint32_t msr)
{
    uint64_t *at = kept;
    for (size_t i = 0; i < COUNT(shadows); at += shadows[i].last - shadows[i].first + 1, i++)
        if (msr >= shadows[i].first && msr <= shadows[i].last)
            return at + (msr - shadows[i].first);
    return NULL;
}

// Those that always read as the same: the number, and whether a write is #GP.
static const struct {
    uint32_t msr;
    bool only_read;
    uint64_t value;
} constants[] = {
    {0, false, 0},    {1, false, 0},          {0x17, true, 0},        {0x34, true, 0},          {0x3a, true, 1},
    {0x79, false, 0}, {0x8b, false, 0},       {0xce, true, 0},        {0xfe, true, 0x508},      {0x140, false, 0},
    {0x179, true, 0}, {0xc0010010, false, 0}, {0xc001001f, false, 0}, {0xc0010114, true, 0x18}, {0xc0011029, false, 2},
};

// Memory types in `n` bytes: SDM 3, tables 12-8 and 12-11.
static bool types(uint64_t value, uint32_t n, const char *good)
{
    for (; n > 0; n--, value >>= 8)
        if ((value & 0xff) > 9 || strchr(good, (int)('0' + (value & 0xff))) == NULL)
            return false;
    return true;
}
#define MTRR "01456"

static bool canonical(const struct axvcpu_x86_control *c, uint64_t value)
{
    uint32_t unused = c->cr4 >> 12 & 1 ? 7 : 16; // LA57
    return (uint64_t)((int64_t)(value << unused) >> unused) == value;
}

// SDM 4, chapter 2, what a write does to a good number in memory. 0x26f ends the fixed MTRRs.
static bool good_shadow(const struct axvcpu_x86_control *c, uint32_t msr, uint64_t v)
{
    uint64_t page = c->physical_mask & ~UINT64_C(0xfff);
    switch (msr) {
    case 0x1b: return (v & ~(page | 0x900)) == 0; // the processor's role, on; not x2APIC
    case 0x17a: return v < 8;
    case 0x1a0: return (v & ~UINT64_C(0x400001)) == 0; // fast strings, CPUID's limit
    case 0x2ff: return (v & ~UINT64_C(0xcff)) == 0 && types(v, 1, MTRR);
    case 0xc0000103: return v >> 32 == 0;
    case 0xc0010015: return v == 0 || v == 0x1000000;
    default: break;
    }
    if (msr >= 0x250)
        return types(v, 8, MTRR);
    return msr & 1 ? (v & ~(page | 0x800)) == 0 :
                     (v & 0xf00 & ~page) == 0 && (v & ~(page | 0xff)) == 0 && types(v, 1, MTRR);
}

static int expect_write(const struct axvcpu_x86_control *c, uint32_t msr, uint64_t v)
{
    for (size_t i = 0; i < COUNT(constants); i++)
        if (constants[i].msr == msr)
            return constants[i].only_read ? GP : OK;
    if (keep(msr) != NULL)
        return good_shadow(c, msr, v) ? OK : GP;
    if (msr >= 0x480 && msr <= 0x491)
        return GP;
    switch (msr) {
    case 0x10:
    case 0x3b:
    case 0xc0000081: return HARDWARE;
    case 0x174:
    case 0xc0000084: return v >> 32 ? GP : HARDWARE;
    case 0x175:
    case 0x176:
    case 0xc0000082:
    case 0xc0000083:
    case 0xc0000100:
    case 0xc0000101:
    case 0xc0000102: return canonical(c, v) ? HARDWARE : GP;
    case 0x277: return types(v, 8, "014567") ? HARDWARE : GP;
    case 0x1d9: return v == 0 ? OK : GP; // DEBUGCTL
    case 0xc0010117: return GP;
    case 0xc0000080: return (v & ~c->efer_valid) != 0 || (c->cr0 >> 31 & 1 && (v ^ c->efer) & 0x100) ? GP : OK;
    default: return ASK;
    }
}

static int expect_read(const struct axvcpu_x86_control *c, uint32_t msr, uint64_t *v)
{
    *v = 0;
    for (size_t i = 0; i < COUNT(constants); i++)
        if (constants[i].msr == msr)
            return *v = constants[i].value, OK;
    if (keep(msr) != NULL)
        return *v = *keep(msr), OK;
    if (msr == 0xc0000080)
        return *v = c->efer, OK;
    if (msr == 0x1d9)
        return OK;
    if (msr == 0xc0010117 || (msr >= 0x480 && msr <= 0x491))
        return GP;
    return expect_write(c, msr, 0);
}

// Known numbers and their neighbours; and all there are.
static uint32_t some_msr(void)
{
    static const uint32_t bases[] = {0,          0x10,       0x8b,       0xce,  0xfe,  0x140,      0x174,
                                     0x17a,      0x1a0,      0x1d9,      0x200, 0x250, 0x258,      0x268,
                                     0x277,      0x2ff,      0x480,      0x491, 0x830, 0xc0000080, 0xc0000100,
                                     0xc0010010, 0xc0010114, 0xc0011029, 0x34,  0x1b,  0x79,       0xda0};
    uint32_t which = input_next(COUNT(bases) + 1);
    return which < COUNT(bases) ? bases[which] + input_next(20) - 2 : (uint32_t)input_value();
}

// A number that is nearly good.
static uint64_t some_value(const struct axvcpu_x86_control *c, uint32_t msr)
{
    uint64_t v = input_value(), was = keep(msr) != NULL ? *keep(msr) : msr == 0xc0000080 ? c->efer : 0;
    switch (input_next(6)) {
    case 0: return was ^ UINT64_C(1) << input_next(64);
    case 1: return v & UINT64_C(0x0707070707070707);
    case 2: return (uint64_t)((int64_t)(v << 16) >> 16);
    case 3: return v & c->physical_mask & ~UINT64_C(0x700);
    case 4: return v & c->efer_valid;
    default: return v;
    }
}

void fuzz_msrs(const uint8_t *data, size_t size)
{
    struct axvcpu_x86_control c = {.physical_mask = UINT64_MAX};
    uint64_t got, want, *at = kept;
    input_at = data, input_left = size;
    c.physical_mask = (UINT64_C(1) << (32 + input_next(21))) - 1;
    c.efer_valid = 0xd01 & ~(input_next(2) ? 0x800u : 0);
    axvcpu_x86_control_reset(&c, true);
    c.cr4 = input_next(2) ? 0x1020 : 0x20;
    c.cr0 |= input_next(2) ? 0x80000001 : 0;
    for (size_t i = 0; i < COUNT(shadows); i++)
        for (uint32_t n = shadows[i].first; n <= shadows[i].last; n++)
            *at++ = shadows[i].reset;
    for (uint32_t n = 0; n < 12 && input_left > 0; n++) {
        uint32_t msr = some_msr();
        uint64_t value = some_value(&c, msr);
        struct axvcpu_x86_control was = c;
        int expected = expect_write(&c, msr, value);
        must(axvcpu_x86_write_msr(&c, msr, value) == expected);
        must(expected == OK || memcmp(&was, &c, sizeof c) == 0);
        if (expected == OK && keep(msr) != NULL)
            *keep(msr) = value;
        if (expected == OK && msr == 0xc0000080)
            must(c.efer == ((value & ~UINT64_C(0x400)) | (was.efer & 0x400)));
        expected = expect_read(&c, msr, &want);
        must(axvcpu_x86_read_msr(&c, msr, &got) == expected && got == want);
    }
    for (size_t i = 0; i < COUNT(shadows); i++) // a write into one is none into another
        for (uint32_t msr = shadows[i].first; msr <= shadows[i].last; msr++)
            must(axvcpu_x86_read_msr(&c, msr, &got) == OK && got == *keep(msr));
}
