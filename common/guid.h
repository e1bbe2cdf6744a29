/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * GUIDs as Microsoft stores them: the first three fields little-endian, the rest
 * as written ([MS-DTYP] 2.3.4.2). struct guid is that byte image; text and
 * libuuid's big-endian form (RFC 4122) are converted at this border only.
 */
#ifndef COMMON_GUID_H
#define COMMON_GUID_H

#include <stdbool.h>
#include <stdint.h>

struct guid {
    uint8_t b[16];
};
_Static_assert(sizeof(struct guid) == 16, "a GUID is 16 bytes");

#define GUID_TEXT_MAX 37

/* Writes a literal in text order (12345678-1234-1234-1234-123456789abc) in stored order. */
#define GUID_INIT(d1, d2, d3, b0, b1, b2, b3, b4, b5, b6, b7)                                      \
    {                                                                                              \
        {                                                                                          \
            (d1) & 0xff, (d1) >> 8 & 0xff, (d1) >> 16 & 0xff, (d1) >> 24 & 0xff, (d2)&0xff,        \
                (d2) >> 8 & 0xff, (d3)&0xff, (d3) >> 8 & 0xff, b0, b1, b2, b3, b4, b5, b6, b7      \
        }                                                                                          \
    }

bool guid_equal(const struct guid *a, const struct guid *b);
bool guid_is_null(const struct guid *guid);

/* Lower-case text without braces; returns TEXT. */
const char *guid_format(const struct guid *guid, char text[GUID_TEXT_MAX]);

/* Parses 36 characters of text, either case. Returns 0 or -EINVAL. */
int guid_parse(const char *text, struct guid *guid);

/* A new random GUID (version 4), from the kernel's generator. */
struct guid guid_random(void);

/*
 * The name-based GUID (UUIDv5, RFC 4122 section 4.3) of NAME in the namespace
 * that IDENTITY stands for. IDENTITY is what names a partition: the text of a file
 * system's UUID or a PARTUUID. If it is not a 16-byte UUID (FAT's and NTFS's are not)
 * the namespace is itself the UUIDv5 of that text, in a namespace of this project's.
 * Same arguments, same GUID, on every machine and for all time.
 */
struct guid guid_derive(const char *identity, const char *name);

#endif
