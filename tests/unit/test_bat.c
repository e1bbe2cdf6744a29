/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vhdx/bat.h"

#include "common/bytes.h"
#include "tests/unit/support.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>

/* 40.5 blocks of 256 MiB; a chunk holds 16 of them, so slots of sector bitmaps abound. */
static struct vhdx_layout layout;

static int setup(void **state)
{
    (void)state;
    layout = make_layout(40 * 256 * MIB + 128 * MIB + 512, 256 * MIB, 512);
    assert_int_equal(layout.block_count, 41);
    assert_int_equal(layout.bat_entries, 41 + 2);
    return 0;
}

static void assert_nothing(uint64_t index, uint64_t value)
{
    struct bat_request request = {1, 1, true};

    assert_int_equal(bat_interpret(&layout, index, value, &request), 0);
    assert_int_equal(request.length, 0);
}

static void assert_refused(uint64_t index, uint64_t value)
{
    struct bat_request request;

    assert_int_equal(bat_interpret(&layout, index, value, &request), -EIO);
}

/* By hand: block b at P + b * 256 MiB, entry b + b / 16, state 6. */
static void test_identity(void **state)
{
    (void)state;
    for (uint64_t b = 0; b < 41; b++)
        assert_nothing(b + b / 16, (layout.payload_offset + b * 256 * MIB) | 6);
    assert_nothing(16, 0); /* sector bitmaps: none */
    assert_nothing(33, 0);
    assert_nothing(43, 0); /* behind the last entry */
    assert_nothing(layout.bat_size / 8 - 1, 0);
}

static void test_zeros(void **state)
{
    (void)state;
    for (uint64_t b = 0; b < 41; b++)
        for (unsigned value = 2; value <= 3; value++) { /* ZERO, UNMAPPED */
            struct bat_request request;

            assert_int_equal(bat_interpret(&layout, b + b / 16,
                                           (layout.payload_offset + b * 256 * MIB) | value,
                                           &request),
                             0);
            assert_int_equal(request.offset, b * 256 * MIB);
            assert_int_equal(request.length, b < 40 ? 256 * MIB : 128 * MIB + 512);
            assert_int_equal(request.discard, value == 3);
        }
}

static void test_refused(void **state)
{
    uint64_t at = layout.payload_offset + 5 * 256 * MIB;
    static const unsigned states[] = {0, 1, 4, 5, 7};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(states); i++)
        assert_refused(5, at | states[i]);
    assert_refused(5, 0);
    assert_refused(5, 2); /* ZERO, but its place given up */
    assert_refused(5, 3);
    assert_refused(5, (at + MIB) | 6);
    assert_refused(5, (at - 256 * MIB) | 6);
    assert_refused(5, (at + MIB) | 2);
    for (unsigned bit = 3; bit < 64; bit++) {
        assert_refused(5, (at | 6) ^ UINT64_C(1) << bit);
        assert_refused(5, (at | 2) ^ UINT64_C(1) << bit);
    }
    for (unsigned bit = 0; bit < 64; bit++) {
        assert_refused(16, UINT64_C(1) << bit); /* a sector bitmap */
        assert_refused(43, UINT64_C(1) << bit); /* behind the last entry */
    }
}

/* A write at any offset and length against the whole table with the write laid over it. */
static void test_overlay(void **state)
{
    uint8_t table[43 * 8], after[sizeof(table)], data[40];

    (void)state;
    vhdx_bat_read(&layout, 0, table, sizeof(table));
    memset(data, 0xc3, sizeof(data));
    for (uint64_t offset = 0; offset < sizeof(table) - sizeof(data); offset++)
        for (size_t length = 1; length <= sizeof(data); length++) {
            memcpy(after, table, sizeof(table));
            memcpy(after + offset, data, length);
            for (uint64_t i = offset / 8; i <= (offset + length - 1) / 8; i++)
                assert_int_equal(bat_overlay(&layout, i, data, offset, length),
                                 get_le64(after + 8 * i));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_zeros),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_overlay),
    };

    return cmocka_run_group_tests_name("bat", tests, setup, NULL);
}
