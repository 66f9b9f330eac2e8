// SPDX-License-Identifier: Apache-2.0
//
// A list of cells and what runs them. A cell is a shell command with an expectation, one TAP line:
// it succeeds, or it fails with a given text; or a function looks at what it prints.
// In the command $O is a file name prefix of this cell's own.
#ifndef CELLS_H
#define CELLS_H

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "tests/tap.h"

enum { MAX_CELLS = 2000, CELL_SECONDS = 120 };

struct cell {
    char *name, *command;
    const char *tool;                   // without this program the cell is skipped
    const char *fails_with;             // the command must fail and print this
    char *(*wrong)(const char *output); // the first wrong thing in the output, or NULL
};

static struct cell cells[MAX_CELLS];
static int cell_count;

// printf into memory of its own. Nothing here is freed: the program is short.
TAP_FORMAT(1) TAP_MAYBE char *text(const char *fmt, ...)
{
    va_list ap;
    char *result;
    va_start(ap, fmt);
    if (vasprintf(&result, fmt, ap) < 0)
        abort();
    va_end(ap);
    return result;
}

TAP_MAYBE struct cell *cell(char *name, char *command)
{
    struct cell *c = &cells[cell_count++];
    if (cell_count == MAX_CELLS)
        abort();
    *c = (struct cell){ .name = name, .command = command };
    return c;
}

TAP_MAYBE void keep_cells(const char *with)
{
    int kept = 0;
    for (int i = 0; i < cell_count; i++)
        if (strstr(cells[i].name, with))
            cells[kept++] = cells[i];
    cell_count = kept;
}

TAP_MAYBE bool have_tool(const char *tool)
{
    char path[256];
    const char *dir = getenv("PATH");
    while (dir && *dir) {
        size_t n = strcspn(dir, ":");
        snprintf(path, sizeof path, "%.*s/%s", (int)n, dir, tool);
        if (access(path, X_OK) == 0)
            return true;
        dir += n + (dir[n] == ':');
    }
    return false;
}

static char *cell_path(int number, const char *suffix)
{
    return text("build/headers/%03d%s", number, suffix);
}

static pid_t start_cell(int number)
{
    pid_t pid;
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        char *log = cell_path(number, ".log");
        int fd = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0666);
        setenv("O", cell_path(number, ""), 1);
        dup2(fd, 1);
        dup2(fd, 2);
        execlp("timeout", "timeout", "-k", "1", text("%d", CELL_SECONDS), "sh", "-c", cells[number].command,
               (char *)NULL);
        _exit(127);
    }
    return pid;
}

static char *read_all(const char *path)
{
    FILE *in = fopen(path, "r");
    char *bytes = NULL;
    size_t size = 0;
    if (!in || getdelim(&bytes, &size, '\0', in) < 0)
        bytes = text("%s", "");
    if (in)
        fclose(in);
    return bytes;
}

static void note_output(const char *output)
{
    int lines = 0;
    while (*output && lines++ < 12) {
        size_t n = strcspn(output, "\n");
        note("  | %.*s", (int)n, output);
        output += n + (output[n] == '\n');
    }
}

static void report_cell(int number, int status)
{
    const struct cell *c = &cells[number];
    char *output = read_all(cell_path(number, ".log"));
    bool exited_well = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    char *wrong = NULL;
    bool good = exited_well;
    if (c->fails_with)
        good = !exited_well && strstr(output, c->fails_with);
    else if (exited_well && c->wrong)
        good = !(wrong = c->wrong(output));
    if (tap_ok(good, c->command, __FILE__, __LINE__, "%s", c->name))
        return;
    if (c->fails_with)
        note("  expected to fail with: %s", c->fails_with);
    if (wrong)
        note("  %s", wrong);
    else
        note("  exit code %d, $O is %s", WIFEXITED(status) ? WEXITSTATUS(status) : -1, cell_path(number, ""));
    if (!wrong)
        note_output(output);
}

TAP_MAYBE void run_cells(void)
{
    pid_t running[MAX_CELLS] = { 0 };
    int next = 0, busy = 0, jobs = (int)sysconf(_SC_NPROCESSORS_ONLN);
    mkdir("build", 0777);
    mkdir("build/headers", 0777);
    unsetenv("MAKEFLAGS"); // gcc's LTO calls make, which would look for our make's job server
    while (next < cell_count || busy > 0) {
        int status, i;
        pid_t done;
        if (next < cell_count && cells[next].tool && !have_tool(cells[next].tool)) {
            skip(text("%s is missing", cells[next].tool), "%s", cells[next].name);
            next++;
            continue;
        }
        if (next < cell_count && busy < jobs) {
            running[next] = start_cell(next);
            next++;
            busy++;
            continue;
        }
        done = wait(&status);
        for (i = 0; i < next && running[i] != done; i++)
            ;
        if (i < next) {
            running[i] = 0;
            busy--;
            report_cell(i, status);
        }
    }
}

#endif
