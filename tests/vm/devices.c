// SPDX-License-Identifier: Apache-2.0
//
// Devices: the table of ranges against a naive one (bad input, random changes, up to 100,000 ranges), who
// gets an access, what each answer leads to, string accesses, and failures at every possible point.
#include "vm.h"

// ---- the reference: an unsorted list

enum { MODEL_MAX = 100000, CLASSES = 3 };

struct model_range {
    uint32_t kind; // AXVM_MMIO, _PORT, _SYSREG
    uint64_t first, last;
    void *arg;
};
struct model {
    struct model_range *range;
    uint32_t count, max;
};

static const uint32_t class_kind[CLASSES] = { AXVM_MMIO, AXVM_PORT, AXVM_SYSREG };

static struct model_range *model_find(const struct model *m, uint32_t kind, uint64_t first, uint64_t last)
{
    uint32_t i;

    for (i = 0; i < m->count; i++) {
        struct model_range *r = &m->range[i];

        if (r->kind == kind && r->first <= first && last <= r->last && first <= last)
            return r;
    }
    return NULL;
}

static struct model_range *model_at(const struct model *m, uint32_t kind, uint64_t base)
{
    uint32_t i;

    for (i = 0; i < m->count; i++) {
        if (m->range[i].kind == kind && m->range[i].first == base)
            return &m->range[i];
    }
    return NULL;
}

// Whether first..last may stand in the table beside all but `except`.
static bool model_room(const struct model *m, uint32_t kind, uint64_t first, uint64_t last, const struct model_range *except)
{
    uint32_t i;

    if (last < first || (kind == AXVM_PORT && last > 0xffff))
        return false;
    for (i = 0; i < m->count; i++) {
        const struct model_range *r = &m->range[i];

        if (r != except && r->kind == kind && first <= r->last && r->first <= last)
            return false;
    }
    return true;
}

static int model_add(struct model *m, uint32_t kind, uint64_t base, uint64_t size, void *arg)
{
    uint64_t last = base + (size - 1);

    if (size == 0 || !model_room(m, kind, base, last, NULL))
        return AXVCPU_EINVAL;
    if (m->count == m->max)
        return AXVCPU_ENOMEM;
    m->range[m->count++] = (struct model_range){ kind, base, last, arg };
    return AXVCPU_OK;
}

static int model_remove(struct model *m, uint32_t kind, uint64_t base)
{
    struct model_range *r = model_at(m, kind, base);

    if (r == NULL)
        return AXVCPU_EINVAL;
    *r = m->range[--m->count];
    return AXVCPU_OK;
}

static int model_move(struct model *m, uint32_t kind, uint64_t base, uint64_t to)
{
    struct model_range *r = model_at(m, kind, base);
    uint64_t last = r != NULL ? to + (r->last - r->first) : 0;

    if (r == NULL || !model_room(m, kind, to, last, r))
        return AXVCPU_EINVAL;
    r->first = to;
    r->last = last;
    return AXVCPU_OK;
}

// ---- the same asked of the library

static uint32_t class_of(uint32_t kind)
{
    return kind == AXVM_MMIO ? 0 : kind == AXVM_PORT ? 1 : 2;
}

static int add(struct axvm *vm, uint32_t kind, uint64_t base, uint64_t size, axvm_handler fn, void *arg)
{
    return kind == AXVM_MMIO ? axvm_add_mmio(vm, base, size, fn, arg) :
           kind == AXVM_PORT ? axvm_add_port(vm, base, size, fn, arg) :
                               axvm_add_sysreg(vm, base, size, fn, arg);
}

// Whether table and reference agree on first..last.
static bool agree(struct machine *mc, const struct model *m, uint32_t kind, uint64_t first, uint64_t last)
{
    const struct model_range *want = model_find(m, kind, first, last);
    const struct axvm_i_hit *got =
        last < first ? NULL : axvm_lookup(&mc->vm, &mc->vcpu[0], class_of(kind), first, last);

    if (want == NULL || got == NULL)
        return (want == NULL) == (got == NULL);
    return got->slot->arg == want->arg && got->slot->first == want->first && got->slot->last == want->last;
}

// ... around every edge of every range.
static bool agree_on_edges(struct machine *mc, const struct model *m)
{
    uint32_t i, c, d;
    bool good = true;

    for (i = 0; i < m->count; i++) {
        for (c = 0; c < CLASSES; c++) {
            for (d = 0; d < 3; d++) {
                uint64_t low = m->range[i].first - 1 + d, high = m->range[i].last - 1 + d;

                good = good && agree(mc, m, class_kind[c], low, low) && agree(mc, m, class_kind[c], high, high) &&
                       agree(mc, m, class_kind[c], low, low + 3) && agree(mc, m, class_kind[c], high, high + 7);
            }
        }
    }
    return good;
}

// ---- bad input, one call after the other on a table for eight ranges

enum op { OP_ADD, OP_REMOVE, OP_MOVE, OP_WHOLE };
struct bad {
    const char *name;
    enum op op;
    uint32_t kind;
    uint64_t base, more; // more: the size, or the new base
    int err;
};
#define TOP UINT64_MAX

