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

struct timespec session_modified(const struct session *s)
{
    int64_t ns = atomic_load(&s->modified);

    return (struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
}

void session_set_modified(struct session *s, struct timespec when)
{
    atomic_store(&s->modified, (int64_t)when.tv_sec * 1000000000 + when.tv_nsec);
}

static void touch(struct session *s)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    session_set_modified(s, now);
}

/* Each operation sees what the ones that were answered before have done. */
static void enter(struct session *s)
{
    (void)atomic_load_explicit(&s->done, memory_order_acquire);
}

static void leave(struct session *s)
{
    atomic_fetch_add_explicit(&s->done, 1, memory_order_acq_rel);
}

static struct safety_policy policy_of(const struct session *s)
{
    return (struct safety_policy){.read_only = s->options->read_only || s->options->cow,
                                  .allow_errors = s->options->allow_errors};
}

static int open_store(struct session *s, unsigned flags, struct failure *failure)
{
    if (s->options->read_only)
        flags |= STORE_READ_ONLY;
    return store_open(&s->store, s->options->state, facts_identity(&s->facts), &s->layout, flags,
                      failure);
}

/*
 * Whoever had the file open before must see that it is no longer the same: SMB gives a durable
 * handle back only to a file with unchanged times.
 */
static void notice_change(struct session *s, const struct footprint *given_back)
{
    if (footprint_equal(given_back, &s->claim.footprint))
        return;
    touch(s);
    log_debug("%s: was written to since it was given back", s->claim.facts.path);
}

static struct datapath path_of(struct session *s, enum view_id view)
{
    struct disk *disk = s->overlay ? overlay_disk(s->overlay) : &s->claim.backing.disk;

    return (struct datapath){
        .layout = &s->layout,
        .map = &s->views[view].map,
        .disk = disk,
        .store = s->store,
        .image = view == VIEW_DISK ? &s->volume.image.disk : NULL,
        .fence = view == VIEW_DISK ? &s->volume.fence : NULL,
        .read_only = s->options->read_only,
        .guard = {.lock = PTHREAD_MUTEX_INITIALIZER,
                  .disk = disk,
                  .layout = &s->layout,
                  .off = s->options->no_firewall,
                  .latch = GUARD_LATCH},
    };
}

/* Under claim_lock, when the last client has gone, or while the first one comes. */
static void close_all(struct session *s)
{
    volume_close(&s->volume);
    store_close(s->store);
    s->store = NULL;
    overlay_close(s->overlay);
    s->overlay = NULL;
    claim_release(&s->claim);
}

/* Under claim_lock, with no client. */
static int take(struct session *s, struct failure *failure)
{
    const struct options *o = s->options;
    struct safety_policy policy = policy_of(s);
    struct footprint given_back = s->claim.footprint;
    int err = claim_take(&s->claim, o->source, &policy, &s->facts, failure);

    if (err)
        return err;
    notice_change(s, &given_back);
    s->claim.backing.no_discard = o->no_discard;
    err = commit_check(o, &s->facts, failure);
    if (!err)
        err = o->cow ? cow_open(&s->overlay, &s->store, o, &s->layout, &s->claim, failure)
                     : open_store(s, 0, failure);
    if (!err && o->disk)
        err = volume_open(&s->volume, failure);
    if (err) {
        close_all(s);
        return err;
    }
    for (enum view_id view = 0; view < VIEWS; view++)
        s->views[view].path = path_of(s, view);
    if (BACKING_IS_NULL)
        log_warning("%s: built for measuring: nothing is read or written", s->facts.path);
    log_debug("%s: taken (%s I/O)", s->claim.facts.path,
              s->claim.backing.align > 1 ? "direct" : "buffered");
    return 0;
}

/* Under claim_lock, when the last client has gone. */
static int give_back(struct session *s)
{
    int err = session_flush(s);

    enter(s);
    close_all(s);
    log_debug("%s: given back", s->claim.facts.path);
    return err;
}

static const char *view_name(const struct session *s, enum view_id view)
{
    return view == VIEW_DISK ? DISK_NAME : s->options->name;
}

static int refuse_two_writers(const struct session *s, enum view_id view, struct failure *failure)
{
    enum view_id other = view == VIEW_VHDX ? VIEW_DISK : VIEW_VHDX;

    if (!s->views[other].writers)
        return 0;
    return failed(failure, EXIT_UNSAFE, -EBUSY,
                  "%s: %s is open for writing, and both are the same partition; close that first",
                  view_name(s, view), view_name(s, other));
}

int session_open(struct session *s, enum view_id view, bool writing, struct failure *failure)
{
    int err = 0;
    LOCK_SCOPE(&s->claim_lock);

    if (writing)
        err = refuse_two_writers(s, view, failure);
    if (!err && s->opens == 0)
        err = take(s, failure);
    if (!err) {
        s->opens++;
        s->views[view].writers += writing;
    }
    leave(s);
    return err;
}

