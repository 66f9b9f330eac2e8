// SPDX-License-Identifier: Apache-2.0
//
// The vCPU API's calls as a fuzzer's bytes choose them, and a reference model of what they do.
//
// The model is written from the contract (axvcpu.h, STEP BY STEP and THREADING), not from the code. A call is a
// row of steps, each done at once; one after the other they are what the call does when nobody interferes. Where
// one step ends and the next begins another CPU's steps may come in: so much, and no more, the contract leaves open.
//   - A call on an unowned vCPU takes it for as long as it lasts, and who comes second gets EBUSY: `take` and the
//     end of the call are steps.
//   - An interrupt is kept, coalesced and taken by vector; nothing is promised between two vectors, so run takes
//     them, reset and restart forget them, and block and pending look for them, one after the other.
//   - A vector is put before run is told to look (barrier PENDING_BEFORE_FLAG): who comes in between may take it,
//     and the next run then looks for nothing.
//   - Wake-ups may be spurious: who has seen a reason to wake wakes, even if the reason is gone by then; and an
//     unblock that finds its vCPU awake leaves the latch, even if it blocks and is woken at that moment.
#ifndef FUZZ_MODEL_H
#define FUZZ_MODEL_H

#define AXVCPU_ARCH_FAKE
#define AXVCPU_CHECKED
#include "tests/fuzz/input.h"
#include "tests/fuzz/widths.h"

enum { CPUS = 3, VECTORS = 7 };
static unsigned this_cpu;
static struct axvcpu *currents[CPUS];
#define AXVCPU_CURRENT_GET() currents[this_cpu]
#define AXVCPU_CURRENT_SET(v) ((void)(currents[this_cpu] = (v)))
#define AXVCPU_CPU_TOKEN() ((void *)&currents[this_cpu])
#define AXVCPU_CPU_ID() this_cpu
#define AXVCPU_LOG(level, text) ((void)(level), (void)(text))
#define AXVCPU_IMPLEMENTATION
#include "axvcpu.h"

// What follows is not what the fuzzer shall explore; and a table of functions gives each what only some need.
#pragma clang attribute push(__attribute__((no_sanitize("coverage", "address"))), apply_to = function)
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wunused-parameter"

// ---- the model's vCPU; one that is dead is all zero

struct model {
    bool alive, away, asked, due, cpuid, refused, kick, nmi, irq, latch, masked;
    uint32_t state, owner; // owner: a CPU's number + 1, or 0
    uint32_t refs, allowed; // allowed: the CPUs that bind may happen on, as bits; 0: all
    int fails[AXVCPU_FAKE_OP_COUNT];
    uint32_t kind, width, reg_width, reg, sign_extend; // the access that waits
    uint64_t value, gpr[4], nmis, delivered[VECTORS];
    bool pending[VECTORS], line[VECTORS];
};

static uint32_t vector(unsigned i) // 0, 37, 74 ... 222: two in each word, one in the last
{
    return i * 37;
}

// ---- a call, and where it is

struct outcome {
    int err;
    uint64_t value; // what it says besides: an exit's kind, a register, a state
};

struct call {
    const struct operation *what;
    unsigned cpu;
    uint8_t arg[2];
};

struct play {
    const struct call *call;
    struct outcome out;
    uint8_t at;          // the next step
    bool done, over;     // over: nothing is left but to let go of the vCPU
    bool taken;          // it is this call's for as long as it lasts
    bool sure, seen;     // bind and setup have it already; a reason to wake has been seen
    bool wrong;          // its state, so that it becomes Invalid
    bool calm;           // run has nothing to do but to enter
    bool kick, nmi, irq; // what run has seen
    bool queued;         // an interrupt has been seen
    uint8_t up;          // lines that have been seen up, as bits
};

struct step {
    void (*fn)(struct model *, struct play *, unsigned arg);
    unsigned arg; // a word's number, or which of two calls it is
};
#define STEP(name) static void name(struct model *m, struct play *p, unsigned arg)

#define REAL(name) static struct outcome name(struct axvcpu *v, const struct call *c)

enum { POISONS = 1, OWNERS = 2, NOBODYS = 4 };
// What a call asks of its caller, when there are others.
enum needs { NOTHING, ALONE, DEAD_OWNER, REFERENCE };

struct operation {
    const char *name;
    const struct step *steps;
    struct outcome (*fn)(struct axvcpu *, const struct call *);
    uint32_t from; // states
    uint8_t flags, args;
    enum needs needs;
};

static void advance(struct model *m, struct play *p)
{
    const struct step *steps = p->call->what->steps;
    if (!p->over && steps[p->at].fn != NULL) {
        const struct step *s = &steps[p->at++];
        s->fn(m, p, s->arg);
        p->done = !p->taken && (p->over || steps[p->at].fn == NULL);
    } else {
        m->owner = 0;
        p->done = true;
    }
}

static void over(struct play *p, int err)
{
    p->out.err = err;
    p->over = true;
}

