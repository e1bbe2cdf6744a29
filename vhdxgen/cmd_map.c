/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vhdxgen/cli.h"
#include "vhdxgen/map_activate.h"
#include "vhdxgen/map_build.h"
#include "vhdxgen/map_print.h"
#include "vhdxgen/map_source.h"

#include <getopt.h>
#include <string.h>

static const char help[] =
    "Usage: vhdxgen map [options] DEVICE:PATH\n"
    "       vhdxgen map [options] FILE\n"
    "       vhdxgen map --activate NAME [--read-only] DEVICE:PATH\n"
    "       vhdxgen map --deactivate NAME\n"
    "Says where the disk in a fixed VHDX lies on the disk below, so that Linux can use its\n"
    "blocks directly. DEVICE:PATH is a VHDX on an NTFS volume that is not mounted, FILE one on\n"
    "a mounted file system. Nothing is written, and what is not safe is refused.\n"
    "\n"
    "      --format=dmsetup   the table for 'dmsetup create' (this is the default)\n"
    "      --format=losetup   a command line of losetup; of a file in one piece only\n"
    "      --format=cmdline   dm-mod.create=... for the kernel's command line\n"
    "      --format=json      all of it\n"
    "      --device=NAME      what the output shall call the device\n"
    "      --name=NAME        name of the mapping in --format=cmdline (vhdx)\n"
    "      --activate NAME    make it the device /dev/mapper/NAME\n"
    "      --deactivate NAME  remove that again\n"
    "  -r, --read-only        nothing can be written through the device\n"
    "  -h, --help             print this help and exit\n"
    "  -V, --version          print the version and exit\n"
    "\n"
    "A table is true only until Windows runs again: make it anew at each boot.\n"
    "Exit codes: 0 fine, 1 usage, 2 unsafe or in use, 3 the file cannot be mapped, 4 I/O error\n"
    "or something is missing.\n";

struct map_arguments {
    const char *spec, *activate, *deactivate;
    enum map_format format;
    bool format_given;
    struct map_output output;
};

static int tell(const struct failure *failure)
{
    return complain((int)failure->code, "%s", failure->text);
}

static int print(const struct map_arguments *a, const struct map_source *s, struct failure *failure)
{
    int err = map_print(s, a->format, &a->output, failure);

    if (!err && !s->is_block && !a->output.device && a->format != MAP_JSON)
        fprintf(stderr,
                "vhdxgen: note: %s is a file; --device=/dev/loopN names the loop device that "
                "you attach it to\n",
                s->device);
    return err;
}

static int activate(const struct map_arguments *a, struct map_source *s, struct failure *failure)
{
    int err = map_activate(s, a->activate, a->output.read_only, failure);

    if (!err)
        printf("/dev/mapper/%s\n", a->activate);
    return err;
}

static int map(const struct map_arguments *a)
{
    struct failure failure = {.code = EXIT_FINE};
    struct map_source source;
    int err = map_open(&source, a->spec, &failure);

    if (!err)
        err = map_build(&source, &failure);
    if (!err)
        err = a->activate ? activate(a, &source, &failure) : print(a, &source, &failure);
    map_close(&source);
    return err ? tell(&failure) : finish_output(EXIT_FINE);
}

static int deactivate(const char *name)
{
    struct failure failure = {.code = EXIT_FINE};

    return map_deactivate(name, &failure) ? tell(&failure) : EXIT_FINE;
}

static bool parse_format(const char *word, struct map_arguments *a)
{
    static const char *const words[] = {"dmsetup", "losetup", "cmdline", "json"};

    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (strcmp(word, words[i]) != 0)
            continue;
        a->format = (enum map_format)i;
        a->format_given = true;
        return true;
    }
    complain(EXIT_USAGE, "--format is dmsetup, losetup, cmdline or json, not \"%s\"", word);
    return false;
}

static bool parse_name(const char *word, const char **name)
{
    *name = word;
    if (map_name_valid(word))
        return true;
    complain(EXIT_USAGE, "\"%s\" is no name for a mapping: letters, digits, _ - + . : (at most %d)",
             word, MAP_NAME_MAX);
    return false;
}

/* 0 to go on, -1 for an error that was told, or the letter of --help and --version. */
static int parse_options(int argc, char **argv, struct map_arguments *a)
{
    static const struct option options[] = {{"format", required_argument, NULL, 'f'},
                                            {"device", required_argument, NULL, 'd'},
                                            {"name", required_argument, NULL, 'n'},
                                            {"activate", required_argument, NULL, 'a'},
                                            {"deactivate", required_argument, NULL, 'D'},
                                            {"read-only", no_argument, NULL, 'r'},
                                            GETOPT_COMMON,
                                            {0}};
    bool good = true;
    int c;

    while (good && (c = getopt_long(argc, argv, "rhV", options, NULL)) != -1) {
        if (c == 'f')
            good = parse_format(optarg, a);
        else if (c == 'n')
            good = parse_name(optarg, &a->output.name);
        else if (c == 'a')
            good = parse_name(optarg, &a->activate);
        else if (c == 'D')
            a->deactivate = optarg;
        else if (c == 'd')
            a->output.device = optarg;
        else if (c == 'r')
            a->output.read_only = true;
        else if (c == 'h' || c == 'V')
            return c;
        else
            good = false;
    }
    return good ? 0 : -1;
}

/* What contradicts itself, or NULL. */
static const char *contradiction(int words, const struct map_arguments *a)
{
    if (a->activate && a->deactivate)
        return "--activate and --deactivate exclude each other";
    if (a->deactivate && (words || a->format_given))
        return "--deactivate takes the NAME and nothing else";
    if (a->activate && (a->format_given || a->output.device))
        return "--activate prints no table: --format and --device have no meaning with it";
    if (!a->deactivate && words != 1)
        return "map takes one DEVICE:PATH or FILE";
    return NULL;
}

int cmd_map(int argc, char **argv)
{
    struct map_arguments a = {.output = {.name = "vhdx"}};
    const char *wrong;
    int c = parse_options(argc, argv, &a);

    if (c == 'h')
        return print_help(help);
    if (c == 'V')
        return print_version();
    if (c < 0)
        return usage_error("map");
    wrong = contradiction(argc - optind, &a);
    if (wrong) {
        complain(EXIT_USAGE, "%s", wrong);
        return usage_error("map");
    }
    if (a.deactivate)
        return deactivate(a.deactivate);
    a.spec = argv[optind];
    return map(&a);
}
