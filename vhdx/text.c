/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vhdx/text.h"

#include "common/bytes.h"

#define REPLACEMENT 0xfffdu

static char *put_utf8(uint32_t c, char *out)
{
    if (c < 0x80) {
        *out++ = (char)c;
    } else if (c < 0x800) {
        *out++ = (char)(0xc0 | c >> 6);
        *out++ = (char)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *out++ = (char)(0xe0 | c >> 12);
        *out++ = (char)(0x80 | (c >> 6 & 0x3f));
        *out++ = (char)(0x80 | (c & 0x3f));
    } else {
        *out++ = (char)(0xf0 | c >> 18);
        *out++ = (char)(0x80 | (c >> 12 & 0x3f));
        *out++ = (char)(0x80 | (c >> 6 & 0x3f));
        *out++ = (char)(0x80 | (c & 0x3f));
    }
    return out;
}

char *vhdx_text(const uint8_t *in, size_t bytes, char *out)
{
    char *p = out;

    for (size_t i = 0; i + 1 < bytes; i += 2) {
        uint32_t c = get_le16(in + i);

        if (c == 0)
            break;
        if (c >= 0xd800 && c < 0xdc00 && i + 3 < bytes && (get_le16(in + i + 2) & 0xfc00) == 0xdc00)
            c = 0x10000 + ((c & 0x3ff) << 10 | (get_le16(in + (i += 2)) & 0x3ffu));
        else if (c < 0x20 || (c >= 0x7f && c < 0xa0) || (c & 0xf800) == 0xd800)
            c = REPLACEMENT;
        p = put_utf8(c, p);
    }
    *p = 0;
    return out;
}
