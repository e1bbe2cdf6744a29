/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An export under many threads: each opens, works, and releases, so that the device is
 * claimed and given back in between. To be run under ThreadSanitizer as well (configure
 * --with-sanitizers=thread). THREAD_ROUNDS says for how long.
 */
#include "common/bytes.h"
#include "export/export.h"
#include "tests/unit/support.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define UUID    "6b29fc40-ca47-1067-b31d-00dd010662da"
#define THREADS 8
#define OWN     (1 * MIB) /* of the disk, for each thread alone: whole blocks */
#define DISK    ((THREADS + 4) * MIB)
#define SHARED  ((THREADS + 2) * MIB) /* at this offset of the disk all write */
#define COMMON  65536                 /* so many bytes */

static struct exported exported;
static struct export_settings settings = {.name = (char[]){"ext4.vhdx"}};
static char *image, *state_dir;
static uint64_t P, rounds;
static atomic_uint by_hands;

struct worker {
    pthread_t thread;
    unsigned self;
    struct rng rng;
    uint8_t *own;      /* what its part of the disk holds */
    uint8_t page[512]; /* and its part of a page of the log */
    uint8_t *found;
    const char *wrong;
    unsigned blocks, opens;
};

static bool is_ok(struct worker *w, bool good, const char *wrong)
{
    if (!good && !w->wrong)
        w->wrong = wrong;
    return good;
}

/* As the transport does what goes to the device alone; false when this does not. */
static bool by_hand(bool write, void *data, size_t length, uint64_t offset)
{
    struct direct direct;
    ssize_t n;

    if (!export_begin(&exported, VIEW_VHDX, &direct, write, data, length, offset))
        return false;
    n = write ? pwrite(direct.fd, data, length, (off_t)direct.offset)
              : pread(direct.fd, data, length, (off_t)direct.offset);
    export_end(&exported, VIEW_VHDX, &direct, n < 0 ? -errno : 0);
    atomic_fetch_add(&by_hands, 1);
    return n == (ssize_t)length;
}

static bool write_all(void *data, size_t length, uint64_t offset)
{
    size_t done;

    if (by_hand(true, data, length, offset))
        return true;
    return export_write(&exported, VIEW_VHDX, data, length, offset, &done) == 0 && done == length;
}

static bool read_all(void *data, size_t length, uint64_t offset)
{
    size_t done;

    if (by_hand(false, data, length, offset))
        return true;
    return export_read(&exported, VIEW_VHDX, data, length, offset, &done) == 0 && done == length;
}

static uint64_t own_at(const struct worker *w)
{
    return P + w->self * OWN;
}

static void work_on_own(struct worker *w)
{
    uint64_t at = rng_below(&w->rng, OWN);
    size_t n = (size_t)rng_below(&w->rng, min_u64(OWN - at, 20000) + 1);

    if (rng_one_in(&w->rng, 2)) {
        at = round_down(at, 4096);
        n = (size_t)min_u64(OWN - at, round_up(n, 4096));
    }
    switch (rng_below(&w->rng, 4)) {
    case 0:
        memset(w->own + at, 0, n);
        is_ok(w, export_zero(&exported, VIEW_VHDX, own_at(w) + at, n, rng_one_in(&w->rng, 2)) == 0,
              "zeroing failed");
        break;
    case 1:
        is_ok(w, read_all(w->found, n, own_at(w) + at) && !memcmp(w->found, w->own + at, n),
              "own bytes differ");
        break;
    default:
        rng_fill(&w->rng, w->own + at, n);
        is_ok(w, !n || write_all(w->own + at, n, own_at(w) + at), "a write failed");
    }
}

/* Eight threads have 512 bytes each of the same page of the log. */
static void work_on_metadata(struct worker *w)
{
    uint64_t at = VHDX_LOG_AT + 512 * w->self;
    size_t start = (size_t)rng_below(&w->rng, 512);

    is_ok(w, read_all(w->found, 512, at) && !memcmp(w->found, w->page, 512),
          "own metadata differs");
    rng_fill(&w->rng, w->page + start, 512 - start);
    is_ok(w, write_all(w->page + start, 512 - start, at + start), "a metadata write failed");
    is_ok(w, read_all(w->found, 4096, VHDX_METADATA_AT), "reading metadata failed");
}

/* The block of this thread, asked to be zeros through the table; block b is at entry b. */
static void work_on_bat(struct worker *w)
{
    uint8_t entry[8];

    put_le64(entry, (P + w->self * OWN) | (rng_one_in(&w->rng, 2) ? 2 : 3));
    memset(w->own, 0, OWN);
    is_ok(w, write_all(entry, 8, VHDX_BAT_AT + 8 * (uint64_t)w->self), "a BAT write failed");
    is_ok(w, read_all(w->found, OWN, own_at(w)) && is_zero(w->found, OWN), "no zeros");
    put_le64(entry, 77);
    is_ok(w, !write_all(entry, 8, VHDX_BAT_AT + 8 * (uint64_t)w->self), "nonsense was accepted");
}

/*
 * Where all write at once, any of them may win, but nobody's byte becomes a third one: each
 * writes its own number. The byte at its own place in every eight is never another's.
 */
