// SPDX-License-Identifier: Apache-2.0
//
//     trace ELF <LOG
//
// Where the instructions of a round trip go. LOG is what QEMU writes with -singlestep -d exec,nochain while it
// runs count.elf: one line for each instruction. A round trip begins at the guest's instruction that exits
// and ends at the guest's next one; the last of each kind is looked at. An instruction belongs to the innermost
// function whose code it is, inlined or not (addr2line).
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/tap.h"

enum { MAX_TEXT = 0x40000, MAX_TRIP = 20000, TRIPS = 64, MANY = 10 };
#define GUEST UINT64_C(0x80000000)

enum part { PART_GUEST, PART_ASM, PART_DECODE, PART_CORE, PART_DISPATCH, PART_HOST, PARTS };
static const char *const part_names[PARTS] = {"guest", "asm", "decode", "core", "dispatch", "host"};

// Of the program, by address / 4 from `base` on.
static struct text {
    char insn[48];
    uint8_t part;
} text[MAX_TEXT];
static uint64_t base, guest_blob;

static struct symbol {
    uint64_t at;
    char name[48];
} guests[16];
static unsigned guest_count;

struct trip {
    uint64_t from;
    unsigned length, times;
    uint64_t pc[MAX_TRIP];
};
static struct trip trips[TRIPS], now;
static unsigned trip_count;

static FILE *open_tool(const char *tool, const char *elf)
{
    char command[600];
    snprintf(command, sizeof command, tool, elf);
    FILE *f = popen(command, "r");
    if (f == NULL)
        exit(2);
    return f;
}

// "    40080060:\tstp\tx29, x30, [sp, #-160]!"
static void read_text(const char *elf)
{
    char line[512];
    FILE *f = open_tool("aarch64-linux-gnu-objdump -d --no-show-raw-insn '%s'", elf);
    while (fgets(line, sizeof line, f)) {
        char *end;
        uint64_t at = strtoull(line, &end, 16);
        if (end == line || end[0] != ':' || end[1] != '\t')
            continue;
        base = base ? base : at;
        if ((at - base) / 4 < MAX_TEXT)
            snprintf(text[(at - base) / 4].insn, sizeof text[0].insn, "%s", end + 2);
    }
    pclose(f);
}

static void read_guests(const char *elf)
{
    char line[512], kind, name[200];
    uint64_t at;
    FILE *f = open_tool("aarch64-linux-gnu-nm -n '%s'", elf);
    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, "%lx %c %199s", &at, &kind, name) != 3 || strncmp(name, "guest_", 6) != 0)
            continue;
        if (strcmp(name, "guest_count") == 0)
            guest_blob = at;
        else if (guest_count < sizeof guests / sizeof guests[0]) {
            guests[guest_count].at = at;
            snprintf(guests[guest_count++].name, sizeof guests[0].name, "%.47s", name + 6);
        }
    }
    pclose(f);
}

static enum part part_of(const char *function)
{
    static const struct {
        const char *begin;
        enum part part;
    } names[] = {
        {"axvcpu_i_arm64_enter_guest", PART_ASM}, {"axvcpu_i_arm64_", PART_DECODE}, {"axvcpu_arm64_", PART_DECODE},
        {"axvcpu_leaf_", PART_DECODE}, {"axvm_leaf_", PART_DECODE}, {"axvcpu_", PART_CORE}, {"axvm_", PART_CORE},
        {"play", PART_DISPATCH},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strncmp(function, names[i].begin, strlen(names[i].begin)) == 0)
            return names[i].part;
    return PART_HOST;
}

// Assembly has no line numbers: it is what lies in its two symbols.
static void read_assembly(const char *elf)
{
    char line[512], kind, name[200];
    uint64_t at, size;
    FILE *f = open_tool("aarch64-linux-gnu-nm -S '%s'", elf);
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "%lx %lx %c %199s", &at, &size, &kind, name) == 4 &&
            (strcmp(name, "axvcpu_i_arm64_enter") == 0 || strcmp(name, "axvcpu_i_arm64_vectors") == 0))
            for (uint64_t i = 0; i < size; i += 4)
                text[(at + i - base) / 4].part = PART_ASM;
    pclose(f);
}

