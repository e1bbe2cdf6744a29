/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "state/store.h"

#include "common/bytes.h"
#include "common/cleanup.h"
#include "state/store_file.h"
#include "tests/unit/shadow.h"
#include "tests/unit/unit.h"
#include "vhdx/decode.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define IDENTITY "6b29fc40-ca47-1067-b31d-00dd010662da"
#define OTHER    "11111111-2222-3333-4444-555555555555"

static const char *base; /* the program's directory; each test has one in it */
static char *dir, *path; /* of the state, and the state file */
static struct vhdx_layout layout;
static struct failure failure;

static int setup(void **state)
{
    (void)state;
    dir = fresh_path(base);
    path = join(dir, IDENTITY ".state");
    layout = make_layout(64 * MIB, MIB, 512);
    failure = (struct failure){0};
    log_forget();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    shadow_forget();
    shadow_disarm();
    remove_tree(dir);
    free(dir);
    free(path);
    return 0;
}

static struct store *open_store(unsigned flags)
{
    struct store *store = NULL;
    int err = store_open(&store, dir, IDENTITY, &layout, flags, &failure);

    if (err)
        fail_msg("store_open: %d: %s", err, failure.text);
    return store;
}

/* It must be refused with ERR, with a sentence that names the file, and nothing touched. */
static void assert_refused(unsigned flags, int err)
{
    struct store *store = NULL;

    failure = (struct failure){0};
    assert_int_equal(store_open(&store, dir, IDENTITY, &layout, flags, &failure), err);
    assert_null(store);
    assert_non_null(strstr(failure.text, dir));
    assert_true(failure.code == EXIT_UNSAFE || failure.code == EXIT_IO_ERROR);
}

static void assert_page(struct store *store, uint32_t page, int fill)
{
    uint8_t found[STORE_PAGE], wanted[STORE_PAGE];

    memset(wanted, fill, sizeof(wanted));
    store_read(store, found, sizeof(found), (uint64_t)page * STORE_PAGE);
    assert_memory_equal(found, wanted, sizeof(wanted));
}

static int write_page(struct store *store, uint32_t page, int fill)
{
    uint8_t data[STORE_PAGE];

    memset(data, fill, sizeof(data));
    return store_write(store, data, sizeof(data), (uint64_t)page * STORE_PAGE);
}

static uint8_t *whole_file(void)
{
    uint8_t *data = malloc(STORE_FILE_SIZE);

    assert_int_equal(file_size(path), STORE_FILE_SIZE);
    read_file(path, data, STORE_FILE_SIZE, 0);
    return data;
}

static void flip(uint64_t offset)
{
    uint8_t byte;

    read_file(path, &byte, 1, offset);
    byte ^= 0x40;
    write_file(path, &byte, 1, offset);
}

/* How many files match PATTERN in the state directory. */
static size_t count_files(const char *pattern)
{
    cleanup_free char *full = join(dir, pattern);
    glob_t found;
    size_t count = glob(full, GLOB_PERIOD, NULL, &found) == 0 ? found.gl_pathc : 0;

    globfree(&found);
    return count;
}

static void expect_meta(struct store *store, const struct vhdx_layout *l)
{
    struct vhdx_identity identity = vhdx_identity_derive(IDENTITY);
    cleanup_free uint8_t *wanted = calloc(1, VHDX_META_SIZE);
    cleanup_free uint8_t *found = malloc(VHDX_META_SIZE);

    vhdx_encode_meta(l, &identity, wanted);
    store_read(store, found, VHDX_META_SIZE, 0);
    assert_memory_equal(found, wanted, VHDX_META_SIZE);
}

static void test_new_and_again(void **state)
{
    struct store *store = open_store(0);
    struct stat st;

    (void)state;
    expect_meta(store, &layout);
    assert_string_equal(store_path(store), path);
    assert_false(store_log_is_dirty(store));
    assert_int_equal(write_page(store, 300, 0xa5), 0);
    assert_int_equal(store_write(store, "odd", 3, 301 * STORE_PAGE - 1), 0); /* over an edge */
    assert_int_equal(store_flush(store), 0);
    store_close(store);

    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode, S_IFREG | 0600);
    assert_int_equal(st.st_size, STORE_FILE_SIZE);
    assert_true((uint64_t)st.st_blocks * 512 >= STORE_FILE_SIZE); /* its room is there */
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode, S_IFDIR | 0700);
    assert_int_equal(count_files("*"), 3); /* with . and .. */

    store = open_store(0);
    uint8_t edge[4];
    store_read(store, edge, 4, 301 * STORE_PAGE - 2);
    assert_memory_equal(edge, "\xa5odd", 4);
    store_close(store);
}

