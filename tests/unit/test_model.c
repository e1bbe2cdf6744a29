/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The model test: random operations on an export, and the same on an oracle, which is nothing
 * but four arrays of bytes. Every answer and every byte must agree, through closing, killing
 * and starting again, on many geometries and kinds of storage.
 *
 * TEST_SEED repeats a run, MODEL_OPS says how many operations (tests/run does ten million).
 */
#include "common/bytes.h"
#include "common/cleanup.h"
#include "export/export.h"
#include "export/firewall.h"
#include "tests/unit/support.h"
#include "tests/unit/unit.h"
#include "vhdx/encode.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#define UUID  "6b29fc40-ca47-1067-b31d-00dd010662da"

#define POOL  (8 * MIB) /* of random bytes to write */
#define GUARD 8192      /* what the firewall looks at, and what makes it an ext4 */
#define MOST  (2 * MIB) /* bytes in one operation; a few zeroings are longer */

enum storage {
    IN_MEMORY,
    ON_DISK,
    LOOP_512,
    LOOP_4096
};
static const char *const storage_names[] = {"memory", "disk", "loop 512", "loop 4096"};

struct geometry {
    enum storage storage;
    uint64_t disk;
    uint64_t fs; /* bytes of the file system; not 0: it must stay clean */
    uint32_t block;
    bool firewall, latch, discard, tiny;
};

enum op_kind {
    OP_READ,
    OP_WRITE,
    OP_ZERO,
    OP_PUNCH,
    OP_FLUSH
};
static const char *const op_names[] = {"read", "write", "zero", "punch", "flush"};

struct op {
    enum op_kind kind;
    uint64_t offset;
    size_t length;
    const uint8_t *data;
    int err; /* what the oracle says */
    size_t done;
};

struct model {
    struct rng rng;
    struct geometry geometry;
    struct export_settings settings;
    struct exported exported;
    struct loop loop;
    char *image, *state;
    bool child; /* a process that will die, see die_in_a_child() */
    uint64_t number;

    /* The oracle. */
    struct vhdx_layout layout;
    uint8_t *meta, *bat, *disk;
    uint8_t *fresh_meta, *fresh_head; /* what the file needs to be opened again */
    uint64_t P, size;
    bool latched; /* until it is closed: for so long no test runs */
    bool suspended;
};

static const char *memory_dir, *disk_dir;
static uint8_t *pool, *scratch, *found;
static struct {
    uint64_t ops, refused, reopened, restarted, killed, died, geometries[4], flushes, checked;
} count;

static void describe(const struct model *m)
{
    const struct geometry *g = &m->geometry;

    fprintf(stderr, "%s, disk of %" PRIu64 " bytes, blocks of %u, %s%s%s, operation %" PRIu64 "\n",
            storage_names[g->storage], g->disk, m->layout.block_size,
            !g->firewall ? "no firewall"
            : g->latch   ? "firewall with a latch"
                         : "firewall",
            g->fs ? ", quiet file system" : "", g->discard ? "" : ", nodiscard", m->number);
}

/* Never an assert in a child: it would go on with the other tests. */
#define mismatch(m, ...)                                                                           \
    do {                                                                                           \
        fprintf(stderr, "model: " __VA_ARGS__);                                                    \
        fputs("\n", stderr);                                                                       \
        describe(m);                                                                               \
        if ((m)->child)                                                                            \
            _exit(1);                                                                              \
        fail();                                                                                    \
    } while (0)

/* --- the oracle --- */

/* The byte array that holds OFFSET of the file, NULL for the pad; *ROOM is how far it goes. */
static uint8_t *oracle_at(const struct model *m, uint64_t offset, uint64_t *room)
{
    if (offset < VHDX_BAT_AT) {
        *room = VHDX_BAT_AT - offset;
        return m->meta + offset;
    }
    if (offset < m->P) {
        *room = m->P - offset;
        return m->bat + (offset - VHDX_BAT_AT);
    }
    if (offset - m->P < m->geometry.disk) {
        *room = m->geometry.disk - (offset - m->P);
        return m->disk + (offset - m->P);
    }
    *room = m->size - offset;
    return NULL;
}

