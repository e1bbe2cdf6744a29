/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guard over a disk in memory with a real ext4 at its start. */
#include "export/guard.h"

#include "common/bytes.h"
#include "common/cleanup.h"
#include "export/firewall.h"
#include "tests/unit/ramdisk.h"
#include "tests/unit/support.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DISK  (256 * MIB)
#define TABLE 2048 /* with blocks of 1 KiB; two of them with 64bit */
#define HOUR  (3600 * 1000)

static uint8_t *fresh; /* the first 2 MiB of the file system */
static struct ramdisk ram;
static struct vhdx_layout layout;
static struct guard guard;

static int setup_all(void **state)
{
    cleanup_free char *path = join(temp_dir(true), "image");

    (void)state;
    make_file(path, DISK);
    assert_int_equal(
        run_program((const char *const[]){"mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024", "-O",
                                          "64bit", "-E", "lazy_itable_init=1", path, NULL}),
        0);
    fresh = malloc(2 * MIB);
    read_file(path, fresh, 2 * MIB, 0);
    unlink(path);
    return 0;
}

static int teardown_all(void **state)
{
    (void)state;
    free(fresh);
    return 0;
}

static void begin(uint32_t sector)
{
    layout = make_layout(DISK, 2 * MIB, sector);
    memcpy(ram.data, fresh, 2 * MIB);
    guard = (struct guard){.lock = PTHREAD_MUTEX_INITIALIZER, .disk = &ram.disk, .layout = &layout};
}

static int setup(void **state)
{
    (void)state;
    ramdisk_init(&ram, DISK);
    begin(512);
    log_forget();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ramdisk_free(&ram);
    return 0;
}

static void assert_passes(const void *data, uint64_t length, uint64_t offset)
{
    unsigned count = logged_count();

    assert_int_equal(guard_judge(&guard, data, offset, length), 0);
    assert_int_equal(logged_count(), count);
}

static void assert_refused(const void *data, uint64_t length, uint64_t offset, const char *why)
{
    log_forget();
    assert_int_equal(guard_judge(&guard, data, offset, length), -EIO);
    assert_non_null(strstr(logged(), why));
    assert_non_null(strstr(logged(), "nofirewall"));
}

static void test_reach(void **state)
{
    static const uint64_t small[] = {16384, 64 * KIB, MIB, MIB + 512, 2 * MIB};

    (void)state;
    assert_true(guard_concerns(&guard, 0, 1));
    assert_true(guard_concerns(&guard, MIB - 1, 1));
    assert_false(guard_concerns(&guard, MIB, 1));
    assert_false(guard_concerns(&guard, MIB, DISK - 2 * MIB));
    assert_true(guard_concerns(&guard, MIB, DISK - 2 * MIB + 1));
    assert_true(guard_concerns(&guard, DISK - MIB, 1));
    assert_true(guard_concerns(&guard, DISK - 1, 1));
    assert_true(guard_concerns(&guard, 0, DISK));
    assert_false(guard_concerns(&guard, 0, 0));
    for (size_t i = 0; i < ARRAY_SIZE(small); i++) {
        layout = make_layout(small[i], MIB, 512);
        for (uint64_t at = 0; at < small[i]; at += 512)
            assert_true(guard_concerns(&guard, at, 512));
    }
    layout = make_layout(15872, MIB, 512);
    assert_false(guard_concerns(&guard, 0, 15872));
    layout = make_layout(DISK, MIB, 512);
    guard.off = true;
    assert_false(guard_concerns(&guard, 0, DISK));
    assert_passes(NULL, DISK, 0);
}

/* Disks so small that head and tail meet are judged without a step over their ends. */
static void test_small_disks(void **state)
{
    uint8_t *data = malloc(MIB);
    struct rng rng = {9};

    (void)state;
    for (uint64_t size = 16384; size <= 128 * KIB; size += 512)
        for (uint32_t sector = 512; sector <= 4096; sector += 3584) {
            struct ramdisk little;

            if (size % sector)
                continue;
            ramdisk_init(&little,
                         size); /* which ends the test when it is asked for what is not there */
            memcpy(little.data, fresh, size);
            layout = make_layout(size, MIB, sector);
            guard.disk = &little.disk;
            rng_fill(&rng, data, size);
            assert_int_equal(guard_judge(&guard, data, 0, size), -EIO);
            assert_int_equal(guard_judge(&guard, NULL, size - 512, 512), 0);
            memset(little.data, 0, size);
            assert_int_equal(guard_judge(&guard, data, 0, size), 0);
            ramdisk_free(&little);
        }
    free(data);
}

