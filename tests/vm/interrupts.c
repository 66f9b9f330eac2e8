// SPDX-License-Identifier: Apache-2.0
//
// Interrupts from other threads and from signal handlers: none is lost, none comes twice, those that nobody
// waited for coalesce. Then masks, lines, vectors and states, one by one.
#define VM_CHAOS 256
#include "vm.h"

static struct machine mc;

// ---- guests that take interrupts in different ways

static const struct axvcpu_fake_step spins[] = { SPIN };
static const struct axvcpu_fake_step leaves[] = { CALL(1), CALL(2) };
static const struct axvcpu_fake_step halts[] = { CALL(1), HALT };
static const struct axvcpu_fake_step masks[] = {
    EFFECT(AXVCPU_REG_FLAGS, AXVCPU_FAKE_MASKED), CALL(1), CALL(2), EFFECT(AXVCPU_REG_FLAGS, 0), CALL(3), HALT,
};
static const struct axvcpu_fake_step reads[] = { MMIO_READ(0x1000, 4), MMIO_WRITE(0x1000, 4, 1) };

struct guest {
    const char *name;
    const struct axvcpu_fake_step *script;
    size_t steps;
    uint64_t rounds; // for all four injectors
};
#define GUEST(name, script, rounds) { name, script, COUNT(script), rounds }
static const struct guest guests[] = {
    GUEST("a guest that stays inside", spins, 1000000),
    GUEST("a guest that leaves all the time", leaves, 100000),
    GUEST("a guest that halts and is blocked", halts, 100000),
    GUEST("a guest that masks interrupts and halts", masks, 50000),
    GUEST("a guest that waits for answers", reads, 50000),
};

static enum axvm_answer block_it(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    int err = axvcpu_block(v);

    (void)vm, (void)x, (void)arg;
    must(err == AXVCPU_OK || err == AXVCPU_EAGAIN);
    return AXVM_DONE;
}

// Lets the others have the CPU: a guest that never leaves axvm_run_vcpu would keep it for its time slice.
static enum axvm_answer yielding(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    (void)vm, (void)v, (void)arg;
    if (x->kind == AXVCPU_EXIT_MMIO_READ)
        x->mmio.data = 1;
    (void)sched_yield();
    return AXVM_DONE;
}

static uint32_t stop;
static uint64_t canceled;
static void *runner(void *arg)
{
    struct axvcpu_exit x;

    (void)arg;
    while (GET(&stop) == 0) {
        must(axvm_run_vcpu(&mc.vm, 0, &x) == AXVCPU_OK);
        if (x.kind == AXVCPU_EXIT_CANCELED)
            ADD(&canceled, 1u);
        else // without PARK a halted vCPU comes back at once
            (void)sched_yield();
    }
    return NULL;
}

static pthread_t start(const struct guest *g)
{
    stop = 0;
    vm_loaded(&mc, 1);
    must(axvm_add_mmio(&mc.vm, 0x1000, 8, yielding, NULL) == AXVCPU_OK);
    must(axvm_set_default(&mc.vm, AXVCPU_EXIT_HYPERCALL, yielding, NULL) == AXVCPU_OK);
    must(axvm_set_default(&mc.vm, AXVCPU_EXIT_HALT, block_it, NULL) == AXVCPU_OK);
    vm_play(&mc, 0, g->script, g->steps, true);
    return thread(runner, NULL);
}

static void finish(pthread_t t)
{
    PUT(&stop, 1u);
    must(axvcpu_kick(&mc.vcpu[0]) == AXVCPU_OK);
    join(t);
    vm_gone(&mc);
}

// ---- each waits for its acknowledgement

enum { INJECTORS = 4, VECTORS = 16 };
struct injector {
    uint32_t first; // its vectors are first, first + 1, ...
    uint64_t rounds, bad, count[VECTORS];
    struct chance c;
};

