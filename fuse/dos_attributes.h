/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The extended attributes in which Samba (user.DOSATTRIB, its librpc/idl/xattr.idl) and ntfs-3g
 * (system.ntfs_attrib, system.ntfs_attrib_be) keep Windows' file attributes.
 *
 * Only one question is asked: would Windows still attach the VHDX? It refuses a file marked
 * sparse, compressed or encrypted, whatever is true of it, and "wsl --manage --set-sparse" asks
 * for just that mark.
 */
#ifndef FUSE_DOS_ATTRIBUTES_H
#define FUSE_DOS_ATTRIBUTES_H

#include <stdbool.h>
#include <stddef.h>

/* Whether NAME, set to VALUE, marks a file so. False for every other attribute and what cannot be
 * read. */
bool dos_attributes_unfit(const char *name, const void *value, size_t size);

#endif
