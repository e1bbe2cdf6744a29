/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Identifier, headers and the log they name (2.2.1, 2.2.2, 2.3). */
#include "vhdx/judge.h"

#include <inttypes.h>
#include <string.h>

/* Warns where [FROM, TO) of the file is not all zeros. */
static int check_zeros(struct check *c, uint64_t from, uint64_t to)
{
    uint8_t page[4096];

    while (from < to) {
        size_t n = (size_t)min_u64(sizeof(page) - from % sizeof(page), to - from);
        int err = vhdx_read(c->io, page, n, from);

        if (err)
            return err;
        if (!is_zero(page, n)) {
            REPORT(c, FILE_RESERVED, from, "the %zu bytes from here are not all zero", n);
            return 0;
        }
        from += n;
    }
    return 0;
}

int check_identifier(struct check *c)
{
    struct vhdx_disk_identifier id;
    int err;

    if (c->io->size < VHDX_HEADER_SECTION) {
        REPORT(c, FILE_SHORT, 0, "it has %" PRIu64 " bytes", c->io->size);
        return 0;
    }
    err = vhdx_read(c->io, &id, sizeof(id), VHDX_IDENTIFIER_AT);
    if (err)
        return err;
    c->image->signature = memcmp(id.signature, "vhdxfile", sizeof(id.signature)) == 0;
    memcpy(c->image->creator, id.creator, sizeof(id.creator));
    if (!c->image->signature)
        REPORT(c, FILE_SIGNATURE, 0, "it starts with %02x %02x %02x %02x %02x %02x %02x %02x",
               id.signature[0], id.signature[1], id.signature[2], id.signature[3], id.signature[4],
               id.signature[5], id.signature[6], id.signature[7]);
    if (c->io->size % VHDX_ALIGNMENT)
        REPORT(c, FILE_TAIL, round_down(c->io->size, VHDX_ALIGNMENT),
               "%" PRIu64 " bytes lie behind the last whole MiB", c->io->size % VHDX_ALIGNMENT);
    return 0;
}

/* The parts of the header section that belong to no structure. */
static int check_reserved(struct check *c)
{
    static const struct {
        uint64_t from, to;
    } holes[] = {
        {sizeof(struct vhdx_disk_identifier), VHDX_HEADER_1_AT},
        {VHDX_HEADER_1_AT + VHDX_HEADER_SIZE, VHDX_HEADER_2_AT},
        {VHDX_HEADER_2_AT + VHDX_HEADER_SIZE, VHDX_REGIONS_1_AT},
        {VHDX_REGIONS_2_AT + VHDX_REGIONS_SIZE, VHDX_HEADER_SECTION},
    };
    int err = 0;

    for (size_t i = 0; i < ARRAY_SIZE(holes) && !err; i++)
        err = check_zeros(c, holes[i].from, holes[i].to);
    return err;
}

static void judge_header(struct check *c, int index, const struct vhdx_disk_header *disk)
{
    uint64_t at = index ? VHDX_HEADER_2_AT : VHDX_HEADER_1_AT;
    enum vhdx_copy *state = &c->image->header_states[index];

    *state = VHDX_COPY_VALID;
    if (memcmp(disk->signature, "head", 4) != 0) {
        *state = VHDX_COPY_BAD_SIGNATURE;
        REPORT(c, HDR_SIGNATURE, at, "header %d starts with %02x %02x %02x %02x", index + 1,
               disk->signature[0], disk->signature[1], disk->signature[2], disk->signature[3]);
    } else if (vhdx_decode_header(disk, &c->image->headers[index]) != 0) {
        *state = VHDX_COPY_BAD_CHECKSUM;
        REPORT(c, HDR_CHECKSUM, at + 4, "the checksum of header %d does not hold", index + 1);
    } else if (!is_zero(disk->reserved, sizeof(disk->reserved))) {
        REPORT(c, HDR_RESERVED, at + offsetof(struct vhdx_disk_header, reserved),
               "reserved bytes of header %d are not all zero", index + 1);
    }
}

