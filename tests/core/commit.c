// SPDX-License-Identifier: Apache-2.0
// flags: -UAXVCPU_ARCH_FAKE -DAXVCPU_ARCH_HEADER="tests/core/mock.h"
//
// What the backend is asked for when an access is committed: further exits of the same instruction, the
// promise that the guest is entered next, and a commit that fails.
#include "core.h"

static struct axvcpu vcpu;
static struct axvcpu_exit x;

#define MMIO(what, address) { .kind = AXVCPU_EXIT_MMIO_##what, .mmio = { address, 9, 4, 5, 8, false } }
static const struct axvcpu_exit first_read = MMIO(READ, 0x1000), first_write = MMIO(WRITE, 0x1000);
static const struct axvcpu_exit then_read = MMIO(READ, 0x2000), then_write = MMIO(WRITE, 0x2000);

// The guest has exited with `first`; the same instruction exits with `then` when that is committed.
static void perform(const struct axvcpu_exit *first, const struct axvcpu_exit *then)
{
    memset(&mock, 0, sizeof(mock));
    mock.exits = first;
    mock.exit_count = 1;
    mock.further = then;
    mock.further_count = then != NULL;
    bound(&vcpu);
    must(axvcpu_run(&vcpu, &x) == AXVCPU_OK && x.kind == first->kind);
}

static uint64_t pc(void)
{
    return vcpu.arch.pc;
}

// ---- trap 11: `add [mmio], 1` is a read and a write

