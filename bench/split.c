// SPDX-License-Identifier: Apache-2.0
//
// Splits the rounds of a guest program's rows by who executes:
//
//     split ELF IR... <trace       one line per row: asm decode core dispatch firmware; IR is what the row itself
//                                  says, and a row that no call of `play` adds up to is all 0
//
// The trace is of QEMU's `-singlestep -d exec,nochain` or Bochs' `trace on`: a line per instruction of the same
// program. Its debug information says of which line of C each is: of axvcpu.h (core), of the architecture's header (decode; its
// part >>switch, and what has no line, is asm), or of anything else (dispatch). memcpy and its like belong to
// who called them. What lies outside of the program is the guest, or firmware (RISC-V's machine mode). See README.md.
//
// flags: -lm
#define _GNU_SOURCE
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum part { ASM, DECODE, CORE, DISPATCH, FIRMWARE, PARTS, CALLER = PARTS };
enum { FILES = 64, LINES = 65536, LOOPS = 2, PLAYS = 256, GUEST_MOST = 16 };

// A source file: for each of its lines the part.
static struct file {
    char name[64];
    uint8_t part[LINES];
} files[FILES];

// The instructions between two returns to `play`, the guest's not counted; aside: of exits that were served
// without it.
struct visit { uint32_t of[PARTS], aside[PARTS]; };
struct play {
    struct visit *visits;
    size_t n, room;
};

static struct {
    uint64_t base, size;
    struct { uint64_t at, size; } loops[LOOPS]; // `play`, and what begins so
    int loops_n;
    bool riscv;
    uint8_t *part; // by address
    struct play plays[PLAYS];
    int n;
} program;

static void die(const char *what)
{
    fprintf(stderr, "split: %s\n", what);
    exit(1);
}

// ---- sources

// The parts of an architecture's header by its >>markers.
static void read_marks(struct file *f)
{
    char line[1024];
    enum part part = DECODE;
    FILE *in = fopen(f->name, "r");
    for (int at = 1; in != NULL && at < LINES && fgets(line, sizeof line, in); at++) {
        if (strncmp(line, "/* >>", 5) == 0)
            part = strncmp(line + 5, "switch", 6) == 0 ? ASM : DECODE;
        f->part[at] = (uint8_t)part;
    }
    if (in != NULL)
        fclose(in);
}

static const struct file *file_of(const char *name)
{
    int i;
    for (i = 0; i < FILES && files[i].name[0] != 0; i++)
        if (strcmp(files[i].name, name) == 0)
            return &files[i];
    if (i == FILES || strlen(name) >= sizeof files[i].name)
        die("too many files");
    strcpy(files[i].name, name);
    memset(files[i].part, strcmp(name, "axvcpu.h") == 0 ? CORE : DISPATCH, LINES);
    if (strncmp(name, "axvcpu_arch_", 12) == 0)
        read_marks(&files[i]);
    return &files[i];
}

// ---- the program

static FILE *readelf(const char *option, const char *elf)
{
    char command[512];
    FILE *in;
    snprintf(command, sizeof command, "readelf %s '%s' 2>/dev/null", option, elf);
    in = popen(command, "r");
    if (in == NULL)
        die("no readelf");
    return in;
}

static void read_machine(const char *elf)
{
    char line[512];
    FILE *in = readelf("-hW", elf);
    while (fgets(line, sizeof line, in))
        if (strstr(line, "Machine:") != NULL)
            program.riscv = strstr(line, "RISC-V") != NULL;
    pclose(in);
}

// Executable sections, all taken as one stretch of asm until the lines say otherwise.
static void read_sections(const char *elf)
{
    char line[512], flags[16];
    uint64_t address, size, end = 0;
    FILE *in = readelf("-SW", elf);
    program.base = UINT64_MAX;
    while (fgets(line, sizeof line, in)) {
        const char *at = strchr(line, ']');
        if (at == NULL || sscanf(at + 1, "%*s %*s %" SCNx64 " %*x %" SCNx64 " %*x %15s", &address, &size, flags) != 3 ||
            strstr(flags, "AX") == NULL)
            continue;
        program.base = address < program.base ? address : program.base;
        end = address + size > end ? address + size : end;
    }
    pclose(in);
    program.size = end - program.base;
    program.part = end > program.base ? calloc(program.size, 1) : NULL;
    if (program.part == NULL)
        die("no code");
}

