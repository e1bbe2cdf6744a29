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

static const char help[] =
    "Usage: vhdxfs [options] SOURCE MOUNTPOINT\n"
    "       vhdxfs --commit|--discard -o cow=FILE SOURCE\n"
    "Shows a partition as a fixed VHDX file, without copying it.\n"
    "\n"
    "SOURCE      a block device, UUID=..., LABEL=..., PARTUUID=..., PARTLABEL=...,\n"
    "            a pattern that matches exactly one device, or a raw image file\n"
    "MOUNTPOINT  an empty directory (the file in it is " DEFAULT_EXPORT_NAME "),\n"
    "            or a regular file, which the VHDX then covers\n"
    "\n"
    "Options:\n"
    "  -f, --foreground         stay in the foreground, log to standard error\n"
    "  -d, --debug              log every request; implies -f\n"
    "  -s, --single-thread      serve one request at a time\n"
    "      --block-size=SIZE    VHDX block size, a power of two from 1M to 256M\n"
    "      --pidfile=FILE       write the process id to FILE once the file is served\n"
    "      --reset-state        set the state aside, damaged or not, and make a new one\n"
    "      --reset-disk         with -o disk: set its NTFS volume aside and build a new one\n"
    "      --commit             write what is in the overlay cow=FILE to SOURCE, and remove it\n"
    "      --discard            remove the overlay cow=FILE of SOURCE\n"
    "  -o OPTION[,OPTION...]    mount options, see below\n"
    "  -h, --help               print this and exit\n"
    "  -V, --version            print the version and exit\n"
    "\n"
    "Mount options:\n"
    "  ro                  write nothing anywhere\n"
    "  claim=open|mount    take the device while the VHDX is open (default), or for\n"
    "                      as long as it is mounted\n"
    "  state=DIR           where the VHDX metadata is kept (default " DEFAULT_STATE_DIRECTORY ")\n"
    "  disk                show " DISK_NAME ", too: a disk with an NTFS volume that holds\n"
    "                      the VHDX\n"
    "  cow=FILE            keep all writes in the overlay FILE, and SOURCE as it is\n"
    "  name=NAME           name of the file (default " DEFAULT_EXPORT_NAME ")\n"
    "  uid=N, gid=N        owner of the file (default: whoever mounts it)\n"
    "  umask=OCTAL         permissions to take away (default 077)\n"
    "  allow_other         let other users in, as far as the permissions go\n"
    "  nodiscard           write zeros where a client trims, never discard\n"
    "  nofirewall          let clients overwrite the boot block and the superblock\n"
    "  block_size=SIZE     the same as --block-size, for fstab\n"
    "  allow_errors        serve an ext4 that is marked as having errors\n"
    "  fsname=NAME         source shown in the mount table (default: the device)\n"
    "and the generic options of mount(8).\n";

void options_print_help(void)
{
    fputs(help, stdout);
}

/* Options of mount(8) and fstab that mean nothing here, or that libfuse should see. */
static const char *const ignored[] = {
    "defaults", "auto",   "noauto", "nofail",        "_netdev",
    "user",     "nouser", "users",  "owner",         "group",
    "exec",     "suid",   "dev",    "nostrictatime", "default_permissions"};
static const char *const forwarded[] = {
    "noexec",      "nosuid",   "nodev",      "sync",         "async",     "dirsync",
    "noatime",     "atime",    "diratime",   "nodiratime",   "relatime",  "norelatime",
    "strictatime", "lazytime", "nolazytime", "auto_unmount", "allow_root"};

static bool listed(const char *word, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!strcmp(word, list[i]))
            return true;
    return false;
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

static int set_number(unsigned *field, const char *option, const char *value, int base,
                      unsigned max, struct failure *failure)
{
    unsigned long v;
    char *end;

    errno = 0;
    v = strtoul(value, &end, base);
    if (!isdigit((unsigned char)*value) || *end || errno || v > max)
        return bad_value(failure, option, value,
                         base == 8 ? "an octal number up to 777" : "a number in range");
    *field = (unsigned)v;
    return 0;
}

