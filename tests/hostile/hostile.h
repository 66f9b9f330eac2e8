// SPDX-License-Identifier: Apache-2.0
//
// Hostile guests: whatever their instructions are, and whatever the host makes of their exits, the host stays as
// it was. hostile.c has the guests and the answers; beside it an architecture's file, which knows instructions
// and registers, and a place's, which knows what memory is the host's own.
#ifndef HOSTILE_H
#define HOSTILE_H

#include "conformance.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

uint64_t hostile_random(void); // of this guest's own sequence
uint32_t hostile_below(uint32_t n);
uint64_t hostile_value(void); // a register's: nothing special, or near something that is
// Whether a guest's handler of exceptions lets it go on. Under a kernel, which keeps the exits that they would be
// elsewhere, it mostly does.
static inline bool hostile_goes_on(void)
{
    return hostile_below(4) < (AXVCPU_I_HOSTED ? 3 : 1);
}

// ---- the architecture's; of those with (*) hostile.c has one for who has no such thing

enum { MAX_INSN = 16, MAX_WORDS = 96, HANDLER = 0x20000 }; // of exceptions, from the beginning of the guest's memory
uint32_t hostile_insn(uint8_t to[MAX_INSN]); // an instruction or a few; how many bytes
void hostile_mode(struct axvm_arch_desc *, struct axvcpu_arch_setup *); // how a guest of random instructions begins
void hostile_bound(struct axvcpu_arch_setup *); // a guest's time, where the host's alarm may not end a run (*)
void hostile_exclude(struct axvcpu *);       // what the machine below does not survive (*)
void hostile_mend(uint8_t *code, size_t size); // likewise, of instructions (*)
uint32_t hostile_vectors(void);              // of the interrupts that the host may inject, one
void hostile_exception(uint32_t *vector, uint64_t *error); // likewise
void hostile_free(struct axvcpu *, uint8_t *ram); // it goes round in circles: its own exception vectors elsewhere
bool hostile_explains(struct axvcpu *);      // why an entry has failed (*)
bool hostile_owns(const struct axvcpu *, uint64_t frame); // a frame that the vCPU's hardware writes (*)
extern const uint32_t hostile_gprs;

// fn(v, x), called with known values in all registers that a call preserves; those that it did not preserve, as a
// set, by the order of hostile_register_names.
int hostile_call(int (*fn)(struct axvcpu *, struct axvcpu_exit *), struct axvcpu *, struct axvcpu_exit *, uint64_t *changed);
extern const char *const hostile_register_names[];

// The host's system registers; where it is a program, those that a program sees. The first hostile_always of them
// are the host's also while a vCPU is bound. An architecture has two lists of them, of X(name, value).
uint32_t hostile_words(uint64_t *to);
extern const char *const hostile_word_names[];
extern const uint32_t hostile_always;
#define HOSTILE_READ(name, value) to[n++] = (value);
#define HOSTILE_NAME(name, value) #name,
#define HOSTILE_ONE(name, value) +1
#define HOSTILE_WORDS(always, unbound)                                                   \
    const char *const hostile_word_names[] = {always(HOSTILE_NAME) unbound(HOSTILE_NAME)}; \
    const uint32_t hostile_always = 0 always(HOSTILE_ONE);                               \
    uint32_t hostile_words(uint64_t *to)                                                 \
    {                                                                                    \
        uint32_t n = 0;                                                                  \
        always(HOSTILE_READ) unbound(HOSTILE_READ)                                       \
        return n;                                                                        \
    }
#define HOSTILE_NONE(X)

// Tables of the host's, of which the processor itself changes what is not in `mask`.
struct hostile_range {
    const char *name;
    const void *at;
    size_t size;
    uint64_t mask;
};
extern const uint64_t hostile_table_mask; // likewise, of the second stage's tables
uint32_t hostile_ranges(struct hostile_range *to); // four at most (*)

// ---- the place's

void place_before(void);                 // a VM is going to be made
void place_tables(void);                 // it is there, with its tables, and will get vCPUs
void place_ready(const uint8_t *ram, struct axvm *); // its guest is about to run
const char *place_changed(void);         // since then, of what no guest and no exit may change; NULL: nothing
void place_finish(void);                 // all guests are gone
const char *place_changed_ever(void);    // of what nobody has touched since the first guest

#endif
