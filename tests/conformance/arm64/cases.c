// SPDX-License-Identifier: Apache-2.0
//
// What the arm64 guests must do. guests.S has the programs, conformance.h the words.
#include "conformance.h"
#include "accesses.h"

#define P ((uint64_t)PATTERN)
#define GPR(n) AXVCPU_REG_GPR(n)

#define PROGRAMS(X)                                                                                        \
    X(first) X(registers) X(loads) X(loads_signed) X(stores) X(undecoded) X(load) X(store) X(fetch) X(refuse) X(refuse_sysreg) X(user) X(sysreg) X(calls)  \
    X(calls_arch) \
    X(suspend) X(pair) X(order) X(line) X(spin) X(timer) X(timer_sleep) X(sgi) X(bad) X(far_away) X(serror) X(cpus) X(own) X(wfe)
#define POINTS(X)                                                                                          \
    X(load_insn) X(load_end) X(store_insn) X(store_end) X(undecoded_1) X(undecoded_2) X(undecoded_3)       \
    X(undecoded_4) X(undecoded_5) X(undecoded_6) X(undecoded_7) X(undecoded_8)
#define PROGRAM(name) extern const uint8_t guest_##name[], guest_##name##_end[];
#define POINT(name) extern const uint8_t name[];
PROGRAMS(PROGRAM)
POINTS(POINT)

#define RESULT(...) MMIO_W(REPORT, 8, __VA_ARGS__)
#define TAKES(vector) MMIO_W(TAKEN, 4, K(vector))
#define NONCE MMIO_R(DEV, 8, N(0))

static const uint64_t call_args[] = {0x11, 0x22, 0x33, 0x44, 0x55, 0x66};
static const struct row rows_first[] = {
    HYPERCALL(call_args, K(CALL)), RETURN(N(0)),
    RESULT(N(0x5a5a)),
    MMIO_R(DEV, 4, N(0x77)),
    RESULT(ZX(4, 0x77)),
    MMIO_W(DEV, 8, N(~0ull)),
    LOOP(1000), KICK, CANCELED, RESULT(N_DOWN(1000)), AGAIN,
    HALT, INJECT(0x40), TAKES(0x40),
    RESULT(N(1)),
    HALT,
};

#define REG(n) RESULT(N_PLUS(n))
static const struct row rows_registers[] = {
    NONCE, MMIO_R(DEV, 8, N(1)),
    REG(0), REG(1), REG(2), REG(3), REG(4), REG(5), REG(6), REG(7), REG(8), REG(9), REG(10), REG(11), REG(12), REG(13),
    REG(14), REG(15), REG(16), REG(17), REG(18), REG(22), REG(23), REG(24), REG(25), REG(26), REG(27), REG(28), REG(29),
    REG(30), RESULT(N(0)), REG(20), REG(21), HALT,
};

// ---- accesses

#define LOAD_ROWS(insn, reg, width, value) MMIO_R(DEV, width, N(0)), RESULT(value),
static const struct row rows_loads[] = {
    LOADS(LOAD_ROWS) MMIO_R(DEV, 8, N(0)), MMIO_R(DEV, 1, N(0)), RESULT(K(0)), HALT,
};
static const struct row rows_loads_signed[] = {
    SIGNED_LOADS(LOAD_ROWS) MMIO_R(DEV, 1, K(0x80)), RESULT(K(0xffffff80)), HALT, // whatever the nonce's signs are
};

#define STORE_ROWS(insn, reg, width, value) NONCE, MMIO_W(DEV, width, value),
static const struct row rows_stores[] = {
    STORES(STORE_ROWS) MMIO_W(DEV, 8, K(0)), MMIO_W(DEV, 1, K(0)), HALT,
};

// The bytes are not to be had; the syndrome is.
#define UNDECODED_ROWS(insn, n) EXIT_(UNDECODED, DEV, 0, K(0)), GO_TO(undecoded_##n),
static const struct row rows_undecoded[] = {UNDECODEDS(UNDECODED_ROWS) RESULT(K(DEV)), HALT};

