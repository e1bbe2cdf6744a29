/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Scope-bound release of descriptors, memory and locks.
 *
 *   cleanup_fd int fd = -1;          closed when the scope is left
 *   cleanup_free char *p = NULL;     freed when the scope is left
 *   return steal_fd(&fd);            handed on instead
 */
#ifndef COMMON_CLEANUP_H
#define COMMON_CLEANUP_H

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Closes *FD unless it is negative; keeps errno. */
static inline void close_fd(int *fd)
{
    if (*fd >= 0) {
        int saved = errno;

        close(*fd);
        *fd = -1;
        errno = saved;
    }
}

static inline int steal_fd(int *fd)
{
    int value = *fd;

    *fd = -1;
    return value;
}

static inline void *steal_pointer(void *pointer_to_pointer)
{
    void **p = pointer_to_pointer, *value = *p;

    *p = NULL;
    return value;
}

static inline void free_pointer(void *pointer_to_pointer)
{
    free(*(void **)pointer_to_pointer);
}

static inline void close_file(FILE **f)
{
    if (*f)
        fclose(*f);
}

static inline void close_dir(DIR **d)
{
    if (*d)
        closedir(*d);
}

static inline void unlock_mutex(pthread_mutex_t **m)
{
    if (*m)
        pthread_mutex_unlock(*m);
}

#define cleanup_fd   __attribute__((cleanup(close_fd)))
#define cleanup_free __attribute__((cleanup(free_pointer)))
#define cleanup_file __attribute__((cleanup(close_file)))
#define cleanup_dir  __attribute__((cleanup(close_dir)))

/* Holds MUTEX until the end of the scope. */
#define LOCK_SCOPE(mutex)                                                                          \
    __attribute__((cleanup(unlock_mutex), unused)) pthread_mutex_t *scope_lock_ = (mutex);         \
    pthread_mutex_lock(scope_lock_)

#endif
