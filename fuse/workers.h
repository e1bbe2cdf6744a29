/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads for what may take its time: they start when there is nobody idle, up to a limit, and
 * stay. Signals are not delivered to them.
 */
#ifndef FUSE_WORKERS_H
#define FUSE_WORKERS_H

#include "fuse/slots.h"

#define WORKERS_MAX 8

struct workers {
    void (*work)(void *arg, struct slot *slot); /* takes over the slot */
    void *arg;
    pthread_mutex_t lock;
    pthread_cond_t wanted;
    struct slot *first, **last;
    pthread_t threads[WORKERS_MAX];
    unsigned count, idle, queued;
    bool ending;
};

/* 0, or -errno when not even one thread can be made. */
int workers_start(struct workers *workers, void (*work)(void *, struct slot *), void *arg);
/* Hands SLOT to a thread. */
void workers_give(struct workers *workers, struct slot *slot);
/* Returns when all that was given is done and the threads have ended. */
void workers_end(struct workers *workers);

#endif
