/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The data path over a disk that fails when it is told to, and a real store. */
#include "export/datapath.h"

#include "common/bytes.h"
#include "common/cleanup.h"
#include "export/export.h"
#include "export/firewall.h"
#include "tests/unit/ramdisk.h"
#include "tests/unit/shadow.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define UUID "6b29fc40-ca47-1067-b31d-00dd010662da"
#define DISK (9 * MIB + 512 * KIB) /* five blocks of 2 MiB, the last one half pad */
#define PAD  (512 * KIB)

static const char *base;
static char *dir, *state_file;
static struct ramdisk ram;
static struct vhdx_layout layout;
static struct extent_map map = EXTENT_MAP_INIT;
static struct datapath path;
static uint8_t *before; /* the disk at the start of the test */
static uint64_t P;

static void load_ext4(uint8_t *data)
{
    cleanup_free char *image = join(base, "image");

    make_file(image, DISK);
    make_ext4(image, DISK, UUID);
    read_file(image, data, DISK, 0);
    unlink(image);
}

static int setup(void **state)
{
    struct rng rng = {3};

    (void)state;
    dir = join(base, "state");
    state_file = join(dir, UUID ".state");
    layout = make_layout(DISK, 2 * MIB, 512);
    assert_int_equal(vhdx_layout_map(&layout, &map), 0);
    ramdisk_init(&ram, DISK);
    load_ext4(ram.data);
    rng_fill(&rng, ram.data + MIB, DISK - MIB);
    before = malloc(DISK);
    memcpy(before, ram.data, DISK);
    P = layout.payload_offset;
    path = (struct datapath){
        .layout = &layout,
        .map = &map,
        .disk = &ram.disk,
        .guard = {.lock = PTHREAD_MUTEX_INITIALIZER, .disk = &ram.disk, .layout = &layout}};
    assert_int_equal(store_open(&path.store, dir, UUID, &layout, 0, NULL), 0);
    log_forget();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    shadow_forget();
    shadow_disarm();
    store_close(path.store);
    extent_map_free(&map);
    ramdisk_free(&ram);
    remove_tree(dir);
    free(dir);
    free(state_file);
    free(before);
    return 0;
}

static int write_entry(uint64_t block, unsigned value)
{
    uint8_t entry[8];

    put_le64(entry, (P + block * 2 * MIB) | value);
    return datapath_write(&path, entry, 8, VHDX_BAT_AT + 8 * block);
}

static void assert_zero(uint64_t offset, uint64_t length)
{
    assert_true(is_zero(ram.data + offset, length));
    assert_memory_equal(ram.data, before, offset);
    assert_memory_equal(ram.data + offset + length, before + offset + length,
                        DISK - offset - length);
}

static void test_bat_requests(void **state)
{
    (void)state;
    assert_int_equal(write_entry(2, 6), 0);
    assert_int_equal(ram.zeros + ram.writes, 0);
    assert_int_equal(write_entry(2, 2), 0);
    assert_zero(4 * MIB, 2 * MIB);
    assert_int_equal(ram.discards, 0);
    memcpy(ram.data, before, DISK);
    assert_int_equal(write_entry(4, 3), 0); /* the last block ends behind the disk */
    assert_zero(8 * MIB, DISK - 8 * MIB);
    assert_int_equal(ram.discards, 1);
    memcpy(ram.data, before, DISK);
    assert_int_equal(datapath_write(&path, "\x02", 1, VHDX_BAT_AT + 24), 0); /* the state only */
    assert_zero(6 * MIB, 2 * MIB);
}

/* Nobody is told that zeros were written when they were not. */
static void test_bat_request_fails(void **state)
{
    (void)state;
    ram.zero_error = -EIO;
    assert_int_equal(write_entry(2, 2), -EIO);
    assert_int_equal(write_entry(2, 3), -EIO);
    assert_memory_equal(ram.data, before, DISK);
    ram.zero_error = 0;
    assert_int_equal(write_entry(2, 2), 0);
}

