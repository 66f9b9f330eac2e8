// SPDX-License-Identifier: Apache-2.0
//
// What becomes of what KVM_RUN leaves in the run page. The test plays the kernel here: it fills in the page
// (api.rst, section 5) and says how KVM_RUN ends. That needs no guest, so that exits which a kernel at hand
// does not make are seen too.
#include "tests/kvm/x86/machine.h"

#include "tests/tap.h"

// ---- the kernel's part

struct played {
    const char *name;
    void (*fill)(struct kvm_run *);
    uint32_t reason;
    uint32_t kind;
    void (*check)(const char *name);
};

enum { ANSWERS = 8 };
static struct {
    const struct played *play; // left in the page before it is left with `code`
    long codes[ANSWERS];       // one after the other, the last for ever
    unsigned next;
    bool immediate[ANSWERS];   // immediate_exit at the time
} kernel;

static long play_run(int fd)
{
    struct kvm_run *run = axvcpu_kvm_run(v);
    unsigned n = kernel.next < ANSWERS - 1 ? kernel.next++ : kernel.next;
    (void)fd;
    kernel.immediate[n] = run->immediate_exit;
    if (kernel.play != NULL) {
        run->exit_reason = kernel.play->reason;
        if (kernel.play->fill != NULL)
            kernel.play->fill(run);
    }
    return kernel.codes[n];
}

static void play(const struct played *p)
{
    memset(&kernel, 0, sizeof kernel);
    kernel.play = p;
    os.run = play_run;
    os.runs = 0;
    os.log[0] = 0;
}

// ---- each exit

#define RUN(name, ...) static void name(struct kvm_run *run) { __VA_ARGS__ }
#define CHECK(name, ...) static void name(const char *n) { __VA_ARGS__ }

// Behind the 30 bytes of data that a string may have; stale from an earlier, wider access.
static void fill_io(struct kvm_run *run, uint8_t direction, uint8_t size, uint32_t count)
{
    run->io.direction = direction;
    run->io.size = size;
    run->io.port = 0xfff1;
    run->io.count = count;
    run->io.data_offset = 4096;
    memset((char *)run + 4096, 0xee, 64);
    memcpy((char *)run + 4096, &(uint32_t){0x44332211}, 4);
}
static void check_io(const char *n, uint32_t width, uint32_t count)
{
    ok_u64(x.io.port, 0xfff1, "%s: port", n);
    ok_u64(x.io.width, width, "%s: width", n);
    ok_u64(x.io.count, count, "%s: count", n);
    ok(x.io.buf == (char *)axvcpu_kvm_run(v) + 4096, "%s: buffer", n);
}

RUN(fill_fail, run->fail_entry.hardware_entry_failure_reason = 0x80000021;)
CHECK(check_fail, ok_u64(x.fail.reason, 0x80000021, "trap_22: %s: the reason", n);)

RUN(fill_out1, fill_io(run, KVM_EXIT_IO_OUT, 1, 1);)
CHECK(check_out1, check_io(n, 1, 1); ok_u64(x.io.data, 0x11, "trap_18: %s: data masked to its size", n);)
RUN(fill_out2, fill_io(run, KVM_EXIT_IO_OUT, 2, 1);)
CHECK(check_out2, check_io(n, 2, 1); ok_u64(x.io.data, 0x2211, "trap_18: %s: data masked to its size", n);)
RUN(fill_out4, fill_io(run, KVM_EXIT_IO_OUT, 4, 1);)
CHECK(check_out4, check_io(n, 4, 1); ok_u64(x.io.data, 0x44332211, "%s: data", n);)
RUN(fill_outs, fill_io(run, KVM_EXIT_IO_OUT, 2, 9);)
CHECK(check_outs, check_io(n, 2, 9); ok_u64(x.io.data, 0x2211, "trap_12: %s: data is the first element", n);)
RUN(fill_in, fill_io(run, KVM_EXIT_IO_IN, 2, 1);)
CHECK(check_in, check_io(n, 2, 1); ok_int(axvcpu_complete(v, 0xaabbccdd), 0, "%s: complete", n);
      ok_int(memcmp(x.io.buf, "\xdd\xcc", 2), 0, "%s: the answer is where the kernel looks for it", n);)
