/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The FUSE callbacks and nothing else: each one unpacks a request, asks the session,
 * and replies. They run in parallel, in as many threads as libfuse keeps.
 */
#ifndef FUSE_OPERATIONS_H
#define FUSE_OPERATIONS_H

#include "fuse/fuse_api.h"
#include "fuse/session.h"

struct export
{
    struct session *session;
    bool is_file;          /* the mount point is a regular file: the root is the VHDX */
    void (*ready)(void *); /* called once, when the kernel has accepted the mount */
    void *ready_arg;
};

extern const struct fuse_lowlevel_ops export_operations;

#endif
