/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The metadata region: its table and the five items every disk has (2.6). */
#include "vhdx/judge.h"

#include "common/bytes.h"
#include "common/cleanup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MAX_METADATA     (128 * MIB)
#define MAX_ITEM         MIB
#define MAX_USER_ITEMS   1024
#define MAX_SYSTEM_ITEMS 1023

static const struct known_item {
    struct guid guid;
    uint32_t length; /* 0: any */
    bool virtual_disk;
} known_items[] = {
    [VHDX_VALUE_PARAMETERS] = {VHDX_ITEM_FILE_PARAMETERS, 8, false},
    [VHDX_VALUE_DISK_SIZE] = {VHDX_ITEM_DISK_SIZE, 8, true},
    [VHDX_VALUE_LOGICAL] = {VHDX_ITEM_LOGICAL_SECTOR, 4, true},
    [VHDX_VALUE_PHYSICAL] = {VHDX_ITEM_PHYSICAL_SECTOR, 4, true},
    [VHDX_VALUE_DISK_ID] = {VHDX_ITEM_DISK_ID, 16, true},
    [VHDX_VALUE_COUNT] = {VHDX_ITEM_PARENT_LOCATOR, 0, false},
};

static const struct known_item *find_known(const struct vhdx_item *item)
{
    for (size_t i = 0; i < ARRAY_SIZE(known_items); i++)
        if (!(item->flags & VHDX_ITEM_USER) && guid_equal(&known_items[i].guid, &item->guid))
            return &known_items[i];
    return NULL;
}

/* The place in the file of ITEM's value. */
static uint64_t value_place(const struct check *c, const struct vhdx_item *item)
{
    return c->image->metadata->offset + item->offset;
}

static void judge_extent(struct check *c, struct vhdx_item *item, const char *name, uint64_t at)
{
    if (item->length > MAX_ITEM)
        REPORT(c, META_LENGTH, at + 20, "item %s is 0x%" PRIx32 " long", name, item->length);
    if (!item->length != !item->offset)
        REPORT(c, META_EMPTY, at + 16, "item %s has 0x%" PRIx32 " bytes at 0x%" PRIx32, name,
               item->length, item->offset);
    if (!item->length || !item->offset)
        return;
    if (item->offset < VHDX_METADATA_ITEMS)
        REPORT(c, META_LOW, at + 16, "item %s lies at 0x%" PRIx32, name, item->offset);
    else if (!range_inside(item->offset, item->length, c->image->metadata->length))
        REPORT(c, META_OUTSIDE, at + 16,
               "item %s has 0x%" PRIx32 " bytes at 0x%" PRIx32 " of a region of 0x%" PRIx32, name,
               item->length, item->offset, c->image->metadata->length);
    else
        item->usable = item->length <= MAX_ITEM;
}

static void judge_role(struct check *c, const struct vhdx_item *item, const char *name, uint64_t at)
{
    static const struct guid incomplete = VHDX_ITEM_INCOMPLETE_FILE;
    const struct known_item *known = find_known(item);
    bool required = item->flags & VHDX_ITEM_REQUIRED, user = item->flags & VHDX_ITEM_USER;

    if (user && required)
        REPORT(c, META_USER_REQUIRED, at + 24, "item %s is a user item and required", name);
    if (user)
        return;
    if (!known && required && guid_equal(&item->guid, &incomplete))
        REPORT(c, META_INCOMPLETE, at, "it was never finished; make it again");
    else if (!known && required)
        REPORT(c, META_UNKNOWN, at, "item %s is required, and nobody knows it", name);
    else if (!known)
        REPORT(c, META_OPTIONAL, at, "item %s is unknown", name);
    if (!known)
        return;
    if (known->length && item->length != known->length)
        REPORT(c, META_SIZE, at + 20, "item %s has %" PRIu32 " bytes instead of %" PRIu32, name,
               item->length, known->length);
    if (!(item->flags & VHDX_ITEM_VIRTUAL_DISK) == known->virtual_disk)
        REPORT(c, META_VIRTUAL, at + 24, "the flags of %s are 0x%" PRIx32, name, item->flags);
    if (!required)
        REPORT(c, META_NOT_REQUIRED, at + 24, "item %s is not marked so", name);
}

static void judge_item(struct check *c, struct vhdx_item *item, uint32_t reserved, uint64_t at)
{
    const char *name = vhdx_item_name(&item->guid);
    char text[GUID_TEXT_MAX];

    if (!name)
        name = guid_format(&item->guid, text);
    if (item->flags & ~(VHDX_ITEM_USER | VHDX_ITEM_VIRTUAL_DISK | VHDX_ITEM_REQUIRED))
        REPORT(c, META_FLAGS, at + 24, "the flags of %s are 0x%" PRIx32, name, item->flags);
    if (reserved)
        REPORT(c, META_RESERVED2, at + 28, "Reserved2 of %s is 0x%" PRIx32, name, reserved);
    if (guid_is_null(&item->guid))
        REPORT(c, META_NULL, at, "this item's GUID is null");
    judge_extent(c, item, name, at);
    judge_role(c, item, name, at);
}

