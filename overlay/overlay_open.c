/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "overlay/overlay_open.h"

#include "common/cleanup.h"
#include "common/io.h"
#include "state/own_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

/* Reads the header from its copies. *WHOLE: they are both good and the same. */
static int read_header(int fd, struct overlay_header *header, bool *whole)
{
    struct overlay_disk_header copies[OVERLAY_HEADER_COPIES];
    struct overlay_header second;
    int err = pread_full(fd, copies, sizeof(copies), 0), err_2;

    if (err)
        return err == -ENODATA ? -EUCLEAN : err;
    err = overlay_decode_header(&copies[0], header);
    err_2 = overlay_decode_header(&copies[1], &second);
    *whole = !err && !err_2 && !memcmp(&copies[0], &copies[1], sizeof(copies[0]));
    if (err && !err_2)
        *header = second;
    /* Either says so only if it was about to be, and then it is safe to believe it. */
    else if (!err && !err_2 && second.state == OVERLAY_COMMITTING)
        header->state = OVERLAY_COMMITTING;
    return err && err_2 ? err : 0;
}

int overlay_write_header(int fd, const struct overlay_header *header)
{
    struct overlay_disk_header encoded;
    int err = 0;

    overlay_encode_header(header, &encoded);
    for (uint64_t i = 0; !err && i < OVERLAY_HEADER_COPIES; i++) {
        err = pwrite_full(fd, &encoded, sizeof(encoded), i * OVERLAY_HEADER_SIZE);
        /* Before the next, so that a power cut cannot tear both. */
        if (!err && fdatasync(fd) < 0)
            err = -errno;
    }
    return err;
}

static int unusable(const char *path, int err, struct failure *failure)
{
    if (err == -EPROTONOSUPPORT)
        return failed(failure, EXIT_INVALID_IMAGE, err,
                      "%s: an overlay of another version of vhdxfs; use that", path);
    if (err != -EUCLEAN)
        return failed(failure, EXIT_IO_ERROR, err, "%s: cannot use it: %s", path, strerror(-err));
    return failed(failure, EXIT_INVALID_IMAGE, err,
                  "%s: damaged, or no overlay of vhdxfs; restore it from a backup, or move it away "
                  "(the partition itself was not changed by it)",
                  path);
}

/* Looks into a locked file. */
static int examine(const char *path, int fd, struct overlay_header *header, struct failure *failure)
{
    bool whole = false;
    struct stat st;
    int err = own_file_settle(fd);

    if (!err)
        err = fstat(fd, &st) < 0 ? -errno : read_header(fd, header, &whole);
    if (!err && (uint64_t)st.st_size != overlay_file_size(header->disk_size))
        err = -EUCLEAN;
    if (!err && !whole)
        err = overlay_write_header(fd, header);
    return err ? unusable(path, err, failure) : 0;
}

int overlay_open(const char *path, struct overlay_header *header, struct failure *failure)
{
    const struct own_file file = {
        .directory = AT_FDCWD,
        .name = path,
        .path = path,
        .kind = "overlay",
        .if_foreign = "name another file with -o cow=",
        .if_used = "stop that first",
    };
    cleanup_fd int fd = own_file_open(&file, false, failure);
    int err;

    if (fd == -ENOENT || fd == -EISDIR)
        return failed(failure, EXIT_USAGE, fd, "%s: cannot open the overlay: %s", path,
                      strerror(-fd));
    if (fd < 0)
        return fd;
    err = examine(path, fd, header, failure);
    return err ? err : steal_fd(&fd);
}

/* Sets the size, and allocates the bitmap: then a full file system cannot make a flush fail. */
static int fill(int fd, const struct overlay_header *header)
{
    off_t bitmap = (off_t)overlay_bitmap_size(header->disk_size);
    int err;

    if (ftruncate(fd, (off_t)overlay_file_size(header->disk_size)) < 0)
        return -errno;
    if (fallocate(fd, 0, (off_t)OVERLAY_BITMAP_AT, bitmap) < 0 && errno != EOPNOTSUPP)
        return -errno;
    err = overlay_write_header(fd, header);
    return err ? err : fsync(fd) < 0 ? -errno : 0;
}

static int cannot_create(const char *path, const struct overlay_header *header, int err,
                         struct failure *failure)
{
    char size[SIZE_TEXT_MAX];

