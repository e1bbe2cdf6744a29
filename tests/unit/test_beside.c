/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "state/beside.h"

#include "common/cleanup.h"
#include "common/units.h"
#include "tests/unit/shadow.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <string.h>

#define IDENTITY "6b29fc40-ca47-1067-b31d-00dd010662da"
#define FOLDER   IDENTITY ".files"

static const char *base; /* the program's directory; each test has one in it */
static char *dir;        /* the state directory */
static struct beside *b;
static struct failure failure;

static struct beside *open_beside(bool read_only)
{
    struct beside *opened = NULL;
    int err = beside_open(&opened, dir, IDENTITY, read_only, &failure);

    if (err)
        fail_msg("beside_open: %d: %s", err, failure.text);
    return opened;
}

static int setup(void **state)
{
    (void)state;
    dir = fresh_path(base);
    failure = (struct failure){0};
    log_forget();
    b = open_beside(false);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    shadow_disarm();
    beside_close(b);
    remove_tree(dir);
    free(dir);
    return 0;
}

static char *inside(const char *name)
{
    cleanup_free char *folder = join(dir, FOLDER);

    return join(folder, name);
}

/* Makes a file that holds its name. Returns its inode number. */
static uint64_t create(const char *name)
{
    uint64_t inode;
    int fd = beside_create(b, name, O_RDWR | O_EXCL, &inode);

    assert_true(fd >= 0);
    assert_true(inode >= BESIDE_INODES);
    assert_int_equal(beside_write(b, fd, name, strlen(name), 0), 0);
    beside_close_file(b, fd);
    return inode;
}

static uint64_t lookup(struct beside *of, const char *name)
{
    struct stat st;
    uint64_t inode = 0;

    assert_int_equal(beside_lookup(of, name, &inode, &st), 0);
    assert_true(S_ISREG(st.st_mode));
    return inode;
}

static void assert_absent(struct beside *of, const char *name)
{
    uint64_t inode;
    struct stat st;

    assert_int_equal(beside_lookup(of, name, &inode, &st), -ENOENT);
}

static void assert_named(struct beside *of, uint64_t inode, const char *name)
{
    char found[BESIDE_NAME_MAX + 1];

    assert_int_equal(beside_name(of, inode, found), 0);
    assert_string_equal(found, name);
    assert_int_equal(lookup(of, name), inode);
}

static void assert_stale(uint64_t inode)
{
    const struct timespec now[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};
    char name[BESIDE_NAME_MAX + 1];
    struct stat st;

    assert_int_equal(beside_name(b, inode, name), -ESTALE);
    assert_int_equal(beside_stat(b, inode, &st), -ESTALE);
    assert_int_equal(beside_open_file(b, inode, O_RDWR), -ESTALE);
    assert_int_equal(beside_truncate(b, inode, 0), -ESTALE);
    assert_int_equal(beside_set_times(b, inode, now), -ESTALE);
}

static unsigned count(struct beside *of)
{
    char name[BESIDE_NAME_MAX + 1];
    uint64_t inode;
    unsigned n = 0;

    for (; beside_at(of, n, name, &inode); n++)
        assert_named(of, inode, name);
    return n;
}

/* --- files ------------------------------------------------------------------------ */

static void test_kept(void **state)
{
    uint64_t one, two;
    struct stat st;
    char data[8] = "";
    int fd;

    (void)state;
    assert_absent(b, "one");
    assert_int_equal(count(b), 0);
    assert_stale(BESIDE_INODES);
    one = create("one");
    two = create("two");
    assert_true(one != two);
    assert_int_equal(beside_create(b, "one", O_RDWR | O_EXCL, &two), -EEXIST);
    beside_close(b);
    b = open_beside(false);
    assert_int_equal(count(b), 2);
    assert_named(b, one, "one"); /* numbers are the same after a restart */
    assert_int_equal(beside_stat(b, one, &st), 0);
    assert_int_equal(st.st_size, 3);
    fd = beside_open_file(b, one, O_RDONLY);
    assert_int_equal(pread(fd, data, sizeof(data), 0), 3);
    assert_string_equal(data, "one");
    beside_close_file(b, fd);
    fd = beside_create(b, "one", O_RDWR | O_TRUNC, &two); /* is there: opened */
    assert_int_equal(two, one);
    assert_int_equal(beside_stat(b, one, &st), 0);
    assert_int_equal(st.st_size, 0);
    beside_close_file(b, fd);
    assert_int_equal(beside_remove(b, "one"), 0);
    assert_int_equal(beside_remove(b, "one"), -ENOENT);
    assert_absent(b, "one");
    assert_stale(one);
    assert_int_equal(count(b), 1);
}

