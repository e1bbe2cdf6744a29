/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An export: one partition shown as a file, or as two (its views). start.h begins and ends it;
 * here is what clients do with it meanwhile.
 *
 * It knows what the partition is (facts) and what each file looks like (layout, map). While a
 * client has a file open it holds the claim, and on that the state store and, if asked for, the
 * overlay and the disk around the file. It knows nothing of FUSE: tests drive it directly.
 *
 * Threads: export_open() and export_release() may come from any thread; the data functions may run
 * in parallel with each other, between an open and its release. An open in one thread and a read in
 * another are ordered by the kernel alone, through which replies and requests go; 'done' says so in
 * the language's terms.
 * Lock order: claim_lock, flush_lock, then whatever is inside the layers below.
 */
#ifndef EXPORT_EXPORT_H
#define EXPORT_EXPORT_H

#include "device/claim.h"
#include "export/datapath.h"
#include "overlay/cow.h"
#include "volume/volume.h"

#include <time.h>

#define DISK_NAME "disk.img" /* of the second file, with a disk */

/* What is to be shown, and how. Texts and structure must outlive the export. */
struct export_settings {
    char *source; /* a path or tag, see source.h */
    char *name;   /* of the file */
    char *state;  /* directory */
    char *cow;    /* overlay file, or NULL */
    bool read_only;
    bool claim_at_mount; /* hold the device for the mount's whole life */
    bool reset_state;
    bool disk;         /* show the disk with an NTFS volume, too */
    bool reset_disk;   /* build that volume anew */
    bool allow_errors; /* serve an ext4 that has errors, or is larger than the device */
    bool no_discard;
    bool no_firewall;
    uint32_t block_size; /* bytes; 0: choose */
};

/* The files that show the partition. */
enum view_id {
    VIEW_VHDX, /* the VHDX */
    VIEW_DISK, /* with -o disk: the disk that holds an NTFS volume that holds the VHDX */
    VIEWS,
};

struct view {
    struct extent_map map;
    struct datapath path; /* while it is claimed */
    unsigned writers;     /* clients that have it open for writing; under claim_lock */
};

struct exported {
    /* Since the start. */
    const struct export_settings *settings;
    struct safety_policy policy; /* of the settings, for device/ */
    struct cow_settings cow;     /* the same for overlay/ */
    struct facts facts;          /* a claim must find the same */
    struct vhdx_layout layout;
    struct volume volume; /* with -o disk */
    struct view views[VIEWS];

    _Atomic int64_t modified;    /* nanoseconds since the epoch */
    atomic_uint_fast64_t writes; /* how many were done */
    atomic_uint_fast64_t done;   /* operations; orders them where only the kernel knows the order */

    pthread_mutex_t flush_lock;
    uint64_t flushed; /* how many writes are on stable storage; under flush_lock */

    pthread_mutex_t claim_lock;
    unsigned opens; /* under claim_lock, as the rest while it is 0 */
    struct claim claim;
    struct overlay *overlay; /* with -o cow, else NULL */
    struct store *store;
};

/*
 * A client opens a file: the first one takes the device. Only one of the views may be open for
 * WRITING at a time, since two clients would not know of each other: -EBUSY. 0 or -errno.
 */
int export_open(struct exported *exported, enum view_id view, bool writing,
                struct failure *failure);
/* And closes it: the last one flushes and gives the device back; -errno when that flush failed. */
int export_release(struct exported *exported, enum view_id view, bool writing);

/*
 * Data, in bytes of the virtual file; ranges are cut off at its end. *DONE is how much was
 * done. A write behind the end is -ENOSPC, like a block device's.
 */
int export_read(struct exported *exported, enum view_id view, void *data, size_t length,
                uint64_t offset, size_t *done);
int export_write(struct exported *exported, enum view_id view, const void *data, size_t length,
                 uint64_t offset, size_t *done);
/*
 * The same for a caller who waits for the device in his own way (see datapath_begin()).
 * False: not possible for this request, or not now; export_read() or export_write() will do it.
 *
 * A write counts for export_flush() from its export_end() on, which must come before it is
 * acknowledged: so, as with export_write(), a flush that is asked for afterwards covers it.
 * Every one that was begun must have ended before its client's export_release(); FUSE sees
 * to that by sending RELEASE after the last reply. (The claim itself waits for writes; backing.h.)
 */
bool export_begin(struct exported *exported, enum view_id view, struct direct *direct, bool write,
                  const void *data, size_t length, uint64_t offset);
void export_end(struct exported *exported, enum view_id view, const struct direct *direct, int err);
/* Whether a request is of the device alone, so that all there is to wait for is the device. */
bool export_is_device(const struct exported *exported, enum view_id view, size_t length,
                      uint64_t offset);
/* Exact zeros; the whole range must lie in the file (-ENOSPC). See datapath_zero(). */
int export_zero(struct exported *exported, enum view_id view, uint64_t offset, uint64_t length,
                bool discard);
/* Of all views. */
int export_flush(struct exported *exported);

static inline uint64_t export_size(const struct exported *exported, enum view_id view)
{
    return extent_map_size(&exported->views[view].map);
}

struct timespec export_modified(const struct exported *exported);
void export_set_modified(struct exported *exported, struct timespec when);

#endif
