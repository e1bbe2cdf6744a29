/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files and directories of our own: what can be read without fear of what somebody else has put
 * there. Such a file is a regular one with one name, owned by the caller, and nobody else can write
 * it; such a directory is no link, owned by the caller, and nobody else can write to it. Links are
 * not followed, and nothing waits for a device or a pipe.
 */
#ifndef STATE_OWN_FILE_H
#define STATE_OWN_FILE_H

#include "common/failure.h"

#include <dirent.h>
#include <stdbool.h>
#include <sys/stat.h>

struct own_file {
    int directory; /* a descriptor, or AT_FDCWD */
    const char *name;
    const char *path;                 /* the whole path, for messages */
    const char *kind;                 /* what it is: "state" */
    const char *if_foreign, *if_used; /* the cures: it is not ours; another process has it */
};

/*
 * Opens and locks it. Returns a descriptor; -ENOENT when there is none; -EBUSY when another process
 * has it; -EPERM when it is not ours; or another -errno. But for -ENOENT, FAILURE says which file,
 * why, and the cure.
 */
int own_file_open(const struct own_file *file, bool read_only, struct failure *failure);

/*
 * Makes the cache of FD show what is on the disk, no more and no less, because what is found in it
 * counts as flushed. A killed predecessor may have left pages that are not written yet, and,
 * after a flush that failed, pages that never will be though they look clean. 0 or -errno.
 */
int own_file_settle(int fd);

/* Whether ST is that of a file of our own. One that was replaced since it was opened still is. */
bool own_file_is(const struct stat *st);

/*
 * Makes a new, locked file; one of that name is what a crash has left. The name is the caller's
 * alone. Returns a descriptor or -errno.
 */
int own_file_create(int directory, const char *fresh);
/* Gives the new file, which must be flushed, its name; flushes the directory. 0 or -errno. */
int own_file_publish(int directory, const char *fresh, const char *name);

/* A descriptor, or -errno: -EPERM when it is not ours. Make: with mode 0700, if it is not there. */
int own_directory_open(int parent, const char *name);
int own_directory_make(int parent, const char *name);
/* Lists the directory FD, and takes FD over, also when it is an -errno. NULL with errno. */
DIR *own_directory_list(int fd);
/* The next *NAME in it, good until the next call: 1, 0 behind the last one, or -errno. */
int own_directory_next(DIR *directory, const char **name);

#endif
