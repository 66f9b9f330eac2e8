// SPDX-License-Identifier: Apache-2.0
//
// The parts of the fuzzer of the x86 header's pure part. The header's code is in fuzz.c alone.
#ifndef X86_FUZZ_H
#define X86_FUZZ_H

#include "axvcpu.h"
#include "axvcpu_arch_x86.h"
#include "tests/fuzz/input.h"

enum { OK = 0, DB = 1, UD = 6, GP = 13 };
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

// An event's information (SDM 3, 25.8.3; APM 2, 15.20).
enum { INTERRUPT, NMI = 2, EXCEPTION, SOFTWARE, PRIVILEGED, TRAP };
#define VALID 0x80000000u
#define ERROR 0x800u
void well_formed(const struct axvcpu_x86_event *, bool svm); // fuzz_exits.c

void fuzz_exit(const uint8_t *data, size_t size);
void fuzz_events(const uint8_t *data, size_t size);  // fuzz_events.c
void fuzz_cpuid(const uint8_t *data, size_t size);   // fuzz_policy.c
void fuzz_msrs(const uint8_t *data, size_t size);
void fuzz_control(const uint8_t *data, size_t size); // fuzz_control.c

#endif
