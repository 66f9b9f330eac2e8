// SPDX-License-Identifier: Apache-2.0
//
// What only the hardware backend has, seen from its host: second-stage tables, VMIDs, fences between harts,
// written pages, registers on demand, set-up choices, what it leaves of the host's own registers. It includes
// the host, to see what is private.
#include "../../examples/bare/host.c"

#define RAM UINT64_C(0x80000000)
#define DATA UINT64_C(0x90000000)
#define LARGE (UINT64_C(2) << 20)
enum { PAGE = 4096, RAM_PAGES = 4, PLAIN = 0x0a000000, TRAPPED };

// The guest's operations, in the order of hs_guest.S.
enum op { LOAD, STORE, CALL, TIME, DEADLINE, ENABLE, BREAKPOINT, ILLEGAL, SET_F, GET_F, SET_V, GET_V, GET_VL, WAIT, FENCE };

extern const uint8_t guest_worker[], guest_worker_end[];

// ---- threads, which own vCPUs: one for each CPU, and one that goes from one to another

static struct host_thread threads[HOST_CPUS], wanderer;

static void be(struct host_thread *thread)
{
    thread->cpu = HOST_CPU();
    HOST_CPU()->thread = thread;
}

// ---- a VM

struct guest {
    struct axvm vm;
    struct axvcpu vcpus[2];
    struct axvcpu_exit x;
    void *ram;
};
static struct guest one, two;
static char note[64];

// What went wrong last; shown with a case that fails.
static void remember(const char *text)
{
    size_t i = 0;
    for (; text[i] && i < sizeof note - 1; i++)
        note[i] = text[i];
    note[i] = 0;
}

static bool must(bool good, const char *what)
{
    if (!good)
        remember(what);
    return good;
}

static bool build(struct guest *g, uint32_t mode, const struct axvcpu_arch_setup *setup)
{
    struct axvcpu_arch_setup setups[2];
    struct axvm_desc d = {.vcpus = g->vcpus, .vcpu_count = 2, .bsp_entry = axvcpu_gpa(RAM), .ap_entry = axvcpu_gpa(RAM),
                          .arch.mode = mode, .setups = setup ? setups : NULL};
    if (setup)
        setups[0] = setups[1] = *setup;
    g->ram = host_alloc(RAM_PAGES);
    memcpy(g->ram, guest_worker, (size_t)(guest_worker_end - guest_worker));
    return must(axvm_init(&g->vm, &d) == 0, "init") &&
           must(axvm_map(&g->vm, axvcpu_gpa(RAM), axvcpu_from_ptr(g->ram), RAM_PAGES * PAGE, AXVM_MAP_RWX) == 0, "map") &&
           must(axvm_boot(&g->vm) == 0, "boot");
}

static void drop(struct guest *g)
{
    for (uint32_t i = 0; i < 2; i++)
        if (axvcpu_get_state(&g->vcpus[i]) == AXVCPU_STATE_READY)
            axvcpu_unbind(&g->vcpus[i]);
    axvm_deinit(&g->vm);
    host_free(g->ram, RAM_PAGES);
}

// Run to the next exit that is not the host's own.
static uint32_t run(struct guest *g, struct axvcpu *v)
{
    int err;
    while ((err = axvcpu_run(v, &g->x)) == 0 && g->x.kind == AXVCPU_EXIT_EXTERNAL_INTERRUPT)
        AXVCPU_IRQ_HANDLER(g->x.irq.vector);
    return err == 0 ? g->x.kind : AXVCPU_EXIT_NOTHING;
}

static bool is_call(const struct guest *g, uint64_t nr)
{
    return g->x.kind == AXVCPU_EXIT_HYPERCALL && g->x.hypercall.nr == nr;
}

// Bound, and asks for its first operation.
static bool start(struct guest *g, uint32_t id)
{
    struct axvcpu *v = &g->vcpus[id];
    return must(axvcpu_bind(v) == 0, "bind") && run(g, v) && must(is_call(g, PLAIN), "the first call");
}

static void order(struct axvcpu *v, enum op op, uint64_t a0, uint64_t a1)
{
    axvcpu_set_gpr(v, 10, a0);
    axvcpu_set_gpr(v, 11, a1);
    axvcpu_set_gpr(v, 12, op);
}

// The operation, and the next exit; true if it was done.
static bool done(struct guest *g, uint32_t id, enum op op, uint64_t a0, uint64_t a1)
{
    order(&g->vcpus[id], op, a0, a1);
    run(g, &g->vcpus[id]);
    return is_call(g, PLAIN);
}

static uint32_t g_kind(const struct guest *g)
{
    return g->x.kind;
}

static bool g_is_mmio(const struct guest *g)
{
    return g->x.kind == AXVCPU_EXIT_MMIO_WRITE || g->x.kind == AXVCPU_EXIT_MMIO_READ;
}

static uint64_t result(struct guest *g, uint32_t id, enum op op, uint64_t a0)
{
    return done(g, id, op, a0, 0) ? g->x.hypercall.args[1] : ~UINT64_C(0);
}

static bool trapped(struct guest *g, uint32_t id, enum op op, uint64_t a1, uint64_t cause)
{
    order(&g->vcpus[id], op, 0, a1);
    run(g, &g->vcpus[id]);
    return is_call(g, TRAPPED) && g->x.hypercall.args[0] == cause;
}

static void report(bool good, const char *name)
{
    host_case(good, name);
    if (!good && note[0]) {
        host_print("# ");
        host_print(note);
        host_print("\n");
    }
    note[0] = 0;
}

// ---- tables

static uint32_t level_of(struct guest *g, uint64_t gpa, uint64_t *pte)
{
    uint32_t level = 0;
    *pte = *axvcpu_i_riscv_entry(&g->vm.arch, gpa, &level, false);
    return level;
}

