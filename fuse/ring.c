/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "fuse/ring.h"

#include <errno.h>
#include <stdlib.h>

#ifdef HAVE_LIBURING

#include <liburing.h>
#include <poll.h>

struct ring {
    struct io_uring uring;
    const struct slots *slots;
    bool used;
    bool fixed;   /* the slots' memory is registered */
    bool polling; /* the descriptor is being watched */
};

/* Completions are taken in when we ask for them, not by interrupting us; kernel 6.1 and later. */
#define WANTED (IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN)

static bool has_operations(struct io_uring *uring)
{
    struct io_uring_probe *probe = io_uring_get_probe_ring(uring);
    bool has = probe && io_uring_opcode_supported(probe, IORING_OP_READ) &&
               io_uring_opcode_supported(probe, IORING_OP_WRITE) &&
               io_uring_opcode_supported(probe, IORING_OP_POLL_ADD);

    io_uring_free_probe(probe);
    return has;
}

int ring_make(struct ring **ring, const struct slots *slots)
{
    struct ring *r = calloc(1, sizeof(*r));
    unsigned entries = slots->count + 1; /* and the watch */
    int err;

    if (!r)
        return -ENOMEM;
    r->slots = slots;
    err = io_uring_queue_init(entries, &r->uring, WANTED);
    if (err == -EINVAL)
        err = io_uring_queue_init(entries, &r->uring, 0);
    if (!err && !has_operations(&r->uring)) {
        io_uring_queue_exit(&r->uring);
        err = -EOPNOTSUPP;
    }
    if (err) {
        free(r);
        return err;
    }
    *ring = r;
    return 0;
}

void ring_free(struct ring *r)
{
    if (!r)
        return;
    io_uring_queue_exit(&r->uring);
    free(r);
}

/*
 * Registered memory is all there until ring_rest(): so only when it is needed. It may be more than
 * may be locked (a ring made with CAP_IPC_LOCK is not counted); then pages are looked up for each
 * request.
 */
static void register_memory(struct ring *r)
{
    struct iovec memory = {r->slots->memory, r->slots->size};

    r->used = true;
    r->fixed = io_uring_register_buffers(&r->uring, &memory, 1) == 0;
}

void ring_rest(struct ring *r)
{
    if (r->fixed)
        io_uring_unregister_buffers(&r->uring);
    r->used = r->fixed = false;
}

void ring_queue(struct ring *r, struct slot *slot)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&r->uring); /* there is one for each slot */
    const struct direct *d = &slot->direct;
    unsigned length = (unsigned)d->length;

    if (!r->used)
        register_memory(r);
    if (d->write && r->fixed)
        io_uring_prep_write_fixed(sqe, d->fd, slot->payload, length, d->offset, 0);
    else if (d->write)
        io_uring_prep_write(sqe, d->fd, slot->payload, length, d->offset);
    else if (r->fixed)
        io_uring_prep_read_fixed(sqe, d->fd, slot->payload, length, d->offset, 0);
    else
        io_uring_prep_read(sqe, d->fd, slot->payload, length, d->offset);
    io_uring_sqe_set_data(sqe, slot);
}

static int usual(int err)
{
    return err >= 0 || err == -EINTR || err == -EAGAIN || err == -EBUSY || err == -ETIME ? 0 : err;
}

int ring_submit(struct ring *r)
{
    return usual(io_uring_submit_and_get_events(&r->uring));
}

int ring_wait(struct ring *r, int fd)
{
    if (fd >= 0 && !r->polling) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(&r->uring);

        io_uring_prep_poll_add(sqe, fd, POLLIN);
        io_uring_sqe_set_data(sqe, NULL);
        r->polling = true;
    }
    return usual(io_uring_submit_and_wait(&r->uring, 1));
}

struct slot *ring_completed(struct ring *r, int *result)
{
    struct io_uring_cqe *cqe;
    struct slot *slot = NULL;

    while (!slot && io_uring_peek_cqe(&r->uring, &cqe) == 0) {
        slot = io_uring_cqe_get_data(cqe);
        *result = cqe->res;
        if (!slot)
            r->polling = false;
        io_uring_cqe_seen(&r->uring, cqe);
    }
    return slot;
}

#else

int ring_make(struct ring **ring, const struct slots *slots)
{
    (void)ring;
    (void)slots;
    return -ENOSYS;
}

void ring_free(struct ring *ring)
{
    (void)ring;
}

void ring_queue(struct ring *ring, struct slot *slot)
{
    (void)ring;
    (void)slot;
}

void ring_rest(struct ring *ring)
{
    (void)ring;
}

int ring_submit(struct ring *ring)
{
    (void)ring;
    return 0;
}

int ring_wait(struct ring *ring, int fd)
{
    (void)ring;
    (void)fd;
    return 0;
}

struct slot *ring_completed(struct ring *ring, int *result)
{
    (void)ring;
    (void)result;
    return NULL;
}

#endif
