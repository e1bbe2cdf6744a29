/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vhdx/decode.h"

#include "common/bytes.h"
#include "common/crc32c.h"

#include <errno.h>
#include <string.h>

/* The checksum over LENGTH bytes at IN, whose 4-byte checksum field at offset 4 counts as zeros. */
static bool checksum_holds(const uint8_t *in, size_t length)
{
    static const uint8_t zeros[4];
    uint32_t crc = crc32c(crc32c(crc32c(0, in, 4), zeros, 4), in + 8, length - 8);

    return crc == get_le32(in + 4);
}

int vhdx_decode_header(const struct vhdx_disk_header *in, struct vhdx_header *header)
{
    if (memcmp(in->signature, "head", 4) != 0 || !checksum_holds((const void *)in, sizeof(*in)))
        return -EBADMSG;
    *header = (struct vhdx_header){
        .sequence = get_le64(in->sequence),
        .file_write = in->file_write_guid,
        .data_write = in->data_write_guid,
        .log_guid = in->log_guid,
        .log_version = get_le16(in->log_version),
        .version = get_le16(in->version),
        .log_length = get_le32(in->log_length),
        .log_offset = get_le64(in->log_offset),
    };
    return 0;
}

int vhdx_current_header(const struct vhdx_disk_header *first, const struct vhdx_disk_header *second,
                        struct vhdx_header *header)
{
    struct vhdx_header one, two;
    bool one_holds = vhdx_decode_header(first, &one) == 0;
    bool two_holds = vhdx_decode_header(second, &two) == 0;

    if (!one_holds && !two_holds)
        return -EBADMSG;
    if (!one_holds || (two_holds && two.sequence > one.sequence)) {
        *header = two;
        return 1;
    }
    *header = one;
    return 0;
}

int vhdx_decode_region_table(const uint8_t in[VHDX_REGIONS_SIZE])
{
    return memcmp(in, "regi", 4) == 0 && checksum_holds(in, VHDX_REGIONS_SIZE) ? 0 : -EBADMSG;
}

/* The value of ITEM, exactly LENGTH bytes, or NULL. */
static const uint8_t *find_item(const uint8_t *region, size_t region_length,
                                const struct guid *item, uint32_t length)
{
    const struct vhdx_disk_metadata_table *table = (const void *)region;
    const struct vhdx_disk_metadata_entry *entry = (const void *)(table + 1);

    for (unsigned n = get_le16(table->entry_count); n > 0; n--, entry++) {
        uint32_t at = get_le32(entry->offset);

        if (!guid_equal(&entry->item, item) || get_le32(entry->flags) & VHDX_ITEM_USER)
            continue;
        if (get_le32(entry->length) != length || at < VHDX_METADATA_ITEMS ||
            !range_inside(at, length, region_length))
            return NULL;
        return region + at;
    }
    return NULL;
}

int vhdx_decode_metadata(const uint8_t *region, size_t length, struct vhdx_disk_values *values)
{
    static const struct guid items[] = {VHDX_ITEM_FILE_PARAMETERS, VHDX_ITEM_DISK_SIZE,
                                        VHDX_ITEM_LOGICAL_SECTOR, VHDX_ITEM_PHYSICAL_SECTOR,
                                        VHDX_ITEM_DISK_ID};
    static const uint32_t lengths[] = {8, 8, 4, 4, 16};
    const struct vhdx_disk_metadata_table *table = (const void *)region;
    const uint8_t *found[ARRAY_SIZE(items)];

    if (length < VHDX_METADATA_ITEMS || memcmp(table->signature, "metadata", 8) != 0 ||
        get_le16(table->entry_count) > VHDX_TABLE_MAX)
        return -EBADMSG;
    for (size_t i = 0; i < ARRAY_SIZE(items); i++) {
        found[i] = find_item(region, length, &items[i], lengths[i]);
        if (!found[i])
            return -EBADMSG;
    }
    values->block_size = get_le32(found[0]);
    values->file_flags = get_le32(found[0] + 4);
    values->disk_size = get_le64(found[1]);
    values->logical_sector = get_le32(found[2]);
    values->physical_sector = get_le32(found[3]);
    memcpy(&values->disk_id, found[4], sizeof(values->disk_id));
    return 0;
}
