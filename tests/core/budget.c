// SPDX-License-Identifier: Apache-2.0
//
// What the operations cost, in instructions, against bench/ceilings: the benchmark programs under
// callgrind, rows and forms as listed there.
#define _GNU_SOURCE
#include <stdlib.h>

#include "tests/tap.h"

#include "bench/count.h"

#define MARGIN 1.05

static struct count counts[COUNT_MAX];
static int counted;

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

static void count(const char *program)
{
    int n = count_program(program, counts + counted, COUNT_MAX - counted);
    ok(n > 0, "callgrind counts %s", program);
    counted += n > 0 ? n : 0;
}

static const struct count *find(const char *row, const char *impl)
{
    for (int i = 0; i < counted; i++)
        if (strcmp(counts[i].row, row) == 0 && strcmp(counts[i].impl, impl) == 0)
            return &counts[i];
    return NULL;
}

static void check(const struct ceiling *c, bool exact)
{
    const struct count *found = find(c->row, c->impl);
    double limit = MARGIN * (exact ? c->held : c->design);
    if (c->held < 0) {
        ok(found != NULL, "%s (%s) is measured", c->row, c->impl);
        return;
    }
    ok(c->held <= c->design, "%s (%s): its ceiling is within the design", c->row, c->impl);
    ok(found != NULL && found->ir <= limit, "%s (%s): within %.1f instructions", c->row, c->impl, limit);
    if (found != NULL)
        note("%s (%s): %.2f", c->row, c->impl, found->ir);
}

int main(void)
{
    struct ceiling ceilings[CEILING_MAX];
    int n = ceilings_read("bench/ceilings", ceilings, CEILING_MAX);
    bool exact;
    tap_begin(60);
    if (system("valgrind --version >/dev/null 2>&1") != 0) {
        skip("budget: no valgrind", "instructions per operation");
        return tap_done();
    }
    exact = same_compiler();
    count("build/bench/host-same");
    count("build/bench/host-other");
    ok(n > 0, "there are ceilings");
    for (int i = 0; i < n; i++)
        check(&ceilings[i], exact);
    return tap_done();
}
