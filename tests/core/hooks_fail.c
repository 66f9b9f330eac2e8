// SPDX-License-Identifier: Apache-2.0
// flags: -UAXVCPU_ARCH_FAKE -DAXVCPU_ARCH_HEADER="tests/core/mock.h"
//
// A vCPU's whole life, again and again, and each time another call of the backend fails: the first, the
// second, ... the last one. After each: the right error, state, owner and current pointer, and a reset or a
// second attempt brings the vCPU back.
#include "core.h"

static struct axvcpu vcpu;
static struct axvcpu_percpu cpu;
static const struct axvcpu zero;
static struct axvcpu_exit x;
static uint64_t value;
static const uint32_t four[4] = { 1, 2, 3, 4 };

#define MMIO(what) { .kind = AXVCPU_EXIT_MMIO_##what, .mmio = { 0x1000, 9, 4, 5, 8, false } }
static const struct axvcpu_exit exits[] = {
    { .kind = AXVCPU_EXIT_HALT },
    MMIO(READ),                                                   // completed
    MMIO(WRITE),                                                  // settled
    MMIO(READ),                                                   // refused
    MMIO(WRITE),                                                  // retried
    { .kind = AXVCPU_EXIT_CPUID, .cpuid = { 1, 0, 0, 0, 0, 0 } }, // completed
    MMIO(READ),                                                   // forgotten by restart
};

// ---- the life

enum effect {
    POISONS,   // Invalid, nobody's
    UNCHANGED, // the state and the owner stay
    ZEROES,    // the object is all zero
    PERCPU,    // has nothing to do with the vCPU
};

#define STEP(name, expression)    \
    static int name(void)         \
    {                             \
        return expression;        \
    }
STEP(percpu_init, axvcpu_percpu_init(&cpu, 1))
STEP(percpu_enable, axvcpu_percpu_enable(&cpu))
STEP(percpu_disable, axvcpu_percpu_disable(&cpu))
STEP(percpu_deinit, axvcpu_percpu_deinit(&cpu))
static int init(void)
{
    static const struct axvcpu_desc desc = { .vm_id = 1 };

    return axvcpu_init(&vcpu, &desc);
}
STEP(set_entry, axvcpu_set_entry(&vcpu, axvcpu_gpa(ENTRY)))
STEP(set_root, axvcpu_set_root(&vcpu, axvcpu_hpa(ROOT)))
STEP(setup, axvcpu_setup(&vcpu, axvcpu_gpa(ENTRY), axvcpu_hpa(ROOT), NULL))
STEP(bind, axvcpu_bind(&vcpu))
STEP(run, axvcpu_run(&vcpu, &x))
STEP(unbind, axvcpu_unbind(&vcpu))
STEP(put, axvcpu_put(&vcpu))
STEP(load, axvcpu_load(&vcpu))
STEP(settle, axvcpu_settle(&vcpu, &x))
STEP(complete, axvcpu_complete(&vcpu, 7))
STEP(complete_cpuid, axvcpu_complete_cpuid(&vcpu, four))
STEP(refuse, axvcpu_refuse(&vcpu))
STEP(retry, axvcpu_retry(&vcpu))
STEP(get_gpr, axvcpu_get_gpr(&vcpu, 1, &value))
STEP(get_reg, axvcpu_get_reg(&vcpu, AXVCPU_REG_PC, &value))
STEP(set_gpr, axvcpu_set_gpr(&vcpu, 1, 1))
STEP(set_return_value, axvcpu_set_return_value(&vcpu, 1))
STEP(inject, axvcpu_inject_interrupt(&vcpu, 40))
STEP(inject_exception, axvcpu_inject_exception(&vcpu, 13, 0, 0))
STEP(inject_hw, axvcpu_inject_hw(&vcpu, 40, 41))
STEP(kick, axvcpu_kick(&vcpu))
STEP(block, axvcpu_block(&vcpu))
STEP(unblock, axvcpu_unblock(&vcpu))
STEP(restart, axvcpu_restart(&vcpu, axvcpu_gpa(ENTRY), 5))
STEP(reset, axvcpu_reset(&vcpu))
STEP(deinit, axvcpu_deinit(&vcpu))

