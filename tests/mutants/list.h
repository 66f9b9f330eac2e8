// SPDX-License-Identifier: Apache-2.0
//
// MUTANT(group, file, test, text, becomes): `text` stands in the file exactly once. `test` is a program of
// tests/, or a name in the commands of rules.mk. How many there must be of a group stands in groups.h.
// clang-format off

// ---- ownership
MUTANT("ownership", "axvcpu.h", "core/ownership",
       "        if (!AXVCPU_ATOMIC_CAS(&v->owner, &nobody, token))\n            return AXVCPU_EBUSY;\n        *claimed = true;",
       "        AXVCPU_ATOMIC_STORE_RELEASE(&v->owner, token), (void)nobody;\n        *claimed = true;")
MUTANT("ownership", "axvcpu.h", "core/state_table",
       "    axvcpu_i_set_state(v, AXVCPU_STATE_INVALID);\n    AXVCPU_CURRENT_SET(NULL);\n    axvcpu_i_disown(v);",
       "    axvcpu_i_set_state(v, AXVCPU_STATE_INVALID);\n    AXVCPU_CURRENT_SET(NULL);")
MUTANT("ownership", "axvcpu.h", "core/state_table",
       "    if (*claimed && (rule->flags & AXVCPU_I_OWNER) != 0) {\n        axvcpu_i_disown(v);",
       "    if (*claimed && (rule->flags & AXVCPU_I_OWNER) != 0) {")
MUTANT("ownership", "axvcpu.h", "core/ownership",
       "    if (AXVCPU_ATOMIC_LOAD(&v->refs) != 1)\n        return axvcpu_i_close(v, claimed, AXVCPU_EBUSY);",
       "")
MUTANT("ownership", "axvcpu.h", "core/interleave",
       "        if (AXVCPU_ATOMIC_CAS(&v->refs, &refs, refs - 1))\n            return AXVCPU_OK;",
       "        AXVCPU_ATOMIC_STORE_RELEASE(&v->refs, refs - 1);\n        return AXVCPU_OK;")
MUTANT("interrupts and kicks", "axvcpu.h", "core/interrupts",
       "    (void)AXVCPU_ATOMIC_FETCH_OR(&v->pending[vector / 64], UINT64_C(1) << (vector % 64));",
       "    (void)AXVCPU_ATOMIC_FETCH_OR(&v->pending[vector / 64], UINT64_C(1) << (vector % 32));")
MUTANT("ownership", "axvcpu.h", "core/ownership",
       "    if (!AXVCPU_ATOMIC_CAS(&v->owner, &owner, AXVCPU_CPU_TOKEN()))\n        return AXVCPU_EBUSY;\n    axvcpu_i_poison(v, true);",
       "    axvcpu_i_poison(v, false);")
MUTANT("ownership", "axvcpu.h", "core/bad_input",
       "    return any == 0 ||\n           (cpu_id < AXVCPU_MAX_PHYS_CPUS && (v->phys_cpu_set", "    return any != 0 ||\n           (cpu_id < AXVCPU_MAX_PHYS_CPUS && (v->phys_cpu_set")

// ---- traps of the core
MUTANT("trap 2", "axvcpu.h", "core/state_table",
       "        (void)axvcpu_i_complain_state(op, v, rule->from);\n        if ((rule->flags & AXVCPU_I_POISONS) != 0)\n            axvcpu_i_poison(v, !*claimed);",
       "        if ((rule->flags & AXVCPU_I_POISONS) != 0)\n            axvcpu_i_poison(v, !*claimed);\n        (void)axvcpu_i_complain_state(op, v, rule->from);\n        if ((rule->flags & AXVCPU_I_POISONS) != 0)\n            ;")
MUTANT("trap 3", "axvcpu.h", "core/state_table",
       "    axvcpu_i_set_state(v, AXVCPU_STATE_INVALID);\n    AXVCPU_CURRENT_SET(NULL);",
       "    axvcpu_i_set_state(v, AXVCPU_STATE_INVALID);")