static const struct bad bad_rows[] = {
    { "remove from an empty table", OP_REMOVE, AXVM_MMIO, 0, 0, AXVCPU_EINVAL },
    { "move in an empty table", OP_MOVE, AXVM_MMIO, 0, 1, AXVCPU_EINVAL },
    { "set_whole in an empty table", OP_WHOLE, AXVM_PORT, 0, 1, AXVCPU_EINVAL },
    { "add", OP_ADD, AXVM_MMIO, 0x1000, 0x1000, AXVCPU_OK },
    { "add it again", OP_ADD, AXVM_MMIO, 0x1000, 0x1000, AXVCPU_EINVAL },
    { "add its first byte", OP_ADD, AXVM_MMIO, 0x1000, 1, AXVCPU_EINVAL },
    { "add its last byte", OP_ADD, AXVM_MMIO, 0x1fff, 1, AXVCPU_EINVAL },
    { "add around it", OP_ADD, AXVM_MMIO, 0, 0x10000, AXVCPU_EINVAL },
    { "add into its beginning", OP_ADD, AXVM_MMIO, 0x800, 0x801, AXVCPU_EINVAL },
    { "add into its end", OP_ADD, AXVM_MMIO, 0x1fff, 0x1000, AXVCPU_EINVAL },
    { "add nothing", OP_ADD, AXVM_MMIO, 0x8000, 0, AXVCPU_EINVAL },
    { "add nothing at 0", OP_ADD, AXVM_MMIO, 0, 0, AXVCPU_EINVAL },
    { "add nothing at the end", OP_ADD, AXVM_MMIO, TOP, 0, AXVCPU_EINVAL },
    { "add what wraps by one", OP_ADD, AXVM_MMIO, TOP - 0xffe, 0x1000, AXVCPU_EINVAL },
    { "add what wraps as far as it goes", OP_ADD, AXVM_MMIO, TOP, TOP, AXVCPU_EINVAL },
    { "add what wraps from 2", OP_ADD, AXVM_SYSREG, 2, TOP, AXVCPU_EINVAL },
    { "add all but byte 0, over it", OP_ADD, AXVM_MMIO, 1, TOP, AXVCPU_EINVAL },
    { "add just below it", OP_ADD, AXVM_MMIO, 0xfff, 1, AXVCPU_OK },
    { "add just behind it", OP_ADD, AXVM_MMIO, 0x2000, 1, AXVCPU_OK },
    { "add up to 2^64", OP_ADD, AXVM_MMIO, TOP - 0xfff, 0x1000, AXVCPU_OK },
    { "add the last byte of 2^64 again", OP_ADD, AXVM_MMIO, TOP, 1, AXVCPU_EINVAL },
    { "add the same numbers as ports", OP_ADD, AXVM_PORT, 0x1000, 0x1000, AXVCPU_OK },
    { "add the same numbers as registers", OP_ADD, AXVM_SYSREG, 0x1000, 0x1000, AXVCPU_OK },
    { "add port 0x10000", OP_ADD, AXVM_PORT, 0x10000, 1, AXVCPU_EINVAL },
    { "add ports beyond 0xffff", OP_ADD, AXVM_PORT, 0xfff1, 0x10, AXVCPU_EINVAL },
    { "add ports up to 0xffff", OP_ADD, AXVM_PORT, 0xfff0, 0x10, AXVCPU_OK },
    { "add register 2^64 - 1", OP_ADD, AXVM_SYSREG, TOP, 1, AXVCPU_OK },
    { "add a ninth range", OP_ADD, AXVM_MMIO, 0x9000, 1, AXVCPU_ENOMEM },
    { "add a ninth range of ports", OP_ADD, AXVM_PORT, 0x9000, 1, AXVCPU_ENOMEM },
    { "add a ninth range that overlaps", OP_ADD, AXVM_MMIO, 0x1800, 1, AXVCPU_EINVAL },
    { "move in a full table", OP_MOVE, AXVM_MMIO, 0x2000, 0x3000, AXVCPU_OK },
    { "set_whole in a full table", OP_WHOLE, AXVM_PORT, 0x1000, 1, AXVCPU_OK },
    { "move onto itself", OP_MOVE, AXVM_MMIO, 0x1000, 0x1000, AXVCPU_OK },
    { "move by less than its size, up", OP_MOVE, AXVM_MMIO, 0x1000, 0x1800, AXVCPU_OK },
    { "move by less than its size, down", OP_MOVE, AXVM_MMIO, 0x1800, 0x1001, AXVCPU_OK },
    { "move into another", OP_MOVE, AXVM_MMIO, 0x1001, 0x3000, AXVCPU_EINVAL },
    { "move so that its end meets another", OP_MOVE, AXVM_MMIO, 0x1001, 0x2001, AXVCPU_EINVAL },
    { "move so that its end nearly does", OP_MOVE, AXVM_MMIO, 0x1001, 0x2000, AXVCPU_OK },
    { "move past 2^64", OP_MOVE, AXVM_MMIO, 0x2000, TOP - 0xffe, AXVCPU_EINVAL },
    { "move over the one at 2^64", OP_MOVE, AXVM_MMIO, 0x2000, TOP - 0xfff, AXVCPU_EINVAL },
    { "move just below that", OP_MOVE, AXVM_MMIO, 0x2000, TOP - 0x1fff, AXVCPU_OK },
    { "move ports beyond 0xffff", OP_MOVE, AXVM_PORT, 0x1000, 0xf001, AXVCPU_EINVAL },
    { "move ports to 2^16", OP_MOVE, AXVM_PORT, 0xfff0, 0x10000, AXVCPU_EINVAL },
    { "move what begins elsewhere", OP_MOVE, AXVM_MMIO, 0x1001, 0x5000, AXVCPU_EINVAL },
    { "move by an address inside", OP_MOVE, AXVM_PORT, 0x1001, 0x5000, AXVCPU_EINVAL },
    { "move one of another class", OP_MOVE, AXVM_PORT, 0x3000, 0x5000, AXVCPU_EINVAL },
    { "move the last of all first", OP_MOVE, AXVM_MMIO, TOP - 0xfff, 0, AXVCPU_EINVAL }, // 0xfff is taken
    { "set_whole of an address inside", OP_WHOLE, AXVM_PORT, 0x1001, 1, AXVCPU_EINVAL },
    { "remove by an address inside", OP_REMOVE, AXVM_PORT, 0x1001, 0, AXVCPU_EINVAL },
    { "remove one of another class", OP_REMOVE, AXVM_SYSREG, 0xfff, 0, AXVCPU_EINVAL },
    { "remove class HALT", OP_REMOVE, AXVCPU_EXIT_HALT, 0x3000, 0, AXVCPU_EINVAL },
    { "remove class NOTHING", OP_REMOVE, AXVCPU_EXIT_NOTHING, 0x3000, 0, AXVCPU_EINVAL },
    { "remove class CPUID", OP_REMOVE, AXVCPU_EXIT_CPUID, 0x3000, 0, AXVCPU_EINVAL },
    { "remove class COUNT", OP_REMOVE, AXVCPU_EXIT_COUNT, 0x3000, 0, AXVCPU_EINVAL },
    { "remove class 2^32 - 1", OP_REMOVE, UINT32_MAX, 0x3000, 0, AXVCPU_EINVAL },
    { "move class HYPERCALL", OP_MOVE, AXVCPU_EXIT_HYPERCALL, 0x3000, 0x5000, AXVCPU_EINVAL },
    { "move class 2^31", OP_MOVE, 0x80000000u, 0x3000, 0x5000, AXVCPU_EINVAL },
    { "set_whole class CPU_UP", OP_WHOLE, AXVCPU_EXIT_CPU_UP, 0x3000, 1, AXVCPU_EINVAL },
    { "remove named by a write", OP_REMOVE, AXVCPU_EXIT_MMIO_WRITE, 0x3000, 0, AXVCPU_OK },
    { "remove named by a page fault", OP_REMOVE, AXVCPU_EXIT_NESTED_PAGE_FAULT, 0xfff, 0, AXVCPU_OK },
    { "remove it again", OP_REMOVE, AXVM_MMIO, 0xfff, 0, AXVCPU_EINVAL },
    { "move the last of all first, now", OP_MOVE, AXVCPU_EXIT_MMIO_WRITE, TOP - 0xfff, 0, AXVCPU_OK },
    { "remove ports named by a write", OP_REMOVE, AXVCPU_EXIT_IO_WRITE, 0x1000, 0, AXVCPU_OK },
    { "remove registers named by a write", OP_REMOVE, AXVCPU_EXIT_SYSREG_WRITE, 0x1000, 0, AXVCPU_OK },
    { "remove the register at 2^64", OP_REMOVE, AXVM_SYSREG, TOP, 0, AXVCPU_OK },
    { "remove the first", OP_REMOVE, AXVM_MMIO, 0, 0, AXVCPU_OK },
    { "remove the last but one", OP_REMOVE, AXVM_MMIO, TOP - 0x1fff, 0, AXVCPU_OK },
    { "remove the last", OP_REMOVE, AXVM_PORT, 0xfff0, 0, AXVCPU_OK },
    { "add all but byte 0", OP_ADD, AXVM_MMIO, 1, TOP, AXVCPU_OK },
    { "add byte 0", OP_ADD, AXVM_MMIO, 0, 1, AXVCPU_OK },
    { "move byte 0 by one", OP_MOVE, AXVM_MMIO, 0, 1, AXVCPU_EINVAL },
    { "move all the others by one", OP_MOVE, AXVM_MMIO, 1, 2, AXVCPU_EINVAL },
};

static uint32_t model_kind(uint32_t kind)
{
    return kind == AXVCPU_EXIT_MMIO_WRITE || kind == AXVCPU_EXIT_NESTED_PAGE_FAULT ? AXVM_MMIO :
           kind == AXVCPU_EXIT_IO_WRITE                                           ? AXVM_PORT :
           kind == AXVCPU_EXIT_SYSREG_WRITE                                       ? AXVM_SYSREG :
                                                                                    kind;
}

static int bad_call(struct machine *m, const struct bad *b, void *arg)
{
    return b->op == OP_ADD    ? add(&m->vm, b->kind, b->base, b->more, device, arg) :
           b->op == OP_REMOVE ? axvm_remove(&m->vm, b->kind, b->base) :
           b->op == OP_MOVE   ? axvm_move(&m->vm, b->kind, b->base, b->more) :
                                axvm_set_whole(&m->vm, b->kind, b->base, b->more != 0);
}

static int bad_model(struct model *m, const struct bad *b, void *arg)
{
    uint32_t kind = model_kind(b->kind);

    return b->op == OP_ADD    ? model_add(m, kind, b->base, b->more, arg) :
           b->op == OP_REMOVE ? model_remove(m, kind, b->base) :
           b->op == OP_MOVE   ? model_move(m, kind, b->base, b->more) :
           model_at(m, kind, b->base) != NULL ? AXVCPU_OK : AXVCPU_EINVAL;
}

static struct machine mc;
static struct device devices[64];

static void test_bad_input(void)
{
    struct model_range storage[8];
    struct model m = { storage, 0, 8 };
    struct axvm_desc d = vm_desc(&mc, 1);
    size_t i;

    memset(&mc, 0, sizeof(mc));
    d.max_ranges = 8;
    must(axvm_init(&mc.vm, &d) == AXVCPU_OK);
    for (i = 0; i < COUNT(bad_rows); i++) {
        const struct bad *b = &bad_rows[i];
        int err;

        must(bad_model(&m, b, (void *)(uintptr_t)(i + 1)) == b->err); // the table itself
        forget_lines();
        err = bad_call(&mc, b, (void *)(uintptr_t)(i + 1));
        ok(err == b->err && (caught.lines != 0) == (err != 0) && agree_on_edges(&mc, &m) && mc.vm.lock == 0,
           "%s: %s (is %s), a log line if refused, lookups agree", b->name, error_name(b->err), error_name(err));
    }
    vm_gone(&mc);
}

