/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The volume builder of a build without libntfs-3g. */
#include "ntfs/build.h"

#include <errno.h>

int ntfs_build(int fd, const struct ntfs_geometry *geometry, struct ntfs_names *names)
{
    (void)fd;
    (void)geometry;
    names->stage = "build an NTFS volume";
    return -ENOSYS;
}
