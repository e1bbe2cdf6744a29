/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "export/datapath.h"

#include "common/log.h"
#include "vhdx/bat.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* The part of a request that lies in one extent. */
struct piece {
    enum extent_kind kind;
    uint64_t backing; /* offset behind the extent */
    uint64_t offset;  /* in the virtual file */
    uint64_t length;
};

/* The piece that starts at AT and ends at END at the latest; the range lies inside the file. */
static struct piece next_piece(const struct extent_map *map, uint64_t at, uint64_t end)
{
    const struct extent *e = extent_map_find(map, at);
    uint64_t skip = at - e->offset;

    return (struct piece){
        .kind = e->kind,
        .backing = e->kind == EXTENT_ZERO ? 0 : e->backing + skip,
        .offset = at,
        .length = min_u64(e->length - skip, end - at),
    };
}

static void log_failed(const char *what, uint64_t length, uint64_t backing, enum extent_kind kind,
                       int err)
{
    log_error("%s of %" PRIu64 " bytes at %" PRIu64 " of the %s failed: %s", what, length, backing,
              extent_kind_name(kind), strerror(-err));
}

static int read_piece(struct datapath *path, const struct piece *p, uint8_t *out)
{
    switch (p->kind) {
    case EXTENT_DEVICE:
        return disk_read(path->disk, out, p->length, p->backing);
    case EXTENT_META:
        store_read(path->store, out, p->length, p->backing);
        return 0;
    case EXTENT_BAT:
        vhdx_bat_read(path->layout, p->backing, out, p->length);
        return 0;
    case EXTENT_ZERO:
        memset(out, 0, p->length);
        return 0;
    case EXTENT_NTFS:
        return disk_read(path->image, out, p->length, p->backing);
    }
    return -EIO;
}

int datapath_read(struct datapath *path, void *data, size_t length, uint64_t offset)
{
    uint64_t end = offset + length;
    uint8_t *out = data;
    int err = 0;

    for (struct piece p; !err && offset < end; offset += p.length, out += p.length) {
        p = next_piece(path->map, offset, end);
        err = read_piece(path, &p, out);
        if (err)
            log_failed("read", p.length, p.backing, p.kind, err);
    }
    return err;
}

/* Judges what one BAT entry asks for; in *ASKED, unless it is refused. */
static int judge_entry(struct datapath *path, uint64_t index, uint64_t value,
                       struct bat_request *asked)
{
    int err = bat_interpret(path->layout, index, value, asked);

    if (err)
        log_error("refused to set BAT entry %" PRIu64 " to 0x%" PRIx64
                  ": the blocks of this file cannot be moved or freed (it is 0x%" PRIx64 ")",
                  index, value, vhdx_bat_entry(path->layout, index));
    else if (asked->length)
        err = guard_judge(&path->guard, NULL, asked->offset, asked->length);
    return err;
}

static int judge_bat(struct datapath *path, const uint8_t *data, const struct piece *p)
{
    uint64_t first = p->backing / 8, last = (p->backing + p->length - 1) / 8;
    int err = 0;

    for (uint64_t i = first; !err && i <= last; i++) {
        struct bat_request asked;

        err =
            judge_entry(path, i, bat_overlay(path->layout, i, data, p->backing, p->length), &asked);
    }
    return err;
}

/* Does what the entries ask for. They were judged before. */
static int write_bat(struct datapath *path, const uint8_t *data, const struct piece *p)
{
    uint64_t first = p->backing / 8, last = (p->backing + p->length - 1) / 8;
    int err = 0;

    for (uint64_t i = first; !err && i <= last; i++) {
        struct bat_request asked;

        err = bat_interpret(path->layout, i,
                            bat_overlay(path->layout, i, data, p->backing, p->length), &asked);
        if (!err && asked.length)
            err = disk_zero(path->disk, asked.offset, asked.length, asked.discard);
    }
    return err;
}

