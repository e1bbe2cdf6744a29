/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vhdx/log.h"

#include "common/bytes.h"
#include "common/crc32c.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct scan {
    const struct vhdx_io *io;
    const struct guid *guid; /* of the current session */
    struct vhdx_report *report;
    struct vhdx_log *log;
    size_t room;
};

/* The place in the file of byte AT, counted around the ring. */
static uint64_t place(const struct vhdx_log *log, uint64_t at)
{
    return log->offset + at % log->length;
}

static int read_sector(const struct scan *s, uint64_t at, void *sector)
{
    return vhdx_read(s->io, sector, VHDX_LOG_SECTOR, place(s->log, at));
}

/*
 * 1 when the checksum over LENGTH bytes from AT holds, 0 when not, or -errno. A sector
 * that starts another entry ends it at once: no entry has one inside, and so the
 * whole scan stays linear whatever the lengths claim.
 */
static int checksum_holds(const struct scan *s, uint64_t at, uint32_t length)
{
    uint8_t sector[VHDX_LOG_SECTOR];
    uint32_t crc = 0, stored = 0;

    for (uint32_t done = 0; done < length; done += VHDX_LOG_SECTOR) {
        int err = read_sector(s, at + done, sector);

        if (err)
            return err;
        if (done && memcmp(sector, "loge", 4) == 0)
            return 0;
        if (!done) {
            stored = get_le32(sector + 4);
            memset(sector + 4, 0, 4);
        }
        crc = crc32c(crc, sector, sizeof(sector));
    }
    return crc == stored;
}

/* The standard's demands on the fields of an entry whose checksum holds (2.3.1.1). */
static bool fields_hold(const struct scan *s, const struct vhdx_disk_log_entry *disk,
                        const struct vhdx_log_entry *e, struct vhdx_report *report)
{
    uint64_t at = place(s->log, e->at);

    if (!e->sequence)
        vhdx_report(report, VHDX_RULE_LOG_SEQUENCE, at + 16, "SequenceNumber is 0");
    else if (get_le32(disk->reserved))
        vhdx_report(report, VHDX_RULE_LOG_RESERVED, at + 28, "Reserved is 0x%" PRIx32,
                    get_le32(disk->reserved));
    else if (e->tail % VHDX_LOG_SECTOR || e->tail >= s->log->length)
        vhdx_report(report, VHDX_RULE_LOG_TAIL, at + 12,
                    "Tail is 0x%" PRIx32 " in a log of 0x%" PRIx32, e->tail, s->log->length);
    else
        return true;
    return false;
}

/* The write that DISK describes; false for a signature that is neither. */
static bool decode_descriptor(const uint8_t *disk, uint64_t at, struct vhdx_log_write *write)
{
    const struct vhdx_disk_log_zero *zero = (const void *)disk;
    bool data = memcmp(disk, "desc", 4) == 0;

    if (!data && memcmp(disk, "zero", 4) != 0)
        return false;
    *write = (struct vhdx_log_write){
        .offset = get_le64(zero->file_offset), /* at the same place in both kinds */
        .length = data ? VHDX_LOG_SECTOR : get_le64(zero->length),
        .descriptor = at,
        .data = data,
    };
    return true;
}

static bool target_holds(const struct scan *s, const struct vhdx_log_write *w,
                         struct vhdx_report *report)
{
    if (w->offset % VHDX_LOG_SECTOR || w->length % VHDX_LOG_SECTOR)
        vhdx_report(report, VHDX_RULE_LOG_ALIGNMENT, w->descriptor,
                    "FileOffset 0x%" PRIx64 ", length 0x%" PRIx64, w->offset, w->length);
    else if (w->offset < VHDX_LOG_FIRST_WRITE)
        vhdx_report(report, VHDX_RULE_LOG_TARGET_LOW, w->descriptor,
                    "it writes at 0x%" PRIx64 ", into identifier or headers", w->offset);
    else if (w->length > INT64_MAX || w->offset > INT64_MAX - w->length)
        vhdx_report(report, VHDX_RULE_LOG_TARGET_OUTSIDE, w->descriptor,
                    "it writes 0x%" PRIx64 " bytes at 0x%" PRIx64, w->length, w->offset);
    else if (ranges_overlap(w->offset, w->length, s->log->offset, s->log->length))
        vhdx_report(report, VHDX_RULE_LOG_TARGET_LOG, w->descriptor, "it writes at 0x%" PRIx64,
                    w->offset);
    else
        return true;
    return false;
}

