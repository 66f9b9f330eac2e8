// SPDX-License-Identifier: Apache-2.0
//
// The bare machine: console, frames, harts, interrupts and power-off by SBI calls.
#include "axvcpu.h"

enum { STACK_SIZE = 0x4000, FRAME = 4096, POOL_FRAMES = 8192 };
#define POOL ((uint8_t *)(uintptr_t)0x82000000u) // 32 MiB in the middle of 128

struct hart machine_harts[MACHINE_HARTS];
uint8_t machine_stacks[MACHINE_HARTS][STACK_SIZE] __attribute__((aligned(16)));

void machine_boot(uint64_t hart, const uint8_t *tree);
void machine_other(void);
void machine_trapped(uint64_t cause, uint64_t pc, uint64_t value);
void machine_entry_other(void);

// ---- what a compiler may call

void *memset(void *at, int c, size_t n);
void *memcpy(void *restrict to, const void *restrict from, size_t n);

// A word at a time as far as that goes; volatile, or the compiler would make calls of themselves of them.
void *memset(void *at, int c, size_t n)
{
    volatile uint8_t *p = at;
    for (; ((uintptr_t)p & 7) == 0 && n >= 8; n -= 8, p += 8)
        *(volatile uint64_t *)(volatile void *)p = (uint8_t)c * UINT64_C(0x0101010101010101);
    while (n-- > 0)
        *p++ = (uint8_t)c;
    return at;
}

void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
    volatile uint8_t *p = to;
    const uint8_t *q = from;
    for (; (((uintptr_t)p | (uintptr_t)q) & 7) == 0 && n >= 8; n -= 8, p += 8, q += 8)
        *(volatile uint64_t *)(volatile void *)p = *(const uint64_t *)(const void *)q;
    while (n-- > 0)
        *p++ = *q++;
    return to;
}

// ---- the firmware

static int64_t firmware(uint64_t ext, uint64_t function, uint64_t x, uint64_t y, uint64_t z)
{
    register uint64_t a0 __asm__("a0") = x, a1 __asm__("a1") = y, a2 __asm__("a2") = z;
    register uint64_t a6 __asm__("a6") = function, a7 __asm__("a7") = ext;
    __asm__ volatile("ecall" : "+r"(a0), "+r"(a1) : "r"(a2), "r"(a6), "r"(a7) : "memory");
    return (int64_t)a0;
}

void machine_print(const char *text)
{
    while (*text)
        firmware(1, 0, (uint8_t)*text++, 0, 0);
}

void machine_number(uint64_t n)
{
    char digits[17];
    int i = 16;
    digits[i] = 0;
    do
        digits[--i] = "0123456789abcdef"[n & 15];
    while ((n >>= 4) != 0);
    machine_print("0x");
    machine_print(digits + i);
}

void machine_log(const char *text)
{
    machine_print("# ");
    machine_print(text);
    machine_print("\n");
}

void machine_off(bool failed)
{
    firmware(AXVCPU_RISCV_SBI_EXT_SRST, 0, 0, failed, 0);
    for (;;)
        __asm__ volatile("wfi");
}

uint64_t machine_time(void)
{
    uint64_t t;
    __asm__ volatile("rdtime %0" : "=r"(t));
    return t;
}

// ---- interrupts: they are masked but here, and while a guest runs they end that

enum { SOFT = 2, TIMER = 0x20 };

static struct axvcpu *timed[MACHINE_HARTS];

void machine_trapped(uint64_t cause, uint64_t pc, uint64_t value)
{
    uint32_t index = machine_self->index;
    if (cause == (AXVCPU_RISCV_CAUSE_IRQ | 1)) {
        __asm__ volatile("csrc sip, %0" : : "r"(SOFT));
        return;
    }
    if (cause == (AXVCPU_RISCV_CAUSE_IRQ | 5)) {
        firmware(AXVCPU_RISCV_SBI_EXT_TIME, 0, UINT64_MAX, 0, 0);
        if (timed[index])
            axvcpu_inject_interrupt(timed[index], AXVCPU_RISCV_IRQ_TIMER);
        timed[index] = NULL;
        return;
    }
    machine_print("\nBail out! the host trapped: scause ");
    machine_number(cause);
    machine_print(" sepc ");
    machine_number(pc);
    machine_print(" stval ");
    machine_number(value);
    machine_print("\n");
    machine_off(true);
}

void machine_interrupts(void)
{
    __asm__ volatile("csrsi sstatus, 2\n\tnop\n\tcsrci sstatus, 2" : : : "memory");
}

void axvcpu_host_timer_arm(struct axvcpu *v, uint64_t deadline)
{
    timed[machine_self->index] = v;
    firmware(AXVCPU_RISCV_SBI_EXT_TIME, 0, deadline, 0, 0);
}

