// SPDX-License-Identifier: Apache-2.0
//
// Every load and store that can be an MMIO access, executed by a guest: full ones (RV64I) with every register and
// random bases and offsets, compressed ones (RV64C) one of eight, by the seed. The hart says of these only the
// address (htinst is 0 in QEMU 7.2, so that the instruction is read from the guest); the exit and what comes of the
// answer are compared with what the unprivileged specification (2.6, 16.3) says of the word. listing.c is about what
// is decoded; this is about what it does.
#include "axvcpu.h"
#include "tests/fuzz/widths.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define RAM UINT64_C(0x80000000)
#define DEVICE UINT64_C(0x60000000)
#define STOP UINT64_C(0x00003023) // sd x0, 0(x0): whatever the registers are, a store to where nothing is
enum { PAGE = 4096, LOAD = 0x03, STORE = 0x23, TIMES = 4 };

static struct axvm vm;
static struct axvcpu vcpus[1];
static struct axvcpu *const v = vcpus;
static struct axvcpu_exit x;
static uint8_t *ram;
static uint64_t gpr[32];
static uint32_t words, wrong;

// ---- the model

struct access {
    uint32_t base, reg, width, length;
    uint64_t offset;
    bool write, sign;
};

static uint32_t field(uint32_t w, uint32_t high, uint32_t lowest)
{
    return w >> lowest & ((2u << (high - lowest)) - 1);
}

static struct access full(uint32_t w)
{
    bool write = (w & 0x7f) == STORE;
    uint32_t immediate = write ? field(w, 31, 25) << 5 | field(w, 11, 7) : field(w, 31, 20);
    return (struct access){.base = field(w, 19, 15), .reg = write ? field(w, 24, 20) : field(w, 11, 7), .length = 4,
                           .width = 1u << field(w, 13, 12), .write = write, .sign = !write && field(w, 14, 14) == 0,
                           .offset = (uint64_t)immediate - ((immediate & 0x800) << 1)};
}

// The offset of words has bits 5-3, 2 and 6, that of doublewords 5-3 and 7-6; relative to sp each has its own.
static struct access compressed(uint32_t w)
{
    bool sp = (w & 3) == 2, write = field(w, 15, 15) != 0, eight = field(w, 13, 13) != 0;
    struct access a = {.width = eight ? 8 : 4, .length = 2, .write = write, .sign = !write, .base = 2};
    if (!sp) {
        a.base = 8 + field(w, 9, 7);
        a.reg = 8 + field(w, 4, 2);
        a.offset = field(w, 12, 10) << 3 | (eight ? field(w, 6, 5) << 6 : field(w, 6, 6) << 2 | field(w, 5, 5) << 6);
    } else if (write) {
        a.reg = field(w, 6, 2);
        a.offset = eight ? field(w, 12, 10) << 3 | field(w, 9, 7) << 6 : field(w, 12, 9) << 2 | field(w, 8, 7) << 6;
    } else {
        a.reg = field(w, 11, 7);
        a.offset = eight ? field(w, 6, 5) << 3 | field(w, 4, 2) << 6 : field(w, 6, 4) << 2 | field(w, 3, 2) << 6;
        a.offset |= field(w, 12, 12) << 5;
    }
    return a;
}

// ---- one word

static bool differs(uint32_t word, const char *what, uint64_t got, uint64_t want)
{
    if (got == want)
        return false;
    if (wrong++ == 0) {
        host_print("# ");
        host_print_number(word, 16);
        host_print(": ");
        host_print(what);
        host_print(" is ");
        host_print_number(got, 16);
        host_print(", by the word ");
        host_print_number(want, 16);
        host_print("\n");
    }
    return true;
}

static bool run(void)
{
    int err;
    while ((err = axvcpu_run(v, &x)) == AXVCPU_OK && x.kind == AXVCPU_EXIT_EXTERNAL_INTERRUPT)
        machine_irq(x.irq.vector);
    return err == AXVCPU_OK;
}

// At an odd place, often across the end of a page.
static uint64_t put_word(uint32_t word, uint32_t length)
{
    uint64_t random = host_random(), at = (random & 3) == 0 ? PAGE - 2 : random & 0xffe;
    AXVCPU_MEMCPY(ram + at, &word, length);
    AXVCPU_MEMCPY(ram + at + length, &(uint32_t){STOP}, 4);
    __asm__ volatile("fence.i" : : : "memory");
    return RAM + at;
}

static bool wrong_exit(uint32_t word, const struct access *a, uint64_t address)
{
    return differs(word, "the exit", x.kind, a->write ? AXVCPU_EXIT_MMIO_WRITE : AXVCPU_EXIT_MMIO_READ) ||
           differs(word, "the address", x.mmio.addr, address) || differs(word, "the width", x.mmio.width, a->width) ||
           (!a->write && differs(word, "the extension by sign", x.mmio.sign_extend, a->sign)) ||
           differs(word, "the register", x.mmio.reg, a->reg) ||
           (a->write && differs(word, "the data", x.mmio.data, low(gpr[a->reg], a->width)));
}

