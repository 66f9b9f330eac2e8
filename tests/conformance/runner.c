// SPDX-License-Identifier: Apache-2.0
//
// Plays the tables of the conformance suite; conformance.h has the words. No libc: it also runs in bare
// machines. Every case is played in several styles, which differ in what happens between two exits and
// must differ in nothing else.
#include "conformance.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

// What happens before every run.
enum style { STYLE_PLAIN, STYLE_SETTLE, STYLE_REBIND, STYLE_MOVE, STYLE_KICK, STYLE_COUNT };
static const char *const style_names[STYLE_COUNT] = {
    [STYLE_PLAIN] = "",
    [STYLE_SETTLE] = ", settled",          // settle; a further exit that it has counts as the next
    [STYLE_REBIND] = ", unbound and bound", // unbind and bind
    [STYLE_MOVE] = ", put and loaded",     // put and load
    [STYLE_KICK] = ", kicked",             // kick; one CANCELED more
};

// ---- words

struct text {
    char *at;
    size_t size, len;
};

static void put(struct text *t, const char *s)
{
    for (; *s && t->len + 1 < t->size; s++)
        t->at[t->len++] = *s;
    t->at[t->len] = 0;
}

static void put_number(struct text *t, uint64_t n, uint32_t base)
{
    char digits[24];
    size_t i = sizeof digits - 1;
    digits[i] = 0;
    do
        digits[--i] = "0123456789abcdef"[n % base];
    while ((n /= base) != 0);
    put(t, base == 16 ? "0x" : "");
    put(t, digits + i);
}

static struct text begin_wrong(struct play *p, const char *what)
{
    struct text t = {p->text, sizeof p->text, 0};
    p->wrong = p->text;
    put(&t, "row ");
    put_number(&t, (uint64_t)(p->row - p->test->rows), 10);
    if (p->loop_at) {
        put(&t, " turn ");
        put_number(&t, p->turn, 10);
    }
    put(&t, ": ");
    put(&t, what);
    return t;
}

void play_wrong(struct play *p, const char *what, uint64_t got, uint64_t wanted)
{
    if (p->wrong)
        return;
    struct text t = begin_wrong(p, what);
    put(&t, ": got ");
    put_number(&t, got, 16);
    put(&t, ", expected ");
    put_number(&t, wanted, 16);
}

static void wrong_exit(struct play *p, const char *what, uint64_t wanted)
{
    char line[160];
    if (p->wrong)
        return;
    struct text t = begin_wrong(p, "exit ");
    axvcpu_exit_print(line, sizeof line, &p->exit[axvcpu_id(p->v)]);
    put(&t, line);
    put(&t, ", expected ");
    put(&t, what);
    put(&t, " ");
    put_number(&t, wanted, 16);
}

static bool check_err(struct play *p, const char *call, int err, int wanted)
{
    if (err == wanted || p->wrong)
        return err == wanted;
    struct text t = begin_wrong(p, call);
    put(&t, " returned \"");
    put(&t, axvcpu_strerror(err));
    put(&t, "\", expected \"");
    put(&t, axvcpu_strerror(wanted));
    put(&t, "\"");
    return false;
}

// ---- values

static uint64_t mask(uint32_t bytes)
{
    return bytes >= 8 ? UINT64_MAX : (UINT64_C(1) << bytes * 8) - 1;
}

uint64_t play_value(const struct play *p, struct value v)
{
    uint64_t low = p->nonce & mask(v.from);
    uint64_t sign = v.from ? UINT64_C(1) << (v.from * 8 - 1) : 0;
    switch (v.op) {
    case VALUE_XOR: return v.k ^ low;
    case VALUE_SIGN: return v.k ^ (((low ^ sign) - sign) & mask(v.to));
    case VALUE_LEFT: return v.k ^ low << v.to * 8;
    case VALUE_RIGHT: return v.k ^ p->nonce >> v.to * 8;
    case VALUE_ADD: return v.k + p->nonce;
    case VALUE_AND: return v.k & p->nonce;
    case VALUE_OR: return v.k | p->nonce;
    case VALUE_UP: return v.k + p->turn;
    case VALUE_DOWN: return v.k - p->turn;
    case VALUE_N_DOWN: return p->nonce ^ (v.k - p->turn);
    default: return v.k;
    }
}

