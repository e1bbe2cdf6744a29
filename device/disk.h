/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk as the data path sees it: an array of bytes. The partition is one (backing.h);
 * an overlay over a partition is another.
 *
 * Offsets and lengths are in bytes, inside the disk, at any alignment. All functions may be
 * called from any thread, in parallel, and return 0 or -errno.
 */
#ifndef DEVICE_DISK_H
#define DEVICE_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct disk;

struct disk_operations {
    int (*read)(struct disk *disk, void *data, size_t length, uint64_t offset);
    int (*write)(struct disk *disk, const void *data, size_t length, uint64_t offset);
    /*
     * Makes the range read as zeros, exactly. With DISCARD the space may be given back
     * to what the disk lies on; without, it stays allocated.
     */
    int (*zero)(struct disk *disk, uint64_t offset, uint64_t length, bool discard);
    /* All that was written before is on stable storage when this returns 0. */
    int (*flush)(struct disk *disk);
    /*
     * Optional. Lets the caller read or write by himself: returns a descriptor which takes just
     * this request, unchanged and as direct I/O, or -1. When it is done, whatever came of it, the
     * same thread calls end().
     *
     * Never waits. A thread that has begun writes and not ended them must not call write() or
     * zero(), which may wait for all writes that were begun to end.
     */
    int (*begin)(struct disk *disk, bool write, const void *data, size_t length, uint64_t offset);
    void (*end)(struct disk *disk, bool write);
};

/* Embedded in what implements it. */
struct disk {
    const struct disk_operations *operations;
};

static inline int disk_read(struct disk *disk, void *data, size_t length, uint64_t offset)
{
    return disk->operations->read(disk, data, length, offset);
}

static inline int disk_write(struct disk *disk, const void *data, size_t length, uint64_t offset)
{
    return disk->operations->write(disk, data, length, offset);
}

static inline int disk_zero(struct disk *disk, uint64_t offset, uint64_t length, bool discard)
{
    return disk->operations->zero(disk, offset, length, discard);
}

static inline int disk_begin(struct disk *disk, bool write, const void *data, size_t length,
                             uint64_t offset)
{
    if (!disk->operations->begin)
        return -1;
    return disk->operations->begin(disk, write, data, length, offset);
}

static inline void disk_end(struct disk *disk, bool write)
{
    disk->operations->end(disk, write);
}

static inline int disk_flush(struct disk *disk)
{
    return disk->operations->flush(disk);
}

#endif
