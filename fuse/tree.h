/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is shown at the mount point: a directory with the views of the partition (the VHDX, and
 * disk.img with -o disk) and small files beside them; or, on a file, the VHDX alone. Here are its
 * inode numbers, names and attributes, and what opening and writing a view means. Who serves a
 * request (serve.h, operations.h and the parts of it) stands on this.
 */
#ifndef FUSE_TREE_H
#define FUSE_TREE_H

#include "export/export.h"
#include "fuse/libfuse.h"
#include "fuse/options.h"
#include "state/beside.h"
#include "state/xattrs.h"

#include <fcntl.h>

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

#define ATTRIBUTE_LIFE 1.0 /* seconds */
#define VHDX_INODE     2   /* when the root is a directory */
#define DISK_INODE     3   /* with -o disk, which needs that */

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

/* Whether open(2)'s FLAGS ask for writing. */
static inline bool opens_for_writing(int flags)
{
    return (flags & O_ACCMODE) != O_RDONLY;
}

/* The inode of the view of that name in the directory, or 0. */
fuse_ino_t tree_view_named(const struct tree *tree, const char *name);
/* Whether NAME in PARENT shows the partition: it cannot be removed or renamed. */
bool tree_names_view(const struct tree *tree, fuse_ino_t parent, const char *name);
/* The INDEXth name of the directory and its inode number; false behind the last one. */
bool tree_entry_at(struct tree *tree, size_t index, char name[256], fuse_ino_t *ino);
/* Of a view, or of the directory. */
void tree_attributes(const struct tree *tree, fuse_ino_t ino, struct stat *st);

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

/* For the callbacks. */
static inline struct tree *tree_of(fuse_req_t req)
{
    return fuse_req_userdata(req);
}

/* A reply for ERR, 0 or negative. */
static inline void reply_error(fuse_req_t req, int err)
{
    fuse_reply_err(req, -err);
}

#endif
