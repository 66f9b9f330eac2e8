// SPDX-License-Identifier: Apache-2.0
//
// Whatever a caller gets wrong is an error code and one line in the log, and changes nothing.
#include <stdint.h>

static uint32_t this_cpu = UINT32_MAX; // unknown
#define AXVCPU_CPU_ID() this_cpu
#include "core.h"

static struct axvcpu vcpu;
static struct cpu other;
static const uint32_t four[4] = { 1, 2, 3, 4 };
static const struct axvcpu_fake_step halt = { 0, { .kind = AXVCPU_EXIT_HALT } };
static unsigned callbacks;

static int callback(struct axvcpu *v, void *arg)
{
    (void)v, (void)arg;
    callbacks++;
    return AXVCPU_OK;
}

// ---- every operation, as a function of the object alone

#define CALL(name, expression)        \
    static int name(struct axvcpu *v) \
    {                                 \
        struct axvcpu_exit x = { 0 }; \
        uint64_t out = 0;             \
        (void)x, (void)out;           \
        return expression;            \
    }
CALL(do_deinit, axvcpu_deinit(v))
CALL(do_setup, axvcpu_setup(v, axvcpu_gpa(0), axvcpu_hpa(0), NULL))
CALL(do_bind, axvcpu_bind(v))
CALL(do_run, axvcpu_run(v, &x))
CALL(do_unbind, axvcpu_unbind(v))
CALL(do_block, axvcpu_block(v))
CALL(do_unblock, axvcpu_unblock(v))
CALL(do_settle, axvcpu_settle(v, &x))
CALL(do_reset, axvcpu_reset(v))
CALL(do_restart, axvcpu_restart(v, axvcpu_gpa(0), 0))
CALL(do_put, axvcpu_put(v))
CALL(do_load, axvcpu_load(v))
CALL(do_abandon, axvcpu_abandon(v))
CALL(do_complete, axvcpu_complete(v, 0))
CALL(do_complete_cpuid, axvcpu_complete_cpuid(v, four))
CALL(do_refuse, axvcpu_refuse(v))
CALL(do_retry, axvcpu_retry(v))
CALL(do_get_gpr, axvcpu_get_gpr(v, 0, &out))
CALL(do_set_gpr, axvcpu_set_gpr(v, 0, 0))
CALL(do_get_reg, axvcpu_get_reg(v, AXVCPU_REG_PC, &out))
CALL(do_set_reg, axvcpu_set_reg(v, AXVCPU_REG_PC, 0))
CALL(do_set_entry, axvcpu_set_entry(v, axvcpu_gpa(0)))
CALL(do_set_root, axvcpu_set_root(v, axvcpu_hpa(0)))
CALL(do_set_return_value, axvcpu_set_return_value(v, 0))
CALL(do_inject_interrupt, axvcpu_inject_interrupt(v, 32))
CALL(do_set_irq, axvcpu_set_irq(v, 32, true))
CALL(do_inject_nmi, axvcpu_inject_nmi(v))
CALL(do_inject_exception, axvcpu_inject_exception(v, 13, 0, 0))
CALL(do_inject_hw, axvcpu_inject_hw(v, 32, 32))
CALL(do_kick, axvcpu_kick(v))
CALL(do_transition, axvcpu_transition(v, AXVCPU_STATE_INVALID, AXVCPU_STATE_FREE))
CALL(do_with_state, axvcpu_with_state(v, AXVCPU_STATE_INVALID, AXVCPU_STATE_FREE, callback, NULL))
CALL(do_with_current, axvcpu_with_current(v, callback, NULL))
CALL(do_manipulate, axvcpu_manipulate(v, AXVCPU_STATE_INVALID, AXVCPU_STATE_FREE, callback, NULL))
CALL(do_ref, axvcpu_ref(v) == NULL ? AXVCPU_EINVAL : AXVCPU_OK)
CALL(do_unref, axvcpu_unref(v))
CALL(do_fake_script, axvcpu_fake_script(v, &halt, 1, false))
CALL(do_fake_fail, axvcpu_fake_fail(v, AXVCPU_FAKE_RUN, 1, AXVCPU_EIO))

