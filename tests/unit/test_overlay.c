/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "overlay/overlay.h"

#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/crc32c.h"
#include "overlay/overlay_open.h"
#include "tests/unit/shadow.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define IDENTITY "6b29fc40-ca47-1067-b31d-00dd010662da"
#define GRAIN    OVERLAY_GRAIN

static struct failure failure;
static char *path; /* of the overlay file; new for each test */
static const char *base_dir;

/* --- a base disk in memory, which nobody may write -------------------------- */

struct memory_disk {
    struct disk disk;
    uint8_t *data;
    uint64_t size;
    bool writable;
    bool fail_reads;
    uint64_t last_write; /* offset of the last write or zero */
    unsigned zeros, flushes;
};

static struct memory_disk *memory_of(struct disk *disk)
{
    return (struct memory_disk *)disk;
}

static int memory_read(struct disk *disk, void *data, size_t length, uint64_t offset)
{
    struct memory_disk *m = memory_of(disk);

    assert_true(range_inside(offset, length, m->size));
    if (m->fail_reads)
        return -EIO;
    memcpy(data, m->data + offset, length);
    return 0;
}

static int memory_write(struct disk *disk, const void *data, size_t length, uint64_t offset)
{
    struct memory_disk *m = memory_of(disk);

    assert_true(m->writable);
    assert_true(range_inside(offset, length, m->size));
    memcpy(m->data + offset, data, length);
    m->last_write = offset;
    return 0;
}

static int memory_zero(struct disk *disk, uint64_t offset, uint64_t length, bool discard)
{
    struct memory_disk *m = memory_of(disk);

    assert_true(m->writable && discard);
    assert_true(range_inside(offset, length, m->size));
    memset(m->data + offset, 0, length);
    m->last_write = offset;
    m->zeros++;
    return 0;
}

static int memory_flush(struct disk *disk)
{
    struct memory_disk *m = memory_of(disk);

    assert_true(m->writable);
    m->flushes++;
    return 0;
}

static const struct disk_operations memory_operations = {
    .read = memory_read, .write = memory_write, .zero = memory_zero, .flush = memory_flush};

static struct memory_disk make_memory(uint64_t size, struct rng *rng)
{
    struct memory_disk m = {.disk = {&memory_operations}, .data = malloc(size), .size = size};

    assert_non_null(m.data);
    rng_fill(rng, m.data, size);
    return m;
}

/* --- a fallocate that the shadow sees --------------------------------------- */

int __real_fallocate64(int fd, int mode, off_t offset, off_t length);
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t length);
static bool punch_for_real;

/* For the shadow a hole is a write of zeros, which a power cut may tear like any other. */
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t length)
{
    cleanup_free void *zeros = NULL;

    if (punch_for_real || !(mode & 2 /* FALLOC_FL_PUNCH_HOLE */))
        return __real_fallocate64(fd, mode, offset, length);
    zeros = calloc(1, (size_t)length);
    assert_non_null(zeros);
    return pwrite(fd, zeros, (size_t)length, offset) == length ? 0 : -1;
}

/* --- opening ---------------------------------------------------------------- */

static int setup(void **state)
{
    static unsigned number;
    char name[32];

    (void)state;
    snprintf(name, sizeof(name), "%u.cow", number++);
    path = join(base_dir, name);
    failure = (struct failure){0};
    punch_for_real = false;
    log_forget();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    shadow_forget();
    shadow_disarm();
    unlink(path);
    free(path);
    return 0;
}

static struct overlay_header header_for(uint64_t size)
{
    struct overlay_header header = {.disk_size = size, .logical_sector = 512, .identity = IDENTITY};

    memset(header.mark, 0x5a, sizeof(header.mark));
    return header;
}

static void create(uint64_t size)
{
    struct overlay_header header = header_for(size);
    int fd = overlay_create(path, &header, &failure);

    if (fd < 0)
        fail_msg("overlay_create: %d: %s", fd, failure.text);
    close(fd);
}

static struct overlay *open_overlay(struct disk *base)
{
    struct overlay *overlay = NULL;
    struct overlay_header header;
    int fd = overlay_open(path, &header, &failure);

