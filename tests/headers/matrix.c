// SPDX-License-Identifier: Apache-2.0
//
// The headers under compilers, standards, optimisation, macros and ways of linking: one TAP line per
// cell, the tables first. Standards vary on the declarations, optimisation on the implementation;
// other dimensions meet pairwise, not in full product. Run from the project's root.
#define _GNU_SOURCE
#include <regex.h>
#include "tests/headers/cells.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define FAKE "-DAXVCPU_ARCH_FAKE"
#define IMPL "-DAXVCPU_IMPLEMENTATION -D_GNU_SOURCE"
#define STRICT "-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wundef -Werror"
#define STRICT_C STRICT " -Wstrict-prototypes"
#define CLANG_ONLY " -Wreserved-identifier"
#define T "tests/headers/"

static const struct compiler {
    const char *name, *cc, *cxx, *c, *cpp; // c, cpp: warnings
} compilers[] = {
    { "gcc", "gcc", "g++", STRICT_C, STRICT },
    { "clang", "clang", "clang++", STRICT_C CLANG_ONLY, STRICT CLANG_ONLY },
};

static const char *const standards[] = { "c11", "c17", "c2x", "c++11", "c++17", "c++20" };
enum { C_STANDARDS = 3 };

static const char *const levels[] = { "-O0", "-O1", "-O2", "-O3", "-Os" };

static const char *const headers[] = { "axvcpu.h", "axvcpu_arch_x86.h", "axvcpu_arch_arm64.h", "axvcpu_arch_riscv.h" };

// Every backend with the compilers that can build it. One that is not ready must say so.
enum { HOSTED = 1, FREESTANDING = 2, ANYWHERE = 3 };
#define ARM64_CC "aarch64-linux-gnu-gcc -mno-outline-atomics"
#define RISCV_CC "riscv64-linux-gnu-gcc"
static const struct backend {
    const char *name, *flags;
    unsigned where;
    bool ready;
    const char *cc[2];
} backends[] = {
    { "fake", FAKE, ANYWHERE, true, { "gcc", "clang" } },
    { "fake", FAKE, ANYWHERE, true, { ARM64_CC, RISCV_CC } },
    { "x86", "-DAXVCPU_ARCH_X86", ANYWHERE, true, { "gcc", "clang" } },
    { "x86 kvm", "-DAXVCPU_ARCH_X86 -DAXVCPU_KVM", HOSTED, true, { "gcc", "clang" } },
    { "arm64", "-DAXVCPU_ARCH_ARM64", ANYWHERE, true, { ARM64_CC } },
    { "arm64 kvm", "-DAXVCPU_ARCH_ARM64 -DAXVCPU_KVM", HOSTED, true, { ARM64_CC } },
    { "riscv", "-DAXVCPU_ARCH_RISCV", ANYWHERE, true, { RISCV_CC } },
    { "riscv, the host's vectors", "-DAXVCPU_ARCH_RISCV -DAXVCPU_OWN_VECTORS", ANYWHERE, true, { RISCV_CC } },
    { "riscv kvm", "-DAXVCPU_ARCH_RISCV -DAXVCPU_KVM", HOSTED, true, { RISCV_CC } },
};
#define NOT_READY "backend is not there yet; define AXVCPU_ARCH_FAKE"

// Without a backend's macro it is the compiler's target's: hosted on KVM, else bare.
static const struct {
    const char *cc, *hosted, *freestanding;
} defaults[] = {
    { "gcc", "-DAXVCPU_ARCH_X86 -DAXVCPU_KVM", "-DAXVCPU_ARCH_X86" },
    { "clang", "-DAXVCPU_ARCH_X86 -DAXVCPU_KVM", "-DAXVCPU_ARCH_X86" },
    { ARM64_CC, "-DAXVCPU_ARCH_ARM64 -DAXVCPU_KVM", "-DAXVCPU_ARCH_ARM64" },
    { RISCV_CC, "-DAXVCPU_ARCH_RISCV -DAXVCPU_KVM", "-DAXVCPU_ARCH_RISCV" },
};