struct call {
    const char *name;
    int (*fn)(struct axvcpu *);
};
#define NAMED(name) { #name, do_##name }
static const struct call calls[] = {
    NAMED(deinit),        NAMED(setup),          NAMED(bind),           NAMED(run),       NAMED(unbind),
    NAMED(block),         NAMED(unblock),        NAMED(settle),         NAMED(reset),     NAMED(restart),
    NAMED(put),           NAMED(load),           NAMED(abandon),        NAMED(complete),  NAMED(complete_cpuid),
    NAMED(refuse),        NAMED(retry),          NAMED(get_gpr),        NAMED(set_gpr),   NAMED(get_reg),
    NAMED(set_reg),       NAMED(set_entry),      NAMED(set_root),       NAMED(set_return_value),
    NAMED(inject_interrupt), NAMED(set_irq),     NAMED(inject_nmi),     NAMED(inject_exception), NAMED(inject_hw),
    NAMED(kick),          NAMED(transition),     NAMED(with_state),     NAMED(with_current), NAMED(manipulate),
    NAMED(ref),           NAMED(unref),          NAMED(fake_script),    NAMED(fake_fail),
};

static void expect(const char *name, const char *given, int err, int want, bool unchanged)
{
    if (!ok(err == want && unchanged && caught.lines == 1 && callbacks == 0 && axvcpu_current() == NULL,
            "%s, %s: %s, one line, nothing changed", name, given, error_name(want)))
        note("  got %s, %s, %u lines (%s)", error_name(err), unchanged ? "unchanged" : "changed", caught.lines,
             caught.last);
}

// ---- objects that are no vCPU

static void check_null(const struct call *c)
{
    forget_lines();
    expect(c->name, "NULL", c->fn(NULL), AXVCPU_EINVAL, true);
}

static void check_object(const struct call *c, const struct axvcpu *object, const char *given)
{
    int err;

    vcpu = *object;
    forget_lines();
    err = c->fn(&vcpu);
    expect(c->name, given, err, AXVCPU_EINVAL, memcmp(&vcpu, object, sizeof(vcpu)) == 0);
}

static void test_objects(void)
{
    static struct axvcpu zeroed, ones, foreign, deinited;
    size_t i;

    memset(&ones, 0xff, sizeof(ones));
    memset(&foreign, 0x5a, sizeof(foreign));
    bound(&deinited);
    must(axvcpu_unbind(&deinited) == AXVCPU_OK && axvcpu_deinit(&deinited) == AXVCPU_OK);
    for (i = 0; i < COUNT(calls); i++) {
        check_null(&calls[i]);
        check_object(&calls[i], &zeroed, "a zeroed object");
        check_object(&calls[i], &ones, "an object of ones");
        check_object(&calls[i], &foreign, "a foreign object");
        check_object(&calls[i], &deinited, "a deinited vCPU");
    }
}

// The CPU's own id is no reason to look into an object that is none.
static void test_bind_on_known_cpu(void)
{
    static const struct axvcpu zeroed;

    this_cpu = 5;
    check_null(&calls[2]);
    check_object(&calls[2], &zeroed, "a zeroed object, CPU id known");
    this_cpu = UINT32_MAX;
}

