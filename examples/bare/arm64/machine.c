// SPDX-License-Identifier: Apache-2.0
//
// QEMU's virt machine: UART, firmware, interrupt controller, timer.
#include "axvcpu.h"

#define REG32(addr) (*(volatile uint32_t *)(uintptr_t)(addr))
#define READ(name) __extension__({ uint64_t value_; __asm__ volatile("mrs %0, " #name : "=r"(value_)); value_; })
#define WRITE(name, value) __asm__ volatile("msr " #name ", %0" : : "r"((uint64_t)(value)) : "memory")

// PL011: data, and "transmit FIFO full" in the flags.
void machine_put(char c)
{
    while (REG32(HOST_UART + 0x18) & 0x20)
        ;
    REG32(HOST_UART) = (uint8_t)c;
}

// An ELF program finds the device tree where RAM begins.
const char *machine_arguments(void)
{
    return host_find_arguments((const uint8_t *)HOST_TREE);
}

// ---- firmware: PSCI by SMC (DEN 0022D); by HVC, if we are not at EL2, which ends soon

static uint64_t psci(uint64_t function, uint64_t a, uint64_t b, uint64_t c)
{
    register uint64_t x0 __asm__("x0") = function, x1 __asm__("x1") = a, x2 __asm__("x2") = b, x3 __asm__("x3") = c;
    __asm__ volatile("mrs x4, CurrentEL\ntbz x4, #3, 1f\nsmc #0\nb 2f\n1: hvc #0\n2:"
                     : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3)
                     :
                     : "memory", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17");
    return x0;
}

// It has no exit code: what failed is on the console.
void machine_off(bool failed_)
{
    (void)failed_;
    psci(0x84000008, 0, 0, 0);
    for (;;)
        ;
}

extern const char machine_other[], machine_vectors[];

bool machine_start(struct host_cpu *c)
{
    return psci(0xc4000003, c->id, (uint64_t)(uintptr_t)machine_other, (uint64_t)(uintptr_t)c) == 0;
}

// ---- interrupts (GICv2: IHI 0048; GICv3: IHI 0069, whose registers of this CPU are the second half of its
// redistributor, laid out as those of the distributor)

#define ICC_SRE s3_4_c12_c9_5
#define ICC_PMR s3_0_c4_c6_0
#define ICC_IGRPEN1 s3_0_c12_c12_7
#define ICC_IAR1 s3_0_c12_c12_0
#define ICC_EOIR1 s3_0_c12_c12_1
#define ICC_SGI1R s3_0_c12_c11_5
#define ICC_DIR s3_0_c12_c11_1
#define ICC_CTLR s3_0_c12_c12_4
#define READ_(name) READ(name)
#define WRITE_(name, value) WRITE(name, value)

uint32_t machine_gic = 2, machine_linked;
bool (*machine_trapped)(struct axvcpu_arm64_frame *);

static uint64_t local_gic(void)
{
    return machine_gic == 3 ? HOST_GICR + HOST_CPU()->id * 0x20000u + 0x10000 : HOST_GICD;
}

static void enable_v2(void)
{
    REG32(HOST_GICD) = 1;
    REG32(HOST_GICC + 4) = 0xff; // priority mask: all
    REG32(HOST_GICC) = 1 | 1u << 9; // and EOImode: end and deactivation are two things
}

static void enable_v3(void)
{
    uint64_t waker = HOST_GICR + HOST_CPU()->id * 0x20000u + 0x14;
    WRITE_(ICC_SRE, 0xf); // system registers, for EL1 too
    __asm__ volatile("isb");
    REG32(HOST_GICD) = 0x12; // affinity routing, group 1
    REG32(waker) &= ~2u;
    while (REG32(waker) & 4)
        ;
    REG32(local_gic() + 0x80) = UINT32_MAX; // all in group 1
    WRITE_(ICC_PMR, 0xff);
    WRITE_(ICC_CTLR, 2); // EOImode
    WRITE_(ICC_IGRPEN1, 1);
    __asm__ volatile("isb");
}