// Barriers that no emulator misses, in what is compiled: each instruction like `at` of a function (NULL: of all), and
// there are at least so many, has one like `by` among the `within` next ones; the last ones if that is negative.
// Extended regular expressions, what is between an instruction's words is one space.
enum { MAX_WITHIN = 50 };
static const struct barrier {
    const char *backend, *function, *at, *by;
    int within, least;
} barriers[] = {
    // Nothing is speculated behind ERET (DDI 0487, ERET).
    { "arm64", NULL, "^eret", "^dsb nsh", 1, 2 },
    { "arm64", NULL, "^dsb nsh", "^isb", 1, 2 },
    // The host's HCR_EL2 and vectors are in force before what comes next (DDI 0487, "Synchronization requirements for
    // AArch64 System registers"), and PAR_EL1 is read after the translation.
    { "arm64", "axvcpu_i_arm64_unload", "^msr hcr_el2", "^isb", 1, 1 },
    { "arm64", NULL, "^msr vbar_el2", "^isb", 1, 2 },
    { "arm64", NULL, "^at s1e1r", "^isb", 1, 1 },
    // Tables, then the TLB, then it is so everywhere; the second stage before what combines it with the first.
    { "arm64", NULL, "^tlbi ", "^dsb ish$", 8, 4 },
    { "arm64", NULL, "^tlbi vmalle1is", "^dsb ish$", -1, 1 },
    { "arm64", NULL, "^tlbi alle1is", "^dsb ishst", -1, 1 },
    // The flag is out before the interrupt is.
    { "arm64", "axvcpu_leaf_kick", "^dsb ishst", "^bl? ", 4, 1 },
    { "riscv", NULL, "^fence w,o", "^(jalr|ecall|c.jalr|auipc|jr)", 6, 1 },
    // Nothing is behind SRET; what another guest left in the TLB is not for this one (priv 8.5.3); the owner word is
    // out before the attention word is looked at.
    { "riscv", NULL, "^sret", "^(.word 0x0|.4byte 0x0$|unimp|c.unimp)", 1, 1 },
    { "riscv", "axvcpu_i_riscv_load", "^csrw hgatp", "^(hfence.gvma|.4byte 0x62000073)", 40, 1 },
    { "riscv", "axvcpu_i_riscv_load", "^(hfence.gvma|.4byte 0x62000073)", "^(hfence.vvma|.4byte 0x22000073)", 1, 1 },
    { "riscv", "axvcpu_i_riscv_load", "^fence rw,rw", ".", 1, 1 },
    // `inside` is out before `remote` is looked at, or who waits for this CPU's flush waits for nothing.
    { "x86", NULL, "^clgi", "^xchg %[a-z0-9]+,.*[(]", -12, 2 },
    { "x86", NULL, "^vmresume", "^xchg %[a-z0-9]+,.*[(]", -45, 2 },
    // The guest's state is in by VMLOAD and out by VMSAVE with GIF clear (APM 2, 15.5.1, 15.17).
    { "x86", NULL, "^vmrun", "^clgi", -40, 2 },
    { "x86", NULL, "^vmrun", "^sti", -40, 2 },
    { "x86", NULL, "^vmrun", "^cli$", 2, 2 },
    { "x86", NULL, "^stgi", "^vmload", -1, 2 },
    // What EPT gives and what it gives in combination (SDM 3, 29.4.3.1).
    { "x86", NULL, "^invept", "^invvpid", 3, 1 },
};

// The files of a linked program, always with -I. and the fake backend.
static const struct layout {
    const char *name, *files;
} layouts[] = {
    { "one file", "-DSMOKE_IMPL " T "smoke.c" },
    { "header before and after the define", "-DSMOKE_IMPL -DSMOKE_TWICE " T "smoke.c" },
    { "implementation, user", T "impl.c " T "smoke.c" },
    { "user, implementation", T "smoke.c " T "impl.c" },
    { "arch headers before the core", "-DSMOKE_ARCH_FIRST -DIMPL_ARCH_FIRST " T "impl.c " T "smoke.c" },
    { "arch headers after the core", "-DSMOKE_ARCH_LAST " T "smoke.c " T "impl.c" },
    { "two users", "-DSMOKE_OTHER " T "smoke.c " T "other.c " T "impl.c" },
    { "static in two files", "-DAXVCPU_STATIC -DSMOKE_IMPL -DSMOKE_OTHER " T "smoke.c " T "other.c" },
};

static const struct {
    const char *name, *tool, *cc;
} linkers[] = {
    { "gcc lto", "gcc", "gcc -O2 -flto" },
    { "gcc lto partition=max", "gcc", "gcc -O2 -flto -flto-partition=max" },
    { "gcc lto partition=none", "gcc", "gcc -O2 -flto -flto-partition=none" },
    { "clang full lto", "ld.lld", "clang -O2 -flto=full -fuse-ld=lld" },
    { "clang thin lto", "ld.lld", "clang -O2 -flto=thin -fuse-ld=lld" },
    { "musl", "musl-gcc", "musl-gcc -O2 -static" },
    { "gcc address, undefined", "gcc", "gcc -O1 -g1 -fsanitize=address,undefined -fno-sanitize-recover=all" },
    { "gcc thread", "gcc", "gcc -O1 -g1 -fsanitize=thread" },
    { "clang address, undefined", "clang", "clang -O1 -g1 -fsanitize=address,undefined -fno-sanitize-recover=all" },
    { "clang thread", "clang", "clang -O1 -g1 -fsanitize=thread" },
};

// Macros that a user may set: the smoke program still works, and an overridden hook is called.
static const char *const macros[] = {
    "-DAXVCPU_CHECKED",
    "-DNDEBUG",
    "-DAXVCPU_MAX_PHYS_CPUS=64",
    "-DAXVCPU_MAX_PHYS_CPUS=1024",
    "-DHOOK_ASSERT",
    "-DHOOK_LOG",
    "-DHOOK_MEMSET",
    "-DHOOK_MEMCPY",
    "-DHOOK_ATOMIC",
    "-DHOOK_CURRENT",
    "-DHOOK_CPU_TOKEN",
    "-DHOOK_CPU_ID",
    "-DHOOK_PARK",
    "-DHOOK_TRACE",
    "-DHOOK_CURRENT -DHOOK_CPU_TOKEN -DHOOK_CPU_ID -DHOOK_LOG -DHOOK_ATOMIC -DHOOK_TRACE -DAXVCPU_CHECKED",
};

