/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The load of the crash tests: three threads that write an exposed VHDX, each its own
 * lane, and flush at random: the metadata in front (headers, log, spare room of the
 * metadata region), and the two halves of the payload. A fourth lane, the BAT, is only watched.
 */
#ifndef TESTS_LANES_H
#define TESTS_LANES_H

#include "tests/tools/oracle.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#define LANES   4
#define WRITERS 3 /* the first lanes */

enum record_kind {
    RECORD_BEGIN = 1,
    RECORD_FLUSHED,
    RECORD_MARK_BEGIN,
    RECORD_MARK_END
};

/* One event, in the order in which they happened. */
struct record {
    uint32_t kind;
    uint32_t lane;
    struct op op;  /* BEGIN; a FLUSHED has in .number the first operation that is not */
    uint64_t mark; /* MARK_* */
};

struct lane {
    struct lanes *all;
    unsigned id;
    struct oracle oracle;
    uint64_t write_from, write_end; /* the part of the range that is written */
    uint64_t random;
    uint64_t
        next; /* number of the next operation; all below were acknowledged when no thread runs */
    pthread_t thread;
    int error; /* what ended the thread */
};

struct lanes {
    const char *file;
    uint64_t seed;
    uint64_t payload;  /* offset of the payload in the file */
    uint64_t disk;     /* size of the disk */
    uint64_t reserved; /* bytes at its start that are not written: a file system */
    uint32_t largest;  /* of a payload operation, in bytes */
    unsigned pause;    /* mean microseconds between two operations of a lane */
    struct lane lane[LANES];
    int fd, direct_fd;
    FILE *records; /* NULL: none kept */
    pthread_mutex_t record_lock;
    atomic_bool stop;
    atomic_bool dying; /* errors are expected from now on: no messages */
    atomic_uint_fast64_t operations, flushes;
};

/*
 * Sets the lanes up for a file with its payload at PAYLOAD, of DISK bytes (multiples of 4
 * KiB). The caller has set file, seed, payload, disk, reserved, largest, pause, records; the rest
 * is zero.
 */
int lanes_init(struct lanes *lanes);
void lanes_free(struct lanes *lanes);

int lanes_open(struct lanes *lanes);
void lanes_close(struct lanes *lanes);

/* Judges what the open file holds (oracle_check), or takes it as the start (ADOPT_ONLY). */
int lanes_check(struct lanes *lanes, bool adopt);
int lanes_adopt(struct lanes *lanes);

/* Starts the writers; they write until an error, or ->stop. */
int lanes_start(struct lanes *lanes);

/* Waits for their end. Returns the first error that ended one, 0 when all were told to stop. */
int lanes_join(struct lanes *lanes);

/* Notes an event; without ->records nothing happens. */
int lanes_record(struct lanes *lanes, const struct record *record);

#endif
