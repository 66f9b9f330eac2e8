// SPDX-License-Identifier: Apache-2.0
//
// SMCCC 1.1 and PSCI 1.1 calls as pure functions: registers in, and the answer with its exact code, or an
// exit, out. Every row is played as HVC, behind which the PC is already, and as SMC, on which it still is.
#include "decode.h"
#include "tests/tap.h"

enum { X0 = 1, START = 2 };
#define NOT_SUPPORTED (uint64_t)-1
#define INVALID_PARAMETERS (uint64_t)-2
#define DENIED (uint64_t)-3
#define INTERNAL_FAILURE (uint64_t)-6
#define INVALID_ADDRESS (uint64_t)-9
#define ALL UINT64_MAX

struct row {
    const char *name;
    uint64_t args[5]; // x0 and so on
    enum axvcpu_arm64_action action;
    uint32_t kind, sets;
    uint64_t x0;
    uint64_t fields[4]; // of the exit, see check_fields
};

#define ANSWER(value) .action = AXVCPU_ARM64_RESUME, .sets = X0, .x0 = (value)
#define EXIT(kind_, x0_, ...)                                                                                            \
    .action = AXVCPU_ARM64_EXIT, .kind = AXVCPU_EXIT_##kind_, .sets = X0, .x0 = (x0_), .fields = {__VA_ARGS__}
#define NONE(id) {#id " is not there", {id}, ANSWER(NOT_SUPPORTED)}

