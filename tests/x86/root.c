// SPDX-License-Identifier: Apache-2.0
//
// What only the hardware backend has, seen from its host: second-stage tables, written pages, memory that is taken
// away while another CPU is in the guest. It includes the host, to see what is private.
#include "../../examples/bare/host.c"

extern uint64_t machine_gdt[8];
#define DATA UINT64_C(0x40000000)
#define LARGE (UINT64_C(2) << 20)
#define HUGE (UINT64_C(1) << 30)
enum { PAGE = 4096, RAM_PAGES = 16, ENTRY = 0x1000, TABLES = 0x8000, ASK = 0x10 };

// The guest's operations, in the order of root_guest.S.
enum op { LOAD, STORE, WAIT, COUNT, COPY, SCRIBBLE, DUMP, KEYS, INS, OUTS, BREAK };

extern const uint8_t guest_worker[], guest_worker_end[], guest_break[];

// Whether this is that substrate (machine.sh).
static bool is_on(const char *name)
{
    const char *at = host_argument("substrate");
    while (*name && *at == *name)
        at++, name++;
    return !*name;
}

// ---- a VM

struct guest {
    struct axvm vm;
    struct axvcpu vcpus[2];
    struct axvcpu_exit x;
    void *ram;
};
static struct guest one;
static char note[64];

