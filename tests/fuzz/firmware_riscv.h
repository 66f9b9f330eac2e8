// SPDX-License-Identifier: Apache-2.0
//
// For firmware.c: the SBI (specification 2.0), as a guest sees it.
#ifndef FIRMWARE_RISCV_H
#define FIRMWARE_RISCV_H

enum { A0 = 10, A1 = 11, A6 = 16, A7 = 17, MOST = 256 };
enum { BASE = 0x10, TIME = 0x54494d45, IPI = 0x735049, RFENCE = 0x52464e43, HSM = 0x48534d, SRST = 0x53525354,
       DBCN = 0x4442434e };
enum { NOT_SUPPORTED = -2, INVALID_PARAM = -3, INVALID_ADDRESS = -5, FAILED = -1 }; // sbi 3

static void any_call(uint64_t *gpr)
{
    static const uint32_t exts[] = {BASE, TIME, IPI, RFENCE, HSM, HSM, SRST, DBCN, DBCN, DBCN, 0x0a000000, 0x08000001};
    gpr[0] = 0;
    for (uint32_t n = 1; n < REGS; n++)
        gpr[n] = UINT64_C(0x0101010101010101) * n;
    for (uint32_t n = A0; n < A6; n++)
        gpr[n] = any_value();
    gpr[A6] = input_next(8) == 0 ? any_value() : input_next(5);
    switch (input_next(8)) {
    case 0: gpr[A7] = any_value(); break;
    case 1: gpr[A7] = exts[input_next(12)] | (uint64_t)(input_next(2)) << 32; break;
    case 2:
    case 3: gpr[A7] = input_next(10); break;
    default: gpr[A7] = exts[input_next(12)]; break;
    }
    if (gpr[A7] == DBCN && input_next(4) != 0)
        gpr[A0 + 1] = near_a_page(), gpr[A0 + 2] = 0;
    if (gpr[A7] >= 4 && gpr[A7] < 8 && input_next(4) != 0)
        gpr[A0] = near_a_page();
    if (gpr[A7] == HSM && input_next(4) != 0)
        gpr[A0] = gpr[A6] == 3 ? (uint64_t)input_next(2) << 31 : input_next(CPUS + 1), gpr[A0 + 1] = input_next(5) * 2;
    if ((gpr[A7] == IPI || gpr[A7] == RFENCE) && input_next(2))
        gpr[A0] = input_next(16), gpr[A1] = input_next(4) == 0 ? any_value() : 0;
}

// sbi 9.1
static void start(uint32_t n, uint64_t entry, uint64_t arg)
{
    struct cpu *c = &cpus[n];
    memset(c->gpr, 0, sizeof c->gpr);
    c->gpr[A0] = n;
    c->gpr[A1] = arg;
    c->pc = entry;
    c->pending = 0;
}

static struct outcome returns(uint64_t *gpr, int64_t error, uint64_t value)
{
    gpr[A0] = (uint64_t)error;
    gpr[A1] = value;
    return (struct outcome){0};
}

static struct outcome returns_legacy(uint64_t *gpr, int64_t error)
{
    gpr[A0] = (uint64_t)error;
    return (struct outcome){0};
}

// sbi 3.1: which harts, of those that there are; -1: one that is not there.
static int hart_set(uint64_t mask, uint64_t base)
{
    int set = 0;
    if (base == UINT64_MAX)
        return (1 << CPUS) - 1;
    for (uint32_t n = 0; n < 64; n++) {
        if ((mask >> n & 1) == 0)
            continue;
        if (base + n < base || base + n >= CPUS)
            return -1;
        set |= 1 << (base + n);
    }
    return set;
}

static struct outcome send_ipi(uint64_t mask, uint64_t base)
{
    int set = hart_set(mask, base);
    for (uint32_t n = 0; n < CPUS && set >= 0; n++) {
        if ((set >> n & 1) != 0)
            cpus[n].queued |= 2, cpus[n].kicks += cpus[n].bound;
    }
    return (struct outcome){AXVCPU_EXIT_SEND_IPI, true, {mask, base, base == UINT64_MAX}};
}

