// SPDX-License-Identifier: Apache-2.0
//
// What the x86 guests must do. guests.S has the programs, accesses.h the long lists of instructions,
// conformance.h the words.
#include "conformance.h"
#include "accesses.h"

#define P ((uint64_t)PATTERN)
#define GPR(n) AXVCPU_REG_GPR(n)
enum { RAX, RCX, RDX, RBX, R10 = 10 };

#define PROGRAMS(X)                                                                                        \
    X(first) X(pio16) X(pio32) X(pio64) X(pio_rax) X(rep_in) X(rep_out) X(rep_down) X(rep_long) X(rep32) X(rep16) X(mmio_load)  \
    X(mmio_store) X(mmio_const) X(mmio_change) X(mmio_exchange) X(mmio_test) X(mmio_address)               \
    X(mmio_string) X(mmio16) X(mmio32) X(straddle) X(places) X(load) X(store) X(out) X(in) X(fetch)        \
    X(undecoded) X(vector) X(registers) X(msr_read) X(msr_write) X(msr_kept) X(cpuid) X(hypercall) X(halt) X(order)    \
    X(shadow) X(storm) X(nmi) X(line) X(spin) X(slice) X(busy) X(ipi) X(cr8) X(step) X(pair) X(pair_race) X(triple) X(climb)
#define POINTS(X)                                                                                          \
    X(places_out_end) X(places_in_end) X(places_load_end) X(places_store_end) X(places_change_end)         \
    X(places_halt_end) X(load_insn) X(load_end) X(load_other) X(out_end)                 \
    X(undecoded_insn) X(undecoded_end) X(msr_read_end) X(msr_write_end) X(halt_end) X(ipi_end)                    \
    X(step_nop) X(step_cpuid) X(step_zero) X(step_out) X(step_in) X(step_load) X(step_change) X(step_count) X(step_rep) X(step_stos)     \
    X(step_again) X(step_port) X(step_repout) X(step_outs) X(step_msr) X(step_rdmsr) X(step_cr8) X(step_end)
#define PROGRAM(name) extern const uint8_t guest_##name[], guest_##name##_end[];
#define POINT(name) extern const uint8_t name[];
PROGRAMS(PROGRAM)
POINTS(POINT)

// A result, from 64-bit programs and from the others.
#define RESULT(...) MMIO_W(REPORT, 8, __VA_ARGS__)
#define RESULT_4(...) MMIO_W(REPORT, 4, __VA_ARGS__)
#define OUTPUT_4(...) OUT(OUTPUT, 4, __VA_ARGS__)
#define TAKES(vector) OUT(TAKEN, 1, K(vector))
#define NONCE MMIO_R(DEV, 8, N(0))

static const struct row rows_first[] = {
    OUT(0x10, 4, K(0xcafe0001)), IN(0x10, 4, N(0)),
    OUTPUT_4(N(0x5a5a5a5a)),
    MMIO_R(DEV, 4, N(0x77)),
    OUTPUT_4(N(0x77)),
    MMIO_W(DEV, 4, N(~0ull)),
    LOOP(1000), KICK, CANCELED, OUTPUT_4(N_DOWN(1000)), AGAIN,
    HALT, INJECT(0x40), TAKES(0x40),
    OUTPUT_4(N(1)),
    HALT,
};

// ---- ports

#define PIO_ROWS(result)                                                                                   \
    OUT(0x40, 1, K(0xa4)), OUT(0x41, 2, K(0xa3a4)), OUT(0x42, 4, K(0xa1a2a3a4)),                           \
    OUT(0xfff0, 1, K(0xa4)), OUT(0xfff0, 2, K(0xa3a4)), OUT(0xfff0, 4, K(0xa1a2a3a4)),                     \
    IN(0x43, 1, N(0)), result(ZX(1, 0x11223300)), IN(0x44, 2, N(1)), result(ZX(2, 0x11220001)),            \
    IN(0x45, 4, N(2)), result(ZX(4, 2)), IN(0xfff0, 1, N(3)), result(ZX(1, 0x11223303)),                   \
    IN(0xfff0, 2, N(4)), result(ZX(2, 0x11220004)), IN(0xfff0, 4, N(5)), result(ZX(4, 5)), HALT
static const struct row rows_pio16[] = {PIO_ROWS(OUTPUT_4)};
static const struct row rows_pio32[] = {PIO_ROWS(OUTPUT_4)};
static const struct row rows_pio64[] = {PIO_ROWS(RESULT)};

// trap 17: AL and AX merge, EAX clears the upper half.
static const struct row rows_pio_rax[] = {
    IN(0x43, 1, N(0)), RESULT(ZX(1, P & ~0xffull)),
    IN(0x43, 2, N(0)), RESULT(ZX(2, P & ~0xffffull)),
    IN(0x43, 4, N(0)), RESULT(ZX(4, 0)),
    HALT,
};

