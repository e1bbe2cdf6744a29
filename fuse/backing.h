/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The partition (or image file) as an array of bytes, read and written past the page
 * cache wherever the kernel lets us: so a request costs no copy, memory is not filled
 * twice, and the device's cache cannot go stale behind us.
 *
 * Offsets and lengths are in bytes, inside [0, size), at any alignment. What is not
 * aligned to the device's direct-I/O unit is read, modified and written back under a
 * lock that keeps other writers out; aligned requests run in parallel.
 *
 * All functions may be called from any thread and return 0 or -errno.
 */
#ifndef FUSE_BACKING_H
#define FUSE_BACKING_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Memory at this alignment is good for direct I/O on every device. */
#define BACKING_MEMORY_ALIGN 4096

struct backing {
    int fd;
    uint64_t size;
    uint32_t align; /* of offset and length for direct I/O, in bytes; 1 when buffered */
    bool is_block;
    bool no_discard;
    atomic_int lost;           /* buffered: the error of a failed flush, which cannot be undone */
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

int backing_read(struct backing *backing, void *data, size_t length, uint64_t offset);
int backing_write(struct backing *backing, const void *data, size_t length, uint64_t offset);

/*
 * Makes the range read as zeros, exactly. With DISCARD the space may be given back to the
 * device (unless no_discard); without, it stays allocated.
 */
int backing_zero(struct backing *backing, uint64_t offset, uint64_t length, bool discard);

/* All that was written is on stable storage when this returns 0. */
int backing_flush(struct backing *backing);

/*
 * An aligned buffer of the calling thread's, at least SIZE bytes, valid until its next
 * call; NULL when out of memory. For callers that want to read without a copy.
 */
void *backing_thread_buffer(size_t size);

#endif