    if (fd < 0)
        fail_msg("overlay_open: %d: %s", fd, failure.text);
    assert_int_equal(overlay_start(&overlay, fd, &header, base), 0);
    return overlay;
}

/* It must be refused with ERR and a sentence that names the file. */
static void assert_refused(int err)
{
    struct overlay_header header;

    failure = (struct failure){0};
    assert_int_equal(overlay_open(path, &header, &failure), err);
    assert_non_null(strstr(failure.text, path));
    assert_true(failure.code != EXIT_FINE);
}

/* --- the format --------------------------------------------------------------- */

static void test_header_round_trip(void **state)
{
    struct overlay_header in = header_for(123 * 512), out;
    struct overlay_disk_header disk;

    (void)state;
    in.state = OVERLAY_COMMITTING;
    overlay_encode_header(&in, &disk);
    assert_int_equal(overlay_decode_header(&disk, &out), 0);
    assert_int_equal(out.state, in.state);
    assert_int_equal(out.disk_size, in.disk_size);
    assert_int_equal(out.logical_sector, in.logical_sector);
    assert_string_equal(out.identity, in.identity);
    assert_memory_equal(out.mark, in.mark, sizeof(in.mark));
    assert_memory_equal(&disk, "vhdxfs overlay\n", 16);
}

/* Every bit of the header is under the checksum, or is the checksum. */
static void test_header_damage(void **state)
{
    struct overlay_header header = header_for(GIB), out;
    struct overlay_disk_header disk;
    uint8_t *bytes = (uint8_t *)&disk;

    (void)state;
    overlay_encode_header(&header, &disk);
    for (size_t i = 0; i < sizeof(disk) * 8; i++) {
        bytes[i / 8] ^= (uint8_t)(1U << i % 8);
        assert_int_equal(overlay_decode_header(&disk, &out), -EUCLEAN);
        bytes[i / 8] ^= (uint8_t)(1U << i % 8);
    }
    assert_int_equal(overlay_decode_header(&disk, &out), 0);
}

static void reseal(struct overlay_disk_header *disk)
{
    put_le32(disk->checksum, 0);
    put_le32(disk->checksum, crc32c(0, disk, sizeof(*disk)));
}

/* A good checksum over values that cannot be. */
static void test_header_nonsense(void **state)
{
    struct overlay_header header = header_for(GIB), out;
    struct overlay_disk_header good, disk;
    struct {
        size_t at, length;
        uint64_t value;
    } cases[] = {
        {offsetof(struct overlay_disk_header, state), 4, 2},
        {offsetof(struct overlay_disk_header, grain_size), 4, 4096},
        {offsetof(struct overlay_disk_header, disk_size), 8, 0},
        {offsetof(struct overlay_disk_header, disk_size), 8, 64 * TIB + 512},
        {offsetof(struct overlay_disk_header, disk_size), 8, UINT64_MAX},
        {offsetof(struct overlay_disk_header, bitmap_offset), 8, 0},
        {offsetof(struct overlay_disk_header, data_offset), 8, 4096},
        {offsetof(struct overlay_disk_header, identity) + 63, 1, 'x'},
    };

    (void)state;
    overlay_encode_header(&header, &good);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint8_t value[8];

        disk = good;
        put_le64(value, cases[i].value);
        memcpy((uint8_t *)&disk + cases[i].at, value, cases[i].length);
        reseal(&disk);
        assert_int_equal(overlay_decode_header(&disk, &out), -EUCLEAN);
    }
    disk = good;
    put_le32(disk.version, 2);
    reseal(&disk);
    assert_int_equal(overlay_decode_header(&disk, &out), -EPROTONOSUPPORT);
}

static void test_geometry(void **state)
{
    (void)state;
    assert_int_equal(overlay_grain_count(1), 1);
    assert_int_equal(overlay_grain_count(GRAIN + 512), 2);
    assert_int_equal(overlay_bitmap_size(TIB), 2 * MIB);
    assert_int_equal(overlay_bitmap_size(512), 4096);
    assert_int_equal(overlay_data_offset(512), GRAIN);
    assert_int_equal(overlay_data_offset(64 * TIB), 128 * MIB + GRAIN);
    assert_int_equal(overlay_file_size(64 * TIB), 64 * TIB + 128 * MIB + GRAIN);
}

