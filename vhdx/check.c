/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vhdx/check.h"

#include "vhdx/judge.h"

static int run(struct check *c)
{
    int err = check_identifier(c);

    if (!err && c->io->size < VHDX_HEADER_SECTION)
        return 0;
    if (!err)
        err = check_headers(c);
    if (err || check_is_foreign(c))
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
    struct check c = {
        .io = io,
        .progress = options ? options->progress : NULL,
        .opaque = options ? options->opaque : NULL,
        .report = report,
        .image = image,
    };
    int err;

    *image = (struct vhdx_image){.file_size = io->size, .current = -1, .table = -1};
    err = run(&c);
    vhdx_view_free(&c.view);
    return err;
}
