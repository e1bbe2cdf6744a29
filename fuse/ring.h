/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * io_uring towards the device: many reads and writes at once, from one thread, without one
 * thread for each. All functions but the first and the last belong to the thread that made it.
 */
#ifndef FUSE_RING_H
#define FUSE_RING_H

#include "fuse/slots.h"

struct ring;

/*
 * A ring for at most as many requests as SLOTS has. -ENOSYS when built without liburing; the
 * kernel's -errno where it refuses (-EPERM, -ENOSYS: switched off or too old), or has not what is
 * needed.
 */
int ring_make(struct ring **ring, const struct slots *slots);
void ring_free(struct ring *ring);

/* Does what slot->direct says, with the slot's payload, when it is submitted. */
void ring_queue(struct ring *ring, struct slot *slot);
/* Submits what is queued, and takes in what is completed. Does not wait. 0 or -errno. */
int ring_submit(struct ring *ring);
/*
 * The same, and waits until something is completed or, if FD is not -1, FD can be read.
 * May return for other reasons as well.
 */
int ring_wait(struct ring *ring, int fd);
/* With nothing queued or under way: lets go of the slots' memory, until it is needed again. */
void ring_rest(struct ring *ring);
/* One that is completed: *RESULT is bytes or -errno. NULL when there is none. */
struct slot *ring_completed(struct ring *ring, int *result);

#endif
