// SPDX-License-Identifier: Apache-2.0
//
// CPUID as a guest sees it: the host's answers made sane by axvcpu_x86_cpuid_sane (its table: tests/x86/rules.c),
// by guests of one to four vCPUs, and a table of the caller's own. SDM 2, CPUID; APM 3, appendix E.
#include "tests/kvm/x86/machine.h"

#include "tests/tap.h"

enum { EAX, EBX, ECX, EDX };

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
    if (find_substrate() == NULL) {
        skip("kvm: no usable /dev/kvm", "CPUID in a guest");
        return tap_done();
    }
    test_guests();
    test_own();
    return tap_done();
}
