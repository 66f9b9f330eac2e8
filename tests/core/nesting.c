// SPDX-License-Identifier: Apache-2.0
// flags: -UAXVCPU_ARCH_FAKE -DAXVCPU_ARCH_HEADER="tests/core/mock.h"
//
// Operations inside operations: in a combinator's function, in the middle of every leaf of a backend, at
// the points of run. What DESIGN names is ENESTED and changes nothing; the rest works.
struct axvcpu;
static void (*at_point)(struct axvcpu *, int point);
#define AXVCPU_TRACE(v, event, a, b) (at_point != NULL ? at_point((v), (int)(event)) : (void)0)
#include "core.h"

static struct axvcpu self, bystander;
static struct axvcpu_exit x;
static uint64_t value;
static const uint32_t four[4] = { 1, 2, 3, 4 };

#define MMIO(what) { .kind = AXVCPU_EXIT_MMIO_##what, .mmio = { 0x1000, 9, 4, 5, 8, false } }
static const struct axvcpu_exit read_exit = MMIO(READ), write_exit = MMIO(WRITE);

static void fresh(void)
{
    memset(&mock, 0, sizeof(mock));
    at_point = NULL;
    set_up(&bystander);
    must(axvcpu_ref(&bystander) == &bystander);
    bound(&self);
    must(axvcpu_ref(&self) == &self);
    forget_lines();
}

// The guest of `self` has done this last.
static void perform(const struct axvcpu_exit *access)
{
    struct axvcpu_exit ignored;

    mock.exits = access;
    mock.exit_count = 1;
    must(axvcpu_run(&self, &ignored) == AXVCPU_OK && ignored.kind == access->kind);
}

// ---- what is nested, what is allowed for the current vCPU, what is always allowed

static int no_function(struct axvcpu *v, void *arg)
{
    (void)v, (void)arg;
    return AXVCPU_OK;
}

#define OP(name, expression)              \
    static int do_##name(struct axvcpu *v) \
    {                                     \
        return expression;                \
    }
static int do_init(struct axvcpu *v)
{
    const struct axvcpu_desc desc = { 0 };

    return axvcpu_init(v, &desc);
}
OP(deinit, axvcpu_deinit(v))
OP(setup, axvcpu_setup(v, axvcpu_gpa(ENTRY), axvcpu_hpa(ROOT), NULL))
OP(bind, axvcpu_bind(v))
OP(unbind, axvcpu_unbind(v))
OP(run, axvcpu_run(v, &x))
OP(reset, axvcpu_reset(v))
OP(restart, axvcpu_restart(v, axvcpu_gpa(ENTRY), 0))
OP(block, axvcpu_block(v))
OP(settle, axvcpu_settle(v, &x))
OP(put, axvcpu_put(v))
OP(load, axvcpu_load(v))
OP(abandon, axvcpu_abandon(v))
OP(transition, axvcpu_transition(v, AXVCPU_STATE_FREE, AXVCPU_STATE_READY))
OP(with_state, axvcpu_with_state(v, AXVCPU_STATE_FREE, AXVCPU_STATE_READY, no_function, NULL))
OP(with_current, axvcpu_with_current(v, no_function, NULL))
OP(manipulate, axvcpu_manipulate(v, AXVCPU_STATE_FREE, AXVCPU_STATE_READY, no_function, NULL))
OP(get_gpr, axvcpu_get_gpr(v, 1, &value))
OP(set_gpr, axvcpu_set_gpr(v, 1, 1))
OP(get_reg, axvcpu_get_reg(v, AXVCPU_REG_PC, &value))
OP(set_reg, axvcpu_set_reg(v, AXVCPU_REG_PC, 1))
OP(set_entry, axvcpu_set_entry(v, axvcpu_gpa(ENTRY)))
OP(set_root, axvcpu_set_root(v, axvcpu_hpa(ROOT)))
OP(set_return_value, axvcpu_set_return_value(v, 1))
OP(inject_exception, axvcpu_inject_exception(v, 13, 0, 0))
OP(complete, axvcpu_complete(v, 0x42))
OP(complete_cpuid, axvcpu_complete_cpuid(v, four))
OP(refuse, axvcpu_refuse(v))
OP(retry, axvcpu_retry(v))
OP(kick, axvcpu_kick(v))
OP(unblock, axvcpu_unblock(v))
OP(inject_interrupt, axvcpu_inject_interrupt(v, 33))
OP(inject_nmi, axvcpu_inject_nmi(v))
OP(set_irq, axvcpu_set_irq(v, 33, true))
OP(ref, axvcpu_ref(v) == v ? AXVCPU_OK : AXVCPU_EINVAL)
OP(unref, axvcpu_unref(v))
OP(getters, axvcpu_id(v) == 7 && axvcpu_vm_id(v) == 1 && !axvcpu_is_bsp(v) && axvcpu_user(v) == NULL &&
                    (axvcpu_pending(v), true) && axvcpu_get_state(v) < AXVCPU_STATE_COUNT && axvcpu_current() == &self ?
                AXVCPU_OK :
                AXVCPU_EINVAL)

