/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "device/safety.h"

#include "common/cleanup.h"
#include "state/as_vhdx.h"
#include "tests/unit/support.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

#define PATH "/dev/sdx7"

/* What is on the partition, in short: fields that are not named are those of a healthy ext4. */
struct sample {
    const char *type, *usage, *uuid, *part_uuid, *table, *mounted;
    uint64_t size;
    uint32_t sector;
    bool no_size, ambiguous, errors, recovery, protected, ext, external, image;
    uint64_t ext_size; /* 0: that of the device */
    uint32_t ext_block;
    uint64_t devices;
    const char *beyond_wsl;
    bool read_only, allow_errors; /* policy */
    int code;                     /* EXIT_FINE: may be served */
    const char *word;             /* in the refusal, or in a warning */
    unsigned warnings;
    int partitions;
};

#define EXT4 .type = "ext4", .usage = "filesystem", .uuid = "u-u-i-d", .ext = true

static const struct sample samples[] = {
    {EXT4},
    {EXT4, .sector = 4096},
    {EXT4, .recovery = true, .warnings = 1, .word = "journal"},
    {EXT4, .recovery = true, .mounted = "/mnt"}, /* mounted: of course it is not clean */
    {EXT4, .mounted = "/mnt"},                   /* the claim will find out */
    {.type = "ntfs", .usage = "filesystem", .uuid = "ABCD", .warnings = 1, .word = "ext4"},
    {.part_uuid = "p-u-u-i-d", .warnings = 1}, /* empty, to be formatted */

    /* in use by those who manage it */
    {.type = "swap", .usage = "other", .uuid = "u", .code = EXIT_UNSAFE, .word = "swap"},
    {.type = "swsuspend", .usage = "other", .uuid = "u", .code = EXIT_UNSAFE, .word = "hibernated"},
    {.type = "LVM2_member", .usage = "raid", .uuid = "u", .code = EXIT_UNSAFE, .word = "LVM"},
    {.type = "linux_raid_member",
     .usage = "raid",
     .uuid = "u",
     .code = EXIT_UNSAFE,
     .word = "RAID"},
    {.type = "bcache", .usage = "raid", .uuid = "u", .code = EXIT_UNSAFE},
    {.type = "crypto_LUKS",
     .usage = "crypto",
     .uuid = "u",
     .code = EXIT_UNSAFE,
     .word = "cryptsetup"},
    {.type = "BitLocker", .usage = "crypto", .uuid = "u", .code = EXIT_UNSAFE, .word = "encrypted"},
    {.type = "jbd", .usage = "other", .uuid = "u", .code = EXIT_UNSAFE, .word = "journal"},
    {.type = "swap", .uuid = "u", .code = EXIT_UNSAFE, .read_only = true},

    /* content that is not what it seems */
    {EXT4, .ambiguous = true, .code = EXIT_UNSAFE, .word = "wipefs"},
    {EXT4, .ambiguous = true, .code = EXIT_UNSAFE, .read_only = true},
    {.table = "gpt", .code = EXIT_UNSAFE, .word = "partition table (gpt)"},
    {.table = "dos", .uuid = "u", .code = EXIT_UNSAFE, .word = "whole disk"},
    {EXT4, .table = "dos"}, /* a boot loader's sector before a file system */
    {EXT4, .table = "dos", .partitions = 1, .code = EXIT_UNSAFE, .word = "wipefs"},
    {.code = EXIT_INVALID_IMAGE, .word = "mkfs.ext4"},
    {EXT4, .errors = true, .code = EXIT_UNSAFE, .word = "e2fsck -f " PATH},
    {EXT4, .errors = true, .code = EXIT_UNSAFE, .read_only = true},
    {EXT4, .errors = true, .allow_errors = true, .warnings = 1, .word = "errors"},
    {EXT4, .errors = true, .recovery = true, .allow_errors = true, .warnings = 2},
    {EXT4, .protected = true, .code = EXIT_UNSAFE, .word = "-o ro"},
    {EXT4, .protected = true, .read_only = true},
    {EXT4, .protected = true, .image = true, .code = EXIT_UNSAFE, .word = "mounted read-only"},
    {EXT4, .protected = true, .image = true, .read_only = true},

    /* what is on it cannot be used, or not by all */
    {EXT4, .ext_size = GIB + 4096, .code = EXIT_UNSAFE, .word = "size back"},
    {EXT4, .ext_size = GIB + 4096, .code = EXIT_UNSAFE, .read_only = true},
    {EXT4, .ext_size = GIB + 4096, .allow_errors = true, .warnings = 1, .word = "larger"},
    {EXT4, .ext_size = GIB - 4096},
    {EXT4, .external = true, .warnings = 1, .word = "another device"},
    {EXT4, .external = true, .recovery = true, .code = EXIT_UNSAFE, .word = "mount it here once"},
    {EXT4, .external = true, .recovery = true, .mounted = "/mnt", .warnings = 1},
    {EXT4, .beyond_wsl = "casefold", .warnings = 1, .word = "casefold"},
    {EXT4, .ext_block = 65536, .warnings = 1, .word = "65536"},
    {EXT4, .errors = true, .allow_errors = true, .ext_size = 2 * GIB, .recovery = true,
     .beyond_wsl = "casefold, verity", .ext_block = 65536, .warnings = 5},
    {.type = "btrfs", .usage = "filesystem", .uuid = "u", .devices = 1, .warnings = 1},
    {.type = "btrfs",
     .usage = "filesystem",
     .uuid = "u",
     .devices = 2,
     .code = EXIT_UNSAFE,
     .word = "one of 2 devices"},

    /* sizes */
    {EXT4, .no_size = true, .code = EXIT_INVALID_IMAGE, .word = "zero"},
    {EXT4, .size = GIB + 1, .code = EXIT_INVALID_IMAGE, .word = "multiple"},
    {EXT4, .size = GIB + 512},
    {EXT4, .size = GIB + 512, .sector = 4096, .code = EXIT_INVALID_IMAGE, .word = "multiple"},
    {EXT4, .size = 64 * TIB},
    {EXT4, .size = 64 * TIB + 512, .code = EXIT_INVALID_IMAGE, .word = "64 TiB"},
    {EXT4, .sector = 1024, .code = EXIT_INVALID_IMAGE, .word = "sector"},
};