static uint64_t load(const uint8_t *at, uint32_t width)
{
    uint64_t value = 0;
    for (uint32_t i = 0; i < width; i++)
        value |= (uint64_t)at[i] << i * 8;
    return value;
}

static void store(uint8_t *at, uint32_t width, uint64_t value)
{
    for (uint32_t i = 0; i < width; i++)
        at[i] = (uint8_t)(value >> i * 8);
}

// ---- to the next exit

static bool prepare(struct play *p)
{
    struct axvcpu *v = p->v;
    bool *kicked = &p->kicked[axvcpu_id(v)];
    switch (p->style) {
    case STYLE_SETTLE:
        return check_err(p, "settle", axvcpu_settle(v, &p->exit[axvcpu_id(v)]), AXVCPU_OK);
    case STYLE_REBIND:
        return check_err(p, "unbind", axvcpu_unbind(v), AXVCPU_OK) &&
               check_err(p, "bind", axvcpu_bind(v), AXVCPU_OK);
    case STYLE_MOVE:
        return check_err(p, "put", axvcpu_put(v), AXVCPU_OK) && check_err(p, "load", axvcpu_load(v), AXVCPU_OK);
    case STYLE_KICK:
        if (p->row->what == ROW_EXIT && p->row->kind == AXVCPU_EXIT_CANCELED)
            return true; // the row has its own
        *kicked = true;
        return check_err(p, "kick", axvcpu_kick(v), AXVCPU_OK);
    default: return true;
    }
}

// Whether this exit may be the further one of an instruction, so that the kick is still to come.
static bool may_be_further(uint32_t before)
{
    return ((AXVCPU_READ_KINDS | AXVCPU_WRITE_KINDS) >> before & 1u) != 0;
}

// Interrupts of the host's own may come at any time; only a row that is about them sees them.
static bool run_guest(struct play *p, struct axvcpu_exit *x)
{
    bool good = check_err(p, "run", axvcpu_run(p->v, x), AXVCPU_OK);
#if !AXVCPU_I_HOSTED
    while (good && x->kind == AXVCPU_EXIT_EXTERNAL_INTERRUPT && x->irq.vector != AXVCPU_NO_VECTOR &&
           (p->row->what != ROW_EXIT || p->row->kind != AXVCPU_EXIT_EXTERNAL_INTERRUPT)) {
        AXVCPU_IRQ_HANDLER(x->irq.vector);
        good = check_err(p, "run", axvcpu_run(p->v, x), AXVCPU_OK);
    }
#endif
    return good;
}

bool play_run(struct play *p)
{
    uint32_t id = axvcpu_id(p->v);
    struct axvcpu_exit *x = &p->exit[id];
    uint32_t before = x->kind;
    x->kind = AXVCPU_EXIT_NOTHING;
    if (!prepare(p))
        return false;
    if (x->kind != AXVCPU_EXIT_NOTHING) // settle had it
        return true;
    if (!run_guest(p, x))
        return false;
    if (!p->kicked[id])
        return true;
    if (x->kind != AXVCPU_EXIT_CANCELED) {
        if (!may_be_further(before))
            wrong_exit(p, "CANCELED for the style's kick", 1);
        return !p->wrong;
    }
    p->kicked[id] = false;
    return run_guest(p, x);
}

static bool compare(struct play *p, const char *what, uint64_t got, uint64_t wanted)
{
    if (got != wanted)
        wrong_exit(p, what, wanted);
    return got == wanted;
}

static bool compare_access(struct play *p, uint64_t at, uint32_t width, uint64_t data, bool has_data)
{
    const struct row *r = p->row;
    uint64_t wanted = play_value(p, r->value) & mask(r->width);
    return compare(p, "addr", at, r->at) && compare(p, "width", width, r->width) &&
           (!has_data || compare(p, "data", data, wanted));
}

