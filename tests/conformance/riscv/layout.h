// SPDX-License-Identifier: Apache-2.0
//
// Where things are in a RISC-V guest; for the programs and for the tables.
#ifndef LAYOUT_H
#define LAYOUT_H

#define RAM_BASE 0x80000000
#define RAM_SIZE 0x80000
#define RAM_END (RAM_BASE + RAM_SIZE)
#define LOAD 0x80001000  // programs are here
#define STACK 0x80008000 // ... and theirs grows down from here; vCPU n: n pages lower
#define DATA 0x80010000  // scratch, 64 KiB
#define TABLES 0x80070000
#define SPARE 0x90000000 // a page that a case may put there
#define MMIO 0x10000000 // nobody's
#define DEV (MMIO + 0x10)
#define REPORT (MMIO + 0xf00) // where programs store a result
#define NUMBER_GPR 10         // a0: the number of this vCPU

// What registers hold before an instruction that may change a part of them.
#define PATTERN 0x1122334455667788
// Hypercalls of the host's own: a vendor's and a firmware's (sbi 14, 15).
#define OWN 0x09000001
#define FIRMWARE 0x0a000001

#define SLEEP_INSN 0x10500073 // wfi

#endif
