// SPDX-License-Identifier: Apache-2.0
//
// What the RISC-V guests must do. guests.S has the programs, accesses.h the loads and stores, conformance.h
// the words.
#include "conformance.h"
#include "accesses.h"

#define PROGRAMS(X)                                                                                        \
    X(first) X(firmware) X(load_all) X(store_all) X(registers) X(zero) X(load) X(undecoded) X(straddle) X(fetch) X(walk) X(paging) X(csr)   \
    X(virtual) X(user) X(user_wfi) X(sbi) X(hart) X(order) X(timer) X(line) X(spin) X(float) X(same) \
    X(ipi) X(masked) X(vectored) X(store) X(rights) X(no_exec) X(unmaps) X(remote)
#define POINTS(X)                                                                                          \
    X(load_insn) X(load_end) X(undecoded_amo) X(undecoded_lr) X(undecoded_float) X(undecoded_c_float)      \
    X(straddle_insn) X(store_insn) X(store_end)
#define PROGRAM(name) extern const uint8_t guest_##name[], guest_##name##_end[];
#define POINT(name) extern const uint8_t name[];
PROGRAMS(PROGRAM)
POINTS(POINT)

#define RESULT(...) MMIO_W(REPORT, 8, __VA_ARGS__)
#define NONCE MMIO_R(DEV, 8, N(0))
#define GIVES(...) MMIO_R(DEV, 8, __VA_ARGS__)
#define IRQ(n) K(AXVCPU_RISCV_CAUSE_IRQ | (n))
#define TAKES(n) RESULT(IRQ(n))
#define GPR(n) AXVCPU_REG_GPR(n)

static const uint64_t first_args[] = {0xcafe0001, 0xcafe0002};
static const struct row rows_first[] = {
    HYPERCALL(first_args, K(AXVCPU_RISCV_SBI_NR(OWN, 7))), RETURN(N(0)),
    RESULT(N(0x5a5a5a5a)),
    MMIO_R(DEV, 4, N(0x77)),
    RESULT(SX(4, 8, 0x77)),
    MMIO_W(DEV, 8, N(~0ull)),
    LOOP(1000), KICK, CANCELED, RESULT(N_DOWN(1000)), AGAIN,
    HALT, INJECT(AXVCPU_RISCV_IRQ_SOFT), TAKES(1), RESULT(N(1)),
    HALT, INJECT(AXVCPU_RISCV_IRQ_EXT), TAKES(9), RESULT(N(2)),
    HALT,
};

static const struct row rows_firmware[] = {
    HYPERCALL(first_args, K(AXVCPU_RISCV_SBI_NR(FIRMWARE, 7))), RETURN(N(0)), SETTLE, REG_IS(GPR(10), N(0)),
    REG_IS(GPR(11), K(0xcafe0002)), RESULT(N(0)), HALT,
};

// ---- MMIO

#define LOAD_ROWS(insn, reg, at, same, width, value) MMIO_R(DEV, width, N(0)), RESULT(value),
static const struct row rows_load_all[] = {LOADS(LOAD_ROWS) HALT};
#define STORE_ROWS(insn, reg, at, same, width, value) NONCE, MMIO_W(DEV, width, value),
static const struct row rows_store_all[] = {STORES(STORE_ROWS) MMIO_W(DEV, 4, K(0)), HALT};
#define REG(n) RESULT(N_PLUS(n))
static const struct row rows_registers[] = {
    NONCE, MMIO_R(DEV, 8, N(1)),
    REG(1), REG(2), REG(3), REG(4), REG(5), REG(6), REG(7), REG(8), REG(9), REG(10), REG(11), REG(12), REG(13), REG(14),
    REG(15), REG(16), REG(17), REG(18), REG(19), REG(20), REG(21), REG(22), REG(23), REG(24), REG(25), REG(26), REG(27),
    REG(28), REG(29), REG(1), REG(30), REG(31), HALT,
};
static const struct row rows_zero[] = {NONCE, MMIO_W(DEV, 4, K(0)), RESULT(K(0)), HALT};

static const struct row rows_pending[] = {
    MMIO_R_UNANSWERED(DEV, 8), RUN_FAILS(EPENDING), SETTLE_FAILS(EPENDING), REBIND, RUN_FAILS(EPENDING), MOVE,
    COMPLETE(N(0)), COMPLETE_FAILS(EBADSTATE), SETTLE, REG_IS(GPR(9), N(0)), PC_IS(load_end), RESULT(N(0)), HALT,
};
static const struct row rows_retry[] = {
    MMIO_R_UNANSWERED(DEV, 8), RETRY, PC_IS(load_insn), MMIO_R_UNANSWERED(DEV, 8), RETRY, RETRY_FAILS(EBADSTATE),
    NONCE, RESULT(N(0)), HALT,
};
static const struct row rows_retry_mapped[] = {
    MMIO_R_UNANSWERED(DEV, 8), RETRY, RAM_AT(MMIO), HALT,
};
static const struct row rows_refuse[] = {
    MMIO_R_UNANSWERED(DEV, 8), REFUSE, RESULT(K(5)), RESULT(K(DEV)), RESULT(K(0)), HALT,
};
static const struct row rows_set_pc[] = {
    MMIO_R_UNANSWERED(DEV, 8), RETRY, SET_REG(GPR(9), N(5)), GO_TO(load_end), RESULT(N(5)), HALT,
};