static int judge_write(struct datapath *path, const uint8_t *data, uint64_t offset, uint64_t end)
{
    int err = 0;

    for (struct piece p; !err && offset < end; offset += p.length, data += p.length) {
        p = next_piece(path->map, offset, end);
        if (p.kind == EXTENT_BAT)
            err = judge_bat(path, data, &p);
        else if (p.kind == EXTENT_DEVICE)
            err = guard_judge(&path->guard, data, p.backing, p.length);
    }
    return err;
}

static int write_piece(struct datapath *path, const struct piece *p, const uint8_t *in)
{
    switch (p->kind) {
    case EXTENT_DEVICE:
        return disk_write(path->disk, in, p->length, p->backing);
    case EXTENT_META:
        return store_write(path->store, in, p->length, p->backing);
    case EXTENT_BAT:
        return write_bat(path, in, p);
    case EXTENT_ZERO:
        return 0; /* the pad behind the disk: not a part of it, so nobody reads it */
    case EXTENT_NTFS:
        return fence_write(path->fence, in, p->length, p->offset, false);
    }
    return -EIO;
}

static int write_pieces(struct datapath *path, const uint8_t *in, uint64_t offset, uint64_t end)
{
    int err = 0;

    for (struct piece p; !err && offset < end; offset += p.length, in += p.length) {
        p = next_piece(path->map, offset, end);
        err = write_piece(path, &p, in);
        if (err)
            log_failed("write", p.length, p.backing, p.kind, err);
    }
    return err;
}

/* Whether a request can be judged only while no other of its kind changes the same bytes. */
static bool needs_guard(const struct datapath *path, uint64_t offset, uint64_t end)
{
    for (struct piece p; offset < end; offset += p.length) {
        p = next_piece(path->map, offset, end);
        /* BAT entries may ask for zeros on the disk. */
        if (p.kind == EXTENT_BAT ||
            (p.kind == EXTENT_DEVICE && guard_concerns(&path->guard, p.backing, p.length)))
            return true;
    }
    return false;
}

static int write_range(struct datapath *path, const uint8_t *data, uint64_t offset, uint64_t end)
{
    int err;

    if (!needs_guard(path, offset, end))
        return write_pieces(path, data, offset, end);
    pthread_mutex_lock(&path->guard.lock);
    err = judge_write(path, data, offset, end);
    if (!err)
        err = write_pieces(path, data, offset, end);
    pthread_mutex_unlock(&path->guard.lock);
    return err;
}

/*
 * The end of the part of a request that lies wholly in the file (*IN_FILE), or wholly around it.
 * All of it, where there is nothing around it.
 */
static uint64_t part_end(const struct datapath *path, uint64_t at, uint64_t end, bool *in_file)
{
    const struct piece first = next_piece(path->map, at, end);

    *in_file = path->fence && first.kind != EXTENT_NTFS;
    if (!path->fence)
        return end;
    for (at += first.length; at < end;) {
        const struct piece p = next_piece(path->map, at, end);

        if ((p.kind == EXTENT_NTFS) == *in_file)
            break;
        at += p.length;
    }
    return at;
}

int datapath_write(struct datapath *path, const void *data, size_t length, uint64_t offset)
{
    uint64_t end = offset + length, next;
    const uint8_t *in = data;
    int err = 0;

    if (path->read_only)
        return -EROFS;
    for (; !err && offset < end; in += next - offset, offset = next) {
        bool in_file;

        next = part_end(path, offset, end, &in_file);
        if (in_file)
            err = fence_enter(path->fence, in, next - offset, offset);
        if (err)
            break;
        err = write_range(path, in, offset, next);
        if (in_file)
            fence_leave(path->fence);
    }
    return err;
}

bool datapath_is_device(const struct datapath *path, size_t length, uint64_t offset)
{
    const struct piece p = next_piece(path->map, offset, offset + length);

    return p.kind == EXTENT_DEVICE && p.length == length;
}

