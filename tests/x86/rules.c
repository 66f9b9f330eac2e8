// SPDX-License-Identifier: Apache-2.0
//
// What a guest may write: CR0, CR3, CR4, CR8, EFER, XCR0, debug registers and MSRs, with #GP and #UD as the manuals
// have them; CPUID; bitmaps; what is injected next. Tables of (state, write, fault). The numbers are the manuals'.
#include "decode.h"
#include "tests/tap.h"

#include <stdio.h>
#include <stdlib.h>

enum { OK = 0, GP = 13, UD = 6, DB = 1, ASK = 0x100, HARDWARE = 0x101 };
enum { PE = 1, TS = 8, ET = 0x10, NE = 0x20, WP = 0x10000, PAE = 0x20, LA57 = 0x1000, PCIDE = 0x20000, OSXSAVE = 0x40000, CET = 0x800000,
       VMXE = 0x2000, LME = 0x100, LMA = 0x400, NXE = 0x800, SVME = 0x1000, LONG_CS = 0x209b, CODE32 = 0x409b };
#define PG 0x80000000u
#define NW 0x20000000u
#define CD 0x40000000u
#define HIGH (UINT64_C(1) << 32)
#define FAR (UINT64_C(1) << 47)

static struct axvcpu_x86_control blank(void)
{
    struct axvcpu_x86_control c = {.cr4_valid = 0xfff9ff & ~(uint64_t)VMXE, .efer_valid = 0xd01, .xcr0_valid = 0x602e7,
                                   .physical_mask = (UINT64_C(1) << 40) - 1};
    axvcpu_x86_control_reset(&c, true);
    c.cs_access = CODE32;
    return c;
}

// ---- control registers

struct given {
    uint64_t cr0, cr3, cr4, efer;
    uint32_t cs;
};
#define REAL {ET, 0, 0, 0, 0x9b}
#define PROT {ET | PE, 0, 0, 0, CODE32}
#define PAGED {ET | PE | PG, 0, 0, 0, CODE32}
#define PAE_ {ET | PE | PG, 0, PAE, 0, CODE32}
#define READY(cr4, cs) {ET | PE, 0, cr4, LME, cs} /* LME, no paging yet */
#define LONG {ET | PE | PG, 0, PAE, LME | LMA, LONG_CS}
#define COMPAT {ET | PE | PG, 0, PAE, LME | LMA, CODE32}
#define LONG_(cr0, cr3, cr4) {ET | PE | PG | (cr0), cr3, PAE | (cr4), LME | LMA, LONG_CS}

static const struct {
    const char *name;
    struct given given;
    uint32_t cr;
    uint64_t value;
    int fault;
    uint64_t cr0, efer; // expected, if there is no fault: cr0, or the register itself
} writes[] = {
    {"CR0: protected mode", REAL, 0, PE, OK, PE | ET, 0},
    {"CR0: ET is always one", PROT, 0, PE, OK, PE | ET, 0},
    {"CR0: reserved bits of the low half are dropped", PROT, 0, PE | 0x1ffc0, OK, PE | ET | WP, 0},
    {"CR0: the high half", PROT, 0, PE | HIGH, GP, 0, 0},
    {"CR0: the high half in 64 bits", LONG, 0, PE | PG | HIGH, GP, 0, 0},
    {"CR0: PG without PE", REAL, 0, PG, GP, 0, 0},
    {"CR0: PE away, PG stays", PAGED, 0, PG, GP, 0, 0},
    {"CR0: NW without CD", PROT, 0, PE | NW, GP, 0, 0},
    {"CR0: NW with CD", PROT, 0, PE | NW | CD, OK, PE | NW | CD | ET, 0},
    {"CR0: CD alone", PROT, 0, PE | CD, OK, PE | CD | ET, 0},
    {"CR0: paging", PROT, 0, PE | PG, OK, PE | PG | ET, 0},
    {"CR0: paging with LME, without PAE", READY(0, CODE32), 0, PE | PG, GP, 0, 0},
    {"CR0: paging with LME and PAE: long mode", READY(PAE, CODE32), 0, PE | PG, OK, PE | PG | ET, LME | LMA},
    {"CR0: paging with LME, and CS.L", READY(PAE, LONG_CS), 0, PE | PG, GP, 0, 0},
    {"CR0: paging off in 64-bit code", LONG, 0, PE, GP, 0, 0},
    {"CR0: paging off in compatibility mode", COMPAT, 0, PE, OK, PE | ET, LME},
    {"CR0: paging off, with PCIDE", {ET | PE | PG, 0, PAE | PCIDE, LME | LMA, CODE32}, 0, PE, GP, 0, 0},
    {"CR0: WP off with CET", LONG_(WP, 0, CET), 0, PE | PG, GP, 0, 0},
    {"CR0: WP stays with CET", LONG_(WP, 0, CET), 0, PE | PG | WP | TS, OK, PE | PG | WP | TS | ET, LME | LMA},
    {"CR3: a page", LONG, 3, 0x1000, OK, 0x1000, 0},
    {"CR3: beyond physical addresses in long mode", LONG, 3, UINT64_C(1) << 40, GP, 0, 0},
    {"CR3: bit 63 without PCIDE", LONG, 3, UINT64_C(1) << 63, GP, 0, 0},
    {"CR3: bit 63 with PCIDE is not kept", LONG_(0, 0, PCIDE), 3, UINT64_C(1) << 63 | 0x1005, OK, 0x1005, 0},
    {"CR3: 32 bits", PAGED, 3, 0xfffff018, OK, 0xfffff018, 0},
    {"CR4: PAE", PROT, 4, PAE, OK, PAE, 0},
    {"CR4: a reserved bit", PROT, 4, UINT64_C(1) << 25, GP, 0, 0},
    {"CR4: the high half", LONG, 4, PAE | HIGH, GP, 0, 0},
    {"CR4: VMXE, which is hidden", PROT, 4, VMXE, GP, 0, 0},
    {"CR4: PAE away in long mode", LONG, 4, 0, GP, 0, 0},
    {"CR4: PAE away outside it", PAE_, 4, 0, OK, 0, 0},
    {"CR4: PAE away with LME before paging", READY(PAE, CODE32), 4, 0, OK, 0, 0},
    {"CR4: LA57 in long mode", LONG, 4, PAE | LA57, GP, 0, 0},
    {"CR4: LA57 away in long mode", LONG_(0, 0, LA57), 4, PAE, GP, 0, 0},
    {"CR4: LA57 before", READY(PAE, CODE32), 4, PAE | LA57, OK, PAE | LA57, 0},
    {"CR4: PCIDE outside long mode", PAE_, 4, PAE | PCIDE, GP, 0, 0},
    {"CR4: PCIDE with a PCID in CR3", LONG_(0, 0x1001, 0), 4, PAE | PCIDE, GP, 0, 0},
    {"CR4: PCIDE", LONG_(0, 0x1000, 0), 4, PAE | PCIDE, OK, PAE | PCIDE, 0},
    {"CR4: PCIDE stays, whatever is in CR3", LONG_(0, 0x1001, PCIDE), 4, PAE | PCIDE, OK, PAE | PCIDE, 0},
    {"CR4: CET without WP", LONG, 4, PAE | CET, GP, 0, 0},
    {"CR4: CET with WP", LONG_(WP, 0, 0), 4, PAE | CET, OK, PAE | CET, 0},
    {"CR8: 15", LONG, 8, 15, OK, 15, 0},
    {"CR8: 16", LONG, 8, 16, GP, 0, 0},
    {"CR8: the high half", LONG, 8, HIGH, GP, 0, 0},
    {"CR1", LONG, 1, 0, UD, 0, 0},
    {"CR5", LONG, 5, 0, UD, 0, 0},
    {"CR15", LONG, 15, 0, UD, 0, 0},
    // EFER as 0xe, XCR0 as 0xf
    {"EFER: LME", PROT, 0xe, LME, OK, LME, 0},
    {"EFER: a reserved bit", PROT, 0xe, 2, GP, 0, 0},
    {"EFER: SVME, which is hidden", PROT, 0xe, SVME, GP, 0, 0},
    {"EFER: LMA does not count", PROT, 0xe, LMA | NXE, OK, NXE, 0},
    {"EFER: LME with paging", PAE_, 0xe, LME, GP, 0, 0},
    {"EFER: LME away in long mode", LONG, 0xe, NXE, GP, 0, 0},
    {"EFER: NXE in long mode", LONG, 0xe, NXE | LME, OK, NXE | LME | LMA, 0},
};

