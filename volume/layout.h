/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where everything lies on the disk that holds an NTFS volume that holds the VHDX:
 *
 *   0            protective MBR, GPT                           NTFS (the image, see volume.h)
 *   1 MiB        the NTFS volume: up to the file                NTFS
 *   file_at      the VHDX, as vhdx_layout_map() lays it out     META, BAT, DEVICE, ZERO
 *   tail_at      the end of the volume                          NTFS
 *                1 MiB, the backup GPT in its last sectors      NTFS
 *
 * So the VHDX's payload lies at a multiple of 1 MiB of the disk. All numbers are bytes.
 */
#ifndef VOLUME_LAYOUT_H
#define VOLUME_LAYOUT_H

#include "common/extent.h"
#include "ntfs/geometry.h"
#include "vhdx/layout.h"
#include "volume/gpt.h"

#define VOLUME_AT MIB

/* The image: a page with what it is (volume_file.h), padded; the head; the tail. */
#define VOLUME_IMAGE_HEAD_AT (64 * KIB)

struct volume_layout {
    struct ntfs_geometry ntfs;
    uint64_t disk_size;
    uint64_t file_at; /* the end of the head */
    uint64_t tail_at;
};

/* 0, or -EFBIG where the file is too large for an NTFS volume with such clusters (256 TiB). */
int volume_layout_init(struct volume_layout *layout, const struct vhdx_layout *vhdx);

/* Appends the whole disk to MAP. 0 or extent_map_append()'s error. */
int volume_layout_map(const struct volume_layout *layout, const struct vhdx_layout *vhdx,
                      struct extent_map *map);

/* The partition table, with the GUIDs that derive from IDENTITY. */
struct gpt volume_layout_gpt(const struct volume_layout *layout, const char *identity);

static inline uint64_t volume_image_tail_at(const struct volume_layout *layout)
{
    return VOLUME_IMAGE_HEAD_AT + layout->file_at;
}

static inline uint64_t volume_image_size(const struct volume_layout *layout)
{
    return volume_image_tail_at(layout) + (layout->disk_size - layout->tail_at);
}

#endif
