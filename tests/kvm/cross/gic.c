// SPDX-License-Identifier: Apache-2.0
//
// AArch64: the kernel's GIC with its distributor in sight, as a guest finds it: the virtual timer, an edge and a
// line that the guest has enabled; a machine without GIC; and every way to set one up in a wrong order or place.
#include "tests/kvm/cross/machine.h"

#include "tests/tap.h"

enum { GICD = 0x10000, GICC = 0x20000, GICR = 0x40000, TIMER = 27, EDGE = 40, LINE = 41 };

#define TIMER_SOON                     \
    "    mrs x2, cntvct_el0\n"         \
    "    add x2, x2, #1000\n"          \
    "    msr cntv_cval_el0, x2\n"      \
    "    mov x1, #1\n"                 \
    "    msr cntv_ctl_el0, x1\n"
// WFI may be over at once; there is nothing to acknowledge then but 1023.
#define WOKEN_FOR_NOTHING    \
    "    cmp w3, #0x3ff\n" \
    "    b.eq 1b\n"

// They wait with interrupts masked, acknowledge what is there, and tell its number.
GUEST(gic2, "    mov x20, #0x8000\n"
            "    mov x10, #0x10000\n"
            "    mov x11, #0x20000\n"
            "    mov w1, #0xff\n"
            "    str w1, [x11, #4]\n" // GICC_PMR
            "    mov w1, #1\n"
            "    str w1, [x11]\n"     // GICC_CTLR
            "    str w1, [x10]\n"     // GICD_CTLR
            "    mov w1, #0x08000000\n"
            "    str w1, [x10, #0x100]\n" // GICD_ISENABLER0: 27
            "    mov w1, #0x01010101\n"
            "    str w1, [x10, #0x828]\n" // GICD_ITARGETSR: 40 to 43 to CPU 0
            "    mov w1, #0x20000\n"
            "    str w1, [x10, #0xc08]\n" // GICD_ICFGR2: 40 is an edge
            "    mov w1, #0x300\n"
            "    str w1, [x10, #0x104]\n" // GICD_ISENABLER1: 40, 41
            TIMER_SOON
            "1:  wfi\n"
            "    ldr w3, [x11, #0xc]\n" // GICC_IAR
            WOKEN_FOR_NOTHING
            "    msr cntv_ctl_el0, xzr\n"
            "    str w3, [x20]\n"
            "    str w3, [x11, #0x10]\n" // GICC_EOIR
            "    b 1b\n");
GUEST(gic3, "    mov x20, #0x8000\n"
            "    mov x10, #0x10000\n"
            "    mov x11, #0x50000\n" // the redistributor's SGI frame
            "    mov w1, #0x12\n"
            "    str w1, [x10]\n" // GICD_CTLR: ARE, group 1
            "    mov w1, #0x08000000\n"
            "    str w1, [x11, #0x100]\n" // GICR_ISENABLER0: 27
            "    mov w1, #0x20000\n"
            "    str w1, [x10, #0xc08]\n" // GICD_ICFGR2: 40 is an edge
            "    mov w1, #0x300\n"
            "    str w1, [x10, #0x104]\n" // GICD_ISENABLER1: 40, 41
            "    mov x1, #0xff\n"
            "    msr s3_0_c4_c6_0, x1\n" // ICC_PMR_EL1
            "    mov x1, #1\n"
            "    msr s3_0_c12_c12_7, x1\n" // ICC_IGRPEN1_EL1
            "    isb\n" TIMER_SOON
            "1:  wfi\n"
            "    mrs x3, s3_0_c12_c12_0\n" // ICC_IAR1_EL1
            WOKEN_FOR_NOTHING
            "    msr cntv_ctl_el0, xzr\n"
            "    str w3, [x20]\n"
            "    msr s3_0_c12_c12_1, x3\n" // ICC_EOIR1_EL1
            "    b 1b\n");
// The CPU's interrupt input, as ISR_EL1 shows it.
GUEST(input, "    mov x20, #0x8000\n"
             "1:  mrs x1, isr_el1\n"
             "    str w1, [x20]\n"
             "    b 1b\n");