/* A crash while the first state was being made leaves a file of another name behind. */
static void test_leftover_of_a_creation(void **state)
{
    cleanup_free char *fresh = NULL, *victim = join(base, "victim");

    (void)state;
    assert_true(asprintf(&fresh, "%s.new", path) > 0);
    assert_int_equal(mkdir(dir, 0700), 0);
    make_file(fresh, 12345);
    store_close(open_store(0));
    assert_false(exists(fresh));

    assert_int_equal(unlink(path), 0);
    make_file(victim, 77);
    assert_int_equal(symlink(victim, fresh), 0);
    store_close(open_store(0));
    assert_false(exists(fresh));
    assert_int_equal(file_size(victim), 77);
    unlink(victim);
}

/* Whatever fails while it is made: an error, and no file, neither of the one name nor the other. */
static void test_creation_is_whole(void **state)
{
    struct rlimit old, small = {.rlim_cur = 5 * MIB};

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small.rlim_max = old.rlim_max;
    setrlimit(RLIMIT_FSIZE, &small);
    assert_refused(0, -EFBIG);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(count_files("*"), 2);

    for (unsigned i = 0; i <= STORE_PAGES; i += 96) { /* the header and the pages */
        shadow_fail_write(i, i % 64 ? 4096 : 0, i % 64 ? EIO : ENOSPC);
        assert_refused(0, i % 64 ? -EIO : -ENOSPC);
        assert_false(shadow_armed());
        assert_int_equal(count_files("*"), 2);
    }
    shadow_fail_flush(0, EIO, 1);
    assert_refused(0, -EIO);
    assert_int_equal(count_files("*"), 2);
    store_close(open_store(0));
}

/* Page 300 was flushed as 1, then written as 2, which is not on the disk yet. */
static void leave_unflushed(void)
{
    struct store *store = open_store(0);

    assert_int_equal(write_page(store, 300, 1), 0);
    assert_int_equal(store_flush(store), 0);
    assert_int_equal(write_page(store, 300, 2), 0);
    store_close(store);
}

/* Which of the two slots of PAGE holds content that starts with BYTE. */
static unsigned slot_with(uint32_t page, uint8_t byte)
{
    struct store_disk_slot slot;

    for (unsigned i = 0; i < 2; i++) {
        uint64_t generation;

        read_file(path, &slot, sizeof(slot), store_slot_offset(page, i));
        if (store_decode_slot(&slot, page, &generation) && slot.content[0] == byte)
            return i;
    }
    fail_msg("no valid slot of page %u holds %u", page, byte);
    return 0;
}

static void test_torn_slots(void **state)
{
    /* magic, checksum, page, generation, reserved, content, last byte */
    static const uint64_t places[] = {3, 9, 12, 17, 2000, 4096, 6000, STORE_SLOT_SIZE - 1};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        struct store *store;
        uint64_t newer, older;

        leave_unflushed();
        newer = store_slot_offset(300, slot_with(300, 2));
        older = store_slot_offset(300, slot_with(300, 1));
        assert_true(newer != older);
        store = open_store(0); /* not torn: the later one counts */
        assert_page(store, 300, 2);
        store_close(store);

        flip(newer + places[i]);
        store = open_store(0);
        assert_page(store, 300, 1);
        store_close(store);

        flip(older + places[i]);
        assert_refused(0, -EUCLEAN);
        assert_non_null(strstr(failure.text, "--reset-state"));

        flip(newer + places[i]); /* the flushed one lost, the later one whole */
        store = open_store(0);
        assert_page(store, 300, 2);
        store_close(store);
        unlink(path);
    }
}