static const struct row rows_refuse_store[] = {
    NONCE, MMIO_W(DEV, 8, N(0)), REFUSE, RESULT(K(7)), RESULT(K(DEV)), RESULT(K(0)), HALT,
};
static const struct row rows_retry_store[] = {
    NONCE, MMIO_W(DEV, 8, N(0)), RETRY, PC_IS(store_insn), MMIO_W(DEV, 8, N(0)), PC_IS(store_end), RESULT(N(0)), HALT,
};

static const struct row rows_undecoded[] = {
    UNDECODED(DEV, undecoded_amo), GO_TO(undecoded_lr),
    UNDECODED(DEV, undecoded_lr), GO_TO(undecoded_float),
    UNDECODED(DEV, undecoded_float), GO_TO(undecoded_c_float),
    UNDECODED(DEV, undecoded_c_float),
};
static const struct row rows_straddle[] = {UNDECODED(RAM_END, straddle_insn)};

// ---- page faults

static const struct row rows_fetch[] = {PAGE_FAULT(MMIO, AXVCPU_ACCESS_EXEC)};
static const struct row rows_walk[] = {PAGE_FAULT(MMIO + 0x10, AXVCPU_ACCESS_READ | AXVCPU_ACCESS_WALK)};
static const struct row rows_paging[] = {
    NONCE, RESULT(N(0)), RESULT(K(13)), RESULT(K(0x40000000)), NONCE, RESULT(N(0)), HALT,
};

// A store to what may only be read is MMIO, as it is where nothing is; a fetch is neither.
static void play_readable(struct play *p)
{
    uint8_t *ptr;
    axvcpu_backing_t backing = port_memory(AXVM_LEAF_PAGE, &ptr);
    AXVCPU_MEMCPY(ptr, &p->nonce, sizeof p->nonce);
    int err = axvm_map(&p->vm, axvcpu_gpa(SPARE), backing, AXVM_LEAF_PAGE, AXVM_MAP_READ);
    if (err != AXVCPU_OK)
        play_wrong(p, "axvm_map", (uint64_t)err, 0);
}
static const struct row rows_rights[] = {
    PLAY(play_readable), NONCE, RESULT(N(0)), MMIO_W(SPARE, 8, N(0)), MMIO_W(SPARE + 4, 4, ZX(4, 0)), MEM_IS(SPARE, 8, N(0)),
    HALT,
};
static const struct row rows_no_exec[] = {PLAY(play_readable), NONCE, PAGE_FAULT(SPARE, AXVCPU_ACCESS_EXEC)};
// The store of the PTE is done; what comes behind it is what cannot be fetched.
static const struct row rows_trap_31_unmaps[] = {
    NONCE, RESULT(K(12)), RESULT(K(4)), NONCE, RESULT(N(0)), HALT,
};

// ---- CSRs and instructions

static const struct row rows_csr[] = {
    SYSREG_R(0x600, N(0)), RESULT(N(0)),
    SYSREG_W(0x645, N(~0ull)),
    SYSREG_R(0x605, N(0)), SYSREG_W(0x605, N(~0ull)), RESULT(N(0)),
    SYSREG_R(0x602, K(4)), SYSREG_W(0x602, N_OR(4)), RESULT(K(4)),
    SYSREG_R(0x603, N(0)), EXIT_(SYSREG_WRITE, 0x603, 8, {~3ull, VALUE_AND, 8, 0}), RESULT(N(0)),
    SYSREG_R_UNANSWERED(0x600), REFUSE, RESULT(K(2)), RESULT(K(0x60002973)),
    SYSREG_W(0x600, N(0)), REFUSE, RESULT(K(2)), RESULT(K(0x60091073)),
    SYSREG_R(0x600, K(1)), SYSREG_W(0x600, N(0)), REFUSE, RESULT(K(2)), RESULT(K(0x60091973)), RESULT(N(0)),
    HALT,
};

#define ILLEGAL(insn) RESULT(K(2)), RESULT(K(insn))
static const struct row rows_virtual[] = {
    NONCE, ILLEGAL(0x62000073), ILLEGAL(0x6c0442f3), ILLEGAL(0x6e544073), ILLEGAL(0x22000073), ILLEGAL(0),
    ILLEGAL(0x300022f3), RESULT(N(0)), HALT,
};
static const struct row rows_user_wfi[] = {ILLEGAL(0x10500073), KICK, CANCELED};
static const struct row rows_user[] = {
    ILLEGAL(0x100022f3), ILLEGAL(0x600022f3), NONCE, RESULT(K(8)), RESULT(K(0)), RESULT(N(0)),
    KICK, CANCELED,
};

