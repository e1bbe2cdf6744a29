/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/units.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int parse_suffix(const char *s, uint64_t *factor)
{
    static const char letters[] = "KMGTP";
    const char *hit;

    *factor = 1;
    if (!*s || !strcasecmp(s, "B"))
        return 0;
    if (!strcmp(s, "s")) {
        *factor = 512;
        return 0;
    }
    hit = strchr(letters, toupper((unsigned char)*s));
    if (!hit || (s[1] && strcasecmp(s + 1, "iB")))
        return -EINVAL;
    *factor = UINT64_C(1) << 10 * (hit - letters + 1);
    return 0;
}

int parse_size(const char *text, uint64_t *bytes)
{
    uint64_t factor;
    unsigned long long v;
    char *end;
    int err;

    if (!isdigit((unsigned char)*text))
        return -EINVAL;
    errno = 0;
    v = strtoull(text, &end, 10);
    if (errno)
        return -errno;
    err = parse_suffix(end, &factor);
    if (err)
        return err;
    return __builtin_mul_overflow((uint64_t)v, factor, bytes) ? -ERANGE : 0;
}

const char *format_size(uint64_t bytes, char text[SIZE_TEXT_MAX])
{
    static const char *const names[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    unsigned unit = 0;
    uint64_t scale = KIB;

    while (unit + 1 < ARRAY_SIZE(names) && bytes / scale >= 1024) {
        scale *= 1024;
        unit++;
    }
    if (bytes < KIB)
        snprintf(text, SIZE_TEXT_MAX, "%" PRIu64 " bytes", bytes);
    else if (bytes % scale == 0)
        snprintf(text, SIZE_TEXT_MAX, "%" PRIu64 " %s", bytes / scale, names[unit]);
    else
        snprintf(text, SIZE_TEXT_MAX, "%.1f %s", (double)bytes / (double)scale, names[unit]);
    return text;
}
