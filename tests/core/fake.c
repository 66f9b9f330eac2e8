// SPDX-License-Identifier: Apache-2.0
//
// The fake backend as a user's test sees it: scripts, effects, SPIN, failures to come, call counts, replay.
#include "core.h"

static struct axvcpu vcpu;
static struct axvcpu_exit x;
static struct cpu other;

#define EXIT(kind_) { 0, { .kind = AXVCPU_EXIT_##kind_ } }
#define EFFECT(id, value) { 0, { .kind = AXVCPU_FAKE_EFFECT, .sysreg = { id, value, 0 } } }

static int play(const struct axvcpu_fake_step *steps, size_t n, bool loop)
{
    bound(&vcpu);
    return axvcpu_fake_script(&vcpu, steps, n, loop);
}

static uint32_t next(void)
{
    must(axvcpu_run(&vcpu, &x) == AXVCPU_OK);
    return x.kind;
}

// ---- scripts

static const struct axvcpu_fake_step two[] = { EXIT(TIMER), EXIT(DEBUG) };

static void test_order(void)
{
    must(play(two, 2, false) == AXVCPU_OK);
    ok(next() == AXVCPU_EXIT_TIMER && next() == AXVCPU_EXIT_DEBUG, "steps in their order");
    ok(next() == AXVCPU_EXIT_HALT && next() == AXVCPU_EXIT_HALT, "past the end: HALT, for ever");
    must(play(two, 2, true) == AXVCPU_OK);
    ok(next() == AXVCPU_EXIT_TIMER && next() == AXVCPU_EXIT_DEBUG && next() == AXVCPU_EXIT_TIMER,
       "a loop starts again");
    must(axvcpu_fake_script(&vcpu, two + 1, 1, false) == AXVCPU_OK);
    ok(next() == AXVCPU_EXIT_DEBUG, "a new script plays from its start");
    must(axvcpu_fake_script(&vcpu, NULL, 0, false) == AXVCPU_OK);
    ok(next() == AXVCPU_EXIT_HALT, "no script: HALT");
}

static void test_start_again(void)
{
    must(play(two, 2, false) == AXVCPU_OK && next() == AXVCPU_EXIT_TIMER);
    must(axvcpu_restart(&vcpu, axvcpu_gpa(ENTRY), 5) == AXVCPU_OK);
    ok(next() == AXVCPU_EXIT_TIMER, "restart plays the script again");
    must(axvcpu_reset(&vcpu) == AXVCPU_OK &&
         axvcpu_setup(&vcpu, axvcpu_gpa(ENTRY), axvcpu_hpa(ROOT), NULL) == AXVCPU_OK);
    must(axvcpu_bind(&vcpu) == AXVCPU_OK);
    ok(next() == AXVCPU_EXIT_TIMER, "so does reset");
}

static void test_errors(void)
{
    static const struct axvcpu_fake_step steps[] = { EXIT(TIMER), { AXVCPU_EFAULT, { .kind = AXVCPU_EXIT_DEBUG } } };

    must(play(steps, 2, false) == AXVCPU_OK && next() == AXVCPU_EXIT_TIMER);
    ok_int(axvcpu_run(&vcpu, &x), AXVCPU_EFAULT, "a step with an error fails run");
    ok_int(axvcpu_get_state(&vcpu), AXVCPU_STATE_INVALID, "which makes the vCPU Invalid");
}

static void test_effects(void)
{
    static const struct axvcpu_fake_step steps[] = {
        EFFECT(AXVCPU_REG_GPR(3), 33), EFFECT(AXVCPU_REG_PC, 0x4000), EFFECT(AXVCPU_REG_SP, 0x5000),
        EFFECT(AXVCPU_REG_FLAGS, AXVCPU_FAKE_MASKED), EXIT(TIMER),
    };
    static const struct axvcpu_fake_step unknown[] = { EFFECT(AXVCPU_REG_SYS(1), 1) };

    must(play(steps, COUNT(steps), false) == AXVCPU_OK);
    ok(next() == AXVCPU_EXIT_TIMER && axvcpu_fake_calls(&vcpu, AXVCPU_FAKE_RUN) == 1,
       "effects happen on the way to an exit");
    ok(gpr_of(&vcpu, 3) == 33 && reg_of(&vcpu, AXVCPU_REG_PC) == 0x4000 && reg_of(&vcpu, AXVCPU_REG_SP) == 0x5000 &&
           reg_of(&vcpu, AXVCPU_REG_FLAGS) == AXVCPU_FAKE_MASKED,
       "effects on every kind of register");
    must(play(unknown, 1, false) == AXVCPU_OK);
    ok_int(axvcpu_run(&vcpu, &x), AXVCPU_ENOSUPPORT, "an effect on a register that is not there fails run");
}