static void oracle_read(const struct model *m, uint8_t *data, size_t length, uint64_t offset)
{
    while (length > 0) {
        uint64_t room;
        const uint8_t *from = oracle_at(m, offset, &room);
        size_t n = (size_t)min_u64(length, room);

        if (from)
            memcpy(data, from, n);
        else
            memset(data, 0, n);
        data += n;
        offset += n;
        length -= n;
    }
}

/* What LENGTH bytes at AT of the disk would be after DATA, or zeros, were written to OFFSET. */
static bool oracle_after(const struct model *m, const uint8_t *data, uint64_t offset, uint64_t end,
                         uint64_t at, size_t length, uint8_t *after)
{
    memcpy(after, m->disk + at, length);
    for (uint64_t i = offset > at ? offset : at; i < min_u64(end, at + length); i++)
        after[i - at] = data ? data[i - offset] : 0;
    return offset < at + length && end > at;
}

static bool oracle_spares_table(const struct model *m, const uint8_t *data, uint64_t offset,
                                uint64_t end)
{
    uint8_t after[4096];
    struct firewall_table t;
    uint64_t unit, stop, next;

    if (!firewall_table(m->disk, &t) || t.at + t.block > m->geometry.disk)
        return true;
    if (oracle_after(m, data, offset, end, t.at, FIREWALL_DESCRIPTOR, after) &&
        firewall_judge_descriptor(m->disk + t.at, after, m->geometry.disk / t.block))
        return false;
    unit = min_u64(t.block, 4096);
    stop = min_u64(min_u64(end, t.at + t.size), MIB);
    for (uint64_t at = offset > t.at ? offset : t.at; at < stop; at = next) {
        next = min_u64(round_up(at + 1, unit), stop);
        oracle_after(m, data, offset, end, at, (size_t)(next - at), after);
        if (is_zero(after, (size_t)(next - at)) &&
            firewall_judge_blanking(m->disk + at, (size_t)(next - at)))
            return false;
    }
    return true;
}

static bool oracle_spares_entry(const struct model *m, const uint8_t *data, uint64_t offset,
                                uint64_t end, uint64_t at)
{
    uint8_t after[FIREWALL_ENTRY];

    return at + FIREWALL_ENTRY > m->geometry.disk ||
           !oracle_after(m, data, offset, end, at, sizeof(after), after) ||
           !firewall_judge_entry(m->disk + at, after, m->geometry.disk / m->layout.logical_sector);
}

static bool oracle_spares_head(const struct model *m, const uint8_t *data, uint64_t offset,
                               uint64_t end)
{
    uint8_t after[GUARD];
    uint32_t sector = m->layout.logical_sector;

    if (oracle_after(m, data, offset, end, 0, GUARD, after) &&
        firewall_judge_head(m->disk, after, (size_t)offset, (size_t)min_u64(end, GUARD), sector))
        return false;
    return oracle_spares_table(m, data, offset, end) &&
           (sector == 512 || oracle_spares_entry(m, data, offset, end, 2 * sector));
}

/* Whether the firewall lets [offset, offset + length) of the disk become DATA, or zeros. */
static bool oracle_passes(struct model *m, const uint8_t *data, uint64_t offset, uint64_t length)
{
    uint64_t disk = m->geometry.disk, end = offset + length, tail = disk - m->layout.logical_sector;
    uint8_t after[4096];
    bool spares;

    if (!m->geometry.firewall || m->suspended || disk < 2 * GUARD ||
        (offset >= MIB && end + MIB <= disk))
        return true;
    if (m->latched)
        return false;
    spares = (!firewall_is_ext(m->disk) || oracle_spares_head(m, data, offset, end)) &&
             (tail <= FIREWALL_ENTRIES ||
              oracle_spares_entry(m, data, offset, end, tail - FIREWALL_ENTRIES)) &&
             (!oracle_after(m, data, offset, end, tail, (size_t)(disk - tail), after) ||
              !firewall_judge_tail(after, disk / m->layout.logical_sector - 1));
    m->latched = m->geometry.latch && !spares;
    return spares;
}

