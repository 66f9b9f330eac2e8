// SPDX-License-Identifier: Apache-2.0
//
// Why an entry failed: every rule, broken alone, is named, and nothing else; whole states break none; of two
// broken rules both are named.
#include "decode.h"
#include "tests/tap.h"

#include <stdio.h>
#include <stdlib.h>

enum base { LONG, RESTRICTED, PAE, VM86, BASES }; // RESTRICTED: as LONG, without the control of that name

struct change { int field; uint64_t value; };
struct row {
    int rule;
    enum base base;
    struct change change[4]; // the last ones are 0, 0 and do nothing: VPID and EVENT have rows that begin with them
    int changes;
};

enum {
    PIN = 0x3f, PRIMARY = (int)(0x0401e172u | 1u << 31 | 1u << 21 | 1u << 25 | 1u << 28), SECONDARY = 0xa3,
    EXIT = 0x36dff | 1 << 9 | 1 << 19 | 1 << 21, ENTRY = 0x11ff | 1 << 9 | 1 << 14 | 1 << 15,
};
#define FAR (UINT64_C(1) << 47) /* not canonical, no physical address */

#define F(name) AXVCPU_X86_VMCS_##name
#define ROW1(rule, base, f, v) {AXVCPU_I_X86_RULE_##rule, base, {{F(f), v}}, 1},
#define ROW2(rule, base, f, v, g, w) {AXVCPU_I_X86_RULE_##rule, base, {{F(f), v}, {F(g), w}}, 2},
#define ROW3(rule, base, f, v, g, w, h, x) {AXVCPU_I_X86_RULE_##rule, base, {{F(f), v}, {F(g), w}, {F(h), x}}, 3},
#define ROW4(rule, base, f, v, g, w, h, x, i, y) {AXVCPU_I_X86_RULE_##rule, base, {{F(f), v}, {F(g), w}, {F(h), x}, {F(i), y}}, 4},
#define SEGMENT(seg, access) \
    ROW1(seg##_VM86_BASE, VM86, GUEST_##seg##_BASE, 0x1001) ROW1(seg##_VM86_LIMIT, VM86, GUEST_##seg##_LIMIT, 0xfffe) \
    ROW1(seg##_VM86_ACCESS, VM86, GUEST_##seg##_ACCESS, 0x93) ROW1(seg##_S, LONG, GUEST_##seg##_ACCESS, (access) & ~0x10) \
    ROW1(seg##_P, LONG, GUEST_##seg##_ACCESS, (access) & ~0x80) ROW1(seg##_RESERVED, LONG, GUEST_##seg##_ACCESS, (access) | 0x100) \
    ROW1(seg##_G, LONG, GUEST_##seg##_ACCESS, (access) & ~0x8000)
#define DATA(seg) \
    ROW1(seg##_TYPE, LONG, GUEST_##seg##_ACCESS, 0xc092) ROW1(seg##_DPL, RESTRICTED, GUEST_##seg, 0x13) SEGMENT(seg, 0xc093)
#define SYSTEM(seg, access, other) \
    ROW1(seg##_TI, LONG, GUEST_##seg, 0x1c) ROW1(seg##_BASE, LONG, GUEST_##seg##_BASE, FAR) \
    ROW1(seg##_TYPE, LONG, GUEST_##seg##_ACCESS, other) ROW1(seg##_S, LONG, GUEST_##seg##_ACCESS, (access) | 0x10) \
    ROW1(seg##_P, LONG, GUEST_##seg##_ACCESS, (access) & ~0x80) ROW1(seg##_RESERVED, LONG, GUEST_##seg##_ACCESS, (access) | 0x20000) \
    ROW1(seg##_G, LONG, GUEST_##seg##_LIMIT, 0x100000)

static const struct row rows[] = {
    ROW1(PIN_FIXED, LONG, PIN_CONTROLS, PIN & ~2) ROW1(PRIMARY_FIXED, LONG, PRIMARY_CONTROLS, (uint32_t)PRIMARY & ~2u)
    ROW1(SECONDARY_FIXED, LONG, SECONDARY_CONTROLS, SECONDARY | 1 << 30) ROW1(CR3_TARGETS_MAX, LONG, CR3_TARGETS, 5)
    ROW1(IO_BITMAP_A_PAGE, LONG, IO_BITMAP_A, 0x1001) ROW1(IO_BITMAP_B_PAGE, LONG, IO_BITMAP_B, FAR)
    ROW1(MSR_BITMAP_PAGE, LONG, MSR_BITMAP, 0x800) ROW1(VIRTUAL_APIC_PAGE, LONG, VIRTUAL_APIC, 0x10)
    ROW1(TPR_THRESHOLD_BITS, LONG, TPR_THRESHOLD, 16) ROW1(NMI_VIRTUAL, LONG, PIN_CONTROLS, PIN & ~8)
    ROW2(NMI_WINDOW, LONG, PRIMARY_CONTROLS, (uint32_t)PRIMARY | 1u << 22, PIN_CONTROLS, PIN & ~0x20)
    ROW1(APIC_ACCESS_PAGE, LONG, APIC_ACCESS, 4)
    ROW2(APIC_SHADOW, LONG, PRIMARY_CONTROLS, (uint32_t)PRIMARY & ~(1u << 21), SECONDARY_CONTROLS, SECONDARY | 1 << 8)
    ROW1(APIC_MODES, LONG, SECONDARY_CONTROLS, SECONDARY | 1 << 4)
    ROW2(APIC_DELIVERY, LONG, SECONDARY_CONTROLS, SECONDARY | 1 << 9, PIN_CONTROLS, PIN & ~1)
    ROW1(POSTED_NEEDS, LONG, PIN_CONTROLS, PIN | 0x80)
    ROW4(POSTED_VECTOR_BITS, LONG, PIN_CONTROLS, PIN | 0x80, SECONDARY_CONTROLS, SECONDARY | 1 << 9, EXIT_CONTROLS, EXIT | 1 << 15,
         POSTED_VECTOR, 256)
    ROW4(POSTED_DESCRIPTOR_PAGE, LONG, PIN_CONTROLS, PIN | 0x80, SECONDARY_CONTROLS, SECONDARY | 1 << 9, EXIT_CONTROLS, EXIT | 1 << 15,
         POSTED_DESCRIPTOR, 0x20)
    ROW1(VPID_ZERO, LONG, VPID, 0) ROW1(EPTP_FORM, LONG, EPTP, 0x100019) ROW1(EPTP_RESERVED, LONG, EPTP, 0x10009e)
    ROW1(UNRESTRICTED_EPT, LONG, SECONDARY_CONTROLS, SECONDARY & ~2)
    ROW1(PML_EPT, LONG, SECONDARY_CONTROLS, (SECONDARY & ~0x82) | 1 << 17)
    ROW2(PML_ADDRESS_PAGE, LONG, SECONDARY_CONTROLS, SECONDARY | 1 << 17, PML_ADDRESS, 1)
    ROW1(EXIT_FIXED, LONG, EXIT_CONTROLS, EXIT & ~2) ROW1(EXIT_TIMER, LONG, EXIT_CONTROLS, EXIT | 1 << 22)
    ROW2(EXIT_MSR_STORE_PAGE, LONG, EXIT_MSR_STORES, 1, EXIT_MSR_STORE, 8)
    ROW2(EXIT_MSR_LOAD_PAGE, LONG, EXIT_MSR_LOADS, 1, EXIT_MSR_LOAD, 8)
    ROW1(ENTRY_FIXED, LONG, ENTRY_CONTROLS, ENTRY & ~2) ROW1(ENTRY_SMM, LONG, ENTRY_CONTROLS, ENTRY | 1 << 10)
    ROW1(EVENT_TYPE, LONG, ENTRY_EVENT, 0x80000130) ROW1(EVENT_VECTOR, LONG, ENTRY_EVENT, 0x80000203)
    ROW1(EVENT_ERROR, LONG, ENTRY_EVENT, 0x8000030d) ROW1(EVENT_RESERVED, LONG, ENTRY_EVENT, 0x80001202)
    ROW2(ENTRY_ERROR_BITS, LONG, ENTRY_EVENT, 0x80000b0d, ENTRY_ERROR, 0x10000)
    ROW2(ENTRY_LENGTH_RANGE, LONG, ENTRY_EVENT, 0x80000430, ENTRY_LENGTH, 0)
    ROW2(ENTRY_MSR_LOAD_PAGE, LONG, ENTRY_MSR_LOADS, 1, ENTRY_MSR_LOAD, 8)

    ROW1(HOST_CR0_FIXED, LONG, HOST_CR0, 0x80000001) ROW1(HOST_CR4_FIXED, LONG, HOST_CR4, 0x20)
    ROW1(HOST_CR3_BITS, LONG, HOST_CR3, FAR) ROW1(HOST_SYSENTER_ESP_CANONICAL, LONG, HOST_SYSENTER_ESP, FAR)
    ROW1(HOST_SYSENTER_EIP_CANONICAL, LONG, HOST_SYSENTER_EIP, FAR) ROW1(HOST_PAT_TYPES, LONG, HOST_PAT, 0x020400)
    ROW1(HOST_EFER_RESERVED, LONG, HOST_EFER, 0xd03) ROW1(HOST_EFER_LMA, LONG, HOST_EFER, 0x801)
    ROW1(HOST_ES_RPL, LONG, HOST_ES, 0x11) ROW1(HOST_CS_RPL, LONG, HOST_CS, 9) ROW1(HOST_SS_RPL, LONG, HOST_SS, 0x13)
    ROW1(HOST_DS_RPL, LONG, HOST_DS, 0x14) ROW1(HOST_FS_RPL, LONG, HOST_FS, 1) ROW1(HOST_GS_RPL, LONG, HOST_GS, 1)
    ROW1(HOST_TR_RPL, LONG, HOST_TR, 0x1b) ROW1(HOST_CS_NULL, LONG, HOST_CS, 0) ROW1(HOST_TR_NULL, LONG, HOST_TR, 0)
    ROW1(HOST_FS_BASE_CANONICAL, LONG, HOST_FS_BASE, FAR) ROW1(HOST_GS_BASE_CANONICAL, LONG, HOST_GS_BASE, FAR)
    ROW1(HOST_TR_BASE_CANONICAL, LONG, HOST_TR_BASE, FAR) ROW1(HOST_GDTR_BASE_CANONICAL, LONG, HOST_GDTR_BASE, FAR)
    ROW1(HOST_IDTR_BASE_CANONICAL, LONG, HOST_IDTR_BASE, FAR)
    ROW2(HOST_SIZE, LONG, EXIT_CONTROLS, EXIT & ~0x200, HOST_EFER, 0x801) ROW1(HOST_PAE, LONG, HOST_CR4, 0x2000)
    ROW1(HOST_RIP_CANONICAL, LONG, HOST_RIP, FAR)

    ROW1(CR0_FIXED, LONG, GUEST_CR0, 0x80000001) ROW1(CR0_PG, LONG, GUEST_CR0, 0x80000020)
    ROW1(CR4_FIXED, LONG, GUEST_CR4, 0x20) ROW1(CR4_CET, LONG, GUEST_CR4, 0x802020) ROW1(DEBUGCTL_BITS, LONG, GUEST_DEBUGCTL, 4)
    ROW1(IA32E_PG, LONG, GUEST_CR0, 0x21) ROW1(IA32E_PAE, LONG, GUEST_CR4, 0x2000) ROW1(PCIDE, PAE, GUEST_CR4, 0x22020)
    ROW1(CR3_BITS, LONG, GUEST_CR3, FAR) ROW1(DR7_BITS, LONG, GUEST_DR7, UINT64_C(1) << 32)
    ROW1(GUEST_SYSENTER_ESP_CANONICAL, LONG, GUEST_SYSENTER_ESP, FAR)
    ROW1(GUEST_SYSENTER_EIP_CANONICAL, LONG, GUEST_SYSENTER_EIP, FAR) ROW1(PAT_TYPES, LONG, GUEST_PAT, 0x0300)
    ROW1(EFER_RESERVED, LONG, GUEST_EFER, 0xd03) ROW1(EFER_LMA, LONG, GUEST_EFER, 0x801)
    ROW1(SS_RPL, RESTRICTED, GUEST_CS, 0x0b) ROW1(CS_BASE, LONG, GUEST_CS_BASE, UINT64_C(1) << 32)
    ROW1(SS_BASE, LONG, GUEST_SS_BASE, UINT64_C(1) << 32) ROW1(DS_BASE, LONG, GUEST_DS_BASE, UINT64_C(1) << 32)
    ROW1(ES_BASE, LONG, GUEST_ES_BASE, UINT64_C(1) << 32) ROW1(GUEST_FS_BASE_CANONICAL, LONG, GUEST_FS_BASE, FAR)
    ROW1(GUEST_GS_BASE_CANONICAL, LONG, GUEST_GS_BASE, FAR) ROW1(CS_TYPE, LONG, GUEST_CS_ACCESS, 0xa091)
    ROW1(CS_DPL, LONG, GUEST_CS_ACCESS, 0xa0bb) ROW1(CS_D, LONG, GUEST_CS_ACCESS, 0xe09b)
    ROW1(SS_TYPE, LONG, GUEST_SS_ACCESS, 0xc095) ROW2(SS_DPL, RESTRICTED, GUEST_SS_ACCESS, 0xc0b3, GUEST_CS_ACCESS, 0xa09f)
    DATA(DS) DATA(ES) DATA(FS) DATA(GS) SEGMENT(CS, 0xa09b) SEGMENT(SS, 0xc093)
    SYSTEM(TR, 0x8b, 0x83) ROW1(TR_USABLE, LONG, GUEST_TR_ACCESS, 0x1008b) SYSTEM(LDTR, 0x82, 0x83)
    ROW1(GUEST_GDTR_BASE_CANONICAL, LONG, GUEST_GDTR_BASE, FAR) ROW1(GUEST_IDTR_BASE_CANONICAL, LONG, GUEST_IDTR_BASE, FAR)
    ROW1(GDTR_LIMIT, LONG, GUEST_GDTR_LIMIT, 0x10000) ROW1(IDTR_LIMIT, LONG, GUEST_IDTR_LIMIT, 0x10000)
    ROW1(RIP_RANGE, LONG, GUEST_RIP, FAR << 1) ROW1(RIP_RANGE, PAE, GUEST_RIP, UINT64_C(1) << 32) ROW1(RFLAGS_RESERVED, LONG, GUEST_RFLAGS, 0xa)
    ROW3(RFLAGS_VM, VM86, ENTRY_CONTROLS, ENTRY, GUEST_CR4, 0x2020, GUEST_EFER, 0x500)
    ROW1(RFLAGS_IF, LONG, ENTRY_EVENT, 0x80000030) ROW1(ACTIVITY_KNOWN, LONG, GUEST_ACTIVITY, 4)
    ROW3(ACTIVITY_HLT, LONG, GUEST_ACTIVITY, 1, GUEST_SS_ACCESS, 0xc0f3, GUEST_CS_ACCESS, 0xa0fb)
    ROW2(ACTIVITY_BLOCKED, LONG, GUEST_ACTIVITY, 2, GUEST_INTERRUPTIBILITY, 2)
    ROW2(ACTIVITY_EVENT, LONG, GUEST_ACTIVITY, 3, ENTRY_EVENT, 0x80000202)
    ROW1(BLOCKING_RESERVED, LONG, GUEST_INTERRUPTIBILITY, 0x20)
    ROW2(BLOCKING_BOTH, LONG, GUEST_INTERRUPTIBILITY, 3, GUEST_RFLAGS, 0x202)
    ROW1(BLOCKING_STI, LONG, GUEST_INTERRUPTIBILITY, 1)
    ROW3(BLOCKING_INTERRUPT, LONG, GUEST_INTERRUPTIBILITY, 2, GUEST_RFLAGS, 0x202, ENTRY_EVENT, 0x80000030)
    ROW2(BLOCKING_NMI, LONG, GUEST_INTERRUPTIBILITY, 8, ENTRY_EVENT, 0x80000202)
    ROW1(BLOCKING_SMI, LONG, GUEST_INTERRUPTIBILITY, 4) ROW1(PENDING_RESERVED, LONG, GUEST_PENDING_DEBUG, 0x10)
    ROW2(PENDING_BS, LONG, GUEST_PENDING_DEBUG, 0x4000, GUEST_INTERRUPTIBILITY, 2) ROW1(LINK_VALID, LONG, LINK_POINTER, 1)
    ROW1(PDPTE0, PAE, GUEST_PDPTE0, 3) ROW1(PDPTE1, PAE, GUEST_PDPTE1, 0x21) ROW1(PDPTE2, PAE, GUEST_PDPTE2, FAR | 1)
    ROW1(PDPTE3, PAE, GUEST_PDPTE3, 0x101) ROW2(ACTIVITY_EVENT, LONG, GUEST_ACTIVITY, 1, ENTRY_EVENT, 0x80000303)
    ROW2(ACTIVITY_EVENT, LONG, GUEST_ACTIVITY, 2, ENTRY_EVENT, 0x80000301) ROW1(EPTP_FORM, LONG, EPTP, 0x100026)
};

// What every state begins with; 0 what is not here.
static const struct change common[] = {
    {F(VPID), 1}, {F(HOST_CS), 8}, {F(HOST_SS), 16}, {F(HOST_TR), 24}, {F(EPTP), 0x10001e}, {F(LINK_POINTER), UINT64_MAX},
    {F(GUEST_PAT), 0x0007040600070406}, {F(HOST_PAT), 0x0007040600070406}, {F(HOST_EFER), 0xd01}, {F(PIN_CONTROLS), PIN},
    {F(PRIMARY_CONTROLS), (uint32_t)PRIMARY}, {F(SECONDARY_CONTROLS), SECONDARY}, {F(EXIT_CONTROLS), EXIT}, {F(ENTRY_CONTROLS), ENTRY},
    {F(HOST_CR0), 0x80000021}, {F(HOST_CR4), 0x2020}, {F(HOST_RIP), 0xffffffff80000000}, {F(GUEST_EFER), 0xd01},
    {F(GUEST_CR0), 0x80000021}, {F(GUEST_CR4), 0x2020}, {F(GUEST_CS), 8}, {F(GUEST_SS), 16}, {F(GUEST_DS), 16}, {F(GUEST_ES), 16},
    {F(GUEST_FS), 16}, {F(GUEST_GS), 16}, {F(GUEST_TR), 24}, {F(GUEST_LDTR), 24}, {F(GUEST_CS_ACCESS), 0xa09b},
    {F(GUEST_SS_ACCESS), 0xc093}, {F(GUEST_DS_ACCESS), 0xc093}, {F(GUEST_ES_ACCESS), 0xc093}, {F(GUEST_FS_ACCESS), 0xc093},
    {F(GUEST_GS_ACCESS), 0xc093}, {F(GUEST_TR_ACCESS), 0x8b}, {F(GUEST_LDTR_ACCESS), 0x82}, {F(GUEST_CS_LIMIT), UINT32_MAX},
    {F(GUEST_SS_LIMIT), UINT32_MAX}, {F(GUEST_DS_LIMIT), UINT32_MAX}, {F(GUEST_ES_LIMIT), UINT32_MAX},
    {F(GUEST_FS_LIMIT), UINT32_MAX}, {F(GUEST_GS_LIMIT), UINT32_MAX}, {F(GUEST_TR_LIMIT), 0x67}, {F(GUEST_LDTR_LIMIT), 0xffff},
    {F(GUEST_RIP), 0x1000}, {F(GUEST_RFLAGS), 2}, {F(GUEST_DR7), 0x400},
};

static void narrow(struct axvcpu_x86_vmx_state *s)
{
    s->field[F(ENTRY_CONTROLS)] = ENTRY & ~0x200;
    s->field[F(GUEST_EFER)] = 0;
    s->field[F(GUEST_CS_ACCESS)] = 0xc09b;
}

static void vm86(struct axvcpu_x86_vmx_state *s)
{
    narrow(s);
    s->field[F(GUEST_RFLAGS)] = 0x20002;
    s->field[F(GUEST_CR4)] = 0x2000;
    for (int i = 0; i < 6; i++) {
        s->field[F(GUEST_ES) + i] = 0x100;
        s->field[F(GUEST_ES_BASE) + i] = 0x1000;
        s->field[F(GUEST_ES_LIMIT) + i] = 0xffff;
        s->field[F(GUEST_ES_ACCESS) + i] = 0xf3;
    }
}

static void make(struct axvcpu_x86_vmx_state *s, enum base base)
{
    *s = (struct axvcpu_x86_vmx_state){
        .pin = UINT64_C(0xff) << 32 | 0x16, .primary = UINT64_C(0xf7ffffff) << 32 | 0x0401e172,
        .secondary = UINT64_C(0xbfffffff) << 32, .exit = UINT64_C(0xffffffff) << 32 | 0x36dff,
        .entry = UINT64_C(0xffffffff) << 32 | 0x11ff, .cr0_fixed0 = 0x80000021, .cr0_fixed1 = UINT32_MAX,
        .cr4_fixed0 = 0x2000, .cr4_fixed1 = 0x1ff6fff, .misc = 0x400c1c0 & ~UINT64_C(0x4000000), .ept = 0x4140,
        .physical_mask = (UINT64_C(1) << 40) - 1, .efer_valid = 0xd01};
    s->misc |= 4 << 16;
    for (unsigned i = 0; i < COUNT(common); i++)
        s->field[common[i].field] = common[i].value;
    if (base == RESTRICTED)
        s->field[F(SECONDARY_CONTROLS)] = SECONDARY & ~0x80;
    if (base == PAE)
        narrow(s);
    if (base == VM86)
        vm86(s);
}

static void change(struct axvcpu_x86_vmx_state *s, const struct row *r)
{
    for (int i = 0; i < r->changes; i++)
        s->field[r->change[i].field] = r->change[i].value;
}

static bool names(const struct axvcpu_x86_broken *b, uint32_t n, const struct axvcpu_i_x86_rule *rule)
{
    for (uint32_t i = 0; i < n && i < 8; i++)
        if (strcmp(b[i].field, rule->field) == 0 && strcmp(b[i].rule, rule->text) == 0)
            return true;
    return false;
}

static void show(const struct axvcpu_x86_broken *b, uint32_t n)
{
    char text[2000];
    axvcpu_x86_explain_print(text, sizeof text, b, n < 8 ? n : 8);
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n"))
        note("  %s", line);
}

static void vmx_alone(void)
{
    static unsigned seen[AXVCPU_I_X86_VMX_RULE_COUNT];
    struct axvcpu_x86_vmx_state s;
    struct axvcpu_x86_broken b[8];
    for (const struct row *r = rows; r < rows + COUNT(rows); r++) {
        const struct axvcpu_i_x86_rule *rule = &axvcpu_i_x86_vmx_rules[r->rule];
        uint32_t n;
        make(&s, r->base);
        change(&s, r);
        n = axvcpu_x86_vmx_explain(&s, b, 8);
        seen[r->rule]++;
        if (!ok(n == 1 && names(b, n, rule), "VMX: %s: %s", rule->field, rule->text))
            show(b, n);
    }
    for (unsigned i = 0; i < COUNT(seen); i++)
        if (seen[i] == 0)
            ok(false, "VMX rule %s: %s has a row", axvcpu_i_x86_vmx_rules[i].field, axvcpu_i_x86_vmx_rules[i].text);
    note("%u VMX rules", (unsigned)COUNT(seen));
}

// One would undo what the other has changed.
static bool meet(const struct row *r, const struct row *q)
{
    bool met = false;
    for (int i = 0; i < r->changes; i++)
        for (int k = 0; k < q->changes; k++)
            met |= r->change[i].field == q->change[k].field;
    return met;
}

static void vmx_pairs(void)
{
    struct axvcpu_x86_vmx_state s;
    struct axvcpu_x86_broken b[8];
    for (unsigned i = 0; i + 11 < COUNT(rows); i += 5) {
        const struct row *r = &rows[i], *q = &rows[i + 11];
        uint32_t n;
        if (r->base != q->base || meet(r, q))
            continue;
        make(&s, r->base);
        change(&s, r);
        change(&s, q);
        n = axvcpu_x86_vmx_explain(&s, b, 8);
        if (!ok(n >= 2 && names(b, n, &axvcpu_i_x86_vmx_rules[r->rule]) && names(b, n, &axvcpu_i_x86_vmx_rules[q->rule]),
                "VMX: both %s and %s", axvcpu_i_x86_vmx_rules[r->rule].field, axvcpu_i_x86_vmx_rules[q->rule].field))
            show(b, n);
    }
}

static void vmx_whole(void)
{
    static const char *const names_of[BASES] = {"long mode", "long mode, not unrestricted", "PAE paging", "virtual-8086 mode"};
    // what SDM 3, 26.3.1.5 lets wake or kill: HLT by NMIs, #DB and #MC; shutdown by NMIs and #MC
    static const struct {
        uint32_t state, event;
    } sleeping[] = {{0, 0x80000306}, {1, 0x80000202}, {1, 0x80000301}, {1, 0x80000312}, {2, 0x80000202}, {2, 0x80000312}};
    struct axvcpu_x86_vmx_state s;
    struct axvcpu_x86_broken b[8];
    char text[100];
    for (int base = 0; base < BASES; base++) {
        uint32_t n;
        make(&s, (enum base)base);
        n = axvcpu_x86_vmx_explain(&s, b, 8);
        if (!ok(n == 0, "VMX: %s: no rule is broken", names_of[base]))
            show(b, n);
    }
    axvcpu_x86_explain_print(text, sizeof text, b, 0);
    ok_str(text, "no rule broken", "and that is what it says");
    make(&s, LONG);
    s.field[F(GUEST_CR0)] = 0x20; // real mode
    s.field[F(ENTRY_CONTROLS)] &= ~UINT64_C(0x200);
    s.field[F(GUEST_EFER)] = 0;
    s.field[F(GUEST_CS_ACCESS)] = s.field[F(GUEST_SS_ACCESS)] = 0x93;
    s.field[F(GUEST_CS_LIMIT)] = s.field[F(GUEST_SS_LIMIT)] = 0xffff;
    ok_u64(axvcpu_x86_vmx_explain(&s, b, 8), 0, "VMX: real mode with CS of type 3: no rule is broken");
    make(&s, LONG);
    s.field[F(GUEST_RIP)] = FAR;
    ok_u64(axvcpu_x86_vmx_explain(&s, b, 8), 0, "VMX: RIP just beyond what is canonical: no rule is broken");
    make(&s, LONG);
    for (unsigned i = 0; i < COUNT(sleeping); i++) {
        s.field[F(GUEST_ACTIVITY)] = sleeping[i].state;
        s.field[F(ENTRY_EVENT)] = sleeping[i].event;
        ok_u64(axvcpu_x86_vmx_explain(&s, b, 8), 0, "VMX: %x into activity state %u: no rule is broken", sleeping[i].event, sleeping[i].state);
    }
    make(&s, LONG);
    s.field[F(GUEST_LDTR_ACCESS)] = s.field[F(GUEST_DS_ACCESS)] = 0x10000;
    s.field[F(GUEST_ES_ACCESS)] = s.field[F(GUEST_FS_ACCESS)] = s.field[F(GUEST_GS_ACCESS)] = 0x10000;
    ok_u64(axvcpu_x86_vmx_explain(&s, b, 8), 0, "VMX: unusable segments: no rule is broken");
}

static void fields(void)
{
    ok_u64(axvcpu_x86_vmcs_field(F(GUEST_RIP)), 0x681e, "a field's encoding");
    ok_u64(axvcpu_x86_vmcs_field(F(VPID)), 0, "the first field's encoding");
    ok_u64(axvcpu_x86_vmcs_field(AXVCPU_X86_VMCS_COUNT), UINT32_MAX, "no such field");
    for (uint32_t i = 1; i < AXVCPU_X86_VMCS_COUNT; i++)
        if (axvcpu_x86_vmcs_field(i) <= axvcpu_x86_vmcs_field(i - 1))
            ok(false, "encodings rise: %x", axvcpu_x86_vmcs_field(i));
}

// ---- SVM

#define B(name) AXVCPU_X86_VMCB_##name
#define SVM1(rule, f, v) {AXVCPU_I_X86_RULE_##rule, LONG, {{B(f), v}}, 1},
#define SVM2(rule, f, v, g, w) {AXVCPU_I_X86_RULE_##rule, LONG, {{B(f), v}, {B(g), w}}, 2},
static const struct row svm_rows[] = {
    SVM1(SVM_SVME, EFER, 0xd01) SVM1(SVM_EFER_RESERVED, EFER, 0x1d03) SVM1(SVM_NW, CR0, 0xa0000011)
    SVM1(SVM_CR0_HIGH, CR0, 0x180000011) SVM1(SVM_CR3, CR3, FAR) SVM1(SVM_CR4, CR4, 0x8020)
    SVM1(SVM_DR6, DR6, 0x1ffff0ff0) SVM1(SVM_DR7, DR7, 0x100000400) SVM1(SVM_PAE, CR4, 0) SVM1(SVM_PE, CR0, 0x80000010)
    SVM1(SVM_CS, CS_ATTRIB, 0x69b) SVM1(SVM_CET, CR4, 0x800020) SVM2(SVM_S_CET, S_CET, 0x40, CR4, 0x800020)
    SVM1(SVM_VMRUN, INTERCEPTS2, 2) SVM1(SVM_ASID_ZERO, ASID, 0) SVM1(SVM_ASID_MAX, ASID, 16)
    SVM1(SVM_IOPM, IOPM_BASE, 0xffffffe000) SVM1(SVM_MSRPM, MSRPM_BASE, 0xfffffff000) SVM1(SVM_EVENTINJ, EVENTINJ, 0x80000302)
    SVM1(SVM_EVENTINJ, EVENTINJ, 0x80000130) SVM1(SVM_EVENTINJ, EVENTINJ, 0x80000320) SVM1(SVM_EVENTINJ, EVENTINJ, 0x80000630)
    SVM1(SVM_N_CR3, N_CR3, FAR) SVM1(SVM_G_PAT, G_PAT, 2)
};

static void svm_make(struct axvcpu_x86_svm_state *s)
{
    static const struct change good[] = {
        {B(INTERCEPTS), 0x18000000}, {B(INTERCEPTS2), 1}, {B(IOPM_BASE), 0xffffffd000}, {B(MSRPM_BASE), 0xffffffe000},
        {B(ASID), 15}, {B(NESTED), 1}, {B(N_CR3), 0x1000}, {B(CS_ATTRIB), 0xa9b}, {B(EFER), 0x1d01}, {B(CR4), 0x20},
        {B(CR3), 0x1000}, {B(CR0), 0x80000011}, {B(DR7), 0x400}, {B(DR6), 0xffff0ff0}, {B(RFLAGS), 2}, {B(G_PAT), 0x0007040600070406},
    };
    *s = (struct axvcpu_x86_svm_state){.physical_mask = (UINT64_C(1) << 40) - 1, .cr4_valid = 0x1f707ff, .efer_valid = 0x1d01, .asids = 16};
    for (unsigned i = 0; i < COUNT(good); i++)
        s->field[good[i].field] = good[i].value;
}

static void svm(void)
{
    static unsigned seen[AXVCPU_I_X86_SVM_RULE_COUNT];
    struct axvcpu_x86_svm_state s;
    struct axvcpu_x86_broken b[8];
    uint32_t n;
    svm_make(&s);
    ok_u64(axvcpu_x86_svm_explain(&s, b, 8), 0, "SVM: no rule is broken");
    for (const struct row *r = svm_rows; r < svm_rows + COUNT(svm_rows); r++) {
        const struct axvcpu_i_x86_rule *rule = &axvcpu_i_x86_svm_rules[r->rule];
        svm_make(&s);
        for (int i = 0; i < r->changes; i++)
            s.field[r->change[i].field] = r->change[i].value;
        if (r->rule == AXVCPU_I_X86_RULE_SVM_S_CET)
            s.field[B(CR0)] |= AXVCPU_X86_CR0_WP;
        n = axvcpu_x86_svm_explain(&s, b, 8);
        seen[r->rule]++;
        if (!ok(n == 1 && names(b, n, rule), "SVM: %s: %s", rule->field, rule->text))
            show(b, n);
    }
    for (unsigned i = 0; i < COUNT(seen); i++)
        if (seen[i] == 0)
            ok(false, "SVM rule %s has a row", axvcpu_i_x86_svm_rules[i].text);
    svm_make(&s);
    s.field[B(ASID)] = 0;
    s.field[B(DR7)] = FAR;
    n = axvcpu_x86_svm_explain(&s, b, 8);
    ok(n == 2 && names(b, n, &axvcpu_i_x86_svm_rules[AXVCPU_I_X86_RULE_SVM_ASID_ZERO]) &&
           names(b, n, &axvcpu_i_x86_svm_rules[AXVCPU_I_X86_RULE_SVM_DR7]), "SVM: both ASID and DR7");
    ok_u64(axvcpu_x86_svm_explain(&s, b, 1), 2, "there may be more than fit");
    note("%u SVM rules", (unsigned)COUNT(seen));
}

static void vmcb(void)
{
    static uint8_t page[4096];
    struct axvcpu_x86_svm_state s;
    for (unsigned i = 0; i < sizeof page; i++)
        page[i] = (uint8_t)(i / 8 * 7 + i);
    axvcpu_x86_vmcb_read(page, &s);
    ok_u64(s.field[B(CPL)], page[0x4cb], "CPL from the VMCB");
    ok_u64(s.field[B(CS_ATTRIB)], (uint64_t)page[0x412] | (uint64_t)page[0x413] << 8, "CS's attributes from the VMCB");
    ok(memcmp(&s.field[B(EFER)], page + 0x4d0, 8) == 0 && memcmp(&s.field[B(G_PAT)], page + 0x668, 8) == 0, "EFER and G_PAT from the VMCB");
}

static void print(void)
{
    struct axvcpu_x86_broken b[2] = {{"GUEST_CR0", "PG needs PE"}, {"VPID", "not 0"}};
    char text[64], small[8];
    ok_u64(axvcpu_x86_explain_print(text, sizeof text, b, 2), 34, "the length of a text");
    ok_str(text, "GUEST_CR0: PG needs PE\nVPID: not 0", "one line for each");
    ok_u64(axvcpu_x86_explain_print(small, sizeof small, b, 2), 34, "also if it is cut");
    ok_str(small, "GUEST_C", "cut at the end");
    ok_u64(axvcpu_x86_explain_print(NULL, 0, b, 1), 22, "no buffer at all");
}

int main(void)
{
    tap_begin(30);
    fields();
    vmx_whole();
    vmx_alone();
    vmx_pairs();
    svm();
    vmcb();
    print();
    return tap_done();
}
