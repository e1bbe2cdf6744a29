/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ntfs/runs.h"

#include "common/units.h"
#include "ntfs/reader.h"

#include <errno.h>
#include <ntfs-3g/attrib.h>
#include <ntfs-3g/dir.h>
#include <ntfs-3g/inode.h>
#include <ntfs-3g/volume.h>
#include <stdlib.h>
#include <string.h>

#define BITMAP_PIECE (64 * KIB)

static ntfs_inode *open_path(ntfs_volume *volume, const char *path)
{
    ntfs_inode *inode;

    errno = 0;
    inode = ntfs_pathname_to_inode(volume, NULL, path);
    if (inode || errno != ENOENT)
        return inode;
    /* As Windows would find it. */
    if (!volume->locase && ntfs_set_ignore_case(volume) < 0)
        return NULL;
    return ntfs_pathname_to_inode(volume, NULL, path);
}

/* The file attributes of $STANDARD_INFORMATION (FILE_ATTR_*). */
static unsigned file_obstacles(const ntfs_inode *inode)
{
    unsigned obstacles = 0;

    if (inode->flags & FILE_ATTR_REPARSE_POINT)
        obstacles |= NTFS_REPARSE;
    if (inode->flags & FILE_ATTR_COMPRESSED)
        obstacles |= NTFS_COMPRESSED;
    if (inode->flags & FILE_ATTR_ENCRYPTED)
        obstacles |= NTFS_ENCRYPTED;
    if (inode->flags & FILE_ATTR_SPARSE_FILE)
        obstacles |= NTFS_SPARSE;
    return obstacles;
}

/* The flags of the data attribute itself: these decide, but the two do not always agree. */
static unsigned data_obstacles(const ntfs_attr *data)
{
    unsigned obstacles = 0;

    if (data->data_flags & ATTR_COMPRESSION_MASK)
        obstacles |= NTFS_COMPRESSED;
    if (data->data_flags & ATTR_IS_ENCRYPTED)
        obstacles |= NTFS_ENCRYPTED;
    if (data->data_flags & ATTR_IS_SPARSE)
        obstacles |= NTFS_SPARSE;
    if (!NAttrNonResident(data))
        obstacles |= NTFS_RESIDENT;
    if (data->initialized_size < data->data_size)
        obstacles |= NTFS_UNINITIALIZED;
    return obstacles;
}

/* Appends one run, cut off at the file's end. */
static int append_run(const struct ntfs_reader *reader, const runlist_element *run,
                      struct ntfs_file *file)
{
    const uint64_t clusters = (uint64_t)reader->volume->nr_clusters;
    uint64_t length, done = extent_map_size(&file->map);

    file->run_count++;
    if (run->length < 0 || (uint64_t)run->length > INT64_MAX / reader->cluster_size)
        return -EUCLEAN;
    /* Where the run before was cut off, DONE is the end of the file, and nothing is left. */
    if (done < file->size && (uint64_t)run->vcn * reader->cluster_size != done)
        return -EUCLEAN;
    length = min_u64((uint64_t)run->length * reader->cluster_size, file->size - done);
    if (run->lcn == LCN_HOLE) {
        file->obstacles |= length ? NTFS_HOLES : 0;
        return extent_map_append(&file->map, length, EXTENT_ZERO, 0);
    }
    if (run->lcn < 0 || !range_inside((uint64_t)run->lcn, (uint64_t)run->length, clusters))
        return -EUCLEAN;
    return extent_map_append(&file->map, length, EXTENT_DEVICE,
                             (uint64_t)run->lcn * reader->cluster_size);
}

static int copy_runs(const struct ntfs_reader *reader, ntfs_attr *data, struct ntfs_file *file)
{
    int err = 0;

    errno = 0;
    if (ntfs_attr_map_whole_runlist(data) < 0)
        return ntfs_reader_error(reader);
    for (const runlist_element *run = data->rl; run && run->length && !err; run++)
        err = append_run(reader, run, file);
    if (!err && extent_map_size(&file->map) != file->size)
        err = -EUCLEAN;
    return err;
}

/* Whether bits [FIRST, FIRST + COUNT) of BITS are all set; BITS starts with bit FIRST & ~7. */
static bool all_set(const uint8_t *bits, uint64_t first, uint64_t count)
{
    uint64_t i = first % 8, end = i + count;

    for (; i < end && i % 8; i++)
        if (!(bits[i / 8] >> i % 8 & 1))
            return false;
    for (; i + 8 <= end; i += 8)
        if (bits[i / 8] != 0xff)
            return false;
    for (; i < end; i++)
        if (!(bits[i / 8] >> i % 8 & 1))
            return false;
    return true;
}

