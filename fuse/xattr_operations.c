/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fuse/xattr_operations.h"

#include "common/cleanup.h"
#include "common/log.h"
#include "fuse/dos_attributes.h"

#include <errno.h>
#include <string.h>

/* What xattrs.h calls the object with that inode number. */
static int object_of(struct tree *t, fuse_ino_t ino, char object[BESIDE_NAME_MAX + 1])
{
    if (is_beside(ino))
        return beside_name(t->beside, ino, object);
    strcpy(object, is_vhdx(t, ino) ? XATTRS_VHDX : is_disk(ino) ? XATTRS_DISK : XATTRS_DIRECTORY);
    return 0;
}

void xattr_op_set(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size,
                  int flags)
{
    struct tree *t = tree_of(req);
    char object[BESIDE_NAME_MAX + 1];
    int err = object_of(t, ino, object);

    if (!err && is_vhdx(t, ino) && dos_attributes_unfit(name, value, size)) {
        log_warning("refused to mark the VHDX sparse, compressed or encrypted (%s)", name);
        err = -EPERM;
    }
    reply_error(req, err ? err : xattrs_set(t->xattrs, object, name, value, size, flags));
}

void xattr_op_get(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
    struct tree *t = tree_of(req);
    char object[BESIDE_NAME_MAX + 1];
    cleanup_free void *value = malloc(size ? size : 1);
    ssize_t n = value ? object_of(t, ino, object) : -ENOMEM;

    if (n == 0)
        n = xattrs_get(t->xattrs, object, name, value, size);
    if (n < 0)
        reply_error(req, (int)n);
    else if (size == 0)
        fuse_reply_xattr(req, (size_t)n);
    else
        fuse_reply_buf(req, value, (size_t)n);
}

void xattr_op_list(fuse_req_t req, fuse_ino_t ino, size_t size)
{
    struct tree *t = tree_of(req);
    char object[BESIDE_NAME_MAX + 1];
    cleanup_free char *list = malloc(size ? size : 1);
    ssize_t n = list ? object_of(t, ino, object) : -ENOMEM;

    if (n == 0)
        n = xattrs_list(t->xattrs, object, list, size);
    if (n < 0)
        reply_error(req, (int)n);
    else if (size == 0)
        fuse_reply_xattr(req, (size_t)n);
    else
        fuse_reply_buf(req, list, (size_t)n);
}

void xattr_op_remove(fuse_req_t req, fuse_ino_t ino, const char *name)
{
    struct tree *t = tree_of(req);
    char object[BESIDE_NAME_MAX + 1];
    int err = object_of(t, ino, object);

    reply_error(req, err ? err : xattrs_remove(t->xattrs, object, name));
}