static void test_names(void **state)
{
    static const char *const good[] = {"...", ".hidden", "%2F", "\n\xff", "=", "@vhdx", " "};
    char longest[BESIDE_NAME_MAX + 2];
    cleanup_free char *outside = join(dir, "x");
    uint64_t inode;

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(good); i++)
        assert_named(b, create(good[i]), good[i]);
    memset(longest, 'a', sizeof(longest));
    longest[BESIDE_NAME_MAX + 1] = '\0';
    assert_int_equal(beside_create(b, longest, O_RDWR, &inode), -ENAMETOOLONG);
    assert_int_equal(beside_rename(b, "=", longest, 0), -ENAMETOOLONG);
    assert_absent(b, longest);
    longest[BESIDE_NAME_MAX] = '\0';
    assert_named(b, create(longest), longest);

    assert_int_equal(beside_create(b, "../x", O_RDWR, &inode), -EINVAL);
    assert_int_equal(beside_rename(b, "=", "../x", 0), -EINVAL);
    assert_false(exists(outside));
    make_file(outside, 1);
    assert_absent(b, "../x");
    assert_int_equal(beside_remove(b, "../x"), -ENOENT);
    assert_int_equal(beside_rename(b, "../x", "x", 0), -ENOENT);
    assert_true(exists(outside));
    assert_true(beside_create(b, "..", O_RDWR, &inode) < 0);
    assert_true(beside_create(b, ".", O_RDWR, &inode) < 0);
    assert_absent(b, ".");
}

static void test_rename(void **state)
{
    uint64_t a, replaced;
    char data[16] = "";
    int fd;

    (void)state;
    assert_int_equal(beside_rename(b, "a", "b", 0), -ENOENT);
    a = create("a");
    replaced = create("b");
    assert_int_equal(beside_rename(b, "a", "b", RENAME_NOREPLACE), -EEXIST);
    assert_int_equal(beside_rename(b, "a", "b", RENAME_EXCHANGE), -EINVAL);
    assert_int_equal(beside_rename(b, "a", "c", RENAME_NOREPLACE), 0);
    assert_named(b, a, "c");
    fd = beside_open_file(b, a, O_RDWR);
    assert_int_equal(beside_rename(b, "c", "b", 0), 0);
    assert_named(b, a, "b"); /* an open file goes on under its new name */
    assert_stale(replaced);
    assert_absent(b, "c");
    assert_int_equal(beside_write(b, fd, "more", 4, 1), 0);
    beside_close_file(b, fd);
    fd = beside_open_file(b, a, O_RDONLY);
    assert_int_equal(pread(fd, data, sizeof(data), 0), 5);
    assert_string_equal(data, "amore");
    beside_close_file(b, fd);
    assert_int_equal(count(b), 1);
}

/* Where the file system can tell its files apart, which all that a state should lie on can. */
static void test_numbers_mean_one_file(void **state)
{
    union {
        struct file_handle head;
        uint8_t room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
    } handle = {.head = {.handle_bytes = MAX_HANDLE_SZ}};
    uint64_t before[40];
    int mount;

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(before); i++) {
        before[i] = create("a");
        assert_int_equal(beside_remove(b, "a"), 0);
    }
    create("a");
    if (name_to_handle_at(AT_FDCWD, dir, &handle.head, &mount, 0) < 0)
        skip();
    for (unsigned i = 0; i < ARRAY_SIZE(before); i++) {
        assert_stale(before[i]);
        for (unsigned j = 0; j < i; j++)
            assert_true(before[i] != before[j]);
    }
}

