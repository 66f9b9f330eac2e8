// SPDX-License-Identifier: Apache-2.0
// flags: -UAXVCPU_ARCH_FAKE -DAXVCPU_ARCH_HEADER="tests/core/mock.h"
//
// Whom a kick, an interrupt or an unblock reaches: the backend is asked to signal the owner, whatever it is
// doing, and the WAKE hook is called when a sleeper wakes, and only then.
struct axvcpu;
static unsigned wakes;
static void woken(struct axvcpu *v);
#define AXVCPU_PARK(v) ((void)(v))
#define AXVCPU_WAKE(v) woken(v)
#include "core.h"

static struct axvcpu vcpu;
static struct axvcpu_exit x;

static unsigned signals;
static void *signalled;
static bool flagged; // the attention word had it before the signal
static enum axvcpu_state state_at_wake;

void woken(struct axvcpu *v)
{
    wakes++;
    state_at_wake = axvcpu_get_state(v);
}

static void on_kick(struct axvcpu *v, void *owner)
{
    signals++;
    signalled = owner;
    flagged = axvcpu_attention(v);
}

// ---- senders

static int by_kick(void)
{
    return axvcpu_kick(&vcpu);
}

static int by_inject(void)
{
    return axvcpu_inject_interrupt(&vcpu, 900);
}

static int by_line(void)
{
    return axvcpu_set_irq(&vcpu, 900, true);
}

static int by_nmi(void)
{
    return axvcpu_inject_nmi(&vcpu);
}

static int by_unblock(void)
{
    return axvcpu_unblock(&vcpu);
}

static const struct sender {
    const char *name;
    int (*fn)(void);
    bool signals; // its owner
    bool wakes_masked;
} senders[] = {
    { "kick", by_kick, true, true },        { "inject_interrupt", by_inject, true, false },
    { "set_irq", by_line, true, false },    { "inject_nmi", by_nmi, true, true },
    { "unblock", by_unblock, false, true },
};

// ---- receivers

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

static void as_blocked_and_masked(void)
{
    bound(&vcpu);
    vcpu.arch.masked = true;
    must(axvcpu_block(&vcpu) == AXVCPU_OK);
}

static const struct receiver {
    const char *name;
    void (*given)(void);
    bool owned, sleeps, masked;
} receivers[] = {
    { "nobody's", as_free, false, false, false },
    { "a Ready one", as_ready, true, false, false },
    { "a Blocked one", as_blocked, true, true, false },
    { "a Blocked, masked one", as_blocked_and_masked, true, true, true },
};

static void begin(void)
{
    signals = wakes = 0;
    signalled = NULL;
    flagged = false;
    mock.kicked = on_kick;
}

static void check(const struct sender *s, const struct receiver *r)
{
    bool wakes_it = r->sleeps && (!r->masked || s->wakes_masked);

    memset(&mock, 0, sizeof(mock));
    r->given();
    begin();
    must(s->fn() == AXVCPU_OK);
    ok_u64(wakes, wakes_it ? 1 : 0, "%s of %s: WAKE is called %s", s->name, r->name, wakes_it ? "once" : "not");
    ok(wakes == 0 || state_at_wake == AXVCPU_STATE_READY, "%s of %s: it is Ready by then", s->name, r->name);
    if (s->signals)
        ok(r->owned ? signals == 1 && signalled == AXVCPU_CPU_TOKEN() && flagged : signals == 0, "%s of %s: %s",
           s->name, r->name, r->owned ? "flagged, then its owner is signalled" : "nobody is signalled");
}

static void test_alerts(void)
{
    size_t i, k;

    for (i = 0; i < COUNT(senders); i++)
        for (k = 0; k < COUNT(receivers); k++)
            check(&senders[i], &receivers[k]);
}

// ---- trap 14: the sender does not ask whether the vCPU runs; it may be about to

static void send_in_leaf(struct axvcpu *v, enum mock_leaf leaf)
{
    (void)v;
    if (leaf == MOCK_run || leaf == MOCK_bind || leaf == MOCK_unbind)
        must(axvcpu_kick(&vcpu) == AXVCPU_OK);
}

static void test_in_operations(void)
{
    memset(&mock, 0, sizeof(mock));
    as_free();
    begin();
    mock.inside = send_in_leaf;
    must(axvcpu_bind(&vcpu) == AXVCPU_OK);
    ok_u64(signals, 1, "trap 14: a kick during bind signals the owner to be");
    must(axvcpu_run(&vcpu, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_CANCELED);
    begin();
    must(axvcpu_run(&vcpu, &x) == AXVCPU_OK);
    ok_u64(signals, 1, "trap 14: a kick during run signals the owner");
    begin();
    must(axvcpu_unbind(&vcpu) == AXVCPU_OK);
    ok_u64(signals, 1, "trap 14: a kick during unbind signals the owner that still is");
}

// ---- vectors beyond 8 and 9 bits

static void test_wide_vectors(void)
{
    static const uint32_t vectors[] = { 0, 255, 256, 511, 512, 1018 };
    size_t i;

    memset(&mock, 0, sizeof(mock));
    as_ready();
    for (i = 0; i < COUNT(vectors); i++)
        must(axvcpu_inject_interrupt(&vcpu, vectors[i]) == AXVCPU_OK);
    for (i = COUNT(vectors); i-- > 0;) {
        ok_int(axvcpu_irq_next(&vcpu), vectors[i], "trap 7: the next one is %u", vectors[i]);
        must(axvcpu_run(&vcpu, &x) == AXVCPU_OK);
        ok_u64(mock.taken[vectors[i]], 1, "trap 7: %u is taken, one for each entry", vectors[i]);
    }
    ok(axvcpu_run(&vcpu, &x) == AXVCPU_OK && mock.calls[MOCK_inject] == COUNT(vectors),
       "all taken, the backend is not asked again");
    ok_int(axvcpu_inject_interrupt(&vcpu, 1019), AXVCPU_EINVAL,
           "a vector that the backend does not have, in the middle of its range");
    ok_int(axvcpu_inject_interrupt(&vcpu, 1020), AXVCPU_EINVAL, "one at its end");
    ok_int(axvcpu_set_irq(&vcpu, 1019, true), AXVCPU_EINVAL, "a line that the backend does not have");
    ok_int(axvcpu_inject_hw(&vcpu, 1019, 1), AXVCPU_EINVAL, "nor for inject_hw");
    ok_int(axvcpu_inject_hw(&vcpu, 40, 41), AXVCPU_OK, "inject_hw reaches the backend");
    ok_u64(mock.calls[MOCK_inject_hw], 1, "once");
}

int main(void)
{
    tap_begin(30);
    test_alerts();
    test_in_operations();
    test_wide_vectors();
    return tap_done();
}