// Everything NULL, and an object that is none.
static void test_null(void)
{
    static struct axvm none;
    struct axvm *const not_vms[] = { NULL, &none };
    size_t i;

    for (i = 0; i < COUNT(not_vms); i++) {
        struct axvm *vm = not_vms[i];
        const char *what = vm == NULL ? "NULL" : "a zeroed object";
        int errs[] = {
            axvm_add_mmio(vm, 0, 1, device, NULL),     axvm_add_port(vm, 0, 1, device, NULL),
            axvm_add_sysreg(vm, 0, 1, device, NULL),   axvm_remove(vm, AXVM_MMIO, 0),
            axvm_move(vm, AXVM_MMIO, 0, 1),            axvm_set_whole(vm, AXVM_PORT, 0, true),
            axvm_set_default(vm, AXVCPU_EXIT_HALT, device, NULL),
        };
        size_t e;

        for (e = 0; e < COUNT(errs); e++)
            ok_err(errs[e], AXVCPU_EINVAL, what);
    }
    vm_loading(&mc, 1);
    ok_err(axvm_add_mmio(&mc.vm, 0, 1, NULL, NULL), AXVCPU_EINVAL, "MMIO without a handler");
    ok_err(axvm_add_port(&mc.vm, 0, 1, NULL, NULL), AXVCPU_EINVAL, "a port without a handler");
    ok_err(axvm_add_sysreg(&mc.vm, 0, 1, NULL, NULL), AXVCPU_EINVAL, "a register without a handler");
    ok_err(axvm_set_default(&mc.vm, AXVCPU_EXIT_NOTHING, device, NULL), AXVCPU_EINVAL, "default for NOTHING");
    ok_err(axvm_set_default(&mc.vm, AXVCPU_EXIT_COUNT, device, NULL), AXVCPU_EINVAL, "default for COUNT");
    ok_err(axvm_set_default(&mc.vm, UINT32_MAX, device, NULL), AXVCPU_EINVAL, "default for 2^32 - 1");
    ok_err(axvm_set_default(&mc.vm, AXVCPU_EXIT_HALT, NULL, NULL), AXVCPU_OK, "default away");
    vm_gone(&mc);
}

// ENOMEM at exactly max_ranges, whatever the classes.
static void test_full(void)
{
    uint32_t max, i, c;

    for (max = 0; max <= 4; max++) {
        for (c = 0; c < 8; c++) { // which class each of the first three is in
            struct axvm_desc d = vm_desc(&mc, 1);
            bool good = true;

            memset(&mc, 0, sizeof(mc));
            d.max_ranges = max;
            d.ranges = max == 0 ? NULL : mc.range;
            must(axvm_init(&mc.vm, &d) == AXVCPU_OK);
            for (i = 0; i < max; i++)
                good = good && add(&mc.vm, class_kind[(c >> i & 1) + (i & 1)], i, 1, device, &devices[i]) == AXVCPU_OK;
            for (i = 0; i < CLASSES; i++)
                good = good && add(&mc.vm, class_kind[i], 100, 1, device, NULL) == AXVCPU_ENOMEM;
            if (max > 0) {
                good = good && axvm_remove(&mc.vm, class_kind[c & 1], 0) == AXVCPU_OK &&
                       axvm_add_sysreg(&mc.vm, 100, 1, device, NULL) == AXVCPU_OK &&
                       axvm_add_sysreg(&mc.vm, 101, 1, device, NULL) == AXVCPU_ENOMEM;
            }
            ok(good, "max_ranges %u, mix %u: as many fit, and not one more", max, c);
            vm_gone(&mc);
        }
    }
}

// Removing one device keeps all others, whichever it is (trap 8); unaligned ranges keep their last byte.
static void test_remove_one(void)
{
    enum { MANY = 5 };
    uint32_t gone, i;

    for (gone = 0; gone < MANY; gone++) {
        bool good = true;

        vm_loading(&mc, 1);
        for (i = 0; i < MANY; i++)
            must(axvm_add_mmio(&mc.vm, 0x1003 + i * 0x1000u, 0xffd, device, &devices[i]) == AXVCPU_OK);
        must(axvm_remove(&mc.vm, AXVM_MMIO, 0x1003 + gone * 0x1000u) == AXVCPU_OK);
        for (i = 0; i < MANY; i++) {
            const struct axvm_i_hit *low = axvm_lookup(&mc.vm, &mc.vcpu[0], 0, 0x1003 + i * 0x1000u, 0x1003 + i * 0x1000u);
            void *first = low != NULL ? low->slot->arg : NULL;
            const struct axvm_i_hit *high = axvm_lookup(&mc.vm, &mc.vcpu[0], 0, 0x1fff + i * 0x1000u, 0x1fff + i * 0x1000u);
            void *want = i == gone ? NULL : &devices[i];

            good = good && first == want && (high != NULL ? high->slot->arg : NULL) == want;
        }
        ok(good, "trap 8: device %u of %d goes: the others stay, to their last byte", gone, (int)MANY);
        vm_gone(&mc);
    }
}

// ---- random tables

struct world { // where random ranges lie: crowded, so that most calls meet another range
    const char *name;
    uint64_t base;
    uint32_t span, size;
};
static const struct world worlds[] = {
    { "at 0", 0, 400, 12 },
    { "around 0", (uint64_t)-100, 200, 9 },
    { "at the end of 2^64", (uint64_t)-400, 420, 12 },
    { "wide", UINT64_C(0x100000000), 100000, 300 },
    { "ports", 0xff00, 300, 9 },
};

static bool random_call(struct model *m, const struct world *w, struct chance *c)
{
    uint32_t kind = class_kind[chance_below(c, CLASSES)];
    uint64_t base = w->base + chance_below(c, w->span), more = chance_below(c, w->size);
    struct model_range *known = m->count != 0 ? &m->range[chance_below(c, m->count)] : NULL;
    void *arg = &devices[chance_below(c, (uint32_t)COUNT(devices))];

    if (known != NULL && chance_below(c, 8) != 0 && (chance_next(c) & 1) != 0)
        kind = known->kind, base = known->first;
    switch (chance_below(c, 6)) {
    case 0:
    case 1:
        return add(&mc.vm, kind, base, more, device, arg) == model_add(m, kind, base, more, arg);
    case 2:
        return axvm_remove(&mc.vm, kind, base) == model_remove(m, kind, base);
    case 3:
        return axvm_set_whole(&mc.vm, kind, base, (more & 1) != 0) ==
               (model_at(m, kind, base) != NULL ? AXVCPU_OK : AXVCPU_EINVAL);
    default:
        more = w->base + chance_below(c, w->span);
        return axvm_move(&mc.vm, kind, base, more) == model_move(m, kind, base, more);
    }
}

static void test_random(struct chance *c)
{
    static struct axvm_range ranges[64];
    static struct model_range storage[64];
    uint64_t n = rounds("random changes per world", 20000), i;
    size_t w;

    for (w = 0; w < COUNT(worlds); w++) {
        struct model m = { storage, 0, 1 + chance_below(c, 64) };
        struct axvm_desc d = vm_desc(&mc, 1);
        uint32_t k, most = 0;
        bool good = true;

        memset(&mc, 0, sizeof(mc));
        d.ranges = ranges;
        d.max_ranges = m.max;
        must(axvm_init(&mc.vm, &d) == AXVCPU_OK);
        for (i = 0; i < n && good; i++) {
            good = random_call(&m, &worlds[w], c);
            most = m.count > most ? m.count : most;
            for (k = 0; k < 6 && good; k++) {
                uint64_t first = worlds[w].base + chance_below(c, worlds[w].span);

                good = agree(&mc, &m, class_kind[k % CLASSES], first, first + (chance_next(c) & 7));
            }
        }
        ok(good && agree_on_edges(&mc, &m), "%s: %" PRIu64 " changes, up to %u of %u ranges, agree with a list",
           worlds[w].name, i, most, m.max);
        vm_gone(&mc);
    }
}

// ---- many ranges

