/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The disk around the VHDX: geometry, partition table, building and keeping the NTFS volume, and
 * the fence. Needs mkntfs for all but the first two. ROUNDS says how many random writes the fence
 * has to survive.
 */
#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/io.h"
#include "ntfs/record.h"
#include "tests/unit/shadow.h"
#include "tests/unit/support.h"
#include "tests/unit/unit.h"
#include "volume/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define UUID  "6b29fc40-ca47-1067-b31d-00dd010662da"
#define OTHER "7c29fc40-ca47-1067-b31d-00dd010662db"

static struct vhdx_layout layout;
static struct volume volume;
static struct failure failure;
static const char *directory;

/* --- geometry and partition table ------------------------------------------ */

static void test_geometry(void **state)
{
    const uint64_t sizes[] = {5 * MIB, 64 * MIB, GIB, GIB + 37 * MIB, TIB, 15 * TIB, 64 * TIB};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        struct ntfs_geometry g;

        assert_int_equal(ntfs_geometry_init(&g, sizes[i]), 0);
        assert_int_equal(g.file_size, sizes[i]);
        assert_int_equal(g.file_at % MIB, 0);
        assert_int_equal(g.bitmap_at % NTFS_CLUSTER, 0);
        assert_true(g.bitmap_at >= 128 * MIB && g.bitmap_at + g.bitmap_size <= g.file_at);
        assert_true(g.bitmap_size % 8 == 0 && g.bitmap_size * 8 >= g.clusters);
        /* Behind the clusters, room for the backup boot sector and nothing else. */
        assert_true(g.file_at + g.file_size < g.clusters * NTFS_CLUSTER);
        assert_true(g.clusters * NTFS_CLUSTER <= g.volume_size - NTFS_SECTOR);
        assert_true((g.clusters + 1) * NTFS_CLUSTER >= g.volume_size);
    }
    assert_int_equal(ntfs_geometry_init(&(struct ntfs_geometry){0}, 0), -EINVAL);
    assert_int_equal(ntfs_geometry_init(&(struct ntfs_geometry){0}, MIB + 512), -EINVAL);
    assert_int_equal(ntfs_geometry_init(&(struct ntfs_geometry){0}, 300 * TIB), -EFBIG);
}

static void test_partition_table(void **state)
{
    const struct gpt gpt = {.disk_size = 400 * MIB,
                            .partition_at = MIB,
                            .partition_size = 398 * MIB,
                            .disk = guid_derive(UUID, "a"),
                            .partition = guid_derive(UUID, "b"),
                            .name = "vhdxfs"};
    uint8_t head[GPT_HEAD_SIZE], tail[GPT_TAIL_SIZE], copy[GPT_HEAD_SIZE];
    const char *why;

    (void)state;
    gpt_encode(&gpt, head, tail);
    assert_true(gpt_still_there(&gpt, head, &why));
    assert_memory_equal(head + 1024, tail, 128 * 128);
    /* Other GUIDs, another name: as Windows may write them. */
    memcpy(copy, head, sizeof(copy));
    memset(copy + 512 + 56, 7, 16);
    memset(copy + 1024 + 16, 7, 16);
    memset(copy + 1024 + 56, 7, 20);
    assert_true(gpt_still_there(&gpt, copy, &why));
    /* Each of these bytes counts: signatures, type, place, and the other entries. */
    for (size_t i = 0; i < 4; i++) {
        const size_t at[] = {510, 446 + 4, 512, 1024 + 32};

        memcpy(copy, head, sizeof(copy));
        copy[at[i]] ^= 1;
        assert_false(gpt_still_there(&gpt, copy, &why));
        assert_non_null(why);
    }
    memcpy(copy, head, sizeof(copy));
    copy[1024 + 128 * 127] = 1;
    assert_false(gpt_still_there(&gpt, copy, &why));
}

/* --- building and keeping --------------------------------------------------- */

