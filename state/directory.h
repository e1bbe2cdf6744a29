/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a state file lies: names, ownership, locking and atomic replacement (see store.h). And
 * directories beside it, for what is kept in many files (xattrs.h, beside.h).
 */
#ifndef STATE_DIRECTORY_H
#define STATE_DIRECTORY_H

#include "common/failure.h"

#include <limits.h>
#include <stdbool.h>

struct state_dir {
    int fd;            /* of the directory */
    char identity[65]; /* of the partition, as it is used in file names */
    char directory[PATH_MAX];
    char name[80];            /* of the state file in it */
    char fresh[96];           /* of a new state before it gets that name */
    char path[PATH_MAX + 80]; /* the whole path, for messages */
};

#define STATE_DIR_INIT                                                                             \
    {                                                                                              \
        .fd = -1                                                                                   \
    }

/*
 * Opens DIRECTORY (made with mode 0700 if it is not there, unless READ_ONLY: then -ENOENT). It
 * must be a directory, no link, owned by the caller, writable by nobody else.
 */
int state_dir_enter(struct state_dir *dir, const char *directory, const char *identity,
                    bool read_only, struct failure *failure);
void state_dir_close(struct state_dir *dir);
#define cleanup_state_dir __attribute__((cleanup(state_dir_close)))

/* Goes on to another file of the same partition, SUFFIX instead of "state". */
void state_dir_select(struct state_dir *dir, const char *suffix);

/*
 * Opens and locks the state file. Returns a descriptor, -ENOENT, -EBUSY when another process
 * has it, or another -errno.
 */
int state_dir_open(const struct state_dir *dir, bool read_only, struct failure *failure);

/* Makes a new, locked file under the temporary name. Returns a descriptor or -errno. */
int state_dir_create(const struct state_dir *dir);
/* Gives the new file, which must be flushed, its name; flushes the directory. 0 or -errno. */
int state_dir_publish(const struct state_dir *dir);
/* Removes the new file, if it is there. */
void state_dir_abandon(const struct state_dir *dir);

/* Renames the state file to one with the time in it. */
int state_dir_set_aside(const struct state_dir *dir, struct failure *failure);

/* <identity>.SUFFIX in the state directory. It is opened, and made, only when it is needed. */
struct state_folder {
    char directory[PATH_MAX];
    char identity[65];
    const char *suffix;
    bool read_only;
};

/* Looks whether it can be used, if it is there; makes only the state directory. 0 or -errno. */
int state_folder_init(struct state_folder *folder, const char *directory, const char *identity,
                      const char *suffix, bool read_only, struct failure *failure);
/* To be read. A descriptor, -ENOENT when it is not made yet, or another -errno. */
int state_folder_open(const struct state_folder *folder);
/*
 * To be changed, by nobody else before state_dir_close(DIR); made with MAKE. The same, and -EROFS.
 * The log has the reason.
 */
int state_folder_change(const struct state_folder *folder, bool make, struct state_dir *dir);

#endif
