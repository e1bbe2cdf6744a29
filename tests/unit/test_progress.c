/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/progress.h"
#include "common/units.h"
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define HOUR UINT64_C(3600000000000)

static const struct progress steps = {.what = "checking"},
                             bytes = {.what = "writing", .bytes = true};

static void expect(const struct progress *p, uint64_t done, uint64_t total, size_t width,
                   const char *text)
{
    char line[256];

    progress_format(p, done, total, 5, line, width);
    assert_string_equal(line, text);
}

static void test_text(void **state)
{
    (void)state;
    expect(&steps, 1, 4, 40, "checking [##........]  25%  0:00:15 left");
    expect(&steps, 0, 4, 40, "checking [........................]   0%");
    expect(&steps, 4, 4, 40, "checking [##########] 100%  0:00:00 left");
    expect(&bytes, 512 * MIB, 3 * GIB / 2, 70,
           "writing [#####...........]  33% of 1.5 GiB   102.4 MiB/s  0:00:10 left");
    expect(&bytes, 1, UINT64_MAX, 70,
           "writing [..............]   0% of 16.0 EiB     0 bytes/s  99:59:59 left");
}

static void test_narrow(void **state)
{
    (void)state;
    expect(&steps, 1, 4, 38, "checking [##......]  25%  0:00:15 left");
    expect(&steps, 1, 4, 37, "checking [#####................]  25%");
    expect(&steps, 1, 4, 24, "checking [##......]  25%");
    expect(&steps, 1, 4, 23, " 25% checking");
    expect(&steps, 1, 4, 6, " 25% c");
    expect(&steps, 1, 4, 0, "");
}

/* A terminal of 80 columns has room for all there is to say. */
static void test_width(void **state)
{
    static const uint64_t totals[] = {1, 7, 1000 * GIB - 1, 1023 * TIB + 1, UINT64_MAX};
    const struct progress longest = {.what = "committing", .bytes = true};
    char line[252];

    (void)state;
    for (size_t width = 0; width <= 250; width++) {
        for (size_t i = 0; i < 4 * ARRAY_SIZE(totals); i++) {
            uint64_t total = totals[i / 4], done = total / 3 * (i % 4);

            memset(line, '!', sizeof(line));
            progress_format(&longest, done, total, 3600, line, width);
            assert_true(strlen(line) <= width);
            assert_int_equal(line[width + 1], '!');
            if (width >= 79 && done)
                assert_non_null(strstr(line, " left"));
        }
    }
}

/* Runs BAR with FD as standard error. */
static void with_stderr(int fd, void (*bar)(void))
{
    int saved = dup(STDERR_FILENO);

    assert_true(saved >= 0 && dup2(fd, STDERR_FILENO) >= 0);
    bar();
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    close(saved);
}

static void quick(void)
{
    struct progress p;

    progress_begin(&p, "working", false);
    p.begin += HOUR; /* however slow this machine is */
    progress_show(&p, 1, 2);
    progress_end(&p);
}

static void slow(void)
{
    struct progress p;

    progress_begin(&p, "working", false);
    p.begin -= 2000000000;
    assert_int_equal(progress_show(&p, 0, 0), 0);
    assert_int_equal(progress_show(&p, 101, 100), 0);
    assert_int_equal(progress_show(&p, 99, 100), 0);
    p.drawn += HOUR;
    assert_int_equal(progress_show(&p, 100, 100), 0);
    progress_end(&p);
}

/* Reads what FROM has got; a terminal hands it over piece by piece, a little later. */
static void expect_output(int from, const char *text)
{
    struct pollfd ready = {.fd = from, .events = POLLIN};
    char got[512];
    size_t length = 0;
    ssize_t n = 0;

    do {
        length += (size_t)n;
        n = 0;
        if (poll(&ready, 1, length < strlen(text) ? 10000 : 0) == 1)
            n = read(from, got + length, sizeof(got) - 1 - length);
    } while (n > 0);
    got[length] = '\0';
    assert_string_equal(got, text);
}

static void test_no_terminal(void **state)
{
    int ends[2];

    (void)state;
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    with_stderr(ends[1], slow);
    expect_output(ends[0], "");
    close(ends[0]);
    close(ends[1]);
}

static void test_terminal(void **state)
{
    struct winsize size = {.ws_row = 24, .ws_col = 41};
    int terminal, master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);

    (void)state;
    if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0)
        skip();
    terminal = open(ptsname(master), O_RDWR | O_NOCTTY);
    if (terminal < 0)
        skip();
    assert_int_equal(ioctl(terminal, TIOCSWINSZ, &size), 0);
    with_stderr(terminal, quick);
    with_stderr(terminal, slow);
    expect_output(master, "\rworking [##########.]  99%  0:00:00 left\033[K\r\033[K");
    close(terminal);
    close(master);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),     cmocka_unit_test(test_narrow),
        cmocka_unit_test(test_width),    cmocka_unit_test(test_no_terminal),
        cmocka_unit_test(test_terminal),
    };

    return cmocka_run_group_tests_name("progress", tests, NULL, NULL);
}