static int check_extent(const struct ntfs_reader *reader, const struct extent *e, uint8_t *piece,
                        bool *allocated)
{
    uint64_t cluster = e->backing / reader->cluster_size;
    uint64_t end = cluster + (e->length + reader->cluster_size - 1) / reader->cluster_size;

    while (cluster < end && *allocated) {
        uint64_t byte = cluster / 8;
        uint64_t n = min_u64(BITMAP_PIECE, (end + 7) / 8 - byte);
        uint64_t count = min_u64(end, (byte + n) * 8) - cluster;

        errno = 0;
        if (ntfs_attr_pread(reader->volume->lcnbmp_na, (s64)byte, (s64)n, piece) != (s64)n)
            return ntfs_reader_error(reader);
        *allocated = all_set(piece, cluster, count);
        cluster += count;
    }
    return 0;
}

/* A file on clusters that are free for others is a damaged volume: those will be overwritten. */
static int check_bitmap(const struct ntfs_reader *reader, struct ntfs_file *file)
{
    uint8_t *piece = malloc(BITMAP_PIECE);
    bool allocated = true;
    int err = piece ? 0 : -ENOMEM;

    for (size_t i = 0; i < file->map.count && !err; i++)
        if (file->map.extents[i].kind == EXTENT_DEVICE)
            err = check_extent(reader, &file->map.extents[i], piece, &allocated);
    if (!allocated)
        file->obstacles |= NTFS_UNALLOCATED;
    free(piece);
    return err;
}

static int read_data(const struct ntfs_reader *reader, ntfs_inode *inode, struct ntfs_file *file)
{
    ntfs_attr *data;
    int err = 0;

    errno = 0;
    data = ntfs_attr_open(inode, AT_DATA, AT_UNNAMED, 0);
    if (!data && errno != ENOENT)
        return ntfs_reader_error(reader);
    if (!data) {
        file->obstacles |= NTFS_NOT_A_FILE;
        return 0;
    }
    file->obstacles |= data_obstacles(data);
    file->size = (uint64_t)data->data_size;
    file->initialized = (uint64_t)data->initialized_size;
    if (data->data_size < 0 || data->initialized_size < 0)
        err = -EUCLEAN;
    else if (NAttrNonResident(data))
        err = copy_runs(reader, data, file);
    ntfs_attr_close(data);
    return err;
}

int ntfs_file_locate(const struct ntfs_reader *reader, const char *path, struct ntfs_file *file)
{
    ntfs_inode *inode;
    int err = 0;

    *file = (struct ntfs_file){.map = EXTENT_MAP_INIT};
    inode = open_path(reader->volume, path);
    if (!inode)
        return errno == ENOTDIR ? -ENOENT : ntfs_reader_error(reader);
    file->record = inode->mft_no;
    if (inode->mrec->flags & MFT_RECORD_IS_DIRECTORY) {
        file->obstacles = NTFS_NOT_A_FILE;
    } else {
        file->obstacles = file_obstacles(inode);
        err = read_data(reader, inode, file);
    }
    ntfs_inode_close(inode);
    return err ? err : check_bitmap(reader, file);
}

void ntfs_file_free(struct ntfs_file *file)
{
    extent_map_free(&file->map);
}

void ntfs_obstacles_describe(unsigned obstacles, const char **what, const char **cure)
{
    static const char copy[] = "make a plain copy of it on this volume in Windows, with "
                               "'copy' or Explorer, and map that";
    static const struct {
        enum ntfs_obstacle bit;
        const char *what, *cure;
    } texts[] = {
        {NTFS_NOT_A_FILE, "is not a regular file", "name the VHDX file itself"},
        {NTFS_REPARSE,
         "is a reparse point: a link, deduplicated, compressed by Windows, or in a "
         "cloud",
         "name the file it leads to, or make a plain copy of it in Windows"},
        {NTFS_ENCRYPTED, "is encrypted (EFS)", "decrypt it in Windows with 'cipher /d'"},
        {NTFS_COMPRESSED, "is compressed", "uncompress it in Windows with 'compact /u'"},
        {NTFS_RESIDENT, "is so small that it lies in the MFT record", "it cannot be a VHDX"},
        {NTFS_UNALLOCATED, "lies on clusters that the volume calls free: the volume is damaged",
         "run 'chkdsk /f' on it in Windows"},
        {NTFS_SPARSE, "is sparse, so Windows may give its clusters away", copy},
        {NTFS_HOLES, "has holes", copy},
        {NTFS_UNINITIALIZED,
         "was not written up to its end, and what lies behind on the disk may be anything", copy},
    };

    *what = *cure = "?";
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        if (!(obstacles & texts[i].bit))
            continue;
        *what = texts[i].what;
        *cure = texts[i].cure;
        return;
    }
}
