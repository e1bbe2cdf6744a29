/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ntfs/record.h"

#include "common/bytes.h"

#include <errno.h>

#define ATTRIBUTE_DATA UINT32_C(0x80)
#define ATTRIBUTE_END  UINT32_MAX
#define NONRESIDENT    64 /* the shortest header of such an attribute */
#define VCN_MAX        (UINT64_C(1) << 48)

int ntfs_boot_decode(const uint8_t sector[NTFS_SECTOR], struct ntfs_boot *boot)
{
    /* Records smaller than a cluster are told as minus the logarithm of their size. */
    const uint8_t record_size = (uint8_t)-10;

    if (memcmp(sector + 3, "NTFS    ", 8) != 0 || get_le16(sector + 11) != NTFS_SECTOR ||
        sector[13] != NTFS_CLUSTER / NTFS_SECTOR || sector[64] != record_size)
        return -EUCLEAN;
    boot->sectors = get_le64(sector + 40);
    boot->mft_lcn = get_le64(sector + 48);
    return boot->mft_lcn < VCN_MAX ? 0 : -EUCLEAN;
}
_Static_assert(NTFS_RECORD_SIZE == 1 << 10, "record_size says so");

int ntfs_record_decode(uint8_t record[NTFS_RECORD_SIZE])
{
    size_t sequence = get_le16(record + 4), sectors = NTFS_RECORD_SIZE / NTFS_SECTOR;

    if (memcmp(record, "FILE", 4) != 0 || get_le16(record + 6) != sectors + 1 || sequence < 42 ||
        sequence % 2 || sequence + 2 * (sectors + 1) > NTFS_SECTOR - 2)
        return -EUCLEAN;
    for (size_t i = 1; i <= sectors; i++)
        if (memcmp(record + i * NTFS_SECTOR - 2, record + sequence, 2) != 0)
            return -EAGAIN;
    for (size_t i = 1; i <= sectors; i++)
        memcpy(record + i * NTFS_SECTOR - 2, record + sequence + 2 * i, 2);
    return 0;
}

uint16_t ntfs_record_flags(const uint8_t record[NTFS_RECORD_SIZE])
{
    return get_le16(record + 22);
}

uint64_t ntfs_record_base(const uint8_t record[NTFS_RECORD_SIZE])
{
    return get_le64(record + 32);
}

static int decode_data(const uint8_t *a, uint32_t length, struct ntfs_data *data)
{
    uint32_t pairs;

    if (length < NONRESIDENT)
        return -EUCLEAN;
    pairs = get_le16(a + 32);
    if (pairs < NONRESIDENT || pairs > length)
        return -EUCLEAN;
    *data = (struct ntfs_data){
        .flags = get_le16(a + 12),
        .highest_vcn = get_le64(a + 24),
        .allocated = get_le64(a + 40),
        .size = get_le64(a + 48),
        .initialized = get_le64(a + 56),
        .pairs = a + pairs,
        .pairs_size = length - pairs,
    };
    return 0;
}

int ntfs_record_data(const uint8_t record[NTFS_RECORD_SIZE], struct ntfs_data *data)
{
    uint32_t at = get_le16(record + 20), used = get_le32(record + 24);

    if (used > NTFS_RECORD_SIZE || at % 8)
        return -EUCLEAN;
    while (at + 4 <= used) {
        const uint8_t *a = record + at;
        uint32_t length;

        if (get_le32(a) == ATTRIBUTE_END)
            return -ENOENT;
        if (used - at < 16)
            return -EUCLEAN;
        length = get_le32(a + 4);
        if (length < 24 || length % 8 || length > used - at)
            return -EUCLEAN;
        /* Not resident, without a name, its first part. */
        if (get_le32(a) == ATTRIBUTE_DATA && a[8] == 1 && !a[9] && get_le64(a + 16) == 0)
            return decode_data(a, length, data);
        at += length;
    }
    return -EUCLEAN;
}

struct ntfs_runs ntfs_runs_of(const struct ntfs_data *data)
{
    return (struct ntfs_runs){.next = data->pairs, .end = data->pairs + data->pairs_size};
}

/* A signed little-endian number of 1 to 8 bytes. */
static int64_t signed_number(const uint8_t *p, size_t bytes)
{
    uint64_t value = 0;

    for (size_t i = 0; i < bytes; i++)
        value |= (uint64_t)p[i] << 8 * i;
    if (bytes < 8 && p[bytes - 1] & 0x80)
        value |= UINT64_MAX << 8 * bytes;
    return (int64_t)value;
}

int ntfs_runs_next(struct ntfs_runs *runs, struct ntfs_run *run)
{
    size_t length_bytes, lcn_bytes;
    int64_t length, delta = 0;

    if (runs->next == runs->end || !*runs->next)
        return 0;
    length_bytes = *runs->next & 15;
    lcn_bytes = *runs->next >> 4;
    if (!length_bytes || length_bytes > 8 || lcn_bytes > 8 ||
        (size_t)(runs->end - runs->next) < 1 + length_bytes + lcn_bytes)
        return -EUCLEAN;
    length = signed_number(runs->next + 1, length_bytes);
    if (lcn_bytes)
        delta = signed_number(runs->next + 1 + length_bytes, lcn_bytes);
    if (length <= 0 || (uint64_t)length > VCN_MAX || runs->vcn + (uint64_t)length > VCN_MAX ||
        __builtin_add_overflow(runs->lcn, delta, &runs->lcn) || runs->lcn < 0 ||
        (uint64_t)runs->lcn > VCN_MAX)
        return -EUCLEAN;
    *run = (struct ntfs_run){.vcn = runs->vcn,
                             .lcn = lcn_bytes ? (uint64_t)runs->lcn : NTFS_HOLE,
                             .length = (uint64_t)length};
    runs->vcn += (uint64_t)length;
    runs->next += 1 + length_bytes + lcn_bytes;
    return 1;
}