static uint32_t me(const struct play *p)
{
    return p->call->cpu + 1;
}

static int leaf(struct model *m, enum axvcpu_fake_op op)
{
    int err = m->fails[op];
    m->fails[op] = 0;
    return err;
}

static void enter(struct model *m, enum axvcpu_state state)
{
    bool bound = state == AXVCPU_STATE_READY || state == AXVCPU_STATE_RUNNING || state == AXVCPU_STATE_BLOCKED;
    m->state = state;
    m->away = m->away && bound;
    if (!bound && state != AXVCPU_STATE_FREE)
        m->asked = m->due = m->cpuid = false;
}

// Invalid, and at the end nobody's; a bound one leaves the backend first.
static void fail(struct model *m, struct play *p, int err, bool bound)
{
    if (bound)
        (void)leaf(m, AXVCPU_FAKE_UNBIND);
    enter(m, AXVCPU_STATE_INVALID);
    p->taken = true;
    over(p, err);
}

// ---- the checks that all calls on their own vCPU begin with

#define IN(name) (1u << AXVCPU_STATE_##name)
#define AWAKE (IN(CREATED) | IN(FREE) | IN(READY) | IN(BLOCKED))

STEP(is_alive)
{
    if (!m->alive)
        over(p, AXVCPU_EINVAL);
}

STEP(take)
{
    bool mine = m->owner == me(p);
    if (p->sure)
        return;
    if (!m->alive)
        over(p, AXVCPU_EINVAL);
    else if ((m->owner != 0 && !mine) || (mine && (p->call->what->flags & NOBODYS)))
        over(p, AXVCPU_EBUSY);
    else
        m->owner = me(p);
    p->taken = !p->over && !mine;
}

STEP(check)
{
    const struct operation *o = p->call->what;
    if ((o->from >> m->state & 1u) != 0 && ((o->flags & OWNERS) == 0 || !p->taken))
        return;
    p->wrong = (o->from >> m->state & 1u) == 0 && (o->flags & POISONS) != 0;
    if (!p->wrong)
        over(p, AXVCPU_EBADSTATE);
}

// Who is woken between the two becomes Invalid all the same.
STEP(poison)
{
    if (p->wrong)
        fail(m, p, AXVCPU_EBADSTATE, !p->taken);
}

// bind and setup take it twice, if it is not as they expect at first.
STEP(try_first)
{
    p->taken = m->alive && m->owner == 0;
    if (p->taken)
        m->owner = me(p);
}

STEP(try_again)
{
    p->sure = p->taken && (p->call->what->from >> m->state & 1u) != 0 && !m->due;
    if (p->taken && !p->sure)
        m->owner = 0;
    p->taken = p->sure;
}

#define OPEN { take, 0 }, { check, 0 }, { poison, 0 }
#define OPEN_TWICE { try_first, 0 }, { try_again, 0 }, OPEN

// ---- what is pending, and what wakes

STEP(look_at_flags)
{
    p->seen = m->kick || m->nmi;
}

STEP(look_at_latch)
{
    p->seen = p->seen || m->latch;
}

STEP(look_at_edges)
{
    for (unsigned i = 0; i < VECTORS; i++)
        p->queued = p->queued || (vector(i) / 64 == arg && m->pending[i]);
}

STEP(look_at_lines)
{
    for (unsigned i = 0; i < VECTORS; i++)
        p->queued = p->queued || (vector(i) / 64 == arg && m->line[i]);
}

STEP(look_at_mask)
{
    p->seen = p->seen || (p->queued && !m->masked);
}

#define LOOK_AT_WORD(i) { look_at_edges, i }, { look_at_lines, i }
#define LOOK                                                                                               \
    { look_at_flags, 0 }, { look_at_latch, 0 }, LOOK_AT_WORD(3), LOOK_AT_WORD(2), LOOK_AT_WORD(1),         \
    LOOK_AT_WORD(0), { look_at_mask, 0 }

STEP(wake)
{
    if (p->seen && m->state == AXVCPU_STATE_BLOCKED)
        m->state = AXVCPU_STATE_READY;
}

STEP(if_blocked)
{
    if (m->state != AXVCPU_STATE_BLOCKED)
        over(p, AXVCPU_OK);
}

#define ALERT { if_blocked, 0 }, LOOK, { wake, 0 }
#define END { NULL, 0 }

STEP(tell_seen)
{
    p->out.value = p->seen;
}

static const struct step steps_pending[] = { LOOK, { tell_seen, 0 }, END };
REAL(do_pending)
{
    return (struct outcome){ 0, axvcpu_pending(v) };
}

// ---- life

STEP(init)
{
    uint8_t how = p->call->arg[0];
    int err = how == 255 ? AXVCPU_EINVAL : how >= 224 ? AXVCPU_ENOMEM : AXVCPU_OK;
    memset(m, 0, sizeof *m);
    if (err == 0) {
        m->alive = true;
        m->state = AXVCPU_STATE_CREATED;
        m->refs = 1;
        m->allowed = how % 8;
    }
    over(p, err);
}

