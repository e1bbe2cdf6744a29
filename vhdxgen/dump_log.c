/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vhdxgen/dump.h"

#include "common/bytes.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *entry_role(const struct vhdx_log *log, uint32_t at)
{
    for (size_t i = 0; i < log->active_count; i++)
        if (log->active[i].at == at)
            return "to be replayed";
    for (size_t i = 0; i < log->count; i++)
        if (log->entries[i].at == at)
            return "whole, of this session";
    return "of another session, or not whole";
}

static void dump_entry(const struct vhdx_log *log, const uint8_t *sector, uint32_t at)
{
    const struct vhdx_disk_log_entry *e = (const void *)sector;
    uint64_t place = log->offset + at;

    printf("entry at 0x%" PRIx32 " of the log: %s\n", at, entry_role(log, at));
    dump_ascii(place, "Signature", e->signature, 4);
    dump_line(place + 4, "Checksum", "0x%08" PRIx32, get_le32(e->checksum));
    dump_line(place + 8, "EntryLength", "0x%" PRIx32, get_le32(e->entry_length));
    dump_line(place + 12, "Tail", "0x%" PRIx32, get_le32(e->tail));
    dump_line(place + 16, "SequenceNumber", "%" PRIu64, get_le64(e->sequence));
    dump_line(place + 24, "DescriptorCount", "%" PRIu32, get_le32(e->descriptor_count));
    dump_line(place + 28, "Reserved", "0x%" PRIx32, get_le32(e->reserved));
    dump_guid(place + 32, "LogGuid", &e->log_guid);
    dump_line(place + 48, "FlushedFileOffset", "0x%" PRIx64, get_le64(e->flushed_file_offset));
    dump_line(place + 56, "LastFileOffset", "0x%" PRIx64, get_le64(e->last_file_offset));
}

/* The descriptors of one sector, from byte FROM of it. */
static void dump_descriptors(const uint8_t *sector, uint64_t place, size_t from)
{
    for (size_t i = from; i < VHDX_LOG_SECTOR; i += sizeof(struct vhdx_disk_log_data)) {
        const struct vhdx_disk_log_data *d = (const void *)(sector + i);
        const struct vhdx_disk_log_zero *z = (const void *)(sector + i);

        if (memcmp(d->signature, "desc", 4) == 0)
            dump_line(place + i, "data descriptor",
                      "4096 bytes to 0x%" PRIx64 ", sequence number %" PRIu64,
                      get_le64(d->file_offset), get_le64(d->sequence));
        else if (memcmp(z->signature, "zero", 4) == 0)
            dump_line(place + i, "zero descriptor",
                      "0x%" PRIx64 " bytes at 0x%" PRIx64 ", sequence number %" PRIu64,
                      get_le64(z->length), get_le64(z->file_offset), get_le64(z->sequence));
    }
}

static void dump_sector(const struct vhdx_log *log, const uint8_t *sector, uint32_t at)
{
    const struct vhdx_disk_log_sector *data = (const void *)sector;
    uint64_t place = log->offset + at;

    if (memcmp(sector, "loge", 4) == 0) {
        dump_entry(log, sector, at);
        dump_descriptors(sector, place, sizeof(struct vhdx_disk_log_entry));
    } else if (memcmp(sector, "data", 4) == 0) {
        dump_line(place, "data sector", "sequence number %" PRIu64,
                  (uint64_t)get_le32(data->sequence_high) << 32 | get_le32(data->sequence_low));
    } else if (memcmp(sector, "desc", 4) == 0 || memcmp(sector, "zero", 4) == 0) {
        dump_descriptors(sector, place, 0);
    } else if (!is_zero(sector, VHDX_LOG_SECTOR)) {
        dump_line(place, "unknown sector", "%02x %02x %02x %02x ...", sector[0], sector[1],
                  sector[2], sector[3]);
    }
}

int dump_log(const struct vhdx_io *io, const struct vhdx_image *image)
{
    uint8_t sector[VHDX_LOG_SECTOR];

    if (!image->log.length)
        return -ENODATA;
    for (uint32_t at = 0; at < image->log.length; at += VHDX_LOG_SECTOR) {
        int err = vhdx_read(io, sector, sizeof(sector), image->log.offset + at);

        if (err)
            return err;
        dump_sector(&image->log, sector, at);
    }
    return 0;
}
