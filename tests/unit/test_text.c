/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/unit.h"
#include "vhdx/text.h"

#include <string.h>

static void expect(const void *utf16, size_t bytes, const char *utf8)
{
    char out[VHDX_TEXT_ROOM(64)];

    assert_true(bytes <= 64);
    assert_string_equal(vhdx_text(utf16, bytes, out), utf8);
    assert_true(strlen(out) < VHDX_TEXT_ROOM(bytes));
}

static void test_text(void **state)
{
    (void)state;
    expect("", 0, "");
    expect("a\0b\0", 4, "ab");
    expect("a\0b\0\0\0c\0", 8, "ab");
    expect("a\0b", 3, "a");                            /* half a unit */
    expect("\xe9\0", 2, "\xc3\xa9");                   /* U+00E9 */
    expect("\xac\x20", 2, "\xe2\x82\xac");             /* U+20AC */
    expect("\x3d\xd8\x00\xde", 4, "\xf0\x9f\x98\x80"); /* U+1F600 */
    expect("\x3d\xd8", 2, "\xef\xbf\xbd");             /* a lone surrogate, either half */
    expect("\x3d\xd8z\0", 4, "\xef\xbf\xbdz");
    expect("\x00\xde", 2, "\xef\xbf\xbd");
    expect("\x1b\0[\0", 4, "\xef\xbf\xbd["); /* no escape sequences for the terminal */
    expect("\x9b\0\x7f\0", 4, "\xef\xbf\xbd\xef\xbf\xbd");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_text)};

    return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
