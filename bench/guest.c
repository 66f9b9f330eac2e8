// SPDX-License-Identifier: Apache-2.0
//
// What exits cost, on a bare machine that counts each instruction of guest, host and firmware exactly: QEMU's
// under -icount shift=0, and Bochs. A guest looks at the counter around its instruction and checks all of its
// registers, one of floating point included, in every round; a second vCPU exists, and an interrupt line is
// raised but masked by the guest. Where two vCPUs take turns the host counts. For each row a case and a line
// "# cost {...}"; README.md says what is in it.
//
// The guests and the counter are the architecture's: counter.h and count_guest.S in tests/ARCH.
#include "axvcpu.h"

struct subject {
    const char *name;
    const uint8_t *program; // of count_guest.S
    const uint8_t *other;   // what a second vCPU runs, in turn with the first
    uint64_t most;          // more instructions are a failure
    bool (*has)(void);      // false: not on this machine; NULL: on all
    bool quiet;             // no interrupt is pending
};

// What is counted of a program: from an instruction until another one, in bytes from guest_count.
struct window { uint64_t program, from, to; };
extern const uint8_t guest_count[], guest_count_end[], guest_nothing[];
extern const struct window count_windows[], count_windows_end[];

#include "counter.h"

enum { ROUNDS = 16 };
static struct axvm vm;
static struct axvcpu vcpus[2];
static volatile uint64_t sink;

static axvcpu_gpa_t address_of(uint64_t offset)
{
    return axvcpu_gpa(COUNT_RAM + COUNT_ENTRY + offset);
}

static axvcpu_gpa_t entry_of(const uint8_t *program)
{
    return address_of((uint64_t)(program - guest_count));
}

static const struct window *window_of(const uint8_t *program)
{
    const struct window *w = count_windows;
    while (w < count_windows_end && w->program != (uint64_t)(program - guest_count))
        w++;
    return w;
}

static bool prepare(const struct subject *s, uint8_t *ram, uint64_t nonce)
{
    static struct axvcpu_arch_setup setups[2];
    struct axvm_desc d = {.vcpus = vcpus, .vcpu_count = 2, .setups = setups, .bsp_entry = entry_of(s->program),
                          .ap_entry = entry_of(s->other ? s->other : s->program)};
    count_set_up(&setups[0]);
    count_set_up(&setups[1]);
    AXVCPU_MEMCPY(ram + COUNT_ENTRY, guest_count, (size_t)(guest_count_end - guest_count));
    return axvm_init(&vm, &d) == AXVCPU_OK &&
           axvm_map(&vm, axvcpu_gpa(COUNT_RAM), axvcpu_from_ptr(ram), COUNT_PAGES * 4096, AXVM_MAP_RWX) == AXVCPU_OK &&
           axvm_boot(&vm) == AXVCPU_OK && axvcpu_set_gpr(&vcpus[0], COUNT_NONCE_IN, nonce) == AXVCPU_OK &&
           axvcpu_set_gpr(&vcpus[1], COUNT_NONCE_IN, nonce + 1) == AXVCPU_OK &&
           (s->quiet || axvcpu_set_irq(&vcpus[0], COUNT_LINE, true) == AXVCPU_OK) &&
           axvcpu_bind(&vcpus[1]) == AXVCPU_OK && axvcpu_bind(&vcpus[0]) == AXVCPU_OK;
}

// The loop that is measured: run and a switch over eight kinds, two of them the architecture's. Ends with what a
// guest does at last: it writes to port 0x99, where there are ports, or turns its machine off.
__attribute__((noinline, noclone)) static bool play(struct axvcpu *v, struct axvcpu_exit *x)
{
    for (;;) {
        if (axvcpu_run(v, x) != AXVCPU_OK)
            return false;
        switch (x->kind) {
        case AXVCPU_EXIT_HYPERCALL: break;
        case AXVCPU_EXIT_MMIO_READ: axvcpu_complete(v, x->mmio.addr); break;
        case AXVCPU_EXIT_MMIO_WRITE: sink = x->mmio.data; break;
        case AXVCPU_EXIT_SYSREG_READ: axvcpu_complete(v, x->sysreg.addr); break;
        case AXVCPU_EXIT_SYSREG_WRITE: sink = x->sysreg.value; break;
        case AXVCPU_EXIT_HALT: sink = 0; break;
        COUNT_CASES(x)
        default: return true;
        }
    }
}

