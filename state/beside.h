/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Small ordinary files beside the VHDX: Windows puts a distribution's shortcut.ico there, and
 * gives up the import when it cannot. They are real files in <identity>.files/ under the
 * state directory; their number and their sizes are limited. No directories, no links.
 *
 * A file is known by an inode number above SIDE_INODES. All functions may be called from
 * any thread and return 0 or -errno.
 */
#ifndef STATE_BESIDE_H
#define STATE_BESIDE_H

#include "common/failure.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#define SIDE_FILES_MAX 16
#define SIDE_QUOTA     (8 * 1024 * 1024) /* bytes, of all together */
#define SIDE_NAME_MAX  200               /* bytes */
#define SIDE_INODES    256

struct side;

/* DIRECTORY and IDENTITY as for store_open(). The folder is made with the first file. */
int side_open(struct side **side, const char *directory, const char *identity, bool read_only,
              struct failure *failure);
void side_close(struct side *side);

/* What the limits leave; nothing when read-only. */
struct side_room {
    uint64_t used, free; /* bytes */
    unsigned files_used, files_free;
};
void side_room(struct side *side, struct side_room *room);

/* The file's inode number and attributes (type, size, times). -ENOENT. */
int side_lookup(struct side *side, const char *name, uint64_t *inode, struct stat *st);
int side_stat(struct side *side, uint64_t inode, struct stat *st);
/* The name that INODE has now; -ESTALE when it is gone. NAME has SIDE_NAME_MAX + 1 bytes. */
int side_name(struct side *side, uint64_t inode, char *name);
/* The INDEXth file, for listing; false behind the last one. */
bool side_at(struct side *side, unsigned index, char *name, uint64_t *inode);

/* A descriptor, or -errno. FLAGS: the access mode, and O_EXCL and O_TRUNC. */
int side_create(struct side *side, const char *name, int flags, uint64_t *inode);
int side_open_file(struct side *side, uint64_t inode, int flags);

/* -ENOSPC when the file would make all together larger than the quota. */
int side_write(struct side *side, int fd, const void *data, size_t length, uint64_t offset);
/* fallocate(2): MODE is 0, or one of PUNCH_HOLE and ZERO_RANGE; each with KEEP_SIZE. */
int side_allocate(struct side *side, int fd, int mode, uint64_t offset, uint64_t length);
int side_truncate(struct side *side, uint64_t inode, uint64_t size);
int side_set_times(struct side *side, uint64_t inode, const struct timespec times[2]);

int side_remove(struct side *side, const char *name);
/* FLAGS as in renameat2(2). An open file goes on under its new name. */
int side_rename(struct side *side, const char *name, const char *to, unsigned flags);

#endif