static void test_quiet_functions(void)
{
    static const struct axvcpu zeroed;

    forget_lines();
    ok(!axvcpu_pending(NULL) && !axvcpu_pending(&zeroed), "pending of what is no vCPU: false");
    ok(axvcpu_fake_calls(NULL, AXVCPU_FAKE_RUN) == 0 && axvcpu_fake_calls(&zeroed, AXVCPU_FAKE_RUN) == 0,
       "fake_calls of what is no vCPU: 0");
    ok(axvcpu_fake_delivered(NULL, 1) == 0 && axvcpu_fake_delivered(&zeroed, 1) == 0,
       "fake_delivered of what is no vCPU: 0");
    bound(&vcpu);
    ok(axvcpu_fake_calls(&vcpu, AXVCPU_FAKE_OP_COUNT) == 0 && axvcpu_fake_calls(&vcpu, (enum axvcpu_fake_op) - 1) == 0,
       "fake_calls of an unknown operation: 0");
    ok(axvcpu_fake_delivered(&vcpu, 256) == 0 && axvcpu_fake_delivered(&vcpu, UINT32_MAX) == 0,
       "fake_delivered of an unknown vector: 0");
    ok_u64(caught.lines, 0, "none of which is an error");
}

// ---- init

static void check_desc(const struct axvcpu_desc *desc, const char *given)
{
    static struct axvcpu foreign;
    int err;

    memset(&foreign, 0x5a, sizeof(foreign));
    vcpu = foreign;
    forget_lines();
    err = axvcpu_init(&vcpu, desc);
    expect("init", given, err, AXVCPU_EINVAL, memcmp(&vcpu, &foreign, sizeof(vcpu)) == 0);
}

static void test_init(void)
{
    static const uint32_t favoured[] = { AXVCPU_MAX_PHYS_CPUS, AXVCPU_MAX_PHYS_CPUS + 1, UINT32_MAX };
    struct axvcpu_desc desc = { 0 };
    size_t i;

    forget_lines();
    expect("init", "NULL object", axvcpu_init(NULL, &desc), AXVCPU_EINVAL, true);
    check_desc(NULL, "NULL desc");
    for (i = 0; i < 32; i++) {
        desc.flags = 1u << i;
        check_desc(&desc, "an unknown flag");
    }
    desc.flags = 0;
    for (i = 0; i < COUNT(favoured); i++) {
        desc.favor_phys_cpu = favoured[i];
        check_desc(&desc, "favor_phys_cpu out of range");
    }
    desc.favor_phys_cpu = AXVCPU_MAX_PHYS_CPUS - 1;
    ok_int(axvcpu_init(&vcpu, &desc), AXVCPU_OK, "init: the last CPU may be favoured");
}

static void test_abi(void)
{
    static struct axvcpu foreign;
    const struct axvcpu_desc desc = { 0 };
    unsigned bit;

    memset(&foreign, 0x5a, sizeof(foreign));
    vcpu = foreign;
    for (bit = 0; bit < 64; bit++) {
        int err;

        forget_lines();
        err = axvcpu_i_init(&vcpu, &desc, AXVCPU_ABI ^ UINT64_C(1) << bit);
        expect("init", "another AXVCPU_ABI", err, AXVCPU_EINVAL, memcmp(&vcpu, &foreign, sizeof(vcpu)) == 0);
    }
    ok(strstr(caught.last, "AXVCPU_ABI") != NULL, "init: the line names AXVCPU_ABI");
    ok_int(axvcpu_i_init(&vcpu, &desc, AXVCPU_ABI), AXVCPU_OK, "init: the right AXVCPU_ABI");
}

static void test_init_fails(void)
{
    static const struct axvcpu zero;
    const struct axvcpu_desc desc = { .arch = { AXVCPU_ENOMEM } };
    int err;

    memset(&vcpu, 0x5a, sizeof(vcpu));
    forget_lines();
    err = axvcpu_init(&vcpu, &desc);
    ok(err == AXVCPU_ENOMEM && memcmp(&vcpu, &zero, sizeof(vcpu)) == 0 && caught.lines == 1,
       "init, the backend fails: ENOMEM, one line, the object is all zero");
}

// ---- other arguments, on a vCPU in good order

#define WRONG(name, expression)                        \
    static int name(struct axvcpu *v)                  \
    {                                                  \
        static const struct axvcpu_fake_step steps[] = { { 0, { .kind = AXVCPU_EXIT_HALT } } }; \
        uint64_t out = 0;                              \
        (void)steps, (void)out;                        \
        return expression;                             \
    }
