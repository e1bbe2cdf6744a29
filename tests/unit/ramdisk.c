/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/ramdisk.h"

#include "common/units.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

static struct ramdisk *of_disk(struct disk *disk, uint64_t offset, uint64_t length)
{
    struct ramdisk *r = (struct ramdisk *)disk;

    assert_true(range_inside(offset, length, r->size));
    return r;
}

static int ram_read(struct disk *disk, void *data, size_t length, uint64_t offset)
{
    struct ramdisk *r = of_disk(disk, offset, length);

    r->reads++;
    memcpy(data, r->data + offset, length);
    return r->read_error;
}

static int ram_write(struct disk *disk, const void *data, size_t length, uint64_t offset)
{
    struct ramdisk *r = of_disk(disk, offset, length);

    r->writes++;
    if (!r->write_error)
        memcpy(r->data + offset, data, length);
    return r->write_error;
}

static int ram_zero(struct disk *disk, uint64_t offset, uint64_t length, bool discard)
{
    struct ramdisk *r = of_disk(disk, offset, length);

    r->zeros++;
    r->discards += discard;
    if (!r->zero_error)
        memset(r->data + offset, 0, length);
    return r->zero_error;
}

static int ram_flush(struct disk *disk)
{
    struct ramdisk *r = of_disk(disk, 0, 0);

    r->flushes++;
    if (r->on_flush)
        r->on_flush(r->arg);
    return r->flush_error;
}

static int ram_begin(struct disk *disk, bool write, const void *data, size_t length,
                     uint64_t offset)
{
    (void)write, (void)data;
    of_disk(disk, offset, length)->begun++;
    return RAMDISK_FD;
}

static void ram_end(struct disk *disk, bool write)
{
    (void)write;
    of_disk(disk, 0, 0)->begun--;
}

static const struct disk_operations operations = {
    .read = ram_read,
    .write = ram_write,
    .zero = ram_zero,
    .flush = ram_flush,
    .begin = ram_begin,
    .end = ram_end,
};

void ramdisk_init(struct ramdisk *disk, uint64_t size)
{
    *disk = (struct ramdisk){.disk = {&operations}, .size = size, .data = calloc(1, size)};
    assert_non_null(disk->data);
}

void ramdisk_free(struct ramdisk *disk)
{
    free(disk->data);
}