// sbi 8; op is the function. What is asked of the host is about the guest's virtual addresses.
static struct outcome fence(uint32_t op, uint64_t mask, uint64_t base, const uint64_t *range, int64_t *error)
{
    static const uint32_t ask[] = {0, 6, 5}; // FENCE.I, HFENCE.VVMA, HFENCE.VVMA.ASID
    uint64_t first = op != 0 ? range[0] : 0, size = op != 0 ? range[1] : 0, asid = op == 2 ? range[2] : 0;
    *error = 0;
    if (size != UINT64_MAX && first + size < first) {
        *error = INVALID_ADDRESS;
        return (struct outcome){0};
    }
    if (hart_set(mask, base) < 0)
        *error = INVALID_PARAM;
    else
        wanted_fence = (struct fence){ask[op], first, size, asid, wanted_fence.count + 1};
    if (*error == 0 && fence_answer != 0)
        *error = FAILED;
    return (struct outcome){AXVCPU_EXIT_REMOTE_FENCE, true, {op, mask, base, first, size, asid}};
}

static struct outcome base_call(uint64_t *gpr) // sbi 4
{
    static const uint32_t probed[] = {BASE, TIME, IPI, RFENCE, HSM, SRST, DBCN};
    uint64_t there = gpr[A0] <= 8;
    for (uint32_t n = 0; n < 7; n++)
        there |= gpr[A0] == probed[n];
    switch (gpr[A6]) {
    case 0: return returns(gpr, 0, 0x02000000);
    case 1: return returns(gpr, 0, 0x61787663);
    case 2: return returns(gpr, 0, AXVCPU_VERSION_MAJOR << 16 | AXVCPU_VERSION_MINOR << 8 | AXVCPU_VERSION_PATCH);
    case 3: return returns(gpr, 0, there);
    case 4:
    case 5:
    case 6: return returns(gpr, 0, gpr[A6] - 3);
    default: return returns(gpr, NOT_SUPPORTED, 0);
    }
}

static struct outcome hart_suspend(uint32_t n, uint64_t *gpr) // sbi 9.4
{
    uint64_t entry = gpr[A0 + 1], arg = gpr[A0 + 2];
    bool keeps = gpr[A0] == 0;
    if (!keeps && gpr[A0] != 0x80000000)
        return returns(gpr, INVALID_PARAM, 0);
    if (!keeps && entry % 2 != 0)
        return returns(gpr, INVALID_ADDRESS, 0);
    (void)returns(gpr, 0, 0);
    if (!keeps) {
        uint64_t pending = cpus[n].pending;
        start(n, entry, arg);
        cpus[n].pending = pending;
    }
    return (struct outcome){AXVCPU_EXIT_HALT, false, {0}};
}

static struct outcome hsm_call(uint32_t n, uint64_t *gpr) // sbi 9
{
    uint64_t hart = gpr[A0], entry = gpr[A0 + 1], arg = gpr[A0 + 2];
    struct outcome o = {0};
    switch (gpr[A6]) {
    case 0:
        if (entry % 2 != 0)
            return returns(gpr, INVALID_ADDRESS, 0);
        (void)returns(gpr, (int64_t)cpu_up(hart < CPUS ? &cpus[hart] : NULL, entry, arg), 0);
        return (struct outcome){AXVCPU_EXIT_CPU_UP, up_by_handler, {hart, entry, arg}};
    case 1: (void)returns(gpr, 0, 0); return (struct outcome){AXVCPU_EXIT_CPU_DOWN, false, {0}};
    case 2:
        o = (struct outcome){AXVCPU_EXIT_HYPERCALL, true, {UINT64_C(2) << 32 | HSM}};
        memcpy(o.fields + 1, gpr + A0, 6 * 8);
        (void)(hart < CPUS ? returns(gpr, 0, cpus[hart].state == UP ? 0 : cpus[hart].state == DOWN ? 1 : 2) :
                             returns(gpr, INVALID_PARAM, 0));
        return o;
    case 3: return hart_suspend(n, gpr);
    default: return returns(gpr, NOT_SUPPORTED, 0);
    }
}

static struct outcome reset_call(uint64_t *gpr) // sbi 10
{
    uint64_t type = gpr[A0], reason = gpr[A0 + 1];
    if (gpr[A6] != 0)
        return returns(gpr, NOT_SUPPORTED, 0);
    if (type > 2 || reason > 1)
        return returns(gpr, INVALID_PARAM, 0);
    (void)returns(gpr, 0, 0);
    return (struct outcome){AXVCPU_EXIT_SYSTEM_DOWN, false,
                            {type != 0 ? AXVCPU_SYSTEM_RESET : reason != 0 ? AXVCPU_SYSTEM_CRASH : AXVCPU_SYSTEM_OFF}};
}

