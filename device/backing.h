/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The partition (or image file) as an array of bytes, read and written past the page
 * cache wherever the kernel lets us: so a request costs no copy, memory is not filled
 * twice, and the device's cache cannot go stale behind us.
 *
 * What is not aligned to the device's direct-I/O unit is read, modified and written back under a
 * lock that keeps other writers out; aligned requests run in parallel.
 *
 * Writes that were begun and not ended (disk.h) share that lock with the aligned ones. While a
 * read-modify-write waits for it, none can be begun, so a stream of them cannot keep it waiting for
 * ever. Closing waits for those that were begun.
 */
#ifndef DEVICE_BACKING_H
#define DEVICE_BACKING_H

#include "device/disk.h"

#include <pthread.h>
#include <stdatomic.h>

/* Memory at this alignment is good for direct I/O on every device. */
#define BACKING_MEMORY_ALIGN 4096

struct backing {
    struct disk disk; /* read, write, zero, flush: see disk.h */
    int fd;
    uint64_t size;
    uint32_t align; /* of offset and length for direct I/O, in bytes; 1 when buffered */
    bool is_block;
    bool no_discard;
    atomic_int lost;           /* the error of a failed flush, which cannot be undone */
    atomic_bool no_punch;      /* the device said that it cannot */
    atomic_bool no_zero_range; /* likewise */
    pthread_rwlock_t edges;    /* held for writing while an unaligned edge is modified */
};

/*
 * Takes over FD, which must be open for what will be asked; ALIGN as in struct
 * backing. DIRECT says that it was opened with O_DIRECT.
 */
int backing_init(struct backing *backing, int fd, bool is_block, bool direct, uint32_t align,
                 uint64_t size);
/* Closes the descriptor. */
void backing_close(struct backing *backing);

/*
 * An aligned buffer of the calling thread's, at least SIZE bytes, valid until its next
 * call; NULL when out of memory. For callers that want to read without a copy.
 */
void *backing_thread_buffer(size_t size);

#endif
