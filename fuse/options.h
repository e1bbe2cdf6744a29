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

#endif
