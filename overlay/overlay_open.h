/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Private to overlay/: the overlay file in its directory: made, found, locked, bound to its
 * partition, removed.
 *
 * Binding. The header names the partition (identity), its size and sector size, and holds a
 * copy of its mark (overlay_file.h) from when the overlay was made. An overlay is good only over
 * the very bytes it was made over: if somebody has used the partition since, the grains in
 * the overlay and those around them are of two different histories. So at every opening the mark
 * must be what it was. A change that leaves the superblock alone (dd) is not noticed.
 */
#ifndef OVERLAY_OVERLAY_OPEN_H
#define OVERLAY_OVERLAY_OPEN_H

#include "common/failure.h"
#include "device/probe.h"
#include "overlay/overlay_file.h"

/*
 * Opens the overlay file PATH for reading and writing, and locks it until the descriptor is
 * closed. It must be a regular file of the caller's own that nobody else can write; links are
 * not followed.
 *
 * Returns a descriptor and *HEADER; -ENOENT when there is none; -EBUSY when another process
 * has it; -EPERM when it is not ours; -EUCLEAN when it is damaged or something else; or another
 * -errno. FAILURE says which file, why, and the cure.
 */
int overlay_open(const char *path, struct overlay_header *header, struct failure *failure);

/* Makes a new one, without any grain, as a whole or not at all, and opens it; same results, and
 * -EEXIST when there is one. */
int overlay_create(const char *path, const struct overlay_header *header, struct failure *failure);

/*
 * The header of a new overlay over the partition that FACTS are about. The mark is read from
 * FD, which may be open for direct I/O.
 */
int overlay_describe(const struct facts *facts, int fd, struct overlay_header *header,
                     struct failure *failure);

/*
 * Whether an overlay with the header FOUND may lie over the partition that NOW describes:
 * 0, or -ESTALE.
 */
int overlay_check(const char *path, const struct overlay_header *found,
                  const struct overlay_header *now, struct failure *failure);

/* Writes the state in HEADER to the file, durably. 0 or -errno. */
int overlay_write_header(int fd, const struct overlay_header *header);

/* Removes the file, durably. 0, also when there is none, or -errno. */
int overlay_remove(const char *path);

#endif
