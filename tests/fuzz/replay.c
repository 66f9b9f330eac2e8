// SPDX-License-Identifier: Apache-2.0
//
// Scripts of the fake backend as hostile input, as a file of recorded exits may be: the fuzzer's bytes are an array
// of steps of any content, then what is done with it: runs of a vCPU and of a VM with devices, answers of all kinds.
// A script that cannot be played is EINVAL and changes nothing; one that can comes back step by step, every load at
// its width, and ends. A record of any kind prints the same into a buffer of any size.
//
// A buffer that a record points to is its author's to vouch for: here it is just as large as the string.
#define AXVCPU_ARCH_FAKE
#define AXVCPU_CHECKED
#include "tests/fuzz/input.h"
#include "tests/fuzz/widths.h"

struct axvcpu;
static void at_point(struct axvcpu *v, int point, uint64_t a);
#define AXVCPU_TRACE(v, event, a, b) at_point((v), (int)(event), (uint64_t)(a))
#define AXVCPU_LOG(level, text) ((void)(level), must((text)[0] != 0))
#define AXVCPU_IMPLEMENTATION
#include "axvcpu.h"
#pragma clang attribute push(__attribute__((no_sanitize("coverage"))), apply_to = function)

enum { STEPS = 8, STRING = 256, BACKEND_STRING = 64, GPRS = 32 };
static struct axvcpu vcpu;
static struct axvm vm;
static struct axvcpu_exit x; // the last exit

// ---- the script, in memory that ends where it ends

static struct axvcpu_fake_step *steps;
static size_t count;
static bool looping;
static void *buffers[STEPS];

static bool is_io(const struct axvcpu_exit *e)
{
    return e->kind == AXVCPU_EXIT_IO_READ || e->kind == AXVCPU_EXIT_IO_WRITE;
}

static uint32_t any_kind(void)
{
    uint32_t n = input_next(64);
    return n <= AXVCPU_EXIT_COUNT ? n :
           n < 32                ? AXVCPU_EXIT_MMIO_READ + n % 4 :
           n < 48                ? AXVCPU_FAKE_EFFECT :
           n < 52                ? AXVCPU_FAKE_SPIN :
           n < 53                ? (uint32_t)input_value() :
                                   AXVCPU_EXIT_HALT;
}

// A record as it should be; where devices are, or not.
static void draw_record(struct axvcpu_exit *e)
{
    static const uint32_t widths[] = { 1, 2, 4, 8, 4, 0, 9, 3 };
    static const uint32_t counts[] = { 1, 0, 2, 8, 16, 17, 1u << 30, UINT32_MAX };
    uint32_t how = input_next(256), width = widths[how % 8];
    e->kind = any_kind();
    if (is_io(e)) {
        e->io.port = how / 8 % 2 ? 0x60 : 0x100;
        e->io.width = width;
        e->io.count = counts[how / 32];
    } else if (e->kind == AXVCPU_EXIT_MMIO_READ || e->kind == AXVCPU_EXIT_MMIO_WRITE) {
        e->mmio.addr = 0x1000 + how;
        e->mmio.width = width;
        e->mmio.reg = how % 3 ? how % 4 : how / 4 % (GPRS + 1);
        e->mmio.reg_width = widths[how / 16 % 8];
        *(uint8_t *)&e->mmio.sign_extend = (uint8_t)(how == 255 ? 2 : how / 128);
    } else if (e->kind == AXVCPU_FAKE_EFFECT) {
        static const uint64_t others[] = { AXVCPU_REG_PC, AXVCPU_REG_SP, AXVCPU_REG_FLAGS, 99 };
        e->sysreg.addr = how < 128 ? how % GPRS : others[how % 4];
        e->sysreg.value = input_value();
    }
}

// Any of its bytes may be anything, but the pointer.
static void spoil(struct axvcpu_fake_step *s)
{
    static const size_t last = sizeof *s - 8;
    for (uint32_t n = input_next(8); n > 4; n--) {
        uint64_t value = input_value();
        size_t size = 1u << input_next(4);
        memcpy((char *)s + input_next(256) % (last + 1), &value, size);
    }
}

