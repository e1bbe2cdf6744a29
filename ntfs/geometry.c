/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ntfs/geometry.h"

#include <errno.h>

/* NTFS numbers clusters with 32 bits in practice, and uses the top ones for itself. */
#define CLUSTERS_MAX UINT64_C(0xfffffff0)

int ntfs_geometry_init(struct ntfs_geometry *g, uint64_t file_size)
{
    uint64_t bitmap_clusters;

    if (!file_size || file_size % NTFS_CLUSTER)
        return -EINVAL;
    /* The front's own clusters, with its bitmap, are far fewer than those of 1 GiB. */
    if (file_size / NTFS_CLUSTER > CLUSTERS_MAX - GIB / NTFS_CLUSTER)
        return -EFBIG;
    g->bitmap_size = round_up((file_size + GIB) / NTFS_CLUSTER / 8, NTFS_CLUSTER);
    bitmap_clusters = g->bitmap_size / NTFS_CLUSTER;
    g->file_size = file_size;
    g->file_at = round_up(NTFS_FRONT + g->bitmap_size, MIB);
    g->bitmap_at = g->file_at - bitmap_clusters * NTFS_CLUSTER;
    g->volume_size = g->file_at + file_size + NTFS_TAIL;
    g->clusters = (g->volume_size - NTFS_SECTOR) / NTFS_CLUSTER;
    /* What mkntfs and Windows make: a bit for every cluster, in units of 8 bytes. */
    g->bitmap_size = round_up((g->clusters + 7) / 8, 8);
    return 0;
}
