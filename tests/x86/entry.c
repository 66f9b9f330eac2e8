// SPDX-License-Identifier: Apache-2.0
//
// States that the CPU refuses, one field broken at a time behind the library's back, and what it says of them: that
// field, and no other. The untouched state enters before and after. What a substrate lets through is "manual only".
#include "axvcpu.h"

enum { RAM_PAGES = 32, RAM = 0, TABLES = 0x8000, ENTRY = 0x1000 };
#define FAR (UINT64_C(1) << 47)        // not canonical
#define BEYOND (UINT64_C(1) << 51)     // no physical address

static struct axvm vm;
static struct axvcpu vcpu;
static bool vmx;

struct row {
    uint32_t field; // VMCS: its encoding; VMCB: its offset
    uint64_t clear, set;
    const char *name;
};
#define ALL UINT64_MAX
static const struct row vmx_rows[] = {
    {0x4000, 2, 0, "PIN_CONTROLS"}, {0x4000, 8, 0, "PIN_CONTROLS"}, {0x4002, 2, 0, "PRIMARY_CONTROLS"},
    {0x401e, 0, 1u << 30, "SECONDARY_CONTROLS"}, {0x400a, 0, 0x1ff, "CR3_TARGETS"}, {0x2004, 0, 1, "MSR_BITMAP"},
    {0x0000, ALL, 0, "VPID"}, {0x201a, 7, 1, "EPTP"}, {0x201a, 0, 0x800, "EPTP"}, {0x400c, 2, 0, "EXIT_CONTROLS"},
    {0x4012, 1, 0, "ENTRY_CONTROLS"}, {0x6c00, 0x20, 0, "HOST_CR0"}, {0x6c04, 0x2000, 0, "HOST_CR4"},
    {0x6c02, 0, BEYOND, "HOST_CR3"}, {0x6c10, ALL, FAR, "HOST_SYSENTER_ESP"}, {0x6c12, ALL, FAR, "HOST_SYSENTER_EIP"},
    {0x2c00, ALL, 2, "HOST_PAT"}, {0x2c02, 0, 2, "HOST_EFER"}, {0x2c02, 0x400, 0, "HOST_EFER"}, {0x0c02, 0, 1, "HOST_CS"},
    {0x0c0c, ALL, 0, "HOST_TR"}, {0x6c06, ALL, FAR, "HOST_FS_BASE"}, {0x6c0c, ALL, FAR, "HOST_GDTR_BASE"},
    {0x6800, 0x20, 0, "GUEST_CR0"}, {0x6800, 1, 0, "GUEST_CR0"}, {0x6804, 0x2000, 0, "GUEST_CR4"},
    {0x6804, 0x20, 0, "GUEST_CR4"}, {0x6802, 0, BEYOND, "GUEST_CR3"}, {0x681a, 0, UINT64_C(1) << 32, "GUEST_DR7"},
    {0x6824, ALL, FAR, "GUEST_SYSENTER_ESP"}, {0x6826, ALL, FAR, "GUEST_SYSENTER_EIP"}, {0x2804, ALL, 2, "GUEST_PAT"},
    {0x2806, 0, 2, "GUEST_EFER"}, {0x2806, 0x400, 0, "GUEST_EFER"}, {0x4816, 0, 0x4000, "GUEST_CS_ACCESS"},
    {0x4816, 0x80, 0, "GUEST_CS_ACCESS"}, {0x4816, 0xf, 1, "GUEST_CS_ACCESS"}, {0x4818, 0x10, 0, "GUEST_SS_ACCESS"},
    {0x481a, 1, 0, "GUEST_DS_ACCESS"}, {0x6808, 0, UINT64_C(1) << 32, "GUEST_CS_BASE"}, {0x680e, ALL, FAR, "GUEST_FS_BASE"},
    {0x4822, 0x8, 0, "GUEST_TR_ACCESS"}, {0x6814, ALL, FAR, "GUEST_TR_BASE"}, {0x080e, 0, 4, "GUEST_TR"},
    {0x4810, 0, 0x10000, "GUEST_GDTR_LIMIT"}, {0x6818, ALL, FAR, "GUEST_IDTR_BASE"},
    {0x6820, 0, 8, "GUEST_RFLAGS"}, {0x6820, 2, 0, "GUEST_RFLAGS"}, {0x4826, ALL, 4, "GUEST_ACTIVITY"},
    {0x4824, 0, 0x20, "GUEST_INTERRUPTIBILITY"}, {0x4824, 0, 4, "GUEST_INTERRUPTIBILITY"}, {0x6822, 0, 0x10, "GUEST_PENDING_DEBUG"},
    {0x2800, ALL, 1, "LINK_POINTER"},
};
// The VMCB's offsets; what is written is 8 bytes.
static const struct row svm_rows[] = {
    {0x4d0, 0x1000, 0, "EFER"}, {0x4d0, 0, UINT64_C(1) << 40, "EFER"}, {0x558, 0x40000000, 0x20000000, "CR0"},
    {0x558, 0, UINT64_C(1) << 32, "CR0"}, {0x548, 0, UINT64_C(1) << 40, "CR4"}, {0x548, 0x20, 0, "CR4"},
    {0x550, 0, BEYOND, "CR3"}, {0x568, 0, UINT64_C(1) << 32, "DR6"}, {0x560, 0, UINT64_C(1) << 32, "DR7"},
    {0x010, 1, 0, "INTERCEPTS2"}, {0x058, UINT32_MAX, 0, "ASID"}, {0x412, 0, 0x400, "CS_ATTRIB"},
    {0x040, 0, BEYOND, "IOPM_BASE"}, {0x048, 0, BEYOND, "MSRPM_BASE"}, {0x0b0, 0, BEYOND, "N_CR3"}, {0x668, 0xff, 2, "G_PAT"},
};