// What must not compile, and what the message has to say.
static const struct {
    const char *flags, *says;
} refused[] = {
    { FAKE " -DAXVCPU_ARCH_X86", "define at most one of AXVCPU_ARCH_FAKE" },
    { "-DAXVCPU_ARCH_ARM64 -DAXVCPU_ARCH_RISCV", "define at most one of AXVCPU_ARCH_FAKE" },
    { FAKE " -DAXVCPU_KVM", "drop it for the fake or your own backend" },
    { "-DAXVCPU_ARCH_HEADER='\"stddef.h\"' -DAXVCPU_KVM", "drop it for the fake or your own backend" },
    { "-U__linux__ -DAXVCPU_ARCH_X86 -DAXVCPU_KVM", "needs Linux; drop it" },
    { "-ffreestanding -U__x86_64__", "no backend for this target; define AXVCPU_ARCH_FAKE" },
    { FAKE " -DAXVCPU_MAX_PHYS_CPUS=0", "must be a multiple of 64" },
    { FAKE " -DAXVCPU_MAX_PHYS_CPUS=100", "must be a multiple of 64" },
    { FAKE " '-DAXVCPU_CURRENT_GET()=0'", "define both AXVCPU_CURRENT_GET() and AXVCPU_CURRENT_SET(v)" },
    { FAKE " '-DAXVCPU_CURRENT_SET(v)=0'", "define both AXVCPU_CURRENT_GET() and AXVCPU_CURRENT_SET(v)" },
    { FAKE " '-DAXVCPU_PARK(v)=0'", "define both AXVCPU_PARK(v) and AXVCPU_WAKE(v)" },
    { FAKE " '-DAXVCPU_WAKE(v)=0'", "define both AXVCPU_PARK(v) and AXVCPU_WAKE(v)" },
    { FAKE " '-DAXVCPU_ALLOC_FRAME(p,a)=0'", "define both AXVCPU_ALLOC_FRAME(pages, align) and AXVCPU_FREE_FRAME" },
    { FAKE " '-DAXVCPU_FREE_FRAME(h,p)=0'", "define both AXVCPU_ALLOC_FRAME(pages, align) and AXVCPU_FREE_FRAME" },
    { FAKE " '-DAXVCPU_PHYS_TO_VIRT(h)=0'", "define both AXVCPU_PHYS_TO_VIRT(hpa) and AXVCPU_VIRT_TO_PHYS" },
    { FAKE " '-DAXVCPU_VIRT_TO_PHYS(p)=0'", "define both AXVCPU_PHYS_TO_VIRT(hpa) and AXVCPU_VIRT_TO_PHYS" },
    { FAKE " '-DAXVCPU_ATOMIC_LOAD(p)=0'", "define all of AXVCPU_ATOMIC_*" },
};

// ---- helpers

static bool is_cpp(const char *standard)
{
    return strchr(standard, '+') != NULL;
}

// Flags that make each header of a list the input; with nothing but declarations there is no file.
static char *input(const char *const *list, size_t n, const char *language)
{
    char *flags = text("%s", "");
    for (size_t i = 0; i < n; i++)
        flags = text("%s -include %s", flags, list[i]);
    return text("%s -x %s /dev/null", flags, language);
}

// No libc headers, only the compiler's own.
static char *freestanding(const char *cc)
{
    if (strstr(cc, "clang"))
        return text("-ffreestanding -nostdinc -isystem $(%s -print-resource-dir)/include", cc);
    return text("-ffreestanding -nostdinc -isystem $(%s -print-file-name=include)", cc);
}

static const char *first_word(const char *command)
{
    return text("%.*s", (int)strcspn(command, " "), command);
}

static const char *warnings_of(const char *cc)
{
    return strstr(cc, "clang") ? STRICT_C CLANG_ONLY : STRICT_C;
}

// ---- what a cell's output may hold

static bool has_prefix(const char *word, const char *const *prefixes)
{
    for (; *prefixes; prefixes++)
        if (strncmp(word, *prefixes, strlen(*prefixes)) == 0)
            return true;
    return false;
}

// nm -g --defined-only: only our names.
static char *wrong_definition(const char *output)
{
    static const char *const ours[] = { "axvcpu_", "axvm_", NULL };
    char name[256], type;
    for (; *output; output += strcspn(output, "\n"), output += *output == '\n')
        if (sscanf(output, "%*x %c %255s", &type, name) == 2 && !has_prefix(name, ours))
            return text("defines %s", name);
    return NULL;
}

static char *first_reference(const char *output, const char *const *allowed)
{
    for (; *output; output += strcspn(output, "\n"), output += *output == '\n') {
        const char *name = output + strspn(output, " ");
        if (strncmp(name, "U ", 2) == 0 && !has_prefix(name + 2, allowed))
            return text("needs %.*s", (int)strcspn(name + 2, "\n"), name + 2);
    }
    return NULL;
}