/* Any mixture of listing and changing ends, and each file that stays is listed at rest. */
static void test_listing_and_changing(void **state)
{
    char name[BESIDE_NAME_MAX + 1], extra[16];
    uint64_t inode;
    unsigned steps = 0;

    (void)state;
    create("stays");
    for (unsigned i = 0; beside_at(b, i, name, &inode); i++) {
        assert_true(steps++ <= 2 * BESIDE_FILES_MAX);
        snprintf(extra, sizeof(extra), "extra%u", i);
        if (count(b) < BESIDE_FILES_MAX)
            create(extra);
    }
    assert_int_equal(count(b), BESIDE_FILES_MAX);
    steps = 0;
    for (unsigned i = 0; beside_at(b, i, name, &inode); i++) {
        assert_true(steps++ <= BESIDE_FILES_MAX);
        if (strcmp(name, "stays") != 0)
            assert_int_equal(beside_remove(b, name), 0);
    }
    while (beside_at(b, 0, name, &inode) &&
           (strcmp(name, "stays") != 0 || beside_at(b, 1, name, &inode)))
        assert_int_equal(beside_remove(b, name), 0);
    assert_int_equal(count(b), 1);
    lookup(b, "stays");
}

/* --- limits ----------------------------------------------------------------------- */

static void test_number(void **state)
{
    struct beside_room room;
    uint64_t inode;
    char name[16];

    (void)state;
    beside_room(b, &room);
    assert_int_equal(room.files_used, 0);
    assert_int_equal(room.files_free, BESIDE_FILES_MAX);
    for (unsigned i = 0; i < BESIDE_FILES_MAX; i++) {
        snprintf(name, sizeof(name), "file%u", i);
        create(name);
    }
    assert_int_equal(beside_create(b, "one more", O_RDWR, &inode), -ENOSPC);
    assert_absent(b, "one more");
    close(beside_create(b, "file3", O_RDWR, &inode)); /* is there already */
    assert_int_equal(inode, lookup(b, "file3"));
    beside_room(b, &room);
    assert_int_equal(room.files_used, BESIDE_FILES_MAX);
    assert_int_equal(room.files_free, 0);
    assert_int_equal(beside_remove(b, "file0"), 0);
    create("one more");
}

static void test_quota(void **state)
{
    uint64_t a = create("a"), other = create("b");
    int fd = beside_open_file(b, a, O_RDWR), gone;
    struct beside_room room;
    struct stat st;

    (void)state;
    assert_int_equal(beside_write(b, fd, "x", 1, BESIDE_QUOTA - 2), 0);
    beside_room(b, &room);
    assert_int_equal(room.used, BESIDE_QUOTA);
    assert_int_equal(room.free, 0);
    assert_int_equal(beside_write(b, fd, "x", 1, BESIDE_QUOTA - 1), -ENOSPC);
    assert_int_equal(beside_write(b, fd, "x", 1, INT64_MAX - 1), -ENOSPC);
    assert_int_equal(beside_write(b, fd, "yz", 2, 5), 0);
    assert_int_equal(beside_allocate(b, fd, 0, BESIDE_QUOTA - 1, 1), -ENOSPC);
    assert_int_equal(beside_allocate(b, fd, FALLOC_FL_COLLAPSE_RANGE, 0, 4096), -EOPNOTSUPP);
    assert_int_equal(beside_truncate(b, other, 2), -ENOSPC);
    assert_int_equal(beside_truncate(b, a, 100), 0);
    assert_int_equal(beside_truncate(b, other, BESIDE_QUOTA - 100), 0);
    assert_int_equal(beside_stat(b, other, &st), 0);
    assert_int_equal(st.st_size, BESIDE_QUOTA - 100);
    /* What is removed while it is open has what it took, and not more. */
    assert_int_equal(beside_remove(b, "a"), 0);
    assert_int_equal(beside_write(b, fd, "x", 1, 99), 0);
    assert_int_equal(beside_write(b, fd, "x", 1, 100), -ENOSPC);
    gone = beside_open_file(b, a, O_RDWR);
    assert_int_equal(gone, -ESTALE);
    beside_close_file(b, fd);
}

/* --- others ------------------------------------------------------------------------- */

