/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes an NTFS volume that holds one file, contiguous, at the place that the geometry says, with
 * the content that is there: nothing of the file's room is read or written.
 *
 * mkntfs makes a small volume of the front; then the bitmap is moved and made large enough, the
 * volume is told its true size, and the file is put in its place. Needs the program mkntfs
 * (package ntfs-3g) at run time.
 */
#ifndef NTFS_BUILD_H
#define NTFS_BUILD_H

#include "ntfs/geometry.h"

struct ntfs_names {
    const char *file;  /* in the root directory, UTF-8 */
    const char *label; /* of the volume, up to 32 characters */
    uint64_t serial;   /* of the volume */
    uint64_t start;    /* of the volume on its disk, in bytes */
    /* Answers: */
    uint64_t record;   /* the file's number in the MFT */
    const char *stage; /* what was being done when it failed, for a message */
    char detail[256];  /* and what mkntfs said, or "" */
};

/*
 * FD is an empty file, best in memory (memfd_create(2)), since it gets the size of the whole
 * volume, with a hole for the file. It must be open for reading and writing, and be found under
 * /proc/self/fd. Starts a program, so not for a process that may not.
 * Returns 0 or -errno; -ENOENT when there is no mkntfs.
 */
int ntfs_build(int fd, const struct ntfs_geometry *geometry, struct ntfs_names *names);

#endif
