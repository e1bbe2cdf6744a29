/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who holds a device: for messages, and for the kinds of use that O_EXCL does not see. */
#ifndef FUSE_HOLDERS_H
#define FUSE_HOLDERS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

/* Whether another block device (device-mapper, md, bcache) is built on DEVICE. */
bool holders_stacked(dev_t device);

/* Whether DEVICE is mounted; the first mount point in WHERE, "" if not. */
bool holders_mounted(dev_t device, char *where, size_t size);

/*
 * Whether a loop device stands on the object ST describes: a regular file, or a block device.
 * O_EXCL on the object does not conflict with that. WHICH gets the loop device's path.
 */
bool holders_looped(const struct stat *st, char *which, size_t size);

/*
 * Whether another vhdxfs has the object ST describes open at this moment: it serves it to a
 * client, or holds it for its whole mount. Its process id in *PID. Needs root to see others'.
 */
bool holders_served(const struct stat *st, int *pid);

/*
 * Describes who uses the block device DEVICE: mount point, swap, the devices stacked on it,
 * the partitions on it that are in use, or the processes that have it open. TEXT
 * always gets a phrase to follow "it is ", even when nothing was found.
 */
void holders_describe(dev_t device, char *text, size_t size);

#endif
