/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vhdx/view.h"

#include <stdlib.h>
#include <string.h>

/* Puts the part of WRITE that lies in [OFFSET, OFFSET + LENGTH) into OUT. */
static int apply(const struct vhdx_view *view, const struct vhdx_log_write *write, uint8_t *out,
                 size_t length, uint64_t offset)
{
    uint64_t from = write->offset > offset ? write->offset : offset;
    uint64_t to = min_u64(write->offset + write->length, offset + length);
    uint8_t sector[VHDX_LOG_SECTOR];
    int err;

    if (!write->data) {
        memset(out + (from - offset), 0, (size_t)(to - from));
        return 0;
    }
    err = vhdx_log_data(view->base, write, sector);
    if (!err)
        memcpy(out + (from - offset), sector + (from - write->offset), (size_t)(to - from));
    return err;
}

static int read_replayed(void *opaque, void *data, size_t length, uint64_t offset)
{
    const struct vhdx_view *view = opaque;
    uint64_t there = offset < view->base->size ? min_u64(length, view->base->size - offset) : 0;
    int err = there ? vhdx_read(view->base, data, (size_t)there, offset) : 0;

    memset((uint8_t *)data + there, 0, length - (size_t)there);
    if (err || !vhdx_view_written(view, offset, length))
        return err;
    for (size_t i = 0; i < view->log->write_count && !err; i++)
        if (ranges_overlap(view->log->writes[i].offset, view->log->writes[i].length, offset,
                           length))
            err = apply(view, &view->log->writes[i], data, length, offset);
    return err;
}

static int compare_ranges(const void *a, const void *b)
{
    const struct vhdx_range *left = a, *right = b;

    return left->offset < right->offset ? -1 : left->offset > right->offset;
}

static int index_writes(struct vhdx_view *view)
{
    uint64_t max_end = 0;

    view->written_count = view->log->write_count;
    view->written = calloc(view->written_count + 1, sizeof(*view->written));
    if (!view->written)
        return -ENOMEM;
    for (size_t i = 0; i < view->written_count; i++)
        view->written[i] = (struct vhdx_range){
            .offset = view->log->writes[i].offset,
            .end = view->log->writes[i].offset + view->log->writes[i].length,
        };
    qsort(view->written, view->written_count, sizeof(*view->written), compare_ranges);
    for (size_t i = 0; i < view->written_count; i++) {
        if (view->written[i].end > max_end)
            max_end = view->written[i].end;
        view->written[i].max_end = max_end;
    }
    return 0;
}

int vhdx_view_init(struct vhdx_view *view, const struct vhdx_io *base, const struct vhdx_log *log)
{
    *view = (struct vhdx_view){.io = *base, .base = base, .log = log};
    if (!log)
        return 0;
    view->io = (struct vhdx_io){.read = read_replayed, .opaque = view, .size = base->size};
    if (log->last_file_offset > base->size && log->last_file_offset <= INT64_MAX)
        view->io.size = log->last_file_offset;
    return index_writes(view);
}

bool vhdx_view_written(const struct vhdx_view *view, uint64_t offset, uint64_t length)
{
    size_t low = 0, high = view->written_count; /* the first range at or behind our end */

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (view->written[middle].offset < offset + length)
            low = middle + 1;
        else
            high = middle;
    }
    return length && low && view->written[low - 1].max_end > offset;
}

void vhdx_view_free(struct vhdx_view *view)
{
    free(view->written);
    *view = (struct vhdx_view){0};
}
