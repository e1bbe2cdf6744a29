/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fuse/ending.h"

#include <errno.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

static struct fuse_session *watched;
static int wake;

static void end(int number)
{
    int before = errno;

    (void)number;
    fuse_session_exit(watched);
    eventfd_write(wake, 1);
    errno = before;
}

static void handle(void (*handler)(int))
{
    /* What is under way goes on; poll(2) returns all the same. */
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};

    sigaction(SIGHUP, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

int ending_watch(struct fuse_session *session)
{
    watched = session;
    wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wake < 0)
        return -errno;
    signal(SIGPIPE, SIG_IGN);
    handle(end);
    return wake;
}

void ending_stop(void)
{
    handle(SIG_IGN);
    close(wake);
}
