/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vhdxgen/cli.h"
#include "vhdxgen/dump.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <string.h>

static const char help[] =
    "Usage: vhdxgen dump FILE REGION...\n"
    "Decodes structures of a VHDX file line by line, as they lie there, with offsets.\n"
    "\n"
    "REGION is one of identifier, header1, header2, regions1, regions2, metadata, bat,\n"
    "log, or all of them: all.\n"
    "\n"
    "  -h, --help     print this help and exit\n"
    "  -V, --version  print the version and exit\n"
    "\n"
    "Exit codes: 0 fine, 1 usage, 3 the file has no such structure, 4 I/O error.\n";

static const struct region {
    const char *name;
    int (*dump)(const struct vhdx_io *io, const struct vhdx_image *image);
} regions[] = {
    {"identifier", dump_identifier},
    {"header1", dump_header_1},
    {"header2", dump_header_2},
    {"regions1", dump_regions_1},
    {"regions2", dump_regions_2},
    {"metadata", dump_metadata},
    {"bat", dump_bat},
    {"log", dump_log},
};

static bool is_region(const char *word)
{
    for (size_t i = 0; i < ARRAY_SIZE(regions); i++)
        if (strcmp(regions[i].name, word) == 0)
            return true;
    return strcmp(word, "all") == 0;
}

static int dump_one(const char *path, const struct input *file, const struct vhdx_image *image,
                    const struct region *region)
{
    int err;

    if (file->io.size < VHDX_HEADER_SECTION)
        return complain(EXIT_INVALID_IMAGE, "%s: too short for a VHDX file", path);
    printf("%s:\n", region->name);
    err = region->dump(&file->io, image);
    if (err == -ENODATA)
        return complain(EXIT_INVALID_IMAGE, "%s: has no %s that could be found", path,
                        region->name);
    if (err)
        return complain(EXIT_IO_ERROR, "%s: %s", path, strerror(-err));
    return EXIT_FINE;
}

static int dump(const char *path, char **words)
{
    struct vhdx_report report = {0};
    struct vhdx_image image = {0};
    struct input file;
    int status = open_input(path, O_RDONLY, &file);

    if (!status)
        status = check_input(path, &file, &report, &image);
    for (; *words && !status; words++)
        for (size_t i = 0; i < ARRAY_SIZE(regions) && !status; i++)
            if (!strcmp(*words, regions[i].name) || !strcmp(*words, "all"))
                status = dump_one(path, &file, &image, &regions[i]);
    vhdx_image_free(&image);
    close_input(&file);
    return status ? status : finish_output(EXIT_FINE);
}

int cmd_dump(int argc, char **argv)
{
    static const struct option options[] = {GETOPT_COMMON, {0}};
    int c;

    while ((c = getopt_long(argc, argv, "hV", options, NULL)) != -1) {
        switch (c) {
        case 'h':
            return print_help(help);
        case 'V':
            return print_version();
        default:
            return usage_error("dump");
        }
    }
    if (argc - optind < 2) {
        complain(EXIT_USAGE, "dump takes a FILE and at least one REGION");
        return usage_error("dump");
    }
    for (int i = optind + 1; i < argc; i++)
        if (!is_region(argv[i])) {
            complain(EXIT_USAGE, "there is no region \"%s\"", argv[i]);
            return usage_error("dump");
        }
    return dump(argv[optind], argv + optind + 1);
}
