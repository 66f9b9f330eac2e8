// SPDX-License-Identifier: Apache-2.0
//
// The contract of an exit: how it is answered, when and what is committed, in which order run works, and
// how exits are named and printed.
#include "core.h"

#define OLD UINT64_C(0x1111111111111111) // what the guest's register was before
#define STEP(...) { 0, { __VA_ARGS__ } }

static struct axvcpu vcpu;
static struct axvcpu_exit x;

// A bound vCPU whose guest has just done what `step` says.
static void perform_on(const struct axvcpu_fake_step *step)
{
    uint32_t i;

    bound(&vcpu);
    for (i = 0; i < AXVCPU_LEAF_GPRS; i++)
        must(axvcpu_set_gpr(&vcpu, i, OLD) == AXVCPU_OK);
    must(axvcpu_fake_script(&vcpu, step, 1, false) == AXVCPU_OK);
    must(axvcpu_run(&vcpu, &x) == AXVCPU_OK && x.kind == step->exit.kind);
    forget_lines();
}

static uint64_t pc(void)
{
    return reg_of(&vcpu, AXVCPU_REG_PC);
}

// ---- the value that the guest's register gets

#define BIG UINT64_C(0x8182838485868788)   // every part of it is negative
#define SMALL UINT64_C(0x7172737475767778) // none is

static const struct value_row {
    uint64_t value;
    uint8_t width, reg_width;
    bool sign_extend, refused;
    uint64_t want;
} values[] = {
    // 8-bit and 16-bit registers merge into what was there
    { BIG, 1, 1, false, false, UINT64_C(0x1111111111111188) },
    { BIG, 1, 2, false, false, UINT64_C(0x1111111111110088) },
    { BIG, 1, 2, true, false, UINT64_C(0x111111111111ff88) },
    { BIG, 2, 2, false, false, UINT64_C(0x1111111111118788) },
    { BIG, 2, 2, true, false, UINT64_C(0x1111111111118788) },
    { SMALL, 1, 2, true, false, UINT64_C(0x1111111111110078) },
    // 32-bit registers clear the upper half, also when sign-extended
    { BIG, 1, 4, false, false, 0x88 },
    { BIG, 1, 4, true, false, 0xffffff88 },
    { BIG, 2, 4, false, false, 0x8788 },
    { BIG, 2, 4, true, false, 0xffff8788 },
    { BIG, 4, 4, false, false, 0x85868788 },
    { BIG, 4, 4, true, false, 0x85868788 },
    { SMALL, 1, 4, true, false, 0x78 },
    { SMALL, 2, 4, true, false, 0x7778 },
    // 64-bit registers
    { BIG, 1, 8, false, false, 0x88 },
    { BIG, 1, 8, true, false, UINT64_C(0xffffffffffffff88) },
    { BIG, 2, 8, false, false, 0x8788 },
    { BIG, 2, 8, true, false, UINT64_C(0xffffffffffff8788) },
    { BIG, 4, 8, false, false, 0x85868788 },
    { BIG, 4, 8, true, false, UINT64_C(0xffffffff85868788) },
    { BIG, 8, 8, false, false, BIG },
    { BIG, 8, 8, true, false, BIG },
    { SMALL, 1, 8, true, false, 0x78 },
    { SMALL, 2, 8, true, false, 0x7778 },
    { SMALL, 4, 8, true, false, 0x75767778 },
    { SMALL, 8, 8, true, false, SMALL },
    // refused: all ones, of the access's width
    { SMALL, 1, 1, false, true, UINT64_C(0x11111111111111ff) },
    { SMALL, 2, 2, false, true, UINT64_C(0x111111111111ffff) },
    { SMALL, 1, 4, false, true, 0xff },
    { SMALL, 1, 4, true, true, 0xffffffff },
    { SMALL, 4, 4, false, true, 0xffffffff },
    { SMALL, 2, 8, false, true, 0xffff },
    { SMALL, 4, 8, false, true, 0xffffffff },
    { SMALL, 4, 8, true, true, UINT64_MAX },
    { SMALL, 8, 8, false, true, UINT64_MAX },
};

static void check_pure(const struct value_row *r)
{
    struct axvcpu_answer a = { .value = r->value, .kind = AXVCPU_EXIT_MMIO_READ };

    a.width = r->width;
    a.reg_width = r->reg_width;
    a.sign_extend = r->sign_extend;
    a.refused = r->refused;
    ok_u64(axvcpu_access_result(&a, OLD), r->want, "value: width %u to %u%s%s", r->width, r->reg_width,
           r->sign_extend ? ", sign-extended" : "", r->refused ? ", refused" : "");
}

static void check_mmio_read(const struct value_row *r, bool by_run)
{
    const struct axvcpu_fake_step step =
        STEP(.kind = AXVCPU_EXIT_MMIO_READ, .mmio = { 0x1000, 0, r->width, 5, r->reg_width, r->sign_extend });
    uint32_t i;
    bool others = true;

    perform_on(&step);
    must((r->refused ? axvcpu_refuse(&vcpu) : axvcpu_complete(&vcpu, r->value)) == AXVCPU_OK);
    must((by_run ? axvcpu_run(&vcpu, &x) : axvcpu_settle(&vcpu, &x)) == AXVCPU_OK);
    for (i = 0; i < AXVCPU_LEAF_GPRS; i++)
        others = others && (i == 5 || gpr_of(&vcpu, i) == OLD);
    ok(gpr_of(&vcpu, 5) == r->want && others, "MMIO_READ: width %u to %u%s%s, committed by %s", r->width, r->reg_width,
       r->sign_extend ? ", sign-extended" : "", r->refused ? ", refused" : "", by_run ? "run" : "settle");
}

static void test_values(void)
{
    size_t i;

    for (i = 0; i < COUNT(values); i++) {
        check_pure(&values[i]);
        check_mmio_read(&values[i], true);
        check_mmio_read(&values[i], false);
    }
}