// One leaf of each size, made, read by the guest, and gone.
static bool leaf_at(struct guest *g, uint64_t gpa, uint64_t hpa, uint64_t size, uint32_t level, uint64_t offset)
{
    uint64_t *word = (uint64_t *)(uintptr_t)(hpa + offset), was = *word, nonce = host_random(), pte;
    bool good = must(axvm_map(&g->vm, axvcpu_gpa(gpa), axvcpu_from_hpa(axvcpu_hpa(hpa)), size, AXVM_MAP_RWX) == 0, "map") &&
                must(level_of(g, gpa, &pte) == level && pte >> 10 << 12 == hpa, "leaf");
    *word = nonce;
    good = good && must(result(g, 0, LOAD, gpa + offset) == nonce, "what the guest reads");
    *word = was;
    good = must(axvm_unmap(&g->vm, axvcpu_gpa(gpa), size) == 0, "unmap") && good;
    good = must(!done(g, 0, LOAD, gpa, 0) && g->x.kind == AXVCPU_EXIT_MMIO_READ && g->x.mmio.addr == gpa, "nothing is there") && good;
    axvcpu_complete(&g->vcpus[0], 0);
    return must(run(g, &g->vcpus[0]) == AXVCPU_EXIT_HYPERCALL, "it goes on") && good;
}

static bool leaf(struct guest *g, uint64_t gpa, uint64_t hpa, uint64_t size, uint32_t level)
{
    return leaf_at(g, gpa, hpa, size, level, 0);
}

static bool leaves(uint32_t mode)
{
    size_t before = host_free_pages();
    uint64_t large = axvcpu_host_alloc_frame(512, LARGE).addr;
    // one page too high; and the half of it, above which QEMU 7.2 has no guest addresses: it extends their sign
    uint64_t end = UINT64_C(1) << (mode == AXVCPU_RISCV_HGATP_SV48X4 ? 50 : 41), half = end / 2;
    bool good = build(&one, mode, NULL) && start(&one, 0) &&
                must((axvm_root(&one.vm).addr & 0x3fff) == 0, "16 KiB") &&
                leaf(&one, DATA, large + PAGE, PAGE, 0) && leaf(&one, DATA + PAGE, large, PAGE, 0) &&
                leaf(&one, DATA, large, LARGE, 1) && leaf(&one, DATA, large, LARGE, 1) &&
                leaf_at(&one, UINT64_C(4) << 30, UINT64_C(2) << 30, UINT64_C(1) << 30, 2, large - (UINT64_C(2) << 30)) &&
                leaf(&one, half - LARGE, large, LARGE, 1) && leaf(&one, half - PAGE, large, PAGE, 0) &&
                must(axvm_map(&one.vm, axvcpu_gpa(end), axvcpu_from_hpa(axvcpu_hpa(large)), PAGE, AXVM_MAP_RWX) == AXVCPU_EINVAL, "beyond");
    drop(&one);
    host_free((void *)(uintptr_t)large, 512);
    return must(host_free_pages() == before, "frames") && good;
}

// 2 MiB and a page on both sides: neighbours stay.
static bool mixed(void)
{
    uint64_t large = axvcpu_host_alloc_frame(1024, LARGE).addr, pte;
    bool good = build(&one, 0, NULL) && start(&one, 0) &&
                axvm_map(&one.vm, axvcpu_gpa(DATA - PAGE), axvcpu_from_hpa(axvcpu_hpa(large + LARGE - PAGE)), LARGE + 2 * PAGE,
                         AXVM_MAP_RWX) == AXVCPU_OK &&
                level_of(&one, DATA - PAGE, &pte) == 0 && level_of(&one, DATA, &pte) == 1 && level_of(&one, DATA + LARGE, &pte) == 0 &&
                axvm_map(&one.vm, axvcpu_gpa(DATA + LARGE + PAGE), axvcpu_from_hpa(axvcpu_hpa(large)), PAGE, AXVM_MAP_RWX) == 0 &&
                axvm_unmap(&one.vm, axvcpu_gpa(DATA - PAGE), LARGE + 2 * PAGE) == 0 &&
                done(&one, 0, LOAD, DATA + LARGE + PAGE, 0) && !done(&one, 0, LOAD, DATA + LARGE, 0);
    drop(&one);
    host_free((void *)(uintptr_t)large, 1024);
    return good;
}

// Takes all frames but n; the list of them.
static void **take_all(size_t n)
{
    void **held = NULL, *frame;
    while ((frame = host_alloc(1)) != NULL) {
        *(void **)frame = held;
        held = frame;
    }
    for (; n > 0; n--, held = frame) {
        frame = *held;
        host_free(held, 1);
    }
    return held;
}

static void give_all(void **held)
{
    for (void *next; held; held = next) {
        next = *held;
        host_free(held, 1);
    }
}

// The n-th frame is refused, for every n: an error, and nothing stays.
static bool no_frames(void)
{
    size_t before = host_free_pages();
    bool good = true;
    for (size_t n = 0; n <= 3 && good; n++) {
        good = build(&one, AXVCPU_RISCV_HGATP_SV48X4, NULL);
        void **held = take_all(n);
        int err = axvm_map(&one.vm, axvcpu_gpa(UINT64_C(1) << 45), axvcpu_from_ptr(one.ram), PAGE, AXVM_MAP_RWX);
        good = good && must(err == (n < 3 ? AXVCPU_ENOMEM : AXVCPU_OK), "a page needs three tables");
        give_all(held);
        drop(&one);
    }
    return must(host_free_pages() == before, "frames") && good;
}

// ---- VMIDs

