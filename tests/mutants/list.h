// SPDX-License-Identifier: Apache-2.0
//
// MUTANT(groups, file, test, text, becomes): `text` stands in the file exactly once. `test` is a program of
// tests/, or a name in the commands of rules.mk, with ":CASE" that case alone. groups: those of groups.h and
// the traps of traps.h, separated by a comma.
// clang-format off

// ---- ownership
MUTANT("ownership", CORE, "core/ownership",
       "        if (!AXVCPU_ATOMIC_CAS(&v->owner, &nobody, token))\n            return AXVCPU_EBUSY;\n        *claimed = true;",
       "        AXVCPU_ATOMIC_STORE_RELEASE(&v->owner, token), (void)nobody;\n        *claimed = true;")
MUTANT("ownership", CORE, "core/state_table",
       "    axvcpu_i_set_state(v, AXVCPU_STATE_INVALID);\n    AXVCPU_CURRENT_SET(NULL);\n    axvcpu_i_disown(v);",
       "    axvcpu_i_set_state(v, AXVCPU_STATE_INVALID);\n    AXVCPU_CURRENT_SET(NULL);")
MUTANT("ownership", CORE, "core/state_table",
       "    if (*claimed && (rule->flags & AXVCPU_I_OWNER) != 0) {\n        axvcpu_i_disown(v);",
       "    if (*claimed && (rule->flags & AXVCPU_I_OWNER) != 0) {")
MUTANT("ownership", CORE, "core/ownership",
       "    if (AXVCPU_ATOMIC_LOAD(&v->refs) != 1)\n        return axvcpu_i_close(v, claimed, AXVCPU_EBUSY);",
       "")
MUTANT("ownership", CORE, "core/interleave",
       "        if (AXVCPU_ATOMIC_CAS(&v->refs, &refs, refs - 1))\n            return AXVCPU_OK;",
       "        AXVCPU_ATOMIC_STORE_RELEASE(&v->refs, refs - 1);\n        return AXVCPU_OK;")
MUTANT("inject", CORE, "core/interrupts",
       "    (void)AXVCPU_ATOMIC_FETCH_OR(&v->pending[vector / 64], UINT64_C(1) << (vector % 64));",
       "    (void)AXVCPU_ATOMIC_XCHG(&v->pending[vector / 64], UINT64_C(1) << (vector % 64));")
MUTANT("ownership", CORE, "core/ownership",
       "    if (!AXVCPU_ATOMIC_CAS(&v->owner, &owner, AXVCPU_CPU_TOKEN()))\n        return AXVCPU_EBUSY;\n    axvcpu_i_poison(v, true);",
       "    axvcpu_i_poison(v, false);")
MUTANT("ownership", CORE, "core/bad_input",
       "    return any == 0 ||\n           (cpu_id < AXVCPU_MAX_PHYS_CPUS && (v->phys_cpu_set", "    return any != 0 ||\n           (cpu_id < AXVCPU_MAX_PHYS_CPUS && (v->phys_cpu_set")

// ---- traps of the core
MUTANT("trap 2", CORE, "core/state_table",
       "        (void)axvcpu_i_complain_state(op, v, rule->from);\n        if ((rule->flags & AXVCPU_I_POISONS) != 0)\n            axvcpu_i_poison(v, !*claimed);",
       "        if ((rule->flags & AXVCPU_I_POISONS) != 0)\n            axvcpu_i_poison(v, !*claimed);\n        (void)axvcpu_i_complain_state(op, v, rule->from);\n        if ((rule->flags & AXVCPU_I_POISONS) != 0)\n            ;")
MUTANT("trap 3", CORE, "core/state_table",
       "    axvcpu_i_set_state(v, AXVCPU_STATE_INVALID);\n    AXVCPU_CURRENT_SET(NULL);",
       "    axvcpu_i_set_state(v, AXVCPU_STATE_INVALID);")
MUTANT("inject, trap 7", CORE, "core/interrupts",
       "    (void)AXVCPU_ATOMIC_FETCH_AND(&v->pending[vector / 64], ~(UINT64_C(1) << (vector % 64)));", "    (void)v, (void)vector;")
MUTANT("trap 7", CORE, "core/interrupts",
       "    if (vector >= AXVCPU_LEAF_VECTORS || !AXVCPU_LEAF_VECTOR_OK(vector))", "    if (vector > AXVCPU_LEAF_VECTORS || !AXVCPU_LEAF_VECTOR_OK(vector))")
MUTANT("ownership, trap 41", CORE, "core/state_table",
       "    if (axvcpu_get_state(v) == AXVCPU_STATE_RUNNING) {\n        err = axvcpu_i_complain_state(AXVCPU_OP_UNREF",
       "    if (axvcpu_get_state(v) == AXVCPU_STATE_RUNNING + 100) {\n        err = axvcpu_i_complain_state(AXVCPU_OP_UNREF")
MUTANT("ownership, trap 42", CORE, "core/state_table",
       "        if ((rule->flags & AXVCPU_I_POISONS) != 0)\n            axvcpu_i_poison(v, !*claimed);\n        else if (*claimed)\n            axvcpu_i_disown(v);",
       "        if ((rule->flags & AXVCPU_I_POISONS) != 0)\n            axvcpu_i_set_state(v, AXVCPU_STATE_INVALID);\n        else if (*claimed)\n            axvcpu_i_disown(v);")
MUTANT("sleep, trap 43", CORE, "core/interrupts",
       "AXVCPU_ATOMIC_LOAD(&v->latch) != 0 || axvcpu_leaf_wakes(v, axvcpu_irq_next(v) >= 0);",
       "AXVCPU_ATOMIC_LOAD(&v->latch) != 0 || axvcpu_irq_next(v) >= 0;")

// ---- run
MUTANT("run", CORE, "core/exits",
       "    if ((axvcpu_i_word(v) & AXVCPU_I_ASKED) != 0)\n        return axvcpu_i_complain(AXVCPU_OP_RUN, v, AXVCPU_EPENDING, NULL);", "")
