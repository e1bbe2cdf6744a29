/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "volume/gpt.h"

#include "common/bytes.h"
#include "common/units.h"

#include <string.h>

#define ENTRIES      128
#define ENTRY_SIZE   128
#define HEADER_SIZE  92
#define ENTRIES_SIZE (ENTRIES * ENTRY_SIZE)

/* Microsoft Basic Data. */
static const struct guid basic_data =
    GUID_INIT(0xebd0a0a2, 0xb9e5, 0x4433, 0x87, 0xc0, 0x68, 0xb6, 0xb7, 0x26, 0x99, 0xc7);

/* CRC-32 of IEEE 802.3: few bytes, once. */
static uint32_t crc32(const uint8_t *data, size_t length)
{
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < length; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc;
}

static void encode_mbr(const struct gpt *gpt, uint8_t *mbr)
{
    uint64_t sectors = gpt->disk_size / GPT_SECTOR - 1;
    uint8_t *entry = mbr + 446;

    entry[2] = 2; /* CHS of sector 1 */
    entry[4] = 0xee;
    memset(entry + 5, 0xff, 3);
    put_le32(entry + 8, 1);
    put_le32(entry + 12, (uint32_t)min_u64(sectors, UINT32_MAX));
    put_le16(mbr + 510, 0xaa55);
}

static void encode_entries(const struct gpt *gpt, uint8_t *entry)
{
    memcpy(entry, basic_data.b, 16);
    memcpy(entry + 16, gpt->partition.b, 16);
    put_le64(entry + 32, gpt->partition_at / GPT_SECTOR);
    put_le64(entry + 40, (gpt->partition_at + gpt->partition_size) / GPT_SECTOR - 1);
    for (size_t i = 0; i < 36 && gpt->name[i]; i++)
        put_le16(entry + 56 + 2 * i, (uint8_t)gpt->name[i]);
}

static void encode_header(const struct gpt *gpt, uint64_t here, uint64_t other,
                          uint64_t entries_lba, const uint8_t *entries, uint8_t *header)
{
    memcpy(header, "EFI PART", 8);
    put_le32(header + 8, 0x10000); /* revision 1.0 */
    put_le32(header + 12, HEADER_SIZE);
    put_le64(header + 24, here);
    put_le64(header + 32, other);
    put_le64(header + 40, GPT_HEAD_SIZE / GPT_SECTOR);
    put_le64(header + 48, (gpt->disk_size - GPT_TAIL_SIZE) / GPT_SECTOR - 1);
    memcpy(header + 56, gpt->disk.b, 16);
    put_le64(header + 72, entries_lba);
    put_le32(header + 80, ENTRIES);
    put_le32(header + 84, ENTRY_SIZE);
    put_le32(header + 88, crc32(entries, ENTRIES_SIZE));
    put_le32(header + 16, crc32(header, HEADER_SIZE));
}

void gpt_encode(const struct gpt *gpt, uint8_t head[GPT_HEAD_SIZE], uint8_t tail[GPT_TAIL_SIZE])
{
    uint64_t last = gpt->disk_size / GPT_SECTOR - 1;
    uint8_t *entries = head + (size_t)2 * GPT_SECTOR;

    memset(head, 0, GPT_HEAD_SIZE);
    memset(tail, 0, GPT_TAIL_SIZE);
    encode_mbr(gpt, head);
    encode_entries(gpt, entries);
    encode_header(gpt, 1, last, 2, entries, head + GPT_SECTOR);
    memcpy(tail, entries, ENTRIES_SIZE);
    encode_header(gpt, last, 1, last - 32, entries, tail + ENTRIES_SIZE);
}

static bool mbr_protects(const uint8_t *mbr)
{
    const uint8_t *entry = mbr + 446;

    if (get_le16(mbr + 510) != 0xaa55 || entry[4] != 0xee)
        return false;
    return !entry[16 + 4] && !entry[32 + 4] && !entry[48 + 4];
}

bool gpt_still_there(const struct gpt *gpt, const uint8_t head[GPT_HEAD_SIZE], const char **why)
{
    const uint8_t *header = head + GPT_SECTOR, *entries = header + GPT_SECTOR;
    uint8_t none[16] = {0};

    *why = "the disk's partition table is no GPT any more";
    if (!mbr_protects(head) || memcmp(header, "EFI PART", 8) != 0 || get_le64(header + 72) != 2 ||
        get_le32(header + 84) != ENTRY_SIZE)
        return false;
    *why = "the partition with the NTFS volume was deleted, moved, resized or given another type";
    if (memcmp(entries, basic_data.b, 16) != 0 ||
        get_le64(entries + 32) != gpt->partition_at / GPT_SECTOR ||
        get_le64(entries + 40) != (gpt->partition_at + gpt->partition_size) / GPT_SECTOR - 1)
        return false;
    *why = "another partition was made on the disk";
    for (size_t i = 1; i < ENTRIES; i++)
        if (memcmp(entries + i * ENTRY_SIZE, none, sizeof(none)) != 0)
            return false;
    *why = NULL;
    return true;
}