#define STRING_END(edi, esi) RESULT_4(K(0)), RESULT_4(K(edi)), RESULT_4(K(esi))
// trap 12: elements keep their size, and the port stays where it is, whatever one exit has of them.
static const struct row rows_rep_in[] = {
    STRING_IN(0x50, 1, 40), STRING_END(DATA + 40, DATA),
    STRING_IN(0x50, 2, 40), STRING_END(DATA + 0x1000 + 80, DATA + 0x1000),
    STRING_IN(0x50, 4, 40), STRING_END(DATA + 0x2000 + 160, DATA + 0x2000),
    HALT,
    MEM_ARE(DATA, 1, 40), MEM_ARE(DATA + 0x1000, 2, 40), MEM_ARE(DATA + 0x2000, 4, 40),
};
static const struct row rows_rep_out[] = {
    POKES(DATA, 1, 20), POKES(DATA + 0x1000, 2, 20), POKES(DATA + 0x2000, 4, 20),
    STRING_OUT(0x50, 1, 20), STRING_END(DATA, DATA + 20),
    STRING_OUT(0x50, 2, 20), STRING_END(DATA + 0x1000, DATA + 0x1000 + 40),
    STRING_OUT(0x50, 4, 20), STRING_END(DATA + 0x2000, DATA + 0x2000 + 80),
    HALT,
};
static const struct row rows_rep_down[] = {
    STRING_IN(0x50, 4, 8), STRING_END(DATA + 0xfec, DATA + 0x100c),
    STRING_OUT(0x50, 4, 8), STRING_END(DATA + 0x100c, DATA + 0xfec),
    HALT,
    MEM_IS(DATA + 0x100c, 4, N(0)), MEM_IS(DATA + 0x1000, 4, N_PLUS(3)), MEM_IS(DATA + 0xff0, 4, N_PLUS(7)),
};
static const struct row rows_rep_long[] = {
    STRING_IN(0x50, 4, 1500), STRING_END(DATA + 0x10 + 6000, DATA + 0x10), MEM_ARE(DATA + 0x10, 4, 1500),
    POKES(DATA + 0xff2, 2, 30), STRING_OUT(0x50, 2, 30), STRING_END(DATA + 0xff2, DATA + 0xff2 + 60),
    STRING_END(DATA, DATA), STRING_END(DATA, DATA), HALT,
};
static const struct row rows_rep32[] = {
    STRING_IN(0x50, 1, 3), OUTPUT_4(K(2 * DATA + 3)), MEM_ARE(DATA, 1, 3),
    STRING_IN(0x50, 2, 3), OUTPUT_4(K(2 * DATA + 6)), MEM_ARE(DATA, 2, 3),
    STRING_IN(0x50, 4, 3), OUTPUT_4(K(2 * DATA + 12)), MEM_ARE(DATA, 4, 3),
    POKES(DATA, 1, 3), STRING_OUT(0x50, 1, 3), OUTPUT_4(K(2 * DATA + 3)),
    POKES(DATA, 2, 3), STRING_OUT(0x50, 2, 3), OUTPUT_4(K(2 * DATA + 6)),
    POKES(DATA, 4, 3), STRING_OUT(0x50, 4, 3), OUTPUT_4(K(2 * DATA + 12)),
    HALT,
};
static const struct row rows_rep16[] = {
    STRING_IN(0x50, 2, 3), STRING_OUT(0x50, 2, 3), IN(0x50, 1, N(0)), OUT(OUTPUT, 2, K(DATA + 7)), HALT,
    MEM_ARE(DATA, 2, 3), MEM_IS(DATA + 6, 1, N(0)),
};

// ---- MMIO

#define LOAD_ROWS(insn, reg, full, width, value) MMIO_R(DEV, width, N(0)), RESULT(value),
static const struct row rows_mmio_load[] = {LOADS(LOAD_ROWS) HALT};

#define STORE_ROWS(insn, reg, full, width, value) NONCE, MMIO_W(DEV, width, value),
static const struct row rows_mmio_store[] = {STORES(STORE_ROWS) HALT};

static const struct row rows_mmio_const[] = {
    MMIO_W(DEV, 1, K(0x12)), MMIO_W(DEV, 2, K(0x1234)), MMIO_W(DEV, 4, K(0x12345678)), MMIO_W(DEV, 8, K(-2ull)), HALT,
};

// trap 11: two exits of one instruction.
#define CHANGE_ROWS(insn, source, width, value) MMIO_R(DEV, width, N(0)), MMIO_W(DEV, width, value),
static const struct row rows_mmio_change[] = {CHANGES(CHANGE_ROWS) HALT};

static const struct row rows_mmio_exchange[] = {
    NONCE,
    MMIO_R(DEV, 8, N(5)), MMIO_W(DEV, 8, N(~0ull)), RESULT(N(5)),
    MMIO_R(DEV, 1, N(9)), MMIO_W(DEV, 1, N(0)), RESULT(N(9)),
    HALT,
};

static const struct row rows_mmio_test[] = {
    MMIO_R(DEV, 4, N(0)),
    MMIO_R(DEV, 4, N(0)), RESULT_4(N(1)),       // cmp, equal
    MMIO_R(DEV, 4, N(0x10)), RESULT_4(N(0)),    // cmp, not equal
    MMIO_R(DEV, 1, K(0x7f)), RESULT_4(N(1)),    // cmpb, below
    MMIO_R(DEV, 4, K(0x80)), RESULT_4(N(1)),    // testl
    MMIO_R(DEV, 4, K(0x7f)), RESULT_4(N(0)),
    MMIO_R(DEV, 4, K(0x20)), RESULT_4(N(1)),    // btl
    MMIO_R(DEV, 4, N(0)), RESULT_4(N(1)),       // cmp, the other way
    MMIO_R(DEV, 4, K(0x1000)), RESULT_4(N_PLUS(0x1000)),
    HALT,
};

static const struct row rows_mmio_address[] = {
    MMIO_R(DEV, 1, N(1)), MMIO_R(DEV, 1, N(2)), MMIO_R(DEV, 1, N(3)), MMIO_R(DEV, 1, N(4)),
    MMIO_R(DEV, 1, N(5)), MMIO_R(DEV, 1, N(6)), MMIO_W(DEV, 1, N(6)), MMIO_R(DEV, 1, N(7)),
    RESULT_4(ZX(1, 7)), HALT,
};

