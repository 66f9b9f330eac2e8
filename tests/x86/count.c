// SPDX-License-Identifier: Apache-2.0
//
// What exits cost: the guest looks at the time-stamp counter around its instruction, which counts instructions
// of guest and host, exactly, in QEMU under -icount shift=0 and in Bochs. A second vCPU exists, an interrupt
// line is raised but masked by the guest, and the guest checks its registers in every round.
#include "axvcpu.h"

enum { RAM_SIZE = 0x80000, ENTRY = 0x1000, TABLES = 0x70000, RESULT = 0x99 };
#define GUEST(name) extern const uint8_t guest_##name[], guest_##name##_end[];
GUEST(nothing) GUEST(vmmcall) GUEST(vmcall) GUEST(cpuid) GUEST(out) GUEST(in) GUEST(mmio)

static struct axvm vm;
static struct axvcpu vcpus[2];

static bool prepare(const uint8_t *program, const uint8_t *end, uint64_t nonce)
{
    static struct axvcpu_arch_setup setups[2];
    struct axvm_desc d = {.vcpus = vcpus, .vcpu_count = 2, .setups = setups, .bsp_entry = axvcpu_gpa(ENTRY), .ap_entry = axvcpu_gpa(ENTRY)};
    uint8_t *ram = host_alloc(RAM_SIZE / 4096);
    setups[0].mode = setups[1].mode = AXVCPU_X86_LONG;
    setups[0].tables = setups[1].tables = axvcpu_gpa(TABLES);
    AXVCPU_MEMCPY(ram + ENTRY, program, (size_t)(end - program));
    return axvm_init(&vm, &d) == AXVCPU_OK &&
           axvm_map(&vm, axvcpu_gpa(0), axvcpu_from_ptr(ram), RAM_SIZE, AXVM_MAP_RWX) == AXVCPU_OK &&
           axvm_boot(&vm) == AXVCPU_OK && axvcpu_set_gpr(&vcpus[0], AXVCPU_X86_RDI, nonce) == AXVCPU_OK &&
           axvcpu_set_irq(&vcpus[0], 0x61, true) == AXVCPU_OK && axvcpu_bind(&vcpus[0]) == AXVCPU_OK;
}

// The loop that is measured: run and a switch over eight kinds. Knows nothing about its objects. Returns when
// the guest has its result.
__attribute__((noinline, noclone)) static bool play(struct axvcpu *v, struct axvcpu_exit *x)
{
    uint64_t sink = 0;
    for (;;) {
        if (axvcpu_run(v, x) != AXVCPU_OK)
            return false;
        switch (x->kind) {
        case AXVCPU_EXIT_HYPERCALL: sink += x->hypercall.nr; break;
        case AXVCPU_EXIT_MMIO_READ: axvcpu_complete(v, x->mmio.addr); break;
        case AXVCPU_EXIT_MMIO_WRITE: sink += x->mmio.data; break;
        case AXVCPU_EXIT_IO_READ: axvcpu_complete(v, x->io.port); break;
        case AXVCPU_EXIT_IO_WRITE:
            if (x->io.port == RESULT)
                return x->io.data == 1;
            sink += x->io.data;
            break;
        case AXVCPU_EXIT_SYSREG_READ: axvcpu_complete(v, x->sysreg.addr); break;
        case AXVCPU_EXIT_SYSREG_WRITE: sink += x->sysreg.value; break;
        case AXVCPU_EXIT_HALT: sink++; break;
        default: return sink & 0;
        }
    }
}

// What the guest counted in its last round, or 0.
static uint64_t count(const uint8_t *program, const uint8_t *end)
{
    struct axvcpu_exit x;
    uint64_t n = 0;
    if (!prepare(program, end, host_random()) || !play(&vcpus[0], &x) || axvcpu_get_gpr(&vcpus[0], AXVCPU_X86_RBX, &n) != AXVCPU_OK)
        n = 0;
    axvcpu_unbind(&vcpus[0]);
    axvm_deinit(&vm);
    return n;
}

static uint64_t empty;

static void row(const char *name, const uint8_t *program, const uint8_t *end, bool svm, uint64_t most)
{
    uint64_t n = count(program, end);
    n = n > empty ? n - empty : 0; // the instruction itself is one of them
    host_print("# cost {\"bench\":\"");
    host_print(name);
    host_print(svm ? "\",\"impl\":\"axvcpu\",\"arch\":\"x86-svm\",\"n\":1,\"ir\":" : "\",\"impl\":\"axvcpu\",\"arch\":\"x86-vmx\",\"n\":1,\"ir\":");
    host_print_number(n, 10);
    host_print("}\n");
    host_case(n != 0 && n <= most, name);
}
#define ROW(name, program, most) row(name, guest_##program, guest_##program##_end, svm, most)

static bool is_amd(void)
{
    uint32_t a, b, c, d;
    __asm__("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(0), "c"(0));
    return b == 0x68747541;
}

// The limits are what was reached; that of the hypercall is the design's.
int host_main(void)
{
    bool svm = is_amd();
    empty = count(guest_nothing, guest_nothing_end);
    if (svm)
        ROW("hypercall", vmmcall, 110);
    else
        ROW("hypercall", vmcall, 110);
    ROW("cpuid", cpuid, 3750); // without next RIPs the instruction is fetched and decoded
    ROW("pio_out", out, 1060);
    ROW("pio_in", in, 1110);
    ROW("mmio_read", mmio, 4400);
    return 0;
}
