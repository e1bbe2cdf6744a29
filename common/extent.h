/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The extent map: what every file this project shows is made of.
 *
 * A virtual file is an ordered list of half-open ranges [offset, offset + length),
 * in bytes. They start at 0, follow each other without a gap and do not overlap.
 * extent_map_append() is the only way to add one, and it keeps that true.
 */
#ifndef COMMON_EXTENT_H
#define COMMON_EXTENT_H

#include <stddef.h>
#include <stdint.h>

enum extent_kind {
    EXTENT_DEVICE, /* the partition; backing = byte offset on it */
    EXTENT_META,   /* the persistent metadata; backing = byte offset in it */
    EXTENT_BAT,    /* the block allocation table, computed; backing = byte offset in it */
    EXTENT_ZERO,   /* reads as zeros; backing is 0 */
    EXTENT_NTFS,   /* the persistent image of a disk around the file; backing = byte offset in it */
};

struct extent {
    uint64_t offset; /* in the virtual file */
    uint64_t length; /* never 0 */
    enum extent_kind kind;
    uint64_t backing;
};

struct extent_map {
    struct extent *extents;
    size_t count;
    size_t room;
};

#define EXTENT_MAP_INIT                                                                            \
    {                                                                                              \
        NULL, 0, 0                                                                                 \
    }

/*
 * Appends LENGTH bytes of KIND at the end of the map. A range that continues the
 * last one (same kind, adjacent backing) is merged into it; an empty one is dropped.
 *
 * Returns 0; -EINVAL for an unknown kind, or a backing offset on EXTENT_ZERO;
 * -EOVERFLOW when the file or the backing range would pass INT64_MAX (what
 * off_t holds); -ENOMEM. On error the map is as before.
 */
int extent_map_append(struct extent_map *map, uint64_t length, enum extent_kind kind,
                      uint64_t backing);

/*
 * Appends what bytes [OFFSET, OFFSET + LENGTH) of FROM, another map, are made of: a file in a
 * file. Returns 0; -ERANGE when FROM ends before; or as extent_map_append(). After an error TO
 * may have a part of it.
 */
int extent_map_append_part(struct extent_map *to, const struct extent_map *from, uint64_t offset,
                           uint64_t length);

/* The file's size in bytes: the end of the last extent. */
uint64_t extent_map_size(const struct extent_map *map);

/* The extent that holds byte OFFSET, or NULL at or behind the end. Logarithmic. */
const struct extent *extent_map_find(const struct extent_map *map, uint64_t offset);

/* Frees what the map holds and leaves it empty. */
void extent_map_free(struct extent_map *map);

/* "device", "meta", "bat", "zero" or "ntfs". */
const char *extent_kind_name(enum extent_kind kind);

#endif
