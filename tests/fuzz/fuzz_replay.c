/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Replays whatever log can be replayed. Afterwards the log must be clean, and the file must
 * be judged as it was when the same log was replayed in memory only.
 */
#include "tests/fuzz/packed.h"
#include "vhdx/check.h"
#include "vhdx/replay.h"

#include <stdlib.h>

/* Rules on what the log can change; the ones of the log and its header are another matter. */
static void compare(const struct vhdx_report *before, const struct vhdx_report *after)
{
    for (int rule = VHDX_RULE_REG_NONE; rule < VHDX_RULE_LOG_CORRUPT; rule++)
        if (before->counts[rule] != after->counts[rule])
            abort();
    for (int rule = VHDX_RULE_LOG_CORRUPT; rule < VHDX_RULE_COUNT; rule++)
        if (after->counts[rule])
            abort();
}

static void replay(struct packed *file, const struct vhdx_report *before,
                   const struct vhdx_image *image)
{
    const struct vhdx_replay order = {
        .io = &file->io,
        .sink = &packed_sink,
        .file_write = {{1, 2, 3}},
        .may_grow = true,
    };
    struct vhdx_report after = {0};
    struct vhdx_image replayed;
    int err = vhdx_replay(&order, image);

    if (err == -EFBIG) /* the file cannot grow so far; to try again must still be possible */
        return;
    if (err || vhdx_check(&file->io, NULL, &after, &replayed) != 0)
        abort();
    if (replayed.log_state != VHDX_LOG_CLEAN || vhdx_replay_verdict(&replayed, true) != -ENODATA)
        abort();
    compare(before, &after);
    vhdx_image_free(&replayed);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t length)
{
    struct vhdx_report report = {0};
    struct vhdx_image image;
    struct packed file;

    packed_open(&file, input, length);
    if (vhdx_check(&file.io, NULL, &report, &image) != 0)
        abort();
    if (vhdx_replay_verdict(&image, true) == 0)
        replay(&file, &report, &image);
    vhdx_image_free(&image);
    packed_close(&file);
    return 0;
}
