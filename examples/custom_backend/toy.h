/* SPDX-License-Identifier: Apache-2.0
 *
 * toy.h: a complete backend of one's own, to copy
 *
 * A tiny CPU in place of hardware: it really runs its guest's program, so that exits, answers, retries and
 * interrupts are real. What a hypervisor for true hardware would do in a leaf stands in the leaf's comment.
 *
 *   #define AXVCPU_ARCH_HEADER "toy.h"
 *   #include "axvcpu.h"
 *
 * axvcpu.h includes this file twice. First from its declarations, for the types and constants: the structs of
 * the library are not complete there. Then from its implementation, in one file, for the functions. A leaf
 * that shall be inlined into axvcpu_run is `static inline` in the first part and uses axvcpu_arch(v).
 */
#ifndef TOY_H
#define TOY_H

/* The CPU: eight 64-bit registers, RAM from address 0, everything behind it is devices. An instruction has 8
   bytes: op, rd, rs, width, and a 32-bit immediate. */
#define TOY_GPRS 8
#define TOY_INSN_SIZE 8u
#define TOY_INSN(op, rd, rs, width, imm) \
    ((uint64_t)(op) | (uint64_t)(rd) << 8 | (uint64_t)(rs) << 16 | (uint64_t)(width) << 24 | \
     (uint64_t)(uint32_t)(imm) << 32)

enum toy_op { TOY_OP_NONE, TOY_OP_LI, TOY_OP_ADD, TOY_OP_LOAD, TOY_OP_STORE, TOY_OP_IN, TOY_OP_OUT, TOY_OP_HYPERCALL,
              TOY_OP_HALT, TOY_OP_JUMP, TOY_OP_JUMP_IF, TOY_OP_ENABLE, TOY_OP_RETURN };

#define TOY_LI(rd, imm) TOY_INSN(TOY_OP_LI, rd, 0, 0, imm)                       /* rd = imm, signed */
#define TOY_ADD(rd, rs) TOY_INSN(TOY_OP_ADD, rd, rs, 0, 0)                       /* rd += rs */
#define TOY_LOAD(width, rd, rs, imm) TOY_INSN(TOY_OP_LOAD, rd, rs, width, imm)   /* rd = [rs + imm] */
#define TOY_STORE(width, rd, rs, imm) TOY_INSN(TOY_OP_STORE, rd, rs, width, imm) /* [rs + imm] = rd */
#define TOY_IN(width, port) TOY_INSN(TOY_OP_IN, 0, 0, width, port)               /* r0 = port, a narrow one merges */
#define TOY_OUT(width, rd, port) TOY_INSN(TOY_OP_OUT, rd, 0, width, port)        /* port = rd */
#define TOY_HYPERCALL() TOY_INSN(TOY_OP_HYPERCALL, 0, 0, 0, 0)                   /* r0 = call r0 with r1 to r6 */
#define TOY_HALT() TOY_INSN(TOY_OP_HALT, 0, 0, 0, 0)                             /* sleep until an interrupt */
#define TOY_JUMP(to) TOY_INSN(TOY_OP_JUMP, 0, 0, 0, to)
#define TOY_JUMP_IF(rd, to) TOY_INSN(TOY_OP_JUMP_IF, rd, 0, 0, to)               /* if rd is not 0 */
#define TOY_ENABLE() TOY_INSN(TOY_OP_ENABLE, 0, 0, 0, 0)                         /* take interrupts */
#define TOY_RETURN() TOY_INSN(TOY_OP_RETURN, 0, 0, 0, 0)                         /* from an interrupt */

#define TOY_FLAG_ENABLED 1u /* in AXVCPU_REG_FLAGS */

/* ---- constants */

