// SPDX-License-Identifier: Apache-2.0
//
// One operation at every place inside another. For each pair of operations, in several settings: A runs, and
// before its nth atomic operation another thread runs all of B, for every n. What can be seen afterwards must
// be what A and then B, or B and then A, would have given: nothing half done, nothing lost, nothing twice.
//
// B may have to wait for A (a lock); then A goes on after a while. Who finds the vCPU taken may say so.
// ONLY=SETTING: just that one, or `visit`.
#include <stdint.h>

static void at_atomic(void);
#define AT_ATOMIC() at_atomic()
#include "vm.h"

static struct machine mc;

// ---- the other thread

static struct {
    pthread_mutex_t lock;
    pthread_cond_t change;
    int (*job)(void);
    int err;
    bool busy, quit;
} helper = { .lock = PTHREAD_MUTEX_INITIALIZER, .change = PTHREAD_COND_INITIALIZER };

static void *helper_main(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&helper.lock);
    while (!helper.quit) {
        int (*job)(void) = helper.job;

        if (!helper.busy) {
            pthread_cond_wait(&helper.change, &helper.lock);
            continue;
        }
        pthread_mutex_unlock(&helper.lock);
        helper.err = job();
        pthread_mutex_lock(&helper.lock);
        helper.busy = false;
        pthread_cond_broadcast(&helper.change);
    }
    pthread_mutex_unlock(&helper.lock);
    return NULL;
}

static void helper_begins(int (*job)(void))
{
    pthread_mutex_lock(&helper.lock);
    helper.job = job;
    helper.busy = true;
    pthread_cond_broadcast(&helper.change);
    pthread_mutex_unlock(&helper.lock);
}

// Until it has done its job, or for a while.
static bool helper_ends(bool patient)
{
    struct timespec until;
    bool done;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 3000000;
    if (until.tv_nsec >= 1000000000)
        until.tv_nsec -= 1000000000, until.tv_sec++;
    pthread_mutex_lock(&helper.lock);
    while (helper.busy && (patient || pthread_cond_timedwait(&helper.change, &helper.lock, &until) == 0)) {
        if (patient && helper.busy)
            pthread_cond_wait(&helper.change, &helper.lock);
    }
    done = !helper.busy;
    pthread_mutex_unlock(&helper.lock);
    return done;
}

static int by_helper(int (*job)(void))
{
    helper_begins(job);
    (void)helper_ends(true);
    return helper.err;
}

// ---- the place

static __thread uint32_t countdown; // atomic operations until B; 0: no B
static __thread int (*own_between)(void); // done by this thread itself
static int (*between)(void);

static void at_atomic(void)
{
    if (countdown == 0 || --countdown != 0)
        return;
    if (own_between != NULL) {
        (void)own_between();
        return;
    }
    helper_begins(between);
    (void)helper_ends(false);
}

// ---- the operations

enum { VECTOR = 70, LINE = 71 };

static enum axvm_answer counted(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    (void)vm, (void)v, (void)x;
    ADD((uint64_t *)arg, 1u);
    return AXVM_DONE;
}
static uint64_t hits, calls;

