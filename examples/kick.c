/* SPDX-License-Identifier: Apache-2.0
 *
 * kick.c: how to get a vCPU back that never exits. The guest counts for ever; another thread kicks it, and
 * each kick makes run return CANCELED. A kick is never lost and costs the guest nothing.
 *
 *   cc -I. -pthread -o kick examples/kick.c && ./kick
 */
// flags: -pthread
// test: expect kick 3: CANCELED, the guest went on counting
#define _GNU_SOURCE
#define AXVCPU_IMPLEMENTATION
#include "axvcpu.h"
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

/* Counts in the register that is the return value elsewhere: RAX, X0, a0. */
static _Alignas(4096) uint8_t memory[4096] =
#if defined(__x86_64__)
    "\x66\x40"  /* 1000: inc %eax (16-bit code) */
    "\xeb\xfc"; /* 1002: jmp 0x1000             */
#elif defined(__aarch64__)
    "\x00\x04\x00\x91"  /* 1000: add x0, x0, #1 */
    "\xff\xff\xff\x17"; /* 1004: b 0x1000       */
#else
    "\x13\x05\x15\x00"  /* 1000: addi a0, a0, 1 */
    "\x6f\xf0\xdf\xff"; /* 1004: j 0x1000       */
#endif

static void *kicker(void *vcpu)
{
    usleep(20000);
    (void)axvcpu_kick(vcpu); /* from any thread, at any time, also from a signal handler */
    return NULL;
}

/* Run until a kick comes; the guest's counter, or 0. */
static uint64_t run_until_kicked(struct axvcpu *vcpu, struct axvcpu_exit *exit)
{
    pthread_t thread;
    uint64_t count = 0;

    if (pthread_create(&thread, NULL, kicker, vcpu) != 0)
        return 0;
    if (axvcpu_run(vcpu, exit) == 0)
        (void)axvcpu_get_gpr(vcpu, AXVCPU_LEAF_RETURN_GPR, &count);
    (void)pthread_join(thread, NULL);
    return count;
}

int main(void)
{
    static struct axvcpu vcpu;
    static struct axvm vm;
    struct axvm_desc desc = { .vcpus = &vcpu, .vcpu_count = 1, .bsp_entry = AXVCPU_GPA_INIT(0x1000) };
    struct axvcpu_exit exit = { 0 };
    uint64_t before, count = 0;
    int i = 0;

    if (!axvcpu_has_hardware_support()) {
        fprintf(stderr, "no usable /dev/kvm: the line above says what to do\n");
        return 77;
    }
    if (axvm_init(&vm, &desc) != 0 ||
        axvm_map(&vm, axvcpu_gpa(0x1000), axvcpu_from_ptr(memory), sizeof(memory), AXVM_MAP_RWX) != 0 ||
        axvm_boot(&vm) != 0 || axvcpu_bind(&vcpu) != 0)
        return 1;
    do {
        before = count;
        count = run_until_kicked(&vcpu, &exit);
        printf("kick %d: %s, the guest %s\n", ++i, axvcpu_exit_name(exit.kind),
               count > before ? "went on counting" : "stands still");
    } while (i < 3 && count > before);
    return axvcpu_unbind(&vcpu) == 0 && axvm_deinit(&vm) == 0 && i == 3 ? 0 : 1;
}
