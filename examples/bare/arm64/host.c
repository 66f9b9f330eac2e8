// SPDX-License-Identifier: Apache-2.0
//
// The host itself: UART, memory, interrupt controller, a second CPU, and the hooks of axvcpu.h.
#include "host.h"
#define AXVCPU_LOG(level, text) ((void)(level), host_log(text))
#define AXVCPU_IMPLEMENTATION
#include "axvcpu.h"

#define REG32(addr) (*(volatile uint32_t *)(uintptr_t)(addr))
#define READ(name) __extension__({ uint64_t value_; __asm__ volatile("mrs %0, " #name : "=r"(value_)); value_; })

static uint8_t stacks[HOST_CPUS][0x8000] __attribute__((aligned(16)));
struct cpu host_cpus[HOST_CPUS] = {
    {.stack = (uint64_t)(stacks + 1), .id = 0, .up = 1},
    {.stack = (uint64_t)(stacks + 2), .id = 1},
};
static struct axvcpu_percpu percpu[HOST_CPUS];

// ---- the compiler's four

void *memset(void *at, int c, size_t n)
{
    for (uint8_t *p = at; n > 0; n--)
        *p++ = (uint8_t)c;
    return at;
}

void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
    const uint8_t *f = from;
    for (uint8_t *t = to; n > 0; n--)
        *t++ = *f++;
    return to;
}

void *memmove(void *to, const void *from, size_t n)
{
    const uint8_t *f = from;
    uint8_t *t = to;
    if (t < f)
        return memcpy(to, from, n);
    while (n-- > 0)
        t[n] = f[n];
    return to;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const uint8_t *x = a, *y = b;
    for (; n > 0; n--, x++, y++)
        if (*x != *y)
            return *x - *y;
    return 0;
}

// ---- UART (PL011: data, and "transmit FIFO full" in the flags)

void host_print(const char *text)
{
    for (; *text; text++) {
        while (REG32(HOST_UART + 0x18) & 0x20)
            ;
        REG32(HOST_UART) = (uint8_t)*text;
    }
}

static void print_hex(const char *name, uint64_t n)
{
    char digits[17];
    for (int i = 15; i >= 0; i--, n >>= 4)
        digits[i] = "0123456789abcdef"[n & 15];
    digits[16] = 0;
    host_print(name);
    host_print(digits);
}

// ---- firmware: PSCI by SMC (DEN 0022D)

static uint64_t psci(uint64_t function, uint64_t a, uint64_t b, uint64_t c)
{
    register uint64_t x0 __asm__("x0") = function, x1 __asm__("x1") = a, x2 __asm__("x2") = b, x3 __asm__("x3") = c;
    __asm__ volatile("smc #0" : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3) : : "memory", "x4", "x5", "x6", "x7", "x8", "x9",
                     "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17");
    return x0;
}

void host_off(void)
{
    psci(0x84000008, 0, 0, 0);
    for (;;)
        ;
}

// ---- memory

static uint8_t used[HOST_MEMORY_PAGES];

static bool is_free(size_t first, size_t pages)
{
    for (size_t i = 0; i < pages; i++)
        if (used[first + i])
            return false;
    return true;
}

axvcpu_hpa_t axvcpu_host_alloc_frame(size_t pages, size_t align)
{
    size_t step = align > 4096 ? align / 4096 : 1;
    for (size_t i = 0; i + pages <= HOST_MEMORY_PAGES; i += step)
        if (is_free(i, pages)) {
            void *at = (void *)(uintptr_t)(HOST_MEMORY + i * 4096);
            memset(&used[i], 1, pages);
            memset(at, 0, pages * 4096);
            return axvcpu_hpa((uint64_t)(uintptr_t)at);
        }
    return axvcpu_hpa(0);
}

void axvcpu_host_free_frame(axvcpu_hpa_t hpa, size_t pages)
{
    memset(&used[(hpa.addr - HOST_MEMORY) / 4096], 0, pages);
}

void *host_alloc(size_t pages)
{
    return (void *)(uintptr_t)axvcpu_host_alloc_frame(pages, 4096).addr;
}

