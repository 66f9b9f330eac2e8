// SPDX-License-Identifier: Apache-2.0
//
// flags: -lm
//
// What it costs to find a device among 1 to 100,000, in instructions, and that it is the right one. The plain
// build plays its rows under callgrind, with itself as the program; sanitizers count nothing.
#include "vm.h"

#include "bench/row.h"

#include "bench/count.h"

#include <math.h>

enum { MOST = 100000, SIZE = 0x1000, ORDER = 4096 };

static struct machine mc;
static struct axvm_range ranges[MOST + 1];
static uint64_t order[ORDER]; // where the devices are that are looked up one after the other
static uint32_t count;

static const uint32_t counts[] = { 1,  2,  3,   4,   5,    6,    7,    8,    9,    10,    15,    16,   17,  20,
                                   31, 32, 33,  63,  64,   65,   100,  127,  128,  129,   1000,  1023, 1024, 1025,
                                   4096, 10000, 32768, 65535, 65536, 65537, MOST };

// Adding one after the other is quadratic: the table is put down as axvm_i_rebuild leaves it.
static int make_devices(unsigned n)
{
    struct axvm_desc d = vm_desc(&mc, 1);
    uint32_t i, side;

    memset(&mc, 0, sizeof(mc));
    d.ranges = ranges;
    d.max_ranges = MOST + 1;
    must(axvm_init(&mc.vm, &d) == AXVCPU_OK);
    side = mc.vm.side ^ 1u;
    for (i = 0; i < n; i++)
        ranges[i].slot[side] = (struct axvm_i_slot){ 2 + 2 * i, (uint64_t)i * SIZE, (uint64_t)i * SIZE + SIZE - 1, device, &ranges[i] };
    for (i = 1; i <= AXVM_I_CLASSES; i++)
        mc.vm.starts[side][i] = n;
    axvm_i_publish(&mc.vm, side);
    count = n;
    for (i = 0; i < ORDER; i++) // each as often as the others, if there are not too many, and never the same one again
        order[i] = (uint64_t)(i * UINT64_C(38923) % n) * SIZE;
    return 0;
}

static uint64_t last(uint64_t n)
{
    struct axvcpu *v = &mc.vcpu[0];
    struct axvm *vm = &mc.vm;
    uint64_t at = (uint64_t)(count - 1) * SIZE;

    ROUNDS(n, FORGET3(vm, v, at), {
        if (axvm_lookup(vm, v, 0, at, at + 3) == NULL)
            return n;
    });
    return 0;
}

static uint64_t another(uint64_t n)
{
    struct axvcpu *v = &mc.vcpu[0];
    struct axvm *vm = &mc.vm;
    uint64_t at = 0;

    ROUNDS(n, FORGET3(vm, v, at), {
        if (axvm_lookup(vm, v, 0, at, at + 3) == NULL)
            return n;
        at = order[n % ORDER];
    });
    return 0;
}

// ---- right

static void test_found(unsigned n)
{
    uint32_t i;
    bool good = true;

    (void)make_devices(n);
    for (i = 0; i < n && good; i++) {
        uint64_t at = (uint64_t)i * SIZE;
        const struct axvm_i_hit *low = axvm_lookup(&mc.vm, &mc.vcpu[0], 0, at, at + 7);

        good = low != NULL && low->slot->arg == &ranges[i];
        low = axvm_lookup(&mc.vm, &mc.vcpu[0], 0, at + SIZE - 4, at + SIZE - 1);
        good = good && low != NULL && low->slot->arg == &ranges[i];
        good = good && axvm_lookup(&mc.vm, &mc.vcpu[0], 0, at + SIZE - 4, at + SIZE) == NULL;
    }
    good = good && axvm_lookup(&mc.vm, &mc.vcpu[0], 0, (uint64_t)n * SIZE, (uint64_t)n * SIZE) == NULL;
    good = good && axvm_lookup(&mc.vm, &mc.vcpu[0], 0, UINT64_MAX, UINT64_MAX) == NULL;
    good = good && axvm_lookup(&mc.vm, &mc.vcpu[0], 1, 0, 0) == NULL && axvm_lookup(&mc.vm, &mc.vcpu[0], 2, 0, 0) == NULL;
    ok(good, "%u devices: each is found at both ends, nothing across an end, nothing behind the last, nothing of another class", n);
    vm_gone(&mc);
}

// ---- and cheap

static struct row rows[2 * COUNT(counts) + 1];
static struct results found;

static void fill_rows(void)
{
    size_t i;

    for (i = 0; i < COUNT(counts); i++) {
        rows[2 * i] = (struct row){ .name = "last", .impl = "vm", .n = counts[i], .prepare = make_devices, .play = last };
        rows[2 * i + 1] = (struct row){ .name = "another", .impl = "vm", .n = counts[i], .prepare = make_devices, .play = another };
    }
}

// 20 and 8 for each doubling. A table of fewer than 16 costs no more than one of 16 may: a call, two looks at the
// version and what is kept for the next time do not become less.
static double allowed(unsigned n)
{
    return 20 + 8 * log2(n > 16 ? n : 16);
}

// By so many the loop of `another` comes by its next address (mov, and, mov); the rest of it counts.
enum { NEXT_ADDRESS = 3 };

static void test_cost(unsigned n)
{
    double l = results_ir(&found, "last", "vm", "minimal", n), a = results_ir(&found, "another", "vm", "minimal", n);

    ok(l > 0 && l <= 15, "%u devices, the last one again: at most 15 instructions", n);
    ok(a > 0 && a - NEXT_ADDRESS <= allowed(n), "%u devices, another one: at most %.0f instructions", n, allowed(n));
    note("%u devices: %.2f, %.2f", n, l, a - NEXT_ADDRESS);
}

int main(int argc, char **argv)
{
    size_t i;

    fill_rows();
    if (argc > 1 || RUNNING_ON_VALGRIND)
        return rows_main(rows, argc, argv);
    tap_begin(290);
    for (i = 0; i < COUNT(counts); i++)
        test_found(counts[i]);
    if (PART != 1)
        return tap_done();
    if (system("valgrind --version >/dev/null 2>&1") != 0) {
        skip("vm: no valgrind", "instructions per look-up");
        return tap_done();
    }
    if (!ok(count_program(argv[0], "minimal", &found) > 0, "callgrind counts %s", argv[0]))
        return tap_done();
    for (i = 0; i < COUNT(counts); i++)
        test_cost(counts[i]);
    return tap_done();
}
