// SPDX-License-Identifier: Apache-2.0
//
// A bare-metal host on QEMU's virt machine: -M virt,virtualization=on,gic-version=2. What every file of it
// must see before axvcpu.h (gcc -include): the backend and its hooks.
#ifndef HOST_H
#define HOST_H
#ifndef __ASSEMBLER__

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AXVCPU_ARCH_ARM64

struct axvcpu;
struct cpu {
    uint64_t stack; // its end; for start.S
    uint32_t id;
    struct axvcpu *current;
    void (*job)(void *);
    void *arg;
    uint32_t up, busy;
};
enum { HOST_CPUS = 2, HOST_KICK = 1 }; // SGI 1 ends a guest's run
extern struct cpu host_cpus[HOST_CPUS];

// Which CPU this is costs nothing: the compiler leaves x18 alone.
__extension__ register struct cpu *host_cpu __asm__("x18");
#define AXVCPU_CPU_ID() (host_cpu->id)
#define AXVCPU_CPU_TOKEN() ((void *)host_cpu)
#define AXVCPU_CURRENT_GET() (host_cpu->current)
#define AXVCPU_CURRENT_SET(v) ((void)(host_cpu->current = (v)))

// The virt machine's map.
#define HOST_GICD UINT64_C(0x08000000)
#define HOST_GICC UINT64_C(0x08010000)
#define HOST_GICH UINT64_C(0x08030000)
#define HOST_GICV UINT64_C(0x08040000)
#define HOST_UART UINT64_C(0x09000000)
#define HOST_MEMORY UINT64_C(0x41000000) // behind the program
#define HOST_MEMORY_PAGES 8192u
#define AXVCPU_GICH() ((void *)HOST_GICH)
#define AXVCPU_GICV() HOST_GICV

uint32_t host_irq_fetch(void);
#define AXVCPU_IRQ_FETCH() host_irq_fetch()
#define AXVCPU_KICK_VECTOR HOST_KICK

// For the programs.
int host_main(void);                            // theirs; after it the machine is switched off
void host_log(const char *text);                // theirs: what axvcpu.h complains of
void host_print(const char *text);
uint64_t host_random(void);
uint64_t host_ticks(void);                      // of the counter
uint64_t host_ticks_per_second(void);
void *host_alloc(size_t pages);                 // zeroed; NULL: none
void host_free(void *, size_t pages);
bool host_start_job(uint32_t cpu, void (*job)(void *), void *arg); // false: it is not there
void host_wait_job(uint32_t cpu);
__attribute__((noreturn)) void host_off(void);

#endif
#endif