MUTANT("trap 7", "axvcpu.h", "core/interrupts",
       "    (void)AXVCPU_ATOMIC_FETCH_AND(&v->pending[vector / 64], ~(UINT64_C(1) << (vector % 64)));", "    (void)v, (void)vector;")
MUTANT("trap 7", "axvcpu.h", "core/interrupts",
       "    if (vector >= AXVCPU_LEAF_VECTORS || !AXVCPU_LEAF_VECTOR_OK(vector))", "    if (vector > AXVCPU_LEAF_VECTORS || !AXVCPU_LEAF_VECTOR_OK(vector))")
MUTANT("trap 41", "axvcpu.h", "core/state_table",
       "    if (axvcpu_get_state(v) == AXVCPU_STATE_RUNNING) {\n        err = axvcpu_i_complain_state(AXVCPU_OP_UNREF",
       "    if (axvcpu_get_state(v) == AXVCPU_STATE_RUNNING + 100) {\n        err = axvcpu_i_complain_state(AXVCPU_OP_UNREF")
MUTANT("trap 42", "axvcpu.h", "core/state_table",
       "        if ((rule->flags & AXVCPU_I_POISONS) != 0)\n            axvcpu_i_poison(v, !*claimed);\n        else if (*claimed)\n            axvcpu_i_disown(v);",
       "        if ((rule->flags & AXVCPU_I_POISONS) != 0)\n            axvcpu_i_set_state(v, AXVCPU_STATE_INVALID);\n        else if (*claimed)\n            axvcpu_i_disown(v);")
MUTANT("trap 43", "axvcpu.h", "core/interrupts",
       "AXVCPU_ATOMIC_LOAD(&v->latch) != 0 || axvcpu_leaf_wakes(v, axvcpu_irq_next(v) >= 0);",
       "AXVCPU_ATOMIC_LOAD(&v->latch) != 0 || axvcpu_irq_next(v) >= 0;")

// ---- run
MUTANT("run", "axvcpu.h", "core/exits",
       "    if ((axvcpu_i_word(v) & AXVCPU_I_ASKED) != 0)\n        return axvcpu_i_complain(AXVCPU_OP_RUN, v, AXVCPU_EPENDING, NULL);", "")
MUTANT("run", "axvcpu.h", "core/life",
       "    if ((axvcpu_i_word(v) & AXVCPU_I_AWAY) != 0)\n        return axvcpu_i_complain(AXVCPU_OP_RUN, v, AXVCPU_EBADSTATE, \"it is put; load it first\");", "")
MUTANT("run", "axvcpu.h", "core/hooks_fail",
       "    if (err != 0) {\n        axvcpu_i_exit(x, AXVCPU_EXIT_NOTHING);\n        return axvcpu_i_fail(v, AXVCPU_OP_RUN, err, true);\n    }\n    if (!done)",
       "    if (err != 0)\n        return axvcpu_i_fail(v, AXVCPU_OP_RUN, err, true);\n    if (!done)")
MUTANT("run", "axvcpu.h", "core/commit",
       "        *done = x->kind != AXVCPU_EXIT_NOTHING;\n        if (err != 0 || *done)\n            return err;",
       "        if (err != 0)\n            return err;")
MUTANT("run", "axvcpu.h", "core/nesting",
       "    if (!done)\n        return axvcpu_i_enter(v, x);\n    axvcpu_i_set_state(v, AXVCPU_STATE_READY);\n    AXVCPU_CURRENT_SET(NULL);",
       "    if (!done)\n        return axvcpu_i_enter(v, x);\n    axvcpu_i_set_state(v, AXVCPU_STATE_READY);")

// ---- answers
MUTANT("answers", "axvcpu.h", "core/exits",
       "    if (a->sign_extend && (value & ((mask >> 1) + 1)) != 0)", "    if (a->sign_extend && (value & (mask >> 1)) != 0)")
MUTANT("trap 17", "axvcpu.h", "core/exits", "    if (a->reg_width < 4)\n", "    if (a->reg_width < 8)\n")
MUTANT("answers", "axvcpu.h", "core/exits",
       "        value = mask; /* a bus answers with all ones */", "        value = 0;")
