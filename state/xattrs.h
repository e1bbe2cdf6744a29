/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Extended attributes of what the mount shows: Samba's DOS attributes and NT ACLs, ntfs-3g's
 * system.ntfs_*, users' own. Values are opaque. They are kept in a small file beside the
 * state (<identity>.xattrs), which is replaced as a whole, flushed, at every change: so after a
 * crash there are the old ones or the new ones.
 *
 * An object is named by a short text: one that no file can have for the directory, the VHDX and
 * the disk, its name for another file. Another process may have changed the file (two instances
 * can wait for the same partition): so each change begins with reading it again. All functions
 * may be called from any thread and return 0 (or a length) or -errno.
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

/* DIRECTORY and IDENTITY as for store_open(). A damaged file is refused with -EUCLEAN. */
int xattrs_open(struct xattrs **xattrs, const char *directory, const char *identity, bool read_only,
                struct failure *failure);
void xattrs_close(struct xattrs *xattrs);

/* FLAGS as in setxattr(2). -EOPNOTSUPP for a name we do not keep, -ENOSPC above the limits. */
int xattrs_set(struct xattrs *xattrs, const char *object, const char *name, const void *value,
               size_t size, int flags);
/* The value's length; copied when SIZE is not 0. -ENODATA, -ERANGE as getxattr(2). */
ssize_t xattrs_get(struct xattrs *xattrs, const char *object, const char *name, void *value,
                   size_t size);
/* Names, each with its zero, as listxattr(2). */
ssize_t xattrs_list(struct xattrs *xattrs, const char *object, char *list, size_t size);
int xattrs_remove(struct xattrs *xattrs, const char *object, const char *name);

/* The object has got another name; with TO NULL, it is gone. */
int xattrs_move(struct xattrs *xattrs, const char *object, const char *to);

#endif