/* One bad entry, and nothing of the whole write happens: no entry before, no metadata. */
static void test_bad_entry_spoils_all(void **state)
{
    size_t length = 8192;
    uint8_t *data = malloc(length), meta[4096], now[4096];
    uint64_t start = VHDX_BAT_AT - 4096;

    (void)state;
    store_read(path.store, meta, sizeof(meta), start);
    memset(data, 0x77, 4096);
    vhdx_bat_read(&layout, 0, data + 4096, 4096);
    put_le64(data + 4096 + 8, (P + 2 * MIB) | 2);
    put_le64(data + 4096 + 24, (P + 9 * MIB) | 6);
    assert_int_equal(datapath_write(&path, data, length, start), -EIO);
    assert_non_null(strstr(logged(), "BAT entry 3"));
    assert_memory_equal(ram.data, before, DISK);
    store_read(path.store, now, sizeof(now), start);
    assert_memory_equal(now, meta, sizeof(meta));
    put_le64(data + 4096 + 24, (P + 6 * MIB) | 6);
    assert_int_equal(datapath_write(&path, data, length, start), 0);
    assert_zero(2 * MIB, 2 * MIB);
    store_read(path.store, now, sizeof(now), start);
    assert_memory_equal(now, data, sizeof(now));
    free(data);
}

/* Zeroing the first block through the BAT is blanking the superblock. */
static void test_bat_meets_the_firewall(void **state)
{
    (void)state;
    assert_int_equal(write_entry(0, 2), -EIO);
    assert_non_null(strstr(logged(), "superblock"));
    assert_int_equal(write_entry(0, 3), -EIO);
    assert_memory_equal(ram.data, before, DISK);
    path.guard.off = true;
    assert_int_equal(write_entry(0, 2), 0);
    assert_zero(0, 2 * MIB);
}

/* An MBR at the start, a GPT, zeros: whatever the write they come in, none of it happens. */
static void test_firewall_sees_every_write(void **state)
{
    static const size_t lengths[] = {512, 4096, 65536, MIB};
    uint8_t *data = malloc(MIB + 4096), *pristine = malloc(MIB);

    (void)state;
    memcpy(pristine, ram.data, MIB);
    for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
        memcpy(data, pristine, MIB);
        memset(data + 500, 0x11, 10);
        data[510] = 0x55;
        data[511] = 0xaa;
        log_forget();
        assert_int_equal(datapath_write(&path, data, lengths[i], P), -EIO);
        assert_non_null(strstr(logged(), "MBR"));
        assert_non_null(strstr(logged(), "nofirewall"));
        if (lengths[i] > 1024) {
            memset(data, 0, MIB); /* diskpart clean */
            assert_int_equal(datapath_write(&path, data, lengths[i], P), -EIO);
            assert_int_equal(datapath_zero(&path, P, lengths[i], i % 2), -EIO);
            assert_int_equal(datapath_zero(&path, P + 1024, 1024, true), -EIO);
        }
        /* from the last entries of the BAT region on */
        memset(data, 0, 4096);
        memcpy(data + 4096, pristine, MIB);
        data[4096 + 511] = 0xaa;
        data[4096 + 510] = 0x55;
        assert_int_equal(datapath_write(&path, data, lengths[i] + 4096, P - 4096), -EIO);
    }
    assert_memory_equal(ram.data, before, DISK);
    assert_int_equal(ram.writes + ram.zeros, 0);
    assert_int_equal(datapath_write(&path, pristine, MIB, P), 0); /* the file system's own */
    assert_int_equal(datapath_zero(&path, P + FIREWALL_HEAD, MIB, true), 0);
    assert_int_equal(datapath_zero(&path, P + DISK - MIB, MIB, false), 0);
    path.guard.off = true;
    assert_int_equal(datapath_write(&path, data, 4096, P), 0);
    free(data);
    free(pristine);
}

