/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * As which VHDX a partition is shown, and whether it can be shown at all. That is decided here, in
 * the lowest place that knows both of them. A state is of one such layout (store.h).
 */
#ifndef STATE_AS_VHDX_H
#define STATE_AS_VHDX_H

#include "device/probe.h"
#include "vhdx/layout.h"

/*
 * The layout for FACTS' size and sectors, in blocks of BLOCK_SIZE bytes (0: choose). Returns 0, or
 * vhdx_layout_init()'s error with FAILURE filled.
 */
int lay_out_as_vhdx(struct vhdx_layout *layout, const struct facts *facts, uint32_t block_size,
                    struct failure *failure);

#endif
