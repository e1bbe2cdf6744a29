/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "overlay/commit.h"

#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"
#include "common/progress.h"
#include "common/units.h"
#include "overlay/cow.h"
#include "overlay/overlay_open.h"
#include "state/as_vhdx.h"
#include "state/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A commit on its way. Zero or NULL is what is not open. */
struct commit {
    const struct cow_settings *settings;
    char *directory; /* FILE.state */
    int fd;          /* of the overlay; -1 when 'overlay' has it */
    int header_fd;   /* the same */
    struct overlay_header header;
    bool claimed;
    struct claim claim;
    struct vhdx_layout layout;
    struct overlay *overlay;
    struct store *from; /* the overlay's VHDX metadata, NULL when there is none */
    struct store *to;   /* the partition's */
};

/* --- the mark ------------------------------------------------------------- */

static int enter_mark(struct state_dir *dir, const struct cow_settings *settings,
                      const char *identity, bool read_only, struct failure *failure)
{
    int err = state_dir_enter(dir, settings->state, identity, read_only, failure);

    state_dir_select(dir, "commit");
    return err;
}

/* The mark's text is the overlay's path, for the message. */
static int set_mark(const struct cow_settings *settings, const char *identity,
                    struct failure *failure)
{
    cleanup_state_dir struct state_dir dir = STATE_DIR_INIT;
    cleanup_fd int fd = -1;
    int err = enter_mark(&dir, settings, identity, false, failure);

    if (err)
        return err;
    fd = state_dir_create(&dir);
    err = fd < 0 ? fd : pwrite_full(fd, settings->file, strlen(settings->file), 0);
    if (!err && fsync(fd) < 0)
        err = -errno;
    if (!err)
        err = state_dir_publish(&dir);
    return err ? failed(failure, EXIT_IO_ERROR, err, "%s: cannot make it: %s", dir.path,
                        strerror(-err))
               : 0;
}

static int remove_mark(const struct cow_settings *settings, const char *identity,
                       struct failure *failure)
{
    cleanup_state_dir struct state_dir dir = STATE_DIR_INIT;
    int err = enter_mark(&dir, settings, identity, false, failure);

    if (err)
        return err;
    if (unlinkat(dir.fd, dir.name, 0) < 0 && errno != ENOENT)
        err = -errno;
    if (!err && fsync(dir.fd) < 0)
        err = -errno;
    return err ? failed(failure, EXIT_IO_ERROR, err, "%s: cannot remove it: %s", dir.path,
                        strerror(-err))
               : 0;
}

int commit_check(const struct cow_settings *settings, const struct facts *facts,
                 struct failure *failure)
{
    cleanup_state_dir struct state_dir dir = STATE_DIR_INIT;
    cleanup_fd int fd = -1;
    char overlay[512] = "";
    int err = enter_mark(&dir, settings, facts_identity(facts), true, failure);

    if (err)
        return err == -ENOENT ? 0 : err;
    fd = openat(dir.fd, dir.name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0 || read(fd, overlay, sizeof(overlay) - 1) < 0)
        return failed(failure, EXIT_IO_ERROR, -errno, "%s: %s", dir.path, strerror(errno));
    return failed(failure, EXIT_UNSAFE, -ESTALE,
                  "%s: a commit of the overlay %s to it was interrupted, so it holds a part of "
                  "that; finish it first (vhdxfs --commit -o cow=%s %s); if the overlay is gone "
                  "for good and you have repaired the partition, remove %s",
                  facts->path, overlay, overlay, settings->source, dir.path);
}

/* --- commit --------------------------------------------------------------- */

static int take_claim(struct commit *c, bool read_only, struct failure *failure)
{
    /*
     * What is on it was judged when the overlay was made, and must be that still, or (after an
     * interruption) something half written.
     */
    struct safety_policy policy = {.read_only = read_only, .any_content = true};
    int err = claim_take(&c->claim, c->settings->source, &policy, NULL, failure);

    c->claimed = !err;
    if (err)
        return err;
    /* Now: an empty device is told that it is, not that the overlay is another partition's. */
    return lay_out_as_vhdx(&c->layout, &c->claim.facts, c->settings->block_size, failure);
}

/*
 * The partition of an interrupted commit: each sector of its mark is the old one, or the one
 * that the commit has put there.
 */
static int check_half_written(const struct commit *c, const struct overlay_header *now,
                              struct failure *failure)
{
    uint8_t final[OVERLAY_MARK_SIZE];
    int err = 0;

