/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Replay in memory and in place, and what is left when power goes at any moment of it. */
#include "tests/unit/memory.h"
#include "tests/unit/unit.h"
#include "vhdx/check.h"
#include "vhdx/replay.h"
#include "vhdx/view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TARGET (VHDX_METADATA_AT + 0x40000)

static const struct guid session = {{7, 7, 7}}, other = {{8}};

static void judge(struct memory *m, struct vhdx_image *image)
{
    struct vhdx_report report = {0};

    assert_int_equal(vhdx_check(&m->io, NULL, &report, image), 0);
    assert_int_equal(vhdx_report_total(&report, VHDX_ERROR), 0);
}

static int replay(struct memory *m, const struct vhdx_image *image, bool may_grow)
{
    const struct vhdx_replay order = {
        .io = &m->io,
        .sink = &memory_sink,
        .file_write = {{0xee}},
        .may_grow = may_grow,
    };

    return vhdx_replay(&order, image);
}

/*
 * A log that wraps: an entry before the Tail that must not be applied, data and zeros that
 * overlap, a write over both copies of the region table.
 */
static void make_dirty(struct memory *m)
{
    const uint32_t start = (uint32_t)VHDX_LOG_SIZE - 5 * 4096;
    const struct log_write stale[] = {{TARGET, 0, 0xbb}, {TARGET + 0x10000, 0, 0xbb}};
    const struct log_write first[] = {
        {TARGET, 0, 0x11}, {TARGET + 4096, 0, 0x12}, {TARGET + 8192, 0, 0x13}};
    const struct log_write second[] = {
        {TARGET + 4096, 4096, 0}, {TARGET + 16384, 0x8000, 0}, {TARGET + 20480, 0, 0x22}};
    struct vhdx_layout layout = memory_layout();
    uint32_t tail, at;

    memory_make(m, &layout);
    memset(m->bytes + TARGET, 0xcc, 0x20000);
    memory_set_log(m, &session);
    memory_log(m, 0x8000, 0x8000, 99, &other, stale, 2, 0);
    tail = memory_log(m, start, start, 41, &session, stale, 2, 0);
    at = memory_log(m, tail, tail, 42, &session, first, 3, 0);
    memory_log(m, at, tail, 43, &session, second, 3, m->io.size);
}

static void assert_filled(const uint8_t *bytes, uint8_t fill, size_t length)
{
    for (size_t i = 0; i < length; i++)
        assert_int_equal(bytes[i], fill);
}

static void assert_replayed(const uint8_t *at)
{
    assert_filled(at, 0x11, 4096);
    assert_filled(at + 4096, 0, 4096);
    assert_filled(at + 8192, 0x13, 4096);
    assert_filled(at + 12288, 0xcc, 4096);
    assert_filled(at + 16384, 0, 4096);
    assert_filled(at + 20480, 0x22, 4096);
    assert_filled(at + 24576, 0, 0x8000 - 8192);
    assert_filled(at + 0xc000, 0xcc, 0x20000 - 0xc000);
}

static void test_in_place(void **state)
{
    struct vhdx_image image;
    struct memory m;

    (void)state;
    make_dirty(&m);
    judge(&m, &image);
    assert_int_equal(image.log_state, VHDX_LOG_DIRTY);
    assert_int_equal(image.log.active_count, 2);
    assert_int_equal(image.log.count, 3);
    assert_int_equal(image.log.session_count, 2);
    assert_int_equal(image.log.write_count, 6);
    assert_int_equal(replay(&m, &image, false), 0);
    assert_replayed(m.durable + TARGET);
    vhdx_image_free(&image);
    judge(&m, &image);
    assert_int_equal(image.log_state, VHDX_LOG_CLEAN);
    assert_int_equal(vhdx_replay_verdict(&image, true), -ENODATA);
    assert_int_equal(replay(&m, &image, true), -ENODATA);
    /* No header names the log any more, and both carry the new FileWriteGuid. */
    for (int i = 0; i < 2; i++) {
        assert_true(guid_is_null(&image.headers[i].log_guid));
        assert_int_equal(image.headers[i].file_write.b[0], 0xee);
        assert_int_equal(image.headers[i].data_write.b[0], 2);
    }
    vhdx_image_free(&image);
    memory_free(&m);
}