/* The BAT entries that a write touches, and what they ask for. Two passes: judge, then do. */
static bool oracle_bat(struct model *m, const struct op *op, uint64_t end, bool really)
{
    uint64_t from = op->offset > VHDX_BAT_AT ? op->offset : VHDX_BAT_AT, to = min_u64(end, m->P);

    if (from >= to)
        return true;
    for (uint64_t i = (from - VHDX_BAT_AT) / 8; i <= (to - 1 - VHDX_BAT_AT) / 8; i++) {
        uint8_t entry[8], *was = m->bat + 8 * i;
        uint64_t at, length;

        for (uint64_t b = 0; b < 8; b++) {
            uint64_t where = VHDX_BAT_AT + 8 * i + b;

            entry[b] = where >= from && where < to ? op->data[where - op->offset] : was[b];
        }
        if (!memcmp(entry, was, 8))
            continue;
        /* Only the state may differ, to ZERO or UNMAPPED, and only where there is a block. */
        if (memcmp(entry + 1, was + 1, 7) != 0 || was[0] != 6 || (entry[0] & ~1) != 2)
            return false;
        at = get_le64(was) - 6 - m->P;
        length = min_u64(m->layout.block_size, m->geometry.disk - at);
        if (!really && !oracle_passes(m, NULL, at, length))
            return false;
        if (really)
            memset(m->disk + at, 0, length);
    }
    return true;
}

/* Where [offset, end) of the file meets the disk. */
static bool disk_part(const struct model *m, uint64_t offset, uint64_t end, uint64_t *at,
                      uint64_t *length)
{
    uint64_t from = offset > m->P ? offset : m->P, to = min_u64(end, m->P + m->geometry.disk);

    if (from >= to)
        return false;
    *at = from - m->P;
    *length = to - from;
    return true;
}

static void oracle_write(struct model *m, struct op *op)
{
    uint64_t end = min_u64(op->offset + op->length, m->size), at, length;

    if (!op->length)
        return;
    op->err = -ENOSPC;
    if (op->offset >= m->size)
        return;
    op->err = -EIO;
    if (!oracle_bat(m, op, end, false))
        return;
    if (disk_part(m, op->offset, end, &at, &length) &&
        !oracle_passes(m, op->data + (m->P + at - op->offset), at, length))
        return;
    op->err = 0;
    op->done = (size_t)(end - op->offset);
    if (op->offset < VHDX_BAT_AT)
        memcpy(m->meta + op->offset, op->data, (size_t)(min_u64(end, VHDX_BAT_AT) - op->offset));
    oracle_bat(m, op, end, true);
    if (disk_part(m, op->offset, end, &at, &length))
        memcpy(m->disk + at, op->data + (m->P + at - op->offset), length);
}

static void oracle_zero(struct model *m, struct op *op)
{
    uint64_t at, length;

    if (!range_inside(op->offset, op->length, m->size)) {
        op->err = -ENOSPC;
    } else if (op->length && op->offset < m->P) {
        op->err = -EPERM;
    } else if (disk_part(m, op->offset, op->offset + op->length, &at, &length)) {
        op->err = oracle_passes(m, NULL, at, length) ? 0 : -EIO;
        if (!op->err)
            memset(m->disk + at, 0, length);
    }
}

static void oracle_apply(struct model *m, struct op *op)
{
    op->err = 0;
    op->done = 0;
    if (op->kind == OP_READ && op->offset < m->size)
        op->done = (size_t)min_u64(op->length, m->size - op->offset);
    else if (op->kind == OP_WRITE)
        oracle_write(m, op);
    else if (op->kind == OP_ZERO || op->kind == OP_PUNCH)
        oracle_zero(m, op);
}

/* --- the export --- */

static void compare(struct model *m, uint64_t offset, size_t length, const char *when)
{
    size_t done = 0;
    int err = export_read(&m->exported, VIEW_VHDX, found, length, offset, &done);

    if (err || done != length)
        mismatch(m, "%s: read of %zu at %" PRIu64 ": %d, %zu bytes", when, length, offset, err,
                 done);
    oracle_read(m, scratch, length, offset);
    for (size_t i = 0; memcmp(found, scratch, length) != 0 && i < length; i++)
        if (found[i] != scratch[i])
            mismatch(m, "%s: byte %" PRIu64 " is %02x, should be %02x (P %" PRIu64 ")", when,
                     offset + i, found[i], scratch[i], m->P);
}

