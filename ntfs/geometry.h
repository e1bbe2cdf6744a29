/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where everything lies in an NTFS volume that holds one big file in one run:
 *
 *   0                 $Boot, the MFT, the other system files, and room for what Windows makes
 *   .. bitmap_at      $Bitmap, in one run, up to the file
 *   file_at           the file
 *   file_at + size    a few free clusters, the backup boot sector last
 *
 * All but the file is metadata of a few MiB in a front of a few hundred, so the volume is kept
 * as two short pieces: the head (all in front of the file) and the tail (all behind it).
 */
#ifndef NTFS_GEOMETRY_H
#define NTFS_GEOMETRY_H

#include "common/units.h"

/*
 * The largest clusters that every Windows since NT reads: 256 TiB fit in 2^32 of them, and the
 * bitmap of 2 TiB is 4 MiB.
 */
#define NTFS_CLUSTER     (64 * KIB)
#define NTFS_SECTOR      512
#define NTFS_RECORD_SIZE 1024 /* of the MFT, as mkntfs makes them */

/* In front of the file: 8 MiB are used; the rest is Windows' (restore points, an USN journal). */
#define NTFS_FRONT (256 * MIB)
/* Behind it. */
#define NTFS_TAIL (1 * MIB)

struct ntfs_geometry {
    uint64_t volume_size; /* bytes, with the sector of the backup boot sector */
    uint64_t clusters;    /* whole ones; the last sectors belong to none */
    uint64_t bitmap_at;   /* bytes from the start of the volume */
    uint64_t bitmap_size; /* the attribute's, in bytes */
    uint64_t file_at;     /* a multiple of 1 MiB */
    uint64_t file_size;
};

/* For a file of FILE_SIZE bytes, a multiple of a cluster. Returns 0, -EINVAL or -EFBIG. */
int ntfs_geometry_init(struct ntfs_geometry *geometry, uint64_t file_size);

#endif