static void test_firewall_at_the_end(void **state)
{
    uint8_t data[1024 + 4096] = {0};

    (void)state;
    memcpy(data + 512, "EFI PART", 8);
    put_le64(data + 512 + 24, DISK / 512 - 1);
    assert_int_equal(datapath_write(&path, data, 1024, P + DISK - 1024), -EIO);
    assert_int_equal(datapath_write(&path, data, sizeof(data), P + DISK - 1024),
                     -EIO); /* and pad */
    assert_int_equal(datapath_write(&path, data + 512, 512, P + DISK - 512), -EIO);
    assert_memory_equal(ram.data, before, DISK);
    put_le64(data + 512 + 24, 7); /* the copy of some other disk's, in a file */
    assert_int_equal(datapath_write(&path, data, 1024, P + DISK - 1024), 0);
    /* In two pieces: the second one makes it a partition table. */
    assert_int_equal(datapath_write(&path, "\0\0\0\0\0\0\0\0", 8, P + DISK - 512), 0);
    put_le64(data + 512 + 24, DISK / 512 - 1);
    assert_int_equal(datapath_write(&path, data + 520, 504, P + DISK - 504), 0);
    assert_int_equal(datapath_write(&path, "EFI PART", 8, P + DISK - 512), -EIO);
    assert_int_equal(datapath_write(&path, "EFI PART", 8, P + 5 * MIB), 0); /* elsewhere: data */
}

/* What cannot be judged is not done. */
static void test_firewall_cannot_read(void **state)
{
    (void)state;
    ram.read_error = -EIO;
    assert_int_equal(datapath_write(&path, "x", 1, P), -EIO);
    assert_int_equal(datapath_zero(&path, P, 512, false), -EIO);
    assert_int_equal(ram.writes + ram.zeros, 0);
}

/* After a refusal the first and the last MiB take nothing, by whatever way it comes. */
static void test_latch(void **state)
{
    uint8_t data[4096];

    (void)state;
    memset(data, 0x55, sizeof(data));
    path.guard.latch = 3600 * 1000;
    assert_int_equal(datapath_write(&path, data, 4096, P + MIB - 4096), 0);
    assert_int_equal(datapath_zero(&path, P + 1024, 1024, false), -EIO);
    memcpy(before, ram.data, DISK);
    ram.writes = ram.zeros = 0;
    assert_int_equal(datapath_write(&path, data, 4096, P + MIB - 4096), -EIO);
    assert_int_equal(datapath_write(&path, data, 4096, P + MIB - 1), -EIO);
    assert_int_equal(datapath_write(&path, data, 4096, P + DISK - MIB), -EIO);
    assert_int_equal(datapath_write(&path, data, 4096, P + DISK - 1), -EIO);
    assert_int_equal(datapath_zero(&path, P + MIB / 2, 512, true), -EIO);
    assert_int_equal(datapath_zero(&path, P, DISK, false), -EIO);
    assert_int_equal(write_entry(0, 2), -EIO);
    assert_int_equal(write_entry(4, 3), -EIO);
    assert_memory_equal(ram.data, before, DISK);
    assert_int_equal(ram.writes + ram.zeros, 0);
    assert_int_equal(write_entry(1, 2), 0);
    assert_int_equal(datapath_write(&path, data, 4096, P + MIB), 0);
    assert_int_equal(datapath_write(&path, data, 4096, P + DISK - MIB - 4096), 0);
    assert_int_equal(datapath_write(&path, data, 4096, P + DISK), 0); /* the pad */
    assert_int_equal(datapath_write(&path, data, 4096, VHDX_LOG_AT), 0);
    path.guard.until = 1; /* long ago */
    assert_int_equal(datapath_write(&path, data, 4096, P + MIB - 4096), 0);
}

static void test_pad(void **state)
{
    uint8_t data[1024], zeros[1024] = {0}, found[1024];

    (void)state;
    memset(data, 0x99, sizeof(data));
    assert_int_equal(datapath_write(&path, data, 1024, P + DISK - 512), 0);
    assert_memory_equal(ram.data + DISK - 512, data, 512);
    assert_int_equal(datapath_read(&path, found, 1024, P + DISK - 512), 0);
    assert_memory_equal(found, data, 512);
    assert_memory_equal(found + 512, zeros, 512);
    assert_int_equal(datapath_zero(&path, P + DISK - 256, PAD, true), 0);
    memcpy(before + DISK - 512, data, 256);
    assert_zero(DISK - 256, 256);
    assert_int_equal(ram.zeros, 1); /* there is no disk under the pad */
}

