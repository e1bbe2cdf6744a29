/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The safety verdict: facts in, verdict out, nothing else touched. */
#ifndef DEVICE_SAFETY_H
#define DEVICE_SAFETY_H

#include "device/probe.h"

struct safety_policy {
    bool read_only;
    bool allow_errors;
    bool any_content; /* it is not to be served, and what is on it has been judged before */
};

struct verdict {
    bool refused;
    struct failure refusal; /* why and the cure, when refused */
    unsigned warning_count;
    char warnings[6][256];
};

/*
 * Judges whether the object may be served. The first reason to refuse wins, in the
 * order of what it would cost to ignore it. The size is not judged here: who lays the
 * file out refuses one that a VHDX cannot have, and a claim refuses another than that.
 */
void safety_judge(const struct facts *facts, const struct safety_policy *policy,
                  struct verdict *verdict);

#endif
