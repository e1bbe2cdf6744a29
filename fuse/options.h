/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line, and nothing but the command line: no device is looked at here. */
#ifndef FUSE_OPTIONS_H
#define FUSE_OPTIONS_H

#include "common/failure.h"
#include "export/export.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define DEFAULT_STATE_DIRECTORY "/var/lib/vhdxfs"
#define DEFAULT_EXPORT_NAME     "ext4.vhdx"

enum action {
    ACTION_SERVE,
    ACTION_COMMIT,  /* the overlay cow into the partition */
    ACTION_DISCARD, /* the overlay cow */
    ACTION_HELP,
    ACTION_VERSION,
};

struct options {
    enum action action;
    struct export_settings settings; /* its texts are ours */
    char *mountpoint;                /* NULL unless it is to be served */
    bool foreground;
    bool debug;
    bool single_thread;
    uid_t uid;
    gid_t gid;
    mode_t umask;
    char *pidfile; /* or NULL */
    char *fsname;  /* or NULL: the device's path */
    char *fuse;    /* options handed to libfuse, comma-separated, or NULL */
};

/*
 * Fills OPTIONS. Returns 0, or -EINVAL or -ENOMEM with FAILURE filled.
 * options_free() releases what it holds, also after an error.
 */
int options_parse(struct options *options, int argc, char **argv, struct failure *failure);
void options_free(struct options *options);

void options_print_help(void);

/*
 * The options are two tables, which the parser and --help read, and by way of --help the completion
 * for bash. An entry says what its option does, and to which member of struct options.
 */
enum option_kind {
    OPTION_ON,        /* makes a bool true */
    OPTION_OFF,       /* makes it false */
    OPTION_TEXT,      /* a char *: the value as it is */
    OPTION_NAME,      /* a char *: the name of a file */
    OPTION_PATH,      /* a char *: made absolute */
    OPTION_NUMBER,    /* an unsigned: a number to BASE, from MIN to MAX */
    OPTION_SIZE,      /* an unsigned, in bytes: a power of two from MIN to MAX */
    OPTION_CHOICE,    /* a bool: whether it is the second of two words */
    OPTION_ACTION,    /* what is to be done: ACTION */
    OPTION_LIST,      /* -o itself */
    OPTION_FORWARDED, /* goes to libfuse and the kernel */
    OPTION_IGNORED,
    OPTION_OBSOLETE, /* ignored with a warning, also without a value */
};

struct option_entry {
    const char *word; /* or several that do the same: "auto|noauto" */
    const char *help; /* NULL: --help does not list it; "": it shares the line of the next one */
    enum option_kind kind;
    size_t field;       /* its offset in struct options */
    const char *value;  /* as --help shows it: "=DIR", "=open|mount"; NULL: it takes none */
    const char *wanted; /* what a value must be, for the message about one that is not */
    int base;
    unsigned min, max;
    enum action action;
    char letter; /* 0: it has none */
};

/* Both end with a NULL word. -o ignores, too, what begins with "x-". */
extern const struct option_entry command_options[], mount_options[];

#endif
