/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by check*.c only. */
#ifndef VHDX_JUDGE_H
#define VHDX_JUDGE_H

#include "vhdx/check.h"
#include "vhdx/view.h"

struct check {
    const struct vhdx_io *io; /* the file as it lies there */
    struct vhdx_view view;    /* and as it is behind the log */
    const struct vhdx_check_options *options;
    struct vhdx_report *report;
    struct vhdx_image *image;
};

/* Each returns 0 or -errno of reading and memory; findings are no errors. */
int check_identifier(struct check *c);
int check_headers(struct check *c);
int check_log(struct check *c);
int check_regions(struct check *c);
int check_metadata(struct check *c);
int check_parent(struct check *c, const struct vhdx_item *locator);
int check_bat(struct check *c);

/* Whether [OFFSET, OFFSET + LENGTH) touches the log. */
bool check_hits_log(const struct check *c, uint64_t offset, uint64_t length);

#define REPORT(c, rule, ...) vhdx_report((c)->report, VHDX_RULE_##rule, __VA_ARGS__)

#endif
