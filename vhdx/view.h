/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A file as it will be when its log has been replayed, without writing to it. */
#ifndef VHDX_VIEW_H
#define VHDX_VIEW_H

#include "vhdx/log.h"

#include <stdbool.h>

struct vhdx_range {
    uint64_t offset;
    uint64_t end;     /* behind the last byte */
    uint64_t max_end; /* of this and all ranges before it */
};

struct vhdx_view {
    struct vhdx_io io; /* to read through; valid while the view does not move */
    const struct vhdx_io *base;
    const struct vhdx_log *log;
    struct vhdx_range *written; /* what the log writes, in order of offset */
    size_t written_count;
};

/*
 * LOG may be NULL: the view is then BASE itself. The view is as long as the file or the
 * log's LastFileOffset, whichever is more. Returns 0 or -ENOMEM; free it in both cases.
 */
int vhdx_view_init(struct vhdx_view *view, const struct vhdx_io *base, const struct vhdx_log *log);

/* Whether the log writes into [OFFSET, OFFSET + LENGTH). */
bool vhdx_view_written(const struct vhdx_view *view, uint64_t offset, uint64_t length);

void vhdx_view_free(struct vhdx_view *view);

#endif
