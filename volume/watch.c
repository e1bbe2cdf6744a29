/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "volume/watch.h"

#include "ntfs/record.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define WHY_SIZE 256

__attribute__((format(printf, 2, 3))) static enum watch_verdict bad(char *why, const char *format,
                                                                    ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(why, WHY_SIZE, format, args);
    va_end(args);
    return WATCH_BAD;
}

static bool add(struct watch *w, uint64_t offset, uint64_t length)
{
    if (w->count == WATCH_RANGES)
        return false;
    w->ranges[w->count++] = (struct watch_range){offset, length};
    return true;
}

static bool read_disk(const struct watch_subject *s, void *data, size_t length, uint64_t offset)
{
    return s->read(s->opaque, data, length, offset) == 0;
}

/* Where a cluster lies on the disk; false outside of the volume. */
static bool place_of(const struct watch_subject *s, uint64_t lcn, uint64_t *offset)
{
    if (lcn >= s->layout->ntfs.clusters)
        return false;
    *offset = VOLUME_AT + lcn * NTFS_CLUSTER;
    return true;
}

static enum watch_verdict judge_table(const struct watch_subject *s, struct watch *w, char *why)
{
    uint8_t head[GPT_HEAD_SIZE];
    const char *what;

    add(w, 0, sizeof(head));
    if (!read_disk(s, head, sizeof(head), 0))
        return bad(why, "the partition table cannot be read");
    return gpt_still_there(&s->gpt, head, &what) ? WATCH_GOOD : bad(why, "%s", what);
}

/* Reads and decodes the record of WHAT at OFFSET; it must be in use. */
static enum watch_verdict read_record(const struct watch_subject *s, struct watch *w,
                                      const char *what, uint64_t offset,
                                      uint8_t record[NTFS_RECORD_SIZE], char *why)
{
    int err;

    add(w, offset, NTFS_RECORD_SIZE);
    if (!read_disk(s, record, NTFS_RECORD_SIZE, offset))
        return bad(why, "the record of %s cannot be read", what);
    err = ntfs_record_decode(record);
    if (err == -EAGAIN) {
        bad(why, "the record of %s is half written", what);
        return WATCH_TORN;
    }
    if (err)
        return bad(why, "the record of %s is gone from the master file table", what);
    if (!(ntfs_record_flags(record) & NTFS_RECORD_IN_USE))
        return bad(why, "%s was deleted", what);
    return WATCH_GOOD;
}

/* The disk offset of record NUMBER, through the run list in record 0. */
static bool find_record(const struct watch_subject *s, const struct ntfs_data *mft, uint64_t number,
                        uint64_t *offset)
{
    uint64_t vcn = number * NTFS_RECORD_SIZE / NTFS_CLUSTER;
    struct ntfs_runs runs = ntfs_runs_of(mft);
    struct ntfs_run run;

    while (ntfs_runs_next(&runs, &run) == 1) {
        if (vcn - run.vcn >= run.length)
            continue;
        if (run.lcn == NTFS_HOLE || !place_of(s, run.lcn + (vcn - run.vcn), offset))
            return false;
        *offset += number * NTFS_RECORD_SIZE % NTFS_CLUSTER;
        return true;
    }
    return false;
}

/* What is read on the way to the verdict. */
struct sight {
    struct ntfs_boot boot;
    uint64_t bitmap_at; /* of the record */
    uint64_t file_at;   /* likewise */
};

static enum watch_verdict judge_mft(const struct watch_subject *s, struct watch *w,
                                    struct sight *sight, char *why)
{
    uint8_t boot[NTFS_SECTOR], record[NTFS_RECORD_SIZE];
    enum watch_verdict verdict;
    struct ntfs_data data;
    uint64_t at;

    add(w, VOLUME_AT, sizeof(boot));
    if (!read_disk(s, boot, sizeof(boot), VOLUME_AT) || ntfs_boot_decode(boot, &sight->boot) < 0 ||
        !place_of(s, sight->boot.mft_lcn, &at))
        return bad(why, "the NTFS volume is gone: formatted anew, or its boot sector overwritten");
    verdict = read_record(s, w, "the master file table", at, record, why);
    if (verdict != WATCH_GOOD)
        return verdict;
    if (ntfs_record_data(record, &data) < 0 ||
        !find_record(s, &data, NTFS_RECORD_BITMAP, &sight->bitmap_at) ||
        !find_record(s, &data, s->record, &sight->file_at))
        return bad(why, "the file's record is not found in the master file table");
    return WATCH_GOOD;
}

static enum watch_verdict judge_data(const struct watch_subject *s, const struct ntfs_data *data,
                                     char *why)
{
    const struct ntfs_geometry *g = &s->layout->ntfs;
    uint64_t clusters = g->file_size / NTFS_CLUSTER;
    struct ntfs_runs runs = ntfs_runs_of(data);
    struct ntfs_run run, more;

    if (data->flags)
        return bad(why, "the file was made sparse, compressed or encrypted (flags 0x%x)",
                   data->flags);
    if (data->size != g->file_size || data->allocated != g->file_size ||
        data->initialized != g->file_size || data->highest_vcn != clusters - 1)
        return bad(why,
                   "the file's size was changed from %" PRIu64 " to %" PRIu64 " bytes (%" PRIu64
                   " allocated)",
                   g->file_size, data->size, data->allocated);
    if (ntfs_runs_next(&runs, &run) != 1 || ntfs_runs_next(&runs, &more) != 0)
        return bad(why, "the file is no longer in one piece (moved, by a defragmenter?)");
    if (run.lcn != g->file_at / NTFS_CLUSTER || run.length != clusters)
        return bad(why, "the file was moved from cluster %" PRIu64 " to %" PRIu64,
                   g->file_at / NTFS_CLUSTER, run.lcn);
    return WATCH_GOOD;
}

