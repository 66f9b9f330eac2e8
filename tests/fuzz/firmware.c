// SPDX-License-Identifier: Apache-2.0
//
// Calls to the firmware, the whole way: any registers and any memory of a guest with three vCPUs, through the
// decoder and the VM layer's answers, against a reference model that is written from the specifications. Each call
// either comes back to the guest or is an exit for the caller, who answers it; then the guest's next instruction
// tells the PC, and everything is compared: registers of all vCPUs, who is up, pending and kicked, fences, timers,
// memory. The model of an architecture is in firmware_NAME.h.
#ifdef FIRMWARE_ARM64
#define FIRMWARE_MODEL "tests/fuzz/firmware_arm64.h"
#else
#define FIRMWARE_MODEL "tests/fuzz/firmware_riscv.h"
#endif
#define AXVCPU_ARCH_HEADER "tests/fuzz/firmware.h"
#define AXVCPU_CHECKED
#include "tests/fuzz/input.h"

enum { CPUS = 3, PAGE = 4096, PAGES = 6, REGS = 32 };

static uint32_t here; // which CPU this is: each vCPU has one of its own
static char tokens[CPUS];
struct fence {
    uint64_t op, start, size, asid;
    uint32_t count;
};
static struct fence fences;
static int64_t fence_answer;

__attribute__((unused)) static int64_t remote_fence(uint64_t op, uint64_t start, uint64_t size, uint64_t asid)
{
    fences = (struct fence){op, start, size, asid, fences.count + 1};
    return fence_answer;
}

#define AXVCPU_CPU_TOKEN() ((void *)&tokens[here])
#define AXVCPU_REMOTE_FENCE(op, start, size, id) remote_fence(op, start, size, id)
#define AXVCPU_LOG(level, text) ((void)(level), must((text)[0] != 0))
#define AXVCPU_IMPLEMENTATION
#include "axvcpu.h"

static struct axvm vm;
static struct axvcpu vcpus[CPUS];

// ---- what must be true: the model's side

enum state { DOWN, UP, PENDING };
struct cpu {
    uint64_t gpr[REGS], pc;
    enum state state;
    uint64_t entry, arg;     // PENDING: where it will start
    uint64_t queued, pending; // interrupts: not yet the guest's, and the guest's
    uint32_t kicks;
    bool bound;
};
static struct cpu cpus[CPUS];
static struct fence wanted_fence;
static uint64_t wanted_deadline, wanted_fault;

// What the call comes to. kind 0: the guest goes on at once.
struct outcome {
    uint32_t kind;
    bool handled; // by the VM layer, or by a handler of ours
    uint64_t fields[7];
};

// ---- memory: a few pages with holes between them, the last one ends at 2^64

static const uint64_t page_at[PAGES] = {0x1000, 0x2000, 0x3000, 0x5000, 0x80000000, 0 - (uint64_t)PAGE};
static uint32_t page_flags[PAGES]; // 0: a hole
static uint8_t *memory, mirror[PAGES * PAGE];

// Where the model has a byte of guest memory; NULL: nowhere, or not to be written.
static uint8_t *byte_at(uint64_t gpa, bool write)
{
    uint32_t needs = write ? AXVM_MAP_WRITE : AXVM_MAP_READ;
    for (uint32_t n = 0; n < PAGES; n++)
        if (gpa - page_at[n] < PAGE)
            return (page_flags[n] & needs) != 0 ? mirror + n * PAGE + gpa % PAGE : NULL;
    return NULL;
}

static bool all_there(uint64_t gpa, uint64_t size, bool write)
{
    for (uint64_t i = 0; i < size; i++)
        if (gpa + i < gpa || byte_at(gpa + i, write) == NULL)
            return false;
    return true;
}

static void remap(void)
{
    enum { RW = AXVM_MAP_READ | AXVM_MAP_WRITE };
    static const uint32_t flags[] = {AXVM_MAP_RWX, RW, AXVM_MAP_READ, 0, RW | AXVM_MAP_DEVICE, RW | AXVM_MAP_LOG_DIRTY};
    uint32_t n = input_next(PAGES), now = flags[input_next(6)];
    if (page_flags[n] != 0)
        must(axvm_unmap(&vm, axvcpu_gpa(page_at[n]), PAGE) == 0);
    if (now != 0)
        must(axvm_map(&vm, axvcpu_gpa(page_at[n]), axvcpu_from_ptr(memory + n * PAGE), PAGE, now) == 0);
    page_flags[n] = now;
}

