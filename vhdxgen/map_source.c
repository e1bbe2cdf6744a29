/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vhdxgen/map_source.h"

#include "common/cleanup.h"
#include "common/units.h"
#include "device/holders.h"
#include "device/source.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

static int io_failed(struct failure *failure, const char *what, int err)
{
    enum exit_code code = err == -ENOENT || err == -ENOTDIR ? EXIT_USAGE : EXIT_IO_ERROR;

    return failed(failure, code, err, "%s: %s%s", what, strerror(-err),
                  err == -EACCES || err == -EPERM ? "; run as root" : "");
}

static int read_device_facts(struct map_source *s, int fd, struct failure *failure)
{
    int sector = 512, read_only = 0;
    off_t end = lseek(fd, 0, SEEK_END);

    if (end < 0 ||
        (s->is_block && (ioctl(fd, BLKSSZGET, &sector) < 0 || ioctl(fd, BLKROGET, &read_only) < 0)))
        return io_failed(failure, s->device, -errno);
    s->device_size = (uint64_t)end;
    s->sector_size = (uint32_t)sector;
    s->write_protected = read_only != 0;
    return 0;
}

/* --- DEVICE:PATH ------------------------------------------------------------ */

static int refuse_mounted(const char *what, const char *where, struct failure *failure)
{
    return failed(failure, EXIT_UNSAFE, -EBUSY,
                  "%s is mounted on %s, where its files may move at any time; unmount it "
                  "(umount %s)",
                  what, where, where);
}