static const struct row rows[] = {
    // DEN 0028, 7: the architecture's
    {"SMCCC_VERSION", {0x80000000}, ANSWER(0x10001)},
    {"ARCH_FEATURES of SMCCC_VERSION", {0x80000001, 0x80000000}, ANSWER(0)},
    {"ARCH_FEATURES of itself", {0x80000001, 0x80000001}, ANSWER(0)},
    {"ARCH_FEATURES of WORKAROUND_1", {0x80000001, 0x80008000}, ANSWER(NOT_SUPPORTED)},
    {"ARCH_FEATURES of WORKAROUND_2", {0x80000001, 0x80007fff}, ANSWER(NOT_SUPPORTED)},
    {"ARCH_FEATURES of PSCI_VERSION", {0x80000001, 0x84000000}, ANSWER(NOT_SUPPORTED)},
    {"SMCCC_VERSION, dirt above", {0xdead000080000000}, ANSWER(0x10001)},
    {"SMCCC_VERSION with the SVE hint", {0x80010000}, ANSWER(0x10001)},
    NONE(0x80000002), NONE(0x80003fff), NONE(0x80007fff), NONE(0x80008000), NONE(0x8000ffff), NONE(0xc0000000),
    NONE(0x80020000), NONE(0x80800000), // bits that must be zero
    NONE(0x81000000), NONE(0xc1000001), // CPU services
    NONE(0x85000020), NONE(0xc5000020), // standard hypervisor services

    // DEN 0022D, 5: every call
    {"PSCI_VERSION", {0x84000000}, ANSWER(0x10001)},
    {"CPU_SUSPEND, standby", {0x84000001, 0}, EXIT(HALT, 0, 0)},
    {"CPU_SUSPEND, standby, 64", {0xc4000001, 0x0300ffff, 3, 4}, EXIT(HALT, 0, 0)},
    {"CPU_SUSPEND, reserved bits", {0xc4000001, 0x04000000}, ANSWER(INVALID_PARAMETERS)},
    {"CPU_SUSPEND, reserved bits between", {0xc4000001, 0x00020000}, ANSWER(INVALID_PARAMETERS)},
    {"CPU_SUSPEND, power down, 64", {0xc4000001, 0x10000, 0x123440080000, 0xfedcba9876543210},
     .action = AXVCPU_ARM64_EXIT, .kind = AXVCPU_EXIT_HALT, .sets = X0 | START, .x0 = 0xfedcba9876543210,
     .fields = {0x123440080000}},
    {"CPU_SUSPEND, power down, 32", {0x84000001, 0x10000, 0x123440080000, 0xfedcba9876543210},
     .action = AXVCPU_ARM64_EXIT, .kind = AXVCPU_EXIT_HALT, .sets = X0 | START, .x0 = 0x76543210, .fields = {0x40080000}},
    {"CPU_SUSPEND to nowhere", {0xc4000001, 0x10000, 0x40080002}, ANSWER(INVALID_ADDRESS)},
    {"CPU_OFF", {0x84000002}, EXIT(CPU_DOWN, DENIED, 0)},
    NONE(0xc4000002),
    {"CPU_ON, 64", {0xc4000003, 1, 0x40080000, 7}, EXIT(CPU_UP, 0, 1, 0x40080000, 7)},
    {"CPU_ON, 32", {0x84000003, 1, 0x40080000, 7}, EXIT(CPU_UP, 0, 1, 0x40080000, 7)},
    {"trap_27: the target is masked to its affinity fields", {0xc4000003, 0xffffff0980030201, 0x40080000, 7},
     EXIT(CPU_UP, 0, 0x0900030201, 0x40080000, 7)},
    {"trap_27: the context has 64 bits", {0xc4000003, 1, 0x123440080000, 0xfedcba9876543210},
     EXIT(CPU_UP, 0, 1, 0x123440080000, 0xfedcba9876543210)},
    {"... and 32 in a 32-bit call", {0x84000003, 0xffffffff80000001, 0xffff000040080000, 0xfedcba9876543210},
     EXIT(CPU_UP, 0, 1, 0x40080000, 0x76543210)},
    {"CPU_ON at an odd address", {0xc4000003, 1, 0x40080001, 7}, ANSWER(INVALID_ADDRESS)},
    {"AFFINITY_INFO, 64", {0xc4000004, 0xff80000102, 0}, EXIT(HYPERCALL, INVALID_PARAMETERS, 0x84000004, 0xff00000102, 0)},
    {"AFFINITY_INFO, 32", {0x84000004, 0xff80000102, 0xf00000000}, EXIT(HYPERCALL, INVALID_PARAMETERS, 0x84000004, 0x102)},
    {"AFFINITY_INFO, level 1", {0xc4000004, 1, 1}, ANSWER(INVALID_PARAMETERS)},
    NONE(0x84000005), NONE(0xc4000005), // MIGRATE
    {"MIGRATE_INFO_TYPE", {0x84000006}, ANSWER(2)},
    NONE(0xc4000006),
    NONE(0x84000007), NONE(0xc4000007), // MIGRATE_INFO_UP_CPU
    {"SYSTEM_OFF", {0x84000008}, EXIT(SYSTEM_DOWN, INTERNAL_FAILURE, AXVCPU_SYSTEM_OFF)},
    {"SYSTEM_RESET", {0x84000009}, EXIT(SYSTEM_DOWN, INTERNAL_FAILURE, AXVCPU_SYSTEM_RESET)},
    NONE(0xc4000008), NONE(0xc4000009),
    {"FEATURES of PSCI_VERSION", {0x8400000a, 0x84000000}, ANSWER(0)},
    {"FEATURES of CPU_SUSPEND", {0x8400000a, 0xc4000001}, ANSWER(0)},
    {"FEATURES of CPU_OFF", {0x8400000a, 0x84000002}, ANSWER(0)},
    {"FEATURES of CPU_OFF, 64", {0x8400000a, 0xc4000002}, ANSWER(NOT_SUPPORTED)},
    {"FEATURES of CPU_ON", {0x8400000a, 0xc4000003}, ANSWER(0)},
    {"FEATURES of AFFINITY_INFO", {0x8400000a, 0xc4000004}, ANSWER(0)},
    {"FEATURES of MIGRATE", {0x8400000a, 0xc4000005}, ANSWER(NOT_SUPPORTED)},
    {"FEATURES of MIGRATE_INFO_TYPE", {0x8400000a, 0x84000006}, ANSWER(0)},
    {"FEATURES of SYSTEM_OFF", {0x8400000a, 0x84000008}, ANSWER(0)},
    {"FEATURES of SYSTEM_RESET", {0x8400000a, 0x84000009}, ANSWER(0)},
    {"FEATURES of itself", {0x8400000a, 0x8400000a}, ANSWER(0)},
    {"FEATURES of SYSTEM_RESET2", {0x8400000a, 0xc4000012}, ANSWER(0)},
    {"FEATURES of SYSTEM_SUSPEND", {0x8400000a, 0xc400000e}, ANSWER(NOT_SUPPORTED)},
    {"FEATURES of SMCCC_VERSION", {0x8400000a, 0x80000000}, ANSWER(0)},
    {"FEATURES of ARCH_FEATURES", {0x8400000a, 0x80000001}, ANSWER(NOT_SUPPORTED)},
    {"FEATURES of nothing", {0x8400000a, 0}, ANSWER(NOT_SUPPORTED)},
    NONE(0xc400000a),
    NONE(0x8400000b), NONE(0xc400000b), // CPU_FREEZE
    NONE(0x8400000c), NONE(0xc400000c), // CPU_DEFAULT_SUSPEND
    NONE(0x8400000d), NONE(0xc400000d), // NODE_HW_STATE
    NONE(0x8400000e), NONE(0xc400000e), // SYSTEM_SUSPEND
    NONE(0x8400000f), NONE(0xc400000f), // PSCI_SET_SUSPEND_MODE
    NONE(0x84000010), NONE(0xc4000010), // PSCI_STAT_RESIDENCY
    NONE(0x84000011), NONE(0xc4000011), // PSCI_STAT_COUNT
    {"SYSTEM_RESET2, warm", {0xc4000012, 0, 5}, EXIT(SYSTEM_DOWN, INTERNAL_FAILURE, AXVCPU_SYSTEM_RESET)},
    {"SYSTEM_RESET2, 32", {0x84000012, 0, 5}, EXIT(SYSTEM_DOWN, INTERNAL_FAILURE, AXVCPU_SYSTEM_RESET)},
    {"SYSTEM_RESET2, reserved", {0xc4000012, 1}, ANSWER(INVALID_PARAMETERS)},
    {"SYSTEM_RESET2, a vendor's", {0xc4000012, 0x80000000}, ANSWER(INVALID_PARAMETERS)},
    NONE(0x84000013), NONE(0x84000014), NONE(0xc4000014), // MEM_PROTECT, MEM_PROTECT_CHECK_RANGE
    NONE(0x84000015), NONE(0x8400001f), NONE(0xc400001f),
    NONE(0x84000050), // TRNG
    NONE(0x8400ffff), NONE(0xc400ffff),
};