/* A write after recovery from a torn slot must not go over the only good one. */
static void test_writing_after_a_torn_slot(void **state)
{
    struct store *store;
    uint64_t newer;

    (void)state;
    leave_unflushed();
    newer = store_slot_offset(300, slot_with(300, 2));
    flip(newer + 5000);
    store = open_store(0);
    assert_page(store, 300, 1);
    assert_int_equal(write_page(store, 300, 3), 0);
    store_close(store);
    assert_int_equal(store_slot_offset(300, slot_with(300, 3)), newer);
    slot_with(300, 1);
    flip(newer + 5000);
    store = open_store(0);
    assert_page(store, 300, 1);
    store_close(store);
}

/* A slot that is valid by itself, but of another page. */
static void test_slot_in_the_wrong_place(void **state)
{
    struct store_disk_slot slot;

    (void)state;
    store_close(open_store(0));
    read_file(path, &slot, sizeof(slot), store_slot_offset(301, 0));
    write_file(path, &slot, sizeof(slot), store_slot_offset(300, 1));
    store_close(open_store(0));
    write_file(path, &slot, sizeof(slot), store_slot_offset(300, 0));
    assert_refused(0, -EUCLEAN);
}

static void test_damaged_file(void **state)
{
    static const uint64_t sizes[] = {0,
                                     100,
                                     4096,
                                     STORE_SLOTS_AT,
                                     STORE_FILE_SIZE / 2,
                                     STORE_FILE_SIZE - STORE_SLOT_SIZE - 1,
                                     STORE_FILE_SIZE + 4096};
    static const uint64_t places[] = {0, 17, 20, 24, 32, 44, 50, 111, 4095};
    cleanup_free uint8_t *good = NULL;

    (void)state;
    store_close(open_store(0));
    good = whole_file();
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        assert_int_equal(truncate(path, (off_t)sizes[i]), 0);
        assert_refused(0, -EUCLEAN);
        assert_refused(STORE_READ_ONLY, -EUCLEAN);
        assert_int_equal(file_size(path), sizes[i]);
        assert_int_equal(truncate(path, (off_t)STORE_FILE_SIZE), 0);
        write_file(path, good, STORE_FILE_SIZE, 0);
        store_close(open_store(0));
    }
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        flip(places[i]);
        assert_refused(0, -EUCLEAN);
        flip(places[i]);
    }
    store_close(open_store(0));
    assert_int_equal(count_files("*"), 3);
}

/* Both headers of the VHDX unreadable, or a disk in the metadata that is not this one. */
static void test_content_that_is_no_vhdx(void **state)
{
    struct store *store = open_store(0);
    uint8_t zeros[4096] = {0};

    (void)state;
    assert_int_equal(store_write(store, zeros, sizeof(zeros), VHDX_HEADER_1_AT), 0);
    store_close(store);
    store = open_store(0); /* one header is enough */
    assert_int_equal(store_write(store, zeros, sizeof(zeros), VHDX_HEADER_2_AT), 0);
    store_close(store);
    assert_refused(0, -EUCLEAN);
    unlink(path);
    store = open_store(0);
    assert_int_equal(store_write(store, "\xee", 1, VHDX_METADATA_AT + VHDX_METADATA_ITEMS + 8), 0);
    store_close(store);
    assert_refused(0, -EUCLEAN);
    unlink(path);
    store = open_store(0);
    assert_int_equal(store_write(store, "\xee", 1, VHDX_METADATA_AT + VHDX_METADATA_ITEMS + 24), 0);
    store_close(store);
    assert_refused(0, -EUCLEAN);
}

static void test_another_partition(void **state)
{
    cleanup_free char *theirs = join(dir, OTHER ".state");
    struct store *store = NULL;

    (void)state;
    assert_int_equal(store_open(&store, dir, OTHER, &layout, 0, &failure), 0);
    store_close(store);
    assert_int_equal(rename(theirs, path), 0);
    assert_refused(0, -ESTALE);
    assert_non_null(strstr(failure.text, OTHER));
    assert_refused(STORE_READ_ONLY, -ESTALE);
}

static void make_log_dirty(struct store *store, bool dirty)
{
    struct vhdx_header header = {.sequence = 9 + !dirty,
                                 .log_guid = {{dirty}},
                                 .version = 1,
                                 .log_length = VHDX_LOG_SIZE,
                                 .log_offset = VHDX_LOG_AT};
    struct vhdx_disk_header disk;

    vhdx_encode_header(&header, &disk);
    assert_int_equal(
        store_write(store, &disk, sizeof(disk), dirty ? VHDX_HEADER_1_AT : VHDX_HEADER_2_AT), 0);
    assert_int_equal(store_log_is_dirty(store), dirty);
}

