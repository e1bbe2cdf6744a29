/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What Windows and QEMU write to the metadata of a fixed VHDX, write for write and flush for
 * flush, through an export. After every single step the daemon is ended, in one of the ways
 * there are, and started again: every byte is there, and the file is a valid VHDX, judged by
 * the rules that vhdxgen check goes by (which replays a log in memory).
 */
#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/crc32c.h"
#include "export/export.h"
#include "tests/unit/support.h"
#include "tests/unit/unit.h"
#include "vhdx/check.h"

#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define UUID "6b29fc40-ca47-1067-b31d-00dd010662da"
#define DISK (6 * MIB)

enum ending {
    NO_ENDING, /* the client goes on */
    RELEASE,   /* the client closes the file and opens it again */
    RESTART,   /* the daemon is stopped and started */
    KILL,      /* and killed */
    CHILD,     /* each step is done by a process that dies behind it */
    ENDINGS
};
static const char *const ending_names[] = {"none", "release", "restart", "kill", "child"};

static const char *base;
static char *image, *state_dir;
static struct export_settings settings = {.name = (char[]){"ext4.vhdx"}};
static struct exported exported;
static struct rng rng;

static enum ending ending;
static const char *step_name;
static uint8_t *meta;          /* what the metadata must hold */
static uint8_t payload[65536]; /* and the disk at 1 MiB */
static bool dirty;             /* whether a log waits to be replayed */
static bool log_is_empty;      /* named in the header, but no entry in it: QEMU does that */
static unsigned steps;
static uint64_t rounds; /* of each sequence, for each ending */

static void check(bool condition, const char *what)
{
    if (!condition)
        fail_msg("step %u (%s), ending by %s: %s", steps, step_name, ending_names[ending], what);
}

static void start(void)
{
    struct failure failure;
    int err = start_export(&exported, &settings, &failure);

    if (!err)
        err = export_open(&exported, VIEW_VHDX, true, &failure);
    check(!err, failure.text);
}

static void shut(void)
{
    export_release(&exported, VIEW_VHDX, true);
    check(export_stop(&exported) == 0, "stopping failed");
}

static void abandon(void)
{
    store_close(exported.store);
    backing_close(&exported.claim.backing);
    extent_map_free(&exported.views[VIEW_VHDX].map);
}

static int read_export(void *opaque, void *data, size_t length, uint64_t offset)
{
    size_t done;

    (void)opaque;
    return export_read(&exported, VIEW_VHDX, data, length, offset, &done);
}

static void tell(void *opaque, const struct vhdx_finding *finding)
{
    (void)opaque;
    if (vhdx_rules[finding->rule].severity == VHDX_ERROR)
        print_message("rule %s at %llu: %s\n", vhdx_rules[finding->rule].section,
                      (unsigned long long)finding->offset, finding->found);
}

static void verify(void)
{
    struct vhdx_io io = {.read = read_export, .size = export_size(&exported, VIEW_VHDX)};
    struct vhdx_report report = {.finding = log_is_empty ? NULL : tell};
    cleanup_free uint8_t *found = malloc(VHDX_META_SIZE);
    struct vhdx_image vhdx;

    check(read_export(NULL, found, VHDX_META_SIZE, 0) == 0, "reading failed");
    check(memcmp(found, meta, VHDX_META_SIZE) == 0, "a byte of the metadata differs");
    check(read_export(NULL, found, sizeof(payload), exported.layout.payload_offset + MIB) == 0,
          "reading failed");
    check(memcmp(found, payload, sizeof(payload)) == 0, "a byte of the disk differs");
    check(vhdx_check(&io, NULL, &report, &vhdx) == 0, "the check gave up");
    vhdx_image_free(&vhdx);
    check(log_is_empty || vhdx_report_total(&report, VHDX_ERROR) == 0,
          "it is no valid VHDX any more");
    check(store_log_is_dirty(exported.store) == dirty, "the log's state");
}

static void end_step(void)
{
    if (ending == RELEASE) {
        export_release(&exported, VIEW_VHDX, true);
        check(export_open(&exported, VIEW_VHDX, true, NULL) == 0, "cannot be opened again");
    } else if (ending == RESTART) {
        shut();
        start();
    } else if (ending == KILL) {
        abandon();
        start();
    }
    verify();
    steps++;
}