enum class { NESTED, ITSELF, ALWAYS };
static const struct op {
    const char *name;
    int (*fn)(struct axvcpu *);
    enum class class;
} ops[] = {
#define ROW(name, class) { #name, do_##name, class }
    ROW(init, NESTED),         ROW(deinit, NESTED),       ROW(setup, NESTED),           ROW(bind, NESTED),
    ROW(unbind, NESTED),       ROW(run, NESTED),          ROW(reset, NESTED),           ROW(restart, NESTED),
    ROW(block, NESTED),        ROW(settle, NESTED),       ROW(transition, NESTED),      ROW(with_state, NESTED),
    ROW(with_current, NESTED), ROW(manipulate, NESTED),   ROW(put, NESTED),             ROW(load, NESTED),
    ROW(abandon, NESTED),      ROW(get_gpr, ITSELF),      ROW(set_gpr, ITSELF),         ROW(get_reg, ITSELF),
    ROW(set_reg, ITSELF),      ROW(set_entry, ITSELF),    ROW(set_root, ITSELF),        ROW(set_return_value, ITSELF),
    ROW(inject_exception, ITSELF), ROW(complete, ITSELF), ROW(complete_cpuid, ITSELF),  ROW(refuse, ITSELF),
    ROW(retry, ITSELF),        ROW(kick, ALWAYS),         ROW(unblock, ALWAYS),         ROW(inject_interrupt, ALWAYS),
    ROW(inject_nmi, ALWAYS),   ROW(set_irq, ALWAYS),      ROW(ref, ALWAYS),             ROW(unref, ALWAYS),
    ROW(getters, ALWAYS),
};

// ---- one operation, tried on the current vCPU and on a bystander

static struct attempt {
    const struct op *op;
    bool tried, self_good, bystander_good, current_good;
    bool on_self; // the current vCPU is one yet, or still
} attempt;

static bool try_bystander(void)
{
    struct axvcpu before = bystander;
    int err = attempt.op->fn(&bystander);

    if (attempt.op->class == ALWAYS)
        return err == AXVCPU_OK;
    return err == AXVCPU_ENESTED && memcmp(&before, &bystander, sizeof(bystander)) == 0;
}

static bool try_self(void)
{
    struct axvcpu before = self;
    int err;

    if (!attempt.on_self)
        return true;
    err = attempt.op->fn(&self);
    if (attempt.op->class == NESTED)
        return err == AXVCPU_ENESTED && memcmp(&before, &self, sizeof(self)) == 0;
    return attempt.op->class == ALWAYS ? err == AXVCPU_OK : err != AXVCPU_ENESTED && err != AXVCPU_EBUSY;
}

