// SPDX-License-Identifier: Apache-2.0
//
// SBI calls (specification 2.0) as pure functions: registers in, and the result with its exact code, or an
// exit, out.
#include "decode.h"
#include "tests/tap.h"

enum { NO_SETS = 0, A0 = 1, BOTH = 3, TIMER = 4, NO_SOFT = 8, START = 16, MASK = AXVCPU_RISCV_HAS_MASK };
enum { BASE = 0x10, TIME = 0x54494d45, IPI = 0x735049, RFENCE = 0x52464e43, HSM = 0x48534d, SRST = 0x53525354,
       DBCN = 0x4442434e, OWN = 0x0a000000 };
#define ALL UINT64_MAX
#define NOT_SUPPORTED (uint64_t)-2
#define INVALID_PARAM (uint64_t)-3
#define INVALID_ADDRESS (uint64_t)-5
#define NR(ext, function) ((uint64_t)(function) << 32 | (ext))

struct row {
    const char *name;
    uint64_t ext, function, args[5];
    struct {
        uint32_t flags;
        uint64_t mask, hvip;
    } trap;
    enum axvcpu_riscv_action action;
    uint32_t kind, sets;
    uint64_t a0, a1;   // what the guest finds there, where `sets` says so
    uint64_t fields[6]; // of the exit, see check_fields
};

#define ANSWER(...) .action = AXVCPU_RISCV_RESUME, .sets = BOTH, __VA_ARGS__
#define ERROR(error) .action = AXVCPU_RISCV_RESUME, .sets = BOTH, .a0 = (error)
#define EXIT(kind_, ...) .action = AXVCPU_RISCV_EXIT, .kind = AXVCPU_EXIT_##kind_, .sets = BOTH, .fields = {__VA_ARGS__}
#define LEGACY(kind_, ...) .action = AXVCPU_RISCV_EXIT, .kind = AXVCPU_EXIT_##kind_, .sets = A0, .fields = {__VA_ARGS__}

