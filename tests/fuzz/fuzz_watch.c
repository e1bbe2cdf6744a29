/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the fence parses: the partition table, boot sector and MFT records around a VHDX of 5 MiB,
 * good ones, with the input's changes in them. Byte 0 says which records get their update sequence
 * made right afterwards (bits 0 to 2); then records of four bytes: object, offset (2, modulo its
 * size), value. A good verdict is checked against a second, slower look.
 */
#include "common/bytes.h"
#include "ntfs/record.h"
#include "tests/fuzz/packed.h"
#include "volume/watch.h"

#include <errno.h>
#include <stdlib.h>

#define MFT_LCN    4
#define BITMAP_LCN 3000
#define RECORD     64

static struct volume_layout layout;
static struct gpt gpt;

enum object {
    MFT,
    BITMAP,
    FILE_,
    BOOT,
    TABLE,
    BITS,
    OBJECTS,
};

/* Good, and as changed. */
static uint8_t good_records[3][NTFS_RECORD_SIZE], good_boot[512], good_table[GPT_HEAD_SIZE];
static uint8_t records[3][NTFS_RECORD_SIZE], boot[512], table[GPT_HEAD_SIZE], bits[8192];

static uint64_t record_at(unsigned i)
{
    const unsigned numbers[] = {NTFS_RECORD_MFT, NTFS_RECORD_BITMAP, RECORD};

    return VOLUME_AT + MFT_LCN * NTFS_CLUSTER + (uint64_t)numbers[i] * NTFS_RECORD_SIZE;
}

static void lay(void *data, size_t length, uint64_t offset, const void *object, size_t size,
                uint64_t at)
{
    uint64_t from = offset > at ? offset : at, to = min_u64(offset + length, at + size);

    if (from < to)
        memcpy((uint8_t *)data + (from - offset), (const uint8_t *)object + (from - at),
               (size_t)(to - from));
}

static int read_disk(void *opaque, void *data, size_t length, uint64_t offset)
{
    (void)opaque;
    if (!length || length > 16 * KIB + GPT_HEAD_SIZE)
        abort();
    if (!range_inside(offset, length, layout.file_at) &&
        (offset < layout.tail_at || !range_inside(offset, length, layout.disk_size)))
        return -EINVAL;
    memset(data, 0, length);
    lay(data, length, offset, table, sizeof(table), 0);
    lay(data, length, offset, boot, sizeof(boot), VOLUME_AT);
    for (unsigned i = 0; i < 3; i++)
        lay(data, length, offset, records[i], NTFS_RECORD_SIZE, record_at(i));
    lay(data, length, offset, bits, sizeof(bits), VOLUME_AT + BITMAP_LCN * NTFS_CLUSTER);
    return 0;
}

static void make_record(uint8_t *r, uint64_t lcn, uint64_t clusters, uint64_t size)
{
    uint8_t *a = r + 56, *pairs = a + 64;

    memcpy(r, "FILE", 4);
    put_le16(r + 4, 48);
    put_le16(r + 6, 3);
    put_le16(r + 20, 56);
    put_le16(r + 22, NTFS_RECORD_IN_USE);
    put_le32(r + 24, 56 + 80 + 8);
    put_le32(a, 0x80);
    put_le32(a + 4, 80);
    a[8] = 1;
    put_le64(a + 24, clusters - 1);
    put_le16(a + 32, 64);
    put_le64(a + 40, clusters * NTFS_CLUSTER);
    put_le64(a + 48, size);
    put_le64(a + 56, size);
    pairs[0] = 0x44;
    put_le32(pairs + 1, (uint32_t)clusters);
    put_le32(pairs + 5, (uint32_t)lcn);
    put_le32(a + 80, UINT32_MAX);
}

static void seal(uint8_t *r)
{
    put_le16(r + 48, 7);
    for (size_t i = 1; i <= 2; i++) {
        memcpy(r + 48 + 2 * i, r + i * 512 - 2, 2);
        memcpy(r + i * 512 - 2, r + 48, 2);
    }
}

