// SPDX-License-Identifier: Apache-2.0
//
// A VM from init to deinit: every status x every call, who may run when, failures of init and boot at each
// vCPU, and references that outlive the VM.
#include "vm.h"

static struct machine mc;

// ---- status x call

#define CALLS(X) \
    X(INIT) X(BOOT) X(RUN) X(STEP) X(PAUSE) X(RESUME) X(SHUTDOWN) X(WAIT_IDLE) X(CPU_UP) X(INJECT) X(DEINIT)
#define CALL_ENUM(name) CALL_##name,
enum call { CALLS(CALL_ENUM) CALL_COUNT };
#define CALL_NAME(name) #name,
static const char *const call_names[] = { CALLS(CALL_NAME) };

enum { SAME = -1, GONE = -2, LEFT_OUT = -3 };
struct cell {
    int err, next; // next: the status afterwards, SAME, or GONE: all zero
    uint32_t kind, flags;
};
#define TO(status) { AXVCPU_OK, AXVM_STATUS_##status, 0, 0 }
#define FINE { AXVCPU_OK, SAME, 0, 0 }
#define WRONG { AXVCPU_EBADSTATE, SAME, 0, 0 }
#define BUSY { AXVCPU_EBUSY, SAME, 0, 0 }
#define DEAD { AXVCPU_OK, GONE, 0, 0 }
#define RUNS { AXVCPU_OK, AXVM_STATUS_RUNNING, AXVCPU_EXIT_HYPERCALL, 0 }
#define PAUSED { AXVCPU_OK, SAME, AXVCPU_EXIT_CANCELED, AXVCPU_EXIT_PAUSED }
#define DOWN { AXVCPU_OK, SAME, AXVCPU_EXIT_SYSTEM_DOWN, 0 }
#define OMITTED { 0, LEFT_OUT, 0, 0 }

// clang-format off
static const struct cell cells[CALL_COUNT][AXVM_STATUS_COUNT] = {
    //                   Loading      Loaded         Running        Suspended    Stopping (somebody inside)  Stopped
    [CALL_INIT]      = { TO(LOADING), TO(LOADING),   TO(LOADING),   TO(LOADING), OMITTED,     TO(LOADING) },
    [CALL_BOOT]      = { TO(LOADED),  WRONG,         WRONG,         WRONG,       WRONG,       WRONG },
    [CALL_RUN]       = { WRONG,       RUNS,          RUNS,          PAUSED,      DOWN,        DOWN },
    [CALL_STEP]      = { WRONG,       RUNS,          RUNS,          PAUSED,      DOWN,        DOWN },
    [CALL_PAUSE]     = { WRONG,       TO(SUSPENDED), TO(SUSPENDED), WRONG,       WRONG,       WRONG },
    [CALL_RESUME]    = { WRONG,       WRONG,         WRONG,         TO(RUNNING), WRONG,       WRONG },
    [CALL_SHUTDOWN]  = { WRONG,       TO(STOPPED),   TO(STOPPED),   TO(STOPPED), WRONG,       WRONG },
    [CALL_WAIT_IDLE] = { FINE,        FINE,          FINE,          FINE,        TO(STOPPED), FINE },
    [CALL_CPU_UP]    = { WRONG,       FINE,          FINE,          FINE,        FINE,        FINE },
    [CALL_INJECT]    = { FINE,        FINE,          FINE,          FINE,        FINE,        FINE },
    [CALL_DEINIT]    = { DEAD,        DEAD,          DEAD,          DEAD,        BUSY,        DEAD },
};
// clang-format on

// Somebody inside: a thread in a handler of vCPU 2 until it is let go.
static uint32_t guest_inside, let_go;

static enum axvm_answer stay(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    (void)vm, (void)v, (void)x, (void)arg;
    PUT(&guest_inside, 1u);
    UNTIL(GET(&let_go) != 0);
    return AXVM_DONE;
}