static bool vmid_width(void)
{
    return must(percpu[0].arch.vmid_bits == 14 && percpu[0].arch.levels == 4, "QEMU has 14 bits and Sv48x4") &&
           axvcpu_percpu_max_guest_page_table_levels(&percpu[0]) == 4;
}

// With two bits there are three: in turn, again, and none.
static bool vmids(void)
{
    uint32_t bits = axvcpu_i_riscv_min_vmid_bits, taken[4], i;
    bool good = true;
    axvcpu_i_riscv_min_vmid_bits = 2 + 1;
    axvcpu_i_riscv_next_vmid = 0;
    for (i = 0; i < 4; i++)
        taken[i] = axvcpu_i_riscv_take_vmid();
    good = must(taken[0] == 1 && taken[1] == 2 && taken[2] == 3 && taken[3] == 0, "1, 2, 3, none");
    axvcpu_i_riscv_give_vmid(2);
    good = must(axvcpu_i_riscv_take_vmid() == 2, "the one that is free") && good;
    axvcpu_i_riscv_give_vmid(1);
    axvcpu_i_riscv_give_vmid(3);
    good = must(axvcpu_i_riscv_take_vmid() == 3 && axvcpu_i_riscv_take_vmid() == 1, "in turn") && good;
    for (i = 0; i < 4; i++)
        axvcpu_i_riscv_give_vmid(i);
    axvcpu_i_riscv_min_vmid_bits = bits;
    return good;
}

// All 16383, and around.
static bool vmid_rollover(void)
{
    uint32_t first = axvcpu_i_riscv_take_vmid(), i, vmid = 0, last = first;
    bool good = must(first != 0, "one");
    for (i = 0; i < 20000 && good; i++, last = vmid) {
        vmid = axvcpu_i_riscv_take_vmid();
        good = must(vmid != 0 && vmid != first && vmid != last, "each is another one");
        axvcpu_i_riscv_vmids[vmid / 64] &= ~(UINT64_C(1) << vmid % 64); // as given, without 20000 fences
    }
    axvcpu_i_riscv_give_vmid(first);
    return good;
}

// Two VMs at the same addresses, the second one with VMIDs as they come when there are few of them: `bits`.
static bool apart(uint32_t bits)
{
    uint32_t was = axvcpu_i_riscv_min_vmid_bits;
    bool good = true;
    axvcpu_i_riscv_min_vmid_bits = bits + 1;
    for (uint32_t i = 0; i < 6 && good; i++) {
        good = build(&one, 0, NULL) && build(&two, 0, NULL) && start(&one, 0) && start(&two, 0) &&
               must(bits == 0 || axvm_vmid(&one.vm) != axvm_vmid(&two.vm), "VMIDs") &&
               must(bits != 0 || (axvm_vmid(&one.vm) == 0 && axvm_vmid(&two.vm) == 0), "no VMIDs") &&
               done(&one, 0, STORE, RAM + PAGE, 1) && done(&two, 0, STORE, RAM + PAGE, 2) &&
               must(result(&one, 0, LOAD, RAM + PAGE) == 1 && result(&two, 0, LOAD, RAM + PAGE) == 2, "its own memory");
        drop(&two);
        good = good && must(result(&one, 0, LOAD, RAM + PAGE) == 1, "its own still");
        drop(&one);
    }
    axvcpu_i_riscv_min_vmid_bits = was;
    return good;
}

// ---- another hart

static uint32_t seen;
static uint64_t wait_at = DATA, wait_satp;

// vCPU 1 there: waits until a word changes; what ends it is in x.
static void waits(void *arg)
{
    struct guest *g = arg;
    be(&threads[1]);
    static struct axvcpu_exit x;
    struct axvcpu *v = &g->vcpus[1];
    uint32_t kind = AXVCPU_EXIT_NOTHING;
    if (axvcpu_bind(v) == 0 && axvcpu_run(v, &x) == 0 && x.kind == AXVCPU_EXIT_HYPERCALL) {
        axvcpu_set_reg(v, AXVCPU_REG_SYS(0x180), wait_satp);
        order(v, WAIT, wait_at, 0);
        __atomic_store_n(&seen, 1, __ATOMIC_SEQ_CST);
        while (axvcpu_run(v, &x) == 0 && x.kind == AXVCPU_EXIT_EXTERNAL_INTERRUPT)
            AXVCPU_IRQ_HANDLER(x.irq.vector);
        kind = x.kind;
    }
    axvcpu_unbind(v);
    __atomic_store_n(&seen, 0x100 + kind, __ATOMIC_SEQ_CST);
}

static bool begin_waiting_in(struct guest *g, uint64_t *word, uint64_t pages)
{
    *word = 1;
    __atomic_store_n(&seen, 0, __ATOMIC_SEQ_CST);
    if (!build(g, 0, NULL) || axvm_map(&g->vm, axvcpu_gpa(DATA), axvcpu_from_ptr(word), pages * PAGE, AXVM_MAP_RWX) != 0 ||
        !must(host_start_job(1, waits, g), "a second hart"))
        return false;
    while (__atomic_load_n(&seen, __ATOMIC_SEQ_CST) == 0)
        host_pause(1000);
    host_pause(1000000); // it is in its loop by now, with the translation in its TLB
    return true;
}

static bool begin_waiting(struct guest *g, uint64_t *word)
{
    return begin_waiting_in(g, word, 1);
}

// What is unmapped here the guest there does not see any more; what is mapped instead it does.
static bool fence_unmaps(void)
{
    uint64_t *word = host_alloc(1);
    bool good = begin_waiting(&one, word) && must(axvm_unmap(&one.vm, axvcpu_gpa(DATA), PAGE) == 0, "unmap");
    *word = 0; // what it waits for, if it still sees it
    host_wait_job(1);
    good = good && must(seen == 0x100 + AXVCPU_EXIT_MMIO_READ, "its access is one to nowhere");
    drop(&one);
    host_free(word, 1);
    return good;
}