static int kick(void) { return axvcpu_kick(&mc.vcpu[0]); }
static int inject(void) { return axvcpu_inject_interrupt(&mc.vcpu[0], VECTOR); }
static int line_up(void) { return axvm_irq_line(&mc.vm, LINE, true); }
static int line_down(void) { return axvm_irq_line(&mc.vm, LINE, false); }
static int nmi(void) { return axvcpu_inject_nmi(&mc.vcpu[0]); }
static int unblock(void) { return axvcpu_unblock(&mc.vcpu[0]); }
static int pause_it(void) { return axvm_pause(&mc.vm); }
static int resume(void) { return axvm_resume(&mc.vm); }
static int shut_down(void) { return axvm_shutdown(&mc.vm); }
static int boot(void) { return axvm_boot(&mc.vm); }
static int run_err_kind; // the exit that run0 had
static int run0(void)
{
    struct axvcpu_exit x;
    int err = axvm_run_vcpu(&mc.vm, 0, &x);

    run_err_kind = err == AXVCPU_OK ? (int)(x.kind + 100 * x.flags) : run_err_kind;
    return err;
}
static int get0(void)
{
    uint64_t value;

    return axvcpu_get_gpr(&mc.vcpu[0], 3, &value);
}
static int up1(void)
{
    struct axvcpu_exit x = { .kind = AXVCPU_EXIT_CPU_UP, .cpu_up = { 1, 0x4000, 5 } };

    return axvm_cpu_up(&mc.vm, &x);
}
static int inject1(void) { return axvm_inject(&mc.vm, 2, VECTOR); }
static int add(void) { return axvm_add_mmio(&mc.vm, 0x6000, 0x100, counted, &hits); }
static int remove_it(void) { return axvm_remove(&mc.vm, AXVM_MMIO, 0x2000); }
static int move(void) { return axvm_move(&mc.vm, AXVM_MMIO, 0x2000, 0x3000); }
static int add_over(void) { return axvm_add_mmio(&mc.vm, 0x3000, 0x100, counted, &hits); }
static int set_default(void) { return axvm_set_default(&mc.vm, AXVCPU_EXIT_CPUID, counted, &calls); }
static int map(void)
{
    static uint8_t page[4096] __attribute__((aligned(4096)));

    return axvm_map(&mc.vm, axvcpu_gpa(0x1000), axvcpu_from_ptr(page), sizeof(page), AXVM_MAP_RWX);
}
static int unmap(void) { return axvm_unmap(&mc.vm, axvcpu_gpa(0x1000), 4096); }
static int block(void) { return axvcpu_block(&mc.vcpu[0]); }
static int bind(void) { return axvcpu_bind(&mc.vcpu[0]); }
static int unbind(void) { return axvcpu_unbind(&mc.vcpu[0]); }
static int step(void)
{
    struct axvcpu_exit x;
    int err = axvm_step(&mc.vm, 0, &x);

    // A stop flag that means nothing any more makes a step with nothing in it.
    if (err == AXVCPU_OK && x.kind == AXVCPU_EXIT_NOTHING && (x.flags & AXVCPU_EXIT_HANDLED) != 0)
        err = axvm_step(&mc.vm, 0, &x);
    run_err_kind = (int)(x.kind + 100 * x.flags);
    return err;
}

struct op {
    const char *name;
    int (*fn)(void);
};
#define OP(name) { #name, name }
static const struct op anybody[] = { OP(kick), OP(inject), OP(line_up), OP(line_down), OP(nmi), OP(unblock), OP(pause_it), OP(resume),
                                     OP(shut_down), OP(run0), OP(get0), OP(up1), OP(inject1), OP(add), OP(remove_it), OP(move),
                                     OP(add_over), OP(set_default), OP(map), OP(unmap) };
static const struct op owners[] = { OP(block), OP(step), OP(unbind), OP(get0) };
static const struct op early[] = { OP(boot), OP(run0), OP(pause_it), OP(shut_down), OP(inject), OP(kick), OP(add), OP(map) };

// ---- the settings

enum owner { NOBODY, MINE, ITS };
struct setting {
    const char *name;
    enum axvm_status status;
    enum owner owner; // who has bound vCPU 0: the thread that runs A, or the one that runs B
    bool blocked;
    const struct op *a, *b;
    size_t as, bs;
};
static const struct setting settings[] = {
    { "Loading", AXVM_STATUS_LOADING, NOBODY, false, early, early, COUNT(early), COUNT(early) },
    { "Loaded", AXVM_STATUS_LOADED, NOBODY, false, anybody, anybody, COUNT(anybody), COUNT(anybody) },
    { "Running", AXVM_STATUS_RUNNING, NOBODY, false, anybody, anybody, COUNT(anybody), COUNT(anybody) },
    { "Suspended", AXVM_STATUS_SUSPENDED, NOBODY, false, anybody, anybody, COUNT(anybody), COUNT(anybody) },
    { "Running, bound by A", AXVM_STATUS_RUNNING, MINE, false, owners, anybody, COUNT(owners), COUNT(anybody) },
    { "Suspended, bound by A", AXVM_STATUS_SUSPENDED, MINE, false, owners, anybody, COUNT(owners), COUNT(anybody) },
    { "Running, bound by B", AXVM_STATUS_RUNNING, ITS, false, anybody, owners, COUNT(anybody), COUNT(owners) },
    { "Running, blocked", AXVM_STATUS_RUNNING, MINE, true, anybody, anybody, COUNT(anybody), COUNT(anybody) },
};