/* One write and, if FLUSH, a flush, by this process or by one that dies right after. */
static void put(const char *name, uint64_t offset, const void *data, size_t length, bool flush)
{
    size_t done = 0;

    step_name = name;
    if (ending == CHILD) {
        int status;
        pid_t pid;

        shut();
        fflush(NULL);
        pid = fork();
        if (pid == 0) {
            bool good = start_export(&exported, &settings, NULL) == 0 &&
                        export_open(&exported, VIEW_VHDX, true, NULL) == 0 &&
                        export_write(&exported, VIEW_VHDX, data, length, offset, &done) == 0 &&
                        done == length && (!flush || export_flush(&exported) == 0);

            _exit(good ? 0 : 1);
        }
        check(waitpid(pid, &status, 0) == pid && status == 0, "the child failed");
        start();
    } else {
        check(export_write(&exported, VIEW_VHDX, data, length, offset, &done) == 0 &&
                  done == length,
              "refused");
        if (flush)
            check(export_flush(&exported) == 0, "the flush failed");
    }
    if (offset < VHDX_META_SIZE)
        memcpy(meta + offset, data, length);
    end_step();
}

static int setup(void **state)
{
    size_t done;

    (void)state;
    image = join(base, "image");
    state_dir = join(base, "state");
    make_file(image, DISK);
    make_ext4(image, DISK, UUID);
    settings.source = image;
    settings.state = state_dir;
    meta = malloc(VHDX_META_SIZE);
    dirty = false;
    steps = 0;
    step_name = "start";
    ending = NO_ENDING;
    start();
    assert_int_equal(export_read(&exported, VIEW_VHDX, meta, VHDX_META_SIZE, 0, &done), 0);
    assert_int_equal(export_read(&exported, VIEW_VHDX, payload, sizeof(payload),
                                 exported.layout.payload_offset + MIB, &done),
                     0);
    verify();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    abandon();
    unlink(image);
    remove_tree(state_dir);
    free(image);
    free(state_dir);
    free(meta);
    return 0;
}

/* --- structures as the clients make them --- */

static struct vhdx_header current_header(int *index)
{
    struct vhdx_header header;

    *index = vhdx_current_header((void *)(meta + VHDX_HEADER_1_AT),
                                 (void *)(meta + VHDX_HEADER_2_AT), &header);
    assert_true(*index == 0 || *index == 1);
    return header;
}

static struct guid new_guid(void)
{
    struct guid guid;

    rng_fill(&rng, &guid, sizeof(guid));
    return guid;
}

/* The other header with the next number; LENGTH bytes of it. */
static void put_header(const char *name, struct vhdx_header header, int current, size_t length)
{
    struct vhdx_disk_header disk;

    header.sequence++;
    vhdx_encode_header(&header, &disk);
    dirty = !guid_is_null(&header.log_guid);
    put(name, current ? VHDX_HEADER_1_AT : VHDX_HEADER_2_AT, &disk, length, true);
}

/* A page that a log entry is to write. */
struct page {
    uint64_t offset;
    const uint8_t *data; /* 4096 bytes, or NULL for zeros */
};

struct log_state {
    struct guid guid;
    uint64_t sequence;
    uint32_t tail, head; /* offsets in the log */
};

static void put_descriptor(uint8_t *out, const struct page *page, uint64_t sequence)
{
    if (page->data) {
        struct vhdx_disk_log_data *d = (void *)out;

        memcpy(d->signature, "desc", 4);
        memcpy(d->leading, page->data, 8);
        memcpy(d->trailing, page->data + 4092, 4);
        put_le64(d->file_offset, page->offset);
        put_le64(d->sequence, sequence);
    } else {
        struct vhdx_disk_log_zero *z = (void *)out;

        memcpy(z->signature, "zero", 4);
        put_le64(z->length, 4096);
        put_le64(z->file_offset, page->offset);
        put_le64(z->sequence, sequence);
    }
}