/* --- the file ------------------------------------------------------------------ */

static void test_create(void **state)
{
    struct overlay_header header = header_for(10 * MIB);
    struct stat st;

    (void)state;
    create(10 * MIB);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode, S_IFREG | 0600);
    assert_int_equal(st.st_size, overlay_file_size(10 * MIB));
    assert_true(st.st_blocks * 512 <= 64 * 1024);
    assert_int_equal(overlay_create(path, &header, &failure), -EEXIST);
    assert_int_equal(overlay_remove(path), 0);
    assert_false(exists(path));
    assert_int_equal(overlay_remove(path), 0);
}

static void test_locked(void **state)
{
    struct overlay_header header;
    int fd;

    (void)state;
    create(MIB);
    fd = overlay_open(path, &header, &failure);
    assert_true(fd >= 0);
    assert_refused(-EBUSY);
    assert_int_equal(failure.code, EXIT_UNSAFE);
    close(fd);
    fd = overlay_open(path, &header, &failure);
    assert_true(fd >= 0);
    close(fd);
}

static void test_not_ours(void **state)
{
    cleanup_free char *other = NULL;

    (void)state;
    assert_refused(-ENOENT);
    create(MIB);
    assert_true(asprintf(&other, "%s.other", path) > 0);
    assert_int_equal(link(path, other), 0); /* a second name: somebody else may know it */
    assert_refused(-EPERM);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink(other, path), 0);
    assert_refused(-ELOOP);
    assert_int_equal(rename(other, path), 0);
    assert_int_equal(chmod(path, 0620), 0);
    assert_refused(-EPERM);
    assert_int_equal(chmod(path, 0600), 0);
    if (geteuid() == 0) {
        assert_int_equal(chown(path, 12345, 0), 0);
        assert_refused(-EPERM);
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0); /* and it must not wait for a writer */
    assert_refused(-EPERM);
    assert_int_equal(unlink(path), 0);
}

static void test_damaged_file(void **state)
{
    static const uint8_t junk[64] = {1, 2, 3};
    struct overlay_header header;
    int fd;

    (void)state;
    create(MIB);
    assert_int_equal(truncate(path, (off_t)overlay_file_size(MIB) - 512), 0);
    assert_refused(-EUCLEAN);
    assert_int_equal(failure.code, EXIT_INVALID_IMAGE);
    assert_int_equal(truncate(path, (off_t)overlay_file_size(MIB) + 512), 0);
    assert_refused(-EUCLEAN);
    assert_int_equal(truncate(path, (off_t)overlay_file_size(MIB)), 0);

    /* One copy of the header is enough, and the other is made again. */
    for (uint64_t copy = 0; copy < 2; copy++) {
        write_file(path, junk, sizeof(junk), copy * 4096 + 100);
        fd = overlay_open(path, &header, &failure);
        assert_true(fd >= 0);
        assert_string_equal(header.identity, IDENTITY);
        close(fd);
    }
    write_file(path, junk, sizeof(junk), 100);
    write_file(path, junk, sizeof(junk), 4096 + 100);
    assert_refused(-EUCLEAN);
    assert_int_equal(truncate(path, 4096), 0);
    assert_refused(-EUCLEAN);
    assert_int_equal(truncate(path, 0), 0);
    assert_refused(-EUCLEAN);
}

/* "Committing" holds as soon as one copy says so, whatever happens to the other. */
static void test_committing(void **state)
{
    static const uint8_t junk[64] = {1, 2, 3};
    struct overlay_disk_header disk;
    struct overlay_header header;
    int fd;

    (void)state;
    create(MIB);
    fd = overlay_open(path, &header, &failure);
    assert_true(fd >= 0);
    assert_int_equal(header.state, OVERLAY_NORMAL);
    header.state = OVERLAY_COMMITTING;
    overlay_encode_header(&header, &disk);
    close(fd);
    write_file(path, &disk, sizeof(disk), 4096); /* the first copy still says "normal" */
    for (int i = 0; i < 2; i++) {
        fd = overlay_open(path, &header, &failure);
        assert_true(fd >= 0);
        assert_int_equal(header.state, OVERLAY_COMMITTING);
        close(fd);
        write_file(path, junk, sizeof(junk), 4096 + 100);
    }
}

