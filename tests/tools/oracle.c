/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/tools/oracle.h"
#include "common/cleanup.h"
#include "common/io.h"
#include "vhdx/encode.h"

#include <inttypes.h>
#include <string.h>

/* splitmix64: every state is good, so seeds need no warming up. */
static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t random_next(uint64_t *state)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    return mix(*state);
}

static void fill_header(uint64_t seed, const struct op *op, uint8_t page[VHDX_HEADER_SIZE])
{
    struct vhdx_header header = {
        .sequence = 1000 + op->number,
        .version = 1,
        .log_length = VHDX_LOG_SIZE,
        .log_offset = VHDX_LOG_AT,
    };
    uint64_t state = mix(seed) ^ op->number;

    for (size_t i = 0; i < sizeof(header.file_write.b); i++) {
        header.file_write.b[i] = (uint8_t)random_next(&state);
        header.data_write.b[i] = (uint8_t)random_next(&state);
    }
    vhdx_encode_header(&header, (struct vhdx_disk_header *)page);
}

void op_fill(uint64_t seed, const struct op *op, uint64_t from, void *data, size_t length)
{
    uint8_t *out = data, page[VHDX_HEADER_SIZE];
    uint64_t key = mix(seed) ^ mix(op->number + 1);

    if (op->kind == OP_ZERO || op->kind == OP_BAT_ZERO) {
        memset(out, 0, length);
    } else if (op->kind == OP_HEADER) {
        fill_header(seed, op, page);
        memcpy(out, page + from, length);
    } else {
        for (size_t i = 0; i < length; i++) {
            uint64_t at = op->offset + from + i;

            if (at % 8 == 0 && length - i >= 8) {
                uint64_t word = mix(key ^ at);

                memcpy(out + i, &word, 8);
                i += 7;
            } else {
                out[i] = (uint8_t)(mix(key ^ (at & ~UINT64_C(7))) >> at % 8 * 8);
            }
        }
    }
}

int oracle_init(struct oracle *oracle, uint64_t offset, uint64_t length, uint64_t seed,
                bool atomic_pages)
{
    *oracle = (struct oracle){
        .offset = offset,
        .length = length,
        .seed = seed,
        .atomic_pages = atomic_pages,
        .flushed = calloc(1, length),
    };
    return oracle->flushed ? 0 : -ENOMEM;
}

void oracle_free(struct oracle *oracle)
{
    free(oracle->flushed);
    free(oracle->pending);
    *oracle = (struct oracle){0};
}

int oracle_begin(struct oracle *oracle, const struct op *op)
{
    if (oracle->count == oracle->room) {
        size_t room = oracle->room ? 2 * oracle->room : 64;
        struct op *pending = realloc(oracle->pending, room * sizeof(*pending));

        if (!pending)
            return -ENOMEM;
        oracle->pending = pending;
        oracle->room = room;
    }
    oracle->pending[oracle->count++] = *op;
    return 0;
}

void oracle_flush(struct oracle *oracle, uint64_t end)
{
    size_t kept = 0;

    for (size_t i = 0; i < oracle->count; i++) {
        const struct op *op = &oracle->pending[i];

        if (op->number < end)
            op_fill(oracle->seed, op, 0, oracle->flushed + (op->offset - oracle->offset),
                    op->length);
        else
            oracle->pending[kept++] = *op;
    }
    oracle->count = kept;
}

/* The part of OP in the page at PAGE of the file, written to its place in DATA (the page). False:
 * none. */
static bool apply_to_page(const struct oracle *oracle, const struct op *op, uint64_t page,
                          uint8_t *data, size_t *from, size_t *to)
{
    uint64_t first = op->offset > page ? op->offset : page;
    uint64_t end = op->offset + op->length;

    if (end > page + ORACLE_PAGE)
        end = page + ORACLE_PAGE;
    if (first >= end)
        return false;
    op_fill(oracle->seed, op, first - op->offset, data + (first - page), end - first);
    *from = first - page;
    *to = end - page;
    return true;
}

/* One moment: the flushed page, or with the first operation, the first two, ... */
static bool page_is_version(const struct oracle *oracle, uint64_t page, const uint8_t *actual,
                            const uint8_t *flushed)
{
    uint8_t version[ORACLE_PAGE];
    size_t from, to;

    memcpy(version, flushed, sizeof(version));
    for (size_t i = 0; i < oracle->count; i++)
        if (apply_to_page(oracle, &oracle->pending[i], page, version, &from, &to) &&
            memcmp(version, actual, sizeof(version)) == 0)
            return true;
    return false;
}

