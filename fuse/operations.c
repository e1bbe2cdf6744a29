/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fuse/operations.h"

#include "fuse/log.h"

#include <errno.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_INODE      2 /* when the root is a directory */
#define ATTRIBUTE_LIFE  1.0
#define LARGEST_REQUEST (1024 * 1024)

static struct export *export_of(fuse_req_t req)
{
    return fuse_req_userdata(req);
}

static struct session *session_of(fuse_req_t req)
{
    return export_of(req)->session;
}

static bool is_vhdx(const struct export *e, fuse_ino_t ino)
{
    return ino == (e->is_file ? FUSE_ROOT_ID : FILE_INODE);
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
    struct export *e = userdata;

    conn->max_write = LARGEST_REQUEST;
    conn->max_read = 0;
    conn->want |= conn->capable & (FUSE_CAP_ASYNC_DIO | FUSE_CAP_PARALLEL_DIROPS);
    /* Copies through a pipe cost more than they save on requests of this size. */
    conn->want &= ~(unsigned)(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE |
                              FUSE_CAP_WRITEBACK_CACHE);
    if (e->ready)
        e->ready(e->ready_arg);
}

static void fill_attributes(const struct export *e, fuse_ino_t ino, struct stat *st)
{
    const struct options *o = e->session->options;
    mode_t mode = 0666 & ~o->umask;

    memset(st, 0, sizeof(*st));
    st->st_ino = ino;
    st->st_uid = o->uid;
    st->st_gid = o->gid;
    st->st_mtim = st->st_ctim = st->st_atim = session_modified(e->session);
    st->st_blksize = 4096;
    if (!is_vhdx(e, ino)) {
        st->st_mode = S_IFDIR | (0777 & ~o->umask);
        st->st_nlink = 2;
        return;
    }
    if (o->read_only)
        mode &= ~(mode_t)0222;
    st->st_mode = S_IFREG | mode;
    st->st_nlink = 1;
    st->st_size = (off_t)session_size(e->session);
    /* Every byte counts as allocated: Windows refuses sparse files. */
    st->st_blocks = (blkcnt_t)(session_size(e->session) / 512);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct stat st;

    (void)fi;
    fill_attributes(export_of(req), ino, &st);
    fuse_reply_attr(req, &st, ATTRIBUTE_LIFE);
}

static struct timespec wanted_time(const struct stat *attr, int to_set)
{
    struct timespec when = attr->st_mtim;

    if (to_set & FUSE_SET_ATTR_MTIME_NOW)
        clock_gettime(CLOCK_REALTIME, &when);
    return when;
}

/*
 * Times may be set; they live as long as the daemon. Mode and owner come from the mount options,
 * and the size from the partition: setting them to what they are is fine.
 */
static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                       struct fuse_file_info *fi)
{
    struct export *e = export_of(req);
    struct stat st;

    (void)fi;
    fill_attributes(e, ino, &st);
    if ((to_set & FUSE_SET_ATTR_SIZE && attr->st_size != st.st_size) ||
        (to_set & FUSE_SET_ATTR_MODE && (attr->st_mode & 07777) != (st.st_mode & 07777)) ||
        (to_set & FUSE_SET_ATTR_UID && attr->st_uid != st.st_uid) ||
        (to_set & FUSE_SET_ATTR_GID && attr->st_gid != st.st_gid)) {
        if (to_set & FUSE_SET_ATTR_SIZE && is_vhdx(e, ino))
            log_warning("refused to change the size of the VHDX: it is the partition's");
        fuse_reply_err(req, EPERM);
        return;
    }
    if (to_set & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW))
        session_set_modified(e->session, wanted_time(attr, to_set));
    fill_attributes(e, ino, &st);
    fuse_reply_attr(req, &st, ATTRIBUTE_LIFE);
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct export *e = export_of(req);
    struct fuse_entry_param entry = {.attr_timeout = ATTRIBUTE_LIFE,
                                     .entry_timeout = ATTRIBUTE_LIFE};

    if (is_vhdx(e, parent)) {
        fuse_reply_err(req, ENOTDIR);
        return;
    }
    if (strcmp(name, e->session->options->name) != 0) {
        fuse_reply_err(req, ENOENT);
        return;
    }
    entry.ino = FILE_INODE;
    fill_attributes(e, FILE_INODE, &entry.attr);
    fuse_reply_entry(req, &entry);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                       struct fuse_file_info *fi)
{
    struct export *e = export_of(req);
    const char *names[] = {".", "..", e->session->options->name};
    const fuse_ino_t inodes[] = {FUSE_ROOT_ID, FUSE_ROOT_ID, FILE_INODE};
    char buffer[1024];
    size_t used = 0;

    (void)fi;
    if (is_vhdx(e, ino)) {
        fuse_reply_err(req, ENOTDIR);
        return;
    }
    if (size > sizeof(buffer))
        size = sizeof(buffer);
    for (size_t i = (size_t)offset; i < ARRAY_SIZE(names); i++) {
        struct stat st;
        size_t n;

        fill_attributes(e, inodes[i], &st);
        n = fuse_add_direntry(req, buffer + used, size - used, names[i], &st, (off_t)i + 1);
        if (n > size - used)
            break;
        used += n;
    }
    fuse_reply_buf(req, buffer, used);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct export *e = export_of(req);
    struct failure failure = {0};
    int err;

    if (!is_vhdx(e, ino)) {
        fuse_reply_err(req, EISDIR);
        return;
    }
    if (e->session->options->read_only && (fi->flags & O_ACCMODE) != O_RDONLY) {
        fuse_reply_err(req, EROFS);
        return;
    }
    err = session_open(e->session, &failure);
    if (err) {
        log_error("open refused: %s", failure.text);
        fuse_reply_err(req, err == -EBUSY ? EBUSY : EIO);
        return;
    }
    /* No page cache on the file: it would cache the disk twice, and go stale between claims. */
    fi->direct_io = 1;
    if (fuse_reply_open(req, fi) == -ENOENT)
        session_release(e->session); /* the opener was interrupted: no release will come */
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    (void)fi;
    session_release(session_of(req));
    fuse_reply_err(req, 0);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                    struct fuse_file_info *fi)
{
    void *buffer = backing_thread_buffer(size);
    size_t done = 0;
    int err =
        buffer ? session_read(session_of(req), buffer, size, (uint64_t)offset, &done) : -ENOMEM;

    (void)ino;
    (void)fi;
    if (err)
        fuse_reply_err(req, -err);
    else
        fuse_reply_buf(req, buffer, done);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
                     struct fuse_file_info *fi)
{
    size_t done = 0;
    int err = session_write(session_of(req), data, size, (uint64_t)offset, &done);