MUTANT("run", CORE, "core/life",
       "    if ((axvcpu_i_word(v) & AXVCPU_I_AWAY) != 0)\n        return axvcpu_i_complain(AXVCPU_OP_RUN, v, AXVCPU_EBADSTATE, \"it is put; load it first\");", "")
MUTANT("run", CORE, "core/hooks_fail",
       "    if (err != 0) {\n        axvcpu_i_exit(x, AXVCPU_EXIT_NOTHING);\n        return axvcpu_i_fail(v, AXVCPU_OP_RUN, err, true);\n    }\n    if (!done)",
       "    if (err != 0)\n        return axvcpu_i_fail(v, AXVCPU_OP_RUN, err, true);\n    if (!done)")
MUTANT("run, trap 11", CORE, "core/commit",
       "        *done = x->kind != AXVCPU_EXIT_NOTHING;\n        if (err != 0 || *done)\n            return err;",
       "        if (err != 0)\n            return err;")
MUTANT("run", CORE, "core/nesting",
       "    if (!done)\n        return axvcpu_i_enter(v, x);\n    axvcpu_i_set_state(v, AXVCPU_STATE_READY);\n    AXVCPU_CURRENT_SET(NULL);",
       "    if (!done)\n        return axvcpu_i_enter(v, x);\n    axvcpu_i_set_state(v, AXVCPU_STATE_READY);")

// ---- answers
MUTANT("answers", CORE, "core/exits",
       "    if (a->sign_extend && (value & ((mask >> 1) + 1)) != 0)", "    if (a->sign_extend && (value & (mask >> 1)) != 0)")
MUTANT("answers, trap 17", CORE, "core/exits", "    if (a->reg_width < 4)\n", "    if (a->reg_width < 8)\n")
MUTANT("answers", CORE, "core/exits",
       "        value = mask; /* a bus answers with all ones */", "        value = 0;")
MUTANT("answers", CORE, "core/exits",
       "    } else if (((word & AXVCPU_I_REGS) != 0) != (regs != NULL)) {", "    } else if (regs != NULL && (word & AXVCPU_I_REGS) == 0) {")
MUTANT("answers", CORE, "core/exits",
       "        v->access.refused = op == AXVCPU_OP_REFUSE;", "        v->access.refused = false;")
MUTANT("answers, trap 16", CORE, "core/commit",
       "            axvcpu_i_flags(v, 0, AXVCPU_I_DUE); /* nothing is lost; it may be tried again */", "")
MUTANT("answers", CORE, "core/exits",
       "    return axvcpu_i_decline(v, AXVCPU_OP_RETRY, axvcpu_leaf_retry, AXVCPU_I_ACCESS);",
       "    return axvcpu_i_decline(v, AXVCPU_OP_RETRY, axvcpu_leaf_retry, AXVCPU_I_ASKED);")

// ---- interrupts and kicks
MUTANT("kick, trap 14", CORE, "core/alert",
       "    owner = AXVCPU_ATOMIC_LOAD(&v->owner);\n    if (owner != NULL)\n        axvcpu_leaf_kick(v, owner);",
       "    owner = AXVCPU_ATOMIC_LOAD(&v->owner);\n    if (owner != NULL && axvcpu_get_state(v) == AXVCPU_STATE_RUNNING)\n        axvcpu_leaf_kick(v, owner);")
MUTANT("inject", CORE, "core/interrupts",
       "    if (left != 0)\n        (void)AXVCPU_ATOMIC_FETCH_OR(&v->attn, left);\n    return err;", "    return err;")
MUTANT("inject", CORE, "core/interrupts",
       "        (void)AXVCPU_ATOMIC_FETCH_AND(&v->lines[irq / 64], ~bit);", "        (void)bit;")
MUTANT("kick", CORE, "core/interrupts",
       "    (void)AXVCPU_ATOMIC_FETCH_AND(&v->attn, AXVCPU_I_CALM | AXVCPU_ATTN_KICK | AXVCPU_ATTN_STOP);",
       "    (void)AXVCPU_ATOMIC_FETCH_AND(&v->attn, AXVCPU_I_CALM);")
MUTANT("inject", CORE, "core/interleave",
       "    (void)AXVCPU_ATOMIC_FETCH_AND(&v->attn, ~what);\n    err = axvcpu_leaf_inject(v, &left);",
       "    err = axvcpu_leaf_inject(v, &left);\n    (void)AXVCPU_ATOMIC_FETCH_AND(&v->attn, ~what);")

// ---- sleep
MUTANT("sleep", CORE, "core/interleave",
       "    (void)axvcpu_i_wake(v); /* barrier UNBLOCK_AGAIN: it may have blocked since, without seeing the latch */", "")
MUTANT("sleep, trap 15", CORE, "core/interrupts",
       "    (void)AXVCPU_ATOMIC_XCHG(&v->latch, 1u); /* barrier", "    /* barrier")
MUTANT("sleep", CORE, "core/interrupts",
       "    (void)axvcpu_i_wake(v);\n    (void)AXVCPU_ATOMIC_XCHG(&v->latch, 0u);\n    return AXVCPU_EAGAIN;",
       "    (void)axvcpu_i_wake(v);\n    return AXVCPU_EAGAIN;")
MUTANT("sleep", CORE, "core/alert",
       "    AXVCPU_I_WAKE(v); /* barrier", "    if (v->refs == 77)\n        AXVCPU_I_WAKE(v); /* barrier")
MUTANT("sleep", CORE, "core/alert",
       "== AXVCPU_STATE_BLOCKED && axvcpu_pending(v))\n        (void)axvcpu_i_wake(v);\n    owner", "== AXVCPU_STATE_BLOCKED && axvcpu_pending(v) && attn == AXVCPU_ATTN_KICK)\n        (void)axvcpu_i_wake(v);\n    owner")