static void *inject_and_wait(void *arg)
{
    struct injector *in = arg;
    uint64_t i;

    for (i = 0; i < in->rounds; i++) {
        uint32_t k = chance_below(&in->c, VECTORS), vector = in->first + k;

        if (axvcpu_inject_interrupt(&mc.vcpu[0], vector) != AXVCPU_OK)
            in->bad++;
        in->count[k]++;
        UNTIL(axvcpu_fake_delivered(&mc.vcpu[0], vector) >= in->count[k]);
    }
    return NULL;
}

static void test_exactly(const struct guest *g, uint64_t seed)
{
    static struct injector in[INJECTORS];
    uint64_t n = rounds(g->name, g->rounds), injected = 0, taken = 0, bad = 0;
    pthread_t t = start(g), each[INJECTORS];
    uint32_t i, k;

    for (i = 0; i < INJECTORS; i++) {
        in[i] = (struct injector){ .first = i * 64 + i, .rounds = n / INJECTORS, .c.state = seed + i };
        each[i] = thread(inject_and_wait, &in[i]);
    }
    for (i = 0; i < INJECTORS; i++)
        join(each[i]);
    for (i = 0; i < INJECTORS; i++) {
        for (k = 0; k < VECTORS; k++) {
            uint64_t got = axvcpu_fake_delivered(&mc.vcpu[0], in[i].first + k);

            injected += in[i].count[k];
            taken += got;
            bad += got != in[i].count[k];
        }
        bad += in[i].bad;
    }
    for (k = 0; k < AXVCPU_LEAF_VECTORS; k++)
        bad += k % 65 >= VECTORS && axvcpu_fake_delivered(&mc.vcpu[0], k) != 0;
    ok(bad == 0 && injected == taken && injected == n / INJECTORS * INJECTORS,
       "%s: %" PRIu64 " injected, %" PRIu64 " acknowledged, the same for each vector", g->name, injected, taken);
    finish(t);
}

// ---- nobody waits: they coalesce

static void *inject_in_bursts(void *arg)
{
    struct injector *in = arg;
    uint64_t i, before = 0;

    for (i = 0; i < in->rounds;) {
        uint32_t burst = 1 + chance_below(&in->c, 32);

        for (; burst != 0 && i < in->rounds; burst--, i++) {
            before = axvcpu_fake_delivered(&mc.vcpu[0], in->first);
            if (axvcpu_inject_interrupt(&mc.vcpu[0], in->first) != AXVCPU_OK)
                in->bad++;
        }
        in->count[0]++;
        UNTIL(axvcpu_fake_delivered(&mc.vcpu[0], in->first) > before); // the last one is not lost
    }
    return NULL;
}

static void test_coalescing(const struct guest *g, uint64_t seed, bool same)
{
    static struct injector in[INJECTORS];
    uint64_t n = rounds(g->name, 200000), bad = 0, taken = 0;
    pthread_t t = start(g), each[INJECTORS];
    uint32_t i;

    for (i = 0; i < INJECTORS; i++) {
        in[i] = (struct injector){ .first = same ? 77 : 77 + i, .rounds = n / INJECTORS, .c.state = seed + i };
        each[i] = thread(inject_in_bursts, &in[i]);
    }
    for (i = 0; i < INJECTORS; i++)
        join(each[i]);
    for (i = 0; i < INJECTORS; i++) {
        uint64_t got = axvcpu_fake_delivered(&mc.vcpu[0], 77 + i);

        taken += got;
        bad += in[i].bad + (!same && (got < in[i].count[0] || got > in[i].rounds));
    }
    ok(bad == 0 && taken >= in[0].count[0] && taken <= n, "%s, %s: %" PRIu64 " injected, %" PRIu64 " taken: each burst at least once", g->name,
       same ? "one vector for all" : "a vector each", n, taken);
    finish(t);
}

// ---- from a signal handler on the very thread that runs the vCPU

static uint32_t signaled;
static void on_signal(int sig)
{
    (void)sig;
    (void)axvcpu_inject_interrupt(&mc.vcpu[0], 200);
    ADD(&signaled, 1u);
}

