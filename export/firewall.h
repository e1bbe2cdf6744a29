/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The accident firewall: knows the writes with which partitioning tools ("Initialize disk",
 * diskpart clean, sgdisk) destroy a file system that fills the whole disk. It is no protection
 * against intent, and it looks at contents, not at who writes. These are its rules, pure; guard.h
 * says what they are asked about, and what happens after a refusal.
 *
 * A write is judged by what the bytes would be afterwards. At the head of the disk, and only
 * while there is an ext superblock:
 *
 * - The superblock keeps its magic, and no piece of it from 128 bytes on becomes zeros.
 * - No MBR comes over the boot block, no GPT header into the second sector.
 * - The descriptor of group 0 keeps locations that can be ones.
 * - No block of the table of group descriptors, nor a written piece of one from 128 bytes on,
 *   becomes zeros, as far as the table lies in the first MiB.
 * - No array of GPT entries comes to its place behind the header. (In 512-byte sectors that is
 *   the superblock's place.)
 *
 * At the end of the disk, whatever is on it:
 *
 * - No GPT header that speaks of itself comes into the last sector, no array of GPT entries to
 *   its place before it.
 *
 * So an array of GPT entries is known by its first entry: an empty one is zeros, which a file
 * system writes, too. In group descriptors other than the first, only zeros count as harm. Other
 * metadata (bitmaps, inode tables, the descriptors' reserve) have no rule at all; guard.h
 * protects them from what comes after a refusal.
 */
#ifndef EXPORT_FIREWALL_H
#define EXPORT_FIREWALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FIREWALL_HEAD       8192  /* bytes: boot block, superblock, the second sector */
#define FIREWALL_DESCRIPTOR 12    /* bytes of a group descriptor that are looked at */
#define FIREWALL_ENTRY      48    /* bytes of a GPT entry that are looked at */
#define FIREWALL_ENTRIES    16384 /* bytes of an array of GPT entries (UEFI 5.3.2) */
#define FIREWALL_BLANKING   128   /* the shortest run of zeros that counts as blanking */

/*
 * Judges a write to the first FIREWALL_HEAD bytes: BEFORE and AFTER are these bytes,
 * [FROM, TO) the part of them that is written. Returns NULL if it may pass, or what it would
 * do. A disk without an ext superblock is not guarded.
 */
const char *firewall_judge_head(const uint8_t before[FIREWALL_HEAD],
                                const uint8_t after[FIREWALL_HEAD], size_t from, size_t to,
                                uint32_t sector);

/* Whether these are the first bytes of an ext file system. */
bool firewall_is_ext(const uint8_t head[FIREWALL_HEAD]);

/* Where an ext file system has its group descriptors. Bytes. */
struct firewall_table {
    uint64_t at;
    uint64_t size;  /* whole blocks */
    uint32_t block; /* the file system's block size */
};

/*
 * Finds the table by the superblock in HEAD; false when there is none, or it is absurd. With
 * meta_bg only the part that lies in one piece behind the superblock is meant.
 */
bool firewall_table(const uint8_t head[FIREWALL_HEAD], struct firewall_table *table);

/* Judges a write to the descriptor of group 0 on a disk of BLOCKS blocks. */
const char *firewall_judge_descriptor(const uint8_t before[FIREWALL_DESCRIPTOR],
                                      const uint8_t after[FIREWALL_DESCRIPTOR], uint64_t blocks);

/* Judges zeros over a piece of one block of the table, which was BEFORE. */
const char *firewall_judge_blanking(const uint8_t *before, size_t length);

/* Judges a write to where the first of a GPT's entries would be, on a disk of SECTORS sectors. */
const char *firewall_judge_entry(const uint8_t before[FIREWALL_ENTRY],
                                 const uint8_t after[FIREWALL_ENTRY], uint64_t sectors);

/* Judges a write to the last sector of the disk, number LAST_LBA: AFTER are its SECTOR bytes. */
const char *firewall_judge_tail(const uint8_t *after, uint64_t last_lba);

#endif
