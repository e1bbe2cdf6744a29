/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vhdxgen/fiemap.h"

#include "common/cleanup.h"
#include "common/units.h"

#include <errno.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>

#define EXTENTS_AT_ONCE 512
#define NTFS3_MAGIC     0x7366746e

/*
 * The file systems of which it is known that fe_physical is a place on the one device they are
 * mounted from. It is not on btrfs (an address in its own space of chunks), nor on others
 * that join devices.
 */
static bool is_plain_file_system(unsigned long magic)
{
    return magic == EXT4_SUPER_MAGIC || magic == XFS_SUPER_MAGIC || magic == NTFS3_MAGIC;
}

static int check_file_system(int fd, const char *path, struct failure *failure)
{
    struct fsxattr attributes;
    struct statfs fs;

    if (fstatfs(fd, &fs) < 0)
        return failed(failure, EXIT_IO_ERROR, -errno, "%s: %s", path, strerror(errno));
    if ((unsigned long)fs.f_type == BTRFS_SUPER_MAGIC)
        return failed(failure, EXIT_INVALID_IMAGE, -EINVAL,
                      "%s is on btrfs, whose extents are not places on a device; copy it to an "
                      "ext4, an XFS or an NTFS",
                      path);
    if (!is_plain_file_system((unsigned long)fs.f_type))
        return failed(failure, EXIT_INVALID_IMAGE, -EINVAL,
                      "%s is on a file system (type 0x%lx) of which it is not known that its "
                      "extents are places on a device; for an NTFS that ntfs-3g has mounted, "
                      "unmount it and name the file as DEVICE:PATH",
                      path, (unsigned long)fs.f_type);
    if ((unsigned long)fs.f_type == XFS_SUPER_MAGIC &&
        ioctl(fd, FS_IOC_FSGETXATTR, &attributes) == 0 &&
        (attributes.fsx_xflags & FS_XFLAG_REALTIME))
        return failed(failure, EXIT_INVALID_IMAGE, -EINVAL,
                      "%s is on the realtime device of its XFS; copy it to the other one", path);
    return 0;
}

static const char plain_copy[] =
    "make a plain copy (cp --sparse=never --reflink=never) and map that";

/* Flags that make an extent something else than bytes at a place; the first that is set tells. */
static const struct {
    uint32_t flag;
    const char *what, *cure;
} not_plain[] = {
    {FIEMAP_EXTENT_DATA_ENCRYPTED, "is encrypted", plain_copy},
    {FIEMAP_EXTENT_DELALLOC, "has no place on the disk yet", "say 'sync' and try again"},
    {FIEMAP_EXTENT_UNKNOWN, "has no known place on the disk", "say 'sync' and try again"},
    {FIEMAP_EXTENT_DATA_INLINE, "lies among the file system's metadata", plain_copy},
    {FIEMAP_EXTENT_DATA_TAIL, "shares its block with other files", plain_copy},
    {FIEMAP_EXTENT_ENCODED, "is compressed or encrypted", plain_copy},
    {FIEMAP_EXTENT_UNWRITTEN, "is allocated, but was never written", plain_copy},
    {FIEMAP_EXTENT_SHARED, "is shared with other files (a reflink)", plain_copy},
    {FIEMAP_EXTENT_NOT_ALIGNED, "does not lie on whole blocks", plain_copy},
};

int fiemap_append(const struct fiemap_extent *e, uint64_t size, struct extent_map *map,
                  const char **what, const char **cure)
{
    uint64_t done = extent_map_size(map), length;
    int err;

    for (size_t i = 0; i < ARRAY_SIZE(not_plain); i++) {
        if (!(e->fe_flags & not_plain[i].flag))
            continue;
        *what = not_plain[i].what;
        *cure = not_plain[i].cure;
        return -EINVAL;
    }
    if (e->fe_logical < done || !e->fe_length ||
        !range_inside(e->fe_logical, e->fe_length, INT64_MAX) ||
        !range_inside(e->fe_physical, e->fe_length, INT64_MAX))
        return -EUCLEAN;
    if (e->fe_logical >= size) /* allocated behind the end */
        return 0;
    err = extent_map_append(map, e->fe_logical - done, EXTENT_ZERO, 0);
    length = min_u64(e->fe_length, size - e->fe_logical);
    if (!err)
        err = extent_map_append(map, length, EXTENT_DEVICE, e->fe_physical);
    return err;
}

static int append_all(const struct fiemap *answer, const char *path, uint64_t size,
                      struct extent_map *map, struct failure *failure)
{
    const char *what, *cure;

    for (uint32_t i = 0; i < answer->fm_mapped_extents; i++) {
        const struct fiemap_extent *e = &answer->fm_extents[i];
        int err = fiemap_append(e, size, map, &what, &cure);

        if (err == -EINVAL)
            return failed(failure, EXIT_INVALID_IMAGE, err, "%s: its extent at byte %llu %s; %s",
                          path, (unsigned long long)e->fe_logical, what, cure);
        if (err)
            return failed(failure, EXIT_IO_ERROR, err, "%s: its extents: %s", path, strerror(-err));
    }
    return 0;
}

static int read_extents(int fd, const char *path, uint64_t size, struct extent_map *map,
                        struct failure *failure)
{
    cleanup_free struct fiemap *answer =
        calloc(1, sizeof(*answer) + EXTENTS_AT_ONCE * sizeof(struct fiemap_extent));
    uint64_t start = 0;
    bool last = false;

    while (answer && !last && start < size) {
        const struct fiemap_extent *e;
        int err;

        *answer = (struct fiemap){.fm_start = start,
                                  .fm_length = size - start,
                                  .fm_flags = FIEMAP_FLAG_SYNC,
                                  .fm_extent_count = EXTENTS_AT_ONCE};
        if (ioctl(fd, FS_IOC_FIEMAP, answer) < 0)
            return failed(failure, EXIT_IO_ERROR, -errno, "%s: cannot read its extents: %s", path,
                          strerror(errno));
        if (!answer->fm_mapped_extents)
            break;
        err = append_all(answer, path, size, map, failure);
        if (err)
            return err;
        e = &answer->fm_extents[answer->fm_mapped_extents - 1];
        start = e->fe_logical + e->fe_length;
        last = e->fe_flags & FIEMAP_EXTENT_LAST;
    }
    if (!answer || extent_map_append(map, size - extent_map_size(map), EXTENT_ZERO, 0) < 0)
        return failed(failure, EXIT_IO_ERROR, -ENOMEM, "%s: %s", path, strerror(ENOMEM));
    return 0;
}

int fiemap_read(int fd, const char *path, uint64_t size, struct extent_map *map,
                struct failure *failure)
{
    int err = check_file_system(fd, path, failure);

    if (err)
        return err;
    if (fsync(fd) < 0)
        return failed(failure, EXIT_IO_ERROR, -errno, "%s: %s", path, strerror(errno));
    return read_extents(fd, path, size, map, failure);
}