static bool fence_changes(void)
{
    uint64_t *word = host_alloc(2);
    bool good = begin_waiting(&one, word);
    word[PAGE / 8] = 0; // what it waits for
    good = good && must(axvm_unmap(&one.vm, axvcpu_gpa(DATA), PAGE) == 0, "unmap") &&
           must(axvm_map(&one.vm, axvcpu_gpa(DATA), axvcpu_from_ptr(word + PAGE / 8), PAGE, AXVM_MAP_RWX) == 0, "map");
    word[0] = 0; // without a fence, too, it comes to its end
    host_wait_job(1);
    good = good && must(seen == 0x100 + AXVCPU_EXIT_HYPERCALL || seen == 0x100 + AXVCPU_EXIT_MMIO_READ, "it sees the other page");
    drop(&one);
    host_free(word, 2);
    return good;
}

// The guest's own tables: what one hart changes and has fenced the other one sees. Virtual is physical, but for
// a page at WINDOW.
#define WINDOW UINT64_C(0xc0000000)
static bool guest_fence(void)
{
    uint64_t *pages = host_alloc(6), *root = pages + 2 * PAGE / 8, *l1 = root + PAGE / 8, *l0 = l1 + PAGE / 8;
    bool good = pages != NULL;
    pages[0] = 1;
    root[2] = RAM >> 2 | 0xcf;
    root[3] = (DATA + 3 * PAGE) >> 2 | 1;
    l1[0] = (DATA + 4 * PAGE) >> 2 | 1;
    l0[0] = DATA >> 2 | 0xcf;
    wait_at = WINDOW;
    wait_satp = UINT64_C(8) << 60 | (DATA + 2 * PAGE) >> 12;
    good = good && begin_waiting_in(&one, pages, 6) && must(start(&one, 0), "the first hart");
    l0[0] = (DATA + PAGE) >> 2 | 0xcf;
    order(&one.vcpus[0], FENCE, 2, 0);
    axvcpu_set_gpr(&one.vcpus[0], 13, UINT64_MAX); // everything
    do // here its exit is served
        good = good && axvm_step(&one.vm, 0, &one.x) == 0;
    while (good && one.x.kind == AXVCPU_EXIT_EXTERNAL_INTERRUPT);
    good = good && must(one.x.kind == AXVCPU_EXIT_REMOTE_FENCE, "REMOTE_FENCE") && run(&one, &one.vcpus[0]) == AXVCPU_EXIT_HYPERCALL &&
           must(one.x.hypercall.args[1] == 0, "its answer");
    host_wait_job(1);
    good = good && must(seen == 0x100 + AXVCPU_EXIT_HYPERCALL, "it sees the other page");
    wait_at = DATA;
    wait_satp = 0;
    drop(&one);
    host_free(pages, 6);
    return good;
}

static bool writes_far_away;
static void writes(void *arg)
{
    struct guest *g = arg;
    be(&threads[1]);
    static struct axvcpu_exit x;
    struct axvcpu *v = &g->vcpus[1];
    bool good = axvcpu_bind(v) == 0;
    for (uint64_t page = 0; page <= 600 && good; page++) {
        do
            good = axvcpu_run(v, &x) == 0;
        while (good && x.kind == AXVCPU_EXIT_EXTERNAL_INTERRUPT);
        good = good && x.kind == AXVCPU_EXIT_HYPERCALL;
        order(v, STORE, DATA + page % 512 * PAGE + 8, page);
    }
    axvcpu_unbind(v);
    writes_far_away = good;
}

// ---- LOG_DIRTY

static uint64_t bitmap[16];

static uint32_t count_dirty(struct guest *g, uint64_t gpa, uint64_t size)
{
    uint32_t n = 0;
    if (axvm_riscv_dirty(&g->vm, axvcpu_gpa(gpa), size, bitmap) != 0)
        return 9999;
    for (uint64_t i = 0; i < size / PAGE; i++)
        n += bitmap[i / 64] >> i % 64 & 1;
    return n;
}

static bool map_logged(struct guest *g, uint64_t hpa, uint64_t size)
{
    return must(axvm_map(&g->vm, axvcpu_gpa(DATA), axvcpu_from_hpa(axvcpu_hpa(hpa)), size, AXVM_MAP_RWX | AXVM_MAP_LOG_DIRTY) == 0, "map");
}

