// SPDX-License-Identifier: Apache-2.0
//
// /init of the virtual machine that the tests of the KVM backends boot: loads /modules/* in the order
// of their names, runs what /list says, one line each, and powers the machine off.
//
//     tap SECONDS PROGRAM ARGS...      its output is TAP
//     hush SECONDS PROGRAM ARGS...     likewise, while the kernel has only emergencies to say on the console
//     expect SECONDS PROGRAM           one case for each line of PROGRAM.expect: its output has that text
//
// tests/kvm/boot.sh reads the console: what a program has printed ends with "=== end PROGRAM STATUS",
// and the last line of all is "=== done".
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_ARGS = 16, MAX_OUTPUT = 1 << 16, CONSOLE_LEVEL = 8 };

static void load_modules(void)
{
    glob_t found;
    if (glob("/modules/*.ko", 0, NULL, &found) != 0)
        return;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        int fd = open(found.gl_pathv[i], O_RDONLY | O_CLOEXEC);
        if (fd < 0 || syscall(SYS_finit_module, fd, "", 0) != 0)
            printf("# %s: %s\n", found.gl_pathv[i], strerror(errno));
        if (fd >= 0)
            close(fd);
    }
    globfree(&found);
}

static int start(char **args, int output, unsigned seconds)
{
    int pid = fork();
    if (pid != 0)
        return pid;
    alarm(seconds); // survives exec
    if (output >= 0) {
        dup2(output, 1);
        dup2(output, 2);
    }
    execv(args[0], args);
    printf("%s: %s\n", args[0], strerror(errno));
    _exit(127);
}

static int wait_for(int pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int run_tap(char **args, unsigned seconds)
{
    return wait_for(start(args, -1, seconds));
}

// Prints TAP for each line of PROGRAM.expect.
static void judge(const char *program, int status, const char *output)
{
    char name[256], line[256];
    unsigned cases = 0;
    FILE *in;
    snprintf(name, sizeof name, "%s.expect", program);
    in = fopen(name, "r");
    while (in && fgets(line, sizeof line, in)) {
        line[strcspn(line, "\n")] = 0;
        bool good = status == 0 && strstr(output, line);
        printf("%sok %u - %s prints: %s\n", good ? "" : "not ", ++cases, program + 1, line);
        if (!good)
            printf("#   exit code %d, output: %.2000s\n", status, output);
    }
    if (in)
        fclose(in);
    printf("1..%u\n", cases);
}

static int run_expecting(char **args, unsigned seconds)
{
    static char output[MAX_OUTPUT];
    size_t used = 0;
    ssize_t got = 1;
    int fds[2], pid, status;
    if (pipe2(fds, O_CLOEXEC) != 0)
        return 1;
    pid = start(args, fds[1], seconds);
    close(fds[1]);
    while (got > 0 && used < sizeof output - 1) {
        got = read(fds[0], output + used, sizeof output - 1 - used);
        used += got > 0 ? (size_t)got : 0;
    }
    output[used] = 0;
    close(fds[0]);
    status = wait_for(pid);
    judge(args[0], status, output);
    return 0; // the cases say how it went
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void run_line(char *line)
{
    char *words[MAX_ARGS + 1] = {0};
    int n = 0, status;
    for (char *w = strtok(line, " \n"); w && n < MAX_ARGS; w = strtok(NULL, " \n"))
        words[n++] = w;
    if (n < 3)
        return;
    unsigned seconds = (unsigned)strtoul(words[1], NULL, 10);
    double start = now();
    klogctl(CONSOLE_LEVEL, NULL, strcmp(words[0], "hush") == 0 ? 1 : 4); // 4: as `quiet` has it
    printf("=== begin %s\n", words[2]);
    if (strcmp(words[0], "expect") == 0)
        status = run_expecting(words + 2, seconds);
    else
        status = run_tap(words + 2, seconds);
    printf("=== end %s %d\n", words[2], status);
    printf("# %s: %.1f s\n", words[2], now() - start);
}

int main(void)
{
    char line[512];
    FILE *list;
    mkdir("/dev", 0755);
    mount("dev", "/dev", "devtmpfs", 0, NULL);
    mkdir("/proc", 0755);
    mount("proc", "/proc", "proc", 0, NULL);
    mkdir("/tmp", 0777);
    int console = open("/dev/console", O_RDWR);
    for (int fd = 0; console >= 0 && fd < 3; fd++)
        dup2(console, fd);
    setvbuf(stdout, NULL, _IOLBF, 0);
    load_modules();
    list = fopen("/list", "r");
    while (list && fgets(line, sizeof line, list))
        run_line(line);
    printf("=== done\n");
    fflush(stdout);
    sync();
    reboot(RB_POWER_OFF);
    for (;;)
        pause();
}
