// SPDX-License-Identifier: Apache-2.0
//
// AXVCPU_PARK and AXVCPU_WAKE for a host with threads, in two forms. Ready to be copied; park.c uses it.
//
//     static struct park parks[2];                          // park_init each
//     struct axvcpu_desc vcpus[2] = { { .user = &parks[0] }, { .user = &parks[1] } };
//     #define AXVCPU_PARK(v) park_sleep_cond(v)
//     #define AXVCPU_WAKE(v) park_wake_cond(v)
//
// Declare the two functions, define the two macros, include "axvcpu.h" with AXVCPU_IMPLEMENTATION, then this
// file. A sleeper may come back early; the library asks for the state again. A wake-up comes after the state has
// changed and takes the lock, so the sleeper either finds the new state or is already waiting: none is lost.
//
// A mutex is nothing for a signal handler. Where kick, inject or unblock are called in one, take the
// semaphore: sem_post may be called there. A post that nobody waited for costs one round of the loop.
#ifndef AXVCPU_EXAMPLES_PARK_H
#define AXVCPU_EXAMPLES_PARK_H

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>

struct park {
    pthread_mutex_t lock;
    pthread_cond_t change;
    sem_t post;
};

static inline void park_init(struct park *p)
{
    (void)pthread_mutex_init(&p->lock, NULL);
    (void)pthread_cond_init(&p->change, NULL);
    (void)sem_init(&p->post, 0, 0);
}

static inline void park_end(struct park *p)
{
    (void)sem_destroy(&p->post);
    (void)pthread_cond_destroy(&p->change);
    (void)pthread_mutex_destroy(&p->lock);
}

// ---- with a condition variable

static inline void park_sleep_cond(struct axvcpu *v)
{
    struct park *p = (struct park *)axvcpu_user(v);

    (void)pthread_mutex_lock(&p->lock);
    while (axvcpu_get_state(v) == AXVCPU_STATE_BLOCKED)
        (void)pthread_cond_wait(&p->change, &p->lock);
    (void)pthread_mutex_unlock(&p->lock);
}

static inline void park_wake_cond(struct axvcpu *v)
{
    struct park *p = (struct park *)axvcpu_user(v);

    (void)pthread_mutex_lock(&p->lock);
    (void)pthread_cond_broadcast(&p->change);
    (void)pthread_mutex_unlock(&p->lock);
}

// ---- with a semaphore

static inline void park_sleep_sem(struct axvcpu *v)
{
    struct park *p = (struct park *)axvcpu_user(v);

    while (sem_wait(&p->post) != 0 && errno == EINTR && axvcpu_get_state(v) == AXVCPU_STATE_BLOCKED)
        ;
}

static inline void park_wake_sem(struct axvcpu *v)
{
    (void)sem_post(&((struct park *)axvcpu_user(v))->post);
}

#endif
