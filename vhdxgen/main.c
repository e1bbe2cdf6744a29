/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vhdxgen/cli.h"

#include <string.h>

static const char help[] =
    "Usage: vhdxgen COMMAND [options] ...\n"
    "Makes, checks and repairs VHDX files.\n"
    "\n"
    "  check FILE            judge FILE by every rule of the standard\n"
    "  info FILE             describe FILE\n"
    "  replay FILE           replay FILE's log in place\n"
    "  create --size N OUT   make a fixed VHDX file\n"
    "  dump FILE REGION      decode a structure of FILE line by line\n"
    "  map DEVICE:PATH       where FILE's disk lies on the disk below; or use it from there\n"
    "\n"
    "  -h, --help            print this help and exit\n"
    "  -V, --version         print the version and exit\n"
    "\n"
    "'vhdxgen COMMAND --help' explains each command; see also vhdxgen(1).\n"
    "Exit codes: 0 fine, 1 usage, 2 unsafe or in use, 3 invalid image, 4 I/O error.\n";

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"check", cmd_check}, {"create", cmd_create}, {"dump", cmd_dump},
    {"info", cmd_info},   {"map", cmd_map},       {"replay", cmd_replay},
};

int main(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "";

    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        if (strcmp(word, commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    if (!strcmp(word, "-h") || !strcmp(word, "--help") || !strcmp(word, "help"))
        return print_help(help);
    if (!strcmp(word, "-V") || !strcmp(word, "--version"))
        return print_version();
    if (*word)
        complain(EXIT_USAGE, "there is no command \"%s\"", word);
    fputs("Try 'vhdxgen --help'.\n", stderr);
    return EXIT_USAGE;
}
