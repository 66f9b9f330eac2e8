// SPDX-License-Identifier: Apache-2.0
//
// The whole vCPU API against a reference model: the fuzzer's bytes are calls from three CPUs on two vCPUs of
// the fake backend, with failures of the backend among them. After each call its result, and each vCPU's
// state, owner, references, registers, interrupts and what is pending are what the model says.
//
// The model is written from the contract, not from the code: one function for each call, in the order of the
// checks that the contract gives.
#define AXVCPU_ARCH_FAKE
#define AXVCPU_CHECKED
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CPUS = 3, VCPUS = 2, NOBODY = -1 };
static unsigned this_cpu;
static struct axvcpu *currents[CPUS];
#define AXVCPU_CURRENT_GET() currents[this_cpu]
#define AXVCPU_CURRENT_SET(v) ((void)(currents[this_cpu] = (v)))
#define AXVCPU_CPU_TOKEN() ((void *)&currents[this_cpu])
#define AXVCPU_CPU_ID() this_cpu
#define AXVCPU_LOG(level, text) ((void)(level), (void)(text))
#define AXVCPU_IMPLEMENTATION
#include "axvcpu.h"

// ---- the model

struct model {
    bool alive, away, asked, due, cpuid, refused, kick, nmi, irq, latch, masked;
    enum axvcpu_state state;
    int owner;
    uint32_t refs, allowed; // allowed: the CPUs that bind may happen on, as bits; 0: all
    int fails[AXVCPU_FAKE_OP_COUNT];
    struct axvcpu_exit exit; // the access that waits
    uint64_t value, gpr[4], nmis;
    bool pending[8], line[8];
    uint64_t delivered[8];
};
static struct axvcpu vcpus[VCPUS];
static struct model models[VCPUS];

