/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "export/export.h"

#include "common/cleanup.h"
#include "common/log.h"
#include "overlay/commit.h"

#include <errno.h>
#include <string.h>

struct timespec export_modified(const struct exported *e)
{
    int64_t ns = atomic_load(&e->modified);

    return (struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
}

void export_set_modified(struct exported *e, struct timespec when)
{
    atomic_store(&e->modified, (int64_t)when.tv_sec * 1000000000 + when.tv_nsec);
}

static void touch(struct exported *e)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    export_set_modified(e, now);
}

/* Each operation sees what the ones that were answered before have done. */
static void enter(struct exported *e)
{
    (void)atomic_load_explicit(&e->done, memory_order_acquire);
}

static void leave(struct exported *e)
{
    atomic_fetch_add_explicit(&e->done, 1, memory_order_acq_rel);
}

/*
 * Whoever had the file open before must see that it is no longer the same: SMB gives a durable
 * handle back only to a file with unchanged times.
 */
static void notice_change(struct exported *e, const struct footprint *given_back)
{
    if (footprint_equal(given_back, &e->claim.footprint))
        return;
    touch(e);
    log_debug("%s: was written to since it was given back", e->claim.facts.path);
}

static struct datapath path_of(struct exported *e, enum view_id view)
{
    struct disk *disk = e->overlay ? overlay_disk(e->overlay) : &e->claim.backing.disk;

    return (struct datapath){
        .layout = &e->layout,
        .map = &e->views[view].map,
        .disk = disk,
        .store = e->store,
        .image = view == VIEW_DISK ? &e->volume.image.disk : NULL,
        .fence = view == VIEW_DISK ? &e->volume.fence : NULL,
        .read_only = e->settings->read_only,
        .guard = {.lock = PTHREAD_MUTEX_INITIALIZER,
                  .disk = disk,
                  .layout = &e->layout,
                  .off = e->settings->no_firewall,
                  .latch = GUARD_LATCH},
    };
}

/* Under claim_lock, when the last client has gone, or while the first one comes. */
static void close_all(struct exported *e)
{
    volume_close(&e->volume);
    store_close(e->store);
    e->store = NULL;
    overlay_close(e->overlay);
    e->overlay = NULL;
    claim_release(&e->claim);
}

/* What the views read and write, over the claim. */
static int open_storage(struct exported *e, struct failure *failure)
{
    const struct export_settings *s = e->settings;
    int err = commit_check(&e->cow, &e->facts, failure);

    if (err)
        return err;
    err = s->cow ? cow_open(&e->overlay, &e->store, &e->cow, &e->layout, &e->claim, failure)
                 : store_open(&e->store, s->state, facts_identity(&e->facts), &e->layout,
                              s->read_only ? STORE_READ_ONLY : 0, failure);
    return err || !s->disk ? err : volume_open(&e->volume, failure);
}

/* Under claim_lock, with no client. */
static int take(struct exported *e, struct failure *failure)
{
    const struct export_settings *s = e->settings;
    struct footprint given_back = e->claim.footprint;
    int err = claim_take(&e->claim, s->source, &e->policy, &e->facts, failure);

    if (err)
        return err;
    notice_change(e, &given_back);
    e->claim.backing.no_discard = s->no_discard;
    err = open_storage(e, failure);
    if (err) {
        close_all(e);
        return err;
    }
    for (enum view_id view = 0; view < VIEWS; view++)
        e->views[view].path = path_of(e, view);
    log_debug("%s: taken (%s I/O)", e->claim.facts.path,
              e->claim.backing.align > 1 ? "direct" : "buffered");
    return 0;
}

/* Under claim_lock, when the last client has gone. */
static int give_back(struct exported *e)
{
    int err = export_flush(e);

    enter(e);
    close_all(e);
    log_debug("%s: given back", e->claim.facts.path);
    return err;
}

static const char *view_name(const struct exported *e, enum view_id view)
{
    return view == VIEW_DISK ? DISK_NAME : e->settings->name;
}

