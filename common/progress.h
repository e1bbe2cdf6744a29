/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A bar on standard error, when that is a terminal and the work takes longer than a second. */
#ifndef COMMON_PROGRESS_H
#define COMMON_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct progress {
    const char *what; /* is done: "writing" */
    bool bytes;       /* the steps are bytes: show the total and a rate */
    bool terminal;
    bool shown;
    uint64_t begin; /* monotonic_ns(), as the next */
    uint64_t drawn;
};

void progress_begin(struct progress *p, const char *what, bool bytes);

/* DONE of TOTAL steps are done. Takes a struct progress, and returns 0, as callbacks want it. */
int progress_show(void *progress, uint64_t done, uint64_t total);

/* Takes the bar away; what is printed next, an error as well, has the line for itself. */
void progress_end(struct progress *p);

/*
 * The bar after SECONDS of work, in at most WIDTH columns; less is told where they are few. LINE
 * has room for WIDTH + 1 bytes. DONE is at most TOTAL; TOTAL and SECONDS are not 0.
 */
void progress_format(const struct progress *p, uint64_t done, uint64_t total, double seconds,
                     char *line, size_t width);

#endif
