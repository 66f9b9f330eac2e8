// SPDX-License-Identifier: Apache-2.0
//
// Something happens at the worst moment: kick, inject, unblock, pause and shutdown at every trace point of
// run, bind, unbind, block, cpu_up and of each other; by a plain call, by a signal handler on the same
// thread, and by another thread that is released there and joined before the operation goes on.
//
// A point in AXVCPU_TRACE_POINTS without its row here does not compile.
#include <stdint.h>

struct axvcpu;
static void at_point(struct axvcpu *v, uint32_t point);
#define AXVCPU_TRACE(v, event, a, b) at_point(v, (uint32_t)(event))
#include "vm.h"

static struct machine mc;

// ---- what happens, and who does it

#define ACTIONS(X) X(NOTHING) X(KICK) X(INJECT) X(UNBLOCK) X(PAUSE) X(SHUTDOWN)
#define ACTION_ENUM(name) DO_##name,
enum action { ACTIONS(ACTION_ENUM) ACTION_COUNT };
#define ACTION_NAME(name) #name,
static const char *const action_names[] = { ACTIONS(ACTION_NAME) };

enum way { CALL_IT, SIGNAL_IT, THREAD_IT, WAY_COUNT };
static const char *const ways[] = { "a call", "a signal handler", "another thread" };

enum { VECTOR = 70 };

static struct {
    bool on; // the next time this vCPU is at this point
    struct axvcpu *v;
    uint32_t point;
    void (*act)(void);
    enum way way;
} armed;
static enum action action;
static int action_err;

static void act(void)
{
    switch (action) {
    case DO_KICK: action_err = axvcpu_kick(armed.v); break;
    case DO_INJECT: action_err = axvcpu_inject_interrupt(armed.v, VECTOR); break;
    case DO_UNBLOCK: action_err = axvcpu_unblock(armed.v); break;
    case DO_PAUSE: action_err = axvm_pause(&mc.vm); break;
    case DO_SHUTDOWN: action_err = axvm_shutdown(&mc.vm); break;
    default: action_err = AXVCPU_OK; break;
    }
}

static void on_signal(int sig)
{
    (void)sig;
    armed.act();
}

static void *on_thread(void *arg)
{
    (void)arg;
    armed.act();
    return NULL;
}

static void at_point(struct axvcpu *v, uint32_t point)
{
    if (!armed.on || armed.v != v || armed.point != point)
        return;
    armed.on = false;
    if (armed.way == CALL_IT)
        armed.act();
    else if (armed.way == SIGNAL_IT)
        must(raise(SIGUSR1) == 0);
    else
        join(thread(on_thread, NULL));
}

static void arm(uint32_t id, uint32_t point, void (*what)(void), enum way way)
{
    armed.v = &mc.vcpu[id];
    armed.point = point;
    armed.act = what;
    armed.way = way;
    armed.on = true;
}

// ---- the table

// Which operation comes along the point.
enum drive { D_RUN, D_BLOCK, D_KICK, D_INJECT, D_UNBLOCK, D_PAUSE, D_UP };
static const char *const drives[] = { "run_vcpu", "block", "kick", "inject", "unblock", "pause", "cpu_up" };

// What the next four runs give: H the guest's hypercall, K CANCELED, P CANCELED because of a pause, D
// SYSTEM_DOWN. For D_RUN the first is the one that comes along the point. After the second a VM that is
// Suspended is resumed: from there on nothing of the pause may be left.
struct row {
    enum drive drive;
    const char *runs[ACTION_COUNT];
    uint8_t taken_first, taken; // INJECT: how often the guest took it, in the first run and in all
    bool latch;                 // UNBLOCK: the next block finds it
    int err[ACTION_COUNT];      // of the operation itself
};

// Before the guest is entered, and after: then the guest is not late, but the caller's next run is.
#define BEFORE { "HHHH", "KHHH", "HHHH", "HHHH", "PPHH", "DDDD" }
#define AFTER { "HHHH", "HKHH", "HHHH", "HHHH", "HPHH", "HDDD" }
#define EAGAIN_ALL { AXVCPU_OK, AXVCPU_EAGAIN, AXVCPU_EAGAIN, AXVCPU_OK, AXVCPU_EAGAIN, AXVCPU_EAGAIN }
#define FINE { 0 }

