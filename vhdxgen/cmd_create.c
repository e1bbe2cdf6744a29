/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <config.h>

#include "vhdxgen/cli.h"

#include "common/cleanup.h"
#include "common/io.h"
#include "common/progress.h"
#include "vhdx/encode.h"
#include "vhdxgen/output.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK (4 * MIB)

static const char help[] =
    "Usage: vhdxgen create [options] OUT\n"
    "Makes a fixed VHDX file. Its space is allocated; OUT appears when it is complete.\n"
    "\n"
    "      --size=N               size of the disk: bytes, or with a suffix K M G T\n"
    "      --from=RAW             copy the content of this file or block device\n"
    "      --like=DEVICE          take size and sector sizes from this block device\n"
    "      --block-size=N         1M to 256M, a power of two (chosen by the disk's size)\n"
    "      --logical-sector=N     512 or 4096 (512)\n"
    "      --physical-sector=N    512 or 4096 (4096)\n"
    "      --identity=TEXT        derive the GUIDs from TEXT, a UUID as a rule (random)\n"
    "  -f, --force                replace OUT if it exists\n"
    "  -q, --quiet                no progress bar, no summary\n"
    "  -h, --help                 print this help and exit\n"
    "  -V, --version              print the version and exit\n"
    "\n"
    "One of --size, --from and --like is needed. Without --size the disk is as large as\n"
    "RAW or DEVICE; the rest of a disk larger than RAW is zeros.\n"
    "Exit codes: 0 fine, 1 usage, 2 OUT exists, 4 I/O error.\n";

struct create {
    const char *out, *from, *like, *identity;
    struct vhdx_params params; /* 0: not given */
    bool force, quiet;
    struct vhdx_layout layout;
    struct input source; /* fd -1: none */
    struct output output;
    struct progress progress;
    uint8_t *chunk;
};

/* Fills what was not given from the device behind FD, if it is one. */
static void take_sectors(int fd, struct vhdx_params *params)
{
    unsigned physical;
    int logical;

    if (ioctl(fd, BLKSSZGET, &logical) < 0 || ioctl(fd, BLKPBSZGET, &physical) < 0)
        return;
    if (!params->logical_sector && (logical == 512 || logical == 4096))
        params->logical_sector = (uint32_t)logical;
    if (!params->physical_sector && (physical == 512 || physical == 4096))
        params->physical_sector = physical;
}

static int take_like(struct create *c)
{
    struct input device;
    int status = open_input(c->like, O_RDONLY, &device);

    if (status)
        return status;
    take_sectors(device.fd, &c->params);
    if (!c->params.disk_size)
        c->params.disk_size = device.io.size;
    close_input(&device);
    return EXIT_FINE;
}

static int take_from(struct create *c)
{
    int status = open_input(c->from, O_RDONLY, &c->source);
    uint64_t size;

    if (status)
        return status;
    take_sectors(c->source.fd, &c->params);
    size = c->source.io.size;
    if (!c->params.disk_size) /* a last partial sector is filled with zeros */
        c->params.disk_size = round_up(size, c->params.logical_sector == 4096 ? 4096 : 512);
    if (size > c->params.disk_size)
        return complain(EXIT_USAGE, "%s has %llu bytes, more than the disk (%llu)", c->from,
                        (unsigned long long)size, (unsigned long long)c->params.disk_size);
    return EXIT_FINE;
}

static int plan(struct create *c)
{
    const char *why;
    int status = c->like ? take_like(c) : EXIT_FINE;

    if (!status && c->from)
        status = take_from(c);
    if (status)
        return status;
    if (!c->params.logical_sector)
        c->params.logical_sector = 512;
    if (!c->params.physical_sector)
        c->params.physical_sector = 4096;
    if (vhdx_layout_init(&c->layout, &c->params, &why) != 0)
        return complain(EXIT_USAGE, "cannot make such a disk: %s", why);
    return EXIT_FINE;
}

/* Writes N bytes, unless they are zeros in space that reads so already. */
static int put(struct create *c, const uint8_t *data, size_t n, uint64_t offset)
{
    if (output_interrupted())
        return -EINTR;
    if (!c->quiet)
        progress_show(&c->progress, offset, c->layout.file_size);
    if (c->output.allocated && is_zero(data, n))
        return 0;
    return pwrite_full(c->output.fd, data, n, offset);
}

static int put_meta(struct create *c)
{
    cleanup_free uint8_t *meta = calloc(1, VHDX_META_SIZE);
    struct vhdx_identity identity;

    if (!meta)
        return -ENOMEM;
    if (c->identity)
        identity = vhdx_identity_derive(c->identity);
    else
        identity = (struct vhdx_identity){guid_random(), guid_random(), guid_random()};
    vhdx_encode_meta(&c->layout, &identity, meta);
    return put(c, meta, VHDX_META_SIZE, 0);
}

static int put_bat(struct create *c)
{
    int err = 0;

    for (uint64_t at = 0; at < c->layout.bat_size && !err;) {
        size_t n = (size_t)min_u64(CHUNK, c->layout.bat_size - at);

        vhdx_bat_read(&c->layout, at, c->chunk, n);
        err = put(c, c->chunk, n, VHDX_BAT_AT + at);
        at += n;
    }
    return err;
}

/* The end of what can be skipped from AT on: a hole of the source, or the disk behind it. */
static uint64_t skip_hole(const struct create *c, uint64_t at, uint64_t disk_end)
{
    off_t data;

    if (c->source.fd < 0 || at >= c->source.io.size)
        return disk_end;
    data = lseek(c->source.fd, (off_t)at, SEEK_DATA);
    if (data < 0) /* ENXIO: a hole up to the end; anything else: cannot tell, so read */
        return errno == ENXIO ? disk_end : at;
    return (uint64_t)data;
}

