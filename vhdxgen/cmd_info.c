/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vhdxgen/cli.h"
#include "vhdxgen/info.h"

#include <fcntl.h>
#include <getopt.h>

static const char help[] =
    "Usage: vhdxgen info [options] FILE\n"
    "Prints everything there is to know about a VHDX file. Never writes to it.\n"
    "\n"
    "      --output=text|json  format (text)\n"
    "  -h, --help              print this help and exit\n"
    "  -V, --version           print the version and exit\n"
    "\n"
    "Exit codes: 0 fine, 1 usage, 3 not a VHDX file or too damaged to describe, 4 I/O error.\n";

static int describe(const char *path, bool json)
{
    struct vhdx_report report = {0};
    struct vhdx_image image = {0};
    struct input file;
    int status = open_input(path, O_RDONLY, &file);

    if (!status)
        status = check_input(path, &file, &report, &image);
    close_input(&file);
    if (!status) {
        status =
            json ? print_info_json(path, &image, &report) : print_info_text(path, &image, &report);
        if (!status && image.kind == VHDX_KIND_UNKNOWN)
            status = complain(EXIT_INVALID_IMAGE,
                              "%s: not a VHDX file, or damaged; see vhdxgen check", path);
    }
    vhdx_image_free(&image);
    return status;
}

int cmd_info(int argc, char **argv)
{
    static const struct option options[] = {
        {"output", required_argument, NULL, 'o'}, GETOPT_COMMON, {0}};
    bool json = false;
    int c;

    while ((c = getopt_long(argc, argv, "hV", options, NULL)) != -1) {
        switch (c) {
        case 'o':
            if (!parse_output(optarg, &json))
                return EXIT_USAGE;
            break;
        case 'h':
            return print_help(help);
        case 'V':
            return print_version();
        default:
            return usage_error("info");
        }
    }
    if (optind + 1 != argc) {
        complain(EXIT_USAGE, "info takes one FILE");
        return usage_error("info");
    }
    return describe(argv[optind], json);
}
