/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The input is one of the files that the daemon keeps: a byte that says which, then its content.
 * The checksum is made right, unless the byte's highest bit is set, so that what lies behind it is
 * tried, too. What is accepted must be what the encoder makes of it.
 */
#include "common/bytes.h"
#include "common/crc32c.h"
#include "overlay/overlay_file.h"
#include "state/store_file.h"
#include "tests/fuzz/packed.h"
#include "volume/layout.h"

#include <stdlib.h>
#include <string.h>

/* The CRC-32C of all of DATA, with the four bytes at FIELD as zeros, put into FIELD. */
static void seal(uint8_t *data, size_t length, size_t field)
{
    put_le32(data + field, 0);
    put_le32(data + field, crc32c(0, data, length));
}

static void try_state_header(const uint8_t *data, size_t length, bool sealed)
{
    struct store_disk_header header = {0}, again;
    struct store_binding binding;

    memcpy(&header, data, min_u64(length, sizeof(header)));
    if (sealed)
        seal((void *)&header, sizeof(header), offsetof(struct store_disk_header, checksum));
    if (store_decode_header(&header, &binding) != 0)
        return;
    if (strlen(binding.identity) >= sizeof(binding.identity))
        abort();
    store_encode_header(&binding, &again);
    if (store_decode_header(&again, &binding) != 0)
        abort();
}

static void try_state_slot(const uint8_t *data, size_t length, bool sealed)
{
    struct store_disk_slot slot = {0};
    uint64_t generation, found;

    memcpy(&slot, data, min_u64(length, sizeof(slot)));
    if (sealed)
        seal((void *)&slot, sizeof(slot), offsetof(struct store_disk_slot, checksum));
    if (!store_decode_slot(&slot, 7, &generation))
        return;
    store_encode_slot(7, generation, slot.content, &slot);
    if (!store_decode_slot(&slot, 7, &found) || found != generation)
        abort();
}

static void try_overlay_header(const uint8_t *data, size_t length, bool sealed)
{
    struct overlay_disk_header disk = {0};
    struct overlay_header header;

    memcpy(&disk, data, min_u64(length, sizeof(disk)));
    if (sealed)
        seal((void *)&disk, sizeof(disk), offsetof(struct overlay_disk_header, checksum));
    if (overlay_decode_header(&disk, &header) != 0)
        return;
    /* The bitmap must be of a size that can be read, and lie in front of the data. */
    if (overlay_bitmap_size(header.disk_size) > 128 * MIB ||
        OVERLAY_BITMAP_AT + overlay_bitmap_size(header.disk_size) >
            overlay_data_offset(header.disk_size))
        abort();
    overlay_encode_header(&header, &disk);
    if (overlay_decode_header(&disk, &header) != 0)
        abort();
}

static void try_volume_header(const uint8_t *data, size_t length, bool sealed)
{
    struct volume_disk_header disk = {0}, again;
    struct volume_header header;

    memcpy(&disk, data, min_u64(length, sizeof(disk)));
    if (sealed)
        seal((void *)&disk, sizeof(disk), offsetof(struct volume_disk_header, checksum));
    if (volume_decode_header(&disk, &header) != 0)
        return;
    volume_encode_header(&header, &again);
    if (volume_decode_header(&again, &header) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t length)
{
    bool sealed = length > 0 && !(input[0] & 0x80);
    uint8_t *copy;

    if (length < 1)
        return 0;
    copy = malloc(length); /* one byte more than needed, so never none */
    if (!copy)
        return 0;
    memcpy(copy, input + 1, length - 1);
    switch (input[0] & 7) {
    case 1:
        try_state_header(copy, length - 1, sealed);
        break;
    case 2:
        try_state_slot(copy, length - 1, sealed);
        break;
    case 4:
        try_volume_header(copy, length - 1, sealed);
        break;
    default:
        try_overlay_header(copy, length - 1, sealed);
    }
    free(copy);
    return 0;
}