    if (err == -EFBIG)
        return failed(failure, EXIT_IO_ERROR, err,
                      "%s: the file system there cannot hold a file of %s, which the overlay would "
                      "have (it is sparse and takes only what is written); put it on one that can, "
                      "e.g. XFS",
                      path, format_size(overlay_file_size(header->disk_size), size));
    return failed(failure, err == -ENOENT || err == -ENOTDIR ? EXIT_USAGE : EXIT_IO_ERROR, err,
                  "%s: cannot make the overlay: %s", path, strerror(-err));
}

int overlay_create(const char *path, const struct overlay_header *header, struct failure *failure)
{
    char fresh[PATH_MAX];
    cleanup_fd int fd = -1;
    uint64_t random = 0;
    int err;

    if (getrandom(&random, sizeof(random), 0) < 0 ||
        (size_t)snprintf(fresh, sizeof(fresh), "%s.%016" PRIx64, path, random) >= sizeof(fresh))
        return cannot_create(path, header, -ENAMETOOLONG, failure);
    fd = own_file_create(AT_FDCWD, fresh);
    err = fd < 0 ? fd : fill(fd, header);
    /* Not over a file that somebody has made meanwhile. */
    if (!err && renameat2(AT_FDCWD, fresh, AT_FDCWD, path, RENAME_NOREPLACE) < 0)
        err = errno == EINVAL && access(path, F_OK) < 0 && rename(fresh, path) == 0 ? 0 : -errno;
    if (!err)
        err = fsync_parent(path);
    if (err) {
        if (fd >= 0)
            unlink(fresh);
        return cannot_create(path, header, err, failure);
    }
    return steal_fd(&fd);
}

/* Reads the mark at any alignment that direct I/O may want. */
static int read_mark(int fd, uint64_t disk_size, uint8_t mark[OVERLAY_MARK_SIZE])
{
    uint64_t span = min_u64(disk_size, 4096);
    void *head = NULL;
    int err = posix_memalign(&head, 4096, 4096);

    if (err)
        return -err;
    memset(head, 0, 4096);
    err = pread_full(fd, head, (size_t)span, 0);
    memcpy(mark, (uint8_t *)head + OVERLAY_MARK_AT, OVERLAY_MARK_SIZE);
    free(head);
    return err;
}

int overlay_describe(const struct facts *facts, int fd, struct overlay_header *header,
                     struct failure *failure)
{
    int err;

    *header =
        (struct overlay_header){.disk_size = facts->size, .logical_sector = facts->logical_sector};
    snprintf(header->identity, sizeof(header->identity), "%s", facts_identity(facts));
    err = read_mark(fd, facts->size, header->mark);
    return err ? failed(failure, EXIT_IO_ERROR, err, "%s: cannot read it: %s", facts->path,
                        strerror(-err))
               : 0;
}

int overlay_check(const char *path, const struct overlay_header *found,
                  const struct overlay_header *now, struct failure *failure)
{
    if (strcmp(found->identity, now->identity) != 0)
        return failed(failure, EXIT_UNSAFE, -ESTALE,
                      "%s is an overlay for partition %s, not for %s; name another file with -o "
                      "cow=, or remove this one if it is not needed",
                      path, found->identity, now->identity);
    if (found->disk_size != now->disk_size || found->logical_sector != now->logical_sector)
        return failed(failure, EXIT_UNSAFE, -ESTALE,
                      "%s was made when the partition had %" PRIu64 " bytes in sectors of %u; it "
                      "has %" PRIu64 " in sectors of %u; restore its size, or drop the overlay "
                      "(vhdxfs --discard)",
                      path, found->disk_size, found->logical_sector, now->disk_size,
                      now->logical_sector);
    if (memcmp(found->mark, now->mark, sizeof(found->mark)) != 0)
        return failed(failure, EXIT_UNSAFE, -ESTALE,
                      "%s: the partition has been changed since the overlay was made (mounted for "
                      "writing, checked or tuned), so they no longer fit together; drop the "
                      "overlay with vhdxfs --discard",
                      path);
    return 0;
}

int overlay_remove(const char *path)
{
    if (unlink(path) < 0 && errno != ENOENT)
        return -errno;
    return fsync_parent(path);
}
