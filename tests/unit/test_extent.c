/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/extent.h"
#include "tests/unit/unit.h"

#include <errno.h>

static void check_invariant(const struct extent_map *map)
{
    uint64_t end = 0;

    for (size_t i = 0; i < map->count; i++) {
        assert_int_equal(map->extents[i].offset, end);
        assert_true(map->extents[i].length > 0);
        end += map->extents[i].length;
    }
    assert_int_equal(extent_map_size(map), end);
}

static void test_append_and_find(void **state)
{
    struct extent_map map = EXTENT_MAP_INIT;

    (void)state;
    assert_int_equal(extent_map_size(&map), 0);
    assert_null(extent_map_find(&map, 0));
    assert_int_equal(extent_map_append(&map, 100, EXTENT_META, 0), 0);
    assert_int_equal(extent_map_append(&map, 50, EXTENT_BAT, 0), 0);
    assert_int_equal(extent_map_append(&map, 1000, EXTENT_DEVICE, 7), 0);
    assert_int_equal(extent_map_append(&map, 1, EXTENT_ZERO, 0), 0);
    check_invariant(&map);
    assert_int_equal(map.count, 4);
    assert_int_equal(extent_map_find(&map, 0)->kind, EXTENT_META);
    assert_int_equal(extent_map_find(&map, 99)->kind, EXTENT_META);
    assert_int_equal(extent_map_find(&map, 100)->kind, EXTENT_BAT);
    assert_int_equal(extent_map_find(&map, 150)->backing, 7);
    assert_int_equal(extent_map_find(&map, 1149)->kind, EXTENT_DEVICE);
    assert_int_equal(extent_map_find(&map, 1150)->kind, EXTENT_ZERO);
    assert_null(extent_map_find(&map, 1151));
    assert_null(extent_map_find(&map, UINT64_MAX));
    extent_map_free(&map);
    assert_int_equal(map.count, 0);
}

static void test_merging(void **state)
{
    struct extent_map map = EXTENT_MAP_INIT;

    (void)state;
    assert_int_equal(extent_map_append(&map, 10, EXTENT_DEVICE, 0), 0);
    assert_int_equal(extent_map_append(&map, 10, EXTENT_DEVICE, 10), 0);
    assert_int_equal(map.count, 1);
    assert_int_equal(extent_map_append(&map, 10, EXTENT_DEVICE, 21), 0);
    assert_int_equal(map.count, 2);
    assert_int_equal(extent_map_append(&map, 0, EXTENT_META, 5), 0);
    assert_int_equal(map.count, 2);
    assert_int_equal(extent_map_append(&map, 5, EXTENT_ZERO, 0), 0);
    assert_int_equal(extent_map_append(&map, 5, EXTENT_ZERO, 0), 0);
    assert_int_equal(map.count, 3);
    assert_int_equal(extent_map_size(&map), 40);
    check_invariant(&map);
    extent_map_free(&map);
}

static void test_bad_input_leaves_the_map_alone(void **state)
{
    struct extent_map map = EXTENT_MAP_INIT;

    (void)state;
    assert_int_equal(extent_map_append(&map, 10, EXTENT_DEVICE, 0), 0);
    assert_int_equal(extent_map_append(&map, 10, (enum extent_kind)9, 0), -EINVAL);
    assert_int_equal(extent_map_append(&map, 10, (enum extent_kind) - 1, 0), -EINVAL);
    assert_int_equal(extent_map_append(&map, 10, EXTENT_ZERO, 1), -EINVAL);
    assert_int_equal(extent_map_append(&map, UINT64_MAX, EXTENT_META, 0), -EOVERFLOW);
    assert_int_equal(extent_map_append(&map, 10, EXTENT_DEVICE, UINT64_MAX), -EOVERFLOW);
    assert_int_equal(extent_map_append(&map, 10, EXTENT_DEVICE, INT64_MAX), -EOVERFLOW);
    assert_int_equal(extent_map_append(&map, INT64_MAX, EXTENT_ZERO, 0), -EOVERFLOW);
    assert_int_equal(extent_map_append(&map, INT64_MAX - 10, EXTENT_ZERO, 0), 0);
    assert_int_equal(extent_map_append(&map, 1, EXTENT_META, 0), -EOVERFLOW);
    assert_int_equal(extent_map_size(&map), INT64_MAX);
    check_invariant(&map);
    extent_map_free(&map);
}

/* Random appends: the lookup agrees with a walk from the start. */
static void test_find_agrees_with_a_walk(void **state)
{
    struct extent_map map = EXTENT_MAP_INIT;
    uint32_t seed = 12345;

    (void)state;
    for (int i = 0; i < 500; i++) {
        enum extent_kind kind;

        seed = seed * 1103515245u + 12345u;
        kind = (enum extent_kind)(seed >> 16 & 3);
        assert_int_equal(extent_map_append(&map, seed >> 20 & 63, kind,
                                           kind == EXTENT_ZERO ? 0 : seed >> 8 & 255),
                         0);
    }
    check_invariant(&map);
    assert_true(map.count > 100);
    for (uint64_t at = 0, i = 0; at < extent_map_size(&map); at++) {
        while (at >= map.extents[i].offset + map.extents[i].length)
            i++;
        assert_ptr_equal(extent_map_find(&map, at), &map.extents[i]);
    }
    extent_map_free(&map);
}

static void test_part_of_another_map(void **state)
{
    struct extent_map from = EXTENT_MAP_INIT, to = EXTENT_MAP_INIT;

    (void)state;
    assert_int_equal(extent_map_append_part(&to, &from, 0, 0), 0);
    assert_int_equal(extent_map_append_part(&to, &from, 0, 1), -ERANGE);
    assert_int_equal(extent_map_append(&from, 100, EXTENT_DEVICE, 5000), 0);
    assert_int_equal(extent_map_append(&from, 50, EXTENT_ZERO, 0), 0);
    assert_int_equal(extent_map_append(&from, 100, EXTENT_DEVICE, 9000), 0);
    assert_int_equal(extent_map_append_part(&to, &from, 251, 0), -ERANGE);
    assert_int_equal(extent_map_append_part(&to, &from, 250, 0), 0);
    assert_int_equal(extent_map_append_part(&to, &from, UINT64_MAX, 2), -ERANGE);
    assert_int_equal(extent_map_append_part(&to, &from, 1, UINT64_MAX), -ERANGE);
    assert_int_equal(to.count, 0);
    assert_int_equal(extent_map_append_part(&to, &from, 30, 190), 0);
    check_invariant(&to);
    assert_int_equal(to.count, 3);
    assert_int_equal(to.extents[0].backing, 5030);
    assert_int_equal(to.extents[0].length, 70);
    assert_int_equal(to.extents[1].kind, EXTENT_ZERO);
    assert_int_equal(to.extents[2].length, 70);
    /* What continues the part before becomes one with it. */
    assert_int_equal(extent_map_append_part(&to, &from, 220, 30), 0);
    assert_int_equal(to.count, 3);
    assert_int_equal(to.extents[2].length, 100);
    assert_int_equal(to.extents[2].backing, 9000);
    assert_int_equal(extent_map_append_part(&to, &from, 200, 51), -ERANGE);
    extent_map_free(&from);
    extent_map_free(&to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append_and_find),
        cmocka_unit_test(test_merging),
        cmocka_unit_test(test_bad_input_leaves_the_map_alone),
        cmocka_unit_test(test_find_agrees_with_a_walk),
        cmocka_unit_test(test_part_of_another_map),
    };

    return cmocka_run_group_tests_name("extent", tests, NULL, NULL);
}
