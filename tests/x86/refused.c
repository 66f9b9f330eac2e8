// SPDX-License-Identifier: Apache-2.0
//
// States that no entry accepts: each is made by breaking one field of a vCPU that runs, the CPU refuses it, and
// axvcpu_explain_entry_failure names that field and no other. The untouched state enters, and is explained as
// having no rule broken; of two broken fields both are named.
#include "axvcpu.h"

enum { RAM_SIZE = 0x80000, ENTRY = 0x1000, TABLES = 0x70000 };
#define BIT(n) (UINT64_C(1) << (n))
#define ODD UINT64_C(0x8000000000000000) // not canonical

struct broken {
    uint32_t field; // VMCS encoding, or VMCB offset
    uint8_t size;   // of the VMCB's
    uint64_t clear, set;
    const char *name;
};

static const struct broken vmx[] = {
    {0x4000, 8, BIT(3), 0, "PIN_CONTROLS"},
    {0x400a, 8, ~0ull, 5, "CR3_TARGETS"},
    {0x2004, 8, 0, 1, "MSR_BITMAP"},
    {0x0000, 8, ~0ull, 0, "VPID"},
    {0x201a, 8, 0, 7, "EPTP"},
    {0x201a, 8, 0x38, 0, "EPTP"},
    {0x4016, 8, ~0ull, 0x80000100, "ENTRY_EVENT"},
    {0x4016, 8, ~0ull, 0x80000203, "ENTRY_EVENT"},
    {0x4016, 8, ~0ull, 0x80000320, "ENTRY_EVENT"},
    {0x4016, 8, ~0ull, 0x8000030d, "ENTRY_EVENT"},
    {0x4012, 8, 0, BIT(10), "ENTRY_CONTROLS"},
    {0x6c00, 8, BIT(31), 0, "HOST_CR0"},
    {0x6c02, 8, 0, BIT(60), "HOST_CR3"},
    {0x6c04, 8, BIT(13), 0, "HOST_CR4"},
    {0xc00, 8, 0, 3, "HOST_ES"},
    {0xc02, 8, ~0ull, 0, "HOST_CS"},
    {0xc0c, 8, ~0ull, 0, "HOST_TR"},
    {0x6c06, 8, 0, ODD, "HOST_FS_BASE"},
    {0x6c0a, 8, 0, ODD, "HOST_TR_BASE"},
    {0x6c0c, 8, 0, ODD, "HOST_GDTR_BASE"},
    {0x6c0e, 8, 0, ODD, "HOST_IDTR_BASE"},
    {0x6c10, 8, 0, ODD, "HOST_SYSENTER_ESP"},
    {0x2c00, 8, ~0ull, 2, "HOST_PAT"},
    {0x2c02, 8, 0, BIT(40), "HOST_EFER"},
    {0x2c02, 8, BIT(10), 0, "HOST_EFER"},
    {0x6800, 8, 1, 0, "GUEST_CR0"},
    {0x6804, 8, BIT(13), 0, "GUEST_CR4"},
    {0x6804, 8, BIT(5), 0, "GUEST_CR4"},
    {0x6802, 8, 0, BIT(60), "GUEST_CR3"},
    {0x681a, 8, 0, BIT(40), "GUEST_DR7"},
    {0x6824, 8, 0, ODD, "GUEST_SYSENTER_ESP"},
    {0x2804, 8, ~0ull, 2, "GUEST_PAT"},
    {0x2806, 8, 0, BIT(40), "GUEST_EFER"},
    {0x2806, 8, BIT(10), 0, "GUEST_EFER"},
    {0x6808, 8, 0, BIT(32), "GUEST_CS_BASE"},
    {0x680e, 8, 0, ODD, "GUEST_FS_BASE"},
    {0x4816, 8, 0, BIT(14), "GUEST_CS_ACCESS"},
    {0x4816, 8, 0xf, 1, "GUEST_CS_ACCESS"},
    {0x4818, 8, 0xf, 1, "GUEST_SS_ACCESS"},
    {0x481a, 8, 1, 0, "GUEST_DS_ACCESS"},
    {0x4822, 8, 0xf, 3, "GUEST_TR_ACCESS"},
    {0x4822, 8, 0, BIT(16), "GUEST_TR_ACCESS"},
    {0x4820, 8, 0xf, 3, "GUEST_LDTR_ACCESS"},
    {0x4810, 8, 0, BIT(16), "GUEST_GDTR_LIMIT"},
    {0x4812, 8, 0, BIT(16), "GUEST_IDTR_LIMIT"},
    {0x6816, 8, 0, ODD, "GUEST_GDTR_BASE"},
    {0x6820, 8, 2, 0, "GUEST_RFLAGS"},
    {0x4826, 8, 0, 4, "GUEST_ACTIVITY"},
    {0x4824, 8, 0, 3, "GUEST_INTERRUPTIBILITY"},
    {0x4824, 8, 0, BIT(5), "GUEST_INTERRUPTIBILITY"},
    {0x4824, 8, 0, 4, "GUEST_INTERRUPTIBILITY"},
    {0x6822, 8, 0, BIT(5), "GUEST_PENDING_DEBUG"},
    {0x2800, 8, ~0ull, 0x1001, "LINK_POINTER"},
};

