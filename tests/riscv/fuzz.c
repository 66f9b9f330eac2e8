// SPDX-License-Identifier: Apache-2.0
//
// The decoder's fuzzer: any trap, any registers. It must come to one of its answers, and what a guest
// chose must be bounded in it. With the sanitizers, anything else ends it.
#include "decode.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static bool is_width(uint32_t n)
{
    return n == 1 || n == 2 || n == 4 || n == 8;
}

static void check_exit(const struct axvcpu_riscv_trap *t, const struct axvcpu_exit *x)
{
    char text[256];
    must(x->kind != AXVCPU_EXIT_NOTHING && x->kind < AXVCPU_EXIT_COUNT && x->flags == 0 && x->raw == t->cause);
    must(axvcpu_exit_print(text, sizeof text, x) < 512);
    switch (x->kind) {
    case AXVCPU_EXIT_MMIO_READ:
    case AXVCPU_EXIT_MMIO_WRITE:
        must(is_width(x->mmio.width) && x->mmio.reg < 32 && x->mmio.reg_width == 8);
        must(x->mmio.width == 8 || x->mmio.data >> x->mmio.width * 8 == 0);
        must((x->mmio.addr & 0xfff) == (t->tval & 0xfff));
        break;
    case AXVCPU_EXIT_HYPERCALL:
        must((uint32_t)x->hypercall.nr != AXVCPU_RISCV_SBI_EXT_DBCN ||
             x->hypercall.args[0] <= AXVCPU_RISCV_DBCN_MAX);
        break;
    case AXVCPU_EXIT_SYSREG_READ:
    case AXVCPU_EXIT_SYSREG_WRITE: must(x->sysreg.addr < 0x1000 && x->sysreg.reg < 32); break;
    case AXVCPU_EXIT_UNDECODED: must(x->undecoded.insn_len == 2 || x->undecoded.insn_len == 4); break;
    case AXVCPU_EXIT_REMOTE_FENCE: must(x->fence.op <= AXVCPU_RISCV_FENCE_VMA_ASID); break;
    default: break;
    }
}

static void decode(const struct axvcpu_riscv_trap *t, const uint64_t *gpr)
{
    struct axvcpu_exit x = {0};
    struct axvcpu_riscv_effect e;
    switch (axvcpu_riscv_decode(t, gpr, &sbi_identity, &x, &e)) {
    case AXVCPU_RISCV_EXIT:
        check_exit(t, &x);
        if (x.kind == AXVCPU_EXIT_SYSREG_READ)
            (void)axvcpu_riscv_csr_write(e.insn, gpr, t->htval, &x);
        break;
    case AXVCPU_RISCV_RESUME: must(e.step == 4); break;
    case AXVCPU_RISCV_TRAP: must(e.step == 0 && e.cause < 64 && e.cause != 14); break;
    case AXVCPU_RISCV_FETCH: must((t->flags & AXVCPU_RISCV_HAS_INSN) == 0); break;
    case AXVCPU_RISCV_LOAD_MASK: must((t->flags & AXVCPU_RISCV_HAS_MASK) == 0); break;
    default: must(false);
    }
    must(e.sets == 0 || t->cause == AXVCPU_RISCV_CAUSE_ECALL_VS);
    must(e.step == 0 || e.step == 2 || e.step == 4);
}

// Most of 2^64 causes and extensions are the same to us; the first byte brings us to the others.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint32_t exts[] = {0x10, 0x54494d45, 0x735049, 0x52464e43, 0x48534d, 0x53525354, 0x4442434e, 0x0a000000};
    struct {
        struct axvcpu_riscv_trap trap;
        uint64_t gpr[32];
    } in = {0};
    if (size < 2)
        return 0;
    memcpy(&in, data + 2, size - 2 < sizeof in ? size - 2 : sizeof in);
    if (data[0] & 0x80)
        in.trap.cause = data[0] & 0x1f;
    if (data[0] & 0x40)
        in.gpr[AXVCPU_RISCV_A7] = data[1] & 8 ? exts[data[1] & 7] : data[1] >> 4;
    if (data[0] & 0x20)
        in.trap.htval = in.trap.tval >> 2;
    in.gpr[0] = 0;
    decode(&in.trap, in.gpr);
    return 0;
}