static void set_up(const struct setting *s)
{
    static const struct axvcpu_fake_step script0[] = { MMIO_WRITE(0x2000, 4, 1), CPUID(1), CALL(1) }, script1[] = { CALL(1) };
    struct axvcpu_exit x;

    hits = calls = 0;
    vm_loading(&mc, 2);
    PLAY_LOOP(&mc, 0, script0);
    PLAY_LOOP(&mc, 1, script1);
    must(axvm_add_mmio(&mc.vm, 0x2000, 0x100, counted, &hits) == AXVCPU_OK);
    must(axvm_set_default(&mc.vm, AXVCPU_EXIT_CPUID, counted, &hits) == AXVCPU_OK);
    if (s->status >= AXVM_STATUS_LOADED)
        must(axvm_boot(&mc.vm) == AXVCPU_OK);
    if (s->status >= AXVM_STATUS_RUNNING)
        must(axvm_run_vcpu(&mc.vm, 0, &x) == AXVCPU_OK);
    if (s->status == AXVM_STATUS_SUSPENDED)
        must(axvm_pause(&mc.vm) == AXVCPU_OK && axvm_run_vcpu(&mc.vm, 0, &x) == AXVCPU_OK);
    if (s->owner == MINE)
        must(bind() == AXVCPU_OK);
    if (s->owner == ITS)
        must(by_helper(bind) == AXVCPU_OK);
    if (s->blocked)
        must(block() == AXVCPU_OK);
}

// ---- what can be seen afterwards

struct seen {
    char text[240];
    int a, b;
};

static char letter(int err, const struct axvcpu_exit *x)
{
    return err != AXVCPU_OK                     ? (char)('0' + err) :
           x->kind == AXVCPU_EXIT_HYPERCALL     ? 'H' :
           x->kind == AXVCPU_EXIT_MMIO_WRITE    ? 'M' :
           x->kind == AXVCPU_EXIT_SYSTEM_DOWN   ? 'D' :
           x->kind != AXVCPU_EXIT_CANCELED      ? '?' :
           (x->flags & AXVCPU_EXIT_PAUSED) != 0 ? 'P' :
                                                  'K';
}

static void give_back(enum owner owner)
{
    if (axvcpu_get_state(&mc.vcpu[0]) == AXVCPU_STATE_BLOCKED)
        must(unblock() == AXVCPU_OK);
    if (axvcpu_get_state(&mc.vcpu[0]) == AXVCPU_STATE_READY)
        must((owner == ITS ? by_helper(unbind) : unbind()) == AXVCPU_OK);
}

static void look(struct seen *s, enum owner owner, int run_kind)
{
    enum axvcpu_state state = axvcpu_get_state(&mc.vcpu[0]);
    enum axvm_status status = axvm_get_status(&mc.vm);
    char runs[8] = "", latch = '-';
    axvcpu_backing_t backing;
    struct axvcpu_exit x;
    uint32_t i;
    int err;

    give_back(owner);
    if (axvm_get_status(&mc.vm) != AXVM_STATUS_LOADING && axvcpu_get_state(&mc.vcpu[0]) == AXVCPU_STATE_FREE) {
        must(bind() == AXVCPU_OK);
        latch = (char)('0' + (int)(GET(&mc.vcpu[0].latch) != 0)); // not by block: a kick would hide it
        (void)AXVCPU_ATOMIC_XCHG(&mc.vcpu[0].latch, 0u);
        must(unbind() == AXVCPU_OK);
    }
    for (i = 0; i < 5; i++) {
        err = axvm_run_vcpu(&mc.vm, 0, &x);
        runs[i] = letter(err, &x);
        if (i == 1 && axvm_get_status(&mc.vm) == AXVM_STATUS_SUSPENDED)
            must(resume() == AXVCPU_OK);
    }
    err = axvm_run_vcpu(&mc.vm, 1, &x);
    snprintf(s->text, sizeof(s->text),
             "A %d B %d, run %d, vCPU %s, VM %s, latch %c, %s, AP %c, took %" PRIu64 " %" PRIu64 ", committed %" PRIu64 ", nmi %" PRIu64
             ", hits %" PRIu64 " %" PRIu64 ", map %d, AP took %" PRIu64,
             s->a, s->b, run_kind, axvcpu_state_name(state), axvm_status_name(status), latch, runs, letter(err, &x),
             axvcpu_fake_delivered(&mc.vcpu[0], VECTOR), (uint64_t)(axvcpu_fake_delivered(&mc.vcpu[0], LINE) != 0),
             axvcpu_fake_calls(&mc.vcpu[0], AXVCPU_FAKE_COMMIT), mc.vcpu[0].arch.nmis, hits, calls, axvm_translate(&mc.vm, axvcpu_gpa(0x1000), &backing), axvcpu_fake_delivered(&mc.vcpu[1], VECTOR));
    vm_gone(&mc);
}

