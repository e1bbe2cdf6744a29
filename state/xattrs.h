/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Extended attributes of what the mount shows: Samba's DOS attributes and NT ACLs, ntfs-3g's
 * system.ntfs_*, users' own. Values are opaque. Each is a file, in <identity>.xattrs.d/ under the
 * state directory:
 *
 *   @vhdx/user.DOSATTRIB         "@" and a word for the directory, the VHDX and the disk
 *   =shortcut.ico/user.a%2Fb     "=" and the name of another file; slash is %2F, percent %25
 *
 * A new value is written aside (.new), flushed and renamed, so after a crash there is the old one
 * or the new one. All that an object has is first renamed (.gone), then removed.
 *
 * Nothing is cached: two instances can wait for the same partition, and each sees what the other
 * keeps. Changes are made with the state directory locked. What is there and is no file of our own
 * (own_file.h), or too large, is not listed or counted, and refused with -EIO.
 *
 * An object is named by a short text: another file by its name; the directory, the VHDX and the
 * disk by one that no file can have. All functions may be called from any thread and return 0
 * (or a length) or -errno.
 */
#ifndef STATE_XATTRS_H
#define STATE_XATTRS_H

#include "common/failure.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* As large as Linux lets a value be, and room for a few of them (bytes). */
#define XATTRS_VALUE_MAX (64 * 1024)
#define XATTRS_TOTAL_MAX (256 * 1024)
#define XATTRS_COUNT_MAX 64

#define XATTRS_DIRECTORY "."
#define XATTRS_VHDX      "/vhdx"
#define XATTRS_DISK      "/disk"

struct xattrs;

/* DIRECTORY and IDENTITY as for store_open(). Refused when what should be our directory is not. */
int xattrs_open(struct xattrs **xattrs, const char *directory, const char *identity, bool read_only,
                struct failure *failure);
void xattrs_close(struct xattrs *xattrs);

/*
 * FLAGS as in setxattr(2). -EOPNOTSUPP for a name we do not keep, -ERANGE for one that is too long
 * (as a file's name), -ENOSPC above the limits.
 */
int xattrs_set(struct xattrs *xattrs, const char *object, const char *name, const void *value,
               size_t size, int flags);
/* The value's length; copied when SIZE is not 0. -ENODATA, -ERANGE as getxattr(2). */
ssize_t xattrs_get(struct xattrs *xattrs, const char *object, const char *name, void *value,
                   size_t size);
/* Names, each with its zero, as listxattr(2). */
ssize_t xattrs_list(struct xattrs *xattrs, const char *object, char *list, size_t size);
int xattrs_remove(struct xattrs *xattrs, const char *object, const char *name);

/*
 * The object has got another name, and takes its attributes along: what had that name before goes
 * with all it had. With TO NULL, it is gone.
 */
int xattrs_move(struct xattrs *xattrs, const char *object, const char *to);

#endif
