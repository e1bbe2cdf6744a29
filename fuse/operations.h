/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The FUSE callbacks and nothing else: each one unpacks a request, asks the export (or
 * the files and attributes beside it), and replies. They run in parallel, in the threads of the
 * transport (transport.h), or in libfuse's own with its io_uring; with -s in a single one. Opens,
 * reads and writes of the two views do not come here from the transport, which has serve.c do
 * them, but for -d.
 */
#ifndef FUSE_OPERATIONS_H
#define FUSE_OPERATIONS_H

#include "export/export.h"
#include "fuse/libfuse.h"
#include "fuse/options.h"
#include "state/beside.h"
#include "state/xattrs.h"

#include <fcntl.h>

/* What is shown at the mount point. */
struct tree {
    const struct options *options;
    struct exported *exported;
    struct xattrs *xattrs;
    struct beside *beside; /* NULL where the root is a file */
    bool is_file;          /* the mount point is a regular file: the root is the VHDX */
    struct fuse_session *fuse;
    void (*ready)(void *); /* called once, when the kernel has accepted the mount */
    void *ready_arg;
};

extern const struct fuse_lowlevel_ops callbacks;

/* Whether open(2)'s FLAGS ask for writing. */
static inline bool opens_for_writing(int flags)
{
    return (flags & O_ACCMODE) != O_RDONLY;
}

/*
 * Opens the view INO with open(2)'s FLAGS: 0, or what the client is to be told; the log has the
 * rest.
 */
int tree_open(struct tree *tree, fuse_ino_t ino, int flags);

/*
 * As export_write(). With O_SYNC or O_DSYNC in FLAGS it returns 0 only when all is on stable
 * storage: the kernel asks for no flush after such a write.
 */
int tree_write(struct tree *tree, fuse_ino_t ino, int flags, const void *data, size_t size,
               uint64_t offset, size_t *done);

/* For the other files of callbacks (beside_operations.c, xattr_operations.c). */
#define ATTRIBUTE_LIFE 1.0 /* seconds */
#define VHDX_INODE     2   /* when the root is a directory */
#define DISK_INODE     3   /* with -o disk, which needs that */

static inline struct tree *tree_of(fuse_req_t req)
{
    return fuse_req_userdata(req);
}

static inline bool is_vhdx(const struct tree *t, fuse_ino_t ino)
{
    return ino == (t->is_file ? FUSE_ROOT_ID : VHDX_INODE);
}

static inline bool is_disk(fuse_ino_t ino)
{
    return ino == DISK_INODE;
}

/* Of one of the two. */
static inline enum view_id view_of(fuse_ino_t ino)
{
    return is_disk(ino) ? VIEW_DISK : VIEW_VHDX;
}

/* Whether it shows the partition: the VHDX, or the disk. */
static inline bool is_view(const struct tree *t, fuse_ino_t ino)
{
    return is_vhdx(t, ino) || is_disk(ino);
}

static inline bool is_beside(fuse_ino_t ino)
{
    return ino >= BESIDE_INODES;
}

/* A reply for ERR, 0 or negative. */
static inline void reply_error(fuse_req_t req, int err)
{
    fuse_reply_err(req, -err);
}

#endif
