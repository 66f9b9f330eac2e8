/* SPDX-License-Identifier: Apache-2.0
 *
 * irq.c: interrupts. The guest sleeps and counts the ones that it gets; the host injects one when the guest
 * halts, and two at once now and then. They wait until the guest can take them, and none is lost.
 *
 *   cc -I. -o irq examples/irq.c && ./irq
 */
// test: expect 8 injected, the guest counted 8
#define _GNU_SOURCE
#define AXVCPU_IMPLEMENTATION
#include "axvcpu.h"
#include <stdio.h>
#include <string.h>

#define COUNTER 0x600u /* where the guest counts */

__asm__(".pushsection .rodata\n"
        ".code16\n"
        "guest:\n" /* at 0x1000, in segment 0 */
        "    mov $0x8000, %sp\n"
        "    movl $0x1000 + handler - guest, 0x20 * 4\n" /* vectors 0x20 and 0x21 */
        "    movl $0x1000 + handler - guest, 0x21 * 4\n"
        "    sti\n"
        "1:  hlt\n"
        "    jmp 1b\n"
        "handler:\n"
        "    incl 0x600\n"
        "    iret\n"
        "guest_end:\n"
        ".code64\n"
        ".popsection");
extern const uint8_t guest[], guest_end[];

static _Alignas(4096) uint8_t memory[0x8000];

int main(void)
{
    static struct axvcpu vcpu;
    static struct axvm vm;
    struct axvm_desc desc = { .vcpus = &vcpu, .vcpu_count = 1, .bsp_entry = AXVCPU_GPA_INIT(0x1000) };
    struct axvcpu_exit exit = { 0 };
    uint32_t injected = 0, counted = 0;

    if (!axvcpu_has_hardware_support()) {
        fprintf(stderr, "no usable /dev/kvm: the line above says what to do\n");
        return 77;
    }
    memcpy(memory + 0x1000, guest, (size_t)(guest_end - guest));
    if (axvm_init(&vm, &desc) != 0 ||
        axvm_map(&vm, axvcpu_gpa(0), axvcpu_from_ptr(memory), sizeof(memory), AXVM_MAP_RWX) != 0 ||
        axvm_boot(&vm) != 0 || axvcpu_bind(&vcpu) != 0)
        return 1;
    while (axvcpu_run(&vcpu, &exit) == 0 && exit.kind == AXVCPU_EXIT_HALT) {
        if (axvcpu_pending(&vcpu))
            continue; /* one is still waiting; the same vector again would be the same interrupt */
        if (injected == 8)
            break;
        injected += axvcpu_inject_interrupt(&vcpu, 0x20) == 0;
        if (injected % 4 == 3)
            injected += axvcpu_inject_interrupt(&vcpu, 0x21) == 0; /* taken first: a higher vector */
    }
    memcpy(&counted, memory + COUNTER, sizeof(counted));
    printf("%u injected, the guest counted %u\n", injected, counted);
    return axvcpu_unbind(&vcpu) == 0 && axvm_deinit(&vm) == 0 && counted == injected ? 0 : 1;
}
