/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "state/as_vhdx.h"

#include <inttypes.h>

int lay_out_as_vhdx(struct vhdx_layout *layout, const struct facts *facts, uint32_t block_size,
                    struct failure *failure)
{
    struct vhdx_params params = {facts->size, block_size, facts->logical_sector,
                                 facts->physical_sector};
    const char *why;
    int err = vhdx_layout_init(layout, &params, &why);

    if (!err)
        return 0;
    return failed(failure, EXIT_INVALID_IMAGE, err,
                  "%s cannot be shown as a VHDX: %s (size %" PRIu64 " bytes, sectors of %u bytes)",
                  facts->path, why, facts->size, facts->logical_sector);
}