static void choose_header(struct check *c, const struct vhdx_disk_header disk[2])
{
    struct vhdx_image *image = c->image;
    bool both =
        image->header_states[0] == VHDX_COPY_VALID && image->header_states[1] == VHDX_COPY_VALID;
    struct vhdx_header unused;

    image->current = vhdx_current_header(&disk[0], &disk[1], &unused);
    if (image->current < 0) {
        image->current = -1;
        REPORT(c, HDR_NONE, VHDX_HEADER_1_AT, "header 1 has a %s, header 2 a %s",
               vhdx_copy_name(image->header_states[0]), vhdx_copy_name(image->header_states[1]));
    } else if (both && image->headers[0].sequence == image->headers[1].sequence) {
        if (memcmp(&disk[0], &disk[1], sizeof(disk[0])) == 0)
            REPORT(c, HDR_TWINS, VHDX_HEADER_2_AT + 8,
                   "both are %" PRIu64 ", and the headers identical", image->headers[0].sequence);
        else
            REPORT(c, HDR_RIVALS, VHDX_HEADER_2_AT + 8, "both are number %" PRIu64 " and differ",
                   image->headers[0].sequence);
    }
}

static void judge_log_place(struct check *c, uint64_t at, const struct vhdx_header *h)
{
    const uint64_t length_at = at + offsetof(struct vhdx_disk_header, log_length);
    const uint64_t offset_at = at + offsetof(struct vhdx_disk_header, log_offset);

    if (h->log_length % VHDX_ALIGNMENT)
        REPORT(c, HDR_LOG_LENGTH, length_at, "LogLength is 0x%" PRIx32, h->log_length);
    if (h->log_offset % VHDX_ALIGNMENT)
        REPORT(c, HDR_LOG_OFFSET, offset_at, "LogOffset is 0x%" PRIx64, h->log_offset);
    if (!h->log_length && !guid_is_null(&h->log_guid))
        REPORT(c, HDR_LOG_ABSENT, length_at, "LogLength is 0, and LogGuid is set");
    if (!h->log_length)
        return;
    if (h->log_offset < VHDX_HEADER_SECTION)
        REPORT(c, HDR_LOG_LOW, offset_at, "LogOffset is 0x%" PRIx64, h->log_offset);
    if (!range_inside(h->log_offset, h->log_length, c->io->size))
        REPORT(c, HDR_LOG_OUTSIDE, offset_at,
               "0x%" PRIx32 " bytes at 0x%" PRIx64 " of a file of 0x%" PRIx64, h->log_length,
               h->log_offset, c->io->size);
    if (h->log_length > VHDX_LOG_MAX_LENGTH)
        REPORT(c, HDR_LOG_HUGE, length_at, "LogLength is 0x%" PRIx32, h->log_length);
}

static void judge_current(struct check *c)
{
    const struct vhdx_header *h = &c->image->headers[c->image->current];
    uint64_t at = c->image->current ? VHDX_HEADER_2_AT : VHDX_HEADER_1_AT;

    if (h->version != 1)
        REPORT(c, HDR_VERSION, at + offsetof(struct vhdx_disk_header, version), "Version is %u",
               h->version);
    if (h->log_version && !guid_is_null(&h->log_guid))
        REPORT(c, HDR_LOG_VERSION, at + offsetof(struct vhdx_disk_header, log_version),
               "LogVersion is %u", h->log_version);
    judge_log_place(c, at, h);
}

bool check_is_foreign(const struct check *c)
{
    return !c->image->signature && c->image->header_states[0] == VHDX_COPY_BAD_SIGNATURE &&
           c->image->header_states[1] == VHDX_COPY_BAD_SIGNATURE;
}