static void compare_near(struct model *m, const struct op *op, const char *when)
{
    uint64_t start = op->offset > 4096 ? op->offset - 4096 : 0;
    uint64_t end = min_u64(op->offset + min_u64(op->length, MOST) + 4096, m->size);

    if (start < end)
        compare(m, start, (size_t)(end - start), when);
}

static void export_apply(struct model *m, const struct op *op)
{
    size_t done = 0;
    int err = 0;

    switch (op->kind) {
    case OP_READ:
        err = export_read(&m->exported, VIEW_VHDX, found, op->length, op->offset, &done);
        break;
    case OP_WRITE:
        err = export_write(&m->exported, VIEW_VHDX, op->data, op->length, op->offset, &done);
        break;
    case OP_ZERO:
    case OP_PUNCH:
        err = export_zero(&m->exported, VIEW_VHDX, op->offset, op->length, op->kind == OP_PUNCH);
        break;
    case OP_FLUSH:
        err = export_flush(&m->exported);
        count.flushes++;
        break;
    }
    if (err != op->err || done != op->done)
        mismatch(m, "%s of %zu at %" PRIu64 ": %d, %zu bytes; should be %d, %zu",
                 op_names[op->kind], op->length, op->offset, err, done, op->err, op->done);
    if (op->kind == OP_READ) {
        oracle_read(m, scratch, done, op->offset);
        if (memcmp(found, scratch, done) != 0)
            compare(m, op->offset, done, "read");
    } else if (err) {
        count.refused++;
        compare_near(m, op, "after a refusal");
    } else if (m->number % 4 == 0 && op->kind != OP_FLUSH) {
        compare_near(m, op, op_names[op->kind]);
    }
}

static void compare_all(struct model *m, const char *when)
{
    for (uint64_t at = 0; at < m->size; at += MOST)
        compare(m, at, (size_t)min_u64(MOST, m->size - at), when);
}

/* --- what to do next --- */

static size_t random_length(struct rng *rng)
{
    uint64_t dice = rng_below(rng, 1000);
    uint64_t most = dice < 700 ? 4096 : dice < 950 ? 32768 : dice < 997 ? 262144 : MOST;
    uint64_t length = rng_below(rng, most + 1);

    if (dice % 3 == 0)
        length = round_up(length, 512);
    if (dice % 3 == 1)
        length = round_up(length, 4096);
    return (size_t)min_u64(length, MOST);
}

/* Near a border of anything, in a hot part of the metadata, or anywhere on the disk. */
static uint64_t random_offset(struct model *m, size_t length)
{
    const uint64_t borders[] = {0,
                                VHDX_HEADER_1_AT,
                                VHDX_HEADER_2_AT,
                                VHDX_REGIONS_1_AT,
                                VHDX_LOG_AT,
                                VHDX_METADATA_AT,
                                VHDX_BAT_AT,
                                VHDX_BAT_AT + 8 * m->layout.bat_entries,
                                m->P,
                                m->P + GUARD,
                                m->P + MIB,
                                m->P + min_u64(m->layout.block_size, m->geometry.disk),
                                m->P + m->geometry.disk - min_u64(MIB, m->geometry.disk),
                                m->P + m->geometry.disk,
                                m->size};
    struct rng *rng = &m->rng;
    uint64_t dice = rng_below(rng, 16), offset;

    if (dice < 4) {
        uint64_t border = borders[rng_below(rng, ARRAY_SIZE(borders))];
        uint64_t back = rng_below(rng, length + 600);

        offset = border > back ? border - back : border;
    } else if (dice < 6) {
        offset = VHDX_LOG_AT + 4096 * rng_below(rng, 16) + rng_below(rng, 4096);
    } else if (dice < 7) {
        offset = rng_below(rng, VHDX_BAT_AT);
    } else {
        offset = m->P + rng_below(rng, m->geometry.disk);
    }
    if (rng_one_in(rng, 3))
        offset = round_down(offset, 512);
    if (rng_one_in(rng, 3))
        offset = round_down(offset, 4096);
    return offset;
}

