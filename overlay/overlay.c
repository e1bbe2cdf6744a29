/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Locks. Reads, and writes to grains that are in the file, take none: bits are only ever
 * set, and a set bit is seen after the grain's content. A grain is brought into the file under
 * its stripe's mutex and, for reading, under the lock 'zeroing', which zeroing a range of whole
 * grains takes for writing. Changes of the bitmap and the flush's copy of it are made under
 * 'bits': whoever has seen a bit set and then flushes finds its page marked as changed.
 * Order: flushing; zeroing, stripe; bits.
 */
#include "overlay/overlay.h"

#include "common/cleanup.h"
#include "common/io.h"
#include "device/backing.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdatomic.h>
#include <string.h>

#define STRIPES         64
#define GRAINS_PER_PAGE (OVERLAY_BITMAP_PAGE * UINT64_C(8))
#define COPY_SIZE       (16 * OVERLAY_GRAIN)

enum page_flags {
    PAGE_CHANGED = 1,   /* 'present' says more than 'stable' */
    PAGE_UNWRITTEN = 2, /* 'stable' may say more than the file */
};

struct overlay {
    struct disk disk;
    struct disk *base;
    int fd;
    uint64_t size;            /* of the disk, bytes */
    uint64_t grains;          /* it has */
    uint64_t data_at;         /* where it begins in the file */
    uint64_t pages;           /* of the bitmap */
    atomic_int lost;          /* the error of a failed fdatasync, which cannot be undone */
    _Atomic uint8_t *present; /* the bitmap as it is; memory untouched where it is empty */
    uint8_t *stable;          /* the copy that a flush writes; under flushing */
    uint8_t *flags;           /* of each page; PAGE_CHANGED under bits */
    atomic_uint_fast64_t count;
    pthread_mutex_t flushing;
    pthread_mutex_t bits;
    pthread_rwlock_t zeroing;
    pthread_mutex_t stripes[STRIPES];
};

/* The disk is the first member. */
static struct overlay *of_disk(struct disk *disk)
{
    return (struct overlay *)disk;
}

static bool is_present(const struct overlay *o, uint64_t grain)
{
    return atomic_load_explicit(&o->present[grain / 8], memory_order_acquire) >> grain % 8 & 1;
}

/* Where the run of grains that are like the one at OFFSET ends; at END at the latest. */
static uint64_t run_end(const struct overlay *o, uint64_t offset, uint64_t end, bool *present)
{
    uint64_t grain = offset / OVERLAY_GRAIN;

    *present = is_present(o, grain);
    do
        grain++;
    while (grain * OVERLAY_GRAIN < end && is_present(o, grain) == *present);
    return min_u64(grain * OVERLAY_GRAIN, end);
}

static int overlay_read(struct disk *disk, void *data, size_t length, uint64_t offset)
{
    struct overlay *o = of_disk(disk);
    uint64_t end = offset + length;
    uint8_t *out = data;
    int err = 0;

    while (!err && offset < end) {
        bool present;
        size_t n = (size_t)(run_end(o, offset, end, &present) - offset);

        err = present ? pread_full(o->fd, out, n, o->data_at + offset)
                      : disk_read(o->base, out, n, offset);
        out += n;
        offset += n;
    }
    return err == -ENODATA ? -EIO : err; /* somebody has cut the file */
}

/* The grains [FIRST, END) are in the file as a whole: says so. */
static void set_present(struct overlay *o, uint64_t first, uint64_t end)
{
    LOCK_SCOPE(&o->bits);

    for (uint64_t g = first; g < end;) {
        uint64_t n = min_u64(8 - g % 8, end - g);
        uint8_t mask = (uint8_t)(((1U << n) - 1) << g % 8);
        uint8_t before = atomic_fetch_or(&o->present[g / 8], mask);

        atomic_fetch_add(&o->count, (unsigned)__builtin_popcount((unsigned)(mask & ~before)));
        if (mask & ~before)
            o->flags[g / GRAINS_PER_PAGE] |= PAGE_CHANGED;
        g += n;
    }
}

/* Bytes of the disk in GRAIN: the last one may be short. */
static size_t grain_size(const struct overlay *o, uint64_t grain)
{
    return (size_t)min_u64(OVERLAY_GRAIN, o->size - grain * OVERLAY_GRAIN);
}