#define CAN_FAIL(name, effect) { #name, name, effect }
static const struct step {
    const char *name;
    int (*fn)(void);
    enum effect effect;
} life[] = {
    CAN_FAIL(percpu_init, PERCPU),
    CAN_FAIL(percpu_enable, PERCPU),
    CAN_FAIL(init, ZEROES),
    CAN_FAIL(set_entry, UNCHANGED),
    CAN_FAIL(set_root, UNCHANGED),
    CAN_FAIL(setup, POISONS),
    CAN_FAIL(get_gpr, UNCHANGED),
    CAN_FAIL(bind, POISONS),
    CAN_FAIL(run, POISONS), // HALT
    CAN_FAIL(get_reg, UNCHANGED),
    CAN_FAIL(set_return_value, UNCHANGED),
    CAN_FAIL(run, POISONS), // MMIO_READ
    CAN_FAIL(complete, UNCHANGED),
    CAN_FAIL(unbind, POISONS), // with an access to commit
    CAN_FAIL(bind, POISONS),
    CAN_FAIL(run, POISONS), // commit; MMIO_WRITE
    CAN_FAIL(settle, UNCHANGED),
    CAN_FAIL(run, POISONS), // MMIO_READ
    CAN_FAIL(refuse, UNCHANGED),
    CAN_FAIL(put, POISONS),
    CAN_FAIL(load, POISONS),
    CAN_FAIL(run, POISONS), // commit; MMIO_WRITE
    CAN_FAIL(retry, UNCHANGED),
    CAN_FAIL(run, POISONS), // CPUID
    CAN_FAIL(complete_cpuid, UNCHANGED),
    CAN_FAIL(inject, UNCHANGED),
    CAN_FAIL(run, POISONS), // commit; inject; MMIO_READ
    CAN_FAIL(restart, POISONS),
    CAN_FAIL(inject_exception, UNCHANGED),
    CAN_FAIL(inject_hw, UNCHANGED),
    CAN_FAIL(set_gpr, UNCHANGED),
    CAN_FAIL(run, POISONS), // HALT
    CAN_FAIL(block, UNCHANGED),
    CAN_FAIL(put, POISONS),
    CAN_FAIL(load, POISONS),
    CAN_FAIL(unblock, UNCHANGED),
    CAN_FAIL(kick, UNCHANGED),
    CAN_FAIL(run, POISONS), // CANCELED
    CAN_FAIL(inject, UNCHANGED),
    CAN_FAIL(run, POISONS), // inject; HALT
    CAN_FAIL(unbind, POISONS),
    CAN_FAIL(restart, POISONS),
    CAN_FAIL(bind, POISONS),
    CAN_FAIL(put, POISONS),
    CAN_FAIL(unbind, POISONS),
    CAN_FAIL(reset, POISONS),
    CAN_FAIL(setup, POISONS),
    CAN_FAIL(bind, POISONS),
    CAN_FAIL(reset, POISONS), // of a bound one: its unbind may fail
    CAN_FAIL(setup, POISONS),
    CAN_FAIL(deinit, UNCHANGED),
    CAN_FAIL(percpu_disable, PERCPU),
    CAN_FAIL(percpu_deinit, PERCPU),
};

static void begin(uint64_t fail_at)
{
    memset(&mock, 0, sizeof(mock));
    memset(&cpu, 0, sizeof(cpu));
    memset(&vcpu, 0x5a, sizeof(vcpu));
    mock.exits = exits;
    mock.exit_count = COUNT(exits);
    mock.fail_at = fail_at;
    mock.fail_with = AXVCPU_EIO;
    forget_lines();
}

struct before {
    enum axvcpu_state state;
    void *owner;
    uint64_t unbinds;
};

static struct before look(void)
{
    struct before b = { axvcpu_get_state(&vcpu), vcpu.owner, mock.calls[MOCK_unbind] };

    return b;
}

// Steps from `from` on until one fails; its index.
static size_t live(size_t from, struct before *before, int *err)
{
    size_t i;

    for (i = from; i < COUNT(life); i++) {
        *before = look();
        *err = life[i].fn();
        must(axvcpu_current() == NULL);
        if (*err != AXVCPU_OK)
            break;
    }
    return i;
}

// ---- after a failure