// nm -u: what a compiler may call by itself, and the host's functions.
static char *wrong_reference(const char *output)
{
    static const char *const allowed[] = { "memcpy\n", "memset\n", "memmove\n", "memcmp\n", "axvcpu_host_", NULL };
    return first_reference(output, allowed);
}

// The same where all hooks of the host are macros.
static char *wrong_bare_reference(const char *output)
{
    static const char *const allowed[] = { "memcpy\n", "memset\n", "memmove\n", "memcmp\n", "hook_", NULL };
    return first_reference(output, allowed);
}

// objdump -d: an instruction and the function that it is in. Local labels are no functions.
enum { MAX_INSNS = 60000 };
static struct insn {
    char function[64], words[64];
} insns[MAX_INSNS + 2 * MAX_WITHIN];

static size_t read_insns(const char *output)
{
    char name[64] = "", mnemonic[24], operands[40];
    size_t n = MAX_WITHIN;
    memset(insns, 0, sizeof insns);
    for (; *output && n < MAX_INSNS; output += strcspn(output, "\n"), output += *output == '\n') {
        if (sscanf(output, "%*x <%63[a-zA-Z_0-9]>:", name) == 1)
            continue;
        operands[0] = '\0';
        if (sscanf(output, " %*[0-9a-f]:%*1[\t]%23[^ \t\n]%*[ \t]%39[^\t\n]", mnemonic, operands) < 1)
            continue;
        snprintf(insns[n].function, sizeof insns[n].function, "%s", name);
        snprintf(insns[n++].words, sizeof insns[n].words, operands[0] ? "%s %s" : "%s", mnemonic, operands);
    }
    return n;
}

static bool has_barrier(const struct insn *at, int within, const regex_t *by)
{
    int step = within < 0 ? -1 : 1;
    for (int d = step; d != within + step; d += step)
        if (strcmp(at[d].function, at->function) == 0 && regexec(by, at[d].words, 0, NULL, 0) == 0)
            return true;
    return false;
}

static char *wrong_barrier(const struct barrier *r, size_t count)
{
    regex_t at, by;
    int found = 0;
    if (regcomp(&at, r->at, REG_EXTENDED | REG_NOSUB) != 0 || regcomp(&by, r->by, REG_EXTENDED | REG_NOSUB) != 0)
        return text("%s, %s: no expression", r->at, r->by);
    for (size_t i = MAX_WITHIN; i < count; i++) {
        if ((r->function && strcmp(r->function, insns[i].function) != 0) || regexec(&at, insns[i].words, 0, NULL, 0) != 0)
            continue;
        found++;
        if (!has_barrier(&insns[i], r->within, &by))
            return text("%s: %s, without %s", insns[i].function, insns[i].words, r->by);
    }
    return found < r->least ? text("%s: %d of %s", r->function ? r->function : "all", found, r->at) : NULL;
}

static char *wrong_in(const char *backend, const char *output)
{
    size_t count = read_insns(output);
    char *wrong = wrong_reference(output);
    for (size_t i = 0; i < COUNT(barriers) && !wrong; i++)
        if (strcmp(barriers[i].backend, backend) == 0)
            wrong = wrong_barrier(&barriers[i], count);
    return wrong;
}
typedef char *wrong_fn(const char *);
static char *wrong_x86(const char *output) { return wrong_in("x86", output); }
static char *wrong_arm64(const char *output) { return wrong_in("arm64", output); }
static char *wrong_riscv(const char *output) { return wrong_in("riscv", output); }

static char *any_line(const char *output)
{
    return *output ? text("prints %.*s", (int)strcspn(output, "\n"), output) : NULL;
}

// -dD -E: of the macros that our headers define and leave defined, only our names. The input is ours as
// long as the last line marker names one of our files.
static char *wrong_macro(const char *output)
{
    static const char *const ours[] = { "AXVCPU_", "AXVM_", NULL };
    char file[512] = "", name[256];
    for (; *output; output += strcspn(output, "\n"), output += *output == '\n') {
        if (sscanf(output, "# %*d \"%511[^\"]\"", file) == 1 || !strstr(file, "axvcpu"))
            continue;
        if (sscanf(output, "#define %255[A-Za-z0-9_]", name) == 1 && !has_prefix(name, ours) &&
            !strstr(output, text("#undef %s\n", name)))
            return text("leaks the macro %s", name);
    }
    return NULL;
}

// ---- the cells

// Each header alone in every language; then all four in every order.
static void add_declarations(const char *const *list, size_t n, const char *label)
{
    for (size_t i = 0; i < n; i++)
        for (size_t s = 0; s < COUNT(standards); s++)
            for (size_t c = 0; c < COUNT(compilers); c++) {
                const struct compiler *cc = &compilers[c];
                bool cpp = is_cpp(standards[s]);
                cell(text("declarations%s: %s %s %s", label, list[i], standards[s], cc->name),
                     text("%s -std=%s %s %s -c -o $O.o %s && nm --defined-only $O.o 2>/dev/null",
                          cpp ? cc->cxx : cc->cc, standards[s], cpp ? cc->cpp : cc->c, FAKE,
                          input(&list[i], 1, cpp ? "c++" : "c")))
                    ->wrong = any_line;
            }
}

