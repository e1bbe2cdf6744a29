/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The region tables (2.2.3). */
#include "vhdx/judge.h"

#include "common/bytes.h"
#include "common/cleanup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void judge_copy(struct check *c, int index, const uint8_t *table)
{
    uint64_t at = index ? VHDX_REGIONS_2_AT : VHDX_REGIONS_1_AT;
    enum vhdx_copy *state = &c->image->table_states[index];

    *state = VHDX_COPY_VALID;
    if (memcmp(table, "regi", 4) != 0) {
        *state = VHDX_COPY_BAD_SIGNATURE;
        REPORT(c, REG_SIGNATURE, at, "region table %d starts with %02x %02x %02x %02x", index + 1,
               table[0], table[1], table[2], table[3]);
    } else if (vhdx_decode_region_table(table) != 0) {
        *state = VHDX_COPY_BAD_CHECKSUM;
        REPORT(c, REG_CHECKSUM, at + 4, "the checksum of region table %d does not hold", index + 1);
    }
}

/* The table to use, or NULL. */
static const uint8_t *choose_table(struct check *c, const uint8_t *one, const uint8_t *two)
{
    struct vhdx_image *image = c->image;
    bool one_holds = image->table_states[0] == VHDX_COPY_VALID;
    bool two_holds = image->table_states[1] == VHDX_COPY_VALID;

    if (one_holds && two_holds && memcmp(one, two, VHDX_REGIONS_SIZE) != 0)
        REPORT(c, REG_DIFFER, VHDX_REGIONS_2_AT, "both are valid and differ; the first one counts");
    if (!one_holds && !two_holds)
        REPORT(c, REG_NONE, VHDX_REGIONS_1_AT, "region table 1 has a %s, region table 2 a %s",
               vhdx_copy_name(image->table_states[0]), vhdx_copy_name(image->table_states[1]));
    image->table = one_holds ? 0 : two_holds ? 1 : -1;
    return one_holds ? one : two_holds ? two : NULL;
}

/* What can be said of one region alone. */
static void judge_region(struct check *c, struct vhdx_region *r, uint64_t at)
{
    const char *name = vhdx_region_name(&r->guid);
    bool required = r->flags & VHDX_REGION_REQUIRED;
    char text[GUID_TEXT_MAX];

    guid_format(&r->guid, text);
    if (r->flags & ~VHDX_REGION_REQUIRED)
        REPORT(c, REG_FLAGS, at + 28, "the flags of region %s are 0x%" PRIx32, text, r->flags);
    if (!name && required)
        REPORT(c, REG_UNKNOWN, at, "region %s is required, and nobody knows it", text);
    else if (!name)
        REPORT(c, REG_OPTIONAL, at, "region %s is unknown", text);
    else if (!required)
        REPORT(c, REG_NOT_REQUIRED, at + 28, "the %s region is not marked so", name);
    if (r->offset % VHDX_ALIGNMENT)
        REPORT(c, REG_OFFSET, at + 16, "region %s lies at 0x%" PRIx64, text, r->offset);
    if (!r->length || r->length % VHDX_ALIGNMENT)
        REPORT(c, REG_LENGTH, at + 24, "region %s is 0x%" PRIx32 " long", text, r->length);
    if (r->offset < VHDX_HEADER_SECTION)
        REPORT(c, REG_LOW, at + 16, "region %s lies at 0x%" PRIx64, text, r->offset);
    if (!range_inside(r->offset, r->length, c->view.io.size))
        REPORT(c, REG_OUTSIDE, at + 16,
               "region %s has 0x%" PRIx32 " bytes at 0x%" PRIx64 ", the file 0x%" PRIx64, text,
               r->length, r->offset, c->view.io.size);
    else
        r->usable = r->length && r->offset >= VHDX_HEADER_SECTION;
    if (r->usable && check_hits_log(c, r->offset, r->length))
        REPORT(c, REG_LOG, at + 16, "region %s at 0x%" PRIx64 " overlaps the log", text, r->offset);
}

