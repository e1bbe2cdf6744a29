/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The claim: the time during which the partition is ours alone.
 *
 * A block device is opened with O_EXCL, which the kernel refuses while it is mounted, used as
 * swap, or part of something built on it, and which makes mount(2) fail with EBUSY while we
 * hold it. An image file is locked as a whole (an open-file-description lock, which QEMU
 * and other instances of this program respect), and refused while a loop device stands on
 * it. At every claim it is looked at anew: it must be the partition it was.
 */
#ifndef DEVICE_CLAIM_H
#define DEVICE_CLAIM_H

#include "device/backing.h"
#include "device/footprint.h"
#include "device/safety.h"

struct claim {
    struct facts facts; /* as found when it was taken */
    struct backing backing;
    struct footprint footprint; /* as it was taken; after claim_release() as it was given back */
};

/*
 * Resolves SPEC again (a device may have come back under another name), takes it, drops
 * what the kernel has cached of it, and judges it. EXPECTED, when not NULL, is what
 * it was before: another identity, size or sector size is refused.
 *
 * Returns 0; -EBUSY when somebody else has it (FAILURE says who); -ESTALE when it has changed;
 * the verdict's error; or the -errno of opening it.
 */
int claim_take(struct claim *claim, const char *spec, const struct safety_policy *policy,
               const struct facts *expected, struct failure *failure);

/* Judges FACTS; logs the warnings. 0, or -EPERM with FAILURE filled. */
int claim_judge(const struct facts *facts, const struct safety_policy *policy,
                struct failure *failure);

/*
 * For who finds the object taken by somebody who may be about to let go: a process that was killed,
 * or a vhdxfs whose mount has just gone. Waits 10 ms, and returns false after a second in all;
 * *WAITED is 0 at first.
 */
bool claim_wait(unsigned *waited);

/* Gives it back. The caller has flushed what was to be flushed. */
void claim_release(struct claim *claim);

#endif
