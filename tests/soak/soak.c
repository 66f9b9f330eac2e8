// SPDX-License-Identifier: Apache-2.0
//
// Threads that create, run, kick, pause and destroy VMs, for as long as they are told; after the first tenth of
// the time the process must not grow: no descriptor, no mapping, no heap, hardly a page.
//
//     soak [SECONDS [SEED]]
//
// Each place has a VM of two vCPUs and two threads that run them; a third creates it, lets the meddlers at it and
// takes it down. Meddlers do to any VM whatever may be done from elsewhere.
#define _GNU_SOURCE
#include <dirent.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>
#include "tests/tap.h"

static void soak_log(const char *text);
#define AXVCPU_LOG(level, text) ((void)(level), soak_log(text))
#define AXVCPU_IMPLEMENTATION
#include "axvcpu.h"

enum { PLACES = 2, MEDDLERS = 2, VCPUS = 2, PAGE = 4096, PORT = 0x10, DEVICE = 0x8000, SLACK_PAGES = 256,
       SLACK_HEAP = 16384 }; // libc keeps something for threads that were; a leak in each VM is far more

// A guest that never ends: it writes a device and a port for ever.
#ifdef AXVCPU_ARCH_FAKE
#define SOAK_BACKEND "fake"
static const struct axvcpu_fake_step script[] = {
    { 0, { .kind = AXVCPU_EXIT_MMIO_WRITE, .mmio = { .addr = DEVICE, .data = 1, .width = 4 } } },
    { 0, { .kind = AXVCPU_EXIT_MMIO_READ, .mmio = { .addr = DEVICE, .width = 4, .reg = 1, .reg_width = 4 } } },
    { 0, { .kind = AXVCPU_EXIT_IO_WRITE, .io = { .port = PORT, .data = 1, .width = 1, .count = 1 } } },
    { 0, { .kind = AXVCPU_FAKE_SPIN } },
};
#else
#define SOAK_BACKEND "KVM"
static const uint8_t code[] = {
    0xa2, 0x00, 0x80, // 1: mov %al, 0x8000
    0xa0, 0x00, 0x80, //    mov 0x8000, %al
    0xe6, 0x10,       //    out %al, $0x10
    0xeb, 0xf6,       //    jmp 1b
};
#endif

struct place {
    pthread_rwlock_t life; // held for reading while one meddles, for writing while it comes or goes
    bool alive;
    struct axvm vm;
    struct axvcpu vcpus[VCPUS];
    struct axvm_range ranges[2];
    uint8_t *memory;
    unsigned seed;
    uint64_t lives, exits;
};
static struct place places[PLACES];
static uint32_t stop, wrong;
static char last_line[400];

static void soak_log(const char *text)
{
    snprintf(last_line, sizeof last_line, "%s", text);
}

static void must_be(int err, int allowed)
{
    if (err != AXVCPU_OK && err != allowed)
        __atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
}

static enum axvm_answer serve(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    struct place *p = arg;
    (void)vm, (void)v;
    if (x->kind == AXVCPU_EXIT_MMIO_READ)
        x->mmio.data = 7;
    __atomic_fetch_add(&p->exits, 1, __ATOMIC_RELAXED);
    return AXVM_DONE;
}

static void load(struct place *p)
{
#ifdef AXVCPU_ARCH_FAKE
    for (int i = 0; i < VCPUS; i++)
        must_be(axvcpu_fake_script(&p->vcpus[i], script, sizeof script / sizeof script[0], true), 0);
#else
    memcpy(p->memory, code, sizeof code);
    must_be(axvm_map(&p->vm, axvcpu_gpa(0x1000), axvcpu_from_ptr(p->memory), PAGE, AXVM_MAP_RWX), 0);
#endif
}

static void create(struct place *p)
{
    struct axvm_desc desc = { .vcpus = p->vcpus, .vcpu_count = VCPUS, .ranges = p->ranges, .max_ranges = 2,
                              .bsp_entry = AXVCPU_GPA_INIT(0x1000), .ap_entry = AXVCPU_GPA_INIT(0x1000) };
    must_be(axvm_init(&p->vm, &desc), 0);
    must_be(axvm_add_mmio(&p->vm, DEVICE, 0x100, serve, p), 0);
    must_be(axvm_add_port(&p->vm, PORT, 1, serve, p), 0);
    load(p);
    must_be(axvm_boot(&p->vm), 0);
}

// Run until the VM goes down; the second vCPU is started first, as a guest would.
static void *run_vcpu(void *arg)
{
    struct axvcpu *v = arg;
    struct axvm *vm = v->vm.vm;
    struct axvcpu_exit x = { .kind = AXVCPU_EXIT_NOTHING };
    int err;
    if (axvcpu_id(v) != 0) {
        struct axvcpu_exit up = { .kind = AXVCPU_EXIT_CPU_UP, .cpu_up = { .target = 1, .entry = 0x1000 } };
        must_be(axvm_cpu_up(vm, &up), AXVCPU_EBUSY);
    }
    do {
        err = axvm_run_vcpu(vm, axvcpu_id(v), &x);
        must_be(err, AXVCPU_EAGAIN);
        if (err == AXVCPU_EAGAIN || x.kind == AXVCPU_EXIT_CANCELED)
            sched_yield();
    } while (axvm_get_status(vm) < AXVM_STATUS_STOPPING);
    return NULL;
}

