/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fuse/transport.h"

#include "common/clock.h"
#include "common/log.h"
#include "fuse/pace.h"
#include "fuse/ring.h"
#include "fuse/workers.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SLOTS 32
/* So many requests are received before the device is told of them; a large one ends it. */
#define BATCH 16
#define LARGE (64 * KIB)
/* When there was no load for so long, the memory that it took is given back. */
#define REST_MS 5000

struct transport {
    struct server server;
    struct slots slots;
    struct workers workers;
    struct ring *ring; /* or NULL */
    bool single;       /* each request is done by the thread that receives it, before the next */
    struct pace pace;
    unsigned flying; /* requests in the ring */
    bool full;       /* no slot was free when one was wanted */
    bool loaded;     /* there were many or large requests, which took memory, */
    uint64_t load;   /* and this is when the last one came, nanoseconds */
};

int transport_make(struct transport **transport, bool single)
{
    struct transport *t = calloc(1, sizeof(*t));
    int err = t ? slots_make(&t->slots, single ? 1 : SLOTS) : -ENOMEM;

    if (err) {
        free(t);
        return err;
    }
    t->single = single;
    err = single ? 0 : ring_make(&t->ring, &t->slots);
    if (err)
        log_info("no io_uring (%s): many requests at once will be slower", strerror(-err));
    *transport = t;
    return 0;
}

void transport_free(struct transport *t)
{
    if (!t)
        return;
    ring_free(t->ring);
    slots_free(&t->slots);
    free(t);
}

/* In a thread of the pool. */
static void work(void *arg, struct slot *slot)
{
    struct transport *t = arg;

    serve_request(&t->server, slot);
    slots_put(&t->slots, slot);
}

static void serve_here(struct transport *t, struct slot *slot)
{
    uint64_t begun = monotonic_ns();

    serve_request(&t->server, slot);
    if (wire_is_data(&slot->request))
        pace_add(&t->pace, monotonic_ns() - begun, slot->request.size);
    slots_put(&t->slots, slot);
}

/* A write that is acknowledged only when it is on stable storage (tree_write()). */
static bool wants_flush(const struct wire_request *r)
{
    return r->kind == WIRE_WRITE && r->flags & O_DSYNC;
}

static bool give_to_device(struct transport *t, struct slot *slot)
{
    const struct wire_request *r = &slot->request;

    if (!t->ring || wants_flush(r) ||
        !export_begin(t->server.tree->exported, view_of(r->inode), &slot->direct,
                      r->kind == WIRE_WRITE, slot->payload, r->size, r->offset))
        return false;
    slot->begun =
        t->flying ? 0 : monotonic_ns(); /* only the first one's time is the device's own */
    t->flying++;
    ring_queue(t->ring, slot);
    return true;
}

/* Whether it may be served on the spot: when it will not take long, as far as one can know. */
static bool is_quick(const struct transport *t, const struct wire_request *r, bool alone)
{
    /* While the device works on a large one, the next one can be copied. */
    alone = alone && r->size <= LARGE;
    switch (r->kind) {
    case WIRE_READ:
        return alone && pace_is_quick(&t->pace);
    case WIRE_WRITE: /* elsewhere, it may ask for zeros over a whole block, or be judged */
        return alone && pace_is_quick(&t->pace) && !wants_flush(r) &&
               export_is_device(t->server.tree->exported, view_of(r->inode), r->size, r->offset);
    case WIRE_SHORT:
    case WIRE_IGNORE:
    case WIRE_BROKEN:
        return true;
    case WIRE_OPEN:
    case WIRE_OTHER:
        break;
    }
    return false;
}

static void handle(struct transport *t, struct slot *slot, bool alone)
{
    const struct wire_request *r = &slot->request;

    if (t->single || is_quick(t, r, alone))
        serve_here(t, slot);
    else if (!wire_is_data(r) || !give_to_device(t, slot))
        workers_give(&t->workers, slot);
}

/*
 * What the device has said about a request. Short counts and anything but an I/O error are not
 * final: the whole is done again, where it may wait and where such things are dealt with.
 */
