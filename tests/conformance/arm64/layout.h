// SPDX-License-Identifier: Apache-2.0
//
// Where things are in an arm64 guest; for the programs and for the tables.
#ifndef LAYOUT_H
#define LAYOUT_H

#define RAM_BASE 0x80000000
#define RAM_SIZE 0x80000
#define RAM_END (RAM_BASE + RAM_SIZE)
#define LOAD (RAM_BASE + 0x1000)  // programs are here
#define STACK (RAM_BASE + 0x8000) // ... and theirs grows down from here
#define DATA (RAM_BASE + 0x9000)  // scratch, 28 KiB
#define VECTORS (RAM_BASE + 0x20000) // where a program with interrupts copies its vectors to
#define GICC 0x08010000           // the CPU interface
#define MMIO 0x10000000           // nobody's
#define DEV (MMIO + 0x10)
#define REPORT (MMIO + 0xf00)     // where programs store a result
#define TAKEN (MMIO + 0xe00)      // ... and interrupt handlers what they took
#define NUMBER_GPR 27             // x27: the number of this vCPU

// What registers hold before an instruction that may change a part of them.
#define PATTERN 0x1122334455667788
// A hypercall that is nobody's standard (DEN 0028, 6.1: owner 6, vendor specific hypervisor)
#define CALL 0xc6000001

#define SLEEP_INSN 0xd503207f // wfi

#endif