static void draw_buffer(struct axvcpu_exit *e, void **buffer)
{
    uint64_t size;
    if (!is_io(e))
        return;
    size = (uint64_t)e->io.count * e->io.width;
    *buffer = size == 0 || size > STRING || input_next(2) ? NULL : malloc(size);
    if (*buffer != NULL)
        memset(*buffer, 0x5a, size);
    e->io.buf = *buffer;
}

static void draw_script(void)
{
    free(steps);
    count = input_next(STEPS + 1);
    looping = input_next(2);
    steps = count != 0 ? calloc(count, sizeof *steps) : NULL;
    for (size_t i = 0; i < STEPS; i++) {
        free(buffers[i]);
        buffers[i] = NULL;
        if (i >= count)
            continue;
        draw_record(&steps[i].exit);
        spoil(&steps[i]);
        draw_buffer(&steps[i].exit, &buffers[i]);
    }
}

// ---- what the contract takes for a record and a script

static bool is_bool(const bool *b)
{
    return *(const uint8_t *)b <= 1;
}

static bool is_record(const struct axvcpu_exit *e)
{
    if (e->kind == AXVCPU_EXIT_MMIO_READ || e->kind == AXVCPU_EXIT_MMIO_WRITE)
        return e->mmio.width <= 8 && e->mmio.reg_width <= 8 && is_bool(&e->mmio.sign_extend);
    if (e->kind == AXVCPU_EXIT_SEND_IPI)
        return is_bool(&e->ipi.to_all) && is_bool(&e->ipi.to_self);
    if (!is_io(e))
        return e->kind < AXVCPU_EXIT_COUNT;
    return e->io.width <= 8 && (e->io.count <= 1 || e->io.width != 0) &&
           (e->kind == AXVCPU_EXIT_IO_WRITE || e->io.count <= 1 || e->io.buf != NULL ||
            (uint64_t)e->io.count * e->io.width <= BACKEND_STRING);
}

static bool is_script(void)
{
    bool stops = !looping || count == 0;
    for (size_t i = 0; i < count; i++) {
        const struct axvcpu_fake_step *s = &steps[i];
        bool record = s->exit.kind != AXVCPU_FAKE_EFFECT && s->exit.kind != AXVCPU_FAKE_SPIN;
        stops = stops || s->err != 0 || s->exit.kind != AXVCPU_FAKE_EFFECT;
        if (s->err == 0 && record && !is_record(&s->exit))
            return false;
    }
    return stops;
}

// ---- the model: where the script is, and the guest's registers

static struct model {
    size_t next;
    bool bad, due, asked, refused; // bad: Invalid, or about to be
    bool down;                     // has told the VM CPU_DOWN
    int err;                       // of the last run
    uint64_t value, regs[4], gpr[GPRS];
    struct axvcpu_exit exit;       // the last one
} model;

static void commit(void)
{
    static const uint8_t cpuid_gpr[4] = { 0, 3, 1, 2 };
    const struct axvcpu_exit *e = &model.exit;
    uint32_t io = e->kind == AXVCPU_EXIT_IO_READ && e->io.count <= 1;
    uint64_t value = model.refused ? UINT64_MAX : model.value;
    model.due = false;
    if (e->kind == AXVCPU_EXIT_MMIO_READ && e->mmio.reg < GPRS)
        model.gpr[e->mmio.reg] =
            loaded(model.gpr[e->mmio.reg], value, e->mmio.width, e->mmio.reg_width, e->mmio.sign_extend);
    if (io)
        model.gpr[0] = loaded(model.gpr[0], value, e->io.width, e->io.width, false);
    if (e->kind == AXVCPU_EXIT_SYSREG_READ && e->sysreg.reg < GPRS && !model.refused)
        model.gpr[e->sysreg.reg] = value;
    for (unsigned i = 0; e->kind == AXVCPU_EXIT_CPUID && !model.refused && i < 4; i++)
        model.gpr[cpuid_gpr[i]] = model.regs[i];
}

// A register changes, or there is none.
static void effect(const struct axvcpu_exit_sysreg *r)
{
    if (r->addr < GPRS)
        model.gpr[r->addr] = r->value;
    else if (r->addr != AXVCPU_REG_PC && r->addr != AXVCPU_REG_SP && r->addr != AXVCPU_REG_FLAGS)
        model.err = AXVCPU_ENOSUPPORT;
}

