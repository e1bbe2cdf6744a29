/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ntfs/error.h"

#include <errno.h>
#include <ntfs-3g/logging.h>

int ntfs_error(void)
{
    return errno ? -errno : -EIO;
}

void ntfs_be_quiet(void)
{
    ntfs_log_set_handler(ntfs_log_handler_null);
}