static void *keep(void *arg)
{
    struct place *p = arg;
    pthread_t threads[VCPUS];
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        pthread_rwlock_wrlock(&p->life);
        create(p);
        p->alive = true;
        pthread_rwlock_unlock(&p->life);
        for (int i = 0; i < VCPUS; i++)
            must_be(pthread_create(&threads[i], NULL, run_vcpu, &p->vcpus[i]), 0);
        usleep(1000 + (unsigned)rand_r(&p->seed) % 5000);
        must_be(axvm_resume(&p->vm), AXVCPU_EBADSTATE);
        must_be(axvm_shutdown(&p->vm), 0);
        for (int i = 0; i < VCPUS; i++)
            pthread_join(threads[i], NULL);
        must_be(axvm_wait_idle(&p->vm), 0);
        pthread_rwlock_wrlock(&p->life);
        p->alive = false;
        must_be(axvm_deinit(&p->vm), 0);
        pthread_rwlock_unlock(&p->life);
        p->lives++;
    }
    return NULL;
}

static void meddle_with(struct place *p, unsigned what)
{
    struct axvcpu *v = &p->vcpus[what / 8 % VCPUS];
    switch (what % 8) {
    case 0: must_be(axvm_pause(&p->vm), AXVCPU_EBADSTATE); break;
    case 1: case 2: must_be(axvm_resume(&p->vm), AXVCPU_EBADSTATE); break;
    case 3: must_be(axvcpu_unblock(v), 0); break;
    case 4: must_be(axvm_move(&p->vm, AXVM_MMIO, DEVICE, DEVICE), AXVCPU_EINVAL); break;
    case 5: must_be(axvcpu_unref(axvcpu_ref(v)), 0); break;
    default: must_be(axvcpu_kick(v), 0); break;
    }
}

static void *meddle(void *arg)
{
    unsigned seed = (unsigned)(uintptr_t)arg;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        unsigned what = (unsigned)rand_r(&seed);
        struct place *p = &places[what / 64 % PLACES];
        pthread_rwlock_rdlock(&p->life);
        if (p->alive)
            meddle_with(p, what);
        pthread_rwlock_unlock(&p->life);
        usleep(20);
    }
    return NULL;
}

// ---- what the process has

struct size {
    unsigned descriptors, mappings;
    size_t heap, pages;
};

static unsigned lines_of(const char *path)
{
    FILE *in = fopen(path, "r");
    unsigned lines = 0;
    int c;
    while (in && (c = getc(in)) != EOF)
        lines += c == '\n';
    if (in)
        fclose(in);
    return lines;
}

static unsigned descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned n = 0;
    while (dir && readdir(dir))
        n++;
    if (dir)
        closedir(dir);
    return n;
}

static struct size measure(void)
{
    struct size s = { descriptors(), lines_of("/proc/self/maps"), mallinfo2().uordblks, 0 };
    FILE *in = fopen("/proc/self/statm", "r");
    if (!in || fscanf(in, "%*u %zu", &s.pages) != 1)
        s.pages = 0;
    if (in)
        fclose(in);
    return s;
}

static void soak_for(double seconds, unsigned seed)
{
    pthread_t keepers[PLACES], meddlers[MEDDLERS];
    unsigned i;
    stop = 0;
    for (i = 0; i < PLACES; i++) {
        places[i].seed = seed + i;
        pthread_create(&keepers[i], NULL, keep, &places[i]);
    }
    for (i = 0; i < MEDDLERS; i++)
        pthread_create(&meddlers[i], NULL, meddle, (void *)(uintptr_t)(seed + 100 + i));
    usleep((useconds_t)(seconds * 1e6));
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (i = 0; i < PLACES; i++)
        pthread_join(keepers[i], NULL);
    for (i = 0; i < MEDDLERS; i++)
        pthread_join(meddlers[i], NULL);
}

static void prepare(void)
{
    for (int i = 0; i < PLACES; i++) {
        pthread_rwlock_init(&places[i].life, NULL);
        places[i].memory = aligned_alloc(PAGE, PAGE);
    }
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? strtod(argv[1], NULL) : 120;
    unsigned seed = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 0) : (unsigned)time(NULL);
    struct size before, after;
    tap_begin((unsigned)seconds * 2 + 60);
    if (!axvcpu_has_hardware_support()) {
        skip("kvm: no usable /dev/kvm", "soak on " SOAK_BACKEND);
        return tap_done();
    }
    note(SOAK_BACKEND ", %g seconds, seed %u", seconds, seed);
    prepare();
    soak_for(seconds / 10, seed);
    before = measure();
    soak_for(seconds * 9 / 10, seed + 1000);
    after = measure();
    note("%" PRIu64 " + %" PRIu64 " VMs, %" PRIu64 " + %" PRIu64 " exits", places[0].lives, places[1].lives, places[0].exits,
         places[1].exits);
    ok(places[0].lives > 10 && places[1].lives > 10 && places[0].exits > 100, "VMs came, ran and went");
    if (!ok_u64(wrong, 0, "no call failed that must not"))
        note("  the last line was: %s", last_line);
    ok_u64(after.descriptors, before.descriptors, "descriptors stay");
    ok_u64(after.mappings, before.mappings, "mappings stay");
    ok(after.heap < before.heap + SLACK_HEAP, "the heap stays (%zu, then %zu)", before.heap, after.heap);
    ok(after.pages < before.pages + SLACK_PAGES, "pages stay (%zu, then %zu)", before.pages, after.pages);
    return tap_done();
}
