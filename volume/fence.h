/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The fence between the NTFS volume on disk.img and the partition that its one file stands for.
 *
 * To Windows the file's clusters are clusters like others: when the file is deleted, moved or
 * truncated, it gives them to other files, or discards them; here they are somebody's
 * partition. So all that is written to the disk around the file is watched (watch.h). When it no
 * longer says that the clusters are this file's, in this order, the fence closes, and from then on
 * every write and discard of them through disk.img fails with EIO. The rest of the disk stays
 * writable, everything stays readable, and ext4.vhdx beside it is not concerned.
 *
 * What is guaranteed. A write around the file is judged before it is done, while no write to
 * the file is under way, and the fence is closed (and a note of that is on stable storage) before
 * the write that takes the file's clusters away is done or acknowledged. So no byte of the
 * partition is changed by a request that is handled after such a write, not after a crash either.
 *
 * What is not. Requests that reach us before: an operating system could hand on clusters of which
 * it has only written to its journal ($LogFile) that they are free. NTFS journals a deletion before
 * it writes the record, and nobody promises us the order. Two trip wires shorten that way: a
 * discard of the file's first 64 KiB (deleting a file discards it from its start) closes the fence,
 * and so does a write over the VHDX's signature, which never changes in the life of the file. What
 * keeps the file from being deleted at all is its ACL (ntfs/acl.h).
 *
 * A record of which only a part is written yet (its update sequence does not match) is no verdict:
 * until it is whole the fence is shut, but not closed for good.
 */
#ifndef VOLUME_FENCE_H
#define VOLUME_FENCE_H

#include "device/disk.h"
#include "volume/watch.h"

#include <pthread.h>
#include <stdatomic.h>

struct fence {
    pthread_rwlock_t lock; /* read: file and uninteresting writes; write: judged ones */
    struct disk *image;
    struct watch_subject subject;
    struct watch watch;
    const char *name; /* of the image, for messages */
    bool closed;
    bool torn;
    char why[256];    /* it is closed or torn */
    atomic_bool told; /* that a write was refused */
};

/*
 * LAYOUT and NAME must outlive the fence. Reads the note of an earlier closing and
 * judges what is there now; with READ_ONLY no note is made. 0, or -errno when the image
 * cannot be read.
 */
int fence_open(struct fence *fence, struct disk *image, const struct volume_layout *layout,
               const struct gpt *gpt, uint64_t record, const char *name, bool read_only);
void fence_shut(struct fence *fence);

/* Whether the fence is closed, or shut for now, and why. */
bool fence_is_closed(struct fence *fence, char why[256]);

/*
 * Writes DATA (zeros if NULL, given back to the file system with DISCARD) to a part of the disk
 * outside of the file. OFFSET is on the disk.
 */
int fence_write(struct fence *fence, const void *data, uint64_t length, uint64_t offset,
                bool discard);

/*
 * Around a write (or with DATA NULL a discard) of the file's bytes at OFFSET of the disk: 0, or
 * -EIO when it must not be done. fence_leave() only after 0.
 */
int fence_enter(struct fence *fence, const void *data, uint64_t length, uint64_t offset);
/* The same, but it never waits, and false when that would be needed, or the write must not be done.
 */
bool fence_try_enter(struct fence *fence, const void *data, uint64_t length, uint64_t offset);
void fence_leave(struct fence *fence);

#endif
