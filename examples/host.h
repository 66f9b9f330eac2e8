/* SPDX-License-Identifier: Apache-2.0
 *
 * host.h: what an example that runs on every backend does not want to know
 *
 * Printing, giving up, and the guest programs: real code where there is a CPU for it, a script on the fake
 * backend. The examples themselves have no word of any architecture.
 */
#ifndef AXVCPU_EXAMPLES_HOST_H
#define AXVCPU_EXAMPLES_HOST_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define AXVCPU_IMPLEMENTATION
#include "axvcpu.h"

#include <stdio.h>
#include <stdlib.h>

/* The guest's world: RAM from 0, its code at HOST_ENTRY, three devices above. */
#define HOST_RAM_SIZE 0x8000u
#define HOST_ENTRY 0x1000u
#define HOST_SERIAL 0x8000u
#define HOST_TIMER 0x9000u
#define HOST_BLOCK 0xa000u

static inline void host_say(const char *text)
{
    (void)fputs(text, stdout);
}

static inline void host_say_number(const char *name, uint64_t n)
{
    (void)printf("%s0x%llx", name, (unsigned long long)n);
}

#define HOST_MUST(call)                                                         \
    do {                                                                        \
        int host_err = (call);                                                  \
        if (host_err != AXVCPU_OK) {                                            \
            (void)fprintf(stderr, "%s: %s\n", #call, axvcpu_strerror(host_err)); \
            exit(1);                                                            \
        }                                                                       \
    } while (0)

/* The guest of devices.c prints a line on the serial port, reads the timer twice, writes 0x1234 to the
   second register of the block, reads it back, adds one, writes the third, and halts. */

#if defined(AXVCPU_ARCH_FAKE)

#define HOST_WRITE(at, value, size) \
    { 0, { .kind = AXVCPU_EXIT_MMIO_WRITE, .mmio = { .addr = (at), .data = (value), .width = (size) } } }
#define HOST_READ(at, size) \
    { 0, { .kind = AXVCPU_EXIT_MMIO_READ, .mmio = { .addr = (at), .width = (size), .reg_width = (size) } } }

static inline void host_load_devices_guest(struct axvm *vm)
{
    static const struct axvcpu_fake_step script[] = {
        HOST_WRITE(HOST_SERIAL, 'h', 1), HOST_WRITE(HOST_SERIAL, 'i', 1), HOST_WRITE(HOST_SERIAL, '\n', 1),
        HOST_READ(HOST_TIMER, 2),        HOST_READ(HOST_TIMER, 2),        HOST_WRITE(HOST_BLOCK + 4, 0x1234, 4),
        HOST_READ(HOST_BLOCK + 4, 4),    HOST_WRITE(HOST_BLOCK + 8, 0x1235, 4),
    };

    HOST_MUST(axvcpu_fake_script(axvm_vcpu(vm, 0), script, sizeof(script) / sizeof(script[0]), false));
}

#else

static const unsigned char host_devices_code[] = {
#if defined(__x86_64__)
    0xbe, 0x28, 0x10,                                     /*    mov $msg, %si    */
    0xac,                                                 /* 1: lodsb            */
    0x84, 0xc0,                                           /*    test %al, %al    */
    0x74, 0x05,                                           /*    jz 2f            */
    0xa2, 0x00, 0x80,                                     /*    mov %al, 0x8000  */
    0xeb, 0xf6,                                           /*    jmp 1b           */
    0xa1, 0x00, 0x90,                                     /* 2: mov 0x9000, %ax  */
    0xa1, 0x00, 0x90,                                     /*    mov 0x9000, %ax  */
    0x66, 0xc7, 0x06, 0x04, 0xa0, 0x34, 0x12, 0x00, 0x00, /*    movl $0x1234, 0xa004 */
    0x66, 0xa1, 0x04, 0xa0,                               /*    mov 0xa004, %eax */
    0x66, 0x40,                                           /*    inc %eax         */
    0x66, 0xa3, 0x08, 0xa0,                               /*    mov %eax, 0xa008 */
    0xf4, 0x90,                                           /*    hlt              */
    'h',  'i',  '\n', '\0'
#else
#error "host.h: no guest for this architecture yet; add its code here"
#endif
};

static inline void host_load_devices_guest(struct axvm *vm)
{
    static unsigned char ram[HOST_RAM_SIZE] __attribute__((aligned(4096)));

    AXVCPU_MEMCPY(ram + HOST_ENTRY, host_devices_code, sizeof(host_devices_code));
    HOST_MUST(axvm_map(vm, axvcpu_gpa(0), axvcpu_from_ptr(ram), sizeof(ram), AXVM_MAP_RWX));
}

#endif
#endif
