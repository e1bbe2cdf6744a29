/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the bytes of a VHDX file to values. These answer whether a structure is
 * usable; why one is not, in the standard's words, is the business of check.h.
 */
#ifndef VHDX_DECODE_H
#define VHDX_DECODE_H

#include "vhdx/encode.h"

/* Returns 0, or -EBADMSG when signature or checksum do not hold. */
int vhdx_decode_header(const struct vhdx_disk_header *in, struct vhdx_header *header);

/*
 * Picks the current one of a file's two header blocks (2.2.2): the valid one with the
 * greater sequence number. Returns its index, 0 or 1, and its values in *HEADER, or
 * -EBADMSG when neither is valid. Of two with one number it picks the first.
 */
int vhdx_current_header(const struct vhdx_disk_header *first, const struct vhdx_disk_header *second,
                        struct vhdx_header *header);

/* Signature and checksum of a region table of 64 KiB: 0 or -EBADMSG. */
int vhdx_decode_region_table(const uint8_t in[VHDX_REGIONS_SIZE]);

/* The five items every disk has (2.6.2). */
struct vhdx_disk_values {
    uint64_t disk_size;       /* bytes */
    uint32_t block_size;      /* bytes */
    uint32_t file_flags;      /* VHDX_LEAVE_ALLOCATED, VHDX_HAS_PARENT */
    uint32_t logical_sector;  /* bytes */
    uint32_t physical_sector; /* bytes */
    struct guid disk_id;
};

/*
 * Looks the five items up in a metadata region of LENGTH bytes. Returns 0, or -EBADMSG
 * when the table is malformed, an item is missing, has the wrong length or lies
 * outside the region.
 */
int vhdx_decode_metadata(const uint8_t *region, size_t length, struct vhdx_disk_values *values);

#endif
