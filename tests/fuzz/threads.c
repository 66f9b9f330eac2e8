// SPDX-License-Identifier: Apache-2.0
//
// Calls that overlap: three CPUs on one vCPU, each a coroutine that can lose its turn at every atomic operation of
// the library. The fuzzer's bytes are rounds of up to two calls of each CPU, and whose turn it is for how long. At
// the end of a round all results, and all that there is to know of the vCPU, are those of some order of the model's
// steps (model.h) in which each call begins and ends where it has; no two CPUs are ever inside of the vCPU.
//
// What a caller owes is kept: nobody else uses a vCPU while it is created, moved by a combinator or ended; only a
// CPU that does nothing meanwhile is taken for dead; nobody gives back a reference that he does not have.
static void at_atomic(void);
#define AXVCPU_ATOMIC_LOAD(p) (at_atomic(), __atomic_load_n(p, __ATOMIC_SEQ_CST))
#define AXVCPU_ATOMIC_LOAD_ACQUIRE(p) (at_atomic(), __atomic_load_n(p, __ATOMIC_ACQUIRE))
#define AXVCPU_ATOMIC_LOAD_RELAXED(p) (at_atomic(), __atomic_load_n(p, __ATOMIC_RELAXED))
#define AXVCPU_ATOMIC_STORE_RELEASE(p, x) (at_atomic(), __atomic_store_n(p, x, __ATOMIC_RELEASE))
#define AXVCPU_ATOMIC_STORE_RELAXED(p, x) (at_atomic(), __atomic_store_n(p, x, __ATOMIC_RELAXED))
#define AXVCPU_ATOMIC_XCHG(p, x) (at_atomic(), __atomic_exchange_n(p, x, __ATOMIC_SEQ_CST))
#define AXVCPU_ATOMIC_FETCH_OR(p, x) (at_atomic(), __atomic_fetch_or(p, x, __ATOMIC_SEQ_CST))
#define AXVCPU_ATOMIC_FETCH_AND(p, x) (at_atomic(), __atomic_fetch_and(p, x, __ATOMIC_SEQ_CST))
#define AXVCPU_ATOMIC_FETCH_ADD(p, x) (at_atomic(), __atomic_fetch_add(p, x, __ATOMIC_SEQ_CST))
#define AXVCPU_ATOMIC_CAS(p, e, x) \
    (at_atomic(), __atomic_compare_exchange_n(p, e, x, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
#include <sanitizer/common_interface_defs.h>
#include <ucontext.h>
#include "tests/fuzz/model.h"
#pragma clang attribute push(__attribute__((no_sanitize("coverage", "address"))), apply_to = function)

enum { EACH = 2, STACK = 1 << 15, NEVER = 1 << 30 };

static struct axvcpu vcpu;
static struct model before; // the last round's end
static unsigned now;        // counts beginnings and ends

static struct cpu {
    struct call calls[EACH];
    struct outcome got[EACH];
    unsigned count, at, began[EACH], ended[EACH], points; // atomic operations of the call that it is in
    ucontext_t context;
    char stack[STACK];
} cpus[CPUS];

// ---- coroutines: one for each CPU, and the one that deals out turns

static ucontext_t dealer;
static const void *dealer_stack;
static size_t dealer_size;
static bool inside; // of the library, so that a turn may end
static unsigned turns_left;

static void change(ucontext_t *from, ucontext_t *to, const void *stack, size_t size)
{
    bool back = from != &dealer; // from there, when this returns
    void *fake;
    __sanitizer_start_switch_fiber(&fake, stack, size);
    must(swapcontext(from, to) == 0);
    __sanitizer_finish_switch_fiber(fake, back ? &dealer_stack : NULL, back ? &dealer_size : NULL);
}

// What the fuzzer shall explore besides: which call is interrupted at which of its points.
enum { POINTS = 64 };
__attribute__((section("__libfuzzer_extra_counters"))) static uint8_t interrupted[OPERATIONS][POINTS];

static void give_turn(unsigned cpu, unsigned length)
{
    this_cpu = cpu;
    turns_left = length;
    change(&dealer, &cpus[cpu].context, cpus[cpu].stack, STACK);
    inside = false;
}

static void end_turn(void)
{
    change(&cpus[this_cpu].context, &dealer, dealer_stack, dealer_size);
}

static void only_one_inside(void)
{
    unsigned inside_it = 0;
    for (unsigned i = 0; i < CPUS; i++)
        inside_it += currents[i] != NULL;
    must(inside_it <= 1);
}

static void at_atomic(void)
{
    struct cpu *c = &cpus[this_cpu];
    if (!inside)
        return;
    only_one_inside();
    c->points++;
    if (turns_left-- != 0)
        return;
    interrupted[c->calls[c->at].what - operations][c->points % POINTS] = 1;
    end_turn();
    inside = true;
}

static void make_calls(struct cpu *me)
{
    while (me->at < me->count) {
        const struct call *c = &me->calls[me->at];
        me->began[me->at] = ++now;
        prepare(&vcpu, c);
        inside = true;
        me->got[me->at] = c->what->fn(&vcpu, c);
        inside = false;
        must(currents[this_cpu] == NULL);
        me->points = 0;
        me->ended[me->at++] = ++now;
    }
}

static void live(void)
{
    __sanitizer_finish_switch_fiber(NULL, &dealer_stack, &dealer_size);
    for (;;) {
        make_calls(&cpus[this_cpu]);
        end_turn();
    }
}

static void create(struct cpu *c)
{
    must(getcontext(&c->context) == 0);
    c->context.uc_stack.ss_sp = c->stack;
    c->context.uc_stack.ss_size = STACK;
    makecontext(&c->context, live, 0);
}

// ---- is there an order of the model's steps that explains the round?

struct story {
    struct model m;
    struct play plays[CPUS];
    uint8_t at[CPUS];
};
static struct model after;
static bool whole_calls; // first without overlap: that is often enough, and sooner found

static struct story first_page(void)
{
    struct story s;
    memset(&s, 0, sizeof s);
    s.m = before;
    for (unsigned i = 0; i < CPUS; i++)
        s.plays[i].call = &cpus[i].calls[0];
    return s;
}

static bool is_over(const struct story *s, unsigned cpu)
{
    return s->at[cpu] == cpus[cpu].count;
}

// What had ended before it began comes before it.
static bool may_go_on(const struct story *s, unsigned cpu)
{
    if (is_over(s, cpu))
        return false;
    for (unsigned i = 0; i < CPUS; i++)
        if (!is_over(s, i) && cpus[i].ended[s->at[i]] < cpus[cpu].began[s->at[cpu]])
            return false;
    return true;
}

// False: the call has another result.
static bool go_on(struct story *s, unsigned cpu)
{
    struct play *p = &s->plays[cpu];
    do
        advance(&s->m, p);
    while (whole_calls && !p->done);
    if (!p->done)
        return true;
    if (!same_outcome(p->out, cpus[cpu].got[s->at[cpu]]))
        return false;
    memset(p, 0, sizeof *p);
    if (++s->at[cpu] < cpus[cpu].count)
        p->call = &cpus[cpu].calls[s->at[cpu]];
    return true;
}

// Where this search has been, by hash: from there it does not end well. What earlier ones have left does not matter.
enum { VISITS = 1 << 20 };
static uint64_t visits[VISITS], search;
static unsigned visited;

static bool been_there(const struct story *s)
{
    const uint64_t mix = UINT64_C(0x9e3779b97f4a7c15);
    uint64_t hash = search * mix, words[sizeof *s / 8], i;
    memcpy(words, s, sizeof words);
    for (i = 0; i < sizeof words / 8; i++)
        hash = (hash ^ words[i] ^ hash >> 29) * mix;
    for (i = hash >> 44; visits[i] != 0 && visits[i] != hash; i = (i + 1) % VISITS)
        continue;
    must(++visited < VISITS / 2);
    if (visits[i] == hash)
        return true;
    visits[i] = hash;
    return false;
}

// The one whose call ended first.
static unsigned next_of(const struct story *s, unsigned tried)
{
    unsigned best = CPUS;
    for (unsigned i = 0; i < CPUS; i++)
        if ((tried >> i & 1) == 0 && may_go_on(s, i) &&
            (best == CPUS || cpus[i].ended[s->at[i]] < cpus[best].ended[s->at[best]]))
            best = i;
    return best;
}

static bool ends_well(const struct story *s)
{
    struct model end = s->m;
    tidy(&end);
    return difference(&end, &after) == NULL;
}

static bool explain(const struct story *s)
{
    unsigned cpu, tried = 0;
    if (is_over(s, 0) && is_over(s, 1) && is_over(s, 2))
        return ends_well(s);
    if (been_there(s))
        return false;
    for (; (cpu = next_of(s, tried)) < CPUS; tried |= 1u << cpu) {
        struct story next = *s;
        if (go_on(&next, cpu) && explain(&next))
            return true;
    }
    return false;
}

static void print_model(const char *when, const struct model *m)
{
    fprintf(stderr, "%s:", when);
    for (const struct field *f = fields; f < fields + sizeof fields / sizeof fields[0]; f++)
        for (size_t i = 0; i < f->size; i += f->each) {
            uint64_t value = 0;
            memcpy(&value, (const char *)m + f->at + i, f->each);
            if (value != 0)
                fprintf(stderr, " %s[%zu] %#llx", f->name, i / f->each, (unsigned long long)value);
        }
    fprintf(stderr, "\n");
}

static void print_calls(const struct cpu *c)
{
    for (unsigned i = 0; i < c->count; i++)
        fprintf(stderr, "CPU %u, %u to %u: %s %u %u says %d, %#llx\n", c->calls[i].cpu, c->began[i], c->ended[i],
                c->calls[i].what->name, c->calls[i].arg[0], c->calls[i].arg[1], c->got[i].err,
                (unsigned long long)c->got[i].value);
}

static bool explained(bool whole)
{
    struct story s = first_page();
    whole_calls = whole;
    search++;
    if (visited > VISITS / 4) {
        memset(visits, 0, sizeof visits);
        visited = 0;
    }
    return explain(&s);
}

static void judge(void)
{
    after = observe(&vcpu);
    if (!explained(true) && !explained(false)) {
        print_model("before", &before);
        for (unsigned i = 0; i < CPUS; i++)
            print_calls(&cpus[i]);
        print_model("after, which no order explains", &after);
        abort();
    }
    before = after;
}

// ---- rounds

// Most of a call's atomic operations are within the first few.
static const unsigned lengths[32] = { 0, 1, 2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13,    14,    15,
                                      1, 2, 17, 18, 19, 20, 21, 22, 24, 26, 28, 30, 32, NEVER, NEVER, NEVER };

static void take_turns(void)
{
    for (;;) {
        unsigned waiting[CPUS], n = 0, byte = input_next(256);
        for (unsigned i = 0; i < CPUS; i++)
            if (cpus[i].at < cpus[i].count)
                waiting[n++] = i;
        if (n == 0)
            break;
        give_turn(waiting[byte % n], input_left == 0 ? NEVER : lengths[byte / 8]);
    }
    only_one_inside();
}

static void forget_calls(void)
{
    for (unsigned i = 0; i < CPUS; i++)
        cpus[i].count = cpus[i].at = 0;
}

static void play_alone(const struct call *c)
{
    struct outcome got, want;
    this_cpu = c->cpu;
    prepare(&vcpu, c);
    got = c->what->fn(&vcpu, c);
    want = alone(&before, c);
    must(same_outcome(got, want));
    tidy(&before);
    after = observe(&vcpu);
    must(difference(&before, &after) == NULL);
}

static struct round {
    unsigned wanted[CPUS], calls, unrefs, abandons;
} round;

// Whether it may be part of the round: its caller keeps what a caller owes. Who gives back the last reference
// overlaps with others who give back theirs.
static bool may_overlap(const struct call *c)
{
    uint32_t others = before.refs - round.unrefs; // references that stay
    bool ends = round.unrefs != 0 && others == 0;
    switch (c->what->needs) {
    case ALONE: return false;
    case DEAD_OWNER: return !ends && before.owner != 0 && round.wanted[before.owner - 1] == 0 && round.abandons == 0;
    case REFERENCE: return others > 1 || (others == 1 && round.unrefs == round.calls);
    default: return !ends;
    }
}

static void add(struct cpu *me, const struct call *c)
{
    me->calls[me->count++] = *c;
    round.calls++;
    round.unrefs += c->what->needs == REFERENCE;
    round.abandons += c->what->needs == DEAD_OWNER;
}

static void draw_calls(unsigned cpu)
{
    struct cpu *me = &cpus[cpu];
    for (unsigned n = round.wanted[cpu]; n > 0; n--) {
        struct call c = draw(cpu);
        if (!makes_sense(&before, &c))
            continue;
        if (may_overlap(&c))
            add(me, &c);
        else if (round.calls == 0)
            play_alone(&c);
    }
}

static void play_round(void)
{
    unsigned how = input_next(27);
    memset(&round, 0, sizeof round);
    forget_calls();
    for (unsigned i = 0; i < CPUS; i++, how /= 3)
        round.wanted[i] = how % 3;
    for (unsigned i = 0; i < CPUS; i++)
        draw_calls(i);
    take_turns();
    judge();
}

// ---- the beginning: a vCPU that can be used, of nobody's or of CPU 0's

static void begin(void)
{
    static struct outcome (*const fns[])(struct axvcpu *, const struct call *) = { do_init, do_ref, do_setup, do_bind,
                                                                                   do_block };
    unsigned stop = 5 - input_next(5);
    memset(&vcpu, 0, sizeof vcpu);
    memset(&before, 0, sizeof before);
    for (unsigned i = 0; i < stop; i++)
        for (unsigned k = 0; k < OPERATIONS; k++)
            if (operations[k].fn == fns[i]) {
                play_alone(&(struct call){ &operations[k], 0, { 0 } });
                break;
            }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (search == 0)
        for (unsigned i = 0; i < CPUS; i++)
            create(&cpus[i]);
    input_at = data;
    input_left = size;
    search++;
    now = 1;
    begin();
    while (input_left > 0)
        play_round();
    return 0;
}
#pragma clang attribute pop