static void control_registers(void)
{
    for (unsigned i = 0; i < COUNT(writes); i++) {
        struct axvcpu_x86_control c = blank(), was;
        const struct given *g = &writes[i].given;
        uint64_t got;
        int fault;
        c.cr0 = g->cr0, c.cr3 = g->cr3, c.cr4 = g->cr4, c.efer = g->efer, c.cs_access = g->cs;
        was = c;
        fault = writes[i].cr == 0xe ? axvcpu_x86_write_efer(&c, writes[i].value) : axvcpu_x86_write_cr(&c, writes[i].cr, writes[i].value);
        got = writes[i].cr == 0 ? c.cr0 : writes[i].cr == 3 ? c.cr3 : writes[i].cr == 4 ? c.cr4 : writes[i].cr == 8 ? c.cr8 : c.efer;
        if (fault != OK)
            ok(fault == writes[i].fault && memcmp(&c, &was, sizeof c) == 0, "%s: fault %d, nothing changed", writes[i].name, fault);
        else if (!ok(writes[i].fault == OK && got == writes[i].cr0 && (writes[i].cr != 0 || c.efer == writes[i].efer), "%s", writes[i].name))
            note("  got %" PRIx64 ", EFER %" PRIx64, got, c.efer);
    }
}

// TRAP 19: the XSETBV check that always failed, and what else it must be.
static void trap19_xcr0(void)
{
    static const struct {
        uint64_t value;
        uint32_t nr, cpl;
        uint64_t cr4;
        int fault;
    } given[] = {
        {1, 0, 0, OSXSAVE, OK}, {3, 0, 0, OSXSAVE, OK}, {7, 0, 0, OSXSAVE, OK}, {0xe7, 0, 0, OSXSAVE, OK}, {0x207, 0, 0, OSXSAVE, OK},
        {0x60007, 0, 0, OSXSAVE, OK}, {0x201, 0, 0, OSXSAVE, OK}, {0, 0, 0, OSXSAVE, GP}, {2, 0, 0, OSXSAVE, GP}, {5, 0, 0, OSXSAVE, GP},
        {0xe3, 0, 0, OSXSAVE, GP}, {0x27, 0, 0, OSXSAVE, GP}, {0x67, 0, 0, OSXSAVE, GP}, {0xc7, 0, 0, OSXSAVE, GP}, {0x1f, 0, 0, OSXSAVE, GP},
        {0x20007, 0, 0, OSXSAVE, GP}, {0x40007, 0, 0, OSXSAVE, GP}, {0x107, 0, 0, OSXSAVE, GP}, {UINT64_C(1) << 63 | 7, 0, 0, OSXSAVE, GP},
        {7, 1, 0, OSXSAVE, GP}, {7, 0, 3, OSXSAVE, GP}, {7, 0, 1, OSXSAVE, GP}, {7, 0, 0, 0, UD}, {7, 0, 3, 0, UD},
    };
    for (unsigned i = 0; i < COUNT(given); i++) {
        struct axvcpu_x86_control c = blank();
        c.cr4 = given[i].cr4;
        c.cpl = given[i].cpl;
        ok_int(axvcpu_x86_write_xcr(&c, given[i].nr, given[i].value), given[i].fault, "trap 19: XSETBV of %" PRIx64 " to %u at %u",
               given[i].value, given[i].nr, given[i].cpl);
        ok_u64(c.xcr0, given[i].fault == OK ? given[i].value : 1, "trap 19: XCR0 after it");
    }
}

static void cr_instructions(void)
{
    struct axvcpu_x86_control c = blank();
    struct axvcpu_x86_regs r = {.gpr = {0x1122334455667788, 0xffffffffffffffff}};
    struct axvcpu_x86_cr to = {0, 0, AXVCPU_X86_CR_TO, false, 0, false}, from = {0, 1, AXVCPU_X86_CR_FROM, false, 0, false},
                         clts = {0, 0, AXVCPU_X86_CR_CLTS, false, 0, false},
                         lmsw = {0, 0, AXVCPU_X86_CR_LMSW, false, 0, false},
                         smsw = {0, 1, AXVCPU_X86_CR_SMSW, false, 0, false};
    r.gpr[0] = 0xffffffff00000000 | PE | TS;
    ok_int(axvcpu_x86_do_cr(&c, &r, &to, 32), OK, "MOV CR0 takes 32 bits outside 64-bit code");
    ok_u64(c.cr0, PE | TS | ET, "and no more");
    ok_int(axvcpu_x86_do_cr(&c, &r, &to, 64), GP, "in 64-bit code it takes 64");
    ok_int(axvcpu_x86_do_cr(&c, &r, &from, 64), OK, "MOV from CR0");
    ok_u64(r.gpr[1], PE | TS | ET, "has all of the register");
    ok_int(axvcpu_x86_do_cr(&c, &r, &clts, 64), OK, "CLTS");
    ok_u64(c.cr0, PE | ET, "clears TS");
    r.gpr[0] = 0xfffe;
    ok_int(axvcpu_x86_do_cr(&c, &r, &lmsw, 16), OK, "LMSW");
    ok_u64(c.cr0, PE | 0xe | ET, "sets MP, EM, TS and cannot clear PE");
    c.cr0 = ET;
    c.cr0 = ET | PE;
    lmsw.sourced = true, lmsw.source = PE | TS;
    ok_int(axvcpu_x86_do_cr(&c, &r, &lmsw, 16), OK, "LMSW of a register that VMX does not tell");
    ok_u64(c.cr0, PE | TS | ET, "has what VMX says was in it");
    c.cr0 = ET;
    lmsw.sourced = false, lmsw.memory = true, lmsw.source = 1;
    ok_int(axvcpu_x86_do_cr(&c, &r, &lmsw, 16), OK, "LMSW of memory");
    ok_u64(c.cr0, PE | ET, "sets PE");
    r.gpr[1] = UINT64_MAX;
    ok_int(axvcpu_x86_do_cr(&c, &r, &smsw, 16), OK, "SMSW of 16 bits");
    ok_u64(r.gpr[1], 0xffffffffffff0011, "keeps the rest");
    ok_int(axvcpu_x86_do_cr(&c, &r, &smsw, 32), OK, "SMSW of 32 bits");
    ok_u64(r.gpr[1], 0x11, "clears it");
    smsw.memory = true;
    ok_int(axvcpu_x86_do_cr(&c, &r, &smsw, 32), ASK, "SMSW to memory is the caller's");
    to.nr = 2;
    ok_int(axvcpu_x86_do_cr(&c, &r, &to, 64), UD, "CR2 is the hardware's");
}

