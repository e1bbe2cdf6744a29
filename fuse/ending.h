/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ending by a signal. A thread waits for SIGTERM, SIGINT and SIGHUP; then it tells libfuse's
 * session, and interrupts the main thread until that has noticed: so there is no moment, just
 * before a call that waits, in which a signal could be missed.
 */
#ifndef FUSE_ENDING_H
#define FUSE_ENDING_H

#include "fuse/libfuse.h"

#include <pthread.h>
#include <stdatomic.h>

struct ending {
    struct fuse_session *session;
    pthread_t main, watcher;
    atomic_bool over;
};

/* From the thread that will serve, before it makes others. 0 or -errno. */
int ending_watch(struct ending *ending, struct fuse_session *session);
/* When it has served. */
void ending_stop(struct ending *ending);

#endif