static void test_zero_spares_metadata(void **state)
{
    (void)state;
    assert_int_equal(datapath_zero(&path, 0, 4096, true), -EPERM);
    assert_int_equal(datapath_zero(&path, VHDX_BAT_AT, 4096, true), -EPERM);
    assert_int_equal(datapath_zero(&path, P - 1, 4096, false), -EPERM);
    assert_int_equal(datapath_zero(&path, 0, 0, false), 0);
    assert_memory_equal(ram.data, before, DISK);
}

static unsigned flushes_of_state;

static void see_flush(void *arg)
{
    (void)arg;
    flushes_of_state = shadow_flushes();
}

/* The device first; the state only when that has worked: see store.h. */
static void test_order_of_flushes(void **state)
{
    unsigned start;

    (void)state;
    shadow_watch(state_file);
    start = shadow_flushes();
    ram.on_flush = see_flush;
    assert_int_equal(datapath_write(&path, "meta", 4, VHDX_LOG_AT), 0);
    assert_int_equal(datapath_write(&path, "data", 4, P + MIB), 0);
    ram.flush_error = -EIO;
    assert_int_equal(datapath_flush(&path), -EIO);
    assert_int_equal(shadow_flushes(), start);
    assert_non_null(strstr(logged(), "flush"));
    ram.flush_error = 0;
    shadow_fail_flush(0, ENOSPC, 1);
    assert_int_equal(datapath_flush(&path), -ENOSPC);
    assert_int_equal(datapath_flush(&path), 0);
    assert_int_equal(flushes_of_state, start);
    assert_int_equal(shadow_flushes(), start + 1);
    assert_int_equal(ram.flushes, 3);
}

/* Errors come back as they are, with a line in the log; later everything works. */
static void test_errors(void **state)
{
    uint8_t data[4096] = {0};

    (void)state;
    ram.read_error = -EIO;
    assert_int_equal(datapath_read(&path, data, 4096, P + MIB), -EIO);
    assert_int_equal(logged_count(), 1);
    assert_int_equal(datapath_read(&path, data, 4096, 0), 0); /* metadata is there still */
    ram.read_error = 0;
    ram.write_error = -ENOSPC;
    assert_int_equal(datapath_write(&path, data, 4096, P + MIB), -ENOSPC);
    assert_int_equal(logged_count(), 2);
    ram.write_error = 0;
    ram.zero_error = -EIO;
    assert_int_equal(datapath_zero(&path, P + MIB, 4096, true), -EIO);
    ram.zero_error = 0;
    assert_memory_equal(ram.data, before, DISK);
    assert_int_equal(datapath_zero(&path, P + MIB, 4096, true), 0);
    assert_zero(MIB, 4096);
}

static bool begins(bool write, size_t length, uint64_t offset)
{
    static uint8_t data[64 * KIB];
    struct direct direct;

    assert_true(length <= sizeof(data));
    if (!datapath_begin(&path, &direct, write, data, length, offset)) {
        assert_int_equal(ram.begun, 0);
        return false;
    }
    assert_int_equal(ram.begun, 1);
    assert_int_equal(direct.fd, RAMDISK_FD);
    assert_int_equal(direct.write, write);
    assert_int_equal(direct.length, length);
    assert_int_equal(direct.offset, offset - P);
    datapath_end(&path, &direct, 0);
    assert_int_equal(ram.begun, 0);
    return true;
}

