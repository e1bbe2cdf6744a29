/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether somebody else is not done with an NTFS volume: a sleeping Windows, a log, a repair. */
#ifndef NTFS_STATE_H
#define NTFS_STATE_H

struct _ntfs_volume; /* libntfs-3g's */

enum ntfs_state {
    NTFS_STATE_HIBERNATED = 1, /* hiberfil.sys holds a system that will wake up */
    NTFS_STATE_CACHED = 2,     /* the log is version 2.0: fast startup keeps metadata in Windows */
    NTFS_STATE_UNCLEAN = 4,    /* the log has to be replayed */
    NTFS_STATE_DIRTY = 8,      /* the dirty flag of $Volume: chkdsk is due */
    NTFS_STATE_CHKDSK = 16,    /* chkdsk was interrupted */
};

/*
 * Reads the state, a set of enum ntfs_state, into *STATE; 0 is a volume that was closed in
 * good order. VOLUME may be mounted in any way; nothing is written. Returns 0, or -errno when
 * it can't be told: then nothing about the volume may be relied on.
 */
int ntfs_state_read(struct _ntfs_volume *volume, unsigned *state);

/*
 * What is wrong and how to mend it, for the gravest of STATE's bits: two phrases for "VOLUME
 * WHAT; CURE". STATE must not be 0.
 */
void ntfs_state_describe(unsigned state, const char **what, const char **cure);

#endif
