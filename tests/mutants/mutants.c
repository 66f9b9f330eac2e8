// SPDX-License-Identifier: Apache-2.0
//
// Faults that the tests must find. Each mutant of list.h is one small change of a header; it is made in a
// copy of the tree, and the test that is named with it must fail there. One that survives, that does not
// compile or whose text is not in the file exactly once is a failure; and so is a group of groups.h that
// has too few, or a trap of traps.h that has neither a mutant nor a reason for that.
//
//     mutants [OPTION...] COMMANDS [COUNT [SEED]]   all of them, or COUNT by a seed (drawn and printed without one)
//     mutants [OPTION...] COMMANDS TEXT             those with TEXT in their groups, their test or what they replace
//
// COMMANDS has a line `NAME|MAKE TARGET|SHELL COMMAND` for each test that is no program of the host. A test
// NAME:CASE is NAME with ONLY=CASE. With -j N so many are played at a time (2), each in a tree of its own. Each test
// is run without a fault, too; with -r RESULTS but for those whose suite has left a result there after the last
// change, all of it good.
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include "tests/tap.h"

enum { MAX_TREES = 16, TEXT = 1024, FILE_SIZE = 1 << 20, BUILD_SECONDS = 200, RUN_SECONDS = 100, USUAL_MS = 10000 };

static const struct mutant {
    const char *groups, *file, *test, *from, *to;
} mutants[] = {
#define CORE "axvcpu.h"
#define ARM64 "axvcpu_arch_arm64.h"
#define RISCV "axvcpu_arch_riscv.h"
#define X86 "axvcpu_arch_x86.h"
#define MUTANT(groups, file, test, from, to) { groups, file, test, from, to },
#include "list.h"
#undef MUTANT
};
enum { MUTANTS = sizeof mutants / sizeof mutants[0] };

// How many each group must have.
static const struct group {
    const char *name;
    unsigned least;
} groups[] = {
#define GROUP(name, least) { name, least },
#include "groups.h"
};

// Why a trap has none; NULL: it has.
static const struct trap {
    unsigned number;
    const char *what, *none;
} traps[] = {
#define TRAP(number, what, none) { number, what, none },
#include "traps.h"
};

// ---- the list itself

static bool is_in(const struct mutant *m, const char *group)
{
    size_t n = strlen(group);
    for (const char *at = m->groups; *at; at += strcspn(at, ","), at += strspn(at, ", "))
        if (strcspn(at, ",") == n && strncmp(at, group, n) == 0)
            return true;
    return false;
}

static unsigned count_of(const char *group)
{
    unsigned count = 0;
    for (size_t i = 0; i < MUTANTS; i++)
        count += is_in(&mutants[i], group);
    return count;
}

static void check_traps(void)
{
    char name[32];
    for (unsigned i = 0; i < sizeof traps / sizeof traps[0]; i++) {
        snprintf(name, sizeof name, "trap %u", i + 1);
        if (traps[i].none)
            ok(traps[i].number == i + 1 && count_of(name) == 0, "%s has no mutant: %s", name, traps[i].none);
        else
            ok(traps[i].number == i + 1 && count_of(name) != 0, "%s, %s: %u", name, traps[i].what, count_of(name));
    }
}

static char *read_file(const char *path)
{
    FILE *in = fopen(path, "r");
    char *text = in ? calloc(1, FILE_SIZE) : NULL;
    if (text && fread(text, 1, FILE_SIZE - 1, in) == FILE_SIZE - 1)
        text[0] = '\0'; // too long: nothing will be found in it
    if (in)
        fclose(in);
    return text;
}

// What is wrong with its text, or NULL; where it is.
static const char *find_text(const struct mutant *m, const char *text, const char **at)
{
    *at = text ? strstr(text, m->from) : NULL;
    return !text ? "cannot be read" : !*at ? "does not have it" : strstr(*at + 1, m->from) ? "has it more than once" : NULL;
}

// Also of those that are not played now.
static void check_texts(void)
{
    unsigned bad = 0;
    for (size_t i = 0; i < MUTANTS; i++) {
        char *text = read_file(mutants[i].file);
        const char *at, *why = find_text(&mutants[i], text, &at);
        if (why) {
            bad++;
            note("%s %s: %s", mutants[i].file, why, mutants[i].from);
        }
        free(text);
    }
    ok(bad == 0, "each text of the %d mutants is in its file exactly once", MUTANTS);
}

static void check_list(void)
{
    for (size_t g = 0; g < sizeof groups / sizeof groups[0]; g++)
        ok(count_of(groups[g].name) >= groups[g].least, "%s: at least %u mutants, %u", groups[g].name,
           groups[g].least, count_of(groups[g].name));
    check_traps();
    check_texts();
}

