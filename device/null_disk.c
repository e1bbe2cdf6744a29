/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "device/null_disk.h"

static int null_read(struct disk *disk, void *data, size_t length, uint64_t offset)
{
    (void)disk, (void)data, (void)length, (void)offset;
    return 0;
}

static int null_write(struct disk *disk, const void *data, size_t length, uint64_t offset)
{
    (void)disk, (void)data, (void)length, (void)offset;
    return 0;
}

static int null_zero(struct disk *disk, uint64_t offset, uint64_t length, bool discard)
{
    (void)disk, (void)offset, (void)length, (void)discard;
    return 0;
}

static int null_flush(struct disk *disk)
{
    (void)disk;
    return 0;
}

static const struct disk_operations null_operations = {
    .read = null_read,
    .write = null_write,
    .zero = null_zero,
    .flush = null_flush,
};

const struct disk null_disk = {&null_operations};