// ---- the console

static enum axvm_answer console(struct axvm *m, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    static const uint8_t typed[MOST] = {0x40, 0x41, 0x42};
    uint64_t nr = x->hypercall.nr, size = x->hypercall.args[0], at = x->hypercall.args[1];
    int err = 0;
    (void)arg;
    if (nr > 2 && (uint32_t)nr != DBCN)
        return axvm_leaf_answer(m, v, x);
    must(size <= (nr <= 2 || nr >> 32 == 2 ? 255 : MOST));
    printed_size = 0;
    if (nr == 1 || nr >> 32 == 2)
        printed[0] = (uint8_t)size, printed_size = 1, size = 0;
    else if (nr == DBCN) // console_write
        err = axvm_read(m, axvcpu_gpa(at), printed, size), printed_size = err == 0 ? size : 0;
    else if (nr >> 32 == 1)
        err = axvm_write(m, axvcpu_gpa(at), typed, size);
    must(axvcpu_set_return_value(v, nr == 2 ? 0x55 : err == 0 ? 0 : (uint64_t)INVALID_PARAM) == 0);
    if (nr > 2)
        must(axvcpu_set_gpr(v, A1, err == 0 ? size : 0) == 0);
    return AXVM_DONE;
}

static struct outcome console_bytes(uint64_t *gpr, struct outcome o)
{
    static const uint8_t typed[MOST] = {0x40, 0x41, 0x42};
    uint64_t size = gpr[A0] < MOST ? gpr[A0] : MOST, at = gpr[A0 + 1];
    bool read = gpr[A6] == 1, good = all_there(at, size, read);
    wanted_size = !read && good ? size : 0;
    for (uint64_t i = 0; i < size && good; i++) {
        if (read)
            *byte_at(at + i, true) = typed[i];
        else
            wanted_printed[i] = *byte_at(at + i, false);
    }
    (void)returns(gpr, good ? 0 : INVALID_PARAM, good ? size : 0);
    return o;
}

static struct outcome console_call(uint64_t *gpr) // sbi 12
{
    struct outcome o = {AXVCPU_EXIT_HYPERCALL, true, {gpr[A6] << 32 | DBCN}};
    memcpy(o.fields + 1, gpr + A0, 6 * 8);
    if (gpr[A6] > 2)
        return returns(gpr, NOT_SUPPORTED, 0);
    if (gpr[A6] == 2)
        o.fields[1] = gpr[A0] & 0xff;
    else if (gpr[A0 + 2] != 0 || gpr[A0 + 1] + gpr[A0] < gpr[A0 + 1])
        return returns(gpr, INVALID_PARAM, 0);
    else if (gpr[A0] > MOST)
        o.fields[1] = MOST;
    if (has_console && gpr[A6] < 2)
        return console_bytes(gpr, o);
    if (has_console)
        wanted_printed[0] = (uint8_t)gpr[A0], wanted_size = 1;
    (void)returns(gpr, has_console ? 0 : NOT_SUPPORTED, 0);
    return o;
}

static struct outcome legacy_console(uint64_t *gpr) // sbi 5.2, 5.3
{
    bool put = gpr[A7] == 1;
    struct outcome o = {AXVCPU_EXIT_HYPERCALL, true, {gpr[A7]}};
    memcpy(o.fields + 1, gpr + A0, 6 * 8);
    o.fields[1] &= 0xff;
    wanted_size = has_console ? put : wanted_size;
    if (has_console && put)
        wanted_printed[0] = (uint8_t)gpr[A0];
    (void)returns_legacy(gpr, has_console ? (put ? 0 : 0x55) : put ? NOT_SUPPORTED : -1);
    return o;
}

// sbi 5.5 to 5.8: the mask is in the guest's memory. None there: a load that fails, and nothing else.
static struct outcome legacy_others(uint32_t n, uint64_t *gpr)
{
    uint64_t mask = 0, at = gpr[A0], range[3] = {gpr[A0 + 1], gpr[A0 + 2], gpr[A0 + 3]};
    struct outcome o;
    int64_t error = 0;
    if (at != 0 && !all_there(at, 8, false)) {
        wanted_fault = 5; // load access fault
        cpus[n].pc = FIRMWARE_VECTOR;
        return (struct outcome){0};
    }
    for (uint32_t i = 0; i < 8 && at != 0; i++)
        mask |= (uint64_t)*byte_at(at + i, false) << 8 * i;
    if (gpr[A7] == 4) {
        o = send_ipi(mask, at == 0 ? UINT64_MAX : 0);
        error = at != 0 && hart_set(mask, 0) < 0 ? INVALID_PARAM : 0;
    } else {
        o = fence((uint32_t)gpr[A7] - 5, mask, at == 0 ? UINT64_MAX : 0, range, &error);
    }
    (void)returns_legacy(gpr, error);
    return o;
}

