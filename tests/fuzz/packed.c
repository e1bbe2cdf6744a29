/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/packed.h"

#include "common/bytes.h"
#include "common/crc32c.h"
#include "common/units.h"
#include "vhdx/format.h"

#include <stdlib.h>
#include <string.h>

#define PAGE 4096

static int read_packed(void *opaque, void *data, size_t length, uint64_t offset)
{
    const struct packed *p = opaque;

    if (!range_inside(offset, length, p->io.size))
        abort(); /* the library promised not to */
    memcpy(data, p->bytes + offset, length);
    return 0;
}

static void put(struct packed *p, const void *data, size_t length, uint64_t offset)
{
    memcpy(p->bytes + offset, data, length);
    for (uint64_t page = offset / PAGE; page <= (offset + length - 1) / PAGE; page++)
        p->touched[page] = 1;
}

static int write_packed(void *opaque, const void *data, size_t length, uint64_t offset)
{
    struct packed *p = opaque;

    if (!length || !range_inside(offset, length, p->io.size))
        abort();
    put(p, data, length, offset);
    return 0;
}

static int flush_packed(void *opaque)
{
    (void)opaque;
    return 0;
}

static int grow_packed(void *opaque, uint64_t size)
{
    struct packed *p = opaque;

    if (size < p->io.size)
        abort();
    if (size > PACKED_MAX)
        return -EFBIG;
    p->io.size = size;
    return 0;
}

const struct vhdx_sink packed_sink = {write_packed, flush_packed, grow_packed};

static void seal(struct packed *p, uint64_t offset, size_t length)
{
    uint8_t crc[4] = {0};

    memcpy(p->bytes + offset + 4, crc, 4);
    put_le32(crc, crc32c(0, p->bytes + offset, length));
    put(p, crc, 4, offset + 4);
}

/* Seals the entry at AT of a log that may wrap around inside of it. */
static void seal_entry(struct packed *p, uint64_t log, uint64_t log_length, uint64_t at)
{
    uint32_t length = get_le32(p->bytes + log + at + 8), crc = 0;
    uint8_t stored[4] = {0};

    if (!length || length % PAGE || length > log_length)
        return;
    put(p, stored, 4, log + at + 4);
    for (uint32_t i = 0; i < length; i += PAGE)
        crc = crc32c(crc, p->bytes + log + (at + i) % log_length, PAGE);
    put_le32(stored, crc);
    put(p, stored, 4, log + at + 4);
}

static void seal_log(struct packed *p)
{
    for (int i = 0; i < 2; i++) {
        const struct vhdx_disk_header *h =
            (const void *)(p->bytes + (i ? VHDX_HEADER_2_AT : VHDX_HEADER_1_AT));
        uint64_t log = get_le64(h->log_offset), length = get_le32(h->log_length);

        if (log % PAGE || length % PAGE || log < VHDX_HEADER_SECTION ||
            !range_inside(log, length, p->io.size))
            continue;
        for (uint64_t at = 0; at < length; at += PAGE)
            if (p->touched[(log + at) / PAGE] && !memcmp(p->bytes + log + at, "loge", 4))
                seal_entry(p, log, length, at);
    }
}

static void apply_records(struct packed *p, const uint8_t *input, size_t length)
{
    while (length > 5) {
        uint64_t offset = (uint64_t)get_le16(input) | (uint64_t)input[2] << 16;
        size_t n = get_le16(input + 3);

        input += 5;
        length -= 5;
        n = (size_t)min_u64(n, length);
        if (n && range_inside(offset, n, p->io.size))
            put(p, input, n, offset);
        input += n;
        length -= n;
    }
}

void packed_open(struct packed *p, const uint8_t *input, size_t length)
{
    static uint8_t *bytes, *touched;

    if (!bytes) {
        bytes = calloc(1, PACKED_MAX);
        touched = calloc(1, PACKED_MAX / PAGE);
        if (!bytes || !touched)
            abort();
    }
    *p = (struct packed){.bytes = bytes, .touched = touched};
    p->io = (struct vhdx_io){.read = read_packed, .opaque = p};
    if (length < 3)
        return;
    p->io.size = min_u64((uint64_t)get_le16(input + 1) * PAGE, PACKED_MAX);
    apply_records(p, input + 3, length - 3);
    if (p->io.size < VHDX_HEADER_SECTION)
        return;
    if (input[0] & 1) {
        seal(p, VHDX_HEADER_1_AT, VHDX_HEADER_SIZE);
        seal(p, VHDX_HEADER_2_AT, VHDX_HEADER_SIZE);
    }
    if (input[0] & 2) {
        seal(p, VHDX_REGIONS_1_AT, VHDX_REGIONS_SIZE);
        seal(p, VHDX_REGIONS_2_AT, VHDX_REGIONS_SIZE);
    }
    if (input[0] & 4)
        seal_log(p);
}

void packed_close(struct packed *p)
{
    for (size_t page = 0; page < PACKED_MAX / PAGE; page++) {
        if (!p->touched[page])
            continue;
        memset(p->bytes + page * PAGE, 0, PAGE);
        p->touched[page] = 0;
    }
}