/* Where a write meets the table it mostly says what is there, and the file system stays whole. */
static void tame(struct model *m, struct op *op)
{
    uint64_t end = min_u64(op->offset + op->length, m->size), at = 0, length = 0;
    uint64_t from = op->offset > VHDX_BAT_AT ? op->offset : VHDX_BAT_AT, to = min_u64(end, m->P);
    /* One wild byte may be a state that asks for zeros: not where the file system is watched. */
    bool bat = from < to && op->length && (!rng_one_in(&m->rng, 8) || m->geometry.fs);
    bool fs = m->geometry.fs && disk_part(m, op->offset, end, &at, &length) && at < m->geometry.fs;

    if (op->kind != OP_WRITE || (!bat && !fs))
        return;
    memcpy(scratch, op->data, op->length);
    if (bat)
        memcpy(scratch + (from - op->offset), m->bat + (from - VHDX_BAT_AT), to - from);
    if (fs)
        memcpy(scratch + (m->P + at - op->offset), m->disk + at,
               min_u64(length, m->geometry.fs - at));
    memcpy(found, scratch, op->length); /* SCRATCH is written over by comparisons */
    op->data = memcpy(pool + POOL, found, op->length);
}

/* One or two entries that ask for something, or are nonsense. */
static void random_bat_op(struct model *m, struct op *op)
{
    uint8_t *entries = pool + POOL;
    uint64_t index = rng_below(&m->rng, m->layout.bat_entries + 1);
    size_t n = 1 + (size_t)rng_below(&m->rng, 2);

    for (size_t i = 0; i < n; i++) {
        uint64_t was = get_le64(m->bat + 8 * (index + i)), value = was;

        switch (rng_below(&m->rng, 8)) {
        case 0:
        case 1:
            value = value ? (value & ~UINT64_C(7)) | 2 : 0;
            break;
        case 2:
        case 3:
            value = value ? (value & ~UINT64_C(7)) | 3 : 0;
            break;
        case 4:
            value ^= UINT64_C(1) << rng_below(&m->rng, 64);
            break;
        case 5:
            value = rng_next(&m->rng);
            break;
        default:
            break;
        }
        /* Also of nonsense the first byte alone may be written. */
        if (m->geometry.fs && (value & 0xfe) == 2 && was >= m->P &&
            (was & ~UINT64_C(7)) - m->P < m->geometry.fs)
            value |= 4;
        put_le64(entries + 8 * i, value);
    }
    *op = (struct op){OP_WRITE, VHDX_BAT_AT + 8 * index, 8 * n, entries, 0, 0};
    if (rng_one_in(&m->rng, 4)) /* only the byte with the state */
        op->length = 1;
}

static void random_op(struct model *m, struct op *op)
{
    uint64_t dice = rng_below(&m->rng, 1000);

    if (dice < 15) {
        random_bat_op(m, op);
        return;
    }
    *op = (struct op){.kind = dice < 400   ? OP_READ
                              : dice < 850 ? OP_WRITE
                              : dice < 900 ? OP_ZERO
                              : dice < 950 ? OP_PUNCH
                                           : OP_FLUSH};
    op->length = random_length(&m->rng);
    op->offset = random_offset(m, op->length);
    op->data = pool + rng_below(&m->rng, POOL - MOST);
    tame(m, op);
    if ((op->kind == OP_ZERO || op->kind == OP_PUNCH) && m->geometry.fs &&
        op->offset < m->P + m->geometry.fs)
        op->kind = OP_READ;
}

static void step(struct model *m, bool with_export)
{
    struct op op;

    random_op(m, &op);
    oracle_apply(m, &op);
    if (with_export)
        export_apply(m, &op);
    m->number++;
}

/* --- lives --- */

