// SPDX-License-Identifier: Apache-2.0
//
// Runs the benchmark programs, counts by callgrind and by the clock, and writes what came out: one JSON line
// per row to build/bench/results.jsonl, a table for people, and with --readme the table of README.md.
#define _GNU_SOURCE
#include <stdlib.h>

#include "bench/count.h"

enum { RESULTS = 128 };
#define RESULTS_FILE "build/bench/results.jsonl"
#define BEGIN "<!-- bench:begin -->"
#define END "<!-- bench:end -->"

static const char *const programs[] = {"build/bench/host-same", "build/bench/host-other", "build/bench/hand"};
enum { PROGRAMS = sizeof programs / sizeof programs[0] };

// The columns of the tables, and the rows: a name for people and what the Rust axvcpu 0.3.0 needs, counted
// in the same way (opt-level 3, fat LTO); 0: it has no such thing.
static const struct column {
    const char *impl, *title;
} columns[] = {
    {"same", "same file"}, {"other", "other file"},
    {"bare", "in the loop"}, {"direct", "called"}, {"pointer", "by pointer"},
};
enum { COLUMNS = sizeof columns / sizeof columns[0] };

static const struct line {
    const char *row, *title;
    double rust;
} lines[] = {
    {"run_halt", "run to HALT", 49},
    {"run_dispatch", "run + dispatch over 8 kinds", 68.9},
    {"bind_unbind", "bind + unbind", 36},
    {"transitions", "two transitions", 23},
    {"with_current", "with_current, empty function", 12},
    {"with_current_seen", "with_current, one that looks", 0},
    {"get_state", "get_state", 8},
    {"current", "current", 6},
    {"init_unbind", "init, setup, bind, unbind", 157},
    {"lookup_last", "device lookup, last hit", 0},
    {"lookup_16", "device lookup among 16", 0},
    {"lookup_1024", "device lookup among 1024", 0},
};
enum { LINES = sizeof lines / sizeof lines[0] };

struct result {
    struct count count;
    double ns[3]; // per round: min, median, p90
    const char *cc, *flags;
};

static struct {
    struct result results[RESULTS];
    int n;
    struct ceiling ceilings[CEILING_MAX];
    int ceilings_n;
    char cc[PROGRAMS][64], flags[PROGRAMS][64], rev[64];
} bench;

