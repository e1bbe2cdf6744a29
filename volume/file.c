/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "volume/file.h"

#include "common/bytes.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define VERSION 1

static const uint8_t magic[16] = "vhdxfs disk\n";

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
