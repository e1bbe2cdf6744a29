/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "state/xattrs.h"

#include "common/cleanup.h"
#include "common/units.h"
#include "tests/unit/shadow.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#define IDENTITY "6b29fc40-ca47-1067-b31d-00dd010662da"
#define ALL      IDENTITY ".xattrs.d"

static const char *base; /* the program's directory; each test has one in it */
static char *dir;        /* the state directory */
static struct xattrs *x;
static struct failure failure;

static struct xattrs *open_xattrs(bool read_only)
{
    struct xattrs *opened = NULL;
    int err = xattrs_open(&opened, dir, IDENTITY, read_only, &failure);

    if (err)
        fail_msg("xattrs_open: %d: %s", err, failure.text);
    return opened;
}

static int setup(void **state)
{
    (void)state;
    dir = fresh_path(base);
    failure = (struct failure){0};
    log_forget();
    x = open_xattrs(false);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    shadow_disarm();
    xattrs_close(x);
    remove_tree(dir);
    free(dir);
    return 0;
}

static char *inside(const char *name)
{
    cleanup_free char *all = join(dir, ALL);

    return join(all, name);
}

static int set(const char *object, const char *name, const char *value)
{
    return xattrs_set(x, object, name, value, strlen(value), 0);
}

static void assert_value(struct xattrs *of, const char *object, const char *name, const char *value)
{
    char found[256];

    assert_int_equal(xattrs_get(of, object, name, found, sizeof(found)), strlen(value));
    assert_memory_equal(found, value, strlen(value));
}

static void assert_absent(const char *object, const char *name)
{
    assert_int_equal(xattrs_get(x, object, name, NULL, 0), -ENODATA);
}

/* Whether NAME is in the list of OBJECT. */
static bool is_listed(const char *object, const char *name)
{
    char list[4096];
    ssize_t n = xattrs_list(x, object, list, sizeof(list));

    assert_int_equal(xattrs_list(x, object, NULL, 0), n);
    for (ssize_t at = 0; at < n; at += (ssize_t)strlen(list + at) + 1)
        if (!strcmp(list + at, name))
            return true;
    return false;
}

/* --- what is asked for ----------------------------------------------------------- */

static void test_kept(void **state)
{
    struct stat st;
    cleanup_free char *file = inside("@vhdx/user.a");

    (void)state;
    assert_absent(XATTRS_VHDX, "user.a");
    assert_int_equal(xattrs_list(x, XATTRS_VHDX, NULL, 0), 0);
    assert_int_equal(set(XATTRS_VHDX, "user.a", "one"), 0);
    assert_int_equal(set(XATTRS_VHDX, "security.NTACL", "acl"), 0);
    assert_int_equal(set(XATTRS_DISK, "user.a", "two"), 0);
    assert_int_equal(set(XATTRS_DIRECTORY, "user.a", "three"), 0);
    assert_int_equal(set("vhdx", "user.a", "four"), 0); /* a file of that name */
    assert_int_equal(set("icon", "user.empty", ""), 0);
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode, S_IFREG | 0600);
    xattrs_close(x);
    x = open_xattrs(false);
    assert_value(x, XATTRS_VHDX, "user.a", "one");
    assert_value(x, XATTRS_VHDX, "security.NTACL", "acl");
    assert_value(x, XATTRS_DISK, "user.a", "two");
    assert_value(x, XATTRS_DIRECTORY, "user.a", "three");
    assert_value(x, "vhdx", "user.a", "four");
    assert_value(x, "icon", "user.empty", "");
    assert_absent("other", "user.a");
    assert_int_equal(set(XATTRS_VHDX, "user.a", "longer"), 0);
    assert_value(x, XATTRS_VHDX, "user.a", "longer");
    assert_int_equal(set(XATTRS_VHDX, "user.a", "s"), 0);
    assert_value(x, XATTRS_VHDX, "user.a", "s");
    assert_int_equal(xattrs_remove(x, XATTRS_VHDX, "user.a"), 0);
    assert_absent(XATTRS_VHDX, "user.a");
    assert_value(x, XATTRS_VHDX, "security.NTACL", "acl");
}