/* The first item before I that has its identity, or I. */
static size_t find_twin(const struct vhdx_item *all, size_t i)
{
    size_t j = 0;

    while (j < i && (!guid_equal(&all[j].guid, &all[i].guid) ||
                     ((all[j].flags ^ all[i].flags) & VHDX_ITEM_USER)))
        j++;
    return j;
}

/* The first item before I that shares bytes with it, or I. */
static size_t find_overlap(const struct vhdx_item *all, size_t i)
{
    size_t j = all[i].usable ? 0 : i;

    while (j < i && (!all[j].usable ||
                     !ranges_overlap(all[j].offset, all[j].length, all[i].offset, all[i].length)))
        j++;
    return j;
}

static void judge_pairs(struct check *c, size_t i, uint64_t at)
{
    const struct vhdx_item *all = c->image->items;
    size_t twin = find_twin(all, i), other = find_overlap(all, i);
    char text[GUID_TEXT_MAX];

    if (twin < i)
        REPORT(c, META_DUPLICATE, at, "entries %zu and %zu are both %s", twin, i,
               guid_format(&all[i].guid, text));
    if (other < i)
        REPORT(c, META_OVERLAP, at + 16, "entries %zu and %zu share bytes", other, i);
}

static void judge_counts(struct check *c)
{
    size_t user = 0, system;

    for (size_t i = 0; i < c->image->item_count; i++)
        user += c->image->items[i].flags & VHDX_ITEM_USER;
    system = c->image->item_count - user;
    if (user > MAX_USER_ITEMS)
        REPORT(c, META_USER_COUNT, c->image->metadata->offset + 10, "there are %zu", user);
    if (system > MAX_SYSTEM_ITEMS)
        REPORT(c, META_SYSTEM_COUNT, c->image->metadata->offset + 10, "there are %zu", system);
}

static int load_items(struct check *c, const uint8_t *table)
{
    const struct vhdx_disk_metadata_entry *disk = (const void *)(table + 32);
    struct vhdx_image *image = c->image;
    unsigned count = get_le16(table + 10);

    image->items = calloc(count + 1, sizeof(*image->items));
    if (!image->items)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++, disk++) {
        uint64_t at =
            image->metadata->offset + sizeof(struct vhdx_disk_metadata_table) + i * sizeof(*disk);

        image->items[i] = (struct vhdx_item){
            .guid = disk->item,
            .offset = get_le32(disk->offset),
            .length = get_le32(disk->length),
            .flags = get_le32(disk->flags),
        };
        image->item_count++;
        judge_item(c, &image->items[i], get_le32(disk->reserved), at);
        judge_pairs(c, i, at);
    }
    judge_counts(c);
    return 0;
}

static const struct vhdx_item *find_item(const struct vhdx_image *image, const struct guid *guid)
{
    for (size_t i = 0; i < image->item_count; i++)
        if (!(image->items[i].flags & VHDX_ITEM_USER) && guid_equal(&image->items[i].guid, guid))
            return &image->items[i];
    return NULL;
}

static void judge_parameters(struct check *c, uint64_t at)
{
    struct vhdx_image *image = c->image;
    const struct vhdx_disk_values *v = &image->values;

    if (v->file_flags & ~(VHDX_LEAVE_ALLOCATED | VHDX_HAS_PARENT))
        REPORT(c, META_PARAMETERS, at + 4, "the flags are 0x%" PRIx32, v->file_flags);
    if (v->file_flags & VHDX_HAS_PARENT)
        image->kind = VHDX_KIND_DIFFERENCING;
    else
        image->kind = v->file_flags & VHDX_LEAVE_ALLOCATED ? VHDX_KIND_FIXED : VHDX_KIND_DYNAMIC;
    if (!is_power_of_two(v->block_size) || v->block_size < VHDX_MIN_BLOCK_SIZE ||
        v->block_size > VHDX_MAX_BLOCK_SIZE) {
        REPORT(c, META_BLOCK_SIZE, at, "BlockSize is 0x%" PRIx32, v->block_size);
        image->known &= ~(1u << VHDX_VALUE_PARAMETERS);
    }
}

static bool is_sector_size(uint32_t size)
{
    return size == 512 || size == 4096;
}