static struct guid disk_id(struct store *store)
{
    cleanup_free uint8_t *region = malloc(VHDX_METADATA_SIZE);
    struct vhdx_disk_values values;

    store_read(store, region, VHDX_METADATA_SIZE, VHDX_METADATA_AT);
    assert_int_equal(vhdx_decode_metadata(region, VHDX_METADATA_SIZE, &values), 0);
    assert_int_equal(values.disk_size, layout.disk_size);
    assert_int_equal(values.block_size, layout.block_size);
    return values.disk_id;
}

static void test_changed_size(void **state)
{
    struct vhdx_layout old = layout, news[] = {make_layout(65 * MIB, MIB, 512),
                                               make_layout(64 * MIB, 2 * MIB, 512),
                                               make_layout(64 * MIB, MIB, 4096)};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(news); i++) {
        cleanup_free uint8_t *before = NULL, *after = NULL;
        struct store *store;
        struct guid id;

        layout = old;
        store = open_store(0);
        id = disk_id(store);
        make_log_dirty(store, true);
        store_close(store);

        before = whole_file();
        layout = news[i];
        assert_refused(0, -ESTALE);
        assert_non_null(strstr(failure.text, "log"));
        assert_refused(STORE_READ_ONLY, -ESTALE);
        after = whole_file();
        assert_memory_equal(before, after, STORE_FILE_SIZE);

        layout = old; /* a client replays the log */
        store = open_store(0);
        assert_true(store_log_is_dirty(store));
        make_log_dirty(store, false);
        store_close(store);

        layout = news[i];
        store = open_store(STORE_READ_ONLY);
        expect_meta(store, &layout);
        store_close(store);
        store = open_store(0);
        expect_meta(store, &layout);
        assert_memory_equal(disk_id(store).b, id.b, 16);
        store_close(store);
        assert_int_equal(count_files("*"), 3);
        unlink(path);
    }
}

/* The same geometry must never be taken for a changed one: what clients wrote would go. */
static void test_same_size_keeps_everything(void **state)
{
    struct store *store;

    (void)state;
    leave_unflushed();
    for (int i = 0; i < 3; i++) {
        uint8_t dirt[4096];

        memset(dirt, 0xff, sizeof(dirt)); /* whatever the stack holds */
        assert_int_equal(dirt[i], 0xff);
        store = open_store(0);
        assert_page(store, 300, 2);
        store_close(store);
    }
    assert_int_equal(logged_count(), 0);
}

static void test_reset(void **state)
{
    cleanup_free uint8_t *old = NULL, *kept = malloc(STORE_FILE_SIZE);
    struct store *store;
    glob_t found;
    char *pattern;

    (void)state;
    store = open_store(STORE_RESET); /* nothing to set aside */
    make_log_dirty(store, true);
    store_close(store);
    assert_int_equal(count_files("*"), 3);
    flip(store_slot_offset(300, 0) + 17);
    assert_refused(0, -EUCLEAN);
    old = whole_file();

    store = open_store(STORE_RESET);
    expect_meta(store, &layout);
    assert_false(store_log_is_dirty(store));
    store_close(store);
    store_close(open_store(0));
    pattern = join(dir, IDENTITY ".state.*");
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    assert_int_equal(found.gl_pathc, 1);
    read_file(found.gl_pathv[0], kept, STORE_FILE_SIZE, 0);
    assert_memory_equal(kept, old, STORE_FILE_SIZE);
    globfree(&found);
    free(pattern);

    store_close(open_store(STORE_RESET)); /* also a healthy one */
    assert_int_equal(count_files(IDENTITY ".state.*"), 2);
    store = open_store(0);
    assert_refused(STORE_RESET, -EBUSY);
    store_close(store);
}