/* What the view shows is what replay writes, at any offset and length. */
static void test_in_memory(void **state)
{
    const size_t span = 0x12000;
    uint8_t *seen = malloc(0x20000), *piece = malloc(0x20000);
    struct vhdx_image image;
    struct vhdx_view view;
    struct memory m;

    (void)state;
    make_dirty(&m);
    judge(&m, &image);
    assert_int_equal(vhdx_view_init(&view, &m.io, &image.log), 0);
    assert_int_equal(vhdx_read(&view.io, seen, 0x20000, TARGET), 0);
    assert_replayed(seen);
    for (size_t at = 0; at < span; at += 1021)
        for (size_t n = 1; n < span - at; n += 3001) {
            assert_int_equal(vhdx_read(&view.io, piece, n, TARGET + at), 0);
            assert_memory_equal(piece, seen + at, n);
        }
    assert_true(vhdx_view_written(&view, TARGET + 4095, 1));
    assert_true(vhdx_view_written(&view, TARGET - 100, 101));
    assert_true(vhdx_view_written(&view, TARGET + 0xbfff, 100));
    assert_false(vhdx_view_written(&view, TARGET - 100, 100));
    assert_false(vhdx_view_written(&view, TARGET + 12288, 4096));
    assert_false(vhdx_view_written(&view, TARGET + 0xc000, 100));
    assert_false(vhdx_view_written(&view, TARGET, 0));
    vhdx_view_free(&view);
    vhdx_image_free(&image);
    memory_free(&m);
    free(seen);
    free(piece);
}

static int copy_back(struct memory *m, struct memory_write *w)
{
    memcpy(m->bytes + w->offset, w->data, w->length);
    return 0;
}

/*
 * The power goes: the file is what was flushed, and of the rest whatever KEEP says: nothing,
 * all, every other write, the last one only, or half of the last one.
 */
static void cut_power(struct memory *m, int keep)
{
    memcpy(m->bytes, m->durable, m->room);
    for (size_t i = 0; i < m->pending_count; i++) {
        struct memory_write *w = &m->pending[i];
        bool last = i + 1 == m->pending_count;

        if (keep == 1 || (keep == 2 && i % 2 == 0) || (keep == 3 && last))
            copy_back(m, w);
        else if (keep == 4 && last)
            memcpy(m->bytes + w->offset, w->data, w->length / 2);
        free(w->data);
    }
    m->pending_count = 0;
    memcpy(m->durable, m->bytes, m->room);
    m->budget = -1;
}

static void recover(struct memory *m)
{
    struct vhdx_image image;
    int verdict;

    judge(m, &image);
    verdict = vhdx_replay_verdict(&image, false);
    if (verdict == -ENODATA)
        assert_int_equal(image.log_state, VHDX_LOG_CLEAN);
    else
        assert_int_equal(replay(m, &image, false), 0);
    vhdx_image_free(&image);
    judge(m, &image);
    assert_int_equal(image.log_state, VHDX_LOG_CLEAN);
    assert_replayed(m->bytes + TARGET);
    vhdx_image_free(&image);
}

static void test_power_cuts(void **state)
{
    int moment = 0, finished = 0;

    (void)state;
    for (; !finished && moment < 1000; moment++)
        for (int keep = 0; keep < 5; keep++) {
            struct vhdx_image image;
            struct memory m;

            make_dirty(&m);
            judge(&m, &image);
            m.budget = moment;
            finished = replay(&m, &image, false) == 0;
            vhdx_image_free(&image);
            cut_power(&m, keep);
            recover(&m);
            memory_free(&m);
        }
    assert_true(moment >= 15 && moment <= 999);
}

static void test_growing(void **state)
{
    struct vhdx_layout layout = memory_layout();
    const struct log_write write = {layout.file_size, 0, 0x77};
    struct vhdx_image image;
    struct vhdx_view view;
    struct memory m;
    uint8_t page[4096];

    (void)state;
    memory_make(&m, &layout);
    memory_set_log(&m, &session);
    memory_log(&m, 0, 0, 1, &session, &write, 1, layout.file_size + MIB);
    judge(&m, &image);
    assert_int_equal(vhdx_view_init(&view, &m.io, &image.log), 0);
    assert_int_equal(view.io.size, layout.file_size + MIB);
    assert_int_equal(vhdx_read(&view.io, page, sizeof(page), layout.file_size), 0);
    assert_filled(page, 0x77, sizeof(page));
    assert_int_equal(vhdx_read(&view.io, page, sizeof(page), layout.file_size - 2048 + MIB / 2), 0);
    assert_filled(page, 0, sizeof(page));
    vhdx_view_free(&view);
    assert_int_equal(replay(&m, &image, false), -EFBIG);
    assert_int_equal(m.pending_count, 0);
    assert_int_equal(replay(&m, &image, true), 0);
    assert_int_equal(m.io.size, layout.file_size + MIB);
    assert_filled(m.bytes + layout.file_size, 0x77, 4096);
    vhdx_image_free(&image);
    memory_free(&m);
}

