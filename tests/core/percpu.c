// SPDX-License-Identifier: Apache-2.0
// flags: -UAXVCPU_ARCH_FAKE -DAXVCPU_ARCH_HEADER="tests/core/mock.h"
//
// Per-CPU state: what is recorded when, what may be tried again, what may be dropped.
#include "core.h"

static struct axvcpu_percpu cpu;
static const struct axvcpu_percpu zero;

enum start { UNINITIALISED, IDLE, ENABLED, FOREIGN, START_COUNT };
static const char *const start_names[] = { "never initialised", "initialised", "enabled", "foreign" };

static void start(enum start s)
{
    memset(&mock, 0, sizeof(mock));
    memset(&cpu, s == FOREIGN ? 0x5a : 0, sizeof(cpu));
    if (s == IDLE || s == ENABLED)
        must(axvcpu_percpu_init(&cpu, 3) == AXVCPU_OK);
    if (s == ENABLED)
        must(axvcpu_percpu_enable(&cpu) == AXVCPU_OK);
    memset(&mock, 0, sizeof(mock));
    forget_lines();
}

static bool is_zero(void)
{
    return memcmp(&cpu, &zero, sizeof(cpu)) == 0;
}

static int init(struct axvcpu_percpu *p)
{
    return axvcpu_percpu_init(p, 3);
}

// ---- (given, operation, expected)

#define LEAF(name) (1u << (MOCK_##name - MOCK_percpu_init))
_Static_assert(MOCK_percpu_enable - MOCK_percpu_init == 1 && MOCK_percpu_disable - MOCK_percpu_init == 2 &&
                   MOCK_percpu_deinit - MOCK_percpu_init == 4,
               "LEAF fits a word");

static const struct row {
    const char *name;
    int (*fn)(struct axvcpu_percpu *);
    enum start given;
    int result;
    enum start then;
    uint32_t leaves;
} rows[] = {
    { "init", init, UNINITIALISED, AXVCPU_OK, IDLE, LEAF(percpu_init) },
    { "init", init, IDLE, AXVCPU_EBADSTATE, IDLE, 0 },
    { "init", init, ENABLED, AXVCPU_EBADSTATE, ENABLED, 0 },
    { "enable", axvcpu_percpu_enable, UNINITIALISED, AXVCPU_EINVAL, UNINITIALISED, 0 },
    { "enable", axvcpu_percpu_enable, IDLE, AXVCPU_OK, ENABLED, LEAF(percpu_enable) },
    { "enable", axvcpu_percpu_enable, ENABLED, AXVCPU_EBADSTATE, ENABLED, 0 },
    { "enable", axvcpu_percpu_enable, FOREIGN, AXVCPU_EINVAL, FOREIGN, 0 },
    { "disable", axvcpu_percpu_disable, UNINITIALISED, AXVCPU_EINVAL, UNINITIALISED, 0 },
    { "disable", axvcpu_percpu_disable, IDLE, AXVCPU_EBADSTATE, IDLE, 0 },
    { "disable", axvcpu_percpu_disable, ENABLED, AXVCPU_OK, IDLE, LEAF(percpu_disable) },
    { "disable", axvcpu_percpu_disable, FOREIGN, AXVCPU_EINVAL, FOREIGN, 0 },
    { "trap 4: deinit", axvcpu_percpu_deinit, UNINITIALISED, AXVCPU_OK, UNINITIALISED, 0 },
    { "deinit", axvcpu_percpu_deinit, IDLE, AXVCPU_OK, UNINITIALISED, LEAF(percpu_deinit) },
    { "deinit", axvcpu_percpu_deinit, ENABLED, AXVCPU_OK, UNINITIALISED, LEAF(percpu_disable) | LEAF(percpu_deinit) },
    { "deinit", axvcpu_percpu_deinit, FOREIGN, AXVCPU_EINVAL, FOREIGN, 0 },
};

static bool is_in(enum start s)
{
    if (s == UNINITIALISED)
        return is_zero();
    if (s == FOREIGN)
        return cpu.word == 0x5a5a5a5a && cpu.arch.secret == UINT64_C(0x5a5a5a5a5a5a5a5a);
    return cpu.cpu_id == 3 && cpu.arch.secret == 103 && axvcpu_percpu_is_enabled(&cpu) == (s == ENABLED);
}

static uint32_t leaves_called(void)
{
    uint32_t leaves = 0;
    size_t i;

    for (i = 0; i < mock.length; i++)
        leaves |= 1u << (mock.journal[i] - MOCK_percpu_init);
    return leaves;
}

static void test_rows(void)
{
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        const struct row *r = &rows[i];
        int err;

        start(r->given);
        err = r->fn(&cpu);
        if (!ok(err == r->result && is_in(r->then) && leaves_called() == r->leaves &&
                    caught.lines == (err == AXVCPU_OK ? 0 : 1),
                "%s of one that is %s: %s, then %s", r->name, start_names[r->given], error_name(r->result),
                start_names[r->then]))
            note("  got %s, word 0x%x, leaves 0x%x, %u lines (%s)", error_name(err), cpu.word, leaves_called(),
                 caught.lines, caught.last);
    }
}

// ---- the backend fails

static const struct failing {
    const char *name;
    int (*fn)(struct axvcpu_percpu *);
    enum start given, then, again; // then: after the failure; again: after the same call once more
} failing[] = {
    { "trap 4: init", init, UNINITIALISED, UNINITIALISED, IDLE },
    { "enable", axvcpu_percpu_enable, IDLE, IDLE, ENABLED },
    { "disable", axvcpu_percpu_disable, ENABLED, ENABLED, IDLE },
    { "deinit", axvcpu_percpu_deinit, ENABLED, ENABLED, UNINITIALISED },
};