void machine_ipi(struct hart *h)
{
    firmware(AXVCPU_RISCV_SBI_EXT_IPI, 0, 1, h->id, 0);
}

// ---- frames: one byte for each, first fit

static uint8_t used[POOL_FRAMES];

static bool is_free(size_t at, size_t pages)
{
    for (size_t i = 0; i < pages; i++)
        if (used[at + i])
            return false;
    return true;
}

void *machine_frames(size_t pages, size_t align)
{
    size_t step = align > FRAME ? align / FRAME : 1;
    for (size_t at = 0; at + pages <= POOL_FRAMES; at += step)
        if (is_free(at, pages)) {
            memset(used + at, 1, pages);
            for (uint64_t *p = (uint64_t *)(void *)(POOL + at * FRAME), *end = p + pages * FRAME / 8; p < end; p++)
                *p = 0;
            return POOL + at * FRAME;
        }
    return NULL;
}

void machine_free(void *at, size_t pages)
{
    memset(used + ((uint8_t *)at - POOL) / FRAME, 0, pages);
}

axvcpu_hpa_t axvcpu_host_alloc_frame(size_t pages, size_t align)
{
    return axvcpu_hpa((uintptr_t)machine_frames(pages, align));
}

void axvcpu_host_free_frame(axvcpu_hpa_t hpa, size_t pages)
{
    machine_free((void *)(uintptr_t)hpa.addr, pages);
}

// ---- harts

static struct axvcpu_percpu percpus[MACHINE_HARTS];

static void enable(void)
{
    struct axvcpu_percpu *p = &percpus[machine_self->index];
    __asm__ volatile("csrw sie, %0" : : "r"(SOFT | TIMER | 0x200));
    if (axvcpu_percpu_init(p, machine_self->index) == AXVCPU_OK && axvcpu_percpu_enable(p) == AXVCPU_OK)
        return;
    machine_print("Bail out! no H extension\n");
    machine_off(true);
}

void machine_other(void)
{
    enable();
    machine_self->fn(machine_self->arg);
    axvcpu_percpu_deinit(&percpus[machine_self->index]);
    __atomic_store_n(&machine_self->stopped, 1, __ATOMIC_SEQ_CST);
    firmware(AXVCPU_RISCV_SBI_EXT_HSM, 1, 0, 0, 0);
}

bool machine_start(uint32_t index, void (*fn)(void *), void *arg)
{
    struct hart *h = &machine_harts[index];
    h->index = index;
    h->id = index + (index <= machine_harts[0].id ? -1u : 0); // all ids but the boot hart's, in order
    h->id = (uint32_t)h->id;
    h->stack = machine_stacks[index] + STACK_SIZE;
    h->fn = fn;
    h->arg = arg;
    h->stopped = 0;
    int64_t err;
    do // it may still be on its way down
        err = firmware(AXVCPU_RISCV_SBI_EXT_HSM, 0, h->id, (uintptr_t)machine_entry_other, (uintptr_t)h);
    while (err == AXVCPU_RISCV_SBI_ALREADY_AVAILABLE);
    return err == 0;
}

bool machine_is_stopped(uint32_t index)
{
    return __atomic_load_n(&machine_harts[index].stopped, __ATOMIC_SEQ_CST) != 0;
}

// ---- the command line: somewhere in the device tree, after "axvcpu:"

static const char *arguments_in(const uint8_t *tree)
{
    static const char mark[] = "axvcpu:";
    uint32_t size = (uint32_t)tree[4] << 24 | (uint32_t)tree[5] << 16 | (uint32_t)tree[6] << 8 | tree[7];
    for (uint32_t i = 0, n = 0; i < size; i++) {
        n = tree[i] == (uint8_t)mark[n] ? n + 1 : 0;
        if (n == sizeof mark - 1)
            return (const char *)tree + i + 1;
    }
    return "";
}

const char *machine_text(const char *text, const char *name)
{
    for (; *text; text++) {
        size_t n = 0;
        while (name[n] && text[n] == name[n])
            n++;
        if (!name[n] && text[n] == '=')
            return text + n + 1;
    }
    return "";
}

uint64_t machine_argument(const char *arguments, const char *name)
{
    uint64_t n = 0;
    for (const char *p = machine_text(arguments, name); (*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'f'); p++)
        n = n * 16 + (uint64_t)(*p <= '9' ? *p - '0' : *p - 'a' + 10);
    return n;
}

void machine_boot(uint64_t hart, const uint8_t *tree)
{
    machine_self->id = hart;
    enable();
    machine_main(arguments_in(tree));
    axvcpu_percpu_deinit(&percpus[0]);
    machine_off(false);
}
