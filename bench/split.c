// SPDX-License-Identifier: Apache-2.0
//
// Splits the rounds of a guest program's rows by who executes:
//
//     split ELF WINDOW... <trace       one line per row: asm decode core dispatch firmware guest
//
// A WINDOW is "FROM TO ALL ROUNDS", as the row itself says: between the guest's instruction at FROM, it included, and
// the one at TO there are ALL instructions, which are ROUNDS of the row. One for each exit may be more in the trace:
// QEMU's clock leaves out some of the guest's instructions that SVM intercepts. Where the trace has no such window,
// the line is all 0.
//
// The trace is of QEMU's `-singlestep -d exec,nochain` or Bochs' `trace on`: a line per instruction of the same
// program. Its debug information says of which line of C each is: of axvcpu.h (core), of the architecture's header
// (decode; its part >>switch, and what has no line, is asm), or of anything else (dispatch). memcpy and its like
// belong to who called them. What lies outside of the program is the guest, or firmware (RISC-V's machine mode).
// See README.md.
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum part { ASM, DECODE, CORE, DISPATCH, FIRMWARE, GUEST, PARTS, CALLER = PARTS };
enum { FILES = 64, LINES = 65536, ROWS = 32 };

// A source file: for each of its lines the part.
static struct file {
    char name[64];
    uint8_t part[LINES];
} files[FILES];

static struct {
    uint64_t base, size;
    bool riscv;
    uint8_t *part; // by address
} program;

static struct row {
    uint64_t from, to, all, rounds;
    bool open; // the trace is in its window
    uint64_t exits;
    uint64_t now[PARTS], of[PARTS]; // of: the last window that has all
} rows[ROWS];
static int rows_n;

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
        if (is_memory_function(name))
            memset(program.part + (address - program.base), CALLER, (size_t)size);
    }
    pclose(in);
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

static bool in_program(uint64_t pc)
{
    return pc - program.base < program.size;
}

static uint64_t total(const uint64_t *of)
{
    uint64_t sum = 0;
    for (int part = 0; part < PARTS; part++)
        sum += of[part];
    return sum;
}

// A window may begin where it ends: it is a loop.
static void guest_at(uint64_t pc)
{
    for (struct row *r = rows; r < rows + rows_n; r++) {
        if (pc == r->to && r->open && total(r->now) - r->all <= r->exits)
            memcpy(r->of, r->now, sizeof r->of);
        if (pc == r->to)
            r->open = false;
        if (pc == r->from) {
            memset(r->now, 0, sizeof r->now);
            r->exits = 0;
            r->open = true;
        }
    }
}

// One instruction of the first CPU.
static void take(uint64_t pc, bool firmware)
{
    static enum part part;
    bool guest = part == GUEST;
    if (firmware)
        part = FIRMWARE;
    else if (!in_program(pc))
        part = GUEST;
    else if (program.part[pc - program.base] != CALLER)
        part = (enum part)program.part[pc - program.base];
    if (part == GUEST)
        guest_at(pc);
    for (struct row *r = rows; r < rows + rows_n; r++) {
        r->now[part] += r->open;
        r->exits += guest && part != GUEST;
    }
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

static void read_row(const char *window)
{
    struct row *r = &rows[rows_n];
    if (rows_n++ == ROWS)
        die("too many rows");
    if (sscanf(window, "%" SCNi64 " %" SCNi64 " %" SCNu64 " %" SCNu64, (int64_t *)&r->from, (int64_t *)&r->to, &r->all,
               &r->rounds) != 4 || r->rounds == 0)
        die("a window is FROM TO ALL ROUNDS");
    if (in_program(r->from) || in_program(r->to))
        die("the guest lies where the program does");
}

int main(int argc, char **argv)
{
    if (argc < 3)
        die("usage: split ELF WINDOW...");
    read_machine(argv[1]);
    read_sections(argv[1]);
    read_lines(argv[1]);
    read_symbols(argv[1]);
    for (int i = 2; i < argc; i++)
        read_row(argv[i]);
    read_trace();
    for (const struct row *r = rows; r < rows + rows_n; r++)
        for (int part = 0; part < PARTS; part++)
            printf("%.1f%c", (double)r->of[part] / (double)r->rounds, part + 1 < PARTS ? ' ' : '\n');
    return 0;
}
