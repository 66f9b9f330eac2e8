// SPDX-License-Identifier: Apache-2.0
//
// A backend by AXVCPU_ARCH_HEADER for firmware.c: guests that make one call to the firmware at a time, whose next
// instruction is a breakpoint. The decoder and what the VM answers are those of the architecture's header, which
// FIRMWARE_RISCV or FIRMWARE_ARM64 chooses; of a machine there is what they need.
#ifndef FIRMWARE_H
#define FIRMWARE_H

#define AXVCPU_LEAF_NAME "firmware"
#define AXVCPU_LEAF_GPRS 32
#define AXVCPU_LEAF_VECTORS 64
#define AXVCPU_LEAF_VECTOR_OK(n) true
#define AXVM_LEAF_UP_OK 0
#define AXVM_LEAF_UP_ANSWERS true
#define AXVM_LEAF_PAGE 4096u
#ifdef FIRMWARE_ARM64
#define AXVCPU_I_ARM64_SERVES
#define AXVCPU_LEAF_RETURN_GPR 0
#define AXVM_LEAF_UP_ALREADY ((uint64_t)-4) // DEN 0022D, 5.2.2
#define AXVM_LEAF_UP_INVALID ((uint64_t)-2)
#else
#define AXVCPU_I_RISCV_SERVES
#define AXVCPU_LEAF_RETURN_GPR 10
#define AXVM_LEAF_UP_ALREADY ((uint64_t)-6) // sbi 3
#define AXVM_LEAF_UP_INVALID ((uint64_t)-3)
#endif

struct axvcpu_arch_create { uint32_t none; };
struct axvcpu_arch_setup { uint32_t none; };
struct axvcpu_arch_percpu { uint32_t none; };
struct axvm_arch_desc { uint32_t none; };
struct axvm_arch { uint32_t none; };
struct axvcpu_arch {
    uint64_t gpr[AXVCPU_LEAF_GPRS], pc;
    uint64_t mpidr;
    uint64_t pending; // interrupts, as the guest sees them
};

static const uint64_t firmware_mpidr[] = {0, 0x100, 0x0200000003};
static struct firmware_guest {
    bool due;          // it has a call to make
    bool smc;          // arm64: by which instruction
    uint32_t immediate;
    uint64_t deadline; // riscv: what it has set its timer to
    uint64_t fault;    // ... and why it took an exception, last
    uint32_t kicks[3];
} firmware_guest;
#define FIRMWARE_VECTOR 0x7000 // ... which goes there

AXVCPU_LEAF_DECLARE(AXVCPU_API, AXVCPU_API)
#ifdef FIRMWARE_ARM64
AXVCPU_API enum axvm_answer axvcpu_i_arm64_reply(struct axvm *, struct axvcpu *, struct axvcpu_exit *);
#include "axvcpu_arch_arm64.h"
#else
AXVCPU_API enum axvm_answer axvcpu_i_riscv_answer_exit(struct axvm *, struct axvcpu *, struct axvcpu_exit *);
#include "axvcpu_arch_riscv.h"
#endif
#endif

#if defined(AXVCPU_LEAF_CODE) && !defined(FIRMWARE_CODE)
#define FIRMWARE_CODE

// ---- the call

#ifdef FIRMWARE_ARM64
#include "axvcpu_arch_arm64.h"

// A CPU as CPU_ON and a suspend that powered down leave it (DEN 0022D, 6.4).
static void firmware_start(struct axvcpu *v, uint64_t pc, uint64_t arg)
{
    struct axvcpu_arch *a = axvcpu_arch(v);
    memset(a->gpr, 0, sizeof a->gpr);
    a->gpr[0] = arg;
    a->pc = pc;
}

// false: it is an exit.
static bool firmware_call(struct axvcpu *v, struct axvcpu_exit *x)
{
    struct axvcpu_arch *a = axvcpu_arch(v);
    struct axvcpu_arm64_trap t = {.vector = AXVCPU_ARM64_SYNC, .pc = a->pc};
    struct axvcpu_arm64_effect e;
    uint32_t by = firmware_guest.smc ? AXVCPU_ARM64_EC_SMC64 : AXVCPU_ARM64_EC_HVC64;
    t.esr = AXVCPU_ARM64_ESR(by, firmware_guest.immediate);
    enum axvcpu_arm64_action action = axvcpu_arm64_decode(&t, a->gpr, x, &e);
    must(action == AXVCPU_ARM64_EXIT || action == AXVCPU_ARM64_RESUME);
    a->pc += e.step;
    if ((e.sets & AXVCPU_ARM64_SETS_START) != 0)
        firmware_start(v, e.pc, 0);
    if ((e.sets & AXVCPU_ARM64_SETS_X0) != 0)
        a->gpr[0] = e.x0;
    return action == AXVCPU_ARM64_RESUME;
}

AXVCPU_API enum axvm_answer axvm_leaf_answer(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x)
{
    return axvcpu_i_arm64_reply(vm, v, x);
}
#else
#include "axvcpu_arch_riscv.h"

