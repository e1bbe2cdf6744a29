/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ntfs/build.h"

#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/io.h"
#include "ntfs/acl.h"
#include "ntfs/error.h"
#include "ntfs/mkntfs.h"

#include <errno.h>
#include <ntfs-3g/attrib.h>
#include <ntfs-3g/bitmap.h>
#include <ntfs-3g/dir.h>
#include <ntfs-3g/inode.h>
#include <ntfs-3g/layout.h>
#include <ntfs-3g/runlist.h>
#include <ntfs-3g/security.h>
#include <ntfs-3g/volume.h>
#include <string.h>
#include <sys/stat.h>

/* What mkntfs formats: the front, and a cluster for the end that every volume has. */
static uint64_t small_size(const struct ntfs_geometry *g)
{
    return g->file_at + NTFS_CLUSTER;
}

static int mount_volume(int fd, ntfs_volume **volume)
{
    char path[32];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    errno = 0;
    *volume = ntfs_mount(path, 0);
    return *volume ? 0 : ntfs_error();
}

/* Closes the volume in any case; an error of the work before counts more. */
static int unmount_volume(ntfs_volume *volume, int err)
{
    errno = 0;
    if (ntfs_umount(volume, FALSE) == 0)
        return err;
    return err ? err : ntfs_error();
}

/* One run, and where it ends. */
struct run {
    runlist_element elements[2];
};

static struct run one_run(LCN lcn, int64_t clusters)
{
    return (struct run){{{.vcn = 0, .lcn = lcn, .length = clusters},
                         {.vcn = clusters, .lcn = LCN_ENOENT, .length = 0}}};
}

/* Puts another run list into the attribute that CTX has found, in its base record. */
static int replace_runs(ntfs_volume *volume, ntfs_attr_search_ctx *ctx, const struct run *run)
{
    ATTR_RECORD *a = ctx->attr;
    uint16_t offset = le16_to_cpu(a->mapping_pairs_offset);
    uint8_t pairs[32];
    int size = ntfs_get_size_for_mapping_pairs(volume, run->elements, 0, sizeof(pairs));

    if (size <= 0 || (size_t)size > sizeof(pairs))
        return ntfs_error();
    if (ntfs_mapping_pairs_build(volume, pairs, size, run->elements, 0, NULL) < 0 ||
        ntfs_attr_record_resize(ctx->mrec, a, (u32)round_up(offset + (uint32_t)size, 8)) < 0)
        return ntfs_error();
    memcpy((uint8_t *)a + offset, pairs, (size_t)size);
    return 0;
}

/* The sizes in bytes that an attribute of one run has. */
struct sizes {
    uint64_t allocated;
    uint64_t data;
    uint64_t initialized;
};

static int set_run(ntfs_inode *ni, ntfschar *name, u32 name_length, const struct run *run,
                   const struct sizes *sizes)
{
    ntfs_attr_search_ctx *ctx = ntfs_attr_get_search_ctx(ni, NULL);
    ATTR_RECORD *a;
    int err;

    if (!ctx)
        return ntfs_error();
    errno = 0;
    err = ntfs_attr_lookup(AT_DATA, name, name_length, CASE_SENSITIVE, 0, NULL, 0, ctx) < 0
              ? ntfs_error()
              : 0;
    if (!err && !ctx->attr->non_resident)
        err = -EUCLEAN;
    if (!err)
        err = replace_runs(ni->vol, ctx, run);
    if (!err) {
        a = ctx->attr;
        a->highest_vcn = cpu_to_le64((uint64_t)run->elements[0].length - 1);
        a->allocated_size = cpu_to_le64(sizes->allocated);
        a->data_size = cpu_to_le64(sizes->data);
        a->initialized_size = cpu_to_le64(sizes->initialized);
        ntfs_inode_mark_dirty(ctx->ntfs_ino);
    }
    ntfs_attr_put_search_ctx(ctx);
    return err;
}

/* --- growing ---------------------------------------------------------------- */

static void set_bits(uint8_t *bitmap, uint64_t first, uint64_t count, bool value)
{
    for (uint64_t bit = first; bit < first + count; bit++)
        if (value)
            bitmap[bit / 8] |= (uint8_t)(1U << bit % 8);
        else
            bitmap[bit / 8] &= (uint8_t) ~(1U << bit % 8);
}

/*
 * The bitmap of the grown volume: that of the small one, without the marks behind its end, with
 * its own new place; and the bits that stand for no cluster set, as everywhere in NTFS.
 */