void session_release(struct session *s, enum view_id view, bool writing)
{
    LOCK_SCOPE(&s->claim_lock);

    s->views[view].writers -= writing;
    if (--s->opens == 0)
        give_back(s);
}

int session_read(struct session *s, enum view_id view, void *data, size_t length, uint64_t offset,
                 size_t *done)
{
    uint64_t size = session_size(s, view);
    int err;

    enter(s);
    *done = offset < size ? (size_t)min_u64(length, size - offset) : 0;
    err = datapath_read(&s->views[view].path, data, *done, offset);
    leave(s);
    return err;
}

/* Also a failed write may have written a part. */
static void wrote(struct session *s, int err)
{
    atomic_fetch_add(&s->writes, 1);
    if (!err)
        touch(s);
    leave(s);
}

int session_write(struct session *s, enum view_id view, const void *data, size_t length,
                  uint64_t offset, size_t *done)
{
    uint64_t size = session_size(s, view);
    int err;

    *done = 0;
    if (!length)
        return 0;
    if (offset >= size)
        return -ENOSPC;
    length = (size_t)min_u64(length, size - offset);
    enter(s);
    err = datapath_write(&s->views[view].path, data, length, offset);
    wrote(s, err);
    if (!err)
        *done = length;
    return err;
}

/* What FUSE asks for may reach behind the end, or be nothing. */
static bool lies_in(const struct session *s, enum view_id view, size_t length, uint64_t offset)
{
    return length && range_inside(offset, length, session_size(s, view));
}

bool session_is_device(const struct session *s, enum view_id view, size_t length, uint64_t offset)
{
    return lies_in(s, view, length, offset) &&
           datapath_is_device(&s->views[view].path, length, offset);
}

bool session_begin(struct session *s, enum view_id view, struct direct *direct, bool write,
                   const void *data, size_t length, uint64_t offset)
{
    if (!lies_in(s, view, length, offset))
        return false;
    enter(s);
    return datapath_begin(&s->views[view].path, direct, write, data, length, offset);
}

void session_end(struct session *s, enum view_id view, const struct direct *direct, int err)
{
    datapath_end(&s->views[view].path, direct, err);
    if (direct->write)
        wrote(s, err);
    else
        leave(s);
}

int session_zero(struct session *s, enum view_id view, uint64_t offset, uint64_t length,
                 bool discard)
{
    int err;

    if (!range_inside(offset, length, session_size(s, view)))
        return -ENOSPC;
    enter(s);
    err = datapath_zero(&s->views[view].path, offset, length, discard);
    wrote(s, err);
    return err;
}

/*
 * Whoever asks waits for a flush that began after all his writes were done. A flush that
 * somebody else has finished meanwhile may be that one: so flushes that queue up share one.
 */
int session_flush(struct session *s)
{
    uint64_t wanted = atomic_load(&s->writes), begun;
    int err;
    LOCK_SCOPE(&s->flush_lock);

    enter(s);
    if (s->flushed >= wanted)
        return 0;
    begun = atomic_load(&s->writes);
    err = datapath_flush(&s->views[s->options->disk ? VIEW_DISK : VIEW_VHDX].path);
    if (!err)
        s->flushed = begun;
    leave(s);
    return err;
}

static void log_start(const struct session *s)
{
    char disk[SIZE_TEXT_MAX], block[SIZE_TEXT_MAX];
    const struct options *o = s->options;
    cleanup_free char *where = NULL;

    if ((o->cow ? asprintf(&where, "%s", o->cow)
                : asprintf(&where, "%s/%s.state", o->state, facts_identity(&s->facts))) < 0)
        return;
    log_info("%s (%s, %s%s%s): %s, %u-byte sectors, %s blocks; identity %s; %s%s%s%s",
             s->facts.path, s->facts.is_block ? "block device" : "image file",
             *s->facts.type ? s->facts.type : "no file system", *s->facts.uuid ? ", UUID " : "",
             s->facts.uuid, format_size(s->layout.disk_size, disk), s->layout.logical_sector,
             format_size(s->layout.block_size, block), facts_identity(&s->facts),
             o->cow                                    ? "writes go to "
             : o->read_only && access(where, F_OK) < 0 ? "no state in "
                                                       : "state in ",
             where, o->read_only ? "; read-only" : "",
             o->claim_at_mount ? "; claimed for the whole mount" : "");
    if (*s->facts.mounted_on)
        log_warning("%s is mounted on %s: the VHDX can be opened as soon as it is unmounted",
                    s->facts.path, s->facts.mounted_on);
}

