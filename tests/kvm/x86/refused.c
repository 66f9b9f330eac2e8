// SPDX-License-Identifier: Apache-2.0
//
// What the host refuses, and what it is not even asked for: no /dev/kvm, no permission, a missing capability,
// bad memory, calls out of order, a foreign signal handler. Each is an error whose log line names the call
// and the remedy. Then every call to the host fails once, one after the other, in a vCPU's whole life.
#include "tests/kvm/x86/machine.h"

#include <pthread.h>
#include <stdlib.h>
#include <grp.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/tap.h"

// The calls that are checked here start from nothing and leave nothing.
static void begin(void)
{
    os_begin();
    memset(&x, 0, sizeof x);
}

static void nothing_left(const char *name)
{
    ok(os.fds == 0 && os.mappings == 0, "%s: %d descriptors, %d mappings left", name, os.fds, os.mappings);
}

static void says(const char *name, const char *call, const char *remedy)
{
    if (!ok(os_said(call), "%s: the log names \"%s\"", name, call) | !ok(os_said(remedy), "%s: and says \"%s\"", name, remedy))
        note("%s", os.log);
}

// axvm_init of this machine fails.
static void refuse(const char *name, const struct machine *m, int err, const char *call, const char *remedy)
{
    ok_int(machine_create(m), err, "%s: %s", name, axvcpu_strerror(err));
    says(name, call, remedy);
    nothing_left(name);
}

// ---- /dev/kvm

static const struct machine plain = {.vcpus = 1};

static void test_device(void)
{
    static const struct {
        int code, err;
        const char *remedy;
    } opens[] = {
        {ENOENT, AXVCPU_ENOSUPPORT, "load kvm_intel or kvm_amd"},
        {ENODEV, AXVCPU_ENOSUPPORT, "turn virtualization on"},
        {ENXIO, AXVCPU_ENOSUPPORT, "load kvm_intel or kvm_amd"},
        {EACCES, AXVCPU_EIO, "join the group that owns /dev/kvm"},
        {EPERM, AXVCPU_EIO, "join the group that owns /dev/kvm"},
        {EMFILE, AXVCPU_EIO, "ulimit -n"},
        {ENFILE, AXVCPU_EIO, "ulimit -n"},
    };
    char name[80];
    for (size_t i = 0; i < sizeof opens / sizeof opens[0]; i++) {
        snprintf(name, sizeof name, "open: %s", strerror(opens[i].code));
        begin();
        os.fail_at = 1;
        os.fail_with = opens[i].code;
        refuse(name, &plain, opens[i].err, "open(/dev/kvm)", opens[i].remedy);
        ok(os_said(strerror(opens[i].code)), "%s: and how", name);
        begin();
        os.fail_at = 1;
        os.fail_with = opens[i].code;
        ok(!axvcpu_has_hardware_support(), "%s: no hardware support", name);
        says(name, "open(/dev/kvm)", opens[i].remedy);
    }
    begin();
    os.device = "/no/such/device";
    refuse("a real ENOENT", &plain, AXVCPU_ENOSUPPORT, "open(/dev/kvm)", "no KVM");
    begin();
    os.device = "/dev/null";
    refuse("something else", &plain, AXVCPU_ENOSUPPORT, "KVM_GET_API_VERSION", "is not KVM");
    begin();
    ok(axvcpu_has_hardware_support(), "with it there is");
    nothing_left("hardware support");
}

// A user who may not, for real: as root, where the device is not everybody's.
static void test_permission(void)
{
    struct stat device;
    int status = -1;
    if (geteuid() != 0 || stat("/dev/kvm", &device) != 0 || (device.st_mode & 2) != 0) {
        note("not root, or everybody may: nobody to be refused");
        return;
    }
    fflush(stdout);
    if (fork() == 0) {
        begin();
        if (setgroups(0, NULL) != 0 || setgid(65534) != 0 || setuid(65534) != 0)
            _exit(2);
        _exit(axvcpu_has_hardware_support() || !os_said("open(/dev/kvm): Permission denied (errno 13); no permission: join the group"));
    }
    wait(&status);
    ok_int(status, 0, "a real EACCES: the log names the call and the group");
}

// ---- what the machine lacks