static bool compare_hypercall(struct play *p, const struct axvcpu_exit *x)
{
    bool good = compare(p, "nr", x->hypercall.nr, play_value(p, p->row->value));
    for (uint32_t i = 0; good && i < p->row->at; i++)
        good = compare(p, "argument", x->hypercall.args[i], p->row->args[i]);
    return good;
}

// Where a label of the guest program is in the guest.
static uint64_t address_of(const struct play *p, const void *label)
{
    return LOAD + (uint64_t)((const uint8_t *)label - p->test->program);
}

// The bytes of the instruction, as far as the backend has them.
static bool compare_undecoded(struct play *p, const struct axvcpu_exit *x)
{
    const uint8_t *insn = p->row->label;
    uint32_t n = x->undecoded.insn_len;
    bool good = n <= sizeof x->undecoded.insn;
    for (uint32_t i = 0; good && i < n; i++)
        good = compare(p, "instruction byte", x->undecoded.insn[i], insn[i]);
    return good && (p->row->at == 0 || compare(p, "addr", x->undecoded.addr, p->row->at));
}

// Target 0: a check of the row's own follows.
static void compare_ipi(struct play *p, const struct axvcpu_exit *x)
{
    if (p->row->at != 0 && compare(p, "target", x->ipi.target, p->row->at) && compare(p, "vector", x->ipi.vector, p->row->width))
        compare(p, "aux", x->ipi.aux, play_value(p, p->row->value));
}

static void compare_up(struct play *p, const struct axvcpu_exit *x)
{
    if (p->row->at != 0 && compare(p, "target", x->cpu_up.target, p->row->at))
        compare(p, "entry", x->cpu_up.entry, play_value(p, p->row->value));
}

static void compare_exit(struct play *p)
{
    const struct axvcpu_exit *x = &p->exit[axvcpu_id(p->v)];
    if (!compare(p, axvcpu_exit_name(p->row->kind), x->kind, p->row->kind))
        return;
    switch (x->kind) {
    case AXVCPU_EXIT_MMIO_READ: compare_access(p, x->mmio.addr, x->mmio.width, 0, false); break;
    case AXVCPU_EXIT_MMIO_WRITE: compare_access(p, x->mmio.addr, x->mmio.width, x->mmio.data, true); break;
    case AXVCPU_EXIT_IO_READ:
        if (compare_access(p, x->io.port, x->io.width, 0, false))
            compare(p, "count", x->io.count, 1);
        break;
    case AXVCPU_EXIT_IO_WRITE:
        if (compare_access(p, x->io.port, x->io.width, x->io.data, true))
            compare(p, "count", x->io.count, 1);
        break;
    case AXVCPU_EXIT_SYSREG_READ: compare(p, "register", x->sysreg.addr, p->row->at); break;
    case AXVCPU_EXIT_SYSREG_WRITE: compare_access(p, x->sysreg.addr, 8, x->sysreg.value, true); break;
    case AXVCPU_EXIT_NESTED_PAGE_FAULT:
        if (compare(p, "addr", x->fault.addr, p->row->at))
            compare(p, "access", x->fault.access, p->row->width);
        break;
    case AXVCPU_EXIT_HYPERCALL: compare_hypercall(p, x); break;
    case AXVCPU_EXIT_UNDECODED: compare_undecoded(p, x); break;
    case AXVCPU_EXIT_SEND_IPI: compare_ipi(p, x); break;
    case AXVCPU_EXIT_CPU_UP: compare_up(p, x); break;
    default: break;
    }
}

// ---- string accesses: how many elements one exit has is up to the backend

static bool string_element(struct play *p, struct axvcpu_exit *x, uint32_t i, uint32_t done)
{
    uint64_t element = (p->nonce + done) & mask(x->io.width);
    uint8_t *at = (uint8_t *)x->io.buf + i * x->io.width;
    if (x->kind == AXVCPU_EXIT_IO_WRITE)
        return compare(p, "element", x->io.count > 1 ? load(at, x->io.width) : x->io.data, element);
    if (x->io.count > 1)
        store(at, x->io.width, element);
    return true;
}

