/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fuse/beside_operations.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* Owner and mode are those of the VHDX, whoever made the file. */
static void fill_attributes(const struct exported *e, uint64_t ino, const struct stat *real,
                            struct stat *st)
{
    const struct options *o = e->session->options;
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

static int fill_entry(const struct exported *e, const char *name, struct fuse_entry_param *entry)
{
    struct stat st;
    uint64_t ino;
    int err = side_lookup(e->side, name, &ino, &st);

    if (err)
        return err;
    *entry = (struct fuse_entry_param){
        .ino = ino, .attr_timeout = ATTRIBUTE_LIFE, .entry_timeout = ATTRIBUTE_LIFE};
    fill_attributes(e, ino, &st, &entry->attr);
    return 0;
}

void side_op_lookup(fuse_req_t req, const char *name)
{
    struct fuse_entry_param entry;
    int err = fill_entry(export_of(req), name, &entry);

    if (err)
        reply_error(req, err);
    else
        fuse_reply_entry(req, &entry);
}

void side_op_getattr(fuse_req_t req, fuse_ino_t ino)
{
    struct exported *e = export_of(req);
    struct stat real, st;
    int err = side_stat(e->side, ino, &real);

    if (err) {
        reply_error(req, err);
        return;
    }
    fill_attributes(e, ino, &real, &st);
    fuse_reply_attr(req, &st, ATTRIBUTE_LIFE);
}

static struct timespec wanted(int to_set, int now, int given, struct timespec value)
{
    if (to_set & now)
        return (struct timespec){.tv_nsec = UTIME_NOW};
    return to_set & given ? value : (struct timespec){.tv_nsec = UTIME_OMIT};
}

void side_op_setattr(fuse_req_t req, fuse_ino_t ino, const struct stat *attr, int to_set)
{
    struct exported *e = export_of(req);
    struct timespec times[2] = {
        wanted(to_set, FUSE_SET_ATTR_ATIME_NOW, FUSE_SET_ATTR_ATIME, attr->st_atim),
        wanted(to_set, FUSE_SET_ATTR_MTIME_NOW, FUSE_SET_ATTR_MTIME, attr->st_mtim)};
    int err = 0;

    /* Mode and owner come from the mount's options; asking for others changes nothing. */
    if (to_set & FUSE_SET_ATTR_SIZE)
        err = side_truncate(e->side, ino, (uint64_t)attr->st_size);
    if (!err)
        err = side_set_times(e->side, ino, times);
    if (err)
        reply_error(req, err);
    else
        side_op_getattr(req, ino);
}

void side_op_create(fuse_req_t req, const char *name, struct fuse_file_info *fi)
{
    struct exported *e = export_of(req);
    struct fuse_entry_param entry;
    uint64_t ino;
    int err, fd = side_create(e->side, name, fi->flags, &ino);

    err = fd < 0 ? fd : fill_entry(e, name, &entry);
    if (err) {
        if (fd >= 0)
            close(fd);
        reply_error(req, err);
        return;
    }
    fi->fh = (uint64_t)fd;
    if (fuse_reply_create(req, &entry, fi) == -ENOENT)
        close(fd);
}

void side_op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    int fd = side_open_file(export_of(req)->side, ino, fi->flags);

    if (fd < 0) {
        reply_error(req, fd);
        return;
    }
    fi->fh = (uint64_t)fd;
    if (fuse_reply_open(req, fi) == -ENOENT)
        close(fd);
}

void side_op_release(fuse_req_t req, struct fuse_file_info *fi)
{
    close((int)fi->fh);
    reply_error(req, 0);
}

int side_op_read(void *data, size_t size, off_t offset, const struct fuse_file_info *fi,
                 size_t *done)
{
    ssize_t n = pread((int)fi->fh, data, size, offset);

    *done = n < 0 ? 0 : (size_t)n;
    return n < 0 ? -errno : 0;
}

int side_op_write(fuse_req_t req, const void *data, size_t size, off_t offset,
                  const struct fuse_file_info *fi, size_t *done)
{
    int err = side_write(export_of(req)->side, (int)fi->fh, data, size, (uint64_t)offset);

    if (!err && fi->flags & O_DSYNC)
        err = side_op_fsync(fi);
    *done = err ? 0 : size;
    return err;
}

int side_op_fallocate(fuse_req_t req, int mode, off_t offset, off_t length,
                      const struct fuse_file_info *fi)
{
    return side_allocate(export_of(req)->side, (int)fi->fh, mode, (uint64_t)offset,
                         (uint64_t)length);
}

int side_op_fsync(const struct fuse_file_info *fi)
{
    return fsync((int)fi->fh) < 0 ? -errno : 0;
}

off_t side_op_lseek(off_t offset, int whence, const struct fuse_file_info *fi)
{
    off_t at = lseek((int)fi->fh, offset, whence);

    return at < 0 ? -errno : at;
}

int side_op_unlink(struct exported *e, const char *name)
{
    int err = side_remove(e->side, name);

    return err ? err : xattrs_move(e->xattrs, name, NULL);
}

int side_op_rename(struct exported *e, const char *name, const char *to, unsigned flags)
{
    int err = side_rename(e->side, name, to, flags);

    return err ? err : xattrs_move(e->xattrs, name, to);
}
