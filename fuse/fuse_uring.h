/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * FUSE over io_uring, libfuse's transport (3.18 and later): the kernel hands requests to a thread
 * of libfuse's on the core where they were made, which saves a lone request the way through
 * /dev/fuse.
 *
 * It serves one request at a time on each core, so what comes many at a time is slower by far than
 * with transport.h (bench/DATAPATH has the numbers): therefore "auto" does not choose it.
 */
#ifndef FUSE_FUSE_URING_H
#define FUSE_FUSE_URING_H

#include "fuse/libfuse.h"
#include "fuse/options.h"

/*
 * Whether it is to be used: in *USE. -EINVAL with FAILURE filled when it was asked for and the
 * library or the kernel has none.
 */
int fuse_uring_choose(const struct options *options, bool *use, struct failure *failure);

/* Where the answer to a READ of SIZE bytes is best put: the request's own memory; NULL: anywhere.
 */
void *fuse_uring_payload(fuse_req_t req, size_t size);

#endif