static const struct step steps_init[] = { { init, 0 }, END };
REAL(do_init)
{
    struct axvcpu_desc desc = { .vcpu_id = 1, .phys_cpu_set = { { c->arg[0] % 8 } } };
    desc.arch.fail = c->arg[0] >= 224 ? AXVCPU_ENOMEM : 0;
    desc.flags = c->arg[0] == 255;
    if (desc.flags == 0)
        memset(v, 0xaa, sizeof *v); // it looks at nothing
    return (struct outcome){ axvcpu_init(v, &desc), 0 };
}

STEP(die)
{
    if (m->refs == 1)
        memset(m, 0, sizeof *m);
    over(p, m->alive ? AXVCPU_EBUSY : AXVCPU_OK);
}

static const struct step steps_deinit[] = { OPEN, { die, 0 }, END };

STEP(set_up)
{
    int err = 0;
    for (int op = AXVCPU_FAKE_SET_ENTRY; err == 0 && op <= AXVCPU_FAKE_SETUP; op++)
        err = leaf(m, (enum axvcpu_fake_op)op);
    if (err != 0)
        fail(m, p, err, !p->taken);
    else
        enter(m, AXVCPU_STATE_FREE);
}

static const struct step steps_setup[] = { OPEN_TWICE, { set_up, 0 }, END };
REAL(do_setup)
{
    return (struct outcome){ axvcpu_setup(v, axvcpu_gpa(0x1000), axvcpu_hpa(0), NULL), 0 };
}

STEP(may_bind)
{
    if (m->alive && m->allowed != 0 && (m->allowed >> p->call->cpu & 1u) == 0)
        over(p, AXVCPU_EINVAL);
}

STEP(bind)
{
    int err = leaf(m, AXVCPU_FAKE_BIND);
    if (err != 0) {
        fail(m, p, err, false);
        return;
    }
    enter(m, AXVCPU_STATE_READY);
    p->taken = false; // it stays this CPU's
}

static const struct step steps_bind[] = { { may_bind, 0 }, OPEN_TWICE, { bind, 0 }, END };

STEP(unbind)
{
    int err = leaf(m, AXVCPU_FAKE_UNBIND);
    if (err != 0)
        fail(m, p, err, false);
    else
        enter(m, AXVCPU_STATE_FREE);
    p->taken = true;
}

static const struct step steps_unbind[] = { OPEN, { unbind, 0 }, END };

// What an architectural reset forgets. A kick stays, and so does a line that is up.
STEP(forget_flags)
{
    m->nmi = m->irq = false;
}

STEP(forget_edges)
{
    for (unsigned i = 0; i < VECTORS; i++)
        m->pending[i] = m->pending[i] && vector(i) / 64 != arg;
}

STEP(find_lines)
{
    for (unsigned i = 0; i < VECTORS; i++)
        if (m->line[i] && vector(i) / 64 == arg)
            p->up |= (uint8_t)(1u << i);
}

STEP(keep_lines)
{
    m->irq = m->irq || p->up != 0;
}

STEP(forget_latch)
{
    m->latch = false;
}

#define FORGET_WORD(i) { forget_edges, i }, { find_lines, i }
#define FORGET                                                                                             \
    { forget_flags, 0 }, FORGET_WORD(0), FORGET_WORD(1), FORGET_WORD(2), FORGET_WORD(3), { keep_lines, 0 }, \
    { forget_latch, 0 }

STEP(clear)
{
    int err;
    if (!p->taken)
        (void)leaf(m, AXVCPU_FAKE_UNBIND);
    memset(m->gpr, 0, sizeof m->gpr);
    m->masked = false;
    err = leaf(m, AXVCPU_FAKE_CREATE);
    if (err != 0)
        fail(m, p, err, false);
}

STEP(become_created)
{
    enter(m, AXVCPU_STATE_CREATED);
    p->taken = true;
}

static const struct step steps_reset[] = { OPEN, { clear, 0 }, FORGET, { become_created, 0 }, END };

STEP(restart)
{
    int err = leaf(m, AXVCPU_FAKE_SET_ENTRY);
    m->asked = m->due = m->cpuid = m->masked = false;
    memset(m->gpr, 0, sizeof m->gpr);
    m->gpr[0] = p->call->arg[0];
    if (err != 0)
        fail(m, p, err, !p->taken);
}

static const struct step steps_restart[] = { OPEN, FORGET, { restart, 0 }, END };
REAL(do_restart)
{
    return (struct outcome){ axvcpu_restart(v, axvcpu_gpa(0x2000), c->arg[0]), 0 };
}

STEP(take_over)
{
    if (m->owner == 0)
        over(p, AXVCPU_EBADSTATE);
    else
        m->owner = me(p);
}

STEP(spoil)
{
    fail(m, p, AXVCPU_OK, true);
}

static const struct step steps_abandon[] = { { is_alive, 0 }, { take_over, 0 }, { spoil, 0 }, END };

