/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/tools/lanes.h"
#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/io.h"
#include "vhdx/layout.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define SPARE_METADATA (VHDX_METADATA_AT + MIB / 2) /* the items end long before */
#define BLOCK          MIB

static int lane_init(struct lanes *lanes, unsigned id, uint64_t offset, uint64_t end)
{
    struct lane *lane = &lanes->lane[id];

    lane->all = lanes;
    lane->id = id;
    lane->write_from = offset;
    lane->write_end = end;
    lane->random = lanes->seed * LANES + id;
    return oracle_init(&lane->oracle, offset, end - offset, lanes->seed * LANES + id, id == 0);
}

int lanes_init(struct lanes *lanes)
{
    uint64_t middle = lanes->payload + (lanes->reserved + lanes->disk) / 2 / BLOCK * BLOCK;
    int rc;

    lanes->fd = lanes->direct_fd = -1;
    pthread_mutex_init(&lanes->record_lock, NULL);
    rc = lane_init(lanes, 0, 0, VHDX_BAT_AT);
    if (!rc)
        rc = lane_init(lanes, 1, lanes->payload, middle);
    if (!rc)
        rc = lane_init(lanes, 2, middle, lanes->payload + lanes->disk);
    if (!rc)
        rc = lane_init(lanes, 3, VHDX_BAT_AT, lanes->payload);
    lanes->lane[1].write_from += lanes->reserved;
    return rc;
}

void lanes_free(struct lanes *lanes)
{
    for (unsigned i = 0; i < LANES; i++)
        oracle_free(&lanes->lane[i].oracle);
    pthread_mutex_destroy(&lanes->record_lock);
}

int lanes_open(struct lanes *lanes)
{
    lanes->fd = open(lanes->file, O_RDWR | O_CLOEXEC);
    if (lanes->fd < 0)
        return -errno;
    lanes->direct_fd = open(lanes->file, O_RDWR | O_DIRECT | O_CLOEXEC);
    return lanes->direct_fd < 0 ? -errno : 0;
}

void lanes_close(struct lanes *lanes)
{
    close_fd(&lanes->fd);
    close_fd(&lanes->direct_fd);
}

int lanes_check(struct lanes *lanes, bool adopt)
{
    for (unsigned i = 0; i < LANES; i++) {
        int rc = oracle_check(&lanes->lane[i].oracle, lanes->fd, lanes->lane[i].next, adopt);

        if (rc) {
            fprintf(stderr, "lane %u: %s\n", i, strerror(-rc));
            return rc;
        }
    }
    return 0;
}

int lanes_adopt(struct lanes *lanes)
{
    int rc = 0;

    for (unsigned i = 0; i < LANES && !rc; i++)
        rc = oracle_adopt(&lanes->lane[i].oracle, lanes->fd);
    return rc;
}

int lanes_record(struct lanes *lanes, const struct record *record)
{
    LOCK_SCOPE(&lanes->record_lock);

    if (lanes->records && fwrite(record, sizeof(*record), 1, lanes->records) != 1)
        return -EIO;
    return 0;
}

static uint64_t below(struct lane *lane, uint64_t end)
{
    return random_next(&lane->random) % end;
}

/* A place for LENGTH bytes, aligned to ALIGN, between FROM and END. */
static void place(struct lane *lane, struct op *op, uint64_t from, uint64_t end, uint64_t length,
                  uint64_t align)
{
    if (length > end - from)
        length = end - from;
    op->offset = (from + below(lane, end - from - length + 1)) / align * align;
    if (op->offset < from)
        op->offset = from;
    op->length = (uint32_t)length;
}

/* What Windows and QEMU write to the metadata: headers, log pages; and odd pieces of them. */
static void next_meta(struct lane *lane, struct op *op)
{
    uint64_t dice = below(lane, 100);

    if (dice < 20) {
        op->kind = OP_HEADER;
        op->offset = op->number % 2 ? VHDX_HEADER_2_AT : VHDX_HEADER_1_AT;
        op->length = VHDX_HEADER_SIZE;
    } else if (dice < 60) {
        place(lane, op, VHDX_LOG_AT, VHDX_LOG_AT + VHDX_LOG_SIZE,
              ORACLE_PAGE * (1 + below(lane, 8)), ORACLE_PAGE);
    } else if (dice < 80) {
        place(lane, op, SPARE_METADATA, VHDX_BAT_AT, 1 + below(lane, 9000), 1);
    } else {
        place(lane, op, VHDX_LOG_AT, VHDX_LOG_AT + VHDX_LOG_SIZE, 512 * (1 + below(lane, 40)), 512);
    }
}

