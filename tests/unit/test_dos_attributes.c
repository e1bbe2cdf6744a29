/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fuse/dos_attributes.h"

#include "tests/unit/unit.h"

#include <stdint.h>
#include <string.h>

/* As Samba 4.17 wrote it, with the attributes in bytes 12 to 15 (read-only, which is fine). */
static const uint8_t version_5[24] = {0, 0, 5, 0, 5,    0, 0,    0,    0x11, 0,    0,    0,
                                      1, 0, 0, 0, 0x15, 1, 0x0d, 0x75, 0x7d, 0x79, 0xdd, 1};

static bool with(uint16_t version, size_t at, uint32_t attributes, size_t size)
{
    uint8_t value[64] = {0};

    memcpy(value, version_5, sizeof(version_5));
    value[2] = value[4] = (uint8_t)version;
    memset(value + 8, 0, 8);
    for (size_t i = 0; i < 4; i++)
        value[at + i] = (uint8_t)(attributes >> 8 * i);
    return dos_attributes_unfit("user.DOSATTRIB", value, size);
}

static void test_samba(void **state)
{
    (void)state;
    assert_false(dos_attributes_unfit("user.DOSATTRIB", version_5, sizeof(version_5)));
    for (uint16_t version = 1; version <= 6; version++) {
        size_t at = version >= 3 ? 12 : 8;

        assert_true(with(version, at, 0x200, 24));
        assert_true(with(version, at, 0x820, 24));
        assert_true(with(version, at, 0x4000, 24));
        /* Read-only, hidden, system, archive, temporary, offline, not indexed. */
        assert_false(with(version, at, 0x3127, 24));
    }
    /* The other word is a set of flags there. */
    assert_false(with(5, 8, 0x200, 24));
}

static void test_text(void **state)
{
    (void)state;
    assert_true(dos_attributes_unfit("user.DOSATTRIB", "0x220", 6));
    assert_false(dos_attributes_unfit("user.DOSATTRIB", "0x20", 5));
}

static void test_ntfs(void **state)
{
    const uint32_t sparse = 0x200, archive = 0x20; /* in this machine's byte order */

    (void)state;
    assert_true(dos_attributes_unfit("system.ntfs_attrib_be", "\0\0\2\0", 4));
    assert_false(dos_attributes_unfit("system.ntfs_attrib_be", "\0\2\0\0", 4));
    assert_true(dos_attributes_unfit("system.ntfs_attrib", &sparse, 4));
    assert_false(dos_attributes_unfit("system.ntfs_attrib", &archive, 4));
}

/* Too short or not terminated: not ours to judge, and nothing is read behind the end. */
static void test_cut(void **state)
{
    uint8_t full[24];

    (void)state;
    memset(full, 0xff, sizeof(full));
    assert_false(dos_attributes_unfit("user.DOSATTRIB", full, sizeof(full)));
    for (size_t size = 0; size < 16; size++)
        assert_false(with(5, 12, 0x200, size));
    assert_false(dos_attributes_unfit("system.ntfs_attrib", "\0\2\0", 3));
    assert_false(dos_attributes_unfit("user.other", "0x200", 6));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_samba),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_ntfs),
        cmocka_unit_test(test_cut),
    };

    return cmocka_run_group_tests_name("dos_attributes", tests, NULL, NULL);
}
