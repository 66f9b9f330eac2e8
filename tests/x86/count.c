// SPDX-License-Identifier: Apache-2.0
//
// What exits cost: the guest looks at the time-stamp counter around its instruction, which counts instructions
// of guest and host, exactly, in QEMU under -icount shift=0 and in Bochs. A second vCPU exists, an interrupt
// line is raised but masked by the guest, and the guest checks its registers in every round.
#include "axvcpu.h"

enum { RAM_SIZE = 0x80000, ENTRY = 0x1000, OTHER = 0x8000, TABLES = 0x70000, RESULT = 0x99 };
#define GUEST(name) extern const uint8_t guest_##name[], guest_##name##_end[];
GUEST(nothing) GUEST(vmmcall) GUEST(vmcall) GUEST(cpuid) GUEST(out) GUEST(in) GUEST(mmio)
GUEST(vmmcall_beside) GUEST(vmcall_beside) GUEST(vmmcall_beside_float) GUEST(vmcall_beside_float)
GUEST(other_vmmcall) GUEST(other_vmcall) GUEST(other_float_vmmcall) GUEST(other_float_vmcall)

struct program { const uint8_t *begin, *end; };
#define PROGRAM(name) ((struct program){guest_##name, guest_##name##_end})

static struct axvm vm;
static struct axvcpu vcpus[2];

static void load(uint8_t *ram, struct program p)
{
    AXVCPU_MEMCPY(ram, p.begin, (size_t)(p.end - p.begin));
}

// The first vCPU runs `first`; `other`, if there is one, is what the second one runs.
static bool prepare(struct program first, struct program other, uint64_t nonce)
{
    static struct axvcpu_arch_setup setups[2];
    struct axvm_desc d = {.vcpus = vcpus, .vcpu_count = 2, .setups = setups, .bsp_entry = axvcpu_gpa(ENTRY), .ap_entry = axvcpu_gpa(OTHER)};
    uint8_t *ram = host_alloc(RAM_SIZE / 4096);
    setups[0].mode = setups[1].mode = AXVCPU_X86_LONG;
    setups[0].tables = setups[1].tables = axvcpu_gpa(TABLES);
    load(ram + ENTRY, first);
    if (other.begin != NULL)
        load(ram + OTHER, other);
    return axvm_init(&vm, &d) == AXVCPU_OK &&
           axvm_map(&vm, axvcpu_gpa(0), axvcpu_from_ptr(ram), RAM_SIZE, AXVM_MAP_RWX) == AXVCPU_OK &&
           axvm_boot(&vm) == AXVCPU_OK && axvcpu_set_gpr(&vcpus[0], AXVCPU_X86_RDI, nonce) == AXVCPU_OK &&
           axvcpu_set_irq(&vcpus[0], 0x61, true) == AXVCPU_OK && axvcpu_bind(&vcpus[0]) == AXVCPU_OK &&
           (other.begin == NULL || axvcpu_bind(&vcpus[1]) == AXVCPU_OK);
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

// The same for two vCPUs in turn.
__attribute__((noinline, noclone)) static bool play_two(struct axvcpu *v, struct axvcpu_exit *x)
{
    for (;;) {
        if (axvcpu_run(v, x) != AXVCPU_OK)
            return false;
        switch (x->kind) {
        case AXVCPU_EXIT_HYPERCALL:
            if (axvcpu_run(&vcpus[1], x) != AXVCPU_OK || x->kind != AXVCPU_EXIT_HYPERCALL)
                return false;
            break;
        case AXVCPU_EXIT_IO_WRITE: return x->io.port == RESULT && x->io.data == 1;
        default: return false;
        }
    }
}

// What the guest counted in its last round, or 0.
static uint64_t count(struct program first, struct program other)
{
    struct axvcpu_exit x;
    uint64_t n = 0;
    if (!prepare(first, other, host_random()) || !(other.begin == NULL ? play : play_two)(&vcpus[0], &x) ||
        axvcpu_get_gpr(&vcpus[0], AXVCPU_X86_RBX, &n) != AXVCPU_OK)
        n = 0;
    axvcpu_unbind(&vcpus[0]);
    if (other.begin != NULL)
        axvcpu_unbind(&vcpus[1]);
    axvm_deinit(&vm);
    return n;
}

static bool svm;
static uint64_t empty;

static void print(const char *name, uint64_t n, uint64_t most)
{
    host_print("# cost {\"bench\":\"");
    host_print(name);
    host_print(svm ? "\",\"impl\":\"axvcpu\",\"arch\":\"x86-svm\",\"n\":1,\"ir\":" : "\",\"impl\":\"axvcpu\",\"arch\":\"x86-vmx\",\"n\":1,\"ir\":");
    host_print_number(n, 10);
    host_print("}\n");
    host_case(n != 0 && n <= most, name);
}

static void row(const char *name, struct program first, uint64_t most)
{
    uint64_t n = count(first, (struct program){NULL, NULL});
    print(name, n > empty ? n - empty : 0, most); // the instruction itself is one of them
}

// Half of two rounds, without the `own` instructions that the guests have beside their calls.
static void row_of_two(const char *name, struct program first, struct program other, uint64_t own, uint64_t most)
{
    uint64_t n = count(first, other);
    print(name, n > empty + own ? (n - empty - own) / 2 : 0, most);
}

static bool is_amd(void)
{
    uint32_t a, b, c, d;
    __asm__("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(0), "c"(0));
    return b == 0x68747541;
}

// The limits are what was reached; that of the hypercall is the design's.
int host_main(void)
{
    svm = is_amd();
    empty = count(PROGRAM(nothing), (struct program){NULL, NULL});
    row("hypercall", svm ? PROGRAM(vmmcall) : PROGRAM(vmcall), 110);
    row("cpuid", PROGRAM(cpuid), 3750); // without next RIPs the instruction is fetched and decoded
    row("pio_out", PROGRAM(out), 1060);
    row("pio_in", PROGRAM(in), 1110);
    row("mmio_read", PROGRAM(mmio), 4400);
    row_of_two("hypercall_vcpu_switch", svm ? PROGRAM(vmmcall_beside) : PROGRAM(vmcall_beside),
               svm ? PROGRAM(other_vmmcall) : PROGRAM(other_vmcall), 2, 4100);
    row_of_two("hypercall_fp_switch", svm ? PROGRAM(vmmcall_beside_float) : PROGRAM(vmcall_beside_float),
               svm ? PROGRAM(other_float_vmmcall) : PROGRAM(other_float_vmcall), 4, 4800);
    return 0;
}
