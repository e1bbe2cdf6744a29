/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The log (2.3): a ring of entries, each a batch of 4 KiB writes to metadata.
 *
 * Scanning finds every whole entry of the current session (LogGuid), links them to
 * runs of consecutive sequence numbers, and picks the active sequence: of the runs
 * that hold the entry which their head's Tail names, the one with the greatest
 * sequence number. What is to be replayed reaches from that Tail to the head; entries
 * before the Tail are in the file already, and must not be applied again.
 */
#ifndef VHDX_LOG_H
#define VHDX_LOG_H

#include "vhdx/encode.h"
#include "vhdx/io.h"
#include "vhdx/report.h"

/* More descriptors than this in one sequence are refused with -E2BIG: memory is bounded. */
#define VHDX_LOG_MAX_WRITES  (UINT32_C(1) << 22)
#define VHDX_LOG_MAX_LENGTH  GIB
#define VHDX_LOG_FIRST_WRITE VHDX_REGIONS_1_AT /* no descriptor writes below it */
#define VHDX_SESSIONS_MAX    16

struct vhdx_log_entry {
    uint32_t at;     /* offset in the log */
    uint32_t length; /* bytes; the entry may wrap around the log's end */
    uint32_t tail;   /* offset in the log */
    uint32_t descriptors;
    uint64_t sequence;
    uint64_t flushed_file_offset;
    uint64_t last_file_offset;
};

/* One descriptor to be replayed. */
struct vhdx_log_write {
    uint64_t offset;     /* in the file, a multiple of 4 KiB */
    uint64_t length;     /* a multiple of 4 KiB; 4 KiB for data */
    uint64_t descriptor; /* the descriptor's place in the file */
    uint64_t data;       /* the data sector's place in the file; 0: zeros are written */
};

/* All whole entries of one LogGuid, for people. */
struct vhdx_log_session {
    struct guid guid;
    uint64_t entries;
    uint64_t first; /* sequence numbers */
    uint64_t last;
};

struct vhdx_log {
    uint64_t offset; /* of the log in the file */
    uint32_t length;
    struct vhdx_log_entry *entries; /* whole ones of this session, in order of their place */
    size_t count;
    struct vhdx_log_entry *active; /* the sequence to replay, Tail to head; none: corrupt */
    size_t active_count;
    struct vhdx_log_write *writes; /* in the order to apply them */
    size_t write_count;
    uint64_t flushed_file_offset; /* greatest of the active sequence */
    uint64_t last_file_offset;
    struct vhdx_log_session sessions[VHDX_SESSIONS_MAX];
    size_t session_count; /* counts on where sessions[] is full */
};

/*
 * Scans the log that HEADER names, which must lie inside the file (-EINVAL if not) and
 * be at most 1 GiB. Defects of entries of the current session go to REPORT. Returns 0,
 * also when nothing valid is found (active_count is 0), or -errno of reading, -ENOMEM,
 * -E2BIG. *LOG is to be freed in every case.
 */
int vhdx_log_scan(const struct vhdx_io *io, const struct vhdx_header *header,
                  struct vhdx_report *report, struct vhdx_log *log);

/* Reads the 4096 bytes that a data descriptor writes. Returns 0 or -errno. */
int vhdx_log_data(const struct vhdx_io *io, const struct vhdx_log_write *write,
                  uint8_t data[VHDX_LOG_SECTOR]);

void vhdx_log_free(struct vhdx_log *log);

#endif
