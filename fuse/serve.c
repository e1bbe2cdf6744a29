/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fuse/serve.h"

#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

static void log_request(const struct wire_request *r)
{
    if (wire_is_data(r))
        log_debug("request %" PRIu64 ": %s, inode %" PRIu64 ", %" PRIu32 " bytes at %" PRIu64,
                  r->unique, wire_name(r->opcode), r->inode, r->size, r->offset);
    else
        log_debug("request %" PRIu64 ": %s, inode %" PRIu64, r->unique, wire_name(r->opcode),
                  r->inode);
}

int serve_receive(const struct server *s, struct slot *slot)
{
    struct wire_request *r = &slot->request;
    ssize_t n;

    do /* ENOENT: that one has been called off meanwhile */
        n = read(s->fd, slot_message(slot), SLOT_MESSAGE);
    while (n < 0 && errno == ENOENT);
    if (n < 0) /* the kernel says the one or the other, by how the mount ended */
        return errno == ECONNABORTED ? -ENODEV : -errno;
    slot->length = (size_t)n;
    if (!wire_parse(slot_message(slot), slot->length, SLOT_PAYLOAD, r)) {
        log_error("the kernel sent a broken message of %zu bytes", slot->length);
        return -EPROTO;
    }
    if (s->debug)
        log_request(r);
    if (r->kind == WIRE_BROKEN)
        log_error("the kernel sent a %s that is not whole, or larger than was agreed",
                  wire_name(r->opcode));
    if ((wire_is_data(r) || r->kind == WIRE_OPEN) && !is_view(s->tree, r->inode))
        r->kind = WIRE_OTHER; /* of a file beside */
    if (r->kind == WIRE_SHORT && is_beside(r->inode))
        r->kind = WIRE_OTHER; /* it asks the file system of the state */
    return 0;
}

static void log_reply(const struct slot *slot, int err, size_t length)
{
    log_debug("reply %" PRIu64 ": %s, %zu bytes", slot->request.unique,
              err ? strerror(-err) : "done", length);
}

/* Returns false when nobody waits for the reply any more. */
static bool send_reply(const struct server *s, const struct slot *slot, const void *reply,
                       size_t length)
{
    if (write(s->fd, reply, length) >= 0)
        return true;
    if (errno != ENOENT)
        log_debug("the reply to request %" PRIu64 " was refused: %s", slot->request.unique,
                  strerror(errno));
    return false;
}

/* A reply with no payload, or a small one of SIZE bytes. */
static bool send_small(const struct server *s, const struct slot *slot, int err,
                       const uint8_t *payload, size_t size)
{
    uint8_t reply[WIRE_BEFORE_REPLY + WIRE_PAYLOAD_MAX];

    wire_put_reply(reply, slot->request.unique, err, size);
    if (size)
        memcpy(reply + WIRE_BEFORE_REPLY, payload, size);
    return send_reply(s, slot, reply, WIRE_BEFORE_REPLY + size);
}

void serve_answer(const struct server *s, struct slot *slot, int err, size_t length)
{
    uint8_t payload[WIRE_PAYLOAD_MAX];
    uint8_t *head = slot->payload - WIRE_BEFORE_REPLY;

    if (s->debug)
        log_reply(slot, err, length);
    if (err) {
        send_small(s, slot, err, NULL, 0);
    } else if (slot->request.kind == WIRE_WRITE) {
        send_small(s, slot, 0, payload, wire_put_written(payload, length));
    } else {
        wire_put_reply(head, slot->request.unique, 0, length);
        send_reply(s, slot, head, WIRE_BEFORE_REPLY + length);
    }
}

static void serve_open(const struct server *s, struct slot *slot)
{
    uint8_t payload[WIRE_PAYLOAD_MAX];
    int flags = (int)slot->request.flags;
    int err = tree_open(s->tree, slot->request.inode, flags);

    if (err) {
        serve_answer(s, slot, err, 0);
        return;
    }
    if (s->debug)
        log_reply(slot, 0, 0);
    if (!send_small(s, slot, 0, payload, wire_put_opened(payload)))
        /* No release will come. */
        export_release(s->tree->exported, view_of(slot->request.inode), opens_for_writing(flags));
}

void serve_request(const struct server *s, struct slot *slot)
{
    struct fuse_buf message = {.size = slot->length, .mem = slot_message(slot), .fd = -1};
    const struct wire_request *r = &slot->request;
    size_t done = 0;
    int err;

    switch (r->kind) {
    case WIRE_READ:
        err = export_read(s->tree->exported, view_of(r->inode), slot->payload, r->size, r->offset,
                          &done);
        serve_answer(s, slot, err, done);
        break;
    case WIRE_WRITE:
        err =
            tree_write(s->tree, r->inode, (int)r->flags, slot->payload, r->size, r->offset, &done);
        serve_answer(s, slot, err, done);
        break;
    case WIRE_OPEN:
        serve_open(s, slot);
        break;
    case WIRE_BROKEN:
        serve_answer(s, slot, -EINVAL, 0);
        break;
    case WIRE_IGNORE:
        break;
    case WIRE_SHORT:
    case WIRE_OTHER:
        fuse_session_process_buf(s->fuse, &message);
        break;
    }
}