static const struct row rows_pending[] = {
    MMIO_R_UNANSWERED(DEV, 8), RUN_FAILS(EPENDING), SETTLE_FAILS(EPENDING), COMPLETE(N(3)), PC_IS(load_end),
    REG_IS(GPR(2), N(3)), RESULT(N(3)), HALT,
};
static const struct row rows_retry[] = {
    MMIO_R_UNANSWERED(DEV, 8), RETRY, PC_IS(load_insn), MMIO_R(DEV, 8, N(0)), RESULT(N(0)), HALT,
};
static const struct row rows_retry_store[] = {
    MMIO_W(DEV, 8, K(0x1234)), RETRY, PC_IS(store_insn), SET_REG(GPR(2), N(0)), MMIO_W(DEV, 8, N(0)), PC_IS(store_end),
    RESULT(N(0)), HALT,
};
static const struct row rows_retry_mapped[] = {
    MMIO_R_UNANSWERED(DEV, 8), RETRY, RAM_AT(MMIO), POKE(DEV, 8, N(7)), HALT, MEM_IS(REPORT, 8, N(7)),
};

// A page that may be read: loads go to it, stores come here, as if there were nothing.
static void map_read_only(struct play *p)
{
    uint8_t *ptr;
    axvcpu_backing_t page = port_memory(AXVM_LEAF_PAGE, &ptr);
    if (axvm_map(&p->vm, axvcpu_gpa(MMIO), page, AXVM_LEAF_PAGE, AXVM_MAP_READ) != 0)
        play_wrong(p, "axvm_map", 1, 0);
    AXVCPU_MEMCPY(ptr + (DEV - MMIO), &p->nonce, 8);
}
static void unmap_again(struct play *p)
{
    if (axvm_unmap(&p->vm, axvcpu_gpa(MMIO), AXVM_LEAF_PAGE) != 0)
        play_wrong(p, "axvm_unmap", 1, 0);
}
static const struct row rows_read_only[] = {
    PLAY(map_read_only), MMIO_W(REPORT, 8, N(0)), HALT, PLAY(unmap_again),
    GO_TO(load_insn), MMIO_R(DEV, 8, N(9)), RESULT(N(9)), HALT,
};

#define CODE (MMIO + 0x10000)
static const struct row rows_fetch[] = {
    PAGE_FAULT(CODE, AXVCPU_ACCESS_EXEC), PAGE_FAULT(CODE, AXVCPU_ACCESS_EXEC), RAM_AT(CODE),
    POKE(CODE, 4, K(0xd65f03c0)), RESULT(K(CODE)), HALT, // ret
};

// ---- exceptions: ESR and FAR of an external abort, of an undefined instruction; from EL1 and from EL0

static const struct row rows_refuse[] = {
    MMIO_R_UNANSWERED(DEV, 8), REFUSE, RESULT(K(0x96000010)), RESULT(K(DEV)),
    RESULT(K(PATTERN)),
    MMIO_W(DEV, 8, K(PATTERN)), REFUSE, RESULT(K(0x96000050)), RESULT(K(DEV)),
    RESULT(K(0x02000000)), RESULT(K(DEV)), // FAR stays
    RESULT(K(PATTERN)), HALT,
};
static const struct row rows_refuse_sysreg[] = {
    SYSREG_R_UNANSWERED(AXVCPU_ARM64_SYSREG(3, 3, 14, 2, 1)), REFUSE, RESULT(K(0x02000000)), RESULT(K(0)),
    RESULT(K(DEV)), HALT,
};
static const struct row rows_user[] = {
    MMIO_R(DEV, 4, N(0)), RESULT(ZX(4, 0)),
    MMIO_R_UNANSWERED(DEV, 4), REFUSE, RESULT(K(0x92000010)), RESULT(K(DEV)),
    RESULT(K(0x56000077)), RESULT(K(DEV)),
};

// ---- system registers and calls