/* Fills an entry of COUNT pages; returns its length. */
static size_t make_entry(const struct log_state *log, const struct page *pages, uint32_t count,
                         uint8_t *out)
{
    struct vhdx_disk_log_entry *entry = (void *)out;
    size_t length = (size_t)round_up(64 + 32 * (uint64_t)count, 4096);

    memset(out, 0, length);
    for (uint32_t i = 0; i < count; i++) {
        struct vhdx_disk_log_sector *sector = (void *)(out + length);

        put_descriptor(out + 64 + (size_t)32 * i, &pages[i], log->sequence);
        if (!pages[i].data)
            continue;
        memcpy(sector->signature, "data", 4);
        put_le32(sector->sequence_high, (uint32_t)(log->sequence >> 32));
        memcpy(sector->data, pages[i].data + 8, sizeof(sector->data));
        put_le32(sector->sequence_low, (uint32_t)log->sequence);
        length += 4096;
    }
    memcpy(entry->signature, "loge", 4);
    put_le32(entry->entry_length, (uint32_t)length);
    put_le32(entry->tail, log->tail);
    put_le64(entry->sequence, log->sequence);
    put_le32(entry->descriptor_count, count);
    entry->log_guid = log->guid;
    put_le64(entry->flushed_file_offset, export_size(&exported, VIEW_VHDX));
    put_le64(entry->last_file_offset, export_size(&exported, VIEW_VHDX));
    put_le32(entry->checksum, crc32c(0, out, length));
    return length;
}

/* --- Windows --- */

/*
 * A change of metadata as Windows makes it: the whole entry, a flush, and only then the pages
 * at their places, another flush.
 */
static void change_through_log(struct log_state *log, const char *name, const struct page *pages,
                               uint32_t count)
{
    static const uint8_t zeros[4096];
    cleanup_free uint8_t *entry = malloc(64 * 4096);
    size_t length;

    log->sequence++;
    length = make_entry(log, pages, count, entry);
    put(name, VHDX_LOG_AT + log->head, entry, length, true);
    for (uint32_t i = 0; i < count; i++)
        put(name, pages[i].offset, pages[i].data ? pages[i].data : zeros, 4096, i + 1 == count);
    log->tail = log->head;
    log->head += (uint32_t)length;
}

/* Both tables again, with an entry of another order: the same regions, other bytes. */
static void rewrite_region_tables(struct log_state *log)
{
    uint8_t *table = malloc(VHDX_REGIONS_SIZE), swap[32];
    struct page pages[32];

    memcpy(table, meta + VHDX_REGIONS_1_AT, VHDX_REGIONS_SIZE);
    memcpy(swap, table + 16, 32);
    memcpy(table + 16, table + 48, 32);
    memcpy(table + 48, swap, 32);
    put_le32(table + 4, 0);
    put_le32(table + 4, crc32c(0, table, VHDX_REGIONS_SIZE));
    for (uint32_t i = 0; i < 32; i++)
        pages[i] = (struct page){VHDX_REGIONS_1_AT + (uint64_t)i * 4096,
                                 i % 16 ? NULL : table}; /* all but the first page are zeros */
    change_through_log(log, "region tables", pages, 32);
    free(table);
}

/* A user item: its entry in the table, and its value behind the others. */
static void add_user_item(struct log_state *log)
{
    uint8_t table[4096], values[4096];
    struct vhdx_disk_metadata_entry *entry = (void *)(table + 32 + 5 * 32);
    struct page pages[2] = {{VHDX_METADATA_AT, table},
                            {VHDX_METADATA_AT + VHDX_METADATA_ITEMS, values}};

    memcpy(table, meta + VHDX_METADATA_AT, sizeof(table));
    memcpy(values, meta + VHDX_METADATA_AT + VHDX_METADATA_ITEMS, sizeof(values));
    put_le16(table + 10, 6);
    entry->item = new_guid();
    put_le32(entry->offset, (uint32_t)VHDX_METADATA_ITEMS + 0x28);
    put_le32(entry->length, 100);
    put_le32(entry->flags, VHDX_ITEM_USER);
    rng_fill(&rng, values + 0x28, 100);
    change_through_log(log, "user item", pages, 2);
}