    (void)ino;
    (void)fi;
    if (err)
        fuse_reply_err(req, -err);
    else
        fuse_reply_write(req, done);
}

/* close(2): not asked for by POSIX, but the last chance to tell this client of an error. */
static void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    (void)fi;
    fuse_reply_err(req, -session_flush(session_of(req)));
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    (void)ino;
    (void)datasync;
    (void)fi;
    fuse_reply_err(req, -session_flush(session_of(req)));
}

static void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
                         struct fuse_file_info *fi)
{
    struct session *s = session_of(req);
    int err;

    (void)ino;
    (void)fi;
    if (mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE))
        err = session_zero(s, (uint64_t)offset, (uint64_t)length, true);
    else if ((mode & ~FALLOC_FL_KEEP_SIZE) == FALLOC_FL_ZERO_RANGE)
        err = session_zero(s, (uint64_t)offset, (uint64_t)length, false);
    else if ((mode & ~FALLOC_FL_KEEP_SIZE) == 0) /* all of the file is allocated as it is */
        err = range_inside((uint64_t)offset, (uint64_t)length, session_size(s)) ? 0 : -ENOSPC;
    else
        err = -EOPNOTSUPP;
    fuse_reply_err(req, -err);
}

/* No holes: data reaches to the end, and there is the only hole. */
static void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence,
                     struct fuse_file_info *fi)
{
    off_t size = (off_t)session_size(session_of(req));

    (void)ino;
    (void)fi;
    if (whence != SEEK_DATA && whence != SEEK_HOLE)
        fuse_reply_err(req, EINVAL);
    else if (offset < 0 || offset >= size)
        fuse_reply_err(req, ENXIO);
    else
        fuse_reply_lseek(req, whence == SEEK_DATA ? offset : size);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
    struct statvfs st = {
        .f_bsize = 4096,
        .f_frsize = 4096,
        .f_blocks = session_size(session_of(req)) / 4096,
        .f_files = 1,
        .f_namemax = 255,
    };

    (void)ino;
    fuse_reply_statfs(req, &st);
}

/* Whatever would remove, rename, replace or add something: the file is the partition. */
static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct export *e = export_of(req);
    bool here = !is_vhdx(e, parent) && !strcmp(name, e->session->options->name);

    if (here)
        log_warning("refused to delete the VHDX");
    fuse_reply_err(req, here ? EPERM : ENOENT);
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    bool here = !strcmp(name, session_of(req)->options->name);

    (void)parent;
    fuse_reply_err(req, here ? ENOTDIR : ENOENT);
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
                      const char *newname, unsigned flags)
{
    (void)parent;
    (void)newparent;
    (void)flags;
    log_warning("refused to rename %s to %s", name, newname);
    fuse_reply_err(req, EPERM);
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
    (void)parent;
    (void)name;
    (void)mode;
    (void)rdev;
    fuse_reply_err(req, EPERM);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    op_mknod(req, parent, name, mode, 0);
}

static void op_symlink(fuse_req_t req, const char *link, fuse_ino_t parent, const char *name)
{
    (void)link;
    op_mknod(req, parent, name, 0, 0);
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname)
{
    (void)ino;
    op_mknod(req, newparent, newname, 0, 0);
}

const struct fuse_lowlevel_ops export_operations = {
    .init = op_init,
    .lookup = op_lookup,
    .getattr = op_getattr,
    .setattr = op_setattr,
    .mknod = op_mknod,
    .mkdir = op_mkdir,
    .unlink = op_unlink,
    .rmdir = op_rmdir,
    .symlink = op_symlink,
    .rename = op_rename,
    .link = op_link,
    .open = op_open,
    .read = op_read,
    .write = op_write,
    .flush = op_flush,
    .release = op_release,
    .fsync = op_fsync,
    .readdir = op_readdir,
    .statfs = op_statfs,
    .fallocate = op_fallocate,
    .lseek = op_lseek,
};
