// SPDX-License-Identifier: Apache-2.0
//
// Runs the TAP programs of one test target, counts their cases and says how it went:
//
//     run [-j N] [-l SECONDS] [-v] TARGET PROGRAM...   runs; PROGRAM is a path or NAME=SHELL COMMAND
//     run -s TARGET...                                 adds up the targets that ran before
//
// A program fails its run by a failed case, and also by a crash, by running out of time, by
// stopping before its plan line or by having no case at all: each is counted as one failure more.
// Logs go to build/logs/TARGET/, counts to build/results/TARGET: the sum, then a line for each program. -s also
// writes them as a table, build/tested.md.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_JOBS = 16, MAX_LINE = 4096, SHOWN = 40, TAIL = 40 };

struct counts {
    unsigned passed, failed, skipped;
};

struct program {
    const char *what; // as given on the command line
    char name[128];
    char log[256];
    FILE *out;
    FILE *report; // what a person should see if it failed; printed in one piece
    char *report_text;
    size_t report_size;
    pid_t pid;
    int fd; // read end of its stdout and stderr
    double started;
    char line[MAX_LINE];
    size_t used;
    struct counts counts;
    char skipped_for[80]; // the reason of the last skip
    unsigned planned, shown;
    bool has_plan, explains; // explains: the lines after a failed case belong to it
};

static struct {
    const char *target;
    int jobs, seconds;
    bool verbose, strict;
    struct counts counts;
} run = { .jobs = 1, .seconds = 60 };

// The skips that remain allowed under CI=true. Everything else can be installed there, so that a
// test which is skipped would be a test that never runs.
static const struct {
    const char *prefix, *why;
} allowed_skips[] = {
    { "kvm: ", "no usable /dev/kvm on this machine" },
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what)
{
    fprintf(stderr, "run: %s: %s\n", what, strerror(errno));
    exit(2);
}

