/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Extents of a file and a VHDX in it, to the map of its disk. Whatever comes out must be what
 * a byte-by-byte walk says: disk -> BAT -> file -> device.
 *
 *   byte 0     number of extents; 9 bytes each: the hole before it and its length in units of
 *              4 KiB (2 + 2 bytes), its place likewise (4), a bit of its flags (1; 0: none)
 *   the rest   the file, see packed.h
 */
#include "common/bytes.h"
#include "tests/fuzz/packed.h"
#include "vhdx/check.h"
#include "vhdx/map.h"
#include "vhdxgen/fiemap.h"

#include <stdlib.h>

#define PAGE   4096
#define RECORD 9

static uint64_t unpack_extents(const uint8_t *input, size_t count, uint64_t size,
                               struct extent_map *file)
{
    uint64_t logical = 0;

    for (; count; count--, input += RECORD) {
        struct fiemap_extent e = {
            .fe_logical = logical + (uint64_t)get_le16(input) * PAGE,
            .fe_length = (uint64_t)get_le16(input + 2) * PAGE,
            .fe_physical = (uint64_t)get_le32(input + 4) * PAGE,
            .fe_flags = input[8] ? 1u << input[8] % 32 : 0,
        };
        const char *what = NULL, *cure = NULL;
        uint64_t before = extent_map_size(file);
        int err = fiemap_append(&e, size, file, &what, &cure);

        if (err == -EINVAL && (!what || !cure))
            abort();
        if (err && extent_map_size(file) != before)
            abort(); /* a refused extent leaves no trace */
        if (extent_map_size(file) > size)
            abort();
        logical = extent_map_size(file);
    }
    return logical;
}

/* Where byte OFFSET of the disk lies on the device, by the standard's own formula (2.5). */
static uint64_t walk(const struct packed *p, const struct vhdx_image *image,
                     const struct extent_map *file, uint64_t offset)
{
    uint64_t block = offset / image->values.block_size;
    uint64_t index = block + block / image->stats.chunk_ratio;
    const struct extent *e;
    uint8_t entry[8];
    uint64_t in_file;

    if (vhdx_read(&p->io, entry, 8, image->bat->offset + 8 * index) != 0 || (entry[0] & 7) != 6)
        abort();
    in_file = (get_le64(entry) & VHDX_BAT_OFFSET_MASK) + offset % image->values.block_size;
    e = extent_map_find(file, in_file);
    if (!e || e->kind != EXTENT_DEVICE)
        abort();
    return e->backing + (in_file - e->offset);
}

static void verify(const struct packed *p, const struct vhdx_image *image,
                   const struct extent_map *file, const struct extent_map *disk)
{
    if (extent_map_size(disk) != image->values.disk_size)
        abort();
    for (size_t i = 0; i < disk->count; i++) {
        const struct extent *e = &disk->extents[i];

        if (e->kind != EXTENT_DEVICE)
            abort();
        if (walk(p, image, file, e->offset) != e->backing ||
            walk(p, image, file, e->offset + e->length - 1) != e->backing + e->length - 1)
            abort();
    }
    for (uint64_t at = 0; at < image->values.disk_size; at += PAGE) {
        const struct extent *e = extent_map_find(disk, at);

        if (!e || e->backing + (at - e->offset) != walk(p, image, file, at))
            abort();
    }
}

static void map(const struct packed *p, const struct vhdx_image *image,
                const struct extent_map *file)
{
    struct extent_map disk = EXTENT_MAP_INIT;
    uint64_t block;
    int err = vhdx_map_disk(&p->io, image, file, &disk, &block);

    if (!err)
        verify(p, image, file, &disk);
    else if (err != -EINVAL && err != -ENODATA && err != -ERANGE)
        abort();
    extent_map_free(&disk);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t length)
{
    struct extent_map file = EXTENT_MAP_INIT;
    struct vhdx_report report = {0};
    struct vhdx_image image;
    struct packed p;
    size_t count = length ? input[0] : 0;

    if (length < 1 + count * RECORD)
        return 0;
    packed_open(&p, input + 1 + count * RECORD, length - 1 - count * RECORD);
    unpack_extents(input + 1, count, p.io.size, &file);
    if (vhdx_check(&p.io, NULL, &report, &image) != 0)
        abort();
    if (!vhdx_report_total(&report, VHDX_ERROR))
        map(&p, &image, &file);
    vhdx_image_free(&image);
    extent_map_free(&file);
    packed_close(&p);
    return 0;
}