static const struct row rows[] = {
    {"get_spec_version", BASE, 0, {0}, {0}, ANSWER(.a1 = 0x02000000)},
    {"get_impl_id", BASE, 1, {0}, {0}, ANSWER(.a1 = 0x61787663)},
    {"get_impl_version", BASE, 2, {0}, {0}, ANSWER(.a1 = AXVCPU_VERSION_MAJOR << 16 | AXVCPU_VERSION_MINOR << 8)},
    {"probe BASE", BASE, 3, {BASE}, {0}, ANSWER(.a1 = 1)},
    {"probe TIME", BASE, 3, {TIME}, {0}, ANSWER(.a1 = 1)},
    {"probe IPI", BASE, 3, {IPI}, {0}, ANSWER(.a1 = 1)},
    {"probe RFENCE", BASE, 3, {RFENCE}, {0}, ANSWER(.a1 = 1)},
    {"probe HSM", BASE, 3, {HSM}, {0}, ANSWER(.a1 = 1)},
    {"probe SRST", BASE, 3, {SRST}, {0}, ANSWER(.a1 = 1)},
    {"probe DBCN", BASE, 3, {DBCN}, {0}, ANSWER(.a1 = 1)},
    {"probe legacy set_timer", BASE, 3, {0}, {0}, ANSWER(.a1 = 1)},
    {"probe legacy shutdown", BASE, 3, {8}, {0}, ANSWER(.a1 = 1)},
    {"probe 9", BASE, 3, {9}, {0}, ANSWER(.a1 = 0)},
    {"probe PMU", BASE, 3, {0x504d55}, {0}, ANSWER(.a1 = 0)},
    {"probe SUSP", BASE, 3, {0x53555350}, {0}, ANSWER(.a1 = 0)},
    {"probe 2^32 + BASE", BASE, 3, {UINT64_C(1) << 32 | BASE}, {0}, ANSWER(.a1 = 0)},
    {"get_mvendorid", BASE, 4, {0}, {0}, ANSWER(.a1 = 0x111)},
    {"get_marchid", BASE, 5, {0}, {0}, ANSWER(.a1 = 0x222)},
    {"get_mimpid", BASE, 6, {0}, {0}, ANSWER(.a1 = 0x333)},
    {"BASE 7", BASE, 7, {0}, {0}, ERROR(NOT_SUPPORTED)},
    {"BASE 2^32", BASE, UINT64_C(1) << 32, {0}, {0}, ERROR(NOT_SUPPORTED)},

    {"set_timer", TIME, 0, {0x123456789abc}, {0}, .action = AXVCPU_RISCV_RESUME, .sets = BOTH | TIMER, .fields = {0x123456789abc}},
    {"set_timer, never", TIME, 0, {ALL}, {0}, .action = AXVCPU_RISCV_RESUME, .sets = BOTH | TIMER, .fields = {ALL}},
    {"TIME 1", TIME, 1, {0}, {0}, ERROR(NOT_SUPPORTED)},

    {"send_ipi", IPI, 0, {5, 2}, {0}, EXIT(SEND_IPI, 5, 2, 0)},
    {"send_ipi to all", IPI, 0, {0, ALL}, {0}, EXIT(SEND_IPI, 0, ALL, 1)},
    {"IPI 1", IPI, 1, {0}, {0}, ERROR(NOT_SUPPORTED)},

    {"remote_fence_i", RFENCE, 0, {3, 1, 77, 78, 79}, {0}, EXIT(REMOTE_FENCE, 0, 3, 1, 0, 0, 0)},
    {"remote_sfence_vma", RFENCE, 1, {3, 1, 0x1000, 0x2000, 9}, {0}, EXIT(REMOTE_FENCE, 1, 3, 1, 0x1000, 0x2000, 0)},
    {"remote_sfence_vma of all", RFENCE, 1, {3, ALL, 0x1000, ALL}, {0}, EXIT(REMOTE_FENCE, 1, 3, ALL, 0x1000, ALL, 0)},
    {"remote_sfence_vma, wraps", RFENCE, 1, {3, 0, 0x1000, ALL - 1}, {0}, ERROR(INVALID_ADDRESS)},
    {"remote_sfence_vma_asid", RFENCE, 2, {1, 0, 0x1000, 0x2000, 9}, {0}, EXIT(REMOTE_FENCE, 2, 1, 0, 0x1000, 0x2000, 9)},
    {"remote_hfence_gvma_vmid", RFENCE, 3, {1}, {0}, ERROR(NOT_SUPPORTED)},
    {"remote_hfence_gvma", RFENCE, 4, {1}, {0}, ERROR(NOT_SUPPORTED)},
    {"remote_hfence_vvma_asid", RFENCE, 5, {1}, {0}, ERROR(NOT_SUPPORTED)},
    {"remote_hfence_vvma", RFENCE, 6, {1}, {0}, ERROR(NOT_SUPPORTED)},
    {"RFENCE 7", RFENCE, 7, {1}, {0}, ERROR(NOT_SUPPORTED)},

    {"hart_start", HSM, 0, {1, 0x80000000, 0x1234567890abcdef}, {0}, EXIT(CPU_UP, 1, 0x80000000, 0x1234567890abcdef)},
    {"hart_start at an odd address", HSM, 0, {1, 0x80000001, 0}, {0}, ERROR(INVALID_ADDRESS)},
    {"hart_stop", HSM, 1, {0}, {0}, EXIT(CPU_DOWN, 0)},
    {"hart_get_status", HSM, 2, {1}, {0}, .action = AXVCPU_RISCV_EXIT, .kind = AXVCPU_EXIT_HYPERCALL, .sets = BOTH,
     .a0 = NOT_SUPPORTED, .fields = {NR(HSM, 2), 1}},
    {"hart_suspend, retentive", HSM, 3, {0, 7, 8}, {0}, EXIT(HALT, 0)},
    {"hart_suspend, non-retentive", HSM, 3, {0x80000000, 0x80001000, 0xabc}, {0}, .action = AXVCPU_RISCV_EXIT,
     .kind = AXVCPU_EXIT_HALT, .sets = START | 2, .a1 = 0xabc, .fields = {0x80001000}},
    {"hart_suspend to an odd address", HSM, 3, {0x80000000, 0x80001001, 0xabc}, {0}, ERROR(INVALID_ADDRESS)},
    {"hart_suspend, reserved", HSM, 3, {1}, {0}, ERROR(INVALID_PARAM)},
    {"hart_suspend, a platform's", HSM, 3, {0x10000000}, {0}, ERROR(INVALID_PARAM)},
    {"HSM 4", HSM, 4, {0}, {0}, ERROR(NOT_SUPPORTED)},

    {"shutdown", SRST, 0, {0, 0}, {0}, EXIT(SYSTEM_DOWN, AXVCPU_SYSTEM_OFF)},
    {"shutdown after a failure", SRST, 0, {0, 1}, {0}, EXIT(SYSTEM_DOWN, AXVCPU_SYSTEM_CRASH)},
    {"cold reboot", SRST, 0, {1, 0}, {0}, EXIT(SYSTEM_DOWN, AXVCPU_SYSTEM_RESET)},
    {"warm reboot", SRST, 0, {2, 1}, {0}, EXIT(SYSTEM_DOWN, AXVCPU_SYSTEM_RESET)},
    {"reset type 3", SRST, 0, {3, 0}, {0}, ERROR(INVALID_PARAM)},
    {"reset reason 2", SRST, 0, {0, 2}, {0}, ERROR(INVALID_PARAM)},
    {"a vendor's reset type", SRST, 0, {0xf0000000, 0}, {0}, ERROR(INVALID_PARAM)},
    {"SRST 1", SRST, 1, {0}, {0}, ERROR(NOT_SUPPORTED)},

    {"console_write", DBCN, 0, {10, 0x80000000, 0}, {0}, EXIT(HYPERCALL, NR(DBCN, 0), 10, 0x80000000), .a0 = NOT_SUPPORTED},
    {"console_write of 4 GiB", DBCN, 0, {UINT64_C(1) << 32, 0x80000000, 0}, {0},
     EXIT(HYPERCALL, NR(DBCN, 0), AXVCPU_RISCV_DBCN_MAX, 0x80000000), .a0 = NOT_SUPPORTED},
    {"console_write above 2^64", DBCN, 0, {10, 0x80000000, 1}, {0}, ERROR(INVALID_PARAM)},
    {"console_write, wraps", DBCN, 0, {10, ALL - 5, 0}, {0}, ERROR(INVALID_PARAM)},
    {"console_read", DBCN, 1, {300, 0x80000000, 0}, {0},
     EXIT(HYPERCALL, NR(DBCN, 1), AXVCPU_RISCV_DBCN_MAX, 0x80000000), .a0 = NOT_SUPPORTED},
    {"console_write_byte", DBCN, 2, {0x141}, {0}, EXIT(HYPERCALL, NR(DBCN, 2), 0x41), .a0 = NOT_SUPPORTED},
    {"DBCN 3", DBCN, 3, {0}, {0}, ERROR(NOT_SUPPORTED)},

    {"legacy set_timer", 0, 99, {0x5555}, {0}, .action = AXVCPU_RISCV_RESUME, .sets = A0 | TIMER, .fields = {0x5555}},
    {"legacy putchar", 1, 99, {0x141}, {0}, LEGACY(HYPERCALL, 1, 0x41), .a0 = NOT_SUPPORTED},
    {"legacy getchar", 2, 99, {0x41}, {0}, LEGACY(HYPERCALL, 2, 0x41), .a0 = ALL},
    {"legacy clear_ipi, one there", 3, 99, {0x41}, {0, 0, 2}, .action = AXVCPU_RISCV_RESUME, .sets = A0 | NO_SOFT, .a0 = 1},
    {"legacy clear_ipi, none there", 3, 99, {0x41}, {0, 0, 0x20}, .action = AXVCPU_RISCV_RESUME, .sets = A0 | NO_SOFT},
    {"legacy send_ipi", 4, 99, {0x8000}, {0}, .action = AXVCPU_RISCV_LOAD_MASK},
    {"legacy send_ipi, read", 4, 99, {0x8000}, {MASK, 6, 0}, LEGACY(SEND_IPI, 6, 0, 0)},
    {"legacy send_ipi to all", 4, 99, {0}, {0}, LEGACY(SEND_IPI, 0, ALL, 1)},
    {"legacy remote_fence_i", 5, 99, {0x8000, 1, 2}, {0}, .action = AXVCPU_RISCV_LOAD_MASK},
    {"legacy remote_fence_i, read", 5, 99, {0x8000, 1, 2}, {MASK, 6, 0}, LEGACY(REMOTE_FENCE, 0, 6, 0, 0, 0, 0)},
    {"legacy remote_sfence_vma", 6, 99, {0x8000, 0x1000, 0x2000, 9}, {MASK, 6, 0},
     LEGACY(REMOTE_FENCE, 1, 6, 0, 0x1000, 0x2000, 0)},
    {"legacy remote_sfence_vma to all", 6, 99, {0, 0x1000, 0x2000, 9}, {0}, LEGACY(REMOTE_FENCE, 1, 0, ALL, 0x1000, 0x2000, 0)},
    {"legacy remote_sfence_vma, wraps", 6, 99, {0, ALL, 2}, {0}, .action = AXVCPU_RISCV_RESUME, .sets = A0, .a0 = INVALID_ADDRESS},
    {"legacy remote_sfence_vma_asid", 7, 99, {0x8000, 0x1000, 0x2000, 9}, {MASK, 6, 0},
     LEGACY(REMOTE_FENCE, 2, 6, 0, 0x1000, 0x2000, 9)},
    {"legacy shutdown", 8, 99, {0}, {0}, LEGACY(SYSTEM_DOWN, AXVCPU_SYSTEM_OFF)},
    {"legacy 9", 9, 0, {0}, {0}, ERROR(NOT_SUPPORTED)},
    {"legacy 15", 15, 0, {0}, {0}, ERROR(NOT_SUPPORTED)},

    {"our own", OWN, 5, {1, 2, 3, 4, 5}, {0}, .action = AXVCPU_RISCV_EXIT, .kind = AXVCPU_EXIT_HYPERCALL,
     .sets = NO_SETS, .fields = {NR(OWN, 5), 1, 2, 3, 4, 5}},
    {"the first of ours", 0x08000000, 0, {1}, {0}, .action = AXVCPU_RISCV_EXIT, .kind = AXVCPU_EXIT_HYPERCALL,
     .sets = NO_SETS, .fields = {0x08000000, 1}},
    {"before ours", 0x07ffffff, 0, {1}, {0}, ERROR(NOT_SUPPORTED)},
    {"after ours", 0x0b000000, 0, {1}, {0}, ERROR(NOT_SUPPORTED)},
    {"PMU", 0x504d55, 0, {0}, {0}, ERROR(NOT_SUPPORTED)},
    {"all ones", ALL, ALL, {0}, {0}, ERROR(NOT_SUPPORTED)},
};

