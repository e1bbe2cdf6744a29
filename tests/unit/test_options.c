/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fuse/options.h"

#include "common/cleanup.h"
#include "common/units.h"
#include "tests/unit/support.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MAX_WORDS 16

static struct options options;
static struct failure failure;

/* LINE is split at blanks; SOURCE and MOUNTPOINT are added unless there is a "!" in front. */
static int parse(const char *line)
{
    static char copy[4096];
    char *argv[MAX_WORDS + 4] = {(char[]){"vhdxfs"}}, *rest = copy, *word;
    int argc = 1, err;

    snprintf(copy, sizeof(copy), "%s%s", *line == '!' ? line + 1 : line,
             *line == '!' ? "" : " /dev/null /mnt");
    while ((word = strsep(&rest, " ")))
        if (*word)
            argv[argc++] = word;
    failure = (struct failure){0};
    options_free(&options);
    err = options_parse(&options, argc, argv, &failure);
    return err;
}

static void accept(const char *line)
{
    int err = parse(line);

    if (err)
        fail_msg("'%s': %d: %s", line, err, failure.text);
}

static void refuse(const char *line, const char *word)
{
    assert_int_equal(parse(line), -EINVAL);
    assert_int_equal(failure.code, EXIT_USAGE);
    if (!strstr(failure.text, word))
        fail_msg("'%s': '%s' is not in: %s", line, word, failure.text);
}

static void test_defaults(void **state)
{
    (void)state;
    accept("");
    assert_int_equal(options.action, ACTION_SERVE);
    assert_string_equal(options.settings.source, "/dev/null");
    assert_string_equal(options.mountpoint, "/mnt");
    assert_string_equal(options.settings.name, "ext4.vhdx");
    assert_string_equal(options.settings.state, "/var/lib/vhdxfs");
    assert_int_equal(options.uid, getuid());
    assert_int_equal(options.gid, getgid());
    assert_int_equal(options.umask, 077);
    assert_int_equal(options.settings.block_size, 0);
    assert_false(options.foreground || options.debug || options.single_thread);
    assert_false(options.settings.read_only || options.settings.claim_at_mount ||
                 options.settings.reset_state);
    assert_false(options.settings.allow_errors || options.settings.no_discard ||
                 options.settings.no_firewall);
    assert_false(options.settings.disk || options.settings.reset_disk);
    assert_null(options.pidfile);
    assert_null(options.fsname);
    assert_null(options.settings.cow);
    assert_null(options.fuse); /* allow_other is never implied */
}

static void test_flags(void **state)
{
    (void)state;
    accept("-f");
    assert_true(options.foreground && !options.debug);
    accept("--foreground");
    assert_true(options.foreground);
    accept("-d");
    assert_true(options.foreground && options.debug);
    accept("--debug");
    assert_true(options.foreground && options.debug);
    accept("-s");
    assert_true(options.single_thread);
    accept("--single-thread");
    assert_true(options.single_thread);
    accept("-fs");
    assert_true(options.single_thread && options.foreground);
    accept("--reset-state");
    assert_true(options.settings.reset_state);
    accept("!-h");
    assert_int_equal(options.action, ACTION_HELP);
    accept("!--help");
    assert_int_equal(options.action, ACTION_HELP);
    accept("!--commit --help");
    assert_int_equal(options.action, ACTION_HELP);
    accept("!-V");
    assert_int_equal(options.action, ACTION_VERSION);
    accept("!--version");
    assert_int_equal(options.action, ACTION_VERSION);
    accept("!/dev/null /mnt -o ro -f"); /* mount(8) gives its options last */
    assert_true(options.settings.read_only && options.foreground);
    assert_string_equal(options.mountpoint, "/mnt");
}