static int write_bitmap(int fd, ntfs_volume *volume, const struct ntfs_geometry *g)
{
    const runlist_element *old;
    uint64_t last = round_down(g->bitmap_size - 1, 8), clusters = (uint64_t)volume->nr_clusters;
    size_t size = (size_t)round_up(round_up(clusters, 8) / 8, 8);
    cleanup_free uint8_t *bitmap = calloc(1, size + 8);
    uint8_t end[8] = {0};
    int err;

    if (!bitmap)
        return -ENOMEM;
    if (ntfs_attr_map_whole_runlist(volume->lcnbmp_na) < 0 ||
        ntfs_attr_pread(volume->lcnbmp_na, 0, (s64)size, bitmap) != (s64)size)
        return ntfs_error();
    old = volume->lcnbmp_na->rl;
    if (old[0].lcn < 0 || old[1].length)
        return -EUCLEAN;
    for (uint64_t bit = g->bitmap_at / NTFS_CLUSTER; bit < g->file_at / NTFS_CLUSTER; bit++)
        if (bitmap[bit / 8] & 1U << bit % 8)
            return -EEXIST;
    set_bits(bitmap, clusters, size * 8 - clusters, false);
    set_bits(bitmap, (uint64_t)old[0].lcn, (uint64_t)old[0].length, false);
    set_bits(bitmap, g->bitmap_at / NTFS_CLUSTER, (g->file_at - g->bitmap_at) / NTFS_CLUSTER, true);
    err = pwrite_full(fd, bitmap, size, g->bitmap_at);
    set_bits(end, g->clusters - last * 8, (last + 8) * 8 - g->clusters, true);
    return err ? err : pwrite_full(fd, end, sizeof(end), g->bitmap_at + last);
}

static int move_bitmap(int fd, ntfs_volume *volume, const struct ntfs_geometry *g)
{
    int64_t length = (int64_t)((g->file_at - g->bitmap_at) / NTFS_CLUSTER);
    struct run run = one_run((LCN)(g->bitmap_at / NTFS_CLUSTER), length);
    const struct sizes sizes = {(uint64_t)length * NTFS_CLUSTER, g->bitmap_size, g->bitmap_size};
    int err = write_bitmap(fd, volume, g);

    return err ? err : set_run(volume->lcnbmp_ni, AT_UNNAMED, 0, &run, &sizes);
}

/* $BadClus:$Bad is as long as the volume, and all hole. */
static int grow_bad_clusters(ntfs_volume *volume, const struct ntfs_geometry *g)
{
    ntfschar name[] = {const_cpu_to_le16('$'), const_cpu_to_le16('B'), const_cpu_to_le16('a'),
                       const_cpu_to_le16('d')};
    const struct run run = one_run(LCN_HOLE, (int64_t)g->clusters);
    const struct sizes sizes = {g->clusters * NTFS_CLUSTER, g->clusters * NTFS_CLUSTER, 0};
    ntfs_inode *ni = ntfs_inode_open(volume, FILE_BadClus);
    int err;

    if (!ni)
        return ntfs_error();
    err = set_run(ni, name, ARRAY_SIZE(name), &run, &sizes);
    if (ntfs_inode_close(ni) < 0 && !err)
        err = ntfs_error();
    return err;
}

/* Both boot sectors of the whole volume. */
static int write_boot(int fd, const struct ntfs_geometry *g, uint64_t serial)
{
    uint8_t boot[NTFS_SECTOR];
    int err = pread_full(fd, boot, sizeof(boot), 0);

    if (err)
        return err;
    put_le64(boot + 0x28, g->volume_size / NTFS_SECTOR - 1);
    put_le64(boot + 0x48, serial);
    err = pwrite_full(fd, boot, sizeof(boot), 0);
    return err ? err : pwrite_full(fd, boot, sizeof(boot), g->volume_size - NTFS_SECTOR);
}

static int grow(int fd, const struct ntfs_geometry *g, struct ntfs_names *names)
{
    ntfs_volume *volume;
    int err;

    names->stage = "grow the new volume";
    err = mount_volume(fd, &volume);
    if (err)
        return err;
    err = grow_bad_clusters(volume, g);
    if (!err)
        err = move_bitmap(fd, volume, g);
    err = unmount_volume(volume, err);
    if (!err && ftruncate(fd, (off_t)g->volume_size) < 0)
        err = -errno;
    return err ? err : write_boot(fd, g, names->serial);
}

/* --- the file --------------------------------------------------------------- */

static int set_acl(ntfs_inode *ni, const uint8_t *descriptor, size_t size)
{
    struct SECURITY_CONTEXT scx = {.vol = ni->vol};

    errno = 0;
    return ntfs_set_ntfs_acl(&scx, ni, (const char *)descriptor, size, 0) ? ntfs_error() : 0;
}

static int is_free(ntfs_volume *volume, uint64_t first, uint64_t count)
{
    cleanup_free uint8_t *bits = malloc(MIB);
    uint64_t at = first / 8, end = (first + count) / 8;

    if (!bits)
        return -ENOMEM;
    /* Whole bytes: the file starts and ends at multiples of 1 MiB, so of 16 clusters. */
    while (at < end) {
        int64_t n = (int64_t)min_u64(MIB, end - at);

        if (ntfs_attr_pread(volume->lcnbmp_na, (s64)at, n, bits) != n)
            return ntfs_error();
        if (!is_zero(bits, (size_t)n))
            return -EEXIST;
        at += (uint64_t)n;
    }
    return 0;
}