static bool logs(void)
{
    size_t before = host_free_pages();
    uint64_t large = axvcpu_host_alloc_frame(1024, LARGE).addr, pte;
    bool good = build(&one, 0, NULL) && map_logged(&one, large, 2 * LARGE) && start(&one, 0) &&
                must(level_of(&one, DATA, &pte) == 1, "large leaves") && must(count_dirty(&one, DATA, 2 * LARGE) == 0, "none") &&
                done(&one, 0, LOAD, DATA, 0) && done(&one, 0, STORE, DATA + 5 * PAGE, 7) && done(&one, 0, STORE, DATA + 70 * PAGE, 7) &&
                must(level_of(&one, DATA + 5 * PAGE, &pte) == 0 && level_of(&one, DATA + LARGE, &pte) == 1, "one is split") &&
                must(count_dirty(&one, DATA, 2 * LARGE) == 2 && bitmap[0] == 1 << 5 && bitmap[1] == 1 << 6, "two") &&
                must(count_dirty(&one, DATA, 2 * LARGE) == 0, "none since") &&
                done(&one, 0, STORE, DATA + 5 * PAGE, 8) && must(count_dirty(&one, DATA + 5 * PAGE, PAGE) == 1, "again") &&
                must(*(uint64_t *)(uintptr_t)(large + 5 * PAGE) == 8, "written");
    good = good && must(axvm_riscv_dirty(&one.vm, axvcpu_gpa(RAM), PAGE, bitmap) == AXVCPU_EINVAL, "not logged") &&
           must(axvm_riscv_dirty(&one.vm, axvcpu_gpa(DATA), PAGE + 1, bitmap) == AXVCPU_EINVAL, "no pages") &&
           must(axvm_riscv_dirty(&one.vm, axvcpu_gpa(DATA), 4 * LARGE, bitmap) == AXVCPU_EINVAL, "too many") &&
           must(axvm_riscv_dirty(&one.vm, axvcpu_gpa(DATA), PAGE, NULL) == AXVCPU_EINVAL, "NULL") &&
           must(axvm_unmap(&one.vm, axvcpu_gpa(DATA), 2 * LARGE) == 0, "unmap") && !done(&one, 0, STORE, DATA, 1) &&
           must(g_is_mmio(&one), "gone");
    drop(&one);
    host_free((void *)(uintptr_t)large, 1024);
    return must(host_free_pages() == before, "frames") && good;
}

// Both harts write the same pages while they are asked for: none is missed, nobody hangs.
static bool logs_two_harts(void)
{
    uint64_t large = axvcpu_host_alloc_frame(512, LARGE).addr;
    bool good = build(&one, 0, NULL) && map_logged(&one, large, LARGE) && start(&one, 0) &&
                must(host_start_job(1, writes, &one), "a second hart");
    uint64_t ever[8] = {0};
    for (uint64_t page = 0; page < 512 && good; page++) {
        good = must(done(&one, 0, STORE, DATA + (511 - page) * PAGE, page), "store");
        if (page % 64 == 0 || page == 511) {
            good = must(count_dirty(&one, DATA, LARGE) <= 512, "collect");
            for (uint32_t i = 0; i < 8; i++)
                ever[i] |= bitmap[i];
        }
    }
    host_wait_job(1);
    good = good && count_dirty(&one, DATA, LARGE) <= 512;
    for (uint32_t i = 0; i < 8; i++)
        good = good && must((ever[i] | bitmap[i]) == UINT64_MAX, "every page");
    good = good && must(writes_far_away, "the other hart");
    drop(&one);
    host_free((void *)(uintptr_t)large, 512);
    return good;
}

static bool logs_without_frames(void)
{
    uint64_t large = axvcpu_host_alloc_frame(512, LARGE).addr;
    bool good = build(&one, 0, NULL) && map_logged(&one, large, LARGE) && start(&one, 0);
    void **held = take_all(0);
    good = good && done(&one, 0, STORE, DATA + 3 * PAGE, 1) && must(count_dirty(&one, DATA, PAGE) == 1, "its first page") &&
           must(count_dirty(&one, DATA + 9 * PAGE, LARGE - 9 * PAGE) == 503, "all but nine") &&
           must(count_dirty(&one, DATA, LARGE) == 512, "all of it") &&
           must(count_dirty(&one, DATA, LARGE) == 0, "none since");
    give_all(held);
    drop(&one);
    host_free((void *)(uintptr_t)large, 512);
    return good;
}

// ---- registers on demand

static bool keeps(const struct axvcpu_arch_setup *setup, enum op set, enum op get)
{
    bool good = build(&one, 0, setup) && build(&two, 0, setup) && start(&one, 0) && start(&two, 0);
    for (uint64_t i = 0; i < 4 && good; i++)
        good = done(&one, 0, set, 0, 100 + i) && done(&two, 0, set, 0, 200 + i) && must(result(&one, 0, get, 0) == 100 + i, "the first one's") &&
               must(result(&two, 0, get, 0) == 200 + i, "the second one's") && axvcpu_unbind(&one.vcpus[0]) == 0 &&
               must(result(&two, 0, get, 0) == 200 + i, "alone") && axvcpu_bind(&one.vcpus[0]) == 0;
    drop(&one);
    drop(&two);
    return good;
}

// What vsetvli set is there again, too: e64, m1, tail and mask agnostic (vector 1.0, 3.4).
static bool keeps_vl(void)
{
    uint64_t vl = percpu[0].arch.vlenb / 8, wanted = UINT64_C(0xd8) << 32 | vl;
    bool good = build(&one, 0, NULL) && build(&two, 0, NULL) && start(&one, 0) && start(&two, 0) && done(&one, 0, SET_V, 0, 1) &&
                must(result(&two, 0, GET_VL, 0) == 0, "none is set at first") && must(result(&one, 0, GET_VL, 0) == wanted, "vl, vtype");
    drop(&one);
    drop(&two);
    return good;
}

// A guest without a use for them does not pay for them.
static bool lazy(void)
{
    bool good = build(&one, 0, NULL) && start(&one, 0) && done(&one, 0, LOAD, RAM, 0) &&
                must((one.vcpus[0].arch.sstatus & (AXVCPU_RISCV_SSTATUS_FS | AXVCPU_RISCV_SSTATUS_VS)) == 0, "off") &&
                done(&one, 0, SET_F, 0, 1) && must((one.vcpus[0].arch.sstatus & AXVCPU_RISCV_SSTATUS_FS) != 0, "on");
    good = good && trapped(&one, 0, ILLEGAL, 0, AXVCPU_RISCV_CAUSE_ILLEGAL);
    drop(&one);
    return good;
}