/* What ext4 and e2fsprogs write to the table, in blocks, sectors and larger pieces. */
static void test_updates_pass(void **state)
{
    uint8_t update[64 * KIB];
    struct rng rng = {11};

    (void)state;
    memcpy(update, ram.data, sizeof(update));
    for (unsigned group = 0; group < 32; group++) { /* counts, checksums, flags */
        rng_fill(&rng, update + TABLE + 64 * group + 12, 20);
        rng_fill(&rng, update + TABLE + 64 * group + 44, 20);
    }
    put_le32(update + TABLE + 8, 4711); /* a new place for the first inode table */
    for (size_t piece = 512; piece <= sizeof(update); piece *= 2)
        for (size_t at = 0; at < sizeof(update); at += piece)
            assert_passes(update + at, piece, at);
    memset(update + TABLE + 64, 0, 1024 - 64); /* the last group of a shrunk one */
    assert_passes(update + TABLE, 1024, TABLE);
    assert_passes(update, 4096, 0);
    assert_passes(NULL, 1024, TABLE + 2048); /* behind the table */
    assert_passes(NULL, 127, TABLE + 1024);
    assert_passes(NULL, MIB, MIB);
    assert_passes(NULL, MIB, DISK - MIB);
}

static void test_first_descriptor(void **state)
{
    uint8_t entry[1024], low[4];

    (void)state;
    memcpy(entry, ram.data + TABLE, sizeof(entry));
    memset(entry, 0, 12);
    assert_refused(entry, 12, TABLE, "first block group");
    assert_refused(entry, 4, TABLE + 8, "first block group");
    assert_refused(entry, 1024, TABLE, "first block group");
    memset(entry, 0xa5, 1024); /* somebody's data: no place on this disk */
    assert_refused(entry, 1024, TABLE, "first block group");
    put_le32(low, DISK / 1024);
    assert_refused(low, 4, TABLE + 4, "first block group");
    put_le32(low, DISK / 1024 - 1);
    assert_passes(low, 4, TABLE + 4);
    memset(ram.data + TABLE, 0, 4); /* none to be destroyed */
    assert_passes(entry, 1024, TABLE);
}

static void test_blanked_table(void **state)
{
    uint8_t zeros[4096] = {0}, data[8192];

    (void)state;
    assert_refused(NULL, 1024, TABLE + 1024, "group descriptors");
    assert_refused(zeros, 1024, TABLE + 1024, "group descriptors");
    assert_refused(zeros, 4096, TABLE + 1024, "group descriptors");
    assert_refused(zeros, 128, TABLE + 1024, "group descriptors");
    assert_refused(zeros, 512, TABLE + 512, "group descriptors");
    assert_refused(NULL, 129, TABLE + 2047 - 128, "group descriptors");
    assert_passes(NULL, 127, TABLE + 2048 - 127);
    memcpy(data, ram.data, sizeof(data)); /* in the midst of what is as it was */
    memset(data + TABLE + 1024, 0, 1024);
    assert_refused(data, sizeof(data), 0, "group descriptors");
    memset(ram.data + TABLE + 1024, 0, 1024);
    assert_passes(NULL, 1024, TABLE + 1024);
    put_le32(ram.data + 1024 + 0x60, get_le32(ram.data + 1024 + 0x60) | 0x10); /* meta_bg */
    memset(ram.data + TABLE + 1024, 1, 1024);
    assert_passes(NULL, 1024, TABLE + 1024); /* somebody's data */
    assert_refused(zeros + 512, 512, TABLE + 512, "group descriptors");
    put_le32(ram.data + 1024 + 0x104, 2); /* the first two are in one piece */
    assert_refused(NULL, 1024, TABLE + 1024, "group descriptors");
}