static enum watch_verdict judge_file(const struct watch_subject *s, struct watch *w, uint64_t at,
                                     char *why)
{
    uint8_t record[NTFS_RECORD_SIZE];
    enum watch_verdict verdict = read_record(s, w, "the file", at, record, why);
    struct ntfs_data data;

    if (verdict != WATCH_GOOD)
        return verdict;
    if (ntfs_record_flags(record) & NTFS_RECORD_DIRECTORY || ntfs_record_base(record))
        return bad(why, "the file was deleted, and its record given to another");
    if (ntfs_record_data(record, &data) < 0)
        return bad(why, "the file's data is not described in its record (truncated, or moved to "
                        "another record)");
    return judge_data(s, &data, why);
}

/* The bytes of the bitmap that hold the bits of the file's place: they begin and end at bytes. */
static bool add_bits(const struct watch_subject *s, const struct ntfs_data *data, struct watch *w)
{
    const struct ntfs_geometry *g = &s->layout->ntfs;
    uint64_t at = g->file_at / NTFS_CLUSTER / 8, end = at + g->file_size / NTFS_CLUSTER / 8;
    struct ntfs_runs runs = ntfs_runs_of(data);
    struct ntfs_run run;

    w->bitmap = w->count;
    while (at < end && ntfs_runs_next(&runs, &run) == 1) {
        uint64_t skip = at - run.vcn * NTFS_CLUSTER, place, length;

        if (at >= (run.vcn + run.length) * NTFS_CLUSTER)
            continue;
        length = min_u64(end, (run.vcn + run.length) * NTFS_CLUSTER) - at;
        if (run.lcn == NTFS_HOLE || !place_of(s, run.lcn + run.length - 1, &place) ||
            !place_of(s, run.lcn, &place) || !add(w, place + skip, length))
            return false;
        at += length;
    }
    return at == end && data->size >= end;
}

static enum watch_verdict judge_bitmap(const struct watch_subject *s, struct watch *w, uint64_t at,
                                       char *why)
{
    uint8_t record[NTFS_RECORD_SIZE];
    enum watch_verdict verdict = read_record(s, w, "the volume's bitmap", at, record, why);
    struct ntfs_data data;

    if (verdict != WATCH_GOOD)
        return verdict;
    if (ntfs_record_data(record, &data) < 0 || !add_bits(s, &data, w))
        return bad(why, "the volume's bitmap cannot be followed");
    return WATCH_GOOD;
}

enum watch_verdict watch_judge(const struct watch_subject *s, struct watch *watch, char *why)
{
    struct watch w = {.count = 0};
    struct sight sight;
    enum watch_verdict verdict = judge_table(s, &w, why);

    if (verdict == WATCH_GOOD)
        verdict = judge_mft(s, &w, &sight, why);
    if (verdict == WATCH_GOOD)
        verdict = judge_file(s, &w, sight.file_at, why);
    if (verdict == WATCH_GOOD)
        verdict = judge_bitmap(s, &w, sight.bitmap_at, why);
    if (verdict == WATCH_GOOD)
        *watch = w;
    return verdict;
}

static bool all_set(const uint8_t *bits, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (bits[i] != 0xff)
            return false;
    return true;
}

enum watch_verdict watch_judge_bits(const struct watch_subject *s, const struct watch *watch,
                                    uint64_t offset, uint64_t length, char *why)
{
    uint64_t end = length > UINT64_MAX - offset ? UINT64_MAX : offset + length;
    uint8_t bits[16 * KIB];

    for (unsigned i = watch->bitmap; i < watch->count; i++) {
        const struct watch_range *r = &watch->ranges[i];
        uint64_t at = offset > r->offset ? offset : r->offset;
        uint64_t stop = min_u64(end, r->offset + r->length);

        while (at < stop) {
            size_t n = (size_t)min_u64(sizeof(bits), stop - at);

            if (!read_disk(s, bits, n, at))
                return bad(why, "the volume's bitmap cannot be read");
            if (!all_set(bits, n))
                return bad(why, "clusters of the file were set free");
            at += n;
        }
    }
    return WATCH_GOOD;
}

bool watch_concerns(const struct watch *watch, uint64_t offset, uint64_t length)
{
    for (unsigned i = 0; i < watch->count; i++)
        if (ranges_overlap(offset, length, watch->ranges[i].offset, watch->ranges[i].length))
            return true;
    return false;
}

bool watch_same_bitmap(const struct watch *a, const struct watch *b)
{
    unsigned count = a->count - a->bitmap;

    return count == b->count - b->bitmap &&
           !memcmp(a->ranges + a->bitmap, b->ranges + b->bitmap, count * sizeof(a->ranges[0]));
}