// What went wrong last; shown with a case that fails.
static bool must(bool good, const char *what)
{
    size_t i = 0;
    for (; !good && what[i] && i < sizeof note - 1; i++)
        note[i] = what[i];
    if (!good)
        note[i] = 0;
    return good;
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

static bool build_as(struct guest *g, const struct axvcpu_arch_setup *setup)
{
    static struct axvcpu_arch_setup setups[2];
    struct axvm_desc d = { .vcpus = g->vcpus,
                           .vcpu_count = 2,
                           .bsp_entry = axvcpu_gpa(ENTRY),
                           .ap_entry = axvcpu_gpa(ENTRY),
                           .setups = setups };
    for (uint32_t i = 0; i < 2; i++)
        setups[i] = *setup;
    g->ram = host_alloc(RAM_PAGES);
    memcpy((char *)g->ram + ENTRY, guest_worker, (size_t)(guest_worker_end - guest_worker));
    return must(axvm_init(&g->vm, &d) == 0, "init") &&
           must(axvm_map(&g->vm, axvcpu_gpa(0), axvcpu_from_ptr(g->ram), RAM_PAGES * PAGE, AXVM_MAP_RWX) == 0, "map") &&
           must(axvm_boot(&g->vm) == 0, "boot");
}

static bool build(struct guest *g)
{
    return build_as(g, &(struct axvcpu_arch_setup){ .mode = AXVCPU_X86_LONG, .stack = TABLES, .tables = axvcpu_gpa(TABLES) });
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
static uint32_t run_to(struct axvcpu *v, struct axvcpu_exit *x)
{
    int err;
    while ((err = axvcpu_run(v, x)) == 0 && x->kind == AXVCPU_EXIT_EXTERNAL_INTERRUPT)
        AXVCPU_IRQ_HANDLER(x->irq.vector);
    return err == 0 ? x->kind : AXVCPU_EXIT_NOTHING;
}

static uint32_t run(struct guest *g, struct axvcpu *v)
{
    return run_to(v, &g->x);
}

static bool asks(const struct axvcpu_exit *x)
{
    return x->kind == AXVCPU_EXIT_IO_WRITE && x->io.port == ASK;
}

// Bound, and asks for its first operation.
static bool start(struct guest *g, uint32_t id)
{
    return must(axvcpu_bind(&g->vcpus[id]) == 0, "bind") &&
           must((run(g, &g->vcpus[id]), asks(&g->x)), "the first question");
}

static void order(struct axvcpu *v, enum op op, uint64_t rdi, uint64_t rsi)
{
    axvcpu_set_gpr(v, AXVCPU_X86_RDI, rdi);
    axvcpu_set_gpr(v, AXVCPU_X86_RSI, rsi);
    axvcpu_set_gpr(v, AXVCPU_X86_RCX, op);
}

// The operation, and the next exit; true if it was done.
static bool done(struct guest *g, uint32_t id, enum op op, uint64_t rdi, uint64_t rsi)
{
    order(&g->vcpus[id], op, rdi, rsi);
    run(g, &g->vcpus[id]);
    return asks(&g->x);
}

static uint64_t result(struct guest *g, uint32_t id, enum op op, uint64_t rdi)
{
    uint64_t value = ~UINT64_C(0);
    if (done(g, id, op, rdi, 0))
        axvcpu_get_gpr(&g->vcpus[id], AXVCPU_X86_RSI, &value);
    return value;
}

static bool is_mmio(const struct guest *g, uint32_t kind, uint64_t addr)
{
    return g->x.kind == kind && g->x.mmio.addr == addr;
}

// ---- tables

static uint32_t level_of(struct guest *g, uint64_t gpa, uint64_t *pte)
{
    uint32_t level;
    (void)axvcpu_i_x86_last(g->vm.arch.root.addr, gpa, &level, pte);
    return level;
}

// One leaf, made, read by the guest, and gone.
static bool leaf_at(struct guest *g, uint64_t gpa, uint64_t hpa, uint64_t size, uint32_t level, uint64_t offset)
{
    uint64_t *word = (uint64_t *)(uintptr_t)(hpa + offset), was = *word, nonce = host_random(), pte;
    bool good =
        must(axvm_map(&g->vm, axvcpu_gpa(gpa), axvcpu_from_hpa(axvcpu_hpa(hpa)), size, AXVM_MAP_RWX) == 0, "map") &&
        must(level_of(g, gpa, &pte) == level && (pte & AXVCPU_I_X86_PTE_ADDR) == hpa, "leaf");
    *word = nonce;
    good = good && must(result(g, 0, LOAD, gpa + offset) == nonce, "what the guest reads");
    *word = was;
    good = must(axvm_unmap(&g->vm, axvcpu_gpa(gpa), size) == 0, "unmap") && good;
    good = good && must(!done(g, 0, LOAD, gpa + offset, 0) && is_mmio(g, AXVCPU_EXIT_MMIO_READ, gpa + offset),
                        "nothing is there");
    axvcpu_complete(&g->vcpus[0], 0);
    return good && must((run(g, &g->vcpus[0]), asks(&g->x)), "it goes on");
}

static bool leaves(void)
{
    size_t before = host_free_pages();
    uint64_t large = axvcpu_host_alloc_frame(512, LARGE).addr;
    bool good = build(&one) && start(&one, 0) && leaf_at(&one, DATA + PAGE, large + PAGE, PAGE, 0, 0) &&
                leaf_at(&one, DATA + LARGE + PAGE, large, PAGE, 0, 0) &&
                leaf_at(&one, DATA + 2 * LARGE, large, LARGE, 1, 5 * PAGE) &&
                must(axvm_map(&one.vm, axvcpu_gpa(UINT64_C(1) << 48), axvcpu_from_hpa(axvcpu_hpa(large)), PAGE,
                              AXVM_MAP_RWX) == AXVCPU_EINVAL,
                     "beyond");
    drop(&one);
    host_free((void *)(uintptr_t)large, 512);
    return must(host_free_pages() == before, "frames") && good;
}

// A GiB of the host's: most of it is not memory, but the guest stays where it is.
static bool huge(void)
{
    size_t before = host_free_pages();
    uint64_t *word = host_alloc(1);
    bool good = build(&one) && start(&one, 0) &&
                leaf_at(&one, DATA, 0, HUGE, axvcpu_i_x86_has_1g ? 2 : 1, (uint64_t)(uintptr_t)word);
    drop(&one);
    host_free(word, 1);
    return must(host_free_pages() == before, "frames") && good;
}

// 2 MiB and a page on both sides: neighbours stay.
static bool mixed(void)
{
    uint64_t large = axvcpu_host_alloc_frame(1536, LARGE).addr, pte;
    bool good = build(&one) && start(&one, 0) &&
                axvm_map(&one.vm, axvcpu_gpa(DATA - PAGE), axvcpu_from_hpa(axvcpu_hpa(large + LARGE - PAGE)),
                         LARGE + 2 * PAGE, AXVM_MAP_RWX) == AXVCPU_OK &&
                must(level_of(&one, DATA - PAGE, &pte) == 0 && level_of(&one, DATA, &pte) == 1 &&
                         level_of(&one, DATA + LARGE, &pte) == 0,
                     "a page, a large leaf, a page") &&
                axvm_map(&one.vm, axvcpu_gpa(DATA + LARGE + PAGE), axvcpu_from_hpa(axvcpu_hpa(large)), PAGE,
                         AXVM_MAP_RWX) == 0 &&
                axvm_unmap(&one.vm, axvcpu_gpa(DATA - PAGE), LARGE + 2 * PAGE) == 0 &&
                must(done(&one, 0, LOAD, DATA + LARGE + PAGE, 0), "the neighbour") &&
                must(!done(&one, 0, LOAD, DATA + LARGE, 0), "it is gone");
    drop(&one);
    host_free((void *)(uintptr_t)large, 1536);
    return good;
}

// Takes all frames but n, without a look at them; and back.
enum { HELD = 2 };
static void take_all(size_t n)
{
    for (size_t i = 0; i < HOST_MEMORY_PAGES; i++)
        if (!used[i] && n > 0)
            n--;
        else if (!used[i])
            used[i] = HELD;
}

static void give_all(void)
{
    for (size_t i = 0; i < HOST_MEMORY_PAGES; i++)
        used[i] = used[i] == HELD ? 0 : used[i];
}

// The n-th frame is refused, for every n: an error, and nothing stays.
static bool no_frames(void)
{
    size_t before = host_free_pages();
    bool good = true;
    for (size_t n = 0; n <= 3 && good; n++) {
        good = build(&one);
        take_all(n);
        int err = axvm_map(&one.vm, axvcpu_gpa(UINT64_C(1) << 45), axvcpu_from_ptr(one.ram), PAGE, AXVM_MAP_RWX);
        good = good && must(err == (n < 3 ? AXVCPU_ENOMEM : AXVCPU_OK), "a page needs three tables");
        give_all();
        drop(&one);
    }
    return must(host_free_pages() == before, "frames") && good;
}

// ---- LOG_DIRTY

static uint64_t bitmap[16];

static uint32_t count_dirty(struct guest *g, uint64_t gpa, uint64_t size)
{
    uint32_t n = 0;
    if (axvm_x86_dirty(&g->vm, axvcpu_gpa(gpa), size, bitmap) != 0)
        return 9999;
    for (uint64_t i = 0; i < size / PAGE; i++)
        n += bitmap[i / 64] >> i % 64 & 1;
    return n;
}

static bool map_logged(struct guest *g, uint64_t hpa, uint64_t size)
{
    return must(axvm_map(&g->vm, axvcpu_gpa(DATA), axvcpu_from_hpa(axvcpu_hpa(hpa)), size,
                         AXVM_MAP_RWX | AXVM_MAP_LOG_DIRTY) == 0,
                "map");
}

static bool logs(void)
{
    size_t before = host_free_pages();
    uint64_t large = axvcpu_host_alloc_frame(1024, LARGE).addr, pte;
    bool good =
        build(&one) && map_logged(&one, large, 2 * LARGE) && start(&one, 0) &&
        must(level_of(&one, DATA, &pte) == 1, "large leaves") &&
        must(count_dirty(&one, DATA, 2 * LARGE) == 0, "none") && done(&one, 0, LOAD, DATA, 0) &&
        done(&one, 0, STORE, DATA + 5 * PAGE, 7) && done(&one, 0, STORE, DATA + 70 * PAGE, 7) &&
        must(level_of(&one, DATA + 5 * PAGE, &pte) == 0 && level_of(&one, DATA + LARGE, &pte) == 1, "one is split") &&
        must(count_dirty(&one, DATA, 2 * LARGE) == 2 && bitmap[0] == 1 << 5 && bitmap[1] == 1 << 6, "two") &&
        must(count_dirty(&one, DATA, 2 * LARGE) == 0, "none since") && done(&one, 0, STORE, DATA + 5 * PAGE, 8) &&
        must(count_dirty(&one, DATA + 5 * PAGE, PAGE) == 1, "again") &&
        must(*(uint64_t *)(uintptr_t)(large + 5 * PAGE) == 8, "written");
    good = good && must(axvm_x86_dirty(&one.vm, axvcpu_gpa(0), PAGE, bitmap) == AXVCPU_EINVAL, "not logged") &&
           must(axvm_x86_dirty(&one.vm, axvcpu_gpa(DATA), PAGE + 1, bitmap) == AXVCPU_EINVAL, "no pages") &&
           must(axvm_x86_dirty(&one.vm, axvcpu_gpa(DATA), 4 * LARGE, bitmap) == AXVCPU_EINVAL, "too many") &&
           must(axvm_x86_dirty(&one.vm, axvcpu_gpa(DATA), PAGE, NULL) == AXVCPU_EINVAL, "NULL") &&
           must(axvm_unmap(&one.vm, axvcpu_gpa(DATA), 2 * LARGE) == 0, "unmap") && !done(&one, 0, STORE, DATA, 1) &&
           must(is_mmio(&one, AXVCPU_EXIT_MMIO_WRITE, DATA), "gone");
    drop(&one);
    host_free((void *)(uintptr_t)large, 1024);
    return must(host_free_pages() == before, "frames") && good;
}

// What the library writes for the guest counts, too: movs from a device.
static bool logs_emulated(void)
{
    uint64_t page = axvcpu_host_alloc_frame(1, PAGE).addr;
    bool good =
        build(&one) && map_logged(&one, page, PAGE) && start(&one, 0) &&
        must(!done(&one, 0, COPY, DATA + PAGE, DATA + 8) && is_mmio(&one, AXVCPU_EXIT_MMIO_READ, DATA + PAGE),
             "read") &&
        axvcpu_complete(&one.vcpus[0], 0x77) == 0 && must((run(&one, &one.vcpus[0]), asks(&one.x)), "it goes on") &&
        must(*(uint64_t *)(uintptr_t)(page + 8) == 0x77, "written") &&
        must(count_dirty(&one, DATA, PAGE) == 1, "logged") && must(count_dirty(&one, DATA, PAGE) == 0, "none since");
    drop(&one);
    host_free((void *)(uintptr_t)page, 1);
    return good;
}

static bool wrote;
static void writes(void *arg)
{
    struct guest *g = arg;
    static struct axvcpu_exit x;
    struct axvcpu *v = &g->vcpus[1];
    bool good = axvcpu_bind(v) == 0;
    for (uint64_t page = 0; page <= 600 && good; page++) {
        run_to(v, &x);
        good = asks(&x);
        order(v, STORE, DATA + page % 512 * PAGE + 8, page);
    }
    axvcpu_unbind(v);
    wrote = good;
}

// Both CPUs write the same pages while they are asked for: none is missed, nobody hangs.
static bool logs_two(void)
{
    uint64_t large = axvcpu_host_alloc_frame(512, LARGE).addr, ever[8] = { 0 };
    bool good = build(&one) && map_logged(&one, large, LARGE) && start(&one, 0) &&
                must(host_start_job(1, writes, &one), "a second CPU");
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
    good = good && must(wrote, "the other CPU");
    drop(&one);
    host_free((void *)(uintptr_t)large, 512);
    return good;
}

// A GiB goes down to the page that is written, and no further.
static bool logs_huge(void)
{
    size_t before = host_free_pages();
    uint64_t *word = host_alloc(1), pte;
    uint64_t at = DATA + (uint64_t)(uintptr_t)word, large = at & ~(LARGE - 1);
    uint32_t top = axvcpu_i_x86_has_1g ? 2 : 1;
    bool good =
        build(&one) && map_logged(&one, 0, HUGE) && start(&one, 0) &&
        must(level_of(&one, at, &pte) == top, "the largest leaf") && done(&one, 0, LOAD, at, 0) &&
        must(level_of(&one, at, &pte) == top, "a read splits nothing") && done(&one, 0, STORE, at, 0x77) &&
        must(*word == 0x77, "written") && must(level_of(&one, at, &pte) == 0, "a page") &&
        must((pte & AXVCPU_I_X86_PTE_ADDR) == (uint64_t)(uintptr_t)word, "of the same address") &&
        must(level_of(&one, large + LARGE, &pte) == 1 && (pte & AXVCPU_I_X86_PTE_ADDR) == large + LARGE - DATA,
             "its neighbour") &&
        must(count_dirty(&one, large, LARGE) == 1 && count_dirty(&one, large, LARGE) == 0, "one is written") &&
        must(axvm_unmap(&one.vm, axvcpu_gpa(DATA), HUGE) == 0, "unmap") &&
        must(!done(&one, 0, STORE, at, 0x88) && is_mmio(&one, AXVCPU_EXIT_MMIO_WRITE, at), "all of it is gone") &&
        must(level_of(&one, large + LARGE, &pte) >= 1 && pte == 0, "... the neighbour, too");
    drop(&one);
    host_free(word, 1);
    return must(host_free_pages() == before, "frames") && good;
}

static bool logs_without_frames(void)
{
    uint64_t large = axvcpu_host_alloc_frame(512, LARGE).addr;
    bool good = build(&one) && map_logged(&one, large, LARGE) && start(&one, 0);
    take_all(0);
    good = good && done(&one, 0, STORE, DATA + 3 * PAGE, 1) && must(count_dirty(&one, DATA, PAGE) == 1, "a part") &&
           must(count_dirty(&one, DATA + 9 * PAGE, LARGE - 9 * PAGE) == 503, "all but nine") &&
           must(count_dirty(&one, DATA, LARGE) == 512, "all of it") &&
           must(count_dirty(&one, DATA, LARGE) == 0, "none since");
    give_all();
    drop(&one);
    host_free((void *)(uintptr_t)large, 512);
    return good;
}

// ---- memory that goes while another CPU is in the guest, or at its memory

static uint32_t seen; // 1: it is about to begin; 0x100 and an exit's kind: that ended it
static enum op other_op;
static void works(void *arg)
{
    struct guest *g = arg;
    static struct axvcpu_exit x;
    struct axvcpu *v = &g->vcpus[1];
    bool good = axvcpu_bind(v) == 0 && (run_to(v, &x), asks(&x));
    order(v, other_op, DATA, 1);
    __atomic_store_n(&seen, 1, __ATOMIC_SEQ_CST);
    if (good)
        run_to(v, &x);
    axvcpu_unbind(v);
    __atomic_store_n(&seen, 0x100 + x.kind, __ATOMIC_SEQ_CST);
}

static bool map_page(struct guest *g, void *page, uint64_t n)
{
    return must(axvm_map(&g->vm, axvcpu_gpa(DATA + n * PAGE), axvcpu_from_ptr(page), PAGE, AXVM_MAP_RWX) == 0, "map");
}

static bool begin_work(struct guest *g, enum op op, uint64_t *word)
{
    __atomic_store_n(&seen, 0, __ATOMIC_SEQ_CST);
    other_op = op;
    *word = 0;
    if (!build(g) || !map_page(g, word, 0) || !must(host_start_job(1, works, g), "a second CPU"))
        return false;
    while (__atomic_load_n(&seen, __ATOMIC_SEQ_CST) == 0)
        host_pause(1000);
    if (op == WAIT) // it is in its loop by now, with the translation in its TLB; the other one says so
        host_pause(200000);
    while (op == COUNT && __atomic_load_n(word, __ATOMIC_SEQ_CST) < 10)
        host_pause(1000);
    return true;
}

// It counts in a page; nothing comes there behind the unmap.
static bool unmaps(void)
{
    uint64_t *word = host_alloc(1);
    bool good = true;
    for (int i = 0; i < 5 && good; i++) {
        good = begin_work(&one, COUNT, word) && must(axvm_unmap(&one.vm, axvcpu_gpa(DATA), PAGE) == 0, "unmap");
        uint64_t last = __atomic_exchange_n(word, 0x55, __ATOMIC_SEQ_CST);
        host_wait_job(1);
        good = good && must(last >= 10 && *word == 0x55, "nothing is written") &&
               must(seen == 0x100 + AXVCPU_EXIT_MMIO_WRITE, "its access is one to nowhere");
        drop(&one);
    }
    host_free(word, 1);
    return good;
}

// It waits for a word of a page; another page comes there.
static bool changes(void)
{
    uint64_t *word = host_alloc(2);
    bool good = begin_work(&one, WAIT, word);
    word[PAGE / 8] = 1; // what it waits for
    good =
        good && must(axvm_unmap(&one.vm, axvcpu_gpa(DATA), PAGE) == 0, "unmap") && map_page(&one, word + PAGE / 8, 0);
    host_wait_job(1);
    good = good && must(seen == 0x100 + AXVCPU_EXIT_IO_WRITE || seen == 0x100 + AXVCPU_EXIT_MMIO_READ,
                        "it sees the other page");
    drop(&one);
    host_free(word, 2);
    return good;
}

// There the library writes for the guest, again and again, until a page is taken away under it.
static uint32_t copied;
static void copies(void *arg)
{
    struct guest *g = arg;
    static struct axvcpu_exit x;
    struct axvcpu *v = &g->vcpus[1];
    bool good = axvcpu_bind(v) == 0 && (run_to(v, &x), asks(&x));
    while (good && asks(&x)) {
        order(v, COPY, DATA + PAGE, DATA);
        good = run_to(v, &x) == AXVCPU_EXIT_MMIO_READ && axvcpu_complete(v, 0x77) == 0;
        run_to(v, &x);
        __atomic_fetch_add(&copied, 1, __ATOMIC_SEQ_CST);
    }
    axvcpu_unbind(v);
    __atomic_store_n(&seen, 0x100 + x.kind, __ATOMIC_SEQ_CST);
}

static bool unmaps_emulated(void)
{
    uint64_t *word = host_alloc(1);
    bool good = true;
    for (int i = 0; i < 5 && good; i++) {
        copied = 0;
        good = build(&one) && map_page(&one, word, 0) && must(host_start_job(1, copies, &one), "a second CPU");
        while (good && __atomic_load_n(&copied, __ATOMIC_SEQ_CST) < 3)
            host_pause(1000);
        host_pause(host_random() % 100000);
        good = good && must(axvm_unmap(&one.vm, axvcpu_gpa(DATA), PAGE) == 0, "unmap");
        *word = 0x55;
        host_wait_job(1);
        good = good && must(*word == 0x55, "nothing is written") &&
               must(seen == 0x100 + AXVCPU_EXIT_MMIO_WRITE, "it is nobody's");
        drop(&one);
    }
    host_free(word, 1);
    return good;
}

// A string from a port, whose page goes between the exit and its answer.
static bool unmaps_string(void)
{
    uint32_t *page = host_alloc(1);
    struct axvcpu *v = &one.vcpus[0];
    bool good = build(&one) && map_page(&one, page, 0) && start(&one, 0) && !done(&one, 0, INS, DATA, 0) &&
                must(one.x.kind == AXVCPU_EXIT_IO_READ && one.x.io.count == 1, "the exit") &&
                axvm_unmap(&one.vm, axvcpu_gpa(DATA), PAGE) == 0 && axvcpu_complete(v, 0x12345678) == 0 &&
                must((run(&one, v), asks(&one.x)), "it goes on") && must(page[0] == 0, "nothing is written");
    drop(&one);
    host_free(page, 1);
    return good;
}

// An element on two pages, which are nowhere near each other; and one whose second page is not there.
static bool string_across(void)
{
    uint8_t *page = host_alloc(3);
    struct axvcpu *v = &one.vcpus[0];
    bool good =
        build(&one) && map_page(&one, page, 1) && map_page(&one, page + 2 * PAGE, 0) && start(&one, 0) &&
        !done(&one, 0, INS, DATA + PAGE - 1, 0) &&
        must(one.x.kind == AXVCPU_EXIT_IO_READ && one.x.io.width == 4, "in") && axvcpu_complete(v, 0x44332211) == 0 &&
        must((run(&one, v), asks(&one.x)), "it goes on") &&
        must(page[3 * PAGE - 1] == 0x11 && page[0] == 0x22 && page[1] == 0x33 && page[2] == 0x44 && page[3] == 0,
             "in memory") &&
        !done(&one, 0, OUTS, DATA + PAGE - 3, 0) &&
        must(one.x.kind == AXVCPU_EXIT_IO_WRITE && one.x.io.width == 4 && one.x.io.data == 0x22110000, "out") &&
        must((run(&one, v), asks(&one.x)), "it goes on behind it") &&
        axvm_unmap(&one.vm, axvcpu_gpa(DATA + PAGE), PAGE) == 0 && !done(&one, 0, INS, DATA + PAGE - 1, 0) &&
        must(one.x.kind == AXVCPU_EXIT_UNDECODED && one.x.undecoded.addr == DATA + PAGE, "half of it is nowhere") &&
        must(page[3 * PAGE - 1] == 0x11, "the other half is as it was");
    drop(&one);
    host_free(page, 3);
    return good;
}

// ---- the host's own registers

// All in words, with their names. Not the general registers, which are the compiler's, and RFLAGS' status bits.
struct word {
    const char *name;
    uint64_t value;
};
struct host_state {
    struct word words[64];
    uint32_t count;
    uint8_t fpu[512] __attribute__((aligned(16)));
};
static uint32_t has; // 1: XSAVE, 2: protection keys

static void note_word(struct host_state *s, const char *name, uint64_t value)
{
    s->words[s->count++] = (struct word){ name, value };
}

static uint32_t pkru(uint32_t set, bool write)
{
    uint32_t value;
    axvcpu_i_x86_set_host_cr4(axvcpu_i_x86_host_cr4() | AXVCPU_X86_CR4_PKE);
    if (write)
        __asm__ volatile(".byte 0x0f, 0x01, 0xef" : : "a"(set), "c"(0), "d"(0));
    __asm__ volatile(".byte 0x0f, 0x01, 0xee" : "=a"(value) : "c"(0) : "rdx");
    axvcpu_i_x86_set_host_cr4(axvcpu_i_x86_host_cr4() & ~(uint64_t)AXVCPU_X86_CR4_PKE);
    return value;
}

// What is one MOV away.
#define MOVED(X) \
    X(cr0) X(cr2) X(cr3) X(cr4) X(cr8) X(es) X(cs) X(ss) X(ds) X(fs) X(gs) X(db0) X(db1) X(db2) X(db3) X(db6) X(db7)
static const struct word host_msrs[] = {
    { "FS base", 0xc0000100 }, { "GS base", 0xc0000101 }, { "KERNEL_GS", 0xc0000102 }, { "EFER", 0xc0000080 },
    { "STAR", 0xc0000081 },    { "LSTAR", 0xc0000082 },   { "CSTAR", 0xc0000083 },     { "SFMASK", 0xc0000084 },
    { "SYSENTER_CS", 0x174 },  { "SYSENTER_ESP", 0x175 }, { "SYSENTER_EIP", 0x176 },   { "PAT", 0x277 },
    { "DEBUGCTL", 0x1d9 },
};
enum { HOST_MSRS = sizeof host_msrs / sizeof host_msrs[0] };

static void look(struct host_state *s)
{
    struct axvcpu_i_x86_table_register gdt, idt;
    uint64_t value;
    uint16_t tr, ldt;
    s->count = 0;
#define LOOK(r) \
    __asm__ volatile("mov %%" #r ", %0" : "=r"(value)); \
    note_word(s, #r, value);
    MOVED(LOOK)
    for (uint32_t i = 0; i < HOST_MSRS; i++)
        note_word(s, host_msrs[i].name, axvcpu_i_x86_rdmsr((uint32_t)host_msrs[i].value));
    __asm__ volatile("sgdt %0\n\tsidt %1\n\tstr %2\n\tsldt %3" : "=m"(gdt), "=m"(idt), "=m"(tr), "=m"(ldt));
    note_word(s, "GDTR base", gdt.base), note_word(s, "GDTR limit", gdt.limit);
    note_word(s, "IDTR base", idt.base), note_word(s, "IDTR limit", idt.limit);
    note_word(s, "TR", tr), note_word(s, "LDTR", ldt);
    __asm__ volatile("pushf\n\tpop %0" : "=r"(value));
    note_word(s, "RFLAGS", value & ~UINT64_C(0x8d5));
    note_word(s, "XCR0", (has & 1) ? axvcpu_i_x86_xgetbv() : 0);
    note_word(s, "PKRU", (has & 2) ? pkru(0, false) : 0);
    __asm__ volatile("clts\n\tfxsave64 %0" : "=m"(s->fpu));
    axvcpu_i_x86_set_host_cr0(s->words[0].value);
}

// What every register of the host's is for this: nothing a guest, or a CPU that has just started, has.
static uint64_t wide_gdt[12];
static void dress(uint64_t n)
{
    static const struct word values[] = {
        { "FS", 0xc0000100 },    { "KGS", 0xc0000102 },   { "STAR", 0xc0000081 },
        { "LSTAR", 0xc0000082 }, { "CSTAR", 0xc0000083 }, { "SFMASK", 0xc0000084 },
        { "CS", 0x174 },         { "ESP", 0x175 },        { "EIP", 0x176 },
    };
    struct axvcpu_i_x86_table_register gdt = { sizeof wide_gdt - 1, (uint64_t)(uintptr_t)wide_gdt };
    static uint8_t fpu[512] __attribute__((aligned(16)));
    memcpy(wide_gdt, machine_gdt, sizeof machine_gdt);
    wide_gdt[8] = 0x00cff3000000ffff;                                       // 0x43: a user's data
    wide_gdt[9] = 0x000082000000000f | (uint64_t)(uintptr_t)wide_gdt << 16; // 0x48: LDT
    __asm__ volatile("lgdt %0\n\tlldt %w1" : : "m"(gdt), "r"(0x48) : "memory");
    __asm__ volatile("mov %w0, %%ds\n\tmov %w0, %%es\n\tmov %w0, %%fs" : : "r"(0x43) : "memory");
    for (uint32_t i = 0; i < sizeof values / sizeof values[0]; i++)
        axvcpu_i_x86_wrmsr((uint32_t)values[i].value, i == 0 ? 0x5000 + n : 0x100 * i + n);
    axvcpu_i_x86_wrmsr(0x277, UINT64_C(0x0504040600070406));
    axvcpu_i_x86_set_host_cr2(0x1234000 + n);
    __asm__ volatile("mov %0, %%cr8" : : "r"(UINT64_C(2)));
    __asm__ volatile("mov %0, %%db0\n\tmov %1, %%db1\n\tmov %2, %%db2\n\tmov %3, %%db3"
                     :
                     : "r"(0x3f00000 + n), "r"(0x3f10000 + n), "r"(0x3f20000 + n), "r"(0x3f30000 + n));
    __asm__ volatile("mov %0, %%db6\n\tmov %1, %%db7" : : "r"(UINT64_C(0xffff0ff1)), "r"(UINT64_C(0x408)));
    if (has & 1)
        axvcpu_i_x86_xsetbv(3);
    if (has & 2)
        pkru(0xaaaaaaa0, true);
    for (uint32_t i = 0; i < sizeof fpu; i++)
        fpu[i] = i < 32 ? 0 : (uint8_t)(i + n);
    fpu[0] = 0x7f, fpu[1] = 3, fpu[25] = 0x1f, fpu[24] = 0xa0; // FCW, MXCSR
    for (uint32_t i = 32; i < 160; i += 16)
        memset(fpu + i + 10, 0, 6);
    uint64_t cr0 = axvcpu_i_x86_host_cr0();
    __asm__ volatile("clts\n\tfxrstor64 %0" : : "m"(fpu));
    axvcpu_i_x86_set_host_cr0(cr0);
}

static void undress(const struct host_state *s)
{
    struct axvcpu_i_x86_table_register gdt = { sizeof machine_gdt - 1, (uint64_t)(uintptr_t)machine_gdt };
    __asm__ volatile("lgdt %0\n\tlldt %w1" : : "m"(gdt), "r"(0) : "memory");
    __asm__ volatile("mov %w0, %%ds\n\tmov %w0, %%es\n\tmov %w1, %%fs" : : "r"(16), "r"(0) : "memory");
    __asm__ volatile("mov %0, %%db7\n\tmov %1, %%cr8" : : "r"(UINT64_C(0x400)), "r"(UINT64_C(0)));
    for (uint32_t i = 0; i < s->count; i++)
        for (uint32_t k = 0; k < HOST_MSRS; k++)
            if (s->words[i].name == host_msrs[k].name)
                axvcpu_i_x86_wrmsr((uint32_t)host_msrs[k].value, s->words[i].value);
}

static bool same_host(const struct host_state *a, const struct host_state *b, const char *when)
{
    bool good = true;
    for (uint32_t i = 0; i < a->count; i++) {
        if (a->words[i].value == b->words[i].value)
            continue;
        good = false;
        host_print("# "), host_print(when), host_print(": "), host_print(a->words[i].name);
        host_print(" was "), host_print_number(a->words[i].value, 16);
        host_print(", is "), host_print_number(b->words[i].value, 16), host_print("\n");
    }
    for (uint32_t i = 0; i < 416 && good; i++) // the rest is nobody's
        good = must(a->fpu[i] == b->fpu[i], "FPU");
    return must(good, when);
}

// Words of the guest's dump, and what it has put there.
enum { WORDS_AT = 0x7000, WORD_CR2 = 1, WORD_PAT = 18, WORD_LSTAR = 21, WORD_KERNEL_GS = 26, WORD_KEYS = 35 };
#define SCRIBBLED_CR2 0xabcd000u
#define SCRIBBLED_LSTAR UINT64_C(0x7fff00000082)
#define SCRIBBLED_KERNEL_GS UINT64_C(0x7fff00000102)

// QEMU 7.2 has one PAT for host and guest, Bochs 2.7 saves the guest's CR2 and does not load it (APM 2, 15.5.1).
static bool not_switched(uint32_t word)
{
    return (word == WORD_PAT && is_on("x86-qemu-svm")) || (word == WORD_CR2 && is_on("x86-bochs-svm"));
}

static bool dumps(void *to)
{
    bool good = must(done(&one, 0, DUMP, WORDS_AT, has), "dump");
    memcpy(to, (char *)one.ram + WORDS_AT, 1024);
    return good;
}

// What it has written is there after exits.
static bool has_scribbled(const uint64_t *words)
{
    return must(words[WORD_CR2] == SCRIBBLED_CR2 || not_switched(WORD_CR2), "CR2") &&
           must(words[WORD_LSTAR] == SCRIBBLED_LSTAR, "LSTAR") &&
           must(words[WORD_KERNEL_GS] == SCRIBBLED_KERNEL_GS, "KERNEL_GS");
}

// The guest's breakpoint, wherever it is loaded; and the host has its own. Bochs 2.7's SVM exits by #DB before it writes
// DR6.
static bool keeps_breakpoints(void)
{
    uint64_t at = ENTRY + (uint64_t)(guest_break - guest_worker), value = 0;
    struct axvcpu *v = &one.vcpus[0];
    bool good = build(&one) && axvcpu_set_reg(v, AXVCPU_X86_DR(0), at) == 0 &&
                axvcpu_set_reg(v, AXVCPU_X86_DR(7), 0x402) == 0 && start(&one, 0) &&
                must(result(&one, 0, BREAK, 0) == 0xdb, "set before it runs") && axvcpu_unbind(v) == 0 &&
                axvcpu_bind(v) == 0 && must(result(&one, 0, BREAK, 0) == 0xdb, "bound again") &&
                must(axvcpu_get_reg(v, AXVCPU_X86_DR(0), &value) == 0 && value == at, "DR0 while it is loaded") &&
                must(result(&one, 0, BREAK, 0) == 0xdb, "after a look") &&
                must(axvcpu_get_reg(v, AXVCPU_X86_DR(6), &value) == 0 && ((value & 15) == 1 || is_on("x86-bochs-svm")), "DR6") &&
                axvcpu_set_reg(v, AXVCPU_X86_DR(0), at + 0x8000) == 0 &&
                must(result(&one, 0, BREAK, 0) == 0, "another address") &&
                axvcpu_set_reg(v, AXVCPU_X86_DR(0), at) == 0 && must(result(&one, 0, BREAK, 0) == 0xdb, "and back") &&
                axvcpu_set_reg(v, AXVCPU_X86_DR(7), 0x400) == 0 && must(result(&one, 0, BREAK, 0) == 0, "off");
    drop(&one);
    return good;
}

static void kick(void *v)
{
    (void)axvcpu_kick(v);
}

// A breakpoint where its own delivery reads has #DB come after #DB, in real mode for ever: a kick ends that, and the
// host has its CPU (CVE-2015-8104).
static bool ends_storm(void)
{
    static const uint8_t code[] = { 0xa1, 0x04, 0x00 }; // mov 4, %ax: the vector of #DB
    struct axvcpu *v = &one.vcpus[0];
    bool good = build_as(&one, &(struct axvcpu_arch_setup){ .mode = AXVCPU_X86_REAL });
    memcpy((char *)one.ram + ENTRY, code, sizeof code);
    good = good && axvcpu_set_reg(v, AXVCPU_X86_DR(0), 4) == 0 && axvcpu_set_reg(v, AXVCPU_X86_DR(7), 0xf0402) == 0 &&
           must(axvcpu_bind(v) == 0, "bind");
    host_alarm(20000000, kick, v);
    good = good && must(run(&one, v) == AXVCPU_EXIT_CANCELED, "the kick");
    drop(&one);
    return good;
}

// INT1 is an exit, too, while breakpoints are on: its handler returns behind it.
static bool steps_past_int1(void)
{
    static const uint8_t code[] = { 0xf1, 0xe6, ASK }; // int1; out %al, $ASK
    static const uint16_t vector[] = { ENTRY + 0x10, 0 };
    struct axvcpu *v = &one.vcpus[0];
    uint64_t ip = 0;
    bool good = build_as(&one, &(struct axvcpu_arch_setup){ .mode = AXVCPU_X86_REAL, .stack = TABLES });
    memcpy((char *)one.ram + ENTRY, code, sizeof code);
    memset((char *)one.ram + ENTRY + 0x10, 0xcf, 1); // iret
    memcpy((char *)one.ram + 4, vector, sizeof vector);
    good = good && axvcpu_set_reg(v, AXVCPU_X86_DR(0), TABLES) == 0 && axvcpu_set_reg(v, AXVCPU_X86_DR(7), 0x402) == 0 &&
           must(axvcpu_bind(v) == 0, "bind");
    host_alarm(20000000, kick, v);
    good = good && must(run(&one, v) == AXVCPU_EXIT_IO_WRITE, "the exit behind it") &&
           axvcpu_get_reg(v, AXVCPU_REG_PC, &ip) == 0 && must(ip - ENTRY - 1 <= 2, "its address");
    drop(&one);
    return good;
}

static void put_segment(struct axvcpu *v, uint32_t segment, uint64_t selector, uint64_t access)
{
    (void)axvcpu_set_reg(v, AXVCPU_X86_SEG(segment, AXVCPU_X86_SELECTOR), selector);
    (void)axvcpu_set_reg(v, AXVCPU_X86_SEG(segment, AXVCPU_X86_ACCESS), access);
}

// At CPL 3 with alignment checks on; their handler tells what it finds on its stack.
static uint32_t misaligned(uint64_t stack)
{
    enum { GDT = 0x3000, IDT = 0x3100, HANDLER = ENTRY + 0x10 };
    static const uint8_t code[] = { 0xa1, 1, 0, 0, 0 };      // mov 1, %eax
    static const uint8_t handler[] = { 0x58, 0xe7, ASK };    // pop %eax; out %eax, $ASK
    static const uint64_t gdt[] = { 0, 0x00cffb000000ffff, 0x00cff3000000ffff };
    const uint64_t gate = 0x0000ee00000b0000 | HANDLER;
    struct axvcpu *v = &one.vcpus[0];
    bool good = build_as(&one, &(struct axvcpu_arch_setup){ .mode = AXVCPU_X86_PROTECTED, .stack = stack });
    memcpy((char *)one.ram + ENTRY, code, sizeof code);
    memcpy((char *)one.ram + HANDLER, handler, sizeof handler);
    memcpy((char *)one.ram + GDT, gdt, sizeof gdt);
    memcpy((char *)one.ram + IDT + 17 * 8, &gate, 8);
    put_segment(v, AXVCPU_X86_CS, 0x0b, 0xc0fb);
    for (uint32_t i = AXVCPU_X86_SS; i <= AXVCPU_X86_DS; i++)
        put_segment(v, i, 0x13, 0xc0f3);
    (void)axvcpu_set_reg(v, AXVCPU_X86_SEG(AXVCPU_X86_GDTR, AXVCPU_X86_BASE), GDT);
    (void)axvcpu_set_reg(v, AXVCPU_X86_SEG(AXVCPU_X86_GDTR, AXVCPU_X86_LIMIT), sizeof gdt - 1);
    (void)axvcpu_set_reg(v, AXVCPU_X86_SEG(AXVCPU_X86_IDTR, AXVCPU_X86_BASE), IDT);
    (void)axvcpu_set_reg(v, AXVCPU_X86_SEG(AXVCPU_X86_IDTR, AXVCPU_X86_LIMIT), 18 * 8 - 1);
    (void)axvcpu_set_reg(v, AXVCPU_X86_CR(0), 0x40031);      // AM
    (void)axvcpu_set_reg(v, AXVCPU_REG_FLAGS, 0x43002);      // AC, IOPL 3
    good = good && must(axvcpu_bind(v) == 0, "bind");
    host_alarm(20000000, kick, v);
    return good ? run(&one, v) : AXVCPU_EXIT_NOTHING;
}

// #AC while #AC is delivered (CVE-2015-5307).
static bool checks_alignment(void)
{
    bool good = must(misaligned(TABLES) == AXVCPU_EXIT_IO_WRITE && one.x.io.data == 0, "the handler, with error code 0");
    drop(&one);
    good = must(misaligned(TABLES + 1) == AXVCPU_EXIT_CANCELED, "the kick") && good;
    drop(&one);
    return good;
}

// Protection keys are behind no trap of the FPU's.
static bool keeps_keys(void)
{
    uint64_t cr4 = 0;
    bool good = build(&one);
    pkru(0xaaaaaaa0, true);
    good = good && start(&one, 0) && must(done(&one, 0, KEYS, 0, 0), "keys") &&
           axvcpu_get_reg(&one.vcpus[0], AXVCPU_X86_CR(4), &cr4) == 0 && must((cr4 & AXVCPU_X86_CR4_PKE) != 0, "CR4") &&
           axvcpu_unbind(&one.vcpus[0]) == 0;
    good = must(pkru(0xaaaaaaa4, false) == 0xaaaaaaa0, "the host's") && good;
    pkru(0xaaaaaaac, true);
    good = good && axvcpu_bind(&one.vcpus[0]) == 0 && must(done(&one, 0, DUMP, WORDS_AT, 2), "dump") &&
           must(((uint32_t *)one.ram)[WORDS_AT / 4 + 2 * WORD_KEYS] == 0x55555550, "the guest's");
    drop(&one);
    good = must(pkru(0, false) == 0xaaaaaaac, "the host's again") && good;
    pkru(0, true);
    return good;
}

static bool keeps_host(void)
{
    static struct host_state found, before, now;
    static uint64_t first[128], second[128];
    uint32_t r[4];
    axvcpu_i_x86_cpuid(7, 0, r);
    has = (axvcpu_i_x86_xcr0_all != 0 ? 1u : 0) | ((axvcpu_i_x86_xcr0_all & 0x200) != 0 && (r[2] & 8) != 0 ? 2u : 0);
    look(&found);
    bool good = build(&one);
    dress(0);
    look(&before);
    good = good && start(&one, 0) && must(done(&one, 0, SCRIBBLE, 0, has), "scribble") && dumps(first) &&
           has_scribbled(first) && axvcpu_unbind(&one.vcpus[0]) == 0;
    look(&now);
    good = same_host(&before, &now, "after unbind") && good;
    dress(0x10);
    look(&before);
    good = good && must(axvcpu_bind(&one.vcpus[0]) == 0, "bind again") && dumps(second);
    for (uint32_t i = 0; i < 110 && good; i++) {
        if (first[i] == second[i] || not_switched(i))
            continue;
        host_print("# the guest's word "), host_print_number(i, 10), host_print(" was "),
            host_print_number(first[i], 16);
        host_print(", is "), host_print_number(second[i], 16), host_print("\n");
        good = must(false, "what the guest has");
    }
    good = good && must(axvcpu_put(&one.vcpus[0]) == 0, "put");
    look(&now);
    good = same_host(&before, &now, "after put") && good && axvcpu_load(&one.vcpus[0]) == 0;
    undress(&found);
    drop(&one);
    undress(&found);
    return good;
}

static bool disables(void)
{
    struct axvcpu_percpu *p = &percpu[0];
    bool good = build(&one) && start(&one, 0) &&
                must(axvcpu_percpu_disable(p) == AXVCPU_EBUSY, "while a vCPU is here") &&
                axvcpu_unbind(&one.vcpus[0]) == 0 && must(axvcpu_percpu_disable(p) == 0, "disable");
    good = good &&
           must(axvcpu_i_x86_host_cr0() == p->arch.cr0 && axvcpu_i_x86_host_cr4() == p->arch.cr4, "CR0 and CR4") &&
           must((p->arch.cr4 & AXVCPU_X86_CR4_VMXE) == 0, "... without VMX") &&
           must((axvcpu_i_x86_rdmsr(AXVCPU_X86_MSR_EFER) & AXVCPU_X86_EFER_SVME) == 0, "... without SVM") &&
           must(axvcpu_bind(&one.vcpus[0]) == AXVCPU_ENOSUPPORT, "bind on a CPU that is not enabled");
    good = must(axvcpu_percpu_enable(p) == 0, "enable") && good;
    axvcpu_reset(&one.vcpus[0]);
    drop(&one);
    return good;
}

int host_main(void)
{
    report(leaves(), "leaves of a page and of 2 MiB");
    report(huge(), "leaves of 1 GiB, where the CPU has them");
    report(mixed(), "unmap leaves the neighbours");
    report(no_frames(), "a frame that is refused: nothing stays");
    report(logs(), "LOG_DIRTY: pages of large leaves");
    report(logs_huge(), "LOG_DIRTY: a page of a GiB");
    report(logs_emulated(), "LOG_DIRTY: what the library writes");
    report(logs_two(), "LOG_DIRTY: two CPUs");
    report(logs_without_frames(), "LOG_DIRTY: without frames");
    report(unmaps(), "an unmapped page is gone for the other CPU");
    report(changes(), "... and another one in its place is there");
    report(unmaps_emulated(), "... and for what the library does there for a guest");
    report(unmaps_string(), "... and for a string from a port that is being answered");
    report(string_across(), "a string's element on two pages");
    report(keeps_host(), "the host's registers, and the guest's");
    report(!(has & 2) || keeps_keys(), "... and their protection keys");
    // QEMU 7.2 loads DR7 for the guest without a look at what it says
    report(is_on("x86-qemu-svm") || keeps_breakpoints(), "... and their breakpoints");
    // QEMU 7.2 does not exit by INT1, does not survive the storm, and has no alignment checks
    report(is_on("x86-qemu-svm") || steps_past_int1(), "... and INT1 with one");
    report(is_on("x86-qemu-svm") || ends_storm(), "a storm of its debug exceptions ends");
    report(is_on("x86-qemu-svm") || checks_alignment(), "alignment checks are the guest's, and a storm of them ends");
    report(disables(), "disable");
    return 0;
}