#define AXVCPU_LEAF_NAME "toy"
#define AXVCPU_LEAF_GPRS TOY_GPRS
#define AXVCPU_LEAF_RETURN_GPR 0
#define AXVCPU_LEAF_VECTORS 64           /* a small number costs less memory per vCPU */
#define AXVCPU_LEAF_VECTOR_OK(n) true    /* all of them exist */
#define AXVM_LEAF_UP_OK 0                /* what a guest that starts another CPU gets back */
#define AXVM_LEAF_UP_ALREADY 1
#define AXVM_LEAF_UP_INVALID 2
#define AXVM_LEAF_UP_ANSWERS true
#define AXVM_LEAF_PAGE 8u                /* axvm_map wants multiples of this */

/* ---- types; C has no empty structs, so one without use has a member all the same */

/* In axvcpu_desc.arch. Without RAM of its own a vCPU has the memory of its VM. */
struct axvcpu_arch_create {
    void *ram;
    uint64_t ram_size;
};

/* For axvcpu_setup; all zero must be valid. */
struct axvcpu_arch_setup {
    uint64_t irq_entry; /* where an interrupt goes */
};

/* The vCPU itself; axvcpu_arch(v). */
struct axvcpu_arch {
    uint64_t gpr[TOY_GPRS], pc, flags;
    uint64_t irq_entry, irq_pc; /* from where it came */
    void *ram;
    uint64_t ram_size;
};

struct axvcpu_arch_percpu { uint32_t none; };
struct axvm_arch_desc { uint32_t none; };
struct axvm_arch { uint32_t none; };

/* ---- the functions, all of them; AXVCPU_API: they are in the implementation */

AXVCPU_LEAF_DECLARE(AXVCPU_API, AXVCPU_API)

#endif /* TOY_H */

/* ---------------------------------------------------------------------------------------------------- */

#if defined(AXVCPU_LEAF_CODE) && defined(AXVCPU_IMPLEMENTATION) && !defined(TOY_CODE)
#define TOY_CODE

/* ---- life */

/* Take over what desc.arch says; allocate, open. The arch part is zero. On error undo it here: destroy is not
   called. */
AXVCPU_API int axvcpu_leaf_create(struct axvcpu *v, const struct axvcpu_arch_create *create)
{
    v->arch.ram = create->ram;
    v->arch.ram_size = create->ram_size;
    return AXVCPU_OK;
}

/* Give back what create took. */
AXVCPU_API void axvcpu_leaf_destroy(struct axvcpu *v)
{
    (void)v;
}

static void toy_clear(struct axvcpu_arch *a)
{
    AXVCPU_MEMSET(a->gpr, 0, sizeof(a->gpr));
    a->pc = a->flags = a->irq_pc = 0;
}

/* Everything as it was after create; setup follows before the next run. */
AXVCPU_API int axvcpu_leaf_reset(struct axvcpu *v)
{
    toy_clear(&v->arch);
    v->arch.irq_entry = 0;
    return AXVCPU_OK;
}

/* Where the guest begins. */
AXVCPU_API int axvcpu_leaf_set_entry(struct axvcpu *v, axvcpu_gpa_t entry)
{
    v->arch.pc = entry.addr;
    return AXVCPU_OK;
}

/* Which second-stage page table it has. This CPU has none. */
AXVCPU_API int axvcpu_leaf_set_root(struct axvcpu *v, axvcpu_hpa_t root)
{
    (void)v, (void)root;
    return AXVCPU_OK;
}

/* The last step before the vCPU is Free: control registers, bitmaps, what the caller has chosen. */
AXVCPU_API int axvcpu_leaf_setup(struct axvcpu *v, const struct axvcpu_arch_setup *setup)
{
    v->arch.irq_entry = setup->irq_entry;
    return AXVCPU_OK;
}

/* The architecture's own reset: what setup said stays, `arg` goes where a started CPU looks for it. */
AXVCPU_API int axvcpu_leaf_restart(struct axvcpu *v, axvcpu_gpa_t entry, uint64_t arg)
{
    toy_clear(&v->arch);
    v->arch.gpr[0] = arg;
    return axvcpu_leaf_set_entry(v, entry);
}

/* ---- on and off a CPU */

