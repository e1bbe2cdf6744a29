/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The same tests on every kind of thing there is: a file, buffered and direct, and, for root,
 * loop devices with sectors of 512 and of 4096 bytes.
 */
#include "device/backing.h"

#include "common/cleanup.h"
#include "common/io.h"
#include "tests/unit/shadow.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#define SIZE (4 * MIB + 8192)

struct kind {
    const char *name;
    bool in_memory, is_block, direct;
    uint32_t align; /* and the loop device's sector */
};

static const struct kind kinds[] = {
    {"buffered file", true, false, false, 1},
    {"direct file, 512", false, false, true, 512},
    {"direct file, 4096", false, false, true, 4096},
    {"direct file in memory, 4096", true, false, true, 4096},
    {"loop device, 512", true, true, true, 512},
    {"loop device, 4096", true, true, true, 4096},
};

static struct rng rng;
static const struct kind *kind;
static char *path;
static struct loop loop;
static struct backing backing;
static uint8_t *oracle, *found;

static int setup(void **state)
{
    static const char *dirs[2];
    const char *name;

    kind = *state;
    loop.fd = -1;
    if (!dirs[kind->in_memory])
        dirs[kind->in_memory] = temp_dir(kind->in_memory);
    path = join(dirs[kind->in_memory], "image");
    oracle = malloc(SIZE);
    found = malloc(SIZE);
    rng_fill(&rng, oracle, SIZE);
    make_file(path, SIZE);
    write_file(path, oracle, SIZE, 0);
    name = path;
    if (kind->is_block) {
        int err = loop_attach(&loop, path, kind->align);

        if (err) {
            print_message("no loop device (%s)\n", strerror(-err));
            return 0;
        }
        name = loop.path;
    }
    int fd = open(name, O_RDWR | O_CLOEXEC | (kind->direct ? O_DIRECT : 0));

    if (fd < 0) {
        print_message("%s: %s\n", name, strerror(errno));
        return 0;
    }
    assert_int_equal(backing_init(&backing, fd, kind->is_block, kind->direct, kind->align, SIZE),
                     0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (backing.disk.operations)
        backing_close(&backing);
    backing = (struct backing){0};
    loop_detach(&loop);
    unlink(path);
    free(path);
    free(oracle);
    free(found);
    return 0;
}

#define NEED_BACKING()                                                                             \
    do {                                                                                           \
        if (!backing.disk.operations)                                                              \
            skip();                                                                                \
    } while (0)

/* By the backing itself, and by somebody else through the page cache. */
static void assert_all(void)
{
    memset(found, 0xee, SIZE);
    assert_int_equal(disk_read(&backing.disk, found, SIZE, 0), 0);
    assert_memory_equal(found, oracle, SIZE);
    assert_int_equal(disk_flush(&backing.disk), 0);
    read_file(kind->is_block ? loop.path : path, found, SIZE, 0);
    assert_memory_equal(found, oracle, SIZE);
}

static void assert_near(uint64_t offset, uint64_t length)
{
    uint64_t start = offset > 8192 ? offset - 8192 : 0;
    uint64_t end = min_u64(offset + length + 8192, SIZE);

    assert_int_equal(disk_read(&backing.disk, found, (size_t)(end - start), start), 0);
    assert_memory_equal(found, oracle + start, end - start);
}

/* Offsets and lengths around everything that could be a unit somewhere. */
static const uint64_t around[] = {0,    1,    7,    511,  512,  513,  1024,  1025,
                                  4095, 4096, 4097, 4608, 8191, 8192, 12288, 12289};

static uint8_t *aligned_memory(size_t size)
{
    void *memory = NULL;

    assert_int_equal(posix_memalign(&memory, 4096, size), 0);
    return memory;
}

/* Memory at any alignment too. */
static void test_reads(void **state)
{
    uint8_t *memory;

    (void)state;
    NEED_BACKING();
    memory = aligned_memory(SIZE + 4096);
    for (size_t i = 0; i < ARRAY_SIZE(around); i++)
        for (size_t j = 0; j < ARRAY_SIZE(around); j++)
            for (size_t skew = 0; skew < 600; skew += 200) {
                memset(memory, 0xee, 65536);
                assert_int_equal(
                    disk_read(&backing.disk, memory + skew, around[j], 3 * 4096 + around[i]), 0);
                assert_memory_equal(memory + skew, oracle + 3 * 4096 + around[i], around[j]);
                assert_int_equal(memory[skew + around[j]], 0xee);
            }
    for (size_t skew = 0; skew < 2; skew++) { /* longer than a bounce buffer, to the very end */
        assert_int_equal(disk_read(&backing.disk, memory + skew, SIZE - 1, 1), 0);
        assert_memory_equal(memory + skew, oracle + 1, SIZE - 1);
    }
    free(memory);
}

static void write_both(uint64_t offset, size_t length, size_t skew)
{
    static uint8_t *memory;

    if (!memory)
        memory = aligned_memory(SIZE + 4096);
    rng_fill(&rng, memory + skew, length);
    memcpy(oracle + offset, memory + skew, length);
    assert_int_equal(disk_write(&backing.disk, memory + skew, length, offset), 0);
}

static void test_writes(void **state)
{
    (void)state;
    NEED_BACKING();
    for (size_t i = 0; i < ARRAY_SIZE(around); i++)
        for (size_t j = 0; j < ARRAY_SIZE(around); j++) {
            write_both(5 * 4096 + around[i], around[j], (i + j) % 3);
            assert_near(5 * 4096 + around[i], around[j]);
        }
    write_both(0, 1, 0);
    write_both(SIZE - 1, 1, 0);
    write_both(1, 2 * MIB + 77, 1); /* several bounce buffers */
    write_both(MIB - 1, 2 * MIB + 2, 0);
    write_both(SIZE - MIB - 512, MIB + 512, 8);
    write_both(SIZE - 3 * MIB, 3 * MIB, 0);
    for (int n = 0; n < 300; n++) {
        uint64_t offset = rng_below(&rng, SIZE);

        write_both(offset, (size_t)rng_below(&rng, min_u64(SIZE - offset, 70000)),
                   (size_t)rng_below(&rng, 9));
    }
    assert_all();
    assert_int_equal(file_size(path), SIZE);
}

static void zero_both(uint64_t offset, uint64_t length, bool discard)
{
    memset(oracle + offset, 0, length);
    assert_int_equal(disk_zero(&backing.disk, offset, length, discard), 0);
    assert_near(offset, length);
}

/* With whatever the device can and cannot do. */
static void zero_everywhere(void)
{
    for (int discard = 0; discard < 2; discard++) {
        for (size_t i = 0; i < ARRAY_SIZE(around); i++)
            for (size_t j = 0; j < ARRAY_SIZE(around); j++) {
                uint64_t offset = (7 + 8 * (uint64_t)discard) * 4096 + around[i];

                write_both(offset > 4096 ? offset - 4096 : 0, 32768, 0);
                zero_both(offset, around[j], discard);
            }
        write_both(0, SIZE, 0);
        zero_both(SIZE - 1, 1, discard);
        zero_both(0, 1, discard);
        zero_both(MIB + 3, 2 * MIB + 5, discard);
        zero_both(SIZE - 8192, 8192, discard);
        assert_all();
        zero_both(0, SIZE, discard);
    }
    assert_all();
    assert_int_equal(file_size(path), SIZE);
}

static void test_zeros(void **state)
{
    (void)state;
    NEED_BACKING();
    zero_everywhere();
}

static void test_zeros_without_discard(void **state)
{
    (void)state;
    NEED_BACKING();
    backing.no_discard = true;
    zero_everywhere();
}

static void test_zeros_without_help(void **state)
{
    (void)state;
    NEED_BACKING();
    atomic_store(&backing.no_punch, true);
    atomic_store(&backing.no_zero_range, true);
    zero_everywhere();
}

static uint64_t room_taken(void)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return (uint64_t)st.st_blocks * 512;
}

