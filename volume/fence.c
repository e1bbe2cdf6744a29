/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "volume/fence.h"

#include "common/log.h"
#include "common/rwlock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The start of every VHDX ([MS-VHDX] 2.1); the 64 KiB that begin with it are never written again.
 */
static const uint8_t signature[8] = {'v', 'h', 'd', 'x', 'f', 'i', 'l', 'e'};
#define IDENTIFIER_SIZE (64 * KIB)

/* The place in the image of [offset, offset + length) of the disk; false inside the file. */
static bool image_offset(const struct volume_layout *l, uint64_t offset, uint64_t length,
                         uint64_t *place)
{
    if (range_inside(offset, length, l->file_at)) {
        *place = VOLUME_IMAGE_HEAD_AT + offset;
        return true;
    }
    if (offset < l->tail_at || !range_inside(offset, length, l->disk_size))
        return false;
    *place = volume_image_tail_at(l) + (offset - l->tail_at);
    return true;
}

/* The disk as it will be after a write. */
struct future {
    struct fence *fence;
    const uint8_t *data; /* NULL: zeros */
    uint64_t offset;     /* on the disk */
    uint64_t length;
};

static int read_future(void *opaque, void *data, size_t length, uint64_t offset)
{
    const struct future *f = opaque;
    uint64_t place, from, to;
    uint8_t *out = data;
    int err;

    if (!image_offset(f->fence->subject.layout, offset, length, &place))
        return -EINVAL;
    err = disk_read(f->fence->image, data, length, place);
    if (err || !ranges_overlap(offset, length, f->offset, f->length))
        return err;
    from = offset > f->offset ? offset : f->offset;
    to = min_u64(offset + length, f->offset + f->length);
    if (f->data)
        memcpy(out + (from - offset), f->data + (from - f->offset), (size_t)(to - from));
    else
        memset(out + (from - offset), 0, (size_t)(to - from));
    return 0;
}

/* The note that outlives us. Nothing is better than to go on without it when it cannot be made. */
static void make_note(struct fence *fence)
{
    uint8_t note[VOLUME_PAGE] = {0};
    int err;

    snprintf((char *)note, sizeof(note), "%s", fence->why);
    err = disk_write(fence->image, note, sizeof(note), VOLUME_NOTE_AT);
    if (!err)
        err = disk_flush(fence->image);
    if (err)
        log_error("%s: cannot make a note that the fence is closed: %s", fence->name,
                  strerror(-err));
}

static void tell(const struct fence *fence)
{
    log_error("disk.img: the fence is closed: %s. The partition is as it was: writes and discards "
              "of the file's place are refused from now on, reads are not. To recover, disconnect "
              "the disk and start vhdxfs with -o disk --reset-disk: that builds a new NTFS volume "
              "around the untouched partition and keeps this one as a file beside %s",
              fence->why, fence->name);
}

/* Locked for writing. */
static void close_fence(struct fence *fence, bool read_only)
{
    fence->closed = true;
    if (!read_only)
        make_note(fence);
    tell(fence);
}

/* Judges the disk as FUTURE will be. All of the bits, if the bitmap is another. Locked for writing.
 */
static enum watch_verdict judge(struct fence *fence, struct future *future, char why[256])
{
    struct watch_subject subject = fence->subject;
    struct watch watch;
    enum watch_verdict verdict;

    subject.read = read_future;
    subject.opaque = future;
    verdict = watch_judge(&subject, &watch, why);
    if (verdict != WATCH_GOOD)
        return verdict;
    if (future->length && watch_same_bitmap(&watch, &fence->watch))
        verdict = watch_judge_bits(&subject, &watch, future->offset, future->length, why);
    else
        verdict = watch_judge_bits(&subject, &watch, 0, UINT64_MAX, why);
    if (verdict == WATCH_GOOD)
        fence->watch = watch;
    return verdict;
}

static void apply(struct fence *fence, enum watch_verdict verdict, const char *why, bool read_only)
{
    bool was_torn = fence->torn;

    fence->torn = verdict == WATCH_TORN;
    if (verdict != WATCH_GOOD)
        snprintf(fence->why, sizeof(fence->why), "%s", why);
    if (verdict == WATCH_BAD)
        close_fence(fence, read_only);
    else if (fence->torn && !was_torn)
        log_debug("%s: %s; the file's place is not written until it is whole", fence->name, why);
}