#define CNTP_CTL AXVCPU_ARM64_SYSREG(3, 3, 14, 2, 1)
#define CNTP_CVAL AXVCPU_ARM64_SYSREG(3, 3, 14, 2, 2)
#define PMCR AXVCPU_ARM64_SYSREG(3, 3, 9, 12, 0)
#define ACTLR AXVCPU_ARM64_SYSREG(3, 0, 1, 0, 1)
#define DC_CISW AXVCPU_ARM64_SYSREG(1, 0, 7, 14, 2)
static const struct row rows_sysreg[] = {
    SYSREG_R(CNTP_CTL, N(0)), RESULT(N(0)), NONCE, SYSREG_W(CNTP_CVAL, N(0)), SYSREG_W(CNTP_CTL, K(0)),
    SYSREG_R(PMCR, N(1)), SYSREG_R(ACTLR, N(2)), RESULT(N(2)), SYSREG_W(DC_CISW, N(0)), HALT,
};

static const uint64_t vendor_args[] = {0x11, 0x22, 0x33};
static void check_cpu_up(struct play *p)
{
    const struct axvcpu_exit *x = &p->exit[0];
    if (x->cpu_up.target != 1 || x->cpu_up.entry != LOAD || x->cpu_up.arg != 0xfedcba9876543210)
        play_wrong(p, "CPU_UP", x->cpu_up.arg, 0xfedcba9876543210);
}
static const struct row rows_calls[] = {
    RESULT(K(0x10001)), RESULT(K(0x10001)), RESULT(K(0)), RESULT(K(-1ull)), RESULT(K(-1ull)),
    RESULT(K(2)), RESULT(K(-1ull)), RESULT(K(-1ull)), RESULT(K(-1ull)), RESULT(K(-2ull)), RESULT(K(-9ull)),
    EXIT_(SYSTEM_DOWN, 0, 0, K(0)), RESULT(K(-6ull)),
    EXIT_(CPU_UP, 0, 0, K(0)), PLAY(check_cpu_up), RETURN(K(-4ull)), RESULT(K(-4ull)),
    HYPERCALL(vendor_args, K(0xc2000001)), RESULT(K(-1ull)),
    EXIT_(CPU_DOWN, 0, 0, K(0)), RESULT(K(-3ull)),
    EXIT_(SYSTEM_DOWN, 0, 0, K(0)), RESULT(K(-6ull)), EXIT_(SYSTEM_DOWN, 0, 0, K(0)), RESULT(K(-6ull)),
    HALT, RESULT(K(0)),
    EXIT_(HYPERCALL, 0, 0, K(0)), HALT,
};
static const struct row rows_calls_arch[] = {RESULT(K(0x10001)), RESULT(K(-1ull)), HALT};
static const struct row rows_suspend[] = {HALT, RESULT(K(PATTERN)), HALT};

// ---- two vCPUs, in turns on one CPU

#define PAIR_ROWS(id)                                                                                      \
    RESULT(N_PLUS(id)), RESULT(N_PLUS(id)), RESULT(N_PLUS(id)), RESULT(N_PLUS(id)), RESULT(N_PLUS(id)), RESULT(K(0)), \
    RESULT(N_PLUS(id)), RESULT(K(3)), RESULT(K(0x80000000 | (id)))
#define GO(id) POKE(DATA + 8 * (id), 4, K(1))
static const struct row rows_pair[] = {
    VCPU(0), NONCE, MMIO_R_UNANSWERED(DEV, 8), VCPU(1), NONCE, MMIO_R_UNANSWERED(DEV, 8),
    COMPLETE(K(5)), PAIR_ROWS(1), HALT, VCPU(0), COMPLETE(K(5)), PAIR_ROWS(0), HALT,
    LOOP(3), VCPU(1), GO(1), PAIR_ROWS(1), HALT, VCPU(0), GO(0), PAIR_ROWS(0), HALT, AGAIN,
};