/* What can be known without taking the device, which may be mounted at this moment. */
static int look(struct session *s, struct failure *failure)
{
    struct safety_policy policy = policy_of(s);
    cleanup_free char *path = NULL;
    struct verdict verdict;
    int err = source_resolve(s->options->source, &path, failure);

    if (!err)
        err = probe(path, &s->facts, failure);
    if (err)
        return err;
    safety_judge(&s->facts, &policy, &verdict);
    if (verdict.refused) {
        *failure = verdict.refusal;
        return -EPERM;
    }
    for (unsigned i = 0; i < verdict.warning_count; i++)
        log_warning("%s: %s", s->facts.path, verdict.warnings[i]);
    return 0;
}

static int lay_out(struct session *s, struct failure *failure)
{
    struct vhdx_params params = {s->facts.size, s->options->block_size, s->facts.logical_sector,
                                 s->facts.physical_sector};
    const char *why = "out of memory";
    int err = vhdx_layout_init(&s->layout, &params, &why);

    if (!err)
        err = vhdx_layout_map(&s->layout, &s->views[VIEW_VHDX].map);
    return err ? failed(failure, EXIT_INVALID_IMAGE, err, "%s cannot be shown as a VHDX: %s",
                        s->facts.path, why)
               : 0;
}

/* Idle instances may wait for the same partition; one that has it would keep this one waiting. */
static int refuse_served(const struct session *s, struct failure *failure)
{
    unsigned waited = 0;
    struct stat st;
    int pid;

    if (stat(s->facts.path, &st) < 0)
        return 0;
    do /* one whose mount has just gone is about to end */
        if (!holders_served(&st, &pid))
            return 0;
    while (claim_wait(&waited));
    return failed(failure, EXIT_UNSAFE, -EBUSY,
                  "%s is already served by another vhdxfs (process %d), which has it open",
                  s->facts.path, pid);
}

/* A state that cannot be used is told at the start, not when a client opens the file. */
static int try_store(struct session *s, struct failure *failure)
{
    const struct options *o = s->options;
    int err;

    if (o->cow)
        return cow_look(o, &s->facts, &s->layout, failure);
    err = open_store(s, o->reset_state ? STORE_RESET : 0, failure);
    if (!err && store_log_is_dirty(s->store))
        log_warning("%s: the VHDX log waits to be replayed by the next client that opens it",
                    store_path(s->store));
    store_close(s->store);
    s->store = NULL;
    return err;
}

/* The disk around the file. With cow it is in memory: a rehearsal leaves nothing behind. */
static int start_volume(struct session *s, struct failure *failure)
{
    const struct options *o = s->options;
    unsigned flags = o->cow ? VOLUME_MEMORY : o->read_only ? VOLUME_READ_ONLY : 0;
    int err;

    if (!o->disk)
        return 0;
    if (o->reset_disk)
        flags |= VOLUME_RESET;
    err = volume_start(&s->volume, o->state, facts_identity(&s->facts), &s->layout, flags, failure);
    if (!err)
        err = volume_layout_map(&s->volume.layout, &s->layout, &s->views[VIEW_DISK].map);
    return err;
}

static int try_storage(struct session *s, struct failure *failure)
{
    int err = start_volume(s, failure);

    /* Nothing is written before it is known that all can be. */
    if (!err)
        err = try_store(s, failure);
    if (!err && s->options->disk)
        err = volume_keep(&s->volume, failure);
    return err;
}

static int take_at_start(struct session *s, struct failure *failure)
{
    const struct options *o = s->options;
    struct safety_policy policy = policy_of(s);
    struct claim claim;
    int err;

    if (!o->claim_at_mount)
        return try_storage(s, failure);
    /* The state is made only when it is certain that the device is to be had. */
    err = claim_take(&claim, o->source, &policy, &s->facts, failure);
    if (err)
        return err;
    err = try_storage(s, failure);
    claim_release(&claim);
    return err ? err : session_open(s, VIEW_VHDX, false, failure);
}

static void free_all(struct session *s)
{
    for (enum view_id view = 0; view < VIEWS; view++)
        extent_map_free(&s->views[view].map);
    volume_end(&s->volume);
}

int session_prepare(struct session *s, const struct options *options, struct failure *failure)
{
    int err;

    *s = (struct session){.options = options,
                          .claim_lock = PTHREAD_MUTEX_INITIALIZER,
                          .flush_lock = PTHREAD_MUTEX_INITIALIZER,
                          .volume = {.memory = -1, .whole = -1}};
    touch(s);
    err = look(s, failure);
    if (!err)
        err = refuse_served(s, failure);
    if (!err)
        err = lay_out(s, failure);
    if (!err)
        err = commit_check(options, &s->facts, failure);
    if (err)
        free_all(s);
    return err;
}

int session_start(struct session *s, struct failure *failure)
{
    int err = take_at_start(s, failure);

    if (err) {
        free_all(s);
        return err;
    }
    log_start(s);
    return 0;
}

int session_stop(struct session *s)
{
    int err = 0;

    /* Clients that were cut off by the unmount did not get to close. */
    if (s->opens > 0)
        err = give_back(s);
    s->opens = 0;
    free_all(s);
    return err;
}
