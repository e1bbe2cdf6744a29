/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A lock for many readers or one writer. It prefers writers: a stream of readers cannot keep one
 * waiting for ever. So who has it for reading must not ask for it again: with a writer waiting
 * in between, that would be for ever, too.
 */
#ifndef COMMON_RWLOCK_H
#define COMMON_RWLOCK_H

#include <pthread.h>
#include <stdbool.h>

/* 0 or -errno. To be ended with pthread_rwlock_destroy(). */
static inline int rwlock_init(pthread_rwlock_t *lock)
{
    pthread_rwlockattr_t attributes;
    int err = pthread_rwlockattr_init(&attributes);

    if (err)
        return -err;
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    err = pthread_rwlock_init(lock, &attributes);
    pthread_rwlockattr_destroy(&attributes);
    return -err;
}

static inline pthread_rwlock_t *rwlock_take(pthread_rwlock_t *lock, bool writing)
{
    if (writing)
        pthread_rwlock_wrlock(lock);
    else
        pthread_rwlock_rdlock(lock);
    return lock;
}

static inline void rwlock_drop(pthread_rwlock_t **lock)
{
    pthread_rwlock_unlock(*lock);
}

/* Holds LOCK until the end of the scope. */
#define RWLOCK_SCOPE(lock, writing)                                                                \
    __attribute__((cleanup(rwlock_drop), unused)) pthread_rwlock_t *scope_rwlock_ =                \
        rwlock_take(lock, writing)
#define READ_SCOPE(lock)  RWLOCK_SCOPE(lock, false)
#define WRITE_SCOPE(lock) RWLOCK_SCOPE(lock, true)

#endif
