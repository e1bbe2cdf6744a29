/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vhdxgen/cli.h"

#include <inttypes.h>
#include <unistd.h>

#define BAR_WIDTH 30

static double seconds_between(const struct timespec *a, const struct timespec *b)
{
    return (double)(b->tv_sec - a->tv_sec) + (double)(b->tv_nsec - a->tv_nsec) / 1e9;
}

void progress_begin(struct progress *progress, const char *what, bool bytes)
{
    *progress = (struct progress){.what = what, .bytes = bytes};
    clock_gettime(CLOCK_MONOTONIC, &progress->begin);
    progress->last = progress->begin;
}

static void draw(const struct progress *p, uint64_t done, uint64_t total, double elapsed)
{
    double part = (double)done / (double)total;
    int filled = (int)(part * BAR_WIDTH);
    char rate[SIZE_TEXT_MAX];

    fprintf(stderr, "\r%s [", p->what);
    for (int i = 0; i < BAR_WIDTH; i++)
        fputc(i < filled ? '#' : '.', stderr);
    fprintf(stderr, "] %3d%%", (int)(part * 100));
    if (p->bytes)
        fprintf(stderr, "  %s/s", format_size((uint64_t)((double)done / elapsed), rate));
    if (done)
        fprintf(stderr, "  %.0f s left", elapsed / part - elapsed);
    fputs("\033[K", stderr);
}

/* Shaped for vhdx_check_options.progress; never asks to stop. */
int progress_show(void *opaque, uint64_t done, uint64_t total)
{
    struct progress *p = opaque;
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    if (!total || done > total || seconds_between(&p->begin, &now) < 1 ||
        (p->shown && seconds_between(&p->last, &now) < 0.2) || !isatty(STDERR_FILENO))
        return 0;
    draw(p, done, total, seconds_between(&p->begin, &now));
    p->shown = true;
    p->last = now;
    return 0;
}

void progress_end(struct progress *progress)
{
    if (progress->shown)
        fputs("\r\033[K", stderr);
}