// addr2line -f: two lines for an address, the first one is the function.
static void read_functions(const char *elf)
{
    static uint64_t asked[MAX_TEXT];
    char path[] = "/tmp/axvcpu-trace-XXXXXX", command[600], line[512];
    size_t n = 0;
    int fd = mkstemp(path);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    if (f == NULL)
        exit(2);
    for (size_t i = 0; i < MAX_TEXT; i++)
        if (text[i].insn[0] && text[i].part != PART_ASM) {
            asked[n++] = i;
            fprintf(f, "0x%lx\n", base + i * 4);
        }
    fclose(f);
    snprintf(command, sizeof command, "aarch64-linux-gnu-addr2line -f -e '%s' <%s", elf, path);
    f = popen(command, "r");
    for (size_t i = 0; f && i < n && fgets(line, sizeof line, f); i++) {
        text[asked[i]].part = (uint8_t)part_of(line);
        if (!fgets(line, sizeof line, f))
            break;
    }
    if (f)
        pclose(f);
    remove(path);
}

static bool is_guest(uint64_t pc)
{
    return pc >= GUEST && pc < GUEST + 0x100000;
}

static const char *guest_name(uint64_t pc)
{
    const char *name = "?";
    for (unsigned i = 0; i < guest_count; i++)
        if (guests[i].at <= guest_blob + (pc - GUEST))
            name = guests[i].name;
    return name;
}

static void keep_trip(void)
{
    unsigned i = 0;
    while (i < trip_count && trips[i].from != now.from)
        i++;
    if (i == TRIPS || now.length >= MAX_TRIP)
        return;
    now.times = i < trip_count ? trips[i].times + 1 : 1;
    trip_count += i == trip_count;
    trips[i] = now;
}

// "Trace 0: 0x7f2c3c000100 [00000000/0000000040080000/00000a01/ff000201] name"
static void read_log(FILE *f)
{
    char line[512];
    uint64_t last = 0, pc;
    while (fgets(line, sizeof line, f)) {
        const char *at = strstr(line, "[");
        at = strncmp(line, "Trace", 5) == 0 && at ? strchr(at, '/') : NULL;
        if (at == NULL)
            continue;
        pc = strtoull(at + 1, NULL, 16);
        if (is_guest(pc) && last && !is_guest(last))
            keep_trip();
        if (is_guest(pc)) {
            now.from = pc;
            now.length = 0;
        } else if (now.length < MAX_TRIP) {
            now.pc[now.length++] = pc;
        }
        last = pc;
    }
}

static bool begins(const char *insn, const char *with)
{
    return strncmp(insn, with, strlen(with)) == 0;
}

struct sum {
    unsigned parts[PARTS], all, registers, maintenance;
};

static void add_up(const struct trip *t, struct sum *s)
{
    memset(s, 0, sizeof *s);
    s->parts[PART_GUEST] = 1;
    s->all = t->length + 1;
    for (unsigned i = 0; i < t->length; i++) {
        const struct text *x = t->pc[i] >= base && (t->pc[i] - base) / 4 < MAX_TEXT ? &text[(t->pc[i] - base) / 4] : &text[0];
        s->parts[x->part]++;
        s->registers += (begins(x->insn, "mrs\t") || begins(x->insn, "msr\t")) && !strstr(x->insn, "daif");
        s->maintenance += begins(x->insn, "tlbi\t") || begins(x->insn, "ic\t") || begins(x->insn, "dc\t");
        if (getenv("TRACE"))
            printf("# %s %8lx %s %s", guest_name(t->from), t->pc[i], part_names[x->part], x->insn);
    }
}

static void show(const char *name, const struct sum *s)
{
    printf("# %s:", name);
    for (unsigned i = 0; i < PARTS; i++)
        printf(" %s %u", part_names[i], s->parts[i]);
    printf(", together %u; system registers %u, TLB or cache maintenance %u\n", s->all, s->registers, s->maintenance);
}

int main(int argc, char **argv)
{
    bool seen = false;
    tap_begin(100);
    if (argc != 2)
        return 2;
    read_text(argv[1]);
    read_guests(argv[1]);
    read_assembly(argv[1]);
    read_functions(argv[1]);
    read_log(stdin);
    for (unsigned i = 0; i < trip_count; i++) {
        struct sum s;
        if (trips[i].times < MANY) // what happens once, as the first use of FP
            continue;
        const char *name = guest_name(trips[i].from);
        add_up(&trips[i], &s);
        show(name, &s);
        if (strcmp(name, "hypercall") != 0)
            continue;
        seen = true;
        ok(s.all <= 110, "a hypercall costs %u instructions, at most 110", s.all);
        ok(s.registers <= 6, "... of them %u access system registers, at most 6", s.registers);
        ok_u64(s.maintenance, 0, "trap_28: ... and none maintains a TLB or a cache");
    }
    ok(seen, "there is a hypercall in the trace");
    return tap_done();
}
