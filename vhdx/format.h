/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VHDX on disk, as [MS-VHDX] v20210625 lays it out. Every field is an array of
 * bytes in little-endian order, so a struct can be laid over any buffer; read and
 * write the fields with common/bytes.h. All offsets and sizes are in bytes.
 */
#ifndef VHDX_FORMAT_H
#define VHDX_FORMAT_H

#include "common/guid.h"
#include "common/units.h"

#include <stddef.h>
#include <stdint.h>

/* Section 2.2: the header section, 1 MiB at the start of every file. */
#define VHDX_HEADER_SECTION  MIB
#define VHDX_ALIGNMENT       MIB /* of everything behind it (2.1) */
#define VHDX_IDENTIFIER_AT   0
#define VHDX_HEADER_1_AT     (64 * KIB)
#define VHDX_HEADER_2_AT     (128 * KIB)
#define VHDX_REGIONS_1_AT    (192 * KIB)
#define VHDX_REGIONS_2_AT    (256 * KIB)
#define VHDX_HEADER_SIZE     4096
#define VHDX_REGIONS_SIZE    (64 * KIB)
#define VHDX_METADATA_ITEMS  (64 * KIB) /* first offset of an item in the region (2.6.1.2) */
#define VHDX_TABLE_MAX       2047       /* entries in a region or metadata table */
#define VHDX_LOG_SECTOR      4096
#define VHDX_MAX_DISK_SIZE   (64 * TIB)
#define VHDX_MIN_BLOCK_SIZE  MIB
#define VHDX_MAX_BLOCK_SIZE  (256 * MIB)
#define VHDX_MAX_BAT_SIZE    (513 * MIB)         /* openvmm's limit: 64 TiB in 1 MiB blocks */
#define VHDX_SECTORS_A_CHUNK (UINT64_C(1) << 23) /* sectors that one sector bitmap covers (2.5) */

struct vhdx_disk_identifier { /* 2.2.1 */
    uint8_t signature[8];     /* "vhdxfile" */
    uint8_t creator[512];     /* UTF-16LE, zero-padded */
};
_Static_assert(sizeof(struct vhdx_disk_identifier) == 520, "2.2.1");

struct vhdx_disk_header { /* 2.2.2 */
    uint8_t signature[4]; /* "head" */
    uint8_t checksum[4];  /* CRC-32C over 4096 bytes, this field as zeros */
    uint8_t sequence[8];
    struct guid file_write_guid;
    struct guid data_write_guid;
    struct guid log_guid; /* null: the log is empty */
    uint8_t log_version[2];
    uint8_t version[2];
    uint8_t log_length[4];
    uint8_t log_offset[8];
    uint8_t reserved[4016];
};
_Static_assert(sizeof(struct vhdx_disk_header) == 4096, "2.2.2");
_Static_assert(offsetof(struct vhdx_disk_header, log_guid) == 48, "2.2.2");
_Static_assert(offsetof(struct vhdx_disk_header, log_offset) == 72, "2.2.2");

struct vhdx_disk_region_table { /* 2.2.3.1 */
    uint8_t signature[4];       /* "regi" */
    uint8_t checksum[4];        /* CRC-32C over 64 KiB, this field as zeros */
    uint8_t entry_count[4];
    uint8_t reserved[4];
};
_Static_assert(sizeof(struct vhdx_disk_region_table) == 16, "2.2.3.1");

struct vhdx_disk_region { /* 2.2.3.2 */
    struct guid guid;
    uint8_t offset[8];
    uint8_t length[4];
    uint8_t flags[4]; /* bit 0: required */
};
_Static_assert(sizeof(struct vhdx_disk_region) == 32, "2.2.3.2");
#define VHDX_REGION_REQUIRED 1u

struct vhdx_disk_metadata_table { /* 2.6.1.1 */
    uint8_t signature[8];         /* "metadata" */
    uint8_t reserved[2];
    uint8_t entry_count[2];
    uint8_t reserved2[20];
};
_Static_assert(sizeof(struct vhdx_disk_metadata_table) == 32, "2.6.1.1");

struct vhdx_disk_metadata_entry { /* 2.6.1.2 */
    struct guid item;
    uint8_t offset[4]; /* from the start of the metadata region */
    uint8_t length[4];
    uint8_t flags[4];
    uint8_t reserved[4];
};
_Static_assert(sizeof(struct vhdx_disk_metadata_entry) == 32, "2.6.1.2");
#define VHDX_ITEM_USER         1u
#define VHDX_ITEM_VIRTUAL_DISK 2u
#define VHDX_ITEM_REQUIRED     4u

/* FileParameters (2.6.2.1): block size, then these bits. */
#define VHDX_LEAVE_ALLOCATED 1u
#define VHDX_HAS_PARENT      2u

/* BAT entry (2.5.1): state in bits 0-2, zeros in 3-19, offset in MiB from bit 20. */
#define VHDX_BAT_STATE_MASK    UINT64_C(7)
#define VHDX_BAT_RESERVED_MASK UINT64_C(0xffff8)
#define VHDX_BAT_OFFSET_MASK   (~UINT64_C(0xfffff))
enum vhdx_payload_state { /* 2.5.1.1 */
    VHDX_BLOCK_NOT_PRESENT = 0,
    VHDX_BLOCK_UNDEFINED = 1,
    VHDX_BLOCK_ZERO = 2,
    VHDX_BLOCK_UNMAPPED = 3,
    VHDX_BLOCK_FULLY_PRESENT = 6,
    VHDX_BLOCK_PARTIALLY_PRESENT = 7,
};

