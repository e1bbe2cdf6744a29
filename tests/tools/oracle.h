/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a range of a file may hold after a crash.
 *
 * A lane is a range of the file that one thread writes. The oracle of a lane knows its
 * bytes as of the last flush that was acknowledged, and the operations that were begun
 * since. After a crash, every byte must be the flushed one or that of one of those
 * operations; where pages are atomic, every page must be what it was at one moment: the
 * flushed page, or that with the first few operations on it, in their order.
 */
#ifndef TESTS_ORACLE_H
#define TESTS_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ORACLE_PAGE 4096u

enum op_kind {
    OP_WRITE,    /* bytes that seed, lane and number determine */
    OP_ZERO,     /* zeros, by punching or zeroing a range */
    OP_BAT_ZERO, /* zeros, by writing "zero" to the state of the block's BAT entry */
    OP_HEADER,   /* a valid VHDX header, its sequence number determined by the operation's */
};

struct op {
    uint64_t number; /* counts from 0 in each lane */
    uint64_t offset; /* in the file */
    uint32_t length;
    uint32_t kind;
};

struct oracle {
    uint64_t offset; /* of the range in the file */
    uint64_t length;
    uint64_t seed;
    bool atomic_pages;
    uint8_t *flushed;   /* LENGTH bytes */
    struct op *pending; /* begun since the last acknowledged flush */
    size_t count, room;
    uint64_t lost; /* bytes of acknowledged but unflushed operations that checks found gone */
};

/* A small fast generator; *STATE is its seed. */
uint64_t random_next(uint64_t *state);

/* Fills DATA with bytes FROM to FROM + LENGTH of what OP writes (relative to its offset). */
void op_fill(uint64_t seed, const struct op *op, uint64_t from, void *data, size_t length);

/* Makes an oracle for LENGTH bytes at OFFSET of a file. Their content comes with oracle_adopt(). */
int oracle_init(struct oracle *oracle, uint64_t offset, uint64_t length, uint64_t seed,
                bool atomic_pages);
void oracle_free(struct oracle *oracle);

/* OP is about to be issued. 0 or -ENOMEM. */
int oracle_begin(struct oracle *oracle, const struct op *op);

/* A flush that began after all operations below number END were acknowledged has succeeded. */
void oracle_flush(struct oracle *oracle, uint64_t end);

/*
 * Reads the range from FD and judges it. Operations below number ACKNOWLEDGED were
 * acknowledged; what is gone of them is counted in ->lost, and is no error. Returns 0, the
 * errno of the read, or -EBADMSG after a message for people on stderr. With ADOPT what was
 * read becomes the flushed content, and nothing is pending any more.
 */
int oracle_check(struct oracle *oracle, int fd, uint64_t acknowledged, bool adopt);

/* Takes what FD holds now as the content, unjudged. 0 or -errno. */
int oracle_adopt(struct oracle *oracle, int fd);

#endif
