// SPDX-License-Identifier: Apache-2.0
//
// A small PC for the tests of the x86 backend on KVM: 128 KiB of memory, one program at CODE, up to four vCPUs,
// and in long mode a table of interrupt gates. What is not in struct machine is as a zeroed axvm_desc has it.
#ifndef KVM_X86_MACHINE_H
#define KVM_X86_MACHINE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "tests/conformance/substrate.h"
#include "tests/kvm/os.h"

#include "axvcpu.h"

enum {
    RAM = 0x20000,
    CODE = 0x1000,
    STACK = 0x8000,
    AP_CODE = 0x9000, // a start-up IPI's vector 9
    IDT = 0xa000,
    DATA = 0xb000,
    TABLES = 0x10000,
    DEVICE = 0xd0000, // nobody's
    PORT = 0x30,
};

// A program in .rodata: guest_NAME to guest_NAME_end.
#define GUEST(name, bits, text)                                                                     \
    __asm__(".pushsection .rodata\n.code" #bits "\nguest_" #name ":\n" text "\nguest_" #name "_end:\n" \
            ".code64\n.popsection");                                                                \
    extern const uint8_t guest_##name[], guest_##name##_end[]
// Where a label of it is in the guest.
#define PLACE(name, label) (CODE + (uint64_t)((label) - guest_##name))

struct machine {
    uint32_t mode, vcpus; // 0: one
    struct axvm_arch_desc arch;
    const uint8_t *code, *end, *ap, *ap_end;
};
#define PROGRAM(name) .code = guest_##name, .end = guest_##name##_end
#define AP_PROGRAM(name) .ap = guest_##name, .ap_end = guest_##name##_end

static struct axvm vm;
static struct axvcpu vcpus[4];
static uint8_t ram[RAM] __attribute__((aligned(4096)));
static struct axvcpu *const v = &vcpus[0];
static struct axvcpu_exit x;

// Created, with memory; not yet booted.
__attribute__((unused)) static int machine_create(const struct machine *m)
{
    static struct axvcpu_arch_setup setups[4];
    struct axvm_desc desc = {.vcpus = vcpus, .vcpu_count = m->vcpus ? m->vcpus : 1, .setups = setups,
                             .bsp_entry = AXVCPU_GPA_INIT(CODE), .ap_entry = AXVCPU_GPA_INIT(AP_CODE)};
    int err;
    desc.arch = m->arch;
    for (int i = 0; i < 4; i++)
        setups[i] = (struct axvcpu_arch_setup){.mode = i == 0 || m->ap == NULL ? m->mode : AXVCPU_X86_REAL,
                                               .stack = STACK - 0x1000u * (uint32_t)i,
                                               .tables = AXVCPU_GPA_INIT(TABLES)};
    memset(ram, 0, sizeof ram);
    if (m->code != NULL)
        memcpy(ram + CODE, m->code, (size_t)(m->end - m->code));
    if (m->ap != NULL)
        memcpy(ram + AP_CODE, m->ap, (size_t)(m->ap_end - m->ap));
    err = axvm_init(&vm, &desc);
    if (err != 0)
        return err;
    err = axvm_map(&vm, axvcpu_gpa(0), axvcpu_from_ptr(ram), RAM, AXVM_MAP_RWX);
    if (err != 0)
        (void)axvm_deinit(&vm);
    return err;
}

// ... and booted, its first vCPU bound.
__attribute__((unused)) static int machine_start(const struct machine *m)
{
    int err = machine_create(m);
    if (err == 0)
        err = axvm_boot(&vm);
    return err != 0 ? err : axvcpu_bind(v);
}

__attribute__((unused)) static int machine_stop(void)
{
    for (int i = 0; i < 4; i++) {
        struct axvcpu *each = axvm_vcpu(&vm, (uint32_t)i);
        if (each != NULL && axvcpu_get_state(each) == AXVCPU_STATE_BLOCKED)
            (void)axvcpu_unblock(each);
        if (each != NULL && axvcpu_get_state(each) == AXVCPU_STATE_READY)
            (void)axvcpu_unbind(each);
    }
    return axvm_deinit(&vm);
}

// Long mode: `vector` goes to `handler`.
__attribute__((unused)) static void machine_gate(uint32_t vector, uint64_t handler)
{
    uint64_t low = handler | 8u << 16 | UINT64_C(0x8e00) << 32; // code segment 8; a present interrupt gate
    memcpy(ram + IDT + vector * 16, &low, sizeof low);
    (void)axvcpu_set_reg(v, AXVCPU_X86_SEG(AXVCPU_X86_IDTR, AXVCPU_X86_BASE), IDT);
    (void)axvcpu_set_reg(v, AXVCPU_X86_SEG(AXVCPU_X86_IDTR, AXVCPU_X86_LIMIT), 0xfff);
}

// Runs the first vCPU to an exit of this kind; anything else is noted.
__attribute__((unused)) static bool machine_run(uint32_t kind)
{
    int err = axvcpu_run(v, &x);
    if (err == 0 && x.kind == kind)
        return true;
    char line[160];
    axvcpu_exit_print(line, sizeof line, &x);
    printf("# run: %s, %s; %s\n", axvcpu_strerror(err), line, os.log);
    return false;
}

// ... to an OUT of this byte to PORT.
__attribute__((unused)) static bool machine_says(uint32_t byte)
{
    if (!machine_run(AXVCPU_EXIT_IO_WRITE))
        return false;
    if (x.io.port != PORT || x.io.data != byte)
        printf("# port 0x%x: 0x%llx\n", x.io.port, (unsigned long long)x.io.data);
    return x.io.port == PORT && x.io.data == byte;
}

#endif