/* A discard gives the room back, zeros without it keep it. */
static void test_room(void **state)
{
    uint64_t full;

    (void)state;
    NEED_BACKING();
    assert_int_equal(disk_flush(&backing.disk), 0);
    full = room_taken();
    assert_int_equal(disk_zero(&backing.disk, MIB, MIB, true), 0);
    if (!atomic_load(&backing.no_punch))
        assert_true(room_taken() <= full - MIB / 2);
    assert_int_equal(disk_write(&backing.disk, oracle, SIZE, 0), 0);
    backing.no_discard = true;
    assert_int_equal(disk_flush(&backing.disk), 0);
    full = room_taken();
    assert_int_equal(disk_zero(&backing.disk, MIB, MIB, true), 0);
    if (!kind->is_block) /* how a loop device zeroes is the kernel's business */
        assert_true(room_taken() >= full);
}

/* Threads own bytes, not sectors: every THREADS-th byte of a few sectors is one thread's. */
#define THREADS 8
#define SHARED  (3 * 4096)

static void *write_own_bytes(void *arg)
{
    unsigned self = (unsigned)(uintptr_t)arg;

    for (unsigned round = 1; round <= 40; round++)
        for (size_t i = 0; i < 24; i++) {
            uint8_t value = (uint8_t)(round + self);
            uint64_t at = MIB + self + THREADS * ((i * 61 + round) % (SHARED / THREADS));

            if (disk_write(&backing.disk, &value, 1, at) < 0)
                return "a write failed";
            if (disk_read(&backing.disk, &value, 1, at) < 0 || value != (uint8_t)(round + self))
                return "a byte of mine was overwritten";
        }
    return NULL;
}