/* As an export starts it; skips the test where there is no mkntfs. */
static int start(const char *identity, unsigned flags)
{
    int err = volume_start(&volume, directory, identity, &layout, flags, &failure);

    if (!err)
        err = volume_keep(&volume, &failure);
    if (err && (strstr(failure.text, "install ntfs-3g") || strstr(failure.text, "without lib"))) {
        volume_end(&volume);
        print_message("%s\n", failure.text);
        skip();
    }
    return err;
}

static void open_volume(unsigned flags)
{
    assert_int_equal(start(UUID, flags), 0);
    assert_int_equal(volume_open(&volume, &failure), 0);
}

static void end_volume(void)
{
    volume_close(&volume);
    volume_end(&volume);
}

static char *image_path(void)
{
    return join(directory, UUID ".disk");
}

static bool is_closed(void)
{
    char why[256];

    return fence_is_closed(&volume.fence, why);
}

static unsigned set_aside(void)
{
    char command[512], line[16] = "";
    FILE *f;

    snprintf(command, sizeof(command), "ls %s | grep -c 'disk\\.2'", directory);
    f = popen(command, "r");
    assert_non_null(f);
    if (!fgets(line, sizeof(line), f))
        line[0] = '\0';
    pclose(f);
    return (unsigned)atoi(line);
}

