/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Slots: memory for requests, each from its arrival to its reply.
 *
 * A message is received so that the payload of a WRITE starts on a page, which direct I/O takes
 * without a copy; what is read from the device lands on the same page, with its reply's head right
 * before it. The slot given back last is taken next: its memory is in the processor's
 * cache, and what is never needed is never touched.
 *
 * Slots may be taken and put from any thread.
 */
#ifndef FUSE_SLOTS_H
#define FUSE_SLOTS_H

#include "export/export.h"
#include "fuse/wire.h"

#define SLOT_PAYLOAD WIRE_LARGEST
#define SLOT_MESSAGE (WIRE_BEFORE_WRITE + SLOT_PAYLOAD)

struct slot {
    struct slot *next;
    uint8_t *payload; /* a page */
    size_t length;    /* of the message, which starts slot_message() */
    struct wire_request request;
    struct direct direct; /* while the device works on it, see export.h */
    uint64_t begun;       /* nanoseconds; when the device was asked */
};

struct slots {
    pthread_mutex_t lock;
    pthread_cond_t put;
    struct slot *free, *all;
    unsigned count;
    uint8_t *memory;
    size_t size;
};

int slots_make(struct slots *slots, unsigned count);
void slots_free(struct slots *slots);

/* One that is free, or NULL. With WAIT it is waited for: somebody else must have one then. */
struct slot *slots_take(struct slots *slots, bool wait);
void slots_put(struct slots *slots, struct slot *slot);

/* Gives the memory of those that are free back to the system; it comes again when it is used. */
void slots_rest(struct slots *slots);

static inline uint8_t *slot_message(const struct slot *slot)
{
    return slot->payload - WIRE_BEFORE_WRITE;
}

#endif
