// SPDX-License-Identifier: Apache-2.0
//
// What every benchmark program has in common: a table of rows, and how it is played:
//
//     PROGRAM            under callgrind: dumps the instructions of N and of 2N rounds of every row
//     PROGRAM -t         times every row in batches: bench, impl, n, then min, median and p90 in ns per round
//     PROGRAM -v         compiler and flags
//     PROGRAM ROW N      N rounds of one row, and the checksum; one that scales is called ROW@SIZE;
//                        where a program has several of the name, ROW/IMPL
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
#ifndef CALLGRIND_START_INSTRUMENTATION // then counts are refused, times still work
#define CALLGRIND_START_INSTRUMENTATION ((void)0)
#define CALLGRIND_STOP_INSTRUMENTATION ((void)0)
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
    unsigned n;                       // how many of what it scales with; 0: it does not scale
    int (*prepare)(unsigned n);       // before every play; 0 is good
    uint64_t (*play)(uint64_t rounds); // rounds > 0, a multiple of n; returns a checksum
    unsigned batch;                   // rounds between two looks at the clock; 0: ROW_BATCH
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
// What the i-th kind of exit brings, so that checksums tell one loop from another.
#define OPERAND(i) (UINT64_C(0x9e3779b97f4a7c15) * ((i) + 1u))
// The value must be there, in a register.
#define USE(value) __asm__ volatile("" : : "r"(value))

enum { ROW_COUNTED = 1024, ROW_BATCHES = 41, ROW_BATCH = 20000 };

// At least so many rounds, each of the n as often as the others.
static inline uint64_t row_rounds(const struct row *r, uint64_t least)
{
    uint64_t n = r->n != 0 ? r->n : 1;
    return (least + n - 1) / n * n;
}

static inline void row_prepare(const struct row *r)
{
    if (r->prepare != NULL && r->prepare(r->n) != 0) {
        fprintf(stderr, "bench: %s@%u cannot be prepared\n", r->name, r->n);
        exit(1);
    }
}

// Two dumps whose difference is N rounds and nothing else.
static inline void row_count(const struct row *r)
{
    uint64_t rounds = row_rounds(r, ROW_COUNTED);
    char name[96];
    snprintf(name, sizeof name, "%s %s %u %" PRIu64, r->name, r->impl, r->n != 0 ? r->n : 1, rounds);
    for (uint64_t times = 1; times <= 2; times++) {
        row_prepare(r);
        CALLGRIND_START_INSTRUMENTATION;
        (void)r->play(times * rounds);
        CALLGRIND_STOP_INSTRUMENTATION;
        CALLGRIND_DUMP_STATS_AT(name);
    }
}

static inline int row_by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static inline double row_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

// The clock is read twice per batch, never per round.
static inline void row_time(const struct row *r)
{
    uint64_t batch = row_rounds(r, r->batch != 0 ? r->batch : ROW_BATCH);
    double ns[ROW_BATCHES];
    row_prepare(r);
    (void)r->play(batch); // warm
    for (int i = 0; i < ROW_BATCHES; i++) {
        double start;
        row_prepare(r);
        start = row_now();
        (void)r->play(batch);
        ns[i] = (row_now() - start) / (double)batch;
    }
    qsort(ns, ROW_BATCHES, sizeof ns[0], row_by_value);
    printf("%s %s %u %.3f %.3f %.3f\n", r->name, r->impl, r->n != 0 ? r->n : 1, ns[0], ns[ROW_BATCHES / 2],
           ns[ROW_BATCHES * 9 / 10]);
    fflush(stdout);
}

// By its name alone, or with who does it: "ROW/IMPL".
static inline int row_is(const struct row *r, const char *name)
{
    char full[96], whose[128];
    snprintf(full, sizeof full, r->n != 0 ? "%s@%u" : "%s", r->name, r->n);
    snprintf(whose, sizeof whose, "%s/%s", full, r->impl);
    return strcmp(full, name) == 0 || strcmp(whose, name) == 0;
}

// One argument form for all: what two builds are compared with as processes.
static inline int row_once(const struct row *r, uint64_t rounds)
{
    rounds = row_rounds(r, rounds);
    row_prepare(r);
    return printf("%s %" PRIu64 " checksum %" PRIu64 "\n", r->name, rounds, r->play(rounds)) < 0;
}

static inline int rows_main(const struct row *rows, int argc, char **argv)
{
    uint64_t n = argc == 3 ? strtoull(argv[2], NULL, 0) : 0;
    if (argc == 2 && strcmp(argv[1], "-v") == 0)
        return printf("%s\n%s\n", BENCH_CC, BENCH_FLAGS) < 0;
    for (const struct row *r = rows; r->name != NULL; r++) {
        if (argc == 1)
            row_count(r);
        else if (argc == 2 && strcmp(argv[1], "-t") == 0)
            row_time(r);
        else if (n != 0 && row_is(r, argv[1]))
            return row_once(r, n);
    }
    return argc > 2;
}

#endif
