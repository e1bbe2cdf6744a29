/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One request at a time: received, done, answered. May be used from many threads.
 *
 * Opens, reads and writes of the partition's views are done here, and only here; all else goes to
 * libfuse, which calls operations.h.
 */
#ifndef FUSE_SERVE_H
#define FUSE_SERVE_H

#include "fuse/slots.h"
#include "fuse/tree.h"

struct server {
    struct fuse_session *fuse;
    struct tree *tree;
    int fd;     /* of the FUSE session */
    int wake;   /* can be read when the session was told to exit */
    bool debug; /* log each request, and each reply that is made here */
};

/*
 * Receives into SLOT. -EAGAIN: there is none (the descriptor does not wait); -EINTR; -ENODEV: it is
 * unmounted; or another -errno, with which serving ends.
 */
int serve_receive(const struct server *server, struct slot *slot);

/* Does what SLOT asks for, waiting for the device if need be, and answers. */
void serve_request(const struct server *server, struct slot *slot);

/*
 * Answers what came to nothing (ERR, -errno); or, with ERR 0, a READ or WRITE of which LENGTH bytes
 * were done, which for a READ lie in the slot's payload.
 */
void serve_answer(const struct server *server, struct slot *slot, int err, size_t length);

#endif