/* The firewall may have words to say to the way back from random bytes. */
static void set_firewall(struct model *m, bool on, bool with_export)
{
    m->suspended = !on;
    m->latched = false;
    if (with_export) {
        m->exported.views[VIEW_VHDX].path.guard.off = !on || !m->geometry.firewall;
        m->exported.views[VIEW_VHDX].path.guard.until = 0;
    }
}

/* The latch of a new claim: it lasts, or there is none. */
static void set_latch(struct model *m)
{
    m->exported.views[VIEW_VHDX].path.guard.latch = m->geometry.latch ? 24 * 3600 * 1000 : 0;
    m->latched = false;
}

static void start(struct model *m)
{
    struct failure failure = {0};
    int err = start_export(&m->exported, &m->settings, &failure);

    if (!err)
        err = export_open(&m->exported, VIEW_VHDX, true, &failure);
    if (err)
        mismatch(m, "cannot be opened: %d: %s", err, failure.text);
    set_latch(m);
    if (export_size(&m->exported, VIEW_VHDX) != m->size)
        mismatch(m, "the file has %" PRIu64 " bytes", export_size(&m->exported, VIEW_VHDX));
}

static void shut(struct model *m)
{
    export_release(&m->exported, VIEW_VHDX, true);
    if (export_stop(&m->exported) < 0)
        mismatch(m, "stopping failed");
}

/* What kill -9 leaves: nothing flushed, nothing given back, descriptors closed. */
static void abandon(struct model *m)
{
    store_close(m->exported.store);
    backing_close(&m->exported.claim.backing);
    extent_map_free(&m->exported.views[VIEW_VHDX].map);
}

static void put_back(struct model *m, const uint8_t *fresh, uint64_t offset, size_t length,
                     bool with_export)
{
    struct op op = {OP_WRITE, offset, length, fresh, 0, 0};

    oracle_apply(m, &op);
    if (op.err)
        mismatch(m, "the oracle refuses what the file began with");
    if (with_export)
        export_apply(m, &op);
}

/* Random bytes are no ext4 and no VHDX: what is needed to open it again is written back. */
static void heal(struct model *m, bool with_export)
{
    set_firewall(m, false, with_export);
    put_back(m, m->fresh_head, m->P, (size_t)min_u64(GUARD, m->geometry.disk), with_export);
    set_firewall(m, true, with_export);
    put_back(m, m->fresh_meta + VHDX_HEADER_1_AT, VHDX_HEADER_1_AT, 4096, with_export);
    put_back(m, m->fresh_meta + VHDX_HEADER_2_AT, VHDX_HEADER_2_AT, 4096, with_export);
    put_back(m, m->fresh_meta + VHDX_METADATA_AT, VHDX_METADATA_AT, VHDX_METADATA_ITEMS + 4096,
             with_export);
}

/* A real death: a child serves for a while and is gone; the oracle here does the same. */
static void die_in_a_child(struct model *m, uint64_t ops)
{
    int status;
    pid_t pid;

    shut(m);
    m->latched = false;
    fflush(NULL);
    pid = fork();
    m->child = pid == 0;
    if (pid == 0)
        start(m);
    for (uint64_t i = 0; i < ops; i++)
        step(m, pid == 0);
    heal(m, pid == 0);
    if (pid == 0)
        _exit(0);
    if (waitpid(pid, &status, 0) != pid || status != 0)
        mismatch(m, "the child failed");
    start(m);
    count.died++;
}

static void change_life(struct model *m)
{
    heal(m, true);
    switch (rng_below(&m->rng, 5)) {
    case 0:
        export_release(&m->exported, VIEW_VHDX, true);
        if (export_open(&m->exported, VIEW_VHDX, true, NULL) < 0)
            mismatch(m, "cannot be opened again");
        set_latch(m);
        count.reopened++;
        break;
    case 1:
        shut(m);
        start(m);
        count.restarted++;
        break;
    case 2:
        die_in_a_child(m, rng_below(&m->rng, 1000));
        break;
    default:
        abandon(m);
        start(m);
        count.killed++;
    }
    compare(m, 0, VHDX_LOG_AT, "after a change of life");
    compare(m, VHDX_LOG_AT, 2 * MIB, "after a change of life");
}

/* --- geometries --- */

