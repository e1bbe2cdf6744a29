/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * --commit and --discard: what becomes of an overlay (cow.h).
 *
 * A commit may be interrupted at any point and run again:
 *   1. The overlay's header says "committing", durably. From here on only --commit takes it.
 *   2. A mark in the partition's state directory says so too, so that an export without the
 *      overlay refuses to serve half of it. (A mount by hand cannot be kept from that.)
 *   3. The grains are written to the partition, the first one last, and flushed. Until then the
 *      partition has its old superblock: if somebody else has used it after an
 *      interruption, that shows, and the commit is refused.
 *   4. The VHDX metadata of the overlay becomes the partition's own, and is flushed.
 *   5. The mark and the overlay's state are removed, and last the overlay.
 * Each step leaves what the earlier ones need as it is, so running them again ends the same; and
 * when the overlay is gone, all is done. (Without its state, step 4 was done before.)
 */
#ifndef OVERLAY_COMMIT_H
#define OVERLAY_COMMIT_H

#include "device/probe.h"
#include "overlay/cow.h"

/* SETTINGS name the overlay and the source. 0 or -errno with FAILURE filled. */
int commit_overlay(const struct cow_settings *settings, struct failure *failure);
int commit_discard(const struct cow_settings *settings, struct failure *failure);

/* Refuses (-ESTALE) to serve a partition to which a commit has been begun and not finished. */
int commit_check(const struct cow_settings *settings, const struct facts *facts,
                 struct failure *failure);

#endif
