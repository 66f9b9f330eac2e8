// SPDX-License-Identifier: Apache-2.0
//
// For firmware.c: SMCCC (DEN 0028) and PSCI 1.1 (DEN 0022D), as a guest sees them.
#ifndef FIRMWARE_ARM64_H
#define FIRMWARE_ARM64_H

enum { NOT_SUPPORTED = -1, INVALID_PARAMETERS = -2, DENIED = -3, INTERNAL_FAILURE = -6, INVALID_ADDRESS = -9 }; // 5.2.2

// The functions that there are (5.1), and whether they also take 64-bit arguments.
static const struct {
    uint32_t id;
    bool wide;
} functions[] = {{0x80000000, false}, {0x80000001, false}, {0x84000000, false}, {0x84000001, true},
                 {0x84000002, false}, {0x84000003, true},  {0x84000004, true},  {0x84000006, false},
                 {0x84000008, false}, {0x84000009, false}, {0x8400000a, false}, {0x84000012, true}};

// A vendor's call (DEN 0028, table 6-1) that prints x2 bytes at x1, of ours; the rest is the VM's to answer.
enum { PRINT = 0x46000001, MOST = 256 };
static bool prints(uint64_t nr)
{
    return (uint32_t)nr == (0x80000000 | PRINT);
}

static uint32_t any_id(void)
{
    uint32_t id = functions[input_next(12)].id | (input_next(3) == 0 ? 0x40000000 : 0);
    switch (input_next(8)) {
    case 0: return (uint32_t)any_value();
    case 1: return 0x84000000 | input_next(32) | (uint32_t)input_next(2) << 30;
    case 2: return (uint32_t)input_next(64) << 24 | 0x80000000 | input_next(4);
    case 3: return 0x80000000 | PRINT;
    case 4: return id | 0x10000; // SMCCC 2.5: the caller's hint about SVE is no part of the number
    default: return id;
    }
}

static void any_call(uint64_t *gpr)
{
    for (uint32_t n = 0; n < REGS; n++)
        gpr[n] = UINT64_C(0x0101010101010101) * n;
    gpr[31] = 0;
    for (uint32_t n = 1; n < 4; n++)
        gpr[n] = any_value();
    gpr[0] = any_id() | (input_next(8) == 0 ? any_value() << 32 : 0);
    switch (input_next(4) != 0 ? gpr[0] & 0x3fffffff : 0) {
    case 0x4000001: gpr[1] = input_next(2) << 16 | input_next(8), gpr[2] = input_next(8); break;
    case 0x4000003:
    case 0x4000004:
        gpr[1] = firmware_mpidr[input_next(CPUS)] | (input_next(4) == 0 ? any_value() & ~UINT64_C(0xffffff) : 0);
        gpr[2] = input_next(4) == 0 ? input_next(8) : 0;
        break;
    case 0x400000a:
    case 0x0000001: gpr[1] = any_id(); break;
    case PRINT & 0x3fffffff: gpr[1] = near_a_page(); break;
    default: break;
    }
    firmware_guest.smc = input_next(2);
    firmware_guest.immediate = input_next(16) == 0 ? input_next(3) * 0x7fffu : 0;
}

// 6.4
static void start(uint32_t n, uint64_t entry, uint64_t arg)
{
    struct cpu *c = &cpus[n];
    memset(c->gpr, 0, sizeof c->gpr);
    c->gpr[0] = arg;
    c->pc = entry;
    c->pending = 0;
}

static enum axvm_answer console(struct axvm *m, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    uint64_t size = x->hypercall.args[1] < MOST ? x->hypercall.args[1] : MOST;
    (void)arg;
    if (!prints(x->hypercall.nr))
        return axvm_leaf_answer(m, v, x);
    printed_size = axvm_read(m, axvcpu_gpa(x->hypercall.args[0]), printed, size) == 0 ? size : 0;
    must(axvcpu_set_return_value(v, printed_size) == 0);
    return AXVM_DONE;
}

static struct outcome returns(uint64_t *gpr, int64_t value)
{
    gpr[0] = (uint64_t)value;
    return (struct outcome){0};
}

static bool there_is(uint32_t id)
{
    for (uint32_t n = 0; n < sizeof functions / sizeof functions[0]; n++)
        if (id == functions[n].id || (functions[n].wide && id == (functions[n].id | 0x40000000)))
            return true;
    return false;
}

// What nobody's standard says is the caller's; to an SMC it is a firmware that is not there.
static struct outcome others(uint64_t *gpr)
{
    struct outcome o = {AXVCPU_EXIT_HYPERCALL, false, {0}};
    memcpy(o.fields, gpr, 7 * 8);
    if (has_console && prints(gpr[0])) {
        uint64_t size = gpr[2] < MOST ? gpr[2] : MOST;
        wanted_size = all_there(gpr[1], size, false) ? size : 0;
        for (uint64_t i = 0; i < wanted_size; i++)
            wanted_printed[i] = *byte_at(gpr[1] + i, false);
        gpr[0] = wanted_size;
        o.handled = true;
        return o;
    }
    if (firmware_guest.smc)
        gpr[0] = (uint64_t)NOT_SUPPORTED;
    return o;
}