static void test_kept(void **state)
{
    uint8_t before[4096], after[4096];
    struct volume second;
    struct stat st;
    char *path;

    (void)state;
    directory = temp_dir(false);
    path = image_path();
    /* Nothing is written before volume_keep(). */
    if (volume_start(&volume, directory, UUID, &layout, 0, &failure) == 0)
        assert_false(exists(path));
    volume_end(&volume);

    open_volume(0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(st.st_size, volume_image_size(&volume.layout));
    assert_true(st.st_blocks * 512 < (off_t)(8 * MIB));
    assert_false(is_closed());
    /* Locked while it is open. */
    assert_int_equal(volume_start(&second, directory, UUID, &layout, 0, &failure), -EBUSY);
    volume_end(&second);
    end_volume();

    /* The same bytes again. */
    read_file(path, before, sizeof(before), VOLUME_IMAGE_HEAD_AT + VOLUME_AT);
    open_volume(0);
    end_volume();
    read_file(path, after, sizeof(after), VOLUME_IMAGE_HEAD_AT + VOLUME_AT);
    assert_memory_equal(before, after, sizeof(before));
    free(path);
}

static void test_refused(void **state)
{
    const uint8_t bad = 0x5a;
    char *path, *renamed;

    (void)state;
    directory = temp_dir(false);
    path = image_path();
    renamed = join(directory, OTHER ".disk");
    open_volume(0);
    end_volume();
    /* Under the name of another partition. */
    assert_int_equal(rename(path, renamed), 0);
    assert_int_equal(start(OTHER, 0), -ESTALE);
    volume_end(&volume);
    assert_int_equal(start(OTHER, VOLUME_RESET), 0);
    volume_end(&volume);
    /* Damaged. */
    open_volume(0);
    end_volume();
    write_file(path, &bad, 1, 100);
    assert_int_equal(start(UUID, 0), -EUCLEAN);
    volume_end(&volume);
    assert_non_null(strstr(failure.text, "--reset-disk"));
    assert_int_equal(start(UUID, VOLUME_READ_ONLY), -EUCLEAN);
    volume_end(&volume);
    open_volume(VOLUME_RESET);
    end_volume();
    assert_int_equal(set_aside(), 2);
    /* Cut short. */
    assert_int_equal(truncate(path, (off_t)MIB), 0);
    assert_int_equal(start(UUID, 0), -EUCLEAN);
    volume_end(&volume);
    free(renamed);
    free(path);
}

static void test_another_size(void **state)
{
    struct vhdx_layout old = layout;

    (void)state;
    directory = temp_dir(false);
    open_volume(0);
    end_volume();
    layout = make_layout(40 * MIB, MIB, 512);
    /* Read-only, another one is made in memory. */
    open_volume(VOLUME_READ_ONLY);
    assert_true(volume.memory >= 0);
    end_volume();
    assert_int_equal(set_aside(), 0);
    open_volume(0);
    assert_int_equal(volume.layout.ntfs.file_size, layout.file_size);
    assert_false(is_closed());
    end_volume();
    assert_int_equal(set_aside(), 1);
    layout = old;
}

static void test_memory(void **state)
{
    char *path;

    (void)state;
    directory = temp_dir(false);
    path = image_path();
    open_volume(VOLUME_MEMORY);
    assert_false(is_closed());
    end_volume();
    open_volume(VOLUME_READ_ONLY);
    end_volume();
    assert_false(exists(path));
    free(path);
}

/* --- the fence --------------------------------------------------------------- */

/* The ranges that watch_judge() finds, in its order. */
enum {
    TABLE,
    BOOT,
    MFT_RECORD,
    FILE_RECORD,
    BITMAP_RECORD,
    BITS,
};

static uint64_t place(unsigned range)
{
    return volume.fence.watch.ranges[range].offset;
}

static void read_place(void *data, size_t length, uint64_t offset)
{
    assert_int_equal(disk_read(&volume.image.disk, data, length, VOLUME_IMAGE_HEAD_AT + offset), 0);
}

static void write_place(const void *data, size_t length, uint64_t offset)
{
    assert_int_equal(fence_write(&volume.fence, data, length, offset, false), 0);
}

/* Whether a write of the payload would be let through. */
static bool lets_through(void)
{
    uint8_t page[4096] = {0};

    if (fence_enter(&volume.fence, page, sizeof(page), volume.layout.file_at + 8 * MIB) != 0)
        return false;
    fence_leave(&volume.fence);
    return true;
}

static void open_new(void)
{
    open_volume(VOLUME_MEMORY);
    assert_true(lets_through());
}

/* A record as it goes to the disk: with the next update sequence. */
static void seal(uint8_t record[NTFS_RECORD_SIZE])
{
    uint8_t *sequence = record + get_le16(record + 4);

    put_le16(sequence, (uint16_t)(get_le16(sequence) % 0x7fff + 1));
    for (size_t i = 1; i <= 2; i++) {
        memcpy(sequence + 2 * i, record + i * 512 - 2, 2);
        memcpy(record + i * 512 - 2, sequence, 2);
    }
}

static void read_record(unsigned range, uint8_t record[NTFS_RECORD_SIZE])
{
    read_place(record, NTFS_RECORD_SIZE, place(range));
    assert_int_equal(ntfs_record_decode(record), 0);
}

static void write_record(unsigned range, uint8_t record[NTFS_RECORD_SIZE])
{
    seal(record);
    write_place(record, NTFS_RECORD_SIZE, place(range));
}

/* The unnamed $DATA attribute of a decoded record, to be changed. */
static uint8_t *data_attribute(uint8_t record[NTFS_RECORD_SIZE])
{
    uint32_t at = get_le16(record + 20);

    while (get_le32(record + at) != 0x80)
        at += get_le32(record + at + 4);
    return record + at;
}

static void test_watched(void **state)
{
    uint8_t record[NTFS_RECORD_SIZE], page[4096];

    (void)state;
    open_new();
    assert_int_equal(volume.fence.watch.bitmap, BITS);
    /* The same again; another time; another name in the record: all fine. */
    read_record(FILE_RECORD, record);
    record[16] ^= 3; /* the sequence number */
    write_record(FILE_RECORD, record);
    assert_true(lets_through());
    /* Beside what is watched anything may happen. */
    memset(page, 0xa5, sizeof(page));
    write_place(page, sizeof(page), 100 * MIB);
    write_place(NULL, MIB, 100 * MIB);
    write_place(page, 512, volume.layout.disk_size - 512);
    assert_true(lets_through());
    /* And no write to the file goes this way. */
    assert_int_equal(fence_write(&volume.fence, page, 512, volume.layout.file_at - 256, false),
                     -EINVAL);
    end_volume();
}

static void test_torn(void **state)
{
    uint8_t record[NTFS_RECORD_SIZE];
    uint64_t at;

    (void)state;
    open_new();
    at = place(FILE_RECORD);
    read_record(FILE_RECORD, record);
    seal(record);
    write_place(record, 512, at);
    assert_false(lets_through()); /* shut */
    assert_true(is_closed());
    assert_false(volume.fence.closed); /* but not for good */
    write_place(record + 512, 512, at + 512);
    assert_true(lets_through());

    /* Nor when it is half written as the fence opens. */
    assert_int_equal(ntfs_record_decode(record), 0);
    seal(record);
    write_place(record, 512, at);
    volume_close(&volume);
    assert_int_equal(volume_open(&volume, &failure), 0);
    assert_false(lets_through());
    write_place(record + 512, 512, at + 512);
    assert_true(lets_through());
    end_volume();
}

/* What changes a record (or other bytes) so that it does not describe the file. */
static void not_in_use(uint8_t *r)
{
    put_le16(r + 22, 0);
}
static void directory_now(uint8_t *r)
{
    put_le16(r + 22, 3);
}
static void of_another(uint8_t *r)
{
    put_le64(r + 32, 77);
}
static void sparse(uint8_t *r)
{
    put_le16(data_attribute(r) + 12, 0x8000);
}
static void named(uint8_t *r)
{
    data_attribute(r)[9] = 1;
}
static void shorter(uint8_t *r)
{
    put_le64(data_attribute(r) + 48, get_le64(data_attribute(r) + 48) - 1);
}
static void less_valid(uint8_t *r)
{
    put_le64(data_attribute(r) + 56, 0);
}
static void elsewhere(uint8_t *r)
{
    uint8_t *pairs = data_attribute(r) + 64;

    pairs[1 + (*pairs & 15)] ^= 1;
}
static void no_runs(uint8_t *r)
{
    data_attribute(r)[64] = 0;
}
static void no_record(uint8_t *r)
{
    memcpy(r, "BAAD", 4);
}

static void closes(unsigned range, void (*change)(uint8_t *record), const char *why)
{
    uint8_t record[NTFS_RECORD_SIZE];

    open_new();
    read_record(range, record);
    change(record);
    log_forget();
    write_record(range, record);
    assert_false(lets_through());
    if (!strstr(volume.fence.why, why))
        fail_msg("'%s' instead of '%s'", volume.fence.why, why);
    /* For good: in another life, too, whatever is written. */
    volume_close(&volume);
    assert_int_equal(volume_open(&volume, &failure), 0);
    assert_false(lets_through());
    assert_true(volume.fence.closed);
    assert_non_null(strstr(volume.fence.why, why));
    end_volume();
}

static void test_closes(void **state)
{
    (void)state;
    closes(FILE_RECORD, not_in_use, "deleted");
    closes(FILE_RECORD, directory_now, "deleted");
    closes(FILE_RECORD, of_another, "deleted");
    closes(FILE_RECORD, sparse, "sparse");
    closes(FILE_RECORD, named, "not described");
    closes(FILE_RECORD, shorter, "size");
    closes(FILE_RECORD, less_valid, "size");
    closes(FILE_RECORD, elsewhere, "moved");
    closes(FILE_RECORD, no_runs, "one piece");
    closes(FILE_RECORD, no_record, "gone");
    closes(MFT_RECORD, not_in_use, "deleted");
    closes(MFT_RECORD, no_runs, "not found");
    closes(BITMAP_RECORD, no_runs, "followed");
    closes(BITMAP_RECORD, elsewhere, "set free");
}

static void test_bits(void **state)
{
    const struct watch_range *bits;
    uint8_t byte = 0xff;

    (void)state;
    open_new();
    bits = &volume.fence.watch.ranges[BITS];
    assert_int_equal(bits->length, layout.file_size / NTFS_CLUSTER / 8);
    write_place(&byte, 1, bits->offset);
    byte = 0;
    write_place(&byte, 1, bits->offset - 1); /* a neighbour's */
    write_place(&byte, 1, bits->offset + bits->length);
    assert_true(lets_through());
    byte = 0xef;
    write_place(&byte, 1, bits->offset + bits->length - 1);
    assert_false(lets_through());
    end_volume();
}

/* The MFT's first cluster is moved, in the order of a defragmenter: the fence follows. */
static void test_mft_moves(void **state)
{
    static uint8_t cluster[NTFS_CLUSTER];
    uint8_t record[NTFS_RECORD_SIZE], boot[512], *pairs;
    uint64_t from, to = 1600, old;

    (void)state;
    open_new();
    from = (place(MFT_RECORD) - VOLUME_AT) / NTFS_CLUSTER;
    old = place(BITMAP_RECORD);
    read_place(cluster, sizeof(cluster), place(MFT_RECORD));
    read_record(MFT_RECORD, record);
    pairs = data_attribute(record) + 64;
    /* One run more would not fit here; one byte of LCN becomes two: { header, length, lcn }. */
    if (pairs[0] == 0x11) {
        memmove(pairs + 4, pairs + 3, 4);
        pairs[0] = 0x21;
        put_le16(pairs + 2, (uint16_t)to);
    } else if (pairs[0] == 0x12) {
        end_volume();
        skip();
    }
    if (pairs[1] != 1) { /* other clusters behind the first: the whole run goes */
        for (unsigned i = 1; i < pairs[1]; i++) {
            static uint8_t more[NTFS_CLUSTER];

            read_place(more, sizeof(more), VOLUME_AT + (from + i) * NTFS_CLUSTER);
            write_place(more, sizeof(more), VOLUME_AT + (to + i) * NTFS_CLUSTER);
        }
    }
    write_place(cluster, sizeof(cluster), VOLUME_AT + to * NTFS_CLUSTER);
    seal(record);
    write_place(record, sizeof(record), VOLUME_AT + to * NTFS_CLUSTER);
    write_place(record, sizeof(record), place(MFT_RECORD));
    assert_true(lets_through());
    read_place(boot, sizeof(boot), VOLUME_AT);
    put_le64(boot + 48, to);
    write_place(boot, sizeof(boot), VOLUME_AT);
    assert_true(lets_through());
    assert_int_equal(place(BITMAP_RECORD), old + (to - from) * NTFS_CLUSTER);
    /* What is at the old place means nothing now. */
    memset(cluster, 0, sizeof(cluster));
    write_place(cluster, sizeof(cluster), VOLUME_AT + from * NTFS_CLUSTER);
    assert_true(lets_through());
    write_place(cluster, sizeof(cluster), VOLUME_AT + to * NTFS_CLUSTER);
    assert_false(lets_through());
    end_volume();
}

static void test_trip_wires(void **state)
{
    uint8_t start_of_file[16] = "vhdxfileW";
    uint64_t at;

    (void)state;
    open_new();
    at = volume.layout.file_at;
    assert_int_equal(fence_enter(&volume.fence, start_of_file, 16, at), 0);
    fence_leave(&volume.fence);
    assert_int_equal(fence_enter(&volume.fence, start_of_file + 4, 12, at + 4), 0);
    fence_leave(&volume.fence);
    assert_int_equal(fence_enter(&volume.fence, NULL, MIB, at + 64 * KIB), 0);
    fence_leave(&volume.fence);
    assert_int_equal(fence_enter(&volume.fence, start_of_file, 16, at + 1), -EIO);
    assert_true(volume.fence.closed);
    end_volume();
    open_new();
    assert_int_equal(fence_enter(&volume.fence, NULL, GIB, at), -EIO);
    assert_true(volume.fence.closed);
    end_volume();
}

/* Random damage in what is watched: some verdict, no crash, and closed stays closed. */
static void test_random(void **state)
{
    struct rng rng = {test_seed("volume")};
    uint64_t rounds = test_count("ROUNDS", 300);
    unsigned closed = 0;

    (void)state;
    open_new();
    for (uint64_t i = 0; i < rounds; i++) {
        struct watch watch = volume.fence.watch;
        const struct watch_range *r = &watch.ranges[rng_below(&rng, BITS + 1)];
        uint8_t record[NTFS_RECORD_SIZE];
        size_t length = (size_t)min_u64(r->length, sizeof(record));
        bool was = volume.fence.closed;

        read_place(record, length, r->offset);
        for (uint64_t n = rng_below(&rng, 4) + 1; n > 0; n--)
            record[rng_below(&rng, min_u64(length, 400))] = (uint8_t)rng_next(&rng);
        write_place(record, length, r->offset);
        assert_true(!was || volume.fence.closed);
        if (!volume.fence.closed)
            continue;
        closed++;
        end_volume();
        open_new();
    }
    print_message("%u times closed\n", closed);
    assert_true(closed > 0);
    end_volume();
}

/* --- threads ------------------------------------------------------------------- */

#define WRITERS 4

static atomic_bool stop;
static atomic_uint passed, passed_after, closed_now;

static void *write_payload(void *arg)
{
    uint8_t page[512] = {0};

    (void)arg;
    while (!atomic_load(&stop)) {
        /* Asked first: what is let through after that must not be. */
        bool late = atomic_load(&closed_now);

        if (fence_enter(&volume.fence, page, sizeof(page), volume.layout.file_at + 8 * MIB) != 0)
            continue;
        atomic_fetch_add(late ? &passed_after : &passed, 1);
        fence_leave(&volume.fence);
    }
    return NULL;
}

static void test_threads(void **state)
{
    uint8_t record[NTFS_RECORD_SIZE];
    pthread_t threads[WRITERS];
    uint64_t at;

    (void)state;
    open_new();
    at = place(FILE_RECORD);
    for (size_t i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_payload, NULL), 0);
    for (int i = 0; i < 200; i++) {
        read_place(record, sizeof(record), at);
        assert_int_equal(ntfs_record_decode(record), 0);
        seal(record);
        write_place(record, sizeof(record), at);
        write_place(NULL, 4096, 100 * MIB);
    }
    while (!atomic_load(&passed))
        sched_yield();
    assert_int_equal(ntfs_record_decode(record), 0);
    not_in_use(record);
    seal(record);
    write_place(record, sizeof(record), at);
    atomic_store(&closed_now, true);
    for (int i = 0; i < 1000; i++)
        assert_false(lets_through());
    atomic_store(&stop, true);
    for (size_t i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&passed_after), 0);
    end_volume();
}