/* Any mixture: each byte by itself. Returns the position of the first bad one, or ORACLE_PAGE. */
static size_t page_is_mixture(const struct oracle *oracle, uint64_t page, const uint8_t *actual,
                              const uint8_t *flushed)
{
    uint8_t one[ORACLE_PAGE];
    bool good[ORACLE_PAGE];
    size_t from, to, at;

    for (at = 0; at < ORACLE_PAGE; at++)
        good[at] = actual[at] == flushed[at];
    for (size_t i = 0; i < oracle->count; i++)
        if (apply_to_page(oracle, &oracle->pending[i], page, one, &from, &to))
            for (at = from; at < to; at++)
                good[at] |= actual[at] == one[at];
    for (at = 0; at < ORACLE_PAGE && good[at]; at++)
        ;
    return at;
}

/* Bytes that would be others had every acknowledged operation come through. */
static uint64_t count_lost(const struct oracle *oracle, uint64_t page, const uint8_t *actual,
                           const uint8_t *flushed, uint64_t acknowledged)
{
    uint8_t want[ORACLE_PAGE], free_choice[ORACLE_PAGE] = {0};
    size_t from, to;
    uint64_t lost = 0;

    memcpy(want, flushed, sizeof(want));
    for (size_t i = 0; i < oracle->count; i++) {
        const struct op *op = &oracle->pending[i];

        if (apply_to_page(oracle, op, page, want, &from, &to) && op->number >= acknowledged)
            memset(free_choice + from, 1, to - from);
    }
    for (size_t at = 0; at < ORACLE_PAGE; at++)
        lost += !free_choice[at] && actual[at] != want[at];
    return lost;
}

static int complain(const struct oracle *oracle, uint64_t at, uint8_t actual, uint8_t flushed,
                    const char *what)
{
    fprintf(stderr,
            "file offset %" PRIu64 ": %s (is %02x, flushed was %02x, %zu operations pending)\n", at,
            what, actual, flushed, oracle->count);
    for (size_t i = 0; i < oracle->count; i++) {
        const struct op *op = &oracle->pending[i];

        if (op->offset <= at && at < op->offset + op->length)
            fprintf(stderr, "  pending: operation %" PRIu64 ", kind %u, %" PRIu64 "+%u\n",
                    op->number, op->kind, op->offset, op->length);
    }
    return -EBADMSG;
}

static bool page_is_pending(const struct oracle *oracle, uint64_t page)
{
    for (size_t i = 0; i < oracle->count; i++)
        if (oracle->pending[i].offset < page + ORACLE_PAGE &&
            page < oracle->pending[i].offset + oracle->pending[i].length)
            return true;
    return false;
}

static int check_page(struct oracle *oracle, size_t at, const uint8_t *actual,
                      uint64_t acknowledged)
{
    const uint8_t *flushed = oracle->flushed + at;
    uint64_t page = oracle->offset + at;
    size_t bad;

    if (memcmp(actual, flushed, ORACLE_PAGE) == 0) {
        if (page_is_pending(oracle, page))
            oracle->lost += count_lost(oracle, page, actual, flushed, acknowledged);
        return 0;
    }
    bad = page_is_mixture(oracle, page, actual, flushed);
    if (bad < ORACLE_PAGE)
        return complain(oracle, page + bad, actual[bad], flushed[bad],
                        "neither the flushed byte nor a later one");
    if (oracle->atomic_pages && !page_is_version(oracle, page, actual, flushed))
        return complain(oracle, page, actual[0], flushed[0],
                        "a torn page: parts of different moments");
    oracle->lost += count_lost(oracle, page, actual, flushed, acknowledged);
    return 0;
}

int oracle_check(struct oracle *oracle, int fd, uint64_t acknowledged, bool adopt)
{
    cleanup_free uint8_t *actual = malloc(oracle->length);
    int rc = 0;

    if (!actual)
        return -ENOMEM;
    rc = pread_full(fd, actual, oracle->length, oracle->offset);
    if (rc)
        return rc;
    for (size_t at = 0; at < oracle->length; at += ORACLE_PAGE) {
        rc = check_page(oracle, at, actual + at, acknowledged);
        if (rc)
            return rc;
    }
    if (adopt) {
        memcpy(oracle->flushed, actual, oracle->length);
        oracle->count = 0;
    }
    return 0;
}

int oracle_adopt(struct oracle *oracle, int fd)
{
    oracle->count = 0;
    return pread_full(fd, oracle->flushed, oracle->length, oracle->offset);
}