static void try_both(void)
{
    attempt.tried = true;
    attempt.bystander_good = try_bystander();
    attempt.self_good = try_self();
    attempt.current_good = axvcpu_current() == &self;
}

static void begin(const struct op *op, bool on_self)
{
    memset(&attempt, 0, sizeof(attempt));
    attempt.op = op;
    attempt.on_self = on_self;
}

static void judge(const char *where, bool outer_good)
{
    static const char *const words[] = {
        [NESTED] = "ENESTED, nothing changed", [ITSELF] = "allowed for the current vCPU only", [ALWAYS] = "allowed"
    };

    if (!ok(attempt.tried && attempt.bystander_good && attempt.self_good && attempt.current_good && outer_good &&
                axvcpu_current() == NULL,
            "%s inside %s: %s", attempt.op->name, where, words[attempt.op->class]))
        note("  tried %d, bystander %d, self %d, current %d, outer %d (%s)", attempt.tried, attempt.bystander_good,
             attempt.self_good, attempt.current_good, outer_good, caught.last);
}

// ---- in a combinator's function

static int try_in_callback(struct axvcpu *v, void *arg)
{
    (void)v, (void)arg;
    try_both();
    return AXVCPU_OK;
}

static void test_callbacks(void)
{
    size_t i;

    for (i = 0; i < COUNT(ops); i++) {
        fresh();
        begin(&ops[i], true);
        judge("with_current", axvcpu_with_current(&self, try_in_callback, NULL) == AXVCPU_OK);
        fresh();
        begin(&ops[i], true);
        judge("manipulate",
              axvcpu_manipulate(&self, AXVCPU_STATE_READY, AXVCPU_STATE_READY, try_in_callback, NULL) == AXVCPU_OK);
    }
}

// ---- in the middle of a leaf

static int as_free(void)
{
    return axvcpu_unbind(&self);
}

static int as_created(void)
{
    return axvcpu_reset(&self);
}

static int as_written(void)
{
    perform(&write_exit);
    return 0;
}

static int as_put(void)
{
    return axvcpu_put(&self);
}

static int as_interrupted(void)
{
    return axvcpu_inject_interrupt(&self, 40);
}

static int as_droppable(void)
{
    (void)axvcpu_unref(&self);
    return axvcpu_unbind(&self);
}

static const struct leaf {
    const char *name;
    enum mock_leaf leaf;
    int (*prepare)(void);
    int (*outer)(struct axvcpu *);
    bool on_self;
} leaves[] = {
#define LEAF(name, prepare, outer, on_self) { "leaf_" #name, MOCK_##name, prepare, do_##outer, on_self }
    LEAF(create, as_free, init, false),
    LEAF(set_entry, as_created, setup, true),
    LEAF(set_root, as_created, setup, true),
    LEAF(setup, as_created, setup, true),
    LEAF(bind, as_free, bind, true),
    LEAF(unbind, NULL, unbind, true),
    LEAF(run, NULL, run, true),
    LEAF(commit, as_written, settle, true),
    LEAF(inject, as_interrupted, run, true),
    LEAF(retry, as_written, retry, true),
    LEAF(refuse, as_written, refuse, true),
    LEAF(put, NULL, put, true),
    LEAF(load, as_put, load, true),
    LEAF(get_reg, NULL, get_gpr, true),
    LEAF(set_reg, NULL, set_gpr, true),
    LEAF(inject_exception, NULL, inject_exception, true),
    LEAF(restart, NULL, restart, true),
    LEAF(reset, NULL, reset, true),
    LEAF(destroy, as_droppable, deinit, false),
};

static enum mock_leaf wanted;

static void try_in_leaf(struct axvcpu *v, enum mock_leaf leaf)
{
    if (leaf == wanted && v == &self && !attempt.tried)
        try_both();
}

