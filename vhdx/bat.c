/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vhdx/bat.h"

#include "common/bytes.h"

#include <errno.h>
#include <string.h>

int bat_interpret(const struct vhdx_layout *layout, uint64_t index, uint64_t value,
                  struct bat_request *request)
{
    uint64_t identity = vhdx_bat_entry(layout, index), state = value & VHDX_BAT_STATE_MASK, block;

    *request = (struct bat_request){0};
    if (value == identity)
        return 0;
    if (!vhdx_bat_block(layout, index, &block) ||
        (value & ~VHDX_BAT_STATE_MASK) != (identity & ~VHDX_BAT_STATE_MASK) ||
        (state != VHDX_BLOCK_ZERO && state != VHDX_BLOCK_UNMAPPED))
        return -EIO;
    request->offset = block * layout->block_size;
    request->length = min_u64(layout->block_size, layout->disk_size - request->offset);
    request->discard = state == VHDX_BLOCK_UNMAPPED;
    return 0;
}

uint64_t bat_overlay(const struct vhdx_layout *layout, uint64_t index, const uint8_t *data,
                     uint64_t offset, uint64_t length)
{
    uint64_t at = 8 * index, from = offset > at ? offset : at;
    uint64_t to = min_u64(offset + length, at + 8);
    uint8_t entry[8];

    put_le64(entry, vhdx_bat_entry(layout, index));
    memcpy(entry + (from - at), data + (from - offset), to - from);
    return get_le64(entry);
}
