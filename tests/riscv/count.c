// SPDX-License-Identifier: Apache-2.0
//
// What exits cost: the guest reads instret around its instruction; under QEMU's -icount shift=0 that counts
// every instruction of guest and host, exactly. A second vCPU exists, an interrupt line is raised but masked
// by the guest, and the guest checks all of its registers, one of floating point included, in every round.
#include "axvcpu.h"

enum { RAM_SIZE = 0x10000 };
#define RAM UINT64_C(0x80000000)

extern const uint8_t guest_ecall[], guest_mmio[], guest_ipi[], guest_ecall_beside[], guest_beside[], guest_beside_float[], guest_count_end[];

static struct axvm vm;
static struct axvcpu vcpus[2];

// What is measured: the first vCPU runs this; `beside`, if any, has a round of its own in each of the first
// one's, because that asks for it. More than `most` is a failure.
struct subject {
    const char *name;
    const uint8_t *program, *beside;
    uint64_t most;
};
static const struct subject subjects[] = {
    {"hypercall", guest_ecall, NULL, 140},
    {"mmio_read", guest_mmio, NULL, 860},
    {"ipi", guest_ipi, NULL, 900},
    {"hypercall_vcpu_switch", guest_ecall_beside, guest_beside, 880},
    {"hypercall_fp_switch", guest_ecall_beside, guest_beside_float, 1300},
};

static bool load(uint32_t id, const uint8_t *program)
{
    uint8_t *ram = host_alloc(RAM_SIZE / 4096);
    AXVCPU_MEMCPY(ram, program, (size_t)(guest_count_end - program));
    return axvm_map(&vm, axvcpu_gpa(RAM + id * RAM_SIZE), axvcpu_from_ptr(ram), RAM_SIZE, AXVM_MAP_RWX) == AXVCPU_OK;
}

static bool prepare(const struct subject *s)
{
    struct axvm_desc d = {.vcpus = vcpus, .vcpu_count = 2, .bsp_entry = axvcpu_gpa(RAM), .ap_entry = axvcpu_gpa(RAM + RAM_SIZE)};
    return axvm_init(&vm, &d) == AXVCPU_OK && load(0, s->program) && load(1, s->beside ? s->beside : s->program) &&
           axvm_boot(&vm) == AXVCPU_OK && axvcpu_set_irq(&vcpus[0], AXVCPU_RISCV_IRQ_EXT, true) == AXVCPU_OK &&
           axvcpu_bind(&vcpus[0]) == AXVCPU_OK && axvcpu_bind(&vcpus[1]) == AXVCPU_OK;
}

// The loop that is measured: run and a switch over eight kinds. Knows nothing about its objects. Returns the
// argument of the last hypercall: what the guest counted, or 0.
enum { PLAIN = 0x0a000000, BESIDE };
__attribute__((noinline, noclone)) static uint64_t play(struct axvcpu *v, struct axvcpu_exit *x)
{
    uint64_t sink = 0;
    for (;;) {
        if (axvcpu_run(v, x) != AXVCPU_OK)
            return 0;
        switch (x->kind) {
        case AXVCPU_EXIT_HYPERCALL:
            if (x->hypercall.nr == PLAIN)
                break;
            if (x->hypercall.nr != BESIDE || axvcpu_run(&vcpus[1], x) != AXVCPU_OK)
                return x->hypercall.args[1];
            break;
        case AXVCPU_EXIT_MMIO_READ: axvcpu_complete(v, x->mmio.addr); break;
        case AXVCPU_EXIT_MMIO_WRITE: sink += x->mmio.data; break;
        case AXVCPU_EXIT_SYSREG_READ: axvcpu_complete(v, x->sysreg.addr); break;
        case AXVCPU_EXIT_SYSREG_WRITE: sink += x->sysreg.value; break;
        case AXVCPU_EXIT_SEND_IPI: axvm_inject(&vm, x->ipi.target, x->ipi.vector); break;
        case AXVCPU_EXIT_HALT: sink++; break;
        case AXVCPU_EXIT_CPU_DOWN: sink += 2; break;
        default: return sink & 0;
        }
    }
}

static void print_cost(const struct subject *s, uint64_t n)
{
    host_print("# cost {\"bench\":\"");
    host_print(s->name);
    host_print("\",\"impl\":\"axvcpu\",\"arch\":\"riscv-hs\",\"n\":1,\"ir\":");
    host_print_number(n, 10);
    host_print("}\n");
}

static void count(const struct subject *s)
{
    struct axvcpu_exit x;
    uint64_t nonce = host_random() | 1, n = 0;
    if (prepare(s) && axvcpu_set_gpr(&vcpus[0], 10, nonce) == AXVCPU_OK)
        n = play(&vcpus[0], &x);
    if (n != 0 && s->beside) // the half of two rounds without what the other guest does itself
        n = (n - 2) / 2 + 1;
    if (n != 0 && x.hypercall.args[0] == nonce)
        print_cost(s, n);
    host_case(n != 0 && x.hypercall.args[0] == nonce && n <= s->most, s->name);
    axvcpu_unbind(&vcpus[0]);
    axvcpu_unbind(&vcpus[1]);
    axvm_deinit(&vm);
}

int host_main(void)
{
    for (uint32_t i = 0; i < sizeof subjects / sizeof subjects[0]; i++)
        count(&subjects[i]);
    return 0;
}