int fence_open(struct fence *fence, struct disk *image, const struct volume_layout *layout,
               const struct gpt *gpt, uint64_t record, const char *name, bool read_only)
{
    struct future now = {.fence = fence};
    uint8_t note[VOLUME_PAGE];
    char why[256];
    int err = disk_read(image, note, sizeof(note), VOLUME_NOTE_AT);

    *fence = (struct fence){.image = image, .name = name};
    fence->subject = (struct watch_subject){.layout = layout, .gpt = *gpt, .record = record};
    if (!err) /* A stream of payload writes must not keep a verdict waiting. */
        err = rwlock_init(&fence->lock);
    if (err)
        return err;
    if (!is_zero(note, sizeof(note))) {
        snprintf(fence->why, sizeof(fence->why), "%.255s", (const char *)note);
        fence->closed = true;
        tell(fence);
        return 0;
    }
    apply(fence, judge(fence, &now, why), why, read_only);
    return 0;
}

void fence_shut(struct fence *fence)
{
    pthread_rwlock_destroy(&fence->lock);
}

bool fence_is_closed(struct fence *fence, char why[256])
{
    READ_SCOPE(&fence->lock);
    bool closed = fence->closed || fence->torn;

    snprintf(why, 256, "%s", closed ? fence->why : "");
    return closed;
}

/* Outside of the file, as told by image_offset(). */
static int write_image(struct fence *fence, const void *data, uint64_t length, uint64_t place,
                       bool discard)
{
    return data ? disk_write(fence->image, data, (size_t)length, place)
                : disk_zero(fence->image, place, length, discard);
}

static int write_judged(struct fence *fence, const void *data, uint64_t length, uint64_t offset,
                        uint64_t place, bool discard)
{
    struct future future = {fence, data, offset, length};
    char why[256];
    int err;
    WRITE_SCOPE(&fence->lock);

    if (!fence->closed)
        apply(fence, judge(fence, &future, why), why, false);
    err = write_image(fence, data, length, place, discard);
    if (err && !fence->closed) { /* what is there now is neither the old nor the new */
        future.length = 0;
        apply(fence, judge(fence, &future, why), why, false);
    }
    return err;
}

int fence_write(struct fence *fence, const void *data, uint64_t length, uint64_t offset,
                bool discard)
{
    uint64_t place;

    if (!image_offset(fence->subject.layout, offset, length, &place))
        return -EINVAL;
    {
        READ_SCOPE(&fence->lock);
        if (fence->closed || !(fence->torn || watch_concerns(&fence->watch, offset, length)))
            return write_image(fence, data, length, place, discard);
    }
    return write_judged(fence, data, length, offset, place, discard);
}

/* Whether a write of the file shows that these clusters are no longer used as this file. */
static const char *trips(const struct fence *fence, const uint8_t *data, uint64_t length,
                         uint64_t offset)
{
    uint64_t start = fence->subject.layout->file_at,
             size = data ? sizeof(signature) : IDENTIFIER_SIZE;
    uint64_t from, to;

    if (!ranges_overlap(offset, length, start, size))
        return NULL;
    if (!data)
        return "the start of the file was discarded, as it is when a file is deleted";
    from = offset > start ? offset : start;
    to = min_u64(offset + length, start + size);
    return memcmp(data + (from - offset), signature + (from - start), (size_t)(to - from)) != 0
               ? "the start of the file was overwritten with something that is no VHDX"
               : NULL;
}

static void close_for(struct fence *fence, const char *why)
{
    WRITE_SCOPE(&fence->lock);

    if (!fence->closed)
        apply(fence, WATCH_BAD, why, false);
}

int fence_enter(struct fence *fence, const void *data, uint64_t length, uint64_t offset)
{
    const char *why = trips(fence, data, length, offset);

    if (why)
        close_for(fence, why);
    pthread_rwlock_rdlock(&fence->lock);
    if (!fence->closed && !fence->torn)
        return 0;
    if (!atomic_exchange(&fence->told, true))
        log_error("disk.img: refused to %s %" PRIu64 " bytes of the file at byte %" PRIu64
                  " of the disk, and will refuse others: the fence is closed (%s)",
                  data ? "write" : "discard", length, offset, fence->why);
    pthread_rwlock_unlock(&fence->lock);
    return -EIO;
}

bool fence_try_enter(struct fence *fence, const void *data, uint64_t length, uint64_t offset)
{
    if (trips(fence, data, length, offset) || pthread_rwlock_tryrdlock(&fence->lock) != 0)
        return false;
    if (!fence->closed && !fence->torn)
        return true;
    pthread_rwlock_unlock(&fence->lock);
    return false;
}

void fence_leave(struct fence *fence)
{
    pthread_rwlock_unlock(&fence->lock);
}