/* A table longer than the first MiB is guarded so far; one of larger blocks as well. */
static void test_long_table(void **state)
{
    (void)state;
    put_le32(ram.data + 1024 + 4, UINT32_C(1) << 28); /* 32768 groups, 2 MiB */
    memset(ram.data + 4096, 0x33, 2 * MIB);
    assert_refused(NULL, 1024, MIB - 1024, "group descriptors");
    assert_refused(NULL, 2048, MIB - 1024, "group descriptors");
    assert_refused(NULL, 128, MIB - 128, "group descriptors");
    assert_passes(NULL, 1024, MIB);
    assert_passes(NULL, 128 + 127, MIB - 127);
    put_le32(ram.data + 1024 + 0x18, 6); /* 64 KiB */
    assert_passes(NULL, 32 * KIB, 32 * KIB);
    assert_refused(NULL, 4096, 64 * KIB, "group descriptors");
    assert_refused(NULL, 4096, 68 * KIB, "group descriptors");
    put_le32(ram.data + 1024 + 0x18, 2);
    ram.reads = 0;
    assert_passes(ram.data + 64 * KIB, 64 * KIB, 64 * KIB);
    assert_int_equal(ram.reads, 1);
}

static void make_entry(uint8_t entry[128])
{
    memset(entry, 0, 128);
    memset(entry, 0xaf, 32);
    put_le64(entry + 32, 6);
    put_le64(entry + 40, 2000);
}

static void test_entries(void **state)
{
    uint8_t data[16384 + 8192] = {0};

    (void)state;
    make_entry(data + 8192);
    assert_passes(data + 8192, 16384, 8192); /* with sectors of 512 bytes it is nothing */
    begin(4096);
    assert_refused(data + 8192, 16384, 8192, "GPT");
    assert_refused(data + 8192, 4096, 8192, "GPT");
    assert_refused(data + 8192, 48, 8192, "GPT");
    assert_passes(data + 8192, 32, 8192); /* no entry yet */
    assert_passes(data + 8192, 4096, 12288);
    assert_passes(data + 8192 + 128, 4096, 8192 + 128);
    memcpy(ram.data + 8192, data + 8192, 40);
    assert_refused(data + 8192 + 40, 8, 8192 + 40, "GPT");
    memset(ram.data + 1080, 0, 2);
    assert_passes(data + 8192, 16384, 8192); /* no ext */
}

static void test_entries_at_the_end(void **state)
{
    uint8_t data[16384];

    (void)state;
    memset(data, 0, sizeof(data));
    make_entry(data);
    for (int ext = 1; ext >= 0; ext--)
        for (uint32_t sector = 512; sector <= 4096; sector += 3584) {
            begin(sector);
            if (!ext)
                memset(ram.data, 0, 8192);
            assert_refused(data, 16384, DISK - sector - 16384, "GPT");
            assert_refused(data, 512, DISK - sector - 16384, "GPT");
            assert_passes(data + 128, 512, DISK - sector - 16384);
            assert_passes(data, 16384, DISK - 2 * sector - 16384);
            assert_passes(NULL, 16384, DISK - sector - 16384);
        }
}

/* Nothing is read for what cannot do harm. */
static void test_cost(void **state)
{
    uint8_t data[4096];

    (void)state;
    memset(data, 0x77, sizeof(data));
    assert_passes(data, 4096, MIB);
    assert_passes(data, 4096, DISK - MIB - 4096);
    assert_passes(data, 4096, DISK - MIB);
    assert_passes(data, 4096, DISK - 32 * KIB);
    assert_int_equal(ram.reads, 0);
    assert_passes(data, 4096, MIB - 4096);
    assert_int_equal(ram.reads, 1);
    assert_passes(data, 1024, TABLE + 1024);
    assert_int_equal(ram.reads, 2);
}

static void test_latch(void **state)
{
    uint64_t until;

    (void)state;
    guard.latch = HOUR;
    assert_passes(NULL, 512, MIB - 512);
    assert_refused(NULL, 1024, 1024, "superblock");
    until = guard.until;
    assert_true(until > 0);
    ram.reads = 0;
    log_forget();
    assert_int_equal(guard_judge(&guard, NULL, MIB - 512, 512), -EIO);
    assert_int_equal(guard_judge(&guard, fresh, 0, 4096), -EIO);
    assert_int_equal(guard_judge(&guard, NULL, DISK - MIB, 1), -EIO);
    assert_int_equal(guard_judge(&guard, NULL, DISK - 1, 1), -EIO);
    assert_non_null(strstr(logged(), "3600 s"));
    assert_int_equal(logged_count(), 1); /* of each latch */
    assert_int_equal(ram.reads, 0);
    assert_passes(NULL, DISK - 2 * MIB, MIB);
    guard.until = 1;
    assert_passes(fresh, 4096, 0);
    assert_refused(NULL, 1024, 1024, "superblock");
    log_forget();
    assert_int_equal(guard_judge(&guard, NULL, DISK - 1, 1), -EIO);
    assert_int_equal(logged_count(), 1);
    guard.off = true;
    assert_passes(NULL, DISK, 0);
}

