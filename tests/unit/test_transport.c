/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parts of the transport that need no FUSE: messages, pace, slots, threads, and the ring. */
#include "fuse/pace.h"
#include "fuse/ring.h"
#include "fuse/wire.h"
#include "fuse/workers.h"
#include "tests/unit/support.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INODE 2
#define MAX   SLOT_PAYLOAD

static uint8_t message[SLOT_MESSAGE + 4096];

/* A message with BODY, SIZE bytes, and EXTRA bytes behind; returns its length. */
static size_t make_message(uint32_t opcode, uint64_t inode, const void *body, size_t size,
                           size_t extra)
{
    struct fuse_in_header head = {.len = (uint32_t)(sizeof(head) + size + extra),
                                  .opcode = opcode,
                                  .unique = 4711,
                                  .nodeid = inode};

    memcpy(message, &head, sizeof(head));
    if (size)
        memcpy(message + sizeof(head), body, size);
    return head.len;
}

static enum wire_kind kind_of(size_t length)
{
    struct wire_request r;

    assert_true(wire_parse(message, length, MAX, &r));
    assert_int_equal(r.unique, 4711);
    return r.kind;
}

static void test_read(void **state)
{
    struct fuse_read_in in = {.offset = UINT64_C(1) << 40, .size = MAX};
    size_t n = make_message(FUSE_READ, INODE, &in, sizeof(in), 0);
    struct wire_request r;

    (void)state;
    assert_true(wire_parse(message, n, MAX, &r));
    assert_int_equal(r.kind, WIRE_READ);
    assert_int_equal(r.inode, INODE);
    assert_int_equal(r.offset, in.offset);
    assert_int_equal(r.size, in.size);
    in.size = MAX + 1; /* would not fit */
    assert_int_equal(kind_of(make_message(FUSE_READ, INODE, &in, sizeof(in), 0)), WIRE_BROKEN);
    in.size = 1;
    assert_int_equal(kind_of(make_message(FUSE_READ, INODE, &in, sizeof(in) - 1, 0)), WIRE_BROKEN);
}

static void test_write(void **state)
{
    struct fuse_write_in in = {.offset = 12345, .size = 4096, .flags = O_RDWR | O_DSYNC};
    struct wire_request r;
    size_t n = make_message(FUSE_WRITE, INODE, &in, sizeof(in), 4096);

    (void)state;
    assert_int_equal(n, WIRE_BEFORE_WRITE + 4096);
    assert_true(wire_parse(message, n, MAX, &r));
    assert_int_equal(r.kind, WIRE_WRITE);
    assert_int_equal(r.offset, 12345);
    assert_int_equal(r.flags, O_RDWR | O_DSYNC);
    assert_int_equal(r.size, 4096);
    /* A payload that is not all there must not be taken from what the slot held before. */
    assert_int_equal(kind_of(make_message(FUSE_WRITE, INODE, &in, sizeof(in), 4095)), WIRE_BROKEN);
    in.size = MAX + 1;
    n = make_message(FUSE_WRITE, INODE, &in, sizeof(in), MAX + 1);
    assert_int_equal(kind_of(n), WIRE_BROKEN);
    in.size = UINT32_MAX;
    n = make_message(FUSE_WRITE, INODE, &in, sizeof(in), 4096);
    assert_int_equal(kind_of(n), WIRE_BROKEN);
}

static void test_others(void **state)
{
    struct fuse_open_in in = {.flags = O_RDWR};
    struct wire_request r;
    size_t n = make_message(FUSE_OPEN, INODE, &in, sizeof(in), 0);

    (void)state;
    assert_true(wire_parse(message, n, MAX, &r));
    assert_int_equal(r.kind, WIRE_OPEN);
    assert_int_equal(r.flags, O_RDWR);
    assert_int_equal(r.inode, INODE);
    assert_string_equal(wire_name(r.opcode), "OPEN");
    assert_string_equal(wire_name(0), "?");
    assert_string_equal(wire_name(UINT32_MAX), "?");
    assert_int_equal(kind_of(make_message(FUSE_OPEN, 1, &in, 1, 0)), WIRE_BROKEN);
    assert_int_equal(kind_of(make_message(FUSE_FSYNC, INODE, NULL, 0, 0)), WIRE_OTHER);
    assert_int_equal(kind_of(make_message(FUSE_GETATTR, INODE, NULL, 0, 0)), WIRE_SHORT);
    assert_int_equal(kind_of(make_message(FUSE_LOOKUP, 1, "name", 5, 0)), WIRE_OTHER);
    assert_int_equal(kind_of(make_message(FUSE_INTERRUPT, 0, NULL, 0, 0)), WIRE_IGNORE);
    assert_int_equal(kind_of(make_message(9999, 0, NULL, 0, 0)), WIRE_OTHER);
    assert_false(wire_parse(message, n + 1, MAX, &r));
    for (size_t i = 0; i < sizeof(struct fuse_in_header); i++)
        assert_false(wire_parse(message, i, MAX, &r));
}

static void test_replies(void **state)
{
    uint8_t reply[WIRE_BEFORE_REPLY], payload[WIRE_PAYLOAD_MAX];
    struct fuse_out_header head;
    struct fuse_open_out opened;
    struct fuse_write_out written;

    (void)state;
    wire_put_reply(reply, 99, 0, 4096);
    memcpy(&head, reply, sizeof(head));
    assert_int_equal(head.len, 4096 + sizeof(head));
    assert_int_equal(head.unique, 99);
    assert_int_equal(head.error, 0);
    wire_put_reply(reply, 99, -EIO, 0);
    memcpy(&head, reply, sizeof(head));
    assert_int_equal(head.len, sizeof(head));
    assert_int_equal(head.error, -EIO);
    assert_int_equal(wire_put_written(payload, 512), sizeof(written));
    memcpy(&written, payload, sizeof(written));
    assert_int_equal(written.size, 512);
    assert_int_equal(wire_put_opened(payload), sizeof(opened));
    memcpy(&opened, payload, sizeof(opened));
    assert_int_equal(opened.open_flags, FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES);
    assert_int_equal(opened.fh, 0);
}