// The same vCPU, for a while on the other CPU.
static void run_there(void *arg)
{
    struct play *p = arg;
    if (axvcpu_bind(p->v) != 0 || axvcpu_run(p->v, &p->exit[0]) != 0 || axvcpu_unbind(p->v) != 0)
        play_wrong(p, "on the other CPU", 1, 0);
}
static void run_elsewhere(struct play *p)
{
    if (axvcpu_unbind(p->v) != 0 || !port_start(run_there, p))
        play_wrong(p, "no other CPU", 1, 0);
    port_join();
    if (axvcpu_bind(p->v) != 0)
        play_wrong(p, "bind after it", 1, 0);
    if (p->exit[0].kind != AXVCPU_EXIT_MMIO_WRITE || p->exit[0].mmio.data != p->nonce)
        play_wrong(p, "exit on the other CPU", p->exit[0].mmio.data, p->nonce);
}
#define ELSEWHERE PLAY(run_elsewhere)
static const struct row rows_travel[] = {
    NONCE, MMIO_R(DEV, 8, K(5)), ELSEWHERE, RESULT(N(0)), ELSEWHERE, RESULT(N(0)), RESULT(N(0)), RESULT(K(0)),
    RESULT(N(0)), RESULT(K(3)), RESULT(K(0x80000000)), HALT, GO(0), RESULT(N(0)), ELSEWHERE, ELSEWHERE, RESULT(N(0)),
};

// ---- interrupts

static const struct row rows_order[] = {
    HALT, INJECT(0x50), INJECT(0x40), INJECT(0x40), INJECT(0x3d0), INJECT_FAILS(1020, EINVAL), BLOCK_FAILS(EAGAIN),
    TAKES(0x40), TAKES(0x50), TAKES(0x3d0), RESULT(K(0)), HALT,
    BLOCK, STATE_IS(BLOCKED), INJECT(7), STATE_IS(READY), TAKES(7), // it is masked no more
};
static const struct row rows_last_vector[] = {HALT, INJECT(1019), TAKES(1019), RESULT(K(0)), HALT};
static const struct row rows_line[] = {
    HALT, LINE(0x33, 1), TAKES(0x33), TAKES(0x33), LINE(0x33, 0), RESULT(K(0)), HALT, BLOCK, LINE(0x33, 1),
    STATE_IS(READY), LINE(0x33, 0), LINE(0x33, 1), TAKES(0x33), TAKES(0x33), LINE(0x33, 0), HALT,
};

// A guest that never leaves by itself, kicked by the other CPU. It waits until the guest has gone in.
static void kick_from_there(void *arg)
{
    struct play *p = arg;
    for (int i = 0; i < 100; i++) {
        port_pause(10000);
        axvcpu_kick(p->v);
    }
}
static void kick_far(struct play *p)
{
    uint32_t canceled = 0;
    if (!port_start(kick_from_there, p)) {
        play_wrong(p, "no other CPU", 1, 0);
        return;
    }
    while (canceled == 0 || axvcpu_pending(p->v)) {
        if (axvcpu_run(p->v, &p->exit[0]) != 0 || p->exit[0].kind != AXVCPU_EXIT_CANCELED) {
            play_wrong(p, "instead of CANCELED", p->exit[0].kind, AXVCPU_EXIT_CANCELED);
            break;
        }
        canceled++;
    }
    port_join();
}
static const struct row rows_kicks[] = {PLAY(kick_far), LOOP(10), KICK, CANCELED, AGAIN};

// ---- the virtual timer

enum { TIMER = 27 };
#define TIMER_ROWS(n) TAKES(TIMER), RESULT(N(n))
static const struct row rows_timer[] = {NONCE, TIMER_ROWS(3), TIMER_ROWS(2), TIMER_ROWS(1), HALT};