// The host's to keep: they are not touched.
static bool owned(void)
{
    struct axvcpu_arch_setup setup = {.fp = AXVCPU_RISCV_FP_OWNED};
    bool good = build(&one, 0, &setup) && build(&two, 0, &setup) && start(&one, 0) && start(&two, 0) && done(&one, 0, SET_F, 0, 5) &&
                must(result(&two, 0, GET_F, 0) == 5, "the same registers");
    drop(&one);
    drop(&two);
    return good;
}

static bool bad_setup(void)
{
    struct axvcpu_arch_setup setup = {.fp = 3};
    struct axvcpu v;
    struct axvcpu_desc d = {0};
    bool good = axvcpu_init(&v, &d) == 0 && axvcpu_setup(&v, axvcpu_gpa(0), axvcpu_hpa(RAM), &setup) == AXVCPU_EINVAL;
    setup.fp = 0;
    setup.vmid = 0x4000;
    good = axvcpu_reset(&v) == 0 && axvcpu_setup(&v, axvcpu_gpa(0), axvcpu_hpa(RAM), &setup) == AXVCPU_EINVAL && good;
    setup.vmid = 0;
    setup.mode = 10;
    good = axvcpu_reset(&v) == 0 && axvcpu_setup(&v, axvcpu_gpa(0), axvcpu_hpa(RAM), &setup) == AXVCPU_EINVAL && good;
    setup.mode = 0;
    good = axvcpu_reset(&v) == 0 && axvcpu_setup(&v, axvcpu_gpa(0), axvcpu_hpa(RAM + PAGE), &setup) == AXVCPU_EINVAL && good;
    good = axvcpu_reset(&v) == 0 && axvcpu_setup(&v, axvcpu_gpa(1), axvcpu_hpa(RAM), &setup) == AXVCPU_EINVAL && good;
    return axvcpu_deinit(&v) == 0 && good;
}

static bool no_frame_for_vectors(void)
{
    struct axvcpu v;
    struct axvcpu_desc d = {0};
    bool good = axvcpu_init(&v, &d) == 0;
    void **held = take_all(0);
    good = axvcpu_setup(&v, axvcpu_gpa(0), axvcpu_hpa(RAM), NULL) == AXVCPU_ENOMEM && good;
    give_all(held);
    return axvcpu_deinit(&v) == 0 && good;
}

// ---- set-up choices

// The host's own tables, without a VM.
static bool own_tables(void)
{
    struct axvcpu_arch_setup setup = {.mode = AXVCPU_RISCV_HGATP_SV48X4, .vmid = 77};
    struct axvcpu_desc d = {0};
    struct axvcpu *v = &two.vcpus[0];
    bool good = build(&one, AXVCPU_RISCV_HGATP_SV48X4, NULL) && axvcpu_init(v, &d) == 0 &&
                axvcpu_setup(v, axvcpu_gpa(RAM), axvm_root(&one.vm), &setup) == 0 && start(&two, 0) &&
                must(axvcpu_i_riscv_read_hgatp() == (UINT64_C(9) << 60 | UINT64_C(77) << 44 | axvm_root(&one.vm).addr >> 12), "hgatp") &&
                done(&two, 0, STORE, RAM + PAGE, 9) && ((uint64_t *)one.ram)[PAGE / 8] == 9;
    axvcpu_unbind(v);
    axvcpu_deinit(v);
    drop(&one);
    return good;
}

static bool choice_hedeleg(void)
{
    struct axvcpu_arch_setup setup = {.hedeleg_clear = 1u << AXVCPU_RISCV_CAUSE_BREAKPOINT};
    bool good = build(&one, 0, NULL) && start(&one, 0) && trapped(&one, 0, BREAKPOINT, 0, AXVCPU_RISCV_CAUSE_BREAKPOINT);
    drop(&one);
    good = build(&one, 0, &setup) && start(&one, 0) && !done(&one, 0, BREAKPOINT, 0, 0) && g_kind(&one) == AXVCPU_EXIT_DEBUG && good;
    drop(&one);
    return good;
}

static bool choice_hideleg(void)
{
    struct axvcpu_arch_setup setup = {.hideleg_clear = 1u << (AXVCPU_RISCV_IRQ_SOFT + 1)};
    bool good = build(&one, 0, &setup) && start(&one, 0) && done(&one, 0, ENABLE, 0, 1u << AXVCPU_RISCV_IRQ_SOFT) &&
                axvcpu_inject_interrupt(&one.vcpus[0], AXVCPU_RISCV_IRQ_SOFT) == 0;
    // sie cannot enable what hideleg keeps: the guest goes on, and the host finds it pending
    good = good && done(&one, 0, LOAD, RAM, 0) && (axvcpu_i_riscv_read_hvip() & 4) != 0;
    axvcpu_i_riscv_write_hie(4);
    good = good && !done(&one, 0, LOAD, RAM, 0) && must(g_kind(&one) == AXVCPU_EXIT_RAW, "RAW") &&
           must(one.x.raw == (AXVCPU_RISCV_CAUSE_IRQ | 2), "its cause");
    axvcpu_i_riscv_write_hie(0);
    drop(&one);
    return good;
}

static bool choice_counters(void)
{
    struct axvcpu_arch_setup setup = {.hcounteren_clear = 2}; // time
    bool good = build(&one, 0, NULL) && start(&one, 0) && done(&one, 0, TIME, 0, 0);
    drop(&one);
    good = build(&one, 0, &setup) && start(&one, 0) && !done(&one, 0, TIME, 0, 0) && g_kind(&one) == AXVCPU_EXIT_SYSREG_READ &&
           one.x.sysreg.addr == 0xc01 && axvcpu_complete(&one.vcpus[0], 1234) == 0 && run(&one, &one.vcpus[0]) &&
           one.x.hypercall.args[1] == 1234 && good;
    drop(&one);
    return good;
}