static void play_string(struct play *p)
{
    const struct row *r = p->row;
    struct axvcpu_exit *x = &p->exit[axvcpu_id(p->v)];
    for (uint32_t done = 0, i; done < r->count && !p->wrong; done += i) {
        if (!play_run(p) || !compare(p, axvcpu_exit_name(r->kind), x->kind, r->kind) ||
            !compare(p, "port", x->io.port, r->at) || !compare(p, "width", x->io.width, r->width) ||
            !compare(p, "a count of at least one and at most", x->io.count - 1 < r->count - done, 1))
            return;
        for (i = 0; i < x->io.count && !p->wrong; i++)
            string_element(p, x, i, done + i);
        if (x->kind == AXVCPU_EXIT_IO_READ)
            check_err(p, "complete", axvcpu_complete(p->v, x->io.count > 1 ? 0 : p->nonce + done), AXVCPU_OK);
    }
}

// ---- rows

// ---- an exit that the substrate's kernel keeps for itself: the guest sleeps inside the run, until a kick

static bool is_kept(uint32_t kind);
enum { SLEEP_NS = 2000000, SLEEP_TRIES = 500 };

static struct axvcpu *sleeper; // who takes it kicks it: the alarm, or the run that came back before

static void kick_sleeper(void *unused)
{
    struct axvcpu *v = __atomic_exchange_n(&sleeper, NULL, __ATOMIC_SEQ_CST);
    (void)unused;
    if (v)
        axvcpu_kick(v);
}

static bool run_canceled(struct play *p)
{
    struct axvcpu_exit *x = &p->exit[axvcpu_id(p->v)];
    return check_err(p, "run", axvcpu_run(p->v, x), AXVCPU_OK) && compare(p, "CANCELED", x->kind, AXVCPU_EXIT_CANCELED);
}

// Some halts are exits even so: those by a call. The kick may come all the same, and waits for the next run.
static bool run_until_alarm(struct play *p)
{
    struct axvcpu_exit *x = &p->exit[axvcpu_id(p->v)];
    __atomic_store_n(&sleeper, p->v, __ATOMIC_SEQ_CST);
    port_alarm(SLEEP_NS, kick_sleeper, NULL);
    if (!check_err(p, "run", axvcpu_run(p->v, x), AXVCPU_OK))
        return false;
    if (x->kind == AXVCPU_EXIT_CANCELED)
        return true;
    bool late = !__atomic_exchange_n(&sleeper, NULL, __ATOMIC_SEQ_CST);
    if (compare(p, axvcpu_exit_name(p->row->kind), x->kind, p->row->kind) && late)
        (void)run_canceled(p);
    return false;
}

// The PC, and whether the instruction before it is the one that waits. Programs run where they are loaded.
static uint64_t where(struct play *p, bool *waits)
{
    uint64_t pc = 0;
    uint8_t insn[4] = {0};
    if (check_err(p, "get_reg", axvcpu_get_reg(p->v, AXVCPU_REG_PC, &pc), AXVCPU_OK))
        (void)axvm_read(&p->vm, axvcpu_gpa(pc - sizeof insn), insn, sizeof insn);
    *waits = load(insn, sizeof insn) == SLEEP_INSN;
    return pc;
}

// A kick that came before the guest has slept finds it where it was, or on its way.
static void play_sleep(struct play *p)
{
    bool *kicked = &p->kicked[axvcpu_id(p->v)], slept = false;
    uint64_t before, now;
    if (!prepare(p) || (*kicked && !run_canceled(p)))
        return;
    *kicked = false;
    now = where(p, &slept);
    for (uint32_t i = 0, tries = 0; !p->wrong; i++) {
        before = now;
        if (!run_until_alarm(p))
            return;
        now = where(p, &slept);
        if (slept && (now != before || ++tries > 1))
            return;
        if (i == SLEEP_TRIES)
            play_wrong(p, "does not sleep; PC", now, before);
    }
}

static void row_exit(struct play *p)
{
    if (is_kept(p->row->kind))
        play_sleep(p);
    else if (play_run(p))
        compare_exit(p);
}

static void row_complete(struct play *p)
{
    check_err(p, "complete", axvcpu_complete(p->v, play_value(p, p->row->value)), p->row->err);
}

