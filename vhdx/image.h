/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Everything that check.h learned about a file; sound or not, as far as it could be read. */
#ifndef VHDX_IMAGE_H
#define VHDX_IMAGE_H

#include "vhdx/decode.h"
#include "vhdx/log.h"

#include <stdbool.h>

enum vhdx_kind {
    VHDX_KIND_UNKNOWN,
    VHDX_KIND_FIXED,
    VHDX_KIND_DYNAMIC,
    VHDX_KIND_DIFFERENCING,
};

/* The state of one of two copies of a structure. */
enum vhdx_copy {
    VHDX_COPY_UNREAD,
    VHDX_COPY_VALID,
    VHDX_COPY_BAD_SIGNATURE,
    VHDX_COPY_BAD_CHECKSUM,
};

enum vhdx_log_state {
    VHDX_LOG_UNKNOWN, /* no valid header */
    VHDX_LOG_NONE,    /* LogLength is 0 */
    VHDX_LOG_CLEAN,   /* LogGuid is null */
    VHDX_LOG_DIRTY,   /* there is a sequence to replay */
    VHDX_LOG_CORRUPT, /* there should be one */
};

struct vhdx_region {
    struct guid guid;
    uint64_t offset; /* in the file */
    uint32_t length;
    uint32_t flags;
    bool usable; /* it lies inside the file, behind the header section */
};

struct vhdx_item {
    struct guid guid;
    uint32_t offset; /* in the metadata region */
    uint32_t length;
    uint32_t flags;
    bool usable; /* it lies inside the region, behind the table */
};

/* The items whose values are in vhdx_image.values; a set of 1u << these is in "known". */
enum vhdx_value {
    VHDX_VALUE_PARAMETERS,
    VHDX_VALUE_DISK_SIZE,
    VHDX_VALUE_LOGICAL,
    VHDX_VALUE_PHYSICAL,
    VHDX_VALUE_DISK_ID,
    VHDX_VALUE_COUNT,
};

struct vhdx_bat_stats {
    uint64_t blocks;      /* payload blocks of the disk */
    uint64_t chunk_ratio; /* payload blocks a sector bitmap covers */
    uint64_t entries;     /* of the table that mean something */
    uint64_t states[8];   /* payload blocks, by state */
    uint64_t bitmaps;     /* sector-bitmap blocks that are present */
    uint64_t first, end;  /* of the payload in the file: lowest offset, highest end; 0: none */
    bool in_order;        /* blocks in the file follow each other without gaps */
};

struct vhdx_parent_entry {
    char *key; /* UTF-8 */
    char *value;
};

struct vhdx_image {
    uint64_t file_size;
    bool signature; /* of the file */
    uint8_t creator[512];
    enum vhdx_copy header_states[2];
    struct vhdx_header headers[2]; /* of those that are valid */
    int current;                   /* index of the current header, -1: none is valid */
    enum vhdx_log_state log_state;
    struct vhdx_log log;
    enum vhdx_copy table_states[2];
    int table; /* index of the region table in use, -1: none is valid */
    struct vhdx_region *regions;
    size_t region_count;
    const struct vhdx_region *bat, *metadata; /* in regions; NULL: not there */
    struct vhdx_item *items;
    size_t item_count;
    unsigned known;
    struct vhdx_disk_values values;
    enum vhdx_kind kind;
    struct vhdx_parent_entry *parent;
    size_t parent_count;
    bool bat_read;
    struct vhdx_bat_stats stats;
};

void vhdx_image_free(struct vhdx_image *image);

/* Short names of GUIDs, "BAT" or "VirtualDiskSize"; NULL for unknown ones. */
const char *vhdx_region_name(const struct guid *guid);
const char *vhdx_item_name(const struct guid *guid);

/* "unknown", "fixed", "dynamic", "differencing". */
const char *vhdx_kind_name(enum vhdx_kind kind);
/* "unread", "valid", "bad signature", "bad checksum". */
const char *vhdx_copy_name(enum vhdx_copy state);
/* "unknown", "none", "clean", "dirty", "corrupt". */
const char *vhdx_log_state_name(enum vhdx_log_state state);
/* Of a payload block, 0 to 7: "not-present", ..., "reserved-4". */
const char *vhdx_block_state_name(unsigned state);

#endif