static struct geometry random_geometry(struct rng *rng)
{
    static const uint32_t blocks[] = {0, 1, 1, 2, 4, 8, 16, 32, 64, 256};
    uint64_t dice = rng_below(rng, 40);
    struct geometry g = {.storage = dice < 34   ? IN_MEMORY
                                    : dice < 36 ? ON_DISK
                                    : dice < 38 ? LOOP_512
                                                : LOOP_4096,
                         .disk = MIB + rng_below(rng, 12 * MIB),
                         .block = blocks[rng_below(rng, ARRAY_SIZE(blocks))] * (uint32_t)MIB,
                         .firewall = rng_one_in(rng, 2),
                         .latch = rng_one_in(rng, 4),
                         .discard = !rng_one_in(rng, 4)};

    if (rng_one_in(rng, 8))
        g.disk += rng_below(rng, 40 * MIB);
    if (rng_one_in(rng, 8) && g.storage < LOOP_512) { /* the head is the tail */
        g.disk = 4096 + rng_below(rng, 60 * KIB);
        g.tiny = true;
    }
    g.disk = round_up(g.disk, rng_one_in(rng, 3) ? 512 : 4096);
    if (g.storage >= LOOP_512)
        g.disk = round_up(g.disk, 4096);
    if (rng_one_in(rng, 8))
        g.disk = round_up(g.disk, MIB); /* perhaps no pad */
    if (!g.tiny && rng_one_in(rng, 4))
        g.fs = round_down(g.disk / 2, 4096);
    return g;
}

static const char *source(const struct model *m)
{
    return m->geometry.storage >= LOOP_512 ? m->loop.path : m->image;
}

static void choose_settings(struct model *m)
{
    static char name[] = "ext4.vhdx";

    m->settings = (struct export_settings){
        .source = (char *)(uintptr_t)source(m),
        .name = name,
        .state = m->state,
        .no_firewall = !m->geometry.firewall,
        .no_discard = !m->geometry.discard,
        .block_size = m->layout.block_size,
    };
}

static void make_image(struct model *m)
{
    const struct geometry *g = &m->geometry;
    const char *dir = g->storage == ON_DISK ? disk_dir : memory_dir;

    m->image = join(dir, "image");
    m->state = join(memory_dir, "state");
    make_file(m->image, g->disk);
    write_file(m->image, pool, g->disk, 0);
    if (g->tiny)
        write_file(m->image, m->meta, 4096, 0); /* zeros */
    if (g->tiny)
        make_superblock(m->image, UUID);
    else
        make_ext4(m->image, g->fs ? g->fs : round_down(g->disk, 1024), UUID);
    read_file(m->image, m->disk, g->disk, 0);
}

static bool attach(struct model *m)
{
    int err;

    m->loop.fd = -1;
    if (m->geometry.storage < LOOP_512)
        return true;
    err = loop_attach(&m->loop, m->image, m->geometry.storage == LOOP_512 ? 512 : 4096);
    if (err) {
        print_message("no loop device (%s): a file instead\n", strerror(-err));
        m->geometry.storage = IN_MEMORY;
    }
    return true;
}

/* By hand, from [MS-VHDX] 2.5. */
static void make_bat(struct model *m)
{
    uint64_t ratio = (UINT64_C(1) << 23) * m->layout.logical_sector / m->layout.block_size;

    m->bat = calloc(1, m->P - VHDX_BAT_AT);
    for (uint64_t b = 0; b * m->layout.block_size < m->geometry.disk; b++)
        put_le64(m->bat + 8 * (b + b / ratio), (m->P + b * m->layout.block_size) | 6);
}