static void row_return(struct play *p)
{
    check_err(p, "set_return_value", axvcpu_set_return_value(p->v, play_value(p, p->row->value)), p->row->err);
}

static void row_refuse(struct play *p)
{
    check_err(p, "refuse", axvcpu_refuse(p->v), p->row->err);
}

static void row_retry(struct play *p)
{
    check_err(p, "retry", axvcpu_retry(p->v), p->row->err);
}

static void row_settle(struct play *p)
{
    struct axvcpu_exit *x = &p->exit[axvcpu_id(p->v)];
    if (check_err(p, "settle", axvcpu_settle(p->v, x), p->row->err))
        compare(p, "NOTHING", x->kind, AXVCPU_EXIT_NOTHING);
}

static void row_run(struct play *p)
{
    struct axvcpu_exit *x = &p->exit[axvcpu_id(p->v)];
    if (check_err(p, "run", axvcpu_run(p->v, x), p->row->err))
        compare(p, "NOTHING", x->kind, AXVCPU_EXIT_NOTHING);
}

static void row_get(struct play *p)
{
    uint64_t value = 0, wanted = play_value(p, p->row->value);
    if (check_err(p, "get_reg", axvcpu_get_reg(p->v, p->row->at, &value), p->row->err) && value != wanted)
        play_wrong(p, "register", value, wanted);
}

static void row_set(struct play *p)
{
    check_err(p, "set_reg", axvcpu_set_reg(p->v, p->row->at, play_value(p, p->row->value)), p->row->err);
}

// A state that no guest may have: refused with a named error when it is set, or by the entry.
static void row_break(struct play *p)
{
    struct axvcpu_exit *x = &p->exit[axvcpu_id(p->v)];
    p->ended = 1;
    int err = axvcpu_set_reg(p->v, p->row->at, play_value(p, p->row->value));
    if (err == AXVCPU_EINVAL || err == AXVCPU_EIO || err == AXVCPU_ENOSUPPORT)
        return;
    if (check_err(p, "set_reg", err, AXVCPU_OK) && play_run(p))
        compare(p, "FAIL_ENTRY", x->kind, AXVCPU_EXIT_FAIL_ENTRY);
}

static void row_pc(struct play *p)
{
    uint64_t pc = 0, wanted = address_of(p, p->row->label);
    row_settle(p);
    if (check_err(p, "get_reg", axvcpu_get_reg(p->v, AXVCPU_REG_PC, &pc), AXVCPU_OK) && pc != wanted)
        play_wrong(p, "PC", pc, wanted);
}

static void row_goto(struct play *p)
{
    check_err(p, "set_reg", axvcpu_set_reg(p->v, AXVCPU_REG_PC, address_of(p, p->row->label)), p->row->err);
}

static uint64_t element_of(const struct play *p, uint32_t i)
{
    return (p->row->count ? p->nonce + i : play_value(p, p->row->value)) & mask(p->row->width);
}

static void row_mem(struct play *p)
{
    const struct row *r = p->row;
    uint8_t bytes[8];
    for (uint32_t i = 0; i < (r->count ? r->count : 1) && !p->wrong; i++) {
        axvcpu_gpa_t at = axvcpu_gpa(r->at + i * r->width);
        if (check_err(p, "axvm_read", axvm_read(&p->vm, at, bytes, r->width), AXVCPU_OK) &&
            load(bytes, r->width) != element_of(p, i))
            play_wrong(p, "guest memory", load(bytes, r->width), element_of(p, i));
    }
}

static void row_poke(struct play *p)
{
    const struct row *r = p->row;
    uint8_t bytes[8];
    for (uint32_t i = 0; i < (r->count ? r->count : 1) && !p->wrong; i++) {
        store(bytes, r->width, element_of(p, i));
        check_err(p, "axvm_write", axvm_write(&p->vm, axvcpu_gpa(r->at + i * r->width), bytes, r->width), AXVCPU_OK);
    }
}

static void row_inject(struct play *p)
{
    check_err(p, "inject_interrupt", axvcpu_inject_interrupt(p->v, (uint32_t)p->row->at), p->row->err);
}