static void check_fields(const struct row *r, const struct axvcpu_exit *x, const struct axvcpu_riscv_effect *e)
{
    uint64_t got[6] = {0};
    switch (x->kind) {
    case AXVCPU_EXIT_SEND_IPI:
        got[0] = x->ipi.target, got[1] = x->ipi.aux, got[2] = x->ipi.to_all;
        ok(x->ipi.vector == 1 && !x->ipi.to_self, "%s: a software interrupt", r->name);
        break;
    case AXVCPU_EXIT_REMOTE_FENCE:
        got[0] = x->fence.op, got[1] = x->fence.mask, got[2] = x->fence.base;
        got[3] = x->fence.start, got[4] = x->fence.size, got[5] = x->fence.asid;
        break;
    case AXVCPU_EXIT_CPU_UP: got[0] = x->cpu_up.target, got[1] = x->cpu_up.entry, got[2] = x->cpu_up.arg; break;
    case AXVCPU_EXIT_SYSTEM_DOWN: got[0] = x->system.reason; break;
    case AXVCPU_EXIT_HALT: got[0] = e->pc; break;
    case AXVCPU_EXIT_HYPERCALL:
        got[0] = x->hypercall.nr;
        for (int i = 1; i < 6; i++)
            got[i] = x->hypercall.args[i - 1];
        break;
    default: got[0] = e->timer; break;
    }
    for (int i = 0; i < 6; i++)
        if (r->fields[i] || x->kind != AXVCPU_EXIT_HYPERCALL)
            ok_u64(got[i], r->fields[i], "%s: field %d", r->name, i);
}