// A hart as hart_start and a suspend that kept nothing leave it (sbi 9.1).
static void firmware_start(struct axvcpu *v, uint64_t pc, uint64_t arg)
{
    struct axvcpu_arch *a = axvcpu_arch(v);
    memset(a->gpr, 0, sizeof a->gpr);
    a->gpr[AXVCPU_RISCV_A0] = axvcpu_id(v);
    a->gpr[AXVCPU_RISCV_A1] = arg;
    a->pc = pc;
}

static void firmware_apply(struct axvcpu *v, const struct axvcpu_riscv_effect *e)
{
    struct axvcpu_arch *a = axvcpu_arch(v);
    a->pc += e->step;
    if ((e->sets & AXVCPU_RISCV_SETS_START) != 0) {
        firmware_start(v, e->pc, e->a1);
        return;
    }
    if ((e->sets & AXVCPU_RISCV_SETS_A0) != 0)
        a->gpr[AXVCPU_RISCV_A0] = e->a0;
    if ((e->sets & AXVCPU_RISCV_SETS_A1) != 0)
        a->gpr[AXVCPU_RISCV_A1] = e->a1;
    if ((e->sets & AXVCPU_RISCV_SETS_TIMER) != 0)
        firmware_guest.deadline = e->timer;
    if ((e->sets & AXVCPU_RISCV_SETS_NO_SOFT) != 0)
        a->pending &= ~(UINT64_C(1) << AXVCPU_RISCV_IRQ_SOFT);
}

static bool firmware_take(struct axvcpu *v, uint64_t cause)
{
    firmware_guest.fault = cause;
    axvcpu_arch(v)->pc = FIRMWARE_VECTOR;
    return true;
}

// false: it is an exit. The guest has no translation of its own.
static bool firmware_call(struct axvcpu *v, struct axvcpu_exit *x)
{
    static const struct axvcpu_riscv_sbi machine = {1, 2, 3};
    struct axvcpu_arch *a = axvcpu_arch(v);
    struct axvcpu_riscv_trap t = {.cause = AXVCPU_RISCV_CAUSE_ECALL_VS, .pc = a->pc, .hvip = a->pending};
    struct axvcpu_riscv_effect e;
    enum axvcpu_riscv_action action = axvcpu_riscv_decode(&t, a->gpr, &machine, x, &e);
    if (action == AXVCPU_RISCV_LOAD_MASK) {
        if (axvm_read(v->vm.vm, axvcpu_gpa(a->gpr[AXVCPU_RISCV_A0]), &t.mask, 8) != 0)
            return firmware_take(v, AXVCPU_RISCV_CAUSE_LOAD_ACCESS);
        t.flags |= AXVCPU_RISCV_HAS_MASK;
        action = axvcpu_riscv_decode(&t, a->gpr, &machine, x, &e);
    }
    must(action == AXVCPU_RISCV_EXIT || action == AXVCPU_RISCV_RESUME);
    firmware_apply(v, &e);
    return action == AXVCPU_RISCV_RESUME;
}

AXVCPU_API bool axvm_leaf_is_target(const struct axvcpu *v, uint64_t target)
{
    return axvcpu_id(v) == target;
}

AXVCPU_API enum axvm_answer axvm_leaf_answer(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x)
{
    return axvcpu_i_riscv_answer_exit(vm, v, x);
}
#endif

AXVCPU_API int axvcpu_leaf_run(struct axvcpu *v, struct axvcpu_exit *x)
{
    bool due = firmware_guest.due;
    firmware_guest.due = false;
    if (due && !firmware_call(v, x))
        return AXVCPU_OK;
    x->kind = AXVCPU_EXIT_DEBUG;
    x->flags = 0;
    x->raw = 0;
    x->debug.pc = axvcpu_arch(v)->pc;
    x->debug.status = 0;
    return AXVCPU_OK;
}

// ---- the rest

AXVCPU_API int axvcpu_leaf_create(struct axvcpu *v, const struct axvcpu_arch_create *create)
{
    (void)create;
    axvcpu_arch(v)->mpidr = firmware_mpidr[axvcpu_id(v)];
    return AXVCPU_OK;
}

AXVCPU_API int axvcpu_leaf_restart(struct axvcpu *v, axvcpu_gpa_t entry, uint64_t arg)
{
    axvcpu_arch(v)->pending = 0;
    firmware_start(v, entry.addr, arg);
    return AXVCPU_OK;
}

static uint64_t *firmware_reg(struct axvcpu *v, uint64_t id)
{
    return AXVCPU_REG_CLASS(id) == 0 ? &axvcpu_arch(v)->gpr[id] : id == AXVCPU_REG_PC ? &axvcpu_arch(v)->pc : NULL;
}

AXVCPU_API int axvcpu_leaf_get_reg(struct axvcpu *v, uint64_t id, uint64_t *value)
{
    must(firmware_reg(v, id) != NULL);
    *value = *firmware_reg(v, id);
    return AXVCPU_OK;
}

AXVCPU_API int axvcpu_leaf_set_reg(struct axvcpu *v, uint64_t id, uint64_t value)
{
    must(firmware_reg(v, id) != NULL);
    *firmware_reg(v, id) = value;
    return AXVCPU_OK;
}