static const struct axvcpu_fake_step *next_step(void)
{
    if (model.next >= count && looping)
        model.next = 0;
    return model.next < count ? &steps[model.next++] : NULL;
}

// The guest's turn: to the step that ends it. A SPIN waits for a kick: the last kick of the last moment.
static void enter(void)
{
    static const struct axvcpu_exit halt = { .kind = AXVCPU_EXIT_HALT }, canceled = { .kind = AXVCPU_EXIT_CANCELED };
    const struct axvcpu_fake_step *s;
    model.err = 0;
    while ((s = next_step()) != NULL && s->err == 0 && s->exit.kind == AXVCPU_FAKE_EFFECT && model.err == 0)
        effect(&s->exit.sysreg);
    if (model.err == 0 && s != NULL)
        model.err = s->err;
    model.bad = model.err != 0;
    if (model.bad)
        return;
    if (s != NULL && s->exit.kind == AXVCPU_FAKE_SPIN)
        must(axvcpu_kick(&vcpu) == AXVCPU_OK);
    model.exit = s == NULL ? halt : s->exit.kind == AXVCPU_FAKE_SPIN ? canceled : s->exit;
    model.exit.flags &= ~(AXVCPU_EXIT_HANDLED | AXVCPU_EXIT_PAUSED); // those are said of this run, not of that one
    model.asked = (AXVCPU_READ_KINDS >> model.exit.kind & 1u) != 0;
    model.due = model.asked || (AXVCPU_WRITE_KINDS >> model.exit.kind & 1u) != 0;
    model.refused = false;
}

static void at_point(struct axvcpu *v, int point, uint64_t a)
{
    (void)v;
    if (point == AXVCPU_TRACE_RUN_CURRENT && model.due && !model.asked)
        commit();
    if (point == AXVCPU_TRACE_RUN_ENTER)
        enter();
    if (point == AXVCPU_TRACE_RUN_LEFT)
        must(!model.bad && a == model.exit.kind);
}

// ---- answers

static uint64_t any_answer(void)
{
    return model.value = input_value();
}

static void answer_cpuid(void)
{
    uint32_t regs[4] = { input_next(256), input_next(256), 3, UINT32_MAX };
    int err = axvcpu_complete_cpuid(&vcpu, regs);
    must(err == (!model.asked ? AXVCPU_EBADSTATE : model.exit.kind != AXVCPU_EXIT_CPUID ? AXVCPU_EINVAL : AXVCPU_OK));
    for (unsigned i = 0; err == 0 && i < 4; i++)
        model.regs[i] = regs[i];
    model.asked = model.asked && err != 0;
}

static void answer(void)
{
    uint64_t value = input_value();
    int err = axvcpu_complete(&vcpu, value);
    must(err == (!model.asked ? AXVCPU_EBADSTATE : model.exit.kind == AXVCPU_EXIT_CPUID ? AXVCPU_EINVAL : AXVCPU_OK));
    if (err == 0)
        model.value = value;
    model.asked = model.asked && err != 0;
}

static bool answerable(void)
{
    return model.asked || (model.due && !model.refused && (AXVCPU_WRITE_KINDS >> model.exit.kind & 1u) != 0);
}

static void refuse(void)
{
    bool can = answerable();
    must(axvcpu_refuse(&vcpu) == (can ? AXVCPU_OK : AXVCPU_EBADSTATE));
    model.refused = model.refused || can;
    model.asked = model.asked && !can;
}

static void retry(void)
{
    bool can = answerable();
    must(axvcpu_retry(&vcpu) == (can ? AXVCPU_OK : AXVCPU_EBADSTATE));
    model.due = model.due && !can;
    model.asked = model.asked && !can;
}

static void settle(void)
{
    struct axvcpu_exit further;
    must(axvcpu_settle(&vcpu, &further) == (model.asked ? AXVCPU_EPENDING : AXVCPU_OK));
    must(further.kind == AXVCPU_EXIT_NOTHING);
    if (model.due && !model.asked)
        commit();
}

