/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fuse/operations.h"

#include "common/log.h"
#include "fuse/beside_operations.h"
#include "fuse/tree.h"
#include "fuse/wire.h"
#include "fuse/xattr_operations.h"

#include <errno.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <unistd.h>

/* Asynchronous requests that the kernel sends before it waits for replies; its default is 12. */
#define MOST_BACKGROUND 64

static struct exported *export_of(fuse_req_t req)
{
    return tree_of(req)->exported;
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
    struct tree *t = userdata;

    conn->max_write = WIRE_LARGEST;
    conn->max_read = 0;
    conn->max_background = MOST_BACKGROUND;
    conn->congestion_threshold = MOST_BACKGROUND;
    conn->want |= conn->capable & (FUSE_CAP_ASYNC_DIO | FUSE_CAP_PARALLEL_DIROPS);
    /* Copies through a pipe cost more than they save on requests of this size. */
    conn->want &= ~(unsigned)(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE |
                              FUSE_CAP_WRITEBACK_CACHE);
    /* The kernel then asks for the truncation by itself (op_setattr), where it is refused. */
    conn->want &= ~(unsigned)FUSE_CAP_ATOMIC_O_TRUNC;
    if (t->ready)
        t->ready(t->ready_arg);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct stat st;

    (void)fi;
    if (is_beside(ino)) {
        beside_op_getattr(req, ino);
        return;
    }
    tree_attributes(tree_of(req), ino, &st);
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
    struct tree *t = tree_of(req);
    struct stat st;

    (void)fi;
    if (is_beside(ino)) {
        beside_op_setattr(req, ino, attr, to_set);
        return;
    }
    tree_attributes(t, ino, &st);
    if ((to_set & FUSE_SET_ATTR_SIZE && attr->st_size != st.st_size) ||
        (to_set & FUSE_SET_ATTR_MODE && (attr->st_mode & 07777) != (st.st_mode & 07777)) ||
        (to_set & FUSE_SET_ATTR_UID && attr->st_uid != st.st_uid) ||
        (to_set & FUSE_SET_ATTR_GID && attr->st_gid != st.st_gid)) {
        if (to_set & FUSE_SET_ATTR_SIZE && is_view(t, ino))
            log_warning("refused to change the size of the %s: it is the partition's",
                        is_disk(ino) ? "disk" : "VHDX");
        fuse_reply_err(req, EPERM);
        return;
    }
    if (to_set & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW))
        export_set_modified(t->exported, wanted_time(attr, to_set));
    tree_attributes(t, ino, &st);
    fuse_reply_attr(req, &st, ATTRIBUTE_LIFE);
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct tree *t = tree_of(req);
    struct fuse_entry_param entry = {.attr_timeout = ATTRIBUTE_LIFE,
                                     .entry_timeout = ATTRIBUTE_LIFE};

    if (parent != FUSE_ROOT_ID || t->is_file) {
        fuse_reply_err(req, ENOTDIR);
        return;
    }
    entry.ino = tree_view_named(t, name);
    if (!entry.ino) {
        beside_op_lookup(req, name);
        return;
    }
    tree_attributes(t, entry.ino, &entry.attr);
    fuse_reply_entry(req, &entry);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                       struct fuse_file_info *fi)
{
    struct tree *t = tree_of(req);
    char buffer[4096], name[256];
    size_t used = 0;
    fuse_ino_t entry;

    (void)fi;
    if (ino != FUSE_ROOT_ID || t->is_file) {
        fuse_reply_err(req, ENOTDIR);
        return;
    }
    if (size > sizeof(buffer))
        size = sizeof(buffer);
    for (size_t i = (size_t)offset; tree_entry_at(t, i, name, &entry); i++) {
        struct stat st = {.st_ino = entry, .st_mode = i < 2 ? S_IFDIR : S_IFREG};
        size_t n = fuse_add_direntry(req, buffer + used, size - used, name, &st, (off_t)i + 1);

        if (n > size - used)
            break;
        used += n;
    }
    fuse_reply_buf(req, buffer, used);
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    if (is_beside(ino)) {
        beside_op_release(req, fi);
        return;
    }
    export_release(export_of(req), view_of(ino), opens_for_writing(fi->flags));
    fuse_reply_err(req, 0);
}