/* The vCPU belongs to this CPU from now on: load a VMCS, set up the traps. */
AXVCPU_API int axvcpu_leaf_bind(struct axvcpu *v)
{
    (void)v;
    return AXVCPU_OK;
}

/* And leaves it. Also called to clean up after a failure: it must work from whatever state that left. */
AXVCPU_API int axvcpu_leaf_unbind(struct axvcpu *v)
{
    (void)v;
    return AXVCPU_OK;
}

/* Still bound, but the CPU is needed for another vCPU: registers to memory. */
AXVCPU_API int axvcpu_leaf_put(struct axvcpu *v)
{
    (void)v;
    return AXVCPU_OK;
}

/* And back. */
AXVCPU_API int axvcpu_leaf_load(struct axvcpu *v)
{
    (void)v;
    return AXVCPU_OK;
}

/* ---- the guest runs: this part is the toy CPU itself */

static void *toy_ram(struct axvcpu *v, uint64_t addr, uint64_t size)
{
    const struct axvcpu_arch *a = &v->arch;

    if (a->ram == NULL)
        return v->vm.vm != NULL ? axvm_ptr(v->vm.vm, axvcpu_gpa(addr), size) : NULL;
    return addr <= a->ram_size && size <= a->ram_size - addr ? (uint8_t *)a->ram + addr : NULL;
}

static bool toy_width_ok(uint32_t width)
{
    return width == 1 || width == 2 || width == 4 || width == 8;
}

/* `raw` is for whatever number the hardware has for this exit. */
static bool toy_exit(struct axvcpu_exit *x, uint32_t kind, uint64_t raw)
{
    x->kind = kind;
    x->flags = 0;
    x->raw = raw;
    return true;
}

/* No such instruction: the caller gets its bytes, and the PC stays on it. */
static bool toy_undecoded(struct axvcpu *v, struct axvcpu_exit *x, uint64_t insn)
{
    AXVCPU_MEMSET(&x->undecoded, 0, sizeof(x->undecoded));
    x->undecoded.addr = v->arch.pc;
    x->undecoded.insn_len = TOY_INSN_SIZE;
    AXVCPU_MEMCPY(x->undecoded.insn, &insn, TOY_INSN_SIZE);
    return toy_exit(x, AXVCPU_EXIT_UNDECODED, insn & 0xff);
}

/* A load or store: RAM is read and written here, anything else is a device's. Then the PC stays on the
   instruction; it moves when the exit has been answered, in commit. */
static bool toy_access(struct axvcpu *v, struct axvcpu_exit *x, uint64_t insn, uint64_t addr, uint64_t *reg)
{
    uint32_t width = insn >> 24 & 0xff;
    bool store = (insn & 0xff) == TOY_OP_STORE;
    void *ram = toy_ram(v, addr, width);
    uint64_t value = 0;

    if (!toy_width_ok(width))
        return toy_undecoded(v, x, insn);
    if (ram != NULL) { /* little endian, like most hosts */
        AXVCPU_MEMCPY(store ? ram : &value, store ? reg : ram, width);
        *reg = store ? *reg : value;
        v->arch.pc += TOY_INSN_SIZE;
        return false;
    }
    AXVCPU_MEMSET(&x->mmio, 0, sizeof(x->mmio));
    AXVCPU_MEMCPY(&x->mmio.data, reg, store ? width : 0);
    x->mmio.addr = addr;
    x->mmio.width = width;
    x->mmio.reg = (uint32_t)(reg - v->arch.gpr);
    x->mmio.reg_width = 8; /* a narrow value fills the register up with zeroes */
    (void)toy_exit(x, store ? AXVCPU_EXIT_MMIO_WRITE : AXVCPU_EXIT_MMIO_READ, insn & 0xff);
    axvcpu_await(v, x);
    return true;
}

