/* SPDX-License-Identifier: Apache-2.0
 *
 * park.c: a guest that halts, and a thread that sleeps as long as it does
 *
 *   cc -I. -pthread -o park examples/park.c && ./park
 *
 * The handler of HALT blocks the vCPU; axvm_run_vcpu then sleeps in AXVCPU_PARK until an interrupt, a kick, an
 * unblock or the VM's end makes the vCPU Ready, and AXVCPU_WAKE wakes it. park.h has both, with pthreads. Here the
 * guest is a script, so that it runs anywhere; on any other backend the same two macros are all there is to do.
 *
 * test: expect slept 4 times, took 3 interrupts, ended with SYSTEM_DOWN
 */
#define _GNU_SOURCE
struct axvcpu;
static inline void park_sleep_cond(struct axvcpu *v);
static inline void park_wake_cond(struct axvcpu *v);
#define AXVCPU_PARK(v) park_sleep_cond(v)
#define AXVCPU_WAKE(v) park_wake_cond(v)
#define AXVCPU_ARCH_FAKE
#define AXVCPU_IMPLEMENTATION
#include "axvcpu.h"

#include "park.h"
#include <stdio.h>
#include <time.h>

enum { VECTOR = 33, INTERRUPTS = 3 };

static struct park park;
static struct axvcpu vcpu;
static struct axvm vm;
static unsigned slept; /* the vCPU's thread counts */

/* There may be a reason to stay awake already: EAGAIN, and the guest goes on at once. */
static enum axvm_answer halted(struct axvm *m, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    int err = axvcpu_block(v);

    (void)m, (void)x, (void)arg;
    slept += err == AXVCPU_OK;
    return err == AXVCPU_OK || err == AXVCPU_EAGAIN ? AXVM_DONE : AXVM_ERROR;
}

static void *run(void *arg)
{
    struct axvcpu_exit *x = (struct axvcpu_exit *)arg;

    (void)axvm_run_vcpu(&vm, 0, x);
    return NULL;
}

static void wait_until_it_sleeps(void)
{
    struct timespec moment = { 0, 100000 };

    while (axvcpu_get_state(&vcpu) != AXVCPU_STATE_BLOCKED)
        (void)nanosleep(&moment, NULL);
}

int main(void)
{
    static const struct axvcpu_fake_step halts[] = { { .exit = { .kind = AXVCPU_EXIT_HALT } } };
    struct axvcpu_desc vcpu_desc = { .user = &park };
    struct axvm_desc desc = { .vcpus = &vcpu, .vcpu_count = 1, .vcpu_descs = &vcpu_desc };
    struct axvcpu_exit x = { 0 };
    pthread_t thread;
    unsigned i;

    park_init(&park);
    if (axvm_init(&vm, &desc) != 0 || axvcpu_fake_script(&vcpu, halts, 1, true) != 0 ||
        axvm_set_default(&vm, AXVCPU_EXIT_HALT, halted, NULL) != 0 || axvm_boot(&vm) != 0 ||
        pthread_create(&thread, NULL, run, &x) != 0)
        return 1;
    for (i = 0; i < INTERRUPTS; i++) {
        wait_until_it_sleeps();
        (void)axvcpu_inject_interrupt(&vcpu, VECTOR);
    }
    wait_until_it_sleeps();
    (void)axvm_shutdown(&vm); /* wakes it, too */
    (void)pthread_join(thread, NULL);
    printf("slept %u times, took %u interrupts, ended with %s\n", slept, (unsigned)axvcpu_fake_delivered(&vcpu, VECTOR),
           axvcpu_exit_name(x.kind));
    return axvm_deinit(&vm) == 0 ? (park_end(&park), 0) : 1;
}
