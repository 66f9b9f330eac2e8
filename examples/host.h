/* SPDX-License-Identifier: Apache-2.0
 *
 * host.h: what an example that runs on every backend does not want to know
 *
 * Printing, giving up, a second CPU, and the guest programs: real code where there is a CPU for it, a script
 * on the fake backend. The examples themselves have no word of any architecture. On bare metal (examples/bare)
 * the host has the implementation and the start-up, and main is called by it.
 */
#ifndef AXVCPU_EXAMPLES_HOST_H
#define AXVCPU_EXAMPLES_HOST_H

#ifdef BARE_HOST_H
#include "axvcpu.h"
#define main host_main
#else

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define AXVCPU_IMPLEMENTATION
#include "axvcpu.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#endif

/* The guest's world: RAM from 0, its code at HOST_ENTRY, a second CPU's at HOST_SECOND, three devices above. */
#define HOST_RAM_SIZE 0x8000u
#define HOST_ENTRY 0x1000u
#define HOST_SECOND 0x2000u
#define HOST_FLAG 0x500u /* the second CPU tells the first one that it is there */
#define HOST_SERIAL 0x8000u
#define HOST_TIMER 0x9000u
#define HOST_BLOCK 0xa000u

#ifdef BARE_HOST_H

static inline void host_say(const char *text)
{
    host_print(text);
}

static inline void host_say_number(const char *name, uint64_t n)
{
    host_print(name);
    host_print_number(n, 16);
}

static inline void host_give_up(const char *what, int err)
{
    host_print(what);
    host_print(": ");
    host_panic(axvcpu_strerror(err));
}

/* Run fn on another CPU; false: there is none. */
static inline bool host_spawn(void (*fn)(void *), void *arg)
{
    return host_start_job(1, fn, arg);
}

static inline void host_join(void)
{
    host_wait_job(1);
}

static inline void host_yield(void)
{
}

#else

static inline void host_say(const char *text)
{
    (void)fputs(text, stdout);
}

static inline void host_say_number(const char *name, uint64_t n)
{
    (void)printf("%s0x%llx", name, (unsigned long long)n);
}

static inline void host_give_up(const char *what, int err)
{
    (void)fprintf(stderr, "%s: %s\n", what, axvcpu_strerror(err));
    exit(1);
}

static struct { void (*fn)(void *); void *arg; pthread_t thread; } host_other_cpu;

static inline void *host_thread(void *unused)
{
    (void)unused;
    host_other_cpu.fn(host_other_cpu.arg);
    return NULL;
}

static inline bool host_spawn(void (*fn)(void *), void *arg)
{
    host_other_cpu.fn = fn;
    host_other_cpu.arg = arg;
    return pthread_create(&host_other_cpu.thread, NULL, host_thread, NULL) == 0;
}

static inline void host_join(void)
{
    (void)pthread_join(host_other_cpu.thread, NULL);
}

static inline void host_yield(void)
{
    (void)usleep(1000);
}

#endif