// ---- SPIN

static int spin(void *arg)
{
    static const struct axvcpu_fake_step steps[] = { { 0, { .kind = AXVCPU_FAKE_SPIN } }, EXIT(TIMER) };

    (void)arg;
    must(axvcpu_bind(&vcpu) == AXVCPU_OK && axvcpu_fake_script(&vcpu, steps, 2, false) == AXVCPU_OK);
    return axvcpu_run(&vcpu, &x);
}

static int finish(void *arg)
{
    uint32_t kind;

    (void)arg;
    kind = next();
    must(axvcpu_unbind(&vcpu) == AXVCPU_OK);
    return (int)kind;
}

static void wait_running(void)
{
    while (axvcpu_get_state(&vcpu) != AXVCPU_STATE_RUNNING)
        sched_yield();
}

static void test_spin(void)
{
    set_up(&vcpu);
    cpu_begin(&other, spin, NULL);
    wait_running();
    must(axvcpu_inject_interrupt(&vcpu, 40) == AXVCPU_OK);
    while (axvcpu_fake_delivered(&vcpu, 40) == 0)
        sched_yield();
    ok(true, "SPIN: an interrupt is taken in the guest");
    must(axvcpu_kick(&vcpu) == AXVCPU_OK);
    ok(cpu_wait(&other) == AXVCPU_OK && x.kind == AXVCPU_EXIT_CANCELED, "SPIN: a kick ends it");
    ok_int(cpu_call(&other, finish, NULL), AXVCPU_EXIT_TIMER, "SPIN: the script goes on behind it");
}

// ---- failures to come

static int do_create(void)
{
    return axvcpu_reset(&vcpu);
}

static int do_setup(void)
{
    if (axvcpu_get_state(&vcpu) != AXVCPU_STATE_CREATED)
        must(axvcpu_reset(&vcpu) == AXVCPU_OK);
    return axvcpu_setup(&vcpu, axvcpu_gpa(ENTRY), axvcpu_hpa(ROOT), NULL);
}

static int do_bind(void)
{
    int err = do_setup();

    return err != 0 ? err : axvcpu_bind(&vcpu);
}

static int do_run(void)
{
    int err = do_bind();

    return err != 0 ? err : axvcpu_run(&vcpu, &x);
}

static int do_unbind(void)
{
    int err = do_bind();

    return err != 0 ? err : axvcpu_unbind(&vcpu);
}

static int do_put(void)
{
    int err = do_bind();

    return err != 0 ? err : axvcpu_put(&vcpu);
}

static int do_load(void)
{
    int err = do_put();

    return err != 0 ? err : axvcpu_load(&vcpu);
}

static int do_access(void)
{
    static const struct axvcpu_fake_step read = { 0, { .kind = AXVCPU_EXIT_SYSREG_READ } };
    int err = do_bind();

    if (err == 0)
        err = axvcpu_fake_script(&vcpu, &read, 1, false);
    return err != 0 ? err : axvcpu_run(&vcpu, &x);
}

static int do_commit(void)
{
    must(do_access() == AXVCPU_OK && axvcpu_complete(&vcpu, 1) == AXVCPU_OK);
    return axvcpu_settle(&vcpu, &x);
}

static int do_retry(void)
{
    must(do_access() == AXVCPU_OK);
    return axvcpu_retry(&vcpu);
}

static int do_refuse(void)
{
    must(do_access() == AXVCPU_OK);
    return axvcpu_refuse(&vcpu);
}

static int do_get(void)
{
    uint64_t value;

    return axvcpu_get_gpr(&vcpu, 1, &value);
}

static int do_set(void)
{
    return axvcpu_set_gpr(&vcpu, 1, 1);
}

static int do_inject(void)
{
    must(do_bind() == AXVCPU_OK && axvcpu_inject_interrupt(&vcpu, 1) == AXVCPU_OK);
    return axvcpu_run(&vcpu, &x);
}

static int do_exception(void)
{
    return axvcpu_inject_exception(&vcpu, 1, 0, 0);
}

