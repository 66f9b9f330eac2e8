// SPDX-License-Identifier: Apache-2.0
//
// A backend by AXVCPU_ARCH_HEADER that writes every call down, fails where it is told to, and lets a test
// act in the middle of any leaf. Use it with
//
//     // flags: -UAXVCPU_ARCH_FAKE -DAXVCPU_ARCH_HEADER="tests/core/mock.h"
//
// One thread at a time may use it; `mock` is all its state. -DMOCK_RUN_COMMITS: entering the guest commits, as
// with KVM.
#ifndef MOCK_H
#define MOCK_H

#define AXVCPU_LEAF_NAME "mock"
#define AXVCPU_LEAF_GPRS 16
#define AXVCPU_LEAF_RETURN_GPR 0
#define AXVCPU_LEAF_VECTORS 1020 /* as a GIC; not a multiple of 64 */
#define AXVCPU_LEAF_VECTOR_OK(n) ((n) != 1019)
#ifdef MOCK_RUN_COMMITS
#define AXVCPU_LEAF_RUN_COMMITS 1
#endif
#define AXVM_LEAF_UP_OK 0
#define AXVM_LEAF_UP_ALREADY 1
#define AXVM_LEAF_UP_INVALID 2
#define AXVM_LEAF_UP_ANSWERS false
#define AXVM_LEAF_PAGE 4096u

// Those that return an error can fail.
#define MOCK_LEAVES(X)                                                                                         \
    X(create) X(reset) X(set_entry) X(set_root) X(setup) X(restart) X(bind) X(unbind) X(put) X(load) X(run)    \
    X(commit) X(retry) X(refuse) X(get_reg) X(set_reg) X(inject) X(inject_exception) X(inject_hw)              \
    X(percpu_init) X(percpu_enable) X(percpu_disable) X(destroy) X(percpu_deinit)
#define MOCK_ENUM(name) MOCK_##name,
enum mock_leaf { MOCK_LEAVES(MOCK_ENUM) MOCK_COUNT };
#define MOCK_CAN_FAIL MOCK_destroy /* all below it */

#define MOCK_PC AXVCPU_REG_PC

struct axvcpu_arch_create { int fail; };
struct axvcpu_arch_setup { uint64_t value; };
struct axvcpu_arch_percpu { uint64_t secret; }; // what percpu_init leaves for the others to find
struct axvm_arch_desc { uint32_t unused; };
struct axvm_arch { uint32_t unused; };
struct axvcpu_arch { uint64_t gpr[AXVCPU_LEAF_GPRS], pc, entry, root, setup_value; bool bound, masked; };

struct mock {
    uint64_t calls[MOCK_COUNT], total; // total: of those that can fail
    enum mock_leaf journal[256];
    size_t length;
    uint64_t fail_at; // the call, counted by total, that fails; 0: none
    int fail_with;
    enum mock_leaf failed;                     // which leaf that was
    unsigned not_current; // leaves that found another vCPU current than theirs
    const struct axvcpu_exit *exits, *further; // what run returns next (then HALT), and what commit does
    size_t exit_count, further_count;
    bool due;           // an access is to be committed
    bool entering;      // what the last commit was told
    bool commit_at_run; // it leaves the commit to run then
    uint64_t committed, entered, taken[AXVCPU_LEAF_VECTORS];
    uint64_t exception[3];
    void (*inside)(struct axvcpu *, enum mock_leaf); // called in the middle of every leaf
    void (*kicked)(struct axvcpu *, void *owner);
};
__attribute__((unused)) static struct mock mock;

__attribute__((unused)) static const char *mock_name(enum mock_leaf leaf)
{
#define MOCK_STRING(name) #name,
    static const char *const names[] = { MOCK_LEAVES(MOCK_STRING) };

    return names[leaf];
}

AXVCPU_LEAF_DECLARE(AXVCPU_API, AXVCPU_API)
#endif

#if defined(AXVCPU_LEAF_CODE) && !defined(MOCK_CODE)
#define MOCK_CODE

static void mock_write(enum mock_leaf leaf)
{
    mock.calls[leaf]++;
    if (mock.length < sizeof(mock.journal) / sizeof(mock.journal[0]))
        mock.journal[mock.length++] = leaf;
}

static int mock_call(struct axvcpu *v, enum mock_leaf leaf)
{
    void (*inside)(struct axvcpu *, enum mock_leaf) = mock.inside;

    mock_write(leaf);
    mock.not_current += v != NULL && leaf != MOCK_inject_hw && axvcpu_current() != v;
    mock.inside = NULL; // what happens inside does not nest
    if (inside != NULL)
        inside(v, leaf);
    mock.inside = inside;
    if (leaf >= MOCK_CAN_FAIL || ++mock.total != mock.fail_at)
        return AXVCPU_OK;
    mock.failed = leaf;
    return mock.fail_with;
}

AXVCPU_API int axvcpu_leaf_create(struct axvcpu *v, const struct axvcpu_arch_create *create)
{
    int err = mock_call(v, MOCK_create);

    return err != 0 ? err : create->fail;
}

