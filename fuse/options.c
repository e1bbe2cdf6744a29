/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fuse/options.h"

#include "common/cleanup.h"
#include "common/log.h"
#include "common/units.h"
#include "device/source.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIELD(member) .field = offsetof(struct options, member)
#define BLOCK_SIZE                                                                                 \
    OPTION_SIZE, FIELD(settings.block_size), "=SIZE", "a power of two from 1M to 256M",            \
        .min = MIB, .max = 256 * MIB
#define ID(member)                                                                                 \
    OPTION_NUMBER, FIELD(member), "=N", "a number in range", .base = 10, .max = UINT32_MAX - 1
#define INDENT "\n                      "

const struct option_entry command_options[] = {
    {"foreground", "stay in the foreground, log to standard error", OPTION_ON, FIELD(foreground),
     .letter = 'f'},
    {"debug", "log every request; implies -f", OPTION_ON, FIELD(debug), .letter = 'd'},
    {"single-thread", "serve one request at a time", OPTION_ON, FIELD(single_thread),
     .letter = 's'},
    {"block-size", "VHDX block size, a power of two from 1M to 256M", BLOCK_SIZE},
    {"pidfile", "write the process id to FILE once the file is served", OPTION_PATH, FIELD(pidfile),
     "=FILE", "a path"},
    {"reset-state", "set the state aside, damaged or not, and make a new one", OPTION_ON,
     FIELD(settings.reset_state)},
    {"reset-disk", "with -o disk: set its NTFS volume aside and build a new one", OPTION_ON,
     FIELD(settings.reset_disk)},
    {"commit", "write what is in the overlay cow=FILE to SOURCE, and remove it", OPTION_ACTION,
     .action = ACTION_COMMIT},
    {"discard", "remove the overlay cow=FILE of SOURCE", OPTION_ACTION, .action = ACTION_DISCARD},
    {"", "mount options, see below", OPTION_LIST, .value = " OPTION[,OPTION...]", .letter = 'o'},
    {"options", NULL, OPTION_LIST, .value = "=OPTION[,OPTION...]"},
    {"help", "print this and exit", OPTION_ACTION, .action = ACTION_HELP, .letter = 'h'},
    {"version", "print the version and exit", OPTION_ACTION, .action = ACTION_VERSION,
     .letter = 'V'},
    {.word = NULL},
};

const struct option_entry mount_options[] = {
    {"ro", "write nothing anywhere", OPTION_ON, FIELD(settings.read_only)},
    {"rw", NULL, OPTION_OFF, FIELD(settings.read_only)},
    {"claim",
     "take the device while the VHDX is open (default), or for" INDENT "as long as it is mounted",
     OPTION_CHOICE, FIELD(settings.claim_at_mount), "=open|mount", "'open' or 'mount'"},
    {"state", "where the VHDX metadata is kept (default " DEFAULT_STATE_DIRECTORY ")", OPTION_PATH,
     FIELD(settings.state), "=DIR", "a path"},
    {"disk", "show " DISK_NAME ", too: a disk with an NTFS volume that holds" INDENT "the VHDX",
     OPTION_ON, FIELD(settings.disk)},
    {"cow", "keep all writes in the overlay FILE, and SOURCE as it is", OPTION_PATH,
     FIELD(settings.cow), "=FILE", "a path"},
    {"name", "name of the file (default " DEFAULT_EXPORT_NAME ")", OPTION_NAME,
     FIELD(settings.name), "=NAME", "a file name"},
    {"uid", "", ID(uid)},
    {"gid", "owner of the file (default: whoever mounts it)", ID(gid)},
    {"umask", "permissions to take away (default 077)", OPTION_NUMBER, FIELD(umask), "=OCTAL",
     "an octal number up to 777", .base = 8, .max = 0777},
    {"allow_other", "let other users in, as far as the permissions go", .kind = OPTION_FORWARDED},
    {"nodiscard", "write zeros where a client trims, never discard", OPTION_ON,
     FIELD(settings.no_discard)},
    {"discard", NULL, OPTION_OFF, FIELD(settings.no_discard)},
    {"nofirewall", "let clients overwrite the boot block and the superblock", OPTION_ON,
     FIELD(settings.no_firewall)},
    {"block_size", "the same as --block-size, for fstab", BLOCK_SIZE},
    {"allow_errors", "serve an ext4 that has errors, or is larger than SOURCE", OPTION_ON,
     FIELD(settings.allow_errors)},
    {"fsname", "source shown in the mount table (default: the device)", OPTION_TEXT, FIELD(fsname),
     .value = "=NAME"},
    {"io_uring", NULL, OPTION_OBSOLETE, .value = "=auto|on|off", .wanted = "'auto', 'on' or 'off'"},
    {"defaults|auto|noauto|nofail|_netdev|user|nouser|users|owner|group|exec|suid|dev|"
     "nostrictatime|default_permissions",
     NULL, .kind = OPTION_IGNORED},
    {"noexec|nosuid|nodev|sync|async|dirsync|noatime|atime|diratime|nodiratime|relatime|"
     "norelatime|strictatime|lazytime|nolazytime|auto_unmount|allow_root",
     NULL, .kind = OPTION_FORWARDED},
    {.word = NULL},
};

