// SPDX-License-Identifier: Apache-2.0
// flags: -UAXVCPU_ARCH_FAKE -DAXVCPU_ARCH_HEADER="tests/core/mock.h"
//
// What the 16 unit tests of the Rust axvcpu check, under their names. Those that went past the vCPU to the
// backend there (its per-CPU code did not link in tests) go through the vCPU here.
#include "core.h"

static struct axvcpu vcpu;

static void create(uint32_t vcpu_id)
{
    const struct axvcpu_desc desc = { .vm_id = 1, .vcpu_id = vcpu_id };

    memset(&mock, 0, sizeof(mock));
    must(axvcpu_init(&vcpu, &desc) == AXVCPU_OK);
}

static int setup(void)
{
    const struct axvcpu_arch_setup config = { 3 };

    return axvcpu_setup(&vcpu, axvcpu_gpa(0x1000), axvcpu_hpa(0x2000), &config);
}

static void ok_journal(const char *name, const enum mock_leaf *want, size_t n)
{
    size_t i;

    ok_u64(mock.length, n, "%s: %zu calls of the backend", name, n);
    for (i = 0; i < n; i++)
        ok_str(i < mock.length ? mock_name(mock.journal[i]) : NULL, mock_name(want[i]), "%s: call %zu", name, i);
}

#define JOURNAL(...)                                                        \
    do {                                                                    \
        static const enum mock_leaf want[] = { __VA_ARGS__ };               \
        ok_journal(__func__, want, COUNT(want));                            \
    } while (0)

static void test_vcpu_creation(void)
{
    uint64_t any = 0;
    size_t i;

    create(0);
    ok_u64(axvcpu_id(&vcpu), 0, "%s: id", __func__);
    ok_u64(axvcpu_vm_id(&vcpu), 1, "%s: VM id", __func__);
    ok_u64(axvcpu_favor_phys_cpu(&vcpu), 0, "%s: favoured CPU", __func__);
    for (i = 0; i < AXVCPU_MAX_PHYS_CPUS / 64; i++)
        any |= axvcpu_phys_cpu_set(&vcpu).bits[i];
    ok_u64(any, 0, "%s: no CPU set", __func__);
    ok_int(axvcpu_get_state(&vcpu), AXVCPU_STATE_CREATED, "%s: Created", __func__);
    ok(axvcpu_is_bsp(&vcpu), "%s: the boot CPU", __func__);
    JOURNAL(MOCK_create);
}

static void test_vcpu_setup_lifecycle(void)
{
    create(0);
    ok_int(setup(), AXVCPU_OK, "%s: setup", __func__);
    ok_u64(vcpu.arch.entry, 0x1000, "%s: the entry arrives", __func__);
    ok_u64(vcpu.arch.root, 0x2000, "%s: the root arrives", __func__);
    ok_u64(vcpu.arch.setup_value, 3, "%s: the configuration arrives", __func__);
    ok_int(axvcpu_get_state(&vcpu), AXVCPU_STATE_FREE, "%s: Free", __func__);
    JOURNAL(MOCK_create, MOCK_set_entry, MOCK_set_root, MOCK_setup);
}

static void test_vcpu_state_transitions(void)
{
    create(0);
    ok_int(axvcpu_transition(&vcpu, AXVCPU_STATE_CREATED, AXVCPU_STATE_FREE), AXVCPU_OK, "%s: Created to Free",
           __func__);
    ok_int(axvcpu_get_state(&vcpu), AXVCPU_STATE_FREE, "%s: is Free", __func__);
    ok_int(axvcpu_transition(&vcpu, AXVCPU_STATE_FREE, AXVCPU_STATE_READY), AXVCPU_OK, "%s: Free to Ready", __func__);
    ok_int(axvcpu_get_state(&vcpu), AXVCPU_STATE_READY, "%s: is Ready", __func__);
    ok_int(axvcpu_transition(&vcpu, AXVCPU_STATE_RUNNING, AXVCPU_STATE_FREE), AXVCPU_EBADSTATE,
           "%s: Running to Free is refused", __func__);
    ok_int(axvcpu_get_state(&vcpu), AXVCPU_STATE_INVALID, "%s: is Invalid", __func__);
}