struct vhdx_disk_log_entry { /* 2.3.1.1 */
    uint8_t signature[4];    /* "loge" */
    uint8_t checksum[4];     /* CRC-32C over entry_length bytes, this field as zeros */
    uint8_t entry_length[4]; /* multiple of 4096 */
    uint8_t tail[4];         /* offset in the log of the oldest entry still needed */
    uint8_t sequence[8];
    uint8_t descriptor_count[4];
    uint8_t reserved[4];
    struct guid log_guid;
    uint8_t flushed_file_offset[8];
    uint8_t last_file_offset[8];
};
_Static_assert(sizeof(struct vhdx_disk_log_entry) == 64, "2.3.1.1");

struct vhdx_disk_log_zero { /* 2.3.1.2 */
    uint8_t signature[4];   /* "zero" */
    uint8_t reserved[4];
    uint8_t length[8];
    uint8_t file_offset[8];
    uint8_t sequence[8];
};
_Static_assert(sizeof(struct vhdx_disk_log_zero) == 32, "2.3.1.2");

struct vhdx_disk_log_data { /* 2.3.1.3 */
    uint8_t signature[4];   /* "desc" */
    uint8_t trailing[4];    /* the last 4 of the 4096 bytes to write */
    uint8_t leading[8];     /* the first 8 */
    uint8_t file_offset[8];
    uint8_t sequence[8];
};
_Static_assert(sizeof(struct vhdx_disk_log_data) == 32, "2.3.1.3");

struct vhdx_disk_log_sector { /* 2.3.1.4 */
    uint8_t signature[4];     /* "data" */
    uint8_t sequence_high[4];
    uint8_t data[4084]; /* bytes 8 .. 4091 of the 4096 to write */
    uint8_t sequence_low[4];
};
_Static_assert(sizeof(struct vhdx_disk_log_sector) == 4096, "2.3.1.4");

struct vhdx_disk_parent_locator { /* 2.6.2.6.1 */
    struct guid locator_type;
    uint8_t reserved[2];
    uint8_t key_value_count[2];
};
_Static_assert(sizeof(struct vhdx_disk_parent_locator) == 20, "2.6.2.6.1");

struct vhdx_disk_parent_entry { /* 2.6.2.6.2; UTF-16LE text at offsets from the item's start */
    uint8_t key_offset[4];
    uint8_t value_offset[4];
    uint8_t key_length[2]; /* bytes */
    uint8_t value_length[2];
};
_Static_assert(sizeof(struct vhdx_disk_parent_entry) == 12, "2.6.2.6.2");

/* Regions (2.2.3.2) and system metadata items (2.6.2). */
#define VHDX_REGION_BAT                                                                            \
    GUID_INIT(0x2dc27766, 0xf623, 0x4200, 0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08)
#define VHDX_REGION_METADATA                                                                       \
    GUID_INIT(0x8b7ca206, 0x4790, 0x4b9a, 0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e)
#define VHDX_ITEM_FILE_PARAMETERS                                                                  \
    GUID_INIT(0xcaa16737, 0xfa36, 0x4d43, 0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b)
#define VHDX_ITEM_DISK_SIZE                                                                        \
    GUID_INIT(0x2fa54224, 0xcd1b, 0x4876, 0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8)
#define VHDX_ITEM_LOGICAL_SECTOR                                                                   \
    GUID_INIT(0x8141bf1d, 0xa96f, 0x4709, 0xba, 0x47, 0xf2, 0x33, 0xa8, 0xfa, 0xab, 0x5f)
#define VHDX_ITEM_PHYSICAL_SECTOR                                                                  \
    GUID_INIT(0xcda348c7, 0x445d, 0x4471, 0x9c, 0xc9, 0xe9, 0x88, 0x52, 0x51, 0xc5, 0x56)
#define VHDX_ITEM_DISK_ID                                                                          \
    GUID_INIT(0xbeca12ab, 0xb2e6, 0x4523, 0x93, 0xef, 0xc3, 0x09, 0xe0, 0x00, 0xc7, 0x46)
#define VHDX_ITEM_PARENT_LOCATOR                                                                   \
    GUID_INIT(0xa8d35f2d, 0xb30b, 0x454d, 0xab, 0xf7, 0xd3, 0xd8, 0x48, 0x34, 0xab, 0x0c)
#define VHDX_ITEM_INCOMPLETE_FILE                                                                  \
    GUID_INIT(0x71cc85f0, 0x1b69, 0x4e28, 0x95, 0x58, 0xc3, 0xbf, 0x83, 0xae, 0x75, 0xd3)
#define VHDX_PARENT_LOCATOR_TYPE                                                                   \
    GUID_INIT(0xb04aefb7, 0xd19e, 0x4a81, 0xb7, 0x89, 0x25, 0xb8, 0xe9, 0x44, 0x59, 0x13)

#endif
