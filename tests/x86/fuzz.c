// SPDX-License-Identifier: Apache-2.0
//
// The fuzzer of the x86 header's pure part: any instruction, registers, address space and exit. What a guest chose
// must be bounded in the answers, and whatever it is, registers may only change when it is over.
#include "decode.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

// Guest memory: a few pages whose contents are the input, so that tables point anywhere.
static uint8_t memory[0x4000];
static uint64_t hidden;

static void *ptr(void *arg, uint64_t gpa, uint32_t size, bool write)
{
    (void)arg, (void)write;
    must(size <= 0x1000 && (gpa & 0xfff) + size <= 0x1000);
    return gpa < sizeof memory && ((hidden >> (gpa >> 12)) & 1) == 0 ? memory + gpa : NULL;
}

struct input {
    struct axvcpu_x86_regs r;
    uint64_t cr0, cr3, cr4, efer, base[6], gpa, value;
    uint8_t bits, cpl, write, refuse, size, hidden, kind, pad;
    uint8_t bytes[16];
};

static void check_access(const struct axvcpu_x86_mmio *m, const struct axvcpu_exit *x)
{
    const struct axvcpu_x86_insn *i = &m->insn;
    must(x->kind == AXVCPU_EXIT_MMIO_READ || x->kind == AXVCPU_EXIT_MMIO_WRITE);
    must(i->length >= 1 && i->length <= 15 && i->op < AXVCPU_X86_OPS);
    must(x->mmio.width == 1 || x->mmio.width == 2 || x->mmio.width == 4 || x->mmio.width == 8);
    must(x->mmio.reg < 16 || x->mmio.reg == AXVCPU_REG_NONE);
    must(x->mmio.width == 8 || x->mmio.data >> 8 * x->mmio.width == 0);
    must((x->mmio.addr & 0xfff) + x->mmio.width <= 0x1000);
}

static void run(struct input *in, const struct axvcpu_x86_space *s)
{
    struct axvcpu_x86_regs was = in->r;
    struct axvcpu_x86_mmio m;
    struct axvcpu_exit x = {0};
    struct axvcpu_answer a = {0};
    enum axvcpu_x86_mmio_step step = axvcpu_x86_mmio_begin(&m, &in->r, s, in->bytes, in->size, in->gpa, in->write, &x);
    unsigned n = 0;
    for (; step == AXVCPU_X86_MMIO_ACCESS; n++) { // a read and a write, of two parts each where a page ends
        must(n < (m.first == m.insn.width ? 2 : 4) && memcmp(&was, &in->r, sizeof was) == 0);
        check_access(&m, &x);
        a.kind = x.kind;
        a.value = in->value;
        a.refused = in->refuse;
        a.width = (uint8_t)x.mmio.width;
        a.reg_width = (uint8_t)x.mmio.reg_width;
        a.sign_extend = x.mmio.sign_extend;
        step = axvcpu_x86_mmio_commit(&m, &in->r, s, &a, &x);
    }
    if (step == AXVCPU_X86_MMIO_DONE)
        return;
    must(memcmp(&was, &in->r, sizeof was) == 0);
    if (step == AXVCPU_X86_MMIO_UNDECODED)
        must(x.kind == AXVCPU_EXIT_UNDECODED && x.undecoded.insn_len <= 15);
    else
        must(m.vector == 13 || m.vector == 14);
}

static void look(struct input *in)
{
    struct axvcpu_x86_space s = {.cr0 = in->cr0, .cr3 = in->cr3, .cr4 = in->cr4, .efer = in->efer,
                                 .physical_mask = (UINT64_C(1) << 40) - 1, .cpl = in->cpl & 3u, .ptr = ptr};
    uint8_t bytes[AXVCPU_X86_INSN_MAX];
    s.bits = in->bits % 3 == 0 ? 16 : in->bits % 3 == 1 ? 32 : 64;
    memcpy(s.base, in->base, sizeof s.base);
    hidden = in->hidden;
    must(axvcpu_x86_fetch(&s, &in->r, bytes) <= 15);
    must(axvcpu_x86_length(in->bytes, in->size, s.bits) <= 15);
    run(in, &s);
}

