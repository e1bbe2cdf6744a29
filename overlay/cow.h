/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -o cow=FILE: the overlay and the state that an export has in the place of the partition and
 * its state.
 *
 * The VHDX metadata that clients write belongs to the disk they see, so it is kept beside the
 * overlay, in a state store in the directory FILE.state, and the partition's own state is left
 * alone. A new overlay starts with a copy of that, so a VHDX log that waits to be replayed is
 * carried along.
 *
 * FILE is made last and removed first: a FILE.state without FILE means nothing, and is made
 * anew. So creation is all or nothing.
 */
#ifndef OVERLAY_COW_H
#define OVERLAY_COW_H

#include "device/claim.h"
#include "overlay/overlay.h"
#include "state/store.h"

/* What is to be done with an overlay, and how. Texts and structure must outlive their use. */
struct cow_settings {
    const char *file;   /* of the overlay */
    const char *source; /* of the partition: a path or tag, see source.h */
    const char *state;  /* the directory of the partition's own state */
    bool reset_state;
    bool no_discard;
    uint32_t block_size; /* of the VHDX, bytes; 0: choose */
};

/* FILE.state, in memory of the caller's to free; NULL when out of memory. */
char *cow_state_directory(const struct cow_settings *settings);

/*
 * What can be known at the start, without the claim: whether an overlay that is there fits the
 * partition, and whether the states can be used (--reset-state is done here). 0 or -errno.
 */
int cow_look(const struct cow_settings *settings, const struct facts *facts,
             const struct vhdx_layout *layout, struct failure *failure);

/*
 * Opens the overlay over CLAIM's disk, and its state; makes them if there are none. The
 * caller closes both, in any order, and then releases the claim.
 *
 * Returns 0; -EBUSY when another process has them; -ESTALE when they do not fit the partition,
 * or when an interrupted commit must be finished first; or another -errno.
 */
int cow_open(struct overlay **overlay, struct store **store, const struct cow_settings *settings,
             const struct vhdx_layout *layout, const struct claim *claim, struct failure *failure);

/*
 * Removes FILE.state, of which every file must be a state of the partition IDENTITY; otherwise it
 * is left as it is: -ENOTEMPTY. 0 also when there is none.
 */
int cow_remove_state(const char *directory, const char *identity, struct failure *failure);

#endif