STEP(refer)
{
    m->refs += m->alive;
    p->out.value = m->alive;
}

static const struct step steps_ref[] = { { refer, 0 }, END };
REAL(do_ref)
{
    struct axvcpu *got = axvcpu_ref(v);
    return (struct outcome){ got == v || got == NULL ? 0 : -1, got == v };
}

STEP(drop)
{
    if (m->refs > 1) {
        m->refs--;
        over(p, AXVCPU_OK);
    }
}

static const struct step steps_unref[] = { { is_alive, 0 }, { drop, 0 }, OPEN, { die, 0 }, END };

// ---- run and answers

// The step that the guest takes next.
static struct axvcpu_fake_step script(const struct call *c)
{
    static const uint32_t kinds[] = { AXVCPU_EXIT_HALT,         AXVCPU_EXIT_MMIO_READ, AXVCPU_EXIT_MMIO_WRITE,
                                      AXVCPU_EXIT_SYSREG_READ,  AXVCPU_EXIT_CPUID,     AXVCPU_EXIT_HYPERCALL,
                                      AXVCPU_EXIT_SYSREG_WRITE, AXVCPU_EXIT_SHUTDOWN };
    struct axvcpu_fake_step s;
    uint32_t how = c->arg[1], width = 1u << how % 4, wider = how / 4 % 4;
    memset(&s, 0, sizeof s);
    s.err = c->arg[0] >= 240 ? AXVCPU_EIO : 0;
    s.exit.kind = kinds[c->arg[0] % 8];
    if (s.exit.kind == AXVCPU_EXIT_MMIO_READ) {
        s.exit.mmio.width = width;
        s.exit.mmio.reg_width = width << wider > 8 ? 8 : width << wider;
        s.exit.mmio.reg = how / 16 % 4;
        s.exit.mmio.sign_extend = how / 64 % 2;
    } else if (s.exit.kind == AXVCPU_EXIT_SYSREG_READ) {
        s.exit.sysreg.reg = how / 16 % 4;
    }
    return s;
}

static int commit(struct model *m)
{
    int err = leaf(m, AXVCPU_FAKE_COMMIT);
    m->asked = m->due = m->cpuid = false;
    if (err != 0)
        return err;
    if (m->kind == AXVCPU_EXIT_MMIO_READ)
        m->gpr[m->reg] = loaded(m->gpr[m->reg], m->refused ? UINT64_MAX : m->value, m->width, m->reg_width,
                                m->sign_extend);
    if (m->kind == AXVCPU_EXIT_SYSREG_READ && !m->refused)
        m->gpr[m->reg] = m->value;
    if (m->kind == AXVCPU_EXIT_CPUID && !m->refused)
        for (unsigned i = 0; i < 4; i++)
            m->gpr[i] = low(m->value, 4); // the fuzzer answers all four alike
    return AXVCPU_OK;
}

// A kick that races with a run ends this one or the next: run looks before it is Running, if that shows that there is
// nothing to do, and else again.
STEP(look_first)
{
    p->calm = !m->kick && !m->nmi && !m->irq && !m->due;
}

STEP(start)
{
    if (m->away || m->asked)
        over(p, m->away ? AXVCPU_EBADSTATE : AXVCPU_EPENDING);
    else
        m->state = AXVCPU_STATE_RUNNING;
}

STEP(look_again)
{
    int err;
    p->kick = m->kick && !p->calm;
    p->nmi = m->nmi && !p->calm;
    p->irq = m->irq && !p->calm;
    err = m->due ? commit(m) : AXVCPU_OK;
    if (err != 0)
        fail(m, p, err, true);
}

// One that comes when this has been done is another.
STEP(use_kick)
{
    m->kick = m->kick && !p->kick;
}

STEP(attend)
{
    int err = !p->kick && (p->nmi || p->irq) ? leaf(m, AXVCPU_FAKE_INJECT) : AXVCPU_OK;
    if (err != 0) {
        fail(m, p, err, true);
    } else if (p->kick) {
        m->state = AXVCPU_STATE_READY;
        p->out.value = AXVCPU_EXIT_CANCELED;
        over(p, AXVCPU_OK);
    } else {
        m->nmis += p->nmi;
        m->nmi = m->nmi && !p->nmi;
        m->irq = m->irq && !(p->irq && !m->masked);
        p->irq = (p->irq || p->nmi) && !m->masked;
    }
}

STEP(see_lines)
{
    if (p->irq)
        find_lines(m, p, arg);
}

STEP(take_edges)
{
    for (unsigned i = 0; p->irq && i < VECTORS; i++)
        if (vector(i) / 64 == arg) {
            m->delivered[i] += m->pending[i] || (p->up >> i & 1);
            m->pending[i] = false;
        }
}

