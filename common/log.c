/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/log.h"

#include <stdarg.h>
#include <stdio.h>

static bool with_debug;
static bool syslogging;

void log_set_debug(bool debug)
{
    with_debug = debug;
}

void log_to_syslog(void)
{
    openlog("vhdxfs", LOG_PID | LOG_NDELAY, LOG_DAEMON);
    syslogging = true;
}

void log_message(int priority, const char *format, ...)
{
    char line[1024];
    va_list args;

    if (priority == LOG_DEBUG && !with_debug)
        return;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    /* Names come from clients: they must not make lines of their own. */
    for (char *p = line; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 127)
            *p = '?';
    if (syslogging)
        syslog(priority, "%s", line);
    else
        fprintf(stderr, "vhdxfs: %s%s\n", priority == LOG_WARNING ? "warning: " : "", line);
}
