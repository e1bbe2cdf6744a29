/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Private to overlay/: the overlay file's format: encoding and checking of its header, no I/O. See
 * overlay.h.
 *
 * All offsets in bytes, numbers little-endian:
 *   0, 4096   the header, twice; one good copy is enough
 *   8192      bitmap: bit g % 8 of byte g / 8 says that grain g is in this file
 *   data      the disk, byte after byte, at a multiple of 64 KiB; only the grains that the
 *             bitmap names mean anything, the rest is holes or what a crash has left
 *
 * The file ends with the disk. It is sparse: it takes the space of what was written.
 */
#ifndef OVERLAY_OVERLAY_FILE_H
#define OVERLAY_OVERLAY_FILE_H

#include "common/units.h"

#include <stddef.h>
#include <stdint.h>

#define OVERLAY_HEADER_SIZE   4096
#define OVERLAY_HEADER_COPIES 2
#define OVERLAY_GRAIN         (64 * KIB)
#define OVERLAY_BITMAP_AT     (OVERLAY_HEADER_COPIES * (uint64_t)OVERLAY_HEADER_SIZE)
#define OVERLAY_BITMAP_PAGE   4096 /* the unit in which the bitmap is written */
#define OVERLAY_DISK_MAX      (64 * TIB)

/*
 * The part of the partition that tells whether somebody has used it: the superblock of an
 * ext2, ext3 or ext4, which every mount for writing, e2fsck and tune2fs change.
 */
#define OVERLAY_MARK_AT   1024
#define OVERLAY_MARK_SIZE 1024

enum overlay_state {
    OVERLAY_NORMAL = 0,
    OVERLAY_COMMITTING = 1, /* the partition holds a part of what is in the overlay */
};

struct overlay_disk_header {
    uint8_t magic[16]; /* "vhdxfs overlay\n\0" */
    uint8_t version[4];
    uint8_t checksum[4]; /* CRC-32C over 4096 bytes, this field as zeros */
    uint8_t state[4];
    uint8_t grain_size[4];
    uint8_t disk_size[8];
    uint8_t bitmap_offset[8];
    uint8_t data_offset[8];
    uint8_t logical_sector[4];
    uint8_t reserved_1[4];
    uint8_t identity[64]; /* of the partition; text, zero-padded */
    uint8_t reserved_2[896];
    uint8_t mark[OVERLAY_MARK_SIZE]; /* the partition's, when the overlay was made */
    uint8_t reserved_3[2048];
};
_Static_assert(sizeof(struct overlay_disk_header) == OVERLAY_HEADER_SIZE, "one block");
_Static_assert(offsetof(struct overlay_disk_header, disk_size) == 32, "no padding");
_Static_assert(offsetof(struct overlay_disk_header, identity) == 64, "no padding");
_Static_assert(offsetof(struct overlay_disk_header, mark) == 1024, "in sectors of its own");

/* What a header says. */
struct overlay_header {
    enum overlay_state state;
    uint64_t disk_size;
    uint32_t logical_sector;
    char identity[64];
    uint8_t mark[OVERLAY_MARK_SIZE];
};

void overlay_encode_header(const struct overlay_header *header, struct overlay_disk_header *out);
/* 0; -EUCLEAN when damaged or no overlay; -EPROTONOSUPPORT for another version of the format. */
int overlay_decode_header(const struct overlay_disk_header *in, struct overlay_header *header);

static inline uint64_t overlay_grain_count(uint64_t disk_size)
{
    return round_up(disk_size, OVERLAY_GRAIN) / OVERLAY_GRAIN;
}

/* Bytes, whole pages: 2 MiB for a disk of 1 TiB. */
static inline uint64_t overlay_bitmap_size(uint64_t disk_size)
{
    return round_up((overlay_grain_count(disk_size) + 7) / 8, OVERLAY_BITMAP_PAGE);
}

static inline uint64_t overlay_data_offset(uint64_t disk_size)
{
    return round_up(OVERLAY_BITMAP_AT + overlay_bitmap_size(disk_size), OVERLAY_GRAIN);
}

static inline uint64_t overlay_file_size(uint64_t disk_size)
{
    return overlay_data_offset(disk_size) + disk_size;
}

#endif