static const struct row rows_mmio_string[] = {
    POKES(DATA + 0x100, 1, 3),
    NONCE,
    MMIO_W(MMIO + 0x100, 4, N(0)), MMIO_W(MMIO + 0x104, 4, N(0)), MMIO_W(MMIO + 0x108, 4, N(0)),
    MMIO_R(MMIO + 0x100, 2, N(1)), MMIO_R(MMIO + 0x102, 2, N(2)), MMIO_R(MMIO + 0x104, 2, N(3)),
    MMIO_W(MMIO + 0x200, 1, N(0)), MMIO_W(MMIO + 0x201, 1, N_PLUS(1)), MMIO_W(MMIO + 0x202, 1, N_PLUS(2)),
    MMIO_R(MMIO + 0x300, 8, N(4)),
    RESULT(K(DATA + 0x209)), HALT,
    MEM_IS(DATA, 2, N(1)), MEM_IS(DATA + 2, 2, N(2)), MEM_IS(DATA + 4, 2, N(3)),
    MEM_IS(DATA + 0x200, 8, N(4)), MEM_IS(DATA + 0x208, 1, N(0)),
};

static const struct row rows_mmio16[] = {
    MMIO_R(DEV, 1, N(0)), OUTPUT_4(ZX(1, 0x11223300)),
    MMIO_R(DEV, 2, N(1)), OUTPUT_4(ZX(2, 1)),
    MMIO_R(DEV, 4, N(2)), OUTPUT_4(N(2)),
    MMIO_R(DEV, 1, N(3)), OUTPUT_4(ZX(1, 3)),
    MMIO_W(MMIO + 0x18, 1, N(2)), MMIO_W(DEV, 2, N(2)), MMIO_W(DEV, 4, N(2)),
    MMIO_R(DEV, 2, N(0)), MMIO_W(DEV, 2, N_PLUS(1)),
    HALT,
};

static const struct row rows_mmio32[] = {
    MMIO_R(DEV, 1, N(0)), OUTPUT_4(LEFT(1, 1, 0x11220044)),
    MMIO_R(DEV, 2, N(1)), OUTPUT_4(ZX(2, 1)),
    MMIO_R(DEV, 4, N(2)), OUTPUT_4(N(2)),
    MMIO_R(DEV, 1, N(0)), OUTPUT_4(SX(1, 4, 0)),
    MMIO_W(DEV, 1, N(2)), MMIO_W(DEV, 2, N(2)), MMIO_W(DEV, 4, N(2)),
    MMIO_R(DEV, 4, N(0)), MMIO_W(DEV, 4, N_PLUS(-1ull)),
    MMIO_R(DEV, 4, N(7)), OUTPUT_4(N(7)),
    HALT,
};

// trap 13: only the bytes that are not in memory.
static const struct row rows_straddle[] = {
    POKE(RAM_END - 8, 8, K(P)),
    MMIO_R(RAM_END, 2, N(0)), RESULT_4(LEFT(2, 2, 0x1122)),
    MMIO_R(RAM_END, 5, N(0)), RESULT(LEFT(5, 3, 0x112233)),
    NONCE,
    MMIO_W(RAM_END, 3, RIGHT(1, 0)), MMIO_W(RAM_END, 4, RIGHT(4, 0)),
    HALT,
    MEM_IS(RAM_END - 4, 4, N(0)),
};

// ---- the contract of an exit

// trap 10: where the PC is at the exit differs by kind and backend; settled it is past the instruction.
static const struct row rows_places[] = {
    OUT(0x33, 1, K(0)), PC_IS(places_out_end),
    IN(0x33, 1, N(0)), PC_IS(places_in_end),
    MMIO_R(DEV, 4, N(0)), PC_IS(places_load_end),
    MMIO_W(DEV, 4, N(0)), PC_IS(places_store_end),
    MMIO_R(DEV, 4, N(0)), MMIO_W(DEV, 4, N_PLUS(1)), PC_IS(places_change_end),
    STRING_IN(0x33, 1, 2), // a repetition with RCX 0 may be before its instruction or behind it
    STRING_OUT(0x33, 1, 2),
    HALT, PC_IS(places_halt_end),
    RESULT(ZX(4, 0)), HALT,
};

// trap 16: what is open stays open across everything, and is done once.
static const struct row rows_pending[] = {
    MMIO_R_UNANSWERED(DEV, 8),
    RUN_FAILS(EPENDING), REBIND, RUN_FAILS(EPENDING), MOVE, SETTLE_FAILS(EPENDING), STATE_IS(READY),
    BLOCK, STATE_IS(BLOCKED), UNBLOCK, STATE_IS(READY), RUN_FAILS(EPENDING),
    KICK, RUN_FAILS(EPENDING), // the kick stays
    COMPLETE(N(0)), COMPLETE_FAILS(EBADSTATE), CANCELED,
    RESULT(N(0)), RESULT(K(P)),
    HALT, COMPLETE_FAILS(EBADSTATE), RETRY_FAILS(EBADSTATE),
};