static void set(char *field, size_t size, const char *value)
{
    snprintf(field, size, "%s", value ? value : "");
}

static struct facts facts_of(const struct sample *s)
{
    struct facts f = {.is_block = !s->image,
                      .size = s->no_size ? 0
                              : s->size  ? s->size
                                         : GIB,
                      .logical_sector = s->sector ? s->sector : 512,
                      .physical_sector = 4096,
                      .ambiguous = s->ambiguous,
                      .is_ext = s->ext,
                      .partitions = s->partitions,
                      .has_errors = s->errors,
                      .needs_recovery = s->recovery,
                      .external_journal = s->external,
                      .ext_block = s->ext_block ? s->ext_block : 4096,
                      .devices = s->devices,
                      .write_protected = s->protected};

    f.ext_size = s->ext_size ? s->ext_size : f.size;
    set(f.beyond_wsl, sizeof(f.beyond_wsl), s->beyond_wsl);

    set(f.path, sizeof(f.path), PATH);
    set(f.type, sizeof(f.type), s->type);
    set(f.usage, sizeof(f.usage), s->usage);
    set(f.uuid, sizeof(f.uuid), s->uuid);
    set(f.part_uuid, sizeof(f.part_uuid), s->part_uuid);
    set(f.partition_table, sizeof(f.partition_table), s->table);
    set(f.mounted_on, sizeof(f.mounted_on), s->mounted);
    return f;
}

/* Sizes are judged where the file is laid out, before anything else. */
static void judge(const struct facts *facts, const struct safety_policy *policy, struct verdict *v)
{
    struct vhdx_layout layout;

    *v = (struct verdict){0};
    v->refused = lay_out_as_vhdx(&layout, facts, 0, &v->refusal) < 0;
    if (!v->refused)
        safety_judge(facts, policy, v);
}

