/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vhdx/encode.h"

#include "common/bytes.h"
#include "common/crc32c.h"

#include <string.h>

#define CREATOR "vhdxfs"

struct vhdx_identity vhdx_identity_derive(const char *partition)
{
    return (struct vhdx_identity){
        .file_write = guid_derive(partition, "vhdx/file-write"),
        .data_write = guid_derive(partition, "vhdx/data-write"),
        .disk_id = guid_derive(partition, "vhdx/virtual-disk-id"),
    };
}

void vhdx_encode_identifier(struct vhdx_disk_identifier *out)
{
    static const char creator[] = CREATOR;

    memset(out, 0, sizeof(*out));
    memcpy(out->signature, "vhdxfile", sizeof(out->signature));
    for (size_t i = 0; i < sizeof(creator) - 1; i++)
        put_le16(out->creator + 2 * i, (uint16_t)creator[i]);
}

void vhdx_encode_header(const struct vhdx_header *header, struct vhdx_disk_header *out)
{
    memset(out, 0, sizeof(*out));
    memcpy(out->signature, "head", sizeof(out->signature));
    put_le64(out->sequence, header->sequence);
    out->file_write_guid = header->file_write;
    out->data_write_guid = header->data_write;
    out->log_guid = header->log_guid;
    put_le16(out->log_version, header->log_version);
    put_le16(out->version, header->version);
    put_le32(out->log_length, header->log_length);
    put_le64(out->log_offset, header->log_offset);
    put_le32(out->checksum, crc32c(0, out, sizeof(*out)));
}

static void put_region(struct vhdx_disk_region *out, const struct guid *guid, uint64_t offset,
                       uint64_t length)
{
    out->guid = *guid;
    put_le64(out->offset, offset);
    put_le32(out->length, (uint32_t)length);
    put_le32(out->flags, VHDX_REGION_REQUIRED);
}

void vhdx_encode_region_table(const struct vhdx_layout *layout, uint8_t out[VHDX_REGIONS_SIZE])
{
    static const struct guid bat = VHDX_REGION_BAT, metadata = VHDX_REGION_METADATA;
    struct vhdx_disk_region_table *table = (void *)out;
    struct vhdx_disk_region *regions = (void *)(table + 1);

    memset(out, 0, VHDX_REGIONS_SIZE);
    memcpy(table->signature, "regi", sizeof(table->signature));
    put_le32(table->entry_count, 2);
    put_region(&regions[0], &bat, VHDX_BAT_AT, layout->bat_size);
    put_region(&regions[1], &metadata, VHDX_METADATA_AT, VHDX_METADATA_SIZE);
    put_le32(table->checksum, crc32c(0, out, VHDX_REGIONS_SIZE));
}

/* Appends one item of LENGTH bytes; its value goes where the returned pointer says. */
static uint8_t *put_item(uint8_t *region, const struct guid *item, uint32_t length, uint32_t flags)
{
    struct vhdx_disk_metadata_table *table = (void *)region;
    struct vhdx_disk_metadata_entry *entries = (void *)(table + 1), *entry;
    uint16_t count = get_le16(table->entry_count);
    uint32_t at = (uint32_t)VHDX_METADATA_ITEMS;

    if (count)
        at = get_le32(entries[count - 1].offset) + get_le32(entries[count - 1].length);
    entry = &entries[count];
    entry->item = *item;
    put_le32(entry->offset, at);
    put_le32(entry->length, length);
    put_le32(entry->flags, flags);
    put_le16(table->entry_count, (uint16_t)(count + 1));
    return region + at;
}

void vhdx_encode_metadata(const struct vhdx_layout *layout, const struct guid *disk_id,
                          uint8_t out[VHDX_METADATA_USED])
{
    static const struct guid parameters = VHDX_ITEM_FILE_PARAMETERS, size = VHDX_ITEM_DISK_SIZE,
                             logical = VHDX_ITEM_LOGICAL_SECTOR,
                             physical = VHDX_ITEM_PHYSICAL_SECTOR, id = VHDX_ITEM_DISK_ID;
    const uint32_t of_disk = VHDX_ITEM_REQUIRED | VHDX_ITEM_VIRTUAL_DISK;
    uint8_t *value;

    memset(out, 0, VHDX_METADATA_USED);
    memcpy(out, "metadata", 8);
    value = put_item(out, &parameters, 8, VHDX_ITEM_REQUIRED);
    put_le32(value, layout->block_size);
    put_le32(value + 4, VHDX_LEAVE_ALLOCATED);
    put_le64(put_item(out, &size, 8, of_disk), layout->disk_size);
    put_le32(put_item(out, &logical, 4, of_disk), layout->logical_sector);
    put_le32(put_item(out, &physical, 4, of_disk), layout->physical_sector);
    memcpy(put_item(out, &id, sizeof(*disk_id), of_disk), disk_id, sizeof(*disk_id));
}

void vhdx_encode_meta(const struct vhdx_layout *layout, const struct vhdx_identity *identity,
                      uint8_t out[VHDX_META_SIZE])
{
    struct vhdx_header header = {
        .sequence = 1,
        .file_write = identity->file_write,
        .data_write = identity->data_write,
        .version = 1,
        .log_length = (uint32_t)VHDX_LOG_SIZE,
        .log_offset = VHDX_LOG_AT,
    };

    vhdx_encode_identifier((void *)(out + VHDX_IDENTIFIER_AT));
    vhdx_encode_header(&header, (void *)(out + VHDX_HEADER_1_AT));
    header.sequence++;
    vhdx_encode_header(&header, (void *)(out + VHDX_HEADER_2_AT));
    vhdx_encode_region_table(layout, out + VHDX_REGIONS_1_AT);
    memcpy(out + VHDX_REGIONS_2_AT, out + VHDX_REGIONS_1_AT, VHDX_REGIONS_SIZE);
    vhdx_encode_metadata(layout, &identity->disk_id, out + VHDX_METADATA_AT);
}