static void test_answers(void **state)
{
    char list[32], value[4];

    (void)state;
    assert_int_equal(set(XATTRS_VHDX, "security.capability", "x"), -EOPNOTSUPP);
    assert_int_equal(set(XATTRS_VHDX, "user.", "x"), -EOPNOTSUPP);
    assert_int_equal(xattrs_get(x, XATTRS_VHDX, "security.capability", NULL, 0), -EOPNOTSUPP);
    assert_int_equal(xattrs_remove(x, XATTRS_VHDX, "trusted.x"), -EOPNOTSUPP);
    assert_int_equal(xattrs_remove(x, XATTRS_VHDX, "user.x"), -ENODATA);
    assert_int_equal(xattrs_set(x, XATTRS_VHDX, "user.x", "1", 1, XATTR_REPLACE), -ENODATA);
    assert_int_equal(xattrs_set(x, XATTRS_VHDX, "user.x", "1", 1, XATTR_CREATE), 0);
    assert_int_equal(xattrs_set(x, XATTRS_VHDX, "user.x", "2", 1, XATTR_CREATE), -EEXIST);
    assert_value(x, XATTRS_VHDX, "user.x", "1");
    assert_int_equal(xattrs_set(x, XATTRS_VHDX, "user.x", "12345", 5, XATTR_REPLACE), 0);
    assert_int_equal(xattrs_get(x, XATTRS_VHDX, "user.x", NULL, 0), 5);
    assert_int_equal(xattrs_get(x, XATTRS_VHDX, "user.x", value, sizeof(value)), -ERANGE);
    assert_int_equal(xattrs_list(x, XATTRS_VHDX, list, 6), -ERANGE);
    assert_int_equal(xattrs_list(x, XATTRS_VHDX, list, 7), 7);
    assert_string_equal(list, "user.x");
}

static void test_limits(void **state)
{
    cleanup_free uint8_t *large = calloc(1, XATTRS_VALUE_MAX + 1);
    char name[32];

    (void)state;
    assert_int_equal(xattrs_set(x, "a", "user.x", large, XATTRS_VALUE_MAX + 1, 0), -E2BIG);
    for (unsigned i = 0; i < XATTRS_TOTAL_MAX / XATTRS_VALUE_MAX; i++) {
        snprintf(name, sizeof(name), "file%u", i);
        assert_int_equal(xattrs_set(x, name, "user.x", large, XATTRS_VALUE_MAX, 0), 0);
    }
    assert_int_equal(set("a", "user.x", "y"), -ENOSPC);
    assert_int_equal(set("a", "user.x", ""), 0);
    assert_int_equal(xattrs_set(x, "file0", "user.x", large, XATTRS_VALUE_MAX, 0), 0);
    assert_int_equal(set("file0", "user.x", "y"), 0);
    assert_int_equal(set("a", "user.x", "y"), 0);
    for (unsigned i = 5; i < XATTRS_COUNT_MAX; i++) {
        snprintf(name, sizeof(name), "user.%u", i);
        assert_int_equal(set(i % 2 ? "a" : XATTRS_DISK, name, "z"), 0);
    }
    assert_int_equal(set("b", "user.x", ""), -ENOSPC);
    assert_int_equal(set("a", "user.x", "w"), 0);
    assert_int_equal(xattrs_remove(x, "a", "user.x"), 0);
    assert_int_equal(set("b", "user.x", ""), 0);
}

/* Each name is another file, in its place, and comes back as it was. */
static void test_names(void **state)
{
    static const char *const names[] = {
        "user./", "user.%2F",        "user.%",  "user.%25",    "user.%252F",        "user.../../x",
        "user..", "user.\n\x7f\xff", "user.@=", "user.a/.new", "system.ntfs_%2f/%", "user.%2"};
    static const char *const objects[] = {XATTRS_DIRECTORY, XATTRS_VHDX, XATTRS_DISK, "vhdx",
                                          "@vhdx",          "=vhdx",     "..",        "%2E",
                                          ".new",           ".gone",     "\n",        "%"};
    char value[32], longest[256];

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
        for (unsigned j = 0; j < 5; j++) {
            snprintf(value, sizeof(value), "%u", i * 16 + j);
            assert_int_equal(set(objects[(i + j) % ARRAY_SIZE(objects)], names[i], value), 0);
        }
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
        for (unsigned j = 0; j < ARRAY_SIZE(objects); j++) {
            const char *object = objects[(i + j) % ARRAY_SIZE(objects)];

            assert_int_equal(is_listed(object, names[i]), j < 5);
            snprintf(value, sizeof(value), "%u", i * 16 + j);
            if (j < 5)
                assert_value(x, object, names[i], value);
            else
                assert_absent(object, names[i]);
        }
    for (unsigned j = 0; j < ARRAY_SIZE(objects); j++)
        assert_int_equal(xattrs_move(x, objects[j], NULL), 0);

    memset(longest, 'a', 255);
    memcpy(longest, "user.", 5);
    longest[255] = '\0';
    assert_int_equal(set("a", longest, "x"), 0);
    assert_value(x, "a", longest, "x");
    longest[100] = '/'; /* as a file's name it is too long now */
    assert_int_equal(set("a", longest, "x"), -ERANGE);
    assert_absent("a", longest);
    assert_int_equal(xattrs_remove(x, "a", longest), -ENODATA);
    memset(longest, '%', 200); /* the longest name that a file beside the VHDX can have */
    longest[200] = '\0';
    assert_int_equal(set(longest, "user.a", "x"), 0);
    assert_int_equal(set("/a/b", "user.a", "x"), -EINVAL);
    assert_int_equal(set("a/b", "user.a", "x"), -EINVAL);
}

