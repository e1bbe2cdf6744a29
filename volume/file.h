/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The first two pages of a volume's image (volume.h), no I/O: what it belongs to, written once; and
 * the note why the fence was closed, all zeros while it is open. So a note that a crash has torn
 * still says that it is closed.
 */
#ifndef VOLUME_FILE_H
#define VOLUME_FILE_H

#include "state/store_file.h"
#include "volume/layout.h"

#define VOLUME_PAGE    4096
#define VOLUME_NOTE_AT VOLUME_PAGE

struct volume_disk_header {
    uint8_t magic[16]; /* "vhdxfs disk\n\0\0\0\0" */
    uint8_t version[4];
    uint8_t checksum[4]; /* CRC-32C over 4096 bytes, this field as zeros */
    uint8_t disk_size[8];
    uint8_t block_size[4];
    uint8_t logical_sector[4];
    uint8_t file_size[8];
    uint8_t file_at[8];   /* on the disk */
    uint8_t tail_at[8];   /* on the disk */
    uint8_t record[8];    /* the file's number in the MFT */
    uint8_t identity[64]; /* text, zero-padded */
    uint8_t reserved[3960];
};
_Static_assert(sizeof(struct volume_disk_header) == VOLUME_PAGE, "one page");

struct volume_header {
    struct store_binding binding;
    uint64_t file_size;
    uint64_t file_at;
    uint64_t tail_at;
    uint64_t record;
};

void volume_encode_header(const struct volume_header *header, struct volume_disk_header *out);
/* 0 or -EUCLEAN. */
int volume_decode_header(const struct volume_disk_header *in, struct volume_header *header);

#endif