/* DASHES are in front of a word without a letter; the help begins in column WIDTH. */
static void print_options(const struct option_entry *e, const char *dashes, int width)
{
    int used = 0;

    for (; e->word; e++) {
        if (!e->help)
            continue;
        used += printf("%s", used ? ", " : "  ");
        if (e->letter)
            used += printf("-%c%s", e->letter, *e->word ? ", --" : "");
        else
            used += printf("%s", dashes);
        used += printf("%s%s", e->word, e->value ? e->value : "");
        if (!*e->help)
            continue;
        printf("%*s%s\n", width - used, "", e->help);
        used = 0;
    }
}

void options_print_help(void)
{
    fputs("Usage: vhdxfs [options] SOURCE MOUNTPOINT\n"
          "       vhdxfs --commit|--discard -o cow=FILE SOURCE\n"
          "Shows a partition as a fixed VHDX file, without copying it.\n"
          "\n"
          "SOURCE      a block device, UUID=..., LABEL=..., PARTUUID=..., PARTLABEL=...,\n"
          "            a pattern that matches exactly one device, or a raw image file\n"
          "MOUNTPOINT  an empty directory (the file in it is " DEFAULT_EXPORT_NAME "),\n"
          "            or a regular file, which the VHDX then covers\n"
          "\n"
          "Options:\n",
          stdout);
    print_options(command_options, "    --", 27);
    fputs("\nMount options:\n", stdout);
    print_options(mount_options, "", 22);
    fputs("and the generic options of mount(8).\n", stdout);
}

static int bad_value(struct failure *failure, const char *option, const char *value,
                     const char *wanted)
{
    return failed(failure, EXIT_USAGE, -EINVAL, "option %s: '%s' is not %s", option, value, wanted);
}

static int set_text(char **field, const char *value)
{
    char *copy = strdup(value);

    if (!copy)
        return -ENOMEM;
    free(*field);
    *field = copy;
    return 0;
}

static int set_number(unsigned *field, const struct option_entry *e, const char *value)
{
    unsigned long v;
    char *end;

    errno = 0;
    v = strtoul(value, &end, e->base);
    if (!isdigit((unsigned char)*value) || *end || errno || v < e->min || v > e->max)
        return -EINVAL;
    *field = (unsigned)v;
    return 0;
}

static int set_size(unsigned *field, const struct option_entry *e, const char *value)
{
    uint64_t size;

    if (parse_size(value, &size) < 0 || size < e->min || size > e->max || !is_power_of_two(size))
        return -EINVAL;
    *field = (unsigned)size;
    return 0;
}

static int set_name(char **field, const char *value)
{
    if (!*value || strlen(value) > 255 || strchr(value, '/') || !strcmp(value, ".") ||
        !strcmp(value, ".."))
        return -EINVAL;
    return set_text(field, value);
}

/* Which of the words in LIST, "open|mount", WORD is: from 0, or -EINVAL. */
static int find_word(const char *list, const char *word)
{
    for (int i = 0;; i++) {
        size_t length = strcspn(list, "|");

        if (length == strlen(word) && !memcmp(list, word, length))
            return i;
        if (!list[length])
            return -EINVAL;
        list += length + 1;
    }
}

static int set_choice(bool *field, const struct option_entry *e, const char *value)
{
    int which = find_word(e->value + 1, value);

    if (which < 0)
        return -EINVAL;
    *field = which == 1;
    return 0;
}

static int set_path(char **field, const char *value)
{
    cleanup_free char *cwd = NULL, *path = NULL;

    if (!*value)
        return -EINVAL;
    if (*value == '/')
        return set_text(field, value);
    cwd = getcwd(NULL, 0); /* the daemon will leave this directory */
    if (!cwd || asprintf(&path, "%s/%s", cwd, value) < 0)
        return -ENOMEM;
    return set_text(field, path);
}