static const struct row row_BIND_CLAIMED = { D_RUN, BEFORE, 1, 1, true, FINE };
static const struct row row_RUN_CURRENT = { D_RUN, BEFORE, 1, 1, true, FINE };
static const struct row row_RUN_ENTER = { D_RUN, AFTER, 0, 1, true, FINE };
static const struct row row_RUN_LEFT = { D_RUN, AFTER, 0, 1, true, FINE };
static const struct row row_RUN_READY = { D_RUN, AFTER, 0, 1, true, FINE };
static const struct row row_UNBIND_LEFT = { D_RUN, AFTER, 0, 1, true, FINE };
static const struct row row_UNBIND_RELEASED = { D_RUN, AFTER, 0, 1, true, FINE };
// An unblock that finds it Blocked wakes it: block says OK and it is Ready.
static const struct row row_BLOCK_BLOCKED = { D_BLOCK, BEFORE, 1, 1, false, EAGAIN_ALL };
static const struct row row_BLOCK_DONE = { D_BLOCK, BEFORE, 1, 1, false, FINE };
// A kick is answered before the interrupts, once the VM runs again.
static const struct row row_KICK_FLAGGED = { D_KICK, { "KHHH", "KHHH", "KHHH", "KHHH", "PPKH", "DDDD" }, 0, 1, true, FINE };
static const struct row row_INJECT_FLAGGED = { D_INJECT, BEFORE, 1, 1, true, FINE }; // the same vector: one
static const struct row row_UNBLOCK_LATCHED = { D_UNBLOCK, BEFORE, 1, 1, true, FINE }; // two unblocks: one
static const struct row row_STOP_FLAGGED = { D_PAUSE, { "PPHH", "PPKH", "PPHH", "PPHH", "PPHH", "DDDD" }, 0, 1, true, FINE };
// An architectural reset forgets edges and the latch, but no kick.
static const struct row row_CPU_UP_CLAIMED = { D_UP, BEFORE, 0, 0, false, FINE };
static const struct row row_CPU_UP_DONE = { D_UP, BEFORE, 1, 1, true, FINE };

#define ROW(name) [AXVCPU_TRACE_##name] = &row_##name,
static const struct row *const rows[AXVCPU_TRACE_COUNT] = { AXVCPU_TRACE_POINTS(ROW) };
#define POINT_NAME(name) #name,
static const char *const point_names[] = { AXVCPU_TRACE_POINTS(POINT_NAME) };

// ---- the play

static const struct axvcpu_fake_step plain[] = { CALL(1), CALL(2), CALL(3), CALL(4), CALL(5), CALL(6) };
static const struct axvcpu_fake_step after_write[] = { MMIO_WRITE(0x1000, 4, 1), CALL(1), CALL(2), CALL(3), CALL(4), CALL(5), CALL(6) };
static const struct axvcpu_fake_step spinning[] = { SPIN, CALL(1), CALL(2), CALL(3), CALL(4), CALL(5) };

// The guest's past: nothing, an access that the next run must commit, or a guest that stays inside.
enum past { FRESH, WRITTEN, SPINS, PAST_COUNT };
static const char *const pasts[] = { "", ", with an access to commit", ", of a guest that spins" };

static char run_once(uint32_t id)
{
    struct axvcpu_exit x;

    if (axvm_run_vcpu(&mc.vm, id, &x) != AXVCPU_OK)
        return 'E';
    return x.kind == AXVCPU_EXIT_HYPERCALL   ? 'H' :
           x.kind == AXVCPU_EXIT_SYSTEM_DOWN ? 'D' :
           x.kind != AXVCPU_EXIT_CANCELED    ? '?' :
           x.flags == AXVCPU_EXIT_PAUSED     ? 'P' :
           x.flags == 0                      ? 'K' :
                                               '!';
}

