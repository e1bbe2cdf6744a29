/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "export/firewall.h"

#include "common/bytes.h"
#include "common/cleanup.h"
#include "tests/unit/support.h"
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <string.h>

#define UUID "6b29fc40-ca47-1067-b31d-00dd010662da"

static uint8_t head[FIREWALL_HEAD];  /* of a real ext4 */
static uint8_t blank[FIREWALL_HEAD]; /* of a disk that is none */

static int setup(void **state)
{
    cleanup_free char *path = join(temp_dir(true), "image");

    (void)state;
    make_file(path, 4 * MIB);
    make_ext4(path, 4 * MIB, UUID);
    read_file(path, head, sizeof(head), 0);
    assert_int_equal(get_le16(head + 1080), 0xef53);
    return 0;
}

/* What the firewall says to a write of DATA at AT. */
static const char *judge(const uint8_t *before, const void *data, size_t length, size_t at,
                         uint32_t sector)
{
    uint8_t after[FIREWALL_HEAD];
    size_t end = at + length < FIREWALL_HEAD ? at + length : FIREWALL_HEAD;

    memcpy(after, before, sizeof(after));
    memcpy(after + at, data, end - at);
    return firewall_judge_head(before, after, at, end, sector);
}

/* The MBR of a disk that Windows has initialized: boot code, a signature, one partition or none. */
static void make_mbr(uint8_t mbr[512], bool partition)
{
    struct rng rng = {1};

    memset(mbr, 0, 512);
    rng_fill(&rng, mbr, 440);
    if (partition) {
        mbr[446 + 4] = 0x07;
        put_le32(mbr + 446 + 8, 2048);
        put_le32(mbr + 446 + 12, 4096);
    }
    mbr[510] = 0x55;
    mbr[511] = 0xaa;
}

/* A GPT header that says it lies in sector LBA, its copy in OTHER. */
static void make_gpt(uint8_t *sector, size_t size, uint64_t lba, uint64_t other)
{
    memset(sector, 0, size);
    memcpy(sector, "EFI PART\0\0\1\0\x5c\0\0\0", 16);
    put_le64(sector + 24, lba);
    put_le64(sector + 32, other);
    put_le32(sector + 80, 128);
    put_le32(sector + 84, 128);
}

static void test_mbr(void **state)
{
    uint8_t mbr[4096];

    (void)state;
    for (int partition = 0; partition < 2; partition++) {
        memcpy(mbr, head, sizeof(mbr));
        make_mbr(mbr, partition);
        assert_non_null(strstr(judge(head, mbr, 512, 0, 512), "MBR"));
        assert_non_null(judge(head, mbr, 512, 0, 4096));
        assert_non_null(judge(head, mbr, 4096, 0, 4096)); /* with the superblock as it is */
        assert_non_null(judge(head, mbr + 440, 72, 440, 512));
        assert_non_null(judge(head, mbr + 510, 2, 510, 512));
    }
}

/* Piece by piece: the boot code may pass, the signature that makes it an MBR may not. */
static void test_mbr_in_pieces(void **state)
{
    uint8_t mbr[512], now[FIREWALL_HEAD];

    (void)state;
    make_mbr(mbr, true);
    for (size_t piece = 1; piece <= 512; piece *= 2) {
        const char *said = NULL;

        memcpy(now, head, sizeof(now));
        for (size_t at = 0; !said && at < 512; at += piece) {
            said = judge(now, mbr + at, piece, at, 512);
            if (!said)
                memcpy(now + at, mbr + at, piece);
        }
        assert_non_null(said);
        assert_false(now[510] == 0x55 && now[511] == 0xaa);
    }
    memcpy(now, head, sizeof(now)); /* backwards: signature first */
    assert_null(judge(now, "\xaa", 1, 511, 512));
    now[511] = 0xaa;
    assert_non_null(judge(now, "\x55", 1, 510, 512));
}

/* An ext4 with a boot loader in its boot block is no partition table until that changes. */
static void test_boot_loader(void **state)
{
    uint8_t with_loader[FIREWALL_HEAD], changed[FIREWALL_HEAD];

    (void)state;
    memcpy(with_loader, head, sizeof(head));
    make_mbr(with_loader, false);
    assert_null(judge(with_loader, with_loader, 4096, 0, 512));
    memcpy(changed, with_loader, sizeof(changed));
    changed[1024 + 0x2c] ^= 1; /* s_mtime */
    assert_null(judge(with_loader, changed, 4096, 0, 512));
    changed[446 + 4] = 0xee;
    assert_non_null(judge(with_loader, changed, 4096, 0, 512));
}

