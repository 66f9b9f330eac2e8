// SPDX-License-Identifier: Apache-2.0
//
// What the operations of a life carry over: identity, registers, set-up, and where the hardware state is.
#include "core.h"

static struct axvcpu vcpu;
static struct axvcpu_exit x;
static unsigned released;

static void on_release(struct axvcpu *v)
{
    (void)v;
    released++;
}

// ---- init

static void test_identity(void)
{
    static int user;
    const struct axvcpu_desc desc = {
        .vm_id = UINT32_MAX,
        .vcpu_id = 0x12345678,
        .favor_phys_cpu = 63,
        .phys_cpu_set = { { UINT64_C(0x8000000000000001) } },
        .user = &user,
        .release = on_release,
    };

    memset(&vcpu, 0xff, sizeof(vcpu));
    must(axvcpu_init(&vcpu, &desc) == AXVCPU_OK);
    ok_u64(axvcpu_vm_id(&vcpu), UINT32_MAX, "init: VM id");
    ok_u64(axvcpu_id(&vcpu), 0x12345678, "init: vCPU id");
    ok(!axvcpu_is_bsp(&vcpu), "trap 8: only id 0 is the boot CPU");
    ok_u64(axvcpu_favor_phys_cpu(&vcpu), 63, "init: favoured CPU");
    ok_u64(axvcpu_phys_cpu_set(&vcpu).bits[0], UINT64_C(0x8000000000000001), "init: CPU set");
    ok_ptr(axvcpu_user(&vcpu), &user, "init: user pointer");
    ok_int(axvcpu_get_state(&vcpu), AXVCPU_STATE_CREATED, "init: Created, whatever the object was");
    ok(vcpu.owner == NULL && !axvcpu_attention(&vcpu) && !axvcpu_pending(&vcpu), "init: nobody's, nothing pending");
    ok(axvcpu_unref(&vcpu) == AXVCPU_OK && released == 1, "init: with one reference, and the release function");
}

