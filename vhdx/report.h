/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Findings on their way from the checks to the caller. */
#ifndef VHDX_REPORT_H
#define VHDX_REPORT_H

#include "vhdx/rules.h"

#include <stdint.h>

struct vhdx_finding {
    enum vhdx_rule rule;
    uint64_t offset;   /* byte in the file */
    const char *found; /* for people; valid during the callback only */
};

struct vhdx_report {
    void (*finding)(void *opaque, const struct vhdx_finding *finding); /* may be NULL */
    void *opaque;
    unsigned limit; /* findings of one rule passed on; 0: all */
    uint64_t counts[VHDX_RULE_COUNT];
};

/* Counts a finding, and passes it on unless its rule has reached the limit. */
void vhdx_report(struct vhdx_report *report, enum vhdx_rule rule, uint64_t offset,
                 const char *format, ...) __attribute__((format(printf, 4, 5)));

/* The number of findings of SEVERITY. */
uint64_t vhdx_report_total(const struct vhdx_report *report, enum vhdx_severity severity);

#endif