static void test_primary_gpt(void **state)
{
    uint8_t disk[FIREWALL_HEAD], gpt[4096];

    (void)state;
    make_gpt(gpt, 512, 1, 20479);
    assert_non_null(strstr(judge(head, gpt, 512, 512, 512), "GPT"));
    assert_non_null(judge(head, gpt, 32, 512, 512)); /* as much as makes it one */
    memcpy(disk, head, sizeof(disk));
    memcpy(disk, gpt, 8);
    assert_null(judge(head, gpt, 8, 512, 512)); /* only the signature: no header yet */
    memcpy(disk, head, sizeof(disk));
    memcpy(disk + 512, gpt, 512);
    assert_non_null(judge(head, disk, sizeof(disk), 0, 512)); /* in the middle of a larger write */

    make_gpt(gpt, 4096, 1, 2559); /* sectors of 4096 bytes */
    assert_non_null(strstr(judge(head, gpt, 4096, 4096, 4096), "GPT"));
    memcpy(disk, head, sizeof(disk));
    memcpy(disk + 4096, gpt, 4096);
    assert_non_null(judge(head, disk, sizeof(disk), 0, 4096));
    assert_null(judge(head, gpt, 4096, 4096, 512)); /* there it is no partition table */
}

static void test_gpt_in_pieces(void **state)
{
    uint8_t gpt[512], now[FIREWALL_HEAD];

    (void)state;
    make_gpt(gpt, 512, 1, 20479);
    for (size_t piece = 1; piece <= 256; piece *= 2) {
        const char *said = NULL;

        memcpy(now, head, sizeof(now));
        for (size_t at = 512; at > 0 && !said; at -= piece) { /* backwards */
            said = judge(now, gpt + at - piece, piece, 512 + at - piece, 512);
            if (!said)
                memcpy(now + 512 + at - piece, gpt + at - piece, piece);
        }
        assert_non_null(said);
    }
}

static void test_backup_gpt(void **state)
{
    uint8_t gpt[4096];

    (void)state;
    make_gpt(gpt, 512, 20479, 1);
    assert_non_null(strstr(firewall_judge_tail(gpt, 20479), "GPT"));
    assert_null(firewall_judge_tail(gpt, 20480)); /* a copy in some file: says another sector */
    gpt[0] = 'e';
    assert_null(firewall_judge_tail(gpt, 20479));
    make_gpt(gpt, 4096, 2559, 1);
    assert_non_null(firewall_judge_tail(gpt, 2559));
    assert_null(firewall_judge_tail(blank, 2559));
}

/* diskpart clean: zeros over the first MiB. */
static void test_blanking(void **state)
{
    uint8_t zeros[FIREWALL_HEAD] = {0}, now[FIREWALL_HEAD];

    (void)state;
    assert_non_null(strstr(judge(head, zeros, sizeof(zeros), 0, 512), "superblock"));
    assert_non_null(judge(head, zeros, 4096, 0, 4096));
    assert_non_null(judge(head, zeros, 1024, 1024, 512));
    assert_non_null(judge(head, zeros, 2, 1080, 512)); /* the magic is enough */
    assert_non_null(judge(head, zeros, 1, 1081, 512));
    assert_null(judge(head, zeros, 1024, 0, 512)); /* the boot block is nobody's */
    for (size_t piece = 128; piece <= 4096; piece *= 2) {
        size_t refused = 0;

        memcpy(now, head, sizeof(now));
        for (size_t at = 0; at < 4096; at += piece)
            if (judge(now, zeros, piece, at, 512))
                refused++;
            else
                memset(now + at, 0, piece);
        assert_true(refused > 0);
        assert_memory_equal(now + 1024, head + 1024, 1024); /* of it nothing is lost */
    }
    memset(now, 0xff, sizeof(now)); /* a wipe with something else */
    assert_non_null(judge(head, now, 4096, 0, 512));
}