static void test_pace(void **state)
{
    struct pace pace = {0};

    (void)state;
    assert_true(pace_is_quick(&pace));
    for (int i = 0; i < 100; i++)
        pace_add(&pace, 12000, 4096);
    assert_true(pace_is_quick(&pace));
    for (int i = 0; i < 100; i++)
        pace_add(&pace, 900000, MIB); /* its size, not its latency */
    assert_true(pace_is_quick(&pace));
    for (int i = 0; i < 5; i++)
        pace_add(&pace, 8000000, 4096); /* a disk that turns */
    assert_false(pace_is_quick(&pace));
    for (int i = 0; i < 40; i++)
        pace_add(&pace, 12000, 4096);
    assert_true(pace_is_quick(&pace));
}

static void test_slots(void **state)
{
    struct slots slots;
    struct slot *taken[5];

    (void)state;
    assert_int_equal(slots_make(&slots, 5), 0);
    for (int i = 0; i < 5; i++) {
        taken[i] = slots_take(&slots, false);
        assert_non_null(taken[i]);
        assert_int_equal((uintptr_t)taken[i]->payload % BACKING_MEMORY_ALIGN, 0);
        memset(slot_message(taken[i]), i, SLOT_MESSAGE);
    }
    assert_null(slots_take(&slots, false));
    for (int i = 0; i < 5; i++) { /* nobody wrote into another's */
        assert_int_equal(slot_message(taken[i])[0], i);
        assert_int_equal(slot_message(taken[i])[SLOT_MESSAGE - 1], i);
    }
    slots_put(&slots, taken[2]);
    slots_put(&slots, taken[4]);
    assert_ptr_equal(slots_take(&slots, true), taken[4]); /* the last one used */
    slots_free(&slots);
}

static struct slots shared;
static atomic_uint worked;

static void work(void *arg, struct slot *slot)
{
    assert_ptr_equal(arg, &worked);
    atomic_fetch_add(&worked, (unsigned)slot->length);
    slots_put(&shared, slot);
}

/* Each job is done once, also those that wait when the end comes; slots are waited for. */
static void test_workers(void **state)
{
    struct workers workers;
    unsigned given = 0;

    (void)state;
    worked = 0;
    assert_int_equal(slots_make(&shared, 3), 0);
    assert_int_equal(workers_start(&workers, work, &worked), 0);
    for (unsigned i = 1; i <= 2000; i++) {
        struct slot *slot = slots_take(&shared, true);

        slot->length = i;
        given += i;
        workers_give(&workers, slot);
    }
    workers_end(&workers);
    assert_int_equal(worked, given);
    assert_true(workers.count <= WORKERS_MAX);
    slots_free(&shared);
}

static void queue(struct ring *ring, struct slot *slot, int fd, bool write, unsigned page)
{
    slot->direct = (struct direct){.write = write, .fd = fd, .length = 4096, .offset = page * 4096};
    if (write)
        memset(slot->payload, (int)page + 1, 4096);
    ring_queue(ring, slot);
}

/* Waits for COUNT requests, and gives their slots back. */
static void await(struct ring *ring, struct slots *slots, unsigned count)
{
    while (count > 0) {
        struct slot *slot;
        int result;

        assert_int_equal(ring_wait(ring, -1), 0);
        while ((slot = ring_completed(ring, &result))) {
            assert_int_equal(result, 4096);
            if (!slot->direct.write)
                assert_int_equal(slot->payload[4095], slot->direct.offset / 4096 + 1);
            slots_put(slots, slot);
            count--;
        }
    }
}

/* More requests than entries, in both directions; and a descriptor that gets something to read. */
static void test_ring(void **state)
{
    char *path = join(temp_dir(false), "pages");
    struct slots slots;
    struct ring *ring;
    uint8_t page[4096];
    int fd, result, ends[2], err;

    (void)state;
    assert_int_equal(slots_make(&slots, 8), 0);
    err = ring_make(&ring, &slots);
    if (err) {
        print_message("no io_uring (%s)\n", strerror(-err));
        slots_free(&slots);
        skip();
    }
    make_file(path, 64 * 4096);
    fd = open(path, O_RDWR | O_CLOEXEC);
    for (int write = 1; write >= 0; write--)
        for (unsigned i = 0; i < 64; i += 8) {
            for (unsigned k = 0; k < 8; k++)
                queue(ring, slots_take(&slots, false), fd, write, i + k);
            assert_int_equal(ring_submit(ring), 0);
            await(ring, &slots, 8);
        }
    for (unsigned i = 0; i < 64; i++) {
        read_file(path, page, sizeof(page), i * 4096);
        assert_int_equal(page[0], i + 1);
    }
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(write(ends[1], "x", 1), 1);
    assert_int_equal(ring_wait(ring, ends[0]), 0); /* does not hang */
    assert_null(ring_completed(ring, &result));
    ring_free(ring);
    slots_free(&slots);
    close(ends[0]);
    close(ends[1]);
    close(fd);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),    cmocka_unit_test(test_write), cmocka_unit_test(test_others),
        cmocka_unit_test(test_replies), cmocka_unit_test(test_pace),  cmocka_unit_test(test_slots),
        cmocka_unit_test(test_workers), cmocka_unit_test(test_ring),
    };

    return cmocka_run_group_tests_name("transport", tests, NULL, NULL);
}
