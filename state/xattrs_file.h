/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file of extended attributes as bytes: encoding and parsing, no I/O. A header (magic,
 * CRC-32C over all behind it, count of records), then records: three lengths, then object,
 * name and value. Numbers are little-endian.
 */
#ifndef STATE_XATTRS_FILE_H
#define STATE_XATTRS_FILE_H

#include <stddef.h>
#include <stdint.h>

#define XATTRS_OBJECT_MAX 255
#define XATTRS_NAME_MAX   255

struct xattr {
    char object[XATTRS_OBJECT_MAX + 1];
    char name[XATTRS_NAME_MAX + 1];
    uint8_t *value;
    uint32_t size;
};

struct xattr_set {
    struct xattr *items;
    size_t count;
};

void xattr_set_free(struct xattr_set *set);

/* The bytes of SET in *DATA (free it) and their number, or -ENOMEM. */
int xattr_set_encode(const struct xattr_set *set, uint8_t **data, size_t *size);

/* The reverse. -EUCLEAN for anything that xattr_set_encode() does not write. */
int xattr_set_decode(const uint8_t *data, size_t size, struct xattr_set *set);

#endif
