/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fuse/firewall.h"

#include "common/bytes.h"
#include "common/units.h"

#include <string.h>

#define BOOT_SIGNATURE_AT 510 /* 55 aa closes an MBR */
#define SUPERBLOCK_AT     1024
#define SUPERBLOCK_SIZE   1024
#define SUPERBLOCK_MAGIC  (SUPERBLOCK_AT + 56) /* s_magic, 0xef53 */

/*
 * The shortest run of zeros over the superblock that counts as blanking it. The longest field
 * that e2fsprogs itself may blank in one write is 64 bytes.
 */
#define BLANKING 128

bool firewall_concerns(uint64_t disk_size, uint32_t sector, uint64_t offset, uint64_t length)
{
    return ranges_overlap(offset, length, 0, FIREWALL_HEAD) ||
           ranges_overlap(offset, length, disk_size - sector, sector);
}

static bool has_magic(const uint8_t *head)
{
    return get_le16(head + SUPERBLOCK_MAGIC) == 0xef53;
}

static bool has_boot_signature(const uint8_t *head)
{
    return head[BOOT_SIGNATURE_AT] == 0x55 && head[BOOT_SIGNATURE_AT + 1] == 0xaa;
}

/* Whether SECTOR bytes at P hold a GPT header that says it lies in sector LBA. */
static bool is_gpt_header(const uint8_t *p, uint64_t lba)
{
    return !memcmp(p, "EFI PART", 8) && get_le64(p + 24) == lba;
}

static bool blanks_superblock(const uint8_t *before, const uint8_t *after, size_t from, size_t to)
{
    size_t start = from > SUPERBLOCK_AT ? from : SUPERBLOCK_AT;
    size_t end = to < SUPERBLOCK_AT + SUPERBLOCK_SIZE ? to : SUPERBLOCK_AT + SUPERBLOCK_SIZE;

    if (start >= end || end - start < BLANKING)
        return false;
    return is_zero(after + start, end - start) && !is_zero(before + start, end - start);
}

const char *firewall_judge_head(const uint8_t before[FIREWALL_HEAD],
                                const uint8_t after[FIREWALL_HEAD], size_t from, size_t to,
                                uint32_t sector)
{
    if (!has_magic(before))
        return NULL;
    if (!has_magic(after) || blanks_superblock(before, after, from, to))
        return "destroy the ext4 superblock";
    if (has_boot_signature(after) && memcmp(before, after, 512) != 0)
        return "put a partition table (MBR) over the boot block";
    /* The sector behind the MBR: in 512-byte sectors the boot block's second half. */
    if (is_gpt_header(after + sector, 1) && memcmp(before + sector, after + sector, 512) != 0)
        return "put a partition table (GPT) at the start of the file system";
    return NULL;
}

const char *firewall_judge_tail(const uint8_t *after, uint64_t last_lba)
{
    return is_gpt_header(after, last_lba) ? "put a backup partition table (GPT) at its end" : NULL;
}