static struct outcome legacy(uint32_t n, uint64_t *gpr)
{
    struct cpu *c = &cpus[n];
    bool was = (c->pending & 2) != 0;
    switch (gpr[A7]) {
    case 0: wanted_deadline = gpr[A0]; return returns_legacy(gpr, 0);
    case 1:
    case 2: return legacy_console(gpr);
    case 3: c->pending &= ~UINT64_C(2); return returns_legacy(gpr, was);
    case 8: (void)returns_legacy(gpr, 0); return (struct outcome){AXVCPU_EXIT_SYSTEM_DOWN, false, {AXVCPU_SYSTEM_OFF}};
    default: return legacy_others(n, gpr);
    }
}

static struct outcome rfence_call(uint64_t *gpr)
{
    struct outcome o;
    int64_t error;
    if (gpr[A6] > 2) // those of a hypervisor in the guest, which has no H extension
        return returns(gpr, NOT_SUPPORTED, 0);
    o = fence((uint32_t)gpr[A6], gpr[A0], gpr[A1], gpr + A0 + 2, &error);
    (void)returns(gpr, error, 0);
    return o;
}

static struct outcome ipi_call(uint64_t *gpr)
{
    struct outcome o;
    if (gpr[A6] != 0)
        return returns(gpr, NOT_SUPPORTED, 0);
    o = send_ipi(gpr[A0], gpr[A1]);
    (void)returns(gpr, hart_set(gpr[A0], gpr[A1]) < 0 ? INVALID_PARAM : 0, 0);
    return o;
}

static struct outcome model(uint32_t n, uint64_t *gpr)
{
    struct outcome o = {AXVCPU_EXIT_HYPERCALL, false, {gpr[A6] << 32 | (uint32_t)gpr[A7]}};
    memcpy(o.fields + 1, gpr + A0, 6 * 8);
    cpus[n].pc += 4; // an ecall, which trapped before it was done
    if (gpr[A7] >= 0x08000000 && gpr[A7] < 0x0b000000) // sbi 13 to 15
        return o;
    if (gpr[A7] <= 8)
        return legacy(n, gpr);
    switch (gpr[A7]) {
    case BASE: return base_call(gpr);
    case IPI: return ipi_call(gpr);
    case RFENCE: return rfence_call(gpr);
    case HSM: return hsm_call(n, gpr);
    case SRST: return reset_call(gpr);
    case DBCN: return console_call(gpr);
    case TIME:
        if (gpr[A6] == 0)
            wanted_deadline = gpr[A0];
        return returns(gpr, gpr[A6] == 0 ? 0 : NOT_SUPPORTED, 0);
    default: return returns(gpr, NOT_SUPPORTED, 0);
    }
}

static void check_fields(const struct axvcpu_exit *x, const uint64_t *f)
{
    switch (x->kind) {
    case AXVCPU_EXIT_HYPERCALL: must(x->hypercall.nr == f[0] && memcmp(x->hypercall.args, f + 1, 6 * 8) == 0); break;
    case AXVCPU_EXIT_CPU_UP: must(x->cpu_up.target == f[0] && x->cpu_up.entry == f[1] && x->cpu_up.arg == f[2]); break;
    case AXVCPU_EXIT_SYSTEM_DOWN: must(x->system.reason == f[0]); break;
    case AXVCPU_EXIT_SEND_IPI:
        must(x->ipi.target == f[0] && x->ipi.aux == f[1] && x->ipi.to_all == (f[2] != 0));
        must(x->ipi.vector == 1 && !x->ipi.to_self);
        break;
    case AXVCPU_EXIT_REMOTE_FENCE:
        must(x->fence.op == f[0] && x->fence.mask == f[1] && x->fence.base == f[2]);
        must(x->fence.start == f[3] && x->fence.size == f[4] && x->fence.asid == f[5]);
        break;
    default: break;
    }
}

#endif