static void test_read_only(void **state)
{
    cleanup_free uint8_t *before = NULL, *after = NULL;
    struct store *store = open_store(STORE_READ_ONLY), *second;
    struct stat old, now;

    (void)state;
    assert_false(exists(dir)); /* nothing is made */
    expect_meta(store, &layout);
    assert_int_equal(write_page(store, 5, 7), 0);
    assert_page(store, 5, 7);
    assert_int_equal(store_flush(store), 0);
    assert_string_equal(store_path(store), "(memory)");
    store_close(store);
    assert_false(exists(dir));

    assert_int_equal(mkdir(dir, 0700), 0);
    store_close(open_store(STORE_READ_ONLY));
    assert_int_equal(count_files("*"), 2);

    leave_unflushed();
    before = whole_file();
    assert_int_equal(stat(path, &old), 0);
    store = open_store(STORE_READ_ONLY);
    second = open_store(STORE_READ_ONLY); /* readers do not mind each other */
    assert_page(store, 300, 2);
    assert_int_equal(write_page(store, 300, 8), 0);
    assert_page(store, 300, 8);
    assert_page(second, 300, 2);
    assert_int_equal(store_flush(store), 0);
    store_close(store);
    store_close(second);
    after = whole_file();
    assert_memory_equal(before, after, STORE_FILE_SIZE);
    assert_int_equal(stat(path, &now), 0);
    assert_int_equal(now.st_mtim.tv_nsec, old.st_mtim.tv_nsec);
    assert_int_equal(now.st_ino, old.st_ino);
    assert_int_equal(count_files("*"), 3);
}

static void test_no_links_no_strangers(void **state)
{
    cleanup_free char *real = join(base, "real"), *copy = join(base, "copy");

    (void)state;
    assert_int_equal(mkdir(real, 0700), 0);
    assert_int_equal(symlink(real, dir), 0);
    assert_refused(0, -ENOTDIR);
    unlink(dir);
    remove_tree(real);

    assert_int_equal(mkdir(dir, 0700), 0);
    assert_int_equal(chmod(dir, 0720), 0);
    assert_refused(0, -EPERM);
    assert_int_equal(chmod(dir, 0702), 0);
    assert_refused(0, -EPERM);
    assert_int_equal(count_files("*"), 2);
    assert_int_equal(chmod(dir, 0755), 0);
    store_close(open_store(0));

    assert_int_equal(chmod(path, 0620), 0);
    assert_refused(0, -EPERM);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(link(path, copy), 0);
    assert_refused(0, -EPERM);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink(copy, path), 0);
    assert_refused(0, -ELOOP);
    assert_refused(STORE_READ_ONLY, -ELOOP);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0); /* must not hang either */
    assert_refused(0, -EPERM);
    assert_refused(STORE_READ_ONLY, -EPERM);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_refused(0, -EISDIR);
    unlink(copy);
    if (geteuid() == 0) {
        assert_int_equal(rmdir(path), 0);
        assert_int_equal(chown(dir, 1, 1), 0);
        assert_refused(0, -EPERM);
    }
}

static void test_one_at_a_time(void **state)
{
    struct store *store = open_store(0);
    int ends[2], status;
    pid_t child;
    char byte;

    (void)state;
    assert_refused(0, -EBUSY);
    assert_refused(STORE_READ_ONLY, -EBUSY);
    store_close(store);
    store_close(open_store(0));

    assert_int_equal(pipe(ends), 0);
    child = fork();
    if (child == 0) {
        int err = store_open(&store, dir, IDENTITY, &layout, 0, NULL);

        if (!err)
            err = write_page(store, 300, 4);
        if (write(ends[1], err ? "n" : "y", 1) == 1)
            pause();
        _exit(0);
    }
    assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    assert_refused(0, -EBUSY);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    close(ends[0]);
    close(ends[1]);
    store = open_store(0); /* the lock died with it; what it wrote did not */
    assert_page(store, 300, 4);
    store_close(store);
}

/* The client is told, the old content stays, and later everything works again. */
static void test_failing_writes(void **state)
{
    static const size_t done[] = {0, 512, 4096, 5000, 8191};
    struct store *store = open_store(0);

    (void)state;
    shadow_watch(path);
    for (size_t i = 0; i < ARRAY_SIZE(done); i++) {
        assert_int_equal(write_page(store, 300, 1), 0);
        assert_int_equal(store_flush(store), 0);
        shadow_fail_write(0, done[i], ENOSPC);
        assert_int_equal(write_page(store, 300, 2), -ENOSPC);
        assert_false(shadow_armed());
        assert_non_null(strstr(logged(), path));
        assert_page(store, 300, 1);
        store_close(store);

        store = open_store(0);
        assert_page(store, 300, 1);
        shadow_fail_write(0, done[i], EIO);
        assert_int_equal(write_page(store, 300, 2), -EIO);
        assert_page(store, 300, 1);
        assert_int_equal(store_flush(store), 0);
        assert_int_equal(write_page(store, 300, 3), 0);
        assert_int_equal(store_flush(store), 0);
        store_close(store);
        store = open_store(0);
        assert_page(store, 300, 3);
    }
    store_close(store);
}

