// SPDX-License-Identifier: Apache-2.0
//
// A bare-metal host of axvcpu.h, for the examples and tests: what it needs on any machine. Every file of
// such a program sees this before anything else:
//
//     cc -ffreestanding -include examples/bare/host.h -Iexamples/bare/ARCH
//        program.c examples/bare/host.c examples/bare/ARCH/machine.c examples/bare/ARCH/start.S
//
// A program has `int host_main(void)` and ends by returning from it: 0 is success. With HOST_LIBRARY_IN_PROGRAM it
// has AXVCPU_IMPLEMENTATION, too; libc/ has what a hosted example needs to be such a program.
//
// What a machine's directory provides. In its machine.h, which is included below:
//     the backend (AXVCPU_ARCH_*) and the hooks that only it has
//     HOST_CPU()             the struct host_cpu of this CPU; costs little, it is asked all the time
//     HOST_CPUS              how many there are at most
//     HOST_MEMORY, HOST_MEMORY_PAGES   memory behind the program, mapped where it is
//     HOST_TIMER_VECTOR      what a vCPU gets whose timer is due; without it it is just unblocked
//     start-up code: it clears the BSS, sets HOST_CPU() to host_cpus[0], the stack to its `stack`, and calls
//     host_boot() with interrupts masked; on another CPU, which machine_start has started, likewise
//     host_other()
// and the functions machine_*() below. Host interrupts stay masked, but in machine_interrupts() and
// machine_doze(); when the timer's is taken, in whatever way, the machine calls host_timer_due().
#if !defined(BARE_HOST_H) && !defined(__ASSEMBLER__)
#define BARE_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct axvcpu;
struct axvcpu_percpu;
struct host_thread;
// A CPU's job. Whoever is woken for a change of it first lets the interrupt happen that did it, so that this
// does not end a guest's run later.
enum host_work { HOST_IDLE, HOST_CALLED, HOST_BUSY, HOST_DONE };
enum host_timer { HOST_TIMER_ALARM, HOST_TIMER_VCPU, HOST_TIMERS };
struct host_cpu {
    void *stack;      // its end; the first member, start-up code knows that
    uint64_t machine; // the machine's own name of it; the second
    struct axvcpu *current;
    struct host_thread *thread; // with HOST_THREADS
    uint32_t id, up; // up: it was started
    uint32_t work;   // enum host_work
    struct host_cpu *from; // who gave it its job
    void (*job)(void *);
    void *arg;
    struct {
        uint64_t at; // machine_ticks(); 0: not armed
        void (*fn)(void *);
        void *arg;
    } timers[HOST_TIMERS];
};

#include "machine.h"

#define AXVCPU_CPU_ID() (HOST_CPU()->id)
// With HOST_THREADS a vCPU belongs to a thread, which may go from one CPU to another: it is a struct host_thread,
// and `cpu` is where it runs.
#ifdef HOST_THREADS
struct host_thread {
    struct host_cpu *cpu;
};
#define AXVCPU_CPU_TOKEN() ((void *)HOST_CPU()->thread)
#define AXVCPU_SEND_KICK(token) machine_kick(((struct host_thread *)(token))->cpu)
#else
#define AXVCPU_CPU_TOKEN() ((void *)HOST_CPU())
#define AXVCPU_SEND_KICK(token) machine_kick((struct host_cpu *)(token))
#endif
#define AXVCPU_CURRENT_GET() (HOST_CPU()->current)
#define AXVCPU_CURRENT_SET(v) ((void)(HOST_CPU()->current = (v)))
#define AXVCPU_PHYS_TO_VIRT(hpa) ((void *)(uintptr_t)(hpa).addr)
#define AXVCPU_VIRT_TO_PHYS(ptr) axvcpu_hpa((uint64_t)(uintptr_t)(ptr))
#define AXVCPU_IRQ_HANDLER(vector) machine_irq(vector)
#ifndef AXVCPU_LOG
#define AXVCPU_LOG(level, text) ((void)(level), host_log(text))
#endif

// ---- the machine's

void machine_put(char c);                     // to the console
__attribute__((noreturn)) void machine_off(bool failed);
const char *machine_arguments(void);          // the command line, or ""
void machine_enable(void);                    // this CPU's interrupts, before axvcpu_percpu_enable
bool machine_start(struct host_cpu *);        // false: there is none
void machine_kick(struct host_cpu *);         // an interrupt that ends a guest's run, or a doze
void machine_irq(uint32_t vector);            // one that ended a run; AXVCPU_NO_VECTOR: it is still pending
void machine_interrupts(void);                // let those that are pending happen
void machine_doze(void);                      // wait for one, and let it happen; may return early
uint64_t machine_ticks(void);                 // a clock
uint64_t machine_ticks_per_second(void);
void machine_timer(uint64_t at);              // an interrupt then; UINT64_MAX: never

// ---- for the machine

extern struct host_cpu host_cpus[HOST_CPUS];
__attribute__((noreturn)) void host_boot(void);
__attribute__((noreturn)) void host_other(void);
void host_timer_due(void);
const char *host_find_arguments(const uint8_t *tree); // in a device tree, what is behind "axvcpu:"

// ---- for the program

int host_main(void);
void host_log(const char *text);              // what axvcpu.h complains of; a program may have its own
void host_print(const char *text);
void host_print_number(uint64_t n, uint32_t base);
__attribute__((noreturn)) void host_panic(const char *text);
const char *host_argument(const char *name);  // the text behind "name=" on the command line, or ""
uint64_t host_argument_number(const char *name); // hexadecimal; 0: none
uint64_t host_random(void);                   // from the clock, or from the argument "seed"
void *host_alloc(size_t pages);               // zeroed; NULL: none
void host_free(void *, size_t pages);
size_t host_free_pages(void);
struct axvcpu_percpu *host_percpu(void);      // this CPU's
bool host_start_job(uint32_t cpu, void (*job)(void *), void *arg); // false: it is not there
void host_wait_job(uint32_t cpu);
void host_pause(uint64_t ns);
void host_alarm(uint64_t ns, void (*fn)(void *), void *arg); // once, on this CPU, from its interrupt
void host_case(bool good, const char *name);  // one line of TAP; the plan follows at the end

#endif
