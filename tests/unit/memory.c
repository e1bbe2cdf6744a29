/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/memory.h"

#include "common/bytes.h"
#include "common/crc32c.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SPARE (4 * MIB)

static int spend(struct memory *m)
{
    if (m->budget < 0)
        return 0;
    return m->budget-- > 0 ? 0 : (m->budget = 0, -EIO);
}

static int read_memory(void *opaque, void *data, size_t length, uint64_t offset)
{
    struct memory *m = opaque;

    if (!range_inside(offset, length, m->io.size))
        abort();
    memcpy(data, m->bytes + offset, length);
    return spend(m);
}

static int write_memory(void *opaque, const void *data, size_t length, uint64_t offset)
{
    struct memory *m = opaque;
    struct memory_write *w;

    if (!range_inside(offset, length, m->io.size))
        abort();
    if (spend(m))
        return -EIO;
    memcpy(m->bytes + offset, data, length);
    m->pending = reallocarray(m->pending, m->pending_count + 1, sizeof(*w));
    w = &m->pending[m->pending_count++];
    *w = (struct memory_write){offset, length, malloc(length)};
    memcpy(w->data, data, length);
    return 0;
}

static void forget_pending(struct memory *m)
{
    for (size_t i = 0; i < m->pending_count; i++)
        free(m->pending[i].data);
    m->pending_count = 0;
}

static int flush_memory(void *opaque)
{
    struct memory *m = opaque;

    if (spend(m))
        return -EIO;
    forget_pending(m);
    memcpy(m->durable, m->bytes, m->room);
    return 0;
}

static int grow_memory(void *opaque, uint64_t size)
{
    struct memory *m = opaque;

    if (spend(m))
        return -EIO;
    if (size < m->io.size || size > m->room)
        return -EFBIG;
    m->io.size = size;
    return 0;
}

const struct vhdx_sink memory_sink = {write_memory, flush_memory, grow_memory};

struct vhdx_layout memory_layout(void)
{
    const struct vhdx_params params = {4 * MIB, MIB, 512, 4096};
    struct vhdx_layout layout;

    if (vhdx_layout_init(&layout, &params, NULL) != 0)
        abort();
    return layout;
}

void memory_make(struct memory *m, const struct vhdx_layout *layout)
{
    struct vhdx_identity id = vhdx_identity_derive("6b29fc40-ca47-1067-b31d-00dd010662da");

    *m = (struct memory){.room = layout->file_size + SPARE, .budget = -1};
    m->io = (struct vhdx_io){.read = read_memory, .opaque = m, .size = layout->file_size};
    m->bytes = calloc(1, m->room);
    m->durable = calloc(1, m->room);
    vhdx_encode_meta(layout, &id, m->bytes);
    vhdx_bat_read(layout, 0, m->bytes + VHDX_BAT_AT, (size_t)layout->bat_size);
    memcpy(m->durable, m->bytes, m->room);
}

void memory_free(struct memory *m)
{
    forget_pending(m);
    free(m->pending);
    free(m->bytes);
    free(m->durable);
}

void memory_set_header(struct memory *m, const struct vhdx_header *header)
{
    struct vhdx_header h = *header;

    vhdx_encode_header(&h, (void *)(m->bytes + VHDX_HEADER_1_AT));
    h.sequence++;
    vhdx_encode_header(&h, (void *)(m->bytes + VHDX_HEADER_2_AT));
    memcpy(m->durable, m->bytes, m->room);
}

void memory_set_log(struct memory *m, const struct guid *guid)
{
    struct vhdx_header h = {.sequence = 1,
                            .file_write = {{1}},
                            .data_write = {{2}},
                            .log_guid = *guid,
                            .version = 1,
                            .log_length = (uint32_t)VHDX_LOG_SIZE,
                            .log_offset = VHDX_LOG_AT};

    memory_set_header(m, &h);
}

static void put_sector(struct vhdx_disk_log_sector *sector, uint64_t sequence, uint8_t fill)
{
    memset(sector, fill, sizeof(*sector));
    memcpy(sector->signature, "data", 4);
    put_le32(sector->sequence_high, (uint32_t)(sequence >> 32));
    put_le32(sector->sequence_low, (uint32_t)sequence);
}

static void put_descriptor(uint8_t *out, const struct log_write *w, uint64_t sequence)
{
    struct vhdx_disk_log_data *data = (void *)out;
    struct vhdx_disk_log_zero *zero = (void *)out;

    memset(data, w->fill, sizeof(*data));
    if (w->zeros) {
        memset(zero, 0, sizeof(*zero));
        put_le64(zero->length, w->zeros);
    }
    memcpy(out, w->zeros ? "zero" : "desc", 4);
    put_le64(data->file_offset, w->offset);
    put_le64(data->sequence, sequence);
}

uint32_t memory_log(struct memory *m, uint32_t at, uint32_t tail, uint64_t sequence,
                    const struct guid *guid, const struct log_write *writes, size_t count,
                    uint64_t last_file_offset)
{
    size_t area = (size_t)round_up(64 + 32 * count, VHDX_LOG_SECTOR), length = area;
    uint8_t *entry = calloc(1, area + count * VHDX_LOG_SECTOR);
    struct vhdx_disk_log_entry *head = (void *)entry;

    for (size_t i = 0; i < count; i++) {
        put_descriptor(entry + 64 + 32 * i, &writes[i], sequence);
        if (writes[i].zeros)
            continue;
        put_sector((void *)(entry + length), sequence, writes[i].fill);
        length += VHDX_LOG_SECTOR;
    }
    memcpy(head->signature, "loge", 4);
    put_le32(head->entry_length, (uint32_t)length);
    put_le32(head->tail, tail);
    put_le64(head->sequence, sequence);
    put_le32(head->descriptor_count, (uint32_t)count);
    head->log_guid = *guid;
    put_le64(head->last_file_offset, last_file_offset);
    put_le32(head->checksum, crc32c(0, entry, length));
    for (size_t i = 0; i < length; i += VHDX_LOG_SECTOR)
        memcpy(m->bytes + VHDX_LOG_AT + (at + i) % VHDX_LOG_SIZE, entry + i, VHDX_LOG_SECTOR);
    free(entry);
    memcpy(m->durable, m->bytes, m->room);
    return (uint32_t)((at + length) % VHDX_LOG_SIZE);
}
