// SPDX-License-Identifier: Apache-2.0
//
// `make run` compiles the examples with this in front: every run of a vCPU is counted by its exit and timed,
// through the library's trace points, and the sum is printed at the end.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdint.h>
#include <stdio.h>
#include <time.h>

const char *axvcpu_exit_name(uint32_t kind);

static struct { uint64_t count, ns; } exits_seen[64];
static uint64_t exits_entered;

static uint64_t exits_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void exits_trace(int entering, int leaving, uint64_t kind)
{
    if (entering)
        exits_entered = exits_now();
    if (leaving && kind < 64) {
        exits_seen[kind].count++;
        exits_seen[kind].ns += exits_now() - exits_entered;
    }
}

__attribute__((destructor)) static void exits_print(void)
{
    printf("    %-20s %8s %14s\n", "exit", "count", "us in the guest, each");
    for (uint32_t kind = 0; kind < 64; kind++)
        if (exits_seen[kind].count != 0)
            printf("    %-20s %8llu %14.1f\n", axvcpu_exit_name(kind), (unsigned long long)exits_seen[kind].count,
                   (double)exits_seen[kind].ns / 1000 / (double)exits_seen[kind].count);
}

#define AXVCPU_TRACE(v, event, a, b)                                                                  \
    ((void)(v), (void)(b),                                                                            \
     exits_trace((event) == AXVCPU_TRACE_RUN_ENTER, (event) == AXVCPU_TRACE_RUN_LEFT, (uint64_t)(a)))
