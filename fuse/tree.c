/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fuse/tree.h"

#include "common/log.h"
#include "common/units.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

fuse_ino_t tree_view_named(const struct tree *t, const char *name)
{
    const struct options *o = t->options;

    if (!strcmp(name, o->settings.name))
        return VHDX_INODE;
    return o->settings.disk && !strcmp(name, DISK_NAME) ? DISK_INODE : 0;
}

bool tree_names_view(const struct tree *t, fuse_ino_t parent, const char *name)
{
    return parent == FUSE_ROOT_ID && tree_view_named(t, name);
}

bool tree_entry_at(struct tree *t, size_t index, char name[256], fuse_ino_t *ino)
{
    const char *fixed[] = {".", "..", t->options->settings.name, DISK_NAME};
    const fuse_ino_t inodes[] = {FUSE_ROOT_ID, FUSE_ROOT_ID, VHDX_INODE, DISK_INODE};
    size_t count = ARRAY_SIZE(fixed) - !t->options->settings.disk;
    uint64_t beside_inode;

    if (index < count) {
        snprintf(name, 256, "%s", fixed[index]);
        *ino = inodes[index];
        return true;
    }
    if (!beside_at(t->beside, (unsigned)(index - count), name, &beside_inode))
        return false;
    *ino = beside_inode;
    return true;
}

void tree_attributes(const struct tree *t, fuse_ino_t ino, struct stat *st)
{
    const struct options *o = t->options;
    mode_t mode = 0666 & ~o->umask;

    memset(st, 0, sizeof(*st));
    st->st_ino = ino;
    st->st_uid = o->uid;
    st->st_gid = o->gid;
    st->st_mtim = st->st_ctim = st->st_atim = export_modified(t->exported);
    st->st_blksize = 4096;
    if (!is_view(t, ino)) {
        st->st_mode = S_IFDIR | (0777 & ~o->umask);
        st->st_nlink = 2;
        return;
    }
    if (o->settings.read_only)
        mode &= ~(mode_t)0222;
    st->st_mode = S_IFREG | mode;
    st->st_nlink = 1;
    st->st_size = (off_t)export_size(t->exported, view_of(ino));
    /* Every byte counts as allocated: Windows refuses sparse files. */
    st->st_blocks = st->st_size / 512;
}

/* Opens a view. When that found it changed, the kernel must not go on with the old times. */
static int open_view(struct tree *t, fuse_ino_t ino, bool writes, struct failure *failure)
{
    struct timespec before = export_modified(t->exported), now;
    int err = export_open(t->exported, view_of(ino), writes, failure);

    now = export_modified(t->exported);
    if (!err && (now.tv_sec != before.tv_sec || now.tv_nsec != before.tv_nsec))
        fuse_lowlevel_notify_inval_inode(t->fuse, ino, -1, 0);
    return err;
}

int tree_open(struct tree *t, fuse_ino_t ino, int flags)
{
    bool writing = opens_for_writing(flags);
    struct failure failure = {.text = "out of memory"};
    int err;

    if (t->options->settings.read_only && writing)
        return -EROFS;
    err = open_view(t, ino, writing, &failure);
    if (!err)
        return 0;
    log_error("open refused: %s", failure.text);
    return err == -EBUSY ? -EBUSY : -EIO;
}

int tree_write(struct tree *t, fuse_ino_t ino, int flags, const void *data, size_t size,
               uint64_t offset, size_t *done)
{
    int err = export_write(t->exported, view_of(ino), data, size, offset, done);

    if (!err && flags & O_DSYNC) /* a part of O_SYNC */
        err = export_flush(t->exported);
    if (err)
        *done = 0;
    return err;
}