// ---- SBI

#define BASE 0x10
#define TIME 0x54494d45
#define SBI_IPI 0x735049
#define RFENCE 0x52464e43
#define HSM 0x48534d
#define SRST 0x53525354
#define DBCN 0x4442434e
#define NOT_SUPPORTED ((uint64_t)-2)
#define INVALID_PARAM ((uint64_t)-3)
#define INVALID_ADDRESS ((uint64_t)-5)
#define ALREADY ((uint64_t)-6)
#define ALL (~0ull)
#define VERSION (AXVCPU_VERSION_MAJOR << 16 | AXVCPU_VERSION_MINOR << 8 | AXVCPU_VERSION_PATCH)
#define CALL(ext, function, a, b, c, d, e) \
    GIVES(K(ext)), GIVES(K(function)), GIVES(K(a)), GIVES(K(b)), GIVES(K(c)), GIVES(K(d)), GIVES(K(e))
#define ANSWER(error, value) RESULT(N(error)), RESULT(N(value))
#define SBI(ext, function, a, b, c, d, e, error, value) CALL(ext, function, a, b, c, d, e), ANSWER(error, value)
#define SERVED PLAY(play_served)

// An exit that the VM answers.
static void play_served(struct play *p)
{
    struct axvcpu_exit *x = &p->exit[axvcpu_id(p->v)];
    int err = axvm_step(&p->vm, axvcpu_id(p->v), x);
    if (err != AXVCPU_OK || (x->flags & AXVCPU_EXIT_HANDLED) == 0)
        play_wrong(p, "an exit for the VM: error, kind", (uint64_t)err << 32 | x->kind, AXVCPU_EXIT_HANDLED);
}

// ... one that needs a little help: the VM starts the hart and tells the guest.
static void play_cpu_up(struct play *p)
{
    struct axvcpu_exit *x = &p->exit[axvcpu_id(p->v)];
    if (axvm_step(&p->vm, axvcpu_id(p->v), x) == AXVCPU_OK && x->kind == AXVCPU_EXIT_CPU_UP)
        (void)axvm_cpu_up(&p->vm, x);
    else
        play_wrong(p, "exit", x->kind, AXVCPU_EXIT_CPU_UP);
}

static void play_stop(struct play *p)
{
    struct axvcpu_exit *x = &p->exit[axvcpu_id(p->v)];
    if (axvm_step(&p->vm, axvcpu_id(p->v), x) != AXVCPU_OK || x->kind != AXVCPU_EXIT_CPU_DOWN)
        play_wrong(p, "exit", x->kind, AXVCPU_EXIT_CPU_DOWN);
}