static void test_io_values(void)
{
    static const struct {
        const char *name;
        uint32_t width;
        bool refused;
        uint64_t want;
    } rows[] = {
        { "trap 17: IN to AL leaves the rest of RAX", 1, false, UINT64_C(0x1111111111111188) },
        { "trap 17: IN to AX leaves the rest of RAX", 2, false, UINT64_C(0x1111111111118788) },
        { "trap 17: IN to EAX clears the upper half", 4, false, 0x85868788 },
        { "a refused IN to AL reads all ones", 1, true, UINT64_C(0x11111111111111ff) },
        { "a refused IN to EAX reads all ones", 4, true, 0xffffffff },
    };
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        const struct axvcpu_fake_step step =
            STEP(.kind = AXVCPU_EXIT_IO_READ, .io = { NULL, 0, 0x3f8, rows[i].width, 1 });

        perform_on(&step);
        must((rows[i].refused ? axvcpu_refuse(&vcpu) : axvcpu_complete(&vcpu, BIG)) == AXVCPU_OK);
        must(axvcpu_settle(&vcpu, &x) == AXVCPU_OK);
        ok_u64(gpr_of(&vcpu, 0), rows[i].want, "%s", rows[i].name);
    }
}

static void test_sysreg_value(void)
{
    static const struct axvcpu_fake_step step = STEP(.kind = AXVCPU_EXIT_SYSREG_READ, .sysreg = { 0x10, 0, 9 });

    perform_on(&step);
    must(axvcpu_complete(&vcpu, BIG) == AXVCPU_OK && axvcpu_settle(&vcpu, &x) == AXVCPU_OK);
    ok_u64(gpr_of(&vcpu, 9), BIG, "a system register is read with all 64 bits");
    ok_u64(gpr_of(&vcpu, 0), OLD, "into the register that the instruction names");
}

static void test_cpuid_values(void)
{
    static const struct axvcpu_fake_step step = STEP(.kind = AXVCPU_EXIT_CPUID, .cpuid = { 7, 1, 0, 0, 0, 0 });
    static const uint32_t answer[4] = { 0xaaaaaaaa, 0xbbbbbbbb, 0xcccccccc, 0xdddddddd };

    perform_on(&step);
    ok(x.cpuid.leaf == 7 && x.cpuid.subleaf == 1, "CPUID: leaf and subleaf");
    must(axvcpu_complete_cpuid(&vcpu, answer) == AXVCPU_OK && axvcpu_settle(&vcpu, &x) == AXVCPU_OK);
    ok_u64(gpr_of(&vcpu, 0), 0xaaaaaaaa, "CPUID: EAX, the upper half clear");
    ok_u64(gpr_of(&vcpu, 3), 0xbbbbbbbb, "CPUID: EBX is register 3");
    ok_u64(gpr_of(&vcpu, 1), 0xcccccccc, "CPUID: ECX is register 1");
    ok_u64(gpr_of(&vcpu, 2), 0xdddddddd, "CPUID: EDX is register 2");
    ok_u64(gpr_of(&vcpu, 4), OLD, "CPUID: no other register");
}

static void test_no_register(void)
{
    static const struct axvcpu_fake_step step =
        STEP(.kind = AXVCPU_EXIT_MMIO_READ, .mmio = { 0x1000, 0, 4, AXVCPU_REG_NONE, 4, false });
    uint32_t i;
    bool same = true;

    perform_on(&step);
    must(axvcpu_complete(&vcpu, BIG) == AXVCPU_OK && axvcpu_settle(&vcpu, &x) == AXVCPU_OK);
    for (i = 0; i < AXVCPU_LEAF_GPRS; i++)
        same = same && gpr_of(&vcpu, i) == OLD;
    ok(same && pc() == ENTRY + 4, "a read to AXVCPU_REG_NONE changes no register, and is committed");
}

// ---- strings go through io.buf

static void check_string(uint32_t width, uint32_t count, bool own_buffer)
{
    static uint8_t buffer[64];
    const struct axvcpu_fake_step step =
        STEP(.kind = AXVCPU_EXIT_IO_READ, .io = { own_buffer ? buffer : NULL, 0, 0x1f0, width, count });

    perform_on(&step);
    ok(x.io.buf != NULL && (!own_buffer || x.io.buf == buffer) && x.io.width == width && x.io.count == count &&
           x.io.port == 0x1f0,
       "trap 12: rep ins of %u x %u: width, count and port are apart, %s buffer", count, width,
       own_buffer ? "the script's" : "the backend's");
    memset(x.io.buf, 0x77, (size_t)width * count);
    must(axvcpu_complete(&vcpu, BIG) == AXVCPU_OK && axvcpu_settle(&vcpu, &x) == AXVCPU_OK);
    ok(gpr_of(&vcpu, 0) == OLD && pc() == ENTRY + 4 && axvcpu_fake_calls(&vcpu, AXVCPU_FAKE_COMMIT) == 1,
       "trap 12: rep ins of %u x %u: RAX stays, one commit", count, width);
}

static void test_strings(void)
{
    static const uint32_t sizes[][2] = { { 1, 2 }, { 1, 64 }, { 2, 3 }, { 4, 16 } };
    size_t i;

    for (i = 0; i < COUNT(sizes); i++) {
        check_string(sizes[i][0], sizes[i][1], true);
        check_string(sizes[i][0], sizes[i][1], false);
    }
}

// ---- every kind of access

static uint8_t string_buffer[8];
static const uint32_t four[4] = { 1, 2, 3, 4 };