/* What e2fsprogs and the kernel write to the superblock, in any piece they choose. */
static void test_superblock_updates(void **state)
{
    uint8_t update[FIREWALL_HEAD], before[FIREWALL_HEAD];
    struct rng rng = {7};

    (void)state;
    memcpy(update, head, sizeof(update));
    memcpy(before, head, sizeof(before));
    put_le32(update + 1024 + 0x2c, 0x65000000);                         /* s_mtime */
    put_le32(update + 1024 + 0x30, 0x65000001);                         /* s_wtime */
    put_le16(update + 1024 + 0x34, 12);                                 /* s_mnt_count */
    put_le16(update + 1024 + 0x3a, 0);                                  /* s_state: mounted */
    put_le32(update + 1024 + 0x60, get_le32(update + 1024 + 0x60) ^ 4); /* needs_recovery */
    assert_null(judge(head, update, 4096, 0, 512));                     /* block 0 of 4 KiB */
    assert_null(judge(head, update, 8192, 0, 512));
    assert_null(judge(head, update + 1024, 1024, 1024, 512)); /* block 1 of 1 KiB */
    assert_null(judge(head, update + 1024, 512, 1024, 512));
    assert_null(judge(head, update + 1536, 512, 1536, 512));
    for (int i = 0; i < 2000; i++) { /* tune2fs writes the fields that changed */
        size_t at = 1024 + (size_t)rng_below(&rng, 1024);
        size_t length = 1 + (size_t)rng_below(&rng, 2048 - at);

        assert_null(judge(head, update + at, length, at, 512));
    }
    memset(update + 1024 + 0x78, 0, 16); /* tune2fs -L '' */
    assert_null(judge(head, update + 1024 + 0x78, 16, 1024 + 0x78, 512));
    memset(before + 1024 + 0x88, 'm', 64); /* s_last_mounted, as long as can be, goes */
    assert_null(judge(before, update + 1024 + 0x88, 64, 1024 + 0x88, 512));
    rng_fill(&rng, update + 1024 + 0x68, 16); /* tune2fs -U random */
    assert_null(judge(head, update + 1024, 1024, 1024, 512));
    rng_fill(&rng, update, 510); /* a boot loader without signature, and group descriptors */
    rng_fill(&rng, update + 2048, sizeof(update) - 2048);
    assert_null(judge(head, update, sizeof(update), 0, 512));
}

static void test_not_ext(void **state)
{
    uint8_t data[FIREWALL_HEAD] = {0};

    (void)state;
    make_mbr(data, true);
    make_gpt(data + 512, 512, 1, 20479);
    assert_null(judge(blank, data, sizeof(data), 0, 512));
    memset(data, 0, sizeof(data));
    memset(blank, 0x11, sizeof(blank));
    assert_null(judge(blank, data, sizeof(data), 0, 512));
    memset(blank, 0, sizeof(blank));
    assert_null(judge(blank, head, sizeof(head), 0, 512)); /* mkfs */
}

/* Where mke2fs puts the descriptors; that they are there is seen in the file. */
static void test_table(void **state)
{
    static const struct {
        const char *block, *features, *group;
        uint64_t size, at, length;
    } cases[] = {
        {"1024", "^64bit", "8192", 256 * MIB, 2048, 1024}, /* 32 groups of 32 bytes */
        {"1024", "^64bit", "8192", 264 * MIB, 2048, 2048},
        {"1024", "64bit", "8192", 256 * MIB, 2048, 2048},
        {"1024", "64bit,^resize_inode", "8192", 256 * MIB, 2048, 2048},
        {"1024", "bigalloc,64bit", "8192", GIB, 2048, 1024},
        {"1024", "meta_bg,^resize_inode,64bit", "8192", 256 * MIB, 2048, 1024},
        {"2048", "64bit", "8192", 256 * MIB, 2048, 2048},
        {"4096", "64bit", "8192", 256 * MIB, 4096, 4096},
        {"4096", "64bit", "1024", 256 * MIB, 4096, 4096},
        {"4096", "64bit", "2048", GIB, 4096, 8192}, /* 128 groups of 64 bytes */
        {"65536", "64bit,^has_journal", "65528", GIB, 65536, 65536},
    };
    cleanup_free char *path = join(temp_dir(true), "image");

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint8_t data[FIREWALL_HEAD], first[FIREWALL_DESCRIPTOR], none[FIREWALL_DESCRIPTOR] = {0};
        struct firewall_table t;

        make_file(path, cases[i].size);
        assert_int_equal(run_program((const char *const[]){"mke2fs", "-q", "-F", "-F", "-t", "ext4",
                                                           "-b", cases[i].block, "-g",
                                                           cases[i].group, "-O", cases[i].features,
                                                           "-E", "lazy_itable_init=1", path, NULL}),
                         0);
        read_file(path, data, sizeof(data), 0);
        assert_true(firewall_table(data, &t));
        assert_int_equal(t.at, cases[i].at);
        assert_int_equal(t.size, cases[i].length);
        read_file(path, first, sizeof(first), t.at);
        assert_non_null(firewall_judge_descriptor(first, none, cases[i].size / t.block));
        unlink(path);
    }
}