static const struct failing {
    const char *name;
    int (*fn)(void);
} failing[] = {
    [AXVCPU_FAKE_CREATE] = { "CREATE", do_create },    [AXVCPU_FAKE_SET_ENTRY] = { "SET_ENTRY", do_setup },
    [AXVCPU_FAKE_SET_ROOT] = { "SET_ROOT", do_setup }, [AXVCPU_FAKE_SETUP] = { "SETUP", do_setup },
    [AXVCPU_FAKE_BIND] = { "BIND", do_bind },          [AXVCPU_FAKE_RUN] = { "RUN", do_run },
    [AXVCPU_FAKE_UNBIND] = { "UNBIND", do_unbind },    [AXVCPU_FAKE_PUT] = { "PUT", do_put },
    [AXVCPU_FAKE_LOAD] = { "LOAD", do_load },          [AXVCPU_FAKE_COMMIT] = { "COMMIT", do_commit },
    [AXVCPU_FAKE_RETRY] = { "RETRY", do_retry },       [AXVCPU_FAKE_REFUSE] = { "REFUSE", do_refuse },
    [AXVCPU_FAKE_GET_REG] = { "GET_REG", do_get },     [AXVCPU_FAKE_SET_REG] = { "SET_REG", do_set },
    [AXVCPU_FAKE_INJECT] = { "INJECT", do_inject },    [AXVCPU_FAKE_EXCEPTION] = { "EXCEPTION", do_exception },
};
_Static_assert(COUNT(failing) == AXVCPU_FAKE_OP_COUNT, "every operation of the fake backend can fail");

// The nth call fails, the one before and the one after do not. (An unbind of reset may fail unnoticed, so
// UNBIND is asked for only once in a round.)
static void check_failing(enum axvcpu_fake_op op, uint32_t nth)
{
    const struct failing *f = &failing[op];
    uint32_t i;
    bool good = true;

    created(&vcpu);
    must(axvcpu_fake_fail(&vcpu, op, nth, AXVCPU_ENOMEM) == AXVCPU_OK);
    for (i = 1; i <= nth + 2; i++) {
        int err = f->fn();

        good = good && err == (i == nth ? AXVCPU_ENOMEM : AXVCPU_OK) && axvcpu_current() == NULL;
        if (op == AXVCPU_FAKE_UNBIND)
            must(axvcpu_get_state(&vcpu) != AXVCPU_STATE_READY);
        else if (axvcpu_get_state(&vcpu) == AXVCPU_STATE_READY)
            must(axvcpu_unbind(&vcpu) == AXVCPU_OK);
    }
    ok(good, "%s fails at call %u, once", f->name, nth);
}

static void test_failing(void)
{
    enum axvcpu_fake_op op;
    uint32_t nth;

    for (op = 0; op < AXVCPU_FAKE_OP_COUNT; op++)
        for (nth = 1; nth <= 3; nth++)
            check_failing(op, nth);
}

static void test_failure_is_counted_from_the_call(void)
{
    bound(&vcpu);
    must(next() == AXVCPU_EXIT_HALT && next() == AXVCPU_EXIT_HALT);
    must(axvcpu_fake_fail(&vcpu, AXVCPU_FAKE_RUN, 2, AXVCPU_EIO) == AXVCPU_OK);
    ok(next() == AXVCPU_EXIT_HALT, "counted from fake_fail on: the first run is fine");
    ok_int(axvcpu_run(&vcpu, &x), AXVCPU_EIO, "the second fails");
    bound(&vcpu);
    must(axvcpu_fake_fail(&vcpu, AXVCPU_FAKE_RUN, 1, AXVCPU_EIO) == AXVCPU_OK);
    must(axvcpu_reset(&vcpu) == AXVCPU_OK && do_bind() == AXVCPU_OK);
    ok_int(axvcpu_run(&vcpu, &x), AXVCPU_EIO, "a failure to come survives reset");
    bound(&vcpu);
    must(axvcpu_fake_fail(&vcpu, AXVCPU_FAKE_RUN, 1, AXVCPU_EIO) == AXVCPU_OK);
    must(axvcpu_fake_fail(&vcpu, AXVCPU_FAKE_RUN, 2, AXVCPU_EFAULT) == AXVCPU_OK);
    ok(next() == AXVCPU_EXIT_HALT && axvcpu_run(&vcpu, &x) == AXVCPU_EFAULT, "the last request counts");
}

// ---- call counts