// ---- x86 instructions
MUTANT("x86 instructions", X86, "x86/native:mov Ev",
       "    if (index != AXVCPU_X86_RSP)\n        i->index", "    if ((index & 7u) != AXVCPU_X86_RSP)\n        i->index")
MUTANT("x86 instructions", X86, "x86/native:mov Eb,Gb",
       "    if (i->reg_width == 1 && r->rex == 0 && i->reg >= 4) {", "    if (i->reg_width == 1 && i->reg >= 4) {")
MUTANT("x86 instructions", X86, "x86/decode:mov Eb,Ib",
       "        r->rex = r->bits == 64 && (byte & 0xf0) == 0x40 ? byte : 0;",
       "        r->rex = r->bits == 64 && (byte & 0xf0) == 0x40 ? byte : r->rex;")
MUTANT("x86 instructions", X86, "x86/decode:mov Ob",
       "    i->disp = axvcpu_i_x86_take(r, i->address_width);", "    i->disp = axvcpu_i_x86_take(r, 4);")
MUTANT("x86 instructions", X86, "x86/decode:mov Ev,Iz",
       "    i->imm = axvcpu_i_x86_take_signed(r, size < 4 ? size : 4);", "    i->imm = axvcpu_i_x86_take_signed(r, size);")
MUTANT("x86 instructions", X86, "x86/decode:mov Eb,Ib",
       "    return !r->lock || axvcpu_i_x86_lockable(i);", "    return true;")
MUTANT("x86 instructions", X86, "x86/decode:mov Eb,Ib",
       "    static const uint8_t width[3][2] = { { 2, 4 }, { 4, 2 }, { 8, 4 } };",
       "    static const uint8_t width[3][2] = { { 2, 4 }, { 4, 2 }, { 8, 2 } };")

// ---- what SVM says
MUTANT("SVM exits, trap 18", X86, "x86/exits",
       "((i & 4u) != 0 ? AXVCPU_X86_IO_STRING : 0) | ((i & 8u)", "((i & 4u) != 0 ? 0 : 0) | ((i & 8u)")
MUTANT("SVM exits", X86, "x86/exits", "    if ((v->info1 >> 33 & 1u) != 0)", "    if ((v->info1 >> 32 & 1u) != 0)")
MUTANT("SVM exits", X86, "x86/exits",
       "(v->info1 & 1u) != 0 ? AXVCPU_X86_CAUSE_WRMSR", "(v->info1 & 1u) == 0 ? AXVCPU_X86_CAUSE_WRMSR")
MUTANT("SVM exits", X86, "x86/exits",
       " ? (uint32_t)(next - v->rip) : 0;", " ? (uint32_t)(v->rip - next) : 0;")
MUTANT("SVM exits, trap 22", X86, "x86/exits",
       "    { 0x07f, 0x07f, AXVCPU_X86_CAUSE_SHUTDOWN, false },", "    { 0x07f, 0x07f, AXVCPU_X86_CAUSE_INIT, false },")
MUTANT("SVM exits", X86, "x86/exits",
       "    return next - v->rip <= AXVCPU_X86_INSN_MAX ?", "    return true ?")
MUTANT("SVM exits, trap 21", X86, "x86/exits",
       "    axvcpu_i_x86_event(&l->under_way, v->int_info, v->int_info >> 32, 0);", "")

// ---- what VMX says
MUTANT("VMX exits, trap 22", X86, "x86/exits",
       "    case AXVCPU_X86_CAUSE_INVALID: l->fail = axvcpu_i_x86_vmx_fail(v->reason); break;", "")
MUTANT("VMX exits", X86, "x86/exits",
       "    l->cr.op = op[v->qualification >> 4 & 3u];", "    l->cr.op = op[v->qualification >> 4 & 1u];")
MUTANT("VMX exits", X86, "x86/exits", "    l->cr.sourced = l->cr.op == AXVCPU_X86_CR_LMSW;", "")
MUTANT("VMX exits", X86, "x86/exits", "(uint8_t)((q & 7u) + 1);", "(uint8_t)(q & 7u);")
MUTANT("VMX exits", X86, "x86/exits",
       "    if ((q & 0x80u) != 0 && (q & 0x100u) == 0)", "    if ((q & 0x100u) == 0)")
MUTANT("VMX exits", X86, "x86/exits",
       "(v->int_info & 0x1000u) != 0 && vector != 8 &&", "(v->int_info & 0x1000u) != 0 &&")
MUTANT("VMX exits, trap 22", X86, "x86/exits",
       "    [2] = AXVCPU_I_X86_EVENT_(SHUTDOWN, 0),", "    [2] = AXVCPU_I_X86_EVENT_(INIT, 0),")
MUTANT("VMX exits", X86, "x86/exits",
       "    reason &= 0xffff;\n    return reason < AXVCPU_I_X86_VMX_REASONS", "    return reason < AXVCPU_I_X86_VMX_REASONS")

// ---- arm64 syndromes
MUTANT("arm64 syndromes, trap 24", ARM64, "arm64/decode",
       "    return (t->esr & AXVCPU_ARM64_ISS_ISV) != 0 && (t->esr", "    return (t->esr")
MUTANT("arm64 syndromes, trap 24", ARM64, "arm64/decode",
       "    c->x->mmio.sign_extend = (iss & AXVCPU_ARM64_ISS_SSE) != 0;", "    c->x->mmio.sign_extend = false;")
MUTANT("arm64 syndromes", ARM64, "arm64/decode",
       "    return n < 31 ? c->gpr[n] : 0;", "    return c->gpr[n % 31];")
MUTANT("arm64 syndromes", ARM64, "arm64/decode",
       "width = 1u << (iss >> AXVCPU_ARM64_ISS_SAS_SHIFT & 3u);", "width = 1u << (iss >> AXVCPU_ARM64_ISS_SAS_SHIFT & 1u);")