static const struct axvcpu_x86_msrs msr = {0x2f000001, 1};
static const struct {
    unsigned long capability;
    const char *name, *remedy;
    struct machine machine;
} lacks[] = {
    {KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY", "newer kernel", {.vcpus = 1}},
    {KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT", "Linux 4.11", {.vcpus = 1}},
    {KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP", "AXVM_X86_IRQCHIP_NONE", {.arch = {.irqchip = AXVM_X86_IRQCHIP_FULL}}},
    {KVM_CAP_SPLIT_IRQCHIP, "KVM_CAP_SPLIT_IRQCHIP", "Linux 4.4", {.arch = {.irqchip = AXVM_X86_IRQCHIP_SPLIT}}},
    {KVM_CAP_PIT2, "KVM_CAP_PIT2", "without pit", {.arch = {.irqchip = AXVM_X86_IRQCHIP_FULL, .pit = true}}},
    {KVM_CAP_X86_USER_SPACE_MSR, "KVM_CAP_X86_USER_SPACE_MSR", "Linux 5.10", {.arch = {.msrs = &msr, .msrs_count = 1}}},
};

static void test_capabilities(void)
{
    for (size_t i = 0; i < sizeof lacks / sizeof lacks[0]; i++) {
        begin();
        os.hidden = lacks[i].capability + 1;
        refuse(lacks[i].name, &lacks[i].machine, AXVCPU_ENOSUPPORT, lacks[i].name, lacks[i].remedy);
    }
    for (size_t i = 0; i < 2; i++) { // those that nothing works without
        struct axvcpu_desc desc = {.vcpu_id = 0};
        begin();
        os.hidden = lacks[i].capability + 1;
        ok_int(axvcpu_init(&vcpus[1], &desc), AXVCPU_ENOSUPPORT, "%s: a vCPU alone", lacks[i].name);
        ok(!axvcpu_has_hardware_support(), "%s: no hardware support", lacks[i].name);
        nothing_left(lacks[i].name);
    }
    begin();
    os.hidden = KVM_CAP_READONLY_MEM + 1;
    ok_int(machine_create(&plain), 0, "KVM_CAP_READONLY_MEM: all is well until it is wanted");
    ok_int(axvm_map(&vm, axvcpu_gpa(0x100000), axvcpu_from_ptr(ram), 4096, AXVM_MAP_READ), AXVCPU_ENOSUPPORT,
           "KVM_CAP_READONLY_MEM: a mapping without WRITE");
    says("KVM_CAP_READONLY_MEM", "axvm_map: KVM_CAP_READONLY_MEM is missing", "map with AXVM_MAP_WRITE");
    ok_int(machine_stop(), 0, "KVM_CAP_READONLY_MEM: the end");
}

// ---- memory

#define GIB UINT64_C(0x40000000)
static const struct {
    const char *name;
    uint64_t gpa, size;
    uint8_t *at;
    uint32_t flags;
    const char *remedy;
} maps[] = {
    {"an unaligned address", 0x100800, 0x1000, ram, AXVM_MAP_RWX, "whole pages"},
    {"an unaligned size", 0x100000, 0x1800, ram, AXVM_MAP_RWX, "whole pages"},
    {"an unaligned backing", 0x100000, 0x1000, ram + 8, AXVM_MAP_RWX, "whole pages"},
    {"no size", 0x100000, 0, ram, AXVM_MAP_RWX, "empty or wrapping"},
    {"a wrapping range", ~UINT64_C(0xfff), 0x2000, ram, AXVM_MAP_RWX, "empty or wrapping"},
    {"a wrapping size", 0x2000, ~UINT64_C(0xfff), ram, AXVM_MAP_RWX, "empty or wrapping"},
    {"the same again", 0, RAM, ram, AXVM_MAP_RWX, "overlaps"},
    {"a page of it", 0x3000, 0x1000, ram, AXVM_MAP_RWX, "overlaps"},
    {"across its end", RAM - 0x1000, 0x2000, ram, AXVM_MAP_RWX, "overlaps"},
    {"around it", 0, RAM * 2, ram, AXVM_MAP_RWX, "overlaps"},
    {"from its second page to 2^64", 0x1000, ~UINT64_C(0xfff), ram, AXVM_MAP_RWX, "overlaps"},
    {"no backing", 0x100000, 0x1000, NULL, AXVM_MAP_RWX, "axvcpu_from_ptr"},
    {"not readable", 0x100000, 0x1000, ram, AXVM_MAP_WRITE, "not readable"},
    {"flags of the future", 0x100000, 0x1000, ram, AXVM_MAP_RWX | 1u << 20, "unknown flags"},
};

static void test_memory(void)
{
    struct axvm none;
    begin();
    if (!ok_int(machine_create(&plain), 0, "a VM for its memory"))
        return;
    for (size_t i = 0; i < sizeof maps / sizeof maps[0]; i++) {
        os.log[0] = 0;
        os.asked = 0;
        ok_int(axvm_map(&vm, axvcpu_gpa(maps[i].gpa), axvcpu_from_ptr(maps[i].at), maps[i].size, maps[i].flags), AXVCPU_EINVAL,
               "memory: %s", maps[i].name);
        says(maps[i].name, "axvm_map", maps[i].remedy);
        ok_int(os.asked, 0, "memory: %s: the host was not asked", maps[i].name);
    }
    ok_int(axvm_unmap(&vm, axvcpu_gpa(0), 0x1000), AXVCPU_EINVAL, "memory: half of a mapping cannot go");
    says("half", "axvm_unmap", "no such mapping");
    ok_int(axvm_unmap(&vm, axvcpu_gpa(0x100000), 0x1000), AXVCPU_EINVAL, "memory: what is not there cannot go");
    memset(&none, 0, sizeof none);
    ok_int(axvm_map(&none, axvcpu_gpa(0), axvcpu_from_ptr(ram), 0x1000, AXVM_MAP_RWX), AXVCPU_EINVAL, "memory: no VM");

    os.log[0] = 0; // a backing that no process can have; the kernel looks
    ok_int(axvm_map(&vm, axvcpu_gpa(GIB), axvcpu_from_ptr((void *)(UINTPTR_MAX << 47)), 0x1000, AXVM_MAP_RWX), AXVCPU_EIO,
           "memory: the kernel's addresses");
    says("the kernel's addresses", "KVM_SET_USER_MEMORY_REGION: Invalid argument (errno 22)", "the memory not there");
    for (uint64_t i = 1; i < AXVM_MAX_MAPS; i++)
        if (axvm_map(&vm, axvcpu_gpa(GIB + i * 0x2000), axvcpu_from_ptr(ram), 0x1000, AXVM_MAP_RWX) != 0)
            ok(false, "memory: mapping %d", (int)i);
    os.log[0] = 0;
    ok_int(axvm_map(&vm, axvcpu_gpa(GIB * 2), axvcpu_from_ptr(ram), 0x1000, AXVM_MAP_RWX), AXVCPU_ENOMEM, "memory: one too many");
    ok(os_said("axvm_map"), "memory: one too many: the log names the call");
    ok_int(axvm_unmap(&vm, axvcpu_gpa(GIB + 0x2000), 0x1000), 0, "memory: one goes");
    ok_int(axvm_map(&vm, axvcpu_gpa(GIB * 2), axvcpu_from_ptr(ram), 0x1000, AXVM_MAP_RWX), 0, "memory: another comes");
    ok_int(machine_stop(), 0, "memory: the end");
    nothing_left("memory");
}

GUEST(halt, 16, "1: hlt\n jmp 1b\n");

// The mapping is good, then the process gives its memory back. Where the kernel interprets, it is a device then.
static void test_gone(void)
{
    static const struct machine m = {.vcpus = 1};
    uint8_t *at = mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    begin();
    if (!ok_int(machine_create(&m), 0, "gone: a VM") ||
        !ok_int(axvm_map(&vm, axvcpu_gpa(0x40000), axvcpu_from_ptr(at), 0x1000, AXVM_MAP_RWX), 0, "gone: a page"))
        return;
    munmap(at, 0x1000);
    ok_int(axvm_boot(&vm), 0, "gone: booted");
    ok_int(axvcpu_set_reg(v, AXVCPU_X86_SEG(AXVCPU_X86_CS, AXVCPU_X86_BASE), 0x40000), 0, "gone: it starts there");
    ok_int(axvcpu_set_reg(v, AXVCPU_REG_PC, 0), 0, "gone: at its beginning");
    ok_int(axvcpu_bind(v), 0, "gone: bound");
    os.log[0] = 0;
    ok_int(axvcpu_run(v, &x), AXVCPU_EIO, "gone: run");
    says("gone", "KVM_RUN: Bad address (errno 14)", "the memory behind a mapping is gone");
    ok_int(axvcpu_get_state(v), AXVCPU_STATE_INVALID, "gone: Invalid");
    ok_int(machine_stop(), 0, "gone: the end");
    nothing_left("gone");
}

// ---- the order of calls

// A VM of ours with a vCPU of ours in it already.
static void test_adopted(void)
{
    struct machine m = {.vcpus = 1};
    struct axvcpu_desc desc = {.vcpu_id = 0};
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), its = ioctl(kvm, KVM_CREATE_VM, 0), one = ioctl(its, KVM_CREATE_VCPU, 0);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    begin();
    m.arch.vm_fd = its;
    m.arch.irqchip = AXVM_X86_IRQCHIP_FULL;
    refuse("a vCPU before the irqchip", &m, AXVCPU_EIO, "KVM_CREATE_IRQCHIP: Invalid argument", "it comes before the first vCPU");
    begin();
    m.arch.irqchip = AXVM_X86_IRQCHIP_SPLIT;
    refuse("a vCPU before the split irqchip", &m, AXVCPU_EIO, "KVM_CAP_SPLIT_IRQCHIP", "it comes before the first vCPU");
    begin();
    m.arch.irqchip = 0;
    refuse("trap_39: the same vCPU twice", &m, AXVCPU_EIO, "KVM_CREATE_VCPU: File exists (errno 17)", "use axvcpu_reset, or a new VM");
    begin();
    m.arch.vm_fd = null;
    refuse("no VM's descriptor", &m, AXVCPU_ENOSUPPORT, "KVM_CHECK_EXTENSION", "vm_fd is not the descriptor of a KVM VM");
    begin();
    desc.arch.vm_fd = its;
    ok_int(axvcpu_init(&vcpus[1], &desc), AXVCPU_EIO, "trap_39: a vCPU alone, in a VM that has it");
    says("trap_39", "KVM_CREATE_VCPU", "use axvcpu_reset");
    nothing_left("adopted");
    ok(fcntl(its, F_GETFD) >= 0, "the VM is still open");
    close(one), close(its), close(kvm), close(null);
}

static void test_order(void)
{
    struct machine m = {.vcpus = 1, .arch = {.irqchip = 3}};
    begin();
    refuse("no such irqchip", &m, AXVCPU_EINVAL, "axvm_init", "no such irqchip");
    begin();
    m.arch = (struct axvm_arch_desc){.pit = true};
    refuse("a PIT without an irqchip", &m, AXVCPU_EINVAL, "axvm_init: pit", "AXVM_X86_IRQCHIP_FULL");
    begin();
    m.arch.irqchip = AXVM_X86_IRQCHIP_SPLIT;
    refuse("a PIT with the split irqchip", &m, AXVCPU_EINVAL, "axvm_init: pit", "AXVM_X86_IRQCHIP_FULL");
    begin();
    m.arch = (struct axvm_arch_desc){.msrs_count = 1};
    refuse("MSRs without a table", &m, AXVCPU_EINVAL, "axvm_init", "a table without its count");
    begin();
    m.arch = (struct axvm_arch_desc){.msrs = &msr};
    refuse("MSRs without a count", &m, AXVCPU_EINVAL, "axvm_init", "a table without its count");
    begin();
    m.arch = (struct axvm_arch_desc){.msrs = &msr, .msrs_count = 17};
    refuse("17 ranges of MSRs", &m, AXVCPU_EINVAL, "axvm_init", "at most 16");
    begin();
    m.arch = (struct axvm_arch_desc){.msrs = &(struct axvcpu_x86_msrs){0, 4097}, .msrs_count = 1};
    refuse("4097 MSRs", &m, AXVCPU_EINVAL, "axvm_init", "1 to 4096");
    begin();
    m.arch = (struct axvm_arch_desc){.msrs = &(struct axvcpu_x86_msrs){5, 0}, .msrs_count = 1};
    refuse("no MSR", &m, AXVCPU_EINVAL, "axvm_init", "1 to 4096");
    begin();
    m.arch = (struct axvm_arch_desc){.cpuid_count = 1};
    refuse("CPUID without a table", &m, AXVCPU_EINVAL, "axvm_init", "a table without its count");
}

static const struct {
    const char *name;
    struct axvcpu_arch_setup setup;
    uint64_t entry;
    int err;
    const char *remedy;
} setups[] = {
    {"no such mode", {.mode = 3}, CODE, AXVCPU_EINVAL, "no such mode"},
    {"cr3 without long mode", {.cr3 = 0x1000}, CODE, AXVCPU_EINVAL, "cr3 without long mode"},
    {"tables off a page", {.mode = AXVCPU_X86_LONG, .tables = AXVCPU_GPA_INIT(0x10008)}, CODE, AXVCPU_EINVAL, "no page address"},
    {"the entry in the tables", {.mode = AXVCPU_X86_LONG, .tables = AXVCPU_GPA_INIT(0)}, CODE, AXVCPU_EINVAL, "inside them"},
    {"tables in no memory", {.mode = AXVCPU_X86_LONG, .tables = AXVCPU_GPA_INIT(0x10000000)}, CODE, AXVCPU_EFAULT, "axvm_map it before"},
    {"tables across the end", {.mode = AXVCPU_X86_LONG, .tables = AXVCPU_GPA_INIT(RAM - 0x2000)}, CODE, AXVCPU_EFAULT, "axvm_map it before"},
    {"a wild cr3", {.mode = AXVCPU_X86_LONG, .cr3 = UINT64_C(1) << 60}, CODE, AXVCPU_EIO, "below the guest's MAXPHYADDR"},
    {"real mode beyond 4 GiB", {.mode = AXVCPU_X86_REAL}, UINT64_C(1) << 32, AXVCPU_EINVAL, "needs long mode"},
    {"32 bits beyond 4 GiB", {.mode = AXVCPU_X86_PROTECTED}, UINT64_C(1) << 32, AXVCPU_EINVAL, "needs long mode"},
};

static void test_setup(void)
{
    static const struct axvcpu_x86_cpuid table[257];
    struct axvcpu_desc desc = {.arch = {.cpuid = table, .cpuid_count = 257}};
    begin();
    if (!ok_int(machine_create(&plain), 0, "a vCPU to set up"))
        return;
    ok_int(axvm_run_vcpu(&vm, 0, &x), AXVCPU_EBADSTATE, "run before boot");
    says("run before boot", "axvm_run_vcpu", "it has not been booted");
    for (size_t i = 0; i < sizeof setups / sizeof setups[0]; i++) {
        os.log[0] = 0;
        ok_int(axvcpu_setup(v, axvcpu_gpa(setups[i].entry), axvcpu_hpa(0), &setups[i].setup), setups[i].err, "set-up: %s", setups[i].name);
        says(setups[i].name, "set", setups[i].remedy);
        ok_int(axvcpu_get_state(v), AXVCPU_STATE_INVALID, "set-up: %s: Invalid", setups[i].name);
        ok_int(axvcpu_reset(v), 0, "set-up: %s: and back", setups[i].name);
    }
    ok_int(axvcpu_setup(v, axvcpu_gpa(CODE), axvcpu_hpa(0), NULL), 0, "a good set-up");
    ok_int(axvcpu_inject_exception(v, 32, 0, 0), AXVCPU_EINVAL, "an exception that there is not");
    ok_int(axvcpu_inject_exception(v, 2, 0, 0), AXVCPU_EINVAL, "an NMI is no exception");
    says("no exception", "inject_exception", "no such exception");
    ok_int(axvcpu_inject_interrupt(v, 256), AXVCPU_EINVAL, "trap_7: no vector is cut to 8 bits");
    ok_int(axvcpu_inject_hw(v, 1, 1), AXVCPU_ENOSUPPORT, "no hardware interrupts to link to");
    ok_int(machine_stop(), 0, "set-up: the end");

    begin();
    ok_int(axvcpu_init(&vcpus[1], &desc), AXVCPU_EINVAL, "257 CPUID leaves");
    says("257 CPUID leaves", "init", "at most 256");
    desc.arch.cpuid_count = 0;
    begin();
    ok_int(axvcpu_init(&vcpus[1], &desc), AXVCPU_EINVAL, "CPUID without a count");
    says("CPUID without a count", "init", "a CPUID table without its count");
    nothing_left("CPUID");
    begin();
    ok_int(axvcpu_init(&vcpus[1], &(struct axvcpu_desc){.vcpu_id = 0}), 0, "a vCPU alone");
    ok_int(axvcpu_setup(&vcpus[1], axvcpu_gpa(CODE), axvcpu_hpa(0), &(struct axvcpu_arch_setup){.mode = AXVCPU_X86_LONG}),
           AXVCPU_EINVAL, "long mode without cr3 needs an axvm");
    says("long mode alone", "setup", "setup.cr3");
    ok_int(axvcpu_deinit(&vcpus[1]), 0, "a vCPU alone: the end");
    nothing_left("a vCPU alone");
}

// ---- descriptors without what they need

static void test_descriptors(void)
{
    uint64_t match = 1;
    int fd = eventfd(0, EFD_CLOEXEC);
    begin();
    if (!ok_int(machine_create(&plain), 0, "a VM without an irqchip"))
        return;
    ok_int(axvm_irq_fd(&vm, 3, fd, true), AXVCPU_ENOSUPPORT, "axvm_irq_fd without an irqchip");
    says("axvm_irq_fd", "axvm_irq_fd", "interrupt controller");
    os.log[0] = 0;
    ok_int(axvm_irq_line(&vm, 3, true), AXVCPU_ENOSUPPORT, "axvm_irq_line without an irqchip");
    says("axvm_irq_line", "axvm_irq_line", "interrupt controller");
    ok_int(axvm_irq_fd(&vm, 3, -1, true), AXVCPU_EINVAL, "axvm_irq_fd without an eventfd");
    ok_int(axvm_irq_fd(NULL, 3, fd, true), AXVCPU_EINVAL, "axvm_irq_fd without a VM");
    ok_int(axvm_io_fd(&vm, AXVM_PORT, 0x10, 1, NULL, -1, true), AXVCPU_EINVAL, "axvm_io_fd without an eventfd");
    ok_int(axvm_io_fd(NULL, AXVM_PORT, 0x10, 1, NULL, fd, true), AXVCPU_EINVAL, "axvm_io_fd without a VM");
    os.log[0] = 0;
    ok_int(axvm_io_fd(&vm, AXVM_SYSREG, 0x10, 1, NULL, fd, true), AXVCPU_EINVAL, "axvm_io_fd of a register");
    says("axvm_io_fd of a register", "axvm_io_fd", "AXVM_PORT or AXVM_MMIO");
    os.log[0] = 0;
    ok_int(axvm_io_fd(&vm, AXVM_PORT, 0x10, 3, &match, fd, true), AXVCPU_EIO, "axvm_io_fd of three bytes");
    says("axvm_io_fd of three bytes", "KVM_IOEVENTFD: Invalid argument", "the width is 1, 2, 4 or 8");
    ok_int(axvm_io_fd(&vm, AXVM_PORT, 0x10, 1, &match, fd, true), 0, "axvm_io_fd");
    os.log[0] = 0;
    ok_int(axvm_io_fd(&vm, AXVM_PORT, 0x10, 1, &match, fd, true), AXVCPU_EIO, "axvm_io_fd twice");
    says("axvm_io_fd twice", "KVM_IOEVENTFD: File exists", "no other eventfd may be there");
    ok_int(axvm_io_fd(&vm, AXVM_PORT, 0x10, 1, &match, fd, false), 0, "axvm_io_fd off");
    ok_int(axvm_io_fd(&vm, AXVM_PORT, 0x10, 1, &match, fd, false), AXVCPU_ENOSUPPORT, "axvm_io_fd off twice");
    ok_int(machine_stop(), 0, "descriptors: the end");
    ok_int(axvm_kvm_fd(&vm), -1, "no descriptor of what is gone");
    ok_int(axvcpu_kvm_fd(v), -1, "no descriptor of a vCPU that is gone");
    ok_int(axvcpu_kvm_vm_fd(v), -1, "no descriptor of its VM");
    ok(axvcpu_kvm_run(v) == NULL, "no run page of it");
    ok_int(axvm_kvm_fd(NULL), -1, "no VM, no descriptor");
    ok_int(axvcpu_kvm_fd(NULL), -1, "no vCPU, no descriptor");
    close(fd);
}

// ---- what cannot be taken back (DESIGN 5, point 3)

GUEST(accesses, 16,
      "    mov $0xd000, %ax\n"
      "    mov %ax, %es\n"
      "    out %al, $0x30\n"
      "    mov %ax, %es:0\n"
      "    in $0x30, %al\n"
      "    out %al, $0x30\n"
      "    hlt\n");

static void test_retry(void)
{
    static const struct machine m = {PROGRAM(accesses)};
    uint64_t value = 0;
    begin();
    if (!ok_int(machine_start(&m), 0, "retry: a guest"))
        return;
    ok(machine_run(AXVCPU_EXIT_IO_WRITE), "retry: OUT");
    ok_int(axvcpu_retry(v), AXVCPU_ENOSUPPORT, "retry: an OUT is beyond recall");
    ok(machine_run(AXVCPU_EXIT_MMIO_WRITE), "retry: a store");
    ok_int(axvcpu_retry(v), AXVCPU_EFAULT, "retry: still nothing is mapped there");
    ok(os_said("axvm_write"), "retry: and the log says so");
    ok(machine_run(AXVCPU_EXIT_IO_READ), "retry: IN");
    ok_int(axvcpu_set_gpr(v, AXVCPU_X86_RBX, 1), AXVCPU_EPENDING, "registers wait until the read is answered");
    ok_int(axvcpu_get_gpr(v, AXVCPU_X86_RBX, &value), 0, "but may be read");
    ok_int(axvcpu_complete(v, 0x44), 0, "answered");
    ok_int(axvcpu_set_gpr(v, AXVCPU_X86_RBX, 1), AXVCPU_EPENDING, "... and settled");
    ok_int(axvcpu_settle(v, &x), 0, "settle");
    ok_int(axvcpu_set_gpr(v, AXVCPU_X86_RBX, 1), 0, "then they are set");
    ok(machine_says(0x44), "and the answer is where it belongs");
    ok(machine_run(AXVCPU_EXIT_HALT), "retry: HLT");
    ok_int(axvcpu_retry(v), AXVCPU_EBADSTATE, "retry: nothing waits");
    ok_int(machine_stop(), 0, "retry: the end");
}

// ---- the signal of a kick

static void foreign(int number)
{
    (void)number;
}
static void foreign_info(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info, (void)context;
}

static void *bind_elsewhere(void *err)
{
    *(int *)err = axvcpu_bind(v);
    return NULL;
}

static void test_signal(void)
{
    struct {
        const char *name;
        struct sigaction action;
    } handlers[] = {
        {"a handler", {.sa_handler = foreign}},
        {"a handler with SA_SIGINFO", {.sa_sigaction = foreign_info, .sa_flags = SA_SIGINFO}},
        {"SIG_IGN", {.sa_handler = SIG_IGN}},
    };
    struct sigaction ours, now;
    pthread_t thread;
    int err = 0;
    sigaction(AXVCPU_KVM_SIGNAL, NULL, &ours); // the library's, from the tests before
    for (size_t i = 0; i < sizeof handlers / sizeof handlers[0]; i++) {
        begin();
        sigaction(AXVCPU_KVM_SIGNAL, &handlers[i].action, NULL);
        refuse(handlers[i].name, &plain, AXVCPU_EBUSY, "sigaction(AXVCPU_KVM_SIGNAL)", "define AXVCPU_KVM_SIGNAL as one that is free");
        sigaction(AXVCPU_KVM_SIGNAL, NULL, &now);
        ok(now.sa_handler == handlers[i].action.sa_handler, "%s: it is not overwritten", handlers[i].name);
    }
    sigaction(AXVCPU_KVM_SIGNAL, &ours, NULL);

    // The handler comes between create and a thread's first bind.
    begin();
    if (!ok_int(machine_create(&plain), 0, "a handler later: a vCPU") || !ok_int(axvm_boot(&vm), 0, "a handler later: booted"))
        return;
    sigaction(AXVCPU_KVM_SIGNAL, &handlers[0].action, NULL);
    os.log[0] = 0;
    pthread_create(&thread, NULL, bind_elsewhere, &err);
    pthread_join(thread, NULL);
    ok_int(err, AXVCPU_EBUSY, "a handler later: bind on another thread");
    says("a handler later", "sigaction(AXVCPU_KVM_SIGNAL)", "one that is free");
    sigaction(AXVCPU_KVM_SIGNAL, NULL, &now);
    ok(now.sa_handler == foreign, "a handler later: it is not overwritten");
    ok_int(axvcpu_get_state(v), AXVCPU_STATE_INVALID, "a handler later: Invalid");
    sigaction(AXVCPU_KVM_SIGNAL, &ours, NULL);
    ok_int(axvcpu_reset(v), 0, "trap_42: a handler later: nobody's any more");
    ok_int(machine_stop(), 0, "a handler later: the end");
    nothing_left("a handler later");
}

// ---- reset

// What the kernel takes only in a certain order, or only once.
static void test_reset(void)
{
    struct machine m = {PROGRAM(halt), .arch = {.irqchip = AXVM_X86_IRQCHIP_FULL}};
    unsigned lapic = 0, msrs = 0, before;
    uint64_t value = 0;
    begin();
    if (!ok_int(machine_start(&m), 0, "trap_23: a vCPU with a local APIC"))
        return;
    ok_int(axvcpu_set_reg(v, AXVCPU_REG_SYS(0x174), 0x77), 0, "trap_23: an MSR changes");
    ok_int(axvcpu_kick(v), 0, "trap_23: kick");
    ok(machine_run(AXVCPU_EXIT_CANCELED), "trap_23: run");
    before = os.asked;
    ok_int(axvcpu_reset(v), 0, "trap_23: reset after a run");
    for (unsigned i = before; i < os.asked && i < OS_ASKED; i++) {
        lapic = os.requests[i] == KVM_SET_LAPIC ? i : lapic;
        msrs = os.requests[i] == KVM_SET_MSRS ? i : msrs;
    }
    ok(lapic != 0 && lapic < msrs, "trap_23: the local APIC is restored before the MSRs");
    ok_int(axvcpu_get_reg(v, AXVCPU_REG_SYS(0x174), &value), 0, "trap_23: the MSR");
    ok_u64(value, 0, "trap_23: is as it was");
    ok_int(os_count(KVM_SET_CPUID2), 1, "trap_23: CPUID was set once");
    ok_int(axvcpu_setup(v, axvcpu_gpa(CODE), axvcpu_hpa(0), NULL), 0, "trap_39: the same descriptor again: set up");
    ok_int(axvcpu_bind(v), 0, "trap_39: bound");
    ok_int(axvcpu_kick(v), 0, "trap_39: kick");
    ok(machine_run(AXVCPU_EXIT_CANCELED), "trap_39: run");
    ok_int(machine_stop(), 0, "reset: the end");
    nothing_left("reset");
}

// ---- every call, one after the other

GUEST(busy, 16,
      "    out %al, $0x30\n"
      "    in $0x30, %al\n"
      "    out %al, $0x30\n"
      "1:  hlt\n"
      "    jmp 1b\n");

struct life {
    const char *name;
    struct machine machine;
    unsigned long hidden;
};
static const struct life lives[] = {
    {"without irqchip", {PROGRAM(busy), .mode = AXVCPU_X86_REAL}, 0},
    {"split irqchip", {PROGRAM(busy), .mode = AXVCPU_X86_REAL, .arch = {.irqchip = AXVM_X86_IRQCHIP_SPLIT, .msrs = &msr, .msrs_count = 1}}, 0},
    {"full irqchip", {PROGRAM(busy), .mode = AXVCPU_X86_REAL, .vcpus = 2, .arch = {.irqchip = AXVM_X86_IRQCHIP_FULL, .pit = true}}, 0},
    {"without KVM_CAP_SYNC_REGS", {PROGRAM(busy), .mode = AXVCPU_X86_REAL}, KVM_CAP_SYNC_REGS + 1},
};

static int touch(uint64_t id)
{
    uint64_t value = 0;
    int err = axvcpu_get_reg(v, id, &value);
    return err != 0 ? err : axvcpu_set_reg(v, id, value);
}

static int run_to(uint32_t kind)
{
    int err = axvcpu_run(v, &x);
    return err != 0 ? err : x.kind == kind ? 0 : 100;
}

static int live_registers(void)
{
    static const uint64_t ids[] = {AXVCPU_REG_GPR(3), AXVCPU_REG_PC, AXVCPU_REG_FLAGS, AXVCPU_X86_CR(0), AXVCPU_X86_DR(0),
                                   AXVCPU_REG_SYS(0x174), AXVCPU_X86_SEG(AXVCPU_X86_DS, AXVCPU_X86_BASE),
                                   AXVCPU_X86_SEG(AXVCPU_X86_IDTR, AXVCPU_X86_LIMIT)};
    int err = 0;
    for (size_t i = 0; i < sizeof ids / sizeof ids[0] && err == 0; i++)
        err = touch(ids[i]);
    return err;
}

static int live_inside(const struct life *l, int fd)
{
    bool lines = l->machine.arch.irqchip == AXVM_X86_IRQCHIP_FULL, chip = l->machine.arch.irqchip != 0;
    int err;
    if ((err = run_to(AXVCPU_EXIT_IO_WRITE)) != 0 || (err = live_registers()) != 0 || (err = run_to(AXVCPU_EXIT_IO_READ)) != 0 ||
        (err = axvcpu_retry(v)) != 0 || (err = run_to(AXVCPU_EXIT_IO_READ)) != 0 || (err = axvcpu_complete(v, 1)) != 0 ||
        (err = axvcpu_settle(v, &x)) != 0 || (err = run_to(AXVCPU_EXIT_IO_WRITE)) != 0 || (err = axvcpu_inject_nmi(v)) != 0 ||
        (err = axvcpu_inject_interrupt(v, 0x40)) != 0)
        return err;
    if ((err = axvcpu_kick(v)) != 0 || (err = run_to(AXVCPU_EXIT_CANCELED)) != 0 || (err = axvcpu_inject_exception(v, 14, 0, 0x5000)) != 0)
        return err;
    if (lines && ((err = axvm_irq_line(&vm, 5, true)) != 0 || (err = axvm_irq_line(&vm, 5, false)) != 0))
        return err;
    if (chip && ((err = axvm_irq_fd(&vm, 5, fd, true)) != 0 || (err = axvm_irq_fd(&vm, 5, fd, false)) != 0))
        return err;
    return axvm_io_fd(&vm, AXVM_PORT, 0x60, 1, NULL, fd, true);
}

// To the first error.
static int live(const struct life *l, int fd)
{
    int err = axvcpu_has_hardware_support() ? machine_start(&l->machine) : AXVCPU_EIO;
    if (err != 0 || (err = live_inside(l, fd)) != 0)
        return err;
    if ((err = axvcpu_restart(v, axvcpu_gpa(CODE), 7)) != 0 || (err = run_to(AXVCPU_EXIT_IO_WRITE)) != 0 ||
        (err = axvcpu_reset(v)) != 0 || (err = axvcpu_setup(v, axvcpu_gpa(CODE), axvcpu_hpa(0), NULL)) != 0)
        return err;
    return axvm_unmap(&vm, axvcpu_gpa(0), RAM);
}

// One call fails: an error that the log explains, unless it only makes something unavailable; the vCPU is in
// one of the states that it may be in; and all goes away.
static const char *judge(int err, unsigned *tolerated)
{
    enum axvcpu_state state = axvcpu_get_state(v);
    bool asked = os.failed != NULL && strcmp(os.failed, "KVM_CHECK_EXTENSION") == 0;
    if (err == 100)
        return "another exit than that";
    if (err == 0 && !asked)
        return "nobody noticed";
    *tolerated += err == 0;
    if (err != 0 && !asked && (!os_said(os.failed) || (!os_said(strerror(os.fail_with)) && !os_said("KVM_GET_API_VERSION"))))
        return "the log does not say which call and how it failed";
    if (err != 0 && asked && !os_said("KVM_C"))
        return "the log does not say what is missing";
    return state <= AXVCPU_STATE_READY ? NULL : "an impossible state";
}

static unsigned sweep_one(const struct life *l, int fd, unsigned n, int code, unsigned *tolerated)
{
    const char *wrong;
    int err;
    begin();
    os.hidden = l->hidden;
    os.fail_at = n;
    os.fail_with = code;
    err = live(l, fd);
    wrong = n != 0 && os.failed != NULL ? judge(err, tolerated) : err != 0 ? "it fails by itself" : NULL;
    os.fail_at = 0;
    if (axvm_kvm_fd(&vm) >= 0 && machine_stop() != 0)
        wrong = "it does not go away";
    if (os.fds != 0 || os.mappings != 0)
        wrong = "something is left open";
    if (wrong != NULL) {
        ok(false, "sweep, %s: call %u (%s) fails with %s: %s", l->name, n, os.failed, strerror(code), wrong);
        note("%s; %d fds, %d mappings; log: %s", axvcpu_strerror(err), os.fds, os.mappings, os.log);
    }
    return wrong != NULL;
}

static void sweep(const struct life *l, int code, unsigned step)
{
    int fd = eventfd(0, EFD_CLOEXEC);
    unsigned n, calls, wrong = sweep_one(l, fd, 0, 0, &n), tolerated = 0;
    calls = os.calls;
    for (n = 1; n <= calls && wrong < 5; n += step)
        wrong += sweep_one(l, fd, n, code, &tolerated);
    ok_int(wrong, 0, "sweep, %s: %u calls, each fails once with %s", l->name, calls, strerror(code));
    note("of these %u only made something unavailable", tolerated);
    wrong = sweep_one(l, fd, 0, 0, &tolerated);
    ok_int(wrong, 0, "sweep, %s: then all is well", l->name);
    close(fd);
}

// A signal in any ioctl: it is made again, and nobody notices.
static void sweep_signals(const struct life *l)
{
    int fd = eventfd(0, EFD_CLOEXEC);
    unsigned calls, wrong = 0, n = 0, seen = 0;
    (void)sweep_one(l, fd, 0, 0, &n);
    calls = os.calls;
    for (n = 1; n <= calls && wrong < 5; n++) {
        begin();
        os.hidden = l->hidden;
        os.fail_at = n;
        os.fail_with = EINTR;
        int err = live(l, fd);
        if (os.failed != NULL && strncmp(os.failed, "KVM_", 4) == 0 && strcmp(os.failed, "KVM_RUN") != 0) {
            seen++;
            wrong += err != 0;
            if (err != 0)
                note("call %u, %s: %s; %s", n, os.failed, axvcpu_strerror(err), os.log);
        }
        if (axvm_kvm_fd(&vm) >= 0)
            wrong += machine_stop() != 0;
    }
    ok_int(wrong, 0, "signals, %s: %u ioctls, each interrupted once", l->name, seen);
    ok(seen > 50, "signals, %s: that is many", l->name);
    close(fd);
}

// refused [STEP]: only every STEP-th call of the sweeps, where a VM takes long to create.
int main(int argc, char **argv)
{
    unsigned step = argc > 1 ? (unsigned)atoi(argv[1]) : 1;
    tap_begin(200);
    if (find_substrate() == NULL) {
        skip("kvm: no usable /dev/kvm", "what the host refuses");
        return tap_done();
    }
    test_device();
    test_permission();
    test_capabilities();
    test_memory();
    if (strcmp(find_substrate(), "kvm") == 0)
        test_gone();
    test_adopted();
    test_order();
    test_setup();
    test_descriptors();
    test_retry();
    test_signal();
    test_reset();
    for (size_t i = 0; i < sizeof lives / sizeof lives[0]; i++) {
        sweep(&lives[i], EPERM, step);
        if (i == 0)
            sweep(&lives[i], ENOMEM, step);
    }
    if (step == 1)
        sweep_signals(&lives[0]);
    return tap_done();
}