/* Aligned writes and zeros beside them, which need no lock but must respect one. */
static void *write_beside(void *arg)
{
    uint8_t *data = aligned_memory(4096), *seen = malloc(4096);
    const char *wrong = NULL;

    (void)arg;
    for (unsigned round = 0; !wrong && round < 200; round++) {
        memset(data, (int)round, 4096);
        if (disk_write(&backing.disk, data, 4096, MIB + SHARED) < 0 ||
            disk_read(&backing.disk, seen, 4096, MIB + SHARED) < 0 || memcmp(seen, data, 4096) != 0)
            wrong = "an aligned write was undone";
        if (!wrong &&
            (disk_zero(&backing.disk, MIB + SHARED, 4096, round % 2) < 0 ||
             disk_read(&backing.disk, seen, 4096, MIB + SHARED) < 0 || !is_zero(seen, 4096)))
            wrong = "zeros were undone";
    }
    free(data);
    free(seen);
    return (void *)(uintptr_t)wrong;
}

/* The unaligned neighbour of the aligned one: its unit begins where the other's ends. */
static void *write_across(void *arg)
{
    (void)arg;
    for (unsigned round = 0; round < 200; round++) {
        uint8_t data[100];

        memset(data, (int)round, sizeof(data));
        if (disk_write(&backing.disk, data, sizeof(data), MIB + SHARED + 4096 + 50) < 0)
            return "a write failed";
    }
    return NULL;
}

static void test_no_write_is_lost(void **state)
{
    pthread_t threads[THREADS + 2];
    uint8_t shared[SHARED];
    void *first_wrong = NULL;

    (void)state;
    NEED_BACKING();
    assert_int_equal(disk_zero(&backing.disk, MIB, SHARED, false), 0);
    for (uintptr_t i = 0; i < THREADS + 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL,
                                        i < THREADS    ? write_own_bytes
                                        : i == THREADS ? write_beside
                                                       : write_across,
                                        (void *)i),
                         0);
    for (size_t i = 0; i < THREADS + 2; i++) {
        void *wrong;

        pthread_join(threads[i], &wrong);
        if (wrong)
            first_wrong = wrong;
    }
    if (first_wrong)
        fail_msg("%s", (const char *)first_wrong);
    assert_int_equal(disk_read(&backing.disk, shared, SHARED, MIB), 0);
    for (unsigned self = 0; self < THREADS; self++) { /* the last round of each, in order */
        uint8_t wanted[SHARED / THREADS] = {0};

        for (unsigned round = 1; round <= 40; round++)
            for (size_t i = 0; i < 24; i++)
                wanted[(i * 61 + round) % (SHARED / THREADS)] = (uint8_t)(round + self);
        for (size_t i = 0; i < SHARED / THREADS; i++)
            assert_int_equal(shared[self + THREADS * i], wanted[i]);
    }
}

/* What a failed flush has dropped cannot be written again, so no flush may succeed. */
static void test_failed_flush(void **state)
{
    (void)state;
    NEED_BACKING();
    shadow_fail_flush(0, EIO, 1);
    assert_int_equal(disk_flush(&backing.disk), -EIO);
    assert_int_equal(disk_flush(&backing.disk), -EIO);
}

static void test_failed_write(void **state)
{
    (void)state;
    NEED_BACKING();
    shadow_fail_write(0, 0, EIO);
    assert_int_equal(disk_write(&backing.disk, oracle, 4096, 0), -EIO);
    shadow_fail_write(0, 0, ENOSPC);
    assert_int_equal(disk_write(&backing.disk, "x", 1, 77), -ENOSPC);
    shadow_fail_write(0, 0, EIO); /* zeros at an edge are written */
    assert_int_equal(disk_zero(&backing.disk, 1, 100, true), -EIO);
    assert_false(shadow_armed());
    assert_all();
    write_both(77, 1, 0); /* and no lock was left locked */
    assert_all();
}

#define TEST(function, kind)                                                                       \
    {                                                                                              \
#function, function, setup, teardown, (void *)(uintptr_t)(kind)                            \
    }

int main(void)
{
    int failures = 0;

    umask(077);
    rng.state = test_seed("test_backing");
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        const struct CMUnitTest tests[] = {
            TEST(test_reads, &kinds[i]),
            TEST(test_writes, &kinds[i]),
            TEST(test_zeros, &kinds[i]),
            TEST(test_zeros_without_discard, &kinds[i]),
            TEST(test_zeros_without_help, &kinds[i]),
            TEST(test_room, &kinds[i]),
            TEST(test_no_write_is_lost, &kinds[i]),
            TEST(test_failed_flush, &kinds[i]),
            TEST(test_failed_write, &kinds[i]),
        };

        failures += cmocka_run_group_tests_name(kinds[i].name, tests, NULL, NULL);
    }
    return failures;
}