static const struct row rows_sbi[] = {
    NONCE,
    SBI(BASE, 0, 0, 0, 0, 0, 0, 0, 0x02000000), SBI(BASE, 1, 0, 0, 0, 0, 0, 0, AXVCPU_RISCV_SBI_IMPL_ID),
    SBI(BASE, 3, TIME, 0, 0, 0, 0, 0, 1), SBI(BASE, 3, DBCN, 0, 0, 0, 0, 0, 1), SBI(BASE, 3, 0x504d55, 0, 0, 0, 0, 0, 0),
    SBI(BASE, 4, 0, 0, 0, 0, 0, 0, 0x111), SBI(BASE, 5, 0, 0, 0, 0, 0, 0, 0x222), SBI(BASE, 6, 0, 0, 0, 0, 0, 0, 0x333),
    SBI(BASE, 7, 0, 0, 0, 0, 0, NOT_SUPPORTED, 0),
    SBI(TIME, 0, ALL, 5, 0, 0, 0, 0, 0), SBI(TIME, 1, 0, 5, 0, 0, 0, NOT_SUPPORTED, 0),
    CALL(SBI_IPI, 0, 1, 0, 0, 0, 0), SERVED, ANSWER(0, 0),
    CALL(SBI_IPI, 0, 0, ALL, 0, 0, 0), SERVED, ANSWER(0, 0),
    CALL(SBI_IPI, 0, 4, 0, 0, 0, 0), SERVED, ANSWER(INVALID_PARAM, 0),
    CALL(SBI_IPI, 0, 1, 64, 0, 0, 0), SERVED, ANSWER(INVALID_PARAM, 0),
    CALL(SBI_IPI, 0, 3, 63, 0, 0, 0), SERVED, ANSWER(INVALID_PARAM, 0),
    CALL(RFENCE, 0, 1, 0, 0, 0, 0), SERVED, ANSWER(0, 0),
    CALL(RFENCE, 1, 1, 0, 0x1000, 0x2000, 0), SERVED, ANSWER(0, 0),
    CALL(RFENCE, 2, 0, ALL, 0, ALL, 3), SERVED, ANSWER(0, 0),
    CALL(RFENCE, 1, 2, 0, 0x1000, 0x2000, 0), SERVED, ANSWER(INVALID_PARAM, 0),
    SBI(RFENCE, 1, 1, 0, 0x2000, ALL - 1, 0, INVALID_ADDRESS, 0), SBI(RFENCE, 3, 1, 0, 0, 0, 0, NOT_SUPPORTED, 0),
    CALL(HSM, 0, 0, LOAD, 0, 0, 0), PLAY(play_cpu_up), ANSWER(ALREADY, 0),
    CALL(HSM, 0, 1, LOAD, 0, 0, 0), PLAY(play_cpu_up), ANSWER(INVALID_PARAM, 0),
    SBI(HSM, 0, 1, LOAD + 1, 0, 0, 0, INVALID_ADDRESS, 0),
    CALL(HSM, 2, 0, 0, 0, 0, 0), SERVED, ANSWER(0, 0),
    CALL(HSM, 2, 1, 0, 0, 0, 0), SERVED, ANSWER(INVALID_PARAM, 0),
    CALL(HSM, 3, 0, 0, 0, 0, 0), HALT, ANSWER(0, 0),
    SBI(HSM, 3, 1, 0, 0, 0, 0, INVALID_PARAM, 0), SBI(HSM, 4, 0, 0, 0, 0, 0, NOT_SUPPORTED, 0),
    SBI(SRST, 0, 3, 0, 0, 0, 0, INVALID_PARAM, 0), SBI(SRST, 0, 0, 2, 0, 0, 0, INVALID_PARAM, 0),
    CALL(SRST, 0, 1, 0, 0, 0, 0), EXIT_(SYSTEM_DOWN, 0, 0, K(0)), ANSWER(0, 0),
    CALL(DBCN, 0, 5, DATA, 0, 0, 0), SERVED, ANSWER(NOT_SUPPORTED, 0),
    SBI(DBCN, 0, 5, DATA, 1, 0, 0, INVALID_PARAM, 0), SBI(DBCN, 3, 0, 0, 0, 0, 0, NOT_SUPPORTED, 0),
    SBI(0, 0, ALL, 9, 0, 0, 0, 0, 9), CALL(1, 0, 'x', 9, 0, 0, 0), SERVED, ANSWER(NOT_SUPPORTED, 9),
    CALL(2, 0, 0, 9, 0, 0, 0), SERVED, ANSWER(ALL, 9),
    SBI(3, 0, 0, 9, 0, 0, 0, 1, 9), SBI(3, 0, 0, 9, 0, 0, 0, 0, 9), // the IPIs of above are there, once
    POKE(DATA, 8, K(1)),
    CALL(4, 0, DATA, 9, 0, 0, 0), SERVED, ANSWER(0, 9), CALL(5, 0, DATA, 9, 0, 0, 0), SERVED, ANSWER(0, 9),
    CALL(6, 0, DATA, 0x1000, 9, 0, 0), SERVED, ANSWER(0, 0x1000), CALL(7, 0, 0, 0x1000, 9, 1, 0), SERVED, ANSWER(0, 0x1000),
    CALL(4, 0, MMIO, 9, 0, 0, 0), RESULT(K(5)), RESULT(K(MMIO)), // a mask where no memory is
    CALL(8, 0, 0, 9, 0, 0, 0), EXIT_(SYSTEM_DOWN, 0, 0, K(0)), ANSWER(0, 9),
    SBI(9, 0, 0, 9, 0, 0, 0, NOT_SUPPORTED, 0), SBI(0x504d55, 0, 0, 9, 0, 0, 0, NOT_SUPPORTED, 0),
    SBI(ALL, ALL, 0, 9, 0, 0, 0, NOT_SUPPORTED, 0),
    CALL(HSM, 3, 0x80000000, LOAD, 0xabc, 0, 0), HALT, // goes on as a hart that starts
    REG_IS(GPR(10), K(0)), REG_IS(GPR(11), K(0xabc)), NONCE, GIVES(K(BASE)),
};

// A console call never names more bytes than we look at, whatever the guest asks for.
static const uint64_t dbcn_args[] = {AXVCPU_RISCV_DBCN_MAX, DATA, 0};
static const uint64_t dbcn_byte[] = {'x'};
static const struct row rows_trap_31_console[] = {
    NONCE,
    CALL(DBCN, 0, UINT64_C(1) << 40, DATA, 0, 0, 0), HYPERCALL(dbcn_args, K(AXVCPU_RISCV_SBI_NR(DBCN, 0))), RETURN(K(0)),
    SET_REG(GPR(11), K(256)), ANSWER(0, 256),
    CALL(DBCN, 1, UINT64_C(1) << 40, DATA, 0, 0, 0), HYPERCALL(dbcn_args, K(AXVCPU_RISCV_SBI_NR(DBCN, 1))), ANSWER(NOT_SUPPORTED, 0),
    CALL(DBCN, 2, 0x1200 | 'x', 0, 0, 0, 0), HYPERCALL(dbcn_byte, K(AXVCPU_RISCV_SBI_NR(DBCN, 2))), RETURN(K(0)), ANSWER(0, 0),
    SBI(DBCN, 0, ALL, DATA, 0, 0, 0, INVALID_PARAM, 0), SBI(DBCN, 1, 2, ALL, 0, 0, 0, INVALID_PARAM, 0),
};

