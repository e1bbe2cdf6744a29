/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The few messages of the FUSE protocol (linux/fuse.h) that the transport handles itself: the
 * frequent ones, and those for which libfuse 3.14 cannot give the right reply. All others go to
 * libfuse as they came.
 *
 * Pure: buffers in, values out.
 */
#ifndef FUSE_WIRE_H
#define FUSE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The largest READ or WRITE that we ask the kernel for, in bytes. It cuts what is larger, and sends
 * the pieces at once: so one is copied while the device works on another.
 */
#define WIRE_LARGEST (512 * 1024)
/* What stands before the payload of a WRITE, in bytes. */
#define WIRE_BEFORE_WRITE 80
/* What stands before the payload of a reply. */
#define WIRE_BEFORE_REPLY 16

enum wire_kind {
    WIRE_READ,
    WIRE_WRITE, /* the payload follows the first WIRE_BEFORE_WRITE bytes */
    WIRE_OPEN,
    WIRE_BROKEN, /* one of these that is not whole, or larger than allowed: an error is due */
    WIRE_IGNORE, /* nobody waits for an answer, and there is nothing to be done */
    WIRE_SHORT,  /* for libfuse; answered from memory, if it is about a view or the directory */
    WIRE_OTHER,  /* for libfuse; may take its time */
};

struct wire_request {
    enum wire_kind kind;
    uint64_t unique; /* what the reply must name */
    uint64_t inode;
    uint32_t opcode; /* of the protocol, see wire_name() */
    uint64_t offset; /* READ, WRITE: in the file; not checked here */
    uint32_t size;   /* READ, WRITE: bytes, at most what was allowed to wire_parse() */
    uint32_t flags;  /* OPEN, WRITE: as for open(2); those of the file, and those of the write */
};

/*
 * Takes a message of LENGTH bytes apart; a READ or WRITE may be of MAX bytes. False when it is no
 * message at all.
 */
bool wire_parse(const void *message, size_t length, uint32_t max, struct wire_request *request);

/* A READ or WRITE that is as it should be. */
static inline bool wire_is_data(const struct wire_request *request)
{
    return request->kind == WIRE_READ || request->kind == WIRE_WRITE;
}

/* What the protocol calls OPCODE, for the log; "?" when it is not known here. */
const char *wire_name(uint32_t opcode);

/* The head of a reply with LENGTH bytes of payload, or of an error (negative; LENGTH is 0). */
void wire_put_reply(uint8_t head[WIRE_BEFORE_REPLY], uint64_t unique, int err, size_t length);

/* Payloads of replies; they return their size. */
#define WIRE_PAYLOAD_MAX 16
size_t wire_put_written(uint8_t payload[WIRE_PAYLOAD_MAX], size_t size);
/*
 * Opened for direct I/O: a page cache here would hold the disk twice, and go stale between claims.
 * Also for writes in parallel (which old kernels ignore).
 */
size_t wire_put_opened(uint8_t payload[WIRE_PAYLOAD_MAX]);

#endif
