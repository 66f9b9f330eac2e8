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

static void check_exit(const struct axvcpu_arm64_trap *t, const struct axvcpu_exit *x)
{
    char text[512];
    must(x->kind != AXVCPU_EXIT_NOTHING && x->kind < AXVCPU_EXIT_COUNT);
    must(x->flags == 0 || (x->flags == AXVCPU_ARM64_EXIT_YIELD && x->kind == AXVCPU_EXIT_HALT));
    must(axvcpu_exit_print(text, sizeof text, x) < sizeof text);
    switch (x->kind) {
    case AXVCPU_EXIT_MMIO_READ:
    case AXVCPU_EXIT_MMIO_WRITE:
        must(is_width(x->mmio.width) && x->mmio.reg < 32 && (x->mmio.reg_width == 4 || x->mmio.reg_width == 8));
        must(x->mmio.width == 8 || x->mmio.data >> x->mmio.width * 8 == 0);
        must((x->mmio.addr & 0xfff) == (t->far & 0xfff) && x->mmio.addr >> 52 == 0);
        break;
    case AXVCPU_EXIT_NESTED_PAGE_FAULT:
        must(x->fault.addr >> 52 == 0 && x->fault.access != 0 && x->fault.access != AXVCPU_ACCESS_WALK);
        break;
    case AXVCPU_EXIT_SYSREG_READ:
    case AXVCPU_EXIT_SYSREG_WRITE: must((x->sysreg.addr & ~0x3ffc1eull) == 0 && x->sysreg.reg < 32); break;
    case AXVCPU_EXIT_UNDECODED: must(x->undecoded.insn_len == 0 || x->undecoded.insn_len == 4); break;
    case AXVCPU_EXIT_CPU_UP:
        must((x->cpu_up.target & ~0xff00ffffffull) == 0 && (x->cpu_up.entry & 3) == 0);
        break;
    case AXVCPU_EXIT_SEND_IPI: must(x->ipi.vector < 16 && x->ipi.aux < 0x10000 && (x->ipi.target & 15) == 0); break;
    case AXVCPU_EXIT_EXCEPTION: must(x->exception.vector < 64); break;
    default: break;
    }
}

static void decode(const struct axvcpu_arm64_trap *t, const uint64_t *gpr)
{
    struct axvcpu_exit x = {0};
    struct axvcpu_arm64_effect e;
    struct axvcpu_arm64_el1 s = {.pc = t->pc, .pstate = t->pstate, .vbar = t->far, .sctlr = t->hpfar};
    switch (axvcpu_arm64_decode(t, gpr, &x, &e)) {
    case AXVCPU_ARM64_EXIT: check_exit(t, &x); break;
    case AXVCPU_ARM64_RESUME: must(e.step == 4 || e.sets != 0); break;
    case AXVCPU_ARM64_TRAP:
        must(e.step == 0);
        axvcpu_arm64_take(&s, e.esr, e.far);
        must((s.pstate & 0x3df) == 0x3c5 && s.elr == t->pc);
        break;
    case AXVCPU_ARM64_TRANSLATE: must((t->flags & AXVCPU_ARM64_HAS_IPA) == 0); break;
    default: must(false);
    }
    must(e.step == 0 || e.step == 4);
    must((e.sets & AXVCPU_ARM64_SETS_START) == 0 || (e.pc & 3) == 0);
}

// Most classes and identifiers are the same to us; the first bytes bring us to the others.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t classes[] = {0x01, 0x16, 0x17, 0x18, 0x20, 0x24, 0x24, 0x07};
    struct {
        struct axvcpu_arm64_trap trap;
        uint64_t gpr[31];
    } in = {0};
    if (size < 2)
        return 0;
    memcpy(&in, data + 2, size - 2 < sizeof in ? size - 2 : sizeof in);
    in.trap.vector = data[0] & 0x80 ? in.trap.vector & 3 : AXVCPU_ARM64_SYNC;
    if (data[0] & 0x40)
        in.trap.esr = (in.trap.esr & 0x3ffffff) | (uint64_t)classes[data[0] & 7] << 26;
    if (data[0] & 0x20)
        in.gpr[0] = 0x84000000u | (data[1] & 0x40u) << 24 | (data[1] & 0x1f);
    if (data[0] & 0x10)
        in.trap.esr &= ~0xffffull;
    decode(&in.trap, in.gpr);
    return 0;
}
