/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From values to the bytes of a VHDX file. Nothing here can fail. */
#ifndef VHDX_ENCODE_H
#define VHDX_ENCODE_H

#include "vhdx/layout.h"

/* What tells one VHDX from another; all else follows from the layout. */
struct vhdx_identity {
    struct guid file_write; /* changes when the file does (2.2.2) */
    struct guid data_write; /* changes when the disk's content does */
    struct guid disk_id;    /* the SCSI page 83 identity of the virtual disk (2.6.2.3) */
};

/* The same partition, the same identity: GUIDs derived as guid_derive() says. */
struct vhdx_identity vhdx_identity_derive(const char *partition);

/* The values of a header (2.2.2). */
struct vhdx_header {
    uint64_t sequence;
    struct guid file_write;
    struct guid data_write;
    struct guid log_guid;
    uint16_t log_version;
    uint16_t version;
    uint32_t log_length; /* bytes */
    uint64_t log_offset; /* bytes in the file */
};

void vhdx_encode_identifier(struct vhdx_disk_identifier *out);

/* Fills all 4096 bytes, the checksum last. */
void vhdx_encode_header(const struct vhdx_header *header, struct vhdx_disk_header *out);

/* Fills all 64 KiB, the checksum last. */
void vhdx_encode_region_table(const struct vhdx_layout *layout, uint8_t out[VHDX_REGIONS_SIZE]);

/* The bytes of the metadata region in use: table, then the five items. */
#define VHDX_METADATA_USED (VHDX_METADATA_ITEMS + 0x28)
void vhdx_encode_metadata(const struct vhdx_layout *layout, const struct guid *disk_id,
                          uint8_t out[VHDX_METADATA_USED]);

/*
 * Everything in front of the BAT, as a new file has it. OUT must be all zeros
 * before; pages that stay zero are not touched.
 */
void vhdx_encode_meta(const struct vhdx_layout *layout, const struct vhdx_identity *identity,
                      uint8_t out[VHDX_META_SIZE]);

#endif
