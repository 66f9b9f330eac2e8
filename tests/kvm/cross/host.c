// SPDX-License-Identifier: Apache-2.0
//
// The AArch64 and RISC-V backends and their host: what it is asked for, by request code (one KVM_RUN per exit,
// one call more for an interrupt or a register); what it refuses, each time with a log line that names the call
// and the remedy; and a vCPU's whole life with every call failing once, one after the other.
#include "tests/kvm/cross/machine.h"

#include <stdlib.h>

#include "tests/tap.h"

enum { ROUNDS = 500 };

// A write, a read, a call of the host's own, again and again; interrupts masked.
#if defined(__aarch64__)
GUEST(exits, "    mov x20, #0x8000\n"
             "1:  str w1, [x20]\n"
             "    ldr w2, [x20]\n"
             "    ldr x0, =0xc6000001\n"
             "    mov x1, #0x11\n"
             "    hvc #0\n"
             "    mov x1, x0\n"
             "    b 1b\n");
enum { CALL_CALLS = 7, RETURN_GPR = 0, UNKNOWN_SYS = AXVCPU_ARM64_SYSREG(3, 7, 15, 15, 7) }; // six arguments, one answer
#define WITH_GIC {.gicc = AXVCPU_GPA_INIT(0x100000), .irqs = 64}
#else
GUEST(exits, "    li s0, 0x8000\n"
             "1:  sw a1, (s0)\n"
             "    lw a2, (s0)\n"
             "    li a7, 0x09000001\n"
             "    li a6, 7\n"
             "    li a0, 0x11\n"
             "    ecall\n"
             "    mv a1, a0\n"
             "    j 1b\n");
enum { CALL_CALLS = 0, RETURN_GPR = 10, UNKNOWN_SYS = 0x7c0 };
#define WITH_GIC {0}
#endif

static bool calls_exit(void)
{
    return strcmp(find_substrate(), "arm64-kvm-old") != 0;
}

// ---- counts

static void counted(const char *name, unsigned runs, unsigned others, unsigned wanted)
{
    ok_int(runs, ROUNDS, "%s: one KVM_RUN", name);
    ok_int(others, ROUNDS * wanted, "%s: %u other calls", name, wanted);
}

static bool serve(uint32_t kind, unsigned round)
{
    if (kind == AXVCPU_EXIT_MMIO_WRITE)
        return round == 0 || !calls_exit() || x.mmio.data == round + 0x100;
    if (kind == AXVCPU_EXIT_MMIO_READ)
        return axvcpu_complete(v, 0x12) == 0;
    return x.hypercall.args[0] == 0x11 && axvcpu_set_return_value(v, round + 0x101) == 0;
}

static void count_exits(void)
{
    static const struct {
        const char *name;
        uint32_t kind, calls;
    } kinds[] = {{"MMIO write", AXVCPU_EXIT_MMIO_WRITE, 0}, {"MMIO read and complete", AXVCPU_EXIT_MMIO_READ, 0},
                 {"a call and its answer", AXVCPU_EXIT_HYPERCALL, CALL_CALLS}};
    const struct machine m = {PROGRAM(exits)};
    unsigned runs[3] = {0}, others[3] = {0}, wrong = 0, count = calls_exit() ? 3 : 2;
    os_begin();
    if (!ok_int(machine_start(&m), 0, "a guest of every exit"))
        return;
    for (unsigned i = 0; i < ROUNDS * count && wrong == 0; i++) {
        os.runs = os.asked = 0;
        wrong += !machine_run(kinds[i % count].kind) || !serve(kinds[i % count].kind, i / count);
        runs[i % count] += os.runs;
        others[i % count] += os.asked;
    }
    ok_int(wrong, 0, "every exit came in its turn, with what the guest was answered");
    for (unsigned i = 0; i < count; i++)
        counted(kinds[i].name, runs[i], others[i], kinds[i].calls);
    ok_int(machine_stop(), 0, "the end");
}

