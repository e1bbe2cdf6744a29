/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What lies where. On the disk that holds an NTFS volume that holds the VHDX:
 *
 *   0            protective MBR, GPT                           NTFS (the image, see volume.h)
 *   1 MiB        the NTFS volume: up to the file                NTFS
 *   file_at      the VHDX, as vhdx_layout_map() lays it out     META, BAT, DEVICE, ZERO
 *   tail_at      the end of the volume                          NTFS
 *                1 MiB, the backup GPT in its last sectors      NTFS
 *
 * So the VHDX's payload lies at a multiple of 1 MiB of the disk. And in the image:
 *
 *   0            a page that says what it belongs to, written once
 *   4096         the note why the fence was closed, all zeros while it is open: so even a note that
 *                a crash has torn says that the fence is closed
 *   64 KiB       the head: all of the disk up to file_at
 *                the tail: all of the disk from tail_at
 *
 * All numbers are bytes. No I/O.
 */
#ifndef VOLUME_LAYOUT_H
#define VOLUME_LAYOUT_H

#include "common/extent.h"
#include "ntfs/geometry.h"
#include "state/store_file.h"
#include "vhdx/layout.h"
#include "volume/gpt.h"

#define VOLUME_AT            MIB

#define VOLUME_PAGE          4096
#define VOLUME_NOTE_AT       VOLUME_PAGE
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

/* The image's first page. */
struct volume_disk_header {
    uint8_t magic[16]; /* "vhdxfs disk\n\0\0\0\0" */
    uint8_t version[4];
    uint8_t checksum[4]; /* CRC-32C over 4096 bytes, this field as zeros */
    uint8_t disk_size[8];
    uint8_t block_size[4];
    uint8_t logical_sector[4];
    uint8_t file_size[8];
    uint8_t file_at[8];   /* on the disk */
    uint8_t tail_at[8];   /* on the disk */
    uint8_t record[8];    /* the file's number in the MFT */
    uint8_t identity[64]; /* text, zero-padded */
    uint8_t reserved[3960];
};
_Static_assert(sizeof(struct volume_disk_header) == VOLUME_PAGE, "one page");

struct volume_header {
    struct store_binding binding;
    uint64_t file_size;
    uint64_t file_at;
    uint64_t tail_at;
    uint64_t record;
};

void volume_encode_header(const struct volume_header *header, struct volume_disk_header *out);
/* 0 or -EUCLEAN. */
int volume_decode_header(const struct volume_disk_header *in, struct volume_header *header);

#endif
