// SPDX-License-Identifier: Apache-2.0
//
// CPUID as a guest sees it: the host's answers made sane by axvcpu_x86_cpuid_sane, checked leaf by leaf as pure
// C, then by guests of one to four vCPUs, and a table of the caller's own. SDM 2, CPUID; APM 3, appendix E.
#include "tests/kvm/x86/machine.h"

#include "tests/tap.h"

enum { EAX, EBX, ECX, EDX };
static const char *const reg_names[] = {"EAX", "EBX", "ECX", "EDX"};

// ---- the function: of CPU `id` among `cpus`, what an answer of all zeros and one of all ones become

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

static void test_sane(void)
{
    for (size_t i = 0; i < sizeof sanes / sizeof sanes[0]; i++) {
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

// ---- guests

GUEST(cpuid, 64, "1: cpuid\n    out %al, $0x30\n    jmp 1b\n");

static uint32_t answer[4];
static bool ask(struct axvcpu *who, uint32_t leaf, uint32_t subleaf)
{
    static const uint32_t regs[4] = {AXVCPU_X86_RAX, AXVCPU_X86_RBX, AXVCPU_X86_RCX, AXVCPU_X86_RDX};
    uint64_t value = 0;
    bool good = axvcpu_set_gpr(who, AXVCPU_X86_RAX, UINT64_C(0xffffffff00000000) | leaf) == 0 &&
                axvcpu_set_gpr(who, AXVCPU_X86_RCX, UINT64_C(0xffffffff00000000) | subleaf) == 0 &&
                axvcpu_run(who, &x) == 0 && x.kind == AXVCPU_EXIT_IO_WRITE;
    for (int i = 0; i < 4 && good; i++) {
        good = axvcpu_get_gpr(who, regs[i], &value) == 0 && value >> 32 == 0; // the upper halves are cleared
        answer[i] = (uint32_t)value;
    }
    return good;
}

static uint32_t bits_of(uint32_t cpus)
{
    return cpus > 2 ? 2 : cpus > 1;
}

static void check_cpu(uint32_t id, uint32_t cpus, bool chip)
{
    struct axvcpu *who = &vcpus[id];
    uint32_t top, top_extended;
    char name[40];
    snprintf(name, sizeof name, "CPU %u of %u%s", id, cpus, chip ? ", local APIC" : "");
    if (!ok(ask(who, 0, 0), "%s: CPUID", name))
        return;
    top = answer[EAX];
    ok(top >= 1, "%s: it has leaves", name);
    ok(ask(who, 1, 0) && answer[EBX] >> 24 == id, "%s: its number", name);
    ok_u64(answer[EBX] >> 16 & 0xff, 1u << bits_of(cpus), "%s: room for", name);
    ok(answer[ECX] >> 31 == 1, "%s: under a hypervisor", name);
    ok((answer[ECX] & 1u << 5) == 0, "%s: no VMX", name);
    ok(chip || (answer[ECX] & (1u << 21 | 1u << 24)) == 0, "%s: no x2APIC and TSC deadline without a local APIC", name);
    if (strcmp(find_substrate(), "kvm") == 0) // one without hardware turns it on: KVM_GET_CPUID2 has it, whatever was set
        ok_u64(answer[EDX] >> 28 & 1, cpus > 1, "%s: HTT", name);
    for (uint32_t level = 0; level < 3 && top >= 0x0b; level++) {
        static const uint32_t types[] = {0x100, 0x201, 2};
        ok(ask(who, 0x0b, level), "%s: level %u", name, level);
        ok_u64(answer[EAX], level == 1 ? bits_of(cpus) : 0, "%s: level %u: bits", name, level);
        ok_u64(answer[EBX], level == 0 ? 1 : level == 1 ? cpus : 0, "%s: level %u: how many", name, level);
        ok_u64(answer[ECX], types[level], "%s: level %u: of which kind", name, level);
        ok_u64(answer[EDX], id, "%s: level %u: number", name, level);
    }
    ok(ask(who, 0x80000000, 0), "%s: extended leaves", name);
    top_extended = answer[EAX];
    ok(ask(who, 0x80000001, 0) && (answer[ECX] & 1u << 2) == 0, "%s: no SVM", name);
    ok(top_extended < 0x80000008 || (ask(who, 0x80000008, 0) && (answer[EAX] & 0xff) >= 32), "%s: address width", name);
    ok(top_extended < 0x80000008 || ((answer[ECX] & 0xff) == cpus - 1 && (answer[ECX] >> 12 & 15) == bits_of(cpus)), "%s: AMD's count", name);
    ok(ask(who, 0x40000000, 0) && answer[EBX] == 0x4b4d564b, "%s: the hypervisor's leaf", name);
}

static void test_guests(void)
{
    struct machine m = {PROGRAM(cpuid), .mode = AXVCPU_X86_LONG};
    for (m.vcpus = 1; m.vcpus <= 4; m.vcpus++) {
        os_begin();
        if (!ok_int(machine_start(&m), 0, "%u vCPUs", m.vcpus))
            return;
        for (uint32_t id = 1; id < m.vcpus; id++) {
            ok_int(axvcpu_set_entry(&vcpus[id], axvcpu_gpa(CODE)), 0, "entry");
            ok_int(axvcpu_bind(&vcpus[id]), 0, "bind");
        }
        for (uint32_t id = 0; id < m.vcpus; id++)
            check_cpu(id, m.vcpus, false);
        ok_int(machine_stop(), 0, "%u vCPUs: the end", m.vcpus);
    }
    m.vcpus = 2;
    m.arch.irqchip = AXVM_X86_IRQCHIP_FULL; // the second one waits for its start-up IPI
    os_begin();
    if (ok_int(machine_start(&m), 0, "2 vCPUs with local APICs")) {
        check_cpu(0, 2, true);
        ok_int(machine_stop(), 0, "2 vCPUs with local APICs: the end");
    }
}

// A table of the VM's, and one of the vCPU's that is before it: taken as they are.
static void test_own(void)
{
    static const struct axvcpu_x86_cpuid table[] = {
        {0, 0, false, {1, 0x11111111, 0x22222222, 0x33333333}},
        {1, 0, false, {0x600, 0, 0x1, 0x02000000}},
        {0x80000000, 0, false, {0x80000001, 0, 0, 0}},
        {0x80000001, 0, false, {0, 0, 0, 0x20000000}}, // long mode
    };
    static const struct axvcpu_x86_cpuid one[] = {
        {0, 0, false, {1, 0x44444444, 0, 0}},
        {1, 0, false, {0x600, 0, 0x1, 0x02000000}},
        {0x80000000, 0, false, {0x80000001, 0, 0, 0}},
        {0x80000001, 0, false, {0, 0, 0, 0x20000000}},
    };
    const struct axvcpu_arch_setup setup = {.mode = AXVCPU_X86_PROTECTED, .stack = STACK};
    struct machine m = {PROGRAM(cpuid), .mode = AXVCPU_X86_PROTECTED};
    struct axvcpu_desc desc = {.arch = {.cpuid = one, .cpuid_count = 4}};
    m.arch.cpuid = table;
    m.arch.cpuid_count = 4;
    os_begin();
    if (!ok_int(machine_start(&m), 0, "own table: a guest"))
        return;
    ok(ask(v, 0, 0) && answer[EAX] == 1 && answer[EBX] == 0x11111111, "own table: leaf 0");
    ok(answer[ECX] == 0x22222222 && answer[EDX] == 0x33333333, "own table: all of it");
    ok(ask(v, 1, 0) && (answer[EAX] == 0x600) && (answer[ECX] & 1u) != 0, "own table: leaf 1");
    ok_int(machine_stop(), 0, "own table: the end");

    struct axvm_desc vm_desc = {.vcpus = vcpus, .vcpu_count = 1, .vcpu_descs = &desc, .setups = &setup,
                                .bsp_entry = AXVCPU_GPA_INIT(CODE), .arch = {.cpuid = table, .cpuid_count = 4}};
    ok_int(axvm_init(&vm, &vm_desc), 0, "own table of a vCPU");
    ok_int(axvm_map(&vm, axvcpu_gpa(0), axvcpu_from_ptr(ram), RAM, AXVM_MAP_RWX), 0, "own table of a vCPU: memory");
    ok_int(axvm_boot(&vm), 0, "own table of a vCPU: booted");
    ok_int(axvcpu_bind(v), 0, "own table of a vCPU: bound");
    ok(ask(v, 0, 0) && answer[EBX] == 0x44444444, "own table of a vCPU: leaf 0");
    ok_int(machine_stop(), 0, "own table of a vCPU: the end");
}

int main(void)
{
    tap_begin(60);
    test_sane();
    if (find_substrate() == NULL) {
        skip("kvm: no usable /dev/kvm", "CPUID in a guest");
        return tap_done();
    }
    test_guests();
    test_own();
    return tap_done();
}
