/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ntfs/reader.h"

#include "common/io.h"
#include "ntfs/error.h"

#include <errno.h>
#include <ntfs-3g/bootsect.h>
#include <ntfs-3g/device.h>
#include <ntfs-3g/volume.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BOOT_SECTOR   512
#define OEM_AT        3
#define BITLOCKER_OEM "-FVE-FS-"

static int fd_of(const struct ntfs_device *dev)
{
    return ((const struct ntfs_reader *)dev->d_private)->fd;
}

static s64 note_error(struct ntfs_device *dev, ssize_t result)
{
    struct ntfs_reader *reader = dev->d_private;

    if (result < 0 && !reader->read_error)
        reader->read_error = -errno;
    return result;
}

static int device_open(struct ntfs_device *dev, int flags)
{
    (void)flags;
    dev->d_state |= 1UL << ND_Open | 1UL << ND_ReadOnly;
    return 0;
}

static int device_close(struct ntfs_device *dev)
{
    dev->d_state &= ~(1UL << ND_Open);
    return 0;
}

static s64 device_seek(struct ntfs_device *dev, s64 offset, int whence)
{
    return lseek(fd_of(dev), offset, whence);
}

static s64 device_read(struct ntfs_device *dev, void *data, s64 count)
{
    return note_error(dev, read(fd_of(dev), data, (size_t)count));
}

static s64 device_pread(struct ntfs_device *dev, void *data, s64 count, s64 offset)
{
    return note_error(dev, pread(fd_of(dev), data, (size_t)count, offset));
}

static s64 device_write(struct ntfs_device *dev, const void *data, s64 count)
{
    (void)dev, (void)data, (void)count;
    errno = EROFS;
    return -1;
}

static s64 device_pwrite(struct ntfs_device *dev, const void *data, s64 count, s64 offset)
{
    (void)offset;
    return device_write(dev, data, count);
}

static int device_sync(struct ntfs_device *dev)
{
    (void)dev;
    return 0;
}

static int device_stat(struct ntfs_device *dev, struct stat *st)
{
    return fstat(fd_of(dev), st);
}

/* Among the requests is BLKBSZSET: it would change the device for everybody. */
static int device_ioctl(struct ntfs_device *dev, unsigned long request, void *argument)
{
    (void)dev, (void)request, (void)argument;
    errno = EOPNOTSUPP;
    return -1;
}

static struct ntfs_device_operations operations = {
    .open = device_open,
    .close = device_close,
    .seek = device_seek,
    .read = device_read,
    .write = device_write,
    .pread = device_pread,
    .pwrite = device_pwrite,
    .sync = device_sync,
    .stat = device_stat,
    .ioctl = device_ioctl,
};

static int look_at_boot_sector(int fd)
{
    union {
        NTFS_BOOT_SECTOR boot;
        char bytes[BOOT_SECTOR];
    } sector;
    int err = pread_full(fd, &sector, sizeof(sector), 0);

    if (err)
        return err == -ENODATA ? -EMEDIUMTYPE : err;
    if (!memcmp(sector.bytes + OEM_AT, BITLOCKER_OEM, strlen(BITLOCKER_OEM)))
        return -EKEYREJECTED;
    return ntfs_boot_sector_is_ntfs(&sector.boot) ? 0 : -EMEDIUMTYPE;
}

int ntfs_reader_error(const struct ntfs_reader *reader)
{
    int err = ntfs_error();

    if (reader->read_error)
        return reader->read_error;
    return err == -EIO || err == -EINVAL ? -EUCLEAN : err;
}

int ntfs_reader_open(struct ntfs_reader *reader, int fd)
{
    struct ntfs_device *device;
    int err = look_at_boot_sector(fd);

    if (err)
        return err;
    ntfs_be_quiet();
    *reader = (struct ntfs_reader){.fd = fd};
    device = ntfs_device_alloc("volume", 0, &operations, reader);
    if (!device)
        return -ENOMEM;
    errno = 0;
    reader->volume = ntfs_device_mount(device, NTFS_MNT_RDONLY | NTFS_MNT_FORENSIC);
    if (!reader->volume) {
        err = ntfs_reader_error(reader);
        device_close(device);
        ntfs_device_free(device);
        return err;
    }
    reader->sector_size = reader->volume->sector_size;
    reader->cluster_size = reader->volume->cluster_size;
    reader->size = (uint64_t)reader->volume->nr_clusters * reader->cluster_size;
    return 0;
}

void ntfs_reader_close(struct ntfs_reader *reader)
{
    ntfs_umount(reader->volume, 0);
    *reader = (struct ntfs_reader){.fd = -1};
}