/* Takes the value of one known item over, and judges it; LogicalSectorSize comes before size. */
static void judge_value(struct check *c, enum vhdx_value which, const uint8_t *data, uint64_t at)
{
    struct vhdx_image *image = c->image;
    struct vhdx_disk_values *v = &image->values;

    image->known |= 1u << which;
    switch (which) {
    case VHDX_VALUE_PARAMETERS:
        v->block_size = get_le32(data);
        v->file_flags = get_le32(data + 4);
        judge_parameters(c, at);
        break;
    case VHDX_VALUE_DISK_SIZE:
        v->disk_size = get_le64(data);
        if (v->disk_size && v->disk_size <= VHDX_MAX_DISK_SIZE)
            break;
        REPORT(c, META_DISK_SIZE, at, "VirtualDiskSize is 0x%" PRIx64, v->disk_size);
        image->known &= ~(1u << which);
        break;
    case VHDX_VALUE_LOGICAL:
        v->logical_sector = get_le32(data);
        if (is_sector_size(v->logical_sector))
            break;
        REPORT(c, META_LOGICAL, at, "LogicalSectorSize is %" PRIu32, v->logical_sector);
        image->known &= ~(1u << which);
        break;
    case VHDX_VALUE_PHYSICAL:
        v->physical_sector = get_le32(data);
        if (!is_sector_size(v->physical_sector))
            REPORT(c, META_PHYSICAL, at, "PhysicalSectorSize is %" PRIu32, v->physical_sector);
        break;
    case VHDX_VALUE_DISK_ID:
        memcpy(&v->disk_id, data, sizeof(v->disk_id));
        if (guid_is_null(&v->disk_id))
            REPORT(c, META_DISK_ID, at, "VirtualDiskId is null");
        break;
    case VHDX_VALUE_COUNT:
        break;
    }
}

static int load_values(struct check *c)
{
    const unsigned sized = 1u << VHDX_VALUE_DISK_SIZE | 1u << VHDX_VALUE_LOGICAL;
    struct vhdx_image *image = c->image;

    for (int i = 0; i < VHDX_VALUE_COUNT; i++) {
        const struct vhdx_item *item = find_item(image, &known_items[i].guid);
        uint8_t data[16];
        int err;

        if (!item)
            REPORT(c, META_MISSING, image->metadata->offset, "%s is missing",
                   vhdx_item_name(&known_items[i].guid));
        if (!item || !item->usable || item->length != known_items[i].length)
            continue;
        err = vhdx_read(&c->view.io, data, item->length, value_place(c, item));
        if (err)
            return err;
        judge_value(c, (enum vhdx_value)i, data, value_place(c, item));
    }
    if ((image->known & sized) == sized && image->values.disk_size % image->values.logical_sector)
        REPORT(c, META_DISK_SECTORS,
               value_place(c, find_item(image, &known_items[VHDX_VALUE_DISK_SIZE].guid)),
               "VirtualDiskSize is 0x%" PRIx64 ", with sectors of %" PRIu32,
               image->values.disk_size, image->values.logical_sector);
    return 0;
}

static int judge_locator(struct check *c)
{
    const struct vhdx_item *locator = find_item(c->image, &known_items[VHDX_VALUE_COUNT].guid);

    if (c->image->kind == VHDX_KIND_DIFFERENCING && !locator)
        REPORT(c, PAR_MISSING, c->image->metadata->offset, "HasParent is set, and there is none");
    if (c->image->kind != VHDX_KIND_DIFFERENCING && locator)
        REPORT(c, PAR_UNUSED, value_place(c, locator), "there is one, and HasParent is clear");
    return locator && locator->usable ? check_parent(c, locator) : 0;
}

int check_metadata(struct check *c)
{
    cleanup_free uint8_t *table = malloc(VHDX_METADATA_ITEMS);
    const struct vhdx_region *region = c->image->metadata;
    int err;

    if (!table)
        return -ENOMEM;
    if (!region || !region->usable || region->length < VHDX_METADATA_ITEMS)
        return 0;
    if (region->length > MAX_METADATA)
        REPORT(c, META_HUGE, region->offset, "the region is 0x%" PRIx32 " long", region->length);
    err = vhdx_read(&c->view.io, table, VHDX_METADATA_ITEMS, region->offset);
    if (err)
        return err;
    if (memcmp(table, "metadata", 8) != 0) {
        REPORT(c, META_SIGNATURE, region->offset,
               "it starts with %02x %02x %02x %02x %02x %02x %02x %02x", table[0], table[1],
               table[2], table[3], table[4], table[5], table[6], table[7]);
        return 0;
    }
    if (get_le16(table + 8) || !is_zero(table + 12, 20))
        REPORT(c, META_RESERVED, region->offset + 8, "reserved fields are not all zero");
    if (get_le16(table + 10) > VHDX_TABLE_MAX) {
        REPORT(c, META_COUNT, region->offset + 10, "EntryCount is %u", get_le16(table + 10));
        return 0;
    }
    err = load_items(c, table);
    if (!err)
        err = load_values(c);
    return err ? err : judge_locator(c);
}