static void test_move(void **state)
{
    (void)state;
    assert_int_equal(xattrs_move(x, "a", NULL), 0); /* nothing is there at all */
    assert_int_equal(xattrs_move(x, "a", "b"), 0);
    assert_int_equal(set("a", "user.x", "of a"), 0);
    assert_int_equal(set("b", "user.x", "of b"), 0);
    assert_int_equal(set("b", "user.y", "of b"), 0);
    assert_int_equal(xattrs_move(x, "a", "a"), 0);
    assert_value(x, "a", "user.x", "of a");
    assert_int_equal(xattrs_move(x, "a", "b"), 0); /* b goes with all it had */
    assert_absent("a", "user.x");
    assert_value(x, "b", "user.x", "of a");
    assert_absent("b", "user.y");
    assert_int_equal(xattrs_move(x, "b", "c"), 0);
    assert_value(x, "c", "user.x", "of a");
    assert_int_equal(xattrs_move(x, "nothing", "c"), 0); /* also by what has none */
    assert_absent("c", "user.x");
    assert_int_equal(set("c", "user.x", "again"), 0);
    assert_int_equal(xattrs_move(x, "c", NULL), 0);
    assert_absent("c", "user.x");
    assert_int_equal(set("c", "user.y", "new"), 0);
    assert_absent("c", "user.x");
}