// ---- one after the other, and one inside the other

enum order { A_THEN_B, B_THEN_A, A_ALONE, B_ALONE, ORDERS };
static const int untouched = -7;

static void in_order(const struct setting *st, const struct op *a, const struct op *b, enum order order, struct seen *s)
{
    set_up(st);
    s->a = s->b = untouched;
    run_err_kind = -1;
    if (order == B_THEN_A || order == B_ALONE)
        s->b = by_helper(b->fn);
    if (order != B_ALONE)
        s->a = a->fn();
    if (order == A_THEN_B)
        s->b = by_helper(b->fn);
    look(s, st->owner, run_err_kind);
}

// false: A has no such place.
static bool inside(const struct setting *st, const struct op *a, const struct op *b, uint32_t place, struct seen *s)
{
    bool met;

    set_up(st);
    run_err_kind = -1;
    between = b->fn;
    countdown = place;
    s->a = a->fn();
    met = countdown == 0;
    countdown = 0;
    if (met) {
        (void)helper_ends(true);
        s->b = helper.err;
    }
    look(s, st->owner, run_err_kind);
    return met;
}

// Somebody had the vCPU, or was just doing the same: who says so has done nothing.
static bool gave_up(int err)
{
    return err == AXVCPU_EAGAIN || err == AXVCPU_EBUSY || err == AXVCPU_EBADSTATE;
}

static bool as_if_alone(const struct seen *got, const struct seen *alone)
{
    const char *x = strstr(got->text, ", run"), *y = strstr(alone->text, ", run");

    return x != NULL && y != NULL && strcmp(x, y) == 0;
}

// What is not as if one came after the other, and right all the same.
struct exception {
    int (*a)(void), (*b)(void); // in either order
    const char *is, *like;      // what it says, and what it may be taken for
};
static const struct exception exceptions[] = {
    // The unblock may leave its latch beside the wake-up: the next block comes back at once. Wake-ups may be spurious.
    { block, unblock, "latch 1", "latch 0" },
    // Nobody has looked in between: it sleeps on.
    { line_up, line_down, "vCPU Blocked", "vCPU Ready" },
    { pause_it, resume, "vCPU Blocked", "vCPU Ready" },
    // A visit is several exits, and the end may come after each. What a handler has answered is committed.
    { run0, shut_down, "committed 1, nmi 0, hits 1", "committed 0, nmi 0, hits 0" },
    { run0, shut_down, "committed 3, nmi 0, hits 3", "committed 2, nmi 0, hits 2" },
    { run0, shut_down, "committed 2, nmi 0, hits 2", "committed 0, nmi 0, hits 0" },
    { run0, shut_down, "committed 4, nmi 0, hits 4", "committed 2, nmi 0, hits 2" },
};

static bool excepted(const struct op *a, const struct op *b, const struct seen *got, const struct seen *want)
{
    size_t i;

    for (i = 0; i < COUNT(exceptions); i++) {
        const struct exception *e = &exceptions[i];
        const char *is = strstr(got->text, e->is);
        char text[sizeof(got->text)];

        if (is == NULL || !((a->fn == e->a && b->fn == e->b) || (a->fn == e->b && b->fn == e->a)))
            continue;
        snprintf(text, sizeof(text), "%.*s%s%s", (int)(is - got->text), got->text, e->like, is + strlen(e->is));
        if (strcmp(text, want->text) == 0)
            return true;
    }
    return false;
}

