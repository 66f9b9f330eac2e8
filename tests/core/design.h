// SPDX-License-Identifier: Apache-2.0
//
// What the design says that operations must cost, in instructions: the tests' own copy. No ceiling of the
// benchmarks may be above it. On the host both forms are held to it; `log2` is added for each doubling of n.
#ifndef CORE_DESIGN_H
#define CORE_DESIGN_H

static const struct design {
    const char *bench, *arch;
    double most, log2;
} designs[] = {
    {"run_halt", "minimal", 24, 0},
    {"run_dispatch", "minimal", 32, 0},
    {"bind_unbind", "minimal", 22, 0},
    {"transitions", "minimal", 11, 0},
    {"with_current", "minimal", 9, 0},
    {"get_state", "minimal", 5, 0},
    {"current", "minimal", 5, 0},
    {"init_unbind", "minimal", 110, 0},
    {"lookup_last", "minimal", 15, 0},
    {"lookup", "minimal", 20, 8},
    {"device_last", "minimal", 15, 0},
    {"device", "minimal", 20, 8},
    {"hypercall", "arm64-el2", 110, 0},
    {"hypercall", "riscv-hs", 140, 0},
    {"hypercall", "x86-svm", 110, 0},
    {"hypercall", "x86-vmx", 110, 0},
};

#endif
