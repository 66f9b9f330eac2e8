// SPDX-License-Identifier: Apache-2.0
//
// The conformance suite: small guest programs, and for each one a table of rows that says which exits
// it must make, with which operands, how they are answered and what the guest makes of the answer. One
// runner plays the tables on every backend, hosted or bare; neither a program nor a table knows which
// backend that is. What a substrate cannot do stands in absent.h and nowhere else.
//
// Every case draws a nonce. It reaches the guest only as the answer of an exit, and the guest passes it
// on, transformed, in a later one: a row without a nonce on its way proves little.
#ifndef CONFORMANCE_H
#define CONFORMANCE_H

// The last thing that the library had to say.
void conformance_log(const char *text);
#undef AXVCPU_LOG
#define AXVCPU_LOG(level, text) ((void)(level), conformance_log(text))

#include "axvcpu.h"

// ---- a number in a table: a constant, or what becomes of the nonce

enum value_op {
    VALUE_XOR,   // k ^ the low `from` bytes of the nonce, zero-extended
    VALUE_SIGN,  // k ^ the same sign-extended to `to` bytes
    VALUE_LEFT,  // k ^ the low `from` bytes, `to` bytes higher
    VALUE_RIGHT, // k ^ the whole nonce, `to` bytes lower
    VALUE_ADD,   // k + the nonce
    VALUE_AND,   // k & the nonce
    VALUE_OR,    // k | the nonce
    VALUE_CONST, // k
    VALUE_UP,    // k + the turn of the loop
    VALUE_DOWN,  // k - the turn of the loop
    VALUE_N_DOWN, // the nonce ^ (k - the turn of the loop)
};
struct value {
    uint64_t k;
    uint8_t op, from, to;
};
#define K(x) {(x), VALUE_CONST, 0, 0}
#define N(x) {(x), VALUE_XOR, 8, 0}
#define ZX(from, x) {(x), VALUE_XOR, from, 0}
#define SX(from, to, x) {(x), VALUE_SIGN, from, to}
#define LEFT(from, to, x) {(x), VALUE_LEFT, from, to}
#define RIGHT(to, x) {(x), VALUE_RIGHT, 8, to}
#define N_PLUS(x) {(uint64_t)(x), VALUE_ADD, 8, 0}
#define N_AND(x) {(x), VALUE_AND, 8, 0}
#define N_OR(x) {(uint64_t)(x), VALUE_OR, 8, 0}
#define TURN_UP(x) {(x), VALUE_UP, 0, 0}
#define TURN_DOWN(x) {(x), VALUE_DOWN, 0, 0}
#define N_DOWN(x) {(x), VALUE_N_DOWN, 8, 0}

// ---- a row: one thing that the runner does or expects

enum row_what {
    ROW_END,
    ROW_EXIT,     // run (or settle) until the next exit: `kind` with `at`, `width`, `value` where it has them
    ROW_COMPLETE, // answer with value
    ROW_RETURN,   // a hypercall's answer
    ROW_REFUSE,
    ROW_RETRY,
    ROW_SETTLE,   // nothing is left to be done
    ROW_RUN,      // run fails with `err`
    ROW_STRING,   // string exits of `kind` until `count` elements went by; element i is nonce + i
    ROW_GET,      // register `at` is value
    ROW_SET,      // register `at` becomes value
    ROW_BREAK,    // ... if the backend takes it, and then the next run is FAIL_ENTRY; either way the end
    ROW_PC,       // settle, then the PC is at `label`
    ROW_GOTO,     // the PC becomes `label`
    ROW_MEM,      // `count` elements of guest memory at `at`, each `width` wide: nonce + i, or value for one
    ROW_POKE,     // the same written
    ROW_INJECT,   // interrupt `at`
    ROW_NMI,
    ROW_LINE,     // interrupt line `at`, level `width`
    ROW_KICK,
    ROW_BLOCK,
    ROW_UNBLOCK,
    ROW_STATE,    // the state is `at`
    ROW_REBIND,   // unbind and bind
    ROW_MOVE,     // put and load
    ROW_LOOP,     // the rows up to ROW_AGAIN `count` times
    ROW_AGAIN,
    ROW_VCPU,     // from here on it is about vCPU `at`
    ROW_RAM,      // there is memory at `at` now, one page
    ROW_PLAY,     // something that no row can say: play(case run)
};
struct play;
struct row {
    uint8_t what, kind, width;
    uint8_t err; // enum axvcpu_err that the call must return
    uint32_t count;
    uint64_t at;
    struct value value;
    const void *label;           // in the guest program
    void (*play)(struct play *); // ROW_PLAY
    const uint64_t *args;        // hypercall arguments
};