static bool starts(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

// ---- one line of TAP

static bool skip_is_allowed(const char *reason)
{
    if (!run.strict)
        return true;
    for (size_t i = 0; i < sizeof allowed_skips / sizeof allowed_skips[0]; i++)
        if (starts(reason, allowed_skips[i].prefix))
            return true;
    return false;
}

static void show(struct program *p, const char *line)
{
    if (run.verbose && line[0] == '#')
        return; // was shown already; here come only the names once more
    if (p->shown++ < SHOWN)
        fprintf(p->report, "  %s\n", line);
    else if (p->shown == SHOWN + 1)
        fprintf(p->report, "  ... more in %s\n", p->log);
}

static void count_ok(struct program *p, const char *line)
{
    const char *skip = strstr(line, " # SKIP");
    const char *reason = skip ? skip + strlen(" # SKIP") : NULL;
    if (!reason) {
        p->counts.passed++;
        return;
    }
    reason += strspn(reason, " ");
    if (skip_is_allowed(reason)) {
        snprintf(p->skipped_for, sizeof p->skipped_for, "%s", reason);
        p->counts.skipped++;
        return;
    }
    p->counts.failed++;
    show(p, line);
    show(p, "#   CI=true does not allow this skip");
}

static void take_line(struct program *p, const char *line)
{
    if (run.verbose)
        puts(line);
    if (starts(line, "ok ")) {
        p->explains = false;
        count_ok(p, line);
    } else if (starts(line, "not ok ")) {
        p->explains = true;
        p->counts.failed++;
        show(p, line);
    } else if (starts(line, "Bail out!") || (p->explains && line[0] == '#')) {
        show(p, line);
    } else if (starts(line, "1..")) {
        p->has_plan = true;
        p->planned = (unsigned)strtoul(line + 3, NULL, 10);
    }
}

static void take_bytes(struct program *p, const char *bytes, size_t n)
{
    fwrite(bytes, 1, n, p->out);
    for (size_t i = 0; i < n; i++) {
        if (bytes[i] == '\r') // serial consoles
            continue;
        if (bytes[i] != '\n' && p->used < sizeof p->line - 1) {
            p->line[p->used++] = bytes[i];
        } else if (bytes[i] == '\n') {
            p->line[p->used] = 0;
            p->used = 0;
            take_line(p, p->line);
        }
    }
}

// ---- one program

static void set_name(struct program *p)
{
    const char *end = strchr(p->what, '=');
    const char *from = p->what;
    if (!end) {
        end = from + strlen(from);
        if (starts(from, "build/tests/"))
            from += strlen("build/tests/");
    }
    snprintf(p->name, sizeof p->name, "%.*s", (int)(end - from), from);
    snprintf(p->log, sizeof p->log, "build/logs/%s/%s.log", run.target, p->name);
    for (char *c = p->log + strlen("build/logs/") + strlen(run.target) + 1; *c; c++)
        if (*c == '/')
            *c = '-';
}

static void exec_program(const struct program *p)
{
    const char *command = strchr(p->what, '=');
    // Address space randomization can put mappings where the thread sanitizer cannot have them.
    if (personality(ADDR_NO_RANDOMIZE) < 0)
        fprintf(stderr, "# address space randomization stays on\n");
    setenv("TSAN_OPTIONS", "halt_on_error=1", 0);
    setenv("UBSAN_OPTIONS", "print_stacktrace=1", 0);
    if (command)
        execl("/bin/sh", "sh", "-c", command + 1, (char *)NULL);
    else
        execl(p->what, p->what, (char *)NULL);
    fprintf(stderr, "%s: %s\n", p->what, strerror(errno));
    _exit(127);
}

static void start(struct program *p)
{
    int fds[2];
    set_name(p);
    p->out = fopen(p->log, "w");
    p->report = open_memstream(&p->report_text, &p->report_size);
    if (!p->out || !p->report)
        die(p->log);
    if (pipe2(fds, O_CLOEXEC) < 0)
        die("pipe");
    fflush(stdout);
    p->pid = fork();
    if (p->pid < 0)
        die("fork");
    if (p->pid == 0) {
        setpgid(0, 0); // a group of its own: what it starts is stopped with it
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(fds[1], 1);
        dup2(fds[1], 2);
        exec_program(p);
    }
    setpgid(p->pid, p->pid); // in both processes, whichever comes first
    close(fds[1]);
    p->fd = fds[0];
    p->started = now();
}

static void show_tail(struct program *p)
{
    char lines[TAIL][512];
    unsigned n = 0;
    FILE *in = fopen(p->log, "r");
    if (!in)
        return;
    while (fgets(lines[n % TAIL], sizeof lines[0], in))
        n++;
    fclose(in);
    for (unsigned i = n > TAIL ? n - TAIL : 0; i < n; i++)
        fprintf(p->report, "  | %s", lines[i % TAIL]);
}

__attribute__((format(printf, 2, 3))) static void complain(struct program *p, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    p->counts.failed++;
    fputs("  ", p->report);
    vfprintf(p->report, fmt, ap);
    fprintf(p->report, " (log: %s)\n", p->log);
    va_end(ap);
}

// What a program can do wrong apart from a failed case.
static void judge(struct program *p, int status, bool late)
{
    unsigned cases = p->counts.passed + p->counts.failed + p->counts.skipped;
    unsigned before = p->counts.failed;
    if (late)
        complain(p, "not finished after %d s", run.seconds);
    else if (WIFSIGNALED(status))
        complain(p, "ended by signal %d", WTERMSIG(status));
    else if (WEXITSTATUS(status) != 0 && p->counts.failed == 0)
        complain(p, "exit code %d without a failed case", WEXITSTATUS(status));
    else if (cases == 0)
        complain(p, "no test case");
    else if (!p->has_plan || p->planned != cases)
        complain(p, "stopped early or miscounted after %u cases", cases);
    if (p->counts.failed != before && !run.verbose)
        show_tail(p);
}

static void finish(struct program *p, bool late)
{
    int status = 0;
    kill(-p->pid, SIGKILL); // only what is left of a program that closed its output, or is late
    waitpid(p->pid, &status, 0);
    if (p->used)
        take_bytes(p, "\n", 1);
    close(p->fd);
    fclose(p->out);
    judge(p, status, late);
    printf("%-8s %-40s %5u passed", p->counts.failed ? "FAILED" : "ok", p->name, p->counts.passed);
    if (p->counts.failed)
        printf(", %u failed", p->counts.failed);
    if (p->counts.skipped)
        printf(", %u skipped", p->counts.skipped);
    fclose(p->report);
    printf("  %.1f s\n%s", now() - p->started, p->report_text);
    free(p->report_text);
    fflush(stdout);
    run.counts.passed += p->counts.passed;
    run.counts.failed += p->counts.failed;
    run.counts.skipped += p->counts.skipped;
}

// ---- all programs of a target

// Waits for output of any running program, or until one of them is late.
static void pump(struct program **running, int n)
{
    struct pollfd fds[MAX_JOBS];
    for (int i = 0; i < n; i++)
        fds[i] = (struct pollfd){ .fd = running[i]->fd, .events = POLLIN };
    if (poll(fds, (nfds_t)n, 200) < 0 && errno != EINTR)
        die("poll");
    for (int i = 0; i < n; i++) {
        struct program *p = running[i];
        char bytes[8192];
        ssize_t got = 1;
        bool late = now() - p->started > run.seconds;
        if (!late && fds[i].revents) {
            got = read(p->fd, bytes, sizeof bytes);
            if (got > 0)
                take_bytes(p, bytes, (size_t)got);
        }
        if (late || got <= 0) {
            finish(p, late);
            p->fd = -1;
        }
    }
}

static void run_all(struct program *programs, int count)
{
    struct program *running[MAX_JOBS];
    int next = 0, n = 0;
    while (next < count || n > 0) {
        while (next < count && n < run.jobs) {
            start(&programs[next]);
            running[n++] = &programs[next++];
        }
        pump(running, n);
        for (int i = n - 1; i >= 0; i--)
            if (running[i]->fd < 0)
                running[i] = running[--n];
    }
}

// The pinned number of cases: a target that lost cases has lost tests.
static int minimum_of(const char *target)
{
    char line[256], name[64];
    int n, found = -1;
    FILE *in = fopen("tests/minimum", "r");
    if (!in)
        die("tests/minimum");
    while (found < 0 && fgets(line, sizeof line, in))
        if (line[0] != '#' && sscanf(line, "%63s %d", name, &n) == 2 && strcmp(name, target) == 0)
            found = n;
    fclose(in);
    return found;
}

static void check_minimum(void)
{
    int want = minimum_of(run.target);
    int have = (int)(run.counts.passed + run.counts.failed + run.counts.skipped);
    if (want >= 0 && have >= want)
        return;
    run.counts.failed++;
    if (want < 0) // nobody pinned it yet
        printf("  tests/minimum has no line for %s (there are %d cases)\n", run.target, have);
    else
        printf("  %d cases, but tests/minimum wants at least %d\n", have, want);
}

static void make_directories(void)
{
    char path[256];
    mkdir("build", 0777);
    mkdir("build/logs", 0777);
    mkdir("build/results", 0777);
    snprintf(path, sizeof path, "build/logs/%s", run.target);
    mkdir(path, 0777);
}

static void save(const struct program *programs, int count)
{
    char path[256];
    FILE *out;
    snprintf(path, sizeof path, "build/results/%s", run.target);
    out = fopen(path, "w");
    if (!out)
        die(path);
    fprintf(out, "%u %u %u\n", run.counts.passed, run.counts.failed, run.counts.skipped);
    for (const struct program *p = programs; p < programs + count; p++)
        fprintf(out, "%u %u %u %s%s%s\n", p->counts.passed, p->counts.failed, p->counts.skipped, p->name,
                *p->skipped_for ? "|" : "", p->skipped_for);
    if (fclose(out) != 0)
        die(path);
}

static int closing_line(const char *before)
{
    struct counts c = run.counts;
    printf("%s%u passed, %u failed, %u skipped\n", before, c.passed, c.failed, c.skipped);
    return c.failed != 0;
}

static int test_target(char **names, int count)
{
    struct program *programs = calloc((size_t)count + 1, sizeof *programs);
    char before[80];
    if (!programs)
        die("calloc");
    make_directories();
    for (int i = 0; i < count; i++)
        programs[i].what = names[i];
    run_all(programs, count);
    check_minimum();
    save(programs, count);
    free(programs);
    snprintf(before, sizeof before, "test-%s: ", run.target);
    return closing_line(before);
}

// ---- the sum

// "core/o2/exits": the program's name alone, for those of a target that are built several times over.
static const char *without_target(const char *name, const char *target)
{
    return starts(name, target) && name[strlen(target)] == '/' ? name + strlen(target) + 1 : name;
}

// The rest of a target's results, as lines of the table.
static void tabulate(FILE *table, const char *target, FILE *results)
{
    char line[256];
    while (fgets(line, sizeof line, results)) {
        struct counts c;
        int at = 0;
        char *name, *reason;
        if (sscanf(line, "%u %u %u %n", &c.passed, &c.failed, &c.skipped, &at) != 3 || at == 0)
            continue;
        line[strcspn(line, "\n")] = '\0';
        name = line + at;
        reason = strchr(name, '|');
        if (reason)
            *reason++ = '\0';
        fprintf(table, "| %s | %s | %u | %u | %u %s |\n", target, without_target(name, target), c.passed, c.failed,
                c.skipped, reason ? reason : "");
    }
}

static int sum_targets(char **targets, int count)
{
    FILE *table = fopen("build/tested.md", "w");
    if (!table)
        die("build/tested.md");
    fputs("| target | program | passed | failed | skipped |\n|---|---|---|---|---|\n", table);
    for (int i = 0; i < count; i++) {
        char path[256];
        struct counts c = { 0, 0, 0 };
        FILE *in;
        snprintf(path, sizeof path, "build/results/%s", targets[i]);
        in = fopen(path, "r");
        if (!in || fscanf(in, "%u %u %u", &c.passed, &c.failed, &c.skipped) != 3) {
            printf("test-%s did not run to its end\n", targets[i]);
            c = (struct counts){ 0, 1, 0 };
        } else if (c.failed) {
            printf("test-%s failed\n", targets[i]);
        }
        if (in) {
            tabulate(table, targets[i], in);
            fclose(in);
        }
        run.counts.passed += c.passed;
        run.counts.failed += c.failed;
        run.counts.skipped += c.skipped;
    }
    if (fclose(table) != 0)
        die("build/tested.md");
    return closing_line("") != 0 || run.counts.passed == 0;
}

int main(int argc, char **argv)
{
    const char *ci = getenv("CI");
    bool sum = false;
    int option;
    run.strict = ci && strcmp(ci, "true") == 0;
    while ((option = getopt(argc, argv, "+j:l:sv")) != -1) {
        switch (option) {
        case 'j': run.jobs = atoi(optarg); break;
        case 'l': run.seconds = atoi(optarg); break;
        case 's': sum = true; break;
        case 'v': run.verbose = true; break;
        default: return 2;
        }
    }
    if (optind >= argc || run.seconds < 1) {
        fprintf(stderr, "usage: run [-j N] [-l SECONDS] [-v] TARGET PROGRAM... | run -s TARGET...\n");
        return 2;
    }
    run.jobs = run.jobs < 1 ? 1 : run.jobs > MAX_JOBS ? MAX_JOBS : run.jobs;
    if (sum)
        return sum_targets(argv + optind, argc - optind);
    run.target = argv[optind];
    return test_target(argv + optind + 1, argc - optind - 1);
}