// ---- a test: what make builds, and what runs it

struct test {
    const char *name, *only; // the case, or NULL
    char target[TEXT], command[TEXT];
};
static struct test tests[MUTANTS];
static size_t test_count;
static const char *commands_path;

// One of the commands' lines, with the n bytes at `name` in front: its target and command.
static bool in_commands(const char *name, size_t n, struct test *t)
{
    FILE *in = fopen(commands_path, "r");
    char line[TEXT];
    bool found = false;
    while (in && !found && fgets(line, sizeof line, in)) {
        char *target_at = strchr(line, '|'), *command_at = target_at ? strchr(target_at + 1, '|') : NULL;
        if (!command_at || (size_t)(target_at - line) != n || strncmp(line, name, n) != 0)
            continue;
        line[strcspn(line, "\n")] = *command_at = '\0';
        snprintf(t->target, TEXT, "%s", target_at + 1);
        snprintf(t->command, TEXT, "%s", command_at + 1);
        found = true;
    }
    if (in)
        fclose(in);
    return found;
}

// SUITE/PROGRAM, or SUITE/BUILD/PROGRAM; core and vm are built several times over, and one will do.
static void find_test(struct test *t, const char *name)
{
    const char *base = strchr(name, '/') + 1, *only = strchr(name, ':');
    int length = only ? (int)(only - name) : (int)strlen(name);
    bool several = strncmp(name, "core/", 5) == 0 || strncmp(name, "vm/", 3) == 0;
    t->name = name;
    t->only = only ? only + 1 : NULL;
    if (in_commands(name, (size_t)length, t))
        return;
    snprintf(t->target, TEXT, "build/tests/%.*s%s%.*s", (int)(base - name), name,
             several && !memchr(base, '/', (size_t)(name + length - base)) ? "o2/" : "", (int)(name + length - base), base);
    memcpy(t->command, t->target, TEXT);
}

static size_t test_of(const struct mutant *m)
{
    size_t i = 0;
    while (i < test_count && strcmp(tests[i].name, m->test) != 0)
        i++;
    if (i == test_count)
        find_test(&tests[test_count++], m->test);
    return i;
}

// ---- one run in a tree

enum verdict { BROKEN, NO_BUILD, NOT_FOUND, SURVIVED, KILLED, SKIPPED, SHOWN };
static const char *const verdicts[] = { "the tree could not be prepared", "it does not compile",
                                        "its text is not in the file exactly once", "the test does not notice" };

// Written by the child that plays, read by us. `line`: the first case that failed, or why all are skipped.
struct result {
    enum verdict verdict;
    unsigned milliseconds;
    char line[160];
};
static struct result *plain, *mutated; // of tests, of mutants

static unsigned now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (unsigned)(t.tv_sec * 1000 + t.tv_nsec / 1000000);
}

__attribute__((format(printf, 1, 2))) static int shell(const char *fmt, ...)
{
    char command[4 * TEXT];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(command, sizeof command, fmt, ap);
    va_end(ap);
    return system(command);
}

static void keep_line(struct result *r, const char *line)
{
    snprintf(r->line, sizeof r->line, "%.*s", (int)strcspn(line, "\r\n"), line);
}

// All went well only if the plan came, too.
static void judge(struct result *r, FILE *log, int status)
{
    unsigned good = 0, bad = status != 0, skipped = 0, plans = 0;
    char line[TEXT];
    while (fgets(line, sizeof line, log)) {
        const char *skip = strstr(line, " # SKIP ");
        plans += strncmp(line, "1..", 3) == 0;
        if (strncmp(line, "not ok ", 7) == 0) {
            if (bad++ == (unsigned)(status != 0))
                keep_line(r, line);
        } else if (strncmp(line, "ok ", 3) == 0 && skip) {
            skipped++;
            keep_line(r, skip + 8);
        } else {
            good += strncmp(line, "ok ", 3) == 0;
        }
    }
    r->verdict = bad != 0 || plans == 0 ? KILLED : good == 0 && skipped != 0 ? SKIPPED : SURVIVED;
    if (bad == (unsigned)(status != 0) && r->verdict == KILLED)
        snprintf(r->line, sizeof r->line, "%s", WIFEXITED(status) && WEXITSTATUS(status) == 124 ? "no end" : "it did not come to its end");
}