static void test_signals(const struct guest *g)
{
    struct sigaction action = { .sa_handler = on_signal };
    uint64_t n = rounds("signals", 2000), i;
    pthread_t t = start(g);

    signaled = 0;
    must(sigaction(SIGUSR1, &action, NULL) == 0);
    for (i = 0; i < n; i++) {
        must(pthread_kill(t, SIGUSR1) == 0);
        UNTIL(axvcpu_fake_delivered(&mc.vcpu[0], 200) > i);
    }
    ok(axvcpu_fake_delivered(&mc.vcpu[0], 200) == n && GET(&signaled) == n,
       "%s, injected by a signal handler on its own thread: %" PRIu64 " of %" PRIu64, g->name, axvcpu_fake_delivered(&mc.vcpu[0], 200), n);
    finish(t);
}

// ---- somebody asks axvcpu_pending all the time

static void *asker(void *arg)
{
    uint64_t *asked = arg;

    while (GET(&stop) == 0) {
        (void)axvcpu_pending(&mc.vcpu[0]);
        ++*asked;
        (void)sched_yield();
    }
    return NULL;
}

static void test_pending_from_elsewhere(uint64_t seed)
{
    static struct injector in;
    uint64_t asked = 0;
    pthread_t t = start(&guests[3]), u = thread(asker, &asked), v;

    in = (struct injector){ .first = 9, .rounds = rounds("pending asked meanwhile", 20000), .c.state = seed };
    v = thread(inject_and_wait, &in);
    join(v);
    PUT(&stop, 1u);
    join(u);
    ok(in.bad == 0 && asked != 0, "axvcpu_pending, unblock and inject from elsewhere while the guest changes its mask");
    finish(t);
}

// ---- masks, vectors, lines

static void test_masks(void)
{
    static struct axvcpu many[70];
    static const uint32_t counts[] = { 1, 2, 4, 63, 64, 65, 70 };
    uint64_t mask;
    uint32_t i;
    size_t c;

    vm_loaded(&mc, 4);
    vm_all_up(&mc);
    for (mask = 0; mask < 16; mask++) {
        struct axvcpu_exit x;
        bool good = axvm_inject(&mc.vm, mask, 30) == AXVCPU_OK;

        for (i = 0; i < 4; i++) {
            uint64_t before = axvcpu_fake_delivered(&mc.vcpu[i], 30);

            good = good && axvm_run_vcpu(&mc.vm, i, &x) == AXVCPU_OK &&
                   axvcpu_fake_delivered(&mc.vcpu[i], 30) == before + (mask >> i & 1);
        }
        ok(good, "mask 0x%" PRIx64 ": exactly those vCPUs", mask);
    }
    for (i = 4; i < 64; i++) {
        if (axvm_inject(&mc.vm, UINT64_C(1) << i | 1, 31) != AXVCPU_EINVAL || axvcpu_pending(&mc.vcpu[0]))
            break;
    }
    ok(i == 64, "a mask that names a vCPU too many: EINVAL, and nobody gets it");
    ok_err(axvm_inject(&mc.vm, 15, 256), AXVCPU_EINVAL, "vector 256");
    ok_err(axvm_inject(&mc.vm, 15, UINT32_MAX), AXVCPU_EINVAL, "vector 2^32 - 1");
    for (i = 0; i < 4; i++)
        must(!axvcpu_pending(&mc.vcpu[i]));
    vm_gone(&mc);

    for (c = 0; c < COUNT(counts); c++) { // as many vCPUs as a mask can name, and more
        struct axvm_desc d = vm_desc(&mc, counts[c]);
        bool good = true;

        memset(&mc, 0, sizeof(mc));
        d.vcpus = many;
        must(axvm_init(&mc.vm, &d) == AXVCPU_OK);
        good = axvm_inject(&mc.vm, UINT64_MAX, 1) == (counts[c] < 64 ? AXVCPU_EINVAL : AXVCPU_OK);
        for (i = 0; i < counts[c]; i++)
            good = good && axvcpu_pending(&many[i]) == (counts[c] >= 64 && i < 64);
        ok(good, "%u vCPUs, all ones: %s", counts[c], counts[c] < 64 ? "EINVAL" : "the first 64");
        vm_gone(&mc);
    }
}

