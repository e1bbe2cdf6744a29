/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The accident firewall: refuses the writes with which partitioning tools ("Initialize disk",
 * diskpart clean, fdisk) destroy a file system that fills the whole disk. It is no protection
 * against intent, and it looks at contents, not at who writes.
 *
 * Guarded are the first 8 KiB of the disk (boot block, ext superblock, and the second
 * sector of disks with 4096-byte sectors) and its last sector (the backup GPT). A write there is
 * judged by what the bytes would be afterwards, so it does not matter in which pieces it comes.
 */
#ifndef FUSE_FIREWALL_H
#define FUSE_FIREWALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FIREWALL_HEAD 8192

/* Whether a write to [offset, offset + length) of a disk has to be judged. Units: bytes. */
bool firewall_concerns(uint64_t disk_size, uint32_t sector, uint64_t offset, uint64_t length);

/*
 * Judges a write to the first FIREWALL_HEAD bytes: BEFORE and AFTER are these bytes,
 * [FROM, TO) the part of them that is written. Returns NULL if it may pass, or what it would
 * do. A disk without an ext superblock is not guarded.
 */
const char *firewall_judge_head(const uint8_t before[FIREWALL_HEAD],
                                const uint8_t after[FIREWALL_HEAD], size_t from, size_t to,
                                uint32_t sector);

/* Judges a write to the last sector of the disk, number LAST_LBA: AFTER are its SECTOR bytes. */
const char *firewall_judge_tail(const uint8_t *after, uint64_t last_lba);

#endif