static void await(struct model *m, const struct axvcpu_exit *x)
{
    m->asked = (AXVCPU_READ_KINDS >> x->kind & 1u) != 0;
    m->due = m->asked || (AXVCPU_WRITE_KINDS >> x->kind & 1u) != 0;
    m->cpuid = x->kind == AXVCPU_EXIT_CPUID;
    m->refused = false;
    m->kind = x->kind;
    m->width = x->mmio.width;
    m->reg_width = x->mmio.reg_width;
    m->reg = x->kind == AXVCPU_EXIT_SYSREG_READ ? x->sysreg.reg : x->mmio.reg;
    m->sign_extend = x->mmio.sign_extend;
}

STEP(play)
{
    struct axvcpu_fake_step s = script(p->call);
    int err = leaf(m, AXVCPU_FAKE_RUN);
    keep_lines(m, p, arg);
    if (err != 0 || s.err != 0) {
        fail(m, p, err != 0 ? err : s.err, true);
        return;
    }
    await(m, &s.exit);
    m->state = AXVCPU_STATE_READY;
    p->out.value = s.exit.kind;
}

#define TAKE_WORD(i) { see_lines, i }, { take_edges, i }
static const struct step steps_run[] = { OPEN,           { look_first, 0 }, { start, 0 },  { look_again, 0 },
                                         { use_kick, 0 }, { attend, 0 },     TAKE_WORD(3),  TAKE_WORD(2),
                                         TAKE_WORD(1),   TAKE_WORD(0),      { play, 0 },   END };
static struct axvcpu_fake_step scripts[CPUS];
REAL(do_run)
{
    struct axvcpu_exit x;
    int err = axvcpu_run(v, &x);
    return (struct outcome){ err, x.kind };
}

// Before its call: the guest of a CPU that has a vCPU is the call's.
static void prepare(struct axvcpu *v, const struct call *c)
{
    struct axvcpu_fake_step *s = &scripts[c->cpu];
    if (c->what->fn != do_run || v->owner != AXVCPU_CPU_TOKEN())
        return;
    *s = script(c);
    (void)axvcpu_fake_script(v, s, 1, true); // refused in states that run refuses
}

STEP(settle)
{
    int err = AXVCPU_OK;
    if (m->asked) {
        err = AXVCPU_EPENDING;
    } else if (m->due) {
        err = commit(m);
        m->due = err != 0;
    }
    over(p, err);
}

static const struct step steps_settle[] = { OPEN, { settle, 0 }, END };
REAL(do_settle)
{
    struct axvcpu_exit x;
    int err = axvcpu_settle(v, &x);
    return (struct outcome){ err, x.kind };
}

static uint64_t answer(const struct call *c)
{
    return c->arg[0] * UINT64_C(0x8101010101010181);
}

STEP(complete)
{
    int err = !m->asked ? AXVCPU_EBADSTATE : m->cpuid != (arg != 0) ? AXVCPU_EINVAL : AXVCPU_OK;
    if (err == 0) {
        m->asked = false;
        m->value = answer(p->call);
    }
    over(p, err);
}

static const struct step steps_complete[] = { OPEN, { complete, 0 }, END };
REAL(do_complete)
{
    return (struct outcome){ axvcpu_complete(v, answer(c)), 0 };
}

static const struct step steps_complete_cpuid[] = { OPEN, { complete, 1 }, END };
REAL(do_complete_cpuid)
{
    uint32_t a = (uint32_t)answer(c), regs[4] = { a, a, a, a };
    return (struct outcome){ axvcpu_complete_cpuid(v, regs), 0 };
}

static int decline(struct model *m, enum axvcpu_fake_op op)
{
    bool writes = m->due && (AXVCPU_WRITE_KINDS >> m->kind & 1u) != 0 && !m->refused;
    return m->asked || writes ? leaf(m, op) : AXVCPU_EBADSTATE;
}

STEP(refuse)
{
    int err = decline(m, AXVCPU_FAKE_REFUSE);
    m->refused = m->refused || err == 0;
    m->asked = m->asked && err != 0;
    over(p, err);
}

STEP(retry)
{
    int err = decline(m, AXVCPU_FAKE_RETRY);
    if (err == 0)
        m->asked = m->due = m->cpuid = false;
    over(p, err);
}

static const struct step steps_refuse[] = { OPEN, { refuse, 0 }, END };
static const struct step steps_retry[] = { OPEN, { retry, 0 }, END };

// ---- sleep, kicks and interrupts

STEP(fall_asleep)
{
    enter(m, AXVCPU_STATE_BLOCKED);
}

STEP(stay_awake)
{
    if (!p->seen)
        over(p, AXVCPU_OK);
    wake(m, p, arg);
}

STEP(use_latch)
{
    forget_latch(m, p, arg);
    over(p, AXVCPU_EAGAIN);
}

static const struct step steps_block[] = { OPEN, { fall_asleep, 0 }, LOOK, { stay_awake, 0 }, { use_latch, 0 }, END };

STEP(wake_or_not)
{
    if (m->state == AXVCPU_STATE_BLOCKED || arg)
        over(p, AXVCPU_OK);
    p->seen = true;
    wake(m, p, 0);
}