static void leave(const struct input *in)
{
    struct axvcpu_x86_svm_raw svm = {.code = in->gpa, .info1 = in->cr0, .info2 = in->cr3, .int_info = in->cr4,
                                     .rip = in->efer, .next_rip = in->value, .bytes = in->bytes, .size = in->size,
                                     .bits = in->bits % 3 == 0 ? 16 : in->bits % 3 == 1 ? 32 : 64,
                                     .nrip = in->write & 1, .assists = in->write & 2};
    struct axvcpu_x86_vmx_raw vmx = {.reason = in->gpa, .qualification = in->cr0, .gpa = in->cr3, .linear = in->cr4,
                                     .length = in->kind, .info = (uint32_t)in->efer, .int_info = (uint32_t)in->value,
                                     .int_error = (uint32_t)in->base[0], .idt_info = (uint32_t)in->base[1],
                                     .idt_error = (uint32_t)in->base[2]};
    struct axvcpu_x86_left l;
    bool told = axvcpu_x86_svm_left(&svm, &l);
    must(told || svm.size == 0);
    must(l.cause < AXVCPU_X86_CAUSE_COUNT && l.length <= 15);
    must(l.cause != AXVCPU_X86_CAUSE_IO || l.io.flags < 8);
    axvcpu_x86_vmx_left(&vmx, &l);
    must(l.cause < AXVCPU_X86_CAUSE_COUNT && l.cr.reg < 16);
    must(l.cause != AXVCPU_X86_CAUSE_IO || (l.io.width <= 8 && l.io.flags < 8));
}

// What comes out of a write must be a state that can be: no rule may be left broken, whatever came before.
static void check_control(const struct axvcpu_x86_control *c)
{
    bool pg = (c->cr0 & AXVCPU_X86_CR0_PG) != 0, lme = (c->efer & AXVCPU_X86_EFER_LME) != 0;
    must(!pg || (c->cr0 & AXVCPU_X86_CR0_PE) != 0);
    must((c->cr0 & AXVCPU_X86_CR0_NW) == 0 || (c->cr0 & AXVCPU_X86_CR0_CD) != 0);
    must(((c->efer & AXVCPU_X86_EFER_LMA) != 0) == (pg && lme));
    must(!(pg && lme) || (c->cr4 & AXVCPU_X86_CR4_PAE) != 0);
    must((c->cr4 & AXVCPU_X86_CR4_PCIDE) == 0 || (c->efer & AXVCPU_X86_EFER_LMA) != 0);
    must((c->cr4 & AXVCPU_X86_CR4_CET) == 0 || (c->cr0 & AXVCPU_X86_CR0_WP) != 0);
    must((c->cr4 & ~c->cr4_valid) == 0 && (c->efer & ~c->efer_valid) == 0 && (c->xcr0 & ~c->xcr0_valid) == 0);
    must((c->xcr0 & 1) != 0 && ((c->xcr0 & 4) == 0 || (c->xcr0 & 2) != 0) && c->cr8 <= 15 && c->cr0 >> 32 == 0);
}

static void write_registers(const uint8_t *data, size_t size)
{
    static const uint32_t msrs[] = {0x10, 0x1b, 0x1a0, 0x1d9, 0x200, 0x201, 0x250, 0x26f, 0x277, 0x2ff, 0xc0000080,
                                    0xc0000082, 0xc0000103, 0xc0010015, 0x3a, 0xdead};
    struct axvcpu_x86_control c = {.cr4_valid = 0x1ff7fb, .efer_valid = 0xd01, .xcr0_valid = 0x600e7,
                                   .physical_mask = (UINT64_C(1) << 40) - 1};
    struct axvcpu_x86_regs r = {0};
    axvcpu_x86_control_reset(&c, true);
    for (; size >= 12; data += 12, size -= 12) {
        struct axvcpu_x86_cr cr = {.nr = data[1] & 15, .reg = data[2] & 15, .op = data[3] % 5, .memory = data[3] >> 7, .source = data[1]};
        uint64_t value;
        memcpy(&value, data + 4, 8);
        value ^= data[0] & 8 ? c.cr4 : data[0] & 16 ? c.cr0 : data[0] & 32 ? c.efer : 0;
        c.cs_access = data[2] & 0x80 ? 0x9b | AXVCPU_X86_AR_L : 0x9b;
        c.cpl = data[2] & 3;
        r.gpr[cr.reg] = value;
        switch (data[0] & 7) {
        case 0: (void)axvcpu_x86_write_xcr(&c, data[1] & 1, value); break;
        case 1: (void)axvcpu_x86_write_efer(&c, value); break;
        case 2: (void)axvcpu_x86_write_msr(&c, msrs[data[1] & 15], value); break;
        case 3: (void)axvcpu_x86_read_msr(&c, msrs[data[1] & 15], &value); break;
        default: (void)axvcpu_x86_do_cr(&c, &r, &cr, data[2] & 0x40 ? 64 : 32); break;
        }
        check_control(&c);
    }
}

