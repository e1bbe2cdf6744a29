/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vhdxgen/map_build.h"

#include "common/cleanup.h"
#include "common/io.h"
#include "common/units.h"
#include "vhdxgen/fiemap.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>

/*
 * Reads the line of /sys/dev/block/MAJOR:MINOR/NAME that begins with KEY, without KEY; false
 * if it is not there.
 */
static bool read_sys(dev_t device, const char *name, const char *key, char line[256])
{
    char path[96];
    cleanup_file FILE *f = NULL;
    size_t skip = strlen(key);

    snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%s", major(device), minor(device), name);
    f = fopen(path, "re");
    while (f && fgets(line, 256, f)) {
        if (strncmp(line, key, skip) != 0)
            continue;
        memmove(line, line + skip, strlen(line + skip) + 1);
        line[strcspn(line, "\n")] = '\0';
        return true;
    }
    return false;
}

/* Of a partition the queue is that of its disk. */
static bool read_sector_size(dev_t device, char line[256])
{
    return read_sys(device, "queue/logical_block_size", "", line) ||
           read_sys(device, "../queue/logical_block_size", "", line);
}

/* The facts about the device below, from sysfs: the file's owner may not be allowed to open it. */
static int find_backing_device(struct map_source *s, struct failure *failure)
{
    char name[256], size[256], sector[256], read_only[256];

    if (!read_sys(s->rdev, "uevent", "DEVNAME=", name) || !read_sys(s->rdev, "size", "", size) ||
        !read_sector_size(s->rdev, sector))
        return failed(failure, EXIT_INVALID_IMAGE, -ENODEV,
                      "%s: its file system is not on a block device", s->spec);
    s->is_block = true;
    s->device_size = strtoull(size, NULL, 10) * 512; /* sysfs counts so on every device */
    s->sector_size = (uint32_t)strtoul(sector, NULL, 10);
    s->write_protected = read_sys(s->rdev, "ro", "", read_only) && *read_only == '1';
    free(s->device);
    if (asprintf(&s->device, "/dev/%s", name) < 0)
        return failed(failure, EXIT_IO_ERROR, -ENOMEM, "%s: %s", s->spec, strerror(ENOMEM));
    return 0;
}

/* Of FILE. */
static int read_file_extents(struct map_source *s, struct failure *failure)
{
    off_t end = lseek(s->fd, 0, SEEK_END);
    int err;

    if (end < 0)
        return failed(failure, EXIT_IO_ERROR, -errno, "%s: %s", s->spec, strerror(errno));
    s->file_size = (uint64_t)end;
    err = fiemap_read(s->fd, s->spec, s->file_size, &s->file, failure);
    s->run_count = s->file.count;
    return err ? err : find_backing_device(s, failure);
}

/* The file, whose runs map_read_ntfs() or read_file_extents() has found. */
static int read_through(void *opaque, void *data, size_t length, uint64_t offset)
{
    const struct map_source *s = opaque;
    const struct extent *e = extent_map_find(&s->file, offset);

    if (!s->inside)
        return pread_full(s->fd, data, length, offset);
    for (uint8_t *p = data; length; e++) {
        uint64_t skip = offset - e->offset;
        size_t n = (size_t)min_u64(length, e->length - skip);
        int err = 0;

        if (e->kind == EXTENT_DEVICE)
            err = pread_full(s->fd, p, n, e->backing + skip);
        else
            memset(p, 0, n);
        if (err)
            return err == -ENODATA ? -EIO : err;
        p += n;
        offset += n;
        length -= n;
    }
    return 0;
}

int map_build(struct map_source *s, struct failure *failure)
{
    struct vhdx_io io = {.read = read_through, .opaque = s};
    int err;

    extent_map_free(&s->file);
    extent_map_free(&s->disk);
    /* Not what the cache kept from an earlier look, if others wrote past it meanwhile. */
    (void)posix_fadvise(s->fd, 0, 0, POSIX_FADV_DONTNEED);
    err = s->inside ? map_read_ntfs(s, failure) : read_file_extents(s, failure);
    if (err)
        return err;
    io.size = s->file_size;
    return map_read_vhdx(s, &io, failure);
}