static int set_block_size(struct options *o, const char *value, struct failure *failure)
{
    uint64_t size;

    if (parse_size(value, &size) < 0 || size < MIB || size > 256 * MIB || !is_power_of_two(size))
        return bad_value(failure, "block-size", value, "a power of two from 1M to 256M");
    o->settings.block_size = (uint32_t)size;
    return 0;
}

static int set_name(struct options *o, const char *value, struct failure *failure)
{
    if (!*value || strlen(value) > 255 || strchr(value, '/') || !strcmp(value, ".") ||
        !strcmp(value, ".."))
        return bad_value(failure, "name", value, "a file name");
    return set_text(&o->settings.name, value);
}

static int set_claim(struct options *o, const char *value, struct failure *failure)
{
    o->settings.claim_at_mount = !strcmp(value, "mount");
    if (!o->settings.claim_at_mount && strcmp(value, "open") != 0)
        return bad_value(failure, "claim", value, "'open' or 'mount'");
    return 0;
}

/* VALUE is NULL where there is none. */
static int ignore_io_uring(const char *value, struct failure *failure)
{
    static const char *const words[] = {"auto", "on", "off"};

    if (value && !listed(value, words, ARRAY_SIZE(words)))
        return bad_value(failure, "io_uring", value, "'auto', 'on' or 'off'");
    log_warning("option io_uring has no effect any more; a later release will refuse it");
    return 0;
}

static int set_absolute(char **field, const char *option, const char *value,
                        struct failure *failure)
{
    cleanup_free char *cwd = NULL, *path = NULL;