static void die(const char *what)
{
    fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

static void progress(const char *what, const char *program)
{
    if (isatty(2))
        fprintf(stderr, "\r\033[K%s%s", what, program);
    else if (*what != 0)
        fprintf(stderr, "%s%s\n", what, program);
}

// The first line that a command prints, without its end.
static void first_line(FILE *in, char *out, size_t size)
{
    if (in == NULL || fgets(out, (int)size, in) == NULL)
        out[0] = 0;
    out[strcspn(out, "\n")] = 0;
}

static FILE *run(const char *program, const char *option)
{
    char command[128];
    snprintf(command, sizeof command, "%s %s", program, option);
    fflush(stdout);
    return popen(command, "r");
}

// ---- measuring

static void count_all(int p)
{
    struct count counts[COUNT_MAX];
    int n;
    progress("counting ", programs[p]);
    n = count_program(programs[p], counts, COUNT_MAX);
    if (n < 0)
        die("callgrind counted nothing; is valgrind installed, with its headers?");
    for (int i = 0; i < n && bench.n < RESULTS; i++) {
        struct result *r = &bench.results[bench.n++];
        r->count = counts[i];
        r->cc = bench.cc[p];
        r->flags = bench.flags[p];
    }
}

static struct result *find(const char *row, const char *impl)
{
    for (int i = 0; i < bench.n; i++)
        if (strcmp(bench.results[i].count.row, row) == 0 && strcmp(bench.results[i].count.impl, impl) == 0)
            return &bench.results[i];
    return NULL;
}

static void time_all(int p)
{
    char row[32], impl[16];
    double ns[3];
    FILE *in;
    progress("timing ", programs[p]);
    in = run(programs[p], "-t");
    while (in != NULL && fscanf(in, "%31s %15s %lf %lf %lf", row, impl, &ns[0], &ns[1], &ns[2]) == 5) {
        struct result *r = find(row, impl);
        if (r != NULL)
            memcpy(r->ns, ns, sizeof ns);
    }
    if (in == NULL || pclose(in) != 0)
        die("a benchmark program failed");
}

static void measure(void)
{
    FILE *in = popen("git describe --always --dirty 2>/dev/null", "r");
    first_line(in, bench.rev, sizeof bench.rev);
    if (in != NULL)
        pclose(in);
    bench.ceilings_n = ceilings_read("bench/ceilings", bench.ceilings, CEILING_MAX);
    if (bench.ceilings_n < 0)
        die("no bench/ceilings");
    for (int p = 0; p < PROGRAMS; p++) {
        in = run(programs[p], "-v");
        first_line(in, bench.cc[p], sizeof bench.cc[p]);
        first_line(in, bench.flags[p], sizeof bench.flags[p]);
        if (in == NULL || pclose(in) != 0)
            die("a benchmark program does not run");
        count_all(p);
        time_all(p);
    }
    progress("", "");
}

// ---- results

static void write_json(void)
{
    FILE *out = fopen(RESULTS_FILE, "w");
    if (out == NULL)
        die("cannot write " RESULTS_FILE);
    for (int i = 0; i < bench.n; i++) {
        const struct result *r = &bench.results[i];
        fprintf(out,
                "{\"bench\":\"%s\",\"impl\":\"%s\",\"arch\":\"minimal\",\"n\":%d,\"ir\":%.3f,\"min_ns\":%.3f,"
                "\"med_ns\":%.3f,\"p90_ns\":%.3f,\"cc\":\"%s\",\"flags\":\"%s\",\"rev\":\"%s\"}\n",
                r->count.row, r->count.impl, r->count.n, r->count.ir, r->ns[0], r->ns[1], r->ns[2], r->cc, r->flags,
                bench.rev);
    }
    if (fclose(out) != 0)
        die("cannot write " RESULTS_FILE);
}

// 23 as "23", 30.25 as "30.2", nothing as "-"
static const char *number(double value)
{
    static char text[8][16];
    static unsigned next;
    char *out = text[next++ % 8];
    if (value <= 0)
        return "-";
    snprintf(out, sizeof text[0], value - (double)(long)value < 0.05 ? "%.0f" : "%.1f", value);
    return out;
}

static double design(const char *row)
{
    for (int i = 0; i < bench.ceilings_n; i++)
        if (strcmp(bench.ceilings[i].row, row) == 0)
            return bench.ceilings[i].design;
    return 0;
}

static double instructions(const char *row, const char *impl)
{
    const struct result *r = find(row, impl);
    return r != NULL ? r->count.ir : 0;
}

static void print_line(const struct line *l)
{
    printf("%-28s %6s", l->title, number(design(l->row)));
    for (int c = 0; c < COLUMNS; c++)
        printf(" %11s", number(instructions(l->row, columns[c].impl)));
    printf(" %7s   ", number(l->rust));
    for (int c = 0; c < 2; c++) {
        const struct result *r = find(l->row, columns[c].impl);
        if (r != NULL)
            printf("  %6.2f ns", r->ns[1]);
    }
    putchar('\n');
}

static void print_table(void)
{
    printf("\ninstructions per operation, loop included; %s %s\n\n", bench.cc[0], bench.flags[0]);
    printf("%-28s %6s %23s %35s %7s   %20s\n", "", "", "------- axvcpu.h ------",
           "----- no checks, by hand -----", "Rust", "median time");
    printf("%-28s %6s", "", "must");
    for (int c = 0; c < COLUMNS; c++)
        printf(" %11s", columns[c].title);
    printf(" %7s   %20s\n", "axvcpu", "same      other");
    for (int i = 0; i < LINES; i++)
        print_line(&lines[i]);
    printf("\n%s\n", RESULTS_FILE);
}

// ---- README.md

static void readme_table(FILE *out)
{
    fprintf(out, BEGIN "\n\n| | same file | other file | limit | by hand, unchecked | Rust axvcpu 0.3.0 |\n"
                       "|---|---|---|---|---|---|\n");
    for (int i = 0; i < LINES; i++) {
        const char *row = lines[i].row;
        fprintf(out, "| %s | %s | %s | %s | %s | %s |\n", lines[i].title, number(instructions(row, "same")),
                number(instructions(row, "other")), number(design(row)), number(instructions(row, "bare")),
                number(lines[i].rust));
    }
    fprintf(out, "\n%s, `%s`. Written by `bench/run.sh --readme`.\n\n" END, bench.cc[0], bench.flags[0]);
}

static char *read_all(const char *path)
{
    char *text = calloc(1, 1 << 20);
    FILE *in = fopen(path, "r");
    if (text == NULL || in == NULL || fread(text, 1, (1 << 20) - 1, in) == 0)
        die("cannot read README.md");
    fclose(in);
    return text;
}

static void write_readme(void)
{
    char *text = read_all("README.md");
    char *begin = strstr(text, BEGIN), *end = begin != NULL ? strstr(begin, END) : NULL;
    FILE *out;
    if (end == NULL)
        die("README.md has no lines " BEGIN " and " END);
    out = fopen("build/bench/README.md", "w");
    if (out == NULL)
        die("cannot write build/bench/README.md");
    fwrite(text, 1, (size_t)(begin - text), out);
    readme_table(out);
    fputs(end + strlen(END), out);
    if (fclose(out) != 0 || rename("build/bench/README.md", "README.md") != 0)
        die("cannot write README.md");
    free(text);
    printf("README.md\n");
}

int main(int argc, char **argv)
{
    bool readme = argc == 2 && strcmp(argv[1], "--readme") == 0;
    if (argc > 1 && !readme)
        die("usage: bench/run.sh [--readme]");
    measure();
    write_json();
    print_table();
    if (readme)
        write_readme();
    return 0;
}
