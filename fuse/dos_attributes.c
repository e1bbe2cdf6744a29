/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fuse/dos_attributes.h"

#include "common/bytes.h"

#include <endian.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define SPARSE     0x0200
#define COMPRESSED 0x0800
#define ENCRYPTED  0x4000
#define UNFIT      (SPARSE | COMPRESSED | ENCRYPTED)

/*
 * A text ("0x20", the whole value before Samba 3.5, empty since), then little-endian: the version
 * (16 bits), at the next multiple of four the same as 32 bits, from version 3 on a word of flags,
 * and the attributes.
 */
static uint32_t samba_attributes(const uint8_t *value, size_t size)
{
    const uint8_t *end = memchr(value, 0, size);
    size_t at;

    if (!end || end != value)
        return end ? (uint32_t)strtoul((const char *)value, NULL, 16) : 0;
    if (size < 4)
        return 0;
    at = get_le16(value + 2) >= 3 ? 12 : 8;
    return at + 4 <= size ? get_le32(value + at) : 0;
}

static uint32_t get_native(const void *value)
{
    uint32_t word;

    memcpy(&word, value, sizeof(word));
    return word;
}

bool dos_attributes_unfit(const char *name, const void *value, size_t size)
{
    uint32_t attributes = 0;

    if (!strcmp(name, "user.DOSATTRIB"))
        attributes = samba_attributes(value, size);
    else if (!strcmp(name, "system.ntfs_attrib") && size >= 4)
        attributes = get_native(value); /* of this machine's byte order: ntfs-3g's choice */
    else if (!strcmp(name, "system.ntfs_attrib_be") && size >= 4)
        attributes = be32toh(get_native(value));
    return attributes & UNFIT;
}
