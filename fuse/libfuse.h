/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libfuse, in the one version of its interface that this project is written for. */
#ifndef FUSE_LIBFUSE_H
#define FUSE_LIBFUSE_H

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

#endif
