// SPDX-License-Identifier: Apache-2.0
//
// What one would write by hand instead, with no state to look at, no owner and no check: each operation three
// times, in the loop ("bare"), behind a direct call, and behind a function pointer.
#define _GNU_SOURCE
#define AXVCPU_ARCH_FAKE
#include "axvcpu.h" // for the record and the names of the kinds

#include "bench/row.h"

enum { KINDS = 8, DEVICES = 1024 };
#define DEVICE_SIZE UINT64_C(0x1000)

struct device {
    uint64_t first, last;
};

struct cpu;
// OP(what it returns, its name, its arguments, what it does)
#define OPERATIONS(OP)                                                                                      \
    OP(int, run, (struct cpu *c, struct axvcpu_exit *x), copy(c, x))                                        \
    OP(bool, claim, (struct cpu *c), take(c))                                                               \
    OP(int, release, (struct cpu *c), (__atomic_store_n(&c->owner, NULL, __ATOMIC_RELEASE), 0))             \
    OP(uint32_t, set_state, (struct cpu *c, uint32_t state), c->state = state)                              \
    OP(uint32_t, get_state, (struct cpu *c), c->state)                                                      \
    OP(struct cpu *, set_current, (struct cpu *c), current = c)                                             \
    OP(struct cpu *, get_current, (void), current)                                                          \
    OP(int, init, (struct cpu *c), (memset(&c->state, 0, sizeof *c - offsetof(struct cpu, state)), 0))      \
    OP(uint64_t, set_up, (struct cpu *c, uint64_t entry, uint64_t root), (c->entry = entry, c->root = root)) \
    OP(const struct device *, same, (struct cpu *c, uint64_t first, uint64_t last), same_device(c, first, last)) \
    OP(const struct device *, find, (struct cpu *c, uint64_t first, uint64_t last), find_device(c, first, last))

#define POINTER_MEMBER(result, name, arguments, does) result (*name) arguments;
struct cpu {
    OPERATIONS(POINTER_MEMBER)
    struct cpu *next;
    const struct device *devices, *hit;
    uint64_t count;
    uint32_t state, kind, flags; // what init clears begins here
    uint64_t operand, entry, root;
    void *owner;
};

static struct cpu cpus[KINDS];
static struct axvcpu_exit record;
static struct device devices[DEVICES];
static __thread struct cpu *current __attribute__((tls_model("initial-exec")));

static inline int copy(struct cpu *c, struct axvcpu_exit *x)
{
    x->kind = c->kind;
    x->flags = c->flags;
    x->hypercall.nr = c->operand;
    return 0;
}