static void work_on_shared(struct worker *w)
{
    uint64_t at = rng_below(&w->rng, COMMON - 8192);
    size_t n = 1 + (size_t)rng_below(&w->rng, 8192);

    memset(w->found, (int)w->self + 1, n);
    is_ok(w, write_all(w->found, n, P + SHARED + at), "a shared write failed");
    is_ok(w, read_all(w->found, n, P + SHARED + at), "a shared read failed");
    for (size_t i = 0; i < n; i++)
        is_ok(w, w->found[i] >= 1 && w->found[i] <= THREADS, "a byte that nobody wrote");
    at = P + SHARED + COMMON + w->self + 8 * rng_below(&w->rng, 256);
    w->found[0] = (uint8_t)(100 + w->self);
    is_ok(w, write_all(w->found, 1, at), "a byte's write failed");
    is_ok(w, read_all(w->found, 1, at) && w->found[0] == 100 + w->self, "my byte is lost");
}

/* The guarded head of the disk: thread 0 alone owns it, the others read. */
static void work_on_head(struct worker *w)
{
    uint8_t head[4096];

    is_ok(w, read_all(head, sizeof(head), P + THREADS * OWN), "reading failed");
    is_ok(w, write_all(head, sizeof(head), P + THREADS * OWN), "writing failed");
    memset(head, 0, sizeof(head));
    is_ok(w, read_all(head, 2048, P), "reading the head failed");
    head[510] = 0x55;
    head[511] = 0xaa;
    is_ok(w, w->self != 0 || !write_all(head, 512, P), "the firewall was asleep");
}

static void *work(void *arg)
{
    struct worker *w = arg;

    for (uint64_t round = 0; !w->wrong && round < rounds; round++) {
        if (!is_ok(w, export_open(&exported, VIEW_VHDX, true, NULL) == 0, "cannot be opened"))
            break;
        w->opens++;
        for (uint64_t n = rng_below(&w->rng, 60); !w->wrong && n > 0; n--)
            switch (rng_below(&w->rng, 12)) {
            case 0:
                work_on_metadata(w);
                break;
            case 1:
            case 2:
                work_on_shared(w);
                break;
            case 3:
                work_on_head(w);
                break;
            case 4:
                is_ok(w, export_flush(&exported) == 0, "a flush failed");
                break;
            case 5:
                if (w->self > 0 && rng_one_in(&w->rng, 4)) /* 0 would blank the superblock */
                    work_on_bat(w);
                break;
            default:
                if (w->self > 0)
                    work_on_own(w);
            }
        export_release(&exported, VIEW_VHDX, true);
        export_modified(&exported);
    }
    return NULL;
}

static void begin(struct worker *w, unsigned self, struct rng *rng)
{
    *w = (struct worker){.self = self,
                         .rng = {rng_next(rng)},
                         .own = aligned_alloc(4096, OWN),
                         .found = aligned_alloc(4096, OWN)};
    read_file(image, w->own, OWN, self * OWN);
}

static void finish(struct worker *w)
{
    if (w->wrong)
        fail_msg("thread %u: %s", w->self, w->wrong);
    read_file(image, w->found, OWN, w->self * OWN);
    assert_memory_equal(w->found, w->own, OWN);
    if (w->opens > 0)
        assert_true(read_all(w->found, 512, VHDX_LOG_AT + 512 * (uint64_t)w->self) &&
                    !memcmp(w->found, w->page, 512));
    free(w->own);
    free(w->found);
}

static void run(bool in_memory)
{
    struct worker workers[THREADS];
    struct rng rng = {test_seed("test_threads")};
    const char *dir = temp_dir(in_memory);
    struct failure failure;
    uint8_t ones[COMMON];

    image = join(dir, "image");
    state_dir = join(dir, "state");
    make_file(image, DISK);
    make_ext4(image, MIB, UUID);
    memset(ones, 1, sizeof(ones));
    write_file(image, ones, sizeof(ones), SHARED);
    settings.source = image;
    settings.state = state_dir;
    if (start_export(&exported, &settings, &failure) < 0)
        fail_msg("%s", failure.text);
    P = exported.layout.payload_offset;
    assert_int_equal(exported.layout.block_size, OWN);
    for (unsigned i = 0; i < THREADS; i++)
        begin(&workers[i], i, &rng);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(workers[i].thread, NULL);
    assert_int_equal(exported.opens, 0); /* given back */
    assert_int_equal(export_open(&exported, VIEW_VHDX, true, &failure), 0);
    for (unsigned i = 0; i < THREADS; i++)
        finish(&workers[i]);
    export_release(&exported, VIEW_VHDX, true);
    assert_int_equal(export_stop(&exported), 0);
    assert_true(ext4_is_clean(image));
    print_message("%u requests went to the device by hand\n", by_hands);
    free(image);
    free(state_dir);
}

static void test_in_memory(void **state)
{
    (void)state;
    run(true);
}

static void test_on_disk(void **state)
{
    (void)state;
    run(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_memory),
        cmocka_unit_test(test_on_disk),
    };

    umask(077);
    rounds = test_count("THREAD_ROUNDS", 40);
    return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
