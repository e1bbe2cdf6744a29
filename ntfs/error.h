/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Private to ntfs/: the border to libntfs-3g, which answers -1 or NULL, sets errno, and logs by
 * itself. */
#ifndef NTFS_ERROR_H
#define NTFS_ERROR_H

/* -errno of the call that just failed; -EIO where libntfs-3g forgot to set it. */
int ntfs_error(void);

/* The library says nothing by itself: what fails is told by who called it. */
void ntfs_be_quiet(void);

#endif
