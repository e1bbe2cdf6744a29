/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The formats of "vhdxgen map". */
#ifndef VHDXGEN_MAP_PRINT_H
#define VHDXGEN_MAP_PRINT_H

#include "vhdxgen/map_source.h"

#define MAP_NAME_MAX 127 /* of a device-mapper device (DM_NAME_LEN with its end) */
#define MAP_UUID_MAX 128

struct map_output {
    const char *device; /* how the output shall call the device; NULL: choose */
    const char *name;   /* of the mapping, for "cmdline" */
    bool read_only;
};

enum map_format {
    MAP_DMSETUP, /* lines of a table for dmsetup create */
    MAP_LOSETUP, /* a command line, of one piece only */
    MAP_CMDLINE, /* dm-mod.create= for the kernel's command line */
    MAP_JSON,
};

/* Prints the disk of S on stdout. Returns 0, or -errno with FAILURE filled. */
int map_print(const struct map_source *s, enum map_format format, const struct map_output *output,
              struct failure *failure);

/*
 * The device-mapper UUID of the mapping: the disk's identity and its first place. The kernel
 * takes each only once, so a disk cannot be mapped twice at a time. Returns TEXT.
 */
const char *map_uuid(const struct map_source *s, char text[MAP_UUID_MAX]);

/* Whether NAME can be that of a mapping: 1 to 127 letters, digits and any of "_-+.:". */
bool map_name_valid(const char *name);

#endif