#define ODD(n) ((enum axvcpu_state)(n))
WRONG(run_null, axvcpu_run(v, NULL))
WRONG(settle_null, axvcpu_settle(v, NULL))
WRONG(complete_cpuid_null, axvcpu_complete_cpuid(v, NULL))
WRONG(get_gpr_null, axvcpu_get_gpr(v, 0, NULL))
WRONG(get_reg_null, axvcpu_get_reg(v, AXVCPU_REG_PC, NULL))
WRONG(get_gpr_32, axvcpu_get_gpr(v, 32, &out))
WRONG(get_gpr_max, axvcpu_get_gpr(v, UINT32_MAX, &out))
WRONG(set_gpr_32, axvcpu_set_gpr(v, 32, 1))
WRONG(set_gpr_max, axvcpu_set_gpr(v, UINT32_MAX, 1))
WRONG(get_reg_32, axvcpu_get_reg(v, 32, &out))
WRONG(set_reg_32, axvcpu_set_reg(v, 32, 1))
WRONG(inject_256, axvcpu_inject_interrupt(v, 256))
WRONG(inject_288, axvcpu_inject_interrupt(v, 0x120))
WRONG(inject_max, axvcpu_inject_interrupt(v, UINT32_MAX))
WRONG(set_irq_256, axvcpu_set_irq(v, 256, true))
WRONG(set_irq_max, axvcpu_set_irq(v, UINT32_MAX, false))
WRONG(inject_hw_256, axvcpu_inject_hw(v, 256, 32))
WRONG(with_state_null, axvcpu_with_state(v, AXVCPU_STATE_READY, AXVCPU_STATE_READY, NULL, NULL))
WRONG(with_current_null, axvcpu_with_current(v, NULL, NULL))
WRONG(manipulate_null, axvcpu_manipulate(v, AXVCPU_STATE_READY, AXVCPU_STATE_READY, NULL, NULL))
WRONG(transition_from_6, axvcpu_transition(v, ODD(6), AXVCPU_STATE_FREE))
WRONG(transition_to_6, axvcpu_transition(v, AXVCPU_STATE_READY, ODD(6)))
WRONG(transition_from_minus, axvcpu_transition(v, ODD(-1), AXVCPU_STATE_FREE))
WRONG(transition_to_259, axvcpu_transition(v, AXVCPU_STATE_READY, ODD(256 + 3)))
WRONG(with_state_from_6, axvcpu_with_state(v, ODD(6), AXVCPU_STATE_FREE, callback, NULL))
WRONG(with_state_to_6, axvcpu_with_state(v, AXVCPU_STATE_READY, ODD(6), callback, NULL))
WRONG(manipulate_from_7, axvcpu_manipulate(v, ODD(7), AXVCPU_STATE_FREE, callback, NULL))
WRONG(manipulate_to_7, axvcpu_manipulate(v, AXVCPU_STATE_READY, ODD(7), callback, NULL))
WRONG(script_null, axvcpu_fake_script(v, NULL, 1, false))
WRONG(fail_never, axvcpu_fake_fail(v, AXVCPU_FAKE_RUN, 0, AXVCPU_EIO))
WRONG(fail_with_ok, axvcpu_fake_fail(v, AXVCPU_FAKE_RUN, 1, AXVCPU_OK))
WRONG(fail_unknown, axvcpu_fake_fail(v, AXVCPU_FAKE_OP_COUNT, 1, AXVCPU_EIO))
WRONG(fail_minus, axvcpu_fake_fail(v, (enum axvcpu_fake_op) - 1, 1, AXVCPU_EIO))

