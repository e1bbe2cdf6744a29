/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fuse/beside_operations.h"

#include "common/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* Owner and mode are those of the VHDX, whoever made the file. */
static void fill_attributes(const struct tree *t, uint64_t ino, const struct stat *real,
                            struct stat *st)
{
    const struct options *o = t->options;
    blkcnt_t whole = (real->st_size + 4095) / 4096 * 8; /* as if nothing were sparse */

    *st = (struct stat){
        .st_ino = ino,
        .st_mode = S_IFREG | (0666 & ~o->umask),
        .st_nlink = 1,
        .st_uid = o->uid,
        .st_gid = o->gid,
        .st_size = real->st_size,
        .st_blocks = real->st_blocks > whole ? real->st_blocks : whole,
        .st_blksize = 4096,
        .st_atim = real->st_atim,
        .st_mtim = real->st_mtim,
        .st_ctim = real->st_ctim,
    };
}

static int fill_entry(const struct tree *t, const char *name, struct fuse_entry_param *entry)
{
    struct stat st;
    uint64_t ino;
    int err = beside_lookup(t->beside, name, &ino, &st);

    if (err)
        return err;
    *entry = (struct fuse_entry_param){
        .ino = ino, .attr_timeout = ATTRIBUTE_LIFE, .entry_timeout = ATTRIBUTE_LIFE};
    fill_attributes(t, ino, &st, &entry->attr);
    return 0;
}

void beside_op_lookup(fuse_req_t req, const char *name)
{
    struct fuse_entry_param entry;
    int err = fill_entry(tree_of(req), name, &entry);

    if (err)
        reply_error(req, err);
    else
        fuse_reply_entry(req, &entry);
}

void beside_op_getattr(fuse_req_t req, fuse_ino_t ino)
{
    struct tree *t = tree_of(req);
    struct stat real, st;
    int err = beside_stat(t->beside, ino, &real);

    if (err) {
        reply_error(req, err);
        return;
    }
    fill_attributes(t, ino, &real, &st);
    fuse_reply_attr(req, &st, ATTRIBUTE_LIFE);
}

static struct timespec wanted(int to_set, int now, int given, struct timespec value)
{
    if (to_set & now)
        return (struct timespec){.tv_nsec = UTIME_NOW};
    return to_set & given ? value : (struct timespec){.tv_nsec = UTIME_OMIT};
}

void beside_op_setattr(fuse_req_t req, fuse_ino_t ino, const struct stat *attr, int to_set)
{
    struct tree *t = tree_of(req);
    struct timespec times[2] = {
        wanted(to_set, FUSE_SET_ATTR_ATIME_NOW, FUSE_SET_ATTR_ATIME, attr->st_atim),
        wanted(to_set, FUSE_SET_ATTR_MTIME_NOW, FUSE_SET_ATTR_MTIME, attr->st_mtim)};
    int err = 0;

    /* Mode and owner come from the mount's options; asking for others changes nothing. */
    if (to_set & FUSE_SET_ATTR_SIZE)
        err = beside_truncate(t->beside, ino, (uint64_t)attr->st_size);
    if (!err)
        err = beside_set_times(t->beside, ino, times);
    if (err)
        reply_error(req, err);
    else
        beside_op_getattr(req, ino);
}

void beside_op_create(fuse_req_t req, const char *name, struct fuse_file_info *fi)
{
    struct tree *t = tree_of(req);
    struct fuse_entry_param entry;
    uint64_t ino;
    int err, fd = beside_create(t->beside, name, fi->flags, &ino);

    err = fd < 0 ? fd : fill_entry(t, name, &entry);
    if (err) {
        if (fd >= 0)
            beside_close_file(t->beside, fd);
        reply_error(req, err);
        return;
    }
    fi->fh = (uint64_t)fd;
    if (fuse_reply_create(req, &entry, fi) == -ENOENT)
        beside_close_file(t->beside, fd);
}

void beside_op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    int fd = is_beside(ino) ? beside_open_file(tree_of(req)->beside, ino, fi->flags) : -EISDIR;

    if (fd < 0) {
        reply_error(req, fd);
        return;
    }
    fi->fh = (uint64_t)fd;
    if (fuse_reply_open(req, fi) == -ENOENT)
        beside_close_file(tree_of(req)->beside, fd);
}

void beside_op_release(fuse_req_t req, struct fuse_file_info *fi)
{
    beside_close_file(tree_of(req)->beside, (int)fi->fh);
    reply_error(req, 0);
}

void beside_op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                    struct fuse_file_info *fi)
{
    cleanup_free void *data = malloc(size ? size : 1);
    ssize_t n;

    if (!data || !is_beside(ino)) { /* others have no descriptor in fi->fh */
        reply_error(req, data ? -EBADF : -ENOMEM);
        return;
    }
    n = pread((int)fi->fh, data, size, offset);
    if (n < 0)
        reply_error(req, -errno);
    else
        fuse_reply_buf(req, data, (size_t)n);
}

void beside_op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
                     struct fuse_file_info *fi)
{
    int err = -EBADF;

    if (is_beside(ino))
        err = beside_write(tree_of(req)->beside, (int)fi->fh, data, size, (uint64_t)offset);
    if (!err && fi->flags & O_DSYNC)
        err = beside_op_fsync(fi);
    if (err)
        reply_error(req, err);
    else
        fuse_reply_write(req, size);
}

int beside_op_fallocate(fuse_req_t req, int mode, off_t offset, off_t length,
                        const struct fuse_file_info *fi)
{
    return beside_allocate(tree_of(req)->beside, (int)fi->fh, mode, (uint64_t)offset,
                           (uint64_t)length);
}

int beside_op_fsync(const struct fuse_file_info *fi)
{
    return fsync((int)fi->fh) < 0 ? -errno : 0;
}

off_t beside_op_lseek(off_t offset, int whence, const struct fuse_file_info *fi)
{
    off_t at = lseek((int)fi->fh, offset, whence);

    return at < 0 ? -errno : at;
}

int beside_op_unlink(struct tree *t, const char *name)
{
    int err = beside_remove(t->beside, name);

    return err ? err : xattrs_move(t->xattrs, name, NULL);
}

int beside_op_rename(struct tree *t, const char *name, const char *to, unsigned flags)
{
    int err = beside_rename(t->beside, name, to, flags);

    return err ? err : xattrs_move(t->xattrs, name, to);
}