    memcpy(final, c->header.mark, sizeof(final));
    if (overlay_holds(c->overlay, OVERLAY_MARK_AT) &&
        now->disk_size >= OVERLAY_MARK_AT + OVERLAY_MARK_SIZE)
        err = disk_read(overlay_disk(c->overlay), final, sizeof(final), OVERLAY_MARK_AT);
    if (err)
        return failed(failure, EXIT_IO_ERROR, err, "%s: cannot read it: %s", c->settings->file,
                      strerror(-err));
    for (size_t at = 0; at < sizeof(final); at += 512)
        if (memcmp(now->mark + at, c->header.mark + at, 512) != 0 &&
            memcmp(now->mark + at, final + at, 512) != 0)
            return failed(failure, EXIT_UNSAFE, -ESTALE,
                          "%s: the partition has been changed by somebody else after this commit "
                          "was interrupted; if you know that the commit was complete, or do not "
                          "need it, remove %s and %s.state by hand and check the partition",
                          c->settings->file, c->settings->file, c->settings->file);
    return 0;
}

static int check_partition(struct commit *c, struct failure *failure)
{
    struct overlay_header now, expected = c->header;
    int err = overlay_describe(&c->claim.facts, c->claim.backing.fd, &now, failure);

    if (!err && c->header.state == OVERLAY_NORMAL) {
        err = overlay_check(c->settings->file, &c->header, &now, failure);
        /* Another overlay's commit may be unfinished, and the mark still the old one. */
        return err ? err : commit_check(c->settings, &c->claim.facts, failure);
    }
    if (err)
        return err;
    /* Identity and mark may be the new ones already. */
    memcpy(expected.identity, now.identity, sizeof(expected.identity));
    memcpy(expected.mark, now.mark, sizeof(expected.mark));
    err = overlay_check(c->settings->file, &expected, &now, failure);
    return err ? err : check_half_written(c, &now, failure);
}