static void test_values(void **state)
{
    cleanup_free char *cwd = getcwd(NULL, 0), *wanted = NULL;

    (void)state;
    accept("--block-size=2M");
    assert_int_equal(options.settings.block_size, 2 * MIB);
    accept("--block-size 256MiB");
    assert_int_equal(options.settings.block_size, 256 * MIB);
    accept("-o block_size=1048576");
    assert_int_equal(options.settings.block_size, MIB);
    accept("--pidfile=/run/x.pid");
    assert_string_equal(options.pidfile, "/run/x.pid");
    accept("--pidfile x.pid");
    assert_true(asprintf(&wanted, "%s/x.pid", cwd) > 0);
    assert_string_equal(options.pidfile, wanted);
    accept("-o uid=0,gid=65534,umask=0022,name=disk.vhdx,fsname=mine");
    assert_int_equal(options.uid, 0);
    assert_int_equal(options.gid, 65534);
    assert_int_equal(options.umask, 022);
    assert_string_equal(options.settings.name, "disk.vhdx");
    assert_string_equal(options.fsname, "mine");
    accept("-o uid=4294967294,umask=777");
    assert_int_equal(options.uid, 4294967294u);
    assert_int_equal(options.umask, 0777);
    accept("-o claim=mount");
    assert_true(options.settings.claim_at_mount);
    accept("-o claim=mount,claim=open");
    assert_false(options.settings.claim_at_mount);
    accept("-o state=/s,cow=/c");
    assert_string_equal(options.settings.state, "/s");
    assert_string_equal(options.settings.cow, "/c");
    accept("-o state=s -o cow=c"); /* the daemon leaves this directory */
    assert_memory_equal(options.settings.state, cwd, strlen(cwd));
    assert_memory_equal(options.settings.cow, cwd, strlen(cwd));
    accept("-o name=one -o name=two");
    assert_string_equal(options.settings.name, "two");
}

static void test_mount_options(void **state)
{
    (void)state;
    accept("-o ro,nodiscard,nofirewall,allow_errors");
    assert_true(options.settings.read_only && options.settings.no_discard &&
                options.settings.no_firewall && options.settings.allow_errors);
    accept("-o disk");
    assert_true(options.settings.disk && !options.settings.reset_disk);
    accept("-o disk --reset-disk");
    assert_true(options.settings.disk && options.settings.reset_disk);
    accept("-o disk,ro");
    accept("-o disk,cow=/c");
    accept("-o name=disk.img"); /* a name like others, while there is no disk */
    log_forget();
    accept("-o io_uring,io_uring=on -o io_uring=off,io_uring=auto");
    assert_int_equal(logged_count(), 4);
    assert_non_null(strstr(logged(), "io_uring has no effect any more"));
    accept("-o ro,nodiscard -o discard,rw"); /* the last word counts, as for mount(8) */
    assert_false(options.settings.read_only);
    assert_false(options.settings.no_discard);
    accept("-o rw,,defaults,_netdev,nofail,noauto,user,x-systemd.automount,x-a=b");
    assert_null(options.fuse);
    accept("-o allow_other");
    assert_string_equal(options.fuse, "allow_other");
    accept("-o noatime,rw,nosuid,nodev,noexec");
    assert_string_equal(options.fuse, "noatime,nosuid,nodev,noexec");
}

/* What is relative must be found again from the root directory, where the daemon lives. */
static void test_operands(void **state)
{
    cleanup_free char *cwd = getcwd(NULL, 0), *wanted = NULL;

    (void)state;
    accept("!UUID=6b29fc40-ca47-1067-b31d-00dd010662da /mnt");
    assert_string_equal(options.settings.source, "UUID=6b29fc40-ca47-1067-b31d-00dd010662da");
    accept("!LABEL=a /mnt");
    assert_string_equal(options.settings.source, "LABEL=a");
    accept("!PARTUUID=a /mnt");
    assert_string_equal(options.settings.source, "PARTUUID=a");
    accept("!PARTLABEL=a /mnt");
    assert_string_equal(options.settings.source, "PARTLABEL=a");
    accept("!/dev/disk/by-id/*-part3 /mnt");
    assert_string_equal(options.settings.source, "/dev/disk/by-id/*-part3");
    accept("!disk.img mnt");
    assert_true(asprintf(&wanted, "%s/disk.img", cwd) > 0);
    assert_string_equal(options.settings.source, wanted);
    accept("!-- -odd /mnt");
    assert_non_null(strstr(options.settings.source, "/-odd"));
    refuse("-o io_uring=yes", "'auto', 'on' or 'off'");
    refuse("!", "SOURCE and a MOUNTPOINT");
    refuse("!/dev/null", "MOUNTPOINT");
    refuse("!/dev/null /mnt /more", "too many");
    refuse("-f more", "too many");
}

