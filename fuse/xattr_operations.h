/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The callbacks for extended attributes. */
#ifndef FUSE_XATTR_OPERATIONS_H
#define FUSE_XATTR_OPERATIONS_H

#include "fuse/tree.h"

void xattr_op_set(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size,
                  int flags);
void xattr_op_get(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void xattr_op_list(fuse_req_t req, fuse_ino_t ino, size_t size);
void xattr_op_remove(fuse_req_t req, fuse_ino_t ino, const char *name);

#endif
