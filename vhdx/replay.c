/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vhdx/replay.h"

#include "common/cleanup.h"

#include <errno.h>
#include <stdlib.h>

#define ZEROS MIB /* written at once */

int vhdx_replay_verdict(const struct vhdx_image *image, bool may_grow)
{
    const struct vhdx_log *log = &image->log;
    uint64_t end = image->file_size;

    if (image->log_state == VHDX_LOG_CLEAN || image->log_state == VHDX_LOG_NONE)
        return -ENODATA;
    if (image->log_state != VHDX_LOG_DIRTY || log->flushed_file_offset > image->file_size)
        return -EBADMSG;
    if (log->last_file_offset > end)
        end = log->last_file_offset;
    if (end > INT64_MAX)
        return -EBADMSG;
    for (size_t i = 0; i < log->write_count; i++)
        if (!range_inside(log->writes[i].offset, log->writes[i].length, end))
            return -EBADMSG;
    if (end > image->file_size && !may_grow)
        return -EFBIG;
    return image->headers[image->current].sequence > UINT64_MAX - 3 ? -ERANGE : 0;
}

/* Writes HEADER to slot INDEX, durably. */
static int put_header(const struct vhdx_replay *r, const struct vhdx_header *header, int index)
{
    struct vhdx_disk_header disk;
    int err;

    vhdx_encode_header(header, &disk);
    err = r->sink->write(r->io->opaque, &disk, sizeof(disk),
                         index ? VHDX_HEADER_2_AT : VHDX_HEADER_1_AT);
    return err ? err : r->sink->flush(r->io->opaque);
}

static int put_zeros(const struct vhdx_replay *r, uint64_t offset, uint64_t length)
{
    cleanup_free uint8_t *zeros = calloc(1, ZEROS);
    int err = 0;

    if (!zeros)
        return -ENOMEM;
    while (length && !err) {
        size_t n = (size_t)min_u64(length, ZEROS);

        err = r->sink->write(r->io->opaque, zeros, n, offset);
        offset += n;
        length -= n;
    }
    return err;
}

static int put_write(const struct vhdx_replay *r, const struct vhdx_log_write *w)
{
    uint8_t data[VHDX_LOG_SECTOR];
    int err;

    if (!w->data)
        return put_zeros(r, w->offset, w->length);
    err = vhdx_log_data(r->io, w, data);
    return err ? err : r->sink->write(r->io->opaque, data, sizeof(data), w->offset);
}

static int put_writes(const struct vhdx_replay *r, const struct vhdx_log *log)
{
    int err = 0;

    for (size_t i = 0; i < log->write_count && !err; i++) {
        err = put_write(r, &log->writes[i]);
        if (!err && r->progress && r->progress(r->opaque, i + 1, log->write_count))
            err = -ECANCELED;
    }
    return err ? err : r->sink->flush(r->io->opaque);
}

int vhdx_replay(const struct vhdx_replay *replay, const struct vhdx_image *image)
{
    int current = image->current, err = vhdx_replay_verdict(image, replay->may_grow);
    struct vhdx_header header;

    if (err)
        return err;
    header = image->headers[current];
    header.sequence++;
    header.file_write = replay->file_write;
    err = put_header(replay, &header, !current);
    if (!err && image->log.last_file_offset > image->file_size)
        err = replay->sink->grow(replay->io->opaque, image->log.last_file_offset);
    if (!err)
        err = put_writes(replay, &image->log);
    if (err)
        return err;
    header.sequence++;
    header.log_guid = (struct guid){0};
    err = put_header(replay, &header, current);
    if (err)
        return err;
    header.sequence++;
    return put_header(replay, &header, !current);
}