static const struct row rows_retry[] = {
    IN_UNANSWERED(0x43, 1), REG_IS(GPR(RAX), K(P)), RETRY,
    IN_UNANSWERED(0x43, 1), RETRY, REG_IS(GPR(RAX), K(P)),
    IN(0x43, 1, N(0)), RESULT(ZX(1, P & ~0xffull)),
    IN_UNANSWERED(0x43, 2), RETRY, IN(0x43, 2, N(0)), RESULT(ZX(2, P & ~0xffffull)),
    IN_UNANSWERED(0x43, 4), RETRY, IN(0x43, 4, N(0)), RESULT(ZX(4, 0)),
    MMIO_R_UNANSWERED(DEV, 8), RETRY, MMIO_R(DEV, 8, N(0)), RESULT(N(0)),
    HALT,
};
static const struct row rows_retry_place[] = {
    MMIO_R_UNANSWERED(DEV, 8), RETRY, PC_IS(load_insn), MMIO_R(DEV, 8, N(0)), PC_IS(load_end),
    RESULT(N(0)), RESULT(K(P)), HALT,
};
// What was a device is memory the second time.
static const struct row rows_retry_load_mapped[] = {
    MMIO_R_UNANSWERED(DEV, 8), RAM_AT(MMIO), POKE(DEV, 8, N(3)), RETRY, HALT,
    MEM_IS(REPORT, 8, K(P)), REG_IS(GPR(RAX), N(3)),
};
static const struct row rows_retry_store_mapped[] = {
    NONCE, MMIO_W(0xd5008, 8, N(0)), RAM_AT(0xd5000), RETRY, RESULT(N(0)), HALT, MEM_IS(0xd5008, 8, N(0)),
};
static const struct row rows_retry_store[] = {
    NONCE, MMIO_W(0xd5008, 8, N(0)), RETRY, MMIO_W(0xd5008, 8, N(0)), RESULT(N(0)), HALT,
};
static const struct row rows_retry_out[] = {
    NONCE, OUT(0x46, 4, N(0)), RETRY, OUT(0x46, 4, N(0)), RESULT(N(0)), HALT,
};

// Nobody there: a bus answers with all ones.
static const struct row rows_refuse[] = {
    IN_UNANSWERED(0x43, 1), REFUSE, RESULT(K(P | 0xff)),
    IN_UNANSWERED(0x43, 2), REFUSE, RESULT(K(P | 0xffff)),
    IN_UNANSWERED(0x43, 4), REFUSE, RESULT(K(0xffffffff)),
    MMIO_R_UNANSWERED(DEV, 8), REFUSE, RESULT(K(~0ull)),
    HALT,
};

static const struct row rows_set_reg[] = {
    MMIO_R_UNANSWERED(DEV, 8), REG_IS(GPR(RBX), K(P)), SET_REG(GPR(RBX), N(7)), COMPLETE(N(0)), REG_IS(GPR(RBX), N(7)),
    RESULT(N(0)), RESULT(N(7)), HALT,
};
static const struct row rows_set_pc[] = {
    NONCE, PC_IS(load_end), REG_IS(GPR(RAX), N(0)), GO_TO(load_other), RESULT(N(~0ull)), HALT,
};

static const struct row rows_fetch[] = {NONCE, PAGE_FAULT(MMIO + 0x2000, AXVCPU_ACCESS_EXEC)};
static const struct row rows_undecoded[] = {
    NONCE, UNDECODED(0, undecoded_insn), PC_IS(undecoded_insn), GO_TO(undecoded_end), RESULT(N(0)), HALT,
};

static const struct row rows_vector[] = {NONCE, OUT(0x10, 1, N(0)), RESULT(N(0)), HALT};
static const struct row rows_registers[] = {
    NONCE, MMIO_R(DEV, 8, N(3)), IN(0x10, 1, N(1)), OUT(0x10, 1, N(1)),
    RESULT(N_PLUS(1)), RESULT(N_PLUS(2)), RESULT(N_PLUS(3)), RESULT(N_PLUS(4)), RESULT(N_PLUS(5)),
    RESULT(N_PLUS(6)), RESULT(N_PLUS(7)), RESULT(N_PLUS(8)), RESULT(N_PLUS(9)), RESULT(N_PLUS(10)),
    RESULT(N_PLUS(11)), RESULT(N_PLUS(12)), RESULT(N_PLUS(13)), RESULT(N_PLUS(14)), RESULT(N_PLUS(15)),
    HALT,
};

// ---- the processor's own registers

// trap 17: 32 bits each in EDX:EAX, and the PC is past it.
static const struct row rows_msr_read[] = {
    SYSREG_R(MSR, N(0)), PC_IS(msr_read_end), RESULT(ZX(4, 0)), RESULT(RIGHT(4, 0)),
    NONCE, SYSREG_R_UNANSWERED(MSR), REFUSE, RESULT(N_PLUS(1)), HALT,
};
static const struct row rows_msr_write[] = {
    NONCE, SYSREG_W(MSR, N(0)), PC_IS(msr_write_end),
    NONCE, SYSREG_W(MSR, N(0)), REFUSE, RESULT(N_PLUS(1)), HALT,
};
static const struct row rows_msr_kept[] = {
    MMIO_R(DEV, 4, N(0)), RESULT(ZX(4, 0xc0000100)), RESULT(ZX(4, 0xc0000101)), RESULT(ZX(4, 0xc0000102)),
    RESULT(ZX(4, 0xc0000082)), RESULT(ZX(4, 0x175)), RESULT(ZX(4, 0x176)), HALT,
};
static const struct row rows_cpuid[] = {NONCE, RESULT(N(1)), RESULT(N(~0ull)), HALT};

static const uint64_t hypercall_args[] = {DATA, 1, 3};
static const struct row rows_hypercall[] = {
    NONCE, HYPERCALL(hypercall_args, K(12)), RETURN(K(0x1234)), RESULT(N(0x1234)), HALT,
};

// ---- states that no guest may be in: SDM 3, 26.3 and APM 2, 15.5.1