static void complete(struct transport *t, struct slot *slot, int result)
{
    const struct direct *d = &slot->direct;
    bool good = result == (int)d->length;
    int err = result == -EIO ? -EIO : 0;

    t->flying--;
    if (slot->begun)
        pace_add(&t->pace, monotonic_ns() - slot->begun, d->length);
    export_end(t->server.tree->exported, view_of(slot->request.inode), d, err);
    if (!good && !err) {
        workers_give(&t->workers, slot);
        return;
    }
    serve_answer(&t->server, slot, err, d->length);
    slots_put(&t->slots, slot);
}

static void complete_all(struct transport *t)
{
    struct slot *slot;
    int result;

    while (t->flying && (slot = ring_completed(t->ring, &result)))
        complete(t, slot, result);
}

/*
 * Receives at most MOST requests, without waiting for any; how many, or -errno. When all slots are
 * in use and none of them is with the device, it waits until a thread gives one back.
 */
static int gather(struct transport *t, struct slot *batch[BATCH], int most)
{
    int n = 0;

    while (n < most) {
        struct slot *slot = slots_take(&t->slots, n == 0 && !t->flying);
        int err;

        t->full = !slot;
        if (!slot)
            break;
        err = serve_receive(&t->server, slot);
        if (err) {
            slots_put(&t->slots, slot);
            if (err == -EAGAIN || err == -EINTR || n > 0)
                break; /* what is lasting is met again */
            return err;
        }
        batch[n++] = slot;
        if (slot->length > LARGE)
            break;
    }
    return n;
}

static void rest(struct transport *t)
{
    if (t->ring)
        ring_rest(t->ring);
    slots_rest(&t->slots);
    t->loaded = false;
}

/*
 * For requests, and for what is under way. What is with the device must be waited for in any case;
 * with nothing there, being told to exit ends the waiting, too.
 */
static int wait_for_more(struct transport *t)
{
    struct pollfd fds[] = {{.fd = t->server.fd, .events = POLLIN},
                           {.fd = t->server.wake, .events = POLLIN}};

    if (t->flying)
        return ring_wait(t->ring, t->full ? -1 : t->server.fd);
    if (poll(fds, ARRAY_SIZE(fds), t->loaded ? REST_MS : -1) < 0 && errno != EINTR)
        return -errno;
    if (t->loaded && monotonic_ns() - t->load >= REST_MS * UINT64_C(1000000))
        rest(t);
    return 0;
}

/* Returns -errno: -ENODEV at an unmount. */
static int serve_some(struct transport *t, bool *waited)
{
    struct slot *batch[BATCH];
    /* What comes after a wait is taken for a lone one, so that it is not kept waiting. */
    int n = gather(t, batch, *waited && !t->flying ? 1 : BATCH), err = 0;

    if (n < 0)
        return n;
    *waited = n == 0;
    if (*waited)
        err = wait_for_more(t);
    else {
        bool alone = n == 1 && !t->flying;

        if (!alone || batch[0]->length > LARGE || batch[0]->request.size > LARGE) {
            t->loaded = true;
            t->load = monotonic_ns();
        }
        for (int i = 0; i < n; i++)
            handle(t, batch[i], alone);
        if (t->flying)
            err = ring_submit(t->ring);
    }
    complete_all(t);
    return err;
}

/*
 * Memory the device may still write to cannot be freed, and requests that cannot be waited for
 * cannot be answered: then only the kernel can end them, by ending the process.
 */
static void finish_flying(struct transport *t)
{
    while (t->flying) {
        int err = ring_wait(t->ring, -1);

        if (err) {
            log_error("io_uring failed with %u requests under way: %s", t->flying, strerror(-err));
            log_end();
            _exit(EXIT_IO_ERROR);
        }
        complete_all(t);
    }
}

int transport_run(struct transport *t, const struct server *server)
{
    int flags = fcntl(server->fd, F_GETFL), err;
    bool waited = true;

    t->server = *server;
    if (flags < 0 || fcntl(server->fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    err = t->single ? 0 : workers_start(&t->workers, work, t);
    while (!err && !fuse_session_exited(server->fuse))
        err = serve_some(t, &waited);
    finish_flying(t);
    if (!t->single)
        workers_end(&t->workers);
    return err == -ENODEV ? 0 : err;
}