static void decide(const struct input *in)
{
    struct axvcpu_x86_events e = {.nmi = in->write & 1, .vector = (int32_t)in->size - 1, .more = in->write & 2,
                                  .rflags = in->r.rflags, .tpr = in->cpl & 15, .shadow = in->write & 4,
                                  .nmi_blocked = in->write & 8};
    struct axvcpu_x86_decision d;
    e.again.info = (uint32_t)in->value & 0x80000fff;
    e.again.info = e.again.info >> 31 ? e.again.info : 0;
    if (in->kind & 1)
        e.exception = axvcpu_x86_exception(in->kind >> 1 & 31, 0);
    axvcpu_x86_decide(&e, &d);
    must((d.inject.info == 0) == (d.taken == AXVCPU_X86_TOOK_NOTHING || d.taken == AXVCPU_X86_TOOK_SHUTDOWN));
    must(d.taken != AXVCPU_X86_TOOK_INTERRUPT || (e.rflags & AXVCPU_X86_FLAG_IF) != 0);
    must(!e.nmi || d.taken == AXVCPU_X86_TOOK_NMI || d.nmi_window);
    must(d.put_back.info == 0 || d.taken == AXVCPU_X86_TOOK_EXCEPTION);
}

// Any state is explained, and the text ends where the buffer does.
static void explain(const uint8_t *data, size_t size)
{
    struct axvcpu_x86_vmx_state v = {.physical_mask = (UINT64_C(1) << 40) - 1};
    struct axvcpu_x86_svm_state s = {.physical_mask = (UINT64_C(1) << 40) - 1, .asids = 16};
    struct axvcpu_x86_broken b[4];
    char text[100];
    uint32_t n;
    memcpy(v.field, data, size < sizeof v.field ? size : sizeof v.field);
    memcpy(&v.pin, data, size < 11 * sizeof v.pin ? size : 11 * sizeof v.pin);
    memcpy(s.field, data, size < sizeof s.field ? size : sizeof s.field);
    n = axvcpu_x86_vmx_explain(&v, b, 4);
    (void)axvcpu_x86_explain_print(text, data[0] % sizeof text, b, n < 4 ? n : 4);
    n = axvcpu_x86_svm_explain(&s, b, 4);
    must(n <= AXVCPU_I_X86_SVM_RULE_COUNT && n >= (uint32_t)(s.field[AXVCPU_X86_VMCB_ASID] == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {0};
    if (size < 2)
        return 0;
    if (data[0] % 4 == 0) {
        if (data[0] & 0x40)
            explain(data + 1, size - 1);
        else
            write_registers(data + 1, size - 1);
        return 0;
    }
    memset(memory, 0, sizeof memory);
    if (size > sizeof in)
        memcpy(memory, data + sizeof in, size - sizeof in < sizeof memory ? size - sizeof in : sizeof memory);
    memcpy(&in, data + 1, size - 1 < sizeof in ? size - 1 : sizeof in);
    in.size &= 15;
    if (data[0] & 0x80) { // near to what fits
        in.gpa = (in.gpa & ~UINT64_C(0xfff)) | (in.r.gpr[3] & 0xfff);
        in.cr0 &= data[0] & 0x40 ? UINT64_MAX : ~(uint64_t)AXVCPU_X86_CR0_PG;
        in.size = 15;
    }
    if (data[0] % 4 == 1)
        look(&in);
    else if (data[0] % 4 == 2)
        leave(&in);
    else
        decide(&in);
    return 0;
}
