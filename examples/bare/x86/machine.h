// SPDX-License-Identifier: Apache-2.0
//
// A PC, QEMU's or Bochs', started by the BIOS; included by examples/bare/host.h.
#ifndef MACHINE_H
#define MACHINE_H

#define AXVCPU_ARCH_X86

// The second member of struct host_cpu, at GS base, is its own address. It does not change, so the compiler
// may keep it.
static inline struct host_cpu *machine_self(void)
{
    struct host_cpu *c;
    __asm__("mov %%gs:8, %0" : "=r"(c));
    return c;
}
#define HOST_CPU() machine_self()
#define HOST_CPUS 2

#define HOST_APIC UINT64_C(0xfee00000)
#define HOST_TRAMPOLINE UINT64_C(0x8000) // where a start-up IPI sends a CPU
#define HOST_MEMORY UINT64_C(0x1000000)  // behind the program
#define HOST_MEMORY_PAGES 12288u

enum { MACHINE_KICK = 0xf0, MACHINE_TIMER = 0xf1, MACHINE_SPURIOUS = 0xff };
uint32_t machine_fetch(void);
#ifndef HOST_NO_FETCH // else an interrupt that ends a run stays pending
#define AXVCPU_IRQ_FETCH() machine_fetch()
#endif
#define AXVCPU_KICK_VECTOR MACHINE_KICK

#endif
