// SPDX-License-Identifier: Apache-2.0
//
// Runs vcpu.pml: every scenario as the code is, without an error and to the end of its state space; then
// every barrier taken away, which must show as an error in its scenario. What spin, cc and the verifier
// said stays in build/tests/model/SCENARIO[-BARRIER]/log; a counterexample is replayed there with
//     spin -k vcpu.pml.trail -p -g -DSCENARIO_X -DNO_BARRIER_Y ../../../../tests/model/vcpu.pml
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include "tests/tap.h"

#define MODEL "tests/model/vcpu.pml"

enum { SECONDS = 120, MEGABYTES = 2048 }; // of CPU time and memory, for each step of a verification
enum { JOBS = 2 }; // at a time

static const struct verification {
    const char *scenario, *barrier; // without a barrier: all of them are there
} list[] = {
    {"BLOCK", NULL},
    {"INJECT", NULL},
    {"KICK", NULL},
    {"PAUSE", NULL},
    {"CPU_UP", NULL},
    {"OWNER", NULL},
    {"REMOVE", NULL},
    {"OWNER", "BIND_CAS"},
    {"OWNER", "CLAIM_FIRST"},
    {"OWNER", "UNBIND_RELEASE"},
    {"KICK", "OWNER_BEFORE_ATTN"},
    {"KICK", "BIND_TID"},
    {"KICK", "RUN_CURRENT"},
    {"KICK", "ONE_LOOK"},
    {"KICK", "KICK_FLAG"},
    {"BLOCK", "KICK_FLAG"},
    {"KICK", "KICK_UNFILTERED"},
    {"KICK", "OWNER_LOAD_AFTER_FLAG"},
    {"KICK", "LEAVE_CLEAR_FIRST"},
    {"INJECT", "ATTEND_CLEAR"},
    {"INJECT", "ATTEND_CLEAR_FIRST"},
    {"INJECT", "IRQ_TAKE"},
    {"INJECT", "PENDING_BEFORE_FLAG"},
    {"INJECT", "FORGET_FLAG_FIRST"},
    {"BLOCK", "BLOCK_STATE"},
    {"BLOCK", "BLOCK_STATE_FIRST"},
    {"BLOCK", "PENDING_MASKED"},
    {"BLOCK", "UNBLOCK_LATCH"},
    {"BLOCK", "UNBLOCK_AGAIN"},
    {"BLOCK", "WAKE_CAS"},
    {"BLOCK", "WAKE_AFTER_STATE"},
    {"CPU_UP", "CPU_UP_CAS"},
    {"CPU_UP", "CPU_UP_CLAIMED"},
    {"CPU_UP", "UP_RECHECK"},
    {"CPU_UP", "DOWN_OWNED"},
    {"CPU_UP", "UP_HANDED"},
    {"CPU_UP", "UP_HANDED_RELEASE"},
    {"CPU_UP", "UP_FORGETS"},
    {"PAUSE", "INSIDE"},
    {"PAUSE", "LEAVE_LAST"},
    {"PAUSE", "STATUS_BEFORE_STOP"},
    {"PAUSE", "RESUME_CLEAR_FIRST"},
    {"PAUSE", "RESUME_STOPS_AGAIN"},
    {"REMOVE", "DEVICE_FIRST"},
    {"REMOVE", "DEVICE_RELEASE"},
    {"REMOVE", "VERSION_FIRST"},
};

enum { COUNT = sizeof list / sizeof list[0] };

// ---- one verification

static void directory(char *path, size_t size, const struct verification *v)
{
    snprintf(path, size, "build/tests/model/%s%s%s", v->scenario, v->barrier ? "-" : "", v->barrier ? v->barrier : "");
}

static void limit(void)
{
    struct rlimit cpu = {SECONDS, SECONDS}, memory = {(rlim_t)MEGABYTES << 20, (rlim_t)MEGABYTES << 20};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setrlimit(RLIMIT_CPU, &cpu);
    setrlimit(RLIMIT_AS, &memory);
}

static pid_t start(const struct verification *v)
{
    char dir[256], command[2048];
    pid_t pid;
    directory(dir, sizeof dir, v);
    // The verifier is not optimised: the compiler would take longer than it saves. -E: `quiet` judges the end states.
    snprintf(command, sizeof command,
             "rm -rf %s && mkdir -p %s && cd %s && exec >log 2>&1 && "
             "spin -DSCENARIO_%s %s%s -a ../../../../" MODEL " && "
             "cc -O0 -w -DSAFETY -DMEMLIM=%d -o pan pan.c && exec ./pan -E -m10000 -w22",
             dir, dir, dir, v->scenario, v->barrier ? "-DNO_BARRIER_" : "", v->barrier ? v->barrier : "", MEGABYTES * 3 / 4);
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        limit();
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    return pid;
}