// What the bytes say; past their end all is zero.
static const uint8_t *bytes;
static size_t left;
static uint32_t next(uint32_t below)
{
    uint32_t byte = left > 0 ? *bytes : 0;
    if (left > 0)
        bytes++, left--;
    return byte % below;
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

static void invalidate(struct model *m, bool bound)
{
    if (bound)
        (void)leaf(m, AXVCPU_FAKE_UNBIND);
    enter(m, AXVCPU_STATE_INVALID);
    m->owner = NOBODY;
}

static int failed(struct model *m, int err, bool bound)
{
    invalidate(m, bound);
    return err;
}

#define IN(state) (1u << AXVCPU_STATE_##state)
enum { POISONS = 1, OWNERS = 2, NOBODYS = 4 };

// The checks that all operations begin with; 0, and *mine tells whether it was this CPU's before.
static int checks(struct model *m, uint32_t from, int flags, bool *mine)
{
    *mine = m->owner == (int)this_cpu;
    if (!m->alive)
        return AXVCPU_EINVAL;
    if ((m->owner != NOBODY && !*mine) || (*mine && (flags & NOBODYS)))
        return AXVCPU_EBUSY;
    if ((from >> m->state & 1u) == 0)
        return flags & POISONS ? failed(m, AXVCPU_EBADSTATE, *mine) : AXVCPU_EBADSTATE;
    return (flags & OWNERS) && !*mine ? AXVCPU_EBADSTATE : AXVCPU_OK;
}

static bool has_irq(const struct model *m)
{
    for (int i = 0; i < 8; i++)
        if (m->pending[i] || m->line[i])
            return true;
    return false;
}

static bool pending(const struct model *m)
{
    return m->kick || m->nmi || m->latch || (has_irq(m) && !m->masked);
}

static void alert(struct model *m)
{
    if (m->state == AXVCPU_STATE_BLOCKED && pending(m))
        m->state = AXVCPU_STATE_READY;
}

static void forget(struct model *m)
{
    m->nmi = m->latch = m->irq = false;
    for (int i = 0; i < 8; i++) {
        m->pending[i] = false;
        m->irq = m->irq || m->line[i];
    }
}

static uint64_t low(uint64_t value, uint32_t width)
{
    return width == 8 ? value : value & ((UINT64_C(1) << (width * 8)) - 1);
}

// A load's value as its register takes it; the register is as wide as the exit says.
static uint64_t loaded(const struct model *m, uint64_t old)
{
    const struct axvcpu_exit_mmio *a = &m->exit.mmio;
    uint64_t value = low(m->refused ? UINT64_MAX : m->value, a->width);
    if (a->sign_extend && (value >> (a->width * 8 - 1) & 1))
        value |= ~low(UINT64_MAX, a->width);
    return a->reg_width < 4 ? (old & ~low(UINT64_MAX, a->reg_width)) | low(value, a->reg_width) : low(value, a->reg_width);
}

static int commit(struct model *m)
{
    int err;
    m->asked = m->due = m->cpuid = false;
    err = leaf(m, AXVCPU_FAKE_COMMIT);
    if (err != 0)
        return err;
    if (m->exit.kind == AXVCPU_EXIT_MMIO_READ)
        m->gpr[m->exit.mmio.reg] = loaded(m, m->gpr[m->exit.mmio.reg]);
    if (m->exit.kind == AXVCPU_EXIT_SYSREG_READ && !m->refused)
        m->gpr[m->exit.sysreg.reg] = m->value;
    if (m->exit.kind == AXVCPU_EXIT_CPUID && !m->refused)
        for (uint32_t i = 0; i < 4; i++)
            m->gpr[i] = low(m->value, 4); // the fuzzer answers all four alike
    return AXVCPU_OK;
}

static int attend(struct model *m, bool *canceled)
{
    int err;
    *canceled = m->kick;
    m->kick = false;
    if (*canceled || (!m->nmi && !m->irq))
        return AXVCPU_OK;
    err = leaf(m, AXVCPU_FAKE_INJECT);
    if (err != 0)
        return err;
    m->nmis += m->nmi;
    m->nmi = false;
    if (m->masked)
        return AXVCPU_OK;
    m->irq = false;
    for (int i = 0; i < 8; i++) {
        m->delivered[i] += m->pending[i] || m->line[i];
        m->irq = m->irq || m->line[i];
        m->pending[i] = false;
    }
    return AXVCPU_OK;
}

// ---- the calls: each makes one, and says what it must return

struct call { int got, want; };
static struct axvcpu *v;
static struct model *m;
static bool mine;

static struct call do_init(void)
{
    struct axvcpu_desc desc = { .vcpu_id = next(3), .phys_cpu_set = { { next(8) } } };
    struct call c;
    desc.arch.fail = next(8) == 7 ? AXVCPU_ENOMEM : 0;
    desc.flags = next(16) == 15;
    if (m->alive) // it would not look at what is there
        return (struct call){ 0, 0 };
    c.want = desc.flags != 0 ? AXVCPU_EINVAL : desc.arch.fail;
    c.got = axvcpu_init(v, &desc);
    memset(m, 0, sizeof *m);
    m->owner = NOBODY;
    if (c.want == 0) {
        m->alive = true;
        m->state = AXVCPU_STATE_CREATED;
        m->refs = 1;
        m->allowed = (uint32_t)desc.phys_cpu_set.bits[0];
    }
    return c;
}

static struct call do_deinit(void)
{
    int want = checks(m, ~IN(RUNNING), NOBODYS, &mine);
    if (want == 0 && m->refs != 1)
        want = AXVCPU_EBUSY;
    if (want == 0)
        m->alive = false;
    return (struct call){ axvcpu_deinit(v), want };
}

static struct call do_setup(void)
{
    int want = checks(m, IN(CREATED), POISONS, &mine);
    enum axvcpu_fake_op op;
    if (want == 0) {
        for (op = AXVCPU_FAKE_SET_ENTRY; want == 0 && op <= AXVCPU_FAKE_SETUP; op++)
            want = leaf(m, op);
        if (want != 0)
            invalidate(m, mine);
        else
            enter(m, AXVCPU_STATE_FREE);
    }
    return (struct call){ axvcpu_setup(v, axvcpu_gpa(0x1000), axvcpu_hpa(0), NULL), want };
}

static struct call do_bind(void)
{
    int want = m->alive && m->allowed != 0 && (m->allowed >> this_cpu & 1u) == 0 ? AXVCPU_EINVAL :
                                                                              checks(m, IN(FREE), POISONS, &mine);
    if (want == 0) {
        want = leaf(m, AXVCPU_FAKE_BIND);
        if (want != 0) {
            invalidate(m, false);
        } else {
            enter(m, AXVCPU_STATE_READY);
            m->owner = (int)this_cpu;
        }
    }
    return (struct call){ axvcpu_bind(v), want };
}

static struct call do_unbind(void)
{
    int want = checks(m, IN(READY), POISONS | OWNERS, &mine);
    if (want == 0) {
        want = leaf(m, AXVCPU_FAKE_UNBIND);
        if (want != 0) {
            invalidate(m, false);
        } else {
            enter(m, AXVCPU_STATE_FREE);
            m->owner = NOBODY;
        }
    }
    return (struct call){ axvcpu_unbind(v), want };
}

static uint32_t width(void)
{
    return 1u << next(4);
}

// The step that the guest takes next.
static struct axvcpu_fake_step step;
static void write_step(void)
{
    static const uint32_t kinds[] = { AXVCPU_EXIT_HALT, AXVCPU_EXIT_MMIO_READ, AXVCPU_EXIT_MMIO_WRITE,
                                      AXVCPU_EXIT_SYSREG_READ, AXVCPU_EXIT_SYSREG_WRITE, AXVCPU_EXIT_CPUID,
                                      AXVCPU_EXIT_HYPERCALL, AXVCPU_EXIT_SHUTDOWN };
    memset(&step, 0, sizeof step);
    step.exit.kind = kinds[next(8)];
    if (step.exit.kind == AXVCPU_EXIT_MMIO_READ) {
        step.exit.mmio.width = width();
        step.exit.mmio.reg_width = step.exit.mmio.width << next(4);
        step.exit.mmio.reg_width = step.exit.mmio.reg_width > 8 ? 8 : step.exit.mmio.reg_width;
        step.exit.mmio.reg = next(4);
        step.exit.mmio.sign_extend = next(2);
    } else if (step.exit.kind == AXVCPU_EXIT_SYSREG_READ) {
        step.exit.sysreg.reg = next(4);
    }
    step.err = next(16) == 15 ? AXVCPU_EIO : 0;
}

static void leave(struct axvcpu_exit *x)
{
    bool reads = (AXVCPU_READ_KINDS >> step.exit.kind & 1u) != 0, writes = (AXVCPU_WRITE_KINDS >> step.exit.kind & 1u) != 0;
    m->due = reads || writes;
    m->asked = reads;
    m->cpuid = step.exit.kind == AXVCPU_EXIT_CPUID;
    m->refused = false;
    if (m->due)
        m->exit = step.exit;
    *x = step.exit;
}

static int run_model(struct axvcpu_exit *x)
{
    bool canceled;
    int err = m->due ? commit(m) : AXVCPU_OK;
    if (err == 0)
        err = attend(m, &canceled);
    if (err != 0)
        return err;
    x->kind = AXVCPU_EXIT_CANCELED;
    if (canceled)
        return AXVCPU_OK;
    err = leaf(m, AXVCPU_FAKE_RUN);
    if (err == 0)
        err = step.err;
    if (err == 0)
        leave(x);
    return err;
}

static struct call do_run(void)
{
    struct axvcpu_exit got, want = { .kind = AXVCPU_EXIT_NOTHING };
    struct call c = { 0, checks(m, IN(READY), POISONS | OWNERS, &mine) };
    write_step();
    if (c.want == 0 && m->away)
        c.want = AXVCPU_EBADSTATE;
    else if (c.want == 0 && m->asked)
        c.want = AXVCPU_EPENDING;
    else if (c.want == 0) {
        c.want = run_model(&want);
        if (c.want != 0) {
            want.kind = AXVCPU_EXIT_NOTHING;
            invalidate(m, true);
        }
    }
    if (m->alive)
        (void)axvcpu_fake_script(v, &step, 1, true);
    c.got = axvcpu_run(v, &got);
    return got.kind != want.kind ? (struct call){ 1000 + (int)got.kind, 1000 + (int)want.kind } : c;
}

static struct call do_settle(void)
{
    struct axvcpu_exit x;
    int want = checks(m, IN(FREE) | IN(READY) | IN(BLOCKED), 0, &mine);
    if (want == 0 && m->asked)
        want = AXVCPU_EPENDING;
    else if (want == 0 && m->due) {
        bool cpuid = m->cpuid;
        want = commit(m);
        m->due = want != 0;
        (void)cpuid;
    }
    return (struct call){ axvcpu_settle(v, &x), want };
}

#define AWAKE (IN(CREATED) | IN(FREE) | IN(READY) | IN(BLOCKED))
static struct call do_complete(void)
{
    bool four = next(2);
    uint64_t value = next(256) * UINT64_C(0x8101010101010181);
    uint32_t regs[4] = { (uint32_t)value, (uint32_t)value, (uint32_t)value, (uint32_t)value };
    int want = checks(m, AWAKE, 0, &mine);
    if (want == 0 && !m->asked)
        want = AXVCPU_EBADSTATE;
    else if (want == 0 && m->cpuid != four)
        want = AXVCPU_EINVAL;
    else if (want == 0) {
        m->asked = false;
        m->value = value;
    }
    return (struct call){ four ? axvcpu_complete_cpuid(v, regs) : axvcpu_complete(v, value), want };
}

static int decline(enum axvcpu_fake_op op)
{
    bool writes = m->due && (AXVCPU_WRITE_KINDS >> m->exit.kind & 1u) != 0 && !m->refused;
    int want = checks(m, AWAKE, 0, &mine);
    if (want == 0 && !m->asked && !writes)
        return AXVCPU_EBADSTATE;
    return want != 0 ? want : leaf(m, op);
}

static struct call do_refuse(void)
{
    int want = decline(AXVCPU_FAKE_REFUSE);
    if (want == 0) {
        m->refused = true;
        m->asked = false;
    }
    return (struct call){ axvcpu_refuse(v), want };
}

static struct call do_retry(void)
{
    int want = decline(AXVCPU_FAKE_RETRY);
    if (want == 0)
        m->asked = m->due = m->cpuid = false;
    return (struct call){ axvcpu_retry(v), want };
}

static struct call do_block(void)
{
    int want = checks(m, IN(READY), OWNERS, &mine);
    if (want == 0 && pending(m)) {
        want = AXVCPU_EAGAIN;
        m->latch = false;
    } else if (want == 0) {
        enter(m, AXVCPU_STATE_BLOCKED);
    }
    return (struct call){ axvcpu_block(v), want };
}

static struct call do_unblock(void)
{
    if (m->alive && m->state == AXVCPU_STATE_BLOCKED)
        m->state = AXVCPU_STATE_READY;
    else
        m->latch = true;
    return (struct call){ axvcpu_unblock(v), m->alive ? 0 : AXVCPU_EINVAL };
}

static struct call do_kick(void)
{
    m->kick = true;
    alert(m);
    return (struct call){ axvcpu_kick(v), m->alive ? 0 : AXVCPU_EINVAL };
}

static struct call do_nmi(void)
{
    m->nmi = true;
    alert(m);
    return (struct call){ axvcpu_inject_nmi(v), m->alive ? 0 : AXVCPU_EINVAL };
}

// Vectors 0, 37, 74 ... 259, of which the last is none.
static struct call do_inject(void)
{
    uint32_t i = next(8);
    int want = m->alive && i < 7 ? 0 : AXVCPU_EINVAL;
    if (want == 0) {
        m->pending[i] = m->irq = true;
        alert(m);
    }
    return (struct call){ axvcpu_inject_interrupt(v, i * 37 + (i == 7)), want };
}

static struct call do_line(void)
{
    uint32_t i = next(7);
    bool level = next(2);
    m->line[i] = level;
    m->irq = true;
    alert(m);
    return (struct call){ axvcpu_set_irq(v, i * 37, level), m->alive ? 0 : AXVCPU_EINVAL };
}

static struct call do_mask(void)
{
    bool masked = next(2);
    int want = checks(m, AWAKE, 0, &mine);
    if (want == 0)
        want = leaf(m, AXVCPU_FAKE_SET_REG);
    if (want == 0)
        m->masked = masked;
    return (struct call){ axvcpu_set_reg(v, AXVCPU_REG_FLAGS, masked ? AXVCPU_FAKE_MASKED : 0), want };
}

static struct call do_get(void)
{
    uint32_t reg = next(5);
    uint64_t value = 0;
    int want = reg == 4 ? AXVCPU_EINVAL : checks(m, AWAKE | IN(INVALID), 0, &mine);
    if (want == 0)
        want = leaf(m, AXVCPU_FAKE_GET_REG);
    return (struct call){ axvcpu_get_gpr(v, reg == 4 ? 32 : reg, &value), want };
}

static int move(bool away, enum axvcpu_fake_op op)
{
    int want = checks(m, IN(READY) | IN(BLOCKED), OWNERS, &mine);
    if (want == 0 && m->away == away)
        return AXVCPU_EBADSTATE;
    if (want == 0) {
        want = leaf(m, op);
        if (want != 0)
            invalidate(m, true);
        else
            m->away = away;
    }
    return want;
}

static struct call do_put(void)
{
    int want = move(true, AXVCPU_FAKE_PUT);
    return (struct call){ axvcpu_put(v), want };
}

static struct call do_load(void)
{
    int want = move(false, AXVCPU_FAKE_LOAD);
    return (struct call){ axvcpu_load(v), want };
}

static struct call do_reset(void)
{
    int want = checks(m, ~IN(RUNNING), 0, &mine);
    if (want == 0) {
        if (mine)
            (void)leaf(m, AXVCPU_FAKE_UNBIND);
        memset(m->gpr, 0, sizeof m->gpr);
        m->masked = false;
        want = leaf(m, AXVCPU_FAKE_CREATE);
        if (want != 0) {
            invalidate(m, false);
        } else {
            forget(m);
            enter(m, AXVCPU_STATE_CREATED);
            m->owner = NOBODY;
        }
    }
    return (struct call){ axvcpu_reset(v), want };
}

static struct call do_restart(void)
{
    int want = checks(m, IN(FREE) | IN(READY), 0, &mine);
    uint64_t arg = next(256);
    if (want == 0) {
        forget(m);
        m->asked = m->due = m->cpuid = m->masked = false;
        memset(m->gpr, 0, sizeof m->gpr);
        m->gpr[0] = arg;
        want = leaf(m, AXVCPU_FAKE_SET_ENTRY);
        if (want != 0)
            invalidate(m, mine);
    }
    return (struct call){ axvcpu_restart(v, axvcpu_gpa(0x2000), arg), want };
}

static struct call do_abandon(void)
{
    int want = !m->alive ? AXVCPU_EINVAL : m->owner == NOBODY ? AXVCPU_EBADSTATE : 0;
    if (want == 0)
        invalidate(m, true);
    return (struct call){ axvcpu_abandon(v), want };
}

static struct call do_ref(void)
{
    if (m->alive && m->refs < 5) {
        m->refs++;
        return (struct call){ axvcpu_ref(v) == v, 1 };
    }
    return (struct call){ m->alive || axvcpu_ref(v) == NULL, 1 };
}

static struct call do_unref(void)
{
    int want = !m->alive ? AXVCPU_EINVAL : 0;
    if (want == 0 && m->refs > 1)
        m->refs--;
    else if (want == 0) {
        want = m->owner != NOBODY ? AXVCPU_EBUSY : m->state == AXVCPU_STATE_RUNNING ? AXVCPU_EBADSTATE : 0;
        m->alive = want != 0;
    }
    return (struct call){ axvcpu_unref(v), want };
}

static struct call do_transition(void)
{
    enum axvcpu_state from = (enum axvcpu_state)next(AXVCPU_STATE_COUNT), to = (enum axvcpu_state)next(AXVCPU_STATE_COUNT + 1);
    int want = !m->alive || to == AXVCPU_STATE_COUNT          ? AXVCPU_EINVAL :
               m->owner != NOBODY && m->owner != (int)this_cpu     ? AXVCPU_EBUSY :
               m->state != from                               ? AXVCPU_EBADSTATE :
                                                                0;
    if (want == 0)
        enter(m, to);
    else if (want == AXVCPU_EBADSTATE && m->owner == (int)this_cpu)
        invalidate(m, true);
    else if (want == AXVCPU_EBADSTATE)
        enter(m, AXVCPU_STATE_INVALID);
    return (struct call){ axvcpu_transition(v, from, to), want };
}

static struct call do_fail(void)
{
    static const int errors[] = { AXVCPU_EIO, AXVCPU_ENOMEM, AXVCPU_EFAULT };
    enum axvcpu_fake_op op = (enum axvcpu_fake_op)next(AXVCPU_FAKE_EXCEPTION);
    int err = errors[next(3)];
    if (!m->alive)
        return (struct call){ axvcpu_fake_fail(v, op, 1, err), AXVCPU_EINVAL };
    m->fails[op] = err;
    return (struct call){ axvcpu_fake_fail(v, op, 1, err), AXVCPU_OK };
}

#define CALL(name) { #name, do_##name }
static const struct {
    const char *name;
    struct call (*fn)(void);
} calls[] = { // what leads on comes more often
    CALL(init), CALL(setup), CALL(bind), CALL(run), CALL(run), CALL(run), CALL(run), CALL(complete), CALL(complete),
    CALL(complete), CALL(settle), CALL(refuse), CALL(retry), CALL(unbind), CALL(block), CALL(unblock), CALL(kick), CALL(nmi),
    CALL(inject), CALL(inject), CALL(line), CALL(mask), CALL(get), CALL(put), CALL(load), CALL(reset), CALL(restart),
    CALL(abandon), CALL(ref), CALL(unref), CALL(transition), CALL(fail), CALL(deinit),
};
enum { CALLS = sizeof calls / sizeof calls[0] };

// ---- the comparison

static void stop(const char *name, const char *what, uint64_t got, uint64_t want)
{
    fprintf(stderr, "after %s by CPU %u on vCPU %d: %s is %#llx, the model says %#llx\n", name, this_cpu, (int)(v - vcpus), what,
            (unsigned long long)got, (unsigned long long)want);
    abort();
}

#define SAME(what, got, want)                                                   \
    do {                                                                        \
        if ((uint64_t)(got) != (uint64_t)(want))                                \
            stop(name, what, (uint64_t)(got), (uint64_t)(want));                \
    } while (0)

static void compare(const char *name, struct axvcpu *real, const struct model *model)
{
    static const struct axvcpu zero;
    SAME("a dead one's memory", !model->alive && memcmp(real, &zero, sizeof zero) != 0, 0);
    if (!model->alive)
        return;
    SAME("the state", axvcpu_get_state(real), model->state);
    SAME("the owner", (uintptr_t)real->owner, model->owner == NOBODY ? 0 : (uintptr_t)&currents[model->owner]);
    SAME("the references", real->refs, model->refs);
    SAME("pending", axvcpu_pending(real), pending(model));
    SAME("attention", axvcpu_attention(real), model->kick || model->nmi || model->irq);
    SAME("put", (real->word & AXVCPU_I_AWAY) != 0, model->away);
    SAME("asked", (real->word & AXVCPU_I_ASKED) != 0, model->asked);
    SAME("due", (real->word & AXVCPU_I_DUE) != 0, model->due);
    SAME("NMIs", real->arch.nmis, model->nmis);
    for (uint32_t i = 0; i < 7; i++)
        SAME("deliveries", axvcpu_fake_delivered(real, i * 37), model->delivered[i]);
    for (uint32_t i = 0; i < 4; i++)
        SAME("a register", real->arch.gpr[i], model->gpr[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bytes = data;
    left = size;
    memset(vcpus, 0, sizeof vcpus);
    memset(models, 0, sizeof models);
    while (left > 0) {
        uint32_t which = next(CALLS), where = next(CPUS * VCPUS);
        const char *name = calls[which].name;
        struct call c;
        this_cpu = where % CPUS;
        v = &vcpus[where / CPUS];
        m = &models[where / CPUS];
        c = calls[which].fn();
        SAME("the result", c.got, c.want);
        for (int i = 0; i < VCPUS; i++)
            compare(name, &vcpus[i], &models[i]);
        for (int i = 0; i < CPUS; i++)
            SAME("a current pointer", (uintptr_t)currents[i], 0);
    }
    return 0;
}
