// SPDX-License-Identifier: Apache-2.0
//
// Instructions per round of every row of a benchmark program, by callgrind: (Ir(2N) - Ir(N)) / N. And the
// file of ceilings. For the driver and for the test that holds the ceilings.
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

enum { COUNT_MAX = 64, CEILING_MAX = 64 };

struct count {
    char row[32], impl[16];
    int n;
    double ir;
};

struct ceiling {
    char row[32], impl[16];
    double held, design; // held < 0: measured, not held
};

// Runs argv, its output to /dev/null; its exit code.
static int count_spawn(char *const argv[])
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
static int count_parse(FILE *in, struct count *out, int max)
{
    char line[512];
    struct count c = {"", "", 0, 0};
    uint64_t ir = 0, before = 0;
    bool in_dump = false;
    int counts = 0;
    while (counts < max && fgets(line, sizeof line, in)) {
        struct count named = {"", "", 0, 0};
        if (sscanf(line, "desc: Trigger: Client Request: %31s %15s %d", named.row, named.impl, &named.n) == 3) {
            before = strcmp(named.row, c.row) == 0 && strcmp(named.impl, c.impl) == 0 ? ir : 0;
            c = named;
            in_dump = true;
        } else if (in_dump && sscanf(line, "totals: %" SCNu64, &ir) == 1) {
            in_dump = false;
            c.ir = (double)(ir - before) / c.n;
            if (before != 0)
                out[counts++] = c;
        }
    }
    return counts;
}

// How many rows, or -1: no callgrind, or no such program.
static int count_program(const char *program, struct count *out, int max)
{
    char file[64], option[96], path[128];
    char *argv[] = {(char[]){"valgrind"}, (char[]){"--tool=callgrind"}, (char[]){"--combine-dumps=yes"},
                    option, path, NULL};
    int counts = -1;
    FILE *in;
    snprintf(file, sizeof file, "build/bench/callgrind.%ld", (long)getpid());
    snprintf(option, sizeof option, "--callgrind-out-file=%s", file);
    snprintf(path, sizeof path, "%s", program);
    unlink(file); // callgrind appends
    in = count_spawn(argv) == 0 ? fopen(file, "r") : NULL;
    if (in != NULL) {
        counts = count_parse(in, out, max);
        fclose(in);
    }
    unlink(file);
    return counts > 0 ? counts : -1;
}

// Lines "row impl ceiling design"; a ceiling of "-" is none.
__attribute__((unused)) static int ceilings_read(const char *path, struct ceiling *out, int max)
{
    char line[256], held[16];
    int n = 0;
    FILE *in = fopen(path, "r");
    if (in == NULL)
        return -1;
    while (n < max && fgets(line, sizeof line, in)) {
        struct ceiling *c = &out[n];
        if (line[0] == '#' || sscanf(line, "%31s %15s %15s %lf", c->row, c->impl, held, &c->design) != 4)
            continue;
        if (sscanf(held, "%lf", &c->held) != 1)
            c->held = -1;
        n++;
    }
    fclose(in);
    return n;
}

#endif