// To the guest's WFI. On a busy machine its timer may be due before, and it goes round once more.
static void fall_asleep(struct play *p)
{
    const struct axvcpu_exit *x = &p->exit[0];
    bool asleep = false;
    for (uint32_t i = 0; i < 1000 && !asleep && play_run(p); i++)
        asleep = x->kind == AXVCPU_EXIT_HALT;
    if (!asleep)
        play_wrong(p, "never HALT, but", x->kind, AXVCPU_EXIT_HALT);
}
// Asleep here, and away from every CPU: it is awake when the timer is due.
static void sleep_bound(struct play *p)
{
    if (axvcpu_block(p->v) == 0)
        while (axvcpu_get_state(p->v) == AXVCPU_STATE_BLOCKED)
            port_pause(100000);
    if (!axvcpu_pending(p->v) || axvcpu_get_state(p->v) != AXVCPU_STATE_READY)
        play_wrong(p, "state", axvcpu_get_state(p->v), AXVCPU_STATE_READY);
}
static void sleep_unbound(struct play *p)
{
    if (axvcpu_unbind(p->v) != 0)
        play_wrong(p, "unbind of one that sleeps", 1, 0);
    while (!axvcpu_pending(p->v))
        port_pause(100000);
    if (axvcpu_bind(p->v) != 0)
        play_wrong(p, "bind", 1, 0);
}
static const struct row rows_timer_sleep[] = {
    NONCE, PLAY(fall_asleep), PLAY(sleep_bound), TIMER_ROWS(0), PLAY(fall_asleep), PLAY(sleep_unbound), TIMER_ROWS(0),
};

// ---- between CPUs

static void check_ipi(struct play *p, uint64_t target, uint64_t list, uint32_t vector, bool all)
{
    const struct axvcpu_exit *x = &p->exit[0];
    if (x->ipi.target != target || x->ipi.aux != list || x->ipi.vector != vector || x->ipi.to_all != all || x->ipi.to_self)
        play_wrong(p, "SEND_IPI to", x->ipi.target, target);
}
static void check_range(struct play *p)
{
    check_ipi(p, 0x500070230, 0x8001, 3, false);
}
static void check_all(struct play *p)
{
    check_ipi(p, 0, 0, 2, true);
}
static void check_list(struct play *p)
{
    check_ipi(p, 0, 0x8001, 15, false);
}

// The next exit that the VM does not serve by itself.
static bool step_to(struct play *p, uint32_t id, uint32_t kind)
{
    struct axvcpu_exit *x = &p->exit[id];
    int err;
    p->v = axvm_vcpu(&p->vm, id);
    do
        err = axvm_step(&p->vm, id, x);
    while (err == 0 && (x->flags & AXVCPU_EXIT_HANDLED) != 0);
    if (err != 0 || x->kind != kind)
        play_wrong(p, "step: exit", err != 0 ? (uint64_t)err << 32 : x->kind, kind);
    return err == 0 && x->kind == kind;
}
static void step_says(struct play *p, uint32_t id, uint64_t value)
{
    if (step_to(p, id, AXVCPU_EXIT_MMIO_WRITE) && (p->exit[id].mmio.addr != REPORT || p->exit[id].mmio.data != value))
        play_wrong(p, "reports", p->exit[id].mmio.data, value);
}
static void step_nonce(struct play *p)
{
    if (step_to(p, 0, AXVCPU_EXIT_MMIO_READ) && axvcpu_complete(p->v, p->nonce) != 0)
        play_wrong(p, "complete", 1, 0);
}
static const struct row rows_trap_29_sgi[] = {
    EXIT_(SEND_IPI, 0, 0, K(0)), PLAY(check_range), EXIT_(SEND_IPI, 0, 0, K(0)), PLAY(check_all),
    EXIT_(SEND_IPI, 0, 0, K(0)), PLAY(check_list), EXIT_(SEND_IPI, 0, 0, K(0)), PLAY(check_list),
    PLAY(step_nonce), VCPU(1), TAKES(4), VCPU(0), RESULT(N(0)), HALT,
};

static void step_up(struct play *p, uint64_t target, uint64_t arg, int wanted)
{
    const struct axvcpu_exit *x = &p->exit[0];
    if (!step_to(p, 0, AXVCPU_EXIT_CPU_UP))
        return;
    if (x->cpu_up.target != target || x->cpu_up.entry != LOAD || (arg != 0 && x->cpu_up.arg != arg))
        play_wrong(p, "CPU_UP with", x->cpu_up.arg, arg);
    int err = axvm_cpu_up(&p->vm, &p->exit[0]);
    if (err != wanted)
        play_wrong(p, "axvm_cpu_up", (uint64_t)err, (uint64_t)wanted);
}