static void test_calls(void)
{
    created(&vcpu);
    ok_u64(axvcpu_fake_calls(&vcpu, AXVCPU_FAKE_CREATE), 1, "calls: init creates once");
    must(do_run() == AXVCPU_OK && axvcpu_unbind(&vcpu) == AXVCPU_OK);
    ok(axvcpu_fake_calls(&vcpu, AXVCPU_FAKE_SET_ENTRY) == 1 && axvcpu_fake_calls(&vcpu, AXVCPU_FAKE_SET_ROOT) == 1 &&
           axvcpu_fake_calls(&vcpu, AXVCPU_FAKE_SETUP) == 1 && axvcpu_fake_calls(&vcpu, AXVCPU_FAKE_BIND) == 1 &&
           axvcpu_fake_calls(&vcpu, AXVCPU_FAKE_RUN) == 1 && axvcpu_fake_calls(&vcpu, AXVCPU_FAKE_UNBIND) == 1,
       "calls: each operation reaches the backend once");
    must(axvcpu_reset(&vcpu) == AXVCPU_OK);
    ok(axvcpu_fake_calls(&vcpu, AXVCPU_FAKE_RUN) == 1 && axvcpu_fake_calls(&vcpu, AXVCPU_FAKE_CREATE) == 2,
       "calls: the counts survive reset, which creates again");
    must(do_run() == AXVCPU_OK);
    ok_u64(vcpu.arch.entry, ENTRY, "set-up: the entry arrives");
    ok_u64(vcpu.arch.root, ROOT, "set-up: the root arrives");
}

// ---- replay: a record comes back as it was recorded

static void fill(struct axvcpu_exit *record, uint32_t kind)
{
    size_t i;

    for (i = 0; i < sizeof(*record); i++)
        ((uint8_t *)record)[i] = (uint8_t)(i + 1);
    record->kind = kind;
    record->flags &= ~(AXVCPU_EXIT_HANDLED | AXVCPU_EXIT_PAUSED); // what the other run's VM said
    if (kind == AXVCPU_EXIT_MMIO_READ || kind == AXVCPU_EXIT_MMIO_WRITE) {
        record->mmio.width = record->mmio.reg_width = 4;
        record->mmio.sign_extend = true;
    }
    if (kind == AXVCPU_EXIT_IO_READ || kind == AXVCPU_EXIT_IO_WRITE)
        record->io.width = 4;
    if (kind == AXVCPU_EXIT_SEND_IPI)
        record->ipi.to_all = record->ipi.to_self = true;
}

static void test_replay(void)
{
    struct axvcpu_fake_step step = { 0, { 0 } };
    uint32_t kind;

    for (kind = 0; kind < AXVCPU_EXIT_COUNT; kind++) {
        fill(&step.exit, kind);
        must(play(&step, 1, false) == AXVCPU_OK);
        memset(&x, 0, sizeof(x));
        ok(next() == kind && memcmp(&x, &step.exit, sizeof(x)) == 0, "replay: %s comes back byte for byte",
           axvcpu_exit_name(kind));
    }
}

