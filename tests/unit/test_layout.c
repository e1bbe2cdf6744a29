/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/bytes.h"
#include "tests/unit/unit.h"
#include "vhdx/decode.h"
#include "vhdx/encode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct vhdx_layout layout_of(uint64_t size, uint32_t block, uint32_t sector)
{
    struct vhdx_params params = {size, block, sector, 4096};
    struct vhdx_layout layout;

    assert_int_equal(vhdx_layout_init(&layout, &params, NULL), 0);
    return layout;
}

/* By hand, from [MS-VHDX] 2.5: nb = ceil(V / BS), cr = 2^23 * LSS / BS, nb + (nb - 1) / cr. */
static void test_geometry(void **state)
{
    static const struct {
        uint64_t size;
        uint32_t block, sector;
        uint64_t blocks, ratio, entries, payload;
    } cases[] = {
        {MIB, MIB, 512, 1, 4096, 1, 4 * MIB},
        {64 * MIB, MIB, 512, 64, 4096, 64, 4 * MIB},
        {4 * GIB, MIB, 512, 4096, 4096, 4096, 4 * MIB},
        {4 * GIB + 512, MIB, 512, 4097, 4096, 4098, 4 * MIB},
        {127 * GIB, 32 * MIB, 512, 4064, 128, 4095, 4 * MIB},
        {100 * MIB + 4096, MIB, 4096, 101, 32768, 101, 4 * MIB},
        {64 * TIB, MIB, 512, 67108864, 4096, 67108864 + 16383, (3 + 513) * MIB},
        {64 * TIB, 256 * MIB, 4096, 262144, 128, 262144 + 2047, (3 + 3) * MIB},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct vhdx_layout l = layout_of(cases[i].size, cases[i].block, cases[i].sector);

        assert_int_equal(l.block_count, cases[i].blocks);
        assert_int_equal(l.chunk_ratio, cases[i].ratio);
        assert_int_equal(l.bat_entries, cases[i].entries);
        assert_int_equal(l.payload_offset, cases[i].payload);
        assert_int_equal(l.file_size, l.payload_offset + l.block_count * l.block_size);
        assert_int_equal(l.payload_offset % VHDX_ALIGNMENT, 0);
    }
}

static void test_bad_parameters(void **state)
{
    static const struct {
        struct vhdx_params params;
        int error;
    } cases[] = {
        {{0, 0, 512, 512}, -EINVAL},
        {{MIB + 1, 0, 512, 512}, -EINVAL},
        {{MIB + 512, 0, 4096, 4096}, -EINVAL},
        {{MIB, 0, 513, 512}, -EINVAL},
        {{MIB, 0, 512, 0}, -EINVAL},
        {{MIB, 512 * 1024, 512, 512}, -EINVAL},
        {{MIB, 512 * MIB, 512, 512}, -EINVAL},
        {{MIB, 3 * MIB, 512, 512}, -EINVAL},
        {{64 * TIB + 512, 0, 512, 512}, -EFBIG},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct vhdx_layout layout;
        const char *why = NULL;

        assert_int_equal(vhdx_layout_init(&layout, &cases[i].params, &why), cases[i].error);
        assert_non_null(why);
    }
}

static void test_block_size_choice(void **state)
{
    (void)state;
    assert_int_equal(vhdx_choose_block_size(64 * MIB, 512), MIB);
    assert_int_equal(vhdx_choose_block_size(100 * MIB + 4096, 512), MIB); /* nothing divides it */
    assert_int_equal(vhdx_choose_block_size(TIB, 512), MIB);
    assert_int_equal(vhdx_choose_block_size(4 * TIB, 512), 4 * MIB);
    assert_int_equal(vhdx_choose_block_size(4 * TIB + MIB, 512), MIB); /* the one that divides */
    assert_int_equal(vhdx_choose_block_size(4 * TIB + 512, 512), 4 * MIB);
    assert_true(layout_of(64 * TIB, 0, 512).bat_size <= 16 * MIB);
    assert_int_equal(layout_of(64 * TIB, 0, 512).disk_size % layout_of(64 * TIB, 0, 512).block_size,
                     0);
}

static void test_map_covers_the_file(void **state)
{
    struct vhdx_layout l = layout_of(100 * MIB + 4096, 2 * MIB, 512);
    struct extent_map map = EXTENT_MAP_INIT;

    (void)state;
    assert_int_equal(vhdx_layout_map(&l, &map), 0);
    assert_int_equal(extent_map_size(&map), l.file_size);
    assert_int_equal(map.count, 4);
    assert_int_equal(extent_map_find(&map, l.payload_offset)->kind, EXTENT_DEVICE);
    assert_int_equal(extent_map_find(&map, l.payload_offset)->length, l.disk_size);
    assert_int_equal(extent_map_find(&map, l.file_size - 1)->kind, EXTENT_ZERO);
    extent_map_free(&map);
}

