/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fuse/ending.h"

#include "fuse/workers.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

static void nothing(int number)
{
    (void)number;
}

static void ending_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGHUP);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
}

static void *watch(void *arg)
{
    const struct timespec pause = {.tv_nsec = 10000000};
    struct ending *e = arg;
    sigset_t set;
    int number;

    ending_signals(&set);
    sigwait(&set, &number);
    fuse_session_exit(e->session);
    while (!atomic_load(&e->over)) {
        pthread_kill(e->main, SIGUSR1);
        nanosleep(&pause, NULL);
    }
    return NULL;
}

int ending_watch(struct ending *e, struct fuse_session *session)
{
    struct sigaction interrupt = {.sa_handler = nothing}; /* calls are not restarted */
    sigset_t set;

    e->session = session;
    e->main = pthread_self();
    atomic_store(&e->over, false);
    ending_signals(&set);
    signal(SIGPIPE, SIG_IGN);
    if (sigaction(SIGUSR1, &interrupt, NULL) < 0)
        return -errno;
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    return quiet_thread(&e->watcher, watch, e);
}

void ending_stop(struct ending *e)
{
    atomic_store(&e->over, true);
    pthread_kill(e->watcher, SIGTERM);
    pthread_join(e->watcher, NULL);
}