static bool descriptor_holds(const struct scan *s, const struct vhdx_log_entry *e,
                             const uint8_t *disk, uint64_t at, struct vhdx_log_write *write,
                             struct vhdx_report *report)
{
    uint64_t sequence = get_le64(disk + offsetof(struct vhdx_disk_log_data, sequence));

    if (!decode_descriptor(disk, at, write)) {
        vhdx_report(report, VHDX_RULE_LOG_DESCRIPTOR, at, "its signature is %02x %02x %02x %02x",
                    disk[0], disk[1], disk[2], disk[3]);
        return false;
    }
    if (sequence != e->sequence) {
        vhdx_report(report, VHDX_RULE_LOG_DESCRIPTOR_SEQUENCE, at,
                    "it is of entry %" PRIu64 ", inside entry %" PRIu64, sequence, e->sequence);
        return false;
    }
    if (!write->data && get_le32(disk + 4))
        vhdx_report(report, VHDX_RULE_LOG_ZERO_RESERVED, at, "Reserved is 0x%" PRIx32,
                    get_le32(disk + 4));
    return target_holds(s, write, report);
}

static uint64_t descriptor_area(const struct vhdx_log_entry *e)
{
    return round_up(sizeof(struct vhdx_disk_log_entry) +
                        sizeof(struct vhdx_disk_log_data) * (uint64_t)e->descriptors,
                    VHDX_LOG_SECTOR);
}

typedef int descriptor_visitor(struct scan *s, const struct vhdx_log_write *write);

/*
 * Walks E's descriptors, which lie inside the entry. *DATA counts those with data. Returns
 * 1, 0 at the first defect (with *DATA counted so far), or -errno, also the visitor's.
 */
static int walk_descriptors(struct scan *s, const struct vhdx_log_entry *e, uint64_t *data,
                            struct vhdx_report *report, descriptor_visitor *visit)
{
    uint64_t at = e->at + sizeof(struct vhdx_disk_log_entry), sectors = descriptor_area(e);
    uint8_t sector[VHDX_LOG_SECTOR];
    struct vhdx_log_write write;

    *data = 0;
    for (uint64_t i = 0; i < e->descriptors; i++, at += sizeof(struct vhdx_disk_log_data)) {
        int err = i == 0 || at % VHDX_LOG_SECTOR == 0
                      ? read_sector(s, round_down(at, VHDX_LOG_SECTOR), sector)
                      : 0;

        if (err)
            return err;
        if (!descriptor_holds(s, e, sector + at % VHDX_LOG_SECTOR, place(s->log, at), &write,
                              report))
            return 0;
        if (write.data)
            write.data = place(s->log, e->at + sectors + VHDX_LOG_SECTOR * (*data)++);
        err = visit ? visit(s, &write) : 0;
        if (err)
            return err;
    }
    return 1;
}

/* 1, 0 or -errno for the data sectors behind the descriptors (2.3.1.4). */
static int data_sectors_hold(const struct scan *s, const struct vhdx_log_entry *e, uint64_t count,
                             struct vhdx_report *report)
{
    struct vhdx_disk_log_sector sector;

    for (uint64_t i = 0; i < count; i++) {
        uint64_t at = e->at + descriptor_area(e) + i * VHDX_LOG_SECTOR, sequence;
        int err = read_sector(s, at, &sector);

        if (err)
            return err;
        if (memcmp(sector.signature, "data", 4) != 0) {
            vhdx_report(report, VHDX_RULE_LOG_SECTOR, place(s->log, at),
                        "its signature is %02x %02x %02x %02x", sector.signature[0],
                        sector.signature[1], sector.signature[2], sector.signature[3]);
            return 0;
        }
        sequence = (uint64_t)get_le32(sector.sequence_high) << 32 | get_le32(sector.sequence_low);
        if (sequence != e->sequence) {
            vhdx_report(report, VHDX_RULE_LOG_SECTOR_SEQUENCE, place(s->log, at),
                        "it is of entry %" PRIu64 ", inside entry %" PRIu64, sequence, e->sequence);
            return 0;
        }
    }
    return 1;
}

/* 1, 0 or -errno for what lies behind the header of an entry whose checksum holds. */
static int body_holds(struct scan *s, const struct vhdx_log_entry *e, struct vhdx_report *report)
{
    uint64_t area = descriptor_area(e), data = 0;
    int ok = area <= e->length;

    if (ok)
        ok = walk_descriptors(s, e, &data, report, NULL);
    if (ok < 0 || (ok == 0 && area <= e->length))
        return ok;
    if (!ok || area + data * VHDX_LOG_SECTOR != e->length) {
        vhdx_report(report, VHDX_RULE_LOG_LENGTH, place(s->log, e->at) + 8,
                    "EntryLength is 0x%" PRIx32 " with %" PRIu32 " descriptors, %" PRIu64
                    " of them with data",
                    e->length, e->descriptors, data);
        return 0;
    }
    return data_sectors_hold(s, e, data, report);
}