// The same for two that take turns, each with one hypercall.
__attribute__((noinline, noclone)) static bool play_two(struct axvcpu *v, struct axvcpu *other, struct axvcpu_exit *x,
                                                        uint32_t rounds)
{
    for (; rounds != 0; rounds--)
        if (axvcpu_run(v, x) != AXVCPU_OK || x->kind != AXVCPU_EXIT_HYPERCALL ||
            axvcpu_run(other, x) != AXVCPU_OK || x->kind != AXVCPU_EXIT_HYPERCALL)
            return false;
    return true;
}

static bool kept(uint32_t vcpu, uint64_t nonce)
{
    uint64_t found = 0;
    return axvcpu_get_gpr(&vcpus[vcpu], COUNT_NONCE_OUT, &found) == AXVCPU_OK && found == nonce + vcpu;
}

// What the guest counted in its last round, or 0.
static uint64_t count_guest(uint64_t nonce)
{
    struct axvcpu_exit x;
    uint64_t n = 0;
    bool over = play(&vcpus[0], &x) && (x.kind == AXVCPU_EXIT_IO_WRITE || x.kind == AXVCPU_EXIT_SYSTEM_DOWN);
    return over && kept(0, nonce) && axvcpu_get_gpr(&vcpus[0], COUNT_OUT, &n) == AXVCPU_OK ? n : 0;
}

// What so many rounds of the two and the way there and back need, or 0.
__attribute__((noinline, noclone)) static uint64_t count_rounds(uint32_t rounds)
{
    struct axvcpu_exit x;
    uint64_t start = count_instructions();
    return play_two(&vcpus[0], &vcpus[1], &x, rounds) ? count_instructions() - start : 0;
}

// One round of the two, when both have begun, or 0.
static uint64_t count_turns(uint64_t nonce)
{
    uint64_t begun = count_rounds(2), once = count_rounds(ROUNDS), twice = count_rounds(2 * ROUNDS);
    return begun != 0 && once != 0 && twice != 0 && (twice - once) % ROUNDS == 0 && kept(0, nonce) && kept(1, nonce) ?
               (twice - once) / ROUNDS : 0;
}

static uint64_t count(const struct subject *s)
{
    uint64_t nonce = host_random() >> 1, n = 0;
    uint8_t *ram = host_alloc(COUNT_PAGES);
    if (ram != NULL && prepare(s, ram, nonce)) {
        count_start();
        n = s->other ? count_turns(nonce) : count_guest(nonce);
    }
    axvcpu_unbind(&vcpus[0]);
    axvcpu_unbind(&vcpus[1]);
    axvm_deinit(&vm);
    host_free(ram, COUNT_PAGES);
    return n;
}

static void print(const char *name, const char *separator, uint64_t n, uint32_t base)
{
    host_print(name);
    host_print(separator);
    host_print_number(n, base);
}

// All: between the ends of the window, once; rounds: the row's in it.
static void print_cost(const struct subject *s, uint64_t n, uint64_t all, uint64_t rounds)
{
    const struct window *w = window_of(s->program);
    host_print("# cost {\"bench\":\"");
    host_print(s->name);
    host_print("\",\"impl\":\"axvcpu\",\"arch\":\"");
    print(count_arch(), "\",\"n\":1,\"ir\":", n / rounds, 10);
    host_print(n % rounds != 0 ? ".5" : "");
    print(",\"window\":\"", "", address_of(w->from).addr, 16);
    print(" ", "", address_of(w->to).addr, 16);
    print(" ", "", all, 10);
    print(" ", "", rounds, 10);
    host_print("\"}\n");
}

// Without what stands in the window in any case.
static void row(const struct subject *s, uint64_t empty)
{
    uint64_t all = count(s), rounds = s->other ? 2 : 1, n = s->other || all <= empty ? all : all - empty;
    bool good = empty != 0 && all > empty;
    if (good)
        print_cost(s, n, all, rounds);
    host_case(good && n <= s->most * rounds, s->name);
}

int host_main(void)
{
    static const struct subject nothing = {"nothing", guest_nothing, NULL, 0, NULL, false};
    uint64_t empty = count(&nothing);
    for (uint32_t i = 0; i < sizeof subjects / sizeof subjects[0]; i++)
        if (subjects[i].has == NULL || subjects[i].has())
            row(&subjects[i], empty);
    return 0;
}