MUTANT("answers", "axvcpu.h", "core/exits",
       "    } else if (((word & AXVCPU_I_REGS) != 0) != (regs != NULL)) {", "    } else if (regs != NULL && (word & AXVCPU_I_REGS) == 0) {")
MUTANT("answers", "axvcpu.h", "core/exits",
       "        v->access.refused = op == AXVCPU_OP_REFUSE;", "        v->access.refused = false;")
MUTANT("trap 16", "axvcpu.h", "core/commit",
       "            axvcpu_i_flags(v, 0, AXVCPU_I_DUE); /* nothing is lost; it may be tried again */", "")
MUTANT("answers", "axvcpu.h", "core/exits",
       "    return axvcpu_i_decline(v, AXVCPU_OP_RETRY, axvcpu_leaf_retry, AXVCPU_I_ACCESS);",
       "    return axvcpu_i_decline(v, AXVCPU_OP_RETRY, axvcpu_leaf_retry, AXVCPU_I_ASKED);")

// ---- interrupts and kicks
MUTANT("trap 14", "axvcpu.h", "core/alert",
       "    owner = AXVCPU_ATOMIC_LOAD(&v->owner);\n    if (owner != NULL)\n        axvcpu_leaf_kick(v, owner);",
       "    owner = AXVCPU_ATOMIC_LOAD(&v->owner);\n    if (owner != NULL && axvcpu_get_state(v) == AXVCPU_STATE_RUNNING)\n        axvcpu_leaf_kick(v, owner);")
MUTANT("interrupts and kicks", "axvcpu.h", "core/interrupts",
       "    if (left != 0)\n        (void)AXVCPU_ATOMIC_FETCH_OR(&v->attn, left);\n    return err;", "    return err;")
MUTANT("interrupts and kicks", "axvcpu.h", "core/interrupts",
       "        (void)AXVCPU_ATOMIC_FETCH_AND(&v->lines[irq / 64], ~bit);", "        (void)bit;")
MUTANT("interrupts and kicks", "axvcpu.h", "core/interrupts",
       "    (void)AXVCPU_ATOMIC_FETCH_AND(&v->attn, AXVCPU_I_CALM | AXVCPU_ATTN_KICK | AXVCPU_ATTN_STOP);",
       "    (void)AXVCPU_ATOMIC_FETCH_AND(&v->attn, AXVCPU_I_CALM);")
MUTANT("interrupts and kicks", "axvcpu.h", "core/interleave",
       "    (void)AXVCPU_ATOMIC_FETCH_AND(&v->attn, ~what);\n    err = axvcpu_leaf_inject(v, &left);",
       "    err = axvcpu_leaf_inject(v, &left);\n    (void)AXVCPU_ATOMIC_FETCH_AND(&v->attn, ~what);")

// ---- sleep
MUTANT("sleep", "axvcpu.h", "core/interleave",
       "    (void)axvcpu_i_wake(v); /* barrier UNBLOCK_AGAIN: it may have blocked since, without seeing the latch */", "")
MUTANT("sleep", "axvcpu.h", "core/interrupts",
       "    (void)AXVCPU_ATOMIC_XCHG(&v->latch, 1u); /* barrier", "    /* barrier")
MUTANT("sleep", "axvcpu.h", "core/interrupts",
       "    (void)axvcpu_i_wake(v);\n    (void)AXVCPU_ATOMIC_XCHG(&v->latch, 0u);\n    return AXVCPU_EAGAIN;",
       "    (void)axvcpu_i_wake(v);\n    return AXVCPU_EAGAIN;")
MUTANT("sleep", "axvcpu.h", "core/alert",
       "    AXVCPU_I_WAKE(v); /* barrier", "    if (v->refs == 77)\n        AXVCPU_I_WAKE(v); /* barrier")
MUTANT("sleep", "axvcpu.h", "core/alert",
       "== AXVCPU_STATE_BLOCKED && axvcpu_pending(v))\n        (void)axvcpu_i_wake(v);\n    owner", "== AXVCPU_STATE_BLOCKED && axvcpu_pending(v) && attn == AXVCPU_ATTN_KICK)\n        (void)axvcpu_i_wake(v);\n    owner")
