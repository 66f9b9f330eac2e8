// SPDX-License-Identifier: Apache-2.0
//
// What an exit costs in user space on x86-64 KVM: a guest that does nothing but exit, served by axvcpu.h
// ("axvcpu") and by a loop that looks at nothing but what it needs: around ioctl(2), as everybody writes it
// ("ioctl"), and around the library's own system call ("syscall"). The difference is the library. bench/row.h
// has the options; without a usable /dev/kvm it fails. With BENCH_CALLS it counts ioctls instead, in the lines
// that guest programs print.
#define _GNU_SOURCE
#ifdef BENCH_CALLS
#include <errno.h>
#include <stdint.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
static uint64_t bench_calls;
#define ioctl(fd, request, argument) (bench_calls++, (ioctl)(fd, request, argument))
#define AXVCPU_KVM_ENTER(fd) (ioctl(fd, KVM_RUN, 0) == 0 ? 0 : -(long)errno)
#endif
#define AXVCPU_IMPLEMENTATION
#include "axvcpu.h"

#include "bench/row.h"

#define PORT 0x10
#define DEVICE 0x8000 // behind the memory

// Real mode, at 0x1000.
static const struct guest {
    const char *name;
    uint8_t code[8];
} guests[] = {
    {"out", {0xe6, PORT, 0xeb, 0xfc}},                      // 1: out %al, $PORT; jmp 1b
    {"in", {0xe4, PORT, 0xeb, 0xfc}},                       // 1: in $PORT, %al; jmp 1b
    {"mmio read", {0xa0, 0, DEVICE >> 8, 0xeb, 0xfb}},      // 1: mov DEVICE, %al; jmp 1b
};
enum { OUT, IN, MMIO, GUESTS };

// One for the library and one for the loop.
static struct machine {
    struct axvm vm;
    struct axvcpu vcpu;
} machines[2][GUESTS];
static _Alignas(4096) uint8_t memory[2][GUESTS][4096];

static void fail(const char *what)
{
    fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

static void create(struct machine *m, uint8_t *at, const struct guest *g)
{
    struct axvm_desc desc = {.vcpus = &m->vcpu, .vcpu_count = 1, .bsp_entry = AXVCPU_GPA_INIT(0x1000)};
    memcpy(at, g->code, sizeof g->code);
    if (axvm_init(&m->vm, &desc) != 0 ||
        axvm_map(&m->vm, axvcpu_gpa(0x1000), axvcpu_from_ptr(at), 4096, AXVM_MAP_RWX) != 0 ||
        axvm_boot(&m->vm) != 0 || axvcpu_bind(&m->vcpu) != 0)
        fail(g->name);
}

// ---- the library

// n rounds: run, its error, the kind, and what the exit is about.
#define LIB(n, guest, kind_, ...)                                                  \
    struct axvcpu *v = &machines[0][guest].vcpu;                                   \
    struct axvcpu_exit exit, *x = &exit;                                           \
    uint64_t sum = 0;                                                              \
    ROUNDS(n, FORGET2(v, x),                                                       \
           if (axvcpu_run(v, x) != 0 || x->kind != AXVCPU_EXIT_##kind_) fail(#kind_); \
           __VA_ARGS__);                                                           \
    return sum

static uint64_t lib_out(uint64_t n)
{
    LIB(n, OUT, IO_WRITE, sum += x->io.port + x->io.data;);
}

static uint64_t lib_in(uint64_t n)
{
    LIB(n, IN, IO_READ, sum += x->io.port; if (axvcpu_complete(v, 0x5a) != 0) fail("complete"););
}

static uint64_t lib_mmio(uint64_t n)
{
    LIB(n, MMIO, MMIO_READ, sum += x->mmio.addr; if (axvcpu_complete(v, 0x5a) != 0) fail("complete"););
}

// ---- by hand

#define HAND(n, guest, enter, reason, ...)                                            \
    struct kvm_run *run = axvcpu_kvm_run(&machines[1][guest].vcpu);                   \
    int fd = axvcpu_kvm_fd(&machines[1][guest].vcpu);                                 \
    uint64_t sum = 0;                                                                 \
    ROUNDS(n, FORGET(run); FORGET_IN(fd, "r12"),                                      \
           if (enter(fd) != 0 || run->exit_reason != (reason)) fail(#reason);         \
           __VA_ARGS__);                                                              \
    return sum

#define BY_HAND(impl, enter)                                                                 \
    static uint64_t impl##_out(uint64_t n)                                                   \
    {                                                                                        \
        HAND(n, OUT, enter, KVM_EXIT_IO, if (run->io.direction != KVM_EXIT_IO_OUT) fail("direction"); \
             sum += run->io.port + *((uint8_t *)run + run->io.data_offset););                \
    }                                                                                        \
    static uint64_t impl##_in(uint64_t n)                                                    \
    {                                                                                        \
        HAND(n, IN, enter, KVM_EXIT_IO, if (run->io.direction != KVM_EXIT_IO_IN) fail("direction"); \
             sum += run->io.port; *((uint8_t *)run + run->io.data_offset) = 0x5a;);          \
    }                                                                                        \
    static uint64_t impl##_mmio(uint64_t n)                                                  \
    {                                                                                        \
        HAND(n, MMIO, enter, KVM_EXIT_MMIO, if (run->mmio.is_write) fail("direction");       \
             sum += run->mmio.phys_addr; run->mmio.data[0] = 0x5a;);                         \
    }
#define IOCTL(fd) ioctl(fd, KVM_RUN, 0)
BY_HAND(ioctl, IOCTL)
BY_HAND(syscall, AXVCPU_KVM_ENTER)

enum { BATCH = 200 }; // an exit takes microseconds
#define ROWS(name, play) {name, "axvcpu", 0, NULL, lib_##play, BATCH}, {name, "ioctl", 0, NULL, ioctl_##play, BATCH}, \
                         {name, "syscall", 0, NULL, syscall_##play, BATCH}
static const struct row rows[] = {ROWS("pio_out", out), ROWS("pio_in", in), ROWS("mmio_read", mmio), {0}};

#ifdef BENCH_CALLS
static int count_calls(void)
{
    enum { N = 1000 };
    for (const struct row *r = rows; r->name != NULL; r++) {
        bench_calls = 0;
        (void)r->play(N);
        printf("# cost {\"bench\":\"%s.ioctls\",\"impl\":\"%s\",\"arch\":\"x86-kvm\",\"n\":1,\"ir\":%.3f}\n", r->name,
               r->impl, (double)bench_calls / N);
    }
    return 0;
}
#endif

int main(int argc, char **argv)
{
    for (int i = 0; i < 2 * GUESTS; i++)
        create(&machines[i / GUESTS][i % GUESTS], memory[i / GUESTS][i % GUESTS], &guests[i % GUESTS]);
#ifdef BENCH_CALLS
    if (argc == 1)
        return count_calls();
#endif
    return rows_main(rows, argc, argv);
}