MUTANT("arm64 syndromes", ARM64, "arm64/decode",
       "    return (t->esr & (AXVCPU_ARM64_ISS_FNV | AXVCPU_ARM64_ISS_S1PTW)) != 0", "    return (t->esr & AXVCPU_ARM64_ISS_FNV) != 0")
MUTANT("arm64 syndromes", ARM64, "arm64/decode",
       "        (kind == AXVCPU_I_ARM64_PERMISSION && (!write || cache)))", "        (kind == AXVCPU_I_ARM64_PERMISSION && !write))")
MUTANT("arm64 syndromes", ARM64, "arm64/syndrome",
       "    t->hpfar = (result & AXVCPU_I_ARM64_DESC_ADDR) >> 8;", "    t->hpfar = (result & AXVCPU_I_ARM64_DESC_ADDR) >> 9;")
MUTANT("arm64 syndromes", ARM64, "arm64/syndrome",
       "    return axvcpu_i_arm64_fault_kind(AXVCPU_ARM64_ESR_ISS(t->esr)) == AXVCPU_I_ARM64_PERMISSION &&\n           (t->esr & AXVCPU_ARM64_ISS_S1PTW) == 0 &&",
       "    return axvcpu_i_arm64_fault_kind(AXVCPU_ARM64_ESR_ISS(t->esr)) == AXVCPU_I_ARM64_PERMISSION &&")
MUTANT("arm64 syndromes, trap 26", ARM64, "arm64/decode",
       "    if (t->vector == AXVCPU_ARM64_ERROR)\n        return axvcpu_i_arm64_other(&c);", "")
MUTANT("arm64 syndromes, trap 26", ARM64, "arm64/decode",
       "    return fn != NULL ? fn(&c) : axvcpu_i_arm64_raw(&c);", "    return fn(&c);")
MUTANT("arm64 syndromes, trap 29", ARM64, "arm64/decode",
       "(value >> 16 & 0xffu) << 8 |\n                       (value >> 44 & 0xfu) << 4;", "(value >> 16 & 0xffu) << 8;")

// ---- PSCI and SMCCC
MUTANT("PSCI, trap 25", ARM64, "arm64/smccc", "    e->step = smc ? 4 : 0;", "    e->step = 4;")
MUTANT("PSCI, trap 25", ARM64, "arm64/smccc", "    e->step = smc ? 4 : 0;", "    e->step = 0;")
MUTANT("PSCI, trap 27", ARM64, "arm64/smccc",
       "    c->x->cpu_up.target = axvcpu_i_arm64_arg(c, 1) & AXVCPU_ARM64_MPIDR_AFFINITY;",
       "    c->x->cpu_up.target = axvcpu_i_arm64_arg(c, 1);")
MUTANT("PSCI, trap 27", ARM64, "arm64/smccc",
       "    c->x->cpu_up.arg = axvcpu_i_arm64_arg(c, 3);", "    c->x->cpu_up.arg = (uint32_t)c->gpr[3];")
MUTANT("PSCI", ARM64, "arm64/smccc", "c->gpr[n] : (uint32_t)c->gpr[n];", "c->gpr[n] : c->gpr[n];")
MUTANT("PSCI, trap 26", ARM64, "arm64/smccc",
       "    return (id & 0xba000000u) == AXVCPU_ARM64_SMCCC_FAST;", "    return (id & 0xbf000000u) == AXVCPU_ARM64_SMCCC_FAST;")
MUTANT("PSCI", ARM64, "arm64/smccc",
       "    uint32_t id = (uint32_t)gpr[0] & ~AXVCPU_ARM64_SMCCC_SVE_HINT;", "    uint32_t id = (uint32_t)gpr[0];")
MUTANT("PSCI", ARM64, "arm64/smccc",
       "    if ((t->esr & 0xffffu) != 0 || !axvcpu_i_arm64_is_ours(id))", "    if (!axvcpu_i_arm64_is_ours(id))")

// ---- riscv instructions
MUTANT("riscv instructions, trap 32", RISCV, "riscv/decode",
       "    { 0x4002, 4, false, true, { { 12, 1, 5 }, { 4, 3, 2 }, { 2, 2, 6 } } },", "")
MUTANT("riscv instructions, trap 32", RISCV, "riscv/decode",
       "    return (insn & 3u) == 3u ? 4 : 2;", "    return insn != 0 ? 4 : 2;")
MUTANT("riscv instructions", RISCV, "riscv/listing",
       "    return (int64_t)(imm ^ 0x800u) - 0x800;", "    return (int64_t)imm;")
MUTANT("riscv instructions", RISCV, "riscv/decode",
       "    a->sign_extend = !a->write && (funct3 & 4u) == 0;", "    a->sign_extend = !a->write;")
MUTANT("riscv instructions", RISCV, "riscv/listing",
       "    return AXVCPU_I_RISCV_CSR_OP(insn) == 1 || AXVCPU_I_RISCV_CSR_SRC(insn) != 0;",
       "    return AXVCPU_I_RISCV_CSR_SRC(insn) != 0;")
MUTANT("riscv instructions", RISCV, "riscv/listing",
       "op == 2 ? old | value : old & ~value;", "op == 2 ? old | value : old & value;")
MUTANT("riscv instructions", RISCV, "riscv/listing",
       "    return !(c->sp && !c->write && full == 0);", "    return true;")

// ---- why a riscv guest left
MUTANT("riscv exits", RISCV, "riscv/decode", "    return t->htval << 2 | (t->tval & 3u);", "    return t->htval << 2;")
MUTANT("riscv exits, trap 32", RISCV, "riscv/decode",
       "    a->len = (t->htinst & 2u) != 0 ? 4 : 2;", "    a->len = 4;")
MUTANT("riscv exits", RISCV, "riscv/decode",
       "    return axvcpu_riscv_decode_access(c->t->insn, a) &&\n", "    return axvcpu_riscv_decode_access(c->t->insn, a) ||\n")