#define EXIT_(kind_, at_, width_, ...) \
    {.what = ROW_EXIT, .kind = AXVCPU_EXIT_##kind_, .at = (at_), .width = (width_), .value = __VA_ARGS__}
#define DO_(what_, ...) {.what = ROW_##what_, __VA_ARGS__}
#define ERR_(err_) .err = AXVCPU_##err_

// Exits. Reads come with their answer.
#define IN_UNANSWERED(port, width) EXIT_(IO_READ, port, width, K(0))
#define MMIO_R_UNANSWERED(addr, width) EXIT_(MMIO_READ, addr, width, K(0))
#define IN(port, width, ...) IN_UNANSWERED(port, width), COMPLETE(__VA_ARGS__)
#define MMIO_R(addr, width, ...) MMIO_R_UNANSWERED(addr, width), COMPLETE(__VA_ARGS__)
#define SYSREG_R_UNANSWERED(addr) EXIT_(SYSREG_READ, addr, 8, K(0))
#define SYSREG_R(addr, ...) SYSREG_R_UNANSWERED(addr), COMPLETE(__VA_ARGS__)
#define SYSREG_W(addr, ...) EXIT_(SYSREG_WRITE, addr, 8, __VA_ARGS__)
#define OUT(port, width, ...) EXIT_(IO_WRITE, port, width, __VA_ARGS__)
#define MMIO_W(addr, width, ...) EXIT_(MMIO_WRITE, addr, width, __VA_ARGS__)
#define HALT EXIT_(HALT, 0, 0, K(0))
#define CANCELED EXIT_(CANCELED, 0, 0, K(0))
#define SHUTDOWN EXIT_(SHUTDOWN, 0, 0, K(0))
#define PAGE_FAULT(addr, access) EXIT_(NESTED_PAGE_FAULT, addr, access, K(0))
#define HYPERCALL(args_, ...) \
    {.what = ROW_EXIT, .kind = AXVCPU_EXIT_HYPERCALL, .at = sizeof(args_) / sizeof(uint64_t), .value = __VA_ARGS__, .args = (args_)}
#define IPI(target, vector, ...) EXIT_(SEND_IPI, target, vector, __VA_ARGS__) // value: what else it says, ipi.aux
#define STARTS(target, ...) EXIT_(CPU_UP, target, 0, __VA_ARGS__)              // at value; target 0: whoever
#define UNDECODED(addr, label_) {.what = ROW_EXIT, .kind = AXVCPU_EXIT_UNDECODED, .at = (addr), .label = (label_)}
#define STRING_IN(port, width_, n) DO_(STRING, .kind = AXVCPU_EXIT_IO_READ, .at = (port), .width = (width_), .count = (n))
#define STRING_OUT(port, width_, n) DO_(STRING, .kind = AXVCPU_EXIT_IO_WRITE, .at = (port), .width = (width_), .count = (n))

// Deeds and checks.
#define COMPLETE(...) DO_(COMPLETE, .value = __VA_ARGS__)
#define COMPLETE_FAILS(err_) DO_(COMPLETE, ERR_(err_))
#define RETURN(...) DO_(RETURN, .value = __VA_ARGS__)
#define REFUSE DO_(REFUSE, .count = 0)
#define RETRY DO_(RETRY, .count = 0)
#define RETRY_FAILS(err_) DO_(RETRY, ERR_(err_))
#define SETTLE DO_(SETTLE, .count = 0)
#define SETTLE_FAILS(err_) DO_(SETTLE, ERR_(err_))
#define RUN_FAILS(err_) DO_(RUN, ERR_(err_))
#define REG_IS(reg, ...) DO_(GET, .at = (reg), .value = __VA_ARGS__)
#define SET_REG(reg, ...) DO_(SET, .at = (reg), .value = __VA_ARGS__)
#define BREAK_REG(reg, ...) DO_(BREAK, .at = (reg), .value = __VA_ARGS__)
#define PC_IS(label_) DO_(PC, .label = (label_))
#define GO_TO(label_) DO_(GOTO, .label = (label_))
#define MEM_IS(addr, width_, ...) DO_(MEM, .at = (addr), .width = (width_), .value = __VA_ARGS__)
#define MEM_ARE(addr, width_, n) DO_(MEM, .at = (addr), .width = (width_), .count = (n))
#define POKE(addr, width_, ...) DO_(POKE, .at = (addr), .width = (width_), .value = __VA_ARGS__)
#define POKES(addr, width_, n) DO_(POKE, .at = (addr), .width = (width_), .count = (n))
#define INJECT(vector) DO_(INJECT, .at = (vector))
#define INJECT_FAILS(vector, err_) DO_(INJECT, .at = (vector), ERR_(err_))
#define NMI DO_(NMI, .count = 0)
#define LINE(irq, level) DO_(LINE, .at = (irq), .width = (level))
#define KICK DO_(KICK, .count = 0)
#define BLOCK DO_(BLOCK, .count = 0)
#define BLOCK_FAILS(err_) DO_(BLOCK, ERR_(err_))
#define UNBLOCK DO_(UNBLOCK, .count = 0)
#define STATE_IS(state) DO_(STATE, .at = AXVCPU_STATE_##state)
#define REBIND DO_(REBIND, .count = 0)
#define MOVE DO_(MOVE, .count = 0)
#define LOOP(n) DO_(LOOP, .count = (n))
#define AGAIN DO_(AGAIN, .count = 0)
#define VCPU(n) DO_(VCPU, .at = (n))
#define RAM_AT(addr) DO_(RAM, .at = (addr))
#define PLAY(fn) DO_(PLAY, .play = (fn))

// ---- a case: a program, the mode that it starts in, and its rows

struct test_case {
    const char *name;
    uint32_t mode; // the architecture's own word; also in bits 8 and up the number of vCPUs, 0: one
    const uint8_t *program, *end;
    const struct row *rows;
    uint32_t row_count;
    uint32_t once; // 1: only in the plain style
};
#define CASE_FLAGS(name_, program_, mode_, flags_)                                                         \
    {                                                                                                      \
        .name = #name_, .mode = (mode_), .program = guest_##program_, .end = guest_##program_##_end,       \
        .rows = rows_##name_, .row_count = sizeof(rows_##name_) / sizeof(rows_##name_[0]), .once = (flags_) \
    }
#define CASE(name_, program_, mode_) CASE_FLAGS(name_, program_, mode_, 0)
#define CASE_ONCE(name_, program_, mode_) CASE_FLAGS(name_, program_, mode_, 1)
#define VCPUS(n) ((uint32_t)(n) << 8)

// Given by the architecture's directory: the table, and how a vCPU starts in a mode.
extern const struct test_case conformance_cases[];
extern const uint32_t conformance_case_count;
extern const char conformance_arch[];
void conformance_prepare(const struct test_case *, struct axvm_arch_desc *, struct axvcpu_arch_setup *);

// Where things are in a guest's memory; the architecture decides, in its layout.h.
#include "layout.h"

// ---- the case that is being played

enum { MAX_VCPUS = 2 };
struct play {
    const struct test_case *test;
    uint32_t style;
    uint64_t nonce;
    struct axvm vm;
    struct axvcpu vcpus[MAX_VCPUS];
    struct axvcpu *v; // the one that rows are about
    struct axvcpu_exit exit[MAX_VCPUS];
    bool kicked[MAX_VCPUS]; // by the style, and no CANCELED seen for it yet
    uint8_t *ram;
    const struct row *row;
    uint32_t turn, loop_at, ended;
    const char *wrong; // the first thing that was not as it should be
    char text[320];
};

// For ROW_PLAY: run to the next exit, note what is wrong.
bool play_run(struct play *);
void play_wrong(struct play *, const char *what, uint64_t got, uint64_t wanted);
uint64_t play_value(const struct play *, struct value);
void play_counted(struct play *, uint64_t got, uint64_t wanted); // interrupts; what TWICE of absent.h allows is said

// ---- the port: what the runner asks of the place that it runs in

const char *port_substrate(void);              // a name from absent.h
void port_print(const char *line);             // a line without its end
uint64_t port_random(void);                    // not the same in two runs
void port_seed(uint64_t seed);                 // a test is about to use it
void port_begin(const char *name);             // a case begins: it must be over soon
axvcpu_backing_t port_memory(uint64_t size, uint8_t **ptr); // zeroed, page-aligned, until port_forget
void port_forget(void);                        // all of it goes back
bool port_start(void (*fn)(void *), void *arg); // on another CPU; false: there is none
void port_join(void);                          // ... until fn has returned
void port_pause(uint32_t ns);                  // about so long
void port_alarm(uint32_t ns, void (*fn)(void *), void *arg); // once, on this CPU, from an interrupt or signal
#pragma weak port_alarm // a port that has no case for it need not have it

int conformance_main(const char *only); // 0: all well; only: the cases of this name, or all that begin so: "rep*"

#endif
