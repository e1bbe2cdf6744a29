/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vhdxgen/dump.h"

#include "common/bytes.h"
#include "common/cleanup.h"
#include "vhdx/text.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

void dump_line(uint64_t offset, const char *name, const char *format, ...)
{
    va_list args;

    printf("0x%010" PRIx64 "  %-20s", offset, name);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

void dump_guid(uint64_t offset, const char *name, const struct guid *guid)
{
    char text[GUID_TEXT_MAX];

    dump_line(offset, name, "%s", guid_format(guid, text));
}

void dump_ascii(uint64_t offset, const char *name, const uint8_t *bytes, size_t length)
{
    char text[16];

    for (size_t i = 0; i < length && i < sizeof(text); i++)
        text[i] = isprint(bytes[i]) ? (char)bytes[i] : '.';
    dump_line(offset, name, "\"%.*s\"", (int)length, text);
}

int dump_identifier(const struct vhdx_io *io, const struct vhdx_image *image)
{
    struct vhdx_disk_identifier id;
    char creator[VHDX_TEXT_ROOM(sizeof(id.creator))];
    int err = vhdx_read(io, &id, sizeof(id), VHDX_IDENTIFIER_AT);

    (void)image;
    if (err)
        return err;
    dump_ascii(0, "Signature", id.signature, sizeof(id.signature));
    dump_line(8, "Creator", "\"%s\"", vhdx_text(id.creator, sizeof(id.creator), creator));
    return 0;
}

static int dump_header(const struct vhdx_io *io, uint64_t at)
{
    struct vhdx_disk_header h;
    struct vhdx_header unused;
    int err = vhdx_read(io, &h, sizeof(h), at);

    if (err)
        return err;
    dump_ascii(at, "Signature", h.signature, 4);
    dump_line(at + 4, "Checksum", "0x%08" PRIx32 "%s", get_le32(h.checksum),
              vhdx_decode_header(&h, &unused) ? " (the header is not valid)" : "");
    dump_line(at + 8, "SequenceNumber", "%" PRIu64, get_le64(h.sequence));
    dump_guid(at + 16, "FileWriteGuid", &h.file_write_guid);
    dump_guid(at + 32, "DataWriteGuid", &h.data_write_guid);
    dump_guid(at + 48, "LogGuid", &h.log_guid);
    dump_line(at + 64, "LogVersion", "%u", get_le16(h.log_version));
    dump_line(at + 66, "Version", "%u", get_le16(h.version));
    dump_line(at + 68, "LogLength", "0x%" PRIx32, get_le32(h.log_length));
    dump_line(at + 72, "LogOffset", "0x%" PRIx64, get_le64(h.log_offset));
    dump_line(at + 80, "Reserved", "%s",
              is_zero(h.reserved, sizeof(h.reserved)) ? "zeros" : "not all zeros");
    return 0;
}

int dump_header_1(const struct vhdx_io *io, const struct vhdx_image *image)
{
    (void)image;
    return dump_header(io, VHDX_HEADER_1_AT);
}

int dump_header_2(const struct vhdx_io *io, const struct vhdx_image *image)
{
    (void)image;
    return dump_header(io, VHDX_HEADER_2_AT);
}

static void dump_region(const struct vhdx_disk_region *r, uint64_t at)
{
    const char *name = vhdx_region_name(&r->guid);

    dump_guid(at, name ? name : "Guid", &r->guid);
    dump_line(at + 16, "  FileOffset", "0x%" PRIx64, get_le64(r->offset));
    dump_line(at + 24, "  Length", "0x%" PRIx32, get_le32(r->length));
    dump_line(at + 28, "  Flags", "0x%" PRIx32 "%s", get_le32(r->flags),
              get_le32(r->flags) & VHDX_REGION_REQUIRED ? " (required)" : "");
}

static int dump_regions(const struct vhdx_io *io, uint64_t at)
{
    cleanup_free uint8_t *table = malloc(VHDX_REGIONS_SIZE);
    const struct vhdx_disk_region *region;
    uint32_t count;
    int err;

    if (!table)
        return -ENOMEM;
    err = vhdx_read(io, table, VHDX_REGIONS_SIZE, at);
    if (err)
        return err;
    count = get_le32(table + 8);
    dump_ascii(at, "Signature", table, 4);
    dump_line(at + 4, "Checksum", "0x%08" PRIx32 "%s", get_le32(table + 4),
              vhdx_decode_region_table(table) ? " (the table is not valid)" : "");
    dump_line(at + 8, "EntryCount", "%" PRIu32, count);
    dump_line(at + 12, "Reserved", "0x%" PRIx32, get_le32(table + 12));
    region = (const void *)(table + sizeof(struct vhdx_disk_region_table));
    for (uint32_t i = 0; i < count && i < VHDX_TABLE_MAX; i++)
        dump_region(&region[i], at + 16 + 32 * (uint64_t)i);
    return 0;
}

int dump_regions_1(const struct vhdx_io *io, const struct vhdx_image *image)
{
    (void)image;
    return dump_regions(io, VHDX_REGIONS_1_AT);
}

int dump_regions_2(const struct vhdx_io *io, const struct vhdx_image *image)
{
    (void)image;
    return dump_regions(io, VHDX_REGIONS_2_AT);
}

/* The first bytes of an item's value. */
static int dump_value(const struct vhdx_io *io, uint64_t at, uint32_t length)
{
    uint8_t value[16];
    size_t n = (size_t)min_u64(length, sizeof(value));
    int err;

    if (!range_inside(at, n, io->size))
        return 0;
    err = vhdx_read(io, value, n, at);
    if (err)
        return err;
    printf("0x%010" PRIx64 "  %-20s", at, "  Value");
    for (size_t i = 0; i < n; i++)
        printf("%02x ", value[i]);
    puts(length > n ? "..." : "");
    return 0;
}

static int dump_item(const struct vhdx_io *io, const struct vhdx_disk_metadata_entry *e,
                     uint64_t at, uint64_t region)
{
    const char *name = vhdx_item_name(&e->item);
    uint32_t flags = get_le32(e->flags);

    dump_guid(at, name ? name : "ItemId", &e->item);
    dump_line(at + 16, "  Offset", "0x%" PRIx32, get_le32(e->offset));
    dump_line(at + 20, "  Length", "%" PRIu32, get_le32(e->length));
    dump_line(at + 24, "  Flags", "0x%" PRIx32 "%s%s%s", flags,
              flags & VHDX_ITEM_USER ? " user" : "",
              flags & VHDX_ITEM_VIRTUAL_DISK ? " virtual-disk" : "",
              flags & VHDX_ITEM_REQUIRED ? " required" : "");
    dump_line(at + 28, "  Reserved2", "0x%" PRIx32, get_le32(e->reserved));
    return dump_value(io, region + get_le32(e->offset), get_le32(e->length));
}

int dump_metadata(const struct vhdx_io *io, const struct vhdx_image *image)
{
    cleanup_free uint8_t *table = malloc(VHDX_METADATA_ITEMS);
    const struct vhdx_disk_metadata_entry *entries;
    uint64_t at;
    int err;

    if (!table)
        return -ENOMEM;
    if (!image->metadata || !image->metadata->usable)
        return -ENODATA;
    at = image->metadata->offset;
    err = vhdx_read(io, table, VHDX_METADATA_ITEMS, at);
    if (err)
        return err;
    dump_ascii(at, "Signature", table, 8);
    dump_line(at + 8, "Reserved", "0x%x", get_le16(table + 8));
    dump_line(at + 10, "EntryCount", "%u", get_le16(table + 10));
    dump_line(at + 12, "Reserved2", "%s", is_zero(table + 12, 20) ? "zeros" : "not all zeros");
    entries = (const void *)(table + sizeof(struct vhdx_disk_metadata_table));
    for (unsigned i = 0; i < get_le16(table + 10) && i < VHDX_TABLE_MAX && !err; i++)
        err = dump_item(io, &entries[i], at + 32 + 32 * (uint64_t)i, at);
    return err;
}

static void dump_bat_entry(const struct vhdx_bat_stats *s, uint64_t at, uint64_t index,
                           uint64_t entry)
{
    uint64_t group = s->chunk_ratio + 1;
    char name[32];

    if (index % group == s->chunk_ratio)
        snprintf(name, sizeof(name), "bitmap %" PRIu64, index / group);
    else
        snprintf(name, sizeof(name), "block %" PRIu64, index - index / group);
    dump_line(at, name, "0x%016" PRIx64 "  %-17s at 0x%" PRIx64, entry,
              vhdx_block_state_name(entry & VHDX_BAT_STATE_MASK), entry & VHDX_BAT_OFFSET_MASK);
}

int dump_bat(const struct vhdx_io *io, const struct vhdx_image *image)
{
    uint64_t zeros = 0, entries = image->stats.entries, i;

    if (!image->bat || !image->bat->usable || !image->stats.chunk_ratio)
        return -ENODATA;
    entries = min_u64(entries, image->bat->length / 8);
    for (i = 0; i < entries; i++) {
        uint64_t at = image->bat->offset + 8 * i;
        uint8_t entry[8];
        int err = vhdx_read(io, entry, sizeof(entry), at);

        if (err)
            return err;
        if (get_le64(entry) == 0) {
            zeros++;
            continue;
        }
        if (zeros)
            dump_line(at - 8 * zeros, "...", "%" PRIu64 " entries of 0", zeros);
        zeros = 0;
        dump_bat_entry(&image->stats, at, i, get_le64(entry));
    }
    if (zeros)
        dump_line(image->bat->offset + 8 * (i - zeros), "...", "%" PRIu64 " entries of 0", zeros);
    return 0;
}
