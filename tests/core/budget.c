// SPDX-License-Identifier: Apache-2.0
//
// flags: -lm
//
// What the operations cost, in instructions, against bench/ceilings: the benchmark programs under callgrind, rows
// and forms as listed there. No ceiling is above the design, and a program that was made slower on purpose
// fails, by the name of the row that became slower. A second count gives the same.
#define _GNU_SOURCE
#include <math.h>
#include <stdlib.h>

#include "tests/core/design.h"

#include "bench/held.h"

enum { SLOWER = 3 }; // instructions that BENCH_SLOW adds to the backend's run, if not more

static struct ceiling ceilings[CEILING_MAX];
static int ceilings_n;
static struct results found, again, slow;

// The ceilings were measured with this compiler; another one is held to the design alone.
static bool same_compiler(void)
{
    char cc[64] = "";
    FILE *in = popen("build/bench/host-same -v", "r");
    if (in != NULL) {
        if (fgets(cc, sizeof cc, in) == NULL)
            cc[0] = 0;
        pclose(in);
    }
    note("%.*s", (int)strcspn(cc, "\n"), cc);
    return strncmp(cc, "gcc 12.", 7) == 0;
}

// The design's rows are the calls themselves; inside axvm_run_vcpu they have no number there.
static double design_of(const struct ceiling *c)
{
    if (strcmp(c->impl, "vm") == 0)
        return -1;
    for (size_t i = 0; i < sizeof designs / sizeof designs[0]; i++) {
        const struct design *d = &designs[i];
        if (strcmp(d->bench, c->bench) == 0 && strcmp(d->arch, c->arch) == 0)
            return d->most + d->log2 * log2(c->n);
    }
    return -1;
}

// Ceilings and the numbers beside them, against the tests' own copy of the design.
static void test_design(void)
{
    for (int i = 0; i < ceilings_n; i++) {
        const struct ceiling *c = &ceilings[i];
        double most = design_of(c);
        ok(fabs(c->design - most) < 0.5, "%s: the design's number stands beside its ceiling", held_name(c));
        ok(most < 0 || c->held <= most, "%s: its ceiling is within the design", held_name(c));
    }
}

// Every row of the design has a line, those of the host in both forms.
static void test_complete(void)
{
    for (size_t i = 0; i < sizeof designs / sizeof designs[0]; i++) {
        const struct design *d = &designs[i];
        bool host = strcmp(d->arch, "minimal") == 0, same = false, other = false;
        for (int k = 0; k < ceilings_n; k++) {
            const struct ceiling *c = &ceilings[k];
            bool this_row = strcmp(c->bench, d->bench) == 0 && strcmp(c->arch, d->arch) == 0;
            same = same || (this_row && (!host || strcmp(c->impl, "other") != 0));
            other = other || (this_row && (!host || strcmp(c->impl, "same") != 0));
        }
        ok(same && other, "%s (%s) of the design has a line in bench/ceilings", d->bench, d->arch);
    }
}

static void count(const char *program, struct results *r)
{
    ok(count_program(program, "minimal", r) > 0, "callgrind counts %s", program);
}

static bool on_host(const struct ceiling *c)
{
    return strcmp(c->arch, "minimal") == 0;
}

static void test_held(bool exact)
{
    for (int i = 0; i < ceilings_n; i++)
        if (on_host(&ceilings[i]))
            held_check(&ceilings[i], &found, exact);
}

// Counts are exact, or they are no counts.
static void test_repeats(void)
{
    for (int i = 0; i < again.n; i++) {
        const struct result *r = &again.row[i];
        double before = results_ir(&found, r->bench, r->impl, r->arch, r->n);
        ok(r->ir >= before && r->ir <= before, "%s@%u (%s): the same count twice", r->bench, r->n, r->impl);
    }
}

// The same judge, the same ceilings, a slower backend: the rows that run are the ones that fail.
static void test_regression(bool exact)
{
    for (int i = 0; i < ceilings_n; i++) {
        const struct ceiling *c = &ceilings[i];
        bool runs = strncmp(c->bench, "run_", 4) == 0;
        double more = results_ir(&slow, c->bench, c->impl, c->arch, c->n) - results_ir(&found, c->bench, c->impl, c->arch, c->n);
        if (!on_host(c) || strcmp(c->impl, "same") != 0)
            continue;
        ok(runs ? more >= SLOWER : fabs(more) < 0.01, "%s: a slower run costs it %s", held_name(c), runs ? "more" : "nothing");
        if (exact && c->held >= 0)
            ok(held_within(c, &slow, exact) == !runs, "%s: %s", held_name(c), runs ? "that fails it" : "that leaves it alone");
    }
}

int main(void)
{
    bool exact;
    tap_begin(100);
    ceilings_n = ceilings_read("bench/ceilings", ceilings, CEILING_MAX);
    ok(ceilings_n > 0, "there are ceilings");
    test_design();
    test_complete();
    if (system("valgrind --version >/dev/null 2>&1") != 0) {
        skip("budget: no valgrind", "instructions per operation");
        return tap_done();
    }
    exact = same_compiler();
    count("build/bench/host-same", &found);
    count("build/bench/host-other", &found);
    count("build/bench/vm", &found);
    count("build/bench/scale", &found);
    count("build/bench/host-same", &again);
    count("build/bench/host-slow", &slow);
    test_held(exact);
    test_repeats();
    test_regression(exact);
    return tap_done();
}
