// SPDX-License-Identifier: Apache-2.0
//
// Hostile guests: half of them programs of the conformance suite of which some bytes are others, half of them
// random instructions. Their exits are answered at random, too. Each has HOSTILE_EXITS exits; one that makes none
// is kicked by an alarm. After each the host's registers, system registers and memory are what they were, and
// after each run the vCPU is in a state that the manual has.
//
// It takes the place of the conformance suite's runner, on the same ports. What the port takes for the name of a
// case is here SEED, or SEED.N (hexadecimal, decimal): the seed of all guests, and the only one that is to run,
// which then tells of each exit.
#include "hostile.h"

#ifndef HOSTILE_GUESTS
#define HOSTILE_GUESTS 200
#endif
#ifndef HOSTILE_EXITS
#define HOSTILE_EXITS 1000
#endif
#ifndef HOSTILE_KINDS
#define HOSTILE_KINDS 8
#endif
#ifndef HOSTILE_ALARM_NS
#define HOSTILE_ALARM_NS 100000
#endif
enum { CODE = 0x4000, BATCH = HOSTILE_GUESTS / 8, MAX_FAILS = 3 };

// Tables of the suite refer to these; no row is ever played.
bool play_run(struct play *p)
{
    (void)p;
    return false;
}
void play_wrong(struct play *p, const char *what, uint64_t got, uint64_t wanted)
{
    (void)p, (void)what, (void)got, (void)wanted;
}
void play_counted(struct play *p, uint64_t got, uint64_t wanted)
{
    (void)p, (void)got, (void)wanted;
}
uint64_t play_value(const struct play *p, struct value v)
{
    (void)p;
    return v.k;
}

// ---- words

static char line[512];
static size_t length;

static void put(const char *s)
{
    for (; *s && length + 1 < sizeof line; s++)
        line[length++] = *s;
    line[length] = 0;
}

static void put_number(uint64_t n, uint32_t base)
{
    char digits[24];
    size_t i = sizeof digits - 1;
    digits[i] = 0;
    do
        digits[--i] = "0123456789abcdef"[n % base];
    while ((n /= base) != 0);
    put(digits + i);
}

static void put_end(void)
{
    port_print(line);
    length = 0;
}

// What the library says first is the cause.
static char first_log[256];
void conformance_log(const char *text)
{
    size_t i = 0;
    if (first_log[0])
        return;
    for (; text[i] && i < sizeof first_log - 1; i++)
        first_log[i] = text[i];
    first_log[i] = 0;
}

// ---- the guest

static uint64_t seed, state;
static struct {
    uint64_t guard[4];
    struct axvm vm;
    uint64_t guard2[4];
    struct axvcpu vcpus[MAX_VCPUS];
    uint64_t guard3[4];
} box;
static struct axvcpu *v;
static struct axvcpu_exit x;
static const struct test_case *program; // NULL: random instructions
static uint8_t *ram;
static bool by_vm, telling; // by_vm: run by axvm_run_vcpu
static uint32_t guest, exits, kinds[AXVCPU_EXIT_COUNT], entries_failed;
static const char *wrong;
static uint64_t words[MAX_WORDS];