// Stop, suspend and reset are over when they are answered: the guest goes on behind its call.
static void play_down(struct play *p, uint32_t reason)
{
    if (play_run(p) && (p->exit[0].kind != AXVCPU_EXIT_SYSTEM_DOWN || p->exit[0].system.reason != reason))
        play_wrong(p, "SYSTEM_DOWN", p->exit[0].kind << 8 | p->exit[0].system.reason, AXVCPU_EXIT_SYSTEM_DOWN << 8 | reason);
}
static void play_off(struct play *p)
{
    play_down(p, AXVCPU_SYSTEM_OFF);
}
static void play_reset(struct play *p)
{
    play_down(p, AXVCPU_SYSTEM_RESET);
}
static void play_crash(struct play *p)
{
    play_down(p, AXVCPU_SYSTEM_CRASH);
}
static const struct row rows_trap_30_down[] = {
    NONCE,
    CALL(SRST, 0, 0, 0, 0, 0, 0), PLAY(play_off), ANSWER(0, 0), CALL(SRST, 0, 0, 1, 0, 0, 0), PLAY(play_crash), ANSWER(0, 0),
    CALL(SRST, 0, 1, 0, 0, 0, 0), PLAY(play_reset), ANSWER(0, 0), CALL(SRST, 0, 2, 1, 0, 0, 0), PLAY(play_reset), ANSWER(0, 0),
    CALL(8, 0, 0, 9, 0, 0, 0), PLAY(play_off), ANSWER(0, 9),
    SBI(SRST, 1, 0, 0, 0, 0, 0, NOT_SUPPORTED, 0), SBI(SRST, 0, 0x80000000, 0, 0, 0, 0, INVALID_PARAM, 0),
};
static const struct row rows_trap_30_suspend[] = {
    NONCE, CALL(HSM, 3, 0, 0, 0, 0, 0), HALT, ANSWER(0, 0), CALL(HSM, 3, 0, 0, 0, 0, 0), HALT, ANSWER(0, 0),
    SBI(HSM, 3, 0x80000000, LOAD + 1, 0, 0, 0, INVALID_ADDRESS, 0), SBI(HSM, 3, 0x80000001, LOAD, 0, 0, 0, INVALID_PARAM, 0),
    SBI(HSM, 3, 0x10000000, LOAD, 0, 0, 0, INVALID_PARAM, 0),
    CALL(HSM, 3, 0x80000000, LOAD, 0xabc, 0, 0), HALT, REG_IS(GPR(10), K(0)), REG_IS(GPR(11), K(0xabc)), NONCE, GIVES(K(BASE)),
};
static const struct row rows_trap_30_legacy[] = {
    NONCE, POKE(DATA, 8, K(1)),
    CALL(4, 0, DATA, 9, 0, 0, 0), SERVED, ANSWER(0, 9), SBI(3, 0, 7, 9, 0, 0, 0, 1, 9), SBI(3, 0, 7, 9, 0, 0, 0, 0, 9),
    CALL(5, 0, DATA, 9, 0, 0, 0), SERVED, ANSWER(0, 9), CALL(6, 0, DATA, 9, 0x1000, 0, 0), SERVED, ANSWER(0, 9),
    CALL(7, 0, DATA, 9, 0x1000, 3, 0), SERVED, ANSWER(0, 9), SBI(6, 0, 0, 0x2000, ALL - 1, 0, 0, INVALID_ADDRESS, 0x2000),
    CALL(4, 0, MMIO, 9, 0, 0, 0), RESULT(K(5)), RESULT(K(MMIO)),
};

