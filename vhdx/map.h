/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The disk inside of a VHDX file as ranges of the device that the file lies on: the file's
 * runs, in the order of its BAT. That is all it takes to use the disk without the file.
 */
#ifndef VHDX_MAP_H
#define VHDX_MAP_H

#include "common/extent.h"
#include "vhdx/image.h"
#include "vhdx/io.h"

/*
 * Appends the disk to *DISK: only EXTENT_DEVICE, VirtualDiskSize bytes in all. IMAGE is what
 * vhdx_check() found in IO without an error, a fixed file with a clean log; FILE has the
 * file's bytes, with holes as EXTENT_ZERO.
 *
 * Returns 0; -EINVAL when a block is in another state than fully present, or IMAGE is not as
 * said; -ENODATA when a block lies on a hole; -ERANGE when FILE ends before a block does; or
 * -errno of reading and memory. *BLOCK is the number of the block that it is about.
 */
int vhdx_map_disk(const struct vhdx_io *io, const struct vhdx_image *image,
                  const struct extent_map *file, struct extent_map *disk, uint64_t *block);

#endif