static void any_reply(void)
{
    static void (*const replies[])(void) = { answer, answer, answer_cpuid, refuse, retry, settle };
    replies[input_next(6)]();
}

// ---- devices: they see the record, or an element of it

static void is_the_record(const struct axvcpu_exit *e)
{
    must(e->kind == model.exit.kind && (e->flags & AXVCPU_EXIT_HANDLED) == 0);
    if (!is_io(e))
        must(memcmp(e, &model.exit, sizeof *e) == 0);
    else
        must(e->io.port == model.exit.io.port && e->io.width == model.exit.io.width &&
             (e->io.count == 1 || e->io.count == model.exit.io.count));
}

static void give_value(struct axvcpu_exit *e)
{
    if (e->kind == AXVCPU_EXIT_MMIO_READ)
        e->mmio.data = any_answer();
    if (e->kind == AXVCPU_EXIT_IO_READ)
        e->io.data = any_answer();
    if (e->kind == AXVCPU_EXIT_SYSREG_READ)
        e->sysreg.value = any_answer();
    if (e->kind == AXVCPU_EXIT_CPUID) {
        e->cpuid.eax = (uint32_t)(model.regs[0] = (uint32_t)any_answer());
        model.regs[1] = e->cpuid.ebx;
        model.regs[2] = e->cpuid.ecx;
        model.regs[3] = e->cpuid.edx;
    }
}

// Only the last element decides about the whole string; what a guest does after its script is not waited for.
static enum axvm_answer handle(struct axvm *m, struct axvcpu *v, struct axvcpu_exit *e, void *arg)
{
    static const enum axvm_answer answers[] = { AXVM_DONE, AXVM_DONE, AXVM_DONE, AXVM_RETRY, AXVM_RETURN, AXVM_ERROR };
    enum axvm_answer a = input_left == 0 ? AXVM_RETURN : answers[input_next(6)];
    uint32_t element = is_io(e) && model.exit.io.count > 1 && e->io.count == 1;
    (void)m, (void)v, (void)arg;
    is_the_record(e);
    if (element)
        must(e->io.buf != NULL);
    if (a == AXVM_DONE)
        give_value(e);
    if (a == AXVM_DONE && !element)
        model.asked = false;
    if (a == AXVM_RETRY)
        model.asked = model.due = false;
    return a;
}

// ---- printing

static void print(const struct axvcpu_exit *e)
{
    char whole[512];
    size_t length = axvcpu_exit_print(whole, sizeof whole, e), size = input_next(256);
    char *part = size != 0 ? malloc(size) : NULL;
    must(length < sizeof whole && strlen(whole) == length);
    must(axvcpu_exit_print(part, size, e) == length);
    if (part != NULL) {
        size_t shown = length < size ? length : size - 1;
        must(part[shown] == 0 && memcmp(part, whole, shown) == 0);
    }
    free(part);
}

// ---- runs

static void begin_again(void)
{
    must(axvcpu_reset(&vcpu) == AXVCPU_OK);
    must(axvcpu_setup(&vcpu, axvcpu_gpa(0x1000), axvcpu_hpa(0), NULL) == AXVCPU_OK);
    memset(model.gpr, 0, sizeof model.gpr);
    model.next = 0;
    model.due = model.asked = model.bad = false;
}

static void compare(void)
{
    must(axvcpu_current() == NULL && vcpu.owner == NULL);
    must((axvcpu_get_state(&vcpu) == AXVCPU_STATE_INVALID) == model.bad);
    must(memcmp(vcpu.arch.gpr, model.gpr, sizeof model.gpr) == 0);
    if (model.bad)
        begin_again();
}

static void is_as_recorded(int err)
{
    must(err == model.err);
    must(err == 0 || x.kind == AXVCPU_EXIT_NOTHING);
    if (is_io(&x) && x.io.count > 1 && x.io.buf != model.exit.io.buf)
        must(x.kind == AXVCPU_EXIT_IO_READ && model.exit.io.buf == NULL), x.io.buf = NULL;
    if (err == 0 && x.kind != AXVCPU_EXIT_CANCELED)
        must(memcmp(&x, &model.exit, sizeof x) == 0);
}

