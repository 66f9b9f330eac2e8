// SPDX-License-Identifier: Apache-2.0
//
// What the programs of this directory share: the implementation with its log caught, vCPUs in every
// state, and a second CPU (a thread that runs what it is given).
//
// Define AXVCPU_TRACE or AXVCPU_CPU_ID before including it, if they are wanted.
#ifndef CORE_H
#define CORE_H

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include "../tap.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

// ---- the log: one per thread, so that nobody waits for anybody

struct caught {
    unsigned lines;
    int level;
    char last[256];
};
TAP_MAYBE __thread struct caught caught;

TAP_MAYBE void catch_line(int level, const char *text)
{
    caught.lines++;
    caught.level = level;
    snprintf(caught.last, sizeof(caught.last), "%s", text);
}

TAP_MAYBE void forget_lines(void)
{
    memset(&caught, 0, sizeof(caught));
}

#define AXVCPU_LOG(level, text) catch_line(level, text)
#define AXVCPU_IMPLEMENTATION
#include "axvcpu.h"

// ---- vCPUs

#define ENTRY UINT64_C(0x8000)
#define ROOT UINT64_C(0x2000)

// What the test itself takes for granted: without it nothing that follows means anything.
#define must(cond) must_hold((cond), #cond, __FILE__, __LINE__)
TAP_MAYBE void must_hold(bool good, const char *text, const char *file, int line)
{
    if (good)
        return;
    printf("Bail out! %s:%d: %s (log: %s)\n", file, line, text, caught.last);
    fflush(stdout);
    _exit(4);
}

TAP_MAYBE void created(struct axvcpu *v)
{
    static const struct axvcpu_desc desc = { .vm_id = 1, .vcpu_id = 7 };

    must(axvcpu_init(v, &desc) == AXVCPU_OK);
}

TAP_MAYBE void set_up(struct axvcpu *v)
{
    created(v);
    must(axvcpu_setup(v, axvcpu_gpa(ENTRY), axvcpu_hpa(ROOT), NULL) == AXVCPU_OK);
}

TAP_MAYBE void bound(struct axvcpu *v)
{
    set_up(v);
    must(axvcpu_bind(v) == AXVCPU_OK);
}

TAP_MAYBE uint64_t gpr_of(struct axvcpu *v, uint32_t number)
{
    uint64_t value = UINT64_C(0xbadbadbadbad);

    must(axvcpu_get_gpr(v, number, &value) == AXVCPU_OK);
    return value;
}

TAP_MAYBE uint64_t reg_of(struct axvcpu *v, uint64_t id)
{
    uint64_t value = UINT64_C(0xbadbadbadbad);

    must(axvcpu_get_reg(v, id, &value) == AXVCPU_OK);
    return value;
}

// A vCPU in `state`, unowned or owned by the calling CPU: the honest way where there is one. With an access
// (a step of a script), the guest has done that last, and in the states that keep it it is unanswered.
#ifdef AXVCPU_ARCH_FAKE
TAP_MAYBE void reach_unowned(struct axvcpu *v, enum axvcpu_state state)
{
    if (state == AXVCPU_STATE_INVALID)
        must(axvcpu_setup(v, axvcpu_gpa(ENTRY), axvcpu_hpa(ROOT), NULL) == AXVCPU_EBADSTATE);
    else if (state != AXVCPU_STATE_FREE)
        must(axvcpu_transition(v, AXVCPU_STATE_FREE, state) == AXVCPU_OK);
}

TAP_MAYBE void reach_owned(struct axvcpu *v, enum axvcpu_state state)
{
    must(axvcpu_bind(v) == AXVCPU_OK);
    if (state == AXVCPU_STATE_BLOCKED)
        must(axvcpu_block(v) == AXVCPU_OK);
    else
        must(axvcpu_transition(v, AXVCPU_STATE_READY, state) == AXVCPU_OK);
}

TAP_MAYBE void perform(struct axvcpu *v, const struct axvcpu_fake_step *access)
{
    struct axvcpu_exit x;

    must(axvcpu_fake_script(v, access, 1, false) == AXVCPU_OK && axvcpu_bind(v) == AXVCPU_OK);
    must(axvcpu_run(v, &x) == AXVCPU_OK && x.kind == access->exit.kind && axvcpu_unbind(v) == AXVCPU_OK);
}

TAP_MAYBE void reach(struct axvcpu *v, enum axvcpu_state state, bool owned, const struct axvcpu_fake_step *access)
{
    if (state == AXVCPU_STATE_CREATED && !owned)
        created(v);
    else
        set_up(v);
    if (access != NULL && (state != AXVCPU_STATE_CREATED || owned))
        perform(v, access);
    if (owned)
        reach_owned(v, state);
    else if (state != AXVCPU_STATE_CREATED)
        reach_unowned(v, state);
    forget_lines();
}
#endif

#define CORE_ERROR_NAME(name, value, text) \
    case value:                            \
        return #name;
TAP_MAYBE const char *error_name(int err)
{
    switch (err) {
        AXVCPU_ERRORS(CORE_ERROR_NAME)
    default: return "?";
    }
}

// ---- another CPU

struct cpu {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t change;
    int (*fn)(void *);
    void *arg;
    int result;
    bool busy, quit;
};

TAP_MAYBE void *cpu_main(void *arg)
{
    struct cpu *c = arg;

    pthread_mutex_lock(&c->lock);
    for (;;) {
        while (!c->busy && !c->quit)
            pthread_cond_wait(&c->change, &c->lock);
        if (c->quit)
            break;
        pthread_mutex_unlock(&c->lock);
        c->result = c->fn(c->arg);
        pthread_mutex_lock(&c->lock);
        c->busy = false;
        pthread_cond_broadcast(&c->change);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

TAP_MAYBE void cpu_start(struct cpu *c)
{
    memset(c, 0, sizeof(*c));
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->change, NULL);
    must(pthread_create(&c->thread, NULL, cpu_main, c) == 0);
}

// Hand it a function; cpu_wait has its result.
TAP_MAYBE void cpu_begin(struct cpu *c, int (*fn)(void *), void *arg)
{
    pthread_mutex_lock(&c->lock);
    c->fn = fn;
    c->arg = arg;
    c->busy = true;
    pthread_cond_broadcast(&c->change);
    pthread_mutex_unlock(&c->lock);
}

TAP_MAYBE int cpu_wait(struct cpu *c)
{
    int result;

    pthread_mutex_lock(&c->lock);
    while (c->busy)
        pthread_cond_wait(&c->change, &c->lock);
    result = c->result;
    pthread_mutex_unlock(&c->lock);
    return result;
}

TAP_MAYBE int cpu_call(struct cpu *c, int (*fn)(void *), void *arg)
{
    cpu_begin(c, fn, arg);
    return cpu_wait(c);
}

TAP_MAYBE void cpu_stop(struct cpu *c)
{
    pthread_mutex_lock(&c->lock);
    c->quit = true;
    pthread_cond_broadcast(&c->change);
    pthread_mutex_unlock(&c->lock);
    must(pthread_join(c->thread, NULL) == 0);
}

#endif
