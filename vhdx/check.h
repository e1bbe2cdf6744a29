/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Judges a VHDX file, fixed, dynamic or differencing, by every rule of rules.h. A log
 * that waits to be replayed is replayed in memory first. Nothing is written. Memory is
 * bounded for every file: see VHDX_CHECK_WINDOW in judge.h.
 */
#ifndef VHDX_CHECK_H
#define VHDX_CHECK_H

#include "vhdx/image.h"
#include "vhdx/report.h"

struct vhdx_check_options {
    /* Called at times with DONE of TOTAL steps; may be NULL. Non-zero stops with -ECANCELED. */
    int (*progress)(void *opaque, uint64_t done, uint64_t total);
    void *opaque;
};

/*
 * Checks the file behind IO. Findings go to REPORT, what was learned to *IMAGE, which is
 * to be freed in every case. Returns 0 when the file was judged, however bad it is (look
 * at vhdx_report_total()); -errno of reading; -ENOMEM; -E2BIG for a log beyond
 * VHDX_LOG_MAX_WRITES; -ECANCELED. OPTIONS may be NULL.
 */
int vhdx_check(const struct vhdx_io *io, const struct vhdx_check_options *options,
               struct vhdx_report *report, struct vhdx_image *image);

#endif
