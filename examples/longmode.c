/* SPDX-License-Identifier: Apache-2.0
 *
 * longmode.c: a 64-bit guest. One word in the set-up starts it in long mode, on page tables that the
 * library writes to the guest's memory; the host reads the result from the guest's registers.
 *
 *   cc -I. -o longmode examples/longmode.c && ./longmode
 */
// test: expect fib(90) = 2880067194370816120
// test: expect long mode is on
#define _GNU_SOURCE
#define AXVCPU_IMPLEMENTATION
#include "axvcpu.h"
#include <stdio.h>
#include <string.h>

__asm__(".pushsection .rodata\n"
        "guest:\n"
        "    mov $90, %ecx\n"
        "    xor %eax, %eax\n"
        "    mov $1, %edx\n"
        "1:  xadd %rdx, %rax\n" /* rax, rdx = rax + rdx, rax */
        "    dec %ecx\n"
        "    jnz 1b\n"
        "    hlt\n"
        "guest_end:\n"
        ".popsection");
extern const uint8_t guest[], guest_end[];

static _Alignas(4096) uint8_t memory[0x10000];

int main(void)
{
    static struct axvcpu vcpu;
    static struct axvm vm;
    struct axvcpu_arch_setup setup = { .mode = AXVCPU_X86_LONG, .tables = AXVCPU_GPA_INIT(0) };
    struct axvm_desc desc = { .vcpus = &vcpu, .vcpu_count = 1, .setups = &setup,
                              .bsp_entry = AXVCPU_GPA_INIT(0x8000) };
    struct axvcpu_exit exit = { 0 };
    uint64_t rax = 0, efer = 0;

    if (!axvcpu_has_hardware_support()) {
        fprintf(stderr, "no usable /dev/kvm: the line above says what to do\n");
        return 77;
    }
    memcpy(memory + 0x8000, guest, (size_t)(guest_end - guest));
    if (axvm_init(&vm, &desc) != 0)
        return 1;
    if (axvm_map(&vm, axvcpu_gpa(0), axvcpu_from_ptr(memory), sizeof(memory), AXVM_MAP_RWX) == 0 &&
        axvm_boot(&vm) == 0 && axvm_run_vcpu(&vm, 0, &exit) == 0 && exit.kind == AXVCPU_EXIT_HALT) {
        (void)axvcpu_get_gpr(&vcpu, AXVCPU_X86_RAX, &rax);
        (void)axvcpu_get_reg(&vcpu, AXVCPU_REG_SYS(AXVCPU_X86_MSR_EFER), &efer);
        printf("fib(90) = %llu\n", (unsigned long long)rax);
        printf("long mode is %s\n", (efer & AXVCPU_X86_EFER_LMA) != 0 ? "on" : "off");
    }
    return axvm_deinit(&vm) == 0 && rax != 0 ? 0 : 1;
}