AXVCPU_API int axvcpu_leaf_inject(struct axvcpu *v, uint32_t *what)
{
    for (int vector = axvcpu_irq_next(v); vector >= 0; vector = axvcpu_irq_next(v)) {
        axvcpu_arch(v)->pending |= UINT64_C(1) << vector;
        axvcpu_irq_take(v, (uint32_t)vector);
    }
    *what = 0;
    return AXVCPU_OK;
}

AXVCPU_API void axvcpu_leaf_kick(struct axvcpu *v, void *owner)
{
    (void)owner;
    firmware_guest.kicks[axvcpu_id(v)]++;
}

AXVCPU_API int axvcpu_leaf_reset(struct axvcpu *v)
{
    memset(axvcpu_arch(v), 0, sizeof(struct axvcpu_arch));
    return axvcpu_leaf_create(v, NULL);
}

AXVCPU_API int axvcpu_leaf_set_entry(struct axvcpu *v, axvcpu_gpa_t entry)
{
    axvcpu_arch(v)->pc = entry.addr;
    return AXVCPU_OK;
}

// What a machine without hardware has nothing to do for.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#define FIRMWARE_IS(result, name, ...) AXVCPU_API result name(__VA_ARGS__)
FIRMWARE_IS(void, axvcpu_leaf_destroy, struct axvcpu *v) {}
FIRMWARE_IS(int, axvcpu_leaf_set_root, struct axvcpu *v, axvcpu_hpa_t root) { return AXVCPU_OK; }
FIRMWARE_IS(int, axvcpu_leaf_setup, struct axvcpu *v, const struct axvcpu_arch_setup *s) { return AXVCPU_OK; }
FIRMWARE_IS(int, axvcpu_leaf_bind, struct axvcpu *v) { return AXVCPU_OK; }
FIRMWARE_IS(int, axvcpu_leaf_unbind, struct axvcpu *v) { return AXVCPU_OK; }
FIRMWARE_IS(int, axvcpu_leaf_put, struct axvcpu *v) { return AXVCPU_OK; }
FIRMWARE_IS(int, axvcpu_leaf_load, struct axvcpu *v) { return AXVCPU_OK; }
FIRMWARE_IS(int, axvcpu_leaf_commit, struct axvcpu *v, struct axvcpu_exit *x, bool entering) { return AXVCPU_OK; }
FIRMWARE_IS(int, axvcpu_leaf_retry, struct axvcpu *v) { return AXVCPU_OK; }
FIRMWARE_IS(int, axvcpu_leaf_refuse, struct axvcpu *v) { return AXVCPU_OK; }
FIRMWARE_IS(int, axvcpu_leaf_inject_exception, struct axvcpu *v, uint32_t n, uint64_t e, uint64_t at)
{
    return AXVCPU_ENOSUPPORT;
}
FIRMWARE_IS(int, axvcpu_leaf_inject_hw, struct axvcpu *v, uint32_t n, uint32_t p) { return AXVCPU_ENOSUPPORT; }
FIRMWARE_IS(bool, axvcpu_leaf_wakes, const struct axvcpu *v, bool queued) { return queued; }
FIRMWARE_IS(int, axvcpu_leaf_percpu_init, struct axvcpu_percpu *p, uint32_t id) { return AXVCPU_OK; }
FIRMWARE_IS(void, axvcpu_leaf_percpu_deinit, struct axvcpu_percpu *p) {}
FIRMWARE_IS(int, axvcpu_leaf_percpu_enable, struct axvcpu_percpu *p) { return AXVCPU_OK; }
FIRMWARE_IS(int, axvcpu_leaf_percpu_disable, struct axvcpu_percpu *p) { return AXVCPU_OK; }
FIRMWARE_IS(uint32_t, axvcpu_leaf_max_guest_page_table_levels, const struct axvcpu_percpu *p) { return 4; }
FIRMWARE_IS(bool, axvcpu_leaf_supported, void) { return true; }
FIRMWARE_IS(int, axvm_leaf_init, struct axvm *vm, const struct axvm_arch_desc *d) { return AXVCPU_OK; }
FIRMWARE_IS(void, axvm_leaf_deinit, struct axvm *vm) {}
FIRMWARE_IS(int, axvm_leaf_map, struct axvm *vm, uint32_t slot, const struct axvm_mapping *m) { return AXVCPU_OK; }
FIRMWARE_IS(int, axvm_leaf_unmap, struct axvm *vm, uint32_t slot, const struct axvm_mapping *m) { return AXVCPU_OK; }
FIRMWARE_IS(axvcpu_hpa_t, axvm_leaf_root, const struct axvm *vm) { return axvcpu_hpa(0); }
FIRMWARE_IS(uint32_t, axvm_leaf_vmid, const struct axvm *vm) { return 0; }
FIRMWARE_IS(int, axvm_leaf_irq_line, struct axvm *vm, uint32_t line, bool level) { return AXVCPU_ENOSUPPORT; }
#pragma GCC diagnostic pop
#endif
