// SPDX-License-Identifier: Apache-2.0
//
// reset and restart leave nothing of a guest behind: all that the kernel tells of a vCPU is as it was when it
// was created, after a guest has run, and after everything that can be set from outside was set to something
// else, each MSR that the kernel saves among it.
#include "tests/kvm/x86/machine.h"

#include <stdlib.h>

#include "tests/tap.h"

enum { MSRS = 512 };

struct snapshot {
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    struct kvm_debugregs debugregs;
    struct kvm_vcpu_events events;
    struct kvm_xcrs xcrs;
    struct kvm_mp_state mp_state;
    struct kvm_lapic_state lapic;
    struct kvm_xsave xsave;
    uint32_t msr_count;
    struct kvm_msr_entry msrs[MSRS];
};

// ---- MSRs, one at a time

static int move_msr(unsigned long request, struct kvm_msr_entry *entry)
{
    struct {
        struct kvm_msrs head;
        struct kvm_msr_entry entry;
    } one = {.head = {.nmsrs = 1}, .entry = *entry};
    int n = ioctl(axvcpu_kvm_fd(v), request, &one);
    *entry = one.entry;
    return n;
}

// Clocks go on; the others say what this machine is or has counted.
static bool not_a_guests(uint32_t index)
{
    static const uint32_t some[] = {
        0x10, 0x3b, 0xe7, 0xe8,     // TSC, TSC_ADJUST, MPERF, APERF
        0x3a, 0x8b, 0xcd, 0xce, 0x10a, 0x345, 0x1a0, // what this CPU can do
        0xc0010015,                 // HWCR: read-only in a guest but for a few bits that the kernel ignores
        0xc0011029,                 // DE_CFG: of the machine
    };
    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++)
        if (some[i] == index)
            return true;
    return (index >= 0x40000000 && index < 0x40010000) || // Hyper-V's: not without its CPUID leaves
           (index >= 0x480 && index <= 0x491);            // VMX capabilities
}

static void take_msrs(struct snapshot *s)
{
    static struct {
        struct kvm_msr_list head;
        uint32_t index[MSRS];
    } list;
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    list.head.nmsrs = MSRS;
    if (ioctl(kvm, KVM_GET_MSR_INDEX_LIST, &list) != 0)
        list.head.nmsrs = 0;
    close(kvm);
    for (uint32_t i = 0; i < list.head.nmsrs; i++) {
        struct kvm_msr_entry *e = &s->msrs[s->msr_count];
        e->index = list.index[i];
        s->msr_count += !not_a_guests(e->index) && move_msr(KVM_GET_MSRS, e) == 1;
    }
}

static bool take(struct snapshot *s, bool chip)
{
    int fd = axvcpu_kvm_fd(v);
    memset(s, 0, sizeof *s);
    take_msrs(s);
    return ioctl(fd, KVM_GET_REGS, &s->regs) == 0 && ioctl(fd, KVM_GET_SREGS, &s->sregs) == 0 &&
           ioctl(fd, KVM_GET_DEBUGREGS, &s->debugregs) == 0 && ioctl(fd, KVM_GET_VCPU_EVENTS, &s->events) == 0 &&
           ioctl(fd, KVM_GET_XCRS, &s->xcrs) == 0 && ioctl(fd, KVM_GET_MP_STATE, &s->mp_state) == 0 &&
           ioctl(fd, KVM_GET_XSAVE, &s->xsave) == 0 && (!chip || ioctl(fd, KVM_GET_LAPIC, &s->lapic) == 0);
}

#define SAME(name, member) ok(memcmp(&a->member, &b->member, sizeof a->member) == 0, "%s: %s", name, #member)
static void same(const char *name, const struct snapshot *a, const struct snapshot *b)
{
    unsigned wrong = 0;
    SAME(name, regs);
    SAME(name, sregs);
    SAME(name, debugregs);
    SAME(name, events);
    SAME(name, xcrs);
    SAME(name, mp_state);
    SAME(name, lapic);
    SAME(name, xsave);
    for (uint32_t i = 0; i < a->msr_count; i++)
        if (a->msrs[i].data != b->msrs[i].data) {
            wrong++;
            note("MSR 0x%x: 0x%llx, was 0x%llx", a->msrs[i].index, (unsigned long long)b->msrs[i].data,
                 (unsigned long long)a->msrs[i].data);
        }
    ok_int(wrong, 0, "%s: %u MSRs", name, a->msr_count);
}

// ---- what is left behind

// A guest of some habits: debug registers, vector registers, task priority, system call entries.
GUEST(habits, 64,
      "    mov $0xfee00000, %esi\n"
      "    movl $0x1ff, 0xf0(%rsi)\n"
      "    movl $0x20030, 0x320(%rsi)\n" // a periodic timer
      "    movl $0x10000000, 0x380(%rsi)\n"
      "    mov $0x1234, %eax\n"
      "    mov %rax, %dr0\n"
      "    mov $5, %eax\n"
      "    mov %rax, %cr8\n"
      "    mov $0x5000, %eax\n"
      "    mov %rax, %cr2\n"
      "    .irp index, 0x174, 0x175, 0x176, 0xc0000082, 0xc0000083, 0xc0000084, 0xc0000100, 0xc0000101, 0xc0000102\n"
      "    mov $\\index, %ecx\n"
      "    mov $0x1230, %eax\n"
      "    xor %edx, %edx\n"
      "    wrmsr\n"
      "    .endr\n"
      "    out %al, $0x30\n"
      "1:  hlt\n"
      "    jmp 1b\n");