static void pdptes(void)
{
    static const struct {
        const char *name;
        struct given given;
        uint32_t cr;
        uint64_t value;
        bool needs;
    } given[] = {
        {"CR3 with PAE paging", PAE_, 3, 0x20, true},         {"CR3 without PAE", PAGED, 3, 0x1000, false},
        {"CR3 in long mode", LONG, 3, 0x1000, false},          {"CR3 before paging", {ET | PE, 0, PAE, 0, CODE32}, 3, 0, false},
        {"paging with PAE", {ET | PE, 0, PAE, 0, CODE32}, 0, PE | PG, true}, {"long mode", READY(PAE, CODE32), 0, PE | PG, false},
        {"CD with PAE paging", PAE_, 0, ET | PE | PG | CD, true}, {"TS with PAE paging", PAE_, 0, ET | PE | PG | TS, false},
        {"PAE while paging", PAGED, 4, PAE, true},             {"PGE with PAE paging", PAE_, 4, PAE | 0x80, true},
        {"OSFXSR with PAE paging", PAE_, 4, PAE | 0x200, false}, {"PAE away", PAE_, 4, 0, false},
    };
    static const struct {
        uint64_t entry;
        bool valid;
    } entries[] = {{0, true}, {UINT64_MAX - 1, true}, {1, true}, {0x1001, true}, {0xe01, true}, {0x19, true}, {3, false}, {5, false},
                   {0x21, false}, {0x41, false}, {0x81, false}, {0x101, false}, {UINT64_C(1) << 40 | 1, false}, {UINT64_C(1) << 63 | 1, false}};
    for (unsigned i = 0; i < COUNT(given); i++) {
        struct axvcpu_x86_control c = blank();
        c.cr0 = given[i].given.cr0, c.cr3 = given[i].given.cr3, c.cr4 = given[i].given.cr4, c.efer = given[i].given.efer;
        ok(axvcpu_x86_needs_pdptes(&c, given[i].cr, given[i].value) == given[i].needs, "PDPTEs: %s: %s", given[i].name,
           given[i].needs ? "loaded" : "not loaded");
    }
    for (unsigned i = 0; i < COUNT(entries); i++)
        for (unsigned at = 0; at < 4; at++) {
            uint64_t four[4] = {1, 1, 1, 1};
            four[at] = entries[i].entry;
            if (axvcpu_x86_pdptes_valid(four, (UINT64_C(1) << 40) - 1) != entries[i].valid || at == 3)
                ok(axvcpu_x86_pdptes_valid(four, (UINT64_C(1) << 40) - 1) == entries[i].valid, "PDPTE %" PRIx64 " is %s", entries[i].entry,
                   entries[i].valid ? "good" : "bad");
        }
}

static void debug_registers(void)
{
    static const struct {
        uint32_t nr;
        uint64_t cr4, dr7, value;
        bool write;
        int fault;
        uint32_t to;
        uint64_t stored;
    } given[] = {
        {0, 0, 0, UINT64_MAX, true, OK, 0, UINT64_MAX}, {3, 8, 0, 1, true, OK, 3, 1}, {4, 0, 0, 0, true, OK, 6, 0xffff0ff0},
        {5, 0, 0, 0, true, OK, 7, 0x400}, {4, 8, 0, 0, true, UD, 0, 0}, {5, 8, 0, 0, false, UD, 0, 0},
        {6, 0, 0, 0xffff, true, OK, 6, 0xffffefff}, {7, 0, 0, 0xffffffff, true, OK, 7, 0xffff2fff}, {6, 0, 0, HIGH, true, GP, 0, 0},
        {7, 0, 0, HIGH, true, GP, 0, 0}, {7, 0, 0x2000, 0, false, DB, 0, 0}, {0, 0, 0x2000, 0, true, DB, 0, 0}, {8, 0, 0, 0, true, UD, 0, 0},
        {6, 8, 0, 5, false, OK, 6, 5},
    };
    for (unsigned i = 0; i < COUNT(given); i++) {
        struct axvcpu_x86_control c = blank();
        uint32_t nr = given[i].nr;
        uint64_t value = given[i].value;
        int fault;
        c.cr4 = given[i].cr4;
        fault = axvcpu_x86_do_dr(&c, &nr, given[i].dr7, given[i].write, &value);
        ok(fault == given[i].fault && (fault != OK || (nr == given[i].to && value == given[i].stored)), "DR%u %s %" PRIx64 ", CR4 %" PRIx64
           ": %d", given[i].nr, given[i].write ? "gets" : "is read,", given[i].value, given[i].cr4, fault);
    }
}

// ---- MSRs

// TRAP 17 and 20: what is not in the table is denied, reads have 64 bits, and each register takes what the manual says.
static const struct {
    const char *name;
    uint32_t msr;
    uint64_t value;
    int write, read;
    uint64_t then; // read afterwards
} msrs[] = {
    {"EFER", 0xc0000080, LME, OK, OK, LME}, {"EFER, reserved", 0xc0000080, 2, GP, OK, 0},
    {"APIC_BASE", 0x1b, 0xfee00800, OK, OK, 0xfee00800}, {"APIC_BASE, reserved", 0x1b, 0xfee00801, GP, OK, 0xfee00900},
    {"APIC_BASE, x2APIC", 0x1b, 0xfee00c00, GP, OK, 0xfee00900}, {"APIC_BASE, beyond", 0x1b, UINT64_C(1) << 40, GP, OK, 0xfee00900},
    {"MISC_ENABLE", 0x1a0, 1, OK, OK, 1}, {"MISC_ENABLE, others", 0x1a0, 2, GP, OK, 1},
    {"TSC_AUX", 0xc0000103, UINT32_MAX, OK, OK, UINT32_MAX}, {"TSC_AUX, high", 0xc0000103, HIGH, GP, OK, 0},
    {"DEBUGCTL, nothing", 0x1d9, 0, OK, OK, 0}, {"DEBUGCTL, LBR", 0x1d9, 1, GP, OK, 0},
    {"MTRR base", 0x200, 0x1000006, OK, OK, 0x1000006}, {"MTRR base, type 2", 0x200, 2, GP, OK, 0}, {"MTRR base, bit 8", 0x200, 0x100, GP, OK, 0},
    {"MTRR base, beyond", 0x20e, UINT64_C(1) << 40, GP, OK, 0}, {"MTRR mask", 0x201, 0xff000800, OK, OK, 0xff000800},
    {"MTRR mask, a type", 0x20f, 6, GP, OK, 0}, {"fixed MTRR", 0x250, 0x0606060606060606, OK, OK, 0x0606060606060606},
    {"fixed MTRR, type 7", 0x26f, 0x0700000000000000, GP, OK, 0}, {"fixed MTRR, the last", 0x26f, 0x0100000000000000, OK, OK, 0x0100000000000000},
    {"MTRR default", 0x2ff, 0xc06, OK, OK, 0xc06}, {"MTRR default, type 3", 0x2ff, 3, GP, OK, 0}, {"MTRR default, address", 0x2ff, 0x1000, GP, OK, 0},
    {"MTRRCAP", 0xfe, 0x508, GP, OK, 0x508}, {"PAT", 0x277, 0x0007040600070406, HARDWARE, HARDWARE, 0}, {"PAT, type 2", 0x277, 2, GP, HARDWARE, 0},
    {"PAT, type 8", 0x277, 8, GP, HARDWARE, 0}, {"PAT, UC-", 0x277, 7, HARDWARE, HARDWARE, 0},
    {"LSTAR", 0xc0000082, 0xffffffff81000000, HARDWARE, HARDWARE, 0}, {"LSTAR, not canonical", 0xc0000082, FAR, GP, HARDWARE, 0},
    {"CSTAR, not canonical", 0xc0000083, FAR, GP, HARDWARE, 0}, {"SFMASK", 0xc0000084, 0x47700, HARDWARE, HARDWARE, 0},
    {"SFMASK, high", 0xc0000084, HIGH, GP, HARDWARE, 0}, {"STAR", 0xc0000081, UINT64_MAX, HARDWARE, HARDWARE, 0},
    {"FS base", 0xc0000100, FAR - 1, HARDWARE, HARDWARE, 0}, {"FS base, not canonical", 0xc0000100, FAR, GP, HARDWARE, 0},
    {"GS base, not canonical", 0xc0000101, FAR, GP, HARDWARE, 0}, {"kernel GS base, not canonical", 0xc0000102, FAR, GP, HARDWARE, 0},
    {"SYSENTER_CS", 0x174, 8, HARDWARE, HARDWARE, 0}, {"SYSENTER_CS, high", 0x174, HIGH, GP, HARDWARE, 0},
    {"SYSENTER_EIP, not canonical", 0x176, FAR, GP, HARDWARE, 0}, {"TSC", 0x10, UINT64_MAX, HARDWARE, HARDWARE, 0},
    {"FEATURE_CONTROL is locked", 0x3a, 5, GP, OK, 1}, {"VMX capabilities", 0x480, 0, GP, GP, 0}, {"VMX capabilities, the last", 0x491, 0, GP, GP, 0},
    {"VM_HSAVE_PA", 0xc0010117, 0x1000, GP, GP, 0}, {"VM_CR says no SVM", 0xc0010114, 0, GP, OK, 0x18},
    {"microcode revision", 0x8b, 5, OK, OK, 0}, {"MCG_CAP has no banks", 0x179, 0, GP, OK, 0}, {"MCG_STATUS", 0x17a, 4, OK, OK, 4},
    {"HWCR", 0xc0010015, 0x1000000, OK, OK, 0x1000000}, {"HWCR, others", 0xc0010015, 1, GP, OK, 0},
    {"SPEC_CTRL is not known", 0x48, 0, ASK, ASK, 0}, {"between", 0x251, 0, ASK, ASK, 0}, {"x2APIC is the caller's", 0x830, 0, ASK, ASK, 0},
    {"RAPL", 0x606, 0, ASK, ASK, 0}, {"the last", UINT32_MAX, 0, ASK, ASK, 0}, {"TSC deadline", 0x6e0, 0, ASK, ASK, 0},
    {"the kernel's own", 0x4b564d00, 0, ASK, ASK, 0}, {"XSS", 0xda0, 1, ASK, ASK, 0},
};