// A step that axvm_step has recorded says that it was handled there, and a pause that it was one: not here.
static void test_flags(void)
{
    struct axvcpu_fake_step steps[] = { EXIT(HALT), EXIT(CANCELED) };
    struct axvm_desc desc = { .vcpus = &vcpu, .vcpu_count = 1 };
    static struct axvm vm;

    steps[0].exit.flags = AXVCPU_EXIT_HANDLED;
    steps[1].exit.flags = AXVCPU_EXIT_PAUSED;
    must(play(steps, 2, true) == AXVCPU_OK);
    ok(next() == AXVCPU_EXIT_HALT && x.flags == 0 && next() == AXVCPU_EXIT_CANCELED && x.flags == 0,
       "replay: handled and paused are said of another run");
    must(axvm_init(&vm, &desc) == AXVCPU_OK && axvm_boot(&vm) == AXVCPU_OK);
    must(axvcpu_fake_script(&vcpu, &steps[0], 1, true) == AXVCPU_OK);
    ok(axvm_run_vcpu(&vm, 0, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_HALT,
       "replay: what nobody serves is the caller's");
    must(axvcpu_fake_script(&vcpu, &steps[1], 1, true) == AXVCPU_OK);
    ok(axvm_run_vcpu(&vm, 0, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_CANCELED, "replay: a pause of another run ends");
    must(axvm_shutdown(&vm) == AXVCPU_OK && axvm_deinit(&vm) == AXVCPU_OK);
}

// ---- records that no run may return: the script is refused, and the one before it stays

static uint8_t string[16];
#define IO(kind_, width_, count_, buf_) { .kind = AXVCPU_EXIT_IO_##kind_, .io = { buf_, 0, 0x60, width_, count_ } }
#define MMIO(kind_, width_, reg_) { .kind = AXVCPU_EXIT_MMIO_##kind_, .mmio = { 0x1000, 0, width_, 1, reg_, false } }
static const struct record {
    const char *name;
    struct axvcpu_exit exit;
    int expected;
} records[] = {
    { "the last kind", { .kind = AXVCPU_EXIT_COUNT - 1 }, AXVCPU_OK },
    { "no kind", { .kind = AXVCPU_EXIT_COUNT }, AXVCPU_EINVAL },
    { "a load of 8 bytes", MMIO(READ, 8, 8), AXVCPU_OK },
    { "a load of 9 bytes", MMIO(READ, 9, 8), AXVCPU_EINVAL },
    { "a register of 9 bytes", MMIO(READ, 8, 9), AXVCPU_EINVAL },
    { "a store of 9 bytes", MMIO(WRITE, 9, 8), AXVCPU_EINVAL },
    { "a port of 9 bytes", IO(READ, 9, 1, NULL), AXVCPU_EINVAL },
    { "a string as long as the backend's own buffer", IO(READ, 4, 16, NULL), AXVCPU_OK },
    { "a longer string", IO(READ, 4, 17, NULL), AXVCPU_EINVAL },
    { "a longer string with a buffer", IO(READ, 1, 16, string), AXVCPU_OK },
    { "a count that overflows", IO(READ, 4, 0x40000001, NULL), AXVCPU_EINVAL },
    { "four thousand million elements of nothing", IO(READ, 0, UINT32_MAX, NULL), AXVCPU_EINVAL },
    { "elements of nothing to be written", IO(WRITE, 0, UINT32_MAX, string), AXVCPU_EINVAL },
};

static int refused_or_not(const struct axvcpu_fake_step *step)
{
    int err;

    must(play(two, 2, false) == AXVCPU_OK);
    err = axvcpu_fake_script(&vcpu, step, 1, false);
    must(err == AXVCPU_OK || next() == AXVCPU_EXIT_TIMER);
    return err;
}

static void test_records(void)
{
    static const size_t bools[] = { offsetof(struct axvcpu_exit, mmio.sign_extend),
                                    offsetof(struct axvcpu_exit, ipi.to_all),
                                    offsetof(struct axvcpu_exit, ipi.to_self) };
    struct axvcpu_fake_step step = { 0, { 0 } };
    size_t i;

    for (i = 0; i < COUNT(records); i++) {
        step.exit = records[i].exit;
        ok(refused_or_not(&step) == records[i].expected, "script: %s", records[i].name);
    }
    for (i = 0; i < COUNT(bools); i++) {
        memset(&step, 0, sizeof(step));
        step.exit.kind = i == 0 ? AXVCPU_EXIT_MMIO_READ : AXVCPU_EXIT_SEND_IPI;
        ((uint8_t *)&step.exit)[bools[i]] = 2; // as a file may say
        ok(refused_or_not(&step) == AXVCPU_EINVAL, "script: a bool that is none, at %zu", bools[i]);
    }
}

// ---- per CPU

static void test_percpu(void)
{
    static struct axvcpu_percpu cpu;

    ok(axvcpu_has_hardware_support(), "percpu: always supported");
    ok(axvcpu_percpu_init(&cpu, 0) == AXVCPU_OK && axvcpu_percpu_enable(&cpu) == AXVCPU_OK &&
           axvcpu_percpu_is_enabled(&cpu),
       "percpu: enabled");
    ok_u64(axvcpu_percpu_max_guest_page_table_levels(&cpu), 4, "percpu: 4 levels");
    ok(axvcpu_percpu_disable(&cpu) == AXVCPU_OK && axvcpu_percpu_deinit(&cpu) == AXVCPU_OK, "percpu: and gone");
}

int main(void)
{
    tap_begin(60);
    cpu_start(&other);
    test_order();
    test_start_again();
    test_errors();
    test_effects();
    test_spin();
    test_failing();
    test_failure_is_counted_from_the_call();
    test_calls();
    test_replay();
    test_flags();
    test_records();
    test_percpu();
    cpu_stop(&other);
    return tap_done();
}