static void *insider(void *arg)
{
    struct machine *m = arg;
    struct axvcpu_exit x;

    must(axvm_run_vcpu(&m->vm, 2, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_SYSTEM_DOWN);
    return NULL;
}

static const struct axvcpu_fake_step calls_for_ever[] = { CALL(1) };
static const struct axvcpu_fake_step stays_inside[] = { MMIO_WRITE(0x1000, 1, 1) };

// The VM in that status; true: *t is a thread inside it.
static bool reach(struct machine *m, enum axvm_status status, pthread_t *t)
{
    struct axvcpu_exit x, up = { .kind = AXVCPU_EXIT_CPU_UP, .cpu_up = { 2, AP_ENTRY, 0 } };

    vm_loading(m, 3);
    PLAY_LOOP(m, 0, calls_for_ever);
    PLAY_LOOP(m, 2, stays_inside);
    must(axvm_add_mmio(&m->vm, 0x1000, 1, stay, NULL) == AXVCPU_OK);
    if (status == AXVM_STATUS_LOADING)
        return false;
    must(axvm_boot(&m->vm) == AXVCPU_OK);
    if (status == AXVM_STATUS_LOADED)
        return false;
    must(axvm_run_vcpu(&m->vm, 0, &x) == AXVCPU_OK && axvm_get_status(&m->vm) == AXVM_STATUS_RUNNING);
    if (status == AXVM_STATUS_SUSPENDED)
        must(axvm_pause(&m->vm) == AXVCPU_OK);
    if (status == AXVM_STATUS_STOPPING) {
        guest_inside = let_go = 0;
        must(axvm_cpu_up(&m->vm, &up) == AXVCPU_OK);
        *t = thread(insider, m);
        UNTIL(GET(&guest_inside) != 0);
    }
    if (status >= AXVM_STATUS_STOPPING)
        must(axvm_shutdown(&m->vm) == AXVCPU_OK);
    must(axvm_get_status(&m->vm) == status);
    return status == AXVM_STATUS_STOPPING;
}

static int call(struct machine *m, enum call which, struct axvcpu_exit *x)
{
    struct axvm_desc d = vm_desc(m, 3);
    struct axvcpu_exit up = { .kind = AXVCPU_EXIT_CPU_UP, .cpu_up = { 1, AP_ENTRY, 0 } };

    switch (which) {
    case CALL_INIT: return axvm_init(&m->vm, &d);
    case CALL_BOOT: return axvm_boot(&m->vm);
    case CALL_RUN: return axvm_run_vcpu(&m->vm, 0, x);
    case CALL_STEP: return axvm_step(&m->vm, 0, x);
    case CALL_PAUSE: return axvm_pause(&m->vm);
    case CALL_RESUME: return axvm_resume(&m->vm);
    case CALL_SHUTDOWN: return axvm_shutdown(&m->vm);
    case CALL_WAIT_IDLE: return axvm_wait_idle(&m->vm);
    case CALL_CPU_UP: return axvm_cpu_up(&m->vm, &up);
    case CALL_INJECT: return axvm_inject(&m->vm, 7, 40);
    default: return axvm_deinit(&m->vm);
    }
}

// The states of the vCPUs in one number.
static uint32_t states(const struct machine *m)
{
    uint32_t i, all = 0;

    for (i = 0; i < VM_VCPUS; i++)
        all = all << 4 | axvcpu_get_state(&m->vcpu[i]);
    return all;
}

static void test_cell(enum call which, enum axvm_status status)
{
    const struct cell *c = &cells[which][status];
    struct axvcpu_exit x = { .kind = 0xbad, .flags = 0xbad };
    uint32_t before;
    pthread_t t = pthread_self();
    bool inside, good;
    int err;

    if (c->next == LEFT_OUT)
        return;
    inside = reach(&mc, status, &t);
    if (which == CALL_STEP && status != AXVM_STATUS_LOADING)
        must(axvcpu_bind(&mc.vcpu[0]) == AXVCPU_OK);
    if (which == CALL_WAIT_IDLE)
        PUT(&let_go, 1u);
    before = states(&mc);
    forget_lines();
    err = call(&mc, which, &x);
    good = err == c->err;
    if (c->next == GONE)
        good = good && all_zero(&mc.vm, sizeof(mc.vm)) && all_zero(mc.vcpu, sizeof(mc.vcpu));
    else
        good = good && axvm_get_status(&mc.vm) == (c->next == SAME ? status : (enum axvm_status)c->next);
    if (err == AXVCPU_EBADSTATE)
        good = good && states(&mc) == before && caught.lines == 1;
    if (which == CALL_RUN || which == CALL_STEP)
        good = good && x.kind == c->kind && x.flags == c->flags;
    if (c->kind == AXVCPU_EXIT_SYSTEM_DOWN)
        good = good && x.system.reason == AXVCPU_SYSTEM_OFF;
    ok(good, "%s in %s: %s (is %s), now %s", call_names[which], axvm_status_name(status), error_name(c->err), error_name(err),
       c->next == GONE ? "gone" : axvm_status_name(axvm_get_status(&mc.vm)));
    if (inside) {
        PUT(&let_go, 1u);
        join(t);
        must(axvm_get_status(&mc.vm) == AXVM_STATUS_STOPPED);
    }
    if (axvcpu_get_state(&mc.vcpu[0]) == AXVCPU_STATE_READY)
        must(axvcpu_unbind(&mc.vcpu[0]) == AXVCPU_OK);
    if (c->next != GONE)
        vm_gone(&mc);
}

static void test_calls_on_nothing(void)
{
    static struct axvm none;
    struct axvcpu_exit x, up = { .kind = AXVCPU_EXIT_CPU_UP };
    struct axvm *const vms[] = { NULL, &none };
    size_t i, e;

    for (i = 0; i < COUNT(vms); i++) {
        struct axvm *vm = vms[i];
        int errs[] = {
            axvm_boot(vm), axvm_deinit(vm), axvm_pause(vm), axvm_resume(vm), axvm_shutdown(vm), axvm_wait_idle(vm),
            axvm_run_vcpu(vm, 0, &x), axvm_step(vm, 0, &x), axvm_cpu_up(vm, &up), axvm_inject(vm, 1, 1),
            axvm_irq_line(vm, 1, true),
        };

        for (e = 0; e < COUNT(errs); e++)
            ok(errs[e] == AXVCPU_EINVAL, "call %zu on %s: EINVAL", e, vm == NULL ? "NULL" : "a zeroed object");
        ok(axvm_vcpu(vm, 0) == NULL, "and it has no vCPU");
    }
    ok(all_zero(&none, sizeof(none)), "the zeroed object stays so");
}

// ---- who may run: each row on a VM that is Loaded, vCPU 0 for ever at a hypercall

struct visit {
    const char *name;
    void (*prepare)(void);
    int (*visit)(struct axvcpu_exit *);
    void (*undo)(void);
    int err;
    enum axvcpu_state state; // of vCPU `id` afterwards (before undo)
    int status;              // the VM's, or SAME: Loaded or Running
    uint32_t id, kind;
};

static int run0(struct axvcpu_exit *x) { return axvm_run_vcpu(&mc.vm, 0, x); }
static int run1(struct axvcpu_exit *x) { return axvm_run_vcpu(&mc.vm, 1, x); }
static int run_unknown(struct axvcpu_exit *x) { return axvm_run_vcpu(&mc.vm, 3, x); }
static int run_far(struct axvcpu_exit *x) { return axvm_run_vcpu(&mc.vm, UINT32_MAX, x); }
static int run_null(struct axvcpu_exit *x) { x->kind = AXVCPU_EXIT_NOTHING; return axvm_run_vcpu(&mc.vm, 0, NULL); }
static int step0(struct axvcpu_exit *x) { return axvm_step(&mc.vm, 0, x); }
static int step1(struct axvcpu_exit *x) { return axvm_step(&mc.vm, 1, x); }
static int step_unknown(struct axvcpu_exit *x) { return axvm_step(&mc.vm, 3, x); }
static int step_null(struct axvcpu_exit *x) { x->kind = AXVCPU_EXIT_NOTHING; return axvm_step(&mc.vm, 0, NULL); }

static void nothing(void) {}
static void bind0(void) { must(axvcpu_bind(&mc.vcpu[0]) == AXVCPU_OK); }
static void bind1(void) { must(axvcpu_bind(&mc.vcpu[1]) == AXVCPU_OK); }
static void unbind0(void) { must(axvcpu_unbind(&mc.vcpu[0]) == AXVCPU_OK); }
static void unbind1(void) { must(axvcpu_unbind(&mc.vcpu[1]) == AXVCPU_OK); }
static void block0(void) { bind0(); must(axvcpu_block(&mc.vcpu[0]) == AXVCPU_OK); }
static void unblock0(void) { must(axvcpu_unblock(&mc.vcpu[0]) == AXVCPU_OK); unbind0(); }
static void invalid0(void)
{
    must(axvcpu_setup(&mc.vcpu[0], axvcpu_gpa(0), axvcpu_hpa(0), NULL) == AXVCPU_EBADSTATE);
}
static void kick0(void) { must(axvcpu_kick(&mc.vcpu[0]) == AXVCPU_OK); }

// Another thread that has bound vCPU 0, and blocked it if asked.
static struct { pthread_t t; uint32_t there, go; bool block; } other;
static void *other_main(void *arg)
{
    (void)arg;
    bind0();
    if (other.block)
        must(axvcpu_block(&mc.vcpu[0]) == AXVCPU_OK);
    PUT(&other.there, 1u);
    UNTIL(GET(&other.go) != 0);
    if (other.block)
        must(axvcpu_unblock(&mc.vcpu[0]) == AXVCPU_OK);
    unbind0();
    return NULL;
}
static void other_starts(bool block)
{
    other.there = other.go = 0;
    other.block = block;
    other.t = thread(other_main, NULL);
    UNTIL(GET(&other.there) != 0);
}
static void other_binds(void) { other_starts(false); }
static void other_blocks(void) { other_starts(true); }
static void other_ends(void)
{
    PUT(&other.go, 1u);
    join(other.t);
}

static int in_current(struct axvcpu *v, void *arg)
{
    (void)v;
    return axvm_run_vcpu(&mc.vm, 0, arg);
}
static int run_nested(struct axvcpu_exit *x) { return axvcpu_with_current(&mc.vcpu[1], in_current, x); }
static int step_in_current(struct axvcpu *v, void *arg)
{
    (void)v;
    return axvm_step(&mc.vm, 0, arg);
}
static int step_nested(struct axvcpu_exit *x) { return axvcpu_with_current(&mc.vcpu[1], step_in_current, x); }

// The AP up, down again by its guest.
static void up1(void) { vm_all_up(&mc); }
static void up_down1(void)
{
    static const struct axvcpu_fake_step down[] = { CPU_DOWN };
    struct axvcpu_exit x;

    vm_all_up(&mc);
    PLAY(&mc, 1, down);
    must(axvm_run_vcpu(&mc.vm, 1, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_CPU_DOWN);
}
static void up_bind1(void) { up1(); bind1(); }
static void up_down_bind1(void) { up_down1(); bind1(); }

// run_vcpu of the very vCPU in its own handler.
static int handler_err;
static struct axvcpu_exit handler_exit;
static enum axvm_answer run_own(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    (void)x, (void)arg;
    handler_err = axvm_run_vcpu(vm, axvcpu_id(v), &handler_exit);
    return AXVM_RETURN;
}
static void set_run_own(void) { must(axvm_set_default(&mc.vm, AXVCPU_EXIT_HYPERCALL, run_own, NULL) == AXVCPU_OK); }
static int run_in_handler(struct axvcpu_exit *x)
{
    int err = axvm_run_vcpu(&mc.vm, 0, x);

    x->kind = err == AXVCPU_OK && x->kind == AXVCPU_EXIT_HYPERCALL ? handler_exit.kind : 0xbad;
    return handler_err;
}
static int step_in_handler(struct axvcpu_exit *x)
{
    int err = axvm_step(&mc.vm, 0, x);

    x->kind = err == AXVCPU_OK && x->kind == AXVCPU_EXIT_HYPERCALL ? handler_exit.kind : 0xbad;
    return handler_err;
}
static void bind_run_own(void) { set_run_own(); bind0(); }

#define NO AXVCPU_EXIT_NOTHING
static const struct visit visits[] = {
    { "run", nothing, run0, nothing, AXVCPU_OK, AXVCPU_STATE_FREE, AXVM_STATUS_RUNNING, 0, AXVCPU_EXIT_HYPERCALL },
    { "run of an unknown id", nothing, run_unknown, nothing, AXVCPU_EINVAL, AXVCPU_STATE_FREE, AXVM_STATUS_LOADED, 0, 0xbad },
    { "run of id 2^32 - 1", nothing, run_far, nothing, AXVCPU_EINVAL, AXVCPU_STATE_FREE, AXVM_STATUS_LOADED, 0, 0xbad },
    { "run with NULL", nothing, run_null, nothing, AXVCPU_EINVAL, AXVCPU_STATE_FREE, AXVM_STATUS_LOADED, 0, NO },
    { "run, kicked before", kick0, run0, nothing, AXVCPU_OK, AXVCPU_STATE_FREE, AXVM_STATUS_RUNNING, 0, AXVCPU_EXIT_CANCELED },
    { "run of an AP that is not up", nothing, run1, nothing, AXVCPU_EAGAIN, AXVCPU_STATE_FREE, AXVM_STATUS_LOADED, 1, NO },
    { "run of an AP that is up", up1, run1, nothing, AXVCPU_OK, AXVCPU_STATE_FREE, AXVM_STATUS_RUNNING, 1, AXVCPU_EXIT_HALT },
    { "run of an AP that went down", up_down1, run1, nothing, AXVCPU_EAGAIN, AXVCPU_STATE_FREE, AXVM_STATUS_RUNNING, 1, NO },
    { "run of what this thread has bound", bind0, run0, unbind0, AXVCPU_EAGAIN, AXVCPU_STATE_READY, AXVM_STATUS_LOADED, 0, NO },
    { "run of what another has bound", other_binds, run0, other_ends, AXVCPU_EAGAIN, AXVCPU_STATE_READY, AXVM_STATUS_LOADED, 0, NO },
    { "run of what this thread has blocked", block0, run0, unblock0, AXVCPU_EAGAIN, AXVCPU_STATE_BLOCKED, AXVM_STATUS_LOADED, 0, NO },
    { "run of what another has blocked", other_blocks, run0, other_ends, AXVCPU_EAGAIN, AXVCPU_STATE_BLOCKED, AXVM_STATUS_LOADED, 0, NO },
    { "run of itself inside its handler", set_run_own, run_in_handler, nothing, AXVCPU_EAGAIN, AXVCPU_STATE_FREE, AXVM_STATUS_RUNNING, 0, NO },
    { "run inside another operation", nothing, run_nested, nothing, AXVCPU_ENESTED, AXVCPU_STATE_FREE, AXVM_STATUS_LOADED, 0, NO },
    { "run of an Invalid one", invalid0, run0, nothing, AXVCPU_EBADSTATE, AXVCPU_STATE_INVALID, AXVM_STATUS_LOADED, 0, NO },
    { "step", bind0, step0, unbind0, AXVCPU_OK, AXVCPU_STATE_READY, AXVM_STATUS_RUNNING, 0, AXVCPU_EXIT_HYPERCALL },
    { "step of an unknown id", nothing, step_unknown, nothing, AXVCPU_EINVAL, AXVCPU_STATE_FREE, AXVM_STATUS_LOADED, 0, 0xbad },
    { "step with NULL", bind0, step_null, unbind0, AXVCPU_EINVAL, AXVCPU_STATE_READY, AXVM_STATUS_LOADED, 0, NO },
    { "step of what nobody has bound", nothing, step0, nothing, AXVCPU_EBADSTATE, AXVCPU_STATE_INVALID, SAME, 0, NO },
    { "step of what another has bound", other_binds, step0, other_ends, AXVCPU_EBUSY, AXVCPU_STATE_READY, SAME, 0, NO },
    { "step of what is blocked", block0, step0, unblock0, AXVCPU_EAGAIN, AXVCPU_STATE_BLOCKED, AXVM_STATUS_LOADED, 0, NO },
    { "step of an AP that is not up", bind1, step1, unbind1, AXVCPU_EAGAIN, AXVCPU_STATE_READY, AXVM_STATUS_LOADED, 1, NO },
    { "step of an AP that is up", up_bind1, step1, unbind1, AXVCPU_OK, AXVCPU_STATE_READY, AXVM_STATUS_RUNNING, 1, AXVCPU_EXIT_HALT },
    { "step of an AP that went down", up_down_bind1, step1, unbind1, AXVCPU_EAGAIN, AXVCPU_STATE_READY, AXVM_STATUS_RUNNING, 1, NO },
    { "step, run of itself inside its handler", bind_run_own, step_in_handler, unbind0, AXVCPU_EAGAIN, AXVCPU_STATE_READY, AXVM_STATUS_RUNNING, 0, NO },
    { "step inside another operation", bind0, step_nested, unbind0, AXVCPU_ENESTED, AXVCPU_STATE_READY, SAME, 0, NO },
};

static void test_visit(const struct visit *r)
{
    static const struct axvcpu_fake_step halts[] = { HALT };
    struct axvcpu_exit x = { .kind = 0xbad };
    bool good;
    int err;

    vm_loaded(&mc, 3);
    PLAY_LOOP(&mc, 0, calls_for_ever);
    PLAY_LOOP(&mc, 1, halts);
    r->prepare();
    x.kind = handler_exit.kind = 0xbad;
    err = r->visit(&x);
    good = err == r->err && axvcpu_get_state(&mc.vcpu[r->id]) == r->state &&
           (r->status == SAME || (int)axvm_get_status(&mc.vm) == r->status);
    good = good && x.kind == r->kind && axvcpu_current() == NULL;
    ok(good, "%s: %s, %s, VM %s (is %s, %s, %s, exit %u)", r->name, error_name(r->err), axvcpu_state_name(r->state),
       r->status == SAME ? "as it may be" : axvm_status_name((enum axvm_status)r->status), error_name(err), axvcpu_state_name(axvcpu_get_state(&mc.vcpu[r->id])),
       axvm_status_name(axvm_get_status(&mc.vm)), x.kind);
    if (axvcpu_get_state(&mc.vcpu[r->id]) == r->state)
        r->undo();
    else if (r->prepare == other_binds || r->prepare == other_blocks)
        must(!"the other thread's vCPU has changed");
    vm_gone(&mc);
}

// ---- calls from inside a handler

static struct { int pause, shutdown, resume, wait_idle, deinit, boot, run1; } told;
static enum axvm_answer everything(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    struct axvcpu_exit y;

    (void)v, (void)x, (void)arg;
    told.wait_idle = axvm_wait_idle(vm);
    told.deinit = axvm_deinit(vm);
    told.boot = axvm_boot(vm);
    told.pause = axvm_pause(vm);
    told.resume = axvm_resume(vm);
    told.run1 = axvm_run_vcpu(vm, 1, &y); // another vCPU on the same thread, while this one waits
    must(told.run1 != 0 || y.kind == AXVCPU_EXIT_RAW);
    told.shutdown = axvm_shutdown(vm);
    return AXVM_DONE;
}

static void test_inside(void)
{
    static const struct axvcpu_fake_step script[] = { CALL(1), CALL(2) }, one[] = { END };
    struct axvcpu_exit x;

    vm_loaded(&mc, 2);
    vm_all_up(&mc);
    PLAY(&mc, 0, script);
    PLAY(&mc, 1, one);
    must(axvm_set_default(&mc.vm, AXVCPU_EXIT_HYPERCALL, everything, NULL) == AXVCPU_OK);
    ok(axvm_run_vcpu(&mc.vm, 0, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_SYSTEM_DOWN, "a handler that shuts down: SYSTEM_DOWN");
    ok_err(told.wait_idle, AXVCPU_EBUSY, "wait_idle inside a handler");
    ok_err(told.deinit, AXVCPU_EBUSY, "deinit inside a handler");
    ok_err(told.boot, AXVCPU_EBADSTATE, "boot inside a handler");
    ok_err(told.pause, AXVCPU_OK, "pause inside a handler");
    ok_err(told.resume, AXVCPU_OK, "resume inside a handler");
    ok_err(told.run1, AXVCPU_OK, "another vCPU inside a handler");
    ok_err(told.shutdown, AXVCPU_OK, "shutdown inside a handler");
    ok(axvm_get_status(&mc.vm) == AXVM_STATUS_STOPPED && vm_leftover(&mc, 0)[0] == '\0' && vm_leftover(&mc, 1)[0] == '\0',
       "Stopped, nothing left");
    vm_gone(&mc);
}

// ---- init

static unsigned released;
static struct axvcpu *released_last;
static void release(struct axvcpu *v)
{
    ADD(&released, 1u);
    released_last = v;
}

struct bad_desc {
    const char *name;
    void (*spoil)(struct axvm_desc *, struct axvcpu_desc *);
};
static void no_vcpus(struct axvm_desc *d, struct axvcpu_desc *v) { (void)v; d->vcpus = NULL; }
static void zero_vcpus(struct axvm_desc *d, struct axvcpu_desc *v) { (void)v; d->vcpu_count = 0; }
static void flags_1(struct axvm_desc *d, struct axvcpu_desc *v) { (void)v; d->flags = 1; }
static void flags_top(struct axvm_desc *d, struct axvcpu_desc *v) { (void)v; d->flags = 0x80000000u; }
static void small_stride(struct axvm_desc *d, struct axvcpu_desc *v) { (void)v; d->vcpu_stride = (uint32_t)sizeof(struct axvcpu) - 8; }
static void odd_stride(struct axvm_desc *d, struct axvcpu_desc *v) { (void)v; d->vcpu_stride = (uint32_t)sizeof(struct axvcpu) + 4; }
static void tiny_stride(struct axvm_desc *d, struct axvcpu_desc *v) { (void)v; d->vcpu_stride = 1; }
static void no_ranges(struct axvm_desc *d, struct axvcpu_desc *v) { (void)v; d->ranges = NULL; }
static void wrong_id(struct axvm_desc *d, struct axvcpu_desc *v) { (void)d; v[1].vcpu_id = 2; }
static void id_of_first(struct axvm_desc *d, struct axvcpu_desc *v) { (void)d; v[0].vcpu_id = 1; }
static void vcpu_flags(struct axvm_desc *d, struct axvcpu_desc *v) { (void)d; v[2].flags = 1; }
static void far_cpu(struct axvm_desc *d, struct axvcpu_desc *v) { (void)d; v[2].favor_phys_cpu = AXVCPU_MAX_PHYS_CPUS; }
static const struct bad_desc bad_descs[] = {
    { "no vCPU storage", no_vcpus }, { "no vCPU", zero_vcpus }, { "flag 1", flags_1 }, { "flag 2^31", flags_top },
    { "a stride that is too small", small_stride }, { "a stride that is not aligned", odd_stride }, { "stride 1", tiny_stride },
    { "max_ranges without ranges", no_ranges }, { "an id that is not its place", wrong_id }, { "id 1 for the first", id_of_first },
    { "flags of the last vCPU", vcpu_flags }, { "favor_phys_cpu of the last vCPU", far_cpu },
};

static void test_bad_desc(const struct bad_desc *b)
{
    struct axvcpu_desc vcpus[3] = { { 0 } };
    struct axvm_desc d = vm_desc(&mc, 3);

    d.vcpu_descs = vcpus;
    b->spoil(&d, vcpus);
    memset(&mc, 0x5a, sizeof(mc));
    forget_lines();
    ok(axvm_init(&mc.vm, &d) == AXVCPU_EINVAL && caught.lines == 1 && mc.vm.word == 0x5a5a5a5a && mc.vcpu[0].word == 0x5a5a5a5a,
       "init with %s: EINVAL, nothing touched", b->name);
}

static void test_init_fails(uint32_t at, uint32_t count)
{
    struct axvcpu_desc vcpus[VM_VCPUS] = { { 0 } };
    struct axvm_desc d = vm_desc(&mc, count);
    uint32_t i;
    int err;

    for (i = 0; i < count; i++)
        vcpus[i].release = release;
    d.vcpu_descs = vcpus;
    vcpus[at].arch.fail = AXVCPU_EIO;
    memset(&mc, 0, sizeof(mc));
    released = 0;
    forget_lines();
    err = axvm_init(&mc.vm, &d);
    ok(err == AXVCPU_EIO && all_zero(&mc, sizeof(mc)) && caught.lines == 1, "init fails at vCPU %u of %u: the error, all zero", at,
       count);
    ok(released == 0, "and release, which would leave the caller to guess for which ones, is called for none");
    vcpus[at].arch.fail = 0;
    ok(axvm_init(&mc.vm, &d) == AXVCPU_OK && axvm_boot(&mc.vm) == AXVCPU_OK, "then it may be tried again");
    vm_gone(&mc);
    ok(released == count, "and deinit releases each vCPU");
}

static void test_init(void)
{
    struct axvm_desc d;
    struct axvcpu_exit x;
    uint32_t at, count;
    size_t i;
    static char storage[3 * (sizeof(struct axvcpu) + 64)] __attribute__((aligned(16)));

    for (i = 0; i < COUNT(bad_descs); i++)
        test_bad_desc(&bad_descs[i]);
    memset(&mc, 0, sizeof(mc));
    d = vm_desc(&mc, 2);
    ok_err(axvm_init(NULL, &d), AXVCPU_EINVAL, "init of NULL");
    ok_err(axvm_init(&mc.vm, NULL), AXVCPU_EINVAL, "init from NULL");
    memset(&mc.vm, 0x5a, sizeof(mc.vm));
    ok(axvm_i_init(&mc.vm, &d, AXVCPU_ABI ^ 1) == AXVCPU_EINVAL && mc.vm.word == 0x5a5a5a5a, "init with another ABI: EINVAL, untouched");
    memset(&mc, 0, sizeof(mc));
    d.arch.fail = AXVCPU_ENOMEM;
    ok(axvm_init(&mc.vm, &d) == AXVCPU_ENOMEM && all_zero(&mc, sizeof(mc)), "init fails in the backend: the error, all zero");
    for (count = 1; count <= VM_VCPUS; count++) {
        for (at = 0; at < count; at++)
            test_init_fails(at, count);
    }
    d = vm_desc(&mc, 3);
    d.vcpus = (struct axvcpu *)(void *)storage;
    d.vcpu_stride = (uint32_t)sizeof(struct axvcpu) + 64;
    memset(storage, 0x5a, sizeof(storage));
    must(axvm_init(&mc.vm, &d) == AXVCPU_OK && axvm_boot(&mc.vm) == AXVCPU_OK);
    ok(axvm_vcpu(&mc.vm, 2) == (struct axvcpu *)(void *)(storage + (size_t)2 * d.vcpu_stride) && axvm_vcpu(&mc.vm, 3) == NULL &&
           axvcpu_id(axvm_vcpu(&mc.vm, 2)) == 2 && axvcpu_vm_id(axvm_vcpu(&mc.vm, 2)) == 7,
       "vCPUs at a stride of their own");
    ok(axvm_run_vcpu(&mc.vm, 0, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_HALT && storage[sizeof(storage) - 1] == 0x5a,
       "and what lies between them is not touched");
    vm_gone(&mc);
}

// ---- boot

struct boot_row {
    enum axvcpu_fake_op op;
    const char *name;
};
static const struct boot_row boot_rows[] = {
    { AXVCPU_FAKE_SET_ENTRY, "set_entry" }, { AXVCPU_FAKE_SET_ROOT, "set_root" }, { AXVCPU_FAKE_SETUP, "setup" }
};

static bool booted_well(uint32_t count)
{
    uint32_t i;
    bool good = axvm_get_status(&mc.vm) == AXVM_STATUS_LOADED;

    for (i = 0; i < count; i++) {
        struct axvcpu *v = axvm_vcpu(&mc.vm, i);

        good = good && axvcpu_get_state(v) == AXVCPU_STATE_FREE && v->owner == NULL;
        good = good && v->arch.entry == (i == 0 ? BSP_ENTRY : AP_ENTRY) && v->arch.pc == v->arch.entry;
        good = good && v->arch.root == axvm_root(&mc.vm).addr && v->arch.setup_value == 100 + i;
    }
    return good;
}

static void test_boot(void)
{
    static const struct axvcpu_arch_setup setups[VM_VCPUS] = { { 100 }, { 101 }, { 102 }, { 103 } };
    struct axvcpu_exit x;
    uint32_t at, i;
    size_t r;

    for (r = 0; r < COUNT(boot_rows); r++) {
        for (at = 0; at < VM_VCPUS; at++) {
            struct axvm_desc d = vm_desc(&mc, VM_VCPUS);
            bool good;

            memset(&mc, 0, sizeof(mc));
            d.setups = setups;
            must(axvm_init(&mc.vm, &d) == AXVCPU_OK);
            must(axvcpu_fake_fail(&mc.vcpu[at], boot_rows[r].op, 1, AXVCPU_EIO) == AXVCPU_OK);
            good = axvm_boot(&mc.vm) == AXVCPU_EIO && axvm_get_status(&mc.vm) == AXVM_STATUS_LOADING;
            for (i = 0; i < VM_VCPUS; i++)
                good = good && axvcpu_get_state(&mc.vcpu[i]) == AXVCPU_STATE_CREATED && mc.vcpu[i].owner == NULL;
            good = good && axvm_run_vcpu(&mc.vm, 0, &x) == AXVCPU_EBADSTATE;
            ok(good, "boot fails at %s of vCPU %u: the error, all Created, Loading", boot_rows[r].name, at);
            ok(axvm_boot(&mc.vm) == AXVCPU_OK && booted_well(VM_VCPUS), "then it may be tried again: entries, roots, set-ups in place");
            ok(axvm_run_vcpu(&mc.vm, 0, &x) == AXVCPU_OK && axvm_run_vcpu(&mc.vm, 1, &x) == AXVCPU_EAGAIN, "and only the BSP runs");
            vm_gone(&mc);
        }
    }
}

// Somebody holds a vCPU while boot wants it.
static void test_boot_busy(void)
{
    uint32_t at, i;

    for (at = 0; at < 3; at++) {
        bool good;

        vm_loading(&mc, 3);
        PUT(&mc.vcpu[at].owner, &mc); // as a register access on another CPU has it
        good = axvm_boot(&mc.vm) == AXVCPU_EBUSY && axvm_get_status(&mc.vm) == AXVM_STATUS_LOADING;
        PUT(&mc.vcpu[at].owner, NULL);
        for (i = 0; i < 3; i++)
            good = good && axvcpu_get_state(&mc.vcpu[i]) == AXVCPU_STATE_CREATED;
        ok(good && axvm_boot(&mc.vm) == AXVCPU_OK, "boot while another CPU has vCPU %u: EBUSY, and again later", at);
        vm_gone(&mc);
    }
}

// Two threads boot at once: one does, and the VM it booted is not spoilt by the other.
static struct gate boot_gate;
static int boot_errs[2];
static uint64_t boot_rounds;
static void *booter(void *arg)
{
    int *err = arg;
    uint64_t i;

    for (i = 0; i < boot_rounds; i++) {
        gate_pass(&boot_gate);
        *err = axvm_boot(&mc.vm);
        gate_pass(&boot_gate);
    }
    return NULL;
}

static void test_two_boots(void)
{
    pthread_t t[2];
    struct axvcpu_exit x;
    uint64_t i, bad = 0;
    int k;

    boot_rounds = rounds("two threads that boot", 4000);
    boot_gate = (struct gate){ .threads = 3 };
    for (k = 0; k < 2; k++)
        t[k] = thread(booter, &boot_errs[k]);
    for (i = 0; i < boot_rounds; i++) {
        bool good;

        vm_loading(&mc, 2);
        gate_pass(&boot_gate);
        gate_pass(&boot_gate);
        good = (boot_errs[0] == AXVCPU_OK) != (boot_errs[1] == AXVCPU_OK) && axvm_get_status(&mc.vm) == AXVM_STATUS_LOADED &&
               axvm_run_vcpu(&mc.vm, 0, &x) == AXVCPU_OK;
        bad += !good;
        vm_gone(&mc);
    }
    for (k = 0; k < 2; k++)
        join(t[k]);
    ok_u64(bad, 0, "two threads boot at once: one of them does, and the VM runs");
}

// ---- references

static void test_references(void)
{
    struct axvcpu_desc vcpus[3] = { { .release = release, .user = &mc }, { .release = release }, { 0 } };
    struct axvm_desc d = vm_desc(&mc, 3);
    struct axvcpu_exit x;
    struct axvcpu *v;

    memset(&mc, 0, sizeof(mc));
    d.vcpu_descs = vcpus;
    must(axvm_init(&mc.vm, &d) == AXVCPU_OK && axvm_boot(&mc.vm) == AXVCPU_OK);
    must(axvm_run_vcpu(&mc.vm, 0, &x) == AXVCPU_OK);
    released = 0;
    v = axvcpu_ref(axvcpu_ref(axvm_vcpu(&mc.vm, 0)));
    bind0();
    ok(axvm_deinit(&mc.vm) == AXVCPU_EBUSY && released == 0 && axvm_get_status(&mc.vm) == AXVM_STATUS_RUNNING,
       "deinit while a vCPU is bound: EBUSY, nothing gone");
    unbind0();
    ok(axvm_deinit(&mc.vm) == AXVCPU_OK && all_zero(&mc.vm, sizeof(mc.vm)), "deinit with a vCPU that others refer to");
    ok(released == 1 && released_last == &mc.vcpu[1] && all_zero(&mc.vcpu[1], 2 * sizeof(mc.vcpu[1])), "the others are gone");
    ok(axvcpu_get_state(v) == AXVCPU_STATE_FREE && axvcpu_user(v) == &mc && vm_reg(&mc, 0, AXVCPU_REG_PC) != 0 &&
           axvcpu_kick(v) == AXVCPU_OK && axvcpu_inject_interrupt(v, 3) == AXVCPU_OK,
       "this one is all there");
    ok(axvcpu_bind(v) == AXVCPU_OK && axvcpu_run(v, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_CANCELED && axvcpu_unbind(v) == AXVCPU_OK,
       "and runs without its VM");
    ok(axvcpu_unref(v) == AXVCPU_OK && released == 1 && axvcpu_get_state(v) == AXVCPU_STATE_FREE, "one reference goes");
    ok(axvcpu_unref(v) == AXVCPU_OK && released == 2 && released_last == v && all_zero(v, sizeof(*v)), "the last goes: released, all zero");
    ok_err(axvm_deinit(&mc.vm), AXVCPU_EINVAL, "a second deinit");
}

// Everybody lets go at once.
static struct gate ref_gate;
static uint64_t ref_rounds;
static void *referrer(void *arg)
{
    struct axvcpu *v;
    uint64_t i;

    (void)arg;
    for (i = 0; i < ref_rounds; i++) {
        gate_pass(&ref_gate);
        v = axvcpu_ref(&mc.vcpu[0]);
        gate_pass(&ref_gate);
        must(axvcpu_unref(v) == AXVCPU_OK);
        gate_pass(&ref_gate);
    }
    return NULL;
}

static void test_reference_race(void)
{
    struct axvcpu_desc vcpus[1] = { { .release = release } };
    struct axvm_desc d = vm_desc(&mc, 1);
    pthread_t t[3];
    uint64_t i, bad = 0;
    size_t k;

    ref_rounds = rounds("deinit against three references", 10000);
    ref_gate = (struct gate){ .threads = COUNT(t) + 1 };
    d.vcpu_descs = vcpus;
    memset(&mc, 0, sizeof(mc));
    for (k = 0; k < COUNT(t); k++)
        t[k] = thread(referrer, NULL);
    for (i = 0; i < ref_rounds; i++) {
        must(axvm_init(&mc.vm, &d) == AXVCPU_OK && axvm_boot(&mc.vm) == AXVCPU_OK);
        released = 0;
        gate_pass(&ref_gate);
        gate_pass(&ref_gate);
        bad += axvm_deinit(&mc.vm) != AXVCPU_OK;
        gate_pass(&ref_gate);
        bad += released != 1 || !all_zero(&mc.vm, sizeof(mc.vm)) || !all_zero(&mc.vcpu[0], sizeof(mc.vcpu[0]));
    }
    for (k = 0; k < COUNT(t); k++)
        join(t[k]);
    ok_u64(bad, 0, "deinit and three references go at once: released once, all zero");
}

// ---- the end: who has waited for idle may take the VM apart, whatever the last one out still does

static void *last_out(void *arg)
{
    struct machine *m = arg;
    struct axvcpu_exit x;

    must(axvm_run_vcpu(&m->vm, 0, &x) == AXVCPU_OK && (x.kind == AXVCPU_EXIT_SYSTEM_DOWN));
    return NULL;
}

static void test_end(void)
{
    static const struct axvcpu_fake_step spins[] = { SPIN };
    uint64_t n = rounds("ends", 20000), i, not_stopped = 0;
    pthread_t t;

    for (i = 0; i < n; i++) {
        struct machine *m = malloc(sizeof(*m));

        must(m != NULL);
        vm_loaded(m, 1);
        PLAY_LOOP(m, 0, spins);
        t = thread(last_out, m);
        if (i % 2 == 0)
            UNTIL(axvcpu_get_state(&m->vcpu[0]) == AXVCPU_STATE_RUNNING);
        else
            UNTIL(axvm_get_status(&m->vm) == AXVM_STATUS_RUNNING);
        must(axvm_shutdown(&m->vm) == AXVCPU_OK && axvm_wait_idle(&m->vm) == AXVCPU_OK);
        not_stopped += axvm_get_status(&m->vm) != AXVM_STATUS_STOPPED;
        must(axvm_deinit(&m->vm) == AXVCPU_OK);
        memset(m, 0xa5, sizeof(*m));
        free(m); // the sanitizers see who comes too late
        join(t);
    }
    ok_u64(not_stopped, 0, "shutdown and wait_idle, %" PRIu64 " times: Stopped, and the storage may go", n);
}

int main(void)
{
    uint32_t which, status;
    size_t i;

    tap_begin(290);
    for (which = 0; which < CALL_COUNT; which++) {
        for (status = 0; status < AXVM_STATUS_COUNT; status++)
            test_cell((enum call)which, (enum axvm_status)status);
    }
    test_calls_on_nothing();
    for (i = 0; i < COUNT(visits); i++)
        test_visit(&visits[i]);
    test_inside();
    test_init();
    test_boot();
    test_boot_busy();
    test_two_boots();
    test_references();
    test_reference_race();
    test_end();
    return tap_done();
}