// Nobody's standard: the caller's.
static const uint64_t others[] = {0x0, 0x12345678, 0x82000000, 0xc2000001, 0x83000000, 0x86000000, 0xc6000000,
                                  0xb0000000, 0xbf00ff01, 0x04000008, 0x84000008ull << 32, ALL};

static void check_fields(const struct row *r, const struct axvcpu_exit *x)
{
    switch (x->kind) {
    case AXVCPU_EXIT_CPU_UP:
        ok_u64(x->cpu_up.target, r->fields[0], "%s: target", r->name);
        ok_u64(x->cpu_up.entry, r->fields[1], "%s: entry", r->name);
        ok_u64(x->cpu_up.arg, r->fields[2], "%s: context", r->name);
        break;
    case AXVCPU_EXIT_CPU_DOWN: ok_u64(x->cpu_down.state, r->fields[0], "%s: state", r->name); break;
    case AXVCPU_EXIT_SYSTEM_DOWN: ok_u64(x->system.reason, r->fields[0], "%s: reason", r->name); break;
    case AXVCPU_EXIT_HYPERCALL:
        ok_u64(x->hypercall.nr, r->fields[0], "%s: nr", r->name);
        ok_u64(x->hypercall.args[0], r->fields[1], "%s: argument", r->name);
        break;
    default: break;
    }
}