/* The empty file NI gets its clusters, which become its content as they are. */
static int give_room(ntfs_inode *ni, const struct ntfs_geometry *g)
{
    LCN first = (LCN)(g->file_at / NTFS_CLUSTER);
    int64_t count = (int64_t)(g->file_size / NTFS_CLUSTER);
    struct run run = one_run(first, count);
    const struct sizes sizes = {g->file_size, g->file_size, g->file_size};
    ntfs_attr *na = ntfs_attr_open(ni, AT_DATA, AT_UNNAMED, 0);
    int err;

    if (!na)
        return ntfs_error();
    err = ntfs_attr_force_non_resident(na) < 0 ? ntfs_error() : 0;
    ntfs_attr_close(na);
    if (!err)
        err = is_free(ni->vol, (uint64_t)first, (uint64_t)count);
    if (!err && ntfs_bitmap_set_run(ni->vol->lcnbmp_na, first, count) < 0)
        err = ntfs_error();
    if (!err)
        err = set_run(ni, AT_UNNAMED, 0, &run, &sizes);
    ni->allocated_size = ni->data_size = (s64)g->file_size;
    NInoFileNameSetDirty(ni);
    return err;
}

/* libntfs-3g keeps the sizes beside the name up to date in the directory only. */
static int set_name_sizes(ntfs_inode *ni, uint64_t size)
{
    ntfs_attr_search_ctx *ctx = ntfs_attr_get_search_ctx(ni, NULL);
    int err = 0;

    if (!ctx)
        return ntfs_error();
    if (ntfs_attr_lookup(AT_FILE_NAME, AT_UNNAMED, 0, CASE_SENSITIVE, 0, NULL, 0, ctx) < 0) {
        err = ntfs_error();
    } else {
        FILE_NAME_ATTR *name =
            (void *)((uint8_t *)ctx->attr + le16_to_cpu(ctx->attr->value_offset));

        name->allocated_size = name->data_size = cpu_to_le64(size);
        ntfs_inode_mark_dirty(ctx->ntfs_ino);
    }
    ntfs_attr_put_search_ctx(ctx);
    return err;
}

static int fill_file(ntfs_inode *root, ntfs_inode *ni, const struct ntfs_geometry *g)
{
    uint8_t descriptor[NTFS_ACL_MAX];
    int err = give_room(ni, g);

    ni->flags |= FILE_ATTR_NOT_CONTENT_INDEXED;
    if (!err)
        err = set_name_sizes(ni, g->file_size);
    if (!err)
        err = set_acl(ni, descriptor, ntfs_acl_file(descriptor));
    if (!err)
        err = set_acl(root, descriptor, ntfs_acl_directory(descriptor));
    return err;
}

static int make_file(ntfs_volume *volume, const struct ntfs_geometry *g, struct ntfs_names *names)
{
    ntfs_inode *root = ntfs_inode_open(volume, FILE_root), *ni = NULL;
    ntfschar *name = NULL;
    int err = 0, length = ntfs_mbstoucs(names->file, &name);

    if (!root || length <= 0 || length > 255)
        err = root ? -EINVAL : ntfs_error();
    if (!err) {
        ni = ntfs_create(root, const_cpu_to_le32(0), name, (u8)length, S_IFREG);
        err = ni ? fill_file(root, ni, g) : ntfs_error();
    }
    if (ni)
        names->record = ni->mft_no;
    /* With the directory, whose entry tells the sizes as well. */
    if (ni && ntfs_inode_close_in_dir(ni, root) < 0 && !err)
        err = ntfs_error();
    if (root && ntfs_inode_close(root) < 0 && !err)
        err = ntfs_error();
    free(name);
    return err;
}

static int place_file(int fd, const struct ntfs_geometry *g, struct ntfs_names *names)
{
    ntfs_volume *volume;
    int err;

    names->stage = "put the file into the new volume";
    err = mount_volume(fd, &volume);
    return err ? err : unmount_volume(volume, make_file(volume, g, names));
}

int ntfs_build(int fd, const struct ntfs_geometry *g, struct ntfs_names *names)
{
    int err;

    ntfs_be_quiet();
    names->stage = "format the new volume (mkntfs, package ntfs-3g)";
    err = ftruncate(fd, (off_t)small_size(g)) < 0 ? -errno : 0;
    if (!err)
        err = ntfs_mkntfs(fd, names->label, names->start / NTFS_SECTOR, names->detail,
                          sizeof(names->detail));
    if (!err)
        err = grow(fd, g, names);
    return err ? err : place_file(fd, g, names);
}