static int cancel(void *opaque, uint64_t done, uint64_t total)
{
    (void)opaque;
    return done == total;
}

static void test_refusals(void **state)
{
    struct vhdx_header h = {.sequence = UINT64_MAX - 3,
                            .log_guid = session,
                            .version = 1,
                            .log_length = (uint32_t)VHDX_LOG_SIZE,
                            .log_offset = VHDX_LOG_AT};
    struct vhdx_layout layout = memory_layout();
    const struct log_write write = {layout.file_size, 0, 1};
    struct vhdx_replay order = {.sink = &memory_sink, .progress = cancel};
    struct vhdx_report report = {0};
    struct vhdx_image image;
    struct memory m;

    (void)state;
    memory_make(&m, &layout);
    memory_set_header(&m, &h);
    assert_int_equal(vhdx_check(&m.io, NULL, &report, &image), 0);
    assert_int_equal(image.log_state, VHDX_LOG_CORRUPT);
    assert_int_equal(vhdx_replay_verdict(&image, true), -EBADMSG);
    vhdx_image_free(&image);
    memory_log(&m, 0, 0, 1, &session, NULL, 0, 0);
    assert_int_equal(vhdx_check(&m.io, NULL, &report, &image), 0);
    assert_int_equal(vhdx_replay_verdict(&image, true), -ERANGE);
    vhdx_image_free(&image);
    memory_set_log(&m, &session);
    memory_log(&m, 0, 0, 1, &session, &write, 1, 0); /* behind the end */
    assert_int_equal(vhdx_check(&m.io, NULL, &report, &image), 0);
    assert_int_equal(vhdx_replay_verdict(&image, true), -EBADMSG);
    vhdx_image_free(&image);
    memory_log(&m, 0, 0, 1, &session, NULL, 0, UINT64_MAX);
    assert_int_equal(vhdx_check(&m.io, NULL, &report, &image), 0);
    assert_int_equal(vhdx_replay_verdict(&image, true), -EBADMSG);
    vhdx_image_free(&image);
    memory_free(&m);

    make_dirty(&m);
    judge(&m, &image);
    order.io = &m.io;
    assert_int_equal(vhdx_replay(&order, &image), -ECANCELED);
    vhdx_image_free(&image);
    recover(&m);
    memory_free(&m);
}

/* vhdx_log_scan() on its own holds its contract for what check would never hand it. */
static void test_scan_refuses(void **state)
{
    struct vhdx_header h = {.log_guid = session, .version = 1};
    struct vhdx_layout layout = memory_layout();
    struct vhdx_report report = {0};
    struct vhdx_log log;
    struct memory m;

    (void)state;
    memory_make(&m, &layout);
    assert_int_equal(vhdx_log_scan(&m.io, &h, &report, &log), -EINVAL);
    h.log_length = 4096;
    assert_int_equal(vhdx_log_scan(&m.io, &h, &report, &log), -EINVAL);
    h.log_length = (uint32_t)VHDX_LOG_SIZE;
    h.log_offset = m.io.size;
    assert_int_equal(vhdx_log_scan(&m.io, &h, &report, &log), -EINVAL);
    vhdx_log_free(&log);
    memory_free(&m);
}

/* More sessions than the table of them holds. */
static void test_many_sessions(void **state)
{
    struct vhdx_layout layout = memory_layout();
    struct vhdx_image image;
    struct memory m;

    (void)state;
    memory_make(&m, &layout);
    memory_set_log(&m, &session);
    memory_log(&m, 0, 0, 1, &session, NULL, 0, 0);
    for (uint32_t i = 1; i <= 30; i++) {
        struct guid old = {{0xaa, (uint8_t)i}};

        memory_log(&m, 4096 * i, 0, 100 + i, &old, NULL, 0, 0);
        memory_log(&m, 4096 * (100 + i), 0, 300 - i, &old, NULL, 0, 0);
    }
    judge(&m, &image);
    assert_int_equal(image.log.active_count, 1);
    assert_true(image.log.session_count > VHDX_SESSIONS_MAX);
    assert_int_equal(image.log.sessions[1].entries, 2);
    assert_int_equal(image.log.sessions[1].first, 101);
    assert_int_equal(image.log.sessions[1].last, 299);
    vhdx_image_free(&image);
    memory_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_place),      cmocka_unit_test(test_in_memory),
        cmocka_unit_test(test_power_cuts),    cmocka_unit_test(test_growing),
        cmocka_unit_test(test_refusals),      cmocka_unit_test(test_scan_refuses),
        cmocka_unit_test(test_many_sessions),
    };

    return cmocka_run_group_tests_name("replay", tests, NULL, NULL);
}