/* Who has the device, when O_EXCL says that somebody does: readers are no harm. */
static int share_device(struct map_source *s, struct failure *failure)
{
    char where[256];
    bool writable;

    if (holders_mounted_as(s->rdev, where, sizeof(where), &writable) > 0) {
        if (writable)
            return refuse_mounted(s->device, where, failure);
        snprintf(s->shared, sizeof(s->shared), "mounted read-only on %.40s", where);
    } else if (holders_mapped(s->rdev)) {
        snprintf(s->shared, sizeof(s->shared), "mapped already");
    } else {
        holders_describe(s->rdev, where, sizeof(where));
        return failed(failure, EXIT_UNSAFE, -EBUSY, "%s is %s", s->device, where);
    }
    s->fd = open(s->device, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    return s->fd < 0 ? io_failed(failure, s->device, -errno) : 0;
}

static int claim_block_device(struct map_source *s, struct failure *failure)
{
    s->fd = open(s->device, O_RDONLY | O_EXCL | O_CLOEXEC | O_NONBLOCK);
    if (s->fd < 0 && errno == EBUSY)
        return share_device(s, failure);
    if (s->fd < 0)
        return io_failed(failure, s->device, -errno);
    s->exclusive = true;
    return 0;
}

/* An image file: what counts is who uses the loop device on it. */
static int open_image(struct map_source *s, const struct stat *st, struct failure *failure)
{
    char loop[64], where[256];
    struct stat device;
    int mounted = 0;
    bool writable;

    if (holders_looped(st, loop, sizeof(loop)) && stat(loop, &device) == 0)
        mounted = holders_mounted_as(device.st_rdev, where, sizeof(where), &writable);
    if (mounted < 0)
        return failed(failure, EXIT_IO_ERROR, mounted,
                      "%s: cannot see in /proc/self/mountinfo whether %s is mounted: %s; mount "
                      "/proc",
                      s->device, loop, strerror(-mounted));
    if (mounted && writable)
        return refuse_mounted(loop, where, failure);
    s->fd = open(s->device, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    return s->fd < 0 ? io_failed(failure, s->device, -errno) : 0;
}

static int open_device(struct map_source *s, struct failure *failure)
{
    struct stat st;
    int err;

    if (stat(s->device, &st) < 0)
        return io_failed(failure, s->device, -errno);
    s->is_block = S_ISBLK(st.st_mode);
    s->rdev = st.st_rdev;
    if (s->is_block)
        err = claim_block_device(s, failure);
    else if (S_ISREG(st.st_mode))
        err = open_image(s, &st, failure);
    else
        err = failed(failure, EXIT_USAGE, -ENOTBLK, "%s: neither a block device nor a file",
                     s->device);
    return err ? err : read_device_facts(s, s->fd, failure);
}

/* The colon of DEVICE:PATH, or NULL. NTFS has no colons in names, but /dev/disk/by-path has. */
static const char *find_colon(const char *spec)
{
    const char *colon = NULL;

    for (const char *at = spec; (at = strstr(at, ":/")); at++)
        colon = at;
    return colon;
}

static int open_device_path(struct map_source *s, const char *colon, struct failure *failure)
{
    cleanup_free char *device = strndup(s->spec, (size_t)(colon - s->spec));
    int err;

    s->inside = strdup(colon + 1);
    if (!device || !s->inside)
        return io_failed(failure, s->spec, -ENOMEM);
    err = source_resolve(device, &s->device, failure);
    return err ? err : open_device(s, failure);
}

/* --- FILE --------------------------------------------------------------------- */

static int open_plain_file(struct map_source *s, struct failure *failure)
{
    struct stat st;

    s->fd = open(s->spec, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (s->fd < 0 || fstat(s->fd, &st) < 0) {
        int err = -errno;

        if (err == -ENOENT && strchr(s->spec, ':'))
            return failed(failure, EXIT_USAGE, err,
                          "%s: no such file; of DEVICE:PATH, PATH begins with a slash", s->spec);
        return io_failed(failure, s->spec, err);
    }
    if (S_ISBLK(st.st_mode))
        return failed(failure, EXIT_USAGE, -EINVAL,
                      "%s is a block device; name the VHDX on it as well: %s:/PATH", s->spec,
                      s->spec);
    if (!S_ISREG(st.st_mode))
        return failed(failure, EXIT_USAGE, -EINVAL, "%s is not a regular file", s->spec);
    s->rdev = st.st_dev;
    return 0;
}

/* --- both ------------------------------------------------------------------------ */

static bool exists(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0;
}

int map_open(struct map_source *s, const char *spec, struct failure *failure)
{
    const char *colon;

    *s = (struct map_source){.fd = -1, .spec = strdup(spec)};
    if (!s->spec)
        return io_failed(failure, spec, -ENOMEM);
    colon = exists(spec) ? NULL : find_colon(s->spec);
    return colon ? open_device_path(s, colon, failure) : open_plain_file(s, failure);
}

int map_open_again(struct map_source *again, const struct map_source *s, struct failure *failure)
{
    *again = (struct map_source){.fd = -1, .spec = strdup(s->spec), .device = strdup(s->device)};
    again->inside = s->inside ? strdup(s->inside) : NULL;
    if (!again->spec || !again->device || !again->inside)
        return io_failed(failure, s->spec, -ENOMEM);
    again->is_block = s->is_block;
    again->rdev = s->rdev;
    again->fd = open(again->device, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (again->fd < 0)
        return io_failed(failure, again->device, -errno);
    return read_device_facts(again, again->fd, failure);
}

bool map_same(const struct map_source *a, const struct map_source *b)
{
    if (!guid_equal(&a->disk_id, &b->disk_id) || a->disk.count != b->disk.count)
        return false;
    for (size_t i = 0; i < a->disk.count; i++)
        if (a->disk.extents[i].length != b->disk.extents[i].length ||
            a->disk.extents[i].backing != b->disk.extents[i].backing)
            return false;
    return true;
}

const char *map_uuid(const struct map_source *s, char text[MAP_UUID_MAX])
{
    char guid[GUID_TEXT_MAX];

    snprintf(text, MAP_UUID_MAX, HOLDERS_MAPPED_UUID "%s-%" PRIx64, guid_format(&s->disk_id, guid),
             s->disk.extents[0].backing / MAP_SECTOR);
    return text;
}

bool map_name_valid(const char *name)
{
    size_t length = strlen(name);

    for (const char *p = name; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("_-+.:", *p))
            return false;
    return length && length <= MAP_NAME_MAX && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

void map_close(struct map_source *s)
{
    close_fd(&s->fd);
    extent_map_free(&s->file);
    extent_map_free(&s->disk);
    free(s->spec);
    free(s->inside);
    free(s->device);
    *s = (struct map_source){.fd = -1};
}