static void trap17_msrs(void)
{
    for (unsigned i = 0; i < COUNT(msrs); i++) {
        struct axvcpu_x86_control c = blank();
        uint64_t value = 0x5555;
        int write = axvcpu_x86_write_msr(&c, msrs[i].msr, msrs[i].value), read = axvcpu_x86_read_msr(&c, msrs[i].msr, &value);
        if (!ok(write == msrs[i].write && read == msrs[i].read && value == msrs[i].then, "MSR %x: %s: write %x, read %x", msrs[i].msr,
                msrs[i].name, write, read))
            note("  value %" PRIx64, value);
    }
}

static void msr_table(void)
{
    const struct axvcpu_x86_msr *last = NULL;
    struct axvcpu_x86_control c = blank();
    unsigned known = 0, slots = 0, bad = 0;
    for (uint32_t i = 0; i < AXVCPU_I_X86_MSRS; i++) {
        const struct axvcpu_x86_msr *m = &axvcpu_i_x86_msr_rows[i];
        bad += m->first > m->last || (last != NULL && m->first <= last->last);
        last = m;
        for (uint32_t msr = m->first; msr <= m->last; msr++, known++)
            bad += axvcpu_x86_msr_find(msr) != m;
    }
    ok(bad == 0, "the table of %u MSRs is sorted, and each is found", known);
    ok(axvcpu_x86_msr_find(2) == NULL && axvcpu_x86_msr_find(UINT32_MAX) == NULL, "what is not in it is not found");
    memset(c.shadow, 0, sizeof c.shadow); // every shadow has a place of its own
    for (uint32_t i = 0; i < AXVCPU_I_X86_MSRS; i++)
        for (uint32_t msr = axvcpu_i_x86_msr_rows[i].first; msr <= axvcpu_i_x86_msr_rows[i].last; msr++)
            if (axvcpu_i_x86_msr_rows[i].how == AXVCPU_X86_MSR_SHADOW && axvcpu_i_x86_msr_rows[i].shadow < AXVCPU_X86_SHADOWS) {
                uint64_t v, one = msr == 0x1b || (msr & 0xfff1u) == 0x201 ? 0x1000 : msr == 0xc0010015 ? 0x1000000 : 1;
                bad += axvcpu_x86_read_msr(&c, msr, &v) != 0 || v != 0 || axvcpu_x86_write_msr(&c, msr, one) != 0;
                slots++;
            }
    ok(bad == 0 && slots == AXVCPU_X86_SHADOWS, "%u shadows, each with its own place", slots);
}

// ---- bitmaps

// TRAP 20: the whole port space, both MSR ranges (three on SVM), nothing passed that is not in the table.
static void trap20_ports(void)
{
    static uint8_t map[AXVCPU_X86_IO_MAP + 1];
    unsigned open = 0;
    map[AXVCPU_X86_IO_MAP] = 0x5a;
    axvcpu_x86_io_map(map);
    for (uint32_t port = 0; port < 0x10000; port++)
        open += !axvcpu_x86_io_map_exits(map, port, 1);
    ok_u64(open, 0, "trap 20: every port exits");
    axvcpu_x86_io_map_set(map, 0xffff, 1, false);
    ok(!axvcpu_x86_io_map_exits(map, 0xffff, 1), "trap 20: the last port can be passed");
    ok(axvcpu_x86_io_map_exits(map, 0xffff, 2) && (map[0x1fff] & 0x7f) == 0x7f, "trap 20: a word at it still exits");
    axvcpu_x86_io_map_set(map, 0xfffe, 1000, false);
    ok(map[0x2000] == 0xff && map[AXVCPU_X86_IO_MAP] == 0x5a, "trap 20: nothing is written beyond the ports");
    axvcpu_x86_io_map_set(map, 0x7fff, 2, false);
    ok(map[0xfff] == 0x7f && map[0x1000] == 0xfe, "trap 20: from VMX's bitmap A to B");
    ok(!axvcpu_x86_io_map_exits(map, 0x7fff, 2) && axvcpu_x86_io_map_exits(map, 0x7fff, 4), "trap 20: across both");
    axvcpu_x86_io_map_set(map, 0x7fff, 2, true);
    ok(axvcpu_x86_io_map_exits(map, 0x8000, 1), "trap 20: and back");
}

static void trap20_msrs(bool svm)
{
    static uint8_t map[AXVCPU_X86_MSR_MAP_SVM + 1];
    static const uint32_t ranges[] = {0, 0xc0000000, 0xc0010000};
    uint32_t size = svm ? AXVCPU_X86_MSR_MAP_SVM : AXVCPU_X86_MSR_MAP_VMX;
    unsigned wrong = 0, passed = 0, bits = 0;
    const char *name = svm ? "SVM" : "VMX";
    map[size] = 0x5a;
    axvcpu_x86_msr_map(map, svm);
    for (unsigned r = 0; r < 3; r++)
        for (uint32_t i = 0; i < 0x2000; i++) {
            const struct axvcpu_x86_msr *m = axvcpu_x86_msr_find(ranges[r] + i);
            bool pass = m != NULL && m->how == AXVCPU_X86_MSR_PASS;
            passed += pass;
            wrong += axvcpu_x86_msr_map_exits(map, svm, ranges[r] + i, false) == pass;
            wrong += axvcpu_x86_msr_map_exits(map, svm, ranges[r] + i, true) == pass;
        }
    ok(wrong == 0 && passed == 11, "trap 20: %s: %u MSRs pass, all others exit", name, passed);
    for (uint32_t i = 0; i < size; i++)
        for (unsigned b = 0; b < 8; b++)
            bits += (map[i] >> b & 1) == 0;
    ok(bits == 2 * passed && map[size] == 0x5a, "trap 20: %s: two bits for each, in the map", name);
    ok(axvcpu_x86_msr_map_exits(map, svm, 0x2000, false) && axvcpu_x86_msr_map_exits(map, svm, 0x40000000, true),
       "trap 20: %s: what has no bit exits", name);
    ok(!axvcpu_x86_msr_map_set(map, svm, 0x2000, false, false) && !axvcpu_x86_msr_map_set(map, svm, 0xbfffffff, false, false),
       "trap 20: %s: ... and cannot be passed", name);
    ok(axvcpu_x86_msr_map_set(map, svm, 0xc0001fff, false, true) && !axvcpu_x86_msr_map_exits(map, svm, 0xc0001fff, false) &&
           axvcpu_x86_msr_map_exits(map, svm, 0xc0001fff, true), "trap 20: %s: the end of the high range can", name);
    ok(axvcpu_x86_msr_map_set(map, svm, 0xc0010117, false, false) == svm, "trap 20: %s: AMD's range %s", name, svm ? "can" : "cannot");
}

