/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vhdx/map.h"

#include "common/bytes.h"
#include "common/cleanup.h"

#include <stdlib.h>

#define PIECE MIB /* of the table, read at once */

static bool all_device(const struct extent_map *map, size_t from)
{
    for (size_t i = from; i < map->count; i++)
        if (map->extents[i].kind != EXTENT_DEVICE)
            return false;
    return true;
}

static int map_block(const struct vhdx_image *image, uint64_t entry, const struct extent_map *file,
                     struct extent_map *disk)
{
    uint64_t left = image->values.disk_size - extent_map_size(disk);
    size_t first = disk->count ? disk->count - 1 : 0;
    int err;

    if ((entry & VHDX_BAT_STATE_MASK) != VHDX_BLOCK_FULLY_PRESENT ||
        (entry & VHDX_BAT_RESERVED_MASK))
        return -EINVAL;
    err = extent_map_append_part(disk, file, entry & VHDX_BAT_OFFSET_MASK,
                                 min_u64(left, image->values.block_size));
    if (err)
        return err;
    return all_device(disk, first) ? 0 : -ENODATA;
}

static bool is_mappable(const struct vhdx_image *image)
{
    const struct vhdx_bat_stats *s = &image->stats;

    return image->bat_read && image->kind == VHDX_KIND_FIXED && s->blocks && s->chunk_ratio &&
           image->log_state != VHDX_LOG_DIRTY && image->log_state != VHDX_LOG_CORRUPT &&
           s->entries <= image->bat->length / 8 && image->values.disk_size <= VHDX_MAX_DISK_SIZE &&
           s->blocks <= VHDX_MAX_DISK_SIZE / VHDX_MIN_BLOCK_SIZE;
}

int vhdx_map_disk(const struct vhdx_io *io, const struct vhdx_image *image,
                  const struct extent_map *file, struct extent_map *disk, uint64_t *block)
{
    const uint64_t group = image->stats.chunk_ratio + 1; /* a bitmap entry ends each */
    cleanup_free uint8_t *piece = malloc(PIECE);
    uint64_t index = 0;

    *block = 0;
    if (!piece)
        return -ENOMEM;
    if (!is_mappable(image))
        return -EINVAL;
    while (*block < image->stats.blocks) {
        uint64_t n = min_u64(PIECE / 8, image->stats.entries - index);
        int err = vhdx_read(io, piece, (size_t)(8 * n), image->bat->offset + 8 * index);

        for (uint64_t i = 0; i < n && !err; i++, index++) {
            if (index % group == group - 1)
                continue;
            err = map_block(image, get_le64(piece + 8 * i), file, disk);
            if (!err)
                ++*block;
        }
        if (err)
            return err;
    }
    return 0;
}
