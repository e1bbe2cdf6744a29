/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a request becomes before anything is asked of the partition. The kernel's place is taken by
 * the other end of a pair of sockets; no request here reaches libfuse.
 */
#include "fuse/serve.h"
#include "tests/unit/support.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <linux/fuse.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BESIDE (BESIDE_INODES + 1)

static struct options options;
static struct tree tree = {.options = &options};
static struct server server = {.tree = &tree};
static struct slots slots;
static int kernel;

static int setup(void **state)
{
    int ends[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    server.fd = ends[0];
    kernel = ends[1];
    return slots_make(&slots, 1);
}

static int teardown(void **state)
{
    (void)state;
    close(server.fd);
    close(kernel);
    slots_free(&slots);
    return 0;
}

/* Sends a message with SIZE bytes of BODY; returns what was received. */
static struct slot *receive(uint32_t opcode, uint64_t inode, const void *body, size_t size)
{
    struct slot *slot = slots_take(&slots, false);
    uint8_t message[256];
    struct fuse_in_header head = {
        .len = (uint32_t)(sizeof(head) + size), .opcode = opcode, .unique = 4711, .nodeid = inode};

    memcpy(message, &head, sizeof(head));
    memcpy(message + sizeof(head), body, size);
    assert_int_equal(write(kernel, message, head.len), head.len);
    assert_int_equal(serve_receive(&server, slot), 0);
    return slot;
}

static void expect_kind(enum wire_kind kind, uint32_t opcode, uint64_t inode, const void *body,
                        size_t size)
{
    struct slot *slot = receive(opcode, inode, body, size);

    assert_int_equal(slot->request.kind, kind);
    slots_put(&slots, slot);
}

static void expect_error(int err, uint32_t opcode, uint64_t inode, const void *body, size_t size)
{
    struct slot *slot = receive(opcode, inode, body, size);
    struct fuse_out_header reply;

    serve_request(&server, slot);
    slots_put(&slots, slot);
    assert_int_equal(read(kernel, &reply, sizeof(reply)), sizeof(reply));
    assert_int_equal(reply.len, sizeof(reply));
    assert_int_equal(reply.unique, 4711);
    assert_int_equal(reply.error, err);
}

/* Views are served here, files beside them by libfuse. */
static void test_whose(void **state)
{
    struct fuse_read_in in = {.size = 4096};
    struct fuse_open_in open_in = {.flags = O_RDONLY};

    (void)state;
    expect_kind(WIRE_READ, FUSE_READ, VHDX_INODE, &in, sizeof(in));
    expect_kind(WIRE_READ, FUSE_READ, DISK_INODE, &in, sizeof(in));
    expect_kind(WIRE_OTHER, FUSE_READ, BESIDE, &in, sizeof(in));
    expect_kind(WIRE_OPEN, FUSE_OPEN, VHDX_INODE, &open_in, sizeof(open_in));
    expect_kind(WIRE_OTHER, FUSE_OPEN, BESIDE, &open_in, sizeof(open_in));
    expect_kind(WIRE_OTHER, FUSE_OPEN, FUSE_ROOT_ID, &open_in, sizeof(open_in));
    tree.is_file = true;
    expect_kind(WIRE_READ, FUSE_READ, FUSE_ROOT_ID, &in, sizeof(in));
    expect_kind(WIRE_OPEN, FUSE_OPEN, FUSE_ROOT_ID, &open_in, sizeof(open_in));
    tree.is_file = false;
}

/* What is not whole, or larger than was agreed, gets an error, whatever it is of. */
static void test_broken(void **state)
{
    const uint64_t inodes[] = {VHDX_INODE, DISK_INODE, BESIDE, FUSE_ROOT_ID};
    struct fuse_read_in in = {.size = SLOT_PAYLOAD + 1};
    struct fuse_write_in out = {.size = 1};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(inodes); i++) {
        log_forget();
        expect_error(-EINVAL, FUSE_READ, inodes[i], &in, sizeof(in));
        assert_non_null(strstr(logged(), "a READ that is not whole"));
        expect_error(-EINVAL, FUSE_READ, inodes[i], &in, sizeof(in) - 1);
        expect_error(-EINVAL, FUSE_WRITE, inodes[i], &out, sizeof(out)); /* its byte is not there */
        expect_error(-EINVAL, FUSE_WRITE, inodes[i], &out, 4);
        expect_error(-EINVAL, FUSE_OPEN, inodes[i], &in, 4);
        assert_int_equal(logged_count(), 5);
    }
}

/* Refused before the partition is asked. */
static void test_read_only(void **state)
{
    struct fuse_open_in in = {.flags = O_RDWR};

    (void)state;
    options.settings.read_only = true;
    expect_error(-EROFS, FUSE_OPEN, VHDX_INODE, &in, sizeof(in));
    options.settings.read_only = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whose),
        cmocka_unit_test(test_broken),
        cmocka_unit_test(test_read_only),
    };

    return cmocka_run_group_tests_name("serve", tests, setup, teardown);
}