MUTANT("riscv exits", RISCV, "riscv/decode",
       "return AXVCPU_ACCESS_WRITE | AXVCPU_ACCESS_WALK;", "return AXVCPU_ACCESS_READ | AXVCPU_ACCESS_WALK;")
MUTANT("riscv exits", RISCV, "riscv/decode",
       "    return (csr & ~0x1fu) == 0xc00u && (c->t->scounteren >> (csr & 0x1fu) & 1u) != 0;",
       "    return (csr & ~0x1fu) == 0xc00u;")
MUTANT("riscv exits, trap 32", RISCV, "riscv/decode",
       "    case AXVCPU_RISCV_CAUSE_VIRTUAL_INSN: return axvcpu_i_riscv_virtual_insn(&c);", "")
MUTANT("riscv exits, trap 13", RISCV, "riscv/decode",
       "bool plain = ((axvcpu_i_riscv_gpa(t) ^ t->tval) & 0xfffu) == 0, known;", "bool plain = true, known;")

// ---- SBI
MUTANT("SBI, trap 31", RISCV, "riscv/sbi", "    if (a[0] > AXVCPU_RISCV_DBCN_MAX)", "    if (false)")
MUTANT("SBI, trap 30", RISCV, "riscv/sbi",
       "    (void)axvcpu_i_riscv_legacy(c, 0);\n    if (c->gpr[AXVCPU_RISCV_A7] == 4)", "    if (c->gpr[AXVCPU_RISCV_A7] == 4)")
MUTANT("SBI, trap 30", RISCV, "riscv/sbi",
       "    e->step = 4; /* ecall has no compressed form */", "    e->step = function == 1 || function == 3 ? 0 : 4;")
MUTANT("SBI, trap 30", RISCV, "riscv/sbi",
       "        c->e->sets = AXVCPU_RISCV_SETS_START | AXVCPU_RISCV_SETS_A1;", "        c->e->sets = AXVCPU_RISCV_SETS_START;")
MUTANT("SBI", RISCV, "riscv/sbi", "    if (a[0] > 2 || a[1] > 1)", "    if (a[0] > 2)")
MUTANT("SBI", RISCV, "riscv/sbi", "    if (a[2] != 0 || a[1] + a[0] < a[1])", "    if (a[2] != 0)")
MUTANT("SBI", RISCV, "riscv/sbi",
       "    return size != UINT64_MAX && start + size < start;", "    return start + size < start;")

// ---- more kicks, and what is asked inside a run
MUTANT("kick", CORE, "core/interleave",
       "        (void)AXVCPU_ATOMIC_FETCH_AND(&v->attn, ~out); /* barrier ATTEND_CLEAR",
       "        AXVCPU_ATOMIC_STORE_RELEASE(&v->attn, what & ~out); /* barrier ATTEND_CLEAR")
MUTANT("kick", CORE, "core/alert",
       "    if (owner != NULL)\n        axvcpu_leaf_kick(v, owner);\n}", "    if (owner != NULL && attn == AXVCPU_ATTN_KICK)\n        axvcpu_leaf_kick(v, owner);\n}")
MUTANT("kick", CORE, "core/interrupts",
       "        x->flags = out == AXVCPU_ATTN_STOP ? AXVCPU_EXIT_PAUSED : 0;", "        x->flags = AXVCPU_EXIT_PAUSED;")
MUTANT("kick", CORE, "core/commit",
       "(what & (AXVCPU_ATTN_KICK | AXVCPU_ATTN_STOP)) == 0);", "true);")
MUTANT("trap 1", CORE, "core/nesting",
       "        return current == v && (rule->flags & AXVCPU_I_SELF) != 0 ?", "        return current == v && false ?")

// ---- the VM: who is inside
MUTANT("VM wait", CORE, "vm/storms",
       "    while (AXVCPU_ATOMIC_LOAD(&vm->status) >= AXVM_I_INSIDE)\n        AXVCPU_I_RELAX();", "    AXVCPU_I_RELAX();")
MUTANT("VM wait", CORE, "vm/life",
       "    (void)AXVCPU_ATOMIC_FETCH_ADD(&vm->status, AXVM_I_INSIDE); /* barrier INSIDE, before the status is looked at */\n    err = axvm_i_visit(vm, v, x);",
       "    err = axvm_i_visit(vm, v, x);\n    (void)AXVCPU_ATOMIC_FETCH_ADD(&vm->status, AXVM_I_INSIDE);")
MUTANT("VM wait", CORE, "vm/life",
       "    return word == AXVM_STATUS_STOPPING ? AXVM_STATUS_STOPPED : word;", "    return word;")
MUTANT("VM wait", CORE, "vm/life", "axvm_i_settled(word - AXVM_I_INSIDE)))", "word - AXVM_I_INSIDE))")

MUTANT("VM wait", CORE, "vm/life", "        x->flags = AXVCPU_EXIT_PAUSED;\n    } else {", "        x->flags = 0;\n    } else {")
MUTANT("VM wait", CORE, "vm/between:visit",
       "    if (axvm_get_status(vm) == AXVM_STATUS_STOPPING)\n        axvm_i_stop_all(vm);\n    return err;", "    return err;")
MUTANT("VM wait", CORE, "vm/between:visit",
       "        if (AXVCPU_ATOMIC_LOAD(&axvm_i_at(vm, i)->owner) != NULL || AXVCPU_ATOMIC_LOAD(&vm->status) >= AXVM_I_INSIDE)",
       "        if (AXVCPU_ATOMIC_LOAD(&axvm_i_at(vm, i)->owner) != NULL)")
MUTANT("VM wait, trap 16", CORE, "vm/between:Loaded",
       "        if (*stopped && (axvcpu_i_word(v) & (AXVCPU_I_ASKED | AXVCPU_I_DUE)) != AXVCPU_I_DUE)", "        if (*stopped)")

