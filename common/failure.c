/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/failure.h"

#include <stdarg.h>
#include <stdio.h>

int failed(struct failure *failure, enum exit_code code, int err, const char *format, ...)
{
    va_list args;

    if (failure) {
        failure->code = code;
        va_start(args, format);
        vsnprintf(failure->text, sizeof(failure->text), format, args);
        va_end(args);
    }
    return err;
}
