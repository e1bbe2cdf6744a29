/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fuse/daemon.h"

#include "common/cleanup.h"
#include "common/failure.h"
#include "common/io.h"
#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* Waits for the child's word; never returns. */
static void wait_and_exit(pid_t child, int ready_fd)
{
    char byte;
    int status;
    ssize_t n;

    do
        n = read(ready_fd, &byte, 1);
    while (n < 0 && errno == EINTR);
    if (n == 1)
        _exit(EXIT_FINE);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (!WIFEXITED(status))
        log_error("the daemon died before it could serve (signal %d)", WTERMSIG(status));
    _exit(WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : EXIT_IO_ERROR);
}

int daemon_start(struct daemon *d, bool background, const char *pidfile)
{
    int ends[2];
    pid_t child;

    *d = (struct daemon){.background = background, .ready_fd = -1, .pidfile = pidfile};
    if (!background)
        return 0;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    child = fork();
    if (child < 0)
        return -errno;
    if (child > 0) {
        close(ends[1]);
        wait_and_exit(child, ends[0]);
    }
    close(ends[0]);
    d->ready_fd = ends[1];
    if (setsid() < 0 || chdir("/") < 0)
        return -errno;
    return 0;
}

/* Under another name first: whoever finds the file finds a number in it. */
static bool write_pidfile(const char *path)
{
    char fresh[PATH_MAX], text[32];
    cleanup_fd int fd = -1;
    int n = snprintf(text, sizeof(text), "%d\n", getpid());

    if ((size_t)snprintf(fresh, sizeof(fresh), "%s.new", path) >= sizeof(fresh)) {
        log_error("%s: the name is too long", path);
        return false;
    }
    unlink(fresh);
    fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd >= 0 && pwrite_full(fd, text, (size_t)n, 0) == 0 && rename(fresh, path) == 0)
        return true;
    log_error("%s: cannot write the process id: %s", path, strerror(errno));
    return false;
}

/* sd_notify(3)'s protocol: one datagram to the socket that systemd names. */
static void notify_systemd(const char *message)
{
    const char *name = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    cleanup_fd int fd = -1;
    size_t length;

    if (!name || (name[0] != '/' && name[0] != '@') || strlen(name) >= sizeof(address.sun_path))
        return;
    length = strlen(name);
    memcpy(address.sun_path, name, length);
    if (address.sun_path[0] == '@') /* an abstract socket */
        address.sun_path[0] = '\0';
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || sendto(fd, message, strlen(message), MSG_NOSIGNAL, (struct sockaddr *)&address,
                         (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) < 0)
        log_warning("cannot tell systemd that the file is served: %s", strerror(errno));
}

static void leave_terminal(void)
{
    cleanup_fd int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    for (int fd = 0; null >= 0 && fd <= 2; fd++)
        dup2(null, fd);
}

void daemon_ready(void *arg)
{
    struct daemon *d = arg;

    if (d->pidfile)
        d->pidfile_written = write_pidfile(d->pidfile);
    if (d->background) {
        log_to_syslog();
        leave_terminal();
    }
    if (log_begin() < 0)
        log_warning("no thread for the log: requests will wait for whoever reads it");
    notify_systemd("READY=1");
    if (d->ready_fd >= 0 && write(d->ready_fd, "", 1) < 0)
        log_error("cannot tell the waiting process: %s", strerror(errno));
    close_fd(&d->ready_fd);
}

void daemon_end(const struct daemon *d)
{
    char text[32] = "";
    cleanup_fd int fd = -1;

    if (!d->pidfile_written)
        return;
    fd = open(d->pidfile, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    /* The next one may have started meanwhile, and it is its file then. */
    if (fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 && atoi(text) == getpid())
        unlink(d->pidfile);
}