/* Writes a grain that is not in the file: DATA in its place, around it what the base holds. */
static int bring_grain(struct overlay *o, uint64_t grain, const uint8_t *data, size_t length,
                       uint64_t offset)
{
    uint64_t start = grain * OVERLAY_GRAIN;
    size_t size = grain_size(o, grain);
    cleanup_free uint8_t *whole = NULL;
    int err = 0;

    if (length < size) {
        whole = aligned_alloc(BACKING_MEMORY_ALIGN, OVERLAY_GRAIN);
        if (!whole)
            return -ENOMEM;
        err = disk_read(o->base, whole, size, start);
        memcpy(whole + (offset - start), data, length);
    }
    if (!err)
        err = pwrite_full(o->fd, whole ? whole : data, size, o->data_at + start);
    if (!err)
        set_present(o, grain, grain + 1);
    return err;
}

/* A write inside one grain that was not in the file when it was looked at. */
static int write_new(struct overlay *o, const uint8_t *data, size_t length, uint64_t offset)
{
    uint64_t grain = offset / OVERLAY_GRAIN;
    pthread_mutex_t *stripe = &o->stripes[grain % STRIPES];
    int err;

    pthread_rwlock_rdlock(&o->zeroing);
    pthread_mutex_lock(stripe);
    err = is_present(o, grain) ? pwrite_full(o->fd, data, length, o->data_at + offset)
                               : bring_grain(o, grain, data, length, offset);
    pthread_mutex_unlock(stripe);
    pthread_rwlock_unlock(&o->zeroing);
    return err;
}

static int overlay_write(struct disk *disk, const void *data, size_t length, uint64_t offset)
{
    struct overlay *o = of_disk(disk);
    uint64_t end = offset + length;
    const uint8_t *in = data;
    int err = 0;

    while (!err && offset < end) {
        bool present;
        size_t n = (size_t)(run_end(o, offset, end, &present) - offset);

        if (present) {
            err = pwrite_full(o->fd, in, n, o->data_at + offset);
        } else {
            n = (size_t)min_u64(n, OVERLAY_GRAIN - offset % OVERLAY_GRAIN);
            err = write_new(o, in, n, offset);
        }
        in += n;
        offset += n;
    }
    return err;
}

/* Zeros in the file, as a hole where its file system can. */
static int punch(struct overlay *o, uint64_t offset, uint64_t length)
{
    static const uint8_t zeros[OVERLAY_GRAIN];
    int err = 0;

    if (fallocate(o->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(o->data_at + offset),
                  (off_t)length) == 0)
        return 0;
    if (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINTR)
        return -errno;
    for (uint64_t n; !err && length > 0; offset += n, length -= n) {
        n = min_u64(length, sizeof(zeros));
        err = pwrite_full(o->fd, zeros, (size_t)n, o->data_at + offset);
    }
    return err;
}

/* Zeros the grains [FIRST, END), whether they are in the file or not. */
static int zero_grains(struct overlay *o, uint64_t first, uint64_t end)
{
    uint64_t from = first * OVERLAY_GRAIN, to = min_u64(end * OVERLAY_GRAIN, o->size);
    int err;

    pthread_rwlock_wrlock(&o->zeroing);
    err = punch(o, from, to - from);
    if (!err)
        set_present(o, first, end);
    pthread_rwlock_unlock(&o->zeroing);
    return err;
}

/* The space is the file's own, so holes are as good where DISCARD was not asked for. */
static int overlay_zero(struct disk *disk, uint64_t offset, uint64_t length, bool discard)
{
    static const uint8_t zeros[OVERLAY_GRAIN];
    struct overlay *o = of_disk(disk);
    uint64_t end = offset + length, first = round_up(offset, OVERLAY_GRAIN) / OVERLAY_GRAIN;
    uint64_t last = end == o->size ? o->grains : end / OVERLAY_GRAIN;
    int err;

    (void)discard;
    if (first >= last) { /* no whole grain; at most two parts */
        for (size_t n; length > 0; offset += n, length -= n) {
            n = (size_t)min_u64(length, sizeof(zeros));
            err = overlay_write(disk, zeros, n, offset);
            if (err)
                return err;
        }
        return 0;
    }
    err = overlay_write(disk, zeros, (size_t)(first * OVERLAY_GRAIN - offset), offset);
    if (!err)
        err = zero_grains(o, first, last);
    if (!err && last * OVERLAY_GRAIN < end)
        err =
            overlay_write(disk, zeros, (size_t)(end - last * OVERLAY_GRAIN), last * OVERLAY_GRAIN);
    return err;
}

static int sync_file(struct overlay *o)
{
    if (fdatasync(o->fd) == 0)
        return 0;
    atomic_store(&o->lost, -errno);
    return atomic_load(&o->lost);
}

