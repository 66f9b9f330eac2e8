// SPDX-License-Identifier: Apache-2.0
//
// Faults that the tests must find. Each mutant of list.h is one small change of a header; it is made in a
// copy of the tree, and the test that is named with it must fail there. One that survives, that does not
// compile or whose text is not to be found any more is a failure.
//
//     mutants COMMANDS [COUNT [SEED]]     all of them, or COUNT by a seed (drawn and printed without one)
//     mutants COMMANDS TEXT               those with TEXT in their group or test
//
// COMMANDS has a line `NAME|MAKE TARGET|SHELL COMMAND` for each test that is no program of the host.
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include "tests/tap.h"

enum { TREES = 2, TEXT = 1024, FILE_SIZE = 1 << 20, BUILD_SECONDS = 200, RUN_SECONDS = 100 };

static const struct mutant {
    const char *group, *file, *test, *from, *to;
} mutants[] = {
#define MUTANT(group, file, test, from, to) { group, file, test, from, to },
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

enum verdict { KILLED, SURVIVED, NO_BUILD, NOT_FOUND, BROKEN };
static const char *const verdicts[] = { "", "the test does not notice", "it does not compile",
                                        "its text is not in the file exactly once", "the tree could not be prepared" };

// ---- a test: what make builds, and what runs it

static const char *commands_path;

// One of the commands' lines, with `name` in front: its target and command.
static bool in_commands(const char *name, char *target, char *command)
{
    FILE *in = fopen(commands_path, "r");
    char line[TEXT];
    bool found = false;
    while (in && !found && fgets(line, sizeof line, in)) {
        char *target_at = strchr(line, '|'), *command_at = target_at ? strchr(target_at + 1, '|') : NULL;
        if (!command_at || (size_t)(target_at - line) != strlen(name) || strncmp(line, name, strlen(name)) != 0)
            continue;
        line[strcspn(line, "\n")] = *command_at = '\0';
        snprintf(target, TEXT, "%s", target_at + 1);
        snprintf(command, TEXT, "%s", command_at + 1);
        found = true;
    }
    if (in)
        fclose(in);
    return found;
}

// SUITE/PROGRAM, or SUITE/BUILD/PROGRAM; core and vm are built several times over, and -O2 will do.
static void find_test(const char *name, char *target, char *command)
{
    const char *base = strchr(name, '/') + 1;
    bool several = strncmp(name, "core/", 5) == 0 || strncmp(name, "vm/", 3) == 0;
    if (in_commands(name, target, command))
        return;
    snprintf(target, TEXT, "build/tests/%.*s%s%s", (int)(base - name), name, several && !strchr(base, '/') ? "o2/" : "",
             base);
    snprintf(command, TEXT, "%s", target);
}

// ---- one mutant in its tree

__attribute__((format(printf, 1, 2))) static int shell(const char *fmt, ...)
{
    char command[4 * TEXT];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(command, sizeof command, fmt, ap);
    va_end(ap);
    return system(command);
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

static enum verdict try_in(const char *tree, const char *test)
{
    char target[TEXT], command[TEXT];
    find_test(test, target, command);
    if (shell("cd %s && timeout %d make -s AXVCPU_NO_INSTALL=1 %s >log 2>&1", tree, BUILD_SECONDS, target) != 0)
        return NO_BUILD;
    if (shell("cd %s && timeout %d sh -c '%s' >log 2>&1 </dev/null && ! grep -q '^not ok' log", tree, RUN_SECONDS,
              command) != 0)
        return KILLED;
    return SURVIVED;
}

static enum verdict play(const struct mutant *m, const char *tree)
{
    char path[2 * TEXT];
    char *text = read_file(m->file), *at = text ? strstr(text, m->from) : NULL;
    enum verdict verdict;
    if (!at || strstr(at + 1, m->from))
        return NOT_FOUND;
    snprintf(path, sizeof path, "%s/%s", tree, m->file);
    if (!write_file(path, text, (size_t)(at - text), m->to, at + strlen(m->from)))
        return BROKEN;
    verdict = try_in(tree, m->test);
    return write_file(path, "", 0, text, "") ? verdict : BROKEN;
}

// ---- two at a time

static pid_t running[TREES];
static size_t playing[TREES];

static void tree_name(int tree, char *name)
{
    snprintf(name, TEXT, "build/mutants/tree%d", tree);
}

static void start(int tree, size_t index)
{
    char name[TEXT];
    tree_name(tree, name);
    fflush(stdout);
    playing[tree] = index;
    running[tree] = fork();
    if (running[tree] == 0)
        _exit(play(&mutants[index], name));
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

static void report(const struct mutant *m, int status)
{
    int verdict = WIFEXITED(status) && WEXITSTATUS(status) <= BROKEN ? WEXITSTATUS(status) : BROKEN;
    char from[80], to[80];
    if (ok(verdict == KILLED, "%s, found by %s: %s", m->group, m->test, one_line(m->from, from)))
        return;
    note("  %s", verdicts[verdict]);
    note("  %s: %s", m->file, from);
    note("  becomes: %s", one_line(m->to, to));
}

static void finish_one(void)
{
    int status, tree;
    pid_t done = wait(&status);
    for (tree = 0; tree < TREES; tree++)
        if (running[tree] == done) {
            running[tree] = 0;
            report(&mutants[playing[tree]], status);
        }
}

static void play_all(const size_t *order, size_t count)
{
    size_t next = 0, over = 0;
    while (over < count) {
        int tree;
        for (tree = 0; tree < TREES && next < count; tree++)
            if (running[tree] == 0)
                start(tree, order[next++]);
        finish_one();
        over++;
    }
}

// ---- before that: the trees, and each test without a fault

static bool plant(int tree)
{
    char name[TEXT];
    tree_name(tree, name);
    return shell("rm -rf %s && mkdir -p %s/build && cp -r Makefile axvcpu*.h examples tests bench %s", name, name,
                 name) == 0;
}

static void try_unharmed(const size_t *order, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t k = 0;
        while (strcmp(mutants[order[k]].test, mutants[order[i]].test) != 0)
            k++;
        if (k == i)
            ok(try_in("build/mutants/tree0", mutants[order[i]].test) == SURVIVED, "%s without a fault",
               mutants[order[i]].test);
    }
}

// The test of each mutant must be of use, and there must be enough of every group.
static void check_list(void)
{
    for (size_t g = 0; g < sizeof groups / sizeof groups[0]; g++) {
        unsigned count = 0;
        for (size_t i = 0; i < MUTANTS; i++)
            count += strcmp(mutants[i].group, groups[g].name) == 0;
        ok(count >= groups[g].least, "%s: at least %u mutants, %u", groups[g].name, groups[g].least, count);
    }
}

static size_t choose(size_t *order, const char *text)
{
    size_t count = 0;
    for (size_t i = 0; i < MUTANTS; i++)
        if (strstr(mutants[i].group, text) || strstr(mutants[i].test, text))
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

int main(int argc, char **argv)
{
    const char *which = argc > 2 ? argv[2] : "";
    size_t order[MUTANTS], count;
    tap_begin(3000);
    if (argc < 2)
        return 2;
    commands_path = argv[1];
    unsetenv("MAKEFLAGS");
    unsetenv("MAKELEVEL");
    unsetenv("MFLAGS");
    check_list();
    if (which[0] >= '0' && which[0] <= '9')
        count = draw(order, strtoul(which, NULL, 10), argc > 3 ? (unsigned)strtoul(argv[3], NULL, 0) : (unsigned)time(NULL));
    else
        count = choose(order, which);
    note("%zu of %d mutants", count, MUTANTS);
    if (!ok(plant(0) && plant(1), "copies of the tree"))
        return tap_done();
    try_unharmed(order, count);
    play_all(order, count);
    return tap_done();
}