STEP(set_latch)
{
    m->latch = true;
}

static const struct step steps_unblock[] = { { is_alive, 0 }, { wake_or_not, 0 }, { set_latch, 0 },
                                             { wake_or_not, 1 }, END };

STEP(set_kick)
{
    m->kick = true;
}

static const struct step steps_kick[] = { { is_alive, 0 }, { set_kick, 0 }, ALERT, END };

STEP(set_nmi)
{
    m->nmi = true;
}

static const struct step steps_inject_nmi[] = { { is_alive, 0 }, { set_nmi, 0 }, ALERT, END };

STEP(set_edge)
{
    unsigned i = p->call->arg[0] % 8;
    if (i == VECTORS)
        over(p, AXVCPU_EINVAL);
    else
        m->pending[i] = true;
}

STEP(set_irq)
{
    m->irq = true;
}

static const struct step steps_inject[] = { { is_alive, 0 }, { set_edge, 0 }, { set_irq, 0 }, ALERT, END };
REAL(do_inject)
{
    unsigned i = c->arg[0] % 8;
    return (struct outcome){ axvcpu_inject_interrupt(v, i < VECTORS ? vector(i) : AXVCPU_LEAF_VECTORS), 0 };
}

STEP(set_line)
{
    m->line[p->call->arg[0] % VECTORS] = p->call->arg[0] / VECTORS % 2;
}

static const struct step steps_line[] = { { is_alive, 0 }, { set_line, 0 }, { set_irq, 0 }, ALERT, END };
REAL(do_line)
{
    return (struct outcome){ axvcpu_set_irq(v, vector(c->arg[0] % VECTORS), c->arg[0] / VECTORS % 2), 0 };
}

// ---- registers, and where they are

STEP(mask)
{
    int err = leaf(m, AXVCPU_FAKE_SET_REG);
    if (err == 0)
        m->masked = p->call->arg[0] % 2;
    over(p, err);
}

static const struct step steps_mask[] = { OPEN, { mask, 0 }, END };
REAL(do_mask)
{
    return (struct outcome){ axvcpu_set_reg(v, AXVCPU_REG_FLAGS, c->arg[0] % 2 ? AXVCPU_FAKE_MASKED : 0), 0 };
}

STEP(is_register)
{
    if (p->call->arg[0] % 5 == 4)
        over(p, AXVCPU_EINVAL);
}

STEP(get)
{
    int err = leaf(m, AXVCPU_FAKE_GET_REG);
    if (err == 0)
        p->out.value = m->gpr[p->call->arg[0] % 5];
    over(p, err);
}

static const struct step steps_get[] = { { is_register, 0 }, OPEN, { get, 0 }, END };
REAL(do_get)
{
    uint32_t reg = c->arg[0] % 5;
    struct outcome got = { 0, 0 };
    got.err = axvcpu_get_gpr(v, reg == 4 ? 32 : reg, &got.value);
    return got;
}

STEP(look_at_state)
{
    p->out.value = m->state;
}

static const struct step steps_get_state[] = { { look_at_state, 0 }, END };
REAL(do_get_state)
{
    return (struct outcome){ 0, axvcpu_get_state(v) };
}

STEP(move)
{
    int err;
    if (m->away == (arg != 0)) {
        over(p, AXVCPU_EBADSTATE);
        return;
    }
    err = leaf(m, arg ? AXVCPU_FAKE_PUT : AXVCPU_FAKE_LOAD);
    if (err != 0)
        fail(m, p, err, true);
    else
        m->away = arg;
}

static const struct step steps_put[] = { OPEN, { move, 1 }, END };
static const struct step steps_load[] = { OPEN, { move, 0 }, END };

// ---- for nobody but the owner, and tests

STEP(transition)
{
    uint32_t from = p->call->arg[0] % AXVCPU_STATE_COUNT, to = p->call->arg[1] % (AXVCPU_STATE_COUNT + 1);
    bool mine = m->owner == me(p);
    over(p, !m->alive || to == AXVCPU_STATE_COUNT ? AXVCPU_EINVAL :
            m->owner != 0 && !mine                ? AXVCPU_EBUSY :
            m->state != from                      ? AXVCPU_EBADSTATE :
                                                    AXVCPU_OK);
    if (p->out.err == AXVCPU_OK)
        enter(m, (enum axvcpu_state)to);
    else if (p->out.err == AXVCPU_EBADSTATE && mine)
        fail(m, p, AXVCPU_EBADSTATE, true);
    else if (p->out.err == AXVCPU_EBADSTATE)
        enter(m, AXVCPU_STATE_INVALID);
}

static const struct step steps_transition[] = { { transition, 0 }, END };
REAL(do_transition)
{
    return (struct outcome){ axvcpu_transition(v, (enum axvcpu_state)(c->arg[0] % AXVCPU_STATE_COUNT),
                                               (enum axvcpu_state)(c->arg[1] % (AXVCPU_STATE_COUNT + 1))), 0 };
}

