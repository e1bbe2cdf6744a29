/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Small ordinary files beside the VHDX: Windows puts a distribution's shortcut.ico there, and
 * gives up the import when it cannot. They are real files in <identity>.files/ under the
 * state directory; their number and their sizes are limited. No directories, no links: what is
 * no plain file there is not shown.
 *
 * Nothing is cached: the folder is read when it is asked, so two instances that wait for the same
 * partition show the same files. A file is known by an inode number, from BESIDE_INODES on. That
 * comes from the file's own, and stays what it is over a rename and a restart; the number of a
 * removed file does not mean a later one. All functions may be called from any thread and return
 * 0 or -errno.
 */
#ifndef STATE_BESIDE_H
#define STATE_BESIDE_H

#include "common/failure.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#define BESIDE_FILES_MAX 16
#define BESIDE_OPEN_MAX  128
#define BESIDE_QUOTA     (8 * 1024 * 1024) /* bytes, with removed files that are open still */
#define BESIDE_NAME_MAX  200               /* bytes */
#define BESIDE_INODES    256

struct beside;

/* DIRECTORY and IDENTITY as for store_open(). The folder is made with the first file. */
int beside_open(struct beside **beside, const char *directory, const char *identity, bool read_only,
                struct failure *failure);
void beside_close(struct beside *beside);

/* What the limits leave; nothing when read-only. */
struct beside_room {
    uint64_t used, free; /* bytes */
    unsigned files_used, files_free;
};
void beside_room(struct beside *beside, struct beside_room *room);

/* The file's inode number and attributes (type, size, times). -ENOENT. */
int beside_lookup(struct beside *beside, const char *name, uint64_t *inode, struct stat *st);
int beside_stat(struct beside *beside, uint64_t inode, struct stat *st);
/* The name that INODE has now; -ESTALE when it is gone. NAME has BESIDE_NAME_MAX + 1 bytes. */
int beside_name(struct beside *beside, uint64_t inode, char *name);
/*
 * The INDEXth file, for listing; false behind the last one. When files come and go meanwhile,
 * a listing may miss others or have them twice.
 */
bool beside_at(struct beside *beside, unsigned index, char *name, uint64_t *inode);

/*
 * A descriptor for beside_close_file(), or -errno: -ENFILE when too many are open. FLAGS: the
 * access mode, and O_EXCL and O_TRUNC.
 */
int beside_create(struct beside *beside, const char *name, int flags, uint64_t *inode);
int beside_open_file(struct beside *beside, uint64_t inode, int flags);
void beside_close_file(struct beside *beside, int fd);

/* -ENOSPC when the file would make all together take more than the quota. */
int beside_write(struct beside *beside, int fd, const void *data, size_t length, uint64_t offset);
/* fallocate(2): MODE is 0, or one of PUNCH_HOLE and ZERO_RANGE; each with KEEP_SIZE. */
int beside_allocate(struct beside *beside, int fd, int mode, uint64_t offset, uint64_t length);
int beside_truncate(struct beside *beside, uint64_t inode, uint64_t size);
int beside_set_times(struct beside *beside, uint64_t inode, const struct timespec times[2]);

int beside_remove(struct beside *beside, const char *name);
/* FLAGS as in renameat2(2). An open file goes on under its new name. */
int beside_rename(struct beside *beside, const char *name, const char *to, unsigned flags);

#endif