static void prepare(void)
{
    const struct vhdx_params params = {MIB, MIB, 512, 4096};
    uint8_t tail[GPT_TAIL_SIZE];
    struct vhdx_layout vhdx;

    if (vhdx_layout_init(&vhdx, &params, NULL) != 0 || volume_layout_init(&layout, &vhdx) != 0)
        abort();
    gpt = volume_layout_gpt(&layout, "6b29fc40-ca47-1067-b31d-00dd010662da");
    gpt_encode(&gpt, good_table, tail);
    memcpy(good_boot + 3, "NTFS    ", 8);
    put_le16(good_boot + 11, 512);
    good_boot[13] = 128;
    put_le64(good_boot + 40, layout.ntfs.volume_size / 512 - 1);
    put_le64(good_boot + 48, MFT_LCN);
    good_boot[64] = (uint8_t)-10;
    make_record(good_records[MFT], MFT_LCN, 2, 2 * NTFS_CLUSTER);
    make_record(good_records[BITMAP], BITMAP_LCN, 1, layout.ntfs.bitmap_size);
    make_record(good_records[FILE_], layout.ntfs.file_at / NTFS_CLUSTER,
                layout.ntfs.file_size / NTFS_CLUSTER, layout.ntfs.file_size);
}

static uint8_t *object_of(unsigned which, size_t *size)
{
    *size = which <= FILE_ ? NTFS_RECORD_SIZE : sizeof(boot);
    switch (which) {
    case BOOT:
        return boot;
    case TABLE:
        *size = sizeof(table);
        return table;
    case BITS:
        *size = sizeof(bits);
        return bits;
    default:
        return records[which];
    }
}

static void unpack(const uint8_t *input, size_t length)
{
    memcpy(records, good_records, sizeof(records));
    memcpy(boot, good_boot, sizeof(boot));
    memcpy(table, good_table, sizeof(table));
    memset(bits, 0xff, sizeof(bits));
    for (size_t i = 1; i + 4 <= length; i += 4) {
        size_t size;
        uint8_t *object = object_of(input[i] % OBJECTS, &size);

        object[get_le16(input + i + 1) % size] = input[i + 3];
    }
    for (unsigned i = 0; i < 3; i++)
        if (length && input[0] & 1U << i)
            seal(records[i]);
}

/* A walk over any bytes: it ends, and its runs follow each other. */
static void walk(const uint8_t *bytes, size_t length)
{
    struct ntfs_data data = {.pairs = bytes, .pairs_size = length};
    struct ntfs_runs runs = ntfs_runs_of(&data);
    struct ntfs_run run;
    uint64_t vcn = 0;

    while (ntfs_runs_next(&runs, &run) == 1) {
        if (run.vcn != vcn || !run.length ||
            (run.lcn != NTFS_HOLE && run.lcn > UINT64_C(1) << 48) || runs.next > runs.end)
            abort();
        vcn += run.length;
    }
}

/* A file's record that was found good, read anew byte by byte. */
static void look_again(const struct watch_subject *s, const struct watch *w)
{
    uint8_t r[NTFS_RECORD_SIZE];
    uint64_t lcn = 0, clusters = 0, bytes = 0;
    struct ntfs_data data;
    unsigned n;

    if (w->count <= w->bitmap || w->count > WATCH_RANGES || w->bitmap != 5 ||
        read_disk(NULL, r, sizeof(r), w->ranges[3].offset) != 0)
        abort();
    if (ntfs_record_decode(r) != 0 || !(r[22] & 1) || ntfs_record_data(r, &data) != 0)
        abort();
    n = data.pairs[0];
    for (unsigned i = n & 15; i > 0; i--)
        clusters = clusters << 8 | data.pairs[i];
    for (unsigned i = (n >> 4) + (n & 15); i > (n & 15); i--)
        lcn = lcn << 8 | data.pairs[i];
    if (clusters != s->layout->ntfs.file_size / NTFS_CLUSTER ||
        lcn != s->layout->ntfs.file_at / NTFS_CLUSTER || data.flags)
        abort();
    for (unsigned i = w->bitmap; i < w->count; i++)
        bytes += w->ranges[i].length;
    if (bytes != clusters / 8)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t length)
{
    struct watch_subject subject = {.layout = &layout, .record = RECORD, .read = read_disk};
    struct watch watch;
    char why[256] = "";

    if (!layout.disk_size)
        prepare();
    subject.gpt = gpt;
    walk(input, length);
    unpack(input, length);
    if (watch_judge(&subject, &watch, why) == WATCH_GOOD) {
        look_again(&subject, &watch);
        (void)watch_judge_bits(&subject, &watch, 0, UINT64_MAX, why);
    } else if (!*why) {
        abort();
    }
    return 0;
}