int check_headers(struct check *c)
{
    struct vhdx_disk_header disk[2];
    int err = vhdx_read(c->io, &disk[0], sizeof(disk[0]), VHDX_HEADER_1_AT);

    if (!err)
        err = vhdx_read(c->io, &disk[1], sizeof(disk[1]), VHDX_HEADER_2_AT);
    if (err)
        return err;
    judge_header(c, 0, &disk[0]);
    judge_header(c, 1, &disk[1]);
    if (check_is_foreign(c)) {
        REPORT(c, HDR_NONE, VHDX_HEADER_1_AT, "there is none: this is no VHDX file");
        return 0;
    }
    choose_header(c, disk);
    if (c->image->current >= 0)
        judge_current(c);
    return check_reserved(c);
}

bool check_hits_log(const struct check *c, uint64_t offset, uint64_t length)
{
    const struct vhdx_header *h;

    if (c->image->current < 0)
        return false;
    h = &c->image->headers[c->image->current];
    return range_inside(h->log_offset, h->log_length, INT64_MAX) &&
           ranges_overlap(offset, length, h->log_offset, h->log_length);
}

/* Whether vhdx_log_scan() can look at the log; what is wrong with it was reported. */
static bool log_is_readable(const struct check *c, const struct vhdx_header *h)
{
    return h->version == 1 && h->log_version == 0 && h->log_length % VHDX_ALIGNMENT == 0 &&
           h->log_offset % VHDX_LOG_SECTOR == 0 && h->log_offset >= VHDX_HEADER_SECTION &&
           h->log_length <= VHDX_LOG_MAX_LENGTH &&
           range_inside(h->log_offset, h->log_length, c->io->size);
}

/* What the active sequence asks of the file (2.3.3). */
static void judge_sequence(struct check *c)
{
    const struct vhdx_log *log = &c->image->log;
    uint64_t end = log->last_file_offset > c->io->size ? log->last_file_offset : c->io->size;
    uint64_t at = log->offset + log->active[log->active_count - 1].at;

    REPORT(c, LOG_DIRTY, at,
           "%zu entries with %zu writes wait to be replayed (sequence numbers %" PRIu64
           " to %" PRIu64 ")",
           log->active_count, log->write_count, log->active[0].sequence,
           log->active[log->active_count - 1].sequence);
    if (log->flushed_file_offset > c->io->size)
        REPORT(c, LOG_TRUNCATED, at + 48,
               "FlushedFileOffset is 0x%" PRIx64 ", the file 0x%" PRIx64 " long: it was cut short",
               log->flushed_file_offset, c->io->size);
    if (log->last_file_offset > c->io->size)
        REPORT(c, LOG_GROWS, at + 56,
               "LastFileOffset is 0x%" PRIx64 ", the file 0x%" PRIx64
               " long: replaying makes it grow",
               log->last_file_offset, c->io->size);
    for (size_t i = 0; i < log->write_count; i++)
        if (!range_inside(log->writes[i].offset, log->writes[i].length, end))
            REPORT(c, LOG_TARGET_OUTSIDE, log->writes[i].descriptor,
                   "it writes 0x%" PRIx64 " bytes at 0x%" PRIx64, log->writes[i].length,
                   log->writes[i].offset);
}

int check_log(struct check *c)
{
    struct vhdx_image *image = c->image;
    const struct vhdx_header *h;
    bool clean;
    int err;

    if (image->current < 0)
        return 0;
    h = &image->headers[image->current];
    clean = guid_is_null(&h->log_guid);
    image->log_state = h->log_length ? clean ? VHDX_LOG_CLEAN : VHDX_LOG_CORRUPT : VHDX_LOG_NONE;
    if (!h->log_length || !log_is_readable(c, h))
        return 0;
    err = vhdx_log_scan(c->io, h, c->report, &image->log);
    if (err || clean)
        return err;
    if (!image->log.active_count) {
        REPORT(c, LOG_CORRUPT, h->log_offset, "none of %zu whole entries completes a sequence",
               image->log.count);
        return 0;
    }
    image->log_state = VHDX_LOG_DIRTY;
    judge_sequence(c);
    return 0;
}
