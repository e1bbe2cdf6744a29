/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The map of a disk in a file, and extents as the kernel describes them. */
#include "common/bytes.h"
#include "tests/unit/memory.h"
#include "tests/unit/unit.h"
#include "vhdx/check.h"
#include "vhdx/map.h"
#include "vhdxgen/fiemap.h"

#include <errno.h>
#include <string.h>

struct fixture {
    struct memory memory;
    struct vhdx_layout layout;
    struct vhdx_image image;
    struct extent_map file, disk;
    uint64_t block;
};

static void open_image(struct fixture *f)
{
    struct vhdx_report report = {0};

    vhdx_image_free(&f->image);
    assert_int_equal(vhdx_check(&f->memory.io, NULL, &report, &f->image), 0);
    assert_int_equal(vhdx_report_total(&report, VHDX_ERROR), 0);
}

/* Four blocks of 1 MiB in a file that lies in pieces of 640 KiB, each 1 GiB behind the last. */
static void begin(struct fixture *f)
{
    *f = (struct fixture){.layout = memory_layout()};
    memory_make(&f->memory, &f->layout);
    open_image(f);
    for (uint64_t at = 0; at < f->layout.file_size; at += 640 * KIB)
        assert_int_equal(extent_map_append(&f->file, min_u64(640 * KIB, f->layout.file_size - at),
                                           EXTENT_DEVICE, at / (640 * KIB) * GIB),
                         0);
}

static void end(struct fixture *f)
{
    extent_map_free(&f->file);
    extent_map_free(&f->disk);
    vhdx_image_free(&f->image);
    memory_free(&f->memory);
}

static int map(struct fixture *f)
{
    extent_map_free(&f->disk);
    return vhdx_map_disk(&f->memory.io, &f->image, &f->file, &f->disk, &f->block);
}

static void set_entry(struct fixture *f, uint64_t block, uint64_t entry)
{
    put_le64(f->memory.bytes + VHDX_BAT_AT + 8 * block, entry);
}

static uint64_t device_place(uint64_t in_file)
{
    return in_file / (640 * KIB) * GIB + in_file % (640 * KIB);
}

static void check_places(const struct fixture *f, const uint64_t *blocks)
{
    assert_int_equal(extent_map_size(&f->disk), f->layout.disk_size);
    for (uint64_t at = 0; at < f->layout.disk_size; at += 4096) {
        const struct extent *e = extent_map_find(&f->disk, at);

        assert_int_equal(
            e->backing + (at - e->offset),
            device_place(f->layout.payload_offset + blocks[at / MIB] * MIB + at % MIB));
    }
}

static void test_in_order(void **state)
{
    static const uint64_t blocks[] = {0, 1, 2, 3};
    struct fixture f;

    (void)state;
    begin(&f);
    assert_int_equal(map(&f), 0);
    check_places(&f, blocks);
    /* 4 MiB from 4 MiB on touch 8 pieces of 640 KiB; blocks add no borders of their own. */
    assert_int_equal(f.disk.count, 7);
    end(&f);
}

static void test_out_of_order(void **state)
{
    static const uint64_t blocks[] = {2, 0, 3, 1};
    struct fixture f;

    (void)state;
    begin(&f);
    for (uint64_t i = 0; i < 4; i++)
        set_entry(&f, i, (f.layout.payload_offset + blocks[i] * MIB) | 6);
    open_image(&f);
    assert_int_equal(map(&f), 0);
    check_places(&f, blocks);
    end(&f);
}

static void test_refusals(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    for (uint64_t bad = 0; bad < 8; bad++) {
        set_entry(&f, 2, (f.layout.payload_offset + 2 * MIB) | bad);
        assert_int_equal(map(&f), bad == 6 ? 0 : -EINVAL);
        assert_int_equal(f.block, bad == 6 ? 4 : 2);
    }
    set_entry(&f, 2, (f.layout.payload_offset + 2 * MIB) | 6 | 1 << 4);
    assert_int_equal(map(&f), -EINVAL);
    set_entry(&f, 2, (f.layout.payload_offset + 20 * MIB) | 6);
    assert_int_equal(map(&f), -ERANGE);
    set_entry(&f, 2, (f.layout.payload_offset + 2 * MIB) | 6);
    assert_int_equal(map(&f), 0);
    f.image.log_state = VHDX_LOG_DIRTY;
    assert_int_equal(map(&f), -EINVAL);
    f.image.log_state = VHDX_LOG_CLEAN;
    f.image.kind = VHDX_KIND_DYNAMIC;
    assert_int_equal(map(&f), -EINVAL);
    f.image.kind = VHDX_KIND_FIXED;
    f.memory.budget = 0;
    assert_int_equal(map(&f), -EIO);
    end(&f);
}