static void test_leaves(void)
{
    size_t i, k;

    for (k = 0; k < COUNT(leaves); k++)
        for (i = 0; i < COUNT(ops); i++) {
            fresh();
            must(leaves[k].prepare == NULL || leaves[k].prepare() == 0);
            begin(&ops[i], leaves[k].on_self);
            wanted = leaves[k].leaf;
            mock.inside = try_in_leaf;
            judge(leaves[k].name, leaves[k].outer(&self) == AXVCPU_OK);
        }
}

// ---- an object that is being created is no vCPU yet, whatever it was before

static int tried[3];

static void use_in_create(struct axvcpu *v, enum mock_leaf leaf)
{
    if (leaf != MOCK_create)
        return;
    tried[0] = axvcpu_kick(v);
    tried[1] = axvcpu_get_gpr(v, 1, &value);
    tried[2] = axvcpu_ref(v) == NULL ? AXVCPU_EINVAL : AXVCPU_OK;
}

static void test_create(void)
{
    size_t i;

    fresh();
    mock.inside = use_in_create;
    must(do_init(&self) == AXVCPU_OK);
    for (i = 0; i < COUNT(tried); i++)
        ok_int(tried[i], AXVCPU_EINVAL, "inside leaf_create the object is no vCPU yet (%zu)", i);
    ok(self.refs == 1 && !axvcpu_attention(&self), "and is not touched");
}

// ---- at the points of run, on its short way and on its long one

static int point;

static void try_at_point(struct axvcpu *v, int at)
{
    if (at == point && v == &self && !attempt.tried)
        try_both();
}

static void test_points(void)
{
    static const struct {
        const char *name;
        int point;
    } points[] = {
        { "run, at RUN_CURRENT", AXVCPU_TRACE_RUN_CURRENT },
        { "run, at RUN_ENTER", AXVCPU_TRACE_RUN_ENTER },
        { "run, at RUN_LEFT", AXVCPU_TRACE_RUN_LEFT },
    };
    size_t i, k;

    for (k = 0; k < COUNT(points); k++)
        for (i = 0; i < COUNT(ops); i++) {
            fresh();
            begin(&ops[i], true);
            point = points[k].point;
            at_point = try_at_point;
            judge(points[k].name, axvcpu_run(&self, &x) == AXVCPU_OK && axvcpu_get_state(&self) == AXVCPU_STATE_READY);
        }
    at_point = NULL;
}

// ---- with_state makes nothing current, so its function may use the vCPU

static int bind_in_callback(struct axvcpu *v, void *arg)
{
    *(bool *)arg = axvcpu_current() == NULL;
    return axvcpu_bind(v);
}

static void test_with_state_is_no_nesting(void)
{
    bool none = false;

    fresh();
    ok_int(axvcpu_with_state(&bystander, AXVCPU_STATE_FREE, AXVCPU_STATE_FREE, bind_in_callback, &none), AXVCPU_OK,
           "with_state: its function may bind");
    ok(none, "with_state: nothing is current in it");
    ok_int(axvcpu_get_state(&bystander), AXVCPU_STATE_READY, "with_state: a state that its function has set stays");
}

// ---- trap 1: the state can be asked for at any time; in an operation it is still the old one

// What is no vCPU, but begins with the address of the current one as an owner word would.
static int bind_foreign_in_callback(struct axvcpu *v, void *arg)
{
    struct axvcpu *foreign = arg;

    foreign->owner = v;
    return axvcpu_bind(foreign);
}

static void test_foreign_memory_stays(void)
{
    static struct axvcpu foreign, before;

    fresh();
    memset(&foreign, 0x5a, sizeof foreign);
    before = foreign;
    before.owner = &self;
    ok(axvcpu_with_current(&self, bind_foreign_in_callback, &foreign) != AXVCPU_OK &&
           memcmp(&foreign, &before, sizeof foreign) == 0,
       "memory that is no vCPU is as it was after a nested bind");
}

static enum axvcpu_state seen;