static void test_two_instances(void **state)
{
    struct beside *other = open_beside(false);
    uint64_t a = create("a"), made;
    char name[16];
    int fd;

    (void)state;
    assert_named(other, a, "a");
    assert_int_equal(beside_create(other, "a", O_RDWR | O_EXCL, &made), -EEXIST);
    fd = beside_create(other, "b", O_RDWR | O_EXCL, &made);
    assert_true(fd >= 0);
    beside_close_file(other, fd);
    assert_named(b, made, "b");
    assert_int_equal(beside_rename(other, "a", "c", 0), 0);
    assert_named(b, a, "c");
    assert_absent(b, "a");
    assert_int_equal(beside_remove(b, "b"), 0); /* also what the other has made */
    assert_absent(other, "b");
    for (unsigned i = 1; i < BESIDE_FILES_MAX; i++) {
        snprintf(name, sizeof(name), "file%u", i);
        create(name);
    }
    assert_int_equal(beside_create(other, "one more", O_RDWR, &made), -ENOSPC);
    assert_int_equal(count(other), BESIDE_FILES_MAX);
    beside_close(other);
}

static void test_read_only(void **state)
{
    struct beside *reader;
    const struct timespec now[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};
    struct beside_room room;
    uint64_t a, inode;
    int fd;

    (void)state;
    beside_close(b);
    remove_tree(dir);
    reader = open_beside(true); /* without a directory, too */
    assert_absent(reader, "a");
    assert_int_equal(count(reader), 0);
    assert_int_equal(beside_create(reader, "a", O_RDWR, &inode), -EROFS);
    assert_false(exists(dir));
    b = open_beside(false);
    a = create("a");
    assert_named(reader, a, "a");
    beside_room(reader, &room);
    assert_int_equal(room.files_used, 1);
    assert_int_equal(room.files_free, 0);
    assert_int_equal(room.free, 0);
    assert_int_equal(beside_create(reader, "b", O_RDWR, &inode), -EROFS);
    assert_int_equal(beside_remove(reader, "a"), -EROFS);
    assert_int_equal(beside_rename(reader, "a", "b", 0), -EROFS);
    assert_int_equal(beside_truncate(reader, a, 0), -EROFS);
    assert_int_equal(beside_set_times(reader, a, now), -EROFS);
    assert_int_equal(beside_open_file(reader, a, O_RDWR), -EROFS);
    assert_int_equal(beside_open_file(reader, a, O_RDONLY | O_TRUNC), -EROFS);
    fd = beside_open_file(reader, a, O_RDONLY);
    assert_true(fd >= 0);
    beside_close_file(b, fd);
    assert_named(reader, a, "a");
    beside_close(reader);
}

/* A file whose making could not be flushed is not there. */
static void test_failures(void **state)
{
    uint64_t inode;

    (void)state;
    create("a");
    shadow_fail_flush(0, EIO, 1);
    assert_int_equal(beside_create(b, "b", O_RDWR, &inode), -EIO);
    assert_false(shadow_armed());
    assert_absent(b, "b");
    assert_int_equal(count(b), 1);
    create("b");
}

/* What is no plain file is not shown, followed, written to or waited for. */
static void test_hostile(void **state)
{
    cleanup_free char *secret = join(base, "secret"), *file = inside("x");
    uint64_t inode;
    char name[BESIDE_NAME_MAX + 1];

    (void)state;
    make_file(secret, 10);
    create("good");
    for (unsigned i = 0; i < 3; i++) {
        if (i == 0)
            assert_int_equal(symlink(secret, file), 0);
        else if (i == 1)
            assert_int_equal(mkdir(file, 0700), 0);
        else
            assert_int_equal(mkfifo(file, 0600), 0);
        assert_absent(b, "x");
        assert_int_equal(count(b), 1);
        assert_true(beside_at(b, 0, name, &inode));
        assert_string_equal(name, "good");
        assert_int_equal(beside_create(b, "x", O_RDWR | O_TRUNC, &inode), -EEXIST);
        assert_int_equal(beside_remove(b, "x"), -ENOENT);
        assert_int_equal(beside_rename(b, "x", "y", 0), -ENOENT);
        assert_int_equal(remove(file), 0);
    }
    assert_int_equal(file_size(secret), 10);
    unlink(secret);
}