static void begin(struct model *m)
{
    struct vhdx_identity identity = vhdx_identity_derive(UUID);

    m->meta = calloc(1, VHDX_META_SIZE);
    m->disk = malloc(m->geometry.disk);
    make_image(m);
    attach(m);
    m->layout = make_layout(m->geometry.disk, m->geometry.block,
                            m->geometry.storage == LOOP_4096 ? 4096 : 512);
    if (m->geometry.storage == LOOP_512)
        m->layout.physical_sector = 512;
    m->P = 4 * MIB; /* three and a table of at most one */
    m->size = m->P + m->layout.block_count * m->layout.block_size;
    make_bat(m);
    vhdx_encode_meta(&m->layout, &identity, m->meta);
    m->fresh_meta = malloc(VHDX_META_SIZE);
    memcpy(m->fresh_meta, m->meta, VHDX_META_SIZE);
    m->fresh_head = malloc(GUARD);
    memcpy(m->fresh_head, m->disk, (size_t)min_u64(GUARD, m->geometry.disk));
    choose_settings(m);
    count.geometries[m->geometry.storage]++;
}

static void end(struct model *m)
{
    /* The bytes of the disk, seen from outside. */
    for (uint64_t at = 0; at < m->geometry.disk; at += MOST) {
        size_t n = (size_t)min_u64(MOST, m->geometry.disk - at);

        read_file(source(m), found, n, at);
        if (memcmp(found, m->disk + at, n) != 0)
            mismatch(m, "the device differs from what was written");
    }
    if (m->geometry.fs) {
        if (!ext4_is_clean(source(m)))
            mismatch(m, "e2fsck has something to say");
        count.checked++;
    }
    if (file_size(m->image) != m->geometry.disk)
        mismatch(m, "the image has changed its size");
    loop_detach(&m->loop);
    unlink(m->image);
    remove_tree(m->state);
    free(m->image);
    free(m->state);
    free(m->meta);
    free(m->fresh_meta);
    free(m->fresh_head);
    free(m->bat);
    free(m->disk);
}

static uint64_t run_geometry(struct rng *rng, uint64_t ops)
{
    struct model m = {.geometry = random_geometry(rng), .rng = {rng_next(rng)}};
    bool slow = m.geometry.storage != IN_MEMORY;

    ops = slow ? ops / 10 + 1 : ops;
    begin(&m);
    start(&m);
    compare_all(&m, "at the start");
    while (m.number < ops)
        if (rng_one_in(&m.rng, slow ? 1000 : 4000))
            change_life(&m);
        else
            step(&m, true);
    heal(&m, true);
    if (rng_one_in(&m.rng, 2)) {
        abandon(&m);
        start(&m);
    }
    compare_all(&m, "at the end");
    shut(&m);
    end(&m);
    return m.number;
}

static void test_model(void **state)
{
    uint64_t wanted = test_count("MODEL_OPS", 200000);
    uint64_t each = wanted / 40 < 4000 ? 4000 : wanted / 40 > 50000 ? 50000 : wanted / 40;
    struct rng rng = {test_seed("test_model")};
    time_t begun = time(NULL), told = begun;

    (void)state;
    rng_fill(&rng, pool, 64 * MIB);
    while (count.ops < wanted) {
        count.ops += run_geometry(&rng, each);
        if (time(NULL) - told >= 30) {
            told = time(NULL);
            fprintf(stderr, "model: %" PRIu64 " operations\n", count.ops);
        }
    }
    fprintf(stderr,
            "model: %" PRIu64 " operations in %lld s, %" PRIu64 " refused, %" PRIu64
            " flushes; opened again %" PRIu64 ", started again %" PRIu64 ", abandoned %" PRIu64
            ", died %" PRIu64 "; geometries: %" PRIu64 " in memory, %" PRIu64 " on disk, %" PRIu64
            " and %" PRIu64 " on loop devices (512, 4096); e2fsck %" PRIu64 " times\n",
            count.ops, (long long)(time(NULL) - begun), count.refused, count.flushes,
            count.reopened, count.restarted, count.killed, count.died, count.geometries[0],
            count.geometries[1], count.geometries[2], count.geometries[3], count.checked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_model)};
    int failures;

    umask(077);
    memory_dir = temp_dir(true);
    disk_dir = temp_dir(false);
    pool = malloc(64 * MIB); /* also what a new image holds; the last part is for one write */
    scratch = malloc(MOST + 8192);
    found = malloc(MOST + 8192);
    failures = cmocka_run_group_tests_name("model", tests, NULL, NULL);
    free(pool);
    free(scratch);
    free(found);
    return failures;
}