// The flags of the tests but for two things: warnings are not what is looked for, and speed is, most of it the
// compiler's. The first failure is enough.
static void try_in(const char *tree, const struct test *t, unsigned seconds, struct result *r)
{
    char log_name[2 * TEXT];
    unsigned began;
    int status;
    FILE *log;
    r->verdict = NO_BUILD;
    if (shell("cd %s && timeout %d make -s AXVCPU_NO_INSTALL=1 STRICT=-w 'BUILD_o2=-O0 -DVM_PART=20' BUILD_asan=-O0 BUILD_bare=-O1 %s >log 2>&1", tree,
              BUILD_SECONDS, t->target) != 0)
        return;
    if (t->only)
        setenv("ONLY", t->only, 1);
    setenv("MUTANT_RUN", t->command, 1);
    setenv("TAP_FIRST", "", 1);
    began = now();
    status = shell("cd %s && timeout %u sh -c \"$MUTANT_RUN\" >log 2>&1 </dev/null", tree, seconds);
    r->milliseconds = now() - began;
    snprintf(log_name, sizeof log_name, "%s/log", tree);
    log = fopen(log_name, "r");
    if (!log)
        return;
    judge(r, log, status);
    fclose(log);
}

static bool write_file(const char *path, const char *head, size_t n, const char *middle, const char *tail)
{
    FILE *out = fopen(path, "w");
    if (!out)
        return false;
    fwrite(head, 1, n, out);
    fputs(middle, out);
    fputs(tail, out);
    return fclose(out) == 0;
}

static const char *results; // a directory, or NULL

static bool is_shown(const struct test *t)
{
    unsigned failed, skipped;
    char path[TEXT];
    bool good;
    FILE *in;
    if (!results)
        return false;
    snprintf(path, sizeof path, "%s/%.*s", results, (int)strcspn(t->name, "/:"), t->name);
    in = fopen(path, "r");
    if (!in)
        return false;
    good = fscanf(in, "%*u %u %u", &failed, &skipped) == 2 && failed == 0 && skipped == 0;
    fclose(in);
    return good && shell("test -z \"$(find axvcpu*.h Makefile tests examples -newer %s)\"", path) == 0;
}

static void play_plain(size_t test, const char *tree)
{
    if (is_shown(&tests[test]))
        plain[test] = (struct result){ .verdict = SHOWN, .milliseconds = USUAL_MS };
    else
        try_in(tree, &tests[test], RUN_SECONDS, &plain[test]);
}

// What takes much longer than without the fault has no end.
static void play_mutant(size_t index, const char *tree)
{
    const struct mutant *m = &mutants[index];
    struct result *r = &mutated[index];
    char path[2 * TEXT];
    char *text = read_file(m->file);
    const char *at;
    size_t test = test_of(m);
    r->verdict = NOT_FOUND;
    if (find_text(m, text, &at))
        return;
    r->verdict = BROKEN;
    snprintf(path, sizeof path, "%s/%s", tree, m->file);
    if (!write_file(path, text, (size_t)(at - text), m->to, at + strlen(m->from)))
        return;
    try_in(tree, &tests[test], 10 + plain[test].milliseconds / 200, r);
    if (!write_file(path, "", 0, text, ""))
        r->verdict = BROKEN;
}

// ---- some at a time

static int trees = 2;
static pid_t running[MAX_TREES];
static size_t playing[MAX_TREES];

static void tree_name(int tree, char *name)
{
    snprintf(name, TEXT, "build/mutants/tree%d", tree);
}

static void start(int tree, size_t index, void (*play)(size_t, const char *))
{
    char name[TEXT];
    tree_name(tree, name);
    fflush(stdout);
    playing[tree] = index;
    running[tree] = fork();
    if (running[tree] == 0) {
        play(index, name);
        _exit(0);
    }
}

static void finish_one(void (*report)(size_t))
{
    int status, tree;
    pid_t done = wait(&status);
    for (tree = 0; tree < trees; tree++)
        if (running[tree] == done) {
            running[tree] = 0;
            report(playing[tree]);
        }
}

static void play_all(const size_t *order, size_t count, void (*play)(size_t, const char *), void (*report)(size_t))
{
    size_t next = 0, over = 0;
    while (over < count) {
        for (int tree = 0; tree < trees && next < count; tree++)
            if (running[tree] == 0)
                start(tree, order[next++], play);
        finish_one(report);
        over++;
        if (over % 10 == 0 || over == count)
            note("%zu of %zu", over, count);
    }
}

static const char *one_line(const char *text, char *line)
{
    size_t n = 0;
    for (; *text && n < 79; text++)
        if (*text != '\n' && (*text != ' ' || (n > 0 && line[n - 1] != ' ')))
            line[n++] = *text;
        else if (n > 0 && line[n - 1] != ' ')
            line[n++] = ' ';
    line[n] = '\0';
    return line;
}