static void test_two_lives(void)
{
    static const struct axvcpu zero;

    bound(&vcpu);
    must(axvcpu_kick(&vcpu) == AXVCPU_OK && axvcpu_inject_interrupt(&vcpu, 5) == AXVCPU_OK &&
         axvcpu_unbind(&vcpu) == AXVCPU_OK);
    ok_int(axvcpu_deinit(&vcpu), AXVCPU_OK, "deinit");
    ok(memcmp(&vcpu, &zero, sizeof(vcpu)) == 0, "a deinited object is all zero");
    ok_int(axvcpu_deinit(&vcpu), AXVCPU_EINVAL, "deinit again: EINVAL");
    bound(&vcpu);
    ok(axvcpu_run(&vcpu, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_HALT && axvcpu_fake_delivered(&vcpu, 5) == 0,
       "a second life remembers nothing");
}

// ---- setup, at once and step by step

static void test_setup(void)
{
    static const struct axvcpu_arch_setup setup = { 77 };

    created(&vcpu);
    must(axvcpu_setup(&vcpu, axvcpu_gpa(0x1000), axvcpu_hpa(0x2000), &setup) == AXVCPU_OK);
    ok(vcpu.arch.entry == 0x1000 && vcpu.arch.root == 0x2000 && vcpu.arch.setup_value == 77,
       "setup: entry, root, configuration");
    created(&vcpu);
    must(axvcpu_setup(&vcpu, axvcpu_gpa(0x1000), axvcpu_hpa(0x2000), NULL) == AXVCPU_OK);
    ok_u64(vcpu.arch.setup_value, 0, "setup without a configuration: zero");
}

static void test_setup_stops_at_the_first_error(void)
{
    static const enum axvcpu_fake_op order[] = { AXVCPU_FAKE_SET_ENTRY, AXVCPU_FAKE_SET_ROOT, AXVCPU_FAKE_SETUP };
    size_t i, k;

    for (i = 0; i < COUNT(order); i++) {
        bool good = true;

        created(&vcpu);
        must(axvcpu_fake_fail(&vcpu, order[i], 1, AXVCPU_EIO) == AXVCPU_OK);
        must(axvcpu_setup(&vcpu, axvcpu_gpa(0), axvcpu_hpa(0), NULL) == AXVCPU_EIO);
        for (k = 0; k < COUNT(order); k++)
            good = good && axvcpu_fake_calls(&vcpu, order[k]) == (k <= i);
        ok(good, "setup: set_entry, set_ept_root, setup; it stops at error %zu", i + 1);
    }
}

static void test_step_by_step(void)
{
    created(&vcpu);
    must(axvcpu_set_entry(&vcpu, axvcpu_gpa(0x1000)) == AXVCPU_OK &&
         axvcpu_set_root(&vcpu, axvcpu_hpa(0x2000)) == AXVCPU_OK);
    ok(vcpu.arch.entry == 0x1000 && vcpu.arch.root == 0x2000 && reg_of(&vcpu, AXVCPU_REG_PC) == 0x1000 &&
           axvcpu_get_state(&vcpu) == AXVCPU_STATE_CREATED,
       "set_entry and set_root: step by step, in Created");
}

// ---- restart and reset

static void lived(void)
{
    uint32_t i;
    static const struct axvcpu_arch_setup setup = { 77 };

    created(&vcpu);
    must(axvcpu_setup(&vcpu, axvcpu_gpa(ENTRY), axvcpu_hpa(ROOT), &setup) == AXVCPU_OK &&
         axvcpu_bind(&vcpu) == AXVCPU_OK);
    for (i = 0; i < AXVCPU_LEAF_GPRS; i++)
        must(axvcpu_set_gpr(&vcpu, i, i + 1) == AXVCPU_OK);
    must(axvcpu_set_reg(&vcpu, AXVCPU_REG_SP, 9) == AXVCPU_OK &&
         axvcpu_set_reg(&vcpu, AXVCPU_REG_FLAGS, 8) == AXVCPU_OK);
}

static bool registers_zero(uint32_t from)
{
    uint32_t i;

    for (i = from; i < AXVCPU_LEAF_GPRS; i++)
        if (gpr_of(&vcpu, i) != 0)
            return false;
    return reg_of(&vcpu, AXVCPU_REG_SP) == 0 && reg_of(&vcpu, AXVCPU_REG_FLAGS) == 0;
}

static void test_restart(void)
{
    lived();
    must(axvcpu_restart(&vcpu, axvcpu_gpa(0x4000), UINT64_C(0x123456789abcdef0)) == AXVCPU_OK);
    ok(registers_zero(1), "restart: an architectural reset");
    ok_u64(gpr_of(&vcpu, 0), UINT64_C(0x123456789abcdef0), "restart: the argument, all 64 bits");
    ok_u64(reg_of(&vcpu, AXVCPU_REG_PC), 0x4000, "restart: the entry");
    ok(vcpu.arch.root == ROOT && vcpu.arch.setup_value == 77, "restart keeps root and set-up");
    ok(axvcpu_get_state(&vcpu) == AXVCPU_STATE_READY && axvcpu_fake_calls(&vcpu, AXVCPU_FAKE_UNBIND) == 0,
       "restart keeps the bind");
    ok(axvcpu_run(&vcpu, &x) == AXVCPU_OK, "restarted, it runs");
}

static void test_reset(void)
{
    lived();
    must(axvcpu_reset(&vcpu) == AXVCPU_OK);
    ok(registers_zero(0) && reg_of(&vcpu, AXVCPU_REG_PC) == 0, "reset: an architectural reset");
    ok(vcpu.arch.root == 0 && vcpu.arch.entry == 0 && vcpu.arch.setup_value == 0, "reset: as after init");
    ok(vcpu.refs == 1 && axvcpu_id(&vcpu) == 7 && axvcpu_vm_id(&vcpu) == 1, "reset keeps identity and references");
}

// Invalid is no dead end, and its registers can still be read.
static void test_invalid(void)
{
    uint64_t value = 0;

    lived();
    must(axvcpu_fake_fail(&vcpu, AXVCPU_FAKE_RUN, 1, AXVCPU_EIO) == AXVCPU_OK && axvcpu_run(&vcpu, &x) == AXVCPU_EIO);
    ok(axvcpu_get_gpr(&vcpu, 3, &value) == AXVCPU_OK && value == 4, "post-mortem: registers are readable in Invalid");
    ok(axvcpu_get_reg(&vcpu, AXVCPU_REG_SP, &value) == AXVCPU_OK && value == 9, "post-mortem: the stack pointer too");
    ok_int(axvcpu_set_gpr(&vcpu, 3, 1), AXVCPU_EBADSTATE, "but not writable");
    ok(axvcpu_reset(&vcpu) == AXVCPU_OK && axvcpu_get_state(&vcpu) == AXVCPU_STATE_CREATED, "reset brings it back");
    lived();
    must(axvcpu_fake_fail(&vcpu, AXVCPU_FAKE_RUN, 1, AXVCPU_EIO) == AXVCPU_OK && axvcpu_run(&vcpu, &x) == AXVCPU_EIO);
    ok_int(axvcpu_deinit(&vcpu), AXVCPU_OK, "and deinit ends it");
}

// ---- put and load

static void put(void)
{
    bound(&vcpu);
    must(axvcpu_put(&vcpu) == AXVCPU_OK);
    forget_lines();
}

static void check_refused(const char *name, int err, const char *line)
{
    ok_str(caught.last, line, "%s: the line says why", name);
    ok(err == AXVCPU_EBADSTATE && caught.lines == 1 && axvcpu_get_state(&vcpu) == AXVCPU_STATE_READY &&
           vcpu.owner == AXVCPU_CPU_TOKEN() && axvcpu_current() == NULL,
       "%s: EBADSTATE, one line, unchanged", name);
}

static void test_put_and_load(void)
{
    put();
    ok(axvcpu_get_state(&vcpu) == AXVCPU_STATE_READY && vcpu.owner == AXVCPU_CPU_TOKEN(), "put: state and owner stay");
    check_refused("run of a put vCPU", axvcpu_run(&vcpu, &x), "run of vCPU 1.7: it is put; load it first");
    forget_lines();
    check_refused("put of a put vCPU", axvcpu_put(&vcpu), "put of vCPU 1.7: it is put already");
    must(axvcpu_load(&vcpu) == AXVCPU_OK);
    forget_lines();
    check_refused("load of a loaded vCPU", axvcpu_load(&vcpu), "load of vCPU 1.7: it is loaded already");
    ok(axvcpu_run(&vcpu, &x) == AXVCPU_OK && axvcpu_fake_calls(&vcpu, AXVCPU_FAKE_PUT) == 1 &&
           axvcpu_fake_calls(&vcpu, AXVCPU_FAKE_LOAD) == 1,
       "loaded, it runs");
}

static bool runs_without_load(void)
{
    return axvcpu_run(&vcpu, &x) == AXVCPU_OK;
}

static void test_put_ends(void)
{
    put();
    must(axvcpu_unbind(&vcpu) == AXVCPU_OK && axvcpu_bind(&vcpu) == AXVCPU_OK);
    ok(runs_without_load(), "unbind and bind: no longer put");
    put();
    must(axvcpu_reset(&vcpu) == AXVCPU_OK && axvcpu_setup(&vcpu, axvcpu_gpa(0), axvcpu_hpa(0), NULL) == AXVCPU_OK &&
         axvcpu_bind(&vcpu) == AXVCPU_OK);
    ok(runs_without_load(), "reset: no longer put");
}

static void test_put_stays(void)
{
    put();
    must(axvcpu_restart(&vcpu, axvcpu_gpa(ENTRY), 0) == AXVCPU_OK);
    ok(!runs_without_load() && axvcpu_load(&vcpu) == AXVCPU_OK && runs_without_load(), "restart: still put");
    put();
    must(axvcpu_block(&vcpu) == AXVCPU_OK && axvcpu_unblock(&vcpu) == AXVCPU_OK);
    ok(!runs_without_load() && axvcpu_load(&vcpu) == AXVCPU_OK && runs_without_load(), "block and unblock: still put");
    bound(&vcpu);
    must(axvcpu_block(&vcpu) == AXVCPU_OK && axvcpu_put(&vcpu) == AXVCPU_OK && axvcpu_load(&vcpu) == AXVCPU_OK);
    ok(axvcpu_get_state(&vcpu) == AXVCPU_STATE_BLOCKED && axvcpu_unblock(&vcpu) == AXVCPU_OK && runs_without_load(),
       "put and load while Blocked");
    bound(&vcpu);
    must(axvcpu_block(&vcpu) == AXVCPU_OK && axvcpu_put(&vcpu) == AXVCPU_OK && axvcpu_unblock(&vcpu) == AXVCPU_OK);
    ok(!runs_without_load() && axvcpu_load(&vcpu) == AXVCPU_OK && runs_without_load(),
       "put while Blocked, then woken: still put");
}

int main(void)
{
    tap_begin(30);
    test_identity();
    test_two_lives();
    test_setup();
    test_setup_stops_at_the_first_error();
    test_step_by_step();
    test_restart();
    test_reset();
    test_invalid();
    test_put_and_load();
    test_put_ends();
    test_put_stays();
    return tap_done();
}