static const struct {
    const char *name, *call;
    struct machine machine;
} gics[] = {
    {"GICv2", "KVM_CREATE_DEVICE of a GICv2",
     {.arch = {.gic = AXVM_ARM64_GIC_V2, .gicd = AXVCPU_GPA_INIT(GICD), .gicc = AXVCPU_GPA_INIT(GICC)}, PROGRAM(gic2)}},
    {"GICv3", "KVM_CREATE_DEVICE of a GICv3",
     {.arch = {.gic = AXVM_ARM64_GIC_V3, .gicd = AXVCPU_GPA_INIT(GICD), .gicr = AXVCPU_GPA_INIT(GICR)}, PROGRAM(gic3)}},
};

// The next interrupt that the guest acknowledges.
static uint32_t next(void)
{
    return machine_run(AXVCPU_EXIT_MMIO_WRITE) ? (uint32_t)x.mmio.data : 0;
}

static void test_interrupts(const char *name)
{
    ok_int(next(), TIMER, "%s: the virtual timer", name);
    for (int i = 0; i < 20; i++)
        if (axvcpu_inject_interrupt(v, EDGE) != 0 || next() != EDGE)
            ok(false, "%s: edge %d", name, i);
    ok(true, "%s: edges", name);
    ok_int(axvm_irq_line(&vm, LINE, true), 0, "%s: a line goes up", name);
    ok(next() == LINE && next() == LINE, "%s: it comes until it is lowered", name);
    ok_int(axvm_irq_line(&vm, LINE, false), 0, "%s: it goes down", name);
    ok_int(axvcpu_inject_interrupt(v, EDGE), 0, "%s: an edge after it", name);
    ok_int(next(), EDGE, "%s: comes, and the line does not", name);
    ok_int(axvcpu_set_irq(v, LINE, true), 0, "%s: the line by the vCPU", name);
    ok_int(next(), LINE, "%s: comes", name);
    ok_int(axvcpu_set_irq(v, LINE, false), 0, "%s: ... and goes", name);
    ok_int(axvm_irq_line(&vm, 7, true), AXVCPU_EINVAL, "%s: 7 is no shared interrupt", name);
    ok_int(machine_stop(), 0, "%s: the end", name);
}

static bool test_gic(size_t i)
{
    os_begin();
    int err = machine_start(&gics[i].machine);
    if (err == 0) {
        test_interrupts(gics[i].name);
        return true;
    }
    ok_int(err, AXVCPU_ENOSUPPORT, "%s is not this machine's", gics[i].name);
    ok(os_said(gics[i].call) && os_said("try the other axvm_arch_desc.gic"), "%s: the log names the call and the remedy", gics[i].name);
    ok(os.fds == 0, "%s: nothing is left", gics[i].name);
    return false;
}

static bool is_high(bool high)
{
    return machine_run(AXVCPU_EXIT_MMIO_WRITE) && ((x.mmio.data & 0x80) != 0) == high;
}

static void test_none(void)
{
    const struct machine m = {PROGRAM(input)};
    os_begin();
    if (!ok_int(machine_start(&m), 0, "no GIC: a guest"))
        return;
    ok(is_high(false), "no GIC: the input is low");
    ok_int(axvcpu_set_irq(v, 5, true), 0, "no GIC: a line");
    ok(is_high(true) && is_high(true), "no GIC: the input is high");
    ok_int(axvcpu_set_irq(v, 5, false), 0, "no GIC: ... down");
    ok(is_high(false), "no GIC: low again");
    ok_int(axvcpu_inject_interrupt(v, 9), 0, "no GIC: a vector");
    ok(is_high(true) && is_high(true), "no GIC: is a line");
    ok_int(axvcpu_set_irq(v, 9, false), 0, "no GIC: until it is lowered");
    ok(is_high(false), "no GIC: low again");
    ok_int(axvm_irq_line(&vm, 40, true), AXVCPU_ENOSUPPORT, "no GIC: no lines of the VM");
    ok_int(machine_stop(), 0, "no GIC: the end");
}

