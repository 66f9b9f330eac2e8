// SPDX-License-Identifier: Apache-2.0
//
// What a bare-metal host needs on any machine; host.h says what each machine adds.
#ifndef HOST_LIBRARY_IN_PROGRAM
#define AXVCPU_IMPLEMENTATION
#endif
#include "axvcpu.h"

enum { FRAME = 4096, STACK_SIZE = 0x8000 };

static uint8_t stacks[HOST_CPUS][STACK_SIZE] __attribute__((aligned(16)));
struct host_cpu host_cpus[HOST_CPUS] = {{.stack = stacks[0] + STACK_SIZE, .up = 1}};
static struct axvcpu_percpu percpu[HOST_CPUS];

// ---- what a compiler may call. A word at a time as far as that goes; volatile, or it would make calls of
// themselves of them.

void *memset(void *at, int c, size_t n);
void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memmove(void *to, const void *from, size_t n);
int memcmp(const void *a, const void *b, size_t n);

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

void *memmove(void *to, const void *from, size_t n)
{
    volatile uint8_t *p = to;
    const uint8_t *q = from;
    if ((uintptr_t)p < (uintptr_t)q)
        return memcpy(to, from, n);
    while (n-- > 0)
        p[n] = q[n];
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

// ---- words

void host_print(const char *text)
{
    for (; *text; text++)
        machine_put(*text);
}

void host_print_number(uint64_t n, uint32_t base)
{
    char digits[24];
    size_t i = sizeof digits - 1;
    digits[i] = 0;
    do
        digits[--i] = "0123456789abcdef"[n % base];
    while ((n /= base) != 0);
    host_print(base == 16 ? "0x" : "");
    host_print(digits + i);
}

__attribute__((weak)) void host_log(const char *text)
{
    host_print("# ");
    host_print(text);
    host_print("\n");
}

void host_panic(const char *text)
{
    host_print("\nBail out! ");
    host_print(text);
    host_print("\n");
    machine_off(true);
}

static uint32_t cases, failed;

void host_case(bool good, const char *name)
{
    failed += !good;
    host_print(good ? "ok " : "not ok ");
    host_print_number(++cases, 10);
    host_print(" - ");
    host_print(name);
    host_print("\n");
}

// ---- the command line

const char *host_find_arguments(const uint8_t *tree)
{
    static const char mark[] = "axvcpu:";
    uint32_t size = (uint32_t)tree[4] << 24 | (uint32_t)tree[5] << 16 | (uint32_t)tree[6] << 8 | tree[7];
    bool is_tree = tree[0] == 0xd0 && tree[1] == 0x0d && tree[2] == 0xfe && tree[3] == 0xed;
    for (uint32_t i = 0, n = 0; is_tree && i < size; i++) {
        n = tree[i] == (uint8_t)mark[n] ? n + 1 : 0;
        if (n == sizeof mark - 1)
            return (const char *)tree + i + 1;
    }
    return "";
}

const char *host_argument(const char *name)
{
    for (const char *text = machine_arguments(); *text; text++) {
        size_t n = 0;
        while (name[n] && text[n] == name[n])
            n++;
        if (!name[n] && text[n] == '=')
            return text + n + 1;
    }
    return "";
}

uint64_t host_argument_number(const char *name)
{
    uint64_t n = 0;
    for (const char *p = host_argument(name); (*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'f'); p++)
        n = n * 16 + (uint64_t)(*p <= '9' ? *p - '0' : *p - 'a' + 10);
    return n;
}

// splitmix64
uint64_t host_random(void)
{
    static uint64_t state;
    if (state == 0)
        state = host_argument_number("seed");
    if (state == 0)
        state = machine_ticks();
    uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

// ---- memory: a byte for each frame, first fit

static uint8_t used[HOST_MEMORY_PAGES];
static uint32_t used_lock;

static bool is_free(size_t first, size_t pages)
{
    for (size_t i = 0; i < pages; i++)
        if (used[first + i])
            return false;
    return true;
}

// The first of so many frames, now used; HOST_MEMORY_PAGES: there are none.
static size_t take_frames(size_t pages, size_t step)
{
    size_t at = 0;
    while (__atomic_exchange_n(&used_lock, 1, __ATOMIC_ACQUIRE))
        ;
    while (at + pages <= HOST_MEMORY_PAGES && !is_free(at, pages))
        at += step;
    if (at + pages <= HOST_MEMORY_PAGES)
        memset(&used[at], 1, pages);
    else
        at = HOST_MEMORY_PAGES;
    __atomic_store_n(&used_lock, 0, __ATOMIC_RELEASE);
    return at;
}

axvcpu_hpa_t axvcpu_host_alloc_frame(size_t pages, size_t align)
{
    size_t at = take_frames(pages, align > FRAME ? align / FRAME : 1);
    uint64_t hpa = HOST_MEMORY + at * FRAME;
    if (at == HOST_MEMORY_PAGES)
        return axvcpu_hpa(0);
    memset((void *)(uintptr_t)hpa, 0, pages * FRAME);
    return axvcpu_hpa(hpa);
}

void axvcpu_host_free_frame(axvcpu_hpa_t hpa, size_t pages)
{
    memset(&used[(hpa.addr - HOST_MEMORY) / FRAME], 0, pages);
}

void *host_alloc(size_t pages)
{
    return (void *)(uintptr_t)axvcpu_host_alloc_frame(pages, FRAME).addr;
}

void host_free(void *at, size_t pages)
{
    axvcpu_host_free_frame(axvcpu_hpa((uint64_t)(uintptr_t)at), pages);
}

size_t host_free_pages(void)
{
    size_t n = 0;
    for (size_t i = 0; i < HOST_MEMORY_PAGES; i++)
        n += !used[i];
    return n;
}

// ---- time

static uint64_t ticks_in(uint64_t ns)
{
    return machine_ticks_per_second() * ns / 1000000000u;
}

void host_pause(uint64_t ns)
{
    uint64_t end = machine_ticks() + ticks_in(ns);
    while (machine_ticks() < end)
        machine_interrupts();
}

// The machine has one timer: the earliest of this CPU's.
static void set_timer(void)
{
    uint64_t first = UINT64_MAX;
    for (uint32_t i = 0; i < HOST_TIMERS; i++)
        if (HOST_CPU()->timers[i].at != 0 && HOST_CPU()->timers[i].at < first)
            first = HOST_CPU()->timers[i].at;
    machine_timer(first);
}

static void arm(enum host_timer which, uint64_t at, void (*fn)(void *), void *arg)
{
    HOST_CPU()->timers[which].fn = fn;
    HOST_CPU()->timers[which].arg = arg;
    HOST_CPU()->timers[which].at = at != 0 ? at : 1;
    set_timer();
}

void host_timer_due(void)
{
    uint64_t now = machine_ticks();
    for (uint32_t i = 0; i < HOST_TIMERS; i++)
        if (HOST_CPU()->timers[i].at != 0 && HOST_CPU()->timers[i].at <= now) {
            HOST_CPU()->timers[i].at = 0;
            HOST_CPU()->timers[i].fn(HOST_CPU()->timers[i].arg);
        }
    set_timer();
}

void host_alarm(uint64_t ns, void (*fn)(void *), void *arg)
{
    arm(HOST_TIMER_ALARM, machine_ticks() + ticks_in(ns), fn, arg);
}

static void vcpu_timer(void *v)
{
#ifdef HOST_TIMER_VECTOR
    (void)axvcpu_inject_interrupt(v, HOST_TIMER_VECTOR);
#else
    (void)axvcpu_unblock(v);
#endif
}

// For the vCPU that ran here last; the next one's replaces it.
void axvcpu_host_timer_arm(struct axvcpu *v, uint64_t deadline)
{
    arm(HOST_TIMER_VCPU, deadline, vcpu_timer, v);
}

// ---- CPUs

struct axvcpu_percpu *host_percpu(void)
{
    return &percpu[HOST_CPU()->id];
}

static void enable(void)
{
    struct axvcpu_percpu *p = host_percpu();
    machine_enable();
    if (axvcpu_percpu_init(p, HOST_CPU()->id) != AXVCPU_OK || axvcpu_percpu_enable(p) != AXVCPU_OK)
        host_panic("this CPU cannot run guests");
}

void host_boot(void)
{
    enable();
    int err = host_main();
    if (cases != 0) {
        host_print("1..");
        host_print_number(cases, 10);
        host_print("\n");
    }
    machine_off(err != 0 || failed != 0);
}

static uint32_t work_of(struct host_cpu *c)
{
    return __atomic_load_n(&c->work, __ATOMIC_SEQ_CST);
}

static void set_work(struct host_cpu *c, enum host_work work)
{
    __atomic_store_n(&c->work, work, __ATOMIC_SEQ_CST);
}

// Sleep while it is `idle`; then the kick is on its way until it is `ready`.
static void wait_for(struct host_cpu *c, enum host_work idle, enum host_work ready)
{
    while (work_of(c) == (uint32_t)idle)
        machine_doze();
    while (work_of(c) != (uint32_t)ready)
        ;
    machine_interrupts();
}

void host_other(void)
{
    struct host_cpu *me = HOST_CPU();
    enable();
    for (;;) {
        wait_for(me, HOST_IDLE, HOST_BUSY);
        me->job(me->arg);
        set_work(me, HOST_DONE);
        machine_kick(me->from);
        set_work(me, HOST_IDLE);
    }
}

bool host_start_job(uint32_t cpu, void (*job)(void *), void *arg)
{
    struct host_cpu *c = &host_cpus[cpu < HOST_CPUS ? cpu : 0];
    if (c == HOST_CPU())
        return false;
    c->id = cpu;
    c->stack = stacks[cpu] + STACK_SIZE;
    c->job = job;
    c->arg = arg;
    c->from = HOST_CPU();
    if (!c->up)
        c->up = machine_start(c);
    if (!c->up)
        return false;
    set_work(c, HOST_CALLED);
    machine_kick(c);
    set_work(c, HOST_BUSY);
    return true;
}

void host_wait_job(uint32_t cpu)
{
    wait_for(&host_cpus[cpu], HOST_BUSY, HOST_IDLE);
}
