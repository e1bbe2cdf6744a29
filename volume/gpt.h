/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A GUID partition table with one partition (UEFI 2.10, chapter 5): Basic Data, in sectors of
 * 512 bytes, 128 entries. Offsets and sizes are in bytes.
 */
#ifndef VOLUME_GPT_H
#define VOLUME_GPT_H

#include "common/guid.h"

#include <stdbool.h>
#include <stddef.h>

#define GPT_SECTOR    512
#define GPT_HEAD_SIZE (34 * GPT_SECTOR) /* protective MBR, header, entries: first on the disk */
#define GPT_TAIL_SIZE (33 * GPT_SECTOR) /* entries, backup header: last on the disk */

struct gpt {
    uint64_t disk_size;
    uint64_t partition_at;
    uint64_t partition_size;
    struct guid disk;
    struct guid partition;
    const char *name; /* of the partition; ASCII, up to 36 characters */
};

void gpt_encode(const struct gpt *gpt, uint8_t head[GPT_HEAD_SIZE], uint8_t tail[GPT_TAIL_SIZE]);

/*
 * Whether the table in HEAD, however it got there, still has exactly the one partition that
 * GPT says (its GUIDs, name and attributes may be others). Otherwise *WHY is a static phrase.
 * Checksums are not looked at: they are wrong between the writes that make a change.
 */
bool gpt_still_there(const struct gpt *gpt, const uint8_t head[GPT_HEAD_SIZE], const char **why);

#endif