static bool toy_port(struct axvcpu *v, struct axvcpu_exit *x, uint64_t insn, const uint64_t *reg)
{
    uint32_t width = insn >> 24 & 0xff;
    bool out = (insn & 0xff) == TOY_OP_OUT;

    if (!toy_width_ok(width))
        return toy_undecoded(v, x, insn);
    AXVCPU_MEMSET(&x->io, 0, sizeof(x->io));
    AXVCPU_MEMCPY(&x->io.data, reg, out ? width : 0);
    x->io.port = (uint32_t)(insn >> 32);
    x->io.width = width;
    x->io.count = 1;
    (void)toy_exit(x, out ? AXVCPU_EXIT_IO_WRITE : AXVCPU_EXIT_IO_READ, insn & 0xff);
    axvcpu_await(v, x);
    return true;
}

static bool toy_hypercall(struct axvcpu *v, struct axvcpu_exit *x)
{
    x->hypercall.nr = v->arch.gpr[0];
    AXVCPU_MEMCPY(x->hypercall.args, &v->arch.gpr[1], sizeof(x->hypercall.args));
    v->arch.pc += TOY_INSN_SIZE;
    return toy_exit(x, AXVCPU_EXIT_HYPERCALL, TOY_OP_HYPERCALL);
}

/* One instruction; true: it exits. */
static bool toy_step(struct axvcpu *v, struct axvcpu_exit *x)
{
    struct axvcpu_arch *a = &v->arch;
    const void *at = toy_ram(v, a->pc, TOY_INSN_SIZE);
    uint64_t insn = 0, imm, *rd, *rs;

    if (at == NULL) {
        x->fault.addr = a->pc;
        x->fault.access = AXVCPU_ACCESS_EXEC;
        return toy_exit(x, AXVCPU_EXIT_NESTED_PAGE_FAULT, 0);
    }
    AXVCPU_MEMCPY(&insn, at, TOY_INSN_SIZE);
    rd = &a->gpr[insn >> 8 & (TOY_GPRS - 1)];
    rs = &a->gpr[insn >> 16 & (TOY_GPRS - 1)];
    imm = insn >> 32;
    switch (insn & 0xff) {
    case TOY_OP_LI: *rd = (uint64_t)(int64_t)(int32_t)imm; break;
    case TOY_OP_ADD: *rd += *rs; break;
    case TOY_OP_LOAD:
    case TOY_OP_STORE: return toy_access(v, x, insn, *rs + imm, rd);
    case TOY_OP_IN:
    case TOY_OP_OUT: return toy_port(v, x, insn, rd);
    case TOY_OP_HYPERCALL: return toy_hypercall(v, x);
    case TOY_OP_HALT: a->pc += TOY_INSN_SIZE; return toy_exit(x, AXVCPU_EXIT_HALT, TOY_OP_HALT);
    case TOY_OP_JUMP: a->pc = imm; return false;
    case TOY_OP_JUMP_IF: a->pc = *rd != 0 ? imm : a->pc + TOY_INSN_SIZE; return false;
    case TOY_OP_ENABLE: a->flags |= TOY_FLAG_ENABLED; break;
    case TOY_OP_RETURN: a->flags |= TOY_FLAG_ENABLED; a->pc = a->irq_pc; return false;
    default: return toy_undecoded(v, x, insn);
    }
    a->pc += TOY_INSN_SIZE;
    return false;
}

/* Run the guest to its next exit. Whoever kicks or injects raises the attention word and then calls leaf_kick:
   real hardware leaves the guest for that and looks here, this CPU looks before every instruction. */
AXVCPU_API int axvcpu_leaf_run(struct axvcpu *v, struct axvcpu_exit *x)
{
    bool done = false;
    int err = AXVCPU_OK;

    while (err == AXVCPU_OK && !done) {
        if (axvcpu_attention(v))
            err = axvcpu_attend(v, x, &done); /* done: it was a kick, and *x says so */
        if (err == AXVCPU_OK && !done)
            done = toy_step(v, x);
    }
    return err;
}

/* ---- answers */

/* The access of the last exit is over: a read's value to its register, the PC past the instruction. An
   instruction with a second access would fill in *x and await it here. */
