// SPDX-License-Identifier: Apache-2.0
//
// A measured row and its line of JSON, as the driver writes it and the plots read it.
#ifndef BENCH_RESULT_H
#define BENCH_RESULT_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RESULTS_FILE "build/bench/results.jsonl"
enum { RESULTS_MAX = 512 };

// A number that was not measured is negative, in JSON null.
struct result {
    char bench[48], impl[16], arch[16];
    unsigned n;                         // how many of what the row scales with; 1: it does not scale
    double ir;                          // instructions per round
    double min_ns, med_ns, p90_ns;      // per round
    char cc[64], flags[512], rev[64];
    char window[64]; // of a guest's row, for split.c; not written
};

struct results {
    int n;
    struct result row[RESULTS_MAX];
};

static const struct result result_none = {.n = 1, .ir = -1, .min_ns = -1, .med_ns = -1, .p90_ns = -1};

static struct result *results_find(struct results *r, const char *bench, const char *impl, const char *arch, unsigned n)
{
    for (int i = 0; i < r->n; i++) {
        struct result *row = &r->row[i];
        if (strcmp(row->bench, bench) == 0 && strcmp(row->impl, impl) == 0 && strcmp(row->arch, arch) == 0 && row->n == n)
            return row;
    }
    return NULL;
}

static double results_ir(struct results *r, const char *bench, const char *impl, const char *arch, unsigned n)
{
    const struct result *row = results_find(r, bench, impl, arch, n);
    return row != NULL ? row->ir : -1;
}

static inline void result_number(FILE *out, const char *name, double value)
{
    if (value < 0)
        fprintf(out, ",\"%s\":null", name);
    else
        fprintf(out, ",\"%s\":%.3f", name, value);
}

static inline void result_write(FILE *out, const struct result *r)
{
    fprintf(out, "{\"bench\":\"%s\",\"impl\":\"%s\",\"arch\":\"%s\",\"n\":%u", r->bench, r->impl, r->arch, r->n);
    result_number(out, "ir", r->ir);
    result_number(out, "min_ns", r->min_ns);
    result_number(out, "med_ns", r->med_ns);
    result_number(out, "p90_ns", r->p90_ns);
    fprintf(out, ",\"cc\":\"%s\",\"flags\":\"%s\",\"rev\":\"%s\"}\n", r->cc, r->flags, r->rev);
}

// Where the value of a member begins, or NULL.
static inline const char *result_member(const char *line, const char *name)
{
    char key[32];
    const char *at;
    snprintf(key, sizeof key, "\"%s\":", name);
    at = strstr(line, key);
    return at != NULL ? at + strlen(key) : NULL;
}

static inline bool result_text(const char *line, const char *name, char *out, size_t size)
{
    const char *at = result_member(line, name);
    if (at == NULL || *at != '"')
        return false;
    snprintf(out, size, "%.*s", (int)strcspn(at + 1, "\""), at + 1);
    return true;
}

static inline double result_value(const char *line, const char *name)
{
    const char *at = result_member(line, name);
    return at != NULL && (*at == '-' || (*at >= '0' && *at <= '9')) ? strtod(at, NULL) : -1;
}

// From a line of the file, or from the line of a guest program, which has fewer members. False: it is none.
static inline bool result_parse(const char *line, struct result *r)
{
    double n = result_value(line, "n");
    *r = result_none;
    if (!result_text(line, "bench", r->bench, sizeof r->bench) || !result_text(line, "impl", r->impl, sizeof r->impl) ||
        !result_text(line, "arch", r->arch, sizeof r->arch))
        return false;
    r->n = n < 1 ? 1 : (unsigned)n;
    r->ir = result_value(line, "ir");
    r->min_ns = result_value(line, "min_ns");
    r->med_ns = result_value(line, "med_ns");
    r->p90_ns = result_value(line, "p90_ns");
    (void)result_text(line, "cc", r->cc, sizeof r->cc);
    (void)result_text(line, "flags", r->flags, sizeof r->flags);
    (void)result_text(line, "rev", r->rev, sizeof r->rev);
    (void)result_text(line, "window", r->window, sizeof r->window);
    return true;
}

static inline bool results_read(const char *path, struct results *r)
{
    char line[2048];
    FILE *in = fopen(path, "r");
    r->n = 0;
    if (in == NULL)
        return false;
    while (r->n < RESULTS_MAX && fgets(line, sizeof line, in))
        if (result_parse(line, &r->row[r->n]))
            r->n++;
    fclose(in);
    return true;
}

static inline bool results_write(const char *path, const struct results *r)
{
    FILE *out = fopen(path, "w");
    if (out == NULL)
        return false;
    for (int i = 0; i < r->n; i++)
        result_write(out, &r->row[i]);
    return fclose(out) == 0;
}

#endif