static void trap20_layout(void)
{
    static uint8_t map[AXVCPU_X86_MSR_MAP_SVM];
    axvcpu_x86_msr_map(map, false); // SDM 3, 25.6.9: read low, read high, write low, write high, 1 KiB each
    ok((map[0x174 / 8] >> 4 & 1) == 0 && (map[0x800 + 0x174 / 8] >> 4 & 1) == 0, "VMX: SYSENTER_CS's bits");
    ok((map[0x400 + 0x100 / 8] & 7) == 0 && (map[0xc00 + 0x100 / 8] & 7) == 0, "VMX: the bases' bits");
    axvcpu_x86_msr_map(map, true); // APM 2, 15.11: two bits for each, 2 KiB a range
    ok((map[0x174 / 4] & 3) == 0, "SVM: SYSENTER_CS's bits");
    ok((map[0x800 + 0x100 / 4] & 0x3f) == 0, "SVM: the bases' bits");
}

// ---- events

// TRAP 21 (second part): nothing is lost, vectors 16 to 31 are interrupts, a window is asked for while something waits.
#define EVENT(type, vector) {AXVCPU_X86_EVENT(type, vector), 0, 0}
enum { IF = 0x202, NOTHING = AXVCPU_X86_TOOK_NOTHING, AGAIN = AXVCPU_X86_TOOK_AGAIN, EXCEPTION = AXVCPU_X86_TOOK_EXCEPTION,
       NMI = AXVCPU_X86_TOOK_NMI, INTERRUPT = AXVCPU_X86_TOOK_INTERRUPT, SHUTDOWN = AXVCPU_X86_TOOK_SHUTDOWN };
static const struct {
    const char *name;
    struct axvcpu_x86_events given;
    uint32_t taken, info;
    bool window, nmi_window;
    uint32_t put_back;
} decisions[] = {
    {"nothing", {.vector = -1, .rflags = IF}, NOTHING, 0, false, false, 0},
    {"an interrupt", {.vector = 0x30, .rflags = IF}, INTERRUPT, 0x80000030, false, false, 0},
    {"vector 0", {.vector = 0, .rflags = IF}, INTERRUPT, 0x80000000, false, false, 0},
    {"vector 16 is an interrupt", {.vector = 16, .rflags = IF}, INTERRUPT, 0x80000010, false, false, 0},
    {"vector 31 is an interrupt", {.vector = 31, .rflags = IF}, INTERRUPT, 0x8000001f, false, false, 0},
    {"vector 255", {.vector = 255, .rflags = IF}, INTERRUPT, 0x800000ff, false, false, 0},
    {"more are queued", {.vector = 0x30, .more = true, .rflags = IF}, INTERRUPT, 0x80000030, true, false, 0},
    {"IF is clear", {.vector = 0x30, .rflags = 2}, NOTHING, 0, true, false, 0},
    {"after STI", {.vector = 0x30, .rflags = IF, .shadow = true}, NOTHING, 0, true, false, 0},
    {"the task priority holds it back", {.vector = 0x30, .rflags = IF, .tpr = 3}, NOTHING, 0, false, false, 0},
    {"above the task priority", {.vector = 0x40, .rflags = IF, .tpr = 3}, INTERRUPT, 0x80000040, false, false, 0},
    {"one class is enough above", {.vector = 0x40, .more = true, .rflags = IF, .tpr = 3}, INTERRUPT, 0x80000040, true, false, 0},
    {"the last vector of the class", {.vector = 0x3f, .rflags = IF, .tpr = 3}, NOTHING, 0, false, false, 0},
    {"held back while IF is clear", {.vector = 0x3f, .rflags = 2, .tpr = 3}, NOTHING, 0, false, false, 0},
    {"above it while IF is clear", {.vector = 0x40, .rflags = 2, .tpr = 3}, NOTHING, 0, true, false, 0},
    {"the highest priority holds all back", {.vector = 0xff, .rflags = IF, .tpr = 15}, NOTHING, 0, false, false, 0},
    {"but not an NMI", {.vector = 0xff, .nmi = true, .rflags = IF, .tpr = 15}, NMI, 0x80000202, false, false, 0},
    {"task priority 0 holds nothing back", {.vector = 8, .rflags = IF}, INTERRUPT, 0x80000008, false, false, 0},
    {"an NMI", {.vector = -1, .nmi = true, .rflags = 2}, NMI, 0x80000202, false, false, 0},
    {"an NMI before an interrupt", {.vector = 0x30, .nmi = true, .rflags = IF}, NMI, 0x80000202, true, false, 0},
    {"an NMI in an NMI", {.vector = -1, .nmi = true, .nmi_blocked = true, .rflags = 2}, NOTHING, 0, false, true, 0},
    {"an interrupt in an NMI", {.vector = 0x30, .nmi = true, .nmi_blocked = true, .rflags = IF}, INTERRUPT, 0x80000030, false, true, 0},
    {"an NMI after MOV SS", {.vector = -1, .nmi = true, .shadow = true, .rflags = IF}, NOTHING, 0, false, true, 0},
    {"under way again", {.again = EVENT(INTERRUPT, 0x31), .vector = -1, .rflags = 2}, AGAIN, 0x80000031, false, false, 0},
    {"under way before a higher one", {.again = EVENT(INTERRUPT, 0x31), .vector = 0x40, .rflags = IF}, AGAIN, 0x80000031, true, false, 0},
    {"under way before an NMI", {.again = EVENT(SOFTWARE, 0x80), .vector = -1, .nmi = true, .rflags = IF}, AGAIN, 0x80000480, false, true, 0},
    {"an exception", {.exception = EVENT(EXCEPTION, 6), .vector = -1, .rflags = 2}, EXCEPTION, 0x80000306, false, false, 0},
    {"an exception before all", {.exception = EVENT(EXCEPTION, 6), .vector = 0x30, .nmi = true, .rflags = IF}, EXCEPTION, 0x80000306, true, true, 0},
    {"an exception, and an interrupt under way", {.again = EVENT(INTERRUPT, 0x31), .exception = EVENT(EXCEPTION, 14), .vector = -1, .rflags = IF},
     EXCEPTION, 0x8000030e, false, false, 0x80000031},
    {"an exception, and an NMI under way", {.again = EVENT(NMI, 2), .exception = EVENT(EXCEPTION, 13), .vector = -1, .rflags = IF},
     EXCEPTION, 0x8000030d, false, false, 0x80000202},
    {"#GP in #GP", {.again = EVENT(EXCEPTION, 13), .exception = EVENT(EXCEPTION, 13), .vector = -1, .rflags = 2}, EXCEPTION, 0x80000b08, false, false, 0},
    {"#GP in #DF", {.again = EVENT(EXCEPTION, 8), .exception = EVENT(EXCEPTION, 13), .vector = 0x30, .rflags = 2}, SHUTDOWN, 0, true, false, 0},
};

static void trap21_decisions(void)
{
    for (unsigned i = 0; i < COUNT(decisions); i++) {
        struct axvcpu_x86_decision d;
        axvcpu_x86_decide(&decisions[i].given, &d);
        if (!ok(d.taken == decisions[i].taken && d.inject.info == decisions[i].info && d.window == decisions[i].window &&
                    d.nmi_window == decisions[i].nmi_window && d.put_back.info == decisions[i].put_back, "trap 21: %s", decisions[i].name))
            note("  took %u, injects %x, windows %d %d, puts back %x", d.taken, d.inject.info, d.window, d.nmi_window, d.put_back.info);
    }
}

// SDM 3, 11.8.3.1: a vector needs a higher class than CR8's.
static void task_priority(void)
{
    unsigned wrong = 0;
    for (uint64_t cr8 = 0; cr8 < 16; cr8++)
        for (uint32_t vector = 0; vector < 256; vector++)
            wrong += (vector >= axvcpu_x86_lowest(cr8)) != (cr8 == 0 || vector >> 4 > cr8);
    ok_u64(wrong, 0, "CR8: each value and vector");
    ok_u64(axvcpu_x86_lowest(15), 256, "CR8 15: none");
}