AXVCPU_API void axvcpu_leaf_destroy(struct axvcpu *v)
{
    (void)mock_call(v, MOCK_destroy);
}

AXVCPU_API int axvcpu_leaf_reset(struct axvcpu *v)
{
    memset(axvcpu_arch(v), 0, sizeof(struct axvcpu_arch));
    mock.due = false;
    return mock_call(v, MOCK_reset);
}

AXVCPU_API int axvcpu_leaf_set_entry(struct axvcpu *v, axvcpu_gpa_t entry)
{
    axvcpu_arch(v)->entry = axvcpu_arch(v)->pc = entry.addr;
    return mock_call(v, MOCK_set_entry);
}

AXVCPU_API int axvcpu_leaf_set_root(struct axvcpu *v, axvcpu_hpa_t root)
{
    axvcpu_arch(v)->root = root.addr;
    return mock_call(v, MOCK_set_root);
}

AXVCPU_API int axvcpu_leaf_setup(struct axvcpu *v, const struct axvcpu_arch_setup *setup)
{
    axvcpu_arch(v)->setup_value = setup->value;
    return mock_call(v, MOCK_setup);
}

AXVCPU_API int axvcpu_leaf_restart(struct axvcpu *v, axvcpu_gpa_t entry, uint64_t arg)
{
    memset(axvcpu_arch(v)->gpr, 0, sizeof(axvcpu_arch(v)->gpr));
    axvcpu_arch(v)->gpr[0] = arg;
    axvcpu_arch(v)->pc = entry.addr;
    mock.due = false;
    return mock_call(v, MOCK_restart);
}

AXVCPU_API int axvcpu_leaf_bind(struct axvcpu *v)
{
    int err = mock_call(v, MOCK_bind);

    axvcpu_arch(v)->bound = err == 0;
    return err;
}

AXVCPU_API int axvcpu_leaf_unbind(struct axvcpu *v)
{
    axvcpu_arch(v)->bound = false;
    return mock_call(v, MOCK_unbind);
}