static int forward(struct options *o, const char *word)
{
    char *joined;

    if (asprintf(&joined, "%s%s%s", o->fuse ? o->fuse : "", o->fuse ? "," : "", word) < 0)
        return -ENOMEM;
    free(o->fuse);
    o->fuse = joined;
    return 0;
}

static bool is_over(const struct options *o)
{
    return o->action == ACTION_HELP || o->action == ACTION_VERSION;
}

static int set_action(struct options *o, enum action action, struct failure *failure)
{
    bool other = o->action != ACTION_SERVE && o->action != action;

    o->action = action;
    return other && !is_over(o)
               ? failed(failure, EXIT_USAGE, -EINVAL, "--commit and --discard exclude each other")
               : 0;
}

static int parse_mount_options(struct options *o, const char *list, struct failure *failure);

static int apply(struct options *o, const struct option_entry *e, const char *word,
                 const char *value, struct failure *failure)
{
    void *field = (char *)o + e->field;

    switch (e->kind) {
    case OPTION_ON:
    case OPTION_OFF:
        *(bool *)field = e->kind == OPTION_ON;
        break;
    case OPTION_TEXT:
        return set_text(field, value);
    case OPTION_NAME:
        return set_name(field, value);
    case OPTION_PATH:
        return set_path(field, value);
    case OPTION_NUMBER:
        return set_number(field, e, value);
    case OPTION_SIZE:
        return set_size(field, e, value);
    case OPTION_CHOICE:
        return set_choice(field, e, value);
    case OPTION_ACTION:
        return set_action(o, e->action, failure);
    case OPTION_LIST:
        return parse_mount_options(o, value, failure);
    case OPTION_FORWARDED:
        return forward(o, word);
    case OPTION_IGNORED:
        break;
    case OPTION_OBSOLETE:
        log_warning("option %s has no effect any more; a later release will refuse it", word);
        return value && find_word(e->value + 1, value) < 0 ? -EINVAL : 0;
    }
    return 0;
}

/* WORD is E's, or one of them; VALUE is NULL where there is none. */
static int set_option(struct options *o, const struct option_entry *e, const char *word,
                      const char *value, struct failure *failure)
{
    int err = apply(o, e, word, value, failure);

    return err == -EINVAL && e->wanted ? bad_value(failure, word, value, e->wanted) : err;
}

static int parse_mount_option(struct options *o, char *word, struct failure *failure)
{
    const struct option_entry *e = mount_options;
    char *value = strchr(word, '=');

    if (!*word || !strncmp(word, "x-", 2))
        return 0;
    if (value)
        *value++ = '\0';
    while (e->word && find_word(e->word, word) < 0)
        e++;
    if (!e->word || (!value != !e->value && e->kind != OPTION_OBSOLETE))
        return failed(failure, EXIT_USAGE, -EINVAL, "unknown mount option '%s'; see vhdxfs --help",
                      word);
    return set_option(o, e, word, value, failure);
}

static int parse_mount_options(struct options *o, const char *list, struct failure *failure)
{
    cleanup_free char *copy = strdup(list);
    char *rest = copy, *word;
    int err = copy ? 0 : -ENOMEM;

    while (!err && (word = strsep(&rest, ",")))
        err = parse_mount_option(o, word, failure);
    return err;
}

#define COMMAND_OPTIONS (ARRAY_SIZE(command_options) - 1)
#define LONG_OPTION     256 /* and its place in the table */

/* For getopt_long(3). There is room for two letters and one word an option, and for the end. */
static void make_getopt(char *letters, struct option *words)
{
    *letters++ = ':';
    for (size_t i = 0; i < COMMAND_OPTIONS; i++) {
        const struct option_entry *e = &command_options[i];

        if (*e->word)
            *words++ = (struct option){e->word, e->value ? required_argument : no_argument, NULL,
                                       LONG_OPTION + (int)i};
        if (e->letter)
            *letters++ = e->letter;
        if (e->letter && e->value)
            *letters++ = ':';
    }
    *letters = '\0';
    *words = (struct option){0};
}

/* getopt(3) has gone past a long option, but perhaps not past a word of short ones. */
static int bad_option(int letter, char **argv, struct failure *failure)
{
    char letters[3] = {'-', (char)optopt, '\0'};
    const char *word = optopt > 0 && optopt < LONG_OPTION ? letters : argv[optind - 1];

    if (letter == ':')
        return failed(failure, EXIT_USAGE, -EINVAL, "option '%s' needs a value; see vhdxfs --help",
                      word);
    return failed(failure, EXIT_USAGE, -EINVAL, "unknown option '%s'; see vhdxfs --help", word);
}

