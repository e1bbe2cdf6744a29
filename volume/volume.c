/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "volume/volume.h"

#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"
#include "ntfs/build.h"
#include "state/directory.h"
#include "state/own_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define FILE_NAME "ext4.vhdx"
#define COPY_SIZE ((size_t)MIB)

/* --- building --------------------------------------------------------------- */

/* Copies what is data in [offset, offset + length) of the whole volume to AT of the image. */
static int copy_data(int from, uint64_t offset, uint64_t length, int to, uint64_t at)
{
    cleanup_free uint8_t *buffer = malloc(COPY_SIZE);
    uint64_t next = offset, end = offset + length;

    if (!buffer)
        return -ENOMEM;
    while (next < end) {
        off_t data = lseek(from, (off_t)next, SEEK_DATA), hole;
        int err = 0;

        if (data < 0 && errno == ENXIO)
            return 0;
        hole = data < 0 ? -1 : lseek(from, data, SEEK_HOLE);
        if (hole < 0)
            return -errno;
        next = (uint64_t)data;
        while (!err && next < min_u64((uint64_t)hole, end)) {
            size_t n = (size_t)min_u64(COPY_SIZE, min_u64((uint64_t)hole, end) - next);

            err = pread_full(from, buffer, n, next);
            if (!err)
                err = pwrite_full(to, buffer, n, at + (next - offset));
            next += n;
        }
        if (err)
            return err;
    }
    return 0;
}

static int write_table(const struct volume *v, int fd)
{
    const struct volume_layout *l = &v->layout;
    struct gpt gpt = volume_layout_gpt(l, v->header.binding.identity);
    uint8_t head[GPT_HEAD_SIZE], tail[GPT_TAIL_SIZE];
    int err;

    gpt_encode(&gpt, head, tail);
    err = pwrite_full(fd, head, sizeof(head), VOLUME_IMAGE_HEAD_AT);
    return err ? err : pwrite_full(fd, tail, sizeof(tail), volume_image_size(l) - sizeof(tail));
}

static int write_header(const struct volume *v, int fd)
{
    struct volume_disk_header header;

    volume_encode_header(&v->header, &header);
    return pwrite_full(fd, &header, sizeof(header), 0);
}

/* The whole volume becomes the image in FD. */
static int write_image(const struct volume *v, int fd)
{
    const struct volume_layout *l = &v->layout;
    uint64_t tail = l->tail_at - VOLUME_AT;
    int err = ftruncate(fd, (off_t)volume_image_size(l)) < 0 ? -errno : 0;

    if (!err)
        err = copy_data(v->whole, 0, l->ntfs.file_at, fd, VOLUME_IMAGE_HEAD_AT + VOLUME_AT);
    if (!err)
        err = copy_data(v->whole, tail, l->ntfs.volume_size - tail, fd, volume_image_tail_at(l));
    if (!err)
        err = write_table(v, fd);
    return err ? err : write_header(v, fd);
}

static int build_failed(const struct ntfs_names *names, int err, struct failure *failure)
{
    const char *cure = err == -ENOENT   ? "; install ntfs-3g"
                       : err == -ENOSYS ? "; this vhdxfs was built without libntfs-3g"
                                        : "";

    return failed(failure, EXIT_IO_ERROR, err, "-o disk: cannot %s: %s%s%s%s", names->stage,
                  strerror(-err), *names->detail ? ": " : "", names->detail, cure);
}

/* Makes the NTFS volume in memory. */
static int build_whole(struct volume *v, struct failure *failure)
{
    const char *identity = v->header.binding.identity;
    struct guid serial = guid_derive(identity, "disk/ntfs-serial");
    struct ntfs_names names = {.file = FILE_NAME, .start = VOLUME_AT, .stage = "make room"};
    char label[32];
    int err;

    snprintf(label, sizeof(label), "vhdxfs-%.8s", identity);
    names.label = label;
    memcpy(&names.serial, serial.b, sizeof(names.serial));
    v->whole = memfd_create("vhdxfs-ntfs", MFD_CLOEXEC);
    err = v->whole < 0 ? -errno : ntfs_build(v->whole, &v->layout.ntfs, &names);
    if (err)
        return build_failed(&names, err, failure);
    v->header.record = names.record;
    return 0;
}