static void test_settle_loops(void)
{
    perform(&first_read, &then_write);
    must(axvcpu_complete(&vcpu, 41) == AXVCPU_OK);
    ok(axvcpu_settle(&vcpu, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_MMIO_WRITE && x.mmio.addr == 0x2000,
       "trap 11: settle returns a further exit of the instruction");
    ok_u64(pc(), ENTRY, "trap 11: the PC is still on it");
    ok(axvcpu_settle(&vcpu, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_NOTHING,
       "trap 11: called again, all is committed");
    ok_u64(pc(), ENTRY + 4, "trap 11: now the PC is past it");
    ok(axvcpu_settle(&vcpu, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_NOTHING && mock.committed == 2,
       "trap 11: two commits, no more");
    ok_u64(mock.entered, 1, "trap 11: the guest did not run meanwhile");
}

static void test_run_returns_it(void)
{
    perform(&first_read, &then_write);
    must(axvcpu_complete(&vcpu, 41) == AXVCPU_OK);
    ok(axvcpu_run(&vcpu, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_MMIO_WRITE && mock.entered == 1,
       "trap 11: run returns the further exit without entering");
    ok(axvcpu_get_state(&vcpu) == AXVCPU_STATE_READY && axvcpu_current() == NULL, "trap 11: the vCPU is Ready");
    ok(axvcpu_run(&vcpu, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_HALT && mock.entered == 2 && mock.committed == 2,
       "trap 11: the next run commits and enters");
}

static void test_further_read(void)
{
    perform(&first_read, &then_read);
    must(axvcpu_complete(&vcpu, 1) == AXVCPU_OK && axvcpu_settle(&vcpu, &x) == AXVCPU_OK);
    ok(x.kind == AXVCPU_EXIT_MMIO_READ && x.mmio.addr == 0x2000, "a further exit may be a read");
    ok_int(axvcpu_settle(&vcpu, &x), AXVCPU_EPENDING, "it is to be answered: settle");
    ok_int(axvcpu_run(&vcpu, &x), AXVCPU_EPENDING, "it is to be answered: run");
    must(axvcpu_complete(&vcpu, 2) == AXVCPU_OK && axvcpu_settle(&vcpu, &x) == AXVCPU_OK);
    ok(x.kind == AXVCPU_EXIT_NOTHING && vcpu.arch.gpr[5] == 2, "answered, it is committed");
}

static int to_free(void)
{
    return axvcpu_unbind(&vcpu);
}

static int to_blocked(void)
{
    return axvcpu_block(&vcpu);
}

static int to_put(void)
{
    return axvcpu_put(&vcpu);
}

static void test_further_exit_elsewhere(void)
{
    static const struct {
        const char *name;
        int (*fn)(void);
        enum axvcpu_state state;
    } rows[] = {
        { "Free", to_free, AXVCPU_STATE_FREE },
        { "Blocked", to_blocked, AXVCPU_STATE_BLOCKED },
        { "Ready, put", to_put, AXVCPU_STATE_READY },
    };
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        perform(&first_write, &then_read);
        must(rows[i].fn() == AXVCPU_OK);
        ok(axvcpu_settle(&vcpu, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_MMIO_READ &&
               axvcpu_get_state(&vcpu) == rows[i].state,
           "settle in %s returns a further exit", rows[i].name);
        ok(axvcpu_settle(&vcpu, &x) == AXVCPU_EPENDING && axvcpu_complete(&vcpu, 2) == AXVCPU_OK &&
               axvcpu_settle(&vcpu, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_NOTHING && vcpu.arch.gpr[5] == 2 &&
               axvcpu_get_state(&vcpu) == rows[i].state,
           "which is answered and settled in %s", rows[i].name);
    }
}

// ---- order: the further exit comes before a kick

static void test_order(void)
{
    perform(&first_write, &then_write);
    must(axvcpu_kick(&vcpu) == AXVCPU_OK && axvcpu_inject_interrupt(&vcpu, 40) == AXVCPU_OK);
    ok(axvcpu_run(&vcpu, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_MMIO_WRITE,
       "order: the further exit comes before the kick");
    ok(axvcpu_run(&vcpu, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_CANCELED && mock.committed == 2,
       "order: then its commit and the kick");
    ok_u64(mock.taken[40], 0, "order: nothing is injected for that");
    ok(axvcpu_run(&vcpu, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_HALT && mock.taken[40] == 1,
       "order: then the interrupt and the guest");
}

// ---- the promise that leaf_run follows at once

static void test_entering(void)
{
#ifndef MOCK_RUN_COMMITS // else run does not even ask
    perform(&first_write, NULL);
    must(axvcpu_run(&vcpu, &x) == AXVCPU_OK);
    ok(mock.entering, "entering: run promises to enter");
#endif
    perform(&first_write, NULL);
    must(axvcpu_settle(&vcpu, &x) == AXVCPU_OK);
    ok(!mock.entering, "entering: settle does not");
    perform(&first_write, NULL);
    must(axvcpu_kick(&vcpu) == AXVCPU_OK && axvcpu_run(&vcpu, &x) == AXVCPU_OK);
    ok(!mock.entering, "entering: run with a kick does not");
}

// A backend that leaves the commit to leaf_run, because it was promised.
static void test_deferred_commit(void)
{
    perform(&first_read, NULL);
    mock.commit_at_run = true;
    must(axvcpu_complete(&vcpu, 41) == AXVCPU_OK && axvcpu_run(&vcpu, &x) == AXVCPU_OK);
    ok(mock.committed == 1 && vcpu.arch.gpr[5] == 41 && pc() == ENTRY + 4,
       "a commit that is left to leaf_run happens there");
}

static void kick_in_commit(struct axvcpu *v, enum mock_leaf leaf)
{
    if (leaf == MOCK_commit)
        (void)axvcpu_kick(v);
}

static void inject_in_commit(struct axvcpu *v, enum mock_leaf leaf)
{
    if (leaf == MOCK_commit)
        (void)axvcpu_inject_interrupt(v, 40);
}

// What comes while the backend commits must not break the promise, or the commit must be asked for again.
static void check_promise(void (*inside)(struct axvcpu *, enum mock_leaf), const char *what)
{
    perform(&first_read, NULL);
    mock.commit_at_run = true;
    must(axvcpu_complete(&vcpu, 41) == AXVCPU_OK);
    mock.inside = inside;
    must(axvcpu_run(&vcpu, &x) == AXVCPU_OK);
    mock.inside = NULL;
    must(axvcpu_settle(&vcpu, &x) == AXVCPU_OK);
    ok(mock.committed == 1 && vcpu.arch.gpr[5] == 41 && pc() == ENTRY + 4,
       "%s that comes during the commit: after settle the access is committed, once", what);
}

static void test_promise(void)
{
    check_promise(kick_in_commit, "a kick");
    check_promise(inject_in_commit, "an interrupt");
}

// ---- a commit that fails

static void test_failed_settle(void)
{
    perform(&first_read, &then_write);
    must(axvcpu_complete(&vcpu, 41) == AXVCPU_OK);
    mock.fail_at = mock.total + 1;
    mock.fail_with = AXVCPU_EFAULT;
    ok(axvcpu_settle(&vcpu, &x) == AXVCPU_EFAULT && x.kind == AXVCPU_EXIT_NOTHING &&
           axvcpu_get_state(&vcpu) == AXVCPU_STATE_READY,
       "a settle that fails: its error, NOTHING, the state stays");
    ok(axvcpu_settle(&vcpu, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_MMIO_WRITE &&
           axvcpu_settle(&vcpu, &x) == AXVCPU_OK,
       "it may be tried again");
    ok(vcpu.arch.gpr[5] == 41 && pc() == ENTRY + 4, "and nothing was lost");
}

static void test_failed_settle_can_be_retried_by_the_guest(void)
{
    perform(&first_write, NULL);
    mock.fail_at = mock.total + 1;
    mock.fail_with = AXVCPU_ENOSUPPORT;
    must(axvcpu_settle(&vcpu, &x) == AXVCPU_ENOSUPPORT);
    ok(axvcpu_retry(&vcpu) == AXVCPU_OK && axvcpu_settle(&vcpu, &x) == AXVCPU_OK && pc() == ENTRY,
       "a write that could not be settled may still be retried");
}

static void test_failed_run(void)
{
    perform(&first_write, NULL);
    mock.fail_at = mock.total + 1;
    mock.fail_with = AXVCPU_EIO;
    ok(axvcpu_run(&vcpu, &x) == AXVCPU_EIO && x.kind == AXVCPU_EXIT_NOTHING &&
           axvcpu_get_state(&vcpu) == AXVCPU_STATE_INVALID && vcpu.owner == NULL && !vcpu.arch.bound,
       "a commit that fails in run: Invalid, unbound, nobody's");
}

int main(void)
{
    tap_begin(30);
    test_settle_loops();
    test_run_returns_it();
    test_further_read();
    test_further_exit_elsewhere();
    test_order();
    test_entering();
    test_deferred_commit();
    test_promise();
    test_failed_settle();
    test_failed_settle_can_be_retried_by_the_guest();
    test_failed_run();
    return tap_done();
}