// From outside: whatever the kernel lets be changed.
static unsigned change_all(const struct snapshot *s)
{
    static const uint64_t flips[] = {0x1, 0x10, 0x1000, 0x10000, 0x100000000};
    struct kvm_xsave xsave = s->xsave;
    unsigned changed = 0;
    int fd = axvcpu_kvm_fd(v);
    for (uint32_t i = 0; i < s->msr_count; i++)
        for (size_t f = 0; f < sizeof flips / sizeof flips[0]; f++) {
            struct kvm_msr_entry e = s->msrs[i];
            e.data ^= flips[f];
            if (move_msr(KVM_SET_MSRS, &e) == 1 && move_msr(KVM_GET_MSRS, &e) == 1 && e.data != s->msrs[i].data) {
                changed++;
                break;
            }
        }
    memset(&xsave.region[8], 0x5a, 64); // x87 registers
    memset(&xsave.region[40], 0xa5, 64); // SSE
    xsave.region[128] |= 3;
    (void)ioctl(fd, KVM_SET_XSAVE, &xsave);
    (void)axvcpu_set_reg(v, AXVCPU_X86_DR(3), 0x4321);
    (void)axvcpu_set_reg(v, AXVCPU_X86_XCR0, 7);
    (void)axvcpu_inject_exception(v, 13, 8, 0);
    return changed;
}

static void test(const char *name, uint32_t irqchip)
{
    static struct snapshot fresh, now;
    struct machine m = {PROGRAM(habits), .mode = AXVCPU_X86_LONG};
    bool chip = irqchip != AXVM_X86_IRQCHIP_NONE;
    char what[80];
    m.arch.irqchip = irqchip;
    m.arch.own_apic = true;
    os_begin();
    if (!ok_int(machine_create(&m), 0, "%s: a vCPU", name) || !ok(take(&fresh, chip), "%s: as it is created", name))
        return;
    ok_int(axvcpu_setup(v, axvcpu_gpa(CODE), axvcpu_hpa(0), &(struct axvcpu_arch_setup){.mode = AXVCPU_X86_LONG, .tables = AXVCPU_GPA_INIT(TABLES)}),
           0, "%s: set up", name);
    ok_int(axvcpu_bind(v), 0, "%s: bound", name);
    while (axvcpu_run(v, &x) == 0 && x.kind == AXVCPU_EXIT_MMIO_WRITE) // the local APIC, if it is nobody's
        ;
    ok(x.kind == AXVCPU_EXIT_IO_WRITE, "%s: the guest has run: %s", name, axvcpu_exit_name(x.kind));
    (void)axvcpu_inject_nmi(v);
    ok(take(&now, chip) && memcmp(&now.debugregs, &fresh.debugregs, sizeof now.debugregs) != 0, "%s: and left its traces", name);
    ok_int(axvcpu_reset(v), 0, "%s: reset", name);
    ok(take(&now, chip), "%s: as it is now", name);
    snprintf(what, sizeof what, "%s, after a guest", name);
    same(what, &fresh, &now);

    unsigned changed = change_all(&fresh);
    ok(changed > 10, "%s: %u MSRs changed from outside", name, changed);
    ok_int(axvcpu_reset(v), 0, "%s: reset", name);
    ok(take(&now, chip), "%s: as it is now", name);
    snprintf(what, sizeof what, "%s, after a change of everything", name);
    same(what, &fresh, &now);

    m.mode = AXVCPU_X86_LONG; // and it can start again
    ok_int(axvcpu_setup(v, axvcpu_gpa(CODE), axvcpu_hpa(0), &(struct axvcpu_arch_setup){.mode = AXVCPU_X86_LONG, .tables = AXVCPU_GPA_INIT(TABLES)}),
           0, "%s: set up again", name);
    ok_int(axvcpu_bind(v), 0, "%s: bound again", name);
    while (axvcpu_run(v, &x) == 0 && x.kind == AXVCPU_EXIT_MMIO_WRITE)
        ;
    ok(x.kind == AXVCPU_EXIT_IO_WRITE, "%s: the guest runs again", name);
    ok_int(machine_stop(), 0, "%s: the end", name);
}

int main(void)
{
    tap_begin(60);
    if (find_substrate() == NULL) {
        skip("kvm: no usable /dev/kvm", "reset");
        return tap_done();
    }
    test("no irqchip", AXVM_X86_IRQCHIP_NONE);
    test("full irqchip", AXVM_X86_IRQCHIP_FULL);
    return tap_done();
}