static void test_verdicts(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        const struct sample *s = &samples[i];
        struct safety_policy policy = {.read_only = s->read_only, .allow_errors = s->allow_errors};
        struct facts facts = facts_of(s);
        struct verdict v;

        judge(&facts, &policy, &v);
        if (v.refused != (s->code != EXIT_FINE))
            fail_msg("sample %zu (%s): %s %s", i, facts.type, v.refused ? "refused" : "allowed",
                     v.refusal.text);
        if (v.refused) {
            assert_int_equal(v.refusal.code, s->code);
            assert_non_null(strstr(v.refusal.text, PATH)); /* the object, a reason, a cure */
            if (s->word && !strstr(v.refusal.text, s->word))
                fail_msg("sample %zu: '%s' is not in: %s", i, s->word, v.refusal.text);
            continue;
        }
        assert_int_equal(v.warning_count, s->warnings);
        if (s->word)
            assert_non_null(strstr(v.warnings[0], s->word));
    }
}

/* Of several reasons the one that would cost most. */
static void test_order(void **state)
{
    const struct sample both = {.type = "LVM2_member", .usage = "raid", .protected = true};
    struct facts facts = facts_of(&both);
    struct safety_policy policy = {0};
    struct verdict v;

    (void)state;
    safety_judge(&facts, &policy, &v);
    assert_true(v.refused);
    assert_non_null(strstr(v.refusal.text, "LVM"));
}

/* And at a start: what has no size for a VHDX is told that, whatever is on it. */
static void test_order_of_start(void **state)
{
    static const struct {
        uint64_t size;
        bool swap;
        enum exit_code code;
        const char *word;
    } objects[] = {
        {0, false, EXIT_INVALID_IMAGE, "its size is zero (size 0 bytes, sectors of 512 bytes)"},
        {100, false, EXIT_INVALID_IMAGE, "not a multiple of its sector size (size 100 bytes"},
        {512, false, EXIT_INVALID_IMAGE, "mkfs.ext4"}, /* small, but a size */
        {MIB, false, EXIT_INVALID_IMAGE, "mkfs.ext4"},
        {MIB, true, EXIT_UNSAFE, "swap"},
        {MIB + 100, true, EXIT_INVALID_IMAGE, "not a multiple of its sector size"},
    };
    const char *dir = temp_dir(false);
    cleanup_free char *image = join(dir, "image"), *state_dir = join(dir, "state");
    const char *const mkswap[] = {"mkswap", image, NULL};
    struct export_settings settings = {.source = image, .name = "vhdx", .state = state_dir};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(objects); i++) {
        struct exported exported;
        struct failure failure = {0};

        make_file(image, objects[i].size);
        if (objects[i].swap)
            assert_int_equal(run_program(mkswap), 0);
        assert_true(export_prepare(&exported, &settings, &failure) < 0);
        assert_int_equal(failure.code, objects[i].code);
        if (!strstr(failure.text, image) || !strstr(failure.text, objects[i].word))
            fail_msg("object %zu: '%s' is not in: %s", i, objects[i].word, failure.text);
        assert_false(exists(state_dir));
    }
}

/* The layout is that of the partition, in the blocks that were asked for. */
static void test_laid_out(void **state)
{
    const struct sample large_sectors = {EXT4, .sector = 4096};
    struct facts facts = facts_of(&large_sectors);
    struct vhdx_layout layout;

    (void)state;
    assert_int_equal(lay_out_as_vhdx(&layout, &facts, 32 * MIB, NULL), 0);
    assert_int_equal(layout.disk_size, GIB);
    assert_int_equal(layout.block_size, 32 * MIB);
    assert_int_equal(layout.logical_sector, 4096);
    assert_int_equal(layout.physical_sector, 4096);
    assert_int_equal(lay_out_as_vhdx(&layout, &facts, 0, NULL), 0);
    assert_int_equal(layout.block_size, vhdx_choose_block_size(GIB, 4096));
}

static void test_identity(void **state)
{
    struct facts facts = {0};

    (void)state;
    assert_string_equal(facts_identity(&facts), "");
    set(facts.part_uuid, sizeof(facts.part_uuid), "part");
    assert_string_equal(facts_identity(&facts), "part");
    set(facts.uuid, sizeof(facts.uuid), "fs");
    assert_string_equal(facts_identity(&facts), "fs");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts),       cmocka_unit_test(test_order),
        cmocka_unit_test(test_order_of_start), cmocka_unit_test(test_laid_out),
        cmocka_unit_test(test_identity),
    };

    return cmocka_run_group_tests_name("safety", tests, NULL, NULL);
}