static void test_binding(void **state)
{
    struct overlay_header made = header_for(MIB), now = made;

    (void)state;
    assert_int_equal(overlay_check(path, &made, &now, &failure), 0);
    now.mark[OVERLAY_MARK_SIZE - 1] ^= 1;
    assert_int_equal(overlay_check(path, &made, &now, &failure), -ESTALE);
    assert_non_null(strstr(failure.text, "--discard"));
    now = made;
    now.disk_size += 512;
    assert_int_equal(overlay_check(path, &made, &now, &failure), -ESTALE);
    now = made;
    now.logical_sector = 4096;
    assert_int_equal(overlay_check(path, &made, &now, &failure), -ESTALE);
    now = made;
    now.identity[0] = 'f';
    assert_int_equal(overlay_check(path, &made, &now, &failure), -ESTALE);
    assert_non_null(strstr(failure.text, IDENTITY));
}

/* A file system that cannot hold the file says so: its limit, or here the process's. */
static void test_too_large(void **state)
{
    struct overlay_header header = header_for(64 * TIB);
    struct rlimit limit, before;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = GIB;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(overlay_create(path, &header, &failure), -EFBIG);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_non_null(strstr(failure.text, "XFS"));
    assert_false(exists(path));
}

/* --- the disk against an oracle --------------------------------------------------- */

struct operation {
    uint64_t offset;
    size_t length;
    uint8_t *data;
};

struct model {
    struct memory_disk base;
    struct overlay *overlay;
    uint8_t *seen;    /* what a client must read */
    uint8_t *flushed; /* what must be there after a crash, unless overwritten since */
    uint8_t *buffer;
    struct operation *since; /* the flush */
    size_t count, room;
};

static void model_start(struct model *m, uint64_t size, struct rng *rng)
{
    *m = (struct model){.base = make_memory(size, rng)};
    m->seen = malloc(size);
    m->flushed = malloc(size);
    m->buffer = malloc(size);
    assert_true(m->seen && m->flushed && m->buffer);
    memcpy(m->seen, m->base.data, size);
    memcpy(m->flushed, m->base.data, size);
    create(size);
    shadow_watch(path);
    m->overlay = open_overlay(&m->base.disk);
}

static void forget_operations(struct model *m)
{
    for (size_t i = 0; i < m->count; i++)
        free(m->since[i].data);
    m->count = 0;
}

static void model_end(struct model *m)
{
    overlay_close(m->overlay);
    shadow_forget();
    unlink(path);
    forget_operations(m);
    free(m->since);
    free(m->base.data);
    free(m->seen);
    free(m->flushed);
    free(m->buffer);
}

static void note_operation(struct model *m, uint64_t offset, size_t length)
{
    if (m->count == m->room) {
        m->room = m->room ? 2 * m->room : 64;
        m->since = reallocarray(m->since, m->room, sizeof(*m->since));
        assert_non_null(m->since);
    }
    m->since[m->count] = (struct operation){offset, length, malloc(length)};
    assert_non_null(m->since[m->count].data);
    memcpy(m->since[m->count].data, m->seen + offset, length);
    m->count++;
}

static void check_all(struct model *m)
{
    assert_int_equal(disk_read(overlay_disk(m->overlay), m->buffer, m->base.size, 0), 0);
    assert_memory_equal(m->buffer, m->seen, m->base.size);
}

/* Any of the values that byte AT has had since the last flush. */
static bool plausible(const struct model *m, uint64_t at, uint8_t value)
{
    if (m->flushed[at] == value)
        return true;
    for (size_t i = 0; i < m->count; i++)
        if (at - m->since[i].offset < m->since[i].length &&
            m->since[i].data[at - m->since[i].offset] == value)
            return true;
    return false;
}