/* Whether an entry starts at AT and is whole: 1 with *E filled, 0, or -errno. */
static int judge_entry(struct scan *s, uint32_t at, struct vhdx_log_entry *e, struct guid *guid)
{
    struct vhdx_report unheard = {0}, *report;
    struct vhdx_disk_log_entry disk;
    int ok = vhdx_read(s->io, &disk, sizeof(disk), place(s->log, at));

    if (ok < 0 || memcmp(disk.signature, "loge", 4) != 0)
        return ok;
    *guid = disk.log_guid;
    *e = (struct vhdx_log_entry){
        .at = at,
        .length = get_le32(disk.entry_length),
        .tail = get_le32(disk.tail),
        .descriptors = get_le32(disk.descriptor_count),
        .sequence = get_le64(disk.sequence),
        .flushed_file_offset = get_le64(disk.flushed_file_offset),
        .last_file_offset = get_le64(disk.last_file_offset),
    };
    /* What other sessions left behind is nobody's fault; without a session, all of it is. */
    report = guid_equal(guid, s->guid) && !guid_is_null(guid) ? s->report : &unheard;
    ok = e->length && e->length % VHDX_LOG_SECTOR == 0 && e->length <= s->log->length
             ? checksum_holds(s, at, e->length)
             : 0;
    if (ok == 0)
        vhdx_report(report, VHDX_RULE_LOG_TORN, place(s->log, at),
                    "entry %" PRIu64 " of 0x%" PRIx32 " bytes is not whole", e->sequence,
                    e->length);
    if (ok <= 0)
        return ok;
    return fields_hold(s, &disk, e, report) ? body_holds(s, e, report) : 0;
}

static int keep_entry(struct scan *s, const struct vhdx_log_entry *e)
{
    if (s->log->count == s->room) {
        size_t room = s->room ? s->room * 2 : 64;
        void *more = reallocarray(s->log->entries, room, sizeof(*e));

        if (!more)
            return -ENOMEM;
        s->log->entries = more;
        s->room = room;
    }
    s->log->entries[s->log->count++] = *e;
    return 0;
}

static void count_session(struct vhdx_log *log, const struct guid *guid, uint64_t sequence)
{
    struct vhdx_log_session *session = log->sessions;
    size_t known = log->session_count < VHDX_SESSIONS_MAX ? log->session_count : VHDX_SESSIONS_MAX;

    while (session < log->sessions + known && !guid_equal(&session->guid, guid))
        session++;
    if (session == log->sessions + known) {
        log->session_count++;
        if (known == VHDX_SESSIONS_MAX)
            return;
        *session = (struct vhdx_log_session){.guid = *guid, .first = sequence, .last = sequence};
    }
    session->entries++;
    session->first = min_u64(session->first, sequence);
    session->last = sequence > session->last ? sequence : session->last;
}

static int collect_entries(struct scan *s)
{
    struct vhdx_log_entry e;
    struct guid guid;

    for (uint32_t at = 0; at < s->log->length; at += VHDX_LOG_SECTOR) {
        int ok = judge_entry(s, at, &e, &guid);

        if (ok > 0) {
            count_session(s->log, &guid, e.sequence);
            ok = guid_equal(&guid, s->guid) && !guid_is_null(s->guid) ? keep_entry(s, &e) : 0;
        }
        if (ok < 0)
            return ok;
    }
    return 0;
}

static int compare_place(const void *key, const void *element)
{
    uint32_t a = *(const uint32_t *)key, b = ((const struct vhdx_log_entry *)element)->at;

    return a < b ? -1 : a > b;
}

static struct vhdx_log_entry *entry_at(const struct vhdx_log *log, uint32_t at)
{
    return log->count ? bsearch(&at, log->entries, log->count, sizeof(*log->entries), compare_place)
                      : NULL;
}

/* The entry that continues E's run, or NULL. */
static struct vhdx_log_entry *successor(const struct vhdx_log *log, const struct vhdx_log_entry *e)
{
    uint32_t at = (uint32_t)(((uint64_t)e->at + e->length) % log->length);
    struct vhdx_log_entry *next = entry_at(log, at);

    return next && next->sequence == e->sequence + 1 ? next : NULL;
}

