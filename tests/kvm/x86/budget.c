// SPDX-License-Identifier: Apache-2.0
//
// What an exit costs in user space: instructions above a bare ioctl loop, at most 40 (DESIGN 10). The programs
// are bench/kvm.c, counted by callgrind, with a real guest behind them.
#define _GNU_SOURCE
#include <stdlib.h>

#include "tests/tap.h"

#include "bench/count.h"
#include "tests/conformance/substrate.h"

#define MOST 40

static struct results counts;

static double find(const char *row, const char *impl)
{
    return results_ir(&counts, row, impl, "x86-kvm", 1);
}

static void check(const char *row)
{
    double lib = find(row, "axvcpu"), loop = find(row, "ioctl"), raw = find(row, "syscall");
    note("%s: %.2f; a loop around ioctl(2) %.2f, around the bare instruction %.2f", row, lib, loop, raw);
    ok(loop > 20 && raw > 10, "%s: the loops were counted", row);
    ok(lib > raw && lib - loop <= MOST, "%s: %.2f instructions above the ioctl loop, at most %d", row, lib - loop, MOST);
}

int main(void)
{
    tap_begin(100);
    if (find_substrate() == NULL) {
        skip("kvm: no usable /dev/kvm", "instructions per exit");
        return tap_done();
    }
    if (system("valgrind --version >/dev/null 2>&1") != 0) {
        skip("budget: no valgrind", "instructions per exit");
        return tap_done();
    }
    ok_int(count_program("build/bench/kvm", "x86-kvm", &counts), 9, "callgrind counts build/bench/kvm");
    check("pio_out");
    check("pio_in");
    check("mmio_read");
    return tap_done();
}
