/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Private to vhdx/: what the check_*.c share, and offer to check.c, which runs them. */
#ifndef VHDX_JUDGE_H
#define VHDX_JUDGE_H

#include "vhdx/image.h"
#include "vhdx/report.h"
#include "vhdx/view.h"

/*
 * Collisions of blocks are found with one bit for each MiB of a part of the file this
 * long; files beyond take a pass over the BAT for each part with blocks in it.
 */
#define VHDX_CHECK_WINDOW (128 * TIB)

struct check {
    const struct vhdx_io *io; /* the file as it lies there */
    struct vhdx_view view;    /* and as it is behind the log */
    /* May be NULL; see check.h. */
    int (*progress)(void *opaque, uint64_t done, uint64_t total);
    void *opaque;
    struct vhdx_report *report;
    struct vhdx_image *image;
};

/* The check_*() return 0 or -errno of reading and memory; findings are no errors. */

/* check_headers.c */
int check_identifier(struct check *c);
int check_headers(struct check *c);
int check_log(struct check *c);
/* No signature is there, of the file or of a header: it is something else. */
bool check_is_foreign(const struct check *c);
/* Whether [OFFSET, OFFSET + LENGTH) touches the log. */
bool check_hits_log(const struct check *c, uint64_t offset, uint64_t length);

/* check_regions.c, check_metadata.c, check_parent.c, check_bat.c */
int check_regions(struct check *c);
int check_metadata(struct check *c);
int check_parent(struct check *c, const struct vhdx_item *locator);
int check_bat(struct check *c);

#define REPORT(c, rule, ...) vhdx_report((c)->report, VHDX_RULE_##rule, __VA_ARGS__)

#endif
