/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A disk in memory which can be told to fail, and knows what was asked of it. */
#ifndef TESTS_RAMDISK_H
#define TESTS_RAMDISK_H

#include "device/disk.h"

#define RAMDISK_FD 12345

struct ramdisk {
    struct disk disk;
    uint8_t *data;
    uint64_t size;
    unsigned reads, writes, zeros, discards, flushes;
    unsigned begun; /* by begin(), which gives out RAMDISK_FD, a descriptor of nothing */
    int read_error, write_error, zero_error, flush_error; /* -errno, or 0 */
    void (*on_flush)(void *);
    void *arg;
};

void ramdisk_init(struct ramdisk *disk, uint64_t size);
void ramdisk_free(struct ramdisk *disk);

#endif