/* Follows the run from FIRST. Returns the entry its head's Tail names, or NULL; *HEAD is set. */
static struct vhdx_log_entry *follow_run(const struct vhdx_log *log, struct vhdx_log_entry *first,
                                         struct vhdx_log_entry **head)
{
    struct vhdx_log_entry *e = first;

    for (*head = first; e; e = successor(log, e))
        *head = e;
    for (e = first; e && e->at != (*head)->tail; e = successor(log, e))
        ;
    return e;
}

/* Finds the active sequence and keeps a copy of it. 0 or -ENOMEM. */
static int choose_sequence(struct vhdx_log *log)
{
    struct vhdx_log_entry *best_tail = NULL, *best = NULL;
    bool *continued = calloc(log->count + 1, sizeof(*continued));

    if (!continued)
        return -ENOMEM;
    for (size_t i = 0; i < log->count; i++) {
        struct vhdx_log_entry *next = successor(log, &log->entries[i]);

        if (next)
            continued[next - log->entries] = true;
    }
    for (size_t i = 0; i < log->count; i++) {
        struct vhdx_log_entry *head,
            *tail = continued[i] ? NULL : follow_run(log, &log->entries[i], &head);

        if (tail && (!best || head->sequence > best->sequence)) {
            best = head;
            best_tail = tail;
        }
    }
    free(continued);
    if (!best)
        return 0;
    log->active = calloc((size_t)(best->sequence - best_tail->sequence + 1), sizeof(*log->active));
    if (!log->active)
        return -ENOMEM;
    for (; best_tail != best; best_tail = successor(log, best_tail))
        log->active[log->active_count++] = *best_tail;
    log->active[log->active_count++] = *best;
    return 0;
}

static int keep_write(struct scan *s, const struct vhdx_log_write *write)
{
    struct vhdx_log *log = s->log;

    if (!write->length)
        return 0;
    if (log->write_count == VHDX_LOG_MAX_WRITES)
        return -E2BIG;
    if (log->write_count == s->room) {
        size_t room = s->room ? s->room * 2 : 64;
        void *more = reallocarray(log->writes, room, sizeof(*write));

        if (!more)
            return -ENOMEM;
        log->writes = more;
        s->room = room;
    }
    log->writes[log->write_count++] = *write;
    return 0;
}

static int collect_writes(struct scan *s)
{
    struct vhdx_report unheard = {0}; /* all of it was judged before */
    struct vhdx_log *log = s->log;

    s->room = 0;
    for (size_t i = 0; i < log->active_count; i++) {
        const struct vhdx_log_entry *e = &log->active[i];
        uint64_t data;
        int ok = walk_descriptors(s, e, &data, &unheard, keep_write);

        if (ok <= 0)
            return ok ? ok : -EIO; /* the file changed between two readings of it */
        if (e->flushed_file_offset > log->flushed_file_offset)
            log->flushed_file_offset = e->flushed_file_offset;
        if (e->last_file_offset > log->last_file_offset)
            log->last_file_offset = e->last_file_offset;
    }
    return 0;
}

int vhdx_log_scan(const struct vhdx_io *io, const struct vhdx_header *header,
                  struct vhdx_report *report, struct vhdx_log *log)
{
    struct scan s = {.io = io, .guid = &header->log_guid, .report = report, .log = log};
    int err;

    *log = (struct vhdx_log){.offset = header->log_offset, .length = header->log_length};
    if (!log->length || log->length % VHDX_ALIGNMENT || log->length > VHDX_LOG_MAX_LENGTH ||
        !range_inside(log->offset, log->length, io->size))
        return -EINVAL;
    err = collect_entries(&s);
    if (!err)
        err = choose_sequence(log);
    if (!err)
        err = collect_writes(&s);
    return err;
}

int vhdx_log_data(const struct vhdx_io *io, const struct vhdx_log_write *write,
                  uint8_t data[VHDX_LOG_SECTOR])
{
    struct vhdx_disk_log_data descriptor;
    int err = vhdx_read(io, &descriptor, sizeof(descriptor), write->descriptor);

    if (!err)
        err = vhdx_read(io, data, VHDX_LOG_SECTOR, write->data);
    if (err)
        return err;
    /* Signature and sequence number stand where these bytes belong. */
    memcpy(data, descriptor.leading, sizeof(descriptor.leading));
    memcpy(data + VHDX_LOG_SECTOR - sizeof(descriptor.trailing), descriptor.trailing,
           sizeof(descriptor.trailing));
    return 0;
}

void vhdx_log_free(struct vhdx_log *log)
{
    free(log->entries);
    free(log->active);
    free(log->writes);
    *log = (struct vhdx_log){0};
}