#define ARGUMENT(name) { #name, name }
static const struct call arguments[] = {
    ARGUMENT(run_null),          ARGUMENT(settle_null),       ARGUMENT(complete_cpuid_null), ARGUMENT(get_gpr_null),
    ARGUMENT(get_reg_null),      ARGUMENT(get_gpr_32),        ARGUMENT(get_gpr_max),       ARGUMENT(set_gpr_32),
    ARGUMENT(set_gpr_max),       ARGUMENT(get_reg_32),        ARGUMENT(set_reg_32),        ARGUMENT(inject_256),
    ARGUMENT(inject_288),        ARGUMENT(inject_max),        ARGUMENT(set_irq_256),       ARGUMENT(set_irq_max),
    ARGUMENT(inject_hw_256),     ARGUMENT(with_state_null),   ARGUMENT(with_current_null), ARGUMENT(manipulate_null),
    ARGUMENT(transition_from_6), ARGUMENT(transition_to_6),   ARGUMENT(transition_from_minus),
    ARGUMENT(transition_to_259), ARGUMENT(with_state_from_6), ARGUMENT(with_state_to_6),   ARGUMENT(manipulate_from_7),
    ARGUMENT(manipulate_to_7),   ARGUMENT(script_null),       ARGUMENT(fail_never),        ARGUMENT(fail_with_ok),
    ARGUMENT(fail_unknown),      ARGUMENT(fail_minus),
};

static void check_argument(const struct call *c, int want)
{
    struct axvcpu before;
    int err;

    bound(&vcpu);
    before = vcpu;
    forget_lines();
    err = c->fn(&vcpu);
    expect(c->name, "a bound vCPU", err, want, memcmp(&before, &vcpu, sizeof(vcpu)) == 0);
}

static void test_arguments(void)
{
    size_t i;

    for (i = 0; i < COUNT(arguments); i++)
        check_argument(&arguments[i], AXVCPU_EINVAL);
}

// Registers that this backend does not have: nothing but its call counts may change.
static void check_unknown_reg(uint64_t id)
{
    uint64_t out = 77;
    int got, set;

    bound(&vcpu);
    forget_lines();
    got = axvcpu_get_reg(&vcpu, id, &out);
    expect("get_reg", "an unknown register", got, AXVCPU_ENOSUPPORT, out == 77);
    forget_lines();
    set = axvcpu_set_reg(&vcpu, id, 1);
    expect("set_reg", "an unknown register", set, AXVCPU_ENOSUPPORT, axvcpu_get_state(&vcpu) == AXVCPU_STATE_READY);
}

static void test_unknown_regs(void)
{
    check_unknown_reg(AXVCPU_REG_FLAGS + 1);
    check_unknown_reg(AXVCPU_REG_SYS(0x10));
    check_unknown_reg(AXVCPU_REG_ARCH(0));
    check_unknown_reg(UINT64_MAX);
}

// ---- the order of checks: EINVAL, ENESTED, EBUSY, EBADSTATE, EPENDING

struct situation {
    const char *name;
    int (*fn)(struct axvcpu *);
    bool nested, busy;
    enum axvcpu_state state;
    int want;
};

static int make_theirs(void *arg)
{
    const struct situation *s = arg;

    reach(&vcpu, s->state, true, NULL);
    return 0;
}

static int call_nested(struct axvcpu *v, void *arg)
{
    const struct situation *s = arg;

    (void)v;
    return s->fn(&vcpu);
}

static void check_order(const struct situation *s)
{
    static struct axvcpu current;
    struct axvcpu before;
    int err;

    created(&current);
    if (s->busy)
        (void)cpu_call(&other, make_theirs, (void *)(uintptr_t)s);
    else
        reach(&vcpu, s->state, false, NULL);
    before = vcpu;
    err = s->nested ? axvcpu_with_current(&current, call_nested, (void *)(uintptr_t)s) : s->fn(&vcpu);
    if (!ok(err == s->want && memcmp(&before, &vcpu, sizeof(vcpu)) == 0, "order: %s%s%s in %s: %s", s->name,
            s->nested ? ", nested" : "", s->busy ? ", another's" : "", axvcpu_state_name(s->state),
            error_name(s->want)))
        note("  got %s (%s)", error_name(err), caught.last);
}