static void row_nmi(struct play *p)
{
    check_err(p, "inject_nmi", axvcpu_inject_nmi(p->v), p->row->err);
}

static void row_line(struct play *p)
{
    check_err(p, "set_irq", axvcpu_set_irq(p->v, (uint32_t)p->row->at, p->row->width != 0), p->row->err);
}

static void row_kick(struct play *p)
{
    check_err(p, "kick", axvcpu_kick(p->v), p->row->err);
}

static void row_block(struct play *p)
{
    check_err(p, "block", axvcpu_block(p->v), p->row->err);
}

static void row_unblock(struct play *p)
{
    check_err(p, "unblock", axvcpu_unblock(p->v), p->row->err);
}

static void row_state(struct play *p)
{
    if (axvcpu_get_state(p->v) != p->row->at)
        play_wrong(p, "state", axvcpu_get_state(p->v), p->row->at);
}

static void row_rebind(struct play *p)
{
    if (check_err(p, "unbind", axvcpu_unbind(p->v), AXVCPU_OK))
        check_err(p, "bind", axvcpu_bind(p->v), AXVCPU_OK);
}

static void row_move(struct play *p)
{
    if (check_err(p, "put", axvcpu_put(p->v), AXVCPU_OK))
        check_err(p, "load", axvcpu_load(p->v), AXVCPU_OK);
}

static void row_loop(struct play *p)
{
    p->loop_at = (uint32_t)(p->row - p->test->rows);
    p->turn = 0;
}

static void row_again(struct play *p)
{
    if (++p->turn < p->test->rows[p->loop_at].count)
        p->row = &p->test->rows[p->loop_at];
    else
        p->loop_at = 0;
}

static void row_vcpu(struct play *p)
{
    p->v = axvm_vcpu(&p->vm, (uint32_t)p->row->at);
}

static void row_ram(struct play *p)
{
    uint8_t *ptr;
    axvcpu_backing_t backing = port_memory(AXVM_LEAF_PAGE, &ptr);
    check_err(p, "axvm_map", axvm_map(&p->vm, axvcpu_gpa(p->row->at), backing, AXVM_LEAF_PAGE, AXVM_MAP_RWX), AXVCPU_OK);
}

static void row_play(struct play *p)
{
    p->row->play(p);
}

static void (*const row_do[])(struct play *) = {
    [ROW_EXIT] = row_exit,       [ROW_COMPLETE] = row_complete, [ROW_RETURN] = row_return, [ROW_REFUSE] = row_refuse, [ROW_RETRY] = row_retry,
    [ROW_SETTLE] = row_settle,   [ROW_RUN] = row_run,           [ROW_STRING] = play_string, [ROW_GET] = row_get,
    [ROW_SET] = row_set,         [ROW_BREAK] = row_break,       [ROW_PC] = row_pc,         [ROW_GOTO] = row_goto,
    [ROW_MEM] = row_mem,         [ROW_POKE] = row_poke,         [ROW_INJECT] = row_inject, [ROW_NMI] = row_nmi,
    [ROW_LINE] = row_line,       [ROW_KICK] = row_kick,         [ROW_BLOCK] = row_block,   [ROW_UNBLOCK] = row_unblock,
    [ROW_STATE] = row_state,     [ROW_REBIND] = row_rebind,     [ROW_MOVE] = row_move,     [ROW_LOOP] = row_loop,
    [ROW_AGAIN] = row_again,     [ROW_VCPU] = row_vcpu,         [ROW_RAM] = row_ram,       [ROW_PLAY] = row_play,
};

// ---- a case