// CPU_ON, told twice; off; on again. AFFINITY_INFO in between says what is true.
static void on_and_off(struct play *p)
{
    step_nonce(p);
    for (uint64_t turn = 2; turn > 0 && !p->wrong; turn--) {
        uint64_t arg = (p->nonce + turn) | 1;
        step_up(p, 1, arg, AXVCPU_OK);
        step_says(p, 0, (uint64_t)AXVCPU_ARM64_PSCI_SUCCESS);
        step_says(p, 0, 0); // on
        step_up(p, 1, 1, AXVCPU_EBUSY);
        step_says(p, 0, (uint64_t)AXVCPU_ARM64_PSCI_ALREADY_ON);
        step_says(p, 1, arg);
        step_says(p, 1, 1);
        step_to(p, 1, AXVCPU_EXIT_CPU_DOWN);
        step_nonce(p);
        step_says(p, 0, 1); // off
    }
    step_up(p, 0x100, 0, AXVCPU_EINVAL);
    step_says(p, 0, (uint64_t)AXVCPU_ARM64_PSCI_INVALID_PARAMETERS);
}
static const struct row rows_trap_27_cpus[] = {PLAY(on_and_off), HALT};

// Two VMs in turns on this CPU, each with its own memory at one address.
static void play_own(struct play *p, struct axvcpu *v, uint64_t value)
{
    struct axvcpu_exit *x = &p->exit[0];
    if (axvcpu_run(v, x) != 0 || x->kind != AXVCPU_EXIT_MMIO_WRITE || x->mmio.data != value)
        play_wrong(p, "a VM's own memory", x->mmio.data, value);
}
static void two_vms(struct play *p)
{
    static struct axvm other;
    static struct axvcpu v;
    struct axvm_desc d = {.vcpus = &v, .vcpu_count = 1, .bsp_entry = axvcpu_gpa(LOAD), .arch = {.gicc = axvcpu_gpa(GICC)}};
    uint64_t mine = p->nonce, its = ~p->nonce;
    uint8_t *ram;
    axvcpu_backing_t memory = port_memory(RAM_SIZE, &ram);
    AXVCPU_MEMCPY(ram + (LOAD - RAM_BASE), p->test->program, (size_t)(p->test->end - p->test->program));
    if (axvm_init(&other, &d) != 0 || axvm_map(&other, axvcpu_gpa(RAM_BASE), memory, RAM_SIZE, AXVM_MAP_RWX) != 0 ||
        axvm_boot(&other) != 0 || axvcpu_bind(&v) != 0 || axvm_write(&other, axvcpu_gpa(DATA), &its, 8) != 0 ||
        axvm_write(&p->vm, axvcpu_gpa(DATA), &mine, 8) != 0)
        play_wrong(p, "the other VM", 1, 0);
    for (uint32_t i = 0; i < 10 && !p->wrong; i++) {
        play_own(p, p->v, mine + i);
        play_own(p, &v, its + i);
    }
    if (axvcpu_unbind(&v) != 0 || axvm_deinit(&other) != 0)
        play_wrong(p, "the other VM's end", 1, 0);
}
static const struct row rows_trap_28_vmid[] = {PLAY(two_vms)};

// ---- what no guest should do: it is its own exception, or an exit, and everybody goes on

#define TELLS(esr, far) RESULT(K(esr)), RESULT(K(far))
static const struct row rows_trap_26_bad[] = {
    NONCE, TELLS(0x02000000, 0), TELLS(0x02000000, 0), TELLS(0xf2001234, 0), TELLS(0x56000005, 0), TELLS(0x02000000, 0),
    TELLS(0x96000021, DEV + 3), TELLS(0x96000061, DEV + 1), RESULT(N(0)), HALT,
};
static const struct row rows_far_away[] = {
    NONCE, MMIO_R(0xf000000008, 8, N(5)), MMIO_W(0xf000000ff8, 8, N(5)), RESULT(N(5)), HALT,
};