enum kind { READ, WRITE };
static const struct access {
    const char *name;
    enum kind kind;
    bool fault; // refused: a fault, not all ones
    struct axvcpu_fake_step step;
} accesses[] = {
    { "MMIO_READ", READ, false, STEP(.kind = AXVCPU_EXIT_MMIO_READ, .mmio = { 0x1000, 0, 4, 5, 8, false }) },
    { "IO_READ", READ, false, STEP(.kind = AXVCPU_EXIT_IO_READ, .io = { NULL, 0, 0x60, 1, 1 }) },
    { "string IO_READ", READ, false, STEP(.kind = AXVCPU_EXIT_IO_READ, .io = { string_buffer, 0, 0x60, 2, 4 }) },
    { "SYSREG_READ", READ, true, STEP(.kind = AXVCPU_EXIT_SYSREG_READ, .sysreg = { 0x10, 0, 5 }) },
    { "CPUID", READ, true, STEP(.kind = AXVCPU_EXIT_CPUID, .cpuid = { 1, 0, 0, 0, 0, 0 }) },
    { "MMIO_WRITE", WRITE, false, STEP(.kind = AXVCPU_EXIT_MMIO_WRITE, .mmio = { 0x1000, 7, 4, 5, 8, false }) },
    { "IO_WRITE", WRITE, false, STEP(.kind = AXVCPU_EXIT_IO_WRITE, .io = { NULL, 7, 0x60, 1, 1 }) },
    { "string IO_WRITE", WRITE, false, STEP(.kind = AXVCPU_EXIT_IO_WRITE, .io = { string_buffer, 0, 0x60, 2, 4 }) },
    { "SYSREG_WRITE", WRITE, true, STEP(.kind = AXVCPU_EXIT_SYSREG_WRITE, .sysreg = { 0x10, 7, 5 }) },
};

static int complete(void)
{
    return x.kind == AXVCPU_EXIT_CPUID ? axvcpu_complete_cpuid(&vcpu, four) : axvcpu_complete(&vcpu, 0x42);
}

static void answer(const struct access *a)
{
    must(a->kind == WRITE || complete() == AXVCPU_OK);
}

static uint64_t commits(void)
{
    return axvcpu_fake_calls(&vcpu, AXVCPU_FAKE_COMMIT);
}

static uint64_t runs(void)
{
    return axvcpu_fake_calls(&vcpu, AXVCPU_FAKE_RUN);
}

// ---- committed once