/* What goes to the device past all judgement is what nobody has to judge. */
static void test_begin(void **state)
{
    const uint64_t head = P + MIB, tail = P + DISK - MIB, last = P + DISK - 512;

    (void)state;
    assert_true(begins(true, 4096, P + 5 * MIB));
    assert_true(begins(true, 64 * KIB, P + 2 * MIB - 4096)); /* from one block into the next */
    assert_true(begins(true, 4096, head));
    assert_true(begins(true, 4096, tail - 4096));
    for (uint64_t at = P; at < head; at += 512) {
        assert_false(begins(true, 512, at));
        assert_false(begins(true, 64 * KIB, at));
        assert_true(begins(false, 64 * KIB, at));
    }
    for (uint64_t at = tail; at <= last; at += 512) {
        assert_false(begins(true, 512, at));
        assert_false(begins(true, 4096, at - 4096 + 512));
        assert_false(begins(true, 64 * KIB, at - 64 * KIB + 512));
        assert_true(begins(false, 512, at));
    }
    path.guard.off = true;
    assert_true(begins(true, 4096, P));
    assert_true(begins(true, 512, last));
    path.guard.off = false;
    for (int write = 0; write < 2; write++) {
        assert_false(begins(write, 4096, 0));
        assert_false(begins(write, 4096, VHDX_BAT_AT));
        assert_false(begins(write, 4096, P - 512));        /* and a piece of the disk */
        assert_false(begins(write, 4096, last - 3 * 512)); /* and a piece of the pad */
        assert_false(begins(write, 4096, P + DISK));       /* the pad */
    }
    path.read_only = true;
    assert_false(begins(true, 4096, P + 5 * MIB));
    assert_true(begins(false, 4096, P + 5 * MIB));
}

static void test_read_only(void **state)
{
    uint8_t data[4096] = {0};

    (void)state;
    path.read_only = true;
    assert_int_equal(datapath_write(&path, data, 4096, P), -EROFS);
    assert_int_equal(datapath_zero(&path, P, 4096, false), -EROFS);
    assert_int_equal(write_entry(2, 2), -EROFS);
    assert_int_equal(datapath_read(&path, data, 4096, P), 0);
    assert_memory_equal(data, before, 4096);
    assert_int_equal(datapath_flush(&path), 0);
    assert_int_equal(ram.writes + ram.zeros + ram.flushes, 0);
}

/* What a client wrote and did not flush is on the disk when its last descriptor is closed. */
static void test_last_close_flushes(void **state)
{
    cleanup_free char *image = join(base, "image");
    struct export_settings settings = {
        .source = image, .name = (char[]){"ext4.vhdx"}, .state = dir};
    struct exported exported;
    struct failure failure;
    unsigned start;
    size_t done;

    (void)state;
    store_close(path.store);
    path.store = NULL;
    make_file(image, DISK);
    make_ext4(image, DISK, UUID);
    assert_int_equal(start_export(&exported, &settings, &failure), 0);
    assert_int_equal(export_open(&exported, VIEW_VHDX, true, &failure), 0);
    assert_int_equal(export_open(&exported, VIEW_VHDX, true, &failure), 0);
    shadow_watch(state_file);
    start = shadow_flushes();
    assert_int_equal(export_write(&exported, VIEW_VHDX, "meta", 4, VHDX_LOG_AT, &done), 0);
    export_release(&exported, VIEW_VHDX, true);
    assert_int_equal(shadow_flushes(), start); /* somebody has it open still */
    export_release(&exported, VIEW_VHDX, true);
    assert_int_equal(shadow_flushes(), start + 1);
    assert_int_equal(export_stop(&exported), 0);
    unlink(image);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_bat_requests),
        TEST(test_bat_request_fails),
        TEST(test_bad_entry_spoils_all),
        TEST(test_bat_meets_the_firewall),
        TEST(test_firewall_sees_every_write),
        TEST(test_firewall_at_the_end),
        TEST(test_firewall_cannot_read),
        TEST(test_latch),
        TEST(test_pad),
        TEST(test_zero_spares_metadata),
        TEST(test_order_of_flushes),
        TEST(test_errors),
        TEST(test_begin),
        TEST(test_read_only),
        TEST(test_last_close_flushes),
    };

    umask(077);
    base = temp_dir(true);
    return cmocka_run_group_tests_name("datapath", tests, NULL, NULL);
}
