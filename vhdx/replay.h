/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Log replay in place (2.3.3), safe against being stopped at any moment:
 *
 *   1. a header with a new FileWriteGuid goes to the slot that is not current; flush
 *   2. the file grows to LastFileOffset, where it is shorter and that is allowed
 *   3. every write of the active sequence, in order; flush
 *   4. a header with a null LogGuid, again to the slot that is not current; flush
 *   5. the same to the other slot, so that no header names this log any more; flush
 *
 * Until 4 is durable, the log stands and the next replay does the same writes again.
 */
#ifndef VHDX_REPLAY_H
#define VHDX_REPLAY_H

#include "vhdx/image.h"
#include "vhdx/io.h"

struct vhdx_replay {
    const struct vhdx_io *io;
    const struct vhdx_sink *sink;
    struct guid file_write; /* the new FileWriteGuid */
    bool may_grow;
    int (*progress)(void *opaque, uint64_t done, uint64_t total); /* may be NULL */
    void *opaque;
};

/*
 * Whether the log of IMAGE, as vhdx_check() found it, can be replayed: 0; -ENODATA when there
 * is nothing to replay; -EBADMSG when the log is corrupt, or the file was cut short or asks for
 * writes outside of it; -EFBIG when the file has to grow and MAY_GROW is false; -ERANGE when
 * the header's sequence number is at its end.
 */
int vhdx_replay_verdict(const struct vhdx_image *image, bool may_grow);

/*
 * Replays. Returns 0, vhdx_replay_verdict()'s errors before anything was written, or -errno of
 * reading and writing, after which it can be tried again.
 */
int vhdx_replay(const struct vhdx_replay *replay, const struct vhdx_image *image);

#endif
