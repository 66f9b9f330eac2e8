// SPDX-License-Identifier: Apache-2.0
//
// Exits against threads: each thread runs a vCPU of one VM inside axvm_run_vcpu, and all of them use one
// device. A round is one exit of any of them, so that a machine with enough CPUs halves the time when the
// threads double.
#define _GNU_SOURCE
#define AXVCPU_ARCH_HEADER "bench/minimal.h"
#define AXVCPU_IMPLEMENTATION
#include "axvcpu.h"

#include <pthread.h>

#include "bench/row.h"

enum { THREADS = 8 };

static struct axvcpu vcpus[THREADS];
static struct axvm machine;
static struct axvm_range range;
static unsigned threads;
static pthread_barrier_t start;

// A line of cache for each: what is to be measured is what the library shares.
static struct {
    _Alignas(64) uint64_t left;
    struct axvcpu_exit record;
} own[THREADS];

static enum axvm_answer device(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    (void)vm, (void)x, (void)arg;
    return --own[axvcpu_id(v)].left == 0 ? AXVM_RETURN : AXVM_DONE;
}

static int make(unsigned n)
{
    struct axvcpu_desc descs[THREADS];
    struct axvm_desc desc = {0};
    struct axvcpu_exit up = {0};
    int err;
    memset(descs, 0, sizeof descs);
    memset(&machine, 0, sizeof machine);
    for (unsigned i = 0; i < THREADS; i++)
        descs[i].arch.kind = AXVCPU_EXIT_MMIO_WRITE;
    threads = n;
    desc.vcpus = vcpus;
    desc.vcpu_count = n;
    desc.vcpu_descs = descs;
    desc.ranges = &range;
    desc.max_ranges = 1;
    err = axvm_init(&machine, &desc);
    if (err == 0)
        err = axvm_add_mmio(&machine, 0, 8, device, NULL);
    if (err == 0)
        err = axvm_boot(&machine);
    up.kind = AXVCPU_EXIT_CPU_UP;
    for (up.cpu_up.target = 1; up.cpu_up.target < n && err == 0; up.cpu_up.target++)
        err = axvm_cpu_up(&machine, &up);
    return err;
}

static void *run(void *id)
{
    uint32_t i = (uint32_t)(uintptr_t)id;
    pthread_barrier_wait(&start);
    return axvm_run_vcpu(&machine, i, &own[i].record) == AXVCPU_OK && own[i].left == 0 ? NULL : id;
}

static uint64_t exits(uint64_t n)
{
    pthread_t others[THREADS];
    uint64_t failed = 0;
    pthread_barrier_init(&start, NULL, threads);
    for (unsigned i = 0; i < threads; i++)
        own[i].left = n / threads;
    for (uintptr_t i = 1; i < threads; i++)
        failed += pthread_create(&others[i], NULL, run, (void *)i) != 0;
    failed += run((void *)0) != NULL;
    for (unsigned i = 1; i < threads; i++) {
        void *result = NULL;
        failed += pthread_join(others[i], &result) != 0 || result != NULL;
    }
    pthread_barrier_destroy(&start);
    return failed;
}

enum { BATCH = 1000000 }; // starting a thread takes 10 us
static const struct row rows[] = {
    {"exits", "threads", 1, make, exits, BATCH}, {"exits", "threads", 2, make, exits, BATCH},
    {"exits", "threads", 4, make, exits, BATCH}, {"exits", "threads", 8, make, exits, BATCH},
    {0},
};

int main(int argc, char **argv)
{
    return rows_main(rows, argc, argv);
}