static void add_orders(void)
{
    for (size_t i = 0; i < 4 * 4 * 4 * 4; i++) {
        size_t at[4] = { i % 4, i / 4 % 4, i / 16 % 4, i / 64 };
        const char *list[4];
        unsigned seen = 0;
        for (size_t k = 0; k < 4; k++) {
            list[k] = headers[at[k]];
            seen |= 1u << at[k];
        }
        if (seen != 15)
            continue; // no permutation
        const struct compiler *cc = &compilers[i % 2];
        const char *standard = standards[i / 2 % C_STANDARDS];
        cell(text("order: %s, %s, %s, %s", list[0] + 6, list[1] + 6, list[2] + 6, list[3] + 6),
             text("%s -std=%s %s %s -fsyntax-only %s && %s -std=%s %s %s %s -fsyntax-only %s", cc->cc, standard, cc->c,
                  FAKE, input(list, 4, "c"), cc->cc, standard, cc->c, FAKE, IMPL, input(list, 4, "c")));
    }
}

// The implementation at every level; the object has only our names.
static void add_implementations(const char *const *list, size_t n, const char *label)
{
    for (size_t i = 0; i < n; i++)
        for (size_t l = 0; l < COUNT(levels); l++)
            for (size_t c = 0; c < COUNT(compilers); c++) {
                const struct compiler *cc = &compilers[c];
                if (i > 0 && l != (c == 0 ? 2 : 2 + i % 3))
                    continue; // for an arch header alone one level of each compiler is enough
                cell(text("implementation%s: %s %s %s", label, list[i], levels[l], cc->name),
                     text("%s -std=%s %s %s %s %s -c -o $O.o %s && nm -g --defined-only $O.o", cc->cc,
                          standards[(i + l + c) % C_STANDARDS], cc->c, levels[l], FAKE, IMPL, input(&list[i], 1, "c")))
                    ->wrong = wrong_definition;
            }
}

static wrong_fn *wrong_barriers(const struct backend *b)
{
    return strcmp(b->name, "x86") == 0       ? wrong_x86 :
           strcmp(b->name, "arm64") == 0     ? wrong_arm64 :
           strncmp(b->name, "riscv", 5) == 0 ? wrong_riscv :
                                               NULL;
}

static char *disassemble(const char *cc)
{
    return text(" && %.*sobjdump -d --no-show-raw-insn $O.o", (int)(strstr(cc, "gcc") - cc), cc);
}

// One backend with one compiler, hosted or freestanding. Where both can be, -O2 hosted would show nothing new.
static void add_backend(const struct backend *b, const char *cc, unsigned where)
{
    bool bare = where == FREESTANDING;
    if ((b->where & where) == 0)
        return;
    for (size_t l = 0; l < COUNT(levels); l += 2) {
        if (l == (bare ? 0 : 4) || (l == 2 && !bare && b->where == ANYWHERE))
            continue; // -O2, and one of -O0 and -Os
        bool look = bare && l == 2 && strstr(cc, "gcc") && wrong_barriers(b) != NULL; // others put code elsewhere
        struct cell *c =
            cell(text("backend: %s %s, %s %s", b->name, bare ? "freestanding" : "hosted", first_word(cc), levels[l]),
                 text("%s -std=c11 %s %s %s %s %s -c -o $O.o %s && nm -u $O.o%s", cc, warnings_of(cc), levels[l], b->flags,
                      IMPL, bare ? freestanding(cc) : "", input(headers, 1, "c"), look ? disassemble(cc) : ""));
        c->tool = first_word(cc);
        if (!b->ready)
            c->fails_with = NOT_READY;
        else if (bare)
            c->wrong = look ? wrong_barriers(b) : wrong_reference;
    }
}

// Two ways to the same code: after the preprocessor there is no difference.
static void add_same(char *name, const char *cc, const char *flags, const char *one, const char *other)
{
    cell(name, text("%s -std=c11 %s %s -E -P %s >$O.1 && %s -std=c11 %s %s -E -P %s >$O.2 && cmp $O.1 $O.2", cc, flags, IMPL,
                    one, cc, flags, IMPL, other))->tool = first_word(cc);
}

static void add_defaults(void)
{
    const char *all = input(headers, 1, "c");
    for (size_t i = 0; i < COUNT(defaults); i++) {
        const char *cc = defaults[i].cc;
        add_same(text("default, hosted: %s", first_word(cc)), cc, "", all, text("%s %s", defaults[i].hosted, all));
        add_same(text("default, freestanding: %s", first_word(cc)), cc, freestanding(cc), all,
                 text("%s %s", defaults[i].freestanding, all));
    }
}