static int build_in_memory(struct volume *v, struct failure *failure)
{
    int err = build_whole(v, failure);

    if (err)
        return err;
    v->memory = memfd_create("vhdxfs-disk", MFD_CLOEXEC);
    err = v->memory < 0 ? -errno : write_image(v, v->memory);
    close_fd(&v->whole);
    snprintf(v->path, sizeof(v->path), "(memory)");
    return err ? failed(failure, EXIT_IO_ERROR, err, "-o disk: cannot make the image: %s",
                        strerror(-err))
               : 0;
}

static int store_image(const struct volume *v, const struct state_dir *dir, struct failure *failure)
{
    cleanup_fd int fd = state_dir_create(dir);
    int err = fd < 0 ? fd : write_image(v, fd);

    if (!err && fsync(fd) < 0)
        err = -errno;
    if (!err)
        err = state_dir_publish(dir);
    if (err) {
        state_dir_abandon(dir);
        return failed(failure, EXIT_IO_ERROR, err, "%s: cannot make it: %s", dir->path,
                      strerror(-err));
    }
    log_info("new NTFS volume for partition %s in %s", v->header.binding.identity, dir->path);
    return 0;
}

/* --- an image that is there --------------------------------------------------- */

static int read_header(const struct volume *v, int fd, struct volume_header *found)
{
    struct volume_disk_header header;
    struct stat st;
    int err = pread_full(fd, &header, sizeof(header), 0);

    if (!err)
        err = volume_decode_header(&header, found);
    if (!err && fstat(fd, &st) < 0)
        err = -errno;
    if (!err && found->file_at == v->layout.file_at && found->tail_at == v->layout.tail_at &&
        (uint64_t)st.st_size != volume_image_size(&v->layout))
        err = -EUCLEAN;
    return err == -ENODATA ? -EUCLEAN : err;
}

static bool fits(const struct volume *v, const struct volume_header *found)
{
    return store_same_geometry(&found->binding, &v->header.binding) &&
           found->file_size == v->header.file_size && found->file_at == v->header.file_at &&
           found->tail_at == v->header.tail_at;
}

/* 0; -ENODEV when it is of another geometry, and so has to be built anew; or a refusal. */
static int check_image(struct volume *v, int fd, const char *path, struct failure *failure)
{
    struct volume_header found;
    int err = read_header(v, fd, &found);

    if (err)
        return failed(failure, EXIT_UNSAFE, err,
                      "%s: the NTFS volume's image is damaged (%s); the partition is not "
                      "concerned; give --reset-disk to set the image aside and build a new one",
                      path, strerror(-err));
    if (strcmp(found.binding.identity, v->header.binding.identity) != 0)
        return failed(failure, EXIT_UNSAFE, -ESTALE,
                      "%s belongs to partition %s, not to %s; move it away, or give --reset-disk",
                      path, found.binding.identity, v->header.binding.identity);
    if (!fits(v, &found))
        return failed(failure, EXIT_UNSAFE, -ENODEV,
                      "%s is for another size or geometry of the partition; start vhdxfs again",
                      path);
    v->header.record = found.record;
    return 0;
}

static int enter(const struct volume *v, struct state_dir *dir, bool read_only,
                 struct failure *failure)
{
    int err = state_dir_enter(dir, v->directory, v->header.binding.identity, read_only, failure);

    state_dir_select(dir, "disk");
    return err;
}

static int start_in_file(struct volume *v, struct failure *failure)
{
    cleanup_state_dir struct state_dir dir = STATE_DIR_INIT;
    bool read_only = v->flags & VOLUME_READ_ONLY;
    cleanup_fd int fd = -1;
    /* Nothing is made yet, so not the directory either. */
    int err = enter(v, &dir, true, failure);

    snprintf(v->path, sizeof(v->path), "%s", dir.path);
    fd = err ? err : state_dir_open(&dir, true, failure);
    if (fd == -ENOENT)
        return read_only ? build_in_memory(v, failure) : build_whole(v, failure);
    if (fd < 0)
        return fd;
    v->replaces = v->flags & VOLUME_RESET;
    if (!v->replaces) {
        err = check_image(v, fd, dir.path, failure);
        if (err != -ENODEV)
            return err;
        if (read_only)
            return build_in_memory(v, failure);
        log_warning("%s: the partition's size or geometry has changed; building the NTFS volume "
                    "anew",
                    dir.path);
        v->replaces = true;
    }
    return build_whole(v, failure);
}