static void test_holes(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    extent_map_free(&f.file);
    /* One sector of the last block. */
    assert_int_equal(extent_map_append(&f.file, 8 * MIB - 512, EXTENT_DEVICE, 0), 0);
    assert_int_equal(extent_map_append(&f.file, 512, EXTENT_ZERO, 0), 0);
    assert_int_equal(map(&f), -ENODATA);
    assert_int_equal(f.block, 3);
    /* In the metadata it does no harm: nobody maps those. */
    extent_map_free(&f.file);
    assert_int_equal(extent_map_append(&f.file, 4 * MIB, EXTENT_ZERO, 0), 0);
    assert_int_equal(extent_map_append(&f.file, 4 * MIB, EXTENT_DEVICE, 77 * MIB), 0);
    assert_int_equal(map(&f), 0);
    assert_int_equal(f.disk.count, 1);
    assert_int_equal(f.disk.extents[0].backing, 77 * MIB);
    end(&f);
}

/* --- extents -------------------------------------------------------------------- */

static int append(struct extent_map *map, uint64_t logical, uint64_t length, uint64_t physical,
                  uint32_t flags)
{
    struct fiemap_extent e = {
        .fe_logical = logical, .fe_length = length, .fe_physical = physical, .fe_flags = flags};
    const char *what = NULL, *cure = NULL;
    int err = fiemap_append(&e, 10 * MIB, map, &what, &cure);

    assert_true((err == -EINVAL) == (what != NULL && cure != NULL));
    return err;
}

static void test_plain_extents(void **state)
{
    struct extent_map map = EXTENT_MAP_INIT;

    (void)state;
    assert_int_equal(append(&map, 0, MIB, 5 * MIB, 0), 0);
    assert_int_equal(append(&map, MIB, MIB, 6 * MIB, FIEMAP_EXTENT_MERGED), 0);
    assert_int_equal(append(&map, 4 * MIB, MIB, 50 * MIB, 0), 0);
    assert_int_equal(append(&map, 9 * MIB, 4 * MIB, 90 * MIB, FIEMAP_EXTENT_LAST), 0);
    assert_int_equal(append(&map, 20 * MIB, MIB, 100 * MIB, FIEMAP_EXTENT_LAST), 0);
    assert_int_equal(extent_map_size(&map), 10 * MIB);
    assert_int_equal(map.count, 5);
    assert_int_equal(map.extents[0].length, 2 * MIB);
    assert_int_equal(map.extents[1].kind, EXTENT_ZERO);
    assert_int_equal(map.extents[4].length, MIB);
    extent_map_free(&map);
}

static void test_other_extents(void **state)
{
    static const uint32_t bad[] = {
        FIEMAP_EXTENT_UNKNOWN,     FIEMAP_EXTENT_DELALLOC,    FIEMAP_EXTENT_ENCODED,
        FIEMAP_EXTENT_UNWRITTEN,   FIEMAP_EXTENT_SHARED,      FIEMAP_EXTENT_DATA_ENCRYPTED,
        FIEMAP_EXTENT_NOT_ALIGNED, FIEMAP_EXTENT_DATA_INLINE, FIEMAP_EXTENT_DATA_TAIL,
    };
    struct extent_map map = EXTENT_MAP_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(append(&map, 0, MIB, 5 * MIB, bad[i] | FIEMAP_EXTENT_LAST), -EINVAL);
    assert_int_equal(map.count, 0);
    assert_int_equal(append(&map, MIB, MIB, 5 * MIB, 0), 0);
    assert_int_equal(append(&map, 0, MIB, 5 * MIB, 0), -EUCLEAN);
    assert_int_equal(append(&map, MIB + 4096, MIB, 5 * MIB, 0), -EUCLEAN);
    assert_int_equal(append(&map, 3 * MIB, 0, 5 * MIB, 0), -EUCLEAN);
    assert_int_equal(append(&map, 3 * MIB, UINT64_MAX, 5 * MIB, 0), -EUCLEAN);
    assert_int_equal(append(&map, 2 * MIB, MIB, INT64_MAX, 0), -EUCLEAN);
    extent_map_free(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_order),      cmocka_unit_test(test_out_of_order),
        cmocka_unit_test(test_refusals),      cmocka_unit_test(test_holes),
        cmocka_unit_test(test_plain_extents), cmocka_unit_test(test_other_extents),
    };

    return cmocka_run_group_tests_name("map", tests, NULL, NULL);
}
