/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The transport: how requests come from the kernel and replies go back.
 *
 * One thread, which is the caller's, receives all requests from the session's descriptor.
 *
 * - A lone READ or WRITE is done on the spot, with nothing in between that costs time: as long as
 *   the device is quick (pace.h), and the request is small.
 * - When several wait, or one is under way, those that are one read or write of the
 *   device (export_begin()) are given to the device through io_uring, and answered
 *   when they complete.
 * - Whatever may wait for something else (flush, open, trim, requests on metadata, what the
 *   firewall looks at, unaligned edges) goes to a pool of threads. Without io_uring, READ and WRITE
 *   go there as well.
 *
 * With -s there is neither pool nor ring, and one slot: each request is received, done and answered
 * before the next.
 *
 * Why nothing waits for ever. The receiving thread waits for a lock of the data path only when
 * it has no request with the device: only then does it call export_read() or export_write().
 * A thread of the pool may wait, in the backing's lock, for writes that are under way; they
 * are completed by the receiving thread, which waits for slots only when none is under way.
 */
#ifndef FUSE_TRANSPORT_H
#define FUSE_TRANSPORT_H

#include "fuse/serve.h"

struct transport;

/*
 * Gets memory and the ring, before privileges are dropped. Without memory it fails; it can do
 * without the ring. SINGLE: one request at a time. From the thread that will call
 * transport_run().
 */
int transport_make(struct transport **transport, bool single);
void transport_free(struct transport *transport);

/* Serves until the session is unmounted (0), is told to exit (0), or fails (-errno). */
int transport_run(struct transport *transport, const struct server *server);

#endif