/* Each try prolongs it; it ends by itself. */
static void test_latch_ends(void **state)
{
    const struct timespec ms[2] = {{0, 60 * 1000000}, {0, 500 * 1000000}};
    uint64_t until;

    (void)state;
    guard.latch = 400;
    assert_refused(NULL, 1024, 1024, "superblock");
    until = guard.until;
    nanosleep(&ms[0], NULL);
    if (guard_judge(&guard, NULL, MIB - 512, 512) == -EIO) /* else this machine slept longer */
        assert_true(guard.until >= until + 60);
    nanosleep(&ms[1], NULL);
    assert_passes(NULL, 512, MIB - 512);
}

static void test_cannot_read(void **state)
{
    (void)state;
    guard.latch = HOUR;
    ram.read_error = -EIO;
    assert_int_equal(guard_judge(&guard, fresh, 0, 512), -EIO);
    assert_int_equal(guard_judge(&guard, fresh, DISK - 512, 512), -EIO);
    ram.read_error = 0;
    assert_passes(fresh, 512, 0); /* that was no refusal */
}

/* --- whole operations, in pieces --- */

/* What a tool writes to the first SIZE bytes, in pieces; what passes is done. */
static void in_pieces(const uint8_t *data, size_t size, size_t piece, bool backwards)
{
    for (size_t n = 0; n < size / piece; n++) {
        size_t at = backwards ? size - (n + 1) * piece : n * piece;

        if (guard_judge(&guard, data ? data + at : NULL, at, piece) < 0)
            continue;
        if (data)
            memcpy(ram.data + at, data + at, piece);
        else
            memset(ram.data + at, 0, piece);
    }
}

static size_t make_table(uint8_t *data, uint32_t sector)
{
    memset(data, 0, 24 * KIB);
    data[446 + 4] = 0xee;
    data[510] = 0x55;
    data[511] = 0xaa;
    memcpy(data + sector, "EFI PART", 8);
    put_le64(data + sector + 24, 1);
    make_entry(data + 2 * sector);
    return sector == 512 ? 20 * KIB : 24 * KIB;
}

static void test_operations_in_pieces(void **state)
{
    uint8_t table[24 * KIB];

    (void)state;
    for (size_t piece = 512; piece <= 64 * KIB; piece *= 2)
        for (uint32_t sector = 512; sector <= 4096; sector += 3584)
            for (int backwards = 0; backwards < 2; backwards++) {
                size_t size = make_table(table, sector);

                if (piece <= 4096) {
                    begin(sector);
                    guard.latch = HOUR;
                    in_pieces(table, size, piece, backwards);
                    /* Downwards, the zeros behind the first entry have passed. */
                    assert_memory_equal(ram.data, fresh, backwards ? 4096 : 2 * MIB);
                    assert_true(guard.until > 0);
                }
                begin(sector);
                guard.latch = HOUR;
                in_pieces(NULL, MIB, piece, backwards);
                assert_memory_equal(ram.data + 1024, fresh + 1024, 3 * KIB);
                if (!backwards && piece > 1024)
                    assert_memory_equal(ram.data, fresh, 2 * MIB);
                assert_true(guard.until > 0);
            }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_reach),
        TEST(test_small_disks),
        TEST(test_updates_pass),
        TEST(test_first_descriptor),
        TEST(test_blanked_table),
        TEST(test_long_table),
        TEST(test_entries),
        TEST(test_entries_at_the_end),
        TEST(test_cost),
        TEST(test_latch),
        TEST(test_latch_ends),
        TEST(test_cannot_read),
        TEST(test_operations_in_pieces),
    };

    return cmocka_run_group_tests_name("guard", tests, setup_all, teardown_all);
}
