// SPDX-License-Identifier: Apache-2.0
//
// The trace points: which ones an operation passes, in which order, and what holds at each, on the short way
// through an operation as on the long one.
struct axvcpu;
static void at_point(struct axvcpu *v, int point, unsigned long a);
#define AXVCPU_TRACE(v, event, a, b) at_point((v), (int)(event), (unsigned long)(a))
#include "core.h"

static struct axvcpu vcpu;

#define TRACE_NAME(name) #name,
static const char *const names[] = { AXVCPU_TRACE_POINTS(TRACE_NAME) };

// What was passed: "POINT State owned current, ..."
static char passed[512];

void at_point(struct axvcpu *v, int point, unsigned long a)
{
    size_t at = strlen(passed);

    (void)a;
    snprintf(passed + at, sizeof(passed) - at, "%s%s %s%s%s", at == 0 ? "" : ", ", names[point],
             axvcpu_state_name(axvcpu_get_state(v)), v->owner != NULL ? " owned" : "",
             axvcpu_current() == v ? " current" : "");
}

// ---- operations

static struct axvcpu_exit x;

#define DO(name, expression)   \
    static int do_##name(void) \
    {                          \
        return expression;     \
    }
DO(bind, axvcpu_bind(&vcpu))
DO(run, axvcpu_run(&vcpu, &x))
DO(unbind, axvcpu_unbind(&vcpu))
DO(block, axvcpu_block(&vcpu))
DO(unblock, axvcpu_unblock(&vcpu))
DO(kick, axvcpu_kick(&vcpu))
DO(inject, axvcpu_inject_interrupt(&vcpu, 33))
DO(raise, axvcpu_set_irq(&vcpu, 33, true))
DO(nmi, axvcpu_inject_nmi(&vcpu))

static void as_free(void)
{
    set_up(&vcpu);
}

static void as_ready(void)
{
    bound(&vcpu);
}

static void as_blocked(void)
{
    bound(&vcpu);
    must(axvcpu_block(&vcpu) == AXVCPU_OK);
}

static void as_kicked(void)
{
    bound(&vcpu);
    must(axvcpu_kick(&vcpu) == AXVCPU_OK);
}

// A write that is still to be committed sends every operation the long way.
static void as_ready_with_write(void)
{
    static const struct axvcpu_fake_step step = { 0, { .kind = AXVCPU_EXIT_MMIO_WRITE } };

    bound(&vcpu);
    must(axvcpu_fake_script(&vcpu, &step, 1, false) == AXVCPU_OK && axvcpu_run(&vcpu, &x) == AXVCPU_OK);
}

static void as_free_with_write(void)
{
    as_ready_with_write();
    must(axvcpu_unbind(&vcpu) == AXVCPU_OK);
}

// clang-format off
static const struct row {
    const char *name;
    void (*given)(void);
    int (*fn)(void);
    const char *points;
} rows[] = {
    { "bind", as_free, do_bind, "BIND_CLAIMED Free owned" },
    { "bind, the long way", as_free_with_write, do_bind, "BIND_CLAIMED Free owned" },
    { "run", as_ready, do_run,
      "RUN_CURRENT Ready owned current, RUN_ENTER Running owned current, RUN_LEFT Running owned current, "
      "RUN_READY Ready owned" },
    { "run, the long way, which it takes when the short one ends", as_ready_with_write, do_run,
      "RUN_CURRENT Ready owned current, RUN_CURRENT Running owned current, RUN_ENTER Running owned current, "
      "RUN_LEFT Running owned current, RUN_READY Ready owned" },
    { "unbind", as_ready, do_unbind, "UNBIND_LEFT Free owned, UNBIND_RELEASED Free" },
    { "unbind, the long way", as_ready_with_write, do_unbind, "UNBIND_LEFT Free owned, UNBIND_RELEASED Free" },
    { "block", as_ready, do_block, "BLOCK_BLOCKED Blocked owned, BLOCK_DONE Blocked owned" },
    { "block with a kick", as_kicked, do_block, "BLOCK_BLOCKED Blocked owned" },
    { "kick", as_ready, do_kick, "KICK_FLAGGED Ready owned" },
    { "kick of a Blocked one", as_blocked, do_kick, "KICK_FLAGGED Blocked owned" },
    { "kick of nobody's", as_free, do_kick, "KICK_FLAGGED Free" },
    { "inject", as_blocked, do_inject, "INJECT_FLAGGED Blocked owned" },
    { "set_irq", as_blocked, do_raise, "INJECT_FLAGGED Blocked owned" },
    { "inject_nmi", as_blocked, do_nmi, "INJECT_FLAGGED Blocked owned" },
    { "unblock", as_ready, do_unblock, "UNBLOCK_LATCHED Ready owned" },
    { "unblock of a Blocked one", as_blocked, do_unblock, "" },
};
// clang-format on

int main(void)
{
    size_t i;

    tap_begin(30);
    for (i = 0; i < COUNT(rows); i++) {
        rows[i].given();
        passed[0] = '\0';
        (void)rows[i].fn();
        ok_str(passed, rows[i].points, "%s: %s", rows[i].name, rows[i].points[0] == '\0' ? "no point" : rows[i].points);
    }
    return tap_done();
}
