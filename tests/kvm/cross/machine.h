// SPDX-License-Identifier: Apache-2.0
//
// A small machine for the tests of the AArch64 and RISC-V backends on KVM: 32 KiB of memory, one program at
// CODE. What is not in struct machine is as a zeroed axvm_desc has it.
#ifndef KVM_CROSS_MACHINE_H
#define KVM_CROSS_MACHINE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "axvcpu.h"
#include "tests/conformance/substrate.h"
#include "tests/kvm/os.h"

enum { RAM = 0x8000, CODE = 0x1000, DEVICE = 0x8000 };

// A program in .rodata: guest_NAME to guest_NAME_end.
#if defined(__riscv)
#define GUEST_OPTIONS ".option push\n.option norelax\n.option nopic\n"
#define GUEST_POP ".option pop\n"
#else
#define GUEST_OPTIONS ""
#define GUEST_POP ".ltorg\n"
#endif
#define GUEST(name, text)                                                                            \
    __asm__(".pushsection .rodata\n.balign 16\n.globl guest_" #name ", guest_" #name "_end\n"      \
            GUEST_OPTIONS "guest_" #name ":\n" text GUEST_POP                                       \
            "guest_" #name "_end:\n.popsection");                                                    \
    extern const uint8_t guest_##name[], guest_##name##_end[]

struct machine {
    struct axvm_arch_desc arch;
    const uint8_t *code, *end;
};
#define PROGRAM(name) .code = guest_##name, .end = guest_##name##_end

static struct axvm vm;
static struct axvcpu vcpu;
static uint8_t ram[RAM] __attribute__((aligned(65536)));
static struct axvcpu *const v = &vcpu;
static struct axvcpu_exit x;

__attribute__((unused)) static int machine_create(const struct machine *m)
{
    struct axvm_desc desc = {.vcpus = &vcpu, .vcpu_count = 1, .bsp_entry = AXVCPU_GPA_INIT(CODE)};
    int err;
    desc.arch = m->arch;
    memset(ram, 0, sizeof ram);
    if (m->code != NULL)
        memcpy(ram + CODE, m->code, (size_t)(m->end - m->code));
    err = axvm_init(&vm, &desc);
    if (err != 0)
        return err;
    err = axvm_map(&vm, axvcpu_gpa(0), axvcpu_from_ptr(ram), RAM, AXVM_MAP_RWX);
    if (err != 0)
        (void)axvm_deinit(&vm);
    return err;
}

// ... and booted, its vCPU bound.
__attribute__((unused)) static int machine_start(const struct machine *m)
{
    int err = machine_create(m);
    if (err == 0)
        err = axvm_boot(&vm);
    return err != 0 ? err : axvcpu_bind(v);
}

__attribute__((unused)) static int machine_stop(void)
{
    if (axvcpu_get_state(v) == AXVCPU_STATE_READY)
        (void)axvcpu_unbind(v);
    return axvm_deinit(&vm);
}

// Runs to an exit of this kind; anything else is noted.
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

#endif
