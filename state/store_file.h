/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The state file's format: encoding and checking of headers and slots, no I/O. See store.h. */
#ifndef STATE_STORE_FILE_H
#define STATE_STORE_FILE_H

#include "vhdx/layout.h"

#include <stdbool.h>
#include <stdint.h>

#define STORE_HEADER_SIZE 4096
#define STORE_SLOT_SIZE   8192
#define STORE_SLOTS_AT    8192
#define STORE_PAGES       (VHDX_META_SIZE / 4096)
#define STORE_FILE_SIZE   (STORE_SLOTS_AT + 2 * STORE_PAGES * STORE_SLOT_SIZE)

struct store_disk_header {
    uint8_t magic[16]; /* "vhdxfs state\n\0\0\0" */
    uint8_t version[4];
    uint8_t checksum[4]; /* CRC-32C over 4096 bytes, this field as zeros */
    uint8_t disk_size[8];
    uint8_t block_size[4];
    uint8_t logical_sector[4];
    uint8_t page_count[4];
    uint8_t identity[64]; /* text, zero-padded */
    uint8_t reserved[3988];
};
_Static_assert(sizeof(struct store_disk_header) == STORE_HEADER_SIZE, "one block");

struct store_disk_slot {
    uint8_t magic[8];    /* "vhdxpage" */
    uint8_t checksum[4]; /* CRC-32C over 8192 bytes, this field as zeros */
    uint8_t page[4];
    uint8_t generation[8];
    uint8_t reserved[4072];
    uint8_t content[4096];
};
_Static_assert(sizeof(struct store_disk_slot) == STORE_SLOT_SIZE, "two blocks");

/*
 * What a header says. The physical sector size is not part of it: nothing in the file depends
 * on it, and an image shows another one than the device it is copied to.
 */
struct store_binding {
    char identity[64];
    uint64_t disk_size;
    uint32_t block_size;
    uint32_t logical_sector;
};

/* CRC-32C over a structure whose 4-byte checksum field at FIELD counts as zeros. */
uint32_t store_checksum(const void *data, size_t length, size_t field);

struct store_binding store_binding_of(const char *identity, const struct vhdx_layout *layout);
/* Whether both speak of the same disk in the same blocks and sectors. */
bool store_same_geometry(const struct store_binding *a, const struct store_binding *b);
void store_encode_header(const struct store_binding *binding, struct store_disk_header *out);
/* 0 or -EUCLEAN. */
int store_decode_header(const struct store_disk_header *in, struct store_binding *binding);

void store_encode_slot(uint32_t page, uint64_t generation, const uint8_t content[4096],
                       struct store_disk_slot *out);
/* Whether SLOT holds PAGE; its generation in *GENERATION. */
bool store_decode_slot(const struct store_disk_slot *slot, uint32_t page, uint64_t *generation);

static inline uint64_t store_slot_offset(uint32_t page, unsigned slot)
{
    return STORE_SLOTS_AT + (2 * (uint64_t)page + slot) * STORE_SLOT_SIZE;
}

#endif
