/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "device/backing.h"

#include "common/cleanup.h"
#include "common/io.h"
#include "common/rwlock.h"
#include "common/units.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The most that one read-modify-write or one write of zeros takes at a time. */
#define BOUNCE_SIZE (1024 * 1024)

/*
 * Two buffers a thread: one for the caller (backing_thread_buffer), one for bouncing.
 * They grow to what was needed and live as long as the thread.
 */
enum {
    BUFFER_CALLER,
    BUFFER_BOUNCE,
    BUFFERS
};
struct thread_buffers {
    void *data[BUFFERS];
    size_t size[BUFFERS];
};
static pthread_key_t buffers_key;
static pthread_once_t buffers_once = PTHREAD_ONCE_INIT;

static void free_buffers(void *p)
{
    struct thread_buffers *buffers = p;

    for (int i = 0; i < BUFFERS; i++)
        free(buffers->data[i]);
    free(buffers);
}

static void make_buffers_key(void)
{
    if (pthread_key_create(&buffers_key, free_buffers) != 0)
        abort();
}

static void *thread_buffer(int which, size_t size)
{
    struct thread_buffers *buffers;

    pthread_once(&buffers_once, make_buffers_key);
    buffers = pthread_getspecific(buffers_key);
    if (!buffers) {
        buffers = calloc(1, sizeof(*buffers));
        if (!buffers || pthread_setspecific(buffers_key, buffers) != 0) {
            free(buffers);
            return NULL;
        }
    }
    if (buffers->size[which] < size) {
        void *larger;

        if (posix_memalign(&larger, BACKING_MEMORY_ALIGN, round_up(size, BACKING_MEMORY_ALIGN)))
            return NULL;
        free(buffers->data[which]);
        buffers->data[which] = larger;
        buffers->size[which] = size;
    }
    return buffers->data[which];
}

void *backing_thread_buffer(size_t size)
{
    return thread_buffer(BUFFER_CALLER, size);
}

/* The disk is the first member. */
static struct backing *of_disk(struct disk *disk)
{
    return (struct backing *)disk;
}

/* Whether the kernel takes this as direct I/O without our help. */
static bool is_aligned(const struct backing *b, const void *data, size_t length, uint64_t offset)
{
    return b->align == 1 ||
           ((uintptr_t)data % BACKING_MEMORY_ALIGN == 0 && (offset | length) % b->align == 0);
}

/* The backing file was longer when it was claimed: to a client that is a broken disk. */
static int read_units(const struct backing *b, void *data, size_t length, uint64_t offset)
{
    int err = pread_full(b->fd, data, length, offset);

    return err == -ENODATA ? -EIO : err;
}

static int backing_read(struct disk *disk, void *data, size_t length, uint64_t offset)
{
    struct backing *b = of_disk(disk);
    uint8_t *out = data;

    if (is_aligned(b, data, length, offset))
        return read_units(b, data, length, offset);
    while (length > 0) {
        uint64_t start = round_down(offset, b->align);
        size_t skip = (size_t)(offset - start), n = (size_t)min_u64(length, BOUNCE_SIZE - skip);
        void *bounce = thread_buffer(BUFFER_BOUNCE, BOUNCE_SIZE);
        int err;

        if (!bounce)
            return -ENOMEM;
        err = read_units(b, bounce, (size_t)round_up(skip + n, b->align), start);
        if (err)
            return err;
        memcpy(out, (uint8_t *)bounce + skip, n);
        out += n;
        offset += n;
        length -= n;
    }
    return 0;
}

/*
 * Writes LENGTH bytes, at most BOUNCE_SIZE less one unit, through the bounce buffer: zeros
 * if DATA is NULL. Where an edge is not aligned, the unit it lies in is read first,
 * and nobody else may write meanwhile.
 */
static int write_bounced(struct backing *b, const void *data, size_t length, uint64_t offset)
{
    uint64_t start = round_down(offset, b->align);
    size_t skip = (size_t)(offset - start);
    size_t span = (size_t)round_up(skip + length, b->align);
    uint8_t *bounce = thread_buffer(BUFFER_BOUNCE, BOUNCE_SIZE);
    int err = 0;

    if (!bounce)
        return -ENOMEM;
    RWLOCK_SCOPE(&b->edges, skip || span != length);
    if (skip)
        err = read_units(b, bounce, b->align, start);
    if (!err && span > skip + length && (span > b->align || !skip))
        err = read_units(b, bounce + span - b->align, b->align, start + span - b->align);
    if (err)
        return err;
    if (data)
        memcpy(bounce + skip, data, length);
    else
        memset(bounce + skip, 0, length);
    return pwrite_full(b->fd, bounce, span, start);
}