static void check_row(const struct row *r, bool smc)
{
    const struct axvcpu_arm64_trap t = {.esr = (uint64_t)(smc ? 0x17 : 0x16) << 26 | 1u << 25, .pstate = 5};
    uint64_t gpr[31] = {0};
    struct axvcpu_arm64_effect e;
    struct axvcpu_exit x = {0};
    memcpy(gpr, r->args, sizeof r->args);
    enum axvcpu_arm64_action action = axvcpu_arm64_decode(&t, gpr, &x, &e);
    if (!ok_str(action_names[action], action_names[r->action], "%s by %s: action", r->name, smc ? "SMC" : "HVC") ||
        !ok_str(axvcpu_exit_name(x.kind), axvcpu_exit_name(r->kind), "%s: kind", r->name))
        return;
    ok_u64(e.sets, r->sets, "%s: what is set", r->name);
    ok_u64(e.x0, r->x0, "%s: x0", r->name);
    ok_u64(e.step, smc && (r->sets & START) == 0 ? 4 : 0, "trap_25: %s: step", r->name);
    if (r->sets & START)
        ok_u64(e.pc, r->fields[0], "%s: where it starts", r->name);
    check_fields(r, &x);
}

static void check_other(uint64_t nr, uint32_t imm, bool smc)
{
    const struct axvcpu_arm64_trap t = {.esr = (uint64_t)(smc ? 0x17 : 0x16) << 26 | 1u << 25 | imm, .pstate = 5};
    uint64_t gpr[31];
    struct axvcpu_arm64_effect e;
    struct axvcpu_exit x = {0};
    number_registers(gpr);
    gpr[0] = nr;
    bool exit = axvcpu_arm64_decode(&t, gpr, &x, &e) == AXVCPU_ARM64_EXIT && x.kind == AXVCPU_EXIT_HYPERCALL;
    ok(exit && x.hypercall.nr == nr && memcmp(x.hypercall.args, gpr + 1, sizeof x.hypercall.args) == 0 && x.raw == t.esr,
       "%s #%u of 0x%llx is the caller's", smc ? "SMC" : "HVC", imm, (unsigned long long)nr);
    ok(e.step == (smc ? 4u : 0u) && e.sets == (smc ? 1u : 0u) && e.x0 == (smc ? NOT_SUPPORTED : 0),
       "... and an SMC that nobody answers is not supported");
}

// Trap 26: nothing that the guest can say reaches a firmware: each identifier has an answer or an exit.
static void check_all_standard_calls(void)
{
    const struct axvcpu_arm64_trap t = {.esr = 0x17ull << 26 | 1u << 25, .pstate = 5};
    unsigned silent = 0, exits = 0;
    for (uint32_t n = 0; n < 0x20000; n++) {
        uint64_t gpr[31] = {0x84000000u | (n & 0x10000) << 14 | (n & 0xffff)};
        struct axvcpu_arm64_effect e;
        struct axvcpu_exit x = {0};
        enum axvcpu_arm64_action action = axvcpu_arm64_decode(&t, gpr, &x, &e);
        silent += (e.sets & X0) == 0 || e.step != 4 || action > AXVCPU_ARM64_RESUME;
        exits += action == AXVCPU_ARM64_EXIT;
    }
    ok_u64(silent, 0, "trap_26: each of 131072 standard calls has an answer");
    ok_u64(exits, 11, "trap_26: and eleven of them are for somebody else to see");
}

int main(void)
{
    tap_begin(30);
    for (size_t i = 0; i < COUNT(rows); i++) {
        check_row(&rows[i], false);
        check_row(&rows[i], true);
    }
    for (size_t i = 0; i < COUNT(others); i++) {
        check_other(others[i], 0, false);
        check_other(others[i], 0, true);
    }
    check_other(0x84000008, 1, false); // not SMCCC: somebody's own numbers
    check_other(0x84000008, 0xffff, true);
    check_all_standard_calls();
    return tap_done();
}