static void run(void)
{
    bool kicked = input_next(8) == 0, asked = model.asked;
    int err;
    must(axvcpu_bind(&vcpu) == AXVCPU_OK);
    if (kicked)
        must(axvcpu_kick(&vcpu) == AXVCPU_OK);
    model.err = 0;
    err = axvcpu_run(&vcpu, &x);
    if (asked)
        must(err == AXVCPU_EPENDING && x.kind == AXVCPU_EXIT_NOTHING);
    else if (axvcpu_attention(&vcpu) || !kicked)
        is_as_recorded(err);
    else
        must(err == AXVCPU_OK && x.kind == AXVCPU_EXIT_CANCELED);
    if (axvcpu_get_state(&vcpu) == AXVCPU_STATE_READY)
        must(axvcpu_unbind(&vcpu) == AXVCPU_OK);
}

// What it says is of its last exit; a kick may have come before that.
static void run_vm(void)
{
    bool asked = model.asked;
    int err;
    model.err = 0;
    err = axvm_run_vcpu(&vm, 0, &x);
    must(x.kind < AXVCPU_EXIT_COUNT && (x.flags & (AXVCPU_EXIT_HANDLED | AXVCPU_EXIT_PAUSED)) == 0);
    if (model.down || asked)
        must(err == (model.down ? AXVCPU_EAGAIN : AXVCPU_EPENDING));
    else if (model.err != 0)
        must(err == model.err && x.kind == AXVCPU_EXIT_NOTHING);
    else
        must((err == AXVCPU_EIO || err == 0) && (x.kind == model.exit.kind || x.kind == AXVCPU_EXIT_CANCELED));
    model.down = model.down || (err == 0 && x.kind == AXVCPU_EXIT_CPU_DOWN);
}

static void load_script(void)
{
    static struct axvcpu before;
    int err;
    draw_script();
    if (count != 0 && input_next(4) == 0)
        print(&steps[0].exit);
    before = vcpu;
    err = axvcpu_fake_script(&vcpu, steps, count, looping);
    must(err == (is_script() ? AXVCPU_OK : AXVCPU_EINVAL));
    must(err == 0 || memcmp(&before, &vcpu, sizeof vcpu) == 0);
    model.next = 0;
    if (err != 0)
        input_left = 0;
}

static void set_up(void)
{
    static struct axvm_range ranges[8];
    struct axvm_desc desc = { .vcpus = &vcpu, .vcpu_count = 1, .ranges = ranges, .max_ranges = 8 };
    memset(&vcpu, 0, sizeof vcpu);
    memset(&vm, 0, sizeof vm);
    memset(&model, 0, sizeof model);
    must(axvm_init(&vm, &desc) == AXVCPU_OK && axvm_boot(&vm) == AXVCPU_OK);
    for (uint32_t i = 0; i < 4; i++)
        must(axvcpu_set_gpr(&vcpu, i, model.gpr[i] = UINT64_MAX) == AXVCPU_OK);
    must(axvm_add_mmio(&vm, 0x1000, 0xc0, handle, NULL) == AXVCPU_OK);
    must(axvm_add_port(&vm, 0x60, 8, handle, NULL) == AXVCPU_OK);
    must(axvm_add_port(&vm, 0x100, 8, handle, NULL) == AXVCPU_OK);
    must(axvm_set_whole(&vm, AXVM_PORT, 0x100, true) == AXVCPU_OK);
    must(axvm_add_sysreg(&vm, 0, 1, handle, NULL) == AXVCPU_OK);
    must(axvm_set_default(&vm, AXVCPU_EXIT_CPUID, handle, NULL) == AXVCPU_OK);
    must(axvm_set_default(&vm, AXVCPU_EXIT_HALT, handle, NULL) == AXVCPU_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const actions[])(void) = { run, run, run_vm, run_vm, any_reply, any_reply };
    input_at = data;
    input_left = size;
    set_up();
    load_script();
    while (input_left > 0) {
        actions[input_next(6)]();
        compare();
    }
    if (size % 4 == 0)
        print(&x);
    must(axvm_shutdown(&vm) == AXVCPU_OK && axvm_deinit(&vm) == AXVCPU_OK);
    return 0;
}
#pragma clang attribute pop
