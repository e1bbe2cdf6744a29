/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the daemon may still do once it is set up. As root it keeps two capabilities:
 * CAP_DAC_OVERRIDE (a claim opens devices and images that belong to others) and CAP_SYS_ADMIN (a
 * claim flushes the device's cache, and stopping unmounts). It can gain no others, and a seccomp
 * filter refuses the system calls that a program of this kind never makes: running programs,
 * looking into other processes, mounting, loading modules, sockets but to syslog and systemd,
 * more rings of io_uring (whose requests no filter sees).
 * The filter is a list of what is refused, not of what is allowed: such a list stays true when a
 * library or the C library changes.
 *
 * Without root there is nothing to drop, and the filter would keep fusermount3 from unmounting.
 */
#ifndef FUSE_PRIVILEGES_H
#define FUSE_PRIVILEGES_H

#include "common/failure.h"

/* Before there are threads; no ring of io_uring can be made afterwards. Returns 0 or -errno. */
int privileges_drop(struct failure *failure);

#endif
