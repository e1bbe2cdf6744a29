/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Private to ntfs/: security descriptors that keep a file from being deleted by accident
 * ([MS-DTYP] 2.4.6).
 *
 * Windows deletes a file for whoever has DELETE on it, or DELETE_CHILD on its directory; so both
 * are denied, to everyone. Everything else is granted to everyone, since access is a matter of
 * who gets the disk: also WRITE_DAC on the file, which Windows needs to let a virtual machine's
 * account in, and which is the way out for somebody who means to delete it. The root's grant is
 * inherited, so what else is made there can be deleted as usual.
 *
 * ntfs-3g knows no right to delete. It shows a directory as sticky, where only a file's owner
 * may delete it, by an entry for nobody (S-1-0-0), which means nothing to Windows; the
 * root has that, too.
 */
#ifndef NTFS_ACL_H
#define NTFS_ACL_H

#include <stddef.h>
#include <stdint.h>

#define NTFS_ACL_MAX 128 /* bytes */

/* Of the protected file, and of the directory it lies in. Return the size. */
size_t ntfs_acl_file(uint8_t descriptor[NTFS_ACL_MAX]);
size_t ntfs_acl_directory(uint8_t descriptor[NTFS_ACL_MAX]);

#endif