/* The same without any trick: the kernel's own limit cuts the write short. */
static void test_file_size_limit(void **state)
{
    struct store *store = open_store(0);
    struct rlimit old, small;

    (void)state;
    assert_int_equal(write_page(store, 700, 1), 0);
    assert_int_equal(store_flush(store), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = store_slot_offset(700, 0) + 3000;
    setrlimit(RLIMIT_FSIZE, &small);
    assert_int_equal(write_page(store, 700, 2), -EFBIG);
    assert_page(store, 700, 1);
    assert_int_equal(write_page(store, 701, 2), -EFBIG);
    assert_int_equal(store_flush(store), -EFBIG); /* it must not forget */
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(store_flush(store), 0);
    assert_page(store, 700, 1);
    assert_int_equal(write_page(store, 700, 2), 0);
    store_close(store);
    store = open_store(0);
    assert_page(store, 700, 2);
    assert_page(store, 701, 0);
    store_close(store);
}

/*
 * After a failed flush the kernel may have dropped what was on its way, and calls the next one
 * a success. So what the store says to have flushed then must have been written again.
 */
static void test_failing_flush(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 30; seed++) {
        struct store *store = open_store(0);
        struct rng rng = {seed};

        shadow_watch(path);
        assert_int_equal(write_page(store, 300, 1), 0);
        assert_int_equal(write_page(store, 301, 1), 0);
        assert_int_equal(store_flush(store), 0);
        assert_int_equal(write_page(store, 300, 2), 0);
        shadow_fail_flush(0, EIO, seed);
        assert_int_equal(store_flush(store), -EIO);
        assert_page(store, 300, 2);
        if (seed % 3 == 1)
            assert_int_equal(write_page(store, 300, 3), 0);
        if (seed % 3 == 2) { /* twice */
            shadow_fail_flush(0, EIO, seed + 1);
            assert_int_equal(store_flush(store), -EIO);
        }
        assert_int_equal(store_flush(store), 0);
        store_close(store);
        shadow_power_cut(&rng);
        store = open_store(0);
        assert_page(store, 300, seed % 3 == 1 ? 3 : 2);
        assert_page(store, 301, 1);
        store_close(store);
        shadow_forget();
        unlink(path);
    }
}

/* A flush with nothing to flush costs nothing; the same bytes again neither. */
static void test_flush_is_lazy(void **state)
{
    struct store *store = open_store(0);
    unsigned before;

    (void)state;
    shadow_watch(path);
    assert_int_equal(write_page(store, 300, 1), 0);
    before = shadow_flushes();
    assert_int_equal(store_flush(store), 0);
    assert_int_equal(shadow_flushes(), before + 1);
    assert_int_equal(write_page(store, 300, 1), 0);
    assert_int_equal(store_flush(store), 0);
    assert_int_equal(shadow_flushes(), before + 1);
    store_close(store);
}

/* Until the file system of the state has no byte left. */
static void fill_up(void)
{
    cleanup_free char *filler = join(dir, "filler"), *block = calloc(1, 4096);
    cleanup_fd int fd = open(filler, O_WRONLY | O_CREAT, 0600);

    while (write(fd, block, 4096) > 0)
        ;
}