static void test_vectors(void)
{
    static const uint32_t bad[] = { 256, 257, 1023, 1 << 16, UINT32_MAX };
    struct axvcpu_exit x;
    uint32_t i;
    size_t k;
    bool good = true;

    vm_loaded(&mc, 1);
    for (i = 0; i < 256; i++)
        good = good && axvm_inject(&mc.vm, 1, i) == AXVCPU_OK && axvm_inject(&mc.vm, 1, i) == AXVCPU_OK;
    good = good && axvm_run_vcpu(&mc.vm, 0, &x) == AXVCPU_OK;
    for (i = 0; i < 256; i++)
        good = good && axvcpu_fake_delivered(&mc.vcpu[0], i) == 1;
    ok(good && !axvcpu_pending(&mc.vcpu[0]), "vectors 0 to 255, each twice: each once");
    for (k = 0; k < COUNT(bad); k++) {
        ok(axvcpu_inject_interrupt(&mc.vcpu[0], bad[k]) == AXVCPU_EINVAL && axvcpu_set_irq(&mc.vcpu[0], bad[k], true) == AXVCPU_EINVAL &&
               axvm_irq_line(&mc.vm, bad[k], true) == AXVCPU_EINVAL && !axvcpu_pending(&mc.vcpu[0]),
           "vector %u: EINVAL", bad[k]);
    }
    vm_gone(&mc);
}

static void test_lines(void)
{
    struct axvcpu_exit x;
    struct axvcpu *v = &mc.vcpu[0];
    uint64_t i;

    vm_loaded(&mc, 2);
    ok_err(axvm_irq_line(&mc.vm, 40, true), AXVCPU_OK, "a line goes up");
    for (i = 1; i <= 3; i++) {
        must(axvm_run_vcpu(&mc.vm, 0, &x) == AXVCPU_OK);
        ok_u64(axvcpu_fake_delivered(v, 40), i, "and is driven at run %" PRIu64, i);
    }
    ok(!axvcpu_pending(&mc.vcpu[1]), "for nobody else");
    must(axvcpu_bind(v) == AXVCPU_OK);
    ok_err(axvcpu_block(v), AXVCPU_EAGAIN, "with a line up nobody sleeps");
    ok_err(axvm_irq_line(&mc.vm, 40, false), AXVCPU_OK, "it goes down");
    ok_err(axvcpu_block(v), AXVCPU_OK, "then it sleeps");
    ok_err(axvm_irq_line(&mc.vm, 41, false), AXVCPU_OK, "another goes down that was never up");
    ok(axvcpu_get_state(v) == AXVCPU_STATE_BLOCKED, "which wakes nobody");
    ok_err(axvm_irq_line(&mc.vm, 41, true), AXVCPU_OK, "it goes up");
    ok(axvcpu_get_state(v) == AXVCPU_STATE_READY, "which does");
    ok_err(axvm_irq_line(&mc.vm, 41, false), AXVCPU_OK, "and down before the guest has run");
    must(axvcpu_unbind(v) == AXVCPU_OK && axvm_run_vcpu(&mc.vm, 0, &x) == AXVCPU_OK);
    ok(axvcpu_fake_delivered(v, 40) == 3 && axvcpu_fake_delivered(v, 41) == 0, "what is down is not driven");
    vm_gone(&mc);
}

