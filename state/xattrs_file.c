/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "state/xattrs_file.h"

#include "common/bytes.h"
#include "common/crc32c.h"
#include "state/xattrs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct disk_header {
    uint8_t magic[8];
    uint8_t checksum[4]; /* over all that follows this field */
    uint8_t count[4];
};
_Static_assert(sizeof(struct disk_header) == 16, "no padding");

struct disk_record {
    uint8_t object_length[2];
    uint8_t name_length[2];
    uint8_t value_length[4];
};
_Static_assert(sizeof(struct disk_record) == 8, "no padding");

static const uint8_t magic[8] = {'v', 'h', 'd', 'x', 'a', 't', 't', 'r'};
#define CHECKED_FROM offsetof(struct disk_header, count)

void xattr_set_free(struct xattr_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        free(set->items[i].value);
    free(set->items);
    *set = (struct xattr_set){0};
}

static size_t record_size(const struct xattr *x)
{
    return sizeof(struct disk_record) + strlen(x->object) + strlen(x->name) + x->size;
}

static uint8_t *put_bytes(uint8_t *out, const void *data, size_t size)
{
    if (size)
        memcpy(out, data, size);
    return out + size;
}

int xattr_set_encode(const struct xattr_set *set, uint8_t **data, size_t *size)
{
    struct disk_header *header;
    uint8_t *out;

    *size = sizeof(*header);
    for (size_t i = 0; i < set->count; i++)
        *size += record_size(&set->items[i]);
    *data = malloc(*size);
    if (!*data)
        return -ENOMEM;
    header = (void *)*data;
    memcpy(header->magic, magic, sizeof(magic));
    put_le32(header->count, (uint32_t)set->count);
    out = *data + sizeof(*header);
    for (size_t i = 0; i < set->count; i++) {
        const struct xattr *x = &set->items[i];
        struct disk_record *record = (void *)out;

        put_le16(record->object_length, (uint16_t)strlen(x->object));
        put_le16(record->name_length, (uint16_t)strlen(x->name));
        put_le32(record->value_length, x->size);
        out = put_bytes((uint8_t *)(record + 1), x->object, strlen(x->object));
        out = put_bytes(out, x->name, strlen(x->name));
        out = put_bytes(out, x->value, x->size);
    }
    put_le32(header->checksum, crc32c(0, *data + CHECKED_FROM, *size - CHECKED_FROM));
    return 0;
}

/* Parses one record of LEFT bytes at IN into X. Returns its length, or -EUCLEAN, -ENOMEM. */
static ssize_t decode_record(const uint8_t *in, size_t left, struct xattr *x)
{
    const struct disk_record *record = (const void *)in;
    size_t object, name, value;

    if (left < sizeof(*record))
        return -EUCLEAN;
    object = get_le16(record->object_length);
    name = get_le16(record->name_length);
    value = get_le32(record->value_length);
    left -= sizeof(*record);
    if (!object || object > XATTRS_OBJECT_MAX || !name || name > XATTRS_NAME_MAX ||
        value > XATTRS_VALUE_MAX || left < object + name + value)
        return -EUCLEAN;
    in += sizeof(*record);
    if (memchr(in, 0, object + name)) /* both are text */
        return -EUCLEAN;
    *x = (struct xattr){.size = (uint32_t)value, .value = malloc(value ? value : 1)};
    if (!x->value)
        return -ENOMEM;
    memcpy(x->object, in, object);
    memcpy(x->name, in + object, name);
    memcpy(x->value, in + object + name, value);
    return (ssize_t)(sizeof(*record) + object + name + value);
}

int xattr_set_decode(const uint8_t *data, size_t size, struct xattr_set *set)
{
    const struct disk_header *header = (const void *)data;
    size_t count, at = sizeof(*header);

    *set = (struct xattr_set){0};
    if (size < sizeof(*header) || memcmp(header->magic, magic, sizeof(magic)) != 0 ||
        crc32c(0, data + CHECKED_FROM, size - CHECKED_FROM) != get_le32(header->checksum))
        return -EUCLEAN;
    count = get_le32(header->count);
    if (count > XATTRS_COUNT_MAX)
        return -EUCLEAN;
    set->items = calloc(count ? count : 1, sizeof(*set->items));
    if (!set->items)
        return -ENOMEM;
    for (; set->count < count; set->count++) {
        ssize_t n = decode_record(data + at, size - at, &set->items[set->count]);

        if (n < 0) {
            xattr_set_free(set);
            return (int)n;
        }
        at += (size_t)n;
    }
    if (at != size) {
        xattr_set_free(set);
        return -EUCLEAN;
    }
    return 0;
}
