/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A failure on its way to a person: what happened, why, and the cure. Functions
 * that can explain themselves take one, fill it with failed() and return -errno.
 */
#ifndef COMMON_FAILURE_H
#define COMMON_FAILURE_H

enum exit_code {
    EXIT_FINE = 0,
    EXIT_USAGE = 1,         /* the command line does not name what it should */
    EXIT_UNSAFE = 2,        /* in use, or serving it could destroy data */
    EXIT_INVALID_IMAGE = 3, /* not something that a VHDX can hold */
    EXIT_IO_ERROR = 4,      /* the machine did not do its part */
};

struct failure {
    enum exit_code code;
    char text[768];
};

/* Fills FAILURE (which may be NULL) and returns ERR, a negative errno. */
int failed(struct failure *failure, enum exit_code code, int err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