AXVCPU_API int axvcpu_leaf_commit(struct axvcpu *v, struct axvcpu_exit *x, bool entering)
{
    const struct axvcpu_answer *a = axvcpu_access(v);

    (void)x, (void)entering;
    if (a->kind == AXVCPU_EXIT_MMIO_READ || a->kind == AXVCPU_EXIT_IO_READ)
        v->arch.gpr[a->reg] = axvcpu_access_result(a, v->arch.gpr[a->reg]);
    v->arch.pc += TOY_INSN_SIZE;
    return AXVCPU_OK;
}

/* The guest shall execute the instruction again. The PC is still on it. */
AXVCPU_API int axvcpu_leaf_retry(struct axvcpu *v)
{
    (void)v;
    return AXVCPU_OK;
}

/* Nobody answers at this address. Here that reads as all ones, which axvcpu_access_result brings, and a write
   goes nowhere; an architecture that faults prepares its fault here or in commit. */
AXVCPU_API int axvcpu_leaf_refuse(struct axvcpu *v)
{
    (void)v;
    return AXVCPU_OK;
}

/* ---- registers */

static uint64_t *toy_reg(struct axvcpu_arch *a, uint64_t id)
{
    return AXVCPU_REG_CLASS(id) == 0 ? &a->gpr[id] :
           id == AXVCPU_REG_PC       ? &a->pc :
           id == AXVCPU_REG_FLAGS    ? &a->flags :
                                       NULL;
}

/* By AXVCPU_REG_*; a general register's number has been checked. ENOSUPPORT for those there are not. */
AXVCPU_API int axvcpu_leaf_get_reg(struct axvcpu *v, uint64_t id, uint64_t *value)
{
    const uint64_t *reg = toy_reg(&v->arch, id);

    if (reg != NULL)
        *value = *reg;
    return reg != NULL ? AXVCPU_OK : AXVCPU_ENOSUPPORT;
}

AXVCPU_API int axvcpu_leaf_set_reg(struct axvcpu *v, uint64_t id, uint64_t value)
{
    uint64_t *reg = toy_reg(&v->arch, id);

    if (reg != NULL)
        *reg = value;
    return reg != NULL ? AXVCPU_OK : AXVCPU_ENOSUPPORT;
}

/* ---- interrupts */

/* Something is pending: let the guest take it if it can. Bits that stay set in *what are tried again, before
   the next entry; this CPU comes back before its next instruction, hardware asks for a window exit. */
AXVCPU_API int axvcpu_leaf_inject(struct axvcpu *v, uint32_t *what)
{
    struct axvcpu_arch *a = &v->arch;
    int vector = axvcpu_irq_next(v);

    *what &= ~AXVCPU_ATTN_NMI; /* there is no such pin */
    if (vector < 0) {
        *what = 0;
    } else if ((a->flags & TOY_FLAG_ENABLED) != 0) {
        axvcpu_irq_take(v, (uint32_t)vector);
        a->gpr[TOY_GPRS - 1] = (uint64_t)vector; /* the handler finds it in r7 */
        a->irq_pc = a->pc;
        a->pc = a->irq_entry;
        a->flags &= ~(uint64_t)TOY_FLAG_ENABLED;
    }
    return AXVCPU_OK;
}

/* An exception for the guest to take, first thing in the next run. This CPU has none. */
AXVCPU_API int axvcpu_leaf_inject_exception(struct axvcpu *v, uint32_t vector, uint64_t error, uint64_t addr)
{
    (void)v, (void)vector, (void)error, (void)addr;
    return AXVCPU_ENOSUPPORT;
}

/* An interrupt that the guest ends at the physical controller. */
AXVCPU_API int axvcpu_leaf_inject_hw(struct axvcpu *v, uint32_t vintid, uint32_t pintid)
{
    (void)v, (void)vintid, (void)pintid;
    return AXVCPU_ENOSUPPORT;
}

