// SPDX-License-Identifier: Apache-2.0
//
// A bare host's memory, to see that guests leave it alone. It includes the host, to see which frames are used.
//
// All frames that are free hold a pattern. A VM's tables, and the frame before and behind the guest's memory, are
// copied before the guest runs and compared word by word afterwards; so is the pattern.
#include "../../examples/bare/host.c"

#undef AXVCPU_LOG // the suite has the same one
#include "hostile.h"

enum { WORDS = FRAME / 8, MARGIN = 64, MAX_COPIES = 64 };

extern uint64_t host_text[], host_text_end[];
static uint8_t was_used[HOST_MEMORY_PAGES], table[HOST_MEMORY_PAGES];
static uint64_t copies[MAX_COPIES][WORDS];
static uint32_t copy_of[MAX_COPIES], copy_count;
static uint64_t text_sum, range_sums[4];
static uint32_t top; // frames from here on were never used
static void *before, *behind;

static uint64_t *frame(uint32_t i)
{
    return (uint64_t *)(uintptr_t)(HOST_MEMORY + (uint64_t)i * FRAME);
}

static uint64_t pattern(const uint64_t *at)
{
    return ((uint64_t)(uintptr_t)at * UINT64_C(0x9e3779b97f4a7c15)) ^ UINT64_C(0x5a5a5a5a);
}

static void fill(uint32_t i)
{
    for (uint64_t *p = frame(i), *end = p + WORDS; p < end; p++)
        *p = pattern(p);
}

static bool is_filled(uint32_t i)
{
    for (const uint64_t *p = frame(i), *end = p + WORDS; p < end; p++)
        if (*p != pattern(p))
            return false;
    return true;
}

static uint64_t sum(const void *at, size_t size, uint64_t mask)
{
    uint64_t n = 0;
    for (const uint64_t *p = at, *end = p + size / 8; p < end; p++)
        n = (n ^ (*p & mask)) * UINT64_C(0x100000001b3);
    return n;
}

static uint64_t sum_text(void)
{
    return sum(host_text, (size_t)((uintptr_t)host_text_end - (uintptr_t)host_text), UINT64_MAX);
}

static void begin(void)
{
    struct hostile_range ranges[4];
    for (uint32_t i = 0; i < HOST_MEMORY_PAGES; i++)
        if (!used[i])
            fill(i);
    text_sum = sum_text();
    for (uint32_t n = hostile_ranges(ranges), i = 0; i < n; i++)
        range_sums[i] = sum(ranges[i].at, ranges[i].size, ranges[i].mask);
    top = 1;
}

// The frames of the guest's memory lie between two of ours.
void place_before(void)
{
    if (top == 0)
        begin();
    before = host_alloc(1);
    memcpy(was_used, used, sizeof used);
}

void place_tables(void)
{
    behind = host_alloc(1);
    for (uint32_t i = 0; i < HOST_MEMORY_PAGES; i++)
        table[i] = used[i] && !was_used[i];
}

static void copy(uint32_t i)
{
    if (copy_count == MAX_COPIES)
        host_panic("too many tables");
    memcpy(copies[copy_count], frame(i), FRAME);
    copy_of[copy_count++] = i;
}

static uint32_t frame_of(const void *at)
{
    return (uint32_t)(((uintptr_t)at - HOST_MEMORY) / FRAME);
}

static bool is_table(uint32_t i, uint32_t first, struct axvm *vm)
{
    uint64_t at = (uint64_t)(uintptr_t)frame(i);
    return table[i] && (i < first || i >= first + RAM_SIZE / FRAME) && !hostile_owns(axvm_vcpu(vm, 0), at) &&
           !hostile_owns(axvm_vcpu(vm, 1), at);
}

void place_ready(const uint8_t *ram, struct axvm *vm)
{
    uint32_t first = frame_of(ram);
    for (uint32_t i = 0; i < HOST_MEMORY_PAGES; i++)
        if (used[i] && i >= top)
            top = i + 1;
    fill(frame_of(before));
    fill(frame_of(behind));
    copy_count = 0;
    copy(frame_of(before));
    for (uint32_t i = 0; i < top + MARGIN; i++)
        if (!used[i])
            fill(i);
        else if (is_table(i, first, vm))
            copy(i);
}

static bool is_copy(uint32_t n)
{
    const uint64_t *p = frame(copy_of[n]);
    for (uint32_t i = 0; i < WORDS; i++)
        if (((p[i] ^ copies[n][i]) & (n == 0 ? UINT64_MAX : hostile_table_mask)) != 0) // the first is no table
            return false;
    return true;
}

static const char *changed(void)
{
    for (uint32_t i = 0; i < copy_count; i++)
        if (!is_copy(i))
            return "a table, or the memory beside the guest's";
    for (uint32_t i = 0; i < top + MARGIN; i++)
        if (!used[i] && !is_filled(i))
            return "a frame that nobody has";
    return NULL;
}

const char *place_changed(void)
{
    const char *what = changed();
    host_free(before, 1);
    host_free(behind, 1);
    return what;
}

void place_finish(void)
{
}

const char *place_changed_ever(void)
{
    struct hostile_range ranges[4];
    for (uint32_t i = top + MARGIN; i < HOST_MEMORY_PAGES; i++)
        if (!is_filled(i))
            return "a frame that nobody ever had";
    if (sum_text() != text_sum)
        return "the program";
    for (uint32_t n = hostile_ranges(ranges), i = 0; i < n; i++)
        if (sum(ranges[i].at, ranges[i].size, ranges[i].mask) != range_sums[i])
            return ranges[i].name;
    return NULL;
}
