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

static void handle(int number, void (*handler)(int))
{
    /* What is under way goes on; poll(2) returns all the same. */
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART}, before;

    /* Who was started with nohup(1) stays when the terminal goes. */
    if (number == SIGTERM || sigaction(number, NULL, &before) < 0 || before.sa_handler != SIG_IGN)
        sigaction(number, &action, NULL);
}

static void handle_all(void (*handler)(int))
{
    handle(SIGHUP, handler);
    handle(SIGINT, handler);
    handle(SIGTERM, handler);
}

int ending_watch(struct fuse_session *session)
{
    watched = session;
    wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wake < 0)
        return -errno;
    signal(SIGPIPE, SIG_IGN);
    handle_all(end);
    return wake;
}

void ending_stop(void)
{
    handle_all(SIG_IGN);
    close(wake);
}