static void test_places(void)
{
    const struct {
        const char *name, *call, *remedy;
        struct axvm_arch_desc arch;
    } wrong[] = {
        {"no CPU interface", "axvm_init: a GICv2", "needs axvm_arch_desc.gicc", {.gic = AXVM_ARM64_GIC_V2}},
        {"one above the other", "axvm_init: gicd and gicc overlap", "8 KiB",
         {.gicd = AXVCPU_GPA_INIT(GICC + 0x1000), .gicc = AXVCPU_GPA_INIT(GICC)}},
        {"not a page", "KVM_SET_DEVICE_ATTR of", "gicd and gicc at 4 KiB", {.gicc = AXVCPU_GPA_INIT(GICC), .gicd = AXVCPU_GPA_INIT(GICD + 0x800), .gicr = AXVCPU_GPA_INIT(GICR)}},
        {"33 interrupts", "KVM_DEV_ARM_VGIC_GRP_NR_IRQS", "a multiple of 32", {.gicc = AXVCPU_GPA_INIT(GICC), .irqs = 33}},
        {"no such GIC", "axvm_init: no such gic", "calls", {.gic = 4}},
        {"half a GICv3", "axvm_init: a GICv3", "both gicd and gicr", {.gic = AXVM_ARM64_GIC_V3, .gicd = AXVCPU_GPA_INIT(GICD)}},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        const struct machine m = {.arch = wrong[i].arch, PROGRAM(input)};
        os_begin();
        ok(machine_create(&m) != 0, "%s: refused", wrong[i].name);
        if (!ok(os_said(wrong[i].call) && os_said(wrong[i].remedy), "%s: the log names the call and the remedy", wrong[i].name))
            note("%s", os.log);
        ok(os.fds == 0 && os.mappings == 0, "%s: nothing is left", wrong[i].name);
    }
}

// ---- the order: a VM of the caller's that has a GIC already

static int set_attr(int fd, uint32_t group, uint64_t attr, uint64_t value)
{
    struct kvm_device_attr a = {.group = group, .attr = attr, .addr = (uintptr_t)&value};
    return ioctl(fd, KVM_SET_DEVICE_ATTR, &a);
}

static void test_order(bool v3)
{
    struct kvm_create_device device = {.type = v3 ? KVM_DEV_TYPE_ARM_VGIC_V3 : KVM_DEV_TYPE_ARM_VGIC_V2};
    struct axvcpu_desc desc = {.vcpu_id = 0};
    struct machine m = {.arch = {.gicc = AXVCPU_GPA_INIT(GICC), .calls = AXVM_ARM64_CALLS_KERNEL}, PROGRAM(input)};
    int kvm = open("/dev/kvm", O_RDWR), fd = ioctl(kvm, KVM_CREATE_VM, 0), gic;
    ok_int(ioctl(fd, KVM_CREATE_DEVICE, &device), 0, "a VM of the caller's with a GIC");
    gic = (int)device.fd;
    m.arch.vm_fd = fd;
    os_begin();
    ok(machine_create(&m) != 0, "a second GIC: refused");
    ok(os_said("KVM_CREATE_DEVICE of a GIC") && os_said("has a GIC already"), "a second GIC: the call and the remedy");
    set_attr(gic, KVM_DEV_ARM_VGIC_GRP_ADDR, v3 ? KVM_VGIC_V3_ADDR_TYPE_DIST : KVM_VGIC_V2_ADDR_TYPE_DIST, GICD);
    ok_int(set_attr(gic, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, 0), 0, "its GIC is initialised");
    desc.arch.vm_fd = fd;
    os_begin();
    ok_int(axvcpu_init(v, &desc), AXVCPU_EIO, "a vCPU after that");
    if (!ok(os_said("KVM_CREATE_VCPU") && os_said("its vCPUs come before"), "a vCPU after that: the call and the remedy"))
        note("%s", os.log);
    close(gic);
    close(fd);
    close(kvm);
}

int main(void)
{
    tap_begin(90);
    if (find_substrate() == NULL) {
        skip("kvm: no usable /dev/kvm", "the GIC");
        return tap_done();
    }
    bool v2 = test_gic(0), v3 = test_gic(1);
    ok(v2 || v3, "one of them is there");
    test_none();
    test_places();
    test_order(v3);
    return tap_done();
}