// All hooks of a bare-metal host given: its functions are not needed then, not even by what an optimiser would drop.
static void add_bare_hooks(const struct backend *b, const char *cc)
{
    if (!b->ready || (b->where & FREESTANDING) == 0)
        return;
    struct cell *c = cell(text("backend: %s with all hooks, %s", b->name, first_word(cc)),
                          text("%s -std=c11 %s -O0 %s %s %s -DHOOK_BARE -DHOOK_CPU_ID -DHOOK_LOG -include " T
                               "hooks.h -c -o $O.o %s && nm -u $O.o",
                               cc, warnings_of(cc), b->flags, IMPL, freestanding(cc), input(headers, 1, "c")));
    c->tool = first_word(cc);
    c->wrong = wrong_bare_reference;
}

// Vectors of the host's own: ours are not there, and the guest's for it to branch to are.
static void add_own_vectors(void)
{
    cell("backend: arm64 with the host's vectors, gcc",
         text("aarch64-linux-gnu-gcc -std=c11 %s -O0 -DAXVCPU_ARCH_ARM64 -DAXVCPU_OWN_VECTORS %s %s -c -o $O.o %s && "
              "aarch64-linux-gnu-nm $O.o >$O.nm && grep -w axvcpu_arm64_guest_vectors $O.nm && ! grep axvcpu_i_arm64_vectors $O.nm",
              STRICT_C, IMPL, freestanding("aarch64-linux-gnu-gcc"), input(headers, 1, "c")))
        ->tool = "aarch64-linux-gnu-gcc";
}

// Everything static, in two files of one program: the asm is there once.
static void add_static_asm(void)
{
    const char *cc = "aarch64-linux-gnu-gcc -std=c11 -O0 -DAXVCPU_ARCH_ARM64 -DAXVCPU_STATIC " IMPL;
    cell("backend: arm64 static in two files, gcc",
         text("%s %s %s -c -o $O.1.o %s && cp $O.1.o $O.2.o && aarch64-linux-gnu-ld -r -o $O.o $O.1.o $O.2.o &&"
              " test $(aarch64-linux-gnu-nm $O.o | grep -cw axvcpu_i_arm64_enter) = 1", cc, warnings_of("aarch64-linux-gnu-gcc"),
              freestanding("aarch64-linux-gnu-gcc"), input(headers, 1, "c")))
        ->tool = "aarch64-linux-gnu-gcc";
}

// The user's own way into KVM_RUN, and his signal.
static void add_kvm_hooks(void)
{
    cell("backend: x86 KVM with all hooks, gcc",
         text("gcc -std=c11 %s -O0 -DAXVCPU_ARCH_X86 -DAXVCPU_KVM -DHOOK_KVM %s -include " T "hooks.h -c -o $O.o %s &&"
              " nm -u $O.o >$O.nm && grep -w hook_kvm_enter $O.nm && grep -w hook_kvm_signal $O.nm",
              warnings_of("gcc"), IMPL, input(headers, 1, "c")))->tool = "gcc";
}

// Hardened builds: what the flags promise in the object's notes holds for our asm too - where it may be
// branched to there is a landing pad. (Exception vectors are not branched to: Arm ARM D8.4.)
static const struct {
    const char *name, *prefix, *flags, *note, *pad;
} hardened[] = {
    { "x86", "", "-DAXVCPU_ARCH_X86 -fcf-protection=full", "IBT, SHSTK", "endbr64" },
    { "arm64", "aarch64-linux-gnu-", "-DAXVCPU_ARCH_ARM64 -mbranch-protection=standard -mno-outline-atomics", "BTI, PAC",
      "bti" },
};

static void add_hardened(void)
{
    for (size_t i = 0; i < COUNT(hardened); i++) {
        const char *prefix = hardened[i].prefix;
        char *cc = text("%sgcc", prefix);
        struct cell *c = cell(
            text("hardened: bare %s", hardened[i].name),
            text("%s -std=c11 %s -O2 %s -fstack-protector-strong -ffreestanding %s -c -o $O.o %s &&"
                 " { %sreadelf -n $O.o | grep -q '%s' || echo no note; } &&"
                 " for s in $(%snm $O.o | awk '$2 == \"W\" && $3 !~ /vectors/ { print $3 }'); do"
                 " %sobjdump -d --disassemble=$s $O.o | grep -A 1 \"<$s>:\" | grep -qw %s || echo $s; done",
                 cc, warnings_of(cc), hardened[i].flags, IMPL, input(headers, 1, "c"), prefix, hardened[i].note, prefix, prefix,
                 hardened[i].pad));
        c->tool = cc;
        c->wrong = any_line;
    }
    cell("hardened: KVM, FORTIFY", text("gcc -std=c11 %s -O2 -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fcf-protection=full"
                                        " -DAXVCPU_ARCH_X86 -DAXVCPU_KVM %s -c -o $O.o %s", warnings_of("gcc"), IMPL,
                                        input(headers, 1, "c")));
}