static void check_committed_once(const struct access *a, int (*by)(struct axvcpu *, struct axvcpu_exit *),
                                 const char *name)
{
    bool first, second, third;

    perform_on(&a->step);
    answer(a);
    first = by(&vcpu, &x) == AXVCPU_OK && commits() == 1;
    second = axvcpu_settle(&vcpu, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_NOTHING && commits() == 1;
    third = axvcpu_run(&vcpu, &x) == AXVCPU_OK && commits() == 1;
    ok(first && second && third, "%s is committed once, by %s", a->name, name);
    // behind the access, and behind each HALT of the script's end
    ok_u64(pc(), ENTRY + 4 * (by == axvcpu_settle ? 2u : 3u), "trap 10: %s by %s: the PC is exact", a->name, name);
}

static int run_it(struct axvcpu *v, struct axvcpu_exit *exit)
{
    return axvcpu_run(v, exit);
}

static void test_committed_once(void)
{
    size_t i;

    for (i = 0; i < COUNT(accesses); i++) {
        check_committed_once(&accesses[i], axvcpu_settle, "settle");
        check_committed_once(&accesses[i], run_it, "run");
    }
}

// ---- nothing is left over from the access before

static void do_access(const struct access *a, uint64_t registers[AXVCPU_LEAF_GPRS])
{
    uint32_t i;

    for (i = 0; i < AXVCPU_LEAF_GPRS; i++)
        must(axvcpu_set_gpr(&vcpu, i, OLD) == AXVCPU_OK);
    must(axvcpu_fake_script(&vcpu, &a->step, 1, false) == AXVCPU_OK && axvcpu_run(&vcpu, &x) == AXVCPU_OK);
    answer(a);
    must(axvcpu_settle(&vcpu, &x) == AXVCPU_OK);
    for (i = 0; i < AXVCPU_LEAF_GPRS; i++)
        registers[i] = gpr_of(&vcpu, i);
}

static void check_after(const struct access *first, const struct access *second)
{
    uint64_t alone[AXVCPU_LEAF_GPRS], after[AXVCPU_LEAF_GPRS];

    bound(&vcpu);
    do_access(second, alone);
    bound(&vcpu);
    do_access(first, after);
    do_access(second, after);
    ok(memcmp(alone, after, sizeof(alone)) == 0 && pc() == ENTRY + 8, "%s after %s is as %s alone", second->name,
       first->name, second->name);
}

static void test_nothing_left_over(void)
{
    static const struct access narrow = { "narrow signed MMIO_READ", READ, false,
                                          STEP(.kind = AXVCPU_EXIT_MMIO_READ, .mmio = { 0x1000, 0, 1, 9, 2, true }) };
    static const struct access wide = { "wide MMIO_READ", READ, false,
                                        STEP(.kind = AXVCPU_EXIT_MMIO_READ, .mmio = { 0x1000, 0, 8, 9, 8, false }) };
    size_t i, k;

    for (i = 0; i < COUNT(accesses); i++) {
        check_after(&narrow, &accesses[i]);
        check_after(&wide, &accesses[i]);
        for (k = 0; k < COUNT(accesses); k++)
            check_after(&accesses[k], &accesses[i]);
    }
}

static void test_refusal_is_not_left_over(void)
{
    uint64_t registers[AXVCPU_LEAF_GPRS];
    size_t i;

    for (i = 0; i < COUNT(accesses); i++) {
        perform_on(&accesses[i].step);
        must(axvcpu_refuse(&vcpu) == AXVCPU_OK && axvcpu_settle(&vcpu, &x) == AXVCPU_OK);
        do_access(&accesses[0], registers);
        ok_u64(registers[5], 0x42, "a refused %s leaves the next read alone", accesses[i].name);
    }
}

// ---- unanswered

static int rebind(void)
{
    return axvcpu_unbind(&vcpu) != 0 || axvcpu_bind(&vcpu) != 0;
}

static int sleep_and_wake(void)
{
    return axvcpu_block(&vcpu) != 0 || axvcpu_unblock(&vcpu) != 0;
}

static int put_and_load(void)
{
    return axvcpu_put(&vcpu) != 0 || axvcpu_load(&vcpu) != 0;
}

static int nothing(void)
{
    return 0;
}

static const struct journey {
    const char *name;
    int (*fn)(void);
} journeys[] = {
    { "at once", nothing },
    { "after unbind and bind", rebind },
    { "after block and unblock", sleep_and_wake },
    { "after put and load", put_and_load },
};

static bool refused_pending(int err, unsigned lines)
{
    bool good = err == AXVCPU_EPENDING && x.kind == AXVCPU_EXIT_NOTHING && caught.lines == lines &&
                axvcpu_get_state(&vcpu) == AXVCPU_STATE_READY && axvcpu_current() == NULL;

    x.kind = AXVCPU_EXIT_IO_READ;
    return good;
}

static void check_pending(const struct access *a, const struct journey *j)
{
    uint64_t ran;
    bool run_refused, settle_refused;

    perform_on(&a->step);
    must(j->fn() == 0);
    ran = runs();
    run_refused = refused_pending(axvcpu_run(&vcpu, &x), 1);
    settle_refused = refused_pending(axvcpu_settle(&vcpu, &x), 2);
    ok(run_refused && settle_refused && runs() == ran && commits() == 0,
       "unanswered %s %s: EPENDING from run and settle", a->name, j->name);
    x.kind = a->step.exit.kind;
    must(complete() == AXVCPU_OK && j->fn() == 0);
    ok(axvcpu_run(&vcpu, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_HALT && commits() == 1,
       "trap 16: %s answered %s: neither lost nor repeated", a->name, j->name);
}

static void check_write_travels(const struct access *a, const struct journey *j)
{
    perform_on(&a->step);
    must(j->fn() == 0);
    ok(axvcpu_run(&vcpu, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_HALT && commits() == 1,
       "trap 16: %s %s: neither lost nor repeated", a->name, j->name);
}

static void test_pending(void)
{
    size_t i, j;

    for (i = 0; i < COUNT(accesses); i++)
        for (j = 0; j < COUNT(journeys); j++)
            if (accesses[i].kind == READ)
                check_pending(&accesses[i], &journeys[j]);
            else
                check_write_travels(&accesses[i], &journeys[j]);
}

// An access may be answered and settled by whoever claims the unowned vCPU, and while it sleeps.
static void test_settled_elsewhere(void)
{
    perform_on(&accesses[0].step);
    must(axvcpu_unbind(&vcpu) == AXVCPU_OK);
    ok(complete() == AXVCPU_OK && axvcpu_settle(&vcpu, &x) == AXVCPU_OK && commits() == 1 &&
           axvcpu_get_state(&vcpu) == AXVCPU_STATE_FREE && vcpu.owner == NULL,
       "answered and settled in Free");
    perform_on(&accesses[0].step);
    must(axvcpu_block(&vcpu) == AXVCPU_OK);
    ok(complete() == AXVCPU_OK && axvcpu_settle(&vcpu, &x) == AXVCPU_OK && commits() == 1 &&
           axvcpu_get_state(&vcpu) == AXVCPU_STATE_BLOCKED,
       "answered and settled in Blocked");
    perform_on(&accesses[0].step);
    must(axvcpu_put(&vcpu) == AXVCPU_OK);
    ok(complete() == AXVCPU_OK && axvcpu_settle(&vcpu, &x) == AXVCPU_OK && commits() == 1,
       "answered and settled while put");
    ok(axvcpu_run(&vcpu, &x) == AXVCPU_EBADSTATE && axvcpu_get_state(&vcpu) == AXVCPU_STATE_READY,
       "a put vCPU does not run, and is none the worse");
}

static void test_forgotten(void)
{
    perform_on(&accesses[0].step);
    must(axvcpu_restart(&vcpu, axvcpu_gpa(ENTRY), 0) == AXVCPU_OK);
    ok(axvcpu_complete(&vcpu, 1) == AXVCPU_EBADSTATE && axvcpu_settle(&vcpu, &x) == AXVCPU_OK && commits() == 0,
       "restart forgets an access");
    perform_on(&accesses[0].step);
    must(axvcpu_reset(&vcpu) == AXVCPU_OK);
    must(axvcpu_setup(&vcpu, axvcpu_gpa(ENTRY), axvcpu_hpa(ROOT), NULL) == AXVCPU_OK &&
         axvcpu_bind(&vcpu) == AXVCPU_OK);
    ok(axvcpu_complete(&vcpu, 1) == AXVCPU_EBADSTATE && axvcpu_settle(&vcpu, &x) == AXVCPU_OK && commits() == 0,
       "reset forgets an access");
}

// ---- retry and refuse

static void check_retry(const struct access *a)
{
    perform_on(&a->step);
    ok(axvcpu_retry(&vcpu) == AXVCPU_OK && axvcpu_settle(&vcpu, &x) == AXVCPU_OK && commits() == 0 && pc() == ENTRY &&
           axvcpu_fake_calls(&vcpu, AXVCPU_FAKE_RETRY) == 1,
       "%s retried: nothing is committed, the PC stays", a->name);
    must(axvcpu_fake_script(&vcpu, &a->step, 1, false) == AXVCPU_OK);
    ok(axvcpu_run(&vcpu, &x) == AXVCPU_OK && x.kind == a->step.exit.kind, "%s retried: it executes again", a->name);
}

static void check_refuse(const struct access *a)
{
    uint64_t faults = a->fault ? 1 : 0,
             five = a->kind == READ && a->step.exit.kind == AXVCPU_EXIT_MMIO_READ ? 0xffffffff : OLD;

    perform_on(&a->step);
    must(axvcpu_refuse(&vcpu) == AXVCPU_OK);
    ok_int(axvcpu_run(&vcpu, &x), AXVCPU_OK, "%s refused: run goes on", a->name);
    ok_u64(vcpu.arch.exceptions, faults, "%s refused: %s", a->name, a->fault ? "the guest gets a fault" : "no fault");
    ok_u64(pc() - 4, ENTRY + (a->fault ? 0 : 4), "%s refused: the PC is %s it", a->name, a->fault ? "on" : "behind");
    ok_u64(gpr_of(&vcpu, 5), five, "%s refused: the register", a->name);
    ok_u64(commits(), 1, "%s refused: committed once", a->name);
}

static void test_retry_and_refuse(void)
{
    size_t i;

    for (i = 0; i < COUNT(accesses); i++) {
        check_retry(&accesses[i]);
        check_refuse(&accesses[i]);
    }
}

// ---- one answer

enum first { NONE, COMPLETE, REFUSE, RETRY, SETTLE };
static const char *const first_names[] = { "nothing", "complete", "refuse", "retry", "settle" };

static int act(enum first what)
{
    return what == COMPLETE ? axvcpu_complete(&vcpu, 1) :
           what == REFUSE   ? axvcpu_refuse(&vcpu) :
           what == RETRY    ? axvcpu_retry(&vcpu) :
           what == SETTLE   ? axvcpu_settle(&vcpu, &x) :
                              AXVCPU_OK;
}

static void check_second(const struct axvcpu_fake_step *step, const char *name, enum first first, enum first second)
{
    struct axvcpu before;

    perform_on(step);
    must(act(first) == AXVCPU_OK);
    before = vcpu;
    forget_lines();
    ok(act(second) == AXVCPU_EBADSTATE && memcmp(&before, &vcpu, sizeof(vcpu)) == 0 && caught.lines == 1 &&
           axvcpu_current() == NULL,
       "%s: %s after %s: EBADSTATE, unchanged", name, first_names[second], first_names[first]);
}

static void test_one_answer(void)
{
    static const struct axvcpu_fake_step halt = STEP(.kind = AXVCPU_EXIT_HALT);
    static const struct axvcpu_fake_step call = STEP(.kind = AXVCPU_EXIT_HYPERCALL);
    enum first first, second;

    for (second = COMPLETE; second <= RETRY; second++) {
        for (first = COMPLETE; first <= RETRY; first++)
            check_second(&accesses[0].step, "MMIO_READ", first, second);
        for (first = REFUSE; first <= SETTLE; first++)
            check_second(&accesses[5].step, "MMIO_WRITE", first, second);
        check_second(&halt, "HALT", NONE, second);
        check_second(&call, "HYPERCALL", NONE, second);
    }
    check_second(&accesses[5].step, "MMIO_WRITE", NONE, COMPLETE);
}

static void test_wrong_kind_of_answer(void)
{
    struct axvcpu before;

    perform_on(&accesses[4].step);
    before = vcpu;
    ok(axvcpu_complete(&vcpu, 1) == AXVCPU_EINVAL && memcmp(&before, &vcpu, sizeof(vcpu)) == 0 && caught.lines == 1,
       "complete does not answer CPUID");
    ok_int(axvcpu_complete_cpuid(&vcpu, four), AXVCPU_OK, "complete_cpuid then does");
    perform_on(&accesses[0].step);
    before = vcpu;
    ok(axvcpu_complete_cpuid(&vcpu, four) == AXVCPU_EINVAL && memcmp(&before, &vcpu, sizeof(vcpu)) == 0 &&
           caught.lines == 1,
       "complete_cpuid answers nothing else");
    ok_int(axvcpu_complete(&vcpu, 1), AXVCPU_OK, "complete then does");
}

// ---- exits that wait for nothing

static void test_hypercall(void)
{
    static const struct axvcpu_fake_step step =
        STEP(.kind = AXVCPU_EXIT_HYPERCALL, .hypercall = { 7, { 1, 2, 3, 4, 5, 6 } });
    uint64_t behind;

    perform_on(&step);
    behind = pc();
    ok_int(axvcpu_set_return_value(&vcpu, 99), AXVCPU_OK, "a hypercall is answered by set_return_value");
    ok_u64(gpr_of(&vcpu, AXVCPU_LEAF_RETURN_GPR), 99, "the value is in its register");
    ok(axvcpu_settle(&vcpu, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_NOTHING && pc() == behind && commits() == 0,
       "there is nothing to settle");
    ok_u64(behind, ENTRY + 4, "the PC is behind it");
}

static void test_unanswered_kinds(void)
{
    uint32_t kind;

    for (kind = 0; kind < AXVCPU_EXIT_COUNT; kind++) {
        const struct axvcpu_fake_step step = STEP(.kind = kind);

        if (((AXVCPU_READ_KINDS | AXVCPU_WRITE_KINDS) >> kind & 1u) != 0)
            continue;
        perform_on(&step);
        ok(axvcpu_run(&vcpu, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_HALT && commits() == 0, "%s waits for no answer",
           axvcpu_exit_name(kind));
    }
}

// Which kinds are which, as DESIGN has them.
static void test_classes(void)
{
    uint32_t reads = 1u << AXVCPU_EXIT_MMIO_READ | 1u << AXVCPU_EXIT_IO_READ | 1u << AXVCPU_EXIT_SYSREG_READ |
                     1u << AXVCPU_EXIT_CPUID;
    uint32_t writes = 1u << AXVCPU_EXIT_MMIO_WRITE | 1u << AXVCPU_EXIT_IO_WRITE | 1u << AXVCPU_EXIT_SYSREG_WRITE;

    ok_u64(AXVCPU_READ_KINDS, reads, "what is to be answered");
    ok_u64(AXVCPU_WRITE_KINDS, writes, "what counts as done unless refused or retried");
}

// ---- the order inside run

static void test_order(void)
{
    uint64_t ran;

    perform_on(&accesses[0].step);
    ran = runs();
    must(axvcpu_kick(&vcpu) == AXVCPU_OK && axvcpu_inject_interrupt(&vcpu, 33) == AXVCPU_OK);
    ok_int(axvcpu_run(&vcpu, &x), AXVCPU_EPENDING, "order: EPENDING comes first");
    must(axvcpu_complete(&vcpu, 0x42) == AXVCPU_OK);
    ok(axvcpu_run(&vcpu, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_CANCELED, "order: EPENDING has kept the kick");
    ok(commits() == 1 && gpr_of(&vcpu, 5) == 0x42, "order: the commit comes before the kick");
    ok(runs() == ran && axvcpu_fake_delivered(&vcpu, 33) == 0, "order: the kick comes before injection and guest");
    ok(axvcpu_run(&vcpu, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_HALT, "order: one kick, one CANCELED");
    ok(runs() == ran + 1 && axvcpu_fake_delivered(&vcpu, 33) == 1 && commits() == 1, "order: then injection and guest");
}

static void test_settle_keeps_a_kick(void)
{
    perform_on(&accesses[5].step);
    must(axvcpu_kick(&vcpu) == AXVCPU_OK);
    ok(axvcpu_settle(&vcpu, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_NOTHING && commits() == 1,
       "settle commits under a kick");
    ok(axvcpu_settle(&vcpu, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_NOTHING, "settle of nothing: OK and NOTHING");
    ok(axvcpu_run(&vcpu, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_CANCELED, "settle consumes no kick");
}

// ---- a failed run or settle leaves NOTHING

static int run_in_callback(struct axvcpu *v, void *arg)
{
    (void)arg;
    return axvcpu_run(v, &x);
}

static int settle_in_callback(struct axvcpu *v, void *arg)
{
    (void)arg;
    return axvcpu_settle(v, &x);
}

static int fails(enum axvcpu_fake_op op, const struct access *a)
{
    perform_on(&a->step);
    must(axvcpu_fake_fail(&vcpu, op, 1, AXVCPU_EIO) == AXVCPU_OK && axvcpu_inject_interrupt(&vcpu, 1) == AXVCPU_OK);
    x.kind = AXVCPU_EXIT_IO_READ;
    return axvcpu_run(&vcpu, &x);
}

static int run_fails(void)
{
    return fails(AXVCPU_FAKE_RUN, &accesses[5]);
}

static int commit_fails(void)
{
    return fails(AXVCPU_FAKE_COMMIT, &accesses[5]);
}

static int inject_fails(void)
{
    return fails(AXVCPU_FAKE_INJECT, &accesses[5]);
}

static int step_fails(void)
{
    static const struct axvcpu_fake_step step = { AXVCPU_EFAULT, { .kind = AXVCPU_EXIT_MMIO_READ } };

    bound(&vcpu);
    must(axvcpu_fake_script(&vcpu, &step, 1, false) == AXVCPU_OK);
    return axvcpu_run(&vcpu, &x);
}

static int run_is_pending(void)
{
    perform_on(&accesses[0].step);
    return axvcpu_run(&vcpu, &x);
}

static int run_is_free(void)
{
    set_up(&vcpu);
    return axvcpu_run(&vcpu, &x);
}

static int run_is_nested(void)
{
    bound(&vcpu);
    return axvcpu_with_current(&vcpu, run_in_callback, NULL);
}

static int run_is_null(void)
{
    return axvcpu_run(NULL, &x);
}

static int settle_is_pending(void)
{
    perform_on(&accesses[0].step);
    return axvcpu_settle(&vcpu, &x);
}

static int settle_is_created(void)
{
    created(&vcpu);
    return axvcpu_settle(&vcpu, &x);
}

static int settle_is_nested(void)
{
    perform_on(&accesses[5].step);
    return axvcpu_with_current(&vcpu, settle_in_callback, NULL);
}

static int settle_fails(void)
{
    perform_on(&accesses[5].step);
    must(axvcpu_fake_fail(&vcpu, AXVCPU_FAKE_COMMIT, 1, AXVCPU_EFAULT) == AXVCPU_OK);
    x.kind = AXVCPU_EXIT_IO_READ;
    return axvcpu_settle(&vcpu, &x);
}

static void test_failed_leaves_nothing(void)
{
    static const struct {
        const char *name;
        int (*fn)(void);
        int want;
    } rows[] = {
        { "run, the backend fails", run_fails, AXVCPU_EIO },
        { "run, the commit fails", commit_fails, AXVCPU_EIO },
        { "run, the injection fails", inject_fails, AXVCPU_EIO },
        { "run, the script fails", step_fails, AXVCPU_EFAULT },
        { "run, unanswered", run_is_pending, AXVCPU_EPENDING },
        { "run in Free", run_is_free, AXVCPU_EBADSTATE },
        { "run, nested", run_is_nested, AXVCPU_ENESTED },
        { "run of NULL", run_is_null, AXVCPU_EINVAL },
        { "settle, unanswered", settle_is_pending, AXVCPU_EPENDING },
        { "settle in Created", settle_is_created, AXVCPU_EBADSTATE },
        { "settle, nested", settle_is_nested, AXVCPU_ENESTED },
        { "settle, the commit fails", settle_fails, AXVCPU_EFAULT },
    };
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        int err;

        x.kind = AXVCPU_EXIT_IO_READ;
        err = rows[i].fn();
        ok(err == rows[i].want && x.kind == AXVCPU_EXIT_NOTHING, "trap 9: %s: %s and kind NOTHING", rows[i].name,
           error_name(rows[i].want));
    }
}

static void test_failed_settle_loses_nothing(void)
{
    perform_on(&accesses[0].step);
    must(axvcpu_complete(&vcpu, 0x42) == AXVCPU_OK);
    must(axvcpu_fake_fail(&vcpu, AXVCPU_FAKE_COMMIT, 1, AXVCPU_EFAULT) == AXVCPU_OK);
    must(axvcpu_settle(&vcpu, &x) == AXVCPU_EFAULT);
    ok(axvcpu_get_state(&vcpu) == AXVCPU_STATE_READY && vcpu.owner == AXVCPU_CPU_TOKEN(),
       "a failed settle leaves the vCPU as it is");
    ok(axvcpu_settle(&vcpu, &x) == AXVCPU_OK && gpr_of(&vcpu, 5) == 0x42 && pc() == ENTRY + 4,
       "and the access is still there");
}

// ---- words

static void test_sizes(void)
{
    ok(sizeof(struct axvcpu_exit) <= 96, "struct axvcpu_exit is at most 96 bytes");
    ok(_Alignof(struct axvcpu) <= 16 && _Alignof(struct axvcpu_exit) <= 16, "malloc aligns well enough");
}

static void test_names(void)
{
    static const char *const kinds[] = {
        // clang-format off
        "NOTHING", "HYPERCALL", "MMIO_READ", "MMIO_WRITE", "IO_READ", "IO_WRITE", "SYSREG_READ", "SYSREG_WRITE",
        "EXTERNAL_INTERRUPT", "NESTED_PAGE_FAULT", "HALT", "CPU_UP", "CPU_DOWN", "SYSTEM_DOWN", "SEND_IPI",
        "FAIL_ENTRY", "CANCELED", "SHUTDOWN", "CPUID", "IRQ_WINDOW", "DEBUG", "EXCEPTION", "TIMER", "EOI",
        "REMOTE_FENCE", "UNDECODED", "RAW",
        // clang-format on
    };
    static const char *const states[] = { "Invalid", "Created", "Free", "Ready", "Running", "Blocked" };
    size_t i, k;

    ok_u64(COUNT(kinds), AXVCPU_EXIT_COUNT, "a name for every kind");
    for (i = 0; i < COUNT(kinds); i++)
        ok_str(axvcpu_exit_name((uint32_t)i), kinds[i], "exit name %zu", i);
    for (i = 0; i < COUNT(states); i++)
        ok_str(axvcpu_state_name((enum axvcpu_state)i), states[i], "state name %zu", i);
    for (i = 0; i < AXVCPU_ERR_COUNT; i++)
        for (k = 0; k < i; k++)
            if (strcmp(axvcpu_strerror((int)i), axvcpu_strerror((int)k)) == 0)
                break;
            else if (k == i - 1)
                ok(axvcpu_strerror((int)i)[0] != '\0', "%s has a text of its own", error_name((int)i));
    ok_str(axvcpu_strerror(AXVCPU_OK), "no error", "the text of OK");
    ok_str(axvcpu_strerror(AXVCPU_EPENDING), "the last exit has not been answered", "the text of EPENDING");
}

static void test_unknown_names(void)
{
    static const int errors[] = { -1, AXVCPU_ERR_COUNT, 0x7fffffff, -0x7fffffff };
    static const uint32_t kinds[] = { AXVCPU_EXIT_COUNT, AXVCPU_FAKE_SPIN, 256, UINT32_MAX };
    static const int states[] = { -1, AXVCPU_STATE_COUNT, 7, 256 };
    size_t i;

    for (i = 0; i < 4; i++) {
        ok_str(axvcpu_strerror(errors[i]), "unknown error", "error %d", errors[i]);
        ok_str(axvcpu_exit_name(kinds[i]), "unknown exit", "kind %u", kinds[i]);
        ok_str(axvcpu_state_name((enum axvcpu_state)states[i]), "unknown state", "state %d", states[i]);
    }
}

static const struct printed {
    struct axvcpu_exit x;
    const char *text;
} printed[] = {
    { { .kind = AXVCPU_EXIT_NOTHING }, "NOTHING" },
    { { .kind = AXVCPU_EXIT_HYPERCALL, .hypercall = { 42, { 1, 2, 3, 4, 5, UINT64_MAX } } },
      "HYPERCALL nr=0x2a args[0]=0x1 args[1]=0x2 args[2]=0x3 args[3]=0x4 args[4]=0x5 args[5]=0xffffffffffffffff" },
    { { .kind = AXVCPU_EXIT_MMIO_READ, .mmio = { 0x1000, 0, 4, 5, 8, true } },
      "MMIO_READ addr=0x1000 width=4 reg=5 reg_width=8 sign_extend=1" },
    { { .kind = AXVCPU_EXIT_MMIO_WRITE, .mmio = { 0xfee00000, 0xabcdef, 2, 0, 0, false } },
      "MMIO_WRITE addr=0xfee00000 width=2 data=0xabcdef" },
    { { .kind = AXVCPU_EXIT_IO_READ, .io = { NULL, 0, 0x3f8, 1, 1 } }, "IO_READ port=0x3f8 width=1 count=1" },
    { { .kind = AXVCPU_EXIT_IO_WRITE, .io = { NULL, 0x41, 0x3f8, 1, 1 } },
      "IO_WRITE port=0x3f8 width=1 count=1 data=0x41" },
    { { .kind = AXVCPU_EXIT_SYSREG_READ, .sysreg = { 0x10, 0, 3 } }, "SYSREG_READ addr=0x10 reg=3" },
    { { .kind = AXVCPU_EXIT_SYSREG_WRITE, .sysreg = { 0x10, 9, 3 } }, "SYSREG_WRITE addr=0x10 value=0x9" },
    { { .kind = AXVCPU_EXIT_EXTERNAL_INTERRUPT, .irq = { AXVCPU_NO_VECTOR } }, "EXTERNAL_INTERRUPT vector=4294967295" },
    { { .kind = AXVCPU_EXIT_NESTED_PAGE_FAULT, .fault = { 0x2000, AXVCPU_ACCESS_EXEC | AXVCPU_ACCESS_WALK } },
      "NESTED_PAGE_FAULT addr=0x2000 access=0xc" },
    { { .kind = AXVCPU_EXIT_HALT }, "HALT" },
    { { .kind = AXVCPU_EXIT_CPU_UP, .cpu_up = { 1, 0x8000, 7 } }, "CPU_UP target=0x1 entry=0x8000 arg=0x7" },
    { { .kind = AXVCPU_EXIT_CPU_DOWN, .cpu_down = { 0 } }, "CPU_DOWN state=0x0" },
    { { .kind = AXVCPU_EXIT_SYSTEM_DOWN, .system = { AXVCPU_SYSTEM_RESET } }, "SYSTEM_DOWN reason=1" },
    { { .kind = AXVCPU_EXIT_SEND_IPI, .ipi = { 3, 1, 250, false, true } },
      "SEND_IPI target=0x3 aux=0x1 vector=250 to_all=0 to_self=1" },
    { { .kind = AXVCPU_EXIT_FAIL_ENTRY, .fail = { 0x80000021 } }, "FAIL_ENTRY reason=0x80000021" },
    { { .kind = AXVCPU_EXIT_CANCELED }, "CANCELED" },
    { { .kind = AXVCPU_EXIT_SHUTDOWN }, "SHUTDOWN" },
    { { .kind = AXVCPU_EXIT_CPUID, .cpuid = { 7, 1, 0, 0, 0, 0 } }, "CPUID leaf=0x7 subleaf=0x1" },
    { { .kind = AXVCPU_EXIT_IRQ_WINDOW }, "IRQ_WINDOW" },
    { { .kind = AXVCPU_EXIT_DEBUG, .debug = { 0x8004, 1 } }, "DEBUG pc=0x8004 status=0x1" },
    { { .kind = AXVCPU_EXIT_EXCEPTION, .exception = { 2, 0x3000, 14 } }, "EXCEPTION vector=14 error=0x2 addr=0x3000" },
    { { .kind = AXVCPU_EXIT_TIMER }, "TIMER" },
    { { .kind = AXVCPU_EXIT_EOI, .eoi = { 32 } }, "EOI vector=32" },
    { { .kind = AXVCPU_EXIT_REMOTE_FENCE, .fence = { 3, 0, 0x1000, 0x2000, 5, 1 } },
      "REMOTE_FENCE op=1 mask=0x3 base=0x0 start=0x1000 size=0x2000 asid=0x5" },
    { { .kind = AXVCPU_EXIT_UNDECODED, .undecoded = { 0x1000, 0x93, { 0x0f, 0xa2, 0x90 }, 2 } },
      "UNDECODED addr=0x1000 syndrome=0x93 insn_len=2 insn=0xf 0xa2" },
    { { .kind = AXVCPU_EXIT_RAW, .raw = 0xdead }, "RAW raw=0xdead" },
    { { .kind = AXVCPU_EXIT_COUNT, .raw = 1 }, "unknown exit" },
};

static void test_print(void)
{
    static char text[256];
    size_t i;

    ok_u64(COUNT(printed), AXVCPU_EXIT_COUNT + 1, "every kind is printed here, and one that is none");
    for (i = 0; i < COUNT(printed); i++) {
        size_t len = axvcpu_exit_print(text, sizeof(text), &printed[i].x);

        ok(printed[i].x.kind == i && strcmp(text, printed[i].text) == 0 && len == strlen(printed[i].text),
           "printed: %s", printed[i].text);
    }
}

// Whatever the length says, no more than 16 bytes of an instruction exist.
static void test_print_long_instruction(void)
{
    struct axvcpu_exit u = { .kind = AXVCPU_EXIT_UNDECODED, .undecoded = { 0, 0, { 0 }, UINT32_MAX } };
    char text[256];

    ok_u64(axvcpu_exit_print(text, sizeof(text), &u),
           strlen("UNDECODED addr=0x0 syndrome=0x0 insn_len=4294967295 insn=") + 16 * 3 + 15,
           "an absurd insn_len prints 16 bytes");
}

static bool cut_like_snprintf(const struct printed *p, size_t size)
{
    char got[256], want[256];

    memset(got, '#', sizeof(got));
    memset(want, '#', sizeof(want));
    return axvcpu_exit_print(got, size, &p->x) == (size_t)snprintf(want, size, "%s", p->text) &&
           memcmp(got, want, sizeof(got)) == 0;
}

static void test_print_truncated(void)
{
    size_t i, size;

    for (i = 0; i < COUNT(printed); i += 2) {
        bool good = true;

        for (size = 0; size <= strlen(printed[i].text) + 2; size++)
            good = good && cut_like_snprintf(&printed[i], size);
        ok(good, "cut like snprintf at every size: %s", axvcpu_exit_name(printed[i].x.kind));
    }
}

static void test_print_null(void)
{
    char text[32];

    ok_u64(axvcpu_exit_print(NULL, 0, &printed[2].x), strlen(printed[2].text), "print to NULL: the length");
    ok_u64(axvcpu_exit_print(NULL, 100, &printed[2].x), strlen(printed[2].text),
           "print to NULL with a size: the length");
    ok_u64(axvcpu_exit_print(text, sizeof(text), NULL), strlen("(no exit)"), "print of NULL: a length");
    ok_str(text, "(no exit)", "print of NULL: a text");
    ok_u64(axvcpu_exit_print(NULL, 0, NULL), strlen("(no exit)"), "print of NULL to NULL");
}

int main(void)
{
    tap_begin(60);
    test_sizes();
    test_values();
    test_io_values();
    test_sysreg_value();
    test_cpuid_values();
    test_no_register();
    test_strings();
    test_committed_once();
    test_nothing_left_over();
    test_refusal_is_not_left_over();
    test_pending();
    test_settled_elsewhere();
    test_forgotten();
    test_retry_and_refuse();
    test_one_answer();
    test_wrong_kind_of_answer();
    test_hypercall();
    test_classes();
    test_unanswered_kinds();
    test_order();
    test_settle_keeps_a_kick();
    test_failed_leaves_nothing();
    test_failed_settle_loses_nothing();
    test_names();
    test_unknown_names();
    test_print();
    test_print_long_instruction();
    test_print_truncated();
    test_print_null();
    return tap_done();
}
