/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs a fuzz target over files, without libFuzzer: in every build, on every machine.
 * Takes files and directories; without any, the target's part of the committed corpus.
 */
#include "common/cleanup.h"
#include "tests/fuzz/packed.h"

#include <string.h>
#include <sys/stat.h>

static unsigned count;

static void run_file(const char *path)
{
    cleanup_file FILE *f = fopen(path, "rb");
    uint8_t *input = malloc(PACKED_MAX);
    size_t n;

    if (!f || !input) {
        perror(path);
        exit(1);
    }
    n = fread(input, 1, PACKED_MAX, f);
    /* An exact copy, so that valgrind and ASan see reads behind its end. */
    input = realloc(input, n ? n : 1);
    LLVMFuzzerTestOneInput(input, n);
    free(input);
    count++;
}

static void run(const char *path)
{
    cleanup_dir DIR *dir = opendir(path);
    struct dirent *entry;
    char name[4096];

    if (!dir) {
        run_file(path);
        return;
    }
    while ((entry = readdir(dir))) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        run_file(name);
    }
}

int main(int argc, char **argv)
{
    const char *source = getenv("srcdir"), *target = strrchr(argv[0], '_');
    char corpus[4096];

    for (int i = 1; i < argc; i++)
        run(argv[i]);
    if (argc < 2) {
        snprintf(corpus, sizeof(corpus), "%s/tests/fuzz/corpus/%s", source ? source : ".",
                 target ? target + 1 : "");
        run(corpus);
    }
    printf("%u inputs\n", count);
    return count ? 0 : 1;
}
