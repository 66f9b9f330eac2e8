// SPDX-License-Identifier: Apache-2.0
//
// QEMU's virt machine under OpenSBI: console, harts, interrupts and power-off by SBI calls.
#include "axvcpu.h"

#define READ(name) __extension__({ uint64_t value_; __asm__ volatile("csrr %0, " #name : "=r"(value_)); value_; })

// ---- firmware (sbi 3)

static int64_t firmware(uint64_t ext, uint64_t function, uint64_t x, uint64_t y, uint64_t z)
{
    register uint64_t a0 __asm__("a0") = x, a1 __asm__("a1") = y, a2 __asm__("a2") = z;
    register uint64_t a6 __asm__("a6") = function, a7 __asm__("a7") = ext;
    __asm__ volatile("ecall" : "+r"(a0), "+r"(a1) : "r"(a2), "r"(a6), "r"(a7) : "memory");
    return (int64_t)a0;
}

// The legacy call: OpenSBI of 2022 has no other console.
void machine_put(char c)
{
    firmware(1, 0, (uint8_t)c, 0, 0);
}

void machine_off(bool failed)
{
    firmware(AXVCPU_RISCV_SBI_EXT_SRST, 0, 0, failed, 0);
    for (;;)
        __asm__ volatile("wfi");
}

extern const uint8_t *machine_tree; // in start.S
const char *machine_arguments(void)
{
    return host_find_arguments(machine_tree);
}

extern const char machine_other[];
struct host_cpu *machine_cpus[HOST_CPUS]; // by hart, for start.S

// Any hart may be the one that boots: the others are the remaining numbers, in order.
bool machine_start(struct host_cpu *c)
{
    c->machine = c->id <= host_cpus[0].machine ? c->id - 1 : c->id;
    machine_cpus[c->machine] = c;
    return firmware(AXVCPU_RISCV_SBI_EXT_HSM, 0, c->machine, (uint64_t)(uintptr_t)machine_other, (uint64_t)(uintptr_t)c) == 0;
}

// ---- interrupts (priv 4.1.3)

enum { SOFT = 1u << MACHINE_KICK, TIMER = 1u << MACHINE_TIMER };

// With AXVCPU_OWN_VECTORS our handler is everybody's; without, it is not there while a guest runs.
#ifdef AXVCPU_OWN_VECTORS
__asm__(".balign 4\nmachine_vector:\n\t" AXVCPU_RISCV_VECTOR "j machine_trap");
#else
__asm__(".balign 4\nmachine_vector:\n\tj machine_trap");
#endif
extern const char machine_vector[];

void machine_enable(void)
{
    __asm__ volatile("csrw sscratch, zero\n\tcsrw stvec, %0" : : "r"(machine_vector));
    __asm__ volatile("csrw sie, %0" : : "r"((uint64_t)(SOFT | TIMER)));
}

// The one that is pending; it is not any more.
uint32_t machine_fetch(void)
{
    uint64_t pending = READ(sip) & READ(sie);
    if (pending & SOFT) {
        __asm__ volatile("csrc sip, %0" : : "r"((uint64_t)SOFT));
        return MACHINE_KICK;
    }
    if (!(pending & TIMER))
        return AXVCPU_NO_VECTOR;
    machine_timer(UINT64_MAX);
    return MACHINE_TIMER;
}

void machine_irq(uint32_t vector)
{
    if (vector == MACHINE_TIMER)
        host_timer_due();
}

void machine_kick(struct host_cpu *c)
{
    firmware(AXVCPU_RISCV_SBI_EXT_IPI, 0, 1, c->machine, 0);
}

void machine_interrupts(void)
{
    __asm__ volatile("csrsi sstatus, 2\n\tnop\n\tcsrci sstatus, 2" : : : "memory");
}

void machine_doze(void)
{
    __asm__ volatile("wfi" : : : "memory"); // a masked one ends it, too
    machine_interrupts();
}

void machine_trapped(uint64_t cause, uint64_t pc, uint64_t value);
void machine_trapped(uint64_t cause, uint64_t pc, uint64_t value)
{
    static const char *const names[] = {"scause ", ", sepc ", ", stval "};
    const uint64_t values[] = {cause, pc, value};
    if (cause & AXVCPU_RISCV_CAUSE_IRQ) {
        machine_irq(machine_fetch());
        return;
    }
    host_print("\n# an exception in the host: ");
    for (unsigned i = 0; i < sizeof values / sizeof values[0]; i++) {
        host_print(names[i]);
        host_print_number(values[i], 16);
    }
    host_panic("the host is broken");
}

// ---- time: QEMU's clock has 10 MHz

uint64_t machine_ticks(void)
{
    return READ(time);
}

uint64_t machine_ticks_per_second(void)
{
    return 10000000;
}

void machine_timer(uint64_t at)
{
    firmware(AXVCPU_RISCV_SBI_EXT_TIME, 0, at, 0, 0);
}