static int bind_off_limits(struct axvcpu *v)
{
    int err;

    v->phys_cpu_set.bits[0] = 1;
    this_cpu = 5;
    err = axvcpu_bind(v);
    this_cpu = UINT32_MAX;
    v->phys_cpu_set.bits[0] = 0;
    return err;
}

#define INVALID_STATE AXVCPU_STATE_INVALID
#define RUNNING AXVCPU_STATE_RUNNING
#define READY AXVCPU_STATE_READY
static const struct situation situations[] = {
    // EINVAL is first
    { "run with NULL", run_null, true, true, RUNNING, AXVCPU_EINVAL },
    { "run with NULL", run_null, false, true, RUNNING, AXVCPU_EINVAL },
    { "settle with NULL", settle_null, true, true, RUNNING, AXVCPU_EINVAL },
    { "bind off limits", bind_off_limits, true, true, READY, AXVCPU_EINVAL },
    { "bind off limits", bind_off_limits, false, true, READY, AXVCPU_EINVAL },
    { "complete_cpuid with NULL", complete_cpuid_null, true, true, READY, AXVCPU_EINVAL },
    { "get_gpr with NULL", get_gpr_null, true, false, READY, AXVCPU_EINVAL },
    { "get_gpr with NULL", get_gpr_null, false, true, READY, AXVCPU_EINVAL },
    { "get_gpr of register 32", get_gpr_32, false, true, READY, AXVCPU_EINVAL },
    { "get_gpr of register 32", get_gpr_32, false, false, RUNNING, AXVCPU_EINVAL },
    { "set_gpr of register 32", set_gpr_32, true, false, READY, AXVCPU_EINVAL },
    { "set_gpr of register 32", set_gpr_32, false, true, READY, AXVCPU_EINVAL },
    { "set_gpr of register 32", set_gpr_32, false, false, INVALID_STATE, AXVCPU_EINVAL },
    { "with_state of an unknown state", with_state_from_6, true, true, READY, AXVCPU_EINVAL },
    { "transition to an unknown state", transition_to_6, false, true, READY, AXVCPU_EINVAL },
    { "fake_script with NULL", script_null, false, true, READY, AXVCPU_EINVAL },
    // then ENESTED
    { "setup", do_setup, true, true, READY, AXVCPU_ENESTED },
    { "bind", do_bind, true, true, READY, AXVCPU_ENESTED },
    { "bind", do_bind, true, false, READY, AXVCPU_ENESTED },
    { "run", do_run, true, true, RUNNING, AXVCPU_ENESTED },
    { "run", do_run, true, false, INVALID_STATE, AXVCPU_ENESTED },
    { "unbind", do_unbind, true, true, READY, AXVCPU_ENESTED },
    { "deinit", do_deinit, true, true, READY, AXVCPU_ENESTED },
    { "get_gpr", do_get_gpr, true, true, READY, AXVCPU_ENESTED },
    { "transition", do_transition, true, true, READY, AXVCPU_ENESTED },
    // then EBUSY
    { "setup", do_setup, false, true, READY, AXVCPU_EBUSY },
    { "bind", do_bind, false, true, READY, AXVCPU_EBUSY },
    { "block", do_block, false, true, RUNNING, AXVCPU_EBUSY },
    { "transition", do_transition, false, true, READY, AXVCPU_EBUSY },
    { "complete", do_complete, false, true, READY, AXVCPU_EBUSY },
    // then EBADSTATE
    { "settle", do_settle, false, false, RUNNING, AXVCPU_EBADSTATE },
    { "block", do_block, false, false, READY, AXVCPU_EBADSTATE },
};

static void test_order(void)
{
    size_t i;

    for (i = 0; i < COUNT(situations); i++)
        check_order(&situations[i]);
}

