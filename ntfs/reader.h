/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An NTFS volume opened for reading only, through a descriptor of the caller's. The library
 * gets no way to write: not its log, not a repair, not a time stamp. It replays nothing, so
 * look at state.h before believing what it says.
 */
#ifndef NTFS_READER_H
#define NTFS_READER_H

#include <stdint.h>

struct _ntfs_volume; /* libntfs-3g's */

struct ntfs_reader {
    int fd; /* borrowed: it must stay open as long as the reader */
    struct _ntfs_volume *volume;
    uint64_t size;         /* of the volume in bytes; at most the device's */
    uint32_t sector_size;  /* bytes, as the boot sector says */
    uint32_t cluster_size; /* bytes */
    int read_error;        /* -errno of the first read that the device failed; 0 */
};

/*
 * Opens the volume on FD. Returns 0; -EMEDIUMTYPE where there is no NTFS, -EKEYREJECTED for
 * BitLocker's encryption of one; -EUCLEAN for one too damaged to open; -ENOMEM or -errno of
 * reading. Close it only after 0.
 */
int ntfs_reader_open(struct ntfs_reader *reader, int fd);
void ntfs_reader_close(struct ntfs_reader *reader);

/*
 * -errno of the library's call that just failed. It says EIO of a disk that cannot be read and of
 * structures that contradict themselves; this tells them apart: -EUCLEAN is the latter.
 */
int ntfs_reader_error(const struct ntfs_reader *reader);

#endif
