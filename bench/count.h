// SPDX-License-Identifier: Apache-2.0
//
// Instructions per round of every row of a benchmark program, by callgrind: (Ir(2N) - Ir(N)) / N. The rows
// that guest programs print. And the file of ceilings. For the driver and for the tests that hold the ceilings.
#ifndef BENCH_COUNT_H
#define BENCH_COUNT_H

#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/result.h"

enum { CEILING_MAX = 128 };

struct ceiling {
    char bench[48], impl[16], arch[16];
    unsigned n;
    double held, design; // negative: it has none
};

// Runs argv, its output to /dev/null; its exit code.
static inline int count_spawn(char *const argv[])
{
    int status = -1;
    pid_t pid;
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(null, 1);
        dup2(null, 2);
        execvp(argv[0], argv);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// Every row has left two dumps in the file, of N and of 2N rounds: a line with its name, later the sum.
static inline int count_parse(FILE *in, const char *arch, struct results *out)
{
    char line[512], last[96] = "";
    uint64_t ir = 0, before = 0, rounds = 0;
    struct result row = result_none;
    bool in_dump = false;
    int counts = 0;
    while (out->n < RESULTS_MAX && fgets(line, sizeof line, in)) {
        if (sscanf(line, "desc: Trigger: Client Request: %47s %15s %u %" SCNu64, row.bench, row.impl, &row.n, &rounds) == 4) {
            before = strncmp(line, last, sizeof last - 1) == 0 ? ir : 0;
            snprintf(last, sizeof last, "%.*s", (int)sizeof last - 1, line);
            in_dump = true;
        } else if (in_dump && sscanf(line, "totals: %" SCNu64, &ir) == 1) {
            in_dump = false;
            if (before == 0)
                continue;
            row.ir = (double)(ir - before) / (double)rounds;
            snprintf(row.arch, sizeof row.arch, "%s", arch);
            out->row[out->n++] = row;
            last[0] = 0;
            counts++;
        }
    }
    return counts;
}

// Adds the rows of the program; how many, or -1: no callgrind, or no such program.
static inline int count_program(const char *program, const char *arch, struct results *out)
{
    char file[64], option[96], path[128];
    char *argv[] = {(char[]){"valgrind"}, (char[]){"--tool=callgrind"}, (char[]){"--combine-dumps=yes"},
                    (char[]){"--instr-atstart=no"}, option, path, NULL};
    int counts = -1;
    FILE *in;
    snprintf(file, sizeof file, "build/bench/callgrind.%ld", (long)getpid());
    snprintf(option, sizeof option, "--callgrind-out-file=%s", file);
    snprintf(path, sizeof path, "%s", program);
    unlink(file); // callgrind appends
    in = count_spawn(argv) == 0 ? fopen(file, "r") : NULL;
    if (in != NULL) {
        counts = count_parse(in, arch, out);
        fclose(in);
    }
    unlink(file);
    return counts > 0 ? counts : -1;
}

// Adds the rows that a guest program prints, lines "# cost {...}"; how many, or -1: it failed.
static inline int count_guest(const char *command, struct results *out)
{
    char line[1024];
    int counts = 0;
    FILE *in;
    fflush(stdout);
    in = popen(command, "r");
    while (in != NULL && fgets(line, sizeof line, in))
        if (strncmp(line, "# cost {", 8) == 0 && out->n < RESULTS_MAX && result_parse(line, &out->row[out->n]))
            out->n++, counts++;
    return in != NULL && pclose(in) == 0 ? counts : -1;
}

static inline double ceiling_number(const char *text)
{
    double value = -1;
    return sscanf(text, "%lf", &value) == 1 ? value : -1;
}

// Lines "bench[@n] impl arch ceiling design"; "-" is no number.
static inline int ceilings_read(const char *path, struct ceiling *out, int max)
{
    char line[256], name[48], held[16], limit[16];
    int n = 0;
    FILE *in = fopen(path, "r");
    if (in == NULL)
        return -1;
    while (n < max && fgets(line, sizeof line, in)) {
        struct ceiling *c = &out[n];
        if (line[0] == '#' || sscanf(line, "%47s %15s %15s %15s %15s", name, c->impl, c->arch, held, limit) != 5)
            continue;
        c->n = 1;
        (void)sscanf(name, "%47[^@]@%u", c->bench, &c->n);
        c->held = ceiling_number(held);
        c->design = ceiling_number(limit);
        n++;
    }
    fclose(in);
    return n;
}

#endif
