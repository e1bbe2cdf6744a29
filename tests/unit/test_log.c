/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The log, with a pipe as standard error: nobody waits for its reader, and no count is wrong. */
#include "tests/unit/unit.h"

#include "common/cleanup.h"
#include "common/log.h"
#include "common/units.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define THREADS 4
#define EACH    2000
#define PIPE    4096

static int reader = -1, kept_stderr;

/* Standard error becomes a pipe of a page. */
static int setup(void **state)
{
    int ends[2];

    (void)state;
    kept_stderr = dup(STDERR_FILENO);
    if (kept_stderr < 0 || pipe2(ends, O_CLOEXEC) < 0 || fcntl(ends[1], F_SETPIPE_SZ, PIPE) < 0 ||
        dup2(ends[1], STDERR_FILENO) < 0)
        return -1;
    close(ends[1]);
    reader = ends[0];
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    dup2(kept_stderr, STDERR_FILENO);
    close_fd(&kept_stderr);
    close_fd(&reader);
    return 0;
}

static char filler[PIPE];

/* The pipe takes no more, so whatever is logged waits for a reader. */
static void fill_pipe(void)
{
    assert_int_equal(write(STDERR_FILENO, filler, PIPE), PIPE);
}

static void empty_pipe(void)
{
    for (size_t n = 0; n < PIPE;)
        n += (size_t)read(reader, filler, PIPE - n);
}

/* The next line of the pipe, waited for, without its end. */
static const char *next_line(void)
{
    static char line[2048];
    size_t n = 0;

    while (n < sizeof(line) - 1 && read(reader, line + n, 1) == 1 && line[n] != '\n')
        n++;
    line[n] = '\0';
    return line;
}

/* What is in the pipe when all of it has been written. */
static const char *rest(void)
{
    static char text[4096];
    ssize_t n;

    while (!log_end())
        ;
    fcntl(reader, F_SETFL, O_NONBLOCK);
    n = read(reader, text, sizeof(text) - 1);
    text[n < 0 ? 0 : n] = '\0';
    return text;
}

static void test_in_order(void **state)
{
    (void)state;
    log_info("before %s", "the start");
    assert_string_equal(next_line(), "vhdxfs: before the start");
    assert_int_equal(log_begin(), 0);
    log_error("a\nb\33[0m");
    log_warning("second");
    log_debug("not asked for");
    assert_string_equal(rest(), "vhdxfs: a?b?[0m\nvhdxfs: warning: second\n");
    log_info("after the end");
    assert_string_equal(rest(), "vhdxfs: after the end\n");
}

static void *flood(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < EACH; i++)
        log_debug("line %u", i);
    return NULL;
}

static void flood_from_threads(void)
{
    pthread_t threads[THREADS];

    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, flood, NULL), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

/* This hangs if anybody waits for the reader. Each line is written, or counted as lost. */
static void test_nobody_reads(void **state)
{
    unsigned lines = 0, lost = 0;
    const char *line;

    (void)state;
    log_set_debug(true);
    assert_int_equal(log_begin(), 0);
    fill_pipe();
    flood_from_threads();
    log_set_debug(false);
    empty_pipe();
    while (!strstr(line = next_line(), "were lost"))
        lines += strncmp(line, "vhdxfs: line ", 13) == 0;
    assert_int_equal(sscanf(line, "vhdxfs: warning: %u messages were lost", &lost), 1);
    assert_true(lines >= LOG_QUEUE * 3 / 4);
    assert_int_equal(lines + lost, THREADS * EACH);
    assert_string_equal(rest(), "");
}

/* Nor does the end. */
static void test_end_with_nobody_reading(void **state)
{
    (void)state;
    log_set_debug(true);
    assert_int_equal(log_begin(), 0);
    fill_pipe();
    flood_from_threads();
    assert_false(log_end());
    log_error("and nobody waits for this one");
    log_set_debug(false);
    /* Let the thread go, for the next test. */
    empty_pipe();
    while (!strstr(next_line(), "were lost"))
        ;
    assert_string_equal(rest(), "");
}

static void try_again(unsigned times)
{
    for (unsigned i = 0; i < times; i++)
        log_error("refused %u", i % 10);
}

static void test_again_and_again(void **state)
{
    char expected[200];

    (void)state;
    assert_int_equal(log_begin(), 0);
    try_again(LOG_BURST);
    for (unsigned i = 0; i < LOG_BURST; i++)
        assert_non_null(strstr(next_line(), "refused"));
    try_again(995);
    log_error("another kind");
    assert_string_equal(next_line(), "vhdxfs: another kind");
    snprintf(expected, sizeof(expected), "vhdxfs: 995 more like this in %u seconds: refused 4\n",
             LOG_WHILE);
    assert_string_equal(rest(), expected); /* at the end, it does not wait for its time */
}

static void test_told_in_time(void **state)
{
    (void)state;
    assert_int_equal(log_begin(), 0);
    for (unsigned i = 0; i < LOG_BURST + 3; i++)
        log_error("refused for now");
    for (unsigned i = 0; i < LOG_BURST; i++)
        assert_non_null(strstr(next_line(), "refused"));
    assert_non_null(strstr(next_line(), "3 more like this")); /* by itself */
    log_error("another kind");
    assert_string_equal(next_line(), "vhdxfs: another kind");
    assert_string_equal(rest(), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nobody_reads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_end_with_nobody_reading, setup, teardown),
        cmocka_unit_test_setup_teardown(test_told_in_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_again_and_again, setup, teardown),
    };

    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