static void test_bad_values(void **state)
{
    static const struct {
        const char *line, *word;
    } bad[] = {
        {"-x", "-x"},
        {"--nonsense", "--nonsense"},
        {"!/dev/null /mnt -o", "-o"},
        {"!/dev/null /mnt --block-size", "--block-size"},
        {"!/dev/null /mnt --options", "'--options' needs a value"},
        {"--debug=1", "--debug=1"},
        {"--block-size=0", "power of two"},
        {"--block-size=512K", "power of two"},
        {"--block-size=3M", "power of two"},
        {"--block-size=512M", "power of two"},
        {"--block-size=4294967296M", "power of two"},
        {"--block-size=", "power of two"},
        {"--block-size=-1M", "power of two"},
        {"--block-size=1Mx", "power of two"},
        {"-o block_size=2", "power of two"},
        {"-o block_size=2", "option block_size:"},
        {"--pidfile=", "pidfile"},
        {"-o uid=", "uid"},
        {"-o uid=-1", "uid"},
        {"-o uid=+1", "uid"},
        {"-o uid=root", "uid"},
        {"-o uid=4294967295", "uid"}, /* (uid_t)-1 means nobody at all */
        {"-o uid=99999999999999999999", "uid"},
        {"-o uid=1x", "uid"},
        {"-o gid=4294967296", "gid"},
        {"-o umask=", "umask"},
        {"-o umask=8", "umask"},
        {"-o umask=1000", "umask"},
        {"-o umask=rwx", "umask"},
        {"-o name=", "name"},
        {"-o name=.", "name"},
        {"-o name=..", "name"},
        {"-o name=a/b", "name"},
        {"-o claim=", "claim"},
        {"-o claim=never", "claim"},
        {"-o claim", "claim"},
        {"-o state=", "state"},
        {"-o cow=", "cow"},
        {"-o ro,cow=/c", "exclude"},
        {"-o ro --reset-state", "exclude"},
        {"--commit --discard", "exclude"},
        {"-o state", "state"},
        {"-o ro=1", "ro"},
        {"-o wibble", "wibble"},
        {"-o wibble=1", "wibble"},
        {"-o ro,wibble,rw", "wibble"},
        {"-o =", "unknown"},
        {"-o RO", "RO"},
        {"-o readonly", "readonly"},
    };
    char line[400] = "-o name=";

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        refuse(bad[i].line, bad[i].word);
    memset(line + 8, 'n', 255);
    accept(line);
    memset(line + 8, 'n', 256);
    refuse(line, "file name");
}

static void accept_word(const char *word, const char *value)
{
    char line[100];

    snprintf(line, sizeof(line), "-o %s%s%s", word, value ? "=" : "", value ? value : "");
    accept(line);
}

static void refuse_word(const char *word, const char *value)
{
    char line[100];

    snprintf(line, sizeof(line), "-o %s%s%s", word, value ? "=" : "", value ? value : "");
    refuse(line, word);
}

static const void *field(const struct option_entry *e)
{
    return (const char *)&options + e->field;
}