/* After a crash: what was flushed is there, and what was written since, or not. */
static void reopen_after_crash(struct model *m)
{
    m->overlay = open_overlay(&m->base.disk);
    assert_int_equal(disk_read(overlay_disk(m->overlay), m->seen, m->base.size, 0), 0);
    for (uint64_t i = 0; i < m->base.size; i++)
        if (m->seen[i] != m->flushed[i] && !plausible(m, i, m->seen[i]))
            fail_msg("byte %llu is %02x, was flushed as %02x", (unsigned long long)i, m->seen[i],
                     m->flushed[i]);
    memcpy(m->flushed, m->seen, m->base.size);
    forget_operations(m);
}

static void flush_model(struct model *m)
{
    assert_int_equal(disk_flush(overlay_disk(m->overlay)), 0);
    memcpy(m->flushed, m->seen, m->base.size);
    forget_operations(m);
}

/* Aligned to grains, to sectors, or to nothing; short or long. */
static void random_range(const struct model *m, struct rng *rng, uint64_t *offset, size_t *length)
{
    static const uint64_t units[] = {1, 512, 4096, GRAIN};
    uint64_t unit = units[rng_below(rng, ARRAY_SIZE(units))];

    *offset = round_down(rng_below(rng, m->base.size), unit);
    *length = (size_t)min_u64(m->base.size - *offset, unit * (1 + rng_below(rng, 5)));
    if (rng_one_in(rng, 16))
        *length = (size_t)(m->base.size - *offset);
}

static void random_write(struct model *m, struct rng *rng)
{
    uint64_t offset;
    size_t length;

    random_range(m, rng, &offset, &length);
    rng_fill(rng, m->seen + offset, length);
    note_operation(m, offset, length);
    assert_int_equal(disk_write(overlay_disk(m->overlay), m->seen + offset, length, offset), 0);
}

static void random_zero(struct model *m, struct rng *rng)
{
    uint64_t offset;
    size_t length;

    random_range(m, rng, &offset, &length);
    memset(m->seen + offset, 0, length);
    note_operation(m, offset, length);
    assert_int_equal(disk_zero(overlay_disk(m->overlay), offset, length, rng_one_in(rng, 2)), 0);
}

static void random_read(struct model *m, struct rng *rng)
{
    uint64_t offset;
    size_t length;

    random_range(m, rng, &offset, &length);
    assert_int_equal(disk_read(overlay_disk(m->overlay), m->buffer, length, offset), 0);
    assert_memory_equal(m->buffer, m->seen + offset, length);
}

/* kill -9: nothing is flushed, the page cache lives on. Or a power cut: it does not. */
static void crash(struct model *m, struct rng *rng)
{
    overlay_close(m->overlay);
    if (rng_one_in(rng, 2))
        shadow_power_cut(rng);
    reopen_after_crash(m);
}

/*
 * A flush that fails, before or after the bitmap was written, goes on failing, and takes nothing
 * with it that was flushed before.
 */
static void failed_flush(struct model *m, struct rng *rng)
{
    int err;

    shadow_fail_flush((unsigned)rng_below(rng, 2), EIO, rng_next(rng));
    err = disk_flush(overlay_disk(m->overlay));
    if (!err) { /* there was no bitmap to be written */
        assert_true(shadow_armed());
        shadow_disarm();
        memcpy(m->flushed, m->seen, m->base.size);
        forget_operations(m);
        return;
    }
    assert_int_equal(err, -EIO);
    assert_int_equal(disk_flush(overlay_disk(m->overlay)), -EIO);
    overlay_close(m->overlay);
    reopen_after_crash(m);
}

static void random_step(struct model *m, struct rng *rng)
{
    uint64_t roll = rng_below(rng, 100);

    if (roll < 40)
        random_write(m, rng);
    else if (roll < 55)
        random_zero(m, rng);
    else if (roll < 85)
        random_read(m, rng);
    else if (roll < 94)
        flush_model(m);
    else if (roll < 96)
        failed_flush(m, rng);
    else
        crash(m, rng);
}

