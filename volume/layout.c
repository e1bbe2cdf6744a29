/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "volume/layout.h"

#include "common/bytes.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define VERSION 1

static const uint8_t magic[16] = "vhdxfs disk\n";

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

void volume_encode_header(const struct volume_header *header, struct volume_disk_header *out)
{
    memset(out, 0, sizeof(*out));
    memcpy(out->magic, magic, sizeof(magic));
    put_le32(out->version, VERSION);
    put_le64(out->disk_size, header->binding.disk_size);
    put_le32(out->block_size, header->binding.block_size);
    put_le32(out->logical_sector, header->binding.logical_sector);
    put_le64(out->file_size, header->file_size);
    put_le64(out->file_at, header->file_at);
    put_le64(out->tail_at, header->tail_at);
    put_le64(out->record, header->record);
    memcpy(out->identity, header->binding.identity, sizeof(out->identity));
    put_le32(out->checksum,
             store_checksum(out, sizeof(*out), offsetof(struct volume_disk_header, checksum)));
}

int volume_decode_header(const struct volume_disk_header *in, struct volume_header *header)
{
    if (memcmp(in->magic, magic, sizeof(magic)) != 0 || get_le32(in->version) != VERSION ||
        get_le32(in->checksum) !=
            store_checksum(in, sizeof(*in), offsetof(struct volume_disk_header, checksum)))
        return -EUCLEAN;
    *header = (struct volume_header){
        .binding = {.disk_size = get_le64(in->disk_size),
                    .block_size = get_le32(in->block_size),
                    .logical_sector = get_le32(in->logical_sector)},
        .file_size = get_le64(in->file_size),
        .file_at = get_le64(in->file_at),
        .tail_at = get_le64(in->tail_at),
        .record = get_le64(in->record),
    };
    memcpy(header->binding.identity, in->identity, sizeof(in->identity));
    header->binding.identity[sizeof(header->binding.identity) - 1] = '\0';
    return 0;
}