// Two harts, seen by the first one.
static const struct row rows_hart_status[] = {
    NONCE,
    CALL(HSM, 2, 0, 0, 0, 0, 0), SERVED, ANSWER(0, AXVCPU_RISCV_HART_STARTED),
    CALL(HSM, 2, 1, 0, 0, 0, 0), SERVED, ANSWER(0, AXVCPU_RISCV_HART_STOPPED),
    CALL(HSM, 2, 2, 0, 0, 0, 0), SERVED, ANSWER(INVALID_PARAM, 0),
    CALL(HSM, 0, 1, LOAD, 0xabc, 0, 0), PLAY(play_cpu_up), ANSWER(0, 0),
    CALL(HSM, 2, 1, 0, 0, 0, 0), SERVED, ANSWER(0, AXVCPU_RISCV_HART_STARTED),
    CALL(HSM, 0, 1, LOAD, 0, 0, 0), PLAY(play_cpu_up), ANSWER(ALREADY, 0),
    CALL(HSM, 0, 2, LOAD, 0, 0, 0), PLAY(play_cpu_up), ANSWER(INVALID_PARAM, 0),
    CALL(SBI_IPI, 0, 3, 0, 0, 0, 0), SERVED, ANSWER(0, 0), CALL(SBI_IPI, 0, 1, 1, 0, 0, 0), SERVED, ANSWER(0, 0),
    CALL(SBI_IPI, 0, 2, 1, 0, 0, 0), SERVED, ANSWER(INVALID_PARAM, 0), SBI(SBI_IPI, 1, 1, 0, 0, 0, 0, NOT_SUPPORTED, 0),
    CALL(RFENCE, 0, 3, 0, 0, 0, 0), SERVED, ANSWER(0, 0), CALL(RFENCE, 2, 1, 1, 0x1000, 0x1000, 5), SERVED, ANSWER(0, 0),
    CALL(RFENCE, 2, 4, 0, 0, ALL, 5), SERVED, ANSWER(INVALID_PARAM, 0),
    SBI(RFENCE, 6, 1, 0, 0, 0, 0, NOT_SUPPORTED, 0), SBI(BASE, 2, 0, 0, 0, 0, 0, 0, VERSION), SBI(TIME, 0, ALL, 0, 0, 0, 0, 0, 0),
};

// Two harts: one starts the other, twice, and sees it started.
#define START_1 PLAY(play_cpu_up), RESULT(K(0)), SERVED, RESULT(K(0)), HALT
#define RUN_1 RESULT(K(1)), RESULT(N(0)), PLAY(play_stop)
static const struct row rows_hart[] = {
    VCPU(0), NONCE, START_1, VCPU(1), RUN_1, VCPU(0), START_1, VCPU(1), RUN_1, VCPU(0), HALT,
};

// ---- interrupts

// The order is the hart's: QEMU 7.2 without AIA takes the lowest first, where the manual has 9, 1, 5.
static const struct row rows_order[] = {
    NONCE, INJECT(1), INJECT(5), INJECT(9), INJECT_FAILS(2, EINVAL), INJECT_FAILS(64, EINVAL),
    TAKES(1), TAKES(5), TAKES(9), RESULT(N(0)), HALT,
    BLOCK, STATE_IS(BLOCKED), INJECT(9), STATE_IS(READY), TAKES(9),
};
static const struct row rows_timer[] = {NONCE, TAKES(5), RESULT(N(0)), HALT};
static const struct row rows_line[] = {
    NONCE, RESULT(N(0)), LINE(9, 1), TAKES(9), TAKES(9), LINE(9, 0), HALT, LINE(1, 1), TAKES(1), TAKES(1),
};

// An IPI there and one back, twice. The VM answers, so for it the second hart has to be up.
static void play_up(struct play *p)
{
    struct axvcpu_exit x = {.kind = AXVCPU_EXIT_CPU_UP, .cpu_up = {.target = 1, .entry = LOAD}};
    if (axvm_cpu_up(&p->vm, &x) != AXVCPU_OK)
        play_wrong(p, "axvm_cpu_up", 0, 1);
}
#define THERE VCPU(0), SERVED, RESULT(K(0)), VCPU(1), TAKES(1), SERVED, RESULT(K(0))
static const struct row rows_ipi[] = {
    PLAY(play_up), VCPU(1), NONCE, HALT, VCPU(0), NONCE, THERE, VCPU(0), TAKES(1), HALT, RESULT(N(0)), VCPU(1), HALT,
    THERE, VCPU(0), TAKES(1), HALT, RESULT(N(0)),
};
static const struct row rows_masked[] = {
    NONCE, HALT, INJECT(1), BLOCK, STATE_IS(BLOCKED), INJECT(9), STATE_IS(READY), RESULT(K(0)), TAKES(9), RESULT(K(1)),
    HALT, INJECT(9), BLOCK_FAILS(EAGAIN), RESULT(K(0)), TAKES(9), RESULT(K(1)), HALT, BLOCK, UNBLOCK, RESULT(K(0)), RESULT(K(0)), HALT,
};
static const struct row rows_vectored[] = {
    NONCE, INJECT(1), INJECT(5), INJECT(9), RESULT(K(1)), RESULT(K(5)), RESULT(K(9)), RESULT(N(0)), RESULT(K(0)), RESULT(N(0)), HALT,
    INJECT(9), RESULT(K(9)),
};
static const struct row rows_remote_fence[] = {
    VCPU(0), NONCE, RESULT(N(0)), VCPU(1), NONCE, RESULT(N(0)), RESULT(N(0)), VCPU(0), SERVED, RESULT(K(0)), VCPU(1), RESULT(N(~0ull)),
};

