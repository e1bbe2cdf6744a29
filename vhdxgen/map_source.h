/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For "vhdxgen map": a VHDX file, the device it lies on, and the disk in it as ranges of that. */
#ifndef VHDXGEN_MAP_SOURCE_H
#define VHDXGEN_MAP_SOURCE_H

#include "common/extent.h"
#include "common/failure.h"
#include "common/guid.h"
#include "vhdx/io.h"

#include <stdbool.h>
#include <sys/types.h>

#define MAP_SECTOR   512 /* of device-mapper's tables, whatever the device has */
#define MAP_NAME_MAX 127 /* of a device-mapper device (DM_NAME_LEN with its end) */
#define MAP_UUID_MAX 128

struct map_source {
    char *spec;   /* as the user wrote it, for messages */
    char *inside; /* DEVICE:PATH: the path on the NTFS volume; NULL for FILE */
    char *device; /* path of the block device, or of an image file of one */
    int fd;       /* of the device, or of FILE */
    bool is_block;
    bool exclusive;  /* nobody can mount the device as long as FD is open */
    char shared[64]; /* if not: why that is no harm, or "" */
    dev_t rdev;      /* of the block device */
    bool write_protected;
    uint64_t device_size; /* bytes */
    uint32_t sector_size; /* bytes, of the device */

    /* What map_build() finds. */
    struct extent_map file; /* DEVICE and ZERO */
    uint64_t file_size;     /* bytes */
    uint64_t run_count;     /* of the file */
    struct guid disk_id;
    uint32_t block_size;     /* bytes */
    uint32_t logical_sector; /* bytes, of the disk */
    struct extent_map disk;  /* DEVICE only */
};

/*
 * Opens SPEC for reading: DEVICE:PATH, DEVICE a block device, an image file or a tag that
 * source_resolve() knows; or FILE on a mounted file system. A DEVICE is opened exclusively
 * where that is possible, and refused where somebody may write to its file system.
 * Returns 0, or -errno with FAILURE filled; close it in both cases.
 */
int map_open(struct map_source *s, const char *spec, struct failure *failure);

/*
 * Opens the device of S again, for a look that does not keep others from claiming it. Also
 * to be closed in both cases.
 */
int map_open_again(struct map_source *again, const struct map_source *s, struct failure *failure);

/* Whether both are the same disk at the same places. */
bool map_same(const struct map_source *a, const struct map_source *b);

/*
 * The device-mapper UUID of the mapping: the disk's identity and its first place. The kernel
 * takes each only once, so a disk cannot be mapped twice at a time. Returns TEXT.
 */
const char *map_uuid(const struct map_source *s, char text[MAP_UUID_MAX]);

/* Whether NAME can be that of a mapping: 1 to 127 letters, digits and any of "_-+.:". */
bool map_name_valid(const char *name);

void map_close(struct map_source *s);

/*
 * The steps of map_build(), each in a file of its own. map_read_ntfs() fills "file" from the
 * run list on the NTFS volume, map_read_vhdx() the disk from "file"; IO reads the VHDX.
 */
int map_read_ntfs(struct map_source *s, struct failure *failure);
int map_read_vhdx(struct map_source *s, const struct vhdx_io *io, struct failure *failure);

#endif