#define CS_ACCESS AXVCPU_X86_SEG(AXVCPU_X86_CS, AXVCPU_X86_ACCESS)
#define EFER AXVCPU_REG_SYS(0xc0000080)
static const struct row rows_break_cr0[] = {NONCE, BREAK_REG(AXVCPU_X86_CR(0), K(0x80000010))}; // PG without PE
static const struct row rows_break_cr4[] = {NONCE, BREAK_REG(AXVCPU_X86_CR(4), K(UINT64_C(1) << 40 | 0x20))};
static const struct row rows_break_efer[] = {NONCE, BREAK_REG(EFER, K(UINT64_C(1) << 40 | 0x500))};
static const struct row rows_break_cs[] = {NONCE, BREAK_REG(CS_ACCESS, K(0xe09b))}; // 64-bit and 32-bit code

// ---- interrupts

static const struct row rows_halt[] = {
    NONCE,
    HALT, PC_IS(halt_end), BLOCK, STATE_IS(BLOCKED), INJECT(0x21), STATE_IS(READY), TAKES(0x21), RESULT(N(0)),
    HALT, INJECT(0xff), BLOCK_FAILS(EAGAIN), TAKES(0xff), RESULT(N(0)),
    // trap 43: with interrupts off only an NMI ends the sleep
    HALT, INJECT(0x21), BLOCK, STATE_IS(BLOCKED), NMI, STATE_IS(READY), TAKES(2), RESULT(N(0)),
    TAKES(0x21), RESULT(N(0)),
    HALT,
};

// trap 21: there is a window for each that is queued, and none is lost.
static const struct row rows_order[] = {
    NONCE, RESULT(N(0)), INJECT_FAILS(256, EINVAL),
    INJECT(0x20), INJECT(0x31), INJECT(0x20), INJECT(0xef), INJECT(0x20),
    TAKES(0xef), TAKES(0x31), TAKES(0x20),
    RESULT(N(0)), HALT,
};

static const struct row rows_shadow[] = {NONCE, INJECT(0x40), OUT(0x47, 1, N(0)), TAKES(0x40), RESULT(N(0)), HALT};

static const struct row rows_storm[] = {
    NONCE,
    LOOP(300), OUT(0x48, 1, N(0)), INJECT(0x50), INJECT(0x60), OUT(0x49, 1, N(0)), INJECT(0x70), AGAIN,
    RESULT(N_PLUS(300)), RESULT(N_PLUS(300)), RESULT(N_PLUS(300)), HALT,
};

static const struct row rows_nmi[] = {
    NONCE,
    OUT(0x48, 1, N(0)), NMI, OUT(0x49, 1, N(0)), NMI, OUT(0x4a, 1, N(0)), OUT(0x49, 1, N(0)), OUT(0x4a, 1, N(0)),
    RESULT(N_PLUS(2)),
    OUT(0x48, 1, N(0)), NMI, NMI, OUT(0x49, 1, N(0)), OUT(0x4a, 1, N(0)), RESULT(N_PLUS(3)),
    HALT,
};

static const struct row rows_line[] = {
    NONCE, OUT(0x48, 1, N(0)), LINE(0x61, 1), TAKES(0x61), TAKES(0x61), TAKES(0x61), LINE(0x61, 0), RESULT(N(0)), HALT,
};

#define CR8 AXVCPU_X86_CR(8)
static const struct row rows_cr8[] = {
    NONCE,
    OUT(0x48, 1, K(3)), INJECT(0x35), RESULT(N(0)), // waits
    OUT(0x48, 1, K(3)), INJECT(0x45), TAKES(0x45),  // is above it
    RESULT(N_PLUS(1)), REG_IS(CR8, K(3)), RESULT(N_PLUS(4)), // the value that was no good has changed nothing
    RESULT(N_PLUS(1)), REG_IS(CR8, K(4)), // waits, as CR8 was raised
    TAKES(0x35), RESULT(N_PLUS(1)), REG_IS(CR8, K(2)), // it was lowered
    HALT, INJECT(0x35), BLOCK, STATE_IS(BLOCKED), INJECT(0x45), STATE_IS(READY), TAKES(0x45), RESULT(N_PLUS(1)),
    HALT, SET_REG(CR8, K(1)), TAKES(0x35), RESULT(N_PLUS(2)), HALT,
};

// A trap behind each, with the PC behind it; of a repetition behind each element, with the PC on it until the last.
static void check_steps(struct play *p)
{
    static const uint8_t *const at[] = {
        step_nop, step_cpuid, step_zero, step_out, step_in, step_load, step_change, step_count, step_rep, step_stos,
        step_again, step_port, step_repout, step_outs, step_msr, step_rdmsr, step_cr8, step_end,
    };
    const uint64_t *noted = (const uint64_t *)(const void *)(p->ram + DATA);
    for (uint32_t i = 0; i <= sizeof at / sizeof at[0] && !p->wrong; i++) {
        uint64_t wanted = i < sizeof at / sizeof at[0] ? LOAD + (uint64_t)(at[i] - p->test->program) : 0;
        if (noted[i] != wanted)
            play_wrong(p, "a trap's PC", noted[i], wanted);
    }
}
#define STEPS 18u
static const struct row rows_step[] = {
    NONCE, OUT(0x48, 1, K(0)), IN(0x48, 1, K(0)), MMIO_R(DEV, 8, N(5)), MMIO_R(DEV, 4, N(0)), MMIO_W(DEV, 4, N_PLUS(1)),
    MMIO_W(MMIO + 0x100, 4, K(0)), MMIO_W(MMIO + 0x104, 4, K(0)),
    OUT(0x50, 1, K(0)), OUT(0x50, 1, K(0)), SYSREG_R(MSR, K(7)),
    RESULT(N_PLUS(STEPS)), RESULT(N(5)), HALT, PLAY(check_steps),
};

