/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vhdx/judge.h"

#include <string.h>

bool check_hits_log(const struct check *c, uint64_t offset, uint64_t length)
{
    const struct vhdx_header *h;

    if (c->image->current < 0)
        return false;
    h = &c->image->headers[c->image->current];
    return range_inside(h->log_offset, h->log_length, INT64_MAX) &&
           ranges_overlap(offset, length, h->log_offset, h->log_length);
}

/* Neither the file's own signature nor one of its headers': it is something else. */
static bool is_foreign(const struct vhdx_image *image)
{
    return !image->signature && image->header_states[0] == VHDX_COPY_BAD_SIGNATURE &&
           image->header_states[1] == VHDX_COPY_BAD_SIGNATURE;
}

static int run(struct check *c)
{
    int err = check_identifier(c);

    if (!err && c->io->size < VHDX_HEADER_SECTION)
        return 0;
    if (!err)
        err = check_headers(c);
    if (err || is_foreign(c->image))
        return err;
    err = check_log(c);
    if (!err)
        err = vhdx_view_init(&c->view, c->io,
                             c->image->log_state == VHDX_LOG_DIRTY ? &c->image->log : NULL);
    if (!err)
        err = check_regions(c);
    if (!err)
        err = check_metadata(c);
    if (!err)
        err = check_bat(c);
    return err;
}

int vhdx_check(const struct vhdx_io *io, const struct vhdx_check_options *options,
               struct vhdx_report *report, struct vhdx_image *image)
{
    static const struct vhdx_check_options none;
    struct check c = {
        .io = io,
        .options = options ? options : &none,
        .report = report,
        .image = image,
    };
    int err;

    *image = (struct vhdx_image){.file_size = io->size, .current = -1, .table = -1};
    err = run(&c);
    vhdx_view_free(&c.view);
    return err;
}