static void check_row(const struct row *r)
{
    const struct axvcpu_riscv_trap t = {.cause = AXVCPU_RISCV_CAUSE_ECALL_VS, .flags = r->trap.flags,
                                        .mask = r->trap.mask, .hvip = r->trap.hvip};
    struct axvcpu_riscv_effect e;
    struct axvcpu_exit x = {0};
    uint64_t gpr[32];
    for (unsigned i = 0; i < 32; i++)
        gpr[i] = 0xdead0000 + i;
    memcpy(gpr + AXVCPU_RISCV_A0, r->args, sizeof r->args);
    gpr[AXVCPU_RISCV_A6] = r->function;
    gpr[AXVCPU_RISCV_A7] = r->ext;
    enum axvcpu_riscv_action action = axvcpu_riscv_decode(&t, gpr, &sbi_identity, &x, &e);
    if (!ok_str(action_names[action], action_names[r->action], "%s: action", r->name) ||
        action == AXVCPU_RISCV_LOAD_MASK)
        return;
    ok_u64(e.sets, r->sets, "%s: what is set", r->name);
    ok_u64(e.step, (r->sets & START) ? 0 : 4, "%s: step", r->name);
    if (r->sets & A0)
        ok_u64(e.a0, r->a0, "%s: a0", r->name);
    if (r->sets & AXVCPU_RISCV_SETS_A1)
        ok_u64(e.a1, r->a1, "%s: a1", r->name);
    if (action == AXVCPU_RISCV_EXIT && !ok_str(axvcpu_exit_name(x.kind), axvcpu_exit_name(r->kind), "%s: kind", r->name))
        return;
    check_fields(r, &x, &e);
}

int main(void)
{
    tap_begin(30);
    for (size_t i = 0; i < COUNT(rows); i++)
        check_row(&rows[i]);
    return tap_done();
}
