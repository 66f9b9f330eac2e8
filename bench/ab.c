// SPDX-License-Identifier: Apache-2.0
//
// flags: -lm
//
// Two programs as whole processes, by hyperfine:
//
//     ab                       the pairs below
//     ab [-r ROUNDS] A B       two commands; each must end its output with "checksum NUMBER", the same of both
//
// A round is A B B A and A A A A, one run each, so that a machine that becomes slower or faster does so for both,
// and so that each difference has its control beside it: what A differs from itself. Of the rounds the median
// counts. A difference that is not above the noise (the A/A differences' p90) is not called one.
#define _GNU_SOURCE
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROUNDS = 15, ROUNDS_MAX = 200, RUNS = 8 };
#define JSON "build/bench/hyperfine.json"

static const struct pair {
    const char *title, *a, *b;
    bool kvm;
} pairs[] = {
    {"run + dispatch: by hand, then axvcpu.h", "build/bench/hand run_dispatch 10000000", "build/bench/host-same run_dispatch 10000000", false},
    {"run + dispatch: same file, then other file", "build/bench/host-same run_dispatch 10000000", "build/bench/host-other run_dispatch 10000000", false},
    {"KVM, OUT: bare ioctl loop, then axvcpu.h", "build/bench/kvm pio_out/ioctl 5000", "build/bench/kvm pio_out/axvcpu 5000", true},
    {"KVM, MMIO read: bare ioctl loop, then axvcpu.h", "build/bench/kvm mmio_read/ioctl 5000", "build/bench/kvm mmio_read/axvcpu 5000", true},
};

static int rounds = ROUNDS;

static bool checksum(const char *command, char *out, size_t size)
{
    char line[512];
    const char *at = NULL;
    FILE *in;
    fflush(stdout);
    in = popen(command, "r");
    out[0] = 0;
    while (in != NULL && fgets(line, sizeof line, in))
        if ((at = strstr(line, "checksum ")) != NULL)
            snprintf(out, size, "%s", at + strlen("checksum "));
    out[strcspn(out, "\n")] = 0;
    return in != NULL && pclose(in) == 0 && out[0] != 0;
}

static bool same_work(const char *a, const char *b)
{
    char of_a[64], of_b[64];
    if (!checksum(a, of_a, sizeof of_a) || !checksum(b, of_b, sizeof of_b))
        return false;
    if (strcmp(of_a, of_b) != 0)
        printf("  checksums differ: %s and %s\n", of_a, of_b);
    return strcmp(of_a, of_b) == 0;
}

// The first of `times` of each command, in the order in which they ran.
static int read_times(double *seconds, int max)
{
    static char text[1 << 20];
    const char *at = text;
    FILE *in = fopen(JSON, "r");
    int n = 0;
    if (in == NULL)
        return 0;
    text[fread(text, 1, sizeof text - 1, in)] = 0;
    fclose(in);
    while (n < max && (at = strstr(at, "\"times\"")) != NULL && (at = strchr(at, '[')) != NULL)
        seconds[n++] = strtod(at + 1, NULL);
    return n;
}

static bool play_round(const char *a, const char *b, double *seconds)
{
    char command[4096];
    snprintf(command, sizeof command,
             "hyperfine -N --style none --runs 1 --export-json " JSON " '%s' '%s' '%s' '%s' '%s' '%s' '%s' '%s' >/dev/null 2>&1",
             a, b, b, a, a, a, a, a);
    return system(command) == 0 && read_times(seconds, RUNS) == RUNS;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void tell(double ratio, double noise, double a_seconds)
{
    double percent = 100 * (ratio - 1);
    printf("  B takes %.4f of A's time (A: %.1f ms); A of its own, p90: %.4f\n", ratio, 1000 * a_seconds, 1 + noise);
    if (fabs(ratio - 1) <= noise)
        printf("  no difference above the noise\n");
    else
        printf("  B is %.1f %% %s\n", fabs(percent), percent > 0 ? "slower" : "faster");
}

static bool compare(const char *a, const char *b)
{
    static double ratio[ROUNDS_MAX], control[ROUNDS_MAX], first[ROUNDS_MAX];
    double s[RUNS];
    printf("  A: %s\n  B: %s\n", a, b);
    if (!same_work(a, b)) {
        printf("  they do not do the same, or fail: nothing is compared\n");
        return false;
    }
    for (int i = 0; i < rounds; i++) {
        if (isatty(2))
            fprintf(stderr, "\r\033[Kround %d of %d", i + 1, rounds);
        if (!play_round(a, b, s)) {
            printf("  hyperfine failed\n");
            return false;
        }
        ratio[i] = (s[1] + s[2]) / (s[0] + s[3]);
        control[i] = fabs((s[5] + s[6]) / (s[4] + s[7]) - 1);
        first[i] = s[0];
    }
    if (isatty(2))
        fprintf(stderr, "\r\033[K");
    qsort(ratio, (size_t)rounds, sizeof ratio[0], by_value);
    qsort(control, (size_t)rounds, sizeof control[0], by_value);
    qsort(first, (size_t)rounds, sizeof first[0], by_value);
    tell(ratio[rounds / 2], control[rounds * 9 / 10], first[rounds / 2]);
    return true;
}

static int compare_pairs(void)
{
    bool good = true;
    printf("\nwhole processes, by hyperfine: %d rounds of A B B A beside A A A A\n", rounds);
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        const struct pair *p = &pairs[i];
        if (p->kvm && (access("build/bench/kvm", X_OK) != 0 || access("/dev/kvm", R_OK | W_OK) != 0))
            continue;
        printf("\n%s\n", p->title);
        good = compare(p->a, p->b) && good;
    }
    return !good;
}

int main(int argc, char **argv)
{
    int option;
    while ((option = getopt(argc, argv, "r:")) != -1)
        rounds = option == 'r' ? atoi(optarg) : 0;
    if (rounds < 1 || rounds > ROUNDS_MAX || (optind != argc && optind + 2 != argc)) {
        fprintf(stderr, "usage: ab [-r ROUNDS] [A B]\n");
        return 2;
    }
    return optind == argc ? compare_pairs() : !compare(argv[optind], argv[optind + 1]);
}
