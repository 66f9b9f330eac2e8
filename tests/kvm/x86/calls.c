// SPDX-License-Identifier: Apache-2.0
//
// What the host is asked for, by request code: one KVM_RUN per exit and nothing else, not for the registers
// between two exits either (KVM_CAP_SYNC_REGS); one call more for an interrupt. Each count is of 1,000 rounds.
#include "tests/kvm/x86/machine.h"

#include "tests/tap.h"

enum { ROUNDS = 1000 };

// One exit of each kind a round. BL is the runner's.
GUEST(exits, 16,
      "    mov $0xd000, %ax\n"
      "    mov %ax, %es\n"
      "1:  out %al, $0x30\n"
      "    in $0x30, %al\n"
      "    mov %es:0, %ax\n"
      "    mov %ax, %es:0\n"
      "    incw %es:0\n"
      "    hlt\n"
      "    mov %bl, %al\n"
      "    jmp 1b\n");
// Takes interrupts and NMIs, and counts them in CX.
GUEST(taken, 16,
      "    movl $0x1000 + 2f - guest_taken, 0x40 * 4\n"
      "    movl $0x1000 + 2f - guest_taken, 2 * 4\n"
      "    mov $0x8000, %sp\n"
      "    xor %cx, %cx\n"
      "    sti\n"
      "    nop\n" // no exit in the shadow
      "1:  out %al, $0x30\n"
      "    jmp 1b\n"
      "2:  inc %cx\n"
      "    iret\n");

static const struct expected {
    const char *name;
    uint32_t kind;
} round_of[] = {
    {"OUT", AXVCPU_EXIT_IO_WRITE},      {"IN and complete", AXVCPU_EXIT_IO_READ},
    {"MMIO read and complete", AXVCPU_EXIT_MMIO_READ}, {"MMIO write", AXVCPU_EXIT_MMIO_WRITE},
    {"the read of a read-modify-write", AXVCPU_EXIT_MMIO_READ}, {"its write", AXVCPU_EXIT_MMIO_WRITE},
    {"HLT", AXVCPU_EXIT_HALT},
};
enum { KINDS = sizeof round_of / sizeof round_of[0] };

// All general registers, the PC and the flags, read; and written, where no read waits.
static bool touch_registers(bool write)
{
    uint64_t value = 0;
    int err = 0;
    for (uint32_t r = 0; r < AXVCPU_X86_GPRS; r++) {
        err |= axvcpu_get_gpr(v, r, &value);
        if (write && r != AXVCPU_X86_RBX)
            err |= axvcpu_set_gpr(v, r, value);
    }
    err |= axvcpu_get_reg(v, AXVCPU_REG_FLAGS, &value);
    if (write)
        err |= axvcpu_set_reg(v, AXVCPU_REG_FLAGS, value);
    return err == 0;
}

static bool answer(const struct expected *e)
{
    bool read = e->kind == AXVCPU_EXIT_IO_READ || e->kind == AXVCPU_EXIT_MMIO_READ;
    return !read || axvcpu_complete(v, 0x1234) == 0;
}

static void count_exits(bool registers)
{
    const struct machine m = {PROGRAM(exits)};
    unsigned runs[KINDS] = {0}, others[KINDS] = {0}, wrong = 0;
    const char *with = registers ? ", registers read and written" : "";
    os_begin();
    if (!ok_int(machine_start(&m), 0, "a guest of every exit%s", with))
        return;
    for (int i = 0; i < ROUNDS * KINDS && wrong == 0; i++) {
        const struct expected *e = &round_of[i % KINDS];
        os.runs = os.asked = 0;
        wrong += !machine_run(e->kind) || !answer(e) || (registers && !touch_registers(e->kind == AXVCPU_EXIT_HALT));
        if (registers && e->kind == AXVCPU_EXIT_HALT)
            wrong += axvcpu_set_gpr(v, AXVCPU_X86_RBX, (uint64_t)i & 0xff) != 0;
        if (registers && e->kind == AXVCPU_EXIT_IO_WRITE && i != 0)
            wrong += x.io.data != (uint64_t)(i - 1) % 0x100; // what was set is what the guest found
        runs[i % KINDS] += os.runs;
        others[i % KINDS] += os.asked;
    }
    ok_int(wrong, 0, "every exit came in its turn%s", with);
    for (int i = 0; i < KINDS; i++) {
        ok_int(runs[i], ROUNDS, "%s%s: one KVM_RUN", round_of[i].name, with);
        ok_int(others[i], 0, "%s%s: nothing else", round_of[i].name, with);
    }
    ok_int(machine_stop(), 0, "the end%s", with);
}

