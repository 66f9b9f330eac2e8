// SPDX-License-Identifier: Apache-2.0
//
// The whole vCPU API against the reference model of model.h: the fuzzer's bytes are calls from three CPUs on two
// vCPUs of the fake backend, one after the other, with failures of the backend among them. After each call its
// result, and all that there is to know of each vCPU, are what the model says.
#include "tests/fuzz/model.h"

enum { VCPUS = 2 };
static struct axvcpu vcpus[VCPUS];
static struct model models[VCPUS];

static void differ(const struct call *c, unsigned vcpu, const char *what, struct outcome got, struct outcome want)
{
    fprintf(stderr, "%s by CPU %u on vCPU %u: %s; it says %d, %#llx, and the model %d, %#llx\n", c->what->name, c->cpu,
            vcpu, what, got.err, (unsigned long long)got.value, want.err, (unsigned long long)want.value);
    abort();
}

static void play_one(unsigned where)
{
    struct call c = draw(where % CPUS);
    struct axvcpu *v = &vcpus[where / CPUS];
    struct outcome got, want;
    if (!makes_sense(&models[where / CPUS], &c))
        return;
    this_cpu = c.cpu;
    prepare(v, &c);
    got = c.what->fn(v, &c);
    want = alone(&models[where / CPUS], &c);
    if (!same_outcome(got, want))
        differ(&c, where / CPUS, "another result", got, want);
    for (unsigned i = 0; i < VCPUS; i++) {
        struct model now = observe(&vcpus[i]);
        const struct field *f;
        tidy(&models[i]);
        f = difference(&now, &models[i]);
        if (f != NULL)
            differ(&c, i, f->name, got, want);
    }
    for (unsigned i = 0; i < CPUS; i++)
        must(currents[i] == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input_at = data;
    input_left = size;
    memset(vcpus, 0, sizeof vcpus);
    memset(models, 0, sizeof models);
    while (input_left > 0)
        play_one(input_next(CPUS * VCPUS));
    return 0;
}