// Answered, it goes on behind the word, with nothing else changed.
static bool wrong_effect(uint32_t word, const struct access *a, uint64_t pc)
{
    uint64_t value = host_random();
    if (!a->write && differs(word, "complete", axvcpu_complete(v, value) == AXVCPU_OK, true))
        return true;
    if (!a->write && a->reg != 0)
        gpr[a->reg] = loaded(0, value, a->width, 8, a->sign);
    if (differs(word, "whether it goes on", run() && x.kind == AXVCPU_EXIT_MMIO_WRITE && x.mmio.addr == 0, true) ||
        differs(word, "the PC behind it", axvcpu_arch(v)->pc, pc + a->length))
        return true;
    for (uint32_t i = 0; i < 32; i++)
        if (differs(word, i == a->reg ? "the register after it" : "another register", axvcpu_arch(v)->gpr[i], gpr[i]))
            return true;
    return false;
}

static void try_word(uint32_t word, const struct access *a)
{
    uint64_t address = DEVICE + host_random() % (PAGE - 8), pc = put_word(word, a->length);
    for (uint32_t i = 1; i < 32; i++)
        gpr[i] = host_random();
    if (a->base != 0)
        gpr[a->base] = address - a->offset;
    else if (a->offset < 0x800)
        address = a->offset; // nothing is there, either
    else
        return;
    words++;
    AXVCPU_MEMCPY(axvcpu_arch(v)->gpr, gpr, sizeof gpr);
    axvcpu_arch(v)->pc = pc;
    if (!differs(word, "whether it runs", run(), true) && !wrong_exit(word, a, address))
        (void)wrong_effect(word, a, pc);
    (void)axvcpu_retry(v); // what is not answered is forgotten
}

// ---- the classes

static void full_words(uint32_t opcode, uint32_t kinds)
{
    for (uint32_t n = 0; n < kinds * 32 * TIMES; n++) {
        uint32_t word = opcode | n / 32 % kinds << 12 | (uint32_t)host_random() << 25;
        uint32_t reg = n & 31, base = (uint32_t)host_random() & 31, middle = (uint32_t)host_random() & 31;
        struct access a;
        word |= base << 15 | (opcode == LOAD ? reg << 7 | middle << 20 : reg << 20 | middle << 7);
        a = full(word);
        try_word(word, &a);
    }
}

static void loads(void) { full_words(LOAD, 7); }
static void stores(void) { full_words(STORE, 4); }

// c.lw, c.ld, c.sw, c.sd: quadrant 0, and relative to sp in quadrant 2
static void compressed_words(uint32_t quadrant)
{
    static const uint32_t funct3[] = {2, 3, 6, 7};
    for (uint32_t n = 0; n < COUNT(funct3) * 2048; n += 1 + (uint32_t)host_random() % 15) {
        uint32_t word = funct3[n >> 11] << 13 | (n & 2047) << 2 | quadrant;
        struct access a = compressed(word);
        if (quadrant == 0 || a.write || a.reg != 0) // a load to x0 relative to sp is reserved
            try_word(word, &a);
    }
}

static void register_relative(void) { compressed_words(0); }
static void stack_relative(void) { compressed_words(2); }

static const struct {
    const char *name;
    void (*words)(void);
} classes[] = {
    {"loads, executed", loads},
    {"stores, executed", stores},
    {"compressed loads and stores, executed", register_relative},
    {"compressed loads and stores relative to sp, executed", stack_relative},
};

static bool begin(void)
{
    struct axvm_desc d = {.vcpus = vcpus, .vcpu_count = 1, .bsp_entry = axvcpu_gpa(RAM)};
    ram = host_alloc(2);
    return ram != NULL && axvm_init(&vm, &d) == AXVCPU_OK &&
           axvm_map(&vm, axvcpu_gpa(RAM), axvcpu_from_ptr(ram), 2 * PAGE, AXVM_MAP_RWX) == AXVCPU_OK &&
           axvm_boot(&vm) == AXVCPU_OK && axvcpu_bind(v) == AXVCPU_OK;
}

int host_main(void)
{
    host_print("# seed ");
    host_print_number(host_argument_number("seed"), 16);
    host_print("\n");
    if (!begin())
        host_panic("no guest");
    for (uint32_t i = 0; i < COUNT(classes); i++) {
        words = wrong = 0;
        classes[i].words();
        host_print("# ");
        host_print_number(words, 10);
        host_print(" words, ");
        host_print_number(wrong, 10);
        host_print(" wrong\n");
        host_case(words != 0 && wrong == 0, classes[i].name);
    }
    return axvcpu_unbind(v) == AXVCPU_OK && axvm_deinit(&vm) == AXVCPU_OK ? 0 : 1;
}
