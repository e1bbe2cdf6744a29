/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who holds a device: for messages, and for the kinds of use that O_EXCL does not see. */
#ifndef DEVICE_HOLDERS_H
#define DEVICE_HOLDERS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

/* Whether both describe the same block device, or the same file. */
bool same_object(const struct stat *a, const struct stat *b);

/* Whether another block device (device-mapper, md, bcache) is built on DEVICE. */
bool holders_stacked(dev_t device);

/*
 * Whether DEVICE is mounted: 1, with the first mount point in WHERE; 0; or -errno when that could
 * not be seen, which is no 0. WHERE is "" then.
 */
int holders_mounted(dev_t device, char *where, size_t size);

/*
 * Whether what is built on DEVICE, and there is something, are mappings of VHDX files that lie
 * on it: "vhdxgen map --activate" marks them with this prefix of their device-mapper UUID.
 * The kernel then lets nobody mount DEVICE.
 */
#define HOLDERS_MAPPED_UUID "VHDXGEN-"
bool holders_mapped(dev_t device);

/* As holders_mounted(); *WRITABLE tells, after 1, whether the file system may write to DEVICE. */
int holders_mounted_as(dev_t device, char *where, size_t size, bool *writable);

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
 * always gets a phrase to follow "it is ", even when nothing was found. Returns whether it was.
 */
bool holders_describe(dev_t device, char *text, size_t size);

#endif
