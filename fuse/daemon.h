/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Going to the background, and telling that the file is served.
 *
 * The process that the user started returns only when the kernel has accepted the mount, or
 * when it is clear that it will not: so a script may use the file in its next line.
 */
#ifndef FUSE_DAEMON_H
#define FUSE_DAEMON_H

#include <stdbool.h>

struct daemon {
    bool background;
    int ready_fd;        /* the write end of the pipe to the waiting parent, or -1 */
    const char *pidfile; /* or NULL */
    bool pidfile_written;
};

/*
 * Forks. In the child it returns 0; the parent waits, then exits with 0 when
 * daemon_ready() was called and with the child's exit code when it ended before. In the
 * foreground nothing is forked. Returns -errno when that fails.
 */
int daemon_start(struct daemon *daemon, bool background, const char *pidfile);

/* Writes the pid file, tells systemd and the parent, and leaves the terminal. */
void daemon_ready(void *daemon);

/* Removes the pid file, if it is ours. */
void daemon_end(const struct daemon *daemon);

#endif
