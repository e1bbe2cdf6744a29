/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Asks the firewall's rules about every write and zeroing that touches the first or the last MiB
 * of the disk, one at a time; what lies between them passes without a look.
 *
 * A tool's operation may come in pieces, in this order or that, and the rules know only some of
 * them for what they are. So a refusal sets a latch: until some seconds have passed without another
 * try, all writes and zeroings in the first and last MiB are refused, whatever they are. The latch
 * ends with the claim: who closes the file and opens it again begins anew.
 *
 * What is not caught: pieces that come before the first one that a rule knows, and what lies
 * between the first and the last MiB. Zeros over the first MiB, from its end downwards, are
 * stopped only at the group descriptors: what is behind these is zeros by then. A backup GPT
 * without a partition, written entries first, is stopped at its header.
 *
 * A disk of less than two FIREWALL_HEADs is no ext4's; it is left alone.
 */
#ifndef EXPORT_GUARD_H
#define EXPORT_GUARD_H

#include "common/units.h"
#include "device/disk.h"
#include "vhdx/layout.h"

#include <pthread.h>

#define GUARD_REACH MIB
#define GUARD_LATCH 5000

struct guard {
    pthread_mutex_t lock; /* from the judgement of a write until it is done */
    struct disk *disk;
    const struct vhdx_layout *layout;
    bool off;       /* -o nofirewall */
    unsigned latch; /* ms, GUARD_LATCH; 0: none */
    uint64_t until; /* CLOCK_MONOTONIC, ms */
    bool told;      /* of this latch */
};

/* Whether a write to [offset, offset + length) of the disk has to be judged. Never waits. */
bool guard_concerns(const struct guard *guard, uint64_t offset, uint64_t length);

/*
 * Judges a write of DATA (zeros if NULL) to the disk; LOCK is held. Returns 0 if it may pass,
 * -EIO, logged, if not, or -errno when the disk could not be read.
 */
int guard_judge(struct guard *guard, const uint8_t *data, uint64_t offset, uint64_t length);

#endif
