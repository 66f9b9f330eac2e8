// SPDX-License-Identifier: Apache-2.0
//
// What the linked cells run: a vCPU of the fake backend from init to deinit. Exit code 0, or the number
// of the line that failed (keep this file below 255 lines). It is C11 and C++11, and needs of libc only
// what starts main. -D options:
//   SMOKE_IMPL      the implementation is in this file
//   SMOKE_TWICE     the header comes before and after AXVCPU_IMPLEMENTATION is defined
//   SMOKE_OTHER     smoke_other, in another file, has a vCPU too
//   SMOKE_ARCH_FIRST, SMOKE_ARCH_LAST   the arch headers too, before or after the core
//   SMOKE_SHARED    smoke_shared, in another file, works on this file's vCPU
//   HOOK_X          tests/headers/hooks.h has hook X, and it must be called
//   SMOKE_NO_MAIN   somebody else has main
//   SMOKE_MISMATCH  the implementation was compiled with other macros: init must refuse
#ifdef SMOKE_ARCH_FIRST
#include "axvcpu_arch_riscv.h"
#include "axvcpu_arch_arm64.h"
#include "axvcpu_arch_x86.h"
#endif
#ifdef SMOKE_TWICE
#include "axvcpu.h"
#endif
#ifdef SMOKE_IMPL
#define AXVCPU_IMPLEMENTATION
#endif
#include "axvcpu.h"
#ifdef SMOKE_ARCH_LAST
#include "axvcpu_arch_x86.h"
#include "axvcpu_arch_arm64.h"
#include "axvcpu_arch_riscv.h"
#endif

#ifdef __cplusplus
#define SMOKE_C extern "C"
#else
#define SMOKE_C
#endif

SMOKE_C int smoke_other(void);
SMOKE_C int smoke(void);
SMOKE_C int smoke_shared(struct axvcpu *v);

#define MUST(cond) \
    do { \
        if (!(cond)) \
            return __LINE__; \
    } while (0)

#if defined(HOOK) && !defined(SMOKE_NO_MAIN)
unsigned hook_calls;
struct axvcpu *hook_current;
#endif
static struct axvcpu vcpu;
static struct axvcpu_fake_step script[2]; /* filled in by hand: C++11 has no designated initialisers */

static void write_script(void)
{
    script[0].exit.kind = AXVCPU_EXIT_MMIO_READ;
    script[0].exit.mmio.addr = 0x1000;
    script[0].exit.mmio.width = 2;
    script[0].exit.mmio.reg = 5;
    script[0].exit.mmio.reg_width = 8;
    script[0].exit.mmio.sign_extend = true;
    script[1].exit.kind = AXVCPU_EXIT_HALT;
}

static int live(const struct axvcpu_desc *desc)
{
    struct axvcpu_exit x;
    uint64_t value = 0;
    char line[160];

    write_script();
    MUST(axvcpu_init(&vcpu, desc) == AXVCPU_OK);
    MUST(axvcpu_setup(&vcpu, axvcpu_gpa(0x8000), axvcpu_hpa(0), NULL) == AXVCPU_OK);
    MUST(axvcpu_fake_script(&vcpu, script, 2, false) == AXVCPU_OK);
    MUST(axvcpu_bind(&vcpu) == AXVCPU_OK && axvcpu_get_state(&vcpu) == AXVCPU_STATE_READY);
#ifdef SMOKE_SHARED
    MUST(smoke_shared(&vcpu) == AXVCPU_OK);
#endif
    MUST(axvcpu_inject_interrupt(&vcpu, 33) == AXVCPU_OK);
    MUST(axvcpu_run(&vcpu, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_MMIO_READ && x.mmio.addr == 0x1000);
    MUST(axvcpu_exit_print(line, sizeof line, &x) < sizeof line && line[0] == 'M' && line[5] == 'R');
    MUST(axvcpu_run(&vcpu, &x) == AXVCPU_EPENDING);
    MUST(axvcpu_complete(&vcpu, 0x8001) == AXVCPU_OK);
    MUST(axvcpu_kick(&vcpu) == AXVCPU_OK);
    MUST(axvcpu_run(&vcpu, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_CANCELED);
    MUST(axvcpu_run(&vcpu, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_HALT);
    MUST(axvcpu_get_gpr(&vcpu, 5, &value) == AXVCPU_OK && value == UINT64_C(0xffffffffffff8001));
    MUST(axvcpu_fake_delivered(&vcpu, 33) == 1);
    MUST(axvcpu_block(&vcpu) == AXVCPU_OK && axvcpu_unblock(&vcpu) == AXVCPU_OK);
    MUST(axvcpu_unbind(&vcpu) == AXVCPU_OK && axvcpu_current() == NULL);
    MUST(axvcpu_run(&vcpu, &x) == AXVCPU_EBADSTATE);
    MUST(axvcpu_deinit(&vcpu) == AXVCPU_OK);
    return 0;
}

static enum axvm_answer device(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    (void)vm, (void)v;
    x->mmio.data = 0x8001;
    ++*(int *)arg;
    return AXVM_DONE;
}

/* The same guest, its device served by the VM layer. */
static int live_vm(void)
{
    static struct axvm vm;
    static struct axvm_range ranges[2];
    struct axvm_desc desc;
    struct axvcpu_exit x;
    uint64_t value = 0;
    int served = 0;

    __builtin_memset(&desc, 0, sizeof desc);
    desc.vcpus = &vcpu;
    desc.vcpu_count = 1;
    desc.ranges = ranges;
    desc.max_ranges = 1;
    MUST(axvm_init(&vm, &desc) == AXVCPU_OK && axvm_boot(&vm) == AXVCPU_OK);
    MUST(axvm_add_mmio(&vm, 0x1000, 0x100, device, &served) == AXVCPU_OK);
    MUST(axvcpu_fake_script(&vcpu, script, 2, false) == AXVCPU_OK);
    MUST(axvm_run_vcpu(&vm, 0, &x) == AXVCPU_OK && x.kind == AXVCPU_EXIT_HALT && served == 1);
    MUST(axvcpu_get_gpr(&vcpu, 5, &value) == AXVCPU_OK && value == UINT64_C(0xffffffffffff8001));
    MUST(axvm_deinit(&vm) == AXVCPU_OK);
    return 0;
}

int smoke(void)
{
    struct axvcpu_desc desc;
    int failed = 0;

    __builtin_memset(&desc, 0, sizeof desc);
    desc.vcpu_id = 1;
#ifdef SMOKE_MISMATCH
    vcpu.word = 77;
    MUST(axvcpu_init(&vcpu, &desc) == AXVCPU_EINVAL && vcpu.word == 77);
    return failed;
#else
    failed = live(&desc);
    return failed != 0 ? failed : live_vm();
#endif
}

#ifndef SMOKE_NO_MAIN
int main(void)
{
    int failed = smoke();
#ifdef SMOKE_OTHER
    if (failed == 0)
        failed = smoke_other();
#endif
#ifdef HOOK
    if (failed == 0 && hook_calls == 0)
        failed = 255;
#endif
    return failed;
}
#endif