#define HOST_MUST(call)                                                         \
    do {                                                                        \
        int host_err = (call);                                                  \
        if (host_err != AXVCPU_OK)                                              \
            host_give_up(#call, host_err);                                      \
    } while (0)

/* The guest of devices.c prints a line on the serial port, reads the timer twice, writes 0x1234 to the
   second register of the block, reads it back, adds one, writes the third, and halts or turns the machine off.
   The guest of smp.c says B, starts the second CPU in the architecture's own way, waits until that one has said
   A, and says D. (A guest that waits for an interrupt is the kernel's to wake on KVM of AArch64 and RISC-V.) */

#if defined(AXVCPU_ARCH_FAKE)

#define HOST_WRITE(at, value, size) \
    { 0, { .kind = AXVCPU_EXIT_MMIO_WRITE, .mmio = { .addr = (at), .data = (value), .width = (size) } } }
#define HOST_READ(at, size) \
    { 0, { .kind = AXVCPU_EXIT_MMIO_READ, .mmio = { .addr = (at), .width = (size), .reg_width = (size) } } }

static inline void host_play(struct axvm *vm, uint32_t id, const struct axvcpu_fake_step *script, size_t n)
{
    HOST_MUST(axvcpu_fake_script(axvm_vcpu(vm, id), script, n, false));
}

static inline void host_load_devices_guest(struct axvm *vm)
{
    static const struct axvcpu_fake_step script[] = {
        HOST_WRITE(HOST_SERIAL, 'h', 1), HOST_WRITE(HOST_SERIAL, 'i', 1), HOST_WRITE(HOST_SERIAL, '\n', 1),
        HOST_READ(HOST_TIMER, 2),        HOST_READ(HOST_TIMER, 2),        HOST_WRITE(HOST_BLOCK + 4, 0x1234, 4),
        HOST_READ(HOST_BLOCK + 4, 4),    HOST_WRITE(HOST_BLOCK + 8, 0x1235, 4),
    };

    host_play(vm, 0, script, sizeof(script) / sizeof(script[0]));
}

/* Nobody waits for anybody here: a script has no memory. */
static inline void host_load_smp_guest(struct axvm *vm)
{
    static const struct axvcpu_fake_step first[] = {
        HOST_WRITE(HOST_SERIAL, 'B', 1),
        { 0, { .kind = AXVCPU_EXIT_CPU_UP, .cpu_up = { .target = 1, .entry = HOST_SECOND } } },
        HOST_WRITE(HOST_SERIAL, 'D', 1),
    };
    static const struct axvcpu_fake_step second[] = { HOST_WRITE(HOST_SERIAL, 'A', 1) };

    host_play(vm, 0, first, sizeof(first) / sizeof(first[0]));
    host_play(vm, 1, second, sizeof(second) / sizeof(second[0]));
}

#else

#define HOST_GUESTS_BEGIN ".pushsection .rodata\n.balign 16\n"
#define HOST_GUESTS_END "host_second_end:\n.popsection\n"
#if defined(__x86_64__) /* in real mode */
__asm__(HOST_GUESTS_BEGIN ".code16\n"
        "host_devices:\n"
        "   mov $(9f - host_devices + 0x1000), %si\n"
        "1: lodsb\n test %al, %al\n jz 2f\n mov %al, 0x8000\n jmp 1b\n"
        "2: mov 0x9000, %ax\n mov 0x9000, %ax\n"
        "   movl $0x1234, 0xa004\n mov 0xa004, %eax\n inc %eax\n mov %eax, 0xa008\n"
        "   hlt\n nop\n"
        "9: .asciz \"hi\\n\"\n"
        "host_first:\n"
        "   mov $'B', %al\n mov %al, 0x8000\n"
        "   mov $0x830, %ecx\n mov $1, %edx\n mov $0x602, %eax\n wrmsr\n" /* x2APIC: start CPU 1 at page 2 */
        "1: testb $1, 0x500\n jz 1b\n"
        "   mov $'D', %al\n mov %al, 0x8000\n hlt\n nop\n"
        "host_second:\n"
        "   mov $'A', %al\n mov %al, 0x8000\n movb $1, 0x500\n hlt\n nop\n"
        ".code64\n" HOST_GUESTS_END);
#elif defined(__aarch64__)
__asm__(HOST_GUESTS_BEGIN
        "host_devices:\n"
        "   mov x1, #0x8000\n adr x2, 9f\n"
        "1: ldrb w3, [x2], #1\n cbz w3, 2f\n strb w3, [x1]\n b 1b\n"
        "2: mov x1, #0x9000\n ldrh w3, [x1]\n ldrh w3, [x1]\n"
        "   mov x1, #0xa000\n mov w3, #0x1234\n str w3, [x1, #4]\n ldr w3, [x1, #4]\n add w3, w3, #1\n str w3, [x1, #8]\n"
        "   movz w0, #0x8400, lsl #16\n movk w0, #8\n hvc #0\n" /* PSCI: SYSTEM_OFF */
        "9: .asciz \"hi\\n\"\n.balign 4\n"
        "host_first:\n"
        "   mov x4, #0x8000\n mov w3, #'B'\n strb w3, [x4]\n"
        "   movz x0, #0xc400, lsl #16\n movk x0, #3\n mov x1, #1\n mov x2, #0x2000\n hvc #0\n" /* PSCI: CPU_ON */
        "   mov x5, #0x500\n"
        "1: ldrb w3, [x5]\n cbz w3, 1b\n"
        "   mov w3, #'D'\n strb w3, [x4]\n"
        "   movz w0, #0x8400, lsl #16\n movk w0, #8\n hvc #0\n" /* SYSTEM_OFF */
        "host_second:\n"
        "   mov x4, #0x8000\n mov w3, #'A'\n strb w3, [x4]\n"
        "   mov x5, #0x500\n mov w3, #1\n strb w3, [x5]\n"
        "   movz w0, #0x8400, lsl #16\n movk w0, #2\n hvc #0\n" /* CPU_OFF */
        HOST_GUESTS_END);
#elif defined(__riscv)
__asm__(HOST_GUESTS_BEGIN
        "host_devices:\n"
        "   li t0, 0x8000\n lla t1, 9f\n"
        "1: lbu t2, 0(t1)\n addi t1, t1, 1\n beqz t2, 2f\n sb t2, 0(t0)\n j 1b\n"
        "2: li t0, 0x9000\n lh t2, 0(t0)\n lh t2, 0(t0)\n"
        "   li t0, 0xa000\n li t2, 0x1234\n sw t2, 4(t0)\n lw t2, 4(t0)\n addi t2, t2, 1\n sw t2, 8(t0)\n"
        "   li a7, 0x53525354\n li a6, 0\n li a0, 0\n li a1, 0\n ecall\n" /* SBI SRST: shutdown */
        "9: .asciz \"hi\\n\"\n.balign 4\n"
        "host_first:\n"
        "   li t0, 0x8000\n li t1, 'B'\n sb t1, 0(t0)\n"
        "   li a7, 0x48534d\n li a6, 0\n li a0, 1\n li a1, 0x2000\n li a2, 0\n ecall\n" /* SBI HSM: HART_START */
        "   li t2, 0x500\n"
        "1: lb t1, 0(t2)\n beqz t1, 1b\n"
        "   li t1, 'D'\n sb t1, 0(t0)\n"
        "   li a7, 0x53525354\n li a6, 0\n li a0, 0\n li a1, 0\n ecall\n" /* shutdown */
        "host_second:\n"
        "   li t0, 0x8000\n li t1, 'A'\n sb t1, 0(t0)\n li t2, 0x500\n li t1, 1\n sb t1, 0(t2)\n"
        "   li a7, 0x48534d\n li a6, 1\n ecall\n" /* HART_STOP */
        HOST_GUESTS_END);
#else
#error "host.h: no guest for this architecture yet; add its code here"
#endif
/* Hidden, because labels of this file have no place of their own in a table for shared ones. */
extern const unsigned char host_devices[] __attribute__((visibility("hidden")));
extern const unsigned char host_first[] __attribute__((visibility("hidden")));
extern const unsigned char host_second[] __attribute__((visibility("hidden")));
extern const unsigned char host_second_end[] __attribute__((visibility("hidden")));

static inline unsigned char *host_map_ram(struct axvm *vm)
{
    static unsigned char ram[HOST_RAM_SIZE] __attribute__((aligned(4096)));

    HOST_MUST(axvm_map(vm, axvcpu_gpa(0), axvcpu_from_ptr(ram), sizeof(ram), AXVM_MAP_RWX));
    return ram;
}

static inline void host_load_devices_guest(struct axvm *vm)
{
    AXVCPU_MEMCPY(host_map_ram(vm) + HOST_ENTRY, host_devices, (size_t)(host_first - host_devices));
}

static inline void host_load_smp_guest(struct axvm *vm)
{
    unsigned char *ram = host_map_ram(vm);

    AXVCPU_MEMCPY(ram + HOST_ENTRY, host_first, (size_t)(host_second - host_first));
    AXVCPU_MEMCPY(ram + HOST_SECOND, host_second, (size_t)(host_second_end - host_second));
}

#endif
#endif