// An interrupt that comes in each state is there when the guest runs.
static void test_states(void)
{
    static const enum axvcpu_state states[] = { AXVCPU_STATE_CREATED, AXVCPU_STATE_FREE, AXVCPU_STATE_READY, AXVCPU_STATE_BLOCKED };
    struct axvcpu *v = &mc.vcpu[0];
    struct axvcpu_exit x;
    size_t i;

    for (i = 0; i < COUNT(states); i++) {
        vm_loading(&mc, 1);
        if (states[i] == AXVCPU_STATE_CREATED)
            must(axvm_inject(&mc.vm, 1, 99) == AXVCPU_OK);
        must(axvm_boot(&mc.vm) == AXVCPU_OK);
        if (states[i] == AXVCPU_STATE_FREE)
            must(axvm_inject(&mc.vm, 1, 99) == AXVCPU_OK);
        if (states[i] >= AXVCPU_STATE_READY)
            must(axvcpu_bind(v) == AXVCPU_OK);
        if (states[i] == AXVCPU_STATE_BLOCKED)
            must(axvcpu_block(v) == AXVCPU_OK);
        if (states[i] >= AXVCPU_STATE_READY)
            must(axvm_inject(&mc.vm, 1, 99) == AXVCPU_OK && axvcpu_get_state(v) == AXVCPU_STATE_READY && axvcpu_unbind(v) == AXVCPU_OK);
        must(axvm_run_vcpu(&mc.vm, 0, &x) == AXVCPU_OK);
        ok(x.kind == AXVCPU_EXIT_HALT && axvcpu_fake_delivered(v, 99) == 1, "injected when %s: taken once", axvcpu_state_name(states[i]));
        vm_gone(&mc);
    }
}

// cli; hlt with an interrupt queued sleeps (trap 43); an NMI, a kick, a line of another kind wake it or not.
static void test_masked(void)
{
    static const struct axvcpu_fake_step script[] = {
        EFFECT(AXVCPU_REG_FLAGS, AXVCPU_FAKE_MASKED), CALL(1), CALL(2), EFFECT(AXVCPU_REG_FLAGS, 0), CALL(3), CALL(4),
    };
    struct axvcpu *v = &mc.vcpu[0];
    struct axvcpu_exit x;

    vm_loaded(&mc, 1);
    PLAY(&mc, 0, script);
    must(axvm_run_vcpu(&mc.vm, 0, &x) == AXVCPU_OK && axvm_inject(&mc.vm, 1, 99) == AXVCPU_OK);
    must(axvcpu_bind(v) == AXVCPU_OK);
    ok_err(axvcpu_block(v), AXVCPU_OK, "trap 43: masked, with an interrupt queued: it sleeps");
    must(axvm_inject(&mc.vm, 1, 98) == AXVCPU_OK && axvm_irq_line(&mc.vm, 97, true) == AXVCPU_OK);
    ok(axvcpu_get_state(v) == AXVCPU_STATE_BLOCKED, "trap 43: and another interrupt, or a line, does not wake it");
    must(axvcpu_inject_nmi(v) == AXVCPU_OK);
    ok(axvcpu_get_state(v) == AXVCPU_STATE_READY, "an NMI does");
    must(axvcpu_run(v, &x) == AXVCPU_OK);
    ok(v->arch.nmis == 1 && axvcpu_fake_delivered(v, 99) == 0, "the guest takes the NMI and not the interrupts");
    must(axvcpu_run(v, &x) == AXVCPU_OK && x.hypercall.nr == 3 && axvcpu_run(v, &x) == AXVCPU_OK);
    ok(axvcpu_fake_delivered(v, 99) == 1 && axvcpu_fake_delivered(v, 98) == 1 && axvcpu_fake_delivered(v, 97) != 0 && v->arch.nmis == 1,
       "unmasked it takes them");
    must(axvcpu_unbind(v) == AXVCPU_OK);
    vm_gone(&mc);
}

int main(void)
{
    uint64_t seed;
    size_t i;

    tap_begin(290);
    seed = chance_seed();
    test_masks();
    test_vectors();
    test_lines();
    test_states();
    test_masked();
    for (i = 0; i < COUNT(guests); i++) {
        test_exactly(&guests[i], seed);
        test_coalescing(&guests[i], seed, false);
        test_coalescing(&guests[i], seed, true);
        test_signals(&guests[i]);
    }
    test_pending_from_elsewhere(seed);
    return tap_done();
}