static void test_vcpu_bind_unbind(void)
{
    create(0);
    must(setup() == AXVCPU_OK);
    ok_int(axvcpu_bind(&vcpu), AXVCPU_OK, "%s: bind", __func__);
    ok(vcpu.arch.bound, "%s: the backend is bound", __func__);
    ok_int(axvcpu_unbind(&vcpu), AXVCPU_OK, "%s: unbind", __func__);
    ok(!vcpu.arch.bound, "%s: the backend is not bound", __func__);
    JOURNAL(MOCK_create, MOCK_set_entry, MOCK_set_root, MOCK_setup, MOCK_bind, MOCK_unbind);
}

static void test_vcpu_run(void)
{
    struct axvcpu_exit x;

    create(0);
    must(setup() == AXVCPU_OK && axvcpu_bind(&vcpu) == AXVCPU_OK);
    ok_int(axvcpu_run(&vcpu, &x), AXVCPU_OK, "%s: run", __func__);
    ok_u64(x.kind, AXVCPU_EXIT_HALT, "%s: returns HALT", __func__);
    ok_u64(mock.calls[MOCK_run], 1, "%s: the backend ran once", __func__);
}

static void test_vcpu_register_operations(void)
{
    create(0);
    ok_int(axvcpu_set_gpr(&vcpu, 5, 0xdeadbeef), AXVCPU_OK, "%s: set_gpr", __func__);
    ok_int(axvcpu_set_return_value(&vcpu, 42), AXVCPU_OK, "%s: set_return_value", __func__);
    ok_u64(vcpu.arch.gpr[5], 0xdeadbeef, "%s: register 5 arrives", __func__);
    ok_u64(vcpu.arch.gpr[AXVCPU_LEAF_RETURN_GPR], 42, "%s: the return value arrives", __func__);
    JOURNAL(MOCK_create, MOCK_set_reg, MOCK_set_reg);
}

static void test_vcpu_interrupt_injection(void)
{
    struct axvcpu_exit x;

    create(0);
    ok_int(axvcpu_inject_interrupt(&vcpu, 32), AXVCPU_OK, "%s: inject", __func__);
    must(setup() == AXVCPU_OK && axvcpu_bind(&vcpu) == AXVCPU_OK && axvcpu_run(&vcpu, &x) == AXVCPU_OK);
    ok_u64(mock.taken[32], 1, "%s: interrupt 32 arrives", __func__);
}

static void test_exit_reason_debug_format(void)
{
    const struct axvcpu_exit x = { .kind = AXVCPU_EXIT_MMIO_READ, .mmio = { 0x1000, 0, 4, 5, 8, false } };
    char text[160];

    ok(axvcpu_exit_print(text, sizeof(text), &x) < sizeof(text), "%s: fits", __func__);
    ok(strstr(text, "MMIO_READ") != NULL, "%s: has the name", __func__);
    ok(strstr(text, "0x1000") != NULL, "%s: has the address", __func__);
}

static void test_exit_reason_hypercall(void)
{
    const struct axvcpu_exit call = { .kind = AXVCPU_EXIT_HYPERCALL, .hypercall = { 42, { 1, 2, 3, 4, 5, 6 } } };
    struct axvcpu_exit x;

    create(0);
    mock.exits = &call;
    mock.exit_count = 1;
    must(setup() == AXVCPU_OK && axvcpu_bind(&vcpu) == AXVCPU_OK && axvcpu_run(&vcpu, &x) == AXVCPU_OK);
    ok_u64(x.kind, AXVCPU_EXIT_HYPERCALL, "%s: kind", __func__);
    ok_u64(x.hypercall.nr, 42, "%s: number", __func__);
    ok_u64(x.hypercall.args[0], 1, "%s: first argument", __func__);
    ok_u64(x.hypercall.args[5], 6, "%s: last argument", __func__);
}

static void test_vcpu_state_display(void)
{
    ok_int(AXVCPU_STATE_INVALID, 0, "%s: Invalid", __func__);
    ok_int(AXVCPU_STATE_CREATED, 1, "%s: Created", __func__);
    ok_int(AXVCPU_STATE_FREE, 2, "%s: Free", __func__);
    ok_int(AXVCPU_STATE_READY, 3, "%s: Ready", __func__);
    ok_int(AXVCPU_STATE_RUNNING, 4, "%s: Running", __func__);
    ok_int(AXVCPU_STATE_BLOCKED, 5, "%s: Blocked", __func__);
}