/* close(2): not asked for by POSIX, but the last chance to tell this client of an error. */
static void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)fi;
    reply_error(req, is_beside(ino) ? 0 : export_flush(export_of(req)));
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    (void)datasync;
    reply_error(req, is_beside(ino) ? beside_op_fsync(fi) : export_flush(export_of(req)));
}

static void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
                         struct fuse_file_info *fi)
{
    struct exported *s = export_of(req);
    int err;

    if (is_beside(ino))
        err = beside_op_fallocate(req, mode, offset, length, fi);
    else if (mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE))
        err = export_zero(s, view_of(ino), (uint64_t)offset, (uint64_t)length, true);
    else if ((mode & ~FALLOC_FL_KEEP_SIZE) == FALLOC_FL_ZERO_RANGE)
        err = export_zero(s, view_of(ino), (uint64_t)offset, (uint64_t)length, false);
    else if ((mode & ~FALLOC_FL_KEEP_SIZE) == 0) /* all of the file is allocated as it is */
        err = range_inside((uint64_t)offset, (uint64_t)length, export_size(s, view_of(ino)))
                  ? 0
                  : -ENOSPC;
    else
        err = -EOPNOTSUPP;
    reply_error(req, err);
}

/* No holes: data reaches to the end, and there is the only hole. */
static void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence,
                     struct fuse_file_info *fi)
{
    off_t size = is_beside(ino) ? 0 : (off_t)export_size(export_of(req), view_of(ino)), at = 0;

    if (whence != SEEK_DATA && whence != SEEK_HOLE)
        fuse_reply_err(req, EINVAL);
    else if (is_beside(ino) && (at = beside_op_lseek(offset, whence, fi)) < 0)
        reply_error(req, (int)at);
    else if (is_beside(ino))
        fuse_reply_lseek(req, at);
    else if (offset < 0 || offset >= size)
        fuse_reply_err(req, ENXIO);
    else
        fuse_reply_lseek(req, whence == SEEK_DATA ? offset : size);
}

/* Free is what is left for the files beside the VHDX: clients ask before they make one. */
static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
    struct tree *t = tree_of(req);
    struct beside_room room = {0};
    struct statvfs st = {
        .f_bsize = 4096,
        .f_frsize = 4096,
        .f_namemax = 255,
    };

    (void)ino;
    if (t->beside)
        beside_room(t->beside, &room);
    st.f_blocks = (export_size(t->exported, VIEW_VHDX) + export_size(t->exported, VIEW_DISK) +
                   room.used + room.free) /
                  4096;
    st.f_bfree = st.f_bavail = room.free / 4096;
    st.f_files = 1 + room.files_used + room.files_free;
    st.f_ffree = st.f_favail = room.files_free;
    fuse_reply_statfs(req, &st);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct tree *t = tree_of(req);

    if (tree_names_view(t, parent, name)) {
        log_warning("refused to delete %s: it is the partition", name);
        reply_error(req, -EPERM);
        return;
    }
    reply_error(req, beside_op_unlink(t, name));
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    (void)parent;
    (void)name;
    fuse_reply_err(req, ENOTDIR);
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
                      const char *newname, unsigned flags)
{
    struct tree *t = tree_of(req);

    if (tree_names_view(t, parent, name) || tree_names_view(t, newparent, newname)) {
        log_warning("refused to rename %s to %s", name, newname);
        reply_error(req, -EPERM);
        return;
    }
    reply_error(req, beside_op_rename(t, name, newname, flags));
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                      struct fuse_file_info *fi)
{
    (void)mode;
    if (parent != FUSE_ROOT_ID || tree_names_view(tree_of(req), parent, name))
        reply_error(req, -EEXIST);
    else
        beside_op_create(req, name, fi);
}

/* Directories, links and special files: not here. */
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

const struct fuse_lowlevel_ops callbacks = {
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
    .create = op_create,
    .open = beside_op_open,
    .read = beside_op_read,
    .write = beside_op_write,
    .flush = op_flush,
    .release = op_release,
    .fsync = op_fsync,
    .readdir = op_readdir,
    .statfs = op_statfs,
    .fallocate = op_fallocate,
    .lseek = op_lseek,
    .setxattr = xattr_op_set,
    .getxattr = xattr_op_get,
    .listxattr = xattr_op_list,
    .removexattr = xattr_op_remove,
};