// SDM 3, 11.6.1 and 11.12.9: the interrupt command register.
enum { IPI = AXVCPU_EXIT_SEND_IPI, UP = AXVCPU_EXIT_CPU_UP };
static const struct {
    const char *name;
    uint64_t icr;
    bool x2apic;
    uint32_t kind;
    uint64_t target, value; // vector, or entry
    bool to_all, to_self;
} icrs[] = {
    {"an interrupt", UINT64_C(0x0300000000004041), false, IPI, 3, 0x41, false, false},
    {"xAPIC: the target has eight bits", UINT64_C(0xff12345600004041), false, IPI, 0xff, 0x41, false, false},
    {"x2APIC: the target has 32 bits", UINT64_C(0x1234567800004041), true, IPI, 0x12345678, 0x41, false, false},
    {"lowest priority", UINT64_C(0x01000000000041ff), false, IPI, 1, 0xff, false, false},
    {"vector 0", UINT64_C(0x0100000000004000), false, IPI, 1, 0, false, false},
    {"a logical destination", UINT64_C(0x0100000000004841), false, IPI, 1, 0x41, false, false},
    {"SMI", UINT64_C(0x0100000000004200), false, IPI, 1, 0, false, false},
    {"NMI", UINT64_C(0x0100000000004400), false, IPI, 1, 0, false, false},
    {"self", UINT64_C(0x0000000000044041), false, IPI, 0, 0x41, false, true},
    {"all", UINT64_C(0x0000000000084041), false, IPI, 0, 0x41, true, true},
    {"all but self", UINT64_C(0x00000000000c4041), false, IPI, 0, 0x41, true, false},
    {"x2APIC: all", UINT64_C(0x0000000700084041), true, IPI, 7, 0x41, true, true},
    {"INIT", UINT64_C(0x0200000000004500), false, IPI, 2, 0, false, false},
    {"INIT, its level ends", UINT64_C(0x0200000000008500), false, IPI, 2, 0, false, false},
    {"INIT to all but self", UINT64_C(0x00000000000c4500), false, IPI, 0, 0, true, false},
    {"start-up", UINT64_C(0x0200000000004608), false, UP, 2, 0x8000, false, false},
    {"start-up at the last page", UINT64_C(0x02000000000046ff), false, UP, 2, 0xff000, false, false},
    {"start-up at 0", UINT64_C(0x0200000000004600), false, UP, 2, 0, false, false},
    {"x2APIC: start-up", UINT64_C(0x0000010000004608), true, UP, 0x100, 0x8000, false, false},
    {"start-up to all but self", UINT64_C(0x00000000000c4608), false, IPI, 0, 8, true, false},
    {"start-up to a logical destination", UINT64_C(0x0200000000004e08), false, IPI, 2, 8, false, false},
};

static void icr(void)
{
    for (unsigned i = 0; i < COUNT(icrs); i++) {
        struct axvcpu_exit x = {0};
        axvcpu_x86_icr(icrs[i].icr, icrs[i].x2apic, &x);
        bool good = x.kind == icrs[i].kind;
        if (good && x.kind == UP)
            good = x.cpu_up.target == icrs[i].target && x.cpu_up.entry == icrs[i].value && x.cpu_up.arg == 0;
        else if (good)
            good = x.ipi.target == icrs[i].target && x.ipi.vector == icrs[i].value && x.ipi.aux == (uint32_t)icrs[i].icr &&
                   x.ipi.to_all == icrs[i].to_all && x.ipi.to_self == icrs[i].to_self;
        ok(good, "ICR: %s", icrs[i].name);
    }
}

// SDM 3, 11.4: which writes into the xAPIC's page are the command register's.
static void xapic(void)
{
    static const struct {
        const char *name;
        uint64_t base, gpa;
        uint32_t width;
        bool ours;
        uint32_t kind, high;
    } rows[] = {
        {"its lower half sends", 0xfee00900, 0xfee00300, 4, true, IPI, 0x3000000},
        {"its upper half is kept", 0xfee00900, 0xfee00310, 4, true, AXVCPU_EXIT_NOTHING, 0x5004041},
        {"an application processor's", 0xfee00800, 0xfee00300, 4, true, IPI, 0x3000000},
        {"turned off", 0xfee00100, 0xfee00300, 4, false, 0, 0x3000000},
        {"moved", 0xfec80900, 0xfec80300, 4, true, IPI, 0x3000000},
        {"moved, at the old place", 0xfec80900, 0xfee00300, 4, false, 0, 0x3000000},
        {"above 4 GiB", UINT64_C(0x1fee00900), UINT64_C(0x1fee00300), 4, true, IPI, 0x3000000},
        {"same low half of the address", 0xfee00900, UINT64_C(0x1fee00300), 4, false, 0, 0x3000000},
        {"one byte", 0xfee00900, 0xfee00300, 1, false, 0, 0x3000000},
        {"two bytes", 0xfee00900, 0xfee00300, 2, false, 0, 0x3000000},
        {"eight bytes", 0xfee00900, 0xfee00300, 8, false, 0, 0x3000000},
        {"not aligned", 0xfee00900, 0xfee00301, 4, false, 0, 0x3000000},
        {"the gap behind it", 0xfee00900, 0xfee00304, 4, false, 0, 0x3000000},
        {"TPR", 0xfee00900, 0xfee00080, 4, false, 0, 0x3000000},
        {"EOI", 0xfee00900, 0xfee000b0, 4, false, 0, 0x3000000},
        {"the page below", 0xfee00900, 0xfedff300, 4, false, 0, 0x3000000},
    };
    for (unsigned i = 0; i < COUNT(rows); i++) {
        struct axvcpu_exit x = {.kind = AXVCPU_EXIT_MMIO_WRITE};
        uint32_t high = 0x3000000;
        bool ours = axvcpu_x86_xapic(rows[i].base, rows[i].gpa, rows[i].width, 0x5004041, &high, &x);
        ok(ours == rows[i].ours && high == rows[i].high && x.kind == (ours ? rows[i].kind : (uint32_t)AXVCPU_EXIT_MMIO_WRITE) &&
               (!ours || x.kind != IPI || x.ipi.target == 3), "xAPIC: %s", rows[i].name);
    }
}

// SDM 3, 26.5.1: what the preemption timer counts.
static void timer_counts(void)
{
    static const struct {
        uint64_t ticks;
        uint32_t rate, counts;
    } rows[] = {
        {1, 0, 2}, {1, 5, 2}, {32, 5, 2}, {33, 5, 3}, {64, 5, 3}, {10000, 0, 10001}, {10000, 5, 314}, {1, 31, 2},
        {UINT64_C(0xfffffffe), 0, UINT32_MAX}, {UINT64_C(0xffffffff), 0, 0}, {UINT64_C(0xfffffffe) << 5, 5, UINT32_MAX},
        {(UINT64_C(0xfffffffe) << 5) + 1, 5, 0}, {UINT64_MAX, 5, 0}, {UINT64_MAX, 0, 0}, {UINT64_MAX, 31, 0},
    };
    for (unsigned i = 0; i < COUNT(rows); i++)
        ok_u64(axvcpu_x86_timer_counts(rows[i].ticks, rows[i].rate), rows[i].counts, "preemption timer: %llu ticks, rate %u",
               (unsigned long long)rows[i].ticks, rows[i].rate);
}