static bool as_expected(enum effect effect, const struct before *b)
{
    if (effect == ZEROES)
        return memcmp(&vcpu, &zero, sizeof(vcpu)) == 0;
    if (effect == POISONS)
        return axvcpu_get_state(&vcpu) == AXVCPU_STATE_INVALID && vcpu.owner == NULL && caught.lines == 1;
    return effect == PERCPU || (axvcpu_get_state(&vcpu) == b->state && vcpu.owner == b->owner);
}

// A vCPU that its owner loses leaves the hardware once; one that nobody had bound is not unbound.
static bool unbound_once(enum effect effect, const struct before *b)
{
    bool lost = effect == POISONS && b->owner != NULL;

    return mock.failed == MOCK_bind || mock.calls[MOCK_unbind] - b->unbinds == (lost ? 1 : 0);
}

// What was refused is tried again; what is Invalid is reset and lives on; what is gone starts anew.
static bool recovers(size_t failed)
{
    struct before ignored;
    enum effect effect = life[failed].effect;
    int err = AXVCPU_OK;

    if (effect == UNCHANGED || effect == PERCPU || effect == ZEROES)
        return live(failed, &ignored, &err) == COUNT(life) && err == AXVCPU_OK;
    return axvcpu_reset(&vcpu) == AXVCPU_OK && axvcpu_get_state(&vcpu) == AXVCPU_STATE_CREATED &&
           setup() == AXVCPU_OK && bind() == AXVCPU_OK && run() == AXVCPU_OK && unbind() == AXVCPU_OK &&
           deinit() == AXVCPU_OK;
}

static void check(uint64_t n)
{
    struct before b;
    int err = AXVCPU_OK;
    size_t i;

    begin(n);
    i = live(0, &b, &err);
    must(mock.total >= n);
    if (i == COUNT(life)) { // nobody minds
        ok(mock.failed == MOCK_unbind && err == AXVCPU_OK, "call %u, %s: only a reset's unbind may fail unnoticed",
           (unsigned)n, mock_name(mock.failed));
        return;
    }
    ok_u64(mock.not_current, 0, "call %u: %s fails in %s: no leaf without its vCPU being current", (unsigned)n,
           mock_name(mock.failed), life[i].name);
    ok(err == AXVCPU_EIO && as_expected(life[i].effect, &b) && unbound_once(life[i].effect, &b) &&
           ((life[i].fn != run && life[i].fn != settle) || x.kind == AXVCPU_EXIT_NOTHING),
       "call %u: %s fails in %s: state, owner, one unbind", (unsigned)n, mock_name(mock.failed), life[i].name);
    ok(recovers(i) && axvcpu_current() == NULL && memcmp(&vcpu, &zero, sizeof(vcpu)) == 0,
       "call %u: %s fails in %s: and life goes on", (unsigned)n, mock_name(mock.failed), life[i].name);
}

// A backend's error reaches the caller as it is.
static void test_errors(void)
{
    int err;

    for (err = 1; err < AXVCPU_ERR_COUNT; err++) {
        struct before b;
        int got = AXVCPU_OK;

        begin(1);
        mock.fail_with = err;
        (void)live(0, &b, &got);
        ok_int(got, err, "a backend's %s reaches the caller", error_name(err));
    }
}

// The trick works only if every leaf that can fail takes part.
static void test_coverage(void)
{
    enum mock_leaf leaf;

    for (leaf = 0; leaf < MOCK_CAN_FAIL; leaf++)
        ok(mock.calls[leaf] > 0, "%s takes part", mock_name(leaf));
}

int main(void)
{
    struct before b;
    uint64_t n, total;
    int err = AXVCPU_OK;

    tap_begin(30);
    begin(0);
    ok(live(0, &b, &err) == COUNT(life) && err == AXVCPU_OK && memcmp(&vcpu, &zero, sizeof(vcpu)) == 0,
       "without a failure the life comes to its end");
    ok_u64(caught.lines, 0, "and nothing is logged");
    ok_u64(mock.exit_count, 0, "and all exits were seen");
    ok_u64(mock.not_current, 0, "and every leaf found its vCPU current");
    test_coverage();
    total = mock.total;
    for (n = 1; n <= total; n++)
        check(n);
    test_errors();
    return tap_done();
}