/* A page of the table of blocks, as it is: the log of a client may bring one. */
static void rewrite_bat_page(struct log_state *log)
{
    uint8_t bat[4096];
    struct page page = {VHDX_BAT_AT, bat};

    vhdx_bat_read(&exported.layout, 0, bat, sizeof(bat));
    change_through_log(log, "BAT page", &page, 1);
}

static void write_data(void)
{
    rng_fill(&rng, payload, sizeof(payload));
    put("data", exported.layout.payload_offset + MIB, payload, sizeof(payload), true);
}

static void run_windows(bool with_changes)
{
    struct log_state log = {.guid = new_guid(), .sequence = rng_next(&rng) >> 1};
    uint8_t entry[4096];
    struct vhdx_header header;
    int current;

    /* Open: an empty entry at the start of the log, and then the header that makes it count. */
    make_entry(&log, NULL, 0, entry);
    put("empty log entry", VHDX_LOG_AT, entry, sizeof(entry), true);
    log.head = 4096;
    header = current_header(&current);
    header.log_guid = log.guid;
    put_header("header with a LogGuid", header, current, 4096);

    /* Before the first write of data. */
    header = current_header(&current);
    header.file_write = new_guid();
    header.data_write = new_guid();
    put_header("header before data", header, current, 4096);
    write_data();
    if (with_changes) {
        rewrite_region_tables(&log);
        write_data();
        add_user_item(&log);
        rewrite_bat_page(&log);
    }

    /* Close. */
    header = current_header(&current);
    header.log_guid = (struct guid){{0}};
    put_header("header at the end", header, current, 4096);
}

/* --- QEMU --- */

static struct guid qemu_session;

/* Both headers, one after the other, and of each only the fields: 80 bytes. */
static void qemu_headers(const char *name, bool data_write, const struct guid *log)
{
    for (int i = 0; i < 2; i++) {
        int current;
        struct vhdx_header header = current_header(&current);

        header.file_write = qemu_session;
        if (data_write && i == 0)
            header.data_write = new_guid();
        header.log_guid = *log;
        put_header(name, header, current, 80);
    }
}

/*
 * The table of blocks through the log, as block/vhdx-log.c does it: it names the log in the
 * headers before anything is in it, writes the entry sector by sector, flushes, writes
 * the page to its place, flushes, and takes the name away again.
 */
static void qemu_log_write(const struct guid *null)
{
    struct log_state log = {.guid = new_guid(), .sequence = 1};
    uint8_t bat[4096], entry[8192];
    struct page page = {VHDX_BAT_AT, bat};

    vhdx_bat_read(&exported.layout, 0, bat, sizeof(bat));
    make_entry(&log, &page, 1, entry);
    log_is_empty = true;
    qemu_headers("headers with a LogGuid", false, &log.guid);
    put("descriptor sector", VHDX_LOG_AT, entry, 4096, false);
    log_is_empty = false;
    put("data sector", VHDX_LOG_AT + 4096, entry + 4096, 4096, true);
    put("page from the log", page.offset, page.data, 4096, true);
    qemu_headers("headers after the log", false, null);
}

static void run_qemu(void)
{
    const struct guid null = {{0}};

    qemu_session = new_guid();
    qemu_headers("headers at opening", false, &null);
    qemu_headers("headers before data", true, &null);
    write_data();
    qemu_log_write(&null);
    write_data();
}

static void test_windows(void **state)
{
    (void)state;
    for (enum ending e = NO_ENDING; e < ENDINGS; e++) {
        ending = e;
        run_windows(true);
        if (rounds > 1) /* and once more, over stale entries of the first time */
            run_windows(false);
        ending = NO_ENDING;
    }
    print_message("%u steps\n", steps);
}

static void test_qemu(void **state)
{
    (void)state;
    for (enum ending e = NO_ENDING; e < ENDINGS; e++) {
        ending = e;
        for (uint64_t i = 0; i < rounds; i++)
            run_qemu();
        ending = NO_ENDING;
    }
    print_message("%u steps\n", steps);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_windows),
        TEST(test_qemu),
    };

    umask(077);
    rng.state = test_seed("test_metadata_sequences");
    base = temp_dir(true);
    rounds = test_count("SEQUENCE_ROUNDS", 2);
    return cmocka_run_group_tests_name("metadata sequences", tests, NULL, NULL);
}
