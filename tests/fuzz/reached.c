// SPDX-License-Identifier: Apache-2.0
//
// Which lines of the decoders do the tables reach? The tests that run on the host are built once more, counting
// lines (gcov), and each line of a room that begins with ">>decode" must have been executed, or stand in the list
// tests/fuzz/unreached with a reason. The list names a line by its text, so that it stays true when the header
// grows; a line of it that is reached is an error, too.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/tap.h"

#define DIR "build/tests/fuzz/lines"
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

enum { MAX_LINES = 12000, MAX_LISTED = 64, PERCENT = 2 };
enum { NO_CODE, UNREACHED, REACHED };

static const char *const tests[] = {"x86/decode", "x86/native", "x86/exits",   "x86/rules",   "x86/explain", "x86/mmio",
                                    "arm64/decode", "arm64/smccc", "arm64/accesses", "riscv/decode", "riscv/sbi"};
static struct header {
    const char *name, *file;
    uint8_t lines[MAX_LINES];
    unsigned code, missing;
} headers[] = {{.name = "x86", .file = "axvcpu_arch_x86.h"}, {.name = "arm64", .file = "axvcpu_arch_arm64.h"}, {.name = "riscv", .file = "axvcpu_arch_riscv.h"}};

static struct {
    char header[16], text[160];
    unsigned used;
} listed[MAX_LISTED];
static unsigned listed_count;

static bool sh(const char *format, const char *test, int at)
{
    char command[1000];
    snprintf(command, sizeof command, format, at, test);
    return system(command) == 0;
}

// One test, built to count. A line is reached when any test does; gcov prints each header that the test includes.
static bool run_test(int at)
{
    return sh("mkdir -p " DIR "/%1$d && gcc -std=c11 -O0 --coverage -DCOUNTED=1 -I. -DAXVCPU_ARCH_FAKE -DAXVCPU_CHECKED -pthread"
              " -dumpdir " DIR "/%1$d/ -dumpbase x -o " DIR "/%1$d/test tests/%2$s.c && rm -f " DIR "/%1$d/*.gcda &&"
              " " DIR "/%1$d/test >" DIR "/%1$d/log 2>&1 && gcov -t " DIR "/%1$d/x.gcda >" DIR "/%1$d/lines 2>" DIR "/%1$d/gcov",
              tests[at], at);
}

// "count: number: text"; number 0 says which file comes, "-" is no code, "#####" was never executed.
static void read_counts(int at)
{
    char path[60], line[2000], count[32];
    struct header *h = NULL;
    unsigned number;
    snprintf(path, sizeof path, DIR "/%d/lines", at);
    FILE *f = fopen(path, "r");
    while (f != NULL && fgets(line, sizeof line, f)) {
        if (sscanf(line, " %31[^:]:%u:", count, &number) != 2)
            continue;
        for (size_t i = 0; number == 0 && strstr(line, ":Source:") && i < COUNT(headers); i++) {
            h = i == 0 ? NULL : h;
            h = strstr(line, headers[i].file) ? &headers[i] : h;
        }
        if (h != NULL && number > 0 && number < MAX_LINES && count[0] != '-' && h->lines[number] != REACHED)
            h->lines[number] = count[0] == '#' || count[0] == '=' ? UNREACHED : REACHED;
    }
    if (f != NULL)
        fclose(f);
}

static void read_list(void)
{
    char line[400];
    FILE *f = fopen("tests/fuzz/unreached", "r");
    while (f != NULL && fgets(line, sizeof line, f) && listed_count < MAX_LISTED)
        if (line[0] != '#' && sscanf(line, "%15[^:]: %159[^\t]\t", listed[listed_count].header, listed[listed_count].text) == 2)
            listed_count++;
    if (f != NULL)
        fclose(f);
}

// Each entry stands for one line; equal lines have one each.
static bool is_listed(const struct header *h, const char *text)
{
    for (unsigned i = 0; i < listed_count; i++)
        if (!listed[i].used && strcmp(listed[i].header, h->name) == 0 && strcmp(listed[i].text, text) == 0) {
            listed[i].used = 1;
            return true;
        }
    return false;
}

static char *trimmed(char *line)
{
    line += strspn(line, " ");
    line[strcspn(line, "\n")] = 0;
    return line;
}

static void check_header(struct header *h)
{
    char line[2000];
    bool decode = false;
    FILE *f = fopen(h->file, "r");
    for (unsigned n = 1; f != NULL && n < MAX_LINES && fgets(line, sizeof line, f); n++) {
        if (strstr(line, "/* >>"))
            decode = strstr(line, "/* >>decode") != NULL;
        if (!decode || h->lines[n] == NO_CODE)
            continue;
        h->code++;
        if (h->lines[n] == REACHED)
            continue;
        h->missing++;
        if (!is_listed(h, trimmed(line)))
            ok(false, "%s:%u is reached: %s", h->file, n, trimmed(line));
    }
    if (f != NULL)
        fclose(f);
    ok(h->code > 100 && h->missing * 100 <= h->code * PERCENT, "%s: of %u lines that decode %u are not reached", h->name,
       h->code, h->missing);
}

int main(void)
{
    tap_begin(280);
    for (size_t i = 0; i < COUNT(tests); i++) {
        ok(run_test((int)i), "%s runs, counted", tests[i]);
        read_counts((int)i);
    }
    read_list();
    for (size_t i = 0; i < COUNT(headers); i++)
        check_header(&headers[i]);
    for (unsigned i = 0; i < listed_count; i++)
        if (!listed[i].used)
            ok(false, "%s: is listed and reached, or not there: %s", listed[i].header, listed[i].text);
    return tap_done();
}