static const struct broken svm[] = {
    {0x4d0, 8, BIT(12), 0, "EFER"},
    {0x4d0, 8, 0, BIT(40), "EFER"},
    {0x558, 8, BIT(30), BIT(29), "CR0"},
    {0x558, 8, 0, BIT(32), "CR0"},
    {0x550, 8, 0, BIT(60), "CR3"},
    {0x548, 8, 0, BIT(40), "CR4"},
    {0x548, 8, BIT(5), 0, "CR4"},
    {0x568, 8, 0, BIT(32), "DR6"},
    {0x560, 8, 0, BIT(32), "DR7"},
    {0x412, 2, 0, BIT(10), "CS_ATTRIB"},
    {0x010, 4, 1, 0, "INTERCEPTS2"},
    {0x058, 4, ~0ull, 0, "ASID"},
    {0x048, 8, 0, BIT(51) | BIT(50), "MSRPM_BASE"},
    {0x040, 8, 0, BIT(51) | BIT(50), "IOPM_BASE"},
};

static struct axvm vm;
static struct axvcpu vcpu;
static bool is_svm;

// out %al, $0x10; jmp back
static const uint8_t program[] = {0xe6, 0x10, 0xeb, 0xfc};

static bool prepare(void)
{
    static struct axvcpu_arch_setup setup = {.mode = AXVCPU_X86_LONG, .tables = AXVCPU_GPA_INIT(TABLES)};
    struct axvm_desc d = {.vcpus = &vcpu, .vcpu_count = 1, .setups = &setup, .bsp_entry = axvcpu_gpa(ENTRY)};
    uint8_t *ram = host_alloc(RAM_SIZE / 4096);
    AXVCPU_MEMCPY(ram + ENTRY, program, sizeof program);
    return axvm_init(&vm, &d) == AXVCPU_OK &&
           axvm_map(&vm, axvcpu_gpa(0), axvcpu_from_ptr(ram), RAM_SIZE, AXVM_MAP_RWX) == AXVCPU_OK &&
           axvm_boot(&vm) == AXVCPU_OK && axvcpu_bind(&vcpu) == AXVCPU_OK;
}

// ---- fields: the VMCS is this CPU's as long as the vCPU is bound, the VMCB is memory

static uint64_t get(const struct broken *b)
{
    uint64_t value = 0;
    if (is_svm)
        AXVCPU_MEMCPY(&value, axvcpu_arch(&vcpu)->hw + b->field, b->size);
    else
        __asm__ volatile("vmread %1, %0" : "+r"(value) : "r"((uint64_t)b->field) : "cc");
    return value;
}

static void put(const struct broken *b, uint64_t value)
{
    char *hw = axvcpu_arch(&vcpu)->hw;
    if (!is_svm) {
        __asm__ volatile("vmwrite %1, %0" : : "r"((uint64_t)b->field), "r"(value) : "cc");
        return;
    }
    AXVCPU_MEMCPY(hw + b->field, &value, b->size);
    AXVCPU_MEMSET(hw + 0xc0, 0, 4); // nothing is clean
}

