/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fuse/mountpoint.h"

#include "common/cleanup.h"
#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whether the directory has no entry but "." and ".."; -errno when it cannot be read. */
static int is_empty(const char *path)
{
    cleanup_dir DIR *directory = opendir(path);
    struct dirent *entry;

    if (!directory)
        return -errno;
    while ((entry = readdir(directory)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            return 0;
    return 1;
}

static int check_directory(const char *path, struct failure *failure)
{
    int empty = is_empty(path);

    if (empty < 0)
        return failed(failure, EXIT_IO_ERROR, empty, "%s: cannot read it: %s", path,
                      strerror(-empty));
    if (!empty)
        return failed(failure, EXIT_USAGE, -ENOTEMPTY,
                      "%s is not empty; mount on an empty directory, so that nothing is hidden",
                      path);
    return 0;
}

int mountpoint_check(const char *path, char **real, bool *is_file, struct failure *failure)
{
    struct stat st;

    *real = realpath(path, NULL);
    if (*real == NULL || stat(*real, &st) < 0) {
        if (errno == ENOTCONN)
            return failed(failure, EXIT_USAGE, -ENOTCONN,
                          "%s is a mount whose daemon has died; clear it with 'umount %s'", path,
                          path);
        return failed(failure, EXIT_USAGE, -errno, "mount point %s: %s%s", path, strerror(errno),
                      errno == ENOENT ? "; make it first (mkdir)" : "");
    }
    *is_file = S_ISREG(st.st_mode);
    if (*is_file)
        return 0;
    if (!S_ISDIR(st.st_mode))
        return failed(failure, EXIT_USAGE, -ENOTDIR,
                      "mount point %s is neither a directory nor a regular file", path);
    return check_directory(*real, failure);
}

int mountpoint_check_fuse(struct failure *failure)
{
    cleanup_fd int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

    if (fd >= 0)
        return 0;
    if (errno == ENOENT || errno == ENODEV || errno == ENXIO)
        return failed(failure, EXIT_IO_ERROR, -errno,
                      "/dev/fuse: %s; the kernel has no FUSE here (try 'modprobe fuse')",
                      strerror(errno));
    return failed(failure, EXIT_IO_ERROR, -errno, "/dev/fuse: %s; run as root", strerror(errno));
}

bool mountpoint_covers(const char *real, const char *path)
{
    cleanup_free char *rest = strdup(path);
    struct stat mount, st;

    if (!rest || stat(real, &mount) < 0)
        return false;
    /* Upwards, until the mount point or the root is met; what is not there yet lies where its
     * directory does. */
    while (*rest) {
        cleanup_free char *there = realpath(rest, NULL);
        char *slash;

        if (there && strcmp(there, rest) != 0) {
            free(rest);
            rest = steal_pointer(&there);
        }
        if (stat(rest, &st) == 0 && st.st_dev == mount.st_dev && st.st_ino == mount.st_ino)
            return true;
        slash = strrchr(rest, '/');
        if (!slash)
            return false;
        *slash = '\0';
    }
    return false;
}

/* The kernel reports an error on the descriptor of a session that is not mounted any more. */
static bool is_mounted(int fuse_fd)
{
    struct pollfd state = {.fd = fuse_fd};

    return poll(&state, 1, 0) < 1 || !(state.revents & (POLLERR | POLLNVAL));
}

void mountpoint_leave(const char *path, int fuse_fd)
{
    int broken[2];

    if (geteuid() != 0 || !is_mounted(fuse_fd))
        return;
    if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
        log_warning("%s: cannot unmount it: %s; 'umount %s' does", path, strerror(errno), path);
    /* A pipe that nobody reads reports an error, too: libfuse looks for that. */
    if (pipe2(broken, O_CLOEXEC) < 0)
        return;
    close(broken[0]);
    dup3(broken[1], fuse_fd, O_CLOEXEC);
    close(broken[1]);
}