// ---- ... who is up
MUTANT("VM boot", CORE, "vm/life", "                (void)axvcpu_reset(axvm_i_at(vm, i));", "                ;")
MUTANT("VM boot, trap 27", CORE, "vm/points",
       "    if (!AXVCPU_ATOMIC_CAS(&v->vm.up, &down, AXVM_I_CLAIMED))", "    if (AXVCPU_ATOMIC_LOAD(&v->vm.up) != down)")
MUTANT("VM boot, trap 27", CORE, "vm/smp",
       "    if (err == 0 && x->kind == AXVCPU_EXIT_CPU_DOWN && (x->flags", "    if (err != 0 && x->kind == AXVCPU_EXIT_CPU_DOWN && (x->flags")
MUTANT("VM boot", CORE, "vm/smp", "    err = axvcpu_i_restart(v, axvcpu_gpa(v->vm.entry), v->vm.arg, false);",
       "    err = axvcpu_i_restart(v, axvcpu_gpa(v->vm.entry), v->vm.entry, false);")
MUTANT("VM boot", CORE, "vm/smp", "        AXVCPU_ATOMIC_STORE_RELEASE(&v->vm.up, err == 0 ? AXVM_I_UP : AXVM_I_DOWN);\n    }",
       "        AXVCPU_ATOMIC_STORE_RELEASE(&v->vm.up, AXVM_I_UP);\n    }")
MUTANT("VM boot, trap 5", CORE, "vm/devices",
       "    left = axvcpu_get_state(v) == AXVCPU_STATE_READY ? axvcpu_unbind(v)", "    left = err == 0 && axvcpu_get_state(v) == AXVCPU_STATE_READY ? axvcpu_unbind(v)")
MUTANT("VM boot", CORE, "vm/smp", "    if (err == AXVCPU_EBUSY) {\n        axvcpu_i_forget_interrupts(v);", "    if (err == AXVCPU_EBUSY) {")
MUTANT("VM boot", CORE, "vm/smp", "    err = axvcpu_i_restart(v, axvcpu_gpa(v->vm.entry), v->vm.arg, false);",
       "    err = axvcpu_i_restart(v, axvcpu_gpa(v->vm.entry), v->vm.arg, true);")
MUTANT("VM boot", CORE, "vm/tsan/smp", "        AXVCPU_ATOMIC_STORE_RELEASE(&v->vm.up, AXVM_I_HANDED);",
       "        AXVCPU_ATOMIC_STORE_RELAXED(&v->vm.up, AXVM_I_HANDED);")

// ---- ... and its tables
MUTANT("VM table, trap 8", CORE, "vm/devices",
       "            } else if (in++ != without) {", "            } else if (in++ == without || without == UINT32_MAX) {")
MUTANT("VM table", CORE, "vm/devices", "first <= s->last && last >= s->first)", "first <= s->last && last > s->first)")
MUTANT("VM table", CORE, "vm/storms",
       "    turn->gone = AXVCPU_ATOMIC_LOAD(&vm->classes[hit - v->vm.hit].version) != seen;", "    turn->gone = ((void)seen, false);")
MUTANT("VM table", CORE, "vm/storms", "    if (change == NULL)\n        axvm_i_quiesce(vm, slot.id);", "")
MUTANT("VM table, trap 44", CORE, "vm/devices", "    while (turn->gone && turn->id != 0) {", "    while (false) {")
MUTANT("VM table", CORE, "vm/devices", "    return slot->last >= base;", "    return true;")
MUTANT("VM table", CORE, "vm/tsan/storms", "    AXVCPU_ATOMIC_STORE_RELEASE(&vm->lock, 0u);", "    AXVCPU_ATOMIC_STORE_RELAXED(&vm->lock, 0u);")

// ---- the KVM run page
MUTANT("KVM run page, trap 9", CORE, "kvm/x86/exits",
       "        err = code == 0 ? axvcpu_i_kvm_exit(v, k->run, x) : axvcpu_i_kvm_interrupted(v, code, x);",
       "        err = code == 0 || code == -EINTR ? axvcpu_i_kvm_exit(v, k->run, x) : axvcpu_i_kvm_interrupted(v, code, x);")
MUTANT("KVM run page", CORE, "kvm/x86/exits",
       "        x->mmio.data = data & (UINT64_MAX >> (64 - 8 * run->mmio.len));", "        x->mmio.data = data;")
MUTANT("KVM run page, trap 39", CORE, "kvm/x86/exits",
       "    return code == -EINTR || code == -EAGAIN ? AXVCPU_OK : axvcpu_i_kvm_refused(\"KVM_RUN\", NULL);",
       "    return code == -EAGAIN ? AXVCPU_OK : axvcpu_i_kvm_refused(\"KVM_RUN\", NULL);")
MUTANT("KVM run page, trap 18", X86, "kvm/x86/exits",
       "    static const uint32_t mask[] = { 0, 0xff, 0xffff, 0, UINT32_MAX };", "    static const uint32_t mask[] = { 0, UINT32_MAX, UINT32_MAX, 0, UINT32_MAX };")
MUTANT("KVM run page, trap 12", X86, "kvm/x86/exits",
       "    void *buf = (char *)run + offset;\n\n    x->io.buf", "    void *buf = (char *)run + offset + run->io.port % 2;\n\n    x->io.buf")
MUTANT("KVM run page", X86, "kvm/x86/exits",
       "        run->msr.error = 1;\n    return AXVCPU_OK;", "        run->msr.error = 0;\n    return AXVCPU_OK;")
MUTANT("KVM run page, kick, trap 14", CORE, "fuzz/kvm-riscv",
       "    if (axvcpu_attention(v))\n        axvcpu_i_kvm_immediate_exit(k->run, true);\n", "")
MUTANT("KVM run page, trap 16", X86, "kvm/conformance:retry",
       "    *axvcpu_i_x86_regs(v) = regs;\n    return axvcpu_i_x86_changed(v);", "    (void)regs;\n    return axvcpu_i_x86_changed(v);")

// ---- the switch: EL2
MUTANT("EL2 switch", ARM64, "arm64/conformance:registers",
       "\\nstp x27, x28, [x0, #216]\\nstp x29, x30, [x0, #232]", "\\nstp x29, x30, [x0, #232]")