static bool is_memory_function(const char *name)
{
    return strcmp(name, "memcpy") == 0 || strcmp(name, "memset") == 0 || strcmp(name, "memmove") == 0 ||
           strcmp(name, "memcmp") == 0;
}

static void read_symbols(const char *elf)
{
    char line[512], name[128];
    uint64_t address;
    int64_t size; // readelf prints large ones in hexadecimal, with 0x
    FILE *in = readelf("-sW", elf);
    while (fgets(line, sizeof line, in)) {
        if (sscanf(line, "%*d: %" SCNx64 " %" SCNi64 " FUNC %*s %*s %*s %127s", &address, &size, name) != 3 ||
            address - program.base >= program.size)
            continue;
        if (strncmp(name, "play", 4) == 0 && program.loops_n < LOOPS) {
            program.loops[program.loops_n].at = address;
            program.loops[program.loops_n++].size = (uint64_t)size;
        }
        if (is_memory_function(name))
            memset(program.part + (address - program.base), CALLER, (size_t)size);
    }
    pclose(in);
    if (program.loops_n == 0)
        die("the program has no function `play`");
}

static void read_lines(const char *elf)
{
    char line[1024], name[256], number[16];
    uint64_t address, last = 0;
    enum part part = ASM;
    bool open = false;
    FILE *in = readelf("-W --debug-dump=decodedline", elf);
    while (fgets(line, sizeof line, in)) {
        if (sscanf(line, "%255s %15s %" SCNx64, name, number, &address) != 3 || address < program.base ||
            address - program.base > program.size)
            continue;
        for (uint64_t a = last; open && a < address; a++)
            program.part[a - program.base] = (uint8_t)part;
        open = number[0] != '-';
        last = address;
        if (open) {
            long at = strtol(number, NULL, 10);
            const char *slash = strrchr(name, '/');
            part = (enum part)file_of(slash != NULL ? slash + 1 : name)->part[at < LINES ? at : 0];
        }
    }
    pclose(in);
}

// ---- the trace

static void visit_over(struct visit *v)
{
    struct play *p = &program.plays[program.n - 1];
    if (p->n == p->room) {
        p->room = p->room * 2 + 1024;
        p->visits = realloc(p->visits, p->room * sizeof *p->visits);
        if (p->visits == NULL)
            die("no memory");
    }
    p->visits[p->n++] = *v;
    memset(v, 0, sizeof *v);
}

// What was executed since the guest, and whether `play` was part of it.
static struct visit now;
static uint32_t since[PARTS];
static bool guest, reached;

static void settle(uint32_t *to)
{
    for (int part = 0; part < PARTS; part++)
        to[part] += since[part];
    memset(since, 0, sizeof since);
}

static bool in_play(uint64_t pc)
{
    for (int i = 0; i < program.loops_n; i++)
        if (pc - program.loops[i].at < program.loops[i].size)
            return true;
    return false;
}

static bool at_play(uint64_t pc)
{
    for (int i = 0; i < program.loops_n; i++)
        if (pc == program.loops[i].at)
            return true;
    return false;
}

static void begin_play(void)
{
    if (program.n == PLAYS)
        die("too many plays");
    program.n++;
    memset(&now, 0, sizeof now);
    memset(since, 0, sizeof since);
    guest = false;
    reached = true;
}

// One instruction of the first CPU. A visit ends with the first of `play` itself after the guest.
static void take(uint64_t pc, bool firmware)
{
    static enum part part;
    if (pc - program.base >= program.size && !firmware) {
        settle(reached ? now.of : now.aside);
        guest = true;
        reached = false;
        return;
    }
    if (firmware)
        part = FIRMWARE;
    else if (program.part[pc - program.base] != CALLER)
        part = (enum part)program.part[pc - program.base];
    if (at_play(pc) && !firmware)
        begin_play();
    if (program.n > 0 && guest && part == DISPATCH && in_play(pc)) {
        settle(now.of);
        visit_over(&now);
        guest = false;
        reached = true;
    }
    since[part]++;
}

// A line about a block that was not executed after all takes back the one before.
static void read_trace(void)
{
    char line[512], flags[32];
    uint64_t pc, waiting = 0;
    bool waits = false, firmware = false;
    while (fgets(line, sizeof line, stdin)) {
        int qemu = sscanf(line, "Trace 0: %*s [%*x/%" SCNx64 "/%31[^/]", &pc, flags);
        if (qemu == 2 || sscanf(line, "(0).[%*u] [%*x] %*x:%" SCNx64, &pc) == 1) {
            if (waits)
                take(waiting, firmware);
            waiting = pc;
            waits = true;
            firmware = program.riscv && qemu == 2 && (strtoul(flags, NULL, 16) & 7) == 3; // the MMU's index: mode M
        } else if (strstr(line, "rewound execution") != NULL || strstr(line, "Stopped execution") != NULL) {
            waits = false;
        }
    }
}