// ---- values that a guest may think of

static uint64_t near_a_page(void)
{
    uint64_t page = page_at[input_next(PAGES)];
    return input_next(2) ? page + input_next(16) : page + PAGE - input_next(64);
}

static uint64_t any_value(void)
{
    static const uint64_t odd[] = {UINT64_MAX, UINT64_C(1) << 63, UINT64_C(1) << 32, UINT32_MAX, 0x80000000,
                                   0xfffff000, 0x1000,            0xff00ffffff,      256,        257};
    switch (input_next(8)) {
    case 0: return input_value();
    case 1: return odd[input_next(10)];
    case 2: return 0 - (uint64_t)input_next(40);
    case 3: return UINT64_C(1) << input_next(64);
    case 4:
    case 5: return near_a_page();
    default: return input_next(8);
    }
}

// ---- the caller's side of a console (sbi 12): what it is asked for is bounded, whatever the guest says

static bool has_console;
static uint8_t printed[256], wanted_printed[256];
static uint64_t printed_size, wanted_size;

static bool up_by_handler; // CPU_UP is answered by a handler of ours, not by the caller
static void start(uint32_t n, uint64_t entry, uint64_t arg);
static uint64_t cpu_up(struct cpu *target, uint64_t entry, uint64_t arg);
#include FIRMWARE_MODEL

// ---- who is up

static enum axvm_answer starts(struct axvm *m, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    (void)v, (void)arg;
    (void)axvm_cpu_up(m, x);
    return AXVM_DONE;
}

// The model's hart_start and CPU_ON: one that is bound starts when it is run next.
static uint64_t cpu_up(struct cpu *target, uint64_t entry, uint64_t arg)
{
    if (target == NULL)
        return AXVM_LEAF_UP_INVALID;
    if (target->state != DOWN)
        return AXVM_LEAF_UP_ALREADY;
    target->queued = 0;
    target->state = target->bound ? PENDING : UP;
    target->entry = entry;
    target->arg = arg;
    if (target->state == UP)
        start((uint32_t)(target - cpus), entry, arg);
    return AXVM_LEAF_UP_OK;
}

// A run of the vCPU: what is queued becomes the guest's.
static int step(uint32_t n, struct axvcpu_exit *x)
{
    struct cpu *c = &cpus[n];
    if (c->state == PENDING) {
        start(n, c->entry, c->arg);
        c->state = UP;
    }
    if (c->state == UP) {
        c->pending |= c->queued;
        c->queued = 0;
    }
    return axvm_step(&vm, n, x);
}

static void goes_on(uint32_t n)
{
    struct axvcpu_exit x;
    must(step(n, &x) == 0 && x.kind == AXVCPU_EXIT_DEBUG && x.flags == 0 && x.debug.pc == cpus[n].pc);
}

static void compare(void)
{
    for (uint32_t n = 0; n < CPUS; n++) {
        const struct cpu *c = &cpus[n];
        must(c->state == DOWN || c->state == PENDING ||
             (memcmp(c->gpr, vcpus[n].arch.gpr, sizeof c->gpr) == 0 && c->pc == vcpus[n].arch.pc));
        must(c->state == DOWN || c->state == PENDING || c->pending == vcpus[n].arch.pending);
        must(c->queued == vcpus[n].pending[0] && c->kicks == firmware_guest.kicks[n]);
        must(c->bound == (vcpus[n].owner != NULL));
    }
    must(fences.count == wanted_fence.count && memcmp(&fences, &wanted_fence, sizeof fences) == 0);
    must(firmware_guest.deadline == wanted_deadline && firmware_guest.fault == wanted_fault);
    must(printed_size == wanted_size && memcmp(printed, wanted_printed, printed_size) == 0);
}

// ---- a call, and what the caller does with it