static void test_read_only(void **state)
{
    struct xattrs *reader;
    struct stat before, after;
    cleanup_free char *all = join(dir, ALL);

    (void)state;
    xattrs_close(x);
    remove_tree(dir);
    x = open_xattrs(true); /* without a directory, too */
    assert_false(exists(dir));
    assert_absent("a", "user.x");
    assert_int_equal(xattrs_list(x, "a", NULL, 0), 0);
    assert_int_equal(set("a", "user.x", "y"), -EROFS);
    assert_false(exists(dir));
    reader = x;
    x = open_xattrs(false);
    assert_int_equal(set("a", "user.x", "y"), 0);
    assert_int_equal(stat(all, &before), 0);
    assert_value(reader, "a", "user.x", "y");
    assert_int_equal(xattrs_set(reader, "a", "user.x", "z", 1, 0), -EROFS);
    assert_int_equal(xattrs_remove(reader, "a", "user.x"), -EROFS);
    assert_int_equal(xattrs_move(reader, "a", NULL), -EROFS);
    assert_value(reader, "a", "user.x", "y");
    assert_int_equal(stat(all, &after), 0);
    assert_int_equal(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
    xattrs_close(reader);
}

/* --- others ------------------------------------------------------------------------ */

static void test_two_instances(void **state)
{
    struct xattrs *other = open_xattrs(false);

    (void)state;
    assert_int_equal(set("a", "user.x", "1"), 0);
    assert_value(other, "a", "user.x", "1");
    assert_int_equal(xattrs_set(other, "a", "user.x", "2", 1, XATTR_CREATE), -EEXIST);
    assert_int_equal(xattrs_set(other, "a", "user.x", "22", 2, XATTR_REPLACE), 0);
    assert_value(x, "a", "user.x", "22");
    assert_int_equal(xattrs_move(other, "a", "b"), 0);
    assert_absent("a", "user.x");
    assert_value(x, "b", "user.x", "22");
    assert_int_equal(xattrs_remove(x, "b", "user.x"), 0);
    assert_int_equal(xattrs_remove(other, "b", "user.x"), -ENODATA);
    xattrs_close(other);
}

/* Two processes that change one attribute: every reader sees one value, and a whole one. */
static void test_at_once(void **state)
{
    const unsigned rounds = 100;
    static char value[20000], found[20000];
    pid_t children[2];
    int status;

    (void)state;
    memset(value, 'x', sizeof(value));
    assert_int_equal(xattrs_set(x, "a", "user.x", value, sizeof(value), 0), 0);
    for (unsigned c = 0; c < 2; c++) {
        children[c] = fork();
        if (children[c] != 0)
            continue;
        for (unsigned i = 0; i < rounds; i++) {
            size_t size = sizeof(value) - 7000 * c;

            memset(value, (int)('a' + 10 * c + i % 8), sizeof(value));
            if (xattrs_set(x, "a", "user.x", value, size, XATTR_REPLACE) != 0)
                _exit(1);
        }
        _exit(0);
    }
    for (unsigned i = 0; i < rounds; i++) {
        ssize_t n = xattrs_get(x, "a", "user.x", found, sizeof(found));

        assert_true(n == sizeof(found) || n == sizeof(found) - 7000);
        for (ssize_t at = 1; at < n; at++)
            assert_int_equal(found[at], found[0]);
    }
    for (unsigned c = 0; c < 2; c++) {
        assert_int_equal(waitpid(children[c], &status, 0), children[c]);
        assert_int_equal(status, 0);
    }
}

/* --- crashes and damage ------------------------------------------------------------- */

/* What fails on the way leaves the old value, and nothing else. */
static void test_failures(void **state)
{
    cleanup_free char *fresh = inside("=a/.new");

    (void)state;
    assert_int_equal(set("a", "user.x", "old"), 0);
    for (unsigned i = 0; i < 3; i++) {
        if (i == 0)
            shadow_fail_write(0, 0, ENOSPC);
        else if (i == 1)
            shadow_fail_write(0, 2, EIO);
        else
            shadow_fail_flush(0, EIO, 1);
        assert_int_equal(set("a", "user.x", "new"), i == 0 ? -ENOSPC : -EIO);
        assert_false(shadow_armed());
        assert_value(x, "a", "user.x", "old");
        assert_false(exists(fresh));
        assert_non_null(strstr(logged(), ALL));
    }
    assert_int_equal(set("a", "user.x", "new"), 0);
    assert_value(x, "a", "user.x", "new");
}

static void test_left_by_a_crash(void **state)
{
    cleanup_free char *fresh = inside("=a/.new"), *gone = inside(".gone");
    cleanup_free char *half = inside(".gone/user.half"), *before = inside(".gone/user.before");
    char list[64];

    (void)state;
    assert_int_equal(set("a", "user.x", "old"), 0);
    make_file(fresh, 100000); /* while a value was written */
    assert_value(x, "a", "user.x", "old");
    assert_int_equal(xattrs_list(x, "a", list, sizeof(list)), 7);
    assert_int_equal(set("a", "user.x", "new"), 0);
    assert_false(exists(fresh));
    make_file(fresh, 10);

    assert_int_equal(mkdir(gone, 0700), 0); /* while an object was removed */
    make_file(half, 10);
    make_file(before, 10);
    assert_absent(".gone", "user.half");
    assert_int_equal(xattrs_move(x, "a", NULL), 0);
    assert_absent("a", "user.x");
    assert_false(exists(gone));
    assert_false(exists(fresh));
}

/* None of these are followed, read or waited for; each is told of, and the others work. */
static void test_hostile(void **state)
{
    cleanup_free char *secret = join(base, "secret"), *file = inside("@vhdx/user.x");
    cleanup_free char *elsewhere = join(base, "elsewhere"), *object = inside("=b");
    cleanup_free char *target = join(base, "elsewhere/user.x"), *other = inside("@vhdx/user.other");
    cleanup_free char *unknown = inside("@vhdx/user.%41"), *stray = inside("stray");
    char value[64];

    (void)state;
    make_file(secret, 10);
    assert_int_equal(mkdir(elsewhere, 0700), 0);
    make_file(target, 10);
    assert_int_equal(set(XATTRS_VHDX, "user.other", "good"), 0);
    make_file(unknown, 10);
    make_file(stray, 10);
    for (unsigned i = 0; i < 7; i++) {
        if (i == 5 && geteuid() != 0)
            continue;
        if (i == 0)
            assert_int_equal(symlink(secret, file), 0);
        else if (i == 1)
            assert_int_equal(mkdir(file, 0700), 0);
        else if (i == 2)
            assert_int_equal(mkfifo(file, 0600), 0);
        else if (i == 3)
            assert_int_equal(link(secret, file), 0);
        else
            make_file(file, i == 6 ? XATTRS_VALUE_MAX + 1 : 10);
        if (i == 4)
            assert_int_equal(chmod(file, 0620), 0);
        else if (i == 5)
            assert_int_equal(chown(file, 12345, 0), 0);
        log_forget();
        assert_int_equal(xattrs_get(x, XATTRS_VHDX, "user.x", value, sizeof(value)), -EIO);
        assert_non_null(strstr(logged(), "user.x"));
        assert_int_equal(set(XATTRS_VHDX, "user.x", "new"), -EIO);
        assert_int_equal(xattrs_remove(x, XATTRS_VHDX, "user.x"), -EIO);
        assert_int_equal(xattrs_list(x, XATTRS_VHDX, value, sizeof(value)), sizeof("user.other"));
        assert_string_equal(value, "user.other");
        assert_value(x, XATTRS_VHDX, "user.other", "good");
        assert_int_equal(remove(file), 0);
    }
    assert_int_equal(file_size(secret), 10);

    for (unsigned i = 0; i < 2; i++) { /* the directory of an object */
        if (i == 0)
            assert_int_equal(symlink(elsewhere, object), 0);
        else
            make_file(object, 10);
        assert_int_equal(xattrs_get(x, "b", "user.x", value, sizeof(value)), -EIO);
        assert_int_equal(set("b", "user.x", "new"), -EIO);
        assert_int_equal(xattrs_list(x, "b", value, sizeof(value)), -EIO);
        assert_int_equal(set(XATTRS_VHDX, "user.other", "good"), 0);
        assert_int_equal(xattrs_move(x, "b", NULL), 0);
        assert_false(exists(object));
    }
    assert_int_equal(file_size(target), 10);
    assert_int_equal(xattrs_move(x, "stray", NULL), 0);
    assert_true(exists(stray));

    /* What cannot be removed with an object stays, and is told of. */
    assert_int_equal(set("b", "user.x", "new"), 0);
    assert_int_equal(mkdir(file, 0700), 0);
    log_forget();
    assert_int_equal(xattrs_move(x, XATTRS_VHDX, NULL), -ENOTEMPTY);
    assert_int_equal(logged_count(), 1);
    assert_absent(XATTRS_VHDX, "user.other");
    assert_value(x, "b", "user.x", "new");
    remove_tree(elsewhere);
    unlink(secret);
}

static void test_refused(void **state)
{
    cleanup_free char *all = join(dir, ALL), *old = join(dir, IDENTITY ".xattrs");
    cleanup_free char *elsewhere = join(base, "elsewhere");
    struct xattrs *other = NULL;

    (void)state;
    make_file(old, 10); /* of an earlier build: not looked at */
    xattrs_close(open_xattrs(false));
    for (unsigned i = 0; i < 3; i++) {
        if (i == 0)
            make_file(all, 10);
        else if (i == 1)
            assert_int_equal(symlink(elsewhere, all), 0);
        else
            assert_int_equal(mkdir(all, 0700) || chmod(all, 0770), 0);
        assert_true(xattrs_open(&other, dir, IDENTITY, i == 1, &failure) < 0);
        assert_null(other);
        assert_int_equal(failure.code, EXIT_UNSAFE);
        assert_non_null(strstr(failure.text, all));
        assert_true(set("a", "user.x", "y") < 0);
        assert_true(xattrs_get(x, "a", "user.x", NULL, 0) == -EIO);
        assert_int_equal(remove(all), 0);
    }
    assert_int_equal(set("a", "user.x", "y"), 0);
    assert_int_equal(file_size(old), 10);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_kept),          TEST(test_answers),
        TEST(test_limits),        TEST(test_names),
        TEST(test_move),          TEST(test_read_only),
        TEST(test_two_instances), TEST(test_at_once),
        TEST(test_failures),      TEST(test_left_by_a_crash),
        TEST(test_hostile),       TEST(test_refused),
    };

    umask(077);
    base = temp_dir(true);
    return cmocka_run_group_tests_name("xattrs", tests, NULL, NULL);
}