static int see_in_callback(struct axvcpu *v, void *arg)
{
    (void)arg;
    seen = axvcpu_get_state(v);
    return AXVCPU_OK;
}

static void see_in_leaf(struct axvcpu *v, enum mock_leaf leaf)
{
    if (leaf == wanted)
        seen = axvcpu_get_state(v);
}

static void test_state_inside(void)
{
    static const struct {
        enum mock_leaf leaf;
        int (*prepare)(void), (*outer)(struct axvcpu *);
        enum axvcpu_state want;
    } rows[] = {
        { MOCK_set_entry, as_created, do_setup, AXVCPU_STATE_CREATED },
        { MOCK_setup, as_created, do_setup, AXVCPU_STATE_CREATED },
        { MOCK_bind, as_free, do_bind, AXVCPU_STATE_FREE },
        { MOCK_unbind, NULL, do_unbind, AXVCPU_STATE_READY },
        { MOCK_run, NULL, do_run, AXVCPU_STATE_RUNNING },
        { MOCK_commit, as_written, do_run, AXVCPU_STATE_RUNNING },
        { MOCK_commit, as_written, do_settle, AXVCPU_STATE_READY },
        { MOCK_reset, NULL, do_reset, AXVCPU_STATE_READY },
        { MOCK_restart, NULL, do_restart, AXVCPU_STATE_READY },
        { MOCK_put, NULL, do_put, AXVCPU_STATE_READY },
    };
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        fresh();
        must(rows[i].prepare == NULL || rows[i].prepare() == 0);
        seen = AXVCPU_STATE_INVALID;
        wanted = rows[i].leaf;
        mock.inside = see_in_leaf;
        must(rows[i].outer(&self) == AXVCPU_OK);
        ok_int(seen, rows[i].want, "trap 1: in leaf_%s the state is %s", mock_name(rows[i].leaf),
               axvcpu_state_name(rows[i].want));
    }
    fresh();
    must(axvcpu_with_current(&self, see_in_callback, NULL) == AXVCPU_OK);
    ok_int(seen, AXVCPU_STATE_READY, "trap 1: in with_current the state is what it was");
    must(axvcpu_with_state(&bystander, AXVCPU_STATE_FREE, AXVCPU_STATE_CREATED, see_in_callback, NULL) == AXVCPU_OK);
    ok_int(seen, AXVCPU_STATE_FREE, "trap 1: in with_state the state is still `from`");
    must(axvcpu_manipulate(&bystander, AXVCPU_STATE_CREATED, AXVCPU_STATE_FREE, see_in_callback, NULL) == AXVCPU_OK);
    ok_int(seen, AXVCPU_STATE_CREATED, "trap 1: in manipulate the state is still `from`");
}

// ---- transition(RUNNING, BLOCKED) inside a backend

static int inner_result;

static void block_in_leaf(struct axvcpu *v, enum mock_leaf leaf)
{
    if (leaf == wanted)
        inner_result = axvcpu_transition(v, AXVCPU_STATE_RUNNING, AXVCPU_STATE_BLOCKED);
}

static void block_twice_in_leaf(struct axvcpu *v, enum mock_leaf leaf)
{
    block_in_leaf(v, leaf);
    block_in_leaf(v, leaf);
}

static void block_at_point(struct axvcpu *v, int at)
{
    if (at == point)
        inner_result = axvcpu_transition(v, AXVCPU_STATE_RUNNING, AXVCPU_STATE_BLOCKED);
}

static void check_blocked_by_backend(const char *where)
{
    ok(axvcpu_run(&self, &x) == AXVCPU_OK && inner_result == AXVCPU_OK, "run whose guest blocks in %s: OK", where);
    mock.inside = NULL;
    at_point = NULL;
    ok(axvcpu_get_state(&self) == AXVCPU_STATE_BLOCKED && self.owner == AXVCPU_CPU_TOKEN() && axvcpu_current() == NULL,
       "run leaves the Blocked state alone (%s)", where);
    ok(axvcpu_unblock(&self) == AXVCPU_OK && axvcpu_run(&self, &x) == AXVCPU_OK &&
           axvcpu_get_state(&self) == AXVCPU_STATE_READY,
       "unblocked, it runs again (%s)", where);
}