// EPENDING is last: the same unanswered exit is EBADSTATE in a state where it could not run anyway.
static void test_pending_is_last(void)
{
    static const struct axvcpu_fake_step read = { 0, { .kind = AXVCPU_EXIT_CPUID } };

    reach(&vcpu, AXVCPU_STATE_READY, true, &read);
    ok_int(do_run(&vcpu), AXVCPU_EPENDING, "order: run in Ready, unanswered: EPENDING");
    reach(&vcpu, AXVCPU_STATE_READY, false, &read);
    ok_int(do_run(&vcpu), AXVCPU_EBADSTATE, "order: run unbound, unanswered: EBADSTATE");
    reach(&vcpu, AXVCPU_STATE_RUNNING, false, &read);
    ok_int(do_settle(&vcpu), AXVCPU_EBADSTATE, "order: settle in Running, unanswered: EBADSTATE");
}

// ---- affinity

static const struct affinity {
    uint64_t set;
    uint32_t cpu;
    bool allowed;
} affinities[] = {
    { 0, UINT32_MAX, true },
    { 0, 0, true },
    { 0, 63, true },
    { 0, 64, true },
    { 10, UINT32_MAX, true },
    { 10, 0, false },
    { 10, 1, true },
    { 10, 2, false },
    { 10, 3, true },
    { 10, 63, false },
    { 10, 64, false },
    { 10, 65, false },
    { UINT64_C(1) << 63, 63, true },
    { UINT64_C(1) << 63, 62, false },
    { 1, 64, false },
};

static void check_affinity(const struct affinity *a, const struct axvcpu_fake_step *access)
{
    struct axvcpu before;
    int err;

    reach(&vcpu, AXVCPU_STATE_FREE, false, access);
    vcpu.phys_cpu_set.bits[0] = a->set;
    before = vcpu;
    this_cpu = a->cpu;
    err = axvcpu_bind(&vcpu);
    this_cpu = UINT32_MAX;
    if (a->allowed)
        ok(err == AXVCPU_OK && axvcpu_get_state(&vcpu) == AXVCPU_STATE_READY, "CPU %d of set 0x%" PRIx64 "%s: bound",
           (int)a->cpu, a->set, access != NULL ? ", an access unanswered" : "");
    else
        expect("bind", "a CPU outside phys_cpu_set", err, AXVCPU_EINVAL, memcmp(&before, &vcpu, sizeof(vcpu)) == 0);
}

static void test_affinity(void)
{
    static const struct axvcpu_fake_step read = { 0, { .kind = AXVCPU_EXIT_CPUID } };
    size_t i;

    for (i = 0; i < COUNT(affinities); i++) {
        check_affinity(&affinities[i], NULL);
        check_affinity(&affinities[i], &read);
    }
}

// A vCPU that has moved with its thread to a CPU outside the set still runs and leaves.
static void test_affinity_is_for_bind(void)
{
    struct axvcpu_exit x;

    set_up(&vcpu);
    vcpu.phys_cpu_set.bits[0] = 2;
    this_cpu = 1;
    must(axvcpu_bind(&vcpu) == AXVCPU_OK);
    this_cpu = 0;
    ok_int(axvcpu_run(&vcpu, &x), AXVCPU_OK, "run asks no more for the set");
    ok_int(axvcpu_unbind(&vcpu), AXVCPU_OK, "nor does unbind");
    this_cpu = UINT32_MAX;
}

// ---- scripts that cannot be played