/* Numbers that no file system has end in no table, never in a division by zero. */
static void test_absurd_table(void **state)
{
    uint8_t data[FIREWALL_HEAD];
    struct firewall_table t;
    struct rng rng = {5};

    (void)state;
    assert_false(firewall_table(blank, &t));
    memcpy(data, head, sizeof(data));
    put_le32(data + 1024 + 0x18, 7); /* s_log_block_size */
    assert_false(firewall_table(data, &t));
    memcpy(data, head, sizeof(data));
    put_le32(data + 1024 + 0x20, 0); /* s_blocks_per_group */
    assert_false(firewall_table(data, &t));
    memcpy(data, head, sizeof(data));
    put_le32(data + 1024 + 0x60, get_le32(data + 1024 + 0x60) | 0x80);
    put_le16(data + 1024 + 0xfe, 0); /* s_desc_size */
    assert_false(firewall_table(data, &t));
    put_le16(data + 1024 + 0xfe, 64);
    assert_true(firewall_table(data, &t));
    put_le32(data + 1024 + 0x60, 8); /* a journal */
    assert_false(firewall_table(data, &t));
    for (int i = 0; i < 100000; i++) {
        rng_fill(&rng, data + 1024, 1024);
        put_le32(data + 1024 + 0x18, (uint32_t)rng_below(&rng, 7));
        put_le16(data + 1080, 0xef53);
        if (firewall_table(data, &t))
            assert_int_equal(t.size % t.block, 0);
    }
}

static void test_descriptor(void **state)
{
    uint8_t before[FIREWALL_DESCRIPTOR], after[FIREWALL_DESCRIPTOR];

    (void)state;
    for (size_t at = 0; at < FIREWALL_DESCRIPTOR; at += 4) {
        for (size_t i = 0; i < FIREWALL_DESCRIPTOR; i += 4)
            put_le32(before + i, (uint32_t)(30 + i));
        memcpy(after, before, sizeof(after));
        assert_null(firewall_judge_descriptor(before, after, 1000));
        put_le32(after + at, 999); /* moved */
        assert_null(firewall_judge_descriptor(before, after, 1000));
        put_le32(after + at, 1000);
        assert_non_null(strstr(firewall_judge_descriptor(before, after, 1000), "descriptor"));
        put_le32(after + at, 0);
        assert_non_null(firewall_judge_descriptor(before, after, 1000));
        assert_null(firewall_judge_descriptor(after, after, 1000)); /* was none before */
    }
    memset(after, 0, sizeof(after));
    assert_non_null(firewall_judge_blanking(before, 128));
    assert_null(firewall_judge_blanking(before, 12));
    assert_null(firewall_judge_blanking(blank, 4096)); /* nothing was there */
}

static void make_entry(uint8_t entry[128], uint64_t first, uint64_t last)
{
    memset(entry, 0, 128);
    memset(entry, 0xaf, 16);
    memset(entry + 16, 0x17, 16);
    put_le64(entry + 32, first);
    put_le64(entry + 40, last);
}

static void test_entry(void **state)
{
    uint8_t before[128] = {0}, after[128];

    (void)state;
    make_entry(after, 6, 2554);
    assert_non_null(strstr(firewall_judge_entry(before, after, 2560), "GPT"));
    assert_non_null(firewall_judge_entry(before, after, 2555));
    assert_null(firewall_judge_entry(before, after, 2554)); /* ends behind the disk */
    assert_null(firewall_judge_entry(after, after, 2560));  /* was there before */
    make_entry(after, 6, 6);
    assert_non_null(firewall_judge_entry(before, after, 2560));
    make_entry(after, 7, 6);
    assert_null(firewall_judge_entry(before, after, 2560));
    make_entry(after, 0, 6);
    assert_null(firewall_judge_entry(before, after, 2560));
    make_entry(after, 6, 2554);
    memset(after, 0, 16);
    assert_null(firewall_judge_entry(before, after, 2560));
    make_entry(after, 6, 2554);
    memset(after + 16, 0, 16);
    assert_null(firewall_judge_entry(before, after, 2560));
    assert_null(firewall_judge_entry(before, before, 2560));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mbr),
        cmocka_unit_test(test_mbr_in_pieces),
        cmocka_unit_test(test_boot_loader),
        cmocka_unit_test(test_primary_gpt),
        cmocka_unit_test(test_gpt_in_pieces),
        cmocka_unit_test(test_backup_gpt),
        cmocka_unit_test(test_blanking),
        cmocka_unit_test(test_not_ext),
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_absurd_table),
        cmocka_unit_test(test_descriptor),
        cmocka_unit_test(test_entry),
        cmocka_unit_test(test_superblock_updates),
    };

    return cmocka_run_group_tests_name("firewall", tests, setup, NULL);
}
