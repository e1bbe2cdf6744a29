/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Private to ntfs/: runs mkntfs(8). */
#ifndef NTFS_MKNTFS_H
#define NTFS_MKNTFS_H

#include <stddef.h>
#include <stdint.h>

/*
 * Makes an empty NTFS on the whole of FD, a file, with clusters of NTFS_CLUSTER. START is where
 * its disk will have it, in sectors. The program is looked for in the system's own directories,
 * never in PATH. Returns 0; -ENOENT when it is not there; -EIO when it failed: its last words are
 * then in WORDS, SIZE bytes; or another -errno.
 */
int ntfs_mkntfs(int fd, const char *label, uint64_t start, char *words, size_t size);

#endif