static void test_failing(void)
{
    size_t i;

    for (i = 0; i < COUNT(failing); i++) {
        const struct failing *f = &failing[i];

        start(f->given);
        mock.fail_at = 1;
        mock.fail_with = AXVCPU_EIO;
        ok_int(f->fn(&cpu), AXVCPU_EIO, "%s reports the backend's error", f->name);
        ok(is_in(f->then), "%s that failed leaves it %s", f->name, start_names[f->then]);
        ok_u64(mock.calls[MOCK_percpu_deinit], 0, "%s that failed undoes nothing that was not done", f->name);
        ok_int(f->fn(&cpu), AXVCPU_OK, "%s may be tried again", f->name);
        ok(is_in(f->again), "%s: then it is %s", f->name, start_names[f->again]);
    }
}

static void test_failed_init_is_not_enabled(void)
{
    start(UNINITIALISED);
    mock.fail_at = 1;
    mock.fail_with = AXVCPU_ENOSUPPORT;
    must(init(&cpu) == AXVCPU_ENOSUPPORT);
    ok_int(axvcpu_percpu_enable(&cpu), AXVCPU_EINVAL, "trap 4: one whose init failed is not initialised");
    ok_u64(mock.calls[MOCK_percpu_enable], 0, "trap 4: and the backend is not asked");
    ok_int(axvcpu_percpu_deinit(&cpu), AXVCPU_OK, "trap 4: it may be dropped");
    ok_u64(mock.calls[MOCK_percpu_deinit], 0, "trap 4: without the backend");
}

static void test_deinit_disables_first(void)
{
    start(ENABLED);
    must(axvcpu_percpu_deinit(&cpu) == AXVCPU_OK);
    ok(mock.length == 2 && mock.journal[0] == MOCK_percpu_disable && mock.journal[1] == MOCK_percpu_deinit,
       "deinit of an enabled one disables, then deinitialises");
    ok_int(init(&cpu), AXVCPU_OK, "a dropped one may be initialised again");
}

// ---- arguments

static void test_cpu_ids(void)
{
    static const struct {
        uint32_t id;
        int result;
    } ids[] = {
        { 0, AXVCPU_OK },
        { AXVCPU_MAX_PHYS_CPUS - 1, AXVCPU_OK },
        { AXVCPU_MAX_PHYS_CPUS, AXVCPU_EINVAL },
        { UINT32_MAX, AXVCPU_EINVAL },
    };
    size_t i;

    for (i = 0; i < COUNT(ids); i++) {
        start(UNINITIALISED);
        ok_int(axvcpu_percpu_init(&cpu, ids[i].id), ids[i].result, "init of CPU %u", ids[i].id);
        ok(ids[i].result == AXVCPU_OK ? cpu.cpu_id == ids[i].id : is_zero() && mock.length == 0 && caught.lines == 1,
           "init of CPU %u: recorded, or nothing changed", ids[i].id);
    }
}

static void test_abi(void)
{
    unsigned bit;
    bool refused = true;

    start(FOREIGN);
    for (bit = 0; bit < 64; bit++)
        refused = refused && axvcpu_i_percpu_init(&cpu, 3, AXVCPU_ABI ^ UINT64_C(1) << bit) == AXVCPU_EINVAL;
    ok(refused, "init from a file with another configuration: EINVAL");
    ok(is_in(FOREIGN) && mock.length == 0, "and the object is not touched");
    ok_u64(caught.lines, 64, "and each is in the log");
}

static void test_null(void)
{
    start(UNINITIALISED);
    ok_int(axvcpu_percpu_init(NULL, 0), AXVCPU_EINVAL, "init of NULL");
    ok_int(axvcpu_percpu_enable(NULL), AXVCPU_EINVAL, "enable of NULL");
    ok_int(axvcpu_percpu_disable(NULL), AXVCPU_EINVAL, "disable of NULL");
    ok_int(axvcpu_percpu_deinit(NULL), AXVCPU_EINVAL, "deinit of NULL");
    ok_u64(caught.lines, 4, "each is in the log");
    ok(!axvcpu_percpu_is_enabled(NULL), "NULL is not enabled");
    ok_u64(axvcpu_percpu_max_guest_page_table_levels(NULL), 0, "NULL has no page tables");
    ok_u64(mock.length, 0, "the backend is not asked");
}

static void test_getters(void)
{
    static const uint32_t levels[] = { [UNINITIALISED] = 0, [IDLE] = 5, [ENABLED] = 5, [FOREIGN] = 0 };
    enum start s;

    for (s = UNINITIALISED; s < START_COUNT; s++) {
        start(s);
        ok(axvcpu_percpu_is_enabled(&cpu) == (s == ENABLED), "is_enabled of one that is %s", start_names[s]);
        ok_u64(axvcpu_percpu_max_guest_page_table_levels(&cpu), levels[s], "levels of one that is %s", start_names[s]);
    }
    ok(axvcpu_has_hardware_support(), "has_hardware_support is the backend's word");
}

int main(void)
{
    tap_begin(30);
    test_rows();
    test_failing();
    test_failed_init_is_not_enabled();
    test_deinit_disables_first();
    test_cpu_ids();
    test_abi();
    test_null();
    test_getters();
    return tap_done();
}
