/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "volume/layout.h"

int volume_layout_init(struct volume_layout *layout, const struct vhdx_layout *vhdx)
{
    int err = ntfs_geometry_init(&layout->ntfs, vhdx->file_size);

    if (err)
        return err;
    layout->file_at = VOLUME_AT + layout->ntfs.file_at;
    layout->tail_at = layout->file_at + vhdx->file_size;
    layout->disk_size = VOLUME_AT + layout->ntfs.volume_size + MIB;
    return 0;
}

int volume_layout_map(const struct volume_layout *layout, const struct vhdx_layout *vhdx,
                      struct extent_map *map)
{
    int err = extent_map_append(map, layout->file_at, EXTENT_NTFS, VOLUME_IMAGE_HEAD_AT);

    if (!err)
        err = vhdx_layout_map(vhdx, map);
    if (!err)
        err = extent_map_append(map, layout->disk_size - layout->tail_at, EXTENT_NTFS,
                                volume_image_tail_at(layout));
    return err;
}

struct gpt volume_layout_gpt(const struct volume_layout *layout, const char *identity)
{
    return (struct gpt){
        .disk_size = layout->disk_size,
        .partition_at = VOLUME_AT,
        .partition_size = layout->ntfs.volume_size,
        .disk = guid_derive(identity, "disk/gpt"),
        .partition = guid_derive(identity, "disk/partition"),
        .name = "vhdxfs",
    };
}
