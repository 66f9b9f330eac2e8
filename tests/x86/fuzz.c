// SPDX-License-Identifier: Apache-2.0
//
// The fuzzer of the x86 header's pure part: any instruction, registers and address space here; exits, events and what
// a guest may see and write in the files beside it. What a guest chose must be bounded in the answers, and whatever it
// is, registers may only change when it is over.
#include "decode.h"
#undef COUNT
#include "fuzz.h"

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
    must(i->width == 1 || i->width == 2 || i->width == 4 || i->width == 8);
    must(x->mmio.width == (m->done == 0 ? m->first : (unsigned)i->width - m->first) && x->mmio.width != 0);
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

static void instruct(const uint8_t *data, size_t size)
{
    struct input in = {0};
    memset(memory, 0, sizeof memory);
    if (size > sizeof in)
        memcpy(memory, data + sizeof in, size - sizeof in < sizeof memory ? size - sizeof in : sizeof memory);
    memcpy(&in, data, size < sizeof in ? size : sizeof in);
    in.size &= 15;
    if (in.pad & 0x80) { // near to what fits
        in.gpa = (in.gpa & ~UINT64_C(0xfff)) | (in.r.gpr[3] & 0xfff);
        in.cr0 &= in.pad & 0x40 ? UINT64_MAX : ~(uint64_t)AXVCPU_X86_CR0_PG;
        in.size = 15;
    }
    look(&in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const parts[])(const uint8_t *, size_t) = {instruct, instruct, explain, fuzz_exit, fuzz_events, fuzz_cpuid, fuzz_msrs, fuzz_control};
    if (size > 2)
        parts[data[0] % COUNT(parts)](data + 1, size - 1);
    return 0;
}
