/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "export/start.h"

#include "common/cleanup.h"
#include "common/log.h"
#include "device/holders.h"
#include "device/source.h"
#include "overlay/commit.h"
#include "state/as_vhdx.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

struct cow_settings export_cow_settings(const struct export_settings *settings)
{
    return (struct cow_settings){.file = settings->cow,
                                 .source = settings->source,
                                 .state = settings->state,
                                 .reset_state = settings->reset_state,
                                 .no_discard = settings->no_discard,
                                 .block_size = settings->block_size};
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

static int lay_out(struct exported *e, struct failure *failure)
{
    int err = lay_out_as_vhdx(&e->layout, &e->facts, e->settings->block_size, failure);

    return err ? err : vhdx_layout_map(&e->layout, &e->views[VIEW_VHDX].map);
}

/* What can be known without taking the device, which may be mounted at this moment. */
static int look(struct exported *e, struct failure *failure)
{
    cleanup_free char *path = NULL;
    int err = source_resolve(e->settings->source, &path, failure);

    if (!err)
        err = probe(path, &e->facts, failure);
    /* Before it is judged: an empty device is told that it is, not that it has no UUID. */
    if (!err)
        err = lay_out(e, failure);
    return err ? err : claim_judge(&e->facts, &e->policy, failure);
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
static int try_store(const struct exported *e, struct failure *failure)
{
    const struct export_settings *s = e->settings;

    if (s->cow)
        return cow_look(&e->cow, &e->facts, &e->layout, failure);
    return store_try(s->state, facts_identity(&e->facts), &e->layout,
                     (s->read_only ? STORE_READ_ONLY : 0) | (s->reset_state ? STORE_RESET : 0),
                     failure);
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
    if (err)
        return err;
    return volume_layout_map(&e->volume.layout, &e->layout, &e->views[VIEW_DISK].map);
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
    struct claim claim;
    int err;

    if (!s->claim_at_mount)
        return try_storage(e, failure);
    /* The state is made only when it is certain that the device is to be had. */
    err = claim_take(&claim, s->source, &e->policy, &e->facts, failure);
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
    struct timespec now;
    int err;

    *e = (struct exported){.settings = settings,
                           .policy = {.read_only = settings->read_only || settings->cow,
                                      .allow_errors = settings->allow_errors},
                           .cow = export_cow_settings(settings),
                           .claim_lock = PTHREAD_MUTEX_INITIALIZER,
                           .flush_lock = PTHREAD_MUTEX_INITIALIZER,
                           .volume = {.memory = -1, .whole = -1}};
    clock_gettime(CLOCK_REALTIME, &now);
    export_set_modified(e, now);
    err = look(e, failure);
    if (!err)
        err = refuse_served(e, failure);
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
    while (e->opens > 0)
        err = export_release(e, VIEW_VHDX, false);
    free_all(e);
    return err;
}