static void test_model(void **state)
{
    static const uint64_t sizes[] = {512,
                                     4096,
                                     GRAIN - 512,
                                     GRAIN,
                                     GRAIN + 512,
                                     3 * GRAIN - 1024,
                                     8 * GRAIN,
                                     9 * GRAIN + 4096,
                                     16 * GRAIN + 512,
                                     23 * GRAIN + 5 * 512};
    uint64_t steps = test_count("OVERLAY_STEPS", 300), seed = test_seed("overlay model");
    struct rng rng = {seed};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        cleanup_free uint8_t *base = malloc(sizes[i]);
        struct model m;

        model_start(&m, sizes[i], &rng);
        memcpy(base, m.base.data, sizes[i]);
        for (uint64_t n = 0; n < steps; n++)
            random_step(&m, &rng);
        check_all(&m);
        flush_model(&m);
        overlay_close(m.overlay);
        shadow_power_cut(&rng);
        m.overlay = open_overlay(&m.base.disk);
        check_all(&m);
        assert_memory_equal(base, m.base.data, sizes[i]);
        model_end(&m);
    }
}

/* No space for the bitmap: the flush fails, the next one does what was left undone. */
static void test_bitmap_write_fails(void **state)
{
    struct rng rng = {test_seed("overlay bitmap")};
    struct model m;

    (void)state;
    for (int torn = 0; torn < 2; torn++) {
        model_start(&m, 9 * GRAIN, &rng);
        random_write(&m, &rng);
        shadow_fail_write(0, torn ? 512 : 0, ENOSPC);
        assert_int_equal(disk_flush(overlay_disk(m.overlay)), -ENOSPC);
        flush_model(&m);
        overlay_close(m.overlay);
        shadow_power_cut(&rng);
        m.overlay = open_overlay(&m.base.disk);
        check_all(&m);
        model_end(&m);
    }
}

/* A write to a new grain that fails has happened not at all, also when the base cannot be read. */
static void test_new_grain_fails(void **state)
{
    struct rng rng = {test_seed("overlay new grain")};
    struct model m;
    uint8_t data[512] = {1};

    (void)state;
    model_start(&m, 4 * GRAIN, &rng);
    shadow_fail_write(0, 4096, ENOSPC);
    assert_int_equal(disk_write(overlay_disk(m.overlay), data, sizeof(data), GRAIN), -ENOSPC);
    check_all(&m);
    m.base.fail_reads = true;
    assert_int_equal(disk_write(overlay_disk(m.overlay), data, sizeof(data), GRAIN), -EIO);
    assert_int_equal(disk_read(overlay_disk(m.overlay), data, sizeof(data), GRAIN), -EIO);
    m.base.fail_reads = false;
    check_all(&m);
    assert_int_equal(overlay_present(m.overlay), 0);
    model_end(&m);
}

/* The first flush of the data comes before the bitmap is written: a bit never runs ahead. */
static void test_failed_flush_sets_no_bit(void **state)
{
    struct rng rng = {test_seed("overlay failed flush")};
    struct model m;
    uint8_t data[512] = {1};

    (void)state;
    model_start(&m, 4 * GRAIN, &rng);
    assert_int_equal(disk_write(overlay_disk(m.overlay), data, sizeof(data), GRAIN), 0);
    shadow_fail_flush(0, EIO, rng_next(&rng));
    assert_int_equal(disk_flush(overlay_disk(m.overlay)), -EIO);
    overlay_close(m.overlay);
    m.overlay = open_overlay(&m.base.disk);
    assert_int_equal(overlay_present(m.overlay), 0);
    check_all(&m);
    model_end(&m);
}

