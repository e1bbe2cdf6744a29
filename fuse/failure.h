/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How the daemon's files have always called it. */
#ifndef FUSE_FAILURE_H
#define FUSE_FAILURE_H

#include "device/failure.h"

#endif
