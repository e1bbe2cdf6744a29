/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ending by a signal. SIGTERM, SIGINT and SIGHUP tell libfuse's session to exit, and make a
 * descriptor readable. Who waits for requests waits for that, too: so no signal can be missed just
 * before a call that waits. It takes no thread. SIGINT and SIGHUP stay ignored if they were
 * (nohup).
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
