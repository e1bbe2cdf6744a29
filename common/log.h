/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One log: standard error in the foreground, syslog (facility daemon) in the background. */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <stdbool.h>
#include <syslog.h>

void log_set_debug(bool debug);

/* From now on to syslog. Threads may log at the same time; call this before there are any. */
void log_to_syslog(void);

void log_message(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...)   log_message(LOG_ERR, __VA_ARGS__)
#define log_warning(...) log_message(LOG_WARNING, __VA_ARGS__)
#define log_info(...)    log_message(LOG_INFO, __VA_ARGS__)
#define log_debug(...)   log_message(LOG_DEBUG, __VA_ARGS__)

#endif
