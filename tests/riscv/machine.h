// SPDX-License-Identifier: Apache-2.0
//
// A bare RISC-V machine (QEMU virt under OpenSBI) as a host of axvcpu.h: -include'd before everything, it
// configures the header; machine.c has the rest. Harts have indexes from 0 in the order of their start.
#if !defined(MACHINE_H) && !defined(__ASSEMBLER__)
#define MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct axvcpu;
struct hart {
    struct axvcpu *current;
    void *stack; // start.S knows the offset
    uint64_t id;
    uint32_t index;
    uint32_t stopped;
    void (*fn)(void *);
    void *arg;
};
__extension__ register struct hart *machine_self __asm__("tp"); // the compiler leaves it alone then

#define AXVCPU_ARCH_RISCV
#define AXVCPU_CPU_ID() (machine_self->index)
#define AXVCPU_CPU_TOKEN() ((void *)machine_self)
#define AXVCPU_CURRENT_GET() (machine_self->current)
#define AXVCPU_CURRENT_SET(v) ((void)(machine_self->current = (v)))
#define AXVCPU_PHYS_TO_VIRT(hpa) ((void *)(uintptr_t)(hpa).addr)
#define AXVCPU_VIRT_TO_PHYS(ptr) axvcpu_hpa((uintptr_t)(ptr))
#define AXVCPU_SEND_KICK(token) machine_ipi((struct hart *)(token))
#define AXVCPU_IRQ_HANDLER(vector) ((void)(vector))

enum { MACHINE_HARTS = 4 };
extern struct hart machine_harts[MACHINE_HARTS];

void machine_main(const char *arguments);       // the program; on hart 0, interrupts masked
void machine_print(const char *text);
void machine_number(uint64_t n);                // hexadecimal
void machine_log(const char *text);
_Noreturn void machine_off(bool failed);
void machine_ipi(struct hart *);
void machine_interrupts(void);                  // let those that are pending happen, and no others
bool machine_start(uint32_t index, void (*fn)(void *), void *arg);
bool machine_is_stopped(uint32_t index);
uint64_t machine_time(void);                    // 10 MHz
const char *machine_text(const char *arguments, const char *name); // what follows "name=", or ""
uint64_t machine_argument(const char *arguments, const char *name); // the number after "name="
void *machine_frames(size_t pages, size_t align); // zeroed, or NULL
void machine_free(void *at, size_t pages);

#endif
