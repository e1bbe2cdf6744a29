/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The mount point: before anything is mounted on it, and when serving has stopped. */
#ifndef FUSE_MOUNTPOINT_H
#define FUSE_MOUNTPOINT_H

#include "common/failure.h"

#include <stdbool.h>

/*
 * Checks PATH: an empty directory, or a regular file (*IS_FILE). On success *REAL is a new
 * string, the absolute path without links. Returns 0 or -errno.
 */
int mountpoint_check(const char *path, char **real, bool *is_file, struct failure *failure);

/* Checks that the kernel lets us mount: /dev/fuse is there and may be opened. 0 or -errno. */
int mountpoint_check_fuse(struct failure *failure);

/*
 * Whether PATH, or the part of it that is there, is the mount point REAL or lies in it. Two names
 * of one file count as one.
 */
bool mountpoint_covers(const char *real, const char *path);

/*
 * As root: unmounts the session with the descriptor FUSE_FD from PATH, if it is mounted still, and
 * makes libfuse believe that somebody else did. It would run umount(8), which the system call
 * filter refuses, or unmount what has been mounted on PATH since. Clients that are left get
 * ENOTCONN.
 */
void mountpoint_leave(const char *path, int fuse_fd);

#endif
