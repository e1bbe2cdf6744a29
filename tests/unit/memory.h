/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A VHDX file in memory for unit tests: to be spoiled, to fail, to lose power. */
#ifndef TESTS_UNIT_MEMORY_H
#define TESTS_UNIT_MEMORY_H

#include "vhdx/encode.h"
#include "vhdx/io.h"

struct memory_write {
    uint64_t offset;
    size_t length;
    uint8_t *data;
};

struct memory {
    struct vhdx_io io;
    uint8_t *bytes;
    size_t room;
    int budget; /* operations until -EIO; negative: no limit */
    /* Writes since the last flush: what a power cut may lose. */
    struct memory_write *pending;
    size_t pending_count;
    uint8_t *durable; /* the file at the last flush */
};

extern const struct vhdx_sink memory_sink;

/* A good fixed disk of LAYOUT, with room to grow by 4 MiB. */
void memory_make(struct memory *memory, const struct vhdx_layout *layout);
struct vhdx_layout memory_layout(void); /* four blocks of 1 MiB */
void memory_free(struct memory *memory);

/* Sets LogGuid in both headers. */
void memory_set_log(struct memory *memory, const struct guid *guid);
/* Changes the fields of both headers, checksums and all. */
void memory_set_header(struct memory *memory, const struct vhdx_header *header);

struct log_write {
    uint64_t offset;
    uint64_t zeros; /* 0: 4 KiB of FILL */
    uint8_t fill;
};

/* Writes an entry to the log at AT; returns where the next one goes. */
uint32_t memory_log(struct memory *memory, uint32_t at, uint32_t tail, uint64_t sequence,
                    const struct guid *guid, const struct log_write *writes, size_t count,
                    uint64_t last_file_offset);

#endif