static void add_backends(void)
{
    add_hardened();
    add_kvm_hooks();
    add_own_vectors();
    add_static_asm();
    add_defaults();
    for (size_t i = 0; i < COUNT(backends); i++)
        for (size_t c = 0; c < 2 && backends[i].cc[c]; c++) {
            add_backend(&backends[i], backends[i].cc[c], HOSTED);
            add_backend(&backends[i], backends[i].cc[c], FREESTANDING);
            add_bare_hooks(&backends[i], backends[i].cc[c]);
        }
}

// Programs are linked and run. The include path says which header: the project's or the amalgamated one.
static void add_program(const char *name, const char *tool, const char *cc, const char *flags, const char *files)
{
    cell(text("run: %s", name), text("%s -I. %s %s -pthread %s -o $O && $O", cc, FAKE, flags, files))->tool = tool;
}

static void add_programs(void)
{
    for (size_t l = 0; l < COUNT(layouts); l++)
        for (size_t c = 0; c < COUNT(compilers); c++)
            add_program(text("%s, %s", layouts[l].name, compilers[c].name), compilers[c].cc, compilers[c].cc,
                        text("-std=c11 %s %s", compilers[c].c, levels[(l + c) % COUNT(levels)]), layouts[l].files);
    for (size_t i = 0; i < COUNT(linkers); i++)
        add_program(text("%s, %s", linkers[i].name, layouts[(3 * i + 6) % COUNT(layouts)].name), linkers[i].tool,
                    linkers[i].cc, "-std=c11", layouts[(3 * i + 6) % COUNT(layouts)].files);
    for (size_t i = 0; i < COUNT(macros); i++) {
        const struct compiler *cc = &compilers[i % COUNT(compilers)];
        add_program(text("%s, %s", macros[i], cc->name), cc->cc, cc->cc,
                    text("-std=c11 %s -O%zu %s%s", cc->c, i % 3, macros[i], strstr(macros[i], "HOOK") ? " -include " T "hooks.h" : ""),
                    layouts[i % COUNT(compilers) + 1].files);
    }
    // In the static mode files share a vCPU only by a current pointer and a token of the host's.
    add_program("AXVCPU_STATIC, one vCPU in two files", "gcc", "gcc",
                "-std=c11 -DHOOK_CURRENT -DHOOK_CPU_TOKEN -include " T "hooks.h",
                "-DAXVCPU_STATIC -DSMOKE_IMPL -DSMOKE_SHARED " T "smoke.c " T "shared.c");
}

// An implementation in C, its user in C++.
static void add_cpp_programs(const char *path, const char *label)
{
    for (size_t s = C_STANDARDS; s < COUNT(standards); s++)
        for (size_t c = 0; c < COUNT(compilers); c++)
            cell(text("run%s: C++ user %s, %s", label, standards[s], compilers[c].name),
                 text("%s -std=c11 %s %s %s -c -o $O.o " T "impl.c && %s -std=%s %s %s %s -pthread -o $O -x c++ " T
                      "smoke.c -x none $O.o && $O",
                      compilers[c].cc, compilers[c].c, path, FAKE, compilers[c].cxx, standards[s], compilers[c].cpp,
                      path, FAKE));
}

// A freestanding core and user, put into a normal program by host.c.
static void add_freestanding_programs(void)
{
    for (size_t c = 0; c < COUNT(compilers); c++)
        for (size_t l = 0; l < COUNT(levels); l++) {
            const char *cc = compilers[c].cc;
            char *flags = text("-std=c11 %s %s -I. %s %s", compilers[c].c, levels[l], FAKE, freestanding(cc));
            cell(text("run: freestanding, %s %s", cc, levels[l]),
                 text("%s %s -c -o $O.impl.o " T "impl.c && %s %s -DSMOKE_NO_MAIN -c -o $O.smoke.o " T
                      "smoke.c && %s %s -c -o $O.host.o " T "host.c && %s -o $O $O.*.o && $O",
                      cc, flags, cc, flags, cc, flags, cc));
        }
}

static void add_hygiene(const char *const *list, size_t n, const char *label)
{
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < COUNT(compilers); c++)
            for (int impl = 0; impl < 2; impl++)
                cell(text("macros%s: %s %s, %s", label, list[i], impl ? "implementation" : "declarations",
                          compilers[c].name),
                     text("%s -std=c11 %s %s -dD -E %s", compilers[c].cc, FAKE, impl ? IMPL : "",
                          input(&list[i], 1, "c")))
                    ->wrong = wrong_macro;
}

static void add_static_hygiene(void)
{
    for (size_t c = 0; c < COUNT(compilers); c++)
        cell(text("symbols: AXVCPU_STATIC has none, %s", compilers[c].name),
             text("%s -std=c11 %s -I. %s -DAXVCPU_STATIC -c -o $O.o " T
                  "impl.c && nm -g --defined-only $O.o 2>/dev/null",
                  compilers[c].cc, compilers[c].c, FAKE))
            ->wrong = any_line;
}