static void inject_serror(struct play *p)
{
    int err = axvcpu_inject_exception(p->v, AXVCPU_ARM64_EC_SERROR, 0, 0);
    if (err != 0)
        play_wrong(p, "inject_exception", (uint64_t)err, 0);
}
// Whose syndrome it is, the architecture's or the implementation's (IDS), is the substrate's to say.
static void check_serror(struct play *p)
{
    const struct axvcpu_exit *x = &p->exit[0];
    if (play_run(p) && (x->kind != AXVCPU_EXIT_MMIO_WRITE || (x->mmio.data & ~UINT64_C(0x1000000)) != 0xbe000000))
        play_wrong(p, "ESR of the SError", x->mmio.data, 0xbe000000);
}
static const struct row rows_serror[] = {
    NONCE, SETTLE, PLAY(inject_serror), PLAY(check_serror), RESULT(K(0)), RESULT(N(0)), HALT,
};

// Given to the guest from outside, instead of its next instruction; it is looked at as one.
static void inject_undefined(struct play *p)
{
    int err = axvcpu_inject_exception(p->v, AXVCPU_ARM64_EC_UNKNOWN, 0, 0);
    if (err != 0)
        play_wrong(p, "inject_exception", (uint64_t)err, 0);
}
static const struct row rows_injected[] = {
    NONCE, SETTLE, PLAY(inject_undefined), TELLS(0x02000000, 0), TELLS(0x02000000, 0), TELLS(0x02000000, 0),
    TELLS(0xf2001234, 0), TELLS(0x56000005, 0), TELLS(0x02000000, 0), TELLS(0x96000021, DEV + 3), TELLS(0x96000061, DEV + 1), RESULT(N(0)), HALT,
};

// An event that is there already: it does not wait, whoever looks.
static const struct row rows_wfe[] = {NONCE, RESULT(N(0)), HALT};

void conformance_prepare(const struct test_case *test, struct axvm_arch_desc *vm, struct axvcpu_arch_setup *setup)
{
    (void)test, (void)setup;
    vm->gicc = axvcpu_gpa(GICC);
}

const char conformance_arch[] = "arm64";
const struct test_case conformance_cases[] = {
    CASE(first, first, 0),
    CASE(registers, registers, 0),
    CASE(loads, loads, 0),
    CASE(loads_signed, loads_signed, 0),
    CASE(stores, stores, 0),
    CASE(undecoded, undecoded, 0),
    CASE_ONCE(pending, load, 0),
    CASE(retry, load, 0),
    CASE(retry_store, store, 0),
    CASE(retry_mapped, load, 0),
    CASE(read_only, load, 0),
    CASE(fetch, fetch, 0),
    CASE(refuse, refuse, 0),
    CASE(refuse_sysreg, refuse_sysreg, 0),
    CASE(user, user, 0),
    CASE(sysreg, sysreg, 0),
    CASE(calls, calls, 0),
    CASE(calls_arch, calls_arch, 0),
    CASE(suspend, suspend, 0),
    CASE(pair, pair, VCPUS(2)),
    CASE_ONCE(travel, pair, 0),
    CASE_ONCE(order, order, 0),
    CASE_ONCE(last_vector, order, 0),
    CASE_ONCE(line, line, 0),
    CASE_ONCE(kicks, spin, 0),
    CASE(timer, timer, 0),
    CASE_ONCE(timer_sleep, timer_sleep, 0),
    CASE_ONCE(trap_29_sgi, sgi, VCPUS(2)),
    CASE_ONCE(trap_27_cpus, cpus, VCPUS(2)),
    CASE_ONCE(trap_28_vmid, own, 0),
    CASE(trap_26_bad, bad, 0),
    CASE(far_away, far_away, 0),
    CASE(wfe, wfe, 0),
    CASE(serror, serror, 0),
    CASE(injected, bad, 0),
};
const uint32_t conformance_case_count = sizeof conformance_cases / sizeof conformance_cases[0];