/* A good value does what the kind says; bad ones, and a value too many or too few, are refused. */
static void try_word(const struct option_entry *e, const char *word)
{
    switch (e->kind) {
    case OPTION_ON:
    case OPTION_OFF:
        accept_word(word, NULL);
        assert_int_equal(*(const bool *)field(e), e->kind == OPTION_ON);
        break;
    case OPTION_TEXT:
    case OPTION_NAME:
    case OPTION_PATH:
        accept_word(word, e->kind == OPTION_PATH ? "/x" : "x");
        assert_string_equal(*(char *const *)field(e), e->kind == OPTION_PATH ? "/x" : "x");
        if (e->kind != OPTION_TEXT)
            refuse_word(word, "");
        break;
    case OPTION_NUMBER:
        accept_word(word, "10");
        assert_int_equal(*(const unsigned *)field(e), e->base);
        refuse_word(word, "4294967295");
        break;
    case OPTION_SIZE:
        accept_word(word, "2M");
        assert_int_equal(*(const unsigned *)field(e), 2 * MIB);
        refuse_word(word, "3M");
        break;
    case OPTION_CHOICE:
        accept_word(word, strchr(e->value, '|') + 1);
        assert_true(*(const bool *)field(e));
        refuse_word(word, e->value + 1); /* all of them at once */
        break;
    case OPTION_FORWARDED:
        accept_word(word, NULL);
        assert_string_equal(options.fuse, word);
        break;
    case OPTION_IGNORED:
        accept_word(word, NULL);
        assert_null(options.fuse);
        break;
    case OPTION_OBSOLETE:
        accept_word(word, NULL);
        accept_word(word, strrchr(e->value, '|') + 1);
        refuse_word(word, "yes");
        return; /* with and without a value */
    default:
        fail_msg("-o %s: a kind that is no mount option's", word);
    }
    refuse_word(word, e->value ? NULL : "1");
}

static void test_mount_table(void **state)
{
    (void)state;
    for (const struct option_entry *e = mount_options; e->word; e++) {
        cleanup_free char *words = strdup(e->word);
        char *rest = words, *word;

        while ((word = strsep(&rest, "|")))
            try_word(e, word);
    }
}

/* What options_print_help() writes, to be freed. */
static char *get_help(void)
{
    cleanup_file FILE *file = tmpfile();
    int saved = dup(STDOUT_FILENO);
    char *text = calloc(1, 8192);
    ssize_t n;

    assert_non_null(file);
    assert_non_null(text);
    fflush(stdout);
    dup2(fileno(file), STDOUT_FILENO);
    options_print_help();
    fflush(stdout);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    n = pread(fileno(file), text, 8191, 0);
    assert_true(n >= 1 && n <= 8190);
    return text;
}

/* Adds the names that HELP lists to NAMES, each with a blank behind it; none may come twice. */
static void listed_names(char *help, char *names)
{
    char *line;

    while ((line = strsep(&help, "\n"))) {
        size_t indent = strspn(line, " ");
        char *column = line + indent, *end = strstr(column, "  "), *name, word[64];

        if (indent < 2 || indent > 6)
            continue; /* not the first line of an option */
        if (!end)
            fail_msg("no column: %s", line);
        *end = '\0';
        while ((name = strsep(&column, ", ")))
            if (*name == '-' || (*name >= 'a' && *name <= 'z')) {
                snprintf(word, sizeof(word), " %.*s ", (int)strcspn(name, "="), name);
                if (strstr(names, word))
                    fail_msg("twice:%s", word);
                strcat(names, word + 1);
            }
    }
}

/* --help has what the tables want listed, each name once and in their order, and nothing else. */
static void test_help(void **state)
{
    cleanup_free char *help = get_help();
    char listed[2048] = " ", wanted[2048] = " ";

    (void)state;
    listed_names(help, listed);
    for (const struct option_entry *e = command_options; e->word; e++) {
        if (e->help && e->letter)
            sprintf(wanted + strlen(wanted), "-%c ", e->letter);
        if (e->help && *e->word)
            sprintf(wanted + strlen(wanted), "--%s ", e->word);
    }
    for (const struct option_entry *e = mount_options; e->word; e++)
        if (e->help)
            sprintf(wanted + strlen(wanted), "%s ", e->word);
    assert_string_equal(listed, wanted);
}

static int free_options(void **state)
{
    (void)state;
    options_free(&options);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),    cmocka_unit_test(test_flags),
        cmocka_unit_test(test_values),      cmocka_unit_test(test_mount_options),
        cmocka_unit_test(test_operands),    cmocka_unit_test(test_bad_values),
        cmocka_unit_test(test_mount_table), cmocka_unit_test(test_help),
    };

    return cmocka_run_group_tests_name("options", tests, NULL, free_options);
}