static bool choice_sstc(void)
{
    struct axvcpu_arch_setup setup = {.henvcfg_clear = AXVCPU_RISCV_HENVCFG_STCE};
    bool good = build(&one, 0, NULL) && start(&one, 0) && (percpu[0].arch.sstc == 0 || done(&one, 0, DEADLINE, 0, 0));
    drop(&one);
    good = build(&one, 0, &setup) && start(&one, 0) && !done(&one, 0, DEADLINE, 0, 0) &&
           (is_call(&one, TRAPPED) || one.x.kind == AXVCPU_EXIT_SYSREG_READ) && good;
    drop(&one);
    return good;
}

// ---- harts

static bool loaded_there;
static void goes_on(void *thread)
{
    struct axvcpu *v = &one.vcpus[0];
    be(thread);
    loaded_there = axvcpu_load(v) == 0 && result(&one, 0, GET_F, 0) == 0x77 && result(&one, 0, LOAD, RAM + PAGE) == 0x88 &&
                   done(&one, 0, SET_F, 0, 0x99) && axvcpu_put(v) == 0;
    be(&threads[1]);
}

// A thread that has a vCPU goes to another hart and comes back.
static bool put_and_load(void)
{
    be(&wanderer);
    bool good = build(&one, 0, NULL) && start(&one, 0) && done(&one, 0, SET_F, 0, 0x77) && done(&one, 0, STORE, RAM + PAGE, 0x88) &&
                must(axvcpu_put(&one.vcpus[0]) == 0, "put");
    for (int i = 0; i < 3 && good; i++) {
        be(&threads[0]);
        good = must(axvcpu_load(&one.vcpus[0]) == AXVCPU_EBUSY, "not ours") && host_start_job(1, goes_on, &wanderer);
        host_wait_job(1);
        be(&wanderer);
        good = good && must(loaded_there, "there") && must(axvcpu_load(&one.vcpus[0]) == 0, "back") &&
               must(result(&one, 0, GET_F, 0) == 0x99, "what it had there") && done(&one, 0, SET_F, 0, 0x77) &&
               must(axvcpu_put(&one.vcpus[0]) == 0, "put again");
    }
    good = good && axvcpu_load(&one.vcpus[0]) == 0;
    drop(&one);
    be(&threads[0]);
    return good;
}

static bool bound_there;
static void binds(void *arg)
{
    (void)arg;
    be(&threads[1]);
    bound_there = axvcpu_bind(&one.vcpus[0]) == 0 && result(&one, 0, GET_F, 0) == 0x55 && done(&one, 0, SET_F, 0, 0x66) &&
                  axvcpu_unbind(&one.vcpus[0]) == 0;
}

static bool unbind_and_bind(void)
{
    bool good = build(&one, 0, NULL) && start(&one, 0);
    for (int i = 0; i < 3 && good; i++) {
        good = done(&one, 0, SET_F, 0, 0x55) && axvcpu_unbind(&one.vcpus[0]) == 0 && host_start_job(1, binds, NULL);
        host_wait_job(1);
        good = good && must(bound_there, "there") && axvcpu_bind(&one.vcpus[0]) == 0 && must(result(&one, 0, GET_F, 0) == 0x66, "back");
    }
    drop(&one);
    return good;
}

// ---- interrupts

// Each vCPU has its own pending and enabled interrupts, whoever else runs on this hart.
static bool apart_interrupts(void)
{
    uint64_t sip[2] = {0}, sie[2] = {0};
    bool good = build(&one, 0, NULL) && start(&one, 0) && start(&one, 1) && done(&one, 0, ENABLE, 0, 0x200) && done(&one, 1, ENABLE, 0, 0x20) &&
                axvcpu_inject_interrupt(&one.vcpus[0], AXVCPU_RISCV_IRQ_SOFT) == 0 && done(&one, 1, LOAD, RAM, 0) &&
                done(&one, 0, LOAD, RAM, 0) && done(&one, 1, LOAD, RAM, 0);
    for (uint32_t i = 0; i < 2; i++)
        good = axvcpu_get_reg(&one.vcpus[i], AXVCPU_REG_SYS(0x144), &sip[i]) == 0 &&
               axvcpu_get_reg(&one.vcpus[i], AXVCPU_REG_SYS(0x104), &sie[i]) == 0 && good;
    good = good && must(sip[0] == 2 && sip[1] == 0, "sip") && must(sie[0] == 0x200 && sie[1] == 0x20, "sie");
    drop(&one);
    return good;
}

// ---- the host's own registers

#define HOST_CSRS(X) X(stvec) X(sscratch) X(hstatus) X(scounteren) X(senvcfg) X(sstatus)
enum {
#define COUNT_CSR(name) HOST_##name,
    HOST_CSRS(COUNT_CSR) HOST_CSR_COUNT
};

static void read_host(uint64_t *values)
{
#define READ_CSR(name) values[HOST_##name] = axvcpu_i_riscv_read_##name();
    HOST_CSRS(READ_CSR)
}

static bool same(const uint64_t *a, const uint64_t *b, uint32_t from)
{
    for (uint32_t i = from; i < HOST_CSR_COUNT; i++)
        if (a[i] != b[i])
            return false;
    return true;
}

static bool restores(void)
{
    uint64_t before[HOST_CSR_COUNT], now[HOST_CSR_COUNT];
    bool good;
    axvcpu_i_riscv_write_scounteren(5);
    axvcpu_i_riscv_write_senvcfg(0x40);
    read_host(before);
    good = build(&one, 0, NULL) && start(&one, 0) && done(&one, 0, SET_F, 0, 1);
    read_host(now);
    good = good && must(now[HOST_stvec] == before[HOST_stvec] && now[HOST_sscratch] == before[HOST_sscratch] &&
                        now[HOST_sstatus] == before[HOST_sstatus] && (now[HOST_hstatus] & AXVCPU_RISCV_HSTATUS_SPV) == 0, "between runs");
    drop(&one);
    read_host(now);
    axvcpu_i_riscv_write_scounteren(0);
    axvcpu_i_riscv_write_senvcfg(0);
    return must(same(before, now, 0), "after unbind") && good;
}

