/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the bytes of a file on a mounted file system lie on its device. */
#ifndef VHDXGEN_FIEMAP_H
#define VHDXGEN_FIEMAP_H

#include "common/extent.h"
#include "common/failure.h"

#include <linux/fiemap.h>

/*
 * Appends the extents of the file FD, of SIZE bytes, to *MAP: DEVICE = the block device of its
 * file system, ZERO = a hole. Extents that are not plain are refused, each with its reason;
 * so are the file systems whose extents are not places on one device (btrfs). PATH is for
 * messages. Returns 0 or -errno with FAILURE filled.
 */
int fiemap_read(int fd, const char *path, uint64_t size, struct extent_map *map,
                struct failure *failure);

/*
 * The same for one extent as the kernel describes it; it must be the next one. For
 * fiemap_read() and tests. Returns 0; -EINVAL for one that is not plain, *WHAT says what it is
 * ("is ...") and *CURE; -EUCLEAN for one that makes no sense; -ENOMEM.
 */
int fiemap_append(const struct fiemap_extent *e, uint64_t size, struct extent_map *map,
                  const char **what, const char **cure);

#endif