static void test_blocked_in_run(void)
{
    fresh();
    wanted = MOCK_run;
    mock.inside = block_in_leaf;
    check_blocked_by_backend("leaf_run");
    fresh();
    must(as_interrupted() == 0);
    wanted = MOCK_inject;
    mock.inside = block_in_leaf;
    check_blocked_by_backend("leaf_inject");
    fresh();
    point = AXVCPU_TRACE_RUN_LEFT;
    at_point = block_at_point;
    check_blocked_by_backend("RUN_LEFT");
}

// An unanswered access survives the block of the backend that reported it.
static void test_blocked_with_an_access(void)
{
    fresh();
    mock.exits = &read_exit;
    mock.exit_count = 1;
    wanted = MOCK_run;
    mock.inside = block_in_leaf;
    must(axvcpu_run(&self, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_MMIO_READ);
    mock.inside = NULL;
    ok_int(axvcpu_get_state(&self), AXVCPU_STATE_BLOCKED, "blocked in run, with a read to answer");
    must(axvcpu_unblock(&self) == AXVCPU_OK);
    ok_int(axvcpu_run(&self, &x), AXVCPU_EPENDING, "which is still to be answered");
    ok_int(axvcpu_complete(&self, 0x42), AXVCPU_OK, "and can be");
}

// Outside run it is as nested as any combinator.
static void test_blocked_outside_run(void)
{
    static const struct leaf *const outside[] = { &leaves[4],  &leaves[5],  &leaves[7],
                                                  &leaves[11], &leaves[13], &leaves[16] };
    size_t i;

    for (i = 0; i < COUNT(outside); i++) {
        enum axvcpu_state then;
        void *owner;

        fresh();
        must(outside[i]->prepare == NULL || outside[i]->prepare() == 0);
        must(outside[i]->outer(&self) == AXVCPU_OK);
        then = axvcpu_get_state(&self);
        owner = self.owner;
        fresh();
        must(outside[i]->prepare == NULL || outside[i]->prepare() == 0);
        wanted = outside[i]->leaf;
        mock.inside = block_in_leaf;
        ok(outside[i]->outer(&self) == AXVCPU_OK && inner_result == AXVCPU_ENESTED && axvcpu_get_state(&self) == then &&
               self.owner == owner,
           "transition(RUNNING, BLOCKED) inside %s: ENESTED, nothing changed", outside[i]->name);
    }
}

static int block_in_callback(struct axvcpu *v, void *arg)
{
    (void)arg;
    inner_result = axvcpu_transition(v, AXVCPU_STATE_RUNNING, AXVCPU_STATE_BLOCKED);
    return AXVCPU_OK;
}

static void test_blocked_in_callback(void)
{
    fresh();
    must(axvcpu_with_current(&self, block_in_callback, NULL) == AXVCPU_OK);
    ok(inner_result == AXVCPU_ENESTED && axvcpu_get_state(&self) == AXVCPU_STATE_READY &&
           self.owner == AXVCPU_CPU_TOKEN(),
       "transition(RUNNING, BLOCKED) inside with_current in Ready: ENESTED, nothing changed");
}

// A backend that spoils its vCPU must not leave it owned.
static void spoil_in_leaf(struct axvcpu *v, enum mock_leaf leaf)
{
    if (leaf == wanted)
        inner_result = axvcpu_transition(v, AXVCPU_STATE_RUNNING, AXVCPU_STATE_INVALID);
}

static void check_not_owned_and_invalid(const char *what)
{
    int err = axvcpu_run(&self, &x);
    bool invalid = axvcpu_get_state(&self) == AXVCPU_STATE_INVALID;

    mock.inside = NULL;
    ok((!invalid || self.owner == NULL) && axvcpu_current() == NULL, "trap 42: %s: Invalid and owned is no way to be",
       what);
    ok_u64(mock.calls[MOCK_unbind], invalid ? 1 : 0, "trap 42: %s: it leaves the hardware if its owner loses it", what);
    ok((err == AXVCPU_OK) == !invalid && (err == AXVCPU_OK || x.kind == AXVCPU_EXIT_NOTHING),
       "trap 9: %s: run has an exit, or an error and NOTHING", what);
}

static void test_spoilt_in_run(void)
{
    wanted = MOCK_run;
    fresh();
    mock.inside = block_twice_in_leaf;
    check_not_owned_and_invalid("a backend that blocks twice");
    fresh();
    mock.inside = spoil_in_leaf;
    check_not_owned_and_invalid("a backend that makes its vCPU Invalid");
}

// ---- the last reference goes inside an operation

static struct axvcpu *released, *current_at_release;

static void on_release(struct axvcpu *v)
{
    released = v;
    current_at_release = axvcpu_current();
}

static int unref_in_callback(struct axvcpu *v, void *arg)
{
    (void)v;
    return axvcpu_unref(arg);
}

static void test_last_reference(void)
{
    static const struct axvcpu zero;

    fresh();
    must(axvcpu_unref(&bystander) == AXVCPU_OK && axvcpu_unref(&self) == AXVCPU_OK);
    bystander.release = on_release;
    ok_int(axvcpu_with_current(&self, unref_in_callback, &bystander), AXVCPU_OK,
           "the last unref of another vCPU, inside with_current");
    ok(released == &bystander && memcmp(&bystander, &zero, sizeof(zero)) == 0, "it is gone and released");
    ok(current_at_release == &self, "the current vCPU is still the other one");
    must(axvcpu_unbind(&self) == AXVCPU_OK);
    released = NULL;
    self.release = on_release;
    ok_int(axvcpu_with_current(&self, unref_in_callback, &self), AXVCPU_EBUSY,
           "the last unref of the current vCPU itself: EBUSY");
    ok(released == NULL && axvcpu_get_state(&self) == AXVCPU_STATE_FREE, "and it is still there");
    ok_int(axvcpu_unref(&self), AXVCPU_OK, "outside it goes");
}

// ---- an answer given inside counts

static int complete_in_callback(struct axvcpu *v, void *arg)
{
    (void)arg;
    return axvcpu_complete(v, 0x42);
}

static int registers_in_callback(struct axvcpu *v, void *arg)
{
    (void)arg;
    return axvcpu_set_gpr(v, 2, 22) != 0 || axvcpu_get_gpr(v, 2, &value) != 0 || value != 22;
}

static void test_answer_inside(void)
{
    fresh();
    perform(&read_exit);
    ok_int(axvcpu_with_current(&self, complete_in_callback, NULL), AXVCPU_OK, "complete of the current vCPU");
    ok(axvcpu_settle(&self, &x) == AXVCPU_OK && gpr_of(&self, 5) == 0x42, "its answer counts");
    ok_int(axvcpu_with_current(&self, registers_in_callback, NULL), AXVCPU_OK, "registers of the current vCPU");
}

// ---- trap 3: after a failure nothing is current, and the next operation is not nested

static int fail_in_callback(struct axvcpu *v, void *arg)
{
    (void)v, (void)arg;
    return AXVCPU_EFAULT;
}

OP(failing_with_current, axvcpu_with_current(v, fail_in_callback, NULL))
OP(failing_with_state, axvcpu_with_state(v, AXVCPU_STATE_READY, AXVCPU_STATE_READY, fail_in_callback, NULL))
OP(failing_manipulate, axvcpu_manipulate(v, AXVCPU_STATE_READY, AXVCPU_STATE_READY, fail_in_callback, NULL))

static const struct failure {
    const char *name;
    int (*prepare)(void);
    int (*fn)(struct axvcpu *);
    bool backend; // fails, else the operation is wrong
    int want;
} failures[] = {
    { "a failed init", as_free, do_init, true, AXVCPU_EIO },
    { "a failed setup", as_created, do_setup, true, AXVCPU_EIO },
    { "a failed bind", as_free, do_bind, true, AXVCPU_EIO },
    { "a failed run", NULL, do_run, true, AXVCPU_EIO },
    { "a failed commit in run", as_written, do_run, true, AXVCPU_EIO },
    { "a failed injection in run", as_interrupted, do_run, true, AXVCPU_EIO },
    { "a failed unbind", NULL, do_unbind, true, AXVCPU_EIO },
    { "a failed settle", as_written, do_settle, true, AXVCPU_EIO },
    { "a failed refuse", as_written, do_refuse, true, AXVCPU_EIO },
    { "a failed retry", as_written, do_retry, true, AXVCPU_EIO },
    { "a failed put", NULL, do_put, true, AXVCPU_EIO },
    { "a failed load", as_put, do_load, true, AXVCPU_EIO },
    { "a failed get_gpr", NULL, do_get_gpr, true, AXVCPU_EIO },
    { "a failed set_gpr", NULL, do_set_gpr, true, AXVCPU_EIO },
    { "a failed set_entry", NULL, do_set_entry, true, AXVCPU_EIO },
    { "a failed inject_exception", NULL, do_inject_exception, true, AXVCPU_EIO },
    { "a failed restart", NULL, do_restart, true, AXVCPU_EIO },
    { "a failed function of with_current", NULL, do_failing_with_current, false, AXVCPU_EFAULT },
    { "a failed function of with_state", NULL, do_failing_with_state, false, AXVCPU_EFAULT },
    { "a failed function of manipulate", NULL, do_failing_manipulate, false, AXVCPU_EFAULT },
    { "setup in a wrong state", NULL, do_setup, false, AXVCPU_EBADSTATE },
    { "bind in a wrong state", NULL, do_bind, false, AXVCPU_EBADSTATE },
    { "run in a wrong state", as_free, do_run, false, AXVCPU_EBADSTATE },
    { "unbind in a wrong state", as_free, do_unbind, false, AXVCPU_EBADSTATE },
    { "transition in a wrong state", NULL, do_transition, false, AXVCPU_EBADSTATE },
    { "manipulate in a wrong state", NULL, do_manipulate, false, AXVCPU_EBADSTATE },
    { "complete without an exit", NULL, do_complete, false, AXVCPU_EBADSTATE },
    { "load of a loaded one", NULL, do_load, false, AXVCPU_EBADSTATE },
};

static void test_current_after_failure(void)
{
    size_t i;

    for (i = 0; i < COUNT(failures); i++) {
        const struct failure *f = &failures[i];
        int err;

        fresh();
        must(f->prepare == NULL || f->prepare() == 0);
        mock.fail_at = f->backend ? mock.total + 1 : 0;
        mock.fail_with = AXVCPU_EIO;
        err = f->fn(&self);
        ok(err == f->want && axvcpu_current() == NULL && do_bind(&bystander) == AXVCPU_OK &&
               do_run(&bystander) == AXVCPU_OK,
           "trap 3: after %s nothing is current, and this CPU goes on", f->name);
    }
}

int main(void)
{
    tap_begin(60);
    test_callbacks();
    test_leaves();
    test_create();
    test_points();
    test_with_state_is_no_nesting();
    test_foreign_memory_stays();
    test_state_inside();
    test_blocked_in_run();
    test_blocked_with_an_access();
    test_blocked_outside_run();
    test_blocked_in_callback();
    test_spoilt_in_run();
    test_last_reference();
    test_answer_inside();
    test_current_after_failure();
    return tap_done();
}