/* What is found when it is opened is on the disk, also after a flush that failed. */
static void test_settled(void **state)
{
    const uint64_t at = VOLUME_IMAGE_HEAD_AT + 64 * KIB; /* behind the partition table */
    struct rng rng = {test_seed("volume settled")};
    cleanup_free char *path = image_path();
    uint8_t written[64 * KIB], found[64 * KIB], later[64 * KIB];

    (void)state;
    open_volume(VOLUME_RESET);
    shadow_watch(path);
    rng_fill(&rng, written, sizeof(written));
    assert_int_equal(disk_write(&volume.image.disk, written, sizeof(written), at), 0);
    shadow_fail_flush(0, EIO, rng_next(&rng));
    assert_int_equal(disk_flush(&volume.image.disk), -EIO);
    volume_close(&volume);
    assert_int_equal(volume_open(&volume, &failure), 0);
    assert_int_equal(disk_read(&volume.image.disk, found, sizeof(found), at), 0);
    shadow_power_cut(&rng);
    read_file(path, later, sizeof(later), at);
    assert_memory_equal(found, later, sizeof(found));
    shadow_forget();
    end_volume();
}

static int setup(void **state)
{
    (void)state;
    layout = make_layout(24 * MIB, MIB, 512);
    directory = temp_dir(false);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_geometry),     cmocka_unit_test(test_partition_table),
        cmocka_unit_test(test_kept),         cmocka_unit_test(test_refused),
        cmocka_unit_test(test_another_size), cmocka_unit_test(test_memory),
        cmocka_unit_test(test_watched),      cmocka_unit_test(test_torn),
        cmocka_unit_test(test_closes),       cmocka_unit_test(test_bits),
        cmocka_unit_test(test_mft_moves),    cmocka_unit_test(test_trip_wires),
        cmocka_unit_test(test_random),       cmocka_unit_test(test_threads),
        cmocka_unit_test(test_settled),
    };

    return cmocka_run_group_tests_name("volume", tests, setup, NULL);
}
