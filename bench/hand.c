// SPDX-License-Identifier: Apache-2.0
//
// What one would write by hand instead, with no state, no owner and no check: a loop with the copy of the
// record in it ("bare"), behind a direct call, and behind a function pointer.
#define _GNU_SOURCE
#define AXVCPU_ARCH_FAKE
#include "axvcpu.h" // for the record and the names of the kinds

#include "bench/row.h"

enum { KINDS = 8 };

struct cpu {
    int (*run)(struct cpu *, struct axvcpu_exit *);
    uint32_t kind, flags;
    uint64_t operand;
    struct cpu *next;
    void *owner;
};

static struct cpu cpus[KINDS];
static struct axvcpu_exit record;

static inline int copy(struct cpu *c, struct axvcpu_exit *x)
{
    x->kind = c->kind;
    x->flags = c->flags;
    x->hypercall.nr = c->operand;
    return 0;
}

__attribute__((noinline)) static int copy_called(struct cpu *c, struct axvcpu_exit *x)
{
    __asm__ volatile("" : : : "memory"); // or gcc knows what comes back
    return copy(c, x);
}

static int prepare(unsigned none)
{
    (void)none;
    for (uint32_t i = 0; i < KINDS; i++)
        cpus[i] = (struct cpu){copy_called, AXVCPU_EXIT_HALT + i, 0, OPERAND(i), &cpus[(i + 1) % KINDS], NULL};
    return 0;
}

#define RUN_HALT(name, call)                             \
    static uint64_t name(uint64_t n)                     \
    {                                                    \
        struct cpu *c = cpus;                            \
        struct axvcpu_exit *x = &record;                 \
        ROUNDS(n, FORGET2(c, x), {                               \
            if (call != 0 || x->kind != AXVCPU_EXIT_HALT) \
                return n;                                \
        });                                              \
        return 0;                                        \
    }
RUN_HALT(run_halt_bare, copy(c, x))
RUN_HALT(run_halt_direct, copy_called(c, x))
RUN_HALT(run_halt_pointer, c->run(c, x))

#define RUN_DISPATCH(name, call)                             \
    static uint64_t name(uint64_t n)                         \
    {                                                        \
        struct cpu *c = cpus;                                \
        struct axvcpu_exit *x = &record;                     \
        uint64_t sum = 0;                                    \
        ROUNDS(n, FORGET2(c, x), {                                   \
            if (call != 0)                                   \
                return n;                                    \
            switch (x->kind - AXVCPU_EXIT_HALT) {            \
            case 0: sum += 1; break;                         \
            case 1: sum += x->hypercall.nr; break;           \
            case 2: sum ^= x->mmio.addr; break;              \
            case 3: sum -= x->mmio.addr; break;              \
            case 4: sum += (uintptr_t)x->io.buf; break;      \
            case 5: sum -= (uintptr_t)x->io.buf; break;      \
            case 6: sum |= x->sysreg.addr; break;            \
            case 7: sum &= ~x->sysreg.addr; break;           \
            default: return n;                               \
            }                                                \
            c = c->next;                                     \
        });                                                  \
        return sum;                                          \
    }
RUN_DISPATCH(run_dispatch_bare, copy(c, x))
RUN_DISPATCH(run_dispatch_direct, copy_called(c, x))
RUN_DISPATCH(run_dispatch_pointer, c->run(c, x))

// The claim alone.
static uint64_t bind_unbind_bare(uint64_t n)
{
    struct cpu *c = cpus;
    ROUNDS(n, FORGET(c), {
        void *nobody = NULL;
        if (!__atomic_compare_exchange_n(&c->owner, &nobody, &record, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            return n;
        __atomic_store_n(&c->owner, NULL, __ATOMIC_RELEASE);
    });
    return 0;
}

static uint64_t get_state_bare(uint64_t n)
{
    struct cpu *c = cpus;
    ROUNDS(n, FORGET(c), { USE(c->kind); });
    return 0;
}

static const struct row rows[] = {
    {"run_halt", "bare", 0, prepare, run_halt_bare, 0},
    {"run_halt", "direct", 0, prepare, run_halt_direct, 0},
    {"run_halt", "pointer", 0, prepare, run_halt_pointer, 0},
    {"run_dispatch", "bare", 0, prepare, run_dispatch_bare, 0},
    {"run_dispatch", "direct", 0, prepare, run_dispatch_direct, 0},
    {"run_dispatch", "pointer", 0, prepare, run_dispatch_pointer, 0},
    {"bind_unbind", "bare", 0, prepare, bind_unbind_bare, 0},
    {"get_state", "bare", 0, prepare, get_state_bare, 0},
    {0},
};

int main(int argc, char **argv)
{
    return rows_main(rows, argc, argv);
}