static void test_vcpu_setup_wrong_state(void)
{
    create(0);
    must(axvcpu_transition(&vcpu, AXVCPU_STATE_CREATED, AXVCPU_STATE_READY) == AXVCPU_OK);
    ok_int(setup(), AXVCPU_EBADSTATE, "%s: setup in Ready is refused", __func__);
    ok_int(axvcpu_get_state(&vcpu), AXVCPU_STATE_INVALID, "%s: is Invalid", __func__);
    JOURNAL(MOCK_create);
}

static void test_vcpu_run_without_bind(void)
{
    struct axvcpu_exit x;

    create(0);
    must(setup() == AXVCPU_OK);
    ok_int(axvcpu_run(&vcpu, &x), AXVCPU_EBADSTATE, "%s: run is refused", __func__);
    ok_u64(x.kind, AXVCPU_EXIT_NOTHING, "%s: no exit", __func__);
    ok_u64(mock.calls[MOCK_run], 0, "%s: the backend did not run", __func__);
}

static void test_vcpu_bsp_identification(void)
{
    create(0);
    ok(axvcpu_is_bsp(&vcpu), "%s: 0 is the boot CPU", __func__);
    create(1);
    ok(!axvcpu_is_bsp(&vcpu), "%s: 1 is not", __func__);
}

static void test_vcpu_cpu_affinity(void)
{
    const struct axvcpu_desc desc = { .vm_id = 1, .favor_phys_cpu = 2, .phys_cpu_set = { { 0xa } } };

    must(axvcpu_init(&vcpu, &desc) == AXVCPU_OK);
    ok_u64(axvcpu_favor_phys_cpu(&vcpu), 2, "%s: favoured CPU 2", __func__);
    ok_u64(axvcpu_phys_cpu_set(&vcpu).bits[0], 0xa, "%s: set 0b1010", __func__);
}

static void test_vcpu_creation_failure(void)
{
    const struct axvcpu_desc desc = { .arch = { AXVCPU_ENOMEM } };
    static const struct axvcpu zero;

    memset(&vcpu, 0x5a, sizeof(vcpu));
    ok_int(axvcpu_init(&vcpu, &desc), AXVCPU_ENOMEM, "%s: the backend's error is reported", __func__);
    ok(memcmp(&vcpu, &zero, sizeof(vcpu)) == 0, "%s: the object is all zero", __func__);
    ok(axvcpu_current() == NULL, "%s: nothing is current", __func__);
}

static void test_arch_vcpu_lifecycle(void)
{
    struct axvcpu_exit x;

    create(0);
    must(setup() == AXVCPU_OK && axvcpu_bind(&vcpu) == AXVCPU_OK);
    ok(axvcpu_run(&vcpu, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_HALT, "%s: runs to HALT", __func__);
    ok_int(axvcpu_unbind(&vcpu), AXVCPU_OK, "%s: unbind", __func__);
    ok_int(axvcpu_deinit(&vcpu), AXVCPU_OK, "%s: deinit", __func__);
    JOURNAL(MOCK_create, MOCK_set_entry, MOCK_set_root, MOCK_setup, MOCK_bind, MOCK_run, MOCK_unbind, MOCK_destroy);
}

int main(void)
{
    tap_begin(30);
    test_vcpu_creation();
    test_vcpu_setup_lifecycle();
    test_vcpu_state_transitions();
    test_vcpu_bind_unbind();
    test_vcpu_run();
    test_vcpu_register_operations();
    test_vcpu_interrupt_injection();
    test_exit_reason_debug_format();
    test_exit_reason_hypercall();
    test_vcpu_state_display();
    test_vcpu_setup_wrong_state();
    test_vcpu_run_without_bind();
    test_vcpu_bsp_identification();
    test_vcpu_cpu_affinity();
    test_vcpu_creation_failure();
    test_arch_vcpu_lifecycle();
    return tap_done();
}
