/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a client means when it writes a BAT entry. The table is computed, never stored: every
 * block is where it is and stays there. So an entry that says so changes nothing; one that
 * declares the block zero or unmapped, at its place, asks for zeros on the disk; and everything
 * else would lose data and is refused ([MS-VHDX] 2.5.1.1).
 */
#ifndef VHDX_BAT_H
#define VHDX_BAT_H

#include "vhdx/layout.h"

/* Zeros asked for in [offset, offset + length) of the disk, in bytes; length 0: nothing. */
struct bat_request {
    uint64_t offset;
    uint64_t length;
    bool discard;
};

/* Interprets VALUE for entry INDEX of the region. Returns 0 or -EIO. */
int bat_interpret(const struct vhdx_layout *layout, uint64_t index, uint64_t value,
                  struct bat_request *request);

/*
 * The value that entry INDEX would have after DATA was written to [offset, offset + length)
 * of the region: bytes outside of the write keep their value.
 */
uint64_t bat_overlay(const struct vhdx_layout *layout, uint64_t index, const uint8_t *data,
                     uint64_t offset, uint64_t length);

#endif
