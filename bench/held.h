// SPDX-License-Identifier: Apache-2.0
//
// Measured rows against bench/ceilings, as TAP cases. For the tests that hold them: tests/core/budget.c for the
// host, bench/held.c for the guests.
#ifndef BENCH_HELD_H
#define BENCH_HELD_H

#include "tests/tap.h"

#include "bench/count.h"

#define HELD_MARGIN 1.05

static inline const char *held_name(const struct ceiling *c)
{
    static char name[128];
    if (c->n > 1)
        snprintf(name, sizeof name, "%.47s@%u (%.15s, %.15s)", c->bench, c->n, c->impl, c->arch);
    else
        snprintf(name, sizeof name, "%.47s (%.15s, %.15s)", c->bench, c->impl, c->arch);
    return name;
}

// What the row may need: with another compiler than the one that the ceilings are of, what the design says.
static inline double held_limit(const struct ceiling *c, bool same_compiler)
{
    return HELD_MARGIN * (same_compiler || c->design < 0 ? c->held : c->design);
}

static inline bool held_within(const struct ceiling *c, struct results *r, bool same_compiler)
{
    double found = results_ir(r, c->bench, c->impl, c->arch, c->n);
    return c->held < 0 ? found >= 0 : found >= 0 && found <= held_limit(c, same_compiler);
}

static inline void held_check(const struct ceiling *c, struct results *r, bool same_compiler)
{
    double found = results_ir(r, c->bench, c->impl, c->arch, c->n);
    if (c->held < 0)
        ok(found >= 0, "%s is measured", held_name(c));
    else
        ok(held_within(c, r, same_compiler), "%s: within %.1f instructions", held_name(c), held_limit(c, same_compiler));
    note("%s: %.2f", held_name(c), found);
}

#endif