void host_free(void *at, size_t pages)
{
    axvcpu_host_free_frame(axvcpu_hpa((uint64_t)(uintptr_t)at), pages);
}

void *axvcpu_host_phys_to_virt(axvcpu_hpa_t hpa)
{
    return (void *)(uintptr_t)hpa.addr;
}

axvcpu_hpa_t axvcpu_host_virt_to_phys(const void *at)
{
    return axvcpu_hpa((uint64_t)(uintptr_t)at);
}

// ---- time and chance

uint64_t host_ticks(void)
{
    return READ(cntpct_el0);
}

uint64_t host_ticks_per_second(void)
{
    return READ(cntfrq_el0);
}

uint64_t host_random(void)
{
    static uint64_t state;
    uint64_t z = state += host_ticks() * 2 + 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

void axvcpu_host_timer_arm(struct axvcpu *v, uint64_t deadline)
{
    (void)v, (void)deadline;
}

// ---- interrupts (GICv2, IHI 0048)

static void start_gic(void)
{
    REG32(HOST_GICD) = 1;
    REG32(HOST_GICD + 0x100) = 0xffff; // SGIs
    REG32(HOST_GICC + 4) = 0xff;       // priority mask: all
    REG32(HOST_GICC) = 1;
}

// Acknowledged and ended at once: nothing here needs it to stay active.
uint32_t host_irq_fetch(void)
{
    uint32_t iar = REG32(HOST_GICC + 0xc);
    REG32(HOST_GICC + 0x10) = iar;
    return iar & 0x3ff;
}

void axvcpu_host_irq_handler(uint32_t vector)
{
    (void)vector;
}

void axvcpu_host_send_kick(void *token)
{
    const struct cpu *to = token;
    REG32(HOST_GICD + 0xf00) = 1u << (16 + to->id) | HOST_KICK;
}

void axvcpu_host_exception(struct axvcpu_arm64_frame *f)
{
    if ((f->slot & 3) == AXVCPU_ARM64_IRQ) {
        axvcpu_host_irq_handler(host_irq_fetch());
        return;
    }
    print_hex("\nBail out! exception at EL2: slot ", f->slot);
    print_hex(", ESR ", f->esr);
    print_hex(", ELR ", f->elr);
    print_hex(", FAR ", f->far);
    print_hex(", x30 ", f->x[30]);
    host_print("\n");
    host_off();
}

// ---- CPUs

static void enable(void)
{
    start_gic();
    if (axvcpu_percpu_init(&percpu[host_cpu->id], host_cpu->id) != 0 ||
        axvcpu_percpu_enable(&percpu[host_cpu->id]) != 0) {
        host_print("Bail out! this CPU cannot run guests\n");
        host_off();
    }
}

__attribute__((noreturn)) void host_start(void);
void host_start(void)
{
    enable();
    host_main();
    host_off();
}

__attribute__((noreturn)) void host_start_secondary(void);
void host_start_secondary(void)
{
    struct cpu *me = host_cpu;
    enable();
    for (;;) {
        while (!__atomic_load_n(&me->busy, __ATOMIC_ACQUIRE))
            __asm__ volatile("wfe");
        me->job(me->arg);
        __atomic_store_n(&me->busy, 0, __ATOMIC_RELEASE);
        __asm__ volatile("dsb ish\nsev");
    }
}

extern const char host_secondary[];

bool host_start_job(uint32_t cpu, void (*job)(void *), void *arg)
{
    struct cpu *c = &host_cpus[cpu];
    c->job = job;
    c->arg = arg;
    __atomic_store_n(&c->busy, 1, __ATOMIC_RELEASE);
    __asm__ volatile("dsb ish\nsev");
    if (!c->up)
        c->up = psci(0xc4000003, cpu, (uint64_t)(uintptr_t)host_secondary, (uint64_t)(uintptr_t)c) == 0;
    return c->up;
}

void host_wait_job(uint32_t cpu)
{
    while (__atomic_load_n(&host_cpus[cpu].busy, __ATOMIC_ACQUIRE))
        __asm__ volatile("wfe");
}