/* Whether FILE.state holds a state: not when a removal was interrupted. */
static bool has_state(const struct commit *c)
{
    cleanup_state_dir struct state_dir dir = STATE_DIR_INIT;

    return state_dir_enter(&dir, c->directory, c->header.identity, true, NULL) == 0 &&
           faccessat(dir.fd, dir.name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Both states are opened before anything is written: what is wrong with them is told in time. */
static int open_states(struct commit *c, struct failure *failure)
{
    const struct cow_settings *settings = c->settings;
    int err = 0;

    if (!settings->reset_state && has_state(c))
        err = store_open(&c->from, c->directory, c->header.identity, &c->layout, STORE_READ_ONLY,
                         failure);
    if (err)
        return err;
    return store_open(&c->to, settings->state, c->header.identity, &c->layout,
                      settings->reset_state ? STORE_RESET : 0, failure);
}

static int begin(struct commit *c, struct failure *failure)
{
    int err;

    c->header.state = OVERLAY_COMMITTING;
    err = overlay_write_header(c->header_fd, &c->header);
    if (err)
        return failed(failure, EXIT_IO_ERROR, err, "%s: cannot write it: %s", c->settings->file,
                      strerror(-err));
    return set_mark(c->settings, c->header.identity, failure);
}

struct copying {
    struct progress progress;
    uint64_t total; /* bytes */
};

static void show_copied(void *arg, uint64_t grains)
{
    struct copying *copying = arg;

    progress_show(&copying->progress, grains * OVERLAY_GRAIN, copying->total);
}

static int copy(struct commit *c, struct failure *failure)
{
    struct copying copying = {.total = overlay_present(c->overlay) * OVERLAY_GRAIN};
    char size[SIZE_TEXT_MAX];
    int err;

    log_info("%s: writing %s from %s; should this be interrupted, run it again before the "
             "partition is used",
             c->claim.facts.path, format_size(copying.total, size), c->settings->file);
    progress_begin(&copying.progress, "committing", true);
    err = overlay_copy(c->overlay, &c->claim.backing.disk, !c->settings->no_discard, show_copied,
                       &copying);
    progress_end(&copying.progress);
    return err ? failed(failure, EXIT_IO_ERROR, err,
                        "%s: writing the overlay to it failed: %s; the partition holds a part of "
                        "it: run the command again before anything else uses the partition",
                        c->claim.facts.path, strerror(-err))
               : 0;
}

static int copy_state(struct commit *c, struct failure *failure)
{
    cleanup_free uint8_t *image = malloc(VHDX_META_SIZE);
    int err = image ? 0 : -ENOMEM;

    if (!err && c->from) {
        store_read(c->from, image, VHDX_META_SIZE, 0);
        err = store_write(c->to, image, VHDX_META_SIZE, 0);
    }
    if (!err)
        err = store_flush(c->to);
    return err ? failed(failure, EXIT_IO_ERROR, err, "%s: cannot write the state: %s",
                        store_path(c->to), strerror(-err))
               : 0;
}

static int remove_overlay(const struct commit *c, struct failure *failure)
{
    int err = overlay_remove(c->settings->file);

    return err ? failed(failure, EXIT_IO_ERROR, err, "%s: cannot remove it: %s", c->settings->file,
                        strerror(-err))
               : 0;
}

/* What is not ours in FILE.state stays where it is, and is told. */
static int remove_state(const struct commit *c, const char *identity, struct failure *failure)
{
    int err = cow_remove_state(c->directory, identity, failure);

    if (err == -ENOTEMPTY) {
        log_warning("%s", failure->text);
        err = 0;
    }
    return err;
}

/* Under the overlay's lock, so that nobody opens it meanwhile; itself last: see commit.h. */
static int clear_away(const struct commit *c, struct failure *failure)
{
    int err = remove_mark(c->settings, c->header.identity, failure);

    if (!err)
        err = remove_state(c, c->header.identity, failure);
    return err ? err : remove_overlay(c, failure);
}

static int run(struct commit *c, struct failure *failure)
{
    int err = take_claim(c, false, failure);

    if (err)
        return err;
    c->claim.backing.no_discard = c->settings->no_discard;
    err = overlay_start(&c->overlay, c->fd, &c->header, &c->claim.backing.disk);
    if (err)
        return failed(failure, EXIT_IO_ERROR, err, "%s: cannot read it: %s", c->settings->file,
                      strerror(-err));
    c->fd = -1; /* the overlay's now */
    err = check_partition(c, failure);
    if (!err)
        err = open_states(c, failure);
    if (!err)
        err = begin(c, failure);
    if (!err)
        err = copy(c, failure);
    if (!err)
        err = copy_state(c, failure);
    if (!err)
        err = clear_away(c, failure);
    if (!err)
        log_info("%s: the overlay is committed and removed", c->claim.facts.path);
    return err;
}

static int open_commit(struct commit *c, const struct cow_settings *settings,
                       struct failure *failure)
{
    *c = (struct commit){.settings = settings, .fd = -1, .header_fd = -1};
    c->directory = cow_state_directory(settings);
    if (!c->directory)
        return -ENOMEM;
    c->fd = overlay_open(settings->file, &c->header, failure);
    c->header_fd = c->fd;
    return c->fd < 0 ? c->fd : 0;
}

static void close_commit(struct commit *c)
{
    store_close(c->from);
    store_close(c->to);
    overlay_close(c->overlay);
    if (c->claimed)
        claim_release(&c->claim);
    close_fd(&c->fd);
    free(c->directory);
}

int commit_overlay(const struct cow_settings *settings, struct failure *failure)
{
    struct commit commit;
    int err = open_commit(&commit, settings, failure);

    if (!err)
        err = run(&commit, failure);
    close_commit(&commit);
    return err;
}

/* --- discard -------------------------------------------------------------- */

static int discard(struct commit *c, struct failure *failure)
{
    const char *identity;
    int err;

    if (c->header.state == OVERLAY_COMMITTING)
        return failed(failure, EXIT_UNSAFE, -ESTALE,
                      "%s: a commit of this overlay was interrupted, so the partition holds a "
                      "part of it, and without the overlay it would stay damaged; finish it "
                      "(vhdxfs --commit -o cow=%s %s)",
                      c->settings->file, c->settings->file, c->settings->source);
    err = take_claim(c, true, failure);
    if (err)
        return err;
    identity = facts_identity(&c->claim.facts);
    if (c->fd >= 0 && strcmp(c->header.identity, identity) != 0)
        return failed(failure, EXIT_UNSAFE, -ESTALE,
                      "%s is an overlay for partition %s, not for %s; if that is gone, remove %s "
                      "and %s.state by hand",
                      c->settings->file, c->header.identity, identity, c->settings->file,
                      c->settings->file);
    /* The overlay first: a state that is left alone does no harm. */
    err = remove_overlay(c, failure);
    if (!err)
        err = remove_state(c, identity, failure);
    if (!err)
        log_info("%s: removed; the partition is as it was", c->settings->file);
    return err;
}

int commit_discard(const struct cow_settings *settings, struct failure *failure)
{
    struct commit commit;
    int err = open_commit(&commit, settings, failure);

    /* A removal that was interrupted may have left the state alone. */
    if (err == -ENOENT && access(commit.directory, F_OK) == 0)
        err = 0;
    if (!err)
        err = discard(&commit, failure);
    close_commit(&commit);
    return err;
}
