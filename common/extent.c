/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/extent.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

uint64_t extent_map_size(const struct extent_map *map)
{
    const struct extent *last;

    if (!map->count)
        return 0;
    last = &map->extents[map->count - 1];
    return last->offset + last->length;
}

static bool continues(const struct extent *last, enum extent_kind kind, uint64_t backing)
{
    if (last->kind != kind)
        return false;
    return kind == EXTENT_ZERO || last->backing + last->length == backing;
}

static int make_room(struct extent_map *map)
{
    size_t room = map->room ? map->room * 2 : 8;
    struct extent *more;

    if (map->count < map->room)
        return 0;
    more = reallocarray(map->extents, room, sizeof(*more));
    if (!more)
        return -ENOMEM;
    map->extents = more;
    map->room = room;
    return 0;
}

int extent_map_append(struct extent_map *map, uint64_t length, enum extent_kind kind,
                      uint64_t backing)
{
    uint64_t offset = extent_map_size(map);
    int err;

    if ((unsigned)kind > EXTENT_NTFS || (kind == EXTENT_ZERO && backing))
        return -EINVAL;
    if (length > INT64_MAX || backing > INT64_MAX - length || offset > INT64_MAX - length)
        return -EOVERFLOW;
    if (!length)
        return 0;
    if (map->count && continues(&map->extents[map->count - 1], kind, backing)) {
        map->extents[map->count - 1].length += length;
        return 0;
    }
    err = make_room(map);
    if (err)
        return err;
    map->extents[map->count++] =
        (struct extent){.offset = offset, .length = length, .kind = kind, .backing = backing};
    return 0;
}

const struct extent *extent_map_find(const struct extent_map *map, uint64_t offset)
{
    size_t low = 0, high = map->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct extent *e = &map->extents[middle];

        if (offset < e->offset)
            high = middle;
        else if (offset - e->offset >= e->length)
            low = middle + 1;
        else
            return e;
    }
    return NULL;
}

int extent_map_append_part(struct extent_map *to, const struct extent_map *from, uint64_t offset,
                           uint64_t length)
{
    const struct extent *e = extent_map_find(from, offset);
    uint64_t size = extent_map_size(from);

    if (offset > size || length > size - offset)
        return -ERANGE;
    for (; length; e++) {
        uint64_t skip = offset - e->offset, left = e->length - skip;
        uint64_t n = length < left ? length : left;
        int err = extent_map_append(to, n, e->kind, e->kind == EXTENT_ZERO ? 0 : e->backing + skip);

        if (err)
            return err;
        offset += n;
        length -= n;
    }
    return 0;
}

void extent_map_free(struct extent_map *map)
{
    free(map->extents);
    *map = (struct extent_map)EXTENT_MAP_INIT;
}

const char *extent_kind_name(enum extent_kind kind)
{
    switch (kind) {
    case EXTENT_DEVICE:
        return "device";
    case EXTENT_META:
        return "meta";
    case EXTENT_BAT:
        return "bat";
    case EXTENT_ZERO:
        return "zero";
    case EXTENT_NTFS:
        return "ntfs";
    }
    return "?";
}