// Three classes of `n` ranges in all, sorted in `m`, gaps and sizes by chance; some end at 2^64.
static void many_ranges(struct model *m, uint32_t n, struct chance *c)
{
    uint32_t i;
    uint64_t at = chance_below(c, 3), size;

    for (i = 0; i < n; i++) {
        uint32_t kind = class_kind[i < n - n / 4 ? 0 : 2];

        if (i != 0 && m->range[i - 1].kind != kind)
            at = 0;
        at += chance_below(c, 4) == 0 ? 0 : chance_below(c, 100);
        size = 1 + chance_below(c, 100);
        if ((i + 1 == n || (kind == AXVM_MMIO && i + 1 == n - n / 4)) && (chance_next(c) & 1) != 0)
            at += at == 0, size = 0 - at; // up to the end
        m->range[i] = (struct model_range){ kind, at, at + (size - 1), (char *)devices + i };
        at += size;
    }
    m->count = n;
}

// The table is built anew for each change, so 100,000 calls of axvm_add_* are 10^10 steps. Large tables are
// put down here the way axvm_i_rebuild leaves them; then one real add and remove go over them.
static void put_down(const struct model *m, struct axvm_range *ranges)
{
    uint32_t i, side = mc.vm.side ^ 1u;

    memset(mc.vm.starts, 0, sizeof(mc.vm.starts));
    for (i = 0; i < m->count; i++) {
        const struct model_range *r = &m->range[i];
        uint32_t k;

        ranges[i].slot[side] = (struct axvm_i_slot){ mc.vm.next_id, r->first, r->last, device, r->arg };
        mc.vm.next_id += 2;
        for (k = class_of(r->kind) + 1; k <= CLASSES; k++)
            mc.vm.starts[side][k] = i + 1;
    }
    axvm_i_publish(&mc.vm, side);
}

// In an order that meets all positions: steps of a prime around the table.
static bool put_in(const struct model *m)
{
    uint32_t i, at = 0;
    bool good = true;

    for (i = 0; i < m->count && good; i++) {
        const struct model_range *r = &m->range[at];

        good = add(&mc.vm, r->kind, r->first, r->last - r->first + 1, device, r->arg) == AXVCPU_OK;
        at = (at + 7919) % m->count;
    }
    return good;
}

static bool many_agree(const struct model *m, struct chance *c, uint64_t lookups)
{
    bool good = true;
    uint64_t i;

    for (i = 0; i < lookups && good; i++) {
        const struct model_range *r = &m->range[chance_below(c, m->count)];
        uint64_t at = (chance_next(c) & 1) != 0 ? r->first : r->last, width = UINT64_C(1) << chance_below(c, 4);

        at += chance_below(c, 8) - 4u;
        good = agree(&mc, m, (chance_next(c) & 7) != 0 ? r->kind : class_kind[chance_below(c, CLASSES)], at, at + width - 1);
    }
    return good;
}

static void test_many(struct chance *c)
{
    static const uint32_t counts[] = { 1, 2, 3, 4, 5, 7, 8, 10, 100, 1000, 1009, 10000, MODEL_MAX };
    static struct axvm_range ranges[MODEL_MAX + 1];
    static struct model_range storage[MODEL_MAX + 1];
    size_t i;

    for (i = 0; i < COUNT(counts); i++) {
        struct model m = { storage, 0, MODEL_MAX + 1 };
        struct axvm_desc d = vm_desc(&mc, 1);
        bool direct = counts[i] > 1009, good = true;
        uint64_t lookups = 20000000 / counts[i] / PART;

        many_ranges(&m, counts[i], c);
        memset(&mc, 0, sizeof(mc));
        d.ranges = ranges;
        d.max_ranges = counts[i] + 1;
        must(axvm_init(&mc.vm, &d) == AXVCPU_OK);
        if (direct)
            put_down(&m, ranges);
        else
            good = put_in(&m);
        lookups = lookups > 20000 ? 20000 : lookups < 100 ? 100 : lookups;
        good = good && axvm_add_port(&mc.vm, 5, 1, device, NULL) == model_add(&m, AXVM_PORT, 5, 1, NULL);
        good = good && many_agree(&m, c, lookups / 10) && axvm_add_port(&mc.vm, 6, 1, device, NULL) == AXVCPU_ENOMEM;
        good = good && axvm_remove(&mc.vm, AXVM_PORT, 5) == model_remove(&m, AXVM_PORT, 5);
        good = good && many_agree(&m, c, lookups);
        ok(good, "%u ranges%s: %" PRIu64 " lookups agree with a list", counts[i], direct ? " (put down directly)" : "",
           lookups);
        vm_gone(&mc);
    }
}

// ---- who gets an access: the device, the default for the kind, the caller

enum taker { TAKES_DEVICE, TAKES_DEFAULT, TAKES_CALLER };
struct access {
    const char *name;
    struct axvcpu_fake_step step;
    enum taker taker; // with a default for its kind; without one the default's are the caller's
};
// Devices: MMIO 0x1000..0x10ff and the last page of 2^64; ports 0x10..0x1f, 0xfff0..0xffff; register 0x10..0x13.
static const struct access accesses[] = {
    { "MMIO, first byte", MMIO_READ(0x1000, 1), TAKES_DEVICE },
    { "MMIO, last byte", MMIO_READ(0x10ff, 1), TAKES_DEVICE },
    { "MMIO, last eight bytes", MMIO_WRITE(0x10f8, 8, 1), TAKES_DEVICE },
    { "MMIO, across the end by one", MMIO_READ(0x10f9, 8), TAKES_DEFAULT },
    { "MMIO, across the end by all but one", MMIO_WRITE(0x10ff, 8, 1), TAKES_DEFAULT },
    { "MMIO, across the beginning", MMIO_READ(0xfff, 2), TAKES_DEFAULT },
    { "MMIO, just behind", MMIO_READ(0x1100, 1), TAKES_DEFAULT },
    { "MMIO, just before", MMIO_WRITE(0xfff, 1, 1), TAKES_DEFAULT },
    { "MMIO, last eight bytes of 2^64", MMIO_READ(TOP - 7, 8), TAKES_DEVICE },
    { "MMIO, last byte of 2^64", MMIO_WRITE(TOP, 1, 1), TAKES_DEVICE },
    { "MMIO, across 2^64", MMIO_READ(TOP - 3, 8), TAKES_DEFAULT },
    { "MMIO, of no width counts as a byte", MMIO_READ(0x1000, 0), TAKES_DEVICE },
    { "page fault on a device", PAGE_FAULT(0x1080), TAKES_DEVICE },
    { "page fault on the last byte", PAGE_FAULT(TOP), TAKES_DEVICE },
    { "page fault elsewhere", PAGE_FAULT(0x5000), TAKES_DEFAULT },
    { "port, first", IO_READ(0x10, 1, 1, NULL), TAKES_DEVICE },
    { "port, last four", IO_WRITE(0x1c, 4, 1, NULL), TAKES_DEVICE },
    { "port, across the end", IO_READ(0x1d, 4, 1, NULL), TAKES_DEFAULT },
    { "port, across the beginning", IO_WRITE(0xf, 2, 1, NULL), TAKES_DEFAULT },
    { "port 0xffff", IO_READ(0xffff, 1, 1, NULL), TAKES_DEVICE },
    { "port 0xffff and beyond", IO_READ(0xffff, 2, 1, NULL), TAKES_DEFAULT },
    { "port that is a device's MMIO address", IO_READ(0x1000, 1, 1, NULL), TAKES_DEFAULT },
    { "register, first", SYSREG_READ(0x10), TAKES_DEVICE },
    { "register, last", SYSREG_WRITE(0x13, 1), TAKES_DEVICE },
    { "register, behind", SYSREG_READ(0x14), TAKES_DEFAULT },
    { "register, before", SYSREG_WRITE(0xf, 1), TAKES_DEFAULT },
    { "CPUID", CPUID(0x10), TAKES_DEFAULT },
    { "hypercall", CALL(0x10), TAKES_DEFAULT },
    { "halt", HALT, TAKES_DEFAULT },
};

static void access_devices(struct machine *m, struct device *d)
{
    must(axvm_add_mmio(&m->vm, 0x1000, 0x100, device, d) == AXVCPU_OK);
    must(axvm_add_mmio(&m->vm, TOP - 0xfff, 0x1000, device, d) == AXVCPU_OK);
    must(axvm_add_port(&m->vm, 0x10, 0x10, device, d) == AXVCPU_OK);
    must(axvm_add_port(&m->vm, 0xfff0, 0x10, device, d) == AXVCPU_OK);
    must(axvm_add_sysreg(&m->vm, 0x10, 4, device, d) == AXVCPU_OK);
}