    if (!*value)
        return bad_value(failure, option, value, "a path");
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

static int parse_flag(struct options *o, const char *word, struct failure *failure)
{
    const struct {
        const char *word;
        bool *flag;
    } flags[] = {
        {"ro", &o->settings.read_only},
        {"nodiscard", &o->settings.no_discard},
        {"nofirewall", &o->settings.no_firewall},
        {"allow_errors", &o->settings.allow_errors},
        {"disk", &o->settings.disk},
    };

    for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
        if (!strcmp(word, flags[i].word)) {
            *flags[i].flag = true;
            return 0;
        }
    if (!strcmp(word, "discard")) {
        o->settings.no_discard = false;
        return 0;
    }
    if (!strcmp(word, "rw")) {
        o->settings.read_only = false;
        return 0;
    }
    if (!strcmp(word, "io_uring"))
        return ignore_io_uring(NULL, failure);
    if (!strcmp(word, "allow_other") || listed(word, forwarded, ARRAY_SIZE(forwarded)))
        return forward(o, word);
    if (listed(word, ignored, ARRAY_SIZE(ignored)) || !strncmp(word, "x-", 2))
        return 0;
    return failed(failure, EXIT_USAGE, -EINVAL, "unknown mount option '%s'; see vhdxfs --help",
                  word);
}

static int parse_mount_option(struct options *o, char *word, struct failure *failure)
{
    char *value = strchr(word, '=');

    if (!value || !strncmp(word, "x-", 2))
        return *word ? parse_flag(o, word, failure) : 0;
    *value++ = '\0';
    if (!strcmp(word, "uid"))
        return set_number(&o->uid, word, value, 10, UINT32_MAX - 1, failure);
    if (!strcmp(word, "gid"))
        return set_number(&o->gid, word, value, 10, UINT32_MAX - 1, failure);
    if (!strcmp(word, "umask"))
        return set_number(&o->umask, word, value, 8, 0777, failure);
    if (!strcmp(word, "name"))
        return set_name(o, value, failure);
    if (!strcmp(word, "claim"))
        return set_claim(o, value, failure);
    if (!strcmp(word, "io_uring"))
        return ignore_io_uring(value, failure);
    if (!strcmp(word, "fsname"))
        return set_text(&o->fsname, value);
    if (!strcmp(word, "state"))
        return set_absolute(&o->settings.state, word, value, failure);
    if (!strcmp(word, "cow"))
        return set_absolute(&o->settings.cow, word, value, failure);
    if (!strcmp(word, "block_size"))
        return set_block_size(o, value, failure);
    return failed(failure, EXIT_USAGE, -EINVAL, "unknown mount option '%s'; see vhdxfs --help",
                  word);
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

enum {
    OPT_BLOCK_SIZE = 256,
    OPT_PIDFILE,
    OPT_RESET_STATE,
    OPT_RESET_DISK,
    OPT_COMMIT,
    OPT_DISCARD
};

static const struct option long_options[] = {
    {"foreground", no_argument, NULL, 'f'},
    {"debug", no_argument, NULL, 'd'},
    {"single-thread", no_argument, NULL, 's'},
    {"options", required_argument, NULL, 'o'},
    {"block-size", required_argument, NULL, OPT_BLOCK_SIZE},
    {"pidfile", required_argument, NULL, OPT_PIDFILE},
    {"reset-state", no_argument, NULL, OPT_RESET_STATE},
    {"reset-disk", no_argument, NULL, OPT_RESET_DISK},
    {"commit", no_argument, NULL, OPT_COMMIT},
    {"discard", no_argument, NULL, OPT_DISCARD},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

/* getopt(3) has gone past a long option, but perhaps not past a word of short ones. */
static int bad_option(int letter, char **argv, struct failure *failure)
{
    char letters[3] = {'-', (char)optopt, '\0'};
    const char *word = optopt > 0 && optopt < OPT_BLOCK_SIZE ? letters : argv[optind - 1];

    if (letter == ':')
        return failed(failure, EXIT_USAGE, -EINVAL, "option '%s' needs a value; see vhdxfs --help",
                      word);
    return failed(failure, EXIT_USAGE, -EINVAL, "unknown option '%s'; see vhdxfs --help", word);
}

static int set_action(struct options *o, enum action action, struct failure *failure)
{
    if (o->action != ACTION_SERVE && o->action != action)
        return failed(failure, EXIT_USAGE, -EINVAL, "--commit and --discard exclude each other");
    o->action = action;
    return 0;
}

static int parse_option(struct options *o, int letter, char **argv, struct failure *failure)
{
    switch (letter) {
    case 'd':
        o->debug = true;
        o->foreground = true;
        return 0;
    case 'f':
        o->foreground = true;
        return 0;
    case 's':
        o->single_thread = true;
        return 0;
    case 'o':
        return parse_mount_options(o, optarg, failure);
    case OPT_BLOCK_SIZE:
        return set_block_size(o, optarg, failure);
    case OPT_PIDFILE:
        return set_absolute(&o->pidfile, "pidfile", optarg, failure);
    case OPT_RESET_STATE:
        o->settings.reset_state = true;
        return 0;
    case OPT_RESET_DISK:
        o->settings.reset_disk = true;
        return 0;
    case OPT_COMMIT:
        return set_action(o, ACTION_COMMIT, failure);
    case OPT_DISCARD:
        return set_action(o, ACTION_DISCARD, failure);
    case 'h':
        o->action = ACTION_HELP;
        return 0;
    case 'V':
        o->action = ACTION_VERSION;
        return 0;
    default:
        return bad_option(letter, argv, failure);
    }
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
    err = source_is_tag(operands[0])
              ? set_text(&o->settings.source, operands[0])
              : set_absolute(&o->settings.source, "SOURCE", operands[0], failure);
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

static bool is_over(const struct options *o)
{
    return o->action == ACTION_HELP || o->action == ACTION_VERSION;
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
    int letter, err = set_defaults(o);

    opterr = 0;
    optind = 0; /* glibc: start anew */
    while (!err && !is_over(o) &&
           (letter = getopt_long(argc, argv, ":fdso:hV", long_options, NULL)) != -1)
        err = parse_option(o, letter, argv, failure);
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
