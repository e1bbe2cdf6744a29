/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One log: standard error in the foreground, syslog (facility daemon) in the background.
 *
 * Nobody waits for whoever reads it. Between log_begin() and log_end() a message goes to a queue,
 * and one thread writes; it alone is held up by a full pipe, a stopped terminal or a stopped
 * syslog. When the queue is full, messages are lost, and their number is told as soon as something
 * can be told again. Of messages of one kind (of one place in the program) only so many are written
 * in a while, and then how many were left out, so that a client that tries the same thing over and
 * over does not fill a disk. That does not hold for debugging messages.
 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <stdbool.h>
#include <syslog.h>

#define LOG_QUEUE 256 /* messages; three quarters of it for debugging */
#define LOG_BURST 50  /* messages of one kind */
#define LOG_WHILE 5   /* in so many seconds */

void log_set_debug(bool debug);

/* From now on to syslog. Threads may log at the same time; call this before there are any. */
void log_to_syslog(void);

/*
 * Starts the thread; in the process that will serve, since a thread does not survive a fork.
 * Without one (-errno) each message is written by who logs it, as before the start.
 */
int log_begin(void);

/*
 * Writes what is in the queue, and ends the thread; but waits no longer than a second. False when
 * that was not enough: then messages that come later may be lost.
 */
bool log_end(void);

void log_message(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...)   log_message(LOG_ERR, __VA_ARGS__)
#define log_warning(...) log_message(LOG_WARNING, __VA_ARGS__)
#define log_info(...)    log_message(LOG_INFO, __VA_ARGS__)
#define log_debug(...)   log_message(LOG_DEBUG, __VA_ARGS__)

#endif
