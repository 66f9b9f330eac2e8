/* SPDX-License-Identifier: Apache-2.0
 *
 * fake.c: your own run loop under test, with no guest and no hardware
 *
 *   cc -I. examples/fake.c -o fake && ./fake
 *
 * test: expect the loop works: the guest has read 42 and got 7 + 8 = 15
 */
#define AXVCPU_ARCH_FAKE
#define AXVCPU_IMPLEMENTATION
#include "axvcpu.h"
#include <stdio.h>

/* What is tested, a hypervisor's loop: it serves the guest until that halts, or says why it cannot. */
static int serve(struct axvcpu *v)
{
    struct axvcpu_exit x;
    int err;

    while ((err = axvcpu_run(v, &x)) == AXVCPU_OK && x.kind != AXVCPU_EXIT_HALT) {
        switch (x.kind) {
        case AXVCPU_EXIT_MMIO_WRITE: printf("the device gets %c\n", (char)x.mmio.data); break;
        case AXVCPU_EXIT_MMIO_READ: axvcpu_complete(v, 42); break;
        case AXVCPU_EXIT_HYPERCALL: axvcpu_set_return_value(v, x.hypercall.args[0] + x.hypercall.args[1]); break;
        default: return AXVCPU_ENOSUPPORT;
        }
    }
    return err;
}

/* The guest is this list of exits; past its end it halts. */
static const struct axvcpu_fake_step script[] = {
    { .exit = { .kind = AXVCPU_EXIT_MMIO_WRITE, .mmio = { .addr = 0x1000, .data = '!', .width = 1 } } },
    { .exit = { .kind = AXVCPU_EXIT_MMIO_READ, .mmio = { .addr = 0x1004, .width = 4, .reg = 3, .reg_width = 4 } } },
    { .exit = { .kind = AXVCPU_EXIT_HYPERCALL, .hypercall = { .nr = 1, .args = { 7, 8 } } } },
};

int main(void)
{
    static struct axvcpu v;
    struct axvcpu_desc desc = { 0 };
    uint64_t r0 = 0, r3 = 0; /* what the guest has of it */
    bool works = axvcpu_init(&v, &desc) == 0 && axvcpu_setup(&v, axvcpu_gpa(0x8000), axvcpu_hpa(0), NULL) == 0 &&
                 axvcpu_fake_script(&v, script, 3, false) == 0 && axvcpu_bind(&v) == 0 && serve(&v) == 0 &&
                 axvcpu_get_gpr(&v, 0, &r0) == 0 && axvcpu_get_gpr(&v, 3, &r3) == 0 && axvcpu_unbind(&v) == 0 &&
                 axvcpu_deinit(&v) == 0 && r3 == 42 && r0 == 15;

    printf("the loop %s: the guest has read %u and got 7 + 8 = %u\n", works ? "works" : "is wrong", (unsigned)r3,
           (unsigned)r0);
    return !works;
}