static int load(struct create *c, uint64_t at, size_t n)
{
    uint64_t there = c->source.fd < 0 || at >= c->source.io.size ? 0 : c->source.io.size - at;
    int err = 0;

    there = min_u64(there, n);
    if (there)
        err = vhdx_read(&c->source.io, c->chunk, (size_t)there, at);
    memset(c->chunk + there, 0, n - (size_t)there);
    return err;
}

/* The blocks, pad and all. */
static int put_payload(struct create *c)
{
    uint64_t end = c->layout.file_size - c->layout.payload_offset;
    int err = 0;

    for (uint64_t at = 0; at < end && !err;) {
        size_t n;

        if (c->output.allocated)
            at = skip_hole(c, at, end);
        n = (size_t)min_u64(CHUNK, end - at);
        err = load(c, at, n);
        if (!err)
            err = put(c, c->chunk, n, c->layout.payload_offset + at);
        at += n;
    }
    return err;
}

static int write_all(struct create *c)
{
    int err;

    c->chunk = malloc(CHUNK);
    if (!c->chunk)
        return -ENOMEM;
    progress_begin(&c->progress, "writing", true);
    err = put_meta(c);
    if (!err)
        err = put_bat(c);
    if (!err)
        err = put_payload(c);
    progress_end(&c->progress);
    free(c->chunk);
    return err;
}

static int make_file(struct create *c)
{
    char size[SIZE_TEXT_MAX], block[SIZE_TEXT_MAX];
    int err = output_begin(&c->output, c->out, c->layout.file_size, c->force);

    if (!err)
        err = write_all(c);
    if (!err)
        err = output_finish(&c->output);
    output_end(&c->output);
    if (err == -EEXIST)
        return complain(EXIT_UNSAFE, "%s: exists; --force replaces a regular file", c->out);
    if (err == -EINTR)
        return complain(EXIT_IO_ERROR, "%s: interrupted; nothing was left behind", c->out);
    if (err)
        return complain(EXIT_IO_ERROR, "%s: %s", c->out, strerror(-err));
    if (!c->quiet)
        printf("%s: fixed VHDX, %s in blocks of %s\n", c->out,
               format_size(c->layout.disk_size, size), format_size(c->layout.block_size, block));
    return finish_output(EXIT_FINE);
}

/* Parses TEXT into *VALUE, which must fit 32 bits where NARROW. */
static bool take_size(const char *option, const char *text, uint64_t *value, bool narrow)
{
    if (parse_size(text, value) == 0 && *value && (!narrow || *value <= UINT32_MAX))
        return true;
    complain(EXIT_USAGE, "--%s: \"%s\" is no size that can be used", option, text);
    return false;
}

static const struct option options[] = {{"size", required_argument, NULL, 'S'},
                                        {"from", required_argument, NULL, 'F'},
                                        {"like", required_argument, NULL, 'L'},
                                        {"block-size", required_argument, NULL, 'B'},
                                        {"logical-sector", required_argument, NULL, 'l'},
                                        {"physical-sector", required_argument, NULL, 'p'},
                                        {"identity", required_argument, NULL, 'I'},
                                        {"force", no_argument, NULL, 'f'},
                                        {"quiet", no_argument, NULL, 'q'},
                                        GETOPT_COMMON,
                                        {0}};

/* One option with a size; false: complained about. */
static bool take_number(struct create *c, int option, const char *name, const char *text)
{
    uint64_t value;

    if (!take_size(name, text, &value, option != 'S'))
        return false;
    switch (option) {
    case 'S':
        c->params.disk_size = value;
        break;
    case 'B':
        c->params.block_size = (uint32_t)value;
        break;
    case 'l':
        c->params.logical_sector = (uint32_t)value;
        break;
    default:
        c->params.physical_sector = (uint32_t)value;
        break;
    }
    return true;
}

/* 0 to go on, or -1 when the program is done, with its status in *STATUS. */
static int parse_arguments(int argc, char **argv, struct create *c, int *status)
{
    int o, index = 0;

    *status = EXIT_USAGE;
    while ((o = getopt_long(argc, argv, "fqhV", options, &index)) != -1) {
        switch (o) {
        case 'S':
        case 'B':
        case 'l':
        case 'p':
            if (!take_number(c, o, options[index].name, optarg))
                return -1;
            break;
        case 'F':
            c->from = optarg;
            break;
        case 'L':
            c->like = optarg;
            break;
        case 'I':
            c->identity = optarg;
            break;
        case 'f':
            c->force = true;
            break;
        case 'q':
            c->quiet = true;
            break;
        case 'h':
            *status = print_help(help);
            return -1;
        case 'V':
            *status = print_version();
            return -1;
        default:
            *status = usage_error("create");
            return -1;
        }
    }
    if (optind + 1 != argc || !(c->params.disk_size || c->from || c->like)) {
        complain(EXIT_USAGE, "create takes one OUT, and --size, --from or --like");
        *status = usage_error("create");
        return -1;
    }
    c->out = argv[optind];
    return 0;
}

int cmd_create(int argc, char **argv)
{
    struct create c = {.source.fd = -1, .output.fd = -1};
    int status;

    if (parse_arguments(argc, argv, &c, &status) != 0)
        return status;
    status = plan(&c);
    if (!status)
        status = make_file(&c);
    close_input(&c.source);
    return status;
}