static void count_registers(void)
{
    const struct machine m = {PROGRAM(exits)};
    uint64_t value = 0;
    os_begin();
    if (!ok_int(machine_start(&m), 0, "registers: a guest") || !ok(machine_run(AXVCPU_EXIT_MMIO_WRITE), "registers: it runs"))
        return;
    os.runs = os.asked = 0;
    ok_int(axvcpu_set_gpr(v, 9, 0x1234567890abcdef), 0, "set_gpr");
    ok(os.asked == 1 && os_count(KVM_SET_ONE_REG) == 1, "set_gpr: one KVM_SET_ONE_REG");
    ok_int(axvcpu_get_gpr(v, 9, &value), 0, "get_gpr");
    ok(os.asked == 2 && os_count(KVM_GET_ONE_REG) == 1, "get_gpr: one KVM_GET_ONE_REG");
    ok_u64(value, 0x1234567890abcdef, "what was set is what is there");
    os.asked = 0;
    ok_int(axvcpu_settle(v, &x), 0, "settle");
    ok(os.runs == 1 && os.asked == 0, "settle: one KVM_RUN, which enters no guest");
    ok_int(axvcpu_settle(v, &x), 0, "settle again");
    ok(os.runs == 1 && os.asked == 0, "settle again: nothing");
    ok(machine_run(AXVCPU_EXIT_MMIO_READ), "the read");
    os.runs = os.asked = 0;
    ok_int(axvcpu_complete(v, 7), 0, "complete");
    ok(os.runs == 0 && os.asked == 0, "complete asks nobody");
    ok_int(machine_stop(), 0, "registers: the end");
}

static int inject(unsigned round)
{
#if defined(__aarch64__)
    return axvcpu_inject_interrupt(v, 32 + round % 32);
#else
    return axvcpu_set_irq(v, AXVCPU_RISCV_IRQ_EXT, round % 2 == 0);
#endif
}

static void count_injections(void)
{
#if defined(__aarch64__)
    const unsigned long request = KVM_IRQ_LINE;
#else
    const unsigned long request = KVM_INTERRUPT;
#endif
    const struct machine m = {.arch = WITH_GIC, PROGRAM(exits)};
    unsigned runs = 0, others = 0, right = 0, wrong = 0;
    os_begin();
    if (!ok_int(machine_start(&m), 0, "interrupts: a guest"))
        return;
    for (unsigned i = 0; i < ROUNDS && wrong == 0; i++) {
        do
            wrong += axvcpu_run(v, &x) != 0 || (x.kind == AXVCPU_EXIT_MMIO_READ && axvcpu_complete(v, 1) != 0);
        while (wrong == 0 && x.kind != AXVCPU_EXIT_MMIO_WRITE);
        os.runs = os.asked = 0;
        wrong += inject(i) != 0 || !machine_run(AXVCPU_EXIT_MMIO_READ) || axvcpu_complete(v, 1) != 0;
        runs += os.runs;
        others += os.asked;
        right += os_count(request);
    }
    ok_int(wrong, 0, "interrupts: no other exit");
    counted("an interrupt", runs, others, 1);
    ok_int(right, ROUNDS, "an interrupt: %s", os_name(request));
    ok_int(machine_stop(), 0, "interrupts: the end");
}

// ---- refused

static void says(const char *name, const char *call, const char *remedy)
{
    if (!ok(os_said(call), "%s: the log names \"%s\"", name, call) | !ok(os_said(remedy), "%s: and says \"%s\"", name, remedy))
        note("%s", os.log);
}

static void nothing_left(const char *name)
{
    ok(os.fds == 0 && os.mappings == 0, "%s: %d descriptors, %d mappings left", name, os.fds, os.mappings);
}

static void refuse(const char *name, const struct machine *m, int err, const char *call, const char *remedy)
{
    ok_int(machine_create(m), err, "%s: %s", name, axvcpu_strerror(err));
    says(name, call, remedy);
    nothing_left(name);
}

