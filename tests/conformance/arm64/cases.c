// SPDX-License-Identifier: Apache-2.0
//
// What the arm64 guests must do. guests.S has the programs, conformance.h the words.
#include "conformance.h"

#define P ((uint64_t)PATTERN)
#define GPR(n) AXVCPU_REG_GPR(n)

#define PROGRAMS(X) X(first)
#define PROGRAM(name) extern const uint8_t guest_##name[], guest_##name##_end[];
PROGRAMS(PROGRAM)

#define RESULT(...) MMIO_W(REPORT, 8, __VA_ARGS__)
#define TAKES(vector) MMIO_W(TAKEN, 4, K(vector))
#define NONCE MMIO_R(DEV, 8, N(0))

static const uint64_t call_args[] = {0x11, 0x22, 0x33, 0x44, 0x55, 0x66};
static const struct row rows_first[] = {
    HYPERCALL(call_args, K(CALL)), RETURN(N(0)),
    RESULT(N(0x5a5a)),
    MMIO_R(DEV, 4, N(0x77)),
    RESULT(ZX(4, 0x77)),
    MMIO_W(DEV, 8, N(~0ull)),
    LOOP(1000), KICK, CANCELED, RESULT(N_DOWN(1000)), AGAIN,
    HALT, INJECT(0x40), TAKES(0x40),
    RESULT(N(1)),
    HALT,
};

void conformance_prepare(const struct test_case *test, struct axvm_arch_desc *vm, struct axvcpu_arch_setup *setup)
{
    (void)test, (void)setup;
    vm->gicc = axvcpu_gpa(GICC);
}

const char conformance_arch[] = "arm64";
const struct test_case conformance_cases[] = {
    CASE(first, first, 0),
};
const uint32_t conformance_case_count = sizeof conformance_cases / sizeof conformance_cases[0];
