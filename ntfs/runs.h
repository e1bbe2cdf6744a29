/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the bytes of a file lie on an NTFS volume, copied out of the library. */
#ifndef NTFS_RUNS_H
#define NTFS_RUNS_H

#include "common/extent.h"

#include <stdbool.h>

struct ntfs_reader;

/* Why the bytes of a file are not simply where its run list says; a set of these. */
enum ntfs_obstacle {
    NTFS_NOT_A_FILE = 1,      /* a directory or another thing without a data stream */
    NTFS_REPARSE = 2,         /* a link, deduplicated, compressed by WOF, or in a cloud */
    NTFS_COMPRESSED = 4,      /* LZNT1 */
    NTFS_ENCRYPTED = 8,       /* EFS */
    NTFS_RESIDENT = 16,       /* in the MFT record itself */
    NTFS_SPARSE = 32,         /* the attribute is sparse; there may be holes now or later */
    NTFS_HOLES = 64,          /* there is a hole */
    NTFS_UNINITIALIZED = 128, /* the end reads as zeros, whatever the clusters hold */
    NTFS_UNALLOCATED = 256,   /* $Bitmap calls a cluster of the file free: the volume is damaged */
};

/* Of a file: its run list, and what is against taking its bytes from there. */
struct ntfs_file {
    uint64_t record;       /* number of its MFT record */
    uint64_t size;         /* bytes */
    uint64_t initialized;  /* bytes that were written */
    uint64_t run_count;    /* as the volume has them, before neighbours were merged */
    unsigned obstacles;    /* a set of enum ntfs_obstacle */
    struct extent_map map; /* of the whole file: DEVICE = the volume, ZERO = a hole */
};

/*
 * Reads the run list of the file at PATH, components separated by slashes. The case of
 * letters counts only where two names differ in nothing else. With an obstacle of
 * NTFS_NOT_A_FILE or NTFS_RESIDENT the map is empty. Free it in every case.
 *
 * Returns 0; -ENOENT; -EUCLEAN for a run list that contradicts itself or leaves the volume;
 * -ENOMEM or -errno of reading.
 */
int ntfs_file_locate(const struct ntfs_reader *reader, const char *path, struct ntfs_file *file);
void ntfs_file_free(struct ntfs_file *file);

/*
 * What the gravest of OBSTACLES is and its cure, for "FILE WHAT; CURE"; OBSTACLES must not be 0.
 */
void ntfs_obstacles_describe(unsigned obstacles, const char **what, const char **cure);

#endif
