// SPDX-License-Identifier: Apache-2.0
//
// Where things are in an x86 guest; for the programs and for the tables.
#ifndef LAYOUT_H
#define LAYOUT_H

#define RAM_BASE 0x0
#define RAM_SIZE 0x80000
#define RAM_END (RAM_BASE + RAM_SIZE)
#define LOAD 0x1000    // programs are here
#define STACK 0x8000   // ... and theirs grows down from here; vCPU n: n pages lower
#define DATA 0x9000    // scratch, 28 KiB
#define TABLES 0x70000 // page tables of long mode: 1 GiB, linear is physical
#define MMIO 0xd0000   // nobody's: behind the memory, within real mode's reach
#define DEV (MMIO + 0x10)
#define REPORT (MMIO + 0xf00) // where programs store a result, in 64-bit mode
#define OUTPUT 0x20           // ... and the port in the other modes
#define NUMBER_GPR 7          // EDI: the number of this vCPU

// Port of the interrupt handlers: they tell their vector.
#define TAKEN 0x30
// What registers hold before an instruction that may change a part of them.
#define PATTERN 0x1122334455667788
// An MSR that no processor has.
#define MSR 0x2f000001
// How a program starts.
#define MODE_REAL AXVCPU_X86_REAL
#define MODE_PROTECTED AXVCPU_X86_PROTECTED
#define MODE_LONG AXVCPU_X86_LONG
#define MODE_SLICE 0x80 // and with a time slice

#define SLEEP_INSN 0 // a halt is an exit everywhere

#endif
