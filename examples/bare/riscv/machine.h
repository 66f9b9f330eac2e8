// SPDX-License-Identifier: Apache-2.0
//
// QEMU's virt machine in HS mode under OpenSBI; included by examples/bare/host.h.
#ifndef MACHINE_H
#define MACHINE_H

#define AXVCPU_ARCH_RISCV

// Which CPU this is costs nothing: the compiler leaves tp alone.
__extension__ register struct host_cpu *machine_self __asm__("tp");
#define HOST_CPU() machine_self
#define HOST_CPUS 4

#define HOST_MEMORY UINT64_C(0x82000000) // behind the program
#define HOST_MEMORY_PAGES 8192u
#define HOST_TIMER_VECTOR 5u // AXVCPU_RISCV_IRQ_TIMER

enum { MACHINE_KICK = 1, MACHINE_TIMER = 5 }; // of scause: a software interrupt, and the timer's
uint32_t machine_fetch(void);
#define AXVCPU_IRQ_FETCH() machine_fetch()
#define AXVCPU_KICK_VECTOR MACHINE_KICK

#endif