#define APIC 0xfee00000u
static const struct row rows_ipi[] = {
    NONCE, IPI(3, 0x41, K(0x4041)), IPI(3, 0, K(0x4500)), STARTS(3, K(0x9000)), PC_IS(ipi_end),
    MMIO_W(APIC + 0x80, 4, ZX(4, 0)), MMIO_W(APIC + 0x300, 2, K(1)), MMIO_R(APIC + 0x300, 4, N(0)), RESULT_4(ZX(4, 0)),
    MMIO_R(APIC + 0x300, 4, K(0x4000)), IPI(3, 0x42, K(0x4042)), IPI(3, 0x43, K(0x4043)), RESULT_4(K(APIC + 0x304)),
    IPI(5, 0x44, K(0x4044)), RESULT(N(0)), HALT,
};

// ---- at random moments (trap 14: a flag and an empty handler lose some), from interrupts of the host and from another CPU

struct random {
    struct play *play;
    uint64_t seed;
    uint32_t total, sent, answered, waits;
    uint32_t before, which; // injections: what the guest had counted, and of which vector
    bool lost;
};
static struct random shared;

static uint32_t random_below(struct random *r, uint32_t limit)
{
    r->seed ^= r->seed << 13;
    r->seed ^= r->seed >> 7;
    r->seed ^= r->seed << 17;
    return (uint32_t)(r->seed >> 32) % limit;
}

static void stop_guest(struct random *r)
{
    __atomic_store_n((uint32_t *)(r->play->ram + DATA), 1, __ATOMIC_SEQ_CST);
}

static bool kick_more(struct random *r)
{
    if (r->sent < r->total && !r->lost)
        return true;
    stop_guest(r);
    return false;
}

// One kick from an interrupt; the next alarm is set when this one is answered.
static void kick_alarm(void *arg)
{
    struct random *r = arg;
    r->sent++;
    axvcpu_kick(r->play->v);
}

// What the guest has counted of this vector.
static uint32_t taken(const struct random *r)
{
    return __atomic_load_n((const uint32_t *)(r->play->ram + DATA + 8) + r->which, __ATOMIC_SEQ_CST);
}

// The next injection, if the last one is taken: until then the guest alone makes progress.
static bool inject_more(struct random *r)
{
    if (r->sent > 0 && taken(r) == r->before) {
        r->lost = ++r->waits > 20000;
        return !r->lost;
    }
    if (r->sent == r->total)
        return false;
    r->waits = 0;
    r->sent++;
    r->which = random_below(r, 2);
    r->before = taken(r);
    axvcpu_inject_interrupt(r->play->v, 0x80 + r->which);
    return true;
}

static void inject_alarm(void *arg)
{
    struct random *r = arg;
    if (inject_more(r))
        port_alarm(random_below(r, 30000) << (r->waits < 7 ? r->waits : 7), inject_alarm, r); // on a slow machine, later
    else
        stop_guest(r);
}

static void kick_thread(void *arg)
{
    struct random *r = arg;
    while (kick_more(r)) {
        if (random_below(r, 4) != 0) // else at once: the CPU is on its way out or in
            port_pause(random_below(r, 30000));
        r->sent++;
        axvcpu_kick(r->play->v);
        for (r->waits = 0; !r->lost && __atomic_load_n(&r->answered, __ATOMIC_SEQ_CST) != r->sent; r->waits++) {
            r->lost = r->waits > 3000;
            port_pause(r->waits < 100 ? 1000 : 1000000);
        }
    }
}

static void inject_thread(void *arg)
{
    struct random *r = arg;
    while (inject_more(r))
        port_pause(random_below(r, 20000) << (r->waits < 7 ? r->waits : 7)); // the other CPU may have to wait for its turn
    stop_guest(r);
}

static bool check_run(struct play *p, int err)
{
    if (err != AXVCPU_OK)
        play_wrong(p, "run", (uint64_t)err, AXVCPU_OK);
    return err == AXVCPU_OK;
}

// Until the guest's own result: every kick makes one CANCELED.
static void run_random(struct play *p, bool by_alarm, bool kicks)
{
    struct random *r = &shared;
    struct axvcpu_exit *x = &p->exit[axvcpu_id(p->v)];
    for (;;) {
        if (by_alarm && kicks && kick_more(r))
            port_alarm(random_below(r, 20000), kick_alarm, r);
        if (!check_run(p, axvcpu_run(p->v, x)) || x->kind != AXVCPU_EXIT_CANCELED)
            break;
        __atomic_fetch_add(&r->answered, 1, __ATOMIC_SEQ_CST);
    }
    if (!p->wrong && x->kind != AXVCPU_EXIT_MMIO_WRITE)
        play_wrong(p, "exit", x->kind, AXVCPU_EXIT_MMIO_WRITE);
}

static void play_random(struct play *p, uint32_t total, void (*alarm)(void *), void (*thread)(void *), bool kicks)
{
    struct axvcpu_exit *x = &p->exit[axvcpu_id(p->v)];
    AXVCPU_MEMSET(&shared, 0, sizeof shared);
    shared.play = p;
    shared.total = total;
    shared.seed = port_random() | 1;
    port_seed(shared.seed);
    if (thread && !port_start(thread, &shared)) {
        play_wrong(p, "other CPUs", 0, 1);
        return;
    }
    if (alarm && !kicks)
        port_alarm(1000, alarm, &shared);
    run_random(p, alarm != NULL, kicks);
    if (thread)
        port_join();
    if (shared.lost || shared.sent != total || shared.answered != (kicks ? total : 0))
        play_wrong(p, shared.lost ? "one was lost, sent" : "sent", shared.sent, total);
    else
        play_counted(p, x->mmio.data - p->nonce, kicks ? 0 : total);
}

static void play_kicks(struct play *p)
{
    play_random(p, 20000, kick_alarm, NULL, true);
}

