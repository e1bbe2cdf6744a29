/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `vhdxgen info` prints; the JSON is documented in vhdxgen(1), and stable. */
#ifndef VHDXGEN_INFO_H
#define VHDXGEN_INFO_H

#include "vhdx/image.h"
#include "vhdx/report.h"

/* Each returns an exit status. */
int print_info_text(const char *path, const struct vhdx_image *image,
                    const struct vhdx_report *report);
int print_info_json(const char *path, const struct vhdx_image *image,
                    const struct vhdx_report *report);

#endif