/* Several bitmap pages, of which a few say something; terabytes, of which little is used. */
static void test_large(void **state)
{
    const uint64_t size = 3 * TIB + 7 * GRAIN + 512;
    static const uint64_t places[] = {0,       GRAIN - 1,       32768 * GRAIN - 512,
                                      2 * TIB, 2 * TIB + 12345, 3 * TIB + 7 * GRAIN};
    struct overlay_header header = header_for(size);
    /* Only where the test reads is the base asked: zeros, far smaller than it claims. */
    struct memory_disk base = {.disk = {&memory_operations}, .size = size};
    struct overlay *o;
    struct stat st;
    uint8_t data[512], found[512];
    int fd = overlay_create(path, &header, &failure);

    (void)state;
    punch_for_real = true;
    if (fd == -EFBIG || fd == -ENOSPC)
        skip();
    assert_true(fd >= 0);
    assert_int_equal(overlay_start(&o, fd, &header, &base.disk), 0);
    /* All zeros first, in one call; then nothing is the base's any more. */
    assert_int_equal(disk_zero(overlay_disk(o), 0, size, true), 0);
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        memset(data, (int)i + 1, sizeof(data));
        assert_int_equal(disk_write(overlay_disk(o), data, sizeof(data), places[i]), 0);
    }
    assert_int_equal(disk_flush(overlay_disk(o)), 0);
    overlay_close(o);
    o = open_overlay(&base.disk);
    assert_int_equal(overlay_present(o), overlay_grain_count(size));
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        memset(data, (int)i + 1, sizeof(data));
        assert_int_equal(disk_read(overlay_disk(o), found, sizeof(found), places[i]), 0);
        assert_memory_equal(found, data, sizeof(data));
    }
    assert_int_equal(disk_read(overlay_disk(o), found, sizeof(found), TIB), 0);
    assert_true(is_zero(found, sizeof(found)));
    assert_int_equal(stat(path, &st), 0);
    assert_true((uint64_t)st.st_blocks * 512 < 16 * MIB);
    overlay_close(o);
}

/* --- commit ------------------------------------------------------------------------- */

static uint64_t told;

static void tell(void *arg, uint64_t done)
{
    assert_ptr_equal(arg, &told);
    assert_true(done >= told);
    told = done;
}

static void test_copy(void **state)
{
    static const uint64_t sizes[] = {512, GRAIN + 512, 40 * GRAIN, 70 * GRAIN - 1024};
    struct rng rng = {test_seed("overlay copy")};

    (void)state;
    punch_for_real = true;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
        for (unsigned writes = 0; writes < 24; writes += 3) {
            struct memory_disk target;
            struct model m;

            model_start(&m, sizes[i], &rng);
            shadow_forget();
            for (unsigned n = 0; n < writes; n++)
                if (rng_one_in(&rng, 3))
                    random_zero(&m, &rng);
                else
                    random_write(&m, &rng);
            target = m.base;
            target.data = malloc(sizes[i]);
            memcpy(target.data, m.base.data, sizes[i]);
            target.writable = true;
            told = 0;
            assert_int_equal(overlay_copy(m.overlay, &target.disk, true, tell, &told), 0);
            assert_memory_equal(target.data, m.seen, sizes[i]);
            assert_int_equal(told, overlay_present(m.overlay));
            assert_int_equal(target.flushes, 2);
            if (overlay_holds(m.overlay, 0))
                assert_int_equal(target.last_write, 0);
            free(target.data);
            model_end(&m);
        }
}

/* Space that was trimmed is trimmed on the target, not written. */
static void test_copy_holes(void **state)
{
    struct rng rng = {test_seed("overlay holes")};
    struct memory_disk target;
    struct model m;

    (void)state;
    punch_for_real = true;
    model_start(&m, 64 * GRAIN, &rng);
    shadow_forget();
    assert_int_equal(disk_zero(overlay_disk(m.overlay), GRAIN, 50 * GRAIN, true), 0);
    memset(m.seen + GRAIN, 0, 50 * GRAIN);
    target = make_memory(m.base.size, &rng);
    memcpy(target.data, m.base.data, m.base.size);
    target.writable = true;
    assert_int_equal(overlay_copy(m.overlay, &target.disk, true, NULL, NULL), 0);
    assert_memory_equal(target.data, m.seen, m.base.size);
    assert_int_equal(target.zeros, 1);
    free(target.data);
    model_end(&m);
}

/* --- threads -------------------------------------------------------------------------- */

#define THREADS 6
#define UNIT    1024 /* each thread has every sixth of these: all of them meet in each grain */

struct worker {
    pthread_t thread;
    unsigned number;
    struct model *model;
    uint64_t seed;
    int err;
};