static void test_access(const struct access *a, bool with_default)
{
    struct axvcpu_fake_step script[] = { a->step, END };
    struct device dev = { 0 }, def = { 0 };
    struct axvcpu_exit x;
    uint32_t kind = a->step.exit.kind;
    enum taker taker = a->taker == TAKES_DEFAULT && !with_default ? TAKES_CALLER : a->taker;
    bool good;

    vm_loaded(&mc, 1);
    access_devices(&mc, &dev);
    if (with_default)
        must(axvm_set_default(&mc.vm, kind, device, &def) == AXVCPU_OK);
    PLAY(&mc, 0, script);
    good = axvm_run_vcpu(&mc.vm, 0, &x) == AXVCPU_OK && x.kind == (taker == TAKES_CALLER ? kind : AXVCPU_EXIT_RAW);
    good = good && dev.calls == (taker == TAKES_DEVICE) && def.calls == (taker == TAKES_DEFAULT);
    good = good && (taker == TAKES_CALLER ? x : taker == TAKES_DEVICE ? dev.last : def.last).kind == kind;
    ok(good && vm_leftover(&mc, 0)[0] == '\0', "%s%s: to the %s", a->name, with_default ? ", with a default" : "",
       taker == TAKES_DEVICE ? "device" : taker == TAKES_DEFAULT ? "default" : "caller");
    vm_gone(&mc);
}

// ---- what an answer leads to

struct answer_row {
    const char *name;
    enum axvm_answer answer;
    int err;
    bool goes_on; // the guest's next exit is what the caller sees
};
static const struct answer_row answers[] = {
    { "DONE", AXVM_DONE, AXVCPU_OK, true },
    { "RETRY", AXVM_RETRY, AXVCPU_OK, true },
    { "RETURN", AXVM_RETURN, AXVCPU_OK, false },
    { "ERROR", AXVM_ERROR, AXVCPU_EIO, false },
    { "a number that is no answer", (enum axvm_answer)77, AXVCPU_EIO, false },
};

static bool is_read(uint32_t kind)
{
    return (AXVCPU_READ_KINDS >> kind & 1u) != 0;
}
static bool is_access(uint32_t kind)
{
    return ((AXVCPU_READ_KINDS | AXVCPU_WRITE_KINDS) >> kind & 1u) != 0;
}

static int complete(struct axvcpu *v, uint32_t kind)
{
    static const uint32_t regs[4] = { 1, 2, 3, 4 };

    return kind == AXVCPU_EXIT_CPUID ? axvcpu_complete_cpuid(v, regs) : axvcpu_complete(v, 5);
}

