/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where everything lies in the fixed VHDX file that this project makes:
 *
 *   0      identifier, headers, region tables      META
 *   1 MiB  log (1 MiB)                             META
 *   2 MiB  metadata region (1 MiB)                 META
 *   3 MiB  BAT, rounded up to whole MiB            BAT
 *   P      the disk, block after block             DEVICE
 *          pad to the end of the last block        ZERO
 *
 * the layout of the files that Windows itself makes. The file ends exactly behind
 * its last block.
 */
#ifndef VHDX_LAYOUT_H
#define VHDX_LAYOUT_H

#include "common/extent.h"
#include "vhdx/format.h"

#include <stdbool.h>

#define VHDX_LOG_AT        (1 * MIB)
#define VHDX_LOG_SIZE      (1 * MIB)
#define VHDX_METADATA_AT   (2 * MIB)
#define VHDX_METADATA_SIZE (1 * MIB)
#define VHDX_BAT_AT        (3 * MIB)
#define VHDX_META_SIZE     VHDX_BAT_AT /* all that must be stored, in bytes */

struct vhdx_params {
    uint64_t disk_size;       /* bytes, a multiple of logical_sector, 1 sector to 64 TiB */
    uint32_t block_size;      /* bytes, a power of two from 1 to 256 MiB; 0: choose one */
    uint32_t logical_sector;  /* 512 or 4096 */
    uint32_t physical_sector; /* 512 or 4096 */
};

struct vhdx_layout {
    uint64_t disk_size;
    uint32_t block_size;
    uint32_t logical_sector;
    uint32_t physical_sector;
    uint64_t block_count;
    uint64_t chunk_ratio;    /* payload blocks between two sector-bitmap slots (2.5) */
    uint64_t bat_entries;    /* payload entries and sector-bitmap slots */
    uint64_t bat_size;       /* bytes of the region */
    uint64_t payload_offset; /* P */
    uint64_t file_size;      /* P + block_count * block_size */
};

/*
 * Computes the layout. Returns 0; -EINVAL for parameters the standard forbids, and
 * -EFBIG for a disk above 64 TiB or a BAT above its limit. On error *WHY, if WHY is
 * not NULL, is a static sentence for people.
 */
int vhdx_layout_init(struct vhdx_layout *layout, const struct vhdx_params *params,
                     const char **why);

/*
 * The block size that vhdx_layout_init() picks for 0: a table of at most 16 MiB (QEMU
 * and others read it whole), so 1 MiB up to 2 TiB, growing with the disk; and from there
 * down to the largest one that divides the disk, so that there is no pad.
 */
uint32_t vhdx_choose_block_size(uint64_t disk_size, uint32_t logical_sector);

/* Appends the whole file to MAP. Returns 0 or extent_map_append()'s error. */
int vhdx_layout_map(const struct vhdx_layout *layout, struct extent_map *map);

/* The index in the BAT of payload block BLOCK (2.5). */
static inline uint64_t vhdx_bat_index(const struct vhdx_layout *layout, uint64_t block)
{
    return block + block / layout->chunk_ratio;
}

/*
 * The payload block that BAT entry INDEX describes, in *BLOCK; false for a
 * sector-bitmap slot and for whatever lies behind the last entry.
 */
bool vhdx_bat_block(const struct vhdx_layout *layout, uint64_t index, uint64_t *block);

/* The value of BAT entry INDEX: the identity mapping, or 0 where it maps no block. */
uint64_t vhdx_bat_entry(const struct vhdx_layout *layout, uint64_t index);

/* Fills DATA with bytes [OFFSET, OFFSET + LENGTH) of the BAT region, at any alignment. */
void vhdx_bat_read(const struct vhdx_layout *layout, uint64_t offset, void *data, size_t length);

#endif
