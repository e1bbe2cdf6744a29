/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "overlay/overlay_file.h"

#include "common/bytes.h"
#include "common/crc32c.h"

#include <errno.h>
#include <string.h>

#define VERSION 1

static const uint8_t magic[16] = "vhdxfs overlay\n";

static uint32_t checksum_of(const struct overlay_disk_header *header)
{
    struct overlay_disk_header copy = *header;

    put_le32(copy.checksum, 0);
    return crc32c(0, &copy, sizeof(copy));
}

void overlay_encode_header(const struct overlay_header *header, struct overlay_disk_header *out)
{
    memset(out, 0, sizeof(*out));
    memcpy(out->magic, magic, sizeof(out->magic));
    put_le32(out->version, VERSION);
    put_le32(out->state, header->state);
    put_le32(out->grain_size, (uint32_t)OVERLAY_GRAIN);
    put_le64(out->disk_size, header->disk_size);
    put_le64(out->bitmap_offset, OVERLAY_BITMAP_AT);
    put_le64(out->data_offset, overlay_data_offset(header->disk_size));
    put_le32(out->logical_sector, header->logical_sector);
    memcpy(out->identity, header->identity, sizeof(out->identity));
    memcpy(out->mark, header->mark, sizeof(out->mark));
    put_le32(out->checksum, checksum_of(out));
}

int overlay_decode_header(const struct overlay_disk_header *in, struct overlay_header *header)
{
    uint64_t disk_size = get_le64(in->disk_size);
    uint32_t state = get_le32(in->state);

    if (memcmp(in->magic, magic, sizeof(magic)) != 0 || get_le32(in->checksum) != checksum_of(in))
        return -EUCLEAN;
    if (get_le32(in->version) != VERSION)
        return -EPROTONOSUPPORT;
    if (disk_size == 0 || disk_size > OVERLAY_DISK_MAX ||
        get_le32(in->grain_size) != OVERLAY_GRAIN ||
        get_le64(in->bitmap_offset) != OVERLAY_BITMAP_AT ||
        get_le64(in->data_offset) != overlay_data_offset(disk_size) ||
        in->identity[sizeof(in->identity) - 1] != 0 ||
        (state != OVERLAY_NORMAL && state != OVERLAY_COMMITTING))
        return -EUCLEAN;
    *header = (struct overlay_header){
        .state = (enum overlay_state)state,
        .disk_size = disk_size,
        .logical_sector = get_le32(in->logical_sector),
    };
    memcpy(header->identity, in->identity, sizeof(header->identity));
    memcpy(header->mark, in->mark, sizeof(header->mark));
    return 0;
}