MUTANT("EL2 switch", ARM64, "arm64/conformance:registers", "ldp x26, x27, [x0, #208]\\n", "ldp x26, x27, [x0, #200]\\n")
MUTANT("EL2 switch, trap 28", ARM64, "arm64/el2", "        axvcpu_i_arm64_save_fp(a);", "        ;")
MUTANT("EL2 switch, trap 28", ARM64, "arm64/el2",
       "    a->el1[n] = value;\n    if (!a->loaded) {", "    a->el1[n] = (uint32_t)value;\n    if (!a->loaded) {")
MUTANT("EL2 switch", ARM64, "arm64/el2",
       "    AXVCPU_I_ARM64_WRITE(cnthctl_el2, a->timer == AXVCPU_ARM64_TIMER_VIRTUAL ? AXVCPU_I_ARM64_CNTHCTL :\n"
       "                                                                              AXVCPU_I_ARM64_CNTHCTL_ALL);\n", "")
MUTANT("EL2 switch", ARM64, "arm64/el2", "    AXVCPU_I_ARM64_WRITE(cnthctl_el2, c->cnthctl);\n", "")
MUTANT("EL2 barriers", ARM64, "headers/arm64", "    \"eret\\ndsb nsh\\nisb\\n\"\n    AXVCPU_I_ARM64_END(\"axvcpu_i_arm64_enter\")",
       "    \"eret\\n\"\n    AXVCPU_I_ARM64_END(\"axvcpu_i_arm64_enter\")")
MUTANT("EL2 barriers", ARM64, "headers/arm64", "    AXVCPU_I_ARM64_WRITE(hcr_el2, c->hcr);\n    AXVCPU_I_ARM64_ISB();\n",
       "    AXVCPU_I_ARM64_WRITE(hcr_el2, c->hcr);\n")
MUTANT("EL2 barriers", ARM64, "headers/arm64", "\"dsb ish\\ntlbi vmalle1is", "\"tlbi vmalle1is")
MUTANT("EL2 barriers, kick", ARM64, "headers/arm64", "    __asm__ volatile(\"dsb ishst\" ::: \"memory\");\n    AXVCPU_SEND_KICK",
       "    AXVCPU_SEND_KICK")

// ---- ... HS
MUTANT("HS switch", RISCV, "riscv/conformance:registers", "\"sd x27, 216(a0)\\n\\t\" \"sd x28", "\"sd x28")
MUTANT("HS switch", RISCV, "riscv/conformance:registers", "\"ld x30, 240(a0)\\n\\t\"", "\"ld x30, 232(a0)\\n\\t\"")
MUTANT("HS switch", RISCV, "riscv/hs", "        \"ld gp, %[host_gp](a0)\\n\\t\"\n", "")
MUTANT("HS barriers", RISCV, "riscv/hs", "    err = axvcpu_i_riscv_fence_vm(vm, m->gpa.addr, m->size);\n    vm->arch.logs -=",
       "    err = AXVCPU_OK;\n    vm->arch.logs -=")
MUTANT("HS barriers", RISCV, "headers/riscv", "        \".word 0\\n\\t\" ", "        ")
MUTANT("HS barriers", RISCV, "headers/riscv", "        axvcpu_i_riscv_fence_stale(a, cpu);\n", "        (void)axvcpu_i_riscv_fence_stale;\n")
MUTANT("HS barriers", RISCV, "headers/riscv", "    __asm__ volatile(\"fence rw, rw\" : : : \"memory\");", "    ")
MUTANT("HS barriers, kick", RISCV, "headers/riscv", "    __asm__ volatile(\"fence w, o\" ::: \"memory\");", "    ")
MUTANT("trap 33", RISCV, "riscv/hs", "    return mode == AXVCPU_RISCV_HGATP_SV48X4 && axvcpu_i_riscv_min_levels == 3 ?", "    return mode == 99 ?")

// ---- ... SVM
MUTANT("SVM switch", X86, "x86/svm:registers", "mov %%r14, 112(%%rax)\\n\\tmov %%r15, 120(%%rax)\\n\\t\"", "mov %%r15, 120(%%rax)\\n\\t\"")
MUTANT("SVM switch", X86, "x86/svm:registers", "mov 0x5f8(%%r9), %%r8\\n\\tmov %%r8, (%%rax)", "mov 0x5f0(%%r9), %%r8\\n\\tmov %%r8, (%%rax)")
MUTANT("SVM switch", X86, "x86/svm:registers", "mov 96(%%rdi), %%r12", "mov 88(%%rdi), %%r12")
MUTANT("SVM switch", X86, "x86/root-svm", "mov %c[hw_pa](%%rdi), %%rax\\n\\tvmload %%rax\\n\\t\"", "mov %c[hw_pa](%%rdi), %%rax\\n\\t\"")
MUTANT("SVM switch", X86, "x86/root-svm", "                     \"vmsave %%rax\\n\\t\"\n", "")
MUTANT("SVM switch", X86, "x86/root-svm", "mov %c[host_pa](%%rax), %%rax\\n\\tvmload %%rax\\n\\t\"", "\"")
MUTANT("SVM barriers, VMX barriers", X86, "headers/x86", "    (void)AXVCPU_ATOMIC_XCHG(&a->inside, 1u);\n    if (AXVCPU_I_UNLIKELY",
       "    AXVCPU_ATOMIC_STORE_RELEASE(&a->inside, 1u);\n    if (AXVCPU_I_UNLIKELY")
MUTANT("SVM barriers", X86, "headers/x86", "__asm__ volatile(\"clgi\\n\\t\"", "__asm__ volatile(\"\"")
MUTANT("SVM barriers", X86, "headers/x86", "                     \"cli\\n\\t\"\n", "")