static void create(struct play *p)
{
    static struct axvcpu_desc descs[MAX_VCPUS];
    static struct axvcpu_arch_setup setups[MAX_VCPUS];
    struct axvm_desc desc = {.vcpus = p->vcpus, .vcpu_descs = descs, .setups = setups};
    const struct test_case *t = p->test;
    uint32_t i;

    desc.vcpu_count = t->mode >> 8 ? t->mode >> 8 : 1;
    desc.bsp_entry = desc.ap_entry = axvcpu_gpa(LOAD);
    axvcpu_backing_t ram = port_memory(RAM_SIZE, &p->ram);
    AXVCPU_MEMCPY(p->ram + (LOAD - RAM_BASE), t->program, (size_t)(t->end - t->program));
    AXVCPU_MEMSET(setups, 0, sizeof setups);
    conformance_prepare(t, &desc.arch, &setups[0]);
    for (i = 1; i < desc.vcpu_count; i++)
        setups[i] = setups[0];
    if (!check_err(p, "axvm_init", axvm_init(&p->vm, &desc), AXVCPU_OK) ||
        !check_err(p, "axvm_map", axvm_map(&p->vm, axvcpu_gpa(RAM_BASE), ram, RAM_SIZE, AXVM_MAP_RWX), AXVCPU_OK) ||
        !check_err(p, "axvm_boot", axvm_boot(&p->vm), AXVCPU_OK))
        return;
    for (i = desc.vcpu_count; i-- > 0 && !p->wrong;) {
        p->v = axvm_vcpu(&p->vm, i);
        if (i > 0 && AXVM_LEAF_STARTS_CPUS(&p->vm)) // it would wait for the guest to start it
            check_err(p, "restart", axvcpu_restart(p->v, axvcpu_gpa(LOAD), 0), AXVCPU_OK);
        if (i > 0) // each knows its number
            check_err(p, "set_gpr", axvcpu_set_gpr(p->v, NUMBER_GPR, i), AXVCPU_OK);
        check_err(p, "bind", axvcpu_bind(p->v), AXVCPU_OK);
    }
}

static void destroy(struct play *p)
{
    uint32_t count = p->test->mode >> 8 ? p->test->mode >> 8 : 1;
    for (uint32_t i = 0; i < count && p->v; i++) {
        struct axvcpu *v = axvm_vcpu(&p->vm, i);
        if (v && axvcpu_get_state(v) == AXVCPU_STATE_BLOCKED)
            axvcpu_unblock(v);
        if (v && axvcpu_get_state(v) == AXVCPU_STATE_READY)
            check_err(p, "unbind at the end", axvcpu_unbind(v), AXVCPU_OK);
    }
    if (p->v)
        check_err(p, "axvm_deinit", axvm_deinit(&p->vm), AXVCPU_OK);
    port_forget();
}

static void play_case(struct play *p, const struct test_case *test, uint32_t style)
{
    AXVCPU_MEMSET(p, 0, sizeof *p);
    p->test = test;
    p->style = style;
    p->nonce = port_random();
    p->row = test->rows;
    create(p);
    for (; p->row < test->rows + test->row_count && !p->wrong && !p->ended; p->row++)
        row_do[p->row->what](p);
    p->row -= p->row > test->rows;
    destroy(p);
}

// ---- what a substrate cannot do

enum how { FAILS, HANGS }; // FAILS is played and must fail; HANGS would never come back
struct absent {
    const char *name, *substrate;
    enum how how;
    const char *reason, *source;
};
#define ABSENT(name_, substrate_, how_, reason_, source_) {name_, substrate_, how_, reason_, source_},
#define KEPT(kind_, substrate_, reason_, source_)
#define TWICE(substrate_, count_, reason_, source_)
static const struct absent absent[] = {
#include "absent.h"
};
#undef ABSENT
#undef KEPT
_Static_assert(COUNT(absent) == ABSENT_COUNT, "absent.h: rows came or went without ABSENT_COUNT");

// A name, or with a * at its end all that begin so.
static bool matches(const char *pattern, const char *name)
{
    while (*pattern && *pattern != '*' && *pattern == *name)
        pattern++, name++;
    return *pattern == '*' || *pattern == *name;
}

#define ABSENT(name_, substrate_, how_, reason_, source_)
#define KEPT(kind_, substrate_, reason_, source_) {AXVCPU_EXIT_##kind_, substrate_, reason_, source_},
static const struct kept {
    uint32_t kind;
    const char *substrate, *reason, *source;
} kept[] = {
#include "absent.h"
};
_Static_assert(COUNT(kept) == KEPT_COUNT, "absent.h: exits came or went without KEPT_COUNT");