static void report_plain(size_t test)
{
    const struct result *r = &plain[test];
    if (r->verdict == SKIPPED)
        skip(r->line, "%s without a fault", tests[test].name);
    else if (r->verdict == SHOWN)
        ok(true, "%s without a fault: its suite's own run", tests[test].name);
    else if (ok(r->verdict == SURVIVED, "%s without a fault", tests[test].name))
        note("  %u ms", r->milliseconds);
    else
        note("  %s", r->verdict == KILLED ? r->line : verdicts[r->verdict]);
}

static void report_mutant(size_t index)
{
    const struct mutant *m = &mutants[index];
    const struct result *r = &mutated[index];
    char from[80], to[80];
    if (ok(r->verdict == KILLED, "%s, found by %s: %s", m->groups, m->test, one_line(m->from, from))) {
        note("  %s, after %u ms", r->line, r->milliseconds);
        return;
    }
    note("  %s", r->verdict < KILLED ? verdicts[r->verdict] : r->line);
    note("  %s: %s", m->file, from);
    note("  becomes: %s", one_line(m->to, to));
}

// Of a test that fails without a fault nothing can be said; that it fails is said already.
static size_t playable(size_t *order, size_t count)
{
    size_t left = 0;
    for (size_t i = 0; i < count; i++) {
        const struct mutant *m = &mutants[order[i]];
        const struct result *r = &plain[test_of(m)];
        char from[80];
        if (r->verdict == SKIPPED)
            skip(r->line, "%s, found by %s: %s", m->groups, m->test, one_line(m->from, from));
        else if (r->verdict == SURVIVED || r->verdict == SHOWN)
            order[left++] = order[i];
    }
    return left;
}

static void play_and_report(size_t *order, size_t count)
{
    size_t each[MUTANTS] = { 0 };
    unsigned began = now();
    for (size_t i = 0; i < count; i++)
        (void)test_of(&mutants[order[i]]);
    for (size_t i = 0; i < test_count; i++)
        each[i] = i;
    play_all(each, test_count, play_plain, report_plain);
    play_all(order, playable(order, count), play_mutant, report_mutant);
    note("%u s", (now() - began) / 1000);
}

// ---- which

static bool plant(void)
{
    char name[TEXT];
    bool good = true;
    for (int tree = 0; tree < trees; tree++) {
        tree_name(tree, name);
        good = shell("rm -rf %s && mkdir -p %s/build && cp -r Makefile axvcpu*.h examples tests bench %s", name, name,
                     name) == 0 && good;
    }
    return good;
}

static size_t choose(size_t *order, const char *text)
{
    size_t count = 0;
    for (size_t i = 0; i < MUTANTS; i++)
        if (strstr(mutants[i].groups, text) || strstr(mutants[i].test, text) || strstr(mutants[i].from, text))
            order[count++] = i;
    return count;
}

static size_t draw(size_t *order, size_t count, unsigned seed)
{
    note("seed %u", seed);
    srand(seed);
    (void)choose(order, "");
    for (size_t i = MUTANTS - 1; i > 0; i--) {
        size_t k = (size_t)rand() % (i + 1), kept = order[i];
        order[i] = order[k];
        order[k] = kept;
    }
    return count < MUTANTS ? count : MUTANTS;
}

static void *shared(size_t size)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return at != MAP_FAILED ? at : NULL;
}

int main(int argc, char **argv)
{
    size_t order[MUTANTS], count;
    const char *which;
    for (; argc > 2 && argv[1][0] == '-'; argc -= 2, argv += 2) {
        if (strcmp(argv[1], "-j") == 0)
            trees = atoi(argv[2]);
        else
            results = argv[2];
    }
    which = argc > 2 ? argv[2] : "";
    tap_begin(5000);
    if (argc < 2 || trees < 1 || trees > MAX_TREES)
        return 2;
    commands_path = argv[1];
    unsetenv("MAKEFLAGS");
    unsetenv("MAKELEVEL");
    unsetenv("MFLAGS");
    plain = shared(MUTANTS * sizeof *plain);
    mutated = shared(MUTANTS * sizeof *mutated);
    check_list();
    if (which[0] >= '0' && which[0] <= '9')
        count = draw(order, strtoul(which, NULL, 10), argc > 3 ? (unsigned)strtoul(argv[3], NULL, 0) : (unsigned)time(NULL));
    else
        count = choose(order, which);
    note("%zu of %d mutants", count, MUTANTS);
    if (ok(plain && mutated && plant(), "copies of the tree"))
        play_and_report(order, count);
    return tap_done();
}