/* Copies the changed bitmap pages to 'stable'. Returns whether there is any to be written. */
static bool take_copy(struct overlay *o)
{
    bool any = false;
    LOCK_SCOPE(&o->bits);

    for (uint64_t p = 0; p < o->pages; p++) {
        uint64_t at = p * OVERLAY_BITMAP_PAGE;

        if (o->flags[p] & PAGE_CHANGED) {
            for (uint64_t i = 0; i < OVERLAY_BITMAP_PAGE; i++)
                o->stable[at + i] = atomic_load_explicit(&o->present[at + i], memory_order_relaxed);
            o->flags[p] = PAGE_UNWRITTEN;
        }
        any |= o->flags[p] != 0;
    }
    return any;
}

static int write_copies(struct overlay *o)
{
    int err = 0;

    for (uint64_t p = 0; !err && p < o->pages; p++) {
        uint64_t at = p * OVERLAY_BITMAP_PAGE;
        bool unwritten;

        pthread_mutex_lock(&o->bits);
        unwritten = o->flags[p] & PAGE_UNWRITTEN;
        pthread_mutex_unlock(&o->bits);
        if (unwritten)
            err = pwrite_full(o->fd, o->stable + at, OVERLAY_BITMAP_PAGE, OVERLAY_BITMAP_AT + at);
    }
    return err;
}

static void forget_copies(struct overlay *o)
{
    LOCK_SCOPE(&o->bits);

    for (uint64_t p = 0; p < o->pages; p++)
        o->flags[p] &= (uint8_t)~PAGE_UNWRITTEN;
}

static int overlay_flush(struct disk *disk)
{
    struct overlay *o = of_disk(disk);
    bool any;
    int err;
    LOCK_SCOPE(&o->flushing);

    err = atomic_load(&o->lost);
    if (err)
        return err;
    any = take_copy(o);
    err = sync_file(o);
    if (err || !any)
        return err;
    err = write_copies(o);
    if (!err)
        err = sync_file(o);
    if (!err)
        forget_copies(o);
    return err;
}

static const struct disk_operations overlay_operations = {
    .read = overlay_read,
    .write = overlay_write,
    .zero = overlay_zero,
    .flush = overlay_flush,
};

struct disk *overlay_disk(struct overlay *o)
{
    return &o->disk;
}

uint64_t overlay_present(const struct overlay *o)
{
    return atomic_load(&o->count);
}

bool overlay_holds(const struct overlay *o, uint64_t offset)
{
    return is_present(o, offset / OVERLAY_GRAIN);
}

/* Takes over one page of the bitmap. Bits behind the last grain are nobody's. */
static void load_page(struct overlay *o, uint64_t page, const uint8_t *content)
{
    uint64_t first = page * GRAINS_PER_PAGE, valid = min_u64(o->grains - first, GRAINS_PER_PAGE);

    for (uint64_t i = 0; i * 8 < valid; i++) {
        uint8_t byte = content[i];

        if (valid - i * 8 < 8)
            byte &= (uint8_t)((1U << (valid - i * 8)) - 1);
        if (!byte) /* untouched memory stays untouched */
            continue;
        atomic_store(&o->present[first / 8 + i], byte);
        o->stable[first / 8 + i] = byte;
        atomic_fetch_add(&o->count, (unsigned)__builtin_popcount(byte));
    }
}

/* Where the next data in the file begins at or after OFFSET; END when there is none before. */
static uint64_t next_data(const struct overlay *o, uint64_t offset, uint64_t end)
{
    off_t at = lseek(o->fd, (off_t)offset, SEEK_DATA);

    if (at < 0)
        return errno == ENXIO ? end : offset; /* cannot tell: take it for data */
    return min_u64((uint64_t)at, end);
}

static int load_bitmap(struct overlay *o)
{
    uint64_t end = OVERLAY_BITMAP_AT + o->pages * OVERLAY_BITMAP_PAGE, at = OVERLAY_BITMAP_AT;
    uint8_t content[OVERLAY_BITMAP_PAGE];

    while ((at = round_down(next_data(o, at, end), OVERLAY_BITMAP_PAGE)) < end) {
        int err = pread_full(o->fd, content, sizeof(content), at);

        if (err)
            return err;
        load_page(o, (at - OVERLAY_BITMAP_AT) / OVERLAY_BITMAP_PAGE, content);
        at += OVERLAY_BITMAP_PAGE;
    }
    return 0;
}

static void release(struct overlay *o)
{
    pthread_mutex_destroy(&o->flushing);
    pthread_mutex_destroy(&o->bits);
    pthread_rwlock_destroy(&o->zeroing);
    for (size_t i = 0; i < STRIPES; i++)
        pthread_mutex_destroy(&o->stripes[i]);
    free((void *)o->present);
    free(o->stable);
    free(o->flags);
    free(o);
}

