/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ending by a signal. SIGTERM, SIGINT and SIGHUP tell libfuse's session to exit, and make a
 * descriptor readable, which is waited for beside the session's: so there is no moment, just
 * before a call that waits, in which a signal could be missed. It takes no thread.
 */
#ifndef FUSE_ENDING_H
#define FUSE_ENDING_H

#include "fuse/libfuse.h"

/*
 * From the thread that will serve; others must not get these signals. Returns the descriptor, or
 * -errno.
 */
int ending_watch(struct fuse_session *session);
/* When it has served. From now on these signals are ignored: what is left to do is done. */
void ending_stop(void);

#endif
