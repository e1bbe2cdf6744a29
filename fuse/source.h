/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From what the user wrote to the path of one device or image file. */
#ifndef FUSE_SOURCE_H
#define FUSE_SOURCE_H

#include "fuse/failure.h"

/*
 * Resolves SPEC: a path, UUID=, LABEL=, PARTUUID=, PARTLABEL= (libblkid's tags), or a
 * glob(7) pattern. On success *PATH is a new string, links in it resolved, so that the log
 * names the device itself. Nothing is opened for writing.
 *
 * Returns 0; -ENODEV when nothing matches, -EEXIST when more than one device does (the
 * failure names them), -ENOMEM or another -errno.
 */
int source_resolve(const char *spec, char **path, struct failure *failure);

#endif
