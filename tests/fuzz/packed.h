/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VHDX file in a few hundred bytes, for fuzzers: most of a file is zeros, and a mutated
 * one would never get past the checksums.
 *
 *   byte 0      bit 0: make the headers' checksums hold; bit 1: the region tables';
 *               bit 2: those of the log's entries
 *   bytes 1-2   file size in units of 4 KiB, little-endian
 *   records     3 bytes of offset, 2 of length, then that many bytes
 *
 * corpus.py's "pack" makes them from real files.
 */
#ifndef TESTS_FUZZ_PACKED_H
#define TESTS_FUZZ_PACKED_H

#include "vhdx/io.h"

#define PACKED_MAX (UINT32_C(16) << 20) /* bytes of the unpacked file */

struct packed {
    struct vhdx_io io;
    uint8_t *bytes; /* PACKED_MAX of them, zero between two runs */
    uint8_t *touched;
};

/* Unpacks INPUT; the buffers are kept from run to run. */
void packed_open(struct packed *packed, const uint8_t *input, size_t length);

/* The file as a sink to write to; growing stops at PACKED_MAX with -EFBIG. */
extern const struct vhdx_sink packed_sink;

/* Zeroes what was written. */
void packed_close(struct packed *packed);

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t length);

#endif