static enum axvcpu_fake_op failing(const struct call *c)
{
    return (enum axvcpu_fake_op)(c->arg[0] % AXVCPU_FAKE_EXCEPTION);
}

static int failure(const struct call *c)
{
    static const int errors[] = { AXVCPU_EIO, AXVCPU_ENOMEM, AXVCPU_EFAULT };
    return errors[c->arg[0] / AXVCPU_FAKE_EXCEPTION % 3];
}

STEP(arm)
{
    m->fails[failing(p->call)] = failure(p->call);
}

static const struct step steps_fail[] = { { is_alive, 0 }, { arm, 0 }, END };
REAL(do_fail)
{
    return (struct outcome){ axvcpu_fake_fail(v, failing(c), 1, failure(c)), 0 };
}

#define PLAIN(name)                                                             \
    REAL(do_##name)                                                             \
    {                                                                           \
        return (struct outcome){ axvcpu_##name(v), 0 };                         \
    }
PLAIN(deinit)
PLAIN(bind)
PLAIN(unbind)
PLAIN(reset)
PLAIN(abandon)
PLAIN(unref)
PLAIN(refuse)
PLAIN(retry)
PLAIN(block)
PLAIN(unblock)
PLAIN(kick)
PLAIN(inject_nmi)
PLAIN(put)
PLAIN(load)

// ---- all of them: name, states, flags, bytes of arguments, what it needs; what leads on comes more often

#define CALL(name, from, flags, args, needs) { #name, steps_##name, do_##name, from, flags, args, needs }
#define RUN CALL(run, IN(READY), POISONS | OWNERS, 2, NOTHING)
#define COMPLETE CALL(complete, AWAKE, 0, 1, NOTHING)
#define INJECT CALL(inject, 0, 0, 1, NOTHING)
#define BLOCK CALL(block, IN(READY), OWNERS, 0, NOTHING)
#define UNBLOCK CALL(unblock, 0, 0, 0, NOTHING)
#define KICK CALL(kick, 0, 0, 0, NOTHING)
static const struct operation operations[] = {
    RUN, RUN, RUN, RUN, COMPLETE, COMPLETE, INJECT, INJECT, BLOCK, BLOCK, UNBLOCK, UNBLOCK, KICK, KICK,
    CALL(init, 0, 0, 1, ALONE),
    CALL(setup, IN(CREATED), POISONS, 0, NOTHING),
    CALL(bind, IN(FREE), POISONS, 0, NOTHING),
    CALL(complete_cpuid, AWAKE, 0, 1, NOTHING),
    CALL(settle, IN(FREE) | IN(READY) | IN(BLOCKED), 0, 0, NOTHING),
    CALL(refuse, AWAKE, 0, 0, NOTHING),
    CALL(retry, AWAKE, 0, 0, NOTHING),
    CALL(unbind, IN(READY), POISONS | OWNERS, 0, NOTHING),
    CALL(inject_nmi, 0, 0, 0, NOTHING),
    CALL(line, 0, 0, 1, NOTHING),
    CALL(mask, AWAKE, 0, 1, NOTHING),
    CALL(get, AWAKE | IN(INVALID), 0, 1, NOTHING),
    CALL(get_state, 0, 0, 0, NOTHING),
    CALL(pending, 0, 0, 0, NOTHING),
    CALL(put, IN(READY) | IN(BLOCKED), OWNERS, 0, NOTHING),
    CALL(load, IN(READY) | IN(BLOCKED), OWNERS, 0, NOTHING),
    CALL(reset, ~IN(RUNNING), 0, 0, NOTHING),
    CALL(restart, IN(FREE) | IN(READY), 0, 1, NOTHING),
    CALL(abandon, 0, 0, 0, DEAD_OWNER),
    CALL(ref, 0, 0, 0, NOTHING),
    CALL(unref, ~IN(RUNNING), NOBODYS, 0, REFERENCE),
    CALL(transition, 0, 0, 2, ALONE),
    CALL(fail, 0, 0, 1, ALONE),
    CALL(deinit, ~IN(RUNNING), NOBODYS, 0, ALONE),
};
enum { OPERATIONS = sizeof operations / sizeof operations[0] };

// A call of this CPU's, as the bytes say.
static struct call draw(unsigned cpu)
{
    struct call c = { &operations[input_next(OPERATIONS)], cpu, { 0 } };
    input_take(c.arg, c.what->args);
    return c;
}

// Whether it can be made at all: init does not look at what is there, and references do not end.
static bool makes_sense(const struct model *m, const struct call *c)
{
    return !(c->what->fn == do_init && m->alive) && !(c->what->fn == do_ref && m->refs > 5);
}

// All of it, with nobody else about.
static struct outcome alone(struct model *m, const struct call *c)
{
    struct play p;
    memset(&p, 0, sizeof p);
    for (p.call = c; !p.done;)
        advance(m, &p);
    return p.out;
}

// ---- the real one as the model would have it, and the comparison

// A vCPU's fields that mean nothing now.
static void tidy(struct model *m)
{
    if (!m->due)
        m->kind = 0;
    if (m->kind != AXVCPU_EXIT_MMIO_READ)
        m->width = m->reg_width = m->sign_extend = 0;
    if (m->kind != AXVCPU_EXIT_MMIO_READ && m->kind != AXVCPU_EXIT_SYSREG_READ)
        m->reg = 0;
    m->refused = m->refused && m->due;
    if (!m->due || m->asked || m->refused || (AXVCPU_READ_KINDS >> m->kind & 1u) == 0)
        m->value = 0;
    if (m->kind == AXVCPU_EXIT_CPUID)
        m->value = low(m->value, 4);
}

static void observe_access(const struct axvcpu *v, struct model *m)
{
    const struct axvcpu_answer *a = &v->access;
    m->asked = (v->word & AXVCPU_I_ASKED) != 0;
    m->due = (v->word & AXVCPU_I_DUE) != 0;
    m->cpuid = (v->word & AXVCPU_I_REGS) != 0;
    m->refused = a->refused;
    m->kind = a->kind;
    m->width = a->width;
    m->reg_width = a->reg_width;
    m->reg = a->reg;
    m->sign_extend = a->sign_extend;
    m->value = m->kind == AXVCPU_EXIT_CPUID ? a->cpuid[0] : a->value;
}

static void observe_interrupts(const struct axvcpu *v, struct model *m)
{
    m->kick = (v->attn & AXVCPU_ATTN_KICK) != 0;
    m->nmi = (v->attn & AXVCPU_ATTN_NMI) != 0;
    m->irq = (v->attn & AXVCPU_ATTN_IRQ) != 0;
    m->latch = v->latch != 0;
    m->masked = (v->arch.flags & AXVCPU_FAKE_MASKED) != 0;
    m->nmis = v->arch.nmis;
    for (unsigned i = 0; i < VECTORS; i++) {
        m->delivered[i] = v->arch.delivered[vector(i)];
        m->pending[i] = v->pending[vector(i) / 64] >> vector(i) % 64 & 1;
        m->line[i] = v->lines[vector(i) / 64] >> vector(i) % 64 & 1;
    }
}

static struct model observe(const struct axvcpu *v)
{
    static const struct axvcpu zero;
    struct model m;
    memset(&m, 0, sizeof m);
    m.alive = v->word != 0 || memcmp(v, &zero, sizeof zero) != 0;
    if (!m.alive)
        return m;
    m.state = v->word & AXVCPU_I_STATE;
    m.away = (v->word & AXVCPU_I_AWAY) != 0;
    m.owner = v->owner == NULL ? 0 : (uint32_t)((struct axvcpu **)v->owner - currents) + 1;
    m.refs = v->refs;
    m.allowed = (uint32_t)v->phys_cpu_set.bits[0];
    for (unsigned i = 0; i < AXVCPU_FAKE_OP_COUNT; i++)
        m.fails[i] = v->arch.fail_in[i] != 0 ? v->arch.fail_err[i] : 0;
    memcpy(m.gpr, v->arch.gpr, sizeof m.gpr);
    observe_access(v, &m);
    observe_interrupts(v, &m);
    tidy(&m);
    return m;
}

#define SIZE(name) sizeof(((struct model *)0)->name)
#define FIELD(name, one) { #name, offsetof(struct model, name), SIZE(name), SIZE(one) }
static const struct field {
    const char *name;
    size_t at, size, each;
} fields[] = {
    FIELD(alive, alive),     FIELD(state, state),     FIELD(owner, owner),         FIELD(refs, refs),
    FIELD(allowed, allowed), FIELD(away, away),       FIELD(asked, asked),         FIELD(due, due),
    FIELD(cpuid, cpuid),     FIELD(refused, refused), FIELD(kick, kick),           FIELD(nmi, nmi),
    FIELD(irq, irq),         FIELD(latch, latch),     FIELD(masked, masked),       FIELD(fails, fails[0]),
    FIELD(kind, kind),       FIELD(width, width),     FIELD(reg_width, reg_width), FIELD(reg, reg),
    FIELD(value, value),     FIELD(gpr, gpr[0]),      FIELD(nmis, nmis),           FIELD(sign_extend, sign_extend),
    FIELD(line, line[0]),    FIELD(pending, pending[0]), FIELD(delivered, delivered[0]),
};

// The first field in which they differ, or NULL.
static const struct field *difference(const struct model *a, const struct model *b)
{
    if (memcmp(a, b, sizeof *a) == 0)
        return NULL;
    for (const struct field *f = fields; f < fields + sizeof fields / sizeof fields[0]; f++)
        if (memcmp((const char *)a + f->at, (const char *)b + f->at, f->size) != 0)
            return f;
    return NULL;
}

static bool same_outcome(struct outcome a, struct outcome b)
{
    return a.err == b.err && a.value == b.value;
}
#pragma clang diagnostic pop
#pragma clang attribute pop

#endif