// splitmix64
uint64_t hostile_random(void)
{
    uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

uint32_t hostile_below(uint32_t n)
{
    return (uint32_t)(hostile_random() >> 32) % n;
}

uint64_t hostile_value(void)
{
    switch (hostile_below(8)) {
    case 0: return hostile_random();
    case 1: return hostile_below(16);
    case 2: return MMIO + hostile_below(0x1000);
    case 3: return RAM_END - hostile_below(16);
    case 4: return 0 - (uint64_t)hostile_below(4096);
    case 5: return UINT64_C(1) << hostile_below(64);
    default: return RAM_BASE + hostile_below(RAM_SIZE);
    }
}

static void fails(const char *what)
{
    if (!wrong)
        wrong = what;
}

// Nothing but this may come of it.
static void must(int err, const char *what)
{
    if (err != AXVCPU_OK && !wrong) {
        wrong = what;
        put("# ");
        put(what);
        put(": ");
        put(axvcpu_strerror(err));
        put(", ");
        put(first_log);
        put_end();
    }
}

static uint64_t somewhere(void)
{
    return hostile_below(16) == 0 ? hostile_value() : LOAD + (hostile_below(CODE) & ~3u);
}

static void scribble(uint8_t *code, size_t size)
{
    uint8_t insn[MAX_INSN];
    for (size_t at = 0, n; at + MAX_INSN <= size; at += n) {
        n = hostile_insn(insn);
        AXVCPU_MEMCPY(code + at, insn, n);
    }
}

// A bit, a byte, an instruction, or a piece of itself.
static void mutate(uint8_t *code, uint32_t size)
{
    uint8_t insn[MAX_INSN];
    uint32_t at = hostile_below(size), n;
    switch (hostile_below(4)) {
    case 0: code[at] ^= (uint8_t)(1u << hostile_below(8)); break;
    case 1: code[at] = (uint8_t)hostile_random(); break;
    case 2:
        n = hostile_insn(insn);
        AXVCPU_MEMCPY(code + (at & ~1u), insn, n);
        break;
    default: __builtin_memmove(code + (at & ~3u), code + (hostile_below(size) & ~3u), 16); break;
    }
}

static void load_program(void)
{
    uint8_t *code = ram + (LOAD - RAM_BASE);
    uint32_t size = program ? (uint32_t)(program->end - program->program) : 0;
    if (!program) {
        scribble(code, CODE);
        hostile_mend(code, CODE);
        return;
    }
    scribble(code + size, CODE / 4);
    AXVCPU_MEMCPY(code, program->program, size);
    for (uint32_t n = 1 + hostile_below(8); n > 0; n--)
        mutate(code, size);
    hostile_mend(code, CODE);
}

static void set_registers(void)
{
    for (uint32_t i = 0; i < hostile_gprs; i++)
        (void)axvcpu_set_gpr(v, i, hostile_value());
}

// ---- what not every architecture has

__attribute__((weak)) bool hostile_explains(struct axvcpu *vcpu)
{
    (void)vcpu;
    return false;
}

__attribute__((weak)) bool hostile_owns(const struct axvcpu *vcpu, uint64_t at)
{
    (void)vcpu, (void)at;
    return false;
}

__attribute__((weak)) void hostile_bound(struct axvcpu_arch_setup *setup)
{
    (void)setup;
}

__attribute__((weak)) void hostile_exclude(struct axvcpu *vcpu)
{
    (void)vcpu;
}

__attribute__((weak)) void hostile_mend(uint8_t *code, size_t size)
{
    (void)code, (void)size;
}

__attribute__((weak)) uint32_t hostile_ranges(struct hostile_range *to)
{
    (void)to;
    return 0;
}

// A program may want what this machine lacks: then another one.
static bool try_create(void)
{
    static struct axvcpu_desc descs[MAX_VCPUS];
    static struct axvcpu_arch_setup setups[MAX_VCPUS];
    struct axvm_desc d = {.vcpus = box.vcpus, .vcpu_count = MAX_VCPUS, .vcpu_descs = descs, .setups = setups,
                          .bsp_entry = axvcpu_gpa(LOAD), .ap_entry = axvcpu_gpa(LOAD)};
    static const struct test_case none;
    program = guest % 2 == 0 ? &conformance_cases[hostile_below(conformance_case_count)] : NULL;
    by_vm = hostile_below(4) == 0;
    AXVCPU_MEMSET(setups, 0, sizeof setups);
    conformance_prepare(program ? program : &none, &d.arch, &setups[0]);
    if (!program)
        hostile_mode(&d.arch, &setups[0]);
    hostile_bound(&setups[0]);
    setups[1] = setups[0];
    place_before();
    axvcpu_backing_t memory = port_memory(RAM_SIZE, &ram);
    must(axvm_init(&box.vm, &d), "axvm_init");
    must(axvm_map(&box.vm, axvcpu_gpa(RAM_BASE), memory, RAM_SIZE, AXVM_MAP_RWX), "axvm_map");
    place_tables();
    load_program();
    int err = axvm_boot(&box.vm);
    v = axvm_vcpu(&box.vm, 0);
    if (err == AXVCPU_ENOSUPPORT && program) {
        place_ready(ram, &box.vm);
        return false;
    }
    must(err, "axvm_boot");
    for (uint32_t i = 0; i < MAX_VCPUS; i++)
        hostile_exclude(axvm_vcpu(&box.vm, i));
    if (!program) {
        set_registers();
        hostile_free(v, ram);
    }
    if (!by_vm)
        must(axvcpu_bind(v), "bind");
    place_ready(ram, &box.vm);
    return true;
}

static void destroy(void)
{
    if (axvcpu_get_state(v) == AXVCPU_STATE_BLOCKED)
        must(axvcpu_unblock(v), "unblock");
    if (axvcpu_get_state(v) == AXVCPU_STATE_READY)
        must(axvcpu_unbind(v), "unbind");
    const char *changed = place_changed();
    must(axvm_deinit(&box.vm), "axvm_deinit");
    port_forget();
    if (changed)
        fails(changed);
}

// Some guests end at once, again and again: each VM has its time.
static void create(void)
{
    port_begin("hostile");
    while (!try_create())
        destroy();
}

// ---- answers

static void go_elsewhere(void)
{
    (void)axvcpu_set_reg(v, AXVCPU_REG_PC, somewhere());
    if (hostile_below(2) == 0) {
        uint8_t *code = ram + (LOAD - RAM_BASE) + (hostile_below(CODE) & ~15u);
        scribble(code, 64);
        hostile_mend(code - MAX_INSN, 64 + 2 * MAX_INSN);
    }
    for (uint32_t i = 0; i < 4; i++)
        (void)axvcpu_set_gpr(v, hostile_below(hostile_gprs), hostile_value());
}

static void answer_cpuid(void)
{
    uint32_t regs[4];
    for (uint32_t i = 0; i < 4; i++)
        regs[i] = (uint32_t)hostile_random();
    must(axvcpu_complete_cpuid(v, regs), "complete_cpuid");
}

static void fill_string(void)
{
    for (uint64_t i = 0; i < (uint64_t)x.io.count * x.io.width; i++)
        ((uint8_t *)x.io.buf)[i] = (uint8_t)hostile_random();
}

static void answer_read(void)
{
    uint32_t way = hostile_below(16);
    if (x.kind == AXVCPU_EXIT_IO_READ && x.io.count > 1)
        fill_string();
    if (way == 0) { // unanswered: said, and nothing lost
        struct axvcpu_exit other;
        if ((by_vm ? axvm_run_vcpu(&box.vm, 0, &other) : axvcpu_run(v, &other)) != AXVCPU_EPENDING)
            fails("an unanswered read is not EPENDING");
    }
    if (way == 1)
        must(axvcpu_retry(v), "retry");
    else if (way < 4)
        must(axvcpu_refuse(v), "refuse");
    else if (x.kind == AXVCPU_EXIT_CPUID)
        answer_cpuid();
    else
        must(axvcpu_complete(v, hostile_value()), "complete");
}

static void answer_write(void)
{
    uint32_t way = hostile_below(16);
    if (way == 0)
        (void)axvcpu_retry(v); // a backend may be past it
    else if (way < 3)
        (void)axvcpu_refuse(v);
}

static void answer_fault(void)
{
    uint32_t vector;
    uint64_t error;
    if (hostile_below(4) != 0) {
        go_elsewhere();
        return;
    }
    hostile_exception(&vector, &error);
    (void)axvcpu_inject_exception(v, vector, error, hostile_value());
}

// It is over with this one: begin again, or with another VM.
static void answer_end(void)
{
    if ((by_vm && x.kind != AXVCPU_EXIT_SHUTDOWN) || hostile_below(8) == 0 || axvcpu_restart(v, axvcpu_gpa(somewhere()), hostile_value()) != AXVCPU_OK) {
        destroy();
        create();
    } else {
        hostile_exclude(v);
        set_registers();
    }
}

// Under a kernel it goes on, if it does not go round in circles; one that has lost its translation does for ever.
static void answer_kick(void)
{
    static uint64_t last;
    uint64_t pc = 0;
    (void)axvcpu_get_reg(v, AXVCPU_REG_PC, &pc);
    if (AXVCPU_I_HOSTED && pc != last && hostile_below(4) != 0) {
        last = pc;
    } else if (AXVCPU_I_HOSTED && hostile_below(4) == 0) {
        answer_end();
    } else {
        go_elsewhere();
        hostile_free(v, ram);
    }
}

// What a host may do between two runs.
static void meddle(void)
{
    switch (hostile_below(32)) {
    case 0: (void)axvcpu_inject_interrupt(v, hostile_vectors()); break;
    case 1: (void)axvcpu_set_irq(v, hostile_vectors(), hostile_below(2) != 0); break;
    case 2: (void)axvcpu_inject_nmi(v); break;
    case 3: must(axvcpu_kick(v), "kick"); break;
    case 4:
        if (!by_vm) {
            must(axvcpu_put(v), "put");
            must(axvcpu_load(v), "load");
        }
        break;
    case 5:
        if (!by_vm) {
            must(axvcpu_unbind(v), "unbind");
            must(axvcpu_bind(v), "bind");
        }
        break;
    case 6: go_elsewhere(); break;
    default: break;
    }
}

static void answer(void)
{
    switch (x.kind) {
    case AXVCPU_EXIT_HYPERCALL: (void)axvcpu_set_return_value(v, hostile_value()); break;
    case AXVCPU_EXIT_EXTERNAL_INTERRUPT:
#if !AXVCPU_I_HOSTED
        AXVCPU_IRQ_HANDLER(x.irq.vector);
#endif
        break;
    case AXVCPU_EXIT_CANCELED:
    case AXVCPU_EXIT_TIMER: answer_kick(); break;
    case AXVCPU_EXIT_NESTED_PAGE_FAULT:
    case AXVCPU_EXIT_UNDECODED:
    case AXVCPU_EXIT_EXCEPTION:
    case AXVCPU_EXIT_DEBUG:
    case AXVCPU_EXIT_RAW: answer_fault(); break;
    case AXVCPU_EXIT_FAIL_ENTRY:
        entries_failed++;
        if (!by_vm && !hostile_explains(v)) // after axvm_run_vcpu it is not loaded any more
            fails("FAIL_ENTRY without a word");
        answer_end();
        return;
    case AXVCPU_EXIT_SHUTDOWN:
    case AXVCPU_EXIT_CPU_DOWN:
    case AXVCPU_EXIT_SYSTEM_DOWN: answer_end(); return;
    default:
        if ((AXVCPU_READ_KINDS >> x.kind & 1) != 0)
            answer_read();
        else if ((AXVCPU_WRITE_KINDS >> x.kind & 1) != 0)
            answer_write();
    }
    meddle();
}

// ---- one guest

static int run_it(struct axvcpu *vcpu, struct axvcpu_exit *exit)
{
    return by_vm ? axvm_run_vcpu(&box.vm, axvcpu_id(vcpu), exit) : axvcpu_run(vcpu, exit);
}

static void enough(void *vcpu)
{
    (void)axvcpu_kick(vcpu);
}

static void compare(uint32_t count, const char *when)
{
    uint64_t now[MAX_WORDS];
    uint32_t n = hostile_words(now);
    for (uint32_t i = 0; i < (count ? count : n); i++)
        if (now[i] != words[i] && !wrong) {
            wrong = "a register of the host's";
            put("# ");
            put(hostile_word_names[i]);
            put(when);
            put(" was 0x");
            put_number(words[i], 16);
            put(" and is 0x");
            put_number(now[i], 16);
            put_end();
        }
}

static void preserved(uint64_t changed)
{
    for (uint32_t i = 0; i < 64; i++)
        if ((changed >> i & 1) != 0) {
            fails("a register that a call preserves");
            put("# not preserved: ");
            put(hostile_register_names[i]);
            put_end();
        }
}

static void tell(void)
{
    char text[200];
    uint64_t pc = 0;
    if (!telling)
        return;
    axvcpu_exit_print(text, sizeof text, &x);
    put("# ");
    put_number(exits, 10);
    put(" ");
    put(text);
    put(" PC 0x");
    (void)axvcpu_get_reg(v, AXVCPU_REG_PC, &pc);
    put_number(pc, 16);
    put_end();
}

// One alarm in four meets the run on its way into the guest, anywhere.
static uint32_t patience(void)
{
    return hostile_below(4) == 0 ? hostile_below(HOSTILE_ALARM_NS / 5) : HOSTILE_ALARM_NS;
}

static void one_exit(void)
{
    uint64_t changed = 0;
    port_alarm(patience(), enough, v);
    first_log[0] = 0;
    int err = hostile_call(run_it, v, &x, &changed);
    preserved(changed);
    compare(hostile_always, " after a run");
    if (by_vm && err == AXVCPU_EAGAIN) { // it is off, or asleep for good
        x.kind = AXVCPU_EXIT_NOTHING;
        answer_end();
        return;
    }
    must(err, "run");
    if (x.kind >= AXVCPU_EXIT_COUNT || (x.kind == AXVCPU_EXIT_NOTHING && err == AXVCPU_OK && !by_vm))
        fails("an exit of no kind");
    if (axvcpu_get_state(v) != (by_vm ? AXVCPU_STATE_FREE : AXVCPU_STATE_READY))
        fails("a state that the manual has not");
    if (axvcpu_current() != NULL)
        fails("there is a current vCPU");
    if (wrong)
        return;
    kinds[x.kind]++;
    tell();
    answer();
}

static bool guarded(void)
{
    bool good = true;
    for (uint32_t i = 0; i < 4; i++)
        good = good && box.guard[i] == ~(uint64_t)i && box.guard2[i] == ~(uint64_t)i && box.guard3[i] == ~(uint64_t)i;
    return good;
}

static void set_guards(void)
{
    for (uint32_t i = 0; i < 4; i++)
        box.guard[i] = box.guard2[i] = box.guard3[i] = ~(uint64_t)i;
}

static void play_guest(uint32_t n)
{
    guest = n;
    wrong = NULL;
    state = seed ^ (uint64_t)n << 32;
    (void)hostile_random();
    hostile_words(words);
    create();
    put("# guest ");
    put_number(n, 10);
    put(program ? ", from " : ", random instructions");
    put(program ? program->name : "");
    put_end();
    for (exits = 0; exits < HOSTILE_EXITS && !wrong; exits++)
        one_exit();
    destroy();
    compare(0, " afterwards");
    if (!guarded())
        fails("the memory beside the VM's objects");
    set_guards();
    if (wrong) {
        put("# guest ");
        put_number(n, 10);
        put(", exit ");
        put_number(exits, 10);
        put(" ");
        put(axvcpu_exit_name(x.kind));
        put(": ");
        put(wrong);
        put("; again by ONLY=");
        put_number(seed, 16);
        put(".");
        put_number(n, 10);
        put_end();
    }
}

// ---- all of them

static uint32_t cases, failed;

static void report(bool good, uint32_t first, uint32_t last, const char *text)
{
    failed += !good;
    put(good ? "ok " : "not ok ");
    put_number(++cases, 10);
    put(" - ");
    put(conformance_arch);
    if (last != 0) {
        put(", guests ");
        put_number(first, 10);
        put(" to ");
        put_number(last, 10);
    }
    put(": ");
    put(text);
    put_end();
}

static uint64_t number(const char **text, uint32_t base)
{
    uint64_t n = 0;
    for (; (**text >= '0' && **text <= '9') || (base == 16 && **text >= 'a' && **text <= 'f'); ++*text)
        n = n * base + (uint64_t)(**text <= '9' ? **text - '0' : **text - 'a' + 10);
    return n;
}

static void show_kinds(void)
{
    uint32_t seen = 0, sum = 0;
    for (uint32_t i = 0; i < AXVCPU_EXIT_COUNT; i++)
        if (kinds[i] != 0) {
            seen++;
            sum += kinds[i];
            put("# ");
            put(axvcpu_exit_name(i));
            put(" ");
            put_number(kinds[i], 10);
            put_end();
        }
    put("# exits ");
    put_number(sum, 10);
    put_end();
    report(seen >= HOSTILE_KINDS, 0, 0, "as many kinds of exits as there must be");
}

static void play_batch(uint32_t first, uint32_t last)
{
    bool good = true;
    for (uint32_t i = first; i <= last && failed < MAX_FAILS; i++) {
        play_guest(i);
        good = good && !wrong;
    }
    report(good, first, last, "the host is as it was");
}

int conformance_main(const char *only)
{
    const char *text = only ? only : "";
    seed = number(&text, 16);
    telling = *text == '.';
    if (seed == 0)
        seed = port_random();
    port_seed(seed);
    set_guards();
    if (telling) {
        text++;
        uint32_t n = (uint32_t)number(&text, 10);
        play_batch(n, n);
    } else {
        for (uint32_t i = 0; i < 8; i++)
            play_batch(i * BATCH, (i + 1) * BATCH - 1);
        show_kinds();
    }
    place_finish();
    const char *changed = place_changed_ever();
    report(!changed, 0, 0, changed ? changed : "all the rest of the host's memory");
    put("1..");
    put_number(cases, 10);
    put_end();
    return failed != 0;
}
