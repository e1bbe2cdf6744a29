/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What shows whether anybody has written to the partition since we gave it back.
 *
 * A client may come back to a file that it had open before: with SMB's durable handles a virtual
 * machine goes on where it was when the network failed. If Linux has mounted the partition in
 * between, that machine's cache is wrong and it would destroy the file system. So the file's
 * times must show it, and for that we must know.
 *
 * A block device: the sectors that the kernel counts as written and discarded since it started. An
 * image file: its times. Both: the head of the disk, where ext2 to ext4, btrfs, xfs and NTFS keep
 * superblocks, so that also a host that shares the disk is noticed when it mounted an ext4.
 */
#ifndef DEVICE_FOOTPRINT_H
#define DEVICE_FOOTPRINT_H

#include "device/backing.h"

#include <time.h>

struct footprint {
    bool known;                  /* false: something could not be read; equal to no other */
    uint64_t written, discarded; /* sectors */
    struct timespec changed;
    uint32_t head; /* CRC-32C of the first 128 KiB */
};

/* Takes the footprint of what is open in BACKING. Nobody else may write to it meanwhile. */
struct footprint footprint_of(struct backing *backing);

/* Whether nobody has written between the two, as far as can be seen. */
bool footprint_equal(const struct footprint *a, const struct footprint *b);

#endif