static int refuse_two_writers(const struct exported *e, enum view_id view, struct failure *failure)
{
    enum view_id other = view == VIEW_VHDX ? VIEW_DISK : VIEW_VHDX;

    if (!e->views[other].writers)
        return 0;
    return failed(failure, EXIT_UNSAFE, -EBUSY,
                  "%s: %s is open for writing, and both are the same partition; close that first",
                  view_name(e, view), view_name(e, other));
}

int export_open(struct exported *e, enum view_id view, bool writing, struct failure *failure)
{
    int err = 0;
    LOCK_SCOPE(&e->claim_lock);

    if (writing)
        err = refuse_two_writers(e, view, failure);
    if (!err && e->opens == 0)
        err = take(e, failure);
    if (!err) {
        e->opens++;
        e->views[view].writers += writing;
    }
    leave(e);
    return err;
}

int export_release(struct exported *e, enum view_id view, bool writing)
{
    LOCK_SCOPE(&e->claim_lock);

    e->views[view].writers -= writing;
    return --e->opens > 0 ? 0 : give_back(e);
}

int export_read(struct exported *e, enum view_id view, void *data, size_t length, uint64_t offset,
                size_t *done)
{
    uint64_t size = export_size(e, view);
    int err;

    enter(e);
    *done = offset < size ? (size_t)min_u64(length, size - offset) : 0;
    err = datapath_read(&e->views[view].path, data, *done, offset);
    leave(e);
    return err;
}

/* Also a failed write may have written a part. */
static void wrote(struct exported *e, int err)
{
    atomic_fetch_add(&e->writes, 1);
    if (!err)
        touch(e);
    leave(e);
}

int export_write(struct exported *e, enum view_id view, const void *data, size_t length,
                 uint64_t offset, size_t *done)
{
    uint64_t size = export_size(e, view);
    int err;

    *done = 0;
    if (!length)
        return 0;
    if (offset >= size)
        return -ENOSPC;
    length = (size_t)min_u64(length, size - offset);
    enter(e);
    err = datapath_write(&e->views[view].path, data, length, offset);
    wrote(e, err);
    if (!err)
        *done = length;
    return err;
}

/* What FUSE asks for may reach behind the end, or be nothing. */
static bool lies_in(const struct exported *e, enum view_id view, size_t length, uint64_t offset)
{
    return length && range_inside(offset, length, export_size(e, view));
}

bool export_is_device(const struct exported *e, enum view_id view, size_t length, uint64_t offset)
{
    return lies_in(e, view, length, offset) &&
           datapath_is_device(&e->views[view].path, length, offset);
}

bool export_begin(struct exported *e, enum view_id view, struct direct *direct, bool write,
                  const void *data, size_t length, uint64_t offset)
{
    if (!lies_in(e, view, length, offset))
        return false;
    enter(e);
    return datapath_begin(&e->views[view].path, direct, write, data, length, offset);
}

void export_end(struct exported *e, enum view_id view, const struct direct *direct, int err)
{
    datapath_end(&e->views[view].path, direct, err);
    if (direct->write)
        wrote(e, err);
    else
        leave(e);
}

int export_zero(struct exported *e, enum view_id view, uint64_t offset, uint64_t length,
                bool discard)
{
    int err;

    if (!range_inside(offset, length, export_size(e, view)))
        return -ENOSPC;
    enter(e);
    err = datapath_zero(&e->views[view].path, offset, length, discard);
    wrote(e, err);
    return err;
}

/*
 * Whoever asks waits for a flush that began after all his writes were done. A flush that
 * somebody else has finished meanwhile may be that one: so flushes that queue up share one.
 */
int export_flush(struct exported *e)
{
    uint64_t wanted = atomic_load(&e->writes), begun;
    int err;
    LOCK_SCOPE(&e->flush_lock);

    enter(e);
    if (e->flushed >= wanted)
        return 0;
    begun = atomic_load(&e->writes);
    err = datapath_flush(&e->views[e->settings->disk ? VIEW_DISK : VIEW_VHDX].path);
    if (!err)
        e->flushed = begun;
    leave(e);
    return err;
}
