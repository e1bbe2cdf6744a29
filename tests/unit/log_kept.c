/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stands in for common/log.c: the linker takes these instead of the library's. Tests provoke
 * thousands of refusals, and want to look at the message, not at the screen.
 */
#include "common/log.h"

#include "common/cleanup.h"
#include "tests/unit/support.h"

#include <stdarg.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char last[1024];
static unsigned count;

void log_set_debug(bool debug)
{
    (void)debug;
}

void log_to_syslog(void)
{
}

int log_begin(void)
{
    return 0;
}

bool log_end(void)
{
    return true;
}

void log_message(int priority, const char *format, ...)
{
    va_list args;
    LOCK_SCOPE(&lock);

    if (priority > LOG_WARNING)
        return;
    va_start(args, format);
    vsnprintf(last, sizeof(last), format, args);
    va_end(args);
    count++;
}

const char *logged(void)
{
    return last;
}

unsigned logged_count(void)
{
    LOCK_SCOPE(&lock);

    return count;
}

void log_forget(void)
{
    LOCK_SCOPE(&lock);

    *last = '\0';
    count = 0;
}