// Sizes are the same with and without NDEBUG, in C and C++, at all levels, with all compilers.
static void add_sizes(void)
{
    static const char *const others[] = {
        "gcc -std=c11 -DNDEBUG",
        "gcc -std=c11 -DAXVCPU_CHECKED -O2",
        "gcc -std=c11 -O2 -DAXVCPU_STATIC -DAXVCPU_IMPLEMENTATION",
        "g++ -std=c++17 -x c++",
        "clang -std=c2x -O1",
        "clang++ -std=c++11 -DNDEBUG -x c++",
    };
    for (size_t i = 0; i < COUNT(others); i++)
        cell(text("sizes: %s", others[i]), text("gcc -std=c11 -I. %s -o $O.a " T "sizes.c && %s -I. %s -o $O.b " T
                                                "sizes.c && $O.a >$O.a.txt && $O.b >$O.b.txt && diff $O.a.txt $O.b.txt",
                                                FAKE, others[i], FAKE));
}

// A user whose macros are not the implementation's: refused by init, or equally good.
static void add_mismatches(void)
{
    static const struct {
        const char *name, *flags;
    } differs[] = {
        { "init refuses a user with other sizes", "-DAXVCPU_MAX_PHYS_CPUS=128 -DSMOKE_MISMATCH" },
        { "a user with NDEBUG", "-DNDEBUG" },
        { "a user with AXVCPU_CHECKED", "-DAXVCPU_CHECKED" },
    };
    for (size_t i = 0; i < COUNT(differs); i++)
        cell(text("run: %s", differs[i].name),
             text("gcc -std=c11 -I. %s -c -o $O.o " T "impl.c && gcc -std=c11 -I. %s %s -o $O " T
                  "smoke.c $O.o -pthread && $O",
                  FAKE, FAKE, differs[i].flags));
}

static void add_refused(void)
{
    for (size_t i = 0; i < COUNT(refused); i++)
        cell(text("refused: %s", refused[i].flags),
             text("%s -std=c11 -fsyntax-only %s %s", compilers[i % 2].cc, refused[i].flags, input(headers, 1, "c")))
            ->fails_with = refused[i].says;
}

// Nothing that a user may define goes without a cell here, and every source names its licence.
static void add_self_checks(void)
{
    cell(text("every macro that the headers look at is in this matrix"),
         text("grep -ohE '(ifn?def |defined\\()AXVCPU_[A-Z0-9_]+' axvcpu*.h | sed 's/.*AXVCPU/AXVCPU/' | sort -u |"
              " grep -vE '^AXVCPU_(I|LEAF)_|_H$' | while read m; do"
              " grep -qE \"(D|[^A-Z_])$m([^A-Z0-9_]|$)\" " T "matrix.c " T "hooks.h " T "smoke.c || echo $m; done"))
        ->wrong = any_line;
    cell(text("SPDX on line 1 of every source, 2 of scripts"),
         text("find . -path ./build -prune -o -path ./.git -prune -o -type f"
              " '(' -name '*.[chS]' -o -name '*.sh' -o -name '*.mk' -o -name '*.py' -o -name Makefile ')' -print |"
              " while read f; do head -n 2 $f | grep -q 'SPDX-License-Identifier: Apache-2.0' || echo $f; done"))
        ->wrong = any_line;
    cell(text("make install: headers and axvcpu.pc"),
         text("make -s install DESTDIR=$O.root PREFIX=/usr && grep -q '^Version: [0-9]*[.][0-9]*[.][0-9]*$'"
              " $O.root/usr/share/pkgconfig/axvcpu.pc && gcc %s -I$O.root/usr/include -fsyntax-only -DSMOKE_ARCH_FIRST " T
              "smoke.c",
              FAKE));
}

// The file of `make dist`, where no other header can be found.
static void add_amalgamated(void)
{
    static const char *const one[] = { "build/axvcpu.h" };
    add_declarations(one, 1, " (amalgamated)");
    add_hygiene(one, 1, " (amalgamated)");
    add_cpp_programs("-Ibuild", " (amalgamated)");
    for (size_t l = 0; l < COUNT(layouts); l++)
        if (!strstr(layouts[l].files, "_ARCH_"))
            cell(text("run (amalgamated): %s", layouts[l].name),
                 text("gcc -std=c11 -O0 %s -Ibuild %s -pthread %s -o $O && $O", STRICT_C, FAKE, layouts[l].files));
    for (size_t i = 0; i < COUNT(backends); i++)
        if ((backends[i].where & HOSTED) != 0)
            add_same(text("backend (amalgamated): %s, %s", backends[i].name, first_word(backends[i].cc[0])), backends[i].cc[0],
                     backends[i].flags, input(headers, 1, "c"), input(one, 1, "c"));
}

// matrix [TEXT]: all cells, or those with TEXT in their name.
int main(int argc, char **argv)
{
    tap_begin(1500);
    add_declarations(headers, COUNT(headers), "");
    add_orders();
    add_implementations(headers, COUNT(headers), "");
    add_backends();
    add_programs();
    add_cpp_programs("-I.", "");
    add_freestanding_programs();
    add_hygiene(headers, COUNT(headers), "");
    add_static_hygiene();
    add_sizes();
    add_mismatches();
    add_refused();
    add_self_checks();
    add_amalgamated();
    keep_cells(argc > 1 ? argv[1] : "");
    run_cells();
    return tap_done();
}