int overlay_start(struct overlay **overlay, int fd, const struct overlay_header *header,
                  struct disk *base)
{
    size_t bitmap = (size_t)overlay_bitmap_size(header->disk_size);
    struct overlay *o = calloc(1, sizeof(*o));
    int err;

    if (!o)
        return -ENOMEM;
    o->disk.operations = &overlay_operations;
    o->base = base;
    o->fd = fd;
    o->size = header->disk_size;
    o->grains = overlay_grain_count(o->size);
    o->data_at = overlay_data_offset(o->size);
    o->pages = bitmap / OVERLAY_BITMAP_PAGE;
    pthread_mutex_init(&o->flushing, NULL);
    pthread_mutex_init(&o->bits, NULL);
    pthread_rwlock_init(&o->zeroing, NULL);
    for (size_t i = 0; i < STRIPES; i++)
        pthread_mutex_init(&o->stripes[i], NULL);
    o->present = calloc(bitmap, 1);
    o->stable = calloc(bitmap, 1);
    o->flags = calloc(o->pages, 1);
    err = o->present && o->stable && o->flags ? load_bitmap(o) : -ENOMEM;
    if (err) {
        release(o);
        return err;
    }
    *overlay = o;
    return 0;
}

void overlay_close(struct overlay *o)
{
    if (!o)
        return;
    close_fd(&o->fd);
    release(o);
}

/* What overlay_copy() needs on its way. */
struct copy {
    struct overlay *overlay;
    struct disk *target;
    bool discard;
    uint8_t *buffer; /* COPY_SIZE */
    void (*progress)(void *arg, uint64_t done);
    void *arg;
    uint64_t done;
};

/* Copies the bytes [FROM, TO), of grains in the file, up to the end of a hole or of the buffer. */
static int copy_some(struct copy *c, uint64_t from, uint64_t to, uint64_t *reached)
{
    struct overlay *o = c->overlay;
    uint64_t data = next_data(o, o->data_at + from, o->data_at + to) - o->data_at;
    int err;

    /* A hole to the end of the range, or whole grains of it. */
    data = data == to ? to : round_down(data, OVERLAY_GRAIN);
    if (data > from) {
        *reached = data;
        return disk_zero(c->target, from, data - from, c->discard);
    }
    *reached = min_u64(to, from + COPY_SIZE);
    err = pread_full(o->fd, c->buffer, (size_t)(*reached - from), o->data_at + from);
    return err ? err : disk_write(c->target, c->buffer, (size_t)(*reached - from), from);
}

static int copy_range(struct copy *c, uint64_t from, uint64_t to)
{
    int err = 0;

    while (!err && from < to) {
        uint64_t reached = from;

        err = copy_some(c, from, to, &reached);
        c->done += round_up(reached - from, OVERLAY_GRAIN) / OVERLAY_GRAIN;
        from = reached;
        if (c->progress)
            c->progress(c->arg, c->done);
    }
    return err;
}

/* The grains from FIRST on, run by run. Empty stretches of the bitmap are left fast. */
static int copy_grains(struct copy *c, uint64_t first)
{
    struct overlay *o = c->overlay;
    uint64_t offset = first * OVERLAY_GRAIN;
    int err = 0;

    while (!err && offset < o->size) {
        uint64_t byte = offset / OVERLAY_GRAIN / 8, end;
        bool present;

        if (offset / OVERLAY_GRAIN % 8 == 0 && !atomic_load(&o->present[byte])) {
            offset += 8 * OVERLAY_GRAIN;
            continue;
        }
        end = run_end(o, offset, o->size, &present);
        if (present)
            err = copy_range(c, offset, end);
        offset = end;
    }
    return err;
}

int overlay_copy(struct overlay *o, struct disk *target, bool discard,
                 void (*progress)(void *arg, uint64_t done), void *arg)
{
    cleanup_free uint8_t *buffer = aligned_alloc(BACKING_MEMORY_ALIGN, COPY_SIZE);
    struct copy copy = {.overlay = o,
                        .target = target,
                        .discard = discard,
                        .buffer = buffer,
                        .progress = progress,
                        .arg = arg};
    int err = buffer ? copy_grains(&copy, 1) : -ENOMEM;

    if (!err)
        err = disk_flush(target);
    if (!err && is_present(o, 0))
        err = copy_range(&copy, 0, min_u64(OVERLAY_GRAIN, o->size));
    return err ? err : disk_flush(target);
}
