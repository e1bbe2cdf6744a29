/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mapping as a device of the kernel's (device-mapper, target linear). Once it is active
 * nothing of ours runs: it survives suspend, and it is gone after a reboot. As long as it
 * exists the kernel lets nobody mount the device below.
 */
#ifndef VHDXGEN_MAP_ACTIVATE_H
#define VHDXGEN_MAP_ACTIVATE_H

#include "vhdxgen/map_source.h"

/*
 * Makes /dev/mapper/NAME of S, which was opened and built. The device is claimed for the
 * mapping first, and everything read from the disk again: if anything differs, nothing is
 * activated. S's descriptor is closed. Returns 0, or -errno with FAILURE filled; then there is
 * no mapping.
 */
int map_activate(struct map_source *s, const char *name, bool read_only, struct failure *failure);

/* Removes the mapping NAME, if it is one of ours and nobody uses it. 0, or -errno with FAILURE. */
int map_deactivate(const char *name, struct failure *failure);

#endif