/* Every entry maps its block, at any offset and length of reading; slots of bitmaps are 0. */
static void test_bat(void **state)
{
    struct vhdx_layout l = layout_of(40 * GIB + 512, 256 * MIB, 512); /* ratio 16: slots abound */
    uint8_t *whole = malloc(l.bat_size), piece[64];
    uint64_t seen = 0;

    (void)state;
    vhdx_bat_read(&l, 0, whole, l.bat_size);
    for (uint64_t b = 0; b < l.block_count; b++) {
        uint64_t entry = get_le64(whole + 8 * vhdx_bat_index(&l, b)), back;

        assert_int_equal(entry, (l.payload_offset + b * l.block_size) | 6);
        assert_true(vhdx_bat_block(&l, vhdx_bat_index(&l, b), &back));
        assert_int_equal(back, b);
    }
    for (uint64_t i = 0; i < l.bat_size / 8; i++)
        seen += get_le64(whole + 8 * i) != 0;
    assert_int_equal(seen, l.block_count);
    for (uint64_t at = 0; at < 400; at++)
        for (size_t n = 1; n < sizeof(piece); n += 5) {
            vhdx_bat_read(&l, at, piece, n);
            assert_memory_equal(piece, whole + at, n);
        }
    free(whole);
}

static void test_meta_round_trip(void **state)
{
    struct vhdx_layout l = layout_of(64 * MIB, 0, 512);
    struct vhdx_identity id = vhdx_identity_derive("6b29fc40-ca47-1067-b31d-00dd010662da");
    uint8_t *meta = calloc(1, VHDX_META_SIZE);
    struct vhdx_disk_values values;
    struct vhdx_disk_header again;
    struct vhdx_header header;

    (void)state;
    vhdx_encode_meta(&l, &id, meta);
    assert_memory_equal(meta, "vhdxfile", 8);
    assert_int_equal(vhdx_current_header((void *)(meta + VHDX_HEADER_1_AT),
                                         (void *)(meta + VHDX_HEADER_2_AT), &header),
                     1);
    assert_true(guid_is_null(&header.log_guid));
    assert_int_equal(header.log_offset, MIB);
    assert_int_equal(header.log_length, MIB);
    assert_int_equal(header.version, 1);
    vhdx_encode_header(&header, &again);
    assert_memory_equal(&again, meta + VHDX_HEADER_2_AT, sizeof(again));
    assert_int_equal(vhdx_decode_region_table(meta + VHDX_REGIONS_1_AT), 0);
    assert_int_equal(vhdx_decode_region_table(meta + VHDX_REGIONS_2_AT), 0);
    assert_int_equal(vhdx_decode_metadata(meta + VHDX_METADATA_AT, VHDX_METADATA_SIZE, &values), 0);
    assert_int_equal(values.disk_size, 64 * MIB);
    assert_int_equal(values.block_size, MIB);
    assert_int_equal(values.file_flags, VHDX_LEAVE_ALLOCATED);
    assert_int_equal(values.logical_sector, 512);
    assert_int_equal(values.physical_sector, 4096);
    assert_true(guid_equal(&values.disk_id, &id.disk_id));
    meta[VHDX_HEADER_2_AT + 100] ^= 1; /* behind the fields, inside the checksum */
    assert_int_equal(vhdx_current_header((void *)(meta + VHDX_HEADER_1_AT),
                                         (void *)(meta + VHDX_HEADER_2_AT), &header),
                     0);
    meta[VHDX_HEADER_1_AT + 100] ^= 1;
    assert_int_equal(vhdx_current_header((void *)(meta + VHDX_HEADER_1_AT),
                                         (void *)(meta + VHDX_HEADER_2_AT), &header),
                     -EBADMSG);
    meta[VHDX_REGIONS_1_AT + 60000] ^= 1;
    assert_int_equal(vhdx_decode_region_table(meta + VHDX_REGIONS_1_AT), -EBADMSG);
    free(meta);
}

/* The identity must never change between versions: WSL and Windows remember it. */
static void test_identity_is_stable(void **state)
{
    struct vhdx_identity id = vhdx_identity_derive("6b29fc40-ca47-1067-b31d-00dd010662da");
    struct vhdx_identity fat = vhdx_identity_derive("1234-ABCD");
    char text[GUID_TEXT_MAX];
    struct guid parsed;

    (void)state;
    /* python3: uuid.uuid5(uuid.UUID("6b29fc40-ca47-1067-b31d-00dd010662da"),
     * "vhdx/virtual-disk-id") */
    assert_string_equal(guid_format(&id.disk_id, text), "66accd55-7f52-5ce6-b646-6ec947a80b6f");
    assert_int_equal(guid_parse(text, &parsed), 0);
    assert_true(guid_equal(&parsed, &id.disk_id));
    assert_int_equal(id.disk_id.b[7] >> 4, 5); /* version, in the little-endian third field */
    assert_int_equal(id.disk_id.b[8] & 0xc0, 0x80);
    assert_false(guid_equal(&fat.disk_id, &id.disk_id));
    assert_false(guid_equal(&id.file_write, &id.data_write));
    assert_int_equal(guid_parse("not a guid", &parsed), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_geometry),
        cmocka_unit_test(test_bad_parameters),
        cmocka_unit_test(test_block_size_choice),
        cmocka_unit_test(test_map_covers_the_file),
        cmocka_unit_test(test_bat),
        cmocka_unit_test(test_meta_round_trip),
        cmocka_unit_test(test_identity_is_stable),
    };

    return cmocka_run_group_tests_name("layout", tests, NULL, NULL);
}