static int backing_write(struct disk *disk, const void *data, size_t length, uint64_t offset)
{
    struct backing *b = of_disk(disk);
    const uint8_t *in = data;

    if (is_aligned(b, data, length, offset)) {
        READ_SCOPE(&b->edges);
        return pwrite_full(b->fd, data, length, offset);
    }
    while (length > 0) {
        size_t room = BOUNCE_SIZE - (size_t)(offset % b->align);
        size_t n = (size_t)min_u64(length, room);
        int err = write_bounced(b, in, n, offset);

        if (err)
            return err;
        in += n;
        offset += n;
        length -= n;
    }
    return 0;
}

static int write_zeros(struct backing *b, uint64_t offset, uint64_t length)
{
    while (length > 0) {
        size_t n = (size_t)min_u64(length, BOUNCE_SIZE - offset % b->align);
        int err = write_bounced(b, NULL, n, offset);

        if (err)
            return err;
        offset += n;
        length -= n;
    }
    return 0;
}

static bool unsupported(int err)
{
    return err == -EOPNOTSUPP || err == -ENOSYS || err == -EINVAL;
}

/* One fallocate(2), remembered in *NEVER when the device cannot do it. */
static int try_fallocate(struct backing *b, int mode, atomic_bool *never, uint64_t offset,
                         uint64_t length)
{
    int err;

    if (atomic_load(never))
        return -EOPNOTSUPP;
    READ_SCOPE(&b->edges);
    do
        err = fallocate(b->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)length) < 0
                  ? -errno
                  : 0;
    while (err == -EINTR);
    if (!unsupported(err))
        return err;
    atomic_store(never, true);
    return -EOPNOTSUPP;
}

/*
 * Zeros whole units of the device. For block devices Linux maps PUNCH_HOLE to an unmapping
 * write-zeroes that fails where it could not promise zeros, and ZERO_RANGE to a write-zeroes
 * that falls back to writing them; a plain discard promises nothing, so it is never used.
 */
static int zero_aligned(struct backing *b, uint64_t offset, uint64_t length, bool discard)
{
    int err = -EOPNOTSUPP;

    if (discard && !b->no_discard)
        err = try_fallocate(b, FALLOC_FL_PUNCH_HOLE, &b->no_punch, offset, length);
    if (err == -EOPNOTSUPP)
        err = try_fallocate(b, FALLOC_FL_ZERO_RANGE, &b->no_zero_range, offset, length);
    if (err == -EOPNOTSUPP)
        err = write_zeros(b, offset, length);
    return err;
}

static int backing_zero(struct disk *disk, uint64_t offset, uint64_t length, bool discard)
{
    struct backing *b = of_disk(disk);
    /* 4096 also where direct I/O takes less: a physical sector is not torn for nothing. */
    uint64_t unit = BACKING_MEMORY_ALIGN;
    uint64_t end = offset + length, first = round_up(offset, unit), last = round_down(end, unit);
    int err;

    if (first >= last)
        return write_zeros(b, offset, length);
    err = write_zeros(b, offset, first - offset);
    if (!err)
        err = zero_aligned(b, first, last - first, discard);
    if (!err)
        err = write_zeros(b, last, end - last);
    return err;
}

static int backing_flush(struct disk *disk)
{
    struct backing *b = of_disk(disk);
    int err = atomic_load(&b->lost);

    if (!err && fdatasync(b->fd) < 0)
        err = -errno;
    /*
     * The kernel forgets pages it could not write, and a disk what was in its cache, and both
     * say so once: a later flush that succeeds would lie about what was written before.
     */
    if (err)
        atomic_store(&b->lost, err);
    return err;
}

/*
 * Buffered files are not offered: what the page cache does not have would be read in a thread of
 * the kernel's for each request.
 */
static int backing_begin(struct disk *disk, bool write, const void *data, size_t length,
                         uint64_t offset)
{
    struct backing *b = of_disk(disk);

    if (b->align == 1 || !is_aligned(b, data, length, offset))
        return -1;
    return write && pthread_rwlock_tryrdlock(&b->edges) != 0 ? -1 : b->fd;
}

static void backing_end(struct disk *disk, bool write)
{
    if (write)
        pthread_rwlock_unlock(&of_disk(disk)->edges);
}

static const struct disk_operations backing_operations = {
    .read = backing_read,
    .write = backing_write,
    .zero = backing_zero,
    .flush = backing_flush,
    .begin = backing_begin,
    .end = backing_end,
};

int backing_init(struct backing *b, int fd, bool is_block, bool direct, uint32_t align,
                 uint64_t size)
{
    *b = (struct backing){.disk = {&backing_operations},
                          .fd = fd,
                          .is_block = is_block,
                          .align = direct ? align : 1,
                          .size = size};
    return rwlock_init(&b->edges);
}

void backing_close(struct backing *b)
{
    pthread_rwlock_wrlock(&b->edges);
    pthread_rwlock_unlock(&b->edges);
    close_fd(&b->fd);
    pthread_rwlock_destroy(&b->edges);
}
