/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vhdx/layout.h"

#include "common/bytes.h"

#include <errno.h>
#include <string.h>

/* A table that readers which load it whole still load at once. */
#define COMFORTABLE_BAT (16 * MIB)

static void compute_bat(struct vhdx_layout *l)
{
    l->block_count = (l->disk_size + l->block_size - 1) / l->block_size;
    l->chunk_ratio = VHDX_SECTORS_A_CHUNK * l->logical_sector / l->block_size;
    l->bat_entries = l->block_count + (l->block_count - 1) / l->chunk_ratio;
    l->bat_size = round_up(l->bat_entries * 8, VHDX_ALIGNMENT);
}

static uint64_t bat_size_for(uint64_t disk_size, uint32_t logical_sector, uint32_t block_size)
{
    struct vhdx_layout l = {
        .disk_size = disk_size, .block_size = block_size, .logical_sector = logical_sector};

    compute_bat(&l);
    return l.bat_size;
}

uint32_t vhdx_choose_block_size(uint64_t disk_size, uint32_t logical_sector)
{
    uint32_t comfortable = (uint32_t)VHDX_MIN_BLOCK_SIZE, size;

    while (comfortable < VHDX_MAX_BLOCK_SIZE &&
           bat_size_for(disk_size, logical_sector, comfortable) > COMFORTABLE_BAT)
        comfortable *= 2;
    for (size = comfortable; size >= VHDX_MIN_BLOCK_SIZE; size /= 2)
        if (disk_size % size == 0 &&
            bat_size_for(disk_size, logical_sector, size) <= VHDX_MAX_BAT_SIZE)
            return size;
    return comfortable;
}

static int check_params(const struct vhdx_params *p, const char **why)
{
    if (p->logical_sector != 512 && p->logical_sector != 4096) {
        *why = "the logical sector size must be 512 or 4096 bytes";
        return -EINVAL;
    }
    if (p->physical_sector != 512 && p->physical_sector != 4096) {
        *why = "the physical sector size must be 512 or 4096 bytes";
        return -EINVAL;
    }
    if (p->disk_size == 0) {
        *why = "its size is zero";
        return -EINVAL;
    }
    if (p->disk_size % p->logical_sector) {
        *why = "its size is not a multiple of its sector size";
        return -EINVAL;
    }
    if (p->disk_size > VHDX_MAX_DISK_SIZE) {
        *why = "it is larger than 64 TiB, the most a VHDX can hold";
        return -EFBIG;
    }
    if (p->block_size && (!is_power_of_two(p->block_size) || p->block_size < VHDX_MIN_BLOCK_SIZE ||
                          p->block_size > VHDX_MAX_BLOCK_SIZE)) {
        *why = "the block size must be a power of two from 1 MiB to 256 MiB";
        return -EINVAL;
    }
    return 0;
}

int vhdx_layout_init(struct vhdx_layout *layout, const struct vhdx_params *params, const char **why)
{
    const char *unused;
    int err = check_params(params, why ? why : &unused);

    if (err)
        return err;
    *layout = (struct vhdx_layout){
        .disk_size = params->disk_size,
        .block_size = params->block_size,
        .logical_sector = params->logical_sector,
        .physical_sector = params->physical_sector,
    };
    if (!layout->block_size)
        layout->block_size = vhdx_choose_block_size(params->disk_size, params->logical_sector);
    /* Even 64 TiB in 1 MiB blocks keeps the BAT within VHDX_MAX_BAT_SIZE. */
    compute_bat(layout);
    layout->payload_offset = VHDX_BAT_AT + layout->bat_size;
    layout->file_size = layout->payload_offset + layout->block_count * layout->block_size;
    return 0;
}

int vhdx_layout_map(const struct vhdx_layout *layout, struct extent_map *map)
{
    uint64_t pad = layout->file_size - layout->payload_offset - layout->disk_size;
    int err = extent_map_append(map, VHDX_META_SIZE, EXTENT_META, 0);

    if (!err)
        err = extent_map_append(map, layout->bat_size, EXTENT_BAT, 0);
    if (!err)
        err = extent_map_append(map, layout->disk_size, EXTENT_DEVICE, 0);
    if (!err)
        err = extent_map_append(map, pad, EXTENT_ZERO, 0);
    return err;
}

bool vhdx_bat_block(const struct vhdx_layout *layout, uint64_t index, uint64_t *block)
{
    uint64_t group = layout->chunk_ratio + 1; /* payload entries, then one bitmap slot */

    if (index >= layout->bat_entries || index % group == layout->chunk_ratio)
        return false;
    *block = index - index / group;
    return true;
}

uint64_t vhdx_bat_entry(const struct vhdx_layout *layout, uint64_t index)
{
    uint64_t block;

    if (!vhdx_bat_block(layout, index, &block))
        return 0;
    return (layout->payload_offset + block * layout->block_size) | VHDX_BLOCK_FULLY_PRESENT;
}

void vhdx_bat_read(const struct vhdx_layout *layout, uint64_t offset, void *data, size_t length)
{
    uint8_t *out = data, entry[8];

    while (length > 0) {
        size_t skip = offset % 8, n = (size_t)min_u64(8 - skip, length);

        put_le64(entry, vhdx_bat_entry(layout, offset / 8));
        memcpy(out, entry + skip, n);
        out += n;
        offset += n;
        length -= n;
    }
}
