/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "state/store_file.h"

#include "common/bytes.h"
#include "common/crc32c.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define VERSION 1

static const uint8_t header_magic[16] = "vhdxfs state\n";
static const uint8_t slot_magic[8] = {'v', 'h', 'd', 'x', 'p', 'a', 'g', 'e'};

uint32_t store_checksum(const void *data, size_t length, size_t field)
{
    static const uint8_t zeros[4];
    const uint8_t *p = data;
    uint32_t crc = crc32c(0, p, field);

    crc = crc32c(crc, zeros, 4);
    return crc32c(crc, p + field + 4, length - field - 4);
}

struct store_binding store_binding_of(const char *identity, const struct vhdx_layout *layout)
{
    struct store_binding binding = {
        .disk_size = layout->disk_size,
        .block_size = layout->block_size,
        .logical_sector = layout->logical_sector,
    };

    snprintf(binding.identity, sizeof(binding.identity), "%s", identity);
    return binding;
}

bool store_same_geometry(const struct store_binding *a, const struct store_binding *b)
{
    return a->disk_size == b->disk_size && a->block_size == b->block_size &&
           a->logical_sector == b->logical_sector;
}

void store_encode_header(const struct store_binding *binding, struct store_disk_header *out)
{
    memset(out, 0, sizeof(*out));
    memcpy(out->magic, header_magic, sizeof(out->magic));
    put_le32(out->version, VERSION);
    put_le64(out->disk_size, binding->disk_size);
    put_le32(out->block_size, binding->block_size);
    put_le32(out->logical_sector, binding->logical_sector);
    put_le32(out->page_count, (uint32_t)STORE_PAGES);
    memcpy(out->identity, binding->identity, sizeof(out->identity));
    put_le32(out->checksum,
             store_checksum(out, sizeof(*out), offsetof(struct store_disk_header, checksum)));
}

int store_decode_header(const struct store_disk_header *in, struct store_binding *binding)
{
    if (memcmp(in->magic, header_magic, sizeof(in->magic)) != 0 ||
        get_le32(in->checksum) !=
            store_checksum(in, sizeof(*in), offsetof(struct store_disk_header, checksum)) ||
        get_le32(in->version) != VERSION || get_le32(in->page_count) != STORE_PAGES ||
        in->identity[sizeof(in->identity) - 1] != 0)
        return -EUCLEAN;
    *binding = (struct store_binding){
        .disk_size = get_le64(in->disk_size),
        .block_size = get_le32(in->block_size),
        .logical_sector = get_le32(in->logical_sector),
    };
    memcpy(binding->identity, in->identity, sizeof(binding->identity));
    return 0;
}

void store_encode_slot(uint32_t page, uint64_t generation, const uint8_t content[4096],
                       struct store_disk_slot *out)
{
    memset(out, 0, offsetof(struct store_disk_slot, content));
    memcpy(out->magic, slot_magic, sizeof(out->magic));
    put_le32(out->page, page);
    put_le64(out->generation, generation);
    memcpy(out->content, content, sizeof(out->content));
    put_le32(out->checksum,
             store_checksum(out, sizeof(*out), offsetof(struct store_disk_slot, checksum)));
}

bool store_decode_slot(const struct store_disk_slot *slot, uint32_t page, uint64_t *generation)
{
    if (memcmp(slot->magic, slot_magic, sizeof(slot->magic)) != 0 || get_le32(slot->page) != page ||
        get_le32(slot->checksum) !=
            store_checksum(slot, sizeof(*slot), offsetof(struct store_disk_slot, checksum)))
        return false;
    *generation = get_le64(slot->generation);
    return true;
}