// Another hart kicks, or injects, while the guest works. Each is waited for.
enum { DEEDS = 50 }; // each takes both CPUs, which on a busy machine take turns
static struct {
    struct axvcpu *v;
    uint32_t done, seen;
    bool kicks;
} other;

static void do_deeds(void *arg)
{
    (void)arg;
    for (uint32_t i = 1; i <= DEEDS; i++) {
        if (other.kicks)
            axvcpu_kick(other.v);
        else
            axvcpu_inject_interrupt(other.v, AXVCPU_RISCV_IRQ_SOFT);
        while (__atomic_load_n(&other.seen, __ATOMIC_SEQ_CST) != i && !__atomic_load_n(&other.done, __ATOMIC_SEQ_CST))
            port_pause(0);
    }
    __atomic_store_n(&other.done, 1, __ATOMIC_SEQ_CST);
}

static void play_deeds(struct play *p, bool kicks)
{
    struct axvcpu_exit *x = &p->exit[0];
    other.v = p->v;
    other.done = other.seen = 0;
    other.kicks = kicks;
    if (!port_start(do_deeds, NULL))
        play_wrong(p, "other CPUs", 0, 1);
    while (!p->wrong && other.seen < DEEDS) {
        if (axvcpu_run(p->v, x) != AXVCPU_OK)
            play_wrong(p, "run", 0, 1);
        else if (x->kind == (kicks ? AXVCPU_EXIT_CANCELED : AXVCPU_EXIT_MMIO_WRITE))
            __atomic_fetch_add(&other.seen, 1, __ATOMIC_SEQ_CST);
        else if (x->kind != AXVCPU_EXIT_EXTERNAL_INTERRUPT)
            play_wrong(p, "exit", x->kind, AXVCPU_EXIT_EXTERNAL_INTERRUPT);
        port_pause(0); // where the kick's own interrupt goes
    }
    __atomic_store_n(&other.done, 1, __ATOMIC_SEQ_CST);
    port_join();
    port_pause(0);
    *(volatile uint64_t *)(void *)(p->ram + (DATA - RAM_BASE)) = 1;
}

static void play_kicks(struct play *p)
{
    play_deeds(p, true);
}

static void play_injections(struct play *p)
{
    play_deeds(p, false);
}

static const struct row rows_kicks[] = {NONCE, PLAY(play_kicks), RESULT(N(0)), HALT};
static const struct row rows_injections[] = {NONCE, PLAY(play_injections), RESULT(N(0)), HALT};

// ---- floating point

#define FLOAT(n, was) VCPU(n), GIVES(K(0)), RESULT(N(was)), RESULT(N(was))
static const struct row rows_float[] = {
    VCPU(0), GIVES(N(1)), FLOAT(0, 1), VCPU(1), GIVES(N(2)), FLOAT(1, 2), FLOAT(0, 1), FLOAT(0, 1), FLOAT(1, 2), FLOAT(0, 1),
};

// ---- a second VM, with the same addresses

static struct axvm second;
static struct axvcpu second_vcpu;

static uint64_t run_second(struct play *p, uint64_t answer)
{
    struct axvcpu_exit x;
    int err;
    while ((err = axvcpu_run(&second_vcpu, &x)) == AXVCPU_OK && x.kind == AXVCPU_EXIT_MMIO_READ)
        (void)axvcpu_complete(&second_vcpu, answer);
    if (err != AXVCPU_OK || x.kind != AXVCPU_EXIT_MMIO_WRITE)
        play_wrong(p, "the second VM's exit", x.kind, AXVCPU_EXIT_MMIO_WRITE);
    return x.mmio.data;
}

static void play_second(struct play *p)
{
    struct axvm_desc desc = {.id = 1, .vcpus = &second_vcpu, .vcpu_count = 1, .bsp_entry = axvcpu_gpa(LOAD)};
    uint8_t *ram;
    uint64_t got;
    axvcpu_backing_t backing = port_memory(RAM_SIZE, &ram);
    AXVCPU_MEMCPY(ram + (LOAD - RAM_BASE), p->test->program, (size_t)(p->test->end - p->test->program));
    if (axvm_init(&second, &desc) != AXVCPU_OK ||
        axvm_map(&second, axvcpu_gpa(RAM_BASE), backing, RAM_SIZE, AXVM_MAP_RWX) != AXVCPU_OK ||
        axvm_boot(&second) != AXVCPU_OK || axvcpu_bind(&second_vcpu) != AXVCPU_OK) {
        play_wrong(p, "a second VM", 0, 1);
        return;
    }
    if (axvm_vmid(&second) != 0 && axvm_vmid(&second) == axvm_vmid(&p->vm)) // 0: somebody else's to know
        play_wrong(p, "its VMID", axvm_vmid(&second), axvm_vmid(&p->vm) + 1);
    for (uint32_t i = 0; i < 4 && !p->wrong; i++) {
        got = run_second(p, ~p->nonce);
        if (got != ~p->nonce)
            play_wrong(p, "the second VM's memory", got, ~p->nonce);
        if (axvcpu_run(p->v, &p->exit[0]) != AXVCPU_OK || p->exit[0].kind != AXVCPU_EXIT_MMIO_WRITE ||
            p->exit[0].mmio.data != p->nonce)
            play_wrong(p, "the first VM's memory", p->exit[0].mmio.data, p->nonce);
    }
    (void)axvcpu_unbind(&second_vcpu);
    if (axvm_deinit(&second) != AXVCPU_OK)
        play_wrong(p, "axvm_deinit", 1, 0);
}
static const struct row rows_vmid[] = {NONCE, RESULT(N(0)), PLAY(play_second), RESULT(N(0))};

