/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the corpus (tests/corpus) cannot do: failing reads and memory, giant files, limits. */
#include "common/bytes.h"
#include "tests/unit/memory.h"
#include "tests/unit/unit.h"
#include "vhdx/check.h"
#include "vhdx/judge.h"
#include "vhdx/view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Linked with --wrap: the Nth allocation from now on fails, negative: none does. */
static int allocations = -1;
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_reallocarray(void *p, size_t count, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_reallocarray(void *p, size_t count, size_t size);

static int refuse_memory(void)
{
    return allocations >= 0 && allocations-- == 0;
}

void *__wrap_malloc(size_t size)
{
    return refuse_memory() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return refuse_memory() ? NULL : __real_calloc(count, size);
}

void *__wrap_reallocarray(void *p, size_t count, size_t size)
{
    return refuse_memory() ? NULL : __real_reallocarray(p, count, size);
}

static const struct guid session = {{7, 7, 7}};

static int judge(struct memory *m, struct vhdx_report *report)
{
    struct vhdx_image image;
    int err;

    *report = (struct vhdx_report){0};
    err = vhdx_check(&m->io, NULL, report, &image);
    vhdx_image_free(&image);
    return err;
}

static void test_rules_are_sound(void **state)
{
    (void)state;
    for (int i = 0; i < VHDX_RULE_COUNT; i++) {
        const struct vhdx_rule_info *r = &vhdx_rules[i];
        int number = atoi(strrchr(r->id, '-') + 1);

        assert_int_equal(strncmp(r->id, "VHDX-", 5), 0);
        assert_int_equal(strncmp(r->section, "2.", 2), 0);
        assert_true(strlen(r->demand) > 10);
        /* Numbers run from 1 within each family, so none was lost. */
        if (i == 0 || strncmp(r->id, vhdx_rules[i - 1].id, strlen(r->id) - 3) != 0)
            assert_int_equal(number, 1);
        else
            assert_int_equal(number, atoi(strrchr(vhdx_rules[i - 1].id, '-') + 1) + 1);
    }
    assert_string_equal(vhdx_severity_name(VHDX_NOTE), "note");
    assert_string_equal(vhdx_severity_name(VHDX_WARNING), "warning");
    assert_string_equal(vhdx_severity_name(VHDX_ERROR), "error");
}

static void test_good_file(void **state)
{
    struct vhdx_layout layout = memory_layout();
    struct vhdx_report report = {0};
    struct vhdx_image image;
    struct memory m;

    (void)state;
    memory_make(&m, &layout);
    assert_int_equal(vhdx_check(&m.io, NULL, &report, &image), 0);
    for (int severity = VHDX_NOTE; severity <= VHDX_ERROR; severity++)
        assert_int_equal(vhdx_report_total(&report, (enum vhdx_severity)severity), 0);
    assert_int_equal(image.kind, VHDX_KIND_FIXED);
    assert_int_equal(image.current, 1);
    assert_int_equal(image.table, 0);
    assert_int_equal(image.log_state, VHDX_LOG_CLEAN);
    assert_int_equal(image.stats.blocks, 4);
    assert_int_equal(image.stats.states[VHDX_BLOCK_FULLY_PRESENT], 4);
    assert_int_equal(image.stats.first, layout.payload_offset);
    assert_int_equal(image.stats.end, layout.file_size);
    assert_true(image.stats.in_order);
    assert_int_equal(image.values.disk_size, layout.disk_size);
    vhdx_image_free(&image);
    memory_free(&m);
}

/* A differencing file with a dirty log: as many kinds of reads and allocations as there are. */
static void make_rich(struct memory *m)
{
    static const struct guid locator = VHDX_ITEM_PARENT_LOCATOR, type = VHDX_PARENT_LOCATOR_TYPE;
    struct vhdx_layout layout = memory_layout();
    const struct log_write writes[] = {{VHDX_METADATA_AT + 0x80000, 0, 1},
                                       {VHDX_METADATA_AT + 0x90000, 8192, 0}};
    struct vhdx_disk_metadata_entry *entry;
    uint8_t *region, *item;

    memory_make(m, &layout);
    memory_set_log(m, &session);
    memory_log(m, 0, 0, 1, &session, writes, 2, 0);
    region = m->bytes + VHDX_METADATA_AT;
    item = region + 0x20000;
    put_le32(region + VHDX_METADATA_ITEMS + 4, VHDX_HAS_PARENT);
    put_le16(region + 10, 6);
    entry = (void *)(region + 32 + 5 * 32);
    entry->item = locator;
    put_le32(entry->offset, 0x20000);
    put_le32(entry->length, 64);
    put_le32(entry->flags, VHDX_ITEM_REQUIRED);
    memcpy(item, &type, sizeof(type));
    put_le16(item + 18, 2);
    for (int i = 0; i < 2; i++) {
        put_le32(item + 20 + 12 * i, 48 + 4 * (uint32_t)i);
        put_le32(item + 24 + 12 * i, 50);
        put_le16(item + 28 + 12 * i, 2);
        put_le16(item + 30 + 12 * i, 2);
    }
    memcpy(item + 48, "a\0b\0c\0", 6);
    memcpy(m->bytes + VHDX_BAT_AT + 8, m->bytes + VHDX_BAT_AT, 8); /* and a collision */
}

static void test_failing_reads(void **state)
{
    struct vhdx_report report;
    struct memory m;
    int reads = 0, err;

    (void)state;
    make_rich(&m);
    do {
        m.budget = reads;
        err = judge(&m, &report);
        if (err)
            assert_int_equal(err, -EIO);
    } while (err && ++reads < 10000);
    assert_true(reads >= 20 && reads <= 9999);
    assert_int_equal(report.counts[VHDX_RULE_BAT_COLLISION], 1);
    assert_int_equal(report.counts[VHDX_RULE_PAR_LINKAGE], 1);
    memory_free(&m);
}

static void test_failing_memory(void **state)
{
    struct vhdx_report report;
    struct memory m;
    int n = 0, err;

    (void)state;
    make_rich(&m);
    do {
        allocations = n;
        err = judge(&m, &report);
        allocations = -1;
        if (err)
            assert_int_equal(err, -ENOMEM);
    } while (err && ++n < 1000);
    assert_true(n >= 10 && n <= 999);
    memory_free(&m);
}

/* A file of any size and kind, computed: LAYOUT's headers, and entries from a function. */
struct giant {
    struct vhdx_layout layout;
    uint8_t *meta;
    uint64_t (*entry)(const struct vhdx_layout *layout, uint64_t index);
};

static int read_giant(void *opaque, void *data, size_t length, uint64_t offset)
{
    const struct giant *g = opaque;
    uint8_t *out = data;

    memset(data, 0, length);
    if (offset < VHDX_META_SIZE) {
        memcpy(data, g->meta + offset, (size_t)min_u64(length, VHDX_META_SIZE - offset));
        return 0;
    }
    offset -= VHDX_BAT_AT;
    for (size_t i = 0; i < length; i += 8)
        put_le64(out + i, g->entry(&g->layout, (offset + i) / 8));
    return 0;
}

static int judge_giant(struct giant *g, uint64_t disk, uint32_t block, bool dynamic,
                       uint64_t file_size, struct vhdx_report *report)
{
    const struct vhdx_params params = {disk, block, 512, 4096};
    const struct vhdx_identity id = {{{1}}, {{2}}, {{3}}};
    struct vhdx_io io = {.read = read_giant, .opaque = g};
    struct vhdx_image image;
    int err;

    *report = (struct vhdx_report){.limit = 4};
    assert_int_equal(vhdx_layout_init(&g->layout, &params, NULL), 0);
    g->meta = calloc(1, VHDX_META_SIZE);
    vhdx_encode_meta(&g->layout, &id, g->meta);
    if (dynamic)
        put_le32(g->meta + VHDX_METADATA_AT + VHDX_METADATA_ITEMS + 4, 0);
    io.size = file_size ? file_size : g->layout.file_size;
    err = vhdx_check(&io, NULL, report, &image);
    vhdx_image_free(&image);
    free(g->meta);
    return err;
}

static void test_64_tib(void **state)
{
    struct giant g = {.entry = vhdx_bat_entry};
    struct vhdx_report report;

    (void)state;
    assert_int_equal(judge_giant(&g, 64 * TIB, 2 * (uint32_t)MIB, false, 0, &report), 0);
    for (int rule = 0; rule < VHDX_RULE_COUNT; rule++)
        assert_int_equal(report.counts[rule], 0);
}

/* Blocks 0 and 1 overlap by half across the border of two windows; 2 lies in a far one. */
static uint64_t far_entry(const struct vhdx_layout *layout, uint64_t index)
{
    switch (index) {
    case 0:
        return (VHDX_CHECK_WINDOW - MIB) | VHDX_BLOCK_FULLY_PRESENT;
    case 1:
        return VHDX_CHECK_WINDOW | VHDX_BLOCK_FULLY_PRESENT;
    case 2:
        return 100 * VHDX_CHECK_WINDOW | VHDX_BLOCK_FULLY_PRESENT;
    default:
        return index < layout->bat_entries && index == 5
                   ? (100 * VHDX_CHECK_WINDOW + MIB) | VHDX_BLOCK_UNMAPPED
                   : 0;
    }
}

static void test_collisions_in_many_windows(void **state)
{
    struct giant g = {.entry = far_entry};
    struct vhdx_report report;

    (void)state;
    assert_int_equal(judge_giant(&g, GIB, 2 * (uint32_t)MIB, true, UINT64_C(1) << 62, &report), 0);
    assert_int_equal(report.counts[VHDX_RULE_BAT_COLLISION], 2);
    assert_int_equal(vhdx_report_total(&report, VHDX_ERROR), 2);
}

static uint64_t same_entry(const struct vhdx_layout *layout, uint64_t index)
{
    return index % (layout->chunk_ratio + 1) == layout->chunk_ratio
               ? 0
               : layout->payload_offset | VHDX_BLOCK_FULLY_PRESENT;
}

/* Half a million collisions must not take half a million searches. */
static void test_collisions_galore(void **state)
{
    struct giant g = {.entry = same_entry};
    struct vhdx_report report;

    (void)state;
    assert_int_equal(judge_giant(&g, 512 * GIB, (uint32_t)MIB, false, 0, &report), 0);
    assert_int_equal(report.counts[VHDX_RULE_BAT_COLLISION], 512 * 1024 - 1);
}

static int cancel(void *opaque, uint64_t done, uint64_t total)
{
    int *steps = opaque;

    assert_true(done <= total);
    return (*steps)-- == 0;
}

static void test_cancel(void **state)
{
    struct vhdx_layout layout = memory_layout();
    struct vhdx_report report = {0};
    struct vhdx_image image;
    struct memory m;

    (void)state;
    memory_make(&m, &layout);
    for (int steps = 0; steps < 2; steps++) {
        int left = steps;
        struct vhdx_check_options options = {.progress = cancel, .opaque = &left};

        assert_int_equal(vhdx_check(&m.io, &options, &report, &image), -ECANCELED);
        vhdx_image_free(&image);
    }
    memory_free(&m);
}

static void count_finding(void *opaque, const struct vhdx_finding *finding)
{
    unsigned *heard = opaque;

    assert_int_equal(finding->rule, VHDX_RULE_BAT_UNALLOCATED);
    assert_true(strlen(finding->found) > 0);
    ++*heard;
}

static void test_limit(void **state)
{
    struct vhdx_layout layout = memory_layout();
    struct vhdx_image image;
    struct memory m;

    (void)state;
    memory_make(&m, &layout);
    memset(m.bytes + VHDX_BAT_AT, 0, 32);
    for (unsigned limit = 0; limit < 6; limit++) {
        unsigned heard = 0;
        struct vhdx_report report = {.finding = count_finding, .opaque = &heard, .limit = limit};

        assert_int_equal(vhdx_check(&m.io, NULL, &report, &image), 0);
        vhdx_image_free(&image);
        assert_int_equal(heard, limit && limit < 4 ? limit : 4);
        assert_int_equal(report.counts[VHDX_RULE_BAT_UNALLOCATED], 4);
    }
    memory_free(&m);
}

static void test_read_outside(void **state)
{
    struct vhdx_layout layout = memory_layout();
    struct memory m;
    uint8_t byte;

    (void)state;
    memory_make(&m, &layout);
    assert_int_equal(vhdx_read(&m.io, &byte, 1, m.io.size - 1), 0);
    assert_int_equal(vhdx_read(&m.io, &byte, 1, m.io.size), -EIO);
    assert_int_equal(vhdx_read(&m.io, &byte, 2, m.io.size - 1), -EIO);
    assert_int_equal(vhdx_read(&m.io, &byte, 1, UINT64_MAX), -EIO);
    memory_free(&m);
}

static void test_names(void **state)
{
    static const struct guid bat = VHDX_REGION_BAT, id = VHDX_ITEM_DISK_ID;

    (void)state;
    assert_string_equal(vhdx_region_name(&bat), "BAT");
    assert_null(vhdx_region_name(&id));
    assert_string_equal(vhdx_item_name(&id), "VirtualDiskId");
    assert_null(vhdx_item_name(&bat));
    assert_string_equal(vhdx_kind_name(VHDX_KIND_DIFFERENCING), "differencing");
    assert_string_equal(vhdx_copy_name(VHDX_COPY_BAD_CHECKSUM), "bad checksum");
    assert_string_equal(vhdx_log_state_name(VHDX_LOG_CORRUPT), "corrupt");
    assert_string_equal(vhdx_block_state_name(7), "partially-present");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules_are_sound),
        cmocka_unit_test(test_good_file),
        cmocka_unit_test(test_failing_reads),
        cmocka_unit_test(test_failing_memory),
        cmocka_unit_test(test_64_tib),
        cmocka_unit_test(test_collisions_in_many_windows),
        cmocka_unit_test(test_collisions_galore),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_read_outside),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests_name("check", tests, NULL, NULL);
}
