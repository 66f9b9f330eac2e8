// SPDX-License-Identifier: Apache-2.0
//
// Runs the benchmark programs, counts and times them, and writes what came out: one JSON line per row to
// build/bench/results.jsonl, tables for people, and the table of README.md.
//
//     driver GUEST...           everything
//     driver --again GUEST...   those guests anew, the rest as it was written last
//     driver --check GUEST...   counts twice; the two must be the same
//     driver --only NAME        counts and times of one program, as a table; nothing is written
//
// A GUEST is a file with a line "name: ELF: command" for a program that counts in a guest (rules.mk).
#define _GNU_SOURCE
#include <limits.h>
#include <time.h>

#include "bench/count.h"

#define BEGIN "<!-- bench:begin -->"
#define END "<!-- bench:end -->"

static const struct program {
    const char *path, *arch;
    bool counted; // else the clock alone
} programs[] = {
    {"build/bench/host-same", "minimal", true}, {"build/bench/host-other", "minimal", true},
    {"build/bench/vm", "minimal", true},        {"build/bench/hand", "minimal", true},
    {"build/bench/scale", "minimal", true},     {"build/bench/threads", "minimal", false},
    {"build/bench/kvm", "x86-kvm", true},
};
enum { PROGRAMS = sizeof programs / sizeof programs[0] };

// Who executes a guest's round, in the order in which split prints them. The guest's own is the rest.
static const char *const parts[] = {"asm", "decode", "core", "dispatch", "firmware", "guest"};
enum { PARTS = sizeof parts / sizeof parts[0], GUEST = PARTS - 1, KVM_ABOVE = 40 };

static struct {
    struct results results;
    struct ceiling ceilings[CEILING_MAX];
    int ceilings_n;
    char rev[64];
    double started;
} bench;

