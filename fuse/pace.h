/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How long the device takes, of late. That decides whether a lone request is waited for on the
 * spot, which saves the way through the ring; with a slow disk the next one would be kept waiting.
 */
#ifndef FUSE_PACE_H
#define FUSE_PACE_H

#include "common/units.h"

/* A device is quick when a request takes less than this, not counting a nanosecond a byte. */
#define PACE_QUICK 40000
/* One hiccup is no slow device: no sample counts for more. */
#define PACE_MOST 1000000

struct pace {
    uint64_t average; /* nanoseconds; 0 at first: quick until shown otherwise */
};

static inline void pace_add(struct pace *pace, uint64_t nanoseconds, uint64_t bytes)
{
    uint64_t sample = nanoseconds > bytes ? min_u64(nanoseconds - bytes, PACE_MOST) : 0;

    pace->average = (7 * pace->average + sample) / 8;
}

static inline bool pace_is_quick(const struct pace *pace)
{
    return pace->average < PACE_QUICK;
}

#endif
