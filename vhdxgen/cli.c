/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <config.h>

#include "vhdxgen/cli.h"

#include "common/cleanup.h"
#include "common/io.h"
#include "common/progress.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int complain(int status, const char *format, ...)
{
    va_list args;

    fflush(stdout);
    fputs("vhdxgen: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return status;
}

int print_help(const char *text)
{
    fputs(text, stdout);
    return finish_output(EXIT_FINE);
}

int print_version(void)
{
    printf("vhdxgen (%s) %s\n", PACKAGE_NAME, PACKAGE_VERSION);
    return finish_output(EXIT_FINE);
}

int usage_error(const char *command)
{
    fprintf(stderr, "Try 'vhdxgen %s --help'.\n", command);
    return EXIT_USAGE;
}

bool parse_output(const char *word, bool *json)
{
    *json = strcmp(word, "json") == 0;
    if (*json || strcmp(word, "text") == 0 || strcmp(word, "human") == 0)
        return true;
    complain(EXIT_USAGE, "--output is text or json, not \"%s\"", word);
    return false;
}

static int read_fd(void *opaque, void *data, size_t length, uint64_t offset)
{
    int err = pread_full(*(int *)opaque, data, length, offset);

    return err == -ENODATA ? -EIO : err; /* it shrank while we looked */
}

int open_input(const char *path, int flags, struct input *input)
{
    struct stat st;
    off_t size;

    *input = (struct input){.fd = open(path, flags | O_CLOEXEC | O_NONBLOCK)};
    if (input->fd < 0 || fstat(input->fd, &st) < 0)
        return complain(EXIT_IO_ERROR, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
        close_input(input);
        return complain(EXIT_USAGE, "%s: neither a regular file nor a block device", path);
    }
    size = lseek(input->fd, 0, SEEK_END); /* st_size is 0 for devices */
    if (size < 0) {
        int err = errno;

        close_input(input);
        return complain(EXIT_IO_ERROR, "%s: %s", path, strerror(err));
    }
    input->io = (struct vhdx_io){.read = read_fd, .opaque = &input->fd, .size = (uint64_t)size};
    return EXIT_FINE;
}

void close_input(struct input *input)
{
    close_fd(&input->fd);
}

int check_input(const char *path, const struct input *input, struct vhdx_report *report,
                struct vhdx_image *image)
{
    struct progress progress;
    struct vhdx_check_options options = {.progress = progress_show, .opaque = &progress};
    int err;

    progress_begin(&progress, "checking", false);
    err = vhdx_check(&input->io, &options, report, image);
    progress_end(&progress);
    if (err == -E2BIG)
        return complain(EXIT_IO_ERROR, "%s: its log holds more than %" PRIu32 " writes to replay",
                        path, VHDX_LOG_MAX_WRITES);
    if (err)
        return complain(EXIT_IO_ERROR, "%s: %s", path, strerror(-err));
    return EXIT_FINE;
}

int finish_output(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    return complain(EXIT_IO_ERROR, "standard output: %s", strerror(errno));
}

void add_text(json_object *object, const char *key, const char *value)
{
    json_object_object_add(object, key, value ? json_object_new_string(value) : NULL);
}

void add_number(json_object *object, const char *key, uint64_t value)
{
    json_object_object_add(object, key, json_object_new_uint64(value));
}

void add_flag(json_object *object, const char *key, bool value)
{
    json_object_object_add(object, key, json_object_new_boolean(value));
}

void add_guid(json_object *object, const char *key, const struct guid *guid)
{
    char text[GUID_TEXT_MAX];

    add_text(object, key, guid_format(guid, text));
}

int print_json(json_object *object)
{
    puts(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                                                    JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(object);
    return finish_output(EXIT_FINE);
}
