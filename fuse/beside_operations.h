/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The part of the callbacks that serves the small files beside the VHDX. An open file's
 * handle is its descriptor. Those that take a request reply to it; the others return 0 or
 * -errno.
 */
#ifndef FUSE_BESIDE_OPERATIONS_H
#define FUSE_BESIDE_OPERATIONS_H

#include "fuse/tree.h"

void beside_op_lookup(fuse_req_t req, const char *name);
void beside_op_getattr(fuse_req_t req, fuse_ino_t ino);
void beside_op_setattr(fuse_req_t req, fuse_ino_t ino, const struct stat *attr, int to_set);
void beside_op_create(fuse_req_t req, const char *name, struct fuse_file_info *fi);
/* These three refuse what is no file beside. */
void beside_op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void beside_op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                    struct fuse_file_info *fi);
void beside_op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
                     struct fuse_file_info *fi);
void beside_op_release(fuse_req_t req, struct fuse_file_info *fi);

int beside_op_fallocate(fuse_req_t req, int mode, off_t offset, off_t length,
                        const struct fuse_file_info *fi);
int beside_op_fsync(const struct fuse_file_info *fi);
/* SEEK_DATA or SEEK_HOLE: the position or -errno. The descriptor's own one means nothing. */
off_t beside_op_lseek(off_t offset, int whence, const struct fuse_file_info *fi);
int beside_op_unlink(struct tree *t, const char *name);
int beside_op_rename(struct tree *t, const char *name, const char *to, unsigned flags);

#endif