// ---- what is said

static const char *line_end(const char *text)
{
    while (*text && *text != '\n')
        text++;
    return text;
}

static bool says(const char *line, const char *name)
{
    while (*name && *line == *name)
        line++, name++;
    return *name == 0 && !(*line >= 'A' && *line <= 'Z') && *line != '_' && !(*line >= '0' && *line <= '9');
}

// Every line is about one of the two, and each has one.
static bool names_only(const char *text, const char *first, const char *second)
{
    bool has_first = false, has_second = false;
    while (*text) {
        bool one = says(text, first), two = says(text, second);
        if (!one && !two)
            return false;
        has_first |= one;
        has_second |= two;
        text = line_end(text);
        text += *text == '\n';
    }
    return has_first && has_second;
}

static char text[2048];

// A VMRUN that fails leaves the VMCB as it was, on hardware. QEMU writes to it what it has loaded so far.
static bool run_failing(struct axvcpu_exit *x)
{
    static uint8_t before[0x1000];
    char *hw = axvcpu_arch(&vcpu)->hw;
    uint64_t rax = axvcpu_arch(&vcpu)->regs.gpr[AXVCPU_X86_RAX];
    if (is_svm)
        AXVCPU_MEMCPY(before, hw, sizeof before);
    int err = axvcpu_run(&vcpu, x);
    if (is_svm && x->kind == AXVCPU_EXIT_FAIL_ENTRY) {
        AXVCPU_MEMCPY(hw, before, 0x70);
        AXVCPU_MEMCPY(hw + 0x90, before + 0x90, sizeof before - 0x90);
        AXVCPU_MEMSET(hw + 0xc0, 0, 4);
        axvcpu_arch(&vcpu)->regs.gpr[AXVCPU_X86_RAX] = rax;
    }
    return err == AXVCPU_OK;
}

static bool refused(void)
{
    struct axvcpu_exit x;
    text[0] = 0;
    return run_failing(&x) && x.kind == AXVCPU_EXIT_FAIL_ENTRY && x.fail.reason != 0 &&
           axvcpu_explain_entry_failure(&vcpu, text, sizeof text) != 0;
}

static bool enters(void)
{
    struct axvcpu_exit x;
    return axvcpu_run(&vcpu, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_IO_WRITE && axvcpu_settle(&vcpu, &x) == AXVCPU_OK;
}

static void test(const struct broken *b, const struct broken *c)
{
    uint64_t old = get(b), other = get(c);
    put(b, (old & ~b->clear) | b->set);
    if (b != c)
        put(c, (other & ~c->clear) | c->set);
    bool good = refused() && names_only(text, b->name, c->name);
    put(b, old);
    if (b != c)
        put(c, other);
    good = enters() && good; // and all is well again
    host_case(good, b->name);
    if (!good) {
        host_print("# ");
        host_print(text);
        host_print("\n");
    }
}

int host_main(void)
{
    bool untouched = prepare() && enters();
    is_svm = axvcpu_arch(&vcpu)->hw != NULL && axvcpu_arch(&vcpu)->vendor == AXVCPU_I_X86_VENDOR_SVM;
    untouched = untouched && axvcpu_explain_entry_failure(&vcpu, text, sizeof text) != 0;
    host_case(untouched && says(text, "no rule broken"), "the untouched state breaks no rule");
    const struct broken *all = is_svm ? svm : vmx;
    size_t count = is_svm ? sizeof svm / sizeof svm[0] : sizeof vmx / sizeof vmx[0];
    for (size_t i = 0; i < count; i++)
        test(&all[i], &all[i]);
    if (is_svm)
        test(&svm[4], &svm[8]);
    else
        test(&vmx[28], &vmx[29]); // CR3, DR7
    axvcpu_unbind(&vcpu);
    host_case(axvcpu_explain_entry_failure(&vcpu, text, sizeof text) == 0, "not loaded: nothing");
    host_case(axvcpu_explain_entry_failure(NULL, text, sizeof text) == 0, "NULL: nothing");
    axvm_deinit(&vm);
    return 0;
}