static void play_kicks_other(struct play *p)
{
    play_random(p, 400, NULL, kick_thread, true);
}

static void play_injections(struct play *p)
{
    play_random(p, 2000, inject_alarm, NULL, false);
}

static void play_injections_other(struct play *p)
{
    play_random(p, 500, NULL, inject_thread, false);
}

#define SPUN RESULT(N_PLUS(1)), HALT // the guest did run
static const struct row rows_kicks[] = {NONCE, PLAY(play_kicks), SPUN};
static const struct row rows_kicks_other[] = {NONCE, PLAY(play_kicks_other), SPUN};
static const struct row rows_injections[] = {NONCE, PLAY(play_injections), SPUN};
static const struct row rows_injections_other[] = {NONCE, PLAY(play_injections_other), SPUN};

// ---- the time slice: it ends, again and again, the guest gets on between, and nothing of it is lost

enum { SLICES = 40, SLICE_TICKS = 10000, SLICE_PAUSES = 500 };

static void play_slices(struct play *p)
{
    struct axvcpu_exit *x = &p->exit[axvcpu_id(p->v)];
    uint64_t before = 0, now = 0;
    for (uint32_t i = 0; i < SLICES && !p->wrong; i++, before = now) {
        if (i % 8 == 7)
            axvcpu_inject_interrupt(p->v, 0x80);
        if (!play_run(p) || x->kind != AXVCPU_EXIT_TIMER || axvcpu_get_gpr(p->v, R10, &now) != AXVCPU_OK)
            play_wrong(p, "exit", x->kind, AXVCPU_EXIT_TIMER);
        else if (now <= before)
            play_wrong(p, "turns", now, before + 1);
    }
    *(uint32_t *)(void *)(p->ram + DATA) = 1;
}
static const struct row rows_slice[] = {NONCE, PLAY(play_slices), RESULT(N(0)), RESULT(N_PLUS(SLICES / 8)), HALT};

// It is over in time for a guest that exits all the while, too.
static void play_busy(struct play *p)
{
    struct axvcpu_exit *x = &p->exit[axvcpu_id(p->v)];
    uint32_t outs = 0;
    while (play_run(p) && x->kind == AXVCPU_EXIT_IO_WRITE && outs < 3000)
        outs++;
    if (x->kind != AXVCPU_EXIT_TIMER)
        play_wrong(p, "exit", x->kind, AXVCPU_EXIT_TIMER);
    else if (outs < 3)
        play_wrong(p, "exits before it", outs, 3);
}
static const struct row rows_slice_busy[] = {PLAY(play_busy), PLAY(play_busy)};

// What no CPU can do, or this one cannot; the vCPU is set up without.
static void play_refused(struct play *p)
{
    static const struct axvcpu_arch_setup bad[] = {
        {.pause_gap = 1}, {.pauses = 65536}, {.pauses = 1, .pause_gap = 65536}, {.slice = UINT64_MAX},
        {.slice = 1, .pauses = 65536},
    };
    static const struct axvcpu_arch_setup good;
    static const struct axvcpu_desc desc;
    static struct axvcpu v;
    if (axvcpu_init(&v, &desc) != AXVCPU_OK)
        play_wrong(p, "init", 1, 0);
    for (uint32_t i = 0; i <= sizeof bad / sizeof bad[0] && !p->wrong; i++) {
        bool last = i == sizeof bad / sizeof bad[0];
        int err = axvcpu_setup(&v, axvcpu_gpa(LOAD), axvcpu_hpa(0x1000), last ? &good : &bad[i]);
        if (last ? err != AXVCPU_OK : err != AXVCPU_EINVAL && err != AXVCPU_ENOSUPPORT)
            play_wrong(p, "setup", (uint64_t)err, i);
        if (!last && axvcpu_reset(&v) != AXVCPU_OK)
            play_wrong(p, "reset", 1, 0);
    }
    axvcpu_deinit(&v);
}
static const struct row rows_slice_refused[] = {NONCE, PLAY(play_refused), RESULT(N(0)), RESULT(K(P)), HALT};

// ---- two vCPUs

static const struct row rows_pair[] = {
    VCPU(1), OUT(0x49, 1, K(0)), OUT(0x49, 1, K(0)),
    VCPU(0), NONCE, OUT(0x48, 1, N(0)), OUT(0x48, 1, N(0)),
    VCPU(1), HALT,
    VCPU(0), RESULT(N_PLUS(1)), HALT,
};

// Runs one vCPU to its end: the nonce for its read; the last write is its result.
static void run_to_halt(struct play *p, struct axvcpu *v, uint64_t *result)
{
    struct axvcpu_exit x;
    int err = AXVCPU_OK;
    do {
        err = axvcpu_run(v, &x);
        if (err == AXVCPU_OK && x.kind == AXVCPU_EXIT_MMIO_READ)
            err = axvcpu_complete(v, p->nonce);
        if (err == AXVCPU_OK && x.kind == AXVCPU_EXIT_MMIO_WRITE)
            *result = x.mmio.data;
    } while (err == AXVCPU_OK && (x.kind == AXVCPU_EXIT_MMIO_READ || x.kind == AXVCPU_EXIT_MMIO_WRITE));
    if (err != AXVCPU_OK || x.kind != AXVCPU_EXIT_HALT)
        *result = 0;
}

static uint64_t race_result;
static void other_vcpu(void *arg)
{
    struct play *p = arg;
    struct axvcpu *v = axvm_vcpu(&p->vm, 1);
    if (axvcpu_bind(v) == AXVCPU_OK)
        run_to_halt(p, v, &race_result);
    axvcpu_unbind(v);
}

