/* SPDX-License-Identifier: Apache-2.0
 *
 * hello.c: a guest says hello. A few instructions, a page of memory, one device: a printing port.
 *
 *   cc -I. -o hello examples/hello.c && ./hello
 */
// test: expect hello from a guest
#define _GNU_SOURCE
#define AXVCPU_IMPLEMENTATION
#include "axvcpu.h"
#include <stdio.h>

/* 16-bit code, as it stands at 0x1000, and its text behind it. */
static _Alignas(4096) uint8_t memory[4096] =
    "\xbe\x0d\x10"             /* 1000: mov $0x100d, %si */
    "\xac"                     /* 1003: lods (%si), %al  */
    "\x84\xc0"                 /* 1004: test %al, %al    */
    "\x74\x04"                 /* 1006: jz 0x100c        */
    "\xe6\xe9"                 /* 1008: out %al, $0xe9   */
    "\xeb\xf7"                 /* 100a: jmp 0x1003       */
    "\xf4"                     /* 100c: hlt              */
    "hello from a guest\n";    /* 100d */

static enum axvm_answer print(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    (void)vm, (void)v, (void)arg;
    putchar((int)x->io.data);
    return AXVM_DONE;
}

int main(void)
{
    static struct axvcpu vcpu;
    static struct axvm_range port;
    static struct axvm vm;
    struct axvm_desc desc = { .vcpus = &vcpu, .vcpu_count = 1, .ranges = &port, .max_ranges = 1,
                              .bsp_entry = AXVCPU_GPA_INIT(0x1000) };
    struct axvcpu_exit exit = { 0 };

    if (!axvcpu_has_hardware_support()) {
        fprintf(stderr, "no usable /dev/kvm: the line above says what to do\n");
        return 77;
    }
    if (axvm_init(&vm, &desc) != 0)
        return 1;
    if (axvm_map(&vm, axvcpu_gpa(0x1000), axvcpu_from_ptr(memory), 4096, AXVM_MAP_RWX) == 0 &&
        axvm_add_port(&vm, 0xe9, 1, print, NULL) == 0 && axvm_boot(&vm) == 0)
        (void)axvm_run_vcpu(&vm, 0, &exit);
    printf("the guest's last exit: %s\n", axvcpu_exit_name(exit.kind));
    return axvm_deinit(&vm) == 0 && exit.kind == AXVCPU_EXIT_HALT ? 0 : 1;
}