static char *contents(const char *path)
{
    static char text[1 << 20];
    FILE *in = fopen(path, "r");
    size_t n = in ? fread(text, 1, sizeof text - 1, in) : 0;
    text[n] = 0;
    if (in)
        fclose(in);
    return text;
}

// The number before these words.
static double number_before(const char *text, const char *words)
{
    const char *at = strstr(text, words);
    while (at && at > text && strchr("0123456789.e+ ", at[-1]))
        at--;
    return at ? strtod(at, NULL) : 0;
}

static void judge(const struct verification *v)
{
    char path[300];
    const char *text, *found;
    double states;
    directory(path, sizeof path - 4, v);
    strcat(path, "/log");
    text = contents(path);
    states = number_before(text, " states, stored");
    found = strstr(text, "assertion violated");
    if (v->barrier) {
        ok(found && strstr(text, "errors: 1"), "%s: without barrier %s there is an error (%.0f states)", v->scenario,
           v->barrier, states);
        note("%.*s", found ? (int)strcspn(found, "\n") : 0, found ? found : "");
    } else if (!ok(strstr(text, "errors: 0") && !strstr(text, "not completed") && !strstr(text, "depth too small"),
                   "%s: no error in all %.0f states", v->scenario, states)) {
        note("see %s", path);
    }
}

// ---- the names

static bool is_name(char c)
{
    return (c >= 'A' && c <= 'Z') || c == '_';
}

static bool listed(const char *name, size_t length)
{
    for (int i = 0; i < COUNT; i++)
        if (list[i].barrier && strlen(list[i].barrier) == length && strncmp(list[i].barrier, name, length) == 0)
            return true;
    return false;
}

// Is "PREFIXname" in the text?
static bool has(const char *text, const char *prefix, const char *name)
{
    size_t n = strlen(name);
    for (const char *at = text; (at = strstr(at, prefix)); at++) {
        const char *word = at + strlen(prefix);
        if (strncmp(word, name, n) == 0 && !is_name(word[n]))
            return true;
    }
    return false;
}

// A file and our list must have the same barriers.
static void compare(const char *path, const char *prefix)
{
    const char *text = contents(path);
    char wrong[4096] = "";
    size_t used = 0;
    for (int i = 0; i < COUNT; i++)
        if (list[i].barrier && !has(text, prefix, list[i].barrier) && used < sizeof wrong - 100)
            used += (size_t)sprintf(wrong + used, " no %.40s,", list[i].barrier);
    for (const char *at = text; (at = strstr(at, prefix)); at++) {
        const char *word = at + strlen(prefix);
        size_t n = 0;
        while (is_name(word[n]))
            n++;
        if (n >= 4 && !listed(word, n) && used < sizeof wrong - 100)
            used += (size_t)sprintf(wrong + used, " unchecked %.*s,", n < 40 ? (int)n : 40, word);
    }
    if (!ok(used == 0, "%s names the barriers that are checked, and no other", path))
        note("after \"%s\":%s", prefix, wrong);
}

// Whichever of these ends first; false: none is left.
static bool judge_one(const pid_t *pid, int count)
{
    pid_t ended = waitpid(-1, NULL, 0);
    for (int i = 0; i < count; i++)
        if (ended > 0 && pid[i] == ended)
            judge(&list[i]);
    return ended > 0;
}

int main(void)
{
    pid_t pid[COUNT];
    tap_begin(1190); // a minute on two idle CPUs
    if (system("command -v spin >/dev/null") != 0) {
        skip("spin is not installed", "the protocols");
        return tap_done();
    }
    compare(MODEL, "NO_BARRIER_");
    compare("axvcpu.h", "barrier ");
    for (int i = 0, running = 0; i < COUNT; i++) {
        pid[i] = start(&list[i]);
        if (pid[i] > 0)
            running++;
        else
            judge(&list[i]);
        if (running == JOBS)
            running -= judge_one(pid, i + 1);
    }
    while (judge_one(pid, COUNT))
        ;
    return tap_done();
}
