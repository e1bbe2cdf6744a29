/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fuse/workers.h"

#include "common/cleanup.h"

#include <signal.h>

/* The next in the queue; NULL at the end. */
static struct slot *next_job(struct workers *w)
{
    struct slot *slot;
    LOCK_SCOPE(&w->lock);

    while (!w->first && !w->ending) {
        w->idle++;
        pthread_cond_wait(&w->wanted, &w->lock);
        w->idle--;
    }
    slot = w->first;
    if (slot) {
        w->first = slot->next;
        w->queued--;
    }
    if (!w->first)
        w->last = &w->first;
    return slot;
}

static void *run(void *arg)
{
    struct workers *w = arg;
    struct slot *slot;

    while ((slot = next_job(w)))
        w->work(w->arg, slot);
    return NULL;
}

static int add_thread(struct workers *w)
{
    sigset_t all, before;
    int err;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    err = pthread_create(&w->threads[w->count], NULL, run, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!err)
        w->count++;
    return -err;
}

int workers_start(struct workers *w, void (*work)(void *, struct slot *), void *arg)
{
    *w = (struct workers){.work = work,
                          .arg = arg,
                          .lock = PTHREAD_MUTEX_INITIALIZER,
                          .wanted = PTHREAD_COND_INITIALIZER};
    w->last = &w->first;
    return add_thread(w);
}

void workers_give(struct workers *w, struct slot *slot)
{
    LOCK_SCOPE(&w->lock);

    slot->next = NULL;
    *w->last = slot;
    w->last = &slot->next;
    w->queued++;
    if (w->queued > w->idle && w->count < WORKERS_MAX)
        add_thread(w); /* without it, those that are there do it later */
    pthread_cond_signal(&w->wanted);
}

void workers_end(struct workers *w)
{
    pthread_mutex_lock(&w->lock);
    w->ending = true;
    pthread_cond_broadcast(&w->wanted);
    pthread_mutex_unlock(&w->lock);
    for (unsigned i = 0; i < w->count; i++)
        pthread_join(w->threads[i], NULL);
}
