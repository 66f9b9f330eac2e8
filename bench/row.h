// SPDX-License-Identifier: Apache-2.0
//
// What every benchmark program has in common: a table of rows, and how it is played:
//
//     PROGRAM            under callgrind: dumps the instructions of N and of 2N rounds of every row
//     PROGRAM -t         times every row in batches: row, impl, min, median and p90 in ns per round
//     PROGRAM -v         compiler and flags
//     PROGRAM ROW N      N rounds of one row, and the checksum
#ifndef BENCH_ROW_H
#define BENCH_ROW_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(__has_include)
#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#endif
#endif
#ifndef CALLGRIND_ZERO_STATS // then counts are refused, times still work
#define CALLGRIND_ZERO_STATS ((void)0)
#define CALLGRIND_DUMP_STATS_AT(name) ((void)(name))
#endif

#ifndef BENCH_FLAGS
#define BENCH_FLAGS "?"
#endif
#ifdef __clang__
#define BENCH_CC __VERSION__
#else
#define BENCH_CC "gcc " __VERSION__
#endif

struct row {
    const char *name, *impl;
    int (*prepare)(void);       // before every play; 0 is good
    uint64_t (*play)(uint64_t); // n > 0 rounds; returns a checksum
};

// From here on the compiler knows nothing of this value nor of any memory, as if all had just come from
// somewhere; no instruction comes of it. The register is named, one that calls preserve: left to choose,
// gcc takes one for the value that goes round and another for the one in use, and moves it there and back.
#if defined(__x86_64__)
#define FORGET_IN(p, name)                                       \
    do {                                                         \
        register __typeof__(p) forget_ __asm__(name) = p;        \
        __asm__ volatile("" : "+r"(forget_) : : "memory");       \
        p = forget_;                                             \
    } while (0)
#else
#define FORGET_IN(p, name) __asm__ volatile("" : "+r"(p) : : "memory")
#endif
#define FORGET(p) FORGET_IN(p, "rbx")
#define FORGET2(p, q) FORGET(p); FORGET_IN(q, "r12")
#define FORGET3(p, q, r) FORGET2(p, q); FORGET_IN(r, "r13")
// n rounds, n > 0
#define ROUNDS(n, forget, ...)       \
    do {                             \
        do {                         \
            forget;                  \
            __VA_ARGS__              \
        } while (--(n) != 0);        \
    } while (0)
// The value must be there, in a register.
#define USE(value) __asm__ volatile("" : : "r"(value))

enum { ROW_COUNTED = 1024, ROW_BATCHES = 41, ROW_BATCH = 20000 };

static uint64_t row_play(const struct row *r, uint64_t n)
{
    if (r->prepare != NULL && r->prepare() != 0) {
        fprintf(stderr, "bench: %s cannot be prepared\n", r->name);
        exit(1);
    }
    return r->play(n);
}

// Two dumps whose difference is N rounds and nothing else.
static void row_count(const struct row *r)
{
    char name[96];
    snprintf(name, sizeof name, "%s %s %d", r->name, r->impl, ROW_COUNTED);
    for (uint64_t times = 1; times <= 2; times++) {
        CALLGRIND_ZERO_STATS;
        (void)row_play(r, times * ROW_COUNTED);
        CALLGRIND_DUMP_STATS_AT(name);
    }
}

static int row_by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double row_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

// The clock is read twice per batch, never per round.
static void row_time(const struct row *r)
{
    double ns[ROW_BATCHES];
    (void)row_play(r, ROW_BATCH); // warm
    for (int i = 0; i < ROW_BATCHES; i++) {
        double start;
        if (r->prepare != NULL)
            (void)r->prepare();
        start = row_now();
        (void)r->play(ROW_BATCH);
        ns[i] = (row_now() - start) / ROW_BATCH;
    }
    qsort(ns, ROW_BATCHES, sizeof ns[0], row_by_value);
    printf("%s %s %.3f %.3f %.3f\n", r->name, r->impl, ns[0], ns[ROW_BATCHES / 2], ns[ROW_BATCHES * 9 / 10]);
}

static int rows_main(const struct row *rows, int argc, char **argv)
{
    uint64_t n = argc == 3 ? strtoull(argv[2], NULL, 0) : 0;
    if (argc == 2 && strcmp(argv[1], "-v") == 0)
        return printf("%s\n%s\n", BENCH_CC, BENCH_FLAGS) < 0;
    for (const struct row *r = rows; r->name != NULL; r++) {
        if (argc == 1)
            row_count(r);
        else if (argc == 2 && strcmp(argv[1], "-t") == 0)
            row_time(r);
        else if (n != 0 && strcmp(argv[1], r->name) == 0)
            return printf("%s %s %" PRIu64 " %" PRIu64 "\n", r->name, r->impl, n, row_play(r, n)) < 0;
    }
    return argc > 2;
}

#endif