static void play_race(struct play *p)
{
    uint64_t result = 0, *counter = (uint64_t *)(p->ram + DATA + 8);
    struct axvcpu *other = axvm_vcpu(&p->vm, 1);
    race_result = 0;
    axvcpu_unbind(other);
    if (!port_start(other_vcpu, p)) {
        play_wrong(p, "other CPUs", 0, 1);
        return;
    }
    run_to_halt(p, p->v, &result);
    port_join();
    if (*counter != 400)
        play_wrong(p, "turns", *counter, 400);
    if (race_result != p->nonce + 400 && result != p->nonce + 400)
        play_wrong(p, "result", result, p->nonce + 400);
}
static const struct row rows_pair_race[] = {PLAY(play_race)};

// ---- the end

static const struct row rows_triple[] = {NONCE, RESULT(N(0)), SHUTDOWN};
static const struct row rows_climb[] = {IN(0x10, 4, N(0)), OUTPUT_4(N(~0ull)), RESULT(ZX(4, ~0ull)), HALT};

void conformance_prepare(const struct test_case *test, struct axvm_arch_desc *vm, struct axvcpu_arch_setup *setup)
{
    (void)vm;
    setup->mode = test->mode & 0x7f;
    setup->slice = (test->mode & MODE_SLICE) != 0 ? SLICE_TICKS : 0;
    setup->pauses = (test->mode & MODE_SLICE) != 0 ? SLICE_PAUSES : 0;
    setup->stack = STACK;
    setup->tables = axvcpu_gpa(TABLES);
}

const char conformance_arch[] = "x86";
const struct test_case conformance_cases[] = {
    CASE(first, first, MODE_REAL),
    CASE(pio16, pio16, MODE_REAL),
    CASE(pio32, pio32, MODE_PROTECTED),
    CASE(pio64, pio64, MODE_LONG),
    CASE(pio_rax, pio_rax, MODE_LONG),
    CASE(rep_in, rep_in, MODE_LONG),
    CASE(rep_out, rep_out, MODE_LONG),
    CASE(rep_down, rep_down, MODE_LONG),
    CASE_ONCE(rep_long, rep_long, MODE_LONG),
    CASE(rep32, rep32, MODE_PROTECTED),
    CASE(rep16, rep16, MODE_REAL),
    CASE(mmio_load, mmio_load, MODE_LONG),
    CASE(mmio_store, mmio_store, MODE_LONG),
    CASE(mmio_const, mmio_const, MODE_LONG),
    CASE(mmio_change, mmio_change, MODE_LONG),
    CASE(mmio_exchange, mmio_exchange, MODE_LONG),
    CASE(mmio_test, mmio_test, MODE_LONG),
    CASE(mmio_address, mmio_address, MODE_LONG),
    CASE(mmio_string, mmio_string, MODE_LONG),
    CASE(mmio16, mmio16, MODE_REAL),
    CASE(mmio32, mmio32, MODE_PROTECTED),
    CASE(straddle, straddle, MODE_LONG),
    CASE(places, places, MODE_LONG),
    CASE_ONCE(pending, load, MODE_LONG),
    CASE(retry, in, MODE_LONG),
    CASE(retry_place, load, MODE_LONG),
    CASE(retry_load_mapped, load, MODE_LONG),
    CASE(retry_store_mapped, store, MODE_LONG),
    CASE(retry_store, store, MODE_LONG),
    CASE(retry_out, out, MODE_LONG),
    CASE(refuse, in, MODE_LONG),
    CASE(set_reg, load, MODE_LONG),
    CASE(set_pc, load, MODE_LONG),
    CASE(fetch, fetch, MODE_LONG),
    CASE(undecoded, undecoded, MODE_LONG),
    CASE(vector, vector, MODE_LONG),
    CASE(registers, registers, MODE_LONG),
    CASE(msr_read, msr_read, MODE_LONG),
    CASE(msr_write, msr_write, MODE_LONG),
    CASE(msr_kept, msr_kept, MODE_LONG),
    CASE(cpuid, cpuid, MODE_LONG),
    CASE(hypercall, hypercall, MODE_LONG),
    CASE_ONCE(break_cr0, load, MODE_LONG),
    CASE_ONCE(break_cr4, load, MODE_LONG),
    CASE_ONCE(break_efer, load, MODE_LONG),
    CASE_ONCE(break_cs, load, MODE_LONG),
    CASE(halt, halt, MODE_LONG),
    CASE(order, order, MODE_LONG),
    CASE(shadow, shadow, MODE_LONG),
    CASE(storm, storm, MODE_LONG),
    CASE(nmi, nmi, MODE_LONG),
    CASE(line, line, MODE_LONG),
    CASE_ONCE(kicks, spin, MODE_LONG),
    CASE_ONCE(kicks_other, spin, MODE_LONG),
    CASE_ONCE(injections, spin, MODE_LONG),
    CASE_ONCE(injections_other, spin, MODE_LONG),
    CASE(cr8, cr8, MODE_LONG),
    CASE(step, step, MODE_LONG),
    CASE(ipi, ipi, MODE_LONG),
    CASE(slice, slice, MODE_LONG | MODE_SLICE),
    CASE_ONCE(slice_busy, busy, MODE_LONG | MODE_SLICE),
    CASE_ONCE(slice_refused, load, MODE_LONG),
    CASE(pair, pair, MODE_LONG | VCPUS(2)),
    CASE_ONCE(pair_race, pair_race, MODE_LONG | VCPUS(2)),
    CASE(triple, triple, MODE_LONG),
    CASE(climb, climb, MODE_REAL),
};
const uint32_t conformance_case_count = sizeof conformance_cases / sizeof conformance_cases[0];