// ---- interrupts

static void count_injections(const char *name, unsigned long request, int (*inject)(void))
{
    const struct machine m = {PROGRAM(taken)};
    unsigned wrong = 0, runs = 0, others = 0, right = 0;
    uint64_t taken = 0;
    os_begin();
    if (!ok_int(machine_start(&m), 0, "%s: a guest that takes them", name) || !ok(machine_says(0), "%s: it runs", name))
        return;
    for (int i = 0; i < ROUNDS && wrong == 0; i++) {
        os.runs = os.asked = 0;
        wrong += inject() != 0 || !machine_run(AXVCPU_EXIT_IO_WRITE);
        runs += os.runs;
        others += os.asked;
        right += os_count(request);
    }
    ok_int(wrong, 0, "%s: no other exit", name);
    ok_int(axvcpu_get_gpr(v, AXVCPU_X86_RCX, &taken), 0, "%s: the guest's count", name);
    ok_u64(taken & 0xffff, ROUNDS, "%s: all were taken", name);
    ok_int(runs, ROUNDS, "%s: one KVM_RUN each", name);
    ok_int(others, ROUNDS, "%s: one call more each", name);
    ok_int(right, ROUNDS, "%s: %s", name, os_name(request));
    ok_int(machine_stop(), 0, "%s: the end", name);
}

static int inject_interrupt(void)
{
    return axvcpu_inject_interrupt(v, 0x40);
}

// ---- what costs a call

static void count_settle(void)
{
    const struct machine m = {PROGRAM(exits)};
    os_begin();
    if (!ok_int(machine_start(&m), 0, "settle: a guest") || !ok(machine_run(AXVCPU_EXIT_IO_WRITE), "settle: OUT") ||
        !ok(machine_run(AXVCPU_EXIT_IO_READ), "settle: IN"))
        return;
    os.runs = os.asked = 0;
    ok_int(axvcpu_complete(v, 7), 0, "complete");
    ok_int(os.runs + os.asked, 0, "complete asks nobody");
    ok_int(axvcpu_settle(v, &x), 0, "settle");
    ok_int(os.runs, 1, "settle: one KVM_RUN, which enters no guest");
    ok_int(axvcpu_settle(v, &x), 0, "settle again");
    ok_int(os.runs, 1, "settle again: nothing");
    ok_int(os.asked, 0, "settle: nothing else");
    ok_int(machine_stop(), 0, "settle: the end");
}

static void count_without_sync(void)
{
    const struct machine m = {PROGRAM(exits)};
    uint64_t value = 0;
    os_begin();
    os.hidden = KVM_CAP_SYNC_REGS + 1;
    if (!ok_int(machine_start(&m), 0, "without KVM_CAP_SYNC_REGS: a guest") ||
        !ok(machine_run(AXVCPU_EXIT_IO_WRITE), "without KVM_CAP_SYNC_REGS: OUT"))
        return;
    os.runs = os.asked = 0;
    ok_int(axvcpu_get_gpr(v, AXVCPU_X86_RAX, &value), 0, "get_gpr");
    ok_int(os.asked, 1, "without KVM_CAP_SYNC_REGS a register is read by one call");
    ok_int(os_count(KVM_GET_REGS), 1, "KVM_GET_REGS");
    os.asked = 0;
    ok_int(axvcpu_set_gpr(v, AXVCPU_X86_RBX, 0x77), 0, "set_gpr");
    ok_int(os_count(KVM_GET_REGS) + os_count(KVM_SET_REGS), 2, "... and written by two: all of them at once");
    ok_int(os.asked, 2, "... and no more");
    for (int i = 1; i < KINDS; i++)
        ok(machine_run(round_of[i].kind) && answer(&round_of[i]), "without KVM_CAP_SYNC_REGS: %s", round_of[i].name);
    ok(machine_says(0x77), "what was written is what the guest finds");
    ok_int(machine_stop(), 0, "without KVM_CAP_SYNC_REGS: the end");
}

int main(void)
{
    tap_begin(100);
    if (find_substrate() == NULL) {
        skip("kvm: no usable /dev/kvm", "calls by request code");
        return tap_done();
    }
    count_exits(false);
    count_exits(true);
    count_injections("interrupt", KVM_INTERRUPT, inject_interrupt);
    count_settle();
    count_without_sync();
    return tap_done();
}
