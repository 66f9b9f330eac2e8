/* SPDX-License-Identifier: Apache-2.0
 *
 * smp.c: two vCPUs, a thread each. The first one boots and starts the second by a start-up IPI, as on real
 * hardware; that is a CPU_UP exit, and axvm_cpu_up brings the second one up. Both talk to the same port.
 *
 *   cc -I. -pthread -o smp examples/smp.c && ./smp
 */
// flags: -pthread
// test: expect vCPU 0 says B
// test: expect vCPU 1 says A
// test: expect vCPU 0 says D
#define _GNU_SOURCE
#define AXVCPU_IMPLEMENTATION
#include "axvcpu.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>

__asm__(".pushsection .rodata\n"
        ".code16\n"
        "first:\n" /* at 0x1000 */
        "    mov $'B', %al\n"
        "    out %al, $0xe9\n"
        "    mov $0x830, %ecx\n" /* the x2APIC's interrupt command register: */
        "    mov $1, %edx\n"     /* to CPU 1, */
        "    mov $0x602, %eax\n" /* start up, at page 2 */
        "    wrmsr\n"
        "1:  testb $1, 0x500\n" /* wait for the second one */
        "    jz 1b\n"
        "    mov $'D', %al\n"
        "    out %al, $0xe9\n"
        "    hlt\n"
        "second:\n" /* at 0x2000 */
        "    mov $'A', %al\n"
        "    out %al, $0xe9\n"
        "    movb $1, 0x500\n"
        "    hlt\n"
        "guest_end:\n"
        ".code64\n"
        ".popsection");
extern const uint8_t first[], second[], guest_end[];

static _Alignas(4096) uint8_t memory[0x3000];
static struct axvcpu vcpus[2];
static struct axvm_range port;
static struct axvm vm;

static enum axvm_answer say(struct axvm *m, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    (void)m, (void)arg;
    printf("vCPU %u says %c\n", axvcpu_id(v), (char)x->io.data);
    return AXVM_DONE;
}

static void *run_second(void *arg)
{
    struct axvcpu_exit exit;

    (void)arg;
    (void)axvm_run_vcpu(&vm, 1, &exit);
    return NULL;
}

/* The first vCPU's thread: it also starts the second one. */
static uint32_t run_first(void)
{
    struct axvcpu_exit exit = { 0 };
    pthread_t thread;
    bool up = false;

    while (axvm_run_vcpu(&vm, 0, &exit) == 0 && exit.kind == AXVCPU_EXIT_CPU_UP)
        up = axvm_cpu_up(&vm, &exit) == 0 && pthread_create(&thread, NULL, run_second, NULL) == 0;
    if (up)
        (void)pthread_join(thread, NULL);
    return exit.kind;
}

int main(void)
{
    struct axvm_desc desc = { .vcpus = vcpus, .vcpu_count = 2, .ranges = &port, .max_ranges = 1,
                              .bsp_entry = AXVCPU_GPA_INIT(0x1000) };
    uint32_t last;

    if (!axvcpu_has_hardware_support()) {
        fprintf(stderr, "no usable /dev/kvm: the line above says what to do\n");
        return 77;
    }
    memcpy(memory + 0x1000, first, (size_t)(second - first));
    memcpy(memory + 0x2000, second, (size_t)(guest_end - second));
    if (axvm_init(&vm, &desc) != 0 ||
        axvm_map(&vm, axvcpu_gpa(0), axvcpu_from_ptr(memory), sizeof(memory), AXVM_MAP_RWX) != 0 ||
        axvm_add_port(&vm, 0xe9, 1, say, NULL) != 0 || axvm_boot(&vm) != 0)
        return 1;
    last = run_first();
    return axvm_deinit(&vm) == 0 && last == AXVCPU_EXIT_HALT ? 0 : 1;
}