static uint8_t long_buffer[4096];
#define IO(what, buffer, width, count) { 0, { .kind = AXVCPU_EXIT_IO_##what, .io = { buffer, 0, 1, width, count } } }
#define MMIO(width) { 0, { .kind = AXVCPU_EXIT_MMIO_READ, .mmio = { 0, 0, width, 1, 8, false } } }
#define KIND(kind_) { 0, { .kind = kind_ } }
static const struct script {
    const char *name;
    struct axvcpu_fake_step steps[2];
    bool loop;
    int want;
} scripts[] = {
    { "an unknown kind", { KIND(AXVCPU_EXIT_COUNT), KIND(AXVCPU_EXIT_HALT) }, false, AXVCPU_EINVAL },
    { "an unknown kind at the end", { KIND(AXVCPU_EXIT_HALT), KIND(0xfff) }, false, AXVCPU_EINVAL },
    { "a kind beyond EFFECT", { KIND(AXVCPU_EXIT_HALT), KIND(AXVCPU_FAKE_EFFECT + 1) }, false, AXVCPU_EINVAL },
    { "a loop of effects", { KIND(AXVCPU_FAKE_EFFECT), KIND(AXVCPU_FAKE_EFFECT) }, true, AXVCPU_EINVAL },
    { "a loop of an effect and an exit", { KIND(AXVCPU_FAKE_EFFECT), KIND(AXVCPU_EXIT_HALT) }, true, AXVCPU_OK },
    { "a loop of an effect and an error", { KIND(AXVCPU_FAKE_EFFECT), { AXVCPU_EIO, { 0 } } }, true, AXVCPU_OK },
    { "effects without a loop", { KIND(AXVCPU_FAKE_EFFECT), KIND(AXVCPU_FAKE_EFFECT) }, false, AXVCPU_OK },
    { "an unknown kind that fails anyway", { { AXVCPU_EIO, { .kind = 0xfff } }, KIND(0) }, false, AXVCPU_OK },
    { "a string of 64 bytes", { IO(READ, NULL, 4, 16), KIND(0) }, false, AXVCPU_OK },
    { "a string of 65 bytes", { IO(READ, NULL, 1, 65), KIND(0) }, false, AXVCPU_EINVAL },
    { "a string of 65 bytes in a buffer", { IO(READ, long_buffer, 1, 65), KIND(0) }, false, AXVCPU_OK },
    { "a string that wraps 32 bits", { IO(READ, NULL, 4, 0x40000001), KIND(0) }, false, AXVCPU_EINVAL },
    { "a port access of 9 bytes", { IO(READ, NULL, 9, 1), KIND(0) }, false, AXVCPU_EINVAL },
    { "a port write of 9 bytes", { IO(WRITE, NULL, 9, 1), KIND(0) }, false, AXVCPU_EINVAL },
    { "a memory access of 8 bytes", { MMIO(8), KIND(0) }, false, AXVCPU_OK },
    { "a memory access of 9 bytes", { MMIO(9), KIND(0) }, false, AXVCPU_EINVAL },
    { "a memory access of 260 bytes", { MMIO(260), KIND(0) }, false, AXVCPU_EINVAL },
};

static void check_script(const struct script *s)
{
    struct axvcpu before;
    int err;

    bound(&vcpu);
    before = vcpu;
    forget_lines();
    err = axvcpu_fake_script(&vcpu, s->steps, 2, s->loop);
    if (s->want == AXVCPU_OK)
        ok_int(err, AXVCPU_OK, "fake_script, %s: OK", s->name);
    else
        expect("fake_script", s->name, err, AXVCPU_EINVAL, memcmp(&before, &vcpu, sizeof(vcpu)) == 0);
}

static void test_scripts(void)
{
    size_t i;

    for (i = 0; i < COUNT(scripts); i++)
        check_script(&scripts[i]);
    bound(&vcpu);
    ok_int(axvcpu_fake_script(&vcpu, NULL, 0, true), AXVCPU_OK, "fake_script of nothing: OK");
}

int main(void)
{
    tap_begin(60);
    cpu_start(&other);
    test_objects();
    test_bind_on_known_cpu();
    test_quiet_functions();
    test_init();
    test_abi();
    test_init_fails();
    test_arguments();
    test_unknown_regs();
    test_order();
    test_pending_is_last();
    test_affinity();
    test_affinity_is_for_bind();
    test_scripts();
    cpu_stop(&other);
    return tap_done();
}
