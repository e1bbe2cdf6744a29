/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by the subcommands of vhdxgen: one file each, named cmd_*.c. */
#ifndef VHDXGEN_CLI_H
#define VHDXGEN_CLI_H

#include "common/failure.h"
#include "vhdx/check.h"
#include "vhdx/io.h"

#include <json.h>
#include <stdbool.h>
#include <stdio.h>

/* Prints "vhdxgen: " and the message to stderr. Returns STATUS. */
int complain(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Each runs its subcommand; ARGV[0] is its name. Returns the exit status. */
int cmd_check(int argc, char **argv);
int cmd_create(int argc, char **argv);
int cmd_dump(int argc, char **argv);
int cmd_info(int argc, char **argv);
int cmd_map(int argc, char **argv);
int cmd_replay(int argc, char **argv);

/* --help and --version of a subcommand; GETOPT_COMMON goes into its table of long options. */
#define GETOPT_COMMON                                                                              \
    {"help", no_argument, NULL, 'h'},                                                              \
    {                                                                                              \
        "version", no_argument, NULL, 'V'                                                          \
    }
int print_help(const char *text);
int print_version(void);
int usage_error(const char *command);

/* --output=text or json; false for another word. */
bool parse_output(const char *word, bool *json);

/* A file opened for reading (or for both), as the library reads it. */
struct input {
    int fd;
    struct vhdx_io io;
};

/* Opens PATH, a regular file or a block device. EXIT_FINE, or another status after complaining. */
int open_input(const char *path, int flags, struct input *input);
void close_input(struct input *input);

/* Checks INPUT with a progress bar. Complains and returns EXIT_IO_ERROR, or EXIT_FINE. */
int check_input(const char *path, const struct input *input, struct vhdx_report *report,
                struct vhdx_image *image);

/* JSON without boilerplate: each adds a member to OBJECT. */
void add_text(json_object *object, const char *key, const char *value);
void add_number(json_object *object, const char *key, uint64_t value);
void add_flag(json_object *object, const char *key, bool value);
void add_guid(json_object *object, const char *key, const struct guid *guid);
/* Prints OBJECT and frees it; EXIT_IO_ERROR when stdout fails. */
int print_json(json_object *object);

/* Flushes stdout: EXIT_IO_ERROR and a complaint when what was printed did not arrive. */
int finish_output(int status);

#endif