// SDM 3, tables 6-4 and 6-5.
static void double_faults(void)
{
    static const char classes[] = "cbbbbbbbdbcccc" "pbbbbbp" "cbbbbbbbbbb"; // benign, contributory, page fault, double fault
    static const char outcome[4][4] = {{'s', 's', 's', 's'}, {'s', 'd', 's', 's'}, {'s', 'd', 'd', 's'}, {'s', '3', '3', 's'}};
    unsigned wrong = 0;
    for (uint32_t a = 0; a < 32; a++)
        for (uint32_t b = 0; b < 32; b++) {
            struct axvcpu_x86_event e = axvcpu_x86_combine(axvcpu_x86_exception(a, 1), axvcpu_x86_exception(b, 2));
            static const char order[] = "bcpd";
            char want = outcome[strchr(order, classes[a]) - order][strchr(order, classes[b]) - order];
            uint32_t vector = e.info & 0xff;
            wrong += want == '3' ? e.info != 0 : want == 'd' ? vector != 8 || e.error != 0 : vector != b || e.info == 0;
        }
    ok_u64(wrong, 0, "32 x 32 exceptions in exceptions");
    for (uint32_t v = 0; v < 32; v++) {
        bool error = v == 8 || (v >= 10 && v <= 14) || v == 17 || v == 21 || v == 29 || v == 30;
        struct axvcpu_x86_event e = axvcpu_x86_exception(v, 0x99);
        if (((e.info & 0x800) != 0) != error || e.error != (error ? 0x99u : 0))
            ok(false, "exception %u has %s error code", v, error ? "an" : "no");
    }
    ok(true, "error codes where the manual has them");
}

// ---- CPUID

static void all_ones(void *arg, uint32_t leaf, uint32_t subleaf, uint32_t reg[4])
{
    for (int i = 0; i < 4; i++)
        reg[i] = UINT32_MAX;
    if (leaf == 0x80000008)
        reg[0] = 0x3030;
    if (leaf == 0xd && subleaf > 1)
        reg[0] = 64 * subleaf, reg[1] = 576 + 100 * subleaf;
    axvcpu_x86_cpuid_mask(arg, leaf, subleaf, reg);
}

static void none(void *arg, uint32_t leaf, uint32_t subleaf, uint32_t reg[4])
{
    (void)arg, (void)leaf, (void)subleaf;
    memset(reg, 0, 16);
}

// TRAP 19: leaf 1 cleared the wrong register's bit; here each hidden bit is named.
static void trap19_cpuid(void)
{
    static const struct {
        const char *name;
        uint32_t leaf, reg, bit;
        bool shown;
    } bits[] = {
        {"VMX", 1, 2, 5, false}, {"SMX", 1, 2, 6, false}, {"MONITOR", 1, 2, 3, false}, {"PDCM", 1, 2, 15, false}, {"x2APIC", 1, 2, 21, false},
        {"TSC deadline", 1, 2, 24, false}, {"MCE", 1, 3, 7, false}, {"MCA", 1, 3, 14, false}, {"ACPI", 1, 3, 22, false}, {"thermal monitor", 1, 3, 29, false},
        {"SSE3", 1, 2, 0, true}, {"XSAVE", 1, 2, 26, true}, {"AVX", 1, 2, 28, true}, {"PAE", 1, 3, 6, true}, {"APIC", 1, 3, 9, true}, {"SSE2", 1, 3, 26, true},
        {"a hypervisor", 1, 2, 31, true}, {"SGX", 7, 1, 2, false}, {"INVPCID", 7, 1, 10, false}, {"RTM", 7, 1, 11, false}, {"PT", 7, 1, 25, false},
        {"SMEP", 7, 1, 7, true}, {"AVX2", 7, 1, 5, true}, {"UMIP", 7, 2, 2, true}, {"WAITPKG", 7, 2, 5, false}, {"CET_SS", 7, 2, 7, false}, {"RDPID", 7, 2, 22, false},
        {"PKS", 7, 2, 31, false}, {"SPEC_CTRL", 7, 3, 26, false}, {"ARCH_CAPABILITIES", 7, 3, 29, false}, {"CET_IBT", 7, 3, 20, false}, {"AMX", 7, 3, 24, false},
        {"SVM", 0x80000001, 2, 2, false}, {"OSVW", 0x80000001, 2, 9, false}, {"SKINIT", 0x80000001, 2, 12, false}, {"RDTSCP", 0x80000001, 3, 27, false},
        {"SYSCALL", 0x80000001, 3, 11, true}, {"NX", 0x80000001, 3, 20, true}, {"long mode", 0x80000001, 3, 29, true}, {"LAHF", 0x80000001, 2, 0, true},
        {"invariant TSC", 0x80000007, 3, 8, true}, {"IBPB", 0x80000008, 1, 12, false}, {"counters", 0xa, 0, 0, false}, {"SVM features", 0x8000000a, 3, 0, false},
        {"PT", 0x14, 0, 0, false}, {"the host's hypervisor", 0x40000000, 1, 0, false},
    };
    struct axvcpu_x86_control c = blank();
    uint32_t reg[4];
    axvcpu_x86_control_valid(&c, all_ones, &c);
    for (unsigned i = 0; i < COUNT(bits); i++) {
        all_ones(&c, bits[i].leaf, 0, reg);
        ok((reg[bits[i].reg] >> bits[i].bit & 1) == bits[i].shown, "trap 19: leaf %x: %s is %s", bits[i].leaf, bits[i].name,
           bits[i].shown ? "shown" : "hidden");
    }
    all_ones(&c, 1, 0, reg);
    ok((reg[2] >> 27 & 1) == 0, "OSXSAVE is clear");
    c.cr4 = OSXSAVE | AXVCPU_X86_CR4_PKE;
    all_ones(&c, 1, 0, reg);
    ok((reg[2] >> 27 & 1) == 1, "OSXSAVE is CR4's");
    all_ones(&c, 7, 0, reg);
    ok((reg[2] >> 4 & 1) == 1, "OSPKE is CR4's");
    all_ones(&c, 7, 1, reg);
    ok(reg[0] == 0 && reg[1] == 0 && reg[2] == 0 && reg[3] == 0, "leaf 7 has no further subleaves");
    all_ones(&c, 0xd, 0, reg);
    ok(reg[0] == 0x2e7 && reg[1] == 576 && reg[2] == 576 + 164 * 9 && reg[3] == 0, "XSAVE: x87 only, and all");
    c.xcr0 = 7;
    all_ones(&c, 0xd, 0, reg);
    ok_u64(reg[1], 576 + 164 * 2, "XSAVE: with AVX");
    all_ones(&c, 0xd, 1, reg);
    ok(reg[0] == 5 && reg[1] == 0 && reg[2] == 0, "XSAVE: no compaction, no XSAVES");
    all_ones(&c, 0xd, 3, reg);
    ok(reg[0] == 0, "XSAVE: no MPX");
    c.xcr0_valid = 0x7;
    all_ones(&c, 0xd, 0, reg);
    ok_u64(reg[0], 7, "XSAVE: a part for which there is no room is not shown");
    all_ones(&c, 0xd, 9, reg);
    ok(reg[0] == 0 && reg[1] == 0, "... nor its place");
    ok_u64(c.cr4_valid & (VMXE | CET | 0x4000 | 0x40 | 0x100), 0, "CR4 has nothing that CPUID hides");
    ok_u64(c.cr4_valid & (PAE | OSXSAVE | PCIDE | 0x300000), PAE | OSXSAVE | PCIDE | 0x300000, "... and what it shows");
    ok_u64(c.efer_valid & 0xd01, 0xd01, "EFER too");
    ok_u64(c.efer_valid & SVME, 0, "... without SVME");
    ok_u64(c.physical_mask, (UINT64_C(1) << 48) - 1, "physical addresses");
    axvcpu_x86_control_valid(&c, none, &c);
    ok(c.cr4_valid == 0 && c.efer_valid == 0 && c.xcr0_valid == 1 && c.physical_mask == (UINT64_C(1) << 36) - 1, "a CPU that has nothing");
}