static inline bool take(struct cpu *c)
{
    void *nobody = NULL;
    return __atomic_compare_exchange_n(&c->owner, &nobody, &record, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static inline const struct device *same_device(struct cpu *c, uint64_t first, uint64_t last)
{
    return first >= c->hit->first && last <= c->hit->last ? c->hit : NULL;
}

// Halving, in an array that nobody changes.
static inline const struct device *find_device(struct cpu *c, uint64_t first, uint64_t last)
{
    uint64_t low = 0, high = c->count;
    while (high - low > 1) {
        uint64_t middle = (low + high) / 2;
        if (c->devices[middle].first <= first)
            low = middle;
        else
            high = middle;
    }
    c->hit = &c->devices[low];
    return same_device(c, first, last);
}

#define IN_LOOP(result, name, arguments, does) static inline result op_##name##_bare arguments { return does; }
#define CALLED(result, name, arguments, does) \
    __attribute__((noipa)) static result op_##name##_direct arguments { return does; }
OPERATIONS(IN_LOOP)
OPERATIONS(CALLED)

#define POINTER_VALUE(result, name, arguments, does) .name = op_##name##_direct,
static int prepare(unsigned n)
{
    static const struct cpu model = {OPERATIONS(POINTER_VALUE).devices = devices, .hit = devices};
    for (uint32_t i = 0; i < DEVICES; i++)
        devices[i] = (struct device){i * DEVICE_SIZE, (i + 1) * DEVICE_SIZE - 1};
    for (uint32_t i = 0; i < KINDS; i++) {
        cpus[i] = model;
        cpus[i].kind = AXVCPU_EXIT_HALT + i;
        cpus[i].operand = OPERAND(i);
        cpus[i].next = &cpus[(i + 1) % KINDS];
        cpus[i].count = n;
    }
    return 0;
}

// ---- the rows: DO says who does an operation

#define BARE(op) op_##op##_bare
#define DIRECT(op) op_##op##_direct
#define POINTER(op) c->op
#define THREE(ROW) ROW(bare, BARE) ROW(direct, DIRECT) ROW(pointer, POINTER)
// It must have happened by now.
#define HAPPENED __asm__ volatile("" : : : "memory")

#define RUN_HALT(impl, DO)                                      \
    static uint64_t run_halt_##impl(uint64_t n)                 \
    {                                                           \
        struct cpu *c = cpus;                                   \
        struct axvcpu_exit *x = &record;                        \
        ROUNDS(n, FORGET2(c, x), {                              \
            if (DO(run)(c, x) != 0 || x->kind != AXVCPU_EXIT_HALT) \
                return n;                                       \
        });                                                     \
        return 0;                                               \
    }
THREE(RUN_HALT)

#define RUN_DISPATCH(impl, DO)                               \
    static uint64_t run_dispatch_##impl(uint64_t n)          \
    {                                                        \
        struct cpu *c = cpus;                                \
        struct axvcpu_exit *x = &record;                     \
        uint64_t sum = 0;                                    \
        ROUNDS(n, FORGET2(c, x), {                           \
            if (DO(run)(c, x) != 0)                          \
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
THREE(RUN_DISPATCH)

// One that needs the vCPU alone.
#define SIMPLE(name, impl, ...)                     \
    static uint64_t name##_##impl(uint64_t n)       \
    {                                               \
        struct cpu *c = cpus;                       \
        ROUNDS(n, FORGET(c), { __VA_ARGS__ });      \
        return 0;                                   \
    }
#define BIND_UNBIND(impl, DO) \
    SIMPLE(bind_unbind, impl, if (!DO(claim)(c)) return n; DO(release)(c);)
#define TRANSITIONS(impl, DO) \
    SIMPLE(transitions, impl, DO(set_state)(c, AXVCPU_STATE_READY); HAPPENED; DO(set_state)(c, AXVCPU_STATE_FREE);)
#define WITH_CURRENT(impl, DO) \
    SIMPLE(with_current, impl, DO(set_current)(c); DO(set_current)(NULL);)
#define WITH_CURRENT_SEEN(impl, DO) \
    SIMPLE(with_current_seen, impl, DO(set_current)(c); HAPPENED; DO(set_current)(NULL);)
#define GET_STATE(impl, DO) SIMPLE(get_state, impl, USE(DO(get_state)(c));)
#define CURRENT(impl, DO) SIMPLE(current, impl, USE(DO(get_current)());)
#define INIT_UNBIND(impl, DO)                                                                        \
    SIMPLE(init_unbind, impl, DO(init)(c); HAPPENED; DO(set_up)(c, 0x1000, 0x2000); HAPPENED;         \
           if (!DO(claim)(c)) return n; DO(release)(c);)
THREE(BIND_UNBIND)
THREE(TRANSITIONS)
THREE(WITH_CURRENT)
THREE(WITH_CURRENT_SEEN)
THREE(GET_STATE)
THREE(CURRENT)
THREE(INIT_UNBIND)

#define LOOKUP(name, impl, op, step)               \
    static uint64_t name##_##impl(uint64_t n)      \
    {                                              \
        struct cpu *c = cpus;                      \
        uint64_t at = 0, mask = c->count * DEVICE_SIZE - 1; \
        ROUNDS(n, FORGET2(c, at), {                \
            if (op(c, at, at + 3) == NULL)         \
                return n;                          \
            at = (at + (step)) & mask;             \
        });                                        \
        return 0;                                  \
    }
#define LOOKUP_LAST(impl, DO) LOOKUP(lookup_last, impl, DO(same), 0)
#define LOOKUP_16(impl, DO) LOOKUP(lookup_16, impl, DO(find), 7 * DEVICE_SIZE)
#define LOOKUP_1024(impl, DO) LOOKUP(lookup_1024, impl, DO(find), 389 * DEVICE_SIZE)
THREE(LOOKUP_LAST)
THREE(LOOKUP_16)
THREE(LOOKUP_1024)

#define ROWS(name, n, play)                      \
    {name, "bare", n, prepare, play##_bare, 0},  \
    {name, "direct", n, prepare, play##_direct, 0}, \
    {name, "pointer", n, prepare, play##_pointer, 0}
static const struct row rows[] = {
    ROWS("run_halt", 0, run_halt),
    ROWS("run_dispatch", 0, run_dispatch),
    ROWS("bind_unbind", 0, bind_unbind),
    ROWS("transitions", 0, transitions),
    ROWS("with_current", 0, with_current),
    ROWS("with_current_seen", 0, with_current_seen),
    ROWS("get_state", 0, get_state),
    ROWS("current", 0, current),
    ROWS("init_unbind", 0, init_unbind),
    ROWS("lookup_last", 16, lookup_last),
    ROWS("lookup", 16, lookup_16),
    ROWS("lookup", 1024, lookup_1024),
    {0},
};

int main(int argc, char **argv)
{
    return rows_main(rows, argc, argv);
}
