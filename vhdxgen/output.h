/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A new file that has its name only when it is complete. */
#ifndef VHDXGEN_OUTPUT_H
#define VHDXGEN_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>

struct output {
    const char *path; /* the final name */
    char *temporary;  /* beside it; NULL: there is none */
    int fd;
    bool replace;   /* an existing file may go */
    bool allocated; /* all space is the file's, and reads as zeros */
};

/*
 * Makes the file under a temporary name, SIZE bytes long, all of its space allocated. Where
 * the file system cannot do that, output->allocated stays false, and every byte has to be
 * written. Returns 0; -EEXIST when the final name is taken and REPLACE is false, or it is no
 * regular file; other -errno.
 */
int output_begin(struct output *output, const char *path, uint64_t size, bool replace);

/* Flushes the file and gives it its name. 0 or -errno, -EEXIST as above. */
int output_finish(struct output *output);

/* Whether SIGINT, SIGTERM or SIGHUP asked to stop since output_begin(). */
bool output_interrupted(void);

/* Closes the file, and removes it if output_finish() did not succeed. */
void output_end(struct output *output);

#endif
