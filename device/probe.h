/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a device or image file is. Facts only; safety.h judges them. */
#ifndef DEVICE_PROBE_H
#define DEVICE_PROBE_H

#include "common/failure.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct facts {
    char path[PATH_MAX];
    bool is_block;            /* else a regular file */
    bool write_protected;     /* or on a file system that is mounted read-only */
    uint64_t size;            /* bytes */
    uint32_t logical_sector;  /* bytes; 512 for files */
    uint32_t physical_sector; /* bytes, 512 or 4096 */

    /* From libblkid; "" where there is none. */
    bool ambiguous; /* signatures of more than one content */
    char type[32];  /* "ext4", "swap", "LVM2_member", ... */
    char usage[16]; /* "filesystem", "raid", "crypto", "other" */
    char uuid[64];
    char part_uuid[64];
    char partition_table[16]; /* "gpt", "dos": a whole disk, or only a boot loader's first sector */
    int partitions;           /* how many are in it */
    uint64_t devices; /* that the file system lies on, this one with them; 0 where unknown */

    /* Of an ext2, ext3 or ext4. */
    bool is_ext;
    bool needs_recovery; /* its journal has not been replayed (or it is mounted now) */
    bool has_errors;
    bool external_journal; /* which lies on another device */
    uint64_t ext_size;     /* bytes; what it says of itself */
    uint32_t ext_block;    /* bytes */
    char beyond_wsl[64];   /* its features that WSL's kernel lacks: "casefold, verity", or "" */
    bool uses_mmp;         /* multi-mount protection is on */
    bool mmp_active;       /* and somebody's mark is in it, or it cannot be read */

    char mounted_on[256]; /* a mount point, or "" */
};

/*
 * Fills FACTS about the object at PATH, opened for reading only and without claiming
 * it. Returns 0; -ENOTBLK for what is neither a block device nor a regular file; or the
 * -errno of opening or reading it.
 */
int probe(const char *path, struct facts *facts, struct failure *failure);

/* The same of what the descriptor FD has open, whatever PATH, its name in messages, leads to by
 * now. */
int probe_opened(int fd, const char *path, struct facts *facts, struct failure *failure);

/* What names this partition for good: its file system's UUID, or its PARTUUID, or "". */
const char *facts_identity(const struct facts *facts);

/*
 * For an ext4 with an active MMP mark, open as FD: waits as long as the kernel would and returns
 * -EBUSY if the mark changed meanwhile, i.e. another host has it mounted, or if e2fsck runs;
 * -EUCLEAN when the mark cannot be read; 0 if it is a dead one.
 */
int probe_mmp(int fd, const char *path, struct failure *failure);

#endif