static void test_refused(void **state)
{
    cleanup_free char *folder = join(dir, FOLDER), *elsewhere = join(base, "elsewhere");
    struct beside *other = NULL;
    uint64_t inode;
    char name[BESIDE_NAME_MAX + 1];

    (void)state;
    assert_int_equal(mkdir(elsewhere, 0700), 0);
    for (unsigned i = 0; i < 3; i++) {
        if (i == 0)
            make_file(folder, 10);
        else if (i == 1)
            assert_int_equal(symlink(elsewhere, folder), 0);
        else
            assert_int_equal(mkdir(folder, 0700) || chmod(folder, 0770), 0);
        assert_true(beside_open(&other, dir, IDENTITY, i == 1, &failure) < 0);
        assert_null(other);
        assert_int_equal(failure.code, EXIT_UNSAFE);
        assert_non_null(strstr(failure.text, folder));
        assert_true(beside_create(b, "x", O_RDWR, &inode) < 0);
        assert_false(beside_at(b, 0, name, &inode));
        assert_int_equal(remove(folder), 0);
    }
    assert_int_equal(rmdir(elsewhere), 0); /* nothing was made in it */
    create("x");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

static int make_of_size(const char *name, size_t size)
{
    cleanup_free void *data = calloc(1, size);
    uint64_t inode;
    int fd = beside_create(b, name, O_RDWR, &inode);

    assert_true(fd >= 0);
    assert_int_equal(beside_write(b, fd, data, size, 0), 0);
    return fd;
}

/* What is removed takes its room until the last one closes it. */
static void test_removed_counts(void **state)
{
    const size_t most = 5 * MIB;
    uint64_t inode;
    int one = make_of_size("one", most), again, two;

    (void)state;
    again = beside_open_file(b, lookup(b, "one"), O_RDONLY);
    assert_int_equal(beside_remove(b, "one"), 0);
    two = beside_create(b, "two", O_RDWR, &inode);
    assert_int_equal(beside_truncate(b, inode, BESIDE_QUOTA - most), 0);
    assert_int_equal(beside_truncate(b, inode, BESIDE_QUOTA - most + 1), -ENOSPC);
    assert_int_equal(beside_write(b, two, "x", 1, BESIDE_QUOTA - most), -ENOSPC);
    beside_close_file(b, one);
    assert_int_equal(beside_write(b, two, "x", 1, BESIDE_QUOTA - most), -ENOSPC);
    beside_close_file(b, again);
    assert_int_equal(beside_write(b, two, "x", 1, BESIDE_QUOTA - most), 0);
    beside_close_file(b, two);
}

/* And so does what is allocated behind the end of a file. */
static void test_allocated_counts(void **state)
{
    uint64_t inode;
    int fd = beside_create(b, "one", O_RDWR, &inode), other;

    (void)state;
    if (beside_allocate(b, fd, FALLOC_FL_KEEP_SIZE, 0, 5 * MIB) == -EOPNOTSUPP)
        skip();
    other = beside_create(b, "two", O_RDWR, &inode);
    assert_int_equal(beside_allocate(b, other, FALLOC_FL_KEEP_SIZE, 0, 4 * MIB), -ENOSPC);
    assert_int_equal(beside_allocate(b, other, 0, 0, 4 * MIB), -ENOSPC);
    assert_int_equal(beside_write(b, fd, "x", 1, 4 * MIB), 0); /* it has that already */
    assert_int_equal(beside_allocate(b, other, FALLOC_FL_KEEP_SIZE, 0, 2 * MIB), 0);
    beside_close_file(b, fd);
    beside_close_file(b, other);
}

static void test_open_files_are_limited(void **state)
{
    uint64_t inode = create("one");
    int fds[BESIDE_OPEN_MAX];

    (void)state;
    for (unsigned i = 0; i < BESIDE_OPEN_MAX; i++) {
        fds[i] = beside_open_file(b, inode, O_RDONLY);
        assert_true(fds[i] >= 0);
    }
    assert_int_equal(beside_open_file(b, inode, O_RDONLY), -ENFILE);
    beside_close_file(b, fds[7]);
    fds[7] = beside_open_file(b, inode, O_RDONLY);
    assert_true(fds[7] >= 0); /* the others are closed with BESIDE */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_kept),
        TEST(test_names),
        TEST(test_rename),
        TEST(test_numbers_mean_one_file),
        TEST(test_listing_and_changing),
        TEST(test_number),
        TEST(test_quota),
        TEST(test_removed_counts),
        TEST(test_allocated_counts),
        TEST(test_open_files_are_limited),
        TEST(test_two_instances),
        TEST(test_read_only),
        TEST(test_failures),
        TEST(test_hostile),
        TEST(test_refused),
    };

    umask(077);
    base = temp_dir(false); /* numbers are used again at once where the disk is no tmpfs */
    return cmocka_run_group_tests_name("beside", tests, NULL, NULL);
}
