/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading records of NTFS's master file table: as much of it as it takes to see where a file's
 * content lies. No libntfs-3g, no I/O, and no trust: the bytes may be anything.
 */
#ifndef NTFS_RECORD_H
#define NTFS_RECORD_H

#include "ntfs/geometry.h"

#define NTFS_RECORD_MFT    0
#define NTFS_RECORD_BITMAP 6

/* What a boot sector says, as far as it must say what this project's volumes say. */
struct ntfs_boot {
    uint64_t sectors;
    uint64_t mft_lcn;
};

/* 0, or -EUCLEAN: no NTFS with clusters of NTFS_CLUSTER and records of NTFS_RECORD_SIZE. */
int ntfs_boot_decode(const uint8_t sector[NTFS_SECTOR], struct ntfs_boot *boot);

/*
 * Puts back the two bytes of each sector that a record on disk lends to the update sequence.
 * Returns 0; -EAGAIN when its sectors are of different writes; -EUCLEAN for what is no record.
 */
int ntfs_record_decode(uint8_t record[NTFS_RECORD_SIZE]);

enum ntfs_record_flags {
    NTFS_RECORD_IN_USE = 1,
    NTFS_RECORD_DIRECTORY = 2,
};

/* Of a decoded record. */
uint16_t ntfs_record_flags(const uint8_t record[NTFS_RECORD_SIZE]);
/* The record that this one continues; 0 for none. */
uint64_t ntfs_record_base(const uint8_t record[NTFS_RECORD_SIZE]);

/* The unnamed $DATA attribute, not resident, from cluster 0 on. */
struct ntfs_data {
    uint16_t flags; /* compressed, encrypted, sparse; 0: none of them */
    uint64_t highest_vcn;
    uint64_t allocated; /* bytes, as the next two */
    uint64_t size;
    uint64_t initialized;
    const uint8_t *pairs; /* the run list, in the record */
    size_t pairs_size;
};

/* 0; -ENOENT when a decoded record holds none; -EUCLEAN when its attributes make no sense. */
int ntfs_record_data(const uint8_t record[NTFS_RECORD_SIZE], struct ntfs_data *data);

#define NTFS_HOLE UINT64_MAX

struct ntfs_run {
    uint64_t vcn;
    uint64_t lcn; /* or NTFS_HOLE */
    uint64_t length;
};

/* A walk through the runs. Start it with ntfs_runs_of(). */
struct ntfs_runs {
    const uint8_t *next;
    const uint8_t *end;
    uint64_t vcn;
    int64_t lcn;
};

struct ntfs_runs ntfs_runs_of(const struct ntfs_data *data);
/* 1 and *RUN; 0 behind the last one; -EUCLEAN. Runs follow each other without a gap in the VCN. */
int ntfs_runs_next(struct ntfs_runs *runs, struct ntfs_run *run);

#endif