RUN(fill_ins, fill_io(run, KVM_EXIT_IO_IN, 4, 5);)
CHECK(check_ins, check_io(n, 4, 5); memset(x.io.buf, 0x5a, 20); ok_int(axvcpu_complete(v, 0), 0, "%s: complete", n);
      ok_int(memcmp(x.io.buf, "ZZZZ", 4), 0, "trap_12: %s: complete leaves the elements alone", n);)
CHECK(refuse_in, ok_int(axvcpu_refuse(v), 0, "%s: refuse", n);
      ok_int(memcmp(x.io.buf, "\xff\xff\xff\xff", 4), 0, "%s: refused: all ones", n);)

// No kernel has these (found by tests/fuzz/kvm.c): nothing of them is touched.
RUN(fill_out3, fill_io(run, KVM_EXIT_IO_OUT, 3, 1);)
RUN(fill_out255, fill_io(run, KVM_EXIT_IO_OUT, 255, 1);)
RUN(fill_none, fill_io(run, KVM_EXIT_IO_IN, 1, 0);)
RUN(fill_beyond, fill_io(run, KVM_EXIT_IO_IN, 4, UINT32_MAX);)
RUN(fill_odd, fill_io(run, KVM_EXIT_IO_IN, 4, 1); run->io.data_offset = 4097;)
RUN(fill_in_page, fill_io(run, KVM_EXIT_IO_IN, 4, 1); run->io.data_offset = 32;)
RUN(fill_outside, fill_io(run, KVM_EXIT_IO_OUT, 4, 1); run->io.data_offset = UINT64_MAX - 7;)