static int parse_option(struct options *o, int letter, char **argv, struct failure *failure)
{
    for (size_t i = 0; i < COMMAND_OPTIONS; i++) {
        const struct option_entry *e = &command_options[i];

        if (letter == e->letter || letter == LONG_OPTION + (int)i)
            return set_option(o, e, e->word, optarg, failure);
    }
    return bad_option(letter, argv, failure);
}

static int parse_operands(struct options *o, int count, char **operands, struct failure *failure)
{
    bool mounts = o->action == ACTION_SERVE;
    int err;

    if (!mounts && count != 1)
        return failed(failure, EXIT_USAGE, -EINVAL,
                      "%s; usage: vhdxfs --commit|--discard -o cow=FILE SOURCE",
                      count < 1 ? "a SOURCE is needed" : "too many arguments");
    if (mounts && count != 2)
        return failed(failure, EXIT_USAGE, -EINVAL, "%s; usage: vhdxfs [options] SOURCE MOUNTPOINT",
                      count < 1   ? "a SOURCE and a MOUNTPOINT are needed"
                      : count < 2 ? "a MOUNTPOINT is needed"
                                  : "too many arguments");
    /* A tag stays as it is; a path must be found again when the daemon lives elsewhere. */
    err = source_is_tag(operands[0]) ? set_text(&o->settings.source, operands[0])
                                     : set_path(&o->settings.source, operands[0]);
    if (err == -EINVAL)
        return bad_value(failure, "SOURCE", operands[0], "a path");
    return err || !mounts ? err : set_text(&o->mountpoint, operands[1]);
}

static int check_combination(const struct options *o, struct failure *failure)
{
    if (o->settings.reset_state && o->settings.read_only)
        return failed(failure, EXIT_USAGE, -EINVAL,
                      "--reset-state and -o ro exclude each other: with ro, nothing is written");
    if (o->settings.reset_disk && (!o->settings.disk || o->settings.read_only || o->settings.cow))
        return failed(failure, EXIT_USAGE, -EINVAL,
                      "--reset-disk needs -o disk, and neither ro nor cow (with those, no volume "
                      "is kept)");
    if (o->settings.disk && !strcmp(o->settings.name, DISK_NAME))
        return failed(failure, EXIT_USAGE, -EINVAL,
                      "option name: '" DISK_NAME "' is the name of the disk that -o disk shows");
    if (o->settings.cow && o->settings.read_only)
        return failed(failure, EXIT_USAGE, -EINVAL,
                      "options ro and cow exclude each other: with cow, writes go to the overlay");
    if (!o->settings.cow && o->action != ACTION_SERVE)
        return failed(failure, EXIT_USAGE, -EINVAL,
                      "--commit and --discard need the overlay: -o cow=FILE");
    return 0;
}

static int set_defaults(struct options *o)
{
    int err;

    *o = (struct options){.uid = getuid(), .gid = getgid(), .umask = 077};
    err = set_text(&o->settings.name, DEFAULT_EXPORT_NAME);
    return err ? err : set_text(&o->settings.state, DEFAULT_STATE_DIRECTORY);
}

int options_parse(struct options *o, int argc, char **argv, struct failure *failure)
{
    char letters[2 * ARRAY_SIZE(command_options)];
    struct option words[ARRAY_SIZE(command_options)];
    int letter, err = set_defaults(o);

    make_getopt(letters, words);
    opterr = 0;
    optind = 0; /* glibc: start anew */
    while (!err && !is_over(o) && (letter = getopt_long(argc, argv, letters, words, NULL)) != -1)
        err = parse_option(o, letter, argv, failure);
    if (o->debug)
        o->foreground = true;
    if (!err && !is_over(o))
        err = parse_operands(o, argc - optind, argv + optind, failure);
    if (!err && !is_over(o))
        err = check_combination(o, failure);
    if (err == -ENOMEM)
        failed(failure, EXIT_IO_ERROR, err, "out of memory");
    return err;
}

void options_free(struct options *o)
{
    free(o->settings.source);
    free(o->mountpoint);
    free(o->settings.name);
    free(o->settings.state);
    free(o->pidfile);
    free(o->fsname);
    free(o->settings.cow);
    free(o->fuse);
}