// ---- ... VMX
MUTANT("VMX switch", X86, "x86/vmx:first", "\"3: push %%rax\\n\\tmov 8(%%rsp), %%rax\\n\\tpop (%%rax)\\n\\t\"", "\"3: mov (%%rsp), %%rax\\n\\t\"")
MUTANT("VMX switch", X86, "x86/vmx:registers", "mov 104(%%rdi), %%r13", "mov 112(%%rdi), %%r13")
MUTANT("VMX switch", X86, "x86/vmx:registers", "mov 80(%%rdi), %%r10", "mov 88(%%rdi), %%r10")
MUTANT("VMX switch", X86, "x86/vmx:first", "\"4: movl $1, %c[launched]", "\"4: movl $0, %c[launched]")
MUTANT("VMX switch", X86, "x86/root-vmx", " | 1u << 17 | 1u << 18;", " | 1u << 18;")
MUTANT("VMX switch", X86, "x86/root-vmx", "(a->dr_loaded || a->nmi_step ? ", "(a->nmi_step ? ")
MUTANT("VMX switch", X86, "x86/root-vmx", "++exceptions == AXVCPU_I_X86_STORM", "exceptions == AXVCPU_I_X86_STORM")
MUTANT("VMX switch", X86, "x86/root-vmx", "(l->linear & (AXVCPU_X86_DR6_BS | 0x200fu))", "0")
MUTANT("VMX switch", X86, "x86/root-vmx", "        axvcpu_i_x86_set_host_cr2(a->field[AXVCPU_I_X86_F_CR2]);\n    a = axvcpu_i_x86_switch_vmx",
       "        (void)0;\n    a = axvcpu_i_x86_switch_vmx")
MUTANT("VMX switch", X86, "x86/root-vmx", "    a->field[AXVCPU_I_X86_F_CR2] = axvcpu_i_x86_host_cr2();\n", "")
MUTANT("VMX barriers", X86, "headers/x86",
       "    __asm__ volatile(\"invvpid %0, %1\" : : \"m\"(vpid), \"r\"(UINT64_C(1)) : \"cc\", \"memory\");\n", "    (void)vpid;\n")

// ---- traps without a place above
MUTANT("trap 4", CORE, "core/percpu",
       "    err = axvcpu_leaf_percpu_init(p, cpu_id);\n    if (err != 0) {\n        AXVCPU_MEMSET(p, 0, sizeof(*p));",
       "    p->word = AXVCPU_I_CPU_IDLE;\n    err = axvcpu_leaf_percpu_init(p, cpu_id);\n    if (err != 0) {")
MUTANT("trap 4", CORE, "core/percpu", "(p->word != 0 && !axvcpu_i_is_percpu(p)))", "!axvcpu_i_is_percpu(p))")
MUTANT("trap 6", CORE, "core/ownership", "#define AXVCPU_I_CURRENT axvcpu_i_current\n", "static struct axvcpu *axvcpu_i_only;\n#define AXVCPU_I_CURRENT axvcpu_i_only\n")
MUTANT("trap 10", CORE, "kvm/x86/exits", "    return entering ? AXVCPU_OK : axvcpu_i_kvm_finish(v, x);", "    (void)v, (void)x, (void)entering;\n    return AXVCPU_OK;")
MUTANT("trap 10", ARM64, "arm64/conformance:refuse", "        a->step = e->step;\n", "        a->step = 0;\n        a->pc += e->step;\n")
MUTANT("trap 19", X86, "x86/rules", "    if (c->cpl != 0 || nr != 0 || (value & 1) == 0 ||", "    if (c->cpl != 0 || nr != 0 || (value & 1) != 0 ||")
MUTANT("trap 19", X86, "x86/rules", "    if ((efer & AXVCPU_X86_EFER_LMA) != 0 && (cs_access & AXVCPU_X86_AR_L) != 0)", "    if ((cs_access & AXVCPU_X86_AR_L) != 0)")
MUTANT("trap 20", X86, "x86/rules", "    AXVCPU_MEMSET(map, 0xff, AXVCPU_X86_IO_MAP);", "    AXVCPU_MEMSET(map, 0xff, AXVCPU_X86_IO_MAP / 2);")
MUTANT("trap 20", X86, "x86/rules", "    if (!axvcpu_i_x86_msr_bit(svm, msr, &bit, &far))\n        return true;", "    if (!axvcpu_i_x86_msr_bit(svm, msr, &bit, &far))\n        return false;")
MUTANT("trap 21", X86, "x86/rules", "    d->window = d->taken == AXVCPU_X86_TOOK_INTERRUPT ? e->more : ", "    d->window = d->taken == AXVCPU_X86_TOOK_INTERRUPT ? false : ")
MUTANT("trap 23", X86, "kvm/refused",
       "    int err = axvcpu_i_x86_move_state(v, true);\n\n    if (err == 0)\n        err = axvcpu_i_x86_restore_msrs(v->arch.kvm.fd, &o->msrs);",
       "    int err = axvcpu_i_x86_restore_msrs(v->arch.kvm.fd, &o->msrs);\n\n    if (err == 0)\n        err = axvcpu_i_x86_move_state(v, true);")
MUTANT("trap 35", CORE, "headers:declarations: axvcpu.h c++", "    void *owner; /* CPU_TOKEN of", "    _Atomic(void *) owner; /* CPU_TOKEN of")
MUTANT("trap 37", ARM64, "headers:hardened: bare arm64", "    \"hint #34\\n\" /* bti c */\n", "")
MUTANT("trap 40", CORE, "headers/riscv", "    uint32_t latch; /* an unblock", "    uint8_t latch; /* an unblock")
MUTANT("trap 34", ARM64, "headers:backend: arm64 static in two files",
       "\".pushsection .text.\" name \",\\\"axG\\\",%progbits,\" name \",comdat\\n\"                                      \\\n    \".balign \" align \"\\n.weak \"",
       "\".pushsection .text.\" name \",\\\"ax\\\",%progbits\\n\" \\\n    \".balign \" align \"\\n.globl \"")