static void prepare(uint32_t id, enum past past)
{
    struct axvcpu_exit x;

    vm_loaded(&mc, 2);
    PLAY(&mc, 0, plain);
    PLAY(&mc, 1, plain);
    if (past == SPINS)
        PLAY(&mc, id, spinning);
    if (past == WRITTEN) {
        PLAY(&mc, id, after_write);
        must(axvm_run_vcpu(&mc.vm, id, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_MMIO_WRITE);
    }
}

static int drive(enum drive d)
{
    struct axvcpu_exit up = { .kind = AXVCPU_EXIT_CPU_UP, .cpu_up = { 1, 0x4000, 5 } };
    struct axvcpu *v = armed.v;

    switch (d) {
    case D_KICK: return axvcpu_kick(v);
    case D_INJECT: return axvcpu_inject_interrupt(v, VECTOR);
    case D_UNBLOCK: return axvcpu_unblock(v);
    case D_PAUSE: return axvm_pause(&mc.vm);
    case D_UP: return axvm_cpu_up(&mc.vm, &up);
    case D_BLOCK:
        must(axvcpu_bind(v) == AXVCPU_OK);
        return axvcpu_block(v);
    default: return AXVCPU_OK;
    }
}

// Ready after block, whatever block said: then a wake-up is not lost. Without one it sleeps.
static bool woke(const struct axvcpu *v)
{
    return axvcpu_get_state(v) == (action == DO_NOTHING ? AXVCPU_STATE_BLOCKED : AXVCPU_STATE_READY);
}

// The latch: found by one block, and by no second.
static bool latch_is(struct axvcpu *v, bool set)
{
    bool good;

    must(axvcpu_bind(v) == AXVCPU_OK);
    good = axvcpu_block(v) == (set ? AXVCPU_EAGAIN : AXVCPU_OK);
    if (set)
        good = axvcpu_block(v) == AXVCPU_OK && good;
    good = axvcpu_unblock(v) == AXVCPU_OK && good;
    must(axvcpu_unbind(v) == AXVCPU_OK);
    return good;
}

static void test_point(uint32_t point, enum action what, enum way way, enum past past)
{
    const struct row *r = rows[point];
    uint32_t id = r->drive == D_UP ? 1 : 0, i;
    struct axvcpu *v = &mc.vcpu[id];
    const char *want = past == SPINS ? row_BIND_CLAIMED.runs[what] : r->runs[what];
    uint64_t first = 0, taken;
    bool good = true;
    char got[5] = "----";
    int err;

    prepare(id, past);
    action = what;
    arm(id, point, act, way);
    err = drive(r->drive);
    good = err == r->err[what];
    if (r->drive == D_BLOCK) {
        good = good && woke(v);
        if (axvcpu_get_state(v) == AXVCPU_STATE_BLOCKED)
            must(axvcpu_unblock(v) == AXVCPU_OK);
        must(axvcpu_unbind(v) == AXVCPU_OK);
    }
    for (i = 0; i < 4; i++) {
        got[i] = run_once(id);
        if (i == 0)
            first = axvcpu_fake_delivered(v, VECTOR);
        if (i == 1 && axvm_get_status(&mc.vm) == AXVM_STATUS_SUSPENDED)
            must(axvm_resume(&mc.vm) == AXVCPU_OK);
    }
    taken = axvcpu_fake_delivered(v, VECTOR);
    good = good && !armed.on && action_err == (what == DO_PAUSE && r->drive == D_PAUSE ? AXVCPU_EBADSTATE : AXVCPU_OK);
    if (what == DO_INJECT)
        good = good && first == r->taken_first && taken == r->taken;
    else
        good = good && taken == (r->drive == D_INJECT && what != DO_SHUTDOWN);
    if (past == WRITTEN && what != DO_SHUTDOWN)
        good = good && axvcpu_fake_calls(v, AXVCPU_FAKE_COMMIT) == 1;
    good = good && axvm_get_status(&mc.vm) == (what == DO_SHUTDOWN ? AXVM_STATUS_STOPPED : AXVM_STATUS_RUNNING);
    good = good && vm_leftover(&mc, id)[0] == '\0';
    if (what == DO_UNBLOCK || (r->drive == D_UNBLOCK && what != DO_SHUTDOWN))
        good = latch_is(v, r->latch) && good;
    ok(good && strcmp(got, want) == 0, "%s by %s at %s of %s%s: %s (is %s, took %" PRIu64 " and %" PRIu64 ", %s)", action_names[what],
       ways[way], point_names[point], drives[r->drive], pasts[past], want, got, first, taken, error_name(err));
    vm_gone(&mc);
}

// A guest that spins is only ended by these, and is on its way in only here.
static bool sensible(uint32_t point, enum action what, enum past past)
{
    if (past == FRESH)
        return true;
    if (rows[point]->drive != D_RUN)
        return false;
    return past == WRITTEN || ((what == DO_KICK || what == DO_PAUSE || what == DO_SHUTDOWN) && point == AXVCPU_TRACE_RUN_ENTER);
}

// ---- somebody else wants to run the vCPU

static int visit_err;
static uint32_t visit_id, visit_kind;
static void visit(void)
{
    struct axvcpu_exit x;

    visit_err = axvm_run_vcpu(&mc.vm, visit_id, &x);
    visit_kind = x.kind;
}

static void test_visit(uint32_t point)
{
    const struct row *r = rows[point];
    uint32_t id = r->drive == D_UP ? 1 : 0;
    bool gets_it = point == AXVCPU_TRACE_UNBIND_RELEASED || point == AXVCPU_TRACE_CPU_UP_DONE || r->drive == D_KICK ||
                   r->drive == D_INJECT || r->drive == D_UNBLOCK || r->drive == D_PAUSE;
    uint32_t kind = r->drive == D_KICK || r->drive == D_PAUSE ? AXVCPU_EXIT_CANCELED : AXVCPU_EXIT_HYPERCALL;
    struct axvcpu *v = &mc.vcpu[id];
    bool good;

    prepare(id, FRESH);
    visit_id = id;
    visit_err = -1;
    arm(id, point, visit, THREAD_IT);
    (void)drive(r->drive);
    if (r->drive == D_BLOCK) {
        must(axvcpu_unblock(v) == AXVCPU_OK && axvcpu_unbind(v) == AXVCPU_OK);
        (void)run_once(id);
    }
    good = r->drive != D_RUN || run_once(id) == 'H';
    good = good && (gets_it ? visit_err == AXVCPU_OK && visit_kind == kind : visit_err == AXVCPU_EAGAIN);
    if (axvm_get_status(&mc.vm) == AXVM_STATUS_SUSPENDED)
        must(axvm_resume(&mc.vm) == AXVCPU_OK);
    good = good && run_once(id) == 'H' && vm_leftover(&mc, id)[0] == '\0';
    ok(good, "axvm_run_vcpu by another thread at %s of %s: %s (is %s)", point_names[point], drives[r->drive],
       gets_it ? "OK" : "EAGAIN, and no harm", error_name(visit_err));
    vm_gone(&mc);
}

// Its guest has just said CPU_DOWN: whoever comes now must not run it on.
static void test_visit_after_down(uint32_t point)
{
    static const struct axvcpu_fake_step script[] = { CPU_DOWN, CALL(1), CALL(2) };
    struct axvcpu_exit x;
    bool good;

    prepare(0, FRESH);
    PLAY(&mc, 0, script);
    visit_id = 0;
    visit_err = -1;
    arm(0, point, visit, THREAD_IT);
    good = axvm_run_vcpu(&mc.vm, 0, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_CPU_DOWN;
    good = good && visit_err == AXVCPU_EAGAIN && axvm_run_vcpu(&mc.vm, 0, &x) == AXVCPU_EAGAIN;
    ok(good && axvcpu_fake_calls(&mc.vcpu[0], AXVCPU_FAKE_RUN) == 1,
       "axvm_run_vcpu by another thread at %s of a visit that ends in CPU_DOWN: not run on (is %s)", point_names[point], error_name(visit_err));
    vm_gone(&mc);
}

// ---- two CPU_UP for one vCPU

static int second_err;
static void second_up(void)
{
    struct axvcpu_exit x = { .kind = AXVCPU_EXIT_CPU_UP, .cpu_up = { 1, 0x5000, 6 } };

    second_err = axvm_cpu_up(&mc.vm, &x);
}

static void test_second_up(uint32_t point)
{
    prepare(1, FRESH);
    second_err = -1;
    arm(1, point, second_up, THREAD_IT);
    ok(drive(D_UP) == AXVCPU_OK && second_err == AXVCPU_EBUSY && mc.vcpu[1].arch.entry == 0x4000 && mc.vcpu[1].arch.gpr[0] == 5,
       "a second CPU_UP by another thread at %s: it loses (is %s)", point_names[point], error_name(second_err));
    vm_gone(&mc);
}

// ---- a resume that overtakes its pause: nothing of the pause is left, in any way to run

static int resume_err;
static void resume(void)
{
    resume_err = axvm_resume(&mc.vm);
}

static void test_resume_in_pause(uint32_t at, uint32_t id, bool step, enum way way)
{
    struct axvcpu_exit x;
    struct axvcpu *v = &mc.vcpu[id];
    bool good;
    int i;

    prepare(0, FRESH);
    vm_all_up(&mc);
    arm(at, AXVCPU_TRACE_STOP_FLAGGED, resume, way);
    good = axvm_pause(&mc.vm) == AXVCPU_OK && resume_err == AXVCPU_OK && axvm_get_status(&mc.vm) == AXVM_STATUS_RUNNING;
    if (step)
        must(axvcpu_bind(v) == AXVCPU_OK);
    for (i = 0; i < 2; i++) {
        int err = step ? axvm_step(&mc.vm, id, &x) : axvm_run_vcpu(&mc.vm, id, &x);

        if (i == 0 && err == AXVCPU_OK && (x.flags & AXVCPU_EXIT_HANDLED) != 0)
            continue; // a step that had nothing to show
        good = good && err == AXVCPU_OK && x.kind == AXVCPU_EXIT_HYPERCALL;
    }
    if (step)
        must(axvcpu_unbind(v) == AXVCPU_OK);
    ok(good, "resume by %s while pause has told vCPU %u: no CANCELED in %s of vCPU %u", ways[way], at, step ? "axvm_step" : "axvm_run_vcpu", id);
    vm_gone(&mc);
}

// ---- unblock and block at once: one unblock, one block that does not sleep

static int late_block;
static void block_now(void)
{
    late_block = axvcpu_block(armed.v);
}

static void test_block_in_unblock(enum way way)
{
    struct axvcpu *v = &mc.vcpu[0];
    bool good;

    prepare(0, FRESH);
    must(axvcpu_bind(v) == AXVCPU_OK);
    arm(0, AXVCPU_TRACE_UNBLOCK_LATCHED, block_now, way);
    good = axvcpu_unblock(v) == AXVCPU_OK && late_block == AXVCPU_EAGAIN && axvcpu_get_state(v) == AXVCPU_STATE_READY;
    ok(good && axvcpu_block(v) == AXVCPU_OK, "a block by %s while unblock has set the latch: it finds it, and the next does not", ways[way]);
    must(axvcpu_unblock(v) == AXVCPU_OK && axvcpu_unbind(v) == AXVCPU_OK);
    vm_gone(&mc);
}

int main(void)
{
    struct sigaction sa = { .sa_handler = on_signal };
    uint32_t point, what, way, past;

    tap_begin(290);
    must(sigaction(SIGUSR1, &sa, NULL) == 0);
    for (point = 0; point < AXVCPU_TRACE_COUNT; point++) {
        for (what = 0; what < ACTION_COUNT; what++) {
            for (way = 0; way < WAY_COUNT; way++) {
                for (past = 0; past < PAST_COUNT; past++) {
                    if (sensible(point, (enum action)what, (enum past)past))
                        test_point(point, (enum action)what, (enum way)way, (enum past)past);
                }
            }
        }
    }
    for (point = 0; point < AXVCPU_TRACE_COUNT; point++)
        test_visit(point);
    for (point = 0; point <= AXVCPU_TRACE_UNBIND_RELEASED; point++)
        test_visit_after_down(point);
    test_second_up(AXVCPU_TRACE_CPU_UP_CLAIMED);
    test_second_up(AXVCPU_TRACE_CPU_UP_DONE);
    for (way = 0; way < WAY_COUNT; way++) {
        for (point = 0; point < 8; point++) // which vCPU has been told, which is run, how
            test_resume_in_pause(point & 1, point >> 1 & 1, (point >> 2 & 1) != 0, (enum way)way);
    }
    test_block_in_unblock(CALL_IT);
    test_block_in_unblock(SIGNAL_IT);
    return tap_done();
}
