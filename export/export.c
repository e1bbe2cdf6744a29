/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "export/export.h"

#include "common/cleanup.h"
#include "common/log.h"
#include "device/holders.h"
#include "device/source.h"
#include "overlay/commit.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

struct cow_settings export_cow_settings(const struct export_settings *settings)
{
    return (struct cow_settings){.file = settings->cow,
                                 .source = settings->source,
                                 .state = settings->state,
                                 .reset_state = settings->reset_state,
                                 .no_discard = settings->no_discard,
                                 .block_size = settings->block_size};
}

static struct safety_policy policy_of(const struct exported *e)
{
    return (struct safety_policy){.read_only = e->settings->read_only || e->settings->cow,
                                  .allow_errors = e->settings->allow_errors};
}

static int open_store(struct exported *e, unsigned flags, struct failure *failure)
{
    if (e->settings->read_only)
        flags |= STORE_READ_ONLY;
    return store_open(&e->store, e->settings->state, facts_identity(&e->facts), &e->layout, flags,
                      failure);
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

/* Under claim_lock, with no client. */
static int take(struct exported *e, struct failure *failure)
{
    const struct export_settings *s = e->settings;
    struct safety_policy policy = policy_of(e);
    struct footprint given_back = e->claim.footprint;
    int err = claim_take(&e->claim, s->source, &policy, &e->facts, failure);

    if (err)
        return err;
    notice_change(e, &given_back);
    e->claim.backing.no_discard = s->no_discard;
    err = commit_check(&e->cow, &e->facts, failure);
    if (!err)
        err = s->cow ? cow_open(&e->overlay, &e->store, &e->cow, &e->layout, &e->claim, failure)
                     : open_store(e, 0, failure);
    if (!err && s->disk)
        err = volume_open(&e->volume, failure);
    if (err) {
        close_all(e);
        return err;
    }
    for (enum view_id view = 0; view < VIEWS; view++)
        e->views[view].path = path_of(e, view);
    if (BACKING_IS_NULL)
        log_warning("%s: built for measuring: nothing is read or written", e->facts.path);
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

void export_release(struct exported *e, enum view_id view, bool writing)
{
    LOCK_SCOPE(&e->claim_lock);

    e->views[view].writers -= writing;
    if (--e->opens == 0)
        give_back(e);
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

static void log_start(const struct exported *e)
{
    char disk[SIZE_TEXT_MAX], block[SIZE_TEXT_MAX];
    const struct export_settings *s = e->settings;
    cleanup_free char *where = NULL;

    if ((s->cow ? asprintf(&where, "%s", s->cow)
                : asprintf(&where, "%s/%s.state", s->state, facts_identity(&e->facts))) < 0)
        return;
    log_info("%s (%s, %s%s%s): %s, %u-byte sectors, %s blocks; identity %s; %s%s%s%s",
             e->facts.path, e->facts.is_block ? "block device" : "image file",
             *e->facts.type ? e->facts.type : "no file system", *e->facts.uuid ? ", UUID " : "",
             e->facts.uuid, format_size(e->layout.disk_size, disk), e->layout.logical_sector,
             format_size(e->layout.block_size, block), facts_identity(&e->facts),
             s->cow                                    ? "writes go to "
             : s->read_only && access(where, F_OK) < 0 ? "no state in "
                                                       : "state in ",
             where, s->read_only ? "; read-only" : "",
             s->claim_at_mount ? "; claimed for the whole mount" : "");
    if (*e->facts.mounted_on)
        log_warning("%s is mounted on %s: the VHDX can be opened as soon as it is unmounted",
                    e->facts.path, e->facts.mounted_on);
}

/* What can be known without taking the device, which may be mounted at this moment. */
static int look(struct exported *e, struct failure *failure)
{
    struct safety_policy policy = policy_of(e);
    cleanup_free char *path = NULL;
    struct verdict verdict;
    int err = source_resolve(e->settings->source, &path, failure);

    if (!err)
        err = probe(path, &e->facts, failure);
    if (err)
        return err;
    safety_judge(&e->facts, &policy, &verdict);
    if (verdict.refused) {
        *failure = verdict.refusal;
        return -EPERM;
    }
    for (unsigned i = 0; i < verdict.warning_count; i++)
        log_warning("%s: %s", e->facts.path, verdict.warnings[i]);
    return 0;
}

static int lay_out(struct exported *e, struct failure *failure)
{
    struct vhdx_params params = {e->facts.size, e->settings->block_size, e->facts.logical_sector,
                                 e->facts.physical_sector};
    const char *why = "out of memory";
    int err = vhdx_layout_init(&e->layout, &params, &why);

    if (!err)
        err = vhdx_layout_map(&e->layout, &e->views[VIEW_VHDX].map);
    return err ? failed(failure, EXIT_INVALID_IMAGE, err, "%s cannot be shown as a VHDX: %s",
                        e->facts.path, why)
               : 0;
}

/* Idle instances may wait for the same partition; one that has it would keep this one waiting. */
static int refuse_served(const struct exported *e, struct failure *failure)
{
    unsigned waited = 0;
    struct stat st;
    int pid;

    if (stat(e->facts.path, &st) < 0)
        return 0;
    do /* one whose mount has just gone is about to end */
        if (!holders_served(&st, &pid))
            return 0;
    while (claim_wait(&waited));
    return failed(failure, EXIT_UNSAFE, -EBUSY,
                  "%s is already served by another vhdxfs (process %d), which has it open",
                  e->facts.path, pid);
}

/* A state that cannot be used is told at the start, not when a client opens the file. */
static int try_store(struct exported *e, struct failure *failure)
{
    const struct export_settings *s = e->settings;
    int err;

    if (s->cow)
        return cow_look(&e->cow, &e->facts, &e->layout, failure);
    err = open_store(e, s->reset_state ? STORE_RESET : 0, failure);
    if (!err && store_log_is_dirty(e->store))
        log_warning("%s: the VHDX log waits to be replayed by the next client that opens it",
                    store_path(e->store));
    store_close(e->store);
    e->store = NULL;
    return err;
}

/* The disk around the file. With cow it is in memory: a rehearsal leaves nothing behind. */
static int start_volume(struct exported *e, struct failure *failure)
{
    const struct export_settings *s = e->settings;
    unsigned flags = s->cow ? VOLUME_MEMORY : s->read_only ? VOLUME_READ_ONLY : 0;
    int err;

    if (!s->disk)
        return 0;
    if (s->reset_disk)
        flags |= VOLUME_RESET;
    err = volume_start(&e->volume, s->state, facts_identity(&e->facts), &e->layout, flags, failure);
    if (!err)
        err = volume_layout_map(&e->volume.layout, &e->layout, &e->views[VIEW_DISK].map);
    return err;
}

static int try_storage(struct exported *e, struct failure *failure)
{
    int err = start_volume(e, failure);

    /* Nothing is written before it is known that all can be. */
    if (!err)
        err = try_store(e, failure);
    if (!err && e->settings->disk)
        err = volume_keep(&e->volume, failure);
    return err;
}

static int take_at_start(struct exported *e, struct failure *failure)
{
    const struct export_settings *s = e->settings;
    struct safety_policy policy = policy_of(e);
    struct claim claim;
    int err;

    if (!s->claim_at_mount)
        return try_storage(e, failure);
    /* The state is made only when it is certain that the device is to be had. */
    err = claim_take(&claim, s->source, &policy, &e->facts, failure);
    if (err)
        return err;
    err = try_storage(e, failure);
    claim_release(&claim);
    return err ? err : export_open(e, VIEW_VHDX, false, failure);
}

static void free_all(struct exported *e)
{
    for (enum view_id view = 0; view < VIEWS; view++)
        extent_map_free(&e->views[view].map);
    volume_end(&e->volume);
}

int export_prepare(struct exported *e, const struct export_settings *settings,
                   struct failure *failure)
{
    int err;

    *e = (struct exported){.settings = settings,
                           .cow = export_cow_settings(settings),
                           .claim_lock = PTHREAD_MUTEX_INITIALIZER,
                           .flush_lock = PTHREAD_MUTEX_INITIALIZER,
                           .volume = {.memory = -1, .whole = -1}};
    touch(e);
    err = look(e, failure);
    if (!err)
        err = refuse_served(e, failure);
    if (!err)
        err = lay_out(e, failure);
    if (!err)
        err = commit_check(&e->cow, &e->facts, failure);
    if (err)
        free_all(e);
    return err;
}

int export_start(struct exported *e, struct failure *failure)
{
    int err = take_at_start(e, failure);

    if (err) {
        free_all(e);
        return err;
    }
    log_start(e);
    return 0;
}

int export_stop(struct exported *e)
{
    int err = 0;

    /* Clients that were cut off by the unmount did not get to close. */
    if (e->opens > 0)
        err = give_back(e);
    e->opens = 0;
    free_all(e);
    return err;
}