static void fill_mmio(struct kvm_run *run, bool write, uint32_t len)
{
    run->mmio.phys_addr = 0x123456789000;
    run->mmio.is_write = write;
    run->mmio.len = len;
    memcpy(run->mmio.data, "\x11\x22\x33\x44\x55\x66\x77\x88", 8);
}
#define MMIO_WRITE(len, value)                                                                                \
    RUN(fill_write##len, fill_mmio(run, true, len);)                                                          \
    CHECK(check_write##len, ok_u64(x.mmio.addr, 0x123456789000, "%s: address", n);                            \
          ok_u64(x.mmio.width, len, "%s: width", n); ok_u64(x.mmio.data, value, "%s: data masked to its size", n); \
          ok_u64(x.mmio.reg, AXVCPU_REG_NONE, "%s: no register", n);)
MMIO_WRITE(1, 0x11)
MMIO_WRITE(3, 0x332211)
MMIO_WRITE(4, 0x44332211)
MMIO_WRITE(5, 0x5544332211)
MMIO_WRITE(8, 0x8877665544332211)
RUN(fill_write0, fill_mmio(run, true, 0);)
RUN(fill_read9, fill_mmio(run, false, 9);)
RUN(fill_read_huge, fill_mmio(run, false, UINT32_MAX);)
RUN(fill_read, fill_mmio(run, false, 4);)
CHECK(check_read, ok_u64(x.mmio.width, 4, "%s: width", n); ok_int(axvcpu_complete(v, 0xaabbccdd), 0, "%s: complete", n);
      ok_int(memcmp(axvcpu_kvm_run(v)->mmio.data, "\xdd\xcc\xbb\xaa", 4), 0, "%s: the answer is in the page", n);)
CHECK(refuse_read, ok_int(axvcpu_refuse(v), 0, "%s: refuse", n);
      ok_int(memcmp(axvcpu_kvm_run(v)->mmio.data, "\xff\xff\xff\xff", 4), 0, "%s: refused: all ones", n);)

// api.rst, KVM_EXIT_INTERNAL_ERROR: flags, then the length and up to 15 bytes of the instruction.
static void fill_emulation(struct kvm_run *run, uint64_t flags, uint32_t ndata, uint8_t size)
{
    memset(&run->internal, 0, sizeof run->internal);
    run->emulation_failure.suberror = KVM_INTERNAL_ERROR_EMULATION;
    run->emulation_failure.ndata = ndata;
    run->emulation_failure.flags = flags;
    run->emulation_failure.insn_size = size;
    memcpy(run->emulation_failure.insn_bytes, "\x0f\xae\x38\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90", 15);
}
static void check_insn(const char *n, uint32_t len)
{
    ok_u64(x.undecoded.syndrome, KVM_INTERNAL_ERROR_EMULATION, "%s: why", n);
    ok_u64(x.undecoded.insn_len, len, "%s: %u bytes", n, len);
    ok(len == 0 || memcmp(x.undecoded.insn, "\x0f\xae\x38", 3) == 0, "%s: the instruction", n);
}
RUN(fill_bytes, fill_emulation(run, KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES, 4, 3);)
CHECK(check_bytes, check_insn(n, 3);)
RUN(fill_15, fill_emulation(run, KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES, 4, 15);)
CHECK(check_15, check_insn(n, 15);)
RUN(fill_255, fill_emulation(run, KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES, 4, 255);)
RUN(fill_no_bytes, fill_emulation(run, 0, 4, 3);)
CHECK(check_no_bytes, check_insn(n, 0);)
RUN(fill_old, fill_emulation(run, KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES, 2, 3);)
RUN(fill_delivery, memset(&run->internal, 0, sizeof run->internal); run->internal.suberror = KVM_INTERNAL_ERROR_DELIVERY_EV;
    run->internal.ndata = 3; memset(run->internal.data, 0xff, sizeof run->internal.data);)
CHECK(check_delivery, ok_u64(x.undecoded.syndrome, KVM_INTERNAL_ERROR_DELIVERY_EV, "%s: why", n);
      ok_u64(x.undecoded.insn_len, 0, "%s: no instruction", n);)

#define SYSTEM_EVENT(name, type_) RUN(fill_##name, run->system_event.type = (type_);)
SYSTEM_EVENT(off, KVM_SYSTEM_EVENT_SHUTDOWN)
SYSTEM_EVENT(reset, KVM_SYSTEM_EVENT_RESET)
SYSTEM_EVENT(crash, KVM_SYSTEM_EVENT_CRASH)
SYSTEM_EVENT(future, 1000)
CHECK(check_off, ok_u64(x.system.reason, AXVCPU_SYSTEM_OFF, "%s: reason", n);)
CHECK(check_reset, ok_u64(x.system.reason, AXVCPU_SYSTEM_RESET, "%s: reason", n);)
CHECK(check_crash, ok_u64(x.system.reason, AXVCPU_SYSTEM_CRASH, "%s: reason", n);)

RUN(fill_msr, run->msr.index = 0x2f000001; run->msr.data = 0x1122334455667788; run->msr.error = 0xff;)
CHECK(check_rdmsr, ok_u64(x.sysreg.addr, 0x2f000001, "%s: MSR", n); ok_int(axvcpu_complete(v, 0x99aabbccddeeff00), 0, "%s: complete", n);
      ok_u64(axvcpu_kvm_run(v)->msr.data, 0x99aabbccddeeff00, "trap_17: %s: all 64 bits for EDX:EAX", n);
      ok_u64(axvcpu_kvm_run(v)->msr.error, 0, "%s: no #GP", n);)
CHECK(check_wrmsr, ok_u64(x.sysreg.addr, 0x2f000001, "%s: MSR", n); ok_u64(x.sysreg.value, 0x1122334455667788, "%s: value", n);
      ok_u64(axvcpu_kvm_run(v)->msr.error, 0, "%s: no #GP", n);)
CHECK(refuse_msr, ok_int(axvcpu_refuse(v), 0, "%s: refuse", n); ok_u64(axvcpu_kvm_run(v)->msr.error, 1, "%s: refused: #GP", n);)

RUN(fill_hypercall, run->hypercall.nr = 12; for (int i = 0; i < 6; i++) run->hypercall.args[i] = 100u + (unsigned)i;)
CHECK(check_hypercall, ok_u64(x.hypercall.nr, 12, "%s: number", n); ok_u64(x.hypercall.args[0], 100, "%s: first argument", n);
      ok_u64(x.hypercall.args[5], 105, "%s: last argument", n); ok_int(os.runs, 2, "%s: the kernel has ended it", n);
      ok(kernel.immediate[1], "%s: without entering the guest", n);)
RUN(fill_debug, run->debug.arch.pc = 0x1234; run->debug.arch.dr6 = 0x4001;)
CHECK(check_debug, ok_u64(x.debug.pc, 0x1234, "%s: PC", n); ok_u64(x.debug.status, 0x4001, "%s: DR6", n);)
RUN(fill_eoi, run->eoi.vector = 0x61;)
CHECK(check_eoi, ok_u64(x.eoi.vector, 0x61, "%s: vector", n);)
CHECK(check_none, (void)n;)
CHECK(check_raw, ok_u64(x.raw, kernel.play->reason, "%s: the kernel's code", n);)

static const struct played exits[] = {
    {"HLT", NULL, KVM_EXIT_HLT, AXVCPU_EXIT_HALT, check_none},
    {"OUT of 1", fill_out1, KVM_EXIT_IO, AXVCPU_EXIT_IO_WRITE, check_out1},
    {"OUT of 2", fill_out2, KVM_EXIT_IO, AXVCPU_EXIT_IO_WRITE, check_out2},
    {"OUT of 4", fill_out4, KVM_EXIT_IO, AXVCPU_EXIT_IO_WRITE, check_out4},
    {"trap_18: rep outsw is no HALT", fill_outs, KVM_EXIT_IO, AXVCPU_EXIT_IO_WRITE, check_outs},
    {"IN", fill_in, KVM_EXIT_IO, AXVCPU_EXIT_IO_READ, check_in},
    {"IN, nobody there", fill_in, KVM_EXIT_IO, AXVCPU_EXIT_IO_READ, refuse_in},
    {"trap_18: rep insl is no HALT", fill_ins, KVM_EXIT_IO, AXVCPU_EXIT_IO_READ, check_ins},
    {"rep insl, nobody there", fill_ins, KVM_EXIT_IO, AXVCPU_EXIT_IO_READ, refuse_in},
    {"MMIO write of 1", fill_write1, KVM_EXIT_MMIO, AXVCPU_EXIT_MMIO_WRITE, check_write1},
    {"MMIO write of 3", fill_write3, KVM_EXIT_MMIO, AXVCPU_EXIT_MMIO_WRITE, check_write3},
    {"MMIO write of 4", fill_write4, KVM_EXIT_MMIO, AXVCPU_EXIT_MMIO_WRITE, check_write4},
    {"MMIO write of 5", fill_write5, KVM_EXIT_MMIO, AXVCPU_EXIT_MMIO_WRITE, check_write5},
    {"MMIO write of 8", fill_write8, KVM_EXIT_MMIO, AXVCPU_EXIT_MMIO_WRITE, check_write8},
    {"MMIO read", fill_read, KVM_EXIT_MMIO, AXVCPU_EXIT_MMIO_READ, check_read},
    {"MMIO read, nobody there", fill_read, KVM_EXIT_MMIO, AXVCPU_EXIT_MMIO_READ, refuse_read},
    {"RDMSR", fill_msr, KVM_EXIT_X86_RDMSR, AXVCPU_EXIT_SYSREG_READ, check_rdmsr},
    {"RDMSR refused", fill_msr, KVM_EXIT_X86_RDMSR, AXVCPU_EXIT_SYSREG_READ, refuse_msr},
    {"WRMSR", fill_msr, KVM_EXIT_X86_WRMSR, AXVCPU_EXIT_SYSREG_WRITE, check_wrmsr},
    {"WRMSR refused", fill_msr, KVM_EXIT_X86_WRMSR, AXVCPU_EXIT_SYSREG_WRITE, refuse_msr},
    {"hypercall", fill_hypercall, KVM_EXIT_HYPERCALL, AXVCPU_EXIT_HYPERCALL, check_hypercall},
    {"debug", fill_debug, KVM_EXIT_DEBUG, AXVCPU_EXIT_DEBUG, check_debug},
    {"EOI", fill_eoi, KVM_EXIT_IOAPIC_EOI, AXVCPU_EXIT_EOI, check_eoi},
    {"trap_22: triple fault", NULL, KVM_EXIT_SHUTDOWN, AXVCPU_EXIT_SHUTDOWN, check_none},
    {"trap_22: failed entry", fill_fail, KVM_EXIT_FAIL_ENTRY, AXVCPU_EXIT_FAIL_ENTRY, check_fail},
    {"emulation failure with bytes", fill_bytes, KVM_EXIT_INTERNAL_ERROR, AXVCPU_EXIT_UNDECODED, check_bytes},
    {"emulation failure with the longest", fill_15, KVM_EXIT_INTERNAL_ERROR, AXVCPU_EXIT_UNDECODED, check_15},
    {"emulation failure with too many", fill_255, KVM_EXIT_INTERNAL_ERROR, AXVCPU_EXIT_UNDECODED, check_15},
    {"emulation failure without bytes", fill_no_bytes, KVM_EXIT_INTERNAL_ERROR, AXVCPU_EXIT_UNDECODED, check_no_bytes},
    {"emulation failure of an old kernel", fill_old, KVM_EXIT_INTERNAL_ERROR, AXVCPU_EXIT_UNDECODED, check_no_bytes},
    {"internal error of another kind", fill_delivery, KVM_EXIT_INTERNAL_ERROR, AXVCPU_EXIT_UNDECODED, check_delivery},
    {"system event off", fill_off, KVM_EXIT_SYSTEM_EVENT, AXVCPU_EXIT_SYSTEM_DOWN, check_off},
    {"system event reset", fill_reset, KVM_EXIT_SYSTEM_EVENT, AXVCPU_EXIT_SYSTEM_DOWN, check_reset},
    {"system event crash", fill_crash, KVM_EXIT_SYSTEM_EVENT, AXVCPU_EXIT_SYSTEM_DOWN, check_crash},
    {"system event of a newer kernel", fill_future, KVM_EXIT_SYSTEM_EVENT, AXVCPU_EXIT_RAW, check_raw},
    {"exit of a newer kernel", NULL, 999, AXVCPU_EXIT_RAW, check_raw},
    {"OUT of 3", fill_out3, KVM_EXIT_IO, AXVCPU_EXIT_RAW, check_raw},
    {"OUT of 255", fill_out255, KVM_EXIT_IO, AXVCPU_EXIT_RAW, check_raw},
    {"IN of no element", fill_none, KVM_EXIT_IO, AXVCPU_EXIT_RAW, check_raw},
    {"IN of more than the page has", fill_beyond, KVM_EXIT_IO, AXVCPU_EXIT_RAW, check_raw},
    {"IN at an odd place", fill_odd, KVM_EXIT_IO, AXVCPU_EXIT_RAW, check_raw},
    {"IN over the page's own fields", fill_in_page, KVM_EXIT_IO, AXVCPU_EXIT_RAW, check_raw},
    {"OUT from outside of the page", fill_outside, KVM_EXIT_IO, AXVCPU_EXIT_RAW, check_raw},
    {"MMIO write of 0", fill_write0, KVM_EXIT_MMIO, AXVCPU_EXIT_RAW, check_raw},
    {"MMIO read of 9", fill_read9, KVM_EXIT_MMIO, AXVCPU_EXIT_RAW, check_raw},
    {"MMIO read of 4 GiB", fill_read_huge, KVM_EXIT_MMIO, AXVCPU_EXIT_RAW, check_raw},
    {"exit 0", NULL, KVM_EXIT_UNKNOWN, AXVCPU_EXIT_RAW, check_raw},
};

static void test_exits(void)
{
    for (size_t i = 0; i < sizeof exits / sizeof exits[0]; i++) {
        const struct played *p = &exits[i];
        play(p);
        kernel.codes[0] = 0;
        kernel.codes[1] = -EINTR; // the kernel's answer to immediate_exit
        memset(&x, 0xaa, sizeof x);
        ok(machine_run(p->kind), "%s: %s", p->name, axvcpu_exit_name(p->kind));
        ok_u64(x.flags, 0, "%s: no flags", p->name);
        ok_u64(x.raw, p->reason, "%s: raw", p->name);
        p->check(p->name);
        kernel.play = NULL;
        kernel.next = 1;
        ok_int(axvcpu_settle(v, &x), 0, "trap_39: %s: minus one and EINTR is how it is settled", p->name);
        ok_u64(x.kind, AXVCPU_EXIT_NOTHING, "%s: nothing is left", p->name);
    }
}

// ---- what KVM_RUN returns

static const struct played out = {"OUT", fill_out1, KVM_EXIT_IO, AXVCPU_EXIT_IO_WRITE, check_out1};

static void test_stale(void)
{
    play(&out);
    ok(machine_run(AXVCPU_EXIT_IO_WRITE), "trap_9: an OUT");
    play(&out); // the page still has it
    kernel.codes[0] = kernel.codes[1] = -EINTR;
    kernel.codes[2] = -EAGAIN;
    ok(machine_run(AXVCPU_EXIT_IO_WRITE), "trap_9: a signal, another, a vCPU just started, an OUT");
    ok_int(os.runs, 4, "trap_9: only the fourth KVM_RUN had an exit to show");

    play(&out);
    kernel.codes[0] = -EINTR;
    ok_int(axvcpu_kick(v), 0, "trap_9: kick");
    ok(machine_run(AXVCPU_EXIT_CANCELED), "trap_9: a kick before: CANCELED");
    ok(os.runs == 1 && kernel.immediate[0], "trap_9: the OUT was ended by the kernel, and the guest not entered");
}

static long kick_inside(int fd)
{
    (void)fd;
    (void)axvcpu_kick(v);
    return axvcpu_kvm_run(v)->immediate_exit ? -EINTR : 0;
}
static void test_kick_inside(void)
{
    play(&out);
    os.run = kick_inside;
    ok(machine_run(AXVCPU_EXIT_CANCELED), "trap_14: a kick from a signal handler inside KVM_RUN");
    ok_int(os.runs, 1, "trap_14: it ends that KVM_RUN");
    ok_int(axvcpu_kvm_run(v)->immediate_exit, 0, "trap_14: and leaves nothing behind");
    play(&out);
    ok(machine_run(AXVCPU_EXIT_IO_WRITE), "trap_14: the next run is one");
    kernel.play = NULL;
    kernel.codes[0] = -EINTR;
    ok_int(axvcpu_settle(v, &x), 0, "settle");
}

// What the run loop deals with itself.
static void test_inside(void)
{
    static const struct played tpr = {"SET_TPR", NULL, KVM_EXIT_SET_TPR, 0, NULL};
    static const struct played window = {"window", NULL, KVM_EXIT_IRQ_WINDOW_OPEN, 0, NULL};
    static const struct played *const both[] = {&tpr, &window};
    for (int i = 0; i < 2; i++) {
        play(both[i]);
        kernel.codes[1] = -EINTR;
        os.run = play_run;
        (void)axvcpu_inject_interrupt(v, 0x40); // what the window was for
        axvcpu_kvm_run(v)->ready_for_interrupt_injection = 0;
        axvcpu_kvm_run(v)->if_flag = 1;
        os.asked = 0;
        axvcpu_kvm_run(v)->request_interrupt_window = 0;
        (void)axvcpu_kick(v);
        ok(machine_run(AXVCPU_EXIT_CANCELED), "%s: the kick goes first", both[i]->name);
        play(both[i]);
        kernel.codes[1] = -ENXIO; // ends the test
        (void)axvcpu_run(v, &x);
        ok_int(os.runs, 2, "%s: no exit, the guest goes on", both[i]->name);
        ok_int(axvcpu_reset(v), 0, "%s: reset", both[i]->name);
        ok_int(axvcpu_setup(v, axvcpu_gpa(CODE), axvcpu_hpa(0), NULL), 0, "%s: set up", both[i]->name);
        ok_int(axvcpu_bind(v), 0, "%s: bound", both[i]->name);
    }
}

// Interrupt command registers without a local APIC in the kernel.
RUN(fill_icr_high, run->mmio.phys_addr = 0xfee00310; run->mmio.is_write = 1; run->mmio.len = 4;
    memcpy(run->mmio.data, &(uint32_t){3u << 24}, 4);)
static uint32_t icr;
RUN(fill_icr, run->mmio.phys_addr = 0xfee00300; run->mmio.is_write = 1; run->mmio.len = 4; memcpy(run->mmio.data, &icr, 4);)
RUN(fill_icr_2, run->mmio.phys_addr = 0xfee00300; run->mmio.is_write = 1; run->mmio.len = 2; memcpy(run->mmio.data, &icr, 4);)
RUN(fill_tpr, run->mmio.phys_addr = 0xfee00080; run->mmio.is_write = 1; run->mmio.len = 4; memset(run->mmio.data, 0, 8);)
RUN(fill_x2, run->msr.index = 0x830; run->msr.data = UINT64_C(7) << 32 | icr;)
static const struct played icr_high = {"ICR high", fill_icr_high, KVM_EXIT_MMIO, 0, NULL};
static const struct played icr_low = {"ICR", fill_icr, KVM_EXIT_MMIO, 0, NULL};
static const struct played icr_narrow = {"ICR, 2 bytes", fill_icr_2, KVM_EXIT_MMIO, 0, NULL};
static const struct played apic_tpr = {"TPR", fill_tpr, KVM_EXIT_MMIO, 0, NULL};
static const struct played icr_x2 = {"x2APIC ICR", fill_x2, KVM_EXIT_X86_WRMSR, 0, NULL};

static void set_icr_high(void)
{
    play(&icr_high);
    kernel.codes[1] = -ENXIO; // ... and here the next exit would be
    (void)axvcpu_run(v, &x);
    ok_int(os.runs, 2, "the target alone is no exit");
    ok_int(axvcpu_reset(v), 0, "reset");
    ok_int(axvcpu_setup(v, axvcpu_gpa(CODE), axvcpu_hpa(0), NULL), 0, "set up");
    ok_int(axvcpu_bind(v), 0, "bound");
}

// The two in one run: the target, then the command.
static long icr_both(int fd)
{
    kernel.play = kernel.next == 0 ? &icr_high : &icr_low;
    return play_run(fd);
}

static void check_icr(uint32_t value, const struct played *how, uint32_t kind, const char *name)
{
    play(how);
    icr = value;
    if (how == &icr_low)
        os.run = icr_both;
    kernel.codes[how == &icr_low ? 2 : 1] = -EINTR;
    ok(machine_run(kind), "%s: %s", name, axvcpu_exit_name(kind));
    kernel.play = NULL;
    os.run = play_run;
    for (int i = 0; i < ANSWERS; i++)
        kernel.codes[i] = -EINTR;
    ok_int(axvcpu_settle(v, &x), 0, "%s: settle", name);
}

static void test_ipis(void)
{
    struct axvcpu_exit seen;
    set_icr_high();
    check_icr(0x4500, &icr_low, AXVCPU_EXIT_SEND_IPI, "INIT to 3");
    play(&icr_low);
    icr = 0x4609;
    os.run = icr_both;
    kernel.codes[2] = -EINTR;
    ok(machine_run(AXVCPU_EXIT_CPU_UP), "SIPI to 3: CPU_UP");
    seen = x;
    ok_u64(seen.cpu_up.target, 3, "SIPI to 3: target");
    ok_u64(seen.cpu_up.entry, 0x9000, "SIPI to 3: entry");
    play(&icr_x2);
    icr = 0x46ff;
    kernel.codes[1] = -EINTR;
    ok(machine_run(AXVCPU_EXIT_CPU_UP), "SIPI to 7 by x2APIC: CPU_UP");
    ok_u64(x.cpu_up.target, 7, "SIPI to 7 by x2APIC: target");
    ok_u64(x.cpu_up.entry, 0xff000, "SIPI to 7 by x2APIC: entry");
    check_icr(0x4041, &icr_low, AXVCPU_EXIT_SEND_IPI, "an interrupt");
    check_icr(0x000c4041, &icr_x2, AXVCPU_EXIT_SEND_IPI, "an interrupt to all but self");
    check_icr(0, &icr_narrow, AXVCPU_EXIT_MMIO_WRITE, "a narrow write is just a write");
    check_icr(0, &apic_tpr, AXVCPU_EXIT_MMIO_WRITE, "another register is just a write");
}

// ---- errors

static const struct {
    int code, err;
    const char *says;
} errors[] = {
    {EFAULT, AXVCPU_EIO, "the memory behind a mapping is gone"},
    {ENOMEM, AXVCPU_ENOMEM, "KVM_RUN: "},
    {EINVAL, AXVCPU_EIO, "KVM_RUN: "},
    {ENOEXEC, AXVCPU_EIO, "KVM_RUN: "},
    {EIO, AXVCPU_EIO, "KVM_RUN: "},
};

static void test_errors(void)
{
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        play(&out);
        kernel.codes[0] = -errors[i].code;
        ok_int(axvcpu_run(v, &x), errors[i].err, "KVM_RUN says %s", strerror(errors[i].code));
        ok_u64(x.kind, AXVCPU_EXIT_NOTHING, "trap_9: %s: nothing to dispatch", strerror(errors[i].code));
        ok(os_said(errors[i].says) && os_said(strerror(errors[i].code)), "%s: the log has it", strerror(errors[i].code));
        ok_int(axvcpu_get_state(v), AXVCPU_STATE_INVALID, "%s: Invalid", strerror(errors[i].code));
        play(NULL);
        kernel.codes[0] = -EINTR;
        ok_int(axvcpu_reset(v), 0, "%s: reset", strerror(errors[i].code));
        ok_int(axvcpu_setup(v, axvcpu_gpa(CODE), axvcpu_hpa(0), NULL), 0, "%s: set up", strerror(errors[i].code));
        ok_int(axvcpu_bind(v), 0, "%s: bound", strerror(errors[i].code));
    }
}

// An instruction that never ends, as a kernel could never make one.
static void test_drain(void)
{
    play(&out);
    ok_int(axvcpu_reset(v), AXVCPU_EIO, "an instruction that does not end: reset gives up");
    ok(os_said("KVM_RUN: the guest's instruction does not end"), "and says why");
}

int main(void)
{
    const struct machine m = {.vcpus = 1};
    tap_begin(60);
    if (find_substrate() == NULL) {
        skip("kvm: no usable /dev/kvm", "exits by the run page");
        return tap_done();
    }
    os_begin();
    if (!ok_int(machine_start(&m), 0, "a vCPU"))
        return tap_done();
    test_exits();
    test_stale();
    test_kick_inside();
    test_inside();
    test_ipis();
    test_errors();
    test_drain();
    ok_int(machine_stop(), 0, "the end");
    ok(os.fds == 0 && os.mappings == 0, "nothing is left open");
    return tap_done();
}