static struct cpu *by_mpidr(uint64_t mpidr)
{
    for (uint32_t n = 0; n < CPUS; n++)
        if (firmware_mpidr[n] == (mpidr & 0xff00ffffff)) // 5.1.4: only affinity fields count
            return &cpus[n];
    return NULL;
}

static struct outcome cpu_on(uint64_t *gpr, const uint64_t *a) // 5.6
{
    if (a[1] % 4 != 0)
        return returns(gpr, INVALID_ADDRESS);
    (void)returns(gpr, (int64_t)cpu_up(by_mpidr(a[0]), a[1], a[2]));
    return (struct outcome){AXVCPU_EXIT_CPU_UP, up_by_handler, {a[0] & 0xff00ffffff, a[1], a[2]}};
}

static struct outcome cpu_suspend(uint32_t n, uint64_t *gpr, const uint64_t *a) // 5.4
{
    uint32_t state = (uint32_t)a[0];
    bool down = state >> 16 & 1;
    if ((state & 0xfcfe0000) != 0)
        return returns(gpr, INVALID_PARAMETERS);
    if (down && a[1] % 4 != 0)
        return returns(gpr, INVALID_ADDRESS);
    (void)returns(gpr, 0);
    if (down)
        start(n, a[1], a[2]);
    return (struct outcome){AXVCPU_EXIT_HALT, false, {0}};
}

static struct outcome affinity_info(uint64_t *gpr, const uint64_t *a) // 5.7
{
    const struct cpu *c = by_mpidr(a[0]);
    struct outcome o = {AXVCPU_EXIT_HYPERCALL, true, {0x84000004, a[0] & 0xff00ffffff}};
    if (a[1] != 0) // levels above 0 are optional
        return returns(gpr, INVALID_PARAMETERS);
    memcpy(o.fields + 2, gpr + 2, 5 * 8);
    (void)returns(gpr, c == NULL ? INVALID_PARAMETERS : c->state == UP ? 0 : c->state == DOWN ? 1 : 2);
    return o;
}

static struct outcome features(uint64_t *gpr, uint32_t owner, uint32_t id) // 5.15, DEN 0028 7.3
{
    return returns(gpr, there_is(id) && (id == 0x80000000 || (id >> 24 & 0x3f) == owner) ? 0 : NOT_SUPPORTED);
}

static struct outcome goes_down(uint64_t *gpr, uint64_t reason)
{
    (void)returns(gpr, INTERNAL_FAILURE);
    return (struct outcome){AXVCPU_EXIT_SYSTEM_DOWN, false, {reason}};
}

static struct outcome model(uint32_t n, uint64_t *gpr)
{
    uint32_t id = (uint32_t)gpr[0] & ~0x10000u, owner = id >> 24 & 0x3f;
    bool wide = (id & 0x40000000) != 0;
    uint64_t a[3];
    for (uint32_t i = 0; i < 3; i++)
        a[i] = wide ? gpr[i + 1] : (uint32_t)gpr[i + 1];
    cpus[n].pc += firmware_guest.smc ? 4 : 0; // the PC is behind an HVC already, not behind an SMC
    if (firmware_guest.immediate != 0 || id >> 31 == 0 || (owner > 1 && owner != 4 && owner != 5))
        return others(gpr);
    if (!there_is(id))
        return returns(gpr, NOT_SUPPORTED);
    switch (id & ~0x40000000u) {
    case 0x80000000: return returns(gpr, 0x10001);
    case 0x80000001: return features(gpr, 0, (uint32_t)a[0]);
    case 0x84000000: return returns(gpr, 0x10001);
    case 0x84000001: return cpu_suspend(n, gpr, a);
    case 0x84000002: (void)returns(gpr, DENIED); return (struct outcome){AXVCPU_EXIT_CPU_DOWN, false, {0}}; // 5.5
    case 0x84000003: return cpu_on(gpr, a);
    case 0x84000004: return affinity_info(gpr, a);
    case 0x84000006: return returns(gpr, 2); // 5.9: no trusted OS
    case 0x84000008: return goes_down(gpr, AXVCPU_SYSTEM_OFF);
    case 0x84000009: return goes_down(gpr, AXVCPU_SYSTEM_RESET);
    case 0x8400000a: return features(gpr, 4, (uint32_t)a[0]);
    default: // SYSTEM_RESET2, 5.12
        return (uint32_t)a[0] == 0 ? goes_down(gpr, AXVCPU_SYSTEM_RESET) : returns(gpr, INVALID_PARAMETERS);
    }
}

static void check_fields(const struct axvcpu_exit *x, const uint64_t *f)
{
    switch (x->kind) {
    case AXVCPU_EXIT_HYPERCALL: must(x->hypercall.nr == f[0] && memcmp(x->hypercall.args, f + 1, 6 * 8) == 0); break;
    case AXVCPU_EXIT_CPU_UP: must(x->cpu_up.target == f[0] && x->cpu_up.entry == f[1] && x->cpu_up.arg == f[2]); break;
    case AXVCPU_EXIT_SYSTEM_DOWN: must(x->system.reason == f[0]); break;
    default: break;
    }
}

#endif