// With these Bochs enters, and then ends itself.
static const struct row fatal_rows[] = {
    {0x558, 1, 0, "CR0"},
};

static uint64_t get(uint32_t field)
{
    uint64_t value = 0;
    if (vmx)
        __asm__ volatile("vmread %1, %0" : "=r"(value) : "r"((uint64_t)field) : "cc");
    else
        AXVCPU_MEMCPY(&value, axvcpu_arch(&vcpu)->hw + field, 8);
    return value;
}

static void put(uint32_t field, uint64_t value)
{
    static const uint32_t dirty = 0; // clean bits
    if (vmx) {
        __asm__ volatile("vmwrite %1, %0" : : "r"((uint64_t)field), "r"(value) : "cc");
        return;
    }
    AXVCPU_MEMCPY(axvcpu_arch(&vcpu)->hw + field, &value, 8);
    AXVCPU_MEMCPY(axvcpu_arch(&vcpu)->hw + 0xc0, &dirty, 4);
}

static bool begins(const char *text, const char *word)
{
    while (*word != 0 && *text == *word)
        text++, word++;
    return *word == 0 && *text == ':';
}

static unsigned lines(const char *text)
{
    unsigned n = 1;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

static const char *joined(const char *a, const char *b)
{
    static char text[200];
    size_t n = 0;
    for (; *a && n < sizeof text - 1; a++)
        text[n++] = *a;
    for (; *b && *b != '\n' && n < sizeof text - 1; b++)
        text[n++] = *b;
    text[n] = 0;
    return text;
}

// The guest halts whenever it is entered.
static bool enters(void)
{
    struct axvcpu_exit x;
    return axvcpu_run(&vcpu, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_HALT;
}

// The VMCB as it was entered with: QEMU saves over it although it has loaded nothing. (APM 2, 15.5.1: an entry that
// fails leaves it; Bochs does.)
static uint8_t vmcb[4096];

static void keep(bool back)
{
    char *at = axvcpu_arch(&vcpu)->hw;
    if (vmx)
        return;
    if (back)
        AXVCPU_MEMCPY(at, vmcb, sizeof vmcb);
    else
        AXVCPU_MEMCPY(vmcb, at, sizeof vmcb);
}

static char text[1000];
static unsigned refused, manual;

static void one(const struct row *r)
{
    struct axvcpu_exit x;
    uint64_t was = get(r->field);
    bool failed;
    put(r->field, (was & ~r->clear) | r->set);
    keep(false);
    failed = axvcpu_run(&vcpu, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_FAIL_ENTRY;
    keep(true);
    if (failed || !vmx)
        axvcpu_explain_entry_failure(&vcpu, text, sizeof text);
    put(r->field, was);
    if (failed) {
        refused++;
        host_case(lines(text) == 1 && begins(text, r->name) && x.fail.reason != 0, joined("refused: ", text));
    } else if (!vmx) {
        manual++;
        host_case(begins(text, r->name), joined("manual only: ", text));
    } else {
        host_case(false, joined("let through: ", r->name));
    }
    if (lines(text) != 1 || !begins(text, r->name)) {
        host_print("# expected ");
        host_print(r->name);
        host_print(", got: ");
        host_print(text);
        host_print("\n");
    }
}

static bool in_bochs(void)
{
    const char *name = host_argument("substrate");
    return name[0] == 'x' && name[4] == 'b';
}

#define ROWS(rows) rows, sizeof rows / sizeof rows[0]
static void each(const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        one(&rows[i]);
}

static void two(void)
{
    uint32_t a = vmx ? 0x6820 : 0x560, b = vmx ? 0x4826 : 0x558;
    uint64_t was_a = get(a), was_b = get(b);
    struct axvcpu_exit x;
    put(a, was_a | (vmx ? 8 : UINT64_C(1) << 32));
    put(b, vmx ? 4 : was_b | UINT64_C(1) << 32);
    keep(false);
    host_case(axvcpu_run(&vcpu, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_FAIL_ENTRY, "two broken fields are refused");
    keep(true);
    axvcpu_explain_entry_failure(&vcpu, text, sizeof text);
    put(a, was_a);
    put(b, was_b);
    host_case(lines(text) == 2, "... and both named");
    host_print("# ");
    host_print(text);
    host_print("\n");
}

static bool prepare(void)
{
    static const struct axvcpu_arch_setup setup = {.mode = AXVCPU_X86_LONG, .stack = 0x7000, .tables = AXVCPU_GPA_INIT(TABLES)};
    static const uint8_t halt[] = {0xf4, 0xeb, 0xfd};
    struct axvm_desc d = {.vcpus = &vcpu, .vcpu_count = 1, .bsp_entry = axvcpu_gpa(ENTRY), .setups = &setup};
    uint8_t *ram = host_alloc(RAM_PAGES);
    uint32_t eax = 1, ebx, ecx = 0, edx;
    __asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
    vmx = (ecx >> 5 & 1) != 0;
    if (ram == NULL)
        return false;
    AXVCPU_MEMCPY(ram + ENTRY, halt, sizeof halt);
    return axvm_init(&vm, &d) == AXVCPU_OK &&
           axvm_map(&vm, axvcpu_gpa(RAM), axvcpu_from_ptr(ram), RAM_PAGES * 4096, AXVM_MAP_RWX) == AXVCPU_OK &&
           axvm_boot(&vm) == AXVCPU_OK && axvcpu_bind(&vcpu) == AXVCPU_OK;
}

int host_main(void)
{
    if (!prepare())
        host_panic("no guest");
    host_case(enters(), "the untouched state enters");
    axvcpu_explain_entry_failure(&vcpu, text, sizeof text);
    host_case(text[0] == 'n' && text[1] == 'o' && lines(text) == 1, joined("... and is explained: ", text));
    if (vmx)
        each(ROWS(vmx_rows));
    else
        each(ROWS(svm_rows));
    if (!vmx && !in_bochs())
        each(ROWS(fatal_rows));
    two();
    host_case(enters(), "the state put back enters");
    host_print("# refused ");
    host_print_number(refused, 10);
    host_print(", manual only ");
    host_print_number(manual, 10);
    host_print("\n");
    host_case(refused >= (vmx ? 30 : 10), "so many were refused");
    return 0;
}
