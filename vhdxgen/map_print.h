/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The formats of "vhdxgen map". */
#ifndef VHDXGEN_MAP_PRINT_H
#define VHDXGEN_MAP_PRINT_H

#include "vhdxgen/map_source.h"

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

#endif