// What XCR0 there is for a guest whose state has one page; AMX (bits 17, 18) and MPX (3, 4) it never has.
static void xsave_room(void)
{
    static const struct {
        uint64_t valid, expected;
        uint32_t limit, end[10];
        const char *name;
    } given[] = {
        {0x602e7, 0x2e7, 4096, {0, 0, 832, 0, 0, 1152, 1664, 2688, 0, 2696}, "with AMX beside it"},
        {0x2ff, 0x2e7, 4096, {0, 0, 832, 1024, 1088, 1152, 1664, 2688, 0, 2696}, "with MPX beside it"},
        {0x7, 7, 832, {0, 0, 832}, "to the byte"},
        {0x7, 3, 831, {0, 0, 832}, "a byte less: no AVX"},
        {0x2e7, 0xe7, 2688, {0, 0, 832, 0, 0, 1152, 1664, 2688, 0, 2696}, "no room for keys"},
        {0x2e7, 7, 2000, {0, 0, 832, 0, 0, 1152, 1664, 2688, 0, 2696}, "... nor for AVX-512"},
        {0x2e7, 3, 600, {0, 0, 832, 0, 0, 1152, 1664, 2688, 0, 2696}, "... nor for AVX"},
        {0x207, 0x7, 4096, {0, 0, 832, 0, 0, 0, 0, 0, 0, 8192}, "a part that is far out"},
        {3, 3, 4096, {0}, "SSE alone"},
    };
    for (unsigned i = 0; i < sizeof given / sizeof given[0]; i++) {
        struct axvcpu_x86_control c = {.xcr0_valid = given[i].valid};
        memcpy(c.xsave_end, given[i].end, sizeof c.xsave_end);
        ok_u64(axvcpu_x86_xcr0_within(&c, given[i].limit), given[i].expected, "XSAVE area: %s", given[i].name);
    }
}

// ---- CPUID on KVM: of CPU `id` among `cpus`, what an answer of all zeros and one of all ones become (SDM 2, CPUID;
// APM 3, appendix E)

enum { EAX, EBX, ECX, EDX };
static const char *const reg_names[] = {"EAX", "EBX", "ECX", "EDX"};

static const struct sane {
    uint32_t leaf, subleaf, id, cpus;
    bool apic;
    uint32_t reg;
    uint32_t from0, from1;
    const char *what;
} sanes[] = {
    {1, 0, 0, 1, true, EBX, 0x00010000, 0x0001ffff, "one CPU: number 0 of 1"},
    {1, 0, 2, 3, true, EBX, 0x02040000, 0x0204ffff, "number 2, room for 4"},
    {1, 0, 7, 8, true, EBX, 0x07080000, 0x0708ffff, "number 7 of 8"},
    {1, 0, 255, 256, true, EBX, 0xffff0000, 0xffffffff, "number 255 of 256: as many as the field can say"},
    {1, 0, 0, 1, true, EDX, 0x00000000, 0xefffffff, "no HTT"},
    {1, 0, 0, 2, true, EDX, 0x10000000, 0xffffffff, "HTT"},
    {1, 0, 0, 1, true, ECX, 0x80000000, 0xffffffdf, "trap_19: under a hypervisor, without VMX"},
    {1, 0, 0, 1, false, ECX, 0x80000000, 0xfedfffdf, "nor x2APIC and TSC deadline without a local APIC"},
    {1, 0, 0, 1, true, EAX, 0, 0xffffffff, "the model is the host's"},
    {4, 0, 0, 4, true, EAX, 0, 0x0c00ffff | 3u << 14, "caches: 4 cores, the outer ones for all of them"},
    {4, 1, 0, 4, true, EBX, 0, 0xffffffff, "their size is the host's"},
    {0x80000001, 0, 0, 1, true, ECX, 0, 0xfffffffb, "without SVM"},
    {0x80000001, 0, 0, 1, true, EDX, 0, 0xffffffff, "trap_19: in the right register"},
    {7, 0, 0, 1, true, EBX, 0, 0xffffffff, "trap_19: leaf 7 is the host's"},
    {0x0b, 0, 5, 6, true, EAX, 0, 0, "threads: no bit"},
    {0x0b, 0, 5, 6, true, EBX, 1, 1, "one thread a core"},
    {0x0b, 0, 5, 6, true, ECX, 0x100, 0x100, "level 0 is threads"},
    {0x0b, 0, 5, 6, true, EDX, 5, 5, "number 5"},
    {0x0b, 1, 5, 6, true, EAX, 3, 3, "cores: three bits"},
    {0x0b, 1, 5, 6, true, EBX, 6, 6, "six of them"},
    {0x0b, 1, 5, 6, true, ECX, 0x201, 0x201, "level 1 is cores"},
    {0x0b, 2, 5, 6, true, ECX, 2, 2, "level 2 is none"},
    {0x0b, 2, 5, 6, true, EBX, 0, 0, "and has nothing"},
    {0x0b, 2, 5, 6, true, EDX, 5, 5, "but the number"},
    {0x1f, 1, 1, 2, true, EBX, 2, 2, "the same in leaf 1FH"},
    {0x80000008, 0, 0, 6, true, ECX, 0x3005, 0xffff3f05, "six threads, three bits"},
    {0x80000008, 0, 0, 6, true, EAX, 0, 0xffffffff, "address widths are the host's"},
    {0x8000001d, 3, 0, 4, true, EAX, 0, 0xfc00ffff | 3u << 14, "AMD's caches"},
    {0x8000001e, 0, 3, 4, true, EAX, 3, 3, "AMD: number 3"},
    {0x8000001e, 0, 3, 4, true, EBX, 3, 3, "core 3, one thread"},
    {0x8000001e, 0, 3, 4, true, ECX, 0, 0, "node 0"},
    {0x40000001, 0, 0, 1, false, EAX, 0, 0xffff172f, "KVM's own: without what needs a local APIC"},
    {0x40000001, 0, 0, 1, true, EAX, 0, 0xffffffff, "KVM's own: all of it with one"},
    {0x12345, 0, 1, 2, true, EAX, 0, 0xffffffff, "an unknown leaf stays"},
};

static void sane_cpuid(void)
{
    for (size_t i = 0; i < COUNT(sanes); i++) {
        const struct sane *s = &sanes[i];
        struct axvcpu_x86_cpuid zeros = {.leaf = s->leaf, .subleaf = s->subleaf, .indexed = true}, ones = zeros;
        memset(ones.reg, 0xff, sizeof ones.reg);
        axvcpu_x86_cpuid_sane(&zeros, 1, s->id, s->cpus, s->apic);
        axvcpu_x86_cpuid_sane(&ones, 1, s->id, s->cpus, s->apic);
        ok_u64(zeros.reg[s->reg], s->from0, "leaf 0x%x.%u %s of nothing: %s", s->leaf, s->subleaf, reg_names[s->reg], s->what);
        ok_u64(ones.reg[s->reg], s->from1, "leaf 0x%x.%u %s of all: %s", s->leaf, s->subleaf, reg_names[s->reg], s->what);
    }
    struct axvcpu_x86_cpuid none = {.leaf = 1};
    axvcpu_x86_cpuid_sane(&none, 1, 0, 0, true);
    ok_u64(none.reg[EBX], 0x10000, "no CPU is taken for one");
}

static void reset(void)
{
    struct axvcpu_x86_control c = blank();
    axvcpu_x86_control_reset(&c, false);
    ok(c.cr0 == 0x60000010 && c.cr4 == 0 && c.efer == 0 && c.xcr0 == 1, "reset: CR0 is 60000010");
    ok_u64(c.shadow[AXVCPU_X86_SHADOW_APIC_BASE], 0xfee00800, "reset: an application processor's APIC_BASE");
}

int main(void)
{
    tap_begin(30);
    reset();
    xsave_room();
    control_registers();
    trap19_xcr0();
    cr_instructions();
    pdptes();
    debug_registers();
    trap17_msrs();
    msr_table();
    trap20_ports();
    trap20_msrs(false);
    trap20_msrs(true);
    trap20_layout();
    trap21_decisions();
    task_priority();
    icr();
    xapic();
    timer_counts();
    double_faults();
    trap19_cpuid();
    ok_u64(axvcpu_x86_bits(AXVCPU_X86_CR0_PE, 0, 0, AXVCPU_X86_AR_L), 16, "trap 19: CS.L counts only in IA-32e mode");
    ok_u64(axvcpu_x86_bits(AXVCPU_X86_CR0_PE, AXVCPU_X86_EFER_LMA, 0, AXVCPU_X86_AR_L), 64, "trap 19: ... and there it does");
    sane_cpuid();
    return tap_done();
}