__attribute__((noreturn)) static void die(const char *what, const char *which)
{
    fprintf(stderr, "\nbench: %s%s\n", what, which);
    exit(1);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

// One line that is written over on a terminal.
static void progress(const char *what, const char *which)
{
    bool terminal = isatty(2);
    if (terminal || *what != 0)
        fprintf(stderr, "%s[%3.0f s] %s %s%s", terminal ? "\r\033[K" : "", seconds() - bench.started, what, which,
                terminal ? "" : "\n");
}

// The first line that a command prints, without its end, fit for JSON.
static void first_line(FILE *in, char *out, size_t size)
{
    if (in == NULL || fgets(out, (int)size, in) == NULL)
        out[0] = 0;
    out[strcspn(out, "\n")] = 0;
    for (; *out != 0; out++)
        if (*out == '"' || *out == '\\')
            *out = '\'';
}

static FILE *run(const char *program, const char *option)
{
    char command[256];
    snprintf(command, sizeof command, "%s %s", program, option);
    fflush(stdout);
    return popen(command, "r");
}

// ---- programs of this machine

// Since `first`: they are the program's.
static void describe(const struct program *p, int first)
{
    struct result about = result_none;
    FILE *in = run(p->path, "-v");
    first_line(in, about.cc, sizeof about.cc);
    first_line(in, about.flags, sizeof about.flags);
    if (in == NULL || pclose(in) != 0)
        die("does not run: ", p->path);
    for (int i = first; i < bench.results.n; i++) {
        memcpy(bench.results.row[i].cc, about.cc, sizeof about.cc);
        memcpy(bench.results.row[i].flags, about.flags, sizeof about.flags);
    }
}

static struct result *row_for(const char *name, const char *impl, const char *arch, unsigned n)
{
    struct result *row = results_find(&bench.results, name, impl, arch, n);
    if (row == NULL && bench.results.n < RESULTS_MAX) {
        row = &bench.results.row[bench.results.n++];
        *row = result_none;
        snprintf(row->bench, sizeof row->bench, "%s", name);
        snprintf(row->impl, sizeof row->impl, "%s", impl);
        snprintf(row->arch, sizeof row->arch, "%s", arch);
        row->n = n;
    }
    return row != NULL ? row : (die("too many rows at ", name), NULL);
}

static void time_program(const struct program *p)
{
    char name[48], impl[16];
    double ns[3];
    unsigned n;
    FILE *in = run(p->path, "-t");
    while (in != NULL && fscanf(in, "%47s %15s %u %lf %lf %lf", name, impl, &n, &ns[0], &ns[1], &ns[2]) == 6) {
        struct result *row = row_for(name, impl, p->arch, n);
        row->min_ns = ns[0];
        row->med_ns = ns[1];
        row->p90_ns = ns[2];
    }
    if (in == NULL || pclose(in) != 0)
        die("failed: ", p->path);
}

static void count_one(const struct program *p)
{
    progress("counting", p->path);
    if (count_program(p->path, p->arch, &bench.results) < 0)
        die("callgrind counted nothing (is valgrind installed, with its headers?): ", p->path);
}

// A program for KVM is of use only where that is.
static bool is_there(const struct program *p)
{
    return access(p->path, X_OK) == 0 && (strstr(p->path, "kvm") == NULL || access("/dev/kvm", R_OK | W_OK) == 0);
}

static void measure_programs(const char *only, bool timed)
{
    for (int i = 0; i < PROGRAMS; i++) {
        const struct program *p = &programs[i];
        int first = bench.results.n;
        if (!is_there(p) || (only != NULL && strstr(p->path, only) == NULL))
            continue;
        if (p->counted)
            count_one(p);
        if (timed) {
            progress("timing", p->path);
            time_program(p);
        }
        describe(p, first);
    }
}

// ---- guest programs

struct guest {
    char name[32], elf[256], command[1024];
};

// Compiler and options as the debug information has them.
static void describe_guest(const struct guest *g, int first)
{
    char command[512], line[1024];
    const char *options;
    FILE *in;
    snprintf(command, sizeof command,
             "readelf -W --debug-dump=info '%s' 2>/dev/null | sed -n 's/.*DW_AT_producer.*: \\(GNU C[0-9]* .*\\)/\\1/p' | head -n 1",
             g->elf);
    in = popen(command, "r");
    first_line(in, line, sizeof line);
    if (in != NULL)
        pclose(in);
    options = strstr(line, " -");
    for (int i = first; i < bench.results.n; i++) {
        struct result *r = &bench.results.row[i];
        snprintf(r->cc, sizeof r->cc, "%.*s", options != NULL ? (int)(options - line) : 60, line);
        snprintf(r->flags, sizeof r->flags, "%s", options != NULL ? options + 1 : "");
    }
}

static void add_part(const struct result *whole, const char *part, double ir)
{
    struct result row = *whole;
    if (bench.results.n == RESULTS_MAX)
        die("too many rows at ", whole->bench);
    snprintf(row.bench, sizeof row.bench, "%.30s.%s", whole->bench, part);
    row.ir = ir;
    bench.results.row[bench.results.n++] = row;
}

// What the guest has in the window beside the round itself is not in the row's count: the looks at the counter.
static void add_parts(const struct result *whole, const double of[PARTS])
{
    double sum = 0;
    for (int i = 0; i < GUEST; i++)
        sum += of[i];
    if (sum <= 0 || sum > whole->ir) {
        fprintf(stderr, "\nbench: %s (%s) is %.1f, but its parts %.1f\n", whole->bench, whole->arch, whole->ir, sum);
        return;
    }
    for (int i = 0; i < GUEST; i++)
        if (of[i] > 0 || strcmp(parts[i], "firmware") != 0)
            add_part(whole, parts[i], of[i]);
    add_part(whole, parts[GUEST], whole->ir - sum);
}

// The same program again, every instruction of it traced: by QEMU, or by Bochs' debugger from `play` on.
static int trace_command(const struct guest *g, char *out, size_t size)
{
    if (strstr(g->command, "bochs") != NULL)
        return snprintf(out, size,
                        "%s \"lb 0x$(nm '%s' | sed -n 's/^0*\\([0-9a-f]*\\) [tT] play$/\\1/p')\" c 'trace on' 'del 1' 2>/dev/null",
                        g->command, g->elf);
    return snprintf(out, size, "(%s -smp 1 -singlestep -d exec,nochain -D /dev/stderr) 2>&1 >/dev/null", g->command);
}

static void split_guest(const struct guest *g, int first)
{
    struct result rows[32];
    char command[4096];
    double of[PARTS];
    int n = bench.results.n - first, used;
    FILE *in;
    if (n > 32)
        die("too many rows: ", g->name);
    memcpy(rows, &bench.results.row[first], (size_t)n * sizeof rows[0]);
    used = trace_command(g, command, sizeof command);
    used += snprintf(command + used, sizeof command - (size_t)used, " </dev/null | build/bench/split '%s'", g->elf);
    for (int i = 0; i < n; i++)
        used += snprintf(command + used, sizeof command - (size_t)used, " '%s'", rows[i].window);
    in = popen(command, "r");
    for (int i = 0; in != NULL && i < n; i++) {
        for (int part = 0; part < PARTS; part++)
            if (fscanf(in, "%lf", &of[part]) != 1)
                n = 0;
        if (n != 0)
            add_parts(&rows[i], of);
    }
    if (in == NULL || pclose(in) != 0)
        fprintf(stderr, "\nbench: no split of %s\n", g->name);
}

static void read_guest(const char *path, struct guest *g)
{
    FILE *in = fopen(path, "r");
    if (in == NULL || fscanf(in, " %31[^:]: %255[^:]: %1023[^\n]", g->name, g->elf, g->command) != 3)
        die("cannot read ", path);
    fclose(in);
}

static void measure_guests(char **files, bool split)
{
    struct guest g;
    for (; *files != NULL; files++) {
        int first = bench.results.n;
        read_guest(*files, &g);
        progress("counting", g.name);
        if (count_guest(g.command, &bench.results) < 0)
            die("failed: ", g.command);
        describe_guest(&g, first);
        if (split && bench.results.n > first) {
            progress("tracing", g.name);
            split_guest(&g, first);
        }
    }
}

// ioctls of each KVM row, where there is a KVM.
static void count_calls(void)
{
    static const struct program calls = {"build/bench/kvm-calls", "x86-kvm", false};
    int first = bench.results.n;
    if (is_there(&calls) && count_guest(calls.path, &bench.results) > 0)
        describe(&calls, first);
}

// ---- two runs are the same

static int compare(const struct results *before)
{
    int differ = 0;
    for (int i = 0; i < before->n; i++) {
        const struct result *b = &before->row[i];
        double now = results_ir(&bench.results, b->bench, b->impl, b->arch, b->n);
        if (now < b->ir || now > b->ir) {
            printf("%s@%u (%s, %s): %.3f, then %.3f\n", b->bench, b->n, b->impl, b->arch, b->ir, now);
            differ++;
        }
    }
    return differ;
}

static int check(char **guests)
{
    static struct results before;
    int differ;
    measure_programs(NULL, false);
    measure_guests(guests, false);
    before = bench.results;
    bench.results.n = 0;
    measure_programs(NULL, false);
    measure_guests(guests, false);
    progress("", "");
    differ = compare(&before);
    printf("%d rows counted twice, %d differ\n", before.n, differ);
    return differ != 0 || before.n != bench.results.n;
}

// ---- numbers for people

// 23 as "23", 30.25 as "30.2", nothing as "-"
static const char *number(double value)
{
    static char text[16][16];
    static unsigned next;
    char *out = text[next++ % 16];
    if (value < 0)
        return "-";
    snprintf(out, sizeof text[0], value - (double)(long)value < 0.05 ? "%.0f" : "%.1f", value);
    return out;
}

static double design(const char *name, const char *arch, unsigned n)
{
    for (int i = 0; i < bench.ceilings_n; i++) {
        const struct ceiling *c = &bench.ceilings[i];
        if (strcmp(c->bench, name) == 0 && strcmp(c->arch, arch) == 0 && c->n == n)
            return c->design;
    }
    return -1;
}

static double ir(const char *name, const char *impl, const char *arch, unsigned n)
{
    return results_ir(&bench.results, name, impl, arch, n);
}

// Host rows: a name for people and what the Rust axvcpu 0.3.0 needs, counted in the same way (opt-level 3, fat
// LTO); -1: it has no such thing.
static const struct line {
    const char *row;
    unsigned n;
    const char *title;
    double rust;
} lines[] = {
    {"run_halt", 1, "run to HALT", 49},
    {"run_dispatch", 1, "run + dispatch over 8 kinds", 68.9},
    {"bind_unbind", 1, "bind + unbind", 36},
    {"transitions", 1, "two transitions", 23},
    {"with_current", 1, "with_current, empty function", 12},
    {"with_current_seen", 1, "with_current, one that looks", -1},
    {"get_state", 1, "get_state", 8},
    {"current", 1, "current", 6},
    {"init_unbind", 1, "init, setup, bind, unbind", 157},
    {"lookup_last", 16, "device lookup, last hit", -1},
    {"lookup", 16, "device lookup among 16", -1},
    {"lookup", 1024, "device lookup among 1024", -1},
};
enum { LINES = sizeof lines / sizeof lines[0] };

static const struct column {
    const char *impl, *title;
} columns[] = {
    {"same", "same file"}, {"other", "other file"}, {"vm", "axvm_run_vcpu"},
    {"bare", "in the loop"}, {"direct", "called"}, {"pointer", "by pointer"},
};
enum { COLUMNS = sizeof columns / sizeof columns[0] };

static void print_host(void)
{
    printf("\ninstructions per operation, loop included\n\n%-29s %5s %36s %35s %7s %19s\n", "", "",
           "------------- axvcpu.h ------------", "----- no checks, by hand -----", "Rust", "median ns");
    printf("%-29s %5s", "", "must");
    for (int c = 0; c < COLUMNS; c++)
        printf(c == 2 ? " %13s" : " %11s", columns[c].title);
    printf(" %7s %9s %9s\n", "axvcpu", "same", "other");
    for (int i = 0; i < LINES; i++) {
        const struct line *l = &lines[i];
        printf("%-29s %5s", l->title, number(design(l->row, "minimal", l->n)));
        for (int c = 0; c < COLUMNS; c++)
            printf(c == 2 ? " %13s" : " %11s", number(ir(l->row, columns[c].impl, "minimal", l->n)));
        printf(" %7s", number(l->rust));
        for (int c = 0; c < 2; c++) {
            const struct result *r = results_find(&bench.results, l->row, columns[c].impl, "minimal", l->n);
            if (r != NULL && r->med_ns >= 0)
                printf(" %9.2f", r->med_ns);
        }
        putchar('\n');
    }
}

// What scales: each name once, its sizes beside it.
static void print_scaling(void)
{
    const char *last = "";
    printf("\ninstructions per operation (and ns) against how many there are\n");
    for (int i = 0; i < bench.results.n; i++) {
        const struct result *r = &bench.results.row[i];
        bool first = strcmp(r->bench, last) != 0;
        if (strcmp(r->impl, "scale") != 0 && strcmp(r->impl, "threads") != 0)
            continue;
        for (int j = 0; j < i && first; j++)
            first = strcmp(bench.results.row[j].bench, r->bench) != 0;
        if (!first)
            continue;
        last = r->bench;
        printf("\n%-13s", r->bench);
        for (int j = i; j < bench.results.n; j++) {
            const struct result *s = &bench.results.row[j];
            if (strcmp(s->bench, r->bench) == 0)
                printf("  %u: %s (%.1f)", s->n, number(s->ir), s->med_ns);
        }
    }
    putchar('\n');
}

static bool is_guest(const struct result *r)
{
    return strcmp(r->arch, "minimal") != 0 && strchr(r->bench, '.') == NULL;
}

static double part_of(const struct result *r, const char *part)
{
    char name[48];
    snprintf(name, sizeof name, "%.30s.%s", r->bench, part);
    return ir(name, r->impl, r->arch, r->n);
}

// KVM's limit is relative: so much above the bare ioctl loop beside it (DESIGN 10).
static double trip_limit(const struct result *r)
{
    if (strcmp(r->arch, "x86-kvm") == 0)
        return strcmp(r->impl, "axvcpu") == 0 ? ir(r->bench, "ioctl", r->arch, r->n) + KVM_ABOVE : -1;
    return design(r->bench, r->arch, r->n);
}

static void print_guests(void)
{
    printf("\ninstructions per round trip, guest and host (KVM: user space alone); by part\n\n"
           "%-10s %-23s %-8s %5s %7s %6s %7s %6s %9s %9s %6s %7s %10s\n",
           "", "", "", "must", "all", "asm", "decode", "core", "dispatch", "firmware", "guest", "ioctls", "median ns");
    for (int i = 0; i < bench.results.n; i++) {
        const struct result *r = &bench.results.row[i];
        if (!is_guest(r))
            continue;
        printf("%-10s %-23s %-8s %5s %7s %6s %7s %6s %9s %9s %6s %7s %10s\n", r->arch, r->bench, r->impl, number(trip_limit(r)),
               number(r->ir), number(part_of(r, "asm")), number(part_of(r, "decode")), number(part_of(r, "core")),
               number(part_of(r, "dispatch")), number(part_of(r, "firmware")), number(part_of(r, "guest")),
               number(part_of(r, "ioctls")), number(r->med_ns));
    }
}

// ---- README.md

static void readme_host(FILE *out)
{
    fprintf(out, "| | same file | other file | in `axvm_run_vcpu` | limit | by hand, unchecked: in the loop | called "
                 "| by pointer | Rust axvcpu 0.3.0 |\n|---|---|---|---|---|---|---|---|---|\n");
    for (int i = 0; i < LINES; i++) {
        const char *row = lines[i].row;
        unsigned n = lines[i].n;
        fprintf(out, "| %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", lines[i].title,
                number(ir(row, "same", "minimal", n)), number(ir(row, "other", "minimal", n)),
                number(ir(row, "vm", "minimal", n)), number(design(row, "minimal", n)),
                number(ir(row, "bare", "minimal", n)), number(ir(row, "direct", "minimal", n)),
                number(ir(row, "pointer", "minimal", n)), number(lines[i].rust));
    }
    fprintf(out, "\n![Host operations](bench/host.svg)\n\n![What grows with what](bench/scale.svg)\n\n");
}

static void readme_guests(FILE *out)
{
    fprintf(out, "A round trip, from the guest to the host's loop and back; on KVM what user space executes, beside the\n"
                 "bare ioctl loop (`ioctl`):\n\n"
                 "| | | instructions | limit | asm | decode | core | dispatch | firmware | guest | ioctls |\n"
                 "|---|---|---|---|---|---|---|---|---|---|---|\n");
    for (int i = 0; i < bench.results.n; i++) {
        const struct result *r = &bench.results.row[i];
        bool bare = strcmp(r->impl, "ioctl") == 0;
        if (!is_guest(r) || (strcmp(r->impl, "axvcpu") != 0 && !bare))
            continue;
        fprintf(out, "| %s%s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", r->arch, bare ? ", `ioctl`" : "", r->bench,
                number(r->ir), number(trip_limit(r)), number(part_of(r, "asm")), number(part_of(r, "decode")),
                number(part_of(r, "core")), number(part_of(r, "dispatch")), number(part_of(r, "firmware")),
                number(part_of(r, "guest")), number(part_of(r, "ioctls")));
    }
    fprintf(out, "\n![Round trips](bench/guests.svg)\n\n");
}

static char *read_all(const char *path)
{
    char *text = calloc(1, 1 << 20);
    FILE *in = fopen(path, "r");
    if (text == NULL || in == NULL || fread(text, 1, (1 << 20) - 1, in) == 0)
        die("cannot read ", path);
    fclose(in);
    return text;
}

static void write_readme(void)
{
    char *text = read_all("README.md");
    char *begin = strstr(text, BEGIN), *end = begin != NULL ? strstr(begin, END) : NULL;
    const struct result *r = results_find(&bench.results, "run_halt", "same", "minimal", 1);
    FILE *out;
    if (end == NULL || r == NULL)
        die("README.md has no lines " BEGIN " and ", END);
    out = fopen("build/bench/README.md", "w");
    if (out == NULL)
        die("cannot write ", "build/bench/README.md");
    fwrite(text, 1, (size_t)(begin - text), out);
    fprintf(out, BEGIN "\n\n");
    readme_host(out);
    readme_guests(out);
    fprintf(out, "%s, `%s`. Written by `make bench`.\n\n" END, r->cc, r->flags);
    fputs(end + strlen(END), out);
    if (fclose(out) != 0 || rename("build/bench/README.md", "README.md") != 0)
        die("cannot write ", "README.md");
    free(text);
}

// ---- all of it

static void find_rev(void)
{
    FILE *in = popen("git describe --always --dirty 2>/dev/null", "r");
    first_line(in, bench.rev, sizeof bench.rev);
    if (in != NULL)
        pclose(in);
}

static void publish(void)
{
    progress("", "");
    for (int i = 0; i < bench.results.n; i++)
        memcpy(bench.results.row[i].rev, bench.rev, sizeof bench.rev);
    if (!results_write(RESULTS_FILE, &bench.results))
        die("cannot write ", RESULTS_FILE);
    print_host();
    print_scaling();
    print_guests();
    write_readme();
    printf("\n" RESULTS_FILE ", README.md; %.0f s\n", seconds() - bench.started);
}

static void everything(char **guests)
{
    measure_programs(NULL, true);
    count_calls();
    measure_guests(guests, true);
    publish();
}

// Out with the rows of the guest that the file is of.
static void forget(const char *file)
{
    struct guest g;
    int kept = 0;
    read_guest(file, &g);
    for (int i = 0; i < bench.results.n; i++)
        if (strcmp(bench.results.row[i].arch, g.name) != 0)
            bench.results.row[kept++] = bench.results.row[i];
    bench.results.n = kept;
}

static void guests_again(char **guests)
{
    if (!results_read(RESULTS_FILE, &bench.results))
        die("nothing to add to: ", RESULTS_FILE);
    for (char **file = guests; *file != NULL; file++)
        forget(*file);
    measure_guests(guests, true);
    publish();
}

int main(int argc, char **argv)
{
    bench.started = seconds();
    bench.ceilings_n = ceilings_read("bench/ceilings", bench.ceilings, CEILING_MAX);
    if (bench.ceilings_n < 0)
        die("no ", "bench/ceilings");
    find_rev();
    if (argc > 2 && strcmp(argv[1], "--check") == 0)
        return check(argv + 2);
    if (argc > 2 && strcmp(argv[1], "--again") == 0) {
        guests_again(argv + 2);
        return 0;
    }
    if (argc == 3 && strcmp(argv[1], "--only") == 0) {
        measure_programs(argv[2], true);
        print_host();
        print_scaling();
        print_guests();
        return 0;
    }
    if (argc < 2)
        die("usage: driver [--again | --check] GUEST... | --only PROGRAM", "");
    everything(argv + 1);
    return 0;
}
