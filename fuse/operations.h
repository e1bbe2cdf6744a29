/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The FUSE callbacks and nothing else: each one unpacks a request, asks the tree (or
 * the files and attributes beside it), and replies. They run in parallel, in the threads of the
 * transport (transport.h). Opens, reads and writes of the two views do not come here: serve.c does
 * them.
 */
#ifndef FUSE_OPERATIONS_H
#define FUSE_OPERATIONS_H

#include "fuse/libfuse.h"

extern const struct fuse_lowlevel_ops callbacks;

#endif