// ---- the rows

static struct visit sum_of(const struct play *p, size_t first, size_t n)
{
    struct visit sum = {{0}, {0}};
    for (size_t i = first; i < first + n; i++)
        for (int part = 0; part < PARTS; part++) {
            sum.of[part] += p->visits[i].of[part];
            sum.aside[part] += p->visits[i].aside[part];
        }
    return sum;
}

static double total(const uint32_t *of)
{
    double sum = 0;
    for (int part = 0; part < PARTS; part++)
        sum += of[part];
    return sum;
}

// Where the `period` visits begin whose sum was seen most often; the first and the last have the loop's ends in
// them. *share: how often, of all.
static size_t usual(const struct play *p, size_t period, double *share)
{
    size_t most = 0, all = (p->n - 2) / period, best = 1;
    for (size_t i = 0; i < all && i < 32; i++) {
        struct visit one = sum_of(p, 1 + i * period, period);
        size_t seen = 0;
        for (size_t j = 0; j < all; j++) {
            struct visit other = sum_of(p, 1 + j * period, period);
            seen += memcmp(&one, &other, sizeof one) == 0;
        }
        if (seen > most)
            most = seen, best = 1 + i * period;
    }
    *share = all != 0 ? (double)most / (double)all : 0;
    return best;
}

// The sum of a period, without what visits in `without` (a bit for each) have aside.
static struct visit sum_without(const struct play *p, size_t first, size_t period, unsigned without)
{
    struct visit sum = sum_of(p, first, period);
    for (size_t i = 0; i < period; i++)
        for (int part = 0; part < PARTS && (without >> i & 1u) == 0; part++)
            sum.of[part] += p->visits[first + i].aside[part];
    return sum;
}

// vCPUs that take turns make a period longer than a visit. A round of the row is as many visits as its count of
// instructions says. The guest looks at the count around one instruction only: a trap of its own that comes
// elsewhere, and is served without `play`, may be left out. What the guest itself executes in a round is a few
// instructions; more is another row.
static bool print_row(const struct play *p, double ir)
{
    struct visit all = sum_of(p, 1, p->n - 2);
    double visits = ir * (double)(p->n - 2) / (total(all.of) + total(all.aside)), share = 0, scale;
    size_t period = 0, first = 1;
    while (share < 0.9 && ++period < 5)
        first = usual(p, period, &share);
    scale = (visits < 1 ? 1 : (double)lround(visits)) / (double)period;
    for (unsigned without = 0; share >= 0.9 && without < 1u << period; without++) {
        struct visit sum = sum_without(p, first, period, without);
        double own = ir - total(sum.of) * scale;
        if (own < 0 || own > GUEST_MOST)
            continue;
        printf("%.1f %.1f %.1f %.1f %.1f\n", sum.of[ASM] * scale, sum.of[DECODE] * scale, sum.of[CORE] * scale,
               sum.of[DISPATCH] * scale, sum.of[FIRMWARE] * scale);
        return true;
    }
    return false;
}

// The calls of `play` behind those at the beginning that saw no exit, which are for no row.
static int calls_that_exit(void)
{
    int empty = 0;
    while (empty < program.n && program.plays[empty].n < 4)
        empty++;
    return program.n - empty;
}

int main(int argc, char **argv)
{
    bool one_each; // else some rows have several, and each is looked for
    int next = 0; // the first call of `play` that belongs to no row yet
    if (argc < 3)
        die("usage: split ELF IR...");
    read_machine(argv[1]);
    read_sections(argv[1]);
    read_lines(argv[1]);
    read_symbols(argv[1]);
    read_trace();
    one_each = calls_that_exit() == argc - 2;
    for (int row = 2; row < argc; row++) {
        int i = one_each ? program.n - (argc - row) : next, end = one_each ? i + 1 : program.n;
        while (i < end && (program.plays[i].n < 4 || !print_row(&program.plays[i], strtod(argv[row], NULL))))
            i++;
        if (i < end)
            next = i + 1;
        else
            printf("0 0 0 0 0\n");
    }
    return 0;
}