void machine_enable(void)
{
    if (READ(id_aa64pfr0_el1) >> 24 & 0xf)
        machine_gic = 3;
    if (machine_gic == 3)
        enable_v3();
    else
        enable_v2();
#ifdef AXVCPU_OWN_VECTORS
    WRITE(vbar_el2, (uintptr_t)machine_vectors);
#endif
    REG32(local_gic() + 0x100) = 0xffff | 1u << MACHINE_TIMER | 1u << MACHINE_VTIMER | 1u << MACHINE_MAINTENANCE;
}

void machine_vtimer(bool on)
{
    REG32(local_gic() + (on ? 0x100 : 0x180)) = 1u << MACHINE_VTIMER;
}

bool machine_is_active(uint32_t ppi)
{
    return (REG32(local_gic() + 0x300) >> ppi & 1) != 0;
}

void machine_accept(uint32_t ppi)
{
    REG32(local_gic() + 0x100) = 1u << ppi;
}

void machine_deactivate(uint32_t ppi)
{
    REG32(local_gic() + 0x380) = 1u << ppi;
}

static void end(uint32_t iar, bool deactivate)
{
    if (machine_gic == 3) {
        WRITE_(ICC_EOIR1, iar);
        if (deactivate)
            WRITE_(ICC_DIR, iar);
    } else {
        REG32(HOST_GICC + 0x10) = iar;
        if (deactivate)
            REG32(HOST_GICC + 0x1000) = iar;
    }
}

// Acknowledged and ended at once, but for one that a guest will end. A timer that is due is silenced first, or
// it would come again.
uint32_t machine_fetch(void)
{
    uint32_t iar = machine_gic == 3 ? (uint32_t)READ_(ICC_IAR1) : REG32(HOST_GICC + 0xc), vector = iar & 0x3ff;
    if (vector == MACHINE_TIMER)
        machine_timer(UINT64_MAX);
    if (vector < 1020)
        end(iar, vector != machine_linked || vector == 0);
    return vector;
}

void machine_irq(uint32_t vector)
{
    if (vector == MACHINE_TIMER)
        host_timer_due();
    else
        (void)axvcpu_arm64_irq(vector); // a guest's, that came while the host was here
}

void machine_kick(struct host_cpu *c)
{
    if (machine_gic == 3)
        WRITE_(ICC_SGI1R, 1u << c->id | (uint32_t)MACHINE_KICK << 24);
    else
        REG32(HOST_GICD + 0xf00) = 1u << (16 + c->id) | MACHINE_KICK;
    __asm__ volatile("isb");
}

void machine_interrupts(void)
{
    __asm__ volatile("msr daifclr, #3\nisb\nmsr daifset, #3" : : : "memory");
}

void machine_doze(void)
{
    __asm__ volatile("dsb sy\nwfi" : : : "memory"); // a masked one ends it, too
    machine_interrupts();
}

void axvcpu_host_exception(struct axvcpu_arm64_frame *f)
{
    static const char *const names[] = {"slot ", ", ESR ", ", ELR ", ", FAR ", ", x30 "};
    const uint64_t values[] = {f->slot, f->esr, f->elr, f->far, f->x[30]};
    if ((f->slot & 3) == AXVCPU_ARM64_IRQ) {
        machine_irq(machine_fetch());
        return;
    }
    if (machine_trapped && machine_trapped(f))
        return;
    host_print("\n# an exception at EL2: ");
    for (unsigned i = 0; i < sizeof values / sizeof values[0]; i++) {
        host_print(names[i]);
        host_print_number(values[i], 16);
    }
    host_panic("the host is broken");
}

// ---- time: the physical counter, and the hypervisor's timer (DDI 0487, CNTHP_CTL_EL2)

uint64_t machine_ticks(void)
{
    return READ(cntpct_el0);
}

uint64_t machine_ticks_per_second(void)
{
    return READ(cntfrq_el0);
}

void machine_timer(uint64_t at)
{
    WRITE(cnthp_cval_el2, at);
    WRITE(cnthp_ctl_el2, at != UINT64_MAX);
    __asm__ volatile("isb");
}
