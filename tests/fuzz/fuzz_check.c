/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opens and judges anything at all. The only wrong answer is none. */
#include "tests/fuzz/packed.h"
#include "vhdx/check.h"

#include <stdlib.h>

static void touch(void *opaque, const struct vhdx_finding *finding)
{
    size_t *length = opaque;

    for (const char *p = finding->found; *p; p++)
        ++*length;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t length)
{
    size_t heard = 0;
    struct vhdx_report report = {.finding = touch, .opaque = &heard, .limit = 4};
    struct vhdx_image image;
    struct packed file;

    packed_open(&file, input, length);
    if (vhdx_check(&file.io, NULL, &report, &image) != 0)
        abort();
    vhdx_image_free(&image);
    packed_close(&file);
    return 0;
}