// What the caller may do with an exit that came back: EPENDING until it is answered, then the guest goes on.
static bool usable(struct machine *m, uint32_t kind)
{
    struct axvcpu_exit x;

    if (is_read(kind) &&
        (axvm_run_vcpu(&m->vm, 0, &x) != AXVCPU_EPENDING || x.kind != AXVCPU_EXIT_NOTHING || complete(&m->vcpu[0], kind) != 0))
        return false;
    return axvm_run_vcpu(&m->vm, 0, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_RAW && x.raw == 0xe0d;
}

// Every kind of exit x every answer, from a device or a default, in axvm_run_vcpu and axvm_step.
static void test_answer(const struct answer_row *a, uint32_t kind, bool step)
{
    struct axvcpu_fake_step script[] = { { 0, { .kind = kind, .raw = 0x111 } }, END };
    struct device dev = { .answer = a->answer, .value = 0x55 };
    struct axvcpu_exit x;
    bool good;
    int err;

    if (kind == AXVCPU_EXIT_RAW)
        return; // END itself
    script[0].exit.io.width = kind == AXVCPU_EXIT_IO_READ || kind == AXVCPU_EXIT_IO_WRITE;
    script[0].exit.io.count = script[0].exit.io.width;
    vm_loaded(&mc, 1);
    must(axvm_set_default(&mc.vm, kind, device, &dev) == AXVCPU_OK);
    PLAY(&mc, 0, script);
    if (step)
        must(axvcpu_bind(&mc.vcpu[0]) == AXVCPU_OK);
    memset(&x, 0xa5, sizeof(x));
    err = step ? axvm_step(&mc.vm, 0, &x) : axvm_run_vcpu(&mc.vm, 0, &x);
    good = err == a->err && dev.calls == 1;
    if (step && a->goes_on)
        good = good && x.kind == kind && (x.flags & AXVCPU_EXIT_HANDLED) != 0;
    else
        good = good && x.kind == (a->goes_on ? AXVCPU_EXIT_RAW : kind) && (x.flags & AXVCPU_EXIT_HANDLED) == 0;
    good = good && (mc.vcpu[0].arch.calls[AXVCPU_FAKE_RETRY] == 1) == (a->answer == AXVM_RETRY && is_access(kind));
    if (step)
        must(axvcpu_unbind(&mc.vcpu[0]) == AXVCPU_OK);
    good = good && vm_leftover(&mc, 0)[0] == '\0';
    if (!a->goes_on && kind != AXVCPU_EXIT_CPU_DOWN)
        good = good && usable(&mc, kind);
    ok(good, "%s to %s in %s: %s", a->name, axvcpu_exit_name(kind), step ? "axvm_step" : "axvm_run_vcpu",
       a->err != 0   ? "EIO, *exit has it, answerable, usable" :
       a->goes_on    ? "the guest goes on" :
                       "the caller has it");
    vm_gone(&mc);
}

// ---- the value of a read reaches the register: width and sign are the backend's, the value the handler's

static void test_values(void)
{
    static const struct axvcpu_fake_step script[] = {
        EFFECT(AXVCPU_REG_GPR(1), UINT64_C(0xffffffffffffffff)), MMIO_READ(0x1000, 2), HALT,
        SYSREG_READ(0x10), HALT, EFFECT(AXVCPU_REG_GPR(0), UINT64_C(0xffffffffffffffff)), IO_READ(0x10, 1, 1, NULL), HALT,
        IO_READ(0x10, 4, 1, NULL), HALT, END,
    };
    struct device dev = { .value = UINT64_C(0x1122334455667788) };
    struct axvcpu_exit x;
    struct axvcpu *v = &mc.vcpu[0];
    static const struct { const char *name; uint32_t reg; uint64_t want; } wants[] = {
        { "MMIO_READ of two bytes", 1, 0x7788 },
        { "SYSREG_READ", 1, UINT64_C(0x1122334455667788) },
        { "IO_READ of one byte merges", 0, UINT64_C(0xffffffffffffff88) },
        { "IO_READ of four clears the upper half", 0, 0x55667788 },
    };
    size_t i;

    vm_loaded(&mc, 1);
    access_devices(&mc, &dev);
    PLAY(&mc, 0, script);
    for (i = 0; i < COUNT(wants); i++) {
        must(axvm_run_vcpu(&mc.vm, 0, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_HALT);
        ok_u64(vm_reg(&mc, 0, AXVCPU_REG_GPR(wants[i].reg)), wants[i].want, "the handler's value: %s", wants[i].name);
    }
    ok_u64(v->arch.pc, BSP_ENTRY + 8 * AXVCPU_FAKE_INSN_SIZE, "and the PC is past each instruction once");
    vm_gone(&mc);
}

// ---- a handler that answers by itself

enum self { SELF_COMPLETE, SELF_REFUSE, SELF_RETRY };
struct self_row {
    const char *name;
    enum self how;
    enum axvm_answer answer;
    int err;
};
static const struct self_row selves[] = {
    { "completes and says DONE", SELF_COMPLETE, AXVM_DONE, AXVCPU_OK },
    { "completes and says RETRY", SELF_COMPLETE, AXVM_RETRY, AXVCPU_OK },
    { "completes and says RETURN", SELF_COMPLETE, AXVM_RETURN, AXVCPU_OK },
    { "completes and says ERROR", SELF_COMPLETE, AXVM_ERROR, AXVCPU_EIO },
    { "refuses and says DONE", SELF_REFUSE, AXVM_DONE, AXVCPU_OK },
    { "refuses and says RETRY", SELF_REFUSE, AXVM_RETRY, AXVCPU_OK },
    { "refuses and says RETURN", SELF_REFUSE, AXVM_RETURN, AXVCPU_OK },
    { "refuses and says ERROR", SELF_REFUSE, AXVM_ERROR, AXVCPU_EIO },
    { "retries and says DONE", SELF_RETRY, AXVM_DONE, AXVCPU_OK },
    { "retries and says RETRY", SELF_RETRY, AXVM_RETRY, AXVCPU_OK },
    { "retries and says RETURN", SELF_RETRY, AXVM_RETURN, AXVCPU_OK },
    { "retries and says ERROR", SELF_RETRY, AXVM_ERROR, AXVCPU_EIO },
};

static int self_err;
static enum axvm_answer by_itself(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    const struct self_row *s = arg;

    (void)vm;
    x->mmio.data = 0xbad; // not what it has answered
    self_err = s->how == SELF_COMPLETE ? complete(v, x->kind) :
               s->how == SELF_REFUSE   ? axvcpu_refuse(v) :
                                         axvcpu_retry(v);
    return s->answer;
}

static void test_self(const struct self_row *s, uint32_t kind)
{
    struct axvcpu_fake_step script[] = { MMIO_READ(0x1000, 8), END };
    struct axvcpu_exit x;
    bool good, read = is_read(kind), completed = s->how == SELF_COMPLETE && read, bus;
    int err;

    script[0].exit.kind = kind;
    if (kind == AXVCPU_EXIT_IO_READ || kind == AXVCPU_EXIT_IO_WRITE)
        script[0].exit.io = (struct axvcpu_exit_io){ .port = 1, .width = 4, .count = 1 };
    if (kind == AXVCPU_EXIT_SYSREG_READ)
        script[0].exit.sysreg = (struct axvcpu_exit_sysreg){ .addr = 1, .reg = 1 };
    vm_loaded(&mc, 1);
    must(axvm_set_default(&mc.vm, kind, by_itself, (void *)(uintptr_t)s) == AXVCPU_OK);
    PLAY(&mc, 0, script);
    err = axvm_run_vcpu(&mc.vm, 0, &x);
    good = err == s->err && self_err == (s->how == SELF_COMPLETE && !read ? AXVCPU_EBADSTATE : AXVCPU_OK);
    if (err == AXVCPU_EIO || s->answer == AXVM_RETURN)
        good = good && x.kind == kind && axvm_run_vcpu(&mc.vm, 0, &x) == AXVCPU_OK;
    good = good && x.kind == AXVCPU_EXIT_RAW && vm_leftover(&mc, 0)[0] == '\0';
    bus = kind == AXVCPU_EXIT_MMIO_READ || kind == AXVCPU_EXIT_IO_READ;
    if (completed && s->answer != AXVM_RETRY && kind != AXVCPU_EXIT_CPUID)
        good = good && mc.vcpu[0].arch.gpr[kind == AXVCPU_EXIT_IO_READ ? 0 : 1] == 5;
    if (s->how == SELF_REFUSE && bus && s->answer != AXVM_RETRY) // all ones, as the bus says
        good = good && (uint32_t)mc.vcpu[0].arch.gpr[kind == AXVCPU_EXIT_IO_READ ? 0 : 1] == UINT32_MAX;
    ok(good, "a handler of %s %s", axvcpu_exit_name(kind), s->name);
    vm_gone(&mc);
}

// ---- strings

enum { STRING_MAX = 32 };
struct string_device {
    unsigned calls, fail_at; // 1: the first element
    enum axvm_answer answer;
    void (*act)(struct axvm *vm); // at that element
    uint32_t width, count; // of the last call
    uint64_t data[STRING_MAX];
    void *buf[STRING_MAX];
};

static enum axvm_answer string_device(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    struct string_device *d = arg;
    unsigned i = d->calls++;

    (void)v;
    d->width = x->io.width;
    d->count = x->io.count;
    if (i < STRING_MAX) {
        d->data[i] = x->io.data;
        d->buf[i] = x->io.buf;
    }
    if (d->calls == d->fail_at && d->act != NULL)
        d->act(vm);
    if (x->kind == AXVCPU_EXIT_IO_READ && x->io.count == 1)
        x->io.data = UINT64_C(0xf0f1f2f3f4f5f600) + i;
    else if (x->kind == AXVCPU_EXIT_IO_READ)
        memset(x->io.buf, 0x5a, (size_t)x->io.count * x->io.width);
    return d->calls == d->fail_at ? d->answer : AXVM_DONE;
}

static void test_strings(void)
{
    static const uint32_t widths[] = { 1, 2, 4, 8 }, counts[] = { 1, 2, 3, 7 };
    size_t w, n, dir, whole;

    for (dir = 0; dir < 2; dir++) {
        for (whole = 0; whole < 2; whole++) {
            for (w = 0; w < COUNT(widths); w++) {
                for (n = 0; n < COUNT(counts); n++) {
                    uint8_t buf[64 + 1], want[64 + 1];
                    uint32_t width = widths[w], count = counts[n], i;
                    struct axvcpu_fake_step script[] = { IO_WRITE(0x40, width, count, buf), END };
                    struct string_device d = { 0 };
                    struct axvcpu_exit x;
                    bool one = whole != 0 || count == 1, good;

                    for (i = 0; i < sizeof(buf); i++)
                        buf[i] = want[i] = (uint8_t)(i * 7 + 1);
                    script[0].exit.kind = dir == 0 ? AXVCPU_EXIT_IO_READ : AXVCPU_EXIT_IO_WRITE;
                    script[0].exit.io.data = 0x77;
                    vm_loaded(&mc, 1);
                    must(axvm_add_port(&mc.vm, 0x40, 8, string_device, &d) == AXVCPU_OK);
                    must(axvm_set_whole(&mc.vm, AXVM_PORT, 0x40, whole == 0) == AXVCPU_OK);
                    must(axvm_set_whole(&mc.vm, AXVM_PORT, 0x40, whole != 0) == AXVCPU_OK);
                    PLAY(&mc, 0, script);
                    good = axvm_run_vcpu(&mc.vm, 0, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_RAW;
                    good = good && d.calls == (one ? 1 : count) && d.width == width && d.count == (one ? count : 1);
                    for (i = 0; i < count && dir == 0 && count > 1; i++) { // little-endian, element by element
                        uint64_t value = UINT64_C(0xf0f1f2f3f4f5f600) + i;

                        if (one)
                            memset(want + i * width, 0x5a, width);
                        else
                            memcpy(want + i * width, &value, width);
                    }
                    for (i = 0; i < count && dir == 1 && !one; i++) {
                        uint64_t value = 0;

                        memcpy(&value, buf + i * width, width);
                        good = good && d.data[i] == value;
                    }
                    good = good && memcmp(buf, want, sizeof(buf)) == 0;
                    ok(good && vm_leftover(&mc, 0)[0] == '\0', "%s, width %u x %u, %s: values, order, nothing beyond",
                       dir == 0 ? "ins" : "outs", width, count, whole != 0 ? "whole" : "by elements");
                    vm_gone(&mc);
                }
            }
        }
    }
}

// At the third element of five the handler does something, or says something.
static void add_another(struct axvm *vm)
{
    must(axvm_add_mmio(vm, 0x9000, 1, device, NULL) == AXVCPU_OK);
}
static void move_another(struct axvm *vm)
{
    must(axvm_move(vm, AXVM_MMIO, 0x8000, 0x9000) == AXVCPU_OK);
}
static void remove_another(struct axvm *vm)
{
    must(axvm_remove(vm, AXVM_MMIO, 0x8000) == AXVCPU_OK);
}
static void add_neighbour(struct axvm *vm)
{
    must(axvm_add_port(vm, 0x30, 0x10, device, NULL) == AXVCPU_OK);
}
static void remove_own(struct axvm *vm)
{
    must(axvm_remove(vm, AXVM_PORT, 0x40) == AXVCPU_OK);
}
static void move_own(struct axvm *vm)
{
    must(axvm_move(vm, AXVM_PORT, 0x40, 0x60) == AXVCPU_OK);
}
static void replace_own(struct axvm *vm)
{
    remove_own(vm);
    must(axvm_add_port(vm, 0x40, 8, device, NULL) == AXVCPU_OK);
}

struct string_row {
    const char *name;
    void (*act)(struct axvm *);
    enum axvm_answer answer;
    int err;
    unsigned calls; // of the handler, for five elements
    bool comes_back;
};
static const struct string_row string_rows[] = {
    { "goes on", NULL, AXVM_DONE, AXVCPU_OK, 5, false },
    { "fails", NULL, AXVM_ERROR, AXVCPU_EIO, 3, true },
    { "hands it to the caller", NULL, AXVM_RETURN, AXVCPU_OK, 3, true },
    { "adds another device", add_another, AXVM_DONE, AXVCPU_OK, 5, false },
    { "adds a neighbour", add_neighbour, AXVM_DONE, AXVCPU_OK, 5, false },
    { "moves another device", move_another, AXVM_DONE, AXVCPU_OK, 5, false },
    { "removes another device", remove_another, AXVM_DONE, AXVCPU_OK, 5, false },
    // The rest of the string has no device, and part of it is done: the caller must know.
    { "removes its own", remove_own, AXVM_DONE, AXVCPU_EIO, 3, true },
    { "moves its own away", move_own, AXVM_DONE, AXVCPU_EIO, 3, true },
    { "replaces its own", replace_own, AXVM_DONE, AXVCPU_EIO, 3, true },
};

static void test_string_row(const struct string_row *r, uint32_t kind)
{
    uint8_t buf[10] = { 0 };
    struct axvcpu_fake_step script[] = { IO_WRITE(0x40, 2, 5, buf), END };
    struct string_device d = { .fail_at = 3, .answer = r->answer, .act = r->act };
    struct axvcpu_exit x;
    bool good;

    script[0].exit.kind = kind;
    vm_loaded(&mc, 1);
    must(axvm_add_port(&mc.vm, 0x40, 8, string_device, &d) == AXVCPU_OK);
    must(axvm_add_mmio(&mc.vm, 0x8000, 1, device, NULL) == AXVCPU_OK);
    PLAY(&mc, 0, script);
    good = axvm_run_vcpu(&mc.vm, 0, &x) == r->err && d.calls == r->calls;
    good = good && x.kind == (r->comes_back ? kind : AXVCPU_EXIT_RAW);
    if (r->comes_back)
        good = good && x.io.count == 5 && x.io.width == 2 && x.io.buf == buf && usable(&mc, kind);
    ok(good && vm_leftover(&mc, 0)[0] == '\0', "%s: at the third of five elements the handler %s: %s",
       axvcpu_exit_name(kind), r->name, error_name(r->err));
    vm_gone(&mc);
}

// ---- inside a handler (trap 44)

struct inside_row {
    const char *name;
    int (*act)(struct axvm *);
    int err;
    unsigned calls; // of the device at 0x1000 .. 0x1fff, for three reads of 0x1800
};
static struct device other;

static int in_add(struct axvm *vm)
{
    return axvm_add_mmio(vm, 0x2000, 0x1000, device, &other);
}
static int in_add_overlap(struct axvm *vm)
{
    return axvm_add_mmio(vm, 0x1fff, 0x1000, device, &other);
}
static int in_remove_own(struct axvm *vm)
{
    return axvm_remove(vm, AXVM_MMIO, 0x1000);
}
static int in_replace_own(struct axvm *vm)
{
    int err = axvm_remove(vm, AXVM_MMIO, 0x1000);

    return err != 0 ? err : axvm_add_mmio(vm, 0x1800, 8, device, &other);
}
static int in_move_own(struct axvm *vm)
{
    return axvm_move(vm, AXVM_MMIO, 0x1000, 0x3000);
}
static int in_move_own_a_bit(struct axvm *vm)
{
    return axvm_move(vm, AXVM_MMIO, 0x1000, 0x1008);
}
static int in_whole_own(struct axvm *vm)
{
    return axvm_set_whole(vm, AXVM_MMIO, 0x1000, true);
}
static int in_remove_missing(struct axvm *vm)
{
    return axvm_remove(vm, AXVM_MMIO, 0x1800);
}
static int in_default(struct axvm *vm)
{
    return axvm_set_default(vm, AXVCPU_EXIT_MMIO_READ, device, &other);
}
static int in_map(struct axvm *vm)
{
    static uint8_t page[4096] __attribute__((aligned(4096)));

    return axvm_map(vm, axvcpu_gpa(0x1000), axvcpu_from_ptr(page), 4096, AXVM_MAP_RWX);
}
static const struct inside_row inside_rows[] = {
    { "adds another", in_add, AXVCPU_OK, 3 },
    { "adds one over itself", in_add_overlap, AXVCPU_EINVAL, 3 },
    { "removes itself", in_remove_own, AXVCPU_OK, 1 },
    { "replaces itself", in_replace_own, AXVCPU_OK, 1 },
    { "moves itself away", in_move_own, AXVCPU_OK, 1 },
    { "moves itself by a bit", in_move_own_a_bit, AXVCPU_OK, 3 },
    { "sets itself whole", in_whole_own, AXVCPU_OK, 3 },
    { "removes what is not there", in_remove_missing, AXVCPU_EINVAL, 3 },
    { "sets a default", in_default, AXVCPU_OK, 3 },
    { "maps memory", in_map, AXVCPU_OK, 3 },
};

struct inside_device {
    const struct inside_row *row;
    unsigned calls;
    int err;
    uint64_t base[4]; // what axvm_range_base says: before, after and at the later calls
};
static enum axvm_answer inside_device(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    struct inside_device *d = arg;

    x->mmio.data = x->mmio.addr - axvm_range_base(v);
    if (d->calls++ == 0) {
        d->base[0] = axvm_range_base(v);
        d->err = d->row->act(vm);
        d->base[1] = axvm_range_base(v);
    } else {
        d->base[2] = axvm_range_base(v);
    }
    return AXVM_DONE;
}

static void test_inside(const struct inside_row *r)
{
    static const struct axvcpu_fake_step script[] = { MMIO_READ(0x1800, 8), HALT, MMIO_READ(0x1800, 8), MMIO_READ(0x1800, 8), END };
    struct inside_device d = { .row = r };
    struct axvcpu_exit x;
    bool good;

    memset(&other, 0, sizeof(other));
    vm_loaded(&mc, 1);
    must(axvm_add_mmio(&mc.vm, 0x1000, 0x1000, inside_device, &d) == AXVCPU_OK);
    PLAY(&mc, 0, script);
    good = axvm_run_vcpu(&mc.vm, 0, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_HALT && d.calls == 1 && d.err == r->err;
    good = good && vm_reg(&mc, 0, AXVCPU_REG_GPR(1)) == 0x800 && d.base[0] == 0x1000 && d.base[1] == 0x1000;
    good = good && axvm_run_vcpu(&mc.vm, 0, &x) == AXVCPU_OK && d.calls == r->calls;
    if (r->act == in_move_own_a_bit)
        good = good && d.base[2] == 0x1008 && vm_reg(&mc, 0, AXVCPU_REG_GPR(1)) == 0x7f8;
    if (r->act == in_replace_own)
        good = good && other.calls == 2 && other.base == 0x1800;
    good = good && x.kind == (r->calls == 3 || r->act == in_replace_own ? AXVCPU_EXIT_RAW : AXVCPU_EXIT_MMIO_READ);
    ok(good && vm_leftover(&mc, 0)[0] == '\0', "trap 44: inside its own handler a device %s: %s", r->name, error_name(r->err));
    vm_gone(&mc);
}

// One thread that steps two vCPUs in turn: the handler of either removes its own device.
struct stepper {
    struct machine m;
    struct inside_device d;
    uint32_t which;
    bool good;
};

static void step_and_remove(void *arg)
{
    static const struct axvcpu_fake_step script[] = { MMIO_READ(0x1800, 8), END };
    struct stepper *s = arg;
    struct axvcpu_exit x;

    vm_loaded(&s->m, 2);
    vm_all_up(&s->m);
    must(axvm_add_mmio(&s->m.vm, 0x1000, 0x1000, inside_device, &s->d) == AXVCPU_OK);
    PLAY(&s->m, s->which, script);
    must(axvcpu_bind(&s->m.vcpu[0]) == AXVCPU_OK && axvcpu_bind(&s->m.vcpu[1]) == AXVCPU_OK);
    s->good = axvm_step(&s->m.vm, s->which, &x) == AXVCPU_OK && (x.flags & AXVCPU_EXIT_HANDLED) != 0 &&
              s->d.err == AXVCPU_OK;
    must(axvcpu_unbind(&s->m.vcpu[0]) == AXVCPU_OK && axvcpu_unbind(&s->m.vcpu[1]) == AXVCPU_OK);
    vm_gone(&s->m);
}

static void test_remove_by_stepper(void)
{
    static struct stepper steppers[2];
    uint32_t i;

    for (i = 0; i < COUNT(steppers); i++) {
        steppers[i].which = i;
        steppers[i].d.row = &inside_rows[2];
        ok(finishes(step_and_remove, &steppers[i]) && steppers[i].good,
           "a thread that has two vCPUs: the handler of vCPU %u removes its own device, and does not wait for itself", i);
    }
}

// ---- failures at each possible point (trap 5)

// One exit after the other, each served by the same handler, which fails at the nth.
static const struct axvcpu_fake_step mixed[] = {
    MMIO_READ(0x1000, 4), MMIO_WRITE(0x1004, 4, 1), IO_READ(0x10, 2, 1, NULL), IO_WRITE(0x10, 1, 1, NULL),
    SYSREG_READ(0x10), SYSREG_WRITE(0x10, 1), PAGE_FAULT(0x1000), CPUID(1), CALL(1), HALT, MMIO_READ(0x2000, 4),
    PAGE_FAULT(0x7000), END,
};
enum { MIXED = COUNT(mixed) - 1 };

struct failing {
    unsigned calls, fail_at;
};
static enum axvm_answer failing(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    struct failing *f = arg;

    (void)vm, (void)v, (void)x;
    return ++f->calls == f->fail_at ? AXVM_ERROR : AXVM_DONE;
}

static void mixed_machine(struct failing *f)
{
    static const uint32_t kinds[] = { AXVCPU_EXIT_CPUID, AXVCPU_EXIT_HYPERCALL, AXVCPU_EXIT_HALT, AXVCPU_EXIT_MMIO_READ,
                                      AXVCPU_EXIT_NESTED_PAGE_FAULT };
    size_t i;

    vm_loaded(&mc, 1);
    must(axvm_add_mmio(&mc.vm, 0x1000, 0x100, failing, f) == AXVCPU_OK);
    must(axvm_add_port(&mc.vm, 0x10, 0x10, failing, f) == AXVCPU_OK);
    must(axvm_add_sysreg(&mc.vm, 0x10, 4, failing, f) == AXVCPU_OK);
    for (i = 0; i < COUNT(kinds); i++)
        must(axvm_set_default(&mc.vm, kinds[i], failing, f) == AXVCPU_OK);
    PLAY(&mc, 0, mixed);
}

static void test_failing_handlers(void)
{
    unsigned nth;

    for (nth = 1; nth <= MIXED; nth++) {
        struct failing f = { .fail_at = nth };
        uint32_t kind = mixed[nth - 1].exit.kind;
        struct axvcpu_exit x;
        bool good;

        mixed_machine(&f);
        good = axvm_run_vcpu(&mc.vm, 0, &x) == AXVCPU_EIO && x.kind == kind && f.calls == nth;
        good = good && memcmp(&x, &mixed[nth - 1].exit, offsetof(struct axvcpu_exit, mmio)) == 0;
        good = good && vm_leftover(&mc, 0)[0] == '\0' && axvcpu_get_state(&mc.vcpu[0]) == AXVCPU_STATE_FREE;
        if (is_read(kind))
            good = good && axvm_run_vcpu(&mc.vm, 0, &x) == AXVCPU_EPENDING && x.kind == AXVCPU_EXIT_NOTHING &&
                   vm_leftover(&mc, 0)[0] == '\0' && complete(&mc.vcpu[0], kind) == AXVCPU_OK;
        good = good && axvm_run_vcpu(&mc.vm, 0, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_RAW && f.calls == MIXED;
        ok(good && vm_leftover(&mc, 0)[0] == '\0', "trap 5: a handler fails at exit %u, %s: kept, unbound, answerable, each exit served once",
           nth, axvcpu_exit_name(kind));
        vm_gone(&mc);
    }
}

// The backend fails at the nth call of each operation: the vCPU is Invalid and nobody's, or the call failed
// and the vCPU is as it was; the VM can use it again either way.
struct backend_row {
    enum axvcpu_fake_op op;
    const char *name;
    bool poisons;
};
static const struct backend_row backend_rows[] = {
    { AXVCPU_FAKE_BIND, "bind", true },     { AXVCPU_FAKE_RUN, "run", true },       { AXVCPU_FAKE_COMMIT, "commit", true },
    { AXVCPU_FAKE_INJECT, "inject", true }, { AXVCPU_FAKE_UNBIND, "unbind", true }, { AXVCPU_FAKE_RETRY, "retry", false },
};

static enum axvm_answer retrying(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    (void)arg;
    must(axvm_inject(vm, 1, 33) == AXVCPU_OK); // so that the backend is asked to inject each time
    (void)v;
    return x->kind == AXVCPU_EXIT_SYSREG_WRITE ? AXVM_RETRY : AXVM_DONE;
}

static bool alive(struct machine *m, bool poisoned)
{
    struct axvcpu *v = &m->vcpu[0];
    struct axvcpu_exit x;

    if (poisoned && (axvcpu_get_state(v) != AXVCPU_STATE_INVALID || axvm_run_vcpu(&m->vm, 0, &x) != AXVCPU_EBADSTATE ||
                     axvcpu_reset(v) != AXVCPU_OK ||
                     axvcpu_setup(v, axvcpu_gpa(BSP_ENTRY), axvm_root(&m->vm), NULL) != AXVCPU_OK))
        return false;
    return axvm_run_vcpu(&m->vm, 0, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_RAW && vm_leftover(m, 0)[0] == '\0';
}

static void test_failing_backend(const struct backend_row *r)
{
    uint32_t nth, failures = 0;
    bool good = true;

    for (nth = 1; nth <= 32; nth++) {
        struct failing f = { 0 };
        struct axvcpu_exit x;
        int err;

        mixed_machine(&f);
        must(axvm_set_default(&mc.vm, AXVCPU_EXIT_HYPERCALL, retrying, NULL) == AXVCPU_OK);
        must(axvm_remove(&mc.vm, AXVM_SYSREG, 0x10) == AXVCPU_OK);
        must(axvm_set_default(&mc.vm, AXVCPU_EXIT_SYSREG_READ, retrying, NULL) == AXVCPU_OK);
        must(axvm_set_default(&mc.vm, AXVCPU_EXIT_SYSREG_WRITE, retrying, NULL) == AXVCPU_OK);
        must(axvcpu_fake_fail(&mc.vcpu[0], r->op, nth, AXVCPU_EFAULT) == AXVCPU_OK);
        err = axvm_run_vcpu(&mc.vm, 0, &x);
        if (err == AXVCPU_OK) {
            good = good && x.kind == AXVCPU_EXIT_RAW && vm_leftover(&mc, 0)[0] == '\0';
            vm_gone(&mc);
            break;
        }
        failures++;
        good = good && err == AXVCPU_EFAULT && vm_leftover(&mc, 0)[0] == '\0' && alive(&mc, r->poisons);
        vm_gone(&mc);
    }
    ok(good && failures != 0 && nth <= 32, "the backend fails at each of %u calls of %s: the error, %s, usable again", failures,
       r->name, r->poisons ? "Invalid and nobody's" : "unbound");
}

int main(void)
{
    struct chance c;
    uint32_t kind;
    size_t i;

    tap_begin(290);
    c.state = chance_seed();
    test_bad_input();
    test_null();
    test_full();
    test_remove_one();
    test_random(&c);
    test_many(&c);
    for (i = 0; i < COUNT(accesses); i++) {
        test_access(&accesses[i], false);
        test_access(&accesses[i], true);
    }
    for (i = 0; i < COUNT(answers); i++) {
        for (kind = AXVCPU_EXIT_NOTHING + 1; kind < AXVCPU_EXIT_COUNT; kind++) {
            test_answer(&answers[i], kind, false);
            test_answer(&answers[i], kind, true);
        }
    }
    test_values();
    for (i = 0; i < COUNT(selves); i++) {
        for (kind = 0; kind < AXVCPU_EXIT_COUNT; kind++) {
            if (is_access(kind) && kind != AXVCPU_EXIT_SYSREG_WRITE)
                test_self(&selves[i], kind);
        }
    }
    test_strings();
    for (i = 0; i < COUNT(string_rows); i++) {
        test_string_row(&string_rows[i], AXVCPU_EXIT_IO_WRITE);
        test_string_row(&string_rows[i], AXVCPU_EXIT_IO_READ);
    }
    for (i = 0; i < COUNT(inside_rows); i++)
        test_inside(&inside_rows[i]);
    test_failing_handlers();
    for (i = 0; i < COUNT(backend_rows); i++)
        test_failing_backend(&backend_rows[i]);
    test_remove_by_stepper();
    return tap_done();
}