static void next_payload(struct lane *lane, struct op *op)
{
    uint64_t from = lane->write_from, end = lane->write_end, dice = below(lane, 100);
    uint64_t largest = lane->all->largest;

    if (dice < 30) {
        place(lane, op, from, end, ORACLE_PAGE, ORACLE_PAGE);
    } else if (dice < 60) {
        place(lane, op, from, end, 512 * (1 + below(lane, largest / 4096)), 512);
    } else if (dice < 80) {
        place(lane, op, from, end, 1 + below(lane, 5000), 1);
    } else if (dice < 90) {
        place(lane, op, from, end, 4096 * (1 + below(lane, largest / 4096)), 4096);
    } else {
        op->kind = OP_ZERO;
        place(lane, op, from, end, 1 + below(lane, largest), dice < 95 ? 4096 : 1);
        if (dice == 99) {
            op->kind = OP_BAT_ZERO;
            place(lane, op, from, end, BLOCK, BLOCK);
        }
    }
}

/* The state of the block's entry says: zeros; its offset stays. */
static int zero_block(struct lanes *lanes, const struct op *op)
{
    uint64_t block = (op->offset - lanes->payload) / BLOCK;
    uint8_t entry[8];

    put_le64(entry, op->offset | VHDX_BLOCK_ZERO);
    return pwrite_full(lanes->fd, entry, sizeof(entry), VHDX_BAT_AT + 8 * block);
}

/* Writes and asks for it to be on stable storage when it is acknowledged. */
static int write_durably(int fd, const void *data, size_t length, uint64_t offset)
{
    struct iovec range = {(void *)(uintptr_t)data, length};
    ssize_t n = pwritev2(fd, &range, 1, (off_t)offset, RWF_DSYNC);

    return n == (ssize_t)length ? 0 : n < 0 ? -errno : -EIO;
}

static int issue(struct lane *lane, const struct op *op, uint8_t *buffer, bool durably)
{
    struct lanes *lanes = lane->all;
    bool aligned = (op->offset | op->length) % 4096 == 0;

    if (op->kind == OP_BAT_ZERO)
        return zero_block(lanes, op);
    if (op->kind == OP_ZERO) {
        int mode = op->number % 2 ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE;

        return fallocate(lanes->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)op->offset, op->length)
                   ? -errno
                   : 0;
    }
    op_fill(lane->oracle.seed, op, 0, buffer, op->length);
    if (durably)
        return write_durably(lanes->fd, buffer, op->length, op->offset);
    return pwrite_full(aligned && below(lane, 2) ? lanes->direct_fd : lanes->fd, buffer, op->length,
                       op->offset);
}

/* All operations before the next one are on stable storage. */
static int flushed(struct lane *lane)
{
    struct record record = {.kind = RECORD_FLUSHED, .lane = lane->id, .op.number = lane->next};

    oracle_flush(&lane->oracle, lane->next);
    lane->all->flushes++;
    return lanes_record(lane->all, &record);
}

static int flush(struct lane *lane)
{
    if (below(lane, 2) ? fsync(lane->all->fd) : fdatasync(lane->all->fd)) {
        int rc = -errno;

        if (!lane->all->dying)
            fprintf(stderr, "lane %u: flush: %s\n", lane->id, strerror(-rc));
        return rc;
    }
    return flushed(lane);
}

static int step(struct lane *lane, uint8_t *buffer)
{
    struct record record = {.kind = RECORD_BEGIN, .lane = lane->id};
    bool durably;
    int rc;

    if (lane->all->pause)
        usleep((useconds_t)below(lane, 2 * lane->all->pause));
    if (below(lane, 12) == 0)
        return flush(lane);
    record.op.number = lane->next;
    record.op.kind = OP_WRITE;
    if (lane->id == 0)
        next_meta(lane, &record.op);
    else
        next_payload(lane, &record.op);
    durably = record.op.kind != OP_ZERO && record.op.kind != OP_BAT_ZERO && below(lane, 16) == 0;
    rc = oracle_begin(&lane->oracle, &record.op);
    if (!rc)
        rc = lanes_record(lane->all, &record);
    if (!rc)
        rc = issue(lane, &record.op, buffer, durably);
    if (rc) {
        if (lane->all->dying)
            return rc;
        fprintf(stderr, "lane %u: operation %lu, kind %u, %lu+%u: %s\n", lane->id,
                (unsigned long)record.op.number, record.op.kind, (unsigned long)record.op.offset,
                record.op.length, strerror(-rc));
        return rc;
    }
    lane->next++;
    lane->all->operations++;
    return durably ? flushed(lane) : 0;
}

static void *lane_main(void *data)
{
    struct lane *lane = data;
    uint8_t *buffer = NULL;

    lane->error = 0;
    if (posix_memalign((void **)&buffer, 4096, 2 * MIB))
        lane->error = -ENOMEM;
    while (!lane->error && !lane->all->stop)
        lane->error = step(lane, buffer);
    free(buffer);
    return NULL;
}

int lanes_start(struct lanes *lanes)
{
    lanes->stop = false;
    for (unsigned i = 0; i < WRITERS; i++) {
        int rc = pthread_create(&lanes->lane[i].thread, NULL, lane_main, &lanes->lane[i]);

        if (rc)
            return -rc;
    }
    return 0;
}

int lanes_join(struct lanes *lanes)
{
    int rc = 0;

    for (unsigned i = 0; i < WRITERS; i++) {
        pthread_join(lanes->lane[i].thread, NULL);
        if (!rc)
            rc = lanes->lane[i].error;
    }
    return rc;
}