bool datapath_begin(struct datapath *path, struct direct *direct, bool write, const void *data,
                    size_t length, uint64_t offset)
{
    struct piece p = next_piece(path->map, offset, offset + length);
    int fd;

    if (p.kind != EXTENT_DEVICE || p.length != length)
        return false;
    if (write && (path->read_only || needs_guard(path, offset, offset + length)))
        return false;
    if (write && path->fence && !fence_try_enter(path->fence, data, length, offset))
        return false;
    fd = disk_begin(path->disk, write, data, length, p.backing);
    if (fd < 0 && write && path->fence)
        fence_leave(path->fence);
    *direct = (struct direct){.write = write, .fd = fd, .length = length, .offset = p.backing};
    return fd >= 0;
}

void datapath_end(struct datapath *path, const struct direct *direct, int err)
{
    disk_end(path->disk, direct->write);
    if (direct->write && path->fence)
        fence_leave(path->fence);
    if (err)
        log_failed(direct->write ? "write" : "read", direct->length, direct->offset, EXTENT_DEVICE,
                   err);
}

static int zero_disk(struct datapath *path, uint64_t offset, uint64_t length, bool discard)
{
    bool guarded = guard_concerns(&path->guard, offset, length);
    int err = 0;

    if (guarded) {
        pthread_mutex_lock(&path->guard.lock);
        err = guard_judge(&path->guard, NULL, offset, length);
    }
    if (!err) {
        err = disk_zero(path->disk, offset, length, discard);
        if (err)
            log_failed("zeroing", length, offset, EXTENT_DEVICE, err);
    }
    if (guarded)
        pthread_mutex_unlock(&path->guard.lock);
    return err;
}

static int zero_image(struct datapath *path, const struct piece *p, bool discard)
{
    int err = fence_write(path->fence, NULL, p->length, p->offset, discard);

    if (err)
        log_failed("zeroing", p->length, p->backing, p->kind, err);
    return err;
}

/*
 * Nothing of a request is done when a part of it cannot be. Not -EOPNOTSUPP: a loop device on the
 * file would take that for the whole file's answer, and never discard again.
 */
static int refuse_zero(const struct datapath *path, uint64_t offset, uint64_t end)
{
    for (struct piece p; offset < end; offset += p.length) {
        p = next_piece(path->map, offset, end);
        if (p.kind == EXTENT_META || p.kind == EXTENT_BAT)
            return -EPERM;
    }
    return 0;
}

static int zero_range(struct datapath *path, uint64_t offset, uint64_t end, bool discard)
{
    int err = 0;

    for (struct piece p; !err && offset < end; offset += p.length) {
        p = next_piece(path->map, offset, end);
        if (p.kind == EXTENT_DEVICE)
            err = zero_disk(path, p.backing, p.length, discard);
        else if (p.kind == EXTENT_NTFS)
            err = zero_image(path, &p, discard);
        /* The pad is zeros already. */
    }
    return err;
}

int datapath_zero(struct datapath *path, uint64_t offset, uint64_t length, bool discard)
{
    uint64_t end = offset + length, next;
    int err = 0;

    if (path->read_only)
        return -EROFS;
    for (; !err && offset < end; offset = next) {
        bool in_file;

        next = part_end(path, offset, end, &in_file);
        if (in_file)
            err = fence_enter(path->fence, NULL, next - offset, offset);
        if (err)
            break;
        err = refuse_zero(path, offset, next);
        if (!err)
            err = zero_range(path, offset, next, discard);
        if (in_file)
            fence_leave(path->fence);
    }
    return err;
}

int datapath_flush(struct datapath *path)
{
    int err = path->read_only ? 0 : disk_flush(path->disk);

    if (err)
        log_error("flush of the device failed: %s; the client was told", strerror(-err));
    if (!err)
        err = store_flush(path->store);
    if (!err && path->image && !path->read_only) {
        err = disk_flush(path->image);
        if (err)
            log_error("flush of the disk's image failed: %s; the client was told", strerror(-err));
    }
    return err;
}