// ... and one vCPU that goes to another CPU and comes back.
static void run_elsewhere(void *arg)
{
    struct play *p = arg;
    struct axvcpu_exit *x = &p->exit[0];
    if (axvcpu_bind(p->v) != AXVCPU_OK || axvcpu_run(p->v, x) != AXVCPU_OK || axvcpu_unbind(p->v) != AXVCPU_OK)
        play_wrong(p, "elsewhere", 0, 1);
    else if (x->kind != AXVCPU_EXIT_MMIO_WRITE || x->mmio.data != p->nonce)
        play_wrong(p, "what it has elsewhere", x->mmio.data, p->nonce);
}
static void play_elsewhere(struct play *p)
{
    if (axvcpu_unbind(p->v) != AXVCPU_OK || !port_start(run_elsewhere, p)) {
        play_wrong(p, "another CPU", 0, 1);
        return;
    }
    port_join();
    if (axvcpu_bind(p->v) != AXVCPU_OK)
        play_wrong(p, "bind", 0, 1);
}
static const struct row rows_elsewhere[] = {
    NONCE, RESULT(N(0)), PLAY(play_elsewhere), RESULT(N(0)), PLAY(play_elsewhere), PLAY(play_elsewhere), RESULT(N(0)),
};

void conformance_prepare(const struct test_case *test, struct axvm_arch_desc *vm, struct axvcpu_arch_setup *setup)
{
    vm->mode = test->mode & 0xff; // hgatp's
    setup->sbi.mvendorid = 0x111;
    setup->sbi.marchid = 0x222;
    setup->sbi.mimpid = 0x333;
}

#define rows_sv48x4 rows_paging
const char conformance_arch[] = "riscv";
const struct test_case conformance_cases[] = {
    CASE(first, first, 0),
    CASE(firmware, firmware, 0),
    CASE(load_all, load_all, 0),
    CASE(store_all, store_all, 0),
    CASE(registers, registers, 0),
    CASE(zero, zero, 0),
    CASE_ONCE(pending, load, 0),
    CASE(retry, load, 0),
    CASE(retry_mapped, load, 0),
    CASE(refuse, load, 0),
    CASE(set_pc, load, 0),
    CASE(undecoded, undecoded, 0),
    CASE(straddle, straddle, 0),
    CASE(fetch, fetch, 0),
    CASE(walk, walk, 0),
    CASE(paging, paging, 0),
    CASE(csr, csr, 0),
    CASE(virtual, virtual, 0),
    CASE(user, user, 0),
    CASE(user_wfi, user_wfi, 0),
    CASE(sbi, sbi, 0),
    CASE_ONCE(hart, hart, VCPUS(2)),
    CASE(order, order, 0),
    CASE(timer, timer, 0),
    CASE(line, line, 0),
    CASE_ONCE(kicks, spin, 0),
    CASE_ONCE(injections, spin, 0),
    CASE(float, float, VCPUS(2)),
    CASE_ONCE(vmid, same, 0),
    CASE(sv48x4, paging, AXVCPU_RISCV_HGATP_SV48X4),
    CASE(refuse_store, store, 0),
    CASE(retry_store, store, 0),
    CASE(rights, rights, 0),
    CASE(no_exec, no_exec, 0),
    CASE(trap_30_down, sbi, 0),
    CASE(trap_30_suspend, sbi, 0),
    CASE(trap_30_legacy, sbi, 0),
    CASE(trap_31_console, sbi, 0),
    CASE(trap_31_unmaps, unmaps, 0),
    CASE_ONCE(hart_status, sbi, VCPUS(2)),
    CASE_ONCE(ipi, ipi, VCPUS(2)),
    CASE(masked, masked, 0),
    CASE(vectored, vectored, 0),
    CASE_ONCE(remote_fence, remote, VCPUS(2)),
    CASE_ONCE(elsewhere, same, 0),
};
const uint32_t conformance_case_count = sizeof conformance_cases / sizeof conformance_cases[0];
