// SPDX-License-Identifier: Apache-2.0
//
// A process that has guests under KVM, to see that they leave it alone: its program, descriptors, mappings,
// signals, and the memory beside the guest's and beside the run pages.
#define _GNU_SOURCE
#include "hostile.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096, WORDS = PAGE / 8, MAX_FDS = 64, MAX_BESIDE = 2 + 2 * MAX_VCPUS, LIST = 1 << 16 };

extern const uint8_t __executable_start[], etext[];

// What the kernel knows of this process.
struct holdings {
    uint64_t descriptors, mappings, signals;
};
static struct holdings without, with; // a VM
static uint64_t text_sum;
static const char *left_over; // by the last VM
static uint64_t *beside[MAX_BESIDE];
static uint32_t beside_count, own_from; // those from here on are this file's

static uint64_t sum(uint64_t n, const void *at, size_t size)
{
    for (const uint8_t *p = at, *end = p + size; p < end; p++)
        n = (n ^ *p) * UINT64_C(0x100000001b3);
    return n;
}

static uint64_t sum_text(void)
{
    return sum(0, __executable_start, (size_t)(etext - __executable_start));
}

// All but the heap and the stack, which may grow.
static uint64_t sum_mappings(void)
{
    static char list[LIST];
    size_t size = 0;
    uint64_t n = 0;
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    for (ssize_t got; (got = read(fd, list + size, LIST - 1 - size)) > 0;)
        size += (size_t)got;
    close(fd);
    list[size] = 0;
    for (char *at = list, *end; (end = strchr(at, '\n')) != NULL; at = end + 1) {
        *end = 0;
        if (!strstr(at, "[heap]") && !strstr(at, "[stack]"))
            n = sum(n, at, (size_t)(end - at));
    }
    return n;
}

static uint64_t sum_signals(void)
{
    struct sigaction action;
    sigset_t mask;
    uint64_t n = 0;
    sigprocmask(SIG_SETMASK, NULL, &mask);
    for (int i = 1; i <= SIGRTMAX; i++) {
        bool there = sigaction(i, NULL, &action) == 0;
        uint64_t all[] = {there ? (uintptr_t)action.sa_handler : 0, there ? (uint64_t)action.sa_flags : 0,
                          sigismember(&mask, i) == 1};
        n = sum(n, all, sizeof all);
    }
    return n;
}

static struct holdings look(void)
{
    struct holdings h = {0, sum_mappings(), sum_signals()};
    for (int i = 0; i < MAX_FDS; i++)
        h.descriptors |= (uint64_t)(fcntl(i, F_GETFD) >= 0) << i;
    return h;
}

static const char *compare(const struct holdings *now, const struct holdings *then)
{
    return now->descriptors != then->descriptors ? "the descriptors" :
           now->mappings != then->mappings       ? "the mappings" :
           now->signals != then->signals         ? "the signals" :
                                                   NULL;
}

// The kick's signal stays the library's: `with` has the signals.
static void look_without(void)
{
    struct holdings now = look();
    now.signals = 0;
    if (text_sum == 0)
        text_sum = sum_text();
    else
        left_over = compare(&now, &without);
    without = now;
}

void place_before(void)
{
    const char *earlier = left_over;
    if (strcmp(port_substrate(), "kvm-soft") == 0) { // absent.h
        puts("ok 1 - hostile guests # SKIP kvm: a VMCALL in ring 0 never comes back here\n1..1");
        exit(0);
    }
    look_without();
    left_over = earlier ? earlier : left_over;
}

void place_tables(void)
{
}

static uint64_t pattern(const uint64_t *at)
{
    return ((uint64_t)(uintptr_t)at * UINT64_C(0x9e3779b97f4a7c15)) ^ UINT64_C(0x5a5a5a5a);
}

static void guard(void *at)
{
    uint64_t *page = at;
    for (uint32_t i = 0; i < WORDS; i++)
        page[i] = pattern(&page[i]);
    beside[beside_count++] = page;
}

// A page of its own, if nothing else is there.
static void guard_own(uintptr_t at)
{
    void *page = mmap((void *)at, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (page != MAP_FAILED)
        guard(page);
}

void place_ready(const uint8_t *ram, struct axvm *vm)
{
    uintptr_t at = (uintptr_t)ram;
    beside_count = 0;
    guard((void *)(at - PAGE)); // the port has left these two free
    guard((void *)(at + RAM_SIZE));
    own_from = beside_count;
    for (uint32_t i = 0; i < MAX_VCPUS; i++) {
        const struct axvcpu *v = axvm_vcpu(vm, i);
        uintptr_t run = (uintptr_t)axvcpu_kvm_run(v);
        guard_own(run - PAGE);
        guard_own(run + v->arch.kvm.run_size);
    }
    with = look();
}

static bool is_guarded(const uint64_t *page)
{
    for (uint32_t i = 0; i < WORDS; i++)
        if (page[i] != pattern(&page[i]))
            return false;
    return true;
}

const char *place_changed(void)
{
    struct holdings now = look();
    const char *what = left_over ? left_over : compare(&now, &with);
    for (uint32_t i = 0; i < beside_count; i++) {
        if (!is_guarded(beside[i]))
            what = "the memory beside the guest's or beside a run page";
        if (i >= own_from)
            munmap(beside[i], PAGE);
    }
    left_over = NULL;
    return what;
}

void place_finish(void)
{
    look_without();
}

const char *place_changed_ever(void)
{
    return sum_text() != text_sum ? "the program" : left_over;
}

// Why an entry fails the kernel says by its exit's code alone.
bool hostile_explains(struct axvcpu *v)
{
    (void)v;
    return true;
}
