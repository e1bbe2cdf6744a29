/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Of "vhdxgen map": runs the steps that find out where the disk in an open source lies. */
#ifndef VHDXGEN_MAP_BUILD_H
#define VHDXGEN_MAP_BUILD_H

#include "vhdxgen/map_source.h"

/*
 * Reads the volume's state, the file's run list and the VHDX, afresh from the disk, judges
 * them, and fills S. Returns 0, or -errno with FAILURE filled.
 */
int map_build(struct map_source *s, struct failure *failure);

#endif
