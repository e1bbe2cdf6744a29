/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is made of /proc/self/mountinfo: fopen() is the test's own for that one. */
#include "device/holders.h"
#include "device/probe.h"
#include "tests/unit/support.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#define ROOT  "36 35 98:0 / / rw,noatime master:1 - ext4 /dev/root rw,errors=continue\n"
#define LONG  4000
#define ROOM  (4 * LONG)
#define FIRST makedev(8, 1)

static const char *mountinfo; /* its content; NULL: it cannot be opened */
static bool breaks;           /* an error behind the content */
static char where[ROOM];
static bool writable;

static ssize_t read_content(void *cookie, char *data, size_t size)
{
    const char **rest = cookie;
    size_t n = strlen(*rest) < size ? strlen(*rest) : size;

    if (n == 0 && breaks) {
        errno = EIO;
        return -1;
    }
    memcpy(data, *rest, n);
    *rest += n;
    return (ssize_t)n;
}

FILE *__real_fopen64(const char *path, const char *mode);
FILE *__wrap_fopen64(const char *path, const char *mode);
FILE *__wrap_fopen64(const char *path, const char *mode)
{
    static const char *rest;

    if (strcmp(path, "/proc/self/mountinfo") != 0)
        return __real_fopen64(path, mode);
    if (!mountinfo) {
        errno = ENOENT;
        return NULL;
    }
    rest = mountinfo;
    return fopencookie(&rest, "r", (cookie_io_functions_t){.read = read_content});
}

static int look(const char *content, dev_t device)
{
    mountinfo = content;
    memset(where, 'x', sizeof(where));
    return holders_mounted_as(device, where, sizeof(where), &writable);
}

static void assert_mounted(const char *content, const char *point, bool may_write)
{
    assert_int_equal(look(content, FIRST), 1);
    assert_string_equal(where, point);
    assert_int_equal(writable, may_write);
}

static void test_mounted(void **state)
{
    (void)state;
    assert_mounted(ROOT "37 36 8:1 / /mnt rw - ext4 /dev/sda1 rw\n", "/mnt", true);
    assert_mounted(ROOT "37 36 8:1 /a /mnt rw shared:1 master:2 - ext4 /dev/sda1 rw,data=x\n",
                   "/mnt", true);
    /* The mount is read-only, the file system is not; and the other way round. */
    assert_mounted("37 36 8:1 / /mnt ro - ext4 /dev/sda1 rw\n", "/mnt", true);
    assert_mounted("37 36 8:1 / /mnt rw - ext4 /dev/sda1 ro\n", "/mnt", false);
    assert_mounted("37 36 8:1 / /mnt rw - ext4 /dev/sda1 ro,data=x\n", "/mnt", false);
    assert_mounted("37 36 8:1 / /mnt rw - ext4 /dev/sda1 rota\n", "/mnt", true);
    assert_mounted("37 36 8:1 / /mnt rw - ext4 /dev/sda1 rw", "/mnt", true);
    assert_mounted("37 36 8:1 / /mnt rw - fuseblk /dev/sda1 rw\n", "/mnt", true);
    assert_mounted("37 36 8:1 / /b\\040-\\040l\\134\\011n rw - ext4 /dev/sda1 rw\n", "/b - l\\\tn",
                   true);
    assert_mounted("37 36 8:1 / /mnt rw - ext4  rw\n", "/mnt", true);
}

static void test_not_mounted(void **state)
{
    (void)state;
    assert_int_equal(look("", FIRST), 0);
    assert_int_equal(look(ROOT "37 36 8:11 / /mnt rw - ext4 /dev/sdb rw\n", FIRST), 0);
    assert_int_equal(look(ROOT "37 36 0:41 / /mnt rw - btrfs  rw\n", FIRST), 0);
    assert_string_equal(where, "");
}

static char *repeat(const char *text, size_t times)
{
    char *all = calloc(times, strlen(text) + 1);

    for (size_t i = 0; i < times; i++)
        strcat(all, text);
    return all;
}

/* Names up to PATH_MAX, each character four in the file: nothing may be cut off. */
static void test_long(void **state)
{
    char *blanks = repeat("\\040", LONG), *point = repeat(" ", LONG), *content;

    (void)state;
    assert_true(asprintf(&content,
                         "37 36 0:41 /%s /%s rw - %s /%s rw,x=%s\n"
                         "38 36 8:1 /%s /%s ro - ext4 /%s ro,x=%s\n",
                         blanks, blanks, blanks, blanks, blanks, blanks, blanks, blanks,
                         blanks) > 0);
    assert_int_equal(look(content, FIRST), 1);
    assert_int_equal(where[0], '/');
    assert_string_equal(where + 1, point);
    assert_false(writable);
    free(content);
    free(point);
    free(blanks);
}

static void test_could_not_look(void **state)
{
    (void)state;
    assert_int_equal(look(NULL, FIRST), -ENOENT);
    assert_string_equal(where, "");
    breaks = true;
    assert_int_equal(look("", FIRST), -EIO);
    assert_int_equal(look(ROOT, FIRST), -EIO);
    breaks = false;
    assert_int_equal(look(ROOT "\n", FIRST), -EBADMSG);
    assert_int_equal(look("38 36 8:x / /mnt ro - ext4 /dev/sda1 rw\n", FIRST), -EBADMSG);
    assert_int_equal(look("38 36 8:1 / /mnt ro ext4 /dev/sda1 rw\n", FIRST), -EBADMSG);
    assert_int_equal(look("38 36 8:1 / /mnt ro - ext4 /dev/sda1", FIRST), -EBADMSG);
    assert_int_equal(look("38 36 8:1", FIRST), -EBADMSG);
    assert_string_equal(where, "");
}

/* What only the source tells: the number is that of a file system like btrfs. */
static void test_source(void **state)
{
    char *path = join(temp_dir(true), "image"), *dots = repeat("/.", LONG / 4), *content;
    struct loop loop = {.fd = -1};
    struct failure failure;
    struct facts facts;
    struct stat st;

    (void)state;
    make_file(path, MIB);
    if (loop_attach(&loop, path, 512) < 0) {
        free(dots);
        free(path);
        skip();
    }
    assert_int_equal(stat(loop.path, &st), 0);
    assert_true(asprintf(&content, "37 36 0:41 / /mnt rw - btrfs /dev%s%s rw\n", dots,
                         loop.path + strlen("/dev")) > 0);
    assert_int_equal(look(content, st.st_rdev), 1);
    assert_string_equal(where, "/mnt");
    free(content);
    assert_true(asprintf(&content, "37 36 0:41 / /mnt rw - fuse.vhdxfs %s rw\n", loop.path) > 0);
    assert_int_equal(look(content, st.st_rdev), 0);
    assert_int_equal(probe(loop.path, &facts, &failure), 0);
    mountinfo = NULL;
    assert_int_equal(probe(loop.path, &facts, &failure), -ENOENT);
    assert_non_null(strstr(failure.text, "whether it is mounted"));
    free(content);
    loop_detach(&loop);
    free(dots);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mounted),        cmocka_unit_test(test_not_mounted),
        cmocka_unit_test(test_long),           cmocka_unit_test(test_source),
        cmocka_unit_test(test_could_not_look),
    };

    return cmocka_run_group_tests_name("holders", tests, NULL, NULL);
}
