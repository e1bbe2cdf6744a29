/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Full reads and writes: no short counts, no EINTR. */
#ifndef COMMON_IO_H
#define COMMON_IO_H

#include <stddef.h>
#include <stdint.h>

/* Reads exactly LENGTH bytes at OFFSET. Returns 0, -errno, or -ENODATA when the file ends before.
 */
int pread_full(int fd, void *data, size_t length, uint64_t offset);

/* Writes exactly LENGTH bytes at OFFSET. Returns 0 or -errno. */
int pwrite_full(int fd, const void *data, size_t length, uint64_t offset);

/* Flushes the directory that PATH lies in, so that a new name in it survives. 0 or -errno. */
int fsync_parent(const char *path);

#endif
