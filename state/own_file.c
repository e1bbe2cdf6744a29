/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "state/own_file.h"

#include "common/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

static bool is_ours(const struct stat *st)
{
    return st->st_uid == geteuid() && !(st->st_mode & (S_IWGRP | S_IWOTH));
}

bool own_file_is(const struct stat *st)
{
    return S_ISREG(st->st_mode) && st->st_nlink <= 1 && is_ours(st);
}

static int lock(const struct own_file *file, int fd, bool read_only, struct failure *failure)
{
    if (flock(fd, (read_only ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0)
        return 0;
    if (errno == EWOULDBLOCK)
        return failed(failure, EXIT_UNSAFE, -EBUSY, "%s: another vhdxfs uses this %s; %s",
                      file->path, file->kind, file->if_used);
    return failed(failure, EXIT_IO_ERROR, -errno, "%s: cannot lock it: %s", file->path,
                  strerror(errno));
}

/* Whether HELD is still the file of that name: it may have been replaced before it was locked. */
static bool is_current(const struct own_file *file, const struct stat *held)
{
    struct stat named;

    return fstatat(file->directory, file->name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           held->st_dev == named.st_dev && held->st_ino == named.st_ino;
}

static int foreign(const struct own_file *file, struct failure *failure)
{
    return failed(failure, EXIT_UNSAFE, -EPERM,
                  "%s: not a regular file of your own, with one name, that nobody else can write; "
                  "%s",
                  file->path, file->if_foreign);
}

int own_file_open(const struct own_file *file, bool read_only, struct failure *failure)
{
    int flags = (read_only ? O_RDONLY : O_RDWR) | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;

    for (int attempts = 0; attempts < 100; attempts++) {
        cleanup_fd int fd = openat(file->directory, file->name, flags);
        struct stat st;
        int err;

        if (fd < 0 && errno == ENOENT)
            return -ENOENT;
        if (fd < 0)
            return failed(failure, EXIT_IO_ERROR, -errno, "%s: cannot open the %s: %s%s",
                          file->path, file->kind, strerror(errno),
                          errno == ELOOP ? " (links are not followed)" : "");
        err = lock(file, fd, read_only, failure);
        if (!err && fstat(fd, &st) < 0)
            err = failed(failure, EXIT_IO_ERROR, -errno, "%s: %s", file->path, strerror(errno));
        if (err)
            return err;
        if (!is_current(file, &st))
            continue;
        return own_file_is(&st) ? steal_fd(&fd) : foreign(file, failure);
    }
    return failed(failure, EXIT_UNSAFE, -EBUSY, "%s: it keeps being replaced", file->path);
}

int own_file_settle(int fd)
{
    if (fdatasync(fd) < 0)
        return -errno;
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    return 0;
}

int own_file_create(int directory, const char *fresh)
{
    cleanup_fd int fd = -1;

    unlinkat(directory, fresh, 0);
    fd = openat(directory, fresh, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        int err = -errno;

        unlinkat(directory, fresh, 0);
        return err;
    }
    return steal_fd(&fd);
}

int own_file_publish(int directory, const char *fresh, const char *name)
{
    return renameat(directory, fresh, directory, name) < 0 || fsync(directory) < 0 ? -errno : 0;
}

int own_directory_open(int parent, const char *name)
{
    cleanup_fd int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    return is_ours(&st) ? steal_fd(&fd) : -EPERM;
}

int own_directory_make(int parent, const char *name)
{
    if (mkdirat(parent, name, 0700) == 0) {
        if (fsync(parent) < 0)
            return -errno;
    } else if (errno != EEXIST) {
        return -errno;
    }
    return own_directory_open(parent, name);
}

DIR *own_directory_list(int fd)
{
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);

    if (fd < 0)
        errno = -fd;
    else if (!directory)
        close_fd(&fd);
    return directory;
}

int own_directory_next(DIR *directory, const char **name)
{
    const struct dirent *entry;

    errno = 0;
    entry = readdir(directory);
    if (!entry)
        return -errno;
    *name = entry->d_name;
    return 1;
}