/* Writes and zeros what is its own, reads it back, and flushes now and then. */
static void *work(void *arg)
{
    struct worker *w = arg;
    struct model *m = w->model;
    struct disk *disk = overlay_disk(m->overlay);
    uint64_t units = m->base.size / UNIT / THREADS;
    struct rng rng = {w->seed};
    uint8_t found[UNIT];

    for (unsigned i = 0; !w->err && i < 400; i++) {
        uint64_t at = (rng_below(&rng, units) * THREADS + w->number) * UNIT;

        if (rng_one_in(&rng, 4)) {
            memset(m->seen + at, 0, UNIT);
            w->err = disk_zero(disk, at, UNIT, true);
        } else {
            rng_fill(&rng, m->seen + at, UNIT);
            w->err = disk_write(disk, m->seen + at, UNIT, at);
        }
        if (!w->err && rng_one_in(&rng, 20))
            w->err = disk_flush(disk);
        if (!w->err)
            w->err = disk_read(disk, found, UNIT, at);
        if (!w->err && memcmp(found, m->seen + at, UNIT) != 0)
            w->err = -EILSEQ;
    }
    if (!w->err)
        w->err = disk_flush(disk);
    return NULL;
}

static void test_threads(void **state)
{
    struct rng rng = {test_seed("overlay threads")};
    struct worker workers[THREADS];
    struct model m;

    (void)state;
    punch_for_real = true;
    for (int round = 0; round < 5; round++) {
        model_start(&m, 24 * GRAIN, &rng);
        shadow_forget(); /* it knows no threads */
        for (unsigned i = 0; i < THREADS; i++) {
            workers[i] = (struct worker){.number = i, .model = &m, .seed = rng_next(&rng)};
            assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
        }
        for (unsigned i = 0; i < THREADS; i++) {
            pthread_join(workers[i].thread, NULL);
            assert_int_equal(workers[i].err, 0);
        }
        check_all(&m);
        overlay_close(m.overlay); /* as if killed: each thread has flushed last */
        m.overlay = open_overlay(&m.base.disk);
        check_all(&m);
        model_end(&m);
    }
}

struct trimmer {
    pthread_t thread;
    struct model *model;
    int err;
};

static void *trim(void *arg)
{
    struct trimmer *t = arg;

    for (uint64_t g = 0; !t->err && g < 32; g += 4)
        t->err = disk_zero(overlay_disk(t->model->overlay), g * GRAIN, 4 * GRAIN, true);
    return NULL;
}

/*
 * Whole grains are zeroed while parts of them are written: each byte is the zero or what was
 * written, and never again what the base has.
 */
static void test_trim_against_writes(void **state)
{
    struct rng rng = {test_seed("overlay trim")};
    uint8_t ones[512];
    struct model m;

    (void)state;
    punch_for_real = true;
    memset(ones, 1, sizeof(ones));
    for (int round = 0; round < 20; round++) {
        struct trimmer t = {.model = &m};

        model_start(&m, 32 * GRAIN, &rng);
        shadow_forget();
        for (uint64_t i = 0; i < m.base.size; i++)
            m.base.data[i] |= 2; /* neither 0 nor 1 */
        assert_int_equal(pthread_create(&t.thread, NULL, trim, &t), 0);
        for (uint64_t g = 0; g < 32; g++)
            assert_int_equal(disk_write(overlay_disk(m.overlay), ones, sizeof(ones),
                                        g * GRAIN + rng_below(&rng, 127) * 512),
                             0);
        pthread_join(t.thread, NULL);
        assert_int_equal(t.err, 0);
        assert_int_equal(disk_read(overlay_disk(m.overlay), m.buffer, m.base.size, 0), 0);
        for (uint64_t i = 0; i < m.base.size; i++)
            assert_true(m.buffer[i] <= 1);
        model_end(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_header_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_header_damage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_header_nonsense, setup, teardown),
        cmocka_unit_test_setup_teardown(test_geometry, setup, teardown),
        cmocka_unit_test_setup_teardown(test_create, setup, teardown),
        cmocka_unit_test_setup_teardown(test_locked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_ours, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_committing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_binding, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_large, setup, teardown),
        cmocka_unit_test_setup_teardown(test_model, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bitmap_write_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(test_new_grain_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failed_flush_sets_no_bit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large, setup, teardown),
        cmocka_unit_test_setup_teardown(test_copy, setup, teardown),
        cmocka_unit_test_setup_teardown(test_copy_holes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_trim_against_writes, setup, teardown),
    };

    base_dir = temp_dir(true);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
