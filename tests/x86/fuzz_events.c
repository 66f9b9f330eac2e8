// SPDX-License-Identifier: Apache-2.0
//
// The fuzzer's events: a guest to whom things are delivered, or not, because an exit comes before. What is injected is
// what the manuals have first and allow, and all of it arrives once, whatever comes between.
#include "fuzz.h"

struct guest {
    struct {
        uint8_t vector, pending, seen;
    } sent[8]; // interrupts, each vector once
    uint32_t count;
    bool svm, nmi, nmi_blocked, nmi_seen, nmi_sent;
    struct axvcpu_x86_event again;
};

static int32_t highest(const struct guest *g, bool *more)
{
    int32_t v = -1;
    *more = false;
    for (uint32_t i = 0; i < g->count; i++)
        if (g->sent[i].pending) {
            *more = *more || v >= 0;
            v = g->sent[i].vector > v ? g->sent[i].vector : v;
        }
    return v;
}

static uint32_t find(const struct guest *g, uint32_t vector)
{
    uint32_t i = 0;
    while (i < g->count && g->sent[i].vector != vector)
        i++;
    return i;
}

// SDM 3, tables 6-2 and 6-5: what goes first, and what is asked for then.
static void check_decision(const struct axvcpu_x86_events *e, const struct axvcpu_x86_decision *d, bool svm)
{
    bool may = e->vector >= 0 && (e->tpr == 0 || (uint32_t)e->vector >> 4 > e->tpr);
    bool interrupt = may && (e->rflags & 0x200) != 0 && !e->shadow, nmi = e->nmi && !e->nmi_blocked && !e->shadow;
    uint32_t type = e->again.info >> 8 & 7, want;
    want = e->exception.info ? AXVCPU_X86_TOOK_EXCEPTION :
           e->again.info     ? AXVCPU_X86_TOOK_AGAIN :
           nmi               ? AXVCPU_X86_TOOK_NMI :
           interrupt         ? AXVCPU_X86_TOOK_INTERRUPT :
                               AXVCPU_X86_TOOK_NOTHING;
    must(d->taken == want ||
         (want == AXVCPU_X86_TOOK_EXCEPTION && d->taken == AXVCPU_X86_TOOK_SHUTDOWN && (e->again.info & 0xff) == 8));
    well_formed(&d->inject, svm);
    must((d->inject.info == 0) == (d->taken == AXVCPU_X86_TOOK_NOTHING || d->taken == AXVCPU_X86_TOOK_SHUTDOWN));
    must(d->taken != AXVCPU_X86_TOOK_AGAIN || memcmp(&d->inject, &e->again, sizeof d->inject) == 0);
    must(d->taken != AXVCPU_X86_TOOK_INTERRUPT || d->inject.info == (VALID | (uint32_t)e->vector));
    must(d->taken != AXVCPU_X86_TOOK_NMI || d->inject.info == (VALID | NMI << 8 | 2));
    must(d->taken == AXVCPU_X86_TOOK_INTERRUPT ? d->window == e->more : d->window == may);
    must(d->nmi_window == (e->nmi && d->taken != AXVCPU_X86_TOOK_NMI));
    if (want == AXVCPU_X86_TOOK_EXCEPTION && e->again.info != 0 && (type == INTERRUPT || type == NMI))
        must(memcmp(&d->put_back, &e->again, sizeof d->put_back) == 0 && d->inject.info == e->exception.info);
    else
        must(d->put_back.info == 0);
}

// It has begun, or an exit came before it had.
static void deliver(struct guest *g, const struct axvcpu_x86_event *e, bool exits)
{
    struct axvcpu_x86_vmx_raw v = {
        .reason = 48, .qualification = 0x181, .idt_info = e->info, .idt_error = e->error, .length = e->length};
    struct axvcpu_x86_svm_raw s = {.code = 0x400, .int_info = e->info | (uint64_t)e->error << 32};
    struct axvcpu_x86_left l;
    uint32_t i;
    memset(&g->again, 0, sizeof g->again);
    if (exits && g->svm)
        must(axvcpu_x86_svm_left(&s, &l));
    else if (exits)
        axvcpu_x86_vmx_left(&v, &l);
    if (exits)
        g->again = axvcpu_x86_again(&l, g->svm);
    else if ((e->info & (VALID | 0x700)) == VALID)
        must((i = find(g, e->info & 0xff)) < g->count && !g->sent[i].seen), g->sent[i].seen = 1;
    else if ((e->info & (VALID | 0x700)) == (VALID | NMI << 8))
        must(!g->nmi_seen), g->nmi_seen = true;
}

static bool step(struct guest *g, uint32_t how, uint32_t vector)
{
    struct axvcpu_x86_events e = {.again = g->again,
                                  .nmi = g->nmi,
                                  .nmi_blocked = g->nmi_blocked,
                                  .rflags = how & 1 ? 0x202 : 2,
                                  .tpr = how & 2 ? vector & 15 : 0,
                                  .shadow = how & 4};
    struct axvcpu_x86_decision d;
    e.vector = highest(g, &e.more);
    if (how & 8)
        e.exception = axvcpu_x86_exception((vector & 31) == 2 ? 14 : vector & 31, vector);
    axvcpu_x86_decide(&e, &d);
    check_decision(&e, &d, g->svm);
    g->nmi = g->nmi && d.taken != AXVCPU_X86_TOOK_NMI;
    g->nmi_blocked = g->nmi_blocked || d.taken == AXVCPU_X86_TOOK_NMI;
    if (d.taken == AXVCPU_X86_TOOK_INTERRUPT)
        g->sent[find(g, (uint32_t)e.vector)].pending = 0;
    if (d.put_back.info != 0 && (d.put_back.info >> 8 & 7) == NMI)
        g->nmi = true, g->nmi_blocked = false;
    else if (d.put_back.info != 0)
        g->sent[find(g, d.put_back.info & 0xff)].pending = 1;
    deliver(g, &d.inject, how & 0x10);
    return d.taken != AXVCPU_X86_TOOK_SHUTDOWN;
}

void fuzz_events(const uint8_t *data, size_t size)
{
    struct guest g = {0};
    uint32_t n;
    input_at = data, input_left = size;
    n = input_next(256);
    g.svm = n & 1, g.nmi = g.nmi_sent = n & 2;
    for (n >>= 5; n > 0; n--) {
        uint32_t vector = input_next(256);
        if (find(&g, vector) == g.count)
            g.sent[g.count].pending = 1, g.sent[g.count++].vector = (uint8_t)vector;
    }
    for (unsigned steps = 0; input_left >= 2 && steps < 16; steps++) {
        uint32_t how = input_next(256);
        if (!step(&g, how, input_next(256)))
            return;
    }
    for (n = 0; n < 10; n++) // and now nothing holds back what is left: an event, an NMI, seven interrupts
        must(step(&g, 1, 0));
    for (n = 0; n < g.count; n++)
        must(g.sent[n].seen);
    must(g.nmi_seen == g.nmi_sent);
}