static bool disables(void)
{
    struct axvcpu_percpu *p = &percpu[0];
    bool good = build(&one, 0, NULL) && start(&one, 0) && must(axvcpu_percpu_disable(p) == AXVCPU_EBUSY, "while a vCPU is here");
    good = axvcpu_unbind(&one.vcpus[0]) == 0 && must(axvcpu_percpu_disable(p) == 0, "disable") && good;
    good = must(axvcpu_i_riscv_read_hedeleg() == p->arch.hedeleg && axvcpu_i_riscv_read_hideleg() == p->arch.hideleg &&
                axvcpu_i_riscv_read_hcounteren() == p->arch.hcounteren && axvcpu_i_riscv_read_henvcfg() == p->arch.henvcfg &&
                axvcpu_i_riscv_read_hgatp() == 0 && axvcpu_i_riscv_read_hvip() == 0, "as it was") && good;
    good = must(axvcpu_bind(&one.vcpus[0]) == AXVCPU_ENOSUPPORT, "bind on a hart that is not enabled") && good;
    good = must(axvcpu_percpu_enable(p) == 0, "enable") && good;
    axvcpu_reset(&one.vcpus[0]);
    drop(&one);
    return good;
}

// What the hart has; and one that is not like the others is refused, with the reason in the log.
static bool probes(void)
{
    struct axvcpu_percpu p;
    bool good = must(axvcpu_has_hardware_support(), "the H extension") &&
                must(axvcpu_percpu_init(&p, 1) == AXVCPU_EINVAL, "another hart's") && must(axvcpu_percpu_init(&p, 0) == 0, "init");
    axvcpu_i_riscv_vlenb += 8;
    good = must(axvcpu_percpu_enable(&p) == AXVCPU_ENOSUPPORT, "other vector registers") && good;
    axvcpu_i_riscv_vlenb -= 8;
    return axvcpu_percpu_deinit(&p) == 0 && good;
}

// A mode that the harts lack.
static bool no_mode(void)
{
    bool good;
    axvcpu_i_riscv_min_levels = 3;
    struct axvm_desc d = {.vcpus = one.vcpus, .vcpu_count = 1, .arch.mode = AXVCPU_RISCV_HGATP_SV48X4};
    good = axvm_init(&one.vm, &d) == AXVCPU_ENOSUPPORT;
    d.arch.mode = 7;
    good = axvm_init(&one.vm, &d) == AXVCPU_EINVAL && good;
    axvcpu_i_riscv_min_levels = 4;
    return good;
}

int host_main(void)
{
    const struct axvcpu_arch_setup eager = {.fp = AXVCPU_RISCV_FP_EAGER};
    be(&threads[0]);
    report(probes(), "trap_33: what the hart has is asked");
    report(no_mode(), "trap_33: a mode that is not there is refused");
    report(leaves(AXVCPU_RISCV_HGATP_SV39X4), "Sv39x4: leaves of every size");
    report(leaves(AXVCPU_RISCV_HGATP_SV48X4), "Sv48x4: leaves of every size");
    report(mixed(), "unmap leaves the neighbours");
    report(no_frames(), "a frame that is refused: nothing stays");
    report(vmid_width(), "VMID width and levels as QEMU has them");
    report(vmids(), "VMIDs: in turn, none twice, none left");
    report(vmid_rollover(), "VMIDs: around");
    report(apart(14), "two VMs by VMID");
    report(apart(2), "two VMs when VMIDs are few");
    report(apart(0), "two VMs on harts without VMIDs");
    report(fence_unmaps(), "an unmapped page is gone for the other hart");
    report(fence_changes(), "... and another one in its place is there");
    report(guest_fence(), "a guest's remote fence reaches the other hart");
    report(apart_interrupts(), "trap_32: hvip and hie are each vCPU's own");
    report(logs(), "LOG_DIRTY: pages of large leaves");
    report(logs_two_harts(), "LOG_DIRTY: two harts");
    report(logs_without_frames(), "LOG_DIRTY: without frames");
    report(lazy(), "FP: off until it is used");
    report(keeps(NULL, SET_F, GET_F), "FP: lazy");
    report(keeps(&eager, SET_F, GET_F), "FP: eager");
    report(owned(), "FP: owned");
    if (percpu[0].arch.vlenb != 0) {
        report(keeps(NULL, SET_V, GET_V), "vectors: lazy");
        report(keeps(&eager, SET_V, GET_V), "vectors: eager");
        report(keeps_vl(), "vectors: vl and vtype");
        report(no_frame_for_vectors(), "vectors: no frame for them");
    } else {
        report(build(&one, 0, NULL) && start(&one, 0) && trapped(&one, 0, SET_V, 0, AXVCPU_RISCV_CAUSE_ILLEGAL), "vectors: there are none");
        drop(&one);
    }
    report(bad_setup(), "set-ups that are refused");
    report(own_tables(), "the host's own tables and VMID");
    report(choice_hedeleg(), "hedeleg_clear");
    report(choice_hideleg(), "hideleg_clear");
    report(choice_counters(), "hcounteren_clear");
    report(choice_sstc(), "henvcfg_clear");
    report(put_and_load(), "a thread takes its vCPU to another hart and back");
    report(unbind_and_bind(), "a vCPU is bound on another hart and back");
    report(restores(), "the host's registers");
    report(disables(), "disable");
    return 0;
}
