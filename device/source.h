/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From what the user wrote to the path of one device or image file. */
#ifndef DEVICE_SOURCE_H
#define DEVICE_SOURCE_H

#include "common/failure.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Resolves SPEC: a path, UUID=, LABEL=, PARTUUID=, PARTLABEL= (libblkid's tags), or a
 * glob(7) pattern. On success *PATH is a new string, links in it resolved, so that the log
 * names the device itself. Nothing is opened for writing.
 *
 * Returns 0; -ENODEV when nothing matches, -EEXIST when more than one device does (the
 * failure names them), -ENOMEM or another -errno.
 */
int source_resolve(const char *spec, char **path, struct failure *failure);

/* Whether SPEC is one of those tags. */
bool source_is_tag(const char *spec);

/* The PARTUUID of the partition at PATH, as its table has it; "" for anything else. */
void source_part_uuid(const char *path, char *text, size_t size);

#endif
