/* SPDX-License-Identifier: Apache-2.0
 *
 * hello.c: a guest says hello. A few instructions, a page of memory, a device of one byte.
 *
 *   cc -I. -o hello examples/hello.c && ./hello
 */
// test: expect hello from a guest
#define _GNU_SOURCE
#define AXVCPU_IMPLEMENTATION
#include "axvcpu.h"
#include <stdio.h>
#include <string.h>

/* Stands at 0x1000, writes each byte of its text to 0x8000, and halts or turns the machine off. */
#if defined(__x86_64__)
#define CODE ".code16; mov $0x1000 + text - guest, %si; 1: lodsb; test %al, %al; jz 2f;" \
             "mov %al, 0x8000; jmp 1b; 2: hlt; .code64;"
#elif defined(__aarch64__) /* PSCI: SYSTEM_OFF */
#define CODE "adr x0, text; mov x1, #0x8000; 1: ldrb w2, [x0], #1; cbz w2, 2f; strb w2, [x1];" \
             "b 1b; 2: mov w0, #8; movk w0, #0x8400, lsl #16; hvc #0;"
#else /* RISC-V; SBI: system reset, shutdown */
#define CODE ".option push; .option norelax; lla a0, text; li a1, 0x8000; 1: lbu a2, (a0);" \
             "beqz a2, 2f; sb a2, (a1); addi a0, a0, 1; j 1b; 2: li a7, 0x53525354; li a6, 0;" \
             "li a0, 0; li a1, 0; ecall; .option pop;"
#endif
__asm__(".pushsection .rodata; .globl guest, guest_end; .balign 4; guest: " CODE
        "text: .asciz \"hello from a guest\\n\"; guest_end: .popsection");
extern const uint8_t guest[], guest_end[];
static _Alignas(4096) uint8_t memory[4096];

static enum axvm_answer print(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    (void)vm, (void)v, (void)arg;
    putchar((int)x->mmio.data);
    return AXVM_DONE;
}

int main(void)
{
    static struct axvcpu vcpu;
    static struct axvm_range byte;
    static struct axvm vm;
    struct axvm_desc desc = { .vcpus = &vcpu, .vcpu_count = 1, .ranges = &byte, .max_ranges = 1,
                              .bsp_entry = AXVCPU_GPA_INIT(0x1000) };
    struct axvcpu_exit exit = { 0 };

    if (!axvcpu_has_hardware_support()) {
        fprintf(stderr, "no usable /dev/kvm: the line above says what to do\n");
        return 77;
    }
    memcpy(memory, guest, (size_t)(guest_end - guest));
    if (axvm_init(&vm, &desc) != 0)
        return 1;
    if (axvm_map(&vm, axvcpu_gpa(0x1000), axvcpu_from_ptr(memory), 4096, AXVM_MAP_RWX) == 0 &&
        axvm_add_mmio(&vm, 0x8000, 1, print, NULL) == 0 && axvm_boot(&vm) == 0)
        (void)axvm_run_vcpu(&vm, 0, &exit);
    printf("the guest's last exit: %s\n", axvcpu_exit_name(exit.kind));
    return axvm_deinit(&vm) != 0 || // it halts or powers off
           (exit.kind != AXVCPU_EXIT_HALT && exit.kind != AXVCPU_EXIT_SYSTEM_DOWN);
}