int volume_keep(struct volume *v, struct failure *failure)
{
    cleanup_state_dir struct state_dir dir = STATE_DIR_INIT;
    cleanup_fd int fd = -1;
    int err = 0;

    if (v->whole < 0)
        return 0;
    err = enter(v, &dir, false, failure);
    fd = err ? err : state_dir_open(&dir, false, failure);
    if (fd >= 0 && !v->replaces) /* another process has made it meanwhile */
        err = check_image(v, fd, dir.path, failure);
    else if (fd >= 0)
        err = state_dir_set_aside(&dir, failure);
    else if (fd != -ENOENT)
        err = fd;
    if (!err && (fd < 0 || v->replaces))
        err = store_image(v, &dir, failure);
    close_fd(&v->whole);
    return err;
}

int volume_start(struct volume *v, const char *directory, const char *identity,
                 const struct vhdx_layout *vhdx, unsigned flags, struct failure *failure)
{
    int err;

    *v = (struct volume){.flags = flags, .memory = -1, .whole = -1};
    snprintf(v->directory, sizeof(v->directory), "%s", directory);
    err = volume_layout_init(&v->layout, vhdx);
    if (err)
        return failed(failure, EXIT_INVALID_IMAGE, err,
                      "-o disk: no NTFS volume can hold a file of this size: %s", strerror(-err));
    v->header = (struct volume_header){.binding = store_binding_of(identity, vhdx),
                                       .file_size = vhdx->file_size,
                                       .file_at = v->layout.file_at,
                                       .tail_at = v->layout.tail_at};
    return flags & VOLUME_MEMORY ? build_in_memory(v, failure) : start_in_file(v, failure);
}

void volume_end(struct volume *v)
{
    close_fd(&v->memory);
    close_fd(&v->whole);
}

/* --- while it is claimed ------------------------------------------------------ */

/* Returns a descriptor or -errno. */
static int open_image(struct volume *v, struct failure *failure)
{
    cleanup_state_dir struct state_dir dir = STATE_DIR_INIT;
    cleanup_fd int fd = -1;
    int err;

    if (v->memory >= 0) {
        fd = fcntl(v->memory, F_DUPFD_CLOEXEC, 0);
        return fd < 0 ? -errno : steal_fd(&fd);
    }
    err = enter(v, &dir, v->flags & VOLUME_READ_ONLY, failure);
    if (err)
        return err;
    fd = state_dir_open(&dir, v->flags & VOLUME_READ_ONLY, failure);
    if (fd == -ENOENT)
        return failed(failure, EXIT_IO_ERROR, fd,
                      "%s: it was there when vhdxfs started and is gone; start vhdxfs again",
                      dir.path);
    if (fd < 0)
        return fd;
    err = v->flags & VOLUME_READ_ONLY ? 0 : own_file_settle(fd);
    if (err)
        return failed(failure, EXIT_IO_ERROR, err, "%s: cannot flush it: %s", dir.path,
                      strerror(-err));
    err = check_image(v, fd, dir.path, failure);
    return err ? err : steal_fd(&fd);
}

int volume_open(struct volume *v, struct failure *failure)
{
    struct gpt gpt = volume_layout_gpt(&v->layout, v->header.binding.identity);
    cleanup_fd int fd = open_image(v, failure);
    int err;

    if (fd < 0)
        return fd;
    err = backing_init(&v->image, fd, false, false, 1, volume_image_size(&v->layout));
    if (err)
        return err;
    steal_fd(&fd);
    err = fence_open(&v->fence, &v->image.disk, &v->layout, &gpt, v->header.record, v->path,
                     v->flags & VOLUME_READ_ONLY);
    if (err) {
        backing_close(&v->image);
        return failed(failure, EXIT_IO_ERROR, err, "%s: cannot read it: %s", v->path,
                      strerror(-err));
    }
    v->is_open = true;
    return 0;
}

void volume_close(struct volume *v)
{
    if (!v->is_open)
        return;
    fence_shut(&v->fence);
    backing_close(&v->image);
    v->is_open = false;
}