/* What region I and those before it say of each other; each fault once. */
static void judge_pairs(struct check *c, size_t i, uint64_t at)
{
    const struct vhdx_region *all = c->image->regions, *r = &all[i];
    char text[GUID_TEXT_MAX], other[GUID_TEXT_MAX];
    size_t twin = 0, overlap = 0;

    while (twin < i && !guid_equal(&all[twin].guid, &r->guid))
        twin++;
    while (overlap < i &&
           (!all[overlap].usable || !r->usable ||
            !ranges_overlap(all[overlap].offset, all[overlap].length, r->offset, r->length)))
        overlap++;
    if (twin < i)
        REPORT(c, REG_DUPLICATE, at, "entries %zu and %zu are both %s", twin, i,
               guid_format(&r->guid, text));
    if (overlap < i)
        REPORT(c, REG_OVERLAP, at + 16, "regions %s and %s overlap",
               guid_format(&all[overlap].guid, other), guid_format(&r->guid, text));
}

static int load_regions(struct check *c, const uint8_t *table, uint32_t count)
{
    const struct vhdx_disk_region *disk = (const void *)(table + 16);
    struct vhdx_image *image = c->image;

    image->regions = calloc(count + 1, sizeof(*image->regions));
    if (!image->regions)
        return -ENOMEM;
    for (; image->region_count < count; image->region_count++, disk++)
        image->regions[image->region_count] = (struct vhdx_region){
            .guid = disk->guid,
            .offset = get_le64(disk->offset),
            .length = get_le32(disk->length),
            .flags = get_le32(disk->flags),
        };
    return 0;
}

static const struct vhdx_region *find_region(const struct vhdx_image *image,
                                             const struct guid *guid)
{
    for (size_t i = 0; i < image->region_count; i++)
        if (guid_equal(&image->regions[i].guid, guid))
            return &image->regions[i];
    return NULL;
}

static void judge_regions(struct check *c, uint64_t at)
{
    static const struct guid bat = VHDX_REGION_BAT, metadata = VHDX_REGION_METADATA;
    struct vhdx_image *image = c->image;

    for (size_t i = 0; i < image->region_count; i++) {
        uint64_t entry =
            at + sizeof(struct vhdx_disk_region_table) + i * sizeof(struct vhdx_disk_region);

        judge_region(c, &image->regions[i], entry);
        judge_pairs(c, i, entry);
    }
    image->bat = find_region(image, &bat);
    image->metadata = find_region(image, &metadata);
    if (!image->bat)
        REPORT(c, REG_NO_BAT, at, "none of %zu regions is the BAT", image->region_count);
    if (!image->metadata)
        REPORT(c, REG_NO_METADATA, at, "none of %zu regions is the metadata", image->region_count);
}

int check_regions(struct check *c)
{
    cleanup_free uint8_t *tables = malloc(2 * VHDX_REGIONS_SIZE);
    const uint8_t *table;
    uint64_t at;
    int err;

    if (!tables)
        return -ENOMEM;
    err = vhdx_read(&c->view.io, tables, 2 * VHDX_REGIONS_SIZE, VHDX_REGIONS_1_AT);
    if (err)
        return err;
    judge_copy(c, 0, tables);
    judge_copy(c, 1, tables + VHDX_REGIONS_SIZE);
    table = choose_table(c, tables, tables + VHDX_REGIONS_SIZE);
    if (!table)
        return 0;
    at = c->image->table ? VHDX_REGIONS_2_AT : VHDX_REGIONS_1_AT;
    if (get_le32(table + 12))
        REPORT(c, REG_RESERVED, at + 12, "Reserved is 0x%" PRIx32, get_le32(table + 12));
    if (get_le32(table + 8) > VHDX_TABLE_MAX) {
        REPORT(c, REG_COUNT, at + 8, "EntryCount is %" PRIu32, get_le32(table + 8));
        return 0;
    }
    err = load_regions(c, table, get_le32(table + 8));
    if (!err)
        judge_regions(c, at);
    return err;
}
