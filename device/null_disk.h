/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Private to device/: a disk that does nothing and says that it is done, for measuring FUSE itself
 * (bench/arms/null.sh), never for use. What is read is whatever was in memory.
 */
#ifndef DEVICE_NULL_DISK_H
#define DEVICE_NULL_DISK_H

#include "device/disk.h"

/* To be copied over the disk that it takes the place of; it looks at nothing else of that. */
extern const struct disk null_disk;

#endif