/* In a child, with a mount namespace of its own: nothing can stay mounted. */
static void test_full_file_system(void **state)
{
    int status;
    pid_t child;

    (void)state;
    assert_int_equal(mkdir(dir, 0700), 0);
    child = fork();
    if (child == 0) {
        struct store *store = NULL;
        int err;

        if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("vhdxfs-test", dir, "tmpfs", MS_NOSUID, "size=8m,mode=0700") < 0)
            _exit(77);
        err = store_open(&store, dir, IDENTITY, &layout, 0, &failure);
        if (err != -ENOSPC || !strstr(failure.text, dir) || count_files("*") != 2)
            _exit(1);
        if (mount("none", dir, "tmpfs", MS_REMOUNT | MS_NOSUID, "size=13m") < 0 ||
            store_open(&store, dir, IDENTITY, &layout, 0, &failure) < 0)
            _exit(2);
        err = 0;
        /* Its room was taken at once: no later write can meet a full file system. */
        fill_up();
        for (uint32_t p = 256; !err && p < 300; p++)
            err = write_page(store, p, 9);
        _exit(err || store_flush(store) ? 3 : 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) {
        print_message("no right to mount a tmpfs here\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* What a page may hold after a power cut: what was flushed last, or anything written since. */
struct versions {
    struct version {
        uint32_t page;
        uint8_t content[STORE_PAGE];
    } * list;
    size_t count, room;
};

struct model {
    struct rng rng;
    struct store *store;
    uint8_t *image;   /* what the store must show */
    uint8_t *flushed; /* what it held when a flush last succeeded */
    struct versions later;
    unsigned failed_flushes, failed_writes, power_cuts;
};

static void keep_versions(struct model *m, uint64_t offset, size_t length)
{
    for (uint64_t p = offset / STORE_PAGE; p <= (offset + length - 1) / STORE_PAGE; p++) {
        struct version *v;

        if (m->later.count == m->later.room) {
            m->later.room = m->later.room ? 2 * m->later.room : 64;
            m->later.list = reallocarray(m->later.list, m->later.room, sizeof(*v));
            assert_non_null(m->later.list);
        }
        v = &m->later.list[m->later.count++];
        v->page = (uint32_t)p;
        memcpy(v->content, m->image + p * STORE_PAGE, STORE_PAGE);
    }
}

/* The client was told that a write failed: then each page of it may be old or new. */
static void keep_attempt(struct model *m, const uint8_t *data, size_t length, uint64_t offset)
{
    cleanup_free uint8_t *old = malloc(length);

    memcpy(old, m->image + offset, length);
    memcpy(m->image + offset, data, length);
    keep_versions(m, offset, length);
    memcpy(m->image + offset, old, length);
}

/* A few pages are written often, so that slots are written again and again. */
static void random_write(struct model *m)
{
    uint8_t data[3 * STORE_PAGE];
    uint64_t page =
        rng_one_in(&m->rng, 3) ? 256 + rng_below(&m->rng, 500) : 600 + rng_below(&m->rng, 6);
    uint64_t offset = page * STORE_PAGE + rng_below(&m->rng, STORE_PAGE);
    size_t length = 1 + (size_t)rng_below(&m->rng, sizeof(data));
    bool fails = rng_one_in(&m->rng, 25);

    if (offset >= VHDX_METADATA_AT && offset < VHDX_METADATA_AT + VHDX_METADATA_ITEMS + STORE_PAGE)
        return;                   /* the store looks into these when it is opened */
    if (rng_one_in(&m->rng, 2)) { /* whole pages, as clients write */
        offset = page * STORE_PAGE;
        length = round_up(length, STORE_PAGE);
    }
    if (offset + length > VHDX_METADATA_AT && offset < VHDX_METADATA_AT + 17 * STORE_PAGE)
        return;
    length = (size_t)min_u64(length, VHDX_META_SIZE - offset);
    rng_fill(&m->rng, data, length);
    if (rng_one_in(&m->rng, 8))
        memset(data, 0, length);
    if (fails)
        shadow_fail_write((unsigned)rng_below(&m->rng, 3), (size_t)rng_below(&m->rng, 8192), EIO);
    if (store_write(m->store, data, length, offset) == 0) {
        memcpy(m->image + offset, data, length);
    } else { /* some of its pages may have been written: whole ones, in order */
        uint8_t seen[STORE_PAGE];

        keep_attempt(m, data, length, offset);

        assert_true(fails);
        m->failed_writes++;
        for (uint64_t p = offset / STORE_PAGE; p <= (offset + length - 1) / STORE_PAGE; p++) {
            uint64_t from = p * STORE_PAGE > offset ? p * STORE_PAGE : offset;
            uint64_t to = min_u64((p + 1) * STORE_PAGE, offset + length);

            store_read(m->store, seen, (size_t)(to - from), from);
            if (memcmp(seen, m->image + from, to - from) == 0)
                continue;
            assert_memory_equal(seen, data + (from - offset), to - from);
            memcpy(m->image + from, seen, to - from);
        }
    }
    shadow_disarm();
    keep_versions(m, offset, length);
}

static void random_flush(struct model *m)
{
    bool fails = rng_one_in(&m->rng, 6);
    int err;

    if (fails)
        shadow_fail_flush(0, EIO, rng_next(&m->rng));
    err = store_flush(m->store);
    if (err)
        m->failed_flushes++;
    if (!err) {
        memcpy(m->flushed, m->image, VHDX_META_SIZE);
        m->later.count = 0;
    } else {
        assert_true(fails);
    }
    shadow_disarm();
}

static bool is_allowed(const struct model *m, uint32_t page, const uint8_t *content)
{
    if (!memcmp(content, m->flushed + (size_t)page * STORE_PAGE, STORE_PAGE))
        return true;
    for (size_t i = 0; i < m->later.count; i++)
        if (m->later.list[i].page == page && !memcmp(content, m->later.list[i].content, STORE_PAGE))
            return true;
    return false;
}

/* Opens it again and looks at every page; EXACTLY when only the process died. */
static void recover(struct model *m, bool exactly)
{
    uint8_t page[STORE_PAGE];

    m->store = open_store(0);
    for (uint32_t p = 0; p < STORE_PAGES; p++) {
        store_read(m->store, page, sizeof(page), (uint64_t)p * STORE_PAGE);
        if (exactly && memcmp(page, m->image + (size_t)p * STORE_PAGE, STORE_PAGE) != 0)
            fail_msg("page %u lost a write although only the process died", p);
        if (!is_allowed(m, p, page))
            fail_msg("page %u holds what it never held whole since the last flush", p);
        memcpy(m->image + (size_t)p * STORE_PAGE, page, STORE_PAGE);
    }
    memcpy(m->flushed, m->image, VHDX_META_SIZE); /* what was loaded counts as flushed */
    m->later.count = 0;
}

static void test_power_cuts(void **state)
{
    uint64_t rounds = test_count("STORE_ROUNDS", 150);
    struct model m = {.rng = {test_seed("test_store")},
                      .image = malloc(VHDX_META_SIZE),
                      .flushed = malloc(VHDX_META_SIZE)};

    (void)state;
    m.store = open_store(0);
    store_read(m.store, m.image, VHDX_META_SIZE, 0);
    memcpy(m.flushed, m.image, VHDX_META_SIZE);
    shadow_watch(path);
    for (uint64_t round = 0; round < rounds; round++) {
        unsigned faults = m.failed_flushes + m.failed_writes;
        bool power_cut = rng_one_in(&m.rng, 2);

        for (uint64_t ops = rng_below(&m.rng, 80); ops > 0; ops--)
            if (rng_one_in(&m.rng, 8))
                random_flush(&m);
            else
                random_write(&m);
        store_close(m.store);
        if (power_cut)
            shadow_power_cut(&m.rng);
        m.power_cuts += power_cut;
        recover(&m, !power_cut && faults == m.failed_flushes + m.failed_writes);
    }
    store_close(m.store);
    print_message("%u power cuts, %u failed flushes, %u failed writes\n", m.power_cuts,
                  m.failed_flushes, m.failed_writes);
    free(m.image);
    free(m.flushed);
    free(m.later.list);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_new_and_again),
        TEST(test_leftover_of_a_creation),
        TEST(test_creation_is_whole),
        TEST(test_torn_slots),
        TEST(test_writing_after_a_torn_slot),
        TEST(test_slot_in_the_wrong_place),
        TEST(test_damaged_file),
        TEST(test_content_that_is_no_vhdx),
        TEST(test_another_partition),
        TEST(test_changed_size),
        TEST(test_same_size_keeps_everything),
        TEST(test_reset),
        TEST(test_read_only),
        TEST(test_no_links_no_strangers),
        TEST(test_one_at_a_time),
        TEST(test_failing_writes),
        TEST(test_file_size_limit),
        TEST(test_failing_flush),
        TEST(test_flush_is_lazy),
        TEST(test_full_file_system),
        TEST(test_power_cuts),
    };

    signal(SIGXFSZ, SIG_IGN);
    umask(077);
    base = temp_dir(true);
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