static void test_device(void)
{
    static const struct {
        int code, err;
        const char *remedy;
    } opens[] = {
        {ENOENT, AXVCPU_ENOSUPPORT, "no KVM: "},
        {ENODEV, AXVCPU_ENOSUPPORT, "no KVM: "},
        {EACCES, AXVCPU_EIO, "join the group that owns /dev/kvm"},
    };
    const struct machine plain = {PROGRAM(exits)};
    for (size_t i = 0; i < sizeof opens / sizeof opens[0]; i++) {
        os_begin();
        os.fail_at = 1;
        os.fail_with = opens[i].code;
        refuse(strerror(opens[i].code), &plain, opens[i].err, "open(/dev/kvm)", opens[i].remedy);
    }
    os_begin();
    os.device = "/no/such/device";
    refuse("a kernel without KVM", &plain, AXVCPU_ENOSUPPORT, "open(/dev/kvm)", "no KVM: ");
    ok(!axvcpu_has_hardware_support(), "a kernel without KVM: no hardware support");
    os_begin();
    os.device = "/dev/null";
    refuse("something else", &plain, AXVCPU_ENOSUPPORT, "KVM_GET_API_VERSION", "is not KVM");
}

static void test_capabilities(void)
{
    static const struct {
        unsigned long capability;
        const char *name, *remedy;
    } lacks[] = {
        {KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY", "newer kernel"},
        {KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT", "Linux 4.11"},
    };
    const struct machine plain = {PROGRAM(exits)};
    for (size_t i = 0; i < sizeof lacks / sizeof lacks[0]; i++) {
        os_begin();
        os.hidden = lacks[i].capability + 1;
        refuse(lacks[i].name, &plain, AXVCPU_ENOSUPPORT, lacks[i].name, lacks[i].remedy);
    }
#if defined(__aarch64__)
    os_begin();
    os.hidden = KVM_CAP_ARM_INJECT_EXT_DABT + 1;
    if (!ok_int(machine_start(&plain), 0, "KVM_CAP_ARM_INJECT_EXT_DABT: all is well until it is wanted") ||
        !ok(machine_run(AXVCPU_EXIT_MMIO_WRITE), "KVM_CAP_ARM_INJECT_EXT_DABT: an access"))
        return;
    ok_int(axvcpu_refuse(v), AXVCPU_ENOSUPPORT, "KVM_CAP_ARM_INJECT_EXT_DABT: refuse");
    says("KVM_CAP_ARM_INJECT_EXT_DABT", "refuse: KVM_CAP_ARM_INJECT_EXT_DABT is missing", "Linux 5.5");
    ok_int(machine_stop(), 0, "KVM_CAP_ARM_INJECT_EXT_DABT: the end");
#endif
}

static void test_calls(void)
{
    const struct machine m = {PROGRAM(exits)};
    uint64_t value;
    os_begin();
    if (!ok_int(machine_start(&m), 0, "calls: a guest"))
        return;
    ok_int(axvcpu_get_reg(v, AXVCPU_REG_SYS(UNKNOWN_SYS), &value), AXVCPU_ENOSUPPORT, "an unknown register");
    says("an unknown register", "KVM_GET_ONE_REG", "register");
    ok_int(axvcpu_set_reg(v, AXVCPU_REG_SYS(UNKNOWN_SYS), 1), AXVCPU_ENOSUPPORT, "... set");
    ok_int(axvcpu_get_reg(v, UINT64_C(3) << 32 | 1, &value), AXVCPU_ENOSUPPORT, "a register of another architecture");
    ok(machine_run(AXVCPU_EXIT_MMIO_WRITE) && machine_run(AXVCPU_EXIT_MMIO_READ), "calls: a read");
    os_begin();
    ok_int(axvcpu_run(v, &x), AXVCPU_EPENDING, "run while it waits");
    ok_int(axvcpu_inject_exception(v, 2, 0, 0), AXVCPU_EPENDING, "inject_exception while it waits");
    says("inject_exception", "inject_exception: the guest's access is not committed", "settle first");
    ok_int(axvcpu_inject_exception(v, 63, UINT64_MAX, 0), AXVCPU_EINVAL, "no such exception");
    ok_int(axvcpu_setup(v, axvcpu_gpa(CODE), axvcpu_hpa(0), &(struct axvcpu_arch_setup){0}), AXVCPU_EBADSTATE, "setup of a bound vCPU");
    says("setup of a bound vCPU", "setup of vCPU 0.0", "expected Created");
    ok_int(machine_stop(), 0, "calls: the end");
}

// A VM of the caller's: his vCPUs and ours.
static void test_adopt(void)
{
    struct axvcpu_desc desc = {.vcpu_id = 0};
    static struct axvcpu other;
    int kvm = open("/dev/kvm", O_RDWR), fd = ioctl(kvm, KVM_CREATE_VM, 0);
    desc.arch.vm_fd = fd;
    os_begin();
    ok_int(axvcpu_init(v, &desc), 0, "a vCPU in a VM of the caller's");
    ok_int(axvcpu_init(&other, &desc), AXVCPU_EIO, "the same again");
    says("the same again", "KVM_CREATE_VCPU: File exists", "use axvcpu_reset, or a new VM");
    ok_int(axvcpu_deinit(v), 0, "its end");
    os_begin();
    desc.arch.vm_fd = kvm;
    ok(axvcpu_init(v, &desc) != 0, "a descriptor that is no VM");
    ok(os.log[0] != 0, "... which the log says");
    nothing_left("a descriptor that is no VM");
    close(fd);
    close(kvm);
}

// ---- every call fails once

// true: as if nothing had failed. Always to its end.
static bool life(void)
{
    const struct machine m = {.arch = WITH_GIC, PROGRAM(exits)};
    uint64_t value;
    int err = machine_create(&m);
    if (err != 0)
        return false;
    err |= axvm_boot(&vm);
    err |= axvcpu_bind(v);
    err |= axvcpu_run(v, &x);
    err |= axvcpu_get_gpr(v, 9, &value) | axvcpu_set_gpr(v, 9, value) | axvcpu_get_reg(v, AXVCPU_REG_PC, &value);
    err |= axvcpu_settle(v, &x);
    err |= axvcpu_run(v, &x);
    err |= axvcpu_complete(v, 0xff000000);
    err |= inject(0);
    err |= axvcpu_run(v, &x);
    while (err == 0 && x.kind != AXVCPU_EXIT_MMIO_WRITE)
        err |= axvcpu_run(v, &x);
    err |= axvcpu_retry(v) | axvcpu_run(v, &x);
    err |= axvcpu_refuse(v);
    err |= axvcpu_restart(v, axvcpu_gpa(CODE), 5);
    err |= axvcpu_run(v, &x);
    err |= axvcpu_reset(v);
    return (machine_stop() | err) == 0;
}

// What may fail without harm: it is then as if the kernel did not have it.
static bool is_question(const char *call)
{
    return strcmp(call, "KVM_CHECK_EXTENSION") == 0 || strcmp(call, "KVM_HAS_DEVICE_ATTR") == 0 ||
           strcmp(call, "KVM_GET_REG_LIST") == 0;
}

static void test_every_failure(unsigned step)
{
    unsigned failed = 0, silent = 0, leaks = 0, n;
    os_begin();
    if (!ok(life(), "a life without a failure"))
        note("%s", os.log);
    for (n = 1; n < 4000; n += step) {
        os_begin();
        os.fail_at = n;
        os.fail_with = EPERM; // EIO of KVM_RUN says something on RISC-V
        bool good = life();
        if (os.failed == NULL)
            break;
        leaks += os.fds != 0 || os.mappings != 0;
        if (os.fds != 0 || os.mappings != 0)
            note("call %u, %s: %d descriptors, %d mappings left", n, os.failed, os.fds, os.mappings);
        failed += !good;
        if (is_question(os.failed) || (good && (strcmp(os.failed, "KVM_SET_ONE_REG") == 0 || // an extension is asked for
                                                strcmp(os.failed, "KVM_CREATE_DEVICE") == 0))) // a GICv2 is
            continue;
        silent += good || !os_said(os.failed);
        if (good || !os_said(os.failed))
            note("call %u, %s: %s; log: %s", n, os.failed, good ? "nobody noticed" : "not named", os.log);
    }
    ok(n > 30 && n < 4000, "a life has up to %u calls that can fail; each %u. did", n - 1, step);
    ok(failed > 10, "%u of them end an operation", failed);
    ok_int(silent, 0, "each is an error, and the log names the call");
    ok_int(leaks, 0, "and nothing is left behind");
}

#if defined(__riscv)
static long cannot_emulate(int fd)
{
    (void)fd;
    return -EOPNOTSUPP;
}

// KVM_RUN fails for what a guest does: it is an exit, also where the instruction is no access (any more), or none
// can be read.
static void test_failure_is_an_exit(void)
{
    static const struct {
        uint64_t pc, insn;
        uint32_t kind, insn_len;
    } all[] = {
        {CODE, 0x00000013, AXVCPU_EXIT_UNDECODED, 4}, // addi, where an access has been
        {CODE, 0x0001, AXVCPU_EXIT_UNDECODED, 2},
        {CODE, 0x0005300f, AXVCPU_EXIT_UNDECODED, 4}, // in MISC-MEM, as cache operations are
        {CODE, 0x00000000, AXVCPU_EXIT_NESTED_PAGE_FAULT, 0},
        {DEVICE, 0, AXVCPU_EXIT_NESTED_PAGE_FAULT, 0},
    };
    os_begin();
    ok_int(machine_start(&(struct machine){0}), 0, "a failure of KVM_RUN: the machine");
    os.run = cannot_emulate;
    for (unsigned i = 0; i < sizeof all / sizeof all[0]; i++) {
        (void)memcpy(ram + CODE, &all[i].insn, 4);
        (void)axvcpu_set_reg(v, AXVCPU_REG_PC, all[i].pc);
        ok(machine_run(all[i].kind), "a failure of KVM_RUN at 0x%llx is an exit", (unsigned long long)all[i].insn);
        if (all[i].kind == AXVCPU_EXIT_UNDECODED)
            ok(x.undecoded.addr == 0 && x.undecoded.insn_len == all[i].insn_len, "... with the instruction, but no address");
    }
    os.run = NULL;
    ok_int(machine_stop(), 0, "a failure of KVM_RUN: the end");
}

static unsigned kicks;

// While an instruction is being finished, which is all that this KVM_RUN may do.
static long kick_and_finish(int fd)
{
    if (v->arch.kvm.run->immediate_exit && kicks++ == 0)
        (void)axvcpu_kick(v);
    return ioctl(fd, KVM_RUN, 0) == 0 ? 0 : -(long)errno;
}

// The kernel does not extend a negative value's sign: the run that brings it finishes the load by itself, behind its
// look at what is wanted.
static void test_trap_14_kick_while_finishing(void)
{
    const struct machine m = {PROGRAM(exits)};
    os_begin();
    if (!ok_int(machine_start(&m), 0, "a kick while a load is finished: a guest"))
        return;
    ok(machine_run(AXVCPU_EXIT_MMIO_WRITE) && machine_run(AXVCPU_EXIT_MMIO_READ), "... its load");
    ok_int(axvcpu_complete(v, 0x80000000), 0, "... of a negative value");
    os.run = kick_and_finish;
    ok(machine_run(AXVCPU_EXIT_CANCELED) && kicks != 0, "... the kick ends the run that it met");
    ok(machine_run(AXVCPU_EXIT_HYPERCALL), "... and no other");
    os.run = NULL;
    ok_int(machine_stop(), 0, "... the end");
}
#endif

// host STEP: each STEP. call fails in a life of its own; they are slow in an emulated machine.
int main(int argc, char **argv)
{
    tap_begin(200);
    if (find_substrate() == NULL) {
        skip("kvm: no usable /dev/kvm", "the host");
        return tap_done();
    }
    count_exits();
    count_registers();
    count_injections();
    test_device();
    test_capabilities();
    test_calls();
    test_adopt();
#if defined(__riscv)
    test_failure_is_an_exit();
    test_trap_14_kick_while_finishing();
#endif
    test_every_failure(argc > 1 ? (unsigned)atoi(argv[1]) : 1);
    return tap_done();
}