static bool is_kept(uint32_t kind)
{
    for (size_t i = 0; i < COUNT(kept); i++)
        if (kept[i].kind == kind && matches(kept[i].substrate, port_substrate()))
            return true;
    return false;
}

#undef KEPT
#undef TWICE
#define KEPT(kind_, substrate_, reason_, source_)
#define TWICE(substrate_, count_, reason_, source_) {substrate_, count_, reason_, source_},
static const struct twice {
    const char *substrate;
    uint32_t count;
    const char *reason, *source;
} twice[] = {
#include "absent.h"
};
_Static_assert(COUNT(twice) == TWICE_COUNT, "absent.h: substrates came or went without TWICE_COUNT");

static const struct absent *find_absent(const char *name)
{
    for (size_t i = 0; i < COUNT(absent); i++)
        if (matches(absent[i].name, name) && matches(absent[i].substrate, port_substrate()))
            return &absent[i];
    return NULL;
}

// ---- all cases

static char last_log[160];

void conformance_log(const char *text)
{
    struct text t = {last_log, sizeof last_log, 0};
    put(&t, text);
}

struct tally {
    uint32_t cases, failed;
};

static void report(struct tally *tally, bool good, const char *name, const char *style, const struct absent *gone)
{
    char line[256];
    struct text t = {line, sizeof line, 0};
    tally->failed += !good;
    put(&t, good ? "ok " : "not ok ");
    put_number(&t, ++tally->cases, 10);
    put(&t, " - ");
    put(&t, conformance_arch);
    put(&t, " ");
    put(&t, name);
    put(&t, style);
    if (gone) {
        put(&t, ": absent, ");
        put(&t, gone->reason);
    }
    port_print(line);
}

static void note(const char *what, const char *text)
{
    char line[400];
    struct text t = {line, sizeof line, 0};
    put(&t, "# ");
    put(&t, what);
    put(&t, text);
    port_print(line);
}

void play_counted(struct play *p, uint64_t got, uint64_t wanted)
{
    for (size_t i = 0; i < COUNT(twice) && wanted > 0 && got != wanted; i++) {
        if (matches(twice[i].substrate, port_substrate()) && got - wanted <= twice[i].count) {
            note("the guest counted more: ", twice[i].reason);
            return;
        }
    }
    if (got != wanted)
        play_wrong(p, "the guest counted", got, wanted);
}

// What a substrate gets wrong it gets right once in thousands of times, when an interrupt of its own comes just then:
// a line of absent.h is no longer true if its case goes well so many times running.
enum { WELL = 3 };

static void test_one(struct tally *tally, const struct test_case *test, uint32_t style)
{
    static struct play play;
    const struct absent *gone = find_absent(test->name);
    uint32_t left = gone ? WELL : 1;
    if (gone && gone->how == HANGS) {
        report(tally, true, test->name, style_names[style], gone);
        return;
    }
    do {
        last_log[0] = 0;
        port_begin(test->name);
        play_case(&play, test, style);
    } while (!play.wrong && --left > 0);
    if (gone && !play.wrong) {
        report(tally, false, test->name, style_names[style], NULL);
        note("passes here, so it must leave absent.h", "");
        return;
    }
    report(tally, gone || !play.wrong, test->name, style_names[style], gone);
    if (play.wrong)
        note(gone ? "as expected: " : "", play.wrong);
    if (play.wrong && last_log[0])
        note("log: ", last_log);
}

static bool wanted(const struct test_case *test, uint32_t style, const char *only)
{
    return (!only || matches(only, test->name)) &&
           (style == STYLE_PLAIN || (!test->once && !find_absent(test->name)));
}

int conformance_main(const char *only)
{
    struct tally tally = {0, 0};
    char line[32];
    struct text t = {line, sizeof line, 0};

    note("substrate: ", port_substrate());
    for (uint32_t i = 0; i < conformance_case_count; i++)
        for (uint32_t style = 0; style < STYLE_COUNT; style++)
            if (wanted(&conformance_cases[i], style, only))
                test_one(&tally, &conformance_cases[i], style);
    put(&t, "1..");
    put_number(&t, tally.cases, 10);
    port_print(line);
    return tally.failed != 0;
}
