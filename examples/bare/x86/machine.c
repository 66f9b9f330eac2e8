// SPDX-License-Identifier: Apache-2.0
//
// The PC: console, descriptor tables, local APIC, the other CPU.
#include "axvcpu.h"

static void outb(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static uint64_t read_msr(uint32_t msr)
{
    uint32_t low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    return (uint64_t)high << 32 | low;
}

static void write_msr(uint32_t msr, uint64_t value)
{
    __asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

// Both have it, QEMU (-debugcon) and Bochs (port_e9_hack).
void machine_put(char c)
{
    outb(0xe9, (uint8_t)c);
}

// In the boot sector, where whoever makes the image may write it: start.S.
extern const char machine_words[];
const char *machine_arguments(void)
{
    return machine_words;
}

// QEMU's isa-debug-exit, and Bochs' own way out.
void machine_off(bool failed)
{
    outb(0xf4, failed);
    for (const char *s = "Shutdown"; *s; s++)
        outb(0x8900, (uint8_t)*s);
    for (;;)
        __asm__ volatile("cli\n\thlt");
}

// ---- descriptor tables: a TSS for each CPU, whose second stack is for NMIs and double faults

struct tss {
    uint32_t none, stacks[24];
    uint16_t unused, io_map;
} __attribute__((packed));
struct gate {
    uint64_t low, high;
};
extern uint64_t machine_gdt[8];
extern const uint8_t machine_vectors[];
static struct tss tss[HOST_CPUS];
static uint8_t other_stacks[HOST_CPUS][0x1000] __attribute__((aligned(16)));
static struct gate idt[256];

struct table {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

static void fill_idt(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint64_t to = (uint64_t)(uintptr_t)(machine_vectors + 16 * i), stack = i == 2 || i == 8;
        idt[i].low = (to & 0xffff) | 8 << 16 | stack << 32 | UINT64_C(0x8e) << 40 | (to >> 16 & 0xffff) << 48;
        idt[i].high = to >> 32;
    }
}

static void load_tables(uint32_t id)
{
    struct tss *t = &tss[id];
    struct table gdtr = {sizeof(uint64_t) * 8 - 1, (uint64_t)(uintptr_t)machine_gdt};
    struct table idtr = {sizeof idt - 1, (uint64_t)(uintptr_t)idt};
    uint64_t base = (uint64_t)(uintptr_t)t, stack = (uint64_t)(uintptr_t)(other_stacks + id + 1);
    t->stacks[8] = (uint32_t)stack; // IST1
    t->stacks[9] = (uint32_t)(stack >> 32);
    t->io_map = sizeof *t;
    machine_gdt[4 + 2 * id] = (sizeof *t - 1) | (base & 0xffffff) << 16 | UINT64_C(0x89) << 40 | (base >> 24 & 0xff) << 56;
    machine_gdt[5 + 2 * id] = base >> 32;
    __asm__ volatile("lgdt %0\n\tlidt %1\n\tltr %w2" : : "m"(gdtr), "m"(idtr), "r"(0x20 + 16 * id) : "memory");
}

// ---- the local APIC (SDM 3, 11.4)

enum { APIC_EOI = 0xb0, APIC_TPR = 0x80, APIC_SPURIOUS = 0xf0, APIC_ICR = 0x300, APIC_ICR_HIGH = 0x310,
       APIC_TIMER = 0x320, APIC_COUNT = 0x380, APIC_LEFT = 0x390, APIC_DIVIDE = 0x3e0 };

static volatile uint32_t *apic(uint32_t offset)
{
    return (volatile uint32_t *)(uintptr_t)(HOST_APIC + offset);
}

static void send(uint32_t to, uint32_t command)
{
    while (*apic(APIC_ICR) & 0x1000)
        ;
    *apic(APIC_ICR_HIGH) = to << 24;
    *apic(APIC_ICR) = command;
}

void machine_kick(struct host_cpu *c)
{
    send(c->id, 0x4000 | MACHINE_KICK);
}

// ---- time: the time-stamp counter; the timer's is another, and how much slower is measured

static uint64_t slower = 1 << 10; // counts of the timer in 1024 ticks

uint64_t machine_ticks(void)
{
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

// Near enough for pauses: what a second is nobody tells. A tick is an instruction in Bochs.
uint64_t machine_ticks_per_second(void)
{
    return 250000000;
}

void machine_timer(uint64_t at)
{
    uint64_t now = machine_ticks(), counts = at > now ? (at - now < 1u << 30 ? at - now : 1u << 30) * slower >> 10 : 0;
    *apic(APIC_COUNT) = at == UINT64_MAX ? 0 : (uint32_t)counts + 1;
}

static void measure(void)
{
    uint64_t start = machine_ticks(), now;
    *apic(APIC_COUNT) = UINT32_MAX;
    do
        now = machine_ticks();
    while (now - start < 1u << 18);
    slower = ((uint64_t)(UINT32_MAX - *apic(APIC_LEFT)) << 10) / (now - start);
    *apic(APIC_COUNT) = 0;
}

// ---- interrupts

static uint32_t taken[HOST_CPUS];

void machine_interrupts(void)
{
    __asm__ volatile("sti\n\tnop\n\tcli" : : : "memory");
}

// A processor tells its vector to nobody but the handler, so the handler has been there when this returns. Of
// kicks and the timer nobody else needs to know.
uint32_t machine_fetch(void)
{
    uint32_t id = HOST_CPU()->id;
    taken[id] = MACHINE_KICK;
    machine_interrupts();
    return *(volatile uint32_t *)&taken[id];
}

// An interrupt that came before is still pending: HLT follows STI at once (SDM 2, STI).
void machine_doze(void)
{
    __asm__ volatile("sti\n\thlt\n\tcli" : : : "memory");
}

void machine_irq(uint32_t vector)
{
    if (vector == AXVCPU_NO_VECTOR)
        machine_interrupts();
}

struct machine_frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax, vector, error, rip, cs, flags, rsp, ss;
};
void machine_trap(const struct machine_frame *f);

static void die(const struct machine_frame *f)
{
    static const char *const names[] = {"vector ", ", error ", ", RIP ", ", RSP ", ", CR2 "};
    uint64_t cr2;
    __asm__("mov %%cr2, %0" : "=r"(cr2));
    const uint64_t values[] = {f->vector, f->error, f->rip, f->rsp, cr2};
    host_print("\n# an exception in the host: ");
    for (unsigned i = 0; i < sizeof values / sizeof values[0]; i++) {
        host_print(names[i]);
        host_print_number(values[i], 16);
    }
    host_panic("the host is broken");
}

void machine_trap(const struct machine_frame *f)
{
    if (f->vector < 32 && f->vector != 2)
        die(f);
    if (f->vector == 2 || f->vector == MACHINE_SPURIOUS)
        return;
    *apic(APIC_EOI) = 0;
    if (f->vector == MACHINE_TIMER)
        host_timer_due();
    else if (f->vector != MACHINE_KICK)
        taken[HOST_CPU()->id] = (uint32_t)f->vector;
}

// ---- CPUs. Their APIC ids are our numbers.

void machine_start_here(struct host_cpu *);
void machine_start_here(struct host_cpu *c)
{
    c->machine = (uint64_t)(uintptr_t)c;
    __asm__ volatile("mov %w0, %%fs\n\tmov %w0, %%gs" : : "r"(0));
    write_msr(0xc0000101, c->machine); // GS base
    if (c->id == 0)
        fill_idt();
    load_tables(c->id);
}

void machine_enable(void)
{
    outb(0x21, 0xff); // the old interrupt controllers: nothing
    outb(0xa1, 0xff);
    write_msr(0x1b, read_msr(0x1b) | 0x800);
    *apic(APIC_TPR) = 0;
    *apic(APIC_SPURIOUS) = 0x100 | MACHINE_SPURIOUS;
    *apic(APIC_TIMER) = MACHINE_TIMER;
    *apic(APIC_DIVIDE) = 0xb;
    if (HOST_CPU()->id == 0)
        measure();
}

extern const uint8_t machine_trampoline[], machine_trampoline_end[];
struct host_cpu *volatile machine_starting; // start.S takes it

static bool was_taken(void)
{
    for (uint64_t end = machine_ticks() + 100000000; machine_ticks() < end && machine_starting;)
        __asm__ volatile("pause");
    return !machine_starting;
}

// INIT, start-up, and once more (SDM 3, 9.4.4).
bool machine_start(struct host_cpu *c)
{
    __builtin_memcpy((void *)HOST_TRAMPOLINE, machine_trampoline, (size_t)(machine_trampoline_end - machine_trampoline));
    machine_starting = c;
    send(c->id, 0x4500);
    for (int i = 0; i < 2; i++) {
        send(c->id, 0x4600 | HOST_TRAMPOLINE >> 12);
        if (was_taken())
            return true;
    }
    return false;
}