static void answer(uint32_t n, struct axvcpu_exit *x)
{
    struct cpu *c = &cpus[n];
    char text[512];
    must(axvcpu_exit_print(text, sizeof text, x) < sizeof text);
    if (x->kind == AXVCPU_EXIT_CPU_UP)
        (void)axvm_cpu_up(&vm, x); // the model has its answer
    if (x->kind == AXVCPU_EXIT_HYPERCALL && input_next(2)) {
        uint64_t value = any_value();
        must(axvcpu_set_return_value(&vcpus[n], value) == 0);
        c->gpr[AXVCPU_LEAF_RETURN_GPR] = value;
    }
    if (x->kind == AXVCPU_EXIT_CPU_DOWN)
        c->state = DOWN;
}

static void call(uint32_t n)
{
    struct axvcpu_exit x;
    struct cpu *c = &cpus[n];
    goes_on(n);
    any_call(c->gpr);
    c->pc = 0x4000 + (uint64_t)input_next(4) * 4;
    memcpy(vcpus[n].arch.gpr, c->gpr, sizeof c->gpr);
    vcpus[n].arch.pc = c->pc;
    firmware_guest.due = true;
    struct outcome o = model(n, c->gpr);
    must(step(n, &x) == 0 && !firmware_guest.due);
    if (o.kind == 0) {
        must(x.kind == AXVCPU_EXIT_DEBUG && x.flags == 0 && x.debug.pc == c->pc);
        return;
    }
    must(x.kind == o.kind && ((x.flags & AXVCPU_EXIT_HANDLED) != 0) == o.handled);
    check_fields(&x, o.fields);
    if (!o.handled)
        answer(n, &x);
    if (c->state == DOWN)
        must(axvm_step(&vm, n, &x) == AXVCPU_EAGAIN);
    else
        goes_on(n);
}

static void bind(uint32_t n)
{
    here = n;
    must(cpus[n].bound || axvcpu_bind(&vcpus[n]) == 0);
    cpus[n].bound = true;
}

static void turn(void)
{
    struct axvcpu_exit x;
    uint32_t n = input_next(4) == 0 ? input_next(CPUS) : 0, leave = input_next(3);
    bind(n);
    if (cpus[n].state == DOWN)
        must(axvm_step(&vm, n, &x) == AXVCPU_EAGAIN);
    else
        call(n);
    if (leave == 0) {
        must(axvcpu_unbind(&vcpus[n]) == 0);
        cpus[n].bound = false;
    }
    compare();
}

// ----

static void begin(void)
{
    const struct axvm_desc desc = {.vcpus = vcpus, .vcpu_count = CPUS};
    static uint8_t fresh[sizeof mirror];
    for (size_t i = 0; i < sizeof fresh && memory == NULL; i++) // masks of few bits
        fresh[i] = (uint8_t)(i / 64 % 7);
    if (memory == NULL)
        memory = aligned_alloc(PAGE, sizeof mirror);
    memcpy(memory, fresh, sizeof mirror);
    memcpy(mirror, fresh, sizeof mirror);
    memset(cpus, 0, sizeof cpus);
    memset(page_flags, 0, sizeof page_flags);
    memset(&firmware_guest, 0, sizeof firmware_guest);
    memset(&fences, 0, sizeof fences);
    wanted_fence = fences;
    wanted_deadline = wanted_fault = printed_size = wanted_size = 0;
    must(axvm_init(&vm, &desc) == 0 && axvm_boot(&vm) == 0);
    cpus[0].state = UP;
    if (input_next(2)) // by a CPU that waits for it
        bind(1);
    has_console = input_next(2) && axvm_set_default(&vm, AXVCPU_EXIT_HYPERCALL, console, NULL) == 0;
    up_by_handler = input_next(2) && axvm_set_default(&vm, AXVCPU_EXIT_CPU_UP, starts, NULL) == 0;
    fence_answer = input_next(4) == 0 ? -1 : 0;
    for (uint32_t n = input_next(PAGES + 1); n > 0; n--)
        remap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input_at = data;
    input_left = size;
    begin();
    while (input_left > 0) {
        if (input_next(8) == 0)
            remap();
        turn();
    }
    must(memcmp(memory, mirror, sizeof mirror) == 0);
    for (here = 0; here < CPUS; here++)
        must(!cpus[here].bound || axvcpu_unbind(&vcpus[here]) == 0);
    here = 0;
    must(axvm_deinit(&vm) == 0);
    return 0;
}
