// SPDX-License-Identifier: Apache-2.0
//
// Every state x every operation x {unowned, mine, another CPU's} x {the backend succeeds, fails}: result,
// next state, owner afterwards, backend calls. The expected values are DESIGN's section 3.
//
// An operation in AXVCPU_OPS without its rows and calls, and a row that has not one cell for each of
// AXVCPU_STATES, do not compile.
#include "core.h"

// ---- the table

enum { STAYS = -1, NOBODY, ME, OTHER, OWNERS };
enum { GONE = -2 }; // the object is all zero

struct cell {
    int result, next, owner;
};

// OK, and whose it is then; 0 is NOBODY
#define TO(state, owner) { AXVCPU_OK, AXVCPU_STATE_##state, owner }
#define SAME(err) { AXVCPU_##err, STAYS, STAYS }
#define fine SAME(OK)
#define wrong SAME(EBADSTATE)
#define busy SAME(EBUSY)
#define POISON { AXVCPU_EBADSTATE, AXVCPU_STATE_INVALID, NOBODY } /* a wrong state: Invalid, and nobody's */
#define DEAD { AXVCPU_OK, GONE, NOBODY }

#define ROW(op, who, ...)                                                                          \
    static const struct cell row_##op##_##who[] = { __VA_ARGS__ };                                 \
    _Static_assert(COUNT(row_##op##_##who) == AXVCPU_STATE_COUNT, #op ": one cell for every state")
#define ROW_ALL(op, who, cell) ROW(op, who, cell, cell, cell, cell, cell, cell)

// clang-format off
//                       Invalid         Created         Free            Ready            Running  Blocked
ROW_ALL(INIT,    NOBODY, TO(CREATED, 0));
ROW_ALL(INIT,    ME,     TO(CREATED, 0));
ROW_ALL(INIT,    OTHER,  TO(CREATED, 0));
ROW(DEINIT,     NOBODY,  DEAD,           DEAD,           DEAD,           DEAD,            wrong,   DEAD);
ROW_ALL(DEINIT, ME,      busy);
ROW_ALL(DEINIT, OTHER,   busy);
ROW(SETUP,      NOBODY,  POISON,         TO(FREE, 0),    POISON,         POISON,          POISON,  POISON);
ROW(SETUP,      ME,      POISON,         TO(FREE, ME),   POISON,         POISON,          POISON,  POISON);
ROW_ALL(SETUP,  OTHER,   busy);
ROW(BIND,       NOBODY,  POISON,         POISON,         TO(READY, ME),  POISON,          POISON,  POISON);
ROW(BIND,       ME,      POISON,         POISON,         TO(READY, ME),  POISON,          POISON,  POISON);
ROW_ALL(BIND,   OTHER,   busy);
ROW(RUN,        NOBODY,  POISON,         POISON,         POISON,         wrong,           POISON,  POISON);
ROW(RUN,        ME,      POISON,         POISON,         POISON,         fine,            POISON,  POISON);
ROW_ALL(RUN,    OTHER,   busy);
ROW(UNBIND,     NOBODY,  POISON,         POISON,         POISON,         wrong,           POISON,  POISON);
ROW(UNBIND,     ME,      POISON,         POISON,         POISON,         TO(FREE, 0),     POISON,  POISON);
ROW_ALL(UNBIND, OTHER,   busy);
ROW_ALL(BLOCK,  NOBODY,  wrong);
ROW(BLOCK,      ME,      wrong,          wrong,          wrong,          TO(BLOCKED, ME), wrong,   wrong);
ROW_ALL(BLOCK,  OTHER,   busy);
ROW(SETTLE,     NOBODY,  wrong,          wrong,          fine,           fine,            wrong,   fine);
ROW(SETTLE,     ME,      wrong,          wrong,          fine,           fine,            wrong,   fine);
ROW_ALL(SETTLE, OTHER,   busy);
ROW(RESET,      NOBODY,  TO(CREATED, 0), TO(CREATED, 0), TO(CREATED, 0), TO(CREATED, 0),  wrong,   TO(CREATED, 0));
ROW(RESET,      ME,      TO(CREATED, 0), TO(CREATED, 0), TO(CREATED, 0), TO(CREATED, 0),  wrong,   TO(CREATED, 0));
ROW_ALL(RESET,  OTHER,   busy);
ROW(RESTART,    NOBODY,  wrong,          wrong,          fine,           fine,            wrong,   wrong);
ROW(RESTART,    ME,      wrong,          wrong,          fine,           fine,            wrong,   wrong);
ROW_ALL(RESTART, OTHER,  busy);
ROW_ALL(PUT,    NOBODY,  wrong);
ROW(PUT,        ME,      wrong,          wrong,          wrong,          fine,            wrong,   fine);
ROW_ALL(PUT,    OTHER,   busy);
ROW_ALL(LOAD,   NOBODY,  wrong);
ROW(LOAD,       ME,      wrong,          wrong,          wrong,          fine,            wrong,   fine);
ROW_ALL(LOAD,   OTHER,   busy);
ROW_ALL(ABANDON, NOBODY, wrong);
ROW_ALL(ABANDON, ME,     TO(INVALID, 0));
ROW_ALL(ABANDON, OTHER,  TO(INVALID, 0));
ROW(COMPLETE,   NOBODY,  wrong,          wrong,          fine,           fine,            wrong,   fine);
ROW(COMPLETE,   ME,      wrong,          wrong,          fine,           fine,            wrong,   fine);
ROW_ALL(COMPLETE, OTHER, busy);
ROW(REFUSE,     NOBODY,  wrong,          wrong,          fine,           fine,            wrong,   fine);
ROW(REFUSE,     ME,      wrong,          wrong,          fine,           fine,            wrong,   fine);
ROW_ALL(REFUSE, OTHER,   busy);
ROW(RETRY,      NOBODY,  wrong,          wrong,          fine,           fine,            wrong,   fine);
ROW(RETRY,      ME,      wrong,          wrong,          fine,           fine,            wrong,   fine);
ROW_ALL(RETRY,  OTHER,   busy);
ROW(GET,        NOBODY,  fine,           fine,           fine,           fine,            wrong,   fine);
ROW(GET,        ME,      fine,           fine,           fine,           fine,            wrong,   fine);
ROW_ALL(GET,    OTHER,   busy);
ROW(SET,        NOBODY,  wrong,          fine,           fine,           fine,            wrong,   fine);
ROW(SET,        ME,      wrong,          fine,           fine,           fine,            wrong,   fine);
ROW_ALL(SET,    OTHER,   busy);
ROW(EXCEPTION,  NOBODY,  wrong,          fine,           fine,           fine,            wrong,   fine);
ROW(EXCEPTION,  ME,      wrong,          fine,           fine,           fine,            wrong,   fine);
ROW_ALL(EXCEPTION, OTHER, busy);
ROW(TRANSITION, NOBODY,  POISON,         POISON,         TO(READY, 0),   POISON,          POISON,  POISON);
ROW(TRANSITION, ME,      POISON,         POISON,         TO(READY, ME),  POISON,          POISON,  POISON);
ROW_ALL(TRANSITION, OTHER, busy);
ROW(WITH_STATE, NOBODY,  POISON,         POISON,         TO(READY, 0),   POISON,          POISON,  POISON);
ROW(WITH_STATE, ME,      POISON,         POISON,         TO(READY, ME),  POISON,          POISON,  POISON);
ROW_ALL(WITH_STATE, OTHER, busy);
ROW_ALL(WITH_CURRENT, NOBODY, fine);
ROW_ALL(WITH_CURRENT, ME, fine);
ROW_ALL(WITH_CURRENT, OTHER, busy);
ROW(MANIPULATE, NOBODY,  POISON,         POISON,         TO(READY, 0),   POISON,          POISON,  POISON);
ROW(MANIPULATE, ME,      POISON,         POISON,         TO(READY, ME),  POISON,          POISON,  POISON);
ROW_ALL(MANIPULATE, OTHER, busy);

// From any CPU, whoever owns the vCPU; all of these wake it.
#define ROW_ANYBODY(op)                                                       \
    ROW(op, NOBODY, fine, fine, fine, fine, fine, TO(READY, NOBODY));         \
    ROW(op, ME, fine, fine, fine, fine, fine, TO(READY, ME));                 \
    ROW(op, OTHER, fine, fine, fine, fine, fine, TO(READY, OTHER))
ROW_ANYBODY(UNBLOCK);
ROW_ANYBODY(KICK);
ROW_ANYBODY(INJECT);
ROW_ANYBODY(SET_IRQ);
ROW_ANYBODY(NMI);
ROW_ALL(HW,     NOBODY,  SAME(ENOSUPPORT)); // the fake backend has no list registers
ROW_ALL(HW,     ME,      SAME(ENOSUPPORT));
ROW_ALL(HW,     OTHER,   SAME(ENOSUPPORT));
ROW_ALL(REF,    NOBODY,  fine);
ROW_ALL(REF,    ME,      fine);
ROW_ALL(REF,    OTHER,   fine);
ROW(UNREF,      NOBODY,  DEAD,           DEAD,           DEAD,           DEAD,            wrong,   DEAD); // the last
ROW_ALL(UNREF,  ME,      busy);
ROW_ALL(UNREF,  OTHER,   busy);
// clang-format on

// ---- how each operation is called, and what it asks of the backend when it succeeds

#define LEAF(op) (1u << AXVCPU_FAKE_##op)
#define FN (1u << AXVCPU_FAKE_OP_COUNT) // a combinator's own function

enum access { NO_ACCESS, READ, WRITE, CPUID }; // what the guest has done before
enum failure { POISONS, UNCHANGED, ZEROES };   // what an error of the backend does

struct call {
    const char *name;
    int (*fn)(struct axvcpu *);
    enum access access;
    uint32_t leaves, leaves_owned; // unowned; owned
    enum failure failure;
    uint32_t ignored; // leaves whose error does not matter
    bool away;        // it starts put
};

static int create_error, fn_error;
static unsigned fn_calls;

static int combined(struct axvcpu *v, void *arg)
{
    (void)v, (void)arg;
    fn_calls++;
    return fn_error;
}

#define CALL(name, expression)           \
    static int name(struct axvcpu *v)    \
    {                                    \
        struct axvcpu_exit x = { 0 };    \
        uint64_t out = 0;                \
        (void)x, (void)out;              \
        return expression;               \
    }
static int do_init(struct axvcpu *v)
{
    const struct axvcpu_desc desc = { .vm_id = 1, .vcpu_id = 7, .arch = { create_error } };

    return axvcpu_init(v, &desc);
}
static const uint32_t four[4] = { 1, 2, 3, 4 };
CALL(do_deinit, axvcpu_deinit(v))
CALL(do_setup, axvcpu_setup(v, axvcpu_gpa(ENTRY), axvcpu_hpa(ROOT), NULL))
CALL(do_bind, axvcpu_bind(v))
CALL(do_run, axvcpu_run(v, &x))
CALL(do_unbind, axvcpu_unbind(v))
CALL(do_block, axvcpu_block(v))
CALL(do_settle, axvcpu_settle(v, &x))
CALL(do_reset, axvcpu_reset(v))
CALL(do_restart, axvcpu_restart(v, axvcpu_gpa(ENTRY), 5))
CALL(do_put, axvcpu_put(v))
CALL(do_load, axvcpu_load(v))
CALL(do_abandon, axvcpu_abandon(v))
CALL(do_complete, axvcpu_complete(v, 1))
CALL(do_complete_cpuid, axvcpu_complete_cpuid(v, four))
CALL(do_refuse, axvcpu_refuse(v))
CALL(do_retry, axvcpu_retry(v))
CALL(do_get_gpr, axvcpu_get_gpr(v, 3, &out))
CALL(do_get_reg, axvcpu_get_reg(v, AXVCPU_REG_PC, &out))
CALL(do_set_gpr, axvcpu_set_gpr(v, 3, 1))
CALL(do_set_reg, axvcpu_set_reg(v, AXVCPU_REG_SP, 1))
CALL(do_set_entry, axvcpu_set_entry(v, axvcpu_gpa(ENTRY)))
CALL(do_set_root, axvcpu_set_root(v, axvcpu_hpa(ROOT)))
CALL(do_set_return, axvcpu_set_return_value(v, 1))
CALL(do_exception, axvcpu_inject_exception(v, 13, 0, 0))
CALL(do_transition, axvcpu_transition(v, AXVCPU_STATE_FREE, AXVCPU_STATE_READY))
CALL(do_with_state, axvcpu_with_state(v, AXVCPU_STATE_FREE, AXVCPU_STATE_READY, combined, NULL))
CALL(do_with_current, axvcpu_with_current(v, combined, NULL))
CALL(do_manipulate, axvcpu_manipulate(v, AXVCPU_STATE_FREE, AXVCPU_STATE_READY, combined, NULL))
CALL(do_unblock, axvcpu_unblock(v))
CALL(do_kick, axvcpu_kick(v))
CALL(do_inject, axvcpu_inject_interrupt(v, 33))
CALL(do_set_irq, axvcpu_set_irq(v, 33, true))
CALL(do_nmi, axvcpu_inject_nmi(v))
CALL(do_hw, axvcpu_inject_hw(v, 33, 40))
CALL(do_ref, axvcpu_ref(v) == v ? AXVCPU_OK : AXVCPU_EINVAL)
CALL(do_unref, axvcpu_unref(v))

#define CALLS(op, ...) static const struct call calls_##op[] = { __VA_ARGS__ }
#define PLAIN(op, fn) CALLS(op, { #fn + 3, fn, NO_ACCESS, 0, 0, UNCHANGED, 0, false })
#define LEAVES(mask) mask, mask

// clang-format off
CALLS(INIT,     { "init", do_init, NO_ACCESS, LEAVES(LEAF(CREATE)), ZEROES, 0, false });
CALLS(SETUP,    { "setup", do_setup, NO_ACCESS, LEAVES(LEAF(SET_ENTRY) | LEAF(SET_ROOT) | LEAF(SETUP)),
                  POISONS, 0, false });
CALLS(BIND,     { "bind", do_bind, NO_ACCESS, LEAVES(LEAF(BIND)), POISONS, 0, false },
                { "bind with a write", do_bind, WRITE, LEAVES(LEAF(BIND)), POISONS, 0, false });
CALLS(RUN,      { "run", do_run, NO_ACCESS, LEAVES(LEAF(RUN)), POISONS, 0, false },
                { "run of a write", do_run, WRITE, LEAVES(LEAF(COMMIT) | LEAF(RUN)), POISONS, 0, false });
CALLS(UNBIND,   { "unbind", do_unbind, NO_ACCESS, LEAVES(LEAF(UNBIND)), POISONS, 0, false },
                { "unbind with a write", do_unbind, WRITE, LEAVES(LEAF(UNBIND)), POISONS, 0, false });
CALLS(SETTLE,   { "settle", do_settle, WRITE, LEAVES(LEAF(COMMIT)), UNCHANGED, 0, false },
                { "settle of nothing", do_settle, NO_ACCESS, 0, 0, UNCHANGED, 0, false });
CALLS(RESET,    { "reset", do_reset, NO_ACCESS, LEAF(CREATE), LEAF(CREATE) | LEAF(UNBIND), POISONS, LEAF(UNBIND),
                  false });
CALLS(RESTART,  { "restart", do_restart, NO_ACCESS, LEAVES(LEAF(SET_ENTRY)), POISONS, 0, false });
CALLS(PUT,      { "put", do_put, NO_ACCESS, LEAVES(LEAF(PUT)), POISONS, 0, false });
CALLS(LOAD,     { "load", do_load, NO_ACCESS, LEAVES(LEAF(LOAD)), POISONS, 0, true });
CALLS(ABANDON,  { "abandon", do_abandon, NO_ACCESS, LEAVES(LEAF(UNBIND)), POISONS, LEAF(UNBIND), false });
CALLS(COMPLETE, { "complete", do_complete, READ, 0, 0, UNCHANGED, 0, false },
                { "complete_cpuid", do_complete_cpuid, CPUID, 0, 0, UNCHANGED, 0, false });
CALLS(REFUSE,   { "refuse of a read", do_refuse, READ, LEAVES(LEAF(REFUSE)), UNCHANGED, 0, false },
                { "refuse of a write", do_refuse, WRITE, LEAVES(LEAF(REFUSE)), UNCHANGED, 0, false });
CALLS(RETRY,    { "retry of a read", do_retry, READ, LEAVES(LEAF(RETRY)), UNCHANGED, 0, false },
                { "retry of a write", do_retry, WRITE, LEAVES(LEAF(RETRY)), UNCHANGED, 0, false });
CALLS(GET,      { "get_gpr", do_get_gpr, NO_ACCESS, LEAVES(LEAF(GET_REG)), UNCHANGED, 0, false },
                { "get_reg", do_get_reg, NO_ACCESS, LEAVES(LEAF(GET_REG)), UNCHANGED, 0, false });
CALLS(SET,      { "set_gpr", do_set_gpr, NO_ACCESS, LEAVES(LEAF(SET_REG)), UNCHANGED, 0, false },
                { "set_reg", do_set_reg, NO_ACCESS, LEAVES(LEAF(SET_REG)), UNCHANGED, 0, false },
                { "set_entry", do_set_entry, NO_ACCESS, LEAVES(LEAF(SET_ENTRY)), UNCHANGED, 0, false },
                { "set_root", do_set_root, NO_ACCESS, LEAVES(LEAF(SET_ROOT)), UNCHANGED, 0, false },
                { "set_return_value", do_set_return, NO_ACCESS, LEAVES(LEAF(SET_REG)), UNCHANGED, 0, false });
CALLS(EXCEPTION, { "inject_exception", do_exception, NO_ACCESS, LEAVES(LEAF(EXCEPTION)), UNCHANGED, 0, false });
CALLS(WITH_STATE, { "with_state", do_with_state, NO_ACCESS, LEAVES(FN), POISONS, 0, false });
CALLS(WITH_CURRENT, { "with_current", do_with_current, NO_ACCESS, LEAVES(FN), UNCHANGED, 0, false });
CALLS(MANIPULATE, { "manipulate", do_manipulate, NO_ACCESS, LEAVES(FN), POISONS, 0, false });
// clang-format on
PLAIN(DEINIT, do_deinit);
PLAIN(BLOCK, do_block);
PLAIN(TRANSITION, do_transition);
PLAIN(UNBLOCK, do_unblock);
PLAIN(KICK, do_kick);
PLAIN(INJECT, do_inject);
PLAIN(SET_IRQ, do_set_irq);
PLAIN(NMI, do_nmi);
PLAIN(HW, do_hw);
PLAIN(REF, do_ref);
PLAIN(UNREF, do_unref);

struct operation {
    const char *text;
    const struct cell *rows[OWNERS];
    const struct call *calls;
    size_t count;
};
#define OPERATION(op, text) \
    { text, { row_##op##_NOBODY, row_##op##_ME, row_##op##_OTHER }, calls_##op, COUNT(calls_##op) },
static const struct operation operations[] = { AXVCPU_OPS(OPERATION) };
_Static_assert(COUNT(operations) == AXVCPU_OP_COUNT, "every operation");

// ---- one cell

static struct axvcpu vcpu;
static struct cpu other;

static const struct axvcpu_fake_step accesses[] = {
    [READ] = { 0, { .kind = AXVCPU_EXIT_MMIO_READ, .mmio = { 0x1000, 0, 4, 5, 8, false } } },
    [WRITE] = { 0, { .kind = AXVCPU_EXIT_MMIO_WRITE, .mmio = { 0x1000, 7, 4, 5, 8, false } } },
    [CPUID] = { 0, { .kind = AXVCPU_EXIT_CPUID, .cpuid = { 1, 0, 0, 0, 0, 0 } } },
};
static const char *const owner_names[] = { "unowned", "mine", "another's" };
#define FAKE_NAME(op) #op,
static const char *const leaf_names[] = { AXVCPU_FAKE_OPS(FAKE_NAME) "the function" };

struct given {
    const struct operation *op;
    const struct call *call;
    enum axvcpu_state state;
    int owner;
    uint32_t failing; // one leaf, or 0
};

static int make(void *arg)
{
    const struct given *g = arg;
    bool bound_state = g->state == AXVCPU_STATE_READY || g->state == AXVCPU_STATE_BLOCKED;

    reach(&vcpu, g->state, g->owner != NOBODY, g->call->access != NO_ACCESS ? &accesses[g->call->access] : NULL);
    if (g->call->away && g->owner != NOBODY && bound_state)
        must(axvcpu_put(&vcpu) == AXVCPU_OK);
    return 0;
}

static void fail_at(uint32_t leaf)
{
    uint32_t i;

    create_error = leaf == LEAF(CREATE) ? AXVCPU_EIO : 0;
    fn_error = leaf == FN ? AXVCPU_EIO : 0;
    for (i = 0; i < AXVCPU_FAKE_OP_COUNT; i++)
        if (leaf == 1u << i)
            must(axvcpu_fake_fail(&vcpu, (enum axvcpu_fake_op)i, 1, AXVCPU_EIO) == AXVCPU_OK);
}

static const struct cell *expected_without_failure(const struct given *g)
{
    return &g->op->rows[g->owner][g->state];
}

static struct cell expected_cell(const struct given *g)
{
    static const struct cell results[] = {
        [POISONS] = { AXVCPU_EIO, AXVCPU_STATE_INVALID, NOBODY },
        [UNCHANGED] = { AXVCPU_EIO, STAYS, STAYS },
        [ZEROES] = { AXVCPU_EIO, GONE, NOBODY },
    };
    struct cell c = *expected_without_failure(g);

    if (g->failing != 0 && (g->failing & g->call->ignored) == 0)
        c = results[g->call->failure];
    c.next = c.next == STAYS ? (int)g->state : c.next;
    c.owner = c.owner == STAYS ? g->owner : c.owner;
    return c;
}

// The order in which an operation asks its leaves.
static int rank(uint32_t leaf)
{
    return leaf == LEAF(UNBIND) ? -2 : leaf == LEAF(COMMIT) ? -1 : __builtin_ctz(leaf);
}

// How often a leaf is called: up to the one that fails; and one unbind when its owner loses it by an error.
static unsigned expected_calls(const struct given *g, const struct cell *c, uint32_t leaf)
{
    uint32_t leaves = g->owner == NOBODY ? g->call->leaves : g->call->leaves_owned;
    bool succeeds = expected_without_failure(g)->result == AXVCPU_OK;
    bool lost = g->owner == ME && c->owner == NOBODY && c->result != AXVCPU_OK;

    if (leaf == LEAF(UNBIND) && lost)
        return g->op - operations == AXVCPU_OP_BIND && succeeds ? 0 : 1;
    if (!succeeds || (leaves & leaf) == 0)
        return 0;
    return g->failing == 0 || (g->failing & g->call->ignored) != 0 || rank(leaf) <= rank(g->failing);
}

struct outcome {
    int result, next, owner;
    unsigned lines;
    uint64_t calls[AXVCPU_FAKE_OP_COUNT + 1];
    bool current, same;
};

static struct outcome observe(const struct given *g)
{
    struct outcome o = { 0 };
    struct axvcpu before = vcpu;
    uint32_t i;

    for (i = 0; i < AXVCPU_FAKE_OP_COUNT; i++)
        o.calls[i] = axvcpu_fake_calls(&vcpu, (enum axvcpu_fake_op)i);
    fn_calls = 0;
    forget_lines();
    o.result = g->call->fn(&vcpu);
    o.lines = caught.lines;
    o.next = vcpu.word == 0 ? GONE : (int)axvcpu_get_state(&vcpu);
    o.owner = vcpu.owner == NULL ? NOBODY : vcpu.owner == AXVCPU_CPU_TOKEN() ? ME : OTHER;
    o.current = axvcpu_current() != NULL;
    o.same = memcmp(&before, &vcpu, sizeof(vcpu)) == 0;
    for (i = 0; i < AXVCPU_FAKE_OP_COUNT; i++)
        o.calls[i] = axvcpu_fake_calls(&vcpu, (enum axvcpu_fake_op)i) - o.calls[i];
    o.calls[i] = fn_calls;
    return o;
}

static bool calls_match(const struct given *g, const struct cell *c, const struct outcome *o)
{
    uint32_t i;
    bool good = true;

    if (o->next == GONE || g->op - operations == AXVCPU_OP_INIT) // the counts went with the object
        return true;
    for (i = 0; i <= AXVCPU_FAKE_OP_COUNT; i++) {
        if (o->calls[i] == expected_calls(g, c, 1u << i))
            continue;
        note("  %s: %" PRIu64 " calls, expected %u", leaf_names[i], o->calls[i], expected_calls(g, c, 1u << i));
        good = false;
    }
    return good;
}

// A wrong state and a failed backend are each reported in one line; trap 2: with the state as it was.
static bool log_matches(const struct given *g, const struct cell *c, const struct outcome *o)
{
    char is[32];
    bool poisoned = c->result == AXVCPU_EBADSTATE && c->next == AXVCPU_STATE_INVALID;

    if (c->result == AXVCPU_OK)
        return o->lines == 0;
    if (c->result != AXVCPU_EBADSTATE && (g->failing == 0 || g->failing == FN || g->call->failure == UNCHANGED))
        return o->lines <= 1;
    snprintf(is, sizeof(is), ", is %s", axvcpu_state_name(g->state));
    return o->lines == 1 && strncmp(caught.last, g->op->text, strlen(g->op->text)) == 0 &&
           (!poisoned || g->state == AXVCPU_STATE_INVALID || strstr(caught.last, is) != NULL);
}

// What is refused before the backend is asked has not touched a byte.
static bool bytes_match(const struct given *g, const struct outcome *o)
{
    const struct cell *c = expected_without_failure(g);

    return c->result == AXVCPU_OK || c->next != STAYS || o->same;
}

static void check(const struct given *g)
{
    struct cell want = expected_cell(g);
    struct outcome got;
    bool good;

    if (g->owner == OTHER)
        must(cpu_call(&other, make, (void *)(uintptr_t)g) == 0);
    else
        (void)make((void *)(uintptr_t)g);
    fail_at(g->failing);
    got = observe(g);
    good =
        ok(got.result == want.result && got.next == want.next && got.owner == want.owner && !got.current &&
               calls_match(g, &want, &got) && log_matches(g, &want, &got) && bytes_match(g, &got),
           "%s in %s, %s%s%s: %s, then %s", g->call->name, axvcpu_state_name(g->state), owner_names[g->owner],
           g->failing != 0 ? ", backend fails at " : "", g->failing != 0 ? leaf_names[__builtin_ctz(g->failing)] : "",
           error_name(want.result), want.next == GONE ? "gone" : axvcpu_state_name((enum axvcpu_state)want.next));
    if (!good)
        note("  got %s, state %d, owner %d, current %d, same %d, %u lines (%s)", error_name(got.result), got.next,
             got.owner, got.current, got.same, got.lines, caught.last);
}

static void check_call(const struct operation *op, const struct call *call, enum axvcpu_state state, int owner)
{
    struct given g = { op, call, state, owner, 0 };
    uint32_t leaves = owner == NOBODY ? call->leaves : call->leaves_owned;

    check(&g);
    if (expected_without_failure(&g)->result != AXVCPU_OK)
        return;
    for (; leaves != 0; leaves &= leaves - 1) {
        g.failing = leaves & -leaves;
        if (owner == OTHER && g.failing != LEAF(UNBIND))
            continue; // nobody but its owner makes a vCPU's backend do anything, except abandon
        check(&g);
    }
}

// Without AXVCPU_CHECKED a combinator's caller vouches that nobody else uses the vCPU.
static bool vouched_for(size_t op, int owner)
{
#ifdef AXVCPU_CHECKED
    (void)op, (void)owner;
    return false;
#else
    return owner == OTHER && (op == AXVCPU_OP_TRANSITION || op == AXVCPU_OP_WITH_STATE ||
                              op == AXVCPU_OP_WITH_CURRENT || op == AXVCPU_OP_MANIPULATE);
#endif
}

static void test_operation(size_t op, int owner)
{
    enum axvcpu_state state;
    size_t c;

    for (c = 0; c < operations[op].count && !vouched_for(op, owner); c++)
        for (state = 0; state < AXVCPU_STATE_COUNT; state++)
            check_call(&operations[op], &operations[op].calls[c], state, owner);
}

static void test_operations(void)
{
    size_t op;
    int owner;

    for (op = 0; op < COUNT(operations); op++)
        for (owner = NOBODY; owner < OWNERS; owner++)
            test_operation(op, owner);
}

// ---- transition knows no order but its own arguments

static void check_transition(enum axvcpu_state is, enum axvcpu_state from, enum axvcpu_state to, bool owned)
{
    bool right = is == from;
    int err;

    reach(&vcpu, is, owned, NULL);
    err = axvcpu_transition(&vcpu, from, to);
    ok(err == (right ? AXVCPU_OK : AXVCPU_EBADSTATE) &&
           axvcpu_get_state(&vcpu) == (right ? to : AXVCPU_STATE_INVALID) &&
           vcpu.owner == (right && owned ? AXVCPU_CPU_TOKEN() : NULL) && axvcpu_current() == NULL &&
           caught.lines == (right ? 0 : 1),
       "transition from %s to %s in %s, %s", axvcpu_state_name(from), axvcpu_state_name(to), axvcpu_state_name(is),
       owner_names[owned]);
}

static void test_transitions(void)
{
    enum axvcpu_state is, from, to;

    for (is = 0; is < AXVCPU_STATE_COUNT; is++)
        for (from = 0; from < AXVCPU_STATE_COUNT; from++)
            for (to = 0; to < AXVCPU_STATE_COUNT; to++) {
                check_transition(is, from, to, false);
                check_transition(is, from, to, true);
            }
}

// ---- getters work at any time from anywhere, and change nothing

static const int user_data = 1;
static int make_with_identity(void *arg)
{
    const struct given *g = arg;

    (void)make(arg);
    vcpu.user = (void *)(uintptr_t)&user_data;
    vcpu.favor_phys_cpu = 3;
    vcpu.phys_cpu_set.bits[0] = 10;
    return (int)g->state;
}

static void check_getters(enum axvcpu_state state, int owner)
{
    struct given g = { NULL, &calls_PUT[0], state, owner, 0 };
    struct axvcpu before;

    if (owner == OTHER)
        (void)cpu_call(&other, make_with_identity, &g);
    else
        (void)make_with_identity(&g);
    before = vcpu;
    forget_lines();
    ok(axvcpu_get_state(&vcpu) == state && axvcpu_id(&vcpu) == 7 && axvcpu_vm_id(&vcpu) == 1 && !axvcpu_is_bsp(&vcpu) &&
           axvcpu_user(&vcpu) == &user_data && axvcpu_favor_phys_cpu(&vcpu) == 3 &&
           axvcpu_phys_cpu_set(&vcpu).bits[0] == 10 && !axvcpu_pending(&vcpu) && axvcpu_arch(&vcpu) == &vcpu.arch &&
           axvcpu_current() == NULL && caught.lines == 0 && memcmp(&before, &vcpu, sizeof(vcpu)) == 0,
       "getters in %s, %s", axvcpu_state_name(state), owner_names[owner]);
}

static void test_getters(void)
{
    enum axvcpu_state state;
    int owner;

    for (owner = NOBODY; owner < OWNERS; owner++)
        for (state = 0; state < AXVCPU_STATE_COUNT; state++)
            check_getters(state, owner);
}

// ---- trap 2: the message names the operation, the expected states and the true one

static void test_messages(void)
{
    static const struct {
        enum axvcpu_state state;
        int (*fn)(struct axvcpu *);
        bool owned;
        const char *line;
    } rows[] = {
        { AXVCPU_STATE_FREE, do_setup, false, "setup of vCPU 1.7: expected Created, is Free" },
        { AXVCPU_STATE_CREATED, do_bind, false, "bind of vCPU 1.7: expected Free, is Created" },
        { AXVCPU_STATE_BLOCKED, do_run, true, "run of vCPU 1.7: expected Ready, is Blocked" },
        { AXVCPU_STATE_RUNNING, do_unbind, true, "unbind of vCPU 1.7: expected Ready, is Running" },
        { AXVCPU_STATE_BLOCKED, do_restart, true, "restart of vCPU 1.7: expected Free or Ready, is Blocked" },
        { AXVCPU_STATE_INVALID, do_transition, false, "transition of vCPU 1.7: expected Free, is Invalid" },
        { AXVCPU_STATE_CREATED, do_manipulate, false, "manipulate of vCPU 1.7: expected Free, is Created" },
    };
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        reach(&vcpu, rows[i].state, rows[i].owned, NULL);
        (void)rows[i].fn(&vcpu);
        ok_str(caught.last, rows[i].line, "trap 2: \"%s\"", rows[i].line);
        ok_int(caught.level, AXVCPU_LOG_ERROR, "trap 2: as an error");
    }
}

int main(void)
{
    tap_begin(60);
    cpu_start(&other);
    test_operations();
    test_transitions();
    test_getters();
    test_messages();
    cpu_stop(&other);
    return tap_done();
}
