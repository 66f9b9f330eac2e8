/* SPDX-License-Identifier: Apache-2.0
 *
 * main.c: a guest on a backend of one's own (toy.h)
 *
 *   cc -I. -I../.. main.c -o toy && ./toy
 *
 * flags: -Iexamples/custom_backend
 * test: expect hello from the toy
 * test: expect 40 + 2 = 42
 * test: expect the guest is off; it has read 3 ticks
 */
#define AXVCPU_ARCH_HEADER "toy.h"
#define AXVCPU_IMPLEMENTATION
#include "axvcpu.h"

#include <stdio.h>

#define TEXT 0x800    /* in RAM */
#define SERIAL 0x1000 /* devices: what is written here is printed */
#define CLOCK 0x2000  /* reads as the number of ticks so far */
#define DEBUG_PORT 0x80
#define TICK 5 /* the interrupt */

enum { CALL_OFF, CALL_ADD };

/* It prints its text, has a sum calculated, sleeps until three ticks have come, and switches itself off. */
#define AT(insn) ((insn) * TOY_INSN_SIZE)
static const uint64_t program[] = {
    /*  0 */ TOY_LI(1, TEXT),
    /*  1 */ TOY_LI(2, SERIAL),
    /*  2 */ TOY_LI(3, 1),
    /*  3 */ TOY_LOAD(1, 4, 1, 0),
    /*  4 */ TOY_STORE(1, 4, 2, 0),
    /*  5 */ TOY_ADD(1, 3),
    /*  6 */ TOY_LOAD(1, 4, 1, 0),
    /*  7 */ TOY_JUMP_IF(4, AT(4)),
    /*  8 */ TOY_LI(0, CALL_ADD),
    /*  9 */ TOY_LI(1, 40),
    /* 10 */ TOY_LI(2, 2),
    /* 11 */ TOY_HYPERCALL(),
    /* 12 */ TOY_OUT(1, 0, DEBUG_PORT),
    /* 13 */ TOY_LI(5, -3),
    /* 14 */ TOY_ENABLE(),
    /* 15 */ TOY_HALT(),
    /* 16 */ TOY_JUMP_IF(5, AT(15)),
    /* 17 */ TOY_LOAD(4, 6, 5, CLOCK),
    /* 18 */ TOY_LI(0, CALL_OFF),
    /* 19 */ TOY_HYPERCALL(),
    /* 20 */ TOY_ADD(5, 3), /* the interrupt's handler */
    /* 21 */ TOY_RETURN(),
};

/* The hypervisor's loop. It returns when the guest switches itself off, or with an error. */
static int serve(struct axvcpu *v)
{
    struct axvcpu_exit x;
    uint64_t ticks = 0;
    int err;

    while ((err = axvcpu_run(v, &x)) == AXVCPU_OK) {
        switch (x.kind) {
        case AXVCPU_EXIT_MMIO_WRITE: (void)putchar((int)x.mmio.data); break;
        case AXVCPU_EXIT_MMIO_READ: axvcpu_complete(v, x.mmio.addr == CLOCK ? ticks : 0); break;
        case AXVCPU_EXIT_IO_WRITE: printf("40 + 2 = %u, says port 0x%x\n", (unsigned)x.io.data, x.io.port); break;
        case AXVCPU_EXIT_HYPERCALL:
            if (x.hypercall.nr == CALL_OFF)
                return AXVCPU_OK;
            axvcpu_set_return_value(v, x.hypercall.args[0] + x.hypercall.args[1]);
            break;
        case AXVCPU_EXIT_HALT: /* it sleeps: here time passes at once */
            ticks++;
            axvcpu_inject_interrupt(v, TICK);
            break;
        default: return AXVCPU_ENOSUPPORT;
        }
    }
    return err;
}

#define MUST(call)                                                     \
    do {                                                               \
        int err = (call);                                              \
        if (err != AXVCPU_OK)                                          \
            return printf("%s: %s\n", #call, axvcpu_strerror(err)), 1; \
    } while (0)

int main(void)
{
    static struct axvcpu v;
    static uint8_t ram[0x1000];
    struct axvcpu_desc desc = { .arch = { .ram = ram, .ram_size = sizeof(ram) } };
    struct axvcpu_arch_setup setup = { .irq_entry = AT(20) };
    uint64_t r6;

    AXVCPU_MEMCPY(ram, program, sizeof(program));
    AXVCPU_MEMCPY(ram + TEXT, "hello from the toy\n", sizeof("hello from the toy\n"));
    MUST(axvcpu_init(&v, &desc));
    MUST(axvcpu_setup(&v, axvcpu_gpa(0), axvcpu_hpa(0), &setup));
    MUST(axvcpu_bind(&v));
    MUST(serve(&v));
    MUST(axvcpu_get_gpr(&v, 6, &r6));
    MUST(axvcpu_unbind(&v));
    MUST(axvcpu_deinit(&v));
    printf("the guest is off; it has read %u ticks\n", (unsigned)r6);
    return r6 == 3 ? 0 : 1;
}
