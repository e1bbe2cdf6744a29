/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "state/directory.h"

#include "common/cleanup.h"
#include "common/log.h"
#include "state/own_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Makes PATH and what is missing above it, as mkdir -p does. */
static int make_directories(const char *path)
{
    cleanup_free char *copy = strdup(path);

    if (!copy)
        return -ENOMEM;
    for (char *slash = copy + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        if (mkdir(copy, 0755) < 0 && errno != EEXIST)
            return -errno;
        *slash = '/';
    }
    return mkdir(copy, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

/*
 * Whoever opens, makes or replaces a state does so alone; state_dir_close() lets go. That takes
 * milliseconds; but where others may read the directory, they may lock it, too.
 */
static int lock_directory(int fd, const char *path, struct failure *failure)
{
    const struct timespec pause = {.tv_nsec = 10000000};

    for (int tries = 0; tries < 500; tries++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return 0;
        if (errno != EWOULDBLOCK && errno != EINTR)
            return failed(failure, EXIT_IO_ERROR, -errno, "%s: cannot lock it: %s", path,
                          strerror(errno));
        nanosleep(&pause, NULL);
    }
    return failed(failure, EXIT_UNSAFE, -EBUSY,
                  "%s: some other program keeps it locked; end that, and let nobody else read it "
                  "(chmod go-rx)",
                  path);
}

void state_dir_select(struct state_dir *dir, const char *suffix)
{
    snprintf(dir->name, sizeof(dir->name), "%s.%s", dir->identity, suffix);
    snprintf(dir->fresh, sizeof(dir->fresh), "%s.new", dir->name);
    snprintf(dir->path, sizeof(dir->path), "%s/%s", dir->directory, dir->name);
}

int state_dir_enter(struct state_dir *dir, const char *directory, const char *identity,
                    bool read_only, struct failure *failure)
{
    int err = read_only ? 0 : make_directories(directory);

    snprintf(dir->identity, sizeof(dir->identity), "%s", identity);
    for (char *p = dir->identity; *p; p++) /* UUIDs hold no slash, but who knows them all */
        if (*p == '/')
            *p = '_';
    snprintf(dir->directory, sizeof(dir->directory), "%s", directory);
    state_dir_select(dir, "state");
    if (!err) {
        dir->fd = own_directory_open(AT_FDCWD, directory);
        err = dir->fd < 0 ? dir->fd : 0;
    }
    if (err == -EPERM)
        return failed(
            failure, EXIT_UNSAFE, err,
            "%s: others can write there, so the state would not be safe; "
            "chown it to yourself and chmod go-w, or name another directory with -o state=",
            directory);
    if (err)
        return failed(failure, EXIT_IO_ERROR, err, "%s: cannot use it as the state directory: %s%s",
                      directory, strerror(-err),
                      err == -ELOOP || err == -ENOTDIR ? " (links are not followed)" : "");
    return read_only ? 0 : lock_directory(dir->fd, directory, failure);
}

void state_dir_close(struct state_dir *dir)
{
    close_fd(&dir->fd);
}

int state_dir_open(const struct state_dir *dir, bool read_only, struct failure *failure)
{
    const struct own_file file = {
        .directory = dir->fd,
        .name = dir->name,
        .path = dir->path,
        .kind = "state",
        .if_foreign = "move it away or name another directory with -o state=",
        .if_used = "if it serves a copy of the partition with the same UUID, give one of them a "
                   "new one (tune2fs -U random)",
    };

    return own_file_open(&file, read_only, failure);
}

int state_dir_create(const struct state_dir *dir)
{
    return own_file_create(dir->fd, dir->fresh);
}

int state_dir_publish(const struct state_dir *dir)
{
    return own_file_publish(dir->fd, dir->fresh, dir->name);
}

void state_dir_abandon(const struct state_dir *dir)
{
    unlinkat(dir->fd, dir->fresh, 0);
}

int state_dir_set_aside(const struct state_dir *dir, struct failure *failure)
{
    struct timespec now;
    struct tm tm;
    char aside[160], when[32];

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    strftime(when, sizeof(when), "%Y%m%dT%H%M%SZ", &tm);
    snprintf(aside, sizeof(aside), "%s.%s.%09ld", dir->name, when, now.tv_nsec);
    if (renameat(dir->fd, dir->name, dir->fd, aside) < 0 || fsync(dir->fd) < 0)
        return failed(failure, EXIT_IO_ERROR, -errno, "%s: cannot set it aside: %s", dir->path,
                      strerror(errno));
    log_warning("the old state was kept as %s beside %s", aside, dir->path);
    return 0;
}

static int enter_folder(const struct state_folder *folder, struct state_dir *dir, bool read_only,
                        struct failure *failure)
{
    int err = state_dir_enter(dir, folder->directory, folder->identity, read_only, failure);

    state_dir_select(dir, folder->suffix);
    return err;
}

int state_folder_init(struct state_folder *folder, const char *directory, const char *identity,
                      const char *suffix, bool read_only, struct failure *failure)
{
    cleanup_state_dir struct state_dir dir = STATE_DIR_INIT;
    cleanup_fd int fd = -1;
    int err;

    *folder = (struct state_folder){.suffix = suffix, .read_only = read_only};
    snprintf(folder->directory, sizeof(folder->directory), "%s", directory);
    snprintf(folder->identity, sizeof(folder->identity), "%s", identity);
    err = enter_folder(folder, &dir, read_only, failure);
    if (err)
        return err == -ENOENT && read_only ? 0 : err;
    fd = own_directory_open(dir.fd, dir.name);
    if (fd >= 0 || fd == -ENOENT)
        return 0;
    return failed(failure, EXIT_UNSAFE, fd,
                  "%s: cannot use it for extended attributes or files: %s; it must be a directory "
                  "of your own that nobody else can write to; move it away to go on without it",
                  dir.path, strerror(-fd));
}

int state_folder_open(const struct state_folder *folder)
{
    cleanup_state_dir struct state_dir dir = STATE_DIR_INIT;
    int err = enter_folder(folder, &dir, true, NULL);

    return err ? err : own_directory_open(dir.fd, dir.name);
}

int state_folder_change(const struct state_folder *folder, bool make, struct state_dir *dir)
{
    struct failure failure = {0};
    int fd = folder->read_only ? -EROFS : enter_folder(folder, dir, false, &failure);

    if (!fd)
        fd = make ? own_directory_make(dir->fd, dir->name) : own_directory_open(dir->fd, dir->name);
    if (fd < 0 && fd != -ENOENT && fd != -EROFS)
        log_error("%s/%s.%s: cannot change it: %s", folder->directory, folder->identity,
                  folder->suffix, *failure.text ? failure.text : strerror(-fd));
    return fd;
}
