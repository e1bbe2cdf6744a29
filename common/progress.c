/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/progress.h"

#include "common/clock.h"
#include "common/units.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define SECOND    UINT64_C(1000000000)
#define BAR_MIN   8                /* columns; a shorter one says nothing */
#define PERCENT   4                /* columns of "100%" */
#define WIDTH_MAX 250              /* columns */
#define LONGEST   (100 * 3600 - 1) /* seconds that are told */

static unsigned seconds_left(uint64_t done, uint64_t total, double seconds)
{
    double left = seconds * (double)(total - done) / (double)done;

    return left < LONGEST ? (unsigned)left : LONGEST;
}

/* What stands behind the bar: "  7%", and then what there is to say where there is room. */
static void describe(const struct progress *p, uint64_t done, uint64_t total, double seconds,
                     char *text, size_t room)
{
    char all[SIZE_TEXT_MAX], rate[SIZE_TEXT_MAX];
    int n = snprintf(text, room, "%*d%%", PERCENT - 1, (int)(100.0 * (double)done / (double)total));
    unsigned left;

    if (p->bytes)
        n += snprintf(text + n, room - (size_t)n, " of %s  %10s/s", format_size(total, all),
                      format_size((uint64_t)((double)done / seconds), rate));
    if (!done)
        return;
    left = seconds_left(done, total, seconds);
    snprintf(text + n, room - (size_t)n, "  %u:%02u:%02u left", left / 3600, left / 60 % 60,
             left % 60);
}

void progress_format(const struct progress *p, uint64_t done, uint64_t total, double seconds,
                     char *line, size_t width)
{
    size_t frame = strlen(p->what) + strlen(" [] "), bar, filled;
    char text[160], *inside;

    describe(p, done, total, seconds, text, sizeof(text));
    if (frame + BAR_MIN + strlen(text) > width)
        text[PERCENT] = '\0';
    if (frame + BAR_MIN + PERCENT > width) {
        snprintf(line, width + 1, "%s %s", text, p->what);
        return;
    }
    bar = width - frame - strlen(text);
    filled = (size_t)((double)bar * (double)done / (double)total);
    snprintf(line, width + 1, "%s [%*s] %s", p->what, (int)bar, "", text);
    inside = line + strlen(p->what) + strlen(" [");
    memset(inside, '.', bar);
    memset(inside, '#', filled);
}

/* Columns that can be written to without a line break. */
static size_t terminal_width(void)
{
    struct winsize size;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
        return 79;
    return (size_t)min_u64(size.ws_col - 1u, WIDTH_MAX);
}

void progress_begin(struct progress *p, const char *what, bool bytes)
{
    *p = (struct progress){
        .what = what,
        .bytes = bytes,
        .terminal = isatty(STDERR_FILENO) == 1,
        .begin = monotonic_ns(),
    };
}

int progress_show(void *progress, uint64_t done, uint64_t total)
{
    struct progress *p = progress;
    char line[WIDTH_MAX + 1];
    uint64_t now;

    if (!p->terminal || !total || done > total)
        return 0;
    now = monotonic_ns();
    if (now < p->begin + SECOND || now < p->drawn + SECOND / 5)
        return 0;
    progress_format(p, done, total, (double)(now - p->begin) / (double)SECOND, line,
                    terminal_width());
    fprintf(stderr, "\r%s\033[K", line);
    p->drawn = now;
    p->shown = true;
    return 0;
}

void progress_end(struct progress *p)
{
    if (p->shown)
        fputs("\r\033[K", stderr);
}
