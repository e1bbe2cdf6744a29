/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vhdx/report.h"

#include <stdarg.h>
#include <stdio.h>

void vhdx_report(struct vhdx_report *report, enum vhdx_rule rule, uint64_t offset,
                 const char *format, ...)
{
    struct vhdx_finding finding = {.rule = rule, .offset = offset};
    char text[256];
    va_list args;

    report->counts[rule]++;
    if (!report->finding || (report->limit && report->counts[rule] > report->limit))
        return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    finding.found = text;
    report->finding(report->opaque, &finding);
}

uint64_t vhdx_report_total(const struct vhdx_report *report, enum vhdx_severity severity)
{
    uint64_t total = 0;

    for (int rule = 0; rule < VHDX_RULE_COUNT; rule++)
        if (vhdx_rules[rule].severity == severity)
            total += report->counts[rule];
    return total;
}
