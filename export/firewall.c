/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "export/firewall.h"

#include "common/bytes.h"
#include "common/units.h"

#include <string.h>

#define BOOT_SIGNATURE_AT 510 /* 55 aa closes an MBR */
#define SUPERBLOCK_AT     1024
#define SUPERBLOCK_SIZE   1024

/* Fields of the superblock (ext4.5, "The Super Block" of the kernel's documentation). */
#define S_BLOCKS_COUNT       (SUPERBLOCK_AT + 0x4)
#define S_FIRST_DATA_BLOCK   (SUPERBLOCK_AT + 0x14)
#define S_LOG_BLOCK_SIZE     (SUPERBLOCK_AT + 0x18)
#define S_BLOCKS_PER_GROUP   (SUPERBLOCK_AT + 0x20)
#define S_MAGIC              (SUPERBLOCK_AT + 0x38)
#define S_FEATURE_INCOMPAT   (SUPERBLOCK_AT + 0x60)
#define S_DESC_SIZE          (SUPERBLOCK_AT + 0xfe)
#define S_FIRST_META_BG      (SUPERBLOCK_AT + 0x104)
#define S_BLOCKS_COUNT_HI    (SUPERBLOCK_AT + 0x150)

#define INCOMPAT_JOURNAL_DEV 0x0008 /* a journal alone: no groups */
#define INCOMPAT_META_BG     0x0010
#define INCOMPAT_64BIT       0x0080

bool firewall_is_ext(const uint8_t head[FIREWALL_HEAD])
{
    return get_le16(head + S_MAGIC) == 0xef53;
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

    /* The longest field that e2fsprogs itself may blank in one write has 64 bytes. */
    if (start >= end || end - start < FIREWALL_BLANKING)
        return false;
    return is_zero(after + start, end - start) && !is_zero(before + start, end - start);
}

const char *firewall_judge_head(const uint8_t before[FIREWALL_HEAD],
                                const uint8_t after[FIREWALL_HEAD], size_t from, size_t to,
                                uint32_t sector)
{
    if (!firewall_is_ext(before))
        return NULL;
    if (!firewall_is_ext(after) || blanks_superblock(before, after, from, to))
        return "destroy the ext4 superblock";
    if (has_boot_signature(after) && memcmp(before, after, 512) != 0)
        return "put a partition table (MBR) over the boot block";
    /* The sector behind the MBR: in 512-byte sectors the boot block's second half. */
    if (is_gpt_header(after + sector, 1) && memcmp(before + sector, after + sector, 512) != 0)
        return "put a partition table (GPT) at the start of the file system";
    return NULL;
}

/* Blocks of the table, from the superblock's words; 0 when they make no sense. */
static uint64_t table_blocks(const uint8_t *head, uint32_t block)
{
    uint32_t features = get_le32(head + S_FEATURE_INCOMPAT), descriptor = 32;
    uint64_t first = get_le32(head + S_FIRST_DATA_BLOCK), blocks = get_le32(head + S_BLOCKS_COUNT);
    uint64_t per_group = get_le32(head + S_BLOCKS_PER_GROUP), groups, count, in_one;

    if (features & INCOMPAT_64BIT) {
        blocks |= (uint64_t)get_le32(head + S_BLOCKS_COUNT_HI) << 32;
        descriptor = get_le16(head + S_DESC_SIZE);
    }
    if (features & INCOMPAT_JOURNAL_DEV || blocks <= first || !per_group || descriptor < 32 ||
        descriptor > block)
        return 0;
    groups = (blocks - first - 1) / per_group + 1;
    count = (groups - 1) / (block / descriptor) + 1;
    if (!(features & INCOMPAT_META_BG))
        return count;
    /* The first block of descriptors is at the same place in both ways of laying them out. */
    in_one = get_le32(head + S_FIRST_META_BG);
    return min_u64(count, in_one ? in_one : 1);
}

bool firewall_table(const uint8_t head[FIREWALL_HEAD], struct firewall_table *table)
{
    uint32_t log = get_le32(head + S_LOG_BLOCK_SIZE);

    if (!firewall_is_ext(head) || log > 6) /* blocks of 64 KiB */
        return false;
    table->block = UINT32_C(1024) << log;
    /* In the block behind the superblock's; that is number 2 of 1 KiB each, also with bigalloc. */
    table->at = table->block == 1024 ? SUPERBLOCK_AT + SUPERBLOCK_SIZE : table->block;
    table->size = table_blocks(head, table->block) * table->block;
    return table->size > 0;
}

/*
 * Block bitmap, inode bitmap and inode table. Their upper halves are left out: they would be
 * zero, and while "resize2fs -s" makes the descriptors half as long they are the next one's.
 * The bound is the disk, not the file system: a growing one writes its superblock last.
 */
static bool has_locations(const uint8_t *descriptor, uint64_t blocks)
{
    for (size_t at = 0; at < FIREWALL_DESCRIPTOR; at += 4)
        if (!get_le32(descriptor + at) || get_le32(descriptor + at) >= blocks)
            return false;
    return true;
}

const char *firewall_judge_descriptor(const uint8_t before[FIREWALL_DESCRIPTOR],
                                      const uint8_t after[FIREWALL_DESCRIPTOR], uint64_t blocks)
{
    return has_locations(before, blocks) && !has_locations(after, blocks)
               ? "destroy the descriptor of the first block group"
               : NULL;
}

const char *firewall_judge_blanking(const uint8_t *before, size_t length)
{
    return length >= FIREWALL_BLANKING && !is_zero(before, length) ? "blank group descriptors"
                                                                   : NULL;
}

/* UEFI 5.3.3: type, identity, first sector, last sector. */
static bool is_entry(const uint8_t *p, uint64_t sectors)
{
    uint64_t first = get_le64(p + 32), last = get_le64(p + 40);

    return !is_zero(p, 16) && !is_zero(p + 16, 16) && first > 0 && first <= last && last < sectors;
}

const char *firewall_judge_entry(const uint8_t before[FIREWALL_ENTRY],
                                 const uint8_t after[FIREWALL_ENTRY], uint64_t sectors)
{
    return is_entry(after, sectors) && !is_entry(before, sectors)
               ? "put partition entries (GPT) over the file system"
               : NULL;
}

const char *firewall_judge_tail(const uint8_t *after, uint64_t last_lba)
{
    return is_gpt_header(after, last_lba) ? "put a backup partition table (GPT) at its end" : NULL;
}