#define MOCK_PLAIN(name)                             \
    AXVCPU_API int axvcpu_leaf_##name(struct axvcpu *v) \
    {                                                \
        return mock_call(v, MOCK_##name);            \
    }
MOCK_PLAIN(put)
MOCK_PLAIN(load)
MOCK_PLAIN(refuse)

AXVCPU_API int axvcpu_leaf_retry(struct axvcpu *v)
{
    int err = mock_call(v, MOCK_retry);

    mock.due = mock.due && err != 0;
    return err;
}

// Takes the next record of a list and has the guest wait for it if it is an access.
static bool mock_take(struct axvcpu *v, const struct axvcpu_exit **list, size_t *count, struct axvcpu_exit *x)
{
    if (*count == 0)
        return false;
    *x = *(*list)++;
    --*count;
    mock.due = ((AXVCPU_READ_KINDS | AXVCPU_WRITE_KINDS) >> x->kind & 1u) != 0;
    if (mock.due)
        axvcpu_await(v, x);
    return true;
}

// Register, then a further exit of the instruction or the PC. Whether it was the exit.
static bool mock_commit(struct axvcpu *v, struct axvcpu_exit *x)
{
    const struct axvcpu_answer *a = axvcpu_access(v);

    mock.committed++;
    mock.due = false;
    if ((AXVCPU_READ_KINDS >> a->kind & 1u) != 0 && a->kind != AXVCPU_EXIT_CPUID && a->reg < AXVCPU_LEAF_GPRS)
        axvcpu_arch(v)->gpr[a->reg] = axvcpu_access_result(a, axvcpu_arch(v)->gpr[a->reg]);
    if (mock_take(v, &mock.further, &mock.further_count, x))
        return true;
    axvcpu_arch(v)->pc += 4;
    return false;
}

static bool mock_leaves_it_to_run(void)
{
#ifdef MOCK_RUN_COMMITS
    return true;
#else
    return mock.commit_at_run;
#endif
}

AXVCPU_API int axvcpu_leaf_commit(struct axvcpu *v, struct axvcpu_exit *x, bool entering)
{
    int err = mock_call(v, MOCK_commit);

    mock.entering = entering;
    if (err == 0 && !(entering && mock_leaves_it_to_run()))
        (void)mock_commit(v, x);
    if (err != 0)
        x->kind = AXVCPU_EXIT_RAW; // nobody may see that
    return err;
}

AXVCPU_API int axvcpu_leaf_run(struct axvcpu *v, struct axvcpu_exit *x)
{
    static const struct axvcpu_exit halt = { .kind = AXVCPU_EXIT_HALT };
    int err = mock_call(v, MOCK_run);

    if (err != 0)
        x->kind = AXVCPU_EXIT_RAW; // nobody may see that
    if (err != 0 || (mock.due && mock_leaves_it_to_run() && mock_commit(v, x)))
        return err;
    mock.entered++;
    if (!mock_take(v, &mock.exits, &mock.exit_count, x))
        *x = halt;
    return AXVCPU_OK;
}

static uint64_t *mock_reg(struct axvcpu *v, uint64_t id)
{
    return AXVCPU_REG_CLASS(id) == 0 ? &axvcpu_arch(v)->gpr[id] : id == MOCK_PC ? &axvcpu_arch(v)->pc : NULL;
}

AXVCPU_API int axvcpu_leaf_get_reg(struct axvcpu *v, uint64_t id, uint64_t *value)
{
    int err = mock_call(v, MOCK_get_reg);

    if (err != 0 || mock_reg(v, id) == NULL)
        return err != 0 ? err : AXVCPU_ENOSUPPORT;
    *value = *mock_reg(v, id);
    return AXVCPU_OK;
}

AXVCPU_API int axvcpu_leaf_set_reg(struct axvcpu *v, uint64_t id, uint64_t value)
{
    int err = mock_call(v, MOCK_set_reg);

    if (err != 0 || mock_reg(v, id) == NULL)
        return err != 0 ? err : AXVCPU_ENOSUPPORT;
    *mock_reg(v, id) = value;
    return AXVCPU_OK;
}

// One vector for each entry, like a single injection slot.
AXVCPU_API int axvcpu_leaf_inject(struct axvcpu *v, uint32_t *what)
{
    int vector = axvcpu_irq_next(v), err = mock_call(v, MOCK_inject);

    if (err != 0)
        return err;
    *what = 0;
    if (vector < 0)
        return AXVCPU_OK;
    mock.taken[vector]++;
    axvcpu_irq_take(v, (uint32_t)vector);
    *what = axvcpu_irq_next(v) >= 0 ? AXVCPU_ATTN_IRQ : 0;
    return AXVCPU_OK;
}

AXVCPU_API int axvcpu_leaf_inject_exception(struct axvcpu *v, uint32_t vector, uint64_t error, uint64_t addr)
{
    mock.exception[0] = vector;
    mock.exception[1] = error;
    mock.exception[2] = addr;
    return mock_call(v, MOCK_inject_exception);
}

AXVCPU_API int axvcpu_leaf_inject_hw(struct axvcpu *v, uint32_t vintid, uint32_t pintid)
{
    (void)vintid, (void)pintid;
    return mock_call(v, MOCK_inject_hw);
}

AXVCPU_API bool axvcpu_leaf_wakes(const struct axvcpu *v, bool queued)
{
    return queued && !v->arch.masked;
}

AXVCPU_API void axvcpu_leaf_kick(struct axvcpu *v, void *owner)
{
    if (mock.kicked != NULL)
        mock.kicked(v, owner);
}

AXVCPU_API int axvcpu_leaf_percpu_init(struct axvcpu_percpu *p, uint32_t cpu_id)
{
    int err = mock_call(NULL, MOCK_percpu_init);

    p->arch.secret = 100 + cpu_id;
    return err;
}

AXVCPU_API void axvcpu_leaf_percpu_deinit(struct axvcpu_percpu *p)
{
    (void)p;
    (void)mock_call(NULL, MOCK_percpu_deinit);
}

AXVCPU_API int axvcpu_leaf_percpu_enable(struct axvcpu_percpu *p)
{
    (void)p;
    return mock_call(NULL, MOCK_percpu_enable);
}

AXVCPU_API int axvcpu_leaf_percpu_disable(struct axvcpu_percpu *p)
{
    (void)p;
    return mock_call(NULL, MOCK_percpu_disable);
}

AXVCPU_API uint32_t axvcpu_leaf_max_guest_page_table_levels(const struct axvcpu_percpu *p)
{
    return p->arch.secret < 100 ? 0 : 5;
}

AXVCPU_API bool axvcpu_leaf_supported(void)
{
    return true;
}

// The VM's leaves are for other tests.
AXVCPU_API int axvm_leaf_init(struct axvm *vm, const struct axvm_arch_desc *desc)
{
    (void)vm, (void)desc;
    return AXVCPU_OK;
}

AXVCPU_API void axvm_leaf_deinit(struct axvm *vm)
{
    (void)vm;
}

AXVCPU_API int axvm_leaf_map(struct axvm *vm, uint32_t slot, const struct axvm_mapping *map)
{
    (void)vm, (void)slot, (void)map;
    return AXVCPU_OK;
}

AXVCPU_API int axvm_leaf_unmap(struct axvm *vm, uint32_t slot, const struct axvm_mapping *map)
{
    (void)vm, (void)slot, (void)map;
    return AXVCPU_OK;
}

AXVCPU_API axvcpu_hpa_t axvm_leaf_root(const struct axvm *vm)
{
    (void)vm;
    return axvcpu_hpa(0);
}

AXVCPU_API uint32_t axvm_leaf_vmid(const struct axvm *vm)
{
    return vm->id;
}

AXVCPU_API int axvm_leaf_irq_line(struct axvm *vm, uint32_t line, bool level)
{
    (void)vm, (void)line, (void)level;
    return AXVCPU_ENOSUPPORT;
}

AXVCPU_API bool axvm_leaf_is_target(const struct axvcpu *v, uint64_t target)
{
    return v->vcpu_id == target;
}

AXVCPU_API enum axvm_answer axvm_leaf_answer(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x)
{
    (void)vm, (void)v, (void)x;
    return AXVM_RETURN;
}
#endif