static uint32_t test_pair(const struct setting *st, const struct op *a, const struct op *b)
{
    struct seen orders[ORDERS], got;
    uint32_t place, o;
    bool good = true;

    for (o = 0; o < ORDERS; o++)
        in_order(st, a, b, (enum order)o, &orders[o]);
    for (place = 1; inside(st, a, b, place, &got); place++) {
        bool fits = strcmp(got.text, orders[A_THEN_B].text) == 0 || strcmp(got.text, orders[B_THEN_A].text) == 0 ||
                    (gave_up(got.b) && got.a == orders[A_ALONE].a && as_if_alone(&got, &orders[A_ALONE])) ||
                    (gave_up(got.a) && got.b == orders[B_ALONE].b && as_if_alone(&got, &orders[B_ALONE])) ||
                    excepted(a, b, &got, &orders[B_THEN_A]) || excepted(a, b, &got, &orders[A_THEN_B]);

        if (fits)
            continue;
        if (good) {
            note("%s: %s inside %s:", st->name, b->name, a->name);
            note("  A then B:    %s", orders[A_THEN_B].text);
            note("  B then A:    %s", orders[B_THEN_A].text);
        }
        note("  at place %2u: %s", place, got.text);
        good = false;
    }
    ok(good, "%s: %s at each of %u places of %s", st->name, b->name, place - 1, a->name);
    return place - 1;
}

// ---- the end, at each place of a visit

static bool early_end;
static int end_it(void)
{
    int err = AXVCPU_ATOMIC_LOAD(&mc.vm.status) >= AXVM_I_INSIDE ? axvm_deinit(&mc.vm) : AXVCPU_EBUSY;

    early_end = early_end || err != AXVCPU_EBUSY;
    return err;
}

// Also while the visitor has no vCPU yet, or no more.
static void test_end(void)
{
    uint32_t place = 0;
    bool met = true;

    for (early_end = false; met && !early_end;) {
        set_up(&settings[1]);
        between = end_it;
        countdown = ++place;
        (void)run0();
        met = countdown == 0;
        countdown = 0;
        (void)helper_ends(true);
        if (!early_end)
            vm_gone(&mc);
    }
    ok(!early_end, "deinit at each of %u places of a visit: EBUSY", place - 1);
}

// ---- shut_down at each place of a resume, while a visitor is on its way to a guest that never leaves by itself

static struct {
    uint32_t visit, resume; // the places
    struct axvcpu_exit x;
} cross;

static int resume_and_shut_down(void)
{
    int err = axvm_pause(&mc.vm);

    own_between = shut_down;
    countdown = cross.resume;
    (void)axvm_resume(&mc.vm);
    own_between = NULL;
    if (countdown != 0)
        (void)axvm_shutdown(&mc.vm);
    countdown = 0;
    return err;
}

static void visit_spinning(void *arg)
{
    (void)arg;
    between = resume_and_shut_down;
    countdown = cross.visit;
    (void)axvm_run_vcpu(&mc.vm, 0, &cross.x);
}

static void test_shut_down_in_resume(void)
{
    static const struct axvcpu_fake_step spins[] = { SPIN };
    bool good = true;

    for (cross.visit = 1; cross.visit < 16 && good; cross.visit++) {
        for (cross.resume = 1; cross.resume < 8 && good; cross.resume++) {
            vm_loaded(&mc, 1);
            PLAY(&mc, 0, spins);
            good = finishes(visit_spinning, NULL) && cross.x.kind == AXVCPU_EXIT_SYSTEM_DOWN && helper_ends(true);
            if (good)
                vm_gone(&mc);
        }
    }
    ok(good, "shut_down at each place of resume, with a visitor at each place of its own: the guest is left");
    if (!good) // it hangs there
        _exit(tap_done());
}

int main(void)
{
    const char *only = getenv("ONLY");
    uint64_t places = 0;
    pthread_t t;
    size_t s, i, k;

    tap_begin(290);
    t = thread(helper_main, NULL);
    if (only == NULL || strcmp(only, "visit") == 0) {
        test_end();
        test_shut_down_in_resume();
    }
    for (s = 0; s < COUNT(settings); s++) {
        if (only != NULL && strcmp(only, settings[s].name) != 0)
            continue;
        for (i = 0; i < settings[s].as; i++) {
            for (k = 0; k < settings[s].bs; k++)
                places += test_pair(&settings[s], &settings[s].a[i], &settings[s].b[k]);
        }
    }
    note("%" PRIu64 " places", places);
    pthread_mutex_lock(&helper.lock);
    helper.quit = true;
    pthread_cond_broadcast(&helper.change);
    pthread_mutex_unlock(&helper.lock);
    join(t);
    return tap_done();
}
