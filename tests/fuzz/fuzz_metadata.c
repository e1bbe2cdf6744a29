/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The input is a metadata region, inside a file that is right otherwise: two bytes with the
 * length of the table, the table, and what lies from 64 KiB on.
 */
#include "common/bytes.h"
#include "tests/fuzz/packed.h"
#include "vhdx/check.h"
#include "vhdx/text.h"

#include <stdlib.h>
#include <string.h>

static struct vhdx_layout layout;
static uint8_t meta[VHDX_META_SIZE];
static size_t used = MIB - VHDX_METADATA_ITEMS; /* by the items of the last input */

static int read_file(void *opaque, void *data, size_t length, uint64_t offset)
{
    uint8_t *out = data;

    (void)opaque;
    if (offset < VHDX_META_SIZE) {
        size_t there = (size_t)min_u64(length, VHDX_META_SIZE - offset);

        memcpy(out, meta + offset, there);
        out += there;
        offset += there;
        length -= there;
    }
    memset(out, 0, length);
    if (length && offset < layout.payload_offset)
        vhdx_bat_read(&layout, offset - VHDX_BAT_AT, out, length);
    return 0;
}

static void prepare(void)
{
    const struct vhdx_params params = {8 * MIB, MIB, 512, 4096};
    const struct vhdx_identity identity = {{{1}}, {{2}}, {{3}}};

    if (vhdx_layout_init(&layout, &params, NULL) != 0)
        abort();
    vhdx_encode_meta(&layout, &identity, meta);
}

static void unpack(const uint8_t *input, size_t length)
{
    uint8_t *region = meta + VHDX_METADATA_AT;
    size_t table = length < 2 ? 0 : (size_t)min_u64(get_le16(input), length - 2), items;

    memset(region, 0, VHDX_METADATA_ITEMS + used);
    used = 0;
    if (length < 2)
        return;
    memcpy(region, input + 2, table);
    items = (size_t)min_u64(length - 2 - table, VHDX_METADATA_SIZE - VHDX_METADATA_ITEMS);
    memcpy(region + VHDX_METADATA_ITEMS, input + 2 + table, items);
    used = items;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t length)
{
    struct vhdx_io io = {.read = read_file};
    struct vhdx_disk_values values;
    struct vhdx_report report = {0};
    struct vhdx_image image;
    char text[VHDX_TEXT_ROOM(512)];

    if (!layout.disk_size)
        prepare();
    unpack(input, length);
    io.size = layout.file_size;
    if (vhdx_check(&io, NULL, &report, &image) != 0)
        abort();
    /* What check finds no fault with, the daemon's decoder takes, and to the same values. */
    if (!vhdx_report_total(&report, VHDX_ERROR)) {
        if (vhdx_decode_metadata(meta + VHDX_METADATA_AT, VHDX_METADATA_SIZE, &values) != 0 ||
            values.disk_size != image.values.disk_size ||
            values.block_size != image.values.block_size ||
            values.logical_sector != image.values.logical_sector)
            abort();
    }
    (void)vhdx_decode_metadata(input, length, &values);
    vhdx_text(input, min_u64(length, 512), text);
    vhdx_image_free(&image);
    return 0;
}