/* Would the guest's halt end now? Asked from any CPU, before a vCPU goes to sleep and to wake it. */
AXVCPU_API bool axvcpu_leaf_wakes(const struct axvcpu *v, bool queued)
{
    return queued && (v->arch.flags & TOY_FLAG_ENABLED) != 0;
}

/* Make `owner` leave the guest soon: an interrupt to that CPU, a signal to that thread. From any context, so
   nothing may block here. This CPU looks by itself. */
AXVCPU_API void axvcpu_leaf_kick(struct axvcpu *v, void *owner)
{
    (void)v, (void)owner;
}

/* ---- per CPU */

/* Look at this CPU and allocate what it needs; on error nothing stays. */
AXVCPU_API int axvcpu_leaf_percpu_init(struct axvcpu_percpu *p, uint32_t cpu_id)
{
    (void)p, (void)cpu_id;
    return AXVCPU_OK;
}

AXVCPU_API void axvcpu_leaf_percpu_deinit(struct axvcpu_percpu *p)
{
    (void)p;
}

/* Switch virtualization on, on this CPU: VMXON, HCR_EL2, vectors. */
AXVCPU_API int axvcpu_leaf_percpu_enable(struct axvcpu_percpu *p)
{
    (void)p;
    return AXVCPU_OK;
}

/* And off, as it was before. */
AXVCPU_API int axvcpu_leaf_percpu_disable(struct axvcpu_percpu *p)
{
    (void)p;
    return AXVCPU_OK;
}

/* How deep a second-stage page table may be. */
AXVCPU_API uint32_t axvcpu_leaf_max_guest_page_table_levels(const struct axvcpu_percpu *p)
{
    (void)p;
    return 0;
}

/* Can this machine do it at all? */
AXVCPU_API bool axvcpu_leaf_supported(void)
{
    return true;
}

/* ---- VM */

/* What all vCPUs of a VM share: a descriptor, a page-table root, a VMID. Before the vCPUs are created. */
AXVCPU_API int axvm_leaf_init(struct axvm *vm, const struct axvm_arch_desc *desc)
{
    (void)vm, (void)desc;
    return AXVCPU_OK;
}

/* After the last vCPU is gone. */
AXVCPU_API void axvm_leaf_deinit(struct axvm *vm)
{
    (void)vm;
}

/* Enter a mapping into the page tables. toy_ram asks axvm_ptr instead, which knows them all. */
AXVCPU_API int axvm_leaf_map(struct axvm *vm, uint32_t slot, const struct axvm_mapping *map)
{
    (void)vm, (void)slot, (void)map;
    return AXVCPU_OK;
}

/* And take it out, with whatever the CPUs have cached of it. */
AXVCPU_API int axvm_leaf_unmap(struct axvm *vm, uint32_t slot, const struct axvm_mapping *map)
{
    (void)vm, (void)slot, (void)map;
    return AXVCPU_OK;
}

/* The root of the page tables and the tag in the TLB, for an IOMMU; 0: none. */
AXVCPU_API axvcpu_hpa_t axvm_leaf_root(const struct axvm *vm)
{
    (void)vm;
    return axvcpu_hpa(0);
}

AXVCPU_API uint32_t axvm_leaf_vmid(const struct axvm *vm)
{
    (void)vm;
    return 0;
}

/* A line of the interrupt controller, where the backend has one for its guests. */
AXVCPU_API int axvm_leaf_irq_line(struct axvm *vm, uint32_t line, bool level)
{
    (void)vm, (void)line, (void)level;
    return AXVCPU_ENOSUPPORT;
}

/* Does the guest mean this vCPU when it starts CPU `target`? (MPIDR, APIC ID, hart) */
AXVCPU_API bool axvm_leaf_is_target(const struct axvcpu *v, uint64_t target)
{
    return axvcpu_id(v) == target;
}

/* An exit that no device and no handler took: DONE if the architecture has an answer, else the caller's. */
AXVCPU_API enum axvm_answer axvm_leaf_answer(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x)
{
    (void)vm, (void)v, (void)x;
    return AXVM_RETURN;
}

#endif /* TOY_CODE */
